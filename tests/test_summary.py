"""The summary: the right numbers, well formed in every format, and nothing that a reader must know left unsaid."""

from __future__ import annotations

import csv
import io
import re
import warnings
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
import statsmodels.formula.api as smf
from statsmodels.iolib.summary import Summary
from statsmodels.tools.sm_exceptions import CollinearityWarning, ConvergenceWarning

import mlekit
from mlekit.datasets import load_africa, load_heights
from mlekit.families import FAMILIES
from tests.sample import Gumbel, NumericGumbel

NAN = float("nan")


@pytest.fixture(scope="module")
def africa():
    return mlekit.fit("miltcoup ~ parties + C(numregim)", load_africa(), "poisson")


@pytest.fixture(scope="module")
def awkward():
    """A fit with everything that a name can have in it, and everything that there is to say."""
    rng = np.random.default_rng(3)
    n = 80
    data = pd.DataFrame({"x": rng.normal(size=n), "g": rng.choice(["a&b", "c_d", "e%"], n), "w": rng.integers(0, 3, n)})
    data["y"] = np.where(data.x + rng.logistic(size=n) > 0, "yes", "no")
    data["z_%&<"] = data.x**2
    data["{~^#$}"] = data["x"] * 2
    data.loc[3, "x"] = NAN
    with pytest.warns(CollinearityWarning):
        return mlekit.fit(
            'y ~ x + C(g) + Q("z_%&<") + Q("{~^#$}") + I(x < 0.2)', data, "bernoulli", weights="w", offset="0.1*x"
        )


def cells(summary):
    """Read the tables from the CSV: the label of each line, and what follows it."""
    return {row[0]: row[1:] for row in csv.reader(io.StringIO(summary.as_csv())) if row}


# ------------------------------------------------------------------------------------------------ numbers


def test_the_numbers_are_those_of_the_fit(africa):
    found = cells(africa.summary())
    table = np.array([[float(x) for x in found[name]] for name in africa.params.index])
    interval = africa.conf_int().to_numpy()
    exact = np.column_stack([africa.params, africa.bse, africa.tvalues, africa.pvalues, interval])
    assert np.abs(table - exact).max() < 6e-4
    assert found["Dep. Variable:"] == ["miltcoup", "No. Observations:", "36"]
    assert found["Links:"] == ["log(mu)", "Df Model:", str(len(africa.params) - 1)]
    assert found["Family:"] == ["Poisson", "Df Residuals:", str(36 - len(africa.params))]
    values = {row[1]: row[2] for row in found.values() if len(row) == 3}
    for label, name in {
        "Log-Likelihood:": "llf",
        "LL-Null:": "llnull",
        "AIC:": "aic",
        "BIC:": "bic",
        "Deviance:": "deviance",
        "Pearson chi2:": "pearson_chi2",
    }.items():
        assert float(values[label]) == pytest.approx(getattr(africa, name), rel=1e-7)
    assert float(found["No. Iterations:"][0]) == africa.iterations


def test_the_coefficients_are_printed_as_statsmodels_prints_them():
    data = load_africa()
    ours = mlekit.fit("miltcoup ~ parties + size", data, "poisson", cov_type="eim").summary()
    theirs = smf.glm("miltcoup ~ parties + size", data, family=sm.families.Poisson()).fit(tol=1e-14).summary()
    assert isinstance(ours, Summary)
    assert str(ours.tables[1]) == str(theirs.tables[1])
    assert len(str(ours).splitlines()[0]) == len(str(theirs).splitlines()[0])


def test_level_of_the_intervals_everywhere():
    fit = mlekit.fit("height ~ weight", load_heights())
    found = cells(fit.summary(alpha=0.1))
    assert found[""][-2:] == ["[0.05", "0.95]"]
    low, high = fit.conf_int(0.1).loc["weight"]
    assert [float(x) for x in found["weight"][-2:]] == pytest.approx([low, high], abs=6e-4)
    low, high = np.exp(fit.conf_int(0.1).loc["sigma_Intercept"])
    assert [float(x) for x in found["sigma"][-2:]] == pytest.approx([low, high], rel=1e-4)
    with pytest.raises(ValueError, match="alpha must be between 0 and 1, not 95"):
        fit.summary(alpha=95)


