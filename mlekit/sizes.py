"""How large the matrices of a formula will be, before any of them is made."""

import ast
import math
import os
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from patsy import Term

from mlekit.formula import FormulaError, nodes

_SPLINES = ("bs", "cr", "cc")


def refuse_large(terms: Iterable[Iterable[Term]], values: Mapping[Any, Any], rows: int) -> None:
    """Refuse terms whose matrix would not fit into the memory of the machine.

    Parameters
    ----------
    terms : iterable of terms, per matrix
    values : dict
        Values of the factors that are known, by their ``key``.
    rows : int

    Raises
    ------
    FormulaError
        If one would not; the message names its largest term.
    """
    for each in terms:
        sizes = {term.name(): math.prod(_columns(factor, values) for factor in term.factors) for term in each}
        columns = sum(sizes.values())
        needed = 8.0 * columns * max(rows, *sizes.values(), 1)
        if needed > _memory():
            largest = max(sizes, key=lambda name: sizes[name])
            raise FormulaError(
                f"{largest} stands for {sizes[largest]} columns or more: with {rows} rows, the matrix would take "
                f"{needed / 2**30:.3g} GiB, more than the memory of this machine. Is a number, a date or an identifier "
                "taken for levels?"
            )


def _columns(factor: Any, values: Mapping[Any, Any]) -> int:
    """Columns that a factor has at least."""
    value = values.get(factor.key)
    if value is None:
        return _spline_columns(factor.code)
    contrast, value = getattr(value, "contrast", None), getattr(value, "data", value)  # of C()
    if isinstance(value, pd.Categorical):
        own = hasattr(contrast, "matrix") or isinstance(contrast, np.ndarray | list | tuple)
        return 1 if own else max(len(value.categories) - 1, 1)
    return value.shape[1] if getattr(value, "ndim", 1) == 2 else 1


def _spline_columns(code: str) -> int:
    """Columns of splines that say how many: those of ``te`` are a product."""
    found = 1
    for node in nodes(code):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _SPLINES:
            given = [word.value for word in node.keywords if word.arg == "df"] or node.args[1:2]
            df = given[0].value if given and isinstance(given[0], ast.Constant) else 1
            found *= max(df - 1, 1) if isinstance(df, int) else 1
    return found


def _memory() -> float:
    """Bytes of the machine's memory; 64 GiB where it does not say."""
    try:
        return float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, OSError, ValueError):
        return 2.0**36
