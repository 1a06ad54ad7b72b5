"""Figures. matplotlib is an optional extra: ``pip install "mlekit[plot]"``."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from mlekit.compare import Comparison

# Okabe and Ito's colours, told apart by colour-blind readers; markers tell them apart in grey.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_MARKERS = "osD^vPX"


def figure(width: float = 6.4, height: float = 4.0) -> "Figure":
    """Return an empty figure, without touching the state of pyplot.

    Raises
    ------
    ImportError
        If matplotlib is not installed; the message says how to install it.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError('plots need matplotlib: pip install "mlekit[plot]"') from None
    return Figure(figsize=(width, height), layout="constrained")


def plot_traces(comparison: "Comparison") -> "Figure":
    """Draw what is left of the log-likelihood after each iteration of each method, on a log scale."""
    drawn = figure()
    axes = drawn.subplots()
    best = comparison.fits[comparison.best].llf
    # Below this a difference of log-likelihoods is rounding.
    floor = max(1e-14, np.finfo(float).eps * abs(best))
    for i, (name, fit) in enumerate(comparison.fits.items()):
        trace = fit.trace
        if trace.empty:
            continue
        left = np.maximum(best - trace["llf"].to_numpy(), floor)
        style = {"color": _COLOURS[i % len(_COLOURS)], "marker": _MARKERS[i % len(_MARKERS)]}
        axes.semilogy(trace["iteration"], left, label=name, markersize=4, linewidth=1.3, **style)
    axes.axhline(floor, color="0.6", linewidth=0.8, linestyle=":")
    axes.annotate(
        "rounding",
        (1, floor),
        xycoords=("axes fraction", "data"),
        ha="right",
        va="bottom",
        color="0.4",
        fontsize=8,
    )
    axes.set_xlabel("iteration")
    axes.set_ylabel("log-likelihood below the maximum (nats)")
    axes.set_title(f"How each method approaches the maximum ({best:.6g})", fontsize=10)
    axes.legend(frameon=False, fontsize=9)
    return drawn
