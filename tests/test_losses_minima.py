"""Constant minimisers: against exact fractions, closed forms, searches over a grid, and the generic search itself."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, special, stats

from mlekit import losses
from mlekit.families import FAMILIES, GenericLikelihood

RNG = np.random.default_rng(7)
Y = RNG.normal(3.0, 2.0, 31)
LABELS = (RNG.random(31) < 0.4).astype(float)
BINARY = losses.BinaryCrossEntropy()
RESIDUAL = [
    losses.MSE(),
    losses.RMSE(),
    losses.MAE(),
    losses.Huber(),
    losses.Huber(delta=0.3),
    losses.Pinball(q=0.1),
    losses.Pinball(q=0.75),
]
FLOATS = st.floats(allow_nan=False, allow_infinity=False)


class Cauchy(GenericLikelihood):
    params = {"mu": "identity", "scale": "log"}

    def logpdf(self, y, mu, scale):
        return -np.log1p(((y - mu) / scale) ** 2) - np.log(np.pi * scale)


class Gumbel(GenericLikelihood):
    params = {"mu": "identity", "beta": "log"}

    def logpdf(self, y, mu, beta):
        z = (y - mu) / beta
        return -z - np.exp(-z) - np.log(beta)


class Geometric(GenericLikelihood):
    params = {"p": "logit"}
    support_text = "a count 0, 1, 2, ..."

    def logpdf(self, y, p):
        return y * np.log1p(-p) + np.log(p)

    def in_support(self, y):
        return (y >= 0) & (y == np.floor(y))


@pytest.mark.parametrize("loss", [*RESIDUAL, BINARY], ids=repr)
@pytest.mark.parametrize("size", [1, 2, 3, 10, 31])
def test_no_constant_has_a_smaller_loss(loss, size):
    y = LABELS[-size:] if loss is BINARY else Y[:size]
    found = loss.constant_minimiser(y)
    bounds = (1e-9, 1 - 1e-9) if loss is BINARY else (y.min() - 1, y.max() + 1)
    searched = optimize.minimize_scalar(lambda c: loss.value(y, c), bounds=bounds, method="bounded")
    assert loss.value(y, found) <= searched.fun * (1 + 1e-14)
    if y.min() < y.max() and loss.name in ("mse", "rmse", "huber", "cross_entropy"):
        assert abs(loss.gradient(y, found).sum()) < 1e-14 * (1 + abs(found))


def test_minimisers_have_the_names_they_say():
    assert losses.MSE().constant_minimiser(Y) == pytest.approx(Y.mean(), rel=1e-15)
    assert losses.MAE().constant_minimiser(Y[:10]) == np.median(Y[:10])
    assert losses.Pinball(0.25).constant_minimiser([1, 2, 3, 4]) == 1.5
    assert losses.Pinball(0.25).minimiser == "quantile at 0.25"
    assert losses.Pinball().minimiser == losses.MAE().minimiser == "median"


# ---------------------------------------------------------------------------------------- order statistics


@settings(deadline=None)  # how long an example takes is the machine's business
@given(st.lists(FLOATS, min_size=1, max_size=9))
def test_the_median_is_exact_whatever_else_is_in_the_data(y):
    ordered = sorted(map(Fraction, y))
    exact = (ordered[(len(y) - 1) // 2] + ordered[len(y) // 2]) / 2
    assert losses.MAE().constant_minimiser(y) == pytest.approx(float(exact), rel=1e-15, abs=5e-324)


@pytest.mark.parametrize("n", [10, 100, 1000])
def test_a_quantile_between_two_rows_is_half_way(n):
    # k/n of n rows is k of them, whatever the rounding of k/n: as 0.07 of 100.
    found = [losses.Pinball(k / n).constant_minimiser(np.arange(1.0, n + 1)) for k in range(1, n)]
    assert found == [k + 0.5 for k in range(1, n)]


@pytest.mark.parametrize("loss", RESIDUAL, ids=repr)
def test_large_numbers_do_not_overflow(loss):
    assert loss.constant_minimiser([1.7e308, 1.7e308, 1.7e308, 1.7e308]) == pytest.approx(1.7e308, rel=1e-15)


# ---------------------------------------------------------------------------------------- Huber


@settings(deadline=None)  # how long an example takes is the machine's business
@given(
    y=st.lists(st.integers(-20, 20), min_size=1, max_size=9).map(np.array),
    delta=st.sampled_from([0.01, 0.5, 1.0, 3.0, 100.0]),
)
def test_hubers_minimiser_is_a_minimum_whatever_the_ties(y, delta):
    loss = losses.Huber(delta)
    found = loss.constant_minimiser(y)
    best = min(loss.value(y, c) for c in np.linspace(-21, 21, 421))
    assert loss.value(y, found) <= best + 1e-12 * (1 + best)
    assert loss.constant_minimiser(-y) == pytest.approx(-found, abs=1e-12)


@pytest.mark.parametrize("unit", [1e-10, 1.0, 1e290])
def test_hubers_minimiser_does_not_care_how_far_an_outlier_is(unit):
    y = unit * np.array([1.1, 2.3, 3.7, 4.9])
    for delta in (0.1, 1.5, 3.0):
        loss = losses.Huber(delta * unit)
        near, far = (loss.constant_minimiser([*y, outlier]) for outlier in (1e3 * unit, 1e308))
        assert far == pytest.approx(near, rel=1e-15)


def test_hubers_minimiser_with_a_corner_that_no_float_has():
    assert losses.Huber(1.7e308).constant_minimiser([1e308, 1.5e308, -1e308]) == pytest.approx(0.5e308, rel=1e-15)
    assert losses.Huber(5e-324).constant_minimiser([1.0, 2.0, 4.0]) == 2.0


# ---------------------------------------------------------------------------------------- the search


@settings(deadline=None)  # how long an example takes is the machine's business
@given(
    y=st.lists(st.floats(-1e9, 1e9).filter(lambda x: x == 0 or abs(x) > 1e-9), min_size=1, max_size=12),
    loss=st.sampled_from([loss for loss in RESIDUAL if loss.name != "rmse"]),
)
def test_the_generic_search_finds_a_minimum_as_deep_as_the_closed_form(y, loss):
    searched, closed = losses.Loss.constant_minimiser(loss, y), loss.constant_minimiser(y)
    # A float's width from a minimum at a corner, the loss has risen by that times its slope.
    assert loss.value(y, searched) <= loss.value(y, closed) * (1 + 1e-14) + np.spacing(np.abs(y).max())
    if loss.name == "mse":
        assert searched == pytest.approx(closed, rel=1e-13, abs=1e-13 * np.ptp(y))


@pytest.mark.parametrize("y", [[0, 100], [-50, -49, 50, 51, 52], [-100, 0, 1], [0, 1000, 1001], [1, 2, 3, 90, 91]])
def test_of_two_minima_the_deeper_one_is_found(y):
    loss = losses.NegativeLogLikelihood(Cauchy)
    around = np.linspace(min(y) - 5, max(y) + 5, 200_001)
    best = -stats.cauchy(around[:, None], 1).logpdf(y).mean(axis=1).max()
    assert loss.value(y, loss.constant_minimiser(y)) <= best


@pytest.mark.parametrize("place", [0.0, 1e6, -1e12])
def test_the_place_of_a_gumbel_is_that_of_its_closed_form(place):
    y = place + np.array([0.0, 1.0, 2.5])
    expected = place - 0.5 * (special.logsumexp(-2 * (y - place)) - np.log(3))
    found = losses.NegativeLogLikelihood(Gumbel, beta=0.5).constant_minimiser(y)
    assert found == pytest.approx(expected, rel=1e-13)


def test_a_first_parameter_may_be_a_probability():
    loss = losses.NegativeLogLikelihood(Geometric)
    assert loss.constant_minimiser([0, 1, 5]) == pytest.approx(1 / 3, rel=1e-13)
    assert loss.value([0, 1, 5], 0.3) == pytest.approx(-stats.geom(0.3, loc=-1).logpmf([0, 1, 5]).mean(), rel=1e-14)
    assert loss.sensitivity.far == 1  # the slope in p is y / (1 - p) - 1 / p
    assert loss.sensitivity.share == pytest.approx(10 / 29, rel=1e-14)


def test_the_minimiser_of_a_likelihood_without_a_closed_form_is_found():
    loss = losses.NegativeLogLikelihood(Cauchy, scale=2.0)
    expected = optimize.brentq(lambda m: np.sum((Y - m) / (4 + (Y - m) ** 2)), 2, 4, xtol=1e-15)
    assert loss.constant_minimiser(Y) == pytest.approx(expected, rel=1e-14)
    huber = losses.NegativeLogLikelihood(FAMILIES["huber_normal"](k=1.0), sigma=0.3)
    assert huber.constant_minimiser(Y) == pytest.approx(losses.Huber(0.3).constant_minimiser(Y), rel=1e-13)
    tilted = losses.NegativeLogLikelihood(FAMILIES["asymmetric_laplace"](q=0.1), b=3)
    assert tilted.constant_minimiser(Y) == losses.Pinball(0.1).constant_minimiser(Y)


def test_a_loss_that_falls_without_end_has_no_minimiser():
    class Downhill(losses.Loss):
        def terms(self, y, yhat, order=1):
            return losses.Terms(-yhat, np.full_like(yhat, -1.0), np.zeros_like(yhat))

    with pytest.raises(ValueError, match=r"Downhill\(\) has no constant minimiser: the loss falls up to the edge"):
        Downhill().constant_minimiser([1.0, 2.0])
