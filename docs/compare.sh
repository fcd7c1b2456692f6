#!/usr/bin/env bash
# The full comparison on magnetic tiles, and on synthetic erasers: hours. Arguments: a folder for the
# results (the same again goes on after a stop), a folder of magnetic tiles, and further flags of all
# comparisons, e.g. --set draem.size=64 --set draem.steps=300 for a smaller one.
set -euo pipefail
out=$1
tiles=$2
shift 2
cd "$(dirname "$0")/.."
cargo build --release --locked
goma=./target/release/goma
mkdir -p "$out"

# Tiles: 10 folds, all inputs, 25% and 100% of the defects, binary and six classes.
"$goma" compare "$tiles" "$@" --preset fast --folds 10 --fractions 25,100 --seed 1 \
  --out "$out/tiles" --resume
# The same from the warm cache with another classifier: under a minute.
time "$goma" compare "$tiles" "$@" --preset fast --folds 10 --fractions 25,100 --seed 1 \
  --classifiers logistic --cache "$out/tiles/cache" --out "$out/tiles-logistic" --resume

# Synthetic erasers, six channels, binary and print / physical / good.
if [ ! -e "$out/erasers" ]; then
  "$goma" synth --out "$out/erasers" --count 800 --seed 11 --defect-rate 0.37
fi
"$goma" compare "$out/erasers" "$@" --preset fast --folds 10 --fractions 25,100 --seed 1 --classes three \
  --out "$out/erasers-compared" --resume
