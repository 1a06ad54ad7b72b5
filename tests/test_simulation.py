"""Responses drawn at known parameters, and from fits: their distributions, and what fits recover from them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from scipy import stats

import mlekit
from mlekit.diagnostics import NotGiven
from mlekit.formula import FormulaError
from tests.sample import Gumbel

X = pd.DataFrame({"x": np.linspace(-1, 1, 3000), "g": np.resize(list("abc"), 3000), "n": np.resize([1, 5, 9], 3000)})


@pytest.mark.parametrize(
    ("family", "params"),
    [
        ("normal", {"Intercept": 1, "x": 2, "g[T.b]": 0, "g[T.c]": -1, "sigma": 3}),
        ("poisson", {"Intercept": 1, "x": 0.5, "g[T.b]": 0, "g[T.c]": -1}),
        ("bernoulli", {"Intercept": 0.2, "x": 0.5, "g[T.b]": 0, "g[T.c]": -1}),
        ("exponential", {"Intercept": 2, "x": 0.5, "g[T.b]": 0, "g[T.c]": -1}),
        ("laplace", {"Intercept": 2, "x": 0.5, "g[T.b]": 0, "g[T.c]": -1, "b": 0.1}),
        ("weibull", {"Intercept": 2, "x": 0.5, "g[T.b]": 0, "g[T.c]": -1, "shape": 1.7}),
        ("gamma", {"Intercept": 2, "x": 0.5, "g[T.b]": 0, "g[T.c]": -1, "shape": 0.6}),
        ("student_t", {"Intercept": 2, "x": 0.5, "g[T.b]": 0, "g[T.c]": -1, "sigma": 2, "df": 4}),
    ],
    ids=lambda x: x if isinstance(x, str) else "",
)
def test_a_fit_recovers_what_was_put_in(family: str, params: dict[str, float]) -> None:
    made = mlekit.simulate("y ~ x + g", params, family, X, seed=7)
    fit = mlekit.fit("y ~ x + g", made, family)
    truth = mlekit.fit("y ~ x + g", made, family, fixed=params)
    # Twice the difference of the log-likelihoods is chi-squared.
    assert stats.chi2.sf(2 * (fit.llf - truth.llf), fit.params.size) > 1e-3
    for name in ("Intercept", "x", "g[T.b]", "g[T.c]"):
        assert abs(fit.params[name] - params[name]) < 4 * fit.bse[name]


def test_a_formula_for_every_parameter_offsets_and_missing_covariates() -> None:
    data = X.assign(x=X.x.where(X.index != 5))
    params = {"Intercept": 0.0, "x": 1.0, "sigma_Intercept": -1.0, "sigma_x": 0.5}
    formulas = {"mu": "y ~ x + offset(100 * n)", "sigma": "~ x"}
    made = mlekit.simulate(formulas, params, "normal", data, seed=2)
    assert np.isnan(made.y[5])
    assert made.y.isna().sum() == 1
    fit = mlekit.fit(formulas, made, "normal")
    assert (np.abs(fit.params - list(params.values())) < 4 * fit.bse).all()


def test_the_same_seed_draws_the_same() -> None:
    params = {"Intercept": 1, "x": 0.5}
    first, second, other = (mlekit.simulate("y ~ x", params, "poisson", X, seed=s).y for s in (1, 1, 2))
    assert first.equals(second)
    assert not first.equals(other)
    fit = mlekit.fit("y ~ x", X.assign(y=first), "poisson")
    assert fit.simulate(2, seed=3).equals(fit.simulate(2, seed=3))


def test_draws_of_a_fit_have_its_distribution() -> None:
    made = mlekit.simulate("y ~ x", {"Intercept": 1, "x": 0.5}, "poisson", X, seed=1)
    fit = mlekit.fit("y ~ x", made, "poisson")
    draws = fit.simulate(40, seed=5)
    assert draws.shape == (3000, 40)
    assert list(draws.columns[:2]) == ["sim_1", "sim_2"]
    z = (draws.mean(axis=1) - fit.fittedvalues) / np.sqrt(fit.fittedvalues / 40)
    assert stats.kstest(z, "norm").pvalue > 1e-3
    shares = stats.poisson.cdf(draws, fit.fittedvalues.to_numpy()[:, None])
    below = stats.poisson.cdf(draws - 1, fit.fittedvalues.to_numpy()[:, None])
    uniform = below + np.random.default_rng(0).uniform(size=draws.shape) * (shares - below)
    assert stats.kstest(uniform.ravel(), "uniform").pvalue > 1e-3


def test_a_density_alone_can_be_drawn_from() -> None:
    made = mlekit.simulate("y ~ x", {"Intercept": 3, "x": 1, "beta": 2}, Gumbel(), X, seed=4)
    assert stats.kstest((made.y - 3 - made.x) / 2, "gumbel_r").pvalue > 1e-3


def test_a_binomial_is_drawn_with_its_trials() -> None:
    data = X.assign(s=np.random.default_rng(0).binomial(X.n, 0.3))
    fit = mlekit.fit("cbind(s, n - s) ~ x", data, "binomial")
    draws = fit.simulate(2, seed=1)
    assert draws.shape == (3000, 4)
    assert (draws["sim_1"].sum(axis=1) == X.n).all()
    share = draws["sim_2", "successes"].sum() / X.n.sum()
    assert abs(share - 0.3) < 5 * np.sqrt(0.3 * 0.7 / X.n.sum())


def test_any_table_and_rows_of_one_name() -> None:
    params = {"Intercept": 1, "x": 0.5}
    plain = mlekit.simulate("y ~ x", params, "poisson", X, seed=1)
    for table in (pl.from_pandas(X), pa.Table.from_pandas(X)):
        made = mlekit.simulate("y ~ x", params, "poisson", table, seed=1)
        assert list(made.columns) == ["x", "g", "n", "y"]
        np.testing.assert_array_equal(made.y, plain.y)
    twins = X.set_index(np.zeros(len(X), dtype=int)).assign(x=np.where(np.arange(len(X)) == 4, np.nan, X.x))
    made = mlekit.simulate("y ~ x", params, "poisson", twins, seed=1)
    assert np.flatnonzero(made.y.isna()).tolist() == [4]
    np.testing.assert_array_equal(made.y[:4], plain.y[:4])


def test_levels_are_drawn_by_their_names() -> None:
    data = X.assign(h=np.where(X.x + np.resize([-1, 0.5, 1], 3000) > 0, "up", "down"))
    fit = mlekit.fit("h ~ x", data, "bernoulli")
    drawn = fit.simulate(seed=1)["sim_1"]
    assert set(drawn) == {"up", "down"}
    again = mlekit.fit("h ~ x", data.assign(h=drawn), "bernoulli")
    assert (np.abs(again.params - fit.params) < 4 * again.bse).all()
    levels = mlekit.fit("g ~ x", data, "multinomial_logit").simulate(3, seed=2)
    assert set(levels["sim_3"]) == set("abc")


def test_draws_that_no_float_tells_from_the_end_are_said() -> None:
    with pytest.warns(
        RuntimeWarning, match=r"responses of Gamma\(\) are so near the end of their range.*as 0.0 in row"
    ):
        made = mlekit.simulate("y ~ 1", {"Intercept": 0, "shape": 1e-3}, "gamma", X, seed=1)
    assert (made.y == 0).any()


@pytest.mark.parametrize(
    ("formula", "params", "family", "data", "error", "said"),
    [
        ("y ~ x", {"Intercept": 1}, "normal", X, ValueError, "params lacks x, sigma_Intercept: the formula has Inter"),
        ("y ~ x", {"Intercept": 1, "z": 1}, "poisson", X, ValueError, "params has no meaning for 'z'"),
        ("log(y) ~ x", {}, "poisson", X, FormulaError, "'log.y. ~ x' has none, or more than a name"),
        ("~ x", {}, "poisson", X, FormulaError, "has none, or more than a name"),
        ("y ~ x", {}, "poisson", None, TypeError, "simulate needs data"),
        ("y ~ x", {"Intercept": 0, "x": 1, "sigma": -1}, "normal", X, ValueError, "between 0 and inf, not -1"),
        ("y ~ x", {"Intercept": 0, "x": 1}, mlekit.Poisson(mu="identity"), X, ValueError, "in row number 0 the ident"),
        (
            "y ~ x",
            {"Intercept": 0, "x": 1},
            "binomial",
            X,
            ValueError,
            "a response of 2 columns, and one name makes",
        ),
        ("y ~ x", {"x": 1}, "ordered_logit", X, ValueError, "simulate draws numbers, and OrderedLogit.. has levels"),
        ("y ~ x + n:y", {}, "poisson", X, FormulaError, "y is on both sides"),
        ({"mu": "y ~ x", "sigma": "~ y"}, {}, "normal", X, FormulaError, "y is on both sides"),
        (["y ~ x"], {}, "poisson", X, FormulaError, "a formula is text, or a dict"),
        ("y ~ x", [1, 2], "poisson", X, TypeError, "params must be a dict"),
        ("y ~ x", {"Intercept": 1, "x": 1, "sigma": 1, "sigma_Intercept": 5}, "normal", X, ValueError, "same coef"),
        (
            "y ~ x",
            {"Intercept": 99, "x": 1},
            "poisson",
            X,
            ValueError,
            "cannot be drawn at mu from .*e.42 to .*e.43: lam",
        ),
    ],
    ids=[
        *("lacks", "unknown", "expression", "no response", "no data", "domain", "row", "columns"),
        *("levels", "itself", "itself in sigma", "list", "unnamed", "twice", "extreme"),
    ],
)
def test_wrong_input(formula: Any, params: Any, family: Any, data: Any, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        mlekit.simulate(formula, params, family, data, seed=1)


def test_wrong_numbers_of_draws_and_fits_without_rows() -> None:
    fit = mlekit.fit("n ~ x", X, "poisson")
    for n in (0, -1, 1.5, True):
        with pytest.raises(ValueError, match="n must be a whole number of draws"):
            fit.simulate(n)
    fit.remove_data()
    with pytest.raises(NotGiven, match="remove_data removed the rows"):
        fit.simulate()
