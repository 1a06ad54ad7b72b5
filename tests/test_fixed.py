"""Coefficients and parameters that are held: known parts of the linear predictors, for every use of a fit."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import optimize, stats

import mlekit
from mlekit.model import Model
from tests.command import AFRICA, POISSON

RNG = np.random.default_rng(21)
N = 80
DATA = pd.DataFrame({"x": RNG.normal(size=N), "z": RNG.normal(size=N), "g": RNG.choice(list("abc"), N)})
DATA["k"] = RNG.poisson(np.exp(0.3 + 0.5 * DATA.x))
DATA["y"] = 1 + DATA.x + RNG.standard_t(4, size=N)


def test_a_held_coefficient_is_an_offset() -> None:
    held = mlekit.fit("k ~ x + z + g", DATA, "poisson", fixed={"x": 0.4})
    X = pd.DataFrame({"c": 1.0, "b": DATA.g == "b", "g": DATA.g == "c", "z": DATA.z}).astype(float)
    theirs = sm.GLM(DATA.k, X, sm.families.Poisson(), offset=0.4 * DATA.x).fit(tol=1e-14)
    assert list(held.params.index) == ["Intercept", "g[T.b]", "g[T.c]", "z"]
    np.testing.assert_allclose(held.params, theirs.params, rtol=1e-9)
    np.testing.assert_allclose(held.bse, theirs.bse, rtol=1e-8)
    np.testing.assert_allclose([held.llf, held.aic], [theirs.llf, theirs.aic], rtol=1e-12)
    np.testing.assert_allclose(held.llnull, theirs.llnull, rtol=1e-10)


def test_predictions_on_new_rows_know_what_is_held() -> None:
    held = mlekit.fit("k ~ x + z + g", DATA, "poisson", fixed={"x": 0.4, "g[T.b]": -0.1})
    np.testing.assert_allclose(held.predict(DATA), held.fittedvalues, rtol=1e-14)
    np.testing.assert_allclose(held.get_prediction(DATA).summary_frame()["mean"], held.fittedvalues, rtol=1e-14)
    moved = held.predict(DATA.assign(x=DATA.x + 1)) / held.fittedvalues
    np.testing.assert_allclose(moved, np.exp(0.4), rtol=1e-12)


def test_of_arrays() -> None:
    X = pd.DataFrame({"one": 1.0, "x": DATA.x, "z": DATA.z})
    made = Model.from_arrays(DATA.k, X, "poisson", fixed={"x": 0.4}).fit()
    by_formula = mlekit.fit("k ~ x + z", DATA, "poisson", fixed={"x": 0.4})
    np.testing.assert_allclose(made.params, by_formula.params, rtol=1e-10)
    np.testing.assert_allclose(made.predict(X), made.fittedvalues, rtol=1e-14)


def test_a_held_parameter_is_on_its_own_scale() -> None:
    held = mlekit.fit("y ~ x", DATA, "student_t", fixed={"df": 4})

    def negative(theta: Any) -> float:
        return -stats.t.logpdf(DATA.y, 4, theta[0] + theta[1] * DATA.x, np.exp(theta[2])).sum()

    found = optimize.minimize(negative, [1, 1, 0], method="BFGS", options={"gtol": 1e-9})
    np.testing.assert_allclose(held.params, found.x, atol=1e-6)
    np.testing.assert_allclose(held.llf, -found.fun, rtol=1e-12)
    assert held.distribution.loc["df", "estimate"] == pytest.approx(4, rel=1e-14)
    assert held.distribution.loc["df"].isna().sum() == 3
    text = str(held.summary())
    assert "Held, and not estimated: df = 4." in text
    assert " held " in text
    assert held.aic == pytest.approx(-2 * held.llf + 6)


def test_a_known_sigma_gives_the_errors_of_known_variance() -> None:
    held = mlekit.fit("y ~ x", DATA, "normal", fixed={"sigma": 2})
    ols = sm.OLS(DATA.y, sm.add_constant(DATA.x)).fit()
    np.testing.assert_allclose(held.params, ols.params, rtol=1e-12)
    np.testing.assert_allclose(held.bse, np.sqrt(np.diag(ols.normalized_cov_params)) * 2, rtol=1e-12)
    np.testing.assert_allclose(held.llf, stats.norm.logpdf(ols.resid, 0, 2).sum(), rtol=1e-12)


def test_a_perfect_fit_has_a_maximum_if_sigma_is_known() -> None:
    fit = mlekit.fit("y ~ x", {"x": [1.0, 2, 3, 4], "y": [2.0, 4, 6, 8]}, "normal", fixed={"sigma": 1})
    assert fit.converged
    np.testing.assert_allclose(fit.params, [0, 2], atol=1e-12)


def test_everything_may_be_held() -> None:
    fit = mlekit.fit("y ~ x", DATA, "normal", fixed={"Intercept": 1, "x": 1, "sigma": 1.5})
    np.testing.assert_allclose(fit.llf, stats.norm.logpdf(DATA.y, 1 + DATA.x, 1.5).sum(), rtol=1e-13)
    assert fit.params.size == 0
    assert "No Model Parameters" in str(fit.summary())


def test_a_formula_for_a_parameter_has_its_coefficients_held() -> None:
    fit = mlekit.fit({"mu": "y ~ x", "sigma": "~ x"}, DATA, "normal", fixed={"sigma_x": 0.0})
    plain = mlekit.fit("y ~ x", DATA, "normal")
    np.testing.assert_allclose(fit.params, plain.params, rtol=1e-8)
    np.testing.assert_allclose(fit.bse, plain.bse, rtol=1e-8)


def test_what_is_held_is_held_in_every_fold() -> None:
    found = mlekit.cross_validate("k ~ x + g", DATA, "poisson", fixed={"x": 0.4}, loss="log_score", seed=3)
    same = mlekit.cross_validate("k ~ g + offset(0.4 * x)", DATA, "poisson", loss="log_score", seed=3)
    np.testing.assert_allclose(found.mean, same.mean, rtol=1e-10)


def test_a_column_that_is_held_is_collinear_with_none() -> None:
    doubled = DATA.assign(w=2 * DATA.x)
    fit = mlekit.fit("k ~ x + w", doubled, "poisson", fixed={"w": 0.1})
    plain = mlekit.fit("k ~ x", DATA, "poisson")
    assert fit.params["x"] == pytest.approx(plain.params["x"] - 0.2, rel=1e-9)


def test_pickled() -> None:
    fit = mlekit.fit("k ~ x", DATA, "poisson", fixed={"x": 0.4})
    again = pickle.loads(pickle.dumps(fit))
    np.testing.assert_array_equal(again.predict(DATA), fit.predict(DATA))


def test_from_the_command_line(run: Any) -> None:
    status, out, _ = run("fit", AFRICA, *POISSON, "--hold", "parties=0.02")
    assert status == 0
    assert "parties = 0.02" in out
    status, out, _ = run("fit", AFRICA, *POISSON, "--family", "asymmetric_laplace", "--link", "q=0.25")
    assert "0.25 (constant)" in out


@pytest.mark.parametrize(
    ("fixed", "said"),
    [
        ({"w": 1}, r"no meaning for 'w': the coefficients are Intercept, x, .*_z, and the parameters mu, sigma"),
        ({"sigma": 1}, r"sigma has the formula '~ z': hold its coefficients, by the names sigma_Intercept, sigma_z"),
        ({"x": np.nan}, "must be a finite number"),
        ({"x": "1"}, "must be a finite number"),
        ({"x": True}, "must be a finite number"),
    ],
    ids=str,
)
def test_what_cannot_be_held_is_said(fixed: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        mlekit.fit({"mu": "y ~ x", "sigma": "~ z"}, DATA, "normal", fixed=fixed)


def test_what_is_held_twice_or_without_a_name_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"fixed has sigma = 1 and sigma_Intercept = 2, which are the same coefficient"
    ):
        mlekit.fit("y ~ x", DATA, "normal", fixed={"sigma": 1, "sigma_Intercept": 2})
    for unnamed in (["x"], "x", {"x"}):
        with pytest.raises(TypeError, match="fixed must be a dict of values by name"):
            mlekit.fit("y ~ x", DATA, "normal", fixed=unnamed)  # type: ignore[arg-type]


def test_a_parameter_outside_its_domain_is_refused() -> None:
    with pytest.raises(ValueError, match=r"fixed\['sigma'\] must be between 0 and inf, not -1"):
        mlekit.fit("y ~ x", DATA, "normal", fixed={"sigma": -1})
