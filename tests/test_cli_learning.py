"""The command line: training and cross-validation."""

import pandas as pd
import pytest

import mlekit
from mlekit import datasets
from mlekit.losses import LOSSES
from mlekit.optimize.descent import RULES
from mlekit.scoring import SCORES
from tests.command import AFRICA, POISSON, SEPARATED, fails, strictly
from tests.reference import load

HEIGHTS = ("height ~ 0 + weight", "--data", "heights")


@pytest.fixture
def record(run):
    """Run with --json, check that it went well, and read the JSON."""

    def command(*argv):
        status, out, err = run(*argv, "--json")
        assert (status, err) == (0, "")
        return strictly(out)

    return command


# ------------------------------------------------------------------------------------------------ train


def test_the_path_of_gradient_descent(record, tmp_path):
    exact = load("heights_gradient_descent").expected["runs"]["lr=0.0001"]
    betas = exact["mean_squared_error (grad=-2/n*sum x(y-bx))"]["beta_after"]
    path = tmp_path / "shifted.csv"  # from 0.1 is from 0 with the response less 0.1 x
    heights = datasets.load_heights()
    heights.assign(height=heights.height - 0.1 * heights.weight).to_csv(path, index=False)
    found = record("train", "height ~ 0 + weight", "--data", path, "--lr", "1e-4", "--epochs", 3)
    assert [0.1 + b for b in found["history"]["weight"]] == pytest.approx(betas[1:], rel=1e-12)
    assert found["status"] == "FINISHED"
    assert found["nobs"] == 4


def test_a_training_as_text(run):
    status, out, err = run("train", *HEIGHTS, "--lr", "0.0001", "--epochs", "100")
    assert (status, err) == (0, "")
    assert "3.01436" in out
    assert "gd, lr = 0.0001, 100 epochs; 4 rows" in out


def test_a_training_by_the_likelihood_of_a_family_ends_at_its_fit(record):
    formula = "miltcoup ~ standardize(parties)"
    found = record("train", formula, *POISSON, "--lr", "0.5", "--epochs", "2000")
    fit = record("fit", formula, *POISSON)
    assert found["params"] == pytest.approx(fit["params"], rel=1e-7)
    assert found["loss"] == "NegativeLogLikelihood(Poisson())"


def test_options_of_a_training(record):
    options = ("--optimizer", "sgd", "--lr", "1e-5", "--batch-size", "2", "--momentum", "0.5", "--seed", "4")
    found = record("train", *HEIGHTS, *options, "--epochs", "20")
    ours = mlekit.train(
        HEIGHTS[0],
        datasets.load_heights(),
        optimizer="sgd",
        lr=1e-5,
        batch_size=2,
        momentum=0.5,
        seed=4,
        epochs=20,
    )
    assert found["params"] == ours.params.to_dict()
    assert (found["seed"], found["batch_size"], found["momentum"]) == (4, 2, 0.5)
    kept = record("train", *HEIGHTS, "--lr", "1e-5", "--optimizer", "sgd", "--batch-size", "2", "--no-shuffle")
    assert kept["seed"] is None


@pytest.mark.parametrize(
    ("loss", "expected"),
    [("mae", "MAE()"), ("huber:1.5", "Huber(delta=1.5)"), ("pinball:0.9", "Pinball(q=0.9)"), ("RMSE", "RMSE()")],
)
def test_losses_by_name_and_number(record, loss, expected):
    assert record("train", *HEIGHTS, "--loss", loss, "--lr", "1e-6")["loss"] == expected


def test_a_parameter_held_fixed(record):
    found = record("train", *HEIGHTS, "--family", "normal", "--hold", "sigma=10", "--lr", "1e-2")
    assert found["loss"] == "NegativeLogLikelihood(Normal(), sigma=10.0)"
    assert set(found["params"]) == {"weight"}
    mse = record("train", *HEIGHTS, "--lr", repr(1e-2 / 200))
    assert found["params"] == pytest.approx(mse["params"], rel=1e-10)


@pytest.mark.parametrize("loss", [(), ("--loss", "nll")], ids=["family alone", "nll"])
def test_a_family_trains_all_its_parameters(record, loss):
    found = record("train", *HEIGHTS, "--family", "normal", *loss, "--lr", "1e-5", "--epochs", "20")
    same = mlekit.train("height ~ 0 + weight", datasets.load_heights(), family="normal", lr=1e-5, epochs=20)
    assert found["params"] == pytest.approx(same.params.to_dict(), rel=1e-12)
    assert set(found["params"]) == {"weight", "sigma_Intercept"}


def test_divergence_is_not_converged(run):
    status, out, err = run("train", *HEIGHTS, "--epochs", "300")
    assert status == 3
    assert "diverged" in out
    assert err.startswith("mlekit: warning: diverged: the loss grew")
    assert "0.000343968" in err
    assert len(err.splitlines()) == 1


def test_a_tolerance_that_is_not_reached_is_not_converged(run):
    near = (*HEIGHTS, "--lr", "0.0001", "--tol", "1e-6")
    assert run("train", *near)[0] == 0
    status, _, err = run("train", *near, "--epochs", "2")
    assert status == 3
    assert err.startswith("mlekit: warning: ")


# ------------------------------------------------------------------------------------------------ cv


