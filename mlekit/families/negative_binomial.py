"""Negative binomial distributions of counts: a Poisson whose mean varies, with a variance of two forms."""

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import special

from mlekit.families.base import GenericLikelihood
from mlekit.families.mixed import (
    Mixed,
    below,
    half_deviance,
    log_above,
    log_below,
    log_kernel,
    slopes_in_dispersion,
)
from mlekit.families.natural import through_links
from mlekit.families.poisson import Poisson
from mlekit.families.recession import Recession, towards
from mlekit.families.rising import Dispersion, Rising, log_rising, one_of, rising
from mlekit.families.tails import first_count, shares
from mlekit.jets import Rows
from mlekit.links import Array, log

# A Poisson with a mean this large is a Normal, to three parts in 1e8.
_NORMAL = 1e15
_POISSON = Poisson()


class _NegativeBinomial(GenericLikelihood):
    """What both forms share: each is a negative binomial with mean ``mu`` and a dispersion of its own."""

    links_for = {"mu": Poisson.links_for["mu"], "alpha": ("log", "softplus")}
    support_text = Poisson.support_text
    #: Jets take a term per count of a tail: :mod:`mlekit.families.tail_rows` has a faster way where these are many.
    tails_by_terms = True

    @staticmethod
    def _mixed(mu: Any, alpha: Any, logs: Callable[[], tuple[Any, Any]]) -> Mixed:
        """Return the mixture; ``logs`` are those of mu and alpha."""
        raise NotImplementedError

    def _of(self, mu: Any, alpha: Any) -> Mixed:
        with np.errstate(all="ignore"):
            return self._mixed(mu, alpha, lambda: (np.log(mu), np.log(alpha)))

    def _density(self, y: Array, mu: Any, alpha: Any) -> Any:
        y = np.asarray(y, dtype=float)
        with np.errstate(all="ignore"):
            mixed = self._of(mu, alpha)
            value = log_rising(y, mixed.dispersion)
            return log_kernel(y, special.xlogy(y, mu), mixed, value) + _POISSON.base_measure(y)

    def base_measure(self, y: Array) -> Array:
        """The Poisson's, ``-log y!``."""
        return _POISSON.base_measure(y)

    def linear_rows(self, y: Array, *eta: Array, order: int = 2) -> Rows:
        """Rows in eta, through log mu and log alpha: either parameter may overflow or underflow."""
        mean_link, link = self.links.values()
        inner = one_of(eta[1])
        mu, alpha = mean_link.inverse(eta[0]), link.inverse(inner)
        mean: Any = (mu, eta[0], None, None)
        if mean_link != log:
            mean = mu, np.log(mu), mean_link.slopes(eta[0]), mean_link.log_slopes(eta[0])
        log_alpha = inner if link == log else np.log(alpha)
        found = self._natural(y, mean, alpha, log_alpha, order)
        return through_links(*found, (None, None if link == log else link.log_slopes(inner)), order)

    def _natural(self, y: Array, mean: Any, alpha: Array, log_alpha: Array, order: int) -> tuple[Any, Any, Any]:
        """Value and derivatives in the linear predictor of mu and in log alpha.

        ``mean`` is mu, log mu, and first and second derivatives of both in the linear predictor (None for the log
        link).
        """
        mu, log_mu, slopes, relative = mean
        mixed = self._mixed(mu, alpha, lambda: (log_mu, log_alpha))
        sums = rising(y, mixed.dispersion, order)
        log_mean = y * log_mu if slopes is None else special.xlogy(y, mu)
        value = log_kernel(y, log_mean, mixed, sums.value)
        if order == 0:
            return value, (), ()
        first, second = slopes_in_dispersion(y, mixed, sums)
        grad, (own, cross) = self._in_mean(y, mixed, sums, slopes, relative)
        return value, (grad, first), ((own,), (cross, second)) if order == 2 else ()

    @staticmethod
    def _in_mean(y: Array, mixed: Mixed, sums: Rising, slopes: Any, relative: Any) -> tuple[Array, tuple[Array, Array]]:
        """Derivative in the linear predictor of mu, and its derivatives in that and in log alpha."""
        raise NotImplementedError

    # ---------------------------------------------------------------- facts about the distribution

    def in_support(self, y: Array) -> Array:
        return _POISSON.in_support(y)

    def limit(self) -> tuple[str, float, GenericLikelihood]:
        return "alpha", 0.0, Poisson(mu=self.links["mu"])

    def recession(self, y: Array) -> Recession | None:
        """A zero becomes certain as the mean goes to 0, whatever alpha is."""
        down = towards(self.links["mu"], 0.0)
        if down is None:
            return None
        mu = np.where(y == 0, down, 0.0)
        return Recession(np.stack([mu, np.zeros_like(mu)])[None], np.stack([mu == 0, np.ones_like(mu, dtype=bool)]))

    def mean(self, mu: Array, alpha: Array) -> Array:
        return mu + 0 * alpha

    def cdf(self, y: Array, mu: Array, alpha: Array) -> Array:
        return self._by_count(below, (0.0, 1.0), y, mu, alpha)

    def logcdf(self, y: Array, mu: Array, alpha: Array) -> Array:
        return self._by_count(log_below, (-np.inf, 0.0), y, mu, alpha)

    def logsf(self, y: Array, mu: Array, alpha: Array) -> Array:
        return self._by_count(log_above, (0.0, -np.inf), y, mu, alpha)

    def _by_count(
        self, function: Callable[..., Any], ends: tuple[float, float], y: Array, mu: Array, alpha: Array
    ) -> Array:
        """Value of a function of a count and a distribution, with its limits below 0 and at infinity."""
        y = np.asarray(y, dtype=float)
        count = np.floor(np.where((y < 0) | (y == np.inf), 0.0, y))
        with np.errstate(all="ignore"):
            value = function(count, self._of(mu, alpha), lambda count: self.logpdf(count, mu, alpha))
        return np.where(y < 0, ends[0], np.where(y == np.inf, ends[1], value))

    def ppf(self, share: Array, mu: Array, alpha: Array) -> Array:
        share = shares(share)
        z = special.ndtri(np.clip(share, 1e-300, 1 - 1e-16))
        guess = mu + z * np.sqrt(mu) * np.sqrt(1 + self._of(mu, alpha).t)  # whose square may overflow
        found = first_count(lambda count: self.cdf(count, mu, alpha) >= share, guess)
        return np.where(share == 1, np.inf, found)

    def rvs(self, mu: Array, alpha: Array, *, rng: np.random.Generator) -> Array:
        """Draw Poisson counts whose means are gamma distributed."""
        mixed = self._of(*np.broadcast_arrays(mu, alpha))
        k, r, _ = mixed.dispersion
        share = np.where(k > 0, rng.standard_gamma(np.where(k > 0, r, 1.0)), 1.0)
        mean = np.where(k > 0, mixed.t * share, mixed.mu)
        small = mean < _NORMAL
        noise = rng.standard_normal(np.shape(mean))
        return np.where(small, rng.poisson(np.where(small, mean, 0.0)), np.rint(mean + np.sqrt(mean) * noise))

    def start(self, y: Array, weight: Array) -> tuple[Array, ...]:
        """Start from each count itself, moved off zero, and from the dispersion that the variance of all suggests."""
        mean = np.average(y, weights=weight)
        spread = np.average(((y - mean) / mean) ** 2, weights=weight) if mean > 0 else np.inf
        alpha = self._of_spread(mean, spread) if np.isfinite(spread) else 1.0
        guess = np.float64(np.clip(alpha, 0.01, 100.0))
        return (*Poisson(mu=self.links["mu"]).start(y, weight), np.asarray(self.links["alpha"].forward(guess)))

    @staticmethod
    def _of_spread(mean: float, spread: float) -> float:
        """Alpha at a mean and a variance, given in units of the squared mean."""
        raise NotImplementedError


