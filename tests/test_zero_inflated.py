"""Zero-inflated counts, against mpmath, the reference fit of R, statsmodels and integrals; and from end to end."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from mpmath import mp, mpf
from scipy import optimize, special, stats
from statsmodels.discrete.count_model import ZeroInflatedNegativeBinomialP, ZeroInflatedPoisson
from statsmodels.tools.sm_exceptions import ConvergenceWarning

import mlekit
from mlekit import GenericLikelihood, Hurdle, Status, ZeroInflated
from mlekit.families import FAMILIES, Poisson
from mlekit.links import Link
from tests.mp_zeros import INNER, LEVELS, ZEROS, points, worst, zero_inflated
from tests.reference import load
from tests.start_values_zeros import fit, samples, verdict

MODELS = [(inner, link) for inner in INNER for link in (ZEROS if inner == "poisson" else ["logit"])]
each_model = pytest.mark.parametrize(("inner", "link"), MODELS, ids=["-".join(model) for model in MODELS])
each_inner = pytest.mark.parametrize("inner", INNER)
#: Values of each inner parameter for `check`.
THETA = {"mu": [0.1, 3.0, 1.0, 3.0, 20.0], "alpha": 0.7, "p": [0.9, 0.3, 0.2, 0.5, 0.1]}
Y, ZERO = [0, 0, 1, 5, 40], [0.3, 0.01, 0.9, 0.5, 0.2]


class Logarithmic(GenericLikelihood):
    """A family of a user's: counts whose ratio of neighbours is q (y + 1) / (y + 2)."""

    params = {"q": "logit"}

    def logpdf(self, y: Any, q: Any) -> Any:
        return (y + 1) * np.log(q) - np.log(y + 1) - np.log(-np.log1p(-q))

    def in_support(self, y: Any) -> Any:
        return (y >= 0) & (y == np.floor(y))


class Numeric(Logarithmic):
    """The same, without jets."""

    params = {"q": "logit"}
    derivatives = "numeric"

    def logpdf(self, y: Any, q: Any) -> Any:
        return stats.logser.logpmf(y + 1, q)


# ---------------------------------------------------------------- rows


@each_model
def test_rows_against_mpmath(inner: str, link: str) -> None:
    """In all digits, also where the predictors are 700, and the probabilities e**-700 and 1 less that."""
    family = ZeroInflated(inner, zero=link)
    found = worst(family, zero_inflated(inner, link), *points(inner, link, (0.0, 1.0, 7.0)))
    assert max(found["value"], found["grad"]) < 5e-14, found
    assert found["hess"] < 4e-13, found  # log p of -230 is known to 230 roundings


@each_model
def test_check(inner: str, link: str) -> None:
    """Derivatives, moments, distribution function, quantiles, information and draws follow from the density."""
    family = ZeroInflated(inner, zero=link)
    assert family.check(Y, zero=ZERO, **{name: THETA[name] for name in family.inner.params})


@each_inner
def test_lower_orders_and_other_rows_change_no_number(inner: str) -> None:
    family, (y, *eta) = ZeroInflated(inner), points(inner, "logit", (0.0, 1.0, 7.0))
    zero, one, two = (family.linear_rows(y, *eta, order=order) for order in (0, 1, 2))
    assert zero.grad is zero.hess is one.hess is None
    np.testing.assert_array_equal(zero.value, two.value)
    np.testing.assert_array_equal(one.value, two.value)
    np.testing.assert_array_equal(one.grad, two.grad)
    np.testing.assert_array_equal(two.hess, two.hess.swapaxes(0, 1))
    for kept in (y == 0, y > 0):
        part = family.linear_rows(y[kept], *(e[kept] for e in eta))
        for alone, together in zip(part, two, strict=True):
            np.testing.assert_allclose(alone, together[..., kept], rtol=1e-13, atol=1e-15)


