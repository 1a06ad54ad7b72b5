import io
import json
import subprocess
import sys
import warnings

import numpy as np
import pandas as pd
import pytest

import mlekit
from mlekit import cli, datasets
from mlekit.cli import output
from mlekit.covariance import COVARIANCES
from mlekit.families import FAMILIES
from mlekit.optimize import METHODS
from tests.reference import load

AFRICA = "miltcoup ~ parties"
SEPARATED = "y,x\n0,1\n0,2\n0,3\n1,4\n1,5\n1,6\n"
POISSON = ("--data", "africa", "--family", "poisson")
COLUMNS = ", ".join(datasets.load_africa().columns)


@pytest.fixture
def run(capsys):
    """Run a command in this process: exit status, standard output, standard error."""

    def command(*argv):
        try:
            status = cli.main([str(arg) for arg in argv])
        except SystemExit as end:
            status = end.code
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return status, out, err

    return command


@pytest.fixture
def fit_json(run):
    """Fit with --json, check that it went well, and read the JSON as strictly as its standard."""

    def command(*argv):
        status, out, err = run("fit", *argv, "--json")
        assert (status, err) == (0, "")
        return strictly(out)

    return command


def strictly(text):
    def refuse(token):
        raise AssertionError(f"{token} is not JSON")

    return json.loads(text, parse_constant=refuse)


def process(*argv, **options):
    command = [sys.executable, "-W", "error", "-m", "mlekit", *argv]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, **options)


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


def write(frame, path):
    if path.name.endswith(".parquet"):
        frame.to_parquet(path)
    else:
        frame.to_csv(path, index=False, sep="\t" if ".tsv" in path.name.lower() else ",")


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
    assert err.startswith("mlekit: warning: not converged: ")
    assert ".py" not in err
    assert err.count("\n") == 1
    status, out, _ = run("fit", "y ~ x", "--data", path, "--family", "bernoulli", "--json")
    found = strictly(out)
    assert (status, found["converged"], found["status"]) == (3, False, "DIVERGING")
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
    assert "diverging" in out
    assert err.startswith("mlekit: warning: no method converged; ")
    assert err.count("\n") == 1
    status, out, _ = run(*command, "--json")
    assert status == 3
    assert not any(fit["converged"] for fit in strictly(out)["methods"].values())


# ------------------------------------------------------------------------------------------------ errors


def fails(run, *argv, command="fit"):
    status, out, err = run(command, *argv)
    assert (status, out) == (1, "")
    assert err.startswith("mlekit: error: ")
    return err.removeprefix("mlekit: error: ")


@pytest.mark.parametrize("command", ["fit", "compare"])
@pytest.mark.parametrize(
    ("formula", "name"),
    [("coups ~ parties", "coups"), ("miltcoup ~ partys", "partys"), ("miltcoup ~ log(partys)", "partys")],
)
def test_an_unknown_column_lists_the_columns(run, command, formula, name):
    text = fails(run, formula, *POISSON, command=command)
    assert text.startswith(f"{name!r} is neither a column of the data nor ")
    assert COLUMNS in text


@pytest.mark.parametrize("option", ["--weights", "--offset", "--exposure"])
def test_an_unknown_column_in_an_option_lists_the_columns(run, option):
    text = fails(run, AFRICA, *POISSON, option, "people")
    assert text.startswith("'people' is neither a column of the data nor ")
    assert COLUMNS in text


# What the program's own frames and modules hold: none of it is a variable of a formula.
@pytest.mark.parametrize("command", ["fit", "compare"])
@pytest.mark.parametrize("name", ["sys", "args", "data", "formula", "compare", "json", "_FAILED", "known"])
def test_formulas_see_no_variable_of_the_program(run, command, name):
    text = fails(run, f"miltcoup ~ {name}", *POISSON, command=command)
    assert text.startswith(f"{name!r} is neither a column")


@pytest.mark.parametrize(
    ("formula", "text"),
    [
        ("~ parties", "needs one response"),
        ("", "needs one response"),
        ("miltcoup ~ (", "cannot read the formula"),
        ("country ~ parties", "text or categorical"),
        ("I(miltcoup - 3) ~ parties", "I(miltcoup - 3) is -1 in row 2"),
    ],
)
def test_models_that_do_not_fit_the_data(run, formula, text):
    assert text in fails(run, formula, *POISSON)


