"""Tables: every kind of data gives the same fit, with the labels of its rows, or a clear error."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import statsmodels.formula.api as smf
from statsmodels.genmod.families import Poisson

import mlekit
from mlekit.sources import Block, as_column, as_table, plain, row_name

LEVELS = ["north", "south", "west"]

RNG = np.random.default_rng(3)
N = 60
FORMULA = "y ~ x + k + flag + g"
# x has few digits, so that float16 and decimals hold it exactly.
DATA = pd.DataFrame(
    {
        "y": RNG.poisson(3, N),
        "x": RNG.integers(-40, 40, N) / 16,
        "k": RNG.integers(0, 100, N),
        "flag": RNG.uniform(size=N) < 0.4,
        "g": RNG.choice(LEVELS, N),
    }
)


def expected(data: pd.DataFrame = DATA, formula: str = FORMULA) -> pd.Series:
    return smf.glm(formula, data, family=Poisson()).fit(tol=1e-14, maxiter=100).params


def same(data: Any, reference: pd.Series | None = None, formula: str = FORMULA) -> None:
    fit = mlekit.fit(formula, data, "poisson")
    reference = expected() if reference is None else reference
    assert list(fit.params.index) == list(reference.index)
    assert fit.params.to_numpy() == pytest.approx(reference.to_numpy(), rel=1e-9, abs=1e-11)


def dictionary(values: list[str | None], levels: list[str] = LEVELS) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array([None if v is None else levels.index(v) for v in values]), levels)


def decimals(values: Any) -> list[Decimal]:
    return [Decimal(str(float(v))) for v in values]


LISTS = {name: column.tolist() for name, column in DATA.items()}
PANDAS: dict[str, pd.DataFrame] = {
    "as it is": DATA,
    "nullable": DATA.convert_dtypes(),
    "Int64 and Float64": DATA.astype({"y": "Int64", "k": "UInt8", "x": "Float64", "flag": "boolean", "g": "string"}),
    "small": DATA.astype({"y": "int8", "k": "uint8", "x": "float16", "g": "category"}),
    "float32": DATA.astype({"y": "float32", "k": "float32", "x": "float32"}),
    "long": DATA.astype({"y": "uint64", "k": "int16", "x": "longdouble"}),
    "objects": DATA.astype(object),
    "decimals": DATA.assign(x=decimals(DATA.x), k=pd.Series(decimals(DATA.k)), y=[Fraction(v) for v in DATA.y]),
    "numpy scalars": DATA.assign(k=pd.Series([np.int8(v) for v in DATA.k], dtype=object)),
    "unused levels": DATA.assign(g=pd.Categorical(DATA.g, ["east", "north", "south", "west", "zenith"])),
    "arrow": pa.Table.from_pandas(DATA).to_pandas(types_mapper=pd.ArrowDtype),
    "arrow decimal": DATA.assign(x=pd.Series(decimals(DATA.x), dtype=pd.ArrowDtype(pa.decimal128(8, 4)))),
    "arrow dictionary": DATA.assign(g=pd.Series(pd.arrays.ArrowExtensionArray(dictionary(DATA.g.tolist())))),
    "sparse": DATA.assign(x=DATA.x.astype(pd.SparseDtype(float, 0.0))),
}


@pytest.mark.parametrize("name", PANDAS)
def test_pandas(name: str) -> None:
    same(PANDAS[name])


SCHEMAS: dict[str, dict[str, Any]] = {
    "as it is": {},
    "small": {"y": pl.UInt8, "k": pl.Int16, "x": pl.Float32},
    "categorical": {"g": pl.Categorical},
    "enum": {"g": pl.Enum(LEVELS)},
    "enum with unused levels": {"g": pl.Enum(["east", "north", "south", "west"])},
    "decimal": {"x": pl.Decimal(8, 4), "k": pl.Decimal(8, 0)},
}


@pytest.mark.parametrize("name", SCHEMAS)
def test_polars(name: str) -> None:
    table = pl.DataFrame(LISTS)
    same(table.with_columns(pl.col(column).cast(dtype) for column, dtype in SCHEMAS[name].items()))


TYPES: dict[str, dict[str, pa.DataType]] = {
    "as it is": {},
    "small": {"y": pa.uint8(), "k": pa.int16(), "x": pa.float16()},
    "large text": {"g": pa.large_string()},
    "decimal": {"x": pa.decimal128(8, 4), "k": pa.decimal128(8, 0)},
}


@pytest.mark.parametrize("name", TYPES)
def test_pyarrow(name: str) -> None:
    lists = LISTS | {"x": {"decimal": decimals(DATA.x), "small": DATA.x.to_numpy("float16")}.get(name, DATA.x)}
    same(pa.table({n: pa.array(v, type=TYPES[name].get(n)) for n, v in lists.items()}))


def test_pyarrow_in_chunks_and_in_a_batch() -> None:
    table = pa.Table.from_pandas(DATA).set_column(4, "g", dictionary(LISTS["g"]))
    same(table)
    same(table.combine_chunks().to_batches()[0])
    # The dictionaries of chunks may differ: what they say counts.
    parts = [dictionary(LISTS["g"][:9]), dictionary(LISTS["g"][9:], ["west", "north", "south"])]
    assert parts[0].dictionary != parts[1].dictionary
    same(table.set_column(4, "g", pa.chunked_array(parts)))


MAPPINGS: dict[str, Callable[[], Mapping[str, Any]]] = {
    "lists": lambda: LISTS,
    "tuples": lambda: {name: tuple(values) for name, values in LISTS.items()},
    "arrays": lambda: {name: np.array(values) for name, values in LISTS.items()},
    "objects": lambda: {name: np.array(values, dtype=object) for name, values in LISTS.items()},
    "series": lambda: dict(DATA.items()),
    "mixed": lambda: LISTS | {"x": DATA.x, "k": pl.Series(LISTS["k"]), "g": pa.chunked_array([LISTS["g"]])},
    "range index": lambda: LISTS | {"k": pd.Index(DATA.k), "g": pd.Categorical(DATA.g)},
}


@pytest.mark.parametrize("name", MAPPINGS)
def test_mappings(name: str) -> None:
    same(MAPPINGS[name]())


# ------------------------------------------------------------------------------------------------ missing values

GAPS = {"x": 3, "k": 7, "flag": 11, "g": 13, "y": 17}


def gaps(mark: Any) -> dict[str, list[Any]]:
    return {n: [mark if i == GAPS[n] else v for i, v in enumerate(values)] for n, values in LISTS.items()}


MISSING: dict[str, Callable[[], Any]] = {
    "None": lambda: gaps(None),
    "NaN": lambda: pd.DataFrame(gaps(float("nan"))),
    "NA in objects": lambda: pd.DataFrame(gaps(pd.NA), dtype=object),
    "NaT in objects": lambda: pd.DataFrame(gaps(pd.NaT), dtype=object),
    "nullable": lambda: pd.DataFrame(gaps(None)).convert_dtypes(),
    "arrow": lambda: pa.table(gaps(None)).to_pandas(types_mapper=pd.ArrowDtype),
    "pyarrow": lambda: pa.table(gaps(None)),
    "pyarrow dictionary": lambda: pa.table(gaps(None) | {"g": dictionary(gaps(None)["g"])}),
    "polars": lambda: pl.DataFrame(gaps(None)),
    "polars categories": lambda: pl.DataFrame(gaps(None), schema_overrides={"g": pl.Categorical}),
    "polars enum": lambda: pl.DataFrame(gaps(None), schema_overrides={"g": pl.Enum(LEVELS)}),
    "categories": lambda: pd.DataFrame(gaps(None)).astype({"g": "category"}),
}


@pytest.mark.parametrize("name", MISSING)
def test_missing_values_are_missing_in_every_kind_of_table(name: str) -> None:
    data = MISSING[name]()
    complete = DATA.drop(index=list(GAPS.values()))
    same(data, expected(complete))
    fit = mlekit.fit(FORMULA, data, "poisson")
    assert fit.model.observations.missing == len(GAPS)
    assert list(fit.fittedvalues.index) == list(complete.index)


@pytest.mark.parametrize("name", [name for name in MISSING if name not in ("None", "NaN", "categories")])
def test_whole_numbers_with_gaps_stay_whole(name: str) -> None:
    data = MISSING[name]()
    complete = DATA.drop(index=[GAPS["k"], GAPS["y"]])
    same(data, expected(complete, "y ~ C(k % 3) + I(k**2)"), "y ~ C(k % 3) + I(k**2)")


# ------------------------------------------------------------------------------------------------ meaning of values


def test_whole_numbers_do_not_wrap_around_or_overflow() -> None:
    small = DATA.assign(k=DATA.k.astype("uint8"))
    reference = expected(formula="y ~ I(k - 50) + I(k**2)")
    same(small, reference, "y ~ I(k - 50) + I(k**2)")
    large = DATA.assign(k=DATA.k * 10**10)  # the square of which int64 does not hold
    fit = mlekit.fit("y ~ I(k**2)", large, "poisson")
    assert fit.params.iloc[1] * 1e20 == pytest.approx(expected(formula="y ~ I(k**2)").iloc[1], rel=1e-9)
    same(large.assign(k=DATA.k), expected(formula="y ~ C(k % 3)"), "y ~ C(k % 3)")


def test_the_order_of_levels_is_the_table_s_where_it_has_one() -> None:
    levels = ["west", "south", "north"]
    reference = expected(DATA.assign(g=pd.Categorical(DATA.g, levels)), "y ~ g")
    assert list(reference.index) == ["Intercept", "g[T.south]", "g[T.north]"]
    arrow = dictionary(LISTS["g"], levels)
    for g in (pd.Categorical(DATA.g, levels), pl.Series(DATA.g.tolist(), dtype=pl.Enum(levels)), arrow):
        same({"y": DATA.y, "g": g}, reference, "y ~ g")


def test_polars_categories_are_sorted_whatever_was_read_before() -> None:
    pl.Series(["west", "south", "north"], dtype=pl.Categorical)
    table = pl.DataFrame(LISTS, schema_overrides={"g": pl.Categorical})
    assert "g[T.south]" in mlekit.fit("y ~ g", table, "poisson").params
    assert "g[T.north]" not in mlekit.fit("y ~ g", table, "poisson").params


DAYS = [datetime.date(2020, 1, 1) + datetime.timedelta(days=40 * i) for i in range(N)]
DATES: dict[str, Callable[[], Any]] = {
    "pandas": lambda: DATA.assign(date=pd.to_datetime(DAYS)),
    "objects": lambda: DATA.assign(date=DAYS),
    "arrow": lambda: DATA.assign(date=pd.Series(DAYS, dtype=pd.ArrowDtype(pa.date32()))),
    "zone": lambda: DATA.assign(date=pd.to_datetime(DAYS).tz_localize("Europe/Berlin")),
    "polars": lambda: pl.DataFrame(LISTS | {"date": DAYS}),
    "polars datetime": lambda: pl.DataFrame(LISTS | {"date": DAYS}).with_columns(pl.col("date").cast(pl.Datetime)),
    "pyarrow": lambda: pa.table(LISTS | {"date": DAYS}),
    "lists": lambda: LISTS | {"date": DAYS},
}


@pytest.mark.parametrize("name", DATES)
def test_dates(name: str) -> None:
    reference = expected(DATA.assign(year=[d.year - 2020 for d in DAYS]), "y ~ year")
    fit = mlekit.fit("y ~ I(date.dt.year - 2020)", DATES[name](), "poisson")
    assert fit.params.to_numpy() == pytest.approx(reference.to_numpy(), rel=1e-9)


@pytest.mark.parametrize(
    ("column", "dtype", "values"),
    [
        (pd.Series([1, None], dtype="UInt8"), "Int64", [1, None]),
        (pd.Series([1, None], dtype=object), "Int64", [1, None]),
        (pd.Series([1.5, None], dtype="Float32"), "float64", [1.5, np.nan]),
        (pd.Series([1, 2], dtype="Int8"), "int64", [1, 2]),
        (pd.Series([2**64 - 1], dtype="uint64"), "float64", [2.0**64]),
        (pd.Series([10**30, 1], dtype=object), "float64", [1e30, 1]),
        (pd.Series([True, None], dtype="boolean"), "boolean", [True, None]),
        (pd.Series([None, False], dtype=object), "boolean", [None, False]),
        (pd.Series([True, np.bool_(False)], dtype=object), "bool", [True, False]),
        (pd.Series([1, "a", np.nan], dtype=object), "object", [1, "a", None]),
        (pd.Series([None, None], dtype=object), "float64", [np.nan, np.nan]),
        (pd.Series([Decimal("1.5"), 2, None], dtype=object), "float64", [1.5, 2, np.nan]),
        (pd.Series([np.datetime64("2020-01-01")], dtype=object), "datetime64", [pd.Timestamp("2020-01-01")]),
    ],
)
def test_plain_columns(column: pd.Series, dtype: str, values: list[Any]) -> None:
    found = plain(column)
    assert str(found.dtype).startswith(dtype)
    pd.testing.assert_series_equal(found, pd.Series(values, dtype=found.dtype))


# ------------------------------------------------------------------------------------------------ rows and their labels


@pytest.mark.parametrize(
    "index",
    [
        pd.Index([f"r{i}" for i in range(N)]),
        pd.Index(np.arange(N)[::-1]),
        pd.Index([0] * N),
        pd.MultiIndex.from_product([range(N // 2), list("ab")]),
        pd.date_range("2020-01-01", periods=N),
    ],
    ids=["text", "numbers", "twice the same", "levels", "dates"],
)
def test_rows_keep_their_labels(index: pd.Index) -> None:
    data = DATA.set_index(index)
    data.iloc[5, data.columns.get_loc("x")] = np.nan
    fit = mlekit.fit(FORMULA, data, "poisson")
    assert fit.fittedvalues.index.equals(index.delete(5))
    assert fit.predict(data).index.equals(index)
    assert fit.params.to_numpy() == pytest.approx(expected(DATA.drop(index=5)).to_numpy(), rel=1e-9)


def test_series_in_a_mapping_give_the_labels() -> None:
    x = DATA.x.set_axis(pd.RangeIndex(5, N + 5))
    fit = mlekit.fit("y ~ x", {"y": DATA.y.tolist(), "x": x}, "poisson")
    assert list(fit.fittedvalues.index) == list(range(5, N + 5))
    same({"y": DATA.y.tolist(), "x": x}, expected(formula="y ~ x"), "y ~ x")


def test_other_columns_are_not_read() -> None:
    odd = DATA.assign(when=pd.Timestamp("2020-01-01"), **{"x y": [[i] for i in range(N)]}).rename(columns={"k": 7})
    odd[("a", "b")] = 1
    same(odd, expected(formula="y ~ x"), "y ~ x")
    same({**LISTS, 3: [1], "ragged": [[1], [1, 2]]}, expected(formula="y ~ x"), "y ~ x")
    twice = pd.concat([DATA, DATA[["k"]]], axis=1)
    same(twice, expected(formula="y ~ x"), "y ~ x")


def test_data_are_not_changed() -> None:
    data, copy = DATA.astype(object), DATA.astype(object)
    data.loc[3, "x"] = copy.loc[3, "x"] = None
    mlekit.fit(FORMULA, data, "poisson")
    pd.testing.assert_frame_equal(data, copy)


def test_the_first_row_of_a_mask_by_a_plain_label() -> None:
    assert row_name(pd.Index([5, 6, 7]), np.array([False, True, True])) == "6"
    assert row_name(pd.Index(["a", "b"]), np.array([False, True])) == "'b'"


def test_blocks_walk_all_rows_in_order() -> None:
    block = Block(np.arange(10.0), (np.arange(20.0).reshape(10, 2), np.ones((10, 1))), (None, np.arange(10.0)), None)
    parts = list(block.cut(4))
    assert [part.y.size for part in parts] == [4, 4, 2]
    assert np.concatenate([part.X[0] for part in parts]).tolist() == block.X[0].tolist()
    assert np.concatenate([part.offset[1] for part in parts if part.offset[1] is not None]).tolist() == list(range(10))
    assert [part.offset[0] for part in parts] == [None] * 3


# ------------------------------------------------------------------------------------------------ errors


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        ({"y": [1, 2], "x": [1, 2, 3]}, ValueError, "differ in length: y has 2 rows, x has 3 rows"),
        ({"y": [1, 2], "x": 3}, ValueError, "the column 'x' has no rows: it is 3"),
        ({"y": [1, 2], "x": "ab"}, ValueError, "the column 'x' has no rows: it is 'ab'"),
        ({"y": [1, 2], "x": None}, ValueError, "the column 'x' has no rows"),
        ({"y": DATA.y, "x": DATA.x[::-1]}, ValueError, "'x' is a Series with another index.*to_numpy"),
        (pd.concat([DATA, DATA[["x"]]], axis=1), ValueError, "more than one column named 'x'"),
        (DATA.to_numpy(), TypeError, "dict of arrays, not ndarray"),
        (DATA.x, TypeError, "dict of arrays, not Series"),
        ([{"y": 1, "x": 2}], TypeError, "dict of arrays, not list"),
        ("africa", TypeError, "dict of arrays, not str"),
        (pl.DataFrame(LISTS).lazy(), TypeError, r"LazyFrame: collect\(\) it"),
        (pd.DataFrame(), ValueError, "no rows left: the data are empty"),
        ({}, ValueError, "no rows left: the data are empty"),
        (DATA.iloc[:0], ValueError, "no rows left: the data are empty"),
        (pl.DataFrame(LISTS).head(0), ValueError, "no rows left: the data are empty"),
        (pa.Table.from_pandas(DATA)[:0], ValueError, "no rows left: the data are empty"),
    ],
)
def test_tables_that_are_none(data: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        mlekit.fit("y ~ x", data, "poisson")


@pytest.mark.parametrize("data", [DATA, LISTS, pl.DataFrame(LISTS), pa.table(LISTS)])
def test_an_intercept_alone_has_as_many_rows(data: Any) -> None:
    assert len(as_table(data, [])) == N
    fit = mlekit.fit("y ~ 1", data, "poisson")
    assert fit.predict(data).tolist() == pytest.approx([DATA.y.mean()] * N)


@pytest.mark.parametrize("value", [3, "abc", None, len, {"a": [1]}, {1, 2}, np, [[1], [1, 2]], np.ones((2, 2, 2))])
def test_what_is_no_column(value: Any) -> None:
    assert as_column(value) is None


def test_one_row() -> None:
    assert mlekit.fit("y ~ 1", {"y": [3]}, "poisson").params.iloc[0] == pytest.approx(np.log(3))
