"""Figures of outcomes of yes or no: ROC curves, and observed shares by predicted probability."""

from typing import TYPE_CHECKING, Any

import numpy as np

from mlekit.plots.base import COLOURS, DASHES, figure, lines

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from mlekit.calibration import Calibration
    from mlekit.roc import Roc

# Points of a curve up to which each is marked.
_MARKED = 40


def plot_roc(roc: "Roc", alpha: float) -> "Figure":
    """Draw the shares of ones and zeros above each threshold, and the diagonal of predictions that know nothing."""
    low, high = roc.conf_int(alpha)
    known = f"\n{100 * (1 - alpha):g} % {low:.3f} to {high:.3f}" if low == low else ""
    drawn = figure(6.0, 4.0)
    axes = drawn.subplots()
    marker = "." if len(roc.points) <= _MARKED else ""
    axes.plot(
        roc.points["fpr"],
        roc.points["tpr"],
        color=COLOURS[0],
        marker=marker,
        linewidth=1.5,
        label=f"area {roc.auc:.3f}{known}",
        clip_on=False,
    )
    axes.plot([0, 1], [0, 1], color="0.6", linewidth=0.9, linestyle=DASHES[1], zorder=0, label="by chance: 0.5")
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    axes.set_xlabel(f"share of the {roc.zeros:g} zeros above the threshold", fontsize=9)
    axes.set_ylabel(f"share of the {roc.ones:g} ones above it", fontsize=9)
    axes.tick_params(labelsize=8)
    drawn.legend(loc="outside right center", frameon=False, fontsize=9)
    drawn.suptitle(_title("ROC curve", roc.title), fontsize=10)
    drawn.supxlabel(_noted(roc.notes), fontsize=7)
    return drawn


def plot_calibration(found: "Calibration") -> "Figure":
    """Draw observed shares with their intervals against predicted ones, and where the predictions lie."""
    table, curve = found.table, found.curve
    drawn = figure(6.0, 4.4)
    above, below = drawn.subplots(2, 1, height_ratios=(4, 1), sharex=True)
    above.plot([0, 1], [0, 1], color="0.6", linewidth=0.9, linestyle=DASHES[1], zorder=0, label="as predicted")
    above.plot(curve["predicted"], curve["observed"], color=COLOURS[1], linewidth=1.3, label="isotonic regression")
    ends = np.abs(table[["lower", "upper"]].to_numpy().T - table["observed"].to_numpy())
    above.errorbar(
        table["predicted"],
        table["observed"],
        yerr=ends,
        fmt="o",
        color=COLOURS[0],
        markersize=4,
        linewidth=1.0,
        label=f"{len(table)} bin{'s' if len(table) > 1 else ''}, exact intervals",
    )
    above.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    above.set_ylabel("observed share", fontsize=9)
    _histogram(below, found)
    for axes in (above, below):
        axes.tick_params(labelsize=8)
    handles, names = above.get_legend_handles_labels()
    drawn.legend(
        handles,
        names,
        title=_noted(found.notes) or None,
        title_fontsize=7,
        loc="outside lower center",
        ncols=3,
        frameon=False,
        fontsize=8,
    )
    numbers = {"intercept": found.intercept, "slope": found.slope, "Brier score": found.brier, "ECE": found.ece}
    text = ", ".join(f"{name} {value:.3f}" if value == value else f"{name} unknown" for name, value in numbers.items())
    drawn.suptitle(f"{_title('Calibration', found.title)}\n{text}", fontsize=10)
    return drawn


def _histogram(axes: Any, found: "Calibration") -> None:
    """Draw ones upward and zeros downward by predicted probability."""
    p, ones, zeros = found.outcomes.p, found.outcomes.ones, found.outcomes.zeros
    edges = np.linspace(min(0.0, p.min()), max(1.0, p.max()), 51)
    up, down = (np.histogram(p, edges, weights=w)[0] for w in (ones, zeros))
    axes.bar(edges[:-1], up, np.diff(edges), align="edge", color=COLOURS[0], linewidth=0)
    axes.bar(edges[:-1], -down, np.diff(edges), align="edge", color="0.6", linewidth=0)
    axes.axhline(0, color="k", linewidth=0.6)
    most = float(max(up.max(), down.max()))
    axes.set_yticks([-most, 0, most], [f"{most:g} zeros", "0", f"{most:g} ones"])
    axes.set_xlabel("predicted probability", fontsize=9)


def _title(what: str, title: str) -> str:
    return lines(f"{what} of {title}" if title else what, 76)


def _noted(notes: tuple[str, ...]) -> str:
    """What has to be known to read the figure."""
    return "\n".join(lines(note, 105) for note in notes)
