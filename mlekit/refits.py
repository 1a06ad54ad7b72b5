"""The same fit once more: from other starts, by other methods, in another order and other units."""

import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import linalg

from mlekit.attempts import starts_of_parts
from mlekit.basis import basis, centred_basis
from mlekit.links import Array
from mlekit.optimize import maximize
from mlekit.optimize.base import StartError, Status
from mlekit.optimize.closed_form import closed_form
from mlekit.optimize.start import starting_point
from mlekit.optimize.verdict import judge

if TYPE_CHECKING:
    from mlekit.model import Model
    from mlekit.results import Results

#: Distances of the starts from the estimate, in standard errors: of few rows, and of many.
_DISTANCES, _DISTANCES_OF_MANY = (1.0, 3.0, 10.0, 30.0, 100.0), (3.0,)
_MANY = 50_000
# Newton's steps go on until rounding stops them: that refits agree is to say how good the estimate is.
_LAST_DIGIT = 1e-16
# Columns that are not constant are measured in other units, which do not round them.
_UNITS = (2.0**10, 2.0**-7, 2.0**3)


@dataclass(frozen=True)
class Refit:
    """Where one of them ended.

    Attributes
    ----------
    words : str
        What was done otherwise.
    params : (p,) array
    status : Status
    value : float
        What is maximised, as a sum over the rows.
    """

    words: str
    params: Array
    status: Status
    value: float


def from_other_starts(fit: "Results", directions: Array) -> list[Refit]:
    """Fit again by Newton's method from several standard errors away, from the usual start and those of parts."""
    model, rng = fit.model, np.random.default_rng(0)
    many = len(model.endog) > _MANY
    starts: list[tuple[str, Array]] = []
    for distance in _DISTANCES_OF_MANY if many else _DISTANCES:
        way: Array = rng.normal(size=(directions.shape[1],))
        move = directions @ (distance * way / max(float(np.linalg.norm(way)), 1e-300))
        starts += [(f"{distance:g} standard errors away", fit.params + sign * move) for sign in (1, -1)]
    if _plain(fit):
        usual = _usual(model)
        starts += [] if usual is None else [("the usual start", usual)]
        starts += [("the start of a part of the rows", each) for each in starts_of_parts(model, 0 if many else 3)]
    return [found for words, beta in starts if (found := _from(fit, words, beta, "newton")) is not None]


def by_other_methods(fit: "Results", directions: Array) -> list[Refit]:
    """Fit again by quasi-Newton steps, and by scoring where there is an expected information, from 2 errors away."""
    if not _plain(fit):
        return []
    size = directions.shape[1]
    beta = fit.params + directions @ np.full(size, 2 / np.sqrt(size))
    return [found for by in ("bfgs", "fisher") if (found := _from(fit, by, beta, by)) is not None]


def by_closed_form(fit: "Results") -> Refit | None:
    """Fit again by the closed form, where there is one and the fit is another's."""
    if not _plain(fit) or fit.method == "closed_form":
        return None
    model = fit.model
    optimum = closed_form(model.working, model.likelihood, model.matrix)
    return None if optimum is None else _judged(fit, "closed form", optimum)


def otherwise_written(fit: "Results") -> Refit | None:
    """Fit again with the rows from last to first and the columns in other units; None if it leads to an error."""
    model = fit.model
    if not model.has_null:
        return None
    block = model.observations.block.rows(np.arange(len(model.endog))[::-1])
    units = [_units_of(x) for x in block.X]
    if fit.restrictions is not None:
        units = [np.ones(x.shape[1]) for x in block.X]  # bounds and penalties are in the units of the coefficients
    columns = tuple(np.ascontiguousarray(x * unit) for x, unit in zip(block.X, units, strict=True))
    bases = tuple(basis(x) for x in columns)
    if any(len(found.kept) < x.shape[1] for found, x in zip(bases, columns, strict=True)):
        return None
    if model.bases and model.bases[0].origin is not None:
        bases = (centred_basis(columns[0]), *bases[1:])
    observations = replace(model.observations, block=replace(block, X=columns), labels=model.observations.labels[::-1])
    other = replace(model, observations=observations, bases=bases)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what they would say is in the status
        try:
            found = other.fit()._results if _plain(fit) else fit._refit(other)
        except (StartError, ValueError):
            return None
    if found.params.size != fit.params.size:
        return None
    params = found.params * np.concatenate(units)
    return Refit("rows reversed, other units", params, found.status, found.verdict.evaluation.value * fit.nobs)


def _units_of(x: Array) -> Array:
    """Factors of columns: one for those that are constant, which cutpoints may stand for."""
    turns = np.array([_UNITS[j % len(_UNITS)] for j in range(x.shape[1])])
    return np.where((x == x[:1]).all(axis=0), 1.0, turns)


def _plain(fit: "Results") -> bool:
    return fit.restrictions is None and fit.adjustment is None and fit.model.family.quantile_level is None


def _usual(model: "Model") -> Array | None:
    try:
        return model.matrix @ starting_point(model.working)
    except (StartError, ValueError):
        return None


def _from(fit: "Results", words: str, beta: Array, method: str) -> Refit | None:
    """Fit from other coefficients, or nothing if the likelihood is not finite there or the method cannot be used."""
    model = fit.model
    try:
        with np.errstate(all="ignore"):
            if _plain(fit):
                units = np.abs(model.matrix).max(axis=1)
                gamma = linalg.solve(model.matrix / units[:, None], beta / units)
                how = {} if method == "bfgs" else {"tol": _LAST_DIGIT}
                return _judged(fit, words, maximize(model.working, gamma, method, **how))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found = fit._refit(model, beta)
    except (StartError, ValueError):
        return None
    return Refit(words, found.params, found.status, found.verdict.evaluation.value * fit.nobs)


def _judged(fit: "Results", words: str, optimum: Any) -> Refit:
    verdict = judge(fit.model.working, optimum)
    value = verdict.evaluation.value * fit.nobs
    return Refit(words, optimum.coefficients(fit.model.matrix), verdict.status, value)
