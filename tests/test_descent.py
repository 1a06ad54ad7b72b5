"""The update rules, and fits by gradient descent: stable where theory says so, at the maximum, with a full trace."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import statsmodels.api as sm

import mlekit
from mlekit import Model, Poisson, StartError
from mlekit.optimize import Step, maximize
from mlekit.optimize.descent import RULES, descend

AFRICA = mlekit.datasets.load_africa()
CURVATURES = np.array([0.3, 2.0, 5.0])


def end(rule: str, rate: float, momentum: float) -> float:
    """Distance to the minimum of a quadratic after many steps."""
    batch = (1.0, lambda beta: (0.5 * float(CURVATURES @ beta**2), CURVATURES * beta))
    walk = descend(itertools.repeat([batch], 2000), np.ones(3), RULES[rule], rate, momentum)
    return float(np.abs(list(walk)[-1].beta).max())


@pytest.mark.parametrize(("rule", "momentum"), [("gd", 0.0), ("sgd", 0.5), ("sgd", 0.9), ("nesterov", 0.5)])
def test_stability_limits_are_sharp(rule: str, momentum: float) -> None:
    limit = RULES[rule].stability(momentum) / CURVATURES.max()
    assert end(rule, 0.99 * limit, momentum) < 1e-10
    assert end(rule, 1.01 * limit, momentum) > 1e10


def test_the_largest_step_of_adam_is_its_rate() -> None:
    """With gradients of one sign and size, both of adam's means are exact from the first step on."""
    batch = (1.0, lambda beta: (float(beta[0]), np.full(2, 1e3)))
    walk = descend(itertools.repeat([batch], 5), np.zeros(2), RULES["adam"], 0.25)
    assert [epoch.beta[0] for epoch in walk] == pytest.approx([-0.25, -0.5, -0.75, -1.0, -1.25], rel=1e-10)


def test_an_epoch_weighs_its_batches_by_their_rows() -> None:
    """Batches of 3 and 1 rows: the loss is the mean over rows, each before its own step."""
    batches = [(0.75, lambda beta: (2.0, np.ones(1))), (0.25, lambda beta: (6.0, np.full(1, 5.0)))]
    (epoch,) = descend([batches], np.zeros(1), RULES["sgd"], 0.1)
    assert (epoch.number, epoch.loss, epoch.steps) == (1, 3.0, 2)
    assert epoch.gradient == pytest.approx([2.0])
    assert epoch.beta == pytest.approx([-0.6])


@pytest.mark.parametrize("method", ["gd", "sgd"])
@pytest.mark.parametrize("family", ["poisson", "bernoulli", "exponential"])
def test_many_rows_from_far_away(family: str, method: str) -> None:
    """5000 rows from zero, by batches that grow from 50 rows on: the maximum is statsmodels'."""
    rng = np.random.default_rng(3)
    X = np.column_stack([np.ones(5000), rng.normal(size=(5000, 4))])
    eta = X @ np.array([0.5, 0.4, -0.3, 0.2, -0.1])
    y, peer = {
        "poisson": (rng.poisson(np.exp(eta)), sm.families.Poisson()),
        "bernoulli": (rng.random(5000) < 1 / (1 + np.exp(-eta)), sm.families.Binomial()),
        "exponential": (rng.exponential(np.exp(eta)), sm.families.Gamma(sm.families.links.Log())),
    }[family]
    theirs = sm.GLM(y.astype(float), X, peer).fit(tol=1e-13, scale=1.0)
    fit = Model.from_arrays(y.astype(float), X, family).fit(method, start=np.zeros(5))
    assert fit.converged
    assert (np.abs(fit.params.to_numpy() - theirs.params) / theirs.bse).max() < 1e-5
    assert fit.method == method


def test_the_trace_of_growing_batches() -> None:
    """Far from the maximum a pass by batches goes further than a step on all rows."""
    rng = np.random.default_rng(4)
    X = np.column_stack([np.ones(4000), rng.normal(size=4000)])
    model = Model.from_arrays(rng.poisson(np.exp(X @ [1.0, 0.5])).astype(float), X, "poisson")
    told: list[Step] = []
    slow, quick = (model.fit(method, start=[0.0, 0.0], callback=told.append) for method in ("gd", "sgd"))
    assert len(told) == len(slow.trace) + len(quick.trace)
    for fit in (slow, quick):
        assert fit.trace["iteration"].tolist() == list(range(fit.iterations + 1))
        assert fit.trace["decrement"].iloc[-1] < 1e-6
        assert fit.trace["llf"].iloc[-1] == pytest.approx(fit.llf, rel=1e-14)
        assert fit.trace["seconds"].is_monotonic_increasing
    below = {fit.method: fit.llf - fit.trace["llf"].iloc[2] for fit in (slow, quick)}
    assert below["sgd"] < 0.05 * below["gd"]


@pytest.mark.parametrize("method", ["gd", "sgd"])
def test_a_step_out_of_the_domain_is_taken_back(method: str) -> None:
    """With the identity link the mean of some rows would become negative on the way."""
    fit = mlekit.fit("miltcoup ~ oligarchy", AFRICA, Poisson(mu="identity"), method=method, start=[5.0, 0.0])
    best = mlekit.fit("miltcoup ~ oligarchy", AFRICA, Poisson(mu="identity"), method="newton")
    assert fit.converged
    assert ((fit.params - best.params) / best.bse).abs().max() < 1e-5
    with pytest.raises(StartError, match="not finite at the start"):
        maximize(best.model.likelihood, np.array([-1.0, 0.0]), method)


@pytest.mark.parametrize("method", ["gd", "sgd"])
@pytest.mark.parametrize("tol", [1e-1, 1e-4, 1e-8])
def test_tolerance_is_in_standard_errors(tol: float, method: str) -> None:
    best = mlekit.fit("miltcoup ~ parties + popn", AFRICA, "poisson", method="newton")
    found = maximize(best.model.working, np.zeros(3), method, tol=tol)
    step = best.model.matrix @ found.gamma - best.params.to_numpy()
    distance = np.sqrt(step @ np.linalg.solve(best.cov_params(), step))
    assert distance < 1.1 * tol
    assert found.trace[-1].decrement == pytest.approx(distance, rel=0.1, abs=1e-9)
    assert found.trace[-3].decrement > tol


@pytest.mark.parametrize("method", ["gd", "sgd"])
def test_a_tolerance_below_rounding_ends_all_the_same(method: str) -> None:
    fit = mlekit.fit("miltcoup ~ parties", AFRICA, "poisson", method=method, tol=1e-30)
    assert fit.converged
    assert fit.iterations < 2000
    assert "as close as rounding lets it" in fit.optimum.reason
