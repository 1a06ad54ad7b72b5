"""Densities that cannot be differentiated are refused when a model is made, with the way out; the ways out work."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import special, stats

import mlekit
from mlekit import GenericLikelihood, Model
from mlekit.jets import DerivativeError, Rows

RNG = np.random.default_rng(4)
X = RNG.normal(size=60)
DATA = pd.DataFrame({"x": X, "y": np.exp(0.3 + 0.5 * X + RNG.normal(size=60))})


def family(logpdf: Any, params: Any = None, **members: Any) -> GenericLikelihood:
    named = {"params": params or {"mu": "identity", "sigma": "log"}, "logpdf": logpdf}
    kind: type[GenericLikelihood] = type("Mine", (GenericLikelihood,), named | members)
    return kind()


def by_scipy(self: Any, y: Any, mu: Any, sigma: Any) -> Any:
    return stats.norm.logpdf(y, mu, sigma)


def frozen(self: Any, y: Any, mu: Any, sigma: Any) -> Any:
    return stats.norm(loc=mu, scale=sigma).logpdf(y)


def by_cases(self: Any, y: Any, mu: Any, sigma: Any) -> Any:
    return -y / sigma if mu > 0 else -((y - mu) ** 2) - np.log(sigma)


def larger(self: Any, y: Any, mu: Any, sigma: Any) -> Any:
    return -y / max(mu, sigma)


def summed(self: Any, y: Any, mu: Any, sigma: Any) -> Any:
    return np.sum(np.asarray(-((y - mu) ** 2) / sigma))


def columns(self: Any, y: Any, mu: Any, sigma: Any) -> Any:
    return -((y[:, None] - mu) ** 2)


REFUSED: dict[str, tuple[Any, str]] = {
    "scipy.stats": (by_scipy, r"Mine: mlekit cannot differentiate scipy\.stats\.norm\.logpdf, .* Write the formula"),
    "frozen": (frozen, r"scipy\.stats\.norm\.logpdf, which turns its arguments into plain numbers\. Write the formula"),
    "no rule": (lambda self, y, mu, sigma: special.j0(mu * sigma), r"Mine: mlekit has no .* scipy\.special\.j0\."),
    "order": (lambda self, y, mu, sigma: special.kve(mu, sigma), r"scipy\.special\.kve in its first argument"),
}


@pytest.mark.parametrize("what", REFUSED)
@pytest.mark.parametrize("rows", [1, 2, 60])
def test_refused_when_the_model_is_made(what: str, rows: int) -> None:
    logpdf, message = REFUSED[what]
    with pytest.raises(DerivativeError, match=message) as raised:
        Model.from_formula({"mu": "y ~ 0", "sigma": "~ 1"}, DATA[:rows], family(logpdf))
    assert 'derivatives = "numeric"' in str(raised.value)


@pytest.mark.parametrize("logpdf", [by_cases, larger])
@pytest.mark.parametrize("rows", [1, 60])
@pytest.mark.parametrize("derivatives", ["exact", "numeric"])
def test_python_decisions_over_arrays(logpdf: Any, rows: int, derivatives: str) -> None:
    """With a single row Python would decide, for that row."""
    with pytest.raises(ValueError, match=r"Mine asks whether a whole array is true: .* np\.where\(condition, a, b\)"):
        Model.from_formula({"mu": "y ~ 0", "sigma": "~ 1"}, DATA[:rows], family(logpdf, derivatives=derivatives))


@pytest.mark.parametrize(("logpdf", "shape"), [(summed, r"\(\)"), (columns, r"\(7, 7\)")])
def test_not_one_number_per_row(logpdf: Any, shape: str) -> None:
    with pytest.raises(ValueError, match=rf"Mine: expected one number per row, shape \(7,\); .* shape {shape}"):
        Model.from_formula("y ~ x", DATA, family(logpdf, derivatives="numeric"))
    with pytest.raises((ValueError, DerivativeError), match="Mine: "):
        Model.from_formula("y ~ x", DATA, family(logpdf))


def test_hand_written_rows_of_a_wrong_shape() -> None:
    def rows(self: Any, y: Any, mu: Any, sigma: Any, *, order: int = 2) -> Rows:
        return Rows(-((y - mu) ** 2), np.zeros((1, len(y))), np.zeros((2, 2, len(y))))

    message = r"Mine: the grad that rows returns has shape \(1, 7\), it must be \(2, 7\)"
    with pytest.raises(ValueError, match=message):
        Model.from_formula("y ~ x", DATA, family(by_scipy, rows=rows))

    def linear_rows(self: Any, y: Any, *eta: Any, order: int = 2) -> Rows:
        return Rows(-((y - eta[0]) ** 2), np.zeros(len(y)), np.zeros((2, 2, len(y))))

    with pytest.raises(ValueError, match=r"Mine: the grad that linear_rows returns has shape \(7,\)"):
        Model.from_formula("y ~ x", DATA, family(by_scipy, linear_rows=linear_rows))


@pytest.mark.parametrize("logpdf", [by_scipy, frozen])
def test_scipy_by_differences(logpdf: Any) -> None:
    got = mlekit.fit("y ~ x", DATA, family(logpdf, derivatives="numeric"))
    want = mlekit.fit("y ~ x", DATA, "normal")
    np.testing.assert_allclose(got.params, want.params, rtol=1e-8)
    np.testing.assert_allclose(got.bse, want.bse, rtol=1e-6)
    assert got.llf == pytest.approx(want.llf, rel=1e-12)


def test_a_density_of_special_functions() -> None:
    """The normal inverse Gaussian distribution, with scipy's density as the judge of the maximum."""

    class NormalInverseGaussian(GenericLikelihood):
        params = {"mu": "identity", "delta": "log", "alpha": "log"}

        def logpdf(self, y: Any, mu: Any, delta: Any, alpha: Any) -> Any:
            q = np.hypot(delta, y - mu)
            return np.log(alpha * delta / np.pi) + np.log(special.k1e(alpha * q)) + alpha * (delta - q) - np.log(q)

    x = np.random.default_rng(5).normal(size=500)
    y = stats.norminvgauss.rvs(0.6, 0.0, loc=2 + x, scale=1.2, random_state=5, size=500)
    res = mlekit.fit("y ~ x", pd.DataFrame({"x": x, "y": y}), NormalInverseGaussian(), method="newton")
    assert res.converged
    estimate = np.asarray(res.params)

    def llf(a: float, b: float, delta: float, alpha: float) -> float:
        scale = np.exp(delta)
        return float(stats.norminvgauss(np.exp(alpha) * scale, 0.0, loc=a + b * x, scale=scale).logpdf(y).sum())

    assert llf(*estimate) == pytest.approx(res.llf, rel=1e-12)
    for step in np.vstack([np.eye(4), -np.eye(4)]) * 1e-3 * np.asarray(res.bse):
        assert llf(*(estimate + step)) < res.llf


