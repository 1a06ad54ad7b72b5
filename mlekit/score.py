"""Score tests, and whether Wald's statistic still grows with the estimate: what the derivatives say at one point."""

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy import linalg

from mlekit.links import Array
from mlekit.optimize.base import Curvature
from mlekit.restricted import Reduced, Restrictions
from mlekit.sandwich import INFORMATION, root_of

if TYPE_CHECKING:
    from mlekit.model import Model
    from mlekit.results import Results

# How far a term is moved to see how its information changes, in standard errors, and at most in shares of itself.
_STEP = 1e-4


class Score(NamedTuple):
    """Score statistic of a model at coefficients that a smaller one has estimated.

    Attributes
    ----------
    statistic : float
    information : str
        ``"expected"`` or ``"observed"``.
    """

    statistic: float
    information: str


def score_statistic(
    model: "Model", beta: Array, restrictions: Restrictions | None = None, information: str | None = None
) -> Score:
    """Score vector of a model at some coefficients, in units of its information there, squared (Rao 1948).

    With ``information=None`` the information is the expected one where the family knows it.

    Raises
    ------
    ValueError
        If the density has kinks, the likelihood is not finite there, or the information is singular or unknown.
    """
    family = model.family
    if information not in (None, *INFORMATION):
        raise ValueError(f"information must be 'expected' or 'observed', not {information!r}")
    if family.quantile_level is not None:
        raise ValueError(f"{family!r} has a density with a kink, so there is no smooth score to test by")
    working, gamma = _at(model, beta, restrictions)
    expected = None if information == "observed" else working.expected_information(gamma)
    if expected is None and information == "expected":
        raise ValueError(
            f"{family!r} does not give its expected information: leave information out, or define "
            "information(self, *eta) in the family"
        )
    here = working.evaluate(gamma, 2 if expected is None else 1)
    if here.gradient is None:
        raise ValueError(f"the likelihood of {family!r} is not finite under the hypothesis, so it has no score there")
    kind = "observed" if expected is None else "expected"
    root = root_of(-here.hessian * working.nobs if expected is None else expected)
    if root is None:
        remedy = ": leave information='observed' out" if information == "observed" else ""
        raise ValueError(
            f"the {kind} information is not positive definite under the hypothesis, so there is no score test{remedy}; "
            "lr_test needs none"
        )
    return Score(float(np.sum((root.T @ here.gradient * working.nobs) ** 2)), kind)


def polished(results: "Results") -> Array:
    """Coefficients of a fit after one more Newton step: the score that is left to it is not that of a hypothesis."""
    here = results.verdict.evaluation
    if here.hessian is None or not here.gradient.size or not np.isfinite(results.params).all():
        return results.params
    step = Curvature(-here.hessian).solve(here.gradient)
    directions = getattr(results, "_directions", results.model.matrix)
    found = results.params + directions @ step
    return found if np.isfinite(found).all() else results.params


def wald_grows(model: "Model", beta: Array, rows: Array) -> float:
    """Relative slope of Wald's statistic of ``rows @ beta = 0`` as these move away from 0; Hauck-Donner if negative.

    The information is taken at each point (Yee 2022), the other coefficients go to their best, to first order: as they
    are, the slope would depend on the origin of the covariates. It is 2 where the information does not change, as of a
    Normal mean, and NaN where it is not known.

    Examples
    --------
    A share of 11 in 12 has the log-odds 2.398, where the statistic still grows, and 13 in 14 has 2.565, where it falls:

    >>> import mlekit
    >>> for n in (12, 14):
    ...     fit = mlekit.fit("y ~ 1", {"y": [0] + [1] * (n - 1)}, "bernoulli")
    ...     print(round(wald_grows(fit.model, fit.params.to_numpy(), np.eye(1)), 3))
    0.002
    -0.199
    """
    working, gamma = _at(model, beta, None)
    matrix = model.matrix
    root = root_of(_information(working, gamma))
    if root is None:
        return float("nan")
    # The shortest that the hypotheses can be written with, in coordinates in which the information is the identity.
    unit = linalg.lstsq(rows @ matrix @ root, rows @ beta)[0]
    statistic = float(unit @ unit)
    if not statistic > 0:
        return float("nan")
    move, step = root @ unit, _STEP / max(np.sqrt(statistic), 1.0)
    change = _information(working, gamma + step * move) - _information(working, gamma - step * move)
    return float(2 + move @ change @ move / (2 * step * statistic))


def _information(working: Any, gamma: Array) -> Array:
    """Information in the coordinates of a fit, expected where the family knows it; NaN where there is none."""
    found = working.expected_information(gamma)
    if found is None:
        hessian = working.evaluate(gamma, 2).hessian
        found = np.full((gamma.size,) * 2, np.nan) if hessian is None else -hessian * working.nobs
    return np.asarray(found)


def _at(model: "Model", beta: Array, restrictions: Restrictions | None) -> tuple[Any, Array]:
    """The likelihood in the coordinates of a fit, and coefficients in those."""
    if restrictions is not None and len(restrictions.matrix):
        reduced = Reduced.of(model, restrictions, {})
        return reduced.working, reduced.coordinates(beta)
    sizes = _sizes(model)
    return model.working, linalg.solve(model.matrix / sizes[:, None], beta / sizes)


def _sizes(model: "Model") -> Array:
    sizes = np.abs(model.matrix).max(axis=1, initial=0.0)
    return np.where(sizes > 0, sizes, 1.0)
