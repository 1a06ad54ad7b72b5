"""Derivatives by hand that are not those of the density: no fit with them is said to be good."""

import warnings

import numpy as np
import pytest

import mlekit
from mlekit import GenericLikelihood, Model
from mlekit.families import FAMILIES
from mlekit.jets import Rows
from mlekit.optimize.base import Status
from mlekit.slope_check import own_derivatives, wrong_derivatives
from tests.sample import DATA, Gumbel, NumericGumbel


def upto(order, value, grad, hess):
    return Rows(value, np.array([grad]) if order > 0 else None, np.array([[hess]]) if order > 1 else None)


class Right(GenericLikelihood):
    """A normal of variance one, its derivatives by hand."""

    params = {"mu": "identity"}

    def logpdf(self, y, mu):
        return -0.5 * (y - mu) ** 2 - 0.5 * np.log(2 * np.pi)

    def rows(self, y, mu, order=2):
        return upto(order, self.logpdf(y, mu), y - mu, -1 + 0 * mu)


class WrongGradient(Right):
    """Twice the gradient below zero: the root of the score is elsewhere."""

    def rows(self, y, mu, order=2):
        weight = np.where(y > 0, 1.0, 2.0)
        return upto(order, self.logpdf(y, mu), weight * (y - mu), -weight + 0 * mu)


class WrongHessian(Right):
    """Four times the information: half the standard errors."""

    def rows(self, y, mu, order=2):
        return upto(order, self.logpdf(y, mu), y - mu, -4 + 0 * mu)


class WrongValue(Right):
    """A log-density without its constant, which another method has."""

    def linear_rows(self, y, *eta, order=2):
        rows = super().linear_rows(y, *eta, order=order)
        return rows._replace(value=rows.value + 1)


def quiet(*args, **how):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return mlekit.fit(*args, **how)


@pytest.mark.parametrize("method", ["auto", "bfgs", "nelder-mead"])
@pytest.mark.parametrize(
    ("family", "what"),
    [
        (WrongGradient(), "derivative in mu"),
        (WrongHessian(), "second derivative in mu"),
        (WrongValue(), "value"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_wrong_derivatives_are_found_whichever_the_method(family, what, method):
    fit = quiet("y ~ x", DATA, family, method=method)
    assert fit.status is Status.DERIVATIVES
    assert f"the {what}" in fit.reason
    assert "family.check" in fit.reason
    assert not fit.diagnosis.passed["derivatives"]


def test_restrictions_and_a_penalty_hide_nothing():
    assert quiet("y ~ x", DATA, WrongHessian(), bounds={"x": (None, 0.1)}).status is Status.DERIVATIVES


def test_right_ones_are_not_doubted():
    ours = mlekit.fit("y ~ x", DATA, Right())
    normal = mlekit.fit("y ~ x", DATA, fixed={"sigma": 1.0})
    assert ours.converged
    np.testing.assert_allclose(ours.params, normal.params, rtol=1e-9)
    assert own_derivatives(Right())
    assert own_derivatives(mlekit.Truncated(Right(), lower=-50))
    assert not own_derivatives(Gumbel())
    assert not own_derivatives(NumericGumbel())
    assert not any(own_derivatives(kind()) for kind in FAMILIES.values())


RESPONSES = {
    **dict.fromkeys(("poisson", "negative_binomial", "negative_binomial_1", "geometric"), "k"),
    **dict.fromkeys(("exponential", "weibull", "lognormal", "gamma", "inverse_gaussian"), "u"),
    **dict.fromkeys(("normal", "student_t", "logistic", "gumbel", "huber_normal"), "y"),
    "beta": "s",
    "bernoulli": "b",
    "ordered_logit": "C(g, levels=list('abc'))",
    "multinomial_logit": "g",
}


@pytest.mark.parametrize("name", RESPONSES)
def test_no_family_of_the_package_would_be_doubted(name):
    """Their derivatives are compared with mpmath elsewhere."""
    data = DATA.assign(s=1 / (1 + np.exp(-DATA.y)))
    model = Model.from_formula(f"{RESPONSES[name]} ~ x", data, name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = model.fit()._results
    for gamma in (fit.optimum.gamma, 0.9 * fit.optimum.gamma):
        assert wrong_derivatives(fit.model.working, gamma) == ""
