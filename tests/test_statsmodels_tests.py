"""Tests of hypotheses beside statsmodels'."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm
import statsmodels.formula.api as smf
from statsmodels.tools.sm_exceptions import CollinearityWarning, ValueWarning

import mlekit
from tests.beside_statsmodels import DATA, HYPOTHESES, RHS, both, hypothesis


@pytest.fixture(scope="module")
def poisson():
    return both("poisson")


@pytest.fixture(scope="module")
def normal():
    formula = f"level ~ {RHS}"
    return mlekit.fit(formula, DATA, use_t=True), smf.ols(formula, DATA).fit()


# ------------------------------------------------------------------------------------------------ tests of hypotheses


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
