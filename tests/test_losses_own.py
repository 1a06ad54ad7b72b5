"""Losses that users write: what they have without saying more, what is measured on them, and what is refused."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics

from mlekit import cross_validate, losses
from mlekit.families import GenericLikelihood

RNG = np.random.default_rng(7)
Y = RNG.normal(3.0, 2.0, 31)
YHAT = Y + RNG.standard_t(2, 31)


class LogCosh(losses.Loss):
    def terms(self, y, yhat, order=1):
        error = yhat - y
        value = np.logaddexp(error, -error) - np.log(2)
        return losses.Terms(value, np.tanh(error), 1 - np.tanh(error) ** 2)


class Linex(losses.Loss):
    """Varian's loss: exponential where the prediction is too high, linear where it is too low."""

    name = "linex"

    def terms(self, y, yhat, order=1):
        error = yhat - y
        return losses.Terms(np.expm1(error) - error, np.expm1(error), np.exp(error))


@dataclass(frozen=True)
class Insensitive(losses.Loss):
    epsilon: float = 0.5
    name = "insensitive"

    def terms(self, y, yhat, order=1):
        error = yhat - y
        beyond = np.abs(error) > self.epsilon
        return losses.Terms(np.maximum(np.abs(error) - self.epsilon, 0), np.sign(error) * beyond, None)


@dataclass(frozen=True)
class Power(losses.Loss):
    p: float = 3.0
    name = "power"

    def terms(self, y, yhat, order=1):
        size, side = np.abs(yhat - y), np.sign(yhat - y)
        return losses.Terms(size**self.p, self.p * side * size ** (self.p - 1), None)


class LogSquared(losses.Loss):
    name = "msle"
    support_text = "a number above -1"
    domain = (-1.0, np.inf)

    def in_support(self, y):
        return y > -1

    def terms(self, y, yhat, order=1):
        error = np.log1p(yhat) - np.log1p(y)
        return losses.Terms(error * error, 2 * error / (1 + yhat), None)


class Relative(losses.Loss):
    name = "mape"

    def terms(self, y, yhat, order=1):
        return losses.Terms(np.abs((yhat - y) / y), np.sign(yhat - y) / np.abs(y), None)


def test_terms_are_all_that_a_loss_has_to_say():
    loss = losses.as_loss(LogCosh)
    assert loss.name == loss.label == "LogCosh"
    assert loss.value(Y, YHAT) == pytest.approx(np.log(np.cosh(Y - YHAT)).mean(), rel=1e-13)
    assert abs(np.tanh(loss.constant_minimiser(Y) - Y).sum()) < 1e-13
    assert loss.sensitivity.robust
    assert loss.sensitivity.degree is None
    assert loss.unit == "no power of that of y"
    assert losses.table([LogCosh])["outliers"].item() == "robust"
    assert losses.outlier_effect(Y, 1e9, losses=[LogCosh])["moved"].item() < 1
    losses.plot([LogCosh, "mse"]).draw_without_rendering()
    with pytest.raises(ValueError, match="LogCosh is no negative log-likelihood"):
        losses.equivalence(loss, Y, YHAT)


def test_a_loss_may_pull_on_one_side_alone():
    seen = Linex().sensitivity
    assert (seen.far, seen.robust, seen.breaks) == (np.inf, False, 1)
    assert seen.tilt == pytest.approx((1 - np.exp(-1)) / (np.e - 1), rel=1e-9)
    row = losses.table([Linex]).iloc[0]
    assert row["an error pulls"].startswith("in proportion to its size up to a point, then faster than any power")
    assert row["use when"] == "errors above and below do not cost the same"
    # Zellner 1986: the minimiser is minus the log of the mean of exp(-y).
    assert Linex().constant_minimiser(Y) == pytest.approx(-np.log(np.mean(np.exp(-Y))), rel=1e-14)


def test_a_likelihood_may_pull_on_one_side_alone():
    class Gumbel(GenericLikelihood):
        params = {"mu": "identity"}

        def logpdf(self, y, mu):
            return mu - y - np.exp(mu - y)

    seen = losses.NegativeLogLikelihood(Gumbel).sensitivity
    assert (seen.far, seen.robust, seen.breaks) == (np.inf, False, 1)
    tilted = losses.NegativeLogLikelihood("asymmetric_laplace").sensitivity
    assert (tilted.tilt, tilted.far) == (1, 0)


def test_no_loss_within_a_tolerance_is_no_underflow():
    loss = Insensitive()
    assert loss.value([1.0, 2.0], [1.2, 2.0]) == 0  # and no warning
    assert losses.table([loss])["an error pulls"].item().startswith("not at all up to a point, then alike")
    assert losses.table([loss])["use when"].item() == "there are outliers, and they are not to decide"
    with pytest.raises(ValueError, match=r"Insensitive\(epsilon=99\) cannot be measured: an error of 1 does not pull"):
        Insensitive(99).sensitivity  # noqa: B018


