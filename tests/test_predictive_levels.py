"""Distributions of a new response that has two columns, or is one of levels: against scipy, draws and differences."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import special, stats

import mlekit
from mlekit.families.successes import Successes
from mlekit.level_predictions import level_range, level_sets

RNG = np.random.default_rng(8)
N = 90
DATA = pd.DataFrame({"x": RNG.normal(size=N), "n": RNG.integers(0, 12, N)})
DATA["k"] = RNG.binomial(DATA.n, special.expit(0.3 + DATA.x))
DATA["miss"] = DATA.n - DATA.k
DATA["level"] = pd.cut(DATA.x + RNG.logistic(size=N), [-9, -1, 0.5, 9], labels=["low", "mid", "high"])
DATA["kind"] = np.asarray(DATA.level).astype(object)
NEW = pd.DataFrame({"x": [0.0, 1.2, np.nan, -2.0], "n": [4, 0, 5, 250]}, index=list("abcd"))
KNOWN = ["a", "b", "d"]


@pytest.fixture(scope="module")
def binomial():
    return mlekit.fit("cbind(k, miss) ~ x", DATA, "binomial")


@pytest.fixture(scope="module")
def ordered():
    return mlekit.fit("level ~ x", DATA, "ordered_logit")


@pytest.fixture(scope="module")
def unordered():
    return mlekit.fit("kind ~ x", DATA, "multinomial_logit")


# ------------------------------------------------------------------------------------ successes among trials


def test_successes_are_those_of_scipy():
    trials = np.array([1.0, 7, 40, 400, 0, 10**6])[:, None]
    p = np.array([1e-12, 0.02, 0.5, 0.97])
    y = np.floor(trials * np.array([0, 0.3, 0.5, 0.99, 1]))[:, :, None]
    y, p, trials = (a.ravel() for a in np.broadcast_arrays(y, p, trials[:, :, None]))
    family, theirs = Successes(), stats.binom(trials, p)
    assert family.cdf(y, p, trials) == pytest.approx(theirs.cdf(y), rel=1e-12, abs=1e-300)
    assert np.exp(family.logsf(y, p, trials)) == pytest.approx(theirs.sf(y), rel=1e-11, abs=1e-300)
    assert family.logpdf(y, p, trials) == pytest.approx(theirs.logpmf(y), rel=1e-9, abs=1e-9)
    for share in (1e-9, 0.025, 0.5, 0.975, 1.0):
        assert family.ppf(np.full(y.shape, share), p, trials).tolist() == theirs.ppf(share).tolist()
    assert np.isneginf(family.logpdf(np.array([3.0]), np.array([0.5]), np.array([2.0])))[0]
    assert family.cdf(np.array([-1.0, 2.5, np.nan]), 0.5, np.full(3, 2.0)).tolist() == pytest.approx(
        [0, 1, np.nan], nan_ok=True
    )


def test_probabilities_and_quantiles_of_successes(binomial):
    p = binomial.predict(NEW)[KNOWN]
    theirs = stats.binom(NEW.n[KNOWN], p)
    for what, function in (("pmf", theirs.pmf), ("cdf", theirs.cdf), ("sf", theirs.sf)):
        table = binomial.predict(NEW, what, at=[0, 2], trials="n")
        assert table.index.tolist() == list("abcd")
        assert table.loc["c"].isna().all()
        for at in (0, 2):
            assert table.loc[KNOWN, at].to_numpy() == pytest.approx(function(at), rel=1e-10, abs=1e-15)
    assert binomial.predict(NEW, "quantile", q=0.9, trials="n")[KNOWN].tolist() == theirs.ppf(0.9).tolist()
    for trials in (NEW.n, NEW.n.to_numpy(), NEW.n.tolist()):
        assert binomial.predict(NEW, "pmf", at=1, trials=trials)["a"] == pytest.approx(stats.binom.pmf(1, 4, p["a"]))
    assert binomial.predict(NEW, "pmf", at=1, trials=3)["d"] == pytest.approx(stats.binom.pmf(1, 3, p["d"]))


def test_the_rows_of_the_fit_have_their_trials(binomial):
    found = binomial.predict(what="pmf", at=3)
    assert found.to_numpy() == pytest.approx(stats.binom.pmf(3, DATA.n, binomial.predict()), rel=1e-10, abs=1e-15)
    frame = binomial.get_prediction().summary_frame()
    assert frame["trials"].tolist() == DATA.n.tolist()
    assert (frame["obs_ci_upper"] <= DATA.n).all()


def test_an_interval_of_successes_is_that_of_the_averaged_distribution(binomial):
    """Beside a distribution function averaged by scipy's quadrature over the normal linear predictor."""
    frame = binomial.get_prediction(NEW, trials="n").summary_frame()
    assert frame.loc["c"].isna().all()
    assert frame.loc["b", ["obs_ci_lower", "obs_ci_upper"]].tolist() == [0, 0]
    z = np.linspace(-8, 8, 4001)
    weight = stats.norm.pdf(z) / stats.norm.pdf(z).sum()
    for row in ("a", "d"):
        p = special.expit(frame.loc[row, "linear"] + frame.loc[row, "linear_se"] * z)
        counts = np.arange(NEW.n[row] + 1)
        average = (stats.binom.cdf(counts[:, None], NEW.n[row], p) * weight).sum(axis=1)
        ends = [int(np.argmax(average >= share)) for share in (0.025, 0.975)]
        assert frame.loc[row, ["obs_ci_lower", "obs_ci_upper"]].tolist() == ends


