"""Weights, offsets, losses and families of all kinds, and input that cannot be."""

from __future__ import annotations

import builtins
import re
import warnings
from concurrent.futures.process import BrokenProcessPool

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import root_mean_squared_error
from sklearn.model_selection import KFold
from statsmodels.tools.sm_exceptions import ConvergenceWarning

import mlekit
from mlekit.crossval import cross_validate
from mlekit.families import FAMILIES, GenericLikelihood
from mlekit.formula import FormulaError
from mlekit.losses import MAE, Huber, Loss, NegativeLogLikelihood, Pinball
from tests.sample import Rayleigh


def table(n=40, seed=3):
    rng = np.random.default_rng(seed)
    data = pd.DataFrame({"x": rng.normal(size=n), "t": rng.uniform(1, 5, n), "g": np.arange(n) % 4})
    data["count"] = rng.poisson(data["t"] * np.exp(0.3 * data["x"]))
    data["y"] = data["x"] + rng.normal(size=n)
    data["won"] = (rng.random(n) < 0.5).astype(int)
    data["w"] = 1 + np.arange(n) % 3
    return data


# ------------------------------------------------------------------------------------------------ weights and offsets


def test_a_weight_of_three_is_three_equal_rows():
    data = table()
    long = data.loc[data.index.repeat(data["w"])].reset_index()
    losses = ["mse", "rmse", "log_score", "deviance"]
    for weights in ("w", data["w"], data["w"].to_numpy()):
        cv = cross_validate("y ~ center(x)", data, weights=weights, seed=0, loss=losses)
        pairs = [(long.index[long["index"].isin(a)], long.index[long["index"].isin(b)]) for a, b in cv.folds]
        expected = cross_validate("y ~ x", long, splitter=pairs, loss=losses)
        for loss in losses:
            np.testing.assert_allclose(cv.scores[loss], expected.scores[loss], rtol=1e-10)
            np.testing.assert_allclose(cv.scores[f"train_{loss}"], expected.scores[f"train_{loss}"], rtol=1e-10)


def test_rows_of_weight_zero_are_left_out():
    data = table().assign(w=lambda t: (t["g"] > 0).astype(int))
    cv = cross_validate("y ~ x", data, weights="w", seed=0)
    assert cv.left_out == 10
    assert "10 rows with missing values or of weight zero left out" in str(cv).replace("\n    ", " ")


@pytest.mark.parametrize("factor", [0.5, 1e9])
def test_a_root_of_weighted_squares(factor):
    """Weights need not be whole, and a billion rows of each kind are not written out."""
    data = table()
    cv = cross_validate("y ~ x", data, weights=factor * data["w"], seed=0, loss="rmse")
    for rows, score in zip(cv.folds, cv.scores["rmse"], strict=True):
        held = cv.predictions[cv.predictions["row"].isin(rows.test)]
        weight = data["w"].iloc[held["row"]]
        theirs = root_mean_squared_error(held["observed"], held["predicted"], sample_weight=weight)
        assert score == pytest.approx(theirs, rel=1e-12)


class Median(Loss):
    """A loss that is no mean over rows."""

    name = "median"

    def rows(self, y, yhat):
        return None

    def _value(self, y, yhat):
        return float(np.median(np.abs(y - yhat)))


def test_a_loss_that_is_no_mean_takes_no_weights():
    assert np.isfinite(cross_validate("y ~ x", table(), seed=0, loss=Median()).mean["median"])
    with pytest.raises(ValueError, match=r"fold 1: Median\(\) is not a mean over rows, and does not know what weights"):
        cross_validate("y ~ x", table(), weights="w", seed=0, loss=Median())


