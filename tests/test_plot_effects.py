"""Figures of predictions along variables: their numbers are those of predictions, and awkward data are drawn."""

from __future__ import annotations

import io
import warnings

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from scipy import stats
from statsmodels.tools.sm_exceptions import CollinearityWarning, ConvergenceWarning

import mlekit
from mlekit.diagnostics import NotGiven

RNG = np.random.default_rng(4)
N = 120
DATA = pd.DataFrame({"x": RNG.normal(size=N), "u": RNG.normal(5, 1, N), "g": RNG.choice(["a", "b", "c"], N)})
DATA["t"] = RNG.uniform(0.5, 4, N)
DATA["y"] = 1 + DATA.x + 0.3 * DATA.u + RNG.normal(size=N)
DATA["k"] = RNG.poisson(DATA.t * np.exp(0.3 + 0.4 * DATA.x))
DATA["b"] = (RNG.uniform(size=N) < 1 / (1 + np.exp(-DATA.x))).astype(int)
DATA["n"] = RNG.integers(1, 9, N)
DATA["s"] = RNG.binomial(DATA.n, 1 / (1 + np.exp(-DATA.x)))
DATA["miss"] = DATA.n - DATA.s
DATA["many"] = [f"a level of a very long name, number {i % 40}" for i in range(N)]
DATA["level"] = pd.cut(DATA.x + RNG.logistic(size=N), [-20, -1, 1, 20], labels=["low", "mid", "high"])
MODE = DATA.g.value_counts().idxmax()


def saved(drawn):
    drawn.savefig(io.BytesIO())
    return drawn


def named(axes, label):
    return next(line for line in axes.lines if line.get_label() == label)


def band(axes):
    """Place, lower and upper end of the first band."""
    vertices = axes.collections[0].get_paths()[0].vertices
    x = np.unique(vertices[:, 0])
    return x, *(np.array([end(vertices[vertices[:, 0] == at, 1]) for at in x]) for end in (np.min, np.max))


# ------------------------------------------------------------------------------------ the fit


def test_mean_and_intervals_of_least_squares_are_those_of_statsmodels():
    drawn = saved(mlekit.fit("y ~ x + u + g", DATA, use_t=True).plot_fit("x", alpha=0.1))
    (axes,) = drawn.axes
    grid = named(axes, "mean of y, 90 %").get_xdata()
    assert (grid.min(), grid.max()) == (DATA.x.min(), DATA.x.max())
    new = pd.DataFrame({"x": grid, "u": DATA.u.mean(), "g": MODE})
    frame = smf.ols("y ~ x + u + g", DATA).fit().get_prediction(new).summary_frame(0.1)
    assert named(axes, "mean of y, 90 %").get_ydata() == pytest.approx(frame["mean"].to_numpy(), rel=1e-9)
    x, low, high = band(axes)
    assert x == pytest.approx(grid)
    assert low == pytest.approx(frame["mean_ci_lower"].to_numpy(), rel=1e-8)
    assert high == pytest.approx(frame["mean_ci_upper"].to_numpy(), rel=1e-8)
    lines = [line for line in axes.lines if line.get_linestyle() == "--"]
    assert lines[0].get_ydata() == pytest.approx(frame["obs_ci_lower"].to_numpy(), rel=1e-8)
    assert lines[1].get_ydata() == pytest.approx(frame["obs_ci_upper"].to_numpy(), rel=1e-8)
    assert named(axes, "data").get_xydata() == pytest.approx(DATA[["x", "y"]].to_numpy())
    assert drawn.get_suptitle() == f"Normal: y\nat u = {DATA.u.mean():.4g}, g = {MODE}"


def test_the_first_number_is_the_default_and_others_can_be_held():
    fit = mlekit.fit("k ~ g + x", DATA, "poisson", exposure="t")
    drawn = saved(fit.plot_fit(at={"t": 2.0, "g": "b"}))
    line = named(drawn.axes[0], "mean of k, 95 %")
    new = pd.DataFrame({"x": line.get_xdata(), "t": 2.0, "g": "b"})
    assert line.get_ydata() == pytest.approx(fit.predict(new).to_numpy(), rel=1e-12)
    assert "t = 2" in drawn.get_suptitle()
    points = named(drawn.axes[0], "data").get_ydata()
    assert np.abs(points - DATA.k).max() <= 0.15  # moved, so that equal counts are seen
    assert np.abs(points - DATA.k).max() > 0.05
    assert not [line for line in fit.plot_fit(obs=False).axes[0].lines if line.get_linestyle() == "--"]


