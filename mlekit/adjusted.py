"""The score adjusted for bias (Firth 1993): its value, its root, and whether a point is it.

The adjusted score is ``U + A`` with ``A_r = tr(F^-1 (P_r + Q_r)) / 2``, where F is the expected information,
``P_r = E[U U' U_r]`` and ``Q_r = E[-I U_r]`` with the observed one, I (Kosmidis and Firth 2009, Biometrika 96).
Its root has a bias of the order of 1 / n**2 in place of 1 / n. Where the second derivatives of the log-density are not
random, as with canonical links, it is the gradient of the log-likelihood plus half the logarithm of the determinant of
F: a likelihood with Jeffreys' prior. Elsewhere it is in general no gradient.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy import linalg

from mlekit.likelihood import Evaluation
from mlekit.links import Array
from mlekit.optimize.base import Curvature, Optimum, Recorder, StartError, Status, Step
from mlekit.optimize.verdict import CLOSE, Verdict

if TYPE_CHECKING:
    from mlekit.likelihood import Working

ITERATIONS = 200
_TOLERANCE = 1e-10
# A distance this small that no longer halves is made of rounding errors.
_STALL = 1e-6
# Scoring steps that shrink by less than this are slow: the derivative of the adjusted score is then worth its price.
_SLOW = 0.3
# Steps of the differences, in standard errors.
_DIFFERENCE = 1e-4
# Shortest share of a step.
_SHORTEST = 1e-6
# Rows by which a link is known to be canonical, and what is rounding there.
_PROBED, _SAME = 100, 1e-9
_FLAT = 1e-12


class Point(NamedTuple):
    """The adjusted score at a point.

    Attributes
    ----------
    value : float
        Log-likelihood.
    score : (r,) array
        The adjusted score.
    root : (r, r) array
        ``root @ root.T`` is the inverse of the expected information.
    """

    value: float
    score: Array
    root: Array

    @property
    def penalised(self) -> float:
        """Log-likelihood plus half the logarithm of the determinant of the expected information."""
        return self.value - float(np.log(np.abs(np.diag(self.root))).sum())

    @property
    def inside(self) -> Array:
        """The adjusted score in units of its standard errors."""
        return self.root.T @ self.score

    @property
    def direction(self) -> Array:
        """The scoring step."""
        return self.root @ self.inside


@dataclass(frozen=True)
class Adjusted:
    """A likelihood whose score is adjusted for bias; else the likelihood.

    Attributes
    ----------
    inner : Likelihood or Transformed
    canonical : bool
        Whether the adjusted score is the gradient of a likelihood with Jeffreys' prior.
    """

    inner: "Working"
    canonical: bool

    @classmethod
    def of(cls, working: "Working", gamma: Array) -> "Adjusted":
        """Adjust a likelihood, and find out near some coefficients of what kind it is."""
        return cls(working, is_canonical(working, gamma))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.inner, name)

    def at(self, gamma: Array) -> Point | None:
        """Evaluate at a point; None where the likelihood is not finite or the information is singular.

        Raises
        ------
        NoMoments
            If the family has no third moments.
        """
        value, gradient, _ = self.inner.evaluate(gamma, 1)
        if gradient is None:
            return None
        information = self.inner.fisher_information(gamma)
        if not np.isfinite(information).all():
            return None
        curvature = Curvature(information)
        if curvature.modified:
            return None
        root = curvature.root_inverse()
        score = gradient * self.nobs + self.inner.adjustment(gamma, root)
        return Point(value * self.nobs, score, root) if np.isfinite(score).all() else None

    def slope(self, gamma: Array, root: Array) -> Array | None:
        """Derivative of the adjusted score in the coordinates of ``root``, by central differences.

        As the score is in units of its standard errors and smooth on their scale, errors are about 1e-8.
        """
        columns = []
        for step in _DIFFERENCE * root.T:
            ahead, behind = self.at(gamma + step), self.at(gamma - step)
            if ahead is None or behind is None:
                return None
            columns.append(root.T @ (ahead.score - behind.score) / (2 * _DIFFERENCE))
        return np.column_stack(columns)

    def evaluate(self, gamma: Array, order: int = 2) -> Evaluation:
        """Mean of the penalised log-likelihood, and its derivatives; of a canonical one alone it means anything."""
        point, n = self.at(gamma), self.nobs
        if point is None:
            return Evaluation(-np.inf, None, None)
        slope = self.slope(gamma, point.root) if order > 1 else None
        if order > 1 and slope is None:
            return Evaluation(-np.inf, None, None)
        hessian = None
        if slope is not None:
            back = linalg.solve_triangular(point.root, np.eye(self.size))
            hessian = back.T @ (slope + slope.T) @ back / (2 * n)
        return Evaluation(point.penalised / n, point.score / n if order else None, hessian)

    def distance(self, point: Point) -> float:
        """How far a point is from the root of the adjusted score, in standard errors."""
        return float(np.sqrt(self.count / self.nobs) * np.linalg.norm(point.inside))


def is_canonical(working: "Working", gamma: Array) -> bool:
    """Whether second derivatives are the expected ones, whatever the response: they are then not random.

    They are compared for some rows at linear predictors that are not those of their estimates, where an observed
    information may be the expected one by chance.
    """
    family, some = working.family, working.part(slice(0, _PROBED))
    free = [j for j, x in enumerate(some.block.X) if x.shape[1]]
    repeats, same = family.repeats(some.block.y), True
    with np.errstate(all="ignore"):
        for share, shift in ((0.83, 0.17), (0.59, -0.13)):
            eta = [
                share * e + (shift if limits == (-np.inf, np.inf) else 0.0)
                for e, limits in zip(some.linear_predictors(gamma), family.eta_limits(), strict=True)
            ]
            expected = family.information(*eta)
            if expected is None:
                return False
            expected = (expected if repeats is None else expected * repeats)[np.ix_(free, free)]
            gap = np.abs(family.linear_rows(some.block.y, *eta).hess[np.ix_(free, free)] + expected)
            same &= bool((gap <= _SAME * np.abs(expected).max(axis=(0, 1))).all())
    return same


# ------------------------------------------------------------------------------------ the root


def solve(
    adjusted: Adjusted,
    start: Array,
    *,
    tol: float | None = None,
    maxiter: int | None = None,
    callback: Callable[[Step], Any] | None = None,
) -> tuple[Optimum, Point]:
    """Find the root of the adjusted score by scoring steps, halved as long as they lead away from it.

    0. Evaluate the adjusted score and the expected information.
    1. Solve for the scoring step; if the last steps shrank slowly, or lead away, for that of Newton.
    2. Stop if the root is closer than ``tol``, in standard errors.
    3. Halve the step until the penalised likelihood rises, or, where there is none, the score shrinks.

    Raises
    ------
    StartError
        If the adjusted score is not finite at the start.
    """
    tol, maxiter = tol or _TOLERANCE, ITERATIONS if maxiter is None else maxiter
    recorder = Recorder(adjusted, callback)
    gamma, before, step, slow = np.array(start, dtype=float), np.inf, np.nan, False
    point = adjusted.at(gamma)
    if point is None:
        raise StartError("the score adjusted for bias is not finite at the start: leave start out, or give another")
    for iteration in range(maxiter + 1):
        distance = adjusted.distance(point)
        recorder.evaluations += 1
        recorder.record(iteration, point.value / adjusted.nobs, distance, step)
        if distance <= tol or (slow and _STALL > distance > 0.5 * before):
            return recorder.optimum(gamma, f"adjusted score {distance:.1e} standard errors from zero", iteration), point
        if iteration == maxiter:
            break
        slow = distance > _SLOW * before
        moved = _moved(adjusted, gamma, point, slow=slow)
        if moved is None:
            return recorder.optimum(gamma, "no step leads towards the root of the adjusted score", iteration), point
        before = distance
        gamma, point, step = moved
    reason = f"reached the limit of {maxiter} iterations"
    return recorder.optimum(gamma, reason, maxiter, limited=True), point


def _moved(adjusted: Adjusted, gamma: Array, point: Point, *, slow: bool) -> tuple[Array, Point, float] | None:
    """Where a step leads, and what share of it was taken."""
    kinds = (_newton, _scoring) if slow else (_scoring, _newton)
    for kind in kinds:
        direction = kind(adjusted, gamma, point)
        share = 1.0
        while direction is not None and share > _SHORTEST:
            trial = gamma + share * direction
            there = adjusted.at(trial)
            if there is not None and _better(adjusted, point, there, share, float(point.score @ direction)):
                return trial, there, share
            share /= 2
    return None


def _scoring(adjusted: Adjusted, gamma: Array, point: Point) -> Array:
    return point.direction


def _newton(adjusted: Adjusted, gamma: Array, point: Point) -> Array | None:
    slope = adjusted.slope(gamma, point.root)
    if slope is None or not np.isfinite(slope).all():
        return None
    if adjusted.canonical:
        return point.root @ Curvature(-(slope + slope.T) / 2).solve(point.inside)
    try:
        return np.asarray(point.root @ linalg.solve(-slope, point.inside))
    except linalg.LinAlgError:
        return None


def _better(adjusted: Adjusted, here: Point, there: Point, share: float, gain: float) -> bool:
    """Whether a step leads uphill, or, where there is no hill, towards zero."""
    if adjusted.canonical:
        rounding = 1e-11 * (1 + abs(here.penalised))
        return there.penalised >= here.penalised + 1e-4 * share * gain - (rounding if gain < rounding else 0.0)
    now, then = np.linalg.norm(here.inside), np.linalg.norm(here.root.T @ there.score)
    return bool(then <= (1 - 1e-4 * share) * now or max(now, then) < 1e-9)


# ------------------------------------------------------------------------------------ the verdict


def judge_adjusted(adjusted: Adjusted, optimum: Optimum, point: Point) -> Verdict:
    """Judge the point where the search for the root stopped, by the adjusted score in standard errors there."""
    n, distance = adjusted.nobs, adjusted.distance(point)
    back = linalg.solve_triangular(point.root, np.eye(adjusted.size))
    here = Evaluation(point.value / n, point.score / n, -back.T @ back / n)
    status, detail = _status(adjusted, optimum, back.T @ back, distance)
    return Verdict(status, detail, distance, here)


def _status(adjusted: Adjusted, optimum: Optimum, information: Array, distance: float) -> tuple[Status, str]:
    detail = f"the adjusted score is {distance:.1e} standard errors from zero"
    if not distance <= CLOSE:
        if _at_edge(adjusted, optimum.gamma):
            return Status.BOUNDARY, f"{optimum.reason}; {detail}"
        return Status.ITERATION_LIMIT if optimum.limited else Status.STOPPED_SHORT, f"{optimum.reason}; {detail}"
    smallest = Curvature(information).smallest_eigenvalue()
    if smallest < _FLAT:
        return Status.SINGULAR, f"smallest eigenvalue of the scaled information {smallest:.1e}"
    return Status.CONVERGED, detail


def _at_edge(adjusted: Adjusted, gamma: Array) -> bool:
    limits = adjusted.family.eta_limits()
    for eta, (low, high) in zip(adjusted.linear_predictors(gamma), limits, strict=True):
        size = 1e-6 * float(np.abs(eta).max())
        if eta.min() - low < size or high - eta.max() < size:
            return True
    return False