@pytest.mark.parametrize(
    "how",
    [
        {"formula": "count ~ x + offset(log(t))"},
        {"formula": "count ~ x", "offset": "log(t)"},
        {"formula": "count ~ x", "exposure": "t"},
        {"formula": "count ~ x", "offset": np.log(table()["t"])},
        {"formula": "count ~ x", "offset": {"mu": np.log(table()["t"]).to_numpy()}},
        {"formula": "count ~ x", "exposure": table()["t"].tolist()},
        {"formula": "count ~ x + offset(log(t) / 2)", "offset": np.log(table()["t"]) / 2},
    ],
    ids=str,
)
def test_offsets_as_expressions_and_as_arrays(how):
    data = table()
    data.loc[[5, 17], "x"] = np.nan
    cv = cross_validate(**how, data=data, family="poisson", seed=0)
    for fold, score in zip(cv.folds, cv.scores["mse"], strict=True):
        fit = mlekit.fit("count ~ x", data.iloc[fold.train], "poisson", exposure="t")
        held = data.iloc[fold.test]
        assert score == pytest.approx(np.mean((held["count"] - fit.predict(held)) ** 2), rel=1e-9)


def test_an_offset_of_sigma():
    data = table()
    cv = cross_validate("y ~ x", data, offset={"sigma": np.log(data["t"])}, seed=0, loss="log_score", keep_fits=True)
    fit, held = cv.fits[0], data.iloc[cv.folds[0].test]
    density = stats.norm.logpdf(
        held["y"],
        fit.predict(held, offset={"sigma": np.log(held["t"])}),
        fit.predict(held, "sigma", offset={"sigma": np.log(held["t"])}),
    )
    assert cv.scores["log_score"][0] == pytest.approx(density.mean(), rel=1e-12)


# ------------------------------------------------------------------------------------------------ losses and families


class Cauchy(GenericLikelihood):
    """A distribution without a mean."""

    params = {"location": "identity", "scale": "log"}

    def logpdf(self, y, location, scale):
        return -np.log(np.pi * scale) - np.log1p(((y - location) / scale) ** 2)


def test_a_family_without_a_mean_is_scored_by_its_density():
    data = table()
    cv = cross_validate("y ~ 1", data, Cauchy(), loss="log_score", seed=0, keep_fits=True)
    fit, held = cv.fits[0], data["y"].iloc[cv.folds[0].test]
    location, scale = (fit.predict(what=what).iloc[0] for what in ("location", "scale"))
    assert cv.scores["log_score"][0] == pytest.approx(stats.cauchy.logpdf(held, location, scale).mean())
    assert (cv.predictions.loc[held.index, "predicted"] == location).all()
    with pytest.raises(ValueError, match=r"Cauchy has no mean, so mse has no prediction.*'log_score'"):
        cross_validate("y ~ 1", data, Cauchy())
    with pytest.raises(ValueError, match="no deviance"):
        cross_validate("y ~ 1", data, Cauchy(), loss="deviance")


def test_a_mean_that_a_family_does_not_give_is_integrated():
    data = table()
    data["y"] = data["y"] ** 2 + 0.1
    cv = cross_validate("y ~ 1", data, Rayleigh(), seed=0, keep_fits=True)
    sigma = cv.fits[0].predict(what="sigma").iloc[0]
    held = cv.predictions.loc[cv.folds[0].test, "predicted"]
    assert held.to_numpy() == pytest.approx(sigma * np.sqrt(np.pi / 2), rel=1e-9)
    assert np.isfinite(cv.scores["mse"]).all()


def test_a_loss_that_is_the_familys_own_is_of_its_first_parameter():
    """The quantile, not the mean, is what pinball is a loss of."""
    data = table(n=80)
    family = FAMILIES["asymmetric_laplace"](q=0.8)
    cv = cross_validate("y ~ 1", data, family, loss=[Pinball(0.8), "mse"], seed=0, keep_fits=True)
    fit, held = cv.fits[0], data["y"].iloc[cv.folds[0].test]
    quantile = fit.predict(what="mu").iloc[0]
    r = held - quantile
    assert cv.scores["pinball"][0] == pytest.approx(np.where(r > 0, 0.8 * r, -0.2 * r).mean(), rel=1e-12)
    mean = fit.predict().iloc[0]
    assert mean != pytest.approx(quantile, rel=0.01)
    assert cv.scores["mse"][0] == pytest.approx(((held - mean) ** 2).mean(), rel=1e-12)


