"""Every family with every link it takes: against mpmath, jets, differences, scipy.stats, and its own generic defaults."""

import pickle
from collections.abc import Callable, Iterator
from functools import cache
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
from mpmath import mp, mpf
from scipy import special, stats

import mlekit
from mlekit import jets
from mlekit.differences import central_differences
from mlekit.families import FAMILIES, Bernoulli, GenericLikelihood, Normal, Poisson, as_family
from mlekit.jets import Rows
from mlekit.links import LINKS, Link, identity, log
from tests import mp as exact
from tests.mp import deviation

SIZES = (0.1, 5.0, 30.0, 700.0)
BETWEEN = (1.0, 12.0, 36.9, 37.1, 49.0, 51.0, 300.0)  # where one formula gives way to another
MODERATE = 5.0

Function = Callable[..., Any]


# ---------------------------------------------------------------- log-densities in eta that jets can follow


def _log_softplus(eta: Any) -> Any:
    t = np.exp(np.minimum(eta, 0.0))
    series = sum((-t) ** k / (k + 1) for k in range(1, 9))
    return np.where(eta < -5, eta + np.log1p(series), np.log(np.logaddexp(0.0, eta)))


def _log_cloglog(eta: Any) -> Any:
    e = np.exp(np.minimum(eta, 7.0))
    series = eta - e / 2 + e**2 / 24 - e**4 / 2880 + e**6 / 181440
    return np.where(eta < -4, series, np.where(eta < 0, np.log(-np.expm1(-e)), np.log1p(-np.exp(-e))))


def _log_cauchit(eta: Any) -> Any:
    return np.where(eta > 0, np.log1p(-np.arctan2(1.0, eta) / np.pi), np.log(np.arctan2(1.0, -eta) / np.pi))


#: Link of a positive parameter: eta -> (log theta, theta, 1 / theta).
POSITIVE: dict[str, Function] = {
    "identity": lambda e: (np.log(e), e, 1 / e),
    "log": lambda e: (e, np.exp(e), np.exp(-e)),
    "neglog": lambda e: (-e, np.exp(-e), np.exp(e)),
    "inverse": lambda e: (-np.log(e), 1 / e, e),
    "sqrt": lambda e: (2 * np.log(e), e**2, (1 / e) ** 2),
    "softplus": lambda e: (_log_softplus(e), np.logaddexp(0.0, e), np.exp(-_log_softplus(e))),
}
#: Link of a probability: eta -> (log p, log(1 - p)).
PROBABILITY: dict[str, Function] = {
    "logit": lambda e: (special.log_expit(e), special.log_expit(-e)),
    "probit": lambda e: (special.log_ndtr(e), special.log_ndtr(-e)),
    "cloglog": lambda e: (_log_cloglog(e), -np.exp(e)),
    "cauchit": lambda e: (_log_cauchit(e), _log_cauchit(-e)),
    "log": lambda e: (e, np.where(e < -1, np.log1p(-np.exp(e)), np.log(-np.expm1(e)))),
    "identity": lambda e: (np.log(e), np.log1p(-e)),
}


def _normal(mu: str, sigma: str) -> Function:
    mean = {"identity": lambda e: e, "log": np.exp, "inverse": lambda e: 1 / e}[mu]

    def density(y: Any, a: Any, b: Any) -> Any:
        log_sigma, _, precision = POSITIVE[sigma](b)
        z = (y - mean(a)) * precision
        return -z * z / 2 - log_sigma - np.log(2 * np.pi) / 2

    return density


def _exponential(link: str) -> Function:
    return lambda y, e: POSITIVE[link](e)[0] - POSITIVE[link](e)[1] * y


def _bernoulli(link: str) -> Function:
    return lambda y, e: np.where(y == 1, *PROBABILITY[link](e))


def _poisson(link: str) -> Function:
    return lambda y, e: y * POSITIVE[link](e)[0] - POSITIVE[link](e)[1] - special.gammaln(y + 1)


# ---------------------------------------------------------------- what a family is compared with


class Counterpart(NamedTuple):
    responses: tuple[float, ...]  # none of which is the mean, or a standard deviation from it, at a tested eta
    outside: tuple[float, ...]
    stable: Function  # names of links -> log-density in eta
    scipy: Function  # parameters -> distribution of scipy.stats
    nodes: Function  # parameters -> responses and their probabilities, for expectations in doubles
    tails: tuple[float, ...]  # responses for scipy


def _sums(y: np.ndarray, distribution: Any) -> tuple[np.ndarray, np.ndarray]:
    return y, distribution.pmf(y)


