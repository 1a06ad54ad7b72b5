"""What a family that gives its log-density alone has by integration, against scipy.stats and mpmath."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from mpmath import mp, mpf
from scipy import special, stats

import mlekit
from mlekit import Binomial, GenericLikelihood, Normal, Poisson
from mlekit.families.numeric import is_discrete, log_probabilities, moments, quantiles
from mlekit.families.quadrature import Panels, along_the_line, among_counts


def family_of(kind: Any, names: str, discrete: bool = False) -> GenericLikelihood:
    """Return a distribution of scipy as a user would declare it: its log-density, and that counts are whole."""
    members: dict[str, Any] = {"density": staticmethod(kind.logpmf if discrete else kind.logpdf)}
    exec(f"def logpdf(self, y, {names}): return self.density(y, {names})", members)
    if discrete:
        members["in_support"] = lambda self, y: np.isfinite(y) & (y == np.floor(y))
    members |= {"params": dict.fromkeys(names.split(", "), "identity"), "derivatives": "numeric"}
    made: type[GenericLikelihood] = type("Declared", (GenericLikelihood,), members)
    return made()


CONTINUOUS: dict[str, tuple[Any, str, list[tuple[float, ...]]]] = {
    "normal": (stats.norm, "loc, scale", [(0, 1), (1e6, 1), (3, 1e8), (-2, 1e-5), (0, 1e-200)]),
    "exponential": (stats.expon, "loc, scale", [(0, 1e4), (0, 1e-270), (3, 2)]),
    "gamma": (stats.gamma, "a", [(0.1,), (1.0,), (5.0,), (1e4,)]),
    "beta": (stats.beta, "a, b", [(50, 2), (0.2, 3), (1, 1), (200, 300)]),
    "laplace": (stats.laplace, "loc, scale", [(2, 0.3)]),
    "t": (stats.t, "df", [(2.2,), (1.0,), (30.0,), (0.5,)]),
    "lognormal": (stats.lognorm, "s", [(0.1,), (3.0,), (10.0,)]),
    "weibull": (stats.weibull_min, "c", [(0.1,), (0.5,), (50.0,)]),
    "uniform": (stats.uniform, "loc, scale", [(2, 3), (0, 1), (1e6, 1)]),
    "pareto": (stats.pareto, "b", [(3.0,), (1.5,)]),
    "gumbel": (stats.gumbel_r, "loc, scale", [(0, 1), (100, 0.01)]),
}
DISCRETE: dict[str, tuple[Any, str, list[tuple[float, ...]]]] = {
    "poisson": (stats.poisson, "mu", [(3.3,), (1e-3,), (1e-300,), (2e4,)]),
    "negative binomial": (stats.nbinom, "n, p", [(0.5, 0.01), (0.05, 1e-4)]),
    "geometric": (stats.geom, "p", [(1e-3,), (0.999,)]),
    "binomial": (stats.binom, "n, p", [(1000, 0.3), (1, 0.5)]),
    "skellam": (stats.skellam, "mu1, mu2", [(3, 50)]),
    "zipf": (stats.zipf, "a", [(8.0,)]),
}
EVERY = CONTINUOUS | DISCRETE
CASES = [(name, theta) for name, (_, _, sets) in EVERY.items() for theta in sets]
each_case = pytest.mark.parametrize(("name", "theta"), CASES, ids=lambda x: x if isinstance(x, str) else str(x))


def declared(name: str, theta: tuple[float, ...]) -> tuple[GenericLikelihood, Any, float]:
    """Return the family, scipy's distribution, and what the last digits of a response are worth in it."""
    kind, names, _ = EVERY[name]
    frozen = kind(**dict(zip(names.split(", "), theta, strict=True)))
    with np.errstate(all="ignore"):
        spread = float(frozen.ppf(0.9) - frozen.ppf(0.1))
        worth = float(np.spacing(abs(frozen.median()))) / spread if spread else 0.0
    return family_of(kind, names, name in DISCRETE), frozen, worth


@each_case
def test_probabilities(name: str, theta: tuple[float, ...]) -> None:
    family, frozen, worth = declared(name, theta)
    with np.errstate(all="ignore"):
        y = frozen.ppf([1e-30, 1e-9, 0.01, 0.3, 0.5, 0.9, 0.999, 1 - 1e-12])
        y = y[np.isfinite(frozen.logpdf(y) if name in CONTINUOUS else y) & (y != 0) & ~(np.abs(y) < 1e-295)]
        below, above = log_probabilities(family, y, theta)
        wanted = frozen.cdf(y), frozen.sf(y)
        digits = 0.0 if name in DISCRETE else 4 * np.exp(frozen.logpdf(y)) * np.spacing(np.abs(y))
    # scipy's probabilities of counts are 1 minus each other, and its densities of counts have fewer digits.
    limit = digits + (1e-13 if name in DISCRETE else 0.0)
    for got, want in zip((below, above), wanted, strict=True):
        rtol = 1e-10 + 100 * worth + (1e-9 if name in DISCRETE else 0.0)
        assert np.all(np.abs(np.exp(got) - want) <= rtol * want + limit), (np.exp(got), want)
    np.testing.assert_array_equal(family.cdf(y, *theta), np.exp(below))
    np.testing.assert_array_equal(family.logsf(y, *theta), above)


