"""What is said of a fit that was counted anew and fitted again."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from mlekit.links import Array

#: A double has no more digits that could be right.
MOST_DIGITS = 15


@dataclass(frozen=True, repr=False)
class Verification:
    """What a fit is worth: checks that count it anew, and the digits of each coefficient that they leave.

    Made by :meth:`mlekit.results.Results.verify`. It is true in a condition if nothing failed.

    Attributes
    ----------
    table : pandas.DataFrame
        The checks: passed (missing where it does not apply or is not known), figure, cause and remedy.
    coefficients : pandas.DataFrame
        estimate, std err, apart (largest distance between refits, in standard errors), agreeing (digits in which all
        refits agree), lost (digits lost to the condition of the data), digits (those you may trust).
    """

    table: pd.DataFrame
    coefficients: pd.DataFrame = field(repr=False)

    @property
    def passed(self) -> bool:
        """Whether no check failed."""
        return not self.table.passed.eq(False).fillna(False).any()

    def __bool__(self) -> bool:
        return self.passed

    def __str__(self) -> str:
        failed = self.table[self.table.passed.eq(False).fillna(False)]
        asked = int(self.table.passed.notna().sum())
        count = len(failed)
        said = f"{count} of {asked} checks failed" if count else f"all {asked} checks passed"
        words = self.table.passed.map({True: "yes", False: "NO"}).astype(object).fillna("-")
        width = max(map(len, self.table.index))
        lines = [f"  {name:<{width}}  {words[name]:<3}  {self.table.figure[name]}" for name in self.table.index]
        for name in failed.index:
            lines += [f"{name}: {failed.cause[name]}. What to do: {failed.remedy[name]}"]
        shown = self.coefficients.to_string(formatters=_FORMATS)
        return "\n".join([f"Verification: {said}", *lines, "", shown])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return self.table.to_html() + self.coefficients.to_html(formatters=_FORMATS)


def _whole(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.0f}"


_FORMATS: Any = {
    "estimate": "{:.15g}".format,
    "std err": "{:.4g}".format,
    "apart": "{:.1e}".format,
    "agreeing": _whole,
    "lost": _whole,
    "digits": _whole,
}


def digits(error: Array, size: Array) -> Array:
    """How many significant digits an error leaves of a number, from 0 to 15, rounded down.

    Examples
    --------
    >>> digits(np.array([1e-8, 0.0, 2.0]), np.array([0.5, 3.0, 1.0])).tolist()
    [7.0, 15.0, 0.0]
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        left = np.floor(-np.log10(np.where(error == 0, 0.0, error / size)))
    return np.clip(np.nan_to_num(left, nan=0.0, posinf=MOST_DIGITS), 0, MOST_DIGITS)
