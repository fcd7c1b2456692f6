"""Expected values of src/classifier from scikit-learn, on its wine data.

    python tests/reference/classifier.py > tests/reference/classifier.json

Made with scikit-learn 1.9.1, numpy 2.4.6.
"""

import json
import warnings

import numpy as np
from sklearn.calibration import _sigmoid_calibration
from sklearn.datasets import load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

warnings.filterwarnings("ignore")
wine = load_wine()
rng = np.random.default_rng(20240503)
rows = rng.permutation(len(wine.target))[:120]
x, y = wine.data[rows][:, [1, 2, 4, 7, 9]], wine.target[rows]
train, test = slice(0, 90), slice(90, 120)
scaler = StandardScaler().fit(x[train])
z = scaler.transform(x)
second = y == 1


def svc(weight):
    machine = SVC(C=1.0, gamma="scale", tol=1e-8, class_weight=weight)
    return machine.fit(z[train], second[train]).decision_function(z[test]).tolist()


def logistic(target):
    model = LogisticRegression(C=1.0, tol=1e-10, max_iter=10_000)
    return model.fit(z[train], target[train]).predict_proba(z[test]).tolist()


f = np.round(rng.normal(size=40) + 0.8 * (np.arange(40) % 3 == 0), 4)
positive = np.arange(40) % 3 == 0
a, b = _sigmoid_calibration(f, positive)
print(
    json.dumps(
        {
            "train": x[train].tolist(),
            "class": y[train].tolist(),
            "test": x[test].tolist(),
            "svc": svc(None),
            "svc_balanced": svc("balanced"),
            "logistic": logistic(second),
            "softmax": logistic(y),
            "platt": {"f": f.tolist(), "positive": positive.tolist(), "a": a, "b": b},
        },
        separators=(",", ":"),
    )
)
