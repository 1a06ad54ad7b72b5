"""What is left of gamma functions and logarithms, against mpmath, from next to nothing to the largest floats."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from mpmath import mp, mpf

from mlekit import jets
from mlekit.families.incomplete import incomplete_beta_fraction
from mlekit.families.stirling import (
    excess,
    half_step,
    half_step_bend,
    half_step_rows,
    log_gamma_rest,
    log_gamma_rest_rows,
)

SHAPES = (1e-300, 1e-50, 1e-8, 0.01, 0.3, 1.0, 2.5, 7.0, 9.99, 10.0, 10.01, 16.0, 1e3, 1e6, 1e10, 1e15, 1e40)
RTOL = 1e-13


def rest(s: Any) -> list[Any]:
    """``L, s L', s**2 L''`` of ``L = s log(s) - s - log gamma(s)``."""
    return [s * mp.log(s) - s - mp.loggamma(s), s * (mp.log(s) - mp.psi(0, s)), s - s * s * mp.psi(1, s)]


def step(a: Any) -> list[Any]:
    """The same of ``log gamma(a + 1/2) - log gamma(a) - log(a) / 2``."""
    b = a + mpf(1) / 2
    return [
        mp.loggamma(b) - mp.loggamma(a) - mp.log(a) / 2,
        a * (mp.psi(0, b) - mp.psi(0, a)) - mpf(1) / 2,
        a * a * (mp.psi(1, b) - mp.psi(1, a)) + mpf(1) / 2,
    ]


@pytest.mark.parametrize(
    ("rows", "alone", "exact"),
    [(log_gamma_rest_rows, log_gamma_rest, rest), (half_step_rows, half_step, step)],
    ids=["log_gamma_rest", "half_step"],
)
def test_values_and_slopes(rows: Callable[..., Any], alone: Any, exact: Callable[[Any], list[Any]]) -> None:
    got = rows(np.array(SHAPES), 2)
    for n, shape in enumerate(SHAPES):
        with mp.workdps(200):
            want = exact(mpf(shape))
        for part, value in zip(got, want, strict=True):
            assert abs(mpf(float(part[n])) - value) <= 4e-13 * abs(value), (
                shape
            )  # just below 10 the parts cancel by a factor of 1000
    np.testing.assert_array_equal(alone(np.array(SHAPES)), got[0])
    zero, one = rows(np.array(SHAPES), 0), rows(np.array(SHAPES), 1)
    np.testing.assert_array_equal(zero[0], got[0])
    np.testing.assert_array_equal(one[1], got[1])
    for shape in SHAPES:  # where all rows are the same, one is computed
        for many, single in zip(rows(np.full(3, shape), 2), rows(np.array([shape]), 2), strict=True):
            np.testing.assert_array_equal(many, np.repeat(single, 3))


@pytest.mark.parametrize(("alone", "rows"), [(log_gamma_rest, log_gamma_rest_rows), (half_step, half_step_rows)])
def test_jets_follow(alone: Callable[..., Any], rows: Callable[..., Any]) -> None:
    s = np.array(SHAPES[2:-1])
    found, (value, first, second) = jets.derivatives(lambda y, t: alone(t), s, s), rows(s, 2)
    np.testing.assert_array_equal(found.value, value)
    np.testing.assert_allclose(found.grad[0] * s, first, rtol=1e-11)
    np.testing.assert_allclose(found.hess[0, 0] * s * s, second, rtol=1e-10)


def test_bend_of_the_half_step() -> None:
    for a, got in zip(SHAPES, half_step_bend(np.array(SHAPES)), strict=True):
        with mp.workdps(300):
            want = step(mpf(a))[2] + 1 / (4 * mpf(a))
        # Below 10 it is a difference of two terms that are larger.
        assert abs(mpf(float(got)) - want) <= RTOL * abs(want) + 5e-15, a


def test_excess() -> None:
    points = (-1 + 1e-10, -0.9, -0.31, -0.3, -0.29, -1e-3, -1e-9, 0.0, 1e-300, 1e-9, 0.01, 0.49, 0.5, 0.51, 3.0, 1e10)
    for d, got in zip(points, excess(np.array(points)), strict=True):
        with mp.workdps(700):
            want = mpf(d) - mp.log1p(mpf(d))
        assert abs(mpf(float(got)) - want) <= max(1e-15 * want, mpf(1e-307)), d


@pytest.mark.parametrize(("a", "b", "x"), [(0.5, 0.5, 1e-30), (3.0, 40.0, 1e-3), (500.0, 0.5, 0.3), (5e3, 7e3, 0.2)])
def test_incomplete_beta_fraction(a: float, b: float, x: float) -> None:
    with mp.workdps(50):
        A, B, X = mpf(a), mpf(b), mpf(x)
        want = 1 / mp.hyp2f1(A + B, 1, A + 1, X)  # DLMF 8.17.8
    got = incomplete_beta_fraction(np.array(a), b, np.array(x), np.array(1 - x))
    assert float(got) == pytest.approx(float(want), rel=1e-13)
