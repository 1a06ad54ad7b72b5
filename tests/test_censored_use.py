"""Censored responses in use: families of one's own, simulation, predictions, and what is said of wrong input."""

from __future__ import annotations

import pickle
import warnings
from collections import Counter
from typing import Any

import numpy as np
import pytest
from mpmath import mp
from scipy import stats
from statsmodels.tools.sm_exceptions import ConvergenceWarning

import mlekit
from mlekit import Censored, Truncated
from mlekit.diagnostics import NotGiven
from mlekit.families import FAMILIES, Exponential, Gamma, Laplace, Normal, Poisson, Weibull
from mlekit.formula import FormulaError
from mlekit.responses import Surv
from tests.mp_continuous import FAMILIES as CONTINUOUS
from tests.mp_ranges import orders
from tests.sample import Rayleigh, RayleighByDifferences
from tests.start_values import samples


@pytest.fixture(scope="module")
def lives() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=150)
    t, c = np.exp(1 + 0.5 * x) * rng.weibull(1.5, 150), rng.exponential(4, 150)
    return {"time": np.minimum(t, c), "event": t <= c, "x": x}


class ByScipy(RayleighByDifferences):
    """... with tails of scipy's."""

    params = {"sigma": "log"}

    def logpdf(self, y: Any, sigma: Any) -> Any:
        return stats.rayleigh.logpdf(y, scale=sigma)

    def logcdf(self, y: Any, sigma: Any) -> Any:
        return stats.rayleigh.logcdf(y, scale=sigma)

    def logsf(self, y: Any, sigma: Any) -> Any:
        return stats.rayleigh.logsf(y, scale=sigma)


@pytest.mark.parametrize(
    ("kind", "rtol", "said"),
    [
        (Rayleigh, 1e-9, "exact (integrals of the derivatives of the density)"),
        (RayleighByDifferences, 1e-6, "central differences (about 1e-8), integrated"),
        (ByScipy, 1e-7, "central differences (about 1e-8)"),
    ],
)
def test_a_family_of_ones_own(lives: dict[str, Any], kind: Any, rtol: float, said: str) -> None:
    weibull = mlekit.fit("Surv(time, event) ~ x", lives, Censored("weibull"), fixed={"shape": 2.0})
    fit = mlekit.fit("Surv(time, event) ~ x", lives, Censored(kind()))
    assert fit.converged
    assert said in " ".join(fit.notes).replace("\n", " ")
    np.testing.assert_allclose(fit.params, weibull.params.iloc[:2] - [np.log(2) / 2, 0.0], rtol=rtol)
    np.testing.assert_allclose(fit.bse, weibull.bse.iloc[:2], rtol=max(rtol, 1e-8))
    assert fit.llf == pytest.approx(weibull.llf, rel=1e-10)


def test_a_density_whose_end_moves_is_said_to_have_no_derivative() -> None:
    class Uniform(mlekit.GenericLikelihood):
        params = {"end": "log"}

        def logpdf(self, y: Any, end: Any) -> Any:
            return np.where(y <= end, -np.log(end), -np.inf)

        def in_support(self, y: Any) -> Any:
            return y > 0

    with pytest.warns(RuntimeWarning, match="do not add up to 0"):
        rows = Censored(Uniform()).rows(np.array([[0.3, np.inf]]), np.array([2.0]))
    assert rows.value == pytest.approx(np.log(1.7 / 2))
    assert np.isnan(rows.grad).all()
    assert np.isnan(rows.hess).all()


