"""Where a mean loss is least: means, quantiles, Huber's balance, and a search for any other."""

import math
from collections.abc import Callable

import numpy as np
from scipy import optimize

from mlekit.links import REAL, Array

# Rows are at a quantile if their share is the level to within rounding.
_ROUNDING = 1e-12
# Points that a search tries beside those it is given: steps from the middle one, in the size of the largest or 1.
_STEPS = 4.0 ** np.arange(-6, 9)


def average(x: Array) -> float:
    """Mean of an array; where the sum alone would overflow, of the array scaled down."""
    with np.errstate(over="ignore", invalid="ignore"):
        mean = float(np.mean(x))
    if math.isfinite(mean) or not np.isfinite(x).all():
        return mean
    scale = binary_scale(x)
    return float(np.mean(x / scale)) * scale


def binary_scale(x: Array) -> float:
    """Return a power of two near the largest entry, by which to divide without rounding; 1 for zeros."""
    largest = float(np.abs(x).max())
    if largest == 0 or not math.isfinite(largest):
        return 1.0
    # Neither the scale nor its reciprocal may overflow.
    return math.ldexp(1.0, min(max(math.frexp(largest)[1], -1021), 1022))


def quantile(y: Array, q: float) -> float:
    """Middle of the points at which at least q of the rows are not above, and at least 1 - q not below.

    Examples
    --------
    >>> y = np.arange(1.0, 101.0)
    >>> quantile(y, 0.07), quantile(y, 0.075), quantile(y, 0.5)
    (7.5, 8.0, 50.5)
    """
    wanted = q * y.size
    slack = _ROUNDING * wanted  # 0.07 of 100 rows is 7.000000000000001 of them
    ends = [min(place, y.size - 1) for place in (math.ceil(wanted - slack) - 1, math.floor(wanted + slack))]
    low, high = np.partition(y, ends)[ends]
    return float(low if low == high else 0.5 * low + 0.5 * high)  # the sum might overflow, halves of the least vanish


def huber_centre(y: Array, delta: float) -> float:
    """Point at which the pulls ``clip(y - centre, -delta, delta)`` balance; of an interval of such points, the middle.

    Examples
    --------
    >>> huber_centre(np.array([0.0, 1.0, 2.0, 100.0]), 2.0), huber_centre(np.array([1.0, 5.0]), 2.0)
    (1.6666666666666667, 3.0)
    """
    room = 4.0 * y.size * (float(np.abs(y).max()) + delta)
    scale = 1.0 if math.isfinite(room) else math.ldexp(1.0, 4 + y.size.bit_length())
    return _balance(np.sort(y / scale), delta / scale) * scale


def _balance(y: Array, delta: float) -> float:
    """Zero of the sum of ``clip(y - centre, -delta, delta)``, for sorted y: falling, and straight between its knots."""
    half = y.size // 2
    if y.size % 2 == 0 and y[half] - y[half - 1] >= 2 * delta:  # it is zero all the way between two knots
        return quantile(y, 0.5)
    knots = np.unique(np.concatenate([y - delta, y + delta]))
    low, high = 0, knots.size - 1
    while high - low > 1:
        middle = (low + high) // 2
        if np.clip(y - knots[middle], -delta, delta).sum() > 0:
            low = middle
        else:
            high = middle
    between = 0.5 * (knots[low] + knots[high])
    above, below = y - between >= delta, between - y >= delta
    inside = ~(above | below)
    if not inside.any():  # delta is lost in the rounding of y
        return quantile(y, 0.5)
    return float((y[inside].sum() + delta * (int(above.sum()) - int(below.sum()))) / inside.sum())


def places(points: Array, limits: tuple[float, float] = REAL) -> Array:
    """Points at which to look for a minimum: at most 101 of the given ones, points between them, and far ones.

    Only those within the limits; limits that are finite are tried as well.
    """
    low, high = limits
    some = np.quantile(points, np.linspace(0, 1, 101), method="inverted_cdf") if points.size > 101 else np.sort(points)
    some = some[(some >= low) & (some <= high)]
    if not some.size:
        some = np.array([np.clip(0.0, low, high) if np.isinf(limits).any() else 0.5 * (low + high)])
    middle, far = some[some.size // 2], max(1.0, np.abs(some).max()) * _STEPS
    tried = np.concatenate([some, 0.5 * some[1:] + 0.5 * some[:-1], middle - far, middle + far, np.array(limits)])
    return np.unique(tried[np.isfinite(tried) & (tried >= low) & (tried <= high)])


def search(value: Callable[[float], float], slope: Callable[[float], float], tried: Array) -> float:
    """Point with the smallest value, from the best of those tried down to where the slope changes its sign.

    Of an interval of such points it is one inside. The first or last of the points tried if it is smallest there; NaN
    if it is finite at none.

    Parameters
    ----------
    value, slope : callable
        A function of one number and its derivative, which may be infinite or not defined anywhere.
    tried : (n,) array
        Increasing.

    Examples
    --------
    >>> tried = np.linspace(-3, 3, 7)
    >>> search(lambda x: np.cosh(x - 0.2), lambda x: np.sinh(x - 0.2), tried)
    0.2
    """
    values = np.array([_known(value(place)) for place in tried])
    best = int(np.argmin(values))
    if not math.isfinite(values[best]):
        return math.nan
    last = best
    while last + 1 < tried.size and values[last + 1] == values[best]:
        last += 1
    if best == 0 or last == tried.size - 1:
        return float(tried[best if best == 0 else last])
    if last > best:
        found = float(0.5 * tried[best] + 0.5 * tried[last])
    else:
        bracket = tuple(map(float, tried[best - 1 : best + 2]))
        found = float(optimize.minimize_scalar(lambda x: _known(value(x)), bracket=bracket).x)
    turned = _turn(slope, found, (float(tried[best - 1]), float(tried[last + 1])))
    # Values tell a minimum to half of the digits, slopes to all of them; at a corner, it is the values that know.
    return turned if _known(value(turned)) <= value(found) + 1e-14 * abs(value(found)) else found


def _turn(slope: Callable[[float], float], start: float, limits: tuple[float, float]) -> float:
    """Point downhill of the start, within the limits, where the slope changes its sign; the start if there is none."""

    def bounded(place: float) -> float:
        return min(max(slope(place), -1e300), 1e300)  # brentq cannot count with infinity

    begin = slope(start)
    if not begin or math.isnan(begin):
        return start
    end = limits[0] if begin > 0 else limits[1]
    for step in 2.0 ** np.arange(-50, 1):
        there = float(start + step * (end - start))
        if slope(there) * math.copysign(1.0, begin) <= 0:
            fine = max(1e-16 * max(abs(start), abs(there)), 1e-300)
            return float(optimize.brentq(bounded, start, there, xtol=fine, rtol=1e-15))
    return start


def _known(value: float) -> float:
    return math.inf if math.isnan(value) else float(value)
