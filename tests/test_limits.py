"""Negative binomials of counts that vary no more than a Poisson's: the fit is the Poisson's, and says so."""

from __future__ import annotations

import pickle
from itertools import product
from typing import Any

import numpy as np
import pytest
from scipy import optimize, stats
from statsmodels.tools.sm_exceptions import ConvergenceWarning

import mlekit
from mlekit import Status
from mlekit.families import FAMILIES

each_family = pytest.mark.parametrize("name", ["negative_binomial", "negative_binomial_1"])
MODELS = [
    (name, *links)
    for name in ("negative_binomial", "negative_binomial_1")
    for links in product(*FAMILIES[name].links_for.values())
]


def counts(seed: int = 0, n: int = 80) -> dict[str, Any]:
    """Binomial counts of eight trials: their variance is at most three quarters of their mean."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    y = rng.binomial(8, 1 / (1 + np.exp(-0.2 - 0.4 * x))).astype(float)
    return {
        "y": y,
        "x": x,
        "g": np.repeat(["a", "b"], n // 2),
        "e": rng.uniform(0.9, 1.1, n),
        "w": rng.integers(1, 4, n),
    }


def same(limit: Any, poisson: Any) -> None:
    """All that the two have in common is equal, and the rest is said to be at the limit."""
    k = poisson.params.size
    assert limit._results.status is Status.LIMIT
    assert limit.converged
    np.testing.assert_allclose(limit.params[:k], poisson.params, rtol=1e-12)
    np.testing.assert_allclose(limit.bse[:k], poisson.bse, rtol=1e-12)
    np.testing.assert_allclose(limit.cov_params().iloc[:k, :k], poisson.cov_params(), rtol=1e-12)
    np.testing.assert_allclose(limit.conf_int()[:k], poisson.conf_int(), rtol=1e-12)
    assert limit.llf == pytest.approx(poisson.llf, rel=1e-14)
    assert limit.aic == pytest.approx(poisson.aic + 2, rel=1e-14)
    np.testing.assert_allclose(limit.fittedvalues, poisson.fittedvalues, rtol=1e-12)
    np.testing.assert_allclose(limit.resid_pearson, poisson.resid_pearson, rtol=1e-12, atol=1e-14)
    assert limit.params.iloc[k] == -np.inf
    assert np.isnan(limit.bse.iloc[k])
    assert limit.distribution.loc["alpha", "estimate"] == 0
    assert limit.distribution.loc["alpha"].iloc[1:].isna().all()
    # What is said of the density at these coefficients agrees.
    assert limit.model.likelihood.evaluate(limit.params.to_numpy(), 0).value * limit.nobs == pytest.approx(limit.llf)


@pytest.mark.parametrize(("name", "mu", "alpha"), MODELS, ids="-".join)
def test_the_fit_is_the_poisson(name: str, mu: str, alpha: str) -> None:
    data = counts()
    limit = mlekit.fit("y ~ x", data, FAMILIES[name](mu=mu, alpha=alpha))
    same(limit, mlekit.fit("y ~ x", data, mlekit.Poisson(mu=mu)))
    poisson = repr(mlekit.Poisson(mu=mu))
    assert f"alpha is 0: {poisson} fits as well" in limit._results.reason
    assert poisson in limit._results.notes[0]
    assert "alpha_Intercept       -inf        nan" in str(limit.summary())


@each_family
@pytest.mark.parametrize(
    "options", [{"exposure": "e"}, {"weights": "w"}, {"cov_type": "HC0"}, {"fixed": {"x": 0.1}}], ids=str
)
def test_offsets_weights_and_robust_errors(name: str, options: dict[str, Any]) -> None:
    data = counts()
    same(mlekit.fit("y ~ x", data, name, **options), mlekit.fit("y ~ x", data, "poisson", **options))


@each_family
@pytest.mark.parametrize("method", ["newton", "bfgs", "l-bfgs-b", "nelder-mead"])
def test_every_method_ends_there(name: str, method: str) -> None:
    data = counts()
    same(mlekit.fit("y ~ x", data, name, method=method), mlekit.fit("y ~ x", data, "poisson"))


@each_family
def test_small_and_equal_and_large_counts(name: str) -> None:
    rng = np.random.default_rng(0)
    samples = ([3.0] * 20, [0.0, 2.0], [0.0, 1.0, 1.0, 1.0], np.round(1e9 + 1e3 * rng.normal(size=50)))
    for sample in samples:
        data = {"y": np.array(sample)}
        same(mlekit.fit("y ~ 1", data, name), mlekit.fit("y ~ 1", data, "poisson"))


@each_family
def test_what_follows_from_the_fit(name: str) -> None:
    data = counts()
    limit, poisson = (mlekit.fit("y ~ x", data, family) for family in (name, "poisson"))
    assert limit.llnull == pytest.approx(poisson.llnull, rel=1e-14)
    assert limit.llr_pvalue == pytest.approx(poisson.llr_pvalue, rel=1e-9)
    new = {"x": [-1.0, 2.0]}
    np.testing.assert_allclose(limit.get_prediction(new).summary_frame(), poisson.get_prediction(new).summary_frame())
    assert limit.predict(new, what="alpha").tolist() == [0.0, 0.0]
    assert limit.simulate(1, seed=3).equals(mlekit.fit("y ~ x", data, name).simulate(1, seed=3))
    assert pickle.loads(pickle.dumps(limit)).llf == limit.llf
    if name == "negative_binomial":
        assert limit.deviance == pytest.approx(poisson.deviance, rel=1e-12)
        np.testing.assert_allclose(limit.resid_deviance, poisson.resid_deviance, rtol=1e-7, atol=1e-12)


@each_family
def test_methods_that_end_there_are_no_distance_apart(name: str) -> None:
    found = mlekit.compare("y ~ x", counts(), family=name, methods=["newton", "bfgs"])
    assert found.table["distance (se)"].tolist() == [0.0, 0.0]


@each_family
def test_nothing_is_profiled_at_a_limit(name: str) -> None:
    with pytest.raises(ValueError, match=r"alpha_Intercept is at the limit of its parameter.* fit Poisson\(\)"):
        mlekit.fit("y ~ x", counts(), name).profile("x")


@each_family
def test_hypotheses_about_the_others_are_tested(name: str) -> None:
    data = counts()
    limit, poisson = (mlekit.fit("y ~ x", data, family) for family in (name, "poisson"))
    assert limit.wald_test("x = 0, Intercept = 1").pvalue == pytest.approx(
        poisson.wald_test("x = 0, Intercept = 1").pvalue, rel=1e-10
    )
    each = limit.t_test(np.eye(3))
    np.testing.assert_allclose(each.tvalue[:2], poisson.t_test(np.eye(2)).tvalue, rtol=1e-12)
    np.testing.assert_allclose(each.effect[:2], poisson.params, rtol=1e-12)
    assert np.isnan([each.tvalue[2], each.effect[2], each.sd[2]]).all()
    assert np.isnan(limit.t_test("alpha_Intercept = 0").pvalue)


@each_family
def test_a_formula_of_the_dispersion_is_told_where_it_goes(name: str) -> None:
    data = counts()
    data["y"][40:] = np.random.default_rng(1).negative_binomial(1, 0.2, 40)
    with pytest.warns(ConvergenceWarning, match=r"alpha is below 0.001 in 40 of 80 rows: where it goes to 0, Poisson"):
        fit = mlekit.fit({"mu": "y ~ x", "alpha": "~ g"}, data, name)
    assert fit._results.status is Status.DIVERGING
    with pytest.warns(ConvergenceWarning, match="alpha is below 0.001 in 80 of 80 rows"):
        fit = mlekit.fit("y ~ x", counts(), name, bounds={"x": (0, None)})
    assert fit._results.status is Status.DIVERGING


@each_family
def test_no_limit_is_claimed_where_the_likelihood_rises_away_from_it(name: str) -> None:
    """Not from a start that is all but there, where the score is zero, nor where there is no maximum of the Poisson."""
    data = counts()
    data["y"] = np.random.default_rng(1).negative_binomial(1, 0.2, 80).astype(float)
    fit = mlekit.fit("y ~ x", data, name)
    far = mlekit.fit("y ~ x", data, name, start=[1.0, 0.0, -40.0])
    assert fit._results.status is far._results.status is Status.CONVERGED
    assert far.llf == fit.llf
    data["y"] = np.zeros(80)
    with pytest.warns(ConvergenceWarning):
        fit = mlekit.fit("y ~ 1", data, name)
    assert fit._results.status is Status.INFINITE


@each_family
@pytest.mark.parametrize("seed", [53, 83, 131])
def test_a_dispersion_that_is_small_and_not_zero_is_found(name: str, seed: int) -> None:
    """Newton's first steps go past it, to where the dispersion no longer matters; a search by scipy does not."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=1000)
    data = {"y": rng.poisson(np.exp(rng.uniform(-2, 9) + 0.5 * x * (seed % 2))).astype(float), "x": x}
    fit, poisson = mlekit.fit("y ~ x", data, name), mlekit.fit("y ~ x", data, "poisson")
    mean = poisson.fittedvalues.to_numpy()
    each = (data["y"] - mean) ** 2 - data["y"]
    rises = float(np.sum(each if name == "negative_binomial" else each / mean)) > 0  # the score of alpha at 0, twice
    assert fit._results.status is (Status.CONVERGED if rises else Status.LIMIT)
    assert (fit.llf > poisson.llf) == rises

    def other(log_alpha: float) -> float:
        alpha = np.exp(log_alpha)
        size = 1 / alpha if name == "negative_binomial" else mean / alpha
        return -float(stats.nbinom.logpmf(data["y"], size, size / (size + mean)).sum())

    if rises:
        best = optimize.minimize_scalar(other, bounds=(-20, 0), method="bounded", options={"xatol": 1e-8})
        assert -best.fun <= fit.llf + 1e-6
        assert best.x == pytest.approx(fit.params.iloc[-1], abs=0.05)  # the mean moves a little with it


