"""Predictions on the rows of the fit and on new ones, with standard errors and intervals."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import special, stats
from statsmodels.tools.sm_exceptions import CollinearityWarning

import mlekit
from mlekit.families import FAMILIES
from mlekit.formula import FormulaError
from mlekit.links import LINKS
from tests.sample import Gumbel, NumericGumbel

RNG = np.random.default_rng(5)
N = 60
DATA = pd.DataFrame({"x": RNG.normal(size=N), "u": RNG.uniform(1, 2, N), "g": RNG.choice(list("abc"), N)})
DATA["k"] = RNG.poisson(np.exp(0.5 + 0.3 * DATA.x))
DATA["b"] = RNG.uniform(size=N) < 0.5 + 0.2 * np.tanh(DATA.x)
DATA["y"] = 1 + DATA.x + RNG.normal(size=N) * DATA.u
DATA["t"] = RNG.exponential(DATA.u)
DATA.index = [f"row{i}" for i in range(N)]
NEW = pd.DataFrame({"x": [-1.0, 0.0, 2.0], "u": [1.0, 1.5, 2.0], "g": ["a", "c", "b"]}, index=["p", "q", "r"])


def by_hand(fit, new, function, h=1e-6):
    """Value of a function of (parameters, rows) and its delta-method standard error, by numerical differences."""
    params = fit.params.to_numpy()
    jacobian = np.empty((len(new), params.size))
    for j in range(params.size):
        step = np.zeros(params.size)
        step[j] = h * max(1, abs(params[j]))
        jacobian[:, j] = (function(params + step) - function(params - step)) / (2 * step[j])
    cov = fit.cov_params().to_numpy()
    return function(params), np.sqrt(np.einsum("ij,jk,ik->i", jacobian, cov, jacobian))


# ------------------------------------------------------------------------------------------------ what is predicted


def test_mean_linear_predictor_and_parameters():
    fit = mlekit.fit({"mu": "y ~ x + C(g)", "sigma": "~ u"}, DATA)
    p = fit.params
    mu = p["Intercept"] + p["x"] * NEW.x + p["C(g)[T.b]"] * (NEW.g == "b") + p["C(g)[T.c]"] * (NEW.g == "c")
    sigma = np.exp(p["sigma_Intercept"] + p["sigma_u"] * NEW.u)
    for what, expected in {"mean": mu, "linear": mu, "mu": mu, "sigma": sigma}.items():
        found = fit.predict(NEW, what=what)
        assert isinstance(found, pd.Series)
        assert found.index.tolist() == ["p", "q", "r"]
        assert found.to_numpy() == pytest.approx(expected.to_numpy())
    with pytest.raises(ValueError, match=r"cannot predict 'median': what is mean, linear, .* \(mu, sigma\)"):
        fit.predict(NEW, what="median")


@pytest.mark.parametrize(
    ("family", "response", "mean"),
    [("poisson", "k", np.exp), ("bernoulli", "b", lambda eta: 1 / (1 + np.exp(-eta))), ("exponential", "t", np.exp)],
)
def test_means_through_the_link(family, response, mean):
    fit = mlekit.fit(f"{response} ~ x", DATA, family)
    eta = fit.params["Intercept"] + fit.params["x"] * NEW.x
    assert fit.predict(NEW).to_numpy() == pytest.approx(mean(eta).to_numpy())
    assert fit.predict(NEW, what="linear").to_numpy() == pytest.approx(eta.to_numpy())


def test_rows_of_the_fit():
    fit = mlekit.fit("k ~ x", DATA, "poisson")
    assert fit.predict().equals(fit.fittedvalues)
    assert fit.predict().index.equals(DATA.index)
    assert fit.predict(DATA).to_numpy() == pytest.approx(fit.predict().to_numpy(), rel=1e-12)
    assert fit.get_prediction().summary_frame()["mean"].equals(fit.fittedvalues)


def test_a_family_without_a_mean_has_its_parameters_and_an_integral():
    fit = mlekit.fit("y ~ x", DATA, Gumbel)
    assert fit.predict(NEW, what="mu").equals(fit.predict(NEW, what="linear"))
    mean = fit.predict(NEW, what="mu") + np.euler_gamma * fit.predict(NEW, what="beta")
    assert fit.predict(NEW).to_numpy() == pytest.approx(mean.to_numpy(), rel=1e-10)
    assert fit.get_prediction(NEW).summary_frame()["mean"].to_numpy() == pytest.approx(mean.to_numpy(), rel=1e-10)


class NamedMean(mlekit.GenericLikelihood):
    """Its parameter is called mean: it needs no method for it."""

    params = {"mean": "log"}

    def logpdf(self, y, mean):
        return -np.log(mean) - y / mean


def test_a_parameter_called_mean():
    fit = mlekit.fit("t ~ x", DATA, NamedMean)
    assert fit.predict(NEW).to_numpy() == pytest.approx(
        mlekit.fit("t ~ x", DATA, "exponential").predict(NEW).to_numpy()
    )


# ------------------------------------------------------------------------------------------------ rows


def test_missing_values_keep_their_place():
    fit = mlekit.fit("k ~ x + C(g)", DATA, "poisson")
    new = NEW.assign(x=[1.0, np.nan, 0.0])
    found = fit.predict(new)
    assert found.index.tolist() == ["p", "q", "r"]
    assert found.isna().tolist() == [False, True, False]
    frame = fit.get_prediction(new).summary_frame()
    assert frame.loc["q"].isna().all()
    assert frame.drop("q").to_numpy() == pytest.approx(fit.get_prediction(new.drop("q")).summary_frame().to_numpy())


@pytest.mark.parametrize("kind", ["dict", "polars", "pyarrow", "one"])
def test_tables_of_every_kind(kind):
    fit = mlekit.fit("k ~ x + C(g)", DATA, "poisson")
    tables = {
        "dict": NEW.to_dict("list"),
        "polars": pl.DataFrame(NEW.to_dict("list")),
        "pyarrow": pl.DataFrame(NEW.to_dict("list")).to_arrow(),
        "one": {"x": [-1.0], "g": ["a"]},
    }
    found = fit.predict(tables[kind])
    assert found.to_numpy() == pytest.approx(fit.predict(NEW).to_numpy()[: len(found)])
    assert found.index.tolist() == list(range(len(found)))


def test_new_rows_that_do_not_fit():
    fit = mlekit.fit("k ~ x + C(g)", DATA, "poisson")
    with pytest.raises(FormulaError, match=r"C\(g\) has level 'z' that the fit did not see"):
        fit.predict(NEW.assign(g="z"))
    with pytest.raises(FormulaError, match="'x' is neither a column"):
        fit.predict(NEW.drop(columns="x"))
    with pytest.raises(FormulaError, match="x is inf in row 'q'"):
        fit.predict(NEW.assign(x=[1, np.inf, 2]))


def test_columns_that_were_left_out_are_left_out_again():
    with pytest.warns(CollinearityWarning):
        fit = mlekit.fit("k ~ x + I(2*x) + C(g)", DATA, "poisson")
    expected = mlekit.fit("k ~ x + C(g)", DATA, "poisson")
    assert fit.predict(NEW).to_numpy() == pytest.approx(expected.predict(NEW).to_numpy())


def test_no_rows():
    fit = mlekit.fit("k ~ x", DATA, "poisson")
    assert fit.predict(NEW.iloc[:0]).size == 0
    assert fit.get_prediction(NEW.iloc[:0]).summary_frame().shape == (0, 8)


# ------------------------------------------------------------------------------------------------ offsets and weights


def test_an_offset_in_the_formula_is_evaluated_again():
    fit = mlekit.fit("k ~ x + offset(log(u))", DATA, "poisson")
    eta = fit.params["Intercept"] + fit.params["x"] * NEW.x + np.log(NEW.u)
    assert fit.predict(NEW).to_numpy() == pytest.approx(np.exp(eta).to_numpy())
    frame = fit.get_prediction(NEW).summary_frame()
    assert frame["linear"].to_numpy() == pytest.approx(eta.to_numpy())
    assert frame["mean_se"].to_numpy() == pytest.approx((frame["mean"] * frame["linear_se"]).to_numpy())
    with pytest.raises(FormulaError, match="'u' is neither a column"):
        fit.predict(NEW.drop(columns="u"))


def test_an_exposure_given_as_an_array_is_asked_for():
    fit = mlekit.fit("k ~ x", DATA, "poisson", exposure=DATA.u)
    written = mlekit.fit("k ~ x", DATA, "poisson", exposure="u")
    assert fit.predict(NEW, exposure=NEW.u).to_numpy() == pytest.approx(written.predict(NEW).to_numpy())
    assert fit.get_prediction(NEW, exposure=NEW.u).summary_frame().equals(written.get_prediction(NEW).summary_frame())
    for call in (fit.predict, fit.get_prediction):
        with pytest.raises(ValueError, match="exposure as an array: predict needs one"):
            call(NEW)
    with pytest.raises(ValueError, match="the rows of the fit have theirs"):
        fit.predict(exposure=NEW.u)
    assert fit.predict().to_numpy() == pytest.approx(written.predict().to_numpy())


def test_an_offset_of_another_parameter():
    fit = mlekit.fit("y ~ x", DATA, offset={"sigma": "log(u)"})
    sigma = np.exp(fit.params["sigma_Intercept"]) * NEW.u
    assert fit.predict(NEW, what="sigma").to_numpy() == pytest.approx(sigma.to_numpy())


def test_weights_belong_to_the_fit_alone():
    weights = RNG.integers(1, 4, N)
    fit = mlekit.fit("k ~ x", DATA, "poisson", weights=weights)
    repeated = mlekit.fit("k ~ x", DATA.loc[DATA.index.repeat(weights)], "poisson")
    found, expected = (f.get_prediction(NEW).summary_frame() for f in (fit, repeated))
    assert found.to_numpy() == pytest.approx(expected.to_numpy(), rel=1e-7)


def test_models_made_of_arrays():
    X = np.column_stack([np.ones(N), DATA.x])
    fit = mlekit.Model.from_arrays(DATA.k, X, "poisson", names=["const", "x"]).fit()
    new = np.column_stack([np.ones(3), NEW.x])
    expected = mlekit.fit("k ~ x", DATA, "poisson")
    assert fit.predict(new).to_numpy() == pytest.approx(expected.predict(NEW).to_numpy())
    frame = fit.get_prediction(new).summary_frame()
    assert frame.to_numpy() == pytest.approx(expected.get_prediction(NEW).summary_frame().to_numpy(), rel=1e-6)


# ------------------------------------------------------------------------------------------------ standard errors


@pytest.mark.parametrize("cov_type", ["nonrobust", "HC0"])
@pytest.mark.parametrize(
    ("formula", "family"),
    [
        ("k ~ x + C(g)", "poisson"),
        ("k ~ x", mlekit.Poisson(mu="sqrt")),
        ("b ~ x", mlekit.Bernoulli(p="cloglog")),
        ("t ~ x", mlekit.Exponential(rate="log")),
        ("t ~ u", mlekit.Exponential(rate="inverse")),
        ({"mu": "y ~ x", "sigma": "~ u"}, "normal"),
        ({"mu": "y ~ x", "beta": "~ u"}, NumericGumbel),
    ],
    ids=str,
)
def test_standard_errors_by_the_delta_method(formula, family, cov_type):
    fit = mlekit.fit(formula, DATA, family, cov_type=cov_type)
    rows, slices, kind = fit.model.rows(NEW), fit.model.design.slices, fit.model.family

    def mean(params):
        eta = rows.linear(params, slices)
        return kind.mean(*(link.inverse(e) for link, e in zip(kind.links.values(), eta, strict=True)))

    frame = fit.get_prediction(NEW).summary_frame()
    expected, error = by_hand(fit, NEW, mean)
    assert frame["mean"].to_numpy() == pytest.approx(expected)
    assert frame["mean_se"].to_numpy() == pytest.approx(error, rel=1e-6)
    expected, error = by_hand(fit, NEW, lambda params: rows.linear(params, slices)[0])
    assert frame["linear"].to_numpy() == pytest.approx(expected)
    assert frame["linear_se"].to_numpy() == pytest.approx(error, rel=1e-6)


def test_the_interval_is_that_of_the_linear_predictor_mapped():
    fit = mlekit.fit("b ~ x", DATA, "bernoulli")
    for alpha in (0.05, 0.5):
        frame = fit.get_prediction(NEW).summary_frame(alpha)
        margin = stats.norm.isf(alpha / 2) * frame["linear_se"]
        for column, end in {
            "mean_ci_lower": frame["linear"] - margin,
            "mean_ci_upper": frame["linear"] + margin,
        }.items():
            assert frame[column].to_numpy() == pytest.approx(1 / (1 + np.exp(-end)).to_numpy())
    for alpha in (0, 1, 95):
        with pytest.raises(ValueError, match="alpha must be between 0 and 1"):
            fit.get_prediction(NEW).summary_frame(alpha)


def test_students_t():
    fit = mlekit.fit("y ~ x", DATA, use_t=True)
    frame = fit.get_prediction(NEW).summary_frame()
    margin = stats.t.isf(0.025, N - 2) * frame["mean_se"]
    assert (frame["mean_ci_upper"] - frame["mean"]).to_numpy() == pytest.approx(margin.to_numpy())


def test_a_mean_of_two_parameters_has_a_symmetric_interval():
    frame = mlekit.fit("y ~ x", DATA, NumericGumbel).get_prediction(NEW).summary_frame()
    middle = (frame["mean_ci_lower"] + frame["mean_ci_upper"]) / 2
    assert middle.to_numpy() == pytest.approx(frame["mean"].to_numpy())


class SpreadFirst(mlekit.GenericLikelihood):
    """The mean hangs on the second parameter alone."""

    params = {"spread": "log", "centre": "log"}

    def logpdf(self, y, spread, centre):
        return -0.5 * ((y - centre) / spread) ** 2 - np.log(spread)

    def mean(self, spread, centre):
        return centre


def test_the_parameter_that_the_mean_hangs_on_need_not_be_the_first():
    data = {"y": 0.1 + RNG.exponential(size=40), "x": RNG.normal(size=40)}
    fit = mlekit.fit({"spread": "y ~ 1", "centre": "~ x"}, data, SpreadFirst)
    frame = fit.get_prediction({"x": [-3.0, 0.0, 3.0]}).summary_frame(obs=False)  # its density has no total of 1
    assert (frame["mean_ci_lower"] > 0).all()
    ratio = frame["mean_ci_upper"] / frame["mean"]
    assert (frame["mean"] / frame["mean_ci_lower"]).to_numpy() == pytest.approx(ratio.to_numpy())


@pytest.mark.parametrize(
    ("family", "data"),
    [
        (mlekit.Poisson(mu="identity"), {"y": [0, 0, 1], "x": [1.0, 1, 1]}),
        (mlekit.Poisson(mu="sqrt"), {"y": [0, 0, 0, 1], "x": [1.0, 1, 1, 1]}),
        (mlekit.Bernoulli(p="identity"), {"y": [0, 0, 0, 1], "x": [1.0, 1, 1, 1]}),
        (mlekit.Exponential(rate="inverse"), {"y": [0.5, 3.0], "x": [1.0, 1]}),
        (mlekit.Exponential(rate="identity"), {"y": [0.5, 3.0], "x": [1.0, 1]}),
    ],
    ids=str,
)
def test_intervals_stay_inside_the_domain(family, data):
    """With few rows the linear predictor's interval leaves the domain of these links: it ends where the domain does."""
    fit = mlekit.fit("y ~ 1", data, family)
    frame = fit.get_prediction({"x": [1.0]}).summary_frame(alpha=0.001)
    assert 0 <= frame["mean_ci_lower"].iloc[0] <= frame["mean"].iloc[0] <= frame["mean_ci_upper"].iloc[0]
    if isinstance(family, mlekit.Bernoulli):
        assert frame["mean_ci_upper"].iloc[0] <= 1
    for estimate, _, low, high in fit._results.common_parameters(0.001).values():
        assert 0 <= low <= estimate <= high