def test_the_last_table_is_that_of_the_distribution():
    fit = mlekit.fit("height ~ weight", load_heights())
    found = cells(fit.summary())["sigma"]
    assert [float(x) for x in found if x] == pytest.approx(fit.distribution.loc["sigma"], rel=1e-4)
    assert len(found) == 6  # in the columns of the coefficients
    assert "sigma on its own scale, the same in all rows" in " ".join(str(fit.summary()).split())


def test_students_t():
    summary = mlekit.fit("size ~ popn", load_africa(), use_t=True).summary()
    ols = smf.ols("size ~ popn", load_africa()).fit()
    for name in ("Intercept", "popn"):
        shown = [line for line in str(ols.summary().tables[1]).splitlines() if line.startswith(name)]
        assert cells(summary)[name] == shown[0].split()[1:]
    assert "P>|t|" in str(summary.tables[1])
    assert "with the unbiased sigma as in ordinary least squares" in said(summary)


def test_other_names_and_title(africa):
    names = [f"b{i}" for i in range(len(africa.params))]
    summary = africa.summary(yname="coups", xname=names, title="Coups d'état")
    found = cells(summary)
    assert found["Dep. Variable:"][0] == "coups"
    assert set(names) < set(found)
    assert str(summary).splitlines()[0].strip() == "Coups d'état"


# ------------------------------------------------------------------------------------------------ text


@pytest.mark.parametrize(
    "name", sorted(name for name, cls in FAMILIES.items() if cls.params and not cls.response_columns)
)
def test_tables_are_equally_wide_and_notes_no_wider(name):
    rng = np.random.default_rng(0)
    data = {"y": rng.integers(0, 2, 60).astype(float), "a_covariate_with_a_long_name": rng.normal(size=60)}
    if not FAMILIES[name]().in_support(np.array([0.0, 1.0])).all() or name == "student_t":  # with tails for its df
        data["y"] = np.exp(rng.standard_t(3, size=60))
    if name == "beta":
        data["y"] /= 1 + data["y"]
    if name.startswith("negative_binomial"):
        data["y"] = rng.geometric(0.3, 60) - 1.0
    for formula in ("y ~ 1", "y ~ a_covariate_with_a_long_name"):
        summary = mlekit.fit(formula, data, name).summary()
        tables, _, notes = str(summary).partition("\n\n")
        widths = {len(line) for line in tables.splitlines()}
        assert len(widths) == 1
        assert max(len(line) for line in notes.splitlines()) <= max(widths)
        assert min(widths) >= 78


def test_a_short_model_fits_eighty_columns():
    lines = str(mlekit.fit("miltcoup ~ parties", load_africa(), "poisson").summary()).splitlines()
    assert max(map(len, lines)) == 78


def test_notes_are_indented_below_their_number():
    with pytest.warns(ConvergenceWarning):
        fit = mlekit.fit("y ~ x", {"y": [0, 0, 0, 1, 1, 1], "x": [1, 2, 3, 4, 5, 6]}, "bernoulli")
    notes = str(fit.summary()).partition("\n\n")[2].splitlines()
    assert len(notes) > 3
    assert all(line.startswith(("[", "    ")) for line in notes)


def test_models_without_coefficients():
    data = {"y": [1.0, 2.0, 4.0]}
    for family in ("poisson", "exponential", "normal"):
        fit = mlekit.fit("y ~ 0", data, family)
        for text in (str(fit.summary()), fit.summary().as_html(), fit.summary().as_latex()):
            assert "maximum likelihood" in text


# ------------------------------------------------------------------------------------------------ what is said


def said(summary):
    return " ".join(str(summary).partition("\n\n")[2].split())


def test_everything_that_a_reader_must_know(awkward):
    notes = said(awkward.summary())
    for note in (
        "[1] Status: converged",
        "Response: y = yes counts as 1, no as 0.",
        "1 row with missing values left out.",
        "rows of weight zero left out.",
        f"Weights are frequencies: {len(awkward.fittedvalues)} rows for {awkward.nobs:.0f} observations.",
        'Left out, a combination of other columns: Q("{~^#$}") = 2*x.',
        "Offset of p: 0.1*x.",
        "Standard errors: observed information; derivatives: hand-written.",
    ):
        assert note in notes
    assert awkward.notes[1] == "Response: y = yes counts as 1, no as 0."


