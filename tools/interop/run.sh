#!/usr/bin/env bash
# Tensors between a process without CUDA and PyTorch, and within PyTorch's own process, on a real GPU. A line of JSON for each
# step; ends with 1 if one did not come out as it has to.
#
# usage: run.sh BIN_DIR CLIP
#   BIN_DIR  folder with serve and libinprocess.so, from
#            cargo build --release -p nvdec-cuda --example serve --example inprocess   (target/release/examples)
#   CLIP     HEVC, as a byte stream; BATCH times TENSORS is no multiple of its number of pictures
# environment: PICTURES (2000), SPEC, BATCH, TENSORS, DEVICE (nv:0), PYTHON (python3, with PyTorch)
set -u
[ $# = 2 ] || { sed -n '2,9p' "$0" >&2; exit 2; }
bin=$1 clip=$2
here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-python3}
pictures=${PICTURES:-2000}
common=(--clip "$clip" --device "${DEVICE:-nv:0}" --spec "${SPEC:-size=224x224,dtype=f16}" \
    --batch "${BATCH:-8}" --tensors "${TENSORS:-4}")
limit=150
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
failed=0
export PYTHONDONTWRITEBYTECODE=1

last() { local line; line=$(tail -n 1 "$1" 2> /dev/null); case $line in {*}) echo "$line" ;; *) echo null ;; esac; }

# Says how a step came out, and what was printed if that is not what it should be.
report() {
    local name=$1 good=$2 codes=$3
    printf '{"step": "%s", "ok": %s, "codes": "%s", "consumer": %s, "producer": %s}\n' \
        "$name" "$good" "$codes" "$(last "$dir/consumer")" "$(last "$dir/producer")"
    if [ "$good" != true ]; then
        failed=1
        tail -n 15 "$dir/consumer.err" "$dir/producer.err" >&2 2> /dev/null
    fi
}

# two NAME PRODUCER_CODE CONSUMER_CODE "PRODUCER_OPTIONS" "CONSUMER_OPTIONS" [TEXT_OF_PRODUCER]
two() {
    local name=$1 want="$2 $3" codes producer good=false
    rm -f "$dir"/*
    # shellcheck disable=SC2086
    timeout -k 5 "$limit" "$bin/serve" "${common[@]}" --socket "$dir/socket" $4 > "$dir/producer" 2> "$dir/producer.err" &
    producer=$!
    # shellcheck disable=SC2086
    timeout -k 5 "$limit" "$python" "$here/consume.py" --socket "$dir/socket" $5 > "$dir/consumer" 2> "$dir/consumer.err"
    codes=$?
    # Without a consumer nobody tells it to end.
    [ ! -S "$dir/socket" ] || kill "$producer"
    wait "$producer" 2> /dev/null
    codes="$? $codes"
    if [ "$codes" = "$want" ] && { [ -z "${6:-}" ] || grep -qF -- "$6" "$dir/producer"; }; then good=true; fi
    report "$name" "$good" "$codes"
}

# same NAME "OPTIONS"
same() {
    local code good=false
    rm -f "$dir"/*
    # shellcheck disable=SC2086
    timeout -k 5 "$limit" "$python" "$here/inprocess.py" --library "$bin/libinprocess.so" "${common[@]}" $2 \
        > "$dir/consumer" 2> "$dir/consumer.err"
    code=$?
    [ "$code" != 0 ] || good=true
    report "$1" "$good" "$code"
}

all="--pictures $pictures"
few="--pictures 400"
two "two processes" 0 0 "$all" "" '"cuda_in_process":false'
two "two processes, control without the wait for tensors" 0 0 "$all" "--control"
two "two processes, slow consumer" 0 0 "$few" "--slow 50"
two "two processes, slow consumer, control without the wait for it" 0 0 "$few --ignore-done" "--slow 50 --expect-wrong"
two "memory of PyTorch, two processes" 0 0 "$all --into" ""
two "memory of PyTorch, two processes, control" 0 0 "$all --into" "--control"
two "memory of PyTorch, slow consumer" 0 0 "$few --into" "--slow 50"
two "memory of PyTorch, slow consumer, control" 0 0 "$few --into --ignore-done" "--slow 50 --expect-wrong"
same "same process" "$all"
same "same process, control" "$all --control"
same "memory of PyTorch, same process" "$all --into"
same "memory of PyTorch, same process, control" "$all --into --control"
# 137: killed. timeout passes it on as its own end by that signal.
two "producer killed" 137 0 "$all" "--slow 5 --kill-producer-after 100"
two "producer killed, memory of PyTorch" 137 0 "$all --into" "--slow 5 --kill-producer-after 100"
two "consumer killed" 0 137 "$all" "--slow 50 --die-after 20" '"consumer":"gone"'
two "consumer killed, memory of PyTorch" 0 137 "$all --into" "--slow 50 --die-after 20" '"consumer":"gone"'
exit $failed
