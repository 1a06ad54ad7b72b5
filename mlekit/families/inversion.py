"""Quantiles from the panels of an integrated density: the panel that a share falls into, and the place inside it."""

import numpy as np

from mlekit.families.landscape import Density
from mlekit.families.quadrature import NODES, Found, Panels, among_counts, halves
from mlekit.links import Array

# Shares that differ by rounding alone are the same share.
_SAME = 1e-11
_STEPS = 64
_BLOCK = 1 << 15

_LEGENDRE = np.linalg.inv(np.polynomial.legendre.legvander(NODES, NODES.size - 1))
#: From the values of a polynomial at the nodes to the Legendre coefficients of its integral from -1.
_INTEGRAL = np.stack([np.polynomial.legendre.legint(column, lbnd=-1) for column in _LEGENDRE.T], axis=1)


def quantiles_of(density: Density, found: Found, shift: Array, share: Array, which: Array) -> Array:
    """Return the quantile of each share, of the distribution that ``which`` names.

    Parameters
    ----------
    density : Density
    found : Found
        Its panels, in groups of even numbers ``2 row``.
    shift : (groups,) array
        Logarithms of what the integrals are relative to.
    share, which : (m,) arrays
    """
    blocks = [slice(i, i + _BLOCK) for i in range(0, share.size, _BLOCK)]
    return np.concatenate([_quantiles(density, found, shift, share[b], which[b]) for b in blocks] or [np.zeros(0)])


def _quantiles(density: Density, found: Found, shift: Array, share: Array, which: Array) -> Array:
    """Count from the nearer end: a share next to 1 is what is left of it."""
    value = np.full(share.shape, np.nan)
    for upward in (True, False):
        mine = np.flatnonzero((share > 0) & (share < 1) & ((share <= 0.5) == upward))
        if not mine.size:
            continue
        wanted = share[mine] if upward else 1 - share[mine]
        if density.discrete:
            wanted = wanted * (1 - _SAME) if upward else wanted * (1 + _SAME) + 2.0**-53
        order, cumulated, first, last = _cumulated(found, shift, density.rows, upward)
        place = _search(cumulated, first[which[mine]], last[which[mine]], wanted)
        before = np.where(place > first[which[mine]], cumulated[np.maximum(place - 1, 0)], 0.0)
        rest = (wanted - before) / np.exp(shift[2 * which[mine]])
        invert = _among_counts if density.discrete else _on_the_line
        value[mine] = invert(density, found, shift, order[place], rest, upward)
    return value


def _cumulated(found: Found, shift: Array, rows: int, upward: bool) -> tuple[Array, Array, Array, Array]:
    """Panels in order from one end, by rows; sums up to and with each; and the first and the last of each row."""
    panels, row = found.panels, found.panels.group // 2
    with np.errstate(all="ignore"):
        there = panels.start + panels.sign * np.exp((panels.left + panels.right) / 2)
    position = panels.left if np.all(panels.start == 0) and np.all(panels.sign == 1) else there
    order = np.lexsort((position if upward else -position, row))
    mass = found.integral[0][order] * np.exp(shift[panels.group[order]])
    count = np.bincount(row, minlength=rows)
    last = np.cumsum(count) - 1
    first = last - count + 1
    # Each row alone: what is small in one is not to be lost beside the others.
    padded = np.zeros((rows, max(int(count.max(initial=0)), 1)))
    place = np.arange(order.size) - first[row[order]]
    padded[row[order], place] = mass
    return order, np.cumsum(padded, axis=1)[row[order], place], first, np.maximum(last, first)


def _search(cumulated: Array, first: Array, last: Array, wanted: Array) -> Array:
    """Return the first place in a row's stretch at which what is cumulated reaches a share; the last if none does."""
    low, high = first - 1, last.copy()
    while np.any(open_ := low + 1 < high):
        middle = (low + high) // 2
        there = cumulated[np.clip(middle, 0, cumulated.size - 1)] >= wanted
        high = np.where(open_ & there, middle, high)
        low = np.where(open_ & ~there, middle, low)
    return high


def _on_the_line(density: Density, found: Found, shift: Array, at: Array, rest: Array, upward: bool) -> Array:
    """Solve for the place in a panel by the integral of the polynomial through its nodes: Newton steps, kept inside."""
    panels = found.panels.pick(at)
    coefficients = _INTEGRAL @ found.values[at].T
    slopes = _LEGENDRE @ found.values[at].T
    whole = np.polynomial.legendre.legval(1.0, coefficients)
    # Where y falls as t grows, the share is counted from the other end.
    forward = (panels.sign > 0) == upward
    wanted = np.where(forward, rest, whole - rest)
    low, high = -np.ones(at.size), np.ones(at.size)
    x = np.clip(2 * wanted / np.where(whole > 0, whole, 1.0) - 1, -1, 1)
    for _ in range(_STEPS):
        gap = np.polynomial.legendre.legval(x, coefficients, tensor=False) - wanted
        low, high = np.where(gap <= 0, x, low), np.where(gap >= 0, x, high)
        slope = np.polynomial.legendre.legval(x, slopes, tensor=False)
        with np.errstate(all="ignore"):
            new = x - gap / slope
        new = np.where((new > low) & (new < high), new, (low + high) / 2)
        moved = np.abs(new - x).max(initial=0.0)
        x = new
        if moved < 1e-15:
            break
    middle, half = (panels.left + panels.right) / 2, (panels.right - panels.left) / 2
    return panels.start + panels.sign * np.exp(middle + half * x)


def _among_counts(density: Density, found: Found, shift: Array, at: Array, rest: Array, upward: bool) -> Array:
    """Halve runs of counts until the one that reaches the share is left."""
    panels = found.panels.pick(at)
    while np.any(panels.right - panels.left > 1):
        lower, upper = halves(panels, True)
        lower = Panels(lower.group, lower.start, lower.sign, lower.left, np.maximum(lower.right, lower.left + 1))
        near = lower if upward else upper
        y, _, high, _ = among_counts(near._replace(right=np.maximum(near.right, near.left + 1)))
        mass = (np.exp(density.log(y, panels.group // 2) - shift[panels.group][:, None]) * high).sum(axis=1)
        single = panels.right - panels.left <= 1
        here = (mass >= rest) | single
        rest = np.where(here, rest, rest - mass)
        far = upper if upward else lower
        panels = Panels(*(np.where(here, a, b) for a, b in zip(near, far, strict=True)))
    return panels.left
