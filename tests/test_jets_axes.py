"""Densities that sum, average or pick over an axis beside that of the rows: series, mixtures and integrals."""

import re

import numpy as np
import pytest
from mpmath import mp, mpf
from scipy import special

from mlekit.jets import DerivativeError, derivatives, variables
from tests.density_cases import agree, partial, unit

# ---------------------------------------------------------------- densities, against mpmath


def conway_maxwell(y, mu, nu):
    k = np.arange(80)
    terms = k * np.log(mu)[:, None] - nu[:, None] * special.gammaln(k + 1)
    return y * np.log(mu) - nu * special.gammaln(y + 1) - np.logaddexp.reduce(terms, axis=1)


def conway_maxwell_by_columns(y, mu, nu):
    k = np.arange(80)[:, np.newaxis]
    terms = k * np.log(mu) - nu * special.gammaln(k + 1)
    top = terms.max(axis=0)
    return y * np.log(mu) - nu * special.gammaln(y + 1) - np.log(np.exp(terms - top).sum(axis=0)) - top


def conway_maxwell_mp(y, mu, nu):
    return y * mp.log(mu) - nu * mp.loggamma(y + 1) - mp.log(sum(mu**k / mp.factorial(k) ** nu for k in range(80)))


NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(9)


def random_intercept(y, eta, sigma):
    """A count with a random effect, its integral by Gauss and Hermite."""
    at = eta[..., None] + sigma[..., None] * NODES
    density = np.exp(y[:, None] * at - np.exp(at)) * WEIGHTS
    return np.log(np.mean(density, axis=-1, keepdims=True)[:, 0] * 9 / np.sqrt(2 * np.pi)) - special.gammaln(y + 1)


def random_intercept_mp(y, eta, sigma):
    at = [eta + sigma * mpf(node) for node in NODES.tolist()]
    total = sum(mpf(w) * mp.exp(y * a - mp.exp(a)) for a, w in zip(at, WEIGHTS.tolist(), strict=True))
    return mp.log(total / mp.sqrt(2 * mp.pi)) - mp.loggamma(y + 1)


def mixture(y, mu, sigma, axis=0):
    z = np.stack([y - mu, y + 0 * mu, y * np.ones_like(mu), y + mu], axis=axis)
    scale = np.stack([sigma, np.ones_like(mu), 2 * np.ones_like(mu), sigma**2], axis=axis)
    return np.logaddexp.reduce(-((z / scale) ** 2) / 2 - np.log(scale), axis=axis)


def mixture_mp(y, mu, sigma):
    parts = [(y - mu, sigma), (y, mpf(1)), (y, mpf(2)), (y + mu, sigma**2)]
    return mp.log(sum(mp.exp(-((z / scale) ** 2) / 2) / scale for z, scale in parts))


DENSITIES = {
    "Conway-Maxwell": (conway_maxwell, conway_maxwell_mp, 1e-12),
    "Conway-Maxwell by columns": (conway_maxwell_by_columns, conway_maxwell_mp, 1e-12),
    "random intercept": (random_intercept, random_intercept_mp, 1e-12),
    "mixture": (mixture, mixture_mp, 1e-12),
    "mixture by rows": (lambda *a: mixture(*a, axis=-1), mixture_mp, 1e-12),
}


@pytest.mark.parametrize("rows", [1, 3, 80])
@pytest.mark.parametrize("density", DENSITIES)
def test_density(density, rows):
    """As many rows as terms, too: an axis that is mistaken for another shows where shapes do not."""
    function, exact, rtol = DENSITIES[density]
    arrays = [np.resize(a, rows) for a in ([1.0, 4.0, 0.0], [0.9, 1.7, 2.5], [0.8, 1.3, 1.1])]
    got = derivatives(function, *arrays)
    np.testing.assert_array_equal(derivatives(function, *arrays, order=0).value, got.value)
    np.testing.assert_array_equal(derivatives(function, *arrays, order=1).grad, got.grad)
    for n in range(min(rows, 3)):
        with mp.workdps(50):
            y, *at = (mpf(a[n]) for a in arrays)

            def want(*q, y=y, at=at):
                return partial(lambda *t: exact(y, *t), at, unit(2, *q))

            np.testing.assert_array_equal(got.hess[..., n::3], got.hess[..., [n]].repeat(len(range(n, rows, 3)), -1))
            agree(got.value[n], want(), rtol)
            agree(got.grad[:, n], [want(0), want(1)], rtol)
            agree(got.hess[:, :, n], [[want(0, 0), want(0, 1)], [want(0, 1), want(1, 1)]], rtol)


