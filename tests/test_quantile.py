"""Regression quantiles: exact by linear programming, judged by subgradients, against fractions and other packages."""

from __future__ import annotations

import warnings
from fractions import Fraction
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog
from sklearn.linear_model import QuantileRegressor
from statsmodels.regression.quantile_regression import QuantReg
from statsmodels.tools.sm_exceptions import ConvergenceWarning

import mlekit
from mlekit import Status
from mlekit.families import AsymmetricLaplace, Laplace
from mlekit.optimize import METHODS
from mlekit.optimize.quantile import weighted_quantile
from tests.reference import cases, load

CARS = load("laplace_lad_cars").frame


def quiet(*args: Any, **how: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return mlekit.fit(*args, **how)


def by_arrays(y: Any, X: Any, q: float = 0.5, **how: Any) -> Any:
    return mlekit.Model.from_arrays(y, X, AsymmetricLaplace(q=q), **how).fit()


def losses(y: np.ndarray, X: np.ndarray, beta: Any, q: float, weight: Any = 1.0) -> float:
    residual = y - X @ np.asarray(beta)[: X.shape[1]]
    return float(np.sum(weight * residual * (q - (residual < 0))))


# ------------------------------------------------------------------------------------ the right numbers


@pytest.mark.parametrize("name", cases("laplace"))
def test_reference(name: str) -> None:
    case = load(name)
    fit = mlekit.fit(case.formula, case.frame, "laplace")
    assert fit.converged
    for coefficient, value in case.expected["params"].items():
        assert fit.params[coefficient] == pytest.approx(value, rel=1e-12)
    assert fit.llf == pytest.approx(case.expected["llf"], rel=1e-10)
    assert fit.distribution.estimate["b"] == pytest.approx(case.expected["scale_ml"], rel=1e-13)
    if "aic_counting_scale" in case.expected:
        assert fit.aic == pytest.approx(case.expected["aic_counting_scale"], rel=1e-10)
        assert fit.deviance == pytest.approx(2 * case.expected["sum_abs_resid"], rel=1e-13)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(-4, 4), st.integers(-9, 9)), min_size=4, max_size=9),
    st.sampled_from([Fraction(1, 2), Fraction(1, 4), Fraction(7, 8)]),
)
def test_lines_against_all_vertices_in_exact_fractions(points: list[tuple[int, int]], q: Fraction) -> None:
    """The minimum is at a line through two of the points; where several lines have it, the middle one is reported."""
    lines = {}
    for (x, y), (u, v) in combinations(points, 2):
        if x != u:
            slope = Fraction(y - v, x - u)
            lines[y - slope * x, slope] = sum(
                r * (q if r > 0 else q - 1) for r in (b - (y - slope * x) - slope * a for a, b in points)
            )
    least = min(lines.values(), default=0)
    if least == 0:  # one covariate value, or a perfect fit
        return
    best = [line for line, loss in lines.items() if loss == least]
    xs, ys = np.array(points, dtype=float).T
    fit = by_arrays(ys, np.column_stack([np.ones_like(xs), xs]), float(q))
    assert losses(ys, np.column_stack([np.ones_like(xs), xs]), fit.params, float(q)) == pytest.approx(float(least))
    assert fit.converged
    assert ("not unique" in fit.reason) == (len(best) > 1)
    if len(best) <= 2:
        middle = [float(sum(line[j] for line in best) / len(best)) for j in (0, 1)]
        assert fit.params.to_numpy()[:2] == pytest.approx(middle, rel=1e-12, abs=1e-13)
    assert fit.distribution.estimate["b"] == pytest.approx(float(least / len(points)), rel=1e-12)


def dataset(kind: str, seed: int = 0, n: int = 60) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    group, x = rng.integers(0, 3, n), rng.normal(size=(n, 2))
    X = np.column_stack([np.ones(n), x])
    y = X @ [1.0, 2.0, -1.0] + rng.standard_t(2, n)
    if kind == "counts":
        X, y = np.column_stack([np.ones(n), rng.integers(0, 3, (n, 2))]), rng.integers(0, 6, n).astype(float)
    elif kind == "groups and a slope":
        X = np.column_stack([np.eye(3)[group], x[:, 0]])
    elif kind == "mostly zero":
        y = np.where(rng.random(n) < 0.7, 0.0, y)
    elif kind == "far out":
        y[0] = 1e15
    elif kind == "a lever":
        X[0, 1], y[0] = 1e4, 3e4
    return y, X


