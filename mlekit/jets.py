"""Exact first and second derivatives of plain NumPy and scipy.special code.

A jet is a value together with its first and second derivatives in the few parameters of a distribution, for
every row at once. Arithmetic on jets follows the chain rule (forward-mode differentiation to second order:
Griewank & Walther, Evaluating Derivatives, 2nd ed. 2008, ch. 13), so a log-density that is written for arrays
gives its derivatives to rounding error when it is called with jets. The formulas are in
:mod:`mlekit.jet_rules`, the arithmetic in :mod:`mlekit.jet_numbers`.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from mlekit.jet_chain import chain
from mlekit.jet_errors import DerivativeError
from mlekit.jet_numbers import Jet

__all__ = ["DerivativeError", "Jet", "Rows", "as_jet", "as_rows", "composed", "derivatives", "variables"]


class Rows(NamedTuple):
    """Log-density of each row and its derivatives with respect to k quantities.

    Below order 2 ``hess`` is None, at order 0 ``grad`` too. They are typed Any because who asks for an order
    knows what is there.
    """

    value: np.ndarray  # (n,)
    grad: Any  # (k, n) or None
    hess: Any  # (k, k, n) or None


def derivatives(
    function: Callable[..., Any], y: ArrayLike, *theta: ArrayLike, order: int = 2, rows: int | None = None
) -> Rows:
    """Value and derivatives in ``theta`` of ``function(y, *theta)``, row by row.

    Parameters
    ----------
    function : callable
        Vectorised over rows, and written with NumPy and scipy.special functions. Called with plain arrays at
        order 0, with jets above.
    y : array_like, shape (n,) or (n, m)
        Handed to ``function`` as an array.
    *theta : array_like, shape (n,) or scalar
        The k quantities to differentiate by.
    order : {0, 1, 2}
        Highest derivative wanted.
    rows : int, optional
        How many rows the function returns of quantities that are the same in all of them, ``(1,)`` each.

    Raises
    ------
    DerivativeError
        If ``function`` applies to a jet something that has no derivative rule. The message names it.
    ValueError
        If the result is not one real number per row.

    Examples
    --------
    >>> import numpy as np
    >>> from mlekit.jets import derivatives
    >>> rows = derivatives(lambda y, rate: np.log(rate) - rate * y, [1.0, 4.0], 0.5)
    >>> rows.grad
    array([[ 1., -2.]])
    >>> rows.hess
    array([[[-4., -4.]]])
    """
    y = np.asarray(y)
    given = np.broadcast_shapes((1,), *map(np.shape, theta), *(() if rows is not None else (y.shape[:1],)))
    shape = given if rows is None else (rows,)
    plain = [np.broadcast_to(np.asarray(t, dtype=float), given) for t in theta]
    with np.errstate(all="ignore"):
        result = function(y, *(plain if order == 0 else variables(*plain, order=order)))
    return as_rows(result, shape, len(theta), order)


def variables(*values: ArrayLike, order: int = 2) -> "tuple[Jet, ...]":
    """Jets to differentiate by: the i-th has derivative 1 in quantity i.

    Parameters
    ----------
    *values : array_like
        Broadcast to a common one-dimensional shape.
    order : {1, 2}
        Highest derivative to carry.

    Examples
    --------
    >>> from mlekit.jets import variables
    >>> mu, sigma = variables([1.0, 3.0], 2.0)
    >>> (mu / sigma).grad
    {0: array([0.5, 0.5]), 1: array([-0.25, -0.75])}
    >>> (mu / sigma).hess
    {(0, 1): array([-0.25, -0.25]), (1, 1): array([0.25, 0.75])}
    """
    arrays = np.broadcast_arrays(np.zeros(1), *(np.asarray(v, dtype=float) for v in values))[1:]
    return tuple(Jet(v, {i: np.ones(v.shape)}, {} if order == 2 else None) for i, v in enumerate(arrays))


def _plain(result: Any) -> np.ndarray:
    """Array of what a function returned that is no jet; None would become NaN, and a complex number lose a part."""
    if result is None:
        raise ValueError("the function returned None: its last line has to be return, with one number per row")
    if isinstance(result, list | tuple) and any(isinstance(part, Jet) for part in result):
        raise ValueError(f"the function returned a {type(result).__name__} of arrays: it has to be one array")
    if np.iscomplexobj(result):
        raise ValueError("the function returned complex numbers: a log-density is real")
    return np.asarray(result, dtype=float)


def as_jet(rows: Rows) -> Any:
    """Return rows as a jet, so that functions of them are differentiated further; at order 0 the plain values.

    Examples
    --------
    >>> import numpy as np
    >>> from mlekit.jets import Rows, as_jet
    >>> np.exp(as_jet(Rows(np.zeros(1), np.full((1, 1), 2.0), None))).grad
    {0: array([2.])}
    """
    if rows.grad is None:
        return rows.value
    k = len(rows.grad)
    hess = None if rows.hess is None else {(i, j): rows.hess[i, j] for j in range(k) for i in range(j + 1)}
    return Jet(rows.value, dict(enumerate(rows.grad)), hess)


def composed(rows: Rows, *at: Any) -> Any:
    """Return what has these rows as a function of jets: the chain rule, for a function differentiated otherwise.

    Parameters
    ----------
    rows : Rows
        Value and derivatives in as many quantities as there are ``at``.
    *at : Jet or array
        Those quantities; arrays are constants.

    Examples
    --------
    >>> import numpy as np
    >>> from mlekit.jets import Rows, composed, variables
    >>> (x,) = variables([3.0], order=1)
    >>> composed(Rows(np.array([9.0]), np.array([[6.0]]), None), 2 * x).grad
    {0: array([12.])}
    """
    live = [i for i, quantity in enumerate(at) if isinstance(quantity, Jet)]
    jets = [at[i] for i in live]
    seconds = (
        None
        if rows.hess is None
        else {(p, q): rows.hess[live[p], live[q]] for q in range(len(live)) for p in range(q + 1)}
    )
    if any(x.hess is None for x in jets):
        seconds = None
    grad, hess = chain([x.grad for x in jets], [x.hess for x in jets], [rows.grad[i] for i in live], seconds)
    return Jet(rows.value, grad, hess)


def as_rows(result: "Jet | ArrayLike", shape: tuple[int, ...], k: int, order: int) -> Rows:
    """Turn what a function of k jets returned into arrays, with zeros for what is absent."""
    jet = result if isinstance(result, Jet) else Jet(_plain(result), {}, {})
    if jet.shape != shape:
        if jet.ndim > 0:
            raise ValueError(f"expected one number per row, shape {shape}; the function returned shape {jet.shape}")
        jet = Jet(np.full(shape, jet.value), {}, {})
    if order == 0:
        return Rows(jet.value, None, None)
    grad = np.zeros((k, *shape))
    for i, g in jet.grad.items():
        grad[i] = g
    if order == 1:
        return Rows(jet.value, grad, None)
    hess = np.zeros((k, k, *shape))
    for (i, j), h in (jet.hess or {}).items():
        hess[i, j] = hess[j, i] = h
    return Rows(jet.value, grad, hess)
