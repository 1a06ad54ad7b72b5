"""Losses against scikit-learn, scipy.special and the textbook in mpmath."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from mpmath import mp, mpf
from scipy import special, stats
from sklearn import metrics

from mlekit import losses
from mlekit.families import Poisson

RNG = np.random.default_rng(7)
Y = RNG.normal(3.0, 2.0, 31)
YHAT = Y + RNG.standard_t(2, 31)
LABELS = (RNG.random(31) < 0.4).astype(float)
P = RNG.uniform(0.01, 0.99, 31)

RESIDUAL = [
    losses.MSE(),
    losses.RMSE(),
    losses.MAE(),
    losses.Huber(),
    losses.Huber(delta=0.3),
    losses.Pinball(),
    losses.Pinball(q=0.1),
    losses.Pinball(q=0.75),
]
MEANS = [loss for loss in RESIDUAL if loss.name != "rmse"]
BINARY = losses.BinaryCrossEntropy()


def textbook(loss, y, yhat):
    """Value of a loss in mpmath."""
    r = [mpf(float(a)) - b for a, b in zip(y, yhat, strict=True)]
    n = len(r)
    if loss.name == "mse":
        return sum(x**2 for x in r) / n
    if loss.name == "rmse":
        return mp.sqrt(sum(x**2 for x in r) / n)
    if loss.name == "mae":
        return sum(abs(x) for x in r) / n
    if loss.name == "pinball":
        q = mpf(loss.q)
        return sum(q * max(x, 0) + (1 - q) * max(-x, 0) for x in r) / n
    if loss.name == "huber":
        d = mpf(loss.delta)
        return sum(x**2 / 2 if abs(x) <= d else d * (abs(x) - d / 2) for x in r) / n
    terms = [(mpf(float(a)), b) for a, b in zip(y, yhat, strict=True)]
    return -sum((a * mp.log(b) if a else 0) + ((1 - a) * mp.log(1 - b) if a != 1 else 0) for a, b in terms) / n


def exact(loss, y, yhat, row=None):
    """Value in mpmath, or its derivative in the prediction of a row."""
    with mp.workdps(1000):
        points = [mpf(float(b)) for b in yhat]
        if row is None:
            return float(textbook(loss, y, points))
        step = mpf(10) ** -330
        ends = [textbook(loss, y, [b + s * step * (i == row) for i, b in enumerate(points)]) for s in (1, -1)]
        return float((ends[0] - ends[1]) / (2 * step))


# ---------------------------------------------------------------------------------------- values


@pytest.mark.parametrize(
    ("loss", "theirs"),
    [
        (losses.MSE(), metrics.mean_squared_error),
        (losses.RMSE(), metrics.root_mean_squared_error),
        (losses.MAE(), metrics.mean_absolute_error),
        (losses.Pinball(q=0.1), lambda y, p: metrics.mean_pinball_loss(y, p, alpha=0.1)),
        (losses.Pinball(q=0.75), lambda y, p: metrics.mean_pinball_loss(y, p, alpha=0.75)),
        (losses.Huber(delta=0.3), lambda y, p: special.huber(0.3, y - p).mean()),
        (losses.Huber(delta=2), lambda y, p: special.huber(2, y - p).mean()),
    ],
    ids=lambda value: repr(value) if isinstance(value, losses.Loss) else "",
)
def test_values_are_those_of_others(loss, theirs):
    assert loss.value(Y, YHAT) == pytest.approx(theirs(Y, YHAT), rel=1e-14)


def test_cross_entropy_is_that_of_scikit_learn():
    assert BINARY.value(LABELS, P) == pytest.approx(metrics.log_loss(LABELS, P), rel=1e-14)


@pytest.mark.parametrize("loss", [*RESIDUAL, BINARY], ids=repr)
def test_value_and_gradient_are_the_textbook(loss):
    y, yhat = (LABELS, P) if loss is BINARY else (Y, YHAT)
    assert loss.value(y, yhat) == pytest.approx(exact(loss, y, yhat), rel=1e-14)
    expected = [exact(loss, y, yhat, row) for row in range(8)]
    np.testing.assert_allclose(loss.gradient(y, yhat)[:8], expected, rtol=2e-15)


def test_soft_labels_are_the_textbook():
    y, p = np.array([0.0, 0.3, 0.9, 1.0]), np.array([1e-300, 1e-9, 0.9, 1 - 1e-9])
    assert BINARY.value(y, p) == pytest.approx(exact(BINARY, y, p), rel=1e-14)
    np.testing.assert_allclose(BINARY.gradient(y, p), [exact(BINARY, y, p, i) for i in range(4)], rtol=1e-14)


@pytest.mark.parametrize("loss", [*MEANS, BINARY], ids=repr)
def test_rows_and_terms_are_those_of_the_mean(loss):
    y, yhat = (LABELS, P) if loss is BINARY else (Y, YHAT)
    assert loss.rows(y, yhat).mean() == loss.value(y, yhat)
    terms = loss.terms(y, yhat, 2)
    np.testing.assert_array_equal(terms.value, loss.rows(y, yhat))
    np.testing.assert_allclose(terms.slope / 31, loss.gradient(y, yhat), rtol=1e-15)
    h = 1e-6
    ahead, behind = loss.terms(y, yhat + h).slope, loss.terms(y, yhat - h).slope
    np.testing.assert_allclose(terms.bend, (ahead - behind) / (2 * h), rtol=1e-6, atol=1e-8)
    assert loss.terms(y, yhat, 0)[1:] == (None, None)
    assert loss.terms(y, yhat).bend is None


def test_rmse_has_no_rows():
    assert losses.RMSE().rows(Y, YHAT) is None
    with pytest.raises(TypeError, match="no mean over rows"):
        losses.RMSE().terms(Y, YHAT)


# ---------------------------------------------------------------------------------------- kinks and ends


@pytest.mark.parametrize("loss", RESIDUAL, ids=repr)
def test_the_subgradient_of_a_perfect_fit_is_zero(loss):
    np.testing.assert_array_equal(loss.gradient(Y, Y), np.zeros(31))
    assert loss.value(Y, Y) == 0
    # There is a kink exactly where the gradients of either side differ.
    sides = [loss.gradient(Y, Y + h)[0] for h in (1e-9, -1e-9)]
    assert (abs(sides[0] - sides[1]) > 1e-3) == bool(loss.kink)


def test_a_wrong_certainty_costs_infinity():
    assert BINARY.value([0, 1], [0, 1]) == 0
    assert str(BINARY.value([0, 1], [0, 1])) == "0.0"  # not minus zero
    assert BINARY.value([0, 1], [1, 0]) == np.inf
    np.testing.assert_array_equal(BINARY.gradient([0, 1, 0, 1], [1, 0, 0, 1]), [np.inf, -np.inf, 0.25, -0.25])


@pytest.mark.parametrize(("loss", "size"), [(losses.RMSE(), 1e200), (losses.RMSE(), 1e-200), (losses.MAE(), 1e308)])
def test_sums_and_squares_neither_overflow_nor_underflow(loss, size):
    y = size * np.array([1.0, -0.5, 0.75, 1.0, 0.25])
    assert loss.value(y, 0.0) == pytest.approx(exact(loss, y, np.zeros(5)), rel=1e-15)
    np.testing.assert_allclose(loss.gradient(y, 0.0), [exact(loss, y, np.zeros(5), i) for i in range(5)], rtol=1e-15)


def test_a_difference_that_overflows_has_a_root_mean_square_all_the_same():
    y = np.array([1.7e308, *[0.0] * 7])
    assert losses.RMSE().value(y, -y) == pytest.approx(1.7e308 / np.sqrt(2), rel=1e-15)
    np.testing.assert_allclose(losses.RMSE().gradient(y, -y), [-np.sqrt(1 / 8), *[0] * 7], rtol=1e-15)


def test_the_mean_of_large_squares_does_not_overflow():
    y = np.full(4, 1.3e154)
    assert losses.MSE().value(y, 0.0) == pytest.approx(1.69e308, rel=1e-15)
    np.testing.assert_allclose(losses.MSE().gradient(np.full(10, 1e308), 0.0), np.full(10, -2e307), rtol=1e-15)


@pytest.mark.parametrize(
    ("loss", "error", "instead"),
    [
        (losses.MSE(), 1e200, "infinity"),
        (losses.MSE(), 1e-200, "0"),
        (losses.Huber(delta=1e200), 1e160, "infinity"),
        (losses.NegativeLogLikelihood("normal"), 1e200, "infinity"),
    ],
)
def test_what_no_float_can_hold_is_said(loss, error, instead):
    with pytest.warns(RuntimeWarning, match=f"beyond floating point, and {instead} stands for it") as caught:
        loss.value([error, 0.0], [0.0, 0.0])
    assert caught[0].filename == __file__


def test_rows_and_gradients_say_so_too():
    with pytest.warns(RuntimeWarning, match="mse is beyond floating point, and 0 stands for it"):
        losses.MSE().rows([1e-200, 1.0], [0.0, 0.0])
    with pytest.warns(RuntimeWarning, match="infinity stands for it: a probability is too near to 0 or 1"):
        BINARY.gradient([1.0, 0.0], [5e-324, 0.5])


# ---------------------------------------------------------------------------------------- units


@given(
    data=st.lists(st.tuples(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6)), min_size=1, max_size=12),
    factor=st.sampled_from([2.0**-20, 0.5, 4.0, 2.0**30]),
    loss=st.sampled_from(RESIDUAL),
)
def test_losses_keep_their_shape_in_any_unit(data, factor, loss):
    y, yhat = np.array(data).T
    assume((np.abs(y - yhat) > 1e-6).all())
    degree = loss.sensitivity.degree
    other = loss.rescaled(factor)
    assert other.value(factor * y, factor * yhat) == pytest.approx(factor**degree * loss.value(y, yhat), rel=1e-14)
    np.testing.assert_allclose(
        other.gradient(factor * y, factor * yhat), factor ** (degree - 1) * loss.gradient(y, yhat), rtol=1e-13
    )
    assert other.constant_minimiser(factor * y) == pytest.approx(factor * loss.constant_minimiser(y), rel=1e-12)
    assert loss.value(-yhat, -y) == pytest.approx(loss.value(y, yhat), rel=1e-14)


# ---------------------------------------------------------------------------------------- negative log-likelihoods

DENSITIES = [
    (losses.NegativeLogLikelihood("normal", sigma=10), Y, YHAT, stats.norm(YHAT, 10).logpdf(Y)),
    (losses.NegativeLogLikelihood("laplace", b=2), Y, YHAT, stats.laplace(YHAT, 2).logpdf(Y)),
    (losses.NegativeLogLikelihood("poisson"), LABELS + 2, P + 2, stats.poisson(P + 2).logpmf(LABELS + 2)),
    (losses.NegativeLogLikelihood("exponential"), P, P + 1, stats.expon(scale=1 / (P + 1)).logpdf(P)),
    (losses.NegativeLogLikelihood("bernoulli"), LABELS, P, stats.bernoulli(P).logpmf(LABELS)),
]


@pytest.mark.parametrize(
    ("loss", "y", "yhat", "logpdf"), DENSITIES, ids=lambda x: repr(x) if hasattr(x, "name") else ""
)
def test_negative_log_likelihoods_are_those_of_scipy(loss, y, yhat, logpdf):
    np.testing.assert_allclose(loss.rows(y, yhat), -logpdf, rtol=1e-13)
    assert loss.value(y, yhat) == pytest.approx(-logpdf.mean(), rel=1e-13)
    for row in (0, 7):
        h = 1e-6
        ahead, behind = (loss.value(y, yhat + s * h * (np.arange(31) == row)) for s in (1, -1))
        assert loss.gradient(y, yhat)[row] == pytest.approx((ahead - behind) / (2 * h), rel=1e-5, abs=1e-9)
    c = loss.constant_minimiser(y)
    around = [loss.value(y, c * (1 + s)) for s in (-1e-4, 1e-4)]
    assert loss.value(y, c) < min(around)


def test_a_likelihood_at_the_end_of_its_domain():
    loss = losses.NegativeLogLikelihood("poisson")
    assert loss.value([2.0, 3.0], [0.0, 3.0]) == np.inf  # a mean of 0 excludes a count of 2: true, and no warning
    with pytest.raises(ValueError, match=r"gradient of nll is not a number in row 0, where y is 0 and yhat is 0"):
        loss.gradient([0.0, 3.0], [0.0, 3.0])
    with pytest.raises(ValueError, match=r"yhat is -1 in row 1: it must be between 0 and inf"):
        loss.value([2.0, 3.0], [1.0, -1.0])


# ---------------------------------------------------------------------------------------- objects


def test_losses_are_values():
    assert losses.Huber(2) == losses.Huber(delta=2.0) != losses.Huber()
    assert losses.MSE() == losses.MSE() != losses.RMSE()
    first = losses.NegativeLogLikelihood("normal", sigma=10)
    assert first == losses.NegativeLogLikelihood("normal", sigma=10.0)
    assert len({first, losses.NegativeLogLikelihood("normal"), losses.NegativeLogLikelihood("normal", sigma=1)}) == 2
    for loss in (*RESIDUAL, BINARY, first):
        assert pickle.loads(pickle.dumps(loss)) == loss
    with pytest.raises(AttributeError):
        losses.Huber().delta = 3.0


@pytest.mark.parametrize("name", [name for name in losses.LOSSES if name != "nll"])
def test_the_registry_knows_every_loss_by_its_name(name):
    loss = losses.as_loss(name)
    assert loss.name == name
    assert loss.label == name
    assert losses.as_loss(type(loss)) == losses.as_loss(loss) == losses.as_loss(name.upper()) == loss
    assert (loss.likelihood is None) == bool(loss.why_none)


def test_the_first_parameter_is_the_prediction():
    assert losses.NegativeLogLikelihood(Poisson(mu="sqrt")).likelihood == Poisson(mu="sqrt")
