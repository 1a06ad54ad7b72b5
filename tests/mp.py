"""What links and families are compared with: the textbook in mpmath, stable formulas for jets, scipy.stats.

Derivatives in mpmath are central differences at 650 digits. A double holds nothing below 1e-308: a derivative
that small, of a function near 1, needs 308 of them, and a second difference with steps of 1e-50, or 1e-150
beside a limit at 0, another 100 to 300.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from mpmath import mp, mpf
from scipy import special, stats

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

_log, _log_gamma = cache(mp.log), cache(mp.loggamma)
with mp.workdps(DIGITS + 10):
    _ROOT_2PI = mp.sqrt(2 * mp.pi)

#: Family by name: (y, parameters) -> log-density.
FAMILIES: dict[str, Callable[..., Any]] = {
    "normal": lambda y, mu, sigma: -(((y - mu.value) / sigma.value) ** 2) / 2 - _log(sigma.value * _ROOT_2PI),
    "exponential": lambda y, rate: _log(rate.value) - rate.value * y,
    "bernoulli": lambda y, p: _log(p.value if y else p.complement),
    "poisson": lambda y, mu: (y * _log(mu.value) if y else 0) - mu.value - _log_gamma(y + 1),
}


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
    """Relative distance of a double from the truth; 0 if the truth is out of range and the double says so."""
    if np.isnan(got):
        return np.inf
    if abs(want) > LARGEST:
        return 0.0 if got == np.copysign(np.inf, float(mp.sign(want))) else np.inf
    if abs(want) < SMALLEST:
        return 0.0 if abs(got) <= SMALLEST else np.inf
    return float(abs(mpf(float(got)) - want) / abs(want))


#: Family by name: parameters -> responses and weights that give the expectation of a Hessian. They are few
#: because it is linear in the response of an exponential or Poisson, and quadratic in that of a Normal.
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


# ---------------------------------------------------------------- log-densities that jets can follow


def _log_softplus(eta: Any) -> Any:
    t = np.exp(np.minimum(eta, 0.0))
    series = sum((-t) ** k / (k + 1) for k in range(1, 9))
    return np.where(eta < -5, eta + np.log1p(series), np.log(np.logaddexp(0.0, eta)))


def _log_cloglog(eta: Any) -> Any:
    e = np.exp(np.minimum(eta, 7.0))
    series = eta - e / 2 + e**2 / 24 - e**4 / 2880 + e**6 / 181440
    return np.where(eta < -4, series, np.where(eta < 0, np.log(-np.expm1(-e)), np.log1p(-np.exp(-e))))


def _log_cauchit(eta: Any) -> Any:
    return np.where(eta > 0, np.log1p(-np.arctan2(1.0, eta) / np.pi), np.log(np.arctan2(1.0, -eta) / np.pi))


#: Link of a positive parameter: eta -> (log theta, theta, 1 / theta).
POSITIVE: dict[str, Callable[..., Any]] = {
    "identity": lambda e: (np.log(e), e, 1 / e),
    "log": lambda e: (e, np.exp(e), np.exp(-e)),
    "neglog": lambda e: (-e, np.exp(-e), np.exp(e)),
    "inverse": lambda e: (-np.log(e), 1 / e, e),
    "sqrt": lambda e: (2 * np.log(e), e**2, (1 / e) ** 2),
    "softplus": lambda e: (_log_softplus(e), np.logaddexp(0.0, e), np.exp(-_log_softplus(e))),
}
#: Link of a probability: eta -> (log p, log(1 - p)).
PROBABILITY: dict[str, Callable[..., Any]] = {
    "logit": lambda e: (special.log_expit(e), special.log_expit(-e)),
    "probit": lambda e: (special.log_ndtr(e), special.log_ndtr(-e)),
    "cloglog": lambda e: (_log_cloglog(e), -np.exp(e)),
    "cauchit": lambda e: (_log_cauchit(e), _log_cauchit(-e)),
    "log": lambda e: (e, np.where(e < -1, np.log1p(-np.exp(e)), np.log(-np.expm1(e)))),
    "identity": lambda e: (np.log(e), np.log1p(-e)),
}


def _normal(mu: str, sigma: str) -> Callable[..., Any]:
    mean = {"identity": lambda e: e, "log": np.exp, "inverse": lambda e: 1 / e}[mu]

    def density(y: Any, a: Any, b: Any) -> Any:
        log_sigma, _, precision = POSITIVE[sigma](b)
        z = (y - mean(a)) * precision
        return -z * z / 2 - log_sigma - np.log(2 * np.pi) / 2

    return density


def _exponential(link: str) -> Callable[..., Any]:
    return lambda y, e: POSITIVE[link](e)[0] - POSITIVE[link](e)[1] * y


def _bernoulli(link: str) -> Callable[..., Any]:
    return lambda y, e: np.where(y == 1, *PROBABILITY[link](e))


def _poisson(link: str) -> Callable[..., Any]:
    return lambda y, e: y * POSITIVE[link](e)[0] - POSITIVE[link](e)[1] - special.gammaln(y + 1)


#: Family by name: names of links -> log-density of (y, linear predictors), written without cancellation.
STABLE: dict[str, Callable[..., Any]] = {
    "normal": _normal,
    "exponential": _exponential,
    "bernoulli": _bernoulli,
    "poisson": _poisson,
}


# ---------------------------------------------------------------- facts in doubles


class Counterpart(NamedTuple):
    """Responses to try, and the distribution by other means."""

    responses: tuple[float, ...]  # none is the mean, or a standard deviation from it, at a tested eta
    outside: tuple[float, ...]
    scipy: Callable[..., Any]  # parameters -> distribution of scipy.stats
    nodes: Callable[..., Any]  # parameters -> responses and their probabilities, for expectations in doubles
    tails: tuple[float, ...]  # responses for scipy


def _sums(y: np.ndarray, distribution: Any) -> tuple[np.ndarray, np.ndarray]:
    return y, distribution.pmf(y)


HERMITE, LAGUERRE = np.polynomial.hermite_e.hermegauss(9), np.polynomial.laguerre.laggauss(9)
COUNTERPARTS = {
    "normal": Counterpart(
        (-3.0, 0.37, 250.0),
        (np.inf, -np.inf, np.nan),
        stats.norm,
        lambda mu, sigma: (mu + sigma * HERMITE[0], HERMITE[1] / np.sqrt(2 * np.pi)),
        (-300.0, -3.0, 0.0, 0.37, 1e4),
    ),
    "exponential": Counterpart(
        (0.0, 0.4, 40.0, 1e8),
        (-1e-300, -1.0, np.inf, np.nan),
        lambda rate: stats.expon(scale=1 / rate),
        lambda rate: (LAGUERRE[0] / rate, LAGUERRE[1]),
        (0.0, 1e-300, 0.4, 800.0, 1e8),
    ),
    "bernoulli": Counterpart(
        (0.0, 1.0),
        (0.5, 2.0, -1.0, np.inf, np.nan),
        stats.bernoulli,
        lambda p: _sums(np.arange(2.0), stats.bernoulli(p)),
        (0.0, 1.0),
    ),
    "poisson": Counterpart(
        (0.0, 2.0, 7.0, 1000.0, 123456.0),
        (-1.0, 0.5, np.inf, np.nan),
        stats.poisson,
        lambda mu: _sums(np.arange(600.0), stats.poisson(mu)),
        (0.0, 1.0, 7.0, 300.0, 1e6),
    ),
}
