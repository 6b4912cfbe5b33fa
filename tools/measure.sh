#!/bin/sh
# What one stream on one engine costs, beside NVIDIA's own library, in one run: the figures of docs/measurements.md.
#
# usage: measure.sh BIN CLIP:LOOPS...
#   BIN  folder with throughput (of nvdec's examples), nvdec-decode and, for the comparison, nvcuvid (tools/peer)
# For the figures at full clocks a CUDA context has to exist in some process; see docs/measurements.md.
set -u
bin=$1
shift

gpu() { nvidia-smi --query-gpu=clocks.sm,clocks.video,memory.used --format=csv,noheader; }

echo "GPU idle: $(gpu)"
for clip in "$@"; do
    file=${clip%:*} loops=${clip##*:}
    for round in 1 2; do
        echo "== $file x $loops, round $round"
        echo "-- nvdec"
        "$bin/throughput" "$file" "$loops" &
        sleep 0.5
        echo "GPU: $(gpu)"
        wait $!
        if [ -x "$bin/nvcuvid" ]; then
            echo "-- libnvcuvid"
            "$bin/nvcuvid" "$file" "$loops" &
            sleep 0.5
            echo "GPU: $(gpu)"
            wait $!
        fi
    done
done
