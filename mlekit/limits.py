"""Fits whose maximum is at the limit of a parameter, where the family has become a simpler one."""

import copy
import warnings
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from statsmodels.tools.sm_exceptions import ConvergenceWarning

from mlekit import jets
from mlekit.counterfactuals import Matrices
from mlekit.influence import Influence
from mlekit.links import Array
from mlekit.optimize.base import StartError, Status
from mlekit.optimize.newton import newton
from mlekit.optimize.start import given_start
from mlekit.optimize.verdict import Verdict, judge
from mlekit.predict import Prediction, Rows
from mlekit.results import Results

if TYPE_CHECKING:
    from mlekit.families import GenericLikelihood
    from mlekit.model import Model

# A log-likelihood that is this close to another, relative to its size, is not below it.
_SAME = 1e-8
# A parameter below or above this has come near its limit, where that is 0 or infinity.
_NEAR, _FAR = 1e-3, 1e3
# Values of a parameter, in logarithms, among which the likelihood is looked at between its limit and all else.
_LADDERS = {0.0: np.arange(-30.0, 6.0), np.inf: np.arange(30.0, -4.0, -1.0)}
# One that is larger by less than this is not larger.
_ROUNDING = 1e-12
# How a fit that has gone past the maximum, to where a parameter no longer matters, may have been judged.
_GONE = (Status.DIVERGING, Status.SINGULAR, Status.NOT_A_MAXIMUM, Status.BOUNDARY)


class LimitResults(Results):
    """Estimates where a parameter is at its limit: :class:`~mlekit.results.Results`, those of the simpler family.

    Attributes
    ----------
    at_limit : str
        The coefficient whose estimate is infinite: it has no standard error, and those of the others take it as known.
    simpler : Results
        The fit of the family at the limit.
    """

    def surface(self) -> Any:
        """Refuse to profile: beside the estimate the parameter may leave its limit."""
        raise ValueError(
            f"{self.at_limit} is at the limit of its parameter, where nothing is profiled: fit "
            f"{self.simpler.model.family!r} and profile that"
        )

    def __init__(self, found: Results, simpler: Results, position: int, eta: float, detail: str) -> None:
        others = np.delete(np.arange(found.params.size), position)
        params = np.full(found.params.size, eta)
        params[others] = simpler.params
        verdict = Verdict(Status.LIMIT, detail, simpler.verdict.decrement, simpler.verdict.evaluation)
        self.simpler, self._position = simpler, position
        super().__init__(found.model, params, verdict, found.optimum, method=found.method)
        self.at_limit = found.model.design.names[position]

    fit_kind = "limit"

    def remove_data(self) -> None:
        """Forget the rows, those of the simpler fit too; see :meth:`mlekit.results.Results.remove_data`."""
        super().remove_data()
        self.simpler = copy.copy(self.simpler)
        self.simpler.remove_data()

    def bootstrap(self, *args: Any, **how: Any) -> Any:
        """Refuse to resample: most resamples have no finite estimate either."""
        raise ValueError(
            f"{self.at_limit} is at the limit of its parameter, and in most resamples too: fit "
            f"{self.simpler.model.family!r} and bootstrap that, as with_cov('bootstrap') does"
        )

    @property
    def _param(self) -> int:
        """Which parameter is at its limit."""
        return next(i for i, where in enumerate(self.model.design.slices) if where.start == self._position)

    def prediction_of(self, rows: Rows, trials: Array | None = None) -> Prediction:
        """Predictions of the simpler family, with its errors."""
        i = self._param
        rest = replace(rows, X=rest_of(rows.X, i), offset=rest_of(rows.offset, i))
        found: Prediction = self.simpler.prediction_of(rest, trials)
        return found

    def predicted_rows(self, made: Matrices, what: Any) -> dict[Any, jets.Rows]:
        """Those of the simpler family; they do not move with what is at its limit."""
        i = self._param
        if what == self.model.design.params[i]:
            return super().predicted_rows(made, what)
        found = self.simpler.predicted_rows(Matrices(rest_of(made.X, i), rest_of(made.offset, i)), what)
        return {
            level: jets.Rows(
                rows.value, np.insert(rows.grad, i, 0.0, axis=0), np.insert(np.insert(rows.hess, i, 0.0, 0), i, 0.0, 1)
            )
            for level, rows in found.items()
        }

    @property
    def resid_working(self) -> pd.Series:
        """That of the simpler family."""
        return self.simpler.resid_working

    @cached_property
    def _influence(self) -> Influence:
        """That of the simpler family; a parameter at its limit does not move."""
        found: Influence = self.simpler._influence
        others = np.arange(self.params.size) != self._position
        change, errors = np.full((found.change.shape[0], others.size), np.nan), np.full(others.size, np.nan)
        change[:, others], errors[others] = found.change, found.errors
        return replace(found, change=change, errors=errors)

    def _set_errors(self, cov_type: str, use_t: bool, options: Mapping[str, Any]) -> None:
        """Those of the simpler family; a parameter at its limit has none, and does not vary."""
        self.simpler = copy.copy(self.simpler)
        self.simpler._set_errors(cov_type, use_t, options)
        for name in ("cov_type", "cov_text", "use_t", "df_resid_inference"):
            setattr(self, name, getattr(self.simpler, name))
        others = np.arange(self.params.size) != self._position  # of the simpler family's, one may be infinite too
        cov, units = np.zeros((others.size,) * 2), np.ones(others.size)
        inner, units[others] = self.simpler.scaled_cov
        cov[np.ix_(others, others)] = inner
        self._keep(cov, units)


