"""Predictions on old and new rows, with delta-method standard errors."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import special, stats

from mlekit import jets, level_predictions, predictive
from mlekit.diagnostics import fitted_mean, thetas
from mlekit.differences import central_differences
from mlekit.domains import blanked, outside
from mlekit.families.base import GenericLikelihood
from mlekit.families.categorical import Categorical
from mlekit.families.numeric import mean_of
from mlekit.links import Array
from mlekit.messages import warn
from mlekit.prediction_slopes import prediction_rows
from mlekit.trials import counted

_PREDICTABLE = f"mean, linear, {', '.join(predictive.FUNCTIONS)}, or a parameter of the family"


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

    @property
    def present(self) -> pd.Index:
        """Labels of the rows without missing values, which are those of ``X``."""
        return self.labels if self.missing is None else self.labels[~self.missing]

    def place(self, values: Any) -> Any:
        """Put values back where their rows stood, a Series, or a table of several columns; missing rows get NaN."""
        if isinstance(values, pd.DataFrame):
            return pd.DataFrame({name: self.place(column.to_numpy()) for name, column in values.items()})
        if self.missing is None:
            return pd.Series(values, index=self.labels)
        placed = np.full(self.missing.size, np.nan, dtype=float if values.dtype.kind in "iuf" else object)
        placed[~self.missing] = values
        return pd.Series(placed, index=self.labels)


def predicted(
    family: GenericLikelihood,
    eta: tuple[Array, ...],
    what: str,
    q: Any = None,
    at: Any = None,
    labels: pd.Index | None = None,
) -> Any:
    """What was asked for, at the given linear predictors: an array, or a table of several columns.

    ``q`` and ``at`` are those of :func:`mlekit.predictive.distribution`. What is outside its domain is NaN, and named.

    Raises
    ------
    ValueError
        If ``what`` is not one of mean, linear, quantile, pmf, pdf, cdf, sf, probabilities, level, or a parameter's
        name; if it does not go with ``q`` or ``at``.
    """
    lost = outside(family, eta, what, labels)
    found = _predicted(family, blanked(eta, lost), what, q, at)
    return blanked((found,), lost)[0]


def _predicted(family: GenericLikelihood, eta: tuple[Array, ...], what: str, q: Any, at: Any) -> Any:
    if what in predictive.FUNCTIONS and what not in family.params:
        if isinstance(family, Categorical):
            return level_predictions.distribution(family, eta, what, q, at)
        return predictive.distribution(family, eta, what, q, at)
    if q is not None or at is not None:
        raise ValueError(
            f"what={what!r} takes no {'q' if at is None else 'at'}=: q= goes with what='quantile', at= with "
            f"{', '.join(name for name in predictive.FUNCTIONS if name != 'quantile')}"
        )
    if what == "probabilities":
        return _probabilities(family, eta)
    if what == "level":
        return _level(family, eta)
    if what in family.params:
        return thetas(family, eta)[list(family.params).index(what)]
    if what == "mean":
        return fitted_mean(family, eta)
    if what == "linear":
        return eta[0]
    known = (
        "probabilities, level, pmf, cdf, sf, quantile, linear, or a parameter"
        if isinstance(family, Categorical)
        else _PREDICTABLE
    )
    raise ValueError(f"cannot predict {what!r}: what is {known} ({', '.join(family.params)})")


def _probabilities(family: GenericLikelihood, eta: tuple[Array, ...]) -> pd.DataFrame:
    """Probability of each level, a column per level."""
    if not isinstance(family, Categorical):
        raise ValueError(
            f"{type(family).__name__} has no levels to predict probabilities of: what is {_PREDICTABLE} "
            f"({', '.join(family.params)})"
        )
    with np.errstate(all="ignore"):
        found = family.probabilities(*eta)
    lost = np.isnan(found).any(axis=0)
    if lost.any():
        warn(
            f"{lost.sum()} of {lost.size} rows have no probabilities, only NaN, the first of them number "
            f"{np.flatnonzero(lost)[0]}: the cutpoints cross there, or a linear predictor is not finite. What to do: a "
            "cutpoint with covariates holds where the data are; leave such rows out, or give cutpoints no covariates",
            RuntimeWarning,
        )
    return pd.DataFrame(found.T, columns=list(family.levels))


def _level(family: GenericLikelihood, eta: tuple[Array, ...]) -> Array:
    """Most probable level, as users write it."""
    table = _probabilities(family, eta).to_numpy()
    assert isinstance(family, Categorical)
    found: Array = of_levels(family, table.T, "level")
    return found


def of_levels(family: Categorical, probabilities: Array, what: str) -> Any:
    """What was asked for, at given probabilities of the levels, ``(K, n)``: these as a table, or the likeliest."""
    if what == "probabilities":
        return pd.DataFrame(probabilities.T, columns=list(family.levels))
    known = ~np.isnan(probabilities).any(axis=0)
    likeliest = np.argmax(np.where(known, probabilities, 0.0), axis=0).astype(float)
    return family.written(np.where(known, likeliest, np.nan))


@dataclass(frozen=True)
class Prediction:
    """Predicted means with standard errors.

    The interval of a mean that depends on one parameter alone is that of its linear predictor, mapped to the response,
    so that it never leaves the range of the response. That of a mean of several parameters is by its own standard
    error, or by that of its logarithm where responses cannot be negative.
    """

    family: GenericLikelihood
    rows: Rows
    eta: tuple[Array, ...]
    scaled_cov: tuple[Array, Array]
    slices: tuple[slice, ...]
    df: float | None = None
    unbiased: float | None = None
    trials: Array | None = None
    #: Rows whose prediction has no standard error, as their linear predictors are infinite.
    certain: Array | None = None
    #: Ends of the intervals of their linear predictors, of the i-th parameter, where these fall by a number of errors.
    ends_of_certain: Callable[[int, float], tuple[Array, Array]] | None = None

    def summary_frame(self, alpha: float = 0.05, obs: bool | None = None) -> pd.DataFrame:
        """Table of means with their intervals, intervals of a new observation, and linear predictors.

        The columns are mean, mean_se, mean_ci_lower, mean_ci_upper; obs_ci_lower, obs_ci_upper; linear, linear_se.
        Of levels they are level (the most probable), what holds a new one, and the probability of each level with its
        standard error and interval: ``high``, ``high_se``, ``high_ci_lower``, ``high_ci_upper``.

        Parameters
        ----------
        alpha : float
            One minus the confidence level.
        obs : bool, optional
            Whether to give intervals of a new observation; they take most of the time. Default: yes, but not of a
            Binomial on new rows of which ``trials=`` says nothing.

        Raises
        ------
        ValueError
            If ``obs`` is true and the number of trials is not known.

        Notes
        -----
        The interval of a new observation allows for its own scatter and for the errors of the estimates. With
        ``use_t=True`` and an identity link a Normal has the classical one of least squares, which is exact, as in
        statsmodels' OLS. Otherwise it has the quantiles of the predictive distribution of
        :func:`mlekit.predictive.interval`, of counts at least the level. Of a Binomial the mean is the share of
        successes, and the interval is of their number among ``trials``, a column beside it. Of ordered levels it goes
        from one level to another; of levels without order ``obs_set`` has the fewest that hold a new one at the level.

        Examples
        --------
        >>> import mlekit
        >>> from mlekit.datasets import load_africa
        >>> fit = mlekit.fit("miltcoup ~ parties", load_africa(), "poisson")
        >>> print(fit.get_prediction({"parties": [0, 62]}).summary_frame().round(3).iloc[:, :4])
            mean  mean_se  mean_ci_lower  mean_ci_upper
        0  1.028    0.236          0.655          1.613
        1  4.239    1.650          1.977          9.090
        >>> fit.get_prediction({"parties": [0, 62]}).summary_frame()["obs_ci_upper"].tolist()
        [4.0, 11.0]
        """
        if isinstance(self.family, Categorical):
            return self._of_levels(self.family, self.eta, alpha, obs is not False)
        lost = outside(self.family, self.eta, "mean", self.rows.present)
        eta = blanked(self.eta, lost)
        mean, slopes = mean_and_slopes(self.family, eta)
        links = self.family.links.values()
        gradient = np.zeros((mean.size, self.scaled_cov[1].size))
        for x, where, slope, link, e in zip(self.rows.X, self.slices, slopes, links, eta, strict=True):
            gradient[:, where] = x * (slope * link.slopes(e)[0])[:, None]
        quantile = half_width(alpha, self.df)
        linear_se = self._linear_se(0)
        se = self._standard_errors(gradient, slice(None))
        moving = [i for i, slope in enumerate(slopes) if np.any(slope != 0)]
        if len(moving) == 1:
            ends = self._mapped_ends(eta, moving[0], quantile)
        else:
            ends = _ends_of_mean(self.family, mean, quantile * se)
        columns: dict[str, Any] = {
            "mean": mean,
            "mean_se": se,
            "mean_ci_lower": np.minimum(*ends),
            "mean_ci_upper": np.maximum(*ends),
        }
        if obs or (obs is None and (predictive.has_one_number(self.family) or self.trials is not None)):
            columns |= {} if self.trials is None else {"trials": self.trials}
            columns["obs_ci_lower"], columns["obs_ci_upper"] = self._new_response(eta, alpha)
        columns = dict(zip(columns, blanked([*columns.values()], lost), strict=True))
        columns |= {"linear": self.eta[0], "linear_se": linear_se}
        return pd.DataFrame({name: self.rows.place(values) for name, values in columns.items()})

    def _new_response(self, eta: tuple[Array, ...], alpha: float) -> tuple[Array, Array]:
        """Interval of a new observation."""
        if self.unbiased is None:
            family, known = counted(self.family, eta, self.trials)
            root = self._root()
            fixed = np.zeros((len(root), len(known) - len(eta), root.shape[2]))
            spread = predictive.Spread(np.column_stack(known), np.concatenate([root, fixed], axis=1))
            return predictive.interval(family, spread, alpha)
        sigma = self.unbiased * thetas(self.family, eta)[1]
        margin = half_width(alpha, self.df) * np.hypot(sigma, self._linear_se(0))
        return eta[0] - margin, eta[0] + margin

    def _of_levels(self, family: Categorical, eta: tuple[Array, ...], alpha: float, obs: bool) -> pd.DataFrame:
        """Table of levels: the likeliest, those that hold a new one, and the probability of each."""
        columns: dict[str, Array] = {"level": _level(family, eta)}
        if obs:
            where = np.column_stack(eta), self._root(), alpha
            if family.is_ordered:
                columns["obs_ci_lower"], columns["obs_ci_upper"] = level_predictions.level_range(family, *where)
            else:
                columns["obs_set"] = level_predictions.level_sets(family, *where)
        quantile = half_width(alpha, self.df)
        for level, rows in prediction_rows(family, eta, "probabilities").items():
            gradient = np.zeros((eta[0].size, self.scaled_cov[1].size))
            for x, where_, slope in zip(self.rows.X, self.slices, rows.grad, strict=True):
                gradient[:, where_] = x * slope[:, None]
            se = self._standard_errors(gradient, slice(None))
            with np.errstate(all="ignore"):
                # On the log odds, so that it stays within 0 and 1.
                margin = quantile * se / (rows.value * (1 - rows.value))
                ends = (special.expit(special.logit(rows.value) + side * margin) for side in (-1, 1))
            names = [f"{level}{end}" for end in ("", "_se", "_ci_lower", "_ci_upper")]
            if set(names) & set(columns):
                raise ValueError(f"the columns of level {level!r} have names that are taken: rename the level")
            columns |= dict(zip(names, (rows.value, se, *ends), strict=True))
        return pd.DataFrame({name: self.rows.place(values) for name, values in columns.items()})

    def _root(self) -> Array:
        """Root of the covariance of each row's linear predictors, ``(n, k, k)``."""
        cov, units = self.scaled_cov
        sizes, scaled = [], []
        with np.errstate(all="ignore"):
            for i, (x, where) in enumerate(zip(self.rows.X, self.slices, strict=True)):
                sizes.append(self._linear_se(i))
                scaled.append(x * units[where] / np.where(sizes[i] > 0, sizes[i], 1.0)[:, None])
            # As a correlation, so that no variance overflows.
            pairs = list(zip(scaled, self.slices, strict=True))
            products = [[((a @ cov[i, j]) * b).sum(axis=1) for b, j in pairs] for a, i in pairs]
        correlation = np.moveaxis(np.array(products), 2, 0)
        known = np.isfinite(correlation).all(axis=(1, 2))
        root = np.full_like(correlation, np.nan)
        values, vectors = np.linalg.eigh(correlation[known])
        root[known] = vectors * np.sqrt(np.maximum(values, 0.0))[:, None]
        return root * np.stack(sizes, axis=1)[:, :, None]

    def linear_interval(self, i: int, alpha: float) -> tuple[Array, Array, Array]:
        """Linear predictor of the i-th parameter, and the ends of its interval."""
        eta, margin = self.eta[i], half_width(alpha, self.df) * self._linear_se(i)
        return eta, eta - margin, eta + margin

    def _linear_se(self, i: int) -> Array:
        return self._standard_errors(self.rows.X[i], self.slices[i])

    def _standard_errors(self, gradient: Array, where: slice) -> Array:
        found = standard_errors(gradient, self.scaled_cov, where)
        return found if self.certain is None else np.where(self.certain, np.nan, found)

    def _mapped_ends(self, eta: tuple[Array, ...], i: int, quantile: float) -> tuple[Array, Array]:
        """Means at the ends of the interval of one linear predictor, as far as its domain reaches."""
        margin = quantile * self._linear_se(i)
        low, high = self.family.eta_limits()[i]
        ends: Any = (eta[i] - margin, eta[i] + margin)
        if self.certain is not None and self.ends_of_certain is not None:
            ends = np.where(self.certain, self.ends_of_certain(i, quantile), ends)
        clipped = (np.clip(end, low, high) for end in ends)
        first, second = (fitted_mean(self.family, (*eta[:i], e, *eta[i + 1 :])) for e in clipped)
        return first, second


