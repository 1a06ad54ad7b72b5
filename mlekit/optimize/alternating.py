"""Likelihoods with a kink at every response, and a scale that is not one number."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mlekit.links import Array
from mlekit.optimize.base import Optimum, Recorder, Step
from mlekit.optimize.kinks import optimality, pinball_at
from mlekit.optimize.newton import ITERATIONS, newton
from mlekit.optimize.quantile import regression_quantile

if TYPE_CHECKING:
    from mlekit.likelihood import Evaluation, Working


def alternating(
    working: "Working",
    start: Array,
    *,
    tol: float | None = None,
    maxiter: int | None = None,
    callback: Callable[[Step], Any] | None = None,
) -> Optimum:
    """Maximise in turn over the first parameter, a regression quantile with known weights, and over the others.

    The likelihood is smooth in the others, so that a point which is the maximum in each direction is stationary. It is
    reached in finitely many turns: as soon as the same rows are on the line twice.

    Parameters
    ----------
    working, start, maxiter, callback
        As for :func:`~mlekit.optimize.newton.newton`.
    tol : float
        That of Newton's method for the other parameters.
    """
    recorder = Recorder(working, callback)
    gamma, limit = np.array(start, dtype=float), ITERATIONS if maxiter is None else maxiter
    problem, point = pinball_at(working, gamma), None
    first = problem.columns.shape[1]
    for iteration in range(1, limit + 1):
        solved = regression_quantile(problem)
        if solved is None:
            return recorder.optimum(gamma, "the linear programme has no solution", iteration)
        gamma[:first] = solved[0]
        rest = newton(_Others(working, gamma[:first]), gamma[first:], tol=tol)
        gamma[first:] = rest.gamma
        recorder.evaluations += rest.evaluations
        point = recorder.evaluate(gamma, 2)
        recorder.record(iteration, point.value, np.nan, np.nan)
        problem = pinball_at(working, gamma)
        if not np.isfinite(problem.weight).all():
            return recorder.optimum(gamma, "the scale of some rows goes to zero", iteration, point=point)
        if optimality(problem, gamma[:first]).optimal:
            return recorder.optimum(gamma, "the same rows on the line as before", iteration, point=point)
    return recorder.optimum(gamma, f"reached the limit of {limit} turns", limit, limited=True, point=point)


@dataclass(frozen=True)
class _Others:
    """The likelihood as a function of the other parameters, the first one given."""

    working: "Working"
    first: Array

    @property
    def size(self) -> int:
        return self.working.size - self.first.size

    @property
    def rows(self) -> int:
        return self.working.rows

    @property
    def nobs(self) -> float:
        return self.working.nobs

    @property
    def count(self) -> float:
        return self.working.count

    def evaluate(self, gamma: Array, order: int) -> "Evaluation":
        p = self.first.size
        found = self.working.evaluate(np.concatenate([self.first, gamma]), order)
        if found.gradient is None:
            return found
        return found._replace(
            gradient=found.gradient[p:], hessian=None if found.hessian is None else found.hessian[p:, p:]
        )

    def reach(self, direction: Array) -> float:
        return self.working.reach(np.concatenate([np.zeros(self.first.size), direction]))

    def expected_information(self, gamma: Array) -> Array | None:
        p = self.first.size
        found = self.working.expected_information(np.concatenate([self.first, gamma]))
        return None if found is None else found[p:, p:]
