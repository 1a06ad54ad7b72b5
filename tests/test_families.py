"""Every family with every link it takes, against mpmath, jets, differences, scipy and the defaults."""

from functools import cache, partial
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import pytest
from mpmath import mp, mpf

from mlekit import jets
from mlekit.differences import central_differences
from mlekit.families import FAMILIES as EVERY
from mlekit.families import GenericLikelihood, Normal, Poisson
from mlekit.jets import Rows
from mlekit.links import LINKS
from tests import mp as exact
from tests import mp_continuous as continuous
from tests import mp_counts as counts
from tests.mp import COUNTERPARTS, deviation

#: Families whose response is one number: those of several columns have tests of their own, as have those of more
#: demanding functions, in tests/test_families_continuous.py and tests/test_families_counts.py.
FAMILIES = {
    name: cls
    for name, cls in EVERY.items()
    if cls.params and not cls.response_columns and name not in continuous.FAMILIES | counts.FAMILIES
}
SIZES = (0.1, 5.0, 30.0, 700.0)
BETWEEN = (1.0, 12.0, 36.9, 37.1, 49.0, 51.0, 300.0)  # where one formula gives way to another
MODERATE = 5.0

THETA = {
    "mu": (1e-3, 0.4, 1.0, 30.0),
    "sigma": (1e-2, 1.0, 40.0),
    "rate": (1e-4, 1.0, 50.0),
    "p": (1e-9, 0.3, 0.999),
    "b": (1e-2, 1.0, 40.0),
}

#: Every family with every combination of its links.
MODELS = [
    (name, links)
    for name, cls in FAMILIES.items()
    for links in product(*(cls.links_for.get(p) or tuple(LINKS) for p in cls.params))
]
each_model = pytest.mark.parametrize(("name", "links"), MODELS, ids=lambda x: x if isinstance(x, str) else "-".join(x))
each_family = pytest.mark.parametrize("name", FAMILIES)

# exp(-eta**2 / 2) of a rounded eta**2 / 2: at 37, 680 times the rounding of a number near 1.
RTOL: dict[tuple[str, tuple[str, ...]], float] = {(name, ("probit",)): 2e-13 for name in ("bernoulli", "geometric")}


def make(name: str, links: tuple[str, ...] | None = None) -> GenericLikelihood:
    """Return a family with its constants, and with the links given or those of its own."""
    cls = FAMILIES[name]
    return cls(**dict(zip(cls.params, links or cls.params.values(), strict=True)), **exact.CONSTANTS.get(name, {}))


def plain(family: GenericLikelihood) -> GenericLikelihood:
    """Return the distribution as a user would declare it: with the generic way to derivatives and a start."""
    generic = {name: getattr(GenericLikelihood, name) for name in ("rows", "linear_rows", "base_measure", "start")}
    constants = {name: getattr(family, name) for name in family.constants}
    return type("Plain", (type(family),), generic)(**family.links, **constants)


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


# ---------------------------------------------------------------- derivatives


def test_every_family_and_link_has_a_counterpart() -> None:
    for kind, known in (
        ("FAMILIES in tests/mp.py", exact.FAMILIES),
        ("EXPECTATIONS in tests/mp.py", exact.EXPECTATIONS),
        ("STABLE in tests/mp.py", exact.STABLE),
        ("COUNTERPARTS in tests/mp.py", COUNTERPARTS),
    ):
        assert set(known) == set(FAMILIES), f"complete {kind}: {set(known) ^ set(FAMILIES)}"
    for name, cls in FAMILIES.items():
        assert set(exact.CONSTANTS.get(name, {})) == set(cls.constants), "complete CONSTANTS in tests/mp.py"
        assert (name in exact.KINKED) == (cls().quantile_level is not None), "complete KINKED in tests/mp.py"
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
        noise = abs(want.value) * exact.NOISE
        # log mu**y and log y! may cancel.
        scale = abs(want.value) if base is None else max(abs(want.value), abs(base[n]))
        assert deviation(rows.value[n], want.value) * abs(want.value) <= rtol * scale, (y[n], at)
        for i in range(len(eta)):
            assert deviation(rows.grad[i, n], want.grad[i]) <= rtol, (y[n], at, i)
            for j in range(len(eta)):
                found = rows.hess[i, j, n]
                assert abs(found - want.hess[i][j]) <= noise or deviation(found, want.hess[i][j]) <= rtol, (y[n], at)


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
    """Of a log-density with a kink, the expected square of the score: no Hessian sees the kink."""
    family = make(name, links)
    for at in {tuple(map(float, at)) for at in zip(*moderate(name, links).eta, strict=True)}:
        theta = [link.inverse(e) for link, e in zip(family.links.values(), at, strict=True)]
        y, probability = COUNTERPARTS[name].nodes(*theta)
        eta = [np.full_like(y, e) for e in at]
        rows = family.linear_rows(y, *eta)
        information = family.information(*(e[:1] for e in eta))[:, :, 0]
        size = 1e-11 * np.sqrt(np.outer(np.diag(information), np.diag(information)))
        expected = -(rows.hess * probability).sum(axis=-1)
        if name in exact.KINKED:
            assert expected[0, 0] == 0 < information[0, 0]
            expected = np.einsum("in,jn,n->ij", rows.grad, rows.grad, probability)
        assert np.all(np.abs(information - expected) <= size), at


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
    rows, by_jets = full_rows(family, y, *eta), jets.derivatives(exact.STABLE[name](*links), y, *eta)
    fits = np.isfinite(rows.value)  # beyond, z * z overflows on the way to derivatives that do not
    assert fits.mean() > 0.6
    tiny = np.finfo(float).tiny
    np.testing.assert_allclose(rows.value[fits], by_jets.value[fits], rtol=1e-12, atol=tiny)
    np.testing.assert_allclose(rows.grad[:, fits], by_jets.grad[:, fits], rtol=1e-12, atol=tiny)
    np.testing.assert_allclose(rows.hess[:, :, fits], by_jets.hess[:, :, fits], rtol=1e-12, atol=tiny)


