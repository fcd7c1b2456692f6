#!/usr/bin/env bash
# Measures what docs/results.md states. Arguments: a new folder for the results, and
# (optional) a folder of magnetic tiles. Some 30 minutes on 2 cores with the tiles.
set -euo pipefail
out=$1
tiles=${2:-}
cd "$(dirname "$0")/.."
cargo build --release --locked
goma=./target/release/goma
mkdir -p "$out"

# The demo: time and memory.
/usr/bin/time -v "$goma" demo --out "$out/demo" 2>"$out/demo.time" || { cat "$out/demo.time"; exit 1; }
grep -E 'Elapsed|Maximum resident' "$out/demo.time"

# 400 fresh synthetic pieces, no label noise, 37% defects.
"$goma" synth --out "$out/fresh" --count 400 --seed 4242 --defect-rate 0.37
"$goma" evaluate models/eraser "$out/fresh" --bootstrap 1000

# 1,000 good files and 50 broken ones in one run.
cargo test --release --locked --test suite -- thousand

if [ -n "$tiles" ]; then
  /usr/bin/time -v "$goma" train "$tiles" --preset fast --out "$out/tiles" 2>"$out/tiles.time"
  grep -E 'Elapsed|Maximum resident' "$out/tiles.time"
fi
