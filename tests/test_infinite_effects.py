"""Marginal effects, residuals and score tests where estimates are infinite or at their limit, against statsmodels."""

import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from patsy import PatsyError
from statsmodels.tools.sm_exceptions import ConvergenceWarning

import mlekit
from mlekit.adapters import for_marginaleffects
from mlekit.optimize.base import Status

N = 80
RNG = np.random.default_rng(7)
DATA = pd.DataFrame({"x": RNG.normal(size=N), "g": RNG.choice(list("abc"), N), "h": RNG.choice(["u", "v"], N)})
DATA["k"] = np.where(DATA.g == "a", 0, RNG.poisson(np.exp(0.3 + 0.4 * DATA.x)))
DATA["one"] = (DATA.x > 0).astype(int)
REST = DATA[DATA.g != "a"]


def infinite(formula: str, data: Any, family: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        fit = mlekit.fit(formula, data, family)
    assert fit.status is Status.INFINITE
    return fit


FIT = infinite("k ~ x + C(g)", DATA, "poisson")
# The rows of the others alone have the finite estimates.
THEIRS = smf.poisson("k ~ x + C(g)", REST).fit(disp=0, tol=1e-12)


def their_mean(data: pd.DataFrame, along: str | None = None) -> tuple[float, np.ndarray]:
    """Mean of predictions, or of their slopes in x, with its gradient, by statsmodels' estimates."""
    X = np.column_stack([np.ones(len(data)), data.g == "c", data.x]).astype(float)
    names = ["Intercept", "C(g)[T.c]", "x"]
    mean = np.exp(X @ THEIRS.params[names])
    if along is None:
        return mean.mean(), (X * mean[:, None]).mean(axis=0)
    slope = THEIRS.params["x"]
    return slope * mean.mean(), slope * (X * mean[:, None]).mean(axis=0) + np.array([0, 0, mean.mean()])


def their_error(gradient: np.ndarray) -> float:
    names = ["Intercept", "C(g)[T.c]", "x"]
    return float(np.sqrt(gradient @ THEIRS.cov_params().loc[names, names].to_numpy() @ gradient))


def test_effects_in_the_limit_are_those_of_the_rows_that_stay_uncertain():
    found = FIT.marginal_effects()
    frame = found.frame.set_index(["term", "contrast"])
    for level in "bc":  # the mean of the first level is 0
        mean, gradient = their_mean(DATA.assign(g=level))
        row = frame.loc[("g", f"{level} - a")]
        assert row["estimate"] == pytest.approx(mean, rel=1e-8)
        assert row["std err"] == pytest.approx(their_error(gradient), rel=1e-7)
    slope, gradient = their_mean(REST, along="x")
    share = len(REST) / N
    assert frame.loc[("x", "dy/dx"), "estimate"] == pytest.approx(share * slope, rel=1e-8)
    assert frame.loc[("x", "dy/dx"), "std err"] == pytest.approx(share * their_error(gradient), rel=1e-7)
    assert "take for known what becomes certain" in str(found)


def test_effects_that_are_infinite_or_certain_have_no_standard_errors():
    linear = FIT.marginal_effects(what="linear").frame
    assert linear["estimate"].tolist()[1:] == [np.inf, np.inf]
    assert linear["std err"].isna().tolist() == [False, True, True]
    assert linear["std err"][0] == pytest.approx(THEIRS.bse["x"], rel=1e-7)
    at = FIT.marginal_effects("x", at={"g": ["a", "b"]}).frame
    assert at["estimate"][0] == 0
    assert at["std err"].isna().tolist() == [True, False]


def test_what_depends_on_the_way_to_infinity_has_no_effect():
    frame = infinite("one ~ x + C(g)", DATA, "bernoulli").marginal_effects().frame
    assert frame["estimate"][0] == 0
    assert frame[["estimate", "std err"]].isna().to_numpy().tolist() == [[False, True], [True, True], [True, True]]


def test_differences_of_infinite_estimates_are_refused():
    with pytest.raises(ValueError, match="takes the limits"):
        for_marginaleffects(FIT)


def test_probabilities_of_levels_in_the_limit():
    data = DATA.assign(o=pd.Categorical(np.where(DATA.g == "a", "lo", np.where(DATA.k > 1, "hi", "mid"))))
    data["o"] = data["o"].cat.reorder_categories(["lo", "mid", "hi"], ordered=True)
    fit = infinite("o ~ x + C(g)", data, "ordered_logit")
    frame = fit.marginal_effects("g").frame
    logit = smf.logit("I((k > 1) * 1) ~ x + C(g)", REST).fit(disp=0, tol=1e-12)
    for level in "bc":
        high = logit.predict(DATA.assign(g=level)).mean()
        found = frame[frame["contrast"] == f"{level} - a"].set_index("level")["estimate"]
        assert found[["lo", "mid", "hi"]].tolist() == pytest.approx([-1, 1 - high, high], rel=1e-7)
    assert frame["std err"].isna().all()


def test_residuals_and_score_tests_of_separated_outcomes():
    fit = infinite("one ~ x", DATA, "bernoulli")
    assert np.isfinite(fit.resid_quantile()).all()
    # The score statistic of a slope is that of a correlation.
    found = fit.score_test("x = 0")
    assert found.statistic == pytest.approx(N * np.corrcoef(DATA.x, DATA.one)[0, 1] ** 2, rel=1e-8)
    with pytest.raises(ValueError, match="infinite estimates, where there is no score"):
        fit.score_test("+ h")


def test_a_student_t_at_its_limit_predicts_and_is_tested_as_the_normal():
    y = np.sin(np.arange(N)) + DATA.x
    data = DATA.assign(y=y)
    fit, normal = (mlekit.fit("y ~ x + C(g)", data, family) for family in ("student_t", "normal"))
    assert fit.status is Status.LIMIT
    pd.testing.assert_frame_equal(
        fit.get_prediction(data[:5]).summary_frame(), normal.get_prediction(data[:5]).summary_frame(), rtol=1e-7
    )
    for what in ("mean", "sigma", ("cdf", 0.5)):
        found, known = (each.marginal_effects(what=what) for each in (fit, normal))
        assert found.estimates == pytest.approx(known.estimates, rel=1e-7, abs=1e-12)
        assert found.std_errors == pytest.approx(known.std_errors, rel=1e-6, abs=1e-12)
    assert fit.resid_working.to_numpy() == pytest.approx(normal.resid_working.to_numpy(), rel=1e-6, abs=1e-9)


def test_terms_are_added_to_what_is_constrained():
    data = DATA.assign(z=RNG.normal(size=N), y=RNG.poisson(1.5, N))
    tied = mlekit.fit("y ~ x + z", data, "poisson", constraints="x = z")
    same = smf.poisson("y ~ I(x + z)", data).fit(disp=0, tol=1e-12)
    larger = smf.poisson("y ~ I(x + z) + h", data)
    start = np.array([*same.params[:1], 0.0, *same.params[1:]])
    score = larger.score(start)
    expected = score @ np.linalg.solve(-larger.hessian(start), score)
    assert tied.score_test("+ h").statistic == pytest.approx(expected, rel=1e-7)


def test_what_has_no_variance_has_no_test_and_no_warning():
    fit = mlekit.fit("y ~ x", {"y": [1, 2, 1, 2, 1, 3], "x": np.arange(6.0)}, "negative_binomial")
    assert fit.status is Status.LIMIT
    table = fit.wald_test_terms().table
    assert table["df_constraint"].tolist() == [1, 1, 0]
    assert table["pvalue"].isna().tolist() == [False, False, True]
    with pytest.raises(PatsyError, match=r"cannot read 'q = 0' .*: .* about Intercept, x, alpha_Intercept"):
        fit.wald_test("q = 0")
