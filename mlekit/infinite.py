"""Fits without a finite estimate: the supremum of the likelihood, and what stays finite on the way there.

Geyer (2009), "Likelihood inference in exponential families and directions of recession", Electronic Journal of
Statistics 3, 259-289: as coefficients go to infinity, some rows become certain. The likelihood of the others is that of
the limiting model, which has a maximum.
"""

import copy
import warnings
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property, partial
from typing import Any

import numpy as np
import pandas as pd
from scipy import linalg
from statsmodels.tools.sm_exceptions import ConvergenceWarning, ValueWarning

from mlekit import jets
from mlekit.counterfactuals import Matrices
from mlekit.diagnostics import NotGiven
from mlekit.existence import Existence, Separation, existence, moved, summed
from mlekit.families.categorical import Categorical
from mlekit.infinite_profile import InfiniteSurface
from mlekit.level_predictions import distribution
from mlekit.likelihood import Evaluation
from mlekit.limiting import Limiting, limit_of, limiting
from mlekit.links import Array
from mlekit.optimize.base import Curvature, StartError, Status
from mlekit.optimize.newton import newton, newton_step
from mlekit.optimize.verdict import FLAT, WITH_UNITS, Verdict
from mlekit.predict import Prediction, Rows, of_levels, predicted
from mlekit.prediction_slopes import prediction_rows
from mlekit.predictive import FUNCTIONS
from mlekit.results import Results
from mlekit.separation import limits
from mlekit.targets import Target

# A Newton step that moves linear predictors by less has arrived, however large a standard error is.
_ARRIVED = 1e-4
# Information below this, in units of one row, makes one look: a standard error of 30 on a logit or a log scale.
_LITTLE = 1e-3
# Profile intervals of predictions are searched for one after the other: of this many at most.
_MOST = 100


