"""Least squares to the last digit: residuals and their sums over the rows in twice the working precision."""

import numpy as np

from mlekit.doubled import doubled_product, multiplied, power_above, slice_bits, slices, two_product, two_sum
from mlekit.links import Array
from mlekit.products import over_blocks

# Rows that are multiplied at once: the fewer, the more digits of each factor fit into one product.
_ROWS = 4096
_MOST_STEPS = 10
_EPS = float(np.finfo(float).eps)


def refined(X: Array, y: tuple[Array, Array], weight: Array, beta: Array, inverse: Array) -> Array:
    """Refine weighted least squares until its coefficients are those of ``X`` and ``y`` as they are stored.

    Each step solves for what is left of the normal equations, ``X'W(y - X beta)``, which is computed as if in twice the
    working precision; so nothing is lost by their condition, as long as ``inverse`` is near enough to lead there
    (Björck 1996, section 6.6).

    Parameters
    ----------
    X : (n, r) array
    y : pair of (n,) arrays
        Their sum is the response less its offset.
    weight : (n,) array
    beta : (r,) array
        The coefficients, as far as they are known.
    inverse : (r, r) array
        ``inverse @ inverse.T`` is about that of ``X'WX``.

    Examples
    --------
    >>> x = np.array([[1e6 + 1, 1.0], [1e6 + 2, 1.0], [1e6 + 4, 1.0]])
    >>> q, r = np.linalg.qr(x)
    >>> y, nothing = x @ [3.0, -2.0], np.zeros(3)
    >>> refined(x, (y, nothing), np.ones(3), np.zeros(2), np.linalg.inv(r)).tolist()
    [3.0, -2.0]
    """
    # Powers of two bring all to the size of one without rounding.
    units, size, heaviest = (power_above(np.abs(each).max(axis=0, initial=0.0)) for each in (X, y[0], weight))
    inverse = inverse * units[:, None] * np.sqrt(heaviest)
    beta, rest, last = beta / size * units, np.zeros(beta.size), np.inf

    def part(rows: slice) -> tuple[Array, Array]:
        here = y[0][rows] / size, y[1][rows] / size
        return _slope(X[rows] / units, here, weight[rows] / heaviest, np.column_stack([beta, rest]))

    for _ in range(_MOST_STEPS):
        panels = [slice(first, first + _ROWS) for first in range(0, len(X), _ROWS)]
        slope = _added(over_blocks(part, panels, X.shape[1]))
        # The second product in doubles would lose as many digits as the square of the condition has.
        step = inverse @ np.add(*doubled_product(inverse.T, np.column_stack(slope))).sum(axis=1)
        length = float(np.abs(step).max(initial=0.0))
        if not length < last:
            break
        last = length
        beta, lost = two_sum(beta, step)
        beta, rest = two_sum(beta, rest + lost)
        if (np.abs(step) <= 0.25 * _EPS * np.abs(beta)).all():
            break
    return beta * size / units


def _slope(X: Array, y: tuple[Array, Array], weight: Array, beta: Array) -> tuple[Array, Array]:
    """``X'W(y - X beta)`` of some rows as a pair, of ``beta`` as two columns."""
    bits = slice_bits(max(_ROWS, X.shape[1]))
    matrix = slices(X, bits)
    high, low = multiplied(matrix, slices(beta, bits, axis=0), bits, (len(X), 2))
    residual, lost = two_sum(y[0], -high[:, 0])
    residual, more = two_sum(residual, -high[:, 1])
    rest = y[1] - low[:, 0] - low[:, 1] + lost + more
    product, rounded = two_product(weight, residual)
    rows = np.column_stack([product, rounded + weight * rest])
    high, low = multiplied([part.T for part in matrix], slices(rows, bits, axis=0), bits, (X.shape[1], 2))
    return _added([(high[:, 0], low[:, 0]), (high[:, 1], low[:, 1])])


def _added(pairs: list[tuple[Array, Array]]) -> tuple[Array, Array]:
    total, rest = pairs[0]
    for high, low in pairs[1:]:
        total, lost = two_sum(total, high)
        rest = rest + (lost + low)
    return total, rest
