"""Central differences against jets at every scale, and fits of declared families with them and without."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mpmath import mp
from scipy import special, stats

import mlekit
from mlekit.differences import central_differences
from mlekit.families import FAMILIES, GenericLikelihood
from mlekit.jets import DerivativeError, derivatives
from mlekit.links import POSITIVE, REAL, UNIT, identity, log
from tests import mp as exact


class Gumbel(GenericLikelihood):
    params = {"mu": identity, "beta": log}

    def logpdf(self, y: Any, mu: Any, beta: Any) -> Any:
        z = (y - mu) / beta
        return -z - np.exp(-z) - np.log(beta)


def numeric(cls: type[GenericLikelihood]) -> type[GenericLikelihood]:
    """Return the family with its log-density alone, and differences in place of everything else."""
    names = ("rows", "linear_rows", "base_measure", "information", "start")
    generic = {name: getattr(GenericLikelihood, name) for name in names}
    return type(f"Numeric{cls.__name__}", (cls,), generic | {"derivatives": "numeric"})


def gumbel_rows(mu: float, beta: float) -> tuple[np.ndarray, ...]:
    y = mu + beta * stats.gumbel_r().ppf(np.linspace(0.01, 0.99, 41))
    return y, np.full(41, mu), np.full(41, beta)


@pytest.mark.parametrize("beta", [1e-6, 1e-3, 1.0, 1e3, 1e9])
@pytest.mark.parametrize("mu", [0.0, 1e-300, 1e-9, -1e-3, 1.0, -1e3, 1e5])
def test_steps_follow_the_scale_of_the_density(mu: float, beta: float) -> None:
    """A location may be zero, or many scales away from zero: only the density tells how far to step."""
    y, *theta = gumbel_rows(mu, beta)
    got = central_differences(Gumbel().logpdf, y, *theta, domains=(REAL, POSITIVE))
    want = derivatives(Gumbel().logpdf, y, *theta)
    np.testing.assert_array_equal(got.value, want.value)
    np.testing.assert_allclose(got.grad * beta, want.grad * beta, atol=1e-9, rtol=1e-9)
    np.testing.assert_allclose(got.hess * beta**2, want.hess * beta**2, atol=2e-7, rtol=2e-7)
    total = want.hess.sum(axis=-1)
    np.testing.assert_allclose(got.hess.sum(axis=-1), total, rtol=1e-8, atol=1e-8 * np.abs(total).max())


SCALES: dict[str, tuple[Callable[..., Any], tuple[float, float], list[float]]] = {
    "log": (lambda y, t: np.log(t) - y * t, POSITIVE, [1e-150, 1e-12, 0.3, 1e12, 1e150]),
    "log1p": (lambda y, t: np.log1p(-t) + y * np.log(t), UNIT, [1e-6, 0.2, 0.99, 1 - 1e-4]),
    "gammaln": (lambda y, t: special.gammaln(y + t) - special.gammaln(t), POSITIVE, [1e-8, 0.01, 1.0, 40.0]),
}


@pytest.mark.parametrize("case", SCALES)
def test_no_step_leaves_the_domain(case: str) -> None:
    function, domain, values = SCALES[case]
    theta = np.array(values)
    y = 1 / theta if case == "log" else np.full(theta.size, 2.0)

    def guarded(y: Any, t: Any) -> Any:
        assert np.all((t > domain[0]) & (t < domain[1]))
        return function(y, t)

    got, want = central_differences(guarded, y, theta, domains=[domain]), derivatives(function, y, theta)
    size = np.sqrt(np.abs(want.hess[0]))
    assert np.all(np.abs(got.grad - want.grad) < 1e-8 * np.maximum(size, np.abs(want.grad)))
    np.testing.assert_allclose(got.hess, want.hess, rtol=1e-6)


def test_lower_orders_are_the_same_numbers() -> None:
    y, *theta = gumbel_rows(0.5, 2.0)
    zero, one, two = (central_differences(Gumbel().logpdf, y, *theta, order=order) for order in (0, 1, 2))
    assert zero.grad is zero.hess is one.hess is None
    np.testing.assert_array_equal(zero.value, two.value)
    np.testing.assert_array_equal(one.grad, two.grad)
    np.testing.assert_array_equal(two.hess, two.hess.swapaxes(0, 1))


def test_a_log_density_of_zero_or_without_the_parameter() -> None:
    y = np.array([-1.0, 1.0, 2.0])
    rows = central_differences(lambda y, t: np.where(y > 0, -y * t, -np.inf), y, np.ones(3), domains=[POSITIVE])
    assert rows.value[0] == -np.inf
    np.testing.assert_allclose(rows.grad[0, 1:], -y[1:], rtol=1e-9)
    flat = central_differences(lambda y, t: -y, y, np.zeros(3))
    assert not flat.grad.any()
    assert not flat.hess.any()


# ---------------------------------------------------------------- fits


def test_six_lines_are_a_family() -> None:
    """The fit of the Gumbel against the maximum and the Hessian that mpmath finds."""
    rng = np.random.default_rng(20240607)
    x = rng.normal(size=40).round(3)
    data = pd.DataFrame({"x": x, "y": (2 + 0.7 * x + 1.5 * rng.gumbel(size=40)).round(3)})
    res = mlekit.fit({"mu": "y ~ x", "beta": "~ 1"}, data, Gumbel())

    def total(a: Any, b: Any, c: Any) -> Any:
        z = [(y - a - b * x) / mp.exp(c) for x, y in data.itertuples(index=False)]
        return -mp.fsum(v + mp.exp(-v) for v in z) - len(z) * c

    at = mp.matrix(res.params.tolist())
    with mp.workdps(exact.DIGITS):
        for _ in range(3):
            _, grad, hess = exact.partials(total, list(at))
            at -= mp.lu_solve(mp.matrix(hess), mp.matrix(grad))
        value, grad, hess = exact.partials(total, list(at))
        assert mp.norm(mp.matrix(grad)) < 1e-60
        covariance = -mp.inverse(mp.matrix(hess))
        bse = [mp.sqrt(covariance[j, j]) for j in range(3)]
    assert list(res.params.index) == ["Intercept", "x", "beta_Intercept"]
    np.testing.assert_allclose(res.bse, np.array(bse, dtype=float), rtol=1e-10)
    assert np.all(np.abs(res.params - np.array(list(at), dtype=float)) < 1e-9 * res.bse)
    assert res.llf == pytest.approx(float(value), rel=1e-14)


FITS: dict[str, Callable[..., Any]] = {
    "normal": lambda rng, eta: eta + 0.5 * rng.normal(size=eta.size),
    "exponential": lambda rng, eta: rng.exponential(np.exp(eta)),
    "bernoulli": lambda rng, eta: 1.0 * (rng.random(eta.size) < special.expit(eta)),
    "poisson": lambda rng, eta: 1.0 * rng.poisson(np.exp(eta)),
    "negative_binomial": lambda rng, eta: 1.0 * rng.negative_binomial(2, 1 / (1 + np.exp(eta) / 2)),
    "negative_binomial_1": lambda rng, eta: 1.0 * rng.negative_binomial(np.exp(eta) / 1.5, 1 / 2.5),
    "geometric": lambda rng, eta: rng.geometric(special.expit(eta)) - 1.0,
    "gumbel": lambda rng, eta: eta + 2 * rng.gumbel(size=eta.size),
    "student_t": lambda rng, eta: eta + 0.5 * rng.standard_t(4, size=eta.size),
    "logistic": lambda rng, eta: eta + rng.logistic(size=eta.size),
    "weibull": lambda rng, eta: np.exp(eta) * rng.weibull(1.5, size=eta.size),
    "gamma": lambda rng, eta: np.exp(eta) * rng.gamma(2, size=eta.size),
    "inverse_gaussian": lambda rng, eta: rng.wald(np.exp(eta), 2),
    "beta": lambda rng, eta: rng.beta(4 * special.expit(eta), 4 * special.expit(-eta)),
    "lognormal": lambda rng, eta: np.exp(eta + rng.normal(size=eta.size)),
}


# A difference that takes a row from one piece to the next is no derivative.
SMOOTH = [
    name for name, cls in FAMILIES.items() if name not in exact.PIECEWISE and cls.params and not cls.response_columns
]


@pytest.mark.parametrize("name", SMOOTH)
def test_numeric_fits_as_exact(name: str) -> None:
    rng = np.random.default_rng(3)
    X = np.column_stack([np.ones(300), rng.normal(size=(300, 2))])
    y = FITS[name](rng, X @ [0.3, 0.5, -0.8])
    family = FAMILIES[name]
    want = mlekit.Model.from_arrays(y, X, family=family).fit()
    got = mlekit.Model.from_arrays(y, X, family=numeric(family)).fit()
    assert got.converged
    assert np.all(np.abs(got.params - want.params) < 1e-6 * want.bse)
    np.testing.assert_allclose(got.bse, want.bse, rtol=1e-7)
    assert got.llf == pytest.approx(want.llf, rel=1e-12)


def test_what_jets_cannot_follow_fits_by_differences() -> None:
    class StudentT(GenericLikelihood):
        params = {"mu": identity, "sigma": log}

        def logpdf(self, y: Any, mu: Any, sigma: Any) -> Any:
            return stats.t.logpdf(y, 5, loc=mu, scale=sigma)

    rng = np.random.default_rng(5)
    y, X = rng.standard_t(5, size=200), np.column_stack([np.ones(200), rng.normal(size=200)])
    with pytest.raises(DerivativeError, match="numeric"):
        mlekit.Model.from_arrays(y, X, family=StudentT()).fit()
    res = mlekit.Model.from_arrays(y, X, family=numeric(StudentT)).fit()
    assert res.converged
    assert np.abs(res.model.score(res.params)).max() < 1e-6
