#!/bin/sh
# Decodes streams on the emulated GPU under valgrind's memcheck: reads and writes outside of memory, and branches on
# memory that was never written, in this project and in the crates below it.
#
# usage: memcheck.sh [--jobs N] STREAM|FOLDER...
#   STREAM  an HEVC byte stream; its pictures are compared as well if a .framemd5 file lies beside it
#   FOLDER  all files that end in .hevc, .h265, .265 or .bit in it and below
#   --jobs  streams at a time, 1 without it; each takes a core and up to 3 GB of memory
# Builds the program first (profile memcheck: as release, quicker to build, with lines to name). Needs valgrind.
# One line for each stream. Of those that fail, what valgrind said stays in ./memcheck-report, or in $REPORT.
# Exit code: 0 clean; 1 a stream failed; 2 wrong command line, or nothing to do; 69 no valgrind.
set -u
help() { sed -n '2,/^set/{/^#/s/^# \{0,1\}//p;}' "$0"; }

jobs=1
while [ $# -gt 0 ]; do
    case $1 in
        --help | -h) help; exit 0 ;;
        --jobs) jobs=${2:-}; shift; [ $# -gt 0 ] && shift ;;
        --) shift; break ;;
        -*) echo "memcheck.sh: no such option: $1" >&2; help >&2; exit 2 ;;
        *) break ;;
    esac
done
case $jobs in '' | 0* | *[!0-9]*) echo "memcheck.sh: --jobs needs a number from 1 on" >&2; exit 2 ;; esac
[ $# -gt 0 ] || { help >&2; exit 2; }
for path; do
    [ -e "$path" ] || { echo "memcheck.sh: $path: there is no such file or folder" >&2; exit 2; }
done
command -v valgrind > /dev/null || { echo "memcheck.sh: valgrind is not installed" >&2; exit 69; }

root=$(cd "$(dirname "$0")/.." && pwd) || exit 2
target=${CARGO_TARGET_DIR:-$root/target}
cargo build --manifest-path "$root/Cargo.toml" --locked --quiet --profile memcheck -p nvdec-tools --example small_gpu || exit 1
PROGRAM=$target/memcheck/examples/small_gpu
REPORT=${REPORT:-memcheck-report}
mkdir -p "$REPORT" || exit 2
export PROGRAM REPORT

# STREAM: one line, and the exit code of xargs's choice. 99 is valgrind's.
ONE='
    log=$REPORT/$(printf %s "$1" | tr / _).txt
    valgrind --quiet --error-exitcode=99 --log-file="$log" "$PROGRAM" "$1" > "$log.out" 2>&1
    code=$?
    case $code in
        0) if [ -s "$log" ]; then state=FAILED; else state=clean; fi ;;
        99) state=FAILED ;;
        *) state="FAILED ($code)" ;;
    esac
    printf "%s  %s  %s\n" "$state" "$1" "$(grep -c "^==[0-9]*== [A-Z]" "$log" || true) complaints, $(tail -n 1 "$log.out" | cut -d" " -f1)"
    if [ "$state" = clean ]; then rm -f "$log" "$log.out"; exit 0; fi
    cat "$log.out" >> "$log"; rm -f "$log.out"
    exit 1
'
list=$(mktemp) || exit 2
trap 'rm -f "$list"' EXIT
for path; do
    if [ -d "$path" ]; then
        find "$path" -type f \( -name '*.hevc' -o -name '*.h265' -o -name '*.265' -o -name '*.bit' \) -print0 | sort -z
    else
        printf '%s\0' "$path"
    fi
done > "$list"
count=$(tr -cd '\0' < "$list" | wc -c)
[ "$count" -gt 0 ] || { echo "memcheck.sh: no stream in $*" >&2; exit 2; }
if xargs -0 -n 1 -P "$jobs" sh -c "$ONE" memcheck < "$list"; then
    rmdir "$REPORT" 2> /dev/null
    echo "$count streams, all clean"
else
    echo "$count streams, not all clean: see $REPORT"
    exit 1
fi
