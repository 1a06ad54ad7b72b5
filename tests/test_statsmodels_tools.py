"""A fit under statsmodels' own tools, beside statsmodels' own results for the same data."""

from __future__ import annotations

import re
import warnings

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
import statsmodels.formula.api as smf
from scipy import stats
from stargazer.stargazer import Stargazer
from statsmodels.base.model import LikelihoodModelResults
from statsmodels.base.wrapper import ResultsWrapper as StatsmodelsWrapper
from statsmodels.iolib.summary2 import summary_col
from statsmodels.stats._delta_method import NonlinearDeltaCov
from statsmodels.tools.sm_exceptions import CollinearityWarning, DomainWarning, ValueWarning

import mlekit
from mlekit.datasets import load_africa
from tests.test_results import Gumbel

RHS = "x + z + C(g)"
SCALARS = ("llf", "llnull", "deviance", "null_deviance", "pearson_chi2", "nobs", "df_model", "df_resid")


def make_data(n=90):
    rng = np.random.default_rng(7)
    frame = pd.DataFrame({"x": rng.normal(size=n), "z": rng.uniform(1, 2, n), "g": rng.choice(list("abc"), n)})
    frame.index = [f"row{i}" for i in range(n)]
    eta = 0.3 + 0.4 * frame.x - 0.2 * frame.z + 0.3 * (frame.g == "b")
    frame["count"] = rng.poisson(np.exp(eta))
    frame["event"] = (rng.uniform(size=n) < stats.norm.cdf(eta)).astype(float)
    frame["wait"] = rng.exponential(np.exp(eta))
    frame["level"] = eta + rng.normal(size=n)
    frame["w"] = rng.integers(1, 4, n)
    frame["w2"] = 0.5 + frame.z**2
    return frame


DATA = make_data()
FAMILIES = {
    "poisson": ("count", sm.families.Poisson(), mlekit.Poisson()),
    "logit": ("event", sm.families.Binomial(), mlekit.Bernoulli()),
    "probit": ("event", sm.families.Binomial(sm.families.links.Probit()), mlekit.Bernoulli(p="probit")),
    "cloglog": ("event", sm.families.Binomial(sm.families.links.CLogLog()), mlekit.Bernoulli(p="cloglog")),
    "sqrt": ("count", sm.families.Poisson(sm.families.links.Sqrt()), mlekit.Poisson(mu="sqrt")),
    "exponential": ("wait", sm.families.Gamma(sm.families.links.Log()), mlekit.Exponential()),
}


def both(name, cov_type="eim", **options):
    """Our fit and statsmodels' GLM."""
    response, theirs, ours = FAMILIES[name]
    formula = f"{response} ~ {RHS}"
    keywords = {"freq_weights": DATA[options["weights"]]} if "weights" in options else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DomainWarning)  # of the sqrt link
        glm = smf.glm(formula, DATA, family=theirs, **keywords).fit(scale=1.0, tol=1e-15, maxiter=300)
    return mlekit.fit(formula, DATA, ours, cov_type=cov_type, **options), glm


@pytest.fixture(scope="module")
def poisson():
    return both("poisson")


@pytest.fixture(scope="module")
def normal():
    formula = f"level ~ {RHS}"
    return mlekit.fit(formula, DATA, use_t=True), smf.ols(formula, DATA).fit()


def close(ours, theirs, rel=1e-7, abs=2e-8):
    assert list(ours.index) == list(theirs.index)
    assert np.asarray(ours) == pytest.approx(np.asarray(theirs), rel=rel, abs=abs)


# ------------------------------------------------------------------------------------------------ numbers


