#!/bin/sh
# Two builds of nvdec-bench side by side in one run: throughput, processor time, memory and start-up of each, in turn.
#
# usage: compare.sh OLD NEW CLIP [ROUNDS]
#   OLD, NEW  folders with nvdec-bench
#   CLIP      a stream of some hundred pictures, of 1080p for figures like those of docs/measurements.md
#   ROUNDS    how often each is measured in turn, 3 if not given
# Prints a line for each measurement; `tools/compare.sh ... | sort` puts the rounds of one beside each other.
# $DEVICE is another device than nv:0.
set -u
[ $# -ge 3 ] || { sed -n '2,/^set/{/^#/s/^# \{0,1\}//p;}' "$0" >&2; exit 2; }
old=$1 new=$2 clip=$3 rounds=${4:-3}
device=${DEVICE:-nv:0}

# NAME BUILD ARGUMENTS...: one measurement, as a line of the figures that its JSON has.
bench() {
    name=$1 build=$2
    shift 2
    "$build/nvdec-bench" "$@" --device "$device" --json 2>&1 | python3 -c '
import json, sys
name, build = sys.argv[1:]
text = sys.stdin.read()
try:
    found = json.loads(text)
except ValueError:
    print(name, build, "FAILED:", text[-300:])
    sys.exit()
wanted = ("pictures_per_second", "cpu_us_per_picture", "thread_us", "measured", "first_picture_ms", "main_to_first_picture_ms", "total", "priced", "fairness", "bit_exact")
figures = []
def look(value, path):
    if isinstance(value, dict):
        for key, inner in value.items():
            look(inner, path + [key])
    elif isinstance(value, list):
        for at, inner in enumerate(value):
            label = inner.get("mode") or inner.get("engines") if isinstance(inner, dict) else None
            look(inner, path + [str(label if label is not None else at)])
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        if any(word in part for part in path for word in wanted):
            figures.append("/".join(path) + "=" + format(value, ".6g"))
look(found, [])
print(name, build, *figures)
' "$name" "$build"
}

for round in $(seq "$rounds"); do
    for build in "$old" "$new"; do
        bench "all.$round" "$build" stream "$clip" --loops 6 --rounds 1
        bench "one.$round" "$build" stream "$clip" --loops 4 --rounds 1 --engines one --mode balanced
        bench "copy.$round" "$build" stream "$clip" --loops 4 --rounds 1 --engines one --mode balanced --copy
    done
done
for build in "$old" "$new"; do
    bench start "$build" start
    bench low-latency-one "$build" stream "$clip" --loops 2 --rounds 1 --engines one --mode low-latency
    bench many-7 "$build" many "$clip" --streams 7 --loops 3
    bench many-14 "$build" many "$clip" --streams 14 --loops 3
    bench each-14 "$build" many "$clip" --streams 14 --loops 3 --engines each
done
