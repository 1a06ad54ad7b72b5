"""Least squares in fractions, without any rounding, and the sets of NIST that are solved by it."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

SETS = Path(__file__).parent / "reference" / "nist"
NAMES = [
    "Norris",
    "Pontius",
    "NoInt1",
    "NoInt2",
    "Filip",
    "Longley",
    "Wampler1",
    "Wampler2",
    "Wampler3",
    "Wampler4",
    "Wampler5",
]
Rows = Sequence[Sequence[Fraction]]


class Exact(NamedTuple):
    """A least-squares solution, rounded at the very end."""

    params: list[Fraction]
    bse: list[float]
    sigma: float
    rsquared: float


def load(name: str) -> dict[str, Any]:
    """Read one set of NIST."""
    found: dict[str, Any] = json.loads((SETS / f"{name.lower()}.json").read_text())
    return found


def frame(case: dict[str, Any]) -> pd.DataFrame:
    """Columns of a set in doubles."""
    return pd.DataFrame({name: [float(v) for v in values] for name, values in case["data"].items()})


def matrix(case: dict[str, Any]) -> tuple[list[list[Fraction]], list[Fraction]]:
    """Exact matrix and response of a set, in its decimals."""
    columns = {name: [Fraction(v) for v in values] for name, values in case["data"].items()}
    made = []
    for text in case["parameters"]:
        power = re.fullmatch(r"I\(x \*\* (\d+)\)", text)
        if power:
            made.append([v ** int(power[1]) for v in columns["x"]])
        else:
            made.append([Fraction(1)] * len(columns["y"]) if text == "Intercept" else columns[text])
    return [list(row) for row in zip(*made, strict=True)], columns["y"]


def of_doubles(values: np.ndarray) -> Any:
    """Return the same numbers as fractions."""
    return [of_doubles(v) for v in values] if values.ndim > 1 else [Fraction(float(v)) for v in values]


def least_squares(X: Rows, y: Sequence[Fraction], weight: Sequence[Fraction] | None = None, mean: bool = True) -> Exact:
    """Solve the normal equations by elimination."""
    n, p = len(X), len(X[0])
    w = [Fraction(1)] * n if weight is None else list(weight)
    gram = [[sum(w[i] * X[i][a] * X[i][b] for i in range(n)) for b in range(p)] for a in range(p)]
    right = [sum(w[i] * X[i][a] * y[i] for i in range(n)) for a in range(p)]
    inverse = [solve(gram, [Fraction(int(a == b)) for b in range(p)]) for a in range(p)]
    params = [sum(a * b for a, b in zip(row, right, strict=True)) for row in inverse]
    left = sum(w[i] * (y[i] - sum(X[i][j] * params[j] for j in range(p))) ** 2 for i in range(n))
    variance = left / (n - p)
    centre = sum(y, Fraction(0)) / n if mean else Fraction(0)
    total = sum((v - centre) ** 2 for v in y)
    return Exact(params, [root(variance * inverse[j][j]) for j in range(p)], root(variance), float(1 - left / total))


def solve(matrix: Rows, right: Sequence[Fraction]) -> list[Fraction]:
    """Solve equations by elimination."""
    table = [[*row, value] for row, value in zip(matrix, right, strict=True)]
    for k in range(len(table)):
        table[k] = [v / table[k][k] for v in table[k]]
        for i in range(len(table)):
            if i != k:
                factor = table[i][k]
                table[i] = [a - factor * b for a, b in zip(table[i], table[k], strict=True)]
    return [row[-1] for row in table]


def root(value: Fraction) -> float:
    """Square root with all the digits of a double."""
    shift = 4 ** max(0, 120 - value.numerator.bit_length() + value.denominator.bit_length())
    return float(Fraction(math.isqrt(int(value * shift)), math.isqrt(shift)))


def digits(found: float, right: float) -> float:
    """Correct digits, at most 15: minus the log of the relative error (of the absolute error, where 0 is right)."""
    error = abs(found - right) / abs(right) if right else abs(found)
    return min(15.0, -math.log10(error)) if error > 0 else 15.0
