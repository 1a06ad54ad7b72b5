"""Covariances of the estimates: functions of the information and the score rows, one per name."""

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from mlekit.families.base import GenericLikelihood
from mlekit.links import Array
from mlekit.messages import warn
from mlekit.optimize.kinks import rows_on_the_line
from mlekit.resampling import bootstrap, jackknife
from mlekit.sandwich import Point, codes_of, groupings, newey_west, of_clusters, of_rows, root_of, squared

# Variances of less than this share of those of the information are made of rounding.
_ROUNDED = 1e-24


class Covariance(NamedTuple):
    """A covariance in the coordinates of a point.

    Attributes
    ----------
    cov : (k, k) array
    text : str
        What it is, for the summary.
    df : float or None
        Degrees of freedom of tests with Student's t, where they are not those of the residuals.
    """

    cov: Array
    text: str
    df: float | None = None


def nonrobust(point: Point) -> Covariance:
    """Inverse of the observed information, minus the Hessian of the log-likelihood.

    Of the expected one where the log-density has kinks, as a Laplace's: its Hessian is zero beside them.
    """
    if point.working.family.quantile_level is not None:
        return eim(point)._replace(text="expected information (the density has a kink, and no observed one)")
    return Covariance(invert(point.information("observed")), "observed information")


def eim(point: Point) -> Covariance:
    """Inverse of the expected information, as R's ``glm`` and statsmodels' ``GLM`` report."""
    return Covariance(invert(point.information("expected")), "expected information")


def opg(point: Point) -> Covariance:
    """Inverse of the outer product of the gradients (BHHH)."""
    scores, weight = point.scores(), point.working.block.weight
    if point.working.family.quantile_level is not None:
        # A row on the line has no slope there: 0, whatever rounding says.
        on_the_line, first = rows_on_the_line(point.working, point.gamma)
        scores[on_the_line, first] = 0.0
    return Covariance(invert(squared(scores, weight)), "outer product of gradients")


# ------------------------------------------------------------------------------------ sandwiches


def _rows(name: str, power: float = 0.0, corrected: bool = False) -> Callable[..., Covariance]:
    def sandwich(point: Point, information: str = "observed") -> Covariance:
        root = _root(point, name, information)
        factor, text = 1.0, f"sandwich, {name}{_of(information)}"
        if corrected:
            factor = point.nobs / point.df_resid if point.df_resid > 0 else np.nan
            text += f", times n / (n - p) = {factor:.6g}"
        if root is None:
            return Covariance(_unknown(point), text)
        scores = of_rows(point, root, power) if power else point.scores() @ root
        return Covariance(factor * root @ squared(scores, point.working.block.weight) @ root.T, text)

    return sandwich


def _clusters(name: str, factor: Callable[[float, float, float], float], formula: str = "", power: float = 0.0) -> Any:
    def sandwich(point: Point, groups: Any, information: str = "observed") -> Covariance:
        root = _root(point, name, information)
        what, codings = _groups(point, groups)
        texts, cov, least = [], _unknown(point), np.inf
        total: Any = 0.0
        for sign, codes in codings:
            count = int(codes.max()) + 1
            times = factor(count, point.nobs, point.df_resid)
            if sign > 0:
                least = min(least, count)
                texts.append(f"{count} clusters" + (f", times {formula} = {times:.6g}" if formula else ""))
            if root is not None:
                scores = of_clusters(point, codes, root, power)
                total = total + sign * times * scores.T @ scores
        if root is not None:
            cov = root @ total @ root.T
            if (np.diag(cov) < 0).any():
                warn(
                    "two-way clusters left some variance negative: its standard error is NaN. One way has one",
                    UserWarning,
                )
        few = "; fewer clusters than coefficients, so that joint tests of all of them have no meaning"
        text = f"sandwich, {name}{_of(information)}, by {what}: {' and '.join(texts)}"
        return Covariance(cov, text + (few if least <= point.gamma.size else ""), least - 1.0)

    return sandwich


def hac(point: Point, lags: int | None = None, information: str = "observed") -> Covariance:
    """Sandwich of scores that are correlated with those of their neighbours in the data (Newey and West 1987)."""
    if point.working.block.weight is not None:
        raise ValueError("cov_type='hac' needs one row per point of time: repeat the rows instead of weighting them")
    n = len(point.labels)
    if lags is None:
        lags = min(int(4 * (n / 100) ** (2 / 9)), n - 1)
    if isinstance(lags, bool) or not (isinstance(lags, int | np.integer) and 0 <= lags < n):
        raise ValueError(f"lags must be a whole number from 0 to {n - 1}, not {lags!r}")
    root, text = _root(point, "hac", information), f"sandwich, Newey-West{_of(information)}, {lags} lags"
    if root is None:
        return Covariance(_unknown(point), text)
    return Covariance(root @ newey_west(point.scores() @ root, int(lags)) @ root.T, text)


# ------------------------------------------------------------------------------------ fits of other rows


def bootstrapped(
    point: Point, n: int = 1000, seed: Any = None, groups: Any = None, progress: bool = False
) -> Covariance:
    """Covariance of the estimates from resampled rows, or clusters (Efron 1979)."""
    made = bootstrap(point.results, n, seed, groups, progress)
    return Covariance(_inside(point, made.moves), f"{made!r}".strip("<>"))


def jackknifed(point: Point, groups: Any = None, progress: bool = False) -> Covariance:
    """Covariance by leaving out each row, or cluster, in turn (Tukey 1958)."""
    moves, text = jackknife(point.results, groups, progress)
    return Covariance(_inside(point, moves), text)


