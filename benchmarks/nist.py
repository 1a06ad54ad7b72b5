"""Correct digits of least squares on NIST's reference sets: ``python benchmarks/nist.py`` writes docs/nist.md."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import statsmodels.api as sm
from pages import write_table
from patsy import dmatrices
from sklearn.linear_model import LinearRegression

import mlekit

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.exact_squares import NAMES, SETS, digits, frame, load

#: Estimates, and standard errors or None.
Found = tuple[Sequence[float], Sequence[float] | None]


def ours(case: dict[str, Any]) -> Found:
    """Fit by mlekit."""
    fit = mlekit.fit(case["formula"], frame(case), use_t=True)
    return fit.params[case["parameters"]].to_list(), fit.bse[case["parameters"]].to_list()


def matrices(case: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Matrix and response by patsy."""
    y, X = dmatrices(case["formula"], frame(case))
    return np.asarray(X), np.asarray(y)[:, 0]


def by_statsmodels(method: str) -> Callable[[dict[str, Any]], Found]:
    """Fit by OLS."""

    def fit(case: dict[str, Any]) -> Found:
        X, y = matrices(case)
        found = sm.OLS(y, X).fit(method=method)
        return found.params, found.bse

    return fit


def by_sklearn(case: dict[str, Any]) -> Found:
    """Fit by LinearRegression."""
    X, y = matrices(case)
    intercept = case["parameters"][0] == "Intercept"
    found = LinearRegression(fit_intercept=intercept).fit(X[:, int(intercept) :], y)
    return ([found.intercept_] if intercept else []) + list(found.coef_), None


def by_lstsq(case: dict[str, Any]) -> Found:
    """Fit by numpy.linalg.lstsq."""
    return np.linalg.lstsq(*matrices(case), rcond=None)[0], None


def by_polyfit(case: dict[str, Any]) -> Found | None:
    """Fit by numpy.polyfit, where the model is a polynomial."""
    if case["name"] == "Longley" or case["parameters"][0] != "Intercept":
        return None
    data = frame(case)
    return np.polyfit(data["x"], data["y"], len(case["parameters"]) - 1)[::-1], None


def by_r(kind: str) -> Callable[[dict[str, Any]], Found]:
    """Read what R's lm found."""
    recorded = json.loads((SETS / "r_lm.json").read_text())

    def read(case: dict[str, Any]) -> Found:
        found = recorded[case["name"].lower()][kind]
        return [float(v) for v in found["estimate"]], [float(v) for v in found["standard_deviation"]]

    return read


PACKAGES: dict[str, Callable[[dict[str, Any]], Found | None]] = {
    "mlekit": ours,
    "statsmodels pinv": by_statsmodels("pinv"),
    "statsmodels qr": by_statsmodels("qr"),
    "scikit-learn": by_sklearn,
    "numpy lstsq": by_lstsq,
    "numpy polyfit": by_polyfit,
    "R lm": by_r("lm"),
    "R lm, tol=1e-12": by_r("lm_tol"),
}


def cell(case: dict[str, Any], found: Found | None) -> str:
    """Correct digits of the worst coefficient, and of the worst standard error."""
    if found is None:
        return ""
    certified, parts = case["certified"], []
    perfect = float(certified["residual_standard_deviation"]) == 0
    for values, key in zip(found, ("estimate", "standard_deviation"), strict=True):
        if values is None or (perfect and key == "standard_deviation"):
            continue
        right = [float(v) for v in certified[key]]
        worst = min(map(digits, values, right)) if len(values) == len(right) else 0.0
        parts.append(f"{max(worst, 0):.1f}")
    return " / ".join(parts)


def main() -> None:
    """Write the table."""
    lines = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in NAMES:
            case = load(name)
            lines.append([name, *(cell(case, fit(case)) for fit in PACKAGES.values())])
    write_table("nist.md", "nist.py", ["set", *PACKAGES], lines)


if __name__ == "__main__":
    main()
