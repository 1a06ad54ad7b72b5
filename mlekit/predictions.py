"""What results predict: means, parameters, quantiles and probabilities, with intervals."""

from typing import TYPE_CHECKING, Any

import numpy as np

from mlekit.covariance import unbiased_scale
from mlekit.inference import Inference
from mlekit.links import identity
from mlekit.predict import Prediction, Rows, predicted

if TYPE_CHECKING:
    from mlekit.model import Model


class Predictions(Inference):
    """What :class:`~mlekit.results.Results` says of old and new rows."""

    model: "Model"
    nobs: float

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
    ) -> Any:
        """Predict on the rows of the fit, or on new ones.

        Parameters
        ----------
        exog : table or array, optional
            New rows: a table with the columns of the formula, or a matrix for a model made of arrays. Rows with missing
            values are kept in place as NaN.
        what : str
            "mean" (default), "linear" (the first parameter's linear predictor) or the name of a parameter. "quantile"
            with ``q=``; "pmf" (of counts), "pdf" (of continuous responses), "cdf" (up to and with a response) and "sf"
            (above it) with ``at=``, all at the estimates. Of levels, "probabilities" (a table with a column for each)
            or "level" (the most probable one).
        q, at : float or sequence of float
            Shares of the distribution, and responses. Of a sequence there is a table, with a column for each.
        offset, exposure : optional
            Needed where the fit was given one as an array; one written as an expression is evaluated on ``exog``.
        new_levels : {"raise", "nan"}
            Whether a level that the fit did not see is refused, or its row is NaN.

        Returns
        -------
        Series or DataFrame

        Raises
        ------
        ValueError
            If a column, a level or an offset is missing, or ``what`` is unknown.

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
        rows = self._rows(exog, offset, exposure, new_levels)
        linear = rows.linear(self.params, self.model.design.slices)
        return rows.place(predicted(self.model.family, linear, what, q, at))

    def get_prediction(
        self, exog: Any = None, *, offset: Any = None, exposure: Any = None, new_levels: str = "raise"
    ) -> Prediction:
        """Predicted means with standard errors, and new observations; see :meth:`predict` for the arguments."""
        return Prediction(
            self.model.family,
            self._rows(exog, offset, exposure, new_levels),
            self.params,
            self.scaled_cov,
            self.model.design.slices,
            self.df_resid_inference if self.use_t else None,
            self._unbiased() if self.use_t else None,
        )

    def _unbiased(self) -> float | None:
        """What makes the scale that of least squares, where its intervals are exact; None elsewhere."""
        model = self.model
        freedom = self.nobs - model.exog.shape[1]
        exact = unbiased_scale(model.family) and next(iter(model.family.links.values())) == identity
        return float(np.sqrt(self.nobs / freedom)) if exact and model.one_scale and freedom > 0 else None

    def _rows(self, exog: Any, offset: Any, exposure: Any, new_levels: str) -> Rows:
        if exog is None:
            self._need_rows()
        return self.model.rows(exog, offset, exposure, new_levels)
