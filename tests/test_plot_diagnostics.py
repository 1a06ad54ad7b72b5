"""Figures of residuals, the envelope beside them, and rootograms."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import mlekit
from mlekit.diagnostics import NotGiven
from mlekit.envelopes import count_table, envelope
from tests.sample import Gumbel

RNG = np.random.default_rng(9)
N = 80
DATA = pd.DataFrame({"x": RNG.normal(size=N), "w": RNG.integers(1, 4, N)})
DATA["k"] = RNG.poisson(np.exp(0.5 + 0.4 * DATA.x))
DATA["c"] = RNG.negative_binomial(1, 1 / (1 + 30 * np.exp(0.5 * DATA.x)))
DATA["y"] = 1 + DATA.x + RNG.normal(size=N)
DATA["t"] = RNG.exponential(np.exp(DATA.x))
DATA["level"] = pd.cut(DATA.y, [-np.inf, 0.5, 2, np.inf], labels=["low", "mid", "high"])
DATA.index = [f"row{i}" for i in range(N)]


def texts(figure):
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


# ------------------------------------------------------------------------------------ envelopes


def test_an_envelope_of_refits_is_that_of_least_squares():
    """Two rows and one coefficient: residuals in units of sigma are -1 and 1, whatever is drawn."""
    fit = mlekit.fit("y ~ 1", {"y": [0.0, 1.0]})
    found = envelope(fit._results, 19, 0)
    assert found.text == "95 % of 19 simulated fits"
    assert found.low == pytest.approx([-1, 1])
    assert found.high == pytest.approx([-1, 1])


def test_an_envelope_of_many_rows_is_that_of_order_statistics():
    """The k-th of n uniform numbers is beta distributed; coefficients take little from 400 rows."""
    data = {"y": RNG.normal(size=400)}
    found = envelope(mlekit.fit("y ~ 1", data)._results, 999, 0)
    k = np.arange(1, 401)
    for end, share in ((found.low, 0.025), (found.high, 0.975)):
        expected = stats.norm.ppf(stats.beta.ppf(share, k, 401 - k))
        assert np.abs(end - expected)[20:-20].max() < 0.08


def test_the_envelope_holds_a_right_model_and_not_a_wrong_one():
    right = mlekit.fit("c ~ x", DATA, "negative_binomial")
    wrong = mlekit.fit("c ~ x", DATA, "poisson")
    outside = []
    for fit in (right, wrong):
        band, values = envelope(fit._results, 99, 1), np.sort(fit.resid_quantile(1))
        outside.append(((values < band.low) | (values > band.high)).mean())
    assert outside[0] < 0.2
    assert outside[1] > 0.5


def test_what_is_not_fitted_again():
    fit = mlekit.fit("Surv(t, t < 2) ~ x", DATA, mlekit.Censored("exponential"))
    assert envelope(fit._results, 99, 0).text == "95 % of 99 normal samples"
    own = mlekit.fit("y ~ x", DATA, Gumbel)  # each residual is an integral
    assert envelope(own._results, 99, 0).text == "95 % of 99 normal samples"
    assert envelope(own._results, 19, 0).text == "95 % of 19 simulated fits"
    many = mlekit.Model.from_arrays(RNG.normal(size=100_000), np.ones((100_000, 1))).fit()
    assert envelope(many._results, 99, 0).text == "95 % of 50 normal samples"
    for simulations in (18, 99.0, True):
        with pytest.raises(ValueError, match="a whole number, at least 19"):
            fit.plot_diagnostics(simulations=simulations)


# ------------------------------------------------------------------------------------ figures


@pytest.mark.parametrize(
    ("formula", "family", "label"),
    [
        ("k ~ x", "poisson", "linear predictor, log(mu)"),
        ("y ~ x", "normal", "fitted mu"),
        ("y ~ x", Gumbel, "fitted mu"),
        ("level ~ x", "ordered_logit", "linear predictor, standard(location)"),
        ("Surv(t, t < 2) ~ x", mlekit.Censored("weibull"), "linear predictor, log(scale)"),
        ("cbind(k, c) ~ x", "binomial", "linear predictor, logit(p)"),
    ],
    ids=str,
)
def test_four_panels(formula, family, label):
    fit = mlekit.fit(formula, DATA, family)
    drawn = fit.plot_diagnostics(simulations=19)
    assert [axes.get_title() for axes in drawn.axes] == ["Residuals", "Normal quantiles", "Scale", "Leverage"]
    assert [axes.get_xlabel() for axes in drawn.axes] == [label, "quantile of the normal", label, "leverage"]
    points = drawn.axes[0].lines[0].get_xydata()
    assert points[:, 0] == pytest.approx(fit._results._eta[0])
    assert drawn.axes[1].lines[1].get_ydata() == pytest.approx(np.sort(points[:, 1]))
    assert drawn.axes[3].lines[0].get_xdata() == pytest.approx(fit.leverage.to_numpy())
    assert drawn.axes[2].lines[0].get_ydata() == pytest.approx(np.sqrt(np.abs(points[:, 1])))
    drawn.savefig(io.BytesIO())
    again = fit.plot_diagnostics(simulations=19).axes[0].lines[0].get_xydata()
    assert again == pytest.approx(points)
    other = fit.plot_diagnostics(seed=1, simulations=19).axes[0].lines[0].get_xydata()
    drawn_at_random = family not in ("normal", Gumbel)
    assert np.allclose(other, points) != drawn_at_random


def test_the_rows_that_stand_out_are_named():
    data = DATA.assign(x=DATA.x.where(DATA.index != "row5", 6.0), y=DATA.y.where(DATA.index != "row7", 30.0))
    data = data.rename(index={"row7": "$7"})
    fit = mlekit.fit("y ~ x", data)
    drawn = fit.plot_diagnostics(simulations=19)
    for axes in drawn.axes[:3]:
        assert r"\$7" in [text.get_text() for text in axes.texts]
    assert len(texts(drawn)) == 12
    assert fit.cooks_distance.idxmax().replace("$", r"\$") in [text.get_text() for text in drawn.axes[3].texts]
    assert legend(drawn) == ["expected if the model is right", "local regression", "95 % of 19 simulated fits"]
    drawn.savefig(io.BytesIO())


def test_few_places_have_no_regression_and_many_rows_are_not_all_drawn():
    drawn = mlekit.fit("y ~ 1", DATA).plot_diagnostics(simulations=19)
    assert "local regression" not in legend(drawn)
    n = 6000
    data = pd.DataFrame({"x": np.arange(n) / n, "y": RNG.normal(size=n)})
    data.loc[3456, "y"] = 50.0
    drawn = mlekit.fit("y ~ x", data).plot_diagnostics(simulations=19)
    shown = drawn.axes[0].lines[0].get_ydata()
    assert f"{shown.size} of 6000 rows drawn" in drawn.get_suptitle()
    assert shown.max() == pytest.approx(drawn.axes[1].lines[1].get_ydata().max())
    assert "3456" in texts(drawn)
    drawn.savefig(io.BytesIO())


def test_a_row_of_leverage_one():
    fit = mlekit.fit("y ~ x + alone", DATA.assign(alone=(np.arange(N) == 7).astype(float)))
    fit.plot_diagnostics(simulations=19).savefig(io.BytesIO())


def test_what_has_no_figure():
    with pytest.raises(NotGiven, match="have no order"):
        mlekit.fit("level ~ x", DATA.assign(level=DATA.level.astype(str)), "multinomial_logit").plot_diagnostics()
    for formula, family in (("y ~ x", "normal"), ("level ~ x", "ordered_logit"), ("cbind(k, c) ~ x", "binomial")):
        with pytest.raises(NotGiven, match="a rootogram is of counts"):
            mlekit.fit(formula, DATA, family).plot_rootogram()


# ------------------------------------------------------------------------------------ rootograms


def test_counts_observed_and_expected():
    fit = mlekit.fit("k ~ x", DATA, "poisson")
    table = count_table(fit._results)
    mu = fit.fittedvalues.to_numpy()
    assert (table["first"] == table["last"]).all()
    assert table["observed"].tolist() == np.bincount(DATA.k, minlength=len(table)).tolist()
    expected = stats.poisson.pmf(table["first"].to_numpy()[:, None], mu).sum(axis=1)
    assert table["expected"].to_numpy() == pytest.approx(expected, rel=1e-9)
    weighted = mlekit.fit("k ~ x", DATA, "poisson", weights="w")
    repeated = mlekit.fit("k ~ x", DATA.loc[DATA.index.repeat(DATA.w)], "poisson")
    found, wanted = (count_table(each._results).to_numpy() for each in (weighted, repeated))
    assert found == pytest.approx(wanted, rel=1e-7)


def test_many_counts_are_put_together():
    fit = mlekit.fit("c ~ x", DATA, "negative_binomial")
    table = count_table(fit._results)
    assert len(table) <= 40
    assert table["observed"].sum() == N
    assert N - 0.1 < table["expected"].sum() < N
    assert (table["first"].to_numpy()[1:] == table["last"].to_numpy()[:-1] + 1).all()
    for i in (0, 3):
        low, high = table.loc[i, ["first", "last"]]
        assert table.loc[i, "observed"] == DATA.c.between(low, high).sum()


def test_bars_hang_from_what_is_expected():
    for formula, family in (("k ~ x", "poisson"), ("c ~ x", "negative_binomial"), ("k ~ x", mlekit.Hurdle("poisson"))):
        fit = mlekit.fit(formula, DATA, family)
        drawn, table = fit.plot_rootogram(), count_table(fit._results)
        bars = drawn.axes[0].patches
        assert [bar.get_height() for bar in bars] == pytest.approx(np.sqrt(table["observed"]).tolist())
        tops = [bar.get_y() + bar.get_height() for bar in bars]
        assert tops == pytest.approx(np.sqrt(table["expected"].clip(lower=0)).tolist())
        assert drawn.axes[0].get_ylim()[0] < min(bar.get_y() for bar in bars)
        drawn.savefig(io.BytesIO())
