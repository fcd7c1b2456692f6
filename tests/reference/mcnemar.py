"""Exact and approximate p-values of McNemar's test.

SciPy's binomial test and chi-squared distribution; statsmodels'
`contingency_tables.mcnemar(exact=True)` and `(exact=False, correction=True)`
are these very formulas.
Run: python tests/reference/mcnemar.py > tests/reference/mcnemar.json
"""

import json

from scipy.stats import binomtest, chi2

rows = []
for b, c in [(0, 1), (1, 5), (4, 1), (10, 10), (3, 17), (25, 40), (0, 30), (150, 120), (600, 520)]:
    rows.append(
        {
            "b": b,
            "c": c,
            "exact": binomtest(min(b, c), b + c, 0.5).pvalue,
            "chi_squared": float(chi2.sf(max(abs(b - c) - 1, 0) ** 2 / (b + c), 1)),
        }
    )
print(json.dumps(rows))
