#!/bin/sh
# Builds and installs libnvdec.so with its soname, libnvdec.a, nvdec.h and nvdec.pc, with nothing but cargo. cargo-c does
# the same.
#
# usage: install.sh [--prefix PREFIX] [--destdir FOLDER] [--profile PROFILE]
#   --prefix   where the library will be, /usr/local without it
#   --destdir  a folder in front of that, for packagers
#   --profile  cargo's profile, release without it
# Exit code: 0 installed; 2 wrong command line; else that of the command that failed.
set -eu
prefix=/usr/local destdir= profile=release
while [ $# -gt 0 ]; do
    case $1:$# in
        --prefix:1 | --destdir:1 | --profile:1) echo "install.sh: $1 needs a value" >&2; exit 2 ;;
        --prefix:*) prefix=$2 ;;
        --destdir:*) destdir=$2 ;;
        --profile:*) profile=$2 ;;
        *) sed -n '2,/^set/{/^#/s/^# \{0,1\}//p;}' "$0" >&2; exit 2 ;;
    esac
    shift 2
done
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' "$root/Cargo.toml" | head -n 1)
# As long as the major version is 0, the minor one may break what a program relies on.
case $version in 0.*) soversion=${version%.*} ;; *) soversion=${version%%.*} ;; esac
case $profile in dev) built=debug ;; *) built=$profile ;; esac
target=${CARGO_TARGET_DIR:-$root/target}/$built

cargo build --manifest-path "$root/Cargo.toml" --locked --profile "$profile" -p nvdec-capi
static=$(mktemp)
trap 'rm -f "$static"' EXIT
cp "$target/libnvdec_capi.a" "$static"
# The name stands in the library itself, and programs that are linked with it look for that.
cargo rustc --manifest-path "$root/Cargo.toml" --locked --profile "$profile" -p nvdec-capi --lib --crate-type cdylib -- \
    -C link-arg=-Wl,-soname,"libnvdec.so.$soversion"

lib=$destdir$prefix/lib include=$destdir$prefix/include
install -d "$lib/pkgconfig" "$include"
install -m 755 "$target/libnvdec_capi.so" "$lib/libnvdec.so.$version"
ln -sf "libnvdec.so.$version" "$lib/libnvdec.so.$soversion"
ln -sf "libnvdec.so.$soversion" "$lib/libnvdec.so"
install -m 644 "$static" "$lib/libnvdec.a"
install -m 644 "$here/include/nvdec.h" "$include/nvdec.h"
sed -e "s|@prefix@|$prefix|" -e "s|@version@|$version|" "$here/nvdec.pc.in" > "$lib/pkgconfig/nvdec.pc"
