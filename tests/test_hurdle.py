"""Hurdle counts, against mpmath, statsmodels and integrals; and from end to end."""

from __future__ import annotations

import pickle
import warnings
from typing import Any

import numpy as np
import pytest
from mpmath import mp, mpf
from scipy import optimize, special, stats
from statsmodels.discrete.truncated_model import HurdleCountModel, TruncatedLFNegativeBinomialP, TruncatedLFPoisson
from statsmodels.tools.sm_exceptions import ConvergenceWarning

import mlekit
from mlekit import Censored, GenericLikelihood, Hurdle, Status, Truncated, ZeroInflated
from mlekit.families import NegativeBinomial, Poisson
from tests.mp_zeros import INNER, ZEROS, hurdle, points, worst
from tests.reference import load
from tests.start_values_zeros import RUN_OFF, fit, samples, verdict

MODELS = [(inner, link) for inner in INNER for link in (ZEROS if inner == "poisson" else ["logit"])]
each_model = pytest.mark.parametrize(("inner", "link"), MODELS, ids=["-".join(model) for model in MODELS])
each_inner = pytest.mark.parametrize("inner", INNER)
#: Values of each inner parameter for `check`.
THETA = {"mu": [0.1, 3.0, 1.0, 3.0, 20.0], "alpha": 0.7, "p": [0.9, 0.3, 0.2, 0.5, 0.1]}
Y, ZERO = [0, 0, 1, 5, 40], [0.3, 0.01, 0.9, 0.5, 0.2]


class Borel(GenericLikelihood):
    """A family of a user's that is never 0: individuals of a branching process, with mean 1 / (1 - mu)."""

    params = {"mu": "logit"}

    def logpdf(self, y: Any, mu: Any) -> Any:
        return -mu * y + (y - 1) * np.log(mu * y) - special.gammaln(y + 1)

    def in_support(self, y: Any) -> Any:
        return (y >= 1) & (y == np.floor(y))


class PlainPoisson(GenericLikelihood):
    """The Poisson as a user writes it, with a log-density at 0 that has lost its digits for small means."""

    params = {"mu": "log"}

    def logpdf(self, y: Any, mu: Any) -> Any:
        return y * np.log(mu) + np.log(np.exp(-mu)) - special.gammaln(y + 1)

    def in_support(self, y: Any) -> Any:
        return (y >= 0) & (y == np.floor(y))


# ---------------------------------------------------------------- rows


@each_model
def test_rows_against_mpmath(inner: str, link: str) -> None:
    """In all digits, also of means of e**-700, where every count above 0 is a 1."""
    family = Hurdle(inner, zero=link)
    found = worst(family, hurdle(inner, link), *points(inner, link, (0.0, 1.0, 7.0)))
    assert max(found["value"], found["grad"]) < 2e-14, found
    assert found["hess"] < 4e-13, found


@each_model
def test_check(inner: str, link: str) -> None:
    """Derivatives, moments, distribution function, quantiles, information and draws follow from the density."""
    family = Hurdle(inner, zero=link)
    assert family.check(Y, zero=ZERO, **{name: THETA[name] for name in family.inner.params})


