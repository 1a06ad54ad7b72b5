"""Fits side by side: the numbers of the fits, with what must be said of them."""

from __future__ import annotations

import math
import pickle
import re

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
import statsmodels.formula.api as smf
from statsmodels.iolib.summary2 import summary_col
from statsmodels.stats._delta_method import NonlinearDeltaCov
from statsmodels.tools.sm_exceptions import CollinearityWarning, ConvergenceWarning

import mlekit
from mlekit.datasets import load_africa
from mlekit.publication.figures import written
from tests.beside_statsmodels import DATA

AFRICA = load_africa()


@pytest.fixture(scope="module")
def fits():
    return [mlekit.fit(f"miltcoup ~ parties{more}", AFRICA, "poisson") for more in ("", " + pollib")]


def numbers(cells):
    """The numbers in cells, NaN where there is none."""
    found = [re.sub(r"[^\d.e+-]", "", str(cell)) for cell in cells]
    return np.array([float(text) if text else math.nan for text in found])


def coefficient(table, name, figure, group=""):
    return table.to_frame().loc[("coefficients", group, name, figure)]


# ------------------------------------------------------------------------------------------------ numbers


def test_the_numbers_are_those_of_the_fits(fits):
    frame = mlekit.table(fits, digits=9).to_frame()
    for name in ("Intercept", "parties"):
        for figure, attribute in (("estimate", "params"), ("std err", "bse")):
            expected = [getattr(fit, attribute)[name] for fit in fits]
            assert numbers(frame.loc[("coefficients", "", name, figure)]) == pytest.approx(expected, rel=1e-7)
    assert frame.loc[("coefficients", "", "pollib", "estimate"), "(1)"] == ""
    for label, attribute in (("Observations", "nobs"), ("Log-likelihood", "llf"), ("AIC", "aic"), ("BIC", "bic")):
        expected = [getattr(fit, attribute) for fit in fits]
        assert numbers(frame.loc[("statistics", "", label, "number")]) == pytest.approx(expected, abs=0.005)


def test_the_numbers_are_those_of_summary_col(fits):
    """summary_col has its estimates and errors in rows of the same order, the errors without a name."""
    theirs = summary_col(fits, float_format="%.8f", include_r2=False).tables[0]
    for row, name in enumerate(theirs.index):
        if not name:
            continue
        for shift, figure in ((0, "estimate"), (1, "std err")):
            expected = numbers(theirs.iloc[row + shift])
            found = numbers(coefficient(mlekit.table(fits, digits=6), name, figure))
            assert found == pytest.approx(expected, rel=2e-5, nan_ok=True)


@pytest.mark.parametrize(("beneath", "figure"), [("ci", "interval"), ("p", "p-value"), ("t", "statistic")])
def test_what_can_stand_beneath(fits, beneath, figure):
    cell = coefficient(mlekit.table(fits, beneath=beneath, alpha=0.1, digits=9), "parties", figure)["(2)"]
    fit = fits[1]
    if beneath == "ci":
        found = [float(text) for text in cell.strip("[]").split(", ")]
        assert found == pytest.approx(fit.conf_int(0.1).loc["parties"].to_numpy(), rel=1e-6)
    else:
        expected = fit.pvalues["parties"] if beneath == "p" else fit.tvalues["parties"]
        assert float(cell.strip("()")) == pytest.approx(expected, abs=0.006 if beneath == "t" else 0.0006)
    assert "std err" not in mlekit.table(fits, beneath=beneath).to_frame().index.get_level_values("figure")
    assert "90 % Wald" in str(mlekit.table(fits, beneath="ci", alpha=0.1))


def test_nothing_beneath(fits):
    table = mlekit.table(fits, beneath=None)
    assert {line.figure for line in table.lines if line.part == "coefficients"} == {"estimate"}


def test_stars_are_off_until_asked_for_and_explained(fits):
    assert "*" not in str(mlekit.table(fits))
    for stars, levels in ((True, (0.05, 0.01, 0.001)), ((0.1, 0.9), (0.9, 0.1))):
        table = mlekit.table(fits, stars=stars)
        for name in ("Intercept", "parties"):
            for fit, cell in zip(fits, coefficient(table, name, "estimate"), strict=True):
                assert cell.count("*") == sum(fit.pvalues[name] < level for level in levels)
        assert f"* p < {levels[0]:g}" in str(table)


