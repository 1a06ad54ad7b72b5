"""Training on losses that users write, on likelihoods that hold a parameter, and on shares of successes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import optimize, stats

from mlekit.losses import Loss, NegativeLogLikelihood, Terms
from mlekit.trainer import train

RNG = np.random.default_rng(4)
X = RNG.normal(size=40)
TRIALS = RNG.integers(1, 9, 40)
DATA = pd.DataFrame({"x": X, "y": 1 + 2 * X + RNG.normal(size=40), "s": RNG.binomial(TRIALS, 1 / (1 + np.exp(-X)))})
DATA["f"] = TRIALS - DATA["s"]


def squared(**wrong: Any) -> Loss:
    """Squared error of the user's, some parts of which are replaced by functions of the right one."""

    class Squared(Loss):
        def terms(self, y: Any, yhat: Any, order: int = 1) -> Any:
            parts = {"value": (yhat - y) ** 2, "slope": 2 * (yhat - y), "bend": np.full_like(y, 2.0)}
            return Terms(**parts | {name: change(parts[name]) for name, change in wrong.items()})

    return Squared()


# ------------------------------------------------------------------------------------ losses that users write


def test_a_loss_of_the_users_trains_like_the_one_it_repeats() -> None:
    ours, theirs = (train("y ~ x", DATA, loss, epochs=200, tol=1e-6) for loss in ("mse", squared()))
    assert ours.history.equals(theirs.history)
    assert ours.status is theirs.status


@pytest.mark.parametrize("part", ["value", "slope", "bend"])
@pytest.mark.parametrize("n", [3, 40])
def test_terms_that_are_a_mean_are_refused(part: str, n: int) -> None:
    with pytest.raises(TypeError, match=rf"Squared\.terms gives a {part} of shape \(\) for \d+ rows: .*not a mean"):
        train("y ~ x", DATA[:n], squared(**{part: np.mean}), epochs=2)


@pytest.mark.parametrize("part", ["value", "slope", "bend"])
def test_terms_of_a_column_are_refused(part: str) -> None:
    with pytest.raises(TypeError, match=rf"Squared\.terms gives a {part} of shape \(3, 1\)"):
        train("y ~ x", DATA, squared(**{part: lambda rows: rows[:, None]}), epochs=2)


def test_terms_that_are_no_terms_are_refused() -> None:
    class Value(Loss):
        def terms(self, y: Any, yhat: Any, order: int = 1) -> Any:
            return (yhat - y) ** 2

    for call in (lambda: train("y ~ x", DATA, Value, epochs=2), lambda: Value().value([1.0, 2.0], 1.0)):
        with pytest.raises(TypeError, match=r"Value\.terms must return Terms\(value, slope, bend\), not ndarray"):
            call()


def test_a_loss_without_second_derivatives_trains_and_says_what_it_cannot_tell() -> None:
    training = train("y ~ x", DATA, squared(bend=lambda _: None), epochs=20)
    assert training.history.equals(train("y ~ x", DATA, "mse", epochs=20).history)
    assert training.largest_lr is None
    assert training.above_minimum is None


def test_responses_that_a_loss_does_not_take_are_named() -> None:
    class Logs(Loss):
        support_text = "a number above -1"

        def in_support(self, y: Any) -> Any:
            return y > -1

        def terms(self, y: Any, yhat: Any, order: int = 1) -> Terms:
            error = np.log1p(yhat) - np.log1p(y)
            return Terms(error**2, 2 * error / (1 + yhat), None)

    data = DATA[["x", "y"]].set_axis([f"row {i}" for i in range(40)]).assign(y=lambda d: d["y"].abs())
    train("y ~ x", data, Logs, lr=0.01, epochs=2)
    data.loc["row 7", "y"] = -3.0
    with pytest.raises(ValueError, match=r"y is -3 in row 'row 7': it must be a number above -1 for .*Logs\(\)"):
        train("y ~ x", data, Logs, epochs=2)


# ------------------------------------------------------------------------------------ successes and failures


