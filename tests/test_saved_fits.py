"""Saved fits: the same numbers to the last bit, in a file that holds no rows and no code."""

from __future__ import annotations

import io
import json
import pickle

import numpy as np
import pandas as pd
import pytest
from statsmodels.tools.sm_exceptions import ConvergenceWarning

import mlekit
from mlekit import SavedFitError
from mlekit.results import ResultsWrapper
from mlekit.saving.schema import schema
from tests.sample import Gumbel, NumericGumbel
from tests.saved_cases import FITS, MORE, OWN, made, refuses, same

try:
    import jsonschema
except ImportError:
    jsonschema = None


def loaded(fit, family=None):
    file = io.StringIO()
    fit.save(file)
    return mlekit.load(io.StringIO(file.getvalue()), family), file.getvalue()


@pytest.mark.parametrize("name", FITS)
def test_a_loaded_fit_has_the_same_numbers(name):
    fit = made(name)
    again, text = loaded(fit, OWN.get(name))
    assert type(again) is ResultsWrapper
    assert type(again._results) is type(fit._results)
    same(again, fit, name)
    if jsonschema is not None:
        jsonschema.Draft202012Validator(schema()).validate(json.loads(text))
    assert loaded(again, OWN.get(name))[1] == text
    fit.remove_data()
    assert loaded(fit, OWN.get(name))[0].summary()


def test_what_needs_the_rows_says_that_there_are_none():
    fit = loaded(made("levels"))[0]
    for name in ("resid_response", "fittedvalues", "resid_pearson", "leverage", "null"):
        refuses(lambda name=name: getattr(fit, name))
    refuses(lambda: fit.predict())
    refuses(lambda: fit.get_prediction())
    refuses(lambda: fit.with_cov("HC0"))
    refuses(lambda: fit.bootstrap(9))
    refuses(lambda: fit.conf_int(method="profile"))
    refuses(lambda: fit.profile("x"))
    refuses(lambda: fit.simulate())
    refuses(lambda: fit.drop1())
    refuses(lambda: fit.score_test("x"))
    refuses(lambda: fit.lr_test(fit))


def test_other_rows_have_marginal_effects():
    fit = made("transforms")
    again = loaded(fit)[0]
    expected = fit.marginal_effects(data=MORE).summary_frame()
    assert again.marginal_effects(data=MORE).summary_frame().equals(expected)


def test_a_fit_without_rows_knows_what_least_squares_know():
    fit = made("least squares")
    expected = fit.get_prediction(MORE.iloc[:3]).summary_frame()
    fit.remove_data()
    assert fit.get_prediction(MORE.iloc[:3]).summary_frame().equals(expected)


def test_a_pickle_of_a_loaded_fit():
    fit = made("splines")
    again = pickle.loads(pickle.dumps(loaded(fit)[0]))
    same(again, fit, "splines")


def test_whole_numbers_do_not_wrap_round_in_untrusted_formulas():
    data = pd.DataFrame({"y": [1.0, 2.0, 4.0, 3.0], "k": [9, 10, 11, 12]})
    trusted = mlekit.fit("y ~ np.log(k**25 + 1)", data)
    untrusted = mlekit.fit("y ~ np.log(k**25 + 1)", data, trusted=False)
    assert untrusted.params.equals(trusted.params)
    assert loaded(trusted)[0].predict(data).equals(trusted.predict(data))


# ------------------------------------------------------------------------------------ a user's own


def test_a_family_of_ones_own_is_asked_for_and_compared():
    text = loaded(made("own family"), Gumbel)[1]
    with pytest.raises(SavedFitError, match="the fit is of Gumbel, and a file has no code: the family must be passed"):
        mlekit.load(io.StringIO(text))
    for other in ("normal", NumericGumbel, Gumbel(beta="identity")):
        with pytest.raises(SavedFitError, match=r"is not the family of the fit, Gumbel"):
            mlekit.load(io.StringIO(text), other)
    with pytest.raises(SavedFitError, match="the link soft of p must be passed in"):
        mlekit.load(io.StringIO(loaded(made("own link"), OWN["own link"])[1]))
    text = loaded(made("normal"))[1]
    assert mlekit.load(io.StringIO(text), "normal").params.size == 3
    with pytest.raises(SavedFitError, match="is not the family of the fit, normal"):
        mlekit.load(io.StringIO(text), "poisson")


def half(x):
    return x / 2


@pytest.mark.parametrize(
    ("formula", "what"),
    [
        ("y ~ half(x)", "half is no"),
        ("y ~ x + I(k * two)", "two is no"),
        ("y ~ x.abs()", "x.abs is no"),
        ("half(y) ~ x", "half"),
    ],
)
def test_formulas_with_code_of_ones_own_are_not_saved(formula, what):
    two = 2.0
    fit = mlekit.fit(formula, MORE)
    with pytest.raises(SavedFitError, match=f"(?s)cannot be saved.*{what}.*make that column before the fit"):
        fit.save(io.StringIO())
    assert two == 2


def test_a_function_that_has_the_name_of_a_listed_one_is_not_saved():
    log = half
    fit = mlekit.fit("y ~ log(x)", MORE)
    with pytest.raises(SavedFitError, match="log is yours"):
        fit.save(io.StringIO())
    assert log(2) == 1


def test_what_else_cannot_be_saved_says_so(tmp_path):
    path = tmp_path / "fit.json"
    gumbel = mlekit.mle(lambda mu, y: -((y - mu) ** 2), {"mu": 0.0}, {"y": MORE.y})
    with pytest.raises(SavedFitError, match="declare it as a family"):
        gumbel.save(path)
    days = mlekit.fit("y ~ C(day)", MORE.assign(day=np.repeat(pd.date_range("2026-01-01", periods=5), len(MORE) // 5)))
    with pytest.raises(SavedFitError, match="turn that column into text"):
        days.save(path)
    numbered = mlekit.Model.from_arrays(MORE.y, MORE[["x"]].to_numpy(), names=[1]).fit()
    with pytest.raises(SavedFitError, match=r"cannot be saved: design\.columns\[0\]\[0\] must be string, not 1"):
        numbered.save(path)
    assert not path.exists()


def test_infinite_estimates_are_not_saved():
    with pytest.warns(ConvergenceWarning):
        fit = mlekit.fit("flag ~ I(flag * 1.0)", MORE, "bernoulli")
    with pytest.raises(SavedFitError, match="estimates are infinite"):
        fit.save(io.StringIO())


def test_a_fit_that_is_too_large_is_not_saved(monkeypatch):
    monkeypatch.setattr("mlekit.saving.records.LARGEST", 1000)
    with pytest.raises(SavedFitError, match="pickle the fit"):
        made("normal").save(io.StringIO())


def test_a_fit_at_a_limit_forgets_the_rows_of_the_simpler_one():
    fit = made("limit")
    simpler = fit.simpler
    fit.remove_data()
    assert not fit.simpler.model.observations.labels.size
    assert simpler.model.observations.labels.size == len(MORE)
