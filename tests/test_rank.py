"""Exact and near collinearity: decisions that no order, unit or origin changes, and the digits that are left."""

from __future__ import annotations

import itertools
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from statsmodels.stats.outliers_influence import variance_inflation_factor
from statsmodels.tools.sm_exceptions import CollinearityWarning, ConvergenceWarning

import mlekit
from mlekit.basis import SAMPLE_ROWS, basis, sample_rows
from mlekit.conditioning import conditioning
from tests.exact_squares import frame, least_squares, load, of_doubles, solve

RNG = np.random.default_rng(11)
X1, X2, X3 = np.round(RNG.normal(size=(3, 80)), 3)
Y = X1 + X2 + RNG.normal(size=80)


def powers(of: np.ndarray, degree: int) -> np.ndarray:
    return np.vander(of.astype(float), degree + 1, increasing=True)


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
@pytest.mark.parametrize("units", [(1.0, 1.0, 1.0), (1e-300, 1.0, 1e12), (1e300, 1e-9, 1.0)])
def test_rank_depends_on_neither_order_nor_units(order: tuple[int, ...], units: tuple[float, ...]) -> None:
    columns = [np.ones(80), X1 * units[0], X2 * units[1], (X1 + 3 * X2 - 2) * units[2]]
    found = basis(np.column_stack([columns[j] for j in order]))
    assert found.kept == (0, 1, 2)
    assert list(found.dropped) == [3]


@pytest.mark.parametrize(("shift", "kept"), [(1e4, 2), (1e8, 2), (1e11, 2), (1e14, 1)])
def test_rank_of_a_column_far_from_its_origin(shift: float, kept: int) -> None:
    """What is left of a column that is constant but for 1e-14 of its size is rounding."""
    assert len(basis(np.column_stack([np.ones(80), X1 + shift])).kept) == kept


@pytest.mark.parametrize("noise", [1e-13, 1e-11, 1e-9, 1e-6])
def test_a_copy_with_noise(noise: float) -> None:
    """Left out where it is a copy to rounding; otherwise kept, warned of, and right to the last digit."""
    exactly = noise == 1e-13
    data = {"y": Y, "x": X1, "copy": X1 + noise * X3, "z": X2}
    said = "left out: copy = x$" if exactly else "nearly collinear columns: copy is x but for .* condition number"
    with pytest.warns(CollinearityWarning, match=said):
        fit = mlekit.fit("y ~ x + z + copy", data)
    assert fit.converged
    assert fit.diagnosis.loc["collinearity", "passed"] == exactly
    exact = least_squares(of_doubles(fit.model.exog), of_doubles(Y))
    assert fit.params.to_numpy()[:-1] == pytest.approx(
        [float(v) for v in exact.params], rel=1e-12 if noise < 1e-12 else 1e-15
    )
    assert mlekit.fit("y ~ x + z", data).diagnosis.loc["collinearity", "passed"]


def test_the_warning_comes_once_and_is_in_the_summary() -> None:
    data = {"y": np.arange(80) % 3, "x": X1, "copy": 2 * X1 + 1e-8 * X3}
    with pytest.warns(CollinearityWarning) as caught:
        fit = mlekit.fit("y ~ x + copy", data, "poisson")
    assert len(caught) == 1
    text = " ".join(fit.summary().as_text().split())
    assert "copy is 2*x but for 5e-09 of its size" in text
    assert "scaled condition number" in text
    assert "7 digits that can be trusted" in text
    with pytest.warns(CollinearityWarning, match="of sigma, copy is 2"):
        mlekit.fit({"mu": "y ~ x", "sigma": "~ x + copy"}, data)


@pytest.mark.parametrize(
    "X",
    [
        powers(np.arange(1, 11), 5),
        powers(np.arange(21), 5),
        powers(np.arange(1, 22), 9),
        powers(np.arange(1990, 2021), 3),
        powers(np.arange(20, 81), 4),
        np.column_stack([np.ones(80), X1 + 1e8]),
    ],
)
def test_ordinary_designs_are_not_warned_of(X: np.ndarray) -> None:
    mlekit.Model.from_arrays(RNG.normal(size=len(X)), X)
    mlekit.fit(load("Longley")["formula"], frame(load("Longley")))


@pytest.mark.parametrize("X", [powers(np.arange(1990, 2021), 4), np.column_stack([np.ones(80), X1 + 1e10])])
def test_what_loses_its_digits_is_warned_of(X: np.ndarray) -> None:
    with pytest.warns(CollinearityWarning, match="nearly collinear"):
        mlekit.Model.from_arrays(RNG.normal(size=len(X)), X)


def test_inflation_is_that_of_statsmodels() -> None:
    X = np.column_stack([np.ones(80), X1, X2 + 5, X1 + X2 + 0.1 * X3 + 100])
    found = conditioning(X, basis(X), list("abcd"))
    factors = [variance_inflation_factor(X, j) for j in range(1, 4)]
    assert found.inflation[1:] == pytest.approx(np.sqrt(factors), rel=1e-10)
    assert found.condition == pytest.approx(np.linalg.cond(X / np.linalg.norm(X, axis=0)), rel=1e-10)