def test_an_infinite_value(run, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("y,x\n1,2\n3,inf\n2,1\n"))
    assert fails(run, "y ~ x", "--data", "-").startswith("x is inf in row 1: ")


def test_weights_that_are_negative(run):
    assert "weights must be finite and not negative" in fails(run, AFRICA, *POISSON, "--weights=-parties")


def test_a_method_that_cannot_fit_the_model(run):
    assert "no closed form" in fails(run, AFRICA, *POISSON, "--method", "closed_form")
    assert "no closed form" in fails(run, AFRICA, *POISSON, "--methods", "closed_form", command="compare")


@pytest.mark.parametrize("name", ["afrika", "missing.csv", "africa.xlsx", "dir/x.parquet"])
def test_neither_a_data_set_nor_a_file(run, name):
    text = fails(run, AFRICA, "--data", name)
    known = ", ".join(datasets.names())
    assert text == f"{name!r} is neither a file nor one of the data sets that come with mlekit: {known}\n"


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("empty.csv", b"", "it is empty"),
        ("header.csv", b"y,x\n", "there are no rows (the columns are y, x)"),
        ("latin.csv", "y,x\n1,caf\u00e9\n".encode("latin-1"), "not text in UTF-8"),
        ("ragged.csv", b"y,x\n1,2\n1,2,3,4\n", "line 3"),
        ("broken.parquet", b"y,x\n1,2\n", "Parquet"),
        ("broken.csv.gz", b"y,x\n1,2\n", "gzip"),
        ("cut.csv.gz", b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff", "end-of-stream"),
        ("sheet.xlsx", b"PK", "mlekit reads .csv, .tsv (both also .gz) and .parquet"),
    ],
)
def test_files_that_cannot_be_read(run, tmp_path, name, content, text):
    path = tmp_path / name
    path.write_bytes(content)
    message = fails(run, "y ~ x", "--data", path)
    assert str(path) in message
    assert text in message


def test_a_folder(run, tmp_path):
    assert fails(run, "y ~ x", "--data", tmp_path) == f"cannot read {tmp_path}: Is a directory\n"


def test_nothing_on_standard_input(run, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    assert fails(run, "y ~ x", "--data", "-") == "cannot read standard input: it is empty\n"


def test_parquet_without_pyarrow(run, tmp_path, monkeypatch):
    path = tmp_path / "a.parquet"
    write(datasets.load_africa(), path)

    def lacking(*_, **__):
        raise ImportError("Unable to find a usable engine")

    monkeypatch.setattr(pd, "read_parquet", lacking)
    text = fails(run, AFRICA, "--data", path)
    assert text == f"cannot read {path}: .parquet files need pyarrow: pip install pyarrow\n"


def test_plot_without_matplotlib(run, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    status, out, err = run("compare", AFRICA, *POISSON, "--methods", "newton", "--plot", tmp_path / "a.png")
    assert status == 1
    assert "Coefficients" in out
    assert err == 'mlekit: error: plots need matplotlib: pip install "mlekit[plot]"\n'


def test_an_error_that_mlekit_does_not_expect(run, monkeypatch):
    def broken(source):
        raise KeyError("lost")

    monkeypatch.setattr(cli, "table", broken)
    text = fails(run, AFRICA, *POISSON)
    assert text == "unexpected KeyError: 'lost' (--traceback shows where it arose; please report it)\n"
    with pytest.raises(KeyError):
        cli.main(["fit", AFRICA, *POISSON, "--traceback"])


def test_traceback(run):
    with pytest.raises(FileNotFoundError, match="neither a file nor one of"):
        cli.main(["fit", AFRICA, "--data", "nowhere.csv", "--traceback"])


def test_interrupted(run, monkeypatch):
    def interrupted(source):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "table", interrupted)
    assert run("fit", AFRICA, *POISSON) == (130, "", "")


# ------------------------------------------------------------------------------------------------ usage


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        ((), "COMMAND"),
        (("fits",), "invalid choice: 'fits'"),
        (("fit",), "FORMULA, --data"),
        (("fit", AFRICA), "--data"),
        (("fit", AFRICA, *POISSON, "--maxiter", "0"), "--maxiter: must be a positive whole number, not '0'"),
        (("fit", AFRICA, *POISSON, "--maxiter", "2.5"), "--maxiter: must be a positive whole number"),
        (("fit", AFRICA, *POISSON, "--tol", "nan"), "--tol: must be a positive number, not 'nan'"),
        (("fit", AFRICA, *POISSON, "--tol", "inf"), "--tol: must be a positive number"),
        (("fit", AFRICA, *POISSON, "--tol", "small"), "--tol: must be a positive number"),
        (("fit", AFRICA, *POISSON, "--missing", "fill"), "invalid choice: 'fill'"),
        (("fit", AFRICA, *POISSON, "--meth", "bfgs"), "unrecognized arguments: --meth bfgs"),
        (("fit", AFRICA, *POISSON, "--family", "poison"), f"the families are {', '.join(FAMILIES)}"),
        (
            ("fit", AFRICA, *POISSON, "--method", "bgfs"),
            f"the methods are auto, closed_form, {', '.join(METHODS)}",
        ),
        (("fit", AFRICA, *POISSON, "--cov-type", "HC9"), f"the covariances are {', '.join(COVARIANCES)}"),
        (("fit", AFRICA, *POISSON, "--link", "mu=loog"), "unknown link 'loog'"),
        (("fit", AFRICA, *POISSON, "--link", "mu=logit"), "does not suit Poisson's mu"),
        (("fit", AFRICA, *POISSON, "--link", "nu=log"), "Poisson has no parameter nu"),
        (("compare", AFRICA, *POISSON, "--methods", "newton,bgfs"), "unknown method 'bgfs'"),
        (("compare", AFRICA, *POISSON, "--methods", ","), "--methods: needs at least one method"),
        (("compare", AFRICA, *POISSON, "--method", "bfgs"), "unrecognized arguments: --method bfgs"),
    ],
)
def test_wrong_commands(run, argv, text):
    status, out, err = run(*argv)
    assert (status, out) == (2, "")
    usage, message = err.split("mlekit: error: ")
    assert usage.startswith("usage: mlekit")
    assert text in message