def at_limit(found: Results) -> Results:
    """Return the estimates at the limit of a parameter, if the likelihood rises to there; otherwise the fit itself.

    Parameters
    ----------
    found : Results
        A fit. Only verdicts of divergence and of a singular information make it look.

    Returns
    -------
    Results
        Where the likelihood is larger between the limit and all else than at the limit, a method that has gone past the
        maximum: the fit from there.
    """
    if found.status not in _GONE:
        return found
    for limit in limits_of(found.model.family):
        made = _at(found, *limit)
        if made is not None:
            return made
    return near_limit(found)


def limits_of(family: "GenericLikelihood") -> list[Any]:
    """Every limit of a family, which may be made of one with a limit of its own."""
    several = getattr(family, "limits", None)
    limits = [family.limit()] if several is None else several()
    return [limit for limit in limits if limit is not None]


def _at(found: Results, param: str, value: float, family: "GenericLikelihood") -> Results | None:
    """Return the estimates at one limit, or None."""
    model = found.model
    i = model.design.params.index(param)
    x, offset = model.observations.block.X[i], model.observations.block.offset[i]
    if x.shape[1] != 1 or not (x == 1).all() or offset is not None:
        return None
    with np.errstate(all="ignore"):
        eta = float(model.family.links[param].forward(np.float64(value)))
    position = model.design.slices[i].start
    simpler = _fit(without(model, i, family))
    if simpler is None:
        return None
    best, start = _best(found, simpler, param, value)
    if best > simpler.llf + _ROUNDING * (1 + abs(best)):
        inside = _from(found, start)
        if inside.converged and inside.llf >= max(best, found.llf) - _SAME * (1 + abs(best)):
            return inside
    if not simpler.llf >= max(best, found.llf) - _SAME * (1 + abs(found.llf)):
        return None
    detail = (
        f"{param} is {value:g}: {family!r} fits as well, and the other estimates, their standard errors and the "
        f"log-likelihood are its own; {param} has no standard error there"
    )
    if simpler.status is Status.LIMIT:
        detail += f"; of that, {simpler.verdict.detail}"
    return LimitResults(found, simpler, position, eta, detail)


def _best(found: Results, simpler: Results, param: str, value: float) -> tuple[float, Array]:
    """Largest log-likelihood among several values of a parameter, the others as at its limit, and where it is."""
    model = found.model
    low, high = model.family.domains()[param]
    position = model.design.slices[model.design.params.index(param)].start
    theta = np.exp(_LADDERS[value])
    starts = [
        np.insert(simpler.params, position, eta)
        for eta in model.family.links[param].forward(theta[(theta > low) & (theta < high)])
    ]
    values = [model.likelihood.evaluate(start, 0).value * found.nobs for start in starts]
    best = int(np.argmax(values))
    return values[best], starts[best]


def _from(found: Results, start: Array) -> Results:
    """Fit again from some coefficients."""
    model = found.model
    optimum = newton(model.working, given_start(model.working, start, model.matrix))
    optimum = replace(optimum, reason=f"{optimum.reason}, after {found.method} had gone past the maximum")
    return Results(model, model.matrix @ optimum.gamma, judge(model.working, optimum), optimum, method=found.method)


def without(model: "Model", i: int, family: "GenericLikelihood") -> "Model":
    """Return the same model of a family that has all parameters but one."""
    design, block = model.design, model.observations.block
    params, columns = rest_of(design.params, i), rest_of(design.columns, i)
    design = replace(design, params=params, columns=columns, infos=None, held=())
    block = replace(block, X=rest_of(block.X, i), offset=rest_of(block.offset, i))
    observations = replace(model.observations, block=block)
    return replace(model, family=family, design=design, observations=observations, bases=rest_of(model.bases, i))


def rest_of(parts: tuple[Any, ...], i: int) -> tuple[Any, ...]:
    """All but the i-th."""
    return parts[:i] + parts[i + 1 :]


def _fit(model: "Model") -> Results | None:
    """Fit the simpler model, if it has a maximum."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the fit that was asked for has its own verdict
        try:
            found: Results = model.fit()._results
        except StartError:
            return None
    return found if found.converged else None


def near_limit(found: Results) -> Results:
    """Let a verdict of divergence say in how many rows a parameter has come near its limit."""
    if found.status is not Status.DIVERGING:
        return found
    for param, value, family in limits_of(found.model.family):
        eta = found.model.likelihood.linear_predictors(found.params)[found.model.design.params.index(param)]
        theta: Array = found.model.family.links[param].inverse(eta)
        near = int(np.sum(theta < _NEAR if value == 0 else theta > _FAR))
        if near:
            where = f"{near} of {theta.size} rows: where it goes to {value:g}, {family!r} fits"
            said = f"{param} is {f'below {_NEAR:g}' if value == 0 else f'above {_FAR:g}'} in {where}"
            found.verdict = replace(found.verdict, detail=f"{found.verdict.detail}; {said}")
    return found
