"""Distributions of a response of levels whose estimates are infinite, beside shares and a fit by statsmodels."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from statsmodels.tools.sm_exceptions import ConvergenceWarning

import mlekit

GROUPS = pd.DataFrame({"y": list("aababcbcbc"), "g": list("uuuuvvvvww")})
# Below 4 there is only "a", and "b" and "c" overlap.
PART = pd.DataFrame({"x": np.arange(1.0, 13.0), "y": list("aaabcbccbcbc")})
ORDERED = "C(y, levels=['a', 'b', 'c'])"


def infinite(formula, data, family):
    with pytest.warns(ConvergenceWarning, match="no finite estimate"):
        return mlekit.fit(formula, data, family)


@pytest.mark.parametrize(("left", "family"), [("y", "multinomial_logit"), (ORDERED, "ordered_logit")])
def test_groups_have_the_shares_of_their_levels(left, family):
    """With a mean for each group, the supremum of the likelihood is at the shares: groups without a level have 0."""
    # Of ordered levels two cutpoints and a location for each of two groups meet the shares.
    data = GROUPS[GROUPS.g != "v"] if family == "ordered_logit" else GROUPS
    shares = pd.crosstab(data.g, data.y, normalize="index")
    fit = infinite(f"{left} ~ g", data, family)
    new = pd.DataFrame({"g": shares.index})
    for level in "abc":
        found = fit.predict(new, "pmf", at=level).to_numpy()
        assert found == pytest.approx(shares[level].to_numpy(), abs=1e-8)
    table = fit.predict(new, "pmf", at=list("abc"))
    assert table.to_numpy() == pytest.approx(shares.to_numpy(), abs=1e-8)
    if family == "ordered_logit":
        upto = shares.cumsum(axis=1)
        for level in "abc":
            assert fit.predict(new, "cdf", at=level).to_numpy() == pytest.approx(upto[level].to_numpy(), abs=1e-8)
            assert fit.predict(new, "sf", at=level).to_numpy() == pytest.approx(1 - upto[level].to_numpy(), abs=1e-8)
        for share in (0.1, 0.7, 0.9):
            expected = (upto.to_numpy() >= share).argmax(axis=1)
            assert fit.predict(new, "quantile", q=share).tolist() == [list("abc")[code] for code in expected]


def test_levels_between_which_nothing_is_infinite_are_those_of_a_fit_of_them():
    fit = infinite("y ~ x", PART, "multinomial_logit")
    rest = PART[PART.y != "a"]
    logit = sm.Logit((rest.y == "c").astype(float), sm.add_constant(rest.x)).fit(disp=0, method="newton", tol=1e-13)
    new = pd.DataFrame({"x": [5.0, 8.0, 20.0]})
    expected = logit.predict(sm.add_constant(new)).to_numpy()
    assert fit.predict(new, "pmf", at="a").tolist() == [0, 0, 0]
    assert fit.predict(new, "pmf", at="c").to_numpy() == pytest.approx(expected, rel=1e-8)
    assert fit.predict(new, "pmf", at="b").to_numpy() == pytest.approx(1 - expected, rel=1e-8)


def test_what_depends_on_the_way_is_nan_and_what_does_not_is_known():
    data = pd.DataFrame({"x": np.arange(1.0, 10.0), "y": list("aaabbbccc")})
    fit = infinite(f"{ORDERED} ~ x", data, "ordered_logit")
    new = pd.DataFrame({"x": [0.0, 3.5, 20.0]})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        assert fit.predict(new, "pmf", at="a").tolist() == pytest.approx([1, np.nan, 0], nan_ok=True)
        assert fit.predict(new, "cdf", at="b").tolist() == [1, 1, 0]  # between "a" and "b", "c" is impossible
        assert fit.predict(new, "sf", at="b").tolist() == [0, 0, 1]
        middle = fit.predict(new, "quantile", q=0.5)
    assert middle.isna().tolist() == [False, True, False]
    assert middle.dropna().tolist() == ["a", "c"]
    with pytest.raises(ValueError, match="no level of the response"):
        fit.predict(new, "pmf", at="z")
    with pytest.raises(ValueError, match="trials= goes with"):
        fit.predict(new, "pmf", at="a", trials=3)
