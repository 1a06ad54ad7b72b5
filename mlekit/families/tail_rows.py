"""Log-probabilities of tails with their derivatives, for any family.

There is the family's own ``logcdf`` or ``logsf``, differentiated by jets. Where it has none, or jets cannot follow it,
the density and its derivatives are integrated: the derivative of an integral is the integral of the derivative, if the
ends of the density do not move with the parameters (which is checked).
"""

from typing import Any, NamedTuple

import numpy as np

from mlekit import jets
from mlekit.differences import central_differences
from mlekit.families.base import GenericLikelihood
from mlekit.families.combined import chained, full_rows, linear_jets
from mlekit.families.landscape import Density
from mlekit.families.numeric import integrated, log_probabilities
from mlekit.jets import DerivativeError, Jet, Rows, as_rows
from mlekit.links import Array
from mlekit.messages import warn

# Jets that take a term per count are left to so few.
_FEW = 30
# Beyond this, squares of slopes are out of range, and second derivatives by jets would be lost in silence.
_STEEP = 1e150
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


def tail_rows(place: Place, y: Array, above: bool, order: int) -> Rows:
    """Rows of ``log P(Y <= y)``, or above."""
    family, name = place.family, "logsf" if above else "logcdf"
    if getattr(type(family), name) is getattr(GenericLikelihood, name):
        return _integral(place, y, above, order)
    if order and getattr(family, "tails_by_terms", False):
        return _by_terms(place, y, above, order)
    tail = getattr(family, name)
    if order == 0:
        return Rows(np.asarray(tail(y, *place.theta), dtype=float), None, None)
    if family.derivatives == "numeric":
        made = central_differences(tail, y, *place.theta, order=order, domains=tuple(family.domains().values()))
        return chained(family.links.values(), made, place.at, order) if place.linear else made
    return _by_jets(place, y, above, order)


def _by_jets(place: Place, y: Array, above: bool, order: int) -> Rows:
    """Rows by the family's own tail; where jets cannot follow it, or lose it, by integrals."""
    family = place.family
    tail = family.logsf if above else family.logcdf
    try:
        at = (
            linear_jets(tuple(family.links.values()), *place.at, order=order)
            if place.linear
            else jets.variables(*place.at, order=order)
        )
        made = as_rows(tail(y, *at), y.shape, len(at), order)
    except DerivativeError:
        return _integral(place, y, above, order, quiet=True)
    known = np.isfinite(made.grad).all(axis=0) & _within_reach(at)
    if made.hess is not None:
        known &= np.isfinite(made.hess).all(axis=(0, 1))
    # A probability of 1 has no slope, though a logarithm inside may have an infinite one.
    fill(made, ~known & (made.value == 0), lambda rows: blank(place.pick(rows), order))
    known |= made.value == 0
    fill(
        made,
        ~known & np.isfinite(made.value),
        lambda rows: _integral(place.pick(rows), y[rows], above, order, quiet=True),
    )
    return made


def _by_terms(place: Place, y: Array, above: bool, order: int) -> Rows:
    """Rows of a family whose jets take a term per count: where these are many, a few of them stand for all."""
    made, few = blank(place, order), y <= _FEW
    fill(made, few, lambda rows: _by_jets(place.pick(rows), y[rows], above, order))
    fill(made, ~few, lambda rows: _integral(place.pick(rows), y[rows], above, order, quiet=True))
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


def _integral(place: Place, y: Array, above: bool, order: int, quiet: bool = False) -> Rows:
    """Rows of a tail by integrating the density and its derivatives; NaN, with a warning, if none is found."""
    value = log_probabilities(place.family, y, place.theta, quiet=True)
    if not quiet and np.isnan(value).all() and np.isfinite(place.theta).all():
        log_probabilities(place.family, y[:1], tuple(t[:1] for t in place.theta))  # which says why
    if order == 0:
        return Rows(value[int(above)], None, None)
    made = blank(place, order)
    made.value[:], made.grad[:] = value[int(above)], np.nan
    known = np.flatnonzero(np.isfinite(place.theta).all(axis=0) & ~np.isnan(value).any(axis=0))
    for first in range(0, known.size, _ROWS):
        some = known[first : first + _ROWS]
        part = value[0][some], value[1][some]
        found = _slopes(place.pick(some), y[some], above, order, part, quiet)
        for whole, piece in zip(made, found, strict=True):
            if whole is not None:
                whole[..., some] = piece
    return made


def _slopes(place: Place, y: Array, above: bool, order: int, value: tuple[Array, ...], quiet: bool) -> Rows:
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
    moving = _moving(sums[1 : 1 + k], made) & ~made.lost
    if moving.all() and not quiet:
        warn(
            f"the derivatives of a tail of {family.title} were not found by integrating those of its density: they do "
            "not add up to 0, as where an end of the density moves with a parameter. Define logcdf and logsf in the "
            "family",
            RuntimeWarning,
        )
    lost = made.lost | moving
    grad[:, lost] = np.nan
    if hess is not None:
        hess[..., lost] = np.nan
    return Rows(value[int(above)], grad, hess)


def _moving(slopes: Array, made: Any) -> Array:
    """Whether the derivatives of the whole do not add up to 0: the density ends where a parameter says."""
    weight = np.exp(made.shift.reshape(-1, 2))
    weight = np.where(weight > 0, weight, 0.0)
    size = made.found.size[1 : 1 + len(slopes)].reshape(len(slopes), -1, 2)
    total = np.where(weight > 0, slopes * weight, 0.0).sum(axis=2)
    return np.asarray((np.abs(total) > _MOVING * np.where(weight > 0, size * weight, 0.0).sum(axis=2)).any(axis=0))
