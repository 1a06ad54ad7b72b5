"""Families of survival times that are straight on a log scale: Weibull and lognormal."""

import numpy as np
from scipy import special

from mlekit.families.base import GenericLikelihood
from mlekit.families.location_scale import log_one_less_exp
from mlekit.families.natural import (
    POSITIVE_LINKS,
    information_through_links,
    log_parameter,
    scaled_through_links,
    through_links,
)
from mlekit.families.normal import Normal
from mlekit.families.tails import shares
from mlekit.families.third import standard_moments
from mlekit.jets import Rows
from mlekit.links import Array, identity, log

_HALF_LOG_2PI = 0.5 * np.log(2 * np.pi)


class Weibull(GenericLikelihood):
    """Weibull distribution with ``scale`` (log link) and ``shape`` (log link).

    ``f(y) = shape / y x exp(-x)`` with ``x = (y / scale)**shape``; mean ``scale gamma(1 + 1 / shape)``. The log of
    ``y`` has a Gumbel distribution of minima with mode ``log(scale)`` and scale ``1 / shape``. R:
    ``survreg(dist = "weibull")``, whose coefficients are those of ``scale`` and whose ``Log(scale)`` is minus the
    coefficient of ``shape``; ``dweibull(shape, scale)``; scipy: ``scipy.stats.weibull_min(shape, scale=scale)``. With
    ``shape`` 1 it is the Exponential of rate ``1 / scale``.
    Links of ``scale`` and ``shape``: log, identity, inverse, softplus, sqrt.

    Examples
    --------
    >>> import numpy as np
    >>> Weibull().logpdf(np.array([0.5, 2.0]), 1.0, 2.0).round(4).tolist()
    [-0.25, -2.6137]
    """

    params = {"scale": log, "shape": log}
    shifts = 1
    links_for = {"scale": POSITIVE_LINKS, "shape": POSITIVE_LINKS}
    support_text = "a number > 0"

    def logpdf(self, y: Array, scale: Array, shape: Array) -> Array:
        z = shape * _log_ratio((y - scale) / scale, np.log(y) - np.log(scale))
        return np.log(shape) - np.log(y) + z - np.exp(z)

    def linear_rows(self, y: Array, *eta: Array, order: int = 2) -> Rows:
        """Rows in log scale and log shape, of ``z = shape log(y / scale)``."""
        log_scale, rate, of_scale = log_parameter(self.links["scale"], eta[0])
        log_shape, _, of_shape = log_parameter(self.links["shape"], eta[1])
        shape, log_y = np.exp(log_shape), np.log(y)
        z = shape * _log_ratio((y - self.links["scale"].inverse(eta[0])) * rate, log_y - log_scale)
        x = np.exp(z)
        value = log_shape - log_y + z - x
        if order == 0:
            return Rows(value, None, None)
        more = np.expm1(z)
        grad = [shape * more, 1 - z * more]
        slopes = (of_scale, of_shape)
        if order == 1:
            return through_links(value, grad, [], slopes, 1)
        turn = more + z * x
        return through_links(value, grad, [[-shape * x * shape], [shape * turn, -z * turn]], slopes, 2)

    def information(self, *eta: Array) -> Array:
        _, _, of_scale = log_parameter(self.links["scale"], eta[0])
        log_shape, _, of_shape = log_parameter(self.links["shape"], eta[1])
        zero = 0 * (eta[0] + eta[1])
        shape, left = np.exp(log_shape) + zero, 1 - np.euler_gamma
        hess = [[shape * shape], [-left * shape, np.pi**2 / 6 + left**2 + zero]]
        return information_through_links(hess, (of_scale, of_shape))

    def third_moments(self, *eta: Array) -> Array:
        """Those of a Gumbel, whose scale is one over the shape."""
        _, _, of_scale = log_parameter(self.links["scale"], eta[0])
        log_shape, _, of_shape = log_parameter(self.links["shape"], eta[1])
        information, third = standard_moments(Weibull())
        return scaled_through_links(third, information, np.exp(log_shape), (of_scale, of_shape))

    def in_support(self, y: Array) -> Array:
        return np.isfinite(y) & (y > 0)

    def cdf(self, y: Array, scale: Array, shape: Array) -> Array:
        return -np.expm1(self.logsf(y, scale, shape))

    def logcdf(self, y: Array, scale: Array, shape: Array) -> Array:
        with np.errstate(divide="ignore"):
            return log_one_less_exp(self._score(y, scale, shape))

    def logsf(self, y: Array, scale: Array, shape: Array) -> Array:
        with np.errstate(divide="ignore"):
            return -np.exp(self._score(y, scale, shape))

    @staticmethod
    def _score(y: Array, scale: Array, shape: Array) -> Array:
        y = np.maximum(y, 0.0)
        return shape * _log_ratio((y - scale) / scale, np.log(y) - np.log(scale))

    def ppf(self, share: Array, scale: Array, shape: Array) -> Array:
        return scale * (-np.log1p(-shares(share))) ** (1 / shape)

    def rvs(self, scale: Array, shape: Array, *, rng: np.random.Generator) -> Array:
        return scale * rng.weibull(shape, size=np.broadcast_shapes(np.shape(scale), np.shape(shape)))

    def mean(self, scale: Array, shape: Array) -> Array:
        return scale * special.gamma(1 + 1 / shape)

    def variance(self, scale: Array, shape: Array) -> Array:
        """``mean**2 (gamma(1 + 2 a) / gamma(1 + a)**2 - 1)`` with ``a = 1 / shape``."""
        return self.mean(scale, shape) ** 2 * np.expm1(_log_gamma_ratio(1 / shape))

    def start(self, y: Array, weight: Array) -> tuple[Array, ...]:
        """Start from the moments of ``log y``."""
        log_y = np.log(y)
        spread = Normal().scale_mle(log_y, np.average(log_y, weights=weight), weight) * np.sqrt(6) / np.pi or 1.0
        scale = np.exp(log_y + np.euler_gamma * spread)
        scale = np.clip(scale, np.finfo(float).tiny, np.finfo(float).max)
        return np.asarray(self.links["scale"].forward(scale)), np.asarray(
            self.links["shape"].forward(np.float64(1 / spread))
        )


