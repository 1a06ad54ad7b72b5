"""The score adjusted for bias (Firth 1993): its value, its root, and whether a point is it.

The adjusted score is ``U + A`` with ``A_r = tr(F^-1 (P_r + Q_r)) / 2``, where F is the expected information,
``P_r = E[U U' U_r]`` and ``Q_r = E[-I U_r]`` with the observed one, I (Kosmidis and Firth 2009, Biometrika 96).
Its root has a bias of the order of 1 / n**2 in place of 1 / n. Where the second derivatives of the log-density are not
random, as with canonical links, it is the gradient of the log-likelihood plus half the logarithm of the determinant of
F: a likelihood with Jeffreys' prior. Elsewhere it is in general no gradient.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy import linalg

from mlekit.families.third import NoMoments, moments_of
from mlekit.likelihood import Evaluation
from mlekit.links import Array
from mlekit.optimize.base import Curvature, Optimum, Recorder, StartError, Status, Step
from mlekit.optimize.verdict import CLOSE, EDGE, FLAT, NO_RESIDUALS, Verdict, at_edge, perfect

if TYPE_CHECKING:
    from mlekit.likelihood import Working

ITERATIONS = 200
_TOLERANCE = 1e-10
# A distance this small that no longer halves is made of rounding errors.
_STALL = 1e-6
# Scoring steps that shrink by less than this are slow: the derivative of the adjusted score is then worth its price.
_SLOW = 0.5
# Steps of the differences, in standard errors.
_DIFFERENCE = 1e-4
# A last step longer than this, in standard errors, is suspect.
_STRIDE = 1e-2
# Shortest share of a step, and of one that is a guess.
_SHORTEST, _SHORT = 1e-6, 0.1
# Rows by which a link is known to be canonical, and what is rounding there.
_PROBED, _SAME = 100, 1e-9


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

    def length(self, move: Array) -> float:
        """Length of a step, in standard errors."""
        return float(np.linalg.norm(linalg.solve_triangular(self.root, move)))


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
        """Evaluate at a point; None where there is no adjusted score."""
        try:
            return self.beginning(gamma)
        except NoMoments:
            return None

    def beginning(self, gamma: Array) -> Point | None:
        """The same, and say why a family has no third moments.

        None where the likelihood is not finite or the information is singular.

        Raises
        ------
        NoMoments
            If the family has none there.
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
        # Weights that add up to next to nothing leave errors that are no small move.
        length = _DIFFERENCE * float(np.sqrt(self.nobs / self.count))
        for step in length * root.T:
            ahead, behind = self.at(gamma + step), self.at(gamma - step)
            if ahead is None or behind is None:
                return None
            columns.append(root.T @ (ahead.score - behind.score) / (2 * length))
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
            try:
                expected = moments_of(family, *eta).information
            except NoMoments:
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
) -> tuple[Optimum, Point, float]:
    """Find the root of the adjusted score by scoring steps, halved as long as they lead away from it.

    0. Evaluate the adjusted score and the expected information.
    1. Stop if the root is closer than ``tol``, in standard errors.
    2. Solve for a step: that of scoring, with what the steps before it told of the derivative (Broyden's update); if
       the last one brought little, that of Newton.
    3. Halve it until the penalised likelihood rises, or, where there is none, the score shrinks. Go to 0.

    Returns
    -------
    optimum : Optimum
    point : Point
        The adjusted score there.
    stride : float
        Length of the last step, in standard errors.

    Raises
    ------
    StartError
        If the adjusted score is not finite at the start.
    """
    tol, maxiter = tol or _TOLERANCE, ITERATIONS if maxiter is None else maxiter
    recorder = Recorder(adjusted, callback)
    gamma, before, step, slow, stride = np.array(start, dtype=float), np.inf, np.nan, False, 0.0
    learned: Array = np.zeros((gamma.size, gamma.size))
    point = adjusted.beginning(gamma)
    if point is None:
        raise StartError("the score adjusted for bias is not finite at the start: leave start out, or give another")
    for iteration in range(maxiter + 1):
        distance = adjusted.distance(point)
        recorder.evaluations += 1
        recorder.record(iteration, point.value / adjusted.nobs, distance, step)
        if distance <= tol or (slow and _STALL > distance > 0.5 * before):
            reason = f"adjusted score {distance:.1e} standard errors from zero"
            return recorder.optimum(gamma, reason, iteration), point, stride
        if iteration == maxiter:
            break
        slow = distance > _SLOW * before
        moved = _moved(adjusted, gamma, point, None if slow else learned)
        if moved is None:
            reason = "no step leads towards the root of the adjusted score"
            return recorder.optimum(gamma, reason, iteration), point, stride
        before, old = distance, (gamma, point.score)
        gamma, point, step = moved
        move = gamma - old[0]
        learned, stride = _updated(learned, point, move, point.score - old[1]), point.length(move)
    reason = f"reached the limit of {maxiter} iterations"
    return recorder.optimum(gamma, reason, maxiter, limited=True), point, stride


