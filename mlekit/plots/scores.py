"""Figures of cross-validation: the score of each fold, and models side by side."""

from typing import TYPE_CHECKING, Any

import numpy as np

from mlekit.plots.base import COLOURS, figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from mlekit.crossval import CrossValidation
    from mlekit.selection import Selection

_PANELS = {1: 1, 2: 2, 4: 2}  # side by side, by how many there are; otherwise three
_LABEL = 34  # characters of a model's name on an axis


def plot_scores(found: "CrossValidation") -> "Figure":
    """Draw each score by fold, on rows held out and on rows trained on, with the means and standard errors."""
    labels = list(found.better)
    columns = _PANELS.get(len(labels), 3)
    rows = -(-len(labels) // columns)
    drawn = figure(max(6.0, 3.4 * columns), 4.0 if rows == 1 else 3.2 * rows)
    grid = drawn.subplots(rows, columns, squeeze=False).ravel()
    for axes, label in zip(grid, labels, strict=False):
        _draw_score(axes, found, label)
    for axes in grid[len(labels) :]:
        axes.set_axis_off()
    handles, names = grid[0].get_legend_handles_labels()
    drawn.legend(handles, names, loc="outside lower center", ncols=4, frameon=False, fontsize=8)
    drawn.suptitle(found.title, fontsize=10)
    return drawn


def _draw_score(axes: Any, found: "CrossValidation", label: str) -> None:
    numbers = np.arange(1, len(found.scores) + 1)
    size = 6 if numbers.size <= 20 else 3
    sides = (("held out", label, COLOURS[0], "o", "-"), ("trained on", f"train_{label}", COLOURS[1], "s", "--"))
    for name, column, colour, marker, dash in sides:
        mean, error = found.mean[column], found.standard_error[column]
        face = colour if column == label else "none"
        axes.plot(
            numbers, found.scores[column], marker, color=colour, markersize=size, markerfacecolor=face, label=name
        )
        if np.isfinite(mean):
            axes.axhline(mean, color=colour, linewidth=1.2, linestyle=dash, label="mean ± std err")
        if np.isfinite(mean) and np.isfinite(error):
            axes.axhspan(mean - error, mean + error, color=colour, alpha=0.12, linewidth=0)
    lost = numbers[~np.isfinite(found.scores[label])]
    if lost.size:
        edge = np.zeros(lost.size)  # of the axes, not of the data
        axes.plot(lost, edge, "x", color=COLOURS[0], clip_on=False, transform=axes.get_xaxis_transform())
    axes.set_xlabel("fold, one repeat after the other" if found.scores["repeat"].max() > 1 else "fold")
    unit = found.units[label]
    axes.set_ylabel(f"{label} (unit: {unit})" if unit.startswith("that of") else f"{label} ({unit})")
    axes.set_title(f"{found.better[label]} is better" + (" (x: not finite)" if lost.size else ""), fontsize=9)
    axes.xaxis.get_major_locator().set_params(integer=True)


def plot_selection(found: "Selection") -> "Figure":
    """Draw how far each model is from the best, by log score with standard errors and by information criteria."""
    table = found.table
    drawn = figure(7.0, 1.8 + 0.35 * len(table))
    left, right = drawn.subplots(1, 2, sharey=True)
    at = np.arange(len(table))[::-1]
    left.errorbar(
        table["difference"],
        at,
        xerr=table["difference std err"],
        fmt="o",
        color=COLOURS[0],
        capsize=3,
    )
    left.axvline(0, color="0.6", linewidth=0.8, linestyle=":", zorder=0)
    left.set_xlabel("log score minus the best's, per row")
    left.set_title("cross-validation", fontsize=10)
    left.set_yticks(at, [_shortened(str(name)) for name in table.index], fontsize=8)
    left.set_ylim(-0.6, len(table) - 0.4)
    for name, marker, colour in (("AIC", "o", COLOURS[0]), ("BIC", "s", COLOURS[1])):
        above = table[name] - table[name].min()
        right.plot(above, at, marker, color=colour, markerfacecolor="none" if name == "BIC" else colour, label=name)
    right.axvline(0, color="0.6", linewidth=0.8, linestyle=":", zorder=0)
    right.set_xlabel("above the smallest")
    right.set_title("information criteria", fontsize=10)
    right.legend(frameon=False, fontsize=8)
    return drawn


def _shortened(name: str) -> str:
    return name if len(name) <= _LABEL else f"{name[: _LABEL - 3]}..."
