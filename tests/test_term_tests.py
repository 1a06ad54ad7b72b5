"""Terms left out in turn, and tested in three ways: against R, closed forms, and other codings of the same model."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, special, stats

import mlekit
from mlekit.datasets import load_africa
from mlekit.score import wald_grows
from tests.deviations import model_of
from tests.reference import cases, load

AFRICA = load_africa()
WITH_TERMS = [name for name in cases(("glm", "lm")) if load(name).expected.get("lr_drop1")]


@pytest.mark.parametrize("name", WITH_TERMS)
def test_drop1_of_every_reference_model(name):
    case = load(name)
    fit = model_of(case).fit(use_t=case.family == "Normal")
    table, expected = fit.drop1().table, case.expected["lr_drop1"]
    assert set(table.index) == {"<none>", *expected}
    assert table.loc["<none>", "aic"] == fit.aic
    for term, row in expected.items():
        found = table.loc[term]
        assert found["df"] == row["df"]
        assert found["LR"] == pytest.approx(row["lr"], rel=1e-9)
        assert found["p"] == pytest.approx(row["p"], rel=1e-9)
        assert found["llf"] == pytest.approx(fit.llf - row["lr"] / 2, rel=1e-12, abs=1e-10)
        if "F" in row:
            assert found["F"] == pytest.approx(row["F"], rel=1e-9)
            assert found["p F"] == pytest.approx(row["p_F"], rel=1e-9)


@pytest.mark.parametrize(
    ("link", "rao"),
    [
        ("logit", [0.4335952424403899, 4.0446566121514138, 8.1995092733297952, 8.0342975747594494]),
        ("probit", [0.4820092839692793, 4.1114209250690913, 8.4611866471436619, 8.4042796023492133]),
    ],
)
def test_scores_of_glms_are_those_of_r(link, rao):
    birth = load("birthwt_logit").frame
    found = mlekit.fit("low ~ age + lwt + C(race) + smoke", birth, mlekit.Bernoulli(p=link)).term_tests().table
    # R 4.2.2: drop1(glm(low ~ age + lwt + race + smoke, binomial(link)), test = "Rao"). Of the probit, whose scoring
    # steps shrink slowly, R has seven digits; these are by mpmath with 40.
    terms = ["age", "lwt", "C(race)", "smoke"]
    assert found.loc[terms, "score"].tolist() == pytest.approx(rao, rel=1e-9)
    assert found.loc[terms, "p score"].tolist() == pytest.approx(stats.chi2.sf(rao, [1, 1, 2, 1]), rel=1e-8)


def test_three_statistics_of_a_poisson_are_those_of_r():
    found = mlekit.fit("miltcoup ~ parties + C(pollib)", AFRICA, "poisson").term_tests().table
    # R 4.2.2: coef and vcov, anova(test = "LRT"), drop1(test = "Rao")
    expected = {
        "parties": [10.83222011757415, 9.1646228988164, 11.2164948456912],
        "C(pollib)": [11.30476666099270, 10.8968250113707, 12.1068441020999],
    }
    for term, row in expected.items():
        assert found.loc[term, ["Wald", "LR", "score"]].tolist() == pytest.approx(row, rel=1e-9)
    assert set(found["Hauck-Donner"]) == {"no"}


@pytest.mark.parametrize("use_t", [False, True])
def test_three_statistics_of_a_normal_follow_from_the_sums_of_squares(use_t):
    cars = load("mtcars_ols").frame
    fit, n = mlekit.fit("mpg ~ wt + hp + C(cyl)", cars, use_t=use_t), len(cars)
    found = fit.term_tests().table
    for term, smaller in {"wt": "mpg ~ hp + C(cyl)", "C(cyl)": "mpg ~ wt + hp"}.items():
        ratio = mlekit.fit(smaller, cars).deviance / fit.deviance
        wald = (ratio - 1) * (n - 5 if use_t else n)
        assert found.loc[term, ["Wald", "LR", "score"]].tolist() == pytest.approx(
            [wald, n * np.log(ratio), n * (1 - 1 / ratio)], rel=1e-10
        )
        df = found.loc[term, "df"]
        expected = stats.f.sf(wald / df, df, n - 5) if use_t else stats.chi2.sf(wald, df)
        assert found.loc[term, "p Wald"] == pytest.approx(expected, rel=1e-9)


def test_what_is_part_of_an_interaction_stays():
    fit = mlekit.fit("miltcoup ~ parties * C(pollib) + popn", AFRICA, "poisson")
    assert set(fit.drop1().table.index) == {"<none>", "popn", "parties:C(pollib)"}
    with pytest.raises(ValueError, match="no term that can be left out"):
        mlekit.fit("miltcoup ~ 1", AFRICA, "poisson").drop1()


def test_the_coding_of_factors_changes_no_test():
    """Without an intercept the first factor has a column for each level, which the second one then lacks."""
    data = AFRICA.assign(big=np.where(AFRICA["popn"] > 8, "yes", "no"))
    expected = mlekit.fit("miltcoup ~ C(pollib) + big", data, "poisson").term_tests().table
    bare = mlekit.fit("miltcoup ~ 0 + C(pollib) + big", data, "poisson")
    found = bare.term_tests().table
    columns = ["df", "Wald", "LR", "score"]
    assert found[columns].to_numpy() == pytest.approx(expected.loc[found.index, columns].to_numpy(), rel=1e-9)
    with pytest.raises(ValueError, match=r"data are needed to leave out C\(pollib\).*unpickled"):
        pickle.loads(pickle.dumps(bare)).drop1()


@pytest.mark.filterwarnings("ignore::statsmodels.tools.sm_exceptions.CollinearityWarning")
def test_a_column_that_others_make_up_for_has_no_test():
    data = AFRICA.assign(sum=AFRICA["parties"] + 2 * AFRICA["popn"])
    found = mlekit.fit("miltcoup ~ parties + popn + sum + pollib", data, "poisson").term_tests()
    assert found.table.loc[["parties", "popn", "sum"], "df"].tolist() == [0, 0, 0]
    assert found.table.loc[["parties", "popn", "sum"], "LR"].max() < 1e-12
    assert any("parties has no parameter of its own" in note for note in found.notes)
    whole = mlekit.fit("miltcoup ~ parties + popn + pollib", data, "poisson").term_tests().table
    columns = ["df", "Wald", "LR", "score"]
    assert found.table.loc["pollib", columns].tolist() == pytest.approx(whole.loc["pollib", columns].tolist(), rel=1e-9)


def test_parameters_have_terms_of_their_own():
    cars = load("normal_location_scale_cars").frame
    fit = mlekit.fit({"mu": "dist ~ speed", "sigma": "~ speed"}, cars)
    found = fit.term_tests().table
    assert found.index.tolist() == ["speed", "sigma_speed"]
    plain = mlekit.fit("dist ~ speed", cars)
    assert found.loc["sigma_speed", "LR"] == pytest.approx(2 * (fit.llf - plain.llf), rel=1e-11)
    # Breusch and Pagan 1979: half the explained sum of squares of e^2 / sigma^2 on the covariate
    x, e = cars["speed"] - cars["speed"].mean(), plain.resid**2 / plain.distribution.loc["sigma", "estimate"] ** 2
    assert found.loc["sigma_speed", "score"] == pytest.approx((x @ e) ** 2 / (x @ x) / 2, rel=1e-9)


def test_columns_of_arrays_are_terms():
    x = AFRICA[["parties", "popn"]].assign(const=1.0)
    found = mlekit.Model.from_arrays(AFRICA["miltcoup"], x, "poisson").fit().term_tests().table
    expected = mlekit.fit("miltcoup ~ parties + popn", AFRICA, "poisson").term_tests().table
    columns = ["df", "Wald", "LR", "score"]
    assert found[columns].to_numpy() == pytest.approx(expected[columns].to_numpy(), rel=1e-9)


def test_a_term_of_levels_is_one_for_all_of_them():
    data = AFRICA.assign(size3=pd.cut(AFRICA["popn"], 3, labels=["s", "m", "l"]).astype(str))
    levels = mlekit.fit("pollib ~ parties", data, "multinomial_logit")
    found = levels.term_tests().table
    assert found.index.tolist() == ["parties"]
    assert found.loc["parties", "df"] == 2
    assert found.loc["parties", "LR"] == pytest.approx(2 * (levels.llf - levels.llnull), rel=1e-9)


def test_terms_under_restrictions():
    tied = mlekit.fit("miltcoup ~ parties + pollib + popn", AFRICA, "poisson", constraints="pollib = popn")
    found = tied.drop1().table
    other = mlekit.fit("miltcoup ~ parties + I(pollib + popn)", AFRICA, "poisson").drop1().table
    assert found.loc["parties", "LR"] == pytest.approx(other.loc["parties", "LR"], rel=1e-9)
    assert found.loc[["pollib", "popn"], "LR"].tolist() == pytest.approx([other["LR"].iloc[2]] * 2, rel=1e-9)
    with pytest.raises(ValueError, match="without constraints"):
        tied.term_tests()
    bounded = mlekit.fit("miltcoup ~ parties + pollib", AFRICA, "poisson", bounds={"parties": (0, None)}).drop1()
    assert any("parties on its bound" in note for note in bounded.notes)
    held = mlekit.fit("miltcoup ~ parties + pollib", AFRICA, "poisson", fixed={"parties": 0.02}).drop1().table
    assert held.index.tolist() == ["<none>", "pollib"]
    with pytest.raises(ValueError, match="penalised"):
        mlekit.fit("miltcoup ~ parties", AFRICA, "poisson", penalty=mlekit.Ridge(1.0)).drop1()


def test_without_a_term_the_fit_may_have_no_maximum():
    """Every 1 has the larger x, but for the row that z excuses."""
    data = {"y": [0, 0, 0, 0, 1, 1, 1, 1], "x": [1.0, 2, 3, 5.5, 4, 5, 6, 7]}
    data["z"] = [0.0, 1, 0, 1, 0, 1, 1, 0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table = mlekit.fit("y ~ x + z", data, "bernoulli").drop1().table
    assert table["LR"].notna().tolist() == [False, True, True]


def test_a_kink_has_no_score():
    found = mlekit.fit("mpg ~ wt + hp", load("mtcars_ols").frame, "laplace").term_tests()
    assert found.table["score"].isna().all()
    assert found.table["LR"].notna().all()
    assert any("No score test of wt, hp" in note for note in found.notes)


# ------------------------------------------------------------------------------------------------ Hauck and Donner


def test_walds_statistic_turns_where_it_does_in_closed_form():
    """Of a share p with log-odds b, Wald's statistic b^2 n p (1 - p) grows with the relative slope 2 + b (1 - 2 p)."""
    turn = optimize.brentq(lambda b: 2 - b * np.tanh(b / 2), 1, 5)
    assert turn == pytest.approx(2.3994, abs=5e-5)  # Yee 2022
    for b in (-5.0, -0.3, 0.7, 2.3, 2.5, 6.0):
        p = special.expit(b)
        fit = mlekit.fit("y ~ 1", {"y": [0.0, 1.0], "n": [1 - p, p]}, "bernoulli", weights="n")
        found = wald_grows(fit.model, fit.params.to_numpy(), np.eye(1))
        assert found == pytest.approx(2 + b * (1 - 2 * p), abs=1e-6)


