"""Derivatives of every rule and of whole densities against mpmath, and what jets refuse."""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mpmath import mp, mpf
from scipy import special, stats

from mlekit.jet_rules import BINARY, CHOICES, FLAT, UNARY, tetragamma, trigamma
from mlekit.jets import FUNCTIONS, DerivativeError, Jet, derivatives, variables

TAILS = [
    -40,
    -37.5,
    -20,
    -8.3,
    -4.1,
    -4,
    -3.1,
    -1,
    -0.3,
    -1e-9,
    0,
    1e-9,
    0.4,
    1,
    2.9,
    3.2,
    5.7,
    8.3,
    20,
    37.5,
    40,
]
REAL = [*TAILS, -1e3, 1e3, 1e8]
POSITIVE = [1e-300, 1e-12, 0.01, 0.5, 1, 1.3, 2.5, 7.9, 10.1, 30, 1e3, 1e8, 1e300]
UNIT = [1e-300, 1e-12, 0.1, 0.45, 0.5, 0.7, 1 - 1e-10, 1 - 2.0**-53]
SIGNED_UNIT = [-1 + 2.0**-53, -0.7, -1e-9, 0, 1e-9, 0.3, 1 - 1e-10]
BESSEL = [1e-9, 0.4, 3, 12, 29.9, 30.1, 100, 700]
BESSEL = [*BESSEL, *(-x for x in BESSEL)]
GAMMA = [1e-300, 1e-12, 0.01, 0.5, 1, 1.3, 2.5, 7.9, 10.1, 30, 150, -0.3, -7.6]


class Case(NamedTuple):
    """An mpmath counterpart, where to compare, and how closely."""

    f: Callable
    grid: list
    rtol: float = 4e-15
    dps: int = 50  # more where a function saturates: 1 - f(20) is 1e-89 for the normal distribution


def ndtri(p):
    z = mpf(float(special.ndtri(float(p))))
    for _ in range(4):
        z -= (mp.ncdf(z) - p) / mp.npdf(z)
    return z


UNARY_CASES = {
    np.positive: Case(lambda x: x, REAL),
    np.negative: Case(lambda x: -x, REAL),
    np.absolute: Case(abs, [x for x in REAL if x]),
    np.fabs: Case(abs, [x for x in REAL if x]),
    np.square: Case(lambda x: x**2, REAL),
    np.sqrt: Case(mp.sqrt, POSITIVE),
    np.cbrt: Case(lambda x: mp.sign(x) * mp.cbrt(abs(x)), [x for x in REAL if x]),
    np.reciprocal: Case(lambda x: 1 / x, [x for x in REAL if x]),
    np.exp: Case(mp.exp, TAILS),
    np.exp2: Case(lambda x: 2**x, TAILS),
    np.expm1: Case(mp.expm1, TAILS),
    np.log: Case(mp.log, POSITIVE),
    np.log2: Case(lambda x: mp.log(x, 2), POSITIVE),
    np.log10: Case(mp.log10, POSITIVE),
    np.log1p: Case(mp.log1p, [-1 + 2.0**-53, -0.9, 0, *POSITIVE[1:]]),
    np.sin: Case(mp.sin, REAL),
    np.cos: Case(mp.cos, REAL),
    np.tan: Case(mp.tan, REAL),
    np.arcsin: Case(mp.asin, SIGNED_UNIT),
    np.arccos: Case(mp.acos, SIGNED_UNIT),
    np.arctan: Case(mp.atan, REAL),
    np.sinh: Case(mp.sinh, TAILS),
    np.cosh: Case(mp.cosh, TAILS),
    np.tanh: Case(mp.tanh, TAILS),
    np.arcsinh: Case(mp.asinh, REAL),
    np.arccosh: Case(mp.acosh, [1 + 2.0**-52, 1.1, 3, 1e3, 1e8]),
    np.arctanh: Case(mp.atanh, SIGNED_UNIT),
    special.gamma: Case(mp.gamma, GAMMA),
    special.gammaln: Case(lambda x: mp.re(mp.loggamma(x)), [*POSITIVE, -0.3, -7.6]),
    special.loggamma: Case(mp.loggamma, POSITIVE),
    special.digamma: Case(mp.digamma, [*POSITIVE, -0.3, -7.6]),
    special.erf: Case(mp.erf, TAILS, dps=250),
    special.erfc: Case(mp.erfc, TAILS, dps=250),
    # Below the switch to the continued fraction up to x**4 units in the last place cancel.
    special.erfcx: Case(lambda x: mp.exp(x**2) * mp.erfc(x), [*(x for x in TAILS if x > -26), 1e3, 1e8], 2e-14),
    special.ndtr: Case(mp.ncdf, TAILS, dps=250),
    # The exponent of a tail probability, x**2 / 2 = 800 at x = 40, is a rounded number, here and in ndtri.
    special.log_ndtr: Case(lambda x: mp.log(mp.ncdf(x)), [-1e8, -1e4, *TAILS], 1e-13, dps=250),
    special.ndtri: Case(ndtri, UNIT, 4e-13),
    special.expit: Case(lambda x: 1 / (1 + mp.exp(-x)), TAILS),
    special.log_expit: Case(lambda x: -mp.log1p(mp.exp(-x)), TAILS),
    special.logit: Case(lambda x: mp.log(x / (1 - x)), UNIT),
    special.entr: Case(lambda x: -x * mp.log(x), POSITIVE),
    special.i0: Case(lambda x: mp.besseli(0, x), [0, *BESSEL]),
    special.i1: Case(lambda x: mp.besseli(1, x), [0, *BESSEL]),
    # Below the switch to the asymptotic series up to x**2 units in the last place cancel.
    special.i0e: Case(lambda x: mp.exp(-abs(x)) * mp.besseli(0, x), BESSEL, 4e-13),
    special.i1e: Case(lambda x: mp.exp(-abs(x)) * mp.besseli(1, x), BESSEL, 4e-13),
}

