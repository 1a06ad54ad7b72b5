"""Poisson distribution of counts."""

import numpy as np
from scipy import special

from mlekit.families.base import GenericLikelihood
from mlekit.jets import Rows
from mlekit.links import Array, log

# Looking log(y!) up in a table is exact and several times faster than computing it for each row.
_TABLE_LIMIT = 100_000


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
    links_for = {"mu": ("log", "identity", "sqrt", "softplus")}
    support_text = "a count 0, 1, 2, ..."

    def logpdf(self, y: Array, mu: Array) -> Array:  # noqa: D102
        return special.xlogy(y, mu) - mu - special.gammaln(y + 1)

    def rows(self, y: Array, mu: Array, order: int = 2) -> Rows:  # noqa: D102
        value = special.xlogy(y, mu) - mu - special.gammaln(y + 1)
        if order == 0:
            return Rows(value, None, None)
        grad = (y / mu - 1)[None]
        return Rows(value, grad, (-y / mu**2)[None, None] if order == 2 else None)

    def linear_rows(self, y: Array, *eta: Array, order: int = 2) -> Rows:  # noqa: D102
        link = self.links["mu"]
        kernel = _KERNELS.get(link.name)
        if kernel is not None:
            return kernel(y, eta[0], order)
        mu = link.inverse(eta[0])
        value = special.xlogy(y, mu) - mu
        if order == 0:
            return Rows(value, None, None)
        (first, second), (relative, bend) = link.slopes(eta[0]), link.log_slopes(eta[0])
        return Rows(
            value, (y * relative - first)[None], (y * bend - second)[None, None] if order == 2 else None
        )

    def base_measure(self, y: Array) -> Array:
        """``-log y!``, the part of the log-density that no coefficient touches."""
        largest = float(np.max(y, initial=0.0))
        if largest < min(_TABLE_LIMIT, y.size):
            table = special.gammaln(np.arange(largest + 1) + 1)
            return -table[y.astype(np.intp)]
        return -special.gammaln(y + 1)

    def information(self, *eta: Array) -> Array:  # noqa: D102
        link = self.links["mu"]
        if link == log:
            return np.exp(eta[0])[None, None]
        return (link.slopes(eta[0])[0] * link.log_slopes(eta[0])[0])[None, None]

    def in_support(self, y: Array) -> Array:  # noqa: D102
        return np.isfinite(y) & (y >= 0) & (y == np.floor(y))

    def mean(self, mu: Array) -> Array:  # noqa: D102
        return mu

    def variance(self, mu: Array) -> Array:  # noqa: D102
        return mu

    def linear_deviance(self, y: Array, *eta: Array) -> Array:
        """``2 (y log(y / mu) - (y - mu))``."""
        mu = self.links["mu"].inverse(eta[0])
        return 2 * (special.xlogy(y, y / mu) - (y - mu))

    def mean_mle(self, ybar: Array) -> Array:  # noqa: D102
        return ybar

    def start(self, y: Array, weight: Array) -> tuple[Array, ...]:
        """Start from each count itself, moved off zero (as R's ``poisson()$initialize``)."""
        ybar = np.average(y, weights=weight)
        return (np.asarray(self.links["mu"].forward(y + min(0.1, 0.1 * ybar) if ybar > 0 else y + 0.1)),)


def _log_kernel(y: Array, eta: Array, order: int) -> Rows:
    mu = np.exp(eta)
    value = y * eta - mu
    if order == 0:
        return Rows(value, None, None)
    return Rows(value, (y - mu)[None], -mu[None, None] if order == 2 else None)


def _identity_kernel(y: Array, eta: Array, order: int) -> Rows:
    value = special.xlogy(y, eta) - eta
    if order == 0:
        return Rows(value, None, None)
    ratio = y / eta
    return Rows(value, (ratio - 1)[None], (-ratio / eta)[None, None] if order == 2 else None)


def _sqrt_kernel(y: Array, eta: Array, order: int) -> Rows:
    value = 2 * special.xlogy(y, eta) - eta * eta
    if order == 0:
        return Rows(value, None, None)
    ratio = y / eta
    return Rows(value, 2 * (ratio - eta)[None], -2 * (ratio / eta + 1)[None, None] if order == 2 else None)


_KERNELS = {"log": _log_kernel, "identity": _identity_kernel, "sqrt": _sqrt_kernel}
