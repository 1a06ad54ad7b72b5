"""Log-probabilities of ranges of responses, with derivatives and without cancellation, for any family."""

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import special

from mlekit import jets
from mlekit.families.base import GenericLikelihood
from mlekit.families.tail_rows import Place, blank, fill, tail_rows
from mlekit.families.tails import log1mexp
from mlekit.jets import Jet, Rows, as_jet, as_rows
from mlekit.links import Array

_HALF = -np.log(2)
# So few counts are added up one by one, and a range with a smaller share of its tail is integrated as it is.
_FEW, _NARROW = 30, np.log(0.1)
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(24)
_CHECK_NODES, _CHECK_WEIGHTS = np.polynomial.legendre.leggauss(16)


def log_range(family: GenericLikelihood, lower: Any, upper: Any, *theta: Any) -> Any:
    """``log P(lower < Y <= upper)`` at arrays of parameters that broadcast, or at jets.

    Examples
    --------
    >>> import numpy as np
    >>> from mlekit.families import Normal
    >>> log_range(Normal(), 30.0, np.array([30.1, np.inf]), 0.0, 1.0).round(6).tolist()
    [-454.371879, -454.321244]
    """
    ends = np.asarray(lower, dtype=float), np.asarray(upper, dtype=float)

    def rows(*flat: Array, order: int) -> Rows:
        if order:
            return range_rows(Place(family, flat[2:], False), flat[0], flat[1], order)
        # Quantiles and moments ask for the same ranges again and again.
        every, which = np.unique(np.stack(flat), axis=1, return_inverse=True)
        found = range_rows(Place(family, tuple(every[2:]), False), every[0], every[1], 0)
        return Rows(found.value[which.ravel()], None, None)

    return followed(rows, *ends, *theta)


def followed(rows_of: Callable[..., Rows], *at: Any) -> Any:
    """Return the values of what has rows, at arrays that broadcast; at jets, a jet.

    Parameters
    ----------
    rows_of : callable
        ``(*(n,) arrays, order=) -> Rows`` in the last of the quantities, as many as the rows have derivatives in.
    *at : arrays or jets
    """
    live = [t for t in at if isinstance(t, Jet)]
    plain = [t.value if isinstance(t, Jet) else np.asarray(t, dtype=float) for t in at]
    shape = np.broadcast_shapes(*map(np.shape, plain))
    order = 0 if not live else 1 if any(t.hess is None for t in live) else 2
    rows = rows_of(*(np.broadcast_to(t, shape).ravel() for t in plain), order=order)
    return jets.composed(rows, *at[len(at) - len(rows.grad) :]) if live else rows.value.reshape(shape)


def range_rows(place: Place, lower: Array, upper: Array, order: int) -> Rows:
    """Rows of ``log P(lower < Y <= upper)``.

    Parameters
    ----------
    place : Place
        Of n rows.
    lower, upper : (n,) arrays
        Infinite where there is no end.
    order : {0, 1, 2}
    """
    made = blank(place, order)
    low, high = lower > -np.inf, upper < np.inf
    with np.errstate(all="ignore"):
        for where, rows_of in (
            (low & ~high, lambda p, a, b: tail_rows(p, a, True, order)),
            (~low & high, lambda p, a, b: tail_rows(p, b, False, order)),
            (low & high, lambda p, a, b: _between(p, a, b, order)),
        ):
            fill(made, where, lambda rows, rows_of=rows_of: rows_of(place.pick(rows), lower[rows], upper[rows]))
    return made


# ---------------------------------------------------------------- two ends


def _between(place: Place, a: Array, b: Array, order: int) -> Rows:
    """Rows of ``log P(a < Y <= b)``."""
    made = blank(place, order)
    discrete = place.family.discrete
    if discrete:
        a, b = np.floor(a), np.floor(b)
    few = (b - a <= _FEW) & discrete

    def wide(rows: Array) -> Rows:
        return _wide(place.pick(rows), a[rows], b[rows], order)

    fill(made, few, lambda rows: _counts(place.pick(rows), a[rows], b[rows], order))
    fill(made, ~few, wide)
    return made