@pytest.mark.parametrize("weights", [None, "w"])
@pytest.mark.parametrize("name", FAMILIES)
def test_every_number_of_a_glm(name, weights):
    ours, theirs = both(name, **({} if weights is None else {"weights": weights}))
    for attribute in ("params", "bse", "tvalues", "pvalues"):
        close(getattr(ours, attribute), getattr(theirs, attribute))
        assert isinstance(getattr(ours, attribute), pd.Series)
    close(ours.cov_params(), theirs.cov_params())
    close(ours.conf_int(0.2), theirs.conf_int(0.2))
    for attribute in SCALARS:
        if (name, attribute) == ("exponential", "llnull"):
            continue  # statsmodels keeps the scale that its null model estimates
        if weights and attribute == "nobs":
            continue  # statsmodels counts the rows
        assert getattr(ours, attribute) == pytest.approx(getattr(theirs, attribute), rel=1e-8)
    assert ours.aic == pytest.approx(theirs.aic, rel=1e-9)
    assert ours.bic == pytest.approx(-2 * theirs.llf + np.log(ours.nobs) * len(ours.params), rel=1e-9)
    for attribute in ("fittedvalues", "resid_response", "resid_pearson", "resid_deviance"):
        factor = np.sqrt(DATA.w) if weights and attribute in ("resid_pearson", "resid_deviance") else 1.0
        close(getattr(ours, attribute), getattr(theirs, attribute) * factor, rel=1e-6, abs=1e-7)
    assert ours.params["x"] == ours.params.loc["x"] == ours.params.iloc[list(ours.params.index).index("x")]


@pytest.mark.parametrize("name", ["probit", "cloglog", "sqrt", "exponential"])
def test_standard_errors_from_the_observed_information(name):
    ours, theirs = both(name, "nonrobust")
    information = -theirs.model.hessian(theirs.params, scale=1.0, observed=True)
    expected = np.sqrt(np.diag(np.linalg.inv(information)))
    assert ours.bse.to_numpy() == pytest.approx(expected, rel=1e-6)
    assert np.abs(ours.bse.to_numpy() / both(name)[0].bse.to_numpy() - 1).max() > 1e-3  # another information


@pytest.mark.parametrize(("model", "link"), [(smf.logit, "logit"), (smf.probit, "probit")])
def test_a_discrete_model(model, link):
    ours = mlekit.fit(f"event ~ {RHS}", DATA, mlekit.Bernoulli(p=link))
    theirs = model(f"event ~ {RHS}", DATA).fit(disp=False, tol=1e-12)
    for attribute in ("params", "bse", "pvalues"):
        close(getattr(ours, attribute), getattr(theirs, attribute), rel=1e-6, abs=1e-8)
    for attribute in ("llf", "llnull", "llr", "llr_pvalue", "prsquared", "aic", "bic"):
        assert getattr(ours, attribute) == pytest.approx(getattr(theirs, attribute), rel=1e-8)


def test_ordinary_least_squares(normal):
    ours, theirs = normal
    names = theirs.params.index
    for attribute in ("params", "bse", "tvalues", "pvalues"):
        close(getattr(ours, attribute)[names], getattr(theirs, attribute))
    close(ours.conf_int(0.1).loc[names], theirs.conf_int(0.1))
    close(ours.cov_params().loc[names, names], theirs.cov_params())
    close(ours.resid, theirs.resid)
    close(ours.fittedvalues, theirs.fittedvalues)
    assert ours.llf == pytest.approx(theirs.llf)
    assert ours.deviance == pytest.approx(theirs.ssr)
    assert ours.null_deviance == pytest.approx(theirs.centered_tss)
    assert (ours.df_resid, ours.df_model) == (theirs.df_resid, theirs.df_model)
    # R counts sigma, statsmodels does not.
    assert ours.aic == pytest.approx(theirs.aic + 2)
    assert ours.bic == pytest.approx(theirs.bic + np.log(theirs.nobs))


