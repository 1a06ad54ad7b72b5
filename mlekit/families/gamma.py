"""Families of a positive response with a mean and a shape: gamma and inverse Gaussian."""

from collections.abc import Callable, Sequence

import numpy as np
from scipy import special

from mlekit.families.base import GenericLikelihood
from mlekit.families.incomplete import TINY
from mlekit.families.natural import (
    POSITIVE_LINKS,
    Slopes,
    information_through_links,
    log_parameter,
    third_through_links,
    through_links,
)
from mlekit.families.stirling import excess, log_gamma_rest, log_gamma_rest_rows
from mlekit.families.tails import log_poisson_above, log_poisson_below
from mlekit.jets import Rows
from mlekit.links import Array, log

#: ``(log-density, shape - 1, x) -> logarithm of a tail``: those of a Poisson count are gamma functions.
Tail = Callable[[Array, Array, Array], Array]

_HALF_LOG_2PI = 0.5 * np.log(2 * np.pi)


class _MeanAndShape(GenericLikelihood):
    """What the two have in common."""

    support_text = "a number > 0"

    def in_support(self, y: Array) -> Array:
        return np.isfinite(y) & (y > 0)

    def mean(self, mu: Array, shape: Array) -> Array:
        return mu + 0 * shape

    def mean_mle(self, ybar: Array) -> Array:
        return ybar

    def _start(self, y: Array, ybar: float, shape: float) -> tuple[Array, ...]:
        mean, of_shape = self.links.values()
        tiny = np.finfo(float)
        shape = float(np.clip(shape, tiny.tiny, tiny.max)) if shape > 0 else 1.0
        # From each response itself, moved off zero by a tenth of the mean.
        return np.asarray(mean.forward(0.9 * y + 0.1 * ybar)), np.asarray(of_shape.forward(np.float64(shape)))


