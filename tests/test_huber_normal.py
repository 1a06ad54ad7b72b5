"""Huber's distribution: against quadrature, mpmath, scipy.optimize and its two limits, the Normal and the Laplace."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from mpmath import mp, mpf
from scipy import integrate, optimize
from statsmodels.robust.norms import HuberT
from statsmodels.tools.sm_exceptions import ConvergenceWarning

import mlekit
from mlekit import Status
from mlekit.families import HuberNormal
from tests.huber import Huber
from tests.reference import load

CARS = load("laplace_lad_cars").frame
Y, X = CARS.dist.to_numpy(float), np.column_stack([np.ones(50), CARS.speed])


def outliers(n: int = 80, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = np.column_stack([np.ones(n), rng.normal(size=(n, 2))])
    return x @ [1.0, 2.0, -1.0] + np.where(rng.random(n) < 0.1, 30, 1) * rng.normal(size=n), x


def fit_arrays(y: Any, x: Any, k: float = 1.345, method: str = "auto", **how: Any) -> Any:
    return mlekit.Model.from_arrays(y, x, HuberNormal(k=k), **how).fit(method)


# ------------------------------------------------------------------------------------ the density


@pytest.mark.parametrize("k", [1e-3, 0.5, 1.345, 3.0, 50.0])
def test_density_is_one_and_has_its_variance(k: float) -> None:
    family, edge = HuberNormal(k=k), 2 * k

    def moment(power: int) -> float:
        ends = ((-np.inf, 1 - edge), (1 - edge, 1), (1, 1 + edge), (1 + edge, np.inf))
        parts = (
            integrate.quad(lambda t: (t - 1) ** power * np.exp(family.logpdf(t, 1.0, 2.0)), *each, epsabs=0)[0]
            for each in ends
        )
        return sum(parts)

    assert moment(0) == pytest.approx(1, rel=1e-9)
    assert moment(1) == pytest.approx(0, abs=1e-6 * moment(2))
    assert moment(2) == pytest.approx(family.variance(1.0, 2.0), rel=1e-8)
    assert family.variance(1.0, 2.0) == pytest.approx(Huber(k, 1.0, 2.0).var(), rel=1e-9)


def test_loss_is_hubers() -> None:
    z = np.linspace(-5, 5, 101)
    constant = HuberNormal(k=1.5).logpdf(np.zeros(1), 0.0, 1.0)
    np.testing.assert_allclose(constant - HuberNormal(k=1.5).logpdf(z, 0.0, 1.0), HuberT(1.5).rho(z), atol=1e-14)


def test_limits_are_the_normal_and_the_laplace() -> None:
    normal, huber = mlekit.fit("dist ~ speed", CARS, "normal"), mlekit.fit("dist ~ speed", CARS, HuberNormal(k=40))
    assert huber.params.to_numpy() == pytest.approx(normal.params.to_numpy(), rel=1e-9)
    assert huber.bse.to_numpy() == pytest.approx(normal.bse.to_numpy(), rel=1e-9)
    assert huber.llf == pytest.approx(normal.llf, rel=1e-12)
    # exp(-k |z|) with sigma / k for b.
    near = HuberNormal(k=1e-6).logpdf(Y, 40.0, 1e-6 * 10.0)
    np.testing.assert_allclose(near, mlekit.families.Laplace().logpdf(Y, 40.0, 10.0), rtol=1e-6)


@pytest.mark.parametrize("k", [1e-3, 0.3, 1.345, 5.0])
def test_scale_given_the_location(k: float) -> None:
    """Against a root of the score by bisection."""
    rng = np.random.default_rng(0)
    for n in (1, 2, 7, 200):
        y, weight, family = rng.standard_t(2, n), rng.integers(1, 4, n).astype(float), HuberNormal(k=k)

        def score(log_sigma: float, family: Any = family, y: Any = y, weight: Any = weight) -> float:
            return float(family.linear_rows(y, np.zeros_like(y), np.full_like(y, log_sigma)).grad[1] @ weight)

        want = optimize.brentq(score, -30, 30, xtol=1e-15)
        assert family.scale_mle(y, np.zeros(n), weight) == pytest.approx(np.exp(want), rel=1e-12)
        assert family.scale_mle(1e200 * y, np.zeros(n), weight) == pytest.approx(1e200 * np.exp(want), rel=1e-12)
    assert HuberNormal(k=k).scale_mle(np.ones(3), np.ones(3), np.ones(3)) == 0


# ------------------------------------------------------------------------------------ fits


def solved(y: np.ndarray, x: np.ndarray, k: float, start: np.ndarray) -> tuple[list[Any], Any]:
    """Root of the score, and value there, in 40 digits."""
    with mp.workdps(40):
        rows, rates = mp.matrix(x.tolist()), mpf(k)

        def score(*theta: Any) -> list[Any]:
            beta, sigma = theta[:-1], mp.exp(theta[-1])
            z = [(mpf(float(v)) - sum(rows[i, j] * b for j, b in enumerate(beta))) / sigma for i, v in enumerate(y)]
            psi = [max(-rates, min(rates, value)) for value in z]
            return [sum(p * rows[i, j] for i, p in enumerate(psi)) for j in range(len(beta))] + [
                sum(p * value - 1 for p, value in zip(psi, z, strict=True))
            ]

        root = mp.findroot(score, [mpf(float(v)) for v in start], tol=1e-60)
        beta, sigma = list(root)[:-1], mp.exp(root[len(root) - 1])
        z = [abs(mpf(float(v)) - sum(rows[i, j] * b for j, b in enumerate(beta))) / sigma for i, v in enumerate(y)]
        constant = mp.log(mp.sqrt(2 * mp.pi) * mp.erf(rates / mp.sqrt(2)) + 2 / rates * mp.exp(-(rates**2) / 2))
        loss = sum(v * v / 2 if v <= rates else rates * v - rates**2 / 2 for v in z)
        assert min(abs(v - rates) for v in z) > 1e-6  # no row sits where the pieces meet
        return list(root), -loss - len(y) * (mp.log(sigma) + constant)


@pytest.mark.parametrize("k", [0.5, 1.0, 1.345, 2.5])
@pytest.mark.parametrize("case", ["cars", "outliers"])
def test_against_mpmath(case: str, k: float) -> None:
    y, x = (Y, X) if case == "cars" else outliers()
    fit = fit_arrays(y, x, k)
    assert fit.status is Status.CONVERGED
    root, value = solved(y, x, k, fit.params.to_numpy())
    assert fit.params.to_numpy() == pytest.approx(np.array(root, dtype=float), rel=1e-9)
    assert fit.llf == pytest.approx(float(value), rel=1e-13)


@pytest.mark.parametrize("k", [0.5, 1.345, 3.0])
def test_against_scipy(k: float) -> None:
    y, x = outliers()
    theirs = Huber(k, 0.0, 1.0)

    def loss(theta: np.ndarray) -> float:
        return -float(np.sum(theirs.logpdf((y - x @ theta[:-1]) / np.exp(theta[-1])) - theta[-1]))

    start = np.append(np.linalg.lstsq(x, y, rcond=None)[0], np.log(np.std(y)))
    found = optimize.minimize(loss, start, method="BFGS", options={"gtol": 1e-7})
    fit = fit_arrays(y, x, k)
    assert fit.llf == pytest.approx(-found.fun, rel=1e-10)
    assert fit.llf >= -found.fun - 1e-9
    assert fit.params.to_numpy() == pytest.approx(found.x, abs=1e-5)


def test_standard_errors_are_of_the_observed_information() -> None:
    y, x = outliers()
    fit = fit_arrays(y, x)
    theta, sigma = fit.params.to_numpy(), np.exp(fit.params.iloc[-1])
    z = (y - x @ theta[:-1]) / sigma
    inside = np.abs(z) <= 1.345
    psi = np.clip(z, -1.345, 1.345)
    information = np.zeros((4, 4))
    information[:3, :3] = x[inside].T @ x[inside] / sigma**2
    information[:3, 3] = information[3, :3] = x.T @ (inside * z + psi) / sigma
    information[3, 3] = np.sum(inside * z**2 + psi * z)
    assert fit.cov_params().to_numpy() == pytest.approx(np.linalg.inv(information), rel=1e-9)
    assert "observed information;" in fit.notes[1]


def test_recovered_from_its_own_distribution() -> None:
    rng = np.random.default_rng(1)
    x = np.column_stack([np.ones(20_000), rng.normal(size=20_000)])
    y = x @ [1.0, -2.0] + Huber(1.0, 0.0, 3.0).rvs(20_000, rng)
    fit = fit_arrays(y, x, 1.0)
    assert np.all(np.abs(fit.params - [1.0, -2.0, np.log(3)]) < 3 * fit.bse)
    for cov_type in ("eim", "opg", "HC0"):
        assert mlekit.Model.from_arrays(y, x, HuberNormal(k=1)).fit(cov_type=cov_type).bse.to_numpy() == pytest.approx(
            fit.bse.to_numpy(), rel=0.03
        )


@pytest.mark.parametrize("method", ["newton", "fisher", "bfgs", "l-bfgs-b", "trust-exact"])
def test_methods_agree(method: str) -> None:
    want = fit_arrays(*outliers())
    found = fit_arrays(*outliers(), method=method)
    assert found.converged
    assert np.abs((found.params - want.params) / want.bse).max() < 1e-4


def test_steps_never_cycle() -> None:
    """The likelihood rises at every step, so that no point comes twice; what ends short of the maximum says so."""
    rng = np.random.default_rng(0)
    ended = []
    for _ in range(200):
        n = int(rng.choice([6, 12, 40, 200]))
        x = np.column_stack([np.ones(n), rng.normal(size=(n, 2))])
        y = x @ [1.0, 2.0, 3.0] + [rng.normal, rng.standard_cauchy, rng.exponential][rng.integers(3)](size=n) ** 3
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            fit = fit_arrays(y, x, float(rng.choice([0.3, 0.7, 1.345, 2.5])))
        gain = np.diff(fit.trace.llf)
        assert np.all(gain >= -1e-9 * np.abs(fit.llf))
        ended.append(fit.status)
        if fit.converged:
            assert np.abs(fit.model.score(fit.params.to_numpy()) * fit.bse).max() < 1e-6
    assert ended.count(Status.CONVERGED) >= 195


@pytest.mark.parametrize("size", [1e-6, 1e3, 1e6])
def test_units(size: float) -> None:
    y, x = outliers()
    want, scaled = fit_arrays(y, x), fit_arrays(size * y, x * [1, size, 1 / size])
    assert scaled.params.to_numpy()[:-1] == pytest.approx(
        want.params.to_numpy()[:-1] * [size, 1, size**2], rel=1e-9, abs=0
    )
    assert scaled.llf == pytest.approx(want.llf - y.size * np.log(size), rel=1e-11)


def test_weights_are_repeated_rows() -> None:
    y, x = outliers()
    weight = np.random.default_rng(2).integers(1, 5, y.size)
    a, b = fit_arrays(y, x, weights=weight), fit_arrays(np.repeat(y, weight), np.repeat(x, weight, axis=0))
    assert a.params.to_numpy() == pytest.approx(b.params.to_numpy(), rel=1e-9)
    assert a.bse.to_numpy() == pytest.approx(b.bse.to_numpy(), rel=1e-8)


def test_perfect_fits_are_unbounded() -> None:
    x = np.arange(9.0)
    for y in (np.ones(9), np.zeros(9), 1 + 2 * x):
        with pytest.warns(ConvergenceWarning):
            fit = mlekit.fit("y ~ x", {"y": y, "x": x}, "huber_normal")
        assert not fit.converged
        assert fit.status is Status.UNBOUNDED


def test_a_flat_top_is_singular() -> None:
    """Between the middle two of four far apart nothing is in the centre, and every location is as good."""
    with pytest.warns(ConvergenceWarning, match="the information is singular, so the estimates are not unique"):
        fit = mlekit.fit("y ~ 1", {"y": [-100.0, -1.0, 1.0, 100.0]}, HuberNormal(k=0.01))
    assert fit.status is Status.SINGULAR


def test_use_t_changes_no_standard_error() -> None:
    plain, t = (mlekit.fit("dist ~ speed", CARS, "huber_normal", use_t=use) for use in (False, True))
    assert t.bse.tolist() == plain.bse.tolist()
    assert "ordinary least squares" not in "".join(t.notes + plain.notes)


def test_figures_that_are_not_defined() -> None:
    fit = mlekit.fit("dist ~ speed", CARS, "huber_normal")
    with pytest.raises(AttributeError, match="HuberNormal has no deviance"):
        _ = fit.deviance
    assert "k:" in fit.summary().as_text()
    assert fit.fittedvalues.to_numpy() == pytest.approx(X @ fit.params.to_numpy()[:2], rel=1e-13)
