"""Robust and clustered covariances, against R in 50 digits, statsmodels, repeated rows and leaving out by hand."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
import statsmodels.formula.api as smf
from statsmodels.tools.sm_exceptions import ConvergenceWarning

import mlekit
from mlekit.covariance import COVARIANCES
from tests.reference import load
from tests.test_reference_fits import CASES, assert_covariance, model_of

ROBUST = [name for name in CASES if "robust" in load(name).expected]
CLUSTERED = [name for name in ROBUST if "CL_HC0_noadj" in load(name).expected["robust"]]


@pytest.mark.parametrize("kind", ["HC0", "HC1", "HC2", "HC3"])
@pytest.mark.parametrize("name", ROBUST)
def test_rows_equal_reference(name: str, kind: str) -> None:
    """R takes the expected information, for the leverages too."""
    case = load(name)
    fit = model_of(case).fit()
    order, expected = case.expected["param_order"], case.expected["robust"]
    assert_covariance(fit.with_cov(kind, information="expected").cov_params(), order, expected[kind]["cov"])
    if "HC0_observed_bread" not in expected:  # observed and expected information are the same
        assert_covariance(fit.with_cov(kind).cov_params(), order, expected[kind]["cov"])


@pytest.mark.parametrize(("kind", "key"), [("CR0", "CL_HC0_noadj"), ("CR1", "CL_HC0_cadj"), ("cluster", "CL_HC1_cadj")])
@pytest.mark.parametrize("name", CLUSTERED)
def test_clusters_equal_reference(name: str, kind: str, key: str) -> None:
    case = load(name)
    order, expected = case.expected["param_order"], case.expected["robust"]
    fit = model_of(case).fit().with_cov(kind, groups=case.options["cluster"], information="expected")
    assert_covariance(fit.cov_params(), order, expected[key]["cov"])
    if key + "_observed_bread" in expected:
        fit = model_of(case).fit().with_cov(kind, groups=case.options["cluster"])
        assert_covariance(fit.cov_params(), order, expected[key + "_observed_bread"]["cov"])


# ------------------------------------------------------------------------------------ exact facts


@pytest.fixture(scope="module")
def panel() -> pd.DataFrame:
    """Twelve firms of unequal size over six years, with one missing value."""
    rng = np.random.default_rng(7)
    firm = np.repeat(np.arange(12), rng.integers(2, 9, 12))
    n = firm.size
    frame = pd.DataFrame(
        {"firm": firm, "year": rng.integers(0, 6, n), "x": rng.normal(size=n), "z": rng.uniform(size=n)}
    )
    shock = rng.normal(size=12)[firm] + 0.5 * rng.normal(size=6)[frame.year]
    frame["y"] = 1 + frame.x + shock + rng.normal(size=n) * (1 + frame.z)
    frame["k"] = rng.poisson(np.exp(0.3 + 0.4 * frame.x + 0.3 * shock))
    frame["w"] = rng.integers(1, 4, n)
    frame.loc[4, "x"] = np.nan
    return frame.sample(frac=1, random_state=1)


def test_jackknifes_are_what_leaving_out_gives(panel: pd.DataFrame) -> None:
    """HC3 and CR3 of least squares: the sum of squares of what leaving a row, or a firm, out does to the estimates."""
    fit = mlekit.fit("y ~ x + z", panel)
    used = panel.dropna()
    X, y = sm.add_constant(used[["x", "z"]].to_numpy()), used.y.to_numpy()

    def changes(groups: np.ndarray) -> np.ndarray:
        kept = (groups != g for g in np.unique(groups))
        all_in = np.linalg.lstsq(X, y)[0]
        return np.array([np.linalg.lstsq(X[rows], y[rows])[0] - all_in for rows in kept])

    for found, groups in (
        (fit.with_cov("HC3"), np.arange(len(used))),
        (fit.with_cov("CR3", groups="firm"), used.firm.to_numpy()),
    ):
        moves = changes(groups)
        np.testing.assert_allclose(found.cov_params().to_numpy()[:3, :3], moves.T @ moves, rtol=1e-9)


def test_cr2_is_that_of_bell_and_mccaffrey(panel: pd.DataFrame) -> None:
    """With the symmetric inverse root of I - H of each firm, by Schur's method."""
    from scipy import linalg

    used = panel.dropna()
    X, y, firm = sm.add_constant(used[["x", "z"]].to_numpy()), used.y.to_numpy(), used.firm.to_numpy()
    bread = np.linalg.inv(X.T @ X)
    residual = y - X @ bread @ X.T @ y
    scores = []
    for g in np.unique(firm):
        mine = firm == g
        hat = X[mine] @ bread @ X[mine].T
        scores.append(X[mine].T @ linalg.inv(linalg.sqrtm(np.eye(mine.sum()) - hat)) @ residual[mine])
    want = bread @ (np.array(scores).T @ scores) @ bread
    found = mlekit.fit("y ~ x + z", panel).with_cov("CR2", groups="firm").cov_params().to_numpy()
    np.testing.assert_allclose(found[:3, :3], want, rtol=1e-9)