def test_student_of_normal_errors_is_the_normal() -> None:
    rng = np.random.default_rng(5)
    x = rng.normal(size=100)
    data = {"y": 1 + x + rng.uniform(-1, 1, 100), "x": x}
    limit, normal = mlekit.fit("y ~ x", data, "student_t"), mlekit.fit("y ~ x", data)
    assert limit._results.status is Status.LIMIT
    assert "Normal() fits as well" in limit.reason
    np.testing.assert_allclose(limit.params.iloc[:3], normal.params, rtol=1e-12)
    np.testing.assert_allclose(limit.bse.iloc[:3], normal.bse, rtol=1e-12)
    assert limit.params.iloc[3] == np.inf
    assert limit.llf == pytest.approx(normal.llf, rel=1e-14)
    assert limit.aic == pytest.approx(normal.aic + 2, rel=1e-14)
    assert limit.distribution.loc["df", "estimate"] == np.inf
    new = {"x": [-1.0, 0.3]}
    for options in ({}, {"what": "quantile", "q": 0.9}, *({"what": what, "at": 0.5} for what in ("cdf", "sf", "pdf"))):
        np.testing.assert_allclose(limit.predict(new, **options), normal.predict(new, **options), rtol=1e-12)
    np.testing.assert_allclose(limit.resid_quantile(), normal.resid_quantile(), rtol=1e-9)
    sigma = normal.distribution.loc["sigma", "estimate"]
    np.testing.assert_allclose(limit.resid_pearson, normal.resid_response / sigma, rtol=1e-12)
    assert np.isfinite(limit.simulate(2, seed=1)).all(axis=None)
    assert "inf" in limit.summary().as_text()