@each_model
def test_rows_against_the_generic_defaults(name: str, links: tuple[str, ...]) -> None:
    """What a user's declaration would give, by jets and the chain rule, in the middle of the domain."""
    family, (y, eta) = make(name, links), moderate(name, links)
    theta = [link.inverse(e) for link, e in zip(family.links.values(), eta, strict=True)]
    for default in (GenericLikelihood.rows(family, y, *theta), jets.derivatives(family.logpdf, y, *theta)):
        close(family.rows(y, *theta), default, 1e-13)
    size = np.sqrt(np.abs(np.einsum("iin->in", family.information(*eta))))
    linear = full_rows(family, y, *eta)
    for rows in (plain(family).linear_rows, partial(GenericLikelihood.linear_rows, family)):
        close(rows(y, *eta), linear, 1e-8, size)  # at probit 5, 1 - p = 3e-7 is known to 4e-10


@each_family
def test_rows_against_central_differences(name: str) -> None:
    family, (share, *theta) = make(name), parameters(name, (0.02, 0.4, 0.98))  # at none is there a kink
    y = COUNTERPARTS[name].scipy(*theta).ppf(share)
    inside = theta[0] > 1e-6  # the steps of a probability of 1e-9 are 1e-12, of a log-density near 0
    y, theta = y[inside], [t[inside] for t in theta]
    domains = tuple(family.domains().values())
    want = family.rows(y, *theta)
    # Where a log-density is a straight line, its slope is the scale of what a difference gets wrong.
    size = np.abs(want.grad) if name in exact.PIECEWISE else 0.0
    close(central_differences(family.logpdf, y, *theta, domains=domains), want, 1e-7, size)


def close(got: Rows, want: Rows, rtol: float, size: Any = 0.0) -> None:
    """Compare, with the sizes of the second derivatives as scale where a derivative is a difference."""
    np.testing.assert_allclose(got.value, want.value, rtol=rtol, atol=rtol)
    size = np.maximum(np.sqrt(np.abs(np.einsum("iin->in", want.hess))), size)
    for i, each in enumerate(size):
        assert np.all(np.abs(got.grad[i] - want.grad[i]) <= rtol * np.maximum(each, np.abs(want.grad[i])))
        for j, other in enumerate(size):
            limit = rtol * np.maximum(each * other, np.abs(want.hess[i, j]))
            assert np.all(np.abs(got.hess[i, j] - want.hess[i, j]) <= limit)


# ---------------------------------------------------------------- facts about the distributions


def parameters(name: str, responses: tuple[float, ...]) -> tuple[np.ndarray, ...]:
    """All combinations of responses and parameters, as columns."""
    grids = (THETA[p] for p in FAMILIES[name].params)
    return tuple(np.array(column) for column in zip(*product(responses, *grids), strict=True))


