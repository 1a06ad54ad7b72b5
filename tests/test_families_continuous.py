"""Families of gamma and beta functions, and of location and scale, against mpmath, scipy.stats, jets and integrals."""

from __future__ import annotations

from functools import cache
from itertools import product
from typing import Any

import numpy as np
import pytest
from mpmath import mp, mpf
from scipy import special, stats

from mlekit import GenericLikelihood, jets
from mlekit.families import FAMILIES, Normal
from mlekit.links import LINKS, Array
from tests.mp_continuous import FAMILIES as EXACT
from tests.mp_continuous import partials

#: Enough for a difference from 1 of e**-700; mpmath's gamma functions have no difference in them.
DIGITS = dict.fromkeys(EXACT, 350) | {"gamma": 60}
EPS = float(np.finfo(float).eps)
LOCATION = ("student_t", "logistic", "gumbel")
each_family = pytest.mark.parametrize("name", EXACT)

# Standardised distances, near the centre and far out.
_Z = (-40.0, -3.0, -0.3, 1e-8, 0.5, 2.0, 30.0)
_SIZES = (-300.0, -14.0, 0.0, 14.0, 300.0)


def _spread(centre: float, information: float, z: float) -> float:
    """A log or a logit at z standard errors from the centre, or at z itself where these are large."""
    return centre + z / np.sqrt(information) if information > 1 else centre + z


def _points(name: str) -> list[tuple[float, ...]]:
    """Responses and linear predictors: shapes from next to nothing to where a float cannot tell from infinity."""
    if name == "lognormal":
        return [(float(np.exp(mu + np.exp(s) * z)), mu, s) for mu, s, z in product((-3.0, 0.4), (-9.0, 0.0, 2.0), _Z)]
    if name in LOCATION:
        freedoms = [(df,) for df in (-5.0, 0.0, 1.5, 8.0, 23.0, 40.0)] if name == "student_t" else [()]
        grid = product((-3.0, 0.37, 250.0), (-60.0, -5.0, 0.0, 3.0, 60.0), freedoms, _Z)
        return [(float(mu + np.exp(s) * z), mu, s, *df) for mu, s, df, z in grid]
    if name == "beta":
        grid = product((-30.0, -5.0, -0.3, 2.0, 20.0), (-5.0, 0.0, 5.0, 18.0, 30.0), _Z)
        weight = special.expit
        return [
            (float(special.expit(_spread(eta, np.exp(phi) * weight(eta) * weight(-eta), z))), eta, phi)
            for eta, phi, z in grid
        ]
    if name == "weibull":
        return [
            (float(np.exp(_spread(a, np.exp(2 * k), z / 8))), a, k) for a, k, z in product(_SIZES, (-3, 0, 3, 18), _Z)
        ]
    shift = 1 if name == "inverse_gaussian" else 0  # its shape is in units of the response
    grid = product(_SIZES, (-7.0, 0.0, 3.0, 18.0, 30.0), _Z)
    return [(float(np.exp(_spread(a, np.exp(k), z))), a, k + shift * a) for a, k, z in grid]


@cache
def points(name: str) -> Array:
    """Responses that are possible, and linear predictors."""
    rows = np.array(_points(name)).T
    return rows[:, FAMILIES[name]().in_support(rows[0])]


def linear_rows(name: str, y: Array, *eta: Array, order: int = 2) -> jets.Rows:
    with np.errstate(all="ignore"):
        return FAMILIES[name]().linear_rows(y, *eta, order=order)


def exact_partials(name: str, y: Any, eta: Any) -> Array:
    """Value, gradient and lower triangle of the Hessian, by mpmath."""
    density, inverse = EXACT[name].density, EXACT[name].inverse
    value, grad, hess = partials(lambda *at: density(y, *(f(e) for f, e in zip(inverse, at, strict=True))), eta)
    return np.array([value, *grad, *(h for j, row in enumerate(hess) for h in row[: j + 1])])


