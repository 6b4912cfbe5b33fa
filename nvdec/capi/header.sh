#!/bin/sh
# Makes include/nvdec.h of the sources, or with --check says whether it is what they make.
#
# usage: header.sh [--check]
# Needs cbindgen 0.29.4, another release of which may write it otherwise:
#   cargo install cbindgen --version 0.29.4 --locked
# Where it is not in PATH, $CBINDGEN says where.
# Exit code: 0 made, or the same; 1 it differs; 2 wrong command line; 69 no cbindgen of that release.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
cbindgen=${CBINDGEN:-cbindgen}
check=
case $#:${1:-} in
    0:) ;;
    1:--check) check=1 ;;
    *) sed -n '2,/^set/{/^#/s/^# \{0,1\}//p;}' "$0" >&2; exit 2 ;;
esac
version=$("$cbindgen" --version 2> /dev/null || true)
[ "$version" = "cbindgen 0.29.4" ] || { echo "header.sh: cbindgen 0.29.4 is needed, there is: ${version:-none}" >&2; exit 69; }

made=$(mktemp)
trap 'rm -f "$made"' EXIT
"$cbindgen" --quiet --config "$here/cbindgen.toml" --output "$made" "$here/src/lib.rs"
if [ -z "$check" ]; then
    cp "$made" "$here/include/nvdec.h"
elif ! diff -u "$here/include/nvdec.h" "$made"; then
    echo "header.sh: include/nvdec.h is not what the sources make: run nvdec/capi/header.sh" >&2
    exit 1
fi