ANY = [(-3.5, 2), (-1e-9, 40), (0.7, -0.2), (2, 2.5), (1e3, -1e3), (40, 1e-9), (-1e8, -2), (0, 1.5), (1.5, 0)]
BOTH_POSITIVE = [(1, 2), (0.3, 0.3000001), (1e-9, 3), (3, 1e-9), (1e8, 1), (0.2, 1e8), (150.5, 12)]

BINARY_CASES = {
    np.add: Case(lambda a, b: a + b, ANY),
    np.subtract: Case(lambda a, b: a - b, ANY),
    np.multiply: Case(lambda a, b: a * b, ANY),
    np.divide: Case(lambda a, b: a / b, [p for p in ANY if p[1]]),
    np.power: Case(lambda a, b: a**b, [(0.5, -3), (2, 3), (1, 1), (3, 0), (1.5, 2), (7, 0.5), (1e-9, 1.7)]),
    np.float_power: Case(lambda a, b: a**b, [(0.5, -3), (2, 3), (1, 1), (3, 0), (1.5, 2), (7, 0.5), (1e-9, 1.7)]),
    np.arctan2: Case(mp.atan2, ANY),
    np.hypot: Case(mp.hypot, ANY),
    np.logaddexp: Case(lambda a, b: mp.log(mp.exp(a) + mp.exp(b)), [p for p in ANY if abs(p[0] - p[1]) < 50]),
    np.logaddexp2: Case(lambda a, b: mp.log(2**a + 2**b, 2), [p for p in ANY if abs(p[0] - p[1]) < 50]),
    special.xlogy: Case(lambda a, b: a * mp.log(b), [(0, 2), (-3, 1e-9), *BOTH_POSITIVE]),
    special.xlog1py: Case(lambda a, b: a * mp.log1p(b), [(0, 2), (-3, -0.5), *BOTH_POSITIVE]),
    special.rel_entr: Case(lambda a, b: a * mp.log(a / b), BOTH_POSITIVE),
    special.kl_div: Case(lambda a, b: a * mp.log(a / b) - a + b, BOTH_POSITIVE),
    special.betaln: Case(lambda a, b: mp.loggamma(a) + mp.loggamma(b) - mp.loggamma(a + b), BOTH_POSITIVE),
    # Its mixed derivative cancels as an argument goes to 0, where beta is nearly 1 / a + 1 / b.
    special.beta: Case(mp.beta, [p for p in BOTH_POSITIVE if min(p) > 1e-3], 4e-15),
}

