"""Marginal effects: against statsmodels, R's margins, and derivatives by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from scipy import special, stats
from scipy.interpolate import BSpline

import mlekit
from mlekit.families import Bernoulli, Poisson

RNG = np.random.default_rng(3)
N = 120
DATA = pd.DataFrame({"x": RNG.uniform(0.5, 3, N), "u": RNG.normal(size=N), "g": RNG.choice(list("abc"), N)})
DATA["d"] = (RNG.uniform(size=N) < 0.4).astype(int)
DATA["f"] = RNG.uniform(size=N) < 0.5
DATA["k"] = RNG.poisson(np.exp(0.3 + 0.4 * DATA.x - 0.2 * DATA.u))
DATA["b"] = (RNG.uniform(size=N) < special.expit(DATA.u + 0.5 * DATA.d)).astype(int)
DATA["y"] = 1 + DATA.x + RNG.normal(size=N)
DATA["w"] = RNG.integers(1, 4, N)
DATA["n"] = RNG.uniform(1, 5, N)
DATA["level"] = pd.cut(DATA.u + RNG.logistic(size=N), [-np.inf, -1, 1, np.inf], labels=["low", "mid", "high"])


def by_hand(fit, function):
    """Value of a function of the coefficients and its standard error, from its derivatives by differences."""
    beta, h = fit.params.to_numpy(), 1e-5
    gradient = np.array([(function(beta + h * e) - function(beta - h * e)) / (2 * h) for e in np.eye(beta.size)])
    return function(beta), np.sqrt(gradient @ fit.cov_params().to_numpy() @ gradient)


def check(found, value, se, rel=1e-8):
    assert found.estimates == pytest.approx(np.atleast_1d(value), rel=rel)
    assert found.std_errors == pytest.approx(np.atleast_1d(se), rel=max(rel, 1e-7))


# ---------------------------------------------------------------------------------------- numbers of others

STATSMODELS = {
    "logit": ("b", Bernoulli(), smf.logit),
    "probit": ("b", Bernoulli(p="probit"), smf.probit),
    "poisson": ("k", Poisson(), smf.poisson),
}


@pytest.mark.parametrize("where", ["overall", "mean"])
@pytest.mark.parametrize("name", STATSMODELS)
def test_effects_are_those_of_statsmodels(name, where):
    response, family, other = STATSMODELS[name]
    formula = f"{response} ~ x + u + d"
    theirs = other(formula, DATA).fit(disp=0, tol=1e-14)
    fit = mlekit.fit(formula, DATA, family)
    margeff = theirs.get_margeff(at=where)
    check(fit.marginal_effects(at=None if where == "overall" else where), margeff.margeff, margeff.margeff_se)
    margeff = theirs.get_margeff(at=where, dummy=True)
    ours = fit.marginal_effects({"x": None, "u": None, "d": (0, 1)}, at=None if where == "overall" else where)
    check(ours, margeff.margeff, margeff.margeff_se)
    assert ours.labels.contrast.tolist() == ["dy/dx", "dy/dx", "1 - 0"]


def test_steps_of_counts_are_those_of_statsmodels():
    theirs = smf.poisson("k ~ x + w", DATA).fit(disp=0, tol=1e-14).get_margeff(count=True)
    fit = mlekit.fit("k ~ x + w", DATA, "poisson")
    up, down = fit.marginal_effects({"w": 1}), fit.marginal_effects({"w": -1})
    assert up.labels.contrast[0] == "+1"
    # They take half the change from x - 1 to x + 1.
    assert (up.estimates - down.estimates) / 2 == pytest.approx(theirs.margeff[1:], rel=1e-9)
    jacobian = (up.jacobian - down.jacobian) / 2
    assert np.sqrt(jacobian @ fit.cov_params().to_numpy() @ jacobian.T)[0, 0] == pytest.approx(theirs.margeff_se[1])
    b, x, w = fit.params, DATA.x.to_numpy(), DATA.w.to_numpy()
    mean = np.exp(b["Intercept"] + b["x"] * x + b["w"] * w)
    assert up.estimates[0] == pytest.approx(np.mean(mean) * np.expm1(b["w"]), rel=1e-12)


def test_effects_on_probabilities_of_levels_are_those_of_statsmodels():
    theirs = smf.mnlogit("level ~ x + u", DATA.assign(level=DATA.level.cat.codes)).fit(disp=0, tol=1e-14).get_margeff()
    ours = mlekit.fit("level ~ x + u", DATA, "multinomial_logit").marginal_effects()
    table = ours.frame.set_index(["term", "level"])
    for i, term in enumerate(["x", "u"]):
        for j, level in enumerate(["low", "mid", "high"]):
            assert table.loc[(term, level), "estimate"] == pytest.approx(theirs.margeff[i, j], rel=1e-7)
            assert table.loc[(term, level), "std err"] == pytest.approx(theirs.margeff_se[i, j], rel=1e-6)


def test_effects_are_those_of_the_package_margins_in_r():
    # lm(mpg ~ cyl * hp + wt, mtcars) in the README of margins.
    columns = {
        "mpg": (
            "21 21 22.8 21.4 18.7 18.1 14.3 24.4 22.8 19.2 17.8 16.4 17.3 15.2 10.4 10.4 14.7 32.4 30.4 33.9 "
            "21.5 15.5 15.2 13.3 19.2 27.3 26 30.4 15.8 19.7 15 21.4"
        ),
        "cyl": "6 6 4 6 8 6 8 4 4 6 6 8 8 8 8 8 8 4 4 4 4 8 8 8 8 4 4 4 8 6 8 4",
        "hp": (
            "110 110 93 110 175 105 245 62 95 123 123 180 180 180 205 215 230 66 52 65 97 150 150 245 175 66 "
            "91 113 264 175 335 109"
        ),
        "wt": (
            "2.62 2.875 2.32 3.215 3.44 3.46 3.57 3.19 3.15 3.44 3.44 4.07 3.73 3.78 5.25 5.424 5.345 2.2 "
            "1.615 1.835 2.465 3.52 3.435 3.84 3.845 1.935 2.14 1.513 3.17 2.77 3.57 2.78"
        ),
    }
    mtcars = pd.DataFrame({name: np.array(text.split(), dtype=float) for name, text in columns.items()})
    found = mlekit.fit("mpg ~ cyl * hp + wt", mtcars, use_t=True).marginal_effects()
    assert found.estimates.round(4).tolist() == [0.0381, -0.0463, -3.1198]
    assert found.std_errors.round(4).tolist() == [0.5999, 0.0145, 0.6613]
    assert list(found.frame.columns[4:6]) == ["t", "P>|t|"]


# ---------------------------------------------------------------------------------------- derivatives by hand


def test_slopes_go_through_what_the_formula_makes_of_a_variable():
    fit = mlekit.fit("k ~ np.log(x) * g + I(x**2):u + sqrt(x)", DATA, "poisson")
    X, names = fit.model.exog, fit.model.design.names
    slope = np.zeros_like(X)
    x, b, c = DATA.x.to_numpy(), (DATA.g == "b").to_numpy(), (DATA.g == "c").to_numpy()
    slope[:, names.index("np.log(x)")] = 1 / x
    slope[:, names.index("np.log(x):g[T.b]")] = b / x
    slope[:, names.index("np.log(x):g[T.c]")] = c / x
    slope[:, names.index("I(x ** 2):u")] = 2 * x * DATA.u
    slope[:, names.index("sqrt(x)")] = 0.5 / np.sqrt(x)
    expected = by_hand(fit, lambda beta: np.mean(np.exp(X @ beta) * (slope @ beta)))
    check(fit.marginal_effects("x"), *expected, rel=1e-12)


def test_slopes_of_splines_are_those_of_their_polynomials():
    fit = mlekit.fit("k ~ bs(x, df=7) + u", DATA, "poisson")
    knots = np.r_[[DATA.x.min()] * 4, np.quantile(DATA.x, np.linspace(0, 1, 6)[1:-1]), [DATA.x.max()] * 4]
    slope = np.column_stack([BSpline(knots, e, 3).derivative()(DATA.x) for e in np.eye(8)])[:, 1:]
    slope = np.column_stack([np.zeros(N), slope, np.zeros(N)])
    value = BSpline(knots, np.r_[0.0, fit.params.to_numpy()[1:8]], 3)(DATA.x)
    eta = fit.params["Intercept"] + value + fit.params["u"] * DATA.u.to_numpy()
    assert np.exp(eta) == pytest.approx(fit.predict().to_numpy())
    X = fit.model.exog
    expected = by_hand(fit, lambda beta: np.mean(np.exp(X @ beta) * (slope @ beta)))
    check(fit.marginal_effects("x"), *expected, rel=1e-11)


def test_slopes_of_transforms_that_learned_and_of_own_functions():
    def cubed(x):
        return x.map(lambda value: value**3)

    fit = mlekit.fit("y ~ standardize(x) + cubed(u)", DATA)
    b = fit.params
    expected = [b["standardize(x)"] / DATA.x.std(ddof=0), b["cubed(u)"] * np.mean(3 * DATA.u**2)]
    check(fit.marginal_effects(), expected, fit.bse[["standardize(x)", "cubed(u)"]] * (expected / b[1:3]), rel=1e-12)


def test_factors_and_booleans_are_differences_to_the_reference():
    fit = mlekit.fit("k ~ C(g, Treatment('b')) + f * x + C(d)", DATA, "poisson")
    found = fit.marginal_effects()
    assert list(zip(found.labels.term, found.labels.contrast, strict=True)) == [
        ("g", "a - b"),
        ("g", "c - b"),
        ("f", "True - False"),
        ("x", "dy/dx"),
        ("d", "1 - 0"),
    ]
    for term, low, high, row in [("g", "b", "a", 0), ("g", "b", "c", 1), ("f", False, True, 2), ("d", 0, 1, 4)]:
        expected = (fit.predict(DATA.assign(**{term: high})) - fit.predict(DATA.assign(**{term: low}))).mean()
        assert found.estimates[row] == pytest.approx(expected, rel=1e-12)
    back = fit.marginal_effects({"g": ("a", "c")})
    assert back.estimates[0] == pytest.approx(found.estimates[1] - found.estimates[0], rel=1e-12)
    together = found.cov_params()
    variance = together[0, 0] + together[1, 1] - 2 * together[0, 1]
    assert back.std_errors[0] == pytest.approx(np.sqrt(variance), rel=1e-9)


def test_values_that_variables_are_held_at():
    fit = mlekit.fit("k ~ x * u + g", DATA, "poisson")
    found = fit.marginal_effects("x", at={"u": [-1, 0.5], "g": "c"})
    b = fit.params
    for u, estimate in zip([-1, 0.5], found.estimates, strict=True):
        mean = np.exp(b["Intercept"] + b["g[T.c]"] + b["x"] * DATA.x + b["u"] * u + b["x:u"] * DATA.x * u)
        assert estimate == pytest.approx(np.mean(mean) * (b["x"] + b["x:u"] * u), rel=1e-12)
    assert found.labels.columns.tolist() == ["term", "contrast", "u", "g"]
    assert set(fit.marginal_effects(at={"g": "a"}).labels.term) == {"x", "u"}
    one = fit.marginal_effects("x", at="mean")
    mode = DATA.g.value_counts().idxmax()
    means = {"x": [DATA.x.mean()], "u": [DATA.u.mean()], "g": [mode]}
    slope = fit.predict(means)[0] * (b["x"] + b["x:u"] * DATA.u.mean())
    assert one.estimates[0] == pytest.approx(slope, rel=1e-12)
    assert f"g = {mode}" in one.summary()


# ---------------------------------------------------------------------------------------- what is predicted


def test_effects_on_parameters_quantiles_and_probabilities():
    fit = mlekit.fit({"mu": "y ~ x", "sigma": "~ x"}, DATA)
    p, x = fit.params, DATA.x.to_numpy()
    sigma = np.exp(p["sigma_Intercept"] + p["sigma_x"] * x)
    for share in (0.1, 0.9):
        z = stats.norm.ppf(share)
        expected = by_hand(fit, lambda b, z=z: b[1] + z * np.mean(np.exp(b[2] + b[3] * x)) * b[3])
        check(fit.marginal_effects("x", what=("quantile", share)), *expected, rel=1e-7)
    expected = by_hand(fit, lambda b: np.mean(np.exp(b[2] + b[3] * x)) * b[3])
    check(fit.marginal_effects(what="sigma"), *expected, rel=1e-12)
    check(fit.marginal_effects(what="linear"), p["x"], fit.bse["x"], rel=1e-12)

    def slope_of_cdf(b, y=2.0):
        scale = np.exp(b[2] + b[3] * x)
        z = (y - b[0] - b[1] * x) / scale
        return np.mean(stats.norm.pdf(z) * (-b[1] / scale - z * b[3]))

    check(fit.marginal_effects(what=("cdf", 2.0)), *by_hand(fit, slope_of_cdf), rel=1e-10)
    minus = fit.marginal_effects(what=("sf", 2.0))
    assert minus.estimates == pytest.approx(-fit.marginal_effects(what=("cdf", 2.0)).estimates, rel=1e-10)
    assert sigma.min() > 0


def test_probabilities_of_counts_and_levels():
    fit = mlekit.fit("k ~ x", DATA, "poisson")

    def slope(b, k=2):
        mean = np.exp(b[0] + b[1] * DATA.x.to_numpy())
        return np.mean(stats.poisson.pmf(k, mean) * (k - mean) * b[1])

    check(fit.marginal_effects(what=("pmf", 2)), *by_hand(fit, slope), rel=1e-12)
    assert fit.marginal_effects(what=("pmf", -1)).estimates[0] == 0
    levels = mlekit.fit("level ~ u + f", DATA, "ordered_logit")
    found = levels.marginal_effects()
    assert found.labels.level.tolist() == ["low", "mid", "high"] * 2
    assert found.estimates.reshape(2, 3).sum(axis=1) == pytest.approx(0, abs=1e-15)
    one = levels.marginal_effects("u", what=("probabilities", "high"))
    p = levels.predict(what="probabilities")["high"]
    expected = np.mean(p * (1 - p)) * levels.params["u"]
    assert one.estimates[0] == pytest.approx(abs(expected) * np.sign(one.estimates[0]), rel=1e-12)
    assert one.estimates[0] == pytest.approx(found.estimates[2], rel=1e-12)


# ---------------------------------------------------------------------------------------- weights, offsets, units


def test_weights_are_rows_that_stand_there_more_often():
    formula = "k ~ x * u + g"
    weighted = mlekit.fit(formula, DATA, "poisson", weights="w")
    repeated = mlekit.fit(formula, DATA.loc[DATA.index.repeat(DATA.w)].reset_index(drop=True), "poisson")
    for at in (None, "mean"):
        one, other = weighted.marginal_effects(at=at), repeated.marginal_effects(at=at)
        check(one, other.estimates, other.std_errors, rel=1e-9)
    again = weighted.marginal_effects(data=DATA, weights="w")
    check(again, weighted.marginal_effects().estimates, weighted.marginal_effects().std_errors, rel=1e-14)
    equal = weighted.marginal_effects("x", data=DATA, weights=1)
    slope = weighted.predict(DATA) * (weighted.params["x"] + weighted.params["x:u"] * DATA.u)
    assert equal.estimates[0] == pytest.approx(slope.mean(), rel=1e-12)


def test_offsets_count_and_have_slopes_where_they_are_written():
    formula = "k ~ u + x + offset(log(n))"
    fit, exposed = mlekit.fit(formula, DATA, "poisson"), mlekit.fit("k ~ u + x", DATA, "poisson", exposure="n")
    handed = mlekit.fit("k ~ u + x", DATA, "poisson", exposure=DATA.n.to_numpy())
    mean = fit.predict()
    for found in (fit.marginal_effects(), exposed.marginal_effects(), handed.marginal_effects()):
        assert found.labels.term.tolist() == ["u", "x"]
        assert found.estimates == pytest.approx(mean.mean() * fit.params[["u", "x"]], rel=1e-9)
    for one in (fit, exposed):
        assert one.marginal_effects("n").estimates[0] == pytest.approx(np.mean(mean / DATA.n), rel=1e-12)
    new = handed.marginal_effects("x", data=DATA, exposure=DATA.n)
    assert new.estimates == pytest.approx(handed.marginal_effects("x").estimates, rel=1e-12)
    mixed = mlekit.fit("k ~ I(x**2) + offset(x)", DATA, "poisson")
    slope = mixed.predict() * (2 * mixed.params.iloc[1] * DATA.x + 1)
    assert mixed.marginal_effects("x").estimates[0] == pytest.approx(slope.mean(), rel=1e-12)


@pytest.mark.parametrize("unit", [1e-6, 1e6])
@pytest.mark.parametrize("formula", ["k ~ x + u", "k ~ bs(x, df=5) + u", "k ~ standardize(x):u + log(x)"])
def test_units_of_a_variable_change_nothing_else(formula, unit):
    one = mlekit.fit(formula, DATA, "poisson").marginal_effects("x")
    other = mlekit.fit(formula, DATA.assign(x=DATA.x * unit), "poisson").marginal_effects("x")
    check(other, one.estimates / unit, one.std_errors / unit)
    moved = mlekit.fit("k ~ bs(x, df=5)", DATA.assign(x=DATA.x + 2000), "poisson").marginal_effects("x")
    plain = mlekit.fit("k ~ bs(x, df=5)", DATA, "poisson").marginal_effects("x")
    check(moved, plain.estimates, plain.std_errors, rel=1e-7)


def test_robust_covariances_are_taken():
    fit = mlekit.fit("k ~ x + u", DATA, "poisson")
    robust = fit.with_cov("HC3")
    found = robust.marginal_effects("x")
    X, slope = fit.model.exog, np.array([0.0, 1.0, 0.0])
    expected = by_hand(robust, lambda beta: np.mean(np.exp(X @ beta)) * (slope @ beta))
    check(found, *expected)
    assert "HC3" in found.summary()
    assert found.std_errors[0] != pytest.approx(fit.marginal_effects("x").std_errors[0], rel=1e-3)