def test_two_shares_turn_where_their_closed_form_does_whatever_the_origin():
    """The variance of a difference of log-odds is 1 / (n p q) of both; each moves by its share of that."""
    for yes in ([25, 49], [25, 47], [10, 45], [2, 48], [25, 35]):
        p, difference = np.array(yes) / 50, np.diff(special.logit(np.array(yes) / 50))[0]
        parts = 1 / (50 * p * (1 - p))
        moves = np.array([-1, 1]) * parts / parts.sum()
        slope = -(parts * (1 - 2 * p) * moves).sum()
        expected = 2 - difference * slope / parts.sum()
        for origin in (0.0, 7.0, 1e6):
            rows = pd.DataFrame({"y": [1, 0, 1, 0], "x": [origin, origin, origin + 1, origin + 1]})
            rows["n"] = [yes[0], 50 - yes[0], yes[1], 50 - yes[1]]
            fit = mlekit.fit("y ~ x", rows, "bernoulli", weights="n")
            found = wald_grows(fit.model, fit.params.to_numpy(), np.array([[0.0, 1.0]]))
            assert found == pytest.approx(expected, abs=1e-6)


def test_the_hauck_donner_effect_is_named():
    """Hauck and Donner 1977: two groups, of which all but one of the second succeed."""
    counts = pd.DataFrame({"yes": [25, 49], "no": [25, 1], "group": ["a", "b"]})
    found = mlekit.fit("cbind(yes, no) ~ group", counts, "binomial").term_tests()
    assert found.table.loc["group", "Hauck-Donner"] == "yes"
    assert any("Hauck-Donner effect in group" in note for note in found.notes)
    less = mlekit.fit("cbind(yes, no) ~ group", counts.assign(yes=[25, 35], no=[25, 15]), "binomial").term_tests()
    assert less.table.loc["group", "Hauck-Donner"] == "no"
    assert len(less.notes) == 1
    few = pd.DataFrame({"yes": [2, 9], "no": [4, 0.05], "group": ["a", "b"]})
    fit = mlekit.fit("y ~ group", _rows(few), "bernoulli", weights="n")
    said = [note for note in fit.term_tests().notes if "Hauck" in note]
    table = fit.term_tests().table
    assert table.loc["group", "p LR"] < 0.05 < table.loc["group", "p Wald"]
    assert "is not significant" in said[0]


