"""The figure of a likelihood: densities of a few values of a parameter, likelihood and log-likelihood of all."""

from typing import TYPE_CHECKING, Any

import numpy as np

from mlekit.families.base import GenericLikelihood
from mlekit.links import Array
from mlekit.plots.base import COLOURS, DASHES, figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_likelihood(
    family: GenericLikelihood, y: Array, param: str, values: Array, *, unit: str = "", **others: float
) -> "Figure":
    """Draw how probable a few values of a parameter make the data, and the likelihood of every value.

    Parameters
    ----------
    family : GenericLikelihood
    y : (n,) array
        The responses, in ``unit``.
    param : str
        The parameter that varies.
    values : (m,) array
        Its values, in increasing order.
    unit : str
        Unit of the responses, for the label of the axis.
    **others : float
        The family's other parameters, held fixed.

    Raises
    ------
    ValueError
        If the parameters named are not those of the family.

    Examples
    --------
    >>> from mlekit.families import Poisson
    >>> drawn = plot_likelihood(Poisson(), np.array([1.0, 3.0]), "mu", np.linspace(0.5, 5, 46))
    >>> [axes.get_xlabel() for axes in drawn.axes]
    ['response y', 'mu', 'mu']
    """
    if {param, *others} != set(family.params) or param in others:
        raise ValueError(
            f"the parameters of {type(family).__name__} are {', '.join(family.params)}: "
            f"one is to vary, and the others need a value, not {', '.join([param, *others])}"
        )
    y, values = np.asarray(y, dtype=float), np.asarray(values, dtype=float)

    def log_density(at: Array, value: float) -> Array:
        theta: dict[str, Any] = others | {param: value}
        with np.errstate(all="ignore"):
            return family.logpdf(at, *(np.full(at.shape, theta[name]) for name in family.params))

    total = np.array([log_density(y, value).sum() for value in values])
    best = float(values[np.argmax(total)])
    drawn = figure(6.4, 5.2)
    densities, *sums = drawn.subplot_mosaic([["densities"] * 2, ["likelihood", "log-likelihood"]]).values()
    grid = np.linspace(y.min() - 1.5 * np.ptp(y), y.max() + 1.5 * np.ptp(y), 301)
    if np.array_equal(y, np.round(y)) and not family.in_support(np.array([0.5]))[0]:
        grid = np.arange(max(0, y.min() - 2 * np.ptp(y)), y.max() + 2 * np.ptp(y) + 1)  # counts
    for i, value in enumerate(_shown(values, best)):
        look: dict[str, Any] = {"color": COLOURS[i], "linestyle": DASHES[i]}
        label = f"{param} = {value:.5g}" + (" (largest likelihood)" if value == best else "")
        densities.plot(grid, np.exp(log_density(grid, value)), label=label, **look)
        densities.vlines(y, 0, np.exp(log_density(y, value)), color=COLOURS[i], linewidth=0.8, alpha=0.6)
        for axes in sums:
            axes.axvline(value, linewidth=0.9, **look)
    densities.plot(y, np.zeros_like(y), "k|", markersize=12, markeredgewidth=1.5, label="the data")
    densities.set_xlabel(f"response y{f' ({unit})' if unit else ''}")
    densities.set_ylabel("density f(y)")
    densities.set_ylim(0, 1.35 * densities.get_ylim()[1])  # room for the legend
    densities.legend(frameon=False, fontsize=8, loc="upper center", ncols=2)
    for axes, curve, label in zip(
        sums, (np.exp(total), total), ("likelihood L", "log-likelihood l = log L"), strict=True
    ):
        axes.plot(values, curve, color="k", linewidth=1.3)
        axes.set_xlabel(f"{param}{f' ({unit})' if unit else ''}")
        axes.set_ylabel(label)
    return drawn


def _shown(values: Array, best: float) -> list[float]:
    """The best value, with one to either side."""
    sides = [float(np.quantile(values, share)) for share in (0.2, 0.8)]
    return [best, *(value for value in sides if value != best)]
