"""Check the reference cases themselves, without mlekit: they load as meant, and the numbers fit the data."""

import json
import math
from collections import Counter

import numpy as np
import pandas as pd
import patsy
import pytest
from scipy import special, stats

from tests.reference import FOLDER, cases, load

KINDS = {
    "custom": 10,
    "glm": 27,
    "gradient_descent": 1,
    "laplace": 2,
    "lm": 12,
    "lr_tests": 1,
    "mle": 1,
    "optim": 1,
    "separation": 2,
    "torch": 1,
}

# link: (mean, its derivative) as functions of the linear predictor
MEANS = {
    "identity": (lambda eta: eta, np.ones_like),
    "log": (np.exp, np.exp),
    "inverse": (lambda eta: 1 / eta, lambda eta: -1 / eta**2),
    "sqrt": (lambda eta: eta**2, lambda eta: 2 * eta),
    "logit": (special.expit, lambda eta: special.expit(eta) * special.expit(-eta)),
    "probit": (stats.norm.cdf, stats.norm.pdf),
    "cloglog": (lambda eta: -np.expm1(-np.exp(eta)), lambda eta: np.exp(eta - np.exp(eta))),
}
# family: (variance, log-density) as functions of the mean
FAMILIES = {
    "Poisson": (lambda mu: mu, lambda y, mu: stats.poisson.logpmf(y, mu)),
    "Bernoulli": (lambda mu: mu * (1 - mu), lambda y, mu: stats.bernoulli.logpmf(y, mu)),
    "Exponential": (lambda mu: mu**2, lambda y, mu: stats.expon.logpdf(y, scale=mu)),
}


def column(case, option):
    """Return the column that an option names, or nothing."""
    return case.frame[case.options[option]].to_numpy(float) if option in case.options else None


def matrices(case):
    """Return y, X in the order of the expected parameters, the mean's linear predictor, and the weights."""
    y, X = patsy.dmatrices(case.formula, case.frame, eval_env=patsy.EvalEnvironment([{"np": np}]))
    X = pd.DataFrame(X, columns=X.design_info.column_names)
    order = case.expected["param_order"]
    assert sorted(X.columns) == sorted(order)
    X = X[order].to_numpy()
    offset, weights = column(case, "offset"), column(case, "weights")
    eta = X @ [case.expected["params"][name] for name in order] + (0 if offset is None else offset)
    return np.ravel(y), X, eta, np.ones(len(X)) if weights is None else weights


def test_the_cases_are_complete():
    assert Counter(load(name).kind for name in cases()) == KINDS
    assert sum(KINDS.values()) == len(cases())
    assert set(cases("lm")) | set(cases("glm")) == set(cases(("glm", "lm")))
    with pytest.raises(ValueError, match=r"kinds: .*'glm', 'gradient_descent'"):
        cases("gml")


@pytest.mark.parametrize("name", cases())
def test_case_loads(name):
    raw = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    case = load(name)
    assert case.name == name
    assert case.expected
    assert len(case.frame) == raw.get("nobs_data", len(case.frame))
    assert case.frame.empty == (case.kind == "lr_tests")
    for factor, levels in (raw.get("factors") or {}).items():
        assert list(case.frame[factor].cat.categories) == levels
        assert not case.frame[factor].isna().any()
    for option in {"weights", "offset", "exposure", "cluster"} & set(case.options):
        assert case.options[option] in case.frame


def test_two_loads_share_nothing():
    first, second = load("africa_poisson_parties"), load("africa_poisson_parties")
    first.frame["parties"] = 0
    first.expected["params"]["parties"] = 0
    assert second.frame["parties"].sum() == 615
    assert load("africa_poisson_parties").expected["params"]["parties"] == second.expected["params"]["parties"] != 0


def test_missing_and_non_finite_values(tmp_path, monkeypatch):
    raw = {
        "name": "made_up",
        "kind": "glm",
        "data": {"y": [1, None, 2], "g": ["b", None, "a"]},
        "factors": {"g": ["b", "a"]},
        "expected": {"params": {"x": "Infinity"}, "interval": ["-Infinity", "NaN", 1, "text"]},
    }
    (tmp_path / "made_up.json").write_text(json.dumps(raw))
    monkeypatch.setattr("tests.reference.FOLDER", tmp_path)
    case = load("made_up")
    assert list(case.frame.isna().sum()) == [1, 1]
    assert case.frame["y"].dtype == float
    assert case.expected["params"]["x"] == math.inf
    low, nan, *rest = case.expected["interval"]
    assert low == -math.inf
    assert math.isnan(nan)
    assert rest == [1, "text"]


@pytest.mark.parametrize("name", cases("glm"))
def test_glm_numbers_belong_to_the_data(name):
    case = load(name)
    y, X, eta, weights = matrices(case)
    (mean, slope), (variance, logpdf) = MEANS[case.link], FAMILIES[case.family]
    mu = mean(eta)
    # A row whose mean has rounded to 0 or 1 has no weight left.
    per_variance = np.divide(weights * slope(eta), variance(mu), out=np.zeros_like(mu), where=variance(mu) > 0)
    W = per_variance * slope(eta)
    se = np.array([case.expected["bse"][term] for term in case.expected["param_order"]])

    score = X.T @ (per_variance * (y - mu))
    np.testing.assert_allclose(score * se, 0, atol=1e-9)
    np.testing.assert_allclose(np.sqrt(np.diag(np.linalg.inv(X.T @ (W[:, None] * X)))), se, rtol=1e-8)
    llf = case.expected["llf"]
    assert weights @ logpdf(y, mu) == pytest.approx(llf, rel=1e-11)
    assert case.expected["aic"] == pytest.approx(2 * len(se) - 2 * llf, rel=1e-11)


@pytest.mark.parametrize("name", cases("lm"))
def test_lm_numbers_belong_to_the_data(name):
    case = load(name)
    y, X, eta, weights = matrices(case)
    precision = case.options.get("weights_kind") == "precision"
    scale = case.expected["sigma_ml"] / (np.sqrt(weights) if precision else 1)
    counts = 1 if precision else weights

    size = np.sqrt(weights @ X**2 * (weights @ (y - eta) ** 2))  # a correlation: free of units
    np.testing.assert_allclose(X.T @ (weights * (y - eta)) / size, 0, atol=1e-9)
    llf = np.sum(counts * stats.norm.logpdf(y, eta, scale))
    assert case.expected["llf"] == pytest.approx(llf, rel=1e-11)
    assert case.expected["aic"] == pytest.approx(2 * (X.shape[1] + 1) - 2 * llf, rel=1e-11)
