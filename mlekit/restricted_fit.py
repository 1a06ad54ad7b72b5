"""Fits under restrictions, and what the restrictions mean for their results."""

from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from mlekit.covariance import COVARIANCES
from mlekit.links import Array
from mlekit.optimize import Optimum, maximize
from mlekit.optimize.base import Status
from mlekit.optimize.verdict import Verdict, judge
from mlekit.profiling import Surface
from mlekit.restricted import Reduced, Restrictions, Solution, maximum
from mlekit.restricted_profile import restricted_surface
from mlekit.results import Results

if TYPE_CHECKING:
    from mlekit.model import Model


class RestrictedResults(Results):
    """Estimates under restrictions: :class:`~mlekit.results.Results`, and what the restrictions mean for them.

    Attributes
    ----------
    at_bound : tuple of str
        Coefficients whose estimate is a bound: it has no standard error, and those of the others take it as known.
    log_prior : float
        The penalty at the estimate; ``llf`` is without it.
    """

    def __init__(self, model: "Model", asked: Restrictions, found: Solution, verdict: Verdict, **how: Any) -> None:
        reduced, gamma = found.model, found.optimum.gamma
        units = np.abs(reduced.matrix).max(axis=1, initial=0.0)
        units[units == 0] = 1.0
        cov = np.full((gamma.size,) * 2, np.nan)
        if verdict.evaluation.hessian is not None:
            cov = COVARIANCES[how["cov_type"]](reduced.working, gamma, verdict.evaluation)
        scaled = reduced.matrix / units[:, None]
        params = reduced.coefficients(gamma)
        for j, value in found.active.items():
            params[j] = value
        super().__init__(model, params, scaled @ cov @ scaled.T, units, verdict, found.optimum, use_t=False, **how)
        self._bse = np.where((scaled == 0).all(axis=1), np.nan, self._bse)  # what the restrictions determine
        names = model.design.names
        self.at_bound = tuple(names[j] for j in sorted(found.active))
        self.free = params.size - int(np.linalg.matrix_rank(asked.matrix)) if len(asked.matrix) else params.size
        self.log_prior = 0.0 if asked.penalty is None else asked.penalty.at(params, names).value
        self.restrictions = asked

    def surface(self) -> Surface:
        """The likelihood under the restrictions round the estimate, to profile."""
        self._need_rows()
        names = self.model.design.names
        active = {j: float(self.params[j]) for j in (names.index(name) for name in self.at_bound)}
        return restricted_surface(self.model, self.restrictions, self.params, active)

    @cached_property
    def llf(self) -> float:
        """Log-likelihood, without the penalty."""
        return self.verdict.evaluation.value * self.nobs - self.log_prior

    @cached_property
    def _llr_df(self) -> int:
        return 0 if self.restrictions.penalty is not None else self.free - self.null.params.size

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
    model: "Model", asked: Restrictions, method: str, beta: Array | None, cov_type: str, options: dict[str, Any]
) -> RestrictedResults:
    """Fit under restrictions.

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
    if cov_type == "opg" and asked.penalty is not None:
        raise ValueError("cov_type='opg' knows nothing of the penalty: use 'nonrobust' or 'HC0'")
    method = "newton" if method == "auto" else method

    def solve(reduced: Reduced, gamma: Array) -> Optimum:
        if gamma.size == 0:
            return Optimum(gamma, "no coefficients", 0, 0)
        return maximize(reduced.working, gamma, method, **options)

    found = maximum(model, asked, beta, solve)
    verdict = judge(found.model.working, found.optimum)
    if not found.settled:
        verdict = replace(verdict, status=Status.STOPPED_SHORT, detail="which bounds are reached did not settle")
    return RestrictedResults(model, asked, found, verdict, method=method, cov_type=cov_type)
