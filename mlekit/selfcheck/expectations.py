"""Expectations under the density of one response, by numerical integration or summation.

Nothing is asked of the density but its logarithm. Its largest value is looked for from a few hints, as the parameters
and the responses are. The line is cut there, where the density begins and ends, and where the distribution function is
wanted. Between two cuts the integral is taken in a coordinate that goes to infinity at both, as the logarithm of the
distance does, so that a peak, a singularity at an edge and a heavy tail are all smooth; panels are halved until the sum
stands still.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy import special

from mlekit.links import Array

Function = Callable[[Array], Array]

_FURTHEST = 1e300
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(16)
_TOLERANCE = 1e-13
_HALVINGS = 60
_MOST_PANELS = 20_000
_MOST_TERMS = 1 << 21
_BLOCK = 1 << 17
# An integral, or sum, with a larger share than this from its outermost part is not finished there.
_OPEN = 1e-7
_FAR = 1e100


class Functions(NamedTuple):
    """Functions of which the expected products are wanted: how many, and ``(m,) -> (number, m)``."""

    number: int
    of: Function


class Expectations(NamedTuple):
    """Integrals, or sums, of a density; NaN where they do not converge, or have not converged in 16 digits.

    Attributes
    ----------
    total : float
        Of the density itself, 1 if it is one, infinite if it does not converge. What follows is not divided by it.
    centre : float
        Where the density is largest, as far as was seen: moments are about it.
    first, second : float
        Of ``y - centre``, and of its square.
    below : (m,) array
        Of the density, up to each of the points asked for and with it.
    products : (k, k) array
        Of the outer products of the k functions asked for.
    """

    total: float
    centre: float
    first: float
    second: float
    below: Array
    products: Array

    def unknown(self) -> "Expectations":
        """Return the same with nothing known."""
        return Expectations(np.nan, self.centre, np.nan, np.nan, self.below * np.nan, self.products * np.nan)

    @property
    def mean(self) -> float:
        """Mean under the density divided by its total."""
        with np.errstate(all="ignore"):
            return float(self.centre + self.first / self.total)

    @property
    def variance(self) -> float:
        """Variance under the density divided by its total."""
        with np.errstate(all="ignore"):
            return float(self.second / self.total - (self.first / self.total) ** 2)


def expectations(
    log_density: Function, hints: Array, points: Array, functions: Functions, discrete: bool
) -> Expectations:
    """Integrate a density over the line, or sum it over the whole numbers.

    Parameters
    ----------
    log_density : callable
        ``(m,) -> (m,)``; minus infinity or NaN where there is no density.
    hints : (h,) array
        Numbers that are not far from where the density is, compared with its width or with zero.
    points : (m,) array
        Where the distribution function is wanted.
    functions : Functions
        Called where there is a density alone.
    discrete : bool
        Whether to sum over the whole numbers.

    Examples
    --------
    >>> import numpy as np
    >>> square = Functions(1, np.atleast_2d)
    >>> found = expectations(lambda y: -abs(y - 3) - np.log(2), np.ones(1), np.array([3.0]), square, False)
    >>> round(found.total, 12), round(found.mean, 12), round(found.variance, 12), found.below.round(12).tolist()
    (1.0, 3.0, 2.0, [0.5])
    >>> found.products.round(12).tolist()
    [[11.0]]
    """
    with np.errstate(all="ignore"):
        add = _sum if discrete else _integrate
        return add(log_density, candidates(hints), np.asarray(points, dtype=float), functions)


def candidates(hints: Array) -> Array:
    """Points at which a density is looked for: the hints, and numbers of every size."""
    sizes = 10.0 ** np.arange(-300, 301, 0.5)
    near = 10.0 ** np.arange(-10, 10.25, 0.25)
    finite = hints[np.isfinite(hints)]
    return np.unique(np.concatenate([[0.0], *(np.append(-s, s) for s in (sizes, near, finite)), finite]))


def _density(log_density: Function, y: Array) -> Array:
    """Log-density, with minus infinity where it is not a number."""
    value = log_density(y)
    return np.where(np.isnan(value), -np.inf, value)


def _largest(log_density: Function, y: Array, whole: bool) -> float:
    """Where the density is largest, from the best of some points inwards."""
    while True:
        value = _density(log_density, y)
        best = int(np.argmax(value))
        left, right = y[max(best - 1, 0)], y[min(best + 1, y.size - 1)]
        if value[best] == np.inf or not right - left > (2 if whole else 1e-14 * abs(y[best])):
            return float(y[best])
        inside = np.linspace(left, right, 17)
        new = np.unique(np.append(np.rint(inside) if whole else inside, y[best]))
        if np.array_equal(new, y):
            return float(y[best])
        y = new


def _components(y: Array, weight: Array, centre: float, functions: Functions) -> Array:
    """What is added up, ``(3 + k * k, m)``: 0 wherever the density is, whatever the functions are there."""
    distance = y - centre
    moments = [weight, distance * weight, distance * (distance * weight)]
    products = np.zeros((functions.number**2, y.size))
    there = weight > 0
    if functions.number and there.any():
        values = functions.of(y[there])
        products[:, there] = [a * (b * weight[there]) for a in values for b in values]
    parts: Array = np.where(there, np.stack([*moments, *products]), 0.0)
    return parts


def _made(totals: Array, centre: float, below: Array, k: int) -> Expectations:
    return Expectations(float(totals[0]), centre, float(totals[1]), float(totals[2]), below, totals[3:].reshape(k, k))


# ---------------------------------------------------------------- integrals


class _Panels(NamedTuple):
    """Intervals of the coordinate, each in the piece of the line between two cuts."""

    piece: Array
    left: Array
    right: Array


def _integrate(log_density: Function, y: Array, points: Array, functions: Functions) -> Expectations:
    y = y[np.abs(y) <= _FURTHEST]
    centre = _largest(log_density, y, whole=False)
    ends = _ends(log_density, y)
    inside = points[(points > ends[0]) & (points < ends[1])]
    cuts = np.unique([*ends, centre, *inside])
    low, high = cuts[:-1], cuts[1:]
    width = np.log(high - low)

    def at(panels: _Panels) -> Array:
        """Integrals over panels, by components."""
        middle, half = (panels.left + panels.right) / 2, (panels.right - panels.left) / 2
        t = (middle[:, None] + half[:, None] * _NODES).ravel()
        piece = np.repeat(panels.piece, _NODES.size)
        share = np.exp(width[piece] + special.log_expit(-np.abs(t)))
        where = np.where(t < 0, low[piece] + share, high[piece] - share)
        slope = width[piece] + special.log_expit(t) + special.log_expit(-t)
        # A distance that is lost in the last bit of the cut, where the density may be infinite, is no distance.
        lost = (where == low[piece]) | (where == high[piece])
        weight = np.exp(_density(log_density, where) + slope)
        weight[lost & (weight == np.inf)] = 0.0
        parts = _components(where, weight, centre, functions)
        return (parts.reshape(len(parts), -1, _NODES.size) @ _WEIGHTS) * half

    panels = _first_panels(cuts, width)
    coarse = at(panels)
    far = np.abs(coarse)[:, _outermost(panels, cuts, True)].sum(axis=1)
    near = np.abs(coarse)[:, _outermost(panels, cuts, False)].sum(axis=1)
    by_piece, size = _refine(at, panels, coarse, len(width))
    totals = np.where(far + near > _OPEN * size, np.nan, by_piece.sum(axis=1))
    if far[0] > _OPEN * size[0]:
        totals[0] = np.inf
    cumulated = np.concatenate([[0.0], np.cumsum(by_piece[0])])
    return _made(totals, centre, cumulated[np.searchsorted(cuts, np.clip(points, *ends))], functions.number)


def _ends(log_density: Function, y: Array) -> tuple[float, float]:
    """Where the density begins and ends, to the last bit."""
    there = np.flatnonzero(_density(log_density, y) > -np.inf)
    if not there.size:
        return -1.0, 1.0

    def edge(inside: float, outside: float) -> float:
        while inside < (middle := inside / 2 + outside / 2) < outside or outside < middle < inside:
            if _density(log_density, np.array([middle]))[0] > -np.inf:
                inside = middle
            else:
                outside = middle
        return inside

    first, last = there[0], there[-1]
    low = edge(y[first], y[first - 1]) if first else y[0]
    high = edge(y[last], y[last + 1]) if last + 1 < y.size else y[-1]
    return (low, high) if low < high else (low - 1, high + 1)


def _first_panels(cuts: Array, width: Array) -> _Panels:
    """Panels of about one e-folding of the distance to a cut, down to the last bit of the cut."""
    reach = np.log(np.maximum(np.abs(cuts) * 1e-17, 1e-305))
    edges = [
        np.linspace(-down, up, max(int(down + up), 2))
        for down, up in zip(np.maximum(width - reach[:-1], 5), np.maximum(width - reach[1:], 5), strict=True)
    ]
    piece = np.repeat(np.arange(len(edges)), [e.size - 1 for e in edges])
    return _Panels(piece, np.concatenate([e[:-1] for e in edges]), np.concatenate([e[1:] for e in edges]))


def _outermost(panels: _Panels, cuts: Array, far: bool) -> Array:
    """Mask the panels beside the ends of the line that are, or are not, far away: by size there, by last bits here."""
    lowest, highest = panels.piece == 0, panels.piece == len(cuts) - 2
    if far:
        lowest &= (panels.right <= 4) & (cuts[0] < -_FAR)
        highest &= (panels.left >= -4) & (cuts[-1] > _FAR)
    else:
        lowest &= (panels.left < panels.left[0] + 3) & (cuts[0] >= -_FAR)
        highest &= (panels.right > panels.right[-1] - 3) & (cuts[-1] <= _FAR)
    return lowest | highest


def _refine(at: Callable[[_Panels], Array], panels: _Panels, coarse: Array, pieces: int) -> tuple[Array, Array]:
    """Integrals by components and pieces, and the sizes of the components, with panels halved where they need it."""
    total = np.zeros((len(coarse), pieces))
    size = np.abs(coarse).sum(axis=1)
    for _ in range(_HALVINGS):
        middle = (panels.left + panels.right) / 2
        halves = panels._replace(right=middle), panels._replace(left=middle)
        fine = [at(half) for half in halves]
        both = fine[0] + fine[1]
        size = np.maximum(size, np.abs(both).sum(axis=1))
        error = np.abs(both - coarse)
        open_ = ~((error <= _TOLERANCE * size[:, None]) | ~np.isfinite(error)).all(axis=0)
        if open_.sum() > _MOST_PANELS:
            open_[:] = False
        np.add.at(total.T, panels.piece[~open_], both[:, ~open_].T)
        if not open_.any():
            return total, size
        panels = _Panels(*(np.concatenate([h[open_] for h in pair]) for pair in zip(*halves, strict=True)))
        coarse = np.concatenate([part[:, open_] for part in fine], axis=1)
    np.add.at(total.T, panels.piece, coarse.T)
    return total, size


# ---------------------------------------------------------------- sums


def _sum(log_density: Function, y: Array, points: Array, functions: Functions) -> Expectations:
    y = np.unique(np.rint(y[np.abs(y) < 2.0**52]))
    centre = _largest(log_density, y, whole=True)
    value = _density(log_density, np.append(y, centre))
    # Where a hint has found any of it, the sum does not stop for a gap on the way.
    reach = np.max(np.abs(y - centre), initial=100.0, where=value[:-1] > value[-1] - 60)
    ordered = np.sort(points)
    below = np.zeros(points.size + 1)
    totals = np.zeros(3 + functions.number**2)
    sizes = np.zeros_like(totals)

    def add(first: float, sign: int) -> tuple[Array, float]:
        """Add a block of terms to the sums; what it adds, and where the next begins."""
        step = np.arange(first, first + min(max(64.0, first), _BLOCK))
        where = centre + sign * step
        parts = _components(where, np.exp(_density(log_density, where)), centre, functions)
        np.add.at(below, np.searchsorted(ordered, where), parts[0])
        block = np.abs(parts).sum(axis=1)
        np.add(totals, parts.sum(axis=1), out=totals)
        np.add(sizes, block, out=sizes)
        return block * (step[-1] / step.size), step[-1] + 1

    rest = np.zeros_like(totals)  # about what is still to come, as if the terms fell no faster than a power
    for sign, first in ((1, 0.0), (-1, 1.0)):
        left = np.full_like(totals, np.inf)
        while first < _MOST_TERMS and (first <= reach or np.any(left > 1e-17 * sizes)):
            left, first = add(first, sign)
        rest += left
    totals[~(rest <= _OPEN * sizes)] = np.nan
    if not sizes[0] < 1.5:
        totals[0] = np.inf  # or as good as: whatever is still to come, this is not a density
    return _made(totals, centre, np.cumsum(below)[np.searchsorted(ordered, points)], functions.number)
