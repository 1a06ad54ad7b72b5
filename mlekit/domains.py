"""Rows whose linear predictors leave a parameter's domain, which links such as identity, sqrt and inverse allow."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from mlekit.links import Array
from mlekit.messages import counted, warn

if TYPE_CHECKING:
    from mlekit.families.base import GenericLikelihood

# How many rows a warning names.
_NAMED = 5


def outside(family: "GenericLikelihood", eta: tuple[Array, ...], what: str, labels: pd.Index | None = None) -> Array:
    """Whether a linear predictor is beyond the domain of its parameter, which may be at the limit of that, ``(n,)``.

    Parameters
    ----------
    family : GenericLikelihood
    eta : tuple of (n,) arrays
    what : str
        What is predicted. Of a parameter of the family, the others do not matter; "linear" is never outside.
    labels : Index, optional
        Of the rows; by default their numbers.

    Warns
    -----
    RuntimeWarning
        If there are such rows; it names them, the parameter and the link.

    Examples
    --------
    >>> from mlekit.families import Poisson
    >>> outside(Poisson(), (np.array([1.0, -1.0]),), "mean").tolist()
    [False, False]
    """
    lost = np.zeros(eta[0].shape, dtype=bool)
    if what == "linear" and what not in family.params:
        return lost
    for (name, link), values, (low, high) in zip(family.links.items(), eta, family.eta_limits(), strict=True):
        if what in family.params and what != name:
            continue
        beyond = (values < low) | (values > high)
        lost |= beyond
        if beyond.any():
            rows = np.flatnonzero(beyond)
            named = ", ".join(map(str, (rows if labels is None else labels[rows])[:_NAMED]))
            more = f" and {rows.size - _NAMED} more" if rows.size > _NAMED else ""
            warn(
                f"{name} is outside its domain in {counted(rows.size, 'row')} of {lost.size} ({named}{more}), where "
                f"{what} is NaN: its linear predictor is {values[rows[0]]:g} in the first of them, and the {link.name} "
                f"link needs it in ({low:g}, {high:g}). The likely cause: such rows are far from those of the fit. "
                "What to do: predict nearer to the data, or fit a link that keeps the domain, such as 'log' or 'logit'",
                RuntimeWarning,
            )
    return lost


def blanked(values: Sequence[Array], rows: Array) -> tuple[Array, ...]:
    """Arrays or tables of numbers with NaN in some rows."""
    if not rows.any():
        return tuple(values)
    return tuple(
        v[~rows].reindex(v.index) if isinstance(v, pd.DataFrame) else np.where(rows, np.nan, v) for v in values
    )
