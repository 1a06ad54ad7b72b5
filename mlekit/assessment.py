"""What results say of outcomes of yes or no: how well they are told apart, and whether they are as frequent as said."""

from typing import TYPE_CHECKING, Any, cast

from mlekit.calibration import Calibration
from mlekit.inference import Inference
from mlekit.outcomes import Outcomes, outcomes_of
from mlekit.roc import Roc

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from mlekit.predictions import Predictions


class Assessment(Inference):
    """ROC curves and calibration of :class:`~mlekit.results.Results`."""

    def roc(
        self,
        data: Any = None,
        *,
        weights: Any = None,
        offset: Any = None,
        exposure: Any = None,
        new_levels: str = "raise",
    ) -> Roc:
        """ROC curve of a Bernoulli or Binomial fit, and the area under it with DeLong's standard error.

        Parameters
        ----------
        data : table, optional
            Other rows, with their responses; by default those of the fit, where a model looks better than on new ones.
            Rows with missing values are left out, and counted.
        weights, offset, exposure : optional
            Those of ``data``, as for a fit and for ``predict``. The weights of the fit are those of its rows.
        new_levels : {"raise", "nan"}
            Whether a level that the fit did not see is refused, or its row left out.

        Returns
        -------
        Roc
            With ``points``, ``auc``, ``std_err``, ``conf_int(alpha)`` and ``plot()``.

        Raises
        ------
        NotGiven
            If the family is another one.
        ValueError
            If all outcomes are the same, or the data do not fit.

        Notes
        -----
        A weight is a number of equal rows, and each trial of a Binomial is an outcome. Predictions that differ by
        rounding alone are ties. Standard error and interval take the estimates as given: they are for these
        predictions, on rows such as these.

        Examples
        --------
        >>> import mlekit
        >>> from mlekit.datasets import load_africa
        >>> africa = load_africa()
        >>> res = mlekit.fit("(miltcoup > 1) ~ parties", africa, "bernoulli")
        >>> print(res.roc())
        Area under the ROC curve 0.5990 (std err 0.1100, 95 % 0.3785 to 0.7855); 12 ones, 24 zeros
        On the rows of the fit, where a model looks better than on new ones: data= takes others
        """
        return Roc.made(self._outcomes(data, weights, offset, exposure, new_levels, "a ROC curve"))

    def calibration(
        self,
        data: Any = None,
        bins: int = 10,
        strategy: str = "quantile",
        *,
        alpha: float = 0.05,
        weights: Any = None,
        offset: Any = None,
        exposure: Any = None,
        new_levels: str = "raise",
    ) -> Calibration:
        """Observed shares beside the probabilities that a Bernoulli or Binomial fit predicts, and what sums them up.

        Parameters
        ----------
        data, weights, offset, exposure, new_levels
            As for :meth:`roc`.
        bins : int
            Number of bins, fewer where edges coincide or bins are empty.
        strategy : {"quantile", "uniform"}
            Whether bins have as many rows each, or are as wide, as in scikit-learn's ``calibration_curve``.
        alpha : float
            One minus the level of the exact intervals of observed shares.

        Returns
        -------
        Calibration
            With ``table``, ``curve``, ``intercept``, ``slope``, ``brier``, ``ece`` and ``plot()``.

        Raises
        ------
        NotGiven
            If the family is another one.
        ValueError
            If all outcomes are the same, or the data do not fit.

        Notes
        -----
        On its own rows a logit fit with an intercept has calibration intercept 0 and slope 1, whatever it is worth.

        Examples
        --------
        >>> import mlekit
        >>> from mlekit.datasets import load_africa
        >>> africa = load_africa()
        >>> res = mlekit.fit("(miltcoup > 1) ~ parties", africa[:24], "bernoulli")
        >>> found = res.calibration(africa[24:])
        >>> round(found.intercept, 3), round(found.slope, 3), round(found.brier, 4)
        (0.243, -0.95, 0.2402)
        """
        outcomes = self._outcomes(data, weights, offset, exposure, new_levels, "calibration")
        return Calibration.made(outcomes, bins, strategy, alpha)

    def plot_roc(self, data: Any = None, *, alpha: float = 0.05, **given: Any) -> "Figure":
        """Draw the ROC curve; arguments as for :meth:`roc`, and ``alpha`` is one minus the level of the interval.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        return self.roc(data, **given).plot(alpha)

    def plot_calibration(self, data: Any = None, bins: int = 10, strategy: str = "quantile", **given: Any) -> "Figure":
        """Draw observed shares against predicted probabilities; arguments as for :meth:`calibration`.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        return self.calibration(data, bins, strategy, **given).plot()

    def _outcomes(self, data: Any, weights: Any, offset: Any, exposure: Any, new_levels: str, what: str) -> Outcomes:
        return outcomes_of(cast("Predictions", self), data, weights, offset, exposure, new_levels, what)