@each_case
def test_quantiles(name: str, theta: tuple[float, ...]) -> None:
    family, frozen, worth = declared(name, theta)
    share = np.array([1e-30, 1e-9, 0.01, 0.31, 0.5, 0.9, 0.999, 1 - 1e-9])
    share = share[1:] if theta in ((0.1,), (0, 1e-270)) else share  # nearer to 0 than numbers are
    found = quantiles(family, share, theta)
    if name in DISCRETE:
        with np.errstate(all="ignore"):
            np.testing.assert_array_equal(found[1:], frozen.ppf(share[1:]))
        return
    # Not scipy's quantiles, which are less exact than its probabilities.
    tail = np.where(share < 0.5, frozen.cdf(found), frozen.sf(found))
    slope = np.exp(frozen.logpdf(found)) * np.spacing(np.abs(found))
    assert np.all(np.abs(tail - np.minimum(share, 1 - share)) <= (1e-9 + 100 * worth) * tail + 4 * slope)


@each_case
def test_moments(name: str, theta: tuple[float, ...]) -> None:
    family, frozen, worth = declared(name, theta)
    mean, variance = frozen.stats()
    at = tuple(np.array([t]) for t in theta)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = moments(family, at, 1)[0], moments(family, at, 2)[0]
    exists = np.isfinite(mean) and np.isfinite(variance)
    scale = max(float(np.sqrt(variance)), float(frozen.ppf(0.9) - frozen.ppf(0.1))) if exists else max(abs(mean), 1.0)
    if np.isfinite(mean):
        assert found[0] == pytest.approx(mean, rel=1e-10, abs=(1e-10 + 100 * worth) * scale + 1e-307)
    else:
        assert np.isnan(found[0])
    if exists and variance < 1e40:
        assert found[1] == pytest.approx(variance, rel=1e-9 + 100 * worth, abs=1e-307)
    else:
        assert np.isnan(found[1])


class Gumbel(GenericLikelihood):
    params = {"mu": "identity", "beta": "log"}

    def logpdf(self, y: Any, mu: Any, beta: Any) -> Any:
        z = (y - mu) / beta
        return -z - np.exp(-z) - np.log(beta)


