"""Maxima on a bound, flatter than a quadratic, or of enormous weights, beside SciPy."""

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, stats
from statsmodels.tools.sm_exceptions import ConvergenceWarning

import mlekit
from mlekit.optimize.base import Status
from mlekit.optimize.scipy_methods import NAMES

RNG = np.random.default_rng(0)
ROWS = pd.DataFrame({"x": RNG.normal(size=100)})
ROWS["k"] = RNG.poisson(np.exp(0.5 + 0.3 * ROWS.x))
ROWS["b"] = (RNG.uniform(size=100) < 0.4).astype(float)
LINE = pd.DataFrame({"x": np.arange(10.0)})
LINE["constant"], LINE["straight"] = 3.0, 2 + 3 * LINE.x


# ------------------------------------------------------------------------------------ on a bound


@pytest.mark.parametrize("bounds", [(0.1, None), (0.1, 5.0), (1e-3, None)], ids=str)
@pytest.mark.parametrize("formula", ["constant ~ 1", "constant ~ x", "straight ~ x"])
def test_a_perfect_fit_has_its_maximum_at_the_bound_of_sigma(formula, bounds):
    fit = mlekit.fit(formula, LINE, bounds={"sigma": bounds})
    response, right = formula.split(" ~ ")
    y, X = LINE[response].to_numpy(), np.column_stack([np.ones(10), LINE.x])[:, : 1 + (right == "x")]

    def loss(theta):
        return -stats.norm.logpdf(y, X @ theta[:-1], theta[-1]).sum()

    start, high = [*np.linalg.lstsq(X, y)[0], 1.0], bounds[1]
    reference = optimize.minimize(
        loss, start, method="L-BFGS-B", bounds=[(None, None)] * X.shape[1] + [(bounds[0], high)]
    )
    assert fit.converged
    assert fit.at_bound == ("sigma_Intercept",)
    assert np.exp(fit.params["sigma_Intercept"]) == pytest.approx(reference.x[-1], rel=1e-12)
    assert fit.llf == pytest.approx(-reference.fun, rel=1e-6)
    assert fit.llf == pytest.approx(stats.norm.logpdf(0, scale=bounds[0]) * 10, rel=1e-9)
    # Least squares with a known standard deviation.
    errors = bounds[0] * np.sqrt(np.diag(np.linalg.inv(X.T @ X)))
    assert fit.bse.to_numpy()[:-1] == pytest.approx(errors, rel=1e-9)
    assert np.isnan(fit.bse["sigma_Intercept"])


def test_a_perfect_fit_below_a_bound_from_above_has_no_maximum():
    with pytest.warns(ConvergenceWarning, match="no maximum"):
        assert mlekit.fit("constant ~ 1", LINE, bounds={"sigma": (None, 5.0)}).status is Status.UNBOUNDED


# ------------------------------------------------------------------------------------ flatter than a quadratic


def flat(unit, power):
    class Flat(mlekit.GenericLikelihood):
        """A log-density without a second derivative at its maximum, which is at ``unit``."""

        params = {"a": "identity"}

        def logpdf(self, y, a):
            return -(((a - unit) / unit) ** power) + 0 * y

    return Flat()


@pytest.mark.parametrize("method", ["auto", "nelder-mead"])
@pytest.mark.parametrize("unit", [3.0, 1e-6, 1e6])
def test_a_maximum_flatter_than_a_quadratic_has_no_standard_errors(unit, method):
    data = {"y": RNG.normal(size=20)}
    with pytest.warns(ConvergenceWarning, match="flatter than a quadratic.*function of the parameter"):
        fit = mlekit.fit("y ~ 1", data, flat(unit, 4), method=method)
    assert fit.status is Status.FLAT
    assert fit.params.to_numpy() == pytest.approx([unit], rel=1e-2)
    assert fit.bse.isna().all()
    assert not fit.diagnosis.loc["information", "passed"]
    curved = mlekit.fit("y ~ 1", data, flat(unit, 2), method=method)
    assert curved.converged
    assert curved.bse.to_numpy() == pytest.approx([unit / np.sqrt(40)], rel=1e-6)  # 2 / unit**2 for each row


@pytest.mark.parametrize("unit", [1e-200, 1e-8, 1e8, 1e200])
@pytest.mark.parametrize(("response", "family"), [("k", "poisson"), ("b", "bernoulli")])
def test_little_information_in_some_units_is_no_flat_maximum(unit, response, family):
    fit = mlekit.fit(f"{response} ~ z", ROWS.assign(z=ROWS.x * unit), family)
    reference = mlekit.fit(f"{response} ~ x", ROWS, family)
    assert fit.converged
    assert fit.bse["z"] * unit == pytest.approx(reference.bse["x"], rel=1e-9)


# ------------------------------------------------------------------------------------ enormous weights


@pytest.mark.parametrize("weight", [1e9, 1e14, 1e-14])
@pytest.mark.parametrize("method", sorted({*NAMES, "newton", "fisher", "gd"} - {"trust-krylov"}))
def test_a_weight_that_is_the_same_everywhere_changes_no_estimate(method, weight):
    for response, family in (("k", "poisson"), ("b", "bernoulli")):
        reference = mlekit.fit(f"{response} ~ x", ROWS, family)
        fit = mlekit.fit(f"{response} ~ x", ROWS, family, weights=np.full(100, weight), method=method)
        assert fit.converged
        # 1e-3 standard errors of all rows is where a method may stop.
        distance = np.abs(fit.params - reference.params) / reference.bse * np.sqrt(max(weight, 1.0))
        assert distance.max() < 1e-3 + 1e-14 * np.sqrt(max(weight, 1.0))
        assert fit.bse.to_numpy() * np.sqrt(weight) == pytest.approx(reference.bse.to_numpy(), rel=1e-6)
        assert fit.diagnosis["passed"].map(lambda passed: passed is not False).all()


def test_a_limit_of_the_user_is_not_got_round_with_enormous_weights():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        fit = mlekit.fit("k ~ x", ROWS, "poisson", weights=np.full(100, 1e14), method="bfgs", maxiter=1)
    assert fit.status is Status.ITERATION_LIMIT


def test_cobyla_from_far_away_ends_at_its_limit_or_at_the_maximum():
    reference = mlekit.fit("k ~ x", ROWS, "poisson")
    fit = mlekit.fit("k ~ x", ROWS, "poisson", method="cobyla", start=[30.0, -20.0])
    assert fit.optimum.evaluations < 2000
    assert fit.params.to_numpy() == pytest.approx(reference.params.to_numpy(), rel=1e-5)
