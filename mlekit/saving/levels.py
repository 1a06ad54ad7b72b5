"""Levels of text, truth, numbers, and ranges of numbers as pandas.cut makes them."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from mlekit.saving.text import SavedFitError, number, real, refuse


def level_record(value: Any) -> Any:
    """Write a level.

    Raises
    ------
    SavedFitError
        If it is something else than text, a boolean, a number or a range of numbers.

    Examples
    --------
    >>> level_record("a"), level_record(np.int64(3)), level_record(pd.Interval(0, 1.5))
    ('a', 3, {'from': 0, 'to': 1.5, 'closed': 'right'})
    """
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, bool | int):
        return value
    if isinstance(value, str):
        return str(value)
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, pd.Interval):
        return {"from": _end(value.left), "to": _end(value.right), "closed": value.closed}
    raise SavedFitError(
        f"the fit cannot be saved: it has a level {value!r} of type {type(value).__name__}, and a file has text, "
        "numbers, booleans and ranges of numbers. What to do: turn that column into text, and fit again"
    )


def _end(value: Any) -> Any:
    infinite = isinstance(value, float) and math.isinf(value)
    return number(value) if infinite else level_record(value)


def level(value: Any) -> Any:
    """Read a level."""
    if not isinstance(value, dict):
        return value
    low, high = (real(end) if isinstance(end, str) else end for end in (value["from"], value["to"]))
    try:
        return pd.Interval(low, high, value["closed"])
    except ValueError as error:
        refuse(f"it has a range of levels that is none: {error}")


def levels(values: Sequence[Any], what: str) -> list[Any]:
    """Read levels, each of which has to be another."""
    found = [level(value) for value in values]
    if len(set(found)) < len(found):
        refuse(f"{what} has a level twice")
    return found