MODELS = {
    "normal": ("y ~ x + z", "normal"),
    "two formulas": ({"mu": "y ~ x", "sigma": "~ z"}, "normal"),
    "poisson": ("k ~ x + z", "poisson"),
    "negative binomial": ("k ~ x", "negative_binomial"),
    "softplus": ("k ~ x", mlekit.Poisson(mu="softplus")),
}
each_model = pytest.mark.parametrize("name", MODELS)


@each_model
def test_rows_are_clusters_of_one(panel: pd.DataFrame, name: str) -> None:
    """Rows go through matrices of their parameters, clusters through those of the coefficients."""
    formula, family = MODELS[name]
    fit, alone = mlekit.fit(formula, panel, family), np.arange(len(panel))
    for rows, clusters in (("HC0", "CR0"), ("HC2", "CR2"), ("HC3", "CR3")):
        a, b = fit.with_cov(rows).bse, fit.with_cov(clusters, groups=alone).bse
        np.testing.assert_allclose(a, b, rtol=1e-8)


@each_model
def test_weights_are_repeated_rows(panel: pd.DataFrame, name: str) -> None:
    formula, family = MODELS[name]
    repeated = panel.loc[panel.index.repeat(panel.w)].reset_index(drop=True)
    weighted, plain = mlekit.fit(formula, panel, family, weights="w"), mlekit.fit(formula, repeated, family)
    for kind in ("HC0", "HC1", "HC2", "HC3", "opg"):
        np.testing.assert_allclose(weighted.with_cov(kind).bse, plain.with_cov(kind).bse, rtol=1e-7)
    for kind in ("cluster", "CR0", "CR1", "CR2", "CR3")[: 3 if name == "negative binomial" else None]:
        found = weighted.with_cov(kind, groups="firm").bse
        np.testing.assert_allclose(found, plain.with_cov(kind, groups="firm").bse, rtol=1e-7)


@each_model
def test_units_change_nothing(panel: pd.DataFrame, name: str) -> None:
    formula, family = MODELS[name]
    other = panel.assign(x=1e9 * panel.x + 3e9, z=panel.z * 1e-8)
    for kind in ("HC2", "HC3", "CR2", "CR3")[: 2 if name == "negative binomial" else None]:
        how = {"groups": "firm"} if kind.startswith("CR") else {}
        a = mlekit.fit(formula, panel, family).with_cov(kind, **how)
        b = mlekit.fit(formula, other, family).with_cov(kind, **how)
        assert b.tvalues["x"] == pytest.approx(a.tvalues["x"], rel=1e-6)


# ------------------------------------------------------------------------------------ statsmodels


