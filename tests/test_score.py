"""Score tests against closed forms, R and statsmodels, and what they refuse."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
import statsmodels.formula.api as smf
from scipy import stats

import mlekit
from mlekit.datasets import load_africa
from tests.reference import load

AFRICA = load_africa()


def poisson(formula, data=AFRICA, **how):
    return mlekit.fit(formula, data, "poisson", **how)


def test_two_counts_have_pearsons_chi_squared():
    """Under one rate the larger model is saturated: the statistic is the sum of (observed - expected)^2 / expected."""
    data = {"count": [17, 30, 8], "group": ["a", "b", "c"], "years": [10.0, 12.0, 9.0]}
    expected = np.array(data["years"]) * 55 / 31
    found = mlekit.fit("count ~ offset(log(years))", data, "poisson").score_test("+ group")
    assert found.statistic == pytest.approx(stats.chisquare(data["count"], expected).statistic, rel=1e-12)
    assert found.df == 2
    assert found.pvalue == pytest.approx(stats.chi2.sf(found.statistic, 2), rel=1e-12)


def test_two_shares_have_pearsons_chi_squared():
    table = np.array([[12, 5], [9, 20]])
    data = pd.DataFrame({"y": [1, 0, 1, 0], "group": ["a", "a", "b", "b"], "n": table.ravel()})
    found = mlekit.fit("y ~ 1", data, "bernoulli", weights="n").score_test("+ group")
    assert found.statistic == pytest.approx(stats.chi2_contingency(table, correction=False).statistic, rel=1e-12)


def test_terms_to_add_as_r_has_them():
    # R 4.2.2: anova(glm(miltcoup ~ parties), glm(miltcoup ~ parties + oligarchy), test = "Rao")
    found = poisson("miltcoup ~ parties").score_test("+ oligarchy")
    assert found.statistic == pytest.approx(22.25438778834987, rel=1e-10)
    assert found.pvalue == pytest.approx(2.38812439973223e-06, rel=1e-9)
    assert poisson("miltcoup ~ 1").score_test("+ parties").statistic == pytest.approx(6.64575450187542, rel=1e-10)


def test_terms_to_add_as_statsmodels_has_them():
    theirs = smf.glm("miltcoup ~ parties", AFRICA, family=sm.families.Poisson())
    extra = AFRICA[["pollib", "popn"]].to_numpy(float)
    statistic, p, df = theirs.score_test(theirs.fit(tol=1e-14).params, exog_extra=extra)
    found = poisson("miltcoup ~ parties").score_test("+ pollib + popn")
    assert found.statistic == pytest.approx(statistic.item(), rel=1e-9)
    assert found.pvalue == pytest.approx(p.item(), rel=1e-8)
    assert found.df == df == 2
    assert "expected information" in found.notes[0]


def test_a_normal_has_n_times_r_squared():
    cars = load("mtcars_ols").frame
    small, large = (smf.ols(formula, cars).fit() for formula in ("mpg ~ wt", "mpg ~ wt + hp + C(cyl)"))
    found = mlekit.fit("mpg ~ wt", cars).score_test("+ hp + C(cyl)")
    assert found.df == 3
    assert found.statistic == pytest.approx(len(cars) * (1 - large.ssr / small.ssr), rel=1e-11)


@pytest.mark.parametrize(
    "way",
    [
        lambda: poisson("miltcoup ~ pollib").score_test("+ parties"),
        lambda: poisson("miltcoup ~ pollib + parties").score_test("parties = 0"),
        lambda: poisson("miltcoup ~ pollib + parties").score_test([[0.0, 0.0, 1.0]]),
        lambda: poisson("miltcoup ~ pollib + parties", constraints="parties = 0").score_test(),
        lambda: poisson("miltcoup ~ pollib + parties", fixed={"parties": 0.0}).score_test(),
        lambda: poisson("miltcoup ~ pollib").score_test({"mu": "+ I(parties / 7)"}),
    ],
    ids=["added", "hypothesis", "matrix", "constraint", "held", "other units"],
)
def test_one_hypothesis_in_many_ways(way):
    # R 4.2.2: anova(glm(miltcoup ~ pollib), glm(miltcoup ~ pollib + parties), test = "Rao")
    assert way().statistic == pytest.approx(10.48405910516711, rel=1e-9)


def test_what_a_fit_holds_at_values_is_tested_there():
    held = poisson("miltcoup ~ pollib + parties", fixed={"parties": 0.05, "pollib": -0.1})
    found = held.score_test()
    beta = {"Intercept": held.params["Intercept"], "pollib": -0.1, "parties": 0.05}
    x = AFRICA[["pollib", "parties"]].assign(Intercept=1.0)[list(beta)].to_numpy()
    mu = np.exp(x @ list(beta.values()))
    score, information = x.T @ (AFRICA["miltcoup"] - mu), x.T @ (mu[:, None] * x)
    assert found.statistic == pytest.approx(score @ np.linalg.solve(information, score), rel=1e-9)
    assert found.df == 2


def test_a_parameter_that_is_held_on_its_own_scale():
    """The score of log(shape) of a Weibull whose shape is 1, by hand (Cox and Oakes 1984)."""
    times = load("weibull_iid_leuk").frame["time"].to_numpy(float)
    found = mlekit.fit("t ~ 1", {"t": times}, "weibull", fixed={"shape": 1.0}).score_test(information="observed")
    z, n = times / times.mean(), times.size
    score = n + (np.log(z) * (1 - z)).sum()
    scale, both, shape = n, -(z * (1 + np.log(z)) - 1).sum(), (z * np.log(z) * (1 + np.log(z)) - np.log(z)).sum()
    assert found.statistic == pytest.approx(score**2 / (shape - both**2 / scale), rel=1e-9)


def test_the_information_may_be_chosen():
    probit = mlekit.fit("low ~ age", load("birthwt_logit").frame, mlekit.Bernoulli(p="probit"))
    found = {kind: probit.score_test("+ lwt", information=kind) for kind in ("expected", "observed")}
    assert probit.score_test("+ lwt").statistic == found["expected"].statistic
    assert abs(found["expected"].statistic / found["observed"].statistic - 1) > 1e-4
    logit = mlekit.fit("low ~ age", load("birthwt_logit").frame, "bernoulli")
    same = [logit.score_test("+ lwt", information=kind).statistic for kind in ("expected", "observed")]
    assert same[0] == pytest.approx(same[1], rel=1e-12)  # the link is canonical
    with pytest.raises(ValueError, match="must be 'expected' or 'observed'"):
        logit.score_test("+ lwt", information="fisher")
    with pytest.raises(ValueError, match="does not give its expected information"):
        mlekit.fit("miltcoup ~ 1", AFRICA, Rate).score_test("+ parties", information="expected")


class Rate(mlekit.GenericLikelihood):
    """A Poisson that says nothing of itself but its density."""

    params = {"mu": "log"}

    def logpdf(self, y, mu):
        return y * np.log(mu) - mu


def test_a_family_of_ones_own_by_its_observed_information():
    found = mlekit.fit("miltcoup ~ pollib", AFRICA, Rate).score_test("+ parties")
    assert found.statistic == pytest.approx(10.48405910516711, rel=1e-8)
    assert "observed information" in found.notes[0]


def test_terms_of_levels_and_of_other_parameters():
    data = AFRICA.assign(big=np.where(AFRICA["popn"] > 8, "yes", "no"))
    ordered = mlekit.fit("C(pollib, levels=[0, 1, 2]) ~ parties", data, "ordered_logit")
    full = mlekit.fit("C(pollib, levels=[0, 1, 2]) ~ parties + big", data, "ordered_logit")
    assert ordered.score_test("+ big").df == 1
    for found, expected in (
        (ordered.score_test("+ big"), full.term_tests().table.loc["big", "score"]),
        (full.score_test("big[T.yes] = 0"), ordered.score_test("+ big").statistic),
    ):
        assert found.statistic == pytest.approx(expected, rel=1e-8)
    assert mlekit.fit("pollib ~ 1", data, "multinomial_logit").score_test("+ parties").df == 2
    cars = load("normal_location_scale_cars").frame
    found = mlekit.fit("dist ~ speed", cars).score_test({"sigma": "+ speed"})
    both = mlekit.fit({"mu": "dist ~ speed", "sigma": "~ speed"}, cars).term_tests().table
    assert found.statistic == pytest.approx(both.loc["sigma_speed", "score"], rel=1e-10)


def test_terms_may_be_variables_of_the_caller():
    rank = np.arange(len(AFRICA), dtype=float)
    found = poisson("miltcoup ~ parties").score_test("+ rank")
    expected = poisson("miltcoup ~ parties", AFRICA.assign(rank=rank)).score_test("+ rank")
    assert found.statistic == pytest.approx(expected.statistic, rel=1e-12)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("+ nothing", "'nothing' is neither a column of the data nor a variable in scope"),
        ("+ parties", "adds nothing"),
        ("+ I(2 * parties + 1)", "adds nothing"),
        ("+ offset(popn)", "an offset has no coefficient"),
        ({"sigma": "+ popn"}, "the parameters are mu"),
        ("popn = 0", "about Intercept, parties"),
        ("", "cannot read ''"),
        ([[1.0, 0.0, 0.0]], "cannot read"),
        (None, "needs a hypothesis"),
    ],
    ids=repr,
)
def test_what_cannot_be_tested_is_refused(asked, said):
    with pytest.raises(ValueError, match=said):
        poisson("miltcoup ~ parties").score_test(asked)


def test_missing_values_in_a_term_are_refused():
    data = AFRICA.assign(popn=AFRICA["popn"].where(AFRICA.index != 3))
    with pytest.raises(ValueError, match=r"popn is missing in 1 of the 36 rows.*dropna\(subset=\['popn'\]\)"):
        poisson("miltcoup ~ parties", data).score_test("+ popn")
    fewer = data.dropna(subset=["popn"])
    assert poisson("miltcoup ~ parties", fewer).score_test("+ popn").df == 1


def test_data_that_have_changed_since_the_fit_are_refused():
    data = AFRICA.copy()
    fit = poisson("miltcoup ~ popn", data)
    data.index = data.index[::-1]
    with pytest.raises(ValueError, match="other rows now, or another order"):
        fit.score_test("+ parties")


def test_bounds_and_kinks_have_no_score():
    bounded = poisson("miltcoup ~ parties + pollib", bounds={"pollib": (0, None)})
    with pytest.raises(ValueError, match="pollib is on its bound"):
        bounded.score_test("+ popn")
    free = poisson("miltcoup ~ parties + pollib", bounds={"pollib": (-5, None)})
    expected = poisson("miltcoup ~ parties + pollib").score_test("+ popn")
    assert free.score_test("+ popn").statistic == pytest.approx(expected.statistic, rel=1e-9)
    with pytest.raises(ValueError, match="kink"):
        mlekit.fit("miltcoup ~ parties", AFRICA, "laplace").score_test("+ popn")
    with pytest.raises(ValueError, match="penalised"):
        poisson("miltcoup ~ parties", penalty=mlekit.Ridge(1.0)).score_test("+ popn")
    rng = np.random.default_rng(1)
    data = pd.DataFrame({"y": rng.binomial(10, 0.5, 60), "x": rng.normal(size=60)})
    with pytest.raises(ValueError, match="alpha_Intercept is at the limit"):
        mlekit.fit("y ~ 1", data, "negative_binomial").score_test("+ x")
