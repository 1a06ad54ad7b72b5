"""Ordered levels: a latent variable cut at thresholds."""

import itertools
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np
from scipy import special

from mlekit.families.categorical import Categorical
from mlekit.families.recession import Recession
from mlekit.families.tails import log1mexp
from mlekit.jets import Rows
from mlekit.links import Array

_LOG_ROOT = 0.5 * np.log(2 * np.pi)
# Nodes on (-1, 1) that integrate the normal density over a narrow interval to the last digit.
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(8)


class _Mass(NamedTuple):
    """Derivatives of the log-probability of an interval ``(low, high)`` of ``latent - location``.

    ``high`` and ``low`` are ``f(high) / P`` and ``f(low) / P``; ``score`` is the derivative in the location, their
    difference; ``cross_high`` and ``cross_low`` are the second derivatives in the location and each end.
    """

    high: Array
    low: Array
    score: Array
    cross_high: Array
    cross_low: Array


class _Ordered(Categorical):
    """A latent variable ``location + error``, of which is seen between which cutpoints it lies."""

    naming: ClassVar[str] = "cutpoints"
    is_ordered: ClassVar[bool] = True

    @staticmethod
    def _names(levels: tuple[str, ...]) -> tuple[str, ...]:
        return ("location", *(f"{a}|{b}" for a, b in itertools.pairwise(levels)))

    def describe(self, response: str) -> str:
        return f"Levels of {response}, in order: {' < '.join(map(str, self.levels))}."

    @property
    def eta_orders(self) -> tuple[tuple[int, int], ...]:  # type: ignore[override]
        """Neighbouring cutpoints."""
        return tuple(itertools.pairwise(range(1, len(self.params))))

    # Distribution of the error; the logistic and the normal are symmetric.

    @staticmethod
    def _log_cdf(x: Any) -> Any:
        raise NotImplementedError

    @staticmethod
    def _quantile(share: Array) -> Array:
        raise NotImplementedError

    @staticmethod
    def _log_mass(low: Any, high: Any, width: Any) -> Any:
        """Log-probability of an interval with finite ends."""
        raise NotImplementedError

    @staticmethod
    def _mass(low: Array, high: Array, width: Array) -> _Mass:
        """Derivatives; one end may be infinite."""
        raise NotImplementedError

    def logpdf(self, y: Array, *theta: Any, **named: Any) -> Array:
        y = np.asarray(y, dtype=float)
        location, *cuts = theta
        first, last = y == 0, y == len(cuts)
        low, high = cuts[0], cuts[-1]
        for j, cut in enumerate(cuts):
            low, high = np.where(y == j + 1, cut, low), np.where(y == j, cut, high)
        inner = ~first & ~last & (low < high)
        width = np.where(inner, high - low, 1.0)
        low, high = np.where(first, location - 1.0, low), np.where(last, location + 1.0, high)
        middle = self._log_mass(np.where(inner, low - location, 0.0), np.where(inner, high - location, 1.0), width)
        found = np.where(first, self._log_cdf(high - location), np.where(last, self._log_cdf(location - low), middle))
        return np.where(self.in_support(y) & _increasing(cuts), found, -np.inf)

    def rows(self, y: Array, *theta: Any, order: int = 2, **named: Any) -> Rows:
        y, location, *cuts = np.broadcast_arrays(np.atleast_1d(np.asarray(y, dtype=float)), *theta)
        value = self.logpdf(y, location, *cuts)
        if order == 0:
            return Rows(value, None, None)
        count, n, code, every = len(cuts), y.size, y.astype(int), np.arange(y.size)
        ends = np.stack([np.full(n, -np.inf), *cuts, np.full(n, np.inf)])
        low, high = ends[code, every], ends[code + 1, every]
        mass = self._mass(low - location, high - location, high - low)
        # The ends of the first and the last level are no parameters: their places are dropped.
        grad = np.zeros((count + 3, n))
        grad[code + 1, every], grad[code + 2, every] = -mass.low, mass.high
        grad[0] = mass.score
        kept = [0, *range(2, count + 2)]
        if order == 1:
            return Rows(value, grad[kept], None)
        hess = np.zeros((count + 3, count + 3, n))
        a, b, both = code + 1, code + 2, mass.low * mass.high
        hess[0, a, every] = hess[a, 0, every] = mass.cross_low
        hess[0, b, every] = hess[b, 0, every] = mass.cross_high
        hess[0, 0] = -(mass.cross_low + mass.cross_high)
        hess[a, b, every] = hess[b, a, every] = both
        hess[a, a, every], hess[b, b, every] = -mass.cross_low - both, -mass.cross_high - both
        return Rows(value, grad[kept], hess[np.ix_(kept, kept)])

    def information(self, *eta: Array) -> Array:
        """Sum over the levels of their probability times the outer product of the score, which has three entries."""
        n = np.size(eta[0])
        total = np.zeros((len(eta), len(eta), n))
        for code in range(len(eta)):
            value, grad, _ = self.rows(np.full(n, float(code)), *eta, order=1)
            own = [0, *(i for i in (code, code + 1) if 0 < i < len(eta))]
            total[np.ix_(own, own)] += np.exp(value) * grad[own] * grad[own][:, None]
        return total

    def recession(self, y: Array) -> Recession:
        """Either end of the interval that is seen may go away from the location."""
        cut, n = np.arange(1, len(self.params))[:, None], y.size
        upper, lower = cut - 1 - y, y - cut  # 0 for the cutpoint that ends the interval, positive beyond
        ends, pushes = np.zeros((2, 2, len(self.params), n))
        ends[0, 1:], ends[1, 1:] = upper == 0, np.where(lower == 0, -1.0, 0.0)
        ends[:, 0] = -ends[:, 1:].sum(axis=1)
        pushes[0, 1:], pushes[1, 1:] = upper >= 0, np.where(lower >= 0, -1.0, 0.0)
        order = np.zeros((len(self.params), n))
        order[1:] = np.maximum(upper, 0) - np.maximum(lower, 0)
        return Recession(ends, np.zeros((len(self.params), n), dtype=bool), pushes, order)

    def cdf(self, y: Array, *theta: Any, **named: Any) -> Array:
        return np.exp(self.logcdf(y, *theta))

    def logcdf(self, y: Array, *theta: Any, **named: Any) -> Array:
        return self._log_below(y, theta, 1.0)

    def logsf(self, y: Array, *theta: Any, **named: Any) -> Array:
        return self._log_below(y, theta, -1.0)

    def _log_below(self, y: Array, theta: tuple[Any, ...], sign: float) -> Array:
        """Log-probability of a code up to ``y`` (sign 1), or above (sign -1)."""
        y = np.asarray(y, dtype=float)
        location, *cuts = theta
        found = np.where(y < 0, -np.inf if sign > 0 else 0.0, 0.0 if sign > 0 else -np.inf)
        for j, cut in enumerate(cuts):
            found = np.where((y >= j) & (y < j + 1), self._log_cdf(sign * (cut - location)), found)
        return np.where(np.isnan(y) | ~_increasing(cuts), np.nan, found)

    def start(self, y: Array, weight: Array) -> tuple[Array, ...]:
        """Start from the cutpoints that the shares of the levels have, as without covariates."""
        below = np.cumsum(self.shares(y, weight))[:-1]
        return (np.float64(0.0), *self._quantile(below))


