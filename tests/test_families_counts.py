"""Negative binomials and the geometric distribution, against mpmath, scipy.stats, statsmodels, R and their limits."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
import statsmodels.api as sm
from mpmath import mp, mpf

import mlekit
from mlekit import GenericLikelihood, NegativeBinomial, jets
from mlekit.families import FAMILIES, Poisson
from mlekit.links import Array
from tests.mp_continuous import partials
from tests.mp_counts import FAMILIES as EXACT
from tests.mp_counts import log_density, tails
from tests.test_families import AWKWARD, plain

each_family = pytest.mark.parametrize("name", EXACT)


def linear_rows(name: str, y: Array, *eta: Array, order: int = 2) -> jets.Rows:
    with np.errstate(all="ignore"):
        return FAMILIES[name]().linear_rows(y, *eta, order=order)


def parts(rows: jets.Rows) -> Array:
    """Value, gradient and lower triangle of the Hessian."""
    return np.array([rows.value, *rows.grad, rows.hess[0, 0], rows.hess[1, 0], rows.hess[1, 1]])


def columns(rows: list[tuple[float, ...]]) -> tuple[Array, ...]:
    return tuple(np.array(column) for column in zip(*rows, strict=True))


# ---------------------------------------------------------------- derivatives

_COUNTS = (0.0, 1.0, 2.0, 9.0, 10.0, 11.0, 40.0, 1000.0)
_LOG_ALPHA = (-50.0, -30.0, -9.0, -2.5, -0.1, 2.0, 9.0, 30.0)


def points() -> tuple[Array, ...]:
    """Counts near and far from their means, and dispersions from none to where a count is all but always 0."""
    far = list(product(_COUNTS, (-60.0, -3.0, 0.4, 3.0, 25.0), _LOG_ALPHA))
    near = product((3.0, 600.0, 9999.0, 10001.0, 1e6, 1e9), (-3.0, 0.01, 2.0), _LOG_ALPHA)
    return columns(far + [(y, float(np.log(y) + z / np.sqrt(y)), a) for y, z, a in near])


@each_family
def test_rows_against_mpmath(name: str) -> None:
    """Relative to what each derivative is made of: near the mean, sums of y terms cancel but for their root."""
    y, *eta = points()
    got, base = parts(linear_rows(name, y, *eta)), FAMILIES[name]().base_measure(y)
    for n in range(y.size):
        at = [mpf(float(e[n])) for e in eta]
        with mp.workdps(200):
            value, grad, hess = partials(lambda *at, n=n: log_density(name, mpf(float(y[n])), *at), at)
            want = [value - mpf(float(base[n])), *grad, hess[0][0], hess[1][0], hess[1][1]]
        size = [mp.sqrt(abs(hess[i][i])) for i in range(2)]
        sizes = [1 + abs(value), *size, size[0] ** 2, size[0] * size[1], size[1] ** 2]
        limit = 3e-13 + 3e-15 * min(y[n], 1e4)
        for found, exact, scale in zip(got[:, n], want, sizes, strict=True):
            assert abs(mpf(float(found)) - exact) <= limit * max(abs(exact), scale), (y[n], at)


@each_family
def test_one_dispersion_for_all_rows_and_one_for_each_are_the_same_numbers(name: str) -> None:
    """Sums over counts come from a table where there is one."""
    y, log_mu = np.tile(np.arange(40.0), 3), np.repeat([-2.0, 1.0, 4.0], 40)
    for a in (-12.0, 0.3, 5.0):
        together = parts(linear_rows(name, y, log_mu, np.full_like(y, a)))
        alone = np.column_stack([parts(linear_rows(name, y[[n]], log_mu[[n]], np.array([a]))) for n in range(y.size)])
        np.testing.assert_allclose(together, alone, rtol=1e-13, atol=1e-14)


@each_family
def test_lower_orders_are_the_same_numbers(name: str) -> None:
    y, *eta = points()
    zero, one, two = (linear_rows(name, y, *eta, order=order) for order in (0, 1, 2))
    assert zero.grad is zero.hess is one.hess is None
    np.testing.assert_array_equal(zero.value, two.value)
    np.testing.assert_array_equal(one.value, two.value)
    np.testing.assert_array_equal(one.grad, two.grad)
    np.testing.assert_array_equal(two.hess, two.hess.swapaxes(0, 1))


MODELS = [(name, links) for name in EXACT for links in product(*FAMILIES[name].links_for.values())]


@pytest.mark.parametrize(("name", "links"), MODELS, ids=lambda x: x if isinstance(x, str) else "-".join(x))
def test_links_against_the_generic_chain_rule(name: str, links: tuple[str, ...]) -> None:
    """What a user's declaration would give, by jets of the density and the chain rule."""
    family = FAMILIES[name](mu=links[0], alpha=links[1])
    y, *theta = columns(list(product((0.0, 1.0, 6.0, 30.0, 20000.0), (0.05, 1.5, 40.0, 2e4), (1e-6, 0.3, 40.0))))
    eta = [np.asarray(link.forward(t)) for link, t in zip(family.links.values(), theta, strict=True)]
    got, want = family.linear_rows(y, *eta), GenericLikelihood.linear_rows(family, y, *eta)
    np.testing.assert_allclose(got.value + family.base_measure(y), want.value, rtol=1e-12, atol=1e-12)
    size = np.sqrt(np.abs(np.einsum("iin->in", want.hess))) + np.abs(want.grad)
    assert np.all(np.abs(got.grad - want.grad) <= 1e-11 * size)
    assert np.all(np.abs(got.hess - want.hess) <= 1e-11 * size[:, None] * size)


