"""What the verdict and the checks cost beside the fit they are of: a share on many rows, milliseconds on few."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from large import COLUMNS, ROWS, data
from peers import medians

from mlekit import Model
from mlekit.checkup import checkup
from mlekit.optimize.verdict import judge


def costs(family: str, y: np.ndarray, X: np.ndarray, rounds: int, many: int = 1) -> dict[str, float]:
    """Median seconds of a fit, of its verdict and of its checks, each timed so many times in a row."""
    results = Model.from_arrays(y, X, family=family).fit()._results
    working = results.model.working
    functions: dict[str, Callable[[], Any]] = {
        "fit": lambda: Model.from_arrays(y, X, family=family).fit(),
        "verdict": lambda: judge(working, results.optimum),
        "checks": lambda: checkup(results),
    }

    def repeated(function: Callable[[], Any]) -> Callable[[], Any]:
        return lambda: [function() for _ in range(many)]

    found = medians({name: repeated(function) for name, function in functions.items()}, rounds)
    return {name: seconds / many for name, seconds in found.items()}


def on_many_rows(rounds: int) -> None:
    """Print the share of a fit of a million rows."""
    for family in ("poisson", "bernoulli"):
        found = costs(family, *data(family), rounds)
        share = (found["verdict"] + found["checks"]) / found["fit"]
        print(f"\n{family}, n = {ROWS:,}, p = {COLUMNS}: verdict and checks are {share:.1%} of a fit (aim 10 %)")
        for what, seconds in found.items():
            print(f"  {what:8} {1e3 * seconds:9.2f} ms")


def on_few_rows(rounds: int) -> None:
    """Print the milliseconds of a fit of a hundred rows, of many in a row."""
    for family in ("poisson", "bernoulli"):
        y, X = data(family, 100)
        found = costs(family, y, X[:, :3], rounds, many=100)
        both = 1e3 * (found["verdict"] + found["checks"])
        print(f"\n{family}, n = 100, p = 3: verdict and checks take {both:.3f} ms (aim 1 ms)")
        for what, seconds in found.items():
            print(f"  {what:8} {1e3 * seconds:9.3f} ms")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    on_few_rows(rounds=9)
    on_many_rows(rounds=int(sys.argv[1]) if len(sys.argv) > 1 else 7)
