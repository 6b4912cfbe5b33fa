#!/usr/bin/env bash
# Conversions on our compute queue against conversions in CUDA's context, on a real GPU: whether the elements are the same, how
# fast each is alone, and what each costs a training step in the same process. A line of JSON for each; ends with 1 if an element
# differs or a step fails.
#
# usage: steps.sh BIN_DIR CLIP [SECONDS]
#   BIN_DIR  folder with stepconvert and libinprocess.so, from
#            cargo build --release -p nvdec-cuda --example stepconvert --example inprocess   (target/release/examples)
#   CLIP     HEVC, as a byte stream
# environment: DEVICE (nv:0), SPEC, PYTHON (python3, with PyTorch)
set -u
[ $# = 2 ] || [ $# = 3 ] || { sed -n '2,10p' "$0" >&2; exit 2; }
bin=$1 clip=$2 seconds=${3:-8}
here=$(cd "$(dirname "$0")" && pwd)
common=(--clip "$clip" --device "${DEVICE:-nv:0}" --spec "${SPEC:-size=224x224,dtype=f16}")
failed=0
export PYTHONDONTWRITEBYTECODE=1

step() { timeout -k 5 150 "$@" || { echo "failed ($?): $*" >&2; failed=1; }; }

step "$bin/stepconvert" "${common[@]}" --check
step "$bin/stepconvert" "${common[@]}" --check --pictures 2000
for place in nothing queue cuda; do
    step "$bin/stepconvert" "${common[@]}" --in "$place" --seconds "$seconds"
done
step "${PYTHON:-python3}" "$here/beside.py" --seconds "$seconds" --library "$bin/libinprocess.so" "${common[@]}"
exit $failed