def _increasing(cuts: Sequence[Any]) -> Any:
    """Whether the cutpoints increase, as they may not in every row where they have covariates."""
    return np.logical_and.reduce([np.isfinite(cuts[0]), *(a < b for a, b in itertools.pairwise(cuts))])


class OrderedLogit(_Ordered):
    """Ordered levels with a logistic error: proportional odds, ``P(Y <= j) = F(cut_j - location)``.

    The formula describes the ``location``, without an intercept; between two neighbouring levels is a cutpoint, named
    after both, as R does: ``low|mid``. Cutpoints increase. A positive coefficient makes higher levels more likely.
    R: ``MASS::polr(method = "logistic")``; statsmodels: ``OrderedModel(distr="logit")``, whose second and later
    thresholds are logs of the differences of cutpoints. The log-likelihood is concave in coefficients and cutpoints
    (Pratt 1981, Journal of the American Statistical Association 76, 103-106).

    The response is an ordered categorical, whole numbers, or bools.

    Examples
    --------
    >>> import mlekit
    >>> data = {"y": [0, 0, 1, 1, 2, 2, 1, 0], "x": [0.1, 0.7, 0.4, 1.5, 1.9, 0.9, 1.2, 1.0]}
    >>> fit = mlekit.fit("y ~ x", data, "ordered_logit")
    >>> fit.params.round(4).to_dict()
    {'x': 2.4005, '0|1': 1.6369, '1|2': 3.8189}
    >>> print(fit.predict({"x": [0.0, 2.0]}, what="probabilities").round(3))
           0      1      2
    0  0.837  0.141  0.021
    1  0.041  0.232  0.728
    """

    @staticmethod
    def _log_cdf(x: Any) -> Any:
        return special.log_expit(x)

    @staticmethod
    def _quantile(share: Array) -> Array:
        return special.logit(share)

    @staticmethod
    def _log_mass(low: Any, high: Any, width: Any) -> Any:
        # F(b) - F(a) = F(b) F(-a) (1 - exp(a - b)), without a difference that cancels.
        return special.log_expit(high) + special.log_expit(-low) + log1mexp(-width)

    @staticmethod
    def _mass(low: Array, high: Array, width: Array) -> _Mass:
        below, above = special.expit(low), special.expit(-high)
        odds = 1 / np.expm1(width)
        cross = (special.expit(high) * above, below * special.expit(-low))
        # below - above, which would cancel about 0.
        turn = low + high
        size = np.where(turn < 0, special.expit(-low) * above, below * special.expit(high))
        return _Mass(above + odds, below + odds, np.copysign(np.expm1(-abs(turn)) * size, turn), *cross)


