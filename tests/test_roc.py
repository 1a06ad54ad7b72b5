"""ROC curves: against scikit-learn, R's pROC, and rows that are repeated as often as they weigh."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score, roc_curve

import mlekit
from mlekit.diagnostics import NotGiven
from mlekit.formula import FormulaError
from mlekit.outcomes import _tied
from mlekit.roc import Roc
from tests.reference import load

RNG = np.random.default_rng(12)
N = 400
DATA = pd.DataFrame({"x": RNG.normal(size=N), "g": RNG.choice(list("abc"), N), "w": RNG.integers(0, 4, N)})
DATA["p"] = np.round(1 / (1 + np.exp(-DATA.x)), 2)  # with ties
DATA["b"] = (RNG.uniform(size=N) < DATA.p).astype(int)
DATA["answer"] = np.where(DATA.b == 1, "yes", "no")
DATA["n"] = RNG.integers(1, 6, N)
DATA["k"] = RNG.binomial(DATA.n, DATA.p)
DATA["miss"] = DATA.n - DATA.k


@pytest.mark.parametrize("weights", [None, "w"])
def test_curve_and_area_are_those_of_scikit_learn(weights):
    w = None if weights is None else DATA.w
    found = Roc.of(DATA.b, DATA.p, w)
    fpr, tpr, thresholds = roc_curve(DATA.b, DATA.p, sample_weight=w, drop_intermediate=False)
    assert found.points["fpr"].to_numpy() == pytest.approx(fpr, abs=1e-12)
    assert found.points["tpr"].to_numpy() == pytest.approx(tpr, abs=1e-12)
    assert found.points["threshold"].tolist() == thresholds.tolist()
    assert found.auc == pytest.approx(roc_auc_score(DATA.b, DATA.p, sample_weight=w), abs=1e-12)


def test_area_and_error_are_those_of_proc():
    """R 4.2.2, pROC 1.18.0: ``r <- roc(y, p); auc(r); sqrt(var(r))``."""
    y = [0, 1, 0, 0, 1, 1, 0, 1, 1, 0, 1, 0, 1, 1, 0]
    p = [0.1, 0.2, 0.2, 0.3, 0.3, 0.4, 0.4, 0.55, 0.6, 0.6, 0.7, 0.35, 0.9, 0.8, 0.05]
    found = Roc.of(y, p)
    assert (found.auc, found.std_err) == pytest.approx((0.8035714285714286, 0.11598963627843605), rel=1e-13)


def test_a_fit_has_those_of_proc():
    """``m <- glm(low ~ age + lwt + smoke + ftv, binomial, MASS::birthwt); r <- roc(low, fitted(m))``."""
    frame = load("birthwt_logit").frame
    found = mlekit.fit("low ~ age + lwt + smoke + ftv", frame, "bernoulli").roc()
    assert (found.auc, found.std_err) == pytest.approx((0.65391134289439379, 0.041447623473921773), rel=1e-10)
    assert "on the rows of the fit" in found.notes[0]


def test_the_error_is_that_of_a_mean_over_pairs():
    """Without ties, DeLong's variance by the definition: covariances of the indicator over pairs."""
    y, p = DATA.b.to_numpy(), DATA.x.to_numpy()
    shares = stats.norm.cdf(p)
    pairs = (shares[y == 1][:, None] > shares[y == 0]).astype(float)
    expected = pairs.mean(axis=1).var(ddof=1) / len(pairs) + pairs.mean(axis=0).var(ddof=1) / pairs.shape[1]
    assert Roc.of(y, shares).std_err == pytest.approx(np.sqrt(expected), rel=1e-12)


def test_the_interval_holds_the_area_and_stays_inside():
    found = Roc.of([0] * 9 + [1] * 9, np.r_[np.linspace(0, 0.5, 9), np.linspace(0.48, 1, 9)])
    low, high = found.conf_int()
    assert 0.8 < low < found.auc < high < 1
    # On the scale of the log odds it is symmetric, as wide as the delta method says.
    odds = np.log(np.array([low, found.auc, high]) / (1 - np.array([low, found.auc, high])))
    width = stats.norm.isf(0.025) * found.std_err / (found.auc * (1 - found.auc))
    assert np.diff(odds) == pytest.approx([width, width])


def test_a_weight_is_a_number_of_rows():
    repeated = DATA.loc[DATA.index.repeat(DATA.w)]
    weighted = mlekit.fit("b ~ x", DATA, "bernoulli", weights="w").roc()
    long = mlekit.fit("b ~ x", repeated, "bernoulli").roc()
    for name in ("auc", "std_err", "ones", "zeros"):
        assert getattr(weighted, name) == pytest.approx(getattr(long, name), rel=1e-12)
    half = mlekit.fit("b ~ x", DATA[:200], "bernoulli")
    new = DATA[200:]
    assert half.roc(new, weights="w").auc == pytest.approx(half.roc(new.loc[new.index.repeat(new.w)]).auc, rel=1e-12)


def test_a_trial_is_an_outcome():
    rows = [(x, 1) for x, k in zip(DATA.x, DATA.k, strict=True) for _ in range(k)]
    rows += [(x, 0) for x, k in zip(DATA.x, DATA.miss, strict=True) for _ in range(k)]
    single = mlekit.fit("b ~ x", pd.DataFrame(rows, columns=["x", "b"]), "bernoulli").roc()
    found = mlekit.fit("cbind(k, miss) ~ x", DATA, "binomial").roc(DATA)
    assert (found.auc, found.std_err) == pytest.approx((single.auc, single.std_err), rel=1e-12)
    assert found.notes == ()


