"""Bootstraps and jackknifes, against fits one by one, scipy, exact facts and repeated rows."""

from __future__ import annotations

import warnings
from dataclasses import replace

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
        np.ravel(contrast),
        ends_of(draws, fit.params["x"] - fit.params["z"], moves, boot.times, 0.05, "bca"),
        rtol=1e-12,
    )
    found = fit.conf_int(method="bootstrap", kind="percentile", n=400, seed=6)
    np.testing.assert_allclose(found, boot.draws.quantile([0.025, 0.975]).T, rtol=1e-13)


def test_intervals_that_the_draws_do_not_reach_are_said(data: pd.DataFrame) -> None:
    boot = fit_of("poisson", data).bootstrap(100, seed=1)
    with pytest.warns(UserWarning, match="rests on the outermost of 100 draws: take 2000 or more"):
        ends = boot.conf_int(0.001, "percentile")
    assert (ends[0] < boot.draws.quantile(0.01)).all()
    one_side = replace(boot, params=boot.draws.min() - 1)
    with pytest.warns(UserWarning, match="no BCa interval where all draws are on one side"):
        assert one_side.conf_int().isna().all(axis=None)
    assert one_side.conf_int(method="percentile").notna().all(axis=None)
    # Beyond 1 / acceleration the formula turns round: the upper end would be below the estimate.
    y = np.r_[np.linspace(0, 1, 40), 100.0]
    skewed = mlekit.fit("y ~ 1", {"y": y}).bootstrap(2000, seed=1)
    with pytest.warns(UserWarning, match="the level is too high for how skewed"):
        assert np.isnan(skewed.conf_int(1e-12).loc["Intercept", 1])


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
    for groups in ("g", ["g"], data.g.to_numpy()):
        np.testing.assert_allclose(fit.with_cov("jackknife", groups=groups).bse, want, rtol=1e-6)


def test_weights_are_repeated_rows(data: pd.DataFrame) -> None:
    repeated = data.loc[data.index.repeat(data.w)].reset_index(drop=True)
    one, two = mlekit.fit("k ~ x", data, "poisson", weights="w"), mlekit.fit("k ~ x", repeated, "poisson")
    np.testing.assert_allclose(one.with_cov("jackknife").bse, two.with_cov("jackknife").bse, rtol=1e-6)
    a, b = one.bootstrap(4000, seed=1), two.bootstrap(4000, seed=2)
    np.testing.assert_allclose(a.bse, b.bse, rtol=6 / np.sqrt(2 * 4000))
    # The acceleration of BCa is that of the repeated rows: of the same draws, the same ends.
    two_ends = replace(b, draws=a.draws, params=a.params).conf_int()
    np.testing.assert_allclose(a.conf_int(), two_ends, rtol=1e-8)


def test_a_fit_at_a_limit_has_that_of_the_simpler_family() -> None:
    even = {"k": [1, 2, 1, 2, 1, 2, 1, 2], "x": [1, 1, 2, 2, 3, 3, 4, 4]}
    for kind in ("eim", "jackknife"):
        found = mlekit.fit("k ~ x", even, "negative_binomial", cov_type=kind)
        want = mlekit.fit("k ~ x", even, "poisson", cov_type=kind)
        np.testing.assert_allclose(found.bse[:2], want.bse, rtol=1e-6)
        assert found.cov_text == want.cov_text


def test_weights_that_count_nothing_are_refused(data: pd.DataFrame) -> None:
    fit = mlekit.fit("k ~ x", data.assign(w=data.w / 10), "poisson", weights="w")
    for kind in ("bootstrap", "jackknife"):
        with pytest.raises(ValueError, match="weights are not whole numbers"):
            fit.with_cov(kind)
    # By a label for each row they are resampled with their weights, whatever unit those are in.
    other, rows = fit_of("weights", data), np.arange(len(data))
    for how in ({"cov_type": "jackknife"}, {"cov_type": "bootstrap", "n": 50, "seed": 1}):
        np.testing.assert_allclose(fit.with_cov(**how, groups=rows).bse, other.with_cov(**how, groups=rows).bse, 1e-6)