def test_exponents_have_the_errors_of_the_delta_method(fits):
    table = mlekit.table(fits, exponentiate=True, digits=9)
    fit = fits[1]
    expected = NonlinearDeltaCov(
        np.exp, fit.params.to_numpy(), fit.cov_params().to_numpy(), deriv=lambda b: np.diag(np.exp(b))
    )
    for i, name in enumerate(fit.params.index):
        assert numbers(coefficient(table, name, "estimate"))[1] == pytest.approx(expected.predicted()[i], rel=1e-7)
        assert numbers(coefficient(table, name, "std err"))[1] == pytest.approx(expected.se_vectorized()[i], rel=1e-7)
    ends = coefficient(mlekit.table(fits, exponentiate=True, beneath="ci", digits=9), "parties", "interval")["(2)"]
    found = [float(text) for text in ends.strip("[]").split(", ")]
    assert found == pytest.approx(np.exp(fit.conf_int().loc["parties"].to_numpy()), rel=1e-7)
    tests = [mlekit.table(fits, beneath="t", exponentiate=yes) for yes in (True, False)]
    assert [coefficient(t, "parties", "statistic")["(2)"] for t in tests] == [f"({fit.tvalues['parties']:.2f})"] * 2


def test_exponents_only_where_they_are_ratios():
    normal, logit = mlekit.fit("level ~ x", DATA), mlekit.fit("event ~ x", DATA, "bernoulli")
    table = mlekit.table([normal, logit], exponentiate=True, digits=8)
    expected = [normal.params["x"], np.exp(logit.params["x"])]
    assert numbers(coefficient(table, "x", "estimate")) == pytest.approx(expected, rel=1e-6)
    sigma = numbers(coefficient(table, "Intercept", "estimate", "sigma"))[0]
    assert sigma == pytest.approx(normal.distribution.loc["sigma", "estimate"], rel=1e-6)
    assert "Exponents of coefficients of (2): odds ratios." in table.notes
    assert "Coefficients of (1) on other scales, not exponents: Intercept, x." in table.notes
    for family in ("ordered_logit", "ordered_probit", "multinomial_logit"):
        fit = mlekit.fit("g ~ x", DATA.assign(g=pd.Categorical(DATA.g, ordered=True)), family)
        if family == "ordered_probit":
            with pytest.raises(ValueError, match="no coefficient of these fits is on a log"):
                mlekit.table(fit, exponentiate=True)
        else:
            assert "odds ratios" in str(mlekit.table(fit, exponentiate=True))


def test_a_coefficient_whose_exponent_is_no_float():
    fit = mlekit.fit("count ~ x", DATA.assign(x=DATA.x / 1e4), "poisson")
    assert coefficient(mlekit.table(fit, exponentiate=True), "x", "std err")["(1)"] == "(beyond the range of floats)"


@pytest.mark.parametrize("unit", [1e-9, 1e9, 1e-300, 1e290])
def test_any_unit_keeps_the_digits(unit):
    fit = mlekit.fit("count ~ x", DATA.assign(x=DATA.x * unit), "poisson")
    table = mlekit.table(fit, digits=3)
    for figure, value, digits in (("estimate", fit.params["x"], 2e-2), ("std err", fit.bse["x"], 5e-3)):
        assert numbers(coefficient(table, "x", figure))[0] == pytest.approx(value, rel=digits)
    assert max(map(len, str(table).splitlines())) < 80


@pytest.mark.parametrize(
    ("value", "decimals", "text"),
    [
        (0.0, 3, "0.000"),
        (-0.0001, 3, "-0.000"),
        (12345678.9, 0, "12345679"),
        (12345678.9, -4, "1.235e+07"),
        (1234567.8, -4, "1234568"),
        (1e-12, 3, "0.000"),
        (5e-324, 326, "4.94e-324"),
        (1.7976931348623157e308, -306, "1.80e+308"),
        (2.0, 400, "2.00000000000000"),
        (math.inf, 2, "inf"),
        (math.nan, 2, "nan"),
    ],
)
def test_a_number_as_text(value, decimals, text):
    assert written(value, decimals) == text


# ------------------------------------------------------------------------------------------------ rows and columns


def test_coefficients_are_merged_by_parameter():
    table = mlekit.table(
        [
            mlekit.fit("count ~ x", DATA, "poisson"),
            mlekit.fit({"mu": "level ~ z", "sigma": "~ x"}, DATA),
            mlekit.fit("count ~ x + z", DATA, mlekit.ZeroInflated("poisson")),
        ]
    )
    rows = list(dict.fromkeys((line.group, line.label) for line in table.lines if line.part == "coefficients"))
    first = [("", "Intercept"), ("", "x"), ("", "z")]
    assert rows == [*first, ("sigma", "Intercept"), ("sigma", "x"), ("zero", "Intercept")]
    assert table.heads[0] == ("(1)", "(2)", "(3)")
    assert table.heads[1] == ("count", "level", "count")


