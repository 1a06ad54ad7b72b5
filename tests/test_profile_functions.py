"""Profile intervals of functions of the coefficients that are not linear, against other parametrisations and refits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from statsmodels.tools.sm_exceptions import ModelWarning

import mlekit
from mlekit.datasets import load_africa

CHI2 = 3.841458820694124
AFRICA = load_africa()
POISSON = mlekit.fit("miltcoup ~ parties + pollib + popn", AFRICA, "poisson")
RNG = np.random.default_rng(1)
X, Z = RNG.normal(size=(2, 200))
DATA = {"x": X, "z": Z, "y": 1 + 2 * X + Z + RNG.normal(size=200)}
NORMAL = mlekit.fit("y ~ x + z", DATA, "normal")


def ratio(b: Any) -> Any:
    return b["x"] / b["z"]


def test_a_monotone_function_of_a_linear_one() -> None:
    found = POISSON.conf_int(
        cols={"mean": lambda b: np.exp(b["Intercept"] + 10 * b["parties"]), "cube": lambda b: b.parties**3},
        method="profile",
    )
    assert found.index.tolist() == ["mean", "cube"]
    linear = POISSON.conf_int(cols=["Intercept + 10*parties", "parties"], method="profile").to_numpy()
    np.testing.assert_allclose(found.loc["mean"], np.exp(linear[0]), rtol=1e-11)
    np.testing.assert_allclose(found.loc["cube"], linear[1] ** 3, rtol=1e-9)


def test_a_ratio_is_a_constraint() -> None:
    for value in NORMAL.conf_int(cols=ratio, method="profile").to_numpy()[0]:
        held = mlekit.fit("y ~ x + z", DATA, "normal", constraints=f"x - {float(value)!r}*z = 0")
        assert 2 * (NORMAL.llf - held.llf) == pytest.approx(CHI2, rel=1e-10)


def test_a_product_is_another_parametrisation() -> None:
    y = np.array([3.1, 0.4, 2.2, 5.9, 1.0, 2.8, 3.7, 0.9, 4.1])

    def by_scale(mu: Any, s: Any, y: Any) -> Any:
        return -np.log(s) - 0.5 * ((y - mu) / s) ** 2

    def by_variation(mu: Any, cv: Any, y: Any) -> Any:
        return by_scale(mu, cv * mu, y)

    plain = mlekit.mle(by_scale, {"mu": 2.0, "s": 1.5}, {"y": y})
    other = mlekit.mle(by_variation, {"mu": 2.0, "cv": 0.7}, {"y": y})
    found = plain.conf_int(cols={"cv": lambda b: b["s"] / b["mu"]}, method="profile").loc["cv"]
    np.testing.assert_allclose(found, other.conf_int(method="profile").loc["cv"], rtol=1e-10)
    # Wald's is the delta method's.
    wald = plain.conf_int(cols=lambda b: b["s"] / b["mu"]).to_numpy()[0]
    np.testing.assert_allclose(wald, other.conf_int().loc["cv"], rtol=1e-6)


def test_the_profile_of_a_function() -> None:
    found = NORMAL.profile(ratio, points=6)
    assert found.name == "ratio"
    assert found.table["root"].iloc[[0, -1]].tolist() == pytest.approx([-2.5758293, 2.5758293])
    for row in found.table.to_dict("records"):
        held = mlekit.fit("y ~ x + z", DATA, "normal", constraints=f"x - {row['value']!r}*z = 0")
        assert row["llf"] == pytest.approx(held.llf, rel=1e-12)
        assert row["x"] / row["z"] == pytest.approx(row["value"], rel=1e-12)
    assert found.interval() == pytest.approx(tuple(NORMAL.conf_int(cols=ratio, method="profile").to_numpy()[0]))
    assert found.plot().axes


def test_units_do_not_matter() -> None:
    scaled = mlekit.fit("y ~ x + z", DATA | {"x": X * 1e60, "z": Z * 1e-40}, "normal")
    found = scaled.conf_int(cols=ratio, method="profile").to_numpy() * 1e60 * 1e40
    np.testing.assert_allclose(found, NORMAL.conf_int(cols=ratio, method="profile"), rtol=1e-9)
    extreme = mlekit.fit("y ~ x + z", DATA | {"x": X * 1e150, "z": Z * 1e-100}, "normal")
    with pytest.raises(ValueError, match="or none that a float can hold"):
        extreme.conf_int(cols=ratio)


def test_a_function_without_ends_has_none() -> None:
    # The denominator may be zero: in Fieller's terms, the set of ratios has no ends.
    data = {"y": [0.3, -1.2, 0.8, 0.1, 1.1, -0.4], "x": [1.0, 2, 3, 4, 5, 6], "z": [1.0, 0, 1, 0, 0, 1]}
    fit = mlekit.fit("y ~ x + z", data, "normal")
    with pytest.warns(ModelWarning, match="end of ratio is nan: "):
        found = fit.conf_int(cols=ratio, method="profile").to_numpy()
    assert np.isnan(found).any()


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (lambda b: b["nope"], "a Series of Intercept, x, z, sigma_Intercept, and return one number: KeyError"),
        (lambda b: b, "return one number"),
        (lambda b: "a", "return one number"),
        (lambda b: 1.0, "at the estimate it has no slope"),
        (lambda b: np.nan, "is nan at the estimate"),
    ],
    ids=["unknown name", "all", "text", "constant", "nan"],
)
def test_functions_that_are_refused(function: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        NORMAL.conf_int(cols=function)


def test_fits_that_do_not_take_functions() -> None:
    bounded = mlekit.fit("y ~ x + z", DATA, "normal", bounds={"x": (0, None)})
    laplace = mlekit.fit("y ~ x + z", DATA, "laplace")
    for fit in (bounded, laplace):
        with pytest.raises(ValueError, match="ratio is not linear: under bounds"):
            fit.conf_int(cols=[ratio], method="profile")
    with pytest.raises(ValueError, match="Coefficients that are known do not vary"):
        mlekit.fit("y ~ x + z", DATA, "normal", constraints="x = 2*z, z = 1").conf_int(cols=[ratio], method="profile")
