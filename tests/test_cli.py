"""The command line: fits, data and warnings."""

import io
import sys
import warnings

import numpy as np
import pandas as pd
import pytest

import mlekit
from mlekit import datasets
from mlekit.cli import output
from tests.command import AFRICA, POISSON, SEPARATED, strictly, write
from tests.reference import load

# ------------------------------------------------------------------------------------------------ fit


def test_the_example_of_the_readme(run):
    status, out, err = run("fit", AFRICA, *POISSON)
    assert (status, err) == (0, "")
    assert "Poisson maximum likelihood" in out
    assert "parties        0.0229      0.009      2.558      0.011       0.005       0.040" in out
    assert out.endswith("\n")


def test_json_has_the_numbers_of_the_reference(fit_json):
    found = fit_json(AFRICA, *POISSON)
    expected = load("africa_poisson_parties").expected
    for ours, theirs in [
        ("params", "params"),
        ("bse", "bse_observed"),
        ("tvalues", "zvalues"),
        ("pvalues", "pvalues"),
        ("conf_int", "confint_wald_95"),
    ]:
        assert list(found[ours]) == ["Intercept", "parties"]
        for name, value in found[ours].items():
            np.testing.assert_allclose(value, expected[theirs][name], rtol=1e-8)
    for name in ("llf", "aic", "bic", "deviance", "nobs", "df_resid"):
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-10)


@pytest.mark.parametrize("kind", ["cluster", "CR2", "jackknife"])
def test_clusters_are_those_of_the_package(fit_json, kind):
    res = mlekit.fit(AFRICA, datasets.load_africa(), "poisson").with_cov(kind, groups="pollib")
    found = fit_json(AFRICA, *POISSON, "--cov-type", kind, "--groups", "pollib")
    assert found["cov_type"] == kind
    assert found["bse"] == pytest.approx(res.bse.to_dict(), rel=1e-12)


def test_profile_intervals_are_those_of_the_reference(fit_json, run):
    found = fit_json(AFRICA, *POISSON, "--ci", "profile")
    expected = load("africa_poisson_parties").expected["confint_profile_95"]
    assert found["ci"] == "profile"
    for name, ends in found["conf_int"].items():
        np.testing.assert_allclose(ends, expected[name], rtol=1e-7)
    status, out, err = run("fit", AFRICA, *POISSON, "--ci", "profile")
    assert (status, err) == (0, "")
    low, high = expected["parties"]
    assert "95 % intervals by profile likelihood\n" in out
    assert f"{low:.6g} {high:.6g}" in " ".join(out.split())


def test_resamples_have_a_seed(fit_json, run):
    res = mlekit.fit(AFRICA, datasets.load_africa(), "poisson")
    found = fit_json(AFRICA, *POISSON, "--ci", "bootstrap", "--seed", "3")
    ends = res.conf_int(method="bootstrap", seed=3)
    assert found["conf_int"] == {name: pytest.approx(row, rel=1e-12) for name, *row in ends.itertuples()}
    found = fit_json(AFRICA, *POISSON, "--cov-type", "bootstrap", "--groups", "pollib", "--seed", "3")
    bse = res.with_cov("bootstrap", groups="pollib", seed=3).bse
    assert found["bse"] == pytest.approx(bse.to_dict(), rel=1e-12)
    drawn = fit_json(AFRICA, *POISSON, "--cov-type", "bootstrap")
    again = fit_json(AFRICA, *POISSON, "--cov-type", "bootstrap", "--seed", str(drawn["seed"]))
    assert again["bse"] == drawn["bse"]
    _, out, _ = run("fit", AFRICA, *POISSON, "--ci", "bootstrap", "--seed", "3")
    assert out.endswith("Seed of the resamples: 3\n")
    for argv, message in (
        (("--seed", "3"), "--seed goes with --ci bootstrap or --cov-type bootstrap"),
        (("--ci", "bootstrap", "--seed", "-3"), "argument --seed: must be a whole number, 0 or more, not '-3'"),
        (("--ci", "bootstrap", "--groups", "pollib,country"), "draws the clusters of one column"),
        (("--ci", "exact"), "argument --ci: invalid choice: 'exact'"),
    ):
        status, out, err = run("fit", AFRICA, *POISSON, *argv)
        assert (status, out) == (2, "")
        assert message in err


