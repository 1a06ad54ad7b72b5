"""A fit: how it went, what it is worth, and its rows."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.tools.sm_exceptions import ConvergenceWarning

import mlekit
from mlekit.comparison import DEFAULT_METHODS
from mlekit.datasets import load_africa, load_heights
from mlekit.optimize import METHODS
from mlekit.optimize.base import Status
from tests.reference import load
from tests.sample import DATA, Gumbel, N, NumericGumbel


@pytest.fixture
def poisson():
    return mlekit.fit("k ~ x + C(g)", DATA, "poisson")


# ------------------------------------------------------------------------------------------------ how it went


def test_status_reason_and_iterations(poisson):
    assert poisson.converged
    assert poisson.status is Status.CONVERGED
    assert poisson.reason.startswith("converged")
    assert poisson.iterations == poisson.trace["iteration"].iloc[-1]
    assert repr(poisson).startswith("<mlekit fit: Poisson(), 50 observations, converged")


def test_a_fit_that_stopped_says_where_and_what_to_do():
    with pytest.warns(ConvergenceWarning) as caught:
        fit = mlekit.fit("k ~ x", DATA, "poisson", maxiter=1)
    assert not fit.converged
    assert fit.status is Status.ITERATION_LIMIT
    assert str(caught[0].message) == fit.reason
    assert "standard errors from the maximum" in fit.reason
    assert fit.reason.endswith("raise maxiter, or fit by method='auto'")


@pytest.mark.parametrize("method", METHODS)
def test_the_trace_and_the_callback(method):
    lines = []
    fit = mlekit.fit("k ~ x", DATA, "poisson", method=method, callback=lines.append)
    trace = fit.trace
    assert trace.columns.tolist() == ["iteration", "llf", "decrement", "step", "seconds"]
    assert pd.DataFrame(lines, columns=trace.columns).equals(trace)
    assert trace["iteration"].tolist() == list(range(trace["iteration"].iloc[0], trace["iteration"].iloc[-1] + 1))
    assert trace["seconds"].is_monotonic_increasing
    assert trace["llf"].iloc[-1] == pytest.approx(fit.llf, rel=1e-9)
    assert (np.diff(trace["llf"]) > -1e-9).all() or method in ("cobyla", "cobyqa", "trust-constr", "slsqp")


def test_a_closed_form_has_no_trace():
    fit = mlekit.fit("y ~ x", DATA)
    assert fit.trace.empty
    assert fit.trace.columns.tolist() == ["iteration", "llf", "decrement", "step", "seconds"]
    assert (fit.iterations, fit.method) == (0, "closed_form")


@pytest.mark.parametrize("method", METHODS)
def test_an_error_in_the_callback_stops_the_fit_and_leaves_the_model_as_it_was(method):
    def stop(line):
        if line.iteration == 2:
            raise KeyboardInterrupt

    model = mlekit.Model.from_formula("k ~ x", DATA, "poisson")
    before = model.fit(method)
    with pytest.raises(KeyboardInterrupt):
        model.fit(method, callback=stop)
    assert model.fit(method).params.equals(before.params)


@pytest.mark.parametrize("method", ["auto", *METHODS])
@pytest.mark.parametrize("family", ["poisson", "normal"])
def test_two_fits_are_the_same_to_the_last_bit(method, family):
    formula = {"poisson": "k ~ x + C(g)", "normal": {"mu": "y ~ x", "sigma": "~ u"}}[family]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        first, second = (mlekit.fit(formula, DATA, family, method=method) for _ in range(2))
    assert first.params.equals(second.params)
    assert first.cov_params().equals(second.cov_params())
    assert first.llf == second.llf
    assert first.trace.drop(columns="seconds").equals(second.trace.drop(columns="seconds"))


def test_large_fits_are_the_same_to_the_last_bit():
    """They start from a sample of the rows, and are summed in blocks."""
    rng = np.random.default_rng(0)
    data = {"x": rng.normal(size=60_000), "y": rng.poisson(2.0, 60_000)}
    first, second = (mlekit.fit("y ~ x", data, "poisson") for _ in range(2))
    assert first.params.equals(second.params)
    assert first.bse.equals(second.bse)


# ------------------------------------------------------------------------------------------------ what it is worth


def test_likelihood_and_criteria_by_hand(poisson):
    mu = poisson.fittedvalues
    llf = stats.poisson.logpmf(DATA.k, mu).sum()
    null = stats.poisson.logpmf(DATA.k, DATA.k.mean()).sum()
    assert poisson.llf == pytest.approx(llf, rel=1e-12)
    assert poisson.llnull == pytest.approx(null, rel=1e-12)
    assert poisson.llr == pytest.approx(2 * (llf - null))
    assert poisson.llr_pvalue == pytest.approx(stats.chi2.sf(2 * (llf - null), 3))
    assert poisson.prsquared == pytest.approx(1 - llf / null)
    assert poisson.aic == pytest.approx(-2 * llf + 2 * 4)
    assert poisson.bic == pytest.approx(-2 * llf + np.log(N) * 4)
    assert (poisson.nobs, poisson.df_model, poisson.df_resid) == (N, 3, N - 4)


def test_deviances_by_hand(poisson):
    k, mu = DATA.k.to_numpy(float), poisson.fittedvalues.to_numpy()

    def unit(y, m):
        return 2 * (np.where(y > 0, y * np.log(np.where(y > 0, y, 1) / m), 0) - (y - m))

    assert poisson.deviance == pytest.approx(unit(k, mu).sum())
    assert poisson.null_deviance == pytest.approx(unit(k, k.mean()).sum())
    assert poisson.pearson_chi2 == pytest.approx(((k - mu) ** 2 / mu).sum())
    assert poisson.resid_deviance.to_numpy() == pytest.approx(np.sign(k - mu) * np.sqrt(np.maximum(unit(k, mu), 0)))
    assert poisson.deviance - poisson.null_deviance == pytest.approx(-poisson.llr)


def test_the_null_model_keeps_offsets_and_weights():
    fit = mlekit.fit("k ~ x", DATA, "poisson", exposure="u", weights=np.arange(N) % 3 + 1)
    null = mlekit.fit("k ~ 1", DATA, "poisson", exposure="u", weights=np.arange(N) % 3 + 1)
    assert fit.llnull == pytest.approx(null.llf, rel=1e-12)
    assert fit.null_deviance == pytest.approx(null.deviance, rel=1e-12)


def test_a_model_that_is_its_own_null_model():
    fit = mlekit.fit("k ~ 1", DATA, "poisson")
    assert fit.llr == pytest.approx(0, abs=1e-9)
    assert np.isnan(fit.llr_pvalue)
    assert fit.prsquared == pytest.approx(0, abs=1e-12)


def test_a_null_model_that_fits_perfectly_has_no_pseudo_r_squared():
    data = {"y": [1.0, 1, 1, 1], "x": [1.0, 2, 3, 5]}
    with pytest.warns(ConvergenceWarning):
        fit = mlekit.fit("y ~ x", data, "bernoulli")
    assert fit.llf == pytest.approx(0, abs=1e-9)
    assert fit.llnull == pytest.approx(0, abs=1e-9)
    assert fit.llr == pytest.approx(0, abs=1e-9)


def test_every_parameter_has_its_own_null_model():
    fit = mlekit.fit({"mu": "y ~ x", "sigma": "~ C(g) - 1"}, DATA)  # all levels: a constant is among the combinations
    assert fit.llnull == pytest.approx(mlekit.fit("y ~ 1", DATA).llf)
    assert fit.llr_pvalue == pytest.approx(stats.chi2.sf(fit.llr, 3))


def test_a_family_without_mean_or_deviance_says_what_it_lacks():
    fit = mlekit.fit("y ~ x", DATA, Gumbel)
    for name in ("deviance", "null_deviance", "resid_deviance"):
        with pytest.raises(AttributeError, match=r"Gumbel (has no deviance|gives no mean)"):
            getattr(fit, name)
    for name in ("resid_pearson", "pearson_chi2"):
        with pytest.raises(AttributeError, match="Gumbel gives no mean"):
            getattr(fit, name)
    mean = fit.predict(what="mu") + np.euler_gamma * fit.predict(what="beta")
    assert fit.fittedvalues.to_numpy() == pytest.approx(mean.to_numpy(), rel=1e-10)
    assert fit.resid_response.to_numpy() == pytest.approx((DATA["y"] - mean).to_numpy(), rel=1e-8)
    assert not hasattr(fit, "deviance")
    assert np.isfinite([fit.llf, fit.llnull, fit.aic, fit.bic, fit.llr_pvalue]).all()
    assert str(fit.summary())
    with pytest.raises(AttributeError, match="NumericGumbel gives no variance"):
        _ = mlekit.fit("y ~ x", DATA, NumericGumbel).resid_pearson


# ---------------------------------------------------------------------------------- parameters common to all rows


def test_sigma_of_the_normal():
    fit = mlekit.fit("y ~ x", DATA)
    estimate, se, low, high = fit.distribution.loc["sigma"]
    assert fit.distribution.columns.tolist() == ["estimate", "std err", "[0.025", "0.975]"]
    assert estimate == pytest.approx(np.sqrt(np.mean(fit.resid_response**2)))
    assert se == pytest.approx(estimate / np.sqrt(2 * N))
    z = 1.959963984540054 / np.sqrt(2 * N)
    assert (low, high) == pytest.approx((estimate * np.exp(-z), estimate * np.exp(z)))
    assert fit.distribution.index.tolist() == ["sigma"]


def test_intercepts_alone():
    mean = DATA.k.mean()
    found = mlekit.fit("k ~ 1", DATA, "poisson").distribution.loc["mu"]
    assert found.iloc[:2].tolist() == pytest.approx([mean, np.sqrt(mean / N)])
    p = (DATA.b == "yes").mean()
    found = mlekit.fit("b ~ 1", DATA, "bernoulli").distribution.loc["p"]
    assert found.iloc[:2].tolist() == pytest.approx([p, np.sqrt(p * (1 - p) / N)])
    found = mlekit.fit("u ~ 1", DATA, "exponential").distribution.loc["rate"]
    assert found.iloc[:2].tolist() == pytest.approx([1 / DATA.u.mean(), 1 / DATA.u.mean() / np.sqrt(N)])
    assert 0 < found.iloc[2] < found.iloc[0] < found.iloc[3]
    assert mlekit.fit("y ~ 1", DATA).distribution.index.tolist() == ["mu", "sigma"]


def test_a_column_that_is_constant_but_not_one():
    fit = mlekit.Model.from_arrays(DATA.k, np.full((N, 1), -4.0), "poisson").fit()
    expected = mlekit.fit("k ~ 1", DATA, "poisson").distribution
    assert fit.distribution.to_numpy() == pytest.approx(expected.to_numpy())


def test_parameters_that_vary_are_not_among_them():
    assert mlekit.fit("k ~ x", DATA, "poisson").distribution.empty
    assert mlekit.fit({"mu": "y ~ x", "sigma": "~ x"}, DATA).distribution.empty
    assert mlekit.fit("k ~ 1", DATA, "poisson", exposure="u").distribution.empty
    assert mlekit.fit("y ~ x", DATA, offset={"sigma": "log(u)"}).distribution.empty


def test_the_four_heights_of_the_lecture():
    heights = load_heights()
    fit = mlekit.fit("height ~ 1", heights)
    assert fit.distribution.loc["mu", "estimate"] == pytest.approx(162.75)
    assert fit.distribution.loc["sigma", "estimate"] == pytest.approx(np.std(heights.height))


# ------------------------------------------------------------------------------------------------ rows


@pytest.mark.parametrize("name", ["fittedvalues", "resid_response", "resid_pearson", "resid_deviance"])
def test_rows_carry_their_labels(poisson, name):
    found = getattr(poisson, name)
    assert isinstance(found, pd.Series)
    assert found.index.equals(DATA.index)
    data = DATA.copy()
    data.loc[["r3", "r7"], "x"] = np.nan
    data["w"] = (np.arange(N) > 0).astype(float)
    fewer = getattr(mlekit.fit("k ~ x + C(g)", data, "poisson", weights="w"), name)
    assert fewer.index.equals(DATA.index.drop(["r0", "r3", "r7"]))


def test_coefficients_carry_their_names(poisson):
    names = ["Intercept", "C(g)[T.b]", "C(g)[T.c]", "x"]
    for name in ("params", "bse", "tvalues", "pvalues"):
        assert getattr(poisson, name).index.tolist() == names
    assert poisson.params["x"] == poisson.params.iloc[3]
    assert poisson.conf_int().index.tolist() == names
    assert poisson.conf_int().columns.tolist() == [0, 1]
    assert poisson.cov_params().index.tolist() == poisson.cov_params().columns.tolist() == names
    assert poisson.tvalues.to_numpy() == pytest.approx((poisson.params / poisson.bse).to_numpy())
    assert poisson.pvalues.to_numpy() == pytest.approx(2 * stats.norm.sf(np.abs(poisson.tvalues)))
    assert isinstance(poisson._results.params, np.ndarray)


def test_intervals(poisson):
    for alpha in (0.05, 0.5):
        margin = stats.norm.isf(alpha / 2) * poisson.bse
        found = poisson.conf_int(alpha)
        assert found[0].to_numpy() == pytest.approx((poisson.params - margin).to_numpy())
        assert found[1].to_numpy() == pytest.approx((poisson.params + margin).to_numpy())
    for alpha in (0, 1, -0.05, 95):
        with pytest.raises(ValueError, match="alpha must be between 0 and 1"):
            poisson.conf_int(alpha)


def test_what_users_change_does_not_reach_the_fit(poisson):
    before = poisson.params.copy()
    for table in (
        poisson.params,
        poisson.bse,
        poisson.cov_params(),
        poisson.conf_int(),
        poisson.trace,
        poisson.distribution,
    ):
        table.iloc[:] = -1.0
    assert poisson.params.equals(before)
    assert (poisson.bse > 0).all()
    assert poisson.trace["llf"].iloc[-1] == pytest.approx(poisson.llf)


def test_scores_and_hessian_at_the_estimate(poisson):
    assert np.abs(poisson.model.score(poisson.params)).max() < 1e-8
    information = -poisson.model.hessian(poisson.params)
    assert np.linalg.inv(information) == pytest.approx(poisson.cov_params().to_numpy(), rel=1e-8)
    assert poisson.model.score_obs(poisson.params).sum(axis=0) == pytest.approx(0, abs=1e-8)
    assert poisson.model.loglike(poisson.params) == pytest.approx(poisson.llf)


# ------------------------------------------------------------------------------------------------ reference


def test_the_africa_fit():
    case = load("africa_poisson_parties")
    fit = mlekit.fit("miltcoup ~ parties", load_africa(), "poisson", cov_type="eim")
    assert fit.params.to_dict() == pytest.approx(case.expected["params"], rel=1e-8)
    assert fit.bse.to_dict() == pytest.approx(case.expected["bse"], rel=1e-8)
    assert fit.llr == pytest.approx(65.9449702 - 60.3547068, abs=1e-7)
    assert set(DEFAULT_METHODS) - {"closed_form"} <= set(METHODS)