def test_two_way_clusters_equal_statsmodels(panel: pd.DataFrame) -> None:
    used = panel.dropna()
    pairs = used[["firm", "year"]].to_numpy()
    for formula, family, peer in (
        ("y ~ x + z", "normal", smf.ols("y ~ x + z", used)),
        ("k ~ x + z", "poisson", smf.glm("k ~ x + z", used, family=sm.families.Poisson())),
    ):
        want = peer.fit(cov_type="cluster", cov_kwds={"groups": pairs})
        found = mlekit.fit(formula, panel, family).with_cov("cluster", groups=("firm", "year"))
        np.testing.assert_allclose(found.bse[want.params.index], want.bse, rtol=1e-6)
    assert "by firm and year: 12 clusters" in found.cov_text


@pytest.mark.parametrize("lags", [0, 1, 5])
def test_newey_west_equals_statsmodels(panel: pd.DataFrame, lags: int) -> None:
    used = panel.dropna()
    for formula, family, peer in (
        ("y ~ x + z", "normal", smf.ols("y ~ x + z", used)),
        ("k ~ x + z", "poisson", smf.glm("k ~ x + z", used, family=sm.families.Poisson())),
    ):
        want = peer.fit(cov_type="HAC", cov_kwds={"maxlags": lags})
        found = mlekit.fit(formula, panel, family).with_cov("hac", lags=lags)
        np.testing.assert_allclose(found.bse[want.params.index], want.bse, rtol=1e-6)
    assert mlekit.fit("y ~ x", panel).with_cov("hac").cov_text == "sandwich, Newey-West, 3 lags"


def test_student_s_t_has_a_degree_of_freedom_less_than_clusters(panel: pd.DataFrame) -> None:
    used = panel.dropna()
    want = smf.ols("y ~ x + z", used).fit(cov_type="cluster", cov_kwds={"groups": used.firm}, use_t=True)
    found = mlekit.fit("y ~ x + z", panel).with_cov("cluster", groups="firm", use_t=True)
    names = want.params.index
    np.testing.assert_allclose(found.pvalues[names], want.pvalues, rtol=1e-9)
    np.testing.assert_allclose(found.conf_int().loc[names], want.conf_int(), rtol=1e-9)
    np.testing.assert_allclose(found.t_test("x = 1").pvalue, want.t_test("x = 1").pvalue, rtol=1e-9)
    np.testing.assert_allclose(found.f_test("x = z").pvalue, want.f_test("x = z").pvalue, rtol=1e-9)
    assert found.df_resid_inference == 11


# ------------------------------------------------------------------------------------ behaviour


def test_the_fit_stays_as_it_was(panel: pd.DataFrame) -> None:
    fit = mlekit.fit("k ~ x", panel, "poisson")
    before, errors = str(fit.summary()), fit.bse.copy()
    robust = fit.with_cov("cr1", groups="firm")
    assert str(fit.summary()).splitlines()[8:] == before.splitlines()[8:]
    assert fit.bse.equals(errors)
    assert fit.cov_type == "nonrobust"
    assert robust.params.equals(fit.params)
    assert robust.llf == fit.llf
    assert robust.with_cov("nonrobust").bse.equals(errors)
    assert "sandwich, CR1, by firm: 12 clusters, times G / (G - 1) = 1.09091" in " ".join(str(robust.summary()).split())
    first = robust.get_prediction(panel[:1]).summary_frame()
    assert first["linear_se"].item() != fit.get_prediction(panel[:1]).summary_frame()["linear_se"].item()


def test_groups_may_be_given_in_many_ways(panel: pd.DataFrame) -> None:
    fit = mlekit.fit("k ~ x", panel, "poisson")
    want = fit.with_cov("cluster", groups="firm").bse
    names = panel.firm.map(lambda firm: f"firm {firm}")
    used = panel.dropna()
    for groups in (panel.firm, names, names.to_list(), names.to_numpy(), used.firm, names.astype("category"), ["firm"]):
        np.testing.assert_allclose(fit.with_cov("cluster", groups=groups).bse, want, rtol=1e-12)
    weighted = mlekit.fit("k ~ x", panel.assign(w=(panel.firm != 3).astype(int)), "poisson", weights="w")
    assert "11 clusters" in weighted.with_cov("CR0", groups="firm").cov_text
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame(panel.to_dict("list"))
    other = mlekit.fit("k ~ x", frame.with_columns(polars.col("x").fill_nan(None)), "poisson")
    np.testing.assert_allclose(other.with_cov("cluster", groups="firm").bse, want, rtol=1e-10)


