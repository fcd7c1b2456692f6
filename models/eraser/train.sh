#!/usr/bin/env bash
# Makes the bundled eraser model again, preset `fast`, pieces aligned, with more kinds of
# simulated defects: 5,000 steps on 3,600 synthetic erasers, then 3,000 steps on 3,600 others
# within the region of interest. Some 75 minutes on 2 cores. The new bundle replaces this folder's
# files, and is built into the program at the next `cargo build`.
#
# Sums are rounded in another order on other processors, so elsewhere it gives a model of the same
# kind, not the same bytes: compare on fresh pieces before it replaces this one, `goma evaluate
# BUNDLE FRESH`. (The weights that lie here were trained on an AMD EPYC with AVX-512.)
set -euo pipefail
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cargo build --release --locked
goma=./target/release/goma
recipe=(--preset fast --set draem.align=true)
for share in warp=0.1 displaced=0.15 tone=0.15 ink_removal=0.1 ink_spill=0.05 scratch=0.05 stain=0.05; do
  recipe+=(--set "draem.simulation.${share/=/_share=}")
done
mkdir "$work/first" "$work/second"
"$goma" synth --out "$work/first/pieces" --count 3600 --seed 11
"$goma" train "$work/first/pieces" --out "$work/first/eraser" --seed 1 "${recipe[@]}" \
  --set draem.steps=5000
"$goma" synth --out "$work/second/pieces" --count 3600 --seed 12
"$goma" train "$work/second/pieces" --out "$work/second/eraser" --seed 2 "${recipe[@]}" \
  --set draem.steps=3000 --start "$work/first/eraser" --roi "$work/second/pieces/roi.png"
for file in README.md {backbone,classifier,draem}.safetensors manifest.json settings.toml \
  evaluation.json {registration,roi}.png pieces.csv {loss,validation}.{csv,svg}; do
  cp "$work/second/eraser/$file" models/eraser/
done
