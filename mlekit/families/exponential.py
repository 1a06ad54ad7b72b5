"""Exponential distribution of waiting times."""

import numpy as np

from mlekit.families.base import GenericLikelihood
from mlekit.families.recession import Recession, one_way, towards
from mlekit.families.tails import log1mexp, shares
from mlekit.jets import Rows
from mlekit.links import Array, neglog

# Per link: eta -> (rate, d log rate / d eta, a, b), with which log f = log rate - rate y has the second derivative
# (a - b rate y) (d log rate / d eta)**2. Worked out by hand: for the identity link the terms in y cancel.
_LOG_RATE = {
    "neglog": lambda eta: (np.exp(-eta), -1.0, 0.0, 1.0),
    "log": lambda eta: (np.exp(eta), 1.0, 0.0, 1.0),
    "identity": lambda eta: (eta, 1 / eta, -1.0, 0.0),
    "inverse": lambda eta: (1 / eta, -1 / eta, 1.0, 2.0),
}


class Exponential(GenericLikelihood):
    """Exponential distribution with ``rate``: ``f(y) = rate exp(-rate y)``, mean ``1 / rate``.

    The links are of the **rate**. The default, neglog, makes eta the log **mean**, so that coefficients equal those of
    R's ``survreg(dist = "exponential")`` and ``glm(family = Gamma(link = "log"))`` with dispersion 1.

    ============  ==================  =====================
    link of rate  eta is              R's ``Gamma(link = )``
    ============  ==================  =====================
    neglog        log mean            log
    log           log rate            log, opposite sign
    identity      rate                inverse
    inverse       mean                identity
    ============  ==================  =====================

    scipy: ``scipy.stats.expon(scale=1 / rate)``.

    Examples
    --------
    >>> import numpy as np
    >>> Exponential().logpdf(np.array([1.0, 2.0]), 0.5).round(4).tolist()
    [-1.1931, -1.6931]
    """

    params = {"rate": neglog}
    shifts = -1
    links_for = {"rate": ("neglog", "log", "identity", "inverse")}
    support_text = "a number >= 0"

    def logpdf(self, y: Array, rate: Array) -> Array:
        return np.log(rate) - rate * y

    def rows(self, y: Array, rate: Array, *, order: int = 2) -> Rows:  # type: ignore[override]
        value = np.log(rate) - rate * y
        if order == 0:
            return Rows(value, None, None)
        grad = (1 / rate - y)[None]
        return Rows(value, grad, (-1 / rate**2 * np.ones_like(y))[None, None] if order == 2 else None)

    def linear_rows(self, y: Array, *eta: Array, order: int = 2) -> Rows:
        name = self.links["rate"].name
        if name not in _LOG_RATE:
            return super().linear_rows(y, *eta, order=order)
        rate, first, a, b = _LOG_RATE[name](eta[0])
        spent = rate * y
        log_rate = {"neglog": -eta[0], "log": eta[0]}.get(name)
        value = (np.log(rate) if log_rate is None else log_rate) - spent
        if order == 0:
            return Rows(value, None, None)
        grad = ((1 - spent) * first)[None]
        if order == 1:
            return Rows(value, grad, None)
        return Rows(value, grad, ((a - b * spent) * first**2)[None, None])

    def information(self, *eta: Array) -> Array:
        return (self.links["rate"].log_slopes(eta[0])[0] ** 2)[None, None]

    def third_moments(self, *eta: Array) -> Array:
        """Information times ``mu'' / mu'`` of the mean."""
        first, second = self.links["rate"].log_slopes(eta[0])
        return (first * (second - first**2))[None, None, None]

    def in_support(self, y: Array) -> Array:
        return np.isfinite(y) & (y >= 0)

    def mean(self, rate: Array) -> Array:
        return 1 / rate

    def variance(self, rate: Array) -> Array:
        return 1 / rate**2

    def cdf(self, y: Array, rate: Array) -> Array:
        return -np.expm1(-rate * np.maximum(y, 0.0))

    def logcdf(self, y: Array, rate: Array) -> Array:
        return np.where(y <= 0, -np.inf, log1mexp(-rate * np.where(y <= 0, 1.0, y)))

    def logsf(self, y: Array, rate: Array) -> Array:
        return -rate * np.maximum(y, 0.0)

    def ppf(self, share: Array, rate: Array) -> Array:
        with np.errstate(divide="ignore"):
            return -np.log1p(-shares(share)) / rate

    def rvs(self, rate: Array, *, rng: np.random.Generator) -> Array:
        return rng.standard_exponential(np.shape(rate)) / rate

    def linear_deviance(self, y: Array, *eta: Array) -> Array:
        """``2 (y / mean - 1 - log(y / mean))``, infinite at ``y = 0`` where the saturated density is."""
        ratio = y * self.links["rate"].inverse(eta[0])
        return 2 * (ratio - 1 - np.log(ratio))

    def recession(self, y: Array) -> Recession | None:
        """The density of a zero grows without limit as the rate does."""
        up = towards(self.links["rate"], np.inf)
        return None if up is None else one_way(np.where(y == 0, up, 0.0))._replace(bounded=False)

    def mean_mle(self, ybar: Array) -> Array:
        with np.errstate(divide="ignore"):  # all zeros: no rate is too large
            return 1 / ybar

    def start(self, y: Array, weight: Array) -> tuple[Array, ...]:
        """Start from each response itself, moved off zero by a tenth of the mean."""
        ybar = np.average(y, weights=weight) or 1.0
        return (np.asarray(self.links["rate"].forward(1 / (0.9 * y + 0.1 * ybar))),)
