"""Maximum likelihood by gradient descent, on all rows or on batches that grow: the loop that ``mlekit.train`` runs.

Both see coordinates in which the curvature is the identity: the learning rate 1 is one over the largest curvature, and
lengths are in standard errors.
"""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import repeat
from typing import Any, Protocol, Self

import numpy as np

from mlekit.links import Array
from mlekit.optimize.base import Curvature, Objective, Optimum, Recorder, StartError, Step
from mlekit.optimize.descent import RULES, Batch, descend
from mlekit.optimize.newton import newton_step

_TOLERANCE = 1e-6
_EPOCHS = 10_000
# Rows of the first batches: enough to keep a batch's curvature below twice the one of all rows, and so the steps
# stable; and no more batches than so many, as each has a fixed cost.
_FIRST_BATCH, _ROWS_PER_COORDINATE, _MOST_BATCHES = 32, 10, 1000
# Epochs until the curvature is measured anew: on the way to infinity it fades.
_WALK = 100
# A distance this small, in standard errors, that has not fallen for so many epochs is made of rounding errors.
_STALL, _PATIENCE = 1e-6, 50
# Relative change of the mean log-likelihood below which its value cannot judge a step.
_UNRESOLVED = 1e-11
_SHORTEST = 1e-18


class Divisible(Objective, Protocol):
    """An objective that can be cut into parts."""

    def part(self, rows: Any) -> Self:
        """Return the objective of some of the rows."""


#: The parts of the rows that an epoch walks, in order.
Parts = list[Divisible]


def gradient_descent(
    objective: Divisible,
    start: Array,
    *,
    tol: float | None = None,
    maxiter: int | None = None,
    callback: Callable[[Step], Any] | None = None,
) -> Optimum:
    """Maximise by gradient descent on all rows.

    0. Take coordinates in which the curvature here is the identity, and the learning rate 1.
    1. Step along the gradient. Where the likelihood falls, go back to the best point, and to 0; where the first step
       fails, with half the rate.
    2. The length of the gradient is the distance to the maximum in standard errors; below ``tol`` it is measured again
       with the curvature there: stop, or go to 0.

    Parameters
    ----------
    objective, start, callback
        As for :func:`mlekit.optimize.newton.newton`.
    tol : float
        Distance to the maximum at which to stop, in standard errors (default 1e-6).
    maxiter : int
        Most epochs to run (default 10 000).
    """
    return _descent(objective, start, repeat([objective]), tol, maxiter, callback)


def stochastic_gradient_descent(
    objective: Divisible,
    start: Array,
    *,
    tol: float | None = None,
    maxiter: int | None = None,
    callback: Callable[[Step], Any] | None = None,
) -> Optimum:
    """Maximise by gradient descent on batches of rows that double from epoch to epoch until they are all rows.

    Small batches make fast progress far from the maximum, and large ones converge (Friedlander and Schmidt 2012,
    "Hybrid deterministic-stochastic methods for data fitting"). Rows are drawn with a fixed seed. The likelihood of an
    epoch, in the trace, is the mean along its steps.

    Parameters
    ----------
    objective, start, tol, maxiter, callback
        As for :func:`gradient_descent`, which this is from the epoch on where a batch is all rows.
    """
    return _descent(objective, start, _growing(objective), tol, maxiter, callback)


def _growing(objective: Divisible) -> Iterator[Parts]:
    """Cut the rows at random into parts, of which each epoch has half as many, and at last one."""
    rng = np.random.default_rng(0)
    size = max(_FIRST_BATCH, _ROWS_PER_COORDINATE * objective.size, objective.rows // _MOST_BATCHES)
    while size < objective.rows:
        count = -(-objective.rows // size)
        yield [objective.part(rows) for rows in np.array_split(rng.permutation(objective.rows), count)]
        size *= 2
    yield from repeat([objective])


def _descent(
    objective: Divisible,
    start: Array,
    plan: Iterator[Parts],
    tol: float | None,
    maxiter: int | None,
    callback: Callable[[Step], Any] | None,
) -> Optimum:
    """Walk, and measure the curvature anew wherever a walk ends."""
    tol, maxiter = _TOLERANCE if tol is None else tol, _EPOCHS if maxiter is None else maxiter
    recorder = Recorder(objective, callback)
    gamma, rate, before = np.array(start, dtype=float), 1.0, np.inf
    point = recorder.evaluate(gamma, 2)
    if point.hessian is None:
        raise StartError("the log-likelihood is not finite at the start")
    while True:
        curvature = Curvature(-point.hessian)
        _, decrement = newton_step(objective, curvature, point)
        if decrement <= tol or _STALL > decrement > 0.5 * before:
            reason = f"{decrement:.1e} standard errors from the maximum"
            reason += "" if decrement <= tol else ", as close as rounding lets it"
            break
        if recorder.steps >= maxiter:
            reason = f"reached the limit of {maxiter} epochs"
            break
        if rate < _SHORTEST:
            reason = "no step along the gradient raises the likelihood"
            break
        whiten = curvature.root_inverse()
        gamma, failed = _walk(recorder, gamma, point.value, whiten, plan, rate, tol, maxiter)
        rate, before = (rate / 2, np.inf) if failed else (1.0, decrement)
        point = recorder.evaluate(gamma, 2)
        if point.hessian is None:  # where a likelihood is unbounded, a walk may end there
            reason = "the derivatives of the log-likelihood are not finite where the walk ended"
            break
    recorder.record(recorder.steps, point.value, decrement, rate)
    limited = reason.startswith("reached")
    return recorder.optimum(gamma, reason, recorder.steps - 1, limited=limited, point=point)


def _walk(
    recorder: Recorder,
    origin: Array,
    value: float,
    whiten: Array,
    plan: Iterator[Parts],
    rate: float,
    tol: float,
    maxiter: int,
) -> tuple[Array, bool]:
    """Descend in the coordinates of ``whiten``; return where to go on from, and whether no step was good."""
    objective = recorder.objective
    here = best = np.zeros(objective.size)
    highest, shortest, waited = value, np.inf, 0
    for epoch in descend((_batches(parts, origin, whiten) for parts in plan), here, RULES["sgd"], rate):
        value, whole = -epoch.loss, epoch.steps == 1
        decrement = float(np.sqrt(objective.count) * np.linalg.norm(epoch.gradient))
        recorder.evaluations += 1
        recorder.record(recorder.steps, value, decrement, rate)
        # A batch of b rows puts the estimate about size / (2 b) below the maximum.
        noise = 0.0 if whole else objective.size * epoch.steps / objective.rows
        if not value >= highest - noise - _UNRESOLVED * (1 + abs(highest)):
            return origin + whiten @ best, not best.any()
        if value > highest or not whole:
            best, highest = here, value
        here = epoch.beta
        waited = 0 if decrement < shortest else waited + 1
        shortest = min(shortest, decrement)
        stalled = shortest < _STALL and waited > _PATIENCE
        if recorder.steps >= maxiter or epoch.number >= _WALK or (whole and (decrement <= tol or stalled)):
            break
    return origin + whiten @ here, False


def _batches(parts: Parts, origin: Array, whiten: Array) -> Iterator[Batch]:
    """Minus the likelihood of each part, in whitened coordinates."""

    def seen(part: Divisible, delta: Array) -> tuple[float, Array]:
        point = part.evaluate(origin + whiten @ delta, 1)
        if point.gradient is None:
            return np.inf, np.zeros_like(delta)
        return -point.value, -(whiten.T @ point.gradient)

    total = sum(part.nobs for part in parts)
    return ((part.nobs / total, partial(seen, part)) for part in parts)
