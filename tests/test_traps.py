"""Where other packages return wrong numbers as if nothing had happened: a test for each, with the right answer.

The right numbers are exact fractions, closed forms, maxima found with mpmath, or the reference fits.
"""

from __future__ import annotations

import math
from fractions import Fraction

import mpmath
import numpy as np
import pandas as pd
import pytest
from statsmodels.tools.sm_exceptions import CollinearityWarning, ConvergenceWarning

import mlekit
from mlekit.datasets import load_africa
from tests import reference

SLOPE = reference.load("africa_poisson_parties").expected
PARTIES = "miltcoup ~ parties"


def close(found: float, right: float, rtol: float = 1e-10) -> bool:
    return bool(np.isclose(found, right, rtol=rtol, atol=0))


# ------------------------------------------------------------------------------------ units and origins


@pytest.mark.parametrize("unit", [1e-300, 1e-150, 1e-8, 1e8, 1e150, 1e290])
def test_the_unit_of_a_column_changes_nothing_but_its_coefficient(unit: float) -> None:
    data = load_africa().assign(parties=lambda d: d["parties"] * unit)
    res = mlekit.fit(PARTIES, data, "poisson")
    assert res.converged
    assert close(res.params["parties"] * unit, SLOPE["params"]["parties"])
    assert close(res.bse["parties"] * unit, SLOPE["bse"]["parties"])
    assert close(res.params["Intercept"], SLOPE["params"]["Intercept"], 1e-9)
    assert close(res.llf, SLOPE["llf"], 1e-13)


@pytest.mark.parametrize("shift", [-1e6, 1e4, 1e6, 1e8])
def test_the_origin_of_a_column_changes_nothing_but_the_intercept(shift: float) -> None:
    data = load_africa().assign(parties=lambda d: d["parties"] + shift)
    res = mlekit.fit(PARTIES, data, "poisson")
    assert res.converged
    # The plane of the two columns is known to as many digits as their angle leaves: eight of sixteen at 1e8.
    assert close(res.params["parties"], SLOPE["params"]["parties"], 1e-8)
    assert close(res.bse["parties"], SLOPE["bse"]["parties"], 1e-8)
    assert close(res.llf, SLOPE["llf"], 1e-10)


@pytest.mark.parametrize(
    "offset", [np.full(8, 1e3), np.full(8, -1e3), np.linspace(600, 690, 8), np.linspace(-690, 690, 8)], ids=range(4)
)
def test_offsets_of_any_size(offset: np.ndarray) -> None:
    data = pd.DataFrame({"y": [3, 1, 4, 1, 5, 9, 2, 6], "o": offset})
    res = mlekit.fit("y ~ 1", data, "poisson", offset="o")
    with mpmath.workdps(50):
        right = mpmath.log(31) - mpmath.log(mpmath.fsum(mpmath.exp(mpmath.mpf(o)) for o in offset))
    assert res.converged
    assert res.params["Intercept"] == pytest.approx(float(right), rel=1e-12, abs=1e-12)
    assert close(res.bse["Intercept"], 1 / math.sqrt(31))


# ------------------------------------------------------------------------------------ estimates that are infinite

QUASI = pd.DataFrame({"y": [0, 0, 0, 1, 0, 1], "x1": [0, 0, 1, 1, 0, 0], "x2": [0, 0, 0, 0, 1, 1]})
ZEROS = pd.DataFrame({"y": [0, 0, 0, 0, 3, 5, 2, 4], "g": list("bbbbaaaa")})


def test_separated_outcomes_have_an_infinite_coefficient_and_the_supremum() -> None:
    data = pd.DataFrame({"y": [0, 0, 0, 1, 1, 1], "x": range(1, 7)})
    with pytest.warns(ConvergenceWarning, match="x"):
        res = mlekit.fit("y ~ x", data, "bernoulli")
    assert not res.converged
    assert res.params["x"] == np.inf
    assert res.llf == 0


def test_separation_of_some_rows_leaves_the_others_estimable() -> None:
    with pytest.warns(ConvergenceWarning, match="no finite estimate"):
        res = mlekit.fit("y ~ x1 + x2", QUASI, "bernoulli")
    assert (res.params == [-np.inf, np.inf, np.inf]).all()
    assert close(res.llf, -4 * math.log(2))
    np.testing.assert_allclose(res.predict(), [0, 0, 0.5, 0.5, 0.5, 0.5], rtol=1e-9)
    test = res.lr_test(mlekit.fit("y ~ 1", QUASI, "bernoulli"))
    null = 2 * math.log(2 / 6) + 4 * math.log(4 / 6)
    assert close(float(test.statistic), 2 * (-4 * math.log(2) - null))
    with pytest.warns(ConvergenceWarning, match="no finite estimate"):
        low, high = mlekit.fit("y ~ x1", QUASI.query("x2 == 0"), "bernoulli").conf_int(method="profile").loc["x1"]
    assert np.isfinite(low)
    assert high == np.inf