def test_levels_and_cutpoints_are_groups():
    frame = DATA.assign(g=pd.Categorical(DATA.g, ordered=True))
    ordered, multinomial = (mlekit.fit("g ~ x", frame, f"{kind}_logit") for kind in ("ordered", "multinomial"))
    groups = [(line.group, line.label) for line in mlekit.table([ordered, multinomial], beneath=None).lines]
    assert groups[:3] == [("", "x"), ("cutpoints", "a|b"), ("cutpoints", "b|c")]
    assert groups[3:7] == [("b", "Intercept"), ("b", "x"), ("c", "Intercept"), ("c", "x")]


def test_a_likelihood_that_is_no_regression():
    def gumbel(mu, beta, y):
        z = (y - mu) / beta
        return -z - np.exp(-z) - np.log(beta)

    fit = mlekit.mle(gumbel, {"mu": 0.0, "beta": 1.0}, {"y": DATA.level}, transforms={"beta": "log"})
    table = mlekit.table(fit, exponentiate=True, digits=8)
    assert numbers(coefficient(table, "log(beta)", "estimate"))[0] == pytest.approx(
        fit.distribution.loc["beta", "estimate"], rel=1e-6
    )


def test_labels_keep_and_drop(fits):
    labels = {"Intercept": "Constant", "parties": "Parties", "is in no table": "x"}
    assert str(mlekit.table(fits, labels=labels)).count("Constant") == 1
    dummies = mlekit.fit("miltcoup ~ parties + C(pollib)", AFRICA, "poisson")
    table = mlekit.table([*fits, dummies], drop=["C(pollib)", "Intercept"])
    shown = {line.label for line in table.lines if line.part == "coefficients"}
    assert shown == {"parties", "pollib"}
    assert "Not shown: Intercept, C(pollib)[T.1], C(pollib)[T.2]." in table.notes
    kept = mlekit.table(fits, keep="parties")
    assert {line.label for line in kept.lines if line.part == "coefficients"} == {"parties"}
    theirs = smf.poisson("miltcoup ~ parties", AFRICA).fit(disp=False)
    theirs.model.data.xnames[0] = "const"
    merged = mlekit.table([fits[0], theirs], labels={"const": "Constant", "Intercept": "Constant"})
    assert "" not in coefficient(merged, "Constant", "estimate").to_list()


def test_statistics_and_extra_rows(fits):
    extra = {"Regions": [False, "some"], "Deviance": lambda fit: fit.deviance}
    frame = mlekit.table(fits, statistics=["aic", "nobs"], extra=extra).to_frame().loc["statistics"]
    assert list(frame.index.get_level_values("label")) == ["AIC", "Observations", "Regions", "Deviance"]
    assert frame.iloc[2].to_list() == ["no", "some"]
    assert numbers(frame.iloc[3]) == pytest.approx([fit.deviance for fit in fits], rel=1e-5)


def test_r_squared_where_it_means_something(fits):
    ours = mlekit.fit("level ~ x + z", DATA)
    theirs = smf.ols("level ~ x + z", DATA).fit()
    frame = mlekit.table([ours, theirs, fits[0]]).to_frame().loc[("statistics", "")]
    assert frame.loc[("R2", "number")].to_list() == [f"{theirs.rsquared:.3f}"] * 2 + [""]
    expected = smf.poisson("miltcoup ~ parties", AFRICA).fit(disp=False).prsquared
    assert frame.loc[("McFadden's R2", "number")].to_list() == ["", "", f"{expected:.3f}"]
    assert "R2" not in str(mlekit.table([smf.ols("level ~ 0 + x", DATA).fit(), smf.quantreg("level ~ x", DATA).fit()]))
    for other in ("level ~ 0 + x", {"mu": "level ~ x", "sigma": "~ z"}):
        assert "R2" not in str(mlekit.table(mlekit.fit(other, DATA)))
    assert "R2" not in str(mlekit.table(mlekit.fit("level ~ x", DATA, mlekit.Normal(mu="log"), start=[0.1, 0.1, 0.1])))


# ------------------------------------------------------------------------------------------------ what must be said


