"""Predictions along one variable, the others at representative values: what figures of effects are drawn from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mlekit.calibration import exact_interval
from mlekit.counterfactuals import Scene, scene_of
from mlekit.diagnostics import NotGiven
from mlekit.domains import blanked, outside
from mlekit.families.bernoulli import Bernoulli
from mlekit.families.binomial import Binomial
from mlekit.families.categorical import Categorical
from mlekit.families.censored import Censored
from mlekit.formula import FormulaError
from mlekit.goodness import weighted_quantiles
from mlekit.links import Array
from mlekit.outcomes import one_of
from mlekit.predict import Prediction, Rows
from mlekit.sources import Table

if TYPE_CHECKING:
    from mlekit.predictions import Predictions

# Points along a number; lines of a second variable at most; and where they are if it is a number.
_POINTS, _LINES, _SHARES = 101, 14, (0.1, 0.5, 0.9)
# Groups of a number, of which shares are shown.
_GROUPS = 10


@dataclass(frozen=True, eq=False)
class Effect:
    """Predictions along one variable.

    Attributes
    ----------
    variable : str
    discrete : bool
        Whether it has levels, and not numbers.
    table : DataFrame
        value, line (a value of ``by``, a level of the response, or None), estimate, lower, upper; with observations
        also obs_lower, obs_upper.
    by : str
        What the lines are of; empty if there is one.
    label : str
        What is predicted.
    held : dict
        Values of the other variables.
    values : (n,) array
        The variable in the rows of the data.
    alpha : float
        One minus the level of the intervals.
    """

    variable: str
    discrete: bool
    table: pd.DataFrame
    by: str
    label: str
    held: Mapping[str, Any]
    values: Array = field(repr=False)
    alpha: float = 0.05

    @property
    def percent(self) -> str:
        """The level of the intervals."""
        return f"{100 * (1 - self.alpha):g} %"


@dataclass(frozen=True, eq=False)
class Observed:
    """The data beside an effect.

    Attributes
    ----------
    effect : Effect
    lower, upper : (n,) arrays
        What is known of each response: equal where it was observed, else the ends of a range, one of which may be
        infinite.
    whole : bool
        Whether responses are whole numbers.
    shares : DataFrame or None
        Of outcomes of yes or no, by groups of the variable: value, observed, lower, upper.
    title : str
    """

    effect: Effect
    lower: Array = field(repr=False)
    upper: Array = field(repr=False)
    whole: bool
    shares: pd.DataFrame | None
    title: str


def observed_along(results: "Predictions", variable: Any, at: Any, alpha: float, obs: bool) -> Observed:
    """Data and predictions along one variable; see :meth:`mlekit.predictions.Predictions.plot_fit`."""
    model = results.model
    family = model.family
    if isinstance(family, Categorical):
        raise NotGiven(
            f"{type(family).__name__} is of levels, which have no mean: plot_effects() draws the probability of each"
        )
    results._need_rows()
    scene = _scene(results, None, None, None, None)
    if variable is None:
        names = scene.variables()
        if not names:
            raise ValueError("there is no variable to draw the fit along: the formulas have none")
        variable = next((name for name in names if not scene.is_discrete(name)), names[0])
    effect = effect_along(results, scene, variable, None, "mean", at, alpha, obs)
    y = model.endog
    lower, upper = y.T if isinstance(family, Censored) else (family.observed(y),) * 2
    yes_or_no = isinstance(family, Bernoulli | Binomial)
    whole = isinstance(family, Bernoulli) or (not yes_or_no and not isinstance(family, Censored) and family.discrete)
    shares = None
    if yes_or_no:
        counts = y if y.ndim == 2 else np.column_stack([y, 1 - y])
        shares = _shares(effect, counts * model.observations.block.each[:, None], alpha)
    return Observed(effect, lower, upper, whole, shares, f"{family.title}: {model.design.response}")


def _shares(effect: Effect, counts: Array, alpha: float) -> pd.DataFrame:
    """Shares of ones by levels of a variable, or by groups between quantiles of a number, at their means."""
    weight = counts.sum(axis=1)
    if effect.discrete:
        codes, places = pd.factorize(effect.values)
    else:
        edges = np.unique(weighted_quantiles(effect.values, weight, np.linspace(0, 1, _GROUPS + 1)[1:-1]))
        codes = np.searchsorted(edges, effect.values)
        sums, totals = (np.bincount(codes, weights=w) for w in (weight * effect.values, weight))
        with np.errstate(invalid="ignore"):
            places = sums / totals
    ones, zeros = (np.bincount(codes, weights=column, minlength=len(places)) for column in counts.T)
    lower, upper = exact_interval(ones, zeros, alpha)
    with np.errstate(invalid="ignore"):
        observed = ones / (ones + zeros)
    table = pd.DataFrame({"value": places, "observed": observed, "lower": lower, "upper": upper})
    return table[ones + zeros > 0].reset_index(drop=True)


def effects_of(
    results: "Predictions",
    variables: Any,
    by: Any,
    what: Any,
    at: Any,
    alpha: float,
    data: Any,
    given: Mapping[str, Any],
) -> list[Effect]:
    """Effects of the variables that are named, or of all; see :meth:`mlekit.predictions.Predictions.plot_effects`.

    Raises
    ------
    ValueError
        If there is no such variable, value or prediction, or the data are not at hand.
    """
    scene = _scene(results, data, **given)
    if variables is None:
        variables = [name for name in scene.variables() if name != by and name not in (at or {})]
        if not variables:
            raise ValueError("there is no variable to draw effects of: the formulas have none, or by= and at= have all")
    elif isinstance(variables, str):
        variables = [variables]
    if not isinstance(variables, Sequence) or not variables:
        raise ValueError(f"variables is a name, or a list of names, not {variables!r}")
    return [effect_along(results, scene, name, by, what, at, alpha) for name in variables]


def _scene(results: "Predictions", data: Any, weights: Any, offset: Any, exposure: Any) -> Scene:
    """Data of which each row says by itself what is predicted of it.

    Raises
    ------
    ValueError
        If a formula makes of a row something that depends on the others, such as ``x - x.mean()`` or a lag.
    """
    model = results.model
    if not model.has_null:
        raise NotGiven("a likelihood that is not a regression has no variables to draw it along")
    scene = scene_of(model, data, weights, offset, exposure)
    together, rows = scene.matrices().X, np.flatnonzero(scene.used)
    for i in {0, rows.size // 2, rows.size - 1}:
        chosen = np.arange(len(scene.table)) == rows[i]
        one = np.ones(1)
        handed = tuple(None if offset is None else offset[i : i + 1] for offset in scene.handed)
        try:
            alone = Scene(scene.design, scene.table.rows(chosen), one > 0, one, handed).matrices().X
        except (FormulaError, ValueError, IndexError):
            alone = ()
        if (
            not all(np.allclose(x[i], y[0], rtol=1e-9, atol=0.0) for x, y in zip(together, alone, strict=False))
            or not alone
        ):
            raise ValueError(
                "what a formula makes of a row depends on other rows (as x - x.mean() or a lag do), so there is no "
                "prediction at values of a variable alone: write center(x), or make that column before the fit"
            )
    return scene


def effect_along(
    results: "Predictions", scene: Scene, variable: Any, by: Any, what: Any, at: Any, alpha: float, obs: bool = False
) -> Effect:
    """Predictions along one variable of a scene, at its means and most frequent levels, or at the values of ``at``."""
    scene.require(variable)
    if at is not None and not isinstance(at, Mapping):
        raise ValueError(f"at holds other variables at values, as at={{'x': 0}}, not {at!r}")
    at = {name: scene.checked(name, value) for name, value in (at or {}).items()}
    lines: Sequence[Any] = [None]
    if by is not None:
        scene.require(by)
        lines = _lines(scene, by)
    twice = {name for name in (variable, by) if name in at} or ({variable} if by == variable else set())
    if twice:
        raise ValueError(f"{twice.pop()} is asked for twice: in variables=, by= and at= each variable stands once")
    values = _along(scene, variable)
    columns = {variable: [value for _ in lines for value in values]}
    if by is not None:
        columns[by] = [line for line in lines for _ in values]
    base = scene.mean().at(at)
    rows = _rows(base, columns)
    table, label = _predicted(results, rows, what, alpha, obs)
    table.insert(0, "value", np.tile(np.array(columns[variable], dtype=object), len(table) // len(rows.labels)))
    if by is not None:
        if isinstance(results.model.family, Categorical) and table["line"].notna().any():
            raise ValueError("by= has lines, and so have the levels of the response: hold the variable by at= instead")
        table["line"] = columns[by]
    of_levels = by is None and table["line"].notna().any()
    held = {name: c.iloc[0] for name, c in base.table.columns.items() if name not in (variable, by)}
    column = scene.table.columns[variable][scene.used]
    discrete = scene.is_discrete(variable)
    found = column.to_numpy(object) if discrete else column.to_numpy(float)
    named = results.model.design.response if of_levels else by or ""
    return Effect(variable, discrete, table, named, label, held, found, alpha)


def _along(scene: Scene, name: str) -> list[Any]:
    """Values of a variable that a line goes through: its levels, or numbers over their range."""
    if scene.is_discrete(name):
        return _levels(scene, name)
    low, high = scene.limits(name)
    return [low] if low == high else np.linspace(low, high, _POINTS).tolist()


def _levels(scene: Scene, name: str) -> list[Any]:
    """Levels in their order: that of a categorical, else of numbers or the alphabet."""
    levels = list(scene.levels(name))
    dtype = scene.table.columns[name].dtype
    if isinstance(dtype, pd.CategoricalDtype):
        place = {level: i for i, level in enumerate(dtype.categories)}
        return sorted(levels, key=lambda level: place.get(level, len(place)))
    try:
        return sorted(levels)
    except TypeError:
        return levels


def _lines(scene: Scene, by: str) -> list[Any]:
    """Values of a second variable, a line each: its levels, or three numbers."""
    if not scene.is_discrete(by):
        values = np.quantile(scene.numbers(by)[scene.used], _SHARES, method="inverted_cdf")
        return np.unique(values).tolist()
    levels = _levels(scene, by)
    if len(levels) > _LINES:
        raise ValueError(f"{by} has {len(levels)} levels, too many for a line each: hold it by at=, or merge levels")
    return levels


def _rows(base: Scene, columns: Mapping[str, Sequence[Any]]) -> Rows:
    """Rows that differ in some variables alone."""
    count = len(next(iter(columns.values())))
    labels = pd.RangeIndex(count)
    table = {}
    for name, column in base.table.columns.items():
        if name not in columns:
            table[name] = column.iloc[np.zeros(count, dtype=int)].set_axis(labels)
        elif isinstance(column.dtype, pd.CategoricalDtype):
            table[name] = pd.Series(pd.Categorical(columns[name], dtype=column.dtype), labels)
        else:
            table[name] = pd.Series(columns[name], labels, dtype=object if column.dtype.kind == "O" else None)
    ones = np.ones(count)
    handed = tuple(None if offset is None else np.repeat(offset, count) for offset in base.handed)
    made = Scene(base.design, Table(table, labels, base.table.known), ones > 0, ones, handed).matrices(told=True)
    return Rows(made.X, made.offset, labels)


def _predicted(results: "Predictions", rows: Rows, what: Any, alpha: float, obs: bool) -> tuple[pd.DataFrame, str]:
    """Table of line, estimate, lower and upper, and what is predicted."""
    family, response = results.model.family, results.model.design.response
    prediction = results.prediction_of(rows)
    names = list(family.params)
    if what == "linear" or (what in names and what != "mean"):
        return _parameter(prediction, 0 if what == "linear" else names.index(what), what, alpha)
    if isinstance(family, Categorical):
        if what not in ("mean", "probabilities"):
            raise ValueError(f"what is 'probabilities', 'linear', or one of {', '.join(names)}, not {what!r}")
        frame = prediction.summary_frame(alpha, obs=False)
        parts = [_part(frame, f"{level}", "", level) for level in family.levels]
        return pd.concat(parts, ignore_index=True), f"probability of {response}"
    if what != "mean":
        raise ValueError(f"what is 'mean', 'linear', or one of {', '.join(names)}, not {what!r}")
    # A new 0 or 1 is always within 0 and 1, and how many trials a new row has nobody says.
    wanted = obs and not isinstance(family, Bernoulli | Binomial)
    frame = prediction.summary_frame(alpha, obs=wanted)
    table = _part(frame, "mean", "mean", None)
    if wanted:
        table["obs_lower"], table["obs_upper"] = frame["obs_ci_lower"], frame["obs_ci_upper"]
    if isinstance(family, Bernoulli):
        return table, f"probability of {one_of(results.model)}"
    return table, "share of successes" if isinstance(family, Binomial) else f"mean of {response}"


def _part(frame: pd.DataFrame, estimate: str, ends: str, line: Any) -> pd.DataFrame:
    ends = ends or estimate
    return pd.DataFrame(
        {
            "line": pd.Series([line] * len(frame), dtype=object),
            "estimate": frame[estimate],
            "lower": frame[f"{ends}_ci_lower"],
            "upper": frame[f"{ends}_ci_upper"],
        }
    )


def _parameter(prediction: Prediction, i: int, what: str, alpha: float) -> tuple[pd.DataFrame, str]:
    """A linear predictor, or a parameter at the ends of the interval of its own, as far as its domain reaches."""
    name, link = list(prediction.family.links.items())[i]
    eta, low, high = prediction.linear_interval(i, alpha)
    label = f"linear predictor, {link.name}({name})"
    if what != "linear":
        low, high = np.clip([low, high], *prediction.family.eta_limits()[i])
        lost = outside(prediction.family, prediction.eta, name, prediction.rows.present)
        eta, low, high = blanked((eta, low, high), lost)
        with np.errstate(all="ignore"):
            eta, low, high = (np.asarray(link.inverse(e)) for e in (eta, low, high))
        label = name
    columns = {"estimate": eta, "lower": np.minimum(low, high), "upper": np.maximum(low, high)}
    return pd.DataFrame({"line": pd.Series([None] * eta.size, dtype=object), **columns}), label
