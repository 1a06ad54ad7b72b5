"""How far a fit is from its reference, per quantity. `python -m tests.deviations` prints the table."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

import mlekit
from tests.reference import Case, cases, load

# The references give the link of the mean; mlekit's Exponential links its rate.
_RATE_LINKS = {"log": "neglog", "inverse": "identity"}

#: Largest relative error that a quantity may have.
TOLERANCE = {
    "params": 1e-8,
    "bse (expected)": 1e-8,
    "bse (observed)": 1e-8,
    "bse (unbiased)": 1e-8,
    "llf": 1e-10,
    "llnull": 1e-10,
    "aic": 1e-10,
    "bic": 1e-10,
    "deviance": 1e-10,
    "null_deviance": 1e-10,
    "pearson_chi2": 1e-8,
    "sigma": 1e-10,
}


def family_of(case: Case) -> mlekit.GenericLikelihood:
    """Return the family of a case, with its link."""
    link = case.link
    if case.family == "Exponential":
        return mlekit.Exponential(rate=_RATE_LINKS[link])
    first = {"Normal": "mu", "Bernoulli": "p", "Poisson": "mu"}[case.family]
    return getattr(mlekit, case.family)(**{first: link})


def model_of(case: Case) -> mlekit.Model:
    """Return the model of a case, with its weights and offset."""
    options = case.options
    keywords: dict[str, Any] = {"offset": options.get("offset")}
    if options.get("weights_kind") == "precision":
        keywords["offset"] = {"sigma": f"-0.5 * log({options['weights']})"}
    elif "weights" in options:
        keywords["weights"] = options["weights"]
    return mlekit.Model.from_formula(case.formula, case.frame, family_of(case), **keywords)


def deviations(case: Case, **how: Any) -> dict[str, float]:
    """Relative errors of a fit of the case (coefficients by name) by ``Model.fit(**how)``."""
    expected = case.expected
    model = model_of(case)
    fit = model.fit(**how)
    found: dict[str, float] = {
        "params": _by_name(fit.params, expected["params"]),
        "llf": _relative(fit.llf, expected["llf"]),
        "llnull": _relative(fit.llnull, expected["llnull"]),
        "deviance": _relative(fit.deviance, expected["deviance"]),
        "null_deviance": _relative(fit.null_deviance, expected["null_deviance"]),
    }
    for name in ("aic", "bic"):
        found[name] = _relative(getattr(fit, name), expected[name])
    if "pearson_chi2" in expected:
        found["pearson_chi2"] = _relative(fit.pearson_chi2, expected["pearson_chi2"])
    if case.kind == "lm":
        found["bse (observed)"] = _by_name(fit.bse, expected["bse_ml"])
        found["sigma"] = _relative(np.exp(fit.params["sigma_Intercept"]), expected["sigma_ml"])
        found["bse (unbiased)"] = _by_name(model.fit(**how, use_t=True).bse, expected["bse_unbiased"])
        found["bse (expected)"] = _by_name(model.fit(**how, cov_type="eim").bse, expected["bse_ml"])
    else:
        observed = expected.get("bse_observed", expected["bse"])
        found["bse (observed)"] = _by_name(fit.bse, observed)
        found["bse (expected)"] = _by_name(model.fit(**how, cov_type="eim").bse, expected["bse"])
    return found


def _by_name(found: pd.Series, expected: dict[str, float]) -> float:
    return max(_relative(found[name], value) for name, value in expected.items())


def _relative(found: float, expected: float) -> float:
    return float(abs(found - expected) / abs(expected)) if expected else float(abs(found))


def table(method: str = "auto") -> pd.DataFrame:
    """Relative errors of every case of kind glm and lm, one row per case."""
    return pd.DataFrame({name: deviations(load(name), method=method) for name in cases(("glm", "lm"))}).T


if __name__ == "__main__":
    for how in ("auto", "newton"):
        errors = table(how)
        with pd.option_context(
            "display.width", 200, "display.max_columns", None, "display.float_format", "{:.0e}".format
        ):
            print(f"method={how!r}: relative error per case and quantity\n{errors.to_string(na_rep='')}")
            print(f"worst\n{errors.max().to_string()}\n")
