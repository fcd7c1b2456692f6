"""Confident joint, label issues and self-confidence, by cleanlab (2.9.0).

Expected values for src/audit/suspects.rs.
Run: python tests/reference/confident_learning.py > tests/reference/confident_learning.json

Forty pieces of three classes of unequal size, some labels wrong, one class
rare.
"""

import json

import numpy as np
from cleanlab.count import compute_confident_joint
from cleanlab.filter import find_label_issues
from cleanlab.rank import get_self_confidence_for_each_label

rng = np.random.default_rng(7)
true = rng.choice(3, 40, p=[0.6, 0.3, 0.1])
labels = np.where(rng.random(40) < 0.2, rng.choice(3, 40), true)
raw = rng.gamma(1.0, size=(40, 3)) + 2.0 * np.eye(3)[true] * rng.random((40, 1))
p = np.round(raw / raw.sum(axis=1, keepdims=True), 6)
p[:, 2] = 1.0 - p[:, 0] - p[:, 1]

joint = compute_confident_joint(labels, p, calibrate=False)
# Issues by the same rule: off the diagonal of the confident joint.
issues = find_label_issues(labels, p, filter_by="confident_learning", n_jobs=1)
print(
    json.dumps(
        {
            "labels": labels.tolist(),
            "probabilities": p.tolist(),
            "joint": joint.tolist(),
            "issues": issues.tolist(),
            "self_confidence": get_self_confidence_for_each_label(labels, p).tolist(),
        }
    )
)
