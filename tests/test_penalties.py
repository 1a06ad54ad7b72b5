"""Penalties as log-priors, against scikit-learn and posteriors in closed form."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, stats
from sklearn.linear_model import LogisticRegression, PoissonRegressor
from sklearn.linear_model import Ridge as SklearnRidge

import mlekit
from mlekit.model import Model
from mlekit.penalties import Prior
from tests.test_restricted import DATA, POISSON, N, X


def test_ridge_equals_scikit_learn() -> None:
    features = DATA[["x", "z", "w"]]
    poisson = PoissonRegressor(alpha=0.1, tol=1e-12, max_iter=10_000, solver="newton-cholesky").fit(features, DATA.k)
    fit = mlekit.fit(POISSON, DATA, "poisson", penalty=mlekit.Ridge(0.1 * N))
    np.testing.assert_allclose(fit.params, [poisson.intercept_, *poisson.coef_], rtol=1e-7)
    logit = LogisticRegression(C=0.5, tol=1e-12, max_iter=10_000, solver="newton-cholesky").fit(features, DATA.b)
    fit = mlekit.fit("b ~ x + z + w", DATA, "bernoulli", penalty=mlekit.Ridge(2.0))
    np.testing.assert_allclose(fit.params, [*logit.intercept_, *logit.coef_[0]], rtol=1e-6)
    normal = SklearnRidge(alpha=12.0).fit(features, DATA.y)
    fit = mlekit.fit("y ~ x + z + w", DATA, "normal", penalty=mlekit.Ridge(12.0 / 4), fixed={"sigma": 2})
    np.testing.assert_allclose(fit.params, [normal.intercept_, *normal.coef_], rtol=1e-9)


def test_a_normal_prior_is_the_posterior_mode() -> None:
    prior = mlekit.NormalPrior({"x": (1.0, 0.1), "z": (0.0, 0.5)})
    fit = mlekit.fit("y ~ x + z", DATA, "normal", penalty=prior, fixed={"sigma": 1})
    # Conjugate: precision X'X + P, mean of the data and the prior weighed by their precisions.
    A, P = X[:, :3], np.diag([0, 100.0, 4.0])
    precision = A.T @ A + P
    mode = np.linalg.solve(precision, A.T @ DATA.y + P @ [0, 1.0, 0])
    np.testing.assert_allclose(fit.params, mode, rtol=1e-11)
    np.testing.assert_allclose(fit.bse, np.sqrt(np.diag(np.linalg.inv(precision))), rtol=1e-11)
    np.testing.assert_allclose(fit.llf, stats.norm.logpdf(DATA.y, A @ mode, 1).sum(), rtol=1e-12)
    priors = stats.norm.logpdf(mode[1], 1, 0.1) + stats.norm.logpdf(mode[2], 0, 0.5)
    np.testing.assert_allclose(fit.log_prior, priors, rtol=1e-11)
    assert "Penalty: NormalPrior" in str(fit.summary())
    assert np.isnan(fit.llr_pvalue)


def test_a_penalty_of_ones_own() -> None:
    class Cauchy(mlekit.Penalty):
        def at(self, beta: Any, names: Any) -> Prior:
            size = 1 + beta**2
            return Prior(-np.log(size).sum(), -2 * beta / size, np.diag(-2 * (1 - beta**2) / size**2))

    fit = mlekit.fit("y ~ x", {"y": [0, 0, 0, 1, 1, 1], "x": [-3.0, -2, -1, 1, 2, 3]}, "bernoulli", penalty=Cauchy())
    assert fit.converged

    def negative(beta: Any) -> float:
        eta = beta[0] + beta[1] * np.array([-3.0, -2, -1, 1, 2, 3])
        loss = np.logaddexp(0, np.where([0, 0, 0, 1, 1, 1], -eta, eta)).sum()
        return float(loss + np.log1p(np.square(beta)).sum())

    theirs = optimize.minimize(negative, [0, 1], method="BFGS", options={"gtol": 1e-9})
    np.testing.assert_allclose(fit.params, theirs.x, atol=1e-6)


def test_expected_information_and_sandwich_know_the_penalty() -> None:
    penalty = mlekit.Ridge(10.0)
    fits = {c: mlekit.fit(POISSON, DATA, "poisson", penalty=penalty, cov_type=c) for c in ("nonrobust", "eim", "HC0")}
    np.testing.assert_allclose(fits["eim"].bse, fits["nonrobust"].bse, rtol=1e-9)
    bread = np.linalg.inv(-fits["HC0"].model.hessian(fits["HC0"].params) + np.diag([0, 10.0, 10, 10]))
    scores = fits["HC0"].model.score_obs(fits["HC0"].params)
    np.testing.assert_allclose(fits["HC0"].cov_params(), bread @ scores.T @ scores @ bread, rtol=1e-9)


def test_frequencies_and_units_of_a_prior() -> None:
    thrice = pd.concat([DATA] * 3)
    prior = mlekit.NormalPrior({"x": (0.0, 0.1)})
    weighted = mlekit.fit(POISSON, DATA, "poisson", penalty=prior, weights=np.full(N, 3.0))
    repeated = mlekit.fit(POISSON, thrice, "poisson", penalty=prior)
    np.testing.assert_allclose(weighted.params, repeated.params, rtol=1e-10)
    np.testing.assert_allclose(weighted.bse, repeated.bse, rtol=1e-10)
    rescaled = mlekit.fit(
        POISSON, thrice.assign(x=thrice.x * 1e7), "poisson", penalty=mlekit.NormalPrior({"x": (0.0, 1e-8)})
    )
    np.testing.assert_allclose(rescaled.params["x"] * 1e7, repeated.params["x"], rtol=1e-9)
    np.testing.assert_allclose(rescaled.bse["x"] * 1e7, repeated.bse["x"], rtol=1e-9)


def test_a_ridge_leaves_intercepts_and_cutpoints_free() -> None:
    levels = pd.Categorical.from_codes(np.digitize(DATA.y, [0, 1.5]).tolist(), ["low", "mid", "high"], ordered=True)
    data = DATA.assign(level=levels)
    strong = mlekit.Ridge(1e9)
    fit = mlekit.fit("level ~ x", data, "ordered_logit", penalty=strong)
    shares = np.cumsum(data.level.value_counts(sort=False))[:2] / N
    np.testing.assert_allclose(fit.params.iloc[1:], np.log(shares / (1 - shares)), rtol=1e-6)
    free = mlekit.fit({"mu": "y ~ x", "sigma": "~ z"}, DATA, "normal", penalty=strong)
    null = mlekit.fit("y ~ 1", DATA, "normal")
    np.testing.assert_allclose(free.params[["Intercept", "sigma_Intercept"]], null.params, rtol=1e-6)
    columns = pd.DataFrame({"const": 1.0, "x": DATA.x})
    model = Model.from_arrays(DATA.y, columns, "normal")
    np.testing.assert_allclose(
        model.fit(penalty=mlekit.Ridge(1e9, free=("const",))).params["const"], DATA.y.mean(), rtol=1e-6
    )
    assert abs(model.fit(penalty=strong).params["const"]) < 1e-6


class Wrong(mlekit.Penalty):
    """A Normal prior with one thing of it changed."""

    def __init__(self, **changed: Any) -> None:
        self.changed = changed

    def at(self, beta: Any, names: Any) -> Any:
        right = {"value": -50 * float(beta @ beta), "gradient": -100 * beta, "hessian": -100 * np.eye(beta.size)}
        return Prior(**(right | {name: change(right[name]) for name, change in self.changed.items()}))


@pytest.mark.parametrize(
    ("changed", "error", "said"),
    [
        ({"gradient": lambda g: -g}, ValueError, "the gradient of Wrong is .* in Intercept, and by differences"),
        ({"gradient": lambda g: g * [1, 1, 1, 1.01]}, ValueError, "the (gradient|hessian) of Wrong is .* in w"),
        (
            {"hessian": lambda h: 0.9 * h},
            ValueError,
            "the hessian of Wrong is -90 in Intercept, and by differences -100",
        ),
        ({"hessian": np.diag}, TypeError, r"must return a Prior of a number, a \(4,\) and a \(4, 4\) array"),
        ({"value": lambda v: np.nan}, ValueError, "Wrong is not finite at Intercept="),
    ],
    ids=["sign", "one", "hessian", "shape", "nan"],
)
def test_a_penalty_whose_derivatives_are_not_those_of_its_value(
    changed: Any, error: type[Exception], said: str
) -> None:
    assert mlekit.fit(POISSON, DATA, "poisson", penalty=Wrong()).converged
    with pytest.raises(error, match=said):
        mlekit.fit(POISSON, DATA, "poisson", penalty=Wrong(**changed))


def test_wrong_priors() -> None:
    for prior in ((0, 0), (0, -1), (np.nan, 1), 3, (0, 1, 2)):
        with pytest.raises(ValueError, match="the prior of x must be"):
            mlekit.NormalPrior({"x": prior})  # type: ignore[dict-item]
    for strength in (-1, np.inf, "a"):
        with pytest.raises(ValueError, match="strength of a Ridge"):
            mlekit.Ridge(strength)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"a dict of \(mean, sd\) by name"):
        mlekit.NormalPrior([("x", 0, 1)])  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="free must be a sequence of names"):
        mlekit.Ridge(free="x")
    with pytest.raises(ValueError, match="a Ridge free of q: the coefficients are"):
        mlekit.fit(POISSON, DATA, "poisson", penalty=mlekit.Ridge(free=("q",)))
