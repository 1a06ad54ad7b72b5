"""How often 95 % intervals of a slope hold the truth: ``python benchmarks/coverage.py`` writes docs/coverage.md."""

from __future__ import annotations

import sys
import warnings
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
from pages import coverage_lines, write_table

import mlekit
from mlekit import Model

ROWS, DRAWS = (30, 300), 1000
#: Intercept and slope, on the scale of the linear predictor; the covariate is uniform between -1 and 1.
TRUTH = {
    "poisson": np.array([1.0, 0.5]),
    "bernoulli": np.array([0.0, 1.0]),
    "normal": np.array([1.0, 0.5]),
    "exponential": np.array([1.0, 0.5]),
}

#: Results, and the number of the sample as a seed -> intervals by kind.
KINDS: dict[str, Callable[[Any, int], dict[str, Any]]] = {
    "Wald": lambda fit, seed: {"Wald": fit.conf_int()},
    "profile": lambda fit, seed: {"profile": fit.conf_int(cols=["x"], method="profile")},
    "sandwich": lambda fit, seed: {kind: fit.with_cov(kind).conf_int() for kind in ("HC0", "HC3", "jackknife")},
    "bootstrap": lambda fit, seed: _bootstraps(fit.bootstrap(DRAWS, seed=seed)),
}
HEADS = ("Wald", "Student's t", "profile", "HC0", "HC3", "jackknife", "percentile", "BCa")


def _bootstraps(made: Any) -> dict[str, Any]:
    return {"percentile": made.conf_int(method="percentile"), "BCa": made.conf_int(method="bca")}


def _fit(y: np.ndarray, x: np.ndarray, family: str, use_t: bool = False) -> Any:
    X = np.column_stack([np.ones_like(x), x])
    return Model.from_arrays(y, X, family=family, names=["Intercept", "x"]).fit(use_t=use_t)


def coverage(family: str, rows: int, count: int) -> dict[str, float]:
    """Share of the samples in which each interval of the slope holds it, in per cent of those that have a maximum."""
    intercept, slope = TRUTH[family]
    truth = {"Intercept": intercept, "x": slope} | ({"sigma": 1.0} if family == "normal" else {})
    held: Counter[str] = Counter()
    for number in range(count):
        rng = np.random.default_rng([number, rows])
        x = rng.uniform(-1, 1, rows)
        y = mlekit.simulate("y ~ x", truth, family, {"x": x}, seed=rng)["y"].to_numpy(dtype=float)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fit = _fit(y, x, family)
            if not fit.converged:
                continue
            held["samples"] += 1
            found = {name: ends for kind in KINDS.values() for name, ends in kind(fit, number).items()}
            if family == "normal":
                found["Student's t"] = _fit(y, x, family, use_t=True).conf_int()
        for name, ends in found.items():
            low, high = np.asarray(ends.loc["x"], dtype=float)
            held[name] += bool(low <= slope <= high)
    return {name: 100 * held[name] / held["samples"] for name in found} | {"samples": held["samples"]}


def main(count: int = 1000) -> None:
    """Write the table."""
    heads = ["family", "rows", *HEADS, "samples with a maximum"]
    lines = coverage_lines(lambda family, rows: coverage(family, rows, count), TRUTH, ROWS, HEADS)
    write_table("coverage.md", "coverage.py", heads, lines)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
