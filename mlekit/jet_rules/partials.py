"""What a derivative rule is made of."""

from collections.abc import Callable
from typing import Any, NamedTuple, NoReturn

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Partial = Callable[..., Any] | float | None
Unary = tuple[Partial, Partial]


def NO_RULE(*arguments: Any) -> NoReturn:
    """Mark an argument of a function that can be data alone, such as the order of a Bessel function."""
    raise NotImplementedError


class Binary(NamedTuple):
    """Partial derivatives of ``f(a, b)``: functions of ``(a, b, f)``, constants, or None for zero."""

    a: Partial
    b: Partial
    aa: Partial = None
    ab: Partial = None
    bb: Partial = None


def patch(value: Array, where: Mask, formula: Callable[..., Array], *rows: Array, **options: int) -> Array:
    """``value`` with the rows that satisfy ``where`` recomputed by ``formula``."""
    if where.any():
        value[where] = formula(*(row[where] for row in rows), **options)
    return value


def unless_zero(a: Array, value: Array) -> Array:
    """``value``, but 0 where its factor ``a`` is 0: 0 log 0 and 0 a**-1 are limits, not NaN."""
    return np.where(a == 0, 0.0, value)