KINDS = ("plain", "counts", "groups and a slope", "mostly zero", "far out", "a lever")


@pytest.mark.parametrize("q", [0.5, 0.25, 0.9])
@pytest.mark.parametrize("kind", KINDS)
def test_against_scikit_learn(kind: str, q: float) -> None:
    for seed in range(5):
        y, X = dataset(kind, seed)
        weight = np.random.default_rng(seed).integers(1, 4, y.size).astype(float)
        theirs = QuantileRegressor(quantile=q, alpha=0, fit_intercept=False).fit(X, y, sample_weight=weight).coef_
        fit = by_arrays(y, X, q, weights=weight)
        assert fit.converged
        ours, other = (losses(y, X, beta, q, weight) for beta in (fit.params, theirs))
        assert ours <= other + 1e-13 * np.abs(y).sum()
        if "not unique" not in fit.reason and kind != "far out":
            assert fit.params.to_numpy()[:-1] == pytest.approx(theirs, rel=1e-6, abs=1e-7)


def test_against_statsmodels() -> None:
    y, X = dataset("plain", n=500)
    for q in (0.1, 0.5, 0.75):
        theirs = QuantReg(y, X).fit(q=q, p_tol=1e-10, max_iter=5000).params
        assert by_arrays(y, X, q).params.to_numpy()[:-1] == pytest.approx(theirs, rel=1e-4)


@pytest.mark.parametrize("q", [0.5, 0.05])
def test_many_rows(q: float) -> None:
    """More rows than go into one programme: the same as the programme of all of them."""
    y, X = dataset("plain", n=25_000)
    rows = [i * 25 for i in range(1000)]
    X[:, 2] = np.round(X[:, 2])
    X[rows, 1], y[rows] = X[0, 1], 0.0  # and many on one spot
    whole = linprog(-y, A_eq=X.T, b_eq=(1 - q) * X.sum(axis=0), bounds=(0, 1), method="highs-ipm")
    fit = by_arrays(y, X, q)
    assert fit.converged
    assert fit.params.to_numpy()[:-1] == pytest.approx(-whole.eqlin.marginals, rel=1e-8, abs=1e-8)


# ------------------------------------------------------------------------------------ medians and quantiles


def test_median_of_an_even_number_is_the_middle_and_said_so() -> None:
    y = np.array([3.0, 1.0, 10.0, 4.0])
    fit = mlekit.fit("y ~ 1", {"y": y}, "laplace")
    assert fit.params["Intercept"] == np.median(y)
    assert fit.status is Status.CLOSED_FORM
    said = "not unique: other estimates have the same likelihood, and method='auto' takes the middle of them"
    assert said in " ".join(fit.summary().as_text().split())
    assert "not unique" not in mlekit.fit("y ~ 1", {"y": y[:3]}, "laplace").reason


@pytest.mark.parametrize("formula", ["y ~ C(g)", "y ~ 0 + C(g)"])
def test_groups_are_their_medians(formula: str) -> None:
    y, _ = dataset("plain", n=50)
    frame = pd.DataFrame({"y": y, "g": np.arange(50) % 4})
    fit = mlekit.fit(formula, frame, "laplace")
    assert fit.status is Status.CLOSED_FORM
    assert fit.fittedvalues.to_numpy() == pytest.approx(frame.groupby("g").y.transform("median").to_numpy(), rel=1e-14)


@given(
    st.lists(st.tuples(st.integers(-5, 5), st.integers(1, 4)), min_size=1, max_size=12),
    st.sampled_from([0.5, 0.3, 0.1, 0.99, 1 / 3]),
)
def test_weighted_quantile(rows: list[tuple[int, int]], q: float) -> None:
    """Against the losses at every response: of all that have the least, it is the middle of the lowest and highest."""
    y, weight = np.array(rows, dtype=float).T
    share = Fraction(q).limit_denominator(100)
    cost = {
        m: sum(w * (v - m) * (share if v > m else share - 1) for v, w in rows) for m in {value for value, _ in rows}
    }
    best = [m for m, c in cost.items() if c == min(cost.values())]
    assert weighted_quantile(y, weight, q) == (min(best) + max(best)) / 2


# ------------------------------------------------------------------------------------ what must not matter


