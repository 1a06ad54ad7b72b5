"""Beta distribution of a share."""

import numpy as np
from scipy import special

from mlekit.families.base import GenericLikelihood
from mlekit.families.bernoulli import Bernoulli
from mlekit.families.incomplete import TINY, incomplete_beta_fraction
from mlekit.families.natural import (
    POSITIVE_LINKS,
    Slopes,
    information_through_links,
    log_parameter,
    third_through_links,
    through_links,
)
from mlekit.families.stirling import excess, log_gamma_rest, log_gamma_rest_rows
from mlekit.families.tails import shares
from mlekit.jets import Rows
from mlekit.links import Array, log, logit


class Beta(GenericLikelihood):
    """Beta distribution with mean ``mu`` (logit link) and precision ``phi`` (log link).

    ``f(y) = y**(a - 1) (1 - y)**(b - 1) / B(a, b)`` with ``a = mu phi`` and ``b = (1 - mu) phi``; variance
    ``mu (1 - mu) / (1 + phi)``. R: ``betareg::betareg(link.phi = "log")`` (Ferrari and Cribari-Neto 2004),
    ``dbeta(shape1 = a, shape2 = b)``; scipy: ``scipy.stats.beta(mu phi, (1 - mu) phi)``. A response of exactly 0 or
    1 has no density.
    Links of ``mu``: logit, probit, cloglog, cauchit. Links of ``phi``: log, identity, inverse, softplus, sqrt.

    Examples
    --------
    >>> import numpy as np
    >>> Beta().logpdf(np.array([0.2, 0.9]), 0.5, 4.0).round(4).tolist()
    [-0.0408, -0.6162]
    """

    params = {"mu": logit, "phi": log}
    links_for = {"mu": ("logit", "probit", "cloglog", "cauchit"), "phi": POSITIVE_LINKS}
    support_text = "a number between 0 and 1, and neither"

    def logpdf(self, y: Array, mu: Array, phi: Array) -> Array:
        nu = 1 - mu
        lost = phi * _divergence(y, mu, nu, np.log(mu), np.log1p(-mu))
        rest = log_gamma_rest(mu * phi) + log_gamma_rest(nu * phi) - log_gamma_rest(phi)
        return rest - lost - np.log(y) - np.log1p(-y)

    def linear_rows(self, y: Array, *eta: Array, order: int = 2) -> Rows:
        """Rows in logit mu and log phi, from log mu and log(1 - mu) as functions of eta."""
        log_mu, log_nu, of_mu = self._mean(eta[0], order)
        log_phi, _, of_phi = log_parameter(self.links["phi"], eta[1])
        mu, nu, phi = np.exp(log_mu), np.exp(log_nu), np.exp(log_phi)
        log_y, log_less = np.log(y), np.log1p(-y)
        (a0, a1, a2), (b0, b1, b2), (p0, p1, p2) = (
            log_gamma_rest_rows(s, order) for s in (np.exp(log_mu + log_phi), np.exp(log_nu + log_phi), phi)
        )
        lost = phi * _divergence(y, mu, nu, log_mu, log_nu)
        value = a0 + b0 - p0 - lost - log_y - log_less
        if order == 0:
            return Rows(value, None, None)
        slopes = (of_mu, of_phi)
        spread = phi * mu * nu
        tilt = spread * ((log_y - log_less) - (log_mu - log_nu)) + nu * a1 - mu * b1
        grad = [tilt, a1 + b1 - p1 - lost]
        if order == 1:
            return through_links(value, grad, [], slopes, 1)
        bend = nu * nu * a2 + mu * mu * b2 - spread + tilt * (nu - mu)
        hess = [[bend], [tilt + nu * a2 - mu * b2, grad[1] + a2 + b2 - p2]]
        return through_links(value, grad, hess, slopes, 2)

    def _mean(self, eta: Array, order: int) -> tuple[Array, Array, Slopes]:
        """``(log mu, log(1 - mu), slopes of logit mu)``, by the two outcomes of a Bernoulli with the same link."""
        link = self.links["mu"]
        if link == logit:
            return special.log_expit(eta), special.log_expit(-eta), None
        trial = Bernoulli(p=link)
        one, zero = (trial.linear_rows(np.full_like(eta, y), eta, order=order) for y in (1.0, 0.0))
        if order == 0:
            return one.value, zero.value, None
        second = one.hess[0, 0] - zero.hess[0, 0] if order == 2 else np.zeros_like(eta)
        return one.value, zero.value, (one.grad[0] - zero.grad[0], second)

    def information(self, *eta: Array) -> Array:
        log_mu, log_nu, of_mu = self._mean(eta[0], 1)
        log_phi, _, of_phi = log_parameter(self.links["phi"], eta[1])
        mu, nu, phi = np.exp(log_mu), np.exp(log_nu), np.exp(log_phi)
        a2, b2, p2 = (log_gamma_rest_rows(s, 2)[2] for s in (np.exp(log_mu + log_phi), np.exp(log_nu + log_phi), phi))
        hess = [[phi * mu * nu - nu * nu * a2 - mu * mu * b2], [mu * b2 - nu * a2, p2 - a2 - b2]]
        return information_through_links(hess, (of_mu, of_phi))

    def third_moments(self, *eta: Array) -> Array:
        """By the cumulants of log y and log(1 - y), whose natural parameters are a and b."""
        log_mu, log_nu, of_mu = self._mean(eta[0], 2)
        log_phi, _, of_phi = log_parameter(self.links["phi"], eta[1])
        mu, nu, phi = np.exp(log_mu), np.exp(log_nu), np.exp(log_phi)
        a, b = np.exp(log_mu + log_phi), np.exp(log_nu + log_phi)
        spread = phi * mu * nu
        one, bend = np.array([1.0, -1.0])[:, None], spread * (nu - mu)
        first = np.stack([one * spread, np.stack([a, b])])
        second = np.array([[one * bend, first[0]], [first[0], first[1]]])
        # Cumulants of both variables are those of their sum, and each has its own beside: (a, b, -phi).
        parts = np.concatenate([first, -first.sum(axis=1, keepdims=True)], axis=1)
        bends = np.concatenate([second, -second.sum(axis=2, keepdims=True)], axis=2)
        signs = np.array([1.0, 1.0, -1.0])[:, None]
        squares, cubes = (special.polygamma(order, np.stack([a, b, phi])) for order in (1, 2))
        information = np.einsum("aim,bim,im->abm", parts, parts, signs * squares)
        third = np.einsum("aim,bim,cim,im->abcm", parts, parts, parts, cubes)
        third += np.einsum("abim,cim,im->abcm", bends, parts, signs * squares)
        return third_through_links(third, information, (of_mu, of_phi))

    def in_support(self, y: Array) -> Array:
        return (y > 0) & (y < 1)

    def cdf(self, y: Array, mu: Array, phi: Array) -> Array:
        return special.betainc(mu * phi, (1 - mu) * phi, np.clip(y, 0, 1))

    def logcdf(self, y: Array, mu: Array, phi: Array) -> Array:
        return self._log_tail(y, mu, phi, lower=True)

    def logsf(self, y: Array, mu: Array, phi: Array) -> Array:
        return self._log_tail(y, mu, phi, lower=False)

    def _log_tail(self, y: Array, mu: Array, phi: Array, *, lower: bool) -> Array:
        """Logarithm of the probability on one side, by its ratio to the density where it is about to underflow."""
        y = np.clip(y, 0, 1)
        a, b = mu * phi, (1 - mu) * phi
        below, above = special.betainc(a, b, y), special.betaincc(a, b, y)
        here, there = (below, above) if lower else (above, below)
        with np.errstate(all="ignore"):
            plain = np.where(here < 0.5, np.log(here), np.log1p(-there))
            tiny = (here < TINY) & (y > 0) & (y < 1)
            if not np.any(tiny):
                return plain
            first, second, x, less = (a, b, y, 1 - y) if lower else (b, a, 1 - y, y)
            density = self.logpdf(y, mu, phi) + np.log(y) + np.log1p(-y)
            return np.where(
                tiny, density - np.log(first) - np.log(incomplete_beta_fraction(first, second, x, less)), plain
            )

    def ppf(self, share: Array, mu: Array, phi: Array) -> Array:
        """By betaincinv; in the lower tail, where that is not accurate, Newton steps in log y and log cdf follow."""
        share, mu, phi = np.broadcast_arrays(*(np.asarray(x, dtype=float) for x in (shares(share), mu, phi)))
        a, b = mu * phi, (1 - mu) * phi
        y = special.betaincinv(a, b, share)
        with np.errstate(all="ignore"):
            log_share = np.log(share)
            leading = (log_share + np.log(a) + special.betaln(a, b)) / a  # of log y, near 0
            tiny, low = leading < -40 - np.log1p(b), (share > 0) & (share < 0.01)
            log_y = np.where(tiny, leading, np.log(y))
            for _ in range(4):
                y = np.exp(log_y)
                below = self.logcdf(y, mu, phi)
                step = (log_share - below) * np.exp(below - self.logpdf(y, mu, phi) - log_y)
                log_y = np.where(low & ~tiny & np.isfinite(step), log_y + np.clip(step, -5, 5), log_y)
        return np.where(low, np.exp(np.minimum(log_y, 0.0)), special.betaincinv(a, b, share))

    def rvs(self, mu: Array, phi: Array, *, rng: np.random.Generator) -> Array:
        return rng.beta(mu * phi, (1 - mu) * phi)

    def mean(self, mu: Array, phi: Array) -> Array:
        return mu + 0 * phi

    def variance(self, mu: Array, phi: Array) -> Array:
        return mu * (1 - mu) / (1 + phi)

    def start(self, y: Array, weight: Array) -> tuple[Array, ...]:
        """Start from each response, drawn in by a tenth of the mean, with the precision that their variance tells."""
        ybar = float(np.average(y, weights=weight))
        spread = float(np.average((y - ybar) ** 2, weights=weight))
        phi = max(ybar * (1 - ybar) / spread - 1, 0.1) if spread > 0 else 1.0
        mean, precision = self.links.values()
        return np.asarray(mean.forward(0.9 * y + 0.1 * ybar)), np.asarray(precision.forward(np.float64(phi)))


def _divergence(y: Array, mu: Array, nu: Array, log_mu: Array, log_nu: Array) -> Array:
    """Kullback and Leibler's ``mu log(mu / y) + nu log(nu / (1 - y))`` with ``nu = 1 - mu``, as two terms >= 0."""
    gap = np.where(mu < 0.5, y - mu, nu - (1 - y))
    up, down = gap / mu, -gap / nu
    near_up, near_down = np.abs(up) < 0.5, np.abs(down) < 0.5
    return mu * np.where(near_up, excess(np.where(near_up, up, 0.0)), up - (np.log(y) - log_mu)) + nu * np.where(
        near_down, excess(np.where(near_down, down, 0.0)), down - (np.log1p(-y) - log_nu)
    )