def test_shares_of_yes_and_no_have_exact_intervals():
    (axes,) = saved(mlekit.fit("b ~ g", DATA, "bernoulli").plot_fit()).axes
    shares, fitted = axes.containers
    assert shares.get_label() == "observed shares, 95 %"
    counts = DATA.groupby("g").b.agg(["sum", "size"])
    assert shares.lines[0].get_ydata() == pytest.approx((counts["sum"] / counts["size"]).to_numpy())
    assert fitted.lines[0].get_ydata() == pytest.approx((counts["sum"] / counts["size"]).to_numpy(), rel=1e-7)
    for segment, row in zip(shares.lines[2][0].get_segments(), counts.itertuples(), strict=True):
        exact = stats.binomtest(int(row.sum), int(row.size)).proportion_ci(method="exact")
        assert segment[:, 1] == pytest.approx([exact.low, exact.high], rel=1e-9)
    trials = saved(mlekit.fit("cbind(s, miss) ~ x", DATA, "binomial").plot_fit()).axes[0].containers[0].lines[0]
    cut = pd.cut(DATA.x, [-np.inf, *trials.get_xdata()[1:2], np.inf])
    assert len(cut)  # ten groups, whose shares are between 0 and 1
    assert len(trials.get_ydata()) == 10
    assert ((trials.get_ydata() > 0) & (trials.get_ydata() < 1)).all()


def test_groups_weigh_by_their_trials():
    data = pd.DataFrame({"x": [1.0, 1.0, 2.0, 3.0], "s": [1, 2, 3, 1], "miss": [4, 0, 1, 3], "w": [2, 1, 3, 1]})
    points = mlekit.fit("cbind(s, miss) ~ x", data, "binomial", weights="w").plot_fit().axes[0].containers[0].lines[0]
    assert points.get_xydata().tolist() == pytest.approx(np.array([[1, 4 / 12], [2, 9 / 12], [3, 1 / 4]]))


def test_censored_responses_are_triangles():
    data = DATA.assign(t=np.minimum(DATA.t, 3), seen=(DATA.t < 3).astype(int))
    (axes,) = saved(mlekit.fit("Surv(t, seen) ~ x", data, mlekit.Censored("weibull")).plot_fit()).axes
    assert len(named(axes, "data").get_xdata()) == data.seen.sum()
    assert named(axes, "at least").get_ydata().tolist() == [3.0] * int((1 - data.seen).sum())
    ranges = data.assign(low=np.floor(DATA.y), high=np.floor(DATA.y) + 1)
    (axes,) = saved(
        mlekit.fit("Surv(low, high, type='interval') ~ x", ranges, mlekit.Censored("normal")).plot_fit()
    ).axes
    segments = next(c for c in axes.collections if c.get_label() == "between").get_segments()
    assert [s[0, 1] for s in segments] == ranges.low.tolist()


def test_many_rows_are_sampled_and_that_is_said():
    rng = np.random.default_rng(0)
    data = pd.DataFrame({"x": rng.normal(size=20_000)})
    data["y"] = data.x + rng.normal(size=20_000)
    drawn = saved(mlekit.fit("y ~ x", data).plot_fit())
    assert len(named(drawn.axes[0], "data").get_xdata()) == 5000
    assert drawn.legends[0].get_title().get_text() == "5000 of 20000 rows drawn"


# ------------------------------------------------------------------------------------ effects


