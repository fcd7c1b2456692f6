#!/usr/bin/env bash
# The supervised baselines beside the hybrid model, for docs/results.md: synthetic erasers with 5% of the
# labels wrong (1,104 to train, 276 to choose on, 400 clean ones to test), and magnetic tiles in six
# classes. Arguments: a folder for the results (what is complete there is not trained again), and a folder
# of magnetic tiles. An hour or two on 2 cores. GOMA names another program than target/release/goma.
set -euo pipefail
out=$1
tiles=$2
cd "$(dirname "$0")/.."
goma=${GOMA:-./target/release/goma}
mkdir -p "$out"

made() { # FOLDER ARGUMENTS...: trained into the folder, unless it is there
  [ -e "$out/$1/manifest.json" ] || "$goma" train "${@:2}" --out "$out/$1" --force --seed 1
}
compared() { # NAME ARGUMENTS...: trained on the noisy erasers and measured on the clean ones
  made "$1" "$out/noisy" --classes binary --test-share 0 "${@:2}"
  "$goma" evaluate "$out/$1" "$out/clean" --bootstrap 1000 | tee "$out/$1.txt"
}

[ -e "$out/noisy" ] || "$goma" synth --out "$out/noisy" --count 1380 --seed 60 --defect-rate 0.37 --label-noise 0.05
[ -e "$out/clean" ] || "$goma" synth --out "$out/clean" --count 400 --seed 61 --defect-rate 0.37

compared cnn --model cnn --set baseline.size=96 --set baseline.epochs=20
compared r18-96 --model resnet18 --set baseline.size=96 --set baseline.epochs=20 --set baseline.learning_rate=5e-4
compared r18-224 --model resnet18 --set baseline.size=224 --set baseline.epochs=20 --set baseline.learning_rate=5e-4
compared hybrid --preset fast --set draem.steps=1000

made tiles18 "$tiles" --model resnet18 --set baseline.size=128 --set baseline.epochs=20 --set baseline.learning_rate=5e-4
made tiles18b "$tiles" --model resnet18 --set baseline.epochs=20 --set baseline.augment.brightness=0.3 --set baseline.augment.contrast=0.3
cat "$out/tiles18/evaluation.json" "$out/tiles18b/evaluation.json"