def _moved(adjusted: Adjusted, gamma: Array, point: Point, learned: Array | None) -> tuple[Array, Point, float] | None:
    """Where a step leads, and what share of it was taken; without what was learned, Newton's comes first."""
    secant = partial(_secant, learned=learned), _SHORT
    scoring, exact = (partial(_secant, learned=None), _SHORTEST), (_newton, _SHORTEST)
    for kind, shortest in (exact, scoring) if learned is None else (secant, scoring, exact):
        direction, share = kind(adjusted, gamma, point), 1.0
        while direction is not None and share > shortest:
            trial = gamma + share * direction
            there = adjusted.at(trial)
            if there is not None and _better(adjusted, point, there, share, float(point.score @ direction)):
                return trial, there, share
            share /= 2
    return None


def _secant(adjusted: Adjusted, gamma: Array, point: Point, learned: Array | None) -> Array | None:
    """The scoring step, or that with the information and what was learned."""
    if learned is None:
        return point.direction
    return _solved(np.eye(gamma.size) + point.root.T @ learned @ point.root, point)


def _newton(adjusted: Adjusted, gamma: Array, point: Point) -> Array | None:
    slope = adjusted.slope(gamma, point.root)
    if slope is None or not np.isfinite(slope).all():
        return None
    if adjusted.canonical:
        return point.root @ Curvature(-(slope + slope.T) / 2).solve(point.inside)
    return _solved(-slope, point)


def _solved(matrix: Array, point: Point) -> Array | None:
    try:
        return np.asarray(point.root @ linalg.solve(matrix, point.inside))
    except (linalg.LinAlgError, ValueError):
        return None


def _updated(learned: Array, point: Point, step: Array, change: Array) -> Array:
    """What has to be added to the information for minus the derivative, so that it explains the last change."""
    by_information = linalg.solve_triangular(point.root, linalg.solve_triangular(point.root, step), trans="T")
    rest = -change - by_information - learned @ step
    return learned + np.outer(rest, by_information) / (by_information @ step)


def _better(adjusted: Adjusted, here: Point, there: Point, share: float, gain: float) -> bool:
    """Whether a step leads uphill, or, where there is no hill, towards zero."""
    if adjusted.canonical:
        rounding = 1e-11 * (1 + abs(here.penalised))
        return there.penalised >= here.penalised + 1e-4 * share * gain - (rounding if gain < rounding else 0.0)
    now, then = np.linalg.norm(here.inside), np.linalg.norm(here.root.T @ there.score)
    return bool(then <= (1 - 1e-4 * share) * now or max(now, then) < 1e-9)


# ------------------------------------------------------------------------------------ the verdict


def judge_adjusted(adjusted: Adjusted, optimum: Optimum, point: Point, stride: float) -> Verdict:
    """Judge the point where the search for the root stopped, by the adjusted score in standard errors there.

    On the way to infinity it goes to zero as well, but steps, of which the last was ``stride`` long, do not.
    """
    n, distance = adjusted.nobs, adjusted.distance(point)
    back = linalg.solve_triangular(point.root, np.eye(adjusted.size))
    here = Evaluation(point.value / n, point.score / n, -back.T @ back / n)
    status, detail = _status(adjusted, optimum, back.T @ back, distance)
    if status is Status.CONVERGED and stride > _STRIDE:
        step = _newton(adjusted, optimum.gamma, point)
        if step is None or not point.length(step) <= CLOSE:
            status = Status.DIVERGING
            detail = f"Newton's steps do not shrink although the adjusted score is zero; {optimum.reason}"
    return Verdict(status, detail, distance, here)


def _status(adjusted: Adjusted, optimum: Optimum, information: Array, distance: float) -> tuple[Status, str]:
    detail = f"the adjusted score is {distance:.1e} standard errors from zero"
    if perfect(adjusted.inner, optimum.gamma):
        return Status.UNBOUNDED, NO_RESIDUALS
    if not distance <= CLOSE:
        if at_edge(adjusted.inner, optimum.gamma, EDGE):
            return Status.BOUNDARY, f"{optimum.reason}; {detail}"
        return Status.ITERATION_LIMIT if optimum.limited else Status.STOPPED_SHORT, f"{optimum.reason}; {detail}"
    smallest = Curvature(information).smallest_eigenvalue()
    if smallest < FLAT:
        return Status.SINGULAR, f"smallest eigenvalue of the scaled information {smallest:.1e}"
    return Status.CONVERGED, detail