@pytest.mark.parametrize(
    ("family", "mu"),
    [(Poisson(), mu) for mu in (1e-300, 1e-30, 1e-10, 1e-6, 0.0019, 0.0021, 0.1)]
    + [(PlainPoisson(), mu) for mu in (1e-10, 1e-6)],
    ids=str,
)
def test_small_means(family: GenericLikelihood, mu: float) -> None:
    """Relative to themselves: the score in log mu of a 1 is about -mu / 2, its derivative too.

    A user's chain rule adds y and takes it away, so that second derivatives have a rounding error of its size.
    """
    y, eta = np.array([1.0, 2.0, 5.0]), np.full(3, np.log(mu))
    rows = Hurdle(family).linear_rows(y, eta, np.zeros(3))
    base = Hurdle(family).base_measure(y)
    value = rows.value if base is None else rows.value + base
    with mp.workdps(700):
        m = mp.exp(mpf(float(eta[0])))
        ratio = m / -mp.expm1(-m)  # m / (1 - e**-m)
        score = [k - ratio for k in (1, 2, 5)]
        bend = -ratio * (1 - ratio * mp.exp(-m))
        log_density = [k * mp.log(m) - mp.log(mp.expm1(m)) - mp.log(mp.factorial(k)) - mp.log(2) for k in (1, 2, 5)]
    digits = 1e-13 if mu < 0.002 else 1e-11  # where ratios end, a thousandth of the terms is left
    np.testing.assert_allclose(value, [float(v) for v in log_density], rtol=1e-14 if mu < 0.002 else 1e-13)
    np.testing.assert_allclose(rows.grad[0], [float(s) for s in score], rtol=digits)
    np.testing.assert_allclose(rows.hess[0, 0], float(bend), rtol=digits, atol=0 if base is not None else 2e-15)


def test_expected_information_of_small_means() -> None:
    """Of a truncated Poisson in log mu it is the variance of a count: mu / 2 and less."""
    for mu in (1e-200, 1e-10, 1e-4):
        found = Hurdle("poisson").information(np.log([mu]), np.zeros(1))
        with mp.workdps(450):
            m = mpf(mu)
            ratio = m / -mp.expm1(-m)
            want = float(ratio * (1 - ratio * mp.exp(-m)) / 2)  # half of the rows are above 0
        assert found[0, 0, 0] == pytest.approx(want, rel=1e-12)
        assert found[1, 1, 0] == 0.25
        variance = Hurdle("poisson").variance(mu, 1e-300)
        assert variance == pytest.approx(2 * want, rel=1e-12)


@each_inner
def test_lower_orders_and_other_rows_change_no_number(inner: str) -> None:
    family, (y, *eta) = Hurdle(inner), points(inner, "logit", (0.0, 1.0, 7.0))
    zero, one, two = (family.linear_rows(y, *eta, order=order) for order in (0, 1, 2))
    assert zero.grad is zero.hess is one.hess is None
    np.testing.assert_array_equal(zero.value, two.value)
    np.testing.assert_array_equal(one.value, two.value)
    np.testing.assert_array_equal(one.grad, two.grad)
    np.testing.assert_array_equal(two.hess, two.hess.swapaxes(0, 1))
    for kept in (y == 0, y == 7):
        part = family.linear_rows(y[kept], *(e[kept] for e in eta))
        for alone, together in zip(part, two, strict=True):
            np.testing.assert_allclose(alone, together[..., kept], rtol=1e-12, atol=1e-14)


# ---------------------------------------------------------------- the distribution


def test_distribution_function_in_the_tails() -> None:
    """Against sums in mpmath: of counts that are nearly never 0, and nearly always."""
    family = Hurdle("poisson")
    for y, mu, zero in [(1.0, 800.0, 1e-300), (1.0, 1e-80, 0.5), (40.0, 3.0, 1e-9), (0.0, 1e-20, 0.3), (2.5, 1.0, 0.2)]:
        with mp.workdps(400):
            terms = [mp.exp(-mpf(mu)) * mpf(mu) ** k / mp.factorial(k) for k in range(1, int(y) + 1)]
            below = mpf(zero) + (1 - mpf(zero)) * sum(terms) / -mp.expm1(-mpf(mu))
            want = float(below), float(mp.log(below)), float(mp.log(1 - below))
        got = family.cdf(y, mu, zero), family.logcdf(y, mu, zero), family.logsf(y, mu, zero)
        np.testing.assert_allclose(got, want, rtol=1e-12)
    assert family.cdf(-0.5, 1.0, 0.5) == 0
    assert family.logsf(-0.5, 1.0, 0.5) == 0
    assert family.logcdf(np.inf, 1.0, 0.5) == 0
    assert np.isnan(family.cdf(np.nan, 1.0, 0.5))