def test_weighted_least_squares():
    """Precision weights are an offset of log sigma."""
    ours = mlekit.fit(f"level ~ {RHS}", DATA, offset={"sigma": "-0.5 * log(w2)"}, use_t=True)
    theirs = smf.wls(f"level ~ {RHS}", DATA, weights=DATA.w2).fit()
    names = theirs.params.index
    for attribute in ("params", "bse", "tvalues", "pvalues"):
        close(getattr(ours, attribute)[names], getattr(theirs, attribute))
    assert ours.llf == pytest.approx(theirs.llf)
    close(ours.resid_response, theirs.resid)
    close(ours.resid_pearson, theirs.wresid.rename(None))


def test_frequency_weights_are_repeated_rows():
    ours = mlekit.fit(f"level ~ {RHS}", DATA, weights="w", use_t=True)
    repeated = mlekit.fit(f"level ~ {RHS}", DATA.loc[DATA.index.repeat(DATA.w)].reset_index(drop=True), use_t=True)
    for attribute in ("params", "bse", "tvalues", "pvalues"):
        close(getattr(ours, attribute), getattr(repeated, attribute))
    for attribute in ("llf", "aic", "bic", "deviance", "null_deviance", "llnull", "pearson_chi2", "nobs", "df_resid"):
        assert getattr(ours, attribute) == pytest.approx(getattr(repeated, attribute), rel=1e-10)
    assert ours.distribution.loc["sigma"].to_numpy() == pytest.approx(repeated.distribution.loc["sigma"].to_numpy())


# ------------------------------------------------------------------------------------------------ tests of hypotheses


HYPOTHESES = [
    "x = 0.2",
    "x = 0.2, C(g)[T.b] = C(g)[T.c]",
    "x - 2*z = 1",
    ["x = 0", "z = 0"],
    "tuple",
    "matrix",
    "vector",
]


def hypothesis(name, size):
    """Text as it is; matrices for the first coefficients of a fit of ``size``."""
    matrix = np.zeros((2, size))
    matrix[0, 3], matrix[1, :2] = 1, [1, -1]
    return {"tuple": (matrix, np.array([0.1, 0.2])), "matrix": matrix, "vector": matrix[1]}.get(str(name), name)


@pytest.mark.parametrize("name", HYPOTHESES, ids=str)
@pytest.mark.parametrize("pair", ["poisson", "normal"])
def test_t_wald_and_f_tests(pair, name, request):
    ours, theirs = request.getfixturevalue(pair)
    a, b = (hypothesis(name, len(fit.params)) for fit in (ours, theirs))
    for attribute in ("effect", "sd", "tvalue", "pvalue"):
        found, expected = (getattr(fit.t_test(h), attribute) for fit, h in ((ours, a), (theirs, b)))
        assert np.asarray(found) == pytest.approx(np.asarray(expected), rel=1e-6)
    assert ours.t_test(a).conf_int(0.1) == pytest.approx(theirs.t_test(b).conf_int(0.1), rel=1e-6)
    assert str(ours.t_test(a)) == str(theirs.t_test(b))
    for test in ("f_test", "wald_test"):
        found, expected = (
            getattr(ours, test)(a),
            getattr(theirs, test)(b, **({"scalar": True} if test == "wald_test" else {})),
        )
        for attribute in ("statistic", "pvalue", "df_denom"):
            assert getattr(found, attribute) == pytest.approx(getattr(expected, attribute), rel=1e-6)
        assert found.distribution == expected.distribution


def test_a_joint_test_does_not_depend_on_units():
    """statsmodels takes small variances for zero: it drops hypotheses from the test, with a warning."""
    near = mlekit.fit("count ~ x + z", DATA, "poisson")
    far = mlekit.fit("count ~ x + z", DATA.assign(x=DATA.x * 1e9, z=DATA.z * 1e-7), "poisson")
    expected = near.wald_test("x = 0.1, z = 0.2, Intercept = 0")
    found = far.wald_test("x = 0.1e-9, z = 0.2e7, Intercept = 0")
    assert found.statistic == pytest.approx(expected.statistic, rel=1e-6)
    assert found.pvalue == pytest.approx(expected.pvalue, rel=1e-6)
    assert found.df_denom == expected.df_denom == 3
    assert far.f_test("x = 0, z = 0").pvalue == pytest.approx(near.f_test("x = 0, z = 0").pvalue, rel=1e-6)


