"""Hard scales, family by family: units of 1e-300 to 1e300, far origins, huge counts, rare events, integers, dates.

What is right is a closed form or a fraction, a maximum that mpmath finds, or the same fit in a kinder unit.
"""

from __future__ import annotations

import math
import warnings
from fractions import Fraction
from typing import Any

import mpmath
import numpy as np
import pandas as pd
import pytest
from statsmodels.tools.sm_exceptions import ConvergenceWarning

import mlekit
from mlekit import FormulaError, Model
from mlekit.families import FAMILIES
from tests.test_boundaries import COVARIANCES, family, fitted

X8 = np.column_stack([np.ones(8), np.arange(1.0, 9)])
Y8 = np.array([1.25, 0.75, 2.875, 2.25, 4.125, 3.25, 5.0, 6.25])  # doubles, as are their multiples by powers of two
#: Families of a location in units, with the position of the logarithm of the scale; and those of a log link.
LOCATION = ("normal", "laplace", "asymmetric_laplace", "huber_normal", "student_t", "logistic", "gumbel")
LOGS = {"exponential": (0,), "gamma": (0,), "weibull": (0,), "lognormal": (0,), "inverse_gaussian": (0, 2)}
UNITS = (1e-300, 1e-200, 1e-155, 1e-90, 1e90, 1e155, 1e200, 1e300)


