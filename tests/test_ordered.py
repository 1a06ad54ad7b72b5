"""Ordered logit and probit against mpmath, statsmodels, R, and what is known of them exactly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mpmath import mp, mpf
from scipy import optimize, stats
from statsmodels.miscmodels.ordinal_model import OrderedModel
from statsmodels.tools.sm_exceptions import ConvergenceWarning

import mlekit
from mlekit.families import OrderedLogit, OrderedProbit
from mlekit.families.categorical import Categorical
from tests.level_cases import R, maximum, sixty

FAMILIES: dict[str, type[Categorical]] = {"ordered_logit": OrderedLogit, "ordered_probit": OrderedProbit}
each_family = pytest.mark.parametrize("name", FAMILIES)

LOCATIONS = (0.0, 0.1, -5.0, 12.1, -30.0, 700.0)
#: Near and far, narrow intervals in the middle and in the tails, one of a single rounding error.
CUTPOINTS = (
    (-1.0, 0.0, 1.0),
    (-1.0, -0.999, 1e-3),
    (0.0, 1e-8, 2e-8),
    (-1e-12, 1e-12, 40.0),
    (-690.0, 0.5, 690.0),
    (3.0, 3.0 + 2**-51, 38.0),
    (11.0, 11.5, 13.0),
)


def make(name: str) -> Categorical:
    return FAMILIES[name]().of_levels(list("abcd"))


# ------------------------------------------------------------------------------------------------ mpmath

#: P(error > x).
TAILS: dict[str, Callable[[Any], Any]] = {
    "ordered_logit": lambda x: 1 / (1 + mp.exp(x)),
    "ordered_probit": lambda x: mp.erfc(x / mp.sqrt(2)) / 2,
}


def log_density(name: str, code: int) -> Callable[..., Any]:
    """Textbook log-probability of a code, of whichever tails are small, as they are known to all digits."""
    tail = TAILS[name]

    def value(location: Any, *cuts: Any) -> Any:
        below = tail(location - cuts[code - 1]) if code else mpf(0)
        above = tail(cuts[code] - location) if code < len(cuts) else mpf(0)
        if below + above < 0.5:
            return mp.log1p(-below - above)
        if not code:
            return mp.log(tail(location - cuts[0]))
        if code == len(cuts):
            return mp.log(tail(cuts[-1] - location))
        if below < above:
            return mp.log(tail(location - cuts[code]) - below)
        return mp.log(tail(cuts[code - 1] - location) - above)

    return value


def close(got: float, want: Any, noise: Any = 0) -> bool:
    return bool(abs(mpf(float(got)) - want) <= 5e-13 * abs(want) + noise)


@pytest.mark.parametrize("location", LOCATIONS)
@each_family
def test_rows_against_mpmath(name: str, location: float) -> None:
    """Value, gradient and Hessian; a difference of 40 digits does not see what is 1e-25 of the function."""
    family = make(name)
    for cuts in CUTPOINTS:
        at = (location, *cuts)
        for code in range(4):
            rows = family.rows(np.array([float(code)]), *(np.array([x]) for x in at))
            with mp.workdps(40):
                f, point = log_density(name, code), tuple(map(mpf, at))
                value = f(*point)
                noise = 1e-25 * abs(value) + mpf(10) ** -305
                assert close(rows.value[0], value, mpf(10) ** -305), (at, code)
                for i in range(4):
                    first = [int(k == i) for k in range(4)]
                    assert close(rows.grad[i, 0], mp.diff(f, point, tuple(first)), noise), (at, code, i)
                    for j in range(i + 1):
                        both = tuple(a + int(k == j) for k, a in enumerate(first))
                        assert close(rows.hess[i, j, 0], mp.diff(f, point, both), noise), (at, code, i, j)
                        assert rows.hess[i, j, 0] == rows.hess[j, i, 0]


# ------------------------------------------------------------------------------------------------ facts


def everywhere(family: Categorical) -> list[np.ndarray]:
    return [np.array(column) for column in zip(*((m, *cuts) for m in LOCATIONS for cuts in CUTPOINTS), strict=True)]


@each_family
def test_probabilities_add_up_and_are_those_of_the_density(name: str) -> None:
    family = make(name)
    theta = everywhere(family)
    found = family.probabilities(*theta)
    np.testing.assert_allclose(found.sum(axis=0), 1, rtol=1e-13)
    for code, share in enumerate(found):
        np.testing.assert_allclose(share, np.exp(family.logpdf(np.full_like(theta[0], code), *theta)), rtol=1e-14)
        below = found[: code + 1].sum(axis=0)
        np.testing.assert_allclose(family.cdf(np.float64(code), *theta), below, rtol=1e-11, atol=1e-15)
        np.testing.assert_allclose(np.exp(family.logsf(code + 0.5, *theta)), 1 - below, rtol=1e-11, atol=1e-15)


@each_family
def test_family_agrees_with_its_own_density(name: str) -> None:
    given = {"location": [0.3, -2, 1, 5], "a|b": -1.0, "b|c": 0.2, "c|d": 1.5}
    record = make(name).check([0, 1, 2, 3], **given)
    assert record, record
    compared = {line.what for line in record.lines if line.agrees}
    assert compared >= {"total probability", "rows: d2/da|b db|c", "information: a|b, b|c", "cdf", "logsf"}


# ------------------------------------------------------------------------------------------------ fits


@each_family
def test_fit_is_the_maximum_of_the_textbook_likelihood(name: str) -> None:
    data, result = sixty(), mlekit.fit("y ~ x + z", sixty(), name)
    assert list(result.params.index) == ["x", "z", "0|1", "1|2", "2|3"]
    rows = [(mpf(x), mpf(z), log_density(name, int(y))) for x, z, y in data.itertuples(index=False)]

    def log_likelihood(x: Any, z: Any, *cuts: Any) -> Any:
        return mp.fsum(f(x * a + z * b, *cuts) for a, b, f in rows)

    params, errors, value = maximum(log_likelihood, result.params)
    np.testing.assert_allclose(result.params, params, rtol=1e-11)
    np.testing.assert_allclose(result.bse, errors, rtol=1e-11)
    assert result.llf == pytest.approx(value, rel=1e-14)


@each_family
def test_fit_as_r(name: str) -> None:
    result = mlekit.fit("y ~ x + z", sixty(), name)
    params, errors, value = R[name]
    np.testing.assert_allclose(result.params, params, rtol=2e-7)
    np.testing.assert_allclose(result.bse, errors, rtol=2e-6)
    assert result.llf == pytest.approx(value, rel=1e-12)


@each_family
def test_fit_as_statsmodels(name: str) -> None:
    rng = np.random.default_rng(5)
    data = pd.DataFrame({"x": rng.normal(size=500), "g": rng.choice(list("abc"), 500)})
    latent = 0.8 * data.x + 0.7 * (data.g == "b") + rng.logistic(size=500)
    data["y"] = pd.cut(latent, [-np.inf, -1, 0, 1.5, np.inf], labels=["no", "hm", "ok", "yes"])
    ours = mlekit.fit("y ~ x + g", data, name)
    design = np.column_stack([data.g == "b", data.g == "c", data.x]).astype(float)
    model = OrderedModel(data.y, design, distr=name.removeprefix("ordered_"))
    cuts = ours.params.to_numpy()[3:]
    theirs = np.concatenate([ours.params[:3], cuts[:1], np.log(np.diff(cuts))])
    assert model.loglike(theirs) == pytest.approx(ours.llf, rel=1e-13)
    polished = optimize.root(model.score, theirs + 1e-3, tol=1e-12).x  # of numerical derivatives
    np.testing.assert_allclose(theirs, polished, rtol=1e-7)
    information = -model.hessian(theirs)  # by differences of differences: good to five or six digits
    np.testing.assert_allclose(ours.bse[:3], np.sqrt(np.diag(np.linalg.inv(information)))[:3], rtol=1e-5)
    np.testing.assert_allclose(ours.predict(what="probabilities"), model.predict(theirs), rtol=1e-12)
    assert ours.llnull == pytest.approx(model.loglike(np.r_[[0] * 3, null_thresholds(name, data.y)]), rel=1e-13)
    assert (ours.df_model, ours.df_resid) == (3, 494)


def quantile(name: str, share: Any) -> Any:
    return stats.logistic.ppf(share) if name == "ordered_logit" else stats.norm.ppf(share)


def null_thresholds(name: str, y: pd.Series) -> np.ndarray:
    cuts = quantile(name, np.cumsum(y.value_counts(normalize=True, sort=False))[:-1])
    return np.r_[cuts[0], np.log(np.diff(cuts))]


@each_family
@pytest.mark.parametrize("formula", ["y ~ 1", "y ~ 0", "y ~ 1 + 0"])
def test_cutpoints_without_covariates_are_quantiles_of_the_shares(name: str, formula: str) -> None:
    y = np.repeat([2, 3, 7, 11], [5, 40, 1, 14])
    result = mlekit.fit(formula, {"y": y}, name)
    assert list(result.params.index) == ["2|3", "3|7", "7|11"]
    np.testing.assert_allclose(result.params, quantile(name, np.array([5, 45, 46]) / 60), rtol=1e-12)
    assert result.llf == pytest.approx(np.sum([n * np.log(n / 60) for n in (5, 40, 1, 14)]), rel=1e-14)
    assert result.df_model == 0


@each_family
def test_groups_alone_have_their_shares_of_two_levels(name: str) -> None:
    data = {"y": np.repeat([0, 1, 0, 1], [3, 9, 8, 2]), "g": np.repeat(["a", "b"], [12, 10])}
    result = mlekit.fit("y ~ g", data, name)
    found = result.predict({"g": ["a", "b"]}, what="probabilities")
    np.testing.assert_allclose(found, [[3 / 12, 9 / 12], [8 / 10, 2 / 10]], rtol=1e-10)


@each_family
def test_two_levels_are_a_bernoulli(name: str) -> None:
    data = sixty().assign(y=sixty().y > 1)
    result = mlekit.fit("y ~ x + z", data, name)
    known = mlekit.fit("y ~ x + z", data, mlekit.Bernoulli(p=name.removeprefix("ordered_")))
    np.testing.assert_allclose(result.params, [*known.params[1:], -known.params.iloc[0]], rtol=1e-10)
    np.testing.assert_allclose(result.bse, [*known.bse[1:], known.bse.iloc[0]], rtol=1e-9)
    assert (result.llf, result.llnull) == pytest.approx((known.llf, known.llnull), rel=1e-13)
    np.testing.assert_allclose(result.predict(what="probabilities")[True], known.predict(), rtol=1e-10)


@each_family
def test_order_of_levels_units_and_rows(name: str) -> None:
    data, result = sixty(), mlekit.fit("y ~ x + z", sixty(), name)
    turned = mlekit.fit("y ~ x + z", data.assign(y=3 - data.y), name)
    np.testing.assert_allclose(turned.params, -result.params.to_numpy()[[0, 1, 4, 3, 2]], rtol=1e-12)
    moved = mlekit.fit("y ~ x + z", data.assign(x=data.x * 1e9, z=data.z + 2000)[::-1], name)
    assert moved.converged
    np.testing.assert_allclose(moved.params[["x", "z"]] * [1e9, 1], result.params[["x", "z"]], rtol=1e-11)
    np.testing.assert_allclose(moved.bse[["x", "z"]] * [1e9, 1], result.bse[["x", "z"]], rtol=1e-11)
    np.testing.assert_allclose(moved.params.iloc[2:] - 2000 * moved.params["z"], result.params.iloc[2:], rtol=1e-9)
    assert (turned.llf, moved.llf) == pytest.approx((result.llf,) * 2, rel=1e-12)


@each_family
@pytest.mark.parametrize("method", ["bfgs", "fisher", "gd", "nelder-mead"])
def test_other_methods_find_the_same(name: str, method: str) -> None:
    newton, other = (mlekit.fit("y ~ x", sixty(), name, method=m) for m in ("newton", method))
    np.testing.assert_allclose(other.params, newton.params, atol=1e-4 * newton.bse.max())


@each_family
def test_covariances(name: str) -> None:
    """Of a big sample of its own all are the same; the sandwich and the products are of statsmodels' score rows."""
    small = mlekit.fit("y ~ x + z", sixty(), name)
    model = OrderedModel(sixty().y, sixty()[["x", "z"]], distr=name.removeprefix("ordered_"))
    cuts = small.params.to_numpy()[2:]
    theirs = np.r_[small.params[:2], cuts[0], np.log(np.diff(cuts))]
    # Back from the logs of differences to cutpoints.
    jacobian = np.zeros((5, 5))
    jacobian[:2, :2], jacobian[2:, 2] = np.eye(2), 1
    jacobian[3:, 3], jacobian[4, 4] = np.diff(cuts)[0], np.diff(cuts)[1]
    rows, steps = [], 1e-5
    for j in range(5):
        step = steps * (np.arange(5) == j)
        rows.append((model.loglikeobs(theirs + step) - model.loglikeobs(theirs - step)) / (2 * steps))
    score = np.array(rows).T @ np.linalg.inv(jacobian)
    products, bread = score.T @ score, small.cov_params().to_numpy()
    for cov_type, want in (("opg", np.linalg.inv(products)), ("HC0", bread @ products @ bread)):
        np.testing.assert_allclose(
            mlekit.fit("y ~ x + z", sixty(), name, cov_type=cov_type).bse, np.sqrt(np.diag(want)), rtol=1e-6
        )


