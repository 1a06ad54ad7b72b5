"""Constraints and bounds, against statsmodels and scipy's constrained optimisers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import optimize, stats
from statsmodels.tools.sm_exceptions import CollinearityWarning

import mlekit
from mlekit.model import Model

RNG = np.random.default_rng(8)
N = 150
DATA = pd.DataFrame({name: RNG.normal(size=N) for name in "xzw"})
DATA["k"] = RNG.poisson(np.exp(0.4 + 0.3 * DATA.x + 0.5 * DATA.z - 0.2 * DATA.w))
DATA["b"] = (RNG.uniform(size=N) < 1 / (1 + np.exp(-DATA.x))).astype(int)
DATA["y"] = 1 + DATA.x - 0.5 * DATA.z + 0.1 * DATA.w + RNG.normal(size=N)
X = sm.add_constant(DATA[["x", "z", "w"]]).to_numpy()
POISSON = "k ~ x + z + w"


def poisson_loss(beta: Any) -> float:
    return -stats.poisson.logpmf(DATA.k, np.exp(X @ beta)).sum()


# ---------------------------------------------------------------- linear constraints


@pytest.mark.parametrize("constraints", ["x = z", "x = 0.1", "x + z = 1, w = 2 * x", "Intercept = x"])
def test_constraints_equal_statsmodels(constraints: str) -> None:
    fit = mlekit.fit(POISSON, DATA, "poisson", constraints=constraints)
    theirs = sm.GLM.from_formula(POISSON, DATA, family=sm.families.Poisson()).fit_constrained(constraints, tol=1e-14)
    assert fit.converged
    np.testing.assert_allclose(fit.params, theirs.params, rtol=1e-8)
    free = np.asarray(theirs.bse) > 1e-10
    np.testing.assert_allclose(fit.bse[free], theirs.bse[free], rtol=1e-7)
    assert np.isnan(fit.bse[~free]).all()
    np.testing.assert_allclose(fit.llf, theirs.llf, rtol=1e-12)
    assert fit.aic == pytest.approx(-2 * fit.llf + 2 * (4 - constraints.count("=")))


def test_constraints_do_not_depend_on_units() -> None:
    plain = mlekit.fit(POISSON, DATA, "poisson", constraints="x = z")
    scaled = mlekit.fit(
        POISSON, DATA.assign(x=DATA.x * 1e8, z=DATA.z * 1e-6 + 3), "poisson", constraints="1e8 * x = 1e-6 * z"
    )
    np.testing.assert_allclose(scaled.params["x"] * 1e8, plain.params["x"], rtol=1e-7)
    np.testing.assert_allclose(scaled.bse["z"] * 1e-6, plain.bse["z"], rtol=1e-7)
    np.testing.assert_allclose(scaled.llf, plain.llf, rtol=1e-9)  # z + 3e6 has rounded the tenth digit away


def test_constraints_as_arrays_and_twice_the_same() -> None:
    rows = np.array([[0, 1.0, -1, 0], [0, 2.0, -2, 0]])
    fit = mlekit.fit(POISSON, DATA, "poisson", constraints=(rows, [0, 0]))
    same = mlekit.fit(POISSON, DATA, "poisson", constraints="x = z")
    np.testing.assert_allclose(fit.params, same.params, rtol=1e-10)
    assert fit.aic == pytest.approx(same.aic)


def test_constraints_across_parameters() -> None:
    fit = mlekit.fit({"mu": "y ~ x", "sigma": "~ x"}, DATA, "normal", constraints="sigma_x = 0")
    plain = mlekit.fit("y ~ x", DATA, "normal")
    np.testing.assert_allclose(fit.params, [*plain.params, 0], rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(fit.bse[:3], plain.bse, rtol=1e-8)


# ---------------------------------------------------------------- bounds


@pytest.mark.parametrize("seed", range(12))
def test_nonnegative_least_squares(seed: int) -> None:
    rng = np.random.default_rng(seed)
    A, y = rng.normal(size=(60, 6)), rng.normal(size=60)
    names = [f"a{j}" for j in range(6)]
    found = Model.from_arrays(y, pd.DataFrame(A, columns=names), "normal").fit(
        bounds={name: (0, None) for name in names}
    )
    theirs, norm = optimize.nnls(A, y)
    np.testing.assert_allclose(found.params[:6], theirs, atol=1e-9)
    np.testing.assert_allclose(np.exp(found.params["sigma_Intercept"]), norm / np.sqrt(60), rtol=1e-10)
    assert set(found.at_bound) == {name for name, value in zip(names, theirs, strict=True) if value == 0}
    assert found.converged


@pytest.mark.parametrize("seed", range(8))
def test_boxes_against_lbfgsb(seed: int) -> None:
    rng = np.random.default_rng(seed)
    box = np.sort(rng.normal(0.2, 0.4, size=(4, 2)), axis=1)
    bounds = dict(zip(["Intercept", "x", "z", "w"], map(tuple, box), strict=True))
    fit = mlekit.fit(POISSON, DATA, "poisson", bounds=bounds)
    theirs = optimize.minimize(
        poisson_loss, box.mean(axis=1), bounds=box, method="L-BFGS-B", options={"ftol": 1e-15, "gtol": 1e-9}
    )
    assert fit.converged
    assert fit.llf >= -theirs.fun - 1e-9
    np.testing.assert_allclose(fit.params, theirs.x, atol=2e-5)
    assert ((fit.params >= box[:, 0]) & (fit.params <= box[:, 1])).all()
    at = np.isclose(fit.params, box[:, 0], rtol=0, atol=0) | np.isclose(fit.params, box[:, 1], rtol=0, atol=0)
    assert np.isnan(fit.bse[at]).all()
    assert np.isfinite(fit.bse[~at]).all()


def test_an_estimate_inside_its_bounds_is_the_plain_one() -> None:
    fit = mlekit.fit(POISSON, DATA, "poisson", bounds={"x": (-1, 1), "z": (None, 5)})
    plain = mlekit.fit(POISSON, DATA, "poisson")
    np.testing.assert_allclose(fit.params, plain.params, rtol=1e-9)
    np.testing.assert_allclose(fit.bse, plain.bse, rtol=1e-9)
    assert fit.at_bound == ()
    assert fit.aic == pytest.approx(plain.aic)


def test_an_estimate_on_its_bound_is_said_to_be() -> None:
    fit = mlekit.fit(POISSON, DATA, "poisson", bounds={"x": (0, 0.1)})
    known = mlekit.fit(POISSON, DATA, "poisson", fixed={"x": 0.1})
    assert fit.params["x"] == 0.1
    np.testing.assert_allclose(fit.params.drop("x"), known.params, rtol=1e-9)
    np.testing.assert_allclose(fit.bse.drop("x"), known.bse, rtol=1e-9)
    assert np.isnan(fit.bse["x"])
    text = str(fit.summary())
    assert "On its bound: x = 0.1. It has no standard error" in text
    assert "Bounds of x: lower 0, upper 0.1." in text


def test_bounds_of_a_parameter_go_through_its_link() -> None:
    fit = mlekit.fit("y ~ x", DATA, "normal", bounds={"sigma": (2, None)})
    assert fit.distribution.loc["sigma", "estimate"] == pytest.approx(2, rel=1e-14)
    assert fit.at_bound == ("sigma_Intercept",)
    rate = mlekit.fit("t ~ 1", {"t": RNG.exponential(size=40)}, "exponential", bounds={"rate": (0.1, 0.2)})
    assert rate.distribution.loc["rate", "estimate"] == pytest.approx(0.2, rel=1e-14)


def test_separation_stops_at_a_bound() -> None:
    data = {"y": [0, 0, 0, 1, 1, 1], "x": [1.0, 2, 3, 4, 5, 6]}
    fit = mlekit.fit("y ~ x", data, "bernoulli", bounds={"x": (-3, 3)})
    assert fit.converged
    assert fit.params["x"] == 3
    assert fit.params["Intercept"] == pytest.approx(-10.5, rel=1e-8)


def test_bounds_with_constraints() -> None:
    fit = mlekit.fit(POISSON, DATA, "poisson", bounds={"x": (0, 0.2), "w": (0, None)}, constraints="x + z = 0.6")
    theirs = optimize.minimize(
        poisson_loss,
        [0, 0.1, 0.5, 0.1],
        bounds=[(None, None), (0, 0.2), (None, None), (0, None)],
        constraints={"type": "eq", "fun": lambda b: b[1] + b[2] - 0.6},
        method="SLSQP",
        options={"ftol": 1e-15, "maxiter": 500},
    )
    np.testing.assert_allclose(fit.params, theirs.x, atol=1e-5)
    assert fit.llf >= -theirs.fun - 1e-10


@pytest.mark.parametrize("seed", range(6))
def test_wide_bounds_with_constraints(seed: int) -> None:
    """The start is as near to the usual one as the restrictions allow: from a far corner no method comes back."""
    rng = np.random.default_rng(seed)
    y = DATA.y + rng.gumbel(size=N)
    low, high = rng.uniform(-90, -40, size=5), rng.uniform(40, 90, size=5)
    low[1], high[1] = 1.3, 60
    names = ["Intercept", "x", "z", "w", "beta_Intercept"]
    row, constant = np.array([1.0, 1.0, -2.0, 0.5, 3.0]), rng.normal()
    fit = mlekit.fit(
        "y ~ x + z + w",
        DATA.assign(y=y),
        "gumbel",
        bounds=dict(zip(names, zip(low, high, strict=True), strict=True)),
        constraints=(row[None], [constant]),
    )

    def loss(beta: Any) -> float:
        return -float(stats.gumbel_r.logpdf(y, X @ beta[:4], np.exp(beta[4])).sum())

    begin = np.array([1, 1.5, 0, 0, 0.3])
    with np.errstate(over="ignore"):
        theirs = optimize.minimize(
            loss,
            begin,
            bounds=list(zip(low, high, strict=True)),
            constraints={"type": "eq", "fun": lambda b: row @ b - constant},
            method="SLSQP",
            options={"ftol": 1e-14, "maxiter": 500},
        )
    assert fit.converged
    assert fit.llf >= -theirs.fun - 1e-8
    np.testing.assert_allclose(fit.params, theirs.x, atol=1e-4)
    np.testing.assert_allclose(row @ fit.params, constant, atol=1e-10)


def test_of_many_rows_and_by_other_methods() -> None:
    rng = np.random.default_rng(1)
    n = 60_000
    data = pd.DataFrame({"x": rng.normal(size=n), "z": rng.normal(size=n)})
    data["k"] = rng.poisson(np.exp(0.2 + 0.3 * data.x + 0.3 * data.z))
    by = {m: mlekit.fit("k ~ x + z", data, "poisson", constraints="x = z", method=m) for m in ("newton", "bfgs")}
    np.testing.assert_allclose(by["bfgs"].params, by["newton"].params, atol=1e-6)
    same = mlekit.fit("k ~ I(x + z)", data, "poisson")
    np.testing.assert_allclose(by["newton"].params[:2], same.params, rtol=1e-6)


# ---------------------------------------------------------------- tests, and what counts


def test_there_is_no_test_of_what_restrictions_determine() -> None:
    bound = mlekit.fit(POISSON, DATA, "poisson", bounds={"x": (0, 0.1)})
    found = bound.t_test("x = 0, z = 0, x + z = 0")
    known = mlekit.fit(POISSON, DATA, "poisson", fixed={"x": 0.1})
    np.testing.assert_allclose(found.effect, [0.1, bound.params["z"], 0.1 + bound.params["z"]])
    np.testing.assert_allclose(found.sd, [np.nan, known.bse["z"], known.bse["z"]], rtol=1e-8)
    assert np.isnan(found.pvalue[0])
    assert np.isnan(found.conf_int()[0]).all()
    assert np.isnan(bound.wald_test("x = 0").pvalue)
    assert np.isnan(bound.wald_test("x = 0, z = 0").pvalue)
    terms = bound.wald_test_terms().table
    assert np.isnan(terms.loc["x", "pvalue"])
    np.testing.assert_allclose(terms.loc["z", "statistic"], (known.params["z"] / known.bse["z"]) ** 2, rtol=1e-8)
    tied = mlekit.fit(POISSON, DATA.assign(x=DATA.x * 1e9), "poisson", constraints="1e9 * x = z")
    assert np.isnan(tied.t_test("1e9 * x - z = 0.1").sd).all()


def test_a_joint_test_has_the_degrees_of_freedom_that_constraints_leave() -> None:
    tied = mlekit.fit(POISSON, DATA, "poisson", constraints="x = z")
    summed = mlekit.fit("k ~ I(x + z) + w", DATA, "poisson")
    joint, alone = tied.wald_test("x = 0, z = 0"), summed.wald_test("I(x + z) = 0")
    np.testing.assert_allclose(joint.statistic, alone.statistic, rtol=1e-8)
    np.testing.assert_allclose(joint.pvalue, alone.pvalue, rtol=1e-7)
    assert np.isnan(tied.wald_test("x = 0, z = 0.5").pvalue)
    np.testing.assert_allclose(tied.wald_test("x = 0, w = 0").statistic, summed.wald_test("I(x + z), w").statistic)
    tied.remove_data()
    np.testing.assert_allclose(tied.wald_test("x = 0, z = 0").statistic, alone.statistic, rtol=1e-8)


def test_degrees_of_freedom_are_those_of_statsmodels() -> None:
    for constraints in ("x = z", "x + z = 1, w = 2 * x", "x = z, 2 * x = 2 * z"):
        fit = mlekit.fit(POISSON, DATA, "poisson", constraints=constraints)
        rank = 1 if "2 * z" in constraints else constraints.count("=")
        assert (fit.df_resid, fit.df_model) == (N - 4 + rank, 3 - rank)
        assert fit.df_resid_inference == fit.df_resid
    theirs = sm.GLM.from_formula(POISSON, DATA, family=sm.families.Poisson()).fit_constrained("x = z")
    fit = mlekit.fit(POISSON, DATA, "poisson", constraints="x = z")
    assert (fit.df_resid, fit.df_model) == (theirs.df_resid, theirs.df_model)
    scale = mlekit.fit({"mu": "y ~ x", "sigma": "~ x"}, DATA, "normal", constraints="sigma_x = 0")
    assert (scale.df_resid, scale.df_model) == (N - 2, 1)
    far = mlekit.fit(POISSON, DATA, "poisson", constraints=(np.array([[0, 1e17, -1e17, 0], [0, 0, 0, 1.0]]), [0, 0]))
    assert far.aic == pytest.approx(-2 * far.llf + 4)


def test_the_likelihood_ratio_against_the_null_model_if_it_is_inside() -> None:
    tied = mlekit.fit(POISSON, DATA, "poisson", constraints="x = z")
    assert tied.llr_pvalue == pytest.approx(stats.chi2.sf(2 * (tied.llf - tied.llnull), 2), rel=1e-12)
    data = DATA.assign(g=np.resize(list("abc"), N))
    levels = mlekit.fit("k ~ C(g) - 1 + x", data, "poisson", constraints="C(g)[a] = C(g)[b]")
    assert levels.llr_pvalue == pytest.approx(stats.chi2.sf(2 * (levels.llf - levels.llnull), 2), rel=1e-12)
    for restriction in (
        {"constraints": "x = 3"},
        {"constraints": "Intercept = x"},
        {"bounds": {"x": (0, 0.1)}},
        {"bounds": {"x": (0.1, None)}},
    ):
        fit = mlekit.fit(POISSON, DATA, "poisson", **restriction)  # type: ignore[arg-type]
        assert np.isnan(fit.llr_pvalue)


# ---------------------------------------------------------------- wrong input


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"constraints": "x = q"}, ValueError, "(?s)constraints cannot be read.*coefficients are Intercept, x"),
        ({"constraints": "x = 1, x = 2"}, ValueError, "contradict each other"),
        ({"constraints": "x = 1", "bounds": {"x": (2, 3)}}, ValueError, "contradict each other"),
        ({"constraints": ""}, ValueError, "cannot be read: there are none; the coefficients are"),
        ({"constraints": (np.array([[0, np.nan, 0, 0]]), [0])}, ValueError, "numbers that are not finite"),
        ({"constraints": "x = 1", "fixed": {"x": 2}}, ValueError, "(?s)cannot be read.*, held are x = 2"),
        ({"bounds": {"q": (0, 1)}}, ValueError, "bounds of 'q': the coefficients are"),
        ({"bounds": [(0, 1)]}, TypeError, "bounds must be a dict"),
        ({"bounds": {"x": "12"}}, ValueError, r"must be \(low, high\)"),
        ({"bounds": {"x": (1, 1)}}, ValueError, r"must be \(low, high\), with low < high"),
        ({"bounds": {"x": 3}}, ValueError, r"must be \(low, high\)"),
        ({"bounds": {"mu": (0, 3)}}, ValueError, "mu is not one number: bound its coefficients, Intercept, x"),
        ({"penalty": 3.0}, TypeError, "penalty must be a Ridge"),
        ({"penalty": mlekit.NormalPrior({"q": (0, 1)})}, ValueError, "a prior of q: the coefficients are"),
        ({"bounds": {"x": (0, 1)}, "use_t": True}, ValueError, "use_t=True is for least squares without"),
        ({"bounds": {"x": (0, 1)}, "method": "closed_form"}, ValueError, "no closed form under"),
        ({"penalty": mlekit.Ridge(), "cov_type": "opg"}, ValueError, "knows nothing of the penalty"),
    ],
    ids=lambda x: "-".join(x) if isinstance(x, dict) else None,
)
def test_wrong_input(options: Any, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        mlekit.fit(POISSON, DATA, "poisson", **options)


def test_bounds_of_what_is_held_left_out_or_impossible() -> None:
    with pytest.raises(ValueError, match=r"sigma has no coefficient to be bounded: .*held are sigma = 1"):
        mlekit.fit("y ~ x", DATA, fixed={"sigma": 1}, bounds={"sigma": (0, 2)})
    with pytest.raises(ValueError, match=r"sigma is between 0 and inf: its bounds \(-3, -1\) leave nothing of that"):
        mlekit.fit("y ~ x", DATA, bounds={"sigma": (-3, -1)})
    with (
        pytest.warns(CollinearityWarning),
        pytest.raises(ValueError, match="left out, as combinations of others, are x2"),
    ):
        mlekit.fit("y ~ x + x2", DATA.assign(x2=2 * DATA.x), bounds={"x2": (0, 1)})


def test_a_density_with_a_kink_takes_no_bounds() -> None:
    with pytest.raises(ValueError, match="kink"):
        mlekit.fit("y ~ x", DATA, "laplace", bounds={"x": (0, 1)})
