"""Where the rows come from: every kind of table becomes columns, every set of arrays becomes blocks of rows."""

import datetime
import decimal
import numbers
import reprlib
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mlekit.links import Array

#: Rows per block: few enough that its temporaries are small, enough that Python takes little of the time.
BLOCK_ROWS = 32_768


@dataclass(frozen=True)
class Block:
    """Some rows of the data, as the likelihood sees them.

    Attributes
    ----------
    y : (n,) array, or (n, m) for a response of several columns
    X, offset : tuples
        One (n, p) matrix and one (n,) array (or None) per distribution parameter.
    weight : (n,) array or None
        Frequency weights; None means one each.
    """

    y: Array
    X: tuple[Array, ...]
    offset: tuple[Array | None, ...]
    weight: Array | None = None

    def __len__(self) -> int:
        return len(self.y)

    @property
    def each(self) -> Array:
        """The weight of each row, ones where none was given."""
        return np.ones(len(self)) if self.weight is None else self.weight

    def rows(self, chosen: slice | Array) -> "Block":
        """Return the block with only the chosen rows (views, for a slice)."""
        return Block(
            self.y[chosen],
            tuple(x[chosen] for x in self.X),
            tuple(None if o is None else o[chosen] for o in self.offset),
            None if self.weight is None else self.weight[chosen],
        )

    def cut(self, size: int = BLOCK_ROWS) -> Iterator["Block"]:
        """Walk the rows in blocks of ``size``, in order."""
        if len(self) <= size:
            yield self
            return
        for first in range(0, len(self), size):
            yield self.rows(slice(first, first + size))


@dataclass(frozen=True)
class Table:
    """Columns of one length, with a label for each row.

    Attributes
    ----------
    columns : dict
        A pandas Series as :func:`plain` returns it; a matrix that serves as one variable has two dimensions.
    labels : pandas.Index
    known : tuple of str
        Names of all columns that the table has, for messages: ``columns`` are those that a formula uses.
    """

    columns: Mapping[str, Any]
    labels: pd.Index
    known: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.labels)

    def rows(self, chosen: Array) -> "Table":
        """Return the table with only the rows of a mask."""
        columns = {name: column[chosen] for name, column in self.columns.items()}
        return Table(columns, self.labels[chosen], self.known)

    def with_columns(self, values: Mapping[str, Any]) -> "Table":
        """Return the table with more columns, of as many rows."""
        columns, _ = _gather(values, self.labels)
        return Table({**self.columns, **columns}, self.labels, self.known)

    def typed(self, dtypes: Mapping[str, Any]) -> "Table":
        """Return the table with the categorical dtypes that columns had elsewhere; new levels come last."""
        columns = {name: _typed(column, dtypes.get(name)) for name, column in self.columns.items()}
        return Table(columns, self.labels, self.known)

    def missing(self, names: Iterable[str]) -> Array:
        """Rows where one of the named columns has no value; names that are not columns are skipped."""
        mask = np.zeros(len(self), dtype=bool)
        for name in set(names) & set(self.columns):
            absent = np.asarray(pd.isna(self.columns[name]))
            mask |= absent if absent.ndim == 1 else absent.any(axis=1)
        return mask


def as_table(data: Any, wanted: Iterable[str] | None = None) -> Table:
    """Return the wanted columns of a table, each in a plain dtype.

    Parameters
    ----------
    data : pandas.DataFrame, polars.DataFrame, pyarrow.Table, or mapping of arrays
    wanted : iterable of str, optional
        Column names as text; those that the table lacks are skipped (a formula may mean a variable of the caller's). A
        column whose name is a number, or the same text in other characters (Unicode's NFKC, which Python applies to
        names), is found too.

    Raises
    ------
    TypeError
        If ``data`` is none of these.
    ValueError
        If the columns of a mapping differ in length or in index, a column name occurs twice, or a column holds what is
        neither numbers nor text nor times; the message names it.

    Examples
    --------
    >>> as_table({"x": [1, 2], "y": [3, 4]}, ["y"]).columns["y"].tolist()
    [3, 4]
    """
    names = column_names(data)
    chosen = [(name, name) for name in names] if wanted is None else _found(names, wanted)
    keys = [key for key, _ in chosen]
    if len(set(keys)) < len(keys):
        twice = sorted({repr(key) for key in keys if keys.count(key) > 1})
        raise ValueError(f"the data have more than one column named {', '.join(twice)}: rename them")
    known = tuple(map(str, names))
    if isinstance(data, Mapping):
        columns, labels = _gather({key: data[name] for key, name in chosen})
        if not chosen and data:  # an intercept needs the number of rows all the same
            labels = _gather({name: data[name] for name in names[:1]})[1]
        return Table(columns, labels, known)
    # polars and pyarrow: column by column, so that only what the formula uses is converted.
    columns = {}
    for key, name in chosen:
        with _reading(key):
            columns[key] = as_column(data[name])
    return Table(columns, data.index if isinstance(data, pd.DataFrame) else pd.RangeIndex(len(data)), known)