def test_a_fit_that_did_not_converge_is_marked(fits):
    with pytest.warns(ConvergenceWarning):
        short = mlekit.fit("miltcoup ~ parties", AFRICA, "poisson", method="newton", maxiter=1)
    table = mlekit.table([fits[0], short])
    assert table.heads[2] == ("", "NOT CONVERGED")
    assert table.notes[0] == f"(2) WARNING: {short.reason}."
    for text in (table.as_text(), table.as_html(), table.as_latex(), table.as_markdown()):
        assert "NOT CONVERGED" in text
    assert table.to_frame().loc[("statistics", "", "McFadden's R2", "number"), "(2)"] == ""


def test_infinite_estimates_are_said_to_be():
    frame = pd.DataFrame({"x": np.arange(8.0), "g": list("aabbccdd"), "y": [0, 0, 1, 0, 1, 0, 1, 1]})
    with pytest.warns(ConvergenceWarning):
        separated = mlekit.fit("y ~ C(g)", frame, "bernoulli")
    table = mlekit.table(separated)
    assert table.heads[2] == ("NO FINITE ESTIMATE",)
    assert coefficient(table, "Intercept", "estimate")["(1)"] == "-inf"
    assert coefficient(table, "C(g)[T.b]", "estimate")["(1)"] == "inf"
    assert coefficient(table, "C(g)[T.b]", "std err")["(1)"] == "(infinite)"
    assert coefficient(mlekit.table(separated, exponentiate=True), "Intercept", "estimate")["(1)"] == "0"
    assert coefficient(table, "C(g)[T.d]", "estimate")["(1)"] == "inf"


def test_coefficients_without_an_error_say_why():
    with pytest.warns(CollinearityWarning):
        aliased = mlekit.fit("count ~ x + twice", DATA.assign(twice=2 * DATA.x), "poisson")
    even = pd.DataFrame({"x": np.tile([0.0, 1.0], 10), "y": np.tile([2.0, 3.0, 2.0, 4.0], 5)})
    limit = mlekit.fit("y ~ x", even, "negative_binomial")
    bound = mlekit.fit("count ~ x", DATA, "poisson", bounds={"x": (0.5, 1)})
    tied = mlekit.fit("count ~ x + z", DATA, "poisson", constraints="z = 1")
    held = mlekit.fit("count ~ x", DATA, "poisson", fixed={"x": 0.25})
    table = mlekit.table([aliased, limit, bound, tied, held])
    assert coefficient(table, "twice", "estimate")["(1)"] == "dropped"
    assert coefficient(table, "Intercept", "estimate", "alpha")["(2)"] == "-inf"
    assert coefficient(table, "Intercept", "std err", "alpha")["(2)"] == "(at limit)"
    assert coefficient(table, "x", "estimate")[["(3)", "(5)"]].to_list() == ["0.5", "0.25"]
    assert coefficient(table, "x", "std err")[["(3)", "(5)"]].to_list() == ["(at bound)", "(held)"]
    assert coefficient(table, "z", "std err")["(4)"] == "(by constraint)"
    assert any(note.startswith("(1): Dropped") and "twice = 2*x" in note for note in table.notes)
    assert r"$-\infty$" in table.as_latex()
    assert "−∞" in table.as_html()


def said(*fits):
    return " ".join(mlekit.table(list(fits)).notes)


def test_what_cannot_be_compared_is_said(fits):
    small, large = fits
    assert "cannot be compared" not in said(small, large)
    assert "different rows" in said(small, mlekit.fit("miltcoup ~ parties", AFRICA.iloc[:-1], "poisson"))
    assert "different rows" in said(
        *(mlekit.fit("count ~ x", DATA.iloc[rows], "poisson") for rows in (slice(60), slice(20, 80)))
    )
    normal = [mlekit.fit(f"{y} ~ x", DATA) for y in ("wait", "np.log(wait)")]
    assert "Different responses" in said(*normal)
    weighted = mlekit.fit("wait ~ x", DATA, weights="w")
    assert "Different weights" in said(normal[0], weighted)
    assert "discrete" in said(small, mlekit.fit("miltcoup ~ parties", AFRICA))
    assert "discrete" in said(small, smf.ols("miltcoup ~ parties", AFRICA).fit())


def test_covariances_that_differ_are_a_row(fits):
    small, large = fits
    assert "Covariance" not in str(mlekit.table(fits))
    table = mlekit.table([small, large.with_cov("HC3")])
    assert table.to_frame().loc[("statistics", "", "Covariance", "text")].to_list() == ["nonrobust", "HC3"]
    assert "Standard errors of (2): sandwich, HC3." in table.notes


