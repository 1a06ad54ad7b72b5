"""Leverage, influence and tests of fit, beside R's numbers, statsmodels and fits without a row."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
import statsmodels.formula.api as smf
from scipy import stats
from statsmodels.discrete.diagnostic import PoissonDiagnostic
from statsmodels.tools.sm_exceptions import ConvergenceWarning, DomainWarning

import mlekit
from mlekit.diagnostics import NotGiven
from tests.reference import cases, load
from tests.sample import Gumbel
from tests.test_reference_fits import model_of

RNG = np.random.default_rng(3)
N = 60
DATA = pd.DataFrame({"x": RNG.normal(size=N), "g": RNG.choice(list("abc"), N)})
DATA["k"] = RNG.poisson(np.exp(0.5 + 0.4 * DATA.x))
DATA["b"] = RNG.uniform(size=N) < 1 / (1 + np.exp(-DATA.x))
DATA["y"] = 1 + DATA.x + RNG.normal(size=N)
DATA["t"] = RNG.weibull(1.5, N) * np.exp(0.3 * DATA.x)
DATA["w"] = RNG.integers(1, 4, N)
DATA.index = [f"row{i}" for i in range(N)]

GLMS = {
    "poisson": ("k ~ x + C(g)", "poisson", sm.families.Poisson(), {}),
    "poisson, sqrt": ("k ~ x", mlekit.Poisson(mu="sqrt"), "sqrt", {}),
    "bernoulli": ("b ~ x + C(g)", "bernoulli", sm.families.Binomial(), {}),
    "probit": ("b ~ x", mlekit.Bernoulli(p="probit"), sm.families.Binomial(sm.families.links.Probit()), {}),
    "exponential": ("t ~ x", "exponential", sm.families.Gamma(sm.families.links.Log()), {"scale": 1.0}),
}


def without(formula, data, family, **options):
    """Coefficients with each row less those without it, of fits to the end."""
    full = mlekit.fit(formula, data, family, **options).params
    return pd.DataFrame([full - mlekit.fit(formula, data.drop(index=i), family, **options).params for i in data.index])


# ------------------------------------------------------------------------------------ leverage


@pytest.mark.parametrize("name", [name for name in cases(("glm", "lm")) if "leverage_first10" in load(name).expected])
def test_leverages_equal_those_of_r(name):
    case = load(name)
    found = model_of(case).fit().leverage
    expected = np.array(case.expected["leverage_first10"])
    found = found.to_numpy()
    if name == "mtcars_ols_freq":  # R's fit of the repeated rows
        weights = case.frame[case.options["weights"]].to_numpy()
        found = np.repeat(found / weights, weights)
    assert found[: expected.size] == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("name", GLMS)
def test_influence_beside_a_glm(name):
    formula, family, theirs, scale = GLMS[name]
    found = mlekit.fit(formula, DATA, family)
    # One step with the expected information, as R has it.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DomainWarning)  # of the sqrt link
        theirs = sm.families.Poisson(sm.families.links.Sqrt()) if theirs == "sqrt" else theirs
        glm = smf.glm(formula, DATA.assign(b=DATA.b.astype(float)), family=theirs).fit(tol=1e-13, **scale)
    expected = glm.get_influence(observed=False)
    assert found.leverage.index.equals(DATA.index)
    assert found.leverage.to_numpy() == pytest.approx(np.asarray(expected.hat_matrix_diag), rel=1e-7)
    assert found.cooks_distance.to_numpy() == pytest.approx(np.asarray(expected.cooks_distance[0]), rel=1e-6)
    assert found.dfbetas.columns.tolist() == found.params.index.tolist()
    assert found.dfbetas.to_numpy() == pytest.approx(np.asarray(expected.dfbetas), rel=1e-6, abs=1e-9)
    assert found.resid_working.to_numpy() == pytest.approx(np.asarray(glm.resid_working), rel=1e-6)


@pytest.mark.parametrize("use_t", [False, True])
def test_influence_beside_least_squares(use_t):
    found = mlekit.fit("y ~ x + C(g)", DATA, use_t=use_t)
    expected = smf.ols("y ~ x + C(g)", DATA).fit().get_influence()
    assert found.leverage.to_numpy() == pytest.approx(expected.hat_matrix_diag, rel=1e-10)
    assert found.cooks_distance.to_numpy() == pytest.approx(expected.cooks_distance[0], rel=1e-8)
    assert found.dfbetas.iloc[:, :-1].to_numpy() == pytest.approx(expected.dfbetas, rel=1e-8)
    assert found.dfbetas.columns[-1] == "sigma_Intercept"
    assert found.resid_working.to_numpy() == pytest.approx(found.resid_response.to_numpy(), rel=1e-12)
    assert found.dispersion == pytest.approx(smf.ols("y ~ x + C(g)", DATA).fit().scale)


def test_working_residuals_of_other_families():
    """The mean of a Gumbel moves as its location does; R's glm.nb has (y - mu) / mu."""
    own = mlekit.fit("y ~ x", DATA, Gumbel)
    assert own.resid_working.to_numpy() == pytest.approx(own.resid_response.to_numpy(), rel=1e-7)
    counts = mlekit.fit("k ~ x", DATA.assign(k=DATA.k**2), "negative_binomial")
    expected = counts.resid_response / counts.fittedvalues
    assert counts.resid_working.to_numpy() == pytest.approx(expected.to_numpy(), rel=1e-10)
    odds = mlekit.fit("b ~ 1", DATA, "bernoulli", offset=np.full(N, 50.0), fixed={"Intercept": 0.0})
    assert odds.resid_working.to_numpy() == pytest.approx(np.where(DATA.b, 1.0, -np.exp(50.0)), rel=1e-12)


