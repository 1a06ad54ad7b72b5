"""Predictions of rows in which a column that was left out as collinear is not the combination that it was in the fit.

The judge is the textbook's criterion: a row is estimable if it is orthogonal to the null space of the matrix of the fit
(Searle 1971, section 5.4), which `predict(lm, rankdeficient = "NA")` of R 4.3 and later takes too.
"""

import warnings

import numpy as np
import pandas as pd
import patsy
import pytest
from scipy import linalg
from statsmodels.tools.sm_exceptions import CollinearityWarning, ConvergenceWarning

import mlekit

RNG = np.random.default_rng(3)
CELLS = pd.DataFrame({"g": np.repeat(["a", "b", "c"], 60), "h": np.tile(["p", "q", "r"], 60)})
CELLS = CELLS[~((CELLS.g == "b") & (CELLS.h == "r")) & ~((CELLS.g == "c") & (CELLS.h == "q"))].reset_index(drop=True)
N = len(CELLS)
DATA = CELLS.assign(
    x=RNG.normal(size=N),
    z=RNG.normal(size=N),
    e=RNG.uniform(1, 2, N),
    k=RNG.poisson(3.0, N),
    y=RNG.normal(size=N),
    level=RNG.choice(["low", "mid", "top"], N),
)
DATA["w"] = 2 * DATA.x - DATA.z + 1
GRID = pd.DataFrame([(g, h) for g in "abc" for h in "pqr"], columns=["g", "h"])
GRID = GRID.assign(x=np.linspace(-5, 5, 9), z=1e3, e=2.0).assign(w=lambda d: 2 * d.x - d.z + 1)
GRID.index = [f"row {i}" for i in range(9)]


def fitted(*args, **how):
    with pytest.warns(CollinearityWarning, match="collinear columns were left out"):
        return mlekit.fit(*args, **how)


def estimable(rhs, data, new):
    """Whether rows are orthogonal to the null space of the matrix of the fit."""
    matrix = patsy.dmatrix(rhs, data)
    scale = np.abs(matrix).max(axis=0)
    scale[scale == 0] = 1
    rows = np.asarray(patsy.build_design_matrices([matrix.design_info], new)[0]) / scale
    null = linalg.null_space(np.asarray(matrix) / scale)
    assert null.shape[1]
    return np.abs(rows @ null).max(axis=1) <= 1e-9 * np.abs(rows).max(axis=1)


@pytest.mark.parametrize(
    "rhs", ["C(g) * C(h)", "C(g):C(h)", "C(g) * C(h) + x", "C(g) * x + C(h) * C(g) + I(3 * x)", "0 + C(g) * C(h)"]
)
@pytest.mark.parametrize(("family", "response"), [("normal", "y"), ("poisson", "k"), ("multinomial_logit", "level")])
def test_empty_cells_are_nan_where_the_null_space_says_so(rhs, family, response):
    wanted = estimable(rhs, DATA, GRID)
    assert 0 < wanted.sum() < 9
    fit = fitted(f"{response} ~ {rhs}", DATA, family)
    what = "probabilities" if response == "level" else "mean"
    lost = GRID.index[~wanted]
    with pytest.warns(RuntimeWarning, match=rf"{len(lost)} rows of 9 \({', '.join(lost)}\) cannot .* = 0.* What to do"):
        found = fit.predict(GRID, what)
    known = (found if found.ndim == 1 else found.iloc[:, 0]).notna()
    assert known.to_numpy().tolist() == wanted.tolist()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        alone = fit.predict(GRID[wanted], what)
    pd.testing.assert_frame_equal(pd.DataFrame(found[wanted]), pd.DataFrame(alone), rtol=1e-13)


def test_a_relation_between_covariates_is_judged_by_the_row():
    fit, short = fitted("k ~ x + z + w", DATA, "poisson"), mlekit.fit("k ~ x + z", DATA, "poisson")
    near = GRID.assign(w=GRID.w * (1 + 1e-13))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_allclose(fit.predict(near, "linear"), short.predict(near, "linear"), rtol=1e-9)
        pd.testing.assert_series_equal(fit.predict(DATA), fit.predict())
    far = GRID.copy()
    far.loc["row 3", "w"] += 1e-3
    wanted = estimable("x + z + w", DATA, far)
    with pytest.warns(RuntimeWarning, match=r"1 row of 9 \(row 3\) .* is NaN.*w = Intercept \+ 2\*x - z"):
        frame = fit.get_prediction(far).summary_frame()
    assert frame.notna().all(axis=1).to_numpy().tolist() == wanted.tolist()
    assert frame.isna().any(axis=1).sum() == frame.isna().all(axis=1).sum() == 1


