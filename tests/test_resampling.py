"""Bootstraps and jackknifes, against fits one by one, scipy, exact facts and repeated rows."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import stats

import mlekit
from mlekit import Censored, ZeroInflated
from mlekit.resampling import _resamples, ends_of, estimates, one_by_one
from mlekit.reweighting import Reweighting


@pytest.fixture(scope="module")
def data() -> pd.DataFrame:
    rng = np.random.default_rng(5)
    n = 150
    frame = pd.DataFrame({"x": rng.normal(size=n), "z": rng.uniform(size=n), "g": rng.integers(0, 15, n)})
    frame["y"] = 1 + frame.x + rng.normal(size=n) * np.exp(frame.z)
    frame["k"] = rng.poisson(np.exp(0.3 + 0.4 * frame.x))
    frame["k0"] = frame.k * (rng.uniform(size=n) < 0.6)
    frame["b"] = (rng.uniform(size=n) < 1 / (1 + np.exp(-frame.x))).astype(int)
    frame["w"] = rng.integers(1, 4, n)
    frame["t"] = rng.exponential(np.exp(frame.x))
    frame["level"] = pd.cut(frame.x + rng.logistic(size=n), [-np.inf, -1, 1, np.inf], labels=["a", "b", "c"])
    return frame


MODELS = {
    "poisson": ("k ~ x + z", "poisson", {}),
    "offset": ("k ~ x + offset(z)", "poisson", {}),
    "weights": ("k ~ x", "poisson", {"weights": "w"}),
    "identity": ("k ~ z", mlekit.Poisson(mu="identity"), {}),
    "two formulas": ({"mu": "y ~ x", "sigma": "~ z"}, "normal", {}),
    "closed form": ("y ~ x", "normal", {}),
    "logit": ("b ~ x + z", "bernoulli", {}),
    "gamma": ("t ~ x", "gamma", {}),
    "constraint": ("k ~ x + z", "poisson", {"constraints": "x = z"}),
    "ordered": ("level ~ x", "ordered_logit", {}),
}
each_model = pytest.mark.parametrize("name", MODELS)


def fit_of(name: str, data: pd.DataFrame) -> mlekit.results.ResultsWrapper:
    formula, family, options = MODELS[name]
    return mlekit.fit(formula, data, family, **options)


@each_model
def test_many_at_once_are_fits_one_by_one(name: str, data: pd.DataFrame) -> None:
    fit = fit_of(name, data)
    results = fit._results
    weights = _resamples(results, None, 12, 3)
    got = estimates(results, weights)
    alone = np.array([one_by_one(results, w) for w in weights[1](0, 12).T])
    assert np.abs((got - alone) / fit.bse.to_numpy()).max() < 1e-6


def test_the_engine_reaches_them_by_itself(data: pd.DataFrame) -> None:
    """Or a slow way round would hide that it does not."""
    for name in ("poisson", "two formulas", "logit", "gamma", "ordered"):
        results = fit_of(name, data)._results
        engine = Reweighting(results.model.working, results.optimum.gamma)
        _, made = _resamples(results, None, 40, 1)
        assert not np.isnan(engine.estimates(made(0, 40))).any()


def test_draws_are_those_of_statsmodels(data: pd.DataFrame) -> None:
    """Refits of each resample as R and statsmodels would make them, by frequency weights."""
    fit = fit_of("poisson", data)
    _, made = _resamples(fit._results, None, 5, 11)
    draws = fit.bootstrap(5, seed=11).draws
    X, family = sm.add_constant(data[["x", "z"]]), sm.families.Poisson()
    for w, draw in zip(made(0, 5).T, draws.to_numpy(), strict=True):
        peer = sm.GLM(data.k, X, family=family, freq_weights=w).fit(tol=1e-14)
        assert np.abs((draw - peer.params) / peer.bse).max() < 1e-6


def test_the_bootstrap_of_a_mean_is_known() -> None:
    """Its variance is that of the response, over n; draws have it to their own error."""
    y = np.random.default_rng(0).gamma(2.0, size=60)
    fit = mlekit.fit("y ~ 1", {"y": y})
    boot = fit.bootstrap(20000, seed=4)
    assert boot.bse["Intercept"] == pytest.approx(y.std() / np.sqrt(60), rel=4 / np.sqrt(2 * 20000))
    assert boot.draws["Intercept"].mean() == pytest.approx(y.mean(), abs=4 * y.std() / np.sqrt(60 * 20000))


@pytest.mark.parametrize("method", ["bca", "percentile", "basic"])
def test_intervals_are_scipy_s(method: str) -> None:
    """SciPy takes the draws, and leaves out one row at a time for the acceleration, which for a mean is exact."""
    y = np.random.default_rng(1).gamma(1.5, size=40)
    boot = mlekit.fit("y ~ 1", {"y": y}).bootstrap(999, seed=2)
    draws = boot.draws["Intercept"].to_numpy()
    ready = stats._resampling.BootstrapResult(None, draws, None)
    want = stats.bootstrap(
        (y,), np.mean, n_resamples=0, bootstrap_result=ready, method=method, confidence_level=0.9
    ).confidence_interval
    assert boot.conf_int(0.1, method).loc["Intercept"].to_numpy() == pytest.approx([*want], rel=1e-12)


def test_intervals_of_functions(data: pd.DataFrame) -> None:
    fit = fit_of("poisson", data)
    boot = fit.bootstrap(400, seed=6)
    found = fit.conf_int(method="bootstrap", n=400, seed=6)
    np.testing.assert_allclose(found, boot.conf_int(), rtol=1e-13)
    contrast = fit.conf_int(cols=["x - z"], method="bootstrap", n=400, seed=6)
    draws = (boot.draws["x"] - boot.draws["z"]).to_numpy()
    moves = boot.influence @ [0.0, 1.0, -1.0]
    np.testing.assert_allclose(
        np.ravel(contrast), ends_of(draws, fit.params["x"] - fit.params["z"], moves, 0.05, "bca"), rtol=1e-12
    )


# ------------------------------------------------------------------------------------ jackknife


def test_the_jackknife_of_a_mean_is_its_variance(data: pd.DataFrame) -> None:
    y = data.y.to_numpy()
    fit = mlekit.fit("y ~ 1", data).with_cov("jackknife")
    # Each estimate is right to 1e-7 of its standard error.
    assert fit.bse["Intercept"] == pytest.approx(y.std(ddof=1) / np.sqrt(y.size), rel=1e-7)
    assert fit.cov_text == "jackknife of rows (150 left out in turn)"


def test_the_jackknife_of_clusters_is_that_of_leaving_them_out(data: pd.DataFrame) -> None:
    fit = fit_of("logit", data)
    moves = np.array([mlekit.fit("b ~ x + z", data[data.g != g], "bernoulli").params - fit.params for g in range(15)])
    moves -= moves.mean(axis=0)
    want = np.sqrt(14 / 15 * (moves**2).sum(axis=0))
    np.testing.assert_allclose(fit.with_cov("jackknife", groups="g").bse, want, rtol=1e-6)


def test_weights_are_repeated_rows(data: pd.DataFrame) -> None:
    repeated = data.loc[data.index.repeat(data.w)].reset_index(drop=True)
    one, two = mlekit.fit("k ~ x", data, "poisson", weights="w"), mlekit.fit("k ~ x", repeated, "poisson")
    np.testing.assert_allclose(one.with_cov("jackknife").bse, two.with_cov("jackknife").bse, rtol=1e-6)
    a, b = one.bootstrap(4000, seed=1), two.bootstrap(4000, seed=2)
    np.testing.assert_allclose(a.bse, b.bse, rtol=6 / np.sqrt(2 * 4000))


# ------------------------------------------------------------------------------------ behaviour


def test_covariances_of_resamples(data: pd.DataFrame) -> None:
    fit = fit_of("two formulas", data)
    boot = fit.bootstrap(300, seed=9, groups="g")
    found = fit.with_cov("bootstrap", n=300, seed=9, groups="g")
    np.testing.assert_allclose(found.cov_params(), boot.cov_params(), rtol=1e-8)
    assert found.cov_text == "bootstrap of clusters by g: 300 resamples"
    assert "bootstrap of clusters by g: 300 resamples" in str(found.summary())


def test_the_same_seed_gives_the_same_draws(data: pd.DataFrame) -> None:
    fit = fit_of("poisson", data)
    assert fit.bootstrap(50, seed=1).draws.equals(fit.bootstrap(50, seed=1).draws)
    np.testing.assert_allclose(fit.bootstrap(50, seed=1).draws, fit.bootstrap(80, seed=1).draws[:50], rtol=1e-6)
    assert not fit.bootstrap(50, seed=1).draws.equals(fit.bootstrap(50, seed=2).draws)


def test_resamples_without_a_maximum_are_counted() -> None:
    few = pd.DataFrame({"y": [0, 0, 1, 0, 1, 1, 1], "x": [1.0, 2, 3, 4, 5, 6, 7]})
    boot = mlekit.fit("y ~ x", few, "bernoulli").bootstrap(200, seed=3)
    assert 0 < boot.failed < 200
    assert len(boot.draws) == 200 - boot.failed
    assert f"{len(boot.draws)} resamples, {boot.failed} without a maximum" in repr(boot)
    assert np.abs(boot.draws).max().max() < 1e3


@pytest.mark.parametrize(
    ("formula", "family"),
    [("y ~ x", "laplace"), ("Surv(t, b) ~ x", Censored("weibull")), ("k0 ~ x", ZeroInflated("poisson"))],
    ids=["laplace", "censored", "zero-inflated"],
)
def test_every_kind_of_fit_has_one(formula: str, family: object, data: pd.DataFrame) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = mlekit.fit(formula, data, family)
        boot = fit.bootstrap(60, seed=0)
    assert len(boot.draws) + boot.failed == 60
    assert np.all(np.abs(np.log(boot.bse["x"] / fit.bse["x"])) < np.log(2))


def test_a_function_of_parameters_has_one(data: pd.DataFrame) -> None:
    def rate(lam: float, t: np.ndarray) -> np.ndarray:
        return np.log(lam) - lam * t

    t = data.t.to_numpy()
    fit = mlekit.mle(rate, {"lam": 1.0}, {"t": t}, transforms={"lam": "log"})
    boot = fit.bootstrap(300, seed=0)
    assert boot.bse.iloc[0] == pytest.approx(t.std() / t.mean() / np.sqrt(t.size), rel=0.2)


def test_wrong_input_is_refused(data: pd.DataFrame) -> None:
    fit = fit_of("poisson", data)
    for n in (1, 0, 2.5, True):
        with pytest.raises(ValueError, match="n must be a whole number of resamples, 2 or more"):
            fit.bootstrap(n)
    with pytest.raises(ValueError, match="bootstrap intervals are bca, percentile, basic"):
        fit.bootstrap(5, seed=0).conf_int(method="studentized")
    with pytest.raises(ValueError, match="alpha must be between 0 and 1"):
        fit.bootstrap(5, seed=0).conf_int(95)
    with pytest.raises(TypeError, match="intervals by 'wald' take no n"):
        fit.conf_int(n=5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        parted = mlekit.fit("b ~ x", {"b": [0, 0, 1, 1], "x": [1.0, 2, 3, 4]}, "bernoulli")
    with pytest.raises(ValueError, match="is not the maximum"):
        parted.bootstrap(5)
    with pytest.raises(ValueError, match=r"without row 9 and 0 more there is no maximum"):
        mlekit.fit("k ~ one", data.assign(one=np.arange(150) == 9), "poisson").with_cov("jackknife")
    with pytest.raises(ValueError, match="leave the bound that this fit is on"):
        mlekit.fit("k ~ x", data, "poisson", bounds={"x": (0.5, 1)}).with_cov("bootstrap", n=10)
