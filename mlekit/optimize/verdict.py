"""One verdict for every method, from the likelihood alone, on whether it stopped at the maximum."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import linalg

from mlekit.links import Array
from mlekit.optimize.base import Curvature, Optimum, Status
from mlekit.optimize.kinks import optimality, pinball_at

if TYPE_CHECKING:
    from mlekit.likelihood import Evaluation, Working

#: A point closer to the maximum than this, in standard errors, is the maximum.
CLOSE = 1e-3
# A Newton step that may move a linear predictor this far, from a point that looks like the maximum, is suspect.
_DRIFT = 1e-2
# From here on softplus is the identity.
_LARGE = 30.0
#: A scaled information with an eigenvalue below this is singular.
FLAT = 1e-12
# Distance to the limit of a domain, relative to the largest linear predictor: near it, and on it.
EDGE, _ON_EDGE = 1e-6, 1e-12
# A scale of less than this share of the largest, in rows without residuals, is on its way to zero.
_COLLAPSED = 1e-6
# Counts and outcomes have a unit of their own: a mean of less than this, and its share, is at zero.
_COUNTED = 1e-6
# Information below this, in units of one row of a logit or a log link, is none: a standard error above 1000.
_FADED = 1e-6
# At a maximum that is a quadratic the curvature does not grow this much within this part of a standard error.
_GROWTH, _NEARBY = 10.0, 1e-3
# With more rows than this that is looked at only where a method took more steps than this to get there.
_MANY, _SLOW = 50_000, 20
NO_RESIDUALS = "the residuals are zero to within rounding"
#: Links whose linear predictor is in units of the response; with the others a change of 1 is large.
WITH_UNITS = frozenset({"identity", "inverse", "sqrt"})


@dataclass(frozen=True)
class Verdict:
    """Whether to trust a fit, and the figures that say so.

    Attributes
    ----------
    status : Status
    detail : str
        The figures behind the status.
    decrement : float
        Distance to the maximum in standard errors.
    evaluation : Evaluation
        Value, gradient and Hessian at the estimate.
    """

    status: Status
    detail: str
    decrement: float
    evaluation: "Evaluation"


def judge(working: "Working", optimum: Optimum) -> Verdict:
    """Judge the point where a method stopped.

    Parameters
    ----------
    working : Likelihood or Transformed
    optimum : Optimum
    """
    if working.size == 0:
        here = working.evaluate(optimum.gamma, 2)
        status = Status.CLOSED_FORM if np.isfinite(here.value) else Status.FAILED
        return Verdict(status, "there is nothing to estimate", 0.0, here)
    here = optimum.evaluation or working.evaluate(optimum.gamma, 2)
    if working.family.quantile_level is not None:
        with np.errstate(all="ignore"):
            return _judge_kinked(working, optimum, here)
    if here.hessian is None:
        if perfect(working, optimum.gamma):
            return Verdict(Status.UNBOUNDED, NO_RESIDUALS, np.nan, here)
        return Verdict(Status.FAILED, optimum.reason, np.nan, here)
    curvature = Curvature(-here.hessian)
    direction = curvature.solve(here.gradient)
    decrement = float(np.sqrt(working.count * max(here.gradient @ direction, 0.0)))
    with np.errstate(all="ignore"):
        status, detail = _status(working, optimum, here, curvature, direction, decrement)
    return Verdict(status, detail, decrement, here)


def _judge_kinked(working: "Working", optimum: Optimum, here: "Evaluation") -> Verdict:
    """Judge a point of a likelihood with kinks: by the smallest subgradient, in the metric of the expected information.

    No Hessian tells where its maximum is: at the kinks it has none, and elsewhere it is zero.
    """
    if perfect(working, optimum.gamma) or _vanishing(working, optimum.gamma):
        return Verdict(Status.UNBOUNDED, NO_RESIDUALS, np.nan, here)
    information = working.expected_information(optimum.gamma)
    if here.hessian is None or information is None or not np.isfinite(information).all():
        return Verdict(Status.FAILED, optimum.reason, np.nan, here)
    problem = pinball_at(working, optimum.gamma)
    first = slice(0, problem.columns.shape[1])
    found = optimality(problem, optimum.gamma[first])
    score = working.nobs * here.gradient
    score[first] = found.excess
    squared = score @ Curvature(information).solve(score)
    distance = float(np.sqrt(max(squared, 0.0) * working.count / working.nobs))
    detail = f"{distance:.1e} standard errors from the maximum"
    if not (found.optimal and distance <= CLOSE):
        status, detail = Status.KINKED, f"{optimum.reason}; {detail}"
    else:
        status = _reached(optimum)
        if not found.unique:
            detail += (
                "; not unique: other estimates have the same likelihood, and method='auto' takes the middle of them"
            )
        if working.block.X[1].shape[1] > 1:
            detail += "; with a scale that varies there may be other maxima: try another start"
    return Verdict(status, detail, distance, here)


def _reached(optimum: Optimum) -> Status:
    return Status.CLOSED_FORM if optimum.iterations == optimum.evaluations == 0 else Status.CONVERGED


def _status(
    working: "Working",
    optimum: Optimum,
    here: "Evaluation",
    curvature: Curvature,
    direction: Array,
    decrement: float,
) -> tuple[Status, str]:
    distance = f"{decrement:.1e} standard errors from the maximum"
    if perfect(working, optimum.gamma):
        return Status.UNBOUNDED, NO_RESIDUALS
    status, detail = _ending(working, optimum, here, curvature, direction, decrement)
    if not status.ok and _collapsing(working, optimum.gamma):
        return Status.UNBOUNDED, f"the scale goes to zero in some rows, whose residuals are zero; {distance}"
    return status, detail


def _ending(
    working: "Working",
    optimum: Optimum,
    here: "Evaluation",
    curvature: Curvature,
    direction: Array,
    decrement: float,
) -> tuple[Status, str]:
    distance = f"{decrement:.1e} standard errors from the maximum"
    if decrement > CLOSE:
        if at_edge(working, optimum.gamma, EDGE):
            return Status.BOUNDARY, f"{optimum.reason}; {distance}"
        if _reproduced(working, optimum.gamma):
            return Status.UNBOUNDED, f"the first parameter is the response to within rounding; {distance}"
        status = Status.ITERATION_LIMIT if optimum.limited else Status.STOPPED_SHORT
        return status, f"{optimum.reason}; {distance}"
    if at_edge(working, optimum.gamma, _ON_EDGE):
        return Status.BOUNDARY, f"a parameter is at the limit of its domain; {distance}"
    if _diverging(working, optimum.gamma, direction, here.hessian):
        return (
            Status.DIVERGING,
            f"the Newton steps do not shrink although the score is zero; {optimum.reason}",
        )
    smallest = curvature.smallest_eigenvalue()
    if smallest < -np.sqrt(FLAT):
        return Status.NOT_A_MAXIMUM, f"smallest eigenvalue of the scaled information {smallest:.1e}"
    if curvature.modified or smallest < FLAT:
        return Status.SINGULAR, f"smallest eigenvalue of the scaled information {smallest:.1e}"
    growth = _growth(working, optimum, curvature)
    if growth > _GROWTH:
        within = f"the curvature grows {growth:.1e}-fold within {_NEARBY:g} standard errors on both sides"
        return Status.FLAT, f"{within}; {distance}"
    return _reached(optimum), distance


def _growth(working: "Working", optimum: Optimum, curvature: Curvature) -> float:
    """How many times larger the curvature is nearby, on the side where it grows less.

    At a maximum such as that of ``-(a - 1)**4`` the information is all but zero, and says nothing of the likelihood
    nearby; it can be as small in some units at any other maximum.
    """
    if working.rows > _MANY and optimum.iterations <= _SLOW:
        return 1.0
    root = curvature.root_inverse() / np.sqrt(working.count)
    step, found = _NEARBY * root.sum(axis=1), np.inf
    for side in (1.0, -1.0):
        there = working.evaluate(optimum.gamma + side * step, 2)
        if there.hessian is None:
            return 1.0
        found = min(found, float(np.abs(working.count * root.T @ there.hessian @ root).max()))
        if not found > _GROWTH:
            break
    return found


def _diverging(working: "Working", gamma: Array, direction: Array, hessian: Array) -> bool:
    """Whether the estimates are on the way to infinity, where the score goes to zero as it does at a maximum.

    Newton steps shrink at a maximum and keep their length on the way to infinity; or the information is all but gone.
    """
    units = _units(working, gamma)
    unit = 1.0
    if units[0]:
        unit = max(float(np.linalg.norm(gamma)), _COUNTED if working.family.discrete else 1e-300)
    elif _heavy(working):
        unit = max(float(np.linalg.norm(gamma)), 1.0)
    smallest = float(linalg.eigvalsh(-hessian)[0])
    if not any(units) and not _heavy(working) and 0 < smallest * working.count < _FADED:
        return True

    def reach(step: Array) -> float:
        # In these coordinates the root mean square over the rows; no row can move further than this.
        return float(np.sqrt(working.rows) * np.linalg.norm(step)) / unit

    free = [j for j, units_j in enumerate(units) if j > 0 and not units_j]
    slices = getattr(working, "slices", None)  # where coordinates of several parameters are mixed there are none
    blocks = [] if slices is None else [-hessian[slices[j], slices[j]] for j in free]
    if any(0 < float(linalg.eigvalsh(block)[0]) * working.count < _FADED for block in blocks if block.size):
        return True
    first, others = reach(direction), _drift(working, gamma, direction, free)
    if not max(first, others) > _DRIFT:
        return False
    there = working.evaluate(gamma + direction, 2)
    if there.hessian is None:
        return True
    again = Curvature(-there.hessian).solve(there.gradient)
    if _DRIFT < 0.5 * others < _drift(working, gamma + direction, again, free):
        return True
    return first > _DRIFT and reach(again) > 0.5 * first


def _heavy(working: "Working") -> bool:
    """Whether the first link's tails are those of Cauchy: a far linear predictor is known to a share of itself."""
    return next(iter(working.family.links.values())).name == "cauchit"


