"""Estimates that are infinite, of families made of others, and in a known set."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, stats

import mlekit
from mlekit.families import Bernoulli, Censored, Hurdle, ZeroInflated
from tests.reference import FOLDER
from tests.test_infinite import CHI2, quiet


def test_counts_with_a_part_for_zeros() -> None:
    """Group b has no zero: whether there is one is certain there, and the counts say the rest."""
    y = np.array([0, 0, 1, 2, 1, 3, 0, 2, 1, 2, 4, 1, 3, 2, 2, 1.0])
    b = np.repeat([0.0, 1.0], 8)
    data = {"y": y, "b": b}

    def of_counts(mu: float, inflated: float) -> Any:
        return np.where(
            y == 0, np.log(inflated + (1 - inflated) * np.exp(-mu)), np.log1p(-inflated) + stats.poisson.logpmf(y, mu)
        )

    def loss(beta: np.ndarray) -> float:
        mu, zero = np.exp(beta[0]), 1 / (1 + np.exp(-beta[1]))
        return -float(of_counts(mu, zero)[b == 0].sum() + of_counts(mu, 0.0)[b == 1].sum())

    want = optimize.minimize(loss, [0.5, -1.0], method="BFGS", options={"gtol": 1e-8})
    fit = quiet({"mu": "y ~ 1", "zero": "~ b"}, data, ZeroInflated("poisson"))
    assert fit.params["zero_b"] == -np.inf
    np.testing.assert_allclose(fit.params[["Intercept", "zero_Intercept"]], want.x, rtol=1e-5)
    assert fit.llf == pytest.approx(-want.fun, rel=1e-10)

    fit = quiet({"mu": "y ~ 1", "zero": "~ b"}, data, Hurdle("poisson"))
    assert fit.params["zero_b"] == -np.inf
    assert fit.params["zero_Intercept"] == pytest.approx(np.log(3 / 5))
    positive = y[y > 0]
    found = optimize.minimize_scalar(
        lambda mu: -float((stats.poisson.logpmf(positive, mu) - np.log1p(-np.exp(-mu))).sum()),
        bounds=(0.1, 9),
        method="bounded",
    )
    assert fit.llf == pytest.approx(-found.fun + 3 * np.log(3 / 8) + 5 * np.log(5 / 8), rel=1e-9)
    assert fit.predict({"b": [1.0]}, "zero")[0] == 0


def test_a_group_without_events_lives_for_ever() -> None:
    data = {"t": [3.0, 5, 8, 4, 6, 7, 9], "event": [1, 1, 0, 1, 0, 0, 0], "g": list("aaaabbb")}
    fit = quiet("Surv(t, event) ~ g - 1", data, Censored("exponential"))
    assert fit.params.to_dict() == {"g[a]": pytest.approx(np.log(20 / 3)), "g[b]": np.inf}
    assert fit.llf == pytest.approx(3 * np.log(3 / 20) - 3, rel=1e-12)
    assert fit.conf_int(method="profile").loc["g[b]"].tolist() == [
        pytest.approx(np.log(2 * 22 / CHI2), rel=1e-9),
        np.inf,
    ]
    for family in ("weibull", "lognormal", "logistic"):
        fit = quiet("Surv(t, event) ~ g", data, Censored(family))
        rest = mlekit.fit("Surv(t, event) ~ 1", {name: column[:4] for name, column in data.items()}, Censored(family))
        assert fit.params["g[T.b]"] == np.inf
        np.testing.assert_allclose(fit.params[rest.params.index], rest.params, rtol=1e-6)
        assert fit.llf == pytest.approx(rest.llf, rel=1e-10)


def test_endometrial_cancer() -> None:
    """Heinze and Schemper (2002): neovasculation separates. R: ``glm(HG ~ PI + EH, binomial, subset = NV == 0)``."""
    data = pd.read_csv(FOLDER / "endometrial.csv")
    want = {
        "logit": [
            4.3045177830578,
            -0.0421834032568,
            -2.9026056137776,
            1.6372986330664,
            0.0443319651345,
            0.8455515568379,
        ],
        "probit": [
            2.1809281733826,
            -0.0188644346948,
            -1.5257614575680,
            0.8573243290997,
            0.0235986134310,
            0.4330792608429,
        ],
        "cloglog": [
            3.6363905601156,
            -0.0474031134227,
            -2.5686370272445,
            1.2283752377045,
            0.0325938529700,
            0.6845844827785,
        ],
    }
    heights = {"logit": -27.6966301785906, "probit": -28.2347792266845, "cloglog": -27.0023937236748}
    for link, numbers in want.items():
        fit = quiet("HG ~ NV + PI + EH", data, Bernoulli(p=link)).with_cov("eim")
        assert fit.params["NV"] == np.inf
        np.testing.assert_allclose([*fit.params.drop("NV"), *fit.bse.drop("NV")], numbers, rtol=1e-6)
        assert fit.llf == pytest.approx(heights[link], rel=1e-12)
