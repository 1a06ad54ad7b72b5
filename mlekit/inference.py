"""Standard errors, intervals and tests of coefficients, as statsmodels' results have them."""

import copy
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from statsmodels.base.model import LikelihoodModelResults
from statsmodels.tools.sm_exceptions import ConvergenceWarning

from mlekit import contours, labels, profiling, resampling
from mlekit.covariance import cov_name, covariance, unbiased_scale, vanishing
from mlekit.likelihood_tests import LikelihoodTests
from mlekit.links import Array
from mlekit.messages import warn
from mlekit.optimize.base import Optimum, Status
from mlekit.optimize.verdict import Verdict
from mlekit.predict import half_width
from mlekit.sandwich import Point
from mlekit.targets import Target, targets

if TYPE_CHECKING:
    from statsmodels.stats.contrast import ContrastResults, MultiCompResult, WaldTestResults

    from mlekit.model import Model


#: Why some fits have no standard errors, although there is a Hessian: it says nothing of where they ended.
_WITHHELD = {
    Status.BOUNDARY: "withheld, as the estimate is on the edge of the parameters' domain",
    Status.UNBOUNDED: "withheld, as the likelihood has no maximum",
    Status.FLAT: "withheld, as the maximum is flatter than a quadratic",
}


class Inference(LikelihoodTests, LikelihoodModelResults):
    """What :class:`~mlekit.results.Results` says of coefficients beside their estimates."""

    model: "Model"
    params: Array
    nobs: float
    df_resid: float
    method: str
    verdict: Verdict
    optimum: Optimum

    #: Whether estimates under other weights are maxima of the same likelihood, near this one.
    at_once: ClassVar[bool] = True
    #: Coefficients that should have a standard error, and have none that is finite and positive.
    without_errors: tuple[str, ...] = ()
    #: Whether an estimate is on a bound.
    active_bounds: bool = False

    @property
    def stopped(self) -> Array:
        """Where the method stopped: the estimates, or finite coefficients on the way to infinite ones."""
        return self.params

    def _refit(self, model: "Model", start: Any = None) -> Any:
        """Fit another model of the same coefficients in the same way, from other coefficients or those of this fit."""
        own = None if self.method == "closed_form" else self.params
        return model.fit(start=own if start is None else start)._results

    def _need_rows(self) -> None:
        raise NotImplementedError

    def _wrapped(self) -> Any:
        raise NotImplementedError

    def _coordinates(self) -> tuple[Any, Array]:
        """The likelihood in the coordinates of the fit, and the matrix that makes coefficients of those."""
        return self.model.working, self.model.matrix

    def _set_errors(self, cov_type: str, use_t: bool, options: Mapping[str, Any]) -> None:
        """Compute the covariance of a name: once for each fit, when it is known whose estimates it has.

        It is kept in units of the coordinates: a variance overflows long before its standard error does.
        """
        working, matrix = self._coordinates()
        units = np.abs(matrix).max(axis=1, initial=0.0)
        units[units == 0] = 1.0
        scaled = matrix / units[:, None]
        here = self.verdict.evaluation
        withheld = _WITHHELD.get(self.verdict.status)
        cov, df = np.full((working.size,) * 2, np.nan), None
        text = withheld or "none, as the likelihood is not finite"
        if here.hessian is not None and withheld is None:
            cov, text, df = covariance(cov_type, Point(working, self.optimum.gamma, here, self), **options)
            if vanishing(cov, here.hessian * self.nobs):
                cov, text = np.full_like(cov, np.nan), f"{text}: none, as every row is fitted exactly"
        cov = scaled @ cov @ scaled.T
        if (
            withheld is None
            and cov_type in ("nonrobust", "eim")
            and self.model.one_scale
            and unbiased_scale(self.model.family)
        ):
            cov, text = self._of_least_squares(cov, text, use_t)
        self.cov_type, self.cov_text, self.use_t = cov_type, text, use_t
        self.df_resid_inference = self.df_resid if df is None else df
        self._keep(cov, units)

    def _keep(self, cov: Array, units: Array) -> None:
        """Take a covariance, in units of its own."""
        self.scaled_cov = cov, units
        with np.errstate(all="ignore"):
            self.normalized_cov_params = cov * units * units[:, None]
            bse = units * np.sqrt(np.diag(cov))
        # What restrictions determine, or what is at a limit, does not vary, and has no standard error.
        known = (cov == 0).all(axis=1)
        self._bse = np.where(known, np.nan, bse)
        lacking = ~known & ~((bse > 0) & (bse < np.inf))
        self.without_errors = tuple(name for name, no in zip(self.model.design.names, lacking, strict=True) if no)

    def _of_least_squares(self, cov: Array, text: str, use_t: bool) -> tuple[Array, str]:
        """With Student's t, the covariance that ordinary least squares reports: sigma squared over n - p."""
        scale = list(self.model.family.params)[1]
        if not use_t:
            text += f", with the maximum-likelihood {scale} (use_t=True gives those of ordinary least squares)"
            return cov, text
        if self.df_resid <= 0:
            raise ValueError(
                f"use_t=True needs more observations ({self.nobs:g}, the sum of the weights) than coefficients"
            )
        first, cov = self.model.design.slices[0], cov.copy()
        cov[first, first] *= self.nobs / self.df_resid
        return cov, f"{text}, with the unbiased {scale} as in ordinary least squares"

    def with_cov(self, cov_type: str, *, use_t: bool | None = None, **options: Any) -> Any:
        """Return the same fit with other standard errors; the estimates stay as they are.

        Parameters
        ----------
        cov_type : str
            ``"nonrobust"`` (observed information), ``"eim"`` (expected), ``"opg"``; ``"HC0"`` to ``"HC3"``, robust to
            what varies from row to row; ``"cluster"`` and ``"CR0"`` to ``"CR3"``, robust to correlation within
            clusters; ``"hac"`` (Newey and West 1987), to correlation of neighbours in the order of the data;
            ``"bootstrap"`` and ``"jackknife"``, of rows or clusters, which fit anew.
        use_t : bool, optional
            Whether tests are those of Student's t, with G - 1 degrees of freedom for G clusters (default: as the fit).
        groups : str or array, or a pair of them
            For clusters: a column of the data, or a label for each row of the data. With a pair, two-way clusters
            (Cameron, Gelbach and Miller 2011).
        n, seed, progress
            For ``"bootstrap"``: as for :meth:`bootstrap`.
        lags : int, optional
            For ``"hac"``: how many rows apart correlation reaches; default ``4 (n / 100)**(2 / 9)``.
        information : {"observed", "expected"}
            What a sandwich and its leverages are made of. R's sandwich takes the expected one of a glm; they differ
            where the link is not canonical.

        Returns
        -------
        ResultsWrapper

        Raises
        ------
        ValueError
            If there is no such covariance, a row has no cluster, or a leverage of 1 leaves HC2 or HC3 undefined.
        TypeError
            If an option is unknown or lacking.

        Warns
        -----
        statsmodels.tools.sm_exceptions.ConvergenceWarning
            If the estimate is not the maximum.
        UserWarning
            If two-way clusters leave a variance negative, or resamples have no maximum.

        Notes
        -----
        HC1 is HC0 times n / (n - p); HC2 and HC3 divide by roots of 1 - h and by 1 - h, with the leverages h (MacKinnon
        and White 1985); CR1 is CR0 times G / (G - 1), and ``"cluster"`` that times (n - 1) / (n - p), as statsmodels
        has it; CR2 and CR3 are for clusters what HC2 and HC3 are for rows (Bell and McCaffrey 2002). p counts the
        coefficients that describe the response. With several parameters h is a matrix, and the formulas are the same.
        CR2 adjusts residuals that were divided by their standard deviations; R's clubSandwich those before, which for
        a glm is another root of the same matrix. Weights are counts of equal rows; sampling weights have the errors of
        ``with_cov("CR0", groups=range(rows))``.

        Examples
        --------
        >>> import mlekit
        >>> from mlekit.datasets import load_africa
        >>> res = mlekit.fit("miltcoup ~ parties", load_africa(), family="poisson")
        >>> res.with_cov("HC3").bse.round(4).to_dict()
        {'Intercept': 0.4078, 'parties': 0.0192}
        >>> res.with_cov("cluster", groups="pollib").cov_text
        'sandwich, cluster, by pollib: 3 clusters, times G / (G - 1) (n - 1) / (n - p) = 1.54412'
        """
        self._need_rows()
        if not self.verdict.status.comparable:
            warn(f"standard errors of a fit that is not the maximum: {self.verdict.status.value}", ConvergenceWarning)
        found = copy.copy(self)
        for name in [key for key in vars(found) if isinstance(getattr(type(found), key, None), cached_property)]:
            del found.__dict__[name]
        with np.errstate(all="ignore"):
            found._set_errors(cov_name(cov_type), self.use_t if use_t is None else bool(use_t), options)
        return found._wrapped()

    def bootstrap(
        self, n: int = 1000, seed: Any = None, *, groups: Any = None, progress: bool = False
    ) -> "resampling.Bootstrap":
        """Fit ``n`` resamples of the rows, or of clusters: the draws, their standard errors, and intervals.

        Parameters
        ----------
        n : int
            How many resamples.
        seed : int or numpy.random.SeedSequence, optional
            The same seed gives the same draws, on any machine, to the accuracy of the fits.
        groups : str or array, optional
            Clusters that are drawn whole: a column of the data, or a label for each row of the data.
        progress : bool
            Show a bar on long runs (needs tqdm).

        Returns
        -------
        Bootstrap
            With ``draws``, ``bse``, ``cov_params()`` and ``conf_int(alpha, method)``.

        Raises
        ------
        ValueError
            If ``n`` is no number of resamples, hardly any resample has a maximum, or weights are no counts of rows.

        Warns
        -----
        UserWarning
            If some resamples have no maximum.

        Notes
        -----
        A row of frequency weight w is w rows. Resamples without a maximum, as one in which the outcomes are separated,
        are left out and counted.

        Examples
        --------
        >>> import mlekit
        >>> from mlekit.datasets import load_africa
        >>> res = mlekit.fit("miltcoup ~ parties", load_africa(), family="poisson")
        >>> boot = res.bootstrap(200, seed=1)
        >>> boot
        <bootstrap of rows: 200 resamples>
        >>> bool((boot.bse > res.bse).all())
        True
        """
        self._need_rows()
        return resampling.bootstrap(self, n, seed, groups, progress)

    def _quantile(self, alpha: float) -> float:
        return half_width(alpha, self.df_resid_inference if self.use_t else None)

    def conf_int(self, alpha: float = 0.05, cols: Any = None, method: str = "wald", **options: Any) -> Array:
        """Intervals of the coefficients at level ``1 - alpha``, one row each.

        Parameters
        ----------
        alpha : float
        cols : sequence or dict, optional
            Which: coefficients by name or number, contrasts as text (``"x1 - x2"``), parameters that are one number
            (``"sigma"``, on its own scale), smooth functions of the coefficients (``lambda b: b["x1"] / b["x2"]``);
            with names of their own in a dict. Default: all coefficients.
        method : {"wald", "profile", "bootstrap"}
            ``"wald"``: estimate and standard error. ``"profile"``: where the likelihood, all else at its best, has
            fallen by half a quantile of chi-squared; the same in any parametrisation. It takes the model as right,
            whatever ``cov_type`` is. ``"bootstrap"``: see :meth:`bootstrap`, whose arguments it takes, and ``kind``,
            which is ``"bca"`` (default), ``"percentile"`` or ``"basic"``: see
            :meth:`mlekit.resampling.Bootstrap.conf_int`.

        Raises
        ------
        ValueError
            If a name or a method is unknown, or the fit has no profile, as one that did not converge.
        """
        if method not in ("wald", "profile", "bootstrap"):
            raise ValueError(f"unknown method {method!r}: the intervals are 'wald', 'profile' and 'bootstrap'")
        if options and method != "bootstrap":
            raise TypeError(f"intervals by {method!r} take no {', '.join(options)}")
        half_width(alpha, None)
        chosen = targets(self, cols)
        if method == "profile":
            return profiling.profile_intervals(self, alpha, chosen)
        if method == "bootstrap":
            return resampling.intervals(self, alpha, chosen, **options)
        if cols is None:
            margin = self._quantile(alpha) * self.bse
            return np.column_stack([self.params - margin, self.params + margin])
        return np.array([self._wald(target, alpha) for target in chosen]).reshape(-1, 2)

    def _wald(self, target: Target, alpha: float) -> Array:
        found = self.t_test(target.contrast)
        effect = float(found.effect[0]) if target.function is None else target.function(self.params)
        ends = effect + np.array([-1, 1]) * self._quantile(alpha) * float(found.sd.flat[0])
        with np.errstate(all="ignore"):
            return np.sort(ends if target.scale is None else target.scale(ends))

    def profile(self, what: Any, *, alpha: float = 0.01, points: int = 40) -> Any:
        """Profile likelihood of a coefficient, a contrast or a parameter; contours of two of them.

        Parameters
        ----------
        what : str, int, (p,) array, callable, or a pair of str
            A coefficient by name or number, a contrast as text (``"x1 - x2"``) or as numbers, or a parameter that is
            one number (``"sigma"``), on its own scale, or a smooth function of the coefficients, a Series. ``["x1",
            "x2"]`` are two of them.
        alpha : float
            The table reaches as far as the interval at level ``1 - alpha``.
        points : int
            Values in the table, beside the estimate.

        Returns
        -------
        Profile or Contours
            With ``table``, ``interval(alpha)``, ``summary()`` and ``plot()``; of a pair with ``curve(alpha)`` and
            ``plot()``.

        Raises
        ------
        ValueError
            As for :meth:`conf_int`.
        """
        if isinstance(what, list | tuple) and len(what) == 2 and all(isinstance(item, str) for item in what):
            return contours.contours_of(self, what)
        return profiling.profile_of(self, what, alpha, points)

    def t_test(self, r_matrix: Any, cov_p: Array | None = None, use_t: bool | None = None) -> "ContrastResults":
        """Test each of several linear hypotheses; see statsmodels' ``LikelihoodModelResults.t_test``."""
        fit, hypotheses, scale = labels.in_units(self, r_matrix, cov_p)
        found = LikelihoodModelResults.t_test(fit, hypotheses, use_t=use_t)
        found.effect, found.sd = found.effect * scale, found.sd * scale
        return found

    def wald_test(
        self, r_matrix: Any, cov_p: Array | None = None, invcov: Array | None = None, **how: Any
    ) -> "ContrastResults":
        """Test linear hypotheses jointly; see statsmodels' ``LikelihoodModelResults.wald_test``."""
        fit: Any = self
        if invcov is None:
            fit, r_matrix, _ = labels.in_units(self, r_matrix, cov_p)
        return LikelihoodModelResults.wald_test(fit, r_matrix, invcov=invcov, **{"scalar": True} | how)

    def wald_test_terms(
        self,
        skip_single: bool = False,
        extra_constraints: Sequence[tuple[str, Array]] | None = None,
        combine_terms: Sequence[str] | None = None,
        scalar: bool = True,
    ) -> "WaldTestResults":
        """Test each term of the formulas (all dummies of a factor, say) jointly; arguments as in statsmodels."""
        chosen = labels.term_hypotheses(self.model.design, skip_single, combine_terms or ())
        return labels.wald_table(self, [*chosen, *(extra_constraints or ())], scalar)

    def t_test_pairwise(
        self,
        term_name: str,
        method: str | list[str] = "hs",
        alpha: float = 0.05,
        factor_labels: Sequence[str] | None = None,
    ) -> "MultiCompResult":
        """Compare all pairs of levels of a factor, p-values corrected; arguments as in statsmodels."""
        return labels.pairwise(self, term_name, method, alpha, factor_labels)
