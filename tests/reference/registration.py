"""Expected translations of pieces for src/draem/registration.rs, by direct correlation in SciPy.

    python tests/reference/registration.py > tests/reference/registration.json

Made with SciPy 1.17.1, NumPy 2.4.6. Pieces are sums of Gaussian blobs on an even ground, so that correlating them
directly, without a transform and without wrapping round, is the same thing.
"""
import json

import numpy as np
from scipy.signal import correlate

SIDE, REACH = 128, 16
BLOBS = [  # height, down, right, radius
    [0.6, 50.0, 44.0, 6.0],
    [-0.3, 58.5, 71.0, 4.0],
    [0.4, 80.0, 60.0, 3.0],
    [0.25, 72.0, 85.0, 8.0],
]
MOVED = [[0.0, 0.0], [3.0, -5.0], [-7.25, 2.5], [0.4, 11.7], [-12.0, -12.4]]


def piece(down, right):
    y, x = np.mgrid[:SIDE, :SIDE].astype(float)
    return 0.3 + sum(
        a * np.exp(-((y - cy - down) ** 2 + (x - cx - right) ** 2) / (2 * s * s)) for a, cy, cx, s in BLOBS
    )


def gradient(grey):
    field = np.zeros_like(grey, dtype=complex)
    field[1:-1, 1:-1] = (grey[1:-1, 2:] - grey[1:-1, :-2]) + 1j * (grey[2:, 1:-1] - grey[:-2, 1:-1])
    return field


def summit(before, middle, after):
    return 0.5 * (before - after) / (before - 2 * middle + after)


usual = gradient(piece(0, 0))
cases = []
for down, right in MOVED:
    field = gradient(piece(down, right))
    agreement = correlate(field, usual, mode="full", method="direct").real
    centre = SIDE - 1
    window = agreement[centre - REACH : centre + REACH + 1, centre - REACH : centre + REACH + 1]
    y, x = np.unravel_index(window.argmax(), window.shape)
    y, x = y + centre - REACH, x + centre - REACH
    peak = agreement[y, x]
    cases.append(
        {
            "moved": [down, right],
            "found": [
                y - centre + summit(agreement[y - 1, x], peak, agreement[y + 1, x]),
                x - centre + summit(agreement[y, x - 1], peak, agreement[y, x + 1]),
            ],
            "likeness": peak / np.linalg.norm(usual) / np.linalg.norm(field),
        }
    )
print(json.dumps({"blobs": BLOBS, "cases": cases}, indent=1))