@each_family
def test_rows_against_mpmath(name: str) -> None:
    """To 16 digits of what each derivative is made of, and what the last digits of the response are worth."""
    y, *eta = points(name)
    rows, k = linear_rows(name, y, *eta), len(eta)
    with np.errstate(all="ignore"):
        information = FAMILIES[name]().information(*eta)
    lower = [(i, j) for i in range(k) for j in range(i + 1)]
    got = np.array([rows.value, *rows.grad, *(rows.hess[i, j] for i, j in lower)])
    # Logarithms of the response, and of a scale, have rounding errors of their own size.
    log_size = 1 + abs(np.log(y)) + abs(eta[0]) if name in ("lognormal", "weibull") else np.ones_like(y)
    for n in range(y.size):
        at = [mpf(float(e[n])) for e in eta]
        with mp.workdps(160):
            want = exact_partials(name, mpf(float(y[n])), at)
            moved = exact_partials(name, mpf(float(y[n])) * (1 + mpf(EPS)), at)
        size = [mp.sqrt(max(abs(want[1 + k + lower.index((i, i))]), information[i, i, n])) for i in range(k)]
        sizes = [1 + abs(want[0]), *size, *(size[i] * size[j] for i, j in lower)]
        for found, exact, near, scale in zip(got[:, n], want, moved, sizes, strict=True):
            limit = 4e-14 * max(abs(exact), scale) + 4 * log_size[n] * abs(near - exact)
            assert abs(mpf(float(found)) - exact) <= limit, (y[n], [e[n] for e in eta])


@each_family
def test_lower_orders_are_the_same_numbers(name: str) -> None:
    y, *eta = points(name)
    zero, one, two = (linear_rows(name, y, *eta, order=order) for order in (0, 1, 2))
    assert zero.grad is zero.hess is one.hess is None
    np.testing.assert_array_equal(zero.value, two.value)
    np.testing.assert_array_equal(one.value, two.value)
    np.testing.assert_array_equal(one.grad, two.grad)
    np.testing.assert_array_equal(two.hess, two.hess.swapaxes(0, 1))


def theta_grid(name: str) -> tuple[Array, ...]:
    """Moderate parameters, all combinations."""
    each = {
        "student_t": ((-2.0, 0.5), (0.1, 3.0), (0.3, 1.0, 1.5, 4.0, 60.0)),
        "logistic": ((-2.0, 0.5), (0.1, 3.0)),
        "gumbel": ((-2.0, 0.5), (0.1, 3.0)),
        "lognormal": ((-2.0, 0.5), (0.1, 1.2)),
        "beta": ((0.02, 0.5, 0.9), (12.0, 30.0, 300.0)),
    }.get(name, ((0.02, 1.0, 300.0), (0.4, 1.0, 30.0)))
    return tuple(np.array(column) for column in zip(*product(*each), strict=True))


MODELS = [
    (name, links) for name in EXACT for links in product(*(FAMILIES[name].links_for[p] for p in FAMILIES[name].params))
]


@pytest.mark.parametrize(("name", "links"), MODELS, ids=lambda x: x if isinstance(x, str) else "-".join(x))
def test_links_against_the_generic_chain_rule(name: str, links: tuple[str, ...]) -> None:
    """What a user's declaration would give, by jets of the density and the chain rule."""
    cls, theta = FAMILIES[name], theta_grid(name)
    family = cls(**dict(zip(cls.params, links, strict=True)))
    domain = LINKS[links[0]].domain
    inside = (theta[0] > domain[0]) & (theta[0] < domain[1])
    share = np.repeat([0.03, 0.4, 0.6, 0.97], inside.sum())
    theta = tuple(np.tile(t[inside], 4) for t in theta)
    y = family.ppf(share, *theta)
    eta = [np.asarray(link.forward(t)) for link, t in zip(family.links.values(), theta, strict=True)]
    got, want = family.linear_rows(y, *eta), GenericLikelihood.linear_rows(family, y, *eta)
    size = np.sqrt(np.maximum(np.abs(np.einsum("iin->in", want.hess)), np.einsum("iin->in", family.information(*eta))))
    np.testing.assert_allclose(got.value, want.value, rtol=1e-12, atol=1e-12)
    assert np.all(np.abs(got.grad - want.grad) <= 1e-11 * np.maximum(size, np.abs(want.grad)))
    assert np.all(np.abs(got.hess - want.hess) <= 1e-10 * np.maximum(size[:, None] * size, np.abs(want.hess)))
    np.testing.assert_allclose(family.logpdf(y, *theta), want.value, rtol=1e-12, atol=1e-12)