@pytest.mark.parametrize("unit", [1e-200, 1e-9, 1e12, 1e200])
def test_units_do_not_matter(unit):
    data, new = (d.assign(w=d.w * unit) for d in (DATA, GRID))
    fit = fitted("y ~ x + z + w", data, "normal")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert fit.predict(new).notna().all()
    new.loc["row 3", "w"] += 0.1 * unit
    with pytest.warns(RuntimeWarning, match="row 3"):
        assert fit.predict(new).isna().tolist() == [i == 3 for i in range(9)]


def test_every_parameter_offsets_and_missing_values_count():
    new = GRID.astype({"x": float})
    new.loc["row 1", "x"] = np.nan
    new.loc["row 4", "w"] += 1
    shift = np.arange(9.0)
    fit = fitted({"mu": "y ~ x + offset(e)", "sigma": "~ x + z + w"}, DATA, offset=np.zeros(N))
    with pytest.warns(RuntimeWarning, match=r"1 row of 8 \(row 4\)"):
        found = fit.predict(new, offset=shift)
    expected = fit.params["Intercept"] + fit.params["x"] * new.x + new.e + shift
    np.testing.assert_allclose(found, expected.mask(new.index == "row 4"), rtol=1e-13)


def test_matrices_are_checked_too():
    X = DATA[["x", "z"]].assign(one=1.0, w=DATA.w)
    with pytest.warns(CollinearityWarning):
        fit = mlekit.Model.from_arrays(DATA.k, X, "poisson").fit()
    new = GRID[["x", "z"]].assign(one=1.0, w=GRID.w)
    new.loc["row 8", "w"] = 0
    with pytest.warns(RuntimeWarning, match=r"\(row 8\)"):
        assert fit.predict(new).isna().tolist() == [False] * 8 + [True]
    with pytest.warns(RuntimeWarning, match=r"\(8\)"):
        assert np.isnan(fit.predict(new.to_numpy())).tolist() == [False] * 8 + [True]


def test_a_fit_without_rows_and_a_saved_one_know_the_relations(tmp_path):
    fit = fitted("k ~ C(g) * C(h) + x + z + w", DATA, "poisson")
    fit.save(tmp_path / "fit.json")
    fit.remove_data()
    for each in (fit, mlekit.load(tmp_path / "fit.json")):
        with pytest.warns(RuntimeWarning, match=r"2 rows of 9 \(row 5, row 7\)"):
            assert np.flatnonzero(each.predict(GRID).isna()).tolist() == [5, 7]


def test_infinite_estimates_too():
    data = DATA.assign(b=(DATA.x > 0).astype(int))
    with pytest.warns(ConvergenceWarning, match="no finite estimate"), pytest.warns(CollinearityWarning):
        fit = mlekit.fit("b ~ x + C(g) * C(h)", data, "bernoulli")
    with pytest.warns(RuntimeWarning, match=r"\(row 5, row 7\)"):
        found = fit.predict(GRID.assign(x=3.0))
    assert found.isna().tolist() == (~estimable("x + C(g) * C(h)", data, GRID)).tolist()


def test_effects_that_the_data_say_nothing_of_are_nan():
    fit = fitted("k ~ C(g) * C(h) + x + I(2 * x) + z + w", DATA, "poisson")
    frame = fit.marginal_effects().summary_frame()
    # x moves with its double but not with w, and each contrast of levels meets an empty cell.
    assert frame["estimate"].isna().all()
    obeyed = fitted("k ~ x + I(2 * x) + z", DATA, "poisson")
    plain = mlekit.fit("k ~ x + z", DATA, "poisson")
    np.testing.assert_allclose(
        obeyed.marginal_effects().summary_frame()["estimate"], plain.marginal_effects().summary_frame()["estimate"]
    )


def test_figures_leave_such_points_out_and_say_so():
    pytest.importorskip("matplotlib")
    fit = fitted("k ~ C(g) * C(h)", DATA, "poisson")
    with pytest.warns(RuntimeWarning, match="2 rows of 9"):
        figure = fit.plot_effects("g", by="h")
    drawn = np.concatenate([line.get_ydata() for line in figure.axes[0].get_lines()]).astype(float)
    cells = DATA.groupby(["g", "h"])["k"].mean()
    drawn = drawn[np.isfinite(drawn)].round(6)
    assert set(cells.round(6)) <= set(drawn)
    assert len(set(drawn)) == 3 * len(set(cells.round(6)))  # with the ends of an interval each
