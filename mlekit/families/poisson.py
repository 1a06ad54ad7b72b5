"""Poisson distribution of counts."""

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import special

from mlekit.families.base import GenericLikelihood
from mlekit.families.recession import Recession, one_way, towards
from mlekit.families.tails import first_count, log_poisson_above, log_poisson_below, poisson_below, shares
from mlekit.jets import Rows
from mlekit.links import Array, log

# Above this count y log(mu) - mu and log(y!) are large and cancel: such rows are measured from the saturated density,
# log f(y; mu) = log f(y; y) + y (log(1 + r) - r) with r = (mu - y) / y (Loader 2000).
_LARGE = 1e4


class Poisson(GenericLikelihood):
    """Poisson distribution with mean ``mu`` (log link): ``f(y) = exp(-mu) mu**y / y!``.

    R: ``glm(family = poisson)``; scipy: ``scipy.stats.poisson(mu)``. Links of ``mu``: log, identity, sqrt.

    Examples
    --------
    >>> import numpy as np
    >>> Poisson().logpdf(np.array([0.0, 2.0]), 1.0).round(4).tolist()
    [-1.0, -1.6931]
    """

    params = {"mu": log}
    shifts = 1
    links_for = {"mu": ("log", "identity", "sqrt", "softplus")}
    support_text = "a count 0, 1, 2, ..."

    def logpdf(self, y: Array, mu: Array) -> Array:
        return _unsaturated(y, mu, special.xlogy(y, mu) - mu) + _base_measure(y)

    def rows(self, y: Array, mu: Array, *, order: int = 2) -> Rows:  # type: ignore[override]
        value = self.logpdf(y, mu)
        if order == 0:
            return Rows(value, None, None)
        grad = (y / mu - 1)[None]
        return Rows(value, grad, (-y / mu**2)[None, None] if order == 2 else None)

    def linear_rows(self, y: Array, *eta: Array, order: int = 2) -> Rows:
        link = self.links["mu"]
        kernel = _KERNELS.get(link.name)
        if kernel is not None:
            return kernel(y, eta[0], order)
        mu = link.inverse(eta[0])
        value = _unsaturated(y, mu, special.xlogy(y, mu) - mu)
        if order == 0:
            return Rows(value, None, None)
        (first, second), (relative, bend) = link.slopes(eta[0]), link.log_slopes(eta[0])
        return Rows(value, (y * relative - first)[None], (y * bend - second)[None, None] if order == 2 else None)

    def base_measure(self, y: Array) -> Array:
        """``-log y!``, the part of the log-density that no coefficient touches; log f(y; y) for large counts."""
        return _base_measure(np.asarray(y, dtype=float))

    def information(self, *eta: Array) -> Array:
        link = self.links["mu"]
        if link == log:
            return np.exp(eta[0])[None, None]
        return (link.slopes(eta[0])[0] * link.log_slopes(eta[0])[0])[None, None]

    def third_moments(self, *eta: Array) -> Array:
        """``mu' mu'' / mu``."""
        link = self.links["mu"]
        return (link.slopes(eta[0])[1] * link.log_slopes(eta[0])[0])[None, None, None]

    def in_support(self, y: Array) -> Array:
        return np.isfinite(y) & (y >= 0) & (y == np.floor(y))

    def mean(self, mu: Array) -> Array:
        return mu

    def variance(self, mu: Array) -> Array:
        return mu

    def cdf(self, y: Array, mu: Array) -> Array:
        return self._by_count(poisson_below, (0.0, 1.0), y, mu)

    def logcdf(self, y: Array, mu: Array) -> Array:
        return self._by_count(log_poisson_below, (-np.inf, 0.0), y, mu)

    def logsf(self, y: Array, mu: Array) -> Array:
        return self._by_count(log_poisson_above, (0.0, -np.inf), y, mu)

    def _by_count(self, function: Callable[..., Any], ends: tuple[float, float], y: Array, mu: Array) -> Array:
        """Value of a function of a log-density, a count and a mean, with its limits below 0 and at infinity."""
        count = np.floor(np.where((y < 0) | (y == np.inf), 0.0, y))
        with np.errstate(all="ignore"):
            value = function(self.logpdf(count, mu), count, mu)
        return np.where(y < 0, ends[0], np.where(y == np.inf, ends[1], value))

    def ppf(self, share: Array, mu: Array) -> Array:
        share = shares(share)
        z = special.ndtri(np.clip(share, 1e-300, 1 - 1e-16))
        found = first_count(lambda count: self.cdf(count, mu) >= share, mu + z * np.sqrt(mu) + (z * z - 1) / 6)
        return np.where(share == 1, np.inf, found)

    def rvs(self, mu: Array, *, rng: np.random.Generator) -> Array:
        return np.asarray(rng.poisson(mu), dtype=float)

    def linear_deviance(self, y: Array, *eta: Array) -> Array:
        """``2 (y log(y / mu) - (y - mu))``."""
        mu = self.links["mu"].inverse(eta[0])
        return -2 * _unsaturated(y, mu, y - mu - special.xlogy(y, y / mu))

    def recession(self, y: Array) -> Recession | None:
        """A zero becomes certain as the mean goes to 0."""
        down = towards(self.links["mu"], 0.0)
        return None if down is None else one_way(np.where(y == 0, down, 0.0))

    def mean_mle(self, ybar: Array) -> Array:
        return ybar

    def start(self, y: Array, weight: Array) -> tuple[Array, ...]:
        """Start from each count itself, moved off zero (as R's ``poisson()$initialize``)."""
        ybar = np.average(y, weights=weight)
        return (np.asarray(self.links["mu"].forward(y + min(0.1, 0.1 * ybar) if ybar > 0 else y + 0.1)),)


