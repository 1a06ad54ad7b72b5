"""Regression on many rows, with standard errors, against scikit-learn, glum and statsmodels."""

from __future__ import annotations

import sys
import tracemalloc
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from peers import medians, report

from mlekit import Model

ROWS, COLUMNS = 1_000_000, 20


def data(family: str, rows: int = ROWS) -> tuple[np.ndarray, np.ndarray]:
    """Simulate a response and a matrix with an intercept."""
    rng = np.random.default_rng(0)
    X = np.column_stack([np.ones(rows), rng.normal(size=(rows, COLUMNS - 1))])
    eta = X @ (0.1 * rng.normal(size=COLUMNS))
    if family == "poisson":
        return rng.poisson(np.exp(eta)).astype(float), X
    return (rng.random(rows) < 1 / (1 + np.exp(-eta))).astype(float), X


def mlekit_fit(family: str, y: np.ndarray, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients and standard errors by mlekit."""
    fit = Model.from_arrays(y, X, family=family).fit()
    return np.asarray(fit.params), np.asarray(fit.bse)


def sklearn_fit(family: str, y: np.ndarray, X: np.ndarray) -> np.ndarray:
    """Coefficients by scikit-learn's newton-cholesky, which has no standard errors."""
    from sklearn.linear_model import LogisticRegression, PoissonRegressor

    if family == "poisson":
        return PoissonRegressor(alpha=0, solver="newton-cholesky", fit_intercept=False).fit(X, y).coef_
    return LogisticRegression(C=np.inf, solver="newton-cholesky", fit_intercept=False).fit(X, y).coef_[0]


def glum_fit(family: str, y: np.ndarray, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients and standard errors by glum's irls-ls."""
    from glum import GeneralizedLinearRegressor

    name = "poisson" if family == "poisson" else "binomial"
    model = GeneralizedLinearRegressor(family=name, alpha=0, solver="irls-ls", fit_intercept=False).fit(X, y)
    return model.coef_, model.std_errors(X, y)


def statsmodels_fit(family: str, y: np.ndarray, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients and standard errors by statsmodels' GLM."""
    import statsmodels.api as sm

    kind = sm.families.Poisson() if family == "poisson" else sm.families.Binomial()
    fit = sm.GLM(y, X, family=kind).fit()
    return fit.params, fit.bse


PEERS: dict[str, tuple[Callable[..., Any], float]] = {
    "scikit-learn newton-cholesky (no std errors)": (sklearn_fit, 0.35),
    "glum irls-ls with std_errors": (glum_fit, 0.25),
    "statsmodels GLM": (statsmodels_fit, 0.06),
}


def speed(rounds: int) -> None:
    """Print the ratios, and how far the answers are apart."""
    for family in ("poisson", "bernoulli"):
        y, X = data(family)
        functions = {"mlekit": lambda y=y, X=X, f=family: mlekit_fit(f, y, X)}
        functions |= {name: lambda y=y, X=X, f=family, peer=peer: peer(f, y, X) for name, (peer, _) in PEERS.items()}
        slow = functions.pop("statsmodels GLM")
        found = medians(functions, rounds)
        pair = medians({"mlekit": functions["mlekit"], "statsmodels GLM": slow}, max(1, rounds // 4))
        found["statsmodels GLM"] = pair["statsmodels GLM"] * found["mlekit"] / pair["mlekit"]
        aims = {name: aim for name, (_, aim) in PEERS.items()}
        report(f"{family}, n = {ROWS:,}, p = {COLUMNS}, with standard errors", "mlekit", found, aims)
        (params, bse), (theirs, errors) = mlekit_fit(family, y, X), statsmodels_fit(family, y, X)
        print(f"  against statsmodels: coefficients {np.abs((params - theirs) / bse).max():.1e} standard errors apart,")
        print(f"  standard errors {np.abs(bse / errors - 1).max():.1e} apart (relative)")


def peak_extra_memory(family: str) -> float:
    """Peak memory that a fit asks for (NumPy reports its allocations to tracemalloc), as a share of the matrix."""
    y, X = data(family)
    tracemalloc.start()
    mlekit_fit(family, y, X)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak / X.nbytes


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    speed(rounds=int(sys.argv[1]) if len(sys.argv) > 1 else 7)
    for kind in ("poisson", "bernoulli"):
        print(f"peak extra memory, {kind}: {peak_extra_memory(kind):.2f} of the size of X (aim 0.5)")
