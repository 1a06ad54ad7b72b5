"""Derivative rules of modified Bessel functions, as those of von Mises and inverse Gaussian densities.

The recurrences of DLMF 10.29 take derivatives to neighbouring orders. Those of a function scaled by ``exp(-|x|)`` or
``exp(x)`` cancel in the tails, where Hankel's expansions, DLMF 10.40.1 and 10.40.2, are differentiated term by term.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import special

from mlekit.jet_rules.partials import NO_RULE, Array, Binary, Unary, patch

# From here on 22 terms give full precision, for an order that is small beside the root of x.
_FAR = 25
_TERMS = 22


def _far(nu: Any, x: Array) -> Any:
    return (np.abs(x) > _FAR) & (np.abs(x) > np.square(nu))


def _expansion(kind: int, nu: Array, x: Array, derivative: int) -> Array:
    """Differentiate the expansion of ``exp(-x) I_nu(x)`` (``kind`` 1) or ``exp(x) K_nu(x)`` (-1)."""
    term = np.sqrt((1 / (2 * np.pi) if kind == 1 else np.pi / 2) / x) / x**derivative
    total = np.zeros_like(x)
    for k in range(_TERMS):
        total += term * (-0.5 - k if derivative == 1 else (0.5 + k) * (1.5 + k))
        term = term * kind * ((2 * k + 1) ** 2 - 4 * nu * nu) / (8 * (k + 1) * x)
    return total


def _scaled(kind: int, derivative: int, nu: Any, x: Any, near: Any) -> Any:
    """Derivative of a scaled function of order ``nu``: ``near`` in the middle, the expansion in the tails."""
    order, x, near = np.broadcast_arrays(np.asarray(nu, dtype=float), x, np.asarray(near, dtype=float))
    where = _far(order, x)
    value = patch(near.copy(), where, lambda nu, x: _expansion(kind, nu, np.abs(x), derivative), order, x)
    # Of an even function the odd derivatives are odd; of I_nu with an odd order it is the other way round.
    return np.where(where & (x < 0), (-1) ** derivative * np.cos(np.pi * order) * value, value)


def _right_sign(x: Array) -> Array:
    """Sign of x, 1 at zero: i0e and i1e have a kink there, and a concentration comes from the right."""
    return np.where(x < 0, -1.0, 1.0)


def _i1_slope(x: Any, i0: Any, i1: Any) -> Array:
    """``(I_0 + I_2) / 2``."""
    return np.where(x == 0, 0.5, i0 - i1 / x)


def _first(function: Callable[..., Any], nu: Any, x: Any) -> Any:
    """``I_nu'(x)``, and ``-K_nu'(x)``."""
    return (function(nu - 1, x) + function(nu + 1, x)) / 2


def _second(function: Callable[..., Any], nu: Any, x: Any) -> Any:
    return (function(nu - 2, x) + 2 * function(nu, x) + function(nu + 2, x)) / 4


def _ive_first(nu: Any, x: Any, f: Any) -> Any:
    return _scaled(1, 1, nu, x, _first(special.ive, nu, x) - _right_sign(x) * f)


def _ive_second(nu: Any, x: Any, f: Any) -> Any:
    return _scaled(1, 2, nu, x, _second(special.ive, nu, x) + f - 2 * _right_sign(x) * _first(special.ive, nu, x))


def _kve_first(nu: Any, x: Any, f: Any) -> Any:
    return _scaled(-1, 1, nu, x, f - _first(special.kve, nu, x))


def _kve_second(nu: Any, x: Any, f: Any) -> Any:
    return _scaled(-1, 2, nu, x, _second(special.kve, nu, x) + f - 2 * _first(special.kve, nu, x))


UNARY: dict[np.ufunc, Unary] = {
    special.i0: (lambda x, f: special.i1(x), lambda x, f, d: _i1_slope(x, f, d)),
    special.i1: (lambda x, f: _i1_slope(x, special.i0(x), f), lambda x, f, d: (3 * f + special.iv(3, x)) / 4),
    special.i0e: (
        lambda x, f: _scaled(1, 1, 0, x, special.i1e(x) - _right_sign(x) * f),
        lambda x, f, d: _scaled(1, 2, 0, x, _i1_slope(x, f, special.i1e(x)) - f - 2 * _right_sign(x) * d),
    ),
    special.i1e: (
        lambda x, f: _scaled(1, 1, 1, x, _i1_slope(x, special.i0e(x), f) - _right_sign(x) * f),
        lambda x, f, d: _scaled(1, 2, 1, x, (special.ive(3, x) - f) / 4 - 2 * _right_sign(x) * d),
    ),
    special.k0: (lambda x, f: -special.k1(x), lambda x, f, d: f - d / x),
    special.k1: (lambda x, f: -special.k0(x) - f / x, lambda x, f, d: f - d / x + f / x / x),
    special.k0e: (
        lambda x, f: _scaled(-1, 1, 0, x, f - special.k1e(x)),
        lambda x, f, d: _scaled(-1, 2, 0, x, 2 * (f - special.k1e(x)) + special.k1e(x) / x),
    ),
    special.k1e: (
        lambda x, f: _scaled(-1, 1, 1, x, f - special.k0e(x) - f / x),
        lambda x, f, d: _scaled(-1, 2, 1, x, 2 * (f - special.k0e(x)) - (2 * f - special.k0e(x)) / x + 2 * f / x / x),
    ),
}

BINARY: dict[np.ufunc, Binary] = {
    special.iv: Binary(
        NO_RULE, lambda nu, x, f: _first(special.iv, nu, x), bb=lambda nu, x, f: _second(special.iv, nu, x)
    ),
    special.kv: Binary(
        NO_RULE, lambda nu, x, f: -_first(special.kv, nu, x), bb=lambda nu, x, f: _second(special.kv, nu, x)
    ),
    special.ive: Binary(NO_RULE, _ive_first, bb=_ive_second),
    special.kve: Binary(NO_RULE, _kve_first, bb=_kve_second),
}
