"""Exact first and second derivatives of plain NumPy and scipy.special code.

A jet is a value together with its first and second derivatives in the few parameters of a distribution, for
every row at once. Arithmetic on jets follows the chain rule (forward-mode differentiation to second order:
Griewank & Walther, Evaluating Derivatives, 2nd ed. 2008, ch. 13), so a log-density that is written for arrays
gives its derivatives to rounding error when it is called with jets. The formulas are in
:mod:`mlekit.jet_rules`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, NoReturn

import numpy as np
from numpy.typing import ArrayLike

from mlekit.jet_errors import WAYS_OUT, DerivativeError, NoSuchMethod, name_of, refuse, refuse_conversion
from mlekit.jet_rules import BINARY, CHOICES, FLAT, NO_RULE, UNARY, Array, Binary, Partial

Gradient = dict[int, Array]
Hessian = dict[tuple[int, int], Array]


class Rows(NamedTuple):
    """Log-density of each row and its derivatives with respect to k quantities.

    Below order 2 ``hess`` is None, at order 0 ``grad`` too. They are typed Any because who asks for an order
    knows what is there.
    """

    value: np.ndarray  # (n,)
    grad: Any  # (k, n) or None
    hess: Any  # (k, k, n) or None


def derivatives(function: Callable[..., Any], y: ArrayLike, *theta: ArrayLike, order: int = 2) -> Rows:
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

    Raises
    ------
    DerivativeError
        If ``function`` applies to a jet something that has no derivative rule. The message names it.
    ValueError
        If the result is not one number per row.

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
    shape = np.broadcast_shapes((1,), y.shape[:1], *map(np.shape, theta))
    plain = [np.broadcast_to(np.asarray(t, dtype=float), shape) for t in theta]
    with np.errstate(all="ignore"):
        result = function(y, *(plain if order == 0 else variables(*plain, order=order)))
    return _dense(result, shape, len(theta), order)


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


def _dense(result: "Jet | ArrayLike", shape: tuple[int, ...], k: int, order: int) -> Rows:
    """Turn what a function of k jets returned into arrays, with zeros for what is absent."""
    jet = result if isinstance(result, Jet) else Jet(np.asarray(result, dtype=float), {}, {})
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


class Jet(np.lib.mixins.NDArrayOperatorsMixin):
    """A number per row with its first and second derivatives in a few quantities.

    Jets are made by :func:`variables` and combined by operators, NumPy and scipy.special functions,
    ``np.where``, ``np.select`` and ``np.clip``. Comparisons, ``np.isfinite``, ``np.floor`` and the like act
    on the values and return plain arrays. What has no rule raises :class:`DerivativeError`; nothing falls
    back silently.

    Parameters
    ----------
    value : ndarray, shape (n,)
    grad : dict of int to ndarray
        First derivatives by quantity. An absent entry is zero in all rows.
    hess : dict of (int, int) to ndarray, or None
        Second derivatives by pairs ``i <= j``. An absent entry is zero; None carries first derivatives only.

    Examples
    --------
    >>> import numpy as np
    >>> from mlekit.jets import variables
    >>> (x,) = variables([0.0, 2.0])
    >>> np.exp(-x) * x
    Jet([0. 0.27067057], grad={0: array([ 1. , -0.13533528])}, hess={(0, 0): array([-2.,  0.])})
    >>> np.where(x > 1, x**2, 0.0).grad
    {0: array([0., 4.])}
    """

    __slots__ = ("grad", "hess", "value")

    def __init__(self, value: Array, grad: Gradient, hess: Hessian | None) -> None:
        self.value, self.grad, self.hess = value, grad, hess

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if method != "__call__":
            refuse(f"{name_of(ufunc)}.{method}")
        if kwargs:
            refuse(f"{name_of(ufunc)} with {'=, '.join(kwargs)}= (for a += b write a = a + b)")
        with np.errstate(all="ignore"):
            if ufunc in FLAT:
                return ufunc(*map(_value, inputs))
            if ufunc in UNARY:
                return _unary(ufunc, *UNARY[ufunc], *inputs)
            if ufunc in BINARY:
                return _binary(ufunc, BINARY[ufunc], *inputs)
            if ufunc in CHOICES:
                a, b = map(_value, inputs)
                return _choose(ufunc(a, b), CHOICES[ufunc](a, b), *inputs)
        refuse(name_of(ufunc))

    def __array_function__(
        self, function: Callable[..., Any], types: Any, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Any:
        if function not in FUNCTIONS:
            refuse(name_of(function))
        with np.errstate(all="ignore"):
            return FUNCTIONS[function](*args, **kwargs)

    def __array__(self, dtype: Any = None, copy: Any = None) -> NoReturn:
        refuse_conversion()

    def __float__(self) -> NoReturn:
        raise DerivativeError(f"mlekit cannot differentiate through float() or the math module. {WAYS_OUT}")

    def __bool__(self) -> NoReturn:
        raise DerivativeError(
            "a jet has a value for each row, so it is neither true nor false: "
            "use np.where(condition, a, b) in place of if, and np.maximum in place of max"
        )

    def __setitem__(self, key: Any, item: Any) -> NoReturn:
        raise DerivativeError(
            f"mlekit cannot differentiate item assignment: np.where builds an array by cases. {WAYS_OUT}"
        )

    def __getitem__(self, key: Any) -> "Jet":
        parts = key if isinstance(key, tuple) else (key,)
        if not all(part is ... or (isinstance(part, slice) and part == slice(None)) for part in parts):
            refuse("an index that picks or orders rows (np.where(condition, a, b) keeps them all)")
        return self

    def __iter__(self) -> NoReturn:
        refuse("iteration over rows")

    def __getattr__(self, name: str) -> Any:
        if name in ("shape", "ndim", "size", "dtype"):
            return getattr(self.value, name)
        if name.startswith("_"):
            raise AttributeError(name)
        raise NoSuchMethod(f"mlekit has no derivative rule for the array's .{name}. {WAYS_OUT}")

    def __repr__(self) -> str:
        return f"Jet({self.value}, grad={self.grad}, hess={self.hess})"

    def __len__(self) -> int:
        return len(self.value)


def _value(x: Any) -> Any:
    """Values of a jet, or a constant as float64: bool and int do not negate and divide as partials do."""
    if isinstance(x, Jet):
        return x.value
    constant = np.asarray(x)
    if constant.dtype.kind not in "biuf":
        raise DerivativeError(f"mlekit cannot combine a jet with dtype {constant.dtype}")
    return constant.astype(float, copy=False)[()]


# ---------------------------------------------------------------- the chain rule


def _unary(ufunc: np.ufunc, first: Partial, second: Partial, x: Jet) -> Jet:
    f = ufunc(x.value)
    d = _partial(first, x.value, f)
    return _chain(f, [x], [d], None if x.hess is None else {(0, 0): _partial(second, x.value, f, d)})


def _binary(ufunc: np.ufunc, rule: Binary, *inputs: Any) -> Jet:
    a, b = map(_value, inputs)
    f = ufunc(a, b)
    live = [p for p, x in enumerate(inputs) if isinstance(x, Jet)]
    for p in live:
        if rule[p] is NO_RULE:
            refuse(f"{name_of(ufunc)} in its {('first', 'second')[p]} argument, which has to be data")
    jets = [inputs[p] for p in live]
    firsts = [_partial(rule[p], a, b, f) for p in live]
    if any(x.hess is None for x in jets):
        return _chain(f, jets, firsts, None)
    if len(live) == 1:
        return _chain(f, jets, firsts, {(0, 0): _partial(rule.bb if live[0] else rule.aa, a, b, f)})
    pairs = {(0, 0): rule.aa, (0, 1): rule.ab, (1, 1): rule.bb}
    return _chain(f, jets, firsts, {pq: _partial(c, a, b, f) for pq, c in pairs.items()})


def _partial(rule: Partial, *args: Any) -> Any:
    return rule(*args) if callable(rule) else rule


def _chain(value: Array, jets: list[Jet], firsts: list[Any], seconds: dict[tuple[int, int], Any] | None) -> Jet:
    """Jet of f(jets) from the partials of f by position; without ``seconds``, to first order only."""
    grad: Gradient = {}
    for x, d in zip(jets, firsts, strict=True):
        for i, g in x.grad.items():
            _add(grad, i, _times(d, g))
    if seconds is None:
        return _jet(value, grad, None)
    hess: Hessian = {}
    for x, d in zip(jets, firsts, strict=True):
        for ij, h in (x.hess or {}).items():
            _add(hess, ij, _times(d, h))
    for (p, q), c in seconds.items():
        if c is not None:
            _bend(hess, c, jets[p].grad, jets[q].grad, mixed=p != q)
    return _jet(value, grad, hess)


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
    # Not in place: a term may be an array of another jet.
    entries[key] = entries[key] + term if key in entries else term


def _jet(value: Array, grad: Gradient, hess: Hessian | None) -> Jet:
    """Jet with derivatives broadcast to the shape of the value, for jets of one row among arrays of many."""
    for entries in (grad, hess or {}):
        for key, d in entries.items():
            if d.shape != value.shape:
                entries[key] = np.broadcast_to(d, value.shape)  # type: ignore[index]
    return Jet(value, grad, hess)


# ---------------------------------------------------------------- array functions


def _choose(value: Array, mask: Any, x: Any, y: Any) -> Any:
    """Jet with the derivatives of x where the mask holds, of y elsewhere: selected, since 0 * inf is NaN."""
    jets = [z if isinstance(z, Jet) else Jet(z, {}, {}) for z in (x, y)]

    def select(a: dict[Any, Array], b: dict[Any, Array]) -> dict[Any, Array]:
        return {i: np.where(mask, a.get(i, 0.0), b.get(i, 0.0)) for i in sorted(a.keys() | b.keys())}

    grad = select(jets[0].grad, jets[1].grad)
    if jets[0].hess is None or jets[1].hess is None:
        return _jet(value, grad, None)
    return _jet(value, grad, select(jets[0].hess, jets[1].hess))


def _where(condition: Any, x: Any, y: Any) -> Any:
    condition = np.asarray(condition, dtype=bool)
    value = np.where(condition, _value(x), _value(y))
    return _choose(value, condition, x, y) if isinstance(x, Jet) or isinstance(y, Jet) else value


def _select(condlist: Sequence[Any], choicelist: Sequence[Any], default: Any = 0) -> Any:
    for condition, choice in reversed(list(zip(condlist, choicelist, strict=True))):
        default = _where(condition, choice, default)
    return default


def _clip(a: Any, a_min: Any = None, a_max: Any = None, *, min: Any = None, max: Any = None) -> Any:
    """At a bound the derivative is that of ``a``."""
    low, high = a_min if min is None else min, a_max if max is None else max
    a = a if low is None else np.maximum(a, low)
    return a if high is None else np.minimum(a, high)


def _of_values(function: Callable[..., Any]) -> Callable[..., Any]:
    """Apply an array function to the values of its first argument."""
    return lambda a, *args, **kwargs: function(a.value, *args, **kwargs)


def _is_close(a: Any, b: Any, *args: Any, **kwargs: Any) -> Any:
    return np.isclose(_value(a), _value(b), *args, **kwargs)


FUNCTIONS: dict[Callable[..., Any], Callable[..., Any]] = {
    np.where: _where,
    np.select: _select,
    np.clip: _clip,
    np.isclose: _is_close,
    **{
        function: _of_values(function)
        for function in (
            *(np.shape, np.ndim, np.size, np.zeros_like, np.ones_like, np.full_like, np.empty_like),
            *(np.isposinf, np.isneginf),
        )
    },
}
