"""Mutual information: goma beside scikit-learn on 1,000 x 1,024 numbers.

    python benches/peers/mutual_information.py

Runs `cargo bench --bench selection`, reads Criterion's median, times
scikit-learn's `mutual_info_classif` (same sizes, k = 3) with one job and with
all cores, three runs each, and prints the ratios. Needs numpy and scikit-learn.
"""

import json
import os
import statistics
import subprocess
import time
from pathlib import Path

import numpy as np
from sklearn.feature_selection import mutual_info_classif

root = Path(__file__).resolve().parents[2]
subprocess.run(["cargo", "bench", "--bench", "selection"], cwd=root, check=True)
target = Path(os.environ.get("CARGO_TARGET_DIR", root / "target"))
estimates = target / "criterion/mutual_information_1000x1024/new/estimates.json"
goma = json.loads(estimates.read_text())["median"]["point_estimate"] / 1e9

rng = np.random.default_rng(1)
y = (np.arange(1000) % 3 == 0).astype(int)
x = rng.normal(size=(1000, 1024)) + y[:, None] * (np.arange(1024) % 4) / 4
print(f"goma                   {goma:8.4f} s")
for name, jobs in (("scikit-learn, 1 job  ", 1), ("scikit-learn, all jobs", -1)):
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        mutual_info_classif(x, y, n_neighbors=3, random_state=0, n_jobs=jobs)
        seconds.append(time.perf_counter() - start)
    median = statistics.median(seconds)
    print(f"{name} {median:8.4f} s   {median / goma:6.1f} times goma's")
