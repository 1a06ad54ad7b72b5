"""The incomplete beta function so far out that it underflows, and only its logarithm is left."""

from mlekit.links import Array

#: Below this a probability is about to underflow.
TINY = 1e-290
# So far out (36 standard deviations) the fraction has all digits.
_TERMS = 40


def incomplete_beta_fraction(a: Array, b: Array | float, x: Array, less: Array) -> Array:
    """``F`` in ``I_x(a, b) = x**a (1 - x)**b / (a B(a, b) F)``, far out in the tail (DLMF 8.17.22).

    Parameters
    ----------
    a, b : arrays or numbers
    x, less : arrays
        x and 1 - x.

    Examples
    --------
    >>> import numpy as np
    >>> incomplete_beta_fraction(np.array(2.0), 1.0, np.array(0.01), np.array(0.99))  # I_x(2, 1) = x**2
    np.float64(0.99)
    """
    fraction: Array | float = 1.0
    for m in range(_TERMS, 0, -1):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        fraction = 1 + even / (1 + odd / fraction)
    # It begins with 1 - (a + b) / (a + 1) x: written with 1 - x, and with what the rest changes of it.
    return less + x * ((1 - b) / (a + 1)) + (a + b) / (a + 1) * x * (1 - 1 / fraction)
