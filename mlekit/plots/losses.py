"""The figure of losses: each and its gradient by the size of an error, and what an outlier does to the estimates."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mlekit.links import Array
from mlekit.plots.base import COLOURS, figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from mlekit.losses import Loss

# The error that is drawn is one of ten; of the others, half are 1 and half are -1.
_ROWS = 10
_LARGEST = 6.0


def plot_losses(losses: "Sequence[Loss]", y: Any, *, unit: str = "") -> "Figure":
    """Draw each loss and its gradient by the size of one error, and its constant minimiser by the last response."""
    odd = [repr(loss) for loss in losses if loss.kind != "residual"]
    if odd:
        raise ValueError(f"{', '.join(odd)} is no loss of the error y - yhat, which is the axis of the figure")
    drawn = figure(7.2, 4.6)
    drawn.get_layout_engine().set(wspace=0.06)  # type: ignore[union-attr, call-arg]
    panels = drawn.subplot_mosaic([["loss", "outlier"], ["gradient", "outlier"]])
    _draw_errors(panels["loss"], panels["gradient"], losses, unit)
    _draw_outlier(panels["outlier"], losses, losses[0].responses(y), unit)
    handles, names = panels["loss"].get_legend_handles_labels()
    columns = 4 if max(map(len, names)) < 15 else 2
    drawn.legend(handles, names, loc="outside lower center", ncols=columns, frameon=False, fontsize=9)
    return drawn


def _draw_errors(above: Any, below: Any, losses: "Sequence[Loss]", unit: str) -> None:
    """Draw value and gradient, as they come, of rows of which one has the error on the axis."""
    errors = np.linspace(-_LARGEST, _LARGEST, 241)
    others = np.where(np.arange(_ROWS - 1) % 2, -1.0, 1.0)
    for i, loss in enumerate(losses):
        samples = [np.append(others, error) for error in errors]
        above.plot(errors, [loss.value(sample, 0.0) for sample in samples], label=_label(loss, unit), **_look(i))
        slopes = np.array([loss.gradient(sample, 0.0)[-1] for sample in samples])
        # A jump is no steep line.
        steps = np.abs(np.diff(slopes))
        jumps = np.flatnonzero(steps > 20 * np.median(steps) + 0.05 * np.ptp(slopes))
        below.plot(np.insert(errors, jumps + 1, errors[jumps]), np.insert(slopes, jumps + 1, np.nan), **_look(i))
    above.set_title(f"Loss: {_ROWS - 1} errors are ±1, one varies", fontsize=9)
    above.set_ylabel("loss (units below)")
    above.set_ylim(bottom=0)
    above.tick_params(labelbottom=False)
    below.axhline(0, color="0.7", linewidth=0.8, zorder=0)
    below.set_ylabel(f"gradient{_in(f'per {unit}' if unit else '')}")
    below.set_xlabel(f"varying error y - yhat{_in(unit)}")


def _draw_outlier(axes: Any, losses: "Sequence[Loss]", y: Array, unit: str) -> None:
    """Draw the constant minimisers as the last response moves away; equal ones are one line."""
    reach = float(np.ptp(y)) or 1.0
    places = y[-1] + np.linspace(0, 6 * reach, 121)
    curves: dict[bytes, list[int]] = {}
    for i, loss in enumerate(losses):
        curve = np.array([loss.constant_minimiser(np.append(y[:-1], place)) for place in places])
        curves.setdefault(curve.tobytes(), []).append(i)
    for values, which in curves.items():
        kinds: dict[str, list[str]] = {}
        for i in which:
            kinds.setdefault(losses[i].minimiser, []).append(losses[i].label)
        label = "\n".join(_short(kind, ", ".join(names)) for kind, names in kinds.items())
        axes.plot(places, np.frombuffer(values), label=label, **_look(which[0]))
    for i, response in enumerate(y[:-1]):
        axes.axhline(response, color="0.8", linewidth=0.8, zorder=0, label="" if i else "the other responses")
    axes.set_title(f"Last of {y.size} responses moves away", fontsize=9)
    axes.set_xlabel(f"last response{_in(unit)}", loc="left")  # a power of ten stands on the right
    axes.set_ylabel(f"constant minimiser{_in(unit)}")
    low, high = axes.get_ylim()
    axes.set_ylim(low, high + (0.1 + 0.09 * (1 + len(losses))) * (high - low))  # room for the legend
    axes.legend(loc="upper left", frameon=False, fontsize=8)


def _look(i: int) -> dict[str, Any]:
    return {"color": COLOURS[i % len(COLOURS)], "linestyle": ("-", "--", "-.", ":")[i % 4], "linewidth": 1.6}


def _short(minimiser: str, names: str) -> str:
    both = f"{minimiser}: {names}"
    return both if len(both) < 28 else names


def _label(loss: "Loss", unit: str) -> str:
    units = {"that of y": unit or "unit of y", "that of y squared": f"{unit}²" if unit else "unit of y²"}
    return f"{loss.label}{_in(units.get(loss.unit, ''))}"


def _in(unit: str) -> str:
    return f" ({unit})" if unit else ""
