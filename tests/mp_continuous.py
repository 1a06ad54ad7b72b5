"""Continuous families in mpmath: their densities as textbooks have them, their information, and scipy's names of them.

Each density is a function of the parameters by whatever route keeps them exact: positive ones by their logs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from mpmath import mp, mpf
from scipy import stats


def _student_t(y: Any, mu: Any, sigma: Any, df: Any) -> Any:
    z = (y - mu) / sigma
    constant = mp.loggamma((df + 1) / 2) - mp.loggamma(df / 2) - mp.log(mp.pi * df) / 2 - mp.log(sigma)
    return constant - (df + 1) / 2 * mp.log1p(z * z / df)


def _logistic(y: Any, mu: Any, s: Any) -> Any:
    z = (y - mu) / s
    return -abs(z) - mp.log(s) - 2 * mp.log1p(mp.exp(-abs(z)))


def _gumbel(y: Any, mu: Any, beta: Any) -> Any:
    z = (y - mu) / beta
    return -z - mp.exp(-z) - mp.log(beta)


def _weibull(y: Any, scale: Any, shape: Any) -> Any:
    return mp.log(shape / scale) + (shape - 1) * mp.log(y / scale) - (y / scale) ** shape


def _lognormal(y: Any, mu: Any, sigma: Any) -> Any:
    return -(((mp.log(y) - mu) / sigma) ** 2) / 2 - mp.log(y * sigma * mp.sqrt(2 * mp.pi))


def _gamma(y: Any, mu: Any, shape: Any) -> Any:
    rate = shape / mu
    return shape * mp.log(rate) + (shape - 1) * mp.log(y) - rate * y - mp.loggamma(shape)


def _inverse_gaussian(y: Any, mu: Any, shape: Any) -> Any:
    return mp.log(shape / (2 * mp.pi * y**3)) / 2 - shape * (y - mu) ** 2 / (2 * mu**2 * y)


def _beta(y: Any, mu: Any, phi: Any) -> Any:
    a, b = mu * phi, (1 - mu) * phi
    constant = mp.loggamma(phi) - mp.loggamma(a) - mp.loggamma(b)
    return constant + (a - 1) * mp.log(y) + (b - 1) * mp.log1p(-y)


class Continuous(NamedTuple):
    """A family by other means."""

    density: Callable[..., Any]  # (y, parameters) -> log-density in mpmath
    scipy: Callable[..., Any]  # parameters -> distribution of scipy.stats
    outside: tuple[float, ...]  # responses that cannot occur


_REAL = (np.inf, -np.inf, np.nan)
_POSITIVE = (0.0, -1.0, np.inf, np.nan)

#: Family by name.
FAMILIES: dict[str, Continuous] = {
    "student_t": Continuous(_student_t, lambda mu, sigma, df: stats.t(df, loc=mu, scale=sigma), _REAL),
    "logistic": Continuous(_logistic, lambda mu, s: stats.logistic(loc=mu, scale=s), _REAL),
    "gumbel": Continuous(_gumbel, lambda mu, beta: stats.gumbel_r(loc=mu, scale=beta), _REAL),
    "weibull": Continuous(_weibull, lambda scale, shape: stats.weibull_min(shape, scale=scale), _POSITIVE),
    "gamma": Continuous(_gamma, lambda mu, shape: stats.gamma(shape, scale=mu / shape), _POSITIVE),
    "inverse_gaussian": Continuous(
        _inverse_gaussian, lambda mu, shape: stats.invgauss(mu / shape, scale=shape), _POSITIVE
    ),
    "beta": Continuous(_beta, lambda mu, phi: stats.beta(mu * phi, (1 - mu) * phi), (0.0, 1.0, -0.1, 1.5, np.nan)),
    "lognormal": Continuous(_lognormal, lambda mu, sigma: stats.lognorm(sigma, scale=np.exp(mu)), _POSITIVE),
}

_STEP = mpf(10) ** -40
_DIGITS = 160


def partials(f: Callable[..., Any], at: Sequence[Any]) -> tuple[Any, list[Any], list[list[Any]]]:
    """Value, gradient and Hessian of ``f(*at)`` by central differences at many digits."""
    with mp.workdps(_DIGITS):
        point = [mpf(x) for x in at]
        k = range(len(point))

        def moved(i: int, j: int, a: int, b: int) -> Any:
            return f(*(x + _STEP * (a * (n == i) + b * (n == j)) for n, x in enumerate(point)))

        value = f(*point)
        grad = [(moved(i, i, 1, 0) - moved(i, i, -1, 0)) / (2 * _STEP) for i in k]
        hess = [[mpf(0)] * len(point) for _ in k]
        for i in k:
            hess[i][i] = (moved(i, i, 1, 0) - 2 * value + moved(i, i, -1, 0)) / _STEP**2
            for j in range(i):
                corners = moved(i, j, 1, 1) - moved(i, j, 1, -1) - moved(i, j, -1, 1) + moved(i, j, -1, -1)
                hess[i][j] = hess[j][i] = corners / (4 * _STEP**2)
        return value, grad, hess
