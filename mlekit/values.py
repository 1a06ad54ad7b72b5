"""Values of expressions: checked, one per row, as numbers or as levels."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from patsy.categorical import _CategoricalBox
from patsy.util import SortAnythingKey

from mlekit.formula import FormulaError
from mlekit.links import Array
from mlekit.sources import as_column, row_name, rows_shape


def as_floats(column: Any, name: str | None) -> Any:
    """Return a column of numbers as a float array, and others as they are; without a name, whatever they lose.

    Raises
    ------
    FormulaError
        If whole numbers are so large that floats keep less than eight digits of their differences.
    """
    dtype = column.dtype if isinstance(column, pd.Series | np.ndarray) else None
    if isinstance(column, pd.Series) and dtype == "Int64":
        _refuse_blurred(column.dropna().to_numpy(np.int64), name)
        return column.to_numpy(float, na_value=np.nan)
    if not isinstance(dtype, np.dtype) or dtype.kind not in "if":
        return column
    if dtype.kind == "i":
        _refuse_blurred(np.asarray(column), name)
    return column.to_numpy(float) if isinstance(column, pd.Series) else column.astype(float)


_BLURRED = 1e-8


def _refuse_blurred(values: Array, name: str | None) -> None:
    low, high = (int(values.min()), int(values.max())) if values.size else (0, 0)
    largest = max(abs(low), abs(high))
    if name is not None and largest > 2**53 and 0 < _BLURRED * (high - low) < largest / 2**53:
        raise FormulaError(
            f"{name} has whole numbers from {low} to {high}, and floats do not tell such numbers apart: subtract "
            f"{low} from them before the fit, or make them a categorical"
        )


def refuse_unlearnable(code: str, part: str, value: Any, labels: pd.Index) -> None:
    """Refuse what a transform such as ``center`` cannot learn from: text, levels, times, infinite numbers.

    Raises
    ------
    FormulaError
        If it is one of these.
    """
    values = np.asarray(value)
    if values.dtype.kind not in "iuf" and not (isinstance(value, pd.Series) and value.dtype == "Int64"):
        kind = value.dtype if isinstance(value, pd.Series) else values.dtype
        raise FormulaError(f"{code} is a transform of numbers, and {part} is of type {kind}: leave it as it is, or C()")
    infinite = np.isinf(values.astype(float, copy=False) if values.dtype.kind == "f" else np.zeros(len(values)))
    bad = infinite if infinite.ndim == 1 else infinite.any(axis=1)
    if bad.any():
        raise FormulaError(
            f"{part} is infinite in row {row_name(labels, bad)}, so that {code} has no finite values: drop the row, or "
            "mark it missing (NaN)"
        )


def checked_value(code: str, value: Any, labels: pd.Index, coded: bool = False, others: bool = False) -> Any:
    """Return the value of an expression as :class:`Rows` keeps it; ``coded`` is inside ``C()``."""
    if isinstance(value, _CategoricalBox):
        data = checked_value(code, value.data, labels, coded=True)
        if isinstance(data, np.ndarray) or value.levels is not None:
            data = categorical(code, value.data, value.levels, others)
        return _CategoricalBox(data, value.contrast, None if value.levels is None else tuple(value.levels))
    shape = rows_shape(value)
    if shape[:1] != (len(labels),) or len(shape) > 2:
        found = f"has {shape[0]} rows" if shape else "is a single value"
        raise FormulaError(f"{code} {found}, and the data have {len(labels)} rows: it must have one value per row")
    if isinstance(value, pd.Series | pd.DataFrame) and not value.index.equals(labels):
        raise FormulaError(f"{code} has other row labels than the data: it must keep the rows and their order")
    if len(shape) == 1 and not (isinstance(value, np.ndarray) and value.dtype.kind in "iuf"):
        value = as_column(value)
        if value.dtype.kind in "mM" and not coded:
            raise FormulaError(f"{code} is a time: write C({code}) for levels, or a number such as {code}.dt.year")
        if isinstance(value.dtype, pd.CategoricalDtype) or value.dtype.kind not in "iufc":
            return categorical(code, value)
        value = as_floats(value, None if coded else code)
    array = np.asarray(value)
    if array.dtype.kind == "i" and not coded:
        as_floats(array, code)
    if array.dtype.kind not in "iufb":
        raise FormulaError(f"{code} is of type {array.dtype}: a variable must be of real numbers, or text to be coded")
    return array


def categorical(code: str, values: Any, levels: Sequence[Any] | None = None, others: bool = False) -> pd.Categorical:
    """Values with their levels: those given, those of a Categorical, or all that occur, sorted."""
    column = as_column(values)
    if column is None or isinstance(column, np.ndarray | pd.DataFrame):
        raise FormulaError(f"{code} has several columns: levels are those of one")
    if levels is None and isinstance(column.dtype, pd.CategoricalDtype):
        return pd.Categorical(column)
    present = column.dropna().drop_duplicates().tolist()
    if levels is None:
        truth = set(map(type, present)) <= {bool} and (present or column.dtype == bool)
        levels = [False, True] if truth else sorted(present, key=SortAnythingKey)
    if others:
        return pd.Categorical(column).set_categories(list(levels))
    refuse_others(code, present, levels, "that levels= leaves out")
    return pd.Categorical(column, categories=list(levels))


def refuse_others(code: str, present: Iterable[Any], levels: Sequence[Any], why: str) -> None:
    """Refuse values that are none of the levels."""
    known = set(levels)
    others = [value for value in present if value not in known]
    if others:
        raise FormulaError(
            f"{code} has level{'s' if len(others) > 1 else ''} {', '.join(map(repr, others))} {why}: "
            f"it knows {', '.join(map(repr, levels))}"
        )


def absent(value: Any) -> Array:
    """Rows where a value is missing."""
    value = value.data if isinstance(value, _CategoricalBox) else value
    mask = np.asarray(pd.isna(value), dtype=bool)
    return mask if mask.ndim == 1 else np.asarray(mask.any(axis=1))


def take(value: Any, used: Array | None) -> Any:
    """Return the value of a factor on the rows in use, without the levels that occur in none of them."""
    if isinstance(value, _CategoricalBox):
        data = value.data if used is None else value.data[used]
        return _CategoricalBox(data if value.levels is not None else take(data, None), value.contrast, value.levels)
    value = value if used is None else value[used]
    truth = isinstance(value, pd.Categorical) and value.categories.dtype == bool
    return value.remove_unused_categories() if isinstance(value, pd.Categorical) and not truth else value