CHOICE_CASES = {np.maximum: max, np.minimum: min, np.fmax: max, np.fmin: min}


CASES = UNARY_CASES | BINARY_CASES


def name(f):
    return getattr(f, "__name__", None)


def partial(f, at, orders):
    """Partial derivative in mpmath, by differences with relative steps; 0 where it is 0 to all digits."""
    scale = [x or mpf(1) for x in at]

    def stretched(*t):
        return f(*(x + s * u for x, s, u in zip(at, scale, t, strict=True)))

    raw = mp.diff(stretched, [0] * len(at), orders) if any(orders) else f(*at)
    noise = mpf(10) ** (8 - mp.dps) * (abs(f(*at)) or 1)
    step = math.prod(s**n for s, n in zip(scale, orders, strict=True))
    return 0.0 if abs(raw) < noise else float(raw / step)


def reference(case, k, orders):
    with mp.workdps(case.dps):
        points = np.reshape(case.grid, (-1, k)).tolist()
        return np.array([partial(case.f, [mpf(x) for x in point], orders) for point in points])


def agree(got, want, rtol):
    # Below 1e-300 doubles lose digits.
    np.testing.assert_allclose(got, want, rtol=rtol, atol=1e-300)


def unit(k, *quantities):
    return [quantities.count(i) for i in range(k)]


# ---------------------------------------------------------------- the rules


def test_every_rule_has_a_counterpart_in_mpmath():
    assert set(UNARY) | set(BINARY) == set(CASES)
    assert set(CHOICES) == set(CHOICE_CASES)


@pytest.mark.parametrize("ufunc", [*UNARY, *BINARY], ids=name)
def test_rule(ufunc):
    case, k = CASES[ufunc], ufunc.nin
    points = np.reshape(np.array(case.grid, dtype=float), (-1, k)).T
    rows = derivatives(lambda _, *theta: ufunc(*theta), np.zeros(points.shape[1]), *points)
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(rows.value, ufunc(*points))
    # That scipy's own value is right checks the counterpart; how right is scipy's affair.
    np.testing.assert_allclose(rows.value, reference(case, k, [0] * k), rtol=1e-12, atol=1e-16)
    for i in range(k):
        agree(rows.grad[i], reference(case, k, unit(k, i)), case.rtol)
        for j in range(i, k):
            agree(rows.hess[i, j], reference(case, k, unit(k, i, j)), case.rtol)
            np.testing.assert_array_equal(rows.hess[i, j], rows.hess[j, i])


@pytest.mark.parametrize("ufunc", [*BINARY, *CHOICES], ids=name)
def test_an_operand_without_derivatives(ufunc):
    a, b = np.array([[2.0, 0.4, 3.0], [1.5, 0.7, 0.2]])
    both, left, right = (
        derivatives(lambda _, *t: ufunc(*t), a, a, b),
        derivatives(lambda _, t: ufunc(t, b), a, a),
        derivatives(lambda _, t: ufunc(a, t), a, b),
    )
    for i, one in enumerate((left, right)):
        np.testing.assert_array_equal(one.value, both.value)
        np.testing.assert_array_equal(one.grad[0], both.grad[i])
        np.testing.assert_array_equal(one.hess[0, 0], both.hess[i, i])


@pytest.mark.parametrize("ufunc", CHOICES, ids=name)
def test_choice(ufunc):
    a, b = np.array([1.0, 3.0, 2.0]), np.array([2.0, 1.0, 2.0])
    got = derivatives(lambda _, a, b: ufunc(a**2, b**3), a, a, b)
    first = np.array([CHOICE_CASES[ufunc](x, y) == x for x, y in zip(a**2, b**3, strict=True)])
    np.testing.assert_array_equal(got.grad, np.where(first, [2 * a, 0 * b], [0 * a, 3 * b**2]))
    np.testing.assert_array_equal(got.hess[0, 0], np.where(first, 2.0, 0.0))
    np.testing.assert_array_equal(got.hess[1, 1], np.where(first, 0.0, 6 * b))


