"""Ordered logit and probit against mpmath, statsmodels, R, and what is known of them exactly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from mpmath import mp, mpf

from mlekit.families import OrderedLogit, OrderedProbit
from mlekit.families.categorical import Categorical

FAMILIES: dict[str, type[Categorical]] = {"ordered_logit": OrderedLogit, "ordered_probit": OrderedProbit}
each_family = pytest.mark.parametrize("name", FAMILIES)

LOCATIONS = (0.0, 0.1, -5.0, 12.1, 30.0, -30.0, 700.0)
#: Near and far, narrow intervals in the middle and in the tails, one of a single rounding error.
CUTPOINTS = (
    (-1.0, 0.0, 1.0),
    (-1.0, -0.999, 1e-3),
    (0.0, 1e-8, 2e-8),
    (-1e-12, 1e-12, 40.0),
    (-690.0, 0.5, 690.0),
    (3.0, 3.0 + 2**-51, 38.0),
    (11.0, 11.5, 13.0),
)


def make(name: str) -> Categorical:
    return FAMILIES[name]().of_levels(list("abcd"))


# ------------------------------------------------------------------------------------------------ mpmath

#: P(error > x).
TAILS: dict[str, Callable[[Any], Any]] = {
    "ordered_logit": lambda x: 1 / (1 + mp.exp(x)),
    "ordered_probit": lambda x: mp.erfc(x / mp.sqrt(2)) / 2,
}


def log_density(name: str, code: int) -> Callable[..., Any]:
    """Textbook log-probability of a code, of whichever tails are small, as they are known to all digits."""
    tail = TAILS[name]

    def value(location: Any, *cuts: Any) -> Any:
        below = tail(location - cuts[code - 1]) if code else mpf(0)
        above = tail(cuts[code] - location) if code < len(cuts) else mpf(0)
        if below + above < 0.5:
            return mp.log1p(-below - above)
        if not code:
            return mp.log(tail(location - cuts[0]))
        if code == len(cuts):
            return mp.log(tail(cuts[-1] - location))
        if below < above:
            return mp.log(tail(location - cuts[code]) - below)
        return mp.log(tail(cuts[code - 1] - location) - above)

    return value


def close(got: float, want: Any, noise: Any = 0) -> bool:
    return bool(abs(mpf(float(got)) - want) <= 5e-13 * abs(want) + noise)


@pytest.mark.parametrize("location", LOCATIONS)
@each_family
def test_rows_against_mpmath(name: str, location: float) -> None:
    """Value, gradient and Hessian; a difference of 60 digits does not see what is 1e-40 of the function."""
    family = make(name)
    for cuts in CUTPOINTS:
        at = (location, *cuts)
        for code in range(4):
            rows = family.rows(np.array([float(code)]), *(np.array([x]) for x in at))
            with mp.workdps(60):
                f, point = log_density(name, code), tuple(map(mpf, at))
                value = f(*point)
                noise = 1e-40 * abs(value) + mpf(10) ** -305
                assert close(rows.value[0], value, mpf(10) ** -305), (at, code)
                for i in range(4):
                    first = [int(k == i) for k in range(4)]
                    assert close(rows.grad[i, 0], mp.diff(f, point, tuple(first)), noise), (at, code, i)
                    for j in range(i + 1):
                        both = tuple(a + int(k == j) for k, a in enumerate(first))
                        assert close(rows.hess[i, j, 0], mp.diff(f, point, both), noise), (at, code, i, j)
                        assert rows.hess[i, j, 0] == rows.hess[j, i, 0]


# ------------------------------------------------------------------------------------------------ facts


def everywhere(family: Categorical) -> list[np.ndarray]:
    return [np.array(column) for column in zip(*((m, *cuts) for m in LOCATIONS for cuts in CUTPOINTS), strict=True)]


@each_family
def test_probabilities_add_up_and_are_those_of_the_density(name: str) -> None:
    family = make(name)
    theta = everywhere(family)
    found = family.probabilities(*theta)
    np.testing.assert_allclose(found.sum(axis=0), 1, rtol=1e-13)
    for code, share in enumerate(found):
        np.testing.assert_allclose(share, np.exp(family.logpdf(np.full_like(theta[0], code), *theta)), rtol=1e-14)
        below = found[: code + 1].sum(axis=0)
        np.testing.assert_allclose(family.cdf(np.float64(code), *theta), below, rtol=1e-11, atol=1e-15)
        np.testing.assert_allclose(np.exp(family.logsf(code + 0.5, *theta)), 1 - below, rtol=1e-11, atol=1e-15)


@each_family
def test_family_agrees_with_its_own_density(name: str) -> None:
    given = {"location": [0.3, -2, 1, 5], "a|b": -1.0, "b|c": 0.2, "c|d": 1.5}
    record = make(name).check([0, 1, 2, 3], **given)
    assert record, record
    compared = {line.what for line in record.lines if line.agrees}
    assert compared >= {"total probability", "rows: d2/da|b db|c", "information: a|b, b|c", "cdf", "logsf"}
