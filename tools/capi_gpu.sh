#!/bin/sh
# Has CUDA read batches of the C interface in their place, on a real GPU (nvdec/capi/tests/c/gpu.c).
#
# usage: capi_gpu.sh --build PROGRAM [--library FILE]
#        capi_gpu.sh PROGRAM CLIP...
# The first form compiles the program, with the library in it: it goes to machines without a compiler. The library is
# libnvdec_capi.a; without --library it is built (profile memcheck). Needs cc.
# The second form runs it for each clip, with three kinds of tensors. A clip is any video; of large pictures, 1080p, since a
# batch has to be late for a wait to show anything. Needs a GPU of NVIDIA's with its driver and libcuda.so.1.
# Prints lines of JSON; what each says is at the head of gpu.c. ROUNDS (20) is the number of rounds of each kind.
# Exit code: 0 all right; 1 something is not; 2 wrong command line; 69 no CUDA, or no GPU.
set -eu
usage() { sed -n '2,/^set/{/^#/s/^# \{0,1\}//p;}' "$0" >&2; exit 2; }
root=$(cd "$(dirname "$0")/.." && pwd)

if [ "${1:-}" = --build ]; then
    case $#:${3:-} in
        2:) library= ;;
        4:--library) library=$4 ;;
        *) usage ;;
    esac
    if [ -z "$library" ]; then
        cargo build --manifest-path "$root/Cargo.toml" --locked --quiet --profile memcheck -p nvdec-capi
        library=${CARGO_TARGET_DIR:-$root/target}/memcheck/libnvdec_capi.a
    fi
    exec "${CC:-cc}" -std=c11 -O2 -s -Wall -Wextra -Werror -I "$root/nvdec/capi/include" "$root/nvdec/capi/tests/c/gpu.c" "$library" \
        -lgcc_s -lpthread -lm -ldl -Wl,--gc-sections -o "$2"
fi
[ $# -ge 2 ] || usage
case $1 in -*) usage ;; */*) program=$1 ;; *) program=./$1 ;; esac
shift
worst=0
for clip; do
    for spec in "" "dtype=f16" "size=224x224,dtype=f32,layout=nhwc"; do
        echo "{\"file\":\"$(basename "$clip")\",\"spec\":\"$spec\"}"
        code=0
        timeout 120 "$program" "$clip" --spec "$spec" --rounds "${ROUNDS:-20}" || code=$?
        case $code in
            0) ;;
            2 | 69) exit "$code" ;;
            *) worst=1 ;;
        esac
    done
done
exit "$worst"
