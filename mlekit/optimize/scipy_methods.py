"""Every method of :func:`scipy.optimize.minimize`, by its name. The one place where a sign is turned round."""

import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from mlekit.links import Array
from mlekit.optimize.base import Curvature, Objective, Optimum, Recorder, StartError, Step
from mlekit.optimize.newton import newton, newton_step

_DECREMENT = 1e-6
_ITERATIONS = 10_000
# A mean gradient below this is made of rounding, however many observations there are.
_ROUNDING = 1e-10
# Newton steps for the last digits; where they are needed, in standard errors; and what rounding does to a value.
_POLISH, _BLURRED, _BLUR = 10, 1e-4, 4 * np.finfo(float).eps


def _gradient_tolerance(g: float, n: int) -> dict[str, Any]:
    return {"gtol": g}


# Options that make each method stop on the gradient (or the simplex) in whitened coordinates, where a mean gradient of
# g is a distance of g to the maximum. Their own defaults stop several standard errors short on large data.
_OPTIONS: dict[str, Callable[[float, int], dict[str, Any]]] = {
    "nelder-mead": lambda g, r: {"xatol": g, "fatol": 1e-15, "adaptive": r > 2, "maxfev": 20_000},
    "powell": lambda g, r: {"xtol": g, "ftol": 1e-15, "maxfev": 20_000},
    "cg": _gradient_tolerance,
    "bfgs": _gradient_tolerance,
    "newton-cg": lambda g, r: {"xtol": g},
    "l-bfgs-b": lambda g, r: {"gtol": g, "ftol": 0.0, "maxfun": 100_000, "maxcor": max(10, min(r, 50))},
    "tnc": lambda g, r: {"gtol": g, "xtol": 0.0, "ftol": 0.0, "maxfun": 100_000},
    "cobyla": lambda g, r: {"tol": g, "rhobeg": 0.5, "maxiter": 300 * (r + 1)},
    "cobyqa": lambda g, r: {"final_tr_radius": g, "initial_tr_radius": max(g, 1.0), "maxfev": 20_000},
    "slsqp": lambda g, r: {"ftol": 1e-15},
    "trust-constr": lambda g, r: {"gtol": g, "xtol": 1e-12},
    "dogleg": _gradient_tolerance,
    "trust-ncg": _gradient_tolerance,
    "trust-krylov": _gradient_tolerance,
    "trust-exact": _gradient_tolerance,
}
_WITHOUT_GRADIENT = {"nelder-mead", "powell", "cobyla", "cobyqa"}
_WITH_HESSIAN = {"newton-cg", "trust-constr", "dogleg", "trust-ncg", "trust-krylov", "trust-exact"}

NAMES = tuple(_OPTIONS)


def scipy_minimize(
    name: str,
    objective: Objective,
    start: Array,
    *,
    tol: float | None = None,
    maxiter: int | None = None,
    callback: Callable[[Step], Any] | None = None,
) -> Optimum:
    """Maximise by a method of :func:`scipy.optimize.minimize`.

    The method sees coordinates in which the curvature at the start is the identity, so that its steps and tolerances
    mean the same for any units.

    Parameters
    ----------
    name : str
        The method's name in lower case.
    objective, start, maxiter, callback
        As for :func:`mlekit.optimize.newton.newton`.
    tol : float
        Distance to the maximum at which to stop, in standard errors (default 1e-6).
    """
    from scipy import optimize  # slow to import, and not needed for the default method

    recorder = Recorder(objective, callback)
    origin = np.array(start, dtype=float)
    point = recorder.evaluate(origin, 2)
    if point.hessian is None:
        raise StartError("the log-likelihood is not finite at the start")
    whiten = Curvature(-point.hessian).root_inverse()
    seen = _Seen(recorder, origin, whiten)
    gradient = max((_DECREMENT if tol is None else tol) / np.sqrt(objective.count), _ROUNDING)
    options = _OPTIONS[name](gradient, objective.size)
    options.setdefault("maxiter", _ITERATIONS)
    if maxiter is not None:
        options["maxiter"] = maxiter
    if name == "tnc":
        options.pop("maxiter")
        options["maxfun"] = _ITERATIONS if maxiter is None else maxiter
    if name == "nelder-mead":
        options["initial_simplex"] = np.vstack([np.zeros(objective.size), 0.5 * np.eye(objective.size)])
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            found = optimize.minimize(
                seen.value,
                np.zeros(objective.size),
                method=name,
                jac=None if name in _WITHOUT_GRADIENT else seen.gradient,
                hess=seen.hessian if name in _WITH_HESSIAN else None,
                callback=seen.iterated,
                options=options,
            )
        except (RuntimeError, ValueError) as error:
            if not _is_scipys(error):
                raise
            # powell finds no bracket on the way to infinity; the linear algebra of others meets numbers too large
            return recorder.optimum(origin + whiten @ seen.point, str(error), seen.iterations)
    iterations = int(getattr(found, "nit", seen.iterations))
    said = str(found.message).lower()
    limited = (maxiter is not None and iterations >= maxiter) or (
        not found.success and ("iteration" in said or "evaluat" in said)
    )
    gamma, reason = origin + whiten @ found.x, str(found.message)
    if limited and maxiter is not None:
        return recorder.optimum(gamma, reason, iterations, limited=True)
    polished = _polished(recorder, gamma)
    if polished is not None:
        said = f"{reason}; Newton's method went on from where the rounding of the log-likelihood stopped {name}"
        return replace(polished, reason=said, iterations=iterations + polished.iterations)
    return recorder.optimum(gamma, reason, iterations, limited=limited)


