"""Optimisers and the verdict: every method reaches the maximum, or says that it did not."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import statsmodels.api as sm
from statsmodels.tools.sm_exceptions import ConvergenceWarning

import mlekit
from mlekit import Bernoulli, Exponential, Model, Normal, Poisson, Status
from mlekit.optimize import METHODS, method_name
from mlekit.optimize.base import Curvature
from tests.reference import load

AFRICA = mlekit.datasets.load_africa()
QUASI = {"y": [0, 0, 0, 1, 0, 1], "x1": [0, 0, 1, 1, 0, 0], "x2": [0, 0, 0, 0, 1, 1]}


def quiet_fit(*args: object, **options: object) -> mlekit.results.ResultsWrapper:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return mlekit.fit(*args, **options)


@pytest.mark.parametrize("method", [*METHODS, "auto"])
@pytest.mark.parametrize(
    ("formula", "family"),
    [
        ("miltcoup ~ parties + popn", Poisson()),
        ("miltcoup ~ parties + popn", Normal()),
        ("I(miltcoup > 1) ~ parties + popn", Bernoulli(p="probit")),
        ("I(size + 1) ~ parties + popn", Exponential()),
        ("miltcoup ~ oligarchy", Poisson(mu="identity")),
    ],
)
def test_every_method_reaches_the_maximum(formula: str, family: mlekit.GenericLikelihood, method: str) -> None:
    best = mlekit.fit(formula, AFRICA, family, method="newton")
    fit = mlekit.fit(formula, AFRICA, family, method=method)
    assert fit.converged
    assert ((fit.params - best.params) / best.bse).abs().max() < 1e-3
    assert fit.llf == pytest.approx(best.llf, rel=1e-8)


@pytest.mark.parametrize("method", ["newton", "bfgs", "nelder-mead", "gd", "sgd", "auto"])
def test_two_fits_are_bit_identical(method: str) -> None:
    one, two = (mlekit.fit("miltcoup ~ parties", AFRICA, "poisson", method=method) for _ in range(2))
    assert (one.params == two.params).all()
    assert (one.cov_params() == two.cov_params()).all(axis=None)


def test_closed_forms_are_used_where_they_exist() -> None:
    closed = ["miltcoup ~ 1", "miltcoup ~ C(pollib)", "miltcoup ~ C(pollib) - 1"]
    for formula in closed:
        for family in (Poisson(), Poisson(mu="identity"), Poisson(mu="sqrt"), Normal(), Normal(mu="log")):
            fit = mlekit.fit(formula, AFRICA, family)
            newton = mlekit.fit(formula, AFRICA, family, method="newton")
            assert fit.status is Status.CLOSED_FORM, (formula, family)
            assert fit.params.to_numpy() == pytest.approx(newton.params.to_numpy(), rel=1e-8)
            assert fit.bse.to_numpy() == pytest.approx(newton.bse.to_numpy(), rel=1e-8)
    assert mlekit.fit("miltcoup ~ parties", AFRICA).method == "closed_form"
    with pytest.raises(ValueError, match="no closed form"):
        mlekit.fit("miltcoup ~ parties", AFRICA, "poisson", method="closed_form")


@pytest.mark.parametrize("link", ["logit", "probit", "cloglog", "cauchit"])
@pytest.mark.parametrize("method", ["newton", "bfgs", "nelder-mead", "l-bfgs-b", "gd", "sgd"])
@pytest.mark.parametrize("name", ["separation_complete", "separation_quasi"])
def test_separation_is_never_called_converged(name: str, method: str, link: str) -> None:
    case = load(name)
    with pytest.warns(ConvergenceWarning, match="no finite estimate"):
        fit = mlekit.fit(case.formula, case.frame, Bernoulli(p=link), method=method)
    assert (fit.status, fit.converged) == (Status.INFINITE, False)
    assert fit.params.to_dict() == {"Intercept": -np.inf, "x": np.inf}
    assert fit.llf == pytest.approx(case.expected["sup_llf"] if "complete" in name else -2 * np.log(2), abs=1e-12)
    assert "NO" in fit.summary().as_text()


@pytest.mark.parametrize(
    ("formula", "data", "family", "llf"),
    [
        ("y ~ x1 + x2", QUASI, "bernoulli", -4 * np.log(2)),
        ("y ~ x", {"y": [0, 0, 0, 1, 1, 1], "x": range(1, 7)}, "bernoulli", 0.0),
        ("y ~ g", {"y": [0, 0, 0, 0, 3, 5, 2, 4], "g": list("aaaabbbb")}, "poisson", -6.91177067),
        ("y ~ 1", {"y": [0, 0, 0]}, "poisson", 0.0),
        ("y ~ 1", {"y": [1, 1, 1]}, "bernoulli", 0.0),
    ],
)
def test_infinite_estimates_are_recognised(formula: str, data: dict, family: str, llf: float) -> None:
    with pytest.warns(ConvergenceWarning, match="no finite estimate"):
        fit = mlekit.fit(formula, data, family)
    assert fit.status is Status.INFINITE
    assert fit.llf == pytest.approx(llf, abs=1e-8)


def test_perfect_fits_are_recognised() -> None:
    for method in ("auto", "newton", "bfgs"):
        fit = quiet_fit("y ~ x", {"y": 1 + 2 * np.arange(9.0), "x": np.arange(9.0)}, method=method)
        assert not fit.converged
    assert quiet_fit("y ~ x", {"y": 1 + 2 * np.arange(9.0), "x": np.arange(9.0)}).status is Status.UNBOUNDED
    assert quiet_fit("y ~ 1", {"y": np.ones(9)}).status is Status.UNBOUNDED


def test_an_optimum_on_the_edge_of_the_domain_is_recognised() -> None:
    data = {"y": [0, 0, 1, 3, 5, 9], "x": range(6)}
    fit = quiet_fit("y ~ x", data, Poisson(mu="identity"))
    assert fit.status is Status.BOUNDARY
    assert "log" in fit.reason


def test_stopping_short_is_recognised_whoever_stopped() -> None:
    for method in ("newton", "bfgs", "nelder-mead", "l-bfgs-b", "cg", "gd", "sgd"):
        fit = quiet_fit("miltcoup ~ parties + popn", AFRICA, "poisson", method=method, maxiter=1)
        assert fit.status is Status.ITERATION_LIMIT, method
    loose = quiet_fit("miltcoup ~ parties + popn", AFRICA, "poisson", method="bfgs", tol=10.0)
    assert loose.status is Status.STOPPED_SHORT
    assert "standard errors from the maximum" in loose.reason


@pytest.mark.parametrize("family", ["poisson", "bernoulli", "normal", "exponential"])
@pytest.mark.parametrize("seed", range(6))
def test_many_rows(family: str, seed: int) -> None:
    """From 50 000 rows on, Newton spends few Hessians: the answer is statsmodels' all the same."""
    rng = np.random.default_rng(seed)
    n = 50_000
    X = np.column_stack([np.ones(n), rng.normal(size=(n, 3))])
    eta = 0.2 * X.sum(axis=1)
    draw = {
        "poisson": lambda: rng.poisson(np.exp(eta)),
        "bernoulli": lambda: rng.random(n) < 1 / (1 + np.exp(-eta)),
        "normal": lambda: eta + rng.normal(size=n),
        "exponential": lambda: rng.exponential(np.exp(eta)),
    }
    y = draw[family]().astype(float)
    peer = {
        "poisson": lambda: sm.GLM(y, X, sm.families.Poisson()).fit(tol=1e-12),
        "bernoulli": lambda: sm.GLM(y, X, sm.families.Binomial()).fit(tol=1e-12),
        "normal": lambda: sm.OLS(y, X).fit(),
        "exponential": lambda: sm.GLM(y, X, sm.families.Gamma(sm.families.links.Log())).fit(tol=1e-12, scale=1),
    }[family]()
    fit = Model.from_arrays(y, X, family).fit(cov_type="eim", use_t=family == "normal")
    assert fit.converged
    assert (np.abs(fit.params.to_numpy()[:4] - peer.params) / peer.bse).max() < 1e-5
    assert fit.bse.to_numpy()[:4] == pytest.approx(peer.bse, rel=1e-5)


