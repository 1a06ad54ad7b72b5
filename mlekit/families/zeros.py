"""Counts with a parameter of their own for zeros: what zero-inflated and hurdle families share.

Rows that are zero and rows that are not have different formulas, so each formula sees its own rows alone.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from mlekit.families.base import GenericLikelihood
from mlekit.families.bernoulli import Bernoulli
from mlekit.families.combined import Combinator
from mlekit.families.recession import Recession, towards
from mlekit.jets import Rows
from mlekit.links import LINKS, Array, Link

_COUNTS = np.arange(1.0, 101.0)
# Enough rows to choose among constants to start from: those about the inner family's own start. Of a dispersion that
# only the counts above 0 show, the variance sees too little.
_ROWS, _FIRST, _OTHERS = 2000, (-1.5, -1.0, -0.5, 0.0, 0.5), (0.0, 1.0, 2.0, 3.0, 4.0, 5.0)


class Source(NamedTuple):
    """Rows of a family in its parameters, or in their linear predictors.

    Attributes
    ----------
    family : GenericLikelihood
    linear : bool
    """

    family: GenericLikelihood
    linear: bool

    def rows(self, y: Array, at: Sequence[Array], order: int) -> Rows:
        """Rows of counts; those in linear predictors are without the ``base_measure``."""
        made = self.family.linear_rows if self.linear else self.family.rows
        return made(y, *at, order=order)

    def full(self, count: float, at: Sequence[Array], order: int) -> Rows:
        """Rows of one and the same count, with everything."""
        rows = self.rows(np.full(at[0].shape, count), at, order)
        base = self.family.base_measure(np.full(1, count)) if self.linear else None
        return rows if base is None else rows._replace(value=rows.value + base)


def outcome(link: Link, occurs: bool, eta: Array, order: int) -> Rows:
    """Logarithm of a probability, or of one less it, with its derivatives in the linear predictor: two tails.

    Examples
    --------
    >>> outcome(LINKS["logit"], True, np.array([-700.0]), 1).grad
    array([[1.]])
    """
    return Bernoulli(p=link).linear_rows(np.full(eta.shape, float(occurs)), eta, order=order)


def times(factor: Array, rows: Array) -> Array:
    """Product that is 0 where the factor is, whatever has overflowed beside it.

    Examples
    --------
    >>> times(np.array([0.0, 2.0]), np.array([np.inf, 3.0])).tolist()
    [0.0, 6.0]
    """
    with np.errstate(invalid="ignore"):
        return np.where(factor == 0, 0.0, factor * rows)


def beside(inner: Rows, own: Rows) -> Rows:
    """Rows of a sum of two log-densities that have no parameter in common.

    Examples
    --------
    >>> one = Rows(np.ones(1), np.full((1, 1), 2.0), np.full((1, 1, 1), 3.0))
    >>> beside(one, one).hess[:, :, 0].tolist()
    [[3.0, 0.0], [0.0, 3.0]]
    """
    value = inner.value + own.value
    if inner.grad is None:
        return Rows(value, None, None)
    grad = np.concatenate([inner.grad, own.grad])
    if inner.hess is None:
        return Rows(value, grad, None)
    k = len(inner.grad)
    hess = np.zeros((k + 1, k + 1, value.size))
    hess[:k, :k], hess[k, k] = inner.hess, own.hess[0, 0]
    return Rows(value, grad, hess)


class WithZeros(Combinator):
    """A family of counts and a probability ``zero``, which come together in a way that subclasses say."""

    own_params = {"zero": "logit"}
    own_links_for = {"zero": Bernoulli.links_for["p"]}

    def _check(self, inner: GenericLikelihood) -> None:
        kind, name = type(self).__name__, repr(inner)
        if isinstance(inner, WithZeros):
            raise TypeError(f"{name} has a parameter for its zeros: a second, of {kind}, would be of the same zeros")
        super()._check(inner)
        if not inner.discrete:
            raise TypeError(
                f"{kind} is of counts, and {name} is continuous: there a zero has probability 0, and tells nothing of "
                "its parameters. Fit family='bernoulli' to whether the response is 0, and the family to the other rows"
            )
        if np.any(inner.in_support(-_COUNTS)):
            raise TypeError(f"{kind} is of counts 0, 1, 2, ..., and {name} can be negative")
        if np.sum(inner.in_support(_COUNTS)) < 2:
            raise TypeError(
                f"{name} has fewer than two values beside 0: its parameters cannot be told from the probability of a "
                f"zero, so {kind} needs a family of more values"
            )

    @property
    def _has_zero(self) -> bool:
        """Whether the inner family is ever 0."""
        return bool(np.all(self.inner.in_support(np.zeros(1))))

    # ---------------------------------------------------------------- derivatives

    def rows(self, y: Array, *theta: Any, order: int = 2, **named: Any) -> Rows:
        return self._by_zeros(Source(self.inner, False), LINKS["identity"], y, theta, order)

    def linear_rows(self, y: Array, *eta: Array, order: int = 2) -> Rows:
        return self._by_zeros(Source(self.inner, True), self.links["zero"], y, eta, order)

    def _by_zeros(self, source: Source, link: Link, y: Array, at: Sequence[Any], order: int) -> Rows:
        y, *at = np.broadcast_arrays(np.asarray(y, dtype=float), *at)
        nothing = y == 0
        with np.errstate(all="ignore"):
            if nothing.all():
                return self._of_zeros(source, link, at, order)
            if not nothing.any():
                return self._of_counts(source, link, y, at, order)
            value, k = np.empty(y.size), len(at)
            grad = np.empty((k, y.size)) if order > 0 else None
            hess = np.empty((k, k, y.size)) if order > 1 else None
            for here, found in (
                (at_zero := np.flatnonzero(nothing), self._of_zeros(source, link, [a[at_zero] for a in at], order)),
                (
                    others := np.flatnonzero(~nothing),
                    self._of_counts(source, link, y[others], [a[others] for a in at], order),
                ),
            ):
                for whole, part in zip((value, grad, hess), found, strict=True):
                    if whole is not None:
                        whole[..., here] = part
        return Rows(value, grad, hess)

    def _of_zeros(self, source: Source, link: Link, at: Sequence[Array], order: int) -> Rows:
        """Rows of zeros, with everything."""
        raise NotImplementedError

    def _of_counts(self, source: Source, link: Link, y: Array, at: Sequence[Array], order: int) -> Rows:
        """Rows of counts above 0, without the inner family's ``base_measure``."""
        raise NotImplementedError

    def _zero_recession(self, y: Array) -> Recession | None:
        """Zeros may become certain, or counts above 0, by ``zero`` alone."""
        up, down = (towards(self.links["zero"], end) for end in (1.0, 0.0))
        if up is None or down is None:
            return None
        signs, k, n = np.where(y == 0, up, down), len(self.links), y.size
        ends, pushes = np.zeros((2, 1, k, n))
        ends[0, -1], pushes[0, -1] = signs, np.where(y == 0, 0.0, signs)
        still = np.ones((k, n), dtype=bool)
        still[-1] = signs == 0
        return Recession(ends, still, pushes)

    def base_measure(self, y: Array) -> Array | None:
        """That of the inner family, for counts above 0."""
        y = np.asarray(y, dtype=float)
        base = self.inner.base_measure(y)
        return None if base is None else np.where(y == 0, 0.0, base)

    @property
    def derivatives_text(self) -> str | None:
        """How derivatives are computed, for the summary: as those of the inner family."""
        inner, plain = type(self.inner), GenericLikelihood
        if isinstance(self.inner, Combinator):
            return getattr(self.inner, "derivatives_text", None)
        own = inner.rows is not plain.rows or inner.linear_rows is not plain.linear_rows
        return "hand-written" if own else None

    # ---------------------------------------------------------------- facts about the distribution

    @property
    def support_text(self) -> str:  # type: ignore[override]
        """What a response is."""
        return self.inner.support_text

    def in_support(self, y: Array) -> Array:
        return self.inner.in_support(y) | (np.asarray(y) == 0)

    def _inner_limit(self) -> tuple[tuple[str, float, GenericLikelihood], ...]:
        """The same with what the inner family becomes at its own limit, or nothing."""
        found = self.inner.limit()
        return () if found is None else ((*found[:2], type(self)(found[2], zero=self.links["zero"])),)

    # ---------------------------------------------------------------- where to start

    def start(self, y: Array, weight: Array) -> tuple[Array, ...]:
        """Start from the inner family's own start, with zeros or with typical counts in their place.

        Which of them, how far from there, and with what probability of a zero, the likelihood of constants says.
        """
        y = np.asarray(y, dtype=float)
        counts = y > 0
        if not counts.any():
            return (*self.inner.start(y + (not self._has_zero), weight), np.asarray(self.links["zero"].forward(0.5)))
        share = float(np.average(~counts, weights=weight))
        typical = np.rint(np.average(y[counts], weights=weight[counts]))
        used = slice(None, None, max(1, y.size // _ROWS))
        values, which = np.unique(y[used], return_inverse=True)
        total = np.bincount(which.ravel(), weights=weight[used])
        best, best_value = None, -np.inf
        for filled in (np.where(counts, y, typical), y)[: 1 + self._has_zero]:
            with np.errstate(all="ignore"):
                rows = [np.broadcast_to(e, y.shape) for e in self.inner.start(filled, weight)]
                level = [np.average(e, weights=weight) for e in rows]
                found, moved = self._best(values, total, share, level)
            if best is None or found > best_value:
                best_value = found
                best = (*(e + m - at for e, m, at in zip(rows, moved, level, strict=False)), moved[-1])
        assert best is not None
        return best

    def _best(self, values: Array, total: Array, share: float, level: Sequence[Any]) -> tuple[float, list[Array]]:
        """Likelihood of the best constants about those given, and these; ``total`` is how often each value occurs."""
        first, others = map(np.ravel, np.meshgrid(_FIRST, _OTHERS if len(level) > 1 else (0.0,)))
        at = [level[0] + first, *(e + others for e in level[1:])]
        f = np.exp(Source(self.inner, True).full(0.0, at, 0).value)
        base = self.base_measure(values)
        best, best_value = [e[:1] for e in (*at, f)], -np.inf
        for zero in self._zero_shares(share, f):
            eta = [*at, np.broadcast_to(self.links["zero"].forward(zero), f.shape)]
            tried = (np.repeat(e, values.size) for e in eta)
            grid = self.linear_rows(np.tile(values, f.size), *tried, order=0).value.reshape(f.size, -1)
            found = (grid if base is None else grid + base) @ total
            row = int(np.argmax(np.where(np.isfinite(found), found, -np.inf)))
            if found[row] > best_value or best_value == -np.inf:
                best, best_value = [e[row] for e in eta], found[row] if np.isfinite(found[row]) else -np.inf
        return best_value, best

    def _zero_shares(self, share: float, f: Array) -> list[Any]:
        """Probabilities to try, given the share of zeros and what the inner family has of them."""
        raise NotImplementedError