def _found(names: Sequence[Any], wanted: Iterable[str]) -> list[tuple[str, Any]]:
    """Names that are wanted and those of their columns, in the order of the table."""
    searched = set(wanted)
    found = [(name, name) for name in names if isinstance(name, str) and name in searched]
    lacking = searched - {key for key, _ in found}
    if not lacking:
        return found
    same = {unicodedata.normalize("NFKC", key): key for key in lacking}
    others = [name for name in names if not (isinstance(name, str) and name in searched)]
    return found + [(same[text], name) for name in others if (text := unicodedata.normalize("NFKC", str(name))) in same]


@contextmanager
def _reading(name: str) -> Iterator[None]:
    """Name the column that cannot be read, whatever goes wrong."""
    try:
        yield
    except (TypeError, ValueError, ArithmeticError, LookupError, AttributeError, NotImplementedError) as error:
        raise ValueError(f"the column {name!r} cannot be read as numbers, text or times: {error}") from error


def column_names(data: Any) -> list[Any]:
    """Names of the columns of any table that :func:`as_table` takes."""
    if isinstance(data, Mapping):
        return list(data)
    if isinstance(data, type):
        raise TypeError(f"data is {data.__name__} itself: pass a table")
    if hasattr(data, "collect_schema") and hasattr(data, "collect"):
        raise TypeError(f"data is a {type(data).__name__}: collect() it into a table first")
    for attribute in ("column_names", "columns"):  # pyarrow first: its .columns are the data
        names = getattr(data, attribute, None)
        if names is not None:
            return list(names)
    raise TypeError(
        f"data must be a pandas or polars DataFrame, a pyarrow Table or a dict of arrays, not {type(data).__name__}"
    )


def _gather(values: Mapping[str, Any], labels: pd.Index | None = None) -> tuple[dict[str, Any], pd.Index]:
    """Put variables side by side under one index: that of the first that has one, which the others must share."""
    columns = {}
    for name, value in values.items():
        with _reading(name):
            columns[name] = as_column(value)
        if columns[name] is None:
            raise ValueError(f"the column {name!r} has no rows: it is {reprlib.repr(value)}")
    sizes = {name: len(column) for name, column in columns.items()}
    if len(set(sizes.values())) > 1:
        raise ValueError(
            "the columns differ in length: " + ", ".join(f"{name} has {size} rows" for name, size in sizes.items())
        )
    for name, value in values.items():
        if not isinstance(value, pd.Series | pd.DataFrame):
            continue
        labels = value.index if labels is None else labels
        if not labels.equals(value.index):
            raise ValueError(
                f"{name!r} is a {type(value).__name__} with another index than the other data: align it with them, "
                "or pass its values (.to_numpy()) if the rows are in the same order"
            )
    if labels is None:
        labels = pd.RangeIndex(next(iter(sizes.values()), 0))
    return {n: c.set_axis(labels) if isinstance(c, pd.Series) else c for n, c in columns.items()}, labels


def as_column(value: Any) -> Any:
    """Return any sequence as a plain Series, a matrix as it is, and None for what has no rows."""
    if isinstance(value, pd.Series):
        return plain(value)
    if isinstance(value, pd.DataFrame):
        return value
    shape = rows_shape(value)
    if len(shape) == 2:
        return unmasked(np.asanyarray(value))
    if len(shape) != 1:
        return None
    source = type(value).__module__.partition(".")[0]
    if source == "polars":
        return _from_polars(value)
    if source == "pyarrow":
        return _from_arrow(value)
    return plain(pd.Series(value))


def unmasked(value: Any) -> Any:
    """Return an array without a mask: what is masked is missing."""
    return np.ma.filled(value.astype(float), np.nan) if isinstance(value, np.ma.MaskedArray) else np.asarray(value)


def rows_shape(value: Any) -> tuple[int, ...]:
    """Shape of a variable as data: empty for text, functions, and whatever else is no array."""
    try:
        shape = np.shape(value)
    except (TypeError, ValueError):  # ragged lists, objects that refuse to be arrays
        return ()
    return shape if isinstance(shape, tuple) else ()  # the module numpy has a shape: a function


def _typed(column: Any, dtype: pd.CategoricalDtype | None) -> Any:
    own = isinstance(column, pd.Series) and isinstance(column.dtype, pd.CategoricalDtype)
    if dtype is None:
        return plain(column.astype(object)) if own else column
    levels = list(dtype.categories)
    new = [level for level in column.dropna().unique() if level not in levels]
    return pd.Series(pd.Categorical(column, categories=levels + new, ordered=dtype.ordered), column.index)


