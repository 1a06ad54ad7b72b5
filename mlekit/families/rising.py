"""Sums over the counts below a count, of which the negative binomial is made: accurate for any dispersion, even none.

With ``k`` the dispersion and ``r = 1 / k``: ``log gamma(y + r) - log gamma(r) - y log(r)`` is the sum of
``log(1 + k j)`` over ``j = 1, ..., y - 1``. As a difference of log-gamma functions it would cancel for small k. Here
the first terms are added up, and the others follow from Stirling's series at ``r + 10``, whose terms are differences
that are taken before they cancel.
"""

from typing import Any, NamedTuple

import numpy as np

from mlekit.links import Array

# From 10 on nine Bernoulli numbers, B(2), ..., B(18), give full precision (Abramowitz & Stegun 1964, 6.1.41, 6.3.18).
_FIRST = 10
_BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510, 43867 / 798)
# Counts up to here are looked up in a table if all rows have one dispersion.
_TABLE = 1e4


def log1p_gap(u: Any) -> Any:
    """``1 - log(1 + u) / u`` for u > -1, accurate also near 0; jets can follow it.

    With x = u / (2 + u): log(1 + u) = 2 artanh(x), and u - 2 x = u x.

    Examples
    --------
    >>> log1p_gap(np.array([0.0, 1e-8, 1.0]))
    array([0.00000000e+00, 4.99999997e-09, 3.06852819e-01])
    """
    near = (u > -0.3) & (u < 0.5)
    small, far = np.where(near, u, 0.0), np.where(near, 1.0, u)
    x = small / (2 + small)
    square = x * x
    series = 1 / 25
    for k in range(23, 1, -2):
        series = 1 / k + square * series
    return np.where(near, x - 2 * square * series / (2 + small), 1 - np.log1p(far) / far)


class Dispersion(NamedTuple):
    """A dispersion k, its reciprocal and its logarithm: either may overflow or underflow without the others."""

    k: Any
    r: Any
    log: Any

    def rows(self, kept: Any) -> "Dispersion":
        """Return those of some rows, or the one that all rows have."""
        return Dispersion(*(part[kept] if np.size(part) > 1 else part for part in self))


def stirling_differences(w: Any, c: Any) -> tuple[Any, Any, Any]:
    """Differences of Stirling's series between x and ``x (1 + c)``, scaled, at ``w = 1 / x`` for x >= 10.

    Returns ``log gamma(x (1 + c)) - log gamma(x)`` less its leading terms; x times the difference of
    ``log x - psi(x)`` (as a positive number); and x**2 times that of ``psi'(x) - 1 / x``.
    """
    z, e1 = 1 / (1 + c), c / (1 + c)
    e2, square, zz = e1 * (1 + z), w * w, z * z
    value, first, second = 0.0, 0.5 * e1, 0.5 * e2
    odd, even, power = e1, e2, w
    for k, b in enumerate(_BERNOULLI, 1):
        value = value - b / (2 * k * (2 * k - 1)) * power * odd
        first = first + b / (2 * k) * power * even
        odd = odd * zz + e2  # 1 - z**n, two powers on
        second = second + b * power * odd
        even, power = even * zz + e2, power * square
    return value, first, second


def log_rising(y: Array, dispersion: Dispersion) -> Any:
    """Sum of ``log(1 + k j)`` over ``j = 1, ..., y - 1``; jets can follow it in the dispersion.

    Examples
    --------
    >>> k = np.array([2.0])
    >>> log_rising(np.array([0.0, 1.0, 3.0]), Dispersion(k, 1 / k, np.log(k)))  # log(3 * 5)
    array([0.       , 0.       , 2.7080502])
    """
    k, r, log_k = dispersion
    largest = float(np.max(y, initial=0.0))
    less, more, wide = np.minimum(k, 1.0), np.minimum(r, 1.0), np.asarray(k > 1)
    excess, product = 0.0 * less, 1.0 + 0.0 * more
    for j in range(1, int(min(_FIRST, largest))):
        excess = excess + np.where(j < y, j * less * (1 + excess), 0.0)
        product = product * np.where(j < y, j + more, 1.0)
    count = np.clip(y - 1, 0, _FIRST - 1)
    log_large = np.where(wide, log_k, 0.0)  # of k = 0 it is infinite
    total = np.where(wide, count * log_large + np.log(product), np.log1p(excess))
    if largest <= _FIRST:
        return total
    b, w = np.maximum(y - _FIRST, 0.0), 1 / (_FIRST + r)
    c = b * w
    growth, step = np.log1p(c), np.where(wide, log_large + np.log(_FIRST + more), np.log1p(_FIRST * less))
    rest = stirling_differences(w, c)[0]
    return total + b * (growth - log1p_gap(c) + step) - 0.5 * growth + rest


