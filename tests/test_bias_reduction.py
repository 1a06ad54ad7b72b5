"""Bias-reduced estimates against R's brglm2, and what is said of them."""

import json

import numpy as np
import pytest

import mlekit
from mlekit.families import FAMILIES
from tests.reference import FOLDER

CASES = json.loads((FOLDER / "bias_reduction" / "brglm2.json").read_text(encoding="utf-8"))["cases"]


def reduced(name):
    """Fit a case of brglm2's."""
    case = CASES[name]
    family = FAMILIES[case["family"]](**(case["links"] or {}))
    return mlekit.fit(case["formula"], case["data"], family, weights=case.get("weights"), bias_reduction=True)


@pytest.mark.parametrize("name", CASES)
def test_estimates_are_those_of_brglm2(name):
    case, fit = CASES[name], reduced(name)
    count, tolerance = len(case["params"]), 1e-8
    assert fit.converged
    assert "bias-reduced (Firth)" in str(fit.summary())
    np.testing.assert_allclose(fit.params[:count], case["params"], rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(fit.bse[:count], case["bse"], rtol=tolerance)
    if case.get("dispersion") is None or case["family"] == "negative_binomial":
        assert fit.llf == pytest.approx(case["llf"], rel=max(tolerance, 1e-9))
    if case.get("dispersion") is not None:  # R's logLik of other families has another dispersion in it
        dispersion = {"gamma": -1, "normal": 2, "negative_binomial": 1}[case["family"]]
        assert np.exp(dispersion * fit.params.iloc[-1]) == pytest.approx(case["dispersion"], rel=1e-8)