# ---------------------------------------------------------------- where the rows lie

ROWS = 10.0 ** np.arange(3)
WIDE = np.arange(1.0, 5.0)  # factors of the rows, along a second axis

KEYS = {
    ":": np.s_[:],
    "...": np.s_[...],
    ":, None": np.s_[:, None],
    "None": np.s_[None],
    "..., None": np.s_[..., None],
    ":, 0": np.s_[:, 0],
    "..., -1": np.s_[..., -1],
    ":, 1:": np.s_[:, 1:],
    ":, ::-1": np.s_[:, ::-1],
    ":, None, 1:3": np.s_[:, None, 1:3],
    "None, ..., 2": np.s_[None, ..., 2],
    ":, np.int64": np.s_[:, np.int64(1)],
}


REDUCTIONS = {
    "sum": np.sum,
    "mean": np.mean,
    "max": np.max,
    "min": np.min,
    "add": np.add.reduce,
    "maximum": np.maximum.reduce,
    "minimum": np.minimum.reduce,
}


def by_rows(order=2):
    (x,) = variables(ROWS, order=order)
    return (x * x)[:, None] * WIDE, (ROWS**2)[:, None] * WIDE


def check(got, want):
    """The numbers of NumPy, and along the axis of the rows nothing but the derivatives of each row."""
    np.testing.assert_array_equal(got.value, want)
    for n, row in enumerate(ROWS):
        value, first = (np.take(a, n, axis=got.axis) for a in (got.value, got.grad[0]))
        np.testing.assert_allclose(first, 2 * value / row, rtol=1e-15)
        assert got.hess is None or np.allclose(np.take(got.hess[0, 0], n, axis=got.axis), 2 * value / row**2)


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("key", KEYS)
def test_indices(key, order):
    jet, plain = by_rows(order)
    check(jet[KEYS[key]], plain[KEYS[key]])


@pytest.mark.parametrize("key", [np.s_[None, :], np.s_[:, None, None], np.s_[None, ..., None]], ids=str)
@pytest.mark.parametrize("axes", [0, 1, 2, -1, (0, 1), (0, -1), (-2, -1)], ids=str)
@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("reduce", REDUCTIONS)
def test_reductions(key, axes, keepdims, reduce):
    (x,) = variables(ROWS)
    reduce = REDUCTIONS[reduce]
    jet, plain = (x * x)[key], (ROWS**2)[key]
    gone = {a - jet.ndim if a >= 0 else a for a in np.atleast_1d(axes)}
    if not set(range(-jet.ndim, 0)) - {jet.axis} >= gone:
        with pytest.raises((DerivativeError, np.exceptions.AxisError), match=r"over rows|out of bounds"):
            reduce(jet, axis=axes, keepdims=keepdims)
    elif isinstance(axes, tuple) and reduce not in (np.sum, np.mean, np.add.reduce):
        with pytest.raises(DerivativeError, match="several axes at once"):
            reduce(jet, axis=axes, keepdims=keepdims)
    else:
        check(reduce(jet, axis=axes, keepdims=keepdims), reduce(plain, axis=axes, keepdims=keepdims))


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -2, -3])
@pytest.mark.parametrize("order", [1, 2])
def test_stack(axis, order):
    jet, plain = by_rows(order)
    check(np.stack([jet, 3 * jet], axis=axis), np.stack([plain, 3 * plain], axis=axis))
    with_constants = np.stack([jet, plain], axis=axis)
    np.testing.assert_array_equal(with_constants.value, np.stack([plain, plain], axis=axis))
    np.testing.assert_array_equal(with_constants.grad[0], np.stack([jet.grad[0], 0 * plain], axis=axis))


