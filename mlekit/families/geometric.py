"""Geometric distribution of the failures before the first success."""

import numpy as np
from scipy import special

from mlekit.families.base import GenericLikelihood
from mlekit.families.bernoulli import Bernoulli
from mlekit.families.mixed import Mixed, half_deviance
from mlekit.families.recession import Recession, one_way, towards
from mlekit.families.rising import Dispersion
from mlekit.families.tails import first_count, log1mexp, shares
from mlekit.jets import Rows
from mlekit.links import UNIT, Array, logit


class Geometric(GenericLikelihood):
    """Number of failures before the first success, of probability ``p`` each time (logit link): ``p (1 - p)**y``.

    The mean is ``(1 - p) / p``. A coefficient of the logit is the log of an odds ratio of success, as in a logistic
    regression of single attempts: waiting times fall as it rises. R: ``dgeom(y, p)``; scipy counts attempts,
    ``scipy.stats.geom(p, loc=-1)``. Links of ``p``: logit, probit, cloglog, cauchit, log, identity. With ``mu`` as a
    parameter it is :class:`~mlekit.families.negative_binomial.NegativeBinomial` at ``alpha = 1``.

    Examples
    --------
    >>> import numpy as np
    >>> Geometric().logpdf(np.array([0.0, 2.0]), 0.25).round(4).tolist()
    [-1.3863, -1.9617]
    """

    params = {"p": logit}
    shifts = -1
    links_for = Bernoulli.links_for
    support_text = "a count 0, 1, 2, ... of failures"

    def logpdf(self, y: Array, p: Array) -> Array:
        return np.log(p) + special.xlog1py(y, -p)

    def rows(self, y: Array, p: Array, *, order: int = 2) -> Rows:  # type: ignore[override]
        value = np.log(p) + special.xlog1py(y, -p)
        if order == 0:
            return Rows(value, None, None)
        q = 1 - p
        grad = 1 / p - y / q
        return Rows(value, grad[None], (-1 / p**2 - y / q**2)[None, None] if order == 2 else None)

    def linear_rows(self, y: Array, *eta: Array, order: int = 2) -> Rows:
        """Those of a one and of y zeros."""
        one, zero = self._outcomes(eta[0], order)
        fails = y > 0

        def added(a: Array, b: Array) -> Array:
            # A failure that did not occur adds nothing, even where its density is 0.
            return a + np.where(fails, y * b, 0.0)

        grad = added(one.grad, zero.grad) if order > 0 else None
        return Rows(added(one.value, zero.value), grad, added(one.hess, zero.hess) if order > 1 else None)

    def _outcomes(self, eta: Array, order: int) -> tuple[Rows, Rows]:
        """Logarithms of p and of 1 - p with their derivatives."""
        attempt = Bernoulli(**self.links)
        one, zero = (attempt.linear_rows(np.full_like(eta, y), eta, order=order) for y in (1.0, 0.0))
        return one, zero

    def information(self, *eta: Array) -> Array:
        """``p'(eta)**2 / (p**2 (1 - p))``."""
        one, zero = self._outcomes(eta[0], 1)
        p, first = np.exp(one.value), one.grad
        # The slope of log(1 - p) is -p' / (1 - p), that of log p is p' / p: each is small where the other is exact.
        last = np.where(p < 0.5, first / -np.expm1(one.value), -zero.grad / np.where(p < 0.5, 1.0, p))
        return np.where(first == 0, 0.0, first * last)[None]

    def third_moments(self, *eta: Array) -> Array:
        """Information times ``mu'' / mu' = p'' / p' - 2 p' / p``."""
        one, _ = self._outcomes(eta[0], 1)
        return self.information(*eta)[None] * (Bernoulli(**self.links)._bend(eta[0]) - 2 * one.grad[0])

    def in_support(self, y: Array) -> Array:
        return np.isfinite(y) & (y >= 0) & (y == np.floor(y))

    def domains(self) -> dict[str, tuple[float, float]]:
        return {"p": UNIT}

    def recession(self, y: Array) -> Recession | None:
        """A zero becomes certain as the probability of a success goes to 1."""
        up = towards(self.links["p"], 1.0)
        return None if up is None else one_way(np.where(y == 0, up, 0.0))

    def mean(self, p: Array) -> Array:
        return (1 - p) / p

    def variance(self, p: Array) -> Array:
        return (1 - p) / (p * p)

    def cdf(self, y: Array, p: Array) -> Array:
        return np.where(y < 0, 0.0, -np.expm1(self.logsf(y, p)))

    def logcdf(self, y: Array, p: Array) -> Array:
        return log1mexp(self.logsf(y, p))

    def logsf(self, y: Array, p: Array) -> Array:
        attempts = np.where(y < 0, 0.0, np.floor(y) + 1)
        return special.xlog1py(attempts, -p)

    def ppf(self, share: Array, p: Array) -> Array:
        share = shares(share)
        with np.errstate(all="ignore"):
            guess = np.ceil(np.log1p(-share) / np.log1p(-p)) - 1
            found = first_count(lambda count: self.cdf(count, p) >= share, np.where(share == 1, 0.0, guess))
        return np.where(share == 1, np.inf, found)

    def rvs(self, p: Array, *, rng: np.random.Generator) -> Array:
        """Draw whole parts of exponential waiting times."""
        with np.errstate(divide="ignore"):
            return np.floor(rng.standard_exponential(np.shape(p)) / -np.log1p(-np.asarray(p)))

    def linear_deviance(self, y: Array, *eta: Array) -> Array:
        """Twice the log of ``f(y)`` at ``p = 1 / (1 + y)`` over that at p: of a negative binomial with alpha 1."""
        one, zero = self._outcomes(eta[0], 0)
        log_odds = zero.value - one.value
        mu, unit = np.exp(log_odds), np.ones(1)
        mixed = Mixed.of(mu, Dispersion(unit, unit, 0 * unit), mu, lambda: log_odds)
        return 2 * np.where(y == 0, -one.value, half_deviance(np.where(y == 0, 1.0, y), mixed))

    def mean_mle(self, ybar: Array) -> Array:
        return 1 / (1 + ybar)

    def start(self, y: Array, weight: Array) -> tuple[Array, ...]:
        """Start from ``1 / (1 + y)`` of each count, moved off 1 and towards that of the mean."""
        mean = np.average(y, weights=weight)
        return (np.asarray(self.links["p"].forward(1 / (1.1 + (y + mean) / 2))),)