@each_family
def test_expected_information_is_that_of_all_responses(name: str) -> None:
    """Each row with every level, as often as its probability says: there, observed information is the expected one."""
    result = mlekit.fit("y ~ x + z", sixty(), name)
    shares = result.predict(what="probabilities")
    every = pd.concat([sixty().assign(y=level, w=shares[level]) for level in shares.columns])
    again = mlekit.fit("y ~ x + z", every, name, weights="w")
    np.testing.assert_allclose(again.params, result.params, rtol=1e-9)
    np.testing.assert_allclose(mlekit.fit("y ~ x + z", sixty(), name, cov_type="eim").bse, again.bse, rtol=1e-9)


@each_family
def test_recovered_from_its_own_simulation(name: str) -> None:
    result = mlekit.fit("y ~ x + z", pd.concat([sixty()] * 50, ignore_index=True), name)
    drawn = result.simulate(seed=3)["sim_1"]
    data = pd.concat([sixty()] * 50, ignore_index=True).assign(y=drawn.astype(int))
    again = mlekit.fit("y ~ x + z", data, name)
    assert (np.abs(again.params - result.params) < 3.5 * again.bse).all()
    counts, expected = drawn.value_counts(sort=False).sort_index(), result.predict(what="probabilities").sum()
    assert (np.abs(counts - expected) < 4 * np.sqrt(expected)).all()


