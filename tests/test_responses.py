"""Responses of several columns: how they are read, and the binomial against statsmodels and scipy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import stats

import mlekit
from mlekit.families import Bernoulli, Binomial
from mlekit.formula import FormulaError
from mlekit.model import Model
from mlekit.responses import Surv, cbind

LINKS = ("logit", "probit", "cloglog", "cauchit")
SM_LINKS = {"logit": "Logit", "probit": "Probit", "cloglog": "CLogLog", "cauchit": "Cauchy"}


@pytest.fixture(scope="module")
def trials() -> pd.DataFrame:
    rng = np.random.default_rng(3)
    x = rng.normal(size=60)
    n = rng.integers(1, 40, 60)
    data = pd.DataFrame({"x": x, "n": n, "s": rng.binomial(n, 1 / (1 + np.exp(0.3 - x)))})
    data.loc[4, "s"] = 0
    data.loc[7, "s"] = data.loc[7, "n"]
    return data


@pytest.mark.parametrize("link", LINKS)
def test_binomial_equals_statsmodels(trials: pd.DataFrame, link: str) -> None:
    fit = mlekit.fit("cbind(s, n - s) ~ x", trials, Binomial(p=link), cov_type="eim")
    endog = np.column_stack([trials["s"], trials["n"] - trials["s"]])
    family = sm.families.Binomial(getattr(sm.families.links, SM_LINKS[link])())
    theirs = sm.GLM(endog, sm.add_constant(trials["x"]), family).fit(tol=1e-13)
    np.testing.assert_allclose(fit.params, theirs.params, rtol=1e-8)
    np.testing.assert_allclose(fit.bse, theirs.bse, rtol=1e-7)
    np.testing.assert_allclose(fit.llf, theirs.llf, rtol=1e-12)
    np.testing.assert_allclose(fit.llnull, theirs.llnull, rtol=1e-12)
    np.testing.assert_allclose(fit.deviance, theirs.deviance, rtol=1e-11)
    np.testing.assert_allclose(fit.pearson_chi2, theirs.pearson_chi2, rtol=1e-8)
    np.testing.assert_allclose(fit.fittedvalues, theirs.fittedvalues, rtol=1e-8)
    np.testing.assert_allclose(fit.resid_response * trials["n"], theirs.resid_response, rtol=1e-7, atol=1e-8)
    np.testing.assert_allclose(fit.resid_pearson, theirs.resid_pearson, rtol=1e-7, atol=1e-8)
    np.testing.assert_allclose(fit.resid_deviance, theirs.resid_deviance, rtol=1e-7, atol=1e-7)


def test_binomial_equals_its_trials_one_by_one(trials: pd.DataFrame) -> None:
    ones, zeros = trials.assign(y=1, w=trials["s"]), trials.assign(y=0, w=trials["n"] - trials["s"])
    single = mlekit.fit("y ~ x", pd.concat([ones, zeros]), "bernoulli", weights="w")
    fit = mlekit.fit("cbind(s, n - s) ~ x", trials, "binomial")
    np.testing.assert_allclose(fit.params, single.params, rtol=1e-10)
    np.testing.assert_allclose(fit.bse, single.bse, rtol=1e-10)
    choices = stats.binom.logpmf(trials["s"], trials["n"], 0.5) + trials["n"] * np.log(2)
    np.testing.assert_allclose(fit.llf, single.llf + choices.sum(), rtol=1e-12)


@pytest.mark.parametrize("p", [1e-300, 1e-9, 0.3, 0.5, 1 - 1e-9])
@pytest.mark.parametrize("y", [(0, 0), (0, 7), (7, 0), (3, 5), (1000, 10), (400000, 600000)], ids=str)
def test_binomial_density_against_scipy(y: tuple[int, int], p: float) -> None:
    found = Binomial().logpdf(np.array([y], dtype=float), np.array([p]))
    np.testing.assert_allclose(found, stats.binom.logpmf(y[0], sum(y), p), rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("link", Bernoulli.links_for["p"])
def test_binomial_rows_agree_with_its_density(link: str) -> None:
    y = np.array([[0, 0], [0, 7], [7, 0], [3, 5], [80, 40]], dtype=float)
    found = Binomial(p=link).check(y, p=[0.2, 0.4, 0.7, 0.55, 0.999])
    assert found, found
    assert {"rows", "linear_rows"} <= {line.what.partition(":")[0] for line in found.lines}


def test_binomial_without_trials_tells_nothing(trials: pd.DataFrame) -> None:
    more = pd.concat([trials, pd.DataFrame({"x": [9.0], "n": [0], "s": [0]})], ignore_index=True)
    fit, same = (mlekit.fit("cbind(s, n - s) ~ x", data, "binomial") for data in (more, trials))
    np.testing.assert_allclose(fit.params, same.params, rtol=1e-12)
    np.testing.assert_allclose(fit.deviance, same.deviance, rtol=1e-12)
    assert np.isnan(fit.resid_response[60])


def test_binomial_of_arrays_and_cross_validated(trials: pd.DataFrame) -> None:
    y = np.column_stack([trials["s"], trials["n"] - trials["s"]])
    fit = Model.from_arrays(y, sm.add_constant(trials["x"]), "binomial").fit()
    by_formula = mlekit.fit("cbind(s, n - s) ~ x", trials, "binomial")
    np.testing.assert_allclose(fit.params, by_formula.params, rtol=1e-12)
    scores = mlekit.cross_validate("cbind(s, n - s) ~ x", trials, "binomial", loss=["log_score", "mse"], seed=1)
    assert np.isfinite(scores.mean).all()
    assert "Binomial" in str(by_formula.summary())


def test_many_rows_of_two_columns() -> None:
    rng = np.random.default_rng(0)
    x, n = rng.normal(size=70_000), rng.integers(1, 9, 70_000)
    s = rng.binomial(n, 1 / (1 + np.exp(-x)))
    fit = mlekit.fit("cbind(s, n - s) ~ x", {"x": x, "n": n, "s": s}, "binomial")
    theirs = sm.GLM(np.column_stack([s, n - s]), sm.add_constant(x), sm.families.Binomial()).fit(tol=1e-12)
    np.testing.assert_allclose(fit.params, theirs.params, rtol=1e-8, atol=1e-8)
    assert fit.nobs == 70_000


# ---------------------------------------------------------------- how they are read


def test_surv_right_left_and_interval() -> None:
    time, event = pd.Series([1.0, 2.0, np.nan], index=list("abc")), [True, False, True]
    np.testing.assert_equal(Surv(time, event), [[1, 1], [2, np.inf], [np.nan, np.nan]])
    np.testing.assert_equal(Surv(time, event, type="left"), [[1, 1], [-np.inf, 2], [np.nan, np.nan]])
    np.testing.assert_equal(Surv([1, -np.inf], [3, 4], type="interval"), [[1, 3], [-np.inf, 4]])
    np.testing.assert_equal(Surv(time[:2]), [[1, 1], [2, 2]])


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: Surv([1, 2], [1, 2]), "event == 2"),
        (lambda: Surv([1, 2], [1]), "as many events as times"),
        (lambda: Surv([1, 2], type="interval"), "needs both ends"),
        (lambda: Surv([3, 2], [2, 3], type="interval"), "ends before it begins: 3 to 2, in row 0"),
        (lambda: Surv([1], [1], type="counting"), "no type 'counting'"),
        (lambda: Surv(["a"]), "must be numbers"),
        (lambda: cbind([[1, 2]], [1]), "one dimension"),
        (lambda: cbind([1, 2], [1]), "as many failures as successes"),
    ],
    ids=["event", "lengths", "ends", "order", "type", "text", "matrix", "counts"],
)
def test_what_cannot_be_read_is_said(call: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        call()


def test_a_response_of_the_wrong_number_of_columns_is_refused(trials: pd.DataFrame) -> None:
    with pytest.raises(FormulaError, match=r"Poisson needs one: .*binomial.*Censored"):
        mlekit.fit("cbind(s, n - s) ~ x", trials, "poisson")
    with pytest.raises(FormulaError, match=r"s has one column, and Binomial needs 2, successes and failures: .*cbind"):
        mlekit.fit("s ~ x", trials, "binomial")
    with pytest.raises(ValueError, match=r"\(-5, 6\) in row 2.* two counts"):
        mlekit.fit("cbind(s, n - s) ~ x", trials.assign(s=[1, 1, -5, *[0] * 57], n=1), "binomial")


def test_missing_values_of_either_column_are_left_out(trials: pd.DataFrame) -> None:
    holed = trials.astype(float)
    holed.loc[3, "s"], holed.loc[9, "n"] = np.nan, np.nan
    fit = mlekit.fit("cbind(s, n - s) ~ x", holed, "binomial")
    whole = mlekit.fit("cbind(s, n - s) ~ x", trials.drop([3, 9]), "binomial")
    assert fit.nobs == 58
    np.testing.assert_allclose(fit.params, whole.params, rtol=1e-12)
