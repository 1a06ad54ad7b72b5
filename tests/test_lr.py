"""Likelihood-ratio tests against R and closed forms, and the fits that they refuse to compare."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from scipy import stats
from statsmodels.stats.anova import anova_lm

import mlekit
from mlekit.datasets import load_africa
from tests.deviations import model_of
from tests.reference import cases, load

AFRICA = load_africa()
OPEN = load("lr_tests_open").expected["tests"]
WITH_NULL = [name for name in cases(("glm", "lm")) if "lr_vs_null" in load(name).expected]


def poisson(formula, data=AFRICA, **how):
    return mlekit.fit(formula, data, "poisson", **how)


# ------------------------------------------------------------------------------------------------ references


@pytest.mark.parametrize("test", OPEN, ids=[f"{t['family']}: {t['formula1']}" for t in OPEN])
def test_nested_models_as_r_has_them(test):
    frame = load(test["data_from"]).frame
    small, large = (mlekit.fit(test[name], frame, test["family"].lower()) for name in ("formula0", "formula1"))
    for found in (small.lr_test(large), large.lr_test(small)):
        assert found.statistic == pytest.approx(test["lr"], rel=1e-10)
        assert found.pvalue == pytest.approx(test["p"], rel=1e-10)
        assert found.df == test["df"]
        assert found.notes == ()


@pytest.mark.parametrize("name", WITH_NULL)
def test_every_reference_model_against_its_null_model(name):
    case = load(name)
    model, expected = model_of(case), case.expected["lr_vs_null"]
    found = model.fit().lr_test(model.null.fit())
    assert found.statistic == pytest.approx(expected["lr"], rel=1e-10)
    assert found.pvalue == pytest.approx(expected["p"], rel=1e-9)
    assert found.df == expected["df"]


def test_a_normal_ratio_is_that_of_the_sums_of_squares():
    cars = load("mtcars_ols").frame
    formulas = ["mpg ~ wt", "mpg ~ wt + hp + C(cyl)"]
    theirs = [smf.ols(formula, cars).fit() for formula in formulas]
    found = mlekit.fit(formulas[1], cars).lr_test(mlekit.fit(formulas[0], cars))
    assert found.statistic == pytest.approx(len(cars) * np.log(theirs[0].ssr / theirs[1].ssr), rel=1e-11)
    assert (found.statistic, found.pvalue, found.df) == pytest.approx(theirs[1].compare_lr_test(theirs[0]), rel=1e-11)


def test_anova_of_least_squares_is_that_of_r_and_statsmodels():
    cars = load("mtcars_ols").frame
    formulas = ["mpg ~ wt", "mpg ~ wt + hp", "mpg ~ wt + hp + C(cyl)"]
    found = mlekit.anova(*(mlekit.fit(formula, cars, use_t=True) for formula in reversed(formulas))).table
    # R 4.2.2: anova(lm(mpg ~ wt), lm(mpg ~ wt + hp), lm(mpg ~ wt + hp + factor(cyl)))
    assert found["F"].tolist()[1:] == pytest.approx([13.98455046219496, 2.87755590594865], rel=1e-11)
    assert found["p F"].tolist()[1:] == pytest.approx([0.000877736103828805, 0.073644980508461994], rel=1e-11)
    theirs = anova_lm(*(smf.ols(formula, cars).fit() for formula in formulas))
    assert found["F"].tolist() == pytest.approx(theirs["F"].tolist(), rel=1e-10, nan_ok=True)
    assert found.index.tolist() == formulas
    assert found["df"].isna().tolist() == [True, False, False]


def test_anova_adjusts_for_how_many_tests_there_are():
    formulas = [
        "miltcoup ~ 1",
        "miltcoup ~ parties",
        "miltcoup ~ parties + oligarchy",
        "miltcoup ~ parties * oligarchy",
    ]
    table = mlekit.anova(*map(poisson, formulas), adjust="holm").table
    p = np.sort(table["p"].to_numpy()[1:])
    holm = np.maximum.accumulate(p * [3, 2, 1])
    assert np.sort(table["p (holm)"].to_numpy()[1:]) == pytest.approx(holm, rel=1e-14)
    with pytest.raises(ValueError, match=r"unknown adjust 'best'.*holm"):
        mlekit.anova(*map(poisson, formulas), adjust="best")
    with pytest.raises(TypeError, match="two fits or more"):
        mlekit.anova(poisson("miltcoup ~ 1"))


def test_levels_as_r_has_them():
    # MASS::housing; R 4.2.2: dropterm(polr(...), test = "Chisq")
    cells = pd.DataFrame(
        {
            "Sat": pd.Categorical(["Low", "Medium", "High"] * 24, ["Low", "Medium", "High"], ordered=True),
            "Infl": np.tile(np.repeat(["Low", "Medium", "High"], 3), 8),
            "Type": np.tile(np.repeat(["Tower", "Apartment", "Atrium", "Terrace"], 9), 2),
            "Cont": np.repeat(["Low", "High"], 36),
            "Freq": [
                *(21, 21, 28, 34, 22, 36, 10, 11, 36, 61, 23, 17, 43, 35, 40, 26, 18, 54),
                *(13, 9, 10, 8, 8, 12, 6, 7, 9, 18, 6, 7, 15, 13, 13, 7, 5, 11),
                *(14, 19, 37, 17, 23, 40, 3, 5, 23, 78, 46, 43, 48, 45, 86, 15, 25, 62),
                *(20, 23, 20, 10, 22, 24, 7, 10, 21, 57, 23, 13, 31, 21, 13, 5, 6, 13),
            ],
        }
    )
    formulas = ["Sat ~ Infl + Type + Cont", "Sat ~ Type + Cont"]
    ordered = [mlekit.fit(formula, cells, "ordered_logit", weights="Freq") for formula in formulas]
    found = ordered[0].lr_test(ordered[1])
    assert found.statistic == pytest.approx(108.23920476781586, rel=1e-11)
    assert found.df == 2
    rows = cells.loc[cells.index.repeat(cells["Freq"])].reset_index(drop=True)
    rows["code"] = rows["Sat"].cat.codes
    theirs = [smf.mnlogit(formula.replace("Sat", "code"), rows).fit(disp=0, tol=1e-14) for formula in formulas]
    unordered = [mlekit.fit(formula, cells, "multinomial_logit", weights="Freq") for formula in formulas]
    found = unordered[0].lr_test(unordered[1])
    assert found.statistic == pytest.approx(2 * (theirs[0].llf - theirs[1].llf), rel=1e-9)
    assert found.df == 4


# ------------------------------------------------------------------------------------------------ what is nested


@pytest.mark.parametrize(
    ("small", "large"),
    [
        ("miltcoup ~ parties", "miltcoup ~ 0 + parties + C(pollib)"),
        ("miltcoup ~ center(parties)", "miltcoup ~ parties + oligarchy"),
        ("miltcoup ~ I(parties + oligarchy)", "miltcoup ~ parties + oligarchy"),
        ("miltcoup ~ parties", "miltcoup ~ bs(parties, df=4) + oligarchy"),
        ("miltcoup ~ offset(0.01 * parties)", "miltcoup ~ parties"),
        ("miltcoup ~ pollib", "miltcoup ~ C(pollib)"),
    ],
)
def test_column_spaces_decide_what_is_nested_and_not_names(small, large):
    found = poisson(large).lr_test(poisson(small))
    fits = [smf.poisson(f.split(" ~ offset")[0] + (" ~ 1" if "offset" in f else ""), AFRICA,
                        offset=0.01 * AFRICA["parties"] if "offset" in f else None).fit(disp=0, method="newton")
            for f in (small, large)]  # fmt: skip
    assert found.statistic == pytest.approx(2 * (fits[1].llf - fits[0].llf), rel=1e-7)
    assert found.df == len(fits[1].params) - len(fits[0].params)


def test_a_covariate_far_from_zero_is_nested_in_itself_centred():
    data = AFRICA.assign(far=AFRICA["parties"] + 1e8)
    found = poisson("miltcoup ~ far", data).lr_test(poisson("miltcoup ~ center(far) + oligarchy", data))
    assert found.statistic == pytest.approx(20.329370510835, rel=1e-6)  # R 4.2.2: anova(test = "LRT"), of parties


def test_units_decide_nothing():
    data = AFRICA.assign(small=AFRICA["parties"] * 1e-300, large=AFRICA["popn"] * 1e300)
    extreme, plain = poisson("miltcoup ~ small + large", data), poisson("miltcoup ~ parties + popn")
    expected = plain.lr_test(poisson("miltcoup ~ popn")).statistic
    for other in (poisson("miltcoup ~ large", data), poisson("miltcoup ~ popn", data)):
        assert extreme.lr_test(other).statistic == pytest.approx(expected, rel=1e-9)
    tied = poisson("miltcoup ~ small + large", data, constraints="small = 0")
    assert extreme.lr_test(tied).statistic == pytest.approx(expected, rel=1e-9)
    assert extreme.score_test("small = 0").statistic == pytest.approx(
        plain.score_test("parties = 0").statistic, rel=1e-9
    )
    with pytest.raises(ValueError, match="pollib of the latter is no combination"):
        extreme.lr_test(poisson("miltcoup ~ pollib", data))
    with pytest.raises(ValueError, match="large of the latter is no combination"):
        poisson("miltcoup ~ small + pollib", data).lr_test(poisson("miltcoup ~ large", data))


def test_what_is_held_or_tied_is_nested():
    free = poisson("miltcoup ~ parties + oligarchy")
    for held, formula in (
        ({"fixed": {"parties": 0.0}}, "miltcoup ~ oligarchy"),
        ({"constraints": "parties = 0"}, "miltcoup ~ oligarchy"),
        ({"constraints": "parties = oligarchy"}, "miltcoup ~ I(parties + oligarchy)"),
        ({"fixed": {"parties": 0.03}}, "miltcoup ~ oligarchy + offset(0.03 * parties)"),
    ):
        found, expected = (
            free.lr_test(poisson("miltcoup ~ parties + oligarchy", **held)),
            free.lr_test(poisson(formula)),
        )
        assert found.statistic == pytest.approx(expected.statistic, rel=1e-9)
        assert found.df == expected.df == 1
    tied = poisson("miltcoup ~ parties + oligarchy + pollib", constraints="parties = oligarchy")
    assert tied.lr_test(poisson("miltcoup ~ I(parties + oligarchy)")).df == 1
    with pytest.raises(ValueError, match="oligarchy of the latter is no combination"):
        poisson("miltcoup ~ parties + pollib + popn", constraints="parties = pollib").lr_test(
            poisson("miltcoup ~ oligarchy")
        )


def test_a_function_of_ones_own_is_nested_in_itself_with_a_parameter_held():
    times = load("weibull_iid_leuk").frame["time"].to_numpy(float)

    def weibull(shape, scale, t):
        z = t / scale
        return np.log(shape / scale) + (shape - 1) * np.log(z) - z**shape

    def fitted(**how):
        return mlekit.mle(weibull, {"shape": 1.0, "scale": 40.0}, {"t": times}, **how)

    held = fitted(fixed={"shape": 1.0})
    found = fitted().lr_test(held)
    exponential = stats.expon.logpdf(times, 0, times.mean()).sum()
    assert found.statistic == pytest.approx(2 * (load("weibull_iid_leuk").expected["llf"] - exponential), rel=1e-10)
    with pytest.raises(ValueError, match="different families"):
        fitted(transforms={"shape": "log"}).lr_test(held)


# ------------------------------------------------------------------------------------------------ boundaries


def test_a_poisson_in_a_negative_binomial_is_tested_on_the_boundary():
    quine = load("quine_poisson").frame
    counts = mlekit.fit("Days ~ Eth + Sex + Age + Lrn", quine, "negative_binomial")
    found = counts.lr_test(poisson("Days ~ Eth + Sex + Age + Lrn", quine))
    # R 4.2.2: 2 * (logLik(glm.nb(...)) - logLik(glm(..., poisson)))
    assert found.statistic == pytest.approx(1192.0326119953767829, rel=1e-10)
    assert found.pvalue == pytest.approx(stats.chi2.sf(found.statistic, 1) / 2, rel=1e-12)
    assert "Self and Liang" in str(found)
    fewer = counts.lr_test(poisson("Days ~ Eth + Age + Lrn", quine))
    tails = stats.chi2.sf(fewer.statistic, [1, 2])
    assert fewer.df == 2
    assert fewer.pvalue == pytest.approx(tails.mean(), rel=1e-12)


def test_at_the_limit_itself_the_ratio_is_none():
    rng = np.random.default_rng(1)
    data = pd.DataFrame({"y": rng.binomial(10, 0.5, 60), "x": rng.normal(size=60)})  # less spread than a Poisson's
    limit = mlekit.fit("y ~ x", data, "negative_binomial")
    found = limit.lr_test(poisson("y ~ x", data))
    assert limit.status.name == "LIMIT"
    assert (found.statistic, found.pvalue) == (0.0, 1.0)


def test_a_bound_that_is_tested_is_said_to_be_one():
    bounded = poisson("miltcoup ~ parties + oligarchy", bounds={"oligarchy": (0, None)})
    found = bounded.lr_test(poisson("miltcoup ~ parties"))
    assert any("oligarchy on its bound" in note for note in found.notes)
    assert bounded.lr_test(poisson("miltcoup ~ oligarchy")).notes == ()
    with pytest.raises(ValueError, match="outside the bounds of parties"):
        poisson("miltcoup ~ parties + oligarchy", bounds={"parties": (0.1, None)}).lr_test(
            poisson("miltcoup ~ oligarchy")
        )


# ------------------------------------------------------------------------------------------------ refusals

HOLES = AFRICA.assign(oligarchy=AFRICA["oligarchy"].where(AFRICA.index != 3))


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (lambda: poisson("miltcoup ~ oligarchy"), "2 free parameters each.*AIC"),
        (lambda: poisson("miltcoup ~ oligarchy + popn"), "parties of the latter is no combination"),
        (
            lambda: poisson("miltcoup ~ parties + oligarchy", HOLES),
            "were fitted to 3. rows and to 3.:.*missing value.*dropna.*oligarchy",
        ),
        (lambda: poisson("miltcoup ~ parties + oligarchy", AFRICA[::-1]), "to different rows"),
        (lambda: poisson("popn ~ parties + oligarchy", AFRICA.round({"popn": 0})), "different responses"),
        (lambda: poisson("miltcoup ~ parties + oligarchy", weights="pollib + 1"), "different weights"),
        (lambda: poisson("miltcoup ~ parties + oligarchy", weights="numelec"), "weight zero"),
        (lambda: poisson("miltcoup ~ parties + oligarchy", exposure="popn"), "different offsets"),
        (lambda: mlekit.fit("miltcoup ~ parties + oligarchy", AFRICA), "different families.*no limit of Normal"),
        (lambda: mlekit.fit("miltcoup ~ parties + popn", AFRICA, mlekit.Poisson(mu="sqrt")), "different links"),
        (lambda: poisson("miltcoup ~ parties + oligarchy", penalty=mlekit.Ridge(1.0)), "penalised"),
    ],
    ids=lambda value: value if isinstance(value, str) else "fit",
)
def test_what_is_not_nested_is_refused_with_the_reason(other, said):
    for one, two in ((poisson("miltcoup ~ parties"), other()), (other(), poisson("miltcoup ~ parties"))):
        with pytest.raises(ValueError, match=said):
            one.lr_test(two)


@pytest.mark.filterwarnings("ignore::statsmodels.tools.sm_exceptions.ConvergenceWarning")
def test_a_fit_that_is_not_the_maximum_is_refused():
    small, short = poisson("miltcoup ~ parties"), poisson("miltcoup ~ parties + oligarchy", method="newton", maxiter=1)
    with pytest.raises(ValueError, match="not at its maximum: not converged"):
        small.lr_test(short)
    with pytest.raises(TypeError, match="fits by mlekit, not of RegressionResults"):
        small.lr_test(smf.ols("miltcoup ~ parties", AFRICA).fit())


def test_robust_errors_and_kinks_are_said_to_be_no_part_of_it():
    small = poisson("miltcoup ~ parties").with_cov("HC3")
    assert "HC3" in poisson("miltcoup ~ parties + oligarchy").lr_test(small).notes[0]
    medians = [mlekit.fit(formula, AFRICA, "laplace") for formula in ("miltcoup ~ 1", "miltcoup ~ parties")]
    assert "Laplace" in medians[0].lr_test(medians[1]).notes[0]


def test_weights_that_are_no_counts_are_said_to_be_taken_for_counts():
    data = {"y": [1, 0, 3, 2, 1, 4], "x": np.arange(6.0), "w": [1, 2, 1, 3, 1, 2], "v": [0.5, 2, 1, 3, 1, 2]}
    for weights, said in (("w", False), ("v", True)):
        small, large = (mlekit.fit(formula, data, "poisson", weights=weights) for formula in ("y ~ 1", "y ~ x"))
        for found in (large.lr_test(small), large.drop1(), mlekit.anova(small, large)):
            assert any("whole numbers" in note for note in found.notes) is said