class Gamma(_MeanAndShape):
    """Gamma distribution with mean ``mu`` (log link) and ``shape`` (log link); its variance is ``mu**2 / shape``.

    ``f(y) = (shape / mu)**shape y**(shape - 1) exp(-shape y / mu) / gamma(shape)``. R: ``glm(family = Gamma)``, whose
    dispersion is ``1 / shape`` (estimated otherwise, see ``MASS::gamma.shape``), ``dgamma(shape = shape,
    rate = shape / mu)``; scipy: ``scipy.stats.gamma(shape, scale=mu / shape)``. With ``shape`` 1 it is the Exponential
    of rate ``1 / mu``.
    Links of ``mu`` and ``shape``: log, identity, inverse, softplus, sqrt.

    Examples
    --------
    >>> import numpy as np
    >>> Gamma().logpdf(np.array([0.5, 2.0]), 1.0, 2.0).round(4).tolist()
    [-0.3069, -1.9206]
    """

    params = {"mu": log, "shape": log}
    shifts = 1
    links_for = {"mu": POSITIVE_LINKS, "shape": POSITIVE_LINKS}

    def logpdf(self, y: Array, mu: Array, shape: Array) -> Array:
        return log_gamma_rest(shape) - shape * _deviance(y, mu) - np.log(y)

    def linear_rows(self, y: Array, *eta: Array, order: int = 2) -> Rows:
        """Rows in log mu and log shape, by ``d = y / mu - 1`` and ``d - log(1 + d)``: near the mean nothing cancels."""
        log_mu, rate, of_mu = log_parameter(self.links["mu"], eta[0])
        log_shape, _, of_shape = log_parameter(self.links["shape"], eta[1])
        shape, mu = np.exp(log_shape), self.links["mu"].inverse(eta[0])
        ratio, d = y * rate, (y - mu) * rate
        half_deviance = np.where(np.abs(d) < 0.5, excess(np.clip(d, -0.5, 0.5)), ratio - 1 - (np.log(y) - log_mu))
        rest, rest_1, rest_2 = log_gamma_rest_rows(shape, order)
        lost = shape * half_deviance
        value = rest - lost - np.log(y)
        if order == 0:
            return Rows(value, None, None)
        grad = [shape * d, rest_1 - lost]
        slopes = (of_mu, of_shape)
        if order == 1:
            return through_links(value, grad, [], slopes, 1)
        return through_links(value, grad, [[-shape * ratio], [grad[0], rest_1 + rest_2 - lost]], slopes, 2)

    def information(self, *eta: Array) -> Array:
        _, _, of_mu = log_parameter(self.links["mu"], eta[0])
        log_shape, _, of_shape = log_parameter(self.links["shape"], eta[1])
        zero = 0 * (eta[0] + eta[1])
        shape = np.exp(log_shape)
        hess = [[shape + zero], [zero, zero - log_gamma_rest_rows(shape, 2)[2]]]
        return information_through_links(hess, (of_mu, of_shape))

    def third_moments(self, *eta: Array) -> Array:
        """In (log mu, log shape), from the cumulants of y and log y."""
        _, _, of_mu = log_parameter(self.links["mu"], eta[0])
        log_shape, _, of_shape = log_parameter(self.links["shape"], eta[1])
        shape = np.exp(log_shape) + 0 * eta[0]
        last = -log_gamma_rest_rows(shape, 2)[2]
        return _third(shape, _bend(shape), last, (of_mu, of_shape))

    def cdf(self, y: Array, mu: Array, shape: Array) -> Array:
        return special.gammainc(shape, shape * (np.maximum(y, 0.0) / mu))

    def logcdf(self, y: Array, mu: Array, shape: Array) -> Array:
        return self._log_tail(y, mu, shape, (special.gammainc, special.gammaincc), log_poisson_above)

    def logsf(self, y: Array, mu: Array, shape: Array) -> Array:
        return self._log_tail(y, mu, shape, (special.gammaincc, special.gammainc), log_poisson_below)

    def _log_tail(self, y: Array, mu: Array, shape: Array, pair: tuple[np.ufunc, np.ufunc], far: Tail) -> Array:
        """Logarithm of a tail: the first of the pair, the complement of the second, or far out a continued fraction."""
        y = np.maximum(y, 0.0)
        x = shape * (y / mu)
        here, there = (function(shape, x) for function in pair)
        with np.errstate(all="ignore"):
            plain = np.where(here < 0.5, np.log(here), np.log1p(-there))
            tiny = (here < TINY) & (x > 0) & (x < np.inf)
            if not np.any(tiny):
                return plain
            density = self.logpdf(y, mu, shape) + np.log(mu) - np.log(shape)
            return np.where(tiny, far(density, shape - 1, x), plain)

    def ppf(self, share: Array, mu: Array, shape: Array) -> Array:
        return mu * (special.gammaincinv(shape, share) / shape)

    def rvs(self, mu: Array, shape: Array, *, rng: np.random.Generator) -> Array:
        return mu * (rng.standard_gamma(shape, size=np.broadcast_shapes(np.shape(mu), np.shape(shape))) / shape)

    def variance(self, mu: Array, shape: Array) -> Array:
        return mu**2 / shape

    def linear_deviance(self, y: Array, *eta: Array) -> Array:
        """``2 (y / mu - 1 - log(y / mu))`` (R's convention: not multiplied by the shape)."""
        return 2 * _deviance(y, self.links["mu"].inverse(eta[0]))

    def start(self, y: Array, weight: Array) -> tuple[Array, ...]:
        """Start from each response, with the shape of all of them (Minka 2002, to 1.5 %)."""
        ybar = float(np.average(y, weights=weight))
        s = float(np.average(_deviance(y, ybar), weights=weight))
        shape = (3 - s + np.sqrt((s - 3) ** 2 + 24 * s)) / (12 * s) if s > 0 else 1.0
        return self._start(y, ybar, shape)