def test_methods():
    jet, plain = by_rows()
    for name in ("sum", "mean", "max", "min"):
        check(getattr(jet, name)(axis=1), getattr(plain, name)(axis=1))
    check(jet.clip(0, 1e9), plain)
    assert jet.clip(0, 1).grad[0].any(axis=1).tolist() == [True, False, False]


def test_ties_and_what_is_not_a_number():
    (x,) = variables([1.0, np.nan])
    got = np.max(np.stack([x, x * x], axis=-1), axis=-1)
    np.testing.assert_array_equal(got.value, [1.0, np.nan])
    np.testing.assert_array_equal(got.grad[0][:1], [1.0])
    low = np.logaddexp.reduce(np.stack([x - np.inf, x - x, -x], axis=0), axis=0)
    np.testing.assert_allclose([low.value[0], low.hess[0, 0][0]], [np.log1p(np.exp(-1.0)), np.e / (1 + np.e) ** 2])


# ---------------------------------------------------------------- what is refused

X, Z = variables([1.0, 2.0], [3.0, 4.0])
REFUSED = {
    "sum of rows": (lambda: np.sum(X), "a sum, mean or extreme over rows"),
    "method": (lambda: X.sum(), "a sum, mean or extreme over rows"),
    "mean of rows": (lambda: np.mean(X, axis=0), "a sum, mean or extreme over rows"),
    "mean of all": (lambda: (X[:, None] * WIDE).mean(), "a sum, mean or extreme over rows"),
    "row axis": (lambda: np.sum(X[:, None] * WIDE, axis=0), "a sum, mean or extreme over rows"),
    "row axis last": (lambda: np.logaddexp.reduce(X * WIDE[:, None], axis=-1), "a sum, mean or extreme over rows"),
    "default axis": (lambda: np.add.reduce(X), "a sum, mean or extreme over rows"),
    "one row": (lambda: (X[:, None] * WIDE)[0], "an index that picks or orders rows"),
    "some rows": (lambda: (X[:, None] * WIDE)[1:, 0], "an index that picks or orders rows"),
    "column first": (lambda: (X * WIDE[:, None])[:, 0], "an index that picks or orders rows"),
    "array of columns": (lambda: (X[:, None] * WIDE)[:, [0, 1]], "an index that picks or orders rows"),
    "True": (lambda: X[True], "an index that picks or orders rows"),
    "two axes": (lambda: X[:, None] * Z, r"rows along different axes, .* as in mu\[:, None\]"),
    "two axes of choices": (lambda: np.where(True, X[:, None], Z), "rows along different axes"),
    "two axes of maxima": (lambda: np.maximum(X[:, None], Z), "rows along different axes"),
    "two axes of a stack": (lambda: np.stack([X[:, None], Z[None]]), "same shape|rows along different axes"),
    "out": (lambda: np.sum(X[:, None], axis=1, out=np.zeros(2)), "numpy.sum with these arguments .*'out'"),
    "dtype": (lambda: X[:, None].sum(axis=1, dtype=float), "numpy.sum with these arguments .*'dtype'"),
    "out of clip": (lambda: np.clip(X, 0, 1, out=np.zeros(2)), "numpy.clip with these arguments .*'out'"),
    "where of one": (lambda: np.where(X), "numpy.where with these arguments"),
    "other reductions": (lambda: np.multiply.reduce(X[:, None], axis=1), "numpy.multiply.reduce"),
    "several axes of extremes": (lambda: np.max(X[:, None, None], axis=(1, 2)), "several axes at once"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_refused(what):
    function, message = REFUSED[what]
    with pytest.raises((DerivativeError, ValueError), match=message) as raised:
        function()
    assert re.search('derivatives = "numeric"|give each parameter|same shape', str(raised.value))


def test_too_many_indices():
    with pytest.raises(IndexError, match="too many indices"):
        X[:, 0]
