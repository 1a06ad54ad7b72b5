"""Distributions of new responses: quantiles, probabilities, and intervals that allow for the error of the estimates."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from scipy import integrate, special, stats
from statsmodels.tools.sm_exceptions import ConvergenceWarning

import mlekit
from mlekit.families import Normal, Poisson
from mlekit.formula import FormulaError
from mlekit.predictive import Spread, interval
from tests.sample import Gumbel

RNG = np.random.default_rng(11)
N = 40
DATA = pd.DataFrame({"x": RNG.normal(size=N), "g": RNG.choice(list("abc"), N)})
DATA["k"] = RNG.poisson(np.exp(0.5 + 0.4 * DATA.x))
DATA["c"] = RNG.negative_binomial(2, 2 / (2 + np.exp(1.5 + 0.4 * DATA.x)))
DATA["b"] = RNG.uniform(size=N) < 0.5 + 0.2 * np.tanh(DATA.x)
DATA["y"] = 1 + DATA.x + RNG.normal(size=N)
DATA["t"] = RNG.weibull(1.5, N) * np.exp(0.3 * DATA.x)
NEW = pd.DataFrame({"x": [-1.0, 0.0, 2.5], "g": ["a", "c", "b"]}, index=["p", "q", "r"])
COUNTS = [0, 1, 4]


def scipy_of(fit, new):
    """The distribution of each new row in SciPy, by the parameters that the fit predicts."""
    theta = [fit.predict(new, what=name).to_numpy() for name in fit.model.family.params]
    made = {
        "Poisson": lambda mu: stats.poisson(mu),
        "NegativeBinomial": lambda mu, alpha: stats.nbinom(1 / alpha, 1 / (1 + alpha * mu)),
        "Bernoulli": lambda p: stats.bernoulli(p),
        "Normal": lambda mu, sigma: stats.norm(mu, sigma),
        "Weibull": lambda scale, shape: stats.weibull_min(shape, scale=scale),
        "Gumbel": lambda mu, beta: stats.gumbel_r(mu, beta),
        "Censored": lambda scale, shape: stats.weibull_min(shape, scale=scale),
    }
    return made[type(fit.model.family).__name__](*theta)


FITS = {
    "poisson": ("k ~ x", "poisson"),
    "negative_binomial": ("c ~ x", "negative_binomial"),
    "bernoulli": ("b ~ x", "bernoulli"),
    "normal": ("y ~ x", "normal"),
    "weibull": ("t ~ x", "weibull"),
    "own": ("y ~ x", Gumbel),
    "censored": ("Surv(t, t < 2) ~ x", mlekit.Censored("weibull")),
}


# ------------------------------------------------------------------------------------ at the estimates


@pytest.mark.parametrize("name", FITS)
def test_quantiles_and_probabilities_equal_scipy(name):
    fit = mlekit.fit(FITS[name][0], DATA, FITS[name][1])
    theirs, discrete = scipy_of(fit, NEW), fit.model.family.discrete
    q = [0.01, 0.5, 0.975]
    found = fit.predict(NEW, "quantile", q=q)
    assert found.columns.tolist() == q
    assert found.index.tolist() == ["p", "q", "r"]
    expected = {"cdf": theirs.cdf, "sf": theirs.sf, **({"pmf": theirs.pmf} if discrete else {"pdf": theirs.pdf})}
    for column in q:
        assert found[column].to_numpy() == pytest.approx(theirs.ppf(column), rel=1e-9)
        assert fit.predict(NEW, "quantile", q=column).equals(found[column].rename(None))
    for what, function in expected.items():
        table = fit.predict(NEW, what, at=COUNTS)
        assert table.columns.tolist() == COUNTS
        for at in COUNTS:
            assert table[at].to_numpy() == pytest.approx(function(at), rel=1e-9, abs=1e-300)


def test_outside_the_support_nothing_is():
    assert (
        mlekit.fit("k ~ x", DATA, "poisson").predict(NEW, "pmf", at=[-1, 0.5, np.inf]).to_numpy().tolist()
        == [[0] * 3] * 3
    )
    assert mlekit.fit("t ~ x", DATA, "weibull").predict(NEW, "pdf", at=-1.0).tolist() == [0] * 3


def test_what_goes_with_what():
    fit = mlekit.fit("k ~ x", DATA, "poisson")
    for call, message in (
        ({"what": "quantile"}, r"what='quantile' needs q=: q=0.9"),
        ({"what": "cdf"}, r"what='cdf' needs at=: at=0"),
        ({"what": "quantile", "q": 90}, "q are shares of a distribution, from 0 to 1, not 90"),
        ({"what": "quantile", "at": 1}, "what='quantile' takes q=, and not at="),
        ({"what": "cdf", "at": 1, "q": 0.5}, "what='cdf' takes at=, and not q="),
        ({"what": "cdf", "at": [1, 1]}, "list of different numbers"),
        ({"what": "cdf", "at": [[1, 2]]}, "list of different numbers"),
        ({"what": "cdf", "at": []}, "list of different numbers"),
        ({"what": "cdf", "at": np.nan}, "list of different numbers"),
        ({"what": "cdf", "at": "one"}, "list of numbers"),
        ({"what": "mean", "q": 0.5}, "what='mean' takes no q="),
        ({"at": [0, 1]}, "what='mean' takes no at="),
        ({"what": "pdf", "at": 1}, r"Poisson\(\) are whole numbers: ask for what='pmf'"),
        ({"what": "median"}, "what is mean, linear, quantile, pmf, pdf, cdf, sf, or a parameter"),
    ):
        with pytest.raises(ValueError, match=message):
            fit.predict(NEW, **call)
    with pytest.raises(ValueError, match=r"Normal\(\) are continuous: ask for what='pdf'"):
        mlekit.fit("y ~ x", DATA).predict(NEW, "pmf", at=1)
    with pytest.raises(ValueError, match="trials= goes with family 'binomial'"):
        fit.predict(NEW, "cdf", at=0, trials=3)


# ------------------------------------------------------------------------------------ intervals of least squares


@pytest.mark.parametrize("cov_type", ["nonrobust", "HC3"])
@pytest.mark.parametrize("alpha", [0.05, 0.5])
def test_intervals_of_least_squares_equal_statsmodels(cov_type, alpha):
    ours = mlekit.fit("y ~ x + C(g)", DATA, use_t=True, cov_type=cov_type).get_prediction(NEW).summary_frame(alpha)
    theirs = smf.ols("y ~ x + C(g)", DATA).fit(cov_type=cov_type, use_t=True).get_prediction(NEW).summary_frame(alpha)
    assert ours.columns.tolist() == [*theirs.columns, "linear", "linear_se"]
    assert ours[theirs.columns].to_numpy() == pytest.approx(theirs.to_numpy(), rel=1e-9)


def test_a_known_weight_of_each_row():
    """Precision weights are an offset of log sigma: a new row with sigma twice as large scatters twice as much."""
    data = DATA.assign(s=RNG.uniform(0.5, 2, N))
    fit = mlekit.fit("y ~ x", data, offset={"sigma": "log(s)"}, use_t=True)
    theirs = smf.wls("y ~ x", data, weights=1 / data.s**2).fit()
    new = NEW.assign(s=[1.0, 2.0, 0.5])
    expected = theirs.get_prediction(new, weights=1 / new.s**2).summary_frame()
    found = fit.get_prediction(new).summary_frame()
    assert found["obs_ci_upper"].to_numpy() == pytest.approx(expected["obs_ci_upper"].to_numpy(), rel=1e-8)


# ------------------------------------------------------------------------------------ predictive distributions


def test_a_normal_with_a_known_scale():
    fit = mlekit.fit("y ~ x", DATA, fixed={"sigma": 0.7})
    frame = fit.get_prediction(NEW).summary_frame(0.1)
    margin = stats.norm.isf(0.05) * np.sqrt(0.49 + frame["linear_se"] ** 2)
    assert frame["obs_ci_lower"].to_numpy() == pytest.approx((frame["linear"] - margin).to_numpy(), rel=1e-6)
    assert frame["obs_ci_upper"].to_numpy() == pytest.approx((frame["linear"] + margin).to_numpy(), rel=1e-6)


@pytest.mark.parametrize("ratio", [0.0, 1e-3, 0.09, 0.49, 0.99, 1.5])
def test_every_rule_of_the_average(ratio):
    """From no error at all to one as large as the scatter of the response."""
    spread = Spread(np.array([[2.0, 0.0]]), np.array([[[ratio, 0.0], [0.0, 0.0]]]))
    low, high = interval(Normal(), spread, 0.05)
    margin = 1.959963984540054 * np.sqrt(1 + ratio**2)
    assert [low[0], high[0]] == pytest.approx([2 - margin, 2 + margin], abs=2e-6)


@pytest.mark.parametrize("eta", [-300.0, 0.0, 300.0])
def test_units(eta):
    """An Exponential of any size has the interval of one of size 1, times the size."""
    spread = Spread(np.array([[0.0], [eta]]), np.full((2, 1, 1), 0.3))
    low, high = interval(mlekit.Exponential(), spread, 0.05)
    assert low[1] / low[0] == pytest.approx(np.exp(eta), rel=1e-12)
    assert high[1] / high[0] == pytest.approx(np.exp(eta), rel=1e-12)


def predictive_cdf(fit, new, cdf):
    """``P(Y <= y)`` of each new row by adaptive integration, of a family with one parameter."""
    frame = fit.get_prediction(new).summary_frame()

    def found(y, i):
        eta, se = frame[["linear", "linear_se"]].iloc[i]

        def part(z):
            return stats.norm.pdf(z) * cdf(
                y, fit.model.family.links[next(iter(fit.model.family.params))].inverse(eta + se * z)
            )

        return integrate.quad(part, -9, 9, epsabs=1e-12, limit=200)[0]

    return frame, found


def test_counts_are_covered_by_at_least_the_level():
    fit = mlekit.fit("k ~ x", DATA, "poisson")
    frame, cdf = predictive_cdf(fit, NEW, stats.poisson.cdf)
    for i, (low, high) in enumerate(zip(frame["obs_ci_lower"], frame["obs_ci_upper"], strict=True)):
        assert cdf(low - 1, i) < 0.025 <= cdf(low, i)
        assert cdf(high - 1, i) < 0.975 <= cdf(high, i)


def test_a_continuous_family_of_one_parameter():
    fit = mlekit.fit("t ~ x", DATA, "exponential")
    frame, cdf = predictive_cdf(fit, NEW, lambda y, rate: -np.expm1(-rate * y))
    for i, (low, high) in enumerate(zip(frame["obs_ci_lower"], frame["obs_ci_upper"], strict=True)):
        assert cdf(low, i) == pytest.approx(0.025, abs=1e-6)
        assert cdf(high, i) == pytest.approx(0.975, abs=1e-6)


@pytest.mark.parametrize("name", ["weibull", "own", "censored", "normal"])
def test_two_parameters_with_correlated_errors(name):
    """The ends are quantiles of the average over the distribution of the estimates, on a fine grid."""
    formula, family = FITS[name]
    fit = mlekit.fit(formula, DATA, family)
    frame = fit.get_prediction(NEW).summary_frame()
    rows, (first, second) = fit.model.rows(NEW), fit.model.design.slices
    cov, points = fit.cov_params().to_numpy(), np.linspace(-8, 8, 161)
    z = np.array([a.ravel() for a in np.meshgrid(points, points)])
    weight = np.exp(-(z**2).sum(axis=0) / 2)
    for i in range(len(NEW)):
        gradient = np.zeros((2, cov.shape[0]))
        gradient[0, first], gradient[1, second] = rows.X[0][i], rows.X[1][i]
        eta = (gradient @ fit.params.to_numpy())[:, None] + np.linalg.cholesky(gradient @ cov @ gradient.T) @ z
        kind = {"own": stats.gumbel_r, "normal": stats.norm}.get(name)
        made = kind(eta[0], np.exp(eta[1])) if kind else stats.weibull_min(np.exp(eta[1]), scale=np.exp(eta[0]))
        for end, function in (("obs_ci_lower", made.cdf), ("obs_ci_upper", made.sf)):
            assert weight @ function(frame[end].iloc[i]) / weight.sum() == pytest.approx(
                0.025, abs=1e-5 if name == "own" else 1e-6
            )


def test_the_error_of_the_estimates_is_allowed_for():
    few, many = (mlekit.fit("k ~ 1", pd.concat([DATA] * m), "poisson").get_prediction(NEW) for m in (1, 100))
    data = pd.concat([DATA] * 100)
    fit = mlekit.fit("t ~ 1", data, "exponential")
    frame = fit.get_prediction(NEW).summary_frame()
    for share, end in ((0.025, "obs_ci_lower"), (0.975, "obs_ci_upper")):
        assert frame[end].to_numpy() == pytest.approx(fit.predict(NEW, "quantile", q=share).to_numpy(), rel=3e-3)
    width = [f.summary_frame()[["obs_ci_lower", "obs_ci_upper"]].diff(axis=1).iloc[0, 1] for f in (few, many)]
    assert width[0] >= width[1]


def test_as_far_as_the_domain_reaches():
    """A Poisson mean through the identity is not below 0, however uncertain it is."""
    fit = mlekit.fit("k ~ 1", {"k": [0, 0, 1]}, mlekit.Poisson(mu="identity"))
    frame = fit.get_prediction({"x": [1.0]}).summary_frame()
    eta, se = frame[["linear", "linear_se"]].iloc[0]
    assert eta - 2 * se < 0
    grid = np.linspace(0, eta + 9 * se, 20_001)[1:]
    weight = stats.norm.pdf(grid, eta, se)
    cdf = [weight @ stats.poisson.cdf(k, grid) / weight.sum() for k in range(6)]
    assert frame["obs_ci_lower"].iloc[0] == 0
    assert frame["obs_ci_upper"].iloc[0] == pytest.approx(np.searchsorted(cdf, 0.975), abs=1)


def test_large_counts_and_tiny_ones():
    low, high = interval(Poisson(), Spread(np.array([[40.0], [-700.0]]), np.full((2, 1, 1), 1e-12)), 0.05)
    expected = np.exp(40.0) + special.ndtri(0.975) * np.exp(20.0) * np.array([-1, 1])
    assert [low[0], high[0]] == pytest.approx(expected, rel=1e-12)
    assert (low[1], high[1]) == (0, 0)


def test_the_negative_binomial_at_its_limit_is_a_poisson():
    data = {"k": [3, 4, 3, 4, 3, 4], "x": [0.0, 1, 2, 3, 4, 5]}
    found, expected = (
        mlekit.fit("k ~ x", data, family).get_prediction(data).summary_frame()
        for family in ("negative_binomial", "poisson")
    )
    assert found.to_numpy() == pytest.approx(expected.to_numpy())


def test_what_did_not_converge_has_no_interval():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        fit = mlekit.fit("y ~ x", {"y": [2.0, 4, 6], "x": [1.0, 2, 3]})
    assert not fit.converged
    assert fit.get_prediction({"x": [1.0]}).summary_frame()["obs_ci_lower"].isna().all()


def test_intervals_are_left_out_on_request():
    frame = mlekit.fit("k ~ x", DATA, "poisson").get_prediction(NEW).summary_frame(obs=False)
    assert frame.columns.tolist() == ["mean", "mean_se", "mean_ci_lower", "mean_ci_upper", "linear", "linear_se"]


# ------------------------------------------------------------------------------------ rows


def test_new_levels_are_nan_on_request():
    fit = mlekit.fit("k ~ x * C(g)", DATA, "poisson")
    new = NEW.assign(g=["a", "z", "b"])
    with pytest.raises(FormulaError, match="has level 'z' that the fit did not see"):
        fit.predict(new)
    known = new.drop("q")
    found = fit.predict(new, new_levels="nan")
    assert found.index.tolist() == ["p", "q", "r"]
    assert found.isna().tolist() == [False, True, False]
    assert found.drop("q").equals(fit.predict(known))
    frame = fit.get_prediction(new, new_levels="nan").summary_frame()
    assert frame.loc["q"].isna().all()
    assert frame.drop("q").equals(fit.get_prediction(known).summary_frame())
    table = fit.predict(new.assign(x=[np.nan, 1, 2]), "pmf", at=[0, 1], new_levels="nan")
    assert table.isna().all(axis=1).tolist() == [True, True, False]
    assert fit.predict(new.loc[["q"]], new_levels="nan").isna().tolist() == [True]
    with pytest.raises(ValueError, match="new_levels must be 'raise' or 'nan', not 'drop'"):
        fit.predict(new, new_levels="drop")


def test_new_levels_of_a_categorical_column():
    data = DATA.assign(g=pd.Categorical(DATA.g))
    fit = mlekit.fit("k ~ g", data, "poisson")
    new = pd.DataFrame({"g": pd.Categorical(["z", "b"])})
    assert fit.predict(new, new_levels="nan").isna().tolist() == [True, False]
    with pytest.raises(FormulaError, match="'z'"):
        fit.predict(new)


def test_new_levels_beside_levels_by_hand():
    fit = mlekit.fit("k ~ C(g, levels=['a', 'b', 'c'])", DATA, "poisson")
    new = {"g": ["z", "b", None]}
    assert fit.predict(new, new_levels="nan").isna().tolist() == [True, False, True]
    with pytest.raises(FormulaError, match="'z' that levels= leaves out"):
        fit.predict(new)


@pytest.mark.parametrize("name", ["zero_inflated", "hurdle"])
def test_three_parameters(name):
    """Beside draws of the estimates and of the responses, half a million of each."""
    family = {"zero_inflated": mlekit.ZeroInflated, "hurdle": mlekit.Hurdle}[name]("negative_binomial")
    rng = np.random.default_rng(2)
    data = pd.DataFrame({"x": rng.normal(size=150)})
    data["c"] = np.where(rng.uniform(size=150) < 0.3, 0, rng.negative_binomial(2, 2 / (2 + np.exp(2 + 0.4 * data.x))))
    fit = mlekit.fit("c ~ x", data, family)
    new = pd.DataFrame({"x": [1.5]})
    rows, slices = fit.model.rows(new), fit.model.design.slices
    params = rng.multivariate_normal(fit.params, fit.cov_params(), size=500_000)
    eta = [params[:, where] @ x[0] for x, where in zip(rows.X, slices, strict=True)]
    theta = [link.inverse(e) for link, e in zip(fit.model.family.links.values(), eta, strict=True)]
    drawn = fit.model.family.rvs(*theta, rng=rng)
    low, high = fit.get_prediction(new).summary_frame()[["obs_ci_lower", "obs_ci_upper"]].iloc[0]
    assert (drawn < low).mean() < 0.025 + 1e-3
    assert (drawn > high).mean() < 0.025 + 1e-3
    assert (drawn >= high).mean() > 0.025 - 1e-3
