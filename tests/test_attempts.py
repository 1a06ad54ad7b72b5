"""Several starts and methods: the highest of several maxima, from any start, and a word where there are others."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, stats
from statsmodels.tools.sm_exceptions import ConvergenceWarning

import mlekit
from tests import fuzz_fits


class Cauchy(mlekit.GenericLikelihood):
    """A location whose likelihood has a maximum near every cluster of responses."""

    params = {"mu": "identity"}

    def logpdf(self, y, mu):
        return -np.log(np.pi) - np.log1p((y - mu) ** 2)


class Mixture(mlekit.GenericLikelihood):
    """Two normal distributions of known width: which is which is anybody's guess, and one may take all."""

    params = {"low": "identity", "high": "identity", "share": "logit"}

    def logpdf(self, y, low, high, share):
        one = np.log(share) - 0.5 * (y - low) ** 2
        two = np.log1p(-share) - 0.5 * (y - high) ** 2
        return np.logaddexp(one, two) - 0.5 * np.log(2 * np.pi)


CLUSTERS = pd.DataFrame({"y": [-10.0, -9.8, 0.0, 12.0, 12.3, 12.2]})


def highest(y: np.ndarray) -> tuple[float, float]:
    """Location and log-likelihood at the highest of all maxima, by SciPy from a fine grid."""
    found = [
        optimize.minimize_scalar(lambda mu: -stats.cauchy.logpdf(y, mu).sum(), (at, at + 0.01), options={"xtol": 1e-12})
        for at in np.linspace(y.min(), y.max(), 200)
    ]
    best = min(found, key=lambda each: each.fun)
    return float(best.x), -float(best.fun)


def test_of_many_starts_the_highest_counts_and_others_are_told() -> None:
    mu, llf = highest(CLUSTERS["y"].to_numpy())
    with pytest.warns(ConvergenceWarning, match=r"\d of 10 starts ended at lower maxima"):
        res = mlekit.fit("y ~ 1", CLUSTERS, Cauchy(), n_starts=10)
    assert res.converged
    assert res.params["Intercept"] == pytest.approx(mu, abs=1e-7)
    assert res.llf == pytest.approx(llf, rel=1e-12)
    check = res.diagnosis.loc["other maxima"]
    assert not check["passed"]
    assert "n_starts" in check["remedy"]
    assert "lower maxima" in str(res.summary()).replace("\n    ", " ")
    assert len(res.attempts) == 10
    assert mlekit.fit("y ~ 1", CLUSTERS.iloc[3:], Cauchy(), n_starts=10).diagnosis.loc["other maxima", "passed"]


@pytest.mark.parametrize("start", [-10.0, 0.0, 1e6])
def test_a_start_at_a_lower_maximum_does_not_keep_the_fit_there(start: float) -> None:
    with pytest.warns(ConvergenceWarning, match="lower maxima"):
        res = mlekit.fit("y ~ 1", CLUSTERS, Cauchy(), start=[start])
    assert res.params["Intercept"] == pytest.approx(highest(CLUSTERS["y"].to_numpy())[0], abs=1e-7)


def test_a_mixture() -> None:
    rng = np.random.default_rng(5)
    y = np.concatenate([rng.normal(-2, 1, 60), rng.normal(3, 1, 40)])
    formulas = {"low": "y ~ 1", "high": "~ 1", "share": "~ 1"}
    res = mlekit.fit(formulas, {"y": y}, Mixture(), n_starts=20)

    def density(theta: np.ndarray) -> np.ndarray:
        low, high, share = theta
        return share * stats.norm.pdf(y, low, 1) + (1 - share) * stats.norm.pdf(y, high, 1)

    def loss(theta: np.ndarray) -> float:
        return -float(np.log(density(theta)).sum())

    best = min(
        (
            optimize.minimize(loss, [a, b, 0.5], bounds=[(-9, 9), (-9, 9), (1e-6, 1 - 1e-6)])
            for a in (-3, 0, 3)
            for b in (-3, 0, 3)
        ),
        key=lambda found: found.fun,
    )
    assert res.converged
    assert res.llf == pytest.approx(-best.fun, abs=1e-6)


@pytest.mark.parametrize("method", ["auto", "newton", "bfgs"])
def test_a_start_that_is_far_out_decides_nothing(method: str) -> None:
    data = {"y": [0, 1, 0, 1, 4, 0, 2, 1], "x": [1, 2, 3, 4, 5, 6, 7, 9]}
    right = mlekit.fit("y ~ x", data, "poisson")
    far = mlekit.fit("y ~ x", data, "poisson", method=method, start=[-600, 1])
    assert far.converged
    assert ((far.params - right.params).abs() < 1e-5 * right.bse).all()
    assert "started from" in far.reason


def test_an_iteration_limit_of_the_user_s_is_kept() -> None:
    with pytest.warns(ConvergenceWarning, match="iteration limit"):
        res = mlekit.fit("y ~ x", {"y": [0, 1, 0, 1, 1], "x": [1, 2, 3, 4, 5]}, "bernoulli", maxiter=1)
    assert len(res.attempts) == 1


def test_where_newton_s_method_leads_nowhere_another_does() -> None:
    given = fuzz_fits.sample(2470)  # gamma, with a square root for the link of its shape
    offset = None if given.offset is None else {"mu": given.offset}
    model = mlekit.Model.from_arrays(given.y, given.X, given.family, weights=given.weights, offset=offset)
    with pytest.warns(ConvergenceWarning):
        assert not model.fit("newton").converged
    res = model.fit()
    assert res.converged
    assert "started from where bfgs ended" in res.reason


def test_wrong_numbers_of_starts() -> None:
    for wrong in (0, -1, 2.5, "3", True):
        with pytest.raises(ValueError, match="n_starts must be a positive whole number"):
            mlekit.fit("y ~ 1", CLUSTERS, n_starts=wrong)  # type: ignore[arg-type]
    assert len(mlekit.fit("y ~ 1", CLUSTERS, n_starts=None)._results.attempts) == 1  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="n_starts is for fits without"):
        mlekit.fit("y ~ 1", CLUSTERS, n_starts=3, penalty=mlekit.Ridge(1.0))


def test_degrees_of_freedom_that_ran_off_are_not_called_converged() -> None:
    given = fuzz_fits.sample(
        9266
    )  # scoring takes the log of Student's df to 1e39, where the information is all but gone
    with pytest.warns(ConvergenceWarning):
        res = mlekit.Model.from_arrays(given.y, given.X, given.family).fit()
    assert not res.converged
    assert not any(each.verdict.status.ok for each in res.attempts)
