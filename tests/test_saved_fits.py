"""Saved fits: the same numbers to the last bit, in a file that holds no rows and no code."""

from __future__ import annotations

import io

import pytest

import mlekit
from mlekit.results import ResultsWrapper
from tests.saved_cases import FITS, OWN, made, same


def loaded(fit, family=None):
    file = io.StringIO()
    fit.save(file)
    return mlekit.load(io.StringIO(file.getvalue()), family), file.getvalue()


@pytest.mark.parametrize("name", FITS)
def test_a_loaded_fit_has_the_same_numbers(name):
    fit = made(name)
    again, text = loaded(fit, OWN.get(name))
    assert type(again) is ResultsWrapper
    assert type(again._results) is type(fit._results)
    same(again, fit, name)
    assert loaded(again, OWN.get(name))[1] == text
    fit.remove_data()
    assert loaded(fit, OWN.get(name))[0].summary()