@pytest.mark.parametrize("ufunc", CHOICES, ids=name)
@pytest.mark.parametrize("values", [(1.0, 1.0), (np.nan, 1.0), (1.0, np.nan)], ids=str)
def test_choice_at_ties_and_beside_nan(ufunc, values):
    got = derivatives(lambda _, a, b: ufunc(a, b), [0.0], *values)
    np.testing.assert_array_equal(got.value, ufunc(*values))
    if np.isfinite(got.value):
        assert got.grad[:, 0].tolist() == ([0, 1] if np.isnan(values[0]) else [1, 0])


@pytest.mark.parametrize("ufunc", sorted(FLAT, key=name), ids=name)
def test_flat_functions_return_plain_arrays(ufunc):
    values = np.array([[-1.5, 0.0, 2.5], [1.0, 0.0, 0.5]])[: ufunc.nin]
    got = ufunc(*variables(*values))
    assert type(got) is np.ndarray
    np.testing.assert_array_equal(got, ufunc(*values))


@pytest.mark.parametrize("m", [1, 2])
def test_trigamma_and_tetragamma(m):
    function = {1: trigamma, 2: tetragamma}[m]
    negative = [-0.4, -1e-9, -3.3, -20.01, -1e4 - 0.1]
    x = np.array([*np.geomspace(1e-300, 1e300, 121), *np.linspace(0.01, 30, 97), *negative])
    with mp.workdps(50):
        agree(function(x), np.array([float(mp.psi(m, mpf(v))) for v in x.tolist()]), 2e-15)
    assert function(0.5).shape == ()
    assert np.isnan(function(np.nan))
    assert trigamma(0.0) == trigamma(-2.0) == np.inf


# Limits at which the textbook formula is 0 * inf, 0 / 0 or 0 * log 0.
EDGES = {
    "power 0": (lambda x: x**0, 0.0, 0.0, 0.0),
    "power 1": (lambda x: x**1, 0.0, 1.0, 0.0),
    "power 2": (lambda x: x**2, 0.0, 0.0, 2.0),
    "negative base": (lambda x: x**3, -2.0, 12.0, -12.0),
    "negative exponent": (lambda x: x**-1, -2.0, -0.25, -0.25),
    "zero base": (lambda x: 0.0**x, 2.0, 0.0, 0.0),
    "zero base, jets": (lambda x: (x - 2.0) ** x, 2.0, 0.0, 2.0),
    "int base": (lambda x: 2**x, 1.0, 2 * np.log(2), 2 * np.log(2) ** 2),
    "sqrt 0": (np.sqrt, 0.0, np.inf, -np.inf),
    "absolute 0": (np.absolute, 0.0, 0.0, 0.0),
    "0 log y": (lambda x: special.xlogy(0, x), 0.0, 0.0, 0.0),
    "0 log1p y": (lambda x: special.xlog1py(0, x), -1.0, 0.0, 0.0),
    "0 log(0 / y)": (lambda x: special.rel_entr(0, x), 0.5, 0.0, 0.0),
    "bool times log": (lambda x: np.array([False]) * np.log(x), 0.5, 0.0, 0.0),
    "divided by bool": (lambda x: x / np.array([True]), 0.5, 1.0, 0.0),
    "i0e 0": (special.i0e, 0.0, -1.0, 1.5),
    "i1e 0": (special.i1e, 0.0, 0.5, -1.0),
    "underflow": (special.log_ndtr, 60.0, 0.0, 0.0),
    "numpy scalar": (lambda x: np.float64(2) * x - np.int64(3) / x, 1.0, 5.0, -6.0),
}


@pytest.mark.parametrize("edge", EDGES)
def test_edge(edge):
    function, x, first, second = EDGES[edge]
    rows = derivatives(lambda _, x: function(x), [0.0], x)
    np.testing.assert_allclose([rows.grad[0, 0], rows.hess[0, 0, 0]], [first, second], rtol=1e-15, err_msg=str(rows))


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
    for function in set(FUNCTIONS) - {np.where, np.select, np.clip, np.full_like, np.empty_like}:
        np.testing.assert_array_equal(function(x), function(np.array([1.0, 2.0])))
    assert np.full_like(x, 3.0).tolist() == [3.0, 3.0]
    assert (x.shape, x.ndim, x.size, x.dtype, len(x)) == ((2,), 1, 2, np.dtype(float), 2)
    assert not hasattr(x, "sum")