@each_family
def test_family_agrees_with_integrals_of_its_density(name: str) -> None:
    """Total, moments, information, distribution function, quantiles and draws."""
    family, theta = FAMILIES[name](), theta_grid(name)
    for at in zip(*theta, strict=True):
        if name == "student_t" and at[2] < 2:  # its tails do not end within a float
            continue
        quantiles = family.ppf(np.array([0.02, 0.5, 0.97]), *(np.full(3, t) for t in at))
        found = family.check(quantiles, **dict(zip(family.params, at, strict=True)))
        assert found, found
        integrals = [line for line in found.lines if line.by.startswith("integral") and "rvs" not in line.what]
        assert len(integrals) > 4 + len(at)
        bad = [line for line in integrals if line.agrees is not None and line.deviation > 1e-9]
        assert not bad, bad


# ---------------------------------------------------------------- distribution functions


def _responses(name: str) -> list[tuple[float, ...]]:
    """Responses and parameters, out to where probabilities are e**-700 and less."""
    out = []
    for theta in zip(*theta_grid(name), strict=True):
        if name in LOCATION:
            tops = (-1e3, -60.0, -6.5, -5.0, -1.0, -1e-9, 0.3, 3.0, 20.0, 60.0, 1e3, 1e10)
            ys = [theta[0] + theta[1] * z for z in tops]
        elif name == "beta":
            ys = [1e-300, 1e-20, 1e-3, 0.04, 0.3, 0.5, 0.7, 0.96, 1 - 1e-6, 1 - EPS]
        elif name == "lognormal":
            ys = [np.exp(theta[0] + theta[1] * z) for z in (-300.0, -38.0, -5.0, -0.3, 0.0, 2.0, 30.0, 300.0)]
        else:
            ys = [theta[0] * 10.0**e for e in (-300.0, -12.0, -2.5, -1.0, -0.1, 0.0, 0.1, 0.7, 1.3, 2.0, 3.0)]
        out += [(float(y), *map(float, theta)) for y in ys if FAMILIES[name]().in_support(np.array(y))]
    return out


@each_family
def test_probabilities_against_mpmath(name: str) -> None:
    family, rows = FAMILIES[name](), _responses(name)
    y, *theta = (np.array(column) for column in zip(*rows, strict=True))
    with np.errstate(all="ignore"):
        found = np.array([family.cdf(y, *theta), family.logcdf(y, *theta), family.logsf(y, *theta)])
    for n, at in enumerate(rows):
        with mp.workdps(DIGITS[name]):
            below, above = EXACT[name].tails(*map(mpf, at))
            logs = [mp.log1p(-q) if q < p else mp.log(p) if p else mp.ninf for p, q in ((below, above), (above, below))]
            # What the last digit of the response is worth, relative to each of the three.
            worth = EPS * abs(mpf(at[0])) * mp.exp(EXACT[name].density(*map(mpf, at)))
            worths = [worth, *(worth / p if p else mpf(0) for p in (below, above))]
        for got, want, digit in zip(found[:, n], (below, *logs), worths, strict=True):
            # A number near 0 is known as well as the probability on the other side, which may have an exponent of 700.
            limit = 3e-13 * abs(want) + 4 * digit
            beyond = abs(want) > np.finfo(float).max and got == -np.inf
            assert beyond or abs(mpf(float(got)) - want) <= max(limit, mpf(1e-307)), (at, got, mp.nstr(want, 17))


@each_family
def test_quantiles_have_their_share_below(name: str) -> None:
    family, shares = FAMILIES[name](), (1e-290, 1e-100, 1e-9, 0.02, 0.5, 0.7, 1 - 1e-9)
    for theta in zip(*theta_grid(name), strict=True):
        y = family.ppf(np.array(shares), *(np.full(len(shares), t) for t in theta))
        assert np.all(y[1:] >= y[:-1])
        for at, share in zip(y, shares, strict=True):
            if not np.isfinite(at) or abs(at) < 1e-300 or not family.in_support(at):
                continue
            with mp.workdps(DIGITS[name]):
                given = [mpf(float(t)) for t in theta]
                below, above = EXACT[name].tails(mpf(float(at)), *given)
                slack = abs(mpf(float(at))) * mp.exp(EXACT[name].density(mpf(float(at)), *given)) * EPS
                assert abs(below - mpf(share)) <= 1e-11 * min(below, above) + 4 * slack, (theta, share, at)


