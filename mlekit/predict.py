"""Predictions on old and new rows, with delta-method standard errors."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from mlekit import jets
from mlekit.diagnostics import fitted_mean, thetas
from mlekit.families.base import GenericLikelihood
from mlekit.links import Array

_PREDICTABLE = "mean, linear, or a parameter of the family"


@dataclass(frozen=True)
class Rows:
    """Rows to predict on: a matrix and an offset per parameter, and where they stand among those asked for."""

    X: tuple[Array, ...]
    offset: tuple[Array | None, ...]
    labels: pd.Index
    missing: Array | None = None

    def linear(self, beta: Array, slices: tuple[slice, ...]) -> tuple[Array, ...]:
        """Linear predictors of every parameter."""
        parts = zip(self.X, self.offset, slices, strict=True)
        return tuple(x @ beta[where] + (0.0 if offset is None else offset) for x, offset, where in parts)

    def place(self, values: Array) -> pd.Series:
        """Put values back where their rows stood; rows with missing values get NaN."""
        if self.missing is None:
            return pd.Series(values, index=self.labels)
        placed = np.full(self.missing.size, np.nan)
        placed[~self.missing] = values
        return pd.Series(placed, index=self.labels)


def predicted(family: GenericLikelihood, eta: tuple[Array, ...], what: str) -> Array:
    """What was asked for, at the given linear predictors.

    Raises
    ------
    ValueError
        If ``what`` is not one of mean, linear, or a parameter's name.
    """
    if what == "mean":
        return fitted_mean(family, eta)
    if what == "linear":
        return eta[0]
    if what in family.params:
        return thetas(family, eta)[list(family.params).index(what)]
    raise ValueError(f"cannot predict {what!r}: what is {_PREDICTABLE} ({', '.join(family.params)})")


@dataclass(frozen=True)
class Prediction:
    """Predicted means with standard errors.

    The interval of a mean that depends on one parameter alone is that of its linear predictor, mapped to the response,
    so that it never leaves the range of the response.
    """

    family: GenericLikelihood
    rows: Rows
    beta: Array
    cov: Array
    slices: tuple[slice, ...]
    df: float | None = None

    def summary_frame(self, alpha: float = 0.05) -> pd.DataFrame:
        """Table of mean, mean_se, mean_ci_lower, mean_ci_upper, with the linear predictor and its standard error.

        Parameters
        ----------
        alpha : float
            One minus the confidence level.
        """
        eta = self.rows.linear(self.beta, self.slices)
        theta = thetas(self.family, eta)
        mean = fitted_mean(self.family, eta)
        with np.errstate(all="ignore"):
            slopes = jets.derivatives(lambda _, *t: self.family.mean(*t), mean, *theta, order=1).grad
        chain = [
            slope * link.slopes(e)[0] for slope, link, e in zip(slopes, self.family.links.values(), eta, strict=True)
        ]
        gradient = np.zeros((mean.size, self.beta.size))
        for x, where, factor in zip(self.rows.X, self.slices, chain, strict=True):
            gradient[:, where] = x * factor[:, None]
        quantile = float(stats.norm.isf(alpha / 2) if self.df is None else stats.t.isf(alpha / 2, self.df))
        linear_se = _standard_errors(self.rows.X[0], self.cov[self.slices[0], self.slices[0]])
        se = _standard_errors(gradient, self.cov)
        if any(np.any(slope != 0) for slope in slopes[1:]):
            ends = (mean - quantile * se, mean + quantile * se)
        else:
            moved = (eta[0] - quantile * linear_se, eta[0] + quantile * linear_se)
            ends = tuple(fitted_mean(self.family, (e, *eta[1:])) for e in moved)
        columns: dict[str, Any] = {
            "mean": mean,
            "mean_se": se,
            "mean_ci_lower": np.minimum(*ends),
            "mean_ci_upper": np.maximum(*ends),
            "linear": eta[0],
            "linear_se": linear_se,
        }
        return pd.DataFrame({name: self.rows.place(values) for name, values in columns.items()})


def _standard_errors(gradient: Array, cov: Array) -> Array:
    return np.sqrt(np.einsum("ij,jk,ik->i", gradient, cov, gradient))