def test_a_density_with_a_series() -> None:
    """The Conway-Maxwell-Poisson distribution, with scipy's sum of exponentials as the judge of the maximum."""

    class ConwayMaxwell(GenericLikelihood):
        params = {"rate": "log", "nu": "log"}

        def logpdf(self, y: Any, rate: Any, nu: Any) -> Any:
            k = np.arange(60)
            terms = k * np.log(rate)[:, None] - nu[:, None] * special.gammaln(k + 1)
            return y * np.log(rate) - nu * special.gammaln(y + 1) - np.logaddexp.reduce(terms, axis=1)

    x = np.random.default_rng(6).normal(size=300)
    y = np.random.default_rng(7).binomial(9, special.expit(x - 1))
    res = mlekit.fit("y ~ x", pd.DataFrame({"x": x, "y": y}), ConwayMaxwell(), method="newton")
    assert res.converged
    estimate = np.asarray(res.params)

    def llf(a: float, b: float, log_nu: float) -> float:
        eta, nu, k = a + b * x, np.exp(log_nu), np.arange(200)[:, None]
        total = special.logsumexp(k * eta - nu * special.gammaln(k + 1), axis=0)
        return float(np.sum(y * eta - nu * special.gammaln(y + 1) - total))

    assert llf(*estimate) == pytest.approx(res.llf, rel=1e-12)
    for step in np.vstack([np.eye(3), -np.eye(3)]) * 1e-3 * np.asarray(res.bse):
        assert llf(*(estimate + step)) < res.llf


# ---------------------------------------------------------------- rows that look at other rows


def centred(self: Any, y: Any, mu: Any, sigma: Any) -> Any:
    return -0.5 * ((y - y.mean() - mu) / sigma) ** 2 - np.log(sigma)


def decided_by_the_first(self: Any, y: Any, mu: Any, sigma: Any) -> Any:
    return -0.5 * ((y - mu) / sigma) ** 2 - np.log(sigma) if y[0] > np.median(DATA.y[:7]) else -y / sigma - mu


def numbered(self: Any, y: Any, mu: Any, sigma: Any) -> Any:
    return -0.5 * ((y - mu * np.arange(len(y))) / sigma) ** 2 - np.log(sigma)


@pytest.mark.parametrize("density", [centred, decided_by_the_first, numbered], ids=lambda f: f.__name__)
def test_a_density_that_looks_at_other_rows_is_refused(density: Any) -> None:
    with pytest.raises(ValueError, match="the log-density of a row is another number among other rows"):
        Model.from_formula("y ~ x", DATA, family(density))