class LogNormal(GenericLikelihood):
    """Lognormal distribution: ``log(y)`` is Normal with mean ``mu`` (identity link) and deviation ``sigma`` (log link).

    ``f(y) = exp(-((log(y) - mu) / sigma)**2 / 2) / (y sigma sqrt(2 pi))``; mean ``exp(mu + sigma**2 / 2)``, median
    ``exp(mu)``. R: ``lm(log(y) ~ x)``, whose ``sigma`` is not the maximum-likelihood one,
    ``survreg(dist = "lognormal")``, ``dlnorm(meanlog = mu, sdlog = sigma)``; scipy:
    ``scipy.stats.lognorm(sigma, scale=exp(mu))``.
    Links of ``mu``: identity, log, inverse. Links of ``sigma``: log, identity, inverse, softplus, sqrt.

    Examples
    --------
    >>> import numpy as np
    >>> LogNormal().logpdf(np.array([1.0, 2.0]), 0.0, 1.0).round(4).tolist()
    [-0.9189, -1.8523]
    """

    params = {"mu": identity, "sigma": log}
    shifts = 1
    links_for = {"mu": ("identity", "log", "inverse"), "sigma": POSITIVE_LINKS}
    support_text = "a number > 0"

    @property
    def _normal(self) -> Normal:
        """Distribution of ``log y``."""
        return Normal(**self.links)

    def logpdf(self, y: Array, mu: Array, sigma: Array) -> Array:
        z = (np.log(y) - mu) / sigma
        return -0.5 * z * z - np.log(sigma) - np.log(y) - _HALF_LOG_2PI

    def linear_rows(self, y: Array, *eta: Array, order: int = 2) -> Rows:
        """Rows of the Normal distribution of ``log y``."""
        log_y = np.log(y)
        rows = self._normal.linear_rows(log_y, *eta, order=order)
        return rows._replace(value=rows.value - log_y)

    def information(self, *eta: Array) -> Array:
        return self._normal.information(*eta)

    def third_moments(self, *eta: Array) -> Array:
        return self._normal.third_moments(*eta)

    def equivalent(self, y: Array) -> tuple[Normal, Array]:
        """The Normal distribution of ``log y``, which has the same estimate."""
        return self._normal, np.log(y)

    def in_support(self, y: Array) -> Array:
        return np.isfinite(y) & (y > 0)

    def cdf(self, y: Array, mu: Array, sigma: Array) -> Array:
        return special.ndtr(self._score(y, mu, sigma))

    def logcdf(self, y: Array, mu: Array, sigma: Array) -> Array:
        return special.log_ndtr(self._score(y, mu, sigma))

    def logsf(self, y: Array, mu: Array, sigma: Array) -> Array:
        return special.log_ndtr(-self._score(y, mu, sigma))

    @staticmethod
    def _score(y: Array, mu: Array, sigma: Array) -> Array:
        with np.errstate(divide="ignore"):
            return (np.log(np.maximum(y, 0.0)) - mu) / sigma

    def ppf(self, share: Array, mu: Array, sigma: Array) -> Array:
        return np.exp(mu + sigma * special.ndtri(share))

    def rvs(self, mu: Array, sigma: Array, *, rng: np.random.Generator) -> Array:
        return rng.lognormal(mu, sigma)

    def mean(self, mu: Array, sigma: Array) -> Array:
        return np.exp(mu + 0.5 * sigma * sigma)

    def variance(self, mu: Array, sigma: Array) -> Array:
        return np.expm1(sigma * sigma) * np.exp(2 * mu + sigma * sigma)

    def start(self, y: Array, weight: Array) -> tuple[Array, ...]:
        """Start from the start of the Normal distribution of ``log y``."""
        return self._normal.start(np.log(y), weight)


def _log_ratio(d: Array, difference: Array) -> Array:
    """``log(1 + d)`` where that is near 0, else the difference of logarithms that it is."""
    near = np.abs(d) < 0.5
    return np.where(near, np.log1p(np.where(near, d, 0.0)), difference)


def _log_gamma_ratio(a: Array) -> Array:
    """``log(gamma(1 + 2 a) / gamma(1 + a)**2)``: for small a its Taylor series (Abramowitz & Stegun 1964, 6.1.33)."""
    small = np.minimum(a, 0.1)
    series = np.zeros_like(small)
    for k in range(25, 1, -1):
        series = small * (series + (-1) ** k * special.zeta(k) * (2**k - 2) / k)
    return np.where(a < 0.1, small * series, special.gammaln(1 + 2 * a) - 2 * special.gammaln(1 + a))
