"""Numbers that carry their derivatives through NumPy's operators, ufuncs and array functions."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from inspect import signature
from typing import Any, NoReturn

import numpy as np

from mlekit.jet_chain import Gradient, Hessian, chain
from mlekit.jet_errors import WAYS_OUT, DerivativeError, NoSuchMethod, name_of, no_rule, refuse, refuse_conversion
from mlekit.jet_rules import BINARY, CHOICES, FLAT, NO_RULE, UNARY, Array, Binary, Partial


class Jet(np.lib.mixins.NDArrayOperatorsMixin):
    """A number per row with its first and second derivatives in a few quantities.

    Jets are made by :func:`mlekit.jets.variables` and combined by operators, NumPy and scipy.special functions,
    ``np.where``, ``np.select`` and ``np.clip``. Terms of a series, a mixture or an integral lie along an axis beside
    that of the rows: ``mu[:, None]``, ``np.stack``, ``np.sum(terms, axis=1)``. Comparisons, ``np.isfinite``,
    ``np.floor`` and the like act on the values and return plain arrays. What has no rule raises
    :class:`DerivativeError`; nothing falls back silently.

    Parameters
    ----------
    value : ndarray, shape (n,) or with further axes
    grad : dict of int to ndarray
        First derivatives by quantity. An absent entry is zero in all rows.
    hess : dict of (int, int) to ndarray, or None
        Second derivatives by pairs ``i <= j``. An absent entry is zero; None carries first derivatives only.
    axis : int
        Where the rows lie, from the end. Further axes hold what is not yet summed, averaged or picked.

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

    __slots__ = ("axis", "grad", "hess", "value")

    def __init__(self, value: Array, grad: Gradient, hess: Hessian | None, axis: int = -1) -> None:
        self.value, self.grad, self.hess, self.axis = value, grad, hess, axis

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if method == "reduce" and ufunc in REDUCTIONS:
            return _call(REDUCTIONS[ufunc], f"{name_of(ufunc)}.reduce", inputs, {"axis": 0} | kwargs)
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
        return _call(FUNCTIONS[function], name_of(function), args, kwargs)

    def __array__(self, dtype: Any = None, copy: Any = None) -> NoReturn:
        refuse_conversion()

    def __float__(self, *digits: Any) -> NoReturn:
        raise DerivativeError(
            f"mlekit cannot differentiate through float(), int(), round() or the math module. {WAYS_OUT}"
        )

    __int__ = __complex__ = __round__ = __float__

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
        axis = _row_axis(key if isinstance(key, tuple) else (key,), self.ndim, self.ndim + self.axis)
        if axis is None:
            refuse("an index that picks or orders rows (np.where(condition, a, b) keeps them all)")
        return _map(self, lambda x: x[key], axis)

    def __iter__(self) -> NoReturn:
        refuse("iteration over rows")

    def __getattr__(self, name: str) -> Any:
        if name in ("shape", "ndim", "size", "dtype"):
            return getattr(self.value, name)
        if name in METHODS:
            return partial(METHODS[name], self)
        if name.startswith("_"):
            raise AttributeError(name)
        raise NoSuchMethod(no_rule(f"the array's .{name}"))

    def __repr__(self) -> str:
        return f"Jet({self.value}, grad={self.grad}, hess={self.hess})"

    def __len__(self) -> int:
        return len(self.value)


def _value(x: Any) -> Any:
    """Values of a jet, or a constant as float64: bool and int do not negate and divide as partials do."""
    if isinstance(x, Jet):
        return x.value
    constant = np.asarray(float(x) if isinstance(x, int) else x)  # an int of many digits would be an object
    if constant.dtype.kind not in "biuf":
        raise DerivativeError(f"mlekit cannot combine a jet with dtype {constant.dtype}")
    if isinstance(x, np.ma.MaskedArray):
        raise DerivativeError("mlekit cannot combine a jet with a masked array: np.where says what takes its place")
    return constant.astype(float, copy=False)[()]


# ---------------------------------------------------------------- ufuncs


