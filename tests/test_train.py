"""Training: PyTorch's numbers after every epoch, exact fractions, and the minima of scikit-learn and statsmodels."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import optimize, special
from sklearn.linear_model import LinearRegression, LogisticRegression, QuantileRegressor
from sklearn.metrics import (
    log_loss,
    mean_absolute_error,
    mean_pinball_loss,
    mean_squared_error,
    root_mean_squared_error,
)

import mlekit
from mlekit import Exponential, Normal, Poisson
from mlekit.losses import Huber, NegativeLogLikelihood, Pinball
from mlekit.trainer import train
from mlekit.training import TrainingStatus
from tests.reference import load
from tests.torch_runs import SCRIPT, deviation, losses, ours

RECORDED = load("torch_trajectories")
HEIGHTS = load("heights_gradient_descent")


def table(n: int = 60, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    x, group = rng.normal(size=n), rng.choice(list("abc"), n)
    return pd.DataFrame(
        {
            "x": x,
            "g": group,
            "y": 1 + 2 * x + rng.normal(size=n),
            "count": rng.poisson(np.exp(0.3 + 0.4 * x)),
            "bit": (rng.random(n) < 1 / (1 + np.exp(-x))).astype(int),
        }
    )


# ------------------------------------------------------------------------------------ PyTorch's and exact numbers


@pytest.mark.parametrize("optimizer", SCRIPT["OPTIMIZERS"])
@pytest.mark.parametrize("loss", SCRIPT["LOSSES"])
def test_every_epoch_is_pytorchs(loss: str, optimizer: str) -> None:
    """Recorded runs, each coefficient to 1e-12; `make test-torch` compares with PyTorch itself."""
    options, run = RECORDED.options, RECORDED.expected["runs"][loss][optimizer]
    how = {key: options[key] for key in ("start", "seed", "epochs")}
    training = ours(RECORDED.frame, loss, optimizer, batch=options["batch_size"], **how)
    assert deviation(training, run["params"], each=True) < 1e-12
    assert training.history["loss"].to_numpy() == pytest.approx(losses(RECORDED.frame, loss, run), rel=1e-12)
    assert training.path[0] == pytest.approx(options["start"], rel=0)
    assert training.params.to_numpy() == pytest.approx(run["params"][-1], rel=1e-12)


@pytest.mark.parametrize("lr", [1e-05, 0.0001])
@pytest.mark.parametrize(
    ("loss", "key"),
    [
        ("mse", "mean_squared_error (grad=-2/n*sum x(y-bx))"),
        (NegativeLogLikelihood("normal", sigma=1.0), "half_mse (grad=-1/n*sum x(y-bx))"),
    ],
)
def test_three_steps_are_exact_fractions(loss: object, key: str, lr: float) -> None:
    run = HEIGHTS.expected["runs"][f"lr={lr:g}" if lr == 1e-05 else f"lr={lr}"][key]
    training = train(HEIGHTS.formula, HEIGHTS.frame, loss, lr=lr, epochs=3, start=[0.1])
    assert training.path[:, 0] == pytest.approx(run["beta_after"], rel=1e-14)
    if loss == "mse":
        assert training.history["loss"].to_numpy() == pytest.approx(run["mse_after"][:3], rel=1e-14)
        assert training.final_loss == pytest.approx(run["mse_after"][3], rel=1e-13)


def test_other_directions_are_exact_fractions() -> None:
    swapped = HEIGHTS.expected["swapped_weight_on_height_mse"]["lr=1e-05"]
    training = train("weight ~ 0 + height", HEIGHTS.frame, lr=1e-05, epochs=3, start=[0.1])
    assert training.path[:, 0] == pytest.approx(swapped, rel=1e-14)
    both = HEIGHTS.expected["with_intercept_from_(0.1,0.1)_mse"]["lr=0.0001"]
    training = train("height ~ weight", HEIGHTS.frame, lr=0.0001, epochs=3, start=[0.1, 0.1])
    assert training.path == pytest.approx(np.array(both), rel=1e-13)


# ------------------------------------------------------------------------------------ where it converges


def test_the_minimum_of_mse_is_scikit_learns() -> None:
    data = table()
    peer = LinearRegression().fit(data[["x"]], data["y"])
    for how in ({"optimizer": "gd", "momentum": 0.5}, {"optimizer": "nesterov", "momentum": 0.5}):
        training = train("y ~ x", data, lr=0.1, epochs=600, **how)
        assert training.params.to_numpy() == pytest.approx([peer.intercept_, *peer.coef_], rel=1e-10)
    new = pd.DataFrame({"x": [0.0, np.nan, 3.0]})
    found = training.predict(new)
    assert found[[0, 2]].to_numpy() == pytest.approx(peer.predict(new.dropna()), rel=1e-10)
    assert np.isnan(found[1])
    assert training.predict().to_numpy() == pytest.approx(peer.predict(data[["x"]]), rel=1e-10)


def test_the_minimum_of_the_cross_entropy_is_scikit_learns() -> None:
    data = table()
    peer = LogisticRegression(C=np.inf, tol=1e-12, max_iter=10_000).fit(data[["x"]], data["bit"])
    training = train("bit ~ x", data, "cross_entropy", lr=2.0, epochs=800)
    assert training.params.to_numpy() == pytest.approx([*peer.intercept_, *peer.coef_[0]], rel=1e-6)
    assert training.final_loss == pytest.approx(log_loss(data["bit"], peer.predict_proba(data[["x"]])[:, 1]), rel=1e-9)
    text = data.assign(bit=np.where(data["bit"] == 1, "yes", "no"))
    by_text = train("bit ~ x", text, "cross_entropy", lr=2.0, epochs=800)
    assert by_text.params.equals(training.params)
    assert "bit = yes counts as 1, no as 0" in str(by_text)
    assert training.predict(what="p").equals(training.predict())
    assert training.predict(what="linear").to_numpy() == pytest.approx(
        training.params["Intercept"] + training.params["x"] * data["x"].to_numpy(), rel=1e-12
    )


@pytest.mark.parametrize("q", [0.25, 0.5])
def test_the_minimum_of_the_pinball_loss_is_scikit_learns(q: float) -> None:
    """Steps of one size circle the minimum: the smaller the rate, the closer."""
    data = table(n=61, seed=3)
    peer = QuantileRegressor(quantile=q, alpha=0, solver="highs").fit(data[["x"]], data["y"])
    training = train("y ~ x", data, "mae" if q == 0.5 else Pinball(q), lr=0.02, epochs=8000)
    lowest = mean_pinball_loss(data["y"], peer.predict(data[["x"]]), alpha=q) * (2 if q == 0.5 else 1)
    assert lowest < training.final_loss < 1.0005 * lowest
    assert "no curvature" in training.reason
    assert training.above_minimum is None
    assert training.largest_lr is None
    polished = training.to_fit()
    assert polished.params.iloc[:2].to_numpy() == pytest.approx([peer.intercept_, *peer.coef_], rel=1e-6)


def test_a_poisson_likelihood_with_an_offset_is_statsmodels() -> None:
    data = table()
    exposure = np.linspace(1, 3, len(data))
    peer = sm.GLM(data["count"], sm.add_constant(data["x"]), sm.families.Poisson(), offset=np.log(exposure)).fit(
        tol=1e-13
    )
    training = train("count ~ x + offset(np.log(exposure))", data, family="poisson", lr=0.2, epochs=600)
    assert training.params.to_numpy() == pytest.approx(peer.params.to_numpy(), rel=1e-9)
    assert training.final_loss == pytest.approx(-peer.llf / len(data), rel=1e-12)
    assert training.predict().to_numpy() == pytest.approx(peer.fittedvalues.to_numpy(), rel=1e-9)


def test_all_parameters_of_a_normal_are_trained() -> None:
    data = table()
    training = train({"mu": "y ~ x", "sigma": "~ x"}, data, family="normal", lr=0.1, epochs=3000)
    peer = optimize.minimize(
        lambda b: np.mean(
            0.5 * ((data["y"] - b[0] - b[1] * data["x"]) * np.exp(-b[2] - b[3] * data["x"])) ** 2
            + b[2]
            + b[3] * data["x"]
        ),
        np.zeros(4),
        tol=1e-10,
    )
    assert training.params.index.tolist() == ["Intercept", "x", "sigma_Intercept", "sigma_x"]
    assert training.params.to_numpy() == pytest.approx(peer.x, abs=1e-5)
    assert training.predict(what="sigma").to_numpy() == pytest.approx(
        np.exp(peer.x[2] + peer.x[3] * data["x"]), rel=1e-4
    )


@pytest.mark.parametrize(("family", "mean"), [(Poisson(mu="sqrt"), np.square), (Exponential(), np.exp)])
def test_squares_of_a_mean_through_a_link(family: mlekit.GenericLikelihood, mean: np.ufunc) -> None:
    data = table().assign(count=lambda d: d["count"] + 0.0)
    training = train("count ~ x", data, "mse", family=family, lr=0.05, epochs=3000, start=[1.0, 0.0])
    peer = optimize.least_squares(
        lambda b: mean(b[0] + b[1] * data["x"]) - data["count"], [1.0, 0.0], xtol=1e-15, ftol=1e-15, gtol=1e-15
    )
    assert training.params.to_numpy() == pytest.approx(peer.x, rel=1e-6)
    assert training.final_loss == pytest.approx(2 * peer.cost / len(data), rel=1e-10)
    again = pickle.loads(pickle.dumps(training))
    assert again.predict({"x": [0.5]}).to_numpy() == pytest.approx(mean(peer.x[0] + 0.5 * peer.x[1]), rel=1e-6)
    assert again.reason == training.reason


# ------------------------------------------------------------------------------------ history


def test_history_is_of_the_losses_before_each_step() -> None:
    data = table()
    peers = {
        "mse": mean_squared_error,
        "rmse": root_mean_squared_error,
        "mae": mean_absolute_error,
        Pinball(0.2): lambda y, p: mean_pinball_loss(y, p, alpha=0.2),
        Huber(0.7): lambda y, p: np.mean(special.huber(0.7, y - p)),
    }
    for loss, peer in peers.items():
        training = train("y ~ x", data, loss, lr=0.1, epochs=7)
        values = [peer(data["y"], a + b * data["x"]) for a, b in training.path]
        assert training.history["loss"].to_numpy() == pytest.approx(values[:-1], rel=1e-13)
        assert (training.initial_loss, training.final_loss) == pytest.approx((values[0], values[-1]), rel=1e-13)
        # One step of plain gradient descent is lr times the gradient.
        moved = np.linalg.norm(np.diff(training.path, axis=0), axis=1)
        assert training.history["gradient"].to_numpy() == pytest.approx(moved / 0.1, rel=1e-10)
    assert training.history["epoch"].tolist() == list(range(1, 8))


def test_names_of_columns_that_the_history_has_already() -> None:
    data = {"y": [1.0, 2.0, 4.0], "loss": [0.0, 1.0, 2.0], "epoch": [1.0, 0.0, 0.0]}
    history = train("y ~ loss + epoch", data, family=Poisson(), epochs=2).history
    names = ["epoch", "loss", "gradient", "Intercept", "loss (coefficient)", "epoch (coefficient)"]
    assert history.columns.tolist() == names


def test_a_seed_that_was_drawn_repeats_the_training() -> None:
    data = table()
    how = {"optimizer": "sgd", "batch_size": 8, "epochs": 5}
    first = train("y ~ x", data, **how)
    again, other = train("y ~ x", data, **how, seed=first.seed), train("y ~ x", data, **how)
    assert first.history.equals(again.history)
    assert not first.history.equals(other.history)
    in_order = train("y ~ x", data, **how, shuffle=False)
    assert in_order.seed is None
    assert "in their order" in str(in_order)
    assert f"shuffled with seed {first.seed}" in str(first)


def test_rows_with_missing_values_are_left_out_and_counted() -> None:
    data = table()
    holes = data.assign(x=data["x"].where(data.index > 4))
    training = train("y ~ x + C(g)", holes, epochs=5)
    assert training.history.equals(train("y ~ x + C(g)", data[5:], epochs=5).history)
    assert training.nobs == 55
    assert "5 rows with missing values left out" in str(training)
    assert training.start.index.tolist() == ["Intercept", "C(g)[T.b]", "C(g)[T.c]", "x"]


# ------------------------------------------------------------------------------------ on to a fit


@pytest.mark.parametrize(
    ("loss", "family", "response", "likelihood"),
    [
        ("mse", None, "y", Normal()),
        ("rmse", None, "y", Normal()),
        ("mae", None, "y", "laplace"),
        ("cross_entropy", None, "bit", "bernoulli"),
        (None, "poisson", "count", "poisson"),
        ("mse", "poisson", "count", "poisson"),
        ("nll", "normal", "y", Normal()),
        (NegativeLogLikelihood("normal", sigma=10.0), None, "y", Normal()),
    ],
)
def test_a_training_goes_on_to_a_fit(loss: object, family: object, response: str, likelihood: object) -> None:
    data = table()
    training = train(f"{response} ~ x", data, loss, family=family, lr=0.05, epochs=30)
    fit, direct = training.to_fit(), mlekit.fit(f"{response} ~ x", data, likelihood)
    assert fit.converged
    assert fit.model.family == direct.model.family
    assert ((fit.params - direct.params) / direct.bse).abs().max() < 1e-3
    assert fit.llf == pytest.approx(direct.llf, rel=1e-6)
    assert training.to_fit(cov_type="opg").cov_type == "opg"


def test_a_perfect_line_has_no_scale_and_says_so() -> None:
    with pytest.warns(mlekit.results.ConvergenceWarning, match="perfect"):
        fit = train("y ~ x", {"x": [0, 1, 2, 3], "y": [1, 3, 5, 7]}, lr=0.2, epochs=2000).to_fit()
    assert fit.params.iloc[:2].to_numpy() == pytest.approx([1, 2], rel=1e-9)


def test_statuses_are_in_words() -> None:
    assert [status.name for status in TrainingStatus] == ["CONVERGED", "FINISHED", "STOPPED", "DIVERGED"]
    training = train("y ~ x", table(), lr=0.01, epochs=3)
    assert training.status is TrainingStatus.FINISHED
    assert training.reason.startswith("finished: all epochs were run (3 epochs).")
    assert "or raise lr" in training.reason
