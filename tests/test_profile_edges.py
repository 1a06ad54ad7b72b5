"""Profiles that have no end on a side, meet bounds, or turn up a better maximum; and what is refused."""

from __future__ import annotations

import pickle
import re
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, stats
from statsmodels.tools.sm_exceptions import ConvergenceWarning, ModelWarning

import mlekit
from mlekit.datasets import load_africa
from mlekit.diagnostics import NotGiven
from mlekit.profiling import Profile

CHI2 = 3.841458820694124
AFRICA = load_africa()
FORMULA = "miltcoup ~ parties + pollib + popn"
POISSON = mlekit.fit(FORMULA, AFRICA, "poisson")
T = {"y": stats.t.rvs(8, size=80, random_state=4)}
STUDENT = mlekit.fit("y ~ 1", T, "student_t")


def interval(fit: Any, what: Any, alpha: float = 0.05) -> Any:
    return fit.conf_int(alpha, cols=[what], method="profile").to_numpy()[0]


# ---------------------------------------------------------------- one-sided


def test_an_end_is_infinite_where_the_likelihood_does_not_fall_far_enough() -> None:
    normal = mlekit.fit("y ~ 1", T, "normal")  # the limit of infinitely many degrees of freedom
    fallen = STUDENT.llf - normal.llf
    assert 0 < fallen < CHI2 / 2
    with pytest.warns(ModelWarning, match=f"upper end of df is inf: the likelihood falls by {fallen:.3g} at most"):
        low, high = interval(STUDENT, "df")
    assert low < STUDENT.distribution.loc["df", "estimate"] < high == np.inf
    higher = 2 * stats.chi2.sf(2 * fallen, 1)  # a level at which both ends exist
    assert interval(STUDENT, "df", min(higher, 0.9))[1] < np.inf


def test_a_profile_without_an_end_levels_out() -> None:
    with pytest.warns(ModelWarning, match="upper end"):
        found = STUDENT.profile("df")
    fallen = STUDENT.llf - mlekit.fit("y ~ 1", T, "normal").llf
    assert found.table["root"].iloc[-1] == pytest.approx(np.sqrt(2 * fallen), rel=5e-3)
    assert found.interval(0.05)[1] == np.inf  # the notes have said it
    assert "inf" in str(found)
    assert len(found.notes) == 1


def test_the_end_of_a_domain_is_an_end() -> None:
    def root(p: Any, y: Any) -> Any:
        return -0.5 * (y - np.sqrt(p)) ** 2

    fit = mlekit.mle(root, {"p": 0.2}, {"y": np.array([0.1, 0.5, 0.3, 0.3])})
    with pytest.warns(
        ModelWarning, match=r"the lower end of p is .*: the likelihood has fallen by 0.18 alone, and there"
    ):
        low, high = interval(fit, "p")
    assert 0 <= low < 1e-9
    assert high == pytest.approx((0.3 + np.sqrt(CHI2) / 2) ** 2, rel=1e-11)


def test_an_end_is_not_known_where_the_others_have_no_maximum() -> None:
    def two(p: Any, m: Any, y: Any, x: Any) -> Any:
        return -0.5 * (y - np.sqrt(p) - m * x) ** 2

    data = {"y": np.array([0.1, 0.5, 0.3, 0.3]), "x": np.array([0.0, 1, 0, 1])}
    fit = mlekit.mle(two, {"p": 0.2, "m": 0.1}, data)
    with pytest.warns(ModelWarning, match="upper end of m is nan: .* and no maximum of the other coefficients"):
        low, high = interval(fit, "m")
    assert np.isnan(high)
    # Beyond m = 0.4 the best p is 0, at the edge; on the other side it is a Normal's with two means.
    assert low == pytest.approx(0.2 - np.sqrt(CHI2), rel=1e-9)


# ---------------------------------------------------------------- a better maximum


def cauchy(m: Any, y: Any) -> Any:
    return -np.log1p((y - m) ** 2)