def test_effects_are_predictions():
    fit = mlekit.fit("k ~ x * g + u", DATA, "poisson")
    drawn = saved(fit.plot_effects())
    assert [axes.get_xlabel() for axes in drawn.axes] == ["x", "g", "u"]
    for axes in drawn.axes:
        name = axes.get_xlabel()
        held = {"x": DATA.x.mean(), "u": DATA.u.mean(), "g": MODE}
        if name == "g":
            frame = fit.get_prediction(pd.DataFrame({**held, "g": list("abc")})).summary_frame()
            points, _, (bars,) = axes.containers[0].lines
            assert points.get_ydata() == pytest.approx(frame["mean"].to_numpy(), rel=1e-12)
            ends = np.array([segment[:, 1] for segment in bars.get_segments()])
            assert ends == pytest.approx(frame[["mean_ci_lower", "mean_ci_upper"]].to_numpy(), rel=1e-10)
            assert [tick.get_text() for tick in axes.get_xticklabels()] == list("abc")
        else:
            grid = axes.lines[0].get_xdata()
            frame = fit.get_prediction(pd.DataFrame({**held, name: grid})).summary_frame()
            assert axes.lines[0].get_ydata() == pytest.approx(frame["mean"].to_numpy(), rel=1e-12)
            _, low, high = band(axes)
            assert low == pytest.approx(frame["mean_ci_lower"].to_numpy(), rel=1e-10)
            assert high == pytest.approx(frame["mean_ci_upper"].to_numpy(), rel=1e-10)
    assert len({axes.get_ylim() for axes in drawn.axes}) == 1


def test_an_interaction_has_a_line_for_each_level_or_quantile():
    fit = mlekit.fit("y ~ x * g + x * u", DATA)
    (axes,) = saved(fit.plot_effects("x", by="g", what="linear")).axes
    for level in "abc":
        line = named(axes, level)
        new = pd.DataFrame({"x": line.get_xdata(), "g": level, "u": DATA.u.mean()})
        assert line.get_ydata() == pytest.approx(fit.predict(new, "linear").to_numpy(), rel=1e-12)
    (axes,) = saved(fit.plot_effects("x", by="u")).axes
    for value in np.quantile(DATA.u, [0.1, 0.5, 0.9], method="inverted_cdf"):
        line = named(axes, f"{value:.4g}")
        new = pd.DataFrame({"x": line.get_xdata(), "u": value, "g": MODE})
        assert line.get_ydata() == pytest.approx(fit.predict(new).to_numpy(), rel=1e-12)
    levels = saved(fit.plot_effects("g", by="x")).axes[0]
    assert len(levels.containers) == 3


def test_parameters_and_levels():
    fit = mlekit.fit({"mu": "y ~ x", "sigma": "~ x"}, DATA)
    (axes,) = saved(fit.plot_effects(what="sigma")).axes
    assert axes.get_ylabel() == "sigma"
    grid = axes.lines[0].get_xdata()
    assert axes.lines[0].get_ydata() == pytest.approx(fit.predict({"x": grid}, "sigma").to_numpy(), rel=1e-12)
    slope = fit.params["sigma_Intercept"] + fit.params["sigma_x"] * grid
    X = np.column_stack([np.ones(grid.size), grid])
    cov = fit.cov_params().loc[["sigma_Intercept", "sigma_x"], ["sigma_Intercept", "sigma_x"]].to_numpy()
    se = np.sqrt(np.einsum("ij,jk,ik->i", X, cov, X))
    assert band(axes)[1] == pytest.approx(np.exp(slope - stats.norm.isf(0.025) * se), rel=1e-8)
    for family in ("ordered_logit", "multinomial_logit"):
        fit = mlekit.fit("level ~ x", DATA, family)
        drawn = saved(fit.plot_effects())
        for level in ("low", "mid", "high"):
            line = named(drawn.axes[0], level)
            table = fit.predict(pd.DataFrame({"x": line.get_xdata()}), "probabilities")
            assert line.get_ydata() == pytest.approx(table[level].to_numpy(), rel=1e-12)
        assert drawn.legends[0].get_title().get_text() == "level"


def test_other_rows_and_fits_without_their_data():
    import pickle

    fit = pickle.loads(pickle.dumps(mlekit.fit("y ~ x + g", DATA)))
    with pytest.raises(ValueError, match="the fit does not have the data"):
        fit.plot_effects()
    line = saved(fit.plot_effects("x", data=DATA[:50])).axes[0].lines[0]
    assert line.get_xdata().max() == DATA.x[:50].max()


# ------------------------------------------------------------------------------------ awkward data