def test_new_rows_do_not_say_their_trials(binomial):
    for call in (
        lambda: binomial.predict(NEW, "cdf", at=0),
        lambda: binomial.get_prediction(NEW).summary_frame(obs=True),
    ):
        with pytest.raises(ValueError, match="which new rows do not say: pass trials="):
            call()
    assert "obs_ci_lower" not in binomial.get_prediction(NEW).summary_frame()
    with pytest.raises(ValueError, match=r"trials are whole numbers, not 2\.5"):
        binomial.get_prediction(NEW, trials=2.5)
    with pytest.raises(ValueError, match="trials are whole numbers, not -1"):
        binomial.predict(NEW, "pmf", at=0, trials=-1)
    with pytest.raises(ValueError, match="'m' is neither a column"):
        binomial.predict(NEW, "pmf", at=0, trials="m")
    with pytest.raises(ValueError, match="what='mean' takes no trials="):
        binomial.predict(NEW, trials=3)
    with pytest.raises(ValueError, match="2 against 4 rows"):
        binomial.predict(NEW, "pmf", at=0, trials=[1, 2])
    missing = binomial.get_prediction(NEW, trials=[4, np.nan, 5, 6]).summary_frame()
    assert missing["obs_ci_lower"].isna().tolist() == [False, True, True, False]
    assert missing["mean"].isna().tolist() == [False, False, True, False]


# ------------------------------------------------------------------------------------ levels


def test_probabilities_of_levels_are_their_distribution(ordered, unordered):
    table = ordered.predict(NEW, "probabilities")
    assert ordered.predict(NEW, "pmf", at="mid")[KNOWN].to_numpy() == pytest.approx(table["mid"][KNOWN].to_numpy())
    pd.testing.assert_frame_equal(ordered.predict(NEW, "pmf", at=["low", "mid", "high"]), table)
    cdf, sf = (
        ordered.predict(NEW, "cdf", at=["low", "mid", "high"]),
        ordered.predict(NEW, "sf", at=["low", "mid", "high"]),
    )
    np.testing.assert_allclose(cdf, table.cumsum(axis=1), rtol=1e-14)
    np.testing.assert_allclose(sf, 1 - table.cumsum(axis=1), rtol=1e-13, atol=1e-15)
    pd.testing.assert_series_equal(
        unordered.predict(NEW, "pmf", at="high"), unordered.predict(NEW, "probabilities")["high"], check_names=False
    )


def test_quantiles_of_ordered_levels(ordered):
    found = ordered.predict(NEW, "quantile", q=[0.1, 0.5, 0.99])
    cumulated = ordered.predict(NEW, "probabilities").loc[KNOWN].cumsum(axis=1)
    for q in (0.1, 0.5, 0.99):
        assert found.loc[KNOWN, q].tolist() == (cumulated >= q).idxmax(axis=1).tolist()
    assert found.loc["c"].isna().all()


def test_what_makes_no_sense_of_levels(ordered, unordered):
    for what in ("quantile", "cdf", "sf"):
        with pytest.raises(ValueError, match=f"have no order, so there is no {what}: what='pmf' has"):
            unordered.predict(NEW, what, q=0.5)
    with pytest.raises(ValueError, match="'huge' is no level of the response: those are 'low', 'mid', 'high'"):
        ordered.predict(NEW, "pmf", at="huge")
    with pytest.raises(ValueError, match="have no density"):
        ordered.predict(NEW, "pdf", at="low")
    with pytest.raises(ValueError, match="what='quantile' takes q=, a share"):
        ordered.predict(NEW, "quantile", at="low")
    with pytest.raises(ValueError, match=r"q are shares of a distribution, from 0 to 1, not 1\.5"):
        ordered.predict(NEW, "quantile", q=1.5)
    with pytest.raises(ValueError, match="trials= goes with family 'binomial'"):
        ordered.get_prediction(NEW, trials=3)


