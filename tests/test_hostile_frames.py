"""Tables that a stranger might send: the right answer, or an error that names the column and the row."""

# ruff: noqa: RUF001 (letters that look alike are hostile)

from __future__ import annotations

import datetime
import decimal
import fractions
import unicodedata

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings

import mlekit
from mlekit import FormulaError
from mlekit.sources import as_table

from .fuzz_frames import SETTINGS, Column, cases, outcome

Y = np.array([1.0, 2.5, 2.0, 4.5, 4.0, 7.0])
X = np.array([0.0, 1.0, 2.0, 3.0, 4.0, 6.0])
ROWS = len(Y)
SLOPE = np.polyfit(X, Y, 1)[::-1]


def line(formula, data, **options):
    return np.asarray(mlekit.fit(formula, data, **options).params)[:2]


# ------------------------------------------------------------------------------------------------ random tables


@settings(max_examples=30, derandomize=True, **SETTINGS)
@given(cases())
def test_random_tables(case):
    table, formula, column, y = case
    for trusted in (True, False):
        found = outcome(table, formula, column, y, trusted)
        assert not found.startswith("WRONG"), f"{formula!r} {column}: {found}"


def test_the_fuzz_sees_wrong_answers():
    table = {"y": Y, "x": X}
    assert outcome(table, "y ~ x", Column(X, numbers=X), Y) == "the answer"
    assert outcome(table, "y ~ x", Column(X, numbers=X**2), Y).startswith("WRONG: fitted values")
    assert outcome(table, "y ~ x", Column(X, kind="refused"), Y).startswith("WRONG: fitted")
    assert outcome(table, "y ~ x", Column(X, numbers=np.r_[np.nan, X[1:]]), Y).startswith("WRONG: 6 rows")


# ------------------------------------------------------------------------------------------------ names


NAMES = ["나이", "a b", "a'b", 'a"b', "a\nb", "a`b", "", "class", "None", "np", "log", "C", "y ~ x", "a:b", "a[T.b]"]
ODD = ["x\x00y", "é", "\u3000", "__class__", "_patsy_stobj0__center__", "\\", "{x}", "%s", "sigma", "x" * 5000]


@pytest.mark.parametrize("name", [*NAMES, *ODD])
def test_names_of_columns(name):
    for trusted in (True, False):
        np.testing.assert_allclose(line(f"y ~ Q({name!r})", {"y": Y, name: X}, trusted=trusted), SLOPE, rtol=1e-12)


@pytest.mark.parametrize("name", [0, 1.5, True, ("a", 1), pd.Timestamp("2020-01-01")])
def test_names_that_are_no_text_are_written_as_text(name):
    data = pd.DataFrame({"y": Y}).assign(more=X).set_axis(["y", name], axis=1)
    np.testing.assert_allclose(line(f"y ~ Q({str(name)!r})", data), SLOPE, rtol=1e-12)
    assert as_table(data, ["y", str(name)]).columns[str(name)].tolist() == X.tolist()
    if not isinstance(name, pd.Timestamp):
        with pytest.raises(FormulaError, match="Q takes the name of a column as text"):
            mlekit.fit(f"y ~ Q({name!r})", data)


@pytest.mark.parametrize(
    ("formula", "column"), [("나이", "나이"), ("é", "é"), ("ﬁt", "fit"), ("ｘ", "ｘ"), ("x", "ｘ")]
)
@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_names_in_other_characters_of_unicode_are_the_same(formula, column, form):
    """macOS writes decomposed letters, and Python reads NFKC."""
    data = {"y": Y, unicodedata.normalize(form, column): X}
    for text in ("NFC", "NFD"):
        np.testing.assert_allclose(line(f"y ~ {unicodedata.normalize(text, formula)}", data), SLOPE, rtol=1e-12)


def test_names_that_are_given_twice():
    data = pd.DataFrame({"y": Y, "x": X, "z": X})
    twice = pd.concat([data, data[["z"]]], axis=1)
    np.testing.assert_allclose(line("y ~ x", twice), SLOPE, rtol=1e-12)
    with pytest.raises(ValueError, match="more than one column named 'z'"):
        mlekit.fit("y ~ z", twice)
    with pytest.raises(ValueError, match="more than one column named 'x'"):
        mlekit.fit("y ~ x", pd.DataFrame(np.c_[Y, X, X], columns=["y", "x", "x"]))