@pytest.mark.filterwarnings("ignore::statsmodels.tools.sm_exceptions.CollinearityWarning")
@pytest.mark.parametrize("name", ["Filip", "Longley", "Wampler3", "Norris"])
def test_digits_survive_the_rounding_of_the_data(name: str) -> None:
    """Columns that are rounded anew move no coefficient by more than its digits say."""
    fit = mlekit.fit(load(name)["formula"], frame(load(name)), use_t=True)
    X, y = fit.model.exog, of_doubles(fit.model.endog)
    right, errors = fit.params.to_numpy()[:-1], fit.bse.to_numpy()[:-1]
    lost = np.zeros(right.size)
    for seed in range(3):
        rounded = X * (1 + np.random.default_rng(seed).choice([-1, 1], X.shape) * 2.0**-52)
        moved = np.array([float(v) for v in least_squares(of_doubles(rounded), y).params])
        lost = np.maximum(lost, np.abs(moved - right) / np.maximum(np.abs(right), errors))
    found = fit.digits.to_numpy()[:-1]
    assert (-np.log10(lost) > found - 0.5).all()
    assert (-np.log10(lost) < found + 3).all()  # nor are they far too few


def count_case(rows: int, terms: str) -> Any:
    data = {"y": RNG.poisson(2, rows), "a": X1[:rows], "b": X2[:rows]}
    return mlekit.fit(f"y ~ {terms}", data, "poisson")


def test_more_columns_than_rows() -> None:
    """They are refused, unless they are combinations of fewer."""
    with pytest.raises(ValueError, match=r"more coefficients \(6\) than rows \(4\)"):
        count_case(4, "a + b + I(a**2) + I(b**2) + I(a*b)")
    with pytest.warns(CollinearityWarning, match="left out"):
        fit = count_case(6, "a + b + I(2 * a) + I(a + b) + I(a - b) + I(3 * b)")
    assert list(fit.params.index) == ["Intercept", "a", "b"]
    assert fit.converged


@pytest.mark.filterwarnings("ignore::statsmodels.tools.sm_exceptions.ConvergenceWarning")
def test_as_many_coefficients_as_rows_fit_every_row() -> None:
    data = {"y": np.array([2.0, 5.0, 3.0]), "a": X1[:3], "b": X2[:3]}
    fit = mlekit.fit("y ~ a + b", data, "poisson")
    np.testing.assert_allclose(fit.fittedvalues, data["y"], rtol=1e-9)


@pytest.mark.parametrize("family", ["normal", "poisson"])
def test_rows_without_weight_hold_up_no_rank(family: str) -> None:
    q, weight = np.zeros(80), np.ones(80)
    q[:3], weight[:3] = (1, 2, 3), 1e-300
    data = {"y": RNG.poisson(2, 80), "x": X1, "q": q, "w": weight}
    with pytest.warns(ConvergenceWarning):
        assert not mlekit.fit("y ~ x + q", data, family, weights="w").converged
    with pytest.warns(CollinearityWarning, match="q = 0"):
        mlekit.fit("y ~ x + q", data | {"w": (weight == 1) * 1.0}, family, weights="w")


def test_an_offset_may_be_collinear() -> None:
    plain, moved = (mlekit.fit("y ~ x", {"y": Y, "x": X1}, offset=o) for o in (None, 2 * X1))
    assert moved.params["x"] == pytest.approx(plain.params["x"] - 2, rel=1e-12)


MANY = 2 * SAMPLE_ROWS + 1


@pytest.mark.parametrize(("far", "near"), [(1e5, False), (1e9, True), (1e12, True)])
def test_a_row_far_out_that_is_not_in_the_sample(far: float, near: bool) -> None:
    """It makes two columns nearly one, where the sample says that they are independent."""
    row = int(np.setdiff1d(np.arange(MANY), sample_rows(MANY))[0])
    x, z = np.round(RNG.normal(size=(2, MANY)), 2)
    x[row] = z[row] = far
    y = x + z + np.round(RNG.normal(size=MANY), 2)
    with pytest.warns(CollinearityWarning, match="nearly") if near else np.errstate():
        fit = mlekit.fit("y ~ x + z", {"y": y, "x": x, "z": z})
    assert fit.converged
    # Whole numbers of hundredths, which Python adds without rounding.
    X = np.array([[100] * MANY, *(np.rint(100 * v).astype(np.int64).tolist() for v in (x, z))], dtype=object)
    right = np.array(np.rint(100 * y).astype(np.int64).tolist(), dtype=object)
    gram, inner = (X @ X.T).tolist(), (X @ right).tolist()
    exact = solve([[Fraction(v) for v in row] for row in gram], [Fraction(v) for v in inner])
    assert fit.params.to_numpy()[1:3] == pytest.approx([float(v) for v in exact[1:]], rel=1e-9)


def test_collinear_in_the_sample_alone() -> None:
    other = np.setdiff1d(np.arange(MANY), sample_rows(MANY))
    x = np.round(RNG.normal(size=MANY), 2)
    z = 2 * x
    z[other] = np.round(RNG.normal(size=other.size), 2)
    assert basis(np.column_stack([np.ones(MANY), x, z])).kept == (0, 1, 2)
