"""Every reference fit of kind glm, lm and mle, with its links, weights and offsets, by several methods."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import mlekit
from tests.deviations import TOLERANCE, deviations, model_of
from tests.reference import cases, load

CASES = cases(("glm", "lm"))


@pytest.mark.parametrize("method", ["auto", "newton"])
@pytest.mark.parametrize("name", CASES)
def test_fit_equals_reference(name: str, method: str) -> None:
    found = deviations(load(name), method=method)
    assert {key: error for key, error in found.items() if not error <= TOLERANCE[key]} == {}


@pytest.mark.parametrize("method", ["bfgs", "gd", "sgd"])
@pytest.mark.parametrize("name", CASES)
def test_iterations_stop_within_a_ten_thousandth_of_a_standard_error(name: str, method: str) -> None:
    case = load(name)
    fit = model_of(case).fit(method)
    expected = case.expected
    errors = expected["bse_ml"] if case.kind == "lm" else expected.get("bse_observed", expected["bse"])
    distance = {key: abs(fit.params[key] - expected["params"][key]) / errors[key] for key in errors}
    assert fit.converged
    assert max(distance.values()) < 1e-4


@pytest.mark.parametrize("name", CASES)
def test_covariance_matrices_equal_reference(name: str) -> None:
    case = load(name)
    model = model_of(case)
    key = "cov_ml" if case.kind == "lm" else "cov"
    found = model.fit(cov_type="eim").cov_params()
    assert_covariance(found, case.expected["param_order"], case.expected[key])


def assert_covariance(found: pd.DataFrame, order: list[str], expected: list[list[float]]) -> None:
    """Compare relative to the standard errors: an element of a covariance may be zero."""
    scale = np.sqrt(np.diag(np.array(expected)))
    errors = (found.loc[order, order].to_numpy() - np.array(expected)) / np.outer(scale, scale)
    assert np.abs(errors).max() < 1e-8


@pytest.mark.parametrize("name", [name for name in CASES if "robust" in load(name).expected])
def test_sandwich_and_gradient_covariances_equal_reference(name: str) -> None:
    case = load(name)
    model, robust = model_of(case), case.expected["robust"]
    order = case.expected["param_order"]
    sandwich = robust.get("HC0_observed_bread", robust["HC0"])
    assert_covariance(model.fit(cov_type="HC0").cov_params(), order, sandwich["cov"])
    if "OPG" in robust:
        assert_covariance(model.fit(cov_type="opg").cov_params(), order, robust["OPG"]["cov"])


@pytest.mark.parametrize("name", CASES)
def test_rows_equal_reference(name: str) -> None:
    case = load(name)
    fit = model_of(case).fit()
    # The Normal case with frequency weights is R's fit of the repeated rows, which knows of no weights.
    repeats = None
    if case.kind == "lm" and case.options.get("weights_kind") == "frequency":
        repeats = case.frame[case.options["weights"]].to_numpy()
    for quantity in ("fitted", "resid_response", "resid_deviance", "resid_pearson"):
        if f"{quantity}_first10" not in case.expected:
            continue
        found = getattr(fit, "fittedvalues" if quantity == "fitted" else quantity).to_numpy()
        if repeats is not None:
            root = np.sqrt(repeats) if quantity in ("resid_deviance", "resid_pearson") else 1.0
            found = np.repeat(found / root, repeats)
        # A residual is a difference: its error is relative to the response.
        expected = np.array(case.expected[f"{quantity}_first10"], dtype=float)
        size = 1e-8 * np.abs(fit.model.endog).max()
        assert found[: expected.size] == pytest.approx(expected, rel=1e-8, abs=size if quantity != "fitted" else 0)


@pytest.mark.parametrize("name", [name for name in CASES if "predict" in load(name).expected])
def test_predictions_equal_reference(name: str) -> None:
    case = load(name)
    expected = case.expected["predict"]
    fit = model_of(case).fit(cov_type="eim")
    new = dict(expected["newdata"])
    if case.options.get("weights_kind") == "precision":
        new[case.options["weights"]] = np.ones(len(new["wt"]))
    frame = fit.get_prediction(new).summary_frame()
    response = expected["response"]
    assert frame["mean"].to_numpy() == pytest.approx(np.array(response["fit"]), rel=1e-8)
    assert frame["mean_se"].to_numpy() == pytest.approx(np.array(response.get("se_ml", response.get("se"))), rel=1e-8)
    if "link" in expected:
        assert frame["linear"].to_numpy() == pytest.approx(np.array(expected["link"]["fit"]), rel=1e-8)
        assert frame["linear_se"].to_numpy() == pytest.approx(np.array(expected["link"]["se"]), rel=1e-8)
        interval = expected["link_ci95_mapped_to_response"]
        assert frame["mean_ci_lower"].to_numpy() == pytest.approx(np.array(interval["lower"]), rel=1e-8)
        assert frame["mean_ci_upper"].to_numpy() == pytest.approx(np.array(interval["upper"]), rel=1e-8)


def test_mle_case() -> None:
    """R's stats4::mle and bbmle::mle2 stop early: their own figures bound how close they are."""
    case = load("africa_mle_profiles")
    poisson = case.expected["poisson"]
    fit = mlekit.fit(case.formula, case.frame, "poisson")
    assert -fit.llf == pytest.approx(poisson["min"], rel=1e-7)
    assert (abs(fit.params.to_numpy() - list(poisson["mle2_coef"].values())) / fit.bse).max() < 5e-3
    assert fit.cov_params().to_numpy() == pytest.approx(np.array(poisson["mle2_vcov"]), rel=1e-3)
    normal = case.expected["normal_with_log_sigma"]
    fit = mlekit.fit(case.formula, case.frame, "normal")
    assert fit.params.to_numpy() == pytest.approx(list(normal["mle2_coef"].values()), rel=1e-6)
    assert np.diag(fit.cov_params()) == pytest.approx(np.diag(np.array(normal["mle2_vcov"])), rel=1e-5)
