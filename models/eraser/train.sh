#!/usr/bin/env bash
# Makes the bundled eraser model again: 1,400 synthetic erasers, preset `fast`, the
# simulated defects of the paper alone. Some 20 minutes on 2 cores. The new bundle
# replaces this folder's files, and is built into the program at the next `cargo build`.
#
# The weights that lie here come from this command, stopped and resumed while the
# program's convolutions were exchanged: repeating it gives a model of the same kind,
# not the same bytes.
set -euo pipefail
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cargo build --release --locked
./target/release/goma synth --out "$work/erasers" --count 1400 --seed 11
./target/release/goma train "$work/erasers" --out "$work/eraser" --preset fast --seed 1 \
  --set draem.simulation.displaced_share=0 --set draem.simulation.tone_share=0
cp "$work"/eraser/* models/eraser/