def _unary(ufunc: np.ufunc, first: Partial, second: Partial, x: Jet) -> Jet:
    f = ufunc(x.value)
    d = _partial(first, x.value, f)
    return _jet(f, [x], [d], None if x.hess is None else {(0, 0): _partial(second, x.value, f, d)})


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
        return _jet(f, jets, firsts, None)
    if len(live) == 1:
        return _jet(f, jets, firsts, {(0, 0): _partial(rule.bb if live[0] else rule.aa, a, b, f)})
    pairs = {(0, 0): rule.aa, (0, 1): rule.ab, (1, 1): rule.bb}
    return _jet(f, jets, firsts, {pq: _partial(c, a, b, f) for pq, c in pairs.items()})


def _partial(rule: Partial, *args: Any) -> Any:
    return rule(*args) if callable(rule) else rule


def _jet(value: Array, jets: list[Jet], firsts: list[Any], seconds: dict[tuple[int, int], Any] | None) -> Jet:
    """Jet of f(jets) from the partials of f by position; without ``seconds``, to first order only."""
    return _spread(value, *chain([x.grad for x in jets], [x.hess for x in jets], firsts, seconds), jets)


def _spread(value: Array, grad: Gradient, hess: Hessian | None, jets: Sequence[Jet]) -> Jet:
    """Jet with derivatives broadcast to the shape of the value, for jets of one row among arrays of many."""
    for entries in (grad, hess or {}):
        for key, d in entries.items():
            if d.shape != value.shape:
                entries[key] = np.broadcast_to(d, value.shape)  # type: ignore[index]
    return Jet(value, grad, hess, _common_axis(jets))


def _common_axis(jets: Sequence[Jet]) -> int:
    axis, *others = {x.axis for x in jets}
    if others:
        raise DerivativeError(
            "two jets have their rows along different axes, so that every row would meet every other: "
            "give each parameter the same new axis, as in mu[:, None]"
        )
    return axis


# ---------------------------------------------------------------- array functions


def _choose(value: Array, mask: Any, x: Any, y: Any) -> Any:
    """Jet with the derivatives of x where the mask holds, of y elsewhere: selected, since 0 * inf is NaN."""
    jets = [z if isinstance(z, Jet) else Jet(z, {}, {}) for z in (x, y)]

    def select(a: dict[Any, Array], b: dict[Any, Array]) -> dict[Any, Array]:
        return {i: np.where(mask, a.get(i, 0.0), b.get(i, 0.0)) for i in sorted(a.keys() | b.keys())}

    grad = select(jets[0].grad, jets[1].grad)
    known = [z for z in (x, y) if isinstance(z, Jet)]
    if jets[0].hess is None or jets[1].hess is None:
        return _spread(value, grad, None, known)
    return _spread(value, grad, select(jets[0].hess, jets[1].hess), known)


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


# ---------------------------------------------------------------- axes beside that of the rows


def _map(a: Jet, function: Callable[[Array], Array], axis: int) -> Jet:
    """Jet of a linear function of the values, which leaves the rows along ``axis``."""
    hess = None if a.hess is None else {ij: function(h) for ij, h in a.hess.items()}
    return Jet(function(a.value), {i: function(g) for i, g in a.grad.items()}, hess, axis)


def _row_axis(key: tuple[Any, ...], ndim: int, rows: int) -> int | None:
    """Axis of ``array[key]``, from the end, that is the whole axis ``rows`` of the array; None if there is none."""
    given = sum(part is not None and part is not ... for part in key)
    at = next((i for i, part in enumerate(key) if part is ...), len(key))
    places: list[int | None] = []  # of each axis that is left, its place in the array
    axis = 0
    for part in (*key[:at], *[slice(None)] * (ndim - given), *key[at + 1 :]):
        if part is None:
            places.append(None)
            continue
        if isinstance(part, slice):
            places.append(axis if axis != rows or part == slice(None) else None)
        elif isinstance(part, bool) or not isinstance(part, int | np.integer):
            return None
        axis += 1
    return places.index(rows) - len(places) if rows in places else None


def _axis_left(a: Jet, axis: Any, keepdims: bool) -> int:
    """Where the rows lie after a reduction along ``axis``."""
    if axis is not None:
        gone = {i if i < 0 else i - a.ndim for i in (axis if isinstance(axis, tuple) else (axis,))}
        if a.axis not in gone:
            return a.axis if keepdims else a.axis + sum(i > a.axis for i in gone)
    refuse("a sum, mean or extreme over rows (over another axis there is one: mu[:, None] makes it, axis=1 names it)")