def test_a_weight_is_left_out_as_a_whole():
    weighted = mlekit.fit("y ~ x", DATA, weights="w")
    repeated = mlekit.fit("y ~ x", DATA.loc[DATA.index.repeat(DATA.w)].reset_index(drop=True))
    first = np.cumsum(DATA.w.to_numpy()) - DATA.w.to_numpy()
    assert weighted.leverage.to_numpy() == pytest.approx(DATA.w * repeated.leverage.to_numpy()[first])
    # Least squares without a row is exactly one Newton step away.
    change = without("y ~ x", DATA, "normal", weights="w").to_numpy()[:, :2]
    errors = weighted.bse.to_numpy()[:2]
    rss, h = DATA.w @ weighted.resid_response**2, weighted.leverage.to_numpy()
    left = (rss - DATA.w * weighted.resid_response**2 / (1 - h)) / (DATA.w.sum() - 2 - DATA.w)
    sigma = np.sqrt(left / (rss / DATA.w.sum())).to_numpy()
    assert weighted.dfbetas.to_numpy()[:, :2] == pytest.approx(change / errors / sigma[:, None], rel=1e-7)


@pytest.mark.parametrize(
    ("formula", "family"),
    [
        ("k ~ x", "poisson"),
        ({"mu": "y ~ x", "sigma": "~ x"}, "normal"),
        ("t ~ x", "weibull"),
        ("y ~ x", Gumbel),
        ("g ~ x", "multinomial_logit"),
        ("Surv(t, t < 1.5) ~ x", mlekit.Censored("weibull")),
        ("k ~ x", mlekit.ZeroInflated("poisson")),
    ],
    ids=str,
)
def test_one_step_goes_most_of_the_way(formula, family):
    """Estimates without a row, for all parameters: one Newton step leaves what is of the second order."""
    data = pd.concat([DATA] * 5, ignore_index=True)
    rng = np.random.default_rng(1)
    data["x"] += rng.normal(size=len(data)) / 2
    if isinstance(family, mlekit.ZeroInflated):
        data["k"] = np.where(rng.uniform(size=len(data)) < 0.3, 0, data.k)
    fit = mlekit.fit(formula, data, family)
    few = data.index[:12]
    full = np.array([fit.params - mlekit.fit(formula, data.drop(index=i), family).params for i in few])
    kind = "nonrobust" if fit.model.family.information(*fit._results._eta) is None else "eim"
    found = fit.dfbetas.iloc[:12].to_numpy() * fit.with_cov(kind).bse.to_numpy()
    error = np.abs(found - full) / fit.bse.to_numpy()
    assert error.max() < 0.35 * np.abs(full / fit.bse.to_numpy()).max()
    assert np.median(error) < 0.01
    if not isinstance(family, str) or family != "multinomial_logit":
        assert fit.leverage.sum() == pytest.approx(2, rel=0.4)


def test_leverages_add_up_to_the_coefficients():
    for formula, family, count in (
        ("k ~ x + C(g)", "negative_binomial", 4),
        ("t ~ x", "gamma", 2),
        ("g ~ x", "multinomial_logit", 4),
        ("k ~ x", "ordered_logit", None),
    ):
        data = DATA.assign(k=DATA.k**2 if family == "negative_binomial" else DATA.k.clip(upper=3))
        fit = mlekit.fit(formula, data, family)
        assert fit.leverage.sum() == pytest.approx(count or fit.params.size, rel=1e-9)
        assert fit.leverage.between(0, 1).all()


def test_units_and_origin():
    near = mlekit.fit("y ~ x", DATA)
    far = mlekit.fit("y ~ x", DATA.assign(x=1e6 + DATA.x))
    assert far.leverage.to_numpy() == pytest.approx(near.leverage.to_numpy(), rel=1e-6)
    assert far.cooks_distance.to_numpy() == pytest.approx(near.cooks_distance.to_numpy(), rel=1e-5)
    assert far.dfbetas["x"].to_numpy() == pytest.approx(near.dfbetas["x"].to_numpy(), rel=1e-5)


