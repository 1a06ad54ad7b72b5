"""Fits handed to the package marginaleffects, which is not in the extra for tests: `make test-marginaleffects`."""

from __future__ import annotations

import pickle
import sys

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf

import mlekit
from mlekit import adapters
from mlekit.adapters import for_marginaleffects

RNG = np.random.default_rng(4)
N = 150
DATA = pd.DataFrame({"x": RNG.uniform(0.5, 3, N), "u": RNG.normal(size=N), "g": RNG.choice(list("abc"), N)})
DATA["f"] = RNG.uniform(size=N) < 0.5
DATA["d"] = RNG.integers(1, 4, N)
DATA["n"] = RNG.uniform(1, 5, N)
DATA["k"] = RNG.poisson(np.exp(0.3 + 0.4 * DATA.x - 0.2 * DATA.u))
DATA["level"] = pd.cut(DATA.u + RNG.logistic(size=N), [-np.inf, -1, 1, np.inf], labels=["low", "mid", "high"])
DATA["w"] = RNG.integers(1, 4, N)
DATA["gaps"] = DATA.x.where(DATA.x > 1)


def test_the_package_is_asked_for(monkeypatch):
    adapters._adapter.cache_clear()
    monkeypatch.setitem(sys.modules, "marginaleffects.classes", None)
    with pytest.raises(ImportError, match=r"pip install 'mlekit\[marginaleffects\]'"):
        for_marginaleffects(mlekit.fit("k ~ x", DATA, "poisson"))


def test_what_it_cannot_work_with_is_refused():
    handed = mlekit.fit("k ~ x", DATA, "poisson", exposure=DATA.n)
    with pytest.raises(ValueError, match="handed over as an array, and marginaleffects makes rows of its own"):
        for_marginaleffects(handed)
    arrays = mlekit.Model.from_arrays(DATA.k, DATA[["x"]], "poisson").fit()
    with pytest.raises(ValueError, match="fit by a formula and a table"):
        for_marginaleffects(arrays)
    with pytest.raises(ValueError, match="does not have the data"):
        for_marginaleffects(pickle.loads(pickle.dumps(mlekit.fit("k ~ x", DATA, "poisson"))))


@pytest.fixture(scope="module")
def me():
    return pytest.importorskip("marginaleffects")


# Its own use of polars is deprecated.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def table(found, *keys):
    frame = found.to_pandas()
    return frame.set_index(list(keys)) if keys else frame


def same(found, frame, keys, rel=1e-6):
    """Compare with results of the package for another model of the same numbers."""
    one, other = (table(x, *keys).sort_index() for x in (found, frame))
    assert one.estimate.to_numpy() == pytest.approx(other.estimate.to_numpy(), rel=1e-6)
    assert one.std_error.to_numpy() == pytest.approx(other.std_error.to_numpy(), rel=rel)


def test_slopes_comparisons_and_predictions_are_those_of_a_fit_of_statsmodels(me):
    theirs = smf.poisson("k ~ x * u", DATA).fit(disp=0, tol=1e-14)
    model = for_marginaleffects(mlekit.fit("k ~ x * u", DATA, "poisson"))
    for function in (me.avg_slopes, me.avg_comparisons):
        same(function(model), function(theirs), ["term"], rel=1e-3)
    same(me.predictions(model), me.predictions(theirs), ["rowid"])
    same(
        me.slopes(model, variables="x", newdata="mean"), me.slopes(theirs, variables="x", newdata="mean"), [], rel=1e-3
    )
    same(me.hypotheses(model, "x = u"), me.hypotheses(theirs, "x = u"), [])


