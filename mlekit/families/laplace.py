"""Laplace distributions: the likelihoods whose losses are the absolute error and the pinball loss."""

from typing import Any

import numpy as np

from mlekit.families.base import GenericLikelihood
from mlekit.families.tails import shares
from mlekit.jets import Rows
from mlekit.links import Array, identity, log


class _TwoExponentials(GenericLikelihood):
    """Exponential tails that meet at ``mu``: ``log f = -(above r+ + below r-) / b - log b + constant``, r = y - mu.

    At the kink, ``y = mu``, the derivative in ``mu`` is the subgradient 0.
    """

    params = {"mu": identity, "b": log}
    links_for = {
        "mu": ("identity",),
        "b": ("log", "identity", "inverse", "softplus", "sqrt"),
    }
    support_text = "a finite number"

    @property
    def _tilts(self) -> tuple[float, float]:
        """Slopes of the loss below and above ``mu``."""
        return 1.0, 1.0

    @property
    def quantile_level(self) -> float:  # type: ignore[override]
        """The probability below ``mu``."""
        below, above = self._tilts
        return above / (below + above)

    def _loss(self, residual: Array) -> tuple[Array, Array]:
        """Loss of each residual, and its derivative."""
        below, above = self._tilts
        slope = np.where(residual > 0, above, np.where(residual < 0, -below, 0.0))
        return slope * residual, slope

    def _constant_part(self) -> float:
        below, above = self._tilts
        return -float(np.log(1 / below + 1 / above))

    def logpdf(self, y: Array, mu: Array, b: Array) -> Array:
        below, above = self._tilts
        z = (y - mu) / b
        return np.where(z < 0, below * z, -above * z) - np.log(b) + self._constant_part()

    def rows(self, y: Array, mu: Array, b: Array, *, order: int = 2) -> Rows:  # type: ignore[override]
        loss, slope = self._loss((y - mu) / b)
        value = -loss - np.log(b) + self._constant_part()
        if order == 0:
            return Rows(value, None, None)
        unit = 1 / b * np.ones_like(loss)
        grad = np.stack([slope * unit, (loss - 1) * unit])
        if order == 1:
            return Rows(value, grad, None)
        cross = -slope * unit**2
        return Rows(value, grad, np.array([[np.zeros_like(loss), cross], [cross, (1 - 2 * loss) * unit**2]]))

    def linear_rows(self, y: Array, *eta: Array, order: int = 2) -> Rows:
        """Rows through log b, and with 1/b taken into the slope of mu."""
        link = self.links["mu"]
        log_b, precision = self._scale(eta[1])
        loss, tilt = self._loss((y - link.inverse(eta[0])) * precision)
        value = -loss - log_b + self._constant_part()
        if order == 0:
            return Rows(value, None, None)
        first, second = link.slopes(eta[0])
        relative, bend = self.links["b"].log_slopes(eta[1])
        grad = np.stack([tilt * (first * precision), (loss - 1) * relative])
        if order == 1:
            return Rows(value, grad, None)
        cross = -grad[0] * relative
        return Rows(
            value,
            grad,
            np.array([[tilt * (second * precision), cross], [cross, loss * (bend - relative**2) - bend]]),
        )

    def _scale(self, eta: Array) -> tuple[Array, Array]:
        """``(log b, 1 / b)``, from eta itself with the log link: exp(eta) may underflow."""
        if self.links["b"] == log:
            return eta, np.exp(-eta)
        b = self.links["b"].inverse(eta)
        return np.log(b), 1 / b

    def information(self, *eta: Array) -> Array:
        """Expected outer product of the score: the expectation of minus the Hessian leaves out the kink."""
        below, above = self._tilts
        slope = self.links["mu"].slopes(eta[0])[0] * self._scale(eta[1])[1]
        relative = self.links["b"].log_slopes(eta[1])[0]
        zero = np.zeros(np.broadcast_shapes(np.shape(eta[0]), np.shape(eta[1])))
        return np.array([[below * above * slope**2 + zero, zero], [zero, relative**2 + zero]])

    def mean(self, mu: Array, b: Array) -> Array:
        below, above = self._tilts
        return mu + b * (1 / above - 1 / below)

    def variance(self, mu: Array, b: Array) -> Array:
        below, above = self._tilts
        return b**2 * (1 / above**2 + 1 / below**2) + 0 * mu

    def _tail(self, y: Array, mu: Array, b: Array) -> tuple[Any, Any]:
        """Whether a response is below ``mu``, and the exponent of its tail."""
        below, above = self._tilts
        z = (y - mu) / b
        return z < 0, np.where(z < 0, below * z, -above * z)

    def cdf(self, y: Array, mu: Array, b: Array) -> Array:
        lower, exponent = self._tail(y, mu, b)
        q = self.quantile_level
        return np.where(lower, q * np.exp(exponent), 1 - (1 - q) * np.exp(exponent))

    def logcdf(self, y: Array, mu: Array, b: Array) -> Array:
        lower, exponent = self._tail(y, mu, b)
        q = self.quantile_level
        return np.where(lower, np.log(q) + exponent, np.log1p(-(1 - q) * np.exp(exponent)))

    def logsf(self, y: Array, mu: Array, b: Array) -> Array:
        lower, exponent = self._tail(y, mu, b)
        q = self.quantile_level
        return np.where(lower, np.log1p(-q * np.exp(exponent)), np.log1p(-q) + exponent)

    def ppf(self, share: Array, mu: Array, b: Array) -> Array:
        share, q = shares(share), self.quantile_level
        below, above = self._tilts
        with np.errstate(divide="ignore"):
            return mu + b * np.where(share < q, np.log(share / q) / below, -np.log((1 - share) / (1 - q)) / above)

    def rvs(self, mu: Array, b: Array, *, rng: np.random.Generator) -> Array:
        """Draw the difference of two exponentials."""
        below, above = self._tilts
        first, second = rng.standard_exponential((2, *np.broadcast_shapes(np.shape(mu), np.shape(b))))
        return mu + b * (first / above - second / below)

    def linear_deviance(self, y: Array, *eta: Array) -> Array:
        """Twice the loss, in the units of ``y`` (not divided by b)."""
        return 2 * self._loss(y - self.links["mu"].inverse(eta[0]))[0]

    def scale_mle(self, y: Array, theta: Array, weight: Array) -> float:
        """Mean loss."""
        loss = self._loss(y - theta)[0]
        largest = float(np.max(loss, initial=0.0))
        if largest in (0.0, np.inf):
            return largest
        return largest * float(np.average(loss / largest, weights=weight))

    def start(self, y: Array, weight: Array) -> tuple[Array, ...]:
        """Start from ``y`` itself, with the spread of ``y`` about its median."""
        b = self.scale_mle(y, np.median(y), weight) or 1.0
        return np.asarray(self.links["mu"].forward(y)), np.asarray(self.links["b"].forward(np.float64(b)))