def test_where_there_is_nothing_to_say_nothing_is_said():
    fit = mlekit.fit("miltcoup ~ parties", load_africa(), "poisson")
    assert len(fit.notes) == 2


@pytest.mark.parametrize(
    ("cov_type", "words"),
    [
        ("nonrobust", "observed information"),
        ("eim", "expected information"),
        ("opg", "outer product of gradients"),
        ("HC0", "sandwich, HC0"),
    ],
)
def test_the_kind_of_standard_errors(cov_type, words):
    fit = mlekit.fit("miltcoup ~ parties", load_africa(), "poisson", cov_type=cov_type)
    assert f"Standard errors: {words};" in said(fit.summary())
    assert cells(fit.summary())["Covariance Type:"][0] == cov_type


def test_the_sigma_behind_the_standard_errors():
    data = load_heights()
    assert "use_t=True gives those of ordinary" in said(mlekit.fit("height ~ weight", data).summary())
    for use_t in (True, False):  # the sandwich has no sigma in it
        fit = mlekit.fit("height ~ weight", data, cov_type="HC0", use_t=use_t)
        assert "sigma (" not in said(fit.summary())
        assert "least squares" not in said(fit.summary())


def test_the_kind_of_derivatives():
    data = {"y": np.random.default_rng(1).gumbel(size=50)}
    assert "derivatives: exact (jets)" in said(mlekit.fit("y ~ 1", data, Gumbel).summary())
    assert "derivatives: central differences (about 1e-8)" in said(mlekit.fit("y ~ 1", data, NumericGumbel).summary())


def test_exposures_and_offsets_given_as_arrays():
    data = {"y": [1, 3, 2, 5], "n": [10.0, 20, 30, 40]}
    assert "Exposure (its log is an offset) of mu: n." in said(
        mlekit.fit("y ~ 1", data, "poisson", exposure="n").summary()
    )
    fit = mlekit.fit("y ~ 1", data, "poisson", offset=np.log(data["n"]))
    assert "Offset of mu: given as an array." in said(fit.summary())


def test_weights_that_are_no_counts_are_said_to_be_none():
    data = {"y": [1, 3, 2, 5], "w": [1.5, 2, 1, 1]}
    notes = said(mlekit.fit("y ~ 1", data, "poisson", weights="w").summary())
    assert "Weights are frequencies: 4 rows for 5.500 observations." in notes
    assert "Not all weights are whole numbers: standard errors, tests, AIC and BIC" in notes


def test_a_fit_that_did_not_converge_shouts():
    with pytest.warns(ConvergenceWarning, match="iteration limit"):
        fit = mlekit.fit("miltcoup ~ parties", load_africa(), "poisson", maxiter=1)
    summary = fit.summary()
    assert str(summary).splitlines()[0].strip() == "Poisson maximum likelihood: NOT CONVERGED"
    assert cells(summary)["Converged:"][0] == "NO: see below"
    assert said(summary).startswith("[1] WARNING: not converged: stopped at the iteration limit")
    assert "What to do: raise maxiter" in said(summary)
    for text in (summary.as_html(), summary.as_latex(), summary.as_csv()):
        assert "NOT CONVERGED" in text
        assert "WARNING: not converged" in text


def test_a_perfect_fit_is_called_not_trustworthy():
    with pytest.warns(ConvergenceWarning):
        fit = mlekit.fit("y ~ x", {"y": [1.0, 2, 3, 4], "x": [1, 2, 3, 4]})
    assert "NOT TRUSTWORTHY" in str(fit.summary()).splitlines()[0]


def test_a_null_model_that_is_none_is_said_to_be_none():
    data = {"y": [1.0, 2.5, 0.5], "x": [1.0, 2.0, 3.0]}
    fit = mlekit.fit("y ~ x - 1", data, mlekit.Exponential(rate="identity"))
    assert np.isnan(fit.llnull)
    assert np.isnan(fit.llr)
    assert "LL-Null is not defined: the null model has a parameter outside its domain." in fit.notes