@pytest.mark.parametrize(
    "loss", ["pinball", Pinball(0.2), NegativeLogLikelihood(FAMILIES["asymmetric_laplace"](q=0.2))]
)
def test_a_loss_of_another_quantile_is_refused(loss):
    family = FAMILIES["asymmetric_laplace"](q=0.8)
    with pytest.raises(ValueError, match=r"quantile at 0\.[25], and .*q=0.8.* the one at 0.8: score by Pinball\(0.8\)"):
        cross_validate("y ~ x", table(), family, loss=loss)


def test_two_losses_of_one_name_are_told_apart():
    cv = cross_validate("y ~ x", table(), loss=[Pinball(0.1), Pinball(0.9), Huber(2.0), "mse"], seed=0)
    assert [*cv.better] == [repr(Pinball(0.1)), repr(Pinball(0.9)), "huber", "mse"]


def test_the_likelihood_of_another_family_says_nothing():
    own = cross_validate("y ~ x", table(), loss=NegativeLogLikelihood("normal", sigma=1.0), seed=0)
    halved = cross_validate("y ~ x", table(), loss="mse", seed=0).scores["mse"] / 2 + np.log(2 * np.pi) / 2
    np.testing.assert_allclose(own.scores["nll"], halved, rtol=1e-12)
    with pytest.raises(ValueError, match="is the loss of another family than Poisson"):
        cross_validate("count ~ x", table(), "poisson", loss=NegativeLogLikelihood("normal", sigma=1.0))


def test_nll_is_the_familys_own_with_every_parameter():
    for loss in ("nll", "NLL", NegativeLogLikelihood):
        cv = cross_validate("y ~ x", table(), loss=[loss, "log_score", MAE], seed=0)
        np.testing.assert_array_equal(cv.scores["nll"], -cv.scores["log_score"])
        assert cv.better == {"nll": "smaller", "log_score": "larger", "mae": "smaller"}


def test_units_name_the_response():
    cv = cross_validate("count ~ x", table(), loss=["mse", "mae", "nll"], seed=0)
    assert cv.units == {"mse": "that of count squared", "mae": "that of count", "nll": "nats per row"}
    assert cv.plot().axes[0].get_ylabel() == "mse\n(unit: that of count squared)"


def test_a_probability_beyond_1_is_infinitely_wrong():
    """An identity link leaves [0, 1] for a row that is far from those trained on."""
    data = pd.DataFrame({"x": [0.0, 0, 0, 0, 1, 1, 1, 1, 9], "won": [0, 0, 0, 1, 0, 0, 1, 1, 1]})
    family, folds = mlekit.Bernoulli(p="identity"), [(np.arange(8), [8])]
    with (
        pytest.warns(ConvergenceWarning, match="cross_entropy is not finite in fold 1; log_score is not finite"),
        pytest.warns(RuntimeWarning, match="p is outside its domain in 1 row"),
    ):
        cv = cross_validate("won ~ x", data, family, loss=["cross_entropy", "log_score", "mse"], splitter=folds)
    assert cv.mean[["cross_entropy", "log_score", "mse"]].tolist() == [np.inf, -np.inf, np.inf]
    assert "(x: not finite)" in cv.plot().axes[0].get_title()


@pytest.mark.parametrize("family", ["normal", "poisson"])
def test_cross_entropy_needs_probabilities(family):
    with pytest.raises(ValueError, match=r"cross_entropy is a loss of probabilities.*'bernoulli'"):
        cross_validate("won ~ x", table(), family, loss="cross_entropy")


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        ("msee", "unknown loss 'msee': the losses are mse, .*log_score, deviance"),
        (["mse", "nothing"], "unknown loss 'nothing'"),
        (["mse", "mse"], r"loss names (mse|MSE\(\)) twice"),
        ([], "loss is empty"),
    ],
)
def test_losses_that_are_not(loss, message):
    with pytest.raises(ValueError, match=message):
        cross_validate("y ~ x", table(), loss=loss)


