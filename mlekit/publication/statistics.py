"""What a table says of a whole fit: rows, likelihood, criteria, family."""

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from mlekit.diagnostics import NotGiven
from mlekit.families import Normal
from mlekit.publication.columns import Column, given_number
from mlekit.publication.figures import written

if TYPE_CHECKING:
    from mlekit.results import Results


def _nobs(column: Column) -> str:
    return "" if np.isnan(column.nobs) else f"{column.nobs:.12g}"


def _llf(column: Column) -> str:
    return _criterion(column, "llf")


def _aic(column: Column) -> str:
    return _criterion(column, "aic")


def _bic(column: Column) -> str:
    # statsmodels' GLM has another one, of the deviance, under the plain name.
    return _criterion(column, "bic_llf" if hasattr(type(_inner(column)), "bic_llf") else "bic")


def _criterion(column: Column, name: str) -> str:
    value = given_number(column.fit, name)
    return "" if np.isnan(value) else written(value, 2)


def _inner(column: Column) -> Any:
    return getattr(column.fit, "_results", column.fit)


def _rsquared(column: Column) -> str:
    results = _inner(column)
    if not hasattr(results, "verdict"):
        # Without an intercept statsmodels takes the share of the sum of squares.
        return _decimals(given_number(results, "rsquared")) if getattr(results, "k_constant", 0) else ""
    if not _is_least_squares(results):
        return ""
    try:
        return _decimals(1 - results.deviance / results.null_deviance)
    except NotGiven:  # the rows were removed
        return ""


def _is_least_squares(results: "Results") -> bool:
    """Whether a share of the variance is explained: least squares, with an intercept."""
    family, design = results.model.family, results.model.design
    if not isinstance(family, Normal) or family.links["mu"].name != "identity" or not _by_likelihood(results):
        return False
    one_scale = design.columns[1] == ("Intercept",) and not any(offset.param == "sigma" for offset in design.offsets)
    return one_scale and len(design.columns[0]) - results.fewer > results.df_model


def _pseudo(column: Column) -> str:
    results = _inner(column)
    if not hasattr(results, "verdict"):
        return _decimals(given_number(results, "prsquared")) if column.discrete else ""
    if not (column.discrete and results.model.has_null and _by_likelihood(results)):
        return ""
    try:
        return _decimals(results.prsquared)
    except NotGiven:
        return ""


def _by_likelihood(results: "Results") -> bool:
    """Whether the log-likelihood is at its maximum under no penalty, as that of the null model."""
    unpenalised = results.restrictions is None or results.restrictions.penalty is None
    return results.status.comparable and results.estimator == "maximum likelihood" and unpenalised


def _decimals(value: float) -> str:
    return f"{value:.3f}" if np.isfinite(value) else ""


def _family(column: Column) -> str:
    return column.family


def _links(column: Column) -> tuple[str, ...]:
    return column.links


def _cov_type(column: Column) -> str:
    return column.cov_type


#: Rows by the name by which they are asked for: label, and what a column has there.
STATISTICS: dict[str, tuple[str, Callable[[Column], str | tuple[str, ...]]]] = {
    "nobs": ("Observations", _nobs),
    "llf": ("Log-likelihood", _llf),
    "aic": ("AIC", _aic),
    "bic": ("BIC", _bic),
    "rsquared": ("R2", _rsquared),
    "prsquared": ("McFadden's R2", _pseudo),
    "family": ("Family", _family),
    "links": ("Links", _links),
    "cov_type": ("Covariance", _cov_type),
}


def figures_of(name: str, column: Column) -> tuple[str, ...]:
    """The lines of a statistic in a column."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", FutureWarning)  # of statsmodels, about names of its own
        found = STATISTICS[name][1](column)
    return (found,) if isinstance(found, str) else found
