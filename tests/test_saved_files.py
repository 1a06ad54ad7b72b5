"""Files of fits: written in one step, refused with a reason if they are anything else, and never executed."""

from __future__ import annotations

import contextlib
import copy
import functools
import io
import json
import os
import stat
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import mlekit
from mlekit import SavedFitError
from mlekit.formula import FormulaError
from mlekit.results import Results
from mlekit.saving.schema import check_schema, schema
from mlekit.saving.text import read, write
from tests.saved_cases import MORE, made, new_rows


def text_of(fit):
    file = io.StringIO()
    fit.save(file)
    return file.getvalue()


def load_text(text, family=None):
    return mlekit.load(io.StringIO(text) if isinstance(text, str) else io.BytesIO(text), family)


@functools.cache
def saved(name):
    return text_of(made(name))


# ------------------------------------------------------------------------------------ files


def test_a_file_is_replaced_in_one_step(tmp_path):
    fit, path = made("normal"), tmp_path / "fit.json"
    path.write_text("old")
    path.chmod(0o640)
    fit.save(str(path))
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert mlekit.load(path).params.equals(fit.params)
    assert mlekit.load(str(path)).params.equals(fit.params)
    assert os.listdir(tmp_path) == ["fit.json"]
    link = tmp_path / "link.json"
    link.symlink_to(path)
    made("gamma").save(link)
    assert link.is_symlink()
    assert mlekit.load(path).model.family == mlekit.Gamma()


def test_the_rights_of_a_new_file_are_the_usual_ones(tmp_path):
    made("normal").save(tmp_path / "fit.json")
    (tmp_path / "other").write_text("")
    assert (tmp_path / "fit.json").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_a_file_that_cannot_be_written_is_said(tmp_path):
    fit = made("normal")
    with pytest.raises(FileNotFoundError, match="the fit cannot be saved there; choose another path"):
        fit.save(tmp_path / "nowhere" / "fit.json")
    with pytest.raises(OSError, match="the fit cannot be saved there"):
        fit.save(tmp_path)
    with pytest.raises(TypeError):
        fit.save(None)
    with pytest.raises(FileNotFoundError):
        mlekit.load(tmp_path / "nowhere.json")
    assert os.listdir(tmp_path) == []


def test_file_objects_of_text_and_of_bytes(tmp_path):
    fit = made("normal")
    with (tmp_path / "fit.json").open("wb") as file:
        fit.save(file)
    with (tmp_path / "fit.json").open("rb") as file:
        assert mlekit.load(file).params.equals(fit.params)


def test_results_are_saved_as_wrapped_ones_are():
    fit = made("normal")
    assert text_of(fit._results)[:1000].split("saved")[0] == text_of(fit)[:1000].split("saved")[0]
    with pytest.raises(TypeError, match=r"mlekit\.load"):
        Results.load("fit.pickle")


FRESH = """
import sys, pickle, numpy as np, pandas as pd, mlekit
for path, rows in pickle.load(sys.stdin.buffer):
    fit = mlekit.load(path)
    frames = fit.predict(rows), fit.get_prediction(rows).summary_frame(), fit.conf_int()
    print(*(x.hex() for frame in frames for x in np.asarray(frame, dtype=float).ravel().tolist()))
"""


def test_predictions_are_the_same_in_another_process(tmp_path):
    import pickle

    asked, expected = [], []
    for name in ("levels", "nested transforms", "limit", "constraints"):
        fit, rows = made(name), new_rows(name)
        fit.save(tmp_path / f"{name}.json")
        asked.append((str(tmp_path / f"{name}.json"), rows))
        frames = fit.predict(rows), fit.get_prediction(rows).summary_frame(), fit.conf_int()
        expected.append(" ".join(x.hex() for f in frames for x in np.asarray(f, dtype=float).ravel().tolist()))
    found = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FRESH], input=pickle.dumps(asked), capture_output=True, check=True
    )
    assert found.stdout.decode().splitlines() == expected


# ------------------------------------------------------------------------------------ what is in a file


