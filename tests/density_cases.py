"""Functions with their mpmath counterparts and arguments, for the tests of jets."""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from mpmath import mp, mpf
from scipy import special

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


# Where the scaled functions change from recurrences to expansions, and far out.
ORDERS = [(nu, x) for nu in (0, 0.5, 1, 4) for x in (0.4, 3, 12, 24, 29.9, 100, 700)]


class Case(NamedTuple):
    """An mpmath counterpart, where to compare, and how closely."""

    f: Callable
    grid: list
    rtol: float = 4e-15
    data: int | None = None  # the argument without a rule
    dps: int = 50  # more where a function saturates: 1 - f(20) is 1e-89 for the normal distribution


def ndtri(p):
    z = mpf(float(special.ndtri(float(p))))
    for _ in range(4):
        z -= (mp.ncdf(z) - p) / mp.npdf(z)
    return z


def newton(f, slope, start):
    """Solve ``f(z) = 0``, from a start good to double precision."""
    z = mpf(float(start))
    for _ in range(6):
        z -= f(z) / slope(z)
    return z


def erfinv(p):
    return newton(lambda z: mp.erf(z) - p, lambda z: 2 / mp.sqrt(mp.pi) * mp.exp(-z * z), special.erfinv(float(p)))


def erfcinv(p):
    return newton(lambda z: mp.erfc(z) - p, lambda z: -2 / mp.sqrt(mp.pi) * mp.exp(-z * z), special.erfcinv(float(p)))


def ndtri_exp(x):
    start = special.ndtri_exp(float(x))
    return newton(lambda z: mp.log(mp.ncdf(z)) - x, lambda z: mp.npdf(z) / mp.ncdf(z), start)


def owens_t(h, a):
    """Differences of this integral are those of its integrand: they keep their digits."""
    return mp.quad(lambda x: mp.exp(-h * h * (1 + x * x) / 2) / (1 + x * x), [0, a]) / (2 * mp.pi)


def scaled_k(nu, x):
    """``exp(x) K_nu(x)`` (DLMF 10.32.9) by the trapezoidal rule: mpmath's own takes seconds at whole orders."""
    end, steps = mp.acosh(1 + 140 * mp.log(10) / x) + 2, 260
    nodes = [end / steps * k for k in range(1, steps + 1)]
    return end / steps * (mpf(0.5) + sum(mp.exp(-x * (mp.cosh(t) - 1)) * mp.cosh(nu * t) for t in nodes))


def stdtr(df, x):
    tail = mp.betainc(df / 2, mpf(1) / 2, 0, df / (df + x * x), regularized=True) / 2
    return tail if x < 0 else 1 - tail


def box_cox(x, b):
    return mp.expm1(b * mp.log(x)) / b if b else mp.log(x)


def pseudo_huber(width, r):
    return width**2 * (mp.sqrt(1 + (r / width) ** 2) - 1)


