"""Coordinates: orthogonality, rank, and invariance of fits to units, origin, order and start."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import mlekit
from mlekit.basis import SAMPLE_ROWS, basis, centred_basis, has_constant, relation

RNG = np.random.default_rng(7)
AFRICA = mlekit.datasets.load_africa()


def polynomial(rows: int, degree: int) -> np.ndarray:
    return np.vander(np.linspace(1, 3, rows), degree + 1, increasing=True)


@pytest.mark.parametrize("scale", [1.0, 1e-300, 1e300])
def test_coordinates_are_orthogonal_and_lead_back(scale: float) -> None:
    X = polynomial(60, 4) * scale
    found = basis(X)
    Z = found.columns
    assert Z is not None
    assert np.abs(Z.T @ Z / 60 - np.eye(5)).max() < 1e-13
    # X @ matrix is Z to within the rounding that its condition number allows.
    assert np.abs((X / scale) @ (found.matrix * scale) - Z).max() < 1e-9


def test_many_rows_are_not_copied_and_well_conditioned() -> None:
    X = np.column_stack([np.ones(3 * SAMPLE_ROWS), RNG.normal(5, 1, size=(3 * SAMPLE_ROWS, 3))])
    found = basis(X)
    assert found.columns is None
    values = np.linalg.eigvalsh((X @ found.matrix).T @ (X @ found.matrix) / len(X))
    assert 0.9 < values.min() <= values.max() < 1.1


def test_many_rows_far_from_the_origin_are_orthogonalised_in_full() -> None:
    X = np.column_stack([np.ones(2 * SAMPLE_ROWS + 1), 1e6 + RNG.normal(size=2 * SAMPLE_ROWS + 1)])
    assert basis(X).columns is not None


@pytest.mark.parametrize("rows", [50, 2 * SAMPLE_ROWS])
def test_later_columns_are_dropped_with_their_relation(rows: int) -> None:
    x1, x2 = RNG.normal(size=(2, rows))
    X = np.column_stack([np.ones(rows), x1, 1 + 2 * x1, x2, np.zeros(rows), x2 - x1])
    found = basis(X)
    assert found.kept == (0, 1, 3)
    names = ["Intercept", "x1", "x2"]
    words = [relation(f"c{j}", c, names) for j, c in found.dropped.items()]
    assert words == ["c2 = Intercept + 2*x1", "c4 = 0", "c5 = -x1 + x2"]


def test_a_level_that_few_rows_have_is_not_lost_in_the_sample() -> None:
    rare = np.zeros(4 * SAMPLE_ROWS)
    rare[17] = 1
    found = basis(np.column_stack([np.ones(rare.size), rare]))
    assert found.kept == (0, 1)


def test_near_collinearity_is_not_exact_collinearity() -> None:
    x = RNG.normal(size=40)
    assert basis(np.column_stack([x, x + 1e-9 * RNG.normal(size=40)])).kept == (0, 1)


@pytest.mark.parametrize(
    ("X", "answer"),
    [
        (np.ones((5, 1)), True),
        (np.arange(5.0)[:, None], False),
        (np.eye(3)[[0, 1, 2, 0, 1]], True),
        (np.empty((5, 0)), False),
        (np.column_stack([np.arange(5.0), 3 - np.arange(5.0)]), True),
    ],
)
def test_has_constant(X: np.ndarray, answer: bool) -> None:
    assert has_constant(X) is answer


FAMILIES = [
    ("miltcoup", "poisson"),
    ("miltcoup", mlekit.Poisson(mu="sqrt")),
    ("miltcoup", "normal"),
    ("size + 1", "exponential"),
    ("miltcoup > 1", "bernoulli"),
    ("miltcoup > 1", mlekit.Bernoulli(p="cloglog")),
]


@pytest.mark.parametrize("method", ["auto", "newton", "bfgs"])
@pytest.mark.parametrize(("response", "family"), FAMILIES)
@pytest.mark.parametrize(("scale", "shift"), [(1e8, 0), (1e-8, 0), (1e-300, 0), (1e300, 0), (1.0, 1e6), (-3.0, 1e8)])
def test_fits_are_invariant_to_units_and_origin(
    response: str, family: mlekit.GenericLikelihood, scale: float, shift: float, method: str
) -> None:
    """The same fitted values and likelihood; slope and standard error scale exactly."""
    response = f"I({response})" if response != "miltcoup" else response
    plain = mlekit.fit(f"{response} ~ parties + popn", AFRICA, family, method=method)
    moved = mlekit.fit(
        f"{response} ~ x + popn", AFRICA.assign(x=AFRICA["parties"] * scale + shift), family, method=method
    )
    # A shift of 1e8 rounds the covariate itself, at 1e-8 of its unit.
    close = 1e-4 if method == "bfgs" else 1e-6 if abs(shift) > 1e7 else 1e-8
    assert moved.llf == pytest.approx(plain.llf, rel=1e-9)
    assert moved.params["x"] * scale == pytest.approx(plain.params["parties"], abs=close * plain.bse["parties"])
    assert moved.bse["x"] * abs(scale) == pytest.approx(plain.bse["parties"], rel=close)
    assert moved.fittedvalues.to_numpy() == pytest.approx(plain.fittedvalues.to_numpy(), rel=10 * close)


@pytest.mark.parametrize(("response", "family"), FAMILIES)
def test_fits_are_invariant_to_order_and_start(response: str, family: mlekit.GenericLikelihood) -> None:
    response = f"I({response})" if response != "miltcoup" else response
    plain = mlekit.fit(f"{response} ~ parties + popn", AFRICA, family, method="newton")
    shuffled = AFRICA.sample(frac=1, random_state=3)
    other = mlekit.fit(f"{response} ~ popn + parties", shuffled, family, method="newton")
    assert other.params[plain.params.index].to_numpy() == pytest.approx(plain.params.to_numpy(), rel=1e-8)
    start = {name: value + 0.3 * plain.bse[name] for name, value in plain.params.items()}
    again = mlekit.fit(f"{response} ~ parties + popn", AFRICA, family, method="newton", start=start)
    distance = (again.params - plain.params) / plain.bse
    assert distance.abs().max() < 1e-8


def test_standard_errors_outlive_their_variances() -> None:
    fit = mlekit.fit("miltcoup ~ x", AFRICA.assign(x=AFRICA["parties"] * 1e200), "poisson")
    assert fit.bse["x"] == pytest.approx(0.008936050568086046e-200, rel=1e-8)
    assert fit.tvalues["x"] == pytest.approx(2.557671, rel=1e-6)


def test_aliased_columns_are_reported_and_the_fit_is_that_without_them() -> None:
    data = AFRICA.assign(double=2 * AFRICA["parties"] + 1)
    with pytest.warns(UserWarning, match=r"double = Intercept \+ 2\*parties"):
        fit = mlekit.fit("miltcoup ~ parties + double + popn", data, "poisson")
    plain = mlekit.fit("miltcoup ~ parties + popn", data, "poisson")
    pd.testing.assert_series_equal(fit.params, plain.params, rtol=1e-10)
    assert fit.aliased == {"double": "double = Intercept + 2*parties"}
    assert "double = Intercept + 2*parties" in fit.summary().as_text()
    assert fit.predict(data).to_numpy() == pytest.approx(plain.fittedvalues.to_numpy())


MANY = 2 * SAMPLE_ROWS + 1


def test_a_column_far_from_the_origin_is_no_constant() -> None:
    x = np.sin(np.arange(50.0))[:, None]
    assert has_constant(1e9 + 0 * x)
    for origin in (1.0, 1e3, 1e6, 1e9):
        assert not has_constant(origin + x)
        assert has_constant(np.hstack([origin + x, x]))


def test_centred_coordinates() -> None:
    rng = np.random.default_rng(4)
    for rows, origin in ((60, 3.0), (60, 1e7), (MANY, 0.1), (MANY, 1e7)):
        X = origin + rng.normal(size=(rows, 2)) * [1, 1e-3]
        found = centred_basis(np.column_stack([X, X @ [2, -1]]) if rows == 60 else X)
        assert found.kept == (0, 1)
        Z = X @ found.matrix - found.origin if found.columns is None else found.columns
        assert (found.columns is None) == (rows == MANY and origin == 0.1)
        np.testing.assert_allclose(Z.mean(axis=0), 0, atol=0.03)
        np.testing.assert_allclose(Z.T @ Z / rows, np.eye(2), atol=0.03)
        np.testing.assert_allclose(X @ found.matrix - found.origin, Z, atol=1e-15 * origin**2)
    assert centred_basis(np.full((3, 1), 1.7e308)).origin is None  # the mean overflows


@pytest.mark.parametrize("family", ["gamma", "ordered_logit"])
def test_many_rows_far_from_the_origin_keep_the_digits_of_standard_errors(family: str) -> None:
    """Also where another parameter's matrix has nothing that needs copying."""
    rng = np.random.default_rng(5)
    x, z = rng.normal(size=(2, MANY))
    y = rng.gamma(2, np.exp(0.3 * x - 0.2 * z))
    data = {"y": np.minimum(y.astype(int), 3) if family == "ordered_logit" else y, "x": x, "z": z}
    near, far = (mlekit.fit("y ~ x + z", data | {"z": z + origin}, family) for origin in (0, 1e6))
    assert near.converged
    assert far.converged
    np.testing.assert_allclose(far.params[["x", "z"]], near.params[["x", "z"]], rtol=1e-9)
    np.testing.assert_allclose(far.bse[["x", "z"]], near.bse[["x", "z"]], rtol=1e-9)


def test_many_rows_and_a_parameter_without_columns() -> None:
    y = np.resize([0, 1, 1, 2], MANY)
    cuts = mlekit.fit("y ~ 1", {"y": y}, "ordered_logit").params
    np.testing.assert_allclose(cuts, np.log(ratios(y)), rtol=1e-10)
    held = mlekit.fit("y ~ 1", {"y": y}, "gumbel", fixed={"beta": 1.5})
    assert list(held.params.index) == ["Intercept"]
    # The score is 0 where the mean of exp(-(y - mu) / 1.5) is 1.
    assert np.mean(np.exp(-(y - held.params["Intercept"]) / 1.5)) == pytest.approx(1, rel=1e-9)


def ratios(y: np.ndarray) -> np.ndarray:
    """Odds of the shares below each but the first level."""
    below = np.array([np.sum(y < level) for level in np.unique(y)[1:]])
    return below / (y.size - below)