def test_no_row_of_the_data_is_in_a_file():
    secret = MORE.assign(x=MORE.x + 0.123456789, y=MORE.y - 0.987654321)
    text = text_of(mlekit.fit("y ~ x + C(g)", secret))
    for value in (*secret.x, *secret.y, *secret.index):
        assert json.dumps(value) not in text


def test_every_field_has_to_be_there_and_no_other():
    """The check of records agrees with that of the package jsonschema, whatever is left out or added."""
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.Draft202012Validator.check_schema(schema())
    validator = jsonschema.Draft202012Validator(schema())
    changed = [each for name in ("constraints", "levels") for each in mutations(json.loads(saved(name)))]
    for i in np.random.default_rng(1).permutation(len(changed))[:40]:
        record, where = changed[i]
        assert refused(check_schema, record) != validator.is_valid(record), where


def refused(call, *args):
    try:
        call(*args)
    except SavedFitError:
        return True
    return False


def mutations(record):
    """Copies of a record with one field left out, or one that is not known, or one of another type."""
    for path in places(record):
        for change in ("leave out", "add", "text", "number", "nothing", "list"):
            made = copy.deepcopy(record)
            inside = made
            for key in path[:-1]:
                inside = inside[key]
            if change == "leave out":
                del inside[path[-1]]
            elif change == "add":
                if not isinstance(inside[path[-1]], dict):
                    continue
                inside[path[-1]]["surplus"] = 1
            else:
                inside[path[-1]] = {"text": "x", "number": -1.5, "nothing": None, "list": []}[change]
            yield made, (path, change)


def places(record, path=()):
    """Paths of all values in a record, of lists those of the first entry."""
    items = (
        record.items() if isinstance(record, dict) else list(enumerate(record))[:1] if isinstance(record, list) else ()
    )
    for key, value in items:
        yield (*path, key)
        yield from places(value, (*path, key))


# ------------------------------------------------------------------------------------ hostile files

