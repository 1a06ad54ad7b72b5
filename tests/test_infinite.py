"""Estimates that are infinite: what stays finite, suprema, tests, intervals and predictions, against other programs."""

import pickle
import warnings
from typing import Any

import mpmath
import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import optimize, stats
from statsmodels.miscmodels.ordinal_model import OrderedModel
from statsmodels.tools.numdiff import approx_hess
from statsmodels.tools.sm_exceptions import ConvergenceWarning

import mlekit
from mlekit.families import Bernoulli, Binomial
from mlekit.optimize.base import Status

N = 90
CHI2 = float(stats.chi2.isf(0.05, 1))


def quiet(formula: Any, data: Any, family: Any, **how: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return mlekit.fit(formula, data, family, **how)


def groups(seed: int = 3) -> pd.DataFrame:
    """Outcomes and counts in three groups, of which the last has only ones, or only zeros."""
    rng = np.random.default_rng(seed)
    g, x = np.repeat(list("abc"), N // 3), rng.normal(size=N)
    up = 0.3 + 0.8 * x + 0.5 * (g == "b")
    data = pd.DataFrame({"g": g, "x": x, "w": rng.integers(1, 4, N), "o": rng.normal(size=N)})
    data["one"] = np.where(g == "c", 1, rng.random(N) < 1 / (1 + np.exp(-up)))
    data["count"] = np.where(g == "c", 0, rng.poisson(np.exp(up)))
    data["level"] = np.where(g == "c", 2, np.digitize(up + rng.logistic(size=N), [-0.5, 1]))
    return data


DATA = groups()
REST = DATA[DATA.g != "c"]
LINKS = {
    "logit": sm.families.links.Logit(),
    "probit": sm.families.links.Probit(),
    "cloglog": sm.families.links.CLogLog(),
    "cauchit": sm.families.links.Cauchy(),
}


def statsmodels_of(family: Any, y: str, weights: bool = False, offset: bool = False) -> Any:
    X = np.column_stack([np.ones(len(REST)), REST.g == "b", REST.x])
    return sm.GLM(
        REST[y].astype(float),
        X,
        family,
        freq_weights=REST.w if weights else None,
        offset=REST.o if offset else None,
    ).fit(tol=1e-12, maxiter=200)


@pytest.mark.parametrize("name", [*LINKS, "poisson"])
@pytest.mark.parametrize("how", ["plain", "weights", "offset"])
def test_what_stays_finite_is_that_of_the_other_rows(name: str, how: str) -> None:
    family, y = (Bernoulli(p=name), "one") if name in LINKS else ("poisson", "count")
    other = sm.families.Binomial(LINKS[name]) if name in LINKS else sm.families.Poisson()
    asked = {"weights": {"weights": "w"}, "offset": {"offset": "o"}}.get(how, {})
    with pytest.warns(ConvergenceWarning, match=r"no finite estimate.*g\[T.c\] = -?inf, because of rows 60, 61"):
        fit = mlekit.fit(f"{y} ~ g + x", DATA, family, **asked)
    want = statsmodels_of(other, y, how == "weights", how == "offset")
    assert (fit.status, fit.converged) == (Status.INFINITE, False)
    assert fit.params["g[T.c]"] == (np.inf if y == "one" else -np.inf)
    finite = ["Intercept", "g[T.b]", "x"]
    np.testing.assert_allclose(fit.params[finite], want.params, rtol=1e-5)
    if how != "weights":
        np.testing.assert_allclose(fit.with_cov("eim").bse[finite], want.bse, rtol=1e-5)
    assert fit.llf == pytest.approx(want.llf, rel=1e-10)
    assert fit.deviance == pytest.approx(want.deviance, rel=1e-8)
    assert np.isnan([fit.bse["g[T.c]"], fit.pvalues["g[T.c]"], *fit.conf_int().loc["g[T.c]"]]).all()
    assert fit.infinite["rows"]["g[T.c]"] == list(range(60, 90))
    certain = fit.fittedvalues[60:]
    assert (certain == (1 if y == "one" else 0)).all()
    np.testing.assert_allclose(fit.fittedvalues[:60], want.fittedvalues, rtol=1e-5)


def test_other_families_of_counts_and_shares() -> None:
    """As of the rows that are left, fitted by themselves."""
    cases: list[tuple[Any, str]] = [
        ("geometric", "count"),
        ("negative_binomial", "count"),
        ("negative_binomial_1", "count"),
    ]
    for family, y in cases:
        fit, rest = quiet(f"{y} ~ g + x", DATA, family), mlekit.fit(f"{y} ~ g + x", REST, family)
        assert fit.status is Status.INFINITE
        for name in rest.params.index:
            assert fit.params[name] == pytest.approx(rest.params[name], rel=1e-5), (family, name)
            assert fit.bse[name] == pytest.approx(rest.bse[name], rel=1e-5, nan_ok=True)
        assert fit.llf == pytest.approx(rest.llf, rel=1e-10)
        assert fit.predict({"g": ["c"], "x": [0.0]})[0] == 0
    table = DATA.groupby("g")["one"].agg(["sum", "count"]).assign(none=lambda t: t["count"] - t["sum"]).reset_index()
    fit = quiet("cbind(sum, none) ~ g", table.rename(columns={"sum": "sum"}), Binomial())
    assert fit.params["g[T.c]"] == np.inf
    assert fit.fittedvalues.to_numpy() == pytest.approx((table["sum"] / table["count"]).to_numpy(), rel=1e-9)


def test_zeros_of_a_continuous_response_have_no_supremum() -> None:
    data = {"y": [3.0, 5, 2, 0, 0, 0], "g": list("aaabbb")}
    with pytest.warns(ConvergenceWarning, match="density of a zero grows without limit"):
        fit = mlekit.fit("y ~ g", data, "exponential")
    assert fit.status is Status.UNBOUNDED


# ------------------------------------------------------------------------------------ levels


@pytest.mark.parametrize("name", ["logit", "probit"])
def test_ordered_levels_with_a_group_at_the_top(name: str) -> None:
    fit = quiet("level ~ g + x", DATA, f"ordered_{name}")
    X = np.column_stack([REST.g == "b", REST.x]).astype(float)
    want = OrderedModel(REST.level, X, distr=name).fit(method="bfgs", disp=0, gtol=1e-9, maxiter=1000)
    cut = want.model.transform_threshold_params(want.params)[1:-1]
    assert fit.status is Status.INFINITE
    assert fit.params["g[T.c]"] == np.inf
    np.testing.assert_allclose(fit.params[["g[T.b]", "x", "0|1", "1|2"]], [*want.params[:2], *cut], rtol=1e-5)
    assert fit.llf == pytest.approx(want.llf, rel=1e-9)


def test_ordered_levels_that_are_separated_on_one_side() -> None:
    """The lowest level is below 2, and the others overlap at 3: they say what is left of two levels."""
    data = {"y": [0, 0, 1, 1, 2, 1, 2, 2], "x": [0, 1, 3, 3, 3, 2.5, 3, 4]}
    fit = quiet("y ~ x", data, "ordered_logit")
    assert fit.params.to_dict() == {"x": np.inf, "0|1": np.inf, "1|2": np.inf}
    assert fit.llf == pytest.approx(-4 * np.log(2), rel=1e-10)  # two of each level at 3
    with pytest.raises(ValueError, match="no standard errors"):
        fit.get_prediction()
    assert fit.predict({"x": [0.0, 2.5, 5.0]}, "level").tolist() == [0, 1, 2]
    shown = fit.predict({"x": [0.0, 2.5, 3.0, 5.0]}, "probabilities").to_numpy()
    np.testing.assert_allclose(shown, [[1, 0, 0], [0, 1, 0], [0, 0.5, 0.5], [0, 0, 1]], atol=1e-9)


def test_a_level_that_a_group_never_has() -> None:
    rng = np.random.default_rng(2)
    g, x = np.repeat([0.0, 1.0], 60), rng.normal(size=120)
    y = rng.integers(0, 3, 120)
    y[(g == 1) & (y == 2)] = 1
    fit = quiet("y ~ g + x", {"y": y, "g": g, "x": x}, "multinomial_logit")

    def loss(beta: np.ndarray) -> float:
        one, two = beta[0] + beta[1] * g + beta[2] * x, beta[3] + beta[4] * x
        eta = np.stack([0 * x, one, np.where(g == 1, -np.inf, two)])
        return float((np.logaddexp.reduce(eta) - eta[y, np.arange(120)]).sum())

    want = optimize.minimize(loss, np.zeros(5), method="BFGS", options={"gtol": 1e-7})
    assert fit.params["2_g"] == -np.inf
    finite = ["1_Intercept", "1_g", "1_x", "2_Intercept", "2_x"]
    np.testing.assert_allclose(fit.params[finite], want.x, atol=1e-5)
    inverse = np.linalg.inv(approx_hess(want.x, loss))
    np.testing.assert_allclose(fit.bse[finite], np.sqrt(np.diag(inverse)), rtol=1e-4)
    assert fit.llf == pytest.approx(-want.fun, rel=1e-9)
    shown = fit.predict({"g": [0.0, 1.0], "x": [0.5, 0.5]}, "probabilities").to_numpy()
    assert shown[1, 2] == 0
    np.testing.assert_allclose(shown.sum(axis=1), 1)
    assert shown[1, 1] == pytest.approx(1 / (1 + np.exp(-(want.x[:3] @ [1, 1, 0.5]))), rel=1e-5)


# ------------------------------------------------------------------------------------ intervals


def test_the_end_of_a_separated_slope_solves_its_equations() -> None:
    y, x = [0, 0, 0, 1, 1, 1], [1, 2, 3, 4, 5, 6]
    fit = quiet("y ~ x", {"y": y, "x": x}, "bernoulli")
    interval = fit.conf_int(method="profile")

    def equations(a: Any, b: Any) -> list[Any]:
        sign = [2 * yi - 1 for yi in y]
        eta = [s * (a + b * xi) for s, xi in zip(sign, x, strict=True)]
        score = sum(s / (1 + mpmath.exp(e)) for s, e in zip(sign, eta, strict=True))
        return [score, 2 * sum(mpmath.log1p(mpmath.exp(-e)) for e in eta) - CHI2]

    _, b = mpmath.findroot(equations, (-3, 0.9))
    assert interval.loc["x", 0] == pytest.approx(float(b), rel=1e-9)
    assert interval.loc["x", 1] == np.inf
    assert interval.loc["Intercept", 0] == -np.inf


@pytest.mark.parametrize("n", [1, 4, 1000])
def test_no_event_has_the_interval_that_can_be_written_down(n: int) -> None:
    """Its likelihood is exp(-n mu), or (1 - p)**n."""
    fit = quiet("y ~ 1", {"y": np.zeros(n)}, "poisson")
    assert fit.llf == 0
    assert fit.conf_int(cols=["mu"], method="profile").to_numpy()[0] == pytest.approx([0, CHI2 / (2 * n)], rel=1e-9)
    fit = quiet("y ~ 1", {"y": np.ones(n)}, "bernoulli")
    assert fit.conf_int(cols=["p"], method="profile").to_numpy()[0] == pytest.approx([np.exp(-CHI2 / (2 * n)), 1])
    assert fit.profile("p").interval(0.1)[0] == pytest.approx(np.exp(-stats.chi2.isf(0.1, 1) / (2 * n)))


def test_a_group_of_zeros_has_the_interval_of_its_mean() -> None:
    data = {"y": [3, 5, 2, 4, 0, 0, 0, 0], "g": list("bbbbaaaa")}
    fit = quiet("y ~ g - 1", data, "poisson")
    low, high = fit.conf_int(method="profile").loc["g[a]"]
    assert (low, np.exp(high)) == (-np.inf, pytest.approx(CHI2 / 8, rel=1e-9))
    rest = mlekit.fit("y ~ 1", {"y": [3, 5, 2, 4]}, "poisson")
    np.testing.assert_allclose(
        fit.conf_int(method="profile").loc["g[b]"], rest.conf_int(method="profile").loc["Intercept"], rtol=1e-9
    )


def test_profiles_of_what_is_finite_are_those_of_the_other_rows() -> None:
    fit, rest = quiet("one ~ g + x", DATA, "bernoulli"), mlekit.fit("one ~ g + x", REST, "bernoulli")
    got, want = fit.conf_int(method="profile"), rest.conf_int(method="profile")
    np.testing.assert_allclose(got.loc[want.index], want, rtol=1e-7)
    # That of the group maximises over x too; by the likelihood itself, at a value near the end.
    end = got.loc["g[T.c]", 0]
    held = mlekit.fit("one ~ g + x", DATA, "bernoulli", fixed={"g[T.c]": end})
    assert 2 * (fit.llf - held.llf) == pytest.approx(CHI2, rel=1e-8)


def test_predictions_have_the_one_sided_intervals_of_their_means() -> None:
    data = {"y": [3, 5, 2, 4, 0, 0, 0, 0], "g": list("bbbbaaaa")}
    fit = quiet("y ~ g", data, "poisson")
    shown = fit.get_prediction({"g": ["a", "b"]}).summary_frame(obs=False)
    assert shown["mean"].tolist() == [0, pytest.approx(3.5)]
    assert (shown["mean_ci_lower"][0], shown["mean_ci_upper"][0]) == (0, pytest.approx(CHI2 / 8, rel=1e-8))
    assert np.isnan(shown["mean_se"][0])
    rest = mlekit.fit("y ~ 1", {"y": [3, 5, 2, 4]}, "poisson").get_prediction().summary_frame(obs=False)
    np.testing.assert_allclose(shown.iloc[1, :4].astype(float), rest.iloc[0, :4].astype(float), rtol=1e-8)
    fit = quiet("one ~ g + x", DATA, "bernoulli")
    shown = fit.get_prediction({"g": ["c"], "x": [0.0]}).summary_frame(obs=False)
    held = mlekit.fit("one ~ I(1 * (g == 'b')) + I(1 * (g == 'a')) + x", DATA, "bernoulli", fixed={"Intercept": 3.0})
    drop = 2 * (fit.llf - held.llf)
    found = fit.get_prediction({"g": ["c"], "x": [0.0]}).summary_frame(alpha=stats.chi2.sf(drop, 1), obs=False)
    assert found["mean_ci_lower"][0] == pytest.approx(1 / (1 + np.exp(-3.0)), rel=1e-7)
    assert shown["mean_ci_upper"][0] == found["mean_ci_upper"][0] == 1


# ------------------------------------------------------------------------------------ tests of models


def test_likelihood_ratios_are_those_of_the_suprema() -> None:
    small, large = mlekit.fit("one ~ x", DATA, "bernoulli"), quiet("one ~ g + x", DATA, "bernoulli")
    test = large.lr_test(small)
    rest = statsmodels_of(sm.families.Binomial(), "one")
    assert test.statistic == pytest.approx(2 * (rest.llf - small.llf), rel=1e-9)
    assert test.df == 2
    table = large.drop1().table
    assert table.loc["g", "LR"] == pytest.approx(test.statistic)
    assert table.loc["x", "LR"] > 0
    both = quiet("one ~ g", DATA, "bernoulli")
    assert large.lr_test(both).statistic == pytest.approx(table.loc["x", "LR"], rel=1e-9)
    assert np.isnan(large.t_test("g[T.c] = 0").pvalue)
    assert large.t_test("x = 0").pvalue == pytest.approx(large.pvalues["x"])
    assert large.term_tests().table.loc["g", "LR"] == pytest.approx(test.statistic)


# ------------------------------------------------------------------------------------ what is not determined


def test_what_depends_on_the_way_is_not_a_number() -> None:
    data = {"y": [0, 0, 1, 1], "x1": [-1.0, -2, 1, 2], "x2": [-2.0, -1, 1, 3]}
    fit = quiet("y ~ x1 + x2 - 1", data, "bernoulli")
    assert fit.params.isna().all()
    assert fit.llf == 0
    np.testing.assert_array_equal(fit.fittedvalues, data["y"])
    shown = fit.predict({"x1": [1.0, 5.0, 0.0], "x2": [1.0, -5.0, 0.0]})
    assert (shown[0], np.isnan(shown[1]), shown[2]) == (1, True, 0.5)
    assert fit.conf_int(method="profile").to_numpy().tolist() == [[-np.inf, np.inf]] * 2


@pytest.mark.parametrize("change", [lambda x: x * 1e8, lambda x: x + 1e6, lambda x: -x * 1e-9, lambda x: x * 1e-200])
def test_units_and_origins_change_nothing(change: Any) -> None:
    fit, moved = (
        quiet("one ~ g + x", DATA, "bernoulli"),
        quiet("one ~ g + x", DATA.assign(x=change(DATA.x)), "bernoulli"),
    )
    assert moved.llf == pytest.approx(fit.llf, rel=1e-9)
    assert moved.infinite["estimate"].to_dict() == fit.infinite["estimate"].to_dict()
    x = np.array([1, 2, 3, 3, 4, 5.0])
    for y in ([0, 0, 0, 1, 1, 1], [0, 0, 1, 0, 1, 1]):
        plain, other = (mlekit.check_existence("y ~ x", {"y": y, "x": v}, "bernoulli") for v in (x, change(x)))
        assert other.separated.tolist() == plain.separated.tolist()


def test_one_row_on_the_other_side_gives_an_estimate() -> None:
    rng = np.random.default_rng(4)
    x = np.sort(rng.normal(size=200))
    y = (x > 0.1).astype(int)
    y[[5, 190]] = 1 - y[[5, 190]]
    data = {"y": y, "x": x}
    assert mlekit.fit("y ~ x", data, "bernoulli").status is Status.CONVERGED
    assert mlekit.check_existence("y ~ x", data, "bernoulli").exists is True


def test_restrictions_give_an_estimate() -> None:
    for how in ({"penalty": mlekit.Ridge(1.0)}, {"bounds": {"g[T.c]": (-5, 5)}}):
        assert mlekit.fit("one ~ g + x", DATA, "bernoulli", **how).status is Status.CONVERGED


def test_existence_is_not_claimed_where_a_family_says_nothing() -> None:
    assert mlekit.check_existence("x ~ g", DATA, "normal").exists is None
    assert mlekit.check_existence("count ~ x", DATA, "poisson").exists is True
    assert mlekit.check_existence("count ~ g", DATA, "poisson").exists is False


def test_results_can_be_kept() -> None:
    fit = quiet("one ~ g + x", DATA, "bernoulli")
    new = {"g": ["a", "c"], "x": [0.5, 0.5]}
    want = fit.predict(new)
    for kept in (pickle.loads(pickle.dumps(fit)), fit):
        kept.remove_data()
        pd.testing.assert_series_equal(kept.predict(new), want)
        assert "g[T.c] = inf" in kept.summary().as_text().replace("\n    ", " ")