@pytest.mark.parametrize("unit", [1e-300, 1e-160, 1e160, 1e300])
def test_units_change_nothing(unit: float, data: pd.DataFrame) -> None:
    """Squares of such coefficients are no floats."""
    one, two = fit_of("poisson", data), mlekit.fit("k ~ x + z", data.assign(x=data.x * unit), "poisson")
    for how in ({"cov_type": "bootstrap", "n": 60, "seed": 1}, {"cov_type": "jackknife"}):
        np.testing.assert_allclose(two.with_cov(**how).tvalues, one.with_cov(**how).tvalues, rtol=1e-6)
    a, b = one.bootstrap(99, seed=1), two.bootstrap(99, seed=1)
    np.testing.assert_allclose(b.bse["x"] * unit, a.bse["x"], rtol=1e-6)
    np.testing.assert_allclose(b.conf_int().loc["x"] * unit, a.conf_int().loc["x"], rtol=1e-6)


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
    seed = np.random.SeedSequence(1)
    for _ in range(2):
        assert fit.bootstrap(50, seed=1).draws.equals(fit.bootstrap(50, seed=seed).draws)


def test_resamples_without_a_maximum_are_counted() -> None:
    few = pd.DataFrame({"y": [0, 0, 1, 0, 1, 1, 1], "x": [1.0, 2, 3, 4, 5, 6, 7]})
    with pytest.warns(UserWarning, match=r"\d+ of 200 resamples have no maximum"):
        boot = mlekit.fit("y ~ x", few, "bernoulli").bootstrap(200, seed=3)
    assert 0 < boot.failed < 200
    assert len(boot.draws) == 200 - boot.failed
    assert f"{len(boot.draws)} resamples, {boot.failed} without a maximum" in repr(boot)
    assert np.abs(boot.draws).max().max() < 1e3


@pytest.mark.parametrize(("response", "family"), [("k", "poisson"), ("y", "normal"), ("y", "laplace")])
def test_resamples_that_lack_a_level_are_counted(response: str, family: str, data: pd.DataFrame) -> None:
    """A level that one row has is drawn by 1 - (1 - 1 / n)^n of the resamples."""
    rare = data.assign(rare=np.arange(150) == 9)
    with pytest.warns(UserWarning, match="lacks a level"):
        boot = mlekit.fit(f"{response} ~ rare", rare, family).bootstrap(100, seed=5)
    _, made = _resamples(mlekit.fit("y ~ 1", rare)._results, None, 100, 5)
    assert boot.failed == (made(0, 100)[9] == 0).sum()
    assert np.abs(boot.draws).max().max() < 10


def test_warnings_stay_as_they_were(data: pd.DataFrame) -> None:
    """Fits one by one set some aside, which threads that do so side by side would not put back."""
    zero = mlekit.fit("k0 ~ x", data, "negative_binomial")
    before = list(warnings.filters)
    with warnings.catch_warnings(record=True):
        inside = list(warnings.filters)
        zero.bootstrap(60, seed=0)
        assert warnings.filters == inside
    assert warnings.filters == before


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
    with pytest.raises(ValueError, match="unknown method 'studentized': bootstrap intervals"):
        fit.conf_int(method="bootstrap", kind="studentized")
    for kind in ("bootstrap", "jackknife"):
        with pytest.raises(ValueError, match=f"no {kind} of a single row"):
            mlekit.fit("k ~ 1", data[:1], "poisson").with_cov(kind)
    even = mlekit.fit("k ~ x", {"k": [1, 2, 1, 2, 1, 2, 1, 2], "x": [1, 1, 2, 2, 3, 3, 4, 4]}, "negative_binomial")
    with pytest.raises(ValueError, match=r"at the limit of its parameter, .* fit Poisson\(\) and bootstrap that"):
        even.bootstrap(10)
    with pytest.raises(ValueError, match=r"without the cluster of row 9 and 0 more there is no maximum"):
        mlekit.fit("k ~ one", data.assign(one=np.arange(150) == 9), "poisson").with_cov("jackknife", groups=range(150))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        parted = mlekit.fit("b ~ x", {"b": [0, 0, 1, 1], "x": [1.0, 2, 3, 4]}, "bernoulli")
    with pytest.raises(ValueError, match="estimates are infinite, and in most resamples too"):
        parted.bootstrap(5)
    with pytest.raises(ValueError, match="clusters of one kind, not of two"):
        fit.bootstrap(5, groups=["g", "w"])
    with pytest.raises(ValueError, match=r"without row 9 and 0 more there is no maximum"):
        mlekit.fit("k ~ one", data.assign(one=np.arange(150) == 9), "poisson").with_cov("jackknife")
    with pytest.raises(ValueError, match="leave the bound that this fit is on"):
        mlekit.fit("k ~ x", data, "poisson", bounds={"x": (0.5, 1)}).with_cov("bootstrap", n=10)
