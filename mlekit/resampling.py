"""Bootstraps and jackknifes: the same fit under other weights of its rows or clusters, many times."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import special
from statsmodels.tools.sm_exceptions import ConvergenceWarning

from mlekit.basis import basis
from mlekit.likelihood import Likelihood, Transformed
from mlekit.links import Array
from mlekit.messages import warn
from mlekit.optimize.base import StartError
from mlekit.products import over_blocks
from mlekit.progress import bar
from mlekit.reweighting import Reweighting
from mlekit.sandwich import codes_of, groupings, root_of
from mlekit.sources import row_name

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
        How many resamples had no maximum, as one that is separated or lacks a level, or an infinite estimate.
    unit : str
        What is resampled.
    influence : (m, p) array
        What each row or cluster adds to the estimates, to first order; zero where the likelihood has kinks.
    times : (m,) array
        How many rows each of them stands for.
    """

    draws: pd.DataFrame
    params: pd.Series
    failed: int
    unit: str
    influence: Array
    times: Array

    @property
    def _size(self) -> pd.Series:
        """The size of each coefficient: squares of some overflow."""
        return self.draws.abs().max().replace(0.0, 1.0)

    @property
    def bse(self) -> pd.Series:
        """Standard errors: the standard deviation of the draws."""
        return (self.draws / self._size).std() * self._size

    def cov_params(self) -> pd.DataFrame:
        """Covariance of the draws."""
        with np.errstate(all="ignore"):
            return (self.draws / self._size).cov().mul(self._size, axis=0).mul(self._size, axis=1)

    @property
    def moves(self) -> Array:
        """Distances of the draws to their mean, whose cross-product is the covariance."""
        return (self.draws - self.draws.mean()).to_numpy() / np.sqrt(len(self.draws) - 1)

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

        Warns
        -----
        UserWarning
            If there are too few draws for so wide an interval, or BCa has none, which then is NaN.
        """
        _known(method)
        if not 0 < alpha < 1:
            raise ValueError(f"alpha must be between 0 and 1, not {alpha!r}")
        parts = zip(self.draws.to_numpy().T, self.params, self.influence.T, strict=True)
        ends = [ends_of(draw, estimate, moves, self.times, alpha, method) for draw, estimate, moves in parts]
        return pd.DataFrame(ends, self.params.index, [0, 1])

    def __repr__(self) -> str:
        lost = f", {self.failed} without a maximum" if self.failed else ""
        return f"<bootstrap of {self.unit}: {len(self.draws)} resamples{lost}>"


def ends_of(draws: Array, estimate: float, influence: Array, times: Array, alpha: float, method: str) -> Array:
    """Ends of a bootstrap interval of one number; see :meth:`Bootstrap.conf_int`."""
    shares = np.array([alpha / 2, 1 - alpha / 2])
    if method == "bca":
        shares = _corrected(shares, draws, estimate, influence, times)
        if not np.isfinite(shares).all():
            warn(
                "there is no BCa interval where all draws are on one side of the estimate, or the level is too high "
                "for how skewed they are: it is NaN. Ask for 'percentile' intervals, or for a lower level",
                UserWarning,
            )
            return np.full(2, np.nan)
    outside = min(shares.min(), 1 - shares.max())
    if outside * draws.size < 1 - 1e-9:
        many = f": take {np.ceil(1 / outside - 1e-6):.0f} or more" if outside > 0 else ""
        warn(f"an end of the interval rests on the outermost of {draws.size} draws{many}", UserWarning)
    if method == "basic":
        return 2 * estimate - np.quantile(draws, shares[::-1])
    return np.quantile(draws, shares)


def _corrected(shares: Array, draws: Array, estimate: float, influence: Array, times: Array) -> Array:
    """Shares of the draws at which BCa cuts; NaN where it has none."""
    below = ((draws < estimate).mean() + (draws <= estimate).mean()) / 2
    if not 0 < below < 1:
        return np.full(2, np.nan)
    moves = influence / (np.abs(influence).max() or 1.0)
    centred = moves - times @ moves / times.sum()
    squares = times @ centred**2
    acceleration = times @ centred**3 / (6 * squares**1.5) if squares > 0 else 0.0
    bias = special.ndtri(below)
    moved = bias + special.ndtri(shares)
    left = 1 - acceleration * moved  # from zero on, the shares would turn round
    return np.where(left > 0, special.ndtr(bias + moved / np.where(left > 0, left, 1.0)), np.nan)


def _known(method: str) -> None:
    if method not in METHODS:
        raise ValueError(f"unknown method {method!r}: bootstrap intervals are {', '.join(METHODS)}")


def intervals(results: "Results", alpha: float, targets: Sequence["Target"], kind: str = "bca", **how: Any) -> Array:
    """Intervals of functions of the coefficients, by the bootstrap; ``kind`` is one of :data:`METHODS`."""
    _known(kind)
    made = results.bootstrap(**how)
    draws, params = made.draws.to_numpy(), made.params.to_numpy()
    found = []
    for target in targets:
        value = target.function or target.contrast.__matmul__
        along = np.array([value(draw) for draw in draws])
        ends = ends_of(along, float(value(params)), made.influence @ target.contrast, made.times, alpha, kind)
        found.append(np.sort(ends if target.scale is None else target.scale(ends)))
    return np.array(found).reshape(-1, 2)


def bootstrap(results: "Results", n: int, seed: Any, groups: Any, progress: bool) -> Bootstrap:
    """Fit ``n`` resamples; see :meth:`mlekit.inference.Inference.bootstrap`."""
    if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 2:
        raise ValueError(f"n must be a whole number of resamples, 2 or more, not {n!r}")
    name, codes, times = _units(results, groups, "bootstrap")
    draws = estimates(results, _resamples(results, codes, int(n), seed), progress)
    complete = ~np.isnan(draws).any(axis=1)
    failed = int((~complete).sum())
    if complete.sum() < 2:
        raise ValueError(f"{failed} of {n} resamples have no maximum: there is nothing to go by")
    if failed:
        warn(
            f"{failed} of {n} resamples have no maximum, as one that lacks a level, is separated or fits perfectly, or "
            "an infinite estimate: they are left out, and the others vary less than the estimates do",
            UserWarning,
        )
    names = list(results.model.design.names)
    return Bootstrap(
        pd.DataFrame(draws[complete], columns=names),
        pd.Series(results.params, names),
        failed,
        name,
        influence(results, codes),
        times,
    )


def jackknife(results: "Results", groups: Any, progress: bool) -> tuple[Array, str]:
    """Leave out each row, or cluster: what that does to the coefficients, ``(G, p)``, and the name in words.

    The cross-product of the moves is their covariance, ``(G - 1) / G`` times the sum of squares about the mean of the
    estimates (Tukey 1958).

    Raises
    ------
    ValueError
        If what is left without some row has no maximum.
    """
    name, codes, times = _units(results, groups, "jackknife")
    observations = results.model.observations
    weight = observations.block.each
    # A frequency weight is that many rows, each left out once.
    left_out = np.ones(weight.size) if codes is None else weight
    which = np.arange(weight.size) if codes is None else codes

    def made(first: int, last: int) -> Array:
        return weight[:, None] - left_out[:, None] * (which[:, None] == np.arange(first, last))

    draws = estimates(results, (times.size, made), progress)
    lost = np.flatnonzero(np.isnan(draws).any(axis=1))
    if lost.size:
        row = row_name(observations.labels, which == lost[0])
        raise ValueError(
            f"without {'' if codes is None else 'the cluster of '}row {row} and {lost.size - 1} more there is no "
            "maximum, so the jackknife does not exist: it alone determines some coefficient, or keeps it finite"
        )
    total = times.sum()
    moves = draws - times @ draws / total
    return np.sqrt((total - 1) / total * times)[:, None] * moves, f"jackknife of {name} ({total:g} left out in turn)"


def influence(results: "Results", codes: Array | None) -> Array:
    """What each row, or cluster, adds to the estimates, to first order: its score times the inverse information."""
    working, matrix = results._coordinates()
    hessian = results.verdict.evaluation.hessian
    root = None if hessian is None or results.model.family.quantile_level is not None else root_of(-hessian)
    if root is None:
        root = np.zeros((working.size,) * 2)
    scores = working.score_rows(results.optimum.gamma)
    if codes is not None:
        weighted = scores * results.model.observations.block.each[:, None]
        scores = np.stack([np.bincount(codes, column) for column in weighted.T], axis=1)
    return scores @ root @ (matrix @ root).T


def _units(results: "Results", groups: Any, what: str) -> tuple[str, Array | None, Array]:
    """What is resampled or left out, the cluster of each row, and how many rows each of the units stands for."""
    if not results.converged:
        raise ValueError(f"there is no {what} of a fit that is not the maximum: {results.reason}")
    observations = results.model.observations
    if groups is not None:
        way, *others = groupings(groups)
        if others:
            raise ValueError(f"a {what} has clusters of one kind, not of two: combine them into one column")
        name, codes = codes_of(observations.column, observations.labels, way)
        return f"clusters by {name}", codes, np.ones(int(codes.max()) + 1)
    weight = observations.block.each
    whole = weight == np.rint(weight)
    if not whole.all():
        raise ValueError(
            f"there is no {what} of rows whose weights are not whole numbers (row "
            f"{row_name(observations.labels, ~whole)} has {weight[~whole][0]:g}): they stand for no number of rows. "
            "Pass groups=, with a label of its own for each row, and rows come and go with their weights"
        )
    if weight.sum() < 2:
        raise ValueError(f"there is no {what} of a single row: nothing can be compared")
    return "rows", None, weight


def _resamples(results: "Results", codes: Array | None, n: int, seed: Any) -> Weights:
    """Weights of ``n`` resamples, each from a generator of its own: they do not depend on how many are made at once."""
    weight = results.model.observations.block.weight
    rows = len(results.model.observations.labels)
    if isinstance(seed, np.random.SeedSequence):  # a copy, as those that are spawned are counted
        first = np.random.SeedSequence(seed.entropy, spawn_key=seed.spawn_key, pool_size=seed.pool_size)
    else:
        first = np.random.SeedSequence(seed)
    seeds = first.spawn(n)

    def drawn(rng: np.random.Generator) -> Array:
        if codes is not None:
            count = int(codes.max()) + 1
            times = np.bincount(rng.integers(count, size=count), minlength=count)[codes]
            return times if weight is None else times * weight
        if weight is None:
            return np.bincount(rng.integers(rows, size=rows), minlength=rows)
        return rng.multinomial(int(weight.sum()), weight / weight.sum())

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
    found = np.full((count, matrix.shape[0]), np.nan)
    if results.at_once and isinstance(working, Likelihood | Transformed) and matrix.size:
        engine = Reweighting(working, results.optimum.gamma)
        batches = [(first, min(first + engine.size, count)) for first in range(0, count, engine.size)]
        with bar(progress, len(batches), "batch") as step:

            def together(batch: tuple[int, int]) -> Array:
                reached = engine.estimates(made(*batch)) @ matrix.T
                step("")
                return reached

            found = np.concatenate(over_blocks(together, batches, 0))
    # Not in threads: fits set aside warnings, which all threads share.
    left = np.flatnonzero(np.isnan(found).any(axis=1))
    with bar(progress, left.size, "fit") as step:
        for j in left.tolist():
            found[j] = one_by_one(results, made(j, j + 1)[:, 0])
            step("")
    return found


def one_by_one(results: "Results", weight: Array) -> Array:
    """Coefficients under other weights, by a fit from those that are known; NaN if it does not converge."""
    nothing = np.full(results.params.size, np.nan)
    model = _reweighted(results, weight)
    if results.model.family.quantile_level is not None and _collinear(model):
        return nothing  # no information says so, as it would of others
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # they are counted
        try:
            found = results._refit(model)
        except (StartError, ValueError, np.linalg.LinAlgError):
            return nothing
    sound = found.status.ok and np.isfinite(found.params).all()  # one at a limit has no finite one
    return found.params if sound else nothing


def _collinear(model: Any) -> bool:
    return any(len(basis(x).kept) < x.shape[1] for x in model.observations.block.X)


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