def _drift(working: "Working", gamma: Array, step: Array, parameters: list[int]) -> float:
    """Furthest that a step moves linear predictors of some parameters.

    Beside a first parameter in large units, one without units would not be seen, as the log of Student's degrees of
    freedom.
    """
    if not parameters:
        return 0.0
    here, there = working.linear_predictors(gamma), working.linear_predictors(gamma + step)
    return max(float(np.abs(there[j] - here[j]).max(initial=0.0)) for j in parameters)


def _units(working: "Working", gamma: Array) -> list[bool]:
    """Whether each linear predictor is in units, so that its own size and not 1 says what a large change of it is.

    A softplus link is a log for small parameters and the identity for large ones.
    """
    links = [link.name for link in working.family.links.values()]
    if "softplus" not in links:
        return [name in WITH_UNITS for name in links]
    eta = working.linear_predictors(gamma)
    return [
        name in WITH_UNITS or (name == "softplus" and float(e.max(initial=0.0)) > _LARGE)
        for name, e in zip(links, eta, strict=True)
    ]


def at_edge(working: "Working", gamma: Array, share: float) -> bool:
    """Whether a linear predictor is within that share of the largest of a limit of its domain."""
    limits = working.family.eta_limits()
    if not np.isfinite(limits).any():
        return False
    for eta, (low, high) in zip(working.linear_predictors(gamma), limits, strict=True):
        size = max(float(np.abs(eta).max()), _COUNTED if working.family.discrete else 0.0)
        if eta.min() - low < share * size or high - eta.max() < share * size:
            return True
    return False