def test_effects_are_those_of_marginal_effects(me):
    formula = "k ~ x * f + C(g, Treatment('b')) + u + I(u**2) + C(d)"
    fit = mlekit.fit(formula, DATA, "poisson")
    model = for_marginaleffects(fit)
    for mine, found in [
        (fit.marginal_effects(), me.avg_slopes(model, eps_vcov=1e-5)),
        (fit.with_cov("HC3").marginal_effects(), me.avg_slopes(model, eps_vcov=1e-5, vcov="HC3")),
        (
            fit.with_cov("HC3").marginal_effects(),
            me.avg_slopes(for_marginaleffects(fit.with_cov("HC3")), eps_vcov=1e-5),
        ),
        (fit.with_cov("CR1", groups="w").marginal_effects(), me.avg_slopes(model, eps_vcov=1e-5, vcov={"CR1": "w"})),
    ]:
        theirs = table(found, "term", "contrast")
        assert len(theirs) == len(mine.frame) == 7
        for _, row in mine.frame.iterrows():
            other = theirs.loc[(row.term, row.contrast.replace("dy/dx", "dY/dX"))]
            assert other.estimate == pytest.approx(row.estimate, rel=2e-4)
            assert other.std_error == pytest.approx(row["std err"], rel=1e-3)
            assert other.statistic == pytest.approx(row.z, rel=1e-3)
            assert other.p_value == pytest.approx(row["P>|z|"], rel=1e-2, abs=1e-6)
    with pytest.raises(ValueError, match="vcov is True, False, a name"):
        me.avg_slopes(model, vcov=3.0)
    assert "std_error" not in me.avg_slopes(model, vcov=False).columns


def test_predictions_by_group_on_a_grid_and_with_weights(me):
    fit = mlekit.fit("k ~ x + g + offset(log(n))", DATA, "poisson")
    model = for_marginaleffects(fit)
    by = table(me.avg_predictions(model, by="f"), "f").estimate
    means = fit.predict().groupby(DATA.f).mean()
    assert by.to_dict() == pytest.approx(means.to_dict(), rel=1e-9)
    grid = table(me.predictions(model, newdata=me.datagrid(model, x=[1.0, 2.0], g=["a", "c"], n=2.5)))
    new = pd.DataFrame({"x": grid.x, "g": grid.g.astype(str), "n": grid.n})
    expected = fit.get_prediction(new).summary_frame(obs=False)
    assert grid.estimate.to_numpy() == pytest.approx(expected["mean"].to_numpy(), rel=1e-9)
    assert grid.std_error.to_numpy() == pytest.approx(expected.mean_se.to_numpy(), rel=1e-5)
    weighted = mlekit.fit("k ~ x + g", DATA, "poisson", weights="w")
    found = table(me.avg_slopes(for_marginaleffects(weighted), wts="w", variables="x"))
    assert found.estimate[0] == pytest.approx(weighted.marginal_effects("x").estimates[0], rel=1e-4)
    assert "gaps" not in model.get_modeldata().columns


@pytest.mark.parametrize("family", ["ordered_logit", "multinomial_logit"])
def test_levels_have_a_row_each(me, family):
    fit = mlekit.fit("level ~ u + f", DATA, family)
    theirs = table(me.avg_slopes(for_marginaleffects(fit)), "term", "group")
    for _, row in fit.marginal_effects().frame.iterrows():
        other = theirs.loc[(row.term, row.level)]
        assert other.estimate == pytest.approx(row.estimate, rel=1e-4, abs=1e-6)
        assert other.std_error == pytest.approx(row["std err"], rel=1e-3)
    one = me.avg_predictions(for_marginaleffects(fit, ("probabilities", "high")))
    assert table(one).estimate[0] == pytest.approx(fit.predict(what="probabilities")["high"].mean(), rel=1e-12)


def test_other_predictions_students_t_and_data_handed_over(me):
    fit = mlekit.fit({"mu": "x ~ u", "sigma": "~ f"}, DATA)
    for what in ("sigma", ("quantile", 0.9), ("cdf", 2.0)):
        found = table(me.avg_slopes(for_marginaleffects(fit, what)), "term")
        mine = fit.marginal_effects(what=what).frame.set_index("term")
        assert found.estimate[mine.index].to_numpy() == pytest.approx(mine.estimate.to_numpy(), rel=1e-4, abs=1e-9)
    small = mlekit.fit("x ~ u", DATA.iloc[:12], use_t=True)
    found, mine = table(me.avg_slopes(for_marginaleffects(small))), small.marginal_effects().frame
    assert found.conf_low[0] == pytest.approx(mine["[0.025"][0], rel=1e-4)
    again = pickle.loads(pickle.dumps(small))
    other = table(me.avg_slopes(for_marginaleffects(again, data=DATA.iloc[:12])))
    assert other.estimate[0] == pytest.approx(found.estimate[0], rel=1e-9)
