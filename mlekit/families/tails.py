"""Tail probabilities and their logarithms, where differences and underflow would lose them."""

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import special

from mlekit.links import Array

# Below this a probability is about to underflow, and its logarithm is taken from a continued fraction.
_TINY = 1e-290
# From 4.4 standard deviations on the fractions have all digits after so many terms, and from 36 on after ten.
_TERMS = 40


def log1mexp(x: Any) -> Any:
    """``log(1 - exp(x))`` for x <= 0, without cancellation at either end.

    Examples
    --------
    >>> import numpy as np
    >>> log1mexp(np.array([-1e-300, -5.0])).round(6).tolist()
    [-690.775528, -0.006761]
    """
    with np.errstate(divide="ignore"):
        return np.where(x > -np.log(2), np.log(-np.expm1(x)), np.log1p(-np.exp(x)))


def shares(share: Array) -> Array:
    """Shares of a distribution, NaN where they are not between 0 and 1."""
    share = np.asarray(share, dtype=float)
    return np.where((share >= 0) & (share <= 1), share, np.nan)


def poisson_below(log_density: Any, count: Array, mu: Any) -> Any:
    """``P(N <= count) = Gamma(count + 1, mu) / count!``, given the log-density at ``count >= 0``."""
    plain, far = special.gammaincc(count + 1, mu), _far_above(count, mu)
    with np.errstate(all="ignore"):
        return np.where(far, -np.expm1(log_density + _log_ratio_above(count, mu)), plain) if np.any(far) else plain


def log_poisson_below(log_density: Any, count: Array, mu: Any) -> Any:
    """``log P(N <= count)``, given the log-density at ``count >= 0``; far below the mean by DLMF 8.9.2."""

    def ratio() -> Any:
        t = mu + 2 * _TERMS - count
        for i in range(_TERMS, 0, -1):
            t = mu + 2 * (i - 1) - count + i * (count + 1 - i) / t
        return np.log(mu / t)

    below = poisson_below(log_density, count, mu)
    far = below < _TINY
    with np.errstate(all="ignore"):
        plain = np.where(below > 0.5, log1mexp(log_poisson_above(log_density, count, mu)), np.log(below))
        return np.where(far, log_density + ratio(), plain) if np.any(far) else plain


def log_poisson_above(log_density: Any, count: Array, mu: Any) -> Any:
    """``log P(N > count) = log(gamma(count + 1, mu) / count!)``, given the log-density at ``count >= 0``."""
    above, below = special.gammainc(count + 1, mu), special.gammaincc(count + 1, mu)
    far = (above < _TINY) | _far_above(count, mu)
    with np.errstate(all="ignore"):
        plain = np.where(above > 0.5, np.log1p(-below), np.log(above))
        return np.where(far, log_density + _log_ratio_above(count, mu), plain) if np.any(far) else plain


def _far_above(count: Array, mu: Any) -> Any:
    """Where SciPy's ``gammainc`` stops after 2000 terms of its series, too early."""
    return (count > 1e5) & (count - mu > 4.4 * np.sqrt(count))


def _log_ratio_above(count: Array, mu: Any) -> Any:
    """``log(P(N > count) / P(N = count))`` far above the mean.

    The continued fraction is that of Kummer's M(1, a + 1, mu): ``a / (a - mu + mu / (a + 1 - mu + 2 mu / ...))``.
    """
    t = count + 1 + _TERMS - mu
    for i in range(_TERMS, 0, -1):
        t = count + i - mu + i * mu / t
    return np.log(mu / t)


def first_count(reached: Callable[[Array], Array], guess: Array) -> Array:
    """Return the smallest count 0, 1, 2, ... at which a monotone condition holds, by bisection.

    Parameters
    ----------
    reached : callable
        ``(n,) -> (n,)`` booleans; false and then true as the count grows, or true everywhere.
    guess : (n,) array
        Counts to begin with; where they are not numbers, nor is the answer.

    Examples
    --------
    >>> import numpy as np
    >>> first_count(lambda n: n * n >= np.array([0.0, 17.0, 1e8]), np.zeros(3)).tolist()
    [0.0, 5.0, 10000.0]
    """
    known = np.isfinite(guess)
    high = np.where(known, np.maximum(np.floor(guess), 0.0), 0.0)
    low, step = high - 1, np.ones_like(high)
    while np.any(short := known & ~reached(high) & (high < 2.0**1000)):
        low, high = np.where(short, high, low), np.where(short, high + step, high)
        step = 2 * step
    step = np.ones_like(high)
    while np.any(far := known & (low >= 0) & reached(np.maximum(low, 0.0))):
        low, high = np.where(far, np.maximum(low - step, -1.0), low), np.where(far, low, high)
        step = 2 * step
    while True:
        middle = np.floor(low / 2 + high / 2)
        middle = np.where((middle <= low) & (low + 1 < high), low + 1, middle)
        open_ = known & (low < middle) & (middle < high)
        if not open_.any():
            return np.where(known, high, np.nan)
        there = reached(np.maximum(middle, 0.0))
        low, high = np.where(open_ & ~there, middle, low), np.where(open_ & there, middle, high)