# ------------------------------------------------------------------------------------ units of the response


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("name", LOCATION)
def test_the_unit_of_the_response_scales_location_and_scale(name: str, unit: float) -> None:
    one, two = fitted(Y8, X8, family(name)), fitted(Y8 * unit, X8, family(name))
    assert two.status is one.status
    assert two.converged
    errors = np.where(np.isfinite(one.bse), one.bse, 1)
    np.testing.assert_allclose(two.params[:2] / unit, one.params[:2], rtol=1e-9, atol=1e-7 * errors.min())
    np.testing.assert_allclose(two.params[2:3] - math.log(unit), one.params[2:3], rtol=0, atol=1e-7)
    np.testing.assert_allclose(two.bse[:2] / unit, one.bse[:2], rtol=1e-6)
    np.testing.assert_allclose(two.bse[2:], one.bse[2:], rtol=1e-6)
    assert two.llf + 8 * math.log(unit) == pytest.approx(one.llf, abs=1e-9)
    np.testing.assert_allclose(np.asarray(two.predict()) / unit, one.predict(), rtol=1e-7)
    for kind in COVARIANCES:
        try:
            right = one.with_cov(kind).bse
        except ValueError:
            with pytest.raises(ValueError, match=r"curvature|leverage"):
                two.with_cov(kind)
            continue
        np.testing.assert_allclose(two.with_cov(kind).bse[:2] / unit, right[:2], rtol=1e-5)
    assert "nan" not in str(two.summary().tables[1]) or name == "student_t"


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("name", LOGS)
def test_the_unit_of_the_response_shifts_logs(name: str, unit: float) -> None:
    one, two = fitted(Y8, X8, family(name)), fitted(Y8 * unit, X8, family(name))
    assert two.converged
    right = one.params.to_numpy().copy()
    right[list(LOGS[name])] += math.log(unit)
    np.testing.assert_allclose(two.params, right, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(two.bse, one.bse, rtol=1e-7)
    assert two.llf + 8 * math.log(unit) == pytest.approx(one.llf, abs=1e-8)
    np.testing.assert_allclose(two.with_cov("HC3").bse, one.with_cov("HC3").bse, rtol=1e-6)


def _line(x: list[Fraction], y: list[Fraction]) -> tuple[Fraction, Fraction, Fraction]:
    """Least squares in fractions: intercept, slope, and mean square of the residuals."""
    n = len(x)
    mx, my = sum(x, Fraction(0)) / n, sum(y, Fraction(0)) / n
    slope = sum((a - mx) * (b - my) for a, b in zip(x, y, strict=True)) / sum((a - mx) ** 2 for a in x)
    left = sum((b - my - slope * (a - mx)) ** 2 for a, b in zip(x, y, strict=True)) / n
    return my - slope * mx, slope, Fraction(left)


@pytest.mark.parametrize("method", ["auto", "newton", "bfgs", "l-bfgs-b"])
@pytest.mark.parametrize("power", [-990, -520, 0, 520, 990])
@pytest.mark.parametrize("column", [-30, 0, 30])
def test_least_squares_in_any_units_are_those_of_fractions(method: str, power: int, column: int) -> None:
    x = [Fraction(k) * Fraction(2) ** column for k in range(1, 9)]
    intercept, slope, left = _line(x, [Fraction(v) for v in Y8.tolist()])
    y, X = np.ldexp(Y8, power), np.column_stack([np.ones(8), [float(v) for v in x]])
    res = fitted(y, X, "normal", method)
    assert res.converged
    unit = math.ldexp(1.0, power)
    digits = 1e-10 if method == "auto" else 1e-4
    assert res.params.iloc[1] / unit == pytest.approx(float(slope), rel=digits)
    assert res.params.iloc[0] / unit == pytest.approx(float(intercept), rel=digits, abs=digits)
    spread = sum((v - sum(x, Fraction(0)) / 8) ** 2 for v in x)
    assert res.bse.iloc[1] / unit == pytest.approx(math.sqrt(left / spread), rel=digits)
    assert res.params.iloc[2] == pytest.approx(0.5 * math.log(left) + power * math.log(2), rel=digits)


@pytest.mark.parametrize("y", [[0.0, 0, 0, 0], [1e-310, 2e-310, 4e-310, 3e-310], [1e305, -1e305, 1e305, 2e305]])
def test_beyond_floats_there_is_an_answer_or_a_failing_status(y: list[float]) -> None:
    for name in ("normal", "logistic", "laplace"):
        try:
            res = fitted(y, np.ones((4, 1)), name)
        except ValueError as error:
            assert len(str(error)) > 30  # noqa: PT017 - a reason, in a sentence
            continue
        assert not res.converged or (np.isfinite(res.params).all() and np.isfinite(res.bse).all())
        assert str(res.summary())


# ------------------------------------------------------------------------------------ columns far away


@pytest.mark.parametrize("shift", [10**4, 10**8, 10**10, 10**12])
@pytest.mark.parametrize("name", [name for name in (*LOCATION, *LOGS) if name != "student_t"])
def test_a_covariate_as_far_away_as_a_date_has_the_same_slope(name: str, shift: int) -> None:
    far = X8 + np.array([0.0, shift])  # whole numbers: exact
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        one = Model.from_arrays(Y8, X8, family(name)).fit()
        two = Model.from_arrays(Y8, far, family(name)).fit()
    assert two.converged
    assert two.llf == pytest.approx(one.llf, abs=1e-7)
    lost = 1e-8 if shift <= 10**8 else 1e-3  # of 16 digits, the angle of the two columns takes 8 at 1e8, 12 at 1e12
    assert abs(two.params.iloc[1] - one.params.iloc[1]) <= lost * one.bse.iloc[1] + lost * abs(one.params.iloc[1])
    assert two.bse.iloc[1] == pytest.approx(one.bse.iloc[1], rel=10 * lost)


# ------------------------------------------------------------------------------------ counts, and rare events

HUGE = [10**15, 3 * 10**15, 2 * 10**15, 8 * 10**15]
TWO = np.column_stack([np.ones(4), [0.0, 0, 1, 1]])


@pytest.mark.parametrize("link", ["log", "identity", "sqrt"])
def test_poisson_counts_of_1e15(link: str) -> None:
    res = fitted(HUGE, TWO, family("poisson", mu=link))
    assert res.converged
    with mpmath.workdps(50):
        means = [2 * mpmath.mpf(10) ** 15, 5 * mpmath.mpf(10) ** 15]
        forward = {"log": mpmath.log, "identity": lambda v: v, "sqrt": mpmath.sqrt}[link]
        llf = mpmath.fsum(
            y * mpmath.log(m) - m - mpmath.loggamma(y + 1)
            for y, m in zip(HUGE, [means[0]] * 2 + [means[1]] * 2, strict=True)
        )
        slope = mpmath.mpf(1) / {"log": means[0], "identity": 1, "sqrt": 2 * mpmath.sqrt(means[0])}[link]
        error = mpmath.sqrt(means[0] / 2) * slope
    first = float(forward(means[0]))
    np.testing.assert_allclose(res.params, [first, float(forward(means[1])) - first], rtol=1e-12)
    assert res.bse.iloc[0] == pytest.approx(float(error), rel=1e-7)
    assert res.llf == pytest.approx(float(llf), rel=1e-13)


def test_geometric_and_binomial_counts_of_1e15() -> None:
    res = fitted(HUGE, TWO, "geometric")
    with mpmath.workdps(50):
        means = [2 * mpmath.mpf(10) ** 15] * 2 + [5 * mpmath.mpf(10) ** 15] * 2
        llf = mpmath.fsum(-mpmath.log1p(m) + y * mpmath.log(m / (1 + m)) for y, m in zip(HUGE, means, strict=True))
    np.testing.assert_allclose(res.params, [-math.log(2e15), math.log(2 / 5)], rtol=1e-12)
    assert res.llf == pytest.approx(float(llf), rel=1e-13)
    np.testing.assert_allclose(res.bse, [math.sqrt(0.5), 1.0], rtol=1e-9)
    trials = np.column_stack([HUGE, [10**16 - k for k in HUGE]])
    res = fitted(trials, TWO, "binomial")
    assert res.converged
    np.testing.assert_allclose(res.params, [math.log(1 / 4), math.log(4)], rtol=1e-9)
    np.testing.assert_allclose(res.bse.iloc[0], math.sqrt(1 / (2e16 * 0.2 * 0.8)), rtol=1e-7)
    rare = fitted(np.column_stack([[1.0, 2, 3], [1e15] * 3]), np.ones((3, 1)), "binomial")
    assert rare.converged
    np.testing.assert_allclose(rare.params, [math.log(2e-15)], rtol=1e-12)
    np.testing.assert_allclose(rare.bse, [1 / math.sqrt(6)], rtol=1e-9)


@pytest.mark.parametrize("scale", [1, 10**6, 10**13])
def test_negative_binomial_counts_of_1e15(scale: int) -> None:
    y = [scale * k for k in (12, 30, 5, 71, 44, 8)]
    res = fitted(y, np.ones((6, 1)), "negative_binomial")
    assert res.converged
    with mpmath.workdps(60):
        m = mpmath.mpf(sum(y)) / 6

        def llf(a: Any) -> Any:
            r = mpmath.exp(-a)
            return mpmath.fsum(
                mpmath.loggamma(k + r) - mpmath.loggamma(r) - mpmath.loggamma(k + 1)
                + r * mpmath.log(r / (r + m)) + k * mpmath.log(m / (r + m))
                for k in y
            )  # fmt: skip

        a = mpmath.findroot(lambda a: mpmath.diff(llf, a), -0.5)
        error = 1 / mpmath.sqrt(-mpmath.diff(llf, a, 2))
        best = llf(a)
        first = mpmath.sqrt((1 / m + mpmath.exp(a)) / 6)
    assert res.params.iloc[0] == pytest.approx(float(mpmath.log(m)), rel=1e-12)
    assert res.params.iloc[1] == pytest.approx(float(a), rel=1e-9)
    assert res.llf == pytest.approx(float(best), rel=1e-12)
    np.testing.assert_allclose(res.bse, [float(first), float(error)], rtol=1e-8)


# ------------------------------------------------------------------------------------ offsets and weights


@pytest.mark.parametrize("offset", [1e3, -1e3])
@pytest.mark.parametrize(
    "name", [n for n in FAMILIES if n not in ("ordered_logit", "ordered_probit", "multinomial_logit", "binomial")]
)
def test_a_constant_offset_is_taken_from_the_intercept(name: str, offset: float) -> None:
    y = {"bernoulli": Y8 > 3, "beta": Y8 / 8}.get(name, np.floor(Y8) if FAMILIES[name]().discrete else Y8)
    of = family(name)
    one = fitted(y, X8, of)
    two = fitted(y, X8, of, offset={next(iter(of.params)): np.full(8, offset)})
    assert two.status.ok == one.status.ok
    assert two.llf == pytest.approx(one.llf, abs=1e-9)
    close = 1e-6 * one.bse.iloc[0]
    assert two.params.iloc[0] + offset == pytest.approx(one.params.iloc[0], abs=close)
    assert two.params.iloc[1] == pytest.approx(one.params.iloc[1], abs=close)
    np.testing.assert_allclose(two.bse, one.bse, rtol=1e-6)


@pytest.mark.parametrize(("name", "low"), [("exponential", -690.0), ("exponential", 600.0), ("gamma", 600.0)])
def test_offsets_that_vary_by_hundreds(name: str, low: float) -> None:
    offset = np.linspace(low, 690, 8)
    res = fitted(Y8, np.ones((8, 1)), name, offset={next(iter(FAMILIES[name].params)): offset})
    with mpmath.workdps(50):
        right = mpmath.log(mpmath.fsum(v * mpmath.exp(-mpmath.mpf(o)) for v, o in zip(Y8, offset, strict=True)) / 8)
    assert res.converged
    assert res.params.iloc[0] == pytest.approx(float(right), rel=1e-11)


@pytest.mark.parametrize("name", ["normal", "poisson", "exponential", "geometric", "bernoulli"])
def test_weights_of_1e9_beside_those_of_one(name: str) -> None:
    y = [0, 1, 1, 0] if name == "bernoulli" else [2, 5, 4, 1]
    weights = [1e9, 1.0, 1.0, 3.0]
    res = fitted(y, TWO, name, weights=weights)
    exact = [Fraction(w) for w in weights]
    means = [float((exact[i] * y[i] + exact[i + 1] * y[i + 1]) / (exact[i] + exact[i + 1])) for i in (0, 2)]
    eta = {
        "normal": lambda m: m,
        "poisson": math.log,
        "exponential": math.log,
        "geometric": lambda m: -math.log(m),
        "bernoulli": lambda m: math.log(m / (1 - m)),
    }[name]
    assert res.converged
    np.testing.assert_allclose(res.params[:2], [eta(means[0]), eta(means[1]) - eta(means[0])], rtol=1e-7)
    np.testing.assert_allclose(np.asarray(res.predict())[[0, 2]], means, rtol=1e-8)


# ------------------------------------------------------------------------------------ integers, bools, dates


def test_small_integers_do_not_overflow() -> None:
    data = pd.DataFrame(
        {
            "y": np.array([100, 120, 127, 90], dtype=np.int8),
            "x": np.array([100, 127, -128, 50], dtype=np.int8),
            "big": np.array([2**63, 2**63 + 2**20, 2**62, 2**61], dtype=np.uint64),
            "flag": [True, False, True, False],
            "count": np.array([250, 251, 255, 250], dtype=np.uint8),
        }
    )
    plain = data.astype(float)
    for formula, name in (
        ("y ~ x", "normal"), ("y ~ big", "normal"), ("y ~ x", "poisson"), ("count ~ x", "geometric"),
        ("y ~ I(x * 2.0)", "normal"),
        ("count ~ flag", "poisson"), ("flag ~ x", "bernoulli"),
    ):  # fmt: skip
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            one = mlekit.fit(formula, data, name)
            two = mlekit.fit(formula, plain, name)
        assert one.llf == pytest.approx(two.llf, rel=1e-14, abs=1e-14)
        np.testing.assert_allclose(one.params, two.params, rtol=1e-9)
    intercept, slope, _ = _line([Fraction(int(v)) for v in data["x"]], [Fraction(int(v)) for v in data["y"]])
    res = mlekit.fit("y ~ x", data)
    np.testing.assert_allclose(res.params[:2], [float(intercept), float(slope)], rtol=1e-13)
    np.testing.assert_allclose(mlekit.fit("count ~ flag", data, "poisson").predict(), [252.5, 250.5] * 2, rtol=1e-13)


def test_years_and_their_squares() -> None:
    years = list(range(1990, 2002))
    y = [3, 4, 6, 9, 11, 17, 20, 28, 33, 41, 48, 60]
    data = pd.DataFrame({"year": years, "y": y})
    intercept, slope, left = _line([Fraction(v) for v in years], [Fraction(v) for v in y])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        res = mlekit.fit("y ~ year", data)
        np.testing.assert_allclose(res.params[:2], [float(intercept), float(slope)], rtol=1e-12)
        assert res.params.iloc[2] == pytest.approx(0.5 * math.log(left), rel=1e-12)
        counts = mlekit.fit("y ~ year + I(year ** 2.0)", data, "poisson")
        centred = mlekit.fit("y ~ I(year - 1995) + I((year - 1995) ** 2.0)", data, "poisson")
    assert counts.converged
    assert counts.llf == pytest.approx(centred.llf, rel=1e-11)
    assert counts.params.iloc[2] == pytest.approx(centred.params.iloc[2], rel=1e-6)
    assert counts.bse.iloc[2] == pytest.approx(centred.bse.iloc[2], rel=1e-6)


def test_dates_are_refused_with_a_reason_or_are_numbers() -> None:
    data = pd.DataFrame({"y": [1.0, 3, 2, 5], "day": pd.date_range("2024-01-01", periods=4)})
    with pytest.raises(FormulaError, match="day"):
        mlekit.fit("y ~ day", data)


@pytest.mark.parametrize("method", ["newton", "fisher", "bfgs", "l-bfgs-b", "nelder-mead", "gd"])
@pytest.mark.parametrize("unit", [1e-250, 1.0, 1e250])
def test_methods_agree_or_say_that_they_do_not(method: str, unit: float) -> None:
    for name in ("normal", "gamma", "poisson"):
        y = np.floor(Y8) if name == "poisson" else Y8 * unit
        X = X8 * np.array([1.0, unit]) if name == "poisson" else X8
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            right, res = fitted(y, X, name), fitted(y, X, name, method)
        assert right.converged
        if res.converged:
            assert res.llf == pytest.approx(right.llf, abs=1e-5)
        else:
            assert "What to do" in res.reason