def _linear(function: Callable[..., Any]) -> Callable[..., Jet]:
    """Differentiate a sum or a mean."""

    def reduce(a: Jet, axis: Any = None, *, keepdims: bool = False) -> Jet:
        return _map(a, lambda x: function(x, axis=axis, keepdims=keepdims), _axis_left(a, axis, keepdims))

    return reduce


def _extreme(position: Callable[..., Any]) -> Callable[..., Jet]:
    """Differentiate a maximum or minimum: at a tie the first."""

    def reduce(a: Jet, axis: Any = None, *, keepdims: bool = False) -> Jet:
        left = _axis_left(a, axis, keepdims)
        if isinstance(axis, tuple):
            refuse("a maximum or minimum over several axes at once")
        where = position(a.value, axis=axis, keepdims=True)

        def take(x: Array) -> Array:
            taken = np.take_along_axis(x, where, axis)
            return taken if keepdims else np.squeeze(taken, axis)

        return _map(a, take, left)

    return reduce


def _log_sum_exp(a: Jet, axis: Any = None, *, keepdims: bool = False) -> Any:
    """Differentiate a sum of exponentials relative to the largest: any constant would do."""
    _axis_left(a, axis, keepdims)
    top = np.max(a.value, axis=axis, keepdims=True)
    total = np.log(np.sum(np.exp(a - np.where(np.isfinite(top), top, 0.0)), axis=axis, keepdims=keepdims))
    value = np.logaddexp.reduce(a.value, axis=axis, keepdims=True)
    return Jet(value if keepdims else np.squeeze(value, axis), total.grad, total.hess, total.axis)


def _stack(arrays: Sequence[Any], axis: int = 0) -> Jet:
    value = np.stack([_value(x) for x in arrays], axis)
    jets = [x for x in arrays if isinstance(x, Jet)]
    rows = value.ndim - 1 + _common_axis(jets)
    rows += axis % value.ndim <= rows

    def together(entries: Sequence[dict[Any, Array]]) -> dict[Any, Array]:
        shape = jets[0].shape
        return {
            i: np.stack([np.broadcast_to(entry.get(i, 0.0), shape) for entry in entries], axis)
            for i in sorted(set().union(*entries))
        }

    def of(name: str) -> list[dict[Any, Array]]:
        return [getattr(x, name) if isinstance(x, Jet) else {} for x in arrays]

    hess = None if any(x.hess is None for x in jets) else together(of("hess"))
    return Jet(value, together(of("grad")), hess, rows - value.ndim)


# ---------------------------------------------------------------- the tables


def _call(rule: Callable[..., Any], name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    try:
        signature(rule).bind(*args, **kwargs)
    except TypeError as error:
        unsuitable = str(error)
    else:
        with np.errstate(all="ignore"):
            return rule(*args, **kwargs)
    refuse(f"{name} with these arguments ({unsuitable})")


FUNCTIONS: dict[Callable[..., Any], Callable[..., Any]] = {
    np.where: _where,
    np.select: _select,
    np.clip: _clip,
    np.isclose: _is_close,
    np.stack: _stack,
    np.sum: _linear(np.sum),
    np.mean: _linear(np.mean),
    **{largest: _extreme(np.argmax) for largest in (np.max, np.amax)},
    **{smallest: _extreme(np.argmin) for smallest in (np.min, np.amin)},
    **{
        function: _of_values(function)
        for function in (
            *(np.shape, np.ndim, np.size, np.zeros_like, np.ones_like, np.full_like, np.empty_like),
            *(np.isposinf, np.isneginf),
        )
    },
}

METHODS: dict[str, Callable[..., Any]] = {
    "sum": np.sum,
    "mean": np.mean,
    "max": np.max,
    "min": np.min,
    "clip": np.clip,
}

REDUCTIONS: dict[np.ufunc, Callable[..., Any]] = {
    np.add: _linear(np.sum),
    np.maximum: _extreme(np.argmax),
    np.minimum: _extreme(np.argmin),
    np.logaddexp: _log_sum_exp,
}