@pytest.mark.parametrize("family", ["weibull", "lognormal", "gamma"])
def test_estimate_is_that_of_scipys_censored_data(lives: dict[str, Any], family: str) -> None:
    data = stats.CensoredData.right_censored(lives["time"], ~lives["event"])
    theirs = {"weibull": stats.weibull_min, "lognormal": stats.lognorm, "gamma": stats.gamma}[family]
    shape, _, scale = theirs.fit(data, floc=0)
    fit = mlekit.fit("Surv(time, event) ~ 1", lives, Censored(family))
    first, second = np.exp(fit.params)
    ours = {"weibull": (second, first), "lognormal": (second, first), "gamma": (second, first / second)}[family]
    np.testing.assert_allclose(ours, (shape, scale), rtol=1e-3)  # its simplex stops there
    assert fit.llf >= -theirs.nnlf((shape, 0, scale), lives["time"][lives["event"]]) + np.sum(
        theirs.logsf(lives["time"][~lives["event"]], shape, 0, scale)
    )


def test_an_interval_of_one_count_is_that_count() -> None:
    """Summed counts, and ranges of them, against the log-density and the tails of scipy's Poisson."""
    y = np.array([[2.0, 3.0], [4.0, np.inf], [-np.inf, 6.0], [3.0, 3.0], [-1.0, 0.0], [2.0, 90.0]])
    mu = np.full(6, 4.2)
    found, there = Censored("poisson").logpdf(y, mu), stats.poisson(4.2)
    wanted = [there.logpmf(3), there.logsf(4), there.logcdf(6), there.logpmf(3), there.logpmf(0)]
    np.testing.assert_allclose(found, [*wanted, np.log(there.cdf(90) - there.cdf(2))], rtol=1e-13)


@pytest.mark.parametrize("family", [Weibull(), Normal(mu="log"), Gamma(), Poisson(), Truncated("poisson", 1)], ids=repr)
def test_rows_agree_with_differences(family: Any) -> None:
    y = np.array([[2.0, 2.0], [1.0, np.inf], [-np.inf, 4.0], [2.0, 5.0], [-np.inf, np.inf]])
    found = Censored(family).check(y, **{name: 1.7 for name in family.params})
    assert found.ok, found
    assert {"rows", "linear_rows"} <= {line.what.partition(":")[0] for line in found.lines}


def test_what_is_predicted_is_the_uncensored_variable(lives: dict[str, Any]) -> None:
    fit = mlekit.fit("Surv(time, event) ~ x", lives, Censored("weibull"))
    new = {"x": [0.0, 1.0]}
    scale, shape = fit.predict(new, what="scale").to_numpy(), np.exp(fit.params["shape_Intercept"])
    np.testing.assert_allclose(fit.predict(new), stats.weibull_min.mean(shape, scale=scale), rtol=1e-12)
    assert (fit.get_prediction(new).summary_frame()["mean_se"] > 0).all()
    family = fit.model.family
    np.testing.assert_allclose(family.logsf(3.0, scale, shape), stats.weibull_min.logsf(3.0, shape, scale=scale))
    own = mlekit.fit("Surv(time, event) ~ x", lives, Censored(Rayleigh()))
    sigma = own.predict(new, what="sigma")
    np.testing.assert_allclose(own.predict(new), sigma * np.sqrt(np.pi / 2), rtol=1e-9)  # integrated
    drawn = fit.simulate(3, seed=1)
    assert (drawn.xs("lower", axis=1, level=1).to_numpy() == drawn.xs("upper", axis=1, level=1).to_numpy()).all()


def test_residuals_are_not_given(lives: dict[str, Any]) -> None:
    fit = mlekit.fit("Surv(time, event) ~ x", lives, Censored("weibull"))
    for name in ("resid_response", "resid_pearson", "resid_deviance"):
        with pytest.raises(NotGiven, match="no residuals"):
            getattr(fit, name)
    with pytest.raises(NotGiven, match="no deviance"):
        _ = fit.deviance
    with pytest.raises(ValueError, match="score by 'log_score'"):
        mlekit.cross_validate("Surv(time, event) ~ x", lives, Censored("weibull"), k=3, seed=1, loss="mse")
    scored = mlekit.cross_validate("Surv(time, event) ~ x", lives, Censored("weibull"), k=3, seed=1, loss="log_score")
    assert np.isfinite(scored.scores["log_score"]).all()


