"""A bootstrap of a Poisson regression, against a loop over fits of statsmodels."""

from __future__ import annotations

import numpy as np
import statsmodels.api as sm
from peers import medians, report

from mlekit import Model

ROWS, COLUMNS, DRAWS = 10_000, 5, 1000
# The loop is timed on some of its draws.
TIMED = 50


def main() -> None:
    """Time both in one run, and compare the standard errors."""
    rng = np.random.default_rng(0)
    X = np.column_stack([np.ones(ROWS), rng.normal(size=(ROWS, COLUMNS - 1))])
    y = rng.poisson(np.exp(X @ (0.2 * rng.normal(size=COLUMNS)))).astype(float)
    fit = Model.from_arrays(y, X, family="poisson").fit()

    def peer() -> np.ndarray:
        draws = []
        for _ in range(TIMED):
            rows = rng.integers(ROWS, size=ROWS)
            draws.append(sm.GLM(y[rows], X[rows], family=sm.families.Poisson()).fit().params)
        return np.array(draws)

    found = medians({"bootstrap": lambda: fit.bootstrap(DRAWS, seed=1), "loop": peer}, 5)
    found["loop"] *= DRAWS / TIMED
    report(f"{DRAWS} resamples, {COLUMNS} coefficients, {ROWS:,} rows", "bootstrap", found, {"loop": 0.05})
    ratio = fit.bootstrap(DRAWS, seed=1).bse.to_numpy() / peer().std(axis=0, ddof=1)
    print(f"standard errors over those of the loop: {np.round(ratio, 2)}")


if __name__ == "__main__":
    main()
