"""Integrals and sums over many panels at once, each halved until it stands still.

A panel is an interval of a coordinate, or a run of whole numbers. On either, the same few nodes and weights give the
integral of a polynomial through the nodes; how much of the highest degrees that polynomial has is the measure of error.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from mlekit.links import Array

_COUNTS, _NUMBERS = 16, 21
_ROUNDING = 1e-13
# So many open panels in one row are noise, not shape.
_MOST_OPEN = 256


class Panels(NamedTuple):
    """Intervals ``[left, right]`` of ``t``, where ``y = start + sign exp(t)``; or the counts ``left, ..., right - 1``.

    Attributes
    ----------
    group : (p,) array of int
        What each is part of.
    start, sign : (p,) arrays
        Of counts, 0 and 1.
    left, right : (p,) arrays
    """

    group: Array
    start: Array
    sign: Array
    left: Array
    right: Array

    def pick(self, where: Array) -> "Panels":
        """Return some of them."""
        return Panels(*(part[where] for part in self))


class Found(NamedTuple):
    """Panels with the integrals over them.

    Attributes
    ----------
    panels : Panels
    integral : (k, p) array
        Of each component.
    error, size : (k, groups) arrays
        What is known of the error of the sum of a group, and the sum of the absolute values in it.
    values : (p, m) array
        Of the first component at the nodes, with the weights of the coordinate.
    """

    panels: Panels
    integral: Array
    error: Array
    size: Array
    values: Array


#: ``(panels) -> (nodes, logarithms of slopes, weights, their difference to a lower degree)``, each ``(p or 1, m)``.
Rule = Callable[[Panels], tuple[Array, Array, Array, Array]]


def polynomials(t: Array, degree: int, count: float = np.inf) -> Array:
    """Monic polynomials up to a degree, orthogonal on [-1, 1], or on ``count`` equal steps of it: ``(degree + 1, m)``.

    Legendre's and Gram's: ``p[n+1] = t p[n] - b[n] p[n-1]``, ``b[n] = n^2 (1 - n^2 / count^2) / (4 n^2 - 1)``.
    """
    found = [np.ones_like(t), t]
    for n in range(1, degree):
        found.append(t * found[n] - n * n * (1 - (n / count) ** 2) / (4 * n * n - 1) * found[n - 1])
    return np.stack(found[: degree + 1])


def _weights(t: Array, total: float, count: float = np.inf) -> tuple[Array, Array]:
    """Weights at nodes, and how they differ from the smallest ones that are exact up to three quarters the degree."""
    values = polynomials(t, t.size - 1, count)
    values /= np.abs(values).max(axis=1, keepdims=True)
    wanted = np.zeros(t.size)
    wanted[0] = total
    high = np.linalg.solve(values, wanted)
    lower = t.size * 3 // 4
    low = np.linalg.lstsq(values[:lower], wanted[:lower], rcond=None)[0]
    return high, high - low


NODES = np.polynomial.legendre.leggauss(_NUMBERS)[0]
_HIGH, _GAP = _weights(NODES, 2.0)
_GAUSS = np.polynomial.legendre.leggauss(_COUNTS)[0]


def along_the_line(panels: Panels) -> tuple[Array, Array, Array, Array]:
    """Nodes of intervals, and the slope of y at them."""
    middle, half = (panels.left + panels.right) / 2, (panels.right - panels.left) / 2
    t = middle[:, None] + half[:, None] * NODES
    y = panels.start[:, None] + panels.sign[:, None] * np.exp(t)
    return y, t + np.log(half)[:, None], _HIGH[None], _GAP[None]


def _run(count: float) -> tuple[Array, Array, Array]:
    """Nodes and weights of a run of counts: all of them, or as near to Gauss' as there are any."""
    if count <= _COUNTS:
        there = np.arange(_COUNTS) < count
        return np.where(there, np.arange(_COUNTS), 0), there * 1.0, np.zeros(_COUNTS)
    nodes = np.floor(count / 2 * (1 + _GAUSS))
    half = _COUNTS // 2
    nodes[:half] = np.maximum.accumulate(nodes[:half] - np.arange(half)) + np.arange(half)
    nodes[half:] = count - 1 - nodes[:half][::-1]
    return nodes, *_weights((2 * nodes - count + 1) / count, count, count)


