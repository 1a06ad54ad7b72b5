"""Models side by side: the same rows, the same folds, and only what can be compared."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from sklearn.model_selection import KFold
from statsmodels.tools.sm_exceptions import ConvergenceWarning

import mlekit
from mlekit.crossval import cross_validate
from mlekit.formula import FormulaError
from mlekit.selection import compare_models

COLUMNS = ["coefficients", "llf", "AIC", "BIC", "log score", "std err", "difference", "difference std err", "status"]


def table(n=80, seed=1):
    rng = np.random.default_rng(seed)
    data = pd.DataFrame({"x": rng.normal(size=n), "z": rng.normal(size=n), "g": rng.choice(list("ab"), n)})
    data["y"] = np.exp(0.2 * data["x"] + 0.3 * rng.normal(size=n))
    data["count"] = rng.poisson(np.exp(0.5 * data["x"]))
    data["won"] = rng.choice(["yes", "no"], n)
    return data


def test_criteria_are_those_of_statsmodels():
    data = table()
    found = compare_models(["count ~ 1", "count ~ x", "count ~ x + g"], data, "poisson")
    assert found.table.columns.tolist() == COLUMNS
    assert found.table.index.tolist() == ["count ~ 1", "count ~ x", "count ~ x + g"]
    for formula, row in found.table.iterrows():
        theirs = smf.poisson(formula, data).fit(disp=0)
        assert row["llf"] == pytest.approx(theirs.llf, rel=1e-10)
        assert row["AIC"] == pytest.approx(theirs.aic, rel=1e-10)
        assert row["BIC"] == pytest.approx(theirs.bic, rel=1e-10)
        assert row["coefficients"] == theirs.params.size
        assert row["status"] in ("converged", "closed_form")


def test_log_scores_are_those_of_cross_validation_on_one_set_of_folds():
    data = table()
    found = compare_models(["count ~ 1", "count ~ x"], data, "poisson", k=4, seed=9, repeats=2, loss="mse")
    for formula, row in found.table.iterrows():
        alone = cross_validate(formula, data, "poisson", loss=["log_score", "mse"], k=4, seed=9, repeats=2)
        assert row["log score"] == alone.mean["log_score"]
        assert row["std err"] == alone.standard_error["log_score"]
        assert row["mse"] == alone.mean["mse"]
        pd.testing.assert_frame_equal(found.cv[formula].scores, alone.scores)
    first, second = (cv.scores for cv in found.cv.values())
    assert found.best == "count ~ x"
    by_fold = first["log_score"] - second["log_score"]
    assert found.table["difference"].tolist() == pytest.approx([by_fold.mean(), 0])
    errors = by_fold.groupby(first["repeat"]).sem()
    assert found.table["difference std err"].tolist() == pytest.approx([np.sqrt((errors**2).mean()), 0])


def test_two_tables_of_the_same_data_have_the_same_folds():
    data = table()
    one, two = (compare_models(["y ~ x", "y ~ z"], data) for _ in range(2))
    pd.testing.assert_frame_equal(one.table, two.table)


def test_a_row_that_one_model_lacks_is_left_out_for_all():
    data = table()
    data.loc[[3, 4], "x"] = np.nan
    data.loc[[4, 70], "z"] = np.nan
    found = compare_models(["y ~ x", "y ~ z", "y ~ g"], data)
    complete = data.drop(index=[3, 4, 70])
    for formula, row in found.table.iterrows():
        assert row["llf"] == pytest.approx(mlekit.fit(formula, complete).llf, rel=1e-12)
        assert found.fits[formula].nobs == 77
    assert (found.rows, found.left_out) == (77, 3)
    assert "3 rows left out" in str(found)
    held = np.sort(np.concatenate([fold.test for fold in found.cv["y ~ g"].folds]))
    assert held.tolist() == complete.index.tolist()


def test_what_is_learned_from_rows_is_learned_from_those_in_common():
    data = table()
    data.loc[data["g"] == "b", "x"] = np.nan
    found = compare_models(["y ~ x", "y ~ C(z > 0) + center(z)"], data.assign(g="a"))
    centre = found.fits["y ~ C(z > 0) + center(z)"].model.exog[:, 2]
    assert centre.mean() == pytest.approx(0, abs=1e-12)


# ------------------------------------------------------------------------------------------------ ways to say it


def test_formulas_pairs_and_labels():
    data = table()
    log_link = mlekit.Normal(mu="log")
    found = compare_models(["y ~ x", ("y ~ x", "exponential"), ("y ~ x", log_link)], data)
    assert found.table.index.tolist() == ["y ~ x, Normal()", "y ~ x, Exponential()", "y ~ x, Normal(mu='log')"]
    models = {"one": "y ~ x", "two": {"mu": "y ~ x", "sigma": "~ z"}, "three": ["y ~ x", "exponential"]}
    found = compare_models(models, data)
    assert found.table.index.tolist() == ["one", "two", "three"]
    assert found.table["coefficients"].tolist() == [3, 4, 2]
    assert found.fits["two"].params.index.tolist()[2:] == ["sigma_Intercept", "sigma_z"]


def test_variables_of_the_caller_and_a_splitter():
    data = table()
    y, x, z = (data[name].to_numpy() for name in ("y", "x", "z"))
    assert x.size == z.size == y.size
    found = compare_models(["y ~ x", "y ~ z"], splitter=KFold(4))
    assert [len(cv.scores) for cv in found.cv.values()] == [4, 4]
    assert [fold.test.tolist() for fold in found.cv["y ~ x"].folds] == [
        test.tolist() for _, test in KFold(4).split(np.zeros(80))
    ]


def test_text_html_and_a_figure():
    found = compare_models(["y ~ x", "y ~ z"], table())
    text = str(found)
    assert repr(found) == text
    assert f"Best: {found.best}" in text
    assert "smaller" in text
    assert "<table" in found._repr_html_()
    left, right = found.plot().axes
    assert [label.get_text() for label in left.get_yticklabels()] == ["y ~ x", "y ~ z"]
    drawn = {line.get_label(): line.get_xdata() for line in right.get_lines()}
    np.testing.assert_allclose(drawn["AIC"], found.table["AIC"] - found.table["AIC"].min())
    np.testing.assert_allclose(drawn["BIC"], found.table["BIC"] - found.table["BIC"].min())


def test_long_names_stay_apart_in_the_figure():
    """They differ at the end, as formulas do that are written one after the other."""
    start = "y ~ x + z + np.abs(x) + np.abs(z) + I(x ** 2) + I(z ** 2)"
    left, _ = compare_models([start, f"{start} + x:z", f"{start} + I(x ** 3)"], table()).plot().axes
    shown = [label.get_text() for label in left.get_yticklabels()]
    assert len(set(shown)) == 3
    assert max(len(line) for text in shown for line in text.splitlines()) <= 30


def test_names_that_html_must_not_read():
    found = compare_models({"<b>bold</b>": "y ~ x", "plain": "y ~ z"}, table())
    assert "<b>" not in found._repr_html_()


# ------------------------------------------------------------------------------------------- what cannot be compared


@pytest.mark.parametrize("other", ["np.log(y) ~ x", "I(2 * y) ~ x", "x ~ z", "count ~ x"])
def test_different_responses_are_refused(other):
    with pytest.raises(ValueError, match="densities per unit of the response"):
        compare_models(["y ~ x", other], table())


def test_one_response_written_in_two_ways():
    found = compare_models(["y ~ x", "I(y) ~ z", "np.divide(y, 1) ~ 1"], table())
    assert len(found.table) == 3


def test_counts_beside_densities_warn():
    with pytest.warns(UserWarning, match="Poisson models give probabilities of values, and Normal models densities"):
        compare_models(["count ~ x", ("count ~ x", "poisson")], table())


def test_positive_and_real_densities_do_not_warn():
    compare_models([("y ~ x", "exponential"), "y ~ x"], table())


def test_a_fit_that_is_no_maximum_is_named_and_is_not_the_best():
    data = table().assign(exact=lambda t: 1 + 2 * t["x"])
    with pytest.warns(ConvergenceWarning) as caught:
        found = compare_models(["exact ~ x", "exact ~ z"], data)
    said = [str(each.message) for each in caught]
    assert any(text.startswith("exact ~ x: 5 of 5 fits are not at the maximum") for text in said)
    assert any(text.startswith("llf, AIC and BIC are not those of the maximum for exact ~ x: ") for text in said)
    assert found.best == "exact ~ z"
    assert found.table["status"].tolist() == ["unbounded", "closed_form"]


@pytest.mark.parametrize(
    ("models", "error", "message"),
    [
        ([], TypeError, "models must be a list"),
        ("y ~ x", TypeError, "models must be a list"),
        (None, TypeError, "models must be a list"),
        ([3], TypeError, "a model must be a formula or a pair"),
        ([("y ~ x", "normal", 3)], TypeError, "a model must be a formula or a pair"),
        (["y ~ x", "y ~ x"], ValueError, "models has y ~ x twice"),
        ({1: "y ~ x", "1": "y ~ z"}, ValueError, "models has 1 twice"),
        (["y ~ x", "y ~ nobody"], FormulaError, "y ~ nobody: 'nobody' is neither"),
        (["y ~ x", ("y ~ x", "gauss")], ValueError, "unknown family"),
        ({"a": "y ~ x", "b": "y ~ "}, FormulaError, "b: "),
    ],
)
def test_models_that_cannot_be(models, error, message):
    with pytest.raises(error, match=message):
        compare_models(models, table())


@pytest.mark.parametrize("how", [{"shuffle": False}, {"splitter": KFold(5)}])
def test_a_seed_that_does_nothing_is_refused(how):
    assert len(compare_models(["y ~ x", "y ~ z"], table(), **how).cv["y ~ x"].folds) == 5
    with pytest.raises(ValueError, match=r"the seed would do nothing|leave out seed"):
        compare_models(["y ~ x", "y ~ z"], table(), seed=5, **how)


def test_the_log_score_is_there_once_however_it_is_written():
    found = compare_models(["y ~ x", "y ~ z"], table(), loss=["LOG_SCORE", "mse"])
    assert [*found.cv["y ~ x"].better] == ["log_score", "mse"]


def test_models_without_a_row_in_common():
    data = table()
    data.loc[:39, "x"] = np.nan
    data.loc[40:, "z"] = np.nan
    with pytest.raises(ValueError, match="no row has all that the models use"):
        compare_models(["y ~ x", "y ~ z"], data)


def test_a_level_that_is_held_out_names_model_and_fold():
    data = table()
    data.loc[0, "g"] = "rare"
    with pytest.raises(FormulaError, match=r"y ~ g: fold \d: g has level 'rare'"):
        compare_models(["y ~ x", "y ~ g"], data)