class InverseGaussian(_MeanAndShape):
    """Inverse Gaussian distribution with mean ``mu`` (log link) and ``shape`` (log link), often called lambda.

    ``f(y) = sqrt(shape / (2 pi y**3)) exp(-shape (y - mu)**2 / (2 mu**2 y))``; variance ``mu**3 / shape``. R:
    ``glm(family = inverse.gaussian)``, whose dispersion is ``1 / shape``,
    ``statmod::dinvgauss(mean = mu, shape = shape)``; scipy: ``scipy.stats.invgauss(mu / shape, scale=shape)``.
    Links of ``mu`` and ``shape``: log, identity, inverse, softplus, sqrt.

    Examples
    --------
    >>> import numpy as np
    >>> InverseGaussian().logpdf(np.array([0.5, 2.0]), 1.0, 2.0).round(4).tolist()
    [-0.0326, -2.1121]
    """

    params = {"mu": log, "shape": log}
    links_for = {"mu": POSITIVE_LINKS, "shape": POSITIVE_LINKS}

    def logpdf(self, y: Array, mu: Array, shape: Array) -> Array:
        d = (y - mu) / mu
        return 0.5 * np.log(shape) - 1.5 * np.log(y) - _HALF_LOG_2PI - 0.5 * shape * d * (d / y)

    def linear_rows(self, y: Array, *eta: Array, order: int = 2) -> Rows:
        """Rows in log mu and log shape, by ``d = y / mu - 1``."""
        _, rate, of_mu = log_parameter(self.links["mu"], eta[0])
        log_shape, _, of_shape = log_parameter(self.links["shape"], eta[1])
        shape = np.exp(log_shape)
        d = (y - self.links["mu"].inverse(eta[0])) * rate
        lost = 0.5 * shape * d * (d / y)
        value = 0.5 * log_shape - 1.5 * np.log(y) - _HALF_LOG_2PI - lost
        if order == 0:
            return Rows(value, None, None)
        grad = [shape * rate * d, 0.5 - lost]
        slopes = (of_mu, of_shape)
        if order == 1:
            return through_links(value, grad, [], slopes, 1)
        return through_links(value, grad, [[-shape * rate * (2 * d + 1)], [grad[0], -lost]], slopes, 2)

    def information(self, *eta: Array) -> Array:
        _, rate, of_mu = log_parameter(self.links["mu"], eta[0])
        log_shape, _, of_shape = log_parameter(self.links["shape"], eta[1])
        zero = 0 * (eta[0] + eta[1])
        return information_through_links([[np.exp(log_shape) * rate], [zero, 0.5 + zero]], (of_mu, of_shape))

    def third_moments(self, *eta: Array) -> Array:
        """In (log mu, log shape), where the deviance is chi-squared of one degree of freedom."""
        _, rate, of_mu = log_parameter(self.links["mu"], eta[0])
        log_shape, _, of_shape = log_parameter(self.links["shape"], eta[1])
        ratio = np.exp(log_shape) * rate
        return _third(ratio, np.full_like(ratio, -0.5), np.full_like(ratio, 0.5), (of_mu, of_shape))

    def cdf(self, y: Array, mu: Array, shape: Array) -> Array:
        return np.exp(self.logcdf(y, mu, shape))

    def logcdf(self, y: Array, mu: Array, shape: Array) -> Array:
        with np.errstate(all="ignore"):
            return _log_inverse_gaussian(y, mu, shape)[0]

    def logsf(self, y: Array, mu: Array, shape: Array) -> Array:
        with np.errstate(all="ignore"):
            return _log_inverse_gaussian(y, mu, shape)[1]

    def ppf(self, share: Array, mu: Array, shape: Array) -> Array:
        """By bisection of log y, in the logarithm of the smaller tail."""
        share, mu, shape = np.broadcast_arrays(*(np.asarray(x, dtype=float) for x in (share, mu, shape)))
        with np.errstate(all="ignore"):
            log_share, log_rest = np.log(share), np.log1p(-share)
            low, high = np.full(share.shape, -745.0), np.full(share.shape, 709.0)
            for _ in range(64):
                middle = 0.5 * (low + high)
                below, above = _log_inverse_gaussian(np.exp(middle), mu, shape)
                short = np.where(share < 0.5, below < log_share, above > log_rest)
                low, high = np.where(short, middle, low), np.where(short, high, middle)
        inside = np.where((share > 0) & (share < 1), np.exp(high), np.nan)
        return np.where(share == 0, 0.0, np.where(share == 1, np.inf, inside))

    def rvs(self, mu: Array, shape: Array, *, rng: np.random.Generator) -> Array:
        """By Michael, Schucany and Haas (1976), with the smaller root as one over a sum: as a difference it cancels."""
        size = np.broadcast_shapes(np.shape(mu), np.shape(shape))
        squared = rng.standard_normal(size) ** 2
        rate, pull = 1 / np.asarray(mu), squared / shape
        small = 1 / (rate + 0.5 * pull + np.sqrt(pull) * np.sqrt(rate + 0.25 * pull))
        ratio = small * rate
        with np.errstate(over="ignore", divide="ignore"):
            return np.where(rng.random(size) * (1 + ratio) <= 1, small, mu / ratio)

    def variance(self, mu: Array, shape: Array) -> Array:
        return mu**2 * (mu / shape)

    def linear_deviance(self, y: Array, *eta: Array) -> Array:
        """``(y - mu)**2 / (mu**2 y)`` (R's convention: not multiplied by the shape)."""
        mu = self.links["mu"].inverse(eta[0])
        d = (y - mu) / mu
        return d * (d / y)

    def start(self, y: Array, weight: Array) -> tuple[Array, ...]:
        """Start from each response, or else from the estimates of a homogeneous sample, which are a closed form."""
        ybar = float(np.average(y, weights=weight))
        d = (y - ybar) / ybar
        spread = float(np.average(d * (d / y), weights=weight))
        return self._start(y, ybar, 1 / spread if spread > 0 else 1.0)


