"""Whole densities through jets, jets as arrays, and what is refused."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mpmath import mp, mpf
from scipy import special, stats

from mlekit.jet_numbers import FUNCTIONS
from mlekit.jets import DerivativeError, Jet, derivatives, variables
from tests.density_cases import agree, partial, unit

# ---------------------------------------------------------------- whole densities


def gumbel(y, mu, beta):
    z = (y - mu) / beta
    return -z - np.exp(-z) - np.log(beta)


def gumbel_mp(y, mu, beta):
    z = (y - mu) / beta
    return -z - mp.exp(-z) - mp.log(beta)


def nb2(y, mu, alpha):
    r = 1 / alpha
    coefficient = special.gammaln(y + r) - special.gammaln(r) - special.gammaln(y + 1)
    return coefficient + r * np.log(r / (r + mu)) + y * np.log(mu / (r + mu))


def nb2_mp(y, mu, alpha):
    r = 1 / alpha
    coefficient = mp.loggamma(y + r) - mp.loggamma(r) - mp.loggamma(y + 1)
    return coefficient + r * mp.log(r / (r + mu)) + y * mp.log(mu / (r + mu))


def zip_logistic(y, mu, eta):
    zero = np.logaddexp(eta, -mu)
    return np.where(y == 0, zero, special.xlogy(y, mu) - mu - special.gammaln(y + 1)) - np.logaddexp(0, eta)


def zip_logistic_mp(y, mu, eta):
    zero = mp.log(mp.exp(eta) + mp.exp(-mu))
    return (y * mp.log(mu) - mu - mp.loggamma(y + 1) if y else zero) - mp.log1p(mp.exp(eta))


Y, MU = [0, 1, 3, 12, 0], [0.5, 2.3, 3.0, 4.5, 7.0]
DENSITIES = {
    "gumbel": (gumbel, gumbel_mp, [-2.0, 0.0, 3.3, 40.0, 1e3], MU, [0.5, 2.0, 1.0, 3.0, 10.0], 2e-14),
    "nb2": (nb2, nb2_mp, Y, MU, [0.5, 2.0, 1.0, 0.1, 10.0], 2e-13),
    "zip": (zip_logistic, zip_logistic_mp, Y, MU, [-30.0, 0.0, 2.0, 30.0, -3.0], 2e-14),
}


@pytest.mark.parametrize("density", DENSITIES)
def test_density(density):
    function, exact, *arrays, rtol = DENSITIES[density]
    rows = derivatives(function, *arrays)
    for n, (y, *theta) in enumerate(zip(*arrays, strict=True)):
        with mp.workdps(100):
            y, at = mpf(y), [mpf(x) for x in theta]

            def want(*q, y=y, at=at):
                return partial(lambda *t: exact(y, *t), at, unit(2, *q))

            agree(rows.value[n], want(), rtol)
            agree(rows.grad[:, n], [want(0), want(1)], rtol)
            agree(rows.hess[:, :, n], [[want(0, 0), want(0, 1)], [want(0, 1), want(1, 1)]], rtol)


@given(st.lists(st.floats(-3, 3), min_size=4, max_size=4))
def test_four_quantities(theta):
    """d^2/da db exp(q) for a quadratic form q = theta' A theta / 2 is exp(q) (A + g g')."""
    a = np.array([[2.0, -1, 0, 0.5], [-1, 1, 0.3, 0], [0, 0.3, -1, 1], [0.5, 0, 1, -2]])
    rows = derivatives(
        lambda _, *t: np.exp(sum(a[i, j] * t[i] * t[j] / 2 for i in range(4) for j in range(4))),
        [0.0],
        *theta,
    )
    g = a @ theta
    scale = rows.value * (1 + np.abs(g).max() ** 2)
    np.testing.assert_allclose(rows.grad[:, 0], rows.value * g, rtol=1e-12, atol=1e-13 * scale[0])
    np.testing.assert_allclose(rows.hess[:, :, 0], rows.value * (a + np.outer(g, g)), rtol=1e-12, atol=1e-13 * scale[0])


# ---------------------------------------------------------------- jets as arrays


def test_lower_orders_are_the_same_numbers():
    y, mu, alpha = np.array(Y), np.array(MU), 0.7
    full, one, zero = (derivatives(nb2, y, mu, alpha, order=order) for order in (2, 1, 0))
    np.testing.assert_array_equal(one.value, full.value)
    np.testing.assert_array_equal(one.grad, full.grad)
    np.testing.assert_array_equal(zero.value, full.value)
    assert one.hess is zero.hess is zero.grad is None


@pytest.mark.parametrize("order", [1, 2])
def test_array_functions(order):
    x = np.array([-2.0, 0.5, 1.0, 3.0])

    def piecewise(_, x):
        return np.select([x < 0, x < 2], [x**2, np.log(x)], default=np.where(x > 2.5, 7.0, x))

    def clipped(_, x):
        keywords = {"min": 0.0, "max": x + 1}  # which np.clip itself takes from NumPy 2.1 on
        return np.clip(x, 0.0, 1.0) + np.clip(x, None, 1.0) + FUNCTIONS[np.clip](x, **keywords)

    rows = derivatives(piecewise, x, x, order=order)
    np.testing.assert_array_equal(rows.value, [4.0, np.log(0.5), 0.0, 7.0])
    np.testing.assert_array_equal(rows.grad, [[-4.0, 2.0, 1.0, 0.0]])  # log at -2 is NaN, and not chosen
    assert order == 1 or rows.hess[0, 0].tolist() == [2.0, -4.0, -1.0, 0.0]
    rows = derivatives(clipped, x, x, order=order)
    np.testing.assert_array_equal(rows.value, [-3.0, 1.5, 3.0, 5.0])
    np.testing.assert_array_equal(rows.grad, [[2.0, 3.0, 3.0, 1.0]])


def test_plain_results():
    assert derivatives(lambda y, mu: -y, [1.0, 2.0], 3.0).hess.tolist() == [[[0.0, 0.0]]]
    assert derivatives(lambda y, mu: 7, [1.0, 2.0], 3.0).value.tolist() == [7.0, 7.0]
    (x,) = variables([1.0, 2.0])
    for function in (np.shape, np.ndim, np.size, np.zeros_like, np.ones_like, np.isposinf, np.isneginf):
        np.testing.assert_array_equal(function(x), function(np.array([1.0, 2.0])))
    assert np.full_like(x, 3.0).tolist() == [3.0, 3.0]
    assert np.isclose(x, 2.0).tolist() == np.isclose(2.0, x).tolist() == [False, True]
    assert (x.shape, x.ndim, x.size, x.dtype, len(x)) == ((2,), 1, 2, np.dtype(float), 2)
    assert not hasattr(x, "cumsum")


def test_all_rows_can_be_picked():
    x, z = variables([1.0, 2.0, 3.0], 2.0)
    for key in (slice(None), ..., (slice(None),), (..., slice(None))):
        got = (x * x * z)[key]
        assert got.value.tolist() == [2.0, 8.0, 18.0]
        assert got.grad[0].tolist() == [4.0, 8.0, 12.0]
        assert got.hess[0, 1].tolist() == [2.0, 4.0, 6.0]


def test_shapes():
    (one,) = variables(2.0)
    product = one * np.arange(3.0) + one
    assert [
        product.grad[0].shape,
        (one + np.zeros(3)).grad[0].shape,
        (one**2 + np.zeros(3)).hess[0, 0].shape,
    ] == [(3,)] * 3
    assert np.where([True, False], one, 0).grad[0].tolist() == [1.0, 0.0]
    assert derivatives(nb2, np.zeros(0), 1.0, 1.0).hess.shape == (2, 2, 0)
    with pytest.raises(ValueError, match=r"one number per row, shape \(2,\); .* shape \(2, 2\)"):
        derivatives(lambda y, mu: y[:, None] - mu, [1.0, 2.0], 0.0)


# ---------------------------------------------------------------- what is refused, by name


def assign(y, x):
    out = np.zeros_like(y)
    out[y > 0] = x[y > 0]
    return out


def assign_all(y, x):
    out = np.zeros_like(y)
    out[:] = x
    return out


def augment(y, x):
    x += y
    return x


def assign_to_jet(y, x):
    x[0] = 1.0


FROZEN = stats.t(3)


class Own(stats.rv_continuous):
    def _logpdf(self, x):
        return -x


REFUSED = {
    "ufunc": (lambda y, x: np.copysign(x, y), "no derivative rule for numpy.copysign"),
    "special ufunc": (lambda y, x: special.j0(x), "no derivative rule for scipy.special.j0"),
    "argument": (
        lambda y, x: special.gammainc(x, y),
        "rule for scipy.special.gammainc in its first argument, which has to be data",
    ),
    "Bessel order": (lambda y, x: special.kve(x, y), "rule for scipy.special.kve in its first argument"),
    "special function": (
        lambda y, x: special.polygamma(0, x),
        r"differentiate scipy\.special\.polygamma, which turns .* \(scipy\.special\.digamma does not\)",
    ),
    "log of a sum": (
        lambda y, x: special.logsumexp(x[:, None], axis=1),
        r"scipy\.special\.logsumexp, but for np\.logaddexp\.reduce\(terms, axis=1\)\. Write",
    ),
    "matrix product": (
        lambda y, x: x[:, None] @ np.ones(1),
        r"numpy\.matmul, but for np\.sum\(a \* b, axis=1\)\. Write",
    ),
    "reshape": (lambda y, x: x.reshape(-1, 1), r"the array's \.reshape, but for mu\[:, None\]\. Write"),
    "special with a ufunc inside": (lambda y, x: special.zeta(x), r"no derivative rule for scipy\.special\.zeta\."),
    "own ufunc": (lambda y, x: np.frompyfunc(math.exp, 1, 1)(x), "no derivative rule for exp"),
    "function": (lambda y, x: np.cumsum(x), "no derivative rule for numpy.cumsum"),
    "linalg": (lambda y, x: np.linalg.norm(x), "no derivative rule for numpy.linalg.norm"),
    "stack": (lambda y, x: np.column_stack([x, y]), "no derivative rule for numpy.column_stack"),
    "reduce": (lambda y, x: np.multiply.reduce(x), "no derivative rule for numpy.multiply.reduce"),
    "method": (lambda y, x: x.cumsum(), r"no derivative rule for the array's \.cumsum"),
    "out": (lambda y, x: np.exp(x, out=np.zeros(2)), "numpy.exp with out="),
    "where": (lambda y, x: np.exp(x, where=y > 0), "numpy.exp with where="),
    "augmented": (augment, r"numpy\.add with out= \(for a \+= b write a = a \+ b\)"),
    "stats": (lambda y, x: stats.norm.logpdf(y, x), r"differentiate scipy\.stats\.norm\.logpdf, which turns"),
    "stats scale": (lambda y, x: stats.gamma.logpdf(y, 2.0, scale=x), r"scipy\.stats\.gamma\.logpdf"),
    "stats discrete": (lambda y, x: stats.poisson.logpmf(y, x), r"scipy\.stats\.poisson\.logpmf"),
    "stats frozen": (lambda y, x: stats.norm(x, 2.0).logpdf(y), r"scipy\.stats\.norm\.logpdf"),
    "stats frozen shape": (lambda y, x: stats.gamma(x).logpdf(y), r"scipy\.stats\.gamma\.logpdf"),
    "stats frozen outside": (lambda y, x: FROZEN.logpdf(y - x), r"scipy\.stats\.t\.logpdf"),
    "stats frozen discrete": (lambda y, x: stats.poisson(x).logpmf(y), r"scipy\.stats\.poisson\.logpmf"),
    "stats multivariate": (lambda y, x: stats.multivariate_normal.logpdf(y, x), r"stats\.multivariate_normal\.logpdf"),
    "stats own": (lambda y, x: Own(name="own").logpdf(y, x), r"scipy\.stats\.own\.logpdf"),
    "asarray": (lambda y, x: np.asarray(x), "conversion to a plain array"),
    "list of jets": (lambda y, x: np.array([x, x]), "conversion to a plain array"),
    "vectorize": (lambda y, x: np.vectorize(math.exp)(x), "conversion to a plain array"),
    "full_like of a jet": (lambda y, x: np.full_like(x, x), "numpy.copyto"),
    "full_like": (lambda y, x: np.full_like(y, x), "numpy.copyto"),
    "items of array": (assign, "an index that picks or orders rows .np.where"),
    "all items of array": (assign_all, "np.where builds one by cases"),
    "item of jet": (assign_to_jet, "item assignment: np.where"),
    # Each gives numbers of the right shape, and the derivative of a row in the parameters of another.
    "row": (lambda y, x: x[0] * y, "an index that picks or orders rows"),
    "first rows": (lambda y, x: x - x[:1], "an index that picks or orders rows"),
    "backwards": (lambda y, x: x[::-1], "an index that picks or orders rows"),
    "order": (lambda y, x: x[np.argsort(y)], "an index that picks or orders rows"),
    "mask": (lambda y, x: x[y > 1] * y, "an index that picks or orders rows"),
    "loop": (lambda y, x: [math.exp(v) for v in x], "iteration over rows"),
    "if": (lambda y, x: x if x else y, "use np.where"),
    "math": (lambda y, x: math.exp(x), r"float\(\), int\(\), round\(\) or the math module"),
    "int": (lambda y, x: int(x), r"float\(\), int\(\), round\(\) or the math module"),
    "round": (lambda y, x: round(x, 2), r"float\(\), int\(\), round\(\) or the math module"),
    "complex number": (lambda y, x: complex(x), r"float\(\), int\(\), round\(\) or the math module"),
    "numpy.round": (lambda y, x: np.round(x), "no derivative rule for numpy.round"),
    "None": (lambda y, x: x + None, "combine a jet with dtype object"),
    "text": (lambda y, x: x * "2", "combine a jet with dtype <U1"),
    "complex": (lambda y, x: 1j * x, "combine a jet with dtype complex128"),
    "masked": (lambda y, x: x * np.ma.masked_where(y > 1, y), "combine a jet with a masked array: np.where"),
    "condition": (lambda y, x: np.where(x, y, 0), "conversion to a plain array"),
}


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("what", REFUSED)
def test_refused(what, order):
    function, message = REFUSED[what]
    with pytest.raises(DerivativeError, match=message) as caught:
        derivatives(function, [1.0, 2.0], [0.5, 1.5], order=order)
    assert what in ("if", "None", "text", "complex", "masked") or 'derivatives = "numeric"' in str(caught.value)
    assert isinstance(caught.value, TypeError)


@pytest.mark.parametrize("order", [0, 1, 2])
@pytest.mark.parametrize(
    ("returned", "message"), [(None, "returned None: its last line"), (np.array([1j, 1]), "complex numbers")]
)
def test_no_real_numbers_returned(returned, message, order):
    """They would become NaN, and lose their imaginary part."""
    with pytest.raises(ValueError, match=message):
        derivatives(lambda y, x: returned, [1.0, 2.0], [0.5, 1.5], order=order)


@pytest.mark.parametrize(("kind", "name"), [(tuple, "tuple"), (list, "list")])
def test_several_arrays_returned(kind, name):
    with pytest.raises(ValueError, match=f"returned a {name} of arrays: it has to be one array"):
        derivatives(lambda y, x: kind([-y, x]), [1.0, 2.0], [0.5, 1.5])


@pytest.mark.parametrize("constant", [10**30, np.float32(2), np.int8(3), True, np.array([2], dtype=np.uint8)], ids=repr)
def test_constants_of_any_type(constant):
    """NumPy would subtract in the type of a small constant, and make an object of a large one."""
    got = derivatives(lambda y, x: (constant - x) * constant, [0.0], 4.0)
    number = float(np.squeeze(constant))
    assert [got.value[0], got.grad[0, 0]] == [(number - 4.0) * number, -number]


def test_repr_shows_the_derivatives():
    assert repr(variables([1.0, 2.0])[0]) == "Jet([1. 2.], grad={0: array([1., 1.])}, hess={})"
    assert isinstance(variables(1.0)[0], Jet)
