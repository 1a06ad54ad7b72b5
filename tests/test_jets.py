"""The derivative rules of functions, against mpmath."""

import numpy as np
import pytest
from mpmath import mp, mpf
from scipy import special

from mlekit.jet_rules import BINARY, CHOICES, FLAT, NO_RULE, UNARY, tetragamma, trigamma
from mlekit.jets import DerivativeError, derivatives, variables
from tests.density_cases import CASES, CHOICE_CASES, agree, name, reference, unit

# ---------------------------------------------------------------- the rules


def test_every_rule_has_a_counterpart_in_mpmath():
    assert set(UNARY) | set(BINARY) == set(CASES)
    assert set(CHOICES) == set(CHOICE_CASES)


@pytest.mark.parametrize("ufunc", [*UNARY, *BINARY], ids=name)
def test_rule(ufunc):
    case, k = CASES[ufunc], ufunc.nin
    points = np.reshape(np.array(case.grid, dtype=float), (-1, k)).T
    live = [i for i in range(k) if i != case.data]

    def function(_, *theta):
        at = dict(zip(live, theta, strict=True))
        return ufunc(*(at.get(i, points[i]) for i in range(k)))

    rows = derivatives(function, np.zeros(points.shape[1]), *points[live])
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(rows.value, ufunc(*points))
    # That scipy's own value is right checks the counterpart; how right is scipy's affair.
    np.testing.assert_allclose(rows.value, reference(case, k, [0] * k), rtol=1e-12, atol=1e-16)
    for i, p in enumerate(live):
        agree(rows.grad[i], reference(case, k, unit(k, p)), case.rtol)
        for j, q in enumerate(live[i:], i):
            agree(rows.hess[i, j], reference(case, k, unit(k, p, q)), case.rtol)
            np.testing.assert_array_equal(rows.hess[i, j], rows.hess[j, i])


@pytest.mark.parametrize("ufunc", [u for u in BINARY if CASES[u].data is not None], ids=name)
def test_an_operand_that_has_to_be_data(ufunc):
    place, rule = CASES[ufunc].data, BINARY[ufunc]
    assert [i for i in (0, 1) if rule[i] is NO_RULE] == [place]
    with pytest.raises(DerivativeError, match=f"scipy.special.{name(ufunc)} in its {('first', 'second')[place]} arg"):
        derivatives(lambda _, *theta: ufunc(*theta), [0.0], 1.5, 2.0)


@pytest.mark.parametrize("ufunc", [u for u in (*BINARY, *CHOICES) if u not in CASES or CASES[u].data is None], ids=name)
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
    with np.errstate(all="ignore"):
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
    "log of a ratio out of range": (lambda x: special.rel_entr(x, 1e-300), 1e300, 1 + 600 * np.log(10), 1e-300),
    "log of a ratio in the range of few digits": (lambda x: special.kl_div(x, 1e16), 1e-300, -316 * np.log(10), 1e300),
    "bool times log": (lambda x: np.array([False]) * np.log(x), 0.5, 0.0, 0.0),
    "divided by bool": (lambda x: x / np.array([True]), 0.5, 1.0, 0.0),
    "Box-Cox of 0": (lambda b: special.boxcox(0.0, b), 0.5, 4.0, -16.0),
    "Box-Cox of 1": (lambda b: special.boxcox(1.0, b), 0.5, 0.0, 0.0),
    "Box-Cox of 1p": (lambda b: special.boxcox1p(-1.0, b), 2.0, 0.25, -0.25),
    "exprel 0": (special.exprel, 0.0, 0.5, 1 / 3),
    "exprel far": (special.exprel, -1e10, 1e-20, 2e-30),
    "k0e far": (special.k0e, 1e300, 0.0, 0.0),
    "owens_t 0": (lambda a: special.owens_t(0.0, a), 1.0, 0.25 / np.pi, -0.25 / np.pi),
    "binom choose 0": (lambda n: special.binom(n, 0), 3.0, 0.0, 0.0),
    "gamma's edge": (lambda x: special.gammainc(1.0, x), 0.0, 1.0, -1.0),
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
