"""Products of tall matrices against exact sums, at every shape where one way gives way to another."""

import math
import threading

import numpy as np
import pytest

import mlekit
from mlekit.products import NARROW, _cores, cross_product, linear_predictor, over_blocks, row_sum
from mlekit.sources import BLOCK_ROWS

SHAPES = [(0, 3), (1, 1), (7, 0), (449, 20), (451, 20), (9001, 1), (3000, 7), (400, NARROW), (400, NARROW + 1)]
each_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)


def arrays(shape):
    rng = np.random.default_rng(1)
    return rng.normal(size=shape), rng.normal(size=shape[0]), rng.normal(size=shape[1])


def closest(products):
    """Return the correctly rounded sum of rounded products, and the size that rounding errors are measured by."""
    return math.fsum(products), math.fsum(map(abs, products)) + 1e-300


@each_shape
@pytest.mark.parametrize("order", "CF")
def test_products_are_sums(shape, order):
    x, w, beta = arrays(shape)
    x = np.asarray(x, order=order)
    for i, found in enumerate(linear_predictor(x, beta)):
        want, size = closest(x[i] * beta)
        assert abs(found - want) <= 1e-14 * size
    for j, found in enumerate(row_sum(w, x)):
        want, size = closest(x[:, j] * w)
        assert abs(found - want) <= 1e-14 * size
    square = cross_product(x, w, x)
    assert square.shape == (shape[1],) * 2
    for j in range(min(3, shape[1])):
        want, size = closest(x[:, 0] * w * x[:, j])
        assert abs(square[0, j] - want) <= 1e-14 * size


@each_shape
def test_a_square_is_symmetric_and_agrees_with_a_product_of_two(shape):
    x, w, _ = arrays(shape)
    square, product = cross_product(x, w, x), cross_product(x, w, x.copy())
    np.testing.assert_array_equal(square, square.T)
    np.testing.assert_allclose(square, product, rtol=1e-12, atol=1e-12 * shape[0])
    other = np.column_stack([x, w])
    np.testing.assert_allclose(cross_product(other, w, x)[:-1], square, rtol=1e-12, atol=1e-12 * shape[0])


@pytest.mark.parametrize("columns", [1, NARROW, NARROW + 1])
@pytest.mark.parametrize("count", [0, 1, 2, 5, 40])
def test_results_come_in_the_order_of_the_blocks(count, columns):
    assert over_blocks(lambda block: block * block, range(count), columns) == [i * i for i in range(count)]


def test_several_cores_share_the_blocks(monkeypatch):
    monkeypatch.setattr("mlekit.products._cores", lambda: 2)
    meeting = threading.Barrier(2, timeout=30)  # passed only by two threads at once
    names = over_blocks(
        lambda i: (meeting.wait() if i in (0, 4) else 0, threading.current_thread().name)[1], range(8), 3
    )
    assert len(set(names)) == 2


@pytest.mark.parametrize(("limit", "most"), [("1", 1), ("2", 2), ("", None), ("many", None), ("0", None)])
def test_the_limit_of_threads_that_users_set_for_blas(monkeypatch, limit, most):
    monkeypatch.setenv("OMP_NUM_THREADS", limit)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: range(5), raising=False)
    assert _cores() == (most or 5)


def test_what_overflows_in_a_thread_is_no_warning(monkeypatch):
    monkeypatch.setattr("mlekit.products._cores", lambda: 2)
    rows = 3 * BLOCK_ROWS
    model = mlekit.Model.from_arrays(np.ones(rows), np.linspace(1, 2, rows)[:, None], "poisson")
    assert model.loglike(np.array([1e3])) == -np.inf
    assert model.likelihood.reach(np.array([1e308])) == np.inf


def test_an_error_in_a_block_reaches_the_caller():
    with pytest.raises(ZeroDivisionError):
        over_blocks(lambda block: 1 / block, [1, 1, 1, 1, 0, 1], 3)


def test_many_rows_and_no_columns_on_one_side():
    left = np.ones((20000, 3))
    assert cross_product(left, np.ones(20000), np.empty((20000, 0))).shape == (3, 0)
    assert cross_product(np.empty((20000, 0)), np.ones(20000), left).shape == (0, 3)
