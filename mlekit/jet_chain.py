"""The chain rule to second order, on derivatives by quantity."""

from collections.abc import Mapping, Sequence
from typing import Any

from mlekit.jet_rules import Array

Gradient = dict[int, Array]
Hessian = dict[tuple[int, int], Array]


def chain(
    gradients: Sequence[Gradient],
    hessians: Sequence[Hessian | None],
    firsts: Sequence[Any],
    seconds: Mapping[tuple[int, int], Any] | None,
) -> tuple[Gradient, Hessian | None]:
    """Derivatives of a function of arguments that have derivatives.

    Parameters
    ----------
    gradients, hessians : sequence of dict
        Derivatives of each argument. An absent entry is zero.
    firsts : sequence of ndarray or float
        Partial derivative of the function in each argument.
    seconds : mapping of (int, int) to ndarray, float or None
        Second partial derivatives by pairs of arguments ``p <= q``, None for zero; without ``seconds``, the
        result is of first order only.

    Examples
    --------
    >>> import numpy as np
    >>> x = {0: np.array([1.0])}
    >>> chain([x], [{}], [np.array([6.0])], {(0, 0): 2.0})  # the square of 3
    ({0: array([6.])}, {(0, 0): array([2.])})
    """
    grad: Gradient = {}
    for gradient, d in zip(gradients, firsts, strict=True):
        for i, g in gradient.items():
            _add(grad, i, _times(d, g))
    if seconds is None:
        return grad, None
    hess: Hessian = {}
    for hessian, d in zip(hessians, firsts, strict=True):
        for ij, h in (hessian or {}).items():
            _add(hess, ij, _times(d, h))
    for (p, q), c in seconds.items():
        if c is not None:
            _bend(hess, c, gradients[p], gradients[q], mixed=p != q)
    return grad, hess


def _bend(hess: Hessian, c: Any, left: Gradient, right: Gradient, mixed: bool) -> None:
    """Add the terms of a second partial c: c g_i g_j, or c (g_i h_j + h_i g_j) for two arguments."""
    for i, g in left.items():
        cg = _times(c, g)
        for j, h in right.items():
            if mixed and i == j:
                _add(hess, (i, i), 2 * cg * h)
            elif mixed or i <= j:
                _add(hess, (min(i, j), max(i, j)), cg * h)


def _times(d: Any, x: Array) -> Array:
    """``d * x``, without a pass over the rows for the factor 1 of sums."""
    return x if isinstance(d, float) and d == 1 else d * x


def _add(entries: dict[Any, Array], key: Any, term: Array) -> None:
    # Not in place: a term may be an array of an argument.
    entries[key] = entries[key] + term if key in entries else term
