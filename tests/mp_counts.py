"""Negative binomials in mpmath: as gamma functions have them, and their tails as sums."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from mpmath import mp, mpf
from scipy import stats


def _size(name: str, mu: Any, alpha: Any) -> tuple[Any, Any]:
    """``(r, 1 / (1 + mu / r))``: scipy's n and p."""
    return (1 / alpha, 1 / (1 + alpha * mu)) if name == "negative_binomial" else (mu / alpha, 1 / (1 + alpha))


def log_density(name: str, y: Any, log_mu: Any, log_alpha: Any) -> Any:
    """Log-density at linear predictors, with log links."""
    mu, alpha = mp.exp(log_mu), mp.exp(log_alpha)
    r, _ = _size(name, mu, alpha)
    constant = mp.loggamma(y + r) - mp.loggamma(r) - mp.loggamma(y + 1)
    return constant + y * (log_mu - mp.log(r)) - (y + r) * mp.log1p(mu / r)


def tails(name: str, y: Any, mu: Any, alpha: Any) -> tuple[Any, Any]:
    """``P(Y <= y)`` and ``P(Y > y)``, summed from y outwards on the side where the terms fall."""
    r, q = _size(name, mu, alpha)
    up = y + 1 > mu
    at = y + 1 if up else mpf(y)
    term = first = mp.exp(log_density(name, at, mp.log(mu), mp.log(alpha)))
    total = mpf(0)
    while term > first * mpf(10) ** -mp.dps:
        total += term
        term *= (at + r) / (at + 1) * (1 - q) if up else at / ((at - 1 + r) * (1 - q))
        at += 1 if up else -1
    return (1 - total, total) if up else (total, 1 - total)


class Counts(NamedTuple):
    """A family by other means."""

    scipy: Callable[..., Any]  # parameters -> distribution of scipy.stats
    statsmodels: str  # its name for statsmodels' NegativeBinomial


#: Family by name.
FAMILIES = {
    name: Counts(lambda mu, alpha, name=name: stats.nbinom(*_size(name, mu, alpha)), method)
    for name, method in (("negative_binomial", "nb2"), ("negative_binomial_1", "nb1"))
}
