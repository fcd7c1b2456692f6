"""What other image scores of the same maps would gain: smaller windows, and maps standardised place by place.

    python docs/windows.py target/release/goma BUNDLE GOOD ERASERS [ERASERS ...]

Scores ERASERS (made by `goma synth`) with their maps saved, and GOOD, a set whose good pieces say what each place
of a map usually has. The score of a map is its maximum after a mean filter: of the published window (21 of 256), or
smaller ones; `standardised` maps have the mean of the good pieces taken off and are divided by their standard
deviation at that place, plus 0.02. Prints ROC AUC. Needs numpy and scipy.
"""
import argparse
import csv
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from scipy.ndimage import uniform_filter
from scipy.stats import mannwhitneyu

parser = argparse.ArgumentParser()
parser.add_argument("goma")
parser.add_argument("bundle")
parser.add_argument("good", type=Path)
parser.add_argument("erasers", type=Path, nargs="+")
args = parser.parse_args()
# As many pixels as 21, 13, 9 and 5 are at 256 x 256.
WINDOWS = [21, 13, 9, 5]
LEAST_SPREAD = 0.02


def maps(data):
    """All maps, and which pieces are defective."""
    with open(data / "truth.csv", newline="") as file:
        labels = {row["id"]: row["label"] != "good" for row in csv.DictReader(file)}
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "scored"
        subprocess.run([args.goma, "score", args.bundle, str(data), "--out", str(out), "--maps", "--no-heatmaps",
                        "--pictures", "0", "-q"], check=True)
        return np.stack([np.load(out / "maps" / f"{id}.npy") for id in labels]), np.array(list(labels.values()))


def smoothed(some, window):
    size = max(1, round(window * some.shape[-1] / 256)) | 1
    return np.stack([uniform_filter(one, size) for one in some])


reference, defective = maps(args.good)
reference = reference[~defective]
tests = [maps(data) for data in args.erasers]
print(f"{len(reference)} good pieces of {args.good.name} for the standard\n")
print("| window at 256 x 256 | " + " | ".join(f"{data.name}: as published, standardised" for data in args.erasers) + " |")
print("|---|" + "---|" * len(tests))
for window in WINDOWS:
    usual = smoothed(reference, window)
    mean, spread = usual.mean(0), usual.std(0) + LEAST_SPREAD
    cells = []
    for some, defective in tests:
        plain = smoothed(some, window)
        both = []
        for scores in (plain.max((1, 2)), ((plain - mean) / spread).max((1, 2))):
            pairs = defective.sum() * (~defective).sum()
            both.append(f"{mannwhitneyu(scores[defective], scores[~defective]).statistic / pairs:.3f}")
        cells.append(", ".join(both))
    print(f"| {window} | " + " | ".join(cells) + " |", flush=True)