def test_a_group_of_zeros_has_rate_zero() -> None:
    with pytest.warns(ConvergenceWarning, match="g"):
        res = mlekit.fit("y ~ g", ZEROS, "poisson")
    with mpmath.workdps(50):
        right = mpmath.fsum(y * mpmath.log(3.5) - mpmath.mpf(7) / 2 - mpmath.loggamma(y + 1) for y in (3, 5, 2, 4))
    assert close(res.llf, float(right))
    assert res.llf == pytest.approx(-6.91177067, abs=1e-8)
    assert res.params["g[T.b]"] == -np.inf
    assert close(res.params["Intercept"], math.log(3.5))
    assert close(res.bse["Intercept"], 1 / math.sqrt(14))
    np.testing.assert_allclose(res.predict(), [0, 0, 0, 0, 3.5, 3.5, 3.5, 3.5], rtol=1e-12)


def test_counts_that_are_all_zero_have_rate_zero() -> None:
    with pytest.warns(ConvergenceWarning, match="Intercept"):
        res = mlekit.fit("y ~ 1", pd.DataFrame({"y": [0, 0, 0]}), "poisson")
    assert res.params["Intercept"] == -np.inf
    assert res.llf == 0
    assert (np.asarray(res.predict()) == 0).all()


def test_a_constant_response_has_no_standard_deviation() -> None:
    with pytest.warns(ConvergenceWarning, match="perfect"):
        res = mlekit.fit("y ~ 1", pd.DataFrame({"y": [2.0, 2, 2]}))
    assert res.status is mlekit.Status.UNBOUNDED
    assert res.params["Intercept"] == 2
    assert res.distribution.loc["sigma", "estimate"] == pytest.approx(0, abs=1e-12)


def test_counts_that_vary_less_than_poisson_s_are_poisson_s() -> None:
    data = pd.DataFrame({"y": [3, 2, 3, 3, 2, 3, 3, 2]})
    res = mlekit.fit("y ~ 1", data, "negative_binomial")
    poisson = mlekit.fit("y ~ 1", data, "poisson")
    assert res.status is mlekit.Status.LIMIT
    assert res.distribution.loc["alpha", "estimate"] == 0
    assert close(res.llf, poisson.llf, 1e-13)
    assert "poisson" in res.reason.lower()


@pytest.mark.parametrize(("second", "wald", "lr"), [(92, 66.27, 103.23), (99, 30.48, 141.96)])
def test_where_wald_says_less_although_the_groups_are_further_apart(second: int, wald: float, lr: float) -> None:
    data = pd.DataFrame({"g": list("ab") * 2, "y": [1, 1, 0, 0], "n": [25, second, 75, 100 - second]})
    res = mlekit.fit("y ~ g", data, "bernoulli", weights="n")
    tests = res.term_tests().table.loc["g"]
    assert tests["Wald"] == pytest.approx(wald, abs=0.005)
    assert tests["LR"] == pytest.approx(lr, abs=0.005)


# ------------------------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(("family", "value"), [("bernoulli", 2), ("poisson", -1), ("exponential", -0.5)])
def test_a_response_outside_the_support_is_named(family: str, value: float) -> None:
    data = pd.DataFrame({"y": [0, 1, value, 1], "x": [1, 2, 3, 5]}, index=list("abcd"))
    with pytest.raises(ValueError, match=rf"(?s){value}.*c|c.*{value}"):
        mlekit.fit("y ~ x", data, family)


def test_a_misspelt_argument_is_refused() -> None:
    with pytest.raises(TypeError, match="weigths"):
        mlekit.fit(PARTIES, load_africa(), "poisson", weigths="x")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="freq_weights"):
        mlekit.fit(PARTIES, load_africa(), "poisson", freq_weights="x")  # type: ignore[call-arg]