class InfiniteResults(Results):
    """The limit of a likelihood that has no maximum: :class:`~mlekit.results.Results` with infinite estimates.

    Attributes
    ----------
    existence : Existence
    infinite : pandas.DataFrame
        Coefficients without a finite estimate, where they go, and the rows that make them: see
        :class:`~mlekit.existence.Existence`.
    limiting : Results or None
        The fit of the rows that do not become certain, of which the finite estimates are; None if there are none.
    """

    fit_kind = "infinite"

    def __init__(self, found: Results, existence: Existence, limit: Limiting, fit: Results | None) -> None:
        assert existence.separation is not None
        signs = existence.separation.signs
        self.existence, self.infinite = existence, existence.infinite
        self._matrix = found.model.matrix  # it is needed after the rows are gone
        self.limiting, self._limit = fit, limit
        self._finite = signs == 0
        #: One of the points that the limiting model does not tell from others.
        self._anchor = np.zeros(found.params.size)
        if fit is not None:
            self._anchor[limit.kept] = fit.params
        params = limits(self._anchor, signs)
        if fit is None:
            params[self._finite] = np.nan  # no row is left to say anything of it
        nobs = found.nobs
        here = Evaluation(0.0 if fit is None else fit.llf / nobs, None, None)
        verdict = Verdict(Status.INFINITE, _detail(existence, fit), 0.0, here)
        super().__init__(found.model, params, verdict, found.optimum, method=found.method)
        self._stopped = found.params

    @property
    def stopped(self) -> Array:
        """Where the method stopped on the way."""
        return self._stopped

    def _set_errors(self, cov_type: str, use_t: bool, options: Mapping[str, Any]) -> None:
        """Those of the limiting model; what is infinite has none."""
        size = self.params.size
        self.cov_type, self.use_t, self.cov_text = cov_type, use_t, "none, as no row is left"
        self.df_resid_inference = self.df_resid
        cov, units = np.zeros((size, size)), np.ones(size)
        if self.limiting is not None:
            self.limiting = copy.copy(self.limiting)
            self.limiting._set_errors(cov_type, use_t, options)
            for name in ("cov_type", "use_t", "df_resid_inference"):
                setattr(self, name, getattr(self.limiting, name))
            self.cov_text = f"{self.limiting.cov_text}, of the rows that do not become certain"
            kept = self._limit.kept
            inner, units[kept] = self.limiting.scaled_cov
            cov[np.ix_(kept, kept)] = inner
        self._whole_cov = cov, units
        self._keep(np.where(np.outer(self._finite, self._finite), cov, 0.0), units)

    def wald_test(self, r_matrix: Any, cov_p: Any = None, invcov: Any = None, **how: Any) -> Any:
        """Test linear hypotheses jointly; NaN where one is about an infinite estimate: ``lr_test`` has that."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ValueWarning)  # of the rank: what is infinite has no variance
            return super().wald_test(r_matrix, cov_p, invcov, **how)

    # ------------------------------------------------------------------------------------ rows

    def predict(self, exog: Any = None, what: str = "mean", **how: Any) -> Any:
        """Predict the limits; see :meth:`mlekit.results.Results.predict`.

        Rows whose linear predictors depend on the way to infinity are NaN.
        """
        family = self.model.family
        of_a_level = what in ("probabilities", "level", *FUNCTIONS)
        if not (isinstance(family, Categorical) and of_a_level) or how.get("trials") is not None:
            return super().predict(exog, what, **how)
        new = {name: value for name, value in how.items() if name in ("offset", "exposure", "new_levels")}
        rows = self._rows(exog, new.get("offset"), new.get("exposure"), new.get("new_levels", "raise"))
        if what in FUNCTIONS:
            return rows.place(self._of_a_level(rows, what, how.get("q"), how.get("at")))
        return rows.place(of_levels(family, self._levels(rows), what))

    def _of_a_level(self, rows: Rows, what: str, q: Any, at: Any) -> Any:
        """Quantiles, or probabilities of one level or of those up to it or above it, in the limit."""
        family: Any = self.model.family
        eta = rows.linear(self._anchor, self.model.design.slices)
        return distribution(family, eta, what, q, at, self._levels(rows))

    def _levels(self, rows: Rows) -> Array:
        """Probability of each level in the limit, ``(K, n)``."""
        family: Any = self.model.family
        eta = rows.linear(self._anchor, self.model.design.slices)
        found = []
        for code in range(len(family.levels)):
            seen = np.full(len(rows.X[0]), float(code))
            found.append(limit_of(family, seen, eta, self._ends(rows, family.recession(seen))))
        return np.array(found)

    def _ends(self, rows: Rows, recession: Any) -> Array:
        """Where the ends of rows go: 0 if they stay, 1 or -1 if to plus or minus infinity, NaN if that depends."""
        separation = self.existence.separation
        assert separation is not None
        moves = moved(rows.X, self._matrix, self.model.design.slices)
        signs = [separation.cone.signs(*summed(end, *moves)) for end in recession.ends]
        return np.array(signs)

    def _linear(self, rows: Rows) -> tuple[Array, ...]:
        """Linear predictors in the limit: finite, infinite, or NaN where they depend on the way there."""
        found = rows.linear(self._anchor, self.model.design.slices)
        goes = (self._goes(x, where) for x, where in zip(rows.X, self.model.design.slices, strict=True))
        return tuple(limits(eta, way) for eta, way in zip(found, goes, strict=True))

    def _goes(self, x: Array, where: slice) -> Array:
        """Sign of the infinite linear predictors of rows, 0 for finite ones, NaN where it depends on the way."""
        separation = self.existence.separation
        assert separation is not None
        matrix = self._matrix[where]
        distinct, which = np.unique(x, axis=0, return_inverse=True)
        functions = np.asarray(distinct.astype(np.longdouble) @ matrix.astype(np.longdouble), dtype=float)
        sizes = np.abs(distinct) @ np.abs(matrix).max(axis=1, initial=0.0)
        return separation.cone.signs(functions, sizes)[which.ravel()]

    def prediction_of(self, rows: Rows, trials: Array | None = None) -> Prediction:
        """Predictions, with the errors of what is finite: of linear predictors too to which infinite estimates add."""
        if isinstance(self.model.family, Categorical):
            raise ValueError(
                "estimates are infinite, so that probabilities of levels have no standard errors: "
                "predict(what='probabilities') gives their limits"
            )
        found = super().prediction_of(rows, trials)
        certain = ~np.logical_and.reduce([np.isfinite(eta) for eta in found.eta])
        return replace(found, certain=certain, ends_of_certain=partial(self._ends_of, rows, certain))

    def _ends_of(self, rows: Rows, certain: Array, i: int, errors: float) -> tuple[Array, Array]:
        """Ends of the profile intervals of infinite linear predictors, each infinite on one side; NaN of many."""
        low, high = np.full((2, certain.size), np.nan)
        where, offset = self.model.design.slices[i], rows.offset[i]
        distinct, which = np.unique(rows.X[i][certain], axis=0, return_inverse=True)
        if 0 < len(distinct) <= _MOST:
            ends, surface = [], self.surface()
            for row in distinct:
                contrast = np.zeros(self.params.size)
                contrast[where] = row
                line = surface.line(Target("the linear predictor", contrast))
                ends.append([line.value(line.end(side, errors**2).s) for side in (-1, 1)])
            known = 0.0 if offset is None else offset[certain]
            low[certain], high[certain] = np.array(ends)[which.ravel()].T + known
        return low, high

    @property
    def predictive_cov(self) -> tuple[Array, Array]:
        """Covariance of finite linear predictors' coefficients, of those too to which infinite estimates add."""
        return self._whole_cov

    def predicted_rows(self, made: Matrices, what: Any) -> dict[Any, jets.Rows]:
        """Predictions in the limit; those of rows that become certain do not move."""
        slices = self.model.design.slices
        rows = Rows(made.X, made.offset, pd.RangeIndex(len(made.X[0])))
        eta = self._linear(rows)
        finite = np.isfinite(eta)
        certain = ~finite.all(axis=0)
        with np.errstate(all="ignore"):  # what is calculated where rows are certain is not used
            found = prediction_rows(self.model.family, rows.linear(self._anchor, slices), what)
        if what == "linear":
            return {None: found[None]._replace(value=eta[0])}
        limit = self._limits_of(rows, eta, what)
        for level, each in found.items():
            value = np.where(certain, limit[level], each.value)
            # Where some linear predictors, or differences of them, stay finite, it moves, but how much is not known.
            ends = np.isin(value, (0.0, 1.0)) if isinstance(self.model.family, Categorical) else ~finite.any(axis=0)
            still = np.where(np.isfinite(value) & ends, 0.0, np.nan)
            grad, hess = (np.where(certain, still, part) for part in (each.grad, each.hess))
            found[level] = jets.Rows(value, grad, hess)
        return found

    def _limits_of(self, rows: Rows, eta: tuple[Array, ...], what: Any) -> dict[Any, Array]:
        """A prediction where linear predictors are infinite, by level if there are several."""
        family = self.model.family
        name, at = what if isinstance(what, tuple) else (what, None)
        if isinstance(family, Categorical) and name in ("mean", "probabilities"):
            return dict(zip(family.levels, self._levels(rows), strict=True))
        if isinstance(family, Categorical) and name in FUNCTIONS:
            return {None: self._of_a_level(rows, name, *((at, None) if name == "quantile" else (None, at)))}
        asked = {} if at is None else {"q" if name == "quantile" else "at": at}
        with np.errstate(all="ignore"):
            return {None: np.asarray(predicted(family, eta, name, **asked), dtype=float)}

    def rates(self, moved: Matrices) -> Array:
        """Derivatives of the linear predictors in a variable; NaN where they are infinite."""
        slices = self.model.design.slices
        goes = [self._goes(x, where) for x, where in zip(moved.X, slices, strict=True)]
        return np.where(np.array(goes) == 0, np.stack(moved.times(self._anchor, slices)), np.nan)

    @cached_property
    def _eta(self) -> tuple[Array, ...]:
        self._need_rows()
        block = self.model.observations.block
        return self._linear(Rows(block.X, block.offset, self.model.observations.labels))

    def _by_limit(self, name: str) -> Array:
        """A figure of each row that is 0 where a row is certain."""
        found = np.zeros(self._limit.rows.size)
        if self.limiting is not None:
            found[self._limit.rows] = getattr(self.limiting, name)
        return found

    @property
    def resid_pearson(self) -> Array:
        """Pearson residuals; 0 of what is certain."""
        return self._by_limit("resid_pearson")

    @property
    def resid_deviance(self) -> Array:
        """Deviance residuals; 0 of what is certain."""
        return self._by_limit("resid_deviance")

    @cached_property
    def deviance(self) -> float:
        """That of the limiting model."""
        return 0.0 if self.limiting is None else self.limiting.deviance

    @cached_property
    def _influence(self) -> Any:
        raise NotGiven("estimates are infinite, so rows have no leverage: see that of res.limiting, without such rows")

    def surface(self) -> Any:
        """The likelihood round the limit, to profile: on one side where an estimate is infinite."""
        self._need_rows()
        separation = self.existence.separation
        assert separation is not None
        return InfiniteSurface(self.model, separation, self.llf, self._stopped, self._surface_of_finite)

    def _surface_of_finite(self, contrast: Array) -> tuple[Any, Array]:
        """The limiting model's surface, and a contrast in its coefficients."""
        if self.limiting is None:
            raise ValueError("no row is left to tell of the coefficients that are not infinite: they have no profile")
        return self.limiting.surface(), contrast[self._limit.kept]

    def bootstrap(self, *args: Any, **how: Any) -> Any:
        """Refuse to resample: most resamples have no finite estimate either."""
        raise ValueError("estimates are infinite, and in most resamples too, so that a bootstrap has no errors of them")