def test_counts_beside_densities_are_told_apart(lives: dict[str, Any]) -> None:
    data = {"t": np.ceil(lives["time"]), "event": lives["event"]}
    models = {k: ("Surv(t, event) ~ 1", Censored(k)) for k in ("weibull", "poisson")}
    with pytest.warns(UserWarning, match=r"Censored\(Poisson\) models give probabilities"):
        mlekit.compare_models(models, data, k=3, seed=1)


# ---------------------------------------------------------------- from the default start


def test_no_fit_fails_from_its_default_start() -> None:
    """Simulated data over the parameters of each family, about a third of them censored on the right."""
    ends: Counter[tuple[str, str]] = Counter()
    for name in CONTINUOUS:
        for i, data in enumerate(samples(name, 4 if name in ("gamma", "beta", "student_t") else 24, seed=3)):
            rng = np.random.default_rng([9, i])
            bound = np.quantile(data.y, rng.uniform(0.4, 1.0, data.y.size), method="nearest")
            event = data.y <= bound
            response = Surv(np.where(event, data.y, bound), event)
            columns = np.column_stack([np.ones_like(data.y)] + ([] if data.x is None else [data.x]))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                fit, normal = (
                    mlekit.Model.from_arrays(response, columns, family=Censored(FAMILIES[kind])).fit()
                    for kind in (name, "normal")
                )
            # Without heavy tails in the sample the maximum is the Normal, at infinitely many degrees of freedom.
            limit = name == "student_t" and abs(fit.llf - normal.llf) < 1e-9 and fit.status.name == "LIMIT"
            ends[name, "CONVERGED" if limit else fit.status.name] += 1
    assert {end for _, end in ends} == {"CONVERGED"}, ends


def test_parameters_are_recovered() -> None:
    gaps = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        x = rng.uniform(-1, 1, 300)
        t, c = np.exp(1 + 0.5 * x) * rng.weibull(1.5, 300), rng.exponential(4, 300)
        data = {"t": np.minimum(t, c), "e": t <= c, "x": x}
        fit = mlekit.fit("Surv(t, e) ~ x", data, Censored("weibull"))
        gaps.append((fit.params - [1, 0.5, np.log(1.5)]) / fit.bse)
    assert np.all(np.abs(np.mean(gaps, axis=0)) < 4 / np.sqrt(20))
    assert np.all(np.abs(np.std(gaps, axis=0) - 1) < 0.6)


@pytest.mark.parametrize("unit", [1e-200, 1e-6, 1e6, 1e100])
def test_estimates_are_the_same_in_any_unit(lives: dict[str, Any], unit: float) -> None:
    base = mlekit.fit("Surv(time, event) ~ x", lives, Censored("weibull"))
    fit = mlekit.fit("Surv(time, event) ~ x", lives | {"time": unit * lives["time"]}, Censored("weibull"))
    np.testing.assert_allclose(fit.params - [np.log(unit), 0, 0], base.params, rtol=1e-11)
    np.testing.assert_allclose(fit.bse, base.bse, rtol=1e-11)


# ---------------------------------------------------------------- what is refused, and what is said