def test_rows_of_their_own() -> None:
    """Each row has its own parameters, and what it gets does not depend on the others."""
    rng = np.random.default_rng(0)
    mu, beta = 100 * rng.normal(size=5000), np.exp(3 * rng.normal(size=5000))
    share = rng.uniform(size=5000)
    y = stats.gumbel_r.ppf(share, mu, beta)
    np.testing.assert_allclose(Gumbel().cdf(y, mu, beta), share, rtol=1e-9)
    np.testing.assert_allclose(Gumbel().ppf(share, mu, beta), y, atol=1e-9 * np.abs(mu).max())
    np.testing.assert_allclose(moments(Gumbel(), (mu, beta), 1), mu + np.euler_gamma * beta, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(moments(Gumbel(), (mu, beta), 2), np.pi**2 / 6 * beta**2, rtol=1e-8)
    few = slice(0, 3)
    alone, together = Gumbel().ppf(share[few], mu[few], beta[few]), Gumbel().ppf(share, mu, beta)[few]
    np.testing.assert_allclose(alone, together, rtol=1e-14)
    rates = np.exp(4 * rng.normal(size=3000))
    declared_poisson = family_of(stats.poisson, "mu", True)
    counts = stats.poisson.ppf(share[:3000], rates)
    np.testing.assert_array_equal(declared_poisson.ppf(share[:3000], rates), counts)
    np.testing.assert_allclose(declared_poisson.cdf(counts, rates), stats.poisson.cdf(counts, rates), rtol=1e-8)


def test_shapes() -> None:
    assert Gumbel().ppf(0.5, 0.0, 1.0).shape == ()
    assert Gumbel().cdf(np.zeros((2, 1)), np.zeros(3), 1.0).shape == (2, 3)
    assert moments(Gumbel(), (np.zeros((2, 3)), 1.0), 1).shape == (2, 3)
    assert Gumbel().cdf(np.zeros(0), 0.0, 1.0).shape == (0,)
    assert Gumbel().ppf(np.zeros(0), 0.0, 1.0).shape == (0,)
    assert moments(Gumbel(), (np.zeros(0), 1.0), 1).shape == (0,)


def test_ends_and_what_is_no_share() -> None:
    exponential = family_of(stats.expon, "loc, scale")
    uniform = family_of(stats.uniform, "loc, scale")
    binomial = family_of(stats.binom, "n, p", True)
    assert Gumbel().ppf(np.array([0.0, 1.0]), 0.0, 1.0).tolist() == [-np.inf, np.inf]
    assert exponential.ppf(np.array([0.0, 1.0]), 0.0, 1.0).tolist() == [0.0, np.inf]
    assert uniform.ppf(np.array([0.0, 1.0]), 2.0, 3.0).tolist() == [2.0, 5.0]
    assert binomial.ppf(np.array([0.0, 1.0]), 7.0, 0.3).tolist() == [0.0, 7.0]
    assert np.isnan(Gumbel().ppf(np.array([-0.1, 1.1, np.nan]), 0.0, 1.0)).all()
    assert np.isnan(Gumbel().ppf(0.5, np.nan, 1.0))
    assert np.isnan(Gumbel().cdf(np.nan, 0.0, 1.0))
    assert Gumbel().cdf(np.array([-np.inf, np.inf]), 0.0, 1.0).tolist() == [0.0, 1.0]
    assert exponential.cdf(np.array([-1.0, 0.0]), 0.0, 1.0).tolist() == [0.0, 0.0]
    assert exponential.logsf(np.array([-1.0, 0.0]), 0.0, 1.0).tolist() == [0.0, 0.0]
    assert binomial.cdf(np.array([-0.5, 6.5, 7.0, 9.0]), 7.0, 0.3)[[0, 2, 3]].tolist() == [0.0, 1.0, 1.0]


def test_tails_beyond_the_smallest_double() -> None:
    plain = family_of(stats.norm, "loc, scale")
    z = np.array([-300.0, -40.0, 40.0, 300.0])
    below, above = log_probabilities(plain, z, (0.0, 1.0))
    np.testing.assert_allclose(below[:2], special.log_ndtr(z[:2]), rtol=1e-12)
    np.testing.assert_allclose(above[2:], special.log_ndtr(-z[2:]), rtol=1e-12)
    with mp.workdps(30):
        wanted = float(mp.log(_upper(3000, 1000)))
    assert Poisson().logsf(3000.0, 1000.0) == pytest.approx(wanted, rel=1e-13)
    assert log_probabilities(Poisson(), 3000.0, (1000.0,))[1] == pytest.approx(wanted, rel=1e-12)


def _upper(count: int, mu: int) -> Any:
    """P(N > count), term by term."""
    term = mp.exp((count + 1) * mp.log(mu) - mu - mp.loggamma(count + 2))
    total = mpf(0)
    for k in range(count + 2, count + 400):
        total += term
        term *= mpf(mu) / k
    return total


class Pair(GenericLikelihood):
    """Two narrow normals far apart: nothing of the one is seen from the other."""

    params = {"a": "identity", "b": "identity"}

    def logpdf(self, y: Any, a: Any, b: Any) -> Any:
        return np.logaddexp(stats.norm.logpdf(y, a, 1e-3), stats.norm.logpdf(y, b, 1e-3)) - np.log(2)

    derivatives = "numeric"


def test_two_peaks() -> None:
    theta = np.array([-700.0, 3.0]), np.array([1e5, 1234.5])
    np.testing.assert_allclose(Pair().cdf(0.0, *theta), [0.5, 0.0], rtol=1e-9, atol=1e-300)
    np.testing.assert_allclose(Pair().ppf(0.75, *theta), theta[1], rtol=1e-9)
    np.testing.assert_allclose(moments(Pair(), theta, 1), (theta[0] + theta[1]) / 2, rtol=1e-9)


# ---------------------------------------------------------------- what is not found


def test_an_integral_that_does_not_converge() -> None:
    cauchy = family_of(stats.cauchy, "loc")
    with pytest.warns(RuntimeWarning, match=r"the mean of Declared .* does not converge at 2 of them, such as loc=1\."):
        assert np.isnan(moments(cauchy, (np.array([1.0, 2.0]),), 1)).all()
    with pytest.warns(RuntimeWarning, match="the variance"):
        assert np.isnan(moments(family_of(stats.t, "df"), (np.array([1.8]),), 2)).all()
    with pytest.warns(RuntimeWarning, match=r"does not converge at 1 of them, such as a=0\.1\."):
        found = family_of(stats.gamma, "a").logcdf(np.array([1e-300, 1e-200]), 0.1)
    assert np.isnan(found[0])  # below the smallest number that was looked at lies a quarter of this
    assert found[1] == pytest.approx(stats.gamma.logcdf(1e-200, 0.1), rel=1e-10)
    assert cauchy.cdf(2.0, 1.0) == pytest.approx(0.75, rel=1e-12)
    with pytest.warns(RuntimeWarning, match="does not converge"):
        assert np.isnan(family_of(stats.zipf, "a", True).cdf(3.0, 1.5))


def test_a_density_of_another_total() -> None:
    class Kernel(GenericLikelihood):
        params = {"mu": "identity"}

        def logpdf(self, y: Any, mu: Any) -> Any:
            return -0.5 * (y - mu) ** 2

    with pytest.warns(RuntimeWarning, match=r"another total than 1 at 1 of them, such as mu=3 \(2\.50662827\)"):
        assert np.isnan(Kernel().cdf(2.0, 3.0))
    with pytest.warns(RuntimeWarning, match=r"Kernel\(\)\.check"):
        assert np.isnan(Kernel().ppf(0.5, 3.0))
    # Within the last digit of 1 lies more of this than can be told.
    with pytest.warns(RuntimeWarning, match="was not found"):
        assert np.isnan(family_of(stats.beta, "a, b").cdf(0.5, 2.0, 0.2))


def test_responses_of_two_columns() -> None:
    for call in (lambda: Binomial().cdf(np.zeros((1, 2)), 0.5), lambda: Binomial().ppf(0.5, 0.5)):
        with pytest.raises(NotImplementedError, match="has 2 columns: its density is not integrated"):
            call()


def test_discrete() -> None:
    assert [is_discrete(f) for f in (Normal(), Poisson(), Gumbel(), Binomial())] == [False, True, False, False]
    assert family_of(stats.skellam, "mu1, mu2", True).discrete

    class Shares(Gumbel):
        def in_support(self, y: Any) -> Any:
            return (y > 0) & (y < 1)

    assert not Shares().discrete


# ---------------------------------------------------------------- what it is for


def test_prediction_of_a_mean_that_nobody_gave() -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=300)
    data = {"x": x, "y": 1 + 2 * x + rng.gumbel(0, np.exp(0.3 * x))}

    class Told(Gumbel):
        def mean(self, mu: Any, beta: Any) -> Any:
            return mu + np.euler_gamma * beta

    model = {"mu": "y ~ x", "beta": "~ x"}
    found, wanted = (mlekit.fit(model, data, f).get_prediction().summary_frame() for f in (Gumbel, Told))
    for column in wanted:
        np.testing.assert_allclose(found[column], wanted[column], rtol=1e-6, atol=1e-9)


