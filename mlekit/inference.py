"""Intervals and tests of coefficients, as statsmodels' results have them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from statsmodels.base.model import LikelihoodModelResults

from mlekit import contours, labels, profiling
from mlekit.links import Array
from mlekit.predict import half_width
from mlekit.targets import Target, targets

if TYPE_CHECKING:
    from statsmodels.stats.contrast import ContrastResults, MultiCompResult, WaldTestResults

    from mlekit.model import Model


class Inference(LikelihoodModelResults):
    """What :class:`~mlekit.results.Results` says of coefficients beside their estimates."""

    model: "Model"
    params: Array
    use_t: bool
    df_resid: float

    def _quantile(self, alpha: float) -> float:
        return half_width(alpha, self.df_resid if self.use_t else None)

    def conf_int(self, alpha: float = 0.05, cols: Any = None, method: str = "wald") -> Array:
        """Intervals of the coefficients at level ``1 - alpha``, one row each.

        Parameters
        ----------
        alpha : float
        cols : sequence, optional
            Which: coefficients by name or number, contrasts as text (``"x1 - x2"``), parameters that are one number
            (``"sigma"``, on its own scale). Default: all coefficients.
        method : {"wald", "profile"}
            ``"wald"``: estimate and standard error. ``"profile"``: where the likelihood, all else at its best, has
            fallen by half a quantile of chi-squared; the same in any parametrisation. It takes the model as right,
            whatever ``cov_type`` is.

        Raises
        ------
        ValueError
            If a name or a method is unknown, or the fit has no profile, as one that did not converge.
        """
        if method not in ("wald", "profile"):
            raise ValueError(f"unknown method {method!r}: the intervals are 'wald' and 'profile'")
        half_width(alpha, None)
        chosen = targets(self, cols)
        if method == "profile":
            return profiling.profile_intervals(self, alpha, chosen)
        if cols is None:
            margin = self._quantile(alpha) * self.bse
            return np.column_stack([self.params - margin, self.params + margin])
        return np.array([self._wald(target, alpha) for target in chosen]).reshape(-1, 2)

    def _wald(self, target: Target, alpha: float) -> Array:
        found = self.t_test(target.contrast)
        ends = float(found.effect[0]) + np.array([-1, 1]) * self._quantile(alpha) * float(found.sd.flat[0])
        with np.errstate(all="ignore"):
            return np.sort(ends if target.scale is None else target.scale(ends))

    def profile(self, what: Any, *, alpha: float = 0.01, points: int = 40) -> Any:
        """Profile likelihood of a coefficient, a contrast or a parameter; contours of two of them.

        Parameters
        ----------
        what : str, int, (p,) array, or a pair of str
            A coefficient by name or number, a contrast as text (``"x1 - x2"``) or as numbers, or a parameter that is
            one number (``"sigma"``), on its own scale. ``["x1", "x2"]`` are two of them.
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
