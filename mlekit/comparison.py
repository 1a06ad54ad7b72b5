"""Analytic against numerical maximum likelihood: one model, fitted by several methods, side by side."""

import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from patsy import EvalEnvironment
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


# Log-likelihoods that differ by no more than this, relative to their size, are equal.
_ROUNDING = 1e-12


@dataclass(frozen=True, repr=False)
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
        return self.table.to_string(formatters=_FORMATS)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return self.table.to_html(formatters=_FORMATS)

    def plot(self) -> "Figure":
        """Draw how each method approaches the maximum: what is left of the log-likelihood, by iteration.

        Examples
        --------
        >>> from mlekit.datasets import load_africa
        >>> found = compare("miltcoup ~ parties", load_africa(), "poisson", methods=["newton", "bfgs"])
        >>> [line.get_label() for line in found.plot().axes[0].get_lines()][:2]
        ['newton', 'bfgs']
        """
        from mlekit.plots.traces import plot_traces

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
    env: int | EvalEnvironment = 0,
    **options: Any,
) -> Comparison:
    """Fit one model by several methods and compare where each stops.

    Parameters
    ----------
    formula, data, family, **options
        As for :func:`mlekit.fit` (``weights``, ``offset``, ``exposure``, ``fixed``, ``missing``, ``trusted``).
    methods : sequence of str, optional
        Default: closed form (where there is one), newton, fisher, bfgs, l-bfgs-b, nelder-mead.
    start : dict or array, optional
        Start of every iterative method; by default the one :func:`mlekit.fit` finds.
    env : int or patsy.EvalEnvironment
        How many calls up the variables are that a formula may use beside the data, or their scope itself.

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
    # The variables of the caller are one call further up from where the model is made.
    model = Model.from_formula(formula, data, family, env=env + 1 if isinstance(env, int) else env, **options)
    asked = [method_name(name) for name in methods or ()]
    _prepare(model)
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
    best = _best(fits)
    rows = [_row(fits[name], fits[best], seconds[name]) for name in fits]
    return Comparison(pd.DataFrame(rows, index=pd.Index(fits, name="method")), fits, best)


def _prepare(model: Model) -> None:
    """Do beforehand what all methods share, so that the first is not charged for it."""
    import scipy.optimize  # noqa: F401 (slow to import)

    _ = model.working, model.matrix, model.likelihood


def _best(fits: Mapping[str, ResultsWrapper]) -> str:
    """The method with the largest likelihood; among those equal to within rounding, that with the smallest score."""
    values = {name: fit.llf if np.isfinite(fit.llf) else -np.inf for name, fit in fits.items()}
    largest = max(values.values())
    equal = [name for name, value in values.items() if value >= largest - _ROUNDING * (1 + abs(largest))]
    return min(equal or fits, key=lambda name: _score(fits[name]))


def _score(fit: ResultsWrapper) -> float:
    gradient: Array = fit.model.likelihood.evaluate(np.asarray(fit.params), 1).gradient
    return float("inf") if gradient is None else float(np.abs(gradient * fit.nobs).max(initial=0.0))


def _row(fit: ResultsWrapper, best: ResultsWrapper, seconds: float) -> dict[str, Any]:
    with np.errstate(all="ignore"):
        apart = np.abs((fit.params - best.params) / best.bse)
        distance = apart.where(fit.params != best.params, 0.0).to_numpy()  # both may be infinite
    return {
        "status": fit.status.name.lower(),
        "iterations": fit.iterations,
        "evaluations": fit.optimum.evaluations,
        "llf": fit.llf,
        "max |score|": _score(fit),
        "distance (se)": float(distance.max(initial=0.0)),
        "seconds": seconds,
    }