class NegativeBinomial(_NegativeBinomial):
    """Negative binomial (NB2) with mean ``mu`` and dispersion ``alpha`` (log links): variance ``mu + alpha mu**2``.

    ``f(y) = gamma(y + r) / (gamma(r) y!) q**r (1 - q)**y`` with ``r = 1 / alpha``, ``q = 1 / (1 + alpha mu)``. As alpha
    goes to 0 it becomes the Poisson, in all digits; a fit to data that vary less than a Poisson ends there. R:
    ``MASS::glm.nb``, whose ``theta`` is ``1 / alpha``, and ``dnbinom(size = 1 / alpha, mu = mu)``; scipy:
    ``scipy.stats.nbinom(1 / alpha, 1 / (1 + alpha * mu))``; statsmodels: ``NegativeBinomial``, whose ``alpha`` it is.
    Links of ``mu``: log, identity, sqrt, softplus. Links of ``alpha``: log, softplus.

    Examples
    --------
    >>> import numpy as np
    >>> NegativeBinomial().logpdf(np.array([0.0, 2.0]), 1.0, np.array([0.5, 1e-20])).round(4).tolist()
    [-0.8109, -1.6931]
    """

    params = {"mu": log, "alpha": log}
    shifts = 1

    def logpdf(self, y: Array, mu: Array, alpha: Array) -> Array:
        return self._density(y, mu, alpha)

    @staticmethod
    def _mixed(mu: Any, alpha: Any, logs: Callable[[], tuple[Any, Any]]) -> Mixed:
        return Mixed.of(mu, Dispersion(alpha, np.divide(1.0, alpha), logs()[1]), alpha * mu, lambda: sum(logs()))

    @staticmethod
    def _in_mean(y: Array, mixed: Mixed, sums: Rising, slopes: Any, relative: Any) -> tuple[Array, tuple[Array, Array]]:
        q, p = mixed.q, mixed.p
        if slopes is None:
            grad = y * q - mixed.scaled_p
            return grad, (-q * (y * p + mixed.scaled_p), -p * grad)
        (first, second), (one, two) = slopes, relative
        grad = y * one * q - first * q
        own = y * (two * q - one * one * p * q) - (q * q * second + p * mixed.scaled_p * two)
        return grad, (own, -p * grad)

    def variance(self, mu: Array, alpha: Array) -> Array:
        return mu * (1 + alpha * mu)

    def linear_deviance(self, y: Array, *eta: Array) -> Array:
        """``2 (y log(y / mu) - (y + r) log((y + r) / (mu + r)))``, as R's and statsmodels'."""
        mu, alpha = (link.inverse(e) for link, e in zip(self.links.values(), eta, strict=True))
        mixed = self._of(mu, alpha)
        return 2 * np.where(y == 0, mixed.scaled_log, half_deviance(np.where(y == 0, 1.0, y), mixed))

    @staticmethod
    def _of_spread(mean: float, spread: float) -> float:
        return spread - 1 / mean


