"""Least squares against the certified values of NIST, and against exact fractions."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

import mlekit
from tests.exact_squares import NAMES, SETS, digits, frame, least_squares, load, matrix, of_doubles

pytestmark = [
    pytest.mark.filterwarnings("ignore::statsmodels.tools.sm_exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore::statsmodels.tools.sm_exceptions.CollinearityWarning"),
]

# Correct digits of the worst coefficient, against the certified values: what rounding the data to doubles leaves.
DIGITS = dict(zip(NAMES, [12.5, 12.5, 14.5, 14.9, 7.5, 14.5, 14.9, 13, 14.9, 14.9, 14.9], strict=True))


def test_every_set_is_there() -> None:
    assert {path.stem for path in SETS.glob("*.json")} - {"r_lm"} == {name.lower() for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_certified_values_are_the_exact_ones(name: str) -> None:
    case = load(name)
    X, y = matrix(case)
    exact, certified = least_squares(X, y, mean="Intercept" in case["parameters"]), case["certified"]
    assert [float(v) for v in exact.params] == pytest.approx([float(v) for v in certified["estimate"]], rel=2e-14)
    assert exact.bse == pytest.approx([float(v) for v in certified["standard_deviation"]], rel=1e-14)
    assert exact.sigma == pytest.approx(float(certified["residual_standard_deviation"]), rel=1e-14)
    assert exact.rsquared == pytest.approx(float(certified["r_squared"]), rel=1e-14)


@pytest.mark.parametrize("name", NAMES)
def test_correct_digits(name: str) -> None:
    case = load(name)
    fit = mlekit.fit(case["formula"], frame(case), use_t=True)
    names, certified = case["parameters"], case["certified"]
    worst = min(digits(fit.params[n], float(v)) for n, v in zip(names, certified["estimate"], strict=True))
    assert worst >= DIGITS[name]
    if name in ("Wampler1", "Wampler2"):  # a perfect fit, which has no standard errors to speak of
        assert fit.status is mlekit.Status.UNBOUNDED
        return
    least = 7.5 if name == "Filip" else 12
    assert (
        min(digits(fit.bse[n], float(v)) for n, v in zip(names, certified["standard_deviation"], strict=True)) > least
    )
    sigma = np.sqrt(fit.deviance / fit.df_resid)
    assert digits(sigma, float(certified["residual_standard_deviation"])) > (8.5 if name == "Filip" else 12.5)
    total = np.sum((fit.model.endog - ("Intercept" in names) * fit.model.endog.mean()) ** 2)
    assert digits(1 - fit.deviance / total, float(certified["r_squared"])) > (10.5 if name == "Filip" else 13)


@pytest.mark.parametrize("name", NAMES)
def test_the_page_has_the_digits_of_this_code(name: str) -> None:
    page = (Path(__file__).parents[1] / "docs" / "nist.md").read_text(encoding="utf-8")
    (line,) = (line for line in page.splitlines() if line.startswith(f"| {name} |"))
    case = load(name)
    fit = mlekit.fit(case["formula"], frame(case), use_t=True)
    for found, key, told in zip(
        (fit.params, fit.bse), ("estimate", "standard_deviation"), line.split("|")[2].split("/"), strict=False
    ):
        pairs = zip(found[case["parameters"]], case["certified"][key], strict=True)
        # The last digits of what is not refined depend on the processor's order of summation.
        assert min(digits(value, float(right)) for value, right in pairs) > float(told) - 0.5


@pytest.mark.parametrize("name", ["Filip", "Longley", "Wampler1", "Wampler2", "Wampler5"])
def test_coefficients_are_right_to_the_last_digit(name: str) -> None:
    """Of the matrix as it is stored: what is missing of the certified values was lost when the data were rounded."""
    fit = mlekit.fit(load(name)["formula"], frame(load(name)), use_t=True)
    exact = least_squares(of_doubles(fit.model.exog), of_doubles(fit.model.endog))
    assert fit.params.to_numpy()[:-1] == pytest.approx([float(v) for v in exact.params], rel=5e-16)
    if fit.converged:
        assert fit.bse.to_numpy()[:-1] == pytest.approx(exact.bse, rel=2e-12)


@pytest.mark.parametrize("scale", [1e-200, 1.0, 1e140])
def test_weights_offset_and_units(scale: float) -> None:
    """Also where the weights span many powers of ten, and the columns are nearly collinear."""
    rng = np.random.default_rng(3)
    x = 1e7 + np.round(rng.normal(size=30), 3)
    data = {
        "x": x * scale,
        "z": (x + 1e-3 * rng.normal(size=30)),
        "y": rng.normal(size=30),
        "o": 1e6 * rng.normal(size=30),
    }
    data["w"] = 10.0 ** rng.uniform(-9, 3, size=30)
    fit = mlekit.fit("y ~ x + z", data, offset="o", weights="w")
    y = [Fraction(float(a)) - Fraction(float(b)) for a, b in zip(data["y"], data["o"], strict=True)]
    exact = least_squares(of_doubles(fit.model.exog), y, of_doubles(data["w"]))
    assert fit.params.to_numpy()[:-1] == pytest.approx([float(v) for v in exact.params], rel=1e-15)
    precise = mlekit.fit("y ~ x + z", data, offset={"mu": "o", "sigma": "-0.5 * log(w)"})
    assert precise.params.to_numpy()[:-1] == pytest.approx([float(v) for v in exact.params], rel=1e-6)


def test_many_rows_that_are_nearly_collinear() -> None:
    n = 20_500
    rng = np.random.default_rng(2)
    x = np.round(rng.normal(size=n), 2)
    data = {"x": x + 1e9, "y": np.round(rng.normal(size=n), 2)}
    fit = mlekit.fit("y ~ x", data)
    X, y = of_doubles(data["x"]), of_doubles(data["y"])
    sx, sy = sum(X, Fraction(0)), sum(y, Fraction(0))
    sxx, sxy = sum(v * v for v in X), sum(a * b for a, b in zip(X, y, strict=True))
    slope = (n * sxy - sx * sy) / (n * sxx - sx * sx)
    assert fit.params["x"] == pytest.approx(float(slope), rel=1e-15)
    assert fit.params["Intercept"] == pytest.approx(float((sy - slope * sx) / n), rel=1e-15)


def test_a_slope_too_small_for_a_double_is_zero() -> None:
    x = 1e4 + np.arange(9.0)
    fit = mlekit.fit("y ~ x", {"y": 1e-300 * np.sin(x), "x": 1e290 * x})
    assert fit.params["x"] == 0
    assert np.isfinite(fit.params).all()