class Laplace(_TwoExponentials):
    """Laplace distribution with median ``mu`` (identity link) and mean absolute deviation ``b`` (log link).

    ``f(y) = exp(-|y - mu| / b) / (2 b)``. Its regressions are those of least absolute deviations, R's
    ``quantreg::rq(tau = 0.5)``; scipy: ``scipy.stats.laplace(loc=mu, scale=b)``.
    Links of ``mu``: identity. Links of ``b``: log, identity, inverse, softplus, sqrt.

    Examples
    --------
    >>> import numpy as np
    >>> Laplace().logpdf(np.array([0.0, 2.0]), 0.0, 1.0).round(4).tolist()
    [-0.6931, -2.6931]
    """


class AsymmetricLaplace(_TwoExponentials):
    """Asymmetric Laplace distribution: ``mu`` (identity link) is its quantile at ``q``, ``b`` (log link) its scale.

    ``f(y) = q (1 - q) / b exp(-rho((y - mu) / b))`` with the pinball loss ``rho(r) = r (q - 1[r < 0])``; q is a
    constant, 0.5 if nothing is said (Koenker and Machado 1999). R: ``quantreg::rq(tau = q)``; scipy:
    ``scipy.stats.laplace_asymmetric(sqrt(q / (1 - q)), loc=mu, scale=b / sqrt(q (1 - q)))``. With q = 0.5 it is the
    Laplace distribution of scale 2b. Fitted values are means, ``mu + b (1 - 2 q) / (q (1 - q))``; the quantile itself
    is ``predict(what="mu")``.
    Links of ``mu``: identity. Links of ``b``: log, identity, inverse, softplus, sqrt.

    Examples
    --------
    >>> import numpy as np
    >>> AsymmetricLaplace(q=0.25).logpdf(np.array([0.0, -1.0, 1.0]), 0.0, 1.0).round(4).tolist()
    [-1.674, -2.424, -1.924]
    """

    constants = {"q": 0.5}
    constant_domains = {"q": (0.0, 1.0)}
    q: float

    @property
    def _tilts(self) -> tuple[float, float]:
        return 1 - self.q, self.q