HERMITE, LAGUERRE = np.polynomial.hermite_e.hermegauss(9), np.polynomial.laguerre.laggauss(9)
COUNTERPARTS = {
    "normal": Counterpart(
        (-3.0, 0.37, 250.0),
        (np.inf, -np.inf, np.nan),
        _normal,
        stats.norm,
        lambda mu, sigma: (mu + sigma * HERMITE[0], HERMITE[1] / np.sqrt(2 * np.pi)),
        (-300.0, -3.0, 0.0, 0.37, 1e4),
    ),
    "exponential": Counterpart(
        (0.0, 0.4, 40.0, 1e8),
        (-1e-300, -1.0, np.inf, np.nan),
        _exponential,
        lambda rate: stats.expon(scale=1 / rate),
        lambda rate: (LAGUERRE[0] / rate, LAGUERRE[1]),
        (0.0, 1e-300, 0.4, 800.0, 1e8),
    ),
    "bernoulli": Counterpart(
        (0.0, 1.0),
        (0.5, 2.0, -1.0, np.inf, np.nan),
        _bernoulli,
        stats.bernoulli,
        lambda p: _sums(np.arange(2.0), stats.bernoulli(p)),
        (0.0, 1.0),
    ),
    "poisson": Counterpart(
        (0.0, 2.0, 7.0, 1000.0),
        (-1.0, 0.5, np.inf, np.nan),
        _poisson,
        stats.poisson,
        lambda mu: _sums(np.arange(600.0), stats.poisson(mu)),
        (0.0, 1.0, 7.0, 300.0, 1e6),
    ),
}
THETA = {"mu": (1e-3, 0.4, 1.0, 30.0), "sigma": (1e-2, 1.0, 40.0), "rate": (1e-4, 1.0, 50.0), "p": (1e-9, 0.3, 0.999)}

#: Every family with every combination of its links.
MODELS = [
    (name, links)
    for name, cls in FAMILIES.items()
    for links in product(*(cls.links_for.get(p) or tuple(LINKS) for p in cls.params))
]
each_model = pytest.mark.parametrize(("name", "links"), MODELS, ids=lambda x: x if isinstance(x, str) else "-".join(x))
each_family = pytest.mark.parametrize("name", FAMILIES)

# exp(-eta**2 / 2) of a rounded eta**2 / 2: at 37, 680 times the rounding of a number near 1; and hazard + eta, of
# which three digits cancel.
RTOL = {("bernoulli", ("probit",)): 3e-13}


def make(name: str, links: tuple[str, ...]) -> GenericLikelihood:
    return FAMILIES[name](**dict(zip(FAMILIES[name].params, links, strict=True)))


def plain(family: GenericLikelihood) -> GenericLikelihood:
    """Return the same distribution as a user would declare it: parameters and log-density alone."""
    cls = type(family)
    members = {"params": cls.params, "logpdf": cls.logpdf, "domains": cls.domains}
    return type("Plain", (GenericLikelihood,), members)(**family.links)


def grid(limits: tuple[float, float], single: bool) -> list[float]:
    """Linear predictors inside the limits: small and large ones, and some beside a finite limit."""
    points = {s * x for x in SIZES + (BETWEEN if single else ()) for s in (-1, 1)}
    for end in limits:
        if np.isfinite(end):
            points |= {end + s * x for x in (1e-3, 1e-10, 1e-100) for s in (-1, 1)}
    return sorted(x for x in points if limits[0] < x < limits[1])


class Points(NamedTuple):
    y: np.ndarray
    eta: tuple[np.ndarray, ...]


@cache
def points(name: str, links: tuple[str, ...]) -> Points:
    limits = make(name, links).eta_limits()
    # At mu = +-sigma >> y every (y - mu)**2 / sigma**2 - 1 cancels, whatever the formula.
    etas = [
        eta
        for eta in product(*(grid(pair, len(limits) == 1) for pair in limits))
        if len(eta) == 1 or not abs(eta[0]) == eta[1] > MODERATE
    ]
    rows = np.array([(y, *eta) for y in COUNTERPARTS[name].responses for eta in etas]).T
    return Points(rows[0], tuple(rows[1:]))


def moderate(name: str, links: tuple[str, ...]) -> Points:
    y, eta = points(name, links)
    kept = np.all([(np.abs(e) <= MODERATE) & (np.abs(e) > 0.01) for e in eta], axis=0) & (y < 1e4)
    for link, e in zip(links, eta, strict=True):
        kept &= LINKS[link].inverse(e) != 1  # where a parameter has rounded to 1, its density cannot tell
    return Points(y[kept], tuple(e[kept] for e in eta))


def full_rows(family: GenericLikelihood, y: np.ndarray, *eta: np.ndarray, order: int = 2) -> Rows:
    """Rows with the part of the log-density that no parameter touches."""
    base = family.base_measure(y)
    with np.errstate(all="ignore"):
        rows = family.linear_rows(y, *eta, order=order)
    return rows if base is None else rows._replace(value=rows.value + base)


