"""Cross-validation against scikit-learn, statsmodels and the definition."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import special, stats
from sklearn.linear_model import LinearRegression, LogisticRegression, PoissonRegressor
from sklearn.model_selection import (
    KFold,
    LeaveOneOut,
    ShuffleSplit,
    StratifiedKFold,
    TimeSeriesSplit,
    cross_val_score,
)
from statsmodels.stats.outliers_influence import OLSInfluence

import mlekit
from mlekit.crossval import cross_validate

COVARIATES = ["x1", "x2", "x3"]
# Both sides iterate to the last digits (at scikit-learn's tol=1e-10 its own scores are 1e-10 off).
TIGHT = {"tol": 1e-12}
CLOSE = 1e-12


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(7)
    n = 103  # not a multiple of 5
    table = pd.DataFrame(rng.normal(size=(n, 3)), columns=COVARIATES)
    eta = 0.4 + table @ [0.5, -0.3, 0.1]
    table["normal"] = eta + rng.normal(size=n)
    table["poisson"] = rng.poisson(np.exp(eta))
    table["bernoulli"] = (rng.random(n) < special.expit(eta)).astype(int)
    table["group"] = rng.choice(list("abcdefgh"), n)
    return table


PEERS = {
    "normal": (LinearRegression(), {"mse": "neg_mean_squared_error", "mae": "neg_mean_absolute_error"}),
    "poisson": (
        PoissonRegressor(alpha=0, solver="newton-cholesky", tol=1e-14),
        {"mse": "neg_mean_squared_error", "deviance": "neg_mean_poisson_deviance"},
    ),
    "bernoulli": (
        LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-14),
        {"cross_entropy": "neg_log_loss", "mse": "neg_brier_score"},
    ),
}

SPLITTERS = [
    KFold(5),
    KFold(4, shuffle=True, random_state=3),
    StratifiedKFold(3),
    TimeSeriesSplit(4),
    ShuffleSplit(3, test_size=0.3, random_state=0),
]


# ------------------------------------------------------------------------------------------------ scikit-learn


@pytest.mark.parametrize("family", PEERS)
def test_scores_equal_those_of_scikit_learn_on_the_same_folds(data, family):
    estimator, losses = PEERS[family]
    cv = cross_validate(f"{family} ~ x1 + x2 + x3", data, family, loss=list(losses), k=5, seed=11, **TIGHT)
    for loss, scoring in losses.items():
        theirs = -cross_val_score(estimator, data[COVARIATES], data[family], cv=cv.folds, scoring=scoring)
        np.testing.assert_allclose(cv.scores[loss], theirs, rtol=CLOSE)
        assert cv.mean[loss] == pytest.approx(theirs.mean(), rel=CLOSE)
        assert cv.standard_error[loss] == pytest.approx(stats.sem(theirs), rel=1e-6)


@pytest.mark.parametrize("splitter", SPLITTERS, ids=str)
def test_a_splitter_of_scikit_learn(data, splitter):
    cv = cross_validate("bernoulli ~ x1 + x2 + x3", data, "bernoulli", loss="cross_entropy", splitter=splitter, **TIGHT)
    theirs = cross_val_score(
        PEERS["bernoulli"][0], data[COVARIATES], data["bernoulli"], cv=splitter, scoring="neg_log_loss"
    )
    np.testing.assert_allclose(cv.scores["cross_entropy"], -theirs, rtol=CLOSE)
    again = cross_validate(
        "bernoulli ~ x1 + x2 + x3", data, "bernoulli", loss="cross_entropy", splitter=cv.folds, **TIGHT
    )
    pd.testing.assert_frame_equal(again.scores, cv.scores)


def test_leave_one_out_is_press(data):
    """The mean squared error of leave-one-out is PRESS / n: the residuals over 1 - leverage, squared (Allen 1974)."""
    exact = OLSInfluence(sm.OLS(data["normal"], sm.add_constant(data[COVARIATES])).fit()).resid_press
    for how in ({"k": len(data), "shuffle": False}, {"splitter": LeaveOneOut()}):
        cv = cross_validate("normal ~ x1 + x2 + x3", data, **how)
        np.testing.assert_allclose(cv.scores["mse"], exact**2, rtol=1e-12)
        residuals = cv.predictions["observed"] - cv.predictions["predicted"]
        np.testing.assert_allclose(residuals, exact, rtol=1e-12)


# ------------------------------------------------------------------------------------------------ the definition


def test_the_log_score_has_every_parameter_in_it(data):
    cv = cross_validate({"mu": "normal ~ x1", "sigma": "~ x2"}, data, loss="log_score", seed=0, keep_fits=True)
    for fold, fit, score in zip(cv.folds, cv.fits, cv.scores["log_score"], strict=True):
        held = data.iloc[fold.test]
        density = stats.norm.logpdf(held["normal"], fit.predict(held, "mu"), fit.predict(held, "sigma"))
        assert score == pytest.approx(density.mean(), rel=1e-12)


@pytest.mark.parametrize(
    ("family", "density"),
    [
        ("poisson", lambda y, fit, held: stats.poisson.logpmf(y, fit.predict(held))),
        ("bernoulli", lambda y, fit, held: stats.bernoulli.logpmf(y, fit.predict(held))),
        ("exponential", lambda y, fit, held: stats.expon.logpdf(y, scale=fit.predict(held))),
    ],
)
def test_log_scores_have_all_constants(data, family, density):
    table = data.assign(exponential=np.exp(data["normal"]))
    cv = cross_validate(f"{family} ~ x1", table, family, loss="log_score", seed=0, keep_fits=True)
    for fold, fit, row in zip(cv.folds, cv.fits, cv.scores.itertuples(), strict=True):
        for score, rows in ((row.log_score, fold.test), (row.train_log_score, fold.train)):
            side = table.iloc[rows]
            assert score == pytest.approx(density(side[family], fit, side).mean(), rel=1e-12)


def test_train_scores_and_fits_are_those_of_a_fit_to_the_training_rows(data):
    cv = cross_validate("normal ~ x1 + C(group)", data, loss="mse", seed=2, keep_fits=True)
    for fold, fit, row in zip(cv.folds, cv.fits, cv.scores.itertuples(), strict=True):
        alone = mlekit.fit("normal ~ x1 + C(group)", data.iloc[fold.train])
        pd.testing.assert_series_equal(fit.params, alone.params, rtol=1e-12)
        assert row.train_mse == pytest.approx(np.mean(alone.resid_response**2), rel=1e-12)
        held = data.iloc[fold.test]
        assert row.mse == pytest.approx(np.mean((held["normal"] - alone.predict(held)) ** 2), rel=1e-12)
        pd.testing.assert_series_equal(fit.predict(held), alone.predict(held), rtol=1e-12)
        assert row.rows == fold.test.size
        assert row.status == alone.status.name.lower()


def test_no_fits_are_kept_unless_asked_for(data):
    assert cross_validate("normal ~ x1", data, seed=0).fits == ()


def test_predictions_are_those_of_the_rows_held_out(data):
    table = data.set_axis([f"row {i}" for i in range(len(data))])
    cv = cross_validate("poisson ~ x1", table, "poisson", seed=0, repeats=2, keep_fits=True)
    assert len(cv.predictions) == 2 * len(table)
    assert cv.predictions.index.tolist() == [*table.index, *table.index]
    assert cv.predictions["row"].tolist() == [*range(len(table)), *range(len(table))]
    np.testing.assert_array_equal(cv.predictions["observed"], np.tile(table["poisson"], 2))
    for fold, fit, row in zip(cv.folds, cv.fits, cv.scores.itertuples(), strict=True):
        ours = cv.predictions[(cv.predictions["repeat"] == row.repeat) & (cv.predictions["fold"] == row.fold)]
        pd.testing.assert_series_equal(ours["predicted"], fit.predict(table.iloc[fold.test]), check_names=False)


def test_repeats_shuffle_anew_and_are_averaged(data):
    cv = cross_validate("normal ~ x1", data, seed=5, repeats=3)
    assert cv.scores[["repeat", "fold"]].to_numpy().tolist() == [[r, f] for r in (1, 2, 3) for f in range(1, 6)]
    assert len({tuple(fold.test) for fold in cv.folds}) == 15
    assert cv.mean["mse"] == pytest.approx(cv.scores["mse"].mean())
    errors = cv.scores.groupby("repeat")["mse"].sem()
    assert cv.standard_error["mse"] == pytest.approx(np.sqrt((errors**2).mean()))
    once = cross_validate("normal ~ x1", data, seed=5)
    pd.testing.assert_frame_equal(once.scores, cv.scores[:5])


def test_the_seed_that_was_drawn_repeats_the_folds(data):
    first = cross_validate("normal ~ x1", data)
    assert isinstance(first.seed, int)
    again = cross_validate("normal ~ x1", data, seed=first.seed)
    pd.testing.assert_frame_equal(first.scores, again.scores)
    other = cross_validate("normal ~ x1", data)
    assert other.seed != first.seed
    assert cross_validate("normal ~ x1", data, shuffle=False).seed is None


@pytest.mark.parametrize("family", ["normal", "poisson"])
def test_the_answer_does_not_depend_on_the_number_of_jobs(data, family):
    def run(n_jobs):
        return cross_validate(
            f"{family} ~ x1 + C(group)",
            data,
            family,
            loss=["mse", "log_score"],
            seed=0,
            n_jobs=n_jobs,
            keep_fits=True,
        )

    one, two = run(1), run(2)
    pd.testing.assert_frame_equal(one.scores, two.scores, check_exact=True)
    pd.testing.assert_frame_equal(one.predictions, two.predictions, check_exact=True)
    for a, b in zip(one.fits, two.fits, strict=True):
        pd.testing.assert_series_equal(a.params, b.params, check_exact=True)
        pd.testing.assert_series_equal(a.predict(data), b.predict(data), check_exact=True)


# ------------------------------------------------------------------------------------------------ what is shown


def test_the_summary_says_what_is_better_and_how_it_was_split(data):
    cv = cross_validate("bernoulli ~ x1", data, "bernoulli", loss=["mse", "cross_entropy", "log_score"], seed=9)
    text = str(cv.summary())
    assert "mse, cross_entropy: smaller is better." in text
    assert "log_score: larger is better." in text
    assert "5 folds, shuffled with seed 9" in text.replace("\n    ", " ")
    assert f"{cv.mean['mse']:.5g}" in text
    assert "fold 5" in text
    assert str(cv) == repr(cv) == text
    assert "<table" in cv._repr_html_()


def test_many_losses_stand_in_two_tables(data):
    losses = ["mse", "mae", "rmse", "log_score"]
    cv = cross_validate("normal ~ x1", data, loss=losses, seed=9)
    held_out, trained_on = cv.summary().tables
    assert [cell.data for cell in held_out[0]] == ["", "rows", *losses]
    assert [cell.data for cell in trained_on[0]] == ["", *(f"train_{loss}" for loss in losses)]
    assert max(map(len, str(cv).splitlines())) <= 100
    for table in (held_out, trained_on):
        for column, cell in zip(table[0][-4:], table[-2][-4:], strict=True):
            assert float(cell.data) == pytest.approx(cv.scores[column.data].mean(), rel=1e-4)


def test_a_formula_is_not_read_as_html(data):
    assert "x1<x2" not in cross_validate("normal ~ I(x1<x2)", data, seed=0)._repr_html_()


def test_many_folds_are_summed_up(data):
    text = str(cross_validate("normal ~ x1", data, k=30, seed=0).summary())
    assert "fold 30" not in text
    assert "smallest" in text
    assert "largest" in text


@pytest.mark.parametrize("loss", ["mse", ["mse", "mae", "log_score", "deviance"]])
def test_the_figure_shows_every_score_of_both_sides(data, loss):
    cv = cross_validate("normal ~ x1", data, loss=loss, seed=0)
    drawn = [axes for axes in cv.plot().axes if axes.axison]
    assert len(drawn) == len(cv.better)
    for axes, label in zip(drawn, cv.better, strict=True):
        held, _, trained, _ = axes.get_lines()
        assert held.get_ydata().tolist() == cv.scores[label].tolist()
        assert trained.get_ydata().tolist() == cv.scores[f"train_{label}"].tolist()
        assert axes.get_ylabel().startswith(label)


def test_a_figure_of_one_fold_and_of_names_that_are_long_or_not_for_tex(data):
    name = "cost in $ of a thing, in $ of a year that is long past and of no interest to anyone who reads this"
    table = data.assign(**{name: data["normal"]})
    figure = cross_validate(f"Q('{name}') ~ x1", table, splitter=[(range(50), range(50, 103))]).plot()
    figure.draw_without_rendering()
    (axes,) = figure.axes
    low, high = axes.get_xlim()
    assert [tick for tick in axes.get_xticks() if low <= tick <= high] == [1]
    width, height = figure.get_window_extent().size
    for text in (axes.yaxis.label, figure._suptitle):
        box = text.get_window_extent()
        assert box.x0 >= 0
        assert box.y0 >= 0
        assert box.x1 <= width
        assert box.y1 <= height
    assert axes.get_ylabel().count(r"\$") == name.count("$") - 1  # the middle is left out


def test_a_bar_on_long_runs_only(data, capsys):
    cross_validate("normal ~ x1", data, seed=0, progress=True)
    assert "fold" not in capsys.readouterr().err  # it was over within a second
