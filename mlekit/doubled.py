"""Sums and products to twice the working precision, by doubles alone.

The extended precision of a processor differs from one to the next (80 bits here, 64 there). Numbers here are pairs of
doubles, whose sum is the number, and come out the same on all.
"""

import numpy as np

from mlekit.links import Array

_DIGITS = 53
_ROWS = 4096


def two_sum(a: Array, b: Array) -> tuple[Array, Array]:
    """``a + b`` rounded, and what the rounding took off, exactly (Knuth 1969).

    Examples
    --------
    >>> two_sum(1.0, 1e-20)
    (1.0, 1e-20)
    """
    total = a + b
    rest = total - a
    return total, (a - (total - rest)) + (b - rest)


def two_product(a: Array, b: Array) -> tuple[Array, Array]:
    """``a * b`` rounded, and what the rounding took off, exactly (Dekker 1971), for numbers that do not overflow.

    Examples
    --------
    >>> found, rest = two_product(1 + 2.0**-30, 1 - 2.0**-30)
    >>> found, rest == -(2.0**-60)
    (1.0, True)
    """
    found = a * b
    (a1, a2), (b1, b2) = _halves(a), _halves(b)
    return found, ((a1 * b1 - found) + a1 * b2 + a2 * b1) + a2 * b2


def _halves(a: Array) -> tuple[Array, Array]:
    shifted = 134217729.0 * a
    high = shifted - (shifted - a)
    return high, a - high


def doubled_product(left: Array, right: Array) -> tuple[Array, Array]:
    """``left @ right`` as a pair of doubles, with an error of about 1e-32 of the products of the largest entries.

    Each factor is cut into slices of so few bits that BLAS multiplies two slices without rounding (Ozaki, Ogita, Oishi
    and Rump 2012).

    Parameters
    ----------
    left : (n, m) array
    right : (m, k) array

    Examples
    --------
    >>> left, right = np.array([[1.0, 1.0, -1.0]]), np.array([[1.0], [1e-20], [1.0]])
    >>> (left @ right).item(), doubled_product(left, right)[0].item()
    (0.0, 1e-20)
    """
    bits = slice_bits(left.shape[1])
    return multiplied(slices(left, bits, axis=1), slices(right, bits, axis=0), bits, (len(left), right.shape[1]))


def slice_bits(terms: int) -> int:
    """How many bits the slices may have of factors whose products are sums of so many terms."""
    return (_DIGITS - int(np.ceil(np.log2(max(terms, 1))))) // 2


def slices(x: Array, bits: int, axis: int | None = None) -> list[Array]:
    """Cut off the leading bits of ``x``, below those of the largest entry (along the axis), until nothing is left."""
    found: list[Array] = []
    while len(found) < _count(bits) and x.any():
        top = np.frexp(np.abs(x).max(axis=axis, keepdims=True))[1]
        shift = np.ldexp(0.75, top + (_DIGITS - bits))
        leading = (x + shift) - shift
        found.append(leading)
        x = x - leading
    return found


def multiplied(lefts: list[Array], rights: list[Array], bits: int, shape: tuple[int, int]) -> tuple[Array, Array]:
    """Product of two sliced matrices as a pair of doubles, less what is beyond its digits."""
    total = rest = np.zeros(shape)
    for order in range(_count(bits)):
        for i in range(max(0, order - len(rights) + 1), min(order + 1, len(lefts))):
            total, lost = two_sum(total, lefts[i] @ rights[order - i])
            rest = rest + lost
    return two_sum(total, rest)


def _count(bits: int) -> int:
    return -(-2 * _DIGITS // bits)


def power_above(size: Array) -> Array:
    """The power of two above a size, one for none."""
    return np.ldexp(1.0, np.where(size > 0, np.frexp(size)[1], 0))


def accurate_product(left: Array, right: Array) -> Array:
    """``left @ right``, rounded once, however much cancels in it: of a tall matrix, panel by panel."""
    units = power_above(np.abs(left).max(axis=0, initial=0.0))
    right, found = right * units[:, None], np.empty((len(left), right.shape[1]))
    for first in range(0, len(left), _ROWS):
        here = slice(first, first + _ROWS)
        found[here] = doubled_product(left[here] / units, right)[0]
    return found
