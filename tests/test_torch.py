"""Step for step as PyTorch itself, on longer runs and other rows than the recorded ones; needs the extra `torch`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mlekit.trainer import train
from tests.torch_runs import SCRIPT, deviation, losses, ours

torch = pytest.importorskip("torch")


def rows(seed: int, n: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    x1, x2 = rng.normal(size=(2, n))
    return {
        "x1": x1,
        "x2": x2,
        "y": 2 * x1 - 1 + rng.normal(size=n),
        "count": rng.poisson(np.exp(0.5 + 0.4 * x1 - 0.3 * x2)),
        "bit": (rng.random(n) < 1 / (1 + np.exp(-x1 + x2))).astype(int),
    }


@pytest.mark.parametrize("optimizer", SCRIPT["OPTIMIZERS"])
@pytest.mark.parametrize("loss", SCRIPT["LOSSES"])
def test_every_epoch_is_pytorchs(loss: str, optimizer: str) -> None:
    columns = rows(seed=5, n=101)
    call, response, lr = SCRIPT["LOSSES"][loss]
    how: dict[str, Any] = {"start": [0.1, 0.2, -0.3], "epochs": 60, "seed": 11}
    optimizer_call, shuffled = SCRIPT["OPTIMIZERS"][optimizer]
    x = np.column_stack([columns["x1"], columns["x2"]])
    run = SCRIPT["trajectory"](x, columns[response], call, optimizer_call, lr, batch=16 if shuffled else None, **how)
    training = ours(columns, loss, optimizer, batch=16, **how)
    assert deviation(training, run["params"], each=False) < 1e-12
    assert training.history["loss"].to_numpy() == pytest.approx(losses(columns, loss, run), rel=1e-12)


@pytest.mark.parametrize("batch", [1, 20, 101])
@pytest.mark.parametrize("optimizer", ["sgd_momentum", "nesterov", "adam"])
def test_batches_of_one_row_a_single_row_left_over_and_all_rows_at_once(optimizer: str, batch: int) -> None:
    columns = rows(seed=3, n=101)
    x = np.column_stack([columns["x1"], columns["x2"]])
    call = SCRIPT["OPTIMIZERS"][optimizer][0]
    how: dict[str, Any] = {"start": [0.1, 0.2, -0.3], "epochs": 12, "seed": 5}
    for loss, lr in (("mse", 0.002), ("mae", 0.01), ("huber", 0.01)):
        run = SCRIPT["trajectory"](x, columns["y"], SCRIPT["LOSSES"][loss][0], call, lr, batch=batch, **how)
        rate = {} if optimizer == "adam" else {"lr": lr}
        training = ours(columns, loss, optimizer, batch=batch, **how, **rate)
        assert deviation(training, run["params"], each=False) < 1e-12


@pytest.mark.filterwarnings("ignore::statsmodels.tools.sm_exceptions.ConvergenceWarning")  # at a kink losses may grow
def test_where_errors_are_exactly_zero_or_at_the_corner() -> None:
    """Whole numbers: residuals of 0 (kink of MAE), of delta (corner of Huber), and no gradient at all."""
    columns = {"x1": np.array([0.0, 1, 2, 3]), "x2": np.array([1.0, 0, 1, 0]), "y": np.array([0.0, 1, 2.5, 2.5])}
    x = np.column_stack([columns["x1"], columns["x2"]])
    how: dict[str, Any] = {"start": [0.0, 1.0, 0.0], "epochs": 8, "seed": 5}
    for y in (columns["y"], columns["x1"]):
        for loss in ("mse", "mae", "huber"):
            for optimizer in ("gd", "gd_momentum", "adam"):
                call, batch = SCRIPT["OPTIMIZERS"][optimizer][0], 4 if optimizer == "adam" else None
                run = SCRIPT["trajectory"](x, y, SCRIPT["LOSSES"][loss][0], call, 0.125, batch=batch, **how)
                rate = {} if optimizer == "adam" else {"lr": 0.125}
                training = ours(columns | {"y": y}, loss, optimizer, batch=4, **how, **rate)
                assert training.path[1:] == pytest.approx(np.array(run["params"]), rel=1e-12, abs=1e-15)


def test_the_recording_is_that_of_the_installed_pytorch() -> None:
    import json

    recorded = json.loads((SCRIPT["Path"](SCRIPT["__file__"]).parents[1] / "torch_trajectories.json").read_text())
    again = SCRIPT["record"]()
    assert recorded["data"] == again["data"]
    for loss, runs in recorded["expected"]["runs"].items():
        for optimizer, run in runs.items():
            for key in ("params", "loss"):
                assert np.array(again["expected"]["runs"][loss][optimizer][key]) == pytest.approx(
                    np.array(run[key]), rel=1e-12
                )


def test_two_linear_predictors_are_two_linear_layers() -> None:
    """Both parameters of a Normal: the mean and the log of sigma, each with its own layer."""
    columns = rows(seed=8, n=40)
    x = torch.tensor(np.column_stack([columns["x1"], columns["x2"]]))
    y = torch.tensor(columns["y"])
    mean, log_sigma = torch.nn.Linear(2, 1, dtype=torch.float64), torch.nn.Linear(1, 1, dtype=torch.float64)
    with torch.no_grad():
        for layer in (mean, log_sigma):
            layer.weight.zero_()
            layer.bias.zero_()
    optimizer = torch.optim.SGD([*mean.parameters(), *log_sigma.parameters()], lr=0.05, momentum=0.5)
    loss_function = torch.nn.GaussianNLLLoss(full=True, eps=1e-300)
    found = []
    for _ in range(80):
        optimizer.zero_grad()
        variance = torch.exp(2 * log_sigma(x[:, :1])[:, 0])
        loss_function(mean(x)[:, 0], y, variance).backward()
        optimizer.step()
        found.append([mean.bias.item(), *mean.weight[0].tolist(), log_sigma.bias.item(), log_sigma.weight[0, 0].item()])
    training = train({"mu": "y ~ x1 + x2", "sigma": "~ x1"}, columns, family="normal", lr=0.05, epochs=80, momentum=0.5)
    assert deviation(training, found, each=True) < 1e-12


@pytest.mark.parametrize("order", ["shuffled", "in order"])
def test_a_mean_through_a_link(order: str) -> None:
    """MSE of a Poisson mean and of a probability, whose gradients go through the link."""
    columns = rows(seed=2, n=33)
    x = torch.tensor(np.column_stack([np.ones(33), columns["x1"]]))
    for family, response, mean in (("poisson", "count", torch.exp), ("bernoulli", "bit", torch.sigmoid)):
        y = torch.tensor(np.asarray(columns[response], dtype=float))
        beta = torch.zeros(2, dtype=torch.float64, requires_grad=True)
        optimizer = torch.optim.Adam([beta], lr=0.01)
        rng, found = np.random.default_rng(4), []
        for _ in range(40):
            rows_in_order = np.arange(33) if order == "in order" else rng.permutation(33)
            for batch in np.split(rows_in_order, [10, 20, 30]):
                optimizer.zero_grad()
                torch.nn.functional.mse_loss(mean(x[batch] @ beta), y[batch]).backward()
                optimizer.step()
            found.append(beta.tolist())
        training = train(
            f"{response} ~ x1",
            columns,
            "mse",
            family=family,
            optimizer="adam",
            lr=0.01,
            epochs=40,
            batch_size=10,
            seed=4,
            shuffle=order == "shuffled",
        )
        assert deviation(training, found, each=True) < 1e-12
