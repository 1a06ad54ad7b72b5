"""Derivative rules of powers, exponentials, logarithms, the functions of angles, and choices."""

from collections.abc import Callable

import numpy as np
from scipy import special

from mlekit.jet_rules.partials import Array, Binary, Mask, Unary, patch, unless_zero

LN2, LN10 = np.log(2), np.log(10)
TINY = np.finfo(float).tiny


def _power_ab(a: Array, b: Array, f: Array) -> Array:
    p = a ** (b - 1)
    return p + b * special.xlogy(p, a)


def _log_ratio(a: Array, b: Array) -> Array:
    """``log(a / b)``, accurate also where a is close to b, or so far that the ratio is out of range."""
    ratio = a / b
    far = np.where((ratio > TINY) & (ratio < np.inf), np.log(ratio), np.log(a) - np.log(b))
    return np.where(np.abs(a - b) < b / 2, np.log1p((a - b) / b), far)


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


def _exprel_slope(order: int, u: Array) -> Array:
    """Differentiate ``(exp(u) - 1) / u``: by its series where the closed form cancels."""
    u = np.asarray(u, dtype=float)
    below = special.exprel(u) if order == 1 else _exprel_slope(1, u)
    return patch(np.asarray((np.exp(u) - order * below) / u), np.abs(u) < 2, _exprel_series, u, order=order)


def _exprel_series(u: Array, order: int) -> Array:
    """``sum u**k / (k! (k + order + 1))``, the integral of ``t**order exp(t u)`` over the unit interval."""
    term, total = np.ones_like(u), np.zeros_like(u)
    for k in range(27):
        total += term / (k + order + 1)
        term = term * u / (k + 1)
    return total


def _box_cox(log: np.ufunc, shift: float) -> Binary:
    """``((shift + x)**b - 1) / b``, where ``log(x)`` is the logarithm of ``shift + x``."""

    def slope(order: int, x: Array, b: Array, f: Array) -> Array:
        power, log_x = (shift + x) ** b, log(x)
        below = f if order == 1 else slope(1, x, b, f)
        far = (unless_zero(power, power * log_x**order) - order * below) / b
        near = log_x ** (order + 1) * _exprel_series(b * log_x, order)
        return np.where(np.abs(b * log_x) < 2, near, far)

    return Binary(
        a=lambda x, b, f: (shift + x) ** (b - 1),
        b=lambda x, b, f: slope(1, x, b, f),
        aa=lambda x, b, f: unless_zero(b - 1, (b - 1) * (shift + x) ** (b - 2)),
        ab=lambda x, b, f: log(x) * (shift + x) ** (b - 1),
        bb=lambda x, b, f: slope(2, x, b, f),
    )


def _huber_bend(width: Array, r: Array) -> Array:
    """``1 - c`` with ``c = width / hypot(width, r)``, which cancels for a small r."""
    h = np.hypot(width, r)
    return r / h * (r / (h + width))


# ---------------------------------------------------------------- the tables

UNARY: dict[np.ufunc, Unary] = {
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
    special.expit: (lambda x, f: f * special.expit(-x), lambda x, f, d: -d * np.tanh(x / 2)),
    special.log_expit: (lambda x, f: special.expit(-x), lambda x, f, d: -d * special.expit(x)),
    special.logit: (lambda x, f: 1 / (x * (1 - x)), lambda x, f, d: (2 * x - 1) * d * d),
    special.entr: (lambda x, f: -np.log(x) - 1, lambda x, f, d: -1 / x),
    special.cbrt: (lambda x, f: 1 / (3 * f * f), lambda x, f, d: -2 / 3 * d / x),
    special.exp2: (lambda x, f: LN2 * f, lambda x, f, d: LN2 * d),
    special.exp10: (lambda x, f: LN10 * f, lambda x, f, d: LN10 * d),
    special.expm1: (lambda x, f: np.exp(x), lambda x, f, d: d),
    special.log1p: (lambda x, f: 1 / (1 + x), lambda x, f, d: -d * d),
    special.cosm1: (lambda x, f: -np.sin(x), lambda x, f, d: -np.cos(x)),
    special.exprel: (lambda x, f: _exprel_slope(1, x), lambda x, f, d: _exprel_slope(2, x)),
    **{degrees: (180 / np.pi, None) for degrees in (np.degrees, np.rad2deg)},
    **{radians: (np.pi / 180, None) for radians in (np.radians, np.deg2rad)},
}

_POWER = Binary(
    a=lambda a, b, f: unless_zero(b, b * a ** (b - 1)),
    b=lambda a, b, f: special.xlogy(f, a),
    aa=lambda a, b, f: unless_zero(b * (b - 1), b * (b - 1) * a ** (b - 2)),
    ab=_power_ab,
    bb=lambda a, b, f: special.xlogy(special.xlogy(f, a), a),
)

_REL_ENTR = Binary(
    a=lambda a, b, f: 1 + _log_ratio(a, b),
    b=lambda a, b, f: unless_zero(a, -a / b),
    aa=lambda a, b, f: 1 / a,
    ab=lambda a, b, f: -1 / b,
    bb=lambda a, b, f: unless_zero(a, a / b / b),
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
        b=lambda a, b, f: unless_zero(a, a / b),
        ab=lambda a, b, f: 1 / b,
        bb=lambda a, b, f: unless_zero(a, -a / b / b),
    ),
    special.xlog1py: Binary(
        a=lambda a, b, f: np.log1p(b),
        b=lambda a, b, f: unless_zero(a, a / (1 + b)),
        ab=lambda a, b, f: 1 / (1 + b),
        bb=lambda a, b, f: unless_zero(a, -a / (1 + b) / (1 + b)),
    ),
    special.rel_entr: _REL_ENTR,
    special.kl_div: _REL_ENTR._replace(a=lambda a, b, f: _log_ratio(a, b), b=lambda a, b, f: (b - a) / b),
    special.powm1: _POWER._replace(
        b=lambda a, b, f: special.xlogy(a**b, a), bb=lambda a, b, f: special.xlogy(special.xlogy(a**b, a), a)
    ),
    special.boxcox: _box_cox(np.log, 0.0),
    special.boxcox1p: _box_cox(np.log1p, 1.0),
    # Between its jumps.
    np.remainder: Binary(1.0, lambda a, b, f: -np.floor(a / b)),
    np.fmod: Binary(1.0, lambda a, b, f: -np.trunc(a / b)),
    special.huber: Binary(
        a=lambda width, r, f: np.maximum(np.abs(r) - width, 0.0),
        b=lambda width, r, f: np.clip(r, -width, width),
        aa=lambda width, r, f: np.where(np.abs(r) > width, -1.0, 0.0),
        ab=lambda width, r, f: np.where(np.abs(r) > width, np.sign(r), 0.0),
        bb=lambda width, r, f: np.where(np.abs(r) > width, 0.0, 1.0),
    ),
    special.pseudo_huber: Binary(
        a=lambda width, r, f: np.hypot(width, r) * _huber_bend(width, r) ** 2,
        b=lambda width, r, f: width * (r / np.hypot(width, r)),
        aa=lambda width, r, f: -(_huber_bend(width, r) ** 2) * (2 + width / np.hypot(width, r)),
        ab=lambda width, r, f: (r / np.hypot(width, r)) ** 3,
        bb=lambda width, r, f: (width / np.hypot(width, r)) ** 3,
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
        *(np.sign, np.heaviside, np.floor, np.ceil, np.trunc, np.rint, np.floor_divide, special.gammasgn),
    }
)