@pytest.mark.parametrize("name", ["ordered", "unordered"])
def test_standard_errors_of_probabilities_are_those_of_differences(name, request):
    fit = request.getfixturevalue(name)
    frame = fit.get_prediction(NEW).summary_frame()
    table = fit.predict(NEW, "probabilities").loc[KNOWN]
    beta, cov, h = fit.params.to_numpy(), fit.cov_params().to_numpy(), 1e-5
    results = fit._results
    rows = results.model.rows(NEW)

    def at(b):
        return results.model.family.probabilities(*rows.linear(b, results.model.design.slices))

    slopes = np.stack([(at(beta + h * e) - at(beta - h * e)) / (2 * h) for e in np.eye(beta.size)])
    for code, level in enumerate(("high", "low", "mid") if name == "unordered" else ("low", "mid", "high")):
        p = table[level].to_numpy()
        se = np.sqrt(np.einsum("pn,pq,qn->n", slopes[:, code], cov, slopes[:, code]))
        assert frame.loc[KNOWN, level].to_numpy() == pytest.approx(p, rel=1e-13)
        assert frame.loc[KNOWN, f"{level}_se"].to_numpy() == pytest.approx(se, rel=1e-8)
        ends = special.expit(special.logit(p) + np.array([[-1], [1]]) * stats.norm.isf(0.025) * se / (p * (1 - p)))
        found = frame.loc[KNOWN, [f"{level}_ci_lower", f"{level}_ci_upper"]].to_numpy().T
        assert found == pytest.approx(ends)
    assert frame["level"][KNOWN].tolist() == table.idxmax(axis=1).tolist()
    assert frame.loc["c"].isna().all()


def test_a_range_of_ordered_levels_is_that_of_the_averaged_distribution(ordered):
    family, rng = ordered.model.family, np.random.default_rng(0)
    eta = np.array([[0.0, -1.0, 1.0], [3.0, -1.0, 1.0], [-5.0, -1.0, 1.0], [0.0, 1.0, -1.0]])
    root = np.zeros((4, 3, 3)) + 0.8 * np.eye(3)
    low, high = level_range(family, eta, root, 0.1)
    z = rng.normal(size=(200_000, 3)) * 0.8
    for i in range(3):
        location, *cuts = (eta[i] + z).T
        below = [special.expit(cut - location).mean() for cut in cuts]
        assert min(abs(share - end) for share in below for end in (0.05, 0.95)) > 0.005  # the draws can tell
        codes = [int(np.sum(np.array(below) < end)) for end in (0.05, 0.95)]
        assert (low[i], high[i]) == tuple(family.levels[code] for code in codes)
    assert pd.isna(low[3])  # cutpoints that cross
    frame = ordered.get_prediction(NEW).summary_frame(0.2)
    assert {"obs_ci_lower", "obs_ci_upper"} <= set(frame)
    assert "obs_ci_lower" not in ordered.get_prediction(NEW).summary_frame(obs=False)


def test_a_set_of_levels_is_the_smallest(unordered):
    family, rng = unordered.model.family, np.random.default_rng(0)
    eta = np.array([[0.0, 0.1], [4.0, 0.0], [-1.0, 2.0], [np.nan, 0.0]])
    root = np.zeros((4, 2, 2)) + np.array([[0.5, 0.0], [0.2, 0.4]])
    found = level_sets(family, eta, root, 0.2)
    assert pd.isna(found[3])
    for i in range(3):
        p = family.probabilities(*(eta[i] + rng.normal(size=(400_000, 2)) @ root[i].T).T).mean(axis=1)
        order = np.argsort(-p)
        count = 1 + int((np.cumsum(p[order]) < 0.8).sum())
        assert abs(np.cumsum(p[order]) - 0.8).min() > 0.005  # the draws can tell
        assert found[i] == tuple(family.levels[code] for code in order[:count])
    frame = unordered.get_prediction(NEW).summary_frame()
    assert all(row["level"] == row["obs_set"][0] for _, row in frame.loc[KNOWN].iterrows())
    sure = unordered.get_prediction(NEW).summary_frame(1e-9)
    assert {len(each) for each in sure["obs_set"][KNOWN]} == {3}
