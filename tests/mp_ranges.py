"""Probabilities of ranges in mpmath, as functions of linear predictors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from mpmath import mp

# Each: linear predictors -> (P(Y <= y), P(Y > y)) as functions of y.
Pair = tuple[Callable[[Any], Any], Callable[[Any], Any]]


def _mirrored(below: Callable[[Any], Any], mu: Any, s: Any) -> Pair:
    return lambda y: below((y - mu) / s), lambda y: below((mu - y) / s)


def _gamma(mu: Any, shape: Any) -> Pair:
    return (
        lambda y: mp.gammainc(shape, 0, shape * y / mu, regularized=True),
        lambda y: mp.gammainc(shape, shape * y / mu, mp.inf, regularized=True),
    )


def _t_below(z: Any, df: Any) -> Any:
    tail = mp.betainc(df / 2, 0.5, 0, df / (df + z * z), regularized=True) / 2
    return tail if z < 0 else 1 - tail


def _power(scale: Any, shape: Any) -> Pair:
    return lambda y: -mp.expm1(-((y / scale) ** shape)), lambda y: mp.exp(-((y / scale) ** shape))


def _normal_below(z: Any) -> Any:
    return mp.erfc(-z / mp.sqrt(2)) / 2


EXACT: dict[str, tuple[Callable[..., Pair], tuple[float, ...]]] = {
    "normal": (lambda m, s: _mirrored(_normal_below, m, mp.exp(s)), (0.25, 0.5)),
    "logistic": (lambda m, s: _mirrored(lambda z: 1 / (1 + mp.exp(-z)), m, mp.exp(s)), (0.25, 0.5)),
    "gumbel": (
        lambda m, s: (
            lambda y: mp.exp(-mp.exp((m - y) / mp.exp(s))),
            lambda y: -mp.expm1(-mp.exp((m - y) / mp.exp(s))),
        ),
        (0.25, 0.5),
    ),
    "student_t": (lambda m, s, df: _mirrored(lambda z: _t_below(z, mp.exp(df)), m, mp.exp(s)), (0.25, 0.5, 1.0)),
    "lognormal": (
        lambda m, s: (
            lambda y: _normal_below((mp.log(y) - m) / mp.exp(s)),
            lambda y: _normal_below((m - mp.log(y)) / mp.exp(s)),
        ),
        (0.25, 0.5),
    ),
    "weibull": (lambda m, s: _power(mp.exp(m), mp.exp(s)), (0.25, 0.5)),
    "exponential": (lambda m: _power(mp.exp(m), 1), (0.25,)),
    "gamma": (lambda m, s: _gamma(mp.exp(m), mp.exp(s)), (0.25, 0.5)),
}


def log_range(name: str, lower: float, upper: float) -> Callable[..., Any]:
    """Logarithm of a probability as a function of the linear predictors; of a density where the two ends are equal."""

    def value(*eta: Any) -> Any:
        below, above = EXACT[name][0](*eta)
        if lower == upper:
            return mp.log(-mp.diff(above, mp.mpf(lower)) if lower > 0 else mp.diff(below, mp.mpf(lower)))
        if np.isinf(lower):
            return mp.mpf(0) if np.isinf(upper) else mp.log(below(mp.mpf(upper)))
        if np.isinf(upper):
            return mp.log(above(mp.mpf(lower)))
        ends = mp.mpf(lower), mp.mpf(upper)
        return mp.log(above(ends[0]) - above(ends[1]) if lower > 0 else below(ends[1]) - below(ends[0]))

    return value


def orders(k: int, *which: int) -> tuple[int, ...]:
    return tuple(which.count(i) for i in range(k))
