"""Fits of tables that a stranger might send: the answer of NumPy's least squares, or an error of ours that says why.

``python -m tests.fuzz_frames 10000`` fits so many, and prints what came out; some are a test. Each table has a response
of plain floats and one column of any kind, name and container. Its kind says what it means: numbers (NaN is missing),
levels (None is missing), or nothing that can be fitted.
"""

# ruff: noqa: RUF001 (letters that look alike are hostile)

from __future__ import annotations

import datetime
import decimal
import fractions
import sys
import traceback
import unicodedata
import warnings
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import mlekit

HERE = str(Path(mlekit.__file__).parent)
SETTINGS = {"deadline": None, "suppress_health_check": list(HealthCheck)}


@dataclass(frozen=True)
class Column:
    """A column as it is sent, and what it means: numbers, levels, or neither."""

    sent: Any
    numbers: Any = None
    levels: Any = None
    kind: str = ""


def _finite(low: float = -1e6, high: float = 1e6) -> st.SearchStrategy[float]:
    return st.floats(low, high, allow_nan=False, allow_subnormal=False)


FLOATS = st.one_of(
    _finite(),
    _finite(-1e300, 1e300),
    st.integers(-5, 5).map(float),
    st.sampled_from([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-300, 1e300, 5e-324, 1.7e308]),
)
TAME = st.one_of(_finite(-100, 100), st.integers(-3, 3).map(float), st.just(np.nan))
WHOLE = st.one_of(st.integers(-9, 9), st.integers(-(2**70), 2**70), st.sampled_from([2**53, 2**63, 10**400, -(2**63)]))
TEXT = st.sampled_from(["a", "b", "가", "", "nan", "None", "1", "x\x00", "é", "-inf", "True", " a"])
NAMES = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    st.sampled_from(
        ["나이", "x", "np", "log", "Q", "C", "class", "None", "Intercept", "a b", "`", "'", '"', "\n", "0"]
    ),
    st.sampled_from(["sigma", "__class__", "y ~ x", "é", unicodedata.normalize("NFD", "나이"), "ｘ", "eval", "a[0]"]),
)


def _many(elements: st.SearchStrategy[Any], rows: int) -> st.SearchStrategy[list[Any]]:
    return st.lists(elements, min_size=rows, max_size=rows)


def numbers(rows: int) -> st.SearchStrategy[Column]:
    """Columns of numbers, in every way in which they can be stored."""

    def column(kind: str, make: Any, value: Any = float) -> Any:
        return lambda v: Column(make(v), numbers=np.array([value(each) for each in v], dtype=float), kind=kind)

    def arrow(v: list[float]) -> Any:
        return pd.Series(pa.array(v, from_pandas=True), dtype=pd.ArrowDtype(pa.float64()))

    masked = _many(TAME, rows).map(
        column(
            "masked", lambda v: np.ma.masked_invalid(np.where(np.isnan(v), 9e9, v)) if not np.isnan(v).any() else None
        )
    )
    tame, wild = _many(TAME, rows), _many(FLOATS, rows)
    half = _many(st.floats(width=16, allow_nan=True, allow_infinity=False), rows)
    nullable = _many(st.one_of(st.none(), st.integers(-(2**62), 2**62)), rows)
    ratios = _many(st.fractions(-9, 9, max_denominator=99), rows)
    missing = lambda v: np.nan if v is None else float(v)  # noqa: E731
    return st.one_of(
        wild.map(column("list", list)),
        wild.map(column("float64", np.array)),
        wild.map(column("objects", lambda v: np.array(v, dtype=object))),
        tame.map(column("decimal", lambda v: [decimal.Decimal(repr(each)) for each in v])),
        tame.map(column("sparse", pd.arrays.SparseArray)),
        tame.map(column("longdouble", lambda v: np.array(v, dtype=np.longdouble))),
        tame.map(column("big endian", lambda v: np.array(v, dtype=">f8"))),
        tame.map(column("arrow", arrow)),
        tame.map(column("matrix", lambda v: np.array(v)[:, None])),
        tame.map(column("frame", lambda v: pd.DataFrame({"inner": v}))),
        half.map(column("float16", lambda v: np.array(v, dtype=np.float16))),
        ratios.map(column("fraction", lambda v: [fractions.Fraction(each) for each in v])),
        nullable.map(column("Int64", lambda v: pd.array(v, dtype="Int64"), missing)),
        nullable.map(column("integers and None", list, missing)),
        _many(st.integers(0, 2**64 - 1), rows).map(column("uint64", lambda v: np.array(v, dtype=np.uint64))),
        _many(st.integers(-128, 127), rows).map(column("int8", lambda v: np.array(v, dtype=np.int8))),
        _many(WHOLE, rows).map(lambda v: Column(list(v), numbers=np.array([_float(each) for each in v]), kind="huge")),
        masked.filter(lambda each: each.sent is not None),
    )