def test_a_mean_that_is_not_there() -> None:
    data = {"y": stats.cauchy.rvs(size=50, random_state=1)}
    fit = mlekit.fit("y ~ 1", data, family_of(stats.cauchy, "loc"))
    with pytest.raises(AttributeError, match="gives no mean, and none is found by integrating its density"):
        fit.predict()


def test_draws_of_a_density_alone() -> None:
    draws = Gumbel().rvs(np.full(20_000, 3.0), 2.0, rng=np.random.default_rng(1))
    assert stats.kstest(draws, stats.gumbel_r(3, 2).cdf).pvalue > 1e-3
    found = Gumbel().check([1.0, 4.0], mu=3.0, beta=2.0)
    assert found
    assert "rvs" in str(found.notes)


# ---------------------------------------------------------------- rules


def test_runs_of_counts_are_summed_exactly() -> None:
    for size in [*range(1, 70), 1000, 10**6]:
        zero = np.zeros(1)
        panels = Panels(np.zeros(1, dtype=int), zero, zero + 1, zero - 5, zero - 5 + size)
        nodes, _, weights, gap = among_counts(panels)
        used = nodes[0][weights[0] != 0]
        assert len(set(used.tolist())) == used.size == min(size, 16)
        assert used.min() >= -5
        assert used.max() < size - 5
        t = (np.arange(size) + 0.5) / size
        for power in range(min(size, 16)):
            polynomial = ((nodes[0] + 5.5) / size) ** power
            assert (weights[0] * polynomial).sum() == pytest.approx((t**power).sum(), rel=1e-12)
            if power < 12:
                assert abs((gap[0] * polynomial).sum()) <= 1e-11 * size


def test_intervals_are_integrated_exactly() -> None:
    panels = Panels(np.zeros(1, dtype=int), np.zeros(1), -np.ones(1), np.log([2.0]), np.log([3.0]))
    y, slope, weights, _ = along_the_line(panels)
    assert np.all((y < -2) & (y > -3))
    assert (np.exp(slope) * weights * y**4).sum() == pytest.approx((3**5 - 2**5) / 5, rel=1e-14)
