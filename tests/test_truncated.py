"""Truncated responses: against statsmodels, scipy and mpmath, far in the tails, and what is refused."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
import statsmodels.api as sm
from mpmath import mp
from scipy import stats
from statsmodels.discrete.truncated_model import TruncatedLFNegativeBinomialP, TruncatedLFPoisson
from statsmodels.tools.sm_exceptions import ConvergenceWarning

import mlekit
from mlekit import Censored, Truncated
from mlekit.families import Exponential, Gamma, Laplace, Normal, Poisson, StudentT, Weibull
from tests.mp_ranges import EXACT, log_range, orders
from tests.sample import Rayleigh, RayleighByDifferences

INF = np.inf


@pytest.fixture(scope="module")
def counts() -> dict[str, Any]:
    rng = np.random.default_rng(1)
    x = rng.normal(size=500)
    return {"x": x, "mu": np.exp(0.2 + 0.5 * x), "rng": rng}


@pytest.mark.parametrize("lower", [1, 3])
def test_poisson_is_that_of_statsmodels(counts: dict[str, Any], lower: int) -> None:
    family = Truncated("poisson", lower=lower)
    y = family.rvs(counts["mu"], rng=np.random.default_rng(2))
    assert y.min() == lower
    fit = mlekit.fit("y ~ x", {"y": y, "x": counts["x"]}, family)
    model = TruncatedLFPoisson(y, sm.add_constant(counts["x"]), truncation=lower - 1)
    theirs = model.fit(disp=0, method="newton", tol=1e-13)
    np.testing.assert_allclose(fit.params, theirs.params, rtol=1e-9)
    assert fit.llf == pytest.approx(theirs.llf, rel=1e-12)
    hessian = mp_free_hessian(model, theirs.params)
    np.testing.assert_allclose(fit.bse, np.sqrt(np.diag(np.linalg.inv(-hessian))), rtol=1e-6)


def mp_free_hessian(model: Any, params: Any) -> Any:
    """Hessian by differences of the exact score: statsmodels has its own by differences of the log-likelihood."""
    step = 1e-5
    unit = step * np.eye(len(params))
    return np.array([(model.score(params + u) - model.score(params - u)) / (2 * step) for u in unit])


def test_negative_binomial_is_that_of_statsmodels(counts: dict[str, Any]) -> None:
    family = Truncated("negative_binomial", lower=1)
    y = family.rvs(counts["mu"], np.full(500, 0.7), rng=np.random.default_rng(3))
    fit = mlekit.fit("y ~ x", {"y": y, "x": counts["x"]}, family)
    model = TruncatedLFNegativeBinomialP(y, sm.add_constant(counts["x"]), truncation=0)
    ours = np.array([*fit.params.iloc[:2], np.exp(fit.params.iloc[2])])
    assert fit.llf == pytest.approx(model.loglike(ours), rel=1e-11)
    # Their own search does not get there; their log-likelihood falls on every side of ours.
    for step in np.vstack([np.eye(3), -np.eye(3)]) * 0.01:
        assert model.loglike(ours + step) < fit.llf


@pytest.mark.parametrize(("a", "b"), [(-1.0, 2.0), (0.5, INF), (-INF, -2.0), (30.0, 31.0), (-INF, INF), (8.0, 8.001)])
def test_normal_is_scipys_truncnorm(a: float, b: float) -> None:
    mu, sigma = 1.5, 2.0
    family = Truncated(Normal(), mu + sigma * a, mu + sigma * b)
    theirs = stats.truncnorm(a, b, mu, sigma)
    shares = np.array([0.001, 0.3, 0.9])
    y = theirs.ppf(shares)
    np.testing.assert_allclose(family.logpdf(y, mu, sigma), theirs.logpdf(y), rtol=1e-9)
    np.testing.assert_allclose(family.cdf(y, mu, sigma), shares, rtol=1e-7)
    np.testing.assert_allclose(family.logsf(y, mu, sigma), np.log1p(-shares), rtol=1e-7)
    np.testing.assert_allclose(family.ppf(shares, mu, sigma), y, rtol=1e-9)
    assert float(family.mean(mu, sigma)) == pytest.approx(theirs.mean(), rel=1e-9)


def test_mean_in_closed_form_keeps_its_digits() -> None:
    with mp.workdps(50):
        for mu in (1e-9, 0.4, 3.0, 700.0):
            exact = mp.mpf(mu) / -mp.expm1(-mp.mpf(mu))
            assert float(Truncated("poisson", lower=1).mean(mu)) == pytest.approx(float(exact), rel=1e-14)
        # Between bounds that are a hundred-millionth apart, and 30 standard deviations out.
        assert float(Truncated("normal", 0.0, 1e-8).mean(0.0, 1.0)) == pytest.approx(5e-9, rel=1e-9)
        z = mp.mpf(30)
        exact = mp.npdf(z) / (mp.erfc(z / mp.sqrt(2)) / 2)
        assert float(Truncated("normal", 30.0).mean(0.0, 1.0)) == pytest.approx(float(exact), rel=1e-14)
    assert float(Truncated("exponential", lower=3.0).mean(0.5)) == pytest.approx(5.0, rel=1e-15)


#: Bounds of the standardised response in every tail, and responses between them.
BOUNDS = {
    "normal": [(5.0, INF, 5.3), (30.0, INF, 30.01), (700.0, INF, 700.001), (-INF, -700.0, -700.002), (-1.0, 2.0, 0.4)],
    "logistic": [(5.0, INF, 5.3), (700.0, INF, 701.0), (-30.0, 30.0, 2.0)],
    "weibull": [(0.001, INF, 0.4), (5.0, INF, 5.3), (0.5, 0.500001, 0.5000004)],
    "exponential": [(5.0, INF, 5.3), (700.0, INF, 701.0), (-INF, 1e-9, 1e-10)],
    "gamma": [(5.0, INF, 5.3), (40.0, INF, 40.4)],
}


@pytest.mark.parametrize("name", BOUNDS)
def test_rows_against_mpmath(name: str) -> None:
    eta = EXACT[name][1]
    k = len(eta)
    for lower, upper, y in BOUNDS[name]:
        rows = Truncated(name, lower, upper).linear_rows(np.array([y]), *(np.array([e]) for e in eta))
        with mp.workdps(60):
            point = tuple(map(mp.mpf, eta))
            density, total = log_range(name, y, y), log_range(name, lower, upper)
            value, first, second = float(density(*point) - total(*point)), np.empty(k), np.empty((k, k))
            sizes = np.empty(k)
            for i in range(k):
                parts = [mp.diff(f, point, orders(k, i)) for f in (density, total)]
                first[i], sizes[i] = float(parts[0] - parts[1]), float(abs(parts[0]))
                for j in range(k):
                    two = [mp.diff(f, point, orders(k, i, j)) for f in (density, total)]
                    second[i, j] = float(two[0] - two[1])
        # The difference of two tails cancels: what is left has the digits of the larger ones.
        assert rows.value[0] == pytest.approx(value, rel=1e-10, abs=1e-15 * float(abs(density(*point))))
        np.testing.assert_allclose(rows.grad[:, 0], first, rtol=1e-9, atol=1e-12 * sizes.max())
        np.testing.assert_allclose(rows.hess[..., 0], second, rtol=1e-9, atol=1e-10 * max(sizes.max(), 1.0) ** 2)


CHECKED: dict[str, tuple[Any, list[float], dict[str, Any]]] = {
    "poisson from 1": (Truncated("poisson", lower=1), [1, 2, 30], {"mu": [0.1, 3.0, 20.0]}),
    "poisson 2 to 9": (Truncated("poisson", 2, 9), [2, 5, 9], {"mu": [0.1, 3.0, 20.0]}),
    "poisson to 3.5": (Truncated("poisson", upper=3.5), [0, 1, 3], {"mu": [0.1, 3.0, 20.0]}),
    "negative binomial": (
        *(Truncated("negative_binomial", lower=1), [1, 3, 30]),
        {"mu": [1.0, 2.0, 10.0], "alpha": [0.5, 2.0, 0.1]},
    ),
    "normal": (
        *(Truncated("normal", -1, 2), [-0.9, 0.0, 1.9]),
        {"mu": [0.1, 3.0, -5.0], "sigma": [1.0, 2.0, 0.5]},
    ),
    "normal far out": (Truncated("normal", lower=30), [30.001, 30.1, 31.0], {"mu": 0.0, "sigma": 1.0}),
    "gamma": (Truncated("gamma", upper=3), [0.1, 1.0, 2.9], {"mu": [1.0, 2.0, 10.0], "shape": [0.5, 2.0, 5.0]}),
    "student_t": (
        *(Truncated("student_t", lower=0), [1.0, 3.0, 30.0]),
        {"mu": [1.0, 2.0, -10.0], "sigma": [1.0, 2.0, 1.0], "df": [3.0, 4.0, 9.0]},
    ),
    "narrow weibull": (Truncated("weibull", 1000.5, 1000.6), [1000.51], {"scale": 500.0, "shape": 1.2}),
    "beta": (Truncated("beta", 0.2, 0.4), [0.3], {"mu": 0.5, "phi": 1.2}),
}


@pytest.mark.parametrize("name", CHECKED)
def test_family_agrees_with_its_density(name: str) -> None:
    family, y, theta = CHECKED[name]
    found = family.check(y, **theta)
    assert found.ok, found
    assert {"cdf", "logcdf", "logsf", "total probability"} <= {line.what for line in found.lines}
    assert family.discrete == family.inner.discrete == found.discrete


@pytest.mark.parametrize(
    ("kind", "rtol", "said"),
    [(Rayleigh, 1e-9, "integrals of the derivatives"), (RayleighByDifferences, 1e-6, "central differences")],
    ids=["exact", "numeric"],
)
def test_a_density_alone_is_enough(kind: Any, rtol: float, said: str) -> None:
    """A Rayleigh distribution is a Weibull of shape 2 and scale sigma sqrt(2)."""
    rng = np.random.default_rng(4)
    x = rng.uniform(-1, 1, 60)
    y = np.exp(0.4 + 0.5 * x) * np.sqrt(2) * rng.weibull(2, 60)
    data = {"y": y[y < 2.5], "x": x[y < 2.5]}
    weibull = mlekit.fit("y ~ x", data, Truncated("weibull", upper=2.5), fixed={"shape": 2.0})
    fit = mlekit.fit("y ~ x", data, Truncated(kind(), upper=2.5))
    assert fit.converged
    assert said in str(fit.summary()).replace("\n    ", " ")
    np.testing.assert_allclose(fit.params, weibull.params.iloc[:2] - [np.log(2) / 2, 0.0], rtol=rtol)
    np.testing.assert_allclose(fit.bse, weibull.bse.iloc[:2], rtol=max(rtol, 1e-8))
    assert fit.llf == pytest.approx(weibull.llf, rel=1e-10)


def test_delayed_entry_is_truncation_under_censoring() -> None:
    """Times that are seen from 2 on, and censored: of an Exponential, events over the time that was seen."""
    rng = np.random.default_rng(5)
    t = 2 + rng.exponential(3.0, 100)
    data = {"time": np.minimum(t, 6.0), "event": t < 6.0}
    fit = mlekit.fit("Surv(time, event) ~ 1", data, Censored(Truncated("exponential", lower=2)))
    rate = data["event"].sum() / (data["time"] - 2).sum()
    assert fit.distribution.loc["rate", "estimate"] == pytest.approx(rate, rel=1e-10)
    assert fit.distribution.loc["rate", "std err"] == pytest.approx(rate / np.sqrt(data["event"].sum()), rel=1e-8)


@pytest.mark.parametrize(
    ("family", "theta"),
    [
        (Truncated("poisson", lower=1), (np.full(400, 0.8),)),
        (Truncated("normal", lower=0.0), (np.full(400, 0.5), np.full(400, 1.2))),
        (Truncated("weibull", 0.5, 3.0), (np.full(400, 2.0), np.full(400, 1.5))),
        (Truncated("logistic", upper=1.0), (np.full(400, 0.5), np.full(400, 1.2))),
    ],
    ids=lambda v: repr(v) if isinstance(v, Truncated) else "",
)
def test_parameters_are_recovered(family: Any, theta: Any) -> None:
    gaps = []
    for seed in range(12):
        y = family.rvs(*theta, rng=np.random.default_rng(seed))
        assert family.in_support(y).all()
        fit = mlekit.Model.from_arrays(y, np.ones((400, 1)), family=family).fit()
        truth = [float(link.forward(t[0])) for link, t in zip(family.links.values(), theta, strict=True)]
        gaps.append((fit.params - truth) / fit.bse)
    assert np.all(np.abs(np.mean(gaps, axis=0)) < 4 / np.sqrt(12))


# ---------------------------------------------------------------- what is refused, and what is said


@pytest.mark.parametrize(
    ("make", "error", "said"),
    [
        (lambda: Truncated(Poisson(), 3, 1), ValueError, "no number is both"),
        (lambda: Truncated(Poisson(), lower=np.nan), ValueError, "lower must be"),
        (lambda: Truncated(Poisson(), lower="1"), TypeError, "must be a number"),
        (lambda: Truncated(Poisson(), upper=-1), ValueError, "no response of Poisson"),
        (lambda: Truncated(Weibull(), upper=0), ValueError, "no response of Weibull"),
        (lambda: Truncated("beta", lower=1), ValueError, "no response of Beta"),
        (lambda: Truncated(Poisson(), 2, 2), ValueError, "always the same"),
        (lambda: Truncated(Normal(), 2.0, 2.0), ValueError, "always the same"),
        (lambda: Truncated(Poisson(), INF), ValueError, "no response of Poisson"),
        (lambda: Truncated("binomial"), TypeError, "2 columns"),
        (lambda: Truncated("ordered_logit"), TypeError, "of levels"),
        (lambda: Truncated(Laplace()), TypeError, "kink"),
        (lambda: Truncated(Censored("weibull")), TypeError, "2 columns"),
        (lambda: Truncated(Truncated), TypeError, "not of any family yet"),
        (lambda: Truncated("poison"), ValueError, "unknown family"),
        (lambda: Truncated(3), TypeError, "must be a name"),
    ],
)
def test_nonsense_is_refused(make: Any, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        make()


def test_response_out_of_bounds_is_refused_with_its_row() -> None:
    data = {"y": [1, 2, 0, 3]}
    with pytest.raises(ValueError, match=r"y is 0 in row 2: for Truncated .* from 1 to inf"):
        mlekit.fit("y ~ 1", data, Truncated("poisson", lower=1))


def test_all_ones_have_no_estimate() -> None:
    with pytest.warns(ConvergenceWarning):
        fit = mlekit.fit("y ~ 1", {"y": np.ones(20)}, Truncated("poisson", lower=1))
    assert not fit.converged
    assert fit.status.name == "DIVERGING"


def test_names_equality_and_copies() -> None:
    family = Truncated(Gamma(mu="identity"), lower=0.5)
    assert repr(family) == "Truncated(Gamma(mu='identity'), lower=0.5)"
    again = pickle.loads(pickle.dumps(family))
    assert again == family
    assert hash(again) == hash(family)
    assert family != Truncated(Gamma(mu="identity"), lower=0.6)
    assert Truncated("student_t", lower=0) == Truncated(StudentT, lower=0.0)
    assert Truncated(Exponential()) != Censored(Exponential())
    assert family.domains() == Gamma().domains()
    with pytest.raises(AttributeError, match="immutable"):
        family.lower = 3.0
