"""Counts whose zeros are decided first: a probability of zero, and a distribution of what is above."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from mlekit.families.base import GenericLikelihood
from mlekit.families.recession import Recession
from mlekit.families.tails import first_count, log1mexp, shares
from mlekit.families.zeros import Source, WithZeros, beside, outcome, times
from mlekit.jets import Jet, Rows
from mlekit.links import Array, Link

# From this share of ones among the counts above 0 on, log P(Y > 0) is measured from log f(1).
_ONES = np.log(0.999)
# Terms of a sum of f(j) / f(1), and where it ends: those of the Poisson fall by 2000 and more from one to the next.
_TERMS, _LAST = 40, 1e-18
# Tries to draw a count above 0 before quantiles are asked.
_TRIES = 8


class Hurdle(WithZeros):
    """Counts that are 0 with probability ``zero``, and else those of a family given that they are above 0.

    ``P(0) = zero``, and ``P(y) = (1 - zero) f(y) / (1 - f(0))`` for y > 0 (Mullahy 1986). The parameters are those of
    the family, then ``zero`` (logit link; probit, cloglog, cauchit, log, identity). There may be fewer zeros than the
    family has, or more. R: ``pscl::hurdle(y ~ x | z, zero.dist = "binomial")``, whose coefficients of zero have the
    opposite sign, as they are of a count above 0; statsmodels: ``HurdleCountModel``, which has a Poisson there.

    The derivatives of ``1 - f(0)`` come from the log-density at 0 and have as many digits as that has; where a count
    above 0 is a 1 but for one in a thousand, they come from the ratios ``f(2) / f(1)``, ``f(3) / f(1)``, ..., which
    lose none.

    Parameters
    ----------
    family : str, class or instance
        A family of counts: ``Hurdle("poisson")``, ``Hurdle(NegativeBinomial(mu="sqrt"))``, or one's own.
    zero : str or Link, optional
        Another link of ``zero``.

    Raises
    ------
    TypeError
        If the family is not of counts, has a parameter ``zero`` already, or fewer than two values above 0.

    Examples
    --------
    >>> import numpy as np
    >>> from mlekit.families import Poisson
    >>> family = Hurdle(Poisson())
    >>> list(family.params), np.exp(family.logpdf(np.array([0.0, 2.0]), 1.0, 0.2)).round(4).tolist()
    (['mu', 'zero'], [0.2, 0.2328])
    """

    def logpdf(self, y: Array, *theta: Any, **named: Any) -> Array:
        inner, (zero,) = self.split(theta)
        y = np.asarray(y, dtype=float)
        above = np.log1p(-zero) + self.inner.logpdf(y, *inner)
        if self._has_zero:
            above = above - log1mexp(self.inner.logpdf(np.zeros_like(y), *inner))
        return np.where(y == 0, np.log(zero), above)

    def _of_zeros(self, source: Source, link: Link, at: Sequence[Array], order: int) -> Rows:
        value, grad, hess = outcome(link, True, at[-1], order)
        k, n = len(at), value.size
        if grad is not None:
            grad = np.concatenate([np.zeros((k - 1, n)), grad])
        if hess is not None:
            own, hess = hess, np.zeros((k, k, n))
            hess[-1, -1] = own[0, 0]
        return Rows(value, grad, hess)

    def _of_counts(self, source: Source, link: Link, y: Array, at: Sequence[Array], order: int) -> Rows:
        *inner, eta = at
        rows = source.rows(y, inner, order)
        if self._has_zero:
            rows = self._given_positive(source, rows, inner, order)
        return beside(rows, outcome(link, False, eta, order))

    @staticmethod
    def _given_positive(source: Source, rows: Rows, inner: Sequence[Array], order: int) -> Rows:
        """Rows less ``log(1 - f)``, whose slope in log f is minus the odds ``f / (1 - f)`` of a zero."""
        f = source.full(0.0, inner, order)
        above = log1mexp(f.value)
        value, grad, hess = rows.value - above, None, None
        if order > 0:
            odds = 1 / np.expm1(-f.value)
            inside = times(odds > 0, f.grad)
            grad = rows.grad + odds * inside
        if order > 1:
            hess = rows.hess + times(odds, f.hess) + _square(odds, inside)
        ones, here = _ones(source, inner, above, order)
        if here.size:
            first, weight = ones.first, 1 + ones.total
            value[here] = rows.value[here] - first.value - np.log1p(ones.total)
            if grad is not None:
                slope = ones.slope / weight
                grad[:, here] = rows.grad[:, here] - first.grad - slope
            if hess is not None:
                bend = (ones.bend + ones.square) / weight - slope * slope[:, None]
                hess[:, :, here] = rows.hess[:, :, here] - first.hess - bend
        return Rows(value, grad, hess)

    def recession(self, y: Array) -> Recession | None:
        """Whether there is a count may become certain."""
        return self._zero_recession(y)

    def information(self, *eta: Array) -> Array | None:
        """That of the inner family given that it is not 0, which is less; and a Bernoulli's of ``zero``."""
        *inner, last = np.broadcast_arrays(*eta)
        known = self.inner.information(*inner)
        if known is None:
            return None
        link, k = self.links["zero"], len(inner)
        p, q = (outcome(link, occurs, last, 1) for occurs in (True, False))
        source, made = Source(self.inner, True), known
        if self._has_zero:
            f = source.full(0.0, inner, 1)
            above, odds = log1mexp(f.value), 1 / np.expm1(-f.value)
            inside = times(odds > 0, f.grad)
            made = known / np.exp(above) - _square(odds, inside)
            ones, here = _ones(source, inner, above, 1)
            if here.size:
                slope, weight = ones.slope / (1 + ones.total), 1 + ones.total
                made[:, :, here] = ones.square / weight - slope * slope[:, None]
        found = np.zeros((k + 1, k + 1, last.size))
        found[:k, :k] = times(np.exp(q.value), made)
        found[k, k] = -p.grad[0] * q.grad[0]
        return found

    # ---------------------------------------------------------------- facts about the distribution

    def limit(self) -> tuple[str, float, GenericLikelihood] | None:
        """The hurdle of what the inner family becomes at its own limit."""
        return next(iter(self._inner_limit()), None)

    def _positive_moments(self, inner: Sequence[Any]) -> tuple[Any, Any]:
        """Mean and variance of a count above 0; None where the inner family does not say."""
        mean, variance = self.inner.mean(*inner), self.inner.variance(*inner)
        if mean is None or not self._has_zero:
            return mean, variance
        at = [np.atleast_1d(np.asarray(t, dtype=float)) for t in np.broadcast_arrays(*inner)]
        shape, at = at[0].shape, [t.ravel() for t in at]
        source = Source(self.inner, False)
        with np.errstate(all="ignore"):
            f = source.full(0.0, at, 0).value
            above = log1mexp(f)
            ones, here = _ones(source, at, above, 0)
            share, first = np.exp(above), np.ravel(np.broadcast_to(mean, shape))
            positive = first / share
            step = ones.steps / (1 + ones.total)
            positive[here] = 1 + step
            if variance is None:
                return positive.reshape(np.shape(mean)), None
            spread = (np.ravel(np.broadcast_to(variance, shape)) - first * positive * np.exp(f)) / share
            spread[here] = ones.squares / (1 + ones.total) - step * step
        return positive.reshape(np.shape(mean)), spread.reshape(np.shape(mean))

    def mean(self, *theta: Any, **named: Any) -> Array | None:
        inner, (zero,) = self.split(theta)
        if any(isinstance(t, Jet) for t in inner):
            mean = self.inner.mean(*inner)
            if mean is not None and self._has_zero:
                mean = mean / -np.expm1(self.inner.logpdf(np.zeros_like(inner[0]), *inner))
        else:
            mean, _ = self._positive_moments(inner)
        return None if mean is None else (1 - zero) * mean

    def variance(self, *theta: Any, **named: Any) -> Array | None:
        inner, (zero,) = self.split(theta)
        mean, variance = self._positive_moments(inner)
        return None if mean is None or variance is None else (1 - zero) * (variance + zero * mean * mean)

    def _log_above(self, y: Any, inner: Sequence[Any]) -> Any:
        """``log P(Y > y | Y > 0)`` of the inner family, for y >= 0."""
        found = self.inner.logsf(y, *inner)
        return found - self.inner.logsf(np.zeros_like(y), *inner) if self._has_zero else found

    def cdf(self, y: Array, *theta: Any, **named: Any) -> Array:
        return np.exp(self.logcdf(y, *theta))

    def logcdf(self, y: Array, *theta: Any, **named: Any) -> Array:
        inner, (zero,) = self.split(theta)
        y = np.asarray(y, dtype=float)
        some = np.where(y < 1, 1.0, y)
        with np.errstate(all="ignore"):
            if self._has_zero:
                low, nothing = self.inner.logcdf(some, *inner), self.inner.logpdf(np.zeros_like(y), *inner)
                few = low + log1mexp(np.minimum(nothing - low, 0.0)) - log1mexp(nothing)
                share = np.where(nothing < np.log(0.5), few, log1mexp(np.minimum(self._log_above(some, inner), 0.0)))
            else:
                share = self.inner.logcdf(some, *inner)
            above = np.exp(self.logsf(some, *theta))
            mixed = np.logaddexp(np.log(zero), np.log1p(-zero) + share)
            mixed = np.where(above < 0.5, np.log1p(-np.minimum(above, 0.5)), mixed)
            return np.where(y < 0, -np.inf, np.where(y < 1, np.log(zero), mixed))

    def logsf(self, y: Array, *theta: Any, **named: Any) -> Array:
        inner, (zero,) = self.split(theta)
        y = np.asarray(y, dtype=float)
        above = np.where(y < 1, 0.0, self._log_above(np.where(y < 1, 1.0, y), inner))
        return np.where(y < 0, 0.0, np.log1p(-zero) + above)

    def ppf(self, share: Array, *theta: Any, **named: Any) -> Array:
        inner, (zero,) = self.split(theta)
        share = shares(share)
        nothing = np.exp(self.inner.logpdf(np.zeros_like(share), *inner)) if self._has_zero else 0.0
        rest = np.clip((share - zero) / (1 - zero), 0.0, 1.0)
        guess = self.inner.ppf(np.minimum(nothing + rest * (1 - nothing), 1 - 1e-16), *inner)
        found = first_count(lambda count: self.cdf(count, *theta) >= share, guess)
        return np.where(share == 1, self.inner.ppf(np.ones_like(share), *inner), found)

    def rvs(self, *theta: Any, rng: np.random.Generator, **named: Any) -> Array:
        """Draw from the inner family until no zero is left; what does not come soon, by its quantile."""
        inner, (zero,) = self.split(np.broadcast_arrays(*theta))
        made = np.where(rng.random(np.shape(zero)) < zero, 0.0, np.nan)
        for _ in range(_TRIES):
            open_ = np.isnan(made)
            if not open_.any():
                return made
            draws = self.inner.rvs(*(t[open_] for t in inner), rng=rng)
            made[open_] = np.where(draws == 0, np.nan, draws)
        open_ = np.isnan(made)
        here = [t[open_] for t in inner]
        wanted = np.log(rng.uniform(np.finfo(float).tiny, 1, int(open_.sum())))
        made[open_] = first_count(
            lambda count: (count > 0) & (self._log_above(np.maximum(count, 1.0), here) <= wanted), np.ones(wanted.size)
        )
        return made

    # ---------------------------------------------------------------- where to start

    def _zero_shares(self, share: float, f: Array) -> list[Any]:
        return [np.clip(share, 1e-3, 1 - 1e-3)]