# ------------------------------------------------------------------------------------------------ cutpoints, one by one


@each_family
def test_a_formula_for_every_cutpoint_is_a_bernoulli_of_two_levels(name: str) -> None:
    """All cutpoints with the covariate, and no location: with three levels, saturated in a group."""
    data = {"y": np.repeat([0, 1, 2, 0, 1, 2], [4, 3, 5, 2, 6, 1]), "g": np.repeat([0, 1], [12, 9])}
    result = mlekit.fit({"location": "y ~ 1", "0|1": "~ g", "1|2": "~ g"}, data, name)
    assert list(result.params.index) == ["0|1", "0|1_g", "1|2", "1|2_g"]
    low, high = quantile(name, np.array([4, 7]) / 12), quantile(name, np.array([2, 8]) / 9)
    np.testing.assert_allclose(result.params, [low[0], high[0] - low[0], low[1], high[1] - low[1]], rtol=1e-10)


@each_family
def test_cutpoints_that_cross_have_no_probabilities(name: str) -> None:
    data = {"y": np.repeat([0, 1, 2, 0, 1, 2], [4, 3, 5, 2, 6, 1]), "g": np.repeat([0, 1], [12, 9])}
    result = mlekit.fit({"location": "y ~ 1", "0|1": "~ g", "1|2": "~ g"}, data, name)
    with pytest.warns(RuntimeWarning, match="1 of 2 rows have no probabilities, only NaN, the first of them number 1"):
        found = result.predict({"g": [0.0, -9.0, np.nan]}, what="probabilities")
    np.testing.assert_allclose(found.loc[0], [4 / 12, 3 / 12, 5 / 12], rtol=1e-10)
    assert found.loc[1:].isna().all(axis=None)
    with pytest.warns(RuntimeWarning, match="no probabilities"):
        assert result.predict({"g": [0.0, -9.0]}, what="level").isna().tolist() == [False, True]


