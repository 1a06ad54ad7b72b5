"""What every optimiser takes and returns: an objective, an optimum, and the status that it ended with."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, NamedTuple, Protocol

import numpy as np
from scipy import linalg

from mlekit.links import Array


class StartError(ValueError):
    """No coefficients were found, or the given ones are not, where the likelihood is finite."""


class Objective(Protocol):
    """A mean log-likelihood in well-conditioned coordinates."""

    @property
    def size(self) -> int:
        """Number of coordinates."""

    @property
    def rows(self) -> int:
        """Number of rows."""

    @property
    def nobs(self) -> float:
        """Number of observations: the sum of the weights."""

    @property
    def count(self) -> float:
        """Observations or rows, whichever are more: what distances in standard errors are measured by."""

    def reach(self, direction: Array) -> float:
        """Furthest that a step moves any linear predictor."""

    def evaluate(self, gamma: Array, order: int) -> Any:
        """Value, gradient and Hessian of the mean log-likelihood; value -inf where it is not defined."""

    def expected_information(self, gamma: Array) -> Array | None:
        """Expected information (a sum), or None."""


class Status(Enum):
    """How a fit ended, in a sentence."""

    CONVERGED = "converged: the estimate is at the maximum"
    CLOSED_FORM = "exact: the estimate has a closed form"
    LIMIT = "converged: the estimate is at the maximum, which is at the limit of a parameter"
    ITERATION_LIMIT = "not converged: stopped at the iteration limit"
    STOPPED_SHORT = "not converged: the method stopped short of the maximum"
    INFINITE = "no finite estimate: the likelihood only approaches its supremum as coefficients go to infinity"
    DIVERGING = "not converged: the estimates run off to infinity while the likelihood levels out"
    BOUNDARY = "not converged: stopped at the edge of the parameters' domain"
    SINGULAR = "not trustworthy: the information is singular, so the estimates are not unique"
    FLAT = "not trustworthy: the maximum is flatter than a quadratic, so that there are no standard errors"
    NOT_A_MAXIMUM = "not converged: stopped where the likelihood curves upwards"
    UNBOUNDED = "not trustworthy: the fit is perfect, so the likelihood has no maximum"
    KINKED = "not converged: the method does not get to the kinks of the likelihood, where its maximum is"
    DERIVATIVES = "not trustworthy: the derivatives that the family gives are not those of its log-density"
    NO_ERRORS = "not trustworthy: the estimate looks like the maximum, but standard errors are not finite and positive"
    FAILED = "failed: the likelihood is not finite at the point where the method stopped"

    @property
    def ok(self) -> bool:
        """Whether the estimate is the maximum-likelihood estimate."""
        return self in (Status.CONVERGED, Status.CLOSED_FORM, Status.LIMIT)

    @property
    def comparable(self) -> bool:
        """Whether the log-likelihood is the model's largest, or its supremum, so that models can be compared by it."""
        return self.ok or self is Status.INFINITE


#: What each status that is not ok is likely to come from.
CAUSES = {
    Status.ITERATION_LIMIT: "the method needs more iterations than maxiter allows",
    Status.STOPPED_SHORT: "the method's own rule to stop was met too early, or rounding hides the way up",
    Status.INFINITE: "outcomes are separated by a covariate or a combination of some, or a group has only zeros",
    Status.DIVERGING: "outcomes are separated, a group has only zeros, or the data ask for the limit of a parameter",
    Status.BOUNDARY: "the likelihood rises towards parameters outside their domain, which the link does not keep out",
    Status.SINGULAR: "a covariate does not vary where it matters, or two parameters do the same",
    Status.FLAT: "the second derivatives of the log-density vanish at the maximum, as those of -(a - 1)**4 do",
    Status.NOT_A_MAXIMUM: "the method stopped at a saddle point, or far from the maximum",
    Status.UNBOUNDED: "the covariates reproduce the response exactly",
    Status.KINKED: "the method follows slopes, and the maximum is at corners",
    Status.DERIVATIVES: "a mistake in the family's rows or linear_rows",
    Status.NO_ERRORS: "the information is all but singular, the number of rows is too small for this covariance, or "
    "numbers overflow",
    Status.FAILED: "the start is too far away, or the data have extreme values",
}

#: What to do about each status that is not ok.
REMEDIES = {
    Status.ITERATION_LIMIT: "raise maxiter, or fit by method='auto'",
    Status.STOPPED_SHORT: "tighten tol, raise maxiter, or fit by method='auto'",
    Status.INFINITE: "report it as it is: lr_test, predictions and the finite estimates are right. For finite ones "
    "fit with bias_reduction=True (Firth's estimates) or a penalty, merge levels, or leave the term out",
    Status.DIVERGING: "a covariate (or a combination) may separate the outcomes, or a group may have only zeros: look "
    "at a table of the response by each factor, and merge levels or leave the term out; or the data ask for the limit "
    "of a parameter, as of Student's df at infinity: fit the family that it is there, the Normal",
    Status.BOUNDARY: "choose a link that keeps the parameter in its domain: 'log' for what is positive, 'logit' for a "
    "probability",
    Status.SINGULAR: "leave out a covariate, or look for one that never varies where it matters",
    Status.FLAT: "report the estimate alone, or a function of the parameter in which the likelihood is curved",
    Status.NOT_A_MAXIMUM: "give other start values, or fit by method='auto'",
    Status.UNBOUNDED: "the covariates reproduce the response exactly, or zeros of a continuous one: estimate no "
    "standard deviation from it, or fit what is above zero",
    Status.KINKED: "fit by method='auto', which solves for the maximum of such a likelihood",
    Status.DERIVATIVES: "look at family.check(y, ...), or leave rows and linear_rows out: they are then exact by jets",
    Status.NO_ERRORS: "see res.diagnosis; rescale extreme columns, leave a covariate out, or take another cov_type",
    Status.FAILED: "give other start values, or check the data for extreme values",
}