@each_family
def test_no_dispersion_is_the_poisson(name: str) -> None:
    """In all digits; and the slope in alpha is that of the Poisson's neighbours, ((y - mu)**2 - y) / 2."""
    family, (y, mu) = FAMILIES[name](), columns(list(product((0.0, 1.0, 3.0, 50.0, 2e4), (1e-3, 2.5, 47.0, 2.1e4))))
    want = Poisson().logpdf(y, mu)
    for alpha in (0.0, 1e-300, 1e-22):
        np.testing.assert_allclose(family.logpdf(y, mu, np.full_like(mu, alpha)), want, rtol=1e-13, atol=1e-12)
        np.testing.assert_allclose(family.cdf(y, mu, alpha), Poisson().cdf(y, mu), rtol=1e-12)
        np.testing.assert_allclose(family.logsf(y, mu, alpha), Poisson().logsf(y, mu), rtol=1e-12)
        np.testing.assert_allclose(family.logcdf(y, mu, alpha), Poisson().logcdf(y, mu), rtol=1e-12)
    slope = ((y - mu) ** 2 - y) / 2 / (1 if name == "negative_binomial" else mu)
    for alpha in (1e-100, 1e-30):
        log_alpha = np.full_like(mu, np.log(alpha))
        rows = linear_rows(name, y, np.log(mu), log_alpha)
        size = np.maximum(np.abs(slope), (y + mu) / (1 if name == "negative_binomial" else mu))
        assert np.all(np.abs(rows.grad[1] / alpha - slope) <= 1e-12 * size)
        np.testing.assert_allclose(rows.grad[0], y - mu, rtol=1e-12)
        np.testing.assert_allclose(rows.hess[0, 0], -mu, rtol=1e-12)
        by_jets = jets.derivatives(family.logpdf, y, mu, np.full_like(mu, alpha))
        assert np.all(np.abs(by_jets.grad[1] - slope) <= 1e-11 * size * np.maximum(y, 1))


@pytest.mark.parametrize(("name", "links"), MODELS, ids=lambda x: x if isinstance(x, str) else "-".join(x))
def test_start(name: str, links: tuple[str, ...]) -> None:
    family = FAMILIES[name](mu=links[0], alpha=links[1])
    for y in AWKWARD.values():
        if not family.in_support(y).all():
            continue
        for start in (family.start, plain(family).start):
            eta = [np.broadcast_to(e, y.shape) for e in start(y, np.ones(y.size))]
            for e, (low, high) in zip(eta, family.eta_limits(), strict=True):
                assert np.all((e > low) & (e < high))
            with np.errstate(all="ignore"):
                assert np.isfinite(family.linear_rows(y, *eta, order=0).value).all()


# ---------------------------------------------------------------- distributions

GRID = columns(list(product((0.0, 1.0, 7.0, 300.0, 1e5), (1e-3, 0.4, 30.0, 2e3), (1e-3, 0.4, 3.0, 50.0))))


