"""Responses of levels: how they are read, what is refused, and what is said of the fits."""

from __future__ import annotations

import copy
import pickle
from collections import Counter
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

import mlekit
from mlekit.diagnostics import NotGiven
from mlekit.families import MultinomialLogit, OrderedLogit, OrderedProbit
from mlekit.formula import FormulaError
from tests import start_values_levels
from tests.level_cases import sixty

WORDS = ["no", "hm", "ok", "yes"]
FAMILIES = {"ordered_logit": OrderedLogit, "ordered_probit": OrderedProbit, "multinomial_logit": MultinomialLogit}
each_family = pytest.mark.parametrize("family", FAMILIES)


def words() -> pd.DataFrame:
    """The response in words that the alphabet puts out of order."""
    return sixty().assign(t=np.array(WORDS)[sixty().y])


def ordered(values: Any, levels: Any = WORDS) -> pd.Categorical:
    return pd.Categorical(values, categories=levels, ordered=True)


def answers() -> pd.DataFrame:
    """The response in words, in their order."""
    return words().assign(t=ordered(words().t))


# ------------------------------------------------------------------------------------------------ responses

WRITTEN: dict[str, tuple[str, Any, list[Any]]] = {
    "int": ("y", sixty(), [0, 1, 2, 3]),
    "float": ("y", sixty().assign(y=sixty().y.astype(float)), [0, 1, 2, 3]),
    "gaps": ("y", sixty().assign(y=np.array([-7, 2, 40, 41])[sixty().y]), [-7, 2, 40, 41]),
    "Int64": ("y", sixty().astype({"y": "Int64"}), [0, 1, 2, 3]),
    "object": ("y", sixty().astype({"y": object}), [0, 1, 2, 3]),
    "categorical": ("y", sixty().assign(y=ordered(words().t)), WORDS),
    "unused": ("y", sixty().assign(y=ordered(words().t, ["never", *WORDS[:2], "rarely", *WORDS[2:]])), WORDS),
    "C()": (f"C(t, levels={WORDS})", words(), WORDS),
    "cut": ("pd.cut(y, [-1, 0, 1, 2, 3], labels=list('abcd'))", sixty(), list("abcd")),
    "polars int": ("y", pl.DataFrame({name: column.to_numpy() for name, column in sixty().items()}), [0, 1, 2, 3]),
    "polars enum": (
        "t",
        pl.DataFrame({"x": sixty().x.to_numpy(), "t": pl.Series(words().t.tolist(), dtype=pl.Enum(WORDS))}),
        WORDS,
    ),
    "dict": ("y", {"x": sixty().x.tolist(), "y": sixty().y.tolist()}, [0, 1, 2, 3]),
}


@each_family
@pytest.mark.parametrize("written", WRITTEN)
def test_however_levels_are_written_the_fit_is_the_same(family: str, written: str) -> None:
    response, data, levels = WRITTEN[written]
    result, known = mlekit.fit(f"{response} ~ x", data, family), mlekit.fit("y ~ x", sixty(), family)
    np.testing.assert_allclose(result.params, known.params, rtol=1e-13)
    assert list(result.model.family.levels) == levels
    assert list(map(type, result.model.family.levels)) == list(map(type, levels))
    table = result.predict(what="probabilities")
    assert list(table.columns) == levels
    assert set(result.predict(what="level")) <= set(levels)


@each_family
@pytest.mark.parametrize("dtype", [bool, "boolean", "expression"])
def test_two_levels_that_are_true_or_false(family: str, dtype: str) -> None:
    yes = sixty().y > 1
    data = sixty() if dtype == "expression" else sixty().assign(b=yes.astype(dtype))
    result = mlekit.fit("y > 1 ~ x" if dtype == "expression" else "b ~ x", data, family)
    assert result.model.family.levels == (False, True)
    assert result.params.index[-1] in ("False|True", "True_x")


@pytest.mark.parametrize("dtype", [object, "string", "category"])
def test_text_has_no_order(dtype: str) -> None:
    data = words().astype({"t": dtype})
    said = r"the levels of the response t \('hm', 'no', 'ok', 'yes'\) have no order.*write C\(t, levels=\[...\]\)"
    for response in ("t", "C(t)"):
        with pytest.raises(FormulaError, match=said):
            mlekit.fit(f"{response} ~ x", data, "ordered_logit")
    assert mlekit.fit("t ~ x", data, "multinomial_logit").model.family.levels == ("hm", "no", "ok", "yes")
    known = mlekit.fit("t ~ x", data, OrderedLogit().of_levels(WORDS))
    np.testing.assert_allclose(known.params, mlekit.fit("y ~ x", sixty(), "ordered_logit").params, rtol=1e-13)


