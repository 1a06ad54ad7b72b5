"""What a family asks of a call: parameters named right, a response it can have produced, a differentiable density."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from mlekit.design import Design, Observations
from mlekit.families import GenericLikelihood
from mlekit.links import Array, log
from mlekit.sources import row_name


def offsets_of(offset: Any, family: GenericLikelihood) -> dict[str, Any]:
    """One entry per parameter: a plain offset belongs to the first."""
    if offset is None:
        return {}
    if isinstance(offset, Mapping):
        unknown = set(offset) - set(family.params)
        if unknown:
            raise ValueError(
                f"offset for {', '.join(map(str, unknown))}: the family's parameters are {', '.join(family.params)}"
            )
        return dict(offset)
    return {next(iter(family.params)): offset}


def exposure_of(exposure: Any, family: GenericLikelihood) -> Any:
    """Refuse an exposure where the first parameter's link does not turn it into a factor of the mean."""
    name, link = next(iter(family.links.items()))
    if exposure is not None and link != log:
        raise ValueError(
            f"an exposure needs the log link, and {name} has {link.name}: "
            "with another link, give offset= on the scale of the linear predictor"
        )
    return exposure


def probe(family: GenericLikelihood, y: Array) -> None:
    """Find out on three rows, before any fit, whether the density can be differentiated."""
    with np.errstate(all="ignore"):
        family.linear_rows(y, *(np.zeros_like(y) for _ in family.params))


def check_response(family: GenericLikelihood, design: Design, observations: Observations) -> None:
    """Refuse a response that the family cannot have produced, naming the row and the value."""
    y, labels = observations.block.y, observations.labels
    bad = ~family.in_support(y)
    if bad.any():
        first = int(np.flatnonzero(bad)[0])
        more = f" and {int(bad.sum()) - 1} more" if bad.sum() > 1 else ""
        raise ValueError(
            f"{design.response} is {y[first]:g} in row {row_name(labels, bad)}{more}: "
            f"for {type(family).__name__} each response must be {family.support_text}"
        )
    if isinstance(design.success, str) and type(family).__name__ != "Bernoulli":
        raise ValueError(
            f"the response {design.response} is text or categorical ({design.failure!r}, {design.success!r}): "
            f"{type(family).__name__} needs numbers; family='bernoulli' takes two levels"
        )
