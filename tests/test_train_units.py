"""What is said of a training is the same in any unit of the response, and true at the limits of floating point."""

from __future__ import annotations

import re
import warnings
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression
from sklearn.metrics import mean_squared_error
from statsmodels.tools.sm_exceptions import ConvergenceWarning

from mlekit import StartError
from mlekit.losses import Huber, NegativeLogLikelihood, Pinball
from mlekit.trainer import train
from mlekit.training import Training, TrainingStatus

RNG = np.random.default_rng(9)
X = RNG.normal(size=30)
Y = 1 + 2 * X + RNG.normal(size=30)
DATA = {"x": X, "y": Y}
#: Powers of two, so that no digit changes.
UNITS = (2.0**-40, 2.0**-8, 2.0**40)

# A loss in the unit u, and how its rate, its value and its stable rate go with u: a gradient of degree d in the unit
# moves coefficients that have degree 1.
LOSSES: dict[str, tuple[Any, int]] = {
    "mse": (lambda u: "mse", 2),
    "rmse": (lambda u: "rmse", 1),
    "mae": (lambda u: "mae", 1),
    "huber": (lambda u: Huber(0.7 * u), 2),
    "pinball": (lambda u: Pinball(0.3), 1),
}


def quiet(*args: Any, **options: Any) -> Training:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return train(*args, **options)


def words(text: str) -> str:
    """A text without its numbers."""
    return re.sub(r"-?\d+(\.\d+)?(e[-+]\d+)?", "#", text)


# ------------------------------------------------------------------------------------ units


@pytest.mark.parametrize("epochs", [5, 400])
@pytest.mark.parametrize("rate", [0.2, 0.9, 1.01, 1.7])
@pytest.mark.parametrize("name", LOSSES)
def test_the_verdict_does_not_depend_on_the_unit(name: str, rate: float, epochs: int) -> None:
    make, degree = LOSSES[name]
    first = quiet("y ~ x", DATA, make(1.0), lr=rate, epochs=epochs)
    for unit in UNITS:
        again = quiet("y ~ x", {"x": X, "y": Y * unit}, make(unit), lr=rate * unit ** (2 - degree), epochs=epochs)
        # Where a loss overflows, it does so sooner in a smaller unit.
        assert again.path[:99] == pytest.approx(first.path[:99] * unit, rel=1e-9)
        if np.isfinite(first.history["loss"]).all():
            assert again.final_loss == pytest.approx(first.final_loss * unit**degree, rel=1e-9)
        assert again.status is first.status
        assert words(again.reason) == words(first.reason)
        if first.largest_lr is None:
            assert again.largest_lr is None
        else:
            assert again.largest_lr == pytest.approx(first.largest_lr * unit ** (2 - degree), rel=1e-9)


@pytest.mark.parametrize("epochs", [3, 30])
@pytest.mark.parametrize("lr", [0.05, 20.0])
def test_the_verdict_on_adam_does_not_depend_on_the_unit(lr: float, epochs: int) -> None:
    """Adam's step is as long as lr, whatever the gradient, but for what keeps it from a division by zero."""
    first = quiet("y ~ x", DATA, optimizer="adam", lr=lr, epochs=epochs)
    assert first.largest_lr is None
    for unit in (2.0**-3, 2.0**20):
        again = quiet("y ~ x", {"x": X, "y": Y * unit}, optimizer="adam", lr=lr * unit, epochs=epochs)
        assert again.path == pytest.approx(first.path * unit, rel=1e-5, abs=1e-5 * unit)
        assert again.status is first.status
        assert words(again.reason) == words(first.reason)


@pytest.mark.parametrize("unit", [1.0, *UNITS])
def test_a_training_that_has_not_arrived_never_says_so(unit: float) -> None:
    peer = LinearRegression().fit(X[:, None], Y * unit)
    lowest = mean_squared_error(Y * unit, peer.predict(X[:, None]))
    short, long = (train("y ~ x", {"x": X, "y": Y * unit}, lr=0.3, epochs=epochs) for epochs in (6, 200))
    assert short.final_loss > lowest * (1 + 1e-7)
    assert "run more epochs" in short.reason
    assert "is at its minimum to nine digits" in long.reason
    assert long.final_loss == pytest.approx(lowest, rel=1e-9)


@pytest.mark.parametrize("unit", [1.0, *UNITS])
@pytest.mark.parametrize("loss", ["mse", "rmse"])
def test_a_perfect_line_is_at_its_minimum_in_any_unit(loss: str, unit: float) -> None:
    data = {"x": X, "y": unit * (1 + np.pi * X)}
    lr = 0.4 if loss == "mse" else 1e-3 * unit
    there = train("y ~ x", data, loss, lr=lr, epochs=200, start=[unit, np.pi * unit])
    assert np.ptp(there.path / unit, axis=0).max() < 1e-2
    if loss == "mse":
        assert "is at its minimum to nine digits" in there.reason
        assert "is at its minimum" in train("y ~ x", data, lr=lr, epochs=200).reason


# ------------------------------------------------------------------------------------ rates that are too large


def uphill(along: float, across: float) -> tuple[float, list[float]]:
    """Largest stable rate, and a start that far from the minimum along the valley and across it."""
    design = np.column_stack([np.ones_like(X), X])
    curvatures, directions = np.linalg.eigh(2 * design.T @ design / len(X))
    minimum = np.linalg.lstsq(design, Y)[0]
    return 2 / curvatures[-1], (minimum + directions @ [along, across]).tolist()


