"""Zero-inflated and hurdle counts in mpmath, and the points far out at which derivatives are compared."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
from mpmath import mp, mpf

from mlekit.families import GenericLikelihood
from mlekit.jets import Rows
from mlekit.links import Array
from tests import mp as exact
from tests.mp_counts import log_density as mixed


def _poisson(y: Any, eta: Any) -> Any:
    return y * eta - mp.exp(eta) - mp.loggamma(y + 1)


def _geometric(y: Any, eta: Any) -> Any:
    return -mp.log1p(mp.exp(-eta)) - y * mp.log1p(mp.exp(eta))


#: Inner family by name: log-density at linear predictors, with the default links.
INNER: dict[str, Callable[..., Any]] = {
    "poisson": _poisson,
    "geometric": _geometric,
    "negative_binomial": lambda y, *eta: mixed("negative_binomial", y, *eta),
    "negative_binomial_1": lambda y, *eta: mixed("negative_binomial_1", y, *eta),
}


def zero_inflated(inner: str, link: str) -> Callable[..., Any]:
    """Log-density of a count at linear predictors."""
    density = INNER[inner]

    def log_density(y: Any, *eta: Any) -> Any:
        p, q = exact.theta(link, eta[-1])
        f = mp.exp(density(y, *eta[:-1]))
        return mp.log(p + q * f) if y == 0 else mp.log(q) + density(y, *eta[:-1])

    return log_density


def hurdle(inner: str, link: str) -> Callable[..., Any]:
    """Log-density of a count at linear predictors."""
    density = INNER[inner]

    def log_density(y: Any, *eta: Any) -> Any:
        p, q = exact.theta(link, eta[-1])
        if y == 0:
            return mp.log(p)
        return mp.log(q) + density(y, *eta[:-1]) - mp.log(-mp.expm1(density(mpf(0), *eta[:-1])))

    return log_density


#: Below this a double has fewer digits, and products of a few of them none.
_FLOOR = mpf(10) ** -290
_LEVELS = (-700.0, -30.0, -23.0, -5.0, 0.3, 3.0, 30.0)
#: Inner family by name: linear predictors to try.
LEVELS: dict[str, tuple[tuple[float, ...], ...]] = {
    "poisson": (_LEVELS,),
    "geometric": ((-700.0, -30.0, -3.0, 0.3, 5.0, 23.0, 30.0),),
    # Where its mean goes to 0, what is above 0 is the same for each: there is nothing to compare.
    "negative_binomial": ((-30.0, -5.0, 3.0, 12.0), (-30.0, -2.0, 9.0)),
    "negative_binomial_1": ((-5.0, 3.0, 12.0), (-30.0, -2.0, 2.0)),
}
#: Link of ``zero`` by name: linear predictors to try.
ZEROS = {
    "logit": (-700.0, -30.0, -2.0, 0.4, 30.0, 700.0),
    "probit": (-30.0, -2.0, 0.4, 7.0),
    "cloglog": (-700.0, -30.0, -2.0, 0.4, 3.0),
    "cauchit": (-700.0, -30.0, -2.0, 0.4, 30.0, 700.0),
    "log": (-700.0, -30.0, -2.0, -0.4, -1e-10),
    "identity": (1e-100, 1e-10, 0.02, 0.7, 1 - 2**-30),
}


def points(inner: str, link: str, counts: tuple[float, ...]) -> tuple[Array, ...]:
    """All combinations of counts and linear predictors."""
    rows = product(counts, *LEVELS[inner], ZEROS[link] if inner == "poisson" else (-30.0, -2.0, 0.4, 700.0))
    return tuple(np.array(column) for column in zip(*rows, strict=True))


def worst(family: GenericLikelihood, log_density: Callable[..., Any], y: Array, *eta: Array) -> dict[str, float]:
    """Largest deviation of the value, of first and of second derivatives.

    A value is relative to its own size, or to 1 where parts of it as large cancel; derivatives are relative to
    themselves, or to the square roots of the second derivatives.
    """
    with np.errstate(all="ignore"):
        rows: Rows = family.linear_rows(y, *eta)
    base = family.base_measure(y)
    found = {"value": 0.0, "grad": 0.0, "hess": 0.0}
    k = range(len(eta))
    for n in range(y.size):
        at = [mpf(float(e[n])) for e in eta]
        want = exact.partials(lambda *at, n=n: log_density(mpf(float(y[n])), *at), at)
        size = [mp.sqrt(abs(want.hess[i][i])) for i in k]
        value = mpf(float(rows.value[n])) + (0 if base is None else mpf(float(base[n])))
        gaps = {"value": [abs(value - want.value) / max(abs(want.value), 1 if y[n] else _FLOOR)]}
        gaps["grad"] = [_gap(rows.grad[i, n], want.grad[i], size[i]) for i in k]
        gaps["hess"] = [_gap(rows.hess[i, j, n], want.hess[i][j], size[i] * size[j]) for i in k for j in k]
        for what, all_ in gaps.items():
            found[what] = max(found[what], float(max(all_)))
    return found


def _gap(got: float, want: Any, size: Any) -> Any:
    if not np.isfinite(got):
        return mpf("inf")
    return abs(mpf(float(got)) - want) / max(abs(want), size, _FLOOR)
