"""Which defects of synthetic erasers a model finds: ROC AUC by their severity and by their kind.

    python docs/severity.py target/release/goma BUNDLE ERASERS

Scores ERASERS (made by `goma synth`, which knows the truth) and sets the defective pieces of each range of
severities, and of each kind, against all good ones, by anomaly score and by probability of a defect. A piece
with two defects counts with the severer one and, among the kinds, not at all. Python's own library only.
"""
import argparse
import bisect
import csv
import subprocess
import tempfile
from pathlib import Path

parser = argparse.ArgumentParser()
parser.add_argument("goma")
parser.add_argument("bundle")
parser.add_argument("erasers", type=Path)
args = parser.parse_args()
MEASURES = ["anomaly_score", "p_defect"]
# `goma synth` draws severities evenly between these.
LEAST, GREATEST = 0.15, 1.0
MIDDLE = (LEAST + GREATEST) / 2


def table(path):
    with open(path, newline="") as file:
        return {row["id"]: row for row in csv.DictReader(file)}


def roc_auc(good, bad):
    """Share of pairs in the right order, ties counted half."""
    good = sorted(good)
    before = sum(bisect.bisect_left(good, score) + bisect.bisect_right(good, score) for score in bad)
    return before / (2 * len(good) * len(bad))


with tempfile.TemporaryDirectory() as folder:
    scored = Path(folder) / "scored"
    command = [args.goma, "score", args.bundle, args.erasers, "--out", scored, "--no-heatmaps", "--pictures", "0", "-q"]
    subprocess.run([str(word) for word in command], check=True)
    scores = table(scored / "scores.csv")
truth = table(args.erasers / "truth.csv")
good = [scores[id] for id, row in truth.items() if row["label"] == "good"]
bad = [(max(map(float, row["severity"].split("+"))), row["kinds"], scores[id])
       for id, row in truth.items() if row["label"] != "good"]


def show(name, pieces):
    if not pieces:
        return
    aucs = [roc_auc([float(row[m]) for row in good], [float(row[m]) for row in pieces]) for m in MEASURES]
    print(f"| {name} | {len(pieces)} | " + " | ".join(f"{auc:.3f}" for auc in aucs) + " |")


print(f"{len(good)} good pieces; ROC AUC against them of\n")
print("| defects | pieces | anomaly score | probability of a defect |\n|---|---|---|---|")
show("all", [row for _, _, row in bad])
for low, high in [(LEAST, 0.3), (0.3, 0.45), (0.45, MIDDLE), (MIDDLE, 0.75), (0.75, GREATEST)]:
    within = [row for severity, _, row in bad if low <= severity < high or severity == high == GREATEST]
    show(f"severity {low:g} to {high:g}", within)
show(f"severity above the middle, {MIDDLE:g}", [row for severity, _, row in bad if severity > MIDDLE])
for kind in sorted({kind for _, kind, _ in bad if "+" not in kind}):
    show(kind, [row for _, kinds, row in bad if kinds == kind])
