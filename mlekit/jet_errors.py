"""What is said of a function that mlekit cannot differentiate: its name, and the ways out."""

import sys
from types import FrameType
from typing import Any, NoReturn

import numpy as np
from scipy import special

WAYS_OUT = (
    "Write the formula with NumPy and scipy.special functions (mlekit.jet_rules lists those with a rule), "
    'or set derivatives = "numeric" on the family.'
)

_NEW_AXIS, _JOINED = "mu[:, None]", "np.stack, and np.where for rows by cases"
_PRODUCT, _LOG_SUM = "np.sum(a * b, axis=1)", "np.logaddexp.reduce(terms, axis=1)"

#: What has a rule and does the same, by what has none.
INSTEAD = {
    "scipy.special.logsumexp": _LOG_SUM,
    "scipy.special.polygamma": "scipy.special.digamma",
    "scipy.special.comb": "scipy.special.binom",
    "scipy.special.factorial": "scipy.special.gamma(n + 1)",
    **{f"numpy.{name}": _PRODUCT for name in ("matmul", "dot", "einsum", "inner", "vecdot")},
    **{f"numpy.{name}": _JOINED for name in ("concatenate", "column_stack", "vstack", "hstack")},
    **{name: _NEW_AXIS for name in ("numpy.expand_dims", "numpy.reshape", "the array's .reshape")},
}


class DerivativeError(TypeError):
    """A function that mlekit cannot differentiate was applied to a jet."""


class NoSuchMethod(DerivativeError, AttributeError):
    """Also an AttributeError, so that ``hasattr`` and ``getattr`` with a default work as they should."""


def refuse(what: str) -> NoReturn:
    """Raise the error for a function without a rule, naming the function of SciPy that calls it, if one does."""
    raise DerivativeError(no_rule(_scipy_function() or what))


def no_rule(name: str) -> str:
    """Say that a function has no rule, and which function to take in its place where one has.

    Examples
    --------
    >>> no_rule("scipy.special.comb").partition(". ")[0]
    'mlekit has no derivative rule for scipy.special.comb, but for scipy.special.binom'
    """
    return (
        f"mlekit has no derivative rule for {name}{f', but for {INSTEAD[name]}' if name in INSTEAD else ''}. {WAYS_OUT}"
    )


def refuse_conversion() -> NoReturn:
    """Raise the error for a conversion to a plain array, naming the function of SciPy that made it."""
    caller = _scipy_function()
    if caller:
        raise DerivativeError(
            f"mlekit cannot differentiate {caller}, which turns its arguments into plain numbers"
            + (f" ({INSTEAD[caller]} does not)" if caller in INSTEAD else "")
            + f". {WAYS_OUT}"
        )
    raise DerivativeError(
        "mlekit cannot differentiate through a conversion to a plain array. np.asarray makes one, and so does "
        f"assignment to the items of an array: np.where builds one by cases. {WAYS_OUT}"
    )


def name_of(function: Any) -> str:
    """Name of a function as users write it; ufuncs do not know their module.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy import special
    >>> name_of(np.exp), name_of(special.ndtr)
    ('numpy.exp', 'scipy.special.ndtr')
    """
    name = function.__name__
    for module in (np, special):
        if getattr(module, name, None) is function:
            return f"{module.__name__}.{name}"
    return name if isinstance(function, np.ufunc) else f"{function.__module__}.{name}"


def _scipy_function() -> str | None:
    """Name the function of SciPy, or the method of one of its distributions, that a log-density has called."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and _package(frame) == "mlekit":
        frame = frame.f_back
    inside: list[FrameType] = []
    while frame is not None and _package(frame) in ("numpy", "scipy"):
        inside.append(frame)
        frame = frame.f_back
    names = [_public_name(frame) for frame in reversed(inside)]
    return next((name for name in names if name), None)


def _package(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", "")).partition(".")[0]


def _public_name(frame: FrameType) -> str | None:
    called, owner = frame.f_code.co_name, frame.f_locals.get("self")
    if any(cls.__module__.startswith("scipy.stats.") for cls in type(owner).__mro__):
        kind = getattr(owner, "dist", owner)  # a frozen distribution holds the one that it was made of
        name = getattr(kind, "name", None) or type(kind).__name__.removesuffix("_gen")
        return f"scipy.stats.{name}" + ("" if called in ("__init__", "__call__") else f".{called}")
    return f"scipy.special.{called}" if hasattr(special, called) else None