# ------------------------------------------------------------------------------------------------ fits that fail


def test_fits_that_do_not_converge_are_told_of_once_and_in_the_table():
    """Leave either of the two failures out of the training rows, and the others separate."""
    data = pd.DataFrame({"x": np.arange(12.0), "won": [0] * 5 + [1, 0] + [1] * 5})
    with pytest.warns(ConvergenceWarning) as caught:
        cv = cross_validate("won ~ x", data, "bernoulli", k=12, shuffle=False, loss="mse")
    assert len(caught) == 1
    assert "2 of 12 fits are not at the maximum (fold 6, fold 7: " in str(caught[0].message)
    assert "merge levels" in str(caught[0].message)
    assert "stratify=" in str(caught[0].message)
    assert cv.scores["status"].tolist() == ["converged"] * 5 + ["infinite"] * 2 + ["converged"] * 5
    assert "WARNING: 2 of 12 fits are not at the maximum" in str(cv).replace("\n    ", " ")
    assert caught[0].filename == __file__


def test_a_score_that_is_not_finite_is_told_of():
    """Far enough to the left a straight line is below 0, and no count has such a mean."""
    data = pd.DataFrame({"x": [1.0, 2, 3, 4, 5, 6, -10], "count": [1, 3, 2, 5, 4, 7, 0]})
    folds = [(np.arange(6), [6])]
    with (
        pytest.warns(RuntimeWarning, match="mu is outside its domain in 1 row"),
        pytest.warns(ConvergenceWarning, match="log_score is not finite in fold 1") as caught,
    ):
        cv = cross_validate("count ~ x", data, mlekit.Poisson(mu="identity"), loss="log_score", splitter=folds)
    assert sum(issubclass(each.category, ConvergenceWarning) for each in caught) == 1
    assert cv.mean["log_score"] == -np.inf
    assert cv.scores["status"].tolist() == ["converged"]


def test_a_warning_of_several_folds_comes_once():
    def noisy(x):
        warnings.warn("a noise of the user's", UserWarning, stacklevel=1)
        return x

    assert callable(noisy)
    with pytest.warns(UserWarning, match="a noise of the user's") as caught:
        cross_validate("y ~ center(noisy(x))", table(), seed=0)
    assert len([each for each in caught if "in 5 of 5 folds" in str(each.message)]) == 1


def test_what_one_fold_says_twice_is_said_in_one_fold():
    def noisy(x):
        if len(x) == 40 - 10:
            for _ in range(2):
                warnings.warn("a noise of the user's", UserWarning, stacklevel=1)
        return x

    assert callable(noisy)
    folds = [(range(10, 40), range(10)), (range(20), range(20, 40)), (range(20, 40), range(20))]
    with pytest.warns(UserWarning, match=r"in 1 of 3 folds: a noise of the user's"):
        cross_validate("y ~ center(noisy(x))", table(), splitter=folds)


class Sealed(mlekit.Normal):
    """A family that no other process can read."""

    def __setstate__(self, state):
        raise RuntimeError("sealed")


def test_what_other_processes_cannot_read_is_explained():
    with pytest.raises(BrokenProcessPool) as caught:
        cross_validate("y ~ x", table(), Sealed(), n_jobs=2, seed=0)
    assert any("in a module that is imported; n_jobs=1 needs" in note for note in caught.value.__notes__)


class Broken(GenericLikelihood):
    """A density that fails on few rows."""

    params = {"mu": "identity"}

    def logpdf(self, y, mu):
        if y.size in (32, 31):
            raise ZeroDivisionError("no luck")
        return -((y - mu) ** 2)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_what_a_fold_raises_names_the_fold(n_jobs):
    with pytest.raises(ZeroDivisionError, match="no luck") as caught:
        cross_validate("y ~ x", table(), Broken(), loss="log_score", k=5, seed=0, n_jobs=n_jobs)
    assert any("fold 1" in note for note in getattr(caught.value, "__notes__", ())) or n_jobs == 2
    with pytest.raises(ValueError, match=r"fold 1: more coefficients \(3\) than rows \(2\)"):
        cross_validate("y ~ x", table(), splitter=[([0, 1], [2, 3])], n_jobs=n_jobs)


