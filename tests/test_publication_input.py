"""Calls of ``mlekit.table`` that cannot be answered."""

from __future__ import annotations

import pytest

import mlekit
from mlekit.datasets import load_africa

AFRICA = load_africa()


@pytest.fixture(scope="module")
def fits():
    return [mlekit.fit(f"miltcoup ~ parties{more}", AFRICA, "poisson") for more in ("", " + pollib")]


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        ({"beneath": "sd"}, ValueError, "under an estimate can be se, ci, p, t"),
        ({"stars": "**"}, ValueError, "stars must be"),
        ({"stars": (0.1, 0.1)}, ValueError, "different numbers"),
        ({"stars": (5,)}, ValueError, "between 0 and 1"),
        ({"digits": 0}, ValueError, "from 1 to 15"),
        ({"digits": 2.5}, ValueError, "from 1 to 15"),
        ({"alpha": 2}, ValueError, "alpha"),
        ({"keep": "partys"}, ValueError, "keep names 'partys': the coefficients and terms are Intercept, parties"),
        ({"drop": ["partys"]}, ValueError, "drop names 'partys'"),
        ({"statistics": ["r2"]}, ValueError, "there are nobs, llf"),
        ({"extra": {"FE": ["no"]}}, ValueError, "a value for each of the 2 fits"),
        ({"extra": {"FE": "no"}}, ValueError, "a value for each of the 2 fits"),
        ({"labels": ["a", "b"]}, TypeError, "labels must be a dict"),
        ({"extra": ["a", "b"]}, TypeError, "extra must be a dict"),
        ({"keep": 1}, ValueError, "keep names 1"),
        ({"beneath": ["se"]}, ValueError, "under an estimate"),
        ({"labels": {"parties": "a", "Intercept": "a"}}, ValueError, "Intercept and parties of \\(1\\) the same name"),
    ],
)
def test_a_wrong_argument(fits, change, kind, message):
    with pytest.raises(kind, match=message):
        mlekit.table(fits, **change)


@pytest.mark.parametrize(
    ("given", "kind", "message"),
    [
        ([], ValueError, "the list is empty"),
        ({}, ValueError, "empty"),
        ("fit", TypeError, "not of str"),
        (None, TypeError, "not of NoneType"),
        ([1.0], TypeError, "\\(1\\) is no fit but float"),
        ([mlekit.fit], TypeError, "no fit but function"),
        (AFRICA, TypeError, "no fit but str"),
    ],
)
def test_what_is_no_fit(given, kind, message):
    with pytest.raises(kind, match=message):
        mlekit.table(given)


def test_names_that_are_the_same(fits):
    with pytest.raises(ValueError, match="two fits have the same name, '1'"):
        mlekit.table({"1": fits[0], 1: fits[1]})