def _float(value: int) -> float:
    return float(value) if abs(value) < 2**1000 else np.inf


def levels(rows: int) -> st.SearchStrategy[Column]:
    """Columns of text, truth and other levels."""

    def column(kind: str, make: Any) -> Any:
        return lambda v: Column(make(v), levels=v, kind=kind)

    text, some = _many(TEXT, rows), _many(st.one_of(TEXT, st.none()), rows)
    truth = _many(st.booleans(), rows)
    maybe = _many(st.one_of(st.booleans(), st.none()), rows)
    mixed = _many(st.sampled_from(["a", 1, 2.5, b"a", (1, 2), None, 2**70]), rows)
    return st.one_of(
        text.map(column("text", list)),
        text.map(column("U", np.array)),
        some.map(column("text and None", lambda v: np.array(v, dtype=object))),
        some.map(column("string", lambda v: pd.array(v, dtype="string"))),
        some.map(column("category", pd.Categorical)),
        some.map(
            column(
                "unused", lambda v: pd.Categorical(v, categories=["z", *dict.fromkeys(w for w in v if w is not None)])
            )
        ),
        text.map(column("ordered", lambda v: pd.Categorical(v, ordered=True))),
        truth.map(column("bool", np.array)),
        truth.map(column("sparse bool", pd.arrays.SparseArray)),
        maybe.map(column("boolean", lambda v: pd.array(v, dtype="boolean"))),
        maybe.map(column("truth and None", list)),
        mixed.filter(lambda v: any(isinstance(each, str) for each in v)).map(
            column("mixed", lambda v: pd.Series([*v, None], dtype=object).iloc[:-1])
        ),
    )


def refused(rows: int) -> st.SearchStrategy[Column]:
    """Columns that have no meaning in a fit, as they stand."""
    day, utc = datetime.date(2020, 1, 1), datetime.UTC
    values = [day, datetime.datetime(2020, 1, 1, tzinfo=utc), datetime.timedelta(1), np.datetime64("2020"), pd.NaT]
    alone = [[1, 2], {"a": 1}, {1}, np.arange(3), 1 + 2j, slice(1), pd.Series([1]), decimal.Decimal("sNaN")]
    one = st.sampled_from(values + alone).map(lambda v: pd.Series([v] * rows, dtype=object))
    whole = st.sampled_from(
        [
            pd.date_range("2020", periods=rows),
            pd.date_range("2020", periods=rows, tz="Asia/Seoul"),
            pd.timedelta_range("1D", periods=rows),
            np.zeros(rows, dtype=[("a", int), ("b", float)]),
            np.zeros(rows, dtype="V3"),
            np.full(rows, 1j),
            np.zeros((rows, 2, 2)),
            [[1]] * (rows - 1) + [[1, 2]],
            np.zeros(rows + 1),
            3.0,
            "text",
            None,
            {},
            iter(()),
            [np.nan] * rows,
            [None] * rows,
        ]
    )
    return st.one_of(one, whole).map(lambda v: Column(v, kind="refused"))


@st.composite
def cases(draw: Any) -> tuple[Any, str, Column, Any]:
    """A table, its formula, what its column means, and the response."""
    rows = draw(st.integers(5, 12))
    column = draw(st.one_of(numbers(rows), levels(rows), refused(rows)))
    name = draw(NAMES.filter(lambda text: text not in ("y", "resp")))
    y = np.array(draw(_many(_finite(-9, 9).filter(lambda v: abs(v) > 1e-3), rows))) + np.linspace(0, 1, rows) ** 2
    table: Any = {"y": y, name: column.sent}
    container = draw(st.sampled_from(["dict", "pandas", "index", "polars", "arrow", "duplicates", "columns"]))
    try:
        table = _contained(table, name, container, column, draw)
    except Exception:  # the container refuses it: nothing of ours
        container = "dict"
    plain = name.isidentifier() and draw(st.booleans())
    return table, f"y ~ {name if plain else f'Q({name!r})'}", column, y