@pytest.mark.parametrize(
    ("formula", "name", "match"),
    [
        ("y ~ log(log)", "log", "log is a function and a column"),
        ("y ~ Q('Q')", "Q", "Q is a function and a column"),
        ("y ~ Intercept", "Intercept", "two columns have the same name"),
        ("y ~ C(Intercept)", "Intercept", None),
        ("y ~ center(_patsy_stobj0__center__)", "_patsy_stobj0__center__", "a name that patsy uses itself"),
    ],
)
def test_names_that_clash(formula, name, match):
    data = {"y": Y, name: np.repeat([1.0, 2.0], 3)}
    if match is None:
        assert mlekit.fit(formula, data).df_model == 1
        return
    with pytest.raises(FormulaError, match=match):
        mlekit.fit(formula, data)


def test_a_text_column_called_intercept():
    with pytest.raises(FormulaError, match="two columns have the same name"):
        mlekit.fit("y ~ Intercept", {"y": Y, "Intercept": [True, False] * 3})


# ------------------------------------------------------------------------------------------------ values

SAME = {
    "decimal": [decimal.Decimal(int(v)) for v in X],
    "fraction": [fractions.Fraction(int(v)) for v in X],
    "float16": X.astype(np.float16),
    "longdouble": X.astype(np.longdouble),
    "bytes": bytearray(X.astype(np.uint8)),
    "range": [int(v) for v in X],
    "objects": np.array([0, np.int8(1), 2.0, np.float32(3), decimal.Decimal(4), fractions.Fraction(6)], dtype=object),
    "huge": [int(v) * 2**70 for v in X],
}


@pytest.mark.parametrize("kind", SAME)
def test_numbers_however_they_are_stored(kind):
    unit = 2.0**70 if kind == "huge" else 1
    found = line("y ~ x", {"y": Y, "x": SAME[kind]}) * [1, unit]
    np.testing.assert_allclose(found, SLOPE, rtol=1e-12)


@pytest.mark.parametrize("formula", ["y ~ x", "y ~ center(x)", "x ~ y"])
def test_what_is_masked_is_missing(formula):
    """Of a matrix too, whose mask NumPy drops where it makes an array of it."""
    mask = np.arange(ROWS) == 2
    expected = line(formula, {"y": Y[~mask], "x": X[~mask]})
    for x in (np.ma.array(X, mask=mask), np.ma.array(X, mask=mask)[:, None]):
        np.testing.assert_allclose(line(formula, {"y": Y, "x": x}), expected, rtol=1e-12)
    with pytest.raises(FormulaError, match="nan in row 2"):
        mlekit.Model.from_arrays(Y, np.ma.array(np.c_[np.ones(ROWS), X], mask=np.c_[mask, mask]))
    with pytest.raises(ValueError, match="nan in row 2"):
        mlekit.Model.from_arrays(np.ma.array(Y, mask=mask), X)


@pytest.mark.parametrize(
    ("values", "match"),
    [
        ([[1, 2]] * 5 + [[1]], "'x' has no rows"),
        ([{"a": 1}] * ROWS, "'x' cannot be read .* row 0 has a dict"),
        (["a"] * 5 + [{1}], "'x' cannot be read .* row 5 has a set"),
        (pd.Series([np.arange(3)] * ROWS), "'x' cannot be read .* row 0 has a ndarray"),
        ([10**400, *range(5)], "'x' cannot be read .* too large"),
        ([fractions.Fraction(10**400), *range(5)], "'x' cannot be read .* too large"),
        ([2**70 + i for i in range(ROWS)], "'x' cannot be read .* do not tell apart: subtract 1180591620717411303424"),
        (np.arange(ROWS, dtype=np.uint64) + 2**63, "'x' cannot be read .* do not tell apart: subtract 92233720"),
        (
            np.arange(ROWS) + 2**60,
            "x has whole numbers .* do not tell such numbers apart: subtract 1152921504606846976",
        ),
        (pd.array([None, *(2**60 + i for i in range(5))], dtype="Int64"), "x has whole numbers .* subtract"),
        ([decimal.Decimal("sNaN"), *range(5)], "'x' cannot be read"),
        (np.zeros(ROWS, dtype=[("a", int)]), "'x' cannot be read"),
        (np.zeros(ROWS, dtype="V3"), "'x' cannot be read .* of type"),
        (["\ud800", *"abcde"], "'x' cannot be read"),
        ([pd.Timestamp("2020", tz="UTC"), *pd.date_range("2020", periods=5, tz="Asia/Seoul")], "'x' cannot be read"),
        ([datetime.timedelta(1)] * ROWS, "x is a time"),
        (np.full(ROWS, 1 + 1j), "x is of type complex"),
        (pd.Series([1 + 1j] * ROWS, dtype=object), "'x' cannot be read .* complex numbers"),
        ([np.inf, *range(5)], "x is inf in row 0"),
        (X * 1e-320, "column 2 .* too small for floats"),
        (pd.DataFrame, "'x' has no rows"),
        (iter(X), "'x' has no rows"),
        (set(X), "'x' has no rows"),
    ],
)
def test_what_is_refused(values, match):
    for trusted in (True, False):
        with pytest.raises(ValueError, match=match) as caught:
            mlekit.fit("y ~ x", {"y": Y, "x": values}, trusted=trusted)
        assert len(str(caught.value)) < 400


