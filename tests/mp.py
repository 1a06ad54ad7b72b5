"""Links and log-densities straight from the textbook, in mpmath: what the tests of families and links compare with.

Derivatives are central differences at 650 digits. A double holds nothing below 1e-308: a derivative that small, of a
function near 1, needs 308 of them, and a second difference with steps of 1e-50, or 1e-150 beside a limit at 0,
another 100 to 300.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from mpmath import mp, mpf

DIGITS = 650
STEP = mpf(10) ** -50
LARGEST, SMALLEST = mpf(float(np.finfo(float).max)), mpf(float(np.finfo(float).tiny))


class Theta(NamedTuple):
    """A distribution parameter, with 1 - theta where the difference would lose it."""

    value: Any
    complement: Any


#: Link by name: eta -> theta.
LINKS: dict[str, Callable[[Any], Any]] = {
    "identity": lambda eta: eta,
    "log": mp.exp,
    "neglog": lambda eta: mp.exp(-eta),
    "logit": lambda eta: 1 / (1 + mp.exp(-eta)),
    "probit": mp.ncdf,
    "cloglog": lambda eta: -mp.expm1(-mp.exp(eta)),
    "cauchit": lambda eta: mpf(1) / 2 + mp.atan(eta) / mp.pi,
    "sqrt": lambda eta: eta**2,
    "inverse": lambda eta: 1 / eta,
    "softplus": lambda eta: mp.log1p(mp.exp(eta)),
}

#: Links that saturate: eta -> 1 - theta.
COMPLEMENTS: dict[str, Callable[[Any], Any]] = {
    "logit": lambda eta: 1 / (1 + mp.exp(eta)),
    "probit": lambda eta: mp.ncdf(-eta),
    "cloglog": lambda eta: mp.exp(-mp.exp(eta)),
}

#: Family by name: (y, parameters) -> log-density.
FAMILIES: dict[str, Callable[..., Any]] = {
    "normal": lambda y, mu, sigma: -(((y - mu.value) / sigma.value) ** 2) / 2 - _log(sigma.value * _ROOT_2PI),
    "exponential": lambda y, rate: _log(rate.value) - rate.value * y,
    "bernoulli": lambda y, p: _log(p.value if y else p.complement),
    "poisson": lambda y, mu: (y * _log(mu.value) if y else 0) - mu.value - _log_gamma(y + 1),
}

_log, _log_gamma = cache(mp.log), cache(mp.loggamma)
with mp.workdps(DIGITS + 10):
    _ROOT_2PI = mp.sqrt(2 * mp.pi)


@cache
def theta(link: str, eta: Any) -> Theta:
    """Distribution parameter at a linear predictor."""
    value = LINKS[link](eta)
    return Theta(value, COMPLEMENTS[link](eta) if link in COMPLEMENTS else 1 - value)


def log_density(family: str, links: Sequence[str], y: Any) -> Callable[..., Any]:
    """Log-density of one response as a function of the linear predictors."""
    return lambda *eta: FAMILIES[family](y, *map(theta, links, eta))


class Partials(NamedTuple):
    """Value, gradient and Hessian of a function at a point, in mpmath."""

    value: Any
    grad: list[Any]
    hess: list[list[Any]]


def partials(f: Callable[..., Any], at: Sequence[Any]) -> Partials:
    """Derivatives of ``f(*at)`` by central differences."""
    with mp.workdps(DIGITS):
        point = [mpf(x) for x in at]
        step = [STEP * min(abs(x), 1) if x else STEP for x in point]
        k = range(len(point))

        def moved(*signs: int) -> Any:
            return f(*(x + s * h for x, s, h in zip(point, signs, step, strict=True)))

        def unit(**signs: int) -> list[int]:
            return [signs.get(f"_{j}", 0) for j in k]

        value = moved(*unit())
        up = [moved(*unit(**{f"_{j}": 1})) for j in k]
        down = [moved(*unit(**{f"_{j}": -1})) for j in k]
        grad = [(up[j] - down[j]) / (2 * step[j]) for j in k]
        hess = [[(up[j] - 2 * value + down[j]) / step[j] ** 2 for j in k] for _ in k]
        for i in k:
            for j in range(i):
                both = moved(*unit(**{f"_{i}": 1, f"_{j}": 1})) + moved(*unit(**{f"_{i}": -1, f"_{j}": -1}))
                mixed = both + 2 * value - up[i] - down[i] - up[j] - down[j]
                hess[i][j] = hess[j][i] = mixed / (2 * step[i] * step[j])
        return Partials(value, grad, hess)


def deviation(got: float, want: Any) -> float:
    """Relative distance of a double from the truth; 0 where the truth is beyond the doubles and the double says so."""
    if np.isnan(got):
        return np.inf
    if abs(want) > LARGEST:
        return 0.0 if got == np.copysign(np.inf, float(mp.sign(want))) else np.inf
    if abs(want) < SMALLEST:
        return 0.0 if abs(got) <= SMALLEST else np.inf
    return float(abs(mpf(float(got)) - want) / abs(want))


#: Family by name: parameters -> responses and weights that give the expectation of a Hessian. They are few because a
#: Hessian is linear in the response of an exponential or Poisson, and quadratic in that of a Normal.
EXPECTATIONS: dict[str, Callable[..., list[tuple[Any, Any]]]] = {
    "normal": lambda mu, sigma: [(mu.value + s * sigma.value, mpf(1) / 2) for s in (-1, 1)],
    "exponential": lambda rate: [(1 / rate.value, mpf(1))],
    "bernoulli": lambda p: [(0, p.complement), (1, p.value)],
    "poisson": lambda mu: [(0, 1 - mu.value), (1, mu.value)],
}


def information(family: str, links: Sequence[str], eta: Sequence[float]) -> list[list[Any]]:
    """Expected information in the linear predictors, in mpmath."""
    k = range(len(eta))
    with mp.workdps(DIGITS):
        parameters = [theta(link, mpf(e)) for link, e in zip(links, eta, strict=True)]
        nodes = EXPECTATIONS[family](*parameters)
        parts = [(weight, partials(log_density(family, links, y), eta).hess) for y, weight in nodes]
        return [[-sum(weight * hess[i][j] for weight, hess in parts) for j in k] for i in k]
