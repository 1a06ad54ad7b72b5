"""Families of a location and a scale: logistic and Gumbel."""

from typing import ClassVar

import numpy as np
from scipy import special

from mlekit.families.base import GenericLikelihood
from mlekit.families.natural import (
    POSITIVE_LINKS,
    information_through_links,
    log_parameter,
    scaled_through_links,
    through_links,
)
from mlekit.families.third import standard_moments
from mlekit.jets import Rows
from mlekit.links import Array, identity, log


class _LocationScale(GenericLikelihood):
    """``log f(y) = q(z) - log s`` with ``z = (y - mu) / s``."""

    support_text = "a finite number"
    #: Expected information of (mu / s, log s): its three entries.
    _information: ClassVar[tuple[float, float, float]]

    @staticmethod
    def _log_kernel(z: Array) -> Array:
        """``q(z)``, which jets can follow."""
        raise NotImplementedError

    @staticmethod
    def _slopes(z: Array) -> tuple[Array, Array]:
        """First and second derivative of q."""
        raise NotImplementedError

    def _density(self, y: Array, mu: Array, s: Array) -> Array:
        return self._log_kernel((y - mu) / s) - np.log(s)

    def linear_rows(self, y: Array, *eta: Array, order: int = 2) -> Rows:
        """Rows through log s, and with 1 / s taken into the derivatives in mu one factor at a time."""
        location, scale = self.links.values()
        log_s, precision, relative = log_parameter(scale, eta[1])
        z = (y - location.inverse(eta[0])) * precision
        value = self._log_kernel(z) - log_s
        if order == 0:
            return Rows(value, None, None)
        slopes = None if location == identity else location.slopes(eta[0])
        q1, q2 = self._slopes(z)
        grad = [-q1 * precision, -z * q1 - 1]
        hess = [[q2 * precision * precision], [(z * q2 + q1) * precision, z * (z * q2 + q1)]] if order == 2 else []
        return through_links(value, grad, hess, (slopes, relative), order)

    def information(self, *eta: Array) -> Array:
        location, scale = self.links.values()
        _, precision, relative = log_parameter(scale, eta[1])
        slopes = None if location == identity else location.slopes(eta[0])
        zero = 0 * (eta[0] + eta[1])
        first, cross, second = self._information
        unit = precision + zero
        return information_through_links([[first * unit * unit], [cross * unit, second + zero]], (slopes, relative))

    def third_moments(self, *eta: Array) -> Array:
        location, scale = self.links.values()
        _, precision, relative = log_parameter(scale, eta[1])
        slopes = None if location == identity else location.slopes(eta[0])
        information, third = standard_moments(type(self)())
        return scaled_through_links(third, information, precision + 0 * eta[0], (slopes, relative))

    def scale_mle(self, y: Array, theta: Array, weight: Array) -> float:
        """Solve ``mean(-z q'(z)) = 1``, whose left side rises from 0 as the scale falls, by steps of log s."""
        residual = y - theta
        largest = float(np.max(np.abs(residual), initial=0.0))
        if largest in (0.0, np.inf):
            return largest
        z, t = residual / largest, 0.0
        for _ in range(200):
            scaled = z * np.exp(t)
            q1, q2 = self._slopes(scaled)
            gain = -scaled * q1
            mean = float(np.average(gain, weights=weight))
            slope = float(np.average(gain - scaled * scaled * q2, weights=weight))
            step = float(np.clip(-np.log(mean) * mean / slope, -1, 1))
            t += step
            if abs(step) < 1e-15 * max(1.0, abs(t)):
                break
        return largest * float(np.exp(-t))


class Logistic(_LocationScale):
    """Logistic distribution with mean ``mu`` (identity link) and scale ``s`` (log link).

    ``f(y) = exp(-z) / (s (1 + exp(-z))**2)`` with ``z = (y - mu) / s``; variance ``(pi s)**2 / 3``. R:
    ``dlogis(location = mu, scale = s)``, ``survreg(dist = "logistic")``, whose ``Log(scale)`` is the coefficient of
    ``s``; scipy: ``scipy.stats.logistic(loc=mu, scale=s)``.
    Links of ``mu``: identity, log, inverse. Links of ``s``: log, identity, inverse, softplus, sqrt.

    Examples
    --------
    >>> import numpy as np
    >>> Logistic().logpdf(np.array([0.0, 2.0]), 0.0, 1.0).round(4).tolist()
    [-1.3863, -2.2539]
    """

    params = {"mu": identity, "s": log}
    shifts = 1
    links_for = {"mu": ("identity", "log", "inverse"), "s": POSITIVE_LINKS}
    _information = (1 / 3, 0.0, (3 + np.pi**2) / 9)

    def logpdf(self, y: Array, mu: Array, s: Array) -> Array:
        return self._density(y, mu, s)

    @staticmethod
    def _log_kernel(z: Array) -> Array:
        return special.log_expit(z) + special.log_expit(-z)

    @staticmethod
    def _slopes(z: Array) -> tuple[Array, Array]:
        return -np.tanh(0.5 * z), -2 * special.expit(z) * special.expit(-z)

    def cdf(self, y: Array, mu: Array, s: Array) -> Array:
        return special.expit((y - mu) / s)

    def logcdf(self, y: Array, mu: Array, s: Array) -> Array:
        return special.log_expit((y - mu) / s)

    def logsf(self, y: Array, mu: Array, s: Array) -> Array:
        return special.log_expit((mu - y) / s)

    def ppf(self, share: Array, mu: Array, s: Array) -> Array:
        return mu + s * special.logit(share)

    def rvs(self, mu: Array, s: Array, *, rng: np.random.Generator) -> Array:
        return rng.logistic(mu, s)

    def mean(self, mu: Array, s: Array) -> Array:
        return mu

    def variance(self, mu: Array, s: Array) -> Array:
        return (np.pi * s) ** 2 / 3 + 0 * mu

    def start(self, y: Array, weight: Array) -> tuple[Array, ...]:
        """Start from ``y`` itself where the link allows it, with the spread of ``y``."""
        centre, s = np.average(y, weights=weight), self._spread(y, weight) * np.sqrt(3) / np.pi
        return location_start(self, y, centre, s), np.asarray(self.links["s"].forward(np.float64(s)))

    @staticmethod
    def _spread(y: Array, weight: Array) -> float:
        return deviation(y, weight)


