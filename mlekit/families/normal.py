"""Normal distribution: the likelihood whose loss is the squared error."""

import numpy as np
from scipy import special

from mlekit.families.base import GenericLikelihood
from mlekit.families.natural import scaled_through_links
from mlekit.jets import Rows
from mlekit.links import Array, identity, log

_HALF_LOG_2PI = 0.5 * np.log(2 * np.pi)


class Normal(GenericLikelihood):
    """Normal distribution with mean ``mu`` (identity link) and standard deviation ``sigma`` (log link).

    ``f(y) = exp(-((y - mu) / sigma)**2 / 2) / (sigma sqrt(2 pi))``. R: ``lm`` and ``glm(family = gaussian)``, whose
    ``sigma`` is not the maximum-likelihood one; scipy: ``scipy.stats.norm(loc=mu, scale=sigma)``.
    Links of ``mu``: identity, log, inverse. Links of ``sigma``: log, identity, inverse, softplus, sqrt.

    Examples
    --------
    >>> import numpy as np
    >>> Normal().logpdf(np.array([0.0]), 0.0, 1.0).round(4).tolist()
    [-0.9189]
    """

    params = {"mu": identity, "sigma": log}
    shifts = 1
    links_for = {
        "mu": ("identity", "log", "inverse"),
        "sigma": ("log", "identity", "inverse", "softplus", "sqrt"),
    }
    support_text = "a finite number"

    def logpdf(self, y: Array, mu: Array, sigma: Array) -> Array:
        z = (y - mu) / sigma
        return -0.5 * z * z - np.log(sigma) - _HALF_LOG_2PI

    def rows(self, y: Array, mu: Array, sigma: Array, *, order: int = 2) -> Rows:  # type: ignore[override]
        z = (y - mu) / sigma
        value = -0.5 * z * z - np.log(sigma) - _HALF_LOG_2PI
        if order == 0:
            return Rows(value, None, None)
        grad = np.stack([z / sigma, (z * z - 1) / sigma])
        if order == 1:
            return Rows(value, grad, None)
        unit = 1 / sigma**2 * np.ones_like(z)
        cross = -2 * z * unit
        return Rows(value, grad, np.array([[-unit, cross], [cross, (1 - 3 * z * z) * unit]]))

    def linear_rows(self, y: Array, *eta: Array, order: int = 2) -> Rows:
        """Rows through log sigma, and with 1/sigma taken into the slope of mu before anything is squared."""
        link = self.links["mu"]
        log_sigma, precision = self._scale(eta[1])
        z = (y - link.inverse(eta[0])) * precision
        square = z * z
        value = -0.5 * square - log_sigma - _HALF_LOG_2PI
        if order == 0:
            return Rows(value, None, None)
        first, second = link.slopes(eta[0])
        relative, bend = self.links["sigma"].log_slopes(eta[1])
        slope = first * precision
        grad = np.stack([z * slope, (square - 1) * relative])
        if order == 1:
            return Rows(value, grad, None)
        cross = -2 * grad[0] * relative
        bent = 0.0 if link == identity else z * np.where(first == 0, 0.0, second / first)
        mean = slope * (bent - slope)
        spread = square * (bend - 2 * relative**2) - bend
        return Rows(value, grad, np.array([[mean, cross], [cross, spread]]))

    def _scale(self, eta: Array) -> tuple[Array, Array]:
        """``(log sigma, 1 / sigma)``, from eta itself with the log link: exp(eta) may underflow."""
        if self.links["sigma"] == log:
            return eta, np.exp(-eta)
        sigma = self.links["sigma"].inverse(eta)
        return np.log(sigma), 1 / sigma

    def information(self, *eta: Array) -> Array:
        slope = self.links["mu"].slopes(eta[0])[0] * self._scale(eta[1])[1]
        relative = self.links["sigma"].log_slopes(eta[1])[0]
        zero = np.zeros(np.broadcast_shapes(np.shape(eta[0]), np.shape(eta[1])))
        return np.array([[slope**2 + zero, zero], [zero, 2 * relative**2 + zero]])

    def third_moments(self, *eta: Array) -> Array:
        """In (mu / sigma, log sigma) two entries are not zero: 2 and 4."""
        third: Array = np.zeros((2, 2, 2, np.size(eta[0])))
        third[0, 0, 1], third[1, 1, 1] = 2.0, 4.0
        location, scale = self.links.values()
        slopes = (None if location == identity else location.slopes(eta[0]), scale.log_slopes(eta[1]))
        return scaled_through_links(third, np.diag([1.0, 2.0])[:, :, None], self._scale(eta[1])[1], slopes)

    @property
    def least_squares(self) -> bool:  # type: ignore[override]
        """Whether the estimate of the mean is the least-squares one."""
        return self.links["mu"] == identity

    def mean(self, mu: Array, sigma: Array) -> Array:
        return mu

    def variance(self, mu: Array, sigma: Array) -> Array:
        return sigma**2 + 0 * mu

    def cdf(self, y: Array, mu: Array, sigma: Array) -> Array:
        return special.ndtr((y - mu) / sigma)

    def logcdf(self, y: Array, mu: Array, sigma: Array) -> Array:
        return special.log_ndtr((y - mu) / sigma)

    def logsf(self, y: Array, mu: Array, sigma: Array) -> Array:
        return special.log_ndtr((mu - y) / sigma)

    def ppf(self, share: Array, mu: Array, sigma: Array) -> Array:
        return mu + sigma * special.ndtri(share)

    def rvs(self, mu: Array, sigma: Array, *, rng: np.random.Generator) -> Array:
        return mu + sigma * rng.standard_normal(np.broadcast_shapes(np.shape(mu), np.shape(sigma)))

    def linear_deviance(self, y: Array, *eta: Array) -> Array:
        """Squared error, in the units of ``y`` squared (R's convention: not divided by the variance)."""
        return (y - self.links["mu"].inverse(eta[0])) ** 2

    def mean_mle(self, ybar: Array) -> Array:
        return ybar

    def scale_mle(self, y: Array, theta: Array, weight: Array) -> float:
        """Root of the mean squared error, scaled first so that it neither overflows nor underflows."""
        residual = y - theta
        largest = float(np.max(np.abs(residual), initial=0.0))
        if largest in (0.0, np.inf):
            return largest
        return largest * float(np.sqrt(np.average((residual / largest) ** 2, weights=weight)))

    def start(self, y: Array, weight: Array) -> tuple[Array, ...]:
        """Start from the mean at ``y`` itself where the link allows it, with the spread of ``y``."""
        ybar = np.average(y, weights=weight)
        sigma = self.scale_mle(y, ybar, weight) or 1.0
        link = self.links["mu"]
        centre = np.where(y > 0, y, abs(ybar) or 1.0) if link.domain[0] == 0 else y
        if link.name == "inverse":
            centre = np.full_like(y, ybar or sigma)
        return np.asarray(link.forward(centre)), np.asarray(self.links["sigma"].forward(np.float64(sigma)))
