"""Estimates and inference, in statsmodels' vocabulary and usable by its tools."""

import warnings
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.base.model import LikelihoodModelResults
from statsmodels.base.wrapper import ResultsWrapper as StatsmodelsWrapper
from statsmodels.base.wrapper import populate_wrapper
from statsmodels.tools.sm_exceptions import ConvergenceWarning

from mlekit import diagnostics
from mlekit.links import Array
from mlekit.optimize.base import REMEDIES, Optimum, Status, Step
from mlekit.optimize.verdict import Verdict
from mlekit.predict import Prediction, predicted

if TYPE_CHECKING:
    from statsmodels.iolib.summary import Summary

    from mlekit.model import Model


class Results(LikelihoodModelResults):
    """Maximum-likelihood estimates with their inference.

    Made by :meth:`mlekit.model.Model.fit`; ``params``, ``bse`` and the like come with names through
    :class:`ResultsWrapper`.

    Attributes
    ----------
    params, bse, tvalues, pvalues : one number per coefficient
    llf, llnull, aic, bic, deviance, null_deviance, pearson_chi2 : float
        Log-likelihood with all its constants, here and of the null model; the criteria count every estimated
        parameter, sigma too.
    nobs, df_model, df_resid : float
    status : Status
        How the fit ended, in a sentence; ``converged`` is whether it is the maximum.
    trace : pandas.DataFrame
        iteration, llf, decrement (distance to the maximum in standard errors), step, seconds.
    distribution : pandas.DataFrame
        Parameters common to all rows, on their own scale.
    aliased : dict
        Columns that are combinations of others, and were left out, with the relation in words.
    """

    def __init__(
        self,
        model: "Model",
        params: Array,
        cov: Array,
        units: Array,
        verdict: Verdict,
        optimum: Optimum,
        *,
        method: str,
        cov_type: str,
        use_t: bool,
    ) -> None:
        with np.errstate(over="ignore", under="ignore"):
            super().__init__(model, params, normalized_cov_params=cov * units * units[:, None], scale=1.0)
        self._bse = units * np.sqrt(np.diag(cov))
        self.use_t = use_t
        self.method, self.cov_type = method, cov_type
        self.verdict, self.optimum = verdict, optimum
        self.nobs = model.likelihood.nobs
        first = len(model.design.columns[0])
        self.df_resid = self.nobs - first

    # ------------------------------------------------------------------------------------ how the fit went

    @property
    def status(self) -> Status:
        """How the fit ended."""
        return self.verdict.status

    @property
    def converged(self) -> bool:
        """Whether the estimate is the maximum-likelihood estimate."""
        return self.status.ok

    @property
    def reason(self) -> str:
        """The status in a sentence, with its figures and what to do about it."""
        remedy = REMEDIES.get(self.status)
        return f"{self.status.value} ({self.verdict.detail})" + (f". What to do: {remedy}" if remedy else "")

    @property
    def iterations(self) -> int:
        """Iterations of the method."""
        return self.optimum.iterations

    @property
    def trace(self) -> pd.DataFrame:
        """One line per iteration."""
        return pd.DataFrame(self.optimum.trace, columns=Step._fields)

    @property
    def aliased(self) -> Mapping[str, str]:
        """Columns left out, with the relation that makes each a combination of others."""
        return self.model.aliased

    # ------------------------------------------------------------------------------------ likelihood

    @property
    def df_model(self) -> int:
        """Number of coefficients of the first parameter, a constant not counted."""
        return len(self.model.design.columns[0]) - self.model.k_constant

    @property
    def bse(self) -> Array:
        """Standard errors, right also where a variance is too large or too small for a float."""
        return self._bse

    @cached_property
    def llf(self) -> float:
        """Log-likelihood."""
        return self.verdict.evaluation.value * self.nobs

    @cached_property
    def null(self) -> "Results":
        """The null model: an intercept (if the design has one) and the offsets alone."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # the user's model has its own verdict
            return self.model.null.fit()._results

    @property
    def llnull(self) -> float:
        """Log-likelihood of the null model."""
        return self.null.llf

    @property
    def llr(self) -> float:
        """Likelihood-ratio statistic against the null model."""
        return 2 * (self.llf - self.llnull)

    @property
    def llr_pvalue(self) -> float:
        """Its p-value."""
        df = self.params.size - self.null.params.size
        return float(stats.chi2.sf(self.llr, df)) if df > 0 else float("nan")

    @property
    def prsquared(self) -> float:
        """McFadden's pseudo R-squared."""
        return 1 - self.llf / self.llnull

    @property
    def aic(self) -> float:
        """Akaike's criterion, counting every estimated parameter as R does."""
        return -2 * self.llf + 2 * self.params.size

    @property
    def bic(self) -> float:
        """Bayesian criterion with log of the number of observations."""
        return -2 * self.llf + np.log(self.nobs) * self.params.size

    # ------------------------------------------------------------------------------------ rows

    @cached_property
    def _eta(self) -> tuple[Array, ...]:
        return self.model.likelihood.linear_predictors(self.params)

    @property
    def fittedvalues(self) -> Array:
        """Fitted means."""
        return diagnostics.fitted_mean(self.model.family, self._eta)

    @property
    def resid_response(self) -> Array:
        """Responses minus fitted means."""
        return self.model.endog - self.fittedvalues

    resid = resid_response

    @property
    def resid_pearson(self) -> Array:
        """Pearson residuals, times the root of the weight."""
        return self._rooted(diagnostics.pearson(self.model.family, self.model.endog, self._eta))

    @property
    def resid_deviance(self) -> Array:
        """Deviance residuals, times the root of the weight."""
        return self._rooted(diagnostics.deviance_residuals(self.model.family, self.model.endog, self._eta))

    def _rooted(self, rows: Array) -> Array:
        weight = self.model.row_weight
        return rows if weight is None else rows * np.sqrt(weight)

    @cached_property
    def deviance(self) -> float:
        """Twice the distance of the log-likelihood to that of the saturated model (Normal: sum of squared errors)."""
        rows = diagnostics.unit_deviance(self.model.family, self.model.endog, self._eta)
        weight = self.model.row_weight
        return float(rows.sum() if weight is None else rows @ weight)

    @property
    def null_deviance(self) -> float:
        """Deviance of the null model."""
        return self.null.deviance

    @cached_property
    def pearson_chi2(self) -> float:
        """Sum of squared Pearson residuals."""
        return float(self.resid_pearson @ self.resid_pearson)

    # ------------------------------------------------------------------------------------ distribution parameters

    @cached_property
    def distribution(self) -> pd.DataFrame:
        """Parameters that are the same in all rows, on their own scale.

        Delta-method standard errors; the interval is that of the linear predictor, mapped, so that it stays in the
        parameter's domain. Columns: estimate, std err, and the ends of the 95 % interval.
        """
        return pd.DataFrame.from_dict(
            self.common_parameters(),
            orient="index",
            columns=["estimate", "std err", "[0.025", "0.975]"],
            dtype=float,
        )

    def common_parameters(self) -> dict[str, tuple[float, float, float, float]]:
        """Estimate, standard error and interval of each parameter that is the same in all rows."""
        rows: dict[str, tuple[float, float, float, float]] = {}
        quantile = self._quantile(0.05)
        design, block = self.model.design, self.model.observations.block
        for (name, link), x, offset, where in zip(
            self.model.family.links.items(), block.X, block.offset, design.slices, strict=True
        ):
            if x.shape[1] != 1 or offset is not None or not (x == x[0]).all():
                continue
            eta = float(x[0, 0] * self.params[where][0])
            se = float(abs(x[0, 0]) * np.sqrt(self.normalized_cov_params[where, where][0, 0]))
            with np.errstate(all="ignore"):
                ends = [float(link.inverse(np.float64(eta + side * quantile * se))) for side in (-1, 1)]
                slope = float(link.slopes(np.array([eta]))[0][0])
                rows[name] = (float(link.inverse(np.float64(eta))), abs(slope) * se, min(ends), max(ends))
        return rows

    def _quantile(self, alpha: float) -> float:
        return float(stats.t.isf(alpha / 2, self.df_resid) if self.use_t else stats.norm.isf(alpha / 2))

    # ------------------------------------------------------------------------------------ prediction

    def predict(self, exog: Any = None, what: str = "mean", *, offset: Any = None, exposure: Any = None) -> pd.Series:
        """Predict on the rows of the fit, or on new ones.

        Parameters
        ----------
        exog : table or array, optional
            New rows: a table with the columns of the formula, or a matrix for a model made of arrays. Rows with missing
            values are kept in place as NaN.
        what : str
            "mean" (default), "linear" (the first parameter's linear predictor) or the name of a parameter.
        offset, exposure : optional
            Needed where the fit was given one as an array; one written as an expression is evaluated on ``exog``.

        Raises
        ------
        ValueError
            If a column, a level or an offset is missing, or ``what`` is unknown.
        """
        rows = self.model.rows(exog, offset, exposure)
        return rows.place(predicted(self.model.family, rows.linear(self.params, self.model.design.slices), what))

    def get_prediction(self, exog: Any = None, *, offset: Any = None, exposure: Any = None) -> Prediction:
        """Predicted means with standard errors; see :meth:`predict` for the arguments."""
        return Prediction(
            self.model.family,
            self.model.rows(exog, offset, exposure),
            self.params,
            self.normalized_cov_params,
            self.model.design.slices,
            self.df_resid if self.use_t else None,
        )

    def summary(self, yname: str | None = None, alpha: float = 0.05) -> "Summary":
        """Tables of the fit as text, HTML (``as_html``) and LaTeX (``as_latex``), in statsmodels' own classes."""
        from mlekit.summary import summarize

        return summarize(self, yname=yname, alpha=alpha)


class ResultsWrapper(StatsmodelsWrapper):
    """A fit as users see it: :class:`Results` with names on its arrays."""

    _attrs = {
        **dict.fromkeys(("params", "bse", "tvalues", "pvalues"), "columns"),
        **dict.fromkeys(("fittedvalues", "resid", "resid_response", "resid_pearson", "resid_deviance"), "rows"),
    }
    _methods = {"conf_int": "columns", "cov_params": "cov"}
    _wrap_attrs = _attrs
    _wrap_methods = _methods

    def __repr__(self) -> str:
        results = self._results
        return f"<mlekit fit: {results.model.family!r}, {results.nobs:g} observations, {results.status.value}>"


populate_wrapper(ResultsWrapper, Results)
