"""statsmodels' numbers and tools beside ours, on the same models."""

from __future__ import annotations

import re
import warnings

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from stargazer.stargazer import Stargazer
from statsmodels.base.model import LikelihoodModelResults
from statsmodels.base.wrapper import ResultsWrapper as StatsmodelsWrapper
from statsmodels.iolib.summary2 import summary_col
from statsmodels.stats._delta_method import NonlinearDeltaCov

import mlekit
from mlekit.datasets import load_africa
from tests.beside_statsmodels import DATA, FAMILIES, RHS, SCALARS, both, close, hypothesis
from tests.sample import Gumbel


@pytest.fixture(scope="module")
def poisson():
    return both("poisson")


@pytest.fixture(scope="module")
def normal():
    formula = f"level ~ {RHS}"
    return mlekit.fit(formula, DATA, use_t=True), smf.ols(formula, DATA).fit()


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


@pytest.mark.parametrize(
    ("formula", "family", "options"),
    [
        ("g ~ x", "multinomial_logit", {}),
        ("count ~ x", mlekit.ZeroInflated("poisson"), {}),
        ("count ~ x + z", "poisson", {"fixed": {"x": 0.2}}),
        ("count ~ x + z", "poisson", {"bounds": {"x": (0.5, 1)}}),
        ("event ~ x", "bernoulli", {"bias_reduction": True}),
        ("Surv(wait, event) ~ x", mlekit.Censored("weibull"), {}),
    ],
)
def test_tables_of_others_take_every_kind_of_fit(formula, family, options):
    fit = mlekit.fit(formula, DATA, family, **options)
    theirs = summary_col([fit], float_format="%.6f").tables[0].iloc[:, 0]
    stargazer = stargazer_rows([fit])
    for name, estimate in fit.params.items():
        assert float(theirs[name]) == pytest.approx(estimate, abs=1e-6)
        assert stargazer[name][0].startswith(f"{estimate:.3f}".removesuffix("0"))


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
    for absent in ("get_nlfun", "info_criteria", "rsquared"):
        assert not hasattr(poisson[0], absent)


def test_no_warnings_from_any_of_it():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit = mlekit.fit("miltcoup ~ parties + size", load_africa(), "poisson")
        assert fit.wald_test_terms()
        assert fit.t_test("parties = 0")
        assert summary_col([fit])