def test_a_better_maximum_is_told() -> None:
    data = {"y": np.array([-5.0, -4.8, 5.2, 5.0, 5.1])}
    fit = mlekit.mle(cauchy, {"m": -5.0}, data)
    with pytest.warns(ConvergenceWarning, match=r"profiling found a larger log-likelihood, -1\d\.\d+, at m=\d"):
        found = fit.profile("m")
    assert found.better is not None
    again = mlekit.mle(cauchy, found.better.to_dict(), data)
    assert again.llf > fit.llf + 4
    assert again.profile("m").better is None
    with pytest.warns(ConvergenceWarning, match="The end on that side is NaN"):
        low, high = interval(fit, "m", 0.01)
    assert np.isnan(high)
    assert low < -5


# ---------------------------------------------------------------- restrictions

#: What a fit is asked, and what of it changes the likelihood along the way.
ASKED: dict[str, dict[str, Any]] = {
    "constraint": {"constraints": "parties - 0.5*pollib = 0"},
    "ridge": {"penalty": mlekit.Ridge(20.0)},
    "prior": {"penalty": mlekit.NormalPrior({"popn": (0, 0.01)})},
    "bound of another": {"bounds": {"pollib": (0, None)}},
    "two bounds": {"bounds": {"popn": (0, 0.008), "parties": (None, 0.02)}},
    "bounds that are met": {"bounds": {"pollib": (-0.7, -0.2), "popn": (0.005, 0.02)}},
    "all": {
        "bounds": {"popn": (0, 0.008), "pollib": (-1.2, -0.3)},
        "constraints": "parties - 0.1*Intercept = 0",
        "penalty": mlekit.Ridge(2.0),
    },
}


def fall(fit: Any, how: dict[str, Any], name: str, value: float) -> float:
    """Twice the fall of the (penalised) likelihood where a coefficient is held, by another fit."""
    constraints = ", ".join(filter(None, [how.get("constraints"), f"{name} = {value!r}"]))
    bounds = {other: ends for other, ends in how.get("bounds", {}).items() if other != name}
    held = mlekit.fit(FORMULA, AFRICA, "poisson", **how | {"constraints": constraints, "bounds": bounds or None})
    prior = fit.log_prior - held.log_prior
    return 2 * (fit.llf - held.llf + prior)


@pytest.mark.filterwarnings("ignore:not every end:statsmodels.tools.sm_exceptions.ModelWarning")
@pytest.mark.parametrize("case", ASKED)
def test_restricted_fits(case: str) -> None:
    how = ASKED[case]
    fit = mlekit.fit(FORMULA, AFRICA, "poisson", **how)
    for name, (low, high) in fit.conf_int(method="profile").iterrows():
        se = POISSON.bse[name]
        bounds = [b if b is not None else np.nan for b in how.get("bounds", {}).get(name, (np.nan, np.nan))]
        for end, bound, side in zip((low, high), bounds, (-1, 1), strict=True):
            if end == bound:
                assert fit.params[name] == bound or fall(fit, how, name, end) < CHI2
                continue
            assert side * (bound - end) > 0 or np.isnan(bound)
            inside, outside = (fall(fit, how, name, float(end + step * se)) for step in (-1e-7 * side, 1e-7 * side))
            assert inside < CHI2 < outside


def test_what_is_on_its_bound_goes_one_way() -> None:
    fit = mlekit.fit(FORMULA, AFRICA, "poisson", bounds={"pollib": (0, None)})
    with pytest.warns(ModelWarning, match="the lower end of pollib is 0: the estimate is on its bound"):
        found = fit.profile("pollib", points=8)
    assert found.table["value"].iloc[0] == 0
    assert len(found.table) == 5
    assert np.isnan(found.std_err)
    assert np.isnan(found.wald()).all()
    low, high = found.interval()
    assert low == 0 < high
    assert (np.diff(found.table["llf"]) < 0).all()


