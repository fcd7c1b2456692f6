"""One-sided p-values of the Mann-Whitney test, with and without ties, from SciPy.

Run: python tests/reference/mann_whitney.py > tests/reference/mann_whitney.json
"""

import json

import numpy as np
from scipy.stats import mannwhitneyu

rng = np.random.default_rng(5)
rows = []
for good, defects, shift, digits in [
    (5, 4, 0.0, 6),
    (30, 12, 0.5, 6),
    (30, 12, 0.5, 0),
    (80, 40, -0.4, 1),
    (60, 60, 1.2, 1),
    (3, 50, 0.2, 0),
]:
    scores = np.round(np.r_[rng.normal(0, 1, good), rng.normal(shift, 1, defects)], digits)
    defect = np.r_[np.zeros(good, bool), np.ones(defects, bool)]
    p = mannwhitneyu(
        scores[defect], scores[~defect], alternative="greater", method="asymptotic"
    ).pvalue
    rows.append({"scores": scores.tolist(), "defect": defect.tolist(), "p": float(p)})
print(json.dumps(rows))