@each_family
def test_crossed_cutpoints_give_no_number(name: str) -> None:
    family, theta = make(name), [np.zeros(2), np.array([-1.0, 1.0]), np.array([0.0, 0.0]), np.array([1.0, 2.0])]
    for code in range(4):
        y = np.full(2, float(code))
        assert np.isneginf(family.logpdf(y, *theta)).tolist() == [False, True]
        for found in (family.cdf(y, *theta), family.logcdf(y, *theta), family.logsf(y, *theta)):
            assert np.isnan(found).tolist() == [False, True]
    assert np.isnan(family.ppf(np.full(2, 0.4), *theta)).tolist() == [False, True]
    assert np.isnan(family.probabilities(*theta)).any(axis=0).tolist() == [False, True]


@each_family
@pytest.mark.parametrize(
    "fixed",
    [{"1|2": 1.6}, {"0|1": 1.8}, {"2|3": -1.5}, {"0|1": -0.1, "2|3": 0.1}],
    ids=["middle", "lowest", "highest", "narrow"],
)
def test_cutpoints_that_are_held(name: str, fixed: dict[str, float]) -> None:
    """On the far side of where the others would be; these are where statsmodels' likelihood is largest."""
    result = mlekit.fit("y ~ x", sixty(), name, fixed=fixed)
    assert result.converged
    model = OrderedModel(sixty().y, sixty()[["x"]], distr=name.removeprefix("ordered_"))
    free = list(result.params.index)

    def value(at: np.ndarray) -> float:
        every = fixed | dict(zip(free, at, strict=True))
        cuts = np.array([every[cut] for cut in ("0|1", "1|2", "2|3")])
        return model.loglike(np.r_[every["x"], cuts[0], np.log(np.diff(cuts))])

    best = value(result.params.to_numpy())
    assert best == pytest.approx(result.llf, rel=1e-12)
    for j in range(len(free)):
        step = 1e-3 * result.bse.iloc[j] * (np.arange(len(free)) == j)
        up, down = value(result.params + step), value(result.params - step)
        assert abs(up - down) < 1e-3 * (2 * best - up - down)  # within half a millionth of a standard error