def test_cross_validation(record):
    found = record("cv", AFRICA, *POISSON, "--loss", "mse,log_score,huber:2", "--k", "4", "--seed", "3")
    ours = mlekit.cross_validate(
        AFRICA,
        datasets.load_africa(),
        "poisson",
        k=4,
        seed=3,
        loss=["mse", "log_score", mlekit.losses.Huber(2.0)],
    )
    assert found["mean"] == ours.mean.to_dict()
    assert pd.DataFrame(found["scores"])["mse"].tolist() == ours.scores["mse"].tolist()
    assert found["better"] == {"mse": "smaller", "log_score": "larger", "huber": "smaller"}


def test_cross_validation_as_text(run):
    status, out, err = run("cv", AFRICA, *POISSON, "--groups", "pollib", "--k", "2", "--loss", "mae")
    assert (status, err) == (0, "")
    assert "fold 2" in out
    assert "mae: smaller is better" in out


def test_stratified_folds(record, tmp_path):
    path = tmp_path / "few.csv"
    pd.DataFrame({"y": [0, 1] * 10, "g": list("aabb") * 5, "x": range(20)}).to_csv(path, index=False)
    for option in (("--stratify",), ("--stratify", "g")):
        found = record("cv", "y ~ x", "--data", path, "--family", "bernoulli", "--loss", "cross_entropy", *option)
        assert [score["rows"] for score in found["scores"]] == [4] * 5


def test_a_fold_that_does_not_converge(run, tmp_path):
    path = tmp_path / "separated.csv"
    path.write_text(SEPARATED)
    status, out, err = run("cv", "y ~ x", "--data", path, "--family", "bernoulli", "--k", "3", "--no-shuffle")
    assert status == 3
    assert "WARNING" in out
    assert err.startswith("mlekit: warning: ")


# ------------------------------------------------------------------------------------------------ both


@pytest.mark.parametrize("command", [("train", *HEIGHTS, "--lr", "1e-4"), ("cv", AFRICA, *POISSON)], ids=lambda c: c[0])
def test_figures(run, tmp_path, command):
    path = tmp_path / "figure.svg"
    status, out, err = run(*command, "--plot", path)
    assert (status, err) == (0, "")
    assert out
    assert path.read_text().startswith("<?xml")


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        (("train", *HEIGHTS, "--loss", "mean"), f"the losses are {', '.join(LOSSES)}"),
        (("train", *HEIGHTS, "--loss", "huber:wide"), "--loss huber: 'wide' is not a number"),
        (("train", *HEIGHTS, "--loss", "mse:2"), "--loss mse takes no number"),
        (("train", *HEIGHTS, "--loss", "pinball:2"), "q of the pinball loss"),
        (("train", *HEIGHTS, "--lr", "-1"), "--lr: must be a positive number"),
        (("train", *HEIGHTS, "--optimizer", "lbfgs"), f"the optimizers are {', '.join(RULES)}"),
        (("train", *HEIGHTS, "--hold", "sigma=10"), "--hold needs the --family"),
        (
            ("cv", *HEIGHTS, "--loss", "log_scor"),
            "unknown loss 'log_scor': the losses are mse, rmse",
        ),
        (("train", *HEIGHTS, "--family", "normal", "--hold", "sigma"), "sigma: write NAME=NUMBER"),
        (("train", *HEIGHTS, "--family", "normal", "--hold", "tau=1"), "Normal"),
        (("train", *HEIGHTS, "--weights", "weight"), "unrecognized arguments: --weights"),
        (("train", *HEIGHTS, "--batch-size", "2"), "batch"),
        (("train", *HEIGHTS, "--momentum", "1"), "momentum"),
        (("cv", AFRICA, *POISSON, "--loss", "mse,best"), "the losses are"),
        (("cv", AFRICA, *POISSON, "--loss", ","), "--loss: needs at least one loss"),
        (("cv", AFRICA, *POISSON, "--k", "0"), "--k: must be a positive whole number"),
    ],
)
def test_wrong_commands(run, argv, text):
    status, out, err = run(*argv)
    assert (status, out) == (2, "")
    assert text in err.split("mlekit: error: ")[1]


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        (("train", *HEIGHTS, "--optimizer", "sgd", "--batch-size", "50"), "4 rows"),
        (("train", "miltcoup ~ partys", "--data", "africa"), "'partys' is neither a column"),
        (("train", "miltcoup ~ args", "--data", "africa"), "'args' is neither a column"),
        (("cv", AFRICA, *POISSON, "--k", "40"), "36"),
        (("cv", AFRICA, *POISSON, "--groups", "country_"), "country_"),
        (("cv", "miltcoup ~ args", *POISSON), "'args' is neither a column"),
    ],
)
def test_what_does_not_fit_the_data(run, argv, text):
    command, *rest = argv
    assert text in fails(run, *rest, command=command)


@pytest.mark.parametrize("command", ["train", "cv"])
def test_help_names_all_there_is(run, command):
    status, out, err = run(command, "--help")
    assert (status, err) == (0, "")
    words = set(out.replace(",", " ").replace(";", " ").replace(":", " ").split())
    assert words >= set(LOSSES)
    assert words >= set(RULES if command == "train" else SCORES)
    assert all(len(line) <= 100 for line in out.splitlines())