def _third(size: Array, last: Array, of_shape: Array, slopes: Sequence[Slopes]) -> Array:
    """Third moments in the linear predictors, from the three entries that are not zero in (log mu, log shape)."""
    third: Array = np.zeros((2, 2, 2, size.size))
    third[0, 0, 0], third[0, 0, 1], third[1, 1, 1] = size, -size, last
    information: Array = np.zeros((2, 2, size.size))
    information[0, 0], information[1, 1] = size, of_shape
    return third_through_links(third, information, slopes)


def _bend(a: Array) -> Array:
    """``a**3 psi''(a) + a**2 psi'(a)``; from 20 on by its series, as the leading terms cancel."""
    small, large = np.minimum(a, 20.0), np.maximum(a, 20.0)
    series = sum(b / large**k for k, b in ((1, 1 / 3), (3, -2 / 15), (5, 1 / 7), (7, -4 / 15), (9, 25 / 33)))
    direct = small**3 * special.polygamma(2, small) + small**2 * special.polygamma(1, small)
    return np.where(a < 20, direct, -0.5 - series)


def _deviance(y: Array, mu: Array | float) -> Array:
    """``y / mu - 1 - log(y / mu)``."""
    d = (y - mu) / mu
    near = np.abs(d) < 0.5
    return np.where(near, excess(np.where(near, d, 0.0)), d - (np.log(y) - np.log(mu)))


# Nodes on the unit interval, enough for a function that falls by exp(-40).
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(64)


def _log_inverse_gaussian(y: Array, mu: Array, shape: Array) -> tuple[Array, Array]:
    """``(log cdf, log(1 - cdf))`` without a factor that overflows, and with no difference that cancels.

    With ``a = (m - h) sqrt(2)`` and ``b = (m + h) sqrt(2)``, where ``h = sqrt(shape / (2 y))`` and ``m = h y / mu``,
    the two are ``ndtr(+-a) +- exp(2 shape / mu) ndtr(-b)`` (Chhikara and Folks 1989), or, with erfcx for the scaled
    tails, ``exp(-a**2 / 2) / 2 (erfcx(-+(m - h)) +- erfcx(m + h))``.
    """
    end = np.isposinf(y)
    y = np.where(end, mu, np.maximum(y, 0.0))
    h = np.sqrt(0.5 * shape / y)
    m = np.sqrt(0.5 * shape) * np.sqrt(y) / mu
    near, far = h * ((y - mu) / mu), m + h
    above = special.erfcx(near) - special.erfcx(far)
    close = h < 0.1 * np.maximum(m, 1.0)
    if np.any(close):
        above = np.where(close, _erfcx_difference(m, h), above)
    log_sf = np.log(0.5 * above) - near * near
    # Below the mean erfcx(m - h) overflows first, above it erfcx(h - m).
    left = near < 0
    log_cdf = np.where(
        left,
        np.log(0.5 * (special.erfcx(np.where(left, -near, 0.0)) + special.erfcx(far))) - near * near,
        np.log(special.ndtr(np.sqrt(2) * near) + 0.5 * np.exp(-near * near) * special.erfcx(far)),
    )
    upper = log_sf < -np.log(2)
    log_cdf, log_sf = (
        np.where(upper, np.log1p(-np.exp(np.where(upper, log_sf, -1.0))), log_cdf),
        np.where(upper, log_sf, np.log1p(-np.exp(np.where(upper, -1.0, log_cdf)))),
    )
    return np.where(end, 0.0, log_cdf), np.where(end, -np.inf, log_sf)


def _erfcx_difference(m: Array, h: Array) -> Array:
    """``erfcx(m - h) - erfcx(m + h)``: the integral of ``4 / sqrt(pi) exp(-t**2 - 2 m t) sinh(2 h t)`` over t > 0."""
    low = m - h
    end = 40 / (low + np.sqrt(low * low + 40))
    total = 0.0 * m
    for node, weight in zip(0.5 * (_NODES + 1), 0.5 * _WEIGHTS, strict=True):
        t = node * end
        total = total + weight * np.exp(-t * (t + 2 * m)) * np.sinh(2 * h * t)
    return 4 / np.sqrt(np.pi) * end * total
