"""Numbers that carry their derivatives through NumPy's operators, ufuncs and array functions."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

import numpy as np

from mlekit.jet_chain import Gradient, Hessian, chain
from mlekit.jet_errors import WAYS_OUT, DerivativeError, NoSuchMethod, name_of, refuse, refuse_conversion
from mlekit.jet_rules import BINARY, CHOICES, FLAT, NO_RULE, UNARY, Array, Binary, Partial


class Jet(np.lib.mixins.NDArrayOperatorsMixin):
    """A number per row with its first and second derivatives in a few quantities.

    Jets are made by :func:`variables` and combined by operators, NumPy and scipy.special functions,
    ``np.where``, ``np.select`` and ``np.clip``. Comparisons, ``np.isfinite``, ``np.floor`` and the like act
    on the values and return plain arrays. What has no rule raises :class:`DerivativeError`; nothing falls
    back silently.

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