def test_a_row_that_alone_determines_a_coefficient():
    data = DATA.assign(alone=(np.arange(N) == 7).astype(float))
    fit = mlekit.fit("y ~ x + alone", data)
    assert fit.leverage.iloc[7] == pytest.approx(1)
    assert fit.cooks_distance.isna().to_numpy().nonzero()[0].tolist() == [7]
    assert fit.dfbetas.isna().any(axis=1).to_numpy().nonzero()[0].tolist() == [7]


def test_under_restrictions():
    """A coefficient that constraints determine does not move; a ridge makes leverages smaller."""
    fit = mlekit.fit("k ~ x + C(g)", DATA, "poisson", constraints="x = 0.4")
    offset = mlekit.fit("k ~ C(g)", DATA, "poisson", offset=0.4 * DATA.x.to_numpy())
    assert fit.leverage.to_numpy() == pytest.approx(offset.leverage.to_numpy(), rel=1e-7)
    assert fit.cooks_distance.to_numpy() == pytest.approx(offset.cooks_distance.to_numpy(), rel=1e-6)
    assert fit.dfbetas["x"].isna().all()
    assert fit.dfbetas.drop(columns="x").to_numpy() == pytest.approx(offset.dfbetas.to_numpy(), rel=1e-5, abs=1e-9)
    ridge = mlekit.fit("k ~ x + C(g)", DATA, "poisson", penalty=mlekit.Ridge(5.0))
    assert ridge.leverage.sum() < mlekit.fit("k ~ x + C(g)", DATA, "poisson").leverage.sum()


def test_at_the_limit_of_a_parameter():
    data = {"k": [3, 4, 3, 4, 3, 4], "x": [0.0, 1, 2, 3, 4, 5]}
    found, expected = (mlekit.fit("k ~ x", data, family) for family in ("negative_binomial", "poisson"))
    assert found.leverage.to_numpy() == pytest.approx(expected.leverage.to_numpy())
    assert found.cooks_distance.to_numpy() == pytest.approx(expected.cooks_distance.to_numpy())
    assert found.dfbetas.iloc[:, :2].to_numpy() == pytest.approx(expected.dfbetas.to_numpy())
    assert found.dfbetas.iloc[:, 2].isna().all()
    assert found.resid_working.to_numpy() == pytest.approx(expected.resid_working.to_numpy())
    assert found.resid_quantile().to_numpy() == pytest.approx(expected.resid_quantile().to_numpy())


def test_with_other_standard_errors_and_without_rows():
    fit = mlekit.fit("k ~ x", DATA, "poisson")
    robust = fit.with_cov("HC3")
    assert robust.dfbetas.equals(fit.dfbetas)
    assert robust.cooks_distance.equals(fit.cooks_distance)
    fit.remove_data()
    for name in ("leverage", "cooks_distance", "dfbetas", "resid_working"):
        with pytest.raises(NotGiven, match="removed the rows"):
            getattr(fit, name)


# ------------------------------------------------------------------------------------ tests of fit


def test_dispersion_beside_statsmodels():
    data = DATA.assign(k=RNG.negative_binomial(1, 1 / (1 + np.exp(0.5 + 0.4 * DATA.x))))
    ours = mlekit.fit("k ~ x", data, "poisson")
    theirs = smf.poisson("k ~ x", data).fit(disp=0, tol=1e-12)
    table = PoissonDiagnostic(theirs).test_dispersion().summary_frame().set_index("method")
    found = ours.dispersion_test("NB2", "two-sided")
    assert found.statistic == pytest.approx(table.loc["CT nb2", "statistic"], rel=1e-7)
    assert found.pvalue == pytest.approx(table.loc["CT nb2", "pvalue"], rel=1e-6)
    # Against mu + a mu, Cameron and Trivedi's statistic is that of a t-test of a mean of zero.
    mu = theirs.predict()
    excess = ((data.k - mu) ** 2 - data.k) / mu
    expected = stats.ttest_1samp(excess, 0.0)
    found = ours.dispersion_test()
    assert found.statistic == pytest.approx(expected.statistic, rel=1e-7)
    assert found.a == pytest.approx(excess.mean(), rel=1e-7)
    assert found.pvalue == pytest.approx(stats.norm.sf(expected.statistic), rel=1e-6)
    assert ours.dispersion_test(alternative="less").pvalue == pytest.approx(1 - found.pvalue)
    assert ours.dispersion == pytest.approx(ours.pearson_chi2 / (N - 2))


