"""Newton's method and Fisher scoring with step-halving."""

from collections.abc import Callable
from typing import Any

import numpy as np

from mlekit.links import Array
from mlekit.optimize.base import Curvature, Objective, Optimum, Recorder, StartError, Step

ITERATIONS = 100
# Where the method stops, in standard errors. On many rows a tighter stop would be a pass over the data for nothing.
_TOLERANCE, _TOLERANCE_OF_MANY = 1e-10, 1e-6
# From this many rows on, a Hessian costs several gradients: one is used as long as it serves.
_MANY = 50_000
# A decrement this small that no longer halves is made of rounding errors.
_STALL = 1e-6
# Relative gain in the mean log-likelihood below which its value cannot judge a step.
_UNRESOLVED = 1e-11


def newton(
    objective: Objective,
    start: Array,
    *,
    tol: float | None = None,
    maxiter: int | None = None,
    callback: Callable[[Step], Any] | None = None,
    expected: bool = False,
    recorder: Recorder | None = None,
    point: Any = None,
) -> Optimum:
    """Maximise by Newton steps, halved until the likelihood rises and stays defined.

    0. Evaluate value, gradient and Hessian.
    1. Solve for the step; where the Hessian is indefinite, with its negative curvature turned round.
    2. The Newton decrement is the distance to the maximum in standard errors: stop below ``tol``.
    3. Halve the step until the value rises and every parameter is in its domain.
    4. Go to 0. On many rows the Hessian is kept as long as the decrement falls tenfold per step; the last is fresh.

    Parameters
    ----------
    objective : Objective
    start : (r,) array
    tol : float
        Newton decrement at which to stop, in standard errors (default 1e-10; 1e-6 from 50 000 rows on).
    maxiter : int
        Most steps to take (default 100).
    callback : callable
        Takes each :class:`~mlekit.optimize.base.Step`.
    expected : bool
        Use the expected information in place of minus the Hessian (Fisher scoring).
    recorder : Recorder, optional
        That of a method whose work this one goes on with.
    point : Evaluation, optional
        The objective at ``start``, where that method has it.
    """
    many = objective.rows >= _MANY and not expected
    tol = (_TOLERANCE_OF_MANY if many else _TOLERANCE) if tol is None else tol
    maxiter = ITERATIONS if maxiter is None else maxiter
    recorder = recorder or Recorder(objective, callback)
    gamma, step, before = np.array(start, dtype=float), np.nan, np.inf
    if point is None or point.hessian is None:
        point = recorder.evaluate(gamma, 2)
    if point.gradient is None:
        raise StartError("the log-likelihood is not finite at the start")
    curvature = _curvature(objective, gamma, point, expected)
    for iteration in range(recorder.steps, maxiter + 1):
        recorder.indefinite |= curvature.modified
        direction, decrement = newton_step(objective, curvature, point)
        if point.hessian is None and (decrement <= tol or decrement > 0.1 * before):
            point, before = recorder.evaluate(gamma, 2), np.inf
            curvature = Curvature(-point.hessian)
            direction, decrement = newton_step(objective, curvature, point)
        recorder.record(iteration, point.value, decrement, step)
        if decrement <= tol or _STALL > decrement > 0.5 * before:
            reason = f"Newton decrement {decrement:.1e}" + (
                "" if decrement <= tol else ", as small as rounding lets it"
            )
            return recorder.optimum(gamma, reason, iteration, point=point)
        if iteration == maxiter:
            break
        next_decrement = decrement * (decrement / before if np.isfinite(before) else 0.1)
        before = decrement
        order = 1 if many and not curvature.modified and next_decrement > tol else 2
        moved = line_search(recorder, gamma, point, direction, order)
        if moved is None:
            reason = "no step along the Newton direction raises the likelihood"
            return recorder.optimum(gamma, reason, iteration, point=point)
        gamma, point, step = moved
        if point.hessian is not None:
            curvature = _curvature(objective, gamma, point, expected)
    return recorder.optimum(gamma, f"reached the limit of {maxiter} iterations", maxiter, limited=True, point=point)


def fisher(objective: Objective, start: Array, **options: Any) -> Optimum:
    """Fisher scoring: Newton with the expected information; equal to iteratively reweighted least squares."""
    if objective.expected_information(np.asarray(start, dtype=float)) is None:
        raise ValueError(
            "method='fisher' needs the expected information, which this family does not give: "
            "use method='newton', or define information(self, *eta) in the family"
        )
    return newton(objective, start, expected=True, **options)


def newton_step(objective: Objective, curvature: Curvature, point: Any) -> tuple[Array, float]:
    """Return the Newton step, and its length in standard errors."""
    direction = curvature.solve(point.gradient)
    return direction, float(np.sqrt(objective.count * max(point.gradient @ direction, 0.0)))


def line_search(
    recorder: Recorder, gamma: Array, point: Any, direction: Array, order: int
) -> tuple[Array, Any, float] | None:
    """Halve the step until the value rises; None if it never does."""
    slope = point.gradient @ direction
    # Close to the maximum the gain is lost in the rounding of the value, and only the gradient can tell.
    rounding = _UNRESOLVED * (1 + abs(point.value)) if slope < _UNRESOLVED * (1 + abs(point.value)) else 0.0
    step = 1.0
    while step > 1e-18:
        trial = gamma + step * direction
        if np.array_equal(trial, gamma):
            return None
        there = recorder.evaluate(trial, order)
        if there.value >= point.value + 1e-4 * step * slope - rounding:
            return trial, there, step
        step /= 2
    return None


def _curvature(objective: Objective, gamma: Array, point: Any, expected: bool) -> Curvature:
    information = objective.expected_information(gamma) if expected else None
    if information is not None:
        return Curvature(information / objective.nobs)
    return Curvature(-point.hessian)
