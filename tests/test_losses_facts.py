"""The affine relation to likelihoods, the measured facts, the table, outliers, the figure, and wrong input."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from mlekit import losses
from mlekit.families import Bernoulli, GenericLikelihood, Laplace, Normal

RNG = np.random.default_rng(11)
Y = RNG.normal(3.0, 2.0, 20)
YHAT = 1 + 0.5 * Y + RNG.normal(size=20)
HEIGHTS = [158.0, 160.0, 165.0, 168.0]
HUNDREDTHS = st.integers(-10_000, 10_000).map(lambda i: i / 100)


# ---------------------------------------------------------------------------------------- equivalence


def tilted(q, b):
    """The asymmetric Laplace distribution of scipy with the pinball loss of level q over b."""
    return lambda mu: stats.laplace_asymmetric(np.sqrt(q / (1 - q)), loc=mu, scale=b / np.sqrt(q * (1 - q)))


@pytest.mark.parametrize(
    ("loss", "held", "distribution", "a", "b"),
    [
        (losses.MSE(), {}, lambda mu: stats.norm(mu, 1), 2, -np.log(2 * np.pi)),
        (losses.MSE(), {"sigma": 10}, lambda mu: stats.norm(mu, 10), 200, -100 * np.log(200 * np.pi)),
        (losses.MAE(), {"b": 0.3}, lambda mu: stats.laplace(mu, 0.3), 0.3, -0.3 * np.log(0.6)),
        (losses.Pinball(0.9), {"b": 2}, tilted(0.9, 2), 2, 2 * np.log(0.045)),
        (losses.Pinball(0.25), {}, tilted(0.25, 1), 1, np.log(0.1875)),
    ],
    ids=lambda x: repr(x) if isinstance(x, losses.Loss) else "",
)
def test_a_loss_is_a_line_in_the_log_density_of_scipy(loss, held, distribution, a, b):
    found = losses.equivalence(loss, Y, YHAT, **held)
    assert found.a == pytest.approx(a, rel=1e-12)
    assert found.b == pytest.approx(b, rel=1e-11)
    assert (found.relation.a, found.relation.b) == (pytest.approx(a, rel=1e-15), pytest.approx(b, rel=1e-14))
    assert found.deviation < 1e-13 * np.abs(found.path["loss"]).max() + 1e-13 * abs(b)
    at = found.path.loc["yhat"]
    assert at["nll"] == pytest.approx(-distribution(YHAT).logpdf(Y).mean(), rel=1e-13)
    assert at["loss"] == loss.value(Y, YHAT)
    assert found.path.shape == (11, 4)


@pytest.mark.parametrize("sigma", [0.2, 1.0, 5.0])
def test_hubers_loss_is_a_line_in_hubers_density(sigma):
    from scipy.integrate import quad
    from scipy.special import huber

    found = losses.equivalence(losses.Huber(1.5), Y, YHAT, sigma=sigma)
    k = 1.5 / sigma
    # The constant of the density, by quadrature.
    total = 2 * (quad(lambda z: np.exp(-huber(k, z)), 0, k)[0] + quad(lambda z: np.exp(-huber(k, z)), k, np.inf)[0])
    assert found.a == pytest.approx(sigma**2, rel=1e-11)
    assert found.b == pytest.approx(-(sigma**2) * np.log(sigma * total), rel=1e-8)
    assert found.deviation < 1e-12


def test_cross_entropy_is_the_log_likelihood_of_bernoulli():
    labels, p = (Y > 3).astype(float), stats.norm.cdf(YHAT - 3)
    found = losses.equivalence("cross_entropy", labels, p)
    assert (found.a, found.b) == (pytest.approx(1, rel=1e-13), pytest.approx(0, abs=1e-13))
    assert found.path["nll"]["yhat"] == pytest.approx(-stats.bernoulli(p).logpmf(labels).mean(), rel=1e-13)
    assert found.relation.family == Bernoulli()


def test_rmse_is_no_likelihood_but_its_log_is_a_profile():
    with pytest.raises(ValueError, match="root of a mean is not a sum over rows"):
        losses.equivalence("rmse", Y, YHAT)
    rmse = losses.RMSE().value(Y, YHAT)
    profile = -stats.norm(YHAT, rmse).logpdf(Y).sum()  # sigma at its best is the root of the mean square
    assert profile == pytest.approx(20 * np.log(rmse) + 10 * (1 + np.log(2 * np.pi)), rel=1e-14)


@given(
    data=st.lists(st.tuples(HUNDREDTHS, HUNDREDTHS), min_size=1, max_size=8),
    scale=st.floats(0.1, 30),
    loss=st.sampled_from([losses.MSE(), losses.MAE(), losses.Huber(2), losses.Pinball(0.8)]),
)
def test_the_relation_holds_for_any_data(data, scale, loss):
    y, yhat = np.array(data).T
    (name,) = list(loss.likelihood.params)[1:]
    found = losses.equivalence(loss, y, yhat, **{name: scale})
    size = np.abs(found.path["loss"]).max() + abs(found.relation.b) + 1
    line = found.relation.a * found.path["nll"] + found.relation.b
    np.testing.assert_allclose(found.path["loss"], line, rtol=0, atol=1e-13 * size)
    assert found.deviation <= 1e-12 * size


def test_equivalence_prints_what_was_measured_beside_what_is_exact():
    text = str(losses.equivalence("mae", HEIGHTS, [160, 160, 164, 163], b=2))
    assert text.splitlines()[0] == "MAE() = a * nll + b, nll: mean of -log f, Laplace(), b = 2"
    assert [line.split()[:3] for line in text.splitlines()[2:4]] == [["a", "2", "2"], ["b", "-2.7725887", "-2.7725887"]]
    assert "median" in text


def test_every_prediction_of_a_path_is_there_though_their_names_round_alike():
    assert losses.equivalence("mse", [1e10, 1e10 + 1], [1e10, 1e10]).path.shape == (11, 4)


@pytest.mark.parametrize("y", [HEIGHTS, [5.0, 5.0]])
def test_equivalence_has_a_path_even_from_the_minimum(y):
    found = losses.equivalence("mse", y, np.full(len(y), np.mean(y)))
    assert found.a == pytest.approx(2, rel=1e-12)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: losses.equivalence("mse", Y, YHAT, b=1), TypeError, r"MSE\(\) has no b to hold: Normal\(\) has sigma"),
        (lambda: losses.equivalence("cross_entropy", [0, 1], [0.2, 0.3], b=1), TypeError, "it leaves nothing open"),
        (lambda: losses.equivalence("mse", Y, YHAT, sigma=-1), ValueError, "sigma must be a positive number, not -1"),
        (lambda: losses.equivalence("cross_entropy", [0.3, 1], [0.2, 0.3]), ValueError, "a soft label"),
        (
            lambda: losses.equivalence("cross_entropy", [0, 1], [1.0, 0.3]),
            ValueError,
            "infinite at the prediction 'yhat'",
        ),
        (lambda: losses.equivalence("mae", [1e-200], [2e-200]), ValueError, "no line through one point"),
    ],
)
def test_equivalence_refuses(call, error, words):
    with pytest.raises(error, match=words):
        call()


# ---------------------------------------------------------------------------------------- facts


def test_the_facts_of_the_lecture():
    mae, mse, rmse = (losses.as_loss(name).sensitivity for name in ("mae", "mse", "rmse"))
    assert (mae.robust, mse.robust, rmse.robust) == (True, False, False)
    assert (mae.degree, mse.degree, rmse.degree) == (1, 2, 1)
    assert (mae.far, mse.far, rmse.far) == (0, 1, 1)
    # 19 errors of 1 and one of 10.
    assert (mae.rise, mse.rise, rmse.rise) == pytest.approx((29 / 20, 119 / 20, np.sqrt(119 / 20)), rel=1e-14)
    assert (mae.share, mse.share, rmse.share) == pytest.approx((1 / 20, 10 / 29, 10 / 29), rel=1e-14)
    assert (mae.breaks, mse.breaks, rmse.breaks) == (50, 1, 1)


def test_one_error_pulls_rmse_no_harder_than_the_root_of_n():
    pulls = [abs(losses.RMSE().gradient(np.append(np.ones(24), size), 0.0)[-1]) for size in (1, 10, 1e3, 1e9)]
    assert np.all(np.diff(pulls) > 0)
    assert pulls[-1] == pytest.approx(1 / 5, rel=1e-12)


@pytest.mark.parametrize("q", [0.1, 0.25, 0.5, 0.9])
def test_a_quantile_breaks_where_its_nearer_end_does(q):
    seen = losses.Pinball(q).sensitivity
    assert seen.breaks == round(100 * min(q, 1 - q))
    assert seen.tilt == pytest.approx(q / (1 - q), rel=1e-9)


def test_hubers_loss_is_both():
    seen = losses.Huber(3.0).sensitivity
    assert (seen.near, seen.far, seen.degree, seen.breaks) == (1, 0, 2, 50)


@pytest.mark.parametrize(
    ("family", "far", "breaks"),
    [("normal", 1, 1), ("poisson", 1, 1), ("exponential", 1, 1), ("laplace", 0, 50), ("bernoulli", 1, None)],
)
def test_the_facts_of_likelihoods(family, far, breaks):
    seen = losses.NegativeLogLikelihood(family).sensitivity
    assert (seen.far, seen.breaks, seen.degree) == (far, breaks, None)
    assert losses.NegativeLogLikelihood(family).unit == "none (nats)"


def test_the_table_says_what_the_lecture_says():
    table = losses.table(["mae", "mse", "rmse"])
    assert table["outliers"].tolist() == ["robust", "sensitive", "sensitive"]
    assert table["unit"].tolist() == ["that of y", "that of y squared", "that of y"]
    assert table["an error pulls"].tolist() == ["alike, whatever its size", *["in proportion to its size"] * 2]
    assert table["likelihood"].tolist() == [repr(Laplace()), repr(Normal()), "none"]
    assert (
        table["use when"]["rmse"] == "large errors are to count for more, and the loss is to be read in the unit of y"
    )


def test_the_table_takes_every_loss_and_writes_markdown():
    several = [losses.Pinball(0.1), losses.Pinball(0.9), losses.NegativeLogLikelihood("poisson"), "cross_entropy"]
    table = losses.table(several)
    assert table.index.is_unique
    assert table.notna().all(axis=None)
    assert losses.table().shape == (6, table.shape[1])
    lines = losses.markdown(table).splitlines()
    assert len(lines) == 6
    assert {line.count("|") for line in lines} == {table.shape[1] + 2}


def test_an_outlier_moves_the_mean_and_not_the_median():
    effect = losses.outlier_effect(HEIGHTS, 1680.0)
    assert effect["before"]["mse"] == 162.75
    assert effect["moved"]["mse"] == effect["moved"]["rmse"] == pytest.approx((1680 - 168) / 4, rel=1e-14)
    assert effect["moved"]["mae"] == 0
    assert effect["share of the pull"]["mae"] == 0.25
    shares = effect["share of the pull"]
    assert shares["mse"] == pytest.approx(shares["rmse"], rel=1e-14)
    assert shares["mse"] == pytest.approx(1517.25 / (1517.25 + 4.75 + 2.75 + 2.25), rel=1e-14)
    # A probability of 1 for what did not happen pulls without bound.
    assert losses.outlier_effect([1, 1, 1], 0, losses="cross_entropy")["share of the pull"].item() == 1
    first = losses.outlier_effect(pd.Series(HEIGHTS), 0.0, row=0, losses=["mae", losses.Pinball(0.1)])
    assert first["after"].tolist() == [162.5, 0.0]
    with pytest.raises(ValueError, match="row 4 is to become the outlier, and y has 4 rows"):
        losses.outlier_effect(HEIGHTS, 1680.0, row=4)
    with pytest.raises(ValueError, match="the outlier must be a finite number, not nan"):
        losses.outlier_effect(HEIGHTS, np.nan)


# ---------------------------------------------------------------------------------------- the figure


def test_the_figure_draws_what_the_losses_return():
    drawn = losses.plot(["mse", "rmse", "mae"], HEIGHTS, unit="cm")
    above, outlier, below = drawn.axes
    assert [line.get_label() for line in above.get_lines()] == ["mse (cm²)", "rmse (cm)", "mae (cm)"]
    errors, values = above.get_lines()[1].get_data()
    assert values == pytest.approx(np.sqrt((9 + errors**2) / 10), rel=1e-14)
    errors, slopes = below.get_lines()[0].get_data()
    assert slopes == pytest.approx(-2 * errors / 10, rel=1e-12)
    assert np.isnan(below.get_lines()[2].get_ydata()).any()  # the jump of MAE is no line
    assert [text.get_text() for text in outlier.get_legend().get_texts()] == [
        "mean: mse, rmse",
        "median: mae",
        "the other responses",
    ]
    places, centres = outlier.get_lines()[0].get_data()
    assert centres == pytest.approx((158 + 160 + 165 + places) / 4, rel=1e-14)
    for axes in drawn.axes:
        assert axes.get_ylabel()
        assert axes.get_xlabel() or axes is above
    drawn.draw_without_rendering()


def test_the_figure_of_small_losses_has_no_steep_line_at_their_jumps():
    class Small(losses.MAE):
        def terms(self, y, yhat, order=1):
            value, slope, bend = super().terms(y, yhat, order)
            return losses.Terms(1e-6 * value, slope if slope is None else 1e-6 * slope, bend)

    slopes = losses.plot([Small]).axes[2].get_lines()[0].get_ydata()
    assert np.isnan(slopes).sum() == 2


def test_the_figure_refuses_losses_without_an_error():
    with pytest.raises(ValueError, match=r"BinaryCrossEntropy\(\) is no loss of the error"):
        losses.plot(["mse", "cross_entropy"])


# ---------------------------------------------------------------------------------------- wrong input

SHIFTED = pd.Series([1.0, 2.0], index=[1, 2])
MASKED = np.ma.array([1.0, 2.0], mask=[False, True])


class Mixed(GenericLikelihood):
    params = {"mu": "identity", "p": "logit"}

    def logpdf(self, y, mu, p):
        return np.log(p * np.exp(-((y - mu) ** 2) / 2) + (1 - p) * np.exp(-np.abs(y - mu)))


@pytest.mark.parametrize(
    ("y", "yhat", "words"),
    [
        ([1.0, 2.0], [1.0, 2.0, 3.0], "y has 2 rows and yhat has 3"),
        ([1.0, 2.0], [1.0], "y has 2 rows and yhat has 1"),
        (np.ones(3), np.ones((3, 1)), r"yhat has shape \(3, 1\), and must have one dimension"),
        (np.ones((3, 1)), np.ones(3), r"y has shape \(3, 1\)"),
        (pd.DataFrame({"y": [1.0]}), [1.0], r"y has shape \(1, 1\)"),
        ([], [], "y is empty"),
        (3.0, 3.0, r"y is a single number, 3.0"),
        ([1.0, np.nan], [1.0, 2.0], "y is nan in row 1: it must be a finite number"),
        ([1.0, 2.0], [np.nan, 2.0], "yhat is nan in row 0: it must be a finite number"),
        ([1.0, 2.0], [1.0, np.inf], r"yhat is inf in row 1: .*did the model diverge"),
        ([1.0, -np.inf], [1.0, 2.0], "y is -inf in row 1"),
        (pd.Series([1, None], index=["a", "b"], dtype="Int64"), [1.0, 2.0], "y is nan in row 'b'"),
        ([1.0, None], [1.0, 2.0], "y is nan in row 1"),
        (["a", "b"], [1.0, 2.0], "y must be numbers, one per row"),
        ("ab", [1.0, 2.0], "y must be numbers, one per row, not 'ab'"),
        ([1.0, 2.0], None, "yhat must be numbers, one per row, not None"),
        ([1.0, 2.0], [1j, 2.0], "yhat must be numbers"),
        ([1.0, 2.0], np.complex128(1j), "yhat must be numbers"),
        ([1.0, 2.0], np.timedelta64(1, "s"), "yhat must be numbers"),
        ([1.0, 2.0], np.ma.masked, "yhat must be numbers"),
        ([1.0, 2.0], MASKED, "yhat is nan in row 1"),
        (MASKED, [1.0, 2.0], "y is nan in row 1"),
        (SHIFTED, pd.Series([1.0, 2.0]), "yhat has another index than y"),
    ],
)
@pytest.mark.parametrize("method", ["value", "gradient", "rows"])
def test_wrong_input_is_refused(y, yhat, words, method):
    for loss in (losses.MSE(), losses.RMSE()):
        with pytest.raises(ValueError, match=words):
            getattr(loss, method)(y, yhat)


def test_every_kind_of_column_is_read():
    import polars as pl

    y, yhat = [0, 1, 1], [0.25, 0.5, 1.0]
    expected = losses.MSE().value(np.array(y, dtype=float), np.array(yhat))
    for make in (list, tuple, np.array, pd.Series, pl.Series, lambda x: np.array(x, dtype=np.float32)):
        assert losses.MSE().value(make(y), make(yhat)) == expected
    assert losses.MSE().value([False, True, True], yhat) == expected
    assert losses.MSE().value(SHIFTED, [1.0, 2.0]) == 0
    for one in (1, True, np.float32(1), np.array(1), Decimal(1), Fraction(1)):
        assert losses.MSE().value(SHIFTED, one) == 0.5


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (
            lambda: losses.as_loss("mean"),
            ValueError,
            "the losses are mse, rmse, mae, cross_entropy, huber, pinball, nll",
        ),
        (lambda: losses.as_loss(3), TypeError, "loss must be a name, a Loss class or an instance, not 3"),
        (lambda: losses.as_loss("nll"), ValueError, r"nll needs a family: NegativeLogLikelihood\('poisson'\)"),
        (lambda: losses.as_loss(losses.NegativeLogLikelihood), ValueError, "nll needs a family"),
        (lambda: losses.Huber(0), ValueError, "delta of the Huber loss must be a positive number, not 0"),
        (lambda: losses.Huber(np.inf), ValueError, "delta of the Huber loss must be a positive number"),
        (lambda: losses.Huber("a"), ValueError, "delta of the Huber loss must be a positive number, not 'a'"),
        (lambda: losses.Pinball(1), ValueError, "between 0 and 1, not 1"),
        (lambda: losses.Pinball(50), ValueError, "between 0 and 1, not 50"),
        (lambda: losses.Pinball(-0.1), ValueError, "q of the pinball loss"),
        (lambda: losses.Pinball(np.nan), ValueError, "q of the pinball loss"),
        (lambda: losses.NegativeLogLikelihood("gauss"), ValueError, "unknown family 'gauss'"),
        (lambda: losses.NegativeLogLikelihood("normal", mu=1), TypeError, "the prediction is its mu"),
        (lambda: losses.NegativeLogLikelihood("poisson", sigma=1), TypeError, "there are no others"),
        (
            lambda: losses.NegativeLogLikelihood("normal", sigma=-1),
            ValueError,
            "must be a positive number, not -1",
        ),
        (lambda: losses.NegativeLogLikelihood("normal", sigma="1"), ValueError, r"must be a positive number, not '1'"),
        (lambda: losses.NegativeLogLikelihood(Mixed), ValueError, r"Mixed\(\) needs a value of p, between 0 and 1, to"),
        (lambda: losses.NegativeLogLikelihood("poisson").value([1.5], [1.0]), ValueError, "y is 1.5 in row 0"),
        (
            lambda: losses.BinaryCrossEntropy().value([0, 2], [0.5, 0.5]),
            ValueError,
            "y is 2 in row 1: it must be 0 or 1",
        ),
        (
            lambda: losses.BinaryCrossEntropy().value([0, 1], [0.5, 1.5]),
            ValueError,
            "yhat is 1.5 in row 1: .*between 0 and 1",
        ),
        (lambda: losses.MSE().constant_minimiser([1.0, np.nan]), ValueError, "y is nan in row 1"),
        (lambda: losses.table([]), ValueError, "no losses are named"),
        (
            lambda: losses.NegativeLogLikelihood("exponential").constant_minimiser([0.0]),
            ValueError,
            "no constant minimiser",
        ),
    ],
)
def test_wrong_calls_are_refused(call, error, words):
    with pytest.raises(error, match=words):
        call()
