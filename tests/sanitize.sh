#!/usr/bin/env bash
# The kernels and the engine under AddressSanitizer, debug assertions on: all
# instruction sets that this machine has. Then, if valgrind is installed, the
# engine's tests under it, which sees memory too that is read and was never
# written.
#
#     tests/sanitize.sh [TEST FILTER]     (default: nn::)
#
# Needs Linux on x86-64 and the stable toolchain: RUSTC_BOOTSTRAP opens its
# -Z flags. Built apart, in target/sanitize (or $SANITIZE_TARGET); valgrind runs
# the ordinary tests.
set -euo pipefail
cd "$(dirname "$0")/.."

filter=${1:-nn::}
# Cases of each property test: every one takes some ten times as long here.
export PROPTEST_CASES=${PROPTEST_CASES:-32}

echo "== address sanitizer: $filter"
# Quick to build; the kernels' loops are checked, not timed. `mimalloc` stays
# out: the sanitizer watches the system's allocator.
env RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Zsanitizer=address ASAN_OPTIONS=detect_leaks=0 \
  CARGO_TARGET_DIR="${SANITIZE_TARGET:-target/sanitize}" \
  CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS=true CARGO_PROFILE_RELEASE_OVERFLOW_CHECKS=true \
  CARGO_PROFILE_RELEASE_OPT_LEVEL=1 \
  cargo test --release --locked --lib --no-default-features \
  --target x86_64-unknown-linux-gnu "$filter"

if command -v valgrind >/dev/null; then
  echo "== valgrind: nn::engine"
  program=$(cargo test --release --locked --lib --no-run --message-format=json |
    sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' | tail -n 1)
  # Valgrind knows no AVX-512 and runs one thread at a time.
  GOMA_SIMD=baseline RAYON_NUM_THREADS=1 PROPTEST_CASES=2 valgrind --quiet \
    --error-exitcode=1 "$program" --test-threads 1 nn::engine
fi