class Rising(NamedTuple):
    """Sums over ``j < y``, with ``k`` the dispersion.

    Attributes
    ----------
    value : array
        Of ``log(1 + k j)``.
    up, down : arrays
        Of ``k j / (1 + k j)``, the derivative in log k, and of ``1 / (1 + k j)``: together they are y.
    bend : array
        Of ``k j / (1 + k j)**2``, the second derivative in log k.
    """

    value: Any
    up: Any
    down: Any
    bend: Any


def rising(y: Array, dispersion: Dispersion, order: int) -> Rising:
    """Sums of a count and a dispersion for each row; all but the value are 0 at order 0.

    Examples
    --------
    >>> k = np.array([2.0])
    >>> [part.round(4).tolist() for part in rising(np.array([0.0, 2.0]), Dispersion(k, 1 / k, np.log(k)), 2)]
    [[0.0, 1.0986], [0.0, 0.6667], [0.0, 1.3333], [0.0, 0.2222]]
    """
    largest = float(np.max(y, initial=0.0))
    if np.size(dispersion.k) == 1 and largest < min(_TABLE, y.size):
        table = _sums(np.arange(largest + 1), dispersion, order)
        return Rising(*(part[y.astype(np.intp)] for part in table))
    return _sums(y, dispersion, order)


def _sums(y: Array, dispersion: Dispersion, order: int) -> Rising:
    value = log_rising(y, dispersion)
    if order == 0:
        zero = np.zeros_like(value)
        return Rising(value, zero, zero, zero)
    k, r, _ = dispersion
    largest = float(np.max(y, initial=0.0))
    up, down, bend = 0.0 * y, np.where(y > 0, 1.0, 0.0), 0.0 * y
    for j in range(1, int(min(_FIRST, largest))):
        counts = j < y
        share, rest = np.where(counts, j / (j + r), 0.0), np.where(counts, 1 / (1 + k * j), 0.0)
        up, down, bend = up + share, down + rest, bend + share * rest
    if largest <= _FIRST:
        return Rising(value, up, down, bend)
    b, w, rho = np.maximum(y - _FIRST, 0.0), 1 / (_FIRST + r), 1 / (1 + _FIRST * k)
    c = b * w
    gap, step = log1p_gap(c), c / (1 + c)
    _, first, second = stirling_differences(w, c)
    up = up + b * gap + _FIRST * np.log1p(c) - rho * first
    # For large c, b times what is left of 1 would cancel.
    near, logarithm = c < 0.5, np.log1p(c) / w
    down = down + rho * (np.where(near, b * (1 - gap), logarithm) + first)
    square = np.where(near, b * (step - gap), logarithm - b / (1 + c))
    bend = bend + rho * (square + _FIRST * step + first - rho * second)
    return Rising(value, up, down, bend)


def one_of(parameter: Array) -> Array:
    """One number where all rows have the same parameter, ``(1,)``; otherwise as it is.

    Examples
    --------
    >>> one_of(np.full(3, 0.5)).tolist(), one_of(np.array([0.5, 1.0])).tolist()
    ([0.5], [0.5, 1.0])
    """
    same = np.ndim(parameter) and np.size(parameter) and (parameter == parameter[0]).all()
    return parameter[:1] if same else parameter