def test_a_bound_ends_a_profile() -> None:
    fit = mlekit.fit(FORMULA, AFRICA, "poisson", bounds={"pollib": (None, -0.3)})
    with pytest.warns(
        ModelWarning, match="the upper end of pollib is -0.3: the likelihood has fallen by .* at its bound"
    ):
        low, high = interval(fit, "pollib")
    assert high == -0.3
    assert low == pytest.approx(interval(POISSON, "pollib")[0], abs=1e-10)


@pytest.mark.filterwarnings("ignore:not every end:statsmodels.tools.sm_exceptions.ModelWarning")
def test_a_contrast_under_bounds() -> None:
    fit = mlekit.fit(FORMULA, AFRICA, "poisson", bounds={"pollib": (-0.7, -0.5), "popn": (0, 0.012)})
    low, high = interval(fit, "pollib + 10*popn")
    assert low == pytest.approx(-0.7, abs=1e-12) or low > -0.7
    assert high <= -0.5 + 0.12 + 1e-12

    def least(value: float) -> float:
        """By scipy: the likelihood ratio of the contrast held at a value."""
        x = POISSON.model.exog
        y = POISSON.model.endog

        def loss(b: Any) -> float:
            return float(-stats.poisson.logpmf(y, np.exp(x @ b)).sum())

        held = {"type": "eq", "fun": lambda b: b[2] + 10 * b[3] - value}
        bounds = [(None, None), (None, None), (-0.7, -0.5), (0, 0.012)]
        start = fit.params.to_numpy()
        found = optimize.minimize(loss, start, bounds=bounds, constraints=[held], method="SLSQP", tol=1e-12)
        return 2 * (found.fun + fit.llf)

    for end in (low, high):
        assert least(end) < CHI2 + 1e-4


def test_what_constraints_determine_has_no_profile() -> None:
    fit = mlekit.fit(FORMULA, AFRICA, "poisson", constraints="popn = 0.01")
    with pytest.raises(ValueError, match="popn is determined by the restrictions"):
        fit.profile("popn")
    with pytest.raises(ValueError, match="popn is determined by the restrictions"):
        fit.conf_int(method="profile")
    assert np.isfinite(interval(fit, "parties")).all()


def test_a_penalty_is_said() -> None:
    fit = mlekit.fit(FORMULA, AFRICA, "poisson", penalty=mlekit.Ridge(1.0))
    (note,) = fit.profile("parties", points=2).notes
    assert note.startswith("The profile is that of the penalised likelihood: Ridge(strength=1.0")


# ---------------------------------------------------------------- the record


def test_a_profile_is_the_likelihood_of_refits() -> None:
    found = POISSON.profile("pollib", points=6)
    assert isinstance(found, Profile)
    assert found.table.columns.tolist() == ["value", "root", "llf", *POISSON.params.index]
    for row in found.table.to_dict("records"):
        held = mlekit.fit(FORMULA, AFRICA, "poisson", fixed={"pollib": row["value"]})
        assert row["llf"] == pytest.approx(held.llf, rel=1e-13)
        assert row["pollib"] == pytest.approx(row["value"], rel=1e-13)
        for name in held.params.index:
            assert row[name] == pytest.approx(held.params[name], abs=1e-7 * held.bse[name])
        root = np.sign(row["value"] - POISSON.params["pollib"]) * np.sqrt(max(2 * (POISSON.llf - held.llf), 0.0))
        assert row["root"] == pytest.approx(root, abs=1e-6)
    assert found.table["root"].iloc[[0, -1]].tolist() == pytest.approx([-stats.norm.isf(0.005), stats.norm.isf(0.005)])


def test_the_summary_has_both_intervals() -> None:
    found = POISSON.profile("popn").summary([0.1, 0.01])
    assert found.index.tolist() == ["0.9", "0.99"]
    for alpha, (_, row) in zip((0.1, 0.01), found.iterrows(), strict=True):
        assert row[["low", "high"]].tolist() == pytest.approx(interval(POISSON, "popn", alpha).tolist(), rel=1e-12)
        wald = POISSON.conf_int(alpha).loc["popn"].tolist()
        assert row[["Wald low", "Wald high"]].tolist() == pytest.approx(wald, rel=1e-12)


