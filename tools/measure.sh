#!/bin/sh
# What decoding costs, beside NVIDIA's own library, in one run: the figures of docs/measurements.md.
#
# usage: measure.sh BIN IPP HD UHD SD
#   BIN  folder with nvdec-bench, nvdec-decode and, for the comparison, nvcuvid (tools/peer)
#   IPP  a stream of I and P pictures; HD and UHD, streams of 1080p and 4K; SD, a small one with a .framemd5 beside it
# For the figures at full clocks a CUDA context has to exist in some process; see docs/measurements.md.
# Keeps what nvdec-bench measured, as JSON, in ./measure-report, or in $REPORT; `tools/table.py measure-report` prints it.
# $DEVICE is another device than nv:0.
set -u
[ $# -eq 5 ] || { sed -n '2,/^set/{/^#/s/^# \{0,1\}//p;}' "$0" >&2; exit 2; }
bin=$1 ipp=$2 hd=$3 uhd=$4 sd=$5
device=${DEVICE:-nv:0}
report=${REPORT:-measure-report}
mkdir -p "$report"

say() { echo "== $*"; }

gpu() {
    if command -v nvidia-smi > /dev/null; then
        nvidia-smi --query-gpu=clocks.sm,clocks.video,memory.used --format=csv,noheader
    else
        echo "no nvidia-smi"
    fi
}

# MHz of the video engines, for the share of time in which they were busy.
clock=$(gpu | sed -n 's/^[^,]*, *\([0-9]*\) MHz.*/\1/p')

# NAME ARGUMENTS...: a benchmark, as JSON.
bench() {
    json=$report/$1.json
    shift
    "$bin/nvdec-bench" "$@" --device "$device" --json > "$json" || echo "exit $?: nvdec-bench $*"
}

stream() { bench "$@" ${clock:+--clock "$clock"}; }

# ARGUMENTS...: the peer, and what the GPU does meanwhile.
peer() {
    [ -x "$bin/nvcuvid" ] || return
    "$bin/nvcuvid" "$@" &
    sleep 3
    echo "GPU: $(gpu)"
    wait $!
}

say "GPU: $(gpu); load: $(cut -d' ' -f1-3 /proc/loadavg)"
say start, reconfigure, detile
bench start start
bench reconfigure reconfigure "$hd" "$sd"
bench detile detile
for round in 1 2 3; do
    say "one stream, round $round"
    stream "ipp.$round" stream "$ipp" --loops 20 --rounds 1 --engines one --mode balanced
    peer "$ipp" 20
    stream "hd.$round" stream "$hd" --loops 6 --rounds 1
    peer "$hd" 6
    stream "uhd.$round" stream "$uhd" --loops 6 --rounds 1 --mode throughput --engines all --surfaces 192
    stream "uhd-modes.$round" stream "$uhd" --loops 6 --rounds 1
    peer "$uhd" 6
done
for round in 1 2 3; do
    say "processor time, round $round"
    for clip in "ipp $ipp 20" "hd $hd 6" "uhd $uhd 6" "sd $sd 12"; do
        # shellcheck disable=SC2086
        set -- $clip
        for means in "" --copy --indexed; do
            # shellcheck disable=SC2086
            stream "cpu-$1$means.$round" stream "$2" --loops "$3" --rounds 1 --engines one --mode balanced $means
        done
        [ "$round" != 1 ] || peer "$2" "$3"
    done
done
stream low-latency-one stream "$hd" --loops 2 --rounds 1 --engines one --mode low-latency
for clip in "hd $hd 4" "uhd $uhd 6"; do
    # shellcheck disable=SC2086
    set -- $clip
    for streams in 2 4 7 14; do
        say "$1, $streams streams"
        bench "$1.many.$streams" many "$2" --streams "$streams" --loops "$3"
        case $streams in 7|14) ;; *) continue ;; esac
        bench "$1.each.$streams" many "$2" --streams "$streams" --loops "$3" --engines each
        peer "$2" "$3" "$streams"
    done
done
say 256 streams
bench 256 many "$sd" --streams 256 --check
say "nvdec-decode, the whole process"
for engine in one all; do
    "$bin/nvdec-decode" --device "$device" --engine "$engine" -f null --stats "$hd"
done
