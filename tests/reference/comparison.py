"""Expected values of src/metrics/{holm,ranks,ranking}.rs from statsmodels,
SciPy and scikit-learn.

    python tests/reference/comparison.py > tests/reference/comparison.json

Made with statsmodels 0.15.0, SciPy 1.17.1, scikit-learn 1.9.1, numpy 2.4.6.
"""

import json
import math
import warnings

import numpy as np
from scipy import stats
from sklearn import metrics
from statsmodels.stats.multitest import multipletests

warnings.filterwarnings("ignore")
rng = np.random.default_rng(20261125)

holm = []
for p in (
    rng.random(1),
    rng.random(7),
    np.sort(rng.random(12))[::-1],
    rng.random(40) ** 4,
    np.array([0.001953125] * 5 + [0.5, 0.5, 1.0]),
    np.array([0.0, 0.0, 1.0]),
):
    corrected = multipletests(p, method="holm")[1]
    holm.append({"p": p.tolist(), "corrected": corrected.tolist()})

ranks = []
for k, n, decimals in ((3, 10, 4), (3, 9, 1), (6, 10, 4), (6, 10, 1), (12, 10, 2), (20, 30, 3)):
    x = np.round(rng.random((k, n)) + np.arange(k)[:, None] * 0.05, decimals)
    means = np.mean([stats.rankdata(-x[:, fold]) for fold in range(n)], axis=0)
    chi, p = stats.friedmanchisquare(*x)
    q = stats.studentized_range.ppf(0.95, k, np.inf) / math.sqrt(2)
    ranks.append(
        {
            "values": x.tolist(),
            "ranks": means.tolist(),
            "chi_squared": float(chi),
            "p_value": float(p),
            "critical_difference": float(q * math.sqrt(k * (k + 1) / (6 * n))),
        }
    )

one_vs_rest = []
for k in (2, 3, 6):
    y = np.concatenate([np.arange(k), rng.integers(0, k, 50)])
    logits = np.round(rng.normal(size=(len(y), k)) + np.eye(k)[y], 1)
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    one_hot = np.eye(k)[y]
    one_vs_rest.append(
        {
            "class": y.tolist(),
            "probabilities": p.tolist(),
            "auc_pr": metrics.average_precision_score(one_hot, p, average="weighted"),
            "roc_auc": metrics.roc_auc_score(one_hot, p, average="weighted"),
        }
    )

print(
    json.dumps({"holm": holm, "ranks": ranks, "one_vs_rest": one_vs_rest}, separators=(",", ":"))
)