def _square(odds: Array, slope: Array) -> Array:
    """``odds (1 + odds)`` times the outer product of the slope; the square of the odds alone may overflow."""
    root = np.sqrt(odds) * np.sqrt(1 + odds) * slope
    return root * root[:, None]


class _Ones(NamedTuple):
    """Sums over the counts j = 2, 3, ... of ``R = f(j) / f(1)``, with d the slopes of log R.

    Attributes
    ----------
    first : Rows
        Rows of the count 1.
    total, steps, squares : (n,) arrays
        Sums of R, ``(j - 1) R`` and ``(j - 1)**2 R``.
    slope, bend, square : arrays
        Sums of R times d, the second derivatives of log R, and the outer product of d.
    """

    first: Rows
    total: Any
    steps: Any
    squares: Any
    slope: Any
    bend: Any
    square: Any

    def rows(self, kept: Array) -> "_Ones":
        """Return those of some rows."""
        value, *slopes = self.first
        first = Rows(value[kept], *(None if part is None else part[..., kept] for part in slopes))
        return _Ones(first, *(part[..., kept] if np.ndim(part) else part for part in self[1:]))


def _ones(source: Source, at: Sequence[Array], above: Array, order: int) -> tuple[_Ones, Array]:
    """Sums for the rows where almost every count above 0 is a 1, and which rows these are.

    There ``log P(Y > 0)``, which ``above`` is, and its derivatives are next to those of log f(1), and differences lose
    what they differ by.
    """
    here = np.flatnonzero(source.full(1.0, at, 0).value - above > _ONES)
    at = [a[here] for a in at]
    first = source.full(1.0, at, order)
    total = steps = squares = np.zeros(here.size)
    slope: Any = 0.0
    bend, square, j, ratio = slope, slope, 1, np.ones(here.size)
    while here.size and j <= _TERMS and np.any(ratio > _LAST * total):
        j += 1
        rows = source.full(float(j), at, order)
        ratio = np.exp(rows.value - first.value)
        total, steps, squares = total + ratio, steps + (j - 1) * ratio, squares + (j - 1) ** 2 * ratio
        if order > 0:
            d = rows.grad - first.grad
            slope, square = slope + times(ratio, d), square + times(ratio, d * d[:, None])
        if order > 1:
            bend = bend + times(ratio, rows.hess - first.hess)
    # A family may have more far out, beyond counts that it has not: then the sum is not all there is.
    kept = (ratio <= _LAST * total) & ~(np.log1p(total) < above[here] - first.value - 1e-6)
    return _Ones(first, total, steps, squares, slope, bend, square).rows(kept), here[kept]
