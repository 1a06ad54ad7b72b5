"""The figure of a comparison of methods: how each approaches the maximum."""

from typing import TYPE_CHECKING, Any

import numpy as np

from mlekit.plots.base import figure, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from mlekit.comparison import Comparison

# Beyond this many iterations the axis is logarithmic from the tenth on: a simplex takes hundreds, Newton five.
_MANY_ITERATIONS = 30


def plot_traces(comparison: "Comparison") -> "Figure":
    """Draw what is left of the log-likelihood after each iteration of each method, on a log scale."""
    drawn = figure()
    axes = drawn.subplots()
    best = comparison.fits[comparison.best].llf
    # Below this a difference of log-likelihoods is rounding.
    floor = max(1e-14, np.finfo(float).eps * abs(best)) if np.isfinite(best) else 1e-14
    longest = 0
    for i, (name, fit) in enumerate(comparison.fits.items()):
        steps, values = fit.trace["iteration"].to_numpy(float), fit.trace["llf"].to_numpy(float)
        if not steps.size:  # a closed form is there at once
            steps, values = np.zeros(1), np.array([fit.llf])
        left = np.maximum(best - values, floor)
        left[~np.isfinite(left)] = np.nan
        longest = max(longest, int(steps[-1]))
        every = max(1, steps.size // 40)
        axes.semilogy(steps, left, label=name, markevery=every, **style(i, len(comparison.fits)))
    axes.axhline(floor, color="0.6", linewidth=0.8, linestyle=":", zorder=0)
    axes.annotate(
        "rounding",
        (1, floor),
        (-3, -3),
        xycoords=("axes fraction", "data"),
        textcoords="offset points",
        ha="right",
        va="top",
        color="0.4",
        fontsize=8,
    )
    axes.set_ylim(bottom=floor / 30)
    if longest > _MANY_ITERATIONS:
        _lengthen(axes, longest)
    axes.set_xlabel("iteration")
    axes.set_ylabel("log-likelihood below the maximum")
    axes.set_title(f"How each method approaches the maximum, {best:.6g}", fontsize=10)
    drawn.legend(loc="outside right upper", frameon=False, fontsize=8)
    return drawn


def _lengthen(axes: Any, longest: int) -> None:
    """Show the first ten iterations evenly, and the others on a log scale."""
    axes.set_xscale("symlog", linthresh=10, linscale=1.5)
    ticks = [0, 2, 4, 6, 8, 10, *(m * 10**k for k in range(1, 7) for m in (2, 5, 10) if m * 10**k <= longest)]
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.set_xticks([], minor=True)
    axes.set_xlim(-0.5, 1.15 * longest)