@pytest.mark.parametrize(("p", "unit"), [(1, "that of y"), (1.5, "that of y to the power 1.5"), (3, "that of y to")])
def test_the_unit_is_any_power_of_that_of_y(p, unit):
    assert Power(p).unit.startswith(unit)
    assert Power(p).sensitivity.degree == p
    assert Power(p).sensitivity.far == p - 1


def test_a_loss_by_the_size_of_y_is_no_loss_of_the_error():
    y, yhat = [1.0, 2.0, 5.0], [1.5, 2.0, 3.0]
    assert LogSquared().value(y, yhat) == pytest.approx(metrics.mean_squared_log_error(y, yhat), rel=1e-14)
    assert Relative().value(y, yhat) == pytest.approx(metrics.mean_absolute_percentage_error(y, yhat), rel=1e-14)
    assert LogSquared().constant_minimiser(y) == pytest.approx(np.expm1(np.mean(np.log1p(y))), rel=1e-13)
    assert (LogSquared().unit, Relative().unit) == ("no power of that of y", "none")
    for loss in (LogSquared(), Relative()):
        for call in (losses.table, losses.plot):
            with pytest.raises(ValueError, match=r"is no loss of the error y - yhat alone"):
                call([loss])
    data = pd.DataFrame({"x": np.arange(20.0), "y": 5 + np.arange(20.0) + np.sin(np.arange(20.0))})
    assert cross_validate("y ~ x", data, loss=LogSquared(), k=2, seed=0).mean["msle"] > 0


def test_a_table_has_the_losses_that_can_be_measured_and_says_why_others_cannot():
    with pytest.warns(
        UserWarning, match=r"cells of the table are empty: .*Relative\(\) is no loss of the error"
    ) as said:
        found = losses.table(["mae", Relative, "mse"])
    assert len(said) == 1
    pd.testing.assert_frame_equal(found.loc[["mae", "mse"]], losses.table(["mae", "mse"]))
    filled = found.loc["mape"][found.loc["mape"] != ""]
    assert filled.to_dict() == {"unit": "none", "constant minimiser": "minimiser", "likelihood": "none"}
    with pytest.raises(ValueError, match=r"LogSquared\(\) is no loss of the error.*Relative\(\) is no loss"):
        losses.table([LogSquared, Relative])


def test_a_loss_that_lets_go_of_large_errors():
    class Biweight(losses.Loss):
        name = "biweight"

        def terms(self, y, yhat, order=1):
            z = np.clip((yhat - y) / 4, -1, 1)
            return losses.Terms((1 - (1 - z**2) ** 3) / 6, z * (1 - z**2) ** 2 / 4, None)

        def constant_minimiser(self, y):
            return float(np.median(self.responses(y)))

    assert Biweight().sensitivity.far == -np.inf
    assert (
        losses.table([Biweight])["an error pulls"].item() == "in proportion to its size up to a point, then not at all"
    )


def test_sensitivity_needs_a_response_that_can_miss():
    class Beta(GenericLikelihood):
        params = {"p": "logit"}
        support_text = "between 0 and 1"

        def logpdf(self, y, p):
            return (p - 1) * np.log(y) - p * np.log1p(-y) - np.log(np.pi / np.sin(np.pi * p))

        def in_support(self, y):
            return (y > 0) & (y < 1)

    with pytest.raises(ValueError, match="cannot be measured: its response must be between 0 and 1"):
        losses.table([losses.NegativeLogLikelihood(Beta)])


def test_losses_of_one_name_have_a_row_each():
    class Linex2(Linex):
        pass

    assert losses.table([Linex, Linex2]).index.tolist() == ["linex", "linex"]
    assert len(losses.outlier_effect(Y, 5.0, losses=[Linex, Linex2])) == 2


def test_terms_may_be_a_plain_tuple_but_not_a_mean():
    class Plain(losses.Loss):
        def terms(self, y, yhat, order=1):
            return (yhat - y) ** 2, 2 * (yhat - y), None

    class Mean(losses.Loss):
        def terms(self, y, yhat, order=1):
            return losses.Terms(np.mean((yhat - y) ** 2), 2 * (yhat - y), None)

    assert Plain().value(Y, YHAT) == losses.MSE().value(Y, YHAT)
    np.testing.assert_array_equal(Plain().rows(Y, YHAT), losses.MSE().rows(Y, YHAT))
    for method in ("value", "gradient", "rows"):
        with pytest.raises(TypeError, match=r"Mean.terms gives a value of shape \(\) for 31 rows"):
            getattr(Mean(), method)(Y, YHAT)
    with pytest.raises(NotImplementedError, match=r"must define terms\(self, y, yhat, order=1\)"):
        losses.Loss().value(Y, YHAT)
