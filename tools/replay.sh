#!/bin/sh
# Records every stream of a folder and replays it; replays every capture of a folder. For carrying captures between
# machines: record on one, copy OUT, and give it as FOLDER on the other.
#
# usage: replay.sh BIN FOLDER OUT
#   BIN     folder with nvdec-replay
#   FOLDER  streams (*.hevc), captures (*.nvcap), or both
#   OUT     where captures and messages go; made if it is not there
# $DEVICE is nvdec-replay's --device (nv:0 on hardware, so that nothing falls back to the emulated GPU; emulated),
# $ENGINES the --engine of a second replay (default: all; none leaves it out), $LIMIT the seconds for one command.
#
# A line for each: verdict, exit codes of recording and replays, name, what was said. Ends with 1 if anything differs,
# hangs or dies; what this hardware cannot decode, and damaged streams that come out as recorded, are no failure.
set -u
[ $# -eq 3 ] || { sed -n '2,/^set/{/^#/s/^# \{0,1\}//p;}' "$0" >&2; exit 2; }
bin=$1 folder=$2 out=$3
device=${DEVICE:-auto} engines=${ENGINES:-all} limit=${LIMIT:-300}
replay=$bin/nvdec-replay
[ -x "$replay" ] || { echo "$replay is not there" >&2; exit 2; }
mkdir -p "$out" || exit 2
same=0 refused=0 failed=0

# verdict RECORD RUN ALL: exit codes, - for what was not done.
verdict() {
    case "$1" in -|0|65|69) ;; *) echo failed; return ;; esac
    for code in "$2" "$3"; do
        case "$code" in -|0|69) ;; *) echo failed; return ;; esac
    done
    if [ "$2" = 69 ] || [ "$3" = 69 ] || [ "$2" = - ]; then echo refused; else echo same; fi
}

# play CAPTURE NAME RECORD
play() {
    run=- all=-
    if [ -f "$1" ]; then
        timeout "$limit" "$replay" run --device "$device" "$1" > "$out/$2.run.txt" 2>&1
        run=$?
        if [ "$engines" != none ] && [ "$run" != 69 ]; then
            timeout "$limit" "$replay" run --device "$device" --engine "$engines" "$1" > "$out/$2.all.txt" 2>&1
            all=$?
        fi
    fi
    found=$(verdict "$3" "$run" "$all")
    case "$found" in same) same=$((same + 1)) ;; refused) refused=$((refused + 1)) ;; *) failed=$((failed + 1)) ;; esac
    said=$out/$2.run.txt
    [ "$run" = 0 ] && [ "$all" != - ] && [ "$all" != 0 ] && said=$out/$2.all.txt
    [ -f "$said" ] || said=$out/$2.record.txt
    echo "$found $3 $run $all $2 $(grep -v -e '^note: ' -e '^warn' "$said" 2> /dev/null | tail -n 1)"
}

for stream in "$folder"/*.hevc; do
    [ -f "$stream" ] || continue
    name=$(basename "$stream" .hevc)
    rm -f "$out/$name.nvcap" "$out/$name.run.txt" "$out/$name.all.txt"
    timeout "$limit" "$replay" record --device "$device" "$stream" -o "$out/$name.nvcap" > "$out/$name.record.txt" 2>&1
    play "$out/$name.nvcap" "$name" $?
done
for capture in "$folder"/*.nvcap; do
    [ -f "$capture" ] || continue
    play "$capture" "$(basename "$capture" .nvcap)" -
done
echo "$same as recorded, $refused not for this hardware, $failed failed"
[ "$failed" = 0 ] && [ $((same + refused)) -gt 0 ]