def test_cutpoints_held_out_of_order() -> None:
    with pytest.raises(ValueError, match=r"fixed has 0\|1 = 0.5 and 1\|2 = 0.2: cutpoints increase"):
        mlekit.fit("y ~ x", sixty(), "ordered_logit", fixed={"0|1": 0.5, "1|2": 0.2})
    with pytest.raises(ValueError, match=r"has no intercept to hold: its cutpoints are 0\|1, 1\|2, 2\|3"):
        mlekit.fit("y ~ x", sixty(), "ordered_logit", fixed={"Intercept": 0.5})


# ------------------------------------------------------------------------------------------------ no maximum


@each_family
@pytest.mark.parametrize(
    ("y", "x"),
    [
        (np.repeat([0, 1, 2], 4), np.arange(12.0)),
        (np.repeat([0, 1, 2], 4), np.repeat([0.0, 0.0, 1.0], 4)),
        (np.repeat([0, 1], 4), np.arange(8.0)),
    ],
    ids=["complete", "one level", "two levels"],
)
def test_separated_levels_do_not_converge(name: str, y: np.ndarray, x: np.ndarray) -> None:
    for method in ("newton", "bfgs", "fisher", "gd"):
        with pytest.warns(ConvergenceWarning):
            result = mlekit.fit("y ~ x", {"y": y, "x": x}, name, method=method)
        assert not result.converged


@each_family
def test_a_constant_beside_the_cutpoints(name: str) -> None:
    data = sixty().assign(one=2.0, g=np.resize(list("ab"), 60))
    for formula in ("y ~ x + one", "y ~ 0 + g"):
        with pytest.raises(ValueError, match="can add up to a constant, and so can the cutpoints"):
            mlekit.fit(formula, data, name)


@each_family
def test_twenty_levels(name: str) -> None:
    rng = np.random.default_rng(8)
    data = {"x": rng.normal(size=3000)}
    data["y"] = np.clip(np.round(3 * data["x"] + 4 * rng.logistic(size=3000)), -10, 9).astype(int)
    result = mlekit.fit("y ~ x", data, name)
    assert result.converged
    assert len(result.params) == 20
    assert np.all(np.diff(result.params[1:]) > 0)
    model = OrderedModel(data["y"], data["x"], distr=name.removeprefix("ordered_"))
    cuts = result.params.to_numpy()[1:]
    theirs = np.r_[result.params.iloc[0], cuts[0], np.log(np.diff(cuts))]
    assert model.loglike(theirs) == pytest.approx(result.llf, rel=1e-12)
    assert np.abs(model.score(theirs)).max() < 1e-3  # by differences
