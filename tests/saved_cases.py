"""Fits of every kind that can be saved, and one way to compare two of them."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import special

import mlekit
from mlekit import Censored, Hurdle, Truncated, ZeroInflated
from mlekit.diagnostics import NotGiven
from mlekit.links import Link
from mlekit.penalties import Penalty, Prior
from tests.sample import DATA, Gumbel, N, NumericGumbel


def _softer(theta):
    return special.logit(theta) / 2


def _softer_inverse(eta):
    return special.expit(2 * eta)


def _softer_slopes(eta):
    p = special.expit(2 * eta)
    return 2 * p * (1 - p), 4 * p * (1 - p) * (1 - 2 * p)


class Counts(mlekit.Poisson):
    """A family of one's own that has all that a Poisson has."""


#: A link of one's own, and a family of one's own in a combinator.
SOFT = Link("soft", _softer, _softer_inverse, _softer_slopes, (0.0, 1.0))
OWN = {
    "own family": Gumbel,
    "own numeric family": NumericGumbel(),
    "own link": mlekit.Bernoulli(p=SOFT),
    "own family in another": ZeroInflated(Counts()),
}


class Pull(Penalty):
    """A penalty of one's own."""

    def at(self, beta, names):
        return Prior(float(-0.05 * beta @ beta), -0.1 * beta, -0.1 * np.eye(beta.size))


def more():
    """More columns beside those of ``DATA``."""
    rng = np.random.default_rng(5)
    x = DATA.x.to_numpy()
    return DATA.assign(
        few=pd.Categorical(
            np.array(["low", "mid", "high"])[rng.integers(0, 3, N)], ["low", "mid", "high"], ordered=True
        ),
        wide=pd.cut(x, 3),
        code=rng.integers(1, 4, N),
        flag=rng.uniform(size=N) > 0.5,
        size=rng.integers(3, 9, N),
        zeros=np.where(rng.uniform(size=N) < 0.4, 0, rng.poisson(3, N)),
        even=rng.binomial(10, 0.5, N),
        late=np.where(np.arange(N) % 5 == 0, 0, 1),
        time=rng.exponential(2.0, N) + 0.1,
        wins=rng.integers(0, 4, N),
        flat=np.tile([2, 3], N)[:N],
    ).rename(columns={"u": "my u"})


MORE = more()
OFFSET = np.linspace(0.0, 0.2, N)


def fit(*args, **how):
    return lambda: mlekit.fit(*args, **how)


FITS = {
    "normal": fit("y ~ x", MORE),
    "least squares": fit("y ~ x + C(g)", MORE, use_t=True),
    "levels": fit("k ~ C(g, Sum) * x + wide + flag + C(code, Poly) + few", MORE, "poisson"),
    "contrasts": fit("k ~ C(g, Treatment('b')):flag + C(code, levels=[3, 2, 1])", MORE, "poisson"),
    "transforms": fit("y ~ center(x) * standardize(Q('my u')) + scale(k, ddof=1)", MORE),
    "tiny and large": fit("y ~ standardize(x * 1e-200) + center(x * 1e200)", MORE),
    "splines": fit("y ~ bs(x, df=5, degree=2) + cr(Q('my u'), df=4, constraints='center')", MORE),
    "tensor": fit("y ~ 0 + te(cr(x, df=3), cc(Q('my u'), df=3), constraints='center')", MORE),
    "nested transforms": fit("y ~ bs(center(x), df=4) + np.log(Q('my u') + 1) + I(k**20)", MORE),
    "two formulas": fit({"mu": "y ~ x", "sigma": "~ C(g) + bs(x, df=3)"}, MORE),
    "offset": fit("k ~ x + offset(log(time))", MORE, "poisson"),
    "array offset": fit("k ~ x", MORE, "poisson", offset=OFFSET),
    "exposure": fit("k ~ x", MORE, "poisson", exposure="time", weights=np.arange(N) % 3),
    "array exposure": fit("k ~ x", MORE, "poisson", exposure=np.exp(OFFSET)),
    "fixed": fit("y ~ x + k", MORE, fixed={"x": 0.5, "sigma": 2.0}),
    "robust": fit("k ~ x", MORE, "poisson", cov_type="HC3"),
    "clusters": lambda: mlekit.fit("k ~ x", MORE, "poisson").with_cov("cluster", groups="g"),
    "two levels": fit("b ~ x", MORE, mlekit.Bernoulli(p="cloglog")),
    "binomial": fit("cbind(wins, size) ~ x", MORE, "binomial"),
    "gamma": fit("time ~ x", MORE, "gamma", method="bfgs"),
    "student": fit("y ~ x", MORE, "student_t", fixed={"df": 4.0}),
    "huber": fit("y ~ x", MORE, mlekit.HuberNormal(k=2.0)),
    "quantile": fit("y ~ x", MORE, mlekit.AsymmetricLaplace(q=0.3)),
    "ordered": fit("few ~ x", MORE, "ordered_probit"),
    "unordered": fit("g ~ x", MORE, "multinomial_logit"),
    "numbers as levels": fit("code ~ x", MORE, "multinomial_logit"),
    "censored": fit("Surv(time, late) ~ x", MORE, Censored("weibull")),
    "truncated": fit("size ~ x", MORE, Truncated("poisson", lower=1)),
    "zero-inflated": fit({"mu": "zeros ~ x", "zero": "~ C(g)"}, MORE, ZeroInflated("poisson", zero="probit")),
    "hurdle": fit("zeros ~ x", MORE, Hurdle("negative_binomial")),
    "limit": fit("even ~ x", MORE, "negative_binomial"),
    "limit of two": fit("even ~ x", MORE, ZeroInflated("negative_binomial")),
    "constraints": fit("y ~ x + k", MORE, constraints="x = 2 * k"),
    "bounds": fit("y ~ x + k", MORE, bounds={"k": (0.7, None)}),
    "ridge": fit("k ~ x + flag", MORE, "poisson", penalty=mlekit.Ridge(2.0)),
    "prior": fit("k ~ x + flag", MORE, "poisson", penalty=mlekit.NormalPrior({"x": (0, 0.5)})),
    "own penalty": fit("k ~ x + flag", MORE, "poisson", penalty=Pull()),
    "bias-reduced": fit("b ~ x", MORE, "bernoulli", bias_reduction=True),
    "aliased": fit("k ~ x + I(2 * x)", MORE, "poisson"),
    "not converged": fit("k ~ x", MORE, "poisson", method="bfgs", maxiter=1),
    "untrusted": fit("k ~ np.log(time) + C(g)", MORE, "poisson", trusted=False),
    "a constant": fit("y ~ 1", MORE),
    "nothing": fit("y ~ 0", MORE, fixed={"sigma": 1.0}),
    "arrays": lambda: mlekit.Model.from_arrays(DATA.y, DATA[["x", "u"]]).fit(),
    "arrays of levels": lambda: mlekit.Model.from_arrays(DATA.g, DATA[["x"]], "multinomial_logit").fit(),
    "own family": fit({"mu": "y ~ x", "beta": "~ C(g)"}, MORE, Gumbel),
    "own numeric family": fit("y ~ x", MORE, NumericGumbel),
    "own link": fit("b ~ x", MORE, mlekit.Bernoulli(p=SOFT)),
    "own family in another": fit("zeros ~ x", MORE, OWN["own family in another"]),
}
#: What prediction needs beside the new rows.
NEEDED = {"array offset": {"offset": OFFSET[:5]}, "array exposure": {"exposure": np.exp(OFFSET[:5])}}


