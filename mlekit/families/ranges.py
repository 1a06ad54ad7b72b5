"""Log-probabilities of ranges of responses, with derivatives and without cancellation, for any family.

Of a tail there is the family's own ``logcdf`` or ``logsf``, differentiated by jets. Where it has none, or jets cannot
follow it, the density and its derivatives are integrated: the derivative of an integral is the integral of the
derivative, if the ends of the density do not move with the parameters (which is checked).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from scipy import special

from mlekit import jets
from mlekit.differences import central_differences
from mlekit.families.base import GenericLikelihood
from mlekit.families.combined import chained, full_rows, linear_jets
from mlekit.families.landscape import Density
from mlekit.families.numeric import integrated, log_probabilities
from mlekit.families.tails import log1mexp
from mlekit.jets import DerivativeError, Jet, Rows, as_jet, as_rows
from mlekit.links import Array

_HALF = -np.log(2)
# So few counts are added up one by one, and a range with a smaller share of its tail is integrated as it is.
_FEW, _NARROW = 30, np.log(0.1)
# Beyond this, squares of slopes are out of range, and second derivatives by jets would be lost in silence.
_STEEP = 1e150
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(24)
_CHECK_NODES, _CHECK_WEIGHTS = np.polynomial.legendre.leggauss(16)
_PANEL, _ROUGH_PANEL = 1e-11, 1e-7
_MOVING = 1e-5
# Rows that are integrated at once: their nodes and derivatives take some memory.
_ROWS = 512


class Place(NamedTuple):
    """A family at parameters, or at linear predictors, one set per row: what is differentiated by."""

    family: GenericLikelihood
    at: tuple[Array, ...]
    linear: bool

    @classmethod
    def of(cls, family: GenericLikelihood, at: Any, n: int, linear: bool) -> "Place":
        """Make one of ``n`` rows."""
        return cls(family, tuple(np.broadcast_to(np.asarray(t, dtype=float), n) for t in at), linear)

    def pick(self, rows: Array) -> "Place":
        """Return some of the rows."""
        return self._replace(at=tuple(t[rows] for t in self.at))

    @property
    def theta(self) -> tuple[Array, ...]:
        """Parameters."""
        if not self.linear:
            return self.at
        return tuple(link.inverse(e) for link, e in zip(self.family.links.values(), self.at, strict=True))

    def density(self, y: Array, order: int) -> Rows:
        """Rows of the log-density."""
        if self.linear:
            return full_rows(self.family, y, *self.at, order=order)
        return self.family.rows(y, *self.at, order=order)


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
            (low & ~high, lambda p, a, b: _tail(p, a, True, order)),
            (~low & high, lambda p, a, b: _tail(p, b, False, order)),
            (low & high, lambda p, a, b: _between(p, a, b, order)),
        ):
            fill(made, where, lambda rows, rows_of=rows_of: rows_of(place.pick(rows), lower[rows], upper[rows]))
    return made


def blank(place: Place, order: int) -> Rows:
    """Rows of zeros, to be filled."""
    k, n = len(place.at), place.at[0].size
    return Rows(np.zeros(n), np.zeros((k, n)) if order > 0 else None, np.zeros((k, k, n)) if order > 1 else None)


def fill(made: Rows, where: Array, rows_of: Any) -> None:
    """Put rows where they belong; ``rows_of`` is given their numbers, and not called if there are none."""
    rows = np.flatnonzero(where)
    if not rows.size:
        return
    for part, found in zip(made, rows_of(rows), strict=True):
        if part is not None:
            part[..., rows] = found


# ---------------------------------------------------------------- one end


def _tail(place: Place, y: Array, above: bool, order: int) -> Rows:
    """Rows of ``log P(Y <= y)``, or above."""
    family, name = place.family, "logsf" if above else "logcdf"
    if getattr(type(family), name) is getattr(GenericLikelihood, name):
        return _integral(place, y, above, order)
    tail = getattr(family, name)
    if order == 0:
        return Rows(np.asarray(tail(y, *place.theta), dtype=float), None, None)
    if family.derivatives == "numeric":
        made = central_differences(tail, y, *place.theta, order=order, domains=tuple(family.domains().values()))
        return chained(family.links.values(), made, place.at, order) if place.linear else made
    try:
        at = (
            linear_jets(tuple(family.links.values()), *place.at, order=order)
            if place.linear
            else jets.variables(*place.at, order=order)
        )
        made = as_rows(tail(y, *at), y.shape, len(at), order)
    except DerivativeError:
        made = _integral(place, y, above, order)
        return made
    known = np.isfinite(made.grad).all(axis=0) & _within_reach(at)
    if made.hess is not None:
        known &= np.isfinite(made.hess).all(axis=(0, 1))
    # A probability of 1 has no slope, though a logarithm inside may have an infinite one.
    fill(made, ~known & (made.value == 0), lambda rows: blank(place.pick(rows), order))
    known |= made.value == 0
    fill(made, ~known & np.isfinite(made.value), lambda rows: _integral(place.pick(rows), y[rows], above, order))
    return made


def integrates(family: GenericLikelihood) -> bool:
    """Whether the derivatives of its tails are integrals: it has none of its own, or jets cannot follow them.

    Examples
    --------
    >>> from mlekit.families import Gamma, Normal
    >>> integrates(Normal()), integrates(Gamma())
    (False, True)
    """
    if type(family).logsf is GenericLikelihood.logsf or type(family).logcdf is GenericLikelihood.logcdf:
        return True
    if family.derivatives == "numeric":
        return False
    eta = jets.variables(*(np.full(1, 0.5) for _ in family.params), order=1)
    theta = linear_jets(tuple(family.links.values()), *(e.value for e in eta), order=1)
    try:
        with np.errstate(all="ignore"):
            family.logsf(np.ones(1), *theta)
    except DerivativeError:
        return True
    return False


def _within_reach(at: tuple[Jet, ...]) -> Array:
    """Whether no derivative was lost because a square is out of range."""
    return np.all([np.abs(x.grad[i]) < _STEEP for i, x in enumerate(at)], axis=0)


def _integral(place: Place, y: Array, above: bool, order: int) -> Rows:
    """Rows of a tail by integrating the density and its derivatives."""
    value = log_probabilities(place.family, y, place.theta, quiet=True)
    if order == 0:
        return Rows(value[int(above)], None, None)
    made = blank(place, order)
    made.value[:], made.grad[:] = value[int(above)], np.nan
    known = np.flatnonzero(np.isfinite(place.theta).all(axis=0) & ~np.isnan(value).any(axis=0))
    for first in range(0, known.size, _ROWS):
        some = known[first : first + _ROWS]
        part = value[0][some], value[1][some]
        found = _slopes(place.pick(some), y[some], above, order, part)
        for whole, piece in zip(made, found, strict=True):
            if whole is not None:
                whole[..., some] = piece
    return made


def _slopes(place: Place, y: Array, above: bool, order: int, value: tuple[Array, ...]) -> Rows:
    """Differentiate the smaller of the two tails under its integral; the other one is what is left of 1."""
    family, k = place.family, len(place.at)
    pairs = [(i, j) for j in range(k) for i in range(j + 1)] if order > 1 else []

    def parts(density: Array, y: Array, row: Array) -> list[Array]:
        some = density > 0
        found = np.zeros((1 + k + len(pairs), *density.shape))
        found[0] = density
        if some.any():
            rows = place.pick(np.broadcast_to(row[:, None], y.shape)[some]).density(y[some], order)
            found[1 : 1 + k, some] = rows.grad * density[some]
            for c, (i, j) in enumerate(pairs, 1 + k):
                found[c, some] = (rows.hess[i, j] + rows.grad[i] * rows.grad[j]) * density[some]
        return list(found)

    panel = _ROUGH_PANEL if family.derivatives == "numeric" else _PANEL
    density = Density(family, place.theta, family.discrete)
    made = integrated(density, y, np.zeros(y.size), 2, parts, panel)
    sums = made.sums.reshape(len(made.sums), -1, 2)
    lower = value[0] < value[1]  # which tail is the smaller one
    sums_of = np.where(lower, sums[:, :, 0], sums[:, :, 1])
    first = sums_of[1 : 1 + k] / sums_of[0]
    second = np.zeros((k, k, y.size))
    for c, (i, j) in enumerate(pairs, 1 + k):
        second[i, j] = second[j, i] = sums_of[c] / sums_of[0]
    # Of the other tail, 1 - exp(value): each derivative is minus that of the smaller, relative to it.
    odds = np.where(lower != above, 1.0, -np.exp(np.minimum(*value) - np.maximum(*value)))
    nothing = sums_of[0] == 0
    grad = np.where(nothing, 0.0, odds * first)
    hess = np.where(nothing, 0.0, odds * second) - grad * grad[:, None] if order > 1 else None
    lost = made.lost | _moving(sums[1 : 1 + k], made)
    grad[:, lost] = np.nan
    return Rows(value[int(above)], grad, hess)


def _moving(slopes: Array, made: Any) -> Array:
    """Whether the derivatives of the whole do not add up to 0: the density ends where a parameter says."""
    weight = np.exp(made.shift.reshape(-1, 2))
    weight = np.where(weight > 0, weight, 0.0)
    size = made.found.size[1 : 1 + len(slopes)].reshape(len(slopes), -1, 2)
    total = np.where(weight > 0, slopes * weight, 0.0).sum(axis=2)
    return np.asarray((np.abs(total) > _MOVING * np.where(weight > 0, size * weight, 0.0).sum(axis=2)).any(axis=0))


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
    below, beyond = _tail(place, a, False, 0).value, _tail(place, b, True, 0).value
    upper, lower = below > _HALF, beyond > _HALF
    for where, ends, signs in (
        (upper, (a, b), (True, True)),
        (lower & ~upper, (b, a), (False, False)),
        (~(upper | lower), (a, b), (False, True)),
    ):

        def difference(rows: Array, ends: Any = ends, signs: Any = signs) -> Rows:
            some = place.pick(rows)
            first, second = (as_jet(_tail(some, e[rows], s, order)) for e, s in zip(ends, signs, strict=True))
            return as_rows(_difference(first, second, signs[0] == signs[1]), rows.shape, len(place.at), order)

        fill(made, where, difference)
    if place.family.discrete:
        return made
    tail = np.where(upper, _tail(place, a, True, 0).value, np.where(lower, _tail(place, b, False, 0).value, 0.0))
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
