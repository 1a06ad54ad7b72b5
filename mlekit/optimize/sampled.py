"""Newton's method on many rows, with the help of a sample of them: one Hessian of all rows instead of several.

A pass over all rows for the Hessian costs several for the gradient. A sample knows the Hessian to a few per cent, which
is enough to converge by gradients of all rows; and it knows how the Hessian changes over a small step.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import linalg

from mlekit.links import Array
from mlekit.optimize.base import Curvature, Objective, Optimum, Recorder, StartError, Step
from mlekit.optimize.newton import line_search, newton, newton_step

# How close to the maximum the one Hessian of all rows is taken, in standard errors over the root of n.
_NEAR = 5e-5
# Largest relative error of a standard error that is let pass: the furthest that the last step moves any linear
# predictor (a bound on the change of a row's information), times the share of it that the sample gets wrong.
_ERROR = 5e-5
# Gradients of all rows; more mean that the sample's Hessian does not serve.
_STEPS = 8


def sampled_newton(
    objective: Objective,
    start: Array,
    *,
    sample: Objective,
    tol: float | None = None,
    maxiter: int | None = None,
    callback: Callable[[Step], Any] | None = None,
) -> Optimum:
    """Maximise by Newton steps with the Hessian of a sample, and one of all rows near the maximum.

    0. Step with gradients of all rows and the sample's Hessian, as long as the decrement falls fivefold.
    1. Near the maximum, evaluate the Hessian of all rows.
    2. Take the last step: it ends where the quadratic says, and the Hessian there is the one of all rows with the
       change that the sample tells; if no row moves too far for that, and the sample stands for all rows.
    3. Otherwise go on by :func:`~mlekit.optimize.newton.newton`.

    Parameters
    ----------
    objective, start, tol, maxiter, callback
        As for :func:`~mlekit.optimize.newton.newton`, to which a ``tol`` or ``maxiter`` of the user's goes at once.
    sample : Objective
        The objective on a part of the rows, with ``start`` its maximum.
    """
    if tol is not None or maxiter is not None:
        return newton(objective, start, tol=tol, maxiter=maxiter, callback=callback)
    recorder = Recorder(objective, callback)
    near = _NEAR * np.sqrt(objective.count)
    curvature = Curvature(-sample.evaluate(start, 2).hessian)
    gamma, step, before = np.array(start, dtype=float), np.nan, np.inf
    point = recorder.evaluate(gamma, 1)
    if point.gradient is None:
        raise StartError("the log-likelihood is not finite at the start")
    for iteration in range(_STEPS):
        direction, decrement = newton_step(objective, curvature, point)
        recorder.record(iteration, point.value, decrement, step)
        if decrement > 0.2 * before:
            break
        shrinking = decrement / before if np.isfinite(before) else 0.1
        before = decrement
        moved = line_search(recorder, gamma, point, direction, 2 if decrement * shrinking <= near else 1)
        if moved is None:
            break
        gamma, point, step = moved
        if point.hessian is not None:
            end = _last_step(recorder, gamma, point, step, sample, near)
            if end is not None:
                return end
            break
    return newton(objective, gamma, recorder=recorder, point=point)


def _last_step(
    recorder: Recorder, gamma: Array, point: Any, step: float, sample: Objective, near: float
) -> Optimum | None:
    """Take the last step without another pass over the data; None where that is not safe."""
    objective, iteration = recorder.objective, recorder.steps
    curvature = Curvature(-point.hessian)
    direction, decrement = newton_step(objective, curvature, point)
    if decrement > 2 * near or curvature.modified:
        return None
    end = gamma + direction
    here, there = (sample.evaluate(at, 2).hessian for at in (gamma, end))
    if here is None or there is None:
        return None
    reach = objective.reach(direction)
    if not reach * _mismatch(-here, -point.hessian) <= _ERROR:
        return None
    recorder.record(iteration, point.value, decrement, step)
    value = point.value + 0.5 * point.gradient @ direction
    # The information of no row changes by more than reach, relatively: nor does what the quadratic leaves.
    final = point._replace(value=value, gradient=reach * point.gradient, hessian=point.hessian + there - here)
    reason = f"the last step was {decrement:.1e} standard errors"
    return recorder.optimum(end, reason, iteration, point=final, bounded=True)


def _mismatch(some: Array, all_rows: Array) -> float:
    """Largest relative difference of two information matrices (means) in any direction."""
    try:
        ratios = linalg.eigh(some, all_rows, eigvals_only=True)
    except linalg.LinAlgError:
        return np.inf
    return float(max(ratios[-1] - 1, 1 - ratios[0]))