def test_links_of_one_s_own() -> None:
    """Half a logit: everything by the chain rule."""
    half = Link("half", lambda p: special.logit(p) / 2, lambda e: special.expit(2 * e), _half_slopes, (0.0, 1.0))
    family, logit = ZeroInflated(Poisson(mu="sqrt"), zero=half), ZeroInflated(Poisson(mu="sqrt"))
    y, mu, e = np.array([0.0, 0.0, 3.0]), np.array([0.1, 1.5, 2.0]), np.array([-1.0, 0.4, 0.2])
    ours, theirs = family.linear_rows(y, mu, e), logit.linear_rows(y, mu, 2 * e)
    np.testing.assert_allclose(ours.value, theirs.value, rtol=1e-14)
    np.testing.assert_allclose(ours.grad, theirs.grad * [[1], [2]], rtol=1e-14)
    np.testing.assert_allclose(ours.hess, theirs.hess * [[[1], [2]], [[2], [4]]], rtol=1e-13, atol=1e-15)


def _half_slopes(e: Any) -> tuple[Any, Any]:
    p, q = special.expit(2 * e), special.expit(-2 * e)
    return 2 * p * q, 4 * p * q * (q - p)


# ---------------------------------------------------------------- the distribution


def test_distribution_function_in_the_tails() -> None:
    """Against sums in mpmath: probabilities of 1e-300, and of 1 less that."""
    family = ZeroInflated("poisson")
    for y, mu, zero in [
        (0.0, 800.0, 1e-300),
        (3.0, 1e-80, 0.5),
        (200.0, 3.0, 1e-9),
        (0.0, 1e-20, 0.3),
        (2.5, 1.0, 0.2),
    ]:
        with mp.workdps(400):
            terms = [mp.exp(-mpf(mu)) * mpf(mu) ** k / mp.factorial(k) for k in range(int(y) + 1)]
            below = mpf(zero) + (1 - mpf(zero)) * sum(terms)
            want = float(below), float(mp.log(below)), float(mp.log(1 - below))
        got = family.cdf(y, mu, zero), family.logcdf(y, mu, zero), family.logsf(y, mu, zero)
        np.testing.assert_allclose(got, want, rtol=1e-12)
    assert family.cdf(-0.5, 1.0, 0.5) == 0
    assert family.logsf(-0.5, 1.0, 0.5) == 0
    assert family.logcdf(np.inf, 1.0, 0.5) == 0
    assert np.isnan(family.cdf(np.nan, 1.0, 0.5))


@pytest.mark.parametrize("kind", [ZeroInflated, Hurdle])
def test_quantiles_at_the_steps(kind: Any) -> None:
    family, theta = kind("negative_binomial"), (3.0, 0.5, 0.3)
    for count in range(30):
        share = float(family.cdf(float(count), *theta))
        assert family.ppf(share, *theta) == count
        assert family.ppf(np.nextafter(share, 2), *theta) == count + 1
    assert family.ppf(1.0, *theta) == np.inf
    assert family.ppf(0.0, *theta) == 0
    assert np.isnan(family.ppf(1.1, *theta))


# ---------------------------------------------------------------- fits


def test_reference_fit() -> None:
    """R's zeroinfl, solved again with 70 digits in mpmath."""
    case = load("zip_bioChemists")
    fit = mlekit.fit(
        {"mu": case.formula["count"], "zero": case.formula["inflate"]}, case.frame, ZeroInflated("poisson")
    )
    expected = case.expected
    assert fit.converged
    assert list(fit.params.index) == [name.replace("inflate", "zero") for name in expected["param_order"]]
    assert fit.llf == pytest.approx(expected["llf"], rel=1e-14)
    for quantity in ("aic", "bic"):
        assert getattr(fit, quantity) == pytest.approx(expected[quantity], rel=1e-13)
    assert list(fit.params) == pytest.approx(list(expected["params"].values()), rel=1e-11)
    assert list(fit.bse) == pytest.approx(list(expected["bse"].values()), rel=1e-12)
    error = fit.bse.to_numpy()
    assert np.all(np.abs(fit.cov_params().to_numpy() - expected["cov"]) <= 1e-12 * np.outer(error, error))
    np.testing.assert_allclose(fit.conf_int(), list(expected["confint_wald_95"].values()), rtol=1e-9)
    assert "ZeroInflated(Poisson)" in str(fit.summary())
    assert "derivatives: hand-written." in str(fit.summary())


