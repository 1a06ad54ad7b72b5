"""Fits do not depend on units, origins, orders, blocks or starts: each said once, for any family, link and design.

Data sets are those of `tests/fuzz_fits.py`, fitted twice: as they are, and changed in a way whose effect is known.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from mlekit import Model, StartError
from tests.fuzz_fits import Sample, sample

Array = np.ndarray
#: What a change makes of the coefficients of the first parameter: ``new = change.T @ old``, in exact terms.
Change = Callable[[np.random.Generator, Sample], tuple[Sample, Array]]


def unit(rng: np.random.Generator, data: Sample) -> tuple[Sample, Array]:
    """Measure a column in another unit."""
    j, size = int(rng.integers(data.X.shape[1])), 10.0 ** rng.uniform(-12, 12)
    scale = np.ones(data.X.shape[1])
    scale[j] = size
    return replace(data, X=data.X * scale), np.diag(1 / scale)


def origin(rng: np.random.Generator, data: Sample) -> tuple[Sample, Array]:
    """Measure a column from another origin; the intercept makes up for it."""
    assume(data.X.shape[1] > 1 and (data.X[:, 0] == 1).all())
    j = int(rng.integers(1, data.X.shape[1]))
    spread = float(np.ptp(data.X[:, j]))
    shift = spread * 10.0 ** rng.uniform(0, 3)
    X = data.X.copy()
    X[:, j] += shift
    turned = np.eye(X.shape[1])
    turned[0, j] = -shift
    return replace(data, X=X), turned


def columns(rng: np.random.Generator, data: Sample) -> tuple[Sample, Array]:
    """Write the columns in another order."""
    order = rng.permutation(data.X.shape[1])
    return replace(data, X=data.X[:, order]), np.eye(order.size)[order]


def rows(rng: np.random.Generator, data: Sample) -> tuple[Sample, Array]:
    """Read the rows in another order."""
    order = rng.permutation(len(data.y))
    cut = {name: value[order] for name in ("weights", "offset") if (value := getattr(data, name)) is not None}
    return replace(data, y=data.y[order], X=data.X[order], **cut), np.eye(data.X.shape[1])


def _fit(data: Sample, **how: Any) -> Any:
    first = next(iter(data.family.params))
    offset = None if data.offset is None else {first: data.offset}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return Model.from_arrays(data.y, data.X, data.family, weights=data.weights, offset=offset).fit(**how)
        except (ValueError, StartError):
            return None


def _moderate(X: Array) -> bool:
    """Whether squares of the columns are doubles, and the columns are far from collinear."""
    size = np.abs(X).max(axis=0)
    return bool(((size > 1e-100) & (size < 1e100)).all() and np.linalg.cond(X / size) < 1e5)


def _same(one: Any, two: Any, change: Array | None = None) -> None:
    """Compare log-likelihoods, coefficients in standard errors, and the standard errors."""
    assert two.llf == pytest.approx(one.llf, rel=1e-8, abs=1e-8)
    size = one.params.size if change is None else change.shape[0]
    turned = np.eye(one.params.size)
    if change is not None:
        turned[:size, :size] = change
    params = turned @ one.params.to_numpy()
    errors = np.sqrt(np.einsum("ij,jk,ik->i", turned, one.cov_params().to_numpy(), turned))
    # Coefficients that are sums of large ones have the rounding of those.
    slack = 1e-13 * np.abs(turned) @ np.abs(one.params.to_numpy())
    assert (np.abs(two.params - params) <= 1e-4 * errors + slack).all()
    np.testing.assert_allclose(two.bse, errors, rtol=1e-4)


@pytest.mark.parametrize("change", [unit, origin, columns, rows], ids=lambda change: change.__name__)
@given(seed=st.integers(0, 10**6))
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
def test_a_change_of_the_data_that_changes_nothing(change: Change, seed: int) -> None:
    data = sample(seed)
    one = _fit(data)
    assume(one is not None and one.converged and not one.aliased and one.status.name != "LIMIT")
    # The inverse link of a location has a pole amid its domain, and the likelihood a maximum on either side.
    assume(all(link.name != "inverse" for link in data.family.links.values()))
    assume(_moderate(data.X))
    changed, turned = change(np.random.default_rng(seed), data)
    two = _fit(changed)
    assert two is not None
    assert two.converged, two.reason
    _same(one, two, turned)


@given(seed=st.integers(0, 10**6), far=st.floats(0, 3))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
def test_the_start_changes_nothing(seed: int, far: float) -> None:
    data = sample(seed)
    one = _fit(data, method="newton")
    assume(one is not None and one.converged and not one.aliased and one.status.name != "LIMIT")
    assume(_moderate(data.X))
    direction = np.random.default_rng(seed).normal(size=one.params.size)
    start = one.params + far * one.bse * direction
    two = _fit(data, method="newton", start=start)
    if two is not None and two.converged:  # a start may be outside a domain, or from where another peak is nearer
        assert two.llf <= one.llf + 1e-8 * (1 + abs(one.llf))
        if two.llf >= one.llf - 1e-6:
            _same(one, two)
