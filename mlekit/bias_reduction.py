"""Fits whose first-order bias is removed (Firth 1993), and what that means for their results."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from scipy import linalg

from mlekit.adjusted import Adjusted, judge_adjusted, solve
from mlekit.families.third import NoMoments
from mlekit.likelihood import Evaluation
from mlekit.links import Array
from mlekit.model_tests import ModelTest, chi2_tail
from mlekit.nesting import described, embedding, nested
from mlekit.optimize import Optimum
from mlekit.optimize.base import Status
from mlekit.optimize.newton import newton
from mlekit.optimize.ray import Peak
from mlekit.optimize.start import given_start, starting_point
from mlekit.optimize.verdict import CLOSE, Verdict, judge
from mlekit.results import Results
from mlekit.surfaces import Surface

if TYPE_CHECKING:
    from mlekit.model import Model

_PENALISED = "The profile is that of the penalised likelihood, with Jeffreys' prior."


class BiasReducedResults(Results):
    """Bias-reduced estimates: :class:`~mlekit.results.Results`, and what is said of them.

    Attributes
    ----------
    llf : float
        Log-likelihood at the estimate, which is not its maximum.
    canonical : bool
        Whether the estimate maximises a likelihood with Jeffreys' prior, as it does with canonical links.
    llf_penalised : float
        That likelihood: ``llf`` plus half the logarithm of the determinant of the expected information of the
        coefficients; NaN where there is none.
    """

    fit_kind = "bias_reduced"
    estimator = "bias-reduced (Firth)"
    at_once = False

    def __init__(self, adjusted: Adjusted, model: "Model", verdict: Verdict, optimum: Optimum, **how: Any) -> None:
        self.canonical = adjusted.canonical
        super().__init__(model, model.matrix @ optimum.gamma, verdict, optimum, **how)

    @property
    def _adjusted(self) -> Adjusted:
        """The adjusted likelihood, which is not kept: rows that are removed are gone."""
        return Adjusted(self.model.working, self.canonical)

    @property
    def reason(self) -> str:
        """The status in a sentence, with its figures and what to do about it."""
        if self.status is Status.CONVERGED:
            return f"converged: the estimate is the root of the adjusted score ({self.verdict.detail})"
        return super().reason

    @cached_property
    def adjustment(self) -> Array:  # type: ignore[override]
        """Firth's adjustment of the score at the estimate."""
        self._need_rows()
        point = self._adjusted.at(self.optimum.gamma) if self.params.size else None
        if point is None:
            return np.zeros(self.params.size)
        return self.model.likelihood.adjustment(self.params, self.model.matrix @ point.root)

    @cached_property
    def llf_penalised(self) -> float:
        """Log-likelihood plus half the logarithm of the determinant of the expected information."""
        point = self._adjusted.at(self.optimum.gamma) if self.canonical and self.params.size else None
        if point is None:
            return self.llf if self.canonical else float("nan")
        # Coefficients have other units than the coordinates of the fit.
        return point.penalised - float(np.linalg.slogdet(self._coordinates()[1])[1])

    def _refit(self, model: "Model", start: Any = None) -> "BiasReducedResults":
        found = fit_bias_reduced(model, self.params if start is None else start, {})
        found._set_errors("nonrobust", False, {})
        return found

    def _coordinates(self) -> tuple[Any, Array]:
        return self._adjusted, self.model.matrix

    def _set_errors(self, cov_type: str, use_t: bool, options: Mapping[str, Any]) -> None:
        if use_t:
            raise ValueError("use_t=True is for least squares without bias reduction")
        family, rows = self.model.family, self.model.likelihood.linear_predictors(self.params)
        if cov_type in ("HC2", "HC3", "CR2", "CR3") and family.information(*rows) is None:
            raise ValueError(
                f"cov_type={cov_type!r} needs the expected information of each row, which {family!r} does not give: "
                "use 'HC0', 'HC1', 'CR0' or 'CR1', or a jackknife"
            )
        super()._set_errors(cov_type, use_t, options)
        if cov_type == "nonrobust":
            self.cov_text = "expected information at the bias-reduced estimate"

    def _of_least_squares(self, cov: Array, text: str, use_t: bool) -> tuple[Array, str]:
        return cov, text

    def surface(self) -> Surface:
        """The penalised likelihood round the estimate, to profile.

        Raises
        ------
        ValueError
            If the adjusted score is no gradient, and the estimate the maximum of nothing.
        """
        self._need_rows()
        if not self.canonical:
            raise ValueError(
                "the estimate is the maximum of no penalised likelihood, as the adjusted score of "
                f"{self.model.family!r} is no gradient: there is no profile. Use Wald's intervals, or a bootstrap"
            )
        peak = Peak.of(self._adjusted, self.optimum.gamma)
        return Surface(peak, np.zeros(self.params.size), self.model.matrix, (_PENALISED,))

    def _lr_test(self, other: Any) -> ModelTest:
        return penalised_lr_test(self, other)

    @cached_property
    def _llr_df(self) -> int:
        return 0  # the null model is fitted by maximum likelihood

    @cached_property
    def notes(self) -> list[str]:
        """What a reader must know to read the numbers, most important first."""
        from mlekit.summary import notes

        first, *others = notes(self)
        kind = (
            f"They maximise the likelihood with Jeffreys' prior ({self.llf_penalised:.8g})"
            if self.canonical
            else "They maximise no likelihood"
        )
        return [
            first,
            "Bias-reduced estimates (Firth 1993): the adjusted score is zero, and not the score. "
            f"{kind}. The log-likelihood, AIC and BIC are at these estimates, and not at the maximum.",
            *others,
        ]


