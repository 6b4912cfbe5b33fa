#!/bin/sh
# Runs the programs in a root folder with nothing in it but themselves, their libraries and the GPU's two kinds of device nodes: what
# a container has to have. No /proc, no /sys, no other device, nothing of NVIDIA's.
#
# usage: bare.sh FOLDER [ROOT]
#   FOLDER  has nvdec-probe and nvdec-decode
#   ROOT    a root folder with the libraries, such as that of a Debian; without it one is made of what ldd lists here
# Needs unshare and chroot, and user namespaces where it is not run by root. Changes nothing outside of a folder of its own.
# Decodes a clip on the emulated GPU; and where there are device nodes, runs nvdec-probe --selftest on the first GPU and decodes there.
# Exit code: 0 all right; 1 something is not; 2 wrong command line.
set -eu
[ $# -ge 1 ] && [ $# -le 2 ] && [ -x "$1/nvdec-probe" ] && [ -x "$1/nvdec-decode" ] \
    || { sed -n '2,/^set/{/^#/s/^# \{0,1\}//p;}' "$0" >&2; exit 2; }
clip=$(cd "$(dirname "$0")" && pwd)/clips/x_wpp.hevc
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT

if [ $# = 2 ]; then
    cp -a "$2/." "$root"
else
    for library in $(ldd "$1/nvdec-probe" "$1/nvdec-decode" | grep -oE '/[^ ]+\.so[^ ]*' | sort -u); do
        mkdir -p "$root$(dirname "$library")"
        cp -L "$library" "$root$library"
    done
fi
mkdir -p "$root/nvdec" "$root/dev"
cp "$1/nvdec-probe" "$1/nvdec-decode" "$clip" "$root/nvdec"
# The node of a GPU is /dev/nvidia and its number.
nodes=$(find /dev -maxdepth 1 \( -name nvidiactl -o -name 'nvidia[0-9]*' \) | sort)
for node in $nodes; do
    : > "$root$node"
done

# In a namespace of its own, so that mounts are gone with it.
ROOT=$root NODES=$nodes unshare --mount $([ "$(id -u)" = 0 ] || echo --map-root-user) sh -euc '
    for node in $NODES; do mount --bind "$node" "$ROOT$node"; done
    in_root() { echo "+ $*"; chroot "$ROOT" "$@"; }
    in_root /nvdec/nvdec-decode --device emulated --verify -f null /nvdec/x_wpp.hevc
    if [ -n "$NODES" ]; then
        in_root /nvdec/nvdec-probe --selftest
        in_root /nvdec/nvdec-decode --fallback never --verify --stats -f null /nvdec/x_wpp.hevc
    else
        code=0
        in_root /nvdec/nvdec-probe || code=$?
        [ "$code" = 69 ] || { echo "nvdec-probe: exit code $code, not 69"; exit 1; }
    fi
' || { echo "bare.sh: something is missing" >&2; exit 1; }
