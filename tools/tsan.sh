#!/bin/sh
# Runs the tests of the library and the end-to-end tests on the emulated GPU under ThreadSanitizer: accesses of two threads to the
# same memory that nothing orders. The standard library is built for it too, so that its locks are understood.
#
# usage: tsan.sh [TEST...]
#   TEST  only tests with one of these in their names
# Needs the nightly toolchain with its sources: rustup toolchain install nightly --component rust-src
# Builds in target/tsan. Two cores take six minutes to build and a quarter of an hour to run.
# Exit code: that of cargo test, which fails as well where such an access was found; 69 no such toolchain.
set -eu
case ${1:-} in --help | -h) sed -n '2,/^set/{/^#/s/^# \{0,1\}//p;}' "$0"; exit 0 ;; esac
root=$(cd "$(dirname "$0")/.." && pwd)
host=$(rustc -vV | sed -n 's/^host: //p')
sources=$(rustc +nightly --print sysroot 2> /dev/null)/lib/rustlib/src/rust/library
[ -d "$sources" ] || {
    echo "tsan.sh: no nightly toolchain with sources: rustup toolchain install nightly --component rust-src" >&2
    exit 69
}
export RUSTFLAGS="-Zsanitizer=thread" CARGO_INCREMENTAL=0 CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$root/target}/tsan"
# The memory of the emulated GPU is mapped twice, for its engines and for the host. A word that is written through one mapping and read
# through the other orders what comes behind it, which is not seen here: accesses of engines are left out, those of the host are not.
mkdir -p "$CARGO_TARGET_DIR"
echo "race:hcq/src/kernel/emulated/memory/physical.rs" > "$CARGO_TARGET_DIR/left-out"
export TSAN_OPTIONS="suppressions=$CARGO_TARGET_DIR/left-out ${TSAN_OPTIONS:-}"
# It makes programs five to fifteen times slower: fewer random cases, unless somebody wants more.
export PROPTEST_CASES="${PROPTEST_CASES:-20}"
exec cargo +nightly test --manifest-path "$root/Cargo.toml" --locked -Zbuild-std --target "$host" \
    -p hcq -p nvdec -p nvdec-tests --lib --tests --no-fail-fast -- "$@"