def biochemists(first: str, zero: str = "~ ment + kid5") -> tuple[Any, dict[str, str], Any, Any]:
    """Table, formulas, and the matrices of both."""
    frame = load("zip_bioChemists").frame
    x = np.column_stack([np.ones(len(frame)), frame["fem"] == "Women", frame["ment"]]).astype(float)
    z = np.column_stack([np.ones(len(frame)), frame["ment"], frame["kid5"]]).astype(float)
    return frame, {first: "art ~ fem + ment", "zero": zero}, x, z


@pytest.mark.parametrize("link", ["logit", "probit"])
@pytest.mark.parametrize("inner", ["poisson", "negative_binomial", "negative_binomial_1"])
def test_against_statsmodels(inner: str, link: str) -> None:
    """Their log-likelihood at our estimates is ours; their score there is zero; the Hessian is that of their score."""
    frame, formula, x, z = biochemists("mu")
    ours = mlekit.fit(formula, frame, ZeroInflated(inner, zero=link))
    if inner == "poisson":
        model = ZeroInflatedPoisson(frame["art"], x, exog_infl=z, inflation=link)
    else:
        p = 2 if inner == "negative_binomial" else 1
        model = ZeroInflatedNegativeBinomialP(frame["art"], x, exog_infl=z, inflation=link, p=p)
    beta = ours.params.to_numpy()
    theirs = np.concatenate([beta[-3:], beta[:3], np.exp(beta[3:-3])])
    assert ours.converged
    assert model.loglike(theirs) == pytest.approx(ours.llf, rel=1e-12)
    error = ours.bse.to_numpy()
    score = np.concatenate([np.r_[error[-3:], error[:3], error[3:-3] * theirs[6:]]])
    gradient = optimize.approx_fprime(theirs, model.loglike, 1e-6 * score)
    assert np.all(np.abs(gradient * score) < 1e-4)  # a tenth of a thousandth of a standard error
    if inner == "poisson" and link == "logit":
        order = [3, 4, 5, 0, 1, 2]
        hessian = optimize.approx_fprime(theirs, model.score, 1e-6 * score)[np.ix_(order, order)]
        np.testing.assert_allclose(np.sqrt(np.diag(np.linalg.inv(-hessian))), error, rtol=1e-5)


def test_expected_information() -> None:
    table = {"x": np.linspace(-1, 1, 30_000)}
    truth = {"Intercept": 0.5, "x": 1.0, "zero_Intercept": -0.5, "zero_x": -1.0}
    formula = {"mu": "y ~ x", "zero": "~ x"}
    made = mlekit.simulate(formula, truth, ZeroInflated("poisson"), table, seed=2)
    newton = mlekit.fit(formula, made, ZeroInflated("poisson"))
    scored = mlekit.fit(formula, made, ZeroInflated("poisson"), method="fisher", cov_type="eim")
    np.testing.assert_allclose(scored.params, newton.params, rtol=1e-6)
    np.testing.assert_allclose(scored.bse, newton.bse, rtol=0.02)