def _wide(place: Place, a: Array, b: Array, order: int) -> Rows:
    """By whichever tail has the digits; a narrow range, where a difference would lose them, by its own integral."""
    made = blank(place, order)
    below, beyond = tail_rows(place, a, False, 0).value, tail_rows(place, b, True, 0).value
    upper, lower = below > _HALF, beyond > _HALF
    for where, ends, signs in (
        (upper, (a, b), (True, True)),
        (lower & ~upper, (b, a), (False, False)),
        (~(upper | lower), (a, b), (False, True)),
    ):

        def difference(rows: Array, ends: Any = ends, signs: Any = signs) -> Rows:
            some = place.pick(rows)
            first, second = (as_jet(tail_rows(some, e[rows], s, order)) for e, s in zip(ends, signs, strict=True))
            return as_rows(_difference(first, second, signs[0] == signs[1]), rows.shape, len(place.at), order)

        fill(made, where, difference)
    if place.family.discrete:
        return made
    tail = np.where(
        upper, tail_rows(place, a, True, 0).value, np.where(lower, tail_rows(place, b, False, 0).value, 0.0)
    )
    fill(made, made.value - tail < _NARROW, lambda rows: _narrow(place, a, b, order, made, rows))
    return made


def _difference(first: Any, second: Any, nested: bool) -> Any:
    """``log(exp(first) - exp(second))``, or ``log(1 - exp(first) - exp(second))`` of tails on either side."""
    if not nested:
        return log1mexp(_log_sum(first, second))
    none = np.isneginf(second)
    return np.where(none, first, first + log1mexp(np.where(none, -1.0, second - first)))


def _log_sum(first: Any, second: Any) -> Any:
    """``log(exp(first) + exp(second))``, where either may be none."""
    only_first, only_second = np.isneginf(second), np.isneginf(first)
    both = np.logaddexp(np.where(only_second, -1.0, first), np.where(only_first, -1.0, second))
    return np.where(only_first, first, np.where(only_second, second, both))


def _narrow(place: Place, a: Array, b: Array, order: int, made: Rows, rows: Array) -> Rows:
    """Gauss' rule for some rows, or what they had where the density is not a polynomial there."""
    some, left, width = place.pick(rows), a[rows][:, None], (b - a)[rows]

    def by(nodes: Array, weights: Array, order: int) -> Rows:
        y = left + width[:, None] * (0.5 * (1 + nodes))
        return _mixture(some, y, np.log(0.5 * width)[:, None] + np.log(weights), order)

    found, rough = by(_NODES, _WEIGHTS, order), by(_CHECK_NODES, _CHECK_WEIGHTS, 0)
    good = np.abs(found.value - rough.value) < 1e-12 * np.maximum(1.0, np.abs(found.value))
    kept = [None if f is None else np.where(good, f, m[..., rows]) for f, m in zip(found, made, strict=True)]
    return Rows(np.asarray(kept[0]), *kept[1:])


def _counts(place: Place, a: Array, b: Array, order: int) -> Rows:
    """Add up the counts of a range."""
    y = a[:, None] + np.arange(1, 1 + max(1, int(np.max(b - a, initial=0.0))))
    return _mixture(place, np.minimum(y, b[:, None]), np.where(y <= b[:, None], 0.0, -np.inf), order)


def _mixture(place: Place, y: Array, log_weight: Array, order: int) -> Rows:
    """Rows of ``log sum_j weight_j f(y_j)``, for ``(n, m)`` responses; those that cannot occur count for nothing."""
    n, m = y.shape
    flat, every = y.ravel(), np.repeat(np.arange(n), m)
    inside = np.flatnonzero(
        np.asarray(place.family.in_support(flat)) & (np.broadcast_to(log_weight, y.shape).ravel() > -np.inf)
    )
    part = blank(place.pick(every), order)
    part.value[:] = -np.inf
    fill(part, np.isin(np.arange(flat.size), inside), lambda rows: place.pick(every[rows]).density(flat[rows], order))
    term = part.value.reshape(n, m) + log_weight
    value = special.logsumexp(term, axis=1)
    if order == 0:
        return Rows(value, None, None)
    share = np.where(np.isneginf(term), 0.0, np.exp(term - np.where(np.isneginf(value), 0.0, value)[:, None]))
    slope = np.where(share > 0, part.grad.reshape(-1, n, m), 0.0)
    grad = (share * slope).sum(axis=2)
    if order == 1:
        return Rows(value, grad, None)
    apart = slope - grad[:, :, None]
    bend = np.where(share > 0, part.hess.reshape(*part.hess.shape[:2], n, m), 0.0) + apart * apart[:, None]
    return Rows(value, grad, (share * bend).sum(axis=3))
