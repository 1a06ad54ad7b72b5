"""Estimates and inference, in statsmodels' vocabulary and usable by its tools."""

import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.base.wrapper import ResultsWrapper as StatsmodelsWrapper
from statsmodels.tools.sm_exceptions import ConvergenceWarning

from mlekit.assessment import Assessment
from mlekit.checkup import Finding, checkup, table
from mlekit.common import common_predictors, own_scale
from mlekit.diagnostics import NotGiven
from mlekit.kinked_profile import Kinked
from mlekit.links import Array
from mlekit.optimize.base import REMEDIES, Optimum, Status, Step
from mlekit.optimize.ray import Peak
from mlekit.optimize.verdict import Verdict
from mlekit.predictions import Predictions
from mlekit.row_diagnostics import RowDiagnostics
from mlekit.saving.records import save
from mlekit.surfaces import Surface
from mlekit.targets import targets

if TYPE_CHECKING:
    from mlekit.attempts import Found
    from mlekit.model import Model
    from mlekit.restricted import Restrictions
    from mlekit.summary import FitSummary
    from mlekit.verified import Verification


class Results(RowDiagnostics, Assessment, Predictions):
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
    diagnosis : pandas.DataFrame
        The checks of the fit: passed, figure, cause, remedy.
    notes : list of str
        What a reader must know to read the numbers: the notes below the summary.
    """

    model: "Model"
    params: Array
    #: Constraints, bounds and penalty of a fit that has some.
    restrictions: "Restrictions | None" = None
    #: How many of the coefficients that describe the response are determined by others, through constraints.
    fewer: int = 0
    #: The attempts at the maximum, the best first: what they started from, where they ended, and how.
    attempts: "tuple[Found, ...]" = ()
    #: What is added to the score before it is solved for its root, by coefficients.
    adjustment: Array | None = None
    #: What the estimates are, for files.
    fit_kind: ClassVar[str] = "maximum"
    #: Where a fit that was loaded comes from: versions, date, and shape of the data.
    provenance: "Mapping[str, Any] | None" = None
    #: How the estimates were made, for the title of the summary.
    estimator: str = "maximum likelihood"

    def __init__(
        self,
        model: "Model",
        params: Array,
        verdict: Verdict,
        optimum: Optimum,
        *,
        method: str,
    ) -> None:
        super().__init__(model, params, scale=1.0)
        self.method, self.verdict, self.optimum = method, verdict, optimum
        self.nobs = model.likelihood.nobs
        first = model.design.slices[model.describing - 1].stop if model.has_null else len(model.design.names)
        self.df_resid = self.nobs - first + self.fewer
        self.df_model = first - self.k_constant - self.fewer

    @property
    def status(self) -> Status:
        """How the fit ended."""
        found = self.verdict.status
        return Status.NO_ERRORS if found.ok and self.without_errors else found

    @property
    def converged(self) -> bool:
        """Whether the estimate is the maximum-likelihood estimate."""
        return self.status.ok

    @property
    def reason(self) -> str:
        """The status in a sentence, with its figures and what to do about it."""
        status, detail = self.status, self.verdict.detail
        if status is Status.NO_ERRORS:
            detail = f"not those of {', '.join(self.without_errors)}; {detail}"
        remedy = REMEDIES.get(status)
        return f"{status.value} ({detail})" + (f". What to do: {remedy}" if remedy else "")

    @cached_property
    def _findings(self) -> dict[str, Finding]:
        self._need_rows()
        return checkup(self)

    @property
    def diagnosis(self) -> pd.DataFrame:
        """The checks of the fit, whichever method made it: passed (missing if not known), figure, cause and remedy.

        Examples
        --------
        >>> import mlekit
        >>> from mlekit.datasets import load_africa
        >>> res = mlekit.fit("miltcoup ~ parties", load_africa(), "poisson")
        >>> bool(res.diagnosis.passed.all()), res.diagnosis.figure["support"]
        (True, '36 rows, each with a finite log-density')
        """
        return table(self._findings)

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

    @cached_property
    def digits(self) -> Array:
        """About how many digits of each coefficient can be trusted, or of its standard error where that is larger.

        They are what the rounding of the columns to doubles leaves of them.
        """
        from mlekit.conditioning import trusted_digits

        self._need_rows()
        model, found = self.model, np.full(self.params.size, np.nan)
        for x, basis, where in zip(model.observations.block.X, model.bases, model.design.slices, strict=True):
            found[where] = trusted_digits(x, basis.matrix, self.params[where], self.bse[where])
        return found

    # ------------------------------------------------------------------------------------ likelihood

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
        self._need_rows()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # the user's model has its own verdict
            return self.model.null.fit()._results

    @cached_property
    def llnull(self) -> float:
        """Log-likelihood of the null model; NaN where it has none (a rate of 0, say)."""
        return self.null.llf if self.model.has_null and np.isfinite(self.null.llf) else float("nan")

    @property
    def llr(self) -> float:
        """Likelihood-ratio statistic against the null model."""
        return 2 * (self.llf - self.llnull)

    @cached_property
    def _llr_df(self) -> int:
        return self.params.size - self.null.params.size if self.model.has_null else 0

    @property
    def llr_pvalue(self) -> float:
        """Its p-value."""
        return float(stats.chi2.sf(self.llr, self._llr_df)) if self._llr_df > 0 else float("nan")

    @property
    def prsquared(self) -> float:
        """McFadden's pseudo R-squared, for counts and outcomes: the log of a density may have either sign."""
        return 1 - self.llf / self.llnull if self.llnull else float("nan")

    @property
    def aic(self) -> float:
        """Akaike's criterion, counting every estimated parameter as R does."""
        return -2 * self.llf + 2 * self.params.size

    @property
    def bic(self) -> float:
        """Bayesian criterion with log of the number of observations."""
        return -2 * self.llf + np.log(self.nobs) * self.params.size

    @cached_property
    def null_deviance(self) -> float:
        """Deviance of the null model."""
        return self.null.deviance

    @property
    def distribution(self) -> pd.DataFrame:
        """Parameters that are the same in all rows, on their own scale.

        Delta-method standard errors; the interval is that of the linear predictor, mapped, so that it stays in the
        parameter's domain. Columns: estimate, std err, and the ends of the 95 % interval.
        """
        columns = ["estimate", "std err", "[0.025", "0.975]"]
        return pd.DataFrame.from_dict(self.common_parameters(), orient="index", columns=columns, dtype=float)

    def common_parameters(self, alpha: float = 0.05) -> dict[str, tuple[float, float, float, float]]:
        """Estimate, standard error and ends of the interval of each parameter that is the same in all rows."""
        return own_scale(self.model.family, self._common, self._quantile(alpha))

    @cached_property
    def _common(self) -> dict[str, tuple[float, float]]:
        self._need_rows()
        block, slices = self.model.observations.block, self.model.design.slices
        return common_predictors(self.model.family, block.X, block.offset, slices, self.params, self.bse)

    def surface(self) -> Surface | Kinked:
        """The likelihood round the estimate, to profile."""
        self._need_rows()
        if self.model.family.quantile_level is not None:
            return Kinked(self.model, self.params, self.bse, self.llf)
        peak = Peak.of(self.model.working, self.optimum.gamma)
        return Surface(peak, np.zeros(self.params.size), self.model.matrix, ())

    def verify(self) -> "Verification":
        """Count the fit anew and fit it again: what is confirmed, and how many digits of each coefficient are.

        The log-likelihood, its slopes and its curvatures come from the log-density alone; the estimate has to be found
        again from other starts, by a second method, by the closed form where there is one, and from the rows in reverse
        order in other units. It takes some dozens of times as long as the fit.

        Returns
        -------
        Verification
            Prints as tables. ``passed`` is whether no check failed, ``table`` has the checks, and ``coefficients`` the
            digits that you may trust: no more than the data in doubles determine, nor than refits agree in.

        Raises
        ------
        NotGiven
            If the rows were removed.

        Examples
        --------
        >>> import mlekit
        >>> from mlekit.datasets import load_africa
        >>> found = mlekit.fit("miltcoup ~ parties", load_africa(), "poisson").verify()
        >>> found.passed, bool((found.coefficients.digits >= 12).all())
        (True, True)
        """
        from mlekit.verification import verify

        self._need_rows()
        return verify(self)

    def simulate(self, n: int = 1, seed: Any = None) -> pd.DataFrame:
        """Draw ``n`` responses for the rows of the fit, at its estimates: a column each, ``sim_1``, ``sim_2``, ..."""
        from mlekit.simulation import simulated

        self._need_rows()
        return simulated(self, n, seed)

    def summary(
        self,
        yname: str | None = None,
        xname: Sequence[str] | None = None,
        title: str | None = None,
        alpha: float = 0.05,
    ) -> "FitSummary":
        """Tables of the fit as text, HTML (``as_html``), LaTeX (``as_latex``) and CSV, in statsmodels' own classes.

        ``yname``, ``xname`` and ``title`` replace names and title; ``alpha`` is one minus the level of the intervals.
        """
        from mlekit.summary import summarize

        return summarize(self, yname=yname, xname=xname, title=title, alpha=alpha)

    @cached_property
    def notes(self) -> list[str]:
        """What a reader must know to read the numbers, most important first."""
        from mlekit.summary import notes

        return notes(self)

    def remove_data(self) -> None:
        """Forget the rows: summary, tests and predictions on new rows stay; fitted values and residuals go."""
        numbers = ("llnull", "_llr_df", "deviance", "null_deviance", "pearson_chi2", "_unbiased")
        for name in (*numbers, "notes", "_common", "_findings"):
            with suppress(NotGiven):
                getattr(self, name)
        observations = self.model.observations
        empty = replace(
            observations, block=observations.block.rows(slice(0)), labels=observations.labels[:0], given=None
        )
        self.model = replace(self.model, observations=empty, bases=())
        for name in ("null", "_eta", "_influence"):
            self.__dict__.pop(name, None)

    def save(self, file: Any) -> None:
        """Write the fit to a file, as JSON without code and without its rows; :func:`mlekit.load` reads it.

        Coefficients, covariance, levels, what transforms and splines learned, links, checks, notes, versions. The
        format is described in docs/saved_fits.md.

        Parameters
        ----------
        file : path or file object
            A file that is there is replaced in one step.

        Raises
        ------
        SavedFitError
            If the fit is made of code of the user's own, as a function in a formula, or has levels that are neither
            text nor numbers. A family of one's own is no such thing: it is passed to ``load``.
        OSError
            If the file cannot be written.
        """
        save(self, file)

    @classmethod
    def load(cls, *unused: Any) -> NoReturn:
        """Refuse to unpickle, as statsmodels' results do: a pickle may execute anything."""
        raise TypeError("a saved fit is loaded by mlekit.load(file), and a pickle by pickle.load, if you trust it")

    def _wrapped(self) -> "ResultsWrapper":
        return ResultsWrapper(self)

    def _need_rows(self) -> None:
        if not self.model.observations.labels.size:
            loaded = self.provenance is not None
            why = "the fit was loaded, and a file has no rows" if loaded else "remove_data removed the rows"
            raise NotGiven(f"{why}: left are summary, tests and predictions on new rows")