def test_rows_can_be_picked():
    x, z = variables([1.0, 2.0, 3.0], 2.0)
    for key in (slice(1, None), np.array([False, True, True]), [1, 2]):
        got = (x * x * z)[key]
        assert got.value.tolist() == [8.0, 18.0]
        assert got.grad[0].tolist() == [8.0, 12.0]
        assert got.hess[0, 1].tolist() == [4.0, 6.0]
    assert x[::2].hess == {}


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


def augment(y, x):
    x += y
    return x


def assign_to_jet(y, x):
    x[0] = 1.0


REFUSED = {
    "ufunc": (lambda y, x: np.fmod(x, y), "no derivative rule for numpy.fmod"),
    "special ufunc": (lambda y, x: special.gammainc(x, y), "no derivative rule for scipy.special.gammainc"),
    "own ufunc": (lambda y, x: np.frompyfunc(math.exp, 1, 1)(x), "no derivative rule for exp"),
    "function": (lambda y, x: np.cumsum(x), "no derivative rule for numpy.cumsum"),
    "linalg": (lambda y, x: np.linalg.norm(x), "no derivative rule for numpy.linalg.norm"),
    "stack": (lambda y, x: np.stack([x, y]), "no derivative rule for numpy.stack"),
    "reduce": (lambda y, x: np.add.reduce(x), "no derivative rule for numpy.add.reduce"),
    "method": (lambda y, x: x.sum(), r"no derivative rule for the array's \.sum"),
    "out": (lambda y, x: np.exp(x, out=np.zeros(2)), "numpy.exp with out="),
    "where": (lambda y, x: np.exp(x, where=y > 0), "numpy.exp with where="),
    "augmented": (augment, r"numpy\.add with out= \(for a \+= b write a = a \+ b\)"),
    "stats": (lambda y, x: stats.norm.logpdf(y, x), "conversion to a plain array"),
    "stats scale": (lambda y, x: stats.gamma.logpdf(y, 2.0, scale=x), "conversion to a plain array"),
    "asarray": (lambda y, x: np.asarray(x), "conversion to a plain array"),
    "list of jets": (lambda y, x: np.array([x, x]), "conversion to a plain array"),
    "vectorize": (lambda y, x: np.vectorize(math.exp)(x), "conversion to a plain array"),
    "full_like": (lambda y, x: np.full_like(y, x), "numpy.copyto"),
    "item of array": (assign, "np.where builds one by cases"),
    "item of jet": (assign_to_jet, "item assignment: np.where"),
    "row": (lambda y, x: x[0], "an index that is not a mask, a slice"),
    "loop": (lambda y, x: [math.exp(v) for v in x], "iteration over rows"),
    "if": (lambda y, x: x if x else y, "use np.where"),
    "math": (lambda y, x: math.exp(x), r"float\(\) or the math module"),
    "None": (lambda y, x: x + None, "combine a jet with dtype object"),
    "text": (lambda y, x: x * "2", "combine a jet with dtype <U1"),
    "complex": (lambda y, x: 1j * x, "combine a jet with dtype complex128"),
    "condition": (lambda y, x: np.where(x, y, 0), "conversion to a plain array"),
}


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("what", REFUSED)
def test_refused(what, order):
    function, message = REFUSED[what]
    with pytest.raises(DerivativeError, match=message) as caught:
        derivatives(function, [1.0, 2.0], [0.5, 1.5], order=order)
    assert what in ("if", "None", "text", "complex") or 'derivatives = "numeric"' in str(caught.value)
    assert isinstance(caught.value, TypeError)


def test_repr_shows_the_derivatives():
    assert repr(variables([1.0, 2.0])[0]) == "Jet([1. 2.], grad={0: array([1., 1.])}, hess={})"
    assert isinstance(variables(1.0)[0], Jet)
