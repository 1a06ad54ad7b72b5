"""From a model to its maximum: which method, from where, and what covariance. Wiring only, no mathematics."""

import numbers
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from statsmodels.tools.sm_exceptions import ConvergenceWarning

from mlekit.attempts import lower, search, several_maxima
from mlekit.basis import SAMPLE_ROWS, sample_rows
from mlekit.bias_reduction import fit_bias_reduced, refuse_with_bias_reduction
from mlekit.covariance import cov_name
from mlekit.infinite import at_infinity
from mlekit.likelihood import Transformed
from mlekit.limits import at_limit, near_limit
from mlekit.links import Array
from mlekit.messages import warn
from mlekit.observations import refuse_infinite
from mlekit.optimize import Optimum, Step, maximize, method_name
from mlekit.optimize.alternating import alternating
from mlekit.optimize.base import StartError, Status
from mlekit.optimize.closed_form import closed_form
from mlekit.optimize.newton import newton
from mlekit.optimize.sampled import sampled_newton
from mlekit.optimize.start import given_start, starting_point
from mlekit.optimize.verdict import CLOSE, WITH_UNITS, judge
from mlekit.penalties import Penalty
from mlekit.response_units import in_unit
from mlekit.restricted import restrictions
from mlekit.restricted_fit import fit_restricted
from mlekit.results import Results, ResultsWrapper
from mlekit.slope_check import own_derivatives, wrong_derivatives

if TYPE_CHECKING:
    from mlekit.likelihood import Working
    from mlekit.model import Model


def fit_model(
    model: "Model",
    method: str,
    *,
    start: Any,
    cov_type: str,
    use_t: bool | None,
    maxiter: int | None,
    tol: float | None,
    callback: Callable[[Step], Any] | None,
    bounds: Mapping[str, tuple[Any, Any]] | None = None,
    constraints: Any = None,
    penalty: Penalty | None = None,
    bias_reduction: bool = False,
    n_starts: int = 1,
) -> ResultsWrapper:
    """Fit a model; see :func:`mlekit.fit` for the arguments."""
    method, cov_type = method_name(method), cov_name(cov_type)
    n_starts = _positive(n_starts, "n_starts") or 1  # as of maxiter, None is the default
    if n_starts > 1 and (bias_reduction or bounds or constraints is not None or penalty is not None):
        raise ValueError("n_starts is for fits without bounds, constraints, penalty and bias reduction: leave it out")
    options = {"maxiter": _positive(maxiter, "maxiter"), "tol": _positive(tol, "tol"), "callback": callback}
    if bias_reduction:
        others = {"bounds": bounds, "constraints": constraints, "penalty": penalty}
        refuse_with_bias_reduction(bias_reduction, method, use_t, others)
        beta = None if start is None else in_order(start, model.design.names)
        with np.errstate(all="ignore"):
            return _told(fit_bias_reduced(model, beta, options), cov_type, False)
    if bounds or constraints is not None or penalty is not None:
        if use_t:
            raise ValueError("use_t=True is for least squares without constraints, bounds and penalties")
        asked = restrictions(model, constraints, bounds, penalty)
        beta = None if start is None else in_order(start, model.design.names)
        with np.errstate(all="ignore"):
            return _told(near_limit(fit_restricted(model, asked, method, beta, options)), cov_type, False)
    with np.errstate(all="ignore"):  # what overflows on the way is judged at the end, and said in words
        attempts = search(
            model,
            lambda by, beta: _maximum(model, by, beta, options),
            method,
            start,
            patient=maxiter is None,
            n_starts=n_starts,
        )
        best = attempts[0]
        params = best.optimum.coefficients(model.matrix)
        found = Results(model, params, best.verdict, best.optimum, method=best.method)
        found = at_infinity(at_limit(found))
        found.attempts = attempts
        return _told(found, cov_type, bool(use_t))


def _told(results: Results, cov_type: str, use_t: bool) -> ResultsWrapper:
    """Compute standard errors, warn of a fit that is not the maximum, and put names on its numbers."""
    model = results.model
    if own_derivatives(model.family) and np.isfinite(results.params).all():
        wrong = wrong_derivatives(model.likelihood, results.params)
        if wrong:
            results.verdict = replace(results.verdict, status=Status.DERIVATIVES, detail=wrong)
    results._set_errors(cov_type, use_t, {})
    if not results.converged:
        warn(results.reason, ConvergenceWarning)
    elif others := lower(results.attempts):
        warn(several_maxima(results.attempts, others), ConvergenceWarning)
    return ResultsWrapper(results)