def test_restricted_and_free_form_fits_have_them_too(panel: pd.DataFrame) -> None:
    one = mlekit.fit("k ~ x + z", panel, "poisson", constraints="z = 0")
    two = mlekit.fit("k ~ x", panel, "poisson")
    for kind in ("HC0", "HC2", "HC3", "CR2"):
        how = {"groups": "firm"} if kind == "CR2" else {}
        found = one.with_cov(kind, **how).bse
        np.testing.assert_allclose(found[["Intercept", "x"]], two.with_cov(kind, **how).bse, rtol=1e-7)
        assert np.isnan(found["z"])
    used = panel.dropna()

    def poisson(a: float, b: float, k: np.ndarray, x: np.ndarray) -> np.ndarray:
        return k * (a + b * x) - np.exp(a + b * x)

    free = mlekit.mle(poisson, {"a": 0.0, "b": 0.0}, {"k": used.k.to_numpy(float), "x": used.x.to_numpy()})
    np.testing.assert_allclose(free.with_cov("HC0").bse, two.with_cov("HC0").bse, rtol=1e-6)
    np.testing.assert_allclose(
        free.with_cov("CR0", groups=used.firm.to_numpy()).bse, two.with_cov("CR0", groups="firm").bse, rtol=1e-6
    )


def test_wrong_input_is_refused(panel: pd.DataFrame) -> None:
    fit = mlekit.fit("k ~ x", panel, "poisson")
    for how, error, message in (
        ({"cov_type": "HC9"}, ValueError, "unknown cov_type 'HC9'"),
        ({"cov_type": "cluster"}, TypeError, r"cov_type='cluster' needs groups"),
        ({"cov_type": "HC1", "groups": "firm"}, TypeError, "cov_type='HC1' takes information=, and not groups="),
        ({"cov_type": "cluster", "groups": "frim"}, ValueError, "frim"),
        ({"cov_type": "cluster", "groups": [1, 2]}, ValueError, "groups must be a column's name, or one value per row"),
        ({"cov_type": "cluster", "groups": np.ones(len(panel))}, ValueError, "puts all rows into one cluster"),
        (
            {"cov_type": "cluster", "groups": panel.firm.where(panel.firm != 2)},
            ValueError,
            r"firm is missing in row \d+ and \d+ more: each",
        ),
        ({"cov_type": "cluster", "groups": panel.firm.reset_index(drop=True)}, ValueError, "the same index"),
        ({"cov_type": "hac", "lags": -1}, ValueError, "lags must be a whole number from 0"),
        ({"cov_type": "HC0", "information": "fisher"}, ValueError, "must be 'observed' or 'expected'"),
    ):
        with pytest.raises(error, match=message):
            fit.with_cov(**how)
    with pytest.raises(TypeError, match=r"needs groups: fit without it, and then with_cov\('CR1', groups=\.\.\.\)"):
        mlekit.fit("k ~ x", panel, "poisson", cov_type="CR1")
    with pytest.raises(ValueError, match="unpickled"):
        pickle.loads(pickle.dumps(fit)).with_cov("cluster", groups="firm")
    pickle.loads(pickle.dumps(fit)).with_cov("cluster", groups=panel.firm.to_numpy())
    with pytest.raises(ValueError, match="alone determines some coefficient"):
        mlekit.fit("y ~ C(one)", panel.assign(one=np.arange(len(panel)) == 9)).with_cov("HC3")
    with pytest.raises(ValueError, match="a cluster alone determines some coefficient"):
        mlekit.fit("y ~ C(one)", panel.assign(one=panel.firm == 5)).with_cov("CR2", groups="firm")
    with pytest.raises(ValueError, match="or has more of the observed information"):
        mlekit.fit("k ~ x", panel, "negative_binomial", weights="w").with_cov("CR3", groups="firm")
    with pytest.raises(ValueError, match="kinks in its place"):
        mlekit.fit("y ~ x", panel, "laplace").with_cov("cluster", groups="firm")
    with pytest.raises(ValueError, match="knows nothing of the penalty"):
        mlekit.fit("k ~ x", panel, "poisson", penalty=mlekit.Ridge()).with_cov("opg")
    with pytest.raises(ValueError, match="needs one row per point of time"):
        mlekit.fit("y ~ x", panel, weights="w").with_cov("hac")


