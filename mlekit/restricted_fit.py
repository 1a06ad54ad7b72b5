"""Fits under restrictions, and what the restrictions mean for their results."""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import linalg
from statsmodels.tools.sm_exceptions import ValueWarning

from mlekit import labels
from mlekit.basis import has_constant
from mlekit.links import Array
from mlekit.optimize import Optimum, maximize
from mlekit.optimize.base import StartError, Status
from mlekit.optimize.verdict import Verdict, judge
from mlekit.restricted import Reduced, Restrictions, Solution, ends_to_start_on, maximum
from mlekit.restricted_profile import restricted_surface
from mlekit.results import Results
from mlekit.surfaces import Surface

if TYPE_CHECKING:
    from statsmodels.stats.contrast import ContrastResults

    from mlekit.model import Model


# A direction shorter than this, of one of length 1, is rounding.
_NOTHING = 1e-9


def _of_length_one(rows: Array) -> Array:
    largest = np.abs(rows).max(axis=1, keepdims=True, initial=0.0)  # the norm of 1e300 overflows
    rows = rows / np.where(largest > 0, largest, 1.0)
    norm = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(norm > 0, norm, 1.0)


def _rank(rows: Array) -> int:
    return int((np.linalg.svd(rows, compute_uv=False) > _NOTHING).sum()) if rows.size else 0


class RestrictedResults(Results):
    """Estimates under restrictions: :class:`~mlekit.results.Results`, and what the restrictions mean for them.

    Attributes
    ----------
    at_bound : tuple of str
        Coefficients whose estimate is a bound: it has no standard error, and those of the others take it as known.
    log_prior : float
        The penalty at the estimate; ``llf`` is without it.
    """

    restrictions: Restrictions

    def __init__(self, model: "Model", asked: Restrictions, found: Solution, verdict: Verdict, **how: Any) -> None:
        params = found.model.coefficients(found.optimum.gamma)
        for j, value in found.active.items():
            params[j] = value
        self.restrictions, self.active = asked, found.active
        # Each column in the units of its coefficient.
        rows = _of_length_one(asked.matrix * np.abs(model.matrix).max(axis=1, initial=0.0))
        self.free = params.size - _rank(rows)
        # The constraints that concern what describes the response, and nothing else, as statsmodels counts them.
        described = slice(0, model.design.slices[model.describing - 1].stop if model.has_null else params.size)
        self.fewer = params.size - self.free - _rank(np.delete(rows, described, axis=1))
        super().__init__(model, params, verdict, found.optimum, **how)
        names = model.design.names
        self.at_bound = tuple(names[j] for j in sorted(found.active))
        self._directions = found.model.matrix
        self._reduced: Reduced | None = found.model
        self.log_prior = 0.0 if asked.penalty is None else asked.penalty.at(params, names).value

    fit_kind = "restricted"
    at_once = False

    @property
    def active_bounds(self) -> bool:  # type: ignore[override]
        """Whether an estimate is on a bound."""
        return bool(self.active)

    def _refit(self, model: "Model", start: Any = None) -> "RestrictedResults":
        method = "newton" if self.method == "closed_form" else self.method
        found = fit_restricted(model, self.restrictions, method, self.params if start is None else start, {})
        found._set_errors("nonrobust", False, {})
        return found

    def _set_errors(self, cov_type: str, use_t: bool, options: Mapping[str, Any]) -> None:
        if cov_type == "opg" and self.restrictions.penalty is not None:
            raise ValueError("cov_type='opg' knows nothing of the penalty: use 'nonrobust' or 'HC0'")
        super()._set_errors(cov_type, use_t, options)

    def _coordinates(self) -> tuple[Any, Array]:
        if self._reduced is None:
            self._reduced = Reduced.of(self.model, self.restrictions, self.active)
        return self._reduced.working, self._reduced.matrix

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_reduced": None}  # it holds the rows once more, and can be computed again

    def __copy__(self) -> "RestrictedResults":
        made = object.__new__(type(self))
        made.__dict__.update(vars(self))
        return made

    def remove_data(self) -> None:
        """Forget the rows: summary, tests and predictions on new rows stay; fitted values and residuals go."""
        super().remove_data()
        self._reduced = None

    def surface(self) -> Surface:
        """The likelihood under the restrictions round the estimate, to profile."""
        self._need_rows()
        return restricted_surface(self.model, self.restrictions, self.params, self.active)

    @cached_property
    def llf(self) -> float:
        """Log-likelihood, without the penalty."""
        return self.verdict.evaluation.value * self.nobs - self.log_prior

    @cached_property
    def _llr_df(self) -> int:
        if self.restrictions.penalty is not None or self.at_bound or not self._has_null_inside():
            return 0  # twice the difference is not chi-squared
        return self.free - self.null.params.size

    def _has_null_inside(self) -> bool:
        """Whether the null model obeys the restrictions: only then can the two be compared by their likelihoods."""
        asked, design = self.restrictions, self.model.design
        null, intercept = np.zeros(self.params.size), iter(self.null.params)
        for x, columns, where in zip(self.model.observations.block.X, design.columns, design.slices, strict=True):
            if not has_constant(x):
                continue
            constant: Array = np.zeros(len(columns))
            if "Intercept" in columns:
                constant[columns.index("Intercept")] = 1.0
            else:
                constant = np.linalg.lstsq(x, np.ones(len(x)))[0]
            row = asked.matrix[:, where]
            if not np.allclose(row @ constant, 0, atol=1e-9 * float(np.abs(row * constant).max(initial=0.0))):
                return False  # it would tie an intercept
            null[where] = next(intercept) * constant
        inside = (null >= asked.low) & (null <= asked.high)
        return bool((asked.constants == 0).all() and inside.all())

    # ------------------------------------------------------------------------------------ tests

    def _determined(self, hypotheses: Any) -> Array:
        """Combinations, as rows, of linear hypotheses about which the restrictions leave nothing to be estimated."""
        matrix, _ = labels.constraints(self.model.design.names, hypotheses)
        units = np.abs(self._directions).max(axis=1, initial=0.0)
        units[units == 0] = 1.0
        size = np.linalg.norm(matrix * units, axis=1, keepdims=True)
        size[size == 0] = 1.0
        left, sizes, _ = np.linalg.svd(matrix / size @ self._directions, full_matrices=True)
        rank = int((sizes > _NOTHING).sum())
        return (left[:, rank:] / size).T

    def t_test(self, r_matrix: Any, cov_p: Array | None = None, use_t: bool | None = None) -> "ContrastResults":
        """Test each of several linear hypotheses; one about what the restrictions determine has no error and no test.

        See statsmodels' ``LikelihoodModelResults.t_test``.
        """
        found = super().t_test(r_matrix, cov_p, use_t)
        matrix, _ = labels.constraints(self.model.design.names, r_matrix)
        known = np.array([len(self._determined(row)) > 0 for row in matrix]) if cov_p is None else np.zeros(1, bool)
        if known.any():
            for name in ("sd", "statistic", "tvalue", "pvalue"):
                values = np.array(getattr(found, name), dtype=float)
                setattr(found, name, np.where(known.reshape(values.shape), np.nan, values))
        return found

    def wald_test(
        self, r_matrix: Any, cov_p: Array | None = None, invcov: Array | None = None, **how: Any
    ) -> "ContrastResults":
        """Test linear hypotheses jointly, as far as the restrictions do not determine them.

        If they determine a combination to be what the hypotheses say, the others are tested, with as many degrees of
        freedom; if it is another number, nothing can be, and the test is NaN. See statsmodels'
        ``LikelihoodModelResults.wald_test``.
        """
        matrix, constants = labels.constraints(self.model.design.names, r_matrix)
        known = self._determined((matrix, constants)) if cov_p is None and invcov is None else np.zeros((0, 0))
        if not len(known):
            return super().wald_test(r_matrix, cov_p, invcov, **how)
        free = linalg.null_space(known).T
        gap = known @ (matrix @ self.params - constants.ravel())
        scale = np.abs(known) @ (np.abs(matrix) @ np.abs(self.params) + np.abs(constants.ravel()))
        hypotheses = (free @ matrix, free @ constants) if len(free) else (matrix, constants)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ValueWarning)  # of the rank, where nothing is left
            found = super().wald_test(hypotheses, **how)
        if not len(free) or (np.abs(gap) > 1e-9 * scale).any():
            found.statistic = found.pvalue = np.full_like(found.statistic, np.nan, dtype=float)[()]
        return found

    @property
    def aic(self) -> float:
        """Akaike's criterion; each constraint takes one from the number of parameters, a bound none."""
        return -2 * self.llf + 2 * self.free

    @property
    def bic(self) -> float:
        """Bayesian criterion, counting as ``aic`` does."""
        return -2 * self.llf + np.log(self.nobs) * self.free

    @cached_property
    def notes(self) -> list[str]:
        """What a reader must know to read the numbers, most important first."""
        from mlekit.summary import notes

        first, *others = notes(self)
        reached = [f"{name} = {self.params[self.model.design.names.index(name)]:g}" for name in self.at_bound]
        bound = (
            [
                f"On its bound: {', '.join(reached)}. It has no standard error there; those of the others take it as "
                "known, and its test against other values is not that of Wald."
            ]
            if reached
            else []
        )
        return [first, *bound, *self.restrictions.texts, *others]