def test_start_values() -> None:
    fit = mlekit.fit("miltcoup ~ parties", AFRICA, "poisson", start={"parties": 0.0, "Intercept": 0.0})
    assert fit.iterations > 1
    with pytest.raises(ValueError, match=r"identity link of mu has eta = 0.*Leave start out"):
        mlekit.fit("miltcoup ~ oligarchy", AFRICA, Poisson(mu="identity"), start=[0, 0])
    with pytest.raises(ValueError, match="needs Intercept, parties"):
        mlekit.fit("miltcoup ~ parties", AFRICA, "poisson", start={"Intercept": 1})
    with pytest.raises(ValueError, match="2 finite numbers"):
        mlekit.fit("miltcoup ~ parties", AFRICA, "poisson", start=[1])


def test_a_domain_that_the_default_start_leaves_is_entered_by_linear_programming() -> None:
    """The mean must be positive at every row, and there is no intercept to make it so."""
    rng = np.random.default_rng(5)
    angle = rng.uniform(0, 1.4, 200)
    data = {"a": np.cos(angle) - 0.9, "b": np.sin(angle) + 0.1}
    data["y"] = rng.poisson(0.2 * data["a"] + 2 * data["b"] + 0.3).astype(float)
    fit = quiet_fit("y ~ a + b - 1", data, Poisson(mu="identity"))
    assert np.isfinite(fit.llf)
    assert fit.status in (Status.CONVERGED, Status.BOUNDARY)