@each_family
def test_levels_of_rows_that_are_left_out_are_no_levels(family: str) -> None:
    data = sixty().assign(y=ordered(words().t))
    rest = data[data.y != "hm"].reset_index(drop=True)
    want = mlekit.fit("y ~ x", rest, family).params
    assert list(mlekit.fit("y ~ x", rest, family).model.family.levels) == ["no", "ok", "yes"]
    missing, unwanted = data.assign(x=data.x.where(data.y != "hm")), (data.y != "hm").astype(float)
    np.testing.assert_allclose(mlekit.fit("y ~ x", missing, family).params, want, rtol=1e-12)
    np.testing.assert_allclose(mlekit.fit("y ~ x", data, family, weights=unwanted).params, want, rtol=1e-12)
    no_response = data.assign(y=data.y.where(data.y != "hm"))
    np.testing.assert_allclose(mlekit.fit("y ~ x", no_response, family).params, want, rtol=1e-12)


@each_family
def test_weights_are_repeated_rows(family: str) -> None:
    data = sixty().assign(w=np.resize([1, 2, 3], 60))
    weighted = mlekit.fit("y ~ x", data, family, weights="w")
    repeated = mlekit.fit("y ~ x", data.loc[data.index.repeat(data.w)].reset_index(drop=True), family)
    np.testing.assert_allclose(weighted.params, repeated.params, rtol=1e-11)
    np.testing.assert_allclose(weighted.bse, repeated.bse, rtol=1e-12)


# ------------------------------------------------------------------------------------------------ what is refused

BAD: dict[str, tuple[str, dict[str, Any], str]] = {
    "one level": ("y ~ x", {"y": 1}, "needs a response of 2 to 100 levels, and it has 1"),
    "fractions": ("y ~ x", {"y": sixty().y / 2}, "the response y is 0.5 in some row.*takes levels"),
    "infinite": ("y ~ x", {"y": np.where(sixty().y, sixty().y, np.inf)}, "the response y is inf"),
    "two": ("y + z ~ x", {}, "needs one response to the left"),
    "pairs": ("cbind(y, y) ~ x", {}, "has 2 columns"),
    "none": ("~ x", {}, "left"),
    "same names": ("y ~ x", {"y": ordered(np.array([1, "1"], dtype=object)[sixty().y % 2], [1, "1"])}, "the same name"),
    "huge": ("y ~ x", {"y": 2**60 * (1 + sixty().y)}, r"2\*\*53 and more"),
}


@each_family
@pytest.mark.parametrize("bad", BAD)
def test_wrong_responses(family: str, bad: str) -> None:
    formula, columns, said = BAD[bad]
    with pytest.raises(ValueError, match=said):
        mlekit.fit(formula, sixty().assign(**columns), family)


def test_more_than_a_hundred_levels() -> None:
    with pytest.raises(ValueError, match=r"2 to 100 levels, and it has 101 .*: merge levels, as by pandas.cut"):
        mlekit.fit("y ~ x", {"y": np.resize(np.arange(101), 500), "x": np.arange(500.0)}, "ordered_logit")


@pytest.mark.parametrize(
    ("formula", "family", "said"),
    [
        ({"b": "y ~ x", "d": "~ z"}, "multinomial_logit", "formulas for b, d: the parameters of .* are 1, 2, 3"),
        ({"1": "y ~ x", "2": "z ~ x"}, "multinomial_logit", "no other may have another"),
        ({"1": "~ x"}, "multinomial_logit", "one formula needs the response"),
        ({"mu": "y ~ x"}, "ordered_logit", r"formulas for mu: the parameters of .* are location, 0\|1, 1\|2, 2\|3"),
        ({"location": 3}, "ordered_logit", "a formula must be text"),
    ],
    ids=["unknown levels", "two responses", "no response", "unknown parameter", "no text"],
)
def test_wrong_formulas(formula: Any, family: str, said: str) -> None:
    with pytest.raises((ValueError, TypeError), match=said):
        mlekit.fit(formula, sixty(), family)


