"""Every link against mpmath, from the middle of its domain to its ends."""

import copy
import pickle

import numpy as np
import pytest
from mpmath import mp, mpf

from mlekit.links import LINKS, POSITIVE, REAL, UNIT, Link, as_link
from tests import mp as exact
from tests.mp import deviation, partials

ETA = [s * x for x in (1e-9, 0.1, 1.0, 5.0, 30.0, 36.9, 37.1, 300.0, 700.0) for s in (-1, 1)]
THETA = {
    UNIT: [1e-300, 1e-100, 1e-10, 0.1, 0.25, 0.5, 0.7, 0.99, 1 - 1e-10, 1 - 2.0**-53],
    POSITIVE: [1e-300, 1e-100, 1e-10, 0.1, 0.5, 1.0, 3.0, 36.9, 37.1, 800.0, 1e10, 1e300],
}
THETA[REAL] = [s * x for x in THETA[POSITIVE] for s in (-1, 1)]
# exp(-eta**2 / 2) of a rounded eta**2 / 2: at 37, 680 times the rounding of a number near 1. So its inverse.
# The slopes of cloglog hold exp(eta - exp(eta)), whose exponent is -150 at eta = 5.
RTOL = {"probit": 3e-13, "cloglog": 4e-14}

each_link = pytest.mark.parametrize("link", LINKS.values(), ids=str)


def tolerance(link: Link) -> float:
    return RTOL.get(link.name, 2e-15)


def etas(link: Link) -> np.ndarray:
    low, high = link.eta_limits(link.domain)
    return np.array([x for x in ETA if low < x < high])


def worst(got: np.ndarray, want: list) -> float:
    return max(deviation(g, w) for g, w in zip(got, want, strict=True))


def test_every_link_has_a_counterpart_in_mpmath() -> None:
    missing = set(LINKS) ^ set(exact.LINKS)
    assert not missing, f"write {missing} in tests/mp.py, in mpmath"


@each_link
def test_inverse_and_slopes(link: Link) -> None:
    eta = etas(link)
    want = [partials(lambda e: exact.theta(link.name, e).value, [e]) for e in eta.tolist()]
    first, second = link.slopes(eta)
    assert worst(link.inverse(eta), [w.value for w in want]) < tolerance(link)
    assert worst(first, [w.grad[0] for w in want]) < tolerance(link)
    assert worst(second, [w.hess[0][0] for w in want]) < tolerance(link)


@each_link
def test_slopes_of_the_logarithm(link: Link) -> None:
    # The default, by quotients of the slopes, is for the middle; `relative` is for the tails.
    eta = np.array([e for e in etas(link) if link.inverse(e) > 0 and (link.relative or 0 < abs(e) < 6)])
    want = [partials(lambda e: mp.log(exact.theta(link.name, e).value), [e]) for e in eta.tolist()]
    first, second = link.log_slopes(eta)
    rtol = 3e-15 if link.relative else 2e-13
    assert worst(first, [w.grad[0] for w in want]) < rtol
    assert worst(second, [w.hess[0][0] for w in want]) < rtol


@each_link
def test_forward(link: Link) -> None:
    """Mapped back without error, eta gives theta to as many digits as the rounding of eta leaves."""
    for theta in THETA[link.domain]:
        eta = float(link.forward(np.float64(theta)))
        back = partials(lambda e: exact.theta(link.name, e).value, [eta])
        with mp.workdps(exact.DIGITS):
            assert abs(back.value - theta) <= tolerance(link) * abs(back.grad[0] * mpf(eta)), theta


@each_link
def test_round_trip(link: Link) -> None:
    eta = etas(link)
    theta = link.inverse(eta)
    low, high = link.domain
    inside = (theta > low) & (theta < high)  # elsewhere the parameter itself has rounded to the end
    eta, theta = eta[inside], theta[inside]
    condition = np.abs(eta) + np.abs(theta / link.slopes(eta)[0])
    assert inside.sum() > 8 or link.domain[0] == 0
    assert np.all(np.abs(link.forward(theta) - eta) <= 2 * tolerance(link) * condition)


@each_link
def test_shapes(link: Link) -> None:
    theta = np.array([[0.2, 0.3], [0.4, 0.6]])
    eta = link.forward(theta)
    for values in (eta, link.inverse(eta), *link.slopes(eta), *link.log_slopes(eta)):
        assert values.shape == (2, 2)
    for value in (link.forward(0.2), link.inverse(0.2), *link.slopes(0.2), *link.log_slopes(0.2)):  # type: ignore[arg-type]
        assert np.shape(value) == ()


LIMITS = {
    "identity": [(REAL, REAL), (POSITIVE, POSITIVE), (UNIT, UNIT)],
    "log": [(REAL, REAL), (POSITIVE, REAL), (UNIT, (-np.inf, 0.0))],
    "neglog": [(POSITIVE, REAL), (UNIT, (0.0, np.inf))],
    "logit": [(UNIT, REAL), (POSITIVE, REAL)],
    "probit": [(UNIT, REAL)],
    "cloglog": [(UNIT, REAL)],
    "cauchit": [(UNIT, REAL)],
    "sqrt": [(POSITIVE, POSITIVE), (UNIT, UNIT)],
    "inverse": [(REAL, REAL), (POSITIVE, POSITIVE), (UNIT, (1.0, np.inf))],
    "softplus": [(POSITIVE, REAL), (UNIT, (-np.inf, np.log(np.expm1(1.0))))],
}


@each_link
def test_eta_limits(link: Link) -> None:
    for domain, want in LIMITS[link.name]:
        np.testing.assert_allclose(link.eta_limits(domain), want, rtol=1e-15, atol=2e-16)


@each_link
def test_pickle_equality_and_repr(link: Link) -> None:
    again = pickle.loads(pickle.dumps(link))
    assert again is copy.deepcopy(link) is as_link(link.name) is link
    assert repr(link) == link.name
    assert [other for other in LINKS.values() if other == link] == [link]
    with pytest.raises(AttributeError):
        link.name = "other"  # type: ignore[misc]


@pytest.mark.parametrize("what", ["logg", "", "Log", None, 3, np.log])
def test_unknown_link(what: object) -> None:
    with pytest.raises(ValueError, match="unknown link") as caught:
        as_link(what)  # type: ignore[arg-type]
    assert all(name in str(caught.value) for name in LINKS)


def test_link_of_yours() -> None:
    log10 = Link("log10", np.log10, lambda eta: 10.0**eta, _log10_slopes, POSITIVE)
    assert as_link(log10) is log10
    assert log10 not in LINKS.values()
    first, second = log10.log_slopes(np.array([0.5, 2.0]))
    np.testing.assert_allclose(first, np.log(10), rtol=1e-15)
    np.testing.assert_allclose(second, 0, atol=1e-14)
    own = Link("own", np.log, np.exp, LINKS["log"].slopes, POSITIVE)
    assert pickle.loads(pickle.dumps(own)) == own != log10
    assert hash(pickle.loads(pickle.dumps(own))) == hash(own)
    with pytest.raises(ValueError, match="'log' is the name of another, built-in link"):
        as_link(Link("log", np.log10, lambda eta: 10.0**eta, _log10_slopes, POSITIVE))


def _log10_slopes(eta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    theta = 10.0**eta
    return theta * np.log(10), theta * np.log(10) ** 2