# ------------------------------------------------------------------------------------------------ input that cannot be


@pytest.mark.parametrize(
    ("how", "error", "message"),
    [
        ({"k": 41}, ValueError, "41 folds of 40 rows"),
        ({"k": 1}, ValueError, "at least 2"),
        ({"k": 2.5}, ValueError, "whole number"),
        ({"k": "5"}, ValueError, "whole number"),
        ({"repeats": 0}, ValueError, "repeats must be a whole number from 1"),
        ({"repeats": 1.5}, ValueError, "repeats must be a whole number from 1"),
        ({"seed": -1}, ValueError, "seed must be a whole number"),
        ({"shuffle": "no"}, ValueError, "shuffle must be True or False"),
        ({"seed": "x"}, ValueError, "seed must be a whole number"),
        ({"seed": 1, "shuffle": False}, ValueError, "the seed would do nothing"),
        ({"repeats": 2, "shuffle": False}, ValueError, "repeats would all be the same"),
        ({"groups": [1, 2, 3]}, ValueError, "groups must have one label per row of the data: 3 against 40"),
        ({"groups": "nobody"}, FormulaError, "groups: 'nobody' is neither a column"),
        ({"groups": "g", "k": 5}, ValueError, "5 folds of 4 groups"),
        ({"groups": [np.nan, *range(39)]}, ValueError, "groups: 1 rows have none, the first labelled 0"),
        ({"groups": [None, *"abc" * 13]}, ValueError, "groups: 1 rows have none, the first labelled 0"),
        ({"groups": 3}, ValueError, "groups must be a column's name, or one label per row"),
        ({"groups": pd.Series(range(40), index=range(1, 41))}, ValueError, "must have the same index"),
        ({"groups": "g", "stratify": "won"}, ValueError, "stratify and groups cannot both.*StratifiedGroupKFold"),
        ({"stratify": True}, ValueError, "stratify=True is by a 0/1 response"),
        ({"stratify": "x"}, ValueError, "no stratum has 5 rows.*qcut"),
        ({"splitter": KFold(3), "k": 3}, ValueError, "a splitter says itself how to split: leave out k"),
        ({"splitter": KFold(3), "seed": 1, "repeats": 2}, ValueError, "leave out repeats, seed"),
        ({"splitter": KFold(3), "stratify": "g"}, ValueError, "leave out stratify. One that stratifies is handed"),
        ({"splitter": KFold(2).split(range(40)), "groups": "g"}, ValueError, "fold 1 .* of the group 0 on both sides"),
        ({"splitter": 3}, TypeError, "splitter must have split"),
        ({"splitter": "kfold"}, TypeError, "splitter must have split"),
        ({"splitter": [([0], [99])]}, ValueError, "there are 40 rows"),
        ({"n_jobs": 0}, ValueError, "n_jobs must be a whole number"),
        ({"n_jobs": 1.5}, ValueError, "n_jobs must be a whole number"),
        ({"family": "gauss"}, ValueError, "unknown family"),
        ({"method": "guess"}, ValueError, "guess"),
        ({"folds": 5}, TypeError, "folds"),
    ],
    ids=lambda value: re.sub(r" at 0x\w+", "", str(value)),  # the workers of a parallel run must agree
)
def test_what_cannot_be(how, error, message):
    with pytest.raises(error, match=message):
        cross_validate("y ~ x", table(), **how)


@pytest.mark.parametrize(("option", "package"), [({"n_jobs": 2}, "joblib"), ({"progress": True}, "tqdm")])
def test_extras_that_are_not_installed(monkeypatch, option, package):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name == package:
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r'pip install "mlekit\[(parallel|progress)\]"'):
        cross_validate("y ~ x", table(), **option)