def test_new_rows_are_coded_as_in_the_fit():
    fit = mlekit.fit("answer ~ x + g", DATA[:200], "bernoulli")
    new = DATA[200:].copy()
    expected = roc_auc_score(new.b, fit.predict(new))
    assert fit.roc(new).auc == pytest.approx(expected, abs=1e-12)
    new.loc[new.index[0], "answer"] = None
    new.loc[new.index[1], "x"] = np.nan
    found = fit.roc(new)
    assert found.auc == pytest.approx(roc_auc_score(new.b[2:], fit.predict(new[2:])), abs=1e-12)
    assert found.notes == ("2 of 200 rows of the data left out, as they lack values",)
    with pytest.raises(FormulaError, match="answer has 'maybe' in the new rows, and in the fit 'no', 'yes'"):
        fit.roc(new.assign(answer="maybe"))
    with pytest.raises(FormulaError, match="'answer' is neither"):
        fit.roc(new.drop(columns="answer"))
    flags = mlekit.fit("(k > 2) ~ x", DATA, "bernoulli")
    assert flags.roc(DATA).auc == pytest.approx(roc_auc_score(DATA.k > 2, DATA.x), abs=1e-12)


def test_equal_rows_are_ties_whatever_rounding_does():
    """A product may differ in the last digit between equal rows, by where they stand."""
    eta = np.tile([0.3, -1.7, 2.5], 50)
    moved = np.nextafter(eta, np.where(RNG.uniform(size=150) < 0.5, -9, 9))
    assert len(np.unique(moved)) > 3
    assert len(np.unique(_tied(moved, np.full(150, 3.0)))) == 3
    apart = eta * (1 + np.arange(150) * 1e-12)
    assert _tied(apart, np.full(150, 3.0)).tolist() == apart.tolist()
    few = pd.DataFrame(np.tile(RNG.normal(size=(7, 5)), (143, 1)), columns=list("abcde"))
    few["y"] = RNG.integers(0, 2, len(few))
    assert len(mlekit.fit("y ~ a + b + c + d + e", few, "bernoulli").roc().points) == 1 + 7


def test_offsets_count():
    fit = mlekit.fit("b ~ 1 + offset(x)", DATA, "bernoulli")
    assert fit.roc(DATA).auc == pytest.approx(roc_auc_score(DATA.b, DATA.x), abs=1e-12)
    handed = mlekit.fit("b ~ 1", DATA, "bernoulli", offset=DATA.x)
    assert handed.roc(DATA, offset=DATA.x).auc == pytest.approx(roc_auc_score(DATA.b, DATA.x), abs=1e-12)


@pytest.mark.parametrize("p", [[0.1, 0.2, 0.8, 0.9], [0.9, 0.8, 0.2, 0.1], [0.5] * 4])
def test_where_nothing_is_known_of_the_error(p):
    found = Roc.of([0, 0, 1, 1], p)
    assert found.auc in (0.0, 0.5, 1.0)
    assert np.isnan([found.std_err, *found.conf_int()]).all()
    assert "no standard error" in str(found)
    found.plot().savefig(io.BytesIO())


def test_what_is_refused():
    with pytest.raises(NotGiven, match=r"a ROC curve is of outcomes of yes or no .* a response of Poisson"):
        mlekit.fit("k ~ x", DATA, "poisson").roc()
    with pytest.raises(ValueError, match="no outcome is a one"):
        Roc.of([0, 0], [0.1, 0.2])
    with pytest.raises(ValueError, match="an outcome is 0 or 1, not 2"):
        Roc.of([0, 2], [0.1, 0.2])
    with pytest.raises(ValueError, match="a probability is from 0 to 1, not nan"):
        Roc.of([0, 1], [0.1, np.nan])
    with pytest.raises(ValueError, match="must be as many"):
        Roc.of([0, 1, 1], [0.1, 0.2])
    with pytest.raises(ValueError, match="weights must be finite and not negative"):
        Roc.of([0, 1], [0.1, 0.2], [1, -1])
    fit = mlekit.fit("b ~ x", DATA, "bernoulli", weights="w")
    with pytest.raises(ValueError, match="the fit is weighted: pass weights="):
        fit.roc(DATA)
    with pytest.raises(ValueError, match="weights go with data="):
        fit.roc(weights="w")
    with pytest.raises(ValueError, match="each response must be 0 or 1"):
        fit.roc(DATA.assign(b=3), weights="w")
    arrays = mlekit.Model.from_arrays(DATA.b, DATA[["x"]], family="bernoulli").fit()
    with pytest.raises(ValueError, match=r"mlekit\.Roc\.of\(y, p\)"):
        arrays.roc(DATA)
    assert arrays.roc().auc == pytest.approx(roc_auc_score(DATA.b, DATA.x), abs=1e-12)


def test_probabilities_that_are_none():
    data = DATA.assign(t=np.tanh(DATA.x))
    fit = mlekit.fit("b ~ t", data, mlekit.Bernoulli(p="identity"), start=[0.5, 0.1])
    assert fit.roc(data).notes == ()
    wide = data.assign(t=3 * data.t)
    with pytest.warns(RuntimeWarning, match="p is outside its domain"):
        outside = int(fit.predict(wide).isna().sum())
    assert outside
    assert fit.roc(wide).notes == (
        f"{outside} rows have a predicted probability outside 0 to 1, which the identity link allows",
    )


def test_the_figure():
    fit = mlekit.fit("b ~ x", DATA[:200], "bernoulli")
    drawn = fit.plot_roc(DATA[200:], alpha=0.1)
    found = fit.roc(DATA[200:])
    assert drawn.axes[0].lines[0].get_ydata().tolist() == found.points["tpr"].tolist()
    low, high = found.conf_int(0.1)
    label = drawn.legends[0].get_texts()[0].get_text()
    assert label == f"area {found.auc:.3f}\n90 % {low:.3f} to {high:.3f}"
    drawn.savefig(io.BytesIO())
