"""Figures of trainings: what they show, for one coefficient, two or more, and where the path leaves."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression
from sklearn.metrics import mean_squared_error
from statsmodels.tools.sm_exceptions import ConvergenceWarning

from mlekit.plots.training import plot_losses_by_epoch
from mlekit.trainer import train
from mlekit.training import Training

RNG = np.random.default_rng(6)
X = RNG.normal(size=40)
DATA = {"x": X, "y": 1 + 2 * X + RNG.normal(size=40), "bit": (X + RNG.normal(size=40) > 0).astype(int)}


def quiet(*args: Any, **options: Any) -> Training:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return train(*args, **options)


def lines(axes: Any) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    return {line.get_label(): line.get_data() for line in axes.get_lines()}


def test_two_coefficients_walk_over_the_surface() -> None:
    training = train("y ~ x", DATA, lr=0.1, epochs=25)
    loss, surface = training.plot().axes
    assert (loss.get_xlabel(), loss.get_ylabel()) == ("epoch", "mse (square of the unit of y)")
    (drawn,) = loss.get_lines()
    assert drawn.get_ydata() == pytest.approx(training.history["loss"].to_numpy())
    assert (surface.get_xlabel(), surface.get_ylabel()) == ("Intercept", "x")
    found = lines(surface)
    assert np.column_stack(found["path, an epoch per point"]) == pytest.approx(training.path)
    assert np.ravel(found["start"]) == pytest.approx([0, 0])
    assert np.ravel(found["end"]) == pytest.approx(training.params.to_numpy())
    peer = LinearRegression().fit(X[:, None], DATA["y"])
    assert np.ravel(found["minimum"]) == pytest.approx([peer.intercept_, *peer.coef_], rel=1e-8)
    (contours,) = surface.collections
    for path, level in zip(contours.get_paths(), contours.levels, strict=True):
        a, b = path.vertices[len(path.vertices) // 2]
        assert mean_squared_error(DATA["y"], a + b * X) == pytest.approx(level, rel=0.05)


def test_one_coefficient_walks_down_the_curve() -> None:
    training = train("y ~ 0 + x", DATA, lr=0.1, epochs=5)
    loss, curve = training.plot().axes
    found = lines(curve)
    steps, heights = found["path, an epoch per point"]
    assert steps == pytest.approx(training.path[:, 0])
    assert heights == pytest.approx([mean_squared_error(DATA["y"], b * X) for b in training.path[:, 0]])
    assert (curve.get_xlabel(), curve.get_ylabel()) == ("x", loss.get_ylabel())


def test_more_coefficients_have_the_loss_alone() -> None:
    training = train("bit ~ x + np.square(x)", DATA, "cross_entropy", lr=0.1, epochs=5)
    (axes,) = training.plot().axes
    assert axes.get_ylabel() == "cross_entropy (nats per row)"
    assert axes.get_legend() is None


def test_a_path_that_leaves_and_a_loss_that_ends() -> None:
    training = quiet("y ~ x", DATA, lr=5.0, epochs=500)
    loss, surface = training.plot().axes
    assert loss.get_yscale() == "log"
    limit = 1e30 * training.initial_loss
    lost = training.history["epoch"][~(training.history["loss"] < limit)].iloc[0]
    assert loss.texts[0].get_text() == f"beyond {limit:.0e} in epoch {lost}"
    assert "path (leaves the figure)" in lines(surface)
    assert "end" not in lines(surface)
    assert quiet("y ~ x", DATA, lr=5.0, epochs=1).plot().axes


@pytest.mark.parametrize("lr", [0.1, 1.1])
@pytest.mark.parametrize("unit", [2.0**-40, 2.0**80])
def test_the_figure_does_not_depend_on_the_unit(unit: float, lr: float) -> None:
    for formula in ("y ~ x", "y ~ 0 + x"):
        first, again = (quiet(formula, DATA | {"y": DATA["y"] * u}, lr=lr, epochs=200) for u in (1.0, unit))
        for old, new, by_loss in zip(first.plot().axes, again.plot().axes, (True, False), strict=True):
            assert new.get_yscale() == old.get_yscale()
            assert len(new.texts) == len(old.texts)
            for name, (x, y) in lines(old).items():
                scale = np.array([unit, unit]) if "~ x" in formula else np.array([unit, unit**2])
                if by_loss:  # a vertical line is of the height of the axes, and not of the data
                    scale = np.array([1, 1 if np.ptp(x) == 0 else unit**2])
                drawn = lines(new)[name]
                assert np.array(drawn) == pytest.approx(np.array([x, y]) * scale[:, None], rel=1e-6)


def test_a_path_that_grows_and_comes_back_is_drawn_whole() -> None:
    training = quiet("y ~ 0 + x", DATA, lr=0.9, momentum=0.9, epochs=300, start=[30.0])
    _, curve = training.plot().axes
    assert training.final_loss < training.initial_loss
    drawn = next(values for name, values in lines(curve).items() if name.startswith("path"))
    assert drawn[0] == pytest.approx(training.path[:, 0])


def test_a_surface_of_many_rows_is_drawn_from_some() -> None:
    rng = np.random.default_rng(1)
    data = {"x": rng.normal(size=12_000), "y": rng.normal(size=12_000)}
    _, surface = train("y ~ x", data, epochs=3).plot().axes
    assert "of 10000 of the 12000 rows" in surface.get_title()
    _, curve = train("y ~ 0 + x", data, epochs=3).plot().axes
    assert "of 10000 of the 12000 rows" in curve.get_title()


def test_losses_of_several_trainings() -> None:
    one, two = (train("y ~ x", DATA, lr=lr, epochs=9) for lr in (0.05, 0.1))
    (axes,) = plot_losses_by_epoch({"slow": one, "quick": two}).axes
    assert list(lines(axes)) == ["slow", "quick"]
    assert axes.get_legend() is not None
    with pytest.raises(ValueError, match="different units have no common axis"):
        plot_losses_by_epoch({"mse": one, "mae": train("y ~ x", DATA, "mae", epochs=2)})
    with pytest.raises(ValueError, match="no trainings"):
        plot_losses_by_epoch({})
