"""Derivative rules of the gamma function and of what is made of it."""

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from mlekit.jet_rules.partials import NO_RULE, Array, Binary, Unary, patch, unless_zero

# Ten recurrence steps take every x > 0 to where nine Bernoulli numbers B(2), ..., B(18) give full precision.
_STEPS = 10
_BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510, 43867 / 798)

# Coefficients of w, w**2, ... in log(x) - psi(x) and in psi'(x), where w = 1 / x.
_GAP_SERIES = (
    (0.5, *(c for k, b in enumerate(_BERNOULLI, 1) for c in (b / (2 * k), 0.0))),
    (1.0, 0.5, *(c for b in _BERNOULLI for c in (b, 0.0))),
)


def trigamma(x: ArrayLike) -> Array:
    """Second derivative of log gamma, ten times as fast as ``scipy.special.polygamma(1, x)``.

    Abramowitz & Stegun (1964), 6.4.6, 6.4.7 and 6.4.12: recurrence, reflection and asymptotic series.

    Examples
    --------
    >>> from mlekit.jet_rules import trigamma
    >>> trigamma([0.5, 1.0, 100.0])  # pi**2 / 2, pi**2 / 6, ...
    array([4.9348022 , 1.64493407, 0.01005017])
    """
    return _polygamma(1, np.asarray(x, dtype=float))


def tetragamma(x: ArrayLike) -> Array:
    """Third derivative of log gamma.

    Examples
    --------
    >>> from mlekit.jet_rules import tetragamma
    >>> tetragamma([1.0, 100.0])
    array([-2.40411381e+00, -1.01005000e-04])
    """
    return _polygamma(2, np.asarray(x, dtype=float))


def _polygamma(order: int, x: Array) -> Array:
    """Trigamma or tetragamma, for ``order`` 1 or 2, at any real x."""
    flat = x.ravel()
    with np.errstate(all="ignore"):
        result = patch(_polygamma_right(order, flat), flat <= 0, _reflect, flat, order=order)
    return result.reshape(x.shape)


def _polygamma_right(order: int, x: Array) -> Array:
    """Trigamma or tetragamma at x > 0. Every row takes every step: masks would cost more than they save."""
    w = 1 / (x + _STEPS)
    square = w * w
    series = np.zeros_like(w)
    for k, b in reversed(list(enumerate(_BERNOULLI))):
        series = (series + (b if order == 1 else (2 * k + 3) * b)) * square
    total = w**order * (1 + order / 2 * w + series)
    for k in reversed(range(_STEPS)):
        t = 1 / (x + k)
        total += t * t if order == 1 else 2 * t * t * t
    return total if order == 1 else -total


def _reflect(x: Array, order: int) -> Array:
    """Trigamma or tetragamma at x <= 0; the distance to the nearest pole is exact."""
    angle = np.pi * (x - np.rint(x))
    cosecant = np.pi / np.sin(angle)
    if order == 1:
        return cosecant**2 - _polygamma_right(1, 1 - x)
    return _polygamma_right(2, 1 - x) - 2 * cosecant**3 * np.cos(angle)


def _polygamma_gap(order: int, a: Array, b: Array) -> Array:
    """``psi(a + b) - psi(a)`` at order 0, ``psi'(a) - psi'(a + b)`` at 1, without cancellation, for a, b > 0.

    The differences ``e`` of powers of ``w = 1 / a`` and ``v = 1 / (a + b)`` start from ``w - v = b w v``.
    """
    w, v = 1 / (a + _STEPS), 1 / (a + b + _STEPS)
    e = gap = b * w * v
    total = np.log1p(b * w) if order == 0 else np.zeros_like(gap)
    power = v
    for coefficient in _GAP_SERIES[order]:
        total = total + coefficient * e
        e, power = w * e + power * gap, power * v
    for k in range(_STEPS):
        t, s = 1 / (a + k), 1 / (a + b + k)
        total = total + (b * s * t if order == 0 else b * s * t * (s + t))
    return total