class Gumbel(_LocationScale):
    """Gumbel distribution of maxima with mode ``mu`` (identity link) and scale ``beta`` (log link).

    ``f(y) = exp(-z - exp(-z)) / beta`` with ``z = (y - mu) / beta``; mean ``mu + euler_gamma beta``,
    where euler_gamma is 0.5772, variance ``(pi beta)**2 / 6``. Minima are maxima of ``-y``. R:
    ``evd::dgumbel(loc = mu, scale = beta)``, ``survreg(dist = "extreme")`` of ``-y``; scipy:
    ``scipy.stats.gumbel_r(loc=mu, scale=beta)``.
    Links of ``mu``: identity, log, inverse. Links of ``beta``: log, identity, inverse, softplus, sqrt.

    Examples
    --------
    >>> import numpy as np
    >>> Gumbel().logpdf(np.array([0.0, 2.0]), 0.0, 1.0).round(4).tolist()
    [-1.0, -2.1353]
    """

    params = {"mu": identity, "beta": log}
    shifts = 1
    links_for = {"mu": ("identity", "log", "inverse"), "beta": POSITIVE_LINKS}
    _information = (1.0, np.euler_gamma - 1, np.pi**2 / 6 + (1 - np.euler_gamma) ** 2)

    def logpdf(self, y: Array, mu: Array, beta: Array) -> Array:
        return self._density(y, mu, beta)

    @staticmethod
    def _log_kernel(z: Array) -> Array:
        return -z - np.exp(-z)

    @staticmethod
    def _slopes(z: Array) -> tuple[Array, Array]:
        return np.expm1(-z), -np.exp(-z)

    def cdf(self, y: Array, mu: Array, beta: Array) -> Array:
        return np.exp(-np.exp((mu - y) / beta))

    def logcdf(self, y: Array, mu: Array, beta: Array) -> Array:
        return -np.exp((mu - y) / beta)

    def logsf(self, y: Array, mu: Array, beta: Array) -> Array:
        return log_one_less_exp((mu - y) / beta)

    def ppf(self, share: Array, mu: Array, beta: Array) -> Array:
        return mu - beta * np.log(-np.log(share))

    def rvs(self, mu: Array, beta: Array, *, rng: np.random.Generator) -> Array:
        return rng.gumbel(mu, beta)

    def mean(self, mu: Array, beta: Array) -> Array:
        return mu + np.euler_gamma * beta

    def variance(self, mu: Array, beta: Array) -> Array:
        return (np.pi * beta) ** 2 / 6 + 0 * mu

    def start(self, y: Array, weight: Array) -> tuple[Array, ...]:
        """Start from ``y`` less the distance from mode to mean, with the spread of ``y``."""
        beta = deviation(y, weight) * np.sqrt(6) / np.pi
        shift = np.euler_gamma * beta
        centre = np.average(y, weights=weight) - shift
        return location_start(self, y - shift, centre, beta), np.asarray(self.links["beta"].forward(np.float64(beta)))


def log_one_less_exp(x: Array) -> Array:
    """``log(1 - exp(-exp(x)))``; jets can follow it.

    Examples
    --------
    >>> log_one_less_exp(np.array([-1000.0, 0.0])).round(4).tolist()
    [-1000.0, -0.4587]
    """
    e = np.exp(np.minimum(x, 700.0))
    near = x < 0
    return np.where(
        near, x + np.log(special.exprel(-np.where(near, e, 1.0))), np.log1p(-np.exp(-np.where(near, 1.0, e)))
    )


def deviation(y: Array, weight: Array) -> float:
    """Standard deviation, without overflow; 1 where there is none."""
    residual = y - np.average(y, weights=weight)
    largest = float(np.max(np.abs(residual), initial=0.0))
    if largest in (0.0, np.inf):
        return 1.0
    return largest * float(np.sqrt(np.average((residual / largest) ** 2, weights=weight))) or 1.0


def location_start(family: GenericLikelihood, y: Array, centre: float, spread: float) -> Array:
    """Linear predictor of a location at ``y`` itself where its link allows it."""
    link = family.links["mu"]
    if link.domain[0] == 0:
        y = np.where(y > 0, y, abs(centre) or spread)
    if link.name == "inverse":
        y = np.full_like(y, centre or spread)
    return np.asarray(link.forward(y))