@each_family
def test_other_wrong_calls(family: str) -> None:
    kind: Any = FAMILIES[family]
    with pytest.raises(TypeError, match="takes no links and no constants"):
        kind(location="log")
    with pytest.raises(ValueError, match="an exposure needs the log link"):
        mlekit.fit("y ~ x", sixty(), family, exposure="x")
    bound = kind().of_levels([0, 1, 2, 3, 4])
    with pytest.raises(ValueError, match="no row has y = 4, so nothing can be estimated"):
        mlekit.fit("y ~ x", sixty(), bound)
    with pytest.raises(FormulaError, match="y has the levels 3, which are none of"):
        mlekit.fit("y ~ x", sixty(), kind().of_levels([0, 1, 2]))


# ------------------------------------------------------------------------------------------------ families as objects


@pytest.mark.parametrize("kind", FAMILIES.values(), ids=FAMILIES)
def test_families_are_values(kind: Any) -> None:
    a, b = kind().of_levels(list("abc")), kind().of_levels(list("abc"))
    assert a == b != kind().of_levels(list("abd")) != kind()
    assert hash(a) == hash(b)
    assert repr(a) == f"{kind.__name__}().of_levels(['a', 'b', 'c'])"
    for twin in (pickle.loads(pickle.dumps(a)), copy.deepcopy(a)):
        assert twin == a
        assert twin.levels == ("a", "b", "c")
    assert a.in_support(np.array([-1, 0, 1.5, 2, 3, np.nan])).tolist() == [False, True, False, True, False, False]
    np.testing.assert_array_equal(a.written(np.array([2.0, np.nan, 0.0]))[[0, 2]], ["c", "a"])


# ------------------------------------------------------------------------------------------------ use


@each_family
def test_predictions_on_new_rows(family: str) -> None:
    result = mlekit.fit("t ~ x", answers(), family)
    new = pd.DataFrame({"x": [0.3, np.nan, -1.0]}, index=list("uvw"))
    table, level = (result.predict(new, what=what) for what in ("probabilities", "level"))
    assert table.index.tolist() == level.index.tolist() == list("uvw")
    assert table.isna().all(axis=1).tolist() == level.isna().tolist() == [False, True, False]
    np.testing.assert_allclose(table.sum(axis=1)[["u", "w"]], 1, rtol=1e-15)
    assert level[["u", "w"]].tolist() == table.loc[["u", "w"]].idxmax(axis=1).tolist()
    whole = mlekit.fit("y ~ x", sixty(), family).predict(new, what="level")
    assert whole.isna().tolist() == [False, True, False]
    for call in (result.predict, lambda: result.resid_response, lambda: result.fittedvalues):
        with pytest.raises(NotGiven, match=r"levels, which have no mean and no residuals: predict\(what='probabili"):
            call()
    with pytest.raises(
        ValueError, match="cannot predict 'odds': what is probabilities, level, pmf, cdf, sf, quantile, lin"
    ):
        result.predict(what="odds")
    with pytest.raises(ValueError, match="Normal has no levels to predict"):
        mlekit.fit("x ~ z", sixty()).predict(what="probabilities")


def test_ordered_offsets_move_the_location() -> None:
    result = mlekit.fit("y ~ x + offset(z)", sixty(), "ordered_logit")
    moved = mlekit.fit("y ~ x", sixty(), "ordered_logit", offset="z")
    np.testing.assert_allclose(moved.params, result.params, rtol=1e-13)
    low, mid, high = result.params[["0|1", "1|2", "2|3"]]
    location = result.params["x"] * 0.5 + 2.0
    found = result.predict({"x": [0.5], "z": [2.0]}, what="probabilities").to_numpy()[0]
    below = 1 / (1 + np.exp(location - np.array([low, mid, high])))
    np.testing.assert_allclose(found, np.diff([0, *below, 1]), rtol=1e-12)


@each_family
def test_cross_validation_scores_levels(family: str) -> None:
    data = answers()
    found = mlekit.cross_validate("t ~ x", data, family, loss=["log_score", "deviance"], seed=1, stratify="t")
    scores = []
    for train, test in found.folds:
        fit = mlekit.fit("t ~ x", data.iloc[train], family)
        table = fit.predict(data.iloc[test], what="probabilities").to_numpy()
        seen = table[np.arange(len(test)), [WORDS.index(t) for t in data.t.iloc[test]]]
        scores.append(np.log(seen).mean())
        part = found.predictions.query("row in @test")
        assert part.observed.tolist() == data.t.iloc[part.row].tolist()
        assert part.predicted.tolist() == fit.predict(data.iloc[part.row], what="level").tolist()
    np.testing.assert_allclose(found.scores["log_score"], scores, rtol=1e-9)
    np.testing.assert_allclose(found.scores["deviance"], -2 * np.array(scores), rtol=1e-9)
    for loss in ("mse", "cross_entropy"):
        with pytest.raises(ValueError, match=r"is of levels, and .* is of numbers: score by loss='log_score'"):
            mlekit.cross_validate("t ~ x", data, family, loss=loss, seed=1)