def test_other_estimators_are_named():
    event = mlekit.fit("event ~ x", DATA, "bernoulli", bias_reduction=True)
    ridge = mlekit.fit("event ~ x", DATA, "bernoulli", penalty=mlekit.Ridge(1.0))
    table = mlekit.table([event, ridge])
    assert "McFadden" not in str(table)
    assert any(note.startswith("(1): Bias-reduced (Firth)") for note in table.notes)
    assert any(note.startswith("(2): Penalised") for note in table.notes)


def test_what_gives_coefficients_their_meaning():
    words = DATA.assign(event=DATA.event.map({0.0: "no", 1.0: "yes"}))
    table = mlekit.table(
        [
            mlekit.fit("event ~ x", words, "bernoulli", offset="z"),
            mlekit.fit("g ~ x", words, "multinomial_logit"),
            mlekit.fit("count ~ x", words, "poisson", weights="w", exposure="z"),
        ]
    )
    for note in (
        "(1): Response: event = yes counts as 1, no as 0.",
        "(1): Offset of p: z.",
        "(2): Levels of g: b, c, each by its log odds against a.",
        f"(3): Weights are frequencies: {len(DATA)} rows for {DATA.w.sum()} observations.",
        "(3): Exposure (its log is an offset) of mu: z.",
    ):
        assert note in table.notes


def test_without_data_and_after_pickling(fits):
    before = mlekit.table(fits)
    copies = [pickle.loads(pickle.dumps(fit)) for fit in fits]
    assert mlekit.table(copies) == before
    normal = pickle.loads(pickle.dumps(mlekit.fit("level ~ x", DATA)))
    with_rows = mlekit.table(normal)
    for fit in (*copies, normal):
        fit.remove_data()
    after = mlekit.table(copies)
    assert (after.heads, after.lines) == (before.heads, before.lines)
    assert "whether all fits are of the same rows is not known" in " ".join(after.notes)
    assert mlekit.table(normal) == with_rows


# ------------------------------------------------------------------------------------------------ statsmodels


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (("count ~ x", DATA, "poisson"), lambda: smf.poisson("count ~ x", DATA).fit(disp=False, tol=1e-12)),
        (("count ~ x", DATA, "poisson"), lambda: smf.glm("count ~ x", DATA, family=sm.families.Poisson()).fit()),
        (("event ~ x", DATA, "bernoulli"), lambda: smf.logit("event ~ x", DATA).fit(disp=False, tol=1e-12)),
    ],
)
@pytest.mark.parametrize("exponentiate", [False, True])
def test_fits_of_statsmodels_have_the_same_column(ours, theirs, exponentiate):
    frame = mlekit.table([mlekit.fit(*ours), theirs()], exponentiate=exponentiate, digits=5).to_frame()
    rows = frame[frame["(2)"] != ""].drop(index=[("statistics", "", "Family", "text")])
    rows = rows.drop(index=[("statistics", "", "Links", "text")], errors="ignore")
    assert len(rows) >= 8
    assert (rows["(1)"] == rows["(2)"]).all()


def test_fits_of_statsmodels_that_did_not_converge_or_have_equations():
    with pytest.warns(ConvergenceWarning):
        short = smf.poisson("count ~ x", DATA).fit(disp=False, maxiter=1)
    assert mlekit.table(short).heads[-1] == ("NOT CONVERGED",)
    negative = sm.NegativeBinomial(DATA["count"].to_numpy(), sm.add_constant(DATA[["x"]].to_numpy())).fit(disp=False)
    table = mlekit.table(negative, exponentiate=True, digits=6)
    assert numbers(coefficient(table, "x1", "estimate")) == pytest.approx(np.exp(negative.params[1:2]), rel=1e-5)
    assert numbers(coefficient(table, "alpha", "estimate")) == pytest.approx(negative.params[2:], rel=1e-5)
    several = smf.mnlogit("g ~ x", DATA.assign(g=DATA.g.map(ord))).fit(disp=False)
    with pytest.raises(TypeError, match="several equations"):
        mlekit.table(several)
    arrays = sm.OLS(DATA.level.to_numpy(), sm.add_constant(DATA.x.to_numpy())).fit()
    assert {"const", "x1"} <= {line.label for line in mlekit.table(arrays).lines}
    survival = mlekit.table(smf.phreg("wait ~ x", DATA).fit())  # which counts no observations
    assert "Observations" not in str(survival)


def test_a_table_of_no_coefficients():
    fit = mlekit.fit("count ~ 0 + x", DATA, "poisson", fixed={"x": 0.1})
    assert "(held)" in str(mlekit.table(fit))
    assert "Observations" in str(mlekit.table(fit, drop="x"))