def test_dispersion_with_weights_is_that_of_repeated_rows():
    weighted = mlekit.fit("k ~ x", DATA, "poisson", weights="w")
    repeated = mlekit.fit("k ~ x", DATA.loc[DATA.index.repeat(DATA.w)], "poisson")
    for form in ("NB1", "NB2"):
        found, expected = (fit.dispersion_test(form)[:3] for fit in (weighted, repeated))
        assert found == pytest.approx(expected, rel=1e-7)
    weighted = mlekit.fit("b ~ x", DATA, "bernoulli", weights="w").goodness_of_fit()
    repeated = mlekit.fit("b ~ x", DATA.loc[DATA.index.repeat(DATA.w)], "bernoulli").goodness_of_fit()
    assert weighted.to_numpy() == pytest.approx(repeated.to_numpy(), rel=1e-6)


def test_goodness_of_fit_of_counts():
    case = load("warpbreaks_poisson")
    fit = model_of(case).fit()
    table = fit.goodness_of_fit()
    for name, value in (("Pearson", case.expected["pearson_chi2"]), ("deviance", case.expected["deviance"])):
        assert table.loc[name, "statistic"] == pytest.approx(value, rel=1e-9)
        assert table.loc[name, "pvalue"] == pytest.approx(stats.chi2.sf(value, case.expected["df_resid"]), rel=1e-6)


def test_hosmer_and_lemeshow_by_pandas():
    """The groups and sums by pandas' ``cut`` at the quantiles, as R's ResourceSelection::hoslem.test has them."""
    case = load("birthwt_logit")
    fit = model_of(case).fit()
    for groups in (5, 10):
        p, y = fit.fittedvalues, pd.Series(fit.model.endog, index=fit.fittedvalues.index)
        cut = pd.cut(p, np.quantile(p, np.linspace(0, 1, groups + 1)), include_lowest=True)
        observed = pd.concat([y, 1 - y], axis=1).groupby(cut, observed=True).sum().to_numpy()
        expected = pd.concat([p, 1 - p], axis=1).groupby(cut, observed=True).sum().to_numpy()
        value = ((observed - expected) ** 2 / expected).sum()
        found = fit.goodness_of_fit(groups).loc["Hosmer-Lemeshow"]
        assert found["statistic"] == pytest.approx(value, rel=1e-9)
        assert found["df"] == groups - 2
        assert found["pvalue"] == pytest.approx(stats.chi2.sf(value, groups - 2), rel=1e-8)


def test_what_there_is_no_test_for():
    with pytest.raises(NotGiven, match=r"Normal\(\) has no test of fit.*resid_quantile"):
        mlekit.fit("y ~ x", DATA).goodness_of_fit()
    with pytest.raises(NotGiven, match="variance of a Poisson is its mean, and Bernoulli"):
        mlekit.fit("b ~ x", DATA, "bernoulli").dispersion_test()
    poisson = mlekit.fit("k ~ x", DATA, "poisson")
    with pytest.raises(ValueError, match="form must be one of 'NB1', 'NB2', not 3"):
        poisson.dispersion_test(3)
    with pytest.raises(ValueError, match="alternative must be one of 'greater', 'less', 'two-sided'"):
        poisson.dispersion_test(alternative="larger")
    for groups in (2, 2.5, True):
        with pytest.raises(ValueError, match="groups must be a whole number, at least 3"):
            mlekit.fit("b ~ x", DATA, "bernoulli").goodness_of_fit(groups)
    with pytest.raises(ValueError, match="fall into 1 groups"):
        mlekit.fit("b ~ 1", DATA, "bernoulli").goodness_of_fit()
    with pytest.raises(NotGiven, match="not a regression has no leverage"):
        _ = mlekit.mle(lambda m, y: -((y - m) ** 2), {"m": 0.0}, DATA).leverage


def test_what_did_not_converge_says_so_and_no_more():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        data = {"y": [0, 0, 1, 0, 1, 1], "x": [0.0, 1, 2, 3, 4, 5]}
        fit = mlekit.fit("y ~ x", data, "bernoulli", method="newton", maxiter=1)
    assert not fit.converged
    assert fit.leverage.shape == (6,)


def test_equal_excesses_of_variance_are_no_test_of_it():
    found = mlekit.fit("y ~ 1", {"y": [0, 3, 0]}, "poisson").dispersion_test()
    assert (found.a, np.isnan(found.statistic), np.isnan(found.pvalue)) == (pytest.approx(1), True, True)
    y = np.array([0.0, 1, 5])  # mean 2
    plain = stats.ttest_1samp(((y - 2) ** 2 - y) / 2, 0).statistic
    assert mlekit.fit("y ~ 1", {"y": y}, "poisson").dispersion_test().statistic == pytest.approx(plain, rel=1e-12)
