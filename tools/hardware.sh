#!/bin/sh
# Everything that only a real GPU can say, in one run: what it has, whether every engine decodes, which streams of
# a corpus come out bit-exact on one engine and on all, whether pictures at random and tensors are right, what damaged
# streams do to it, and how fast streams are.
#
# usage: hardware.sh BIN CORPUS [DAMAGED] [SPEED_CLIP...]
#   BIN      folder with nvdec-probe and nvdec-decode
#   CORPUS   folder of streams with a .framemd5 beside each
#   DAMAGED  folder of streams that must not panic, hang or take the GPU down
#   SPEED_CLIP  streams to time, on one engine and on all
# Decoding names the first GPU, so that nothing falls back to the emulated one.
# Keeps what it prints in ./hardware-report, or in $REPORT.
set -u
bin=$1 corpus=$2 damaged=${3:-}
[ $# -gt 2 ] && shift 3 || shift $#
report=${REPORT:-hardware-report}
mkdir -p "$report"

echo "== probe"
"$bin/nvdec-probe" | tee "$report/probe.txt"
"$bin/nvdec-probe" --json > "$report/probe.json"
echo "== self-test"
"$bin/nvdec-probe" --selftest > "$report/selftest.txt" 2>&1
echo "exit $?"
tail -n 12 "$report/selftest.txt"

echo "== corpus, each stream on one engine"
"$bin/nvdec-decode" --device nv:0 --check "$corpus" --engine each > "$report/check.txt" 2>&1
echo "exit $?"
grep -v 'bit-exact' "$report/check.txt" | tail -n 60
"$bin/nvdec-decode" --device nv:0 --check "$corpus" --engine each --json > "$report/check.json" 2> /dev/null

for mode in balanced throughput low-latency; do
    echo "== corpus, each stream on all engines, $mode"
    "$bin/nvdec-decode" --device nv:0 --check "$corpus" --engine all --mode $mode > "$report/check-$mode.txt" 2>&1
    echo "exit $?"
    grep -v -e 'bit-exact ' -e 'refused ' "$report/check-$mode.txt" | tail -n 20
done

echo "== pictures of the corpus at random, against those in order"
"$bin/nvdec-decode" --device nv:0 --check-access "$corpus" --engine all > "$report/access.txt" 2>&1
echo "exit $?"
grep -v -e '^same ' -e '^refused ' "$report/access.txt" | tail -n 20

echo "== tensors of the corpus, against exact arithmetic"
"$bin/nvdec-decode" --device nv:0 --check-tensors "$corpus" --json > "$report/tensors.jsonl" 2> "$report/tensors.txt"
echo "exit $?"
tail -n 1 "$report/tensors.jsonl"
grep -e '"verdict":"out-of-bounds"' -e '"verdict":"error"' "$report/tensors.jsonl" | tail -n 20

if [ -n "$damaged" ]; then
    echo "== damaged"
    for stream in "$damaged"/*.hevc; do
        timeout 30 "$bin/nvdec-decode" --device nv:0 -f md5 "$stream" > "$report/last.txt" 2>&1
        code=$?
        echo "$code $(basename "$stream") $(tail -n 1 "$report/last.txt")"
    done > "$report/damaged.txt"
    # 101 is a panic, 124 a hang, above 128 a signal.
    cut -d' ' -f1 "$report/damaged.txt" | sort | uniq -c
fi

for clip in "$@"; do
    echo "== $clip, one engine"
    "$bin/nvdec-decode" --device nv:0 --engine one -f null --stats "$clip"
    for mode in balanced throughput low-latency; do
        echo "== $clip, all engines, $mode"
        "$bin/nvdec-decode" --device nv:0 --mode $mode -f null --stats "$clip"
    done
done