def _ends_of_mean(family: GenericLikelihood, mean: Array, margin: Array) -> tuple[Array, Array]:
    """Ends of the interval of a mean of several parameters; on the log scale where responses cannot be negative."""
    below = np.array([-1.0, -0.5])
    if not predictive.has_one_number(family) or predictive.variable_of(family).in_support(below).any():
        return mean - margin, mean + margin
    with np.errstate(all="ignore"):
        factor = np.exp(margin / mean)
        return mean / factor, mean * factor


def mean_and_slopes(family: GenericLikelihood, eta: tuple[Array, ...]) -> tuple[Array, Array]:
    """Mean of each row, and its derivatives in the parameters."""
    theta, mean = thetas(family, eta), fitted_mean(family, eta)

    def function(_: Array, *values: Any) -> Any:
        return mean_of(family, values)

    with np.errstate(all="ignore"):
        if family.derivatives == "numeric" or family.mean(*theta) is None:
            domains = tuple(family.domains().values())
            return mean, central_differences(function, mean, *theta, order=1, domains=domains).grad
        return mean, jets.derivatives(function, mean, *theta, order=1).grad


def standard_errors(gradient: Array, scaled_cov: tuple[Array, Array], where: slice = slice(None)) -> Array:
    """Standard error of each row of ``gradient @ beta[where]``, without a square that overflows.

    ``scaled_cov`` is a covariance and the units that it is in.

    Examples
    --------
    >>> standard_errors(np.array([[2.0, 0.0], [1.0, 1.0]]), (np.eye(2), np.array([1e300, 1e300]))).tolist()
    [2e+300, 1.414213562373095...e+300]
    """
    cov, units = scaled_cov
    with np.errstate(all="ignore"):
        moved = gradient * units[where]
        size = np.abs(moved).max(axis=1, initial=0.0)[:, None]
        moved = moved / np.where(size > 0, size, 1.0)
        return size[:, 0] * np.sqrt(np.maximum(((moved @ cov[where, where]) * moved).sum(axis=1), 0.0))


def half_width(alpha: float, df: float | None) -> float:
    """Half the width of an interval at level ``1 - alpha``, in standard errors; ``df`` is None for the normal.

    Examples
    --------
    >>> round(half_width(0.05, None), 2), round(half_width(0.05, 2), 2)
    (1.96, 4.3)
    """
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must be between 0 and 1, not {alpha!r}: 0.05 gives 95 % intervals")
    return float(stats.norm.isf(alpha / 2) if df is None else stats.t.isf(alpha / 2, df))