def fit_restricted(
    model: "Model", asked: Restrictions, method: str, beta: Array | None, options: dict[str, Any]
) -> RestrictedResults:
    """Fit under restrictions, as yet without standard errors.

    Raises
    ------
    ValueError
        If the family's density has kinks, or the method has no use for restrictions.
    """
    if model.family.quantile_level is not None:
        raise ValueError(
            f"{model.family!r} has a density with a kink: constraints, bounds and penalties need a smooth one"
        )
    if method == "closed_form":
        raise ValueError("there is no closed form under constraints, bounds or a penalty: use method='auto'")
    method = "newton" if method == "auto" else method

    def solve(reduced: Reduced, gamma: Array) -> Optimum:
        if gamma.size == 0:
            return Optimum(gamma, "no coefficients", 0, 0)
        return maximize(reduced.working, gamma, method, **options)

    found = maximum(model, asked, beta, solve)
    verdict = judge(found.model.working, found.optimum)
    if verdict.status is Status.UNBOUNDED:
        found, verdict = _on_a_bound(model, asked, beta, solve) or (found, verdict)
    if not found.settled:
        verdict = replace(verdict, status=Status.STOPPED_SHORT, detail="which bounds are reached did not settle")
    return RestrictedResults(model, asked, found, verdict, method=method)


def _on_a_bound(
    model: "Model", asked: Restrictions, beta: Array | None, solve: Callable[[Reduced, Array], Optimum]
) -> tuple[Solution, Verdict] | None:
    """Return the maximum with a scale on its bound, where the fit is perfect and the scale would go to zero without."""
    for first in ends_to_start_on(model, asked):
        try:
            found = maximum(model, asked, beta, solve, first)
        except StartError:
            continue
        verdict = judge(found.model.working, found.optimum)
        if found.settled and verdict.status.ok:
            return found, verdict
    return None