class OrderedProbit(_Ordered):
    """Ordered levels with a standard normal error: ``P(Y <= j) = Phi(cut_j - location)``.

    Parameters and response as in :class:`OrderedLogit`. R: ``MASS::polr(method = "probit")``; statsmodels:
    ``OrderedModel(distr="probit")``.

    Examples
    --------
    >>> import mlekit
    >>> data = {"y": [0, 0, 1, 1, 2, 2, 1, 0], "x": [0.1, 0.7, 0.4, 1.5, 1.9, 0.9, 1.2, 1.0]}
    >>> mlekit.fit("y ~ x", data, "ordered_probit").params.round(4).to_dict()
    {'x': 1.5096, '0|1': 1.023, '1|2': 2.3261}
    """

    @staticmethod
    def _log_cdf(x: Any) -> Any:
        return special.log_ndtr(x)

    @staticmethod
    def _quantile(share: Array) -> Array:
        return special.ndtri(share)

    @staticmethod
    def _log_mass(low: Any, high: Any, width: Any) -> Any:
        middle = low + 0.5 * width
        # Seen from the nearer tail; there the upper end has the smaller probability beyond it.
        near, far = np.where(middle >= 0, low, -high), np.where(middle >= 0, high, -low)
        narrow = _narrow(near, width)
        step = np.where(narrow, width, 1.0)
        centre = np.where(narrow, near, 0.0) + 0.5 * step
        inside = _log_narrow(centre, step)
        near, far = np.where(narrow, 0.0, near), np.where(narrow, 1.0, far)
        beyond = special.log_ndtr(-near)
        return np.where(narrow, inside, beyond + log1mexp(special.log_ndtr(-far) - beyond))

    @staticmethod
    def _mass(low: Array, high: Array, width: Array) -> _Mass:
        flip = low + high < 0
        near, far = np.where(flip, -high, low), np.where(flip, -low, high)
        narrow = _narrow(near, width)
        found = np.empty((5, near.size))
        branches = ((_narrow_mass, narrow), (_tail_mass, ~narrow & (near >= 0)), (_wide_mass, ~narrow & (near < 0)))
        for mass, rows in branches:
            if rows.any():
                found[:, rows] = mass(near[rows], far[rows], width[rows])
        a, b, score, gap, rest = found
        cross_low, cross_high = b * gap, a * rest
        return _Mass(
            np.where(flip, b, a),
            np.where(flip, a, b),
            np.where(flip, -score, score),
            np.where(flip, cross_low, cross_high),
            np.where(flip, cross_high, cross_low),
        )


