"""The rows of a fit beside its matrices: response, offsets and weights, checked, with their labels."""

import numbers
import reprlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from patsy import DesignInfo

from mlekit.formula import FormulaError, unknown_name
from mlekit.links import Array
from mlekit.sources import Block, as_column, as_table, row_name

if TYPE_CHECKING:
    from mlekit.design import Design


@dataclass(frozen=True)
class Offset:
    """A known part of one parameter's linear predictor, remembered by expression.

    ``code`` is None for an offset that was handed over as an array: prediction on new rows then needs a new array.
    """

    param: str
    code: str | None
    exposure: bool = False


class Held(NamedTuple):
    """A coefficient that is not estimated.

    Attributes
    ----------
    param : int
        Position of its parameter.
    column : str
        Name of its column in the matrix of that parameter.
    value : float
    text : str
        What is held, as it was asked for.
    """

    param: int
    column: str
    value: float
    text: str


@dataclass(frozen=True, eq=False)
class Given:
    """The data as they were given, to look up what a fit does not need, such as the clusters of its rows.

    Attributes
    ----------
    data : table or None
        Not pickled.
    used : (N,) array of bool
        Which rows of the data are in use.
    """

    data: Any
    used: Array

    def __getstate__(self) -> dict[str, Any]:
        return {"data": None, "used": self.used}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)


@dataclass(frozen=True)
class Observations:
    """The complete rows of a table under a design.

    Attributes
    ----------
    block : Block
        All rows at once; ``block.cut()`` walks them.
    labels : pandas.Index
        Label of each row in the table.
    missing : int
        How many incomplete rows were left out.
    unweighted : int
        How many rows of weight zero were left out.
    given : Given or None
        The data as they were given.
    """

    block: Block
    labels: pd.Index
    missing: int = 0
    unweighted: int = 0
    given: Given | None = None

    def column(self, values: Any, what: str) -> Array:
        """Values for the rows in use: a column of the data by its name, or an array with one for each row of the data.

        Raises
        ------
        ValueError
            If the data are not at hand, lack the column, or have another number of rows.
        """
        if isinstance(values, str):
            if self.given is None or self.given.data is None:
                raise ValueError(
                    f"{what}={values!r} names a column, and the fit has no table to look it up in (it was made of "
                    "arrays or of variables, or unpickled): pass the values, one per row"
                )
            table = as_table(self.given.data, [values])
            if values not in table.columns:
                raise ValueError(unknown_name([values], table.known))
            found = table.columns[values]
        else:
            found = as_column(values)
        rows, used = len(self.labels), None if self.given is None else self.given.used
        if not isinstance(found, pd.Series) or len(found) not in (rows, rows if used is None else used.size):
            total = "" if used is None or used.size == rows else f" in use, or {used.size} of the data"
            raise ValueError(f"{what} must be a column's name, or one value per row: {rows} rows{total}")
        if used is not None and len(found) == used.size:
            found = found[used]
        if isinstance(values, pd.Series) and not found.index.equals(self.labels):
            raise ValueError(f"{what} given as a Series must have the same index as the data")
        if isinstance(values, str) and not found.index.equals(self.labels):
            raise ValueError(
                f"the data have other rows, or another order of them, than when they were fitted, so that "
                f"{what}={values!r} cannot be looked up: fit again, or pass the values, one per row"
            )
        return found.to_numpy()


def checked(block: Block, design: "Design", labels: pd.Index, given: Given, unweighted: int = 0) -> Observations:
    """Refuse infinite responses and negative weights, drop rows of weight zero, and count what is left.

    ``given`` says which rows of the data the block has, and ``unweighted`` how many lack a weight alone.
    """
    if block.y.ndim == 1:  # of several columns, one may be infinite: what is censored has no upper end
        refuse_infinite(block.y[:, None], (design.response,), labels)
    missing = int((~given.used).sum()) - unweighted
    if block.weight is not None:
        bad = ~(np.isfinite(block.weight) & (block.weight >= 0))
        if bad.any():
            raise ValueError(
                f"weights must be finite and not negative: row {row_name(labels, bad)} has {block.weight[bad][0]:g}"
            )
        used = block.weight > 0
        if not used.all():
            unweighted += int((~used).sum())
            block, labels = block.rows(used), labels[used]
            among = given.used.copy()
            among[among] = used
            given = Given(given.data, among)
    if not len(block):
        raise ValueError("no rows left: the data are empty, or every weight is zero")
    return Observations(block, labels, missing, unweighted, given)


