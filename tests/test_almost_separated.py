"""Rows that are all but separated: a maximum exists, however far out, and is told from none."""

from typing import Any

import mpmath
import numpy as np
import pytest
from scipy import stats

import mlekit
from mlekit.families import Bernoulli
from mlekit.optimize.base import Status

X = [-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0]
CDF: dict[str, Any] = {"logit": lambda t: 1 / (1 + mpmath.exp(-t)), "probit": mpmath.ncdf}


def overlapping(by: float) -> dict[str, list[float]]:
    """Two groups of which one row lies that far inside of the other."""
    return {"x": [*X, by], "y": [0, 0, 0, 1, 1, 1, 1, 0]}


def exact(data: dict[str, list[float]], link: str, near: list[float]) -> tuple[list[float], float]:
    """Root of the score, and the standard error of the slope, to 50 digits."""
    with mpmath.workdps(50):
        x, y = ([mpmath.mpf(v) for v in data[name]] for name in "xy")

        def llf(a: Any, b: Any) -> Any:
            etas = [(a + b * xi) * (1 if yi else -1) for xi, yi in zip(x, y, strict=True)]
            return mpmath.fsum(mpmath.log(CDF[link](eta)) for eta in etas)

        def score(a: Any, b: Any) -> list[Any]:
            return [mpmath.diff(llf, (a, b), (1, 0)), mpmath.diff(llf, (a, b), (0, 1))]

        root = mpmath.findroot(score, near, tol=1e-45)
        h = mpmath.matrix([[-mpmath.diff(llf, tuple(root), (2 - i - j, i + j)) for j in (0, 1)] for i in (0, 1)])
        return [float(v) for v in root], float(mpmath.sqrt((h**-1)[1, 1]))


@pytest.mark.parametrize("link", ["logit", "probit"])
@pytest.mark.parametrize("by", [1e-3, 1e-5, 1e-6, 1e-8, 1e-9])
def test_overlap(by: float, link: str) -> None:
    data = overlapping(by)
    family = Bernoulli(p=link)
    assert mlekit.check_existence("y ~ x", data, family).exists
    res = mlekit.fit("y ~ x", data, family)
    params, error = exact(data, link, list(res.params))
    assert res.status is Status.CONVERGED
    assert res.diagnosis.passed.all(skipna=True)
    # The score is made of terms of size 1, and its slope of terms of the size of the overlap.
    assert res.params["x"] == pytest.approx(params[1], rel=max(1e-9, 1e-15 / by))
    assert res.params["Intercept"] == pytest.approx(params[0], rel=1e-5)
    assert res.bse["x"] == pytest.approx(error, rel=max(1e-8, 1e-14 / by))


def test_next_to_no_weight() -> None:
    """The mean of a group is closed form: the only count among zeros may have any weight."""
    data = {"y": [0, 0, 0, 1, 3, 5, 2, 4], "g": list("aaaabbbb"), "w": [1, 1, 1, 1e-9, 1, 1, 1, 1]}
    res = mlekit.fit("y ~ g", data, "poisson", weights="w")
    rate = 1e-9 / (3 + 1e-9)
    assert res.converged
    assert list(res.params) == pytest.approx([np.log(rate), np.log(3.5 / rate)], rel=1e-9)
    assert res.bse["Intercept"] == pytest.approx(1e9**0.5, rel=1e-6)  # 1e-16 of the other rows' information
    certain = stats.poisson.logpmf([3, 5, 2, 4], 3.5).sum()
    assert res.llf == pytest.approx(1e-9 * (np.log(rate) - rate) - 3 * rate + certain, rel=1e-12)
