"""What results predict: means, parameters, quantiles and probabilities, with intervals."""

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from mlekit import jets, predictive
from mlekit.counterfactuals import Matrices
from mlekit.covariance import unbiased_scale
from mlekit.effects import effects_of, observed_along
from mlekit.inference import Inference
from mlekit.links import Array, identity
from mlekit.marginal import MarginalEffects, marginal_effects
from mlekit.predict import Prediction, Rows, predicted
from mlekit.prediction_slopes import prediction_rows
from mlekit.trials import counted, trials_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from mlekit.model import Model


class Predictions(Inference):
    """What :class:`~mlekit.results.Results` says of old and new rows."""

    model: "Model"
    nobs: float
    df_resid: float

    def predict(
        self,
        exog: Any = None,
        what: str = "mean",
        *,
        q: Any = None,
        at: Any = None,
        offset: Any = None,
        exposure: Any = None,
        new_levels: str = "raise",
        trials: Any = None,
    ) -> Any:
        """Predict on the rows of the fit, or on new ones.

        Parameters
        ----------
        exog : table or array, optional
            New rows: a table with the columns of the formula, or a matrix for a model made of arrays. Rows with missing
            values are kept in place as NaN; so are, with a warning, rows in which a parameter would be outside its
            domain, and rows in which a column that was left out as collinear (``aliased``) is not the combination of
            others that it was in the fit, as in a combination of levels without data: they are not estimable.
        what : str
            "mean" (default), "linear" (the first parameter's linear predictor) or the name of a parameter. "quantile"
            with ``q=``; "pmf" (of counts), "pdf" (of continuous responses), "cdf" (up to and with a response) and "sf"
            (above it) with ``at=``, all at the estimates. Of levels, "probabilities" (a table with a column for each)
            or "level" (the most probable one); "pmf" with ``at=`` a level, and of ordered levels also the other three.
        q, at : float or sequence of float
            Shares of the distribution, and responses. Of a sequence there is a table, with a column for each.
        offset, exposure : optional
            Needed where the fit was given one as an array; one written as an expression is evaluated on ``exog``.
        new_levels : {"raise", "nan"}
            Whether a level that the fit did not see is refused, or its row is NaN.
        trials : int, str or array, optional
            Of a Binomial: the trials of new rows, a number, a column or an array, among which "quantile", "pmf", "cdf"
            and "sf" count successes. The rows of the fit have their own.

        Returns
        -------
        Series or DataFrame

        Raises
        ------
        ValueError
            If a column, a level, an offset or the number of trials is missing, or ``what`` is unknown.

        Examples
        --------
        >>> import mlekit
        >>> from mlekit.datasets import load_africa
        >>> res = mlekit.fit("miltcoup ~ parties", load_africa(), "poisson")
        >>> res.predict({"parties": [0, 62]}, "quantile", q=[0.5, 0.9])
           0.5  0.9
        0  1.0  2.0
        1  4.0  7.0
        """
        rows, family = self._rows(exog, offset, exposure, new_levels), self.model.family
        linear = self._linear(rows)
        if what in predictive.FUNCTIONS and what not in family.params:
            family, linear = counted(family, linear, trials_of(self.model, exog, trials, rows))
        elif trials is not None:
            raise ValueError(f"what={what!r} takes no trials=: it does not depend on them")
        return rows.place(predicted(family, linear, what, q, at, rows.present))

    def _linear(self, rows: Rows) -> tuple[Array, ...]:
        """Linear predictors of rows at the estimates."""
        return rows.linear(self.params, self.model.design.slices)

    def get_prediction(
        self,
        exog: Any = None,
        *,
        offset: Any = None,
        exposure: Any = None,
        new_levels: str = "raise",
        trials: Any = None,
    ) -> Prediction:
        """Predicted means with standard errors, and new observations; see :meth:`predict` for the arguments."""
        rows = self._rows(exog, offset, exposure, new_levels)
        return self.prediction_of(rows, trials_of(self.model, exog, trials, rows))

    def prediction_of(self, rows: Rows, trials: Array | None = None) -> Prediction:
        """Predictions on rows that are matrices already."""
        return Prediction(
            self.model.family,
            rows,
            self._linear(rows),
            self.predictive_cov,
            self.model.design.slices,
            self.df_resid_inference if self.use_t else None,
            self._unbiased if self.use_t else None,
            trials,
        )

    def predicted_rows(self, made: Matrices, what: Any) -> dict[Any, jets.Rows]:
        """What is predicted of rows that are matrices already, with its derivatives in the linear predictors."""
        return prediction_rows(self.model.family, made.times(self.params, self.model.design.slices), what)

    def rates(self, moved: Matrices) -> Array:
        """Derivatives of the linear predictors in a variable, of which the matrices have derivatives."""
        return np.stack(moved.times(self.params, self.model.design.slices))

    @property
    def predictive_cov(self) -> tuple[Array, Array]:
        """Covariance of the coefficients that predictions are made of, and the units that it is in."""
        return self.scaled_cov

    def marginal_effects(
        self,
        variables: Any = None,
        at: Any = None,
        what: Any = "mean",
        *,
        data: Any = None,
        weights: Any = None,
        offset: Any = None,
        exposure: Any = None,
    ) -> MarginalEffects:
        """Effects of variables on a prediction, averaged over the rows of the fit, with delta-method standard errors.

        Of a number, the derivative in the variable as it stands in the data, through whatever the formulas make of it;
        of text, booleans and what ``C()`` codes, the difference of each level to the reference level.

        Parameters
        ----------
        variables : str, sequence of str or dict, optional
            Which (default: all of the formulas but those of offsets alone). A dict asks for other changes: ``{"x":
            1}`` for x + 1 against x, ``{"x": (0, 10)}`` for 10 against 0, ``{"g": ("a", "b")}`` for b against a.
        at : dict or "mean", optional
            Values that variables have in all rows, ``{"x": [0, 1]}``: effects are averaged at each combination. With
            "mean" there is one row: numbers at their means, other variables at their most frequent level.
        what : str or tuple
            As for :meth:`predict`: "mean", "linear", a parameter; of levels their "probabilities", a row for each. With
            a number or a level as a pair: ``("pmf", 0)``, ``("cdf", 3)``, ``("quantile", 0.9)``, ``("probabilities",
            "high")``.
        data : table, optional
            Other rows to average over; needed where the fit does not have its data, as after pickling.
        weights, offset, exposure : optional
            Those of ``data``, as for a fit and for :meth:`predict`. The weights of the fit are those of its rows.

        Returns
        -------
        MarginalEffects
            With ``frame``, ``summary()``, ``summary_frame(alpha)`` and ``cov_params()``.

        Raises
        ------
        ValueError
            If a variable, a level or the data are not there, or a factor jumps and so has no derivative.

        Notes
        -----
        Derivatives of arithmetic in a formula are exact; those of splines and of functions of the user's are
        differences of fourth order, exact to rounding for polynomials up to the fourth degree.

        Examples
        --------
        >>> import mlekit
        >>> from mlekit.datasets import load_africa
        >>> res = mlekit.fit("miltcoup ~ oligarchy + C(pollib)", load_africa(), "poisson")
        >>> print(res.marginal_effects())
        Average marginal effects on the mean of miltcoup
             term contrast estimate std err      z P>|z| [0.025 0.975]
        oligarchy    dy/dx   0.1541 0.04021  3.833 0.000 0.0753 0.2329
           pollib    1 - 0   -1.391   1.456 -0.955 0.339 -4.245  1.463
           pollib    2 - 0   -2.039   1.391 -1.466 0.143 -4.765 0.6869
        Delta-method standard errors; covariance: observed information
        """
        return marginal_effects(self, variables, at, what, data, weights, offset, exposure)

    # ------------------------------------------------------------------------------------ figures

    def plot_fit(
        self, variable: str | None = None, *, at: Any = None, alpha: float = 0.05, obs: bool = True
    ) -> "Figure":
        """Draw the data and the fitted mean along one variable, with its interval and that of a new observation.

        Parameters
        ----------
        variable : str, optional
            Default: the first number of the formulas, or else their first variable.
        at : dict, optional
            Values of the other variables. Those that are not named are at their means, or at their most frequent level;
            the data are drawn as they are.
        alpha : float
            One minus the level of both intervals.
        obs : bool
            Whether to draw the interval of a new observation.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If there is no such variable, or the fit does not have its data, as after pickling.
        NotGiven
            If the response is one of levels, or has no mean.

        Notes
        -----
        Whole numbers are moved up and down a little, so that equal ones can be seen. Of outcomes of yes or no there are
        shares in up to 10 groups as well, with exact intervals. Triangles are censored responses.
        """
        from mlekit.plots.effects import plot_fit

        return plot_fit(observed_along(self, variable, at, alpha, obs), self._figure_notes())

    def plot_effects(
        self,
        variables: Any = None,
        by: str | None = None,
        what: str = "mean",
        *,
        at: Any = None,
        alpha: float = 0.05,
        data: Any = None,
        weights: Any = None,
        offset: Any = None,
        exposure: Any = None,
    ) -> "Figure":
        """Draw predictions along each variable, the others at representative values, with their intervals.

        Parameters
        ----------
        variables : str or sequence of str, optional
            Which: a panel each. Default: all of the formulas.
        by : str, optional
            A second variable with a line for each level, or for three of its quantiles: an interaction.
        what : str
            "mean" (default; of levels, their probabilities), "linear" (the linear predictor, on which effects of a
            formula without interactions are parallel), or the name of a parameter.
        at : dict, optional
            Values of other variables. Those that are not named are at their means, or at their most frequent level.
        alpha : float
            One minus the level of the intervals.
        data, weights, offset, exposure : optional
            Other rows than those of the fit, as for :meth:`marginal_effects`, to take ranges, levels and means from.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If there is no such variable, value or prediction, or the data are not at hand.
        """
        from mlekit.plots.effects import plot_effects

        given = {"weights": weights, "offset": offset, "exposure": exposure}
        found = effects_of(self, variables, by, what, at, alpha, data, given)
        return plot_effects(found, f"{self.model.family.title}: {self.model.design.response}", self._figure_notes())

    def _figure_notes(self) -> tuple[str, ...]:
        status = self.verdict.status
        return () if status.ok else (f"the estimates are not those of maximum likelihood: {status.value}",)

    @cached_property
    def _unbiased(self) -> float | None:
        """What makes the scale that of least squares, where its intervals are exact; None elsewhere."""
        model = self.model
        exact = unbiased_scale(model.family) and next(iter(model.family.links.values())) == identity
        return float(np.sqrt(self.nobs / self.df_resid)) if exact and model.one_scale and self.df_resid > 0 else None

    def _rows(self, exog: Any, offset: Any, exposure: Any, new_levels: str) -> Rows:
        if exog is None:
            self._need_rows()
        return self.model.rows(exog, offset, exposure, new_levels)