def _maximum(model: "Model", method: str, start: Any, options: dict[str, Any]) -> tuple[Optimum, str]:
    """Where the likelihood is largest, and the method that found it."""
    working = model.working
    if working.size == 0:
        return Optimum(np.zeros(0), "no coefficients", 0, 0), "closed_form"
    kinked = model.family.quantile_level is not None
    gamma = None if start is None else given_start(working, in_order(start, model.design.names), model.matrix)
    # A regression quantile is the same from any start.
    if method in ("auto", "closed_form") and (start is None or kinked):
        optimum = _closed_form(model)
        if optimum is not None:
            return optimum, "closed_form"
    if method == "closed_form":
        raise ValueError(
            f"no closed form for {model.family!r} with this design: there is one for a (log)normal mean and a "
            "Laplace's quantile with identity link and one scale, and for an intercept alone or groups alone. "
            "Use method='auto'"
        )
    if kinked:
        return _of_kinked(model, gamma, method, options)
    method = "newton" if method == "auto" else method
    if gamma is None and len(model.endog) > 2 * SAMPLE_ROWS:
        try:
            gamma, sample = _sampled_start(working)
            units = any(link.name in WITH_UNITS for link in model.family.links.values())
            if method == "newton" and not units:
                return sampled_newton(working, gamma, sample=sample, **options), method
            return maximize(working, gamma, method, **options), method
        except StartError:  # what suits the sample does not suit all rows, or one of them is not finite
            _refuse_infinite(model)
            gamma = None
    return maximize(working, starting_point(working) if gamma is None else gamma, method, **options), method


def _closed_form(model: "Model") -> Optimum | None:
    """The estimate in closed form, if there is one; of a response of extreme size in its unit."""
    unit = model.unit
    if unit == 1:
        return closed_form(model.working, model.likelihood, model.matrix)
    first, matrix = model.design.slices[0], model.matrix.copy()
    matrix[first] /= unit
    original = in_unit(model.likelihood, unit, shifted=False)
    optimum = closed_form(Transformed(original, matrix), original, matrix)
    if optimum is None:
        return None
    gamma, params = optimum.gamma.copy(), None if optimum.params is None else optimum.params.copy()
    if model.design.slices[1].stop > model.design.slices[1].start:
        gamma[-1] += np.log(unit) / matrix[-1, -1]
    if params is not None:
        params[first] *= unit
        params[first.stop :] = (matrix @ gamma)[first.stop :]
    return replace(optimum, gamma=gamma, params=params)


def _of_kinked(model: "Model", gamma: Array | None, method: str, options: dict[str, Any]) -> tuple[Optimum, str]:
    """Where the likelihood of a density with kinks is largest, if its scale is not one number."""
    _refuse_infinite(model)
    gamma = starting_point(model.working) if gamma is None else gamma
    if method == "auto":
        return alternating(model.working, gamma, **options), "alternating"
    return maximize(model.working, gamma, method, **options), method


def _refuse_infinite(model: "Model") -> None:
    for x, names in zip(model.observations.block.X, model.design.columns, strict=True):
        refuse_infinite(x, names, model.observations.labels)


def _sampled_start(working: "Working") -> tuple[Array, "Working"]:
    """Estimate from a sample of the rows, and the likelihood of the sample.

    The sample's own start is the estimate from a tenth of it, where that is rows enough.
    """
    rows = sample_rows(len(working.block))
    sample = working.part(rows)
    first = working.part(rows[::10]) if rows.size >= 500 * working.size else sample
    gamma = starting_point(first)
    if first is not sample:
        rough = newton(first, gamma, tol=0.1).gamma
        gamma = rough if np.isfinite(sample.evaluate(rough, 0).value) else starting_point(sample)
    found = newton(sample, gamma, tol=CLOSE)
    if not judge(sample, found).status.ok:
        raise StartError("the sample has no estimate of its own")
    return found.gamma, sample


def in_order(start: Any, names: tuple[str, ...]) -> Array:
    """Start values in the order of the coefficients."""
    if isinstance(start, Mapping | pd.Series):
        given = dict(start.items())
        if set(given) != set(names):
            raise ValueError(f"start has {', '.join(map(str, given))}: it needs {', '.join(names)}")
        start = [given[name] for name in names]
    try:
        values = np.asarray(start, dtype=float)
    except (TypeError, ValueError):
        raise ValueError(f"start must be numbers, for {', '.join(names)}, not {start!r}") from None
    if values.shape != (len(names),) or not np.isfinite(values).all():
        raise ValueError(f"start must be {len(names)} finite numbers, for {', '.join(names)}")
    return values


def _positive(value: Any, name: str) -> Any:
    kind: Any = numbers.Real if name == "tol" else numbers.Integral
    if value is not None and (isinstance(value, bool) or not isinstance(value, kind) or not value > 0):
        raise ValueError(f"{name} must be a positive {'' if name == 'tol' else 'whole '}number, not {value!r}")
    return value
