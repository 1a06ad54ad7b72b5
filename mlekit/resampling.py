"""Bootstraps and jackknifes: the same fit under other weights of its rows or clusters, many times."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import special
from statsmodels.tools.sm_exceptions import ConvergenceWarning

from mlekit.likelihood import Likelihood, Transformed
from mlekit.links import Array
from mlekit.optimize.base import StartError
from mlekit.products import over_blocks
from mlekit.progress import bar
from mlekit.reweighting import Reweighting
from mlekit.sandwich import codes_of, root_of

if TYPE_CHECKING:
    from mlekit.results import Results
    from mlekit.targets import Target

METHODS = ("bca", "percentile", "basic")
#: Sets of weights: how many, and a function that makes those of the first up to the last, ``(n, m)``.
Weights = tuple[int, Callable[[int, int], Array]]


@dataclass(frozen=True, eq=False)
class Bootstrap:
    """Estimates from resampled rows or clusters; made by ``res.bootstrap()``.

    Attributes
    ----------
    draws : pandas.DataFrame
        The estimates of each resample, a column for each coefficient; a resample without a maximum is left out.
    params : pandas.Series
        The estimates of the fit.
    failed : int
        How many resamples had no maximum, as one that is separated.
    unit : str
        What is resampled.
    influence : (m, p) array
        What each row or cluster adds to the estimates, to first order.
    """

    draws: pd.DataFrame
    params: pd.Series
    failed: int
    unit: str
    influence: Array

    @property
    def bse(self) -> pd.Series:
        """Standard errors: the standard deviation of the draws."""
        return self.draws.std()

    def cov_params(self) -> pd.DataFrame:
        """Covariance of the draws."""
        return self.draws.cov()

    def conf_int(self, alpha: float = 0.05, method: str = "bca") -> pd.DataFrame:
        """Intervals at level ``1 - alpha``.

        Parameters
        ----------
        method : {"bca", "percentile", "basic"}
            ``"percentile"``: quantiles of the draws. ``"bca"``: quantiles that allow for their median not being the
            estimate, and for a standard error that changes with it (Efron 1987, Journal of the American Statistical
            Association 82, 171-185). ``"basic"``: the percentiles reflected about the estimate.

        Raises
        ------
        ValueError
            If the method is unknown, or alpha is no share.
        """
        if method not in METHODS:
            raise ValueError(f"unknown method {method!r}: bootstrap intervals are {', '.join(METHODS)}")
        if not 0 < alpha < 1:
            raise ValueError(f"alpha must be between 0 and 1, not {alpha!r}")
        parts = zip(self.draws.to_numpy().T, self.params, self.influence.T, strict=True)
        ends = [ends_of(draw, estimate, moves, alpha, method) for draw, estimate, moves in parts]
        return pd.DataFrame(ends, self.params.index, [0, 1])

    def __repr__(self) -> str:
        lost = f", {self.failed} without a maximum" if self.failed else ""
        return f"<bootstrap of {self.unit}: {len(self.draws)} resamples{lost}>"


def ends_of(draws: Array, estimate: float, influence: Array, alpha: float, method: str) -> Array:
    """Ends of a bootstrap interval of one number; see :meth:`Bootstrap.conf_int`."""
    shares = np.array([alpha / 2, 1 - alpha / 2])
    if method == "basic":
        return 2 * estimate - np.quantile(draws, shares[::-1])
    if method == "bca":
        below = ((draws < estimate).mean() + (draws <= estimate).mean()) / 2
        bias, centred = special.ndtri(below), influence - influence.mean()
        squares = (centred**2).sum()
        acceleration = (centred**3).sum() / (6 * squares**1.5) if squares > 0 else 0.0
        moved = bias + special.ndtri(shares)
        shares = special.ndtr(bias + moved / (1 - acceleration * moved))
    return np.quantile(draws, shares) if np.isfinite(shares).all() else np.full(2, np.nan)


def intervals(results: "Results", alpha: float, targets: Sequence["Target"], method: str = "bca", **how: Any) -> Array:
    """Intervals of functions of the coefficients, by the bootstrap."""
    made = results.bootstrap(**how)
    draws, params = made.draws.to_numpy(), made.params.to_numpy()
    found = []
    for target in targets:
        value = target.function or target.contrast.__matmul__
        along = np.array([value(draw) for draw in draws])
        ends = ends_of(along, float(value(params)), made.influence @ target.contrast, alpha, method)
        found.append(np.sort(ends if target.scale is None else target.scale(ends)))
    return np.array(found).reshape(-1, 2)


def bootstrap(results: "Results", n: int, seed: Any, groups: Any, progress: bool) -> Bootstrap:
    """Fit ``n`` resamples; see :meth:`mlekit.inference.Inference.bootstrap`."""
    if not results.converged:
        raise ValueError(f"there is no bootstrap of a fit that is not the maximum: {results.reason}")
    if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 2:
        raise ValueError(f"n must be a whole number of resamples, 2 or more, not {n!r}")
    name, codes = _units(results, groups)
    draws = estimates(results, _resamples(results, codes, int(n), seed), progress)
    complete = ~np.isnan(draws).any(axis=1)
    if complete.sum() < 2:
        raise ValueError(f"{n - int(complete.sum())} of {n} resamples have no maximum: there is nothing to go by")
    names = list(results.model.design.names)
    return Bootstrap(
        pd.DataFrame(draws[complete], columns=names),
        pd.Series(results.params, names),
        int((~complete).sum()),
        name,
        influence(results, codes),
    )


def jackknife(results: "Results", groups: Any, progress: bool) -> tuple[Array, str]:
    """Covariance of the coefficients by leaving out each row, or cluster, and what was left out, in words.

    ``(G - 1) / G`` times the sum of squares about the mean of the estimates (Tukey 1958).

    Raises
    ------
    ValueError
        If what is left without some row has no maximum.
    """
    name, codes = _units(results, groups)
    weight = results.model.observations.block.each
    left_out = weight.copy()
    if codes is None:
        count, left_out = weight.size, np.minimum(weight, 1.0)
    else:
        count = int(codes.max()) + 1
    which = np.arange(weight.size) if codes is None else codes

    def made(first: int, last: int) -> Array:
        return weight[:, None] - left_out[:, None] * (which[:, None] == np.arange(first, last))

    draws = estimates(results, (count, made), progress)
    lost = np.flatnonzero(np.isnan(draws).any(axis=1))
    if lost.size:
        what = results.model.observations.labels[lost[0]] if codes is None else lost[0]
        raise ValueError(
            f"without {'row' if codes is None else 'cluster'} {what!r} and {lost.size - 1} more there is no maximum, "
            "so the jackknife does not exist: it alone determines some coefficient, or keeps it finite"
        )
    # A frequency weight is that many rows, each left out once.
    times = weight if codes is None else np.ones(count)
    total = times.sum()
    moves = draws - times @ draws / total
    return (total - 1) / total * (times[:, None] * moves).T @ moves, f"jackknife of {name} ({total:g} left out in turn)"


def influence(results: "Results", codes: Array | None) -> Array:
    """What each row, or cluster, adds to the estimates, to first order: its score times the inverse information."""
    working, matrix = results._coordinates()
    hessian = results.verdict.evaluation.hessian
    root = None if hessian is None or results.model.family.quantile_level is not None else root_of(-hessian)
    if root is None:
        return np.zeros((2, results.params.size))
    scores = working.score_rows(results.optimum.gamma)
    if codes is not None:
        weighted = scores * results.model.observations.block.each[:, None]
        scores = np.stack([np.bincount(codes, column) for column in weighted.T], axis=1)
    return scores @ root @ (matrix @ root).T


def _units(results: "Results", groups: Any) -> tuple[str, Array | None]:
    """What is resampled or left out, and the cluster of each row."""
    if groups is None:
        return "rows", None
    observations = results.model.observations
    name, codes = codes_of(observations.column, observations.labels, groups)
    return f"clusters by {name}", codes


def _resamples(results: "Results", codes: Array | None, n: int, seed: Any) -> Weights:
    """Weights of ``n`` resamples, each from a generator of its own: they do not depend on how many are made at once."""
    weight = results.model.observations.block.weight
    rows = len(results.model.observations.labels)
    seeds = np.random.SeedSequence(seed).spawn(n)

    def drawn(rng: np.random.Generator) -> Array:
        if codes is not None:
            count = int(codes.max()) + 1
            times = np.bincount(rng.integers(count, size=count), minlength=count)[codes]
            return times if weight is None else times * weight
        if weight is None:
            return np.bincount(rng.integers(rows, size=rows), minlength=rows)
        return rng.multinomial(round(float(weight.sum())), weight / weight.sum())

    def made(first: int, last: int) -> Array:
        found = np.empty((rows, last - first))
        for j, entropy in enumerate(seeds[first:last]):
            found[:, j] = drawn(np.random.Generator(np.random.PCG64(entropy)))
        return found

    return n, made


# ------------------------------------------------------------------------------------ many fits


def estimates(results: "Results", weights: Weights, progress: bool = False) -> Array:
    """Coefficients under each set of weights, ``(m, p)``; NaN where there is no maximum.

    All at once by Newton's method, and those that it does not reach one by one, by the method of the fit.
    """
    count, made = weights
    working, matrix = results._coordinates()
    at_once = results.at_once and isinstance(working, Likelihood | Transformed) and matrix.size
    engine = Reweighting(working, results.optimum.gamma) if at_once else None
    size = 1 if engine is None else engine.size
    batches = [(first, min(first + size, count)) for first in range(0, count, size)]

    with bar(progress, len(batches), "batch") as step:

        def fitted(batch: tuple[int, int]) -> Array:
            w = made(*batch)
            found = np.full((w.shape[1], matrix.shape[0]), np.nan)
            if engine is not None:
                found = engine.estimates(w) @ matrix.T
            for j in np.flatnonzero(np.isnan(found).any(axis=1)):
                found[j] = one_by_one(results, w[:, j])
            step("")
            return found

        return np.concatenate(over_blocks(fitted, batches, 0) if engine is not None else list(map(fitted, batches)))


def one_by_one(results: "Results", weight: Array) -> Array:
    """Coefficients under other weights, by a fit from those that are known; NaN if it does not converge."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # they are counted
        try:
            found = results._refit(_reweighted(results, weight))
        except (StartError, ValueError, np.linalg.LinAlgError):
            return np.full(results.params.size, np.nan)
    sound = found.status.ok and np.isfinite(found.params).all()  # one at a limit has no finite one
    return found.params if sound else np.full(results.params.size, np.nan)


def _reweighted(results: "Results", weight: Array) -> Any:
    """The model with other weights."""
    model = results.model
    observations = replace(model.observations, block=replace(model.observations.block, weight=weight))
    if not model.has_null:  # a function of all rows keeps them
        return replace(model, observations=observations)
    used = weight > 0
    observations = replace(
        observations, block=observations.block.rows(used), labels=observations.labels[used], given=None
    )
    return replace(model, observations=observations, bases=tuple(replace(b, columns=None) for b in model.bases))