def _polished(recorder: Recorder, gamma: Array) -> Optimum | None:
    """Go on by Newton's method from a point whose value is that of the maximum to within rounding, if it is not there.

    With weights of 1e14 a relative rounding error of the log-likelihood is several standard errors.
    """
    objective = recorder.objective
    value = objective.evaluate(gamma, 0).value
    blurred = np.sqrt(2 * _BLUR * objective.count * (1 + abs(value)))
    if not _BLURRED < blurred < np.inf:
        return None
    point = recorder.evaluate(gamma, 2)
    if point.hessian is None:
        return None
    _, decrement = newton_step(objective, Curvature(-point.hessian), point)
    if not _BLURRED < decrement <= blurred:
        return None
    return newton(objective, gamma, maxiter=recorder.steps + _POLISH, recorder=recorder, point=point)


def _is_scipys(error: BaseException) -> bool:
    """Whether an error arose in scipy, and not in a callback or a density of the user's."""
    last, modules = error.__traceback__, []
    while last is not None:
        modules.append(str(last.tb_frame.f_globals.get("__name__", "")).partition(".")[0])
        last = last.tb_next
    return len(modules) > 1 and set(modules[1:]) <= {"scipy", "numpy"}


class _Seen:
    """The objective as scipy sees it: minus the value, in whitened coordinates, one evaluation per point."""

    def __init__(self, recorder: Recorder, origin: Array, whiten: Array) -> None:
        self.recorder, self.origin, self.whiten = recorder, origin, whiten
        self.point = np.zeros(origin.size)
        self.order = -1
        self.evaluation: Any = None
        self.iterations = 0

    def at(self, delta: Array, order: int) -> Any:
        if order > self.order or not np.array_equal(delta, self.point):
            self.evaluation = self.recorder.evaluate(self.origin + self.whiten @ delta, order)
            self.point, self.order = np.array(delta), order
        return self.evaluation

    def value(self, delta: Array) -> float:
        return -self.at(delta, 0).value

    def gradient(self, delta: Array) -> Array:
        gradient = self.at(delta, 1).gradient
        return np.zeros_like(delta) if gradient is None else -(self.whiten.T @ gradient)

    def hessian(self, delta: Array) -> Array:
        hessian = self.at(delta, 2).hessian
        return np.eye(delta.size) if hessian is None else -(self.whiten.T @ hessian @ self.whiten)

    def iterated(self, state: Any, *_: Any) -> None:
        delta = np.asarray(getattr(state, "x", state))
        evaluation = self.at(delta, max(self.order if np.array_equal(delta, self.point) else 0, 0))
        decrement = np.nan
        if evaluation.gradient is not None:
            # The metric of the start: exact only where the curvature has not changed.
            decrement = float(
                np.sqrt(self.recorder.objective.count) * np.linalg.norm(self.whiten.T @ evaluation.gradient)
            )
        self.iterations += 1
        step = np.nan if not self.recorder.trace else 1.0
        self.recorder.record(self.iterations, evaluation.value, decrement, step)