_POLARS = ("list", "float64", "int8", "uint64", "text", "text and None", "U", "bool", "truth and None")


def _contained(table: dict[str, Any], name: str, container: str, column: Column, draw: Any) -> Any:
    if container == "polars" and column.kind in _POLARS:  # it panics at others
        return pl.DataFrame({key: pl.Series(value, strict=False) for key, value in table.items()})
    if container == "arrow":
        return pa.table({key: pa.array(value) for key, value in table.items()})
    if container in ("dict", "polars") or not np.shape(table[name]):  # pandas repeats what is one value
        return table
    frame = pd.DataFrame({"y": table["y"]})
    frame[name] = table[name]
    rows = len(frame)
    if container == "index":
        frame.index = pd.Index(
            draw(_many(st.one_of(st.integers(0, 3), st.text(max_size=2), st.none()), rows)), dtype=object
        )
    elif container == "duplicates":
        frame = pd.concat([frame, pd.DataFrame(np.zeros((rows, 2)), frame.index, ["twice", "twice"])], axis=1)
    elif container == "columns":
        frame[0], frame[np.nan], frame[("a", 1)] = 1, 2, [3] * rows
    return frame


# ------------------------------------------------------------------------------------------------ what came out


def outcome(table: Any, formula: str, column: Column, y: Any, trusted: bool = False) -> str:
    """Fit, and say what came out; the text begins with WRONG if it should not have."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fit = mlekit.fit(formula, table, trusted=trusted)
    except (ValueError, TypeError) as error:
        where = traceback.extract_tb(error.__traceback__)[-1].filename
        if not where.startswith(HERE):
            return f"WRONG: {type(error).__name__} of {where}: {error}"
        return "refused"
    except Exception as error:
        return f"WRONG: {type(error).__name__}: {error}"
    if column.kind == "refused":
        return f"WRONG: fitted {fit.params.to_dict()}"
    expected = _expected(column, y)
    if expected is None:
        return "fitted, too badly conditioned to compare"
    found, used = np.asarray(fit.fittedvalues), ~np.isnan(expected)
    if found.size != used.sum():
        return f"WRONG: {found.size} rows, and not {used.sum()}"
    if not np.allclose(found, expected[used], rtol=0, atol=1e-8 * (1 + np.abs(y).max())):
        return f"WRONG: fitted values {found}, and not {expected[used]}"
    return "the answer"


def _expected(column: Column, y: Any) -> Any:
    """Fitted values by NumPy: least squares on a straight line, or means of groups; NaN where the column has none."""
    expected = np.full(len(y), np.nan)
    if column.levels is not None:
        for level in {each for each in column.levels if each is not None}:
            where = [each is not None and type(each) is type(level) and each == level for each in column.levels]
            expected[where] = y[where].mean()
        return expected
    x = column.numbers
    if np.isinf(x).any():
        return np.zeros(1)  # should have been refused: no fit has so few rows
    used = ~np.isnan(x)
    with np.errstate(all="ignore"):
        centred = x[used] - x[used].mean()
        spread, largest = np.abs(centred).max(), np.abs(x[used]).max()
        if not 1e-290 < largest < 1e300 and largest != 0:
            return None
        if spread <= 1e-6 * largest and spread > 0:
            return None
        design = np.column_stack([np.ones(used.sum()), centred / spread if spread > 0 else centred])
    expected[used] = design @ np.linalg.lstsq(design, y[used], rcond=None)[0]
    return expected


def main(count: int = 10_000) -> None:
    """Print what came out of so many tables."""
    counts: Counter[tuple[str, str]] = Counter()
    wrong: dict[tuple[str, str], str] = {}

    @settings(max_examples=count, phases=[Phase.generate], database=None, **SETTINGS)  # type: ignore[arg-type]
    @given(cases(), st.booleans())
    def fit_all(case: Any, trusted: bool) -> None:
        table, formula, column, y = case
        found = outcome(table, formula, column, y, trusted)
        counts[column.kind, found[:40]] += 1
        if found.startswith("WRONG"):
            wrong.setdefault((column.kind, found[:60]), f"{formula!r} {type(table)} {column.sent!r}: {found}")

    fit_all()
    for (kind, found), times in sorted(counts.items()):
        print(f"{times:6d} {kind:20} {found}")
    for text in wrong.values():
        print(text[:1000])


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
