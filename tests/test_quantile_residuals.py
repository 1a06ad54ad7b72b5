"""Randomised quantile residuals beside SciPy's distribution functions, mpmath in the tails, and the normal."""

from __future__ import annotations

import mpmath
import numpy as np
import pandas as pd
import pytest
from scipy import special, stats

import mlekit
from mlekit.diagnostics import NotGiven
from mlekit.families import FAMILIES, Bernoulli, Binomial, Censored, Normal, Poisson
from mlekit.quantile_residuals import quantile_residuals
from tests.sample import Gumbel

RNG = np.random.default_rng(7)
N = 400
DATA = pd.DataFrame({"x": RNG.normal(size=N)}, index=[f"row{i}" for i in range(N)])
MU = np.exp(0.5 + 0.4 * DATA.x)
DATA["k"] = RNG.poisson(MU)
DATA["c"] = RNG.negative_binomial(2, 2 / (2 + MU))
DATA["b"] = RNG.uniform(size=N) < 1 / (1 + np.exp(-DATA.x))
DATA["y"] = 1 + DATA.x + RNG.gumbel(size=N)
DATA["t"] = RNG.weibull(1.5, N) * MU
DATA["share"] = RNG.beta(2, 3, N)
DATA["z"] = np.where(RNG.uniform(size=N) < 0.3, 0, DATA.k)
DATA["level"] = pd.cut(DATA.y, [-np.inf, 0.5, 2, np.inf], labels=["low", "mid", "high"])
DATA["few"], DATA["more"] = RNG.binomial(5, 0.3, N), 2


def test_a_continuous_response_has_the_quantile_of_its_share():
    fit = mlekit.fit("t ~ x", DATA, "weibull")
    scale, shape = (fit.predict(what=name).to_numpy() for name in ("scale", "shape"))
    found = fit.resid_quantile()
    assert found.index.equals(DATA.index)
    assert found.to_numpy() == pytest.approx(
        stats.norm.ppf(stats.weibull_min.cdf(DATA.t, shape, scale=scale)), rel=1e-9
    )
    assert fit.resid_quantile(seed=5).equals(found)
    normal = mlekit.fit("y ~ x", DATA)
    sigma = normal.distribution.loc["sigma", "estimate"]
    assert normal.resid_quantile().to_numpy() == pytest.approx((normal.resid_response / sigma).to_numpy(), rel=1e-9)


def test_a_count_is_drawn_between_its_shares():
    fit = mlekit.fit("k ~ x", DATA, "poisson")
    found = fit.resid_quantile(seed=1)
    share, mu = stats.norm.cdf(found), fit.fittedvalues.to_numpy()
    low, high = stats.poisson.cdf(DATA.k - 1, mu), stats.poisson.cdf(DATA.k, mu)
    assert ((low < share) & (share < high)).all()
    # Where in between is uniform.
    assert stats.kstest((share - low) / (high - low), "uniform").pvalue > 1e-3
    assert found.equals(fit.resid_quantile(seed=1))
    assert not found.equals(fit.resid_quantile(seed=2))
    assert fit.resid_quantile().equals(fit.resid_quantile(seed=0))


MODELS = {
    "poisson": ("k ~ x", "poisson"),
    "negative_binomial": ("c ~ x", "negative_binomial"),
    "bernoulli": ("b ~ x", "bernoulli"),
    "binomial": ("cbind(few, 5 - few) ~ x", "binomial"),
    "own": ("y ~ x", Gumbel),
    "beta": ("share ~ x", "beta"),
    "ordered": ("level ~ x", "ordered_logit"),
    "zero_inflated": ("z ~ x", mlekit.ZeroInflated("poisson")),
    "hurdle": ({"mu": "z ~ x", "zero": "~ x"}, mlekit.Hurdle("poisson")),
    "right": ("Surv(np.minimum(t, 2), t < 2) ~ x", Censored("weibull")),
    "interval": ("Surv(np.floor(t), np.floor(t) + 1, type='interval') ~ x", Censored("weibull")),
    "counts": ("Surv(np.minimum(k, 3), k < 4) ~ x", Censored("poisson")),
    "truncated": ("k ~ x", mlekit.Truncated("poisson", lower=1)),
}


@pytest.mark.parametrize("name", MODELS)
def test_they_are_standard_normal_if_the_model_is_right(name):
    formula, family = MODELS[name]
    data = DATA[DATA.k > 0] if name == "truncated" else DATA
    found = mlekit.fit(formula, data, family).resid_quantile(seed=3)
    assert np.isfinite(found).all()
    assert stats.kstest(found, "norm").pvalue > 0.02
    assert abs(found.corr(data.x)) < 0.1


