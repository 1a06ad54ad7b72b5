"""The command line: what is refused, its help, and its process."""

import io
import subprocess
import sys

import pandas as pd
import pytest

import mlekit
from mlekit import cli, datasets
from mlekit.covariance import COVARIANCES
from mlekit.families import FAMILIES
from mlekit.optimize import METHODS
from tests.command import AFRICA, COLUMNS, POISSON, SEPARATED, fails, process, strictly, write

# ------------------------------------------------------------------------------------------------ errors


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
    assert done.stderr.startswith("mlekit: warning: no finite estimate")


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
