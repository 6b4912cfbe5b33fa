#!/bin/sh
# Runs the C tests and the example under valgrind on the emulated GPU: no invalid access, and nothing definitely lost.
#
# usage: memcheck.sh
# Builds the library first (profile memcheck), with a model that has little memory. Needs cc and valgrind.
# Exit code: 0 clean; 1 valgrind complained, or a program failed; 69 no valgrind.
set -eu
command -v valgrind > /dev/null || { echo "memcheck.sh: valgrind is not installed" >&2; exit 69; }
root=$(cd "$(dirname "$0")/../.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}
cargo build --manifest-path "$root/Cargo.toml" --locked --quiet --profile memcheck -p nvdec-capi --features small-gpu
made=$(mktemp -d)
trap 'rm -rf "$made"' EXIT
video=$root/nvdec/containers/tests/data/plain.mp4
stream=$root/tools/clips/x_size_202x150.hevc

# SOURCE ARGUMENT...
run() {
    source=$1; shift
    program=$made/$(basename "$source" .c)
    "${CC:-cc}" -std=c11 -g -O1 -Wall -Wextra -Werror -I "$root/nvdec/capi/include" "$root/nvdec/capi/$source" \
        "$target/memcheck/libnvdec_capi.a" -lgcc_s -lpthread -lm -ldl -o "$program"
    valgrind --quiet --error-exitcode=99 --leak-check=full --show-leak-kinds=definite --errors-for-leak-kinds=definite \
        "$program" "$@"
}
run tests/c/misuse.c "$video" "$stream"
run tests/c/use.c "$video" "$stream" "$made/planes.yuv"
run examples/thumbnails.c "$video" "$made/sheet.ppm" emulated
