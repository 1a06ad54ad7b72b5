"""Likelihood sums against hand computation, other blocks, other coordinates, and differences."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from mlekit import Bernoulli, Model, Normal, Poisson
from mlekit.likelihood import Likelihood, Transformed, cross_product
from mlekit.sources import BLOCK_ROWS, Block

RNG = np.random.default_rng(11)
N = 2 * BLOCK_ROWS + 123
X = np.column_stack([np.ones(N), RNG.normal(size=(N, 2))])
WEIGHT = RNG.integers(1, 4, N).astype(float)


def likelihood(family: object, y: np.ndarray, weight: np.ndarray | None = None) -> Likelihood:
    if isinstance(family, Normal):
        block = Block(y, (X, X[:, :2]), (None, 0.1 * X[:, 2]), weight)
        return Likelihood(family, block, (slice(0, 3), slice(3, 5)))
    return Likelihood(family, Block(y, (X,), (0.1 * X[:, 1],), weight), (slice(0, 3),))


CASES = [
    (Poisson(), RNG.poisson(2, N).astype(float), np.array([0.5, 0.1, -0.2])),
    (Bernoulli(p="probit"), RNG.integers(0, 2, N).astype(float), np.array([0.1, 0.4, -0.3])),
    (Normal(), RNG.normal(size=N), np.array([0.1, 0.2, -0.3, 0.1, 0.2])),
]


def by_hand(family: object, y: np.ndarray, beta: np.ndarray) -> np.ndarray:
    if isinstance(family, Normal):
        return stats.norm.logpdf(y, X @ beta[:3], np.exp(X[:, :2] @ beta[3:] + 0.1 * X[:, 2]))
    eta = X @ beta + 0.1 * X[:, 1]
    return (
        stats.poisson.logpmf(y, np.exp(eta))
        if isinstance(family, Poisson)
        else stats.bernoulli.logpmf(y, stats.norm.cdf(eta))
    )


@pytest.mark.parametrize(("family", "y", "beta"), CASES)
@pytest.mark.parametrize("weight", [None, WEIGHT])
def test_value_and_derivatives(family: object, y: np.ndarray, beta: np.ndarray, weight: np.ndarray | None) -> None:
    found = likelihood(family, y, weight)
    w = np.ones(N) if weight is None else weight
    here = found.evaluate(beta, 2)
    assert here.value == pytest.approx(by_hand(family, y, beta) @ w / w.sum(), rel=1e-12)
    assert found.nobs == w.sum()
    h = 1e-5
    for j in range(beta.size):
        step = h * np.eye(beta.size)[j]
        up, down = found.evaluate(beta + step, 1), found.evaluate(beta - step, 1)
        assert here.gradient[j] == pytest.approx((up.value - down.value) / (2 * h), abs=1e-8)
        assert here.hessian[:, j] == pytest.approx((up.gradient - down.gradient) / (2 * h), abs=1e-8)
    assert (here.hessian == here.hessian.T).all()
    assert w @ found.score_rows(beta) / w.sum() == pytest.approx(here.gradient, abs=1e-13)
    assert found.log_density(beta) == pytest.approx(by_hand(family, y, beta), rel=1e-10)


@pytest.mark.parametrize(("family", "y", "beta"), CASES)
def test_orders_agree_and_weights_are_repeated_rows(family: object, y: np.ndarray, beta: np.ndarray) -> None:
    found = likelihood(family, y, WEIGHT)
    full, half, value = (found.evaluate(beta, order) for order in (2, 1, 0))
    assert value.value == half.value == full.value
    assert (half.gradient == full.gradient).all()
    assert half.hessian is None
    assert value.gradient is None
    repeated = found.part(np.repeat(np.arange(N), WEIGHT.astype(int)))
    repeated = Likelihood(family, Block(repeated.block.y, repeated.block.X, repeated.block.offset), found.slices)
    assert repeated.evaluate(beta, 2).hessian == pytest.approx(full.hessian, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize(("family", "y", "beta"), CASES)
def test_other_coordinates(family: object, y: np.ndarray, beta: np.ndarray) -> None:
    inner = likelihood(family, y)
    matrix = RNG.normal(size=(beta.size, beta.size)) + 3 * np.eye(beta.size)
    gamma = np.linalg.solve(matrix, beta)
    there, here = Transformed(inner, matrix).evaluate(gamma, 2), inner.evaluate(beta, 2)
    assert there.value == pytest.approx(here.value, rel=1e-12)
    assert there.gradient == pytest.approx(matrix.T @ here.gradient, rel=1e-9, abs=1e-12)
    assert there.hessian == pytest.approx(matrix.T @ here.hessian @ matrix, rel=1e-9)


def test_outside_the_domain_the_value_is_minus_infinity() -> None:
    found = Likelihood(Poisson(mu="identity"), Block(np.zeros(3), (np.ones((3, 1)),), (None,)), (slice(0, 1),))
    assert found.evaluate(np.array([-1.0])).value == -np.inf
    assert found.evaluate(np.array([1.0])).value == pytest.approx(-1)


@pytest.mark.parametrize(
    "weight", [np.full(9, -2.0), np.arange(9.0), np.linspace(-1, 1, 9), np.r_[0.0, np.full(8, -1.0)]]
)
def test_cross_product(weight: np.ndarray) -> None:
    x, z = RNG.normal(size=(2, 9, 3))
    assert cross_product(x, weight, x) == pytest.approx(x.T @ np.diag(weight) @ x)
    assert cross_product(x, weight, z) == pytest.approx(x.T @ np.diag(weight) @ z)


def test_model_offers_the_likelihood_to_statsmodels_tools() -> None:
    model = Model.from_arrays(CASES[0][1], X, "poisson")
    params = np.array([0.5, 0.1, -0.2])
    assert model.loglike(params) == pytest.approx(stats.poisson.logpmf(model.endog, np.exp(X @ params)).sum())
    assert model.score(params) == pytest.approx(X.T @ (model.endog - np.exp(X @ params)))
    assert model.hessian(params) == pytest.approx(-(X.T * np.exp(X @ params)) @ X)
    assert model.score_obs(params) == pytest.approx(X * (model.endog - np.exp(X @ params))[:, None])