def test_names_are_checked_before_the_data_are_read(run):
    status, _, err = run("fit", AFRICA, "--data", "nowhere.csv", "--family", "poison")
    assert status == 2
    assert "nowhere" not in err


@pytest.mark.parametrize("command", ["fit", "compare"])
def test_help_names_all_there_is(run, command):
    status, out, err = run(command, "--help")
    assert (status, err) == (0, "")
    words = set(out.replace(",", " ").replace(";", " ").replace("(", " ").replace(")", " ").split())
    assert words >= {*FAMILIES, *METHODS, "auto", "closed_form", *datasets.names()}
    assert command == "compare" or words >= set(COVARIANCES)
    assert "exit status:" in out
    assert '"Infinity"' in out
    assert all(len(line) <= 100 for line in out.splitlines())


def test_help_and_version(run):
    status, out, _ = run("--help")
    assert status == 0
    assert "fit a model" in out
    assert "exit status:" in out
    assert run("--version") == (0, f"mlekit {mlekit.__version__}\n", "")


def test_nothing_slow_is_imported_with_the_command_line():
    code = "import sys, mlekit.cli; print([m for m in ('numpy', 'pandas', 'statsmodels') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


# ------------------------------------------------------------------------------------------------ processes


def test_as_a_module():
    done = process("fit", AFRICA, *POISSON, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert strictly(done.stdout)["converged"] is True


def test_standard_input_of_a_process():
    done = process("fit", "y ~ x", "--data", "-", "--family", "bernoulli", input=SEPARATED)
    assert done.returncode == 3
    assert "Bernoulli maximum likelihood" in done.stdout
    assert done.stderr.startswith("mlekit: warning: not converged")


def test_an_error_of_a_process():
    done = process("fit", AFRICA, "--data", "nowhere.csv")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("mlekit: error: 'nowhere.csv' is neither a file nor one of")


@pytest.mark.parametrize("argv", [("fit", AFRICA, *POISSON), ("fit", "--help"), ("--version",)])
def test_a_reader_that_went_away(argv, monkeypatch):
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    command = [sys.executable, "-m", "mlekit", *argv]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        running.stdout.close()
        assert running.stderr.read() == b""
        assert running.wait(120) == 141