@pytest.mark.parametrize("kind", ["plot_fit", "plot_effects"])
def test_many_levels_are_written_on_the_left(kind):
    fit = mlekit.fit("y ~ many", DATA)
    (axes,) = saved(getattr(fit, kind)()).axes
    assert axes.get_ylabel() == "many"
    assert len(axes.get_yticks()) == 40
    assert axes.get_yticklabels()[0].get_text() == "a level of a v...ber 0"
    assert axes.containers[-1].lines[0].get_xdata() == pytest.approx(
        fit.predict(pd.DataFrame({"many": sorted(DATA.many.unique())})).to_numpy()
    )


def test_one_value_and_one_level_are_points():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CollinearityWarning)
        constant = mlekit.fit("y ~ x + c", DATA.assign(c=3.0))
        one = mlekit.fit("y ~ g + x", DATA.assign(g="only"))
    assert saved(constant.plot_fit("c")).axes[0].containers[0].lines[0].get_xydata()[0, 0] == 3
    saved(constant.plot_effects())
    saved(one.plot_effects())


def test_infinite_estimates_leave_what_is_known():
    data = DATA.assign(k=DATA.k.where(DATA.g != "a", 0), b=(DATA.x > 0).astype(int))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        apart, zeros = mlekit.fit("b ~ x", data, "bernoulli"), mlekit.fit("k ~ g + x", data, "poisson")
    for drawn in (apart.plot_fit(), apart.plot_effects(), zeros.plot_effects()):
        assert "the estimates are not those of maximum" in saved(drawn).legends[0].get_title().get_text()
    assert apart.roc().auc == 1
    saved(apart.plot_roc())
    saved(apart.plot_calibration())
    # Where no zeros are certain, predictions and their errors are those of a fit without them.
    without = mlekit.fit("k ~ g + x", data[data.g != "a"], "poisson")
    new = pd.DataFrame({"g": ["b", "c"], "x": [0.0, 1.0]})
    pd.testing.assert_frame_equal(
        zeros.get_prediction(new).summary_frame(), without.get_prediction(new).summary_frame(), rtol=1e-7
    )
    certain = zeros.get_prediction({"g": ["a"], "x": [0.0]}).summary_frame().iloc[0]
    assert certain["mean"] == certain["mean_ci_lower"] == 0 < certain["mean_ci_upper"]
    assert certain[["mean_se", "linear_se", "obs_ci_lower"]].isna().all()


def test_what_did_not_converge_says_so():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        fit = mlekit.fit("k ~ x + u", DATA, "poisson", method="bfgs", maxiter=1)
    assert not fit.converged
    for drawn in (fit.plot_fit(), fit.plot_effects()):
        assert "the estimates are not those of maximum" in saved(drawn).legends[0].get_title().get_text()


def test_dollars_and_korean_and_few_rows():
    data = DATA[:5].rename(columns={"x": "$x$", "y": "y$"}).assign(u=[1.0, 2, 3, 4, 5])
    fit = mlekit.fit("Q('y$') ~ Q('$x$')", data)
    saved(fit.plot_fit())
    saved(fit.plot_effects())
    wide = DATA.assign(g=DATA.g.map({"a": "서울특별시", "b": "부산광역시", "c": "제주특별자치도"}))
    (axes,) = mlekit.fit("y ~ g", wide).plot_effects().axes  # not saved: the font is the user's
    assert {tick.get_rotation() for tick in axes.get_xticklabels()} == {0.0}


def test_other_kinds_of_fits():
    fits = [
        mlekit.fit("y ~ x + u", DATA, bounds={"x": (2, None)}),
        mlekit.fit("y ~ x", DATA, fixed={"sigma": 1.0}),
        mlekit.fit("k ~ x", DATA, mlekit.ZeroInflated("poisson")),
        mlekit.fit("k ~ x", DATA, "poisson", offset=np.log(DATA.t), weights=DATA.n),
        mlekit.fit("y ~ x", DATA, "laplace"),
        mlekit.fit("t ~ bs(x, 4)", DATA, "gamma"),
    ]
    for fit in fits:
        saved(fit.plot_fit())
        saved(fit.plot_effects())


def test_what_depends_on_other_rows_is_refused():
    for formula in ("y ~ I(x - x.mean())", "y ~ x.cumsum()", "y ~ x.rolling(3, min_periods=1).mean()"):
        with pytest.raises(ValueError, match="depends on other rows"):
            mlekit.fit(formula, DATA).plot_effects()
    fit = mlekit.fit("y ~ center(x) + bs(u, 4)", DATA)
    line = saved(fit.plot_effects("x")).axes[0].lines[0]
    new = pd.DataFrame({"x": line.get_xdata(), "u": DATA.u.mean()})
    assert line.get_ydata() == pytest.approx(fit.predict(new).to_numpy(), rel=1e-12)