class NegativeBinomial1(_NegativeBinomial):
    """Negative binomial (NB1) with mean ``mu`` and dispersion ``alpha`` (log links): variance ``mu (1 + alpha)``.

    The density of :class:`NegativeBinomial` with ``r = mu / alpha`` and ``q = 1 / (1 + alpha)``; as alpha goes to 0 it
    becomes the Poisson. R: ``gamlss.dist::dNBII(mu, sigma = alpha)``, ``glmmTMB(family = nbinom1)``; scipy:
    ``scipy.stats.nbinom(mu / alpha, 1 / (1 + alpha))``; statsmodels: ``NegativeBinomial(loglike_method="nb1")``.
    Links of ``mu``: log, identity, sqrt, softplus. Links of ``alpha``: log, softplus.

    Examples
    --------
    >>> import numpy as np
    >>> NegativeBinomial1().logpdf(np.array([0.0, 2.0]), 1.0, np.array([0.5, 1e-20])).round(4).tolist()
    [-0.8109, -1.6931]
    """

    params = {"mu": log, "alpha": log}
    shifts = 1

    def logpdf(self, y: Array, mu: Array, alpha: Array) -> Array:
        return self._density(y, mu, alpha)

    @staticmethod
    def _mixed(mu: Any, alpha: Any, logs: Callable[[], tuple[Any, Any]]) -> Mixed:
        log_mu, log_alpha = logs()
        return Mixed.of(
            mu, Dispersion(np.divide(alpha, mu), np.divide(mu, alpha), log_alpha - log_mu), alpha, lambda: log_alpha
        )

    @staticmethod
    def _in_mean(y: Array, mixed: Mixed, sums: Rising, slopes: Any, relative: Any) -> tuple[Array, tuple[Array, Array]]:
        if slopes is None:
            own = sums.bend - mixed.scaled_log
            return sums.down - mixed.scaled_log, (own, mixed.scaled_gap - sums.bend)
        (first, second), (one, two) = slopes, relative
        per_mean, gap_per_mean = mixed.scaled_log / mixed.mu, mixed.scaled_gap / mixed.mu
        own = sums.bend * one * one + sums.down * two - second * per_mean
        return sums.down * one - first * per_mean, (own, first * gap_per_mean - sums.bend * one)

    def variance(self, mu: Array, alpha: Array) -> Array:
        return mu * (1 + alpha)

    @staticmethod
    def _of_spread(mean: float, spread: float) -> float:
        return mean * spread - 1