@pytest.mark.parametrize("shift", [1e3, None])
def test_large_offsets(shift: float | None) -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=200)
    offset = np.full(200, shift) if shift else rng.uniform(600, 690, 200)
    y = rng.poisson(np.exp(1 + 0.5 * x))
    fit = mlekit.fit("y ~ x", {"y": y, "x": x, "o": offset}, "poisson", offset="o")
    assert fit.converged
    assert fit.model.score(fit.params) == pytest.approx(0, abs=1e-5)
    if shift:
        plain = mlekit.fit("y ~ x", {"y": y, "x": x}, "poisson")
        assert fit.llf == pytest.approx(plain.llf, rel=1e-10)
        assert fit.params["x"] == pytest.approx(plain.params["x"], rel=1e-8)


def test_curvature_turns_negative_curvature_round() -> None:
    matrix = np.diag([4.0, -1.0])
    curvature = Curvature(matrix)
    assert curvature.modified
    assert curvature.solve(np.array([4.0, 1.0])) == pytest.approx([1.0, 1.0])
    positive = np.array([[2.0, 0.5], [0.5, 1.0]])
    root = Curvature(positive).root_inverse()
    assert root @ root.T == pytest.approx(np.linalg.inv(positive))


def test_names_of_methods() -> None:
    assert method_name("BFGS") == "bfgs"
    with pytest.raises(ValueError, match=r"unknown method 'sgdx'.*newton.*bfgs"):
        method_name("sgdx")
    for bad in ({"maxiter": 0}, {"tol": -1.0}, {"maxiter": 1.5}, {"tol": "a"}, {"maxiter": True}):
        with pytest.raises(ValueError, match="must be a positive"):
            mlekit.fit("miltcoup ~ parties", AFRICA, "poisson", **bad)