def entries(rows: Rows, n: int) -> Iterator[tuple[str, Any]]:
    k = range(len(rows.grad))
    yield from (("gradient", rows.grad[i][n]) for i in k)
    yield from (("Hessian", rows.hess[i][j][n]) for i in k for j in k)


# ---------------------------------------------------------------- derivatives


def test_every_family_and_link_has_a_counterpart() -> None:
    for kind, known in (
        ("FAMILIES in tests/mp.py", exact.FAMILIES),
        ("EXPECTATIONS in tests/mp.py", exact.EXPECTATIONS),
        ("COUNTERPARTS in tests/test_families.py", COUNTERPARTS),
    ):
        assert set(known) == set(FAMILIES), f"complete {kind}: {set(known) ^ set(FAMILIES)}"
    assert {p for cls in FAMILIES.values() for p in cls.params} <= set(THETA), "complete THETA"
    for _, links in MODELS:
        assert set(links) <= set(exact.LINKS), "complete LINKS in tests/mp.py"


@each_model
def test_rows_against_mpmath(name: str, links: tuple[str, ...]) -> None:
    family, (y, eta) = make(name, links), points(name, links)
    rows, base = full_rows(family, y, *eta), family.base_measure(y)
    rtol = RTOL.get((name, links), 1e-13)
    for n, at in enumerate(zip(*eta, strict=True)):
        want = exact.partials(exact.log_density(name, links, mpf(y[n])), at)
        # log mu**y and log y! may cancel.
        scale = abs(want.value) if base is None else max(abs(want.value), abs(base[n]))
        assert deviation(rows.value[n], want.value) * abs(want.value) <= rtol * scale, (y[n], at)
        for i in range(len(eta)):
            assert deviation(rows.grad[i, n], want.grad[i]) <= rtol, (y[n], at, i)
            for j in range(len(eta)):
                assert deviation(rows.hess[i, j, n], want.hess[i][j]) <= rtol, (y[n], at, i, j)


@each_model
def test_information_against_mpmath(name: str, links: tuple[str, ...]) -> None:
    family, (_, eta) = make(name, links), points(name, links)
    with np.errstate(all="ignore"):
        got = family.information(*eta)
    assert got is not None
    rtol = RTOL.get((name, links), 1e-13)
    for n in range(len(eta[0]) // len(COUNTERPARTS[name].responses)):
        want = exact.information(name, links, [e[n] for e in eta])
        for i in range(len(eta)):
            assert deviation(got[i, i, n], want[i][i]) <= rtol, [e[n] for e in eta]


@each_model
def test_information_is_the_expected_hessian(name: str, links: tuple[str, ...]) -> None:
    family = make(name, links)
    for at in {tuple(map(float, at)) for at in zip(*moderate(name, links).eta, strict=True)}:
        theta = [link.inverse(e) for link, e in zip(family.links.values(), at, strict=True)]
        y, probability = COUNTERPARTS[name].nodes(*theta)
        eta = [np.full_like(y, e) for e in at]
        expected = -(family.linear_rows(y, *eta).hess * probability).sum(axis=-1)
        size = np.sqrt(np.outer(np.diag(expected), np.diag(expected)))
        difference = family.information(*(e[:1] for e in eta))[:, :, 0] - expected
        assert np.all(np.abs(difference) <= 1e-11 * size), at


@each_model
def test_lower_orders_are_the_same_numbers(name: str, links: tuple[str, ...]) -> None:
    family, (y, eta) = make(name, links), points(name, links)
    theta = [link.inverse(e) for link, e in zip(family.links.values(), eta, strict=True)]
    with np.errstate(all="ignore"):
        for rows, at in ((family.linear_rows, eta), (family.rows, theta)):
            zero, one, two = (rows(y, *at, order=order) for order in (0, 1, 2))
            assert zero.grad is zero.hess is one.hess is None
            np.testing.assert_array_equal(zero.value, two.value)
            np.testing.assert_array_equal(one.value, two.value)
            np.testing.assert_array_equal(one.grad, two.grad)
            np.testing.assert_array_equal(two.hess, two.hess.swapaxes(0, 1))


@each_model
def test_rows_against_jets(name: str, links: tuple[str, ...]) -> None:
    family, (y, eta) = make(name, links), points(name, links)
    rows, by_jets = full_rows(family, y, *eta), jets.derivatives(COUNTERPARTS[name].stable(*links), y, *eta)
    fits = np.isfinite(rows.value)  # beyond, z * z overflows on the way to derivatives that do not
    assert fits.mean() > 0.6
    tiny = np.finfo(float).tiny
    np.testing.assert_allclose(rows.value[fits], by_jets.value[fits], rtol=1e-12, atol=tiny)
    np.testing.assert_allclose(rows.grad[:, fits], by_jets.grad[:, fits], rtol=1e-12, atol=tiny)
    np.testing.assert_allclose(rows.hess[:, :, fits], by_jets.hess[:, :, fits], rtol=1e-12, atol=tiny)
