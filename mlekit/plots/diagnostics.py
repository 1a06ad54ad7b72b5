"""Figures that show whether a model is right: residuals four ways, and counts observed and expected."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import special, stats
from statsmodels.nonparametric.smoothers_lowess import lowess

from mlekit.links import Array
from mlekit.plots.base import COLOURS, figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from mlekit.envelopes import Envelope

# Rows that are drawn, at most, and rows that are named in each panel.
_DRAWN, _NAMED = 5000, 3
_GREY = "0.6"
#: Mean of the root of the size of a standard normal number.
_MEAN_ROOT = 2**0.25 * float(special.gamma(0.75)) / np.sqrt(np.pi)


def plot_diagnostics(
    residual: pd.Series, place: Array, place_text: str, influence: tuple[Array, Array], band: "Envelope", title: str
) -> "Figure":
    """Draw quantile residuals against the linear predictor, the normal, their size and their leverage.

    Parameters
    ----------
    residual : (n,) Series
    place : (n,) array
        The linear predictor, called ``place_text``.
    influence : pair of (n,) arrays
        Leverage and Cook's distance.
    band : Envelope
    title : str
    """
    values, names = residual.to_numpy(), residual.index.astype(str).to_numpy()
    size, (leverage, cook) = np.sqrt(np.abs(values)), influence
    n = values.size
    shown = np.arange(n)
    if n > _DRAWN:
        named = np.concatenate([_largest(size), _largest(cook)])
        shown = np.unique(np.append(np.random.default_rng(0).permutation(n)[: _DRAWN - named.size], named))
    drawn = figure(8.0, 6.6)
    panels = drawn.subplots(2, 2)
    for axes, x, y, worst, middle, smooth, texts in (
        (panels[0, 0], place, values, size, 0.0, True, (place_text, "quantile residual", "Residuals")),
        (panels[1, 0], place, size, size, _MEAN_ROOT, True, (place_text, "root of |quantile residual|", "Scale")),
        (panels[1, 1], leverage, values, cook, 0.0, False, ("leverage", "quantile residual", "Leverage")),
    ):
        axes.plot(x[shown], y[shown], "o", color=COLOURS[0], markersize=4, markerfacecolor="none", alpha=0.7)
        axes.axhline(middle, color=_GREY, linewidth=0.9, zorder=0, label="expected if the model is right")
        if smooth:
            _smooth(axes, x[shown], y[shown])
        _name(axes, x, y, names, worst)
        _labels(axes, *texts)
    _quantiles(panels[0, 1], values, names, band)
    known = {text: line for axes in panels.flat for line, text in zip(*axes.get_legend_handles_labels(), strict=True)}
    drawn.legend(known.values(), known.keys(), loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    note = "" if n <= _DRAWN else f"; {shown.size} of {n} rows drawn"
    drawn.suptitle(
        f"{title}{note}; named: largest residuals, largest Cook's distances".replace("$", r"\$"), fontsize=10
    )
    return drawn


def _smooth(axes: Any, x: Array, y: Array) -> None:
    """Draw a local regression, where there are enough different places for one."""
    some = np.isfinite(x) & np.isfinite(y)
    if np.unique(x[some]).size < 6:
        return
    with np.errstate(all="ignore"):
        curve = lowess(y[some], x[some], delta=0.01 * float(np.ptp(x[some])))
    axes.plot(*curve[np.isfinite(curve).all(axis=1)].T, color=COLOURS[1], linewidth=1.5, label="local regression")


def _largest(values: Array) -> Array:
    """Positions of the largest values, the largest first."""
    known = np.flatnonzero(np.isfinite(values))
    return np.asarray(known[np.argsort(values[known], kind="stable")[::-1][:_NAMED]])


def _name(axes: Any, x: Array, y: Array, names: Array, worst: Array) -> None:
    """Write the names of the rows that stand out most, towards the middle of the panel, beside one another."""
    known = np.isfinite(x) & np.isfinite(y)
    if not known.any():
        return
    low, high = (np.array([end(x[known]), end(y[known])]) for end in (np.min, np.max))
    size = np.where(high > low, high - low, 1.0)
    taken: list[tuple[float, float, float]] = []
    for i in _largest(np.where(known, worst, np.nan)):
        across, up = (np.array([x[i], y[i]]) - low) / size
        left, down = across > 0.5, up > 0.5
        width = 0.03 + 0.018 * len(names[i])
        ends = (across - width, across) if left else (across, across + width)
        # A name is in the way of two of the places at most, so one of five is free.
        places = up + (-0.07 if down else 0.07) * np.array([0.0, 1.0, 2.0, -1.0, -2.0])
        line = next(
            at
            for at in places.tolist()
            if not any(abs(at - o) < 0.068 and ends[0] < b and a < ends[1] for o, a, b in taken)
        )
        taken.append((line, *ends))
        axes.annotate(
            names[i].replace("$", r"\$"),
            (x[i], low[1] + line * size[1]),
            xytext=(-6 if left else 6, 0),
            textcoords="offset points",
            ha="right" if left else "left",
            va="center",
            fontsize=8,
        )


def _labels(axes: Any, x: str, y: str, title: str) -> None:
    axes.set_xlabel(x.replace("$", r"\$"), fontsize=9)
    axes.set_ylabel(y, fontsize=9)
    axes.set_title(title, fontsize=10)
    axes.tick_params(labelsize=8)
    axes.margins(x=0.08, y=0.08)
    axes.xaxis.get_major_locator().set_params(nbins=6)


def _quantiles(axes: Any, values: Array, names: Array, band: "Envelope") -> None:
    """Draw sorted residuals against the quantiles of the normal, with the envelope."""
    order = np.argsort(values, kind="stable")
    n = values.size
    theory = stats.norm.ppf((np.arange(n) + 0.5) / n)
    # Of very many, those at both ends are drawn all.
    kept = np.unique(np.concatenate([np.arange(min(n, 200)), np.linspace(0, n - 1, min(n, _DRAWN)).astype(int)]))
    kept = np.unique(np.concatenate([kept, n - 1 - kept]))
    axes.fill_between(theory[kept], band.low[kept], band.high[kept], color="0.85", linewidth=0, label=band.text)
    ends = theory[[0, -1]]
    axes.plot(ends, ends, color=_GREY, linewidth=0.9, label="expected if the model is right")
    x, y = theory[kept], values[order][kept]
    axes.plot(x, y, "o", color=COLOURS[0], markersize=4, markerfacecolor="none", alpha=0.7)
    _name(axes, theory, values[order], names[order], np.abs(values[order]))
    _labels(axes, "quantile of the normal", "quantile residual", "Normal quantiles")


def plot_rootogram(table: pd.DataFrame, title: str, response: str) -> "Figure":
    """Draw a hanging rootogram (Kleiber and Zeileis 2016): bars of observed counts hang from those expected.

    Parameters
    ----------
    table : DataFrame
        first, last, observed, expected, a row for each bar.
    title : str
    response : str
        Name of the response.
    """
    observed, expected = (np.sqrt(np.maximum(table[name].to_numpy(), 0.0)) for name in ("observed", "expected"))
    first, last = table["first"].to_numpy(), table["last"].to_numpy()
    middle, width = (first + last) / 2, float(last[0] - first[0]) + 1
    drawn = figure(7.0, 4.4)
    axes = drawn.subplots()
    axes.bar(middle, observed, 0.85 * width, bottom=expected - observed, color="0.8", edgecolor="0.4", label="observed")
    axes.plot(middle, expected, "o-", color=COLOURS[1], markersize=4, linewidth=1.5, label="expected")
    axes.axhline(0, color="k", linewidth=0.9)
    axes.set_xlabel((response if width == 1 else f"{response}, in bars of {width:g}").replace("$", r"\$"))
    axes.set_ylabel("root of the number of rows")
    axes.set_ylim(1.08 * min(0.0, float((expected - observed).min())) - 0.02 * expected.max(), 1.05 * expected.max())
    axes.set_title(f"{title}: bars that end above 0 are too rare, below 0 too many".replace("$", r"\$"), fontsize=10)
    axes.legend(frameon=False, fontsize=9)
    return drawn