def test_draws_of_counts_that_are_nearly_always_zero() -> None:
    """Above 0 they have a logarithmic distribution, as a negative binomial with a large dispersion has."""
    mu, alpha, n = np.full(20_000, 1e-12), 1e13, 20_000
    draws = Hurdle("negative_binomial").rvs(mu, alpha, 0.25, rng=np.random.default_rng(0))
    above = draws[draws > 0]
    assert above.size == pytest.approx(0.75 * n, abs=4 * np.sqrt(n * 0.25 * 0.75))
    for count in (1, 2, 3, 8):
        share = stats.logser.cdf(count, 10 / 11)
        assert np.mean(above <= count) == pytest.approx(share, abs=4 * np.sqrt(share * (1 - share) / above.size))


# ---------------------------------------------------------------- fits


def biochemists() -> tuple[Any, dict[str, str], Any]:
    frame = load("zip_bioChemists").frame
    x = np.column_stack([np.ones(len(frame)), frame["fem"] == "Women", frame["ment"]]).astype(float)
    return frame, {"mu": "art ~ fem + ment", "zero": "~ fem + ment"}, x


@pytest.mark.parametrize("inner", ["poisson", "negative_binomial", "negative_binomial_1"])
def test_against_statsmodels_truncated(inner: str) -> None:
    """Their log-likelihood of the counts above 0 at our estimates is ours, and largest there."""
    frame, formula, x = biochemists()
    ours = mlekit.fit(formula, frame, Hurdle(inner))
    above = frame["art"].to_numpy() > 0
    logit = mlekit.fit("I((art == 0) * 1) ~ fem + ment", frame, "bernoulli")
    assert ours.converged
    np.testing.assert_allclose(ours.params[-3:], logit.params, rtol=1e-9)
    np.testing.assert_allclose(ours.bse[-3:], logit.bse, rtol=1e-9)
    y = frame["art"].to_numpy()[above]
    if inner == "poisson":
        model = TruncatedLFPoisson(y, x[above])
    else:
        model = TruncatedLFNegativeBinomialP(y, x[above], p=2 if inner == "negative_binomial" else 1)
    theirs = np.concatenate([ours.params[:3], np.exp(ours.params[3:-3])])
    assert model.loglike(theirs) + logit.llf == pytest.approx(ours.llf, rel=1e-12)
    size = ours.bse.to_numpy()[:-3] * np.r_[np.ones(3), theirs[3:]]
    gradient = optimize.approx_fprime(theirs, model.loglike, 1e-6 * size)
    assert np.all(np.abs(gradient * size) < 1e-4)


def test_against_statsmodels_hurdle() -> None:
    """Whose zeros are those of a Poisson: P(0) = exp(-exp(eta)), a cloglog of a count above 0."""
    frame, formula, x = biochemists()
    theirs = HurdleCountModel(frame["art"], x).fit(disp=0, method="newton")
    ours = mlekit.fit(formula, frame, Hurdle("poisson"))
    counts = mlekit.fit("I((art > 0) * 1) ~ fem + ment", frame, mlekit.Bernoulli(p="cloglog"))
    zeros = mlekit.fit("I((art == 0) * 1) ~ fem + ment", frame, "bernoulli")
    assert ours.llf - zeros.llf + counts.llf == pytest.approx(theirs.llf, rel=1e-10)
    np.testing.assert_allclose(ours.params[:3], theirs.params[3:], rtol=1e-6)
    np.testing.assert_allclose(ours.bse[:3], theirs.bse[3:], rtol=1e-5)


