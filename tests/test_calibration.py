"""Calibration: against scikit-learn, statsmodels and scipy."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import stats
from sklearn.calibration import calibration_curve
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import brier_score_loss

import mlekit
from mlekit.calibration import Calibration
from mlekit.diagnostics import NotGiven

RNG = np.random.default_rng(5)
N = 500
DATA = pd.DataFrame({"x": RNG.normal(size=N), "w": RNG.integers(0, 4, N), "n": RNG.integers(1, 6, N)})
DATA["p"] = np.clip(np.round(1 / (1 + np.exp(-1.3 * DATA.x)), 2), 0.01, 0.99)  # with ties, and too extreme
DATA["b"] = (RNG.uniform(size=N) < 1 / (1 + np.exp(0.2 - DATA.x))).astype(int)
DATA["k"] = RNG.binomial(DATA.n, DATA.p)
DATA["miss"] = DATA.n - DATA.k
SUMS = ("intercept", "intercept_se", "slope", "slope_se", "brier", "ece")


def sums(found):
    return [getattr(found, name) for name in SUMS]


@pytest.mark.parametrize("strategy", ["quantile", "uniform"])
def test_bins_are_those_of_scikit_learn(strategy):
    found = Calibration.of(DATA.b, DATA.p, bins=7, strategy=strategy)
    observed, predicted = calibration_curve(DATA.b, DATA.p, n_bins=7, strategy=strategy)
    assert found.table["observed"].to_numpy() == pytest.approx(observed, abs=1e-12)
    assert found.table["predicted"].to_numpy() == pytest.approx(predicted, abs=1e-12)
    assert found.ece == pytest.approx(found.table["rows"] @ np.abs(observed - predicted) / N, abs=1e-12)
    assert found.table["rows"].sum() == N


@pytest.mark.parametrize("bins", [2, 3, 10])
def test_few_probabilities_are_as_many_bins(bins):
    p = np.repeat([0.0, 0.25, 1.0], [70, 20, 10])
    y = np.tile([0, 0, 1, 0, 0], 20)
    found = Calibration.of(y, p, bins=bins)
    observed, predicted = calibration_curve(y, p, n_bins=bins, strategy="quantile")
    assert found.table["observed"].to_numpy() == pytest.approx(observed, abs=1e-12)
    assert found.table["predicted"].to_numpy() == pytest.approx(predicted, abs=1e-12)


def test_intervals_of_shares_are_exact():
    table = Calibration.of(DATA.b, DATA.p, alpha=0.1).table
    for row in table.itertuples():
        theirs = stats.binomtest(round(row.observed * row.rows), int(row.rows)).proportion_ci(0.9, "exact")
        assert (row.lower, row.upper) == pytest.approx((theirs.low, theirs.high), rel=1e-9)
    alone = Calibration.of([0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9], bins=2).table
    assert (alone["lower"][0], alone["upper"][1]) == (0.0, 1.0)
    assert alone["upper"][0] == pytest.approx(1 - 0.025**0.5)


@pytest.mark.parametrize("weights", [None, "w"])
def test_scores_and_the_curve_are_those_of_scikit_learn(weights):
    w = np.ones(N) if weights is None else DATA.w.to_numpy(float)
    found = Calibration.of(DATA.b, DATA.p, w)
    assert found.brier == pytest.approx(brier_score_loss(DATA.b, DATA.p, sample_weight=w), abs=1e-12)
    used = w > 0
    theirs = IsotonicRegression().fit(DATA.p[used], DATA.b[used], sample_weight=w[used])
    assert found.curve["observed"].to_numpy() == pytest.approx(theirs.predict(found.curve["predicted"]), abs=1e-12)


@pytest.mark.parametrize("weights", [None, "w"])
def test_intercept_and_slope_are_those_of_a_logistic_regression(weights):
    w = np.ones(N) if weights is None else DATA.w.to_numpy(float)
    found = Calibration.of(DATA.b, DATA.p, w)
    odds = np.log(DATA.p / (1 - DATA.p)).to_numpy()
    kinds = {"family": sm.families.Binomial(), "freq_weights": w}
    sloped = sm.GLM(DATA.b, np.column_stack([odds, np.ones(N)]), **kinds).fit(tol=1e-14)
    level = sm.GLM(DATA.b, np.ones(N), offset=odds, **kinds).fit(tol=1e-14)
    assert (found.slope, found.slope_se) == pytest.approx((sloped.params["x1"], sloped.bse["x1"]), rel=1e-9)
    assert (found.intercept, found.intercept_se) == pytest.approx((level.params.iloc[0], level.bse.iloc[0]), rel=1e-9)


def test_a_weight_is_a_number_of_rows_and_a_trial_an_outcome():
    weighted = mlekit.fit("b ~ x", DATA, "bernoulli", weights="w").calibration(bins=5)
    long = mlekit.fit("b ~ x", DATA.loc[DATA.index.repeat(DATA.w)], "bernoulli").calibration(bins=5)
    assert sums(weighted) == pytest.approx(sums(long), abs=1e-9)
    assert weighted.table.to_numpy() == pytest.approx(long.table.to_numpy(), abs=1e-9)
    rows = pd.concat(
        [DATA.loc[DATA.index.repeat(DATA.k)].assign(b=1), DATA.loc[DATA.index.repeat(DATA.miss)].assign(b=0)]
    )
    trials = mlekit.fit("cbind(k, miss) ~ x", DATA, "binomial").calibration(bins=5)
    single = mlekit.fit("b ~ x", rows, "bernoulli").calibration(bins=5)
    assert sums(trials) == pytest.approx(sums(single), abs=1e-9)
    assert trials.table.to_numpy() == pytest.approx(single.table.to_numpy(), abs=1e-9)


def test_a_logit_fit_is_calibrated_on_its_own_rows_and_says_so():
    fit = mlekit.fit("b ~ x", DATA[:250], "bernoulli")
    found = fit.calibration()
    assert (found.intercept, found.slope) == pytest.approx((0, 1), abs=1e-6)
    assert "on the rows of the fit" in found.notes[0]
    assert "On the rows of the fit" in str(found)
    new = fit.calibration(DATA[250:])
    assert new.notes == ()
    assert new.brier == pytest.approx(brier_score_loss(DATA.b[250:], fit.predict(DATA[250:])), abs=1e-12)


def test_log_odds_have_their_digits_where_probabilities_round_to_one():
    """Of log odds beyond 37 a float has the probability 1, whose log odds are infinite."""
    fit = mlekit.fit("b ~ x", DATA, "bernoulli")
    new = pd.DataFrame({"x": [-40.0, 40.0, 45.0, -45.0, 30.0, -30.0], "b": [0, 1, 1, 0, 0, 1]})
    found = fit.calibration(new, bins=1)
    odds = fit.predict(new, "linear").to_numpy()
    assert odds.max() > 37
    slope = (
        sm.GLM(new.b, np.column_stack([odds, np.ones(6)]), family=sm.families.Binomial()).fit(tol=1e-14).params["x1"]
    )
    assert found.slope == pytest.approx(slope, rel=1e-8)


def test_what_has_no_slope():
    apart = Calibration.of([0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9])
    assert np.isnan([apart.slope, apart.slope_se]).all()
    assert np.isfinite([apart.intercept, apart.intercept_se]).all()
    certain = Calibration.of([0, 1, 0, 1], [0.0, 1.0, 0.5, 0.4])
    assert np.isnan(sums(certain)[:4]).all()
    assert certain.brier == pytest.approx((0.25 + 0.36) / 4)
    alike = Calibration.of([0, 1, 1], [0.4] * 3)
    assert np.isnan(alike.slope)
    assert alike.table[["from", "to", "rows"]].to_numpy().tolist() == [[0.4, 0.4, 3.0]]
    for found in (apart, certain, alike):
        found.plot().savefig(io.BytesIO())


def test_what_is_refused():
    with pytest.raises(NotGiven, match="calibration is of outcomes of yes or no"):
        mlekit.fit("k ~ x", DATA, "poisson").plot_calibration()
    for bins in (0, 2.5, True):
        with pytest.raises(ValueError, match="bins must be a whole number, at least 1"):
            Calibration.of(DATA.b, DATA.p, bins=bins)
    with pytest.raises(ValueError, match="strategy must be one of 'quantile', 'uniform'"):
        Calibration.of(DATA.b, DATA.p, strategy="equal")
    with pytest.raises(ValueError, match="alpha must be between 0 and 1"):
        Calibration.of(DATA.b, DATA.p, alpha=95)


def test_the_figure():
    fit = mlekit.fit("b ~ x", DATA[:250], "bernoulli")
    new, found = DATA[250:], fit.calibration(DATA[250:], 5)
    drawn = fit.plot_calibration(new, 5)
    above, below = drawn.axes
    assert above.containers[0].lines[0].get_xydata() == pytest.approx(found.table[["predicted", "observed"]].to_numpy())
    assert above.containers[0].lines[2][0].get_segments()[0][:, 1] == pytest.approx(
        found.table.loc[0, ["lower", "upper"]]
    )
    assert sum(bar.get_height() for bar in below.patches) == pytest.approx(2 * new.b.sum() - len(new))
    assert f"slope {found.slope:.3f}" in drawn.get_suptitle()
    drawn.savefig(io.BytesIO())