def _rows(counts):
    parts = [counts.assign(y=y, n=counts[name]) for y, name in ((1, "yes"), (0, "no"))]
    return pd.concat(parts, ignore_index=True)


def test_adjusted_p_values_stand_beside_their_own():
    fit = mlekit.fit("miltcoup ~ parties + pollib + popn", AFRICA, "poisson")
    table = fit.term_tests(adjust="bonferroni").table
    for name in ("p Wald", "p LR", "p score"):
        assert table[f"{name} (bonferroni)"].tolist() == pytest.approx(
            np.minimum(3 * table[name], 1).tolist(), rel=1e-14
        )
    assert fit.drop1("fdr_bh").table.columns.tolist() == ["df", "llf", "aic", "LR", "p", "p (fdr_bh)"]


def test_a_table_prints_what_it_has():
    found = mlekit.fit("miltcoup ~ parties", AFRICA, "poisson").drop1()
    assert "nan" not in str(found).lower()
    assert "<table" in found._repr_html_()
    assert "&lt;none&gt;" in found._repr_html_()


def test_a_term_that_a_bound_keeps_is_named():
    data = {"y": [1, 0, 3, 2, 1, 4], "x": np.arange(6.0)}
    with pytest.raises(ValueError, match="x cannot be left out: the constraints and the bounds contradict"):
        mlekit.fit("y ~ x", data, "poisson", bounds={"x": (1, None)}).drop1()