_run = lru_cache(maxsize=4096)(_run)


def among_counts(panels: Panels) -> tuple[Array, Array, Array, Array]:
    """Nodes of runs of counts."""
    sizes, which = np.unique(panels.right - panels.left, return_inverse=True)
    nodes, high, gap = (np.stack(part)[which] for part in zip(*map(_run, sizes.tolist()), strict=True))
    return panels.left[:, None] + nodes, np.zeros((1, 1)), high, gap


def halves(panels: Panels, discrete: bool) -> tuple[Panels, Panels]:
    """Cut each in two."""
    middle = np.floor((panels.left + panels.right) / 2) if discrete else (panels.left + panels.right) / 2
    return panels._replace(right=middle), panels._replace(left=middle)


def refine(
    log_density: Callable[[Array, Array], Array],
    moments: Callable[[Array, Array, Array], list[Array]],
    panels: Panels,
    groups: int,
    tolerance: Array,
    discrete: bool,
) -> Found:
    """Integrate over panels, halving those whose error is too large a share of their group.

    Parameters
    ----------
    log_density : callable
        ``((p, m) responses, (p,) groups) -> (p, m)``.
    moments : callable
        ``((p, m) densities, (p, m) responses, (p,) groups) -> (p, m)`` arrays, k of them: what is integrated.
    panels : Panels
    groups : int
    tolerance : (groups,) array
        Errors allowed of a panel, relative to the sum of its group.
    """
    rule: Rule = among_counts if discrete else along_the_line
    done: list[tuple[Panels, Array, Array, Array]] = []
    settled: Array = np.zeros((1, groups))
    while True:
        y, slope, high, gap = rule(panels)
        density = np.exp(log_density(y, panels.group) + slope)
        # Beside an infinite density the distance is lost in the last bit of y.
        density = np.where((density == np.inf) & (y == panels.start[:, None]), 0.0, density)
        parts = moments(density, y, panels.group)
        integral = np.stack([(part * high).sum(axis=1) for part in parts])
        error = np.stack([np.abs((part * gap).sum(axis=1)) for part in parts])
        size = settled + by_group(np.abs(integral), panels.group, groups)
        allowed = np.maximum(tolerance[panels.group] * size[:, panels.group], _ROUNDING * np.abs(integral))
        open_ = ~(error <= allowed).all(axis=0)
        open_ &= np.isfinite(error).all(axis=0) & (panels.right - panels.left > (1 if discrete else 1e-12))
        open_ &= np.bincount(panels.group[open_], minlength=groups)[panels.group] <= _MOST_OPEN
        kept = ~open_
        done.append((panels.pick(kept), integral[:, kept], error[:, kept], density[kept]))
        settled = settled + by_group(np.abs(integral[:, kept]), panels.group[kept], groups)
        if kept.all():
            break
        panels = Panels(*map(np.concatenate, zip(*halves(panels.pick(open_), discrete), strict=True)))
    every = Panels(*map(np.concatenate, zip(*(d[0] for d in done), strict=True)))
    integral, error = (np.concatenate([d[i] for d in done], axis=1) for i in (1, 2))
    values = np.concatenate([d[3] for d in done])
    return Found(every, integral, by_group(error, every.group, groups), settled, values)


def by_group(parts: Array, group: Array, groups: int) -> Array:
    """Sums of ``(k, p)`` parts by group, ``(k, groups)``."""
    return np.stack([np.bincount(group, part, minlength=groups).astype(float) for part in parts])
