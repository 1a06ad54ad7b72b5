"""Parameters that are the same in all rows, on their own scale."""

from collections.abc import Mapping, Sequence

import numpy as np

from mlekit.families.base import GenericLikelihood
from mlekit.families.categorical import Categorical
from mlekit.links import Array


def common_predictors(
    family: GenericLikelihood,
    X: Sequence[Array],
    offset: Sequence[Array | None],
    slices: Sequence[slice],
    beta: Array,
    se: Array,
) -> dict[str, tuple[float, float]]:
    """Linear predictor and its standard error, for each parameter that is the same in all rows; NaN if it is known."""
    found: dict[str, tuple[float, float]] = {}
    if isinstance(family, Categorical):
        return found  # they are the coefficients themselves
    for name, x, shift, where in zip(family.links, X, offset, slices, strict=True):
        if x.shape[1] == 1 and shift is None and (x == x[0]).all():
            value = float(x[0, 0])
            found[name] = (value * float(beta[where][0]), abs(value) * float(se[where][0]))
        elif x.shape[1] == 0 and shift is not None and shift.size and (shift == shift[0]).all():
            found[name] = (float(shift[0]), float("nan"))
    return found


def own_scale(
    family: GenericLikelihood, predictors: Mapping[str, tuple[float, float]], quantile: float
) -> dict[str, tuple[float, float, float, float]]:
    """Parameters at their linear predictors: estimate, delta-method standard error and ends of the interval.

    The interval is that of the linear predictor, as far as the parameter's domain reaches, through the link.

    Examples
    --------
    >>> from mlekit.families import Poisson
    >>> own_scale(Poisson(mu="identity"), {"mu": (2.0, 1.5)}, 2.0)
    {'mu': (2.0, 1.5, 0.0, 5.0)}
    """
    found = {}
    limits = dict(zip(family.links, family.eta_limits(), strict=True))
    for name, (eta, se) in predictors.items():
        link = family.links[name]
        with np.errstate(all="ignore"):
            ends = np.clip([eta - quantile * se, eta + quantile * se], *limits[name])
            estimate, *mapped = (float(theta) for theta in link.inverse(np.array([eta, *ends])))
            slope = float(link.slopes(np.array([eta]))[0][0])
        found[name] = (estimate, abs(slope) * se, min(mapped), max(mapped))
    return found
