"""How well a bundle ranks pieces that lie beside their usual place: ROC AUC by so many pixels.

    python docs/placement.py target/release/goma BUNDLE ERASERS [--pixels 0,3,7]

Moves every piece of ERASERS (made by `goma synth`) by so many pixels of its photograph along both axes,
towards each of the four corners in turn; its border goes on where it leaves room. Prints the mean and the
lowest of the four ROC AUCs, of the anomaly score and, with a classifier, of the probability of a defect.
Needs NumPy.
"""
import argparse
import json
import shutil
import statistics
import subprocess
import tempfile
from pathlib import Path

import numpy as np

parser = argparse.ArgumentParser()
parser.add_argument("goma")
parser.add_argument("bundle")
parser.add_argument("erasers", type=Path)
parser.add_argument("--pixels", default="0,3,7")
args = parser.parse_args()


def moved(piece, down, right):
    """A piece [height, width, channels], moved by whole pixels."""
    height, width, _ = piece.shape
    rows = np.clip(np.arange(height) - down, 0, height - 1)
    columns = np.clip(np.arange(width) - right, 0, width - 1)
    return piece[rows][:, columns]


def evaluated(down, right):
    """ROC AUC of each number that ranks, on all pieces moved so far."""
    with tempfile.TemporaryDirectory() as folder:
        arrays = Path(folder) / "arrays"
        arrays.mkdir()
        for table in ("annotations_binary.csv", "dataset.json"):
            shutil.copy(args.erasers / table, folder)
        for path in (args.erasers / "arrays").glob("*.npy"):
            np.save(arrays / path.name, moved(np.load(path), down, right))
        command = [args.goma, "evaluate", args.bundle, folder, "--json", "-q"]
        result = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    score = result.get("anomaly_score")
    if score is None:  # no classifier: the score decides
        return {"anomaly score": result["roc_auc"]}
    return {"anomaly score": score["roc_auc"], "probability of a defect": result["roc_auc"]}


print("| moved by | ranked by | ROC AUC, mean of four corners | lowest |\n|---|---|---|---|")
for pixels in map(int, args.pixels.split(",")):
    corners = {(down * pixels, right * pixels) for down in (-1, 1) for right in (-1, 1)}
    found = [evaluated(*corner) for corner in sorted(corners)]
    for name in found[0]:
        areas = [one[name] for one in found]
        print(f"| {pixels} | {name} | {statistics.mean(areas):.3f} | {min(areas):.3f} |", flush=True)
