"""Residuals of a fit: functions of the responses and the fitted linear predictors."""

import numpy as np

from mlekit.families.base import GenericLikelihood
from mlekit.families.categorical import Categorical
from mlekit.families.censored import Censored
from mlekit.families.numeric import mean_of
from mlekit.links import Array


class NotGiven(AttributeError):
    """The family does not give what a statistic needs."""


def thetas(family: GenericLikelihood, eta: tuple[Array, ...]) -> tuple[Array, ...]:
    """Distribution parameters at the given linear predictors."""
    with np.errstate(all="ignore"):
        return tuple(link.inverse(e) for link, e in zip(family.links.values(), eta, strict=True))


def fitted_mean(family: GenericLikelihood, eta: tuple[Array, ...]) -> Array:
    """Mean of the response at the given linear predictors; by integrating the density if the family gives none.

    Raises
    ------
    NotGiven
        If the family defines no mean, and the integral does not converge.
    """
    _refuse_levels(family)
    with np.errstate(all="ignore"):
        mean = mean_of(family, thetas(family, eta))
    if mean is None:
        raise NotGiven(
            f"{type(family).__name__} gives no mean, and none is found by integrating its density: define "
            f"mean(self, {', '.join(family.params)}) in the family, or "
            f"predict one of its parameters, as in predict(what={next(iter(family.params))!r})"
        )
    return mean


def _refuse_levels(family: GenericLikelihood) -> None:
    if isinstance(family, Categorical):
        raise NotGiven(
            f"{type(family).__name__} is of levels, which have no mean and no residuals: "
            "predict(what='probabilities') has the probability of each"
        )


def _refuse_censored(family: GenericLikelihood) -> None:
    if isinstance(family, Censored):
        raise NotGiven(
            "a censored response has no residuals: of what is only known to lie in a range no mean can be subtracted. "
            "predict() has the means of the uncensored variable, model.family.logsf its survival"
        )


def response_residual(family: GenericLikelihood, y: Array, eta: tuple[Array, ...]) -> Array:
    """What was observed minus its fitted mean."""
    _refuse_censored(family)
    residual: Array = family.observed(y) - fitted_mean(family, eta)
    return residual


def pearson(family: GenericLikelihood, y: Array, eta: tuple[Array, ...]) -> Array:
    """Response residuals in units of the fitted standard deviation (of the mean, for the Normal: see Notes).

    Notes
    -----
    R and statsmodels leave the Normal's Pearson residuals in the units of the response. Here too: the scale is what
    its own parameter estimates.
    """
    name = type(family).__name__
    _refuse_levels(family)
    _refuse_censored(family)
    with np.errstate(all="ignore"):
        # Not by integration: a summary asks for these of all rows.
        if family.mean(*thetas(family, eta)) is None:
            raise NotGiven(f"{name} gives no mean, which Pearson's residuals are about: define mean(...) in the family")
    residual = response_residual(family, y, eta)
    if family.least_squares or family.scale_mle(residual, residual, np.ones_like(residual)) is not None:
        return residual
    with np.errstate(all="ignore"):
        variance = family.variance(*thetas(family, eta))
        if variance is None:
            raise NotGiven(f"{name} gives no variance: define variance(...) in the family")
        repeats = family.repeats(y)
        variance = variance if repeats is None else variance / repeats
        scaled = residual / np.sqrt(np.where(np.isfinite(variance), variance, np.nan))
        return np.where(residual == 0, 0.0, scaled)


def unit_deviance(family: GenericLikelihood, y: Array, eta: tuple[Array, ...]) -> Array:
    """Unit deviance of each row.

    Raises
    ------
    NotGiven
        If the family has no deviance.
    """
    with np.errstate(all="ignore"):
        deviance = family.linear_deviance(y, *eta)
    if deviance is None:
        raise NotGiven(f"{type(family).__name__} has no deviance: it needs a saturated model; use llf, AIC or BIC")
    return deviance


def deviance_residuals(family: GenericLikelihood, y: Array, eta: tuple[Array, ...]) -> Array:
    """Signed roots of the unit deviances."""
    sign = np.sign(response_residual(family, y, eta))
    return sign * np.sqrt(np.maximum(unit_deviance(family, y, eta), 0.0))
