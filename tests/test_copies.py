"""Copies of a fit, and what it is without its data."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from statsmodels.iolib.smpickle import load_pickle, save_pickle
from statsmodels.tools.sm_exceptions import CollinearityWarning

import mlekit
from mlekit.diagnostics import NotGiven
from mlekit.results import Results, ResultsWrapper
from tests.sample import DATA, Gumbel, N, NumericGumbel


def doubled(x):
    return 2 * x


@pytest.fixture
def poisson():
    return mlekit.fit("k ~ x + C(g)", DATA, "poisson")


# ------------------------------------------------------------------------------------------------ copies

FITS = {
    "factor": lambda: mlekit.fit("k ~ x + C(g)", DATA, "poisson"),
    "transforms": lambda: mlekit.fit("k ~ center(x) + standardize(u) + np.log(u):C(g, Sum)", DATA, "poisson"),
    "splines": lambda: mlekit.fit("y ~ bs(x, df=4) + I(u**2)", DATA),
    "function": lambda: mlekit.fit("y ~ doubled(x)", DATA, cov_type="HC0", use_t=True),
    "text": lambda: mlekit.fit("b ~ x", DATA, mlekit.Bernoulli(p="probit")),
    "offset": lambda: mlekit.fit("k ~ x + offset(log(u))", DATA, "poisson", weights=np.arange(N) % 3, method="bfgs"),
    "own": lambda: mlekit.fit({"mu": "y ~ x", "beta": "~ C(g)"}, DATA, Gumbel),
    "numeric": lambda: mlekit.fit("y ~ x", DATA, NumericGumbel),
    "arrays": lambda: mlekit.Model.from_arrays(DATA.y, DATA[["x", "u"]]).fit(),
    "aliased": lambda: mlekit.fit("k ~ x + I(2*x)", DATA, "poisson"),
}
WAYS = {
    "pickle": lambda fit: pickle.loads(pickle.dumps(fit)),
    "deepcopy": copy.deepcopy,
    "copy": copy.copy,
    "results": lambda fit: ResultsWrapper(pickle.loads(pickle.dumps(fit._results))),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", FITS)
def test_copies_have_the_same_numbers(name, way):
    if name == "aliased":
        with pytest.warns(CollinearityWarning):
            fit = FITS[name]()
    else:
        fit = FITS[name]()
    again = WAYS[way](fit)
    assert type(again) is ResultsWrapper
    same(again, fit)
    new = DATA[["x", "u"]].iloc[:4] if name == "arrays" else DATA.iloc[:4]
    what = "mu" if name == "own" else "mean"
    assert again.predict(new, what=what).equals(fit.predict(new, what=what))
    if name != "own":
        assert again.get_prediction(new).summary_frame().equals(fit.get_prediction(new).summary_frame())
    assert again.wald_test_terms().table.equals(fit.wald_test_terms().table)


def same(again, fit):
    for name in ("params", "bse", "tvalues", "pvalues"):
        assert getattr(again, name).equals(getattr(fit, name))
    for name in ("llf", "llnull", "llr", "aic", "bic", "nobs", "df_model", "df_resid", "status", "reason", "notes"):
        assert getattr(again, name) == getattr(fit, name)
    for name in ("deviance", "null_deviance", "pearson_chi2"):
        assert getattr(again, name, None) == getattr(fit, name, None)
    assert again.cov_params().equals(fit.cov_params())
    assert again.conf_int().equals(fit.conf_int())
    assert again.distribution.equals(fit.distribution)
    assert again.trace.drop(columns="seconds").equals(fit.trace.drop(columns="seconds"))
    assert again.t_test(np.eye(len(fit.params))[0]).pvalue == fit.t_test(np.eye(len(fit.params))[0]).pvalue
    assert untimed(again.summary()) == untimed(fit.summary())


def untimed(summary):
    return [line for line in str(summary).splitlines() if not line.startswith(("Time:", "Date:"))]


def test_a_deep_copy_is_separate(poisson):
    again = copy.deepcopy(poisson)
    again._results.params[:] = 0
    assert poisson.params.abs().min() > 0


def test_a_copy_can_be_fitted_again(poisson):
    again = pickle.loads(pickle.dumps(poisson))
    assert again.model.fit("bfgs").params.to_numpy() == pytest.approx(poisson.params.to_numpy(), rel=1e-4)


def test_pickles_in_files(poisson, tmp_path):
    path = tmp_path / "fit.pickle"
    save_pickle(poisson, path)
    same(load_pickle(path), poisson)
    for read in (ResultsWrapper.load, Results.load):  # statsmodels' would unpickle, and so execute
        with pytest.raises(TypeError, match=r"a saved fit is loaded by mlekit.load"):
            read(path)


def test_a_function_that_cannot_be_pickled_is_named():
    half = lambda x: x / 2  # noqa: E731
    fit = mlekit.fit("y ~ half(x)", DATA)
    with pytest.raises(pickle.PicklingError, match="define functions used in formulas at the top level"):
        pickle.dumps(fit)
    assert half(2) == 1


# ------------------------------------------------------------------------------------------------ without the data


@pytest.mark.parametrize("name", [name for name in FITS if name != "aliased"])
def test_what_is_left_without_the_rows(name):
    fit, removed = FITS[name](), FITS[name]()
    removed.remove_data()
    same(removed, fit)
    same(pickle.loads(pickle.dumps(removed)), fit)
    new = DATA[["x", "u"]].iloc[:4] if name == "arrays" else DATA.iloc[:4]
    what = "mu" if name == "own" else "mean"
    assert removed.predict(new, what=what).equals(fit.predict(new, what=what))
    assert removed.wald_test_terms().table.equals(fit.wald_test_terms().table)
    for attribute in ("fittedvalues", "resid_response", "resid_pearson", "resid_deviance", "null"):
        with pytest.raises(NotGiven, match="remove_data removed the rows"):
            getattr(removed, attribute)
    for call in (removed.predict, removed.get_prediction):
        with pytest.raises(NotGiven, match="remove_data removed the rows"):
            call()


def test_a_fit_without_its_rows_is_small():
    rng = np.random.default_rng(0)
    data = {"x": rng.normal(size=30_000), "y": rng.poisson(2.0, 30_000)}
    fit = mlekit.fit("y ~ x", data, "poisson")
    assert fit.summary()
    large = len(pickle.dumps(fit))
    fit.remove_data()
    small = pickle.dumps(fit)
    assert len(small) < 20_000 < 500_000 < large
    again = pickle.loads(small)
    assert again.predict({"x": [0.0]}).size == 1
    assert str(again.summary())
    fit.remove_data()  # once more does no harm
    assert fit.llnull


def test_the_model_of_other_fits_keeps_its_rows():
    model = mlekit.Model.from_formula("k ~ x", DATA, "poisson")
    first, second = model.fit(), model.fit("bfgs")
    first.remove_data()
    assert second.fittedvalues.size == N
    assert model.fit().params.equals(second.model.fit().params)
