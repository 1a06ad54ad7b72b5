"""Whether outcomes are as frequent as predicted: observed shares by predicted probability, and what sums them up."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import optimize, special

from mlekit.families.binomial import Binomial
from mlekit.goodness import weighted_quantiles
from mlekit.likelihood import Likelihood
from mlekit.links import Array
from mlekit.optimize import maximize
from mlekit.optimize.verdict import judge
from mlekit.outcomes import Outcomes
from mlekit.predict import half_width
from mlekit.sources import Block

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_STRATEGIES = ("quantile", "uniform")
_UNKNOWN = (float("nan"), float("nan"))


@dataclass(frozen=True, eq=False)
class Calibration:
    """Observed shares of ones beside predicted probabilities.

    Attributes
    ----------
    table : DataFrame
        A row for each bin that has any outcomes: from, to, rows (outcomes, by the weights), predicted (mean
        probability), observed (share of ones), and the exact 95 % interval of that share (Clopper and Pearson 1934).
    curve : DataFrame
        predicted, observed: the observed share as a rising function of the probability, by isotonic regression; no bins
        are chosen for it (Dimitriadis, Gneiting and Jordan 2021).
    intercept, intercept_se : float
        Of the log odds, the slope held at 1: 0 if predictions are right on average, above 0 if too low.
    slope, slope_se : float
        Slope of the log odds of outcomes in the predicted ones: below 1 if predictions are too extreme, as those of an
        overfitted model are. NaN where there is no maximum (ones and zeros separated, a prediction of 0 or 1).
    brier : float
        Mean squared distance of outcome and probability.
    ece : float
        Expected calibration error: the mean distance of observed and predicted share over the bins, by their rows.
    notes : tuple of str
    title : str

    Examples
    --------
    >>> found = Calibration.of([0, 0, 1, 0, 1, 1], [0.1, 0.2, 0.3, 0.6, 0.7, 0.8], bins=2)
    >>> found.table[["rows", "predicted", "observed"]].round(3).to_dict("list")
    {'rows': [3.0, 3.0], 'predicted': [0.2, 0.7], 'observed': [0.333, 0.667]}
    >>> round(found.brier, 4), round(found.ece, 4), round(found.slope, 3)
    (0.1717, 0.0833, 1.187)
    """

    table: pd.DataFrame = field(repr=False)
    curve: pd.DataFrame = field(repr=False)
    intercept: float
    intercept_se: float
    slope: float
    slope_se: float
    brier: float
    ece: float
    outcomes: Outcomes = field(repr=False)

    @property
    def notes(self) -> tuple[str, ...]:
        """What has to be known to read these."""
        return self.outcomes.notes

    @property
    def title(self) -> str:
        """Family and response."""
        return self.outcomes.title

    @classmethod
    def of(
        cls, y: Any, p: Any, weights: Any = None, bins: int = 10, strategy: str = "quantile", alpha: float = 0.05
    ) -> "Calibration":
        """Return that of outcomes 0 and 1 and of probabilities that are at hand; weights are counts of rows."""
        return cls.made(Outcomes.of(y, p, weights), bins, strategy, alpha)

    @classmethod
    def made(cls, outcomes: Outcomes, bins: int, strategy: str, alpha: float) -> "Calibration":
        """Return that of outcomes; see :meth:`mlekit.assessment.Assessment.calibration`."""
        if isinstance(bins, bool) or not isinstance(bins, int | np.integer) or bins < 1:
            raise ValueError(f"bins must be a whole number, at least 1, not {bins!r}")
        if strategy not in _STRATEGIES:
            raise ValueError(f"strategy must be one of {', '.join(map(repr, _STRATEGIES))}, not {strategy!r}")
        half_width(alpha, None)
        p, ones, zeros = outcomes.p, outcomes.ones, outcomes.zeros
        total = ones + zeros
        table = _binned(outcomes, _edges(p, total, int(bins), strategy), alpha)
        gap = (table["observed"] - table["predicted"]).abs()
        at, group = np.unique(p, return_inverse=True)
        count, share = np.bincount(group, weights=total), np.bincount(group, weights=ones)
        rising = optimize.isotonic_regression(share / count, weights=count).x
        return cls(
            table,
            pd.DataFrame({"predicted": at, "observed": rising}),
            *_recalibrated(outcomes, np.ones((p.size, 1)), outcomes.log_odds),
            *_recalibrated(outcomes, np.column_stack([outcomes.log_odds, np.ones(p.size)]), None),
            float((ones @ (1 - p) ** 2 + zeros @ p**2) / total.sum()),
            float(gap @ table["rows"] / total.sum()),
            outcomes,
        )

    def plot(self) -> "Figure":
        """Draw observed shares against predicted probabilities."""
        from mlekit.plots.outcomes import plot_calibration

        return plot_calibration(self)

    def __str__(self) -> str:
        lines = [
            f"Calibration intercept {self.intercept:.4f} (std err {self.intercept_se:.4f}; 0 if right on average), "
            f"slope {self.slope:.4f} (std err {self.slope_se:.4f}; 1 if right)",
            f"Brier score {self.brier:.4f}, expected calibration error {self.ece:.4f}",
            self.table.to_string(index=False, float_format="{:.4f}".format),
        ]
        return "\n".join([*lines, *(f"{note[0].upper()}{note[1:]}" for note in self.notes)])


def _edges(p: Array, weight: Array, bins: int, strategy: str) -> Array:
    if strategy == "uniform":
        return np.linspace(0, 1, bins + 1)
    inner = weighted_quantiles(p, weight, np.linspace(0, 1, bins + 1))[1:-1]
    return np.array([p.min(), *np.unique(inner), p.max()])


def _binned(outcomes: Outcomes, edges: Array, alpha: float) -> pd.DataFrame:
    """Shares by bins; a bin takes its upper edge, and the first its lower one, as scikit-learn's do."""
    group = np.searchsorted(edges[1:-1], outcomes.p)
    size = edges.size - 1
    ones, zeros = (np.bincount(group, weights=w, minlength=size) for w in (outcomes.ones, outcomes.zeros))
    sums = np.bincount(group, weights=(outcomes.ones + outcomes.zeros) * outcomes.p, minlength=size)
    used = ones + zeros > 0
    ones, zeros, sums = ones[used], zeros[used], sums[used]
    rows = ones + zeros
    lower, upper = exact_interval(ones, zeros, alpha)
    return pd.DataFrame(
        {
            "from": edges[:-1][used],
            "to": edges[1:][used],
            "rows": rows,
            "predicted": sums / rows,
            "observed": ones / rows,
            "lower": lower,
            "upper": upper,
        }
    )


