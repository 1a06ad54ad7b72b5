"""What the figures of a fit are drawn from: envelopes of residuals by simulation, and counts observed and expected."""

import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mlekit.diagnostics import NotGiven, thetas
from mlekit.families.base import GenericLikelihood
from mlekit.families.binomial import Binomial
from mlekit.families.categorical import Categorical
from mlekit.families.censored import Censored
from mlekit.links import Array
from mlekit.optimize.base import StartError
from mlekit.quantile_residuals import quantile_residuals
from mlekit.simulation import draw

if TYPE_CHECKING:
    from mlekit.row_diagnostics import RowDiagnostics

# More rows than this are not fitted again, all simulations together; nor where each is an integral.
_MOST_ROWS, _MOST_INTEGRALS = 5_000_000, 2000
_MOST_BARS = 40


@dataclass(frozen=True)
class Envelope:
    """Where sorted quantile residuals lie if the model is right.

    Attributes
    ----------
    low, high : (n,) arrays
        Ends of 95 %, for each place in the order.
    text : str
        How they were found.
    """

    low: Array
    high: Array
    text: str


def envelope(res: "RowDiagnostics", simulations: int, seed: Any) -> Envelope:
    """Simulate responses at the estimates, fit each again, and sort its quantile residuals.

    A fit makes residuals smaller than those of the truth, so each simulation is fitted as the data were. Where that is
    not possible (nobody knows when a censored response would have been censored), or where it would take long, the
    residuals are those of samples of the standard normal.

    Raises
    ------
    ValueError
        If ``simulations`` is not a whole number, at least 19.
    """
    if isinstance(simulations, bool) or not isinstance(simulations, int | np.integer) or simulations < 19:
        raise ValueError(f"simulations must be a whole number, at least 19, not {simulations!r}: 95 % need 20 or more")
    model, rng = res.model, np.random.default_rng(seed)
    n = len(model.endog)
    found: list[Array] = []
    most = _MOST_INTEGRALS if type(model.family).cdf is GenericLikelihood.cdf else _MOST_ROWS
    if isinstance(model.family, Binomial):
        most = _MOST_ROWS  # its tails are known without a distribution function
    if not isinstance(model.family, Censored) and n * simulations <= most:
        found = [sorted_ for _ in range(simulations) if (sorted_ := _refitted(res, rng)) is not None]
    text = f"95 % of {len(found)} simulated fits"
    if len(found) < max(19, simulations // 2):
        found = [np.sort(rng.standard_normal(n)) for _ in range(min(simulations, max(19, _MOST_ROWS // n)))]
        text = f"95 % of {len(found)} normal samples"
    low, high = np.quantile(np.stack(found), [0.025, 0.975], axis=0)
    return Envelope(low, high, text)


def _refitted(res: "RowDiagnostics", rng: np.random.Generator) -> Array | None:
    """Sorted residuals of one simulation; None if it cannot be fitted."""
    model = res.model
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the user's fit has its own verdict
            y = draw(model.family, model.endog, res._eta, rng)
            block = replace(model.observations.block, y=y)
            fit = res._refit(replace(model, observations=replace(model.observations, block=block)))
            if not fit.converged:
                return None
            found = quantile_residuals(model.family, y, fit._eta, rng)
    except (StartError, ValueError, ArithmeticError):
        return None
    return np.sort(found) if np.isfinite(found).all() else None


def count_table(res: "RowDiagnostics") -> pd.DataFrame:
    """Counts observed and expected under the fit: the first and the last count of each bar, and how often they occur.

    Raises
    ------
    NotGiven
        If a response is not a count.
    """
    family = res.model.family
    if not family.discrete or isinstance(family, Categorical | Censored) or family.response_columns:
        raise NotGiven(
            f"a rootogram is of counts, and a response of {family!r} is not one: plot_diagnostics() is for any family"
        )
    y, weight = res.model.endog, res.model.observations.block.each
    theta = thetas(family, res._eta)
    with np.errstate(all="ignore"):
        likely = family.ppf(np.full(y.shape, 0.999), *theta)
    first, last = min(0.0, y.min()), max(y.max(), np.max(likely[np.isfinite(likely)], initial=0.0))
    width = max(1.0, np.ceil((last - first + 1) / _MOST_BARS))
    starts = np.arange(first, last + 1, width)
    with np.errstate(all="ignore"):
        shares = np.array(
            [weight @ family.cdf(np.full(y.shape, end), *theta) for end in (first - 1, *(starts + width - 1))]
        )
    observed = np.bincount(((y - first) // width).astype(int), weights=weight, minlength=starts.size)
    return pd.DataFrame(
        {"first": starts, "last": starts + width - 1, "observed": observed, "expected": np.diff(shares)}
    )
