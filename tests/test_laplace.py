"""Laplace and asymmetric Laplace: the densities, their standard errors, summaries and predictions."""

from __future__ import annotations

import pickle
import warnings
from typing import Any

import numpy as np
import pytest
from scipy import integrate, stats
from statsmodels.tools.sm_exceptions import ConvergenceWarning

import mlekit
from mlekit.families import AsymmetricLaplace, Laplace
from tests.reference import load

CARS = load("laplace_lad_cars").frame
X = np.column_stack([np.ones(50), CARS.speed])
FAMILIES = [Laplace(), AsymmetricLaplace(q=0.2), AsymmetricLaplace(q=0.9)]
each_family = pytest.mark.parametrize("family", FAMILIES, ids=repr)


def distribution(family: Any, mu: Any, b: Any) -> Any:
    if isinstance(family, Laplace):
        return stats.laplace(mu, b)
    root = np.sqrt(family.q * (1 - family.q))
    return stats.laplace_asymmetric(np.sqrt(family.q / (1 - family.q)), loc=mu, scale=b / root)


@each_family
def test_against_scipy(family: Any) -> None:
    y, mu, b = np.linspace(-30, 40, 71), 1.5, 2.5
    theirs = distribution(family, mu, b)
    np.testing.assert_allclose(family.logpdf(y, mu, b), np.log(theirs.pdf(y)), rtol=1e-13)
    assert family.mean(mu, b) == pytest.approx(theirs.mean(), rel=1e-14)
    assert family.variance(mu, b) == pytest.approx(theirs.var(), rel=1e-14)
    assert theirs.cdf(mu) == pytest.approx(family.quantile_level, rel=1e-14)


@each_family
def test_density_is_one(family: Any) -> None:
    ends = ((-np.inf, 1), (1, np.inf))
    total = sum(integrate.quad(lambda t: np.exp(family.logpdf(t, 1.0, 2.0)), *each, epsabs=1e-12)[0] for each in ends)
    assert total == pytest.approx(1, rel=1e-10)


def test_the_middle_one_is_laplace_of_twice_the_scale() -> None:
    y = np.array([-3.0, 0.5, 1.0, 8.0])
    np.testing.assert_allclose(AsymmetricLaplace().logpdf(y, 1.0, 0.7), Laplace().logpdf(y, 1.0, 1.4), rtol=1e-15)
    one, other = (mlekit.fit("dist ~ speed", CARS, family) for family in (AsymmetricLaplace(), Laplace()))
    assert one.llf == pytest.approx(other.llf, rel=1e-14)
    assert one.bse["speed"] == pytest.approx(other.bse["speed"], rel=1e-13)
    assert 2 * one.distribution.estimate["b"] == pytest.approx(other.distribution.estimate["b"], rel=1e-14)


@each_family
def test_at_the_kink_the_subgradient_is_zero(family: Any) -> None:
    rows = family.linear_rows(np.array([1.0]), np.array([1.0]), np.array([0.0]))
    assert rows.grad[0].tolist() == [0.0]
    assert rows.grad[1].tolist() == [-1.0]
    assert np.isfinite(rows.hess).all()


def test_links() -> None:
    with pytest.raises(ValueError, match="'log' does not suit Laplace's mu: use identity"):
        Laplace(mu="log")
    want = mlekit.fit("dist ~ speed", CARS, "laplace")
    for link in Laplace.links_for["b"]:
        fit = mlekit.fit("dist ~ speed", CARS, Laplace(b=link))
        assert fit.converged
        assert fit.llf == pytest.approx(want.llf, rel=1e-14)
        assert fit.distribution.estimate["b"] == pytest.approx(11.276, rel=1e-13)


# ------------------------------------------------------------------------------------ standard errors


@each_family
def test_standard_errors_are_those_of_the_expected_information(family: Any) -> None:
    """Koenker and Bassett (1978): the inverse of X'X times q(1 - q) over the squared density at the quantile."""
    fit = mlekit.fit("dist ~ speed", CARS, family)
    q, b = family.quantile_level, fit.distribution.estimate["b"]
    density = np.exp(family.logpdf(np.zeros(1), 0.0, b))[0]
    want = q * (1 - q) / density**2 * np.linalg.inv(X.T @ X)
    np.testing.assert_allclose(fit.cov_params().to_numpy()[:2, :2], want, rtol=1e-11)
    assert fit.bse["b_Intercept"] == pytest.approx(1 / np.sqrt(50), rel=1e-12)
    assert fit.cov_params().to_numpy()[0, 2] == 0
    same = mlekit.fit("dist ~ speed", CARS, family, cov_type="eim")
    assert same.bse.tolist() == fit.bse.tolist()
    assert "Standard errors: expected information (the density has a kink, and no observed one)" in fit.notes[1]


def test_the_formula_is_right_for_the_distribution() -> None:
    """Over 300 samples from the model, the estimates scatter as the standard errors say."""
    rng = np.random.default_rng(0)
    family = AsymmetricLaplace(q=0.3)
    x = np.column_stack([np.ones(3000), np.linspace(-1, 1, 3000)])
    draws = distribution(family, x @ [1.0, 2.0], 0.5).rvs((300, 3000), random_state=rng)
    fits = [mlekit.Model.from_arrays(y, x, family).fit() for y in draws]
    estimates = np.array([fit.params for fit in fits])
    errors = np.mean([fit.bse for fit in fits], axis=0)
    assert estimates.mean(axis=0) == pytest.approx([1.0, 2.0, np.log(0.5)], abs=0.01)
    assert estimates.std(axis=0) == pytest.approx(errors, rel=0.1)
    assert all(fit.converged for fit in fits)


