"""The distribution of a new response that is one of levels: probabilities, quantiles, and sets that hold it."""

from typing import Any

import numpy as np
import pandas as pd

from mlekit.families.categorical import Categorical
from mlekit.links import Array

# Numbers that are held at once, and nodes of the rule for one variable.
_CHUNK, _NODES = 2_000_000, 21


def distribution(
    family: Categorical, eta: tuple[Array, ...], what: str, q: Any, at: Any, probabilities: Array | None = None
) -> Any:
    """Probabilities or quantiles of the level of each row, at the given linear predictors.

    Parameters
    ----------
    family : Categorical
    eta : tuple of (n,) arrays
    what : {"pmf", "cdf", "sf", "quantile"}
        ``"cdf"`` is up to and with a level, ``"sf"`` above it.
    q, at : share or level, or a list of them
        Shares for quantiles, levels for the others; of a list, each has a column.
    probabilities : (K, n) array, optional
        Of the levels, where they do not follow from the linear predictors: those may be infinite. NaN is not known.

    Returns
    -------
    (n,) array or DataFrame

    Raises
    ------
    ValueError
        If levels have no order and it is asked for what needs one, or a level is unknown.

    Examples
    --------
    >>> from mlekit.families import OrderedLogit
    >>> family = OrderedLogit().of_levels(["low", "mid", "high"])
    >>> eta = np.zeros(1), -np.ones(1), np.ones(1)
    >>> distribution(family, eta, "cdf", None, "mid").round(4).tolist()
    [0.7311]
    >>> distribution(family, eta, "quantile", 0.5, None).tolist()
    ['mid']
    """
    if what == "pdf":
        raise ValueError(f"levels of {family!r} have no density: ask for what='pmf'")
    if what != "pmf" and not family.is_ordered:
        raise ValueError(
            f"the levels of {type(family).__name__} have no order, so there is no {what}: what='pmf' has the "
            "probability of a level, 'level' the most probable one"
        )
    name, other = ("q", at) if what == "quantile" else ("at", q)
    given = q if what == "quantile" else at
    if other is not None or given is None:
        raise ValueError(f"what={what!r} takes {name}=, {'a share' if name == 'q' else 'a level'} or a list of them")
    several = given if isinstance(given, list | tuple | np.ndarray | pd.Index | pd.Series) else [given]
    found = [_one(family, eta, what, value, probabilities) for value in several]
    return pd.DataFrame(dict(zip(several, found, strict=True))) if several is given else found[0]


def _one(family: Categorical, eta: tuple[Array, ...], what: str, value: Any, probabilities: Array | None) -> Array:
    n = np.size(eta[0])
    if what == "quantile":
        if isinstance(value, str | bool) or not 0 <= value <= 1:
            raise ValueError(f"q are shares of a distribution, from 0 to 1, not {value!r}")
        if probabilities is None:
            return family.written(family.ppf(np.full(n, float(value)), *eta))
        below = np.array([_parted(probabilities, code)[0] for code in range(len(probabilities) - 1)])
        unknown = (np.isnan(below) & ~np.logical_or.accumulate(below >= value)).any(axis=0)
        return family.written(np.where(unknown, np.nan, (below < value).sum(axis=0)))
    codes = [code for code, level in enumerate(family.levels) if level == value]
    if not codes:
        raise ValueError(f"{value!r} is no level of the response: those are {', '.join(map(repr, family.levels))}")
    if probabilities is not None:
        if what == "pmf":
            return np.asarray(probabilities[codes[0]])
        below, above = _parted(probabilities, codes[0])
        return below if what == "cdf" else above
    code = np.full(n, float(codes[0]))
    with np.errstate(all="ignore"):
        if what == "pmf":
            return np.asarray(family.probabilities(*eta)[codes[0]])
        return np.asarray(family.cdf(code, *eta) if what == "cdf" else np.exp(family.logsf(code, *eta)))


def _parted(probabilities: Array, code: int) -> tuple[Array, Array]:
    """Probability up to and with a level, and above it; one that is not known is one minus the other."""
    below, above = probabilities[: code + 1].sum(axis=0), probabilities[code + 1 :].sum(axis=0)
    return np.where(np.isnan(below), 1 - above, below), np.where(np.isnan(above), 1 - below, above)


# ------------------------------------------------------------------------------------ with the error of the estimates


def level_range(family: Categorical, eta: Array, root: Array, alpha: float) -> tuple[Array, Array]:
    """First and last of the levels that hold a new response of each row with probability ``1 - alpha`` at least.

    The quantiles at ``alpha / 2`` and ``1 - alpha / 2`` of the distribution function, averaged over the normal
    distribution of each cutpoint less the location, by Gauss and Hermite.

    Parameters
    ----------
    family : Categorical
        With ordered levels.
    eta : (n, k) array
    root : (n, k, r) array
        As in :class:`mlekit.predictive.Spread`.
    alpha : float
    """
    points, weights = np.polynomial.hermite_e.hermegauss(_NODES)
    weights = weights / weights.sum()
    n, last = len(eta), len(family.levels) - 1
    low, high = np.full((2, n), float(last))
    with np.errstate(all="ignore"):
        for code in reversed(range(last)):
            size = np.sqrt(((root[:, code + 1] - root[:, 0]) ** 2).sum(axis=1))
            at = np.full(n, float(code))
            moved = [(eta[:, 0] + size * z, *eta[:, 1:].T) for z in points]
            below = sum(w * family.cdf(at, *each) for w, each in zip(weights, moved, strict=True))
            above = sum(w * np.exp(family.logsf(at, *each)) for w, each in zip(weights, moved, strict=True))
            low = np.where(below >= alpha / 2, code, low)
            high = np.where(above <= alpha / 2, code, high)
            lost = np.isnan(below)
            low, high = (np.where(lost, np.nan, end) for end in (low, high))
    return family.written(low), family.written(high)


def level_sets(family: Categorical, eta: Array, root: Array, alpha: float) -> Array:
    """Fewest levels that hold a new response of each row with probability ``1 - alpha``: tuples, the likeliest first.

    The probabilities are averaged over the normal distribution of the linear predictors by the rule of degree 3 with
    two nodes for each of its axes; its error is of fourth order in their standard errors.

    Parameters
    ----------
    As for :func:`level_range`.
    """
    n, r = len(root), root.shape[2]
    found = np.full(n, np.nan, dtype=object)
    size = max(1, _CHUNK // (2 * max(r, 1) * len(family.levels)))
    for first in range(0, n, size):
        part = slice(first, first + size)
        p = _averaged(family, eta[part], root[part])
        order = np.argsort(-p, axis=0, kind="stable")
        total = np.cumsum(np.take_along_axis(p, order, axis=0), axis=0)
        # A sum of 1 may round below a level of 1 - 1e-16.
        count = 1 + (total < 1 - alpha - 1e-12).sum(axis=0)
        for i in np.flatnonzero(~np.isnan(total[-1])):
            codes = order[: count[i], i].astype(float)
            found[first + i] = tuple(family.written(codes).tolist())
    return found


def _averaged(family: Categorical, eta: Array, root: Array) -> Array:
    """Probability of each level, ``(K, n)``, averaged over the linear predictors."""
    r = root.shape[2]
    with np.errstate(all="ignore"):
        nodes = [eta + sign * np.sqrt(r) * root[:, :, j] for j in range(r) for sign in (-1, 1)]
        return np.mean([family.probabilities(*node.T) for node in nodes], axis=0)
