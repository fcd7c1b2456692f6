"""How much a backbone's pooled features tell of magnetic tiles: the figure in models/backbone/README.md.

    python docs/backbone.py GOMA TILES [--backbone NAME] [--weights FILE]

GOMA is the program, TILES the folder of tiles (a folder a class, pieces.csv with file,class,piece).
Logistic regression on standardised features, ten splits that keep a piece's photographs together.
Needs numpy and scikit-learn.
"""
import argparse
import csv
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.model_selection import GroupShuffleSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

parser = argparse.ArgumentParser()
parser.add_argument("goma")
parser.add_argument("tiles", type=Path)
parser.add_argument("--backbone", default="goma-resnet18-w32")
parser.add_argument("--weights")
args = parser.parse_args()

with tempfile.TemporaryDirectory() as folder:
    table = Path(folder) / "features.csv"
    command = [args.goma, "features", "--backbone", args.backbone, "--size", "224"]
    if args.weights:
        command += ["--weights", args.weights]
    subprocess.run([*command, str(args.tiles), "--out", str(table), "--quiet"], check=True)
    rows = list(csv.reader(table.open()))
pieces = {row["file"]: (row["class"], row["piece"])
          for row in csv.DictReader((args.tiles / "pieces.csv").open())}
known = {Path(file).stem: facts for file, facts in pieces.items()}
head, rows = rows[0], rows[1:]
assert head[0] == "id"
x = np.array([[float(value) for value in row[1:]] for row in rows])
facts = [known[Path(row[0]).name] for row in rows]
y = np.array([label != "good" for label, _ in facts])
groups = np.array([piece for _, piece in facts])

areas, precisions = [], []
for train, test in GroupShuffleSplit(10, test_size=0.25, random_state=0).split(x, y, groups):
    regression = LogisticRegression(C=0.01, max_iter=5000, class_weight="balanced")
    model = make_pipeline(StandardScaler(), regression)
    scores = model.fit(x[train], y[train]).decision_function(x[test])
    areas.append(roc_auc_score(y[test], scores))
    precisions.append(average_precision_score(y[test], scores))
print(f"{len(y)} photographs, {y.sum()} defective, {len(set(groups))} pieces, {x.shape[1]} features")
print(f"ROC AUC {np.mean(areas):.3f} +- {np.std(areas):.3f}, "
      f"average precision {np.mean(precisions):.3f}")