def _inside(point: Point, moves: Array) -> Array:
    """Covariance from moves of the coefficients, ``(m, p)``, in the coordinates of the fit."""
    if point.results.active_bounds:
        raise ValueError(
            "resampled estimates leave the bound that this fit is on, and then have no covariance about it: "
            "look at res.bootstrap().draws"
        )
    _, matrix = point.results._coordinates()
    units = np.abs(matrix).max(axis=1, initial=0.0)
    units[units == 0] = 1.0
    inside = (moves / units) @ np.linalg.pinv(matrix / units[:, None]).T
    return inside.T @ inside


def _root(point: Point, name: str, information: str) -> Array | None:
    family = point.working.family
    if family.quantile_level is not None:
        raise ValueError(
            f"cov_type={name!r} needs the curvature of the likelihood, and that of {family!r} has kinks in its place: "
            "the density of the errors at zero would have to be estimated. Use 'nonrobust', which takes the family's "
            "own, or a bootstrap"
        )
    return root_of(point.information(information))


def _of(information: str) -> str:
    return "" if information == "observed" else " (expected information)"


def _unknown(point: Point) -> Array:
    return np.full((point.gamma.size,) * 2, np.nan)


def _groups(point: Point, groups: Any) -> tuple[str, list[tuple[int, Array]]]:
    """What the clusters are, and their codes: of one grouping, or of two and, with a minus, of both at once."""
    coded = [codes_of(point.column, point.labels, way) for way in groupings(groups)]
    names = " and ".join(name for name, _ in coded)
    if len(coded) == 1:
        return names, [(1, coded[0][1])]
    (_, first), (_, second) = coded
    both = pd.factorize(first * (int(second.max()) + 1) + second)[0]
    return names, [(1, first), (1, second), (-1, both)]


def invert(information: Array) -> Array:
    """Inverse of a symmetric information matrix; NaN where it is singular."""
    if not information.size:
        return information
    root = root_of(information)
    return np.full_like(information, np.nan) if root is None else root @ root.T


#: Every covariance by its name. "cluster" has the factor of statsmodels and of Stata's regress, CR1 that of R's vcovCL
#: for a glm and of Stata's other models.
COVARIANCES: dict[str, Callable[..., Covariance]] = {
    "nonrobust": nonrobust,
    "eim": eim,
    "opg": opg,
    "HC0": _rows("HC0"),
    "HC1": _rows("HC1", corrected=True),
    "HC2": _rows("HC2", power=0.5),
    "HC3": _rows("HC3", power=1.0),
    "cluster": _clusters(
        "cluster", lambda g, n, df: g / (g - 1) * (n - 1) / df if df > 0 else np.nan, "G / (G - 1) (n - 1) / (n - p)"
    ),
    "CR0": _clusters("CR0", lambda g, n, df: 1.0),
    "CR1": _clusters("CR1", lambda g, n, df: g / (g - 1), "G / (G - 1)"),
    "CR2": _clusters("CR2", lambda g, n, df: 1.0, power=0.5),
    "CR3": _clusters("CR3", lambda g, n, df: 1.0, power=1.0),
    "hac": hac,
    "bootstrap": bootstrapped,
    "jackknife": jackknifed,
}


def covariance(name: str, point: Point, **options: Any) -> Covariance:
    """Covariance of a name at a point.

    Raises
    ------
    TypeError
        If it does not take an option, or needs one.
    """
    function = COVARIANCES[name]
    known = {key: p for key, p in inspect.signature(function).parameters.items() if key != "point"}
    unknown = [key for key in options if key not in known]
    if unknown:
        takes = ", ".join(f"{key}=" for key in known) or "no options"
        raise TypeError(f"cov_type={name!r} takes {takes}, and not {', '.join(f'{key}=' for key in unknown)}")
    lacking = [key for key, p in known.items() if p.default is p.empty and key not in options]
    if lacking:
        raise TypeError(
            f"cov_type={name!r} needs {', '.join(lacking)}: fit without it, and then "
            f"with_cov({name!r}, {', '.join(f'{key}=...' for key in lacking)})"
        )
    return function(point, **options)


def vanishing(cov: Array, hessian: Array) -> bool:
    """Whether a covariance is zero to within rounding, beside the inverse of the information, as of zero scores.

    Scores of 1e-16 each would make standard errors of 1e-16 out of nothing but rounding.
    """
    if not cov.size or not np.isfinite(cov).all() or not (np.diag(hessian) < 0).all():
        return False
    share = np.einsum("ij,ji->i", cov, -hessian)
    return bool(np.abs(share).max() <= _ROUNDED)


def unbiased_scale(family: GenericLikelihood) -> bool:
    """Whether the scale is the root of a mean square, of which ordinary least squares has an unbiased version."""
    found = family.scale_mle(np.array([0.0, 2.0]), np.zeros(2), np.ones(2))
    return found is not None and bool(np.isclose(found, np.sqrt(2)))


def cov_name(name: str) -> str:
    """Return the name of a covariance as the registry spells it.

    Raises
    ------
    ValueError
        If there is no such covariance; the message lists the names.
    """
    for known in COVARIANCES:
        if isinstance(name, str) and name.lower() == known.lower():
            return known
    raise ValueError(f"unknown cov_type {name!r}: the covariances are {', '.join(COVARIANCES)}")