def test_a_fold_without_a_level_is_said() -> None:
    data = sixty().assign(y=np.where(sixty().index == 7, 9, sixty().y))
    with pytest.raises(ValueError, match=r"fold .: no row has y = 9.*stratify= by y, take fewer folds, or merge"):
        mlekit.cross_validate("y ~ x", data, "multinomial_logit", loss="log_score", seed=1)


@each_family
def test_fits_travel(family: str) -> None:
    result = mlekit.fit("t ~ x", answers(), family)
    again = pickle.loads(pickle.dumps(result))
    new = {"x": [0.1, -2.0]}
    pd.testing.assert_frame_equal(again.predict(new, what="probabilities"), result.predict(new, what="probabilities"))
    assert again.summary().as_text().splitlines()[9:] == result.summary().as_text().splitlines()[9:]
    result.remove_data()
    pd.testing.assert_frame_equal(result.predict(new, what="probabilities"), again.predict(new, what="probabilities"))


def test_summaries_say_the_levels() -> None:
    text = mlekit.fit("t ~ x", answers(), "ordered_logit").summary().as_text()
    assert "Levels of t, in order: no < hm < ok < yes." in text
    assert "Held" not in text
    text = mlekit.fit("t ~ x", words(), "multinomial_logit").summary().as_text()
    assert "Levels of t: no, ok, yes, each by its log odds against hm." in text


@each_family
def test_no_fit_fails_from_its_default_start(family: str) -> None:
    ends = Counter(start_values_levels.verdict(family, data)[0] for data in start_values_levels.samples(family, 40, 1))
    assert set(ends) <= {"converged", "no maximum"}, ends
    assert ends["converged"] > 30


def test_training_finds_the_fit() -> None:
    data = sixty().assign(x=sixty().x / 2)
    fit = mlekit.fit("y ~ x", data, "multinomial_logit")
    trained = mlekit.train("y ~ x", data, family="multinomial_logit", lr=1.0, epochs=3000)
    np.testing.assert_allclose(trained.params, fit.params, rtol=1e-6)
    start = {"x": 0.0, "0|1": -1.0, "1|2": 0.0, "2|3": 1.0}
    fit = mlekit.fit("y ~ x", data, "ordered_logit")
    trained = mlekit.train("y ~ x", data, family="ordered_logit", lr=0.5, epochs=3000, start=start)
    np.testing.assert_allclose(trained.params, fit.params, rtol=1e-6)


def test_array_door() -> None:
    data = answers()
    for y in (data.t, sixty().y.tolist(), sixty().y.to_numpy(), data.t.to_numpy()):
        if isinstance(y, np.ndarray) and y.dtype == object:
            with pytest.raises(FormulaError, match="have no order"):
                mlekit.Model.from_arrays(y, data[["x", "z"]].to_numpy(), "ordered_probit")
            continue
        made = mlekit.Model.from_arrays(y, data[["x", "z"]], "ordered_probit").fit()
        np.testing.assert_allclose(made.params, mlekit.fit("y ~ x + z", sixty(), "ordered_probit").params, rtol=1e-12)
    with pytest.raises(ValueError, match="y must have one level per row"):
        mlekit.Model.from_arrays(np.ones((60, 2)), data[["x"]], "ordered_probit")
    with pytest.raises(ValueError, match="can add up to a constant"):
        mlekit.Model.from_arrays(sixty().y, np.ones((60, 1)), "ordered_probit")


def test_from_the_command_line(tmp_path: Any, run: Any) -> None:
    path = tmp_path / "answers.csv"
    words().to_csv(path, index=False)
    status, _, err = run("fit", "t ~ x", "--data", str(path), "--family", "ordered_logit")
    assert status == 1
    assert "write C(t, levels=[...]) with the lowest first" in err
    status, out, _ = run("fit", f"C(t, levels={WORDS}) ~ x", "--data", str(path), "--family", "ordered_logit")
    assert status == 0
    assert "no < hm < ok < yes" in out
    status, out, _ = run("fit", "t ~ x", "--data", str(path), "--family", "multinomial_logit")
    assert status == 0
    assert "each by its log odds against hm" in out
