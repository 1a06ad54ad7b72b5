"""Likelihoods that are not regressions, against the reference fits, scipy and statsmodels."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import special, stats

import mlekit
from mlekit.diagnostics import NotGiven
from mlekit.jets import DerivativeError
from tests.reference import load


def beta(shape1: Any, shape2: Any, prop: Any) -> Any:
    return (shape1 - 1) * np.log(prop) + (shape2 - 1) * np.log1p(-prop) - special.betaln(shape1, shape2)


def gamma(mu: Any, shape: Any, y: Any) -> Any:
    scaled = y * shape / mu
    return special.xlogy(shape, scaled) - scaled - np.log(y) - special.gammaln(shape)


def weibull(shape: Any, scale: Any, time: Any) -> Any:
    z = time / scale
    return np.log(shape / scale) + (shape - 1) * np.log(z) - z**shape


def censored(b0: Any, age: Any, sex: Any, ecog: Any, log_s: Any, data: Any) -> Any:
    s = np.exp(log_s)
    z = (np.log(data["time"]) - (b0 + age * data["age"] + sex * data["sex"] + ecog * data["ecog"])) / s
    return data["event"] * (z - log_s - np.log(data["time"])) - np.exp(z)


IID = {
    "beta_iid_swiss": (beta, {"shape1": 1.0, "shape2": 1.0}),
    "gamma_iid_leuk": (gamma, {"mu": 30.0, "shape": 1.0}),
    "weibull_iid_leuk": (weibull, {"shape": 1.0, "scale": 30.0}),
}


@pytest.mark.parametrize("name", IID)
def test_reference_cases(name: str) -> None:
    function, start = IID[name]
    case = load(name)
    res = mlekit.mle(function, start, case.frame)
    assert res.converged
    for parameter in start:
        assert res.params[parameter] == pytest.approx(case.expected["params"][parameter], rel=1e-9)
        assert res.bse[parameter] == pytest.approx(case.expected["bse"][parameter], rel=1e-8)
    assert res.llf == pytest.approx(case.expected["llf"], rel=1e-11)
    assert res.aic == pytest.approx(case.expected["aic"], rel=1e-11)
    assert res.bic == pytest.approx(case.expected["bic"], rel=1e-11)


@pytest.mark.parametrize("name", IID)
def test_a_transform_changes_nothing_on_the_own_scale(name: str) -> None:
    function, start = IID[name]
    case = load(name)
    res = mlekit.mle(function, start, case.frame, transforms=dict.fromkeys(start, "log"))
    for parameter in start:
        assert res.params[f"log({parameter})"] == pytest.approx(np.log(case.expected["params"][parameter]), abs=1e-9)
        estimate, se = res.distribution.loc[parameter, ["estimate", "std err"]]
        assert estimate == pytest.approx(case.expected["params"][parameter], rel=1e-9)
        assert se == pytest.approx(case.expected["bse"][parameter], rel=1e-8)


def test_a_regression_with_censoring_written_by_hand() -> None:
    case = load("weibull_censored_lung")
    frame = {name: column.to_numpy(float) for name, column in case.frame.items()}

    def rows(b0: Any, age: Any, sex: Any, ecog: Any, log_s: Any) -> Any:
        return censored(b0, age, sex, ecog, log_s, frame)

    start = {"b0": 6.0, "age": 0.0, "sex": 0.0, "ecog": 0.0, "log_s": 0.0}
    expected = case.expected
    res = mlekit.mle(rows, start)
    names = ["Intercept", "age", "sex", "ecog", "log_s"]
    np.testing.assert_allclose(res.params, [expected["params"][n] for n in names], rtol=1e-8)
    np.testing.assert_allclose(res.bse, [expected["bse"][n] for n in names], rtol=1e-7)
    assert res.llf == pytest.approx(expected["llf"], rel=1e-10)


@pytest.mark.parametrize("method", ["newton", "bfgs", "l-bfgs-b", "nelder-mead"])
def test_by_any_method(method: str) -> None:
    case = load("gamma_iid_leuk")
    transforms = {"mu": "log", "shape": "log"}
    res = mlekit.mle(gamma, {"mu": 3.0, "shape": 1.0}, case.frame, transforms=transforms, method=method, maxiter=2000)
    expected = [case.expected["params"][name] for name in transforms]
    assert (np.abs(np.exp(res.params) - expected) < 1e-3 * res.distribution["std err"].to_numpy()).all()
    assert res.converged


def test_rows_that_depend_on_those_before_them() -> None:
    rng = np.random.default_rng(4)
    y = np.zeros(300)
    for t in range(1, 300):
        y[t] = 0.5 + 0.6 * y[t - 1] + rng.normal()

    def autoregression(c: Any, phi: Any, sigma: Any) -> Any:
        z = (y[1:] - c - phi * y[:-1]) / sigma
        return -0.5 * z * z - np.log(sigma) - 0.5 * np.log(2 * np.pi)

    res = mlekit.mle(autoregression, {"c": 0.0, "phi": 0.0, "sigma": 1.0}, bounds={"sigma": (1e-6, None)})
    ols = sm.OLS(y[1:], sm.add_constant(y[:-1])).fit()
    np.testing.assert_allclose(res.params[:2], ols.params, rtol=1e-9)
    np.testing.assert_allclose(res.params["sigma"] ** 2, ols.ssr / 299, rtol=1e-9)
    np.testing.assert_allclose(res.llf, ols.llf, rtol=1e-12)
    assert (res.nobs, res.df_resid) == (299, 296)


def test_robust_errors_are_those_of_least_squares() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=200)
    y = 1 + x + rng.normal(size=200) * np.exp(0.3 * x)

    def line(a: Any, b: Any) -> Any:
        return -0.5 * (y - a - b * x) ** 2

    res = mlekit.mle(line, {"a": 0.0, "b": 0.0}, cov_type="HC0")
    ols = sm.OLS(y, sm.add_constant(x)).fit(cov_type="HC0")
    np.testing.assert_allclose(res.bse, ols.bse, rtol=1e-9)


def test_fixed_bounds_constraints_and_penalty() -> None:
    frame = load("weibull_iid_leuk").frame
    start = {"shape": 1.5, "scale": 30.0}
    held = mlekit.mle(weibull, start, frame, fixed={"shape": 1.0})
    assert held.params["scale"] == pytest.approx(frame["time"].mean(), rel=1e-9)
    assert list(held.params.index) == ["scale"]
    assert held.distribution.loc["shape", "estimate"] == 1.0
    bound = mlekit.mle(weibull, start, frame, bounds={"shape": (1, None)})
    assert bound.params["shape"] == 1.0
    assert bound.at_bound == ("shape",)
    assert bound.params["scale"] == pytest.approx(frame["time"].mean(), rel=1e-9)
    tied = mlekit.mle(weibull, start, frame, constraints="scale = 30 * shape")
    assert tied.params["scale"] == pytest.approx(30 * tied.params["shape"], rel=1e-12)
    prior = mlekit.mle(weibull, start, frame, penalty=mlekit.NormalPrior({"shape": (2, 1e-6)}))
    assert prior.params["shape"] == pytest.approx(2, abs=1e-6)


def test_numeric_derivatives_and_what_jets_cannot_follow() -> None:
    y = np.random.default_rng(2).standard_t(5, size=100)

    def student(mu: Any, sigma: Any) -> Any:
        return stats.t.logpdf(y, 5, mu, sigma)

    start = {"mu": 0.0, "sigma": 1.0}
    with pytest.raises(DerivativeError, match=r"student: .*numeric"):
        mlekit.mle(student, start)
    res = mlekit.mle(student, start, derivatives="numeric", transforms={"sigma": "log"})
    _, mu, sigma = stats.t.fit(y, f0=5)
    np.testing.assert_allclose(res.distribution["estimate"], [mu, sigma], atol=1e-3)
    assert res.llf >= stats.t.logpdf(y, 5, mu, sigma).sum() - 1e-9


def test_a_hundred_thousand_rows() -> None:
    y = np.random.default_rng(1).gumbel(2, 3, size=100_000)

    def gumbel(mu: Any, log_beta: Any) -> Any:
        z = (y - mu) * np.exp(-log_beta)
        return -z - np.exp(-z) - log_beta

    res = mlekit.mle(gumbel, {"mu": 0.0, "log_beta": 0.0})
    mu, scale = stats.gumbel_r.fit(y)
    assert res.llf >= stats.gumbel_r.logpdf(y, mu, scale).sum() - 1e-6
    np.testing.assert_allclose(res.params, [mu, np.log(scale)], atol=1e-5)


def test_summary_tests_and_pickle() -> None:
    frame = load("gamma_iid_leuk").frame
    res = mlekit.mle(gamma, {"mu": 30.0, "shape": 1.0}, frame)
    text = str(res.summary())
    assert "gamma maximum likelihood" in text
    assert "exact (jets)" in text
    assert "nan" not in text
    assert float(res.t_test("shape = 1").pvalue) == pytest.approx(
        2 * stats.norm.sf(abs(res.params["shape"] - 1) / res.bse["shape"]), rel=1e-9
    )
    again = pickle.loads(pickle.dumps(res))
    np.testing.assert_array_equal(again.params, res.params)
    with pytest.raises(NotGiven, match="no fitted values"):
        _ = res.fittedvalues


@pytest.mark.parametrize(
    ("function", "start", "data", "error", "said"),
    [
        (gamma, {"mu": 1.0}, {"y": [1.0, 2.0]}, TypeError, "gamma takes shape: neither in start, and data has no"),
        (gamma, {"mu": 1.0, "shape": 1.0}, None, TypeError, "gamma takes y: neither in start, and no data"),
        (gamma, {"mu": 1.0, "size": 1.0}, None, TypeError, "gamma takes mu, shape, y, and start has size"),
        (gamma, {"mu": 1.0, "shape": -1.0}, {"y": [1.0, 2.0]}, mlekit.StartError, "in row number 0 at the start"),
        (lambda a: np.sum(a * np.ones(3)), {"a": 1.0}, None, ValueError, "leave out the sum"),
        (gamma, {"mu": 1.0, "shape": 1.0}, {"y": [1.0, np.nan]}, mlekit.StartError, "row number 1, and y has missing"),
        (gamma, [1.0, 1.0], {"y": [1.0, 2.0]}, TypeError, "start must be a dict by the names of the parameters"),
        (gamma, {}, {"y": [1.0, 2.0]}, TypeError, "start must name every parameter"),
        (gamma, {"mu": "a", "shape": 1.0}, {"y": [1.0, 2.0]}, ValueError, "start.'mu'. must be a finite number"),
    ],
    ids=["lacking", "no data", "surplus", "start", "sum", "missing", "unnamed", "empty", "text"],
)
def test_wrong_input(function: Any, start: Any, data: Any, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        mlekit.mle(function, start, data if data is None else pd.DataFrame(data))


def test_wrong_options() -> None:
    data = pd.DataFrame({"y": [1.0, 2.0, 4.0]})
    start = {"mu": 1.0, "shape": 1.0}
    with pytest.raises(ValueError, match="derivatives must be 'exact' or 'numeric', not 'jets'"):
        mlekit.mle(gamma, start, data, derivatives="jets")
    with pytest.raises(TypeError, match="transforms must be a dict"):
        mlekit.mle(gamma, start, data, transforms="log")  # type: ignore[arg-type]
