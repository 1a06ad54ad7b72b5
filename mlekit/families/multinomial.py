"""Levels without an order: the multinomial logit."""

from typing import Any

import numpy as np

from mlekit.families.categorical import Categorical
from mlekit.families.recession import Recession
from mlekit.jets import Rows
from mlekit.links import Array


class MultinomialLogit(Categorical):
    """Unordered levels: the log odds of every level but the first, against the first, are linear predictors.

    ``log(P(Y = j) / P(Y = first)) = x'b_j``. A plain formula describes all of them; a dict with a formula per level
    gives each its own, the response in one of them. Coefficients have the level before their name. R:
    ``nnet::multinom``; statsmodels: ``MNLogit``; scikit-learn: ``LogisticRegression(C=inf)``, whose coefficients are
    centred over the levels.

    The response is text or categorical, whole numbers, or bools; the first level is the reference.

    Examples
    --------
    >>> import mlekit
    >>> data = {"y": list("abcabcaacbcc"), "x": [4, 2, 3, 2, 1, 3, 1, 4, 2, 3, 4, 5]}
    >>> fit = mlekit.fit("y ~ x", data, "multinomial_logit")
    >>> fit.params.round(4).to_dict()
    {'b_Intercept': 1.2384, 'b_x': -0.6475, 'c_Intercept': -1.3618, 'c_x': 0.5146}
    >>> print(fit.predict({"x": [0, 6]}, what="probabilities").round(3))
           a      b      c
    0  0.212  0.733  0.054
    1  0.150  0.011  0.840
    """

    @staticmethod
    def _names(levels: tuple[str, ...]) -> tuple[str, ...]:
        return levels[1:]

    def describe(self, response: str) -> str:
        first, *others = map(str, self.levels)
        return f"Levels of {response}: {', '.join(others)}, each by its log odds against {first}."

    def logpdf(self, y: Array, *theta: Any, **named: Any) -> Array:
        y = np.asarray(y, dtype=float)
        seen = 0.0 * theta[0]
        for j, eta in enumerate(theta):
            seen = np.where(y == j + 1, eta, seen)
        total = -seen
        for eta in theta:
            total = np.logaddexp(total, eta - seen)
        return np.where(self.in_support(y), -total, -np.inf)

    def rows(self, y: Array, *theta: Any, order: int = 2, **named: Any) -> Rows:
        y, *parts = np.broadcast_arrays(np.atleast_1d(np.asarray(y, dtype=float)), *theta)
        eta = np.stack([np.zeros(y.size), *parts])
        code, every = y.astype(int), np.arange(y.size)
        largest = eta.argmax(axis=0)
        eta -= eta[largest, every]
        odds = np.exp(eta)
        odds[largest, every] = 0.0
        rest = odds.sum(axis=0)
        value = eta[code, every] - np.log1p(rest)
        if order == 0:
            return Rows(value, None, None)
        odds[largest, every] = 1.0
        share = odds / (1 + rest)
        # 1 - p, which would lose its digits where p is near 1.
        other = 1 - share
        other[largest, every] = rest / (1 + rest)
        grad = -share
        grad[code, every] = other[code, every]
        if order == 1:
            return Rows(value, grad[1:], None)
        hess = share[1:] * share[1:, None]
        for j in range(len(parts)):
            hess[j, j] = -share[j + 1] * other[j + 1]
        return Rows(value, grad[1:], hess)

    def information(self, *eta: Array) -> Array:
        """Minus the second derivatives, which are the same for every response."""
        return -self.rows(np.zeros(np.size(eta[0])), *eta).hess

    def recession(self, y: Array) -> Recession:
        """A level becomes certain as its log odds against every other one go to infinity."""
        count, n = len(self.params), y.size
        seen = y == np.arange(count + 1)[:, None]
        ends, pushes = np.zeros((2, count + 1, count, n))
        ends += seen[1:]
        for j in range(count):
            ends[j + 1, j] -= 1.0
            pushes[j + 1, j] = -1.0
        pushes[0] = 1.0  # the first level has no predictor of its own
        itself = seen[:, None]
        return Recession(np.where(itself, 0.0, ends), np.zeros((count, n), dtype=bool), np.where(itself, 0.0, pushes))

    def cdf(self, y: Array, *theta: Any, **named: Any) -> Array:
        y = np.asarray(y, dtype=float)
        logs = [self.logpdf(np.asarray(float(code)), *theta) for code in range(len(self.levels))]
        below = np.where(np.isnan(y), np.nan, 0.0)
        for code, log in enumerate(logs[:-1]):
            below = below + np.where(y >= code, np.exp(log), 0.0)
        return np.where(y >= len(logs) - 1, 1.0, below)

    def start(self, y: Array, weight: Array) -> tuple[Array, ...]:
        """Start from the log odds that the shares of the levels have, as without covariates."""
        shares = self.shares(y, weight)
        return tuple(np.log(shares[1:] / shares[0]))