@pytest.mark.parametrize("kind", KINDS)
def test_order_of_rows(kind: str) -> None:
    for q in (0.5, 0.25):
        y, X = dataset(kind)
        order = np.random.default_rng(1).permutation(y.size)
        a, b = by_arrays(y, X, q).params, by_arrays(y[order], X[order], q).params
        assert a.to_numpy() == pytest.approx(b.to_numpy(), rel=1e-10, abs=1e-15 * np.abs(y).max())


def test_order_of_columns_where_the_estimate_is_not_unique() -> None:
    y, X = dataset("groups and a slope")
    order = [3, 1, 0, 2]
    a, b = by_arrays(y, X), by_arrays(y, X[:, order])
    assert "not unique" in a.reason
    assert a.params.to_numpy()[order] == pytest.approx(b.params.to_numpy()[:-1], rel=1e-9)


@pytest.mark.parametrize("size", [1e-6, 1e-3, 1e6])
@pytest.mark.parametrize("kind", ["plain", "counts", "groups and a slope"])
def test_units(kind: str, size: float) -> None:
    y, X = dataset(kind)
    want = by_arrays(y, X, 0.25)
    scaled = by_arrays(size * y, X, 0.25)
    assert scaled.params.to_numpy()[:-1] == pytest.approx(
        size * want.params.to_numpy()[:-1], rel=1e-9, abs=1e-14 * size
    )
    assert scaled.bse.to_numpy()[:-1] == pytest.approx(size * want.bse.to_numpy()[:-1], rel=1e-12)
    assert scaled.llf == pytest.approx(want.llf - y.size * np.log(size), rel=1e-12)
    stretch = np.array([1.0, size, 1 / size, 1.0][: X.shape[1]])
    moved = by_arrays(y, X * stretch, 0.25)
    assert stretch * moved.params.to_numpy()[:-1] == pytest.approx(want.params.to_numpy()[:-1], rel=1e-9, abs=1e-13)
    assert moved.llf == pytest.approx(want.llf, rel=1e-13)


def test_weights_are_repeated_rows() -> None:
    for kind in ("plain", "counts", "groups and a slope"):
        y, X = dataset(kind)
        weight = np.random.default_rng(2).integers(1, 5, y.size)
        a, b = by_arrays(y, X, weights=weight), by_arrays(np.repeat(y, weight), np.repeat(X, weight, axis=0))
        assert a.params.to_numpy() == pytest.approx(b.params.to_numpy(), rel=1e-9, abs=1e-13)
        assert a.llf == pytest.approx(b.llf, rel=1e-12)
        assert a.bse.to_numpy() == pytest.approx(b.bse.to_numpy(), rel=1e-12)


def test_offsets_are_taken_off_the_response() -> None:
    shift = np.linspace(-3, 50, 50)
    a = mlekit.fit("dist ~ speed", CARS, "laplace", offset=shift)
    b = mlekit.fit("dist ~ speed", CARS.assign(dist=CARS.dist - shift), "laplace")
    assert a.params.to_numpy() == pytest.approx(b.params.to_numpy(), rel=1e-13)
    grouped = mlekit.fit("dist ~ 1", CARS, "laplace", offset=shift)
    assert grouped.params["Intercept"] == pytest.approx(np.median(CARS.dist - shift), rel=1e-14)


def test_precision_weights_are_an_offset_of_log_b() -> None:
    y, X = dataset("plain")
    scale = np.random.default_rng(3).uniform(0.5, 2, y.size)
    fit = by_arrays(y, X, 0.25, offset={"b": np.log(scale)})
    theirs = QuantileRegressor(quantile=0.25, alpha=0, fit_intercept=False).fit(X, y, sample_weight=1 / scale).coef_
    assert fit.params.to_numpy()[:-1] == pytest.approx(theirs, rel=1e-7)
    assert np.exp(fit.params["b_Intercept"]) == pytest.approx(losses(y, X, theirs, 0.25, 1 / scale) / y.size, rel=1e-9)


# ------------------------------------------------------------------------------------ methods and verdicts