def test_family_that_is_never_zero() -> None:
    """Nothing is left to divide by."""
    family = Hurdle(Borel)
    assert family.check([0, 1, 3, 20], mu=[0.2, 0.5, 0.5, 0.9], zero=[0.1, 0.5, 0.2, 0.9])
    table = {"x": np.linspace(-1, 1, 500)}
    truth = {"Intercept": -0.5, "x": 0.5, "zero_Intercept": -1.0}
    made = mlekit.simulate("y ~ x", truth, family, table, seed=1)
    found = mlekit.fit("y ~ x", made, family)
    assert found.converged
    assert np.all(np.abs(found.params - list(truth.values())) < 3 * found.bse)


def test_user_poisson_is_ours() -> None:
    frame, formula, _ = biochemists()
    ours, theirs = (mlekit.fit(formula, frame, Hurdle(family)) for family in ("poisson", PlainPoisson))
    np.testing.assert_allclose(theirs.params, ours.params, rtol=1e-9)
    np.testing.assert_allclose(theirs.bse, ours.bse, rtol=1e-9)


# ---------------------------------------------------------------- starts and limits


@each_inner
def test_no_fit_fails_from_its_default_start(inner: str) -> None:
    """What has no maximum runs off, and says so."""
    ends = [verdict(data, fit(data)) for data in samples(f"hurdle-{inner}", 24, seed=1)]
    assert set(ends) <= {"converged", "at infinity"}, ends
    assert ends.count("converged") >= 16, ends


@each_inner
def test_recovery(inner: str) -> None:
    family = Hurdle(inner)
    first, *others = family.params
    table = {"x": np.linspace(-1, 1, 20_000)}
    truth = {"Intercept": 0.8, "x": 0.5, "alpha_Intercept": -0.6, "zero_Intercept": -0.4, "zero_x": 1.0}
    if "alpha" not in others:
        del truth["alpha_Intercept"]
    formula = {first: "y ~ x", "zero": "~ x"}
    found = mlekit.fit(formula, mlekit.simulate(formula, truth, family, table, seed=3), family)
    assert found.converged
    assert np.all(np.abs(found.params - list(truth.values())) < 4 * found.bse)
    assert np.all(found.bse < 0.2)


