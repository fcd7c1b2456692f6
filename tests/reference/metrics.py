"""Expected values of src/metrics from scikit-learn, SciPy and numpy.

    python tests/reference/metrics.py > tests/reference/metrics.json

Made with scikit-learn 1.9.1, SciPy 1.17.1, numpy 2.4.6. AUPRO has no reference
implementation in these; `aupro` below is the definition, written plainly.
"""

import json
import warnings

import numpy as np
from scipy import ndimage, stats
from sklearn import metrics as m

warnings.filterwarnings("ignore")
rng = np.random.default_rng(20240502)


def none_if_nan(x):
    x = float(x)
    return None if np.isnan(x) else x


def binary_case(name, y, s):
    y, s = np.asarray(y, bool), np.asarray(s, float)
    both = y.any() and not y.all()
    out = {"name": name, "defect": y.tolist(), "scores": s.tolist()}
    out["roc_auc"] = m.roc_auc_score(y, s) if both else None
    out["auc_pr"] = m.average_precision_score(y, s) if y.any() else None
    if y.any():
        p, r, t = m.precision_recall_curve(y, s)
        with np.errstate(invalid="ignore"):
            f1 = np.nan_to_num(2 * p * r / (p + r))[:-1]
        # Equal F1 may differ in the last bit: of those the lowest threshold.
        at = int(np.flatnonzero(f1 >= f1.max() - 1e-12)[0])
        t = float(t[at])
        predicted = s >= t
        out["best"] = {
            "threshold": t,
            "f1": m.f1_score(y, predicted),
            "precision": m.precision_score(y, predicted),
            "recall": m.recall_score(y, predicted),
            "specificity": m.recall_score(~y, ~predicted),
            "accuracy": m.accuracy_score(y, predicted),
            "kappa": none_if_nan(m.cohen_kappa_score(y, predicted)),
            "confusion": m.confusion_matrix(y, predicted, labels=[False, True]).tolist(),
        }
    if both:
        fpr, tpr, t = m.roc_curve(y, s, drop_intermediate=False)
        j = tpr - fpr
        # Of equals the lowest threshold; the first point lies above all scores.
        at = int(np.flatnonzero(j >= j.max() - 1e-12)[-1])
        out["youden"] = {"j": float(j[at]), "threshold": float(t[at]) if at else None}
        out["recall_at_5pct"] = float(tpr[fpr <= 0.05].max())
    return out


binary = []
for i in range(6):
    n = int(rng.integers(20, 60))
    y = rng.random(n) < 0.3
    binary.append(binary_case(f"random {i}", y, np.round(rng.normal(size=n) + y, 4)))
for i in range(6):
    n = int(rng.integers(20, 60))
    y = rng.random(n) < 0.4
    binary.append(binary_case(f"ties {i}", y, np.round(rng.normal(size=n) + y)))
y = [False] * 7 + [True] * 5
binary += [
    binary_case("all equal", y, [0.5] * 12),
    binary_case("perfect", y, np.arange(12) / 12),
    binary_case("inverted", y, -np.arange(12.0)),
    binary_case("one defect", [False] * 9 + [True], np.round(rng.random(10), 3)),
    binary_case("one good", [True] * 9 + [False], np.round(rng.random(10), 3)),
    binary_case("no defect", [False] * 5, [0.1, 0.2, 0.3, 0.3, 0.9]),
    binary_case("no good", [True] * 5, [0.1, 0.2, 0.3, 0.3, 0.9]),
    binary_case("tiny and huge", [False, True, False, True], [1e-300, 5e-324, -1e300, 1e300]),
]


def classes_case(name, y, p, k):
    y, p = np.asarray(y), np.asarray(p)
    c = p.argmax(axis=1)
    labels = list(range(k))
    precision, recall, f1, _ = m.precision_recall_fscore_support(
        y, c, labels=labels, zero_division=0
    )
    out = {
        "name": name,
        "k": k,
        "class": y.tolist(),
        "probabilities": p.tolist(),
        "confusion": m.confusion_matrix(y, c, labels=labels).tolist(),
        "normalised": m.confusion_matrix(y, c, labels=labels, normalize="true").tolist(),
        "precision": precision.tolist(),
        "recall": recall.tolist(),
        "f1": f1.tolist(),
        "accuracy": m.accuracy_score(y, c),
        "kappa": none_if_nan(m.cohen_kappa_score(y, c)),
        "defect_recall": m.recall_score(y > 0, c > 0) if (y > 0).any() else None,
    }
    for average in ("macro", "weighted"):
        pr, re, f, _ = m.precision_recall_fscore_support(y, c, average=average, zero_division=0)
        out[average] = [pr, re, f]
    if set(y) == set(labels):
        out["roc_auc"] = m.roc_auc_score(y, p, multi_class="ovr", average="weighted")
    return out


