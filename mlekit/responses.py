"""Responses of several columns, as formulas write them on the left: censored times, successes and failures."""

from typing import Any

import numpy as np

from mlekit.links import Array

_TYPES = ("right", "left", "interval")


def Surv(time: Any, event: Any = None, type: str = "right") -> Array:
    """Return a response that is known exactly, or only to lie beyond a time or between two: R's ``survival::Surv``.

    Parameters
    ----------
    time : (n,) array
        What was observed; of an interval, its lower end.
    event : (n,) array, optional
        With ``"right"`` and ``"left"``: 1 or true where ``time`` is exact, 0 or false where the response is only known
        to be larger (right) or smaller (left). With ``"interval"``: the upper end. Without it, every time is exact.
    type : {"right", "left", "interval"}
        An interval may be open, ``-inf`` to ``inf``; its two ends are equal where the response is exact. (R writes
        this ``type="interval2"``, and a missing end for an open one: here a missing value is missing.)

    Returns
    -------
    (n, 2) array
        Lower and upper end of each response; NaN where anything is missing.

    Raises
    ------
    ValueError
        If an event is neither 0 nor 1, an interval ends before it begins, or lengths differ.

    Examples
    --------
    >>> Surv([5.0, 8.0], [1, 0]).tolist()
    [[5.0, 5.0], [8.0, inf]]
    >>> Surv([2.0, 3.0], [4.0, float("inf")], type="interval").tolist()
    [[2.0, 4.0], [3.0, inf]]
    """
    if type not in _TYPES:
        raise ValueError(f"Surv has no type {type!r}: it is {', '.join(map(repr, _TYPES))}")
    lower = _numbers(time, "the time of Surv")
    if event is None:
        if type == "interval":
            raise ValueError("Surv(lower, upper, type='interval') needs both ends")
        return np.column_stack([lower, lower])
    other = _numbers(event, "the upper end of Surv" if type == "interval" else "the event of Surv")
    if lower.shape != other.shape:
        raise ValueError(f"Surv takes as many events as times: {other.size} and {lower.size}")
    missing = np.isnan(lower) | np.isnan(other)
    if type == "interval":
        ends = np.column_stack([lower, other])
        if (lower > other).any():
            first = int(np.flatnonzero(lower > other)[0])
            raise ValueError(
                f"an interval of Surv ends before it begins: {lower[first]:g} to {other[first]:g}, in row {first}"
            )
    else:
        wrong = ~np.isin(other[~missing], (0.0, 1.0))
        if wrong.any():
            raise ValueError(
                f"the event of Surv is 1 (it happened) or 0 (censored), not {other[~missing][wrong][0]:g}: "
                "where 2 is an event and 1 is not, as in some data of R, write event == 2"
            )
        open_end = np.where(other == 1, lower, np.inf if type == "right" else -np.inf)
        ends = np.column_stack([lower, open_end] if type == "right" else [open_end, lower])
    ends[missing] = np.nan
    return ends


def cbind(successes: Any, failures: Any) -> Array:
    """Return the two counts of a binomial response, as R's ``cbind(successes, failures)``.

    Parameters
    ----------
    successes, failures : (n,) arrays
        Counts. Of ``n`` trials, the failures are ``n - successes``.

    Returns
    -------
    (n, 2) array

    Raises
    ------
    ValueError
        If lengths differ.

    Examples
    --------
    >>> cbind([3, 0], [1, 4]).tolist()
    [[3.0, 1.0], [0.0, 4.0]]
    """
    first, second = _numbers(successes, "the successes of cbind"), _numbers(failures, "the failures of cbind")
    if first.shape != second.shape:
        raise ValueError(f"cbind takes as many failures as successes: {second.size} and {first.size}")
    return np.column_stack([first, second])


def _numbers(values: Any, what: str) -> Array:
    """Return one column as floats."""
    try:
        column = np.asarray(values, dtype=float)
    except (TypeError, ValueError):
        raise ValueError(f"{what} must be numbers, one per row") from None
    if column.ndim != 1:
        raise ValueError(f"{what} must have one dimension, not {column.ndim}")
    return column


#: Functions that formulas know.
RESPONSES = {"Surv": Surv, "cbind": cbind}