@pytest.mark.parametrize(
    ("formula", "family", "error", "said"),
    [
        ("time ~ x", Censored("weibull"), FormulaError, r"has one column, and Censored needs 2, .* write Surv\(time"),
        ("Surv(time, event) ~ x", "weibull", FormulaError, r"censored times for mlekit.Censored\(family\)"),
        ("Surv(time - 1, event) ~ x", Censored("weibull"), ValueError, r"in row \d+ and \d+ more: for Censored"),
        ("Surv(time, event) ~ x", Censored("poisson"), ValueError, "a count 0, 1, 2"),
        ("Surv(-time, 0 * time, type='left') ~ x", Censored("gamma"), ValueError, "a number > 0"),
        ("Surv(time, 1 + time, type='interval') ~ x", Censored("beta"), ValueError, "for Censored"),
    ],
)
def test_wrong_responses(lives: dict[str, Any], formula: str, family: Any, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        mlekit.fit(formula, lives, family)


@pytest.mark.parametrize(
    ("make", "error", "said"),
    [
        (lambda: Censored(), TypeError, r"Censored is made of a family: Censored\('poisson'\)"),
        (lambda: Censored(Laplace()), TypeError, "kink"),
        (lambda: Censored("multinomial_logit"), TypeError, "of levels"),
        (lambda: Censored("weibull", scale="identity"), TypeError, r"Censored\(Weibull\(scale='identity'\)\)"),
        (lambda: Censored("weibull", q=0.5), TypeError, "Censored has no q"),
        (lambda: Censored(Censored("weibull")), TypeError, "2 columns"),
    ],
)
def test_nonsense_is_refused(make: Any, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        make()


@pytest.mark.parametrize("family", ["exponential", "weibull", "lognormal", "normal", "logistic"])
def test_responses_that_are_all_censored_have_no_estimate(lives: dict[str, Any], family: str) -> None:
    with pytest.warns(ConvergenceWarning, match="no finite estimate"):
        fit = mlekit.fit("Surv(time, 0 * event) ~ 1", lives, Censored(family))
    assert not fit.converged
    assert fit.status.name == "INFINITE"
    assert (fit.llf, abs(fit.params.iloc[0])) == (0, np.inf)


def test_ranges_without_an_end_say_nothing() -> None:
    y = np.array([[-np.inf, np.inf]])
    rows = Censored("weibull").linear_rows(y, np.ones(1), np.ones(1))
    assert not any(np.any(part) for part in rows)


def test_names_equality_and_copies() -> None:
    family = Censored(Weibull(scale="identity"))
    assert repr(family) == "Censored(Weibull(scale='identity'))"
    assert Censored("weibull") == Censored(Weibull) == Censored(Weibull()) != family
    assert pickle.loads(pickle.dumps(family)) == family
    assert hash(Censored(Exponential())) == hash(Censored("exponential"))
    assert list(family.params) == ["scale", "shape"]
    assert family.links == Weibull(scale="identity").links
    assert (Censored("poisson").discrete, Censored("normal").discrete) == (True, False)


def test_underdispersed_counts_are_at_the_limit_of_their_family() -> None:
    rng = np.random.default_rng(2)
    y = rng.binomial(8, 0.5, 200)
    data = {"y": np.minimum(y, 5), "seen": y <= 5}
    fit = mlekit.fit("Surv(y, seen) ~ 1", data, Censored("negative_binomial"))
    assert "alpha is 0: Censored(Poisson()) fits as well" in fit.reason
    poisson = mlekit.fit("Surv(y, seen) ~ 1", data, Censored("poisson"))
    assert fit.status.name == "LIMIT"
    assert fit.params.iloc[0] == pytest.approx(poisson.params.iloc[0], rel=1e-12)


@pytest.mark.parametrize("count", [20.0, 45.0, 3000.0])
def test_tails_of_many_counts_have_their_derivatives(count: float) -> None:
    """A negative binomial tail is an incomplete beta function; small counts go by jets, large ones by sums."""
    eta = (np.log(0.7 * count), -0.5)
    rows = Censored("negative_binomial").linear_rows(np.array([[count, np.inf]]), *(np.array([e]) for e in eta))

    def value(log_mu: Any, log_alpha: Any) -> Any:
        size, mu = mp.exp(-log_alpha), mp.exp(log_mu)
        return mp.log(mp.betainc(count + 1, size, 0, mu / (mu + size), regularized=True))

    with mp.workdps(40):
        point = tuple(map(mp.mpf, eta))
        assert rows.value[0] == pytest.approx(float(value(*point)), rel=1e-10)
        for i in range(2):
            assert rows.grad[i, 0] == pytest.approx(float(mp.diff(value, point, orders(2, i))), rel=1e-9)
            for j in range(2):
                wanted = float(mp.diff(value, point, orders(2, i, j)))
                assert rows.hess[i, j, 0] == pytest.approx(wanted, rel=1e-8)