@pytest.mark.parametrize("how", [{"optimizer": "gd"}, {"optimizer": "sgd", "batch_size": 40, "shuffle": False}])
def test_a_binomial_takes_the_steps_of_its_gradient(how: dict[str, Any]) -> None:
    training = train("cbind(s, f) ~ x", DATA, family="binomial", lr=0.1, epochs=6, **how)
    design = sm.add_constant(X)
    model = sm.GLM(DATA[["s", "f"]], design, family=sm.families.Binomial())
    for before, after in zip(training.path[:-1], training.path[1:], strict=True):
        assert after - before == pytest.approx(0.1 * model.score(before) / 40, rel=1e-10)
    losses = [-stats.binom.logpmf(DATA["s"], TRIALS, 1 / (1 + np.exp(-design @ b))).mean() for b in training.path]
    assert training.history["loss"].to_numpy() == pytest.approx(losses[:-1], rel=1e-12)
    assert training.final_loss == pytest.approx(losses[-1], rel=1e-12)


def test_batches_of_a_binomial_weigh_as_many_rows_as_they_have() -> None:
    training = train(
        "cbind(s, f) ~ x", DATA, family="binomial", lr=1e-12, epochs=1, optimizer="sgd", batch_size=16, seed=1
    )
    assert training.history["loss"][0] == pytest.approx(training.initial_loss, rel=1e-9)


def test_squares_of_shares_of_successes() -> None:
    training = train("cbind(s, f) ~ x", DATA, "mse", family="binomial", lr=2.0, epochs=3000)
    share = DATA["s"] / TRIALS
    peer = optimize.least_squares(
        lambda b: 1 / (1 + np.exp(-b[0] - b[1] * X)) - share, [0.0, 0.0], xtol=1e-15, ftol=1e-15, gtol=1e-15
    )
    assert training.params.to_numpy() == pytest.approx(peer.x, rel=1e-6)
    assert training.final_loss == pytest.approx(2 * peer.cost / 40, rel=1e-10)
    none = DATA.assign(s=DATA["s"].where(DATA.index != 3, 0), f=DATA["f"].where(DATA.index != 3, 0))
    with pytest.raises(ValueError, match=r"y is nan in row 3: it must be a finite number for MSE\(\)"):
        train("cbind(s, f) ~ x", none, "mse", family="binomial", epochs=2)


# ------------------------------------------------------------------------------------ parameters that a loss holds


def test_a_loss_means_what_it_shows_whether_it_is_computed_or_trained() -> None:
    """An instance holds the other parameters, at 1 if nothing is said; the name trains all of them."""
    for loss in (NegativeLogLikelihood("normal"), NegativeLogLikelihood("normal", sigma=0.5)):
        (_, sigma), *_ = loss.held
        for how in ({}, {"family": "normal"}):
            training = train("y ~ x", DATA, loss, lr=0.1, epochs=5, **how)
            assert training.params.index.tolist() == ["Intercept", "x"]
            assert training.final_loss == pytest.approx(loss.value(DATA["y"], training.predict()), rel=1e-14)
            assert (training.predict(what="sigma") == sigma).all()
            assert f"Held by the loss, and not trained: sigma = {sigma:g}" in str(training)
            assert "(family= with loss='nll' trains it)" in " ".join(str(training).split())
    for call in ({"loss": "nll"}, {"loss": None}, {"loss": NegativeLogLikelihood}):
        training = train("y ~ x", DATA, family="normal", lr=0.1, epochs=5, **call)
        assert training.params.index.tolist() == ["Intercept", "x", "sigma_Intercept"]
        assert "Held" not in str(training)
        assert "Training of y by the negative log-likelihood of Normal(): mu, sigma" in str(training)


def test_only_a_likelihood_is_polished_to_a_fit() -> None:
    training = train("y ~ x", DATA, squared(), epochs=5)
    with pytest.raises(ValueError, match=r"Squared.* is no negative log-likelihood.*with a family that the residuals"):
        training.to_fit()
    # With a family, it is that family's likelihood, as for any loss.
    fit = train("y ~ x", DATA, squared(), family="normal", epochs=5).to_fit()
    assert fit.params.iloc[:2].to_numpy() == pytest.approx(np.polyfit(X, DATA["y"], 1)[::-1], rel=1e-9)