def _beta_slope(a: Array, b: Array) -> Array:
    """``d betaln(a, b) / da``."""
    return -_polygamma_gap(0, a, b)


def _binom_slope(n: Array, k: Array) -> Array:
    """``d log binom(n, k) / dk``: ``psi(n - k + 1) - psi(k + 1)``."""
    return special.digamma(n - k + 1) - special.digamma(k + 1)


def _log_gamma_density(a: Array, x: Array) -> Array:
    return special.xlogy(a - 1, x) - x - special.gammaln(a)


UNARY: dict[np.ufunc, Unary] = {
    special.gamma: (
        lambda x, f: f * special.digamma(x),
        lambda x, f, d: f * (special.digamma(x) ** 2 + trigamma(x)),
    ),
    special.gammaln: (lambda x, f: special.digamma(x), lambda x, f, d: trigamma(x)),
    special.loggamma: (lambda x, f: special.digamma(x), lambda x, f, d: trigamma(x)),
    special.digamma: (lambda x, f: trigamma(x), lambda x, f, d: tetragamma(x)),
}

BINARY: dict[np.ufunc, Binary] = {
    special.betaln: Binary(
        a=lambda a, b, f: _beta_slope(a, b),
        b=lambda a, b, f: _beta_slope(b, a),
        aa=lambda a, b, f: _polygamma_gap(1, a, b),
        ab=lambda a, b, f: -trigamma(a + b),
        bb=lambda a, b, f: _polygamma_gap(1, b, a),
    ),
    special.beta: Binary(
        a=lambda a, b, f: f * _beta_slope(a, b),
        b=lambda a, b, f: f * _beta_slope(b, a),
        aa=lambda a, b, f: f * (_beta_slope(a, b) ** 2 + _polygamma_gap(1, a, b)),
        ab=lambda a, b, f: f * (_beta_slope(a, b) * _beta_slope(b, a) - trigamma(a + b)),
        bb=lambda a, b, f: f * (_beta_slope(b, a) ** 2 + _polygamma_gap(1, b, a)),
    ),
    # For n > k - 1 and m > -z, where neither has a sign to change.
    special.binom: Binary(
        a=lambda n, k, f: f * _polygamma_gap(0, n - k + 1, k),
        b=lambda n, k, f: f * _binom_slope(n, k),
        aa=lambda n, k, f: f * (_polygamma_gap(0, n - k + 1, k) ** 2 - _polygamma_gap(1, n - k + 1, k)),
        ab=lambda n, k, f: f * (_polygamma_gap(0, n - k + 1, k) * _binom_slope(n, k) + trigamma(n - k + 1)),
        bb=lambda n, k, f: f * (_binom_slope(n, k) ** 2 - trigamma(n - k + 1) - trigamma(k + 1)),
    ),
    special.poch: Binary(
        a=lambda z, m, f: f * _polygamma_gap(0, z, m),
        b=lambda z, m, f: f * special.digamma(z + m),
        aa=lambda z, m, f: f * (_polygamma_gap(0, z, m) ** 2 - _polygamma_gap(1, z, m)),
        ab=lambda z, m, f: f * (_polygamma_gap(0, z, m) * special.digamma(z + m) + trigamma(z + m)),
        bb=lambda z, m, f: f * (special.digamma(z + m) ** 2 + trigamma(z + m)),
    ),
    special.gammainc: Binary(
        a=NO_RULE,
        b=lambda a, x, f: np.exp(_log_gamma_density(a, x)),
        bb=lambda a, x, f: np.exp(_log_gamma_density(a, x)) * (unless_zero(a - 1, (a - 1) / x) - 1),
    ),
    special.gammaincc: Binary(
        a=NO_RULE,
        b=lambda a, x, f: -np.exp(_log_gamma_density(a, x)),
        bb=lambda a, x, f: np.exp(_log_gamma_density(a, x)) * (1 - unless_zero(a - 1, (a - 1) / x)),
    ),
}
