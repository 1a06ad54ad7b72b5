"""Normal centre with exponential tails: the likelihood whose loss is Huber's."""

from typing import Any

import numpy as np
from scipy import special

from mlekit.families.base import GenericLikelihood
from mlekit.families.tails import log1mexp, shares
from mlekit.jets import Rows
from mlekit.links import Array, identity, log

_HALF_LOG_2PI = 0.5 * np.log(2 * np.pi)


class HuberNormal(GenericLikelihood):
    """Huber's least favourable distribution: Normal within ``k`` scales of ``mu``, exponential beyond.

    ``f(y) = exp(-rho((y - mu) / sigma)) / (sigma C)`` with ``rho(z) = z**2 / 2`` for ``|z| <= k`` and
    ``k |z| - k**2 / 2`` beyond, ``C = sqrt(2 pi) (2 Phi(k) - 1) + (2 / k) exp(-k**2 / 2)`` (Huber 1964). ``k`` is a
    constant, 1.345 if nothing is said (95 % efficiency at the Normal). ``sigma`` is the standard deviation of the
    centre, not of the response. It is estimated with ``mu`` by maximum likelihood, so that a row very far out enlarges
    it; R's ``MASS::rlm`` takes its scale from elsewhere. With k below about 0.5 few rows are in the centre: on few rows
    the estimate may not be unique, or Newton's method stop short, and the status then says so. scipy has no such
    distribution.
    Links of ``mu``: identity, log, inverse. Links of ``sigma``: log, identity, inverse, softplus, sqrt.

    Examples
    --------
    >>> import numpy as np
    >>> HuberNormal(k=1).logpdf(np.array([0.0, 1.0, 3.0]), 0.0, 1.0).round(4).tolist()
    [-1.0731, -1.5731, -3.5731]
    """

    params = {"mu": identity, "sigma": log}
    constants = {"k": 1.345}
    constant_domains = {"k": (0.0, np.inf)}
    links_for = {
        "mu": ("identity", "log", "inverse"),
        "sigma": ("log", "identity", "inverse", "softplus", "sqrt"),
    }
    support_text = "a finite number"
    k: float

    def _parts(self) -> tuple[float, float, float]:
        """Integrals of ``exp(-rho(z))``: over all z, over the centre, and of ``z**2`` over the centre."""
        edge = float(np.exp(-0.5 * self.k * self.k))
        centre = float(np.sqrt(2 * np.pi) * special.erf(self.k / np.sqrt(2)))
        return centre + 2 / self.k * edge, centre, centre - 2 * self.k * edge

    def _loss(self, z: Array) -> tuple[Array, Array]:
        """Huber's loss, and its derivative."""
        psi = np.clip(z, -self.k, self.k)
        return psi * (z - 0.5 * psi), psi

    def logpdf(self, y: Array, mu: Array, sigma: Array) -> Array:
        z = (y - mu) / sigma
        return -self._loss(z)[0] - np.log(sigma) - np.log(self._parts()[0])

    def linear_rows(self, y: Array, *eta: Array, order: int = 2) -> Rows:
        """Rows through log sigma, and with 1/sigma taken into the slope of mu before anything is squared."""
        link = self.links["mu"]
        log_sigma, precision = self._scale(eta[1])
        z = (y - link.inverse(eta[0])) * precision
        loss, psi = self._loss(z)
        value = -loss - log_sigma - np.log(self._parts()[0])
        if order == 0:
            return Rows(value, None, None)
        first, second = link.slopes(eta[0])
        relative, bend = self.links["sigma"].log_slopes(eta[1])
        slope = first * precision
        square = psi * z
        grad = np.stack([psi * slope, (square - 1) * relative])
        if order == 1:
            return Rows(value, grad, None)
        inside = np.abs(z) <= self.k
        share = np.where(inside, 2.0, 1.0)
        cross = -share * grad[0] * relative
        bent = 0.0 if link == identity else psi * np.where(first == 0, 0.0, second / first)
        mean = slope * (bent - np.where(inside, slope, 0.0))
        spread = square * (bend - share * relative**2) - bend
        return Rows(value, grad, np.array([[mean, cross], [cross, spread]]))

    def _scale(self, eta: Array) -> tuple[Array, Array]:
        """``(log sigma, 1 / sigma)``, from eta itself with the log link: exp(eta) may underflow."""
        if self.links["sigma"] == log:
            return eta, np.exp(-eta)
        sigma = self.links["sigma"].inverse(eta)
        return np.log(sigma), 1 / sigma

    def information(self, *eta: Array) -> Array:
        total, centre, square = self._parts()
        slope = self.links["mu"].slopes(eta[0])[0] * self._scale(eta[1])[1]
        relative = self.links["sigma"].log_slopes(eta[1])[0]
        zero = np.zeros(np.broadcast_shapes(np.shape(eta[0]), np.shape(eta[1])))
        return np.array([[centre / total * slope**2 + zero, zero], [zero, (1 + square / total) * relative**2 + zero]])

    def mean(self, mu: Array, sigma: Array) -> Array:
        return mu

    def variance(self, mu: Array, sigma: Array) -> Array:
        total, _, square = self._parts()
        k = self.k
        tails = 2 * np.exp(-0.5 * k * k) * (k + 2 / k + 2 / k**3)
        return sigma**2 * ((square + tails) / total) + 0 * mu

    def _log_tail(self, z: Any) -> Any:
        """``log P(Z <= z)`` for z <= 0: a Normal integral and what the exponential tail has beyond the Normal's."""
        k = self.k
        excess = max(1 / k - np.sqrt(np.pi / 2) * special.erfcx(k / np.sqrt(2)), 0.0)
        with np.errstate(divide="ignore"):
            log_excess = np.log(excess) - 0.5 * k * k - _HALF_LOG_2PI
        with np.errstate(invalid="ignore"):
            centre = _HALF_LOG_2PI + np.logaddexp(special.log_ndtr(np.clip(z, -k, 0.0)), log_excess)
        return np.where(z < -k, k * z + 0.5 * k * k - np.log(k), centre) - np.log(self._parts()[0])

    def cdf(self, y: Array, mu: Array, sigma: Array) -> Array:
        return np.exp(self.logcdf(y, mu, sigma))

    def logcdf(self, y: Array, mu: Array, sigma: Array) -> Array:
        z = (y - mu) / sigma
        tail = self._log_tail(np.where(z < 0, z, -z))
        return np.where(z < 0, tail, log1mexp(tail))

    def logsf(self, y: Array, mu: Array, sigma: Array) -> Array:
        return self.logcdf(-y, -mu, sigma)

    def ppf(self, share: Array, mu: Array, sigma: Array) -> Array:
        share, k, total = shares(share), self.k, self._parts()[0]
        tail = np.minimum(share, 1 - share)
        with np.errstate(divide="ignore"):
            beyond = (np.log(tail) + np.log(k) + np.log(total)) / k - 0.5 * k
        outside = np.sqrt(2 * np.pi) * special.ndtr(-k) - np.exp(-0.5 * k * k) / k
        inside = special.ndtri(np.clip((tail * total + outside) / np.sqrt(2 * np.pi), 0.0, 0.5))
        z = np.where(beyond < -k, beyond, inside)
        return mu + sigma * np.where(share < 0.5, z, -z)

    def scale_mle(self, y: Array, theta: Array, weight: Array) -> float:
        """Root of ``mean(psi(z) z) = 1``: with the rows sorted, a quadratic equation between two of them."""
        size = np.abs(y - theta)
        largest = float(np.max(size, initial=0.0))
        if largest in (0.0, np.inf):
            return largest
        order = np.argsort(size)
        size, share = size[order] / largest, weight[order] / np.sum(weight)
        squares = np.append(0.0, np.cumsum(share * size**2))  # of the first 0, 1, ... rows
        beyond = np.append(np.cumsum((share * size)[::-1])[::-1], 0.0)  # of the rows after them
        # mean(psi(z) z) falls as the scale grows; at the scale that puts a row on the edge it is this, over k**2.
        with np.errstate(divide="ignore", invalid="ignore"):
            at_edge = np.where(size > 0, squares[1:] / size**2 + beyond[1:] / size, np.inf)
        inside = int(np.sum(self.k**2 * at_edge > 1))
        tail = 0.5 * self.k * float(beyond[inside])
        return largest * (tail + float(np.sqrt(tail**2 + squares[inside])))

    def start(self, y: Array, weight: Array) -> tuple[Array, ...]:
        """Start from ``y``, drawn in to where the centre ends, with the spread of ``y`` about its median."""
        centre = np.median(y)
        sigma = self.scale_mle(y, centre, weight) or 1.0
        drawn = np.clip(y, centre - self.k * sigma, centre + self.k * sigma)
        link = self.links["mu"]
        if link.domain[0] == 0:
            drawn = np.where(drawn > 0, drawn, abs(centre) or sigma)
        if link.name == "inverse":
            drawn = np.full_like(y, centre or sigma)
        return np.asarray(link.forward(drawn)), np.asarray(self.links["sigma"].forward(np.float64(sigma)))
