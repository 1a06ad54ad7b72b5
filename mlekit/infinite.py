"""Fits without a finite estimate: the supremum of the likelihood, and what stays finite on the way there.

Geyer (2009), "Likelihood inference in exponential families and directions of recession", Electronic Journal of
Statistics 3, 259-289: as coefficients go to infinity, some rows become certain. The likelihood of the others is that of
the limiting model, which has a maximum.
"""

import copy
import warnings
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy import linalg
from statsmodels.tools.sm_exceptions import ConvergenceWarning

from mlekit.basis import basis
from mlekit.diagnostics import NotGiven
from mlekit.existence import Existence, Separation, existence
from mlekit.likelihood import Evaluation
from mlekit.links import Array
from mlekit.observations import Given
from mlekit.optimize.base import StartError, Status
from mlekit.optimize.verdict import Verdict
from mlekit.predict import Prediction, Rows
from mlekit.results import Results

if TYPE_CHECKING:
    from mlekit.model import Model

# What a linear predictor moves by to be at its limit, in every digit of a probability.
_FAR = 2e3
# Information below this, in units of one row, makes one look: a standard error of 30 on a logit or a log scale.
_LITTLE = 1e-3


class Limiting(NamedTuple):
    """The model that is left as rows become certain.

    Attributes
    ----------
    model : Model or None
        Of the other rows; None if there are none.
    kept : (p,) array of bool
        Its coefficients among all; the others make no difference to it, and are 0.
    rows : (n,) array of bool
        Its rows among all.
    """

    model: "Model | None"
    kept: Array
    rows: Array


def limiting(model: "Model", found: Separation) -> Limiting:
    """Return the model of the rows that do not become certain."""
    cone = found.cone
    rows, offsets = _left(model, found)
    # Coefficients that determine all others, where nothing but the latter goes anywhere.
    away = model.matrix @ cone.space
    away /= np.linalg.norm(model.matrix, axis=1, keepdims=True)
    _, _, order = linalg.qr(away.T, mode="economic", pivoting=True)
    kept = np.ones(len(away), dtype=bool)
    kept[order[: cone.space.shape[1]]] = False
    if not rows.any():
        return Limiting(None, kept, rows)
    design, observations = model.design, model.observations
    chosen = [np.flatnonzero(kept[where]).tolist() for where in design.slices]
    block = observations.block.rows(rows)
    block = replace(
        block,
        X=tuple(np.ascontiguousarray(x[:, js]) for x, js in zip(block.X, chosen, strict=True)),
        offset=tuple(
            o if not push.any() else push if o is None else o + push
            for o, push in zip(block.offset, offsets[:, rows], strict=True)
        ),
    )
    given = observations.given
    if given is not None:
        used = given.used.copy()
        used[used] = rows
        given = Given(given.data, used)
    observations = replace(observations, block=block, labels=observations.labels[rows], given=given)
    made = replace(model, design=design.keep(chosen), observations=observations, bases=tuple(basis(x) for x in block.X))
    return Limiting(made, kept, rows)


def _left(model: "Model", found: Separation) -> tuple[Array, Array]:
    """Rows that are not certain in the limit, and offsets that take those to their limits that are so on one side."""
    recession, reached = found.recession, found.reached
    offset = model.observations.block.offset
    pushes, order = recession.pushes, recession.order
    if pushes is None:
        return np.logical_not(reached.any(axis=0)), np.zeros((len(offset), reached.shape[1]))
    far = _FAR + 2 * max((float(np.abs(o).max(initial=0.0)) for o in offset if o is not None), default=0.0)
    moves = np.einsum("akn,an->kn", pushes, reached)
    asked = recession.ends.any(axis=1)
    certain = asked.any(axis=0) & (reached | ~asked).all(axis=0) & ~recession.still.any(axis=0)
    certain |= reached.any(axis=0) & ~moves.any(axis=0)
    return ~certain, far * (moves if order is None else moves + order * ~reached.any(axis=0))


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

    def __init__(self, found: Results, existence: Existence, limit: Limiting, fit: Results | None) -> None:
        assert existence.separation is not None
        signs = existence.separation.signs
        self.existence, self.infinite = existence, existence.infinite
        self.limiting, self._limit = fit, limit
        self._finite = signs == 0
        #: One of the points that the limiting model does not tell from others.
        self._anchor = np.zeros(found.params.size)
        if fit is not None:
            self._anchor[limit.kept] = fit.params
        params = np.where(self._finite, self._anchor, np.where(self._finite, 1.0, signs) * np.inf)
        params[np.isnan(signs)] = np.nan
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

    # ------------------------------------------------------------------------------------ rows

    def _linear(self, rows: Rows) -> tuple[Array, ...]:
        """Linear predictors in the limit: finite, infinite, or NaN where they depend on the way there."""
        found = rows.linear(self._anchor, self.model.design.slices)
        goes = (self._goes(x, where) for x, where in zip(rows.X, self.model.design.slices, strict=True))
        with np.errstate(invalid="ignore"):
            return tuple(np.where(way == 0, eta, way * np.inf) for eta, way in zip(found, goes, strict=True))

    def _goes(self, x: Array, where: slice) -> Array:
        """Sign of the infinite linear predictors of rows, 0 for finite ones, NaN where it depends on the way."""
        separation = self.existence.separation
        assert separation is not None
        matrix = self.model.matrix[where]
        distinct, which = np.unique(x, axis=0, return_inverse=True)
        functions = np.asarray(distinct.astype(np.longdouble) @ matrix.astype(np.longdouble), dtype=float)
        sizes = np.abs(distinct) @ np.linalg.norm(matrix, axis=1)
        return separation.cone.signs(functions, sizes)[which.ravel()]

    def prediction_of(self, rows: Rows, trials: Array | None = None) -> Prediction:
        """Predictions, with the errors of what is finite: of linear predictors too to which infinite estimates add."""
        found = super().prediction_of(rows, trials)
        certain = ~np.logical_and.reduce([np.isfinite(eta) for eta in found.eta])
        return replace(found, scaled_cov=self._whole_cov, certain=certain)

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
        """Refuse to profile."""
        raise ValueError("estimates are infinite: see res.limiting for the profiles of those that are finite")

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
    units = np.linalg.norm(found.model.matrix, axis=1)
    away, here = found.model.matrix @ separation.cone.space / units[:, None], found.params / units
    moved = here - away @ np.linalg.solve(away[~limit.kept], here[~limit.kept])
    start: Array = (moved * units)[limit.kept]
    return start


def _fit(model: "Model", start: Array | None) -> Results | None:
    """Fit the limiting model, if it has a maximum."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        try:
            found: Results = model.fit(start=start)._results
        except StartError:
            return None
    return found if found.converged else None
