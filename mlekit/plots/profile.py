"""The figure of a profile likelihood, with what Wald's approximation makes of it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mlekit.plots.base import COLOURS, DASHES, figure
from mlekit.predict import half_width

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from mlekit.contours import Contours
    from mlekit.profiling import Profile

# From the lowest point that is drawn to the height that an interval is cut at, at most, in heights of the cut.
_DEPTH = 2.5


def plot_profile(profile: "Profile", alpha: float) -> "Figure":
    """Draw log-likelihood and signed root of a profile, with the parabola and the straight line of Wald."""
    low, high = profile.interval(alpha)
    wald = profile.wald(alpha)
    table, line = profile.table, profile.line
    cut = half_width(alpha, None) ** 2
    inside = np.linspace(-2, 2, 201) * np.sqrt(cut)
    drawn = figure(8.0, 3.9)
    left, right = drawn.subplots(1, 2)
    with np.errstate(all="ignore"):
        wald_value = line.reported(line.estimate + inside * line.std_err)
    for axes, ours, theirs, level in (
        (left, table["llf"], line.height - inside**2 / 2, [line.height - cut / 2]),
        (right, table["root"], inside * line.direction, [-np.sqrt(cut), np.sqrt(cut)]),
    ):
        _draw(axes, (table["value"], ours), (wald_value, theirs))
        for height in level:
            axes.axhline(height, color="0.6", linewidth=0.8, linestyle=DASHES[2], zorder=0)
        axes.set_xlabel(profile.name.replace("$", r"\$"))
    left.set_ylim(line.height - _DEPTH * cut / 2, line.height + 0.1 * cut / 2)
    right.set_ylim(-_DEPTH * np.sqrt(cut) / 1.5, _DEPTH * np.sqrt(cut) / 1.5)
    left.set_ylabel("log-likelihood, all else at its best")
    right.set_ylabel("signed root of the likelihood ratio")
    for ends, colour, dash in (((low, high), COLOURS[0], DASHES[0]), (wald, COLOURS[1], DASHES[1])):
        for end in ends:
            if np.isfinite(end):
                left.axvline(end, color=colour, linestyle=dash, linewidth=0.8, ymax=_share(cut))
    values = table["value"].to_numpy()
    shown = values[np.isfinite(values)]
    for axes in (left, right):
        axes.set_xlim(_limits(np.concatenate([shown, [end for end in wald if np.isfinite(end)]])))
        axes.xaxis.get_major_locator().set_params(nbins=6)
    drawn.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False, fontsize=8)
    drawn.suptitle(
        f"{100 * (1 - alpha):g} % interval {low:.4g} to {high:.4g}; Wald {wald[0]:.4g} to {wald[1]:.4g}", fontsize=10
    )
    return drawn


def _draw(axes: Any, profile: tuple[Any, Any], wald: tuple[Any, Any]) -> None:
    axes.plot(*profile, color=COLOURS[0], linewidth=1.5, label="profile")
    axes.plot(*wald, color=COLOURS[1], linestyle=DASHES[1], linewidth=1.2, label="Wald")


def _share(cut: float) -> float:
    """Height of the cut on the axes, as a share."""
    return (_DEPTH - 1) * cut / ((_DEPTH + 0.1) * cut)


def _limits(values: np.ndarray) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    margin = 0.03 * (high - low) or 1.0
    return low - margin, high + margin


def plot_contours(pair: "Contours", alphas: Sequence[float]) -> "Figure":
    """Draw the contours of a pair at some levels, with the ellipses of Wald."""
    drawn = figure(5.4, 4.6)
    axes = drawn.subplots()
    for i, alpha in enumerate(alphas):
        for curve, colour, dash, name in (
            (pair.curve(alpha), COLOURS[0], DASHES[0], "profile"),
            (pair.wald(alpha), COLOURS[1], DASHES[1], "Wald"),
        ):
            closed = np.vstack([curve.to_numpy(), curve.to_numpy()[:1]])
            label = name if i == 0 else None
            axes.plot(*closed.T, color=colour, linestyle=dash, linewidth=1.6 - 0.3 * i, label=label)
    axes.plot(*pair.estimate, "+", color=COLOURS[-1], label="estimate")
    x, y = (name.replace("$", r"\$") for name in pair.names)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    drawn.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    levels = ", ".join(f"{100 * (1 - alpha):g}" for alpha in alphas)
    drawn.suptitle(f"Regions of level {levels} %", fontsize=10)
    return drawn
