"""Fits of zero-inflated and hurdle counts from the default start, all over their parameters: how many do not converge.

``python -m tests.start_values_zeros`` prints a table of 200 fits for each family; a smaller one is a test. A fit that
ends on its way to a limit is right to if no start, the truth among them, leads higher: it is counted apart.
"""

from __future__ import annotations

import sys
import warnings
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from statsmodels.tools.sm_exceptions import ConvergenceWarning

import mlekit
from mlekit.families import FAMILIES, GenericLikelihood
from mlekit.families.hurdle import Hurdle
from mlekit.families.zero_inflated import ZeroInflated
from mlekit.links import Array
from mlekit.optimize import Status

ROWS = (30, 100, 300, 1000)
COMBINED = {"zero_inflated": ZeroInflated, "hurdle": Hurdle}
INNER = ("poisson", "geometric", "negative_binomial", "negative_binomial_1")
CASES = [f"{kind}-{inner}" for kind in COMBINED for inner in INNER]
#: Statuses that say that the maximum is at infinity.
RUN_OFF = (Status.DIVERGING, Status.INFINITE, Status.LIMIT)


class Data(NamedTuple):
    """A sample, and the coefficients that made it."""

    family: GenericLikelihood
    table: dict[str, Array]
    formula: dict[str, str]
    truth: Array


def family_of(case: str) -> GenericLikelihood:
    """Return the family of a case."""
    kind, inner = case.split("-")
    return COMBINED[kind](FAMILIES[inner]())


def samples(case: str, count: int, seed: int = 0) -> Iterator[Data]:
    """Samples of every size, homogeneous and with a covariate of both formulas in turn."""
    family = family_of(case)
    first, *others = family.params
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        n, with_x = ROWS[number // 2 % len(ROWS)], number % 2
        x = rng.uniform(-1, 1, n)
        level = rng.uniform(-3, 1) if first == "p" else rng.uniform(-0.7, 4)
        coefficients = {name: [rng.uniform(-3, 1)] for name in others} | {first: [level], "zero": [rng.uniform(-2, 2)]}
        for name in (first, "zero"):
            coefficients[name] += [rng.uniform(-1, 1)] * with_x
        eta = [coefficients[name][0] + sum(coefficients[name][1:]) * x for name in family.params]
        theta = [link.inverse(e) for link, e in zip(family.links.values(), eta, strict=True)]
        right = "x" if with_x else "1"
        yield Data(
            family,
            {"y": family.rvs(*theta, rng=rng), "x": x},
            {first: f"y ~ {right}", "zero": f"~ {right}"},
            np.concatenate([coefficients[name] for name in family.params]),
        )


def fit(data: Data, **options: Any) -> Any:
    """Fit a sample."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return mlekit.fit(data.formula, data.table, data.family, **options)


def verdict(data: Data, result: Any) -> str:
    """``converged``, or ``at infinity``, if the fit says so and the truth leads no higher; or what is wrong."""
    status = result._results.status
    if not status.ok and status not in RUN_OFF:
        return str(status.name)
    higher = fit(data, start=data.truth).llf - result.llf
    if higher > 1e-6 * (1 + abs(result.llf)):
        return f"another maximum, {higher:.2g} higher"
    return "at infinity" if status in RUN_OFF else "converged"


def main(count: int = 200) -> None:
    """Print how the fits of every family end, and the most iterations that one took."""
    for case in CASES:
        ends: Counter[str] = Counter()
        most = 0
        for data in samples(case, count):
            result = fit(data)
            ends[verdict(data, result)] += 1
            most = max(most, result._results.optimum.iterations)
        print(f"{case:34s} {dict(ends)}, at most {most} iterations", flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
