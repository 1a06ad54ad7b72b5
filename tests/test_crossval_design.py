"""Each fold knows the rows that it is trained on, and no others."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import cross_val_score
from statsmodels.tools.sm_exceptions import CollinearityWarning

import mlekit
from mlekit.crossval import cross_validate
from mlekit.formula import FormulaError


def table(n=60, seed=3):
    rng = np.random.default_rng(seed)
    data = pd.DataFrame({"x": rng.normal(5, 2, n), "z": rng.gamma(2, size=n), "g": rng.choice(list("abc"), n)})
    data["y"] = 1 + 0.5 * data["x"] + (data["g"] == "b") + rng.normal(size=n)
    data["count"] = rng.poisson(data["z"])
    data["won"] = np.where(rng.random(n) < 0.4, "yes", "no")
    return data


def alone(formula, data, folds, family="normal", **options):
    """Mean squared errors of a fit to the training rows alone, cut out of the table before it is read."""
    found = []
    for fold in folds:
        fit = mlekit.fit(formula, data.iloc[fold.train], family, **options)
        held = data.iloc[fold.test]
        response = fit.model.endog_names
        found.append(np.mean((held.eval(response) - fit.predict(held)) ** 2))
    return found


FORMULAS = [
    "y ~ x",
    "y ~ center(x) * g",
    "y ~ standardize(x) + I(x**2)",
    "y ~ bs(x, df=4, lower_bound=-10, upper_bound=20)",
    "y ~ 0 + cr(x, df=4)",
    "y ~ C(g, Treatment('b'))",
    "y ~ C(g, Sum):x + np.log(z)",
    "y ~ 0 + g",
    "y ~ 1",
    "y ~ x + offset(center(z))",
]


@pytest.mark.parametrize("formula", FORMULAS)
def test_designs_are_learned_from_the_training_rows_alone(formula):
    data = table()
    cv = cross_validate(formula, data, seed=1)
    np.testing.assert_allclose(cv.scores["mse"], alone(formula, data, cv.folds), rtol=1e-10)


def test_a_centre_is_that_of_the_training_rows():
    data = table()
    cv = cross_validate("y ~ center(x)", data, seed=1, keep_fits=True)
    for fold, fit in zip(cv.folds, cv.fits, strict=True):
        assert fit.model.exog[:, 1].mean() == pytest.approx(0, abs=1e-12)
        expected = data["x"] - data["x"].iloc[fold.train].mean()
        np.testing.assert_allclose(fit.model.rows(data).X[0][:, 1], expected, rtol=1e-12)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**16), st.sampled_from(FORMULAS))
def test_rows_held_out_do_not_touch_the_fit(seed, formula):
    """Whatever the covariates of the rows held out are, the coefficients are the same."""
    data = table(seed=seed)
    pair = [(np.arange(10, 60), np.arange(10))]
    first = cross_validate(formula, data, splitter=pair, keep_fits=True).fits[0].params
    changed = data.copy()
    changed.loc[:9, ["x", "z", "y"]] = changed.loc[:9, ["x", "z", "y"]] * 1.5
    second = cross_validate(formula, changed, splitter=pair, keep_fits=True).fits[0].params
    pd.testing.assert_series_equal(first, second, check_exact=True)


def test_a_lag_is_that_of_the_row_before_in_the_data():
    data = table()
    with pytest.warns(RuntimeWarning, match=r"x.shift\(1\) is NaN"):
        cv = cross_validate("y ~ x.shift(1)", data, seed=1)
    column = data.assign(before=data["x"].shift(1))
    expected = cross_validate("y ~ before", column, splitter=cv.folds)
    np.testing.assert_allclose(cv.scores["mse"], expected.scores["mse"], rtol=1e-12)
    assert cv.left_out == 1


def test_a_lag_inside_what_is_learned_is_refused():
    with pytest.raises(FormulaError, match=r"fold 1: x.shift\(1, fill_value=0\) in center.* depends on other rows"):
        cross_validate("y ~ center(x.shift(1, fill_value=0))", table(), seed=1)


def test_nan_that_comes_of_what_is_learned_is_refused():
    data = table().assign(x=np.r_[np.full(30, 1.0), np.full(30, 3.0)])
    folds = [(np.arange(30), np.arange(30, 60))]
    with pytest.raises(FormulaError, match=r"fold 1: .*NaN in row 30"):
        cross_validate("y ~ np.sqrt(1.5 - center(x))", data, splitter=folds)


# ------------------------------------------------------------------------------------------------ levels


def test_a_level_that_only_the_rows_held_out_have():
    data = table()
    data.loc[7, "g"] = "rare"
    with pytest.raises(FormulaError) as caught:
        cross_validate("y ~ g", data, k=5, shuffle=False)
    text = str(caught.value)
    assert text.startswith("fold 1: g has level 'rare' that the fit did not see: it knows 'a', 'b', 'c'")
    assert "stratify=" in text
    assert "fewer folds" in text
    assert "merge" in text


def test_a_level_that_is_named_beforehand_is_no_way_round():
    data = table()
    data.loc[7, "g"] = "rare"
    with pytest.raises(FormulaError, match=r"fold 1: .*\[T.rare\] is a combination of other columns in the rows"):
        cross_validate("y ~ C(g, levels=['a', 'b', 'c', 'rare'])", data, k=5, shuffle=False)


def test_a_dummy_that_is_always_zero_in_training():
    data = table().assign(rare=0.0)
    data.loc[3, "rare"] = 1
    with pytest.raises(FormulaError, match="fold 1: rare is a combination of other columns"):
        cross_validate("y ~ x + rare", data, k=5, shuffle=False)


def test_columns_that_are_collinear_everywhere_are_no_obstacle():
    data = table().assign(twice=lambda t: 2 * t["x"])
    with pytest.warns(CollinearityWarning) as caught:
        cv = cross_validate("y ~ x + twice", data, seed=0)
    assert len(caught) == 1  # of the model of all rows
    np.testing.assert_allclose(cv.scores["mse"], cross_validate("y ~ x", data, seed=0).scores["mse"], rtol=1e-10)


@pytest.mark.filterwarnings("ignore::statsmodels.tools.sm_exceptions.CollinearityWarning")
@pytest.mark.parametrize("again", ["C(g, Treatment('c'))", "C(g, levels=['c', 'b', 'a'])", "C(g, Sum)"])
def test_a_factor_that_is_there_twice_is_no_obstacle(again):
    """Its dummies are combinations of the others, with coefficients that have rounded to something near 0."""
    data = table()
    once = cross_validate("y ~ g", data, seed=0).scores["mse"]
    np.testing.assert_allclose(cross_validate(f"y ~ g + {again}", data, seed=0).scores["mse"], once, rtol=1e-12)
    dummies = pd.get_dummies(data["g"]).to_numpy(float)
    folds = cross_validate("y ~ g", data, seed=0).folds
    theirs = -cross_val_score(LinearRegression(), dummies, data["y"], cv=folds, scoring="neg_mean_squared_error")
    np.testing.assert_allclose(once, theirs, rtol=1e-12)


def test_columns_that_are_collinear_in_one_fold_are_told_of():
    data = table().assign(same=lambda t: t["x"])
    data.loc[40, "same"] = 99.0
    folds = [(np.arange(40), np.arange(45, 60)), (np.arange(20, 60), np.arange(20))]
    with pytest.warns(CollinearityWarning, match="left out: same in fold 1$"):
        cross_validate("y ~ x + same", data, splitter=folds)


def test_knots_that_do_not_reach_rows_held_out_name_the_way_out():
    with pytest.raises(FormulaError, match=r"fold \d: .*outside the outermost knots(.|\n)*lower_bound="):
        cross_validate("y ~ bs(x, df=4)", table(), seed=0)


@pytest.mark.parametrize("response", ["won", "won == 'yes'", "count > 1"])
def test_which_level_is_1_is_the_same_in_every_fold(response):
    """The first fold trains on one level alone: read by itself it would be no response, or the other way round."""
    data = table().sort_values("won", ignore_index=True)
    cv = cross_validate(f"{response} ~ 1", data, "bernoulli", stratify=True, seed=0, keep_fits=True)
    truth = data["won"] == "yes" if "won" in response else data["count"] > 1
    np.testing.assert_array_equal(cv.predictions["observed"], truth.astype(float))
    assert cv.title == f"Bernoulli(): {response} ~ 1 ({response} = {'yes' if response == 'won' else True} counts as 1)"
    for fold, fit in zip(cv.folds, cv.fits, strict=True):
        assert fit.fittedvalues.iloc[0] == pytest.approx(truth.iloc[fold.train].mean())


def test_unused_levels_of_a_categorical_are_no_columns():
    data = table().astype({"g": pd.CategoricalDtype(["unused", "c", "b", "a"])})
    cv = cross_validate("y ~ g", data, seed=1, keep_fits=True)
    assert [*cv.fits[0].params.index[:3]] == ["Intercept", "g[T.b]", "g[T.a]"]


# ------------------------------------------------------------------------------------------------ rows


def test_rows_with_missing_values_are_left_out_first_and_counted():
    data = table()
    data.loc[[2, 50], "x"] = np.nan
    data.loc[[9], "y"] = np.nan
    cv = cross_validate("y ~ x + z", data, seed=4)
    assert cv.left_out == 3
    held = np.sort(np.concatenate([fold.test for fold in cv.folds]))
    assert held.tolist() == [i for i in range(60) if i not in (2, 9, 50)]
    assert not {2, 9, 50} & set(np.concatenate([fold.train for fold in cv.folds]))
    assert "3 rows with missing values" in str(cv)
    complete = data.dropna(ignore_index=True)
    np.testing.assert_allclose(
        cv.scores["mse"], cross_validate("y ~ x + z", complete, seed=4).scores["mse"], rtol=1e-12
    )
    with pytest.raises(FormulaError, match="missing values"):
        cross_validate("y ~ x + z", data, missing="raise")


def test_pairs_of_indices_count_the_rows_as_given():
    data = table()
    data.loc[[0, 1, 55], "x"] = np.nan
    cv = cross_validate("y ~ x", data, splitter=[(np.arange(40), np.arange(40, 60))])
    assert cv.folds[0].train.tolist() == [*range(2, 40)]
    assert cv.folds[0].test.tolist() == [*range(40, 55), *range(56, 60)]
    with pytest.raises(ValueError, match="fold 1 of the splitter has no complete rows to hold out"):
        cross_validate("y ~ x", data, splitter=[(np.arange(2, 40), [0, 1])])


def test_labels_that_repeat():
    data = table().set_axis([0] * 60)
    assert cross_validate("y ~ x", data, seed=0).predictions["row"].tolist() == [*range(60)]
    data.iloc[3, 0] = np.nan
    with pytest.raises(ValueError, match=r"labels of the rows are not unique.*reset_index"):
        cross_validate("y ~ x", data, seed=0)


def test_variables_of_the_caller():
    data = table()
    y, x, g = data["y"].to_numpy(), data["x"], data["g"].tolist()
    assert x.size == len(g)
    expected = cross_validate("y ~ x + g", data, seed=0)

    def inside():
        return cross_validate("y ~ x + g", seed=0)

    for cv in (cross_validate("y ~ x + g", seed=0, stratify=None), cross_validate("y ~ x + g", {"y": y}, seed=0)):
        np.testing.assert_allclose(cv.scores["mse"], expected.scores["mse"], rtol=1e-12)
    assert cross_validate("y ~ 1", seed=0).predictions.shape == (60, 5)
    del g
    with pytest.raises(FormulaError, match="'g' is neither"):
        inside()


@pytest.mark.parametrize("kind", [pl.DataFrame, lambda t: pl.DataFrame(t).to_arrow(), lambda t: t.to_dict("list")])
def test_any_table(kind):
    data = table()
    cv = cross_validate("y ~ center(x) + z", kind(data), seed=0, groups="g", k=3)
    assert {tuple(fold.test) for fold in cv.folds} == {tuple(np.flatnonzero(data["g"] == level)) for level in "abc"}
    expected = cross_validate("y ~ center(x) + z", data, splitter=cv.folds)
    np.testing.assert_allclose(cv.scores["mse"], expected.scores["mse"], rtol=1e-12)
