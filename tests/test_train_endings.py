"""How a training ends: at a tolerance, by divergence, by a callback, by Ctrl-C; and what a wrong call is told."""

from __future__ import annotations

import sys
import tracemalloc
import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import log_loss, mean_squared_error
from statsmodels.tools.sm_exceptions import CollinearityWarning, ConvergenceWarning

import mlekit
from mlekit import Poisson, StartError
from mlekit.losses import NegativeLogLikelihood
from mlekit.trainer import train
from mlekit.training import EpochEnd, TrainingStatus
from tests.reference import load

DATA = pd.DataFrame(
    {
        "x": [0.1, 1.2, -0.7, 0.4, -1.1, 2.0, 0.3, -0.2],
        "y": [1.3, 3.1, -0.2, 2.2, -1.4, 5.2, 1.0, 0.4],
        "bit": [0, 1, 0, 1, 0, 1, 1, 0],
        "count": [0, 3, 1, 0, 1, 6, 2, 1],
    }
)
HEIGHTS = load("heights_gradient_descent")


def quiet(*args: Any, **options: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return train(*args, **options)


# ------------------------------------------------------------------------------------ at the minimum


@pytest.mark.parametrize("tol", [1e-2, 1e-6, 1e-10])
def test_tol_is_the_distance_of_the_loss_to_its_minimum(tol: float) -> None:
    peer = LinearRegression().fit(DATA[["x"]], DATA["y"])
    lowest = mean_squared_error(DATA["y"], peer.predict(DATA[["x"]]))
    training = train("y ~ x", DATA, lr=0.1, epochs=5000, tol=tol)
    assert training.status is TrainingStatus.CONVERGED
    assert training.final_loss - lowest <= tol * (1 + 1e-6)
    # The slope that is looked at first is the one before the last step.
    before = train("y ~ x", DATA, lr=0.1, epochs=len(training.history) - 2)
    assert before.final_loss - lowest > tol
    # Of a quadratic the estimate is exact.
    assert before.above_minimum == pytest.approx(before.final_loss - lowest, rel=1e-6)


def test_tol_of_a_loss_that_is_no_quadratic() -> None:
    data = DATA.assign(bit=[0, 1, 0, 1, 1, 0, 1, 0])
    peer = LogisticRegression(C=np.inf, tol=1e-12).fit(data[["x"]], data["bit"])
    lowest = log_loss(data["bit"], peer.predict_proba(data[["x"]])[:, 1])
    for how in ({"optimizer": "gd", "lr": 1.0}, {"optimizer": "adam", "lr": 0.05, "batch_size": 8}):
        training = train("bit ~ x", data, "cross_entropy", epochs=2000, tol=1e-7, **how)
        assert training.status is TrainingStatus.CONVERGED
        assert training.final_loss - lowest < 1.1e-7


def test_a_tolerance_that_is_not_reached_is_said() -> None:
    with pytest.warns(
        ConvergenceWarning, match=r"all epochs were run \(5 epochs\).*above its minimum: run more epochs"
    ):
        training = train("y ~ x", DATA, lr=0.01, epochs=5, tol=1e-8)
    assert training.status is TrainingStatus.FINISHED
    with pytest.warns(ConvergenceWarning, match="has no curvature"):
        train("y ~ x", DATA, "mae", lr=0.01, epochs=5, tol=1e-8)


# ------------------------------------------------------------------------------------ divergence


def test_the_largest_stable_rate_of_the_heights() -> None:
    limit = HEIGHTS.expected["divergence_limit_lr_mse"]["lr_max"]
    with pytest.warns(ConvergenceWarning) as said:
        training = train(HEIGHTS.formula, HEIGHTS.frame, lr=0.1, epochs=200, start=[0.1])
    assert training.status is TrainingStatus.DIVERGED
    assert training.largest_lr == pytest.approx(limit, rel=1e-12)
    assert len(said) == 1
    text = str(said[0].message)
    assert "the loss grew instead of falling (from 24779.6 to inf in" in text
    assert "lr = 0.1 is above the largest stable learning rate, 0.000343968 (2 / the largest curvature)" in text
    assert "try lr = 0.00017." in text
    assert "standardize(x)" in text
    train(HEIGHTS.formula, HEIGHTS.frame, lr=0.00017, epochs=200, start=[0.1], tol=1e-6)


def test_nothing_is_lost_in_a_divergence() -> None:
    training = quiet(HEIGHTS.formula, HEIGHTS.frame, lr=0.1, epochs=1000, start=[0.1])
    history = training.history
    assert len(history) < 1000
    assert not np.isfinite(history["loss"].iloc[-1])
    assert np.isfinite(history["loss"].iloc[:-1]).all()
    assert np.isfinite(training.params).all()
    assert np.isfinite(training.final_loss)
    assert training.params["weight"] in history["weight"].to_numpy()
    assert training.lowest == pytest.approx([0.1])
    assert training.to_fit().params["weight"] == pytest.approx(35054 / 11629, rel=1e-10)


@pytest.mark.parametrize(
    ("how", "formula"),
    [
        ({"optimizer": "gd"}, "(2 / the largest curvature)"),
        ({"optimizer": "gd", "momentum": 0.5}, "(2 (1 + m) / the largest curvature)"),
        ({"optimizer": "nesterov", "momentum": 0.5}, "(2 (1 + m) / (1 + 2 m) / the largest curvature)"),
    ],
)
@pytest.mark.parametrize("loss", ["mse", NegativeLogLikelihood("normal", sigma=2.0)])
def test_the_largest_stable_rate_is_sharp(loss: Any, how: dict[str, Any], formula: str) -> None:
    limit = train("y ~ x", DATA, loss, lr=1e-3, epochs=1, **how).largest_lr
    below = train("y ~ x", DATA, loss, lr=0.99 * limit, epochs=2000, **how)
    assert below.above_minimum < 1e-10
    with pytest.warns(ConvergenceWarning, match="above the largest stable") as said:
        above = train("y ~ x", DATA, loss, lr=1.01 * limit, epochs=2000, **how)
    assert above.status is TrainingStatus.DIVERGED
    assert formula in str(said[0].message)


def test_divergence_of_losses_that_are_no_quadratics() -> None:
    with pytest.warns(ConvergenceWarning, match="is below .*the loss or a batch bends more elsewhere: try lr = 0.15"):
        train("count ~ x", DATA, family="poisson", lr=1.5, epochs=50)
    with pytest.warns(ConvergenceWarning, match="above the largest stable"):
        train("count ~ x", DATA, family="poisson", lr=3.0, epochs=50)
    with pytest.warns(ConvergenceWarning, match=r"The loss grew from .*: lower lr$"):
        training = train("y ~ x", DATA, optimizer="adam", lr=100.0, epochs=3)
    assert training.status is TrainingStatus.FINISHED
    with pytest.warns(ConvergenceWarning, match=r"nan in .*or choose a link such as log"):
        training = train("count ~ x", DATA, family=Poisson(mu="identity"), lr=5.0, epochs=50, start=[3.0, 0.0])
    assert training.status is TrainingStatus.DIVERGED
    assert np.isfinite(training.params).all()


def test_a_rate_that_only_the_batches_do_not_bear() -> None:
    """Single rows bend more than the mean of all."""
    limit = train("y ~ x", DATA, lr=1e-3, epochs=1).largest_lr
    with pytest.warns(ConvergenceWarning, match="the loss or a batch bends more elsewhere"):
        training = train("y ~ x", DATA, optimizer="sgd", lr=0.95 * limit, epochs=3000, batch_size=1, seed=3)
    assert training.status is TrainingStatus.DIVERGED


# ------------------------------------------------------------------------------------ stopped by hand


def test_a_callback_sees_every_epoch_and_may_stop() -> None:
    told: list[EpochEnd] = []
    training = train("y ~ x", DATA, epochs=6, callback=told.append)
    assert [end.epoch for end in told] == [1, 2, 3, 4, 5, 6]
    assert [end.loss for end in told] == training.history["loss"].tolist()
    assert [end.gradient for end in told] == training.history["gradient"].tolist()
    assert told[-1].params.equals(training.params)
    stopped = train("y ~ x", DATA, epochs=6, callback=lambda end: end.epoch == 4)
    assert stopped.status is TrainingStatus.STOPPED
    assert stopped.history.equals(training.history[:4])
    assert stopped.reason == "stopped before the last epoch (by the callback, after 4 epochs)"
    # Any other answer is none: many a callback returns what it computed.
    assert len(train("y ~ x", DATA, epochs=6, callback=lambda end: end.loss).history) == 6


@pytest.mark.parametrize(
    ("error", "who"), [(StopIteration, "by the callback"), (KeyboardInterrupt, "from the keyboard")]
)
def test_stopping_loses_nothing(error: type[BaseException], who: str) -> None:
    def stop(end: EpochEnd) -> None:
        if end.epoch == 3:
            raise error

    training = train("y ~ x", DATA, epochs=6, callback=stop)
    assert training.status is TrainingStatus.STOPPED
    assert who in training.reason
    assert training.history.equals(train("y ~ x", DATA, epochs=3).history)


def test_a_callback_is_told_of_the_epoch_in_which_all_is_lost_and_cannot_hide_it() -> None:
    told: list[float] = []

    def tell(end: EpochEnd) -> bool:
        told.append(end.loss)
        return not np.isfinite(end.loss)

    training = quiet("y ~ x", DATA, lr=50.0, epochs=500, callback=tell)
    assert told == training.history["loss"].tolist()
    assert training.status is TrainingStatus.DIVERGED


def test_stopping_in_the_last_epoch_is_running_all() -> None:
    training = train("y ~ x", DATA, epochs=6, callback=lambda end: end.epoch == 6)
    assert training.status is TrainingStatus.FINISHED


def test_one_of_anything_is_one() -> None:
    text = str(train("y ~ x", DATA, optimizer="sgd", epochs=1, batch_size=1, shuffle=False, lr=0.01))
    assert "all epochs were run (1 epoch)" in text
    assert "sgd, lr = 0.01, 1 epoch, batches of 1 row, in their order; 8 rows." in text


def test_a_callback_cannot_change_what_it_is_told() -> None:
    def change(end: EpochEnd) -> None:
        end.params[:] = 0.0

    assert train("y ~ x", DATA, epochs=6, callback=change).history.equals(train("y ~ x", DATA, epochs=6).history)


def test_nothing_is_kept_of_an_epoch_but_its_line() -> None:
    rng = np.random.default_rng(0)
    data = {"y": rng.normal(size=250), "x": rng.normal(size=(250, 200))}
    tracemalloc.start()
    try:
        history = train("y ~ x", data, lr=1e-3, epochs=2000).history
        kept, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    size = history.to_numpy().nbytes
    assert kept < 1.5 * size
    assert most < 4 * size  # the lines, the array of them, the table


def test_an_error_in_a_callback_carries_the_training() -> None:
    def fail(end: EpochEnd) -> None:
        if end.epoch == 3:
            raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine") as failed:
        train("y ~ x", DATA, epochs=6, callback=fail)
    assert failed.value.training.history.equals(train("y ~ x", DATA, epochs=3).history)
    assert "`training`" in failed.value.__notes__[0]


def test_a_progress_bar_on_long_runs_only(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    import tqdm

    plain = train("y ~ x", DATA, epochs=5)
    assert train("y ~ x", DATA, epochs=5, progress=True).history.equals(plain.history)
    assert capsys.readouterr().err == ""
    with monkeypatch.context() as patch:
        patch.setattr(tqdm, "tqdm", lambda **options: real(**options | {"delay": 0, "mininterval": 0}))
        train("y ~ x", DATA, epochs=5, progress=True)
    assert "5/5" in (shown := capsys.readouterr().err)
    assert f"loss {plain.history['loss'].iloc[-1]:.6g}" in shown
    monkeypatch.setitem(sys.modules, "tqdm", None)
    with pytest.raises(ImportError, match=r'pip install "mlekit\[progress\]"'):
        train("y ~ x", DATA, progress=True)


def real(**options: Any) -> Any:
    from tqdm.std import tqdm

    return tqdm(**options)


# ------------------------------------------------------------------------------------ wrong calls

NUMBERS = [
    *[({"lr": lr}, "lr must be a positive number") for lr in (0, -1, np.nan, np.inf, "0.1", True)],
    *[({"epochs": epochs}, "epochs must be a whole number from 1") for epochs in (0, -3, 1.5)],
    *[({"momentum": m}, "momentum must be a number from 0 to below 1") for m in (-0.1, 1.0, "a")],
    *[({"optimizer": "sgd", "batch_size": b}, "batch_size must be a whole number from 1") for b in (0, 2.5, True)],
    *[({"tol": tol}, "tol must be a positive number") for tol in (0, -1e-3, np.inf)],
    *[({"seed": seed}, "seed must be a whole number from 0") for seed in (-1, "a", 1.5)],
]


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        *NUMBERS,
        ({"optimizer": "sgd", "batch_size": 9}, r"batch_size is 9, and there are 8 rows.*None for all"),
        ({"batch_size": 4}, r"optimizer='gd' takes one step per epoch.*optimizer='sgd'"),
        ({"optimizer": "adam", "momentum": 0.9}, "adam takes no momentum"),
        ({"optimizer": "nesterov"}, "nesterov needs a momentum, such as momentum=0.9"),
        ({"optimizer": "rmsprop"}, "unknown optimizer 'rmsprop': the optimizers are gd, sgd, nesterov, adam"),
        ({"loss": "msee"}, "unknown loss 'msee': the losses are mse, .*nll"),
        ({"loss": "nll"}, "loss='nll' needs a family"),
        ({"loss": NegativeLogLikelihood("poisson"), "family": "normal"}, "leave family out"),
        ({"loss": "cross_entropy", "family": "poisson"}, "family must be 'bernoulli'"),
        ({"loss": "mse", "family": mlekit.families.AsymmetricLaplace(q=0.3)}, "depends on b too.*loss='nll'"),
        ({"family": "gauss"}, "unknown family 'gauss'"),
        ({"shuffle": 1}, "shuffle must be True or False"),
        ({"start": [1.0]}, "start must be 2 finite numbers, for Intercept, x"),
        ({"start": [np.nan, 1.0]}, "start must be 2 finite numbers"),
        ({"start": {"x": 1.0, "z": 2.0}}, "start has x, z: it needs Intercept, x"),
        ({"formula": "y ~ 0"}, "no columns, so there is nothing to train"),
        ({"formula": {"mu": "y ~ x", "sigma": "~ x"}, "family": "normal", "loss": "mse"}, "trains mu alone.*sigma"),
        ({"formula": "y ~ x", "family": "poisson"}, "each response must be a count"),
        ({"formula": "count ~ x", "loss": "cross_entropy"}, "each response must be 0 or 1"),
        ({"formula": "count ~ z"}, "z"),
    ],
)
def test_wrong_calls_are_told_what_to_do(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        train(**{"formula": "y ~ x", "data": DATA} | wrong)


def test_wrong_types() -> None:
    with pytest.raises(TypeError, match="callback must be a function"):
        train("y ~ x", DATA, callback=3)
    with pytest.raises(TypeError, match="unexpected keyword"):
        train("y ~ x", DATA, learning_rate=0.1)
    with pytest.raises(ValueError, match="prediction or linear"):
        train("y ~ x", DATA, epochs=1).predict(what="sigma")


def test_a_start_outside_the_domain() -> None:
    with pytest.raises(StartError, match=r"not finite at the start \(Intercept = 0, x = 0\).*Give coefficients inside"):
        train("count ~ x", DATA, family=Poisson(mu="identity"))
    with pytest.raises(StartError, match=r"as in start=\{'x': 1.0, ...\}"):
        train("count ~ 0 + x", DATA, family=Poisson(mu="identity"))


def test_collinear_columns_are_left_out_as_in_a_fit() -> None:
    with pytest.warns(CollinearityWarning, match=r"I\(2 \* x\) = 2\*x"):
        training = train("y ~ x + I(2*x)", DATA, epochs=4)
    assert training.params.to_numpy() == pytest.approx(train("y ~ x", DATA, epochs=4).params.to_numpy(), rel=1e-14)
    assert "Left out as collinear: I(2 * x) = 2*x" in str(training)