class ResultsWrapper(StatsmodelsWrapper):
    """A fit as users see it: :class:`Results` with names on its arrays."""

    _attrs = {
        **dict.fromkeys(("params", "bse", "tvalues", "pvalues", "digits"), "columns"),
        **dict.fromkeys(("fittedvalues", "resid", "resid_response", "resid_pearson", "resid_deviance"), "rows"),
    }
    _wrap_attrs = _attrs

    def conf_int(self, alpha: float = 0.05, cols: Any = None, method: str = "wald", **how: Any) -> pd.DataFrame:
        """Intervals of the coefficients, or of others, with names; see :meth:`Results.conf_int`."""
        found = self._results.conf_int(alpha, cols, method, **how)
        return pd.DataFrame(found, index=[target.name for target in targets(self._results, cols)])

    def cov_params(self, r_matrix: Any = None, column: Any = None, **how: Any) -> Any:
        """Covariance of the coefficients, of some of them (``column``: positions) or of combinations of them."""
        found = self._results.cov_params(r_matrix=r_matrix, column=column, **how)
        names = np.array(self._results.model.design.names, dtype=object)
        if r_matrix is not None or np.ndim(found) == 0:
            return found
        chosen = names if column is None else names[np.asarray(column)]
        return pd.DataFrame(np.array(found), index=chosen, columns=chosen)

    def save(self, file: Any) -> None:
        """Write the fit to a file; see :meth:`Results.save`."""
        self._results.save(file)

    load = Results.load

    def __repr__(self) -> str:
        results = self._results
        return f"<mlekit fit: {results.model.family!r}, {results.nobs:g} observations, {results.status.value}>"