def perfect(working: "Working", gamma: Array) -> bool:
    """Whether a mean with a scale of its own reproduces the response exactly, so that the scale has no maximum."""
    working = working.equivalent()
    family, block = working.family, working.block
    if len(block.X) > 1 and not (block.X[1].shape[1] and _moves(working, 1)):
        return False  # the scale is known, or on its bound
    if family.scale_mle(block.y[:1], block.y[:1], np.ones(1)) is None:
        return False
    theta = next(iter(family.links.values())).inverse(working.linear_predictors(gamma)[0])
    weight = block.each
    scale = family.scale_mle(block.y, theta, weight)
    return scale <= 1e-14 * max(float(np.max(np.abs(block.y))), 1e-300)


def _moves(working: "Working", parameter: int) -> bool:
    """Whether any direction of the fit changes a parameter: restrictions may determine it."""
    made: Any = working
    return not hasattr(made, "matrix") or bool(made.matrix[made.inner.slices[parameter]].any())


def _collapsing(working: "Working", gamma: Array) -> bool:
    """Whether a scale that varies is all but zero in some rows, and their location is their response."""
    working = working.equivalent()
    family, block = working.family, working.block
    if len(block.X) != 2 or block.y.ndim > 1 or family.scale_mle(block.y[:1], block.y[:1], np.ones(1)) is None:
        return False
    location, scale = (
        link.inverse(eta) for link, eta in zip(family.links.values(), working.linear_predictors(gamma), strict=True)
    )
    little = _COLLAPSED * scale.max()
    gone = scale <= little
    return bool(gone.any() and np.abs(block.y - location)[gone].max(initial=0.0) <= little)


def _reproduced(working: "Working", gamma: Array) -> bool:
    """Whether a family with a shape of its own, on its way to no spread at all, reproduces a continuous response."""
    family, block = working.family, working.block
    if len(family.params) == 1 or block.y.ndim > 1 or family.discrete:
        return False
    theta = next(iter(family.links.values())).inverse(working.linear_predictors(gamma)[0])
    return bool(np.max(np.abs(block.y - theta)) <= 1e-12 * np.max(np.abs(block.y)))


def _vanishing(working: "Working", gamma: Array) -> bool:
    """Whether the scale of some rows goes to zero, as those do that are all fitted exactly."""
    scale = list(working.family.links.values())[1].inverse(working.linear_predictors(gamma)[1])
    if _collapsing(working, gamma):
        return True
    return bool(np.min(scale) <= 1e-14 * max(float(np.max(np.abs(working.block.y))), 1e-300))
