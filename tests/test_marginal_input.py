"""Marginal effects: what is refused or told, and data that are not at hand."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
from statsmodels.tools.sm_exceptions import ConvergenceWarning

import mlekit
from mlekit.formula import FormulaError
from mlekit.matrix_slopes import differences

RNG = np.random.default_rng(8)
N = 80
DATA = pd.DataFrame({"x": RNG.uniform(0, 3, N), "u": RNG.normal(size=N), "g": RNG.choice(list("abc"), N)})
DATA["k"] = RNG.poisson(np.exp(0.3 + 0.4 * DATA.x))
DATA["t"] = pd.date_range("2020-01-01", periods=N)
FIT = mlekit.fit("k ~ x + u + g", DATA, "poisson")

REFUSED = {
    "unknown variable": ({"variables": "y"}, r"'y' is neither a column .* the variables of the formulas are"),
    "unknown in at": ({"at": {"y": 1}}, "'y' is neither"),
    "unknown level": ({"at": {"g": "z"}}, "g has no level 'z': it has 'a', 'b', 'c'"),
    "text for a number": ({"at": {"x": "a"}}, "x is a number: it cannot be 'a'"),
    "infinite": ({"at": {"x": np.inf}}, "x is a number: it cannot be inf"),
    "no values": ({"at": {"x": []}}, "has no values"),
    "at a word": ({"at": "median"}, "at is None, 'mean', or values by variable"),
    "at a number": ({"at": 3}, "at is None, 'mean', or values by variable"),
    "step 0": ({"variables": {"x": 0}}, "a step of x cannot be 0"),
    "step of levels": ({"variables": {"g": 1}}, "g has levels: a change is a pair of them"),
    "triple": ({"variables": {"x": (1, 2, 3)}}, "a change of x is a pair, from and to"),
    "level of a pair": ({"variables": {"g": ("a", "z")}}, "g has no level 'z'"),
    "held": ({"variables": "g", "at": {"g": "a"}}, "g is held by at="),
    "no variables": ({"variables": []}, "variables is a name, a list of names, or a dict"),
    "what": ({"what": "median"}, "cannot take effects on 'median': what is mean, linear, mu, or a pair"),
    "what without its number": ({"what": "pmf"}, "cannot take effects on 'pmf'"),
    "what with a number too many": ({"what": ("mean", 2)}, "cannot take effects on"),
    "quantiles of counts": ({"what": ("quantile", 0.5)}, "quantiles of counts jump"),
    "several": ({"what": ("cdf", [1, 2])}, "must have one number"),
    "weights of the fit": ({"weights": "u"}, "weights, offset and exposure go with data="),
    "column missing": ({"data": {"x": [1.0]}}, "prediction needs all columns"),
    "nothing left": ({"data": {"x": [np.nan], "u": [1.0], "g": ["a"]}}, "no rows left"),
    "negative weights": ({"data": DATA, "weights": -DATA.x}, "weights must be finite and not negative"),
    "unknown weights": ({"data": DATA, "weights": "ww"}, "'ww' is neither"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_wrong_arguments_are_refused(name):
    arguments, message = REFUSED[name]
    with pytest.raises(ValueError, match=message):
        FIT.marginal_effects(**arguments)


def test_what_jumps_has_no_slope():
    fit = mlekit.fit("k ~ I(x > 1) + np.floor(u)", DATA, "poisson")
    with pytest.raises(FormulaError, match=r"I\(x > 1\) jumps, so it has no slope in x: ask for a difference"):
        fit.marginal_effects("x")
    with pytest.raises(FormulaError, match=r"np.floor\(u\) jumps"):
        fit.marginal_effects("u")
    found = fit.marginal_effects({"x": (0, 2), "u": 1})
    expected = fit.predict(DATA.assign(x=2.0)).mean() - fit.predict(DATA.assign(x=0.0)).mean()
    assert found.estimates[0] == pytest.approx(expected, rel=1e-12)

    def above(x):
        return (x > 1).astype(float)

    own = mlekit.fit("k ~ above(x)", DATA, "poisson")
    with pytest.raises(FormulaError, match=r"above\(x\) jumps"):
        own.marginal_effects()


def test_a_slope_that_is_infinite_is_refused():
    data = DATA.assign(x=DATA.x.where(DATA.index > 0, 0.0))
    fit = mlekit.fit("k ~ sqrt(x)", data, "poisson")
    with pytest.raises(FormulaError, match=r"the slope of sqrt\(x\) in x is not finite in row 0"):
        fit.marginal_effects()
    assert np.isfinite(fit.marginal_effects(at={"x": 1.0}).estimates).all()


def test_slopes_that_are_not_found_are_told():
    def rough(x):
        return np.asarray(x) + 1e-4 * np.sin(np.asarray(x) * 1e8)

    fit = mlekit.fit("k ~ rough(x)", DATA, "poisson")
    with pytest.warns(RuntimeWarning, match=r"the slope of rough\(x\) in x is found to .* of its size only"):
        fit.marginal_effects()


def test_times_have_no_slope():
    fit = mlekit.fit("k ~ t.dt.day_of_year + x", DATA, "poisson")
    with pytest.raises(ValueError, match=r"t is datetime64.*no number: leave it out"):
        fit.marginal_effects()
    assert len(fit.marginal_effects("x").estimates) == 1


def test_a_fit_without_its_data_takes_them_again():
    expected = FIT.marginal_effects()
    again = pickle.loads(pickle.dumps(FIT))
    with pytest.raises(ValueError, match=r"the fit does not have the data .*: pass them, as marginal_effects\(data"):
        again.marginal_effects()
    for data in (DATA, pl.from_pandas(DATA), DATA.to_dict("list")):
        found = again.marginal_effects(data=data)
        assert found.estimates == pytest.approx(expected.estimates, rel=1e-14)
        assert found.std_errors == pytest.approx(expected.std_errors, rel=1e-14)
    x, k = DATA.x, DATA.k
    scope = mlekit.fit("k ~ x", family="poisson")
    assert len(x) == len(k)
    with pytest.raises(ValueError, match="does not have the data"):
        scope.marginal_effects()
    assert len(scope.marginal_effects(data=DATA).estimates) == 1


def test_arrays_say_what_to_do():
    model = mlekit.Model.from_arrays(DATA.k, DATA[["x", "u"]], "poisson")
    with pytest.raises(ValueError, match=r"made of arrays.*fit by a formula and a table"):
        model.fit().marginal_effects()


def test_data_that_changed_since_the_fit_are_noticed():
    data = DATA.copy()
    fit = mlekit.fit("k ~ x + offset(u)", data, "poisson")
    fit.marginal_effects()
    data.loc[3, "x"] += 1
    with pytest.raises(ValueError, match="the data have changed since the fit"):
        fit.marginal_effects()
    data["x"] = DATA.x
    data.loc[3, "u"] += 1
    with pytest.raises(ValueError, match="the data have changed since the fit"):
        fit.marginal_effects()


def test_a_weighted_fit_asks_for_weights_of_other_data():
    fit = mlekit.fit("k ~ x", DATA.assign(w=2.0), "poisson", weights="w")
    with pytest.raises(ValueError, match=r"the fit is weighted: pass weights="):
        fit.marginal_effects(data=DATA)


def test_rows_that_lack_values_are_those_that_the_fit_left_out():
    data = DATA.copy()
    data.loc[[2, 5], "x"] = np.nan
    data.loc[9, "k"] = -1
    data["k"] = data.k.where(data.k >= 0)
    data.loc[9, "g"] = "only here"
    fit = mlekit.fit("k ~ np.log1p(x) + g", data, "poisson")
    used = data.drop([2, 5, 9]).reset_index(drop=True)
    same = mlekit.fit("k ~ np.log1p(x) + g", used, "poisson").marginal_effects()
    assert fit.marginal_effects().estimates == pytest.approx(same.estimates, rel=1e-9)
    new = fit.marginal_effects(data=data.drop(9))
    assert new.estimates == pytest.approx(same.estimates, rel=1e-9)
    assert "2 of 79 rows of the data left out" in new.summary()


def test_what_is_held_or_left_out_of_the_fit():
    held = mlekit.fit("k ~ x + u", DATA, "poisson", fixed={"u": 0.3})
    mean = held.predict().mean()
    found = held.marginal_effects()
    assert found.estimates == pytest.approx([mean * held.params["x"], mean * 0.3], rel=1e-12)
    with pytest.warns(UserWarning, match="collinear"):
        left = mlekit.fit("k ~ x + I(2 * x)", DATA, "poisson")
    assert left.marginal_effects().estimates == pytest.approx(left.predict().mean() * left.params["x"], rel=1e-12)
    assert "Collinear columns were left out (I(2 * x))" in left.marginal_effects().summary()


def test_parameters_at_their_limit_and_fits_that_did_not_converge():
    data = DATA.assign(b=RNG.binomial(5, 0.5, N))
    limit = mlekit.fit("b ~ x", data, "negative_binomial")
    assert np.isinf(limit.params["alpha_Intercept"])
    poisson = mlekit.fit("b ~ x", data, "poisson").marginal_effects()
    assert limit.marginal_effects().estimates == pytest.approx(poisson.estimates, rel=1e-9)
    assert limit.marginal_effects().std_errors == pytest.approx(poisson.std_errors, rel=1e-7)
    with pytest.warns(ConvergenceWarning):
        short = mlekit.fit("b ~ x", data, "poisson", method="bfgs", maxiter=1)
    assert "not those of maximum likelihood" in short.marginal_effects().summary()
    assert "maximum likelihood" not in poisson.summary()


def test_lags_move_with_their_variable():
    with pytest.warns(RuntimeWarning, match="a lag before the first row"):
        fit = mlekit.fit("k ~ x + x.shift(1)", DATA, "poisson")
    total = fit.params["x"] + fit.params["x.shift(1)"]
    assert fit.marginal_effects().estimates == pytest.approx([fit.predict().mean() * total], rel=1e-9)


def test_differences_are_exact_for_polynomials_and_stay_inside():
    x = np.linspace(2.0, 3.0, 41)

    def quartic(values, rows):
        assert values.size == rows.sum()
        assert values.min() >= 2.0
        assert values.max() <= 3.0
        return values**4 - 2 * values

    slope, error = differences(quartic, x, (2.0, 3.0))
    assert slope == pytest.approx(4 * x**3 - 2, rel=1e-13)
    assert (np.abs(slope - 4 * x**3 + 2) <= error + 1e-12).all()


def test_results_are_printed():
    found = FIT.marginal_effects()
    assert str(found) == found.summary()
    assert repr(found) == "<Average marginal effects on the mean of k: 4 effects>"
    assert found.frame.columns.tolist() == [
        *("term", "contrast", "estimate", "std err", "z", "P>|z|", "[0.025", "0.975]"),
    ]
    wide = found.summary_frame(alpha=0.01)
    assert (wide["[0.005"] < found.frame["[0.025"]).all()