@each_family
def test_edges_of_the_distribution_function(name: str) -> None:
    family, theta = FAMILIES[name](), [np.array(0.5)] * len(FAMILIES[name].params)
    low, high = (-np.inf, np.inf) if name in LOCATION else (0.0, 1.0 if name == "beta" else np.inf)
    with np.errstate(all="ignore"):
        assert (family.cdf(low, *theta), family.cdf(high, *theta)) == (0, 1)
        assert (family.logcdf(low, *theta), family.logsf(low, *theta)) == (-np.inf, 0)
        assert (family.logcdf(high, *theta), family.logsf(high, *theta)) == (0, -np.inf)
        assert (family.ppf(0.0, *theta), family.ppf(1.0, *theta)) == (low, high)
        assert np.isnan(family.ppf(np.array([-0.1, 1.1, np.nan]), *theta)).all()
        if low == 0:
            assert (family.cdf(-3.0, *theta), family.logsf(-3.0, *theta)) == (0, 0)
        if high == 1:
            assert (family.cdf(3.0, *theta), family.logsf(3.0, *theta)) == (1, -np.inf)


@each_family
def test_draws_are_one_for_each_row(name: str) -> None:
    family, theta = FAMILIES[name](), theta_grid(name)
    rng = np.random.default_rng(1)
    first = family.rvs(*theta, rng=rng)
    assert first.shape == theta[0].shape
    assert family.in_support(first).all()
    np.testing.assert_array_equal(family.rvs(*theta, rng=np.random.default_rng(1)), first)
    mixed = family.rvs(theta[0], *(t[0] for t in theta[1:]), rng=rng)  # scalars beside rows
    assert np.unique(mixed).size == mixed.size


# ---------------------------------------------------------------- scipy.stats


@each_family
def test_against_scipy(name: str) -> None:
    family, theta = FAMILIES[name](), theta_grid(name)
    distribution = EXACT[name].scipy(*theta)
    tails = () if name == "inverse_gaussian" else (1e-9, 1 - 1e-9)  # scipy's quantile does not get there
    for share in (0.01, 0.3, 0.5, 0.99, *tails):
        y = distribution.ppf(share)
        y = np.where(family.in_support(y), y, family.ppf(0.5, *theta))
        np.testing.assert_allclose(family.logpdf(y, *theta), distribution.logpdf(y), rtol=1e-11, atol=1e-11)
        np.testing.assert_allclose(family.cdf(y, *theta), distribution.cdf(y), rtol=2e-12)
        np.testing.assert_allclose(np.exp(family.logsf(y, *theta)), distribution.sf(y), rtol=2e-12)
        np.testing.assert_allclose(family.ppf(share, *theta), distribution.ppf(share), rtol=1e-9, atol=1e-307)
    # scipy says that the mean of a t with df <= 1 is infinite: it does not exist.
    known = theta[2] > 1 if name == "student_t" else np.ones(theta[0].size, dtype=bool)
    mean, variance = family.mean(*theta), family.variance(*theta)
    np.testing.assert_allclose(mean[known], distribution.mean()[known], rtol=1e-13)
    np.testing.assert_allclose(variance[known], distribution.var()[known], rtol=1e-11)
    assert np.isnan(mean[~known]).all()
    assert np.isnan(variance[~known]).all()
    if name == "student_t":
        assert np.isnan(jets.derivatives(lambda y, *t: family.mean(*t), theta[0], *theta).grad[0][~known]).all()


@each_family
def test_support(name: str) -> None:
    family = FAMILIES[name]()
    assert family.in_support(points(name)[0]).all()
    assert not family.in_support(np.array(EXACT[name].outside)).any()
    assert family.support_text != GenericLikelihood.support_text