@each_family
def test_against_scipy(name: str) -> None:
    family, (y, *theta) = FAMILIES[name](), GRID
    distribution = EXACT[name].scipy(*theta)
    np.testing.assert_allclose(family.logpdf(y, *theta), distribution.logpmf(y), rtol=1e-10, atol=1e-10)
    # SciPy's moments are of 1 - p, which cancels where alpha mu is small.
    np.testing.assert_allclose(family.mean(*theta), distribution.mean(), rtol=3e-10)
    np.testing.assert_allclose(family.variance(*theta), distribution.var(), rtol=3e-10)
    np.testing.assert_allclose(family.cdf(y + 0.5, *theta), distribution.cdf(y), rtol=1e-10)
    for share in (1e-9, 0.03, 0.5, 0.97, 1 - 1e-9):
        found = family.ppf(np.full_like(y, share), *theta)
        assert np.all(family.cdf(found, *theta) >= share)
        assert np.all(family.cdf(found - 1, *theta) < share)
        # SciPy's may be off by one where a share is all but reached.
        assert np.mean(found == distribution.ppf(share)) > 0.9


@each_family
def test_edges_of_the_distribution_function(name: str) -> None:
    family, theta = FAMILIES[name](), (np.array(2.0), np.array(0.7))
    assert (family.cdf(-1.0, *theta), family.cdf(np.inf, *theta)) == (0, 1)
    assert (family.logcdf(-0.5, *theta), family.logsf(-0.5, *theta)) == (-np.inf, 0)
    assert (family.logcdf(np.inf, *theta), family.logsf(np.inf, *theta)) == (0, -np.inf)
    assert (family.ppf(0.0, *theta), family.ppf(1.0, *theta)) == (0, np.inf)
    assert np.isnan(family.ppf(np.array([-0.1, 1.1, np.nan]), *theta)).all()


@each_family
def test_tails_against_mpmath(name: str) -> None:
    family = FAMILIES[name]()
    for y, mu, alpha in product((0.0, 4.0, 90.0, 2500.0), (1e-3, 3.0, 200.0, 5e4), (1e-18, 1e-12, 1e-6, 0.1, 4.0)):
        with mp.workdps(40):
            below, above = tails(name, mpf(y), mpf(mu), mpf(alpha))
            if min(below, above) < mpf(10) ** -25:  # the smaller was summed, the larger is what is left of 1
                want = [float(mp.log(below)), float(mp.log(above))]
            else:
                want = [float(mp.log(p)) for p in (below, above)]
        at = np.array([y]), np.array([mu]), np.array([alpha])
        got = [float(f(*at)[0]) for f in (family.logcdf, family.logsf)]
        assert got == pytest.approx(want, rel=1e-9, abs=1e-13), (y, mu, alpha)


def test_tails_of_large_means_keep_their_digits() -> None:
    """With alpha = 1, P(N > y) is ``(mu / (1 + mu))**(y + 1)``."""
    mu, share = columns(list(product((1e6, 1e9, 1e14, 1e200), (1e-3, 0.3, 1.0, 8.0))))
    y, one = np.floor(mu * share), np.ones_like(mu)
    want = (y + 1) * np.log1p(-1 / (1 + mu))
    np.testing.assert_allclose(NegativeBinomial().logsf(y, mu, one), want, rtol=1e-12)
    np.testing.assert_allclose(NegativeBinomial().cdf(y, mu, one), -np.expm1(want), rtol=1e-12)
    quantile = NegativeBinomial().ppf(0.3, mu, one)
    np.testing.assert_allclose(NegativeBinomial().cdf(quantile, mu, one), 0.3, rtol=3e-6)  # one of 4e5 counts