def rare(n: int, k: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a matrix with a dummy that k rows have, and a response that it separates."""
    rng = np.random.default_rng(seed)
    dummy = np.zeros(n)
    dummy[rng.choice(n, k, replace=False)] = 1
    y = (rng.random(n) < 0.6).astype(float)
    y[dummy == 1] = 1
    return np.column_stack([np.ones(n), rng.normal(size=n), dummy]), y


@pytest.mark.parametrize(("n", "k"), [(45_000, 5), (60_000, 5), (60_000, 100)])
@pytest.mark.parametrize(
    ("family", "method"),
    [
        ("logit", "newton"),
        ("logit", "bfgs"),
        ("logit", "gd"),
        ("logit", "sgd"),
        ("probit", "newton"),
        ("log", "newton"),
    ],
)
def test_separation_of_few_among_many_rows(n: int, k: int, family: str, method: str) -> None:
    X, y = rare(n, k, seed=1)
    if family == "log":
        model = Model.from_arrays(np.where(X[:, 2] == 1, 0.0, 2 * y), X, "poisson")
    else:
        model = Model.from_arrays(y, X, Bernoulli(p=family))
    with pytest.warns(ConvergenceWarning, match="no finite estimate"):
        fit = model.fit(method)
    assert fit.infinite["estimate"].to_dict() == {"x3": -np.inf if family == "log" else np.inf}
    assert len(fit.infinite["rows"]["x3"]) == k


def difficult(kind: str, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    x, weight = rng.normal(size=n), None
    if kind == "a heavy row":
        weight = np.ones(n)
        weight[5] = 1e7
    if kind == "leverage":
        x *= 0.01
        x[7] = 5
    if kind == "heavy tails":
        x = rng.standard_t(1.5, size=n)
    dummy = np.zeros(n)
    dummy[rng.choice(n, 20, replace=False)] = 1
    X = np.column_stack([np.ones(n), x, dummy if kind == "a rare level" else rng.normal(size=n)])
    return X, np.clip(-0.5 + 0.2 * X[:, 1] + 0.3 * X[:, 2], -4, 4), weight


@pytest.mark.parametrize("kind", ["a heavy row", "leverage", "heavy tails", "a rare level", "ordinary"])
@pytest.mark.parametrize("family", ["bernoulli", "poisson", "exponential"])
def test_standard_errors_of_many_rows_are_those_of_the_hessian_there(family: str, kind: str) -> None:
    rng = np.random.default_rng(8)
    n = 60_000
    X, eta, weight = difficult(kind, n, rng)
    draw = {
        "bernoulli": lambda: rng.random(n) < 1 / (1 + np.exp(-eta)),
        "poisson": lambda: rng.poisson(np.exp(eta)),
        "exponential": lambda: rng.exponential(np.exp(eta)),
    }
    model = Model.from_arrays(draw[family]().astype(float), X, family, weights=weight)
    fit = model.fit()
    assert fit.converged
    exact = np.sqrt(np.diag(np.linalg.inv(-model.hessian(fit.params.to_numpy()))))
    assert fit.bse.to_numpy() == pytest.approx(exact, rel=1e-4)
    step = np.linalg.solve(-model.hessian(fit.params.to_numpy()), model.score(fit.params.to_numpy()))
    assert np.abs(step / exact).max() < 1e-4


@pytest.mark.parametrize("scale", [1e-25, 1e-8, 1e8])
@pytest.mark.parametrize("method", ["newton", "bfgs", "gd", "sgd"])
def test_weights_of_another_scale_leave_the_estimates(method: str, scale: float) -> None:
    data = AFRICA.assign(w=scale)
    plain = mlekit.fit("miltcoup ~ parties", AFRICA, "poisson")
    fit = quiet_fit("miltcoup ~ parties", data, "poisson", weights="w", method=method)
    assert ((fit.params - plain.params) / plain.bse).abs().max() < 1e-4
    assert fit.bse.to_numpy() * np.sqrt(scale) == pytest.approx(plain.bse.to_numpy(), rel=1e-4)


def test_separation_in_rows_of_small_weight() -> None:
    data = {"g": [0] * 8 + [1] * 2, "y": [0, 1, 0, 1, 1, 0, 0, 1, 1, 1], "w": [1.0] * 8 + [0.1] * 2}
    for link in ("logit", "probit", "cloglog"):
        for method in ("newton", "bfgs"):
            assert not quiet_fit("y ~ g", data, Bernoulli(p=link), weights="w", method=method).converged, link


def test_a_group_of_zeros_under_the_sqrt_link_is_on_the_edge() -> None:
    data = {"y": [1, 2, 0, 3, 1, 0, 0, 0, 0], "g": [0] * 5 + [1] * 4}
    assert quiet_fit("y ~ g", data, Poisson(mu="sqrt")).status is Status.BOUNDARY


def test_a_singular_outer_product_has_no_inverse() -> None:
    """The score of a group of one row is zero at the maximum: such a fit is not said to be a good one."""
    data = {"y": [1, 2, 0, 4, 3, 1, 5], "g": [0, 0, 0, 0, 0, 0, 1]}
    for method in ("newton", "bfgs", "auto"):
        fit = quiet_fit("y ~ g", data, "poisson", method=method, cov_type="opg")
        assert fit.bse.isna().all()
        assert fit.status is Status.NO_ERRORS
        assert fit.with_cov("nonrobust").converged


def test_powell_on_the_way_to_infinity() -> None:
    x = np.repeat([0.0, 1.0], 5)
    fit = quiet_fit("y ~ x", {"y": x, "x": x}, Bernoulli(p="cauchit"), method="powell")
    assert not fit.converged


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("family", ["poisson", "normal"])
@pytest.mark.parametrize("rows", [100, 60_000])
def test_values_that_are_not_finite_are_found_in_matrices_of_any_size(rows: int, family: str, value: float) -> None:
    rng = np.random.default_rng(2)
    X = np.column_stack([np.ones(rows), rng.normal(size=rows)])
    X[77, 1] = value
    for method in ("auto", "bfgs"):
        with pytest.raises(ValueError, match=r"x2 is (nan|inf) in row 77"):
            Model.from_arrays(rng.poisson(1.0, rows).astype(float), X, family).fit(method)