def test_what_is_no_maximum_has_no_such_intervals(run, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO(SEPARATED))
    status, out, err = run("fit", "y ~ x", "--data", "-", "--family", "bernoulli", "--ci", "profile", "--json")
    assert status == 3
    assert strictly(out)["conf_int"] is None
    assert "warning: no intervals by profile: they need the maximum of the likelihood" in err


def test_json_says_what_was_fitted(fit_json):
    found = fit_json(AFRICA, *POISSON)
    assert {key: found[key] for key in ("formula", "family", "links", "method", "cov_type", "use_t")} == {
        "formula": AFRICA,
        "family": "poisson",
        "links": {"mu": "log"},
        "method": "newton",
        "cov_type": "nonrobust",
        "use_t": False,
    }
    assert found["version"] == mlekit.__version__
    assert (found["status"], found["converged"]) == ("CONVERGED", True)
    assert found["reason"].startswith("converged: ")
    assert (found["missing_rows"], found["zero_weight_rows"], found["aliased"]) == (0, 0, {})


def test_options_reach_the_fit(fit_json):
    found = fit_json(
        AFRICA, *POISSON, "--method", "BFGS", "--cov-type", "hc0", "--maxiter", 500, "--tol", 1e-8, "--use-t"
    )
    assert (found["method"], found["cov_type"], found["use_t"]) == ("bfgs", "HC0", True)
    robust = load("africa_poisson_parties").expected["robust"]["HC0"]["bse"]
    np.testing.assert_allclose(found["bse"]["parties"], robust["parties"], rtol=1e-5)


def test_bias_reduction(fit_json):
    found = fit_json(AFRICA, *POISSON, "--bias-reduction")
    reduced = mlekit.fit(AFRICA, datasets.load_africa(), "poisson", bias_reduction=True)
    assert found["params"] == reduced.params.to_dict()
    assert found["params"]["parties"] != mlekit.fit(AFRICA, datasets.load_africa(), "poisson").params["parties"]


@pytest.mark.parametrize("link", ["mu=sqrt", "sqrt", " mu = sqrt "])
def test_links(fit_json, link):
    reference = load("africa_poisson_sqrt")
    found = fit_json(reference.formula, *POISSON, "--link", link)
    assert found["links"] == {"mu": "sqrt"}
    assert found["params"] == pytest.approx(reference.expected["params"], rel=1e-8)


def test_links_of_two_parameters(fit_json):
    found = fit_json("weight ~ height", "--data", "heights", "--link", "mu=log", "--link", "sigma=softplus")
    assert found["links"] == {"mu": "log", "sigma": "softplus"}


def test_parameters_on_their_own_scale(fit_json):
    found = fit_json("height ~ weight", "--data", "heights", "--family", "Normal")
    assert (found["family"], found["method"], found["status"]) == ("normal", "closed_form", "CLOSED_FORM")
    sigma = found["distribution"]["sigma"]
    assert sigma["estimate"] == pytest.approx(np.exp(found["params"]["sigma_Intercept"]), rel=1e-12)


@pytest.mark.parametrize(
    ("case", "option", "expression"),
    [
        ("insurance_poisson_offset", "--offset", "log(Holders)"),
        ("insurance_poisson_offset", "--exposure", "Holders"),
        ("leuk_exponential_freq", "--weights", "fw"),
    ],
)
def test_expressions(fit_json, tmp_path, case, option, expression):
    reference = load(case)
    reference.frame.to_parquet(tmp_path / "data.parquet")
    model = (reference.formula, "--data", tmp_path / "data.parquet", "--family", reference.family)
    found = fit_json(*model, option, expression)
    assert found["params"] == pytest.approx(reference.expected["params"], rel=1e-8)


def test_an_expression_that_begins_with_a_dash(fit_json):
    plain = fit_json(AFRICA, *POISSON, "--offset", "log(popn)")
    minus = fit_json(AFRICA, *POISSON, "--offset=-log(1 / popn)")
    assert minus["params"] == pytest.approx(plain["params"], rel=1e-9)


# ------------------------------------------------------------------------------------------------ data


@pytest.mark.parametrize(
    "name", ["a.csv", "a.CSV", "a.csv.gz", "a.tsv", "a.tsv.gz", "a.parquet", "no_suffix", "with space.csv"]
)
def test_files(fit_json, tmp_path, name):
    path = tmp_path / name
    write(datasets.load_africa(), path)
    found = fit_json(AFRICA, "--data", path, "--family", "poisson")
    assert found["params"] == fit_json(AFRICA, *POISSON)["params"]


