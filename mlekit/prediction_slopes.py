"""What is predicted of each row, with its first and second derivatives in the linear predictors."""

from collections.abc import Callable
from typing import Any

import numpy as np

from mlekit import jets, predictive
from mlekit.diagnostics import fitted_mean, thetas
from mlekit.differences import central_differences
from mlekit.domains import blanked, outside
from mlekit.families.base import GenericLikelihood
from mlekit.families.categorical import Categorical
from mlekit.families.numeric import mean_of
from mlekit.jets import DerivativeError, Rows
from mlekit.links import Array

#: What a number or a level goes with: ``("cdf", 3)``.
_OF_A_NUMBER = ", ".join(f"({name!r}, number)" for name in predictive.FUNCTIONS)


def prediction_rows(family: GenericLikelihood, eta: tuple[Array, ...], what: Any) -> dict[Any, Rows]:
    """Value of a prediction and its derivatives in the linear predictors; of levels, for each level.

    Derivatives are exact where jets follow the family's functions, and good to about 1e-10 and 1e-8 where not.

    Parameters
    ----------
    family : GenericLikelihood
    eta : tuple of (n,) arrays
    what : str or tuple
        ``"mean"``, ``"linear"``, a parameter, ``"probabilities"``, or a pair: ``("probabilities", level)``, ``("pmf",
        2)``, ``("quantile", 0.9)``. "mean" of levels is their probabilities.

    Returns
    -------
    dict
        One entry, under None, or one for each level.

    Raises
    ------
    ValueError
        If there is no such prediction, or it has no derivative, as quantiles of counts.

    Examples
    --------
    >>> from mlekit.families import Poisson
    >>> rows = prediction_rows(Poisson(), (np.zeros(1),), "mean")[None]
    >>> rows.value.tolist(), rows.grad.tolist(), rows.hess.tolist()
    ([1.0], [[1.0]], [[[1.0]]])
    """
    name, at = what if isinstance(what, tuple) and len(what) == 2 else (what, None)
    if isinstance(family, Categorical) and (name in ("mean", "probabilities")):
        return _probabilities(family, eta, at)
    if not isinstance(name, str) or (at is not None) != (name in predictive.FUNCTIONS and name not in family.params):
        raise ValueError(f"cannot take effects on {what!r}: what is {_known(family)}")
    if name == "linear":
        return {None: jets.as_rows(jets.variables(*eta)[0], eta[0].shape, len(eta), 2)}
    eta = blanked(eta, outside(family, eta, name))
    if name == "mean":
        fitted_mean(family, eta)  # says in words that there is none
        return {None: _through_links(family, eta, lambda _, *theta: mean_of(family, theta), family.mean)}
    if name in family.params:
        i = list(family.params).index(name)
        return {None: _through_links(family, eta, lambda _, *theta: theta[i] * 1.0, None)}
    if at is not None:
        return {None: _of_distribution(family, eta, name, at)}
    raise ValueError(f"cannot take effects on {what!r}: what is {_known(family)}")


def _known(family: GenericLikelihood) -> str:
    if isinstance(family, Categorical):
        return f"probabilities, ('probabilities', level), linear, or one of {', '.join(family.params)}"
    return f"mean, linear, {', '.join(family.params)}, or a pair: {_OF_A_NUMBER}"


def _probabilities(family: Categorical, eta: tuple[Array, ...], level: Any) -> dict[Any, Rows]:
    """Probability of each level, or of one."""
    if level is not None and level not in family.levels:
        raise ValueError(f"{level!r} is no level of the response: those are {', '.join(map(repr, family.levels))}")
    found = {}
    for code, name in enumerate(family.levels):
        if level is None or name == level:
            found[name] = _exponential(family.rows(np.full(eta[0].size, float(code)), *eta))
    return found


def _exponential(rows: Rows) -> Rows:
    """Rows of ``exp(value)``; where that is 0, so are the derivatives."""
    with np.errstate(all="ignore"):
        p = np.exp(rows.value)
        grad = np.where(p > 0, p * rows.grad, 0.0 * p)
        hess = np.where(p > 0, p * (rows.hess + rows.grad * rows.grad[:, None]), 0.0 * p)
    return Rows(p, grad, hess)


def _of_distribution(family: GenericLikelihood, eta: tuple[Array, ...], name: str, at: Any) -> Rows:
    """Rows of a quantile or a probability."""
    value = predictive.distribution(family, eta, name, *((at, None) if name == "quantile" else (None, at)))
    if np.ndim(value) != 1:
        raise ValueError(f"what=({name!r}, {at!r}) must have one number: ask for each in turn")
    variable = predictive.variable_of(family)
    if name in ("pmf", "pdf"):
        y = np.full(value.shape, float(at))
        if not variable.in_support(y).all():
            return jets.as_rows(np.zeros(value.shape), value.shape, len(eta), 2)
        rows = variable.rows(y, *thetas(family, eta))
        return _exponential(_chained(family, eta, rows))
    if name == "quantile" and variable.discrete:
        raise ValueError(
            "quantiles of counts jump from one whole number to the next, so they have no derivatives: "
            "take effects on the mean, or on ('cdf', number)"
        )
    number = np.full(value.shape, float(at))
    return _through_links(family, eta, lambda _, *theta: predictive.FUNCTIONS[name](variable, number, *theta), None)


def _through_links(
    family: GenericLikelihood, eta: tuple[Array, ...], function: Callable[..., Any], given: Callable[..., Any] | None
) -> Rows:
    """Rows in the linear predictors of a function of the parameters; ``given`` says by None that it is an integral."""
    theta, domains = thetas(family, eta), tuple(family.domains().values())
    with np.errstate(all="ignore"):
        exact = family.derivatives != "numeric" and (given is None or given(*theta) is not None)
        rows = None
        if exact:
            try:
                rows = jets.derivatives(function, theta[0], *theta)
            except (DerivativeError, TypeError, AttributeError):
                rows = None  # what jets cannot follow is left to differences
        if rows is None:
            rows = central_differences(function, theta[0], *theta, domains=domains)
        return _chained(family, eta, rows)


def _chained(family: GenericLikelihood, eta: tuple[Array, ...], rows: Rows) -> Rows:
    """Rows in the linear predictors from rows in the parameters."""
    with np.errstate(all="ignore"):
        links = zip(family.links.values(), eta, jets.variables(*eta), strict=True)
        theta = []
        for link, e, jet in links:
            first, second = link.slopes(e)[:2]
            theta.append(jets.composed(Rows(link.inverse(e), first[None], second[None, None]), jet))
        return jets.as_rows(jets.composed(rows, *theta), eta[0].shape, len(eta), 2)