HOSTILE = {
    "empty": ("", "no JSON"),
    "bytes": (b"\xff\xfe\x00", "not in UTF-8"),
    "a pickle": (b"\x80\x04cos\nsystem\n(S'true'\ntR.", "no saved fit"),
    "a list": ("[]", "must be object"),
    "a number": ("1", "must be object"),
    "null": ("null", "must be object"),
    "nothing": ("{}", "lacks format, version"),
    "twice": ('{"format": "mlekit fit", "format": "mlekit fit"}', "key 'format' twice"),
    "deep": ("[" * 100_000, "nested too deeply"),
    "deep and closed": ("[" * 100_000 + "]" * 100_000, "nested too deeply"),
    "deep objects": ('{"a":' * 50_000 + "1" + "}" * 50_000, "nested too deeply"),
    "NaN": ('{"format": NaN}', "NaN, which is no JSON"),
    "large": ('{"format": 1e999}', "no float"),
    "long": ('{"format": 1' + "0" * 5000 + "}", "5001 digits"),
    "half a character": ('{"format": "\\ud800"}', "control character"),
    "terminal": ('{"format": "\\u001b[2J"}', "control character"),
    "version": ('{"format": "mlekit fit", "version": 2}', "version 2 of the format"),
    "version of text": ('{"format": "mlekit fit", "version": "1"}', "version '1' of the format"),
    "version true": ('{"format": "mlekit fit", "version": true}', "no saved fit"),
    "another format": ('{"format": "pickle", "version": 1}', "lacks"),
    "byte order mark": ("\ufeff{}", "no JSON"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_no_saved_fit_is_refused(name):
    text, match = HOSTILE[name]
    with pytest.raises(SavedFitError, match=match):
        load_text(text)


def test_a_file_that_is_too_large_is_not_read(monkeypatch, tmp_path):
    made("normal").save(tmp_path / "fit.json")
    monkeypatch.setattr("mlekit.saving.loading.LARGEST", 1000)
    monkeypatch.setattr("mlekit.saving.text.LARGEST", 1000)
    with pytest.raises(SavedFitError, match="has more than"):
        mlekit.load(tmp_path / "fit.json")


def put(record, path, value):
    *inner, last = path.split("/")
    for key in inner:
        record = record[int(key) if isinstance(record, list) else key]
    if isinstance(record, list):
        record[int(last)] = value
    else:
        record[last] = value


CODE = "__import__('os').system('touch executed')"
#: Fit, place, value, and what is said.
CHANGES = {
    "nan covariance": ("levels", "fit/covariance/scaled/0/0", "NaN", "not finite|without errors"),
    "nan beside": ("levels", "fit/covariance/scaled/0/1", "NaN", "not finite"),
    "infinite covariance": ("levels", "fit/covariance/scaled/0/0", "Infinity", "not finite"),
    "no symmetry": ("levels", "fit/covariance/scaled/0/1", 1e3, "not symmetric"),
    "negative variance": ("levels", "fit/covariance/scaled/0/0", -1.0, "without errors|not symmetric"),
    "no unit": ("levels", "fit/covariance/units/0", 0.0, "positive unit"),
    "short row": ("levels", "fit/covariance/scaled/0", [1.0], "has not"),
    "no row": ("levels", "fit/covariance/scaled", [], "one row"),
    "coefficient": ("levels", "fit/params", [1.0], "1 coefficients for"),
    "name": ("levels", "design/columns/0/0", 3, "must be string"),
    "another name": ("levels", "design/columns/0/0", "z", "columns that are not there|not those of its terms"),
    "same name": ("levels", "design/columns/0/0", "x", "one name"),
    "true": ("levels", "fit/params/0", True, "must be a number"),
    "text": ("levels", "fit/params/0", "1.0", "must be a number"),
    "status": ("levels", "fit/ending/status", "__class__", "status"),
    "kind": ("levels", "fit/kind", "limit", "other parts"),
    "kind with other parts": ("constraints", "fit/kind", "limit", "other parts"),
    "family": ("levels", "family/name", "os.system", "no family"),
    "another family": ("levels", "family/name", "normal", "no normal as mlekit has it"),
    "link": ("levels", "family/links/mu", "probit", "cannot be made"),
    "unknown link": ("levels", "family/links/mu", CODE, "cannot be made"),
    "constant": ("levels", "family/constants/k", 2.0, "cannot be made"),
    "level": ("levels", "design/learned/factors/0/levels/0", "b", "level twice"),
    "code": ("splines", "design/learned/factors/0/code", CODE, "not trusted|not written"),
    "code in an offset": ("exposure", "design/learned/factors/1/code", CODE, "not trusted"),
    "code in the offsets": ("exposure", "design/offsets/0/code", CODE, "not trusted"),
    "code in a formula": ("splines", "design/formulas/mu", f"y ~ {CODE}", "not trusted"),
    "code in the response": ("splines", "design/formulas/mu", f"{CODE} ~ x", "not trusted"),
    "code in a column": ("splines", "design/learned/factors/0/code", "Q(__import__('os'))", "not trusted"),
    "attribute": ("splines", "design/learned/factors/0/code", "x.__class__", "not trusted"),
    "name of patsy's": ("splines", "design/learned/factors/0/code", "_patsy_stobj0__bs__.transform(x)", "not trusted"),
    "no patsy spacing": ("splines", "design/learned/factors/0/code", "bs(x,df=5,degree=2)", "not written"),
    "another function": ("splines", "design/learned/factors/0/learned/0/function", "te", "is no state"),
    "knots": ("splines", "design/learned/factors/0/learned/0/knots/0", 1e9, "not in order"),
    "degree": ("splines", "design/learned/factors/0/learned/0/degree", 10**9, "of degree"),
    "columns": ("splines", "design/learned/factors/0/columns", 10**9, "do not fit"),
    "place": ("splines", "design/learned/matrices/0/terms/1/factors/0", 10**9, "do not fit"),
    "contrast": (
        "levels",
        "design/learned/matrices/0/terms/1/parts/0/contrasts/0/matrix",
        [[1.0]],
        "has not|do not fit",
    ),
    "variable": ("splines", "design/variables", {}, "no column"),
    "limit": ("limit", "fit/extra/position", 10**9, "not there"),
    "simpler family": ("limit", "fit/extra/simpler/family/name", "bernoulli", "no limit of its family"),
    "constraint": ("constraints", "fit/extra/constraints/0", [1.0], "has not"),
    "bound": ("constraints", "fit/extra/low", [], "not of its coefficients"),
    "levels": ("ordered", "family/levels/0", "high", "cannot be made|parameters"),
    "one level": ("ordered", "family/levels", ["low"], "cannot be made"),
    "inner": ("zero-inflated", "family/inner", None, "no family"),
    "combinator": ("zero-inflated", "family/name", "truncated", "cannot be made"),
    "common": ("levels", "fit/common", {"z": [0.0, 1.0]}, "not there"),
    "trace": ("levels", "fit/ending/trace/0", [1.0], "5 entries"),
    "trace without number": ("levels", "fit/ending/trace/0/0", "Infinity", "whole number"),
    "degrees of freedom": ("levels", "fit/df_resid", "NaN", "must be number"),
    "naming": ("levels", "design/naming", "other", "one of"),
    "parameter": ("levels", "design/params", ["lambda"], "parameters"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_file_that_was_changed_is_refused(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    case, path, value, match = CHANGES[name]
    record = json.loads(saved(case))
    put(record, path, value)
    with pytest.raises(SavedFitError, match=match):
        load_text(json.dumps(record))
    assert os.listdir(tmp_path) == []


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**19), 10**19),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["NaN", "Infinity", "-Infinity", CODE, "x", "", "0", "bs(x)", "x.__class__", "poisson", "te"]),
    st.lists(st.floats(-10, 10), max_size=3),
    st.just({}),
)


@given(
    name=st.sampled_from(["levels", "splines", "limit", "constraints", "ordered", "zero-inflated", "exposure"]),
    changes=st.lists(st.tuples(st.integers(0, 10**6), VALUES), min_size=1, max_size=3),
)
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_no_change_of_a_file_does_anything_but_load_or_be_refused(tmp_path, monkeypatch, name, changes):
    monkeypatch.chdir(tmp_path)
    record = json.loads(saved(name))
    for place, value in changes:
        paths = list(everywhere(record))
        *inner, last = paths[place % len(paths)]
        inside = record
        for key in inner:
            inside = inside[key]
        inside[last] = value
    try:
        fit = load_text(json.dumps(record))
    except SavedFitError:
        return
    fit.summary()
    with contextlib.suppress(FormulaError, ValueError):  # said when it is used: a spline of other columns, say
        fit.predict(new_rows(name), "linear")
    assert os.listdir(tmp_path) == []


def everywhere(record, path=()):
    items = record.items() if isinstance(record, dict) else enumerate(record) if isinstance(record, list) else ()
    for key, value in items:
        yield (*path, key)
        yield from everywhere(value, (*path, key))


@given(cut=st.integers(0, 10_000), byte=st.integers(0, 255))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_no_byte_of_a_file_does_anything_but_load_or_be_refused(cut, byte):
    whole = saved("levels").encode()
    cut %= len(whole)
    for content in (whole[:cut], whole[:cut] + bytes([byte]) + whole[cut + 1 :]):
        with pytest.raises(SavedFitError) if content == whole[:cut] else _either():
            load_text(content)


class _either:
    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        return kind is SavedFitError


@given(st.floats())
@settings(deadline=None)
def test_floats_are_written_to_the_last_bit(value):
    from mlekit.saving.text import number, real

    again = real(json.loads(json.dumps(number(value), allow_nan=False)))
    assert again.hex() == value.hex()


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text('ab\\n"\u20ac'),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("xyz"), inner, max_size=3),
        max_leaves=8,
    )
)
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_records_are_read_as_they_were_written(value):
    assert read(write(value)) == json.loads(write(value)) == value