def test_the_exposure_is_asked_for_again() -> None:
    data = pd.DataFrame({"y": [3, 5, 2, 8], "t": [1.0, 2, 1, 4], "x": [0.0, 1, 0, 1]})
    res = mlekit.fit("y ~ x", data, "poisson", exposure="t")
    with pytest.raises(mlekit.FormulaError, match="t"):
        res.predict(data[["x"]])
    np.testing.assert_allclose(res.predict(data), [2.5, 13 / 3, 2.5, 26 / 3], rtol=1e-10)


def test_a_level_that_is_new_is_named_with_its_column() -> None:
    res = mlekit.fit("y ~ g", pd.DataFrame({"y": [1.0, 2, 3, 5], "g": list("aabb")}))
    with pytest.raises(mlekit.FormulaError, match=r"(?s)g.*'c'|'c'.*g"):
        res.predict(pd.DataFrame({"g": ["c"]}))


# ------------------------------------------------------------------------------------ what is said


@pytest.mark.parametrize("method", ["newton", "bfgs", "nelder-mead", "gd"])
def test_a_fit_that_stopped_short_says_so(method: str) -> None:
    with pytest.warns(ConvergenceWarning, match="What to do"):
        res = mlekit.fit(PARTIES, load_africa(), "poisson", method=method, maxiter=1)
    assert not res.converged
    assert "NO: see below" in str(res.summary())
    assert "What to do" in str(res.summary())


def test_columns_that_are_combinations_of_others_are_named_with_the_relation() -> None:
    data = pd.DataFrame({"x1": [1.0, 2, 3, 4, 5, 7], "y": [1.0, 3, 2, 5, 4, 6]}).assign(x3=lambda d: 2 * d["x1"] + 1)
    with pytest.warns(CollinearityWarning, match=r"x3 = Intercept \+ 2\*x1"):
        res = mlekit.fit("y ~ x1 + x3", data)
    assert dict(res.aliased) == {"x3": "x3 = Intercept + 2*x1"}
    assert "x3" in str(res.summary())
    line = mlekit.fit("y ~ x1", data)
    assert (res.params == line.params).all()


@pytest.mark.parametrize("y", [np.array([True, False, True, True]), ["yes", "no", "yes", "yes"]], ids=["bool", "text"])
def test_outcomes_of_two_kinds_are_taken_and_the_summary_says_which_is_one(y: object) -> None:
    res = mlekit.fit("y ~ 1", pd.DataFrame({"y": y}), "bernoulli")
    assert close(res.params["Intercept"], math.log(3))
    assert ("yes" if isinstance(y, list) else "True") in str(res.summary())


def test_missing_values_weights_and_groups_are_cut_together() -> None:
    data = pd.DataFrame(
        {"y": [1.0, 2, 4, np.nan, 7, 3], "w": [1.0, 2, 1, 3, 1, np.nan], "x": [0, 1, 0, 1, 1, 0], "g": list("aabbcc")}
    )
    res = mlekit.fit("y ~ 1", data, weights="w").with_cov("cluster", groups="g")
    assert close(res.params["Intercept"], float(Fraction(16, 5)))
    assert res.nobs == 5
    assert "2 rows" in str(res.summary())


def test_weights_that_are_not_counts_make_criteria_that_are_said_to_be_none() -> None:
    data = load_africa().assign(w=0.5)
    res = mlekit.fit(PARTIES, data, "poisson", weights="w")
    assert "Not all weights are whole numbers" in str(res.summary())
    assert close(res.params["parties"], SLOPE["params"]["parties"])


# ------------------------------------------------------------------------------------ the right numbers


def test_robust_errors_are_four_different_ones() -> None:
    res = mlekit.fit(PARTIES, load_africa(), "poisson")
    found = {kind: res.with_cov(kind).bse["parties"] for kind in ("HC0", "HC1", "HC2", "HC3")}
    assert len(set(found.values())) == 4
    for kind, error in found.items():
        assert close(error, SLOPE["robust"][kind]["bse"]["parties"], 1e-8)


def test_sigma_is_counted() -> None:
    case = reference.load("heights_ols")
    res = mlekit.fit(case.formula, case.frame)
    assert close(res.aic, case.expected["aic"])


def test_profile_intervals_are_roots_and_not_interpolated() -> None:
    res = mlekit.fit(PARTIES, load_africa(), "poisson")
    low, high = res.conf_int(method="profile").loc["parties"]
    right = SLOPE["confint_profile_95"]["parties"]
    np.testing.assert_allclose([low, high], right, rtol=0, atol=1e-9 * SLOPE["bse"]["parties"])