@pytest.mark.parametrize("power", [-200, 160, 200])
def test_units_in_which_a_variance_is_out_of_range(power):
    near = mlekit.fit("count ~ x + z", DATA, "poisson")
    far = mlekit.fit("count ~ x + z", DATA.assign(x=DATA.x * 10.0**power), "poisson")
    for hypotheses in ("x = 0", "x = 0, z = 0.1", "Intercept = 0, x = 0"):
        expected = near.wald_test(hypotheses)
        assert far.wald_test(hypotheses).statistic == pytest.approx(expected.statistic, rel=1e-6)
        assert far.t_test(hypotheses).pvalue == pytest.approx(near.t_test(hypotheses).pvalue, rel=1e-6)
    found, expected = far.t_test("x = 0"), near.t_test("x = 0")
    assert found.effect * 10.0**power == pytest.approx(expected.effect, rel=1e-6)
    assert found.conf_int() * 10.0**power == pytest.approx(expected.conf_int(), rel=1e-6)
    assert far.bse["x"] * 10.0**power == pytest.approx(near.bse["x"], rel=1e-6)
    new = DATA.iloc[:3]
    found = far.get_prediction(new.assign(x=new.x * 10.0**power)).summary_frame()
    assert found.to_numpy() == pytest.approx(near.get_prediction(new).summary_frame().to_numpy(), rel=1e-6)


def test_tests_with_a_covariance_of_ones_own(poisson):
    ours, theirs = poisson
    cov = np.diag(np.arange(1.0, 6))
    for hypotheses in ("x = 0.2", "x = 0.2, z = 0.1"):
        for fit in (ours, theirs):
            assert fit.t_test(hypotheses, cov_p=cov).sd.ravel()[0] == pytest.approx(2.0)
        found, expected = (fit.wald_test(hypotheses, cov_p=cov, scalar=True) for fit in (ours, theirs))
        assert found.statistic == pytest.approx(expected.statistic, rel=1e-6)
        found, expected = (fit.f_test(hypotheses, cov_p=cov) for fit in (ours, theirs))
        assert found.pvalue == pytest.approx(expected.pvalue, rel=1e-6)
    inverse = np.array([[2.0]])
    found, expected = (fit.wald_test("x = 0.2", invcov=inverse, scalar=True) for fit in (ours, theirs))
    assert found.statistic == pytest.approx(expected.statistic, rel=1e-6)
    found, expected = (fit.t_test("x = 0.2", use_t=True) for fit in (ours, theirs))
    assert found.pvalue == pytest.approx(expected.pvalue, rel=1e-6)


def test_hypotheses_that_say_the_same_twice():
    fit = mlekit.fit("count ~ x", DATA, "poisson")
    with pytest.warns(ValueWarning, match="rank is 1"):
        found = fit.wald_test("x = 0, 2*x = 0")
    assert found.pvalue == pytest.approx(fit.wald_test("x = 0").pvalue)


def test_a_hypothesis_on_another_parameter():
    fit = mlekit.fit({"mu": "level ~ x", "sigma": "~ x"}, DATA)
    found = fit.t_test("sigma_x = 0.1")
    assert found.effect == pytest.approx(fit.params["sigma_x"])
    assert found.tvalue == pytest.approx((fit.params["sigma_x"] - 0.1) / fit.bse["sigma_x"])