def _narrow(near: Any, width: Any) -> Any:
    """Whether the density changes by little over an interval, so that a difference of probabilities would cancel."""
    return width * (1.0 + abs(near)) < 1.0


def _log_narrow(centre: Any, width: Any) -> Any:
    """Log-probability of a narrow interval: its width times the mean of the density, by Gauss and Legendre."""
    return -0.5 * centre * centre - _LOG_ROOT + np.log(width) + np.log(_mean_ratio(centre, width))


def _mean_ratio(centre: Any, width: Any) -> Any:
    """Mean over an interval of the normal density, relative to that in the middle."""
    return 0.5 * sum(_terms(centre, width))


def _terms(centre: Any, width: Any) -> list[Any]:
    half = 0.5 * width
    return [w * np.exp(-half * node * (centre + 0.5 * half * node)) for node, w in zip(_NODES, _WEIGHTS, strict=True)]


# Each returns f(far) / P, f(near) / P, their difference (near - far), which is the mean of the normal variable between
# near and far, and how far that mean is from either end.


def _narrow_mass(near: Array, far: Array, width: Array) -> tuple[Array, ...]:
    centre = near + 0.5 * width
    terms = np.array(_terms(centre, width))
    total = terms.sum(axis=0)
    scale = np.exp(-(width**2) / 8) / (width * (0.5 * total))
    turn = 0.5 * centre * width
    # The end and the mean may be the same to the last digit, so their distance is a mean of its own.
    gap, rest = (0.5 * width * (moved @ terms / total) for moved in (1 + _NODES, 1 - _NODES))
    return scale * np.exp(-turn), scale * np.exp(turn), 2 * np.sinh(turn) * scale, gap, rest


def _tail_mass(near: Array, far: Array, width: Array) -> tuple[Array, ...]:
    """By Mills' ratio ``Phi(-x) / phi(x)``, which neither underflows nor cancels."""
    mills, beyond = (np.sqrt(np.pi / 2) * special.erfcx(x / np.sqrt(2)) for x in (near, far))
    power = np.where(np.isinf(width), -np.inf, -np.where(np.isinf(width), 1.0, width) * (0.5 * (near + far)))
    share, lost = np.exp(power), -np.expm1(power)
    total = mills - share * beyond
    low = 1 / total
    excess = (_excess(near, mills) * mills + near * share * beyond) / total
    gap = excess * lost - near * share
    return share * low, low, lost * low, gap, np.where(share == 0, 0.0, width - gap)


def _excess(x: Array, mills: Array) -> Array:
    """``1 / mills - x`` for x >= 0; from 12 on by Laplace's continued fraction, as the difference would cancel."""
    far = np.maximum(x, 12.0)
    rest = far
    for k in range(10, 1, -1):
        rest = far + k / rest
    return np.where(x > 12, 1 / rest, 1 / mills - x)


def _wide_mass(near: Array, far: Array, width: Array) -> tuple[Array, ...]:
    """Of an interval about 0."""
    mass = special.ndtr(far) - special.ndtr(near)
    low, high = (np.exp(-0.5 * x * x - _LOG_ROOT) / mass for x in (near, far))
    score = low - high
    return high, low, score, score - near, np.where(high == 0, 0.0, far - score)
