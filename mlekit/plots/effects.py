"""Figures of predictions along variables: beside the data, and side by side."""

import unicodedata
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mlekit.links import Array
from mlekit.plots.base import COLOURS, DASHES, MARKERS, figure, lines

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from mlekit.effects import Effect, Observed

# Rows that are drawn, at most; levels that are written below an axis, and letters of each.
_DRAWN, _LEVELS, _LETTERS = 5000, 8, 22
_MOVED = 0.15
# How far intervals may reach beyond estimates and data, in ranges of these, before they are cut off.
_FAR = 8.0


def plot_fit(found: "Observed", notes: tuple[str, ...]) -> "Figure":
    """Draw the data, the mean with its interval, and the interval of a new observation, along one variable."""
    effect = found.effect
    levels = _places(effect)
    drawn = figure(6.0, 4.0 if len(levels) <= _LEVELS else min(1.5 + 0.17 * len(levels), 12.0))
    axes = drawn.subplots()
    across = len(levels) > _LEVELS
    rng = np.random.default_rng(0)
    shown = np.arange(found.lower.size)
    if shown.size > _DRAWN:
        shown = np.sort(rng.permutation(shown.size)[:_DRAWN])
        notes = (f"{_DRAWN} of {found.lower.size} rows drawn", *notes)
    place = _at(effect.values[shown], levels)
    if effect.discrete:
        place = place + rng.uniform(-_MOVED, _MOVED, shown.size)
    _data(axes, found, shown, place, rng, across)
    if found.shares is not None:
        beside = 0.2 if effect.discrete else 0.0
        where = _at(found.shares["value"], levels) + beside
        _bars(axes, where, found.shares, "observed", across, "k", "d", f"observed shares, {effect.percent}")
    _observations(axes, effect, levels, across)
    _line(axes, effect.table, levels, across, 0, f"{effect.label}, {effect.percent}", effect.discrete)
    _axis(axes, effect, levels, across, 1)
    data = np.concatenate([found.lower, found.upper])
    _finish(drawn, axes, found.title, effect, (*notes, *_view([axes], [effect], [across], data)))
    return drawn


def _data(axes: Any, found: "Observed", shown: Array, place: Array, rng: Any, across: bool) -> None:
    """Draw what is known of the responses: a point, a triangle at the end of what is open, a line for a range."""
    low, high = found.lower[shown], found.upper[shown]
    exact, above, below = low == high, np.isposinf(high) & ~np.isneginf(low), np.isneginf(low) & ~np.isposinf(high)
    range_ = ~exact & np.isfinite(low) & np.isfinite(high)
    up = 0.15 * rng.uniform(-1, 1, shown.size) if found.whole else np.zeros(shown.size)
    if found.shares is not None:  # outcomes of yes or no: a band at each end
        up = 0.2 * up
    look: dict[str, Any] = {"color": "0.45", "markersize": 3, "linestyle": "", "markerfacecolor": "none", "zorder": 1}
    look["alpha"] = float(np.clip(60 / np.sqrt(shown.size), 0.15, 0.8))
    shapes = ("<", ">") if across else ("v", "^")
    for chosen, values, marker, label in (
        (exact, low + up, "o", "data"),
        (above, low, shapes[1], "at least"),
        (below, high, shapes[0], "at most"),
    ):
        if chosen.any():
            at = (values[chosen], place[chosen]) if across else (place[chosen], values[chosen])
            axes.plot(*at, marker, label=label, **look)
    if range_.any():
        draw = axes.hlines if across else axes.vlines
        draw(
            place[range_], low[range_], high[range_], color="0.45", linewidth=0.8, alpha=0.6, label="between", zorder=1
        )


def _observations(axes: Any, effect: "Effect", levels: Sequence[Any], across: bool) -> None:
    """Draw the interval of a new observation, if it is there."""
    table = effect.table
    if "obs_lower" not in table:
        return
    label: str | None = f"new observation, {effect.percent}"
    place = _at(table["value"], levels)
    low, high = (table[name].to_numpy(float) for name in ("obs_lower", "obs_upper"))
    if effect.discrete or len(table) == 1:
        (axes.hlines if across else axes.vlines)(place, low, high, color="0.8", linewidth=5, label=label, zorder=0)
        return
    for end in (low, high):
        axes.plot(place, end, color="0.35", linewidth=1.0, linestyle=DASHES[1], label=label)
        label = None