def made(name):
    """Fit of a name, whatever it warns of."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return FITS[name]()


def new_rows(name):
    """Five rows to predict on, of which one lacks a value."""
    if name.startswith("arrays"):
        return DATA[["x"]].iloc[:5] if "levels" in name else DATA[["x", "u"]].iloc[:5]
    return MORE.iloc[:5].drop(columns=["y"])


def identical(one, other):
    """Compare two results of any kind to the last bit."""
    if isinstance(one, pd.DataFrame):
        pd.testing.assert_frame_equal(one, other, check_exact=True)
    elif isinstance(one, pd.Series):
        pd.testing.assert_series_equal(one, other, check_exact=True)
    else:
        np.testing.assert_array_equal(one, other)


def either(call):
    """Return what a call returns, or what it refuses."""
    try:
        return call()
    except NotGiven:
        return "not given"
    except ValueError as error:
        return str(error)


ATTRIBUTES = (
    *("params", "bse", "tvalues", "pvalues", "llf", "llnull", "llr", "llr_pvalue", "prsquared", "aic", "bic", "nobs"),
    *("deviance", "null_deviance", "pearson_chi2", "df_model", "df_resid", "df_resid_inference", "status", "converged"),
    *(
        "reason",
        "iterations",
        "trace",
        "distribution",
        "aliased",
        "diagnosis",
        "notes",
        "method",
        "cov_type",
        "cov_text",
    ),
    *("use_t", "k_constant", "without_errors", "fit_kind", "estimator", "free", "fewer", "at_bound", "at_limit"),
    *("log_prior", "canonical", "llf_penalised"),
)


def same(one, other, name):
    """Compare two fits in all that is left without the rows."""
    names = one.model.design.names
    for attribute in ATTRIBUTES:
        if hasattr(type(one._results), attribute) or attribute in vars(one._results):
            identical(either(lambda a=attribute: getattr(one, a)), either(lambda a=attribute: getattr(other, a)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if names:
            for call in (
                lambda fit: fit.conf_int(0.1),
                lambda fit: fit.cov_params(),
                lambda fit: str(fit.t_test(np.eye(len(names)))),
                lambda fit: str(fit.wald_test(np.eye(len(names)))),
                lambda fit: fit.wald_test_terms().table,
            ):
                identical(either(lambda c=call: c(one)), either(lambda c=call: c(other)))
        identical(_without_time(one.summary()), _without_time(other.summary()))
        predictions(one, other, name)


def _without_time(summary):
    return [line for line in str(summary).splitlines() if not line.startswith(("Date:", "Time:"))]


def predictions(one, other, name):
    rows, more = new_rows(name), NEEDED.get(name, {})
    whats = ["linear", *one.model.family.params]
    whats += ["probabilities", "level"] if hasattr(one.model.family, "levels") else ["mean"]
    for what in whats:
        identical(one.predict(rows, what, **more), other.predict(rows, what, **more))
    identical(one.predict(rows.iloc[::-1], whats[-1], **more), other.predict(rows.iloc[::-1], whats[-1], **more))
    frames = (either(lambda f=f: f.get_prediction(rows, **more).summary_frame(0.1)) for f in (one, other))
    identical(*frames)


def refuses(call, match="the fit was loaded, and a file has no rows"):
    with pytest.raises(NotGiven, match=match):
        call()
