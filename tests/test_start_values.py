"""Default starts lead to the maximum, and what has no maximum is said to have none."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from scipy import optimize, stats
from statsmodels.tools.sm_exceptions import ConvergenceWarning

import mlekit
from mlekit.families import FAMILIES
from mlekit.optimize import Status
from tests.mp import COUNTERPARTS
from tests.mp_continuous import FAMILIES as CONTINUOUS
from tests.mp_counts import FAMILIES as COUNTS
from tests.start_values import SCENES, SIMPLER, Data, fit, samples, verdict
from tests.start_values_levels import FAMILIES as LEVELS

each_family = pytest.mark.parametrize("name", SCENES)
#: Family by name: its distribution in scipy.stats.
SCIPY = {name: exact.scipy for name, exact in (CONTINUOUS | COUNTS).items()} | {
    "geometric": COUNTERPARTS["geometric"].scipy
}


def test_every_family_without_a_closed_form_has_a_scene() -> None:
    assert set(SCENES) == set(CONTINUOUS) | set(COUNTS) | {"geometric"}
    assert {*SCENES, *SIMPLER, *LEVELS} == set(FAMILIES)


@each_family
def test_no_fit_fails_from_its_default_start(name: str) -> None:
    ends = [verdict(name, fit(name, data), data) for data in samples(name, 32, seed=1)]
    allowed = {"converged", "limit", "zeros"} if name == "student_t" or name in COUNTS else {"converged"}
    assert set(ends) <= allowed, ends
    assert ends.count("converged") > 20


@pytest.mark.parametrize("name", SIMPLER)
def test_no_fit_of_a_simpler_family_fails(name: str) -> None:
    ends = [verdict(name, fit(name, data), data) for data in samples(name, 32, seed=1)]
    allowed = {"converged", "zeros", "parted"} if name in ("bernoulli", "binomial", "poisson") else {"converged"}
    assert set(ends) <= allowed, ends
    assert ends.count("converged") > 15


@each_family
def test_maximum_is_what_scipy_finds_from_the_truth(name: str) -> None:
    """Of the density of scipy.stats, from the parameters that made the sample, in units of the sample."""
    family, compared = FAMILIES[name](), 0
    links = tuple(family.links.values())
    for data in samples(name, 12, seed=2):
        result = fit(name, data)
        if verdict(name, result, data) != "converged":
            continue
        truth = np.array([*data.beta, *data.others])
        unit = np.maximum(result.bse.to_numpy(), 1e-300)

        def loss(step: np.ndarray, data: Data = data, truth: np.ndarray = truth, unit: np.ndarray = unit) -> float:
            beta = truth + unit * step
            eta = beta[0] + (0 if data.x is None else beta[1] * data.x) + np.zeros_like(data.y)
            others = beta[data.beta.size :]
            theta = [links[0].inverse(eta), *(link.inverse(o) for link, o in zip(links[1:], others, strict=True))]
            with np.errstate(all="ignore"):
                distribution = SCIPY[name](*theta)
                density = distribution.logpmf if family.discrete else distribution.logpdf
                return -float(np.sum(density(data.y)))

        found = optimize.minimize(loss, np.zeros(truth.size), method="Nelder-Mead")
        found = optimize.minimize(loss, found.x, method="BFGS")  # which alone may stop at its numerical gradient
        assert result.llf == pytest.approx(-found.fun, rel=1e-9, abs=1e-6)
        assert np.all(np.abs(truth + unit * found.x - result.params) < 1e-2 * unit)
        compared += 1
    assert compared >= 8


@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e6])
def test_t_of_light_tails_is_the_normal_and_says_so(unit: float) -> None:
    y = unit * np.random.default_rng(0).uniform(-1, 1, 200)
    result = mlekit.fit("y ~ 1", {"y": y}, "student_t")
    assert result._results.status is Status.LIMIT
    assert result.params.iloc[2] == np.inf
    assert result.llf == pytest.approx(mlekit.fit("y ~ 1", {"y": y}, "normal").llf, rel=1e-8)


@pytest.mark.parametrize("name", CONTINUOUS)
def test_a_perfect_fit_is_not_taken_for_an_estimate(name: str) -> None:
    x = np.linspace(0.1, 1, 20)
    link = next(iter(FAMILIES[name]().links.values()))
    y = np.exp(0.5 + x) if name == "lognormal" else link.inverse(0.5 + x)
    for response in (y, np.full_like(y, y[3])):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            result = mlekit.fit("y ~ x", {"y": response, "x": x}, name)
        assert result._results.status is Status.UNBOUNDED, result._results.reason


def test_lognormal_is_least_squares_of_the_log() -> None:
    rng = np.random.default_rng(4)
    x, w = rng.normal(size=50), rng.uniform(0.5, 3, 50)
    data = {"y": np.exp(3 + 0.2 * x + rng.normal(size=50) / np.sqrt(w)), "x": x, "w": w}
    for options in ({}, {"offset": {"sigma": "-0.5 * np.log(w)"}}):
        result = mlekit.fit("y ~ x", data, "lognormal", **options)
        normal = mlekit.fit("np.log(y) ~ x", data, "normal", **options)
        assert result._results.status is Status.CLOSED_FORM
        np.testing.assert_allclose(result.params, normal.params, rtol=1e-12)
        np.testing.assert_allclose(result.bse, normal.bse, rtol=1e-12)
        assert result.llf == pytest.approx(normal.llf - np.log(data["y"]).sum(), rel=1e-13)
        newton = mlekit.fit("y ~ x", data, "lognormal", method="newton", **options)
        np.testing.assert_allclose(result.params, newton.params, rtol=1e-9)


def test_inverse_gaussian_of_one_sample_has_its_closed_form() -> None:
    y = stats.invgauss(0.7, scale=3).rvs(60, random_state=3)
    result = mlekit.fit("y ~ 1", {"y": y}, "inverse_gaussian")
    shape = 1 / np.mean(1 / y - 1 / y.mean())
    np.testing.assert_allclose(np.exp(result.params), [y.mean(), shape], rtol=1e-12)


def test_gamma_of_groups_has_their_means() -> None:
    """No closed form of its shape is claimed: the means come out of Newton's method all the same."""
    y = np.array([1.0, 2.0, 6.0, 3.0, 5.0, 11.0])
    result = mlekit.fit("y ~ g", {"y": y, "g": list("aaabbb")}, "gamma")
    assert result._results.status is Status.CONVERGED
    np.testing.assert_allclose(result.fittedvalues, np.repeat([3.0, 19 / 3], 3), rtol=1e-10)