def test_wald_tests_of_terms(poisson, normal):
    for ours, theirs in (poisson, normal):
        found, expected = ours.wald_test_terms(), theirs.wald_test_terms(scalar=True)
        names = expected.table.index
        assert set(names) <= set(found.table.index)
        assert found.table.loc[names].to_numpy() == pytest.approx(expected.table.to_numpy(), rel=1e-6)
        assert found.table.columns.tolist() == expected.table.columns.tolist()
        assert str(found).split()[:3] == str(expected).split()[:3]
        joint = ours.wald_test_terms(skip_single=True, combine_terms=["x", "z"]).table
        assert joint.index.tolist()[:3] == ["C(g)", "x", "z"]
        extra = ours.wald_test_terms(extra_constraints=[("mine", hypothesis("matrix", len(ours.params)))]).table
        assert extra.loc["mine", "pvalue"] == ours.wald_test(hypothesis("matrix", len(ours.params))).pvalue


def test_wald_tests_of_the_terms_of_every_parameter():
    fit = mlekit.fit({"mu": f"level ~ {RHS}", "sigma": "~ C(g)"}, DATA)
    table = fit.wald_test_terms().table
    assert table.index.tolist() == ["Intercept", "C(g)", "x", "z", "sigma_Intercept", "sigma_C(g)"]
    expected = fit.wald_test("sigma_C(g)[T.b] = 0, sigma_C(g)[T.c] = 0")
    assert table.loc["sigma_C(g)"].tolist() == pytest.approx([expected.statistic, expected.pvalue, 2])
    with pytest.raises(ValueError, match="no term has 'nosuch' in its name: the terms are Intercept, C"):
        fit.wald_test_terms(combine_terms=["nosuch"])


def test_wald_tests_of_terms_without_those_that_were_left_out():
    with pytest.warns(CollinearityWarning):
        fit = mlekit.fit("count ~ x + C(g) + I(2*x)", DATA, "poisson")
    assert "I(2 * x)" not in fit.wald_test_terms().table.index


def test_wald_tests_of_columns_where_there_is_no_formula():
    fit = mlekit.Model.from_arrays(DATA["count"], sm.add_constant(DATA[["x", "z"]]), "poisson").fit()
    assert fit.wald_test_terms().table.index.tolist() == ["const", "x", "z"]
    with pytest.raises(ValueError, match="made of arrays"):
        fit.t_test_pairwise("x")


@pytest.mark.parametrize("coding", ["C(g)", "C(g, Sum)", "C(g, Treatment('b'))", "g"])
@pytest.mark.parametrize("intercept", ["", " - 1"])
def test_pairs_of_levels(coding, intercept):
    formula = f"count ~ {coding} + x{intercept}"
    ours = mlekit.fit(formula, DATA, "poisson", cov_type="eim").t_test_pairwise(coding)
    theirs = smf.glm(formula, DATA, family=sm.families.Poisson()).fit(tol=1e-14).t_test_pairwise(coding)
    assert ours.result_frame.index.tolist() == theirs.result_frame.index.tolist() == ["b-a", "c-a", "c-b"]
    numbers = theirs.result_frame.select_dtypes(float).columns
    assert ours.result_frame[numbers].to_numpy() == pytest.approx(theirs.result_frame[numbers].to_numpy(), rel=1e-6)
    assert ours.contrasts.tolist() == theirs.contrasts.tolist()


def test_pairs_of_levels_that_cannot_be_compared():
    fit = mlekit.fit({"mu": f"level ~ {RHS}", "sigma": "~ C(g)"}, DATA)
    assert fit.t_test_pairwise("sigma_C(g)").result_frame.index.tolist() == ["b-a", "c-a", "c-b"]
    named = fit.t_test_pairwise("C(g)", method=["hs", "bonferroni"], factor_labels=["one", "two", "three"]).result_frame
    assert named.index.tolist() == ["two-one", "three-one", "three-two"]
    assert {"pvalue-hs", "pvalue-bonferroni"} <= set(named)
    with pytest.raises(ValueError, match="the terms are Intercept, C"):
        fit.t_test_pairwise("g")
    with pytest.raises(ValueError, match="x is not a single factor"):
        fit.t_test_pairwise("x")
    with pytest.raises(ValueError, match="factor_labels has 1 entries"):
        fit.t_test_pairwise("C(g)", factor_labels=["a"])
    data = DATA.assign(h=np.where(DATA.g == "b", "p", "q"))
    with pytest.warns(CollinearityWarning):
        fit = mlekit.fit("count ~ C(h) + C(g)", data, "poisson")
    with pytest.raises(ValueError, match="left out of the fit"):
        fit.t_test_pairwise("C(g)")


