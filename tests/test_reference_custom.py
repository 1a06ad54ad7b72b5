"""Reference fits of kind custom: Weibull, gamma, beta, negative binomial, a Normal with a formula for its spread."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from scipy import special

import mlekit
from mlekit.links import Array
from tests.reference import load


class Custom(NamedTuple):
    """How a case is fitted, and the map from our coefficients to the parameters that it names, in its order."""

    formula: Any
    family: str
    parameters: Callable[[Array], Array]


def _beta_shapes(b: Array) -> Array:
    return np.array([special.expit(b[0]), special.expit(-b[0])]) * np.exp(b[1])


CASES = {
    "weibull_iid_leuk": Custom("time ~ 1", "weibull", lambda b: np.exp(b[::-1])),
    "weibull_leuk": Custom("time ~ ag + np.log(wbc)", "weibull", lambda b: np.array([*b[:3], -b[3]])),
    "gamma_iid_leuk": Custom("y ~ 1", "gamma", np.exp),
    "gamma_regression_leuk": Custom("time ~ ag + np.log(wbc)", "gamma", lambda b: np.array([*b[:3], np.exp(b[3])])),
    "beta_iid_swiss": Custom("prop ~ 1", "beta", _beta_shapes),
    "negbin_quine": Custom(
        "Days ~ Eth + Sex + Age + Lrn", "negative_binomial", lambda b: np.array([*b[:7], np.exp(-b[7])])
    ),
    "normal_location_scale_cars": Custom({"mu": "dist ~ speed", "sigma": "~ speed"}, "normal", np.asarray),
}


@pytest.mark.parametrize("name", CASES)
def test_custom_case(name: str) -> None:
    case, (formula, family, parameters) = load(name), CASES[name]
    fit = mlekit.fit(formula, case.frame, family)
    expected, order = case.expected, case.expected["param_order"]
    assert fit.converged
    assert fit.llf == pytest.approx(expected["llf"], rel=1e-13)
    for quantity in ("aic", "bic"):
        assert getattr(fit, quantity) == pytest.approx(expected[quantity], rel=1e-13)
    b = fit.params.to_numpy()
    found = dict(zip(order, parameters(b), strict=True))
    assert found == pytest.approx(expected["params"], rel=1e-11)
    # The map is smooth: its derivatives by complex steps would do, central differences of 1e-5 are good to 1e-10.
    units = 1e-5 * np.eye(b.size)
    slopes = np.column_stack([(parameters(b + u) - parameters(b - u)) / 2e-5 for u in units])
    cov = slopes @ fit.cov_params().to_numpy() @ slopes.T
    error = np.sqrt(np.diag(cov))
    assert dict(zip(order, error, strict=True)) == pytest.approx(expected["bse"], rel=1e-9)
    assert np.all(np.abs(cov - np.array(expected["cov"])) <= 1e-9 * np.outer(error, error))


def test_expected_information_of_the_gamma() -> None:
    case = load("gamma_regression_leuk")
    fit = mlekit.fit(CASES[case.name].formula, case.frame, mlekit.Gamma(shape="identity"), cov_type="eim")
    assert list(fit.bse) == pytest.approx(list(case.expected["bse_expected_info"].values()), rel=1e-9)


def test_weibull_is_survreg() -> None:
    case = load("weibull_leuk")
    fit = mlekit.fit(CASES[case.name].formula, case.frame, "weibull")
    survreg = case.expected["survreg"]
    assert list(fit.params.iloc[:3]) == pytest.approx(survreg["coef"], rel=1e-9)
    assert np.exp(-fit.params.iloc[3]) == pytest.approx(survreg["scale"], rel=1e-9)
    assert list(fit.bse) == pytest.approx(survreg["se"], rel=1e-9)
    assert fit.llf == pytest.approx(survreg["loglik"], rel=1e-12)