def test_data_that_were_changed_are_not_looked_up(panel: pd.DataFrame) -> None:
    frame = panel.reset_index(drop=True)
    fit = mlekit.fit("k ~ x", frame, "poisson")
    want = fit.with_cov("CR0", groups="firm").bse
    values = frame.firm.copy()
    frame.index = frame.index[::-1]
    with pytest.raises(ValueError, match="other rows, or another order of them, than when they were fitted"):
        fit.with_cov("CR0", groups="firm")
    frame.loc[len(frame)] = frame.loc[0]
    with pytest.raises(ValueError, match=r"one value per row: 67 rows in use, or 68 of the data"):
        fit.with_cov("CR0", groups="firm")
    assert fit.with_cov("CR0", groups=values).bse.equals(want)


def test_errors_of_a_fit_that_is_not_the_maximum_are_said(panel: pd.DataFrame) -> None:
    with pytest.warns(ConvergenceWarning):
        fit = mlekit.fit("k ~ x", panel, "poisson", method="newton", maxiter=1)
    with pytest.warns(ConvergenceWarning, match="a fit that is not the maximum: not converged"):
        fit.with_cov("HC0")


def test_sampling_weights_are_clusters_of_rows(panel: pd.DataFrame) -> None:
    """Their sum of squares is of the weighted scores: weights in another unit change nothing."""
    used = panel.dropna()
    fit = mlekit.fit("k ~ x", used, "poisson", weights=used.w / 7)
    X = sm.add_constant(used[["x"]].to_numpy())
    mean = np.exp(X @ fit.params.to_numpy())
    w = used.w.to_numpy() / 7
    bread = np.linalg.inv((X * (w * mean)[:, None]).T @ X)
    scores = X * (w * (used.k - mean).to_numpy())[:, None]
    found = fit.with_cov("CR0", groups=range(len(used)))
    np.testing.assert_allclose(found.cov_params(), bread @ scores.T @ scores @ bread, rtol=1e-8)


def test_small_samples_have_lags(panel: pd.DataFrame) -> None:
    fit = mlekit.fit("k ~ 1", panel[:1], "poisson")
    assert fit.with_cov("hac").cov_text == "sandwich, Newey-West, 0 lags: none, as every row is fitted exactly"
    with pytest.raises(ValueError, match="lags must be a whole number from 0 to 0, not True"):
        fit.with_cov("hac", lags=True)


def test_a_variance_below_zero_is_said() -> None:
    """Two-way clusters subtract, and may leave too little: here each pair of cells cancels in both ways."""
    frame = pd.DataFrame({"y": [1.0, -1, -1, 1], "a": list("ppqq"), "b": list("rsrs")})
    with pytest.warns(UserWarning, match="some variance negative"):
        fit = mlekit.fit("y ~ 1", frame).with_cov("CR0", groups=["a", "b"])
    assert np.isnan(fit.bse["Intercept"])


def test_every_covariance_is_described() -> None:
    text = mlekit.results.Results.with_cov.__doc__
    assert all(name in text for name in COVARIANCES if name not in ("HC1", "HC2", "CR1", "CR2"))