def test_outer_product_of_gradients() -> None:
    fit = mlekit.fit("dist ~ speed", CARS, "laplace", cov_type="opg")
    residual = CARS.dist.to_numpy() - X @ [-11.6, 3.4]
    sign = np.where(np.abs(residual) < 1e-9, 0, np.sign(residual))
    scores = np.column_stack([X * sign[:, None] / 11.276, np.abs(residual) / 11.276 - 1])
    np.testing.assert_allclose(fit.cov_params(), np.linalg.inv(scores.T @ scores), rtol=1e-9)


@each_family
def test_the_sandwich_is_refused(family: Any) -> None:
    with pytest.raises(ValueError, match="has kinks in its place: the density of the errors at zero would have to be"):
        mlekit.fit("dist ~ speed", CARS, family, cov_type="HC0")


def test_use_t_changes_no_standard_error() -> None:
    """Least squares has an unbiased scale; the mean of absolute residuals has none that is known."""
    plain, t = (mlekit.fit("dist ~ speed", CARS, "laplace", use_t=use) for use in (False, True))
    assert t.bse.tolist() == plain.bse.tolist()
    assert t.pvalues["speed"] > plain.pvalues["speed"]
    assert "ordinary least squares" not in "".join(t.notes + plain.notes)


# ------------------------------------------------------------------------------------ what a fit shows


def test_summary_shows_the_constant() -> None:
    text = mlekit.fit("dist ~ speed", CARS, AsymmetricLaplace(q=0.25)).summary().as_text()
    line = next(line for line in text.splitlines() if line.startswith("q:"))
    assert line.split()[:3] == ["q:", "0.25", "(constant)"]
    assert "LL-Null" in text


def test_results_are_whole() -> None:
    family = AsymmetricLaplace(q=0.25)
    fit = mlekit.fit("dist ~ speed", CARS, family)
    b = fit.distribution.estimate["b"]
    shift = b * (1 / 0.25 - 1 / 0.75)
    quantile = X @ fit.params.to_numpy()[:2]
    assert fit.fittedvalues.to_numpy() == pytest.approx(quantile + shift, rel=1e-13)
    assert fit.predict({"speed": [10.0]}, "mu")[0] == pytest.approx(fit.params["Intercept"] + 10 * fit.params["speed"])
    frame = fit.get_prediction({"speed": [10.0, 20.0]}).summary_frame()
    assert (frame["mean_ci_lower"] < frame["mean"]).all()
    assert (frame["mean"] < frame["mean_ci_upper"]).all()
    again = pickle.loads(pickle.dumps(fit))
    assert again.model.family == family
    assert again.predict({"speed": [10.0]}).tolist() == fit.predict({"speed": [10.0]}).tolist()
    residual = CARS.dist.to_numpy() - quantile
    loss = np.sum(residual * (0.25 - (residual < -1e-9)))
    assert fit.deviance == pytest.approx(2 * loss, rel=1e-12)
    assert b == pytest.approx(loss / 50, rel=1e-12)
    assert fit.llnull == pytest.approx(mlekit.fit("dist ~ 1", CARS, family).llf, rel=1e-14)
    assert fit.llr > 20


@pytest.mark.parametrize("q", [1e-6, 1 - 1e-9])
def test_extreme_levels(q: float) -> None:
    """The line runs below, or above, all rows."""
    fit = mlekit.fit("dist ~ speed", CARS, AsymmetricLaplace(q=q))
    assert fit.converged
    residual = CARS.dist.to_numpy() - X @ fit.params.to_numpy()[:2]
    assert (residual > -1e-9).all() if q < 0.5 else (residual < 1e-9).all()


class Mine(Laplace):
    """A family of a user's with a kink, and nothing but its density."""

    rows = mlekit.GenericLikelihood.rows
    linear_rows = mlekit.GenericLikelihood.linear_rows

    def logpdf(self, y: Any, mu: Any, b: Any) -> Any:
        return -np.abs(y - mu) / b - np.log(2 * b)


def test_a_density_by_jets_is_solved_as_well() -> None:
    fit = mlekit.fit("dist ~ speed", CARS, Mine())
    assert fit.converged
    assert fit.params.to_numpy()[:2] == pytest.approx([-11.6, 3.4], rel=1e-12)


def test_a_density_with_a_kink_that_is_not_declared_is_not_taken_for_converged() -> None:
    class Undeclared(mlekit.GenericLikelihood):
        params = {"mu": "identity", "b": "log"}

        def logpdf(self, y: Any, mu: Any, b: Any) -> Any:
            return -np.abs(y - mu) / b - np.log(2 * b)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        assert not mlekit.fit("dist ~ speed", CARS, Undeclared()).converged


def test_a_density_with_a_kink_needs_its_information() -> None:
    class Bare(Mine):
        information = mlekit.GenericLikelihood.information

    with pytest.raises(ValueError, match=r"Bare\(\) does not give: define information"):
        mlekit.fit("dist ~ speed", CARS, Bare())
