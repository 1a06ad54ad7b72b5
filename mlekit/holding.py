"""Coefficients held at a value: known parts of the linear predictors, as offsets are."""

import math
import numbers
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from mlekit.design import Design
from mlekit.families import GenericLikelihood
from mlekit.observations import Held, Observations, add_held


def hold(
    family: GenericLikelihood, design: Design, observations: Observations, fixed: Mapping[str, Any] | Sequence[Held]
) -> tuple[Design, Observations]:
    """Move the columns of coefficients that are held into the offsets.

    Parameters
    ----------
    fixed : dict
        Values by name: of a coefficient on the scale of its linear predictor, or of a parameter whose formula is an
        intercept alone, on its own scale. Or what another design holds.

    Raises
    ------
    ValueError
        If a name is neither, a parameter has covariates, or a value is not a number in the parameter's domain.
    """
    recorded = [item for item in fixed if isinstance(item, Held)]
    held = tuple(recorded) if len(recorded) == len(fixed) else known(family, design, fixed)
    if not held:
        return design, observations
    block = observations.block
    offsets = add_held(held, design.columns, block.X, block.offset)
    kept = [
        [j for j, name in enumerate(names) if not any(h.param == i and h.column == name for h in held)]
        for i, names in enumerate(design.columns)
    ]
    X = tuple(np.ascontiguousarray(x[:, js]) for x, js in zip(block.X, kept, strict=True))
    return replace(design.keep(kept), held=held), replace(observations, block=replace(block, X=X, offset=offsets))


def known(family: GenericLikelihood, design: Design, values: Any, given: str = "fixed") -> tuple[Held, ...]:
    """What values by name mean; ``given`` is what the call gives them as.

    Raises
    ------
    TypeError
        If they are not by name.
    ValueError
        As for :func:`hold`, and if two names mean the same coefficient.
    """
    if not hasattr(values, "items"):
        raise TypeError(f"{given} must be a dict of values by name, not {values!r}")
    found: dict[tuple[int, str], Held] = {}
    for name, value in values.items():
        held = _meaning(family, design, name, value, given)
        twin = found.setdefault((held.param, held.column), held)
        if twin is not held:
            raise ValueError(f"{given} has {twin.text} and {held.text}, which are the same coefficient: leave one out")
    return tuple(found.values())


def _meaning(family: GenericLikelihood, design: Design, name: str, value: Any, given: str) -> Held:
    """What a name and a value mean: a coefficient first, then a parameter."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, numbers.Real) or not math.isfinite(value):
        raise ValueError(f"{given}[{name!r}] must be a finite number, not {value!r}")
    value = float(value)
    for i, (columns, where) in enumerate(zip(design.columns, design.slices, strict=True)):
        names = design.names[where]
        if name in names:
            return Held(i, columns[names.index(name)], value, f"{name} = {value:g}")
    if name not in design.params:
        raise ValueError(
            f"{given} has no meaning for {name!r}: the coefficients are {', '.join(design.names)}, and the parameters "
            f"{', '.join(design.params)}"
        )
    i = design.params.index(name)
    if design.columns[i] != ("Intercept",):
        raise ValueError(
            f"{name} has the formula {design.formulas.get(name, 'of a matrix')!r}: hold its coefficients, by the names "
            f"{', '.join(design.names[design.slices[i]])}, or leave the formula out to hold {name} itself"
        )
    low, high = family.domains()[name]
    if not low < value < high:
        raise ValueError(f"{given}[{name!r}] must be between {low:g} and {high:g}, not {value:g}")
    with np.errstate(all="ignore"):
        eta = float(family.links[name].forward(np.float64(value)))
    if not np.isfinite(eta):
        raise ValueError(f"{name} = {value:g} is outside the reach of its link {family.links[name].name}")
    return Held(i, "Intercept", eta, f"{name} = {value:g}")
