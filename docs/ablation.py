"""What each kind of simulated defect brings: trains anomaly models with every
kind in turn switched off (its share goes to the paper's textures) or on alone
(beside half of textures), on one data set, and prints a table.

    python docs/ablation.py GOMA DATA OUT [--mode off|alone|both] [--kinds stain,blur]
        [--seeds 1] [--preset fast] [--set draem.steps=300] [--threads 1]

GOMA is the program, DATA a labelled data set with masks, OUT a folder for the
bundles; one that is complete there is not trained again. Only the standard library
is needed.
"""

import argparse
import json
import os
import statistics
import subprocess
import tomllib

KINDS = [
    "displaced", "tone", "cut_paste", "ink_removal", "ink_spill",
    "scratch", "stain", "blur", "channel",
]  # fmt: skip


def share(kind, value):
    return f"draem.simulation.{kind}_share={value}"


def train(options, name, seed, pairs):
    """Trains a bundle if it is not there; its measures on the held-out pieces."""
    out = os.path.join(options.out, f"{name}-seed{seed}")
    measured = os.path.join(out, "evaluation.json")
    if not os.path.exists(measured):
        command = [options.goma, "train", options.data, "--out", out, "--model", "draem"]
        command += ["--preset", options.preset, "--seed", str(seed), "--force", "-q"]
        command += ["--threads", str(options.threads)]
        for pair in [*options.set, *pairs]:
            command += ["--set", pair]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    with open(measured) as file:
        evaluation = json.load(file)
    with open(os.path.join(out, "settings.toml"), "rb") as file:
        settings = tomllib.load(file)
    pixels = evaluation["pixels"] or {}
    return settings, [
        evaluation["arms"]["anomaly score"]["roc_auc"],
        pixels.get("average_precision", float("nan")),
        pixels.get("aupro", float("nan")),
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("goma")
    parser.add_argument("data")
    parser.add_argument("out")
    parser.add_argument("--mode", choices=["off", "alone", "both"], default="both")
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--seeds", default="1")
    parser.add_argument("--preset", default="fast")
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    os.makedirs(options.out, exist_ok=True)
    kinds = options.kinds.split(",")
    seeds = [int(s) for s in options.seeds.split(",")]

    runs = [("as preset", []), ("textures alone", [share(k, 0) for k in KINDS])]
    if options.mode in ("off", "both"):
        runs += [(f"without {k}", [share(k, 0)]) for k in kinds]
    if options.mode in ("alone", "both"):
        alone = lambda kind: [share(k, 0.5 if k == kind else 0) for k in KINDS]
        runs += [(f"textures and {k}", alone(k)) for k in kinds]

    print("| simulated defects | image ROC AUC | pixel AP | AUPRO |\n|---|---|---|---|")
    for name, pairs in runs:
        measured = []
        for seed in seeds:
            settings, row = train(options, name.replace(" ", "-"), seed, pairs)
            kind = name.removeprefix("without ")
            shares = settings["draem"]["simulation"]
            if name.startswith("without") and shares[f"{kind}_share"] != 0:
                raise SystemExit(f"{name}: the bundle there is of another run")
            measured.append(row)
        cells = []
        for values in zip(*measured):
            mean = statistics.fmean(values)
            spread = f" +- {statistics.stdev(values):.3f}" if len(values) > 1 else ""
            cells.append(f"{mean:.3f}{spread}")
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


main()
