"""The self-test: it is quick to read, comes with the package, and notices what is wrong."""

from __future__ import annotations

import json
from importlib import resources

import numpy as np
import pytest

import mlekit
from mlekit.cli import main
from mlekit.families import Poisson
from mlekit.jets import Rows
from tests import selftest_cases
from tests.reference import load


def test_every_number_agrees_and_everything_is_looked_at():
    found = mlekit.selftest()
    assert found.passed, str(found)
    assert set(found.table.case) >= {"nist_longley", "separation_quasi", "limit_of_a_parameter", "negbin_quine"}
    assert {"params", "bse", "llf", "bse HC3"} <= set(found.table.what)
    assert set(found.versions) >= {"mlekit", "numpy", "scipy", "pandas", "patsy", "statsmodels", "BLAS"}


def test_the_cases_are_small_and_are_those_of_the_references():
    text = resources.files("mlekit").joinpath("selftest_cases.json").read_text(encoding="utf-8")
    assert len(text) < 100_000
    cases = {case["name"]: case for case in json.loads(text)}
    for name in selftest_cases.REGRESSIONS:
        assert cases[name]["expected"]["params"] == load(name).expected["params"]
        assert cases[name] == selftest_cases.regression(name, selftest_cases.REGRESSIONS[name])
    assert cases["nist_longley"] == selftest_cases.longley()
    assert cases["limit_of_a_parameter"] == selftest_cases.limit()


def test_a_score_that_is_a_little_wrong_is_noticed(monkeypatch):
    right = Poisson.linear_rows

    def wrong(self, y, *eta, order=2):
        rows = right(self, y, *eta, order=order)
        return rows if order == 0 else Rows(rows.value, rows.grad * (1 + 1e-9 * np.sign(rows.grad)), rows.hess)

    monkeypatch.setattr(Poisson, "linear_rows", wrong)
    found = mlekit.selftest()
    assert not found
    bad = found.table[~found.table.passed]
    assert "africa_poisson_parties" in set(bad.case)
    assert bad.case.str.contains("poisson|limit|insurance").all()
    assert "comparisons failed" in str(found)


def test_what_raises_is_a_failure_and_not_an_error(monkeypatch, capsys):
    def broken(self, y, *eta, order=2):
        raise FloatingPointError("no such instruction")

    monkeypatch.setattr(Poisson, "linear_rows", broken)
    assert main(["selftest"]) == 1
    assert "no such instruction" in capsys.readouterr().out


def test_from_a_shell(capsys):
    assert main(["selftest"]) == 0
    said = capsys.readouterr().out
    assert "all comparisons passed" in said
    assert "numpy" in said
    with pytest.raises(SystemExit) as stop:
        main(["selftest", "--data", "africa"])
    assert stop.value.code == 2