def test_and_not_if_it_is_wrong():
    assert stats.kstest(mlekit.fit("c ~ x", DATA, "poisson").resid_quantile(), "norm").pvalue < 1e-3
    assert stats.shapiro(mlekit.fit("y ~ x", DATA).resid_quantile()).pvalue < 1e-6


# ------------------------------------------------------------------------------------ tails


@pytest.mark.parametrize("z", [-1e5, -38.0, -8.3, -1e-9, 0.0, 1e-9, 8.3, 38.0, 1e5])
def test_far_out_of_a_normal(z):
    found = quantile_residuals(Normal(), np.array([2 + 3 * z]), (np.array([2.0]), np.log([3.0])), 0)
    assert found[0] == pytest.approx(z, rel=1e-10, abs=1e-15)


@pytest.mark.parametrize(("k", "mu"), [(0, 800.0), (1000, 1e-3), (50, 1e-30), (3000, 1000.0)])
def test_far_out_of_a_poisson(k, mu):
    """Between the quantiles of the two shares, which are far below the smallest double."""
    found = quantile_residuals(Poisson(), np.array([float(k)]), (np.log([mu]),), 0)[0]
    with mpmath.workdps(60):
        upper = k > mu
        ends = [
            mpmath.gammainc(k + 1 - i, 0, mu, regularized=True)
            if upper
            else mpmath.gammainc(k + i, mu, mpmath.inf, regularized=True)
            if k + i
            else mpmath.mpf(0)
            for i in (0, 1)
        ]
        z = [float(special.ndtri_exp(float(mpmath.log(end)))) if end else -np.inf for end in ends]
    assert z[0] - 1e-9 <= (-found if upper else found) <= z[1] + 1e-9


@pytest.mark.parametrize("eta", [-700.0, -40.0, -1.0, 1.0, 40.0, 700.0])
@pytest.mark.parametrize("outcome", [0.0, 1.0])
def test_an_outcome_against_all_odds(eta, outcome):
    """Log-odds of 40 leave a share of 4e-18 for the other outcome, and 1 - p would be 0."""
    found = quantile_residuals(Bernoulli(), np.array([outcome]), (np.array([eta]),), 0)[0]
    edge = special.ndtri_exp(-np.logaddexp(0.0, eta))  # the quantile of P(Y = 0), from below
    edge = edge if eta > 0 else -special.ndtri_exp(-np.logaddexp(0.0, -eta))
    assert np.isfinite(found)
    assert (found < edge) == (outcome == 0)


def test_a_binomial_beside_scipy_and_in_the_tails():
    y, eta = np.array([[3.0, 7.0], [0.0, 4.0], [4.0, 0.0], [0.0, 0.0]]), np.array([-1.0, 0.5, 0.5, 0.0])
    found = stats.norm.cdf(quantile_residuals(Binomial(), y, (eta,), 0))
    n, p = y.sum(axis=1), special.expit(eta)
    assert (stats.binom.cdf(y[:, 0] - 1, n, p) < found).all()
    assert (found < stats.binom.cdf(y[:, 0], n, p)).all()
    far = quantile_residuals(Binomial(), np.array([[100.0, 0.0], [0.0, 100.0]]), (np.array([-20.0, 20.0]),), 0)
    assert far[0] == pytest.approx(-far[1], abs=0.5)
    low, high = (special.ndtri_exp(value) for value in (-2010.0, -1999.9))
    assert low < far[1] < high


# ------------------------------------------------------------------------------------ refusals


def test_what_has_none():
    with pytest.raises(NotGiven, match="the levels of MultinomialLogit have no order"):
        mlekit.fit("level ~ x", DATA.assign(level=DATA.level.astype(str)), "multinomial_logit").resid_quantile()
    with pytest.raises(NotGiven, match="not a regression has no quantile residuals"):
        mlekit.mle(lambda m, y: -((y - m) ** 2), {"m": 0.0}, DATA).resid_quantile()


def test_every_family_has_them():
    responses = {"beta": "share", "bernoulli": "b", "poisson": "k", "geometric": "k", "ordered_logit": "level"}
    responses |= {"ordered_probit": "level", "multinomial_logit": "level", "binomial": "cbind(few, more)"}
    for name in FAMILIES:
        if name == "multinomial_logit":
            continue
        response = responses.get(name, "c" if name.startswith("negative_binomial") else "t")
        fit = mlekit.fit(f"{response} ~ x", DATA, name)
        assert np.isfinite(fit.resid_quantile()).all(), name