def test_categories_of_parquet_keep_their_order(fit_json, tmp_path):
    frame = pd.DataFrame({"y": [1, 2, 3, 4, 5, 7], "g": pd.Categorical(list("babacc"), categories=list("cab"))})
    frame.to_parquet(tmp_path / "g.parquet")
    found = fit_json("y ~ g", "--data", tmp_path / "g.parquet", "--family", "poisson")
    assert list(found["params"]) == ["Intercept", "g[T.a]", "g[T.b]"]


def test_standard_input(fit_json, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO(datasets.load_africa().to_csv(index=False)))
    found = fit_json(AFRICA, "--data", "-", "--family", "poisson")
    assert found["params"] == fit_json(AFRICA, *POISSON)["params"]


def test_a_byte_order_mark_is_no_part_of_a_name(fit_json, tmp_path):
    path = tmp_path / "bom.csv"
    path.write_text("y,x\n1,2\n3,5\n2,1\n", encoding="utf-8-sig")
    assert list(fit_json("y ~ x", "--data", path, "--family", "poisson")["params"]) == ["Intercept", "x"]


def test_a_data_set_goes_before_a_file_of_its_name(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "africa").write_text("miltcoup,parties\n1,2\n3,5\n2,1\n")
    status, out, err = run("fit", AFRICA, *POISSON)
    assert status == 0
    assert "36" in out
    assert err == "mlekit: warning: africa is the data set that comes with mlekit: for the file write ./africa\n"
    status, out, err = run("fit", AFRICA, "--data", "./africa", "--family", "poisson", "--json")
    assert (status, err, strictly(out)["nobs"]) == (0, "", 3)


# ------------------------------------------------------------------------------------------------ warnings


def test_rows_with_missing_values(run, tmp_path):
    path = tmp_path / "gaps.csv"
    path.write_text("y,x,w\n1,2,1\n,5,1\n2,1,1\n4,,1\n3,3,0\n2,2,2\n")
    command = ("fit", "y ~ x", "--data", path, "--family", "poisson", "--weights", "w")
    status, out, err = run(*command)
    assert (status, err) == (0, "mlekit: warning: 2 of 6 rows have missing values and were left out\n")
    assert "2 rows with missing values left out" in out
    status, out, err = run(*command, "--json")
    assert (strictly(out)["missing_rows"], strictly(out)["zero_weight_rows"]) == (2, 1)
    status, out, err = run(*command, "--missing", "raise")
    assert (status, out) == (1, "")
    assert err.startswith("mlekit: error: 2 of 6 rows have missing values")


def test_collinear_columns(run):
    status, out, err = run("fit", f"{AFRICA} + I(2 * parties)", *POISSON, "--json")
    assert status == 0
    assert err.startswith("mlekit: warning: exactly collinear columns were left out: I(2 * parties) = 2")
    assert err.count("\n") == 1
    found = strictly(out)
    assert list(found["aliased"]) == ["I(2 * parties)"]
    assert list(found["params"]) == ["Intercept", "parties"]


def test_separation_is_not_converged(run, tmp_path):
    path = tmp_path / "separated.csv"
    path.write_text(SEPARATED)
    status, out, err = run("fit", "y ~ x", "--data", path, "--family", "bernoulli")
    assert status == 3
    assert "Bernoulli maximum likelihood" in out
    assert "NO: see below" in out
    assert err.startswith("mlekit: warning: no finite estimate: ")
    assert ".py" not in err
    assert err.count("\n") == 1
    status, out, _ = run("fit", "y ~ x", "--data", path, "--family", "bernoulli", "--json")
    found = strictly(out)
    assert (status, found["converged"], found["status"]) == (3, False, "INFINITE")
    assert found["reason"] in err


def test_iteration_limit_is_not_converged(run):
    status, out, err = run("fit", AFRICA, *POISSON, "--method", "bfgs", "--maxiter", 1)
    assert status == 3
    assert "NO: see below" in out
    assert err.startswith("mlekit: warning: not converged: stopped at the iteration limit")


def test_warnings_are_single_lines_said_once_and_not_for_programmers(capsys):
    with output.warnings_to_stderr():
        for _ in range(2):
            warnings.warn("two\n  lines", RuntimeWarning, stacklevel=1)
            warnings.warn("old", DeprecationWarning, stacklevel=1)
            warnings.warn("soon", FutureWarning, stacklevel=1)
    assert capsys.readouterr() == ("", "mlekit: warning: two lines\n")
