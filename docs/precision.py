"""What scoring in bfloat16 changes, beside float32, on the same pieces.

    python docs/precision.py target/release/goma BUNDLE DATA [--runs 3]

Scores DATA with both, in turn. Prints the times, the largest and mean difference of the anomaly score
and of the probability of a defect, the decisions that changed, and, where DATA has labels, both ROC
AUCs and average precisions. Needs a processor with AMX-BF16 or AVX512-BF16; Python's own library only.
"""
import argparse
import csv
import json
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

parser = argparse.ArgumentParser()
parser.add_argument("goma")
parser.add_argument("bundle")
parser.add_argument("data")
parser.add_argument("--runs", type=int, default=3)
args = parser.parse_args()
PRECISIONS = ["float32", "bfloat16"]


def run(*words):
    return subprocess.run([args.goma, *map(str, words)], check=True, capture_output=True, text=True).stdout


def scored(precision, folder):
    begun = time.perf_counter()
    run("score", args.bundle, args.data, "--out", folder, "--precision", precision, "-q")
    seconds = time.perf_counter() - begun
    with open(folder / "scores.csv", newline="") as file:
        return seconds, {row["id"]: row for row in csv.DictReader(file)}


with tempfile.TemporaryDirectory() as temporary:
    seconds = {precision: [] for precision in PRECISIONS}
    rows = {}
    for number in range(args.runs):
        for precision in PRECISIONS:
            took, rows[precision] = scored(precision, Path(temporary) / f"{precision}-{number}")
            seconds[precision].append(took)
    for precision in PRECISIONS:
        print(f"{precision}: {statistics.median(seconds[precision]):.2f} s for {len(rows[precision])} pieces")
    pairs = [(rows["float32"][key], rows["bfloat16"][key]) for key in rows["float32"]]
    for column in ("anomaly_score", "p_defect"):
        differences = [abs(float(a[column]) - float(b[column])) for a, b in pairs
                       if a.get(column) and b.get(column)]
        if differences:
            print(f"{column}: largest difference {max(differences):.1e}, mean {statistics.mean(differences):.1e}")
    changed = [a["id"] for a, b in pairs if a["decision"] != b["decision"]]
    print(f"decisions changed: {len(changed)} of {len(pairs)} {' '.join(changed[:10])}")
    for precision in PRECISIONS:
        result = json.loads(run("evaluate", args.bundle, args.data, "--precision", precision, "--json"))
        pixels = result.get("pixels") or {}
        parts = {"classifier": result, "anomaly score": result.get("anomaly_score") or {}, "pixels": pixels}
        figures = [f"{name} {figure} {part[figure]:.4f}" for name, part in parts.items()
                   for figure in ("roc_auc", "auc_pr", "average_precision", "aupro")
                   if isinstance(part.get(figure), float)]
        print(f"{precision}: {', '.join(figures)}")