@each_family
def test_against_scipy(name: str) -> None:
    family, (y, *theta) = make(name), parameters(name, COUNTERPARTS[name].tails)
    distribution = COUNTERPARTS[name].scipy(*theta)
    density = distribution.logpmf if hasattr(distribution, "logpmf") else distribution.logpdf
    np.testing.assert_allclose(family.logpdf(y, *theta), density(y), rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(family.mean(*theta), distribution.mean(), rtol=1e-14)
    np.testing.assert_allclose(family.variance(*theta), distribution.var(), rtol=1e-12)


def test_large_counts_near_their_mean() -> None:
    """There y log(mu) - mu and log(y!) are up to 1e15 times what is left of them."""
    y = np.repeat([10001.0, 1e6, 1e9, 1e15], 4)
    mu = y * np.tile([1 + 1e-3, 1 - 1e-6, 1.0, 0.6], 4)
    with mp.workdps(60):
        want = [mpf(a) * mp.log(b) - b - mp.loggamma(mpf(a) + 1) for a, b in zip(y.tolist(), mu.tolist(), strict=True)]
    for got in (Poisson().logpdf(y, mu), full_rows(Poisson(mu="identity"), y, mu).value):
        # The last digit of mu is worth eps |y - mu|.
        assert np.all(np.abs(got - np.array(want, dtype=float)) < 1e-11 + 1e-16 * np.abs(y - mu))


@each_family
def test_support(name: str) -> None:
    family, counterpart = FAMILIES[name](), COUNTERPARTS[name]
    assert family.in_support(np.array(counterpart.responses + counterpart.tails)).all()
    assert not family.in_support(np.array(counterpart.outside)).any()
    assert family.support_text != GenericLikelihood.support_text


@each_model
def test_deviance(name: str, links: tuple[str, ...]) -> None:
    family, (y, eta) = make(name, links), moderate(name, links)
    theta = [link.inverse(e) for link, e in zip(family.links.values(), eta, strict=True)]
    with np.errstate(all="ignore"):
        deviance = family.linear_deviance(y, *eta)
    if name == "huber_normal":  # where the centre ends depends on sigma, so that no number of it alone is a factor
        assert deviance is None
        return
    with np.errstate(all="ignore"):
        saturated = family.logpdf(y, y if family.quantile_level else family.mean_mle(y), *theta[1:])
    value = full_rows(family, y, *eta).value
    possible = np.isfinite(saturated)
    assert np.all(deviance[~possible] == np.inf)  # an exponential's at y = 0
    # The deviance of a Normal is not divided by its variance, nor that of a Laplace by its scale.
    scale = {"normal": theta[-1] ** 2, "laplace": theta[-1], "asymmetric_laplace": theta[-1]}.get(name, 1.0)
    gap = np.abs(deviance - 2 * scale * (saturated - value))[possible]
    limit = scale * 1e-13 * (1 + np.abs(saturated) + np.abs(value))
    assert np.all(gap <= limit[possible])


@each_family
def test_estimates_without_iteration(name: str) -> None:
    family, y = make(name), np.array(COUNTERPARTS[name].responses[:2])
    weight = np.array([3.0, 1.0])
    mean = family.mean_mle(np.average(y, weights=weight))
    theta = [np.full(2, -0.9 if mean is None else mean)]
    scale = family.scale_mle(y, theta[0], weight)
    assert (scale is None) == (len(family.params) == 1)
    scores = family.rows(y, *theta, *([] if scale is None else [np.full(2, scale)])).grad
    for score in scores[mean is None :]:
        assert abs(score @ weight) < 1e-14 * np.abs(score).max()


def test_scale_of_the_normal_neither_overflows_nor_underflows() -> None:
    for size in (1e-300, 1.0, 1e300):
        got = Normal().scale_mle(np.array([-3.0, 4.0]) * size, np.zeros(2), np.ones(2))
        assert got == pytest.approx(np.sqrt(12.5) * size, rel=1e-15)
    assert Normal().scale_mle(np.ones(3), np.ones(3), np.ones(3)) == 0


AWKWARD = {
    "zeros": np.zeros(4),
    "ones": np.ones(4),
    "one row": np.ones(1),
    "huge": np.full(4, 1e15),
    "tiny": np.array([1e-300, 2e-300]),
    "mixed": np.array([0.0, 1.0, 0.0]),
    "far": np.array([0.0, 3.0, 1e15]),
    "enormous": np.array([1e200, 3e200]),
    "negative": np.array([-1e15, -2.0]),
}


STARTS = [(*model, case) for model in MODELS for case, y in AWKWARD.items() if make(*model).in_support(y).all()]


@pytest.mark.parametrize(("name", "links", "case"), STARTS, ids=lambda x: x if isinstance(x, str) else "-".join(x))
def test_start(name: str, links: tuple[str, ...], case: str) -> None:
    family, y = make(name, links), AWKWARD[case]
    for start in (family.start, plain(family).start):
        eta = [np.broadcast_to(e, y.shape) for e in start(y, np.ones(y.size))]
        for e, (low, high) in zip(eta, family.eta_limits(), strict=True):
            assert np.isfinite(e).all()
            assert np.all((e > low) & (e < high))
        assert np.isfinite(family.linear_rows(y, *eta, order=0).value).all()
