"""Third-order expectations of scores: closed forms against integrals, and both against mpmath."""

from itertools import product

import numpy as np
import pytest
from mpmath import mp, mpf

from mlekit import families
from mlekit.families import FAMILIES, OrderedLogit, OrderedProbit
from mlekit.families.third import NoMoments, integrated_moments, moments_of

# Linear predictors that are inside every domain but that of a probability.
ETA, PROBABILITY = (0.4, 1.1), {"log": (-2.0, -0.3), "identity": (0.1, 0.8)}
ONE = ["bernoulli", "geometric", "poisson", "exponential"]
TWO = ["normal", "lognormal", "logistic", "gumbel", "gamma", "inverse_gaussian", "weibull", "beta"]


def linked():
    """Every family with a closed form, with every link of the first parameter, and every one of the second."""
    for name in ONE + TWO:
        kind = FAMILIES[name]
        first, *others = kind.params
        for link in kind.links_for[first]:
            yield kind(**{first: link})
        for other, link in product(others, kind.links_for[others[0]] if others else ()):
            yield kind(**{other: link})


@pytest.mark.parametrize("family", [*linked()], ids=repr)
def test_closed_forms_are_the_integrals(family):
    links = family.links.items()
    rows = [np.array(PROBABILITY.get(link.name, ETA) if name == "p" else ETA) for name, link in links]
    if isinstance(family, FAMILIES["beta"]):  # with a and b above 1, where an integral over y has all its digits
        phi = family.links["phi"]
        rows = [np.array([0.1, -0.4]), np.asarray(phi.forward(np.array([9.0, 6.0])))]
    ours, integral = moments_of(family, *rows), integrated_moments(family, *rows)
    for found, wanted in zip(ours, integral, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-8, atol=1e-9 * np.abs(integral.information).max())


# ------------------------------------------------------------------------------------ mpmath

DIGITS = 20


def certified(log_density, eta, integrate):
    """``E[u_a u_b u_c] + E[u_ab u_c]`` with derivatives by differences in many digits."""
    k = len(eta)
    with mp.workdps(DIGITS):
        eta = [mpf(e) for e in eta]

        def derivative(y, *by):
            return mp.diff(lambda *e: log_density(y, *e), eta, tuple(by.count(i) for i in range(k)))

        def derivatives(y):
            density, first = mp.exp(log_density(y, *eta)), [derivative(y, a) for a in range(k)]
            second = {(a, b): derivative(y, a, b) for a in range(k) for b in range(a, k)}
            return [
                density * (first[a] * first[b] + second[min(a, b), max(a, b)]) * first[c]
                for a, b, c in product(range(k), repeat=3)
            ]

        return np.array([float(v) for v in integrate(derivatives)]).reshape(k, k, k)


def summed(values):
    return lambda function: np.sum([function(mpf(v)) for v in values], axis=0)


def trapezes(far, step, at=lambda s: s, slope=lambda s: 1):
    """Integral over the line of what falls off exponentially, in a coordinate in which it does."""

    def integrate(function):
        points = [mpf(step) * i for i in range(-round(far / step), round(far / step) + 1)]
        return step * np.sum([slope(s) * np.array(function(at(s))) for s in points], axis=0)

    return integrate


def negative_binomial(y, log_mu, log_alpha):
    r, mu = mp.exp(-log_alpha), mp.exp(log_mu)
    return (
        mp.loggamma(y + r) - mp.loggamma(r) - mp.loggamma(y + 1) + r * mp.log(r / (r + mu)) + y * mp.log(mu / (r + mu))
    )


def ordered(cdf):
    def log_density(y, location, *cuts):
        ends = [mpf("-inf"), *cuts, mpf("inf")]
        low, high = ends[int(y)], ends[int(y) + 1]
        below = mpf(0) if low == mpf("-inf") else cdf(low - location)
        above = mpf(1) if high == mpf("inf") else cdf(high - location)
        return mp.log(above - below)

    return log_density


def beta(t, logit_mu, log_phi):
    """Density of t = logit y, whose scores are those of y."""
    mu, phi = 1 / (1 + mp.exp(-logit_mu)), mp.exp(log_phi)
    a, b = mu * phi, (1 - mu) * phi
    return mp.loggamma(phi) - mp.loggamma(a) - mp.loggamma(b) - a * mp.log1p(mp.exp(-t)) - b * mp.log1p(mp.exp(t))


def student(z, mu, log_sigma, log_df):
    sigma, df = mp.exp(log_sigma), mp.exp(log_df)
    root = mp.loggamma((df + 1) / 2) - mp.loggamma(df / 2) - mp.log(df * mp.pi) / 2 - log_sigma
    return root - (df + 1) / 2 * mp.log1p(((z - mu) / sigma) ** 2 / df)


LEVELS = ["low", "mid", "high"]
CERTIFIED = {
    "negative binomial": (families.NegativeBinomial(), negative_binomial, (0.4, -0.3), summed(range(80))),
    "ordered logit": (
        OrderedLogit().of_levels(LEVELS),
        ordered(lambda x: 1 / (1 + mp.exp(-x))),
        (0.3, -1.0, 0.7),
        summed(range(3)),
    ),
    "beta": (families.Beta(), beta, (-0.8, 1.1), trapezes(40, 0.5)),
    "student": (families.StudentT(), student, (0.2, 0.3, 1.1), trapezes(13, 0.25, mp.sinh, mp.cosh)),
    "ordered probit": (OrderedProbit().of_levels(LEVELS), ordered(mp.ncdf), (0.3, -1.0, 0.7), summed(range(3))),
}


@pytest.mark.parametrize("name", CERTIFIED)
def test_moments_are_those_of_mpmath(name):
    family, log_density, eta, integrate = CERTIFIED[name]
    wanted = certified(log_density, eta, integrate)
    found = moments_of(family, *(np.array([e]) for e in eta)).third[..., 0]
    np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-10 * np.abs(wanted).max())


@pytest.mark.parametrize("shape", [0.3, 19.0, 21.0, 1e9])
def test_the_shape_of_a_gamma_keeps_its_digits(shape):
    # In log shape: shape**3 psi''(shape) + shape**2 psi'(shape), whose leading terms cancel.
    with mp.workdps(60):
        a = mpf(shape)
        wanted = float(a**3 * mp.psi(2, a) + a**2 * mp.psi(1, a))
    found = families.Gamma().third_moments(np.zeros(1), np.log([shape]))
    assert found[1, 1, 1, 0] == pytest.approx(wanted, rel=1e-12)


def test_rows_of_equal_parameters_share_their_integrals():
    calls = []

    class Counted(families.NegativeBinomial):
        def linear_rows(self, y, *eta, order=2):
            calls.append(y.size)
            return super().linear_rows(y, *eta, order=order)

    one, many = (moments_of(Counted(), np.full(n, 0.4), np.full(n, 0.1)) for n in (1, 500))
    assert np.array_equal(many.third, np.repeat(one.third, 500, axis=-1))
    assert len(calls) < 10


@pytest.mark.parametrize("family", [families.Laplace(), families.Censored("normal"), families.Binomial()], ids=repr)
def test_what_has_no_moments_is_refused(family):
    with pytest.raises(NoMoments, match=r"kink|columns"):
        integrated_moments(family, *np.zeros((len(family.params), 1)))
