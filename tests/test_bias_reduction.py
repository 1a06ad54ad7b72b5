"""Bias-reduced estimates against R's brglm2, and what is said of them."""

import json

import numpy as np
import pytest

import mlekit
from mlekit.families import FAMILIES
from tests.reference import FOLDER

CASES = json.loads((FOLDER / "bias_reduction" / "brglm2.json").read_text(encoding="utf-8"))["cases"]
# brglm2 stops at steps of 1e-13 of its own measure, and is left behind by as much as its slow steps then still go.
LOOSE = {"quine_negative_binomial": 1e-5}


def reduced(name):
    """Fit a case of brglm2's."""
    case = CASES[name]
    family = FAMILIES[case["family"]](**(case["links"] or {}))
    return mlekit.fit(case["formula"], case["data"], family, weights=case.get("weights"), bias_reduction=True)


@pytest.mark.parametrize("name", CASES)
def test_estimates_are_those_of_brglm2(name):
    case, fit = CASES[name], reduced(name)
    count, tolerance = len(case["params"]), LOOSE.get(name, 1e-8)
    assert fit.converged
    assert "bias-reduced (Firth)" in str(fit.summary())
    np.testing.assert_allclose(fit.params[:count], case["params"], rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(fit.bse[:count], case["bse"], rtol=tolerance)
    assert fit.llf == pytest.approx(case["llf"], rel=1e-9)
