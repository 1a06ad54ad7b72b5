"""Counts with more zeros than their distribution has."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy import special

from mlekit.families.base import GenericLikelihood
from mlekit.families.recession import Recession
from mlekit.families.tails import first_count, shares
from mlekit.families.zeros import Source, WithZeros, beside, outcome, times
from mlekit.jets import Rows
from mlekit.links import Array, Link

# p'' / p' of a probability in its linear predictor: the quotient of the two would underflow in the tails.
_BENDS: dict[str, Callable[[Array], Array]] = {
    "logit": lambda eta: -np.tanh(eta / 2),
    "probit": lambda eta: -eta,
    "cloglog": lambda eta: -np.expm1(eta),
    "cauchit": lambda eta: -2 / (eta + 1 / eta),
    "log": np.ones_like,
    "identity": np.zeros_like,
}


class ZeroInflated(WithZeros):
    """A family of counts with an excess zero in its place with probability ``zero``.

    ``P(0) = zero + (1 - zero) f(0)``, and ``P(y) = (1 - zero) f(y)`` for y > 0 (Lambert 1992). The parameters are those
    of the family, then ``zero`` (logit link; probit, cloglog, cauchit, log, identity). R:
    ``pscl::zeroinfl(y ~ x | z)``, ``glmmTMB(ziformula = )``; statsmodels: ``ZeroInflatedPoisson``,
    ``ZeroInflatedNegativeBinomialP``, which have the coefficients of ``zero`` first. Data without excess zeros take
    ``zero`` to 0: the fit is then that of the family, and says so. With a family that has a dispersion there may be
    several maxima: try other starts.

    Parameters
    ----------
    family : str, class or instance
        A family of counts: ``ZeroInflated("poisson")``, ``ZeroInflated(NegativeBinomial(mu="sqrt"))``, or one's own.
    zero : str or Link, optional
        Another link of ``zero``.

    Raises
    ------
    TypeError
        If the family is not of counts, never is 0, has a parameter ``zero`` already, or has no more than two values.

    Examples
    --------
    >>> import numpy as np
    >>> from mlekit.families import Poisson
    >>> family = ZeroInflated(Poisson())
    >>> list(family.params), np.exp(family.logpdf(np.array([0.0, 2.0]), 1.0, 0.2)).round(4).tolist()
    (['mu', 'zero'], [0.4943, 0.1472])
    """

    def _check(self, inner: GenericLikelihood) -> None:
        super()._check(inner)
        if not np.all(inner.in_support(np.zeros(1))):
            raise TypeError(
                f"{inner!r} is never 0, so every zero would be in excess of it: Hurdle({inner!r}) is that distribution"
            )

    def logpdf(self, y: Array, *theta: Any, **named: Any) -> Array:
        inner, (zero,) = self.split(theta)
        y = np.asarray(y, dtype=float)
        nothing = self.inner.logpdf(np.zeros_like(y), *inner)
        lost = (1 - zero) * -np.expm1(nothing)
        there = np.log1p(-zero)
        log_zero = np.where(lost < 0.5, np.log1p(-np.minimum(lost, 0.5)), np.logaddexp(np.log(zero), there + nothing))
        return np.where(y == 0, log_zero, there + self.inner.logpdf(y, *inner))

    def _of_zeros(self, source: Source, link: Link, at: Sequence[Array], order: int) -> Rows:
        """``log(p + q f)`` with f the inner family's probability of a zero, q = 1 - p.

        ``w = p / (p + q f)`` is the share of excess zeros, v = 1 - w. The derivative in the linear predictor of p is
        ``g = w a' (1 - f)`` with a = log p; its own derivative is ``g (p'' / p' - g)``, which is also
        ``g (a'' / a' + a' f / (p + q f))``. Each cancels somewhere: the one with the smaller terms is taken.
        """
        *inner, eta = at
        f = source.full(0.0, inner, order)
        p, q = (outcome(link, occurs, eta, order) for occurs in (True, False))
        counts = -np.expm1(f.value)
        lost = np.exp(q.value) * counts
        value = np.where(lost < 0.5, np.log1p(-np.minimum(lost, 0.5)), np.logaddexp(p.value, q.value + f.value))
        if order == 0:
            return Rows(value, None, None)
        gap = q.value + f.value - p.value
        w, v = special.expit(-gap), special.expit(gap)
        slope = w * p.grad[0] * counts
        grad = np.concatenate([times(v, f.grad), slope[None]])
        if order == 1:
            return Rows(value, grad, None)
        k = len(inner)
        hess = np.empty((k + 1, k + 1, value.size))
        root = np.sqrt(w) * times(np.sqrt(v), f.grad)
        hess[:k, :k] = times(v, f.hess) + root * root[:, None]
        hess[k, :k] = hess[:k, k] = w * grad[:k] * (q.grad[0] - p.grad[0])
        bend, turn, own = _bend(link, eta), p.hess[0, 0] / p.grad[0], p.grad[0] * np.exp(f.value - value)
        plain = np.abs(bend) + np.abs(slope) < np.abs(turn) + np.abs(own)
        hess[k, k] = times(slope, np.where(plain, bend - slope, turn + own))
        return Rows(value, grad, hess)

    def _of_counts(self, source: Source, link: Link, y: Array, at: Sequence[Array], order: int) -> Rows:
        *inner, eta = at
        return beside(source.rows(y, inner, order), outcome(link, False, eta, order))

    def recession(self, y: Array) -> Recession | None:
        """A zero may become certain in two ways, by ``zero`` and by the inner family."""
        own, inner = self._zero_recession(y), self.inner.recession(y)
        if own is None or inner is None or inner.pushes is not None:
            return own
        last = np.zeros((len(inner.ends), 1, y.size))
        ends = np.concatenate([np.concatenate([inner.ends, last], axis=1), own.ends])
        pushes = np.concatenate([np.zeros_like(inner.ends[:, :1]).repeat(len(self.links), axis=1), own.pushes])
        return Recession(ends, np.concatenate([inner.still, own.still[-1:]]), pushes)

    def information(self, *eta: Array) -> Array | None:
        """That of the inner family, less what is not known of which zeros are its own; if it gives one."""
        *inner, last = np.broadcast_arrays(*eta)
        known = self.inner.information(*inner)
        if known is None:
            return None
        link, k = self.links["zero"], len(inner)
        f = Source(self.inner, True).full(0.0, inner, 1)
        p, q = (outcome(link, occurs, last, 1) for occurs in (True, False))
        w = special.expit(p.value - q.value - f.value)
        found = np.empty((k + 1, k + 1, last.size))
        # q w f l' l' with l = log f
        mixed = times(np.exp(q.value + f.value) * w, f.grad)
        found[:k, :k] = np.exp(q.value) * known - mixed * times(np.asarray(mixed.any(axis=0)), f.grad)[:, None]
        found[k, :k] = found[:k, k] = mixed * (p.grad[0] - q.grad[0])
        found[k, k] = -w * p.grad[0] * -np.expm1(f.value) * q.grad[0]
        return found

    # ---------------------------------------------------------------- facts about the distribution

    def limit(self) -> tuple[str, float, GenericLikelihood]:
        """Without excess zeros it is the inner family."""
        return "zero", 0.0, self.inner

    def limits(self) -> tuple[tuple[str, float, GenericLikelihood], ...]:
        """Every limit: that, and with excess zeros what the inner family becomes at its own limit."""
        return self.limit(), *self._inner_limit()

    def mean(self, *theta: Any, **named: Any) -> Array | None:
        inner, (zero,) = self.split(theta)
        mean = self.inner.mean(*inner)
        return None if mean is None else (1 - zero) * mean

    def variance(self, *theta: Any, **named: Any) -> Array | None:
        inner, (zero,) = self.split(theta)
        mean, variance = self.inner.mean(*inner), self.inner.variance(*inner)
        return None if mean is None or variance is None else (1 - zero) * (variance + zero * mean * mean)

    def cdf(self, y: Array, *theta: Any, **named: Any) -> Array:
        inner, (zero,) = self.split(theta)
        return np.where(np.asarray(y) < 0, 0.0, zero + (1 - zero) * self.inner.cdf(y, *inner))

    def logcdf(self, y: Array, *theta: Any, **named: Any) -> Array:
        inner, (zero,) = self.split(theta)
        with np.errstate(all="ignore"):
            above = np.exp(self.logsf(y, *theta))
            mixed = np.logaddexp(np.log(zero), np.log1p(-zero) + self.inner.logcdf(y, *inner))
            mixed = np.where(above < 0.5, np.log1p(-np.minimum(above, 0.5)), mixed)
            return np.where(np.asarray(y) < 0, -np.inf, mixed)

    def logsf(self, y: Array, *theta: Any, **named: Any) -> Array:
        inner, (zero,) = self.split(theta)
        return np.where(np.asarray(y) < 0, 0.0, np.log1p(-zero) + self.inner.logsf(y, *inner))

    def ppf(self, share: Array, *theta: Any, **named: Any) -> Array:
        inner, (zero,) = self.split(theta)
        share = shares(share)
        guess = self.inner.ppf(np.clip((share - zero) / (1 - zero), 0.0, 1 - 1e-16), *inner)
        found = first_count(lambda count: self.cdf(count, *theta) >= share, guess)
        return np.where(share == 1, self.inner.ppf(np.ones_like(share), *inner), found)

    def rvs(self, *theta: Any, rng: np.random.Generator, **named: Any) -> Array:
        inner, (zero,) = self.split(np.broadcast_arrays(*theta))
        return np.where(rng.random(np.shape(zero)) < zero, 0.0, self.inner.rvs(*inner, rng=rng))

    # ---------------------------------------------------------------- where to start

    def _zero_shares(self, share: float, f: Array) -> list[Any]:
        """The share that is in excess, and little."""
        return [np.clip(np.where(f < 1, (share - f) / (1 - f), 0.0), 0.02, 0.98), 0.02]


def _bend(link: Link, eta: Array) -> Array:
    if link.name in _BENDS:
        return _BENDS[link.name](eta)
    first, second = link.slopes(eta)
    return np.where(first == 0, 0.0, second / first)