def test_a_link_that_falls_turns_the_profile_round() -> None:
    data = {"y": np.array([3.0, 1.0, 2.5, 0.2])}
    rate = mlekit.fit("y ~ 1", data, "exponential").profile("rate")
    direct = mlekit.fit("y ~ 1", data, mlekit.Exponential(rate="identity")).profile("rate")
    assert rate.interval() == pytest.approx(direct.interval(), rel=1e-12)
    assert (np.sign(rate.table["root"]) == np.sign(rate.table["value"] - 1 / data["y"].mean()).round(12)).all()
    assert rate.wald()[0] < rate.wald()[1]


def test_pickling() -> None:
    again = pickle.loads(pickle.dumps(POISSON.profile("popn", points=2)))
    assert again.interval(0.2) == POISSON.profile("popn", points=2).interval(0.2)


def test_a_robust_covariance_does_not_change_the_likelihood() -> None:
    robust = mlekit.fit(FORMULA, AFRICA, "poisson", cov_type="HC0")
    assert robust.conf_int(method="profile").equals(POISSON.conf_int(method="profile"))
    assert robust.profile("popn", points=2).std_err == pytest.approx(POISSON.bse["popn"], rel=1e-10)


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("nope", "neither a coefficient (Intercept, parties, pollib, popn), nor a parameter (mu)"),
        ("", "neither a coefficient"),
        ("parties + 1", "one linear function of coefficients without a constant"),
        ("parties = 1", "one linear function of coefficients without a constant"),
        ("parties, popn", "one linear function of coefficients"),
        ("mu", "mu is not one number: profile its coefficients, Intercept, parties, pollib, popn"),
        ([1, 2], "or 4 numbers, for Intercept, parties, pollib, popn"),
        ([0, 0, 0, 0], "or 4 numbers"),
        ([0, np.nan, 0, 1], "or 4 numbers"),
        (7, "cannot profile 7"),
        (True, "cannot profile True"),
        (None, "cannot profile None"),
        (1.0, "cannot profile 1.0"),
    ],
    ids=str,
)
def test_what_is_asked_for_must_be_a_function_of_coefficients(what: Any, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        POISSON.profile(what)


def test_other_refusals() -> None:
    with pytest.raises(ValueError, match="unknown method 'exact': the intervals are 'wald'"):
        POISSON.conf_int(method="exact")
    with pytest.raises(ValueError, match="alpha must be between 0 and 1"):
        POISSON.conf_int(1.5, method="profile")
    with pytest.raises(ValueError, match="points must be a whole number of 2 or more, not 1"):
        POISSON.profile("popn", points=1)
    with pytest.warns(ConvergenceWarning):
        short = mlekit.fit(FORMULA, AFRICA, "poisson", method="newton", maxiter=1)
    with pytest.raises(ValueError, match=r"no profile likelihood, as its estimate is not the maximum: not converged"):
        short.conf_int(method="profile")
    laplace = mlekit.fit("miltcoup ~ parties", AFRICA, "laplace")
    with pytest.raises(ValueError, match="one coefficient is profiled at a time"):
        laplace.profile("parties - Intercept")
    with pytest.raises(ValueError, match="contours under bounds, or of a density with a kink"):
        laplace.profile(["parties", "Intercept"])
    held = mlekit.fit("miltcoup ~ parties", AFRICA, "normal", fixed={"sigma": 2.0})
    with pytest.raises(ValueError, match="sigma is held, and not estimated"):
        held.profile("sigma")
    with pytest.raises(ValueError, match=r"parties = 0.02 is held, and not estimated"):
        mlekit.fit("miltcoup ~ parties", AFRICA, "poisson", fixed={"parties": 0.02}).profile("parties")
    with pytest.raises(ValueError, match="nothing was estimated"):
        mlekit.fit("miltcoup ~ 1", AFRICA, "poisson", fixed={"mu": 2.0}).conf_int(method="profile")
    gone = mlekit.fit("miltcoup ~ parties", AFRICA, "poisson")
    gone.remove_data()
    with pytest.raises(NotGiven, match="remove_data"):
        gone.profile("parties")


# ---------------------------------------------------------------- figures


def test_the_figure_of_a_profile() -> None:
    found = POISSON.profile("popn")
    left, right = found.plot().axes
    ours, wald = (line.get_xydata() for line in left.lines[:2])
    np.testing.assert_allclose(ours, found.table[["value", "llf"]])
    z = (wald[:, 0] - found.estimate) / found.std_err
    np.testing.assert_allclose(wald[:, 1], POISSON.llf - z**2 / 2, rtol=1e-12)
    np.testing.assert_allclose(right.lines[0].get_xydata(), found.table[["value", "root"]])
    marked = sorted(line.get_xdata()[0] for line in left.lines if len(set(line.get_xdata())) == 1)
    assert marked == pytest.approx(sorted([*found.interval(), *found.wald()]))
    assert f"{found.interval()[0]:.4g}" in found.plot().get_suptitle()


def test_the_figure_of_one_side() -> None:
    with pytest.warns(ModelWarning, match="upper end"):
        found = STUDENT.profile("df_Intercept")
    assert "inf" in found.plot().get_suptitle()


# ---------------------------------------------------------------- pairs


def test_contours_are_roots() -> None:
    pair = POISSON.profile(["parties", "pollib"])
    curve = pair.curve(0.1, points=9)
    for parties, pollib in curve.to_numpy():
        held = mlekit.fit(FORMULA, AFRICA, "poisson", fixed={"parties": parties, "pollib": pollib})
        assert POISSON.llf - held.llf == pytest.approx(-np.log(0.1), rel=1e-10)
    around = np.arctan2(*((curve - pair.estimate) / POISSON.bse[["parties", "pollib"]]).to_numpy().T)
    assert (np.diff(np.unwrap(around)) != 0).all()
    assert abs(np.unwrap(np.append(around, around[0]))[-1] - around[0]) == pytest.approx(2 * np.pi)


def test_the_ellipse_of_a_pair_is_walds() -> None:
    pair = POISSON.profile(["parties", "popn - pollib"])
    points = (pair.wald(0.05, points=5) - pair.estimate).to_numpy()
    rows = np.array([[0, 1, 0, 0], [0, 0, -1, 1]])
    inverse = np.linalg.inv(rows @ POISSON.cov_params().to_numpy() @ rows.T)
    np.testing.assert_allclose(np.einsum("ij,jk,ik->i", points, inverse, points), stats.chi2.isf(0.05, 2), rtol=1e-9)


def test_a_pair_on_its_own_scale_and_an_open_contour() -> None:
    pair = STUDENT.profile(["mu", "df"])
    assert pair.estimate["df"] == pytest.approx(STUDENT.distribution.loc["df", "estimate"])
    with pytest.warns(
        ModelWarning, match=r"contour of mu and df is open, NaN at \d+ of 24 points: the likelihood falls"
    ):
        curve = pair.curve(0.05, points=24)
    assert curve.isna().any(axis=None)
    assert curve["df"].min() > 0
    axes = POISSON.profile(["parties", "popn"]).plot((0.5, 0.05)).axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("parties", "popn")
    assert [len(line.get_xdata()) for line in axes.lines] == [73, 73, 73, 73, 1]


def test_pairs_that_are_refused() -> None:
    with pytest.raises(ValueError, match=r"parties and 2\*parties are the same up to a factor"):
        POISSON.profile(["parties", "2*parties"])
    bounded = mlekit.fit(FORMULA, AFRICA, "poisson", bounds={"popn": (0, None)})
    with pytest.raises(ValueError, match="contours under bounds, or of a density with a kink"):
        bounded.profile(["parties", "popn"])
    pair = POISSON.profile(["parties", "popn"])
    with pytest.raises(ValueError, match="alpha must be between 0 and 1"):
        pair.curve(0)
    with pytest.raises(ValueError, match="points must be a whole number of 3 or more"):
        pair.curve(points=2)
    assert isinstance(pair.estimate, pd.Series)