@pytest.mark.parametrize("family", [Logarithmic, Numeric])
def test_family_of_one_s_own(family: type[GenericLikelihood]) -> None:
    inflated = ZeroInflated(family)
    assert inflated.check([0, 0, 1, 7], q=[0.2, 0.9, 0.5, 0.5], zero=[0.5, 0.1, 0.2, 0.9])
    table = {"x": np.linspace(-1, 1, 400)}
    truth = {"Intercept": 0.5, "x": 1.0, "zero_Intercept": -0.5}
    made = mlekit.simulate({"q": "y ~ x"}, truth, inflated, table, seed=1)
    found = mlekit.fit({"q": "y ~ x"}, made, inflated)
    assert found.converged
    assert np.all(np.abs(found.params - list(truth.values())) < 3 * found.bse)
    how = "exact (jets)" if family is Logarithmic else "central differences (about 1e-8)"
    assert f"derivatives: {how}." in " ".join(str(found.summary()).split())


# ---------------------------------------------------------------- starts and limits


@each_inner
def test_no_fit_fails_from_its_default_start(inner: str) -> None:
    """What has no maximum runs off, and says so; what has two is rare: a zero-inflated negative binomial may."""
    case = f"zero_inflated-{inner}"
    ends = [verdict(data, fit(data)) for data in samples(case, 24, seed=1)]
    assert set(ends) <= {"converged", "at infinity"}, ends
    assert ends.count("converged") >= 16, ends


@each_inner
def test_recovery(inner: str) -> None:
    family = ZeroInflated(inner)
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


@pytest.mark.parametrize("link", ["logit", "probit", "cloglog", "log"])
@pytest.mark.parametrize("inner", ["poisson", "negative_binomial"])
@pytest.mark.parametrize(
    "y",
    [[1, 2, 3, 1, 5, 2, 9], [0, 1, 1, 1, 1, 2, 6, 1], [0, 1, 2, 3, 2, 2]],
    ids=["no zeros", "no excess zeros", "less than Poisson variance"],
)
def test_no_excess_zeros_is_the_inner_family(y: list[float], inner: str, link: str) -> None:
    """``zero`` runs to 0: the fit is the inner family's, and says so; and that may be at a limit of its own."""
    table = {"y": np.tile(np.asarray(y, dtype=float), 5)}
    found = mlekit.fit("y ~ 1", table, ZeroInflated(inner, zero=link))
    simple = mlekit.fit("y ~ 1", table, inner)
    assert found._results.status is Status.LIMIT
    assert "zero is 0" in found._results.reason
    assert ("alpha is 0" in found._results.reason) == (simple._results.status is Status.LIMIT)
    assert found.params["zero_Intercept"] == -np.inf
    np.testing.assert_array_equal(found.params[:-1], simple.params)
    np.testing.assert_array_equal(found.bse, [*simple.bse, np.nan])
    assert found.llf == simple.llf
    assert found.model.likelihood.evaluate(found.params.to_numpy(), 0).value * found.nobs == pytest.approx(found.llf)
    assert found.predict().to_numpy() == pytest.approx(simple.predict().to_numpy())
    assert found.simulate(1, seed=1).shape == (5 * len(y), 1)


@pytest.mark.parametrize("formula", ["~ 1", "~ x"])
def test_no_dispersion_beside_excess_zeros(formula: str) -> None:
    """There it is the zero-inflated Poisson."""
    table = {"y": np.tile([0.0, 0.0, 0.0, 0.0, 3.0, 2.0, 4.0, 5.0, 2.0], 4), "x": np.tile([0.0, 1.0], 18)}
    found = mlekit.fit({"mu": "y ~ x", "zero": formula}, table, ZeroInflated("negative_binomial"))
    poisson = mlekit.fit({"mu": "y ~ x", "zero": formula}, table, ZeroInflated("poisson"))
    assert found._results.status is Status.LIMIT
    assert "alpha is 0: ZeroInflated(Poisson()) fits as well" in found._results.reason
    np.testing.assert_allclose(found.params.drop("alpha_Intercept"), poisson.params, rtol=1e-9)
    np.testing.assert_allclose(found.bse.drop("alpha_Intercept"), poisson.bse, rtol=1e-9)
    assert found.llf == pytest.approx(poisson.llf, rel=1e-13)
    assert found.predict().to_numpy() == pytest.approx(poisson.predict().to_numpy())
    assert found.simulate(1, seed=1).shape == (36, 1)