def refuse_with_bias_reduction(asked: Any, method: str, use_t: bool | None, others: Mapping[str, Any]) -> None:
    """Refuse what does not go with bias reduction.

    Raises
    ------
    TypeError
        If it is not asked for by True.
    ValueError
        If a method, Student's t, bounds, constraints or a penalty are asked for as well.
    """
    if not isinstance(asked, bool | np.bool_):
        raise TypeError(f"bias_reduction must be True or False, not {asked!r}")
    for name, value in others.items():
        if value is not None and not (isinstance(value, Mapping) and not value):
            raise ValueError(
                f"bias_reduction=True and {name}= do not go together: the bias that is removed is that of maximum "
                f"likelihood estimates without {name}. Coefficients can be held, by fixed="
            )
    if method != "auto":
        raise ValueError(
            f"bias_reduction=True has a method of its own, which solves the adjusted score equations: leave out "
            f"method={method!r}"
        )
    if use_t:
        raise ValueError("use_t=True is for least squares without bias reduction")


def fit_bias_reduced(model: "Model", beta: Array | None, options: dict[str, Any]) -> BiasReducedResults:
    """Solve the adjusted score equations of a model, from some coefficients or from the usual start.

    The results have no standard errors as yet.

    Raises
    ------
    ValueError
        If the family has no third moments.
    StartError
        If the likelihood is not finite at the start.
    """
    working = model.working
    how: dict[str, Any] = {"method": "adjusted score"}
    if working.size == 0:
        optimum = Optimum(np.zeros(0), "no coefficients", 0, 0)
        return BiasReducedResults(Adjusted(working, True), model, judge(working, optimum), optimum, **how)
    if beta is not None:
        found = _from(model, given_start(working, beta, model.matrix), how, options)
        if found.converged:
            return found  # else the usual start may lead to the root
    return _from(model, starting_point(working), how, options)


def _from(model: "Model", gamma: Array, how: Mapping[str, Any], options: Mapping[str, Any]) -> BiasReducedResults:
    adjusted = Adjusted.of(model.working, gamma)
    try:
        optimum, point, stride = solve(adjusted, gamma, **options)
    except NoMoments as error:
        raise ValueError(f"bias_reduction=True cannot be had: {error}") from error
    return BiasReducedResults(adjusted, model, judge_adjusted(adjusted, optimum, point, stride), optimum, **how)


# ------------------------------------------------------------------------------------ tests


@dataclass(frozen=True)
class _Within:
    """A penalised likelihood in a part of its coordinates, ``gamma = origin + directions @ t``: an objective."""

    adjusted: Adjusted
    origin: Array
    directions: Array

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.adjusted, name)

    @property
    def size(self) -> int:
        """Number of coordinates."""
        return self.directions.shape[1]

    def expected_information(self, t: Array) -> None:
        """Return None: steps take the Hessian."""

    def evaluate(self, t: Array, order: int = 2) -> Evaluation:
        """Mean of the penalised log-likelihood, and its derivatives."""
        value, gradient, hessian = self.adjusted.evaluate(self.origin + self.directions @ t, order)
        return Evaluation(
            value,
            None if gradient is None else self.directions.T @ gradient,
            None if hessian is None else self.directions.T @ hessian @ self.directions,
        )


def penalised_lr_test(one: Any, two: Any) -> ModelTest:
    """Likelihood-ratio test of two bias-reduced fits, by the penalised likelihood of the larger one (Heinze 2006).

    Both maxima are of that: the penalty of a smaller model is another function, and the difference of two penalties has
    no meaning.

    Raises
    ------
    ValueError
        If neither is nested in the other, one is not bias-reduced, or the adjusted score is no gradient.
    """
    pair = nested(one, two, _check_penalised)
    if pair.limit is not None:
        raise ValueError(
            f"bias-reduced fits of different families are not compared: {pair.limit} is at its limit in one"
        )
    larger = cast(BiasReducedResults, pair.larger)
    params = list(larger.model.design.params)
    inverse = np.linalg.inv(larger.model.matrix)
    first, *others = (inverse @ embedding(larger, pair.smaller, params)).T
    directions = linalg.orth(np.column_stack(others)) if others else np.zeros((first.size, 0))
    within = _Within(larger._adjusted, first, directions)
    found = newton(within, np.zeros(directions.shape[1])).gamma if others else np.zeros(0)
    here, n = within.evaluate(found, 2), within.nobs
    distance = n * here.gradient @ np.linalg.lstsq(-here.hessian, here.gradient)[0] if others else 0.0
    if not distance <= CLOSE**2:
        raise ValueError(
            f"the penalised likelihood of {described(larger)} has no maximum under {described(pair.smaller)}"
        )
    top = larger._adjusted.evaluate(larger.optimum.gamma, 0)
    statistic = max(2 * n * (top.value - here.value), 0.0)
    return ModelTest(
        "Penalised likelihood-ratio test",
        described(pair.smaller),
        described(larger),
        statistic,
        pair.df,
        chi2_tail(statistic, pair.df),
        f"chi2({pair.df})",
        ("Both maxima are of the likelihood with Jeffreys' prior of the larger model.",),
    )


def _check_penalised(results: Results) -> None:
    results._need_rows()
    if not isinstance(results, BiasReducedResults):
        raise ValueError(f"{described(results)} is not bias-reduced, and the other fit is: fit both in the same way")
    if not results.canonical:
        raise ValueError(
            f"{described(results)} is the maximum of no penalised likelihood, as its adjusted score is no gradient: "
            "use Wald's tests"
        )
    if not results.converged:
        raise ValueError(f"{described(results)} did not converge: {results.reason}")