# ---------------------------------------------------------------------------------------------- covariances, functions


def test_covariance_of_some_coefficients_and_of_combinations(poisson):
    ours, theirs = poisson
    full = ours.cov_params()
    assert ours.cov_params(column=[1, 3]).equals(full.iloc[[1, 3], [1, 3]])
    assert ours.cov_params(column=1) == full.iloc[1, 1]
    matrix = hypothesis("matrix", 5)
    expected = matrix @ theirs.cov_params().to_numpy() @ matrix.T
    assert ours.cov_params(r_matrix=matrix) == pytest.approx(expected, rel=1e-6)
    assert ours.cov_params(r_matrix=np.eye(5)) == pytest.approx(full.to_numpy())
    assert ours.cov_params(r_matrix=matrix, other=np.eye(5)).shape == (2, 5)


def test_the_delta_method_is_statsmodels(poisson):
    fit = poisson[0]
    found = fit._get_wald_nonlinear(np.exp)
    assert found.se_vectorized() == pytest.approx(np.exp(fit.params) * fit.bse, rel=1e-6)


def derivative(function):
    def matrix(params):
        h = 1e-5
        return np.diag((function(params + h) - function(params - h)) / (2 * h))

    return matrix


@pytest.mark.parametrize(
    ("family", "link", "response"),
    [
        ("normal", {}, "level"),
        ("normal", {"sigma": "softplus"}, "level"),
        ("poisson", {}, "count"),
        ("poisson", {"mu": "sqrt"}, "count"),
        ("bernoulli", {"p": "cauchit"}, "event"),
        ("exponential", {}, "wait"),
        ("exponential", {"rate": "inverse"}, "wait"),
    ],
)
def test_parameters_on_their_own_scale_by_the_delta_method(family, link, response):
    chosen = mlekit.families.FAMILIES[family](**link)
    fit = mlekit.fit(f"{response} ~ 1", DATA, chosen)
    for name, params, se in zip(chosen.links, fit.params, fit.bse, strict=True):
        link = chosen.links[name]
        expected = NonlinearDeltaCov(
            link.inverse, np.array([params]), np.array([[se**2]]), deriv=derivative(link.inverse)
        )
        estimate, error, low, high = fit.distribution.loc[name]
        assert estimate == pytest.approx(expected.predicted()[0])
        assert error == pytest.approx(expected.se_vectorized()[0], rel=1e-6)
        ends = [float(link.inverse(np.float64(x))) for x in (params - 1.959964 * se, params + 1.959964 * se)]
        assert (low, high) == pytest.approx((min(ends), max(ends)), rel=1e-6)


# ------------------------------------------------------------------------------------------------ tables


def test_summary_col(poisson, normal):
    ours, theirs = poisson
    table = summary_col([theirs, ours], stars=True, float_format="%.5f").tables[0]
    assert (table.iloc[:, 0] == table.iloc[:, 1]).all()
    both_kinds = summary_col([ours, normal[0], mlekit.fit("wait ~ 1", DATA, Gumbel)]).tables[0]
    assert {"sigma_Intercept", "beta_Intercept", "x"} <= set(both_kinds.index)
    assert str(summary_col([ours], info_dict={"N": lambda fit: f"{fit.nobs:.0f}"}).tables[0]).count("90") == 1


def stargazer_rows(fits):
    rows = table_rows(Stargazer(fits).render_html())
    return {row[0]: row[1:] for row in rows if row}


