"""Tables of predictions, and what scikit-learn says of them: what
`goma evaluate --predictions TABLE --json` is to print.

    python tests/reference/predictions.py > tests/reference/predictions.json

Made with scikit-learn 1.9.1, numpy 2.4.6.
"""

import json

import numpy as np
from sklearn import metrics as m

rng = np.random.default_rng(20261126)
cases = []


def of_score(name, defect, score, ids=None):
    ids = [f"p{i}" for i in range(len(score))] if ids is None else ids
    rows = [f"{i},{'crack' if d else 'good'},{float(s)!r}" for i, d, s in zip(ids, defect, score)]
    both = defect.any() and not defect.all()
    expected = {
        "n": len(score),
        "roc_auc": m.roc_auc_score(defect, score) if both else None,
        "auc_pr": m.average_precision_score(defect, score) if defect.any() else None,
    }
    t = 0.5
    p = score >= t
    if defect.any():
        expected |= {
            "f1": m.f1_score(defect, p, zero_division=0),
            "precision": m.precision_score(defect, p, zero_division=0),
            "recall": m.recall_score(defect, p),
            "aql": 100 - 100 * m.recall_score(defect, p),
        }
    if not defect.all():
        expected["specificity"] = m.recall_score(~defect, ~p)
    if both:
        expected["kappa"] = m.cohen_kappa_score(defect, p)
    cases.append({"name": name, "table": "\n".join(["id,label,score", *rows]) + "\n", "expected": expected})


defect = rng.random(60) < 0.35
of_score("random, ids in no order", defect, rng.normal(size=60) + defect, rng.permutation(900)[:60])
of_score("ties", defect, np.round(rng.random(60) + 0.3 * defect, 1))
of_score("all equal", defect, np.full(60, 0.5))
of_score("no defect", np.zeros(7, bool), rng.random(7))
of_score("no good piece", np.ones(7, bool), rng.random(7))
of_score("one defect", np.arange(12) == 5, np.round(rng.random(12), 1))

for name, k, absent in (("three classes", 3, None), ("six classes", 6, None), ("a class absent", 4, 2)):
    classes = ["good", *(f"d{i}" for i in range(1, k))]
    y = np.concatenate([np.arange(k), rng.integers(0, k, 50)])
    y = rng.permutation(y[y != absent])
    logits = np.round(rng.normal(size=(len(y), k)) + 1.3 * np.eye(k)[y], 1)  # ties
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    c = p.argmax(axis=1)
    order = rng.permutation(k)  # columns in no order
    head = ",".join(["id", "label", *(f"p_{classes[i]}" for i in order)])
    rows = [f"{i},{classes[t]}," + ",".join(repr(float(q[i])) for i in order) for i, (t, q) in enumerate(zip(y, p))]
    present = sorted(set(y))
    shares = np.array([np.mean(y == i) for i in present])
    areas = np.array([m.roc_auc_score(y == i, p[:, i]) for i in present])
    score = 1 - p[:, 0]
    expected = {
        "n": len(y),
        "roc_auc": m.roc_auc_score(y > 0, score),
        "auc_pr": m.average_precision_score(y > 0, score),
        "roc_auc_one_vs_rest": float(shares @ areas),
        "accuracy": m.accuracy_score(y, c),
        "kappa": m.cohen_kappa_score(y, c),
        "macro_f1": m.f1_score(y, c, average="macro", zero_division=0),
        "weighted_f1": m.f1_score(y, c, average="weighted", zero_division=0),
        "correct_defect_class_recall": float(np.mean((c == y)[y > 0])),
    }
    if absent is None:
        full = m.roc_auc_score(y, p, multi_class="ovr", average="weighted")
        assert abs(full - expected["roc_auc_one_vs_rest"]) < 1e-12
    cases.append({"name": name, "table": "\n".join([head, *rows]) + "\n", "expected": expected})

print(json.dumps(cases, indent=0))
