"""Tests of what a fit takes for granted: dispersion, and goodness of fit."""

from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from mlekit.diagnostics import NotGiven
from mlekit.families.bernoulli import Bernoulli
from mlekit.families.binomial import Binomial
from mlekit.families.censored import Censored
from mlekit.families.poisson import Poisson
from mlekit.links import Array

if TYPE_CHECKING:
    from mlekit.row_diagnostics import RowDiagnostics

_FORMS = {"NB1": "mu + a mu", "NB2": "mu + a mu**2"}
# What is left of excesses of variance that are all the same is rounding, relative to their size.
_ROUNDING = 1e-10
_SIDES = ("greater", "less", "two-sided")


class DispersionTest(NamedTuple):
    """A test of the variance of a Poisson.

    Attributes
    ----------
    statistic, pvalue : float
        Standard normal if the variance is the mean; NaN where all rows have the same excess.
    a : float
        Estimate in the variance of the alternative, ``form``.
    form, alternative : str
    """

    statistic: float
    pvalue: float
    a: float
    form: str
    alternative: str


def cameron_trivedi(res: "RowDiagnostics", form: str, alternative: str) -> DispersionTest:
    """Test the variance of a Poisson fit; see :meth:`mlekit.row_diagnostics.RowDiagnostics.dispersion_test`."""
    family = res.model.family
    if not isinstance(family, Poisson):
        raise NotGiven(
            f"this tests whether the variance of a Poisson is its mean, and {family!r} is none: `dispersion` has the "
            "ratio of Pearson's chi-squared to its degrees of freedom, goodness_of_fit() tests, and resid_quantile() "
            "are standard normal if the model is right"
        )
    if form not in _FORMS:
        raise ValueError(f"form must be one of {', '.join(map(repr, _FORMS))}, not {form!r}")
    if alternative not in _SIDES:
        raise ValueError(f"alternative must be one of {', '.join(map(repr, _SIDES))}, not {alternative!r}")
    y, mu, weight = res.model.endog, res.fittedvalues, res.model.observations.block.each
    excess = ((y - mu) ** 2 - y) / mu
    x = mu if form == "NB2" else np.ones_like(mu)
    square = weight @ x**2
    a = float(weight @ (x * excess) / square)
    left = weight @ (excess - a * x) ** 2 / (weight.sum() - 1) if weight.sum() > 1 else np.nan
    # Where all rows agree but for rounding, as two or three may, there is nothing to test by.
    scatter = left if left > _ROUNDING**2 * (weight @ excess**2) else np.nan
    z = float(a / np.sqrt(scatter / square))
    tail = {"greater": stats.norm.sf(z), "less": stats.norm.cdf(z), "two-sided": 2 * stats.norm.sf(abs(z))}
    return DispersionTest(z, float(tail[alternative]), a, _FORMS[form], alternative)


def goodness_of_fit(res: "RowDiagnostics", groups: int) -> pd.DataFrame:
    """Tests of fit; see :meth:`mlekit.row_diagnostics.RowDiagnostics.goodness_of_fit`."""
    family = res.model.family
    if isinstance(family, Bernoulli):
        return _table({"Hosmer-Lemeshow": hosmer_lemeshow(res, groups)})
    counts = isinstance(family, Binomial) or (family.discrete and not isinstance(family, Censored))
    if not counts or family.variance(*(np.ones(1) for _ in family.params)) is None:
        raise NotGiven(
            f"{family!r} has no test of fit by Pearson's chi-squared or the deviance, which are for counts: of a "
            "continuous response, or where a scale is estimated, they say nothing. resid_quantile() are standard "
            "normal if the model is right, for any test of normality; plot_diagnostics() shows them"
        )
    found = {"Pearson": (res.pearson_chi2, res.df_resid)}
    with suppress(NotGiven):
        found["deviance"] = res.deviance, res.df_resid
    return _table(found)


def _table(found: dict[str, tuple[float, float]]) -> pd.DataFrame:
    rows = {
        name: (value, df, float(stats.chi2.sf(value, df)) if df > 0 else np.nan) for name, (value, df) in found.items()
    }
    return pd.DataFrame.from_dict(rows, orient="index", columns=["statistic", "df", "pvalue"])


def hosmer_lemeshow(res: "RowDiagnostics", groups: int) -> tuple[float, float]:
    """Statistic and degrees of freedom of the test of Hosmer and Lemeshow (1980).

    The groups are those of R's ``ResourceSelection::hoslem.test``: between quantiles of the fitted probabilities, fewer
    if some of these coincide.

    Raises
    ------
    ValueError
        If fewer than three groups are asked for, or are left.
    """
    if isinstance(groups, bool) or not isinstance(groups, int | np.integer) or groups < 3:
        raise ValueError(f"groups must be a whole number, at least 3, not {groups!r}")
    y, p, weight = res.model.endog, res.fittedvalues, res.model.observations.block.each
    edges = np.unique(weighted_quantiles(p, weight, np.linspace(0, 1, groups + 1)))
    group = np.clip(np.searchsorted(edges, p, side="left"), 1, None) - 1
    n, ones, expected = (np.bincount(group, weights=v * weight) for v in (np.ones_like(p), y, p))
    used = n > 0
    if used.sum() < 3:
        raise ValueError(
            f"the fitted probabilities fall into {used.sum()} groups, as there are few different ones: the test needs "
            "3, so compare observed and fitted shares by hand"
        )
    n, ones, expected = n[used], ones[used], expected[used]
    with np.errstate(all="ignore"):
        part = (ones - expected) ** 2 * n / (expected * (n - expected))
    return float(np.where(ones == expected, 0.0, part).sum()), float(n.size - 2)


def weighted_quantiles(values: Array, weight: Array, shares: Array) -> Array:
    """Quantiles as R's and NumPy's default, of values that weights repeat."""
    order = np.argsort(values, kind="stable")
    ends = np.cumsum(weight[order])
    place = shares * (ends[-1] - 1)
    low, high = (
        values[order][np.searchsorted(ends, at, side="right").clip(max=ends.size - 1)]
        for at in (np.floor(place), np.ceil(place))
    )
    return np.asarray(low + (place - np.floor(place)) * (high - low))
