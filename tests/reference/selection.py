"""Expected values of src/selection.rs from scikit-learn.

    python tests/reference/selection.py > tests/reference/selection.json

Made with scikit-learn 1.9.1, numpy 2.4.6. `mutual_info_classif` is run with a
random state whose noise is zero; everything else is scikit-learn's own.
"""

import json

import numpy as np
import sklearn.feature_selection._mutual_info as module


class NoNoise:
    def standard_normal(self, size):
        return np.zeros(size)


module.check_random_state = lambda _: NoNoise()


def case(name, columns, y, k=3):
    x = np.array(columns, dtype=float).T.copy()
    y = np.array(y)
    mi = module.mutual_info_classif(x, y, n_neighbors=k)
    return {
        "name": name,
        "k": k,
        "class": y.tolist(),
        "columns": [list(map(float, c)) for c in columns],
        "mutual_information": mi.tolist(),
    }


rng = np.random.default_rng(20240501)


def signal(y, shift, decimals):
    return np.round(rng.normal(size=len(y)) + shift * np.asarray(y), decimals)


cases = []
y = rng.integers(0, 2, 150)
cases.append(
    case(
        "two classes: smooth, rounded, coarse, binary, constant, large offset",
        [
            signal(y, 1.5, 6),
            signal(y, 0.7, 2),
            signal(y, 1.0, 1),
            signal(y, 2.0, 0),
            (rng.random(150) < 0.3 + 0.4 * y).astype(float),
            np.full(150, 3.7),
            1000 + signal(y, 1.0, 4),
            1e-9 * signal(y, 1.0, 4),
            np.round(np.maximum(signal(y, 1.0, 3), 0), 3),
        ],
        y,
    )
)
y = rng.permutation([0] * 90 + [1] * 20 + [2] * 7 + [3] * 3 + [4] * 2 + [5])
cases.append(
    case(
        "six classes down to a singleton",
        [signal(y, 1.0, 5), signal(y, 0.5, 1), signal(y, 2.0, 0), 50 + signal(y, 1, 4)],
        y,
    )
)
y = rng.permutation([0] * 40 + [1] * 8)
for k in (1, 5, 10):
    cases.append(case(f"k = {k}", [signal(y, 1.0, 5), signal(y, 1.0, 1)], y, k))
y = [0, 0, 1, 1]
cases.append(case("two of each", [[0.1, 0.2, 0.8, 0.9], [1, 1, 1, 1], [0, 1, 0, 1]], y))
y = rng.integers(0, 2, 400)
cases.append(case("400 rows", [signal(y, 0.5, 2), signal(y, 0.3, 4)], y))
# A generator of its own: the cases above stay as they are.
rng = np.random.default_rng(20261125)
y = rng.permutation([0] * 30 + [1] * 30)
discrete = rng.integers(0, 3, 60).astype(float)
cases.append(
    case(
        "ties and constants: two values, three, one odd one out, almost constant, halves equal",
        [
            y.astype(float),
            discrete,
            np.where(np.arange(60) == 7, 1.0, 0.0),
            1.0 + 1e-17 * rng.normal(size=60),
            0.1 + 1e-15 * rng.integers(0, 2, 60),
            np.repeat([0.0, 2.5], 30),
            np.zeros(60),
            np.full(60, 1e300),
            np.round(rng.normal(size=60), 1) * 1e-160,
            signal(y, 3.0, 1),
            np.round(signal(y, 4.0, 2) * 3) / 3,
            np.where(y == 1, np.round(rng.normal(size=60), 1), 9.0),
        ],
        y,
    )
)
# The same rows twice over: every distance to a neighbour is 0 or tied.
y = np.tile(rng.integers(0, 3, 25), 2)
cases.append(
    case(
        "every sample twice",
        [np.tile(rng.normal(size=25), 2), np.tile(rng.integers(0, 5, 25), 2).astype(float)],
        y,
    )
)
for sizes in ([3, 3], [2, 4, 50], [7, 6, 5, 4], [1, 1, 9], [1, 2, 1]):
    y = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    cases.append(
        case(
            f"few of each class: {sizes}",
            [signal(y, 1.0, 6), signal(y, 1.0, 1), signal(y, 2.0, 0), np.full(len(y), -2.0)],
            y,
        )
    )
print(json.dumps(cases, separators=(",", ":")))
