"""Profile intervals of all coefficients of a regression on many rows, against one fit of it."""

from __future__ import annotations

import numpy as np
from peers import medians, report

from mlekit import Model

ROWS, COLUMNS = 100_000, 10


def data(family: str) -> tuple[np.ndarray, np.ndarray]:
    """Simulate a response and a matrix with an intercept."""
    rng = np.random.default_rng(0)
    X = np.column_stack([np.ones(ROWS), rng.normal(size=(ROWS, COLUMNS - 1))])
    eta = X @ (0.2 * rng.normal(size=COLUMNS))
    y = rng.poisson(np.exp(eta)) if family == "poisson" else rng.random(ROWS) < 1 / (1 + np.exp(-eta))
    return y.astype(float), X


def against_one_fit(family: str, rounds: int) -> None:
    """Time the intervals of a fit, and the fit of a model that is there, in one run."""
    y, X = data(family)
    model = Model.from_arrays(y, X, family=family)
    fit = model.fit()
    functions = {
        "profile intervals": lambda: fit.conf_int(method="profile"),
        "one fit of the model": model.fit,
        "one fit from the arrays on": lambda: Model.from_arrays(y, X, family=family).fit(),
    }
    found = medians(functions, rounds)
    title = f"{family}, {COLUMNS} coefficients, {ROWS:,} rows"
    report(title, "profile intervals", found, {"one fit of the model": 20.0, "one fit from the arrays on": 20.0})


if __name__ == "__main__":
    for family in ("poisson", "bernoulli"):
        against_one_fit(family, rounds=15)
