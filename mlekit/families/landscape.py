"""Where a density of which nothing is known lies: its largest value, its ends, its width; many rows at once."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mlekit.families.quadrature import Panels
from mlekit.links import Array

if TYPE_CHECKING:
    from mlekit.families.base import GenericLikelihood

#: Beyond this, an end of a density is one of the numbers and not of the density.
FAR = 1e140
_FURTHEST, _LARGEST_COUNT = 1e300, 2.0**52
_SIZES = np.array([1e-300, 1e-150, 1e-75, 1e-40, 1e-20, 1e-12, 1e-8, 1e-5, 1e-3, 0.03, 0.2, 0.5, 1.0, 3.0, 20.0, 300.0])
_SIZES = np.append(_SIZES, [1e4, 1e6, 1e9, 1e12, 1e20, 1e40, 1e75, 1e150, 1e300])
# Edges of the first panels, as logarithms of the distance relative to the width.
_STEPS = np.array(
    [0.0, 1.0, 2.0, 3.0, 4.5, 6.5, 10.0, 16.0, 25.0, 40.0, 64.0, 100.0, 160.0, 250.0, 400.0, 700.0, 1400.0]
)
_EDGES = np.concatenate([[-1400.0, -700.0, -400.0, -200.0, -100.0, -50.0, -25.0, -12.0, -6.0, -2.5, -1.0], _STEPS])
_DENSE = np.concatenate([_EDGES[:7], np.arange(-12.0, 64.0, 0.5), _EDGES[-7:]])
#: Logarithm of the smallest distance from 0: products with denormal numbers are not to be trusted.
LOWEST = -704.0
# A panel whose edges are so far below the largest, as logarithms, adds nothing.
_NOTHING = 50.0
_BESIDE = np.concatenate([[0.0], 10.0 ** np.arange(-14, 0), -(10.0 ** np.arange(-14, 0))])
_NARROWINGS = 32


class Density(NamedTuple):
    """A family at parameters of which each row is another distribution."""

    family: "GenericLikelihood"
    theta: tuple[Array, ...]
    discrete: bool

    @property
    def rows(self) -> int:
        """How many distributions there are."""
        return int(self.theta[0].size)

    def log(self, y: Array, row: Array | None = None) -> Array:
        """Log-density of ``(p, m)`` responses, minus infinity where there is none."""
        row = np.arange(self.rows) if row is None else row
        flat, rows = y.ravel(), np.repeat(row, y.shape[1])
        inside = np.isfinite(flat)
        inside[inside] = np.asarray(self.family.in_support(flat[inside]))
        value = np.full(flat.shape, -np.inf)
        if inside.any():
            found = self.family.logpdf(flat[inside], *(t[rows[inside]] for t in self.theta))
            value[inside] = np.where(np.isnan(found), -np.inf, found)
        return value.reshape(y.shape)

    def pick(self, rows: Array) -> "Density":
        """Return the distributions of some rows."""
        return self._replace(theta=tuple(t[rows] for t in self.theta))


# ---------------------------------------------------------------- the order of the doubles


def _keys(y: Array) -> Array:
    """Return whole numbers in the order of the doubles: half-way between two of them is half-way in digits."""
    bits = np.ascontiguousarray(y, dtype=float).view(np.int64)
    return np.where(bits >= 0, bits, -(bits & np.int64(2**63 - 1)))


def _between(a: Array, b: Array) -> Array:
    """Return the double half-way, in digits, between two."""
    ka, kb = _keys(a), _keys(b)
    key = (ka >> 1) + (kb >> 1) + (ka & kb & 1)
    size = np.abs(key).view(float)
    return np.where(key < 0, -size, size)


def centre(density: Density) -> Array:
    """Where each density is (nearly) largest, from the best of some points inwards, ``(n,)``."""
    y = _candidates(density)
    value = density.log(y)
    best = value.argmax(axis=1)
    middle = np.take_along_axis(y, best[:, None], 1)[:, 0]
    left = np.where(y < middle[:, None], y, -np.inf).max(axis=1)
    right = np.where(y > middle[:, None], y, np.inf).min(axis=1)
    left, right = (np.where(np.isfinite(end), end, middle) for end in (left, right))
    active = np.flatnonzero(np.isfinite(value.max(axis=1)))
    for _ in range(_NARROWINGS):
        if not active.size:
            break
        part = density.pick(active)
        a, m, b = left[active], middle[active], right[active]
        a2, b2 = _between(a, m), _between(m, b)
        points = np.stack([a, _between(a, a2), a2, _between(a2, m), m, _between(m, b2), b2, _between(b2, b), b], axis=1)
        if density.discrete:
            points = np.rint(points)
        value = part.log(points)
        best = np.clip(value.argmax(axis=1), 1, 7)
        rows = np.arange(active.size)
        left[active], middle[active], right[active] = (points[rows, best + i] for i in (-1, 0, 1))
        fall = value[rows, best] - np.minimum(value[rows, best - 1], value[rows, best + 1])
        active = active[~(fall < 0.05) & (left[active] < right[active]) & (value[rows, best] < np.inf)]
    return np.where(np.abs(middle) < 1e-300, 0.0, middle)


def _candidates(density: Density) -> Array:
    """Points at which densities are looked for, ``(n, c)``: numbers of every size, and what parameters suggest."""
    theta = density.theta
    near = [f for t in theta for f in (t, -t, 1 / t, np.exp(t))]
    near += [a + sign * b for i, a in enumerate(theta) for j, b in enumerate(theta) if i != j for sign in (-1, 1)]
    sizes = np.broadcast_to(np.concatenate([-_SIZES, [0.0], _SIZES]), (density.rows, 2 * _SIZES.size + 1))
    near += [np.full(density.rows, getattr(density.family, name)) for name in density.family.constants]
    y = np.concatenate([sizes, np.stack(near, axis=1)], axis=1)
    y = np.where(np.abs(y) <= (_LARGEST_COUNT if density.discrete else _FURTHEST), y, 0.0)
    return np.sort(np.rint(y) if density.discrete else y, axis=1)


def end(density: Density, inside: Array, sign: int) -> Array:
    """Where each density ends on one side of a point where there is some, to the last digit; infinite if far away."""
    furthest, far = (_LARGEST_COUNT, _LARGEST_COUNT / 4) if density.discrete else (_FURTHEST, FAR)
    low, high = inside.copy(), np.full(density.rows, sign * furthest)
    low = np.where(density.log(high[:, None])[:, 0] > -np.inf, high, low)
    for _ in range(66):
        middle = np.rint(_between(low, high)) if density.discrete else _between(low, high)
        there = density.log(middle[:, None])[:, 0] > -np.inf
        low, high = np.where(there, middle, low), np.where(there, high, middle)
    # A density that has become too small to be told from none has not ended there.
    beyond = low + sign if density.discrete else np.nextafter(low, sign * np.inf)
    ended = ~np.asarray(density.family.in_support(beyond)) | (np.abs(low) < 1e-300)
    top = density.log(inside[:, None])[:, 0]
    ended |= density.log(low[:, None])[:, 0] > np.where(np.isfinite(top), top, 0.0) - 700
    return np.where(ended & (np.abs(low) < far), np.where(np.abs(low) < 1e-300, 0.0, low), sign * np.inf)


# ---------------------------------------------------------------- first panels


class Rays(NamedTuple):
    """Stretches of the line on one side of a cut, each ``(r,)``."""

    row: Array
    start: Array
    sign: Array
    length: Array

    def at(self, t: Array) -> Array:
        """Responses at logarithms of the distance, ``(r, m)``."""
        return self.start[:, None] + self.sign[:, None] * np.exp(t)


def rays(cuts: Array) -> Rays:
    """Both sides of each cut, as far as half-way to the next.

    Parameters
    ----------
    cuts : (n, m) array
        In ascending order; infinite ones are none, and the line goes on to them.
    """
    found = []
    for i in range(cuts.shape[1] - 1):
        a, b = cuts[:, i], cuts[:, i + 1]
        closed = np.isfinite(a) & np.isfinite(b)
        half = np.where(closed, b / 2 - a / 2, _FURTHEST)
        for start, sign in ((a, 1.0), (b, -1.0)):
            row = np.flatnonzero(np.isfinite(start) & (a < b))
            found.append(Rays(row, start[row], np.full(row.size, sign), half[row]))
    return Rays(*map(np.concatenate, zip(*found, strict=True)))


def widths(density: Density, along: Rays) -> Array:
    """Logarithms of the distance on each ray at which density times distance is largest."""
    last = np.log(along.length)
    first = np.where(along.start == 0, LOWEST, np.log(np.maximum(np.abs(along.start), 1e-300)) - 40)
    first = np.minimum(first, last - 1)
    t = first[:, None] + (last - first)[:, None] * np.linspace(0, 1, 25)
    rows = np.arange(t.shape[0])
    for _ in range(4):
        value = density.log(along.at(t), along.row) + t
        best = np.clip(value.argmax(axis=1), 1, t.shape[1] - 2)
        middle = t[rows, best]
        t = np.linspace(t[rows, best - 1], t[rows, best + 1], 9, axis=1)
    return middle


def line_panels(
    density: Density, cuts: Array, at: Array, depth: Array, order: int, dense: bool
) -> tuple[Panels, Array]:
    """First panels between cuts, with their groups, ``2 row`` up to ``at`` and ``2 row + 1`` beyond.

    Parameters
    ----------
    density : Density
    cuts : (n, m) array
    at : (n,) array
        Where another cut is wanted.
    depth : (n,) array
        How many powers of e below the largest an integrand still counts.
    order : int
        Of the highest moment that is wanted.
    dense : bool
        Whether to leave out nothing and take small steps.

    Returns
    -------
    panels : Panels
    shift : (2 n,) array
        Logarithm of the largest value seen in each group.
    """
    along = rays(cuts)
    width, last = widths(density, along), np.log(along.length)
    lowest = np.where(along.start == 0, LOWEST, np.minimum(width, np.log(np.abs(along.start) + 1e-300)) - 45)
    gap = (at[along.row] - along.start) * along.sign
    split = np.log(gap)[:, None]
    edges = width[:, None] + (_DENSE if dense else _EDGES)
    # Far out, the density beside the cut may fall within a tiny part of its distance.
    edges = np.append(edges, np.where(np.isfinite(split), split + (_BESIDE if dense else 0.0), lowest[:, None]), axis=1)
    edges = np.sort(np.clip(edges, np.minimum(lowest, last)[:, None], last[:, None]), axis=1)
    value = density.log(along.at(edges), along.row) + edges
    value[np.isnan(value)] = -np.inf
    upward = (along.sign > 0)[:, None]
    below = np.where(upward, edges[:, 1:] <= split, (edges[:, :-1] >= split) | (gap <= 0)[:, None])
    group = 2 * along.row[:, None] + ~below
    panels = Panels(
        group.ravel(),
        np.repeat(along.start, group.shape[1]),
        np.repeat(along.sign, group.shape[1]),
        edges[:, :-1].ravel(),
        edges[:, 1:].ravel(),
    )
    if dense:
        depth = np.full(density.rows, np.inf)
    far = np.clip(edges - width[:, None], 0, None)
    return _worth(panels, [(v[:, :-1], v[:, 1:]) for v in (value + power * far for power in range(order + 1))], depth)


def count_panels(density: Density, cuts: Array, at: Array, depth: Array, order: int) -> tuple[Panels, Array]:
    """First runs of counts, growing from each cut, with groups as in :func:`line_panels`."""
    sizes = np.append([0.0, 16.0], 2.0 ** np.arange(5, 52))
    middle = cuts[:, 0]
    edges = (cuts[:, :, None] + np.concatenate([-sizes[:0:-1], sizes])).reshape(len(cuts), -1)
    edges = np.sort(np.append(edges, np.where(np.isfinite(at), np.floor(at) + 1, middle)[:, None], axis=1), axis=1)
    left, right = edges[:, :-1], edges[:, 1:]
    rows = np.arange(density.rows)
    first, last = (density.log(end_, rows) + np.log(right - left) for end_ in (left, right - 1))
    group = 2 * rows[:, None] + (left > at[:, None])
    zero = np.zeros(group.size)
    panels = Panels(group.ravel(), zero, zero + 1, left.ravel(), right.ravel())
    far = np.log(np.maximum(np.abs(edges - middle[:, None]), 16.0) / 16)
    return _worth(panels, [(first + p * far[:, :-1], last + p * far[:, 1:]) for p in range(order + 1)], depth)


def _worth(panels: Panels, sizes: list[tuple[Array, Array]], depth: Array) -> tuple[Panels, Array]:
    """Leave out the panels on whose edges no moment has anything; return the largest logarithms too.

    Parameters
    ----------
    panels : Panels
    sizes : list of pairs of arrays
        Logarithms of each moment's integrand on the left and the right edges of the panels.
    depth : (n,) array
    """
    limit, wanted, tops = _NOTHING + np.repeat(depth, 2), np.zeros(panels.group.size, dtype=bool), []
    for edges in sizes:
        value = np.maximum(*edges).ravel()
        value[np.isnan(value)] = -np.inf
        tops.append(np.full(limit.size, -np.inf))
        np.maximum.at(tops[-1], panels.group, value)
        wanted |= (value > (tops[-1] - limit)[panels.group]) | (limit[panels.group] == np.inf)
    return panels.pick(wanted & (panels.right > panels.left)), tops[0]
