"""How far each family is from numbers of others: ``python -m tests.family_deviations`` prints the table.

Log-densities are compared with scipy.stats, by the names that the table of families gives, from far in one tail to far
in the other; fits with the reference cases, which R made and 50 digits corrected.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

import mlekit
from mlekit.families import FAMILIES
from tests.deviations import deviations
from tests.family_table import mathematics, row, values
from tests.reference import cases, load
from tests.test_reference_custom import CASES as CUSTOM

_SHARES = np.array([1e-300, 1e-30, 1e-8, 0.01, 0.5, 0.9, 1 - 1e-8])


def density(name: str) -> float:
    """Largest deviation of a log-density from that of scipy.stats, relative to its size and at least to 1."""
    kind = FAMILIES[name]
    expression = row(name, kind)[-1].strip("`")
    if expression == "none" or kind.response_columns:
        return float("nan")
    family = kind(**{c: 0.3 for c in kind.constants})
    theta = [np.repeat(part, _SHARES.size) for part in values(family)]
    named = dict(zip(family.params, theta, strict=True)) | {c: 0.3 for c in kind.constants}
    distribution = eval(f"stats.{mathematics(expression)}", {"stats": stats, "sqrt": np.sqrt, "exp": np.exp}, named)
    y = distribution.ppf(np.tile(_SHARES, 3))
    want = distribution.logpmf(y) if family.discrete else distribution.logpdf(y)
    with np.errstate(all="ignore"):
        found = family.logpdf(y, *theta)
    known = np.isfinite(want) & family.in_support(y)
    return float(np.max(np.abs(found[known] - want[known]) / np.maximum(np.abs(want[known]), 1)))


def fits() -> dict[str, dict[str, float]]:
    """Largest relative errors of the reference fits of each family: coefficients, standard errors, log-likelihood."""
    found: dict[str, dict[str, float]] = {}

    def worst(name: str, **errors: float) -> None:
        mine = found.setdefault(name, {})
        for key, error in errors.items():
            mine[key] = float(np.fmax(mine.get(key, np.nan), error))

    for name in cases(("glm", "lm")):
        case = load(name)
        errors = deviations(case)
        worst(str(case.family).lower(), params=errors["params"], bse=errors["bse (observed)"], llf=errors["llf"])
    for name, (formula, family, parameters) in CUSTOM.items():
        case = load(name)
        fit = mlekit.fit(formula, case.frame, family)
        b = fit.params.to_numpy()
        slopes = np.column_stack([(parameters(b + u) - parameters(b - u)) / 2e-5 for u in 1e-5 * np.eye(b.size)])
        error = np.sqrt(np.diag(slopes @ fit.cov_params().to_numpy() @ slopes.T))
        worst(
            family,
            params=_relative(parameters(b), case.expected["params"]),
            bse=_relative(error, case.expected["bse"]),
            llf=abs(fit.llf / case.expected["llf"] - 1),
        )
    for name, expected, fit, signs in _combined():
        worst(
            name,
            params=_relative(fit.params.to_numpy() * signs, expected["params"]),
            bse=_relative(fit.bse.to_numpy(), expected["bse"]) if "bse" in expected else float("nan"),
            llf=abs(fit.llf / expected["llf"] - 1),
        )
    return found


def _combined() -> Iterator[tuple[str, dict[str, Any], Any, Any]]:
    """Reference fits of families made of others, and of the Laplace: name, expectations, fit, signs of coefficients."""
    for family in ("weibull", "exponential"):
        case = load(f"{family}_censored_lung")
        fit = mlekit.fit("Surv(time, event) ~ age + sex + ecog", case.frame, mlekit.Censored(family))
        # The log of survreg's scale is minus that of the shape.
        yield f"Censored({family})", case.expected, fit, np.array([1, 1, 1, 1, -1])[: len(fit.params)]
    case = load("zip_bioChemists")
    formulas = {"mu": case.formula["count"], "zero": case.formula["inflate"]}
    yield "ZeroInflated(poisson)", case.expected, mlekit.fit(formulas, case.frame, mlekit.ZeroInflated("poisson")), 1.0
    case = load("laplace_lad_cars")
    expected = {**case.expected, "params": case.expected["params"] | {"b": np.log(case.expected["scale_ml"])}}
    yield "laplace", expected, mlekit.fit(case.formula, case.frame, "laplace"), 1.0


def _relative(found: Any, expected: dict[str, float]) -> float:
    want = np.array(list(expected.values()))
    return float(np.max(np.abs(found / want - 1)))


def table() -> pd.DataFrame:
    """One row for each family."""
    columns = pd.DataFrame(fits()).T.add_prefix("reference ")
    return pd.DataFrame({"log-density": {name: density(name) for name in FAMILIES}}).join(columns, how="outer")


if __name__ == "__main__":
    with pd.option_context("display.width", 200, "display.float_format", "{:.0e}".format):
        print(table().to_string(na_rep=""))