class Step(NamedTuple):
    """One line of the trace; ``decrement`` is the distance to the maximum in standard errors, as far as known."""

    iteration: int
    llf: float
    decrement: float
    step: float
    seconds: float


@dataclass(frozen=True)
class Optimum:
    """Where an optimiser stopped.

    Attributes
    ----------
    gamma : (r,) array
    reason : str
        The optimiser's own words.
    iterations, evaluations : int
    trace : tuple of Step
    limited : bool
        Whether it stopped at its iteration limit.
    indefinite : bool
        Whether Newton's method passed where the likelihood curves upwards: there may be other maxima.
    evaluation : Evaluation or None
        The objective to second order at ``gamma``, where the method has it at hand.
    bounded : bool
        Whether that is not of a pass over the rows: the value is that of a quadratic, the gradient a bound.
    params : (p,) array or None
        The coefficients, where they are known to more digits than ``matrix @ gamma`` has.
    """

    gamma: Array
    reason: str
    iterations: int
    evaluations: int
    trace: tuple[Step, ...] = ()
    limited: bool = False
    indefinite: bool = False
    evaluation: Any = field(default=None, repr=False)
    bounded: bool = False
    params: Array | None = field(default=None, repr=False)

    def coefficients(self, matrix: Array) -> Array:
        """The coefficients at the optimum, where ``params = matrix @ gamma``."""
        return matrix @ self.gamma if self.params is None else self.params


@dataclass
class Recorder:
    """Counts evaluations, keeps the trace and calls back."""

    objective: Objective
    callback: Callable[[Step], Any] | None = None
    evaluations: int = 0
    indefinite: bool = False
    trace: list[Step] = field(default_factory=list)
    began: float = field(default_factory=time.perf_counter)

    @property
    def steps(self) -> int:
        """Number of lines of the trace so far."""
        return len(self.trace)

    def evaluate(self, gamma: Array, order: int) -> Any:
        """Evaluate the objective, and count it."""
        self.evaluations += 1
        return self.objective.evaluate(gamma, order)

    def record(self, iteration: int, value: float, decrement: float, step: float) -> None:
        """Add a line to the trace."""
        seconds = time.perf_counter() - self.began
        line = Step(iteration, value * self.objective.nobs, decrement, step, seconds)
        self.trace.append(line)
        if self.callback is not None:
            try:
                self.callback(line)
            except StopIteration as stop:  # to some of scipy's methods it would mean success
                raise RuntimeError("the callback stopped the fit") from stop

    def optimum(
        self,
        gamma: Array,
        reason: str,
        iterations: int,
        *,
        limited: bool = False,
        point: Any = None,
        bounded: bool = False,
    ) -> Optimum:
        """Return the optimum with what was recorded; ``point`` is the evaluation there."""
        known = point if point is not None and point.hessian is not None else None
        return Optimum(
            gamma, reason, iterations, self.evaluations, tuple(self.trace), limited, self.indefinite, known, bounded
        )


class Curvature:
    """Minus a Hessian, made positive definite where it is not, and factored."""

    def __init__(self, matrix: Array) -> None:
        scale = np.sqrt(np.abs(np.diag(matrix)))
        scale[~(scale > 0)] = 1.0
        self.scale = scale
        equilibrated = self.equilibrated = matrix / scale[:, None] / scale
        self.modified = False
        try:
            self.factor = linalg.cho_factor(equilibrated, lower=True)
        except linalg.LinAlgError:
            # Turn negative curvature round and lift what is flat, so that the step goes uphill.
            self.modified = True
            values, vectors = linalg.eigh(equilibrated)
            lifted = np.maximum(np.abs(values), 1e-8 * max(np.abs(values).max(), 1e-300))
            self.factor = linalg.cho_factor((vectors * lifted) @ vectors.T, lower=True)

    def solve(self, gradient: Array) -> Array:
        """Return the Newton step.

        Raises
        ------
        ValueError
            If derivatives have overflown, as with columns of 1e-320 or a response of 1e308.
        """
        if not np.isfinite(gradient).all():
            raise ValueError(
                "derivatives of the log-likelihood are too large for floats: measure the columns and the response in "
                "units in which they are nearer to 1"
            )
        return linalg.cho_solve(self.factor, gradient / self.scale) / self.scale

    def smallest_eigenvalue(self) -> float:
        """Return the smallest eigenvalue of the matrix as it was given, its diagonal scaled to one."""
        return float(linalg.eigvalsh(self.equilibrated)[0])

    def root_inverse(self) -> Array:
        """Return ``W`` with ``W @ W.T`` the inverse: coordinates in which the curvature is the identity."""
        inverse, _ = linalg.lapack.dtrtri(self.factor[0], lower=1)
        return np.tril(inverse).T / self.scale[:, None]
