"""Covariances of the estimates: functions of the information and the score rows, one per name."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from mlekit.links import Array
from mlekit.optimize.base import Curvature
from mlekit.optimize.kinks import rows_on_the_line

if TYPE_CHECKING:
    from mlekit.families.base import GenericLikelihood
    from mlekit.likelihood import Evaluation, Working

_SINGULAR = 1e-12

Covariance = Callable[["Working", Array, "Evaluation"], Array]


def nonrobust(working: "Working", gamma: Array, here: "Evaluation") -> Array:
    """Inverse of the observed information, minus the Hessian of the log-likelihood.

    Of the expected one where the log-density has kinks, as a Laplace's: its Hessian is zero beside them.
    """
    if working.family.quantile_level is not None:
        return eim(working, gamma, here)
    return invert(-here.hessian * working.nobs)


def eim(working: "Working", gamma: Array, here: "Evaluation") -> Array:
    """Inverse of the expected information, as R's ``glm`` and statsmodels' ``GLM`` report."""
    information = working.expected_information(gamma)
    if information is None:
        instead = "" if working.family.quantile_level is not None else "use 'nonrobust' (observed information), or "
        raise ValueError(
            f"these standard errors need the expected information, which {working.family!r} does not give: "
            f"{instead}define information(self, *eta) in the family"
        )
    return invert(information)


def opg(working: "Working", gamma: Array, here: "Evaluation") -> Array:
    """Inverse of the outer product of the gradients (BHHH)."""
    return invert(_meat(working, gamma))


def hc0(working: "Working", gamma: Array, here: "Evaluation") -> Array:
    """Sandwich of the observed information around the outer product of the gradients (Huber 1967, White 1982)."""
    if working.family.quantile_level is not None:
        raise ValueError(
            f"cov_type='HC0' needs the curvature of the likelihood, and that of {working.family!r} has kinks in its "
            "place: the density of the errors at zero would have to be estimated. Use 'nonrobust', which takes the "
            "family's own, or a bootstrap"
        )
    bread = nonrobust(working, gamma, here)
    return bread @ _meat(working, gamma) @ bread


def _meat(working: "Working", gamma: Array) -> Array:
    scores, weight = working.score_rows(gamma), working.block.weight
    if working.family.quantile_level is not None:  # a row on the line has no slope there: 0, whatever rounding says
        on_the_line, first = rows_on_the_line(working, gamma)
        scores[on_the_line, first] = 0.0
    # Frequency weights stand for repeated rows: each repetition adds its own outer product.
    return scores.T @ (scores if weight is None else weight[:, None] * scores)


def invert(information: Array) -> Array:
    """Inverse of a symmetric information matrix; NaN where it is singular."""
    if not information.size:
        return information
    if not np.isfinite(information).all():
        return np.full_like(information, np.nan)
    curvature = Curvature(information)
    # Cholesky alone may succeed where a matrix is singular but for rounding, as the scores of a group of one row are.
    if curvature.modified or curvature.smallest_eigenvalue() < _SINGULAR:
        return np.full_like(information, np.nan)
    root = curvature.root_inverse()
    return root @ root.T


#: Every covariance by its name.
COVARIANCES: dict[str, Covariance] = {"nonrobust": nonrobust, "eim": eim, "opg": opg, "HC0": hc0}

#: What each is, for the summary.
DESCRIPTIONS = {
    "nonrobust": "observed information",
    "eim": "expected information",
    "opg": "outer product of gradients",
    "HC0": "sandwich, HC0",
}


def description(name: str, family: "GenericLikelihood") -> str:
    """What a covariance is, for a family."""
    if name == "nonrobust" and family.quantile_level is not None:
        return "expected information (the density has a kink, and no observed one)"
    return DESCRIPTIONS[name]


def unbiased_scale(family: "GenericLikelihood") -> bool:
    """Whether the scale is the root of a mean square, of which ordinary least squares has an unbiased version."""
    found = family.scale_mle(np.array([0.0, 2.0]), np.zeros(2), np.ones(2))
    return found is not None and bool(np.isclose(found, np.sqrt(2)))


def cov_name(name: str) -> str:
    """Return the name of a covariance as the registry spells it.

    Raises
    ------
    ValueError
        If there is no such covariance; the message lists the names.
    """
    for known in COVARIANCES:
        if isinstance(name, str) and name.lower() == known.lower():
            return known
    raise ValueError(f"unknown cov_type {name!r}: the covariances are {', '.join(COVARIANCES)}")
