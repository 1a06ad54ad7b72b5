"""Figures of cross-validation: the score of each fold, and models side by side."""

from typing import TYPE_CHECKING, Any

import numpy as np

from mlekit.plots.base import COLOURS, figure, lines

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from mlekit.crossval import CrossValidation
    from mlekit.selection import Selection

_TITLE, _UNIT, _NAME = 76, 36, 30  # characters in a line of a title, of a unit on an axis, of a model's name


def plot_scores(found: "CrossValidation") -> "Figure":
    """Draw each score by fold, on rows held out and on rows trained on, with the means and standard errors."""
    labels = list(found.better)
    columns = min(len(labels), 2)
    rows = -(-len(labels) // columns)
    drawn = figure(6.0 if columns == 1 else 7.0, 4.0 if rows == 1 else 1.0 + 2.6 * rows)
    grid = drawn.subplots(rows, columns, squeeze=False).ravel()
    for axes, label in zip(grid, labels, strict=False):
        _draw_score(axes, found, label)
    for axes in grid[len(labels) :]:
        axes.set_axis_off()
    shown: dict[str, Any] = {}
    for axes in grid:
        handles, names = axes.get_legend_handles_labels()
        shown |= dict(zip(names, handles, strict=True))
    drawn.legend(shown.values(), shown, loc="outside lower center", ncols=2, frameon=False, fontsize=8)
    drawn.suptitle(lines(found.title, _TITLE), fontsize=9)
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
            axes.axhline(mean, color=colour, linewidth=1.2, linestyle=dash, label=f"mean and std err, {name}")
        if np.isfinite(mean) and np.isfinite(error):
            axes.axhspan(mean - error, mean + error, color=colour, alpha=0.12, linewidth=0)
    lost = numbers[~np.isfinite(found.scores[label])]
    if lost.size:
        edge = np.zeros(lost.size)  # of the axes, not of the data
        axes.plot(lost, edge, "x", color=COLOURS[0], clip_on=False, transform=axes.get_xaxis_transform())
    axes.set_xlabel("fold, one repeat after the other" if found.scores["repeat"].max() > 1 else "fold")
    unit = found.units[label]
    unit = f"(unit: {unit})" if unit.startswith("that of") else f"({unit})"
    axes.set_ylabel(f"{lines(label, _UNIT)}\n{lines(unit, _UNIT)}", fontsize=9)
    axes.set_title(f"{found.better[label]} is better" + (" (x: not finite)" if lost.size else ""), fontsize=9)
    margin = max(0.5, 0.03 * numbers.size)
    axes.set_xlim(1 - margin, numbers.size + margin)
    axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)


def plot_selection(found: "Selection") -> "Figure":
    """Draw how far each model is from the best, by log score with standard errors and by information criteria."""
    table = found.table
    names = [lines(str(name), _NAME) for name in table.index]
    drawn = figure(7.0, max(2.4, 1.3 + 0.35 * len(table)))
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
    left.set_xlabel("log score minus the best's\n(nats per row)", fontsize=9)
    left.set_title("cross-validation", fontsize=10)
    left.set_yticks(at, names, fontsize=8)
    left.set_ylim(-0.6, len(table) - 0.4)
    for name, marker, colour in (("AIC", "o", COLOURS[0]), ("BIC", "s", COLOURS[1])):
        above = table[name] - table[name].min()
        right.plot(above, at, marker, color=colour, markerfacecolor="none" if name == "BIC" else colour, label=name)
    right.set_xlabel("above the smallest\n(unit: that of -2 log-likelihood)", fontsize=9)
    right.set_title("information criteria", fontsize=10)
    for axes in (left, right):
        axes.axvline(0, color="0.6", linewidth=0.8, linestyle=":", zorder=0)
        axes.xaxis.get_major_locator().set_params(nbins=4)  # numbers of five digits stay apart at 6 inches
    drawn.legend(*right.get_legend_handles_labels(), loc="outside lower right", ncols=2, frameon=False, fontsize=8)
    return drawn