def row_name(labels: pd.Index, mask: Array) -> str:
    """Label of the first row of a mask, for messages: a plain number rather than NumPy's."""
    label = labels[int(np.argmax(mask))]
    return repr(label.item() if isinstance(label, np.generic) else label)


def _from_polars(column: Any) -> pd.Series:
    """One polars Series. A Categorical is text: polars keeps no order of its levels; an Enum does."""
    dtype = column.dtype
    if type(dtype).__name__ == "Enum":
        return pd.Series(pd.Categorical(column.to_list(), categories=list(dtype.categories), ordered=True))
    if dtype.is_float() or (dtype.is_integer() and not column.null_count()):
        return plain(pd.Series(column.to_numpy()))
    return plain(pd.Series(column.to_list(), dtype=object))


def _from_arrow(column: Any) -> pd.Series:
    """One pyarrow array."""
    return plain(column.to_pandas(date_as_object=False, integer_object_nulls=True))


def plain(column: pd.Series) -> pd.Series:
    """Return a column in one of few dtypes: what it means decides, not how it is stored.

    Numbers become int64 or float64, so that no arithmetic in a formula wraps around or loses digits. Nullable, Arrow
    and object columns become what they hold. Missing values are NaN, None among text, and NA among booleans and whole
    numbers (Int64), which stay that.

    Examples
    --------
    >>> plain(pd.Series([0.5, None], dtype="Float32")).tolist()
    [0.5, nan]
    """
    dtype = column.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        return column
    if isinstance(dtype, pd.ArrowDtype):
        return _from_arrow(column.array.__arrow_array__()).set_axis(column.index)  # type: ignore[attr-defined]
    if not isinstance(dtype, np.dtype):
        return _from_extension(column)
    if dtype.kind in "OSU":
        return _from_objects(column.astype(object))
    if dtype.kind == "V":
        raise ValueError(f"it is of type {dtype}")
    if dtype.kind == "f":
        return column if dtype == np.float64 else column.astype(np.float64)
    if dtype.kind in "iu" and dtype != np.int64:
        large = len(column) and column.max() > np.iinfo(np.int64).max
        return _as_floats(column) if large else column.astype(np.int64)
    return column


def _as_floats(column: pd.Series) -> pd.Series:
    """Whole numbers that are too large for int64, as floats.

    Raises
    ------
    ValueError
        If floats do not tell them apart.
    """
    found = column.astype(np.float64)
    if found.nunique() < column.nunique():
        raise ValueError(
            f"it has whole numbers of up to {column.max()}, which floats do not tell apart: subtract {column.min()} "
            "from them, or make them a categorical"
        )
    return found


def _from_extension(column: pd.Series) -> pd.Series:
    """One column of a dtype of pandas' own."""
    dtype, absent = column.dtype, column.isna()
    if pd.api.types.is_bool_dtype(dtype):
        return column.astype("boolean" if absent.any() else bool)
    if pd.api.types.is_string_dtype(dtype):
        return column.astype(object).where(~absent, None)
    if pd.api.types.is_integer_dtype(dtype) and absent.any():
        return column.astype("Int64")
    if pd.api.types.is_numeric_dtype(dtype):
        return plain(column.astype(float) if absent.any() else pd.Series(column.to_numpy(), column.index))
    return column


def _from_objects(column: pd.Series) -> pd.Series:
    """One column of Python objects, by what they are: numbers, booleans, dates, or else text."""
    absent = column.isna()
    kinds = set(map(type, column[~absent]))
    if not kinds:
        return column.astype(float)
    if kinds <= {bool, np.bool_}:
        return column.where(~absent, None).astype("boolean") if absent.any() else column.astype(bool)
    if not kinds & {bool, np.bool_} and all(issubclass(k, numbers.Real | decimal.Decimal) for k in kinds):
        values = np.full(len(column), np.nan)
        whole = all(issubclass(k, numbers.Integral) for k in kinds)
        values[~absent] = column[~absent].astype(float)
        if whole and not (np.abs(values) >= 2**63).any():
            return column.where(~absent, None).astype("Int64") if absent.any() else column.astype(np.int64)
        values[~absent] = _as_floats(column[~absent]) if whole else values[~absent]
        return pd.Series(values, column.index)
    if all(issubclass(k, datetime.date | np.datetime64) for k in kinds):
        return pd.to_datetime(column)
    if all(issubclass(k, datetime.timedelta | np.timedelta64) for k in kinds):
        return pd.to_timedelta(column)
    if any(issubclass(k, complex | np.complexfloating) for k in kinds):
        raise ValueError("it has complex numbers")
    nested = [k for k in kinds if k.__hash__ is None]
    if nested:
        bad = np.array([isinstance(value, tuple(nested)) for value in column])
        raise ValueError(f"row {row_name(column.index, bad)} has a {nested[0].__name__}, and not one value")
    return column.where(~absent, None) if absent.any() else column
