"""Predictions where a link does not keep its parameter in its domain, beside SciPy and statsmodels."""

import warnings

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import stats

import mlekit
from mlekit.families import Bernoulli, Exponential, Poisson

RNG = np.random.default_rng(0)
X = RNG.uniform(1, 3, 200)
DATA = pd.DataFrame(
    {"x": X, "k": RNG.poisson(2 * X), "t": RNG.exponential(X), "b": (RNG.uniform(size=200) < 0.2 * X).astype(float)}
)
NEW = pd.DataFrame({"x": [1.5, -50.0, 60.0]}, index=["near", "left", "right"])
CASES = [
    (Poisson(mu="identity"), "k", ["left"], lambda theta: stats.poisson(theta)),
    (Poisson(mu="sqrt"), "k", ["left"], lambda theta: stats.poisson(theta)),
    (Exponential(rate="identity"), "t", ["right"], lambda theta: stats.expon(scale=1 / theta)),
    (Exponential(rate="inverse"), "t", ["left"], lambda theta: stats.expon(scale=1 / theta)),
    (Bernoulli(p="log"), "b", ["right"], lambda theta: stats.bernoulli(theta)),
    (Bernoulli(p="identity"), "b", ["left", "right"], lambda theta: stats.bernoulli(theta)),
]


@pytest.mark.parametrize(("family", "response", "lost", "distribution"), CASES, ids=[repr(case[0]) for case in CASES])
def test_rows_outside_the_domain_are_nan_and_named(family, response, lost, distribution):
    fit = mlekit.fit(f"{response} ~ x", DATA, family)
    (param, link), kept = next(iter(family.links.items())), [name for name in NEW.index if name not in lost]
    eta = fit.params["Intercept"] + fit.params["x"] * NEW.x
    # Where SciPy has no such distribution, nothing is predicted.
    theta = pd.Series(link.inverse(eta if link.name != "sqrt" else eta.where(eta > 0)), NEW.index)
    expected = distribution(theta.to_numpy())
    named = rf"{param} is outside its domain in {len(lost)} rows? of 3 \({', '.join(lost)}\).* {link.name} link"
    density = "pdf" if response == "t" else "pmf"
    wanted = {
        ("mean", None): expected.mean(),
        ("cdf", 1): expected.cdf(1),
        ("sf", 1): expected.sf(1),
        ("quantile", 0.3): expected.ppf(0.3),
        (density, 1): getattr(expected, density)(1),
        (param, None): theta.where(np.isfinite(expected.mean()) & (expected.mean() >= 0)),
    }
    for (what, number), values in wanted.items():
        asked = {} if number is None else {"q" if what == "quantile" else "at": number}
        with pytest.warns(RuntimeWarning, match=named) as told:
            found = fit.predict(NEW, what, **asked)
        assert len(told) == 1
        assert found[lost].isna().all()
        assert found[kept].to_numpy() == pytest.approx(np.asarray(values)[[n in kept for n in NEW.index]], rel=1e-12)
    with pytest.warns(RuntimeWarning, match=named):
        table = fit.predict(NEW, "quantile", q=[0.1, 0.9])
    assert table.loc[lost].isna().all(axis=None)
    assert table.loc[kept].notna().all(axis=None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert fit.predict(NEW, "linear").to_numpy() == pytest.approx(eta.to_numpy(), rel=1e-12)


@pytest.mark.parametrize(("family", "response", "lost", "_"), CASES, ids=[repr(case[0]) for case in CASES])
def test_tables_of_predictions_have_no_interval_outside_the_domain(family, response, lost, _):
    fit = mlekit.fit(f"{response} ~ x", DATA, family)
    param = next(iter(family.links))
    with pytest.warns(RuntimeWarning, match=f"{param} is outside its domain"):
        frame = fit.get_prediction(NEW).summary_frame()
    assert frame.loc[lost].drop(columns=["linear", "linear_se"]).isna().all(axis=None)
    assert frame[["linear", "linear_se"]].notna().all(axis=None)
    assert frame.drop(index=lost)[["mean", "mean_se"]].notna().all(axis=None)


def test_missing_rows_do_not_shift_the_names():
    fit = mlekit.fit("k ~ x", DATA, Poisson(mu="identity"))
    new = pd.DataFrame({"x": [np.nan, 1.0, -9.0]}, index=["none", "near", "left"])
    with pytest.warns(RuntimeWarning, match=r"1 row of 2 \(left\)"):
        found = fit.predict(new)
    assert found.notna().tolist() == [False, True, False]


@pytest.mark.filterwarnings("ignore::statsmodels.tools.sm_exceptions.DomainWarning")  # it is about such links
def test_ends_of_intervals_stop_at_the_limit_of_the_domain():
    fit = mlekit.fit("k ~ x", DATA, Poisson(mu="identity"))
    near = pd.DataFrame({"x": [-0.1, 1.0]})
    family = sm.families.Poisson(sm.families.links.Identity())
    reference = sm.GLM(DATA.k, sm.add_constant(DATA.x), family).fit(tol=1e-13)
    beyond = reference.get_prediction(sm.add_constant(near)).summary_frame()
    frame = fit.get_prediction(near).summary_frame()
    assert beyond["mean_ci_lower"][0] < 0
    assert frame["mean_ci_lower"].to_numpy() == pytest.approx(np.maximum(beyond["mean_ci_lower"], 0), rel=2e-2)
    assert frame["mean_ci_lower"][0] == 0


def test_effects_that_leave_the_domain_are_nan():
    fit = mlekit.fit("k ~ x", DATA, Poisson(mu="identity"))
    with pytest.warns(RuntimeWarning, match="mu is outside its domain"):
        effects = fit.marginal_effects({"x": -50})
    assert np.isnan(effects.frame["estimate"]).all()
    assert fit.marginal_effects({"x": 1}).frame["estimate"].to_numpy() == pytest.approx([fit.params["x"]], rel=1e-12)