@pytest.mark.parametrize("method", METHODS)
def test_no_method_claims_a_point_that_is_not_the_maximum(method: str) -> None:
    exact = mlekit.fit("dist ~ speed", CARS, "laplace")
    fit = quiet("dist ~ speed", CARS, "laplace", method=method, maxiter=300)
    distance = np.abs(fit.params - exact.params) / exact.bse
    assert fit.llf <= exact.llf + 1e-10
    if fit.converged:
        assert distance[:2].max() < 1e-6  # the line; the scale is within the usual distance
        assert distance.iloc[2] < 1e-3
    else:
        assert distance.max() > 1e-9
        assert fit.status is Status.KINKED
        assert "method='auto'" in fit.reason


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("counts", "groups and a slope")])
def test_a_point_near_the_only_maximum_is_not_taken_for_it(kind: str) -> None:
    y, X = dataset(kind)
    model = mlekit.Model.from_arrays(y, X, "laplace")
    exact = model.fit()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        off = model.fit("newton", start=exact.params + 1e-3 * exact.bse, maxiter=1)
    assert off.status is Status.KINKED
    assert model.fit(start=exact.params + exact.bse).params.tolist() == exact.params.tolist()
    with pytest.raises(ValueError, match="start must be 4 finite numbers"):
        model.fit(start=[1.0])


def test_compare_has_the_exact_estimate() -> None:
    found = mlekit.compare("dist ~ speed", CARS, "laplace")
    assert found.best == "closed_form"
    assert found.table.status["closed_form"] == "converged"


def test_perfect_fits_are_unbounded() -> None:
    x = np.arange(9.0)
    for family in ("laplace", AsymmetricLaplace(q=0.2)):
        for y in (np.ones(9), np.zeros(9), 1 + 2 * x, 1e6 * x):
            with pytest.warns(ConvergenceWarning, match="the fit is perfect, so the likelihood has no maximum"):
                fit = mlekit.fit("y ~ x", {"y": y, "x": x}, family)
            assert fit.status is Status.UNBOUNDED
        three = mlekit.fit("y ~ x", {"y": [1.0, 5, 7], "x": [0.0, 1, 2]}, family)  # one row more than the line needs
        assert three.converged
    with pytest.raises(ValueError, match=r"more coefficients \(3\) than rows \(2\)"):
        mlekit.fit("y ~ x", {"y": [1.0, 5], "x": [0.0, 1]}, "laplace")


def test_infinite_covariates_are_refused() -> None:
    y, X = dataset("plain", n=30_000)
    X[77, 1] = np.inf
    with pytest.raises(ValueError, match="inf"):
        by_arrays(y, X)


# ------------------------------------------------------------------------------------ a scale of its own formula


def test_a_scale_with_a_formula() -> None:
    formulas = {"mu": "dist ~ speed", "b": "~ speed"}
    fit = mlekit.fit(formulas, CARS, "laplace")
    assert fit.converged
    assert fit.method == "alternating"
    assert "there may be other maxima: try another start" in fit.reason
    # Given the scale, the quantile of scikit-learn; given the quantile, a score of zero.
    scale = np.exp(fit.params["b_Intercept"] + fit.params["b_speed"] * CARS.speed.to_numpy())
    X = np.column_stack([np.ones(50), CARS.speed])
    theirs = QuantileRegressor(quantile=0.5, alpha=0, fit_intercept=False)
    theirs.fit(X, CARS.dist, sample_weight=1 / scale)
    assert fit.params.to_numpy()[:2] == pytest.approx(theirs.coef_, rel=1e-9)
    score = (np.abs(CARS.dist - X @ theirs.coef_) / scale - 1) @ X
    assert np.abs(score).max() < 1e-6
    assert fit.llf > mlekit.fit("dist ~ speed", CARS, "laplace").llf
    other = mlekit.fit(formulas, CARS, "laplace", start=fit.params + 0.5 * fit.bse)
    assert other.params.to_numpy() == pytest.approx(fit.params.to_numpy(), rel=1e-6)
    with pytest.raises(ValueError, match="no closed form"):
        mlekit.fit(formulas, CARS, "laplace", method="closed_form")


def test_a_group_that_is_fitted_exactly_is_unbounded() -> None:
    frame = pd.DataFrame({"y": [1.0, 2, 4, 3, 9, 6], "g": list("aaabbc")})
    assert quiet({"mu": "y ~ g", "b": "~ g"}, frame, "laplace").status is Status.UNBOUNDED


def test_limit_of_turns() -> None:
    y, X = dataset("plain", n=200)
    model = mlekit.Model.from_arrays(y, {"mu": X, "b": X}, Laplace())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        fit = model.fit(maxiter=1)
    assert fit.status is Status.KINKED
    assert "reached the limit of 1 turns" in fit.reason
    assert model.fit().converged
