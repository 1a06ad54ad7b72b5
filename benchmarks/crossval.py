"""Cross-validation of a formula on a table, against scikit-learn's cross_val_score on its matrix.

mlekit reads the table, finds the covariance of each fit, and scores the rows trained on as well.
"""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd
from peers import medians, report
from sklearn.linear_model import LinearRegression, LogisticRegression, PoissonRegressor
from sklearn.model_selection import cross_val_score

import mlekit
from mlekit.crossval import cross_validate
from mlekit.folds import kfold

ROWS, COLUMNS, FOLDS = 100_000, 10, 5

PEERS = {
    "normal": (LinearRegression(), "mse", "neg_mean_squared_error", 4.0),
    "poisson": (
        PoissonRegressor(alpha=0, solver="newton-cholesky", tol=1e-6),
        "deviance",
        "neg_mean_poisson_deviance",
        2.0,
    ),
    "bernoulli": (
        LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-6),
        "cross_entropy",
        "neg_log_loss",
        2.0,
    ),
}


def data() -> pd.DataFrame:
    """Simulate covariates and one response for each family."""
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.normal(size=(ROWS, COLUMNS)), columns=[f"x{i}" for i in range(COLUMNS)])
    eta = table.to_numpy() @ (0.1 * rng.normal(size=COLUMNS))
    table["normal"] = eta + rng.normal(size=ROWS)
    table["poisson"] = rng.poisson(np.exp(eta)).astype(float)
    table["bernoulli"] = (rng.random(ROWS) < 1 / (1 + np.exp(-eta))).astype(float)
    return table


def speed(rounds: int) -> None:
    """Print the ratios to scikit-learn and to as many fits of all rows, and how far the scores are apart."""
    table, folds = data(), kfold(ROWS, FOLDS, seed=0)
    names = [f"x{i}" for i in range(COLUMNS)]
    X = table[names].to_numpy()
    for family, (estimator, loss, scoring, aim) in PEERS.items():
        y, formula = table[family].to_numpy(), f"{family} ~ {' + '.join(names)}"

        def ours(family=family, loss=loss, formula=formula):
            return cross_validate(formula, table, family, loss=loss, splitter=folds).scores[loss].to_numpy()

        def theirs(y=y, estimator=estimator, scoring=scoring):
            return -cross_val_score(estimator, X, y, cv=folds, scoring=scoring)

        def fits(family=family, formula=formula):
            for _ in range(FOLDS):
                mlekit.fit(formula, table, family)

        functions = {"mlekit": ours, "cross_val_score": theirs, f"{FOLDS} fits of all rows": fits}
        found = medians(functions, rounds)
        aims = {"cross_val_score": aim, f"{FOLDS} fits of all rows": 2.0}
        report(f"{family}, n = {ROWS:,}, p = {COLUMNS}, {FOLDS} folds", "mlekit", found, aims)
        print(f"    scores differ by at most {np.max(np.abs(ours() / theirs() - 1)):.1e} of their size")


if __name__ == "__main__":
    speed(int(sys.argv[1]) if len(sys.argv) > 1 else 7)