def table_rows(html):
    """Cells of a Stargazer table, whose rows are not all closed."""
    rows = re.split(r"<tr>|</tr>", html)
    return [[re.sub(r"<[^>]+>", "", cell) for cell in re.findall(r"<td[^>]*>(.*?)</td>", row)] for row in rows]


def test_stargazer_beside_statsmodels(poisson):
    ours, theirs = poisson
    rows = stargazer_rows([theirs, ours])
    for name in ours.params.index:
        assert rows[name][0] == rows[name][1] != ""
    assert rows["Observations"] == ["90", "90"]
    assert "Residual Std. Error" not in rows  # a Poisson has none
    latex = Stargazer([theirs, ours]).render_latex(escape=True)
    assert latex.count(r"\begin{tabular}") == latex.count(r"\end{tabular}") == 1
    assert f"{ours.params['x']:.3f}" in latex


def test_stargazer_on_least_squares(normal):
    ours, theirs = normal
    rows = stargazer_rows([theirs, ours])
    assert rows["Residual Std. Error"][0] == rows["Residual Std. Error"][1]
    for name in theirs.params.index:
        assert rows[name][0] == rows[name][1]
    weighted = mlekit.fit(f"level ~ {RHS}", DATA, weights="w")  # Stargazer knows of no weights
    assert "Residual Std. Error" not in stargazer_rows([weighted])
    with pytest.raises(AttributeError, match="resid_response, resid_pearson, resid_deviance"):
        _ = weighted.resid


def test_stargazer_on_a_family_of_ones_own():
    rows = stargazer_rows([mlekit.fit("wait ~ x", DATA, Gumbel)])
    assert "beta_Intercept" in rows


# ------------------------------------------------------------------------------------------------ predictions


@pytest.mark.parametrize("name", FAMILIES)
def test_predictions_beside_a_glm(name):
    ours, theirs = both(name)
    new = DATA.iloc[:7].assign(x=np.linspace(-1, 1, 7))
    close(ours.predict(new), theirs.predict(new))
    close(ours.predict(), theirs.fittedvalues)
    found, expected = (fit.get_prediction(new).summary_frame(alpha=0.1) for fit in (ours, theirs))
    close(found[expected.columns], expected, rel=1e-6)
    close(found["linear"], theirs.predict(new, which="linear"))


def test_predictions_beside_least_squares(normal):
    ours, theirs = normal
    new = DATA.iloc[:7]
    found = ours.get_prediction(new).summary_frame(alpha=0.1)
    expected = theirs.get_prediction(new).summary_frame(alpha=0.1)
    columns = ["mean", "mean_se", "mean_ci_lower", "mean_ci_upper"]
    assert found[columns].to_numpy() == pytest.approx(expected[columns].to_numpy(), rel=1e-7)


# ------------------------------------------------------------------------------------------------ what is inherited


def test_nothing_inherited_is_left_to_chance(poisson):
    """Every public name of statsmodels' results is one that a test here or in test_results calls."""
    known = {
        *("params", "bse", "tvalues", "pvalues", "llf", "use_t", "normalized_cov_params", "initialize"),
        *("cov_params", "conf_int", "t_test", "f_test", "wald_test", "wald_test_terms", "t_test_pairwise"),
        *("predict", "summary", "save", "load", "remove_data"),
    }
    public = {name for name in dir(LikelihoodModelResults) if not name.startswith("_")}
    assert public <= known
    assert isinstance(poisson[0], StatsmodelsWrapper)
    for absent in ("bootstrap", "get_nlfun", "info_criteria", "score_test", "rsquared"):
        assert not hasattr(poisson[0], absent)


def test_no_warnings_from_any_of_it():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit = mlekit.fit("miltcoup ~ parties + size", load_africa(), "poisson")
        assert fit.wald_test_terms()
        assert fit.t_test("parties = 0")
        assert summary_col([fit])