@pytest.mark.parametrize(
    "y", [[1, 2, 3, 1, 5, 2], [0] * 6, [0, 1, 1, 0]], ids=["no zeros", "zeros", "no count above 1"]
)
def test_what_runs_off_is_said(y: list[float]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        found = mlekit.fit("y ~ 1", {"y": np.tile(np.asarray(y, dtype=float), 5)}, Hurdle("poisson"))
    assert found._results.status in RUN_OFF
    assert found._results.status is not Status.CONVERGED


def test_fewer_zeros_than_the_family_has() -> None:
    """A hurdle takes them, where an inflation cannot; the inner family is that of the counts above 0."""
    table = {"y": np.repeat([0.0, 1.0, 2.0, 3.0], [1, 30, 20, 9])}
    found = mlekit.fit("y ~ 1", table, Hurdle("poisson"))
    assert found.converged
    assert found.distribution.loc["zero", "estimate"] == pytest.approx(1 / 60, rel=1e-9)
    mu = found.distribution.loc["mu", "estimate"]
    assert mu / -np.expm1(-mu) == pytest.approx((30 + 40 + 27) / 59, rel=1e-10)


# ---------------------------------------------------------------- declarations


def test_declaration() -> None:
    family = Hurdle(NegativeBinomial(mu="sqrt"), zero="cloglog")
    assert repr(family) == "Hurdle(NegativeBinomial(mu='sqrt'), zero='cloglog')"
    assert family == pickle.loads(pickle.dumps(family)) != Hurdle("negative_binomial", zero="cloglog")
    assert Hurdle("poisson") != ZeroInflated("poisson")
    assert list(family.params) == ["mu", "alpha", "zero"]


REFUSED = {
    "gamma": "Gamma\\(\\) is continuous.*Fit family='bernoulli' to whether the response is 0",
    "multinomial_logit": "levels",
    "bernoulli": "fewer than two values beside 0",
    ZeroInflated("poisson"): "has a parameter for its zeros: a second, of Hurdle",
    Hurdle("geometric"): "has a parameter for its zeros",
}


@pytest.mark.parametrize("family", REFUSED, ids=str)
def test_what_is_not_of_counts_is_refused(family: Any) -> None:
    with pytest.raises(TypeError, match=REFUSED[family]):
        Hurdle(family)


# ---------------------------------------------------------------- with other combinators, and afterwards


@pytest.mark.parametrize("made", [ZeroInflated, Hurdle], ids=["ZeroInflated", "Hurdle"])
def test_means_have_errors_by_the_delta_method(made: Any) -> None:
    frame, formula, _ = biochemists()
    fit = mlekit.fit(formula, frame, made("negative_binomial"))
    rows = {"fem": ["Women"], "ment": [3.0]}
    found = fit.get_prediction(rows).summary_frame()
    shares = [fit.predict(rows, what=name).to_numpy() for name in fit.model.family.params]
    assert found["mean"].to_numpy() == pytest.approx(fit.model.family.mean(*shares))
    step = 1e-5 * fit.bse.to_numpy()
    slopes = []
    x = np.array([1.0, 1.0, 3.0])
    for move in np.diag(step):
        ends = []
        for sign in (-1, 1):
            b = fit.params.to_numpy() + sign * move
            eta = (x @ b[:3], b[3], x @ b[4:])
            theta = [np.array([link.inverse(e)]) for link, e in zip(fit.model.family.links.values(), eta, strict=True)]
            ends.append(float(fit.model.family.mean(*theta)[0]))
        slopes.append((ends[1] - ends[0]) / (2 * move.sum()))
    error = np.sqrt(np.asarray(slopes) @ fit.cov_params().to_numpy() @ np.asarray(slopes))
    assert found["mean_se"].to_numpy() == pytest.approx(error, rel=1e-6)


@pytest.mark.parametrize("made", [ZeroInflated, Hurdle], ids=["ZeroInflated", "Hurdle"])
def test_censored_at_the_top(made: Any) -> None:
    """Counts of 5 and more as such: against the sum of probabilities by hand, at its maximum."""
    frame, _, _ = biochemists()
    y = frame["art"].to_numpy(dtype=float)
    table = {"low": np.where(y >= 5, 4.0, y), "exact": (y < 5).astype(int)}
    family = made("poisson")
    fit = mlekit.fit("Surv(low, exact) ~ 1", table, Censored(family))
    counts, rows = np.arange(5.0), np.bincount(np.minimum(y, 5).astype(int))

    def loglike(beta: Any) -> float:
        theta = np.exp(beta[0]), special.expit(beta[1])
        f = np.exp(family.logpdf(counts, *theta))
        return float(rows[:5] @ np.log(f) + rows[5] * np.log1p(-f.sum()))

    assert fit.converged
    assert fit.llf == pytest.approx(loglike(fit.params.to_numpy()), rel=1e-12)
    gradient = optimize.approx_fprime(fit.params.to_numpy(), loglike, 1e-6)
    assert np.all(np.abs(gradient * fit.bse) < 1e-3)


def test_truncated_within_and_without() -> None:
    """Either order: a family of counts up to 12 of which zeros are in excess, or inflated counts up to 12."""
    for family in (
        ZeroInflated(Truncated("poisson", upper=12)),
        Truncated(ZeroInflated("poisson"), upper=12),
        Hurdle(Truncated("poisson", upper=12)),
        Truncated(Hurdle("poisson"), upper=12),
    ):
        assert family.check([0, 1, 5, 12], mu=[3.0, 3.0, 8.0, 8.0], zero=[0.2, 0.2, 0.5, 0.1])
    with pytest.raises(TypeError, match="2 columns"):
        Hurdle(Censored("poisson"))
