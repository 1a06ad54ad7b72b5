"""What a comparison of a family with its density asks for, and the record that it returns."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mlekit import Normal, Poisson


@pytest.mark.parametrize(
    ("y", "theta", "error", "message"),
    [
        (
            1.0,
            {"mu": 0.0},
            TypeError,
            "Normal.check takes responses and values of its parameters, mu, sigma: sigma is mi",
        ),
        (1.0, {"mu": 0.0, "sigma": 1.0, "tau": 1.0}, TypeError, "tau is none of them"),
        (1.0, {"mu": 0.0, "sigma": -1.0}, ValueError, "sigma=-1: Normal's sigma must be between 0 and inf"),
        (1.0, {"mu": np.nan, "sigma": 1.0}, ValueError, "mu=nan: Normal's mu must be between -inf and inf"),
        (
            [1.0, np.inf],
            {"mu": 0.0, "sigma": 1.0},
            ValueError,
            "y=inf: for Normal each response must be a finite number",
        ),
        ([1.0, 2.0], {"mu": [0.0, 1.0, 2.0], "sigma": 1.0}, ValueError, "one per row: 2 of y, 3 of mu, 1 of sigma"),
        ([], {"mu": 0.0, "sigma": 1.0}, ValueError, "one number or one per row: 0 of y"),
        (1.0, {"mu": np.arange(60.0), "sigma": 1.0}, ValueError, "60 are too many: give 50 or fewer"),
    ],
)
def test_what_is_asked_is_checked(y: Any, theta: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Normal().check(y, **theta)


def test_the_record() -> None:
    found = Poisson().check([0, 2], mu=[0.5, 3.0])
    assert str(found) == repr(found)
    assert str(found).startswith("Poisson(), discrete: nothing disagrees\n")
    assert list(found.table.columns) == ["at", "ours", "reference", "deviation", "tolerance", "by", "agrees"]
    with pytest.raises(AttributeError):
        found.lines = ()  # type: ignore[misc]