def test_a_family_without_mean_or_deviance():
    data = {"y": np.random.default_rng(1).gumbel(size=50)}
    fit = mlekit.fit("y ~ 1", data, Gumbel)
    found = {row[1]: row[2] for row in cells(fit.summary()).values() if len(row) == 3}
    assert found["Deviance:"] == found["Pearson chi2:"] == "not defined"


# ------------------------------------------------------------------------------------------------ HTML and LaTeX


class Strict(HTMLParser):
    """Collect what a browser shows in each cell, and insist that every tag is closed in its turn."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.cells, self.rows, self.text = [], [], [], ""
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        if tag == "br":
            return
        self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_startendtag(self, tag, attrs):
        assert tag == "br"

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data


def test_html_shows_what_the_text_shows(awkward):
    summary = awkward.summary()
    shown = Strict(summary.as_html())
    rows = {row[0].strip(): [cell.strip() for cell in row[1:]] for row in shown.rows}
    expected = {name: [x.strip() for x in values] for name, values in cells(summary).items() if values}
    for name in awkward.params.index:
        assert rows[name] == expected[name]
    assert {len(row) for row in shown.rows} == {4, 7}
    for note in awkward.notes:
        assert note in shown.text
    assert summary._repr_html_() == summary.as_html()


def test_html_of_the_names_is_escaped(awkward):
    text = awkward.summary().as_html()
    assert 'Q("z_%&amp;&lt;")' in text
    assert "C(g)[T.c_d]" in text
    assert "I(x &lt; 0.2)[T.True]" in text


def test_latex_is_well_formed(awkward):
    text = awkward.summary().as_latex()
    stack = []
    for kind, name in re.findall(r"\\(begin|end)\{(\w+)\}", text):
        if kind == "begin":
            stack.append(name)
        else:
            assert stack.pop() == name
    assert not stack
    for columns, body in re.findall(r"\\begin\{tabular\}\{(\w+)\}(.*?)\\end\{tabular\}", text, flags=re.DOTALL):
        rows = [row for row in re.split(r"\\\\\s*\n", body) if "&" in row]
        assert rows
        assert {len(re.findall(r"(?<!\\)&", row)) for row in rows} == {len(columns) - 1}
    shown = re.sub(r"^%.*$", "", text, flags=re.MULTILINE)
    assert depth(shown) == 0
    outside = re.sub(r"\\begin\{tabular\}.*?\\end\{tabular\}", "", shown, flags=re.DOTALL)
    assert not re.search(r"(?<!\\)[#$%&_^~<>|]", outside)
    inside = re.sub(r"(?<!\\)&", "", shown)
    assert not re.search(r"(?<!\\)[#$%&_^~<>|]", inside)


def depth(text):
    level = 0
    for brace in re.findall(r"(?<!\\)[{}]", text):
        level += 1 if brace == "{" else -1
        assert level >= 0
    return level


def test_latex_of_the_names_can_be_read_back(awkward):
    text = awkward.summary().as_latex()
    assert r"C(g)[T.c\_d]" in text
    assert r'Q("z\_\%\&\textless{}")' in text
    assert r'Q("\{\textasciitilde{}\textasciicircum{}\#\$\}") = 2*x' in text
    assert awkward.summary()._repr_latex_() == text


def test_csv_keeps_its_columns(awkward):
    rows = list(csv.reader(io.StringIO(awkward.summary().as_csv())))
    assert [len(row) for row in rows if row and row[0] in awkward.params.index] == [7] * len(awkward.params)
    assert [len(row) for row in rows if row[0] == "Date:"] == [4]  # there is a comma in a date


def test_notes_can_be_replaced(africa):
    summary = africa.summary()
    summary.add_extra_txt(["a < b"])
    assert str(summary).endswith("\n\na < b")
    assert summary.as_html().endswith("a &lt; b")


def test_nothing_warns(awkward):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        summary = awkward.summary()
        assert str(summary)
        assert repr(summary)