@pytest.mark.parametrize("code", ["center(x)", "standardize(x)", "bs(x, df=4)", "cr(x, df=3)"])
@pytest.mark.parametrize(
    ("values", "match"),
    [
        (list("abcabc"), "x is of type object"),
        ([True, False] * 3, "x is of type bool"),
        (pd.Categorical(list("abcabc")), "x is of type category"),
        (pd.date_range("2020", periods=ROWS), "x is of type datetime64"),
        ([1.0, np.inf, 2, 3, 4, 5], "x is infinite in row 1"),
        ([1.0, -np.inf, np.nan, 3, 4, 5], "x is infinite in row 1"),
    ],
)
def test_transforms_learn_from_finite_numbers(code, values, match):
    with pytest.raises(FormulaError, match=match):
        mlekit.fit(f"y ~ {code}", {"y": Y, "x": values})


def test_levels_are_those_of_one_column():
    for x in (np.c_[X, X], pd.DataFrame({"a": X, "b": X}), X[:, None]):
        with pytest.raises(FormulaError, match=r"C\(x\) has several columns"):
            mlekit.fit("y ~ C(x)", {"y": Y, "x": x})


def test_levels_in_bytes():
    g = np.array([b"a", b"b"] * 3)
    expected = mlekit.fit("y ~ g", {"y": Y, "g": ["a", "b"] * 3})
    np.testing.assert_allclose(mlekit.fit("y ~ g", {"y": Y, "g": g}).params, expected.params, rtol=1e-12)


def test_large_numbers_that_floats_tell_apart_are_no_matter():
    """Nanoseconds since 1970 in the course of a year, and keys taken for levels."""
    x = 1_600_000_000_000_000_000 + (X * 1e16).astype(np.int64)
    found = mlekit.fit("y ~ x", {"y": Y, "x": x})
    np.testing.assert_allclose(found.fittedvalues, SLOPE[0] + SLOPE[1] * X, rtol=1e-10)
    keys = 2**60 + np.array([1, 2, 3, 1, 2, 3])
    levels = mlekit.fit("y ~ C(key)", {"y": Y, "key": keys})
    np.testing.assert_allclose(levels.fittedvalues, np.tile((Y[:3] + Y[3:]) / 2, 2), rtol=1e-12)


@pytest.mark.parametrize("data", [[1, 2], np.c_[Y, X], "text", 3, pd.Series(X), pd.DataFrame, np, iter([1])])
def test_what_is_no_table(data):
    with pytest.raises(TypeError, match="data"):
        mlekit.fit("y ~ x", data)


# ------------------------------------------------------------------------------------------------ size


def test_thousands_of_terms():
    """patsy's parser alone runs out of Python's stack at five hundred."""
    rng = np.random.default_rng(3)
    columns = {f"x{i}": rng.normal(size=800) for i in range(700)}
    formula = "y ~ " + " + ".join(columns)
    data = {"y": rng.normal(size=800), **columns}
    model = mlekit.Model.from_formula(formula, data)
    assert model.design.columns[0] == ("Intercept", *columns)
    np.testing.assert_array_equal(model.exog[:, 1:], np.column_stack(list(columns.values())))


@pytest.mark.parametrize("formula", ["y ~ C(a):C(b)", "y ~ te(cr(x, df=9000), cr(y, df=9000))", "y ~ a:b:c:d"])
def test_matrices_larger_than_the_memory(formula):
    keys = np.arange(3000)
    text = keys.astype(str)
    data = {"y": keys, "x": keys, "a": text, "b": text, "c": text, "d": text}
    with pytest.raises(FormulaError, match="more than the memory of this machine"):
        mlekit.fit(formula, data)
