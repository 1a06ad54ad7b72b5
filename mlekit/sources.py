"""Where the rows come from: every kind of table becomes columns, every set of arrays becomes blocks of rows."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mlekit.links import Array

#: Rows per block: the temporaries of a block stay in cache.
BLOCK_ROWS = 8192


@dataclass(frozen=True)
class Block:
    """Some rows of the data, as the likelihood sees them.

    Attributes
    ----------
    y : (n,) array
    X, offset : tuples
        One (n, p) matrix and one (n,) array (or None) per distribution parameter.
    weight : (n,) array or None
        Frequency weights; None means one each.
    """

    y: Array
    X: tuple[Array, ...]
    offset: tuple[Array | None, ...]
    weight: Array | None = None

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
        if self.y.size <= size:
            yield self
            return
        for first in range(0, self.y.size, size):
            yield self.rows(slice(first, first + size))


def as_frame(data: Any, wanted: Iterable[str] | None = None) -> pd.DataFrame | None:
    """Return the wanted columns of a table as a pandas frame, with plain NumPy columns.

    Parameters
    ----------
    data : pandas.DataFrame, polars.DataFrame, pyarrow.Table, mapping of arrays, or None
    wanted : iterable of str, optional
        Column names; those that the table lacks are skipped (a formula may mean a variable of the caller's).

    Raises
    ------
    TypeError
        If ``data`` is none of these.
    ValueError
        If the columns of a mapping differ in length, or a column name occurs twice.

    Examples
    --------
    >>> as_frame({"x": [1, 2], "y": [3, 4]}, ["y"])["y"].tolist()
    [3, 4]
    """
    if data is None:
        return None
    names = column_names(data)
    chosen = names if wanted is None else [name for name in names if name in set(wanted)]
    twice = {name for name in chosen if chosen.count(name) > 1}
    if twice:
        raise ValueError(f"the data have more than one column named {', '.join(map(repr, sorted(twice)))}")
    if isinstance(data, pd.DataFrame):
        used = data[chosen]
        if all(isinstance(dtype, np.dtype) and dtype != np.float16 for dtype in used.dtypes):
            return used
        columns = {name: data[name] for name in chosen}
        return pd.DataFrame({name: plain(column) for name, column in columns.items()}, index=data.index)
    if isinstance(data, Mapping):
        lengths = {name: np.shape(data[name])[:1] for name in chosen}
        if len(set(lengths.values())) > 1:
            raise ValueError(
                "the columns differ in length: "
                + ", ".join(f"{name} has {size[0] if size else 'no'} rows" for name, size in lengths.items())
            )
        columns = {name: plain(pd.Series(data[name])) for name in chosen}
        # A formula without covariates still needs the number of rows.
        rows = next((np.shape(column)[:1] for column in data.values()), (0,))
        return pd.DataFrame(columns, index=None if columns or not rows else range(rows[0]))
    # polars and pyarrow: column by column, so that only what the formula uses is converted.
    frame = pd.DataFrame({name: plain(_foreign_column(data[name])) for name in chosen})
    return frame if chosen else frame.reindex(range(len(data)))


def column_names(data: Any) -> list[str]:
    """Names of the columns of any table that :func:`as_frame` takes."""
    if isinstance(data, Mapping):
        return [str(name) for name in data]
    for attribute in ("column_names", "columns"):  # pyarrow first: its .columns are the data
        names = getattr(data, attribute, None)
        if names is not None:
            return list(names)
    raise TypeError(
        f"data must be a pandas or polars DataFrame, a pyarrow Table or a dict of arrays, not {type(data).__name__}"
    )


def _foreign_column(column: Any) -> pd.Series:
    """One polars Series or pyarrow ChunkedArray as a pandas Series, with its categories in their order."""
    kind = str(getattr(column, "dtype", getattr(column, "type", ""))).lower()
    if kind.startswith(("categorical", "enum")):
        return pd.Series(pd.Categorical(column.to_list(), categories=column.cat.get_categories().to_list()))
    if kind.startswith("dictionary"):
        merged = column.combine_chunks()
        return pd.Series(pd.Categorical(merged.to_pylist(), categories=merged.dictionary.to_pylist()))
    values = column.to_list() if hasattr(column, "to_list") else column.to_pylist()
    if "int" in kind or "float" in kind or "double" in kind:
        if None not in values:
            return pd.Series(column.to_numpy())
        return pd.Series([np.nan if v is None else v for v in values], dtype=float)
    return pd.Series(values)


def plain(column: pd.Series) -> pd.Series:
    """Return a column in a NumPy dtype: nullable and Arrow numbers as floats, text as objects, unused levels dropped."""
    dtype = column.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        return column.cat.remove_unused_categories()
    if isinstance(dtype, np.dtype):
        return column if dtype != np.float16 else column.astype(float)
    if pd.api.types.is_bool_dtype(dtype):
        return column.astype(object).where(column.notna(), None) if column.isna().any() else column.astype(bool)
    if pd.api.types.is_numeric_dtype(dtype):
        return column.astype(float) if column.isna().any() else pd.Series(column.to_numpy(), column.index)
    if pd.api.types.is_string_dtype(dtype):
        return column.astype(object).where(column.notna(), None)
    return column
