"""Profile likelihoods, against R and 50-digit roots, closed forms, Lambert's W, and refits with held coefficients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from mpmath import findroot, mp, mpf
from scipy import optimize, special, stats

import mlekit
from mlekit.datasets import load_africa
from mlekit.families import FAMILIES
from mlekit.optimize import profile as ends
from mlekit.optimize.ray import Peak
from tests.deviations import model_of
from tests.reference import cases, load
from tests.test_reference_custom import CASES

CHI2 = 3.841458820694124
#: Errors of an end, in standard errors.
TIGHT = 1e-10
#: Those of R's packages, by splines through a profile and by a loose search.
R_PACKAGES = {
    "stats4_confint": 5e-4,
    "mle2_confint_spline": 5e-4,
    "MASS_confint_glm": 5e-4,
    "mle2_confint_uniroot": 5e-3,
}
AFRICA = load_africa()
PROFILED = [name for name in cases(("glm", "lm")) if "confint_profile_95" in load(name).expected]


def interval(fit: Any, what: Any, alpha: float = 0.05) -> Any:
    return fit.conf_int(alpha, cols=[what], method="profile").to_numpy()[0]


def assert_close(found: Any, expected: Any, se: float, tolerance: float = TIGHT) -> None:
    assert np.abs(np.asarray(found) - np.asarray(expected, dtype=float)).max() <= tolerance * se


# ---------------------------------------------------------------- reference numbers


@pytest.mark.parametrize("name", PROFILED)
def test_ends_are_the_exact_roots(name: str) -> None:
    case = load(name)
    fit = model_of(case).fit()
    found = fit.conf_int(method="profile")
    for coefficient, expected in case.expected["confint_profile_95"].items():
        assert_close(found.loc[coefficient], expected, fit.bse[coefficient])
    sigma = case.expected.get("confint_profile_95_sigma")
    if sigma is not None and case.options.get("weights_kind") != "precision":
        assert_close(interval(fit, "sigma"), sigma, fit.distribution.loc["sigma", "std err"])


#: Case -> our name of what R's end is of, R's name, and the map from ours to R's.
NAMED: dict[str, dict[str, tuple[str, Any]]] = {
    "weibull_iid_leuk": {"shape": ("shape", None), "scale": ("scale", None)},
    "weibull_leuk": {
        "Intercept": ("Intercept", None),
        "ag[T.present]": ("ag[T.present]", None),
        "shape_Intercept": ("log_s", np.negative),
    },
    "gamma_iid_leuk": {"mu": ("mu", None), "shape": ("shape", None)},
    "gamma_regression_leuk": {"np.log(wbc)": ("np.log(wbc)", None), "shape": ("shape", None)},
    "normal_location_scale_cars": {
        "speed": ("speed", None),
        "sigma_Intercept": ("sigma_Intercept", None),
        "sigma_speed": ("sigma_speed", None),
    },
}


@pytest.mark.parametrize("name", NAMED)
def test_several_parameters(name: str) -> None:
    case = load(name)
    fit = mlekit.fit(CASES[name].formula, case.frame, CASES[name].family)
    for ours, (theirs, turned) in NAMED[name].items():
        found = interval(fit, ours)
        found = found if turned is None else np.sort(turned(found))
        assert_close(found, case.expected["confint_profile_95"][theirs], case.expected["bse"][theirs])


@pytest.mark.parametrize("family", ["exponential", "weibull"])
def test_censored_times(family: str) -> None:
    case = load(f"{family}_censored_lung")
    fit = mlekit.fit("Surv(time, event) ~ age + sex + ecog", case.frame, mlekit.Censored(family))
    found = fit.conf_int(method="profile")
    for name, expected in case.expected["confint_profile_95"].items():
        row = -found.loc["shape_Intercept"][::-1] if name == "log_s" else found.loc[name]
        assert_close(row, expected, case.expected["bse"][name])


def test_a_negative_binomial() -> None:
    case = load("negbin_quine")
    fit = mlekit.fit(case.formula, case.frame, "negative_binomial")
    found = fit.conf_int(cols=[*fit.params.index[:-1], "alpha"], method="profile")
    for name, expected in case.expected["confint_profile_95"].items():
        row = 1 / found.loc["alpha"][::-1] if name == "theta" else found.loc[name]  # R's is one over ours
        assert_close(row, expected, case.expected["bse"][name], 1e-9)  # these ends are R's own, not solved again


@pytest.mark.parametrize("transforms", [{}, {"shape1": "log", "shape2": "softplus"}], ids=["plain", "transformed"])
def test_any_likelihood(transforms: dict[str, str]) -> None:
    case = load("beta_iid_swiss")

    def beta(shape1: Any, shape2: Any, prop: Any) -> Any:
        return (shape1 - 1) * np.log(prop) + (shape2 - 1) * np.log1p(-prop) - special.betaln(shape1, shape2)

    fit = mlekit.mle(beta, {"shape1": 1.0, "shape2": 1.0}, case.frame, transforms=transforms)
    for name, expected in case.expected["confint_profile_95"].items():
        assert_close(interval(fit, name), expected, case.expected["bse"][name])


def test_packages_of_r_interpolate_the_same_ends() -> None:
    expected = load("africa_mle_profiles").expected
    poisson = mlekit.fit("miltcoup ~ parties", AFRICA, "poisson")
    for key, tolerance in R_PACKAGES.items():
        for name, row in zip(("Intercept", "parties"), expected["poisson"][key], strict=True):
            assert_close(interval(poisson, name), row, poisson.bse[name], tolerance)
    normal = mlekit.fit("miltcoup ~ parties", AFRICA, "normal")
    spline = expected["normal_with_log_sigma"]["mle2_confint_spline"]
    for name, row in zip(("Intercept", "parties", "sigma_Intercept"), spline, strict=True):
        assert_close(interval(normal, name), row, normal.bse[name], R_PACKAGES["mle2_confint_spline"])


# ---------------------------------------------------------------- closed forms

Y = np.array([3.1, 0.4, 2.2, 5.9, 1.0, 2.8, 3.7, 0.9, 4.1])


@pytest.mark.parametrize("alpha", [0.5, 0.05, 1e-6])
def test_mean_of_a_normal(alpha: float) -> None:
    fit = mlekit.fit("y ~ 1", {"y": Y}, "normal")
    n, s = Y.size, Y.std(ddof=1)
    t = np.sqrt((n - 1) * np.expm1(stats.chi2.isf(alpha, 1) / n))  # n log(1 + t^2 / (n - 1)) is the statistic
    margin = t * s / np.sqrt(n)
    assert_close(interval(fit, "Intercept", alpha), [Y.mean() - margin, Y.mean() + margin], fit.bse["Intercept"])


def lambert(x: Any) -> list[float]:
    """Both real roots u of u - log(u) = x, x > 1."""
    with mp.workdps(40):
        return sorted(float(-mp.lambertw(-mp.exp(-mpf(x)), k)) for k in (0, -1))


@pytest.mark.parametrize("alpha", [0.5, 0.05, 1e-6])
def test_spread_of_a_normal(alpha: float) -> None:
    fit = mlekit.fit("y ~ 1", {"y": Y}, "normal")
    ratios = lambert(1 + stats.chi2.isf(alpha, 1) / Y.size)  # of the estimated variance to the variance
    found = interval(fit, "sigma", alpha)
    assert_close(found, Y.std() / np.sqrt(ratios[::-1]), Y.std(), 1e-11)
    assert_close(interval(fit, "sigma_Intercept", alpha), np.log(found), 1.0)


@pytest.mark.parametrize("link", ["neglog", "log", "identity", "inverse"])
@pytest.mark.parametrize("alpha", [0.5, 0.05, 1e-6])
def test_rate_of_an_exponential(link: str, alpha: float) -> None:
    fit = mlekit.fit("y ~ 1", {"y": Y}, mlekit.Exponential(rate=link))
    expected = np.array(lambert(1 + stats.chi2.isf(alpha, 1) / (2 * Y.size))) / Y.mean()
    np.testing.assert_allclose(interval(fit, "rate", alpha), expected, rtol=1e-11)


@pytest.mark.parametrize("link", ["log", "identity", "sqrt", "softplus"])
@pytest.mark.parametrize("alpha", [0.5, 0.05, 1e-6])
def test_mean_of_a_poisson(link: str, alpha: float) -> None:
    y = np.array([3, 1, 0, 4, 2, 0, 1])
    fit = mlekit.fit("y ~ 1", {"y": y}, mlekit.Poisson(mu=link))
    expected = np.array(lambert(1 + stats.chi2.isf(alpha, 1) / (2 * y.sum()))) * y.mean()
    np.testing.assert_allclose(interval(fit, "mu", alpha), expected, rtol=1e-11)


def test_share_of_successes() -> None:
    fit = mlekit.fit("y ~ 1", {"y": [1, 1, 1, 0, 1, 1]}, "bernoulli")
    with mp.workdps(40):
        p0 = mpf(5) / 6

        def above(p: Any) -> Any:
            return 2 * (5 * mp.log(p0 / p) + mp.log((1 - p0) / (1 - p))) - mpf(CHI2)

        expected = [
            float(findroot(above, bracket, solver="anderson", tol=1e-30)) for bracket in ((0.1, 0.8), (0.9, 0.999))
        ]
    np.testing.assert_allclose(interval(fit, "p"), expected, rtol=1e-12)


# ---------------------------------------------------------------- refits with the coefficient held

RNG = np.random.default_rng(5)
N = 60
X = RNG.normal(size=N)


def drawn(name: str) -> tuple[str, dict[str, Any]]:
    """A formula, and responses of a family that depend on x."""
    if name in ("ordered_logit", "ordered_probit", "multinomial_logit"):
        return "y ~ x", {"x": X, "y": np.digitize(X + stats.logistic.rvs(size=N, random_state=2), [-1, 0.5])}
    if name == "binomial":
        k = stats.binom.rvs(5, special.expit(0.3 + X), random_state=2)
        return "cbind(k, m) ~ x", {"x": X, "k": k, "m": 5 - k}
    family = FAMILIES[name]()
    etas = [0.2 + 0.3 * X, *([np.full(N, 0.4)] * (len(family.params) - 1))]
    theta = [link.inverse(eta) for link, eta in zip(family.links.values(), etas, strict=True)]
    return "y ~ x", {"x": X, "y": family.rvs(*theta, rng=np.random.default_rng(99))}


SMOOTH = [
    "normal",
    "exponential",
    "bernoulli",
    "binomial",
    "poisson",
    "huber_normal",
    "student_t",
    "logistic",
    "gumbel",
]
SMOOTH += ["weibull", "lognormal", "gamma", "inverse_gaussian", "beta", "negative_binomial", "ordered_logit"]
SMOOTH += ["ordered_probit", "multinomial_logit"]


@pytest.mark.parametrize("family", SMOOTH)
def test_a_refit_with_the_coefficient_held_falls_to_the_height(family: str) -> None:
    formula, data = drawn(family)
    fit = mlekit.fit(formula, data, family)
    for name, ends_of in fit.conf_int(method="profile").iterrows():
        for end in ends_of:
            step = 1e-4 * fit.bse[name]
            held, beside = (mlekit.fit(formula, data, family, fixed={name: v}).llf for v in (end, end + step))
            slope = 2 * abs(held - beside) / 1e-4
            assert abs(2 * (fit.llf - held) - CHI2) <= TIGHT * slope


@pytest.mark.parametrize("alpha", [0.5, 0.05])
def test_median_of_a_laplace(alpha: float) -> None:
    fit = mlekit.fit("y ~ 1", {"y": Y}, "laplace")
    target = stats.chi2.isf(alpha, 1)

    def above(m: float) -> float:
        return 2 * Y.size * np.log(np.abs(Y - m).sum() / np.abs(Y - np.median(Y)).sum()) - target

    expected = [optimize.brentq(above, *bracket, xtol=1e-14) for bracket in ((-9, np.median(Y)), (np.median(Y), 15))]
    assert_close(interval(fit, "Intercept", alpha), expected, fit.bse["Intercept"])
    # For the scale, n (log(b / b0) + b0 / b - 1) is half the statistic: as the rate of an exponential.
    ratios = lambert(1 + target / (2 * Y.size))
    scale = np.abs(Y - np.median(Y)).mean() / np.array(ratios[::-1])
    np.testing.assert_allclose(interval(fit, "b", alpha), scale, rtol=1e-10)


def test_a_quantile_regression_falls_to_the_height() -> None:
    fit = mlekit.fit("miltcoup ~ parties", AFRICA, mlekit.AsymmetricLaplace(q=0.75))
    for name, row in fit.conf_int(method="profile").iterrows():
        for end in row:
            held = mlekit.fit("miltcoup ~ parties", AFRICA, mlekit.AsymmetricLaplace(q=0.75), fixed={name: end})
            assert 2 * (fit.llf - held.llf) == pytest.approx(CHI2, rel=1e-9)


def test_weights_offsets_and_held_values() -> None:
    data = {"x": X, "w": RNG.integers(1, 4, N), "o": RNG.normal(size=N), "k": RNG.poisson(np.exp(0.3 + 0.2 * X))}
    repeated = {name: np.repeat(values, data["w"]) for name, values in data.items()}
    one = mlekit.fit("k ~ x", data, "poisson", weights="w", offset="o", fixed={"x": 0.3})
    other = mlekit.fit("k ~ x", repeated, "poisson", offset="o", fixed={"x": 0.3})
    assert_close(interval(one, "Intercept"), interval(other, "Intercept"), one.bse["Intercept"])
    assert one.conf_int(method="profile").index.tolist() == ["Intercept"]


@pytest.mark.parametrize(
    ("text", "again"),
    [
        ("parties - pollib", "I(parties + pollib) + pollib"),
        ("2*parties + pollib", "I(parties - 2 * pollib) + pollib"),
    ],
)
def test_a_contrast_is_a_coefficient_of_other_covariates(text: str, again: str) -> None:
    # In a (parties + c pollib) + b pollib, the coefficients of parties and pollib are a and b + c a.
    fit = mlekit.fit("miltcoup ~ parties + pollib", AFRICA, "poisson")
    other = mlekit.fit(f"miltcoup ~ {again}", AFRICA, "poisson")
    # parties - pollib = a - (b + a) = -b, and 2 parties + pollib = 2 a + b - 2 a = b.
    expected = interval(other, "pollib")
    expected = np.sort(-expected) if text.startswith("parties") else expected
    assert_close(interval(fit, text), expected, other.bse["pollib"])
    as_numbers = [0, 1, -1] if text.startswith("parties") else [0, 2, 1]
    assert_close(interval(fit, as_numbers), expected, other.bse["pollib"])


# ---------------------------------------------------------------- both ways, many rows, units


def test_the_search_finds_what_the_joint_equations_find() -> None:
    for family in ("student_t", "gamma", "ordered_logit"):
        formula, data = drawn(family)
        fit = mlekit.fit(formula, data, family)._results
        peak = Peak.of(fit.model.working, fit.optimum.gamma)
        for row in fit.model.matrix:
            for side in (-1, 1):
                ray = peak.ray(row)
                v = ends.joint(ray, side, CHI2)
                assert v is not None
                assert v[0] == pytest.approx(ends.searched(ray, side, CHI2).s, abs=1e-9)


@pytest.mark.parametrize("family", ["poisson", "bernoulli", "gamma"])
def test_many_rows(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    n = 51_000
    data = {"x": rng.normal(size=n), "z": np.exp(rng.normal(size=n))}
    eta = -3 + 0.4 * data["x"] + 0.1 * np.minimum(data["z"], 5)
    draws = {
        "poisson": lambda: rng.poisson(np.exp(eta)),
        "bernoulli": lambda: rng.uniform(size=n) < special.expit(eta),
        "gamma": lambda: rng.gamma(2.0, np.exp(eta)),
    }
    data["y"] = draws[family]().astype(float)
    fit = mlekit.fit("y ~ x + z", data, family)
    orders: list[int] = []
    plain = type(fit.model.working).evaluate
    monkeypatch.setattr(
        type(fit.model.working), "evaluate", lambda self, g, order=2: orders.append(order) or plain(self, g, order)
    )
    found = fit.conf_int(method="profile")
    assert sum(order == 2 for order in orders) <= 1 + len(found)  # most passes are for the gradient alone
    monkeypatch.setattr(ends, "_MANY", 10**9)
    exact = fit.conf_int(method="profile")
    assert (np.abs(found - exact).to_numpy() <= 1e-7 * fit.bse.to_numpy()[:, None]).all()


@pytest.mark.parametrize("unit", [1e-300, 1e-20, 1e20, 1e300])
def test_units_do_not_matter(unit: float) -> None:
    plain = mlekit.fit("miltcoup ~ parties + popn", AFRICA, "poisson")
    other = mlekit.fit("miltcoup ~ parties + popn", AFRICA.assign(parties=AFRICA.parties * unit), "poisson")
    for name, factor in (("parties", unit), ("Intercept", 1.0)):
        np.testing.assert_allclose(interval(other, name) * factor, interval(plain, name), rtol=1e-11)


def test_an_origin_far_away_does_not_matter() -> None:
    plain = mlekit.fit("miltcoup ~ parties + popn", AFRICA, "poisson")
    other = mlekit.fit("miltcoup ~ parties + popn", AFRICA.assign(parties=AFRICA.parties + 1e6), "poisson")
    assert_close(interval(other, "parties"), interval(plain, "parties"), plain.bse["parties"], 1e-8)


def test_intervals_have_names() -> None:
    fit = mlekit.fit("miltcoup ~ parties", AFRICA, "normal")
    what = ["parties", 0, "parties - Intercept", "sigma"]
    for method in ("wald", "profile"):
        found = fit.conf_int(cols=what, method=method)
        assert found.index.tolist() == ["parties", "Intercept", "parties - Intercept", "sigma"]
        assert (found[0] < found[1]).all()
    wald = fit.conf_int(0.1, what)
    pd.testing.assert_frame_equal(wald.iloc[:2], fit.conf_int(0.1).loc[["parties", "Intercept"]])
    effect = fit.t_test("parties - Intercept").conf_int(0.1)[0]
    np.testing.assert_allclose(wald.loc["parties - Intercept"], effect, rtol=1e-12)
    np.testing.assert_allclose(wald.loc["sigma"], np.exp(fit.conf_int(0.1).loc["sigma_Intercept"]), rtol=1e-12)
