"""Figures of trainings: the loss by epoch, and the path of the coefficients over the loss surface."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mlekit.links import Array
from mlekit.plots.base import COLOURS, figure, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from mlekit.mean_loss import MeanLoss
    from mlekit.training import Training

# Losses that span more than this are drawn on a log scale.
_WIDE = 30.0
# Points along an axis of the surface, and the rows that it is drawn from at most.
_GRID, _ROWS = 50, 10_000
# Losses beyond so many times the first are out of the figure, and those for which an axis has no room.
_HUGE, _END = 1e30, 1e300
# The path of a training that diverged is drawn until its loss is so many times the first.
_LOST = 10.0


def plot_training(training: "Training") -> "Figure":
    """Draw the loss by epoch; with one or two coefficients also their path over the loss."""
    if training.params.size not in (1, 2):
        return plot_losses_by_epoch({"": training})
    drawn = figure(7.0, 3.6)
    left, right = drawn.subplots(1, 2)
    _loss_by_epoch(left, {"": training})
    (_curve if training.params.size == 1 else _surface)(right, training)
    return drawn


def plot_losses_by_epoch(trainings: "Mapping[str, Training]") -> "Figure":
    """Draw the losses of several trainings by epoch, by their labels.

    Raises
    ------
    ValueError
        If there are none, or their losses are not in one unit.
    """
    if not trainings:
        raise ValueError("no trainings to draw")
    units = {_unit(training) for training in trainings.values()}
    if len(units) > 1:
        raise ValueError(f"losses in different units have no common axis: {'; '.join(sorted(units))}")
    drawn = figure()
    _loss_by_epoch(drawn.subplots(), trainings)
    return drawn


def _unit(training: "Training") -> str:
    return f"{training.loss.name} ({training.unit})"


def _loss_by_epoch(axes: "Axes", trainings: "Mapping[str, Training]") -> None:
    values = []
    for i, (label, training) in enumerate(trainings.items()):
        epochs = training.history["epoch"].to_numpy(float)
        losses = training.history["loss"].to_numpy(float)
        limit = min(_HUGE * _size(training), _END)
        finite = np.abs(losses) < limit
        look = style(i, len(trainings)) | {"markersize": 4, "markevery": max(1, len(epochs) // 15)}
        axes.plot(epochs[finite], losses[finite], label=label, **look)
        values.append(losses[finite])
        if not finite.all():
            axes.axvline(epochs[~finite][0], color=look["color"], linewidth=0.8, linestyle=":")
            axes.annotate(
                f"beyond {limit:.0e} in epoch {epochs[~finite][0]:g}",
                (epochs[~finite][0], 0.02),
                (-3, 0),
                xycoords=("data", "axes fraction"),
                textcoords="offset points",
                ha="right",
                color=look["color"],
                fontsize=8,
            )
    seen = np.concatenate(values)
    if seen.size and seen.min() > 0 and seen.max() > _WIDE * seen.min():
        axes.set_yscale("log")
    axes.set_xlabel("epoch")
    axes.locator_params(axis="x", integer=True, min_n_ticks=1)
    axes.set_ylabel(_unit(next(iter(trainings.values()))))
    if any(trainings):
        axes.legend(frameon=False, fontsize=8)


def _size(training: "Training") -> float:
    """What is a loss of ordinary size: the first one, or a nat per row."""
    return training.objective.negligible(training.initial_loss, 1.0)


def _path(training: "Training") -> tuple[Array, bool]:
    """Coefficients at the start and after each epoch, as far as the path stays near, and whether it leaves."""
    points = training.path
    losses = np.append(training.history["loss"].to_numpy(), training.final_loss)[: len(points)]
    allowed = _LOST * _size(training) if training.status.name == "DIVERGED" else _END
    lost = ~(np.isfinite(points).all(axis=1) & (losses <= allowed))
    lost[0] = False
    count = int(np.argmax(lost)) if lost.any() else len(points)
    return points[: max(count, 1)], bool(lost.any())


def _minimum(training: "Training") -> Array | None:
    """Where the slope and curvature at the lowest point of the path put the minimum; None if it is not lower."""
    objective, here = training.objective, training.lowest
    curvature = objective.curvature(here)
    if curvature is None:
        return None
    there = here - curvature.solve(objective.gradient(here))
    return there if objective.value(there) <= objective.value(here) else None


def _sampled(objective: "MeanLoss") -> "tuple[MeanLoss, str]":
    """Return the mean loss of a few of the rows, and a note if these are not all."""
    rows = objective.likelihood.rows
    if rows <= _ROWS:
        return objective, ""
    some = np.random.default_rng(0).choice(rows, _ROWS, replace=False)
    return replace(objective, likelihood=objective.likelihood.part(some)), f"\nof {_ROWS} of the {rows} rows"


def _values(objective: "MeanLoss", points: Array) -> Array:
    """Losses at points, NaN where there is none."""
    with np.errstate(all="ignore"):
        values = np.array([objective.value(point) for point in points])
    return np.where(np.isfinite(values), values, np.nan)


def _curve(axes: "Axes", training: "Training") -> None:
    """The loss over one coefficient, with the path on it."""
    points, leaves = _path(training)
    minimum = _minimum(training)
    low, high = _range([*points[:, 0], *([] if minimum is None else minimum)])
    objective, note = _sampled(training.objective)
    line = np.linspace(low, high, 200)
    axes.plot(line, _values(objective, line[:, None]), color="0.5", linewidth=1.2, zorder=1)
    heights = _values(objective, points)
    _draw_path(axes, points[:, 0], heights, leaves)
    if minimum is not None:
        axes.plot(minimum, _values(objective, minimum[None]), "x", color="k", markersize=8, label="minimum")
    axes.set_xlabel(training.params.index[0])
    axes.set_ylabel(_unit(training))
    axes.set_title(f"{training.loss.name}{note}", fontsize=9)
    axes.legend(frameon=False, fontsize=8)


def _surface(axes: "Axes", training: "Training") -> None:
    """Contours of the loss over two coefficients, with the path."""
    points, leaves = _path(training)
    minimum = _minimum(training)
    around = points if minimum is None else np.vstack([points, minimum])
    first, second = (np.linspace(*_range(around[:, j]), _GRID) for j in (0, 1))
    objective, note = _sampled(training.objective)
    grid = np.array([(a, b) for b in second for a in first])
    heights = np.ma.masked_invalid(_values(objective, grid).reshape(_GRID, _GRID))
    if heights.count() and heights.max() > heights.min():
        # Closer together near the minimum, where the surface is flat; a corner may be far above all of the path.
        low, highest = heights.min(), training.history["loss"][: len(points)].max()
        top = min(heights.max(), 2 * highest - low) if highest > low else heights.max()
        levels = low + (top - low) * np.linspace(0, 1, 13)[1:-1] ** 3
        lines = axes.contour(first, second, heights, levels, colors="0.65", linewidths=0.8, zorder=1)
        axes.clabel(lines, levels[2::3], fontsize=7, fmt=lambda value: f"{value:.4g}")
    _draw_path(axes, points[:, 0], points[:, 1], leaves)
    if minimum is not None:
        axes.plot(*minimum, "x", color="k", markersize=8, label="minimum")
    axes.set_xlabel(training.params.index[0])
    axes.set_ylabel(training.params.index[1])
    axes.set_title(f"contours: {training.loss.name}{note}", fontsize=9)
    axes.legend(fontsize=8, framealpha=0.8)


def _range(values: Any) -> tuple[float, float]:
    """Ends of an axis with a margin around the values."""
    low, high = float(np.min(values)), float(np.max(values))
    margin = 0.15 * (high - low) or 0.1 * abs(high) or 1.0
    return low - margin, high + margin


def _draw_path(axes: "Axes", x: Array, y: Array, leaves: bool) -> None:
    marker = "." if len(x) <= 200 else ""
    label = "path (leaves the figure)" if leaves else "path, an epoch per point" if marker else "path"
    axes.plot(x, y, color=COLOURS[1], marker=marker, markersize=4, linewidth=1, label=label, zorder=2)
    axes.plot(x[:1], y[:1], "o", color=COLOURS[0], markersize=7, markerfacecolor="none", label="start", zorder=3)
    if not leaves:
        axes.plot(x[-1:], y[-1:], "s", color=COLOURS[0], markersize=5, label="end", zorder=3)
