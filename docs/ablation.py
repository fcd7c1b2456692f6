"""What each kind of simulated defect brings, or a setting's values: trains anomaly
models with every kind in turn switched off (its share goes to the paper's textures)
or on alone (beside half of textures), or with each value of one setting, on one data
set, and prints a table.

    python docs/ablation.py GOMA DATA OUT [--mode off|alone|both] [--kinds stain,blur]
        [--vary draem.simulation.edge_blur=0,2] [--seeds 1] [--preset fast]
        [--set draem.steps=300] [--threads 1]

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
    "scratch", "stain", "blur", "channel", "warp", "chip",
]  # fmt: skip


def share(kind, value):
    return f"draem.simulation.{kind}_share={value}"


def train(options, name, seed, pairs):
    """The bundle's settings, and its measures on the held-out pieces."""
    out = os.path.join(options.out, f"{name}-seed{seed}")
    measured = runs.trained(options, options.data, out, seed, pairs)
    with open(os.path.join(out, "settings.toml"), "rb") as file:
        return tomllib.load(file), measured


def vary(setting):
    """A recipe for each value of one setting."""
    name, _, values = setting.partition("=")
    return [(f"{name}={value}", [f"{name}={value}"]) for value in values.split(",")]


def switch(options):
    """The preset, textures alone, and each kind off or alone: names and settings."""
    kinds = options.kinds.split(",")
    recipes = [("as preset", []), ("textures alone", [share(k, 0) for k in KINDS])]
    if options.mode in ("off", "both"):
        recipes += [(f"without {k}", [share(k, 0)]) for k in kinds]
    if options.mode in ("alone", "both"):
        alone = lambda kind: [share(k, 0.5 if k == kind else 0) for k in KINDS]
        recipes += [(f"textures and {k}", alone(k)) for k in kinds]
    return recipes


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("goma")
    parser.add_argument("data")
    parser.add_argument("out")
    parser.add_argument("--mode", choices=["off", "alone", "both"], default="both")
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--vary", metavar="NAME=VALUE,VALUE", help="instead of the kinds")
    runs.arguments(parser)
    options = parser.parse_args()
    os.makedirs(options.out, exist_ok=True)
    seeds = [int(s) for s in options.seeds.split(",")]

    recipes = vary(options.vary) if options.vary else switch(options)

    print("| recipe | image ROC AUC | pixel AP | AUPRO |\n|---|---|---|---|")
    for name, pairs in recipes:
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
