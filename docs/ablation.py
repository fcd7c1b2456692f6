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
import os
import statistics
import tomllib

import runs

KINDS = [
    "displaced", "tone", "cut_paste", "ink_removal", "ink_spill",
    "scratch", "stain", "blur", "channel",
]  # fmt: skip


def share(kind, value):
    return f"draem.simulation.{kind}_share={value}"


def train(options, name, seed, pairs):
    """The bundle's settings, and its measures on the held-out pieces."""
    out = os.path.join(options.out, f"{name}-seed{seed}")
    measured = runs.trained(options, options.data, out, seed, pairs)
    with open(os.path.join(out, "settings.toml"), "rb") as file:
        return tomllib.load(file), measured


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("goma")
    parser.add_argument("data")
    parser.add_argument("out")
    parser.add_argument("--mode", choices=["off", "alone", "both"], default="both")
    parser.add_argument("--kinds", default=",".join(KINDS))
    runs.arguments(parser)
    options = parser.parse_args()
    os.makedirs(options.out, exist_ok=True)
    kinds = options.kinds.split(",")
    seeds = [int(s) for s in options.seeds.split(",")]

    kinds_on = [("as preset", []), ("textures alone", [share(k, 0) for k in KINDS])]
    if options.mode in ("off", "both"):
        kinds_on += [(f"without {k}", [share(k, 0)]) for k in kinds]
    if options.mode in ("alone", "both"):
        alone = lambda kind: [share(k, 0.5 if k == kind else 0) for k in KINDS]
        kinds_on += [(f"textures and {k}", alone(k)) for k in kinds]

    print("| simulated defects | image ROC AUC | pixel AP | AUPRO |\n|---|---|---|---|")
    for name, pairs in kinds_on:
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
