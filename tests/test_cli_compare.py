"""The command line: comparisons of methods."""

import pytest

from tests.command import AFRICA, POISSON, SEPARATED, strictly
from tests.reference import load

# ------------------------------------------------------------------------------------------------ compare


def test_compare(run):
    status, out, err = run("compare", AFRICA, *POISSON)
    assert (status, err) == (0, "")
    table, coefficients = out.split("Coefficients\n")
    assert table.startswith(f"{AFRICA}\nPoisson, links log(mu), 36 observations; best estimate by ")
    for method in ("newton", "fisher", "bfgs", "l-bfgs-b", "nelder-mead"):
        assert f"\n{method} " in table
        assert method in coefficients
    assert coefficients.splitlines()[2].startswith("parties")


def test_compare_as_json(run):
    status, out, err = run("compare", AFRICA, *POISSON, "--methods", "Newton, bfgs,", "--json")
    assert (status, err) == (0, "")
    found = strictly(out)
    assert (found["formula"], found["family"], found["best"]) == (AFRICA, "poisson", "newton")
    assert list(found["methods"]) == ["newton", "bfgs"]
    expected = load("africa_poisson_parties").expected
    newton, bfgs = found["methods"].values()
    assert newton["params"] == pytest.approx(expected["params"], rel=1e-8)
    assert newton["bse"] == pytest.approx(expected["bse"], rel=1e-8)
    assert newton["distance"] == 0
    assert 0 < bfgs["distance"] < 1e-4
    assert bfgs["converged"] is True
    assert bfgs["evaluations"] > bfgs["iterations"] > 0


def test_compare_takes_the_model_s_options(run):
    options = ("--link", "mu=sqrt", "--weights", "numregim", "--methods", "newton", "--json")
    status, out, _ = run("compare", AFRICA, *POISSON, *options)
    _, fitted, _ = run("fit", AFRICA, *POISSON, *options[:4], "--json")
    assert status == 0
    assert strictly(out)["methods"]["newton"]["params"] == strictly(fitted)["params"]


def test_compare_without_coefficients(run):
    status, out, err = run("compare", "height ~ 0", "--data", "heights", "--methods", "newton")
    assert (status, err) == (0, "")
    assert "sigma_Intercept" in out


@pytest.mark.parametrize(("name", "begins"), [("traces.png", b"\x89PNG"), ("traces.pdf", b"%PDF")])
def test_plot(run, tmp_path, name, begins):
    path = tmp_path / name
    status, out, err = run("compare", AFRICA, *POISSON, "--methods", "newton,bfgs", "--plot", path)
    assert (status, err) == (0, "")
    assert "Coefficients" in out
    assert path.read_bytes().startswith(begins)


@pytest.mark.parametrize(
    ("name", "text"),
    [("no/folder.png", "No such file or directory"), ("a.xyz", "Format 'xyz' is not supported")],
)
def test_a_plot_that_cannot_be_written_comes_after_the_table(run, tmp_path, name, text):
    status, out, err = run("compare", AFRICA, *POISSON, "--methods", "newton", "--plot", tmp_path / name)
    assert status == 1
    assert "Coefficients" in out
    assert err.startswith("mlekit: error: ")
    assert text in err


def test_compare_fails_only_if_no_method_converges(run, tmp_path):
    path = tmp_path / "separated.csv"
    path.write_text(SEPARATED)
    command = ("compare", "y ~ x", "--data", path, "--family", "bernoulli", "--methods", "newton,bfgs")
    status, out, err = run(*command)
    assert status == 3
    assert "infinite" in out
    assert err.startswith("mlekit: warning: no method converged; ")
    assert err.count("\n") == 1
    status, out, _ = run(*command, "--json")
    assert status == 3
    assert not any(fit["converged"] for fit in strictly(out)["methods"].values())