def test_a_rate_above_the_limit_is_said_before_the_loss_has_grown() -> None:
    limit, start = uphill(10.0, 0.1)
    early = train("y ~ x", DATA, lr=1.02 * limit, epochs=3, start=start)
    assert early.history["loss"].is_monotonic_decreasing
    assert f"lr = {1.02 * limit:g} is above the largest stable learning rate, {limit:.6g}" in early.reason
    assert "run more epochs" not in early.reason


def test_a_loss_that_grows_again_is_warned_of() -> None:
    """The loss across the valley grows for long until it is above what it was along it."""
    limit, start = uphill(10.0, 0.1)
    with pytest.warns(ConvergenceWarning, match="above the largest stable learning rate"):
        training = train("y ~ x", DATA, lr=1.1 * limit, epochs=20, start=start)
    assert training.status is TrainingStatus.FINISHED
    assert 1.5 * training.history["loss"].min() < training.final_loss < training.initial_loss


def test_rounding_at_the_minimum_is_no_growth() -> None:
    """Of losses that differ by rounding, the last is as often the larger; warnings are errors here."""
    minimum = np.linalg.lstsq(np.column_stack([np.ones_like(X), X]), Y)[0]
    grew = 0
    for loss in ("mse", "rmse", NegativeLogLikelihood("normal", sigma=2.0)):
        for k in range(-9, 10):
            training = train("y ~ x", DATA, loss, lr=0.3, epochs=9, start=minimum * (1 + k * 2e-16))
            grew += training.final_loss > training.initial_loss
    assert grew > 0


def test_coefficients_that_overflow_are_said_to() -> None:
    for lr in (1e308, 1e200):
        with pytest.warns(ConvergenceWarning, match=r"from \d\.\d+ to inf in \d epochs?\)"):
            assert train("y ~ x", DATA, lr=lr).status is TrainingStatus.DIVERGED


# ------------------------------------------------------------------------------------ the limits of floating point


def test_a_response_beyond_floating_point_is_told_to_change_its_unit() -> None:
    for loss in ("mse", "rmse"):
        with pytest.raises(
            StartError, match=r"not finite at the start .*measure the response in a larger unit"
        ) as said:
            train("y ~ x", {"x": X, "y": Y * 1e200}, loss)
        assert "Normal" not in str(said.value)
        with pytest.raises(StartError, match=r"too small for floating point.*in a smaller unit"):
            train("y ~ x", {"x": X, "y": Y * 1e-200}, loss)
    small = train("y ~ x", {"x": X, "y": Y * 1e-200}, "mae", lr=1e-201)
    assert small.path * 1e200 == pytest.approx(train("y ~ x", DATA, "mae", lr=0.1).path, rel=1e-9)


@pytest.mark.parametrize("unit", [1e-150, 1e150])
def test_the_length_of_the_gradient_neither_overflows_nor_vanishes(unit: float) -> None:
    plain = train("y ~ x", DATA, lr=0.1, epochs=3).history["gradient"]
    assert train("y ~ x", {"x": X, "y": Y * unit}, lr=0.1, epochs=3).history["gradient"].to_numpy() == pytest.approx(
        plain.to_numpy() * unit, rel=1e-12
    )


@pytest.mark.parametrize("unit", [1.0, *UNITS])
@pytest.mark.parametrize("loss", ["rmse", "mae", "pinball"])
def test_a_perfect_fit_without_a_curvature_asks_for_no_more_epochs(loss: str, unit: float) -> None:
    data = {"x": [0.0, 1, 2], "y": [unit, 2 * unit, 3 * unit]}
    there, near = (train("y ~ x", data, loss, lr=1e-30 * unit, epochs=2, start=[s, s]) for s in (unit, 1.001 * unit))
    assert "that of a perfect fit" in there.reason
    assert "perfect" not in near.reason


def test_a_perfect_start_of_rmse_is_its_kink() -> None:
    training = train("y ~ x", {"x": [0.0, 1, 2], "y": [1.0, 2, 3]}, "rmse", epochs=3, start=[1.0, 1.0])
    assert (training.path == 1).all()
    assert str(training.final_loss) == "0.0"
    assert "The loss, 0, is that of a perfect fit" in training.reason
    assert training.plot().axes


# ------------------------------------------------------------------------------------ settings of other types


def test_any_real_number_is_a_rate() -> None:
    plain = train("y ~ x", DATA, lr=0.25, momentum=0.5, epochs=4, optimizer="nesterov")
    for kind in (Fraction, np.float32, np.float64):
        again = train("y ~ x", DATA, lr=kind(0.25), momentum=kind(0.5), epochs=np.int32(4), optimizer="nesterov")
        assert again.history.equals(plain.history)
        assert type(again.lr) is float
    with pytest.raises(ValueError, match="lr must be a positive number"):
        train("y ~ x", DATA, lr=10**400)


def test_a_seed_is_a_number_so_that_a_training_can_be_repeated() -> None:
    how: dict[str, Any] = {"optimizer": "sgd", "batch_size": 8, "epochs": 2}
    with pytest.raises(ValueError, match="seed must be a whole number from 0, or None"):
        train("y ~ x", DATA, **how, seed=np.random.default_rng(0))
    assert train("y ~ x", DATA, **how, seed=np.int64(3)).history.equals(train("y ~ x", DATA, **how, seed=3).history)
