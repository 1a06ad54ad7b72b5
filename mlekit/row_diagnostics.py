"""What results say of single rows, and of what the fit takes for granted."""

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mlekit import diagnostics, goodness
from mlekit.diagnostics import NotGiven
from mlekit.families.categorical import Categorical
from mlekit.goodness import DispersionTest
from mlekit.inference import Inference
from mlekit.influence import Influence, influence, scale_without
from mlekit.links import Array
from mlekit.plots.diagnostics import plot_diagnostics, plot_rootogram
from mlekit.predict import mean_and_slopes
from mlekit.quantile_residuals import quantile_residuals
from mlekit.sandwich import Point

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class RowDiagnostics(Inference):
    """Fitted values, residuals, influence and tests of fit of :class:`~mlekit.results.Results`."""

    nobs: float

    def _by_row(self, values: Array) -> pd.Series:
        return pd.Series(values, index=self.model.observations.labels)

    def _need_regression(self, what: str) -> None:
        """Refuse what a likelihood that is not of responses cannot have."""
        self._need_rows()
        if not self.model.has_null:
            raise NotGiven(f"a likelihood that is not a regression has no {what}: its rows have no response")

    # ------------------------------------------------------------------------------------ fitted values and residuals

    @cached_property
    def _eta(self) -> tuple[Array, ...]:
        self._need_rows()
        return self.model.likelihood.linear_predictors(self.params)

    @property
    def fittedvalues(self) -> Array:
        """Fitted means."""
        return diagnostics.fitted_mean(self.model.family, self._eta)

    @property
    def resid_response(self) -> Array:
        """Responses minus fitted means."""
        return diagnostics.response_residual(self.model.family, self.model.endog, self._eta)

    @property
    def resid(self) -> Array:
        """Residuals of least squares without weights, for tools that square and sum them (Stargazer does)."""
        if not self.model.family.least_squares or self.model.row_weight is not None:
            raise NotGiven("resid is for plain least squares: see resid_response, resid_pearson, resid_deviance")
        return self.resid_response

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

    @cached_property
    def pearson_chi2(self) -> float:
        """Sum of squared Pearson residuals."""
        with np.errstate(over="ignore"):
            return float(self.resid_pearson @ self.resid_pearson)

    def resid_quantile(self, seed: Any = 0) -> pd.Series:
        """Randomised quantile residuals (Dunn and Smyth 1996): standard normal if the model is right, for any family.

        The quantile of the standard normal at the share of the fitted distribution below the response. For counts that
        share is drawn at random between those below the count and up to it, for censored responses within what is
        known of them. With weights each row has one residual.

        Parameters
        ----------
        seed : int or numpy.random.Generator
            Where shares are drawn, the same seed gives the same residuals.

        Raises
        ------
        NotGiven
            If the response is one of levels without order, or has no distribution function.

        Examples
        --------
        >>> import mlekit
        >>> from mlekit.datasets import load_africa
        >>> res = mlekit.fit("miltcoup ~ parties", load_africa(), "poisson")
        >>> res.resid_quantile(seed=1).head(3).round(3).tolist()
        [1.625, 0.682, 0.938]
        """
        self._need_regression("quantile residuals")
        found = quantile_residuals(self.model.family, self.model.endog, self._eta, seed)
        return self._by_row(found)

    @property
    def resid_working(self) -> pd.Series:
        """Working residuals: the score of each linear predictor of the first parameter over its expected information.

        It is the step that scoring takes, row by row. Of a family that does not know that information it is the
        response residual over the slope of the mean. For a glm both are R's, ``(y - mu) d eta / d mu``.
        """
        self._need_regression("working residuals")
        family, y, eta = self.model.family, self.model.endog, self._eta
        with np.errstate(all="ignore"):
            information = family.information(*eta)
            if information is None or isinstance(family, Categorical):
                _, slopes = mean_and_slopes(family, eta)
                slope = slopes[0] * next(iter(family.links.values())).slopes(eta[0])[0]
                return self._by_row(diagnostics.response_residual(family, y, eta) / slope)
            repeats = family.repeats(y)
            weight = information[0, 0] if repeats is None else information[0, 0] * repeats
            return self._by_row(family.linear_rows(y, *eta, order=1).grad[0] / weight)

    # ------------------------------------------------------------------------------------ influence

    @cached_property
    def _influence(self) -> Influence:
        self._need_regression("leverage")
        working, matrix = self._coordinates()
        here = self.verdict.evaluation
        if here.hessian is None:
            raise NotGiven("the likelihood is not finite at the estimate, so no row has a leverage")
        return influence(self.model, Point(working, self.optimum.gamma, here, self), matrix)

    @property
    def leverage(self) -> pd.Series:
        """Diagonal of the hat matrix, as R's ``hatvalues``: the share of each row in the fit of its own mean.

        Of the formula of the first parameter, by the expected information where the family knows it; they add up to the
        number of its coefficients. The observed information of a row, as of a censored one, may be negative, and then
        its leverage is.

        Examples
        --------
        >>> import mlekit
        >>> from mlekit.datasets import load_africa
        >>> res = mlekit.fit("miltcoup ~ parties", load_africa(), "poisson")
        >>> round(float(res.leverage.sum()), 9)
        2.0
        """
        return self._by_row(self._influence.leverage)

    @property
    def cooks_distance(self) -> pd.Series:
        """Cook's distance of each row: how far the coefficients of the first parameter move without it.

        In units of their covariance, per coefficient, by one Newton step, as in R and statsmodels; NaN where a row
        alone determines some coefficient.
        """
        return self._by_row(self._influence.cooks_distance)

    @property
    def dfbetas(self) -> pd.DataFrame:
        """Change of each coefficient by each row, in standard errors: with the row less without it, by one Newton step.

        For least squares sigma is that without the row, as in R and statsmodels.
        """
        found, names = self._influence, list(self.model.design.names)
        with np.errstate(all="ignore"):
            table = found.change / found.errors
            if self.model.one_scale:
                sigma = scale_without(self.model, np.asarray(self.resid_response), found.leverage)
                first = self.model.design.slices[0]
                table[:, first] /= 1.0 if sigma is None else sigma[:, None]
        return pd.DataFrame(table, index=self.model.observations.labels, columns=names)

    # ------------------------------------------------------------------------------------ tests

    @property
    def dispersion(self) -> float:
        """Pearson's chi-squared over its degrees of freedom: near 1 for counts if the variance is right.

        Of a Normal it is the unbiased variance.
        """
        return self.pearson_chi2 / self.df_resid if self.df_resid > 0 else float("nan")

    def dispersion_test(self, form: str = "NB1", alternative: str = "greater") -> DispersionTest:
        """Test whether the variance of a Poisson is its mean (Cameron and Trivedi 1990).

        Parameters
        ----------
        form : {"NB1", "NB2"}
            The variance under the alternative, ``mu + a mu`` or ``mu + a mu**2``. R: ``AER::dispersiontest`` without
            ``trafo`` (its dispersion is ``1 + a``) and with ``trafo=2``.
        alternative : {"greater", "less", "two-sided"}
            ``"greater"`` is overdispersion.

        Raises
        ------
        NotGiven
            If the family is not the Poisson.

        Examples
        --------
        >>> import mlekit
        >>> from mlekit.datasets import load_africa
        >>> res = mlekit.fit("miltcoup ~ parties", load_africa(), "poisson")
        >>> test = res.dispersion_test()
        >>> round(test.a, 4), round(test.pvalue, 4), round(res.dispersion, 4)
        (0.746, 0.0772, 1.86)
        """
        self._need_regression("dispersion")
        return goodness.cameron_trivedi(self, form, alternative)

    def goodness_of_fit(self, groups: int = 10) -> pd.DataFrame:
        """Tests of fit: statistic, degrees of freedom and p-value, a row each.

        Of counts, Pearson's chi-squared and the deviance, which are chi-squared if fitted counts are not small (5 or
        so) and the model is right. Of a Bernoulli these say nothing: there it is Hosmer and Lemeshow's test of the
        observed and expected numbers of ones, in ``groups`` between quantiles of the fitted probabilities.

        Raises
        ------
        NotGiven
            If the response is not of counts.

        Examples
        --------
        >>> import mlekit
        >>> from mlekit.datasets import load_africa
        >>> res = mlekit.fit("miltcoup ~ parties", load_africa(), "poisson")
        >>> print(res.goodness_of_fit().round(4))
                  statistic    df  pvalue
        Pearson     63.2394  34.0  0.0017
        deviance    60.3547  34.0  0.0035
        """
        self._need_regression("test of fit")
        return goodness.goodness_of_fit(self, groups)

    # ------------------------------------------------------------------------------------ figures

    def plot_diagnostics(self, seed: Any = 0, simulations: int = 99) -> "Figure":
        """Draw quantile residuals against the linear predictor, the normal, their size, and their leverage.

        The grey band beside the normal is where sorted residuals lie if the model is right: responses are simulated at
        the estimates, and each simulation is fitted again. Where that is not possible, or where it would take long,
        the band is that of normal samples, and the legend says so.

        Parameters
        ----------
        seed : int or numpy.random.Generator
            For residuals that are drawn, and for the simulations.
        simulations : int
            At least 19.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        NotGiven
            If the family has no quantile residuals.
        """
        from mlekit.envelopes import envelope

        family, rng = self.model.family, np.random.default_rng(seed)
        residual = self.resid_quantile(rng)
        band = envelope(self, simulations, rng)
        name, link = next(iter(family.links.items()))
        text = f"fitted {name}" if link.name == "identity" else f"linear predictor, {link.name}({name})"
        found = self._influence
        return plot_diagnostics(
            residual, self._eta[0], text, (found.leverage, found.cooks_distance), band, self._described()
        )

    def plot_rootogram(self) -> "Figure":
        """Draw how often each count occurs, hanging from how often it is expected to (Kleiber and Zeileis 2016).

        Counts are put together in bars if there are more than 40.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        NotGiven
            If responses are not counts.
        """
        from mlekit.envelopes import count_table

        self._need_regression("rootogram")
        return plot_rootogram(count_table(self), self.model.family.title, self.model.endog_names)

    def _described(self) -> str:
        return f"{self.model.family.title}: {self.model.endog_names}"
