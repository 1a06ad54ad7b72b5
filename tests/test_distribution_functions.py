"""Distribution functions, quantiles and draws of families that have them by hand, against mpmath and scipy.stats."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest
from mpmath import mp, mpf
from scipy import stats

from mlekit import GenericLikelihood, jets
from mlekit.families import FAMILIES, Bernoulli, HuberNormal, Normal, Poisson
from tests import mp as exact
from tests.test_families import make

Pair = tuple[Any, Any]


def _two_tails(level: Any, z: Any, below: Any, above: Any) -> Pair:
    """Exponential tails of given rates that meet at 0, with a share of ``level`` below."""
    tail = level * mp.exp(below * z) if z < 0 else (1 - level) * mp.exp(-above * z)
    return (tail, 1 - tail) if z < 0 else (1 - tail, tail)


def _huber(y: Any, mu: Any, sigma: Any) -> Pair:
    """Integrate the density of tests/mp.py on either side of y, piece by piece."""

    def integral(sign: int) -> Any:
        kinks = [k for k in (mu - exact.K * sigma, mu, mu + exact.K * sigma) if sign * (k - y) > 0]
        ends = [p + sign * sigma * d for p in (y, *kinks) for d in (0, 1, 2, 4, 8, 16, 32, 64)]
        given = exact.Theta(mu, None), exact.Theta(sigma, None)
        here = exact.FAMILIES["huber_normal"](y, *given)  # quad stops at an absolute error
        return mp.exp(here) * mp.quad(lambda t: mp.exp(exact.FAMILIES["huber_normal"](t, *given) - here), sorted(ends))

    with mp.workdps(32):
        return integral(-1), integral(1)


def _bernoulli(y: Any, p: Any) -> Pair:
    return (mpf(0), mpf(1)) if y < 0 else (1 - p, p) if y < 1 else (mpf(1), mpf(0))


def _poisson(y: Any, mu: Any) -> Pair:
    """Sum from a count outwards, on the side where the terms fall; the rest is what is left of 1."""
    if y < 0:
        return mpf(0), mpf(1)
    count, total = mp.floor(y), mpf(0)
    down = count + 1 < mu
    at = count if down else count + 1
    term = first = mp.exp(at * mp.log(mu) - mu - mp.loggamma(at + 1))
    while term > first * mpf(10) ** -mp.dps:
        total += term
        term *= at / mu if down else mu / (at + 1)
        at += -1 if down else 1
    return (total, 1 - total) if down else (1 - total, total)


#: Family by name: (y, parameters) -> P(Y <= y) and P(Y > y), in mpmath.
PROBABILITIES: dict[str, Callable[..., Pair]] = {
    "normal": lambda y, mu, sigma: (mp.ncdf((y - mu) / sigma), mp.ncdf((mu - y) / sigma)),
    "exponential": lambda y, rate: (-mp.expm1(-rate * y), mp.exp(-rate * y)) if y > 0 else (mpf(0), mpf(1)),
    "bernoulli": _bernoulli,
    "poisson": _poisson,
    "laplace": lambda y, mu, b: _two_tails(mpf(1) / 2, (y - mu) / b, 1, 1),
    "asymmetric_laplace": lambda y, mu, b: _two_tails(exact.Q, (y - mu) / b, 1 - exact.Q, exact.Q),
    "huber_normal": _huber,
}
_Z = (-700.0, -38.0, -6.0, -1.3, -1e-9, 0.0, 0.4, 2.0, 9.0, 37.0, 700.0)
_SCALED = [(mu + sigma * z, mu, sigma) for mu, sigma in ((0.0, 1.0), (-3.0, 1e-3), (1.0, 40.0)) for z in _Z]
#: Family by name: responses and parameters.
POINTS: dict[str, list[tuple[float, ...]]] = {
    **dict.fromkeys(("normal", "laplace", "asymmetric_laplace", "huber_normal"), _SCALED),
    "exponential": list(product((-1.0, 0.0, 1e-300, 1e-9, 0.4, 30.0, 1e5), (1e-4, 1.0, 50.0))),
    "bernoulli": list(product((-1e-9, 0.0, 0.5, 1.0, 7.0), (1e-300, 1e-9, 0.3, 0.999))),
    "poisson": [
        *product((-0.5, 0.0, 1.0, 4.7, 30.0, 600.0), (1e-300, 1e-3, 1.0, 30.0, 2000.0)),
        *((1e6 + z * 1e3, 1e6) for z in (-800.0, -37.0, -36.0, -5.0, 0.0, 3.0, 36.0, 38.0, 800.0)),
        *((1e9 + z * 31623, 1e9) for z in (-40.0, -8.0, 8.0, 40.0)),
    ],
}
each_family = pytest.mark.parametrize("name", PROBABILITIES)


@each_family
def test_probabilities_against_mpmath(name: str) -> None:
    family, y, *theta = make(name), *map(np.array, zip(*POINTS[name], strict=True))
    with np.errstate(all="ignore"):
        found = [method(y, *theta) for method in (family.cdf, family.logcdf, family.logsf)]
    for n, at in enumerate(POINTS[name]):
        with mp.workdps(40):
            below, above = PROBABILITIES[name](*map(mpf, at))
            wanted = float(below), _log(below, above), _log(above, below)
        # A last digit of the mean of a count is worth as many of its density.
        limit = 5e-13 + (1e-16 * abs(at[0] - at[1]) if name == "poisson" else 0.0)
        for i, (got, want) in enumerate(zip(found, wanted, strict=True)):
            assert got[n] == want or abs(got[n] - want) <= max(limit * abs(want), 1e-307), (i, at)


def _log(p: Any, rest: Any) -> float:
    """Logarithm of a probability, from what is left of 1 if that is less."""
    return -np.inf if p == 0 else float(mp.log1p(-rest) if rest < p else mp.log(p))


SHARES = np.array([1e-300, 1e-100, 1e-9, 0.2, 0.3, 0.5, 0.7, 0.975, 1 - 1e-9, 1 - 2.0**-53])


@each_family
def test_quantiles_have_their_shares_below(name: str) -> None:
    family = make(name)
    for theta in sorted({point[1:] for point in POINTS[name] if point[1] < 1e5}):
        quantiles = family.ppf(SHARES, *theta)
        assert np.isnan(family.ppf(np.array([-0.1, 1.1, np.nan]), *theta)).all()
        np.testing.assert_array_equal(family.ppf(np.array([0.0, 1.0]), *theta), ENDS.get(name, (-np.inf, np.inf)))
        for y, share in zip(quantiles, SHARES, strict=True):
            with mp.workdps(40):
                below = PROBABILITIES[name](mpf(y), *map(mpf, theta))[0]
                gap, tail = (below - mpf(share)), min(mpf(share), 1 - mpf(share))
                if family.discrete:
                    before = PROBABILITIES[name](mpf(y) - 1, *map(mpf, theta))[0]
                    assert gap >= -1e-12 * tail - 2e-16, (share, theta)
                    assert before <= share * (1 + mpf(1e-12)), (share, theta)
                else:
                    # The last digits of the quantile are worth this.
                    digits = float(np.exp(family.logpdf(y, *theta))) * np.spacing(max(abs(y), abs(theta[0])))
                    assert abs(gap) <= 1e-13 * tail + 16 * digits, (share, theta)


#: Quantiles at 0 and 1, where they are finite.
ENDS = {"exponential": (0.0, np.inf), "bernoulli": (0.0, 1.0), "poisson": (0.0, np.inf)}


@each_family
def test_a_count_is_the_quantile_of_its_own_probability(name: str) -> None:
    family, (y, *theta) = make(name), (np.array(c) for c in zip(*POINTS[name], strict=True))
    share = family.cdf(y, *theta)
    found = family.ppf(share, *theta)
    inside = (share > 1e-300) & (share < 0.9) & np.asarray(family.in_support(np.floor(y)))
    wanted = np.floor(y) if family.discrete else y
    assert inside.sum() > 2
    np.testing.assert_allclose(found[inside], wanted[inside], rtol=0 if family.discrete else 1e-12, atol=1e-15)


@each_family
def test_derivatives_of_probabilities_against_mpmath(name: str) -> None:
    """A censored response has a probability for a density: jets have to follow it, into the tails."""
    family = make(name)
    points = [p for p in POINTS[name] if abs(p[0]) < 1e5 and p[-1] > 1e-3 and abs(p[0] - 0.5) != 0.5]
    few = len(points) // (5 if name == "huber_normal" else 20)
    y, *theta = map(np.array, zip(*points[:: max(1, few)], strict=True))
    rows = [jets.derivatives(method, y, *theta, order=1) for method in (family.logcdf, family.logsf)]
    for n, at in enumerate(zip(y, *theta, strict=True)):
        for side in (0, 1):
            for i in range(len(theta)):
                want = _slope(name, side, at, i)
                scale = abs(want) if np.isfinite(want) else 0.0
                assert rows[side].grad[i, n] == want or abs(rows[side].grad[i, n] - want) <= 1e-11 * scale + 1e-300, (
                    side,
                    i,
                    at,
                )


def _slope(name: str, side: int, at: tuple[float, ...], i: int) -> float:
    """Derivative of a log-probability in a parameter, by a central difference."""
    with mp.workdps(40):
        y, *theta = map(mpf, at)
        step = abs(theta[i]) * mpf(10) ** -12 or mpf(10) ** -12
        ends = [[t + (sign * step if j == i else 0) for j, t in enumerate(theta)] for sign in (1, -1)]
        pairs = [PROBABILITIES[name](y, *end) for end in ends]
        gap = pairs[0][side] - pairs[1][side] if pairs[0][side] < 0.5 else pairs[1][1 - side] - pairs[0][1 - side]
        return float(gap / (pairs[0][side] + pairs[1][side]) / step) if gap else 0.0


@each_family
def test_draws(name: str) -> None:
    """Draws at one set of parameters follow the distribution function; at many sets, each row its own."""
    family, rng = make(name), np.random.default_rng(5)
    theta = dict.fromkeys(FAMILIES[name].params, 0.7).values()
    draws = family.rvs(*(np.full(20_000, t) for t in theta), rng=rng)
    assert draws.shape == (20_000,)
    assert draws.dtype == float
    assert family.in_support(draws).all()
    if family.discrete:
        counts = np.arange(4.0)
        expected = np.diff(family.cdf(counts, *theta), prepend=0.0)
        seen = (draws[:, None] == counts).mean(axis=0)
        assert np.all(np.abs(seen - expected) <= 5 * np.sqrt(expected * (1 - expected) / 20_000))
    else:
        assert stats.kstest(draws, lambda y: family.cdf(y, *theta)).pvalue > 1e-3
    assert family.rvs(*theta, rng=rng).shape == ()
    with pytest.raises(TypeError, match="rng"):
        family.rvs(*theta)


def test_each_row_is_drawn_from_its_own_parameters() -> None:
    mu = np.array([0.0, 1e6, -1e6])
    for family in (Normal(), HuberNormal()):
        np.testing.assert_allclose(family.rvs(mu, 1.0, rng=np.random.default_rng(0)), mu, atol=20)
    assert np.all(np.abs(Poisson().rvs(np.array([1e-9, 1e12]), rng=np.random.default_rng(0)) - [0, 1e12]) < 1e7)


@pytest.mark.parametrize(("mu", "shape"), [(1e20, 2.0), (1e300, 1e-5), (1e-300, 1e-300), (1.0, 1e-8), (1e300, 1e300)])
def test_an_inverse_gaussian_is_drawn_far_from_normal(mu: float, shape: float) -> None:
    family = FAMILIES["inverse_gaussian"]()
    draws = family.rvs(np.full(5000, mu), np.full(5000, shape), rng=np.random.default_rng(3))
    assert (draws > 0).all()
    if mu / shape > 1e15:  # its limit is Levy's distribution
        assert stats.kstest(draws / shape, "levy").pvalue > 1e-3
    else:
        assert stats.kstest(draws / shape, stats.invgauss(mu / shape).cdf).pvalue > 1e-3


def test_students_distribution_function_does_not_overflow_far_out() -> None:
    far = FAMILIES["student_t"]().cdf(np.array([-1e300, 1e300]), 0.0, 1.0, 1e-3)
    # About 1/2 (|z| / sqrt(df))**-df on either side.
    np.testing.assert_allclose(far[0], stats.t.cdf(-1e100, 1e-3) * 1e-200**1e-3, rtol=1e-10)
    np.testing.assert_allclose(far.sum(), 1.0, rtol=1e-15)


def test_probabilities_of_what_is_no_response() -> None:
    for name in PROBABILITIES:
        family, theta = make(name), (0.5,) * len(FAMILIES[name].params)
        assert np.isnan(family.cdf(np.array([np.nan]), *theta)).all()
        assert np.isnan(family.logsf(np.array([np.nan]), *theta)).all()
        with np.errstate(all="ignore"):
            ends = np.array([-np.inf, np.inf])
            np.testing.assert_array_equal(family.cdf(ends, *theta), [0.0, 1.0])
            np.testing.assert_array_equal(family.logcdf(ends, *theta), [-np.inf, 0.0])
            np.testing.assert_array_equal(family.logsf(ends, *theta), [0.0, -np.inf])


def test_defaults_follow_from_the_distribution_function() -> None:
    class Plain(GenericLikelihood):
        params = {"p": "logit"}

        def logpdf(self, y: Any, p: Any) -> Any:
            return Bernoulli().logpdf(y, p)

        def cdf(self, y: Any, p: Any) -> Any:
            return Bernoulli().cdf(y, p)

        def ppf(self, share: Any, p: Any) -> Any:
            return Bernoulli().ppf(share, p)

    y = np.array([-1.0, 0.0, 1.0])
    np.testing.assert_allclose(Plain().logcdf(y, 0.3), [-np.inf, np.log(0.7), 0.0], rtol=1e-15)
    np.testing.assert_allclose(Plain().logsf(y, 0.3), [0.0, np.log(0.3), -np.inf], rtol=1e-15)
    draws = Plain().rvs(np.array([1e-9, 1 - 1e-9]), rng=np.random.default_rng(0))
    assert draws.tolist() == [0.0, 1.0]
