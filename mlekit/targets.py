"""What intervals and profiles are of: coefficients, contrasts, parameters that are one number, and functions."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from patsy import PatsyError

from mlekit.labels import constraints
from mlekit.links import Array

if TYPE_CHECKING:
    from mlekit.design import Design
    from mlekit.results import Results


class Target(NamedTuple):
    """What is profiled: a linear function ``contrast @ beta``, reported through ``scale``, or any function.

    ``scale`` takes the function to a parameter's own scale, if it is the linear predictor of one. A ``function`` that
    is not linear takes the coefficients, and ``contrast`` is its gradient at the estimate.
    """

    name: str
    contrast: Array
    scale: Callable[[Any], Any] | None = None
    function: Callable[[Array], float] | None = None


def as_target(results: "Results", what: Any) -> Target:
    """Read what to profile: a coefficient's name or number, a contrast, a parameter that is one number, a function.

    Raises
    ------
    ValueError
        If it is none of these; the message has the names.
    """
    design, family = results.model.design, results.model.family
    names = design.names
    if isinstance(what, int | np.integer) and not isinstance(what, bool) and -len(names) <= what < len(names):
        what = names[int(what)]
    if callable(what):
        return _of_function(results, what)
    if not isinstance(what, str):
        return _of_array(what, names)
    if what in names:
        return Target(what, np.eye(len(names))[names.index(what)])
    if what in design.params:
        where = _common(results, what)
        return Target(what, np.eye(len(names))[where], family.links[what].inverse)
    return _of_text(what, design)


def targets(results: "Results", cols: Any) -> list[Target]:
    """Read what intervals are asked for: all coefficients, one function, or several, in a dict with names."""
    if cols is None:
        cols = range(len(results.model.design.names))
    if isinstance(cols, Mapping):
        return [as_target(results, what)._replace(name=str(name)) for name, what in cols.items()]
    one = isinstance(cols, str | int | np.integer) or callable(cols)
    return [as_target(results, what) for what in ([cols] if one else cols)]


def slopes(function: Callable[[Array], float], beta: Array, steps: Array) -> Array:
    """Gradient of a function by central differences, a ten-thousandth of each step to both sides.

    NaN where a slope is too small or too large for a float.
    """
    moves = 1e-4 * np.diag(steps)[steps > 0]
    found = np.zeros(beta.size)
    with np.errstate(all="ignore"):
        changes = np.array([function(beta + move) - function(beta - move) for move in moves])
        slope = changes / (2 * moves.sum(axis=1))
        found[steps > 0] = np.where((changes != 0) & (np.abs(slope) < np.finfo(float).tiny), np.nan, slope)
    return found


def _of_function(results: "Results", what: Callable[[Any], Any]) -> Target:
    """Read a function of all coefficients, which it is given by name."""
    names, name = list(results.model.design.names), getattr(what, "__name__", "function").strip("<>")

    def function(beta: Array) -> float:
        with np.errstate(all="ignore"):
            return float(what(pd.Series(beta, index=names)))

    try:
        value = function(results.params)
    except (TypeError, ValueError, LookupError, AttributeError) as error:
        raise ValueError(
            f"{name} must take the coefficients, a Series of {', '.join(names)}, and return one number: {error!r}"
        ) from error
    if not np.isfinite(value):
        raise ValueError(f"{name} is {value:g} at the estimate: it has no interval")
    steps = np.where(results.bse > 0, results.bse, 0.0)
    slope = slopes(function, results.params, steps)
    if not np.isfinite(slope).all() or not slope.any():
        raise ValueError(
            f"{name} must vary smoothly with the coefficients: at the estimate it has no slope, or none that a float "
            "can hold. Coefficients that are known do not vary; other units may help"
        )
    return Target(name, slope, function=function)


def _of_array(what: Any, names: Sequence[str]) -> Target:
    try:
        contrast = np.asarray(what, dtype=float)
    except (TypeError, ValueError):
        contrast = np.zeros(0)
    if contrast.shape != (len(names),) or not np.isfinite(contrast).all() or not contrast.any():
        raise ValueError(
            f"cannot profile {what!r}: give a coefficient or a parameter, a contrast as text, or {len(names)} numbers, "
            f"for {', '.join(names)}"
        )
    parts = (f"{c:+g}*{name}" for c, name in zip(contrast, names, strict=True) if c)
    return Target(" ".join(parts).removeprefix("+"), contrast)


def _common(results: "Results", param: str) -> int:
    """Position of the one coefficient of a parameter that is one number."""
    design = results.model.design
    i = design.params.index(param)
    if not design.columns[i]:
        raise ValueError(f"{param} is held, and not estimated: it has no profile")
    if design.columns[i] != ("Intercept",) or results.model.observations.block.offset[i] is not None:
        raise ValueError(
            f"{param} is not one number: profile its coefficients, {', '.join(design.names[design.slices[i]])}"
        )
    return design.slices[i].start


def _of_text(what: str, design: "Design") -> Target:
    held = [h.text for h in design.held if h.text.startswith(f"{what} = ")]
    if held:
        raise ValueError(f"{held[0]} is held, and not estimated: it has no profile")
    try:
        contrasts, constants = constraints(design.names, what)
    except (PatsyError, ValueError, IndexError) as error:
        why = (str(error) or "empty").splitlines()[0]
        raise ValueError(
            f"cannot profile {what!r}: it is neither a coefficient ({', '.join(design.names)}), nor a parameter "
            f"({', '.join(design.params)}), nor a linear function of coefficients ({why})"
        ) from None
    if len(contrasts) != 1 or np.any(constants) or not np.any(contrasts):
        raise ValueError(
            f"{what!r} must be one linear function of coefficients without a constant, such as "
            f"'{design.names[0]} - {design.names[-1]}'"
        )
    return Target(what, np.asarray(contrasts[0], dtype=float))