classes = []
for i, k in enumerate((3, 4, 6)):
    n = 40
    y = np.concatenate([np.arange(k), rng.integers(0, k, n - k)])
    logits = rng.normal(size=(n, k)) + 1.5 * np.eye(k)[y]
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    classes.append(classes_case(f"{k} classes", y, p, k))
p = np.full((6, 3), 1 / 3)
classes.append(classes_case("no opinion", [0, 0, 1, 1, 2, 2], p, 3))
p = np.eye(3)[[0, 0, 0, 1]]
classes.append(classes_case("a class never seen or predicted", [0, 0, 1, 1], p, 3))
classes.append(classes_case("one class", [1, 1], np.eye(3)[[1, 1]], 3))


def aupro(maps, masks, limit=0.3):
    regions = []
    for a, mask in zip(maps, masks):
        labels, n = ndimage.label(mask, structure=np.ones((3, 3)))
        regions += [a[labels == r] for r in range(1, n + 1)]
    good = np.concatenate([a[~mask] for a, mask in zip(maps, masks)])
    xs, ys = [0.0], [0.0]
    for t in np.unique(np.concatenate([a.ravel() for a in maps]))[::-1]:
        xs.append(np.mean(good >= t))
        ys.append(np.mean([np.mean(r >= t) for r in regions]))
    xs, ys = np.array(xs), np.array(ys)
    inside = xs <= limit
    area = np.trapezoid(ys[inside], xs[inside])
    if not inside.all():
        i = int(np.flatnonzero(~inside)[0])
        y = ys[i - 1] + (ys[i] - ys[i - 1]) * (limit - xs[i - 1]) / (xs[i] - xs[i - 1])
        area += (limit - xs[i - 1]) * (ys[i - 1] + y) / 2
    return float(area / limit)


def pixel_case(name, maps, masks):
    maps = [np.asarray(a, np.float32) for a in maps]
    masks = [np.asarray(k, bool) for k in masks]
    y = np.concatenate([k.ravel() for k in masks])
    s = np.concatenate([a.ravel() for a in maps])
    return {
        "name": name,
        "shape": list(maps[0].shape),
        "maps": [[float(f"{v:.9g}") for v in a.ravel()] for a in maps],
        "masks": [k.ravel().tolist() for k in masks],
        "roc_auc": m.roc_auc_score(y, s),
        "auc_pr": m.average_precision_score(y, s),
        "aupro": aupro(maps, masks),
    }


def blobs(n, h, w, share):
    return [ndimage.gaussian_filter(rng.normal(size=(h, w)), 1.2) > share for _ in range(n)]


masks = blobs(4, 12, 15, 0.35)
masks[1][:] = False
signal = [np.round(rng.normal(size=k.shape) + 1.5 * k, 3) for k in masks]
pixels = [
    pixel_case("noise and signal", signal, masks),
    pixel_case("coarse", [np.round(a) for a in signal], masks),
    pixel_case("flat", [np.full(k.shape, 0.5) for k in masks], masks),
    pixel_case("perfect", [k.astype(float) for k in masks], masks),
    pixel_case("inverted", [1.0 - k for k in masks], masks),
]


def wilcoxon_case(name, x, y, method):
    out = {"name": name, "x": list(map(float, x)), "y": list(map(float, y))}
    for alternative in ("two-sided", "greater", "less"):
        r = stats.wilcoxon(
            x, y, zero_method="wilcox", alternative=alternative, method=method, correction=False
        )
        out[alternative] = [float(r.statistic), float(r.pvalue)]
    return out


every_assignment = stats.PermutationMethod(n_resamples=np.inf)
wilcoxon = []
for n in (3, 9, 10, 20, 45):
    x = rng.normal(size=n)
    wilcoxon.append(wilcoxon_case(f"{n} folds", x, x + rng.normal(size=n) + 0.3, "exact"))
x = np.round(rng.random(11), 1)
wilcoxon.append(wilcoxon_case("ties and zeros", x, np.full(11, 0.5), every_assignment))
x = rng.integers(0, 4, 10)
wilcoxon.append(wilcoxon_case("whole numbers", x, rng.integers(0, 4, 10), every_assignment))
x = rng.normal(size=80)
wilcoxon.append(wilcoxon_case("80 pairs", x, x + rng.normal(size=80) + 0.2, "asymptotic"))
x = np.round(rng.normal(size=70), 1)
wilcoxon.append(wilcoxon_case("70 pairs with ties", x, np.zeros(70), "asymptotic"))

print(
    json.dumps(
        {
            "binary": binary,
            "classes": classes,
            "pixels": pixels,
            "wilcoxon": wilcoxon,
        },
        separators=(",", ":"),
    )
)
