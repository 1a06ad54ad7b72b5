"""How well predicted probabilities tell ones from zeros: the ROC curve and the area under it."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import special

from mlekit.links import Array
from mlekit.outcomes import Outcomes
from mlekit.predict import half_width

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, eq=False)
class Roc:
    """The receiver operating characteristic: what each threshold finds of the ones, and takes of the zeros.

    Attributes
    ----------
    points : DataFrame
        threshold, fpr, tpr: the shares of the zeros and of the ones whose probability is at least the threshold. From
        the highest threshold, infinity, down, one for each different probability.
    auc : float
        Area under the curve: the probability that a one has a higher prediction than a zero, ties counted by halves.
    std_err : float
        Of the area, by DeLong, DeLong and Clarke-Pearson (1988); NaN with fewer than two ones or two zeros, and where
        all pairs are alike (in order, say): the method would then say 0, and knows nothing.
    ones, zeros : float
        How many, by the weights.
    notes : tuple of str
    title : str

    Examples
    --------
    >>> found = Roc.of([0, 0, 1, 1, 1], [0.1, 0.4, 0.35, 0.8, 0.9])
    >>> found.auc, round(found.std_err, 4)
    (0.8333333333333334, 0.2357)
    """

    points: pd.DataFrame = field(repr=False)
    auc: float
    std_err: float
    ones: float
    zeros: float
    notes: tuple[str, ...] = ()
    title: str = ""

    @classmethod
    def of(cls, y: Any, p: Any, weights: Any = None) -> "Roc":
        """Return the curve of outcomes 0 and 1 and of probabilities that are at hand; weights are counts of rows."""
        return cls.made(Outcomes.of(y, p, weights))

    @classmethod
    def made(cls, outcomes: Outcomes) -> "Roc":
        """Return the curve of outcomes."""
        p, group = np.unique(outcomes.p, return_inverse=True)
        ones, zeros = (np.bincount(group, weights=w) for w in (outcomes.ones, outcomes.zeros))
        m, n = float(ones.sum()), float(zeros.sum())
        # Of each probability, the share of the zeros below it and of the ones above it, with half of those equal.
        below = (np.cumsum(zeros) - zeros / 2) / n
        above = (np.cumsum(ones[::-1])[::-1] - ones / 2) / m
        auc = float(ones @ below / m)
        shares = (np.append(0.0, np.cumsum(w[::-1]) / w.sum()) for w in (zeros, ones))
        fpr, tpr = (np.append(share[:-1], 1.0) for share in shares)
        points = pd.DataFrame({"threshold": np.append(np.inf, p[::-1]), "fpr": fpr, "tpr": tpr})
        return cls(points, auc, _delong(auc, (below, ones), (above, zeros)), m, n, outcomes.notes, outcomes.title)

    def conf_int(self, alpha: float = 0.05) -> tuple[float, float]:
        """Ends of the interval of the area at level ``1 - alpha``: that of its log odds, so it stays within 0 and 1.

        NaN where there is no standard error.

        Examples
        --------
        >>> low, high = Roc.of([0, 0, 1, 1, 1], [0.1, 0.4, 0.35, 0.8, 0.9]).conf_int()
        >>> round(low, 3), round(high, 3)
        (0.152, 0.993)
        """
        margin = half_width(alpha, None) * self.std_err
        if not margin > 0:
            return float("nan"), float("nan")
        scaled = margin / (self.auc * (1 - self.auc))
        low, high = special.expit(special.logit(self.auc) + np.array([-scaled, scaled]))
        return float(low), float(high)

    def plot(self, alpha: float = 0.05) -> "Figure":
        """Draw the curve, with the area under it."""
        from mlekit.plots.outcomes import plot_roc

        return plot_roc(self, alpha)

    def __str__(self) -> str:
        low, high = self.conf_int()
        known = f"std err {self.std_err:.4f}, 95 % {low:.4f} to {high:.4f}" if low == low else "no standard error"
        first = f"Area under the ROC curve {self.auc:.4f} ({known}); {self.ones:g} ones, {self.zeros:g} zeros"
        return "\n".join([first, *(f"{note[0].upper()}{note[1:]}" for note in self.notes)])


def _delong(auc: float, *places: tuple[Array, Array]) -> float:
    """Standard error from the variances of the places of ones among the zeros, and of zeros among the ones."""
    variance = 0.0
    for place, weight in places:
        count = weight.sum()
        if not count > 1:
            return float("nan")
        variance += float(weight @ (place - auc) ** 2) / ((count - 1) * count)
    # Rounding may leave 1e-17 of a variance that is 0.
    return float(np.sqrt(variance)) if 0 < auc < 1 and variance > 1e-30 else float("nan")
