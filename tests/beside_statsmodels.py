"""The same model by mlekit and by statsmodels."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
import statsmodels.formula.api as smf
from scipy import stats
from statsmodels.tools.sm_exceptions import DomainWarning

import mlekit

RHS = "x + z + C(g)"
SCALARS = ("llf", "llnull", "deviance", "null_deviance", "pearson_chi2", "nobs", "df_model", "df_resid")


def make_data(n=90):
    rng = np.random.default_rng(7)
    frame = pd.DataFrame({"x": rng.normal(size=n), "z": rng.uniform(1, 2, n), "g": rng.choice(list("abc"), n)})
    frame.index = [f"row{i}" for i in range(n)]
    eta = 0.3 + 0.4 * frame.x - 0.2 * frame.z + 0.3 * (frame.g == "b")
    frame["count"] = rng.poisson(np.exp(eta))
    frame["event"] = (rng.uniform(size=n) < stats.norm.cdf(eta)).astype(float)
    frame["wait"] = rng.exponential(np.exp(eta))
    frame["level"] = eta + rng.normal(size=n)
    frame["w"] = rng.integers(1, 4, n)
    frame["w2"] = 0.5 + frame.z**2
    return frame


DATA = make_data()
FAMILIES = {
    "poisson": ("count", sm.families.Poisson(), mlekit.Poisson()),
    "logit": ("event", sm.families.Binomial(), mlekit.Bernoulli()),
    "probit": ("event", sm.families.Binomial(sm.families.links.Probit()), mlekit.Bernoulli(p="probit")),
    "cloglog": ("event", sm.families.Binomial(sm.families.links.CLogLog()), mlekit.Bernoulli(p="cloglog")),
    "sqrt": ("count", sm.families.Poisson(sm.families.links.Sqrt()), mlekit.Poisson(mu="sqrt")),
    "exponential": ("wait", sm.families.Gamma(sm.families.links.Log()), mlekit.Exponential()),
}


def both(name, cov_type="eim", **options):
    """Our fit and statsmodels' GLM."""
    response, theirs, ours = FAMILIES[name]
    formula = f"{response} ~ {RHS}"
    keywords = {"freq_weights": DATA[options["weights"]]} if "weights" in options else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DomainWarning)  # of the sqrt link
        glm = smf.glm(formula, DATA, family=theirs, **keywords).fit(scale=1.0, tol=1e-15, maxiter=300)
    return mlekit.fit(formula, DATA, ours, cov_type=cov_type, **options), glm


def close(ours, theirs, rel=1e-7, abs=2e-8):
    assert list(ours.index) == list(theirs.index)
    assert np.asarray(ours) == pytest.approx(np.asarray(theirs), rel=rel, abs=abs)


HYPOTHESES = [
    "x = 0.2",
    "x = 0.2, C(g)[T.b] = C(g)[T.c]",
    "x - 2*z = 1",
    ["x = 0", "z = 0"],
    "tuple",
    "matrix",
    "vector",
]


def hypothesis(name, size):
    """Text as it is; matrices for the first coefficients of a fit of ``size``."""
    matrix = np.zeros((2, size))
    matrix[0, 3], matrix[1, :2] = 1, [1, -1]
    return {"tuple": (matrix, np.array([0.1, 0.2])), "matrix": matrix, "vector": matrix[1]}.get(str(name), name)