def huber(width, r):
    return r**2 / 2 if abs(r) <= width else width * (abs(r) - width / 2)


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
    np.degrees: Case(mp.degrees, REAL),
    np.rad2deg: Case(mp.degrees, REAL),
    np.radians: Case(mp.radians, REAL),
    np.deg2rad: Case(mp.radians, REAL),
    special.cbrt: Case(lambda x: mp.sign(x) * mp.cbrt(abs(x)), [x for x in REAL if x]),
    special.exp2: Case(lambda x: 2**x, TAILS),
    special.exp10: Case(lambda x: 10**x, TAILS),
    special.expm1: Case(mp.expm1, TAILS),
    special.log1p: Case(mp.log1p, [-1 + 2.0**-53, -0.9, 0, *POSITIVE[1:]]),
    special.cosm1: Case(lambda x: mp.cos(x) - 1, TAILS),
    special.exprel: Case(lambda x: mp.expm1(x) / x if x else mpf(1), [*TAILS, -2.1, -1.9, 1.9, 2.1, -700, 700]),
    special.gamma: Case(mp.gamma, GAMMA),
    special.gammaln: Case(lambda x: mp.re(mp.loggamma(x)), [*POSITIVE, -0.3, -7.6]),
    special.loggamma: Case(mp.loggamma, POSITIVE),
    special.digamma: Case(mp.digamma, [*POSITIVE, -0.3, -7.6]),
    special.erf: Case(mp.erf, TAILS, dps=250),
    special.erfc: Case(mp.erfc, TAILS, dps=250),
    special.erfi: Case(mp.erfi, [x for x in TAILS if abs(x) < 25], dps=250),
    special.erfinv: Case(erfinv, [-0.99, -1e-9, 0, 0.3, 1 - 1e-10, 1 - 2.0**-53], 2e-13),
    special.erfcinv: Case(erfcinv, [1e-300, 1e-12, 0.1, 0.999, 1, 1.7, 1.999999], 2e-12),
    # Below the switch to the continued fraction up to x**4 units in the last place cancel.
    special.erfcx: Case(lambda x: mp.exp(x**2) * mp.erfc(x), [*(x for x in TAILS if x > -26), 1e3, 1e8], 2e-14),
    special.ndtr: Case(mp.ncdf, TAILS, dps=250),
    # The exponent of a tail probability, x**2 / 2 = 800 at x = 40, is a rounded number, here and in ndtri.
    special.log_ndtr: Case(lambda x: mp.log(mp.ncdf(x)), [-1e8, -1e4, *TAILS], 1e-13, dps=250),
    special.ndtri: Case(ndtri, UNIT, 4e-13),
    special.ndtri_exp: Case(ndtri_exp, [-1e8, -1e3, -40, -8, -3, -0.7, -0.01, -1e-9], 1e-12),
    special.expit: Case(lambda x: 1 / (1 + mp.exp(-x)), TAILS),
    special.log_expit: Case(lambda x: -mp.log1p(mp.exp(-x)), TAILS),
    special.logit: Case(lambda x: mp.log(x / (1 - x)), UNIT),
    special.entr: Case(lambda x: -x * mp.log(x), POSITIVE),
    special.i0: Case(lambda x: mp.besseli(0, x), [0, *BESSEL]),
    special.i1: Case(lambda x: mp.besseli(1, x), [0, *BESSEL]),
    # Below the switch to the asymptotic series up to x**2 units in the last place cancel.
    special.k0: Case(lambda x: mp.exp(-x) * scaled_k(0, x), [x for x in BESSEL if x > 0]),
    special.k1: Case(lambda x: mp.exp(-x) * scaled_k(1, x), [x for x in BESSEL if x > 0]),
    special.k0e: Case(lambda x: scaled_k(0, x), [x for x in BESSEL if x > 0], 4e-13),
    special.k1e: Case(lambda x: scaled_k(1, x), [x for x in BESSEL if x > 0], 4e-13),
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
    special.binom: Case(mp.binomial, [(5, 2), (5.5, 2), (40.3, 7), (12.25, 3.5), (1000.5, 3), (8, 8)], 1e-13),
    # The second derivative of z (z + 1) (z + 2) is made of a square and a difference that cancel as z goes to 0.
    special.poch: Case(mp.rf, [(0.3, 2), (5, 2), (2.5, 7.5), (0.05, 3), (1000.5, 3), (0.7, 0.4)], 1e-13),
    special.powm1: Case(lambda a, b: a**b - 1, [(0.5, -3), (2, 3), (1.5, 2), (7, 0.5), (1e-9, 1.7), (1 + 1e-9, 0.3)]),
    special.boxcox: Case(box_cox, [(2.5, 0), (2.5, 1e-9), (1e-9, 0.3), (3, 2), (0.2, -1.5), (1e8, 0.5), (1.001, -0.4)]),
    special.boxcox1p: Case(
        lambda x, b: box_cox(1 + x, b), [(1.5, 0), (1.5, 1e-9), (1e-9, 0.3), (3, 2), (-0.8, -1.5), (1e8, 0.5)]
    ),
    np.remainder: Case(lambda a, b: a - b * mp.floor(a / b), [(7.5, 2), (-7.5, 2), (7.5, -2.3), (0.3, 6.28)]),
    np.fmod: Case(
        lambda a, b: a - b * (mp.floor(a / b) if a / b > 0 else mp.ceil(a / b)), [(7.5, 2), (-7.5, 2), (7.5, -2.3)]
    ),
    special.huber: Case(huber, [(1.3, 0.2), (1.3, -0.9), (1.3, 2.5), (1.3, -1e3), (1e-9, 1)]),
    special.pseudo_huber: Case(pseudo_huber, [(1.3, 0.2), (1.3, -0.9), (1.3, 1e-9), (1.3, -1e8), (1e-9, 1), (2, 0)]),
    special.owens_t: Case(owens_t, [(0, 1), (0.3, -2), (-1.5, 0.4), (3, 1), (8, 0.1), (0.2, 9), (1, 0)], 1e-14, dps=30),
    special.stdtr: Case(stdtr, [(3, -2), (0.7, 5), (30, 0.1), (4.5, -40), (1e4, 1.5), (2, -1e8)], 1e-12, data=0),
    # Where a - 1 = x the second derivative crosses 0.
    special.gammainc: Case(
        lambda a, x: mp.gammainc(a, 0, x, regularized=True),
        [(0.3, 1e-9), (0.3, 2), (1, 0.5), (7.5, 2), (7.5, 12), (100, 80), (100, 130)],
        1e-13,
        data=0,
    ),
    special.gammaincc: Case(
        lambda a, x: mp.gammainc(a, x, mp.inf, regularized=True),
        [(0.3, 1e-9), (0.3, 2), (1, 0.5), (7.5, 2), (7.5, 12), (100, 80), (100, 130)],
        1e-13,
        data=0,
    ),
    special.iv: Case(mp.besseli, ORDERS, 1e-14, data=0),
    special.kv: Case(lambda nu, x: mp.exp(-x) * scaled_k(nu, x), ORDERS, 1e-14, data=0),
    # Between recurrences and expansions the second derivative crosses 0.
    special.ive: Case(lambda nu, x: mp.exp(-x) * mp.besseli(nu, x), ORDERS, 1e-11, data=0),
    special.kve: Case(scaled_k, ORDERS, 1e-11, data=0),
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
