"""Integrals and sums of densities against the moments and distribution functions of scipy.stats."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from mlekit.selfcheck.expectations import Functions, expectations

CONTINUOUS = {
    "normal": stats.norm(0, 1),
    "far": stats.norm(1e6, 1.0),
    "wide": stats.norm(3, 1e8),
    "narrow": stats.norm(-2, 1e-5),
    "exponential": stats.expon(scale=1e4),
    "gamma, steep": stats.gamma(0.1),
    "beta": stats.beta(50, 2),
    "beta, steep at 0": stats.beta(0.2, 3),
    "laplace": stats.laplace(2, 0.3),
    "t": stats.t(2.2),
    "lognormal": stats.lognorm(3),
    "weibull": stats.weibull_min(0.5),
    "uniform": stats.uniform(2, 3),
    "pareto": stats.pareto(3),
    "skewed": stats.skewnorm(50),
    "inverse gaussian": stats.invgauss(0.3),
}
DISCRETE = {
    "poisson": stats.poisson(3.3),
    "rare": stats.poisson(1e-3),
    "bernoulli": stats.bernoulli(0.3),
    "negative binomial": stats.nbinom(0.5, 0.01),
    "nearly zero": stats.nbinom(0.05, 1e-4),
    "geometric": stats.geom(1e-3),
    "binomial": stats.binom(1000, 0.3),
    "skellam": stats.skellam(3, 50),
    "zipf": stats.zipf(8),
}


@pytest.mark.parametrize("name", [*CONTINUOUS, *DISCRETE])
def test_integrals_and_sums_against_scipy(name: str) -> None:
    distribution = (CONTINUOUS | DISCRETE)[name]
    log_density = distribution.logpmf if name in DISCRETE else distribution.logpdf
    shares = np.array([0.01, 0.3, 0.5, 0.999])
    points = distribution.ppf(shares)
    hints = np.array([distribution.median(), 1.0])
    none = Functions(0, lambda y: np.zeros((0, y.size)))
    found = expectations(log_density, hints, points, none, name in DISCRETE)
    mean, variance = distribution.stats()
    assert found.total == pytest.approx(1, abs=1e-9)
    assert found.mean == pytest.approx(mean, abs=1e-9 * np.sqrt(variance))
    assert found.variance == pytest.approx(variance, rel=1e-9)
    np.testing.assert_allclose(found.below, distribution.cdf(points) if name in DISCRETE else shares, atol=1e-9)
    assert found.products.shape == (0, 0)


def test_integrals_that_do_not_converge() -> None:
    none, points = Functions(0, lambda y: np.zeros((0, y.size))), np.array([0.0])
    found = expectations(stats.t(1.5).logpdf, points, points, none, False)
    assert found.total == pytest.approx(1, abs=1e-12)
    assert abs(found.mean) < 1e-9
    assert np.isnan(found.variance)
    found = expectations(lambda y: np.where(y > 1, -np.log(np.abs(y)), -np.inf), points, points, none, False)
    assert found.total == np.inf
    for discrete in (False, True):
        assert expectations(lambda y: 0 * y, points, points, none, discrete).total == np.inf
        assert expectations(lambda y: np.full(y.shape, -np.inf), points, points, none, discrete).total == 0
    found = expectations(stats.zipf(1.5).logpmf, points, points, none, True)
    assert np.isnan([found.total, found.mean]).all()
    # Within the last bit of 1 lies more of this than can be told.
    assert np.isnan(expectations(stats.beta(2, 0.2).logpdf, points + 0.5, points, none, False).total)
