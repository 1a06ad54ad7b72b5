"""Analytic against numerical maximum likelihood: one model, fitted by several methods, side by side."""

import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from statsmodels.tools.sm_exceptions import ConvergenceWarning

from mlekit.families import GenericLikelihood
from mlekit.links import Array
from mlekit.model import Model
from mlekit.optimize import METHODS, method_name
from mlekit.results import ResultsWrapper

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Methods that are compared unless others are asked for.
DEFAULT_METHODS = ("closed_form", "newton", "fisher", "bfgs", "l-bfgs-b", "nelder-mead")


@dataclass(frozen=True)
class Comparison:
    """One model, fitted by several methods.

    Attributes
    ----------
    table : pandas.DataFrame
        One row per method: status, iterations, evaluations of the likelihood, llf, largest |score| (derivative of the
        log-likelihood), distance (largest over the coefficients from the best estimate, in standard errors), seconds.
    fits : dict
        The fits, by method.
    best : str
        The method with the largest likelihood, at equal likelihood with the smallest score.
    """

    table: pd.DataFrame
    fits: Mapping[str, ResultsWrapper] = field(repr=False)
    best: str

    @property
    def params(self) -> pd.DataFrame:
        """Coefficients, one column per method."""
        return pd.DataFrame({name: fit.params for name, fit in self.fits.items()})

    def __str__(self) -> str:
        with pd.option_context("display.width", 120, "display.max_columns", None):
            return self.table.to_string(formatters=_FORMATS)

    def _repr_html_(self) -> str:
        return self.table.to_html(formatters=_FORMATS)

    def plot(self) -> "Figure":
        """Draw how each method approaches the maximum: what is left of the log-likelihood, by iteration."""
        from mlekit.plots import plot_traces

        return plot_traces(self)


_FORMATS = {
    "llf": "{:.10g}".format,
    "max |score|": "{:.1e}".format,
    "distance (se)": "{:.1e}".format,
    "seconds": "{:.4f}".format,
}


def compare(
    formula: str | Mapping[str, str],
    data: Any = None,
    family: str | type[GenericLikelihood] | GenericLikelihood = "normal",
    *,
    methods: Sequence[str] | None = None,
    start: Any = None,
    **options: Any,
) -> Comparison:
    """Fit one model by several methods and compare where each stops.

    Parameters
    ----------
    formula, data, family, **options
        As for :func:`mlekit.fit` (``weights``, ``offset``, ``exposure``, ``missing``).
    methods : sequence of str, optional
        Default: closed form (where there is one), newton, fisher, bfgs, l-bfgs-b, nelder-mead.
    start : dict or array, optional
        Start of every iterative method; by default the one :func:`mlekit.fit` finds.

    Raises
    ------
    ValueError
        If a method is unknown, or one that was asked for by name cannot fit this model.

    Examples
    --------
    >>> from mlekit.datasets import load_africa
    >>> found = compare("miltcoup ~ parties", load_africa(), "poisson", methods=["newton", "bfgs"])
    >>> found.table.index.tolist(), found.best
    (['newton', 'bfgs'], 'newton')
    >>> bool(found.table["distance (se)"].max() < 1e-4)
    True
    """
    model = Model.from_formula(formula, data, family, env=1, **options)
    asked = [method_name(name) for name in methods or ()]
    fits, seconds = {}, {}
    for name in asked or DEFAULT_METHODS:
        begin = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # the table has a column for it
            try:
                fits[name] = model.fit(name, start=start if name in METHODS else None)
            except ValueError:
                if asked or name not in ("closed_form", "fisher"):
                    raise
                continue
        seconds[name] = time.perf_counter() - begin
    best = max(fits, key=lambda name: _rank(fits[name]))
    rows = [_row(fits[name], fits[best], seconds[name]) for name in fits]
    return Comparison(pd.DataFrame(rows, index=pd.Index(fits, name="method")), fits, best)


def _rank(fit: ResultsWrapper) -> tuple[float, float]:
    """Order fits by likelihood to within rounding, then by how small the score is."""
    llf = fit.llf if np.isfinite(fit.llf) else -np.inf
    return round(llf, 9 - int(np.log10(abs(llf) + 1))) if np.isfinite(llf) else llf, -_score(fit)


def _score(fit: ResultsWrapper) -> float:
    gradient: Array = fit.model.likelihood.evaluate(np.asarray(fit.params), 1).gradient
    return float("inf") if gradient is None else float(np.abs(gradient * fit.nobs).max(initial=0.0))


def _row(fit: ResultsWrapper, best: ResultsWrapper, seconds: float) -> dict[str, Any]:
    with np.errstate(all="ignore"):
        distance = np.abs((fit.params - best.params) / best.bse)
    return {
        "status": fit.status.name.lower(),
        "iterations": fit.iterations,
        "evaluations": fit.optimum.evaluations,
        "llf": fit.llf,
        "max |score|": _score(fit),
        "distance (se)": float(distance.max()) if len(distance) else 0.0,
        "seconds": seconds,
    }
