"""Derivatives of NumPy and scipy.special functions, as tables of formulas.

Each table maps a ufunc to its partial derivatives. A partial is a function, a constant, or None for zero:

* `UNARY`: the first derivative, a function of ``(x, f)`` with ``f = ufunc(x)``, and the second, a function of
  ``(x, f, d)`` where ``d`` is the first derivative.
* `BINARY`: a `Binary` of partials, functions of ``(a, b, f)`` with ``f = ufunc(a, b)``.
* `CHOICES`: functions that return one of their two arguments; the entry, of ``(a, b)``, says where the first.
* `FLAT`: functions whose derivative is zero wherever it exists.

Adding a rule means adding one entry, and its mpmath counterpart in ``tests/test_jets.py``. A partial is
written so that it keeps its relative accuracy in the tails, where a textbook form may cancel or overflow.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Partial = Callable[..., Any] | float | None


class Binary(NamedTuple):
    """Partial derivatives of ``f(a, b)``: functions of ``(a, b, f)``, constants, or None for zero."""

    a: Partial
    b: Partial
    aa: Partial = None
    ab: Partial = None
    bb: Partial = None


LN2, LN10 = np.log(2), np.log(10)
SQRT2, SQRT_PI, SQRT_2PI = np.sqrt(2), np.sqrt(np.pi), np.sqrt(2 * np.pi)

# ---------------------------------------------------------------- derivatives of the gamma function

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
        result = _patch(_polygamma_right(order, flat), flat <= 0, _reflect, flat, order=order)
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


# ---------------------------------------------------------------- tails where the closed forms cancel


def _patch(value: Array, where: Mask, formula: Callable[..., Array], *rows: Array, **options: int) -> Array:
    """``value`` with the rows that satisfy ``where`` recomputed by ``formula``."""
    if where.any():
        value[where] = formula(*(row[where] for row in rows), **options)
    return value


def _mills(t: Array) -> tuple[Array, Array]:
    """Laplace's continued fraction of the normal tail, to full precision for t >= 4.

    With ``m = (1 - Phi(t)) / phi(t)``, returns ``s = 1 / m - t`` and ``u = 1 / s - t``, which by those
    definitions lose t**2 and t**4 units in the last place. Then ``m' = -m s`` and ``m'' = m s u``.
    """
    u = np.zeros_like(t)
    for j in range(35, 1, -1):
        u = j / (t + u)
    return 1 / (t + u), u


def _log_ndtr_second(x: Array, f: Array, hazard: Array) -> Array:
    return _patch(-hazard * (x + hazard), x < -4, lambda x, hazard: -hazard * _mills(-x)[0], x, hazard)


def _erfcx_first(x: Array, f: Array) -> Array:
    return _patch(2 * x * f - 2 / SQRT_PI, x > 3, lambda x, f: -SQRT2 * f * _mills(SQRT2 * x)[0], x, f)


def _erfcx_second(x: Array, f: Array, d: Array) -> Array:
    return _patch(2 * (f + x * d), x > 3, lambda x, f: 2 * f * np.multiply(*_mills(SQRT2 * x)), x, f)


def _bessel(nu: int, derivative: int, x: Array, value: Array) -> Array:
    """Differentiate ``exp(-|x|) I_nu(x)``: ``value`` in the middle, DLMF 10.40.1 by terms in both tails."""
    value = _patch(value, np.abs(x) > 25, lambda x: _bessel_tail(nu, derivative, np.abs(x)), x)
    return np.where(x < -25, (-1) ** (nu + derivative) * value, value)


def _bessel_tail(nu: int, derivative: int, x: Array) -> Array:
    term = 1 / np.sqrt(2 * np.pi * x) / x**derivative
    total = np.zeros_like(x)
    for k in range(22):
        total += term * (-0.5 - k if derivative == 1 else (0.5 + k) * (1.5 + k))
        term *= ((2 * k + 1) ** 2 - 4 * nu * nu) / (8 * (k + 1) * x)
    return total


# ---------------------------------------------------------------- pieces of the rules


def _unless_zero(a: Array, value: Array) -> Array:
    """``value``, but 0 where its factor ``a`` is 0: 0 log 0 and 0 a**-1 are limits, not NaN."""
    return np.where(a == 0, 0.0, value)


def _power_ab(a: Array, b: Array, f: Array) -> Array:
    p = a ** (b - 1)
    return p + b * special.xlogy(p, a)


def _log_ratio(a: Array, b: Array) -> Array:
    """``log(a / b)``, accurate also where a is close to b."""
    return np.where(np.abs(a - b) < b / 2, np.log1p((a - b) / b), np.log(a / b))


def _right_sign(x: Array) -> Array:
    """Sign of x, 1 at zero: i0e and i1e have a kink there, and a concentration comes from the right."""
    return np.where(x < 0, -1.0, 1.0)


def _i1_slope(x: Any, i0: Any, i1: Any) -> Array:
    """``(I_0 + I_2) / 2``."""
    return np.where(x == 0, 0.5, i0 - i1 / x)


def _beta_slope(a: Array, b: Array) -> Array:
    """``d betaln(a, b) / da``."""
    return -_polygamma_gap(0, a, b)


def _arctan2_ab(a: Array, b: Array, f: Array) -> Array:
    r = np.hypot(a, b)
    return (a - b) / r * ((a + b) / r) / r / r


def _arctan2_bb(a: Array, b: Array) -> Array:
    r = np.hypot(a, b)
    return 2 * (a / r) * (b / r) / r / r


def _log_sum(c: float) -> Binary:
    """``log(exp(c a) + exp(c b)) / c``."""

    def curvature(a: Array, b: Array, f: Array) -> Array:
        return c * special.expit(c * (a - b)) * special.expit(c * (b - a))

    return Binary(
        a=lambda a, b, f: special.expit(c * (a - b)),
        b=lambda a, b, f: special.expit(c * (b - a)),
        aa=curvature,
        ab=lambda a, b, f: -curvature(a, b, f),
        bb=curvature,
    )


# ---------------------------------------------------------------- the tables

UNARY: dict[np.ufunc, tuple[Partial, Partial]] = {
    np.positive: (1.0, None),
    np.negative: (-1.0, None),
    np.absolute: (lambda x, f: np.sign(x), None),
    np.fabs: (lambda x, f: np.sign(x), None),
    np.square: (lambda x, f: 2 * x, 2.0),
    np.sqrt: (lambda x, f: 0.5 / f, lambda x, f, d: -0.5 * d / x),
    np.cbrt: (lambda x, f: 1 / (3 * f * f), lambda x, f, d: -2 / 3 * d / x),
    np.reciprocal: (lambda x, f: -f * f, lambda x, f, d: -2 * f * d),
    np.exp: (lambda x, f: f, lambda x, f, d: f),
    np.exp2: (lambda x, f: LN2 * f, lambda x, f, d: LN2 * d),
    np.expm1: (lambda x, f: np.exp(x), lambda x, f, d: d),  # f + 1 is 0 below x = -37
    np.log: (lambda x, f: 1 / x, lambda x, f, d: -d * d),
    np.log2: (lambda x, f: 1 / (LN2 * x), lambda x, f, d: -d / x),
    np.log10: (lambda x, f: 1 / (LN10 * x), lambda x, f, d: -d / x),
    np.log1p: (lambda x, f: 1 / (1 + x), lambda x, f, d: -d * d),
    np.sin: (lambda x, f: np.cos(x), lambda x, f, d: -f),
    np.cos: (lambda x, f: -np.sin(x), lambda x, f, d: -f),
    np.tan: (lambda x, f: 1 + f * f, lambda x, f, d: 2 * f * d),
    np.arcsin: (lambda x, f: 1 / np.sqrt((1 - x) * (1 + x)), lambda x, f, d: x * d**3),
    np.arccos: (lambda x, f: -1 / np.sqrt((1 - x) * (1 + x)), lambda x, f, d: x * d**3),
    np.arctan: (lambda x, f: 1 / (1 + x * x), lambda x, f, d: -2 * x * d * d),
    np.sinh: (lambda x, f: np.cosh(x), lambda x, f, d: f),
    np.cosh: (lambda x, f: np.sinh(x), lambda x, f, d: f),
    np.tanh: (lambda x, f: np.cosh(x) ** -2.0, lambda x, f, d: -2 * f * d),  # 1 - f * f is 0 beyond x = 19
    np.arcsinh: (lambda x, f: 1 / np.hypot(1, x), lambda x, f, d: -(x * d) * d * d),
    np.arccosh: (lambda x, f: 1 / (np.sqrt(x - 1) * np.sqrt(x + 1)), lambda x, f, d: -(x * d) * d * d),
    np.arctanh: (lambda x, f: 1 / ((1 - x) * (1 + x)), lambda x, f, d: 2 * x * d * d),
    special.gamma: (
        lambda x, f: f * special.digamma(x),
        lambda x, f, d: f * (special.digamma(x) ** 2 + trigamma(x)),
    ),
    special.gammaln: (lambda x, f: special.digamma(x), lambda x, f, d: trigamma(x)),
    special.loggamma: (lambda x, f: special.digamma(x), lambda x, f, d: trigamma(x)),
    special.digamma: (lambda x, f: trigamma(x), lambda x, f, d: tetragamma(x)),
    special.erf: (lambda x, f: 2 / SQRT_PI * np.exp(-x * x), lambda x, f, d: -2 * x * d),
    special.erfc: (lambda x, f: -2 / SQRT_PI * np.exp(-x * x), lambda x, f, d: -2 * x * d),
    special.erfcx: (_erfcx_first, _erfcx_second),
    special.ndtr: (lambda x, f: np.exp(-x * x / 2) / SQRT_2PI, lambda x, f, d: -x * d),
    special.log_ndtr: (lambda x, f: np.sqrt(2 / np.pi) / special.erfcx(-x / SQRT2), _log_ndtr_second),
    special.ndtri: (lambda x, f: SQRT_2PI * np.exp(f * f / 2), lambda x, f, d: f * d * d),
    special.expit: (lambda x, f: f * special.expit(-x), lambda x, f, d: -d * np.tanh(x / 2)),
    special.log_expit: (lambda x, f: special.expit(-x), lambda x, f, d: -d * special.expit(x)),
    special.logit: (lambda x, f: 1 / (x * (1 - x)), lambda x, f, d: (2 * x - 1) * d * d),
    special.entr: (lambda x, f: -np.log(x) - 1, lambda x, f, d: -1 / x),
    special.i0: (lambda x, f: special.i1(x), lambda x, f, d: _i1_slope(x, f, d)),
    special.i1: (lambda x, f: _i1_slope(x, special.i0(x), f), lambda x, f, d: (3 * f + special.iv(3, x)) / 4),
    special.i0e: (
        lambda x, f: _bessel(0, 1, x, special.i1e(x) - _right_sign(x) * f),
        lambda x, f, d: _bessel(0, 2, x, _i1_slope(x, f, special.i1e(x)) - f - 2 * _right_sign(x) * d),
    ),
    special.i1e: (
        lambda x, f: _bessel(1, 1, x, _i1_slope(x, special.i0e(x), f) - _right_sign(x) * f),
        lambda x, f, d: _bessel(1, 2, x, (special.ive(3, x) - f) / 4 - 2 * _right_sign(x) * d),
    ),
}

_POWER = Binary(
    a=lambda a, b, f: _unless_zero(b, b * a ** (b - 1)),
    b=lambda a, b, f: special.xlogy(f, a),
    aa=lambda a, b, f: _unless_zero(b * (b - 1), b * (b - 1) * a ** (b - 2)),
    ab=_power_ab,
    bb=lambda a, b, f: special.xlogy(special.xlogy(f, a), a),
)

_REL_ENTR = Binary(
    a=lambda a, b, f: 1 + _log_ratio(a, b),
    b=lambda a, b, f: _unless_zero(a, -a / b),
    aa=lambda a, b, f: 1 / a,
    ab=lambda a, b, f: -1 / b,
    bb=lambda a, b, f: _unless_zero(a, a / b / b),
)

BINARY: dict[np.ufunc, Binary] = {
    np.add: Binary(1.0, 1.0),
    np.subtract: Binary(1.0, -1.0),
    np.multiply: Binary(lambda a, b, f: b, lambda a, b, f: a, ab=1.0),
    np.divide: Binary(
        a=lambda a, b, f: 1 / b,
        b=lambda a, b, f: -f / b,
        ab=lambda a, b, f: -1 / b / b,
        bb=lambda a, b, f: 2 * f / b / b,
    ),
    np.power: _POWER,
    np.float_power: _POWER,
    np.arctan2: Binary(
        a=lambda a, b, f: b / np.hypot(a, b) / np.hypot(a, b),
        b=lambda a, b, f: -a / np.hypot(a, b) / np.hypot(a, b),
        aa=lambda a, b, f: _arctan2_bb(-a, b),
        ab=_arctan2_ab,
        bb=lambda a, b, f: _arctan2_bb(a, b),
    ),
    np.hypot: Binary(
        a=lambda a, b, f: a / f,
        b=lambda a, b, f: b / f,
        aa=lambda a, b, f: (b / f) ** 2 / f,
        ab=lambda a, b, f: -(a / f) * (b / f) / f,
        bb=lambda a, b, f: (a / f) ** 2 / f,
    ),
    np.logaddexp: _log_sum(1.0),
    np.logaddexp2: _log_sum(LN2),
    special.xlogy: Binary(
        a=lambda a, b, f: np.log(b),
        b=lambda a, b, f: _unless_zero(a, a / b),
        ab=lambda a, b, f: 1 / b,
        bb=lambda a, b, f: _unless_zero(a, -a / b / b),
    ),
    special.xlog1py: Binary(
        a=lambda a, b, f: np.log1p(b),
        b=lambda a, b, f: _unless_zero(a, a / (1 + b)),
        ab=lambda a, b, f: 1 / (1 + b),
        bb=lambda a, b, f: _unless_zero(a, -a / (1 + b) / (1 + b)),
    ),
    special.rel_entr: _REL_ENTR,
    special.kl_div: _REL_ENTR._replace(a=lambda a, b, f: _log_ratio(a, b), b=lambda a, b, f: (b - a) / b),
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
}

# At a tie the derivative is the first argument's.
CHOICES: dict[np.ufunc, Callable[[Array, Array], Mask]] = {
    np.maximum: lambda a, b: ~(a < b),
    np.minimum: lambda a, b: ~(a > b),
    np.fmax: lambda a, b: (a >= b) | np.isnan(b),
    np.fmin: lambda a, b: (a <= b) | np.isnan(b),
}

FLAT: frozenset[np.ufunc] = frozenset(
    {
        *(np.less, np.less_equal, np.equal, np.not_equal, np.greater, np.greater_equal),
        *(np.logical_and, np.logical_or, np.logical_xor, np.logical_not),
        *(np.isfinite, np.isinf, np.isnan, np.signbit),
        *(np.sign, np.heaviside, np.floor, np.ceil, np.trunc, np.rint),
    }
)
