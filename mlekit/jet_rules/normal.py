"""Derivative rules of the normal distribution and the error function."""

import numpy as np
from scipy import special

from mlekit.jet_rules.partials import NO_RULE, Array, Binary, Unary, patch

SQRT2, SQRT_PI, SQRT_2PI = np.sqrt(2), np.sqrt(np.pi), np.sqrt(2 * np.pi)


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
    return patch(-hazard * (x + hazard), x < -4, lambda x, hazard: -hazard * _mills(-x)[0], x, hazard)


def _erfcx_first(x: Array, f: Array) -> Array:
    return patch(2 * x * f - 2 / SQRT_PI, x > 3, lambda x, f: -SQRT2 * f * _mills(SQRT2 * x)[0], x, f)


def _erfcx_second(x: Array, f: Array, d: Array) -> Array:
    return patch(2 * (f + x * d), x > 3, lambda x, f: 2 * f * np.multiply(*_mills(SQRT2 * x)), x, f)


def _hazard(x: Array) -> Array:
    """``phi(x) / Phi(x)``, the slope of ``log_ndtr``."""
    return np.sqrt(2 / np.pi) / special.erfcx(-x / SQRT2)


def _density(x: Array) -> Array:
    return np.exp(-x * x / 2) / SQRT_2PI


def _t_density(df: Array, x: Array) -> Array:
    """Student's t; its exponent is a log1p, for a large ``df``."""
    return np.exp(-(df + 1) / 2 * np.log1p(x / df * x) - np.log(df) / 2 - special.betaln(df / 2, 0.5))


UNARY: dict[np.ufunc, Unary] = {
    special.erf: (lambda x, f: 2 / SQRT_PI * np.exp(-x * x), lambda x, f, d: -2 * x * d),
    special.erfc: (lambda x, f: -2 / SQRT_PI * np.exp(-x * x), lambda x, f, d: -2 * x * d),
    special.erfi: (lambda x, f: 2 / SQRT_PI * np.exp(x * x), lambda x, f, d: 2 * x * d),
    special.erfcx: (_erfcx_first, _erfcx_second),
    special.erfinv: (lambda x, f: SQRT_PI / 2 * np.exp(f * f), lambda x, f, d: 2 * f * d * d),
    special.erfcinv: (lambda x, f: -SQRT_PI / 2 * np.exp(f * f), lambda x, f, d: 2 * f * d * d),
    special.ndtr: (lambda x, f: _density(x), lambda x, f, d: -x * d),
    special.log_ndtr: (lambda x, f: _hazard(x), _log_ndtr_second),
    special.ndtri: (lambda x, f: SQRT_2PI * np.exp(f * f / 2), lambda x, f, d: f * d * d),
    special.ndtri_exp: (lambda x, f: 1 / _hazard(f), lambda x, f, d: -(d**3) * _log_ndtr_second(f, x, 1 / d)),
}

BINARY: dict[np.ufunc, Binary] = {
    special.owens_t: Binary(
        a=lambda h, a, f: -_density(h) * special.erf(a * h / SQRT2) / 2,
        b=lambda h, a, f: _density(h) * _density(a * h) / (1 + a * a),
        aa=lambda h, a, f: _density(h) * (h * special.erf(a * h / SQRT2) / 2 - a * _density(a * h)),
        ab=lambda h, a, f: -_density(h) * h * _density(a * h),
        bb=lambda h, a, f: -_density(h) * _density(a * h) / (1 + a * a) * a * (h * h + 2 / (1 + a * a)),
    ),
    special.stdtr: Binary(
        a=NO_RULE,
        b=lambda df, x, f: _t_density(df, x),
        bb=lambda df, x, f: -_t_density(df, x) * (df + 1) * (x / (df + x * x)),
    ),
}