def _detail(existence: Existence, fit: Results | None) -> str:
    """Say what happened."""
    rest = (
        "no other row is left"
        if fit is None
        else f"finite estimates and their standard errors are those of the other {len(fit.model.endog)} rows, where "
        f"these become certain"
    )
    return f"{existence.reason}; {rest}; the log-likelihood is its supremum"


def at_infinity(found: Results) -> Results:
    """Return the limit of the likelihood, if there are directions in which it rises for ever; otherwise the fit itself.

    Parameters
    ----------
    found : Results
        A fit. It is looked into if it is not at a maximum, or if there is next to no information on some coefficient.
    """
    if not _suspicious(found):
        return found
    decided = existence(found.model)
    separation = decided.separation
    if separation is None:
        if found.status is Status.DIVERGING and decided.exists:
            return _in_the_end(found)
        if found.status is Status.DIVERGING and decided.exists is None and found.model.family.recession(_one(found)):
            found.verdict = replace(found.verdict, detail=f"{found.verdict.detail}; {decided.reason}")
        return found
    if not separation.recession.bounded:
        detail = f"the density of a zero grows without limit: {decided.reason}"
        found.verdict = replace(found.verdict, status=Status.UNBOUNDED, detail=detail)
        return found
    limit = limiting(found.model, separation)
    fit = None if limit.model is None else _fit(limit.model, _start(found, separation, limit))
    if limit.model is not None and fit is None:
        found.verdict = replace(found.verdict, detail=f"{found.verdict.detail}; {decided.reason}")
        return found
    return InfiniteResults(found, decided, limit, fit)