def test_t_with_many_degrees_of_freedom_is_the_normal() -> None:
    z = np.array([-30.0, -1.0, 0.0, 0.5, 6.0])
    normal = Normal()
    for df in (1e10, 1e18, 1e100):
        rows = FAMILIES["student_t"]().linear_rows(z, *(np.full_like(z, e) for e in (0.0, 0.0, np.log(df))))
        want = normal.linear_rows(z, np.zeros_like(z), np.zeros_like(z))
        np.testing.assert_allclose(rows.value, want.value, rtol=1e-4 if df < 1e15 else 1e-12)
        np.testing.assert_allclose(rows.grad[:2], want.grad, rtol=1e-7)
        # The derivative in 1 / df is that of the Edgeworth series: (z**4 - 2 z**2 - 1) / 4.
        np.testing.assert_allclose(-rows.grad[2] * df, (z**4 - 2 * z**2 - 1) / 4, rtol=1e-6)
        np.testing.assert_allclose(rows.hess[2, 2] * df, (z**4 - 2 * z**2 - 1) / 4, rtol=1e-6)
        for ours, theirs in ((family_cdf, stats.norm.cdf), (family_logsf, stats.norm.logsf)):
            np.testing.assert_allclose(ours(z, df), theirs(z), rtol=1e-4)


def family_cdf(z: Array, df: float) -> Array:
    return FAMILIES["student_t"]().cdf(z, 0.0, 1.0, df)


def family_logsf(z: Array, df: float) -> Array:
    return FAMILIES["student_t"]().logsf(z, 0.0, 1.0, df)


AWKWARD = {
    "one row": np.array([0.3]),
    "equal": np.full(4, 0.25),
    "two values": np.array([0.25, 0.25, 0.5]),
    "tiny": np.array([1e-300, 2e-300]),
    "huge": np.array([1e300, 3e300]),
    "far": np.array([1e-3, 0.3, 1e15]),
    "zeros": np.zeros(5),
    "negative": np.array([-1e15, -2.0]),
    "edges": np.array([1e-300, 0.5, 1 - EPS]),
}


@pytest.mark.parametrize("name", EXACT)
def test_start_is_a_point_where_the_likelihood_is_finite(name: str) -> None:
    family, tried = FAMILIES[name](), 0
    for case, y in AWKWARD.items():
        if not family.in_support(y).all():
            continue
        with np.errstate(all="ignore"):
            eta = [np.broadcast_to(np.average(e), y.shape) for e in family.start(y, np.ones_like(y))]
            value = family.linear_rows(y, *eta, order=0).value
        assert np.isfinite(value).all(), (case, eta, value)
        tried += 1
    assert tried >= 5


FOLLOWED = ("logistic", "gumbel", "weibull", "lognormal", "inverse_gaussian")


@pytest.mark.parametrize("name", FOLLOWED)
def test_jets_follow_the_distribution_function(name: str) -> None:
    """For censored responses: the others' have parameters in which gamma and beta functions have no simple slope."""
    family, theta = FAMILIES[name](), theta_grid(name)
    for share in (1e-6, 0.03, 0.5, 0.8, 1 - 1e-6):
        y = family.ppf(share, *theta)
        for side, function in enumerate((family.logcdf, family.logsf)):
            got = jets.derivatives(function, y, *theta)
            np.testing.assert_allclose(got.value, function(y, *theta), rtol=1e-13)
            for n, at in enumerate(zip(*theta, strict=True)):
                here = mpf(float(y[n]))
                log_tail = lambda *t, here=here, side=side: mp.log(EXACT[name].tails(here, *t)[side])  # noqa: E731
                _, grad, hess = partials(log_tail, [mpf(float(t)) for t in at])
                grad, hess = np.array(grad, dtype=float), np.array(hess, dtype=float)
                slope, bend = np.abs(got.grad[:, n] - grad), np.abs(got.hess[:, :, n] - hess)
                # At the centre of a symmetric one a derivative in the scale is 0, and what is found the rounding of y.
                assert np.all(slope <= 1e-10 * np.abs(grad) + 1e-14 * np.abs(grad).max()), (at, share)
                assert np.all(bend <= 1e-9 * np.abs(hess) + 1e-14 * np.abs(hess).max()), (at, share)
