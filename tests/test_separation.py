"""Directions of recession, against a linear programme for each row, and exact cases."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from mlekit.separation import Undecided, recession_cone

RNG = np.random.default_rng(5)


def can_rise(ends: np.ndarray, i: int) -> bool:
    """Whether an end can be 1 with no end below 0: of small integers the largest value is 0 or 1, and nothing else."""
    found = linprog(
        -ends[i],
        A_ub=np.vstack([-ends, ends[i]]),
        b_ub=[*np.zeros(len(ends)), 1.0],
        bounds=(None, None),
        method="highs",
    )
    assert abs(found.fun) < 1e-6 or abs(found.fun + 1) < 1e-6
    return found.fun < -0.5


def ways(ends: np.ndarray, j: int) -> tuple[float, float]:
    """Least and largest value of a coefficient among directions of a box."""
    found = [
        linprog(
            sign * np.eye(ends.shape[1])[j], A_ub=-ends, b_ub=np.zeros(len(ends)), bounds=(-1, 1), method="highs"
        ).fun
        for sign in (1, -1)
    ]
    return found[0], -found[1]


def agree(ends: np.ndarray) -> None:
    cone = recession_cone(ends, np.zeros((0, ends.shape[1])))
    assert cone.strict.tolist() == [can_rise(ends, i) for i in range(len(ends))]
    if not cone.strict.any():
        assert cone.space.shape[1] == 0
        return
    np.testing.assert_allclose(ends[~cone.strict] @ cone.space, 0, atol=1e-10)
    signs = cone.signs(np.eye(ends.shape[1]), np.ones(ends.shape[1]))
    for j, sign in enumerate(signs):
        least, most = ways(ends, j)
        if least < -1e-6 < 1e-6 < most:
            # A line in the cone leaves a coefficient free; so does a cone that is on both sides of 0.
            assert np.isnan(sign)
        else:
            assert sign == np.sign(round(most if most > 1e-6 else least, 6))


@settings(max_examples=50, deadline=None)
@given(
    st.integers(1, 4).flatmap(
        lambda p: st.lists(st.lists(st.integers(-2, 2), min_size=p, max_size=p), min_size=p, max_size=9)
    )
)
def test_small_integers_agree_with_a_programme_for_each_row(rows: list[list[int]]) -> None:
    ends = np.array(rows, dtype=float)
    if np.linalg.matrix_rank(ends) == ends.shape[1]:
        agree(ends)


@pytest.mark.parametrize("p", [2, 3, 5])
def test_random_designs_agree_with_a_programme_for_each_row(p: int) -> None:
    rng = np.random.default_rng(p)
    for _ in range(8):
        x = np.column_stack([np.ones(14), rng.integers(-3, 4, (14, p - 1))])
        y = np.where(x @ rng.normal(size=p) + rng.normal(size=14) * rng.choice([0, 0.5, 2]) > 0, 1, -1)
        if np.linalg.matrix_rank(x) == p:
            agree(y[:, None] * x)


@pytest.mark.parametrize("gap", [10.0**-k for k in range(1, 10)])
def test_the_smallest_gap_separates_and_the_smallest_overlap_does_not(gap: float) -> None:
    y = np.array([-1, -1, -1, 1, 1, 1, -1, 1])
    for sign, strict in ((1, 8), (-1, 0)):
        x = np.array([1, 2, 3, 3 + sign * gap, 4, 5, 2.5, 3.7])
        cone = recession_cone(y[:, None] * np.column_stack([np.ones(8), x - 3]), np.zeros((0, 2)))
        assert cone.strict.sum() == strict


def test_what_rounding_hides_is_said_or_a_tie() -> None:
    y = np.array([-1, -1, -1, 1, 1, 1, -1, 1])
    for gap in (1e-10, -1e-10, 1e-11, -1e-11, 1e-13, -1e-13):
        x = np.array([0, 1, 2, 2 + gap, 3, 4, 1.5, 2.7]) - 2
        try:
            cone = recession_cone(y[:, None] * np.column_stack([np.ones(8), x]), np.zeros((0, 2)))
        except Undecided:
            continue
        assert abs(gap) < 1e-12 or cone.strict.sum() == (8 if gap > 0 else 0)


def test_one_programme_is_not_enough_where_a_direction_hides_another() -> None:
    """A second direction that a box leaves no room for: rows of 1e-6 beside rows of 1."""
    x = np.column_stack([[1, 1, 1, 1, 0, 0, 0, 0], [1, -1, 2, -2, 1e-6, 2e-6, 0, 0], [3, 1, 1, 2, 0, 0, 1, -1]])
    ends = np.vstack([x, [[0, 0, 1], [0, 0, -1]]]).astype(float)
    agree(ends)


def test_many_rows_are_looked_at_in_part() -> None:
    n, p = 60_000, 6
    x = np.column_stack([np.ones(n), RNG.normal(size=(n, p - 1))])
    y = np.where(x[:, 1] + RNG.logistic(size=n) > 0, 1.0, -1.0)
    assert not recession_cone(y[:, None] * x, np.zeros((0, p))).strict.any()
    x[:, 5] = 0
    x[[7, 30_000, 59_999], 5] = [1, 2, 3]
    y[[7, 30_000, 59_999]] = 1
    found = recession_cone(y[:, None] * x, np.zeros((0, p)))
    assert np.flatnonzero(found.strict).tolist() == [7, 30_000, 59_999]
    assert found.signs(np.eye(p), np.ones(p)).tolist() == [0, 0, 0, 0, 0, 1]
    y = np.where(x[:, 1] + 2 * x[:, 2] > 0.1, 1.0, -1.0)
    assert recession_cone(y[:, None] * x, np.zeros((0, p))).strict.all()
