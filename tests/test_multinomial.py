"""Multinomial logit against mpmath, statsmodels, scikit-learn, R, and what is known of it exactly."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mpmath import mp, mpf
from sklearn.linear_model import LogisticRegression
from statsmodels.discrete.discrete_model import MNLogit
from statsmodels.tools.sm_exceptions import ConvergenceWarning

import mlekit
from mlekit.families import MultinomialLogit
from tests.level_cases import R, maximum, sixty

NAME = "multinomial_logit"
SIZES = (0.0, 0.1, -5.0, 5.0, 30.0, -30.0, 700.0, -700.0)


def make(levels: str = "abc") -> Any:
    return MultinomialLogit().of_levels(list(levels))


def log_density(code: int) -> Any:
    """Textbook log-probability; by what the others have where that is little."""

    def value(*eta: Any) -> Any:
        seen = (mpf(0), *eta)
        return -mp.log1p(mp.fsum(mp.exp(e - seen[code]) for j, e in enumerate(seen) if j != code))

    return value


# ------------------------------------------------------------------------------------------------ the density


@pytest.mark.parametrize("first", SIZES)
def test_rows_against_mpmath(first: float) -> None:
    family = make()
    for second, code in product((*SIZES, first, first + 1e-9), range(3)):
        at = (first, second)
        rows = family.rows(np.array([float(code)]), *(np.array([e]) for e in at))
        with mp.workdps(40):
            f, point = log_density(code), tuple(map(mpf, at))
            wanted = [(rows.value[0], f(*point))]
            wanted += [(rows.grad[i, 0], mp.diff(f, point, tuple(int(i == k) for k in range(2)))) for i in range(2)]
            for i, j in product(range(2), repeat=2):
                both = tuple(int(i == k) + int(j == k) for k in range(2))
                wanted.append((rows.hess[i, j, 0], mp.diff(f, point, both)))
            noise = mpf(10) ** -300 + 1e-25 * abs(wanted[0][1])
            for n, (got, want) in enumerate(wanted):
                assert abs(mpf(float(got)) - want) <= 1e-13 * abs(want) + noise, (at, code, n)


def test_probabilities_add_up_and_are_those_of_the_density() -> None:
    family, eta = make(), [np.array(e) for e in zip(*product(SIZES, SIZES), strict=True)]
    found = family.probabilities(*eta)
    np.testing.assert_allclose(found.sum(axis=0), 1, rtol=1e-14)
    for code, share in enumerate(found):
        np.testing.assert_allclose(share, np.exp(family.logpdf(np.full_like(eta[0], code), *eta)), rtol=1e-13)
        np.testing.assert_allclose(family.cdf(np.float64(code), *eta), found[: code + 1].sum(axis=0), rtol=1e-14)


def test_family_agrees_with_its_own_density() -> None:
    record = make().check([0, 1, 2], b=[0.4, -3, 20], c=[-1, 2, 0.1])
    assert record, record
    compared = {line.what for line in record.lines if line.agrees}
    assert compared >= {"total probability", "rows: d2/db dc", "information: b, c", "cdf"}


def test_information_is_the_covariance_of_the_indicators() -> None:
    share = make().probabilities(np.array([0.3]), np.array([-1.2]))[1:, 0]
    want = np.diag(share) - np.outer(share, share)
    np.testing.assert_allclose(make().information(np.array([0.3]), np.array([-1.2]))[:, :, 0], want, rtol=1e-14)


# ------------------------------------------------------------------------------------------------ fits


def test_fit_is_the_maximum_of_the_textbook_likelihood() -> None:
    result = mlekit.fit("y ~ x + z", sixty(), NAME)
    assert list(result.params.index) == [f"{level}_{name}" for level in "123" for name in ("Intercept", "x", "z")]
    rows = [((1, mpf(x), mpf(z)), log_density(int(y))) for x, z, y in sixty().itertuples(index=False)]

    def log_likelihood(*beta: Any) -> Any:
        parts = [beta[i : i + 3] for i in (0, 3, 6)]
        return mp.fsum(f(*(mp.fdot(zip(part, x, strict=True)) for part in parts)) for x, f in rows)

    params, errors, value = maximum(log_likelihood, result.params)
    np.testing.assert_allclose(result.params, params, rtol=1e-11)
    np.testing.assert_allclose(result.bse, errors, rtol=1e-11)
    assert result.llf == pytest.approx(value, rel=1e-14)


def test_fit_as_r() -> None:
    result = mlekit.fit("y ~ x + z", sixty(), NAME)
    params, errors, value = R[NAME]
    np.testing.assert_allclose(result.params, params, rtol=3e-7)
    np.testing.assert_allclose(result.bse, errors, rtol=3e-7)
    assert result.llf == pytest.approx(value, rel=1e-13)


def test_fit_as_statsmodels() -> None:
    ours = mlekit.fit("y ~ x + z", sixty(), NAME)
    design = np.column_stack([np.ones(60), sixty().x, sixty().z])
    theirs = MNLogit(sixty().y, design).fit(disp=0, method="newton", tol=1e-14, maxiter=50)
    np.testing.assert_allclose(ours.params, theirs.params.to_numpy().T.ravel(), rtol=1e-11)
    np.testing.assert_allclose(ours.bse, theirs.bse.to_numpy().T.ravel(), rtol=1e-11)
    np.testing.assert_allclose(ours.predict(what="probabilities"), theirs.predict(), rtol=1e-11)
    for fact in ("llf", "aic", "bic"):
        assert getattr(ours, fact) == pytest.approx(getattr(theirs, fact), rel=1e-13), fact
    for fact in ("llnull", "llr", "llr_pvalue", "prsquared"):  # theirs is found by a search
        assert getattr(ours, fact) == pytest.approx(getattr(theirs, fact), rel=1e-6), fact
    assert (ours.df_model, ours.df_resid) == (theirs.df_model, theirs.df_resid)
    for cov_type in ("opg", "HC0"):
        score = theirs.model.score_obs(theirs.params.to_numpy())
        bread = np.linalg.inv(-theirs.model.hessian(theirs.params.to_numpy()))
        want = np.linalg.inv(score.T @ score) if cov_type == "opg" else bread @ score.T @ score @ bread
        robust = mlekit.fit("y ~ x + z", sixty(), NAME, cov_type=cov_type)
        np.testing.assert_allclose(robust.bse, np.sqrt(np.diag(want)), rtol=1e-9)
    np.testing.assert_allclose(mlekit.fit("y ~ x + z", sixty(), NAME, cov_type="eim").bse, ours.bse, rtol=1e-11)


def test_fit_as_scikit_learn() -> None:
    result = mlekit.fit("y ~ x + z", sixty(), NAME)
    other = LogisticRegression(C=np.inf, tol=1e-12, solver="newton-cg", max_iter=1000).fit(
        sixty()[["x", "z"]], sixty().y
    )
    theirs = np.column_stack([other.intercept_, other.coef_])
    np.testing.assert_allclose(result.params, (theirs[1:] - theirs[0]).ravel(), rtol=1e-6)
    np.testing.assert_array_equal(result.predict(what="level"), other.predict(sixty()[["x", "z"]]))


def test_without_covariates_are_the_log_odds_of_the_shares() -> None:
    result = mlekit.fit("y ~ 1", {"y": np.repeat(list("cab"), [5, 40, 15])}, NAME)
    assert result.params.to_dict() == pytest.approx({"b_Intercept": np.log(15 / 40), "c_Intercept": np.log(5 / 40)})
    # The variance of a log of two counts is the sum of their inverses.
    np.testing.assert_allclose(result.bse, np.sqrt([1 / 15 + 1 / 40, 1 / 5 + 1 / 40]), rtol=1e-12)


def test_groups_have_their_shares() -> None:
    counts = [[3, 9, 4], [8, 2, 1]]
    y = np.concatenate([np.repeat(list("abc"), count) for count in counts])
    result = mlekit.fit("y ~ g", {"y": y, "g": np.repeat(["u", "v"], [16, 11])}, NAME)
    found = result.predict({"g": ["u", "v"]}, what="probabilities")
    np.testing.assert_allclose(found, [np.array(count) / sum(count) for count in counts], rtol=1e-12)


@pytest.mark.parametrize("kind", ["text", "bool", "int"])
def test_two_levels_are_a_bernoulli(kind: str) -> None:
    y = sixty().y > 1
    data = sixty().assign(y={"text": np.where(y, "yes", "no"), "bool": y, "int": y.astype(int)}[kind])
    result, known = (mlekit.fit("y ~ x + z", data, family) for family in (NAME, "bernoulli"))
    np.testing.assert_allclose(result.params, known.params, rtol=1e-10)
    np.testing.assert_allclose(result.bse, known.bse, rtol=1e-10)
    assert (result.llf, result.llnull) == pytest.approx((known.llf, known.llnull), rel=1e-13)


def test_another_reference_level_is_the_same_model() -> None:
    result = mlekit.fit("y ~ x + z", sixty(), NAME)
    turned = mlekit.fit("C(y, levels=[2, 0, 1, 3]) ~ x + z", sixty(), NAME)
    a, b = ([fit.params[f"{level}_x"] for level in levels] for fit, levels in ((result, "123"), (turned, "013")))
    np.testing.assert_allclose(b, [-a[1], a[0] - a[1], a[2] - a[1]], rtol=1e-10)
    assert turned.llf == pytest.approx(result.llf, rel=1e-14)
    same = turned.predict(what="probabilities")[[0, 1, 2, 3]]
    np.testing.assert_allclose(same, result.predict(what="probabilities"), rtol=1e-11)


def test_units_and_order_of_rows() -> None:
    result = mlekit.fit("y ~ x + z", sixty(), NAME)
    moved = mlekit.fit("y ~ x + z", sixty().assign(x=sixty().x * 1e-9, z=sixty().z + 1e5)[::-1], NAME)
    for level in "123":
        assert moved.params[f"{level}_x"] * 1e-9 == pytest.approx(result.params[f"{level}_x"], rel=1e-9)
        assert moved.bse[f"{level}_z"] == pytest.approx(result.bse[f"{level}_z"], rel=1e-8)


@pytest.mark.parametrize("method", ["bfgs", "fisher", "gd", "nelder-mead"])
def test_other_methods_find_the_same(method: str) -> None:
    newton, other = (mlekit.fit("y ~ x", sixty(), NAME, method=m) for m in ("newton", method))
    assert other.converged
    np.testing.assert_allclose(other.params, newton.params, atol=1e-4 * newton.bse.min())


# ------------------------------------------------------------------------------------------------ formulas of their own


def test_a_formula_for_every_level_is_the_plain_one_with_coefficients_held() -> None:
    plain = mlekit.fit("y ~ x + z", sixty(), NAME, fixed={"1_z": 0, "2_x": 0, "3_x": 0, "3_z": 0})
    own = mlekit.fit({"1": "y ~ x", "2": "~ z"}, sixty(), NAME)
    assert list(own.params.index) == ["1_Intercept", "1_x", "2_Intercept", "2_z", "3_Intercept"]
    np.testing.assert_allclose(own.params, plain.params, rtol=1e-10)
    again = mlekit.fit({2: "~ z", 1: "y ~ x"}, sixty(), NAME)  # the response in any, levels as they are
    assert again.params.equals(own.params)


def test_an_offset_of_a_level() -> None:
    """One that is what the coefficient says leaves nothing of it."""
    plain = mlekit.fit("y ~ x", sixty(), NAME)
    offset = {"2": plain.params["2_x"] * sixty().x}
    shifted = mlekit.fit("y ~ x", sixty(), NAME, offset=offset)
    assert abs(shifted.params["2_x"]) < 1e-10
    kept = [name for name in plain.params.index if name != "2_x"]
    np.testing.assert_allclose(shifted.params[kept], plain.params[kept], rtol=1e-9)
    new = {"x": [0.5, -1.0]}
    found = shifted.predict(new, what="probabilities", offset={"2": plain.params["2_x"] * np.array(new["x"])})
    np.testing.assert_allclose(found, plain.predict(new, what="probabilities"), rtol=1e-9)
    with pytest.raises(ValueError, match=r"needs a level: give a dict, as in offset=\{'1': ...\}"):
        mlekit.fit("y ~ x", sixty(), NAME, offset="z")


def test_one_slope_for_two_levels_is_a_bernoulli_of_either() -> None:
    """Which of the two it is has the same odds in all rows then."""
    data = sixty().assign(y=np.array(list("aabc"))[sixty().y])
    tied = mlekit.fit("y ~ x", data, NAME, constraints="b_x = c_x")
    either = mlekit.fit("y ~ x", data.assign(y=data.y != "a"), "bernoulli")
    counts = data.y.value_counts()[["b", "c"]].to_numpy()
    shares = counts / counts.sum()
    np.testing.assert_allclose(tied.params[["b_x", "c_x"]], [either.params["x"]] * 2, rtol=1e-9)
    np.testing.assert_allclose(tied.bse["b_x"], either.bse["x"], rtol=1e-9)
    starts = either.params["Intercept"] + np.log(shares)
    np.testing.assert_allclose(tied.params[["b_Intercept", "c_Intercept"]], starts, rtol=1e-9)
    assert tied.llf == pytest.approx(either.llf + counts @ np.log(shares), rel=1e-12)


def test_matrices_describe_every_level() -> None:
    X = np.column_stack([np.ones(60), sixty().x])
    plain = mlekit.fit("y ~ x", sixty(), NAME)
    made = mlekit.Model.from_arrays(sixty().y, X, NAME, names=["one", "x"]).fit()
    np.testing.assert_allclose(made.params, plain.params, rtol=1e-12)
    assert list(made.params.index)[:2] == ["1_one", "1_x"]
    for new in (X[:3], pd.DataFrame({"x": X[:3, 1], "one": 1.0})):
        found = made.predict(new, what="probabilities")
        np.testing.assert_allclose(found, plain.predict(what="probabilities")[:3], rtol=1e-11)
    some = mlekit.Model.from_arrays(sixty().y, {1: X, 2: X}, NAME).fit()
    assert list(some.params.index) == ["1_x1", "1_x2", "2_x1", "2_x2", "3_Intercept"]
    assert some.predict({1: X, 2: X}, what="probabilities").shape == (60, 4)


# ------------------------------------------------------------------------------------------------ the edge


@pytest.mark.parametrize("method", ["newton", "bfgs", "fisher", "gd"])
@pytest.mark.parametrize("x", [np.arange(12.0), np.repeat([0.0, 0.0, 1.0], 4)], ids=["complete", "one level"])
def test_separated_levels_do_not_converge(method: str, x: np.ndarray) -> None:
    with pytest.warns(ConvergenceWarning):
        result = mlekit.fit("y ~ x", {"y": np.repeat([0, 1, 2], 4), "x": x}, NAME, method=method)
    assert not result.converged


def test_a_prior_gives_separated_levels_an_estimate() -> None:
    data = {"y": list("aabb"), "x": [1.0, 2, 3, 4]}
    result, known = (mlekit.fit("y ~ x", data, f, penalty=mlekit.Ridge(1.0)) for f in (NAME, "bernoulli"))
    assert result.converged
    np.testing.assert_allclose(result.params, known.params, rtol=1e-9)


def test_a_null_without_covariates_or_intercepts() -> None:
    result = mlekit.fit("y ~ 0", sixty(), NAME)
    assert result.llf == pytest.approx(60 * np.log(1 / 4), rel=1e-14)


def test_twenty_levels_as_statsmodels() -> None:
    rng = np.random.default_rng(8)
    x, y = rng.normal(size=3000), rng.integers(0, 20, 3000)
    result = mlekit.fit("y ~ x", {"x": x, "y": y}, NAME)
    assert result.converged
    theirs = MNLogit(y, np.column_stack([np.ones(3000), x])).fit(disp=0, method="newton", tol=1e-14)
    np.testing.assert_allclose(result.params, theirs.params.T.ravel(), rtol=1e-9)
    np.testing.assert_allclose(result.bse, theirs.bse.T.ravel(), rtol=1e-9)


def test_recovered_from_its_own_simulation() -> None:
    data = pd.concat([sixty()] * 50, ignore_index=True)
    result = mlekit.fit("y ~ x + z", data, NAME)
    drawn = result.simulate(seed=3)["sim_1"].astype(int)
    again = mlekit.fit("y ~ x + z", data.assign(y=drawn), NAME)
    assert (np.abs(again.params - result.params) < 3.5 * again.bse).all()
