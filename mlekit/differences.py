"""Derivatives by central differences: the way out for a density that jets cannot follow."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from mlekit.jets import Rows
from mlekit.links import REAL, Array

# Steps, in units of the scale of the log-density, that balance truncation (order h**4) against rounding, for first and
# second derivatives.
_FIRST = np.finfo(float).eps ** (1 / 5)
_SECOND = np.finfo(float).eps ** (1 / 6)
_PASSES = 12


def central_differences(
    function: Callable[..., Array],
    y: Array,
    *theta: Array,
    order: int = 2,
    domains: Sequence[tuple[float, float]] | None = None,
) -> Rows:
    """Rows of ``function(y, *theta)`` by fourth-order central differences, good to about 1e-10 and 1e-8.

    Parameters
    ----------
    function : callable
        Log-density of each row.
    y : (n,) or (n, m) array
    *theta : (n,) arrays
    order : {0, 1, 2}
    domains : sequence of tuple of float, optional
        Open interval of each parameter, which no step leaves (default the real line).

    Raises
    ------
    ValueError
        If the result is not one number per row.

    Examples
    --------
    >>> import numpy as np
    >>> rows = central_differences(lambda y, mu: -((y - mu) ** 2), np.array([1.0]), np.array([3.0]))
    >>> rows.grad.round(8).tolist(), rows.hess.round(6).tolist()
    ([[-4.0]], [[[-2.0]]])
    """
    rows = np.shape(y)[:1]
    theta = tuple(np.broadcast_to(np.asarray(t, dtype=float), rows) for t in theta)

    def at(*shifts: tuple[int, Array]) -> Array:
        moved = list(theta)
        for j, shift in shifts:
            moved[j] = moved[j] + shift
        return np.asarray(function(y, *moved), dtype=float)

    def along(j: int) -> Callable[[Array], Array]:
        return lambda h: at((j, h))

    def mixed(i: int, j: int) -> Array:
        return _first(lambda a: _first(lambda b: at((i, a), (j, b)), steps[j]), steps[i])

    with np.errstate(all="ignore"):
        value = _one_per_row(at(), rows)
        if order == 0:
            return Rows(value, None, None)
        k = len(theta)
        reach = np.max(np.abs(y), initial=1.0)
        scales = [
            _scale(along(j), value, t, domain, reach)
            for j, (t, domain) in enumerate(zip(theta, domains or [REAL] * k, strict=True))
        ]
        grad = np.empty((k, *rows))
        for j in range(k):
            grad[j] = _first(along(j), _step(theta[j], _FIRST * scales[j]))
        if order == 1:
            return Rows(value, grad, None)
        hess = np.empty((k, k, *rows))
        steps = [_step(t, _SECOND * scale) for t, scale in zip(theta, scales, strict=True)]
        for j in range(k):
            hess[j, j] = _second(along(j), value, steps[j])
            for i in range(j):
                hess[i, j] = hess[j, i] = mixed(i, j)
        return Rows(value, grad, hess)


def common_differences(
    function: Callable[..., Any],
    *theta: float,
    order: int = 2,
    domains: Sequence[tuple[float, float]] | None = None,
) -> Rows:
    """Value and derivatives, row by row, of a function of quantities that are the same in all rows.

    Parameters
    ----------
    function : callable
        Takes the k numbers, and returns ``(n,)`` values.
    *theta : float
    order, domains
        As for :func:`central_differences`. One step serves all rows: that for their mean.

    Examples
    --------
    >>> y = np.array([1.0, 5.0])
    >>> rows = common_differences(lambda mu: -((y - mu) ** 2), 3.0)
    >>> rows.grad.round(8).tolist(), rows.hess.round(6).tolist()
    ([[-4.0, 4.0]], [[[-2.0, -2.0]]])
    """

    def at(*shifts: tuple[int, Any]) -> Array:
        moved = [float(t) for t in theta]
        for j, shift in shifts:
            moved[j] += float(np.ravel(shift)[0])
        return np.asarray(function(*moved), dtype=float)

    def along(j: int) -> Callable[[Array], Array]:
        return lambda h: at((j, h))

    def mean(j: int) -> Callable[[Array], Array]:
        return lambda h: np.mean(at((j, h)), keepdims=True)

    def mixed(i: int, j: int) -> Array:
        return _first(lambda a: _first(lambda b: at((i, a), (j, b)), steps[j]), steps[i])

    with np.errstate(all="ignore"):
        value = at()
        if order == 0:
            return Rows(value, None, None)
        k, centre = len(theta), np.mean(value, keepdims=True)
        points = [np.array([float(t)]) for t in theta]
        pairs = zip(points, domains or [REAL] * k, strict=True)
        scales = [_scale(mean(j), centre, point, domain, 1.0) for j, (point, domain) in enumerate(pairs)]
        firsts = [_step(point, _FIRST * scale) for point, scale in zip(points, scales, strict=True)]
        grad = np.stack([_first(along(j), firsts[j]) for j in range(k)])
        if order == 1:
            return Rows(value, grad, None)
        steps = [_step(point, _SECOND * scale) for point, scale in zip(points, scales, strict=True)]
        hess = np.empty((k, k, value.size))
        for j in range(k):
            hess[j, j] = _second(along(j), value, steps[j])
            for i in range(j):
                hess[i, j] = hess[j, i] = mixed(i, j)
        return Rows(value, grad, hess)


def _one_per_row(value: Array, rows: tuple[int, ...]) -> Array:
    if value.shape != rows:
        raise ValueError(f"expected one number per row, shape {rows}; the function returned shape {value.shape}")
    return value


def _scale(f: Callable[[Array], Array], value: Array, theta: Array, domain: tuple[float, float], reach: float) -> Array:
    """Distance over which each row's log-density changes by about one, found from its own differences.

    The parameter itself does not tell: a location of 1e-9, or of 1e9, may have a scale of 1.
    """
    room = np.minimum(theta - domain[0], domain[1] - theta)
    room = np.minimum(room, np.maximum(np.abs(theta), reach))
    scale = np.minimum(np.maximum(np.abs(theta), 1e-6 * reach), room)
    for _ in range(_PASSES):
        h = _step(theta, _SECOND * scale)
        up, down = f(2 * h), f(-2 * h)
        room = np.where(np.isfinite(up) & np.isfinite(down), room, scale / 10)
        tiny = _step(theta, 1e-6 * h)
        size = _noise(np.where(tiny < 1e-5 * h, f(tiny) - 2 * value + f(-tiny), 0.0), value)
        slope, bend = (up - down) / (4 * h), (up - 2 * value + down) / (4 * h * h)
        wanted = size ** (1 / 6) / np.sqrt(np.abs(bend) + slope * slope / size)
        wanted = np.where(np.isfinite(wanted), np.clip(wanted, 1e-6 * scale, 1e6 * scale), scale)
        found = np.minimum(wanted, room)
        settled = np.abs(np.log(found / scale)) < 0.7
        scale = found
        if settled.all():
            break
    return scale


def _noise(wobble: Array, value: Array) -> Array:
    """Rounding errors of the log-density in units of eps: terms that cancel may make them far larger than its value."""
    size = 1 + np.abs(value)
    share = np.abs(wobble) / (size * np.finfo(float).eps)
    return size * np.clip(np.max(share, initial=1.0, where=np.isfinite(share)), 1.0, 1e8)


def _step(theta: Array, h: Array) -> Array:
    """Return the step as an exact binary number, so that theta + h - theta is h, and is not 0."""
    return (theta + np.maximum(h, 16 * np.spacing(np.abs(theta)))) - theta


def _first(f: Callable[[Array], Array], h: Array) -> Array:
    return (8 * (f(h) - f(-h)) - (f(2 * h) - f(-2 * h))) / (12 * h)


def _second(f: Callable[[Array], Array], value: Array, h: Array) -> Array:
    return (16 * (f(h) + f(-h)) - (f(2 * h) + f(-2 * h)) - 30 * value) / (12 * h**2)
