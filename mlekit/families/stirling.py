"""What is left of log-gamma functions and logarithms where their leading terms cancel."""

from collections.abc import Callable

import numpy as np
from scipy import special

from mlekit.jet_rules import trigamma
from mlekit.links import Array

# From here on ten Bernoulli numbers, B(2), ..., B(20), give full precision.
_LARGE = 10.0
_BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510, 43867 / 798, -174611 / 330)
_HALF_LOG_2PI = 0.5 * np.log(2 * np.pi)
# Coefficients of 1/s, 1/s**3, ... in log gamma(s) less its leading terms (Abramowitz & Stegun 1964, 6.1.41), and in
# log gamma(s + 1/2) - log gamma(s) - log(s) / 2, from the Bernoulli polynomials at 1/2.
_LOG_GAMMA = tuple(b / (2 * k * (2 * k - 1)) for k, b in enumerate(_BERNOULLI, 1))
_HALF_STEP = tuple(-(2 - 2.0 ** (1 - 2 * k)) * c for k, c in enumerate(_LOG_GAMMA, 1))


def excess(d: Array) -> Array:
    """``d - log(1 + d)`` for d > -1, accurate also near 0; jets can follow it.

    With x = d / (2 + d): log(1 + d) = 2 artanh(x), and d - 2 x = d x.

    Examples
    --------
    >>> excess(np.array([1e-8, 1.0]))
    array([4.99999997e-17, 3.06852819e-01])
    """
    near = (d > -0.3) & (d < 0.5)
    small = np.where(near, d, 0.0)
    x = small / (2 + small)
    square = x * x
    series = 1 / 25
    for k in range(23, 1, -2):
        series = 1 / k + square * series
    return np.where(near, small * x - 2 * x * square * series, d - np.log1p(np.where(near, 0.0, d)))


def log_gamma_rest(s: Array) -> Array:
    """``s log(s) - s - log gamma(s)`` for s > 0, which grows as log(s) / 2; jets can follow it.

    Examples
    --------
    >>> log_gamma_rest(np.array([1.0, 1e10])).round(12).tolist()
    [-1.0, 10.593986931757]
    """
    small, large = np.minimum(s, _LARGE), np.maximum(s, _LARGE)
    rest = 0.5 * np.log(large) - _HALF_LOG_2PI - _odd_powers(_LOG_GAMMA, large)
    return np.where(s < _LARGE, small * np.log(small) - small - special.gammaln(small), rest)


def log_gamma_rest_rows(s: Array, order: int) -> tuple[Array, Array, Array]:
    """:func:`log_gamma_rest` as L, with ``s L'(s)`` and ``s**2 L''(s)`` (zeros beyond ``order``).

    Examples
    --------
    >>> [float(part[0].round(12)) for part in log_gamma_rest_rows(np.array([1e6]), 2)]
    [5.988816662444, 0.500000083333, -0.500000166667]
    """
    return _by_distinct(_rest_rows, s, order)


def half_step(a: Array) -> Array:
    """``log gamma(a + 1/2) - log gamma(a) - log(a) / 2`` for a > 0, which goes to 0; jets can follow it.

    Examples
    --------
    >>> half_step(np.array([1e8])).tolist()
    [-1.25e-09]
    """
    small, large = np.minimum(a, _LARGE), np.maximum(a, _LARGE)
    direct = special.gammaln(small + 0.5) - special.gammaln(small) - 0.5 * np.log(small)
    return np.where(a < _LARGE, direct, _odd_powers(_HALF_STEP, large))


def half_step_rows(a: Array, order: int) -> tuple[Array, Array, Array]:
    """:func:`half_step` as K, with ``a K'(a)`` and ``a**2 K''(a)`` (zeros beyond ``order``).

    Examples
    --------
    >>> [part[0] * 8e8 for part in half_step_rows(np.array([1e8]), 2)]
    [np.float64(-1.0), np.float64(1.0), np.float64(-2.0)]
    """
    return _by_distinct(_half_step_rows, a, order)


def half_step_bend(a: Array) -> Array:
    """``a**2 K''(a) + 1 / (4 a)`` with the K of :func:`half_step`, which falls as the third power.

    Examples
    --------
    >>> half_step_bend(np.array([1e5])) * 16e15
    array([1.])
    """
    large = np.maximum(a, _LARGE)
    rest = tuple(0.0 if k == 0 else (2 * k + 1) * (2 * k + 2) * c for k, c in enumerate(_HALF_STEP))
    small = np.minimum(a, _LARGE)
    return np.where(a < _LARGE, half_step_rows(small, 2)[2] + 0.25 / small, _odd_powers(rest, large))


def _by_distinct(
    function: Callable[[Array, int], tuple[Array, Array, Array]], s: Array, order: int
) -> tuple[Array, Array, Array]:
    """Evaluate once where all rows have the same parameter: gamma functions take their time."""
    s = np.atleast_1d(np.asarray(s, dtype=float))
    if s.size > 1 and (s == s[0]).all():
        value, first, second = (np.broadcast_to(part, s.shape) for part in function(s[:1], order))
        return value, first, second
    return function(s, order)


def _odd_powers(coefficients: tuple[float, ...], s: Array) -> Array:
    """``c[0] / s + c[1] / s**3 + ...``, for large s."""
    w = 1 / s
    square, total = w * w, np.zeros_like(w)
    for c in reversed(coefficients):
        total = c + square * total
    return w * total


def _slopes_of(coefficients: tuple[float, ...], order: int) -> tuple[float, ...]:
    """Coefficients of ``s f'`` or ``s**2 f''`` of such a series f."""
    if order == 1:
        return tuple(-(2 * k + 1) * c for k, c in enumerate(coefficients))
    return tuple((2 * k + 1) * (2 * k + 2) * c for k, c in enumerate(coefficients))


def _scaled_polygamma(s: Array) -> tuple[Array, Array]:
    """``s psi(s)`` and ``s**2 psi'(s)``, from the values at s + 1: both are finite at 0."""
    return s * special.digamma(1 + s) - 1, 1 + s * s * trigamma(1 + s)


def _rest_rows(s: Array, order: int) -> tuple[Array, Array, Array]:
    value = log_gamma_rest(s)
    if order == 0:
        return value, np.zeros_like(s), np.zeros_like(s)
    small, large = np.minimum(s, _LARGE), np.maximum(s, _LARGE)
    near = s < _LARGE
    psi, bend = _scaled_polygamma(small)
    first = np.where(near, small * np.log(small) - psi, 0.5 - _odd_powers(_slopes_of(_LOG_GAMMA, 1), large))
    second = np.where(near, small - bend, -0.5 - _odd_powers(_slopes_of(_LOG_GAMMA, 2), large))
    return value, first, second


def _half_step_rows(a: Array, order: int) -> tuple[Array, Array, Array]:
    value = half_step(a)
    if order == 0:
        return value, np.zeros_like(a), np.zeros_like(a)
    small, large = np.minimum(a, _LARGE), np.maximum(a, _LARGE)
    near = a < _LARGE
    psi, bend = _scaled_polygamma(small)
    above = small + 0.5
    first = np.where(near, small * special.digamma(above) - psi - 0.5, _odd_powers(_slopes_of(_HALF_STEP, 1), large))
    second = np.where(near, small * small * trigamma(above) - bend + 0.5, _odd_powers(_slopes_of(_HALF_STEP, 2), large))
    return value, first, second
