"""Bernoulli distribution of a 0/1 response: the likelihood whose loss is the cross-entropy."""

from collections.abc import Callable

import numpy as np
from scipy import special

from mlekit.families.base import GenericLikelihood
from mlekit.families.recession import Recession, one_way, towards
from mlekit.families.tails import log1mexp, shares
from mlekit.jets import Rows
from mlekit.links import UNIT, Array, logit

Tail = Callable[[Array, int], Rows]


class Bernoulli(GenericLikelihood):
    """Bernoulli distribution with probability ``p`` of a one (logit link).

    R: ``glm(family = binomial)``; scipy: ``scipy.stats.bernoulli(p)``.
    Links of ``p``: logit, probit, cloglog, cauchit, log, identity.

    Examples
    --------
    >>> import numpy as np
    >>> Bernoulli().logpdf(np.array([0.0, 1.0]), 0.2).round(4).tolist()
    [-0.2231, -1.6094]
    """

    params = {"p": logit}
    links_for = {"p": ("logit", "probit", "cloglog", "cauchit", "log", "identity")}
    support_text = "0 or 1"

    def logpdf(self, y: Array, p: Array) -> Array:
        return special.xlogy(y, p) + special.xlog1py(1 - y, -p)

    def rows(self, y: Array, p: Array, *, order: int = 2) -> Rows:  # type: ignore[override]
        value = special.xlogy(y, p) + special.xlog1py(1 - y, -p)
        if order == 0:
            return Rows(value, None, None)
        sign = 2 * y - 1
        # The probability of what happened; y - (1 - p) would round a small p away.
        seen = np.where(y == 1, p, 1 - p)
        return Rows(value, (sign / seen)[None], (-1 / seen**2)[None, None] if order == 2 else None)

    def linear_rows(self, y: Array, *eta: Array, order: int = 2) -> Rows:
        """Rows in eta, from log p and log(1 - p) as functions of eta: 1 - p cannot be recovered once p rounds to 1."""
        name = self.links["p"].name
        if name in _SYMMETRIC:
            # 1 - p(eta) = p(-eta): one formula serves both outcomes.
            sign = 2 * y - 1
            rows = _SYMMETRIC[name](sign * eta[0], order)
            return rows if rows.grad is None else rows._replace(grad=rows.grad * sign)
        if name in _ASYMMETRIC:
            one, zero = (tail(eta[0], order) for tail in _ASYMMETRIC[name])
            return _choose(y == 1, one, zero)
        return super().linear_rows(y, *eta, order=order)

    def information(self, *eta: Array) -> Array:
        """``p'(eta)**2 / (p (1 - p))``, as the product of the two slopes of log p and log(1 - p)."""
        one = self.linear_rows(np.ones_like(eta[0]), *eta, order=1).grad
        zero = self.linear_rows(np.zeros_like(eta[0]), *eta, order=1).grad
        return np.where((one == 0) | (zero == 0), 0.0, -one * zero)[None]

    def third_moments(self, *eta: Array) -> Array:
        """``p'(eta) p''(eta) / (p (1 - p))``."""
        return self.information(*eta)[None] * self._bend(eta[0])

    def _bend(self, eta: Array) -> Array:
        """``p'' / p'``, by the slopes of the logarithm of the smaller of p and 1 - p."""
        one, zero = (self.linear_rows(np.full_like(eta, y), eta) for y in (1.0, 0.0))
        small = one.value < zero.value
        first, second = (
            np.where(small, a, b) for a, b in ((one.grad[0], zero.grad[0]), (one.hess[0, 0], zero.hess[0, 0]))
        )
        return np.where(first == 0, 0.0, second / np.where(first == 0, 1.0, first) + first)

    def in_support(self, y: Array) -> Array:
        return (y == 0) | (y == 1)

    def domains(self) -> dict[str, tuple[float, float]]:
        return {"p": UNIT}

    def mean(self, p: Array) -> Array:
        return p

    def variance(self, p: Array) -> Array:
        return p * (1 - p)

    def cdf(self, y: Array, p: Array) -> Array:
        return np.where(np.isnan(y), np.nan, np.where(y < 0, 0.0, np.where(y < 1, 1 - p, 1.0)))

    def logcdf(self, y: Array, p: Array) -> Array:
        return np.where(np.isnan(y), np.nan, np.where(y < 0, -np.inf, np.where(y < 1, np.log1p(-p), 0.0)))

    def logsf(self, y: Array, p: Array) -> Array:
        return np.where(np.isnan(y), np.nan, np.where(y < 0, 0.0, np.where(y < 1, np.log(p), -np.inf)))

    def ppf(self, share: Array, p: Array) -> Array:
        share = shares(share)
        return np.where(np.isnan(share), np.nan, (share == 1) | (share > 1 - p))

    def rvs(self, p: Array, *, rng: np.random.Generator) -> Array:
        return np.where(rng.random(np.shape(p)) < p, 1.0, 0.0)

    def linear_deviance(self, y: Array, *eta: Array) -> Array:
        """``-2 log f(y)``: the saturated density of a 0/1 response is 1."""
        return -2 * self.linear_rows(y, *eta, order=0).value

    def recession(self, y: Array) -> Recession | None:
        """A one may become certain, and a zero, where the link takes p to 1 and to 0."""
        up, down = (towards(self.links["p"], end) for end in (1.0, 0.0))
        return None if up is None or down is None else one_way(np.where(y == 1, up, down))

    def mean_mle(self, ybar: Array) -> Array:
        return ybar

    def start(self, y: Array, weight: Array) -> tuple[Array, ...]:
        """Start from each response moved half-way to 1/2, as R's ``binomial()$initialize``."""
        return (np.asarray(self.links["p"].forward((y + 0.5) / 2)),)