def plot_effects(effects: Sequence["Effect"], title: str, notes: tuple[str, ...]) -> "Figure":
    """Draw a panel for each variable, with a line for each value of another, or each level of the response."""
    count = len(effects)
    columns = 1 if count == 1 else 2 if count in (2, 4) else 3
    rows = -(-count // columns)
    most = max(len(_places(effect)) for effect in effects)
    height = 2.5 if most <= _LEVELS else min(0.8 + 0.15 * most, 10.0)
    drawn = figure(6.0 if columns < 3 else 8.0, max(4.0, 0.9 + height * rows))
    grid = list(drawn.subplots(rows, columns, squeeze=False).ravel())
    for axes, effect in zip(grid, effects, strict=False):
        _effect(axes, effect, columns)
    # One scale for all: what moves a prediction more is to look so.
    across = [len(_places(effect)) > _LEVELS for effect in effects]
    notes = (*notes, *_view(grid[:count], effects, across, np.empty(0)))
    for axes in grid[count:]:
        axes.set_axis_off()
    title = f"{title}, {effects[0].percent} intervals"
    _finish(drawn, grid[0], title, effects[0] if count == 1 else None, notes, effects[0].by)
    return drawn


def _view(panels: Sequence[Any], effects: Sequence["Effect"], across: Sequence[bool], data: Array) -> tuple[str, ...]:
    """Give panels one scale that has all estimates, data and intervals, as far as these do not dwarf the others."""

    def ends(values: Array) -> tuple[float, float]:
        known = values[np.isfinite(values)]
        return (float(known.min()), float(known.max())) if known.size else (np.nan, np.nan)

    low, high = ends(np.concatenate([*(effect.table["estimate"].to_numpy(float) for effect in effects), data]))
    names = [name for name in effects[0].table if name not in ("value", "line")]
    least, most = ends(np.concatenate([effect.table[names].to_numpy(float).ravel() for effect in effects]))
    far = _FAR * (high - low) if high > low else np.inf
    seen = float(np.fmin(low, max(least, low - far))), float(np.fmax(high, min(most, high + far)))
    if not np.isfinite(seen).all():
        return ()
    margin = 0.05 * (seen[1] - seen[0])
    for axes, sideways in zip(panels, across, strict=True):
        if margin > 0:
            (axes.set_xlim if sideways else axes.set_ylim)(seen[0] - margin, seen[1] + margin)
    said = []
    if least < seen[0] or most > seen[1]:
        said.append(f"intervals reach from {least:.3g} to {most:.3g}, beyond the figure")
    unknown = sum(
        int((~np.isfinite(effect.table[["lower", "upper"]].astype(float))).any(axis=1).sum()) for effect in effects
    )
    if unknown:
        said.append(f"{unknown} of {sum(len(effect.table) for effect in effects)} intervals are infinite, or not known")
    return tuple(said)


def _effect(axes: Any, effect: "Effect", columns: int) -> None:
    levels = _places(effect)
    across = len(levels) > _LEVELS
    names = list(dict.fromkeys(effect.table["line"]))
    for i, name in enumerate(names):
        some = effect.table[effect.table["line"].isna() if name is None else effect.table["line"] == name]
        label = None if name is None else _short(name)
        # Side by side, so that intervals can be told apart.
        beside = 0.0 if len(names) == 1 else 0.5 * (i / (len(names) - 1) - 0.5)
        _line(axes, some, levels, across, i, label, effect.discrete, beside)
    if not effect.discrete:
        values = effect.values[np.isfinite(effect.values)]
        rug = np.unique(values)
        rug = rug if rug.size <= 400 else np.quantile(values, np.linspace(0, 1, 101))
        axes.plot(rug, np.zeros(rug.size), "|", color="0.3", markersize=5, transform=axes.get_xaxis_transform())
    _axis(axes, effect, levels, across, columns)


def _line(
    axes: Any,
    table: pd.DataFrame,
    levels: Sequence[Any],
    across: bool,
    i: int,
    label: str | None,
    discrete: bool,
    beside: float = 0.0,
) -> None:
    """Draw estimates with their intervals: a line and a band along a number, points and bars of levels."""
    colour, dash = COLOURS[i % len(COLOURS)], DASHES[i // len(COLOURS) % len(DASHES)]
    place = _at(table["value"], levels)
    if discrete or len(table) == 1:
        _bars(axes, place + beside, table, "estimate", across, colour, MARKERS[i % len(MARKERS)], label)
        return
    values = {name: table[name].to_numpy(float) for name in ("estimate", "lower", "upper")}
    axes.fill_between(place, values["lower"], values["upper"], color=colour, alpha=0.2, linewidth=0)
    axes.plot(place, values["estimate"], color=colour, linestyle=dash, linewidth=1.6, label=label)


def _bars(
    axes: Any, place: Array, table: pd.DataFrame, name: str, across: bool, colour: str, marker: str, label: str | None
) -> None:
    """Draw points with their intervals; one without an interval is a point alone."""
    at, low, high = (table[column].to_numpy(float) for column in (name, "lower", "upper"))
    ends = np.stack([at - low, high - at])
    ends = np.where(np.isfinite(ends), np.maximum(ends, 0.0), np.nan)
    where = {"x": at, "y": place, "xerr": ends} if across else {"x": place, "y": at, "yerr": ends}
    axes.errorbar(**where, fmt=marker, color=colour, markersize=4, linewidth=1.1, capsize=2, label=label, zorder=3)


# ------------------------------------------------------------------------------------ axes


def _places(effect: "Effect") -> list[Any]:
    """Levels in the order in which they are drawn; none of a number."""
    return list(dict.fromkeys(effect.table["value"])) if effect.discrete else []


def _at(values: Any, levels: Sequence[Any]) -> Array:
    """Where values are on the axis: numbers where they are, levels at their places."""
    if not levels:
        return np.asarray(values, dtype=float)
    place = {level: float(i) for i, level in enumerate(levels)}
    return np.array([place.get(value, np.nan) for value in values])


def _short(name: Any) -> str:
    text = f"{name:.4g}" if isinstance(name, float) else str(name)
    return (text if len(text) <= _LETTERS else f"{text[: _LETTERS - 8]}...{text[-5:]}").replace("$", r"\$")


def _width(text: str) -> int:
    """How wide a text is, in letters: those of East Asia are as wide as two."""
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


def _axis(axes: Any, effect: "Effect", levels: Sequence[Any], across: bool, columns: int) -> None:
    """Name the axes; many levels, or long ones, are written beside one another on the left."""
    axes.tick_params(labelsize=8)
    name, label = lines(effect.variable, 24 if columns > 1 else 48), lines(effect.label, 36)
    if not levels:
        axes.xaxis.get_major_locator().set_params(nbins=6)
    elif across:
        axes.set_yticks(range(len(levels)), [_short(level) for level in levels], fontsize=7)
        axes.set_ylim(len(levels) - 0.5, -0.5)
        name, label = label, name
    else:
        longest = max(_width(_short(level)) for level in levels) * len(levels)
        turned: dict[str, Any] = {"rotation": 30, "ha": "right"} if longest > 48 / columns else {}
        axes.set_xticks(range(len(levels)), [_short(level) for level in levels], **turned)
        axes.set_xlim(-0.6, len(levels) - 0.4)
    axes.set_xlabel(name, fontsize=9)
    axes.set_ylabel(label, fontsize=9)


def _finish(
    drawn: "Figure", axes: Any, title: str, effect: "Effect | None", notes: tuple[str, ...], by: str = ""
) -> None:
    """Write the title with what was held, the legend, and what has to be known."""
    held = ""
    if effect is not None and effect.held:
        held = "at " + ", ".join(f"{name} = {_short(value)}" for name, value in effect.held.items())
    elif effect is None:
        held = "the other variables at their means, or most frequent levels"
    heading = lines(title, 76) + (f"\n{lines(held, 90)}" if held else "")
    drawn.suptitle(heading, fontsize=10)
    handles, names = axes.get_legend_handles_labels()
    note = "\n".join(lines(text, 105) for text in notes)
    if handles or note:
        drawn.legend(
            handles,
            names,
            title="\n".join(part for part in (note, lines(by, 60)) if part) or None,
            title_fontsize=8,
            loc="outside lower center",
            ncols=min(max(len(names), 1), 5),
            frameon=False,
            fontsize=8,
        )