def _base_measure(y: Array) -> Array:
    largest = float(np.max(y, initial=0.0))
    if largest < min(_LARGE, y.size):
        # A table is exact, and several times faster than a gamma function for each row.
        table = special.gammaln(np.arange(largest + 1) + 1)
        return -table[y.astype(np.intp)]
    plain = -special.gammaln(y + 1)
    if largest <= _LARGE:
        return plain
    large = np.maximum(y, _LARGE)
    stirling = (1 - 1 / (30 * large**2)) / (12 * large)
    return np.where(y > _LARGE, -0.5 * np.log(2 * np.pi * large) - stirling, plain)


def _unsaturated(y: Array, mu: Array, plain: Array) -> Array:
    """``plain`` for ordinary counts, ``log f(y; mu) - log f(y; y)`` for large ones."""
    if not np.max(y, initial=0.0) > _LARGE:
        return plain
    large = np.maximum(y, _LARGE)
    r = (mu - large) / large
    # Far from saturation nothing cancels, and log(1 + r) would lose a mean that is nearly zero.
    ratio = np.where(np.abs(r) < 0.5, np.log1p(r), np.log(mu) - np.log(large))
    return np.where(y > _LARGE, large * (ratio - r), plain)


def _log_kernel(y: Array, eta: Array, order: int) -> Rows:
    mu = np.exp(eta)
    value = _unsaturated(y, mu, y * eta - mu)
    if order == 0:
        return Rows(value, None, None)
    return Rows(value, (y - mu)[None], -mu[None, None] if order == 2 else None)


def _identity_kernel(y: Array, eta: Array, order: int) -> Rows:
    value = _unsaturated(y, eta, special.xlogy(y, eta) - eta)
    if order == 0:
        return Rows(value, None, None)
    ratio = y / eta
    return Rows(value, (ratio - 1)[None], (-ratio / eta)[None, None] if order == 2 else None)


def _sqrt_kernel(y: Array, eta: Array, order: int) -> Rows:
    mu = eta * eta
    value = _unsaturated(y, mu, 2 * special.xlogy(y, eta) - mu)
    if order == 0:
        return Rows(value, None, None)
    ratio = y / eta
    return Rows(value, 2 * (ratio - eta)[None], -2 * (ratio / eta + 1)[None, None] if order == 2 else None)


_KERNELS = {"log": _log_kernel, "identity": _identity_kernel, "sqrt": _sqrt_kernel}