def test_dates_are_held_at_their_mean():
    data = DATA.assign(day=pd.date_range("2020-01-01", periods=N))
    fit = mlekit.fit("y ~ x + day.dt.day_of_year", data, weights="n")
    drawn = saved(fit.plot_effects("x"))
    mean = pd.Timestamp("2020-01-01") + pd.Timedelta(days=float(DATA.n @ np.arange(N) / DATA.n.sum()))
    line = drawn.axes[0].lines[0]
    new = pd.DataFrame({"x": line.get_xdata(), "day": mean})
    assert line.get_ydata() == pytest.approx(fit.predict(new).to_numpy(), rel=1e-12)
    with pytest.raises(ValueError, match=r"day is datetime64.*no number"):
        fit.plot_effects()


def test_a_probability_names_its_level():
    fit = mlekit.fit("answer ~ x", DATA.assign(answer=np.where(DATA.b == 1, "yes", "no")), "bernoulli")
    assert saved(fit.plot_effects()).axes[0].get_ylabel() == "probability of answer = yes"
    assert saved(fit.plot_roc()).get_suptitle() == "ROC curve of Bernoulli: answer = yes"


def test_intervals_that_dwarf_all_else_are_cut_off_and_that_is_said():
    rng = np.random.default_rng(1)
    data = pd.DataFrame({"g": ["a"] * 40 + ["b"], "k": [*rng.poisson(2, 40), 1]})
    fit = mlekit.fit("k ~ g", data, "poisson")
    note = saved(fit.plot_effects(alpha=1e-12)).legends[0].get_title().get_text()
    upper = fit.get_prediction({"g": ["b"]}).summary_frame(1e-12)["mean_ci_upper"][0]
    assert note.endswith(f"to {upper:.3g}, beyond the figure")


def test_what_is_refused():
    fit = mlekit.fit("y ~ x + g + many", DATA)
    for call, message in (
        (lambda: fit.plot_fit("z"), "'z' is neither a column"),
        (lambda: fit.plot_fit("x", at={"x": 1}), "x is asked for twice"),
        (lambda: fit.plot_fit("x", at=3), "at holds other variables at values"),
        (lambda: fit.plot_fit("x", at={"g": "z"}), "g has no level 'z'"),
        (lambda: fit.plot_fit(alpha=95), "alpha must be between 0 and 1"),
        (lambda: fit.plot_effects("x", by="x"), "x is asked for twice"),
        (lambda: fit.plot_effects("x", by="many"), "many has 40 levels, too many for a line each"),
        (lambda: fit.plot_effects(what="median"), "what is 'mean', 'linear', or one of mu, sigma, not 'median'"),
        (lambda: fit.plot_effects([]), "variables is a name, or a list of names"),
        (lambda: mlekit.fit("y ~ 1", DATA).plot_effects(), "there is no variable to have an effect"),
        (lambda: mlekit.fit("y ~ 1 + offset(x)", DATA).plot_fit(), "there is no variable to draw the fit along"),
        (lambda: mlekit.fit("y ~ x", DATA).plot_effects(at={"x": 1}), "there is no variable to draw effects of"),
        (lambda: mlekit.fit("y ~ 1", DATA).plot_fit(), "there is no variable to have an effect"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
    levels = mlekit.fit("level ~ x + g", DATA, "ordered_logit")
    with pytest.raises(NotGiven, match=r"of levels, which have no mean: plot_effects\(\) draws"):
        levels.plot_fit()
    with pytest.raises(ValueError, match="by= has lines, and so have the levels"):
        levels.plot_effects("x", by="g")
    with pytest.raises(NotGiven, match="that is not a regression has no variables"):
        mlekit.mle(lambda mu: -((DATA.y.to_numpy() - mu) ** 2), start={"mu": 1.0}).plot_fit()
    arrays = mlekit.Model.from_arrays(DATA.y, DATA[["x"]]).fit()
    with pytest.raises(ValueError, match="made of arrays"):
        arrays.plot_fit()