def test_excess_zeros_that_run_off_in_some_rows() -> None:
    table = {"y": np.tile([0.0, 0.0, 3.0, 2.0, 4.0, 2.0, 1.0, 3.0], 5), "g": np.tile(list("aaaabbbb"), 5)}
    with pytest.warns(ConvergenceWarning, match=r"zero_g\[T.b\] = -inf, because of rows 4, 5"):
        found = mlekit.fit({"mu": "y ~ 1", "zero": "~ g"}, table, ZeroInflated("poisson"))
    assert found._results.status is Status.INFINITE


def test_zeros_alone_have_no_estimate() -> None:
    with pytest.warns(ConvergenceWarning, match="no finite estimate"):
        found = mlekit.fit("y ~ 1", {"y": np.zeros(20)}, ZeroInflated("poisson"))
    assert found._results.status is Status.INFINITE


# ---------------------------------------------------------------- declarations


def test_declaration() -> None:
    family = ZeroInflated(Poisson(mu="sqrt"), zero="probit")
    assert repr(family) == "ZeroInflated(Poisson(mu='sqrt'), zero='probit')"
    assert family == ZeroInflated(Poisson(mu="sqrt"), zero="probit") != ZeroInflated(Poisson(mu="sqrt"))
    assert hash(family) == hash(pickle.loads(pickle.dumps(family)))
    assert ZeroInflated("poisson") == ZeroInflated(Poisson) == ZeroInflated(Poisson())
    assert list(ZeroInflated("negative_binomial").params) == ["mu", "alpha", "zero"]


class Zero(Logarithmic):
    """A family with the name that is taken."""

    params = {"zero": "logit"}

    def logpdf(self, y: Any, zero: Any) -> Any:
        return super().logpdf(y, zero)


class Positive(Logarithmic):
    """A family that is never 0."""

    params = {"q": "logit"}

    def in_support(self, y: Any) -> Any:
        return (y >= 1) & (y == np.floor(y))


class Signed(Logarithmic):
    """A family of whole numbers."""

    params = {"q": "logit"}

    def in_support(self, y: Any) -> Any:
        return y == np.floor(y)


REFUSED = {
    "normal": "Normal\\(\\) is continuous: there a zero has probability 0",
    "gamma": "continuous",
    "binomial": "columns",
    "ordered_logit": "levels",
    "bernoulli": "fewer than two values beside 0",
    ZeroInflated("poisson"): "has a parameter for its zeros: a second",
    Zero: "both have a parameter named zero",
    Positive: "never 0, so every zero would be in excess of it: Hurdle",
    Signed: "can be negative",
}


@pytest.mark.parametrize("family", REFUSED, ids=str)
def test_what_is_not_of_counts_is_refused(family: Any) -> None:
    with pytest.raises(TypeError, match=REFUSED[family]):
        ZeroInflated(family)


def test_wrong_input_is_explained() -> None:
    with pytest.raises(ValueError, match="does not suit ZeroInflated's zero: use logit, probit"):
        ZeroInflated("poisson", zero="sqrt")
    with pytest.raises(TypeError, match=r"which takes its link: ZeroInflated\(Poisson\(mu='sqrt'\)\)"):
        ZeroInflated("poisson", mu="sqrt")
    with pytest.raises(ValueError, match=r"y is 0.5 in row 1.*must be a count 0, 1, 2"):
        mlekit.fit("y ~ 1", {"y": [0, 0.5, 2]}, ZeroInflated("poisson"))


def test_every_inner_family_has_points() -> None:
    counts = {name for name, cls in FAMILIES.items() if cls.params and not cls.response_columns and cls().discrete}
    assert counts - {"bernoulli"} == set(INNER) == set(LEVELS)
