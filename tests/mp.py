"""What links and families are compared with: the textbook in mpmath, stable formulas for jets, scipy.stats.

Derivatives in mpmath are central differences at 650 digits. A double holds nothing below 1e-308: a derivative
that small, of a function near 1, needs 308 of them, and a second difference with steps of 1e-50, or 1e-150
beside a limit at 0, another 100 to 300.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any, NamedTuple

import numpy as np
from mpmath import mp, mpf
from scipy import special, stats

from tests.huber import Huber

DIGITS = 650
STEP = mpf(10) ** -50
SHORT_STEP = mpf(10) ** -310  # of a piecewise density, whose pieces are as short as e**-700
NOISE = 1000 * mpf(10) ** -DIGITS / STEP**2  # what rounding leaves of a second difference, relative to the value
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

#: Constants to test with, by family.
CONSTANTS: dict[str, dict[str, float]] = {"asymmetric_laplace": {"q": 0.3}, "huber_normal": {"k": 1.345}}
Q, K = (mpf(CONSTANTS[name][constant]) for name, constant in (("asymmetric_laplace", "q"), ("huber_normal", "k")))


def _cached(f: Callable[[Any], Any]) -> Callable[[Any], Any]:
    known = cache(lambda x, prec: f(x))
    return lambda x: known(x, mp.prec)


_log, _log_gamma = _cached(mp.log), _cached(mp.loggamma)
with mp.workdps(DIGITS + 10):
    _ROOT_2PI = mp.sqrt(2 * mp.pi)
    _CENTRE, _TAILS = _ROOT_2PI * mp.erf(K / mp.sqrt(2)), 2 / K * mp.exp(-K * K / 2)


def _pinball(z: Any) -> Any:
    return z * (Q if z > 0 else Q - 1)


def _huber(z: Any) -> Any:
    return z * z / 2 if abs(z) <= K else K * abs(z) - K * K / 2


#: Family by name: (y, parameters) -> log-density.
FAMILIES: dict[str, Callable[..., Any]] = {
    "normal": lambda y, mu, sigma: -(((y - mu.value) / sigma.value) ** 2) / 2 - _log(sigma.value * _ROOT_2PI),
    "exponential": lambda y, rate: _log(rate.value) - rate.value * y,
    "bernoulli": lambda y, p: _log(p.value if y else p.complement),
    "poisson": lambda y, mu: (y * _log(mu.value) if y else 0) - mu.value - _log_gamma(y + 1),
    "geometric": lambda y, p: _log(p.value) + y * (mp.log1p(-p.value) if p.value < 0.5 else _log(p.complement)),
    "laplace": lambda y, mu, b: -abs(y - mu.value) / b.value - _log(2 * b.value),
    "asymmetric_laplace": lambda y, mu, b: _log(Q * (1 - Q) / b.value) - _pinball((y - mu.value) / b.value),
    "huber_normal": lambda y, mu, sigma: -_huber((y - mu.value) / sigma.value) - _log(sigma.value * (_CENTRE + _TAILS)),
}


@cache
def _theta(link: str, eta: Any, prec: int) -> Theta:
    value = LINKS[link](eta)
    return Theta(value, COMPLEMENTS[link](eta) if link in COMPLEMENTS else 1 - value)


def theta(link: str, eta: Any) -> Theta:
    """Distribution parameter at a linear predictor."""
    return _theta(link, eta, mp.prec)


def log_density(family: str, links: Sequence[str], y: Any) -> Callable[..., Any]:
    """Log-density of one response as a function of the linear predictors."""
    return lambda *eta: FAMILIES[family](y, *map(theta, links, eta))


class Partials(NamedTuple):
    """Value, gradient and Hessian of a function at a point, in mpmath."""

    value: Any
    grad: list[Any]
    hess: list[list[Any]]


def partials(f: Callable[..., Any], at: Sequence[Any], length: Any = STEP) -> Partials:
    """Derivatives of ``f(*at)`` by central differences."""
    with mp.workdps(DIGITS):
        point = [mpf(x) for x in at]
        step = [length * min(abs(x), 1) if x else length for x in point]
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


def _two_sided(mu: Any, b: Any, below: Any, above: Any) -> list[tuple[Any, Any]]:
    """Two nodes on each side, exact for squares: losses of 1 + exponential tails by Gauss and Laguerre."""
    losses = [(2 + s * mp.sqrt(2), (2 - s * mp.sqrt(2)) / 4) for s in (-1, 1)]
    sides = ((1 / above, below / (below + above)), (-1 / below, above / (below + above)))
    return [(mu + step * loss * b, share * weight) for step, share in sides for loss, weight in losses]


def _huber_nodes(mu: Any, sigma: Any) -> list[tuple[Any, Any]]:
    """Three nodes in the centre, exact for fourth powers, and two in each tail, exact for squares."""
    edge = 2 * K * mp.exp(-K * K / 2) / _CENTRE
    second, fourth = 1 - edge, 3 * (1 - edge) - K**2 * edge
    total, share = _CENTRE + _TAILS, second**2 / fourth
    centre = [(0, (1 - share) * _CENTRE / total)] + [
        (s * mp.sqrt(fourth / second), share / 2 * _CENTRE / total) for s in (-1, 1)
    ]
    tails = _two_sided(0, 1 / K, 1, 1)
    return [(mu + z * sigma, w) for z, w in centre] + [
        (mu + (z + mp.sign(z) * K) * sigma, w * _TAILS / total) for z, w in tails
    ]


#: Families whose log-density has a kink: no Hessian sees it.
KINKED = {"laplace", "asymmetric_laplace"}
#: Families whose information comes from the expected square of the score, by steps that stay on one piece of it.
PIECEWISE = {*KINKED, "huber_normal"}
#: Family by name: parameters -> responses and weights that give the expectation of a Hessian, or of a squared score.
#: They are few because it is linear in the response of an exponential, Poisson or geometric, a polynomial in that of
#: the others.
EXPECTATIONS: dict[str, Callable[..., list[tuple[Any, Any]]]] = {
    "normal": lambda mu, sigma: [(mu.value + s * sigma.value, mpf(1) / 2) for s in (-1, 1)],
    "exponential": lambda rate: [(1 / rate.value, mpf(1))],
    "bernoulli": lambda p: [(0, p.complement), (1, p.value)],
    "poisson": lambda mu: [(0, 1 - mu.value), (1, mu.value)],
    "geometric": lambda p: [(p.complement / p.value, mpf(1))],
    "laplace": lambda mu, b: _two_sided(mu.value, b.value, 1, 1),
    "asymmetric_laplace": lambda mu, b: _two_sided(mu.value, b.value, 1 - Q, Q),
    "huber_normal": lambda mu, sigma: _huber_nodes(mu.value, sigma.value),
}


def information(family: str, links: Sequence[str], eta: Sequence[float]) -> list[list[Any]]:
    """Expected information in the linear predictors, in mpmath."""
    k = range(len(eta))
    with mp.workdps(DIGITS):
        parameters = [theta(link, mpf(e)) for link, e in zip(links, eta, strict=True)]
        nodes = EXPECTATIONS[family](*parameters)
        length = SHORT_STEP if family in PIECEWISE else STEP
        parts = [(weight, partials(log_density(family, links, y), eta, length)) for y, weight in nodes]
        if family in PIECEWISE:
            return [[sum(weight * part.grad[i] * part.grad[j] for weight, part in parts) for j in k] for i in k]
        return [[-sum(weight * part.hess[i][j] for weight, part in parts) for j in k] for i in k]


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


def _geometric(link: str) -> Callable[..., Any]:
    return lambda y, e: PROBABILITY[link](e)[0] + np.where(y > 0, y * PROBABILITY[link](e)[1], 0.0)


def _scaled(loss: Callable[[Any], Any], constant: float) -> Callable[..., Any]:
    """Density of a location with a scale: a loss, and the log of the integral of its exponential."""

    def family(mu: str, scale: str) -> Callable[..., Any]:
        mean = {"identity": lambda e: e, "log": np.exp, "inverse": lambda e: 1 / e}[mu]

        def density(y: Any, a: Any, b: Any) -> Any:
            log_scale, _, precision = POSITIVE[scale](b)
            return -loss((y - mean(a)) * precision) - log_scale - constant

        return density

    return family


def _plain_huber(z: Any) -> Any:
    size, k = np.abs(z), float(K)
    return np.where(size <= k, z * z / 2, k * size - k * k / 2)


#: Family by name: names of links -> log-density of (y, linear predictors), written without cancellation.
STABLE: dict[str, Callable[..., Any]] = {
    "normal": _normal,
    "exponential": _exponential,
    "bernoulli": _bernoulli,
    "poisson": _poisson,
    "geometric": _geometric,
    "laplace": _scaled(np.abs, float(mp.log(2))),
    "asymmetric_laplace": _scaled(
        lambda z: np.where(z > 0, float(Q), float(Q) - 1) * z, -float(mp.log(Q) + mp.log1p(-Q))
    ),
    "huber_normal": _scaled(_plain_huber, float(mp.log(_CENTRE + _TAILS))),
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


def _two_tails(below: float, above: float) -> Callable[..., Any]:
    def nodes(mu: float, b: float) -> tuple[np.ndarray, np.ndarray]:
        loss, weight = LAGUERRE
        shares = below / (below + above), above / (below + above)
        return np.append(mu + b * loss / above, mu - b * loss / below), np.append(
            shares[0] * weight, shares[1] * weight
        )

    return nodes


def _asymmetric(mu: Any, b: Any) -> Any:
    q = float(Q)
    return stats.laplace_asymmetric(np.sqrt(q / (1 - q)), loc=mu, scale=b / np.sqrt(q * (1 - q)))


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
    "geometric": Counterpart(
        (0.0, 2.0, 7.0, 1000.0, 123456.0),
        (-1.0, 0.5, np.inf, np.nan),
        partial(stats.nbinom, 1),  # the moments of stats.geom(p, loc=-1) cancel
        lambda p: (np.array([(1 - p) / p]), np.ones(1)),  # derivatives are linear in the response
        (0.0, 1.0, 7.0, 300.0, 1e6),
    ),
    "laplace": Counterpart(
        (-3.0, 0.37, 250.0),
        (np.inf, -np.inf, np.nan),
        partial(stats.laplace_asymmetric, 1.0),  # stats.laplace has no logpdf of its own, and fails in the tails
        _two_tails(1, 1),
        (-300.0, -3.0, 0.0, 0.37, 1e4),
    ),
    "asymmetric_laplace": Counterpart(
        (-3.0, 0.37, 250.0),
        (np.inf, -np.inf, np.nan),
        _asymmetric,
        _two_tails(1 - float(Q), float(Q)),
        (-300.0, -3.0, 0.0, 0.37, 1e4),
    ),
    "huber_normal": Counterpart(
        (-3.0, 0.37, 250.0),
        (np.inf, -np.inf, np.nan),
        partial(Huber, float(K)),
        lambda mu, sigma: Huber(float(K), mu, sigma).nodes(),
        (-300.0, -3.0, 0.0, 0.37, 1e4),
    ),
}
