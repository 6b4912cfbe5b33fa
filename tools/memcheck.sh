#!/bin/sh
# Decodes streams on the emulated GPU under valgrind's memcheck: reads and writes outside of memory, and branches on
# memory that was never written, in this project and in the crates below it.
#
# usage: memcheck.sh [--jobs N] STREAM|FOLDER...
#   STREAM  an HEVC byte stream; its pictures are compared as well if a .framemd5 file lies beside it
#   FOLDER  all files that end in .hevc, .h265, .265 or .bit in it and below
#   --jobs  streams at a time, 1 without it; each takes a core and up to 3 GB of memory
# Builds the program first (profile memcheck: as release, quicker to build, with lines to name). Needs valgrind.
# One line for each stream: clean; FAILED, for which memcheck complained or the program died; or unfinished: memcheck had
# no complaint, but pictures differ or are missing. That is so of large pictures, which valgrind makes slower than the
# time limits of the library allow. What was said of those that are not clean stays in ./memcheck-report, or in $REPORT.
# Exit code: 0 clean; 1 a stream failed; 2 wrong command line, or nothing to do; 3 none failed, but some are unfinished;
# 69 no valgrind.
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

# STREAM: one line. 99 is the exit code of valgrind, 1 that of the program for pictures.
ONE='
    log=$REPORT/$(printf %s "$1" | tr / _).txt
    valgrind --quiet --error-exitcode=99 --log-file="$log" "$PROGRAM" "$1" > "$log.out" 2>&1
    case $? in
        0) state=clean ;;
        1) state=unfinished ;;
        *) state=FAILED ;;
    esac
    [ ! -s "$log" ] || state=FAILED
    printf "%-10s  %s\n" "$state" "$1"
    if [ "$state" = clean ]; then rm -f "$log"; else cat "$log.out" >> "$log"; fi
    rm -f "$log.out"
'
list=$(mktemp) || exit 2
trap 'rm -f "$list" "$list.lines"' EXIT
for path; do
    if [ -d "$path" ]; then
        find "$path" -type f \( -name '*.hevc' -o -name '*.h265' -o -name '*.265' -o -name '*.bit' \) -print0 | sort -z
    else
        printf '%s\0' "$path"
    fi
done > "$list"
count=$(tr -cd '\0' < "$list" | wc -c)
[ "$count" -gt 0 ] || { echo "memcheck.sh: no stream in $*" >&2; exit 2; }
xargs -0 -n 1 -P "$jobs" sh -c "$ONE" memcheck < "$list" | tee "$list.lines"
of() { grep -c "^$1 " "$list.lines"; }
echo "$count streams: $(of clean) clean, $(of FAILED) failed, $(of unfinished) unfinished"
[ "$(of clean)" != "$count" ] || { rmdir "$REPORT" 2> /dev/null; exit 0; }
echo "memcheck.sh: see $REPORT" >&2
[ "$(($(of clean) + $(of unfinished)))" != "$count" ] || exit 3
exit 1
