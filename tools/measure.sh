#!/bin/sh
# What decoding costs, beside NVIDIA's own library, in one run: the figures of docs/measurements.md.
#
# usage: measure.sh BIN CLIP:LOOPS...
#   BIN  folder with nvdec-bench and, for the comparison, nvcuvid (tools/peer)
# For the figures at full clocks a CUDA context has to exist in some process; see docs/measurements.md.
# Keeps what nvdec-bench measured, as JSON, in ./measure-report, or in $REPORT. $DEVICE is another device than nv:0.
set -u
bin=$1
shift
device=${DEVICE:-nv:0}
report=${REPORT:-measure-report}
mkdir -p "$report"

gpu() {
    if command -v nvidia-smi > /dev/null; then
        nvidia-smi --query-gpu=clocks.sm,clocks.video,memory.used --format=csv,noheader
    else
        echo "no nvidia-smi"
    fi
}

# Runs a program in the background and says what the GPU does meanwhile.
watched() {
    "$@" &
    sleep 0.5
    echo "GPU: $(gpu)"
    wait $!
}

# NAME ARGUMENTS...: a benchmark as text, and once more as JSON.
bench() {
    json=$report/$1.json
    shift
    watched "$bin/nvdec-bench" "$@" --device "$device"
    "$bin/nvdec-bench" "$@" --device "$device" --json > "$json"
}

peer() {
    if [ -x "$bin/nvcuvid" ]; then
        echo "-- libnvcuvid"
        watched "$bin/nvcuvid" "$@"
    fi
}

echo "GPU idle: $(gpu); load: $(cut -d' ' -f1-3 /proc/loadavg)"
echo "== start"
bench start start
echo "== reconfigure"
bench reconfigure reconfigure
echo "== detile"
bench detile detile
for clip in "$@"; do
    file=${clip%:*} loops=${clip##*:}
    name=$(basename "$file")
    echo "== $file x $loops"
    bench "$name.bound" bound "$file" --loops "$loops"
    for round in 1 2; do
        echo "-- nvdec, round $round"
        bench "$name.stream.$round" stream "$file" --loops "$loops"
        peer "$file" "$loops"
    done
    for streams in 7 14; do
        echo "-- nvdec, $streams streams"
        bench "$name.many.$streams" many "$file" --streams "$streams"
    done
done