def exact_interval(ones: Array, zeros: Array, alpha: float) -> tuple[Array, Array]:
    """Ends of the interval of a share by Clopper and Pearson (1934), which holds it in at least ``1 - alpha``.

    Examples
    --------
    >>> low, high = exact_interval(np.array([0.0, 7.0]), np.array([10.0, 3.0]), 0.05)
    >>> low.round(4).tolist(), high.round(4).tolist()
    ([0.0, 0.3475], [0.3085, 0.9333])
    """
    with np.errstate(all="ignore"):
        low = special.betaincinv(ones, zeros + 1, alpha / 2)
        high = special.betainccinv(ones + 1, zeros, alpha / 2)
    return np.where(ones > 0, low, 0.0), np.where(zeros > 0, high, 1.0)


def _recalibrated(outcomes: Outcomes, X: Array, offset: Array | None) -> tuple[float, float]:
    """First coefficient of a logistic regression of the outcomes, and its standard error; NaN without a maximum."""
    if not np.isfinite(outcomes.log_odds).all() or np.linalg.matrix_rank(X) < X.shape[1]:
        return _UNKNOWN
    y = np.column_stack([outcomes.ones, outcomes.zeros])
    likelihood = Likelihood(Binomial(), Block(y, (X,), (offset,), None), (slice(0, X.shape[1]),))
    with np.errstate(all="ignore"):
        found = judge(likelihood, optimum := maximize(likelihood, np.zeros(X.shape[1]), "newton"))
    if not found.status.ok:
        return _UNKNOWN
    inverse = np.linalg.inv(-found.evaluation.hessian * likelihood.nobs)
    return float(optimum.gamma[0]), float(np.sqrt(inverse[0, 0]))