def refuse_infinite(x: Array, names: Sequence[str], labels: pd.Index) -> None:
    """Raise for the first value of a matrix that is not finite, naming its column and row."""
    # One product finds any: a pass over a large matrix is worth saving.
    with np.errstate(all="ignore"):
        if np.isfinite(x.sum()) or np.isfinite(x).all():
            return
    bad = ~np.isfinite(x)
    column = int(np.argmax(bad[np.argmax(bad.any(axis=1))]))
    value = x[np.argmax(bad[:, column]), column]
    remedy = "mark it missing (NaN), " if np.isinf(value) else ""
    raise FormulaError(
        f"{names[column]} is {value:g} in row {row_name(labels, bad[:, column])}: mlekit fits finite numbers only. "
        f"Drop the row, {remedy}or change the transformation that made it so"
    )


def aligned(values: Any, labels: pd.Index, what: str) -> Array:
    """Return values that were handed over beside the table, one per row of it, as floats."""
    if isinstance(values, pd.Series) and not values.index.equals(labels):
        raise ValueError(f"{what} given as a Series must have the same index as the data")
    column = as_column(values)
    if column is None and isinstance(values, numbers.Real):
        return np.full(len(labels), float(values))
    if not isinstance(column, pd.Series) or not isinstance(column.dtype, np.dtype) or column.dtype.kind not in "iufb":
        found = f"{type(values).__name__} of {column.dtype}" if isinstance(column, pd.Series) else reprlib.repr(values)
        raise ValueError(f"{what} must be numbers, one per row, not {found}")
    if len(column) != len(labels):
        raise ValueError(f"{what} must have one value per row: {len(column)} against {len(labels)} rows")
    return column.to_numpy(float)


def sum_offsets(
    offsets: Sequence[Offset], raw: Sequence[Array], params: Sequence[str], labels: pd.Index
) -> tuple[Array | None, ...]:
    """Total offset of each parameter on the linear scale, None where it has none."""
    total: dict[str, Array] = {}
    for offset, values in zip(offsets, raw, strict=True):
        part = _offset_values(values, offset, labels)
        total[offset.param] = total[offset.param] + part if offset.param in total else part
    return tuple(total.get(param) for param in params)


def _offset_values(raw: Array, offset: Offset, labels: pd.Index) -> Array:
    """Return an offset on the linear scale: the log of an exposure, anything else as it is."""
    if offset.exposure:
        bad = ~(raw > 0)
        if bad.any():
            raise ValueError(f"an exposure must be positive: row {row_name(labels, bad)} has {raw[bad][0]:g}")
        raw = np.log(raw)
    refuse_infinite(raw[:, None], (f"the offset {offset.code or ''}".strip(),), labels)
    return raw


def with_held(held: Sequence[Held], param: int, names: Sequence[str], x: Array) -> Array | None:
    """Part of a linear predictor that the coefficients held make of a full matrix, or None if there is none."""
    parts = [h.value * x[:, list(names).index(h.column)] for h in held if h.param == param]
    total: Array | None = sum(parts) if parts else None  # type: ignore[assignment]
    return total


def add_held(
    held: Sequence[Held], names: Sequence[Sequence[str]], X: Sequence[Array], offsets: Sequence[Array | None]
) -> tuple[Array | None, ...]:
    """Offsets with the part of the coefficients that are held; ``X`` are full matrices with their ``names``."""
    parts = [with_held(held, i, each, x) for i, (each, x) in enumerate(zip(names, X, strict=True))]
    return tuple(b if a is None else a if b is None else a + b for a, b in zip(offsets, parts, strict=True))


def coded(array: Array, info: DesignInfo) -> tuple[Array, tuple[Any, ...]]:
    """Return the response as numbers: codes 0, 1, ... of its levels, which are returned too, if it has any."""
    facts = next(iter(info.factor_infos.values()))
    if facts.type == "numerical":
        return array[:, 0] if array.shape[1] == 1 else array, ()
    if array.shape[1] == 2:
        return np.ascontiguousarray(array[:, 1]), tuple(facts.categories)
    return array.argmax(axis=1).astype(float), tuple(facts.categories)


def names_of_two(levels: Sequence[Any]) -> tuple[str | bool | None, str | bool | None]:
    """Levels of a response that has two: which counts as 1, and which as 0."""
    if len(levels) != 2:
        return None, None
    return (True, False) if isinstance(levels[1], bool | np.bool_) else (str(levels[1]), str(levels[0]))
