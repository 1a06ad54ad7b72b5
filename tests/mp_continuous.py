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


def _of_beta(x: Any, less: Any, a: Any, b: Any) -> tuple[Any, Any]:
    """``I_x(a, b)`` and its complement, each by the series that has no difference in it (DLMF 8.17.8)."""

    def share(x: Any, less: Any, a: Any, b: Any) -> Any:
        return x**a * less**b / (a * mp.beta(a, b)) * mp.hyp2f1(a + b, 1, a + 1, x)

    if x * (a + b) < a:
        below = share(x, less, a, b)
        return below, 1 - below
    above = share(less, x, b, a)
    return 1 - above, above


def _t_tails(y: Any, mu: Any, sigma: Any, df: Any) -> tuple[Any, Any]:
    w = ((y - mu) / sigma) ** 2
    half = _of_beta(df / (df + w), w / (df + w), df / 2, mpf(1) / 2)[0] / 2
    return (half, 1 - half) if y < mu else (1 - half, half)


def _gamma_tails(y: Any, mu: Any, shape: Any) -> tuple[Any, Any]:
    x = shape * y / mu
    return mp.gammainc(shape, 0, x, regularized=True), mp.gammainc(shape, x, mp.inf, regularized=True)


def _inverse_gaussian_tails(y: Any, mu: Any, shape: Any) -> tuple[Any, Any]:
    root = mp.sqrt(shape / y)
    a, b = root * (y / mu - 1), root * (y / mu + 1)
    image = mp.exp(2 * shape / mu) * mp.ncdf(-b)
    return mp.ncdf(a) + image, mp.ncdf(-a) - image


def _pair(below: Any) -> tuple[Any, Any]:
    return below, 1 - below


class Continuous(NamedTuple):
    """A family by other means."""

    density: Callable[..., Any]  # (y, parameters) -> log-density in mpmath
    tails: Callable[..., tuple[Any, Any]]  # (y, parameters) -> P(Y < y) and P(Y > y) in mpmath
    scipy: Callable[..., Any]  # parameters -> distribution of scipy.stats
    inverse: tuple[Callable[[Any], Any], ...]  # linear predictors -> parameters, with the default links
    outside: tuple[float, ...]  # responses that cannot occur


def _same(x: Any) -> Any:
    return x


def _expit(x: Any) -> Any:
    return 1 / (1 + mp.exp(-x))


_REAL = (np.inf, -np.inf, np.nan)
_POSITIVE = (0.0, -1.0, np.inf, np.nan)
_LOGS = (mp.exp, mp.exp)

#: Family by name.
FAMILIES: dict[str, Continuous] = {
    "student_t": Continuous(
        _student_t,
        _t_tails,
        lambda mu, sigma, df: stats.t(df, loc=mu, scale=sigma),
        (_same, mp.exp, mp.exp),
        _REAL,
    ),
    "logistic": Continuous(
        _logistic,
        lambda y, mu, s: (_expit((y - mu) / s), _expit((mu - y) / s)),
        lambda mu, s: stats.logistic(loc=mu, scale=s),
        (_same, mp.exp),
        _REAL,
    ),
    "gumbel": Continuous(
        _gumbel,
        lambda y, mu, beta: _pair(mp.exp(-mp.exp((mu - y) / beta))),
        lambda mu, beta: stats.gumbel_r(loc=mu, scale=beta),
        (_same, mp.exp),
        _REAL,
    ),
    "weibull": Continuous(
        _weibull,
        lambda y, scale, shape: _pair(mp.exp(-((y / scale) ** shape)))[::-1],
        lambda scale, shape: stats.weibull_min(shape, scale=scale),
        _LOGS,
        _POSITIVE,
    ),
    "lognormal": Continuous(
        _lognormal,
        lambda y, mu, sigma: (mp.ncdf((mp.log(y) - mu) / sigma), mp.ncdf((mu - mp.log(y)) / sigma)),
        lambda mu, sigma: stats.lognorm(sigma, scale=np.exp(mu)),
        (_same, mp.exp),
        _POSITIVE,
    ),
    "gamma": Continuous(_gamma, _gamma_tails, lambda mu, shape: stats.gamma(shape, scale=mu / shape), _LOGS, _POSITIVE),
    "inverse_gaussian": Continuous(
        _inverse_gaussian,
        _inverse_gaussian_tails,
        lambda mu, shape: stats.invgauss(mu / shape, scale=shape),
        _LOGS,
        _POSITIVE,
    ),
    "beta": Continuous(
        _beta,
        lambda y, mu, phi: _of_beta(y, 1 - y, mu * phi, (1 - mu) * phi),
        lambda mu, phi: stats.beta(mu * phi, (1 - mu) * phi),
        (_expit, mp.exp),
        (0.0, 1.0, -0.1, 1.5, np.nan),
    ),
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
