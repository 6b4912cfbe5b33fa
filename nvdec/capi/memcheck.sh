#!/bin/sh
# Runs the C tests and the example under valgrind on the emulated GPU: no invalid access, and nothing definitely lost.
#
# usage: memcheck.sh [--library FILE]
#   --library  libnvdec_capi.a that is built already. Without it the script builds one (profile memcheck).
# Needs cc and valgrind.
# Exit code: 0 clean; 1 valgrind complained, or a program failed; 2 wrong command line; 69 no valgrind.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
case $#:${1:-} in
    0:) library= ;;
    2:--library) library=$2; [ -f "$library" ] || { echo "memcheck.sh: $library: there is no such file" >&2; exit 2; } ;;
    *) sed -n '2,/^set/{/^#/s/^# \{0,1\}//p;}' "$0" >&2; exit 2 ;;
esac
command -v valgrind > /dev/null || { echo "memcheck.sh: valgrind is not installed" >&2; exit 69; }
if [ -z "$library" ]; then
    cargo build --manifest-path "$root/Cargo.toml" --locked --quiet --profile memcheck -p nvdec-capi
    library=${CARGO_TARGET_DIR:-$root/target}/memcheck/libnvdec_capi.a
fi
# The emulated GPU maps all of its memory, and valgrind has no room for that of an H200.
export NVDEC_EMULATED_MEMORY=1024
made=$(mktemp -d)
trap 'rm -rf "$made"' EXIT
video=$root/nvdec/containers/tests/data/plain.mp4
stream=$root/tools/clips/x_size_202x150.hevc

# SOURCE ARGUMENT...
run() {
    source=$1; shift
    program=$made/$(basename "$source" .c)
    "${CC:-cc}" -std=c11 -g -O1 -Wall -Wextra -Werror -I "$root/nvdec/capi/include" "$root/nvdec/capi/$source" \
        "$library" -lgcc_s -lpthread -lm -ldl -o "$program"
    valgrind --quiet --error-exitcode=99 --leak-check=full --show-leak-kinds=definite --errors-for-leak-kinds=definite \
        "$program" "$@" || exit 1
}
run tests/c/misuse.c "$video" "$stream"
run tests/c/use.c "$video" "$stream" "$made/planes.yuv"
run examples/thumbnails.c "$video" "$made/sheet.ppm" emulated
