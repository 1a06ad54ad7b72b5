"""Binomial distribution: a sum of Bernoulli responses."""

from collections.abc import Callable

import numpy as np
from scipy import special

from mlekit.families.base import GenericLikelihood
from mlekit.families.bernoulli import Bernoulli
from mlekit.families.recession import Recession, one_way, towards
from mlekit.jets import Rows
from mlekit.links import UNIT, Array, logit


class Binomial(GenericLikelihood):
    """Binomial distribution of successes among trials, each with probability ``p`` (logit link).

    A row of the response holds successes and failures: ``cbind(successes, failures) ~ x`` in a formula, as in R; a
    matrix of two columns without one. Fitted means and observed values are shares of successes. R:
    ``glm(cbind(successes, failures) ~ x, family = binomial)``; scipy:
    ``scipy.stats.binom(successes + failures, p)``. Links of ``p``: logit, probit, cloglog, cauchit, log, identity.

    Examples
    --------
    >>> import numpy as np
    >>> Binomial().logpdf(np.array([[1.0, 3.0], [0.0, 0.0]]), 0.5).round(4).tolist()
    [-1.3863, 0.0]
    """

    params = {"p": logit}
    links_for = Bernoulli.links_for
    response_columns = ("successes", "failures")
    response_help = "write cbind(successes, failures) ~ ..., where failures are trials - successes"
    support_text = "two counts 0, 1, 2, ..., of successes and failures"

    def logpdf(self, y: Array, p: Array) -> Array:
        successes, failures = y[..., 0], y[..., 1]
        return special.xlogy(successes, p) + special.xlog1py(failures, -p) + self.base_measure(y)

    def rows(self, y: Array, p: Array, *, order: int = 2) -> Rows:  # type: ignore[override]
        rows = self._sum(y, order, Bernoulli(**self.links).rows, np.asarray(p))
        return rows._replace(value=rows.value + self.base_measure(y))

    def linear_rows(self, y: Array, *eta: Array, order: int = 2) -> Rows:
        return self._sum(y, order, Bernoulli(**self.links).linear_rows, eta[0])

    @staticmethod
    def _sum(y: Array, order: int, rows_of: Callable[..., Rows], at: Array) -> Rows:
        """Rows of as many ones and zeros as there are successes and failures."""
        one, zero = (rows_of(np.full(np.shape(at), outcome), at, order=order) for outcome in (1.0, 0.0))

        def added(a: Array, b: Array) -> Array:
            # An outcome that did not occur adds nothing, even where its density is 0.
            return np.where(y[..., 0] > 0, y[..., 0] * a, 0.0) + np.where(y[..., 1] > 0, y[..., 1] * b, 0.0)

        grad = added(one.grad, zero.grad) if order > 0 else None
        return Rows(added(one.value, zero.value), grad, added(one.hess, zero.hess) if order > 1 else None)

    def base_measure(self, y: Array) -> Array:
        """``log C(n, successes)``."""
        trials = y[..., 0] + y[..., 1]
        return -np.log1p(trials) - special.betaln(y[..., 0] + 1, y[..., 1] + 1)

    def information(self, *eta: Array) -> Array:
        """Of one trial."""
        return Bernoulli(**self.links).information(*eta)

    def third_moments(self, *eta: Array) -> Array:
        """Of one trial."""
        return Bernoulli(**self.links).third_moments(*eta)

    def in_support(self, y: Array) -> Array:
        return (np.isfinite(y) & (y >= 0) & (y == np.floor(y))).all(axis=-1)

    def domains(self) -> dict[str, tuple[float, float]]:
        return {"p": UNIT}

    def observed(self, y: Array) -> Array:
        """Share of successes; NaN where there were no trials."""
        with np.errstate(invalid="ignore"):
            return y[..., 0] / self.repeats(y)

    def repeats(self, y: Array) -> Array:
        """Trials of each row."""
        return y[..., 0] + y[..., 1]

    def mean(self, p: Array) -> Array:
        return p

    def variance(self, p: Array) -> Array:
        """Of one trial."""
        return p * (1 - p)

    def redraw(self, y: Array, *theta: Array, rng: np.random.Generator) -> Array:
        """Draw successes among as many trials as were observed."""
        trials = self.repeats(y).astype(int)
        successes = rng.binomial(trials, *theta)
        return np.column_stack([successes, trials - successes])

    def linear_deviance(self, y: Array, *eta: Array) -> Array:
        """``2 (log f(y; observed share) - log f(y; p))``."""
        successes, failures = y[..., 0], y[..., 1]
        share = self.observed(y)
        saturated = special.xlogy(successes, share) + special.xlog1py(failures, -share)
        value = np.where(np.isnan(share), 0.0, saturated) - self.linear_rows(y, *eta, order=0).value
        return 2 * np.maximum(value, 0.0)

    def recession(self, y: Array) -> Recession | None:
        """Rows of successes alone, or of failures alone, may become certain."""
        up, down = (towards(self.links["p"], end) for end in (1.0, 0.0))
        if up is None or down is None:
            return None
        signs = np.where(y[..., 1] == 0, up, np.where(y[..., 0] == 0, down, 0.0))
        none = self.repeats(y) == 0
        return one_way(np.where(none, 0.0, signs), none)

    def start(self, y: Array, weight: Array) -> tuple[Array, ...]:
        """Start from each share moved towards 1/2, as R's ``binomial()$initialize``."""
        return (np.asarray(self.links["p"].forward((y[..., 0] + 0.5) / (self.repeats(y) + 1))),)