@pytest.mark.parametrize(
    "name", sorted(name for name, cls in FAMILIES.items() if cls.params and not cls.response_columns)
)
def test_no_link_makes_an_interval_that_leaves_out_its_estimate(name):
    response = {"poisson": "k", "geometric": "k", "bernoulli": "b", "exponential": "t", "beta": "p"}.get(name, "y")
    if name.startswith("negative_binomial"):
        response = "I(k**2)"  # more spread than a Poisson's
    family = FAMILIES[name]
    first = next(iter(family.params))
    for link in family.links_for.get(first, tuple(LINKS)):
        data = DATA.assign(y=np.abs(DATA.y) + (1.1 if name == "lognormal" else 0.1))  # the mean of log y has to be > 0
        data["p"] = special.expit(DATA.y)
        fit = mlekit.fit(f"{response} ~ 1", data, family(**{first: link}))
        frame = fit.get_prediction(NEW).summary_frame()
        assert (frame["mean_ci_lower"] < frame["mean"]).all()
        assert (frame["mean"] < frame["mean_ci_upper"]).all()
        assert (fit.distribution["[0.025"] < fit.distribution["estimate"]).all()
        assert (fit.distribution["estimate"] < fit.distribution["0.975]"]).all()


def test_a_hundred_thousand_rows():
    n = 100_000
    rng = np.random.default_rng(0)
    data = pd.DataFrame({"x": rng.normal(size=n), "g": rng.choice(list("abcdefgh"), n)})
    data["k"] = rng.poisson(np.exp(0.2 + 0.3 * data.x))
    model = mlekit.Model.from_formula("k ~ x + C(g)", data, "poisson")
    fits = {cov_type: model.fit(cov_type=cov_type) for cov_type in ("nonrobust", "eim", "opg", "HC0")}
    for fit in fits.values():
        assert fit.converged
        assert fit.params.tolist() == fits["nonrobust"].params.tolist()
        assert fit.bse.to_numpy() == pytest.approx(fits["nonrobust"].bse.to_numpy(), rel=0.02)
    # With the canonical link the two informations are the same.
    assert fits["eim"].bse.to_numpy() == pytest.approx(fits["nonrobust"].bse.to_numpy(), rel=5e-6)
    frame = fits["HC0"].get_prediction(data).summary_frame()
    assert len(frame) == n
    assert frame["mean"].to_numpy() == pytest.approx(fits["HC0"].predict(data).to_numpy(), rel=1e-12)
    some = data.iloc[:5]
    assert frame.iloc[:5].to_numpy() == pytest.approx(fits["HC0"].get_prediction(some).summary_frame().to_numpy())


def test_the_mean_of_a_lognormal_has_the_interval_of_cox():
    y = np.random.default_rng(2).lognormal(0.5, 1.5, 12)
    frame = mlekit.fit("y ~ 1", {"y": y}, "lognormal").get_prediction({"y": [1.0]}).summary_frame()
    logs, n = np.log(y), len(y)
    # Zhou and Gao (1997), "Confidence intervals for the log-normal mean", with maximum-likelihood variances.
    error = np.sqrt(logs.var() / n + logs.var() ** 2 / (2 * n))
    margin = stats.norm.isf(0.025) * error
    ends = np.exp(logs.mean() + logs.var() / 2 + np.array([-margin, margin]))
    assert frame[["mean_ci_lower", "mean_ci_upper"]].to_numpy()[0] == pytest.approx(ends, rel=1e-7)
    assert frame["mean"][0] < 1.96 * frame["mean_se"][0]  # else it would be below 0