def _in_the_end(found: Results) -> Results:
    """Return the maximum of a likelihood that has one, though information is all but gone on the way there.

    There Newton steps vanish. Of families whose only parameters are those that existence is about: of others one may
    still run off.
    """
    model, working = found.model, found.model.working
    links = {link.name for link in model.family.links.values()}
    if not (len(links) == len(model.family.params) == 1 or isinstance(model.family, Categorical)) or links & WITH_UNITS:
        return found
    optimum = newton(working, found.optimum.gamma)
    here = optimum.evaluation or working.evaluate(optimum.gamma, 2)
    if here.hessian is None:
        return found
    curvature = Curvature(-here.hessian)
    step, decrement = newton_step(working, curvature, here)
    reach = np.sqrt(working.rows) * np.linalg.norm(step)  # no linear predictor moves further
    if curvature.modified or curvature.smallest_eigenvalue() < FLAT or not reach < _ARRIVED:
        return found
    detail = f"{decrement:.1e} standard errors from the maximum, which exists, though next to nothing tells where"
    verdict = Verdict(Status.CONVERGED, detail, decrement, here)
    return Results(model, optimum.coefficients(model.matrix), verdict, optimum, method=found.method)


def _suspicious(found: Results) -> bool:
    """Whether it is worth while to look for directions of recession."""
    if found.status is Status.LIMIT or not found.params.size:
        return False
    if not found.status.ok:
        return True
    hessian = found.verdict.evaluation.hessian
    if hessian is None or found.model.family.recession(_one(found)) is None:
        return False
    return bool(linalg.eigvalsh(-hessian)[0] * found.model.working.count < _LITTLE)


def _one(found: Results) -> Array:
    """One response."""
    return found.model.endog[:1]


def _start(found: Results, separation: Separation, limit: Limiting) -> Array | None:
    """Coefficients of the limiting model that are the fit's, as far as it got, for families whose start needs all rows.

    What is 0 in the limiting model is made 0 along the way to infinity, where its likelihood is the same.
    """
    if separation.recession.pushes is None or not np.isfinite(found.params).all():
        return None
    units = np.abs(found.model.matrix).max(axis=1)
    away, here = found.model.matrix @ separation.cone.space / units[:, None], found.params / units
    moved = here - away @ np.linalg.solve(away[~limit.kept], here[~limit.kept])
    start: Array = (moved * units)[limit.kept]
    return start


def _fit(model: Any, start: Array | None) -> Results | None:
    """Fit the limiting model, if it has a maximum."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        try:
            found: Results = model.fit(start=start)._results
        except StartError:
            return None
    return found if found.converged else None
