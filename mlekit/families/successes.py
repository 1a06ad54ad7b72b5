"""Successes among a known number of trials: the binomial response as one number."""

import numpy as np
from scipy import special

from mlekit.families.base import GenericLikelihood
from mlekit.families.bernoulli import Bernoulli
from mlekit.families.tails import first_count, shares
from mlekit.links import UNIT, Array, logit


class Successes(GenericLikelihood):
    """Number of successes among ``trials``, each with probability ``p``; ``trials`` is known and not estimated.

    What is predicted of a :class:`~mlekit.families.Binomial`, whose response has two columns.

    Examples
    --------
    >>> import numpy as np
    >>> Successes().cdf(np.array([0.0, 1.0, 2.0]), np.full(3, 0.5), np.full(3, 2.0)).tolist()
    [0.25, 0.75, 1.0]
    """

    params = {"p": logit, "trials": "identity"}
    support_text = "a count 0, 1, 2, ..."

    def logpdf(self, y: Array, p: Array, trials: Array) -> Array:
        rest = trials - y
        with np.errstate(all="ignore"):
            ways = -np.log1p(trials) - special.betaln(y + 1, rest + 1)
            return np.where(rest < 0, -np.inf, ways + special.xlogy(y, p) + special.xlog1py(rest, -p))

    def cdf(self, y: Array, p: Array, trials: Array) -> Array:
        return self._tail(y, p, trials, special.betaincc, 0.0, 1.0)

    def logcdf(self, y: Array, p: Array, trials: Array) -> Array:
        with np.errstate(divide="ignore"):
            return np.log(self.cdf(y, p, trials))

    def logsf(self, y: Array, p: Array, trials: Array) -> Array:
        with np.errstate(divide="ignore"):
            return np.log(self._tail(y, p, trials, special.betainc, 1.0, 0.0))

    @staticmethod
    def _tail(y: Array, p: Array, trials: Array, function: np.ufunc, before: float, beyond: float) -> Array:
        """``P(Y <= y)`` or ``P(Y > y)``, by the incomplete beta function of floor(y) + 1 and the trials left."""
        count = np.floor(y)
        inside = (count >= 0) & (count < trials)
        found = function(np.where(inside, count + 1, 1.0), np.where(inside, trials - count, 1.0), p)
        known = ~(np.isnan(y) | np.isnan(p) | np.isnan(trials))
        return np.where(known, np.where(inside, found, np.where(count < 0, before, beyond)), np.nan)

    def ppf(self, share: Array, p: Array, trials: Array) -> Array:
        share = shares(share)
        with np.errstate(all="ignore"):
            found = first_count(lambda count: (self.cdf(count, p, trials) >= share) | (count >= trials), trials * p)
        return np.where(np.isnan(share) | np.isnan(found), np.nan, np.where(share == 1, trials, found))

    def information(self, *eta: Array) -> Array:
        """That of one trial, as often as there are trials; of ``trials`` nothing is to be known."""
        found = np.zeros((2, 2, np.size(eta[0])))
        found[0, 0] = eta[1] * Bernoulli(p=self.links["p"]).information(eta[0])[0]
        return found

    def in_support(self, y: Array) -> Array:
        return np.isfinite(y) & (y >= 0) & (y == np.floor(y))

    def domains(self) -> dict[str, tuple[float, float]]:
        return {"p": UNIT, "trials": (-1.0, np.inf)}

    def mean(self, p: Array, trials: Array) -> Array:
        return p * trials

    def variance(self, p: Array, trials: Array) -> Array:
        return trials * p * (1 - p)
