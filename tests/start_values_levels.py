"""Fits of levels from the default start to simulated data, and whether those that do not converge have a maximum.

``python -m tests.start_values_levels`` prints a table of 200 fits for each family; a smaller one is a test.
"""

from __future__ import annotations

import itertools
import sys
import warnings
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from scipy import optimize
from statsmodels.tools.sm_exceptions import ConvergenceWarning

import mlekit
from mlekit.links import Array

ROWS = (30, 100, 300, 1000)
FAMILIES = ("ordered_logit", "ordered_probit", "multinomial_logit")


class Data(NamedTuple):
    """Codes without gaps, and covariates."""

    y: Array
    X: Array


def samples(name: str, count: int, seed: int = 0) -> Iterator[Data]:
    """Two to eight levels, rare ones too; one to four covariates in any units, from no effect to nearly separating."""
    numbers = itertools.count()
    while count:
        number = next(numbers)
        rng = np.random.default_rng([seed, number])
        n, k, p = ROWS[number % 4], int(rng.integers(2, 9)), int(rng.integers(1, 5))
        X, size = rng.normal(size=(n, p)), 10 ** rng.uniform(-1, 1)
        if name.startswith("ordered"):
            noise = rng.logistic(size=n) if name == "ordered_logit" else rng.normal(size=n)
            latent = X @ rng.normal(size=p) * size + noise
            y = np.searchsorted(np.quantile(latent, np.sort(rng.uniform(0.02, 0.98, k - 1))), latent)
        else:
            latent = X @ rng.normal(size=(p, k)) * size + rng.normal(size=k) + rng.gumbel(size=(n, k))
            y = latent.argmax(axis=1)
        codes = np.unique(y, return_inverse=True)[1]
        if codes.max() and 2 * codes.max() * (p + 1) <= n:
            count -= 1
            origin, units = 10.0 ** rng.uniform(-2, 2, p), 10.0 ** rng.uniform(-6, 6, p)
            yield Data(codes, (X + origin) * units)


def fit(name: str, data: Data) -> Any:
    """Fit a sample, without a word."""
    X = data.X if name.startswith("ordered") else np.column_stack([np.ones(len(data.y)), data.X])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return mlekit.Model.from_arrays(data.y, X, name).fit()


def has_maximum(name: str, data: Data) -> bool:
    """Whether no direction raises or leaves the probability of every row (Albert and Anderson 1984)."""
    X, k = (data.X - data.X.mean(axis=0)) / data.X.std(axis=0), int(data.y.max()) + 1
    rows = []
    for x, code in zip(X, data.y, strict=True):
        if name.startswith("ordered"):
            cuts = np.eye(k - 1)
            rows += [np.r_[-x, cuts[code]]] if code < k - 1 else []
            rows += [np.r_[x, -cuts[code - 1]]] if code else []
        else:
            level, x1 = np.eye(k), np.r_[1.0, x]
            rows += [np.outer(level[code] - level[j], x1)[1:].ravel() for j in range(k) if j != code]
    A = np.array(rows)
    found = optimize.linprog(-A.sum(axis=0), -A, np.zeros(len(A)), bounds=(-1, 1))
    return bool(-found.fun < 1e-6)


def verdict(name: str, data: Data) -> tuple[str, int]:
    """``converged``, ``no maximum`` for a fit that does not and is right, or what is wrong; iterations."""
    result = fit(name, data)._results
    exists, status = has_maximum(name, data), result.status.name.lower()
    if result.converged:
        ends = "converged" if exists else "wrong: converged without a maximum"
    else:
        ends = status if exists else "no maximum"
    return ends, result.optimum.iterations


def main(count: int = 200) -> None:
    """Print how the fits of every family end, and the most iterations that one took."""
    for name in FAMILIES:
        ends, iterations = zip(*(verdict(name, data) for data in samples(name, count)), strict=True)
        print(f"{name:18s} {dict(Counter(ends))}, at most {max(iterations)} iterations")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