def _choose(condition: Array, yes: Rows, no: Rows) -> Rows:
    """Rows of ``yes`` where the condition holds, of ``no`` elsewhere."""
    grad, hess = (
        None if a is None else np.where(condition, a, b) for a, b in ((yes.grad, no.grad), (yes.hess, no.hess))
    )
    return Rows(np.where(condition, yes.value, no.value), grad, hess)


def _tail(value: Array, first: Array | None, second: Array | None) -> Rows:
    return Rows(value, None if first is None else first[None], None if second is None else second[None, None])


def _log_logistic(x: Array, order: int) -> Rows:
    # exp(x) may overflow to infinity and its reciprocal underflow to zero: every quotient below is right at both.
    odds = np.exp(x)
    against = 1 / odds
    value = -np.log1p(against)
    if value.size and value.min() < -700:
        value = np.where(x < -700, x, value)
    if order == 0:
        return _tail(value, None, None)
    first = 1 / (1 + odds)
    return _tail(value, first, -first / (1 + against) if order == 2 else None)


def _log_ndtr(x: Array, order: int) -> Rows:
    value = special.log_ndtr(x)
    if order == 0:
        return _tail(value, None, None)
    first = np.sqrt(2 / np.pi) / special.erfcx(-x / np.sqrt(2))  # density / cdf, the inverse Mills ratio
    if order == 1:
        return _tail(value, first, None)
    excess = first + x
    if x.size and x.min() < -12:
        # There the sum loses its digits, and Laplace's continued fraction is exact after ten terms.
        t = np.maximum(-x, 12.0)
        rest = t
        for k in range(10, 1, -1):
            rest = t + k / rest
        excess = np.where(x < -12, 1 / rest, excess)
    return _tail(value, first, np.where(first == 0, 0.0, -first * excess))


def _log_cauchy(x: Array, order: int) -> Rows:
    angle = np.arctan2(1.0, -x)
    value = np.where(x > 0, np.log1p(-np.arctan2(1.0, np.abs(x)) / np.pi), np.log(angle / np.pi))
    if order == 0:
        return _tail(value, None, None)
    slope = 1 / (1 + x * x)
    first = slope / angle
    return _tail(value, first, -first * (2 * x * slope + first) if order == 2 else None)


def _cloglog_one(eta: Array, order: int) -> Rows:
    e = np.exp(np.minimum(eta, 700.0))  # from far below 700 on, the probability is 1
    value = np.where(e < 1e-300, eta, log1mexp(-e))
    if order == 0:
        return _tail(value, None, None)
    first = np.where(e < 1e-300, 1.0, e / np.expm1(e))
    if order == 1:
        return _tail(value, first, None)
    # 1 - e - first cancels for small e: there, its Taylor series (Bernoulli numbers).
    series = -e / 2 * (1 + e / 6 * (1 - e**2 / 60 * (1 - e**2 / 42 * (1 - e**2 / 40))))
    gap = np.where(e < 0.1, series, 1 - e - first)
    return _tail(value, first, np.where(first == 0, 0.0, first * gap))


def _cloglog_zero(eta: Array, order: int) -> Rows:
    e = -np.exp(eta)
    return _tail(e, e if order > 0 else None, e if order == 2 else None)


def _log_one(eta: Array, order: int) -> Rows:
    return _tail(eta, np.ones_like(eta) if order > 0 else None, np.zeros_like(eta) if order == 2 else None)


def _log_zero(eta: Array, order: int) -> Rows:
    value = log1mexp(eta)
    odds = 1 / np.expm1(-eta)
    return _tail(value, -odds if order > 0 else None, -odds * (1 + odds) if order == 2 else None)


def _identity_one(eta: Array, order: int) -> Rows:
    return _tail(np.log(eta), 1 / eta if order > 0 else None, -1 / eta**2 if order == 2 else None)


def _identity_zero(eta: Array, order: int) -> Rows:
    q = 1 - eta
    return _tail(np.log1p(-eta), -1 / q if order > 0 else None, -1 / q**2 if order == 2 else None)


# log p(eta) with its derivatives, for links where 1 - p(eta) = p(-eta).
_SYMMETRIC: dict[str, Tail] = {"logit": _log_logistic, "probit": _log_ndtr, "cauchit": _log_cauchy}
# (log p, log(1 - p)) with their derivatives.
_ASYMMETRIC: dict[str, tuple[Tail, Tail]] = {
    "cloglog": (_cloglog_one, _cloglog_zero),
    "log": (_log_one, _log_zero),
    "identity": (_identity_one, _identity_zero),
}
