"""The checks of a fit: what they find, that they agree with the status, and where they are shown."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import special
from statsmodels.tools.sm_exceptions import ConvergenceWarning

import mlekit
from mlekit import Normal, Ridge
from mlekit.checkup import CHECKS
from mlekit.families import Poisson
from mlekit.optimize.base import CAUSES, REMEDIES, Status
from tests.sample import DATA, Gumbel

#: Fits that do not end well: what makes them, and the check that is to say so.
X = np.arange(9.0)
ZEROS = {"y": [1, 2, 0, 3, 1, 0, 0, 0, 0], "g": [0] * 5 + [1] * 4}
COUNTS = {"y": [2, 3, 2, 3, 2, 3, 3, 2, 0, 9, 0, 14, 1, 0, 7, 30], "g": [0] * 8 + [1] * 8}
BAD = {
    Status.ITERATION_LIMIT: (("k ~ x", DATA, "poisson"), {"maxiter": 1}, "method"),
    Status.STOPPED_SHORT: (("k ~ x", DATA, "poisson"), {"method": "bfgs", "tol": 1e6}, "distance"),
    Status.INFINITE: (("y ~ x", {"y": X > 4, "x": X}, "bernoulli"), {}, "existence"),
    Status.DIVERGING: (({"mu": "y ~ 1", "alpha": "~ g"}, COUNTS, "negative_binomial"), {}, "existence"),
    Status.BOUNDARY: (("y ~ g", ZEROS, Poisson(mu="sqrt")), {}, "domain"),
    Status.UNBOUNDED: (("y ~ x", {"y": 1 + 2 * X, "x": X}), {}, "existence"),
    Status.NO_ERRORS: (
        ("y ~ g", {"y": [1, 2, 0, 4, 3, 1, 5], "g": [0, 0, 0, 0, 0, 0, 1]}, "poisson"),
        {"cov_type": "opg"},
        "errors",
    ),
    Status.KINKED: (("y ~ x", DATA, "laplace"), {"method": "bfgs", "maxiter": 2}, "distance"),
}


def quiet(*args, **how):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return mlekit.fit(*args, **how)


def failed(fit):
    table = fit.diagnosis
    return list(table.index[table.passed.eq(False).fillna(False)])


@pytest.mark.parametrize("status", BAD, ids=lambda status: status.name)
def test_a_bad_end_is_a_failed_check_with_cause_and_remedy(status):
    args, how, check = BAD[status]
    fit = quiet(*args, **how)
    assert fit.status is status
    assert not fit.converged
    assert check in failed(fit)
    row = fit.diagnosis.loc[check]
    assert (row.cause, row.remedy) == (CAUSES[status], REMEDIES[status])
    summary = fit.summary()
    said = next(note for note in summary.notes if "Failed checks: " in note)
    assert row.figure in said
    assert row.cause in said
    assert row.remedy in summary.notes[0]
    assert said.partition(":")[0] in summary.as_text()
    assert "Failed checks" in summary.as_html()
    assert "Failed checks" in summary.as_latex()
    assert "Failed checks" in summary.as_csv()


def test_every_status_that_is_not_ok_has_a_cause_and_a_remedy():
    bad = {status for status in Status if not status.ok}
    assert set(CAUSES) == set(REMEDIES) == bad


def test_good_fits_fail_no_check():
    fits = [
        mlekit.fit("k ~ x", DATA, "poisson"),
        mlekit.fit({"mu": "y ~ x", "sigma": "~ u"}, DATA),
        mlekit.fit("y ~ x", DATA),
        mlekit.fit("y ~ x", DATA, "laplace"),
        mlekit.fit("y ~ x", DATA, Gumbel()),
        mlekit.fit("b ~ x + g", DATA, "bernoulli"),
        mlekit.fit("g ~ x", DATA, "multinomial_logit"),
        mlekit.fit("k ~ x", DATA, mlekit.Truncated("poisson", upper=30), bounds={"x": (None, 0.1)}),
        mlekit.fit("y ~ x + u", DATA, constraints="x + u = 1", penalty=Ridge(2.0)),
        mlekit.fit("y ~ 0", DATA, Normal(), fixed={"sigma": 1.0}),
        mlekit.mle(lambda y, a: -((y - a) ** 2), {"a": 0.0}, DATA),
    ]
    for fit in fits:
        assert fit.converged, fit
        assert failed(fit) == [], fit
        assert list(fit.diagnosis.index) == list(CHECKS)
        assert (fit.diagnosis.cause == "").all()
        assert (fit.diagnosis.remedy == "").all()
        assert not any("Failed" in note for note in fit.notes)


@pytest.mark.parametrize("method", ["newton", "bfgs", "nelder-mead", "gd"])
@pytest.mark.parametrize("family", ["poisson", "bernoulli", "gamma", "student_t", "beta"])
def test_a_fit_converged_exactly_if_no_check_failed(method, family):
    """Whatever the method was stopped by."""
    y = {"poisson": DATA.k, "bernoulli": DATA.b == "yes", "student_t": DATA.y}.get(family, special.expit(DATA.y))
    data = DATA.assign(out=y)
    for how in ({"maxiter": 2}, {"tol": 1.0}, {"tol": 1e6}, {}):
        fit = quiet("out ~ x", data, family, method=method, **how)
        assert fit.converged == (failed(fit) == []), (how, fit.reason, failed(fit))


def test_the_score_is_that_of_the_textbook_in_its_standard_deviations():
    """Of a Poisson with log link it is X'(y - mu), and its covariance X' diag(mu) X."""
    beta = np.array([0.4, 0.35])
    fit = quiet("k ~ x", DATA, "poisson", start=beta, method="gd", maxiter=1)
    design = np.column_stack([np.ones(len(DATA)), DATA.x])
    mu = np.exp(design @ fit.params.to_numpy())
    score = design.T @ (DATA.k.to_numpy() - mu)
    share = np.abs(score) / np.sqrt(np.diag(design.T @ (design * mu[:, None])))
    worst = int(np.argmax(share))
    name = fit.params.index[worst]
    found = f"{name}: {score[worst]:.1e}, {share[worst]:.1e} of its standard deviation"
    assert fit.diagnosis.figure["score"] == found


def test_units_and_a_far_origin_fail_no_check():
    for unit, origin in ((1e-150, 0.0), (1e150, 0.0), (1.0, 1e8), (1e-5, -1e3)):
        data = DATA.assign(x=unit * DATA.x + origin)
        for family, formula in (("poisson", "k ~ x"), ("normal", "y ~ x"), ("bernoulli", "b ~ x")):
            fit = mlekit.fit(formula, data, family)
            assert failed(fit) == [], (unit, origin, fit.diagnosis.figure.to_dict())


def test_bounds_that_are_reached_are_counted():
    fit = mlekit.fit("k ~ x + u", DATA, "poisson", bounds={"x": (0.2, None), "u": (None, -0.5)})
    assert fit.diagnosis.figure["domain"].endswith("2 bounds reached: x, u")
    assert "2 determined, without one" in fit.diagnosis.figure["errors"]


def test_numeric_derivatives_pass_with_their_accuracy():
    class Slow(Gumbel):
        derivatives = "numeric"

    row = mlekit.fit("y ~ x", DATA, Slow()).diagnosis.loc["derivatives"]
    assert row.passed
    assert "1e-8" in row.figure


def test_a_maximum_at_the_limit_of_a_parameter():
    data = {"y": [2, 3, 2, 3, 2, 3, 3, 2]}
    fit = mlekit.fit("y ~ 1", data, "negative_binomial")
    assert fit.status is Status.LIMIT
    assert failed(fit) == []
    assert fit.diagnosis.figure["existence"] == "alpha is 0"


def test_copies_and_fits_without_their_rows_keep_the_table():
    for fit in (quiet("k ~ x", DATA, "poisson", maxiter=1), mlekit.fit("y ~ x", DATA, bounds={"x": (None, 0.5)})):
        table = fit.diagnosis
        pd.testing.assert_frame_equal(pickle.loads(pickle.dumps(fit)).diagnosis, table)
        fit.remove_data()
        pd.testing.assert_frame_equal(fit.diagnosis, table)
        pd.testing.assert_frame_equal(pickle.loads(pickle.dumps(fit)).diagnosis, table)


def test_the_table_is_the_callers_own():
    fit = mlekit.fit("k ~ x", DATA, "poisson")
    table = fit.diagnosis
    table.loc["score", "passed"] = False
    assert fit.diagnosis.passed["score"]


def test_other_errors_of_the_same_fit_have_their_own_verdict():
    data = {"y": [1, 2, 0, 4, 3, 1, 5], "g": [0, 0, 0, 0, 0, 0, 1]}
    fit = mlekit.fit("y ~ g", data, "poisson")
    assert fit.converged
    assert failed(fit) == []
    other = fit.with_cov("opg")
    assert not other.converged
    assert failed(other) == ["errors"]
    assert "Intercept, g" in other.reason
    assert fit.converged


def test_a_bound_of_the_scale_makes_the_maximum_of_a_perfect_fit_exist():
    """Nine ones, and a standard deviation of 0.1 or more: the density of each is 1 / (0.1 sqrt(2 pi))."""
    fit = mlekit.fit("y ~ 1", {"y": np.ones(9)}, bounds={"sigma": (0.1, None)}, start=[0.5, 0.0])
    assert fit.status is Status.CONVERGED
    assert fit.llf == pytest.approx(-9 * np.log(0.1 * np.sqrt(2 * np.pi)), rel=1e-12)
    assert fit.bse["Intercept"] == pytest.approx(0.1 / 3, rel=1e-9)
    assert failed(fit) == []


def test_infinite_and_at_a_limit_at_once():
    """Counts of less spread than Poisson's, and a group of zeros: both infinities are known of."""
    data = {"y": [2, 3, 2, 3, 2, 3, 0, 0], "g": list("aaaaaabb")}
    with pytest.warns(ConvergenceWarning):
        fit = mlekit.fit("y ~ g", data, "negative_binomial")
    assert fit.status is Status.INFINITE
    assert fit.params.tolist() == pytest.approx([np.log(2.5), -np.inf, -np.inf])
    assert failed(fit) == ["existence"]