@each_family
def test_jets_follow_distribution_functions(name: str) -> None:
    family, (y, *theta) = FAMILIES[name](), columns(list(product((0.0, 2.0, 25.0), (0.5, 8.0), (0.2, 3.0))))
    for function in (family.cdf, family.logcdf, family.logsf):
        rows = jets.derivatives(function, y, *theta, order=1)
        np.testing.assert_allclose(rows.value, function(y, *theta), rtol=1e-11, atol=1e-13)
        for i in range(2):
            step = 1e-5 * theta[i]
            ends = [[t + s * step * (j == i) for j, t in enumerate(theta)] for s in (-1, 1)]
            slope = (function(y, *ends[1]) - function(y, *ends[0])) / (2 * step)
            np.testing.assert_allclose(rows.grad[i], slope, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("name", [*EXACT, "geometric"])
def test_what_a_family_defines_agrees_with_its_density(name: str) -> None:
    theta = {"p": [0.3, 0.9, 1e-3]} if name == "geometric" else {"mu": [0.3, 5.0, 80.0], "alpha": [2.0, 1e-3, 0.5]}
    found = FAMILIES[name]().check([0, 1, 30], **theta)
    assert found.ok, found
    assert {"cdf", "mean", "variance", "ppf: share below", "rvs: share below"} <= set(found.table.index)


@each_family
def test_draws_of_large_and_of_equal_means(name: str) -> None:
    rng = np.random.default_rng(0)
    family, one = FAMILIES[name](), np.ones(2000)
    for mu, alpha in ((1e120, 0.01), (4e15, 1e-9), (7.0, 0.0)):
        y = family.rvs(mu * one, alpha * one, rng=rng)
        spread = np.sqrt(family.variance(mu, alpha))
        assert abs(y.mean() - mu) < 5 * spread / np.sqrt(2000) + 1e-15 * mu
        assert y.std() == pytest.approx(spread, rel=0.1, abs=1e-15 * mu)


# ---------------------------------------------------------------- fits


def drawn(name: str, n: int, seed: int) -> Any:
    """A table of draws with a covariate, and the coefficients that made it."""
    covariates = {"x": np.random.default_rng(seed).normal(size=n)}
    truth = {"Intercept": -1.0, "x": 0.5} if name == "geometric" else {"Intercept": 1.0, "x": 0.5, "alpha": 0.7}
    return mlekit.simulate("y ~ x", truth, name, covariates, seed=seed), truth


@pytest.mark.parametrize("name", [*EXACT, "geometric"])
def test_parameters_are_recovered_from_draws(name: str) -> None:
    distances = []
    for seed in range(20):
        data, truth = drawn(name, 2000, seed)
        fit = mlekit.fit("y ~ x", data, name)
        truth = [value if key != "alpha" else np.log(value) for key, value in truth.items()]
        distances.append((fit.params - truth) / fit.bse)
    # Independent standard normals, nearly: their mean square is 1, to 5 standard deviations of it.
    squares = np.square(distances)
    assert abs(squares.mean() - 1) < 5 * np.sqrt(2 / squares.size)
    assert np.all(np.abs(np.mean(distances, axis=0)) < 5 / np.sqrt(20))


@each_family
def test_estimate_is_the_maximum_of_statsmodels(name: str) -> None:
    data, _ = drawn(name, 500, 3)
    fit = mlekit.fit("y ~ x", data, name)
    theirs = sm.NegativeBinomial(data.y, sm.add_constant(data[["x"]]), loglike_method=EXACT[name].statsmodels)
    found = theirs.fit(method="newton", disp=0)
    at = np.array([*fit.params[:2], np.exp(fit.params.iloc[2])])
    assert fit.llf == pytest.approx(found.llf, rel=1e-12)
    np.testing.assert_allclose(at, found.params, rtol=1e-6)
    np.testing.assert_allclose(fit.bse * [1, 1, at[2]], found.bse, rtol=1e-6)  # theirs is alpha, ours its logarithm


def test_geometric_is_the_negative_binomial_with_alpha_1() -> None:
    data, _ = drawn("geometric", 500, 1)
    fit, other = (
        mlekit.fit("y ~ x", data, "geometric"),
        mlekit.fit("y ~ x", data, NegativeBinomial(), fixed={"alpha": 1}),
    )
    np.testing.assert_allclose(fit.params, -other.params, rtol=1e-10)
    np.testing.assert_allclose(fit.bse, other.bse, rtol=1e-10)
    assert fit.llf == pytest.approx(other.llf, rel=1e-13)
    assert fit.deviance == pytest.approx(other.deviance, rel=1e-12)


@each_family
def test_a_tail_of_too_many_terms_is_refused_and_not_cut_off(name: str) -> None:
    family, (y, mu, alpha) = FAMILIES[name](), (np.array([v]) for v in (4.02e4, 4e4, 0.5))
    assert family.logsf(y, mu, alpha) == pytest.approx(EXACT[name].scipy(mu, alpha).logsf(y), rel=1e-9)
    for function in (family.cdf, family.logcdf, family.logsf):
        with pytest.raises(jets.DerivativeError, match="too many to add up with their derivatives"):
            jets.derivatives(function, y, mu, alpha)
