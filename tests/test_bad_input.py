"""Bad input: nothing is clipped, dropped or ignored silently; the message names the row, the value, the valid names."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from statsmodels.tools.sm_exceptions import CollinearityWarning

import mlekit
from mlekit.covariance import COVARIANCES
from mlekit.families import FAMILIES
from mlekit.formula import FormulaError
from mlekit.optimize import METHODS

RNG = np.random.default_rng(2)
N = 40
DATA = pd.DataFrame(
    {
        "x": RNG.normal(size=N),
        "z": RNG.uniform(1, 2, N),
        "count": RNG.poisson(3, N),
        "time": RNG.exponential(size=N),
        "yes": np.arange(N) % 2,
        "g": RNG.choice(["a", "b", "c"], N),
    },
    index=range(100, 100 + N),
)


FLAG = pd.Series(np.arange(N) % 3 == 0, DATA.index)
MORE = DATA.assign(
    n=np.arange(N) % 3, h=pd.Categorical(["q", "p"] * (N // 2), ["q", "p", "unused"]), flag=np.arange(N) % 7 > 3
)


def changed(name: str, value: Any, row: int = 103) -> pd.DataFrame:
    data = DATA.astype({name: float})
    data.loc[row, name] = value
    return data


# ------------------------------------------------------------------------------------------------ values


@pytest.mark.parametrize(
    ("formula", "family", "value", "what"),
    [
        ("yes ~ x", "bernoulli", 2, "for Bernoulli each response must be 0 or 1"),
        ("yes ~ x", "bernoulli", 0.5, "for Bernoulli each response must be 0 or 1"),
        ("count ~ x", "poisson", -1, "for Poisson each response must be a count"),
        ("count ~ x", "poisson", 0.5, "for Poisson each response must be a count"),
        ("time ~ x", "exponential", -1, "for Exponential each response must be"),
    ],
)
def test_a_response_outside_the_support(formula: str, family: str, value: float, what: str) -> None:
    name = formula.split()[0]
    with pytest.raises(ValueError, match=rf"{name} is {value:g} in row .*103.*{what}"):
        mlekit.fit(formula, changed(name, value), family)
    two = changed(name, value)
    two.loc[110, name] = value
    with pytest.raises(ValueError, match="and 1 more"):
        mlekit.fit(formula, two, family)


@pytest.mark.parametrize("value", [np.inf, -np.inf])
@pytest.mark.parametrize(
    ("name", "column", "options"),
    [
        ("x", "x", {}),
        ("count", "count", {}),
        ("z", "the offset z", {"offset": "z"}),
        ("z", "the offset z", {"formula": "count ~ x + offset(z)"}),
        ("z", "the offset", {"offset": lambda data: data.z}),
        ("z", "z", {"formula": {"mu": "x ~ 1", "sigma": "~ z"}, "family": "normal"}),
    ],
)
def test_infinite_values(value: float, name: str, column: str, options: dict[str, Any]) -> None:
    data = changed(name, value)
    options = {"formula": "count ~ x", "family": "poisson"} | options
    options |= {key: option(data) for key, option in options.items() if callable(option)}
    with pytest.raises(FormulaError, match=f"^{column} is {value:g} in row 103: mlekit fits finite numbers only"):
        mlekit.fit(data=data, **options)


def test_infinite_values_that_a_formula_makes() -> None:
    with pytest.raises(FormulaError, match=r"np.log\(z\) is -inf in row 103: .* change the transformation"):
        mlekit.fit("count ~ np.log(z)", changed("z", 0.0), "poisson")
    with pytest.raises(FormulaError, match=r"I\(1 / z\) is inf in row 103"):
        mlekit.fit("count ~ I(1 / z)", changed("z", 0.0), "poisson")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weights": lambda d: d.w * -1}, "weights must be finite and not negative: row 100 has -"),
        ({"weights": "w - 1.5"}, r"weights must be finite and not negative: row \d+ has -0.5"),
        ({"weights": lambda d: np.where(d.index == 104, np.inf, 1)}, "weights must be finite .* row 104 has inf"),
        ({"weights": lambda d: np.zeros(N)}, "no rows left: every weight is zero"),
        ({"weights": [1, 2, 3]}, "weights must have one value per row: 3 against 40 rows"),
        ({"weights": np.ones((N, 1))}, "weights must be numbers, one per row"),
        ({"weights": lambda d: d.g}, "weights must be numbers, one per row, not Series of"),
        ({"weights": "g"}, "g is text or categorical: an offset or a weight is one number per row"),
        ({"weights": lambda d: d.w.reset_index(drop=True)}, "weights .* must have the same index as the data"),
        ({"weights": lambda d: d.w[::-1]}, "weights .* must have the same index as the data"),
        ({"weights": "my weights"}, r"cannot read 'my weights' as an expression: .* Q\('my weights'\)"),
        ({"weights": ""}, "cannot read ''"),
        ({"weights": "q"}, "'q' is neither a column"),
        ({"offset": [1.0]}, "the offset of 'mu' must have one value per row: 1 against 40 rows"),
        ({"offset": lambda d: d.z[::-1]}, "the offset of 'mu' .* must have the same index as the data"),
        ({"offset": "g"}, "g is text or categorical"),
        ({"offset": "np.column_stack([x, z])"}, "has 2 columns: an offset or a weight is one number per row"),
        ({"offset": {"sigma": "z"}}, "offset for sigma: the family's parameters are mu"),
        ({"exposure": "x"}, r"an exposure must be positive: row \d+ has -"),
        ({"exposure": lambda d: (d.index != 107) * 1}, "an exposure must be positive: row 107 has 0"),
        ({"exposure": lambda d: np.where(d.index == 107, np.inf, 1)}, "the offset is inf in row 107"),
        ({"exposure": "z", "family": mlekit.Poisson(mu="sqrt")}, "an exposure needs the log link, and mu has sqrt"),
        ({"exposure": "z", "family": "normal"}, "an exposure needs the log link, and mu has identity"),
        ({"missing": "ignore"}, "missing must be 'drop' or 'raise', not 'ignore'"),
    ],
)
def test_weights_offsets_and_exposures(options: dict[str, Any], message: str) -> None:
    data = DATA.assign(w=1 + DATA["count"] % 2)
    options = {key: option(data) if callable(option) else option for key, option in options.items()}
    with pytest.raises(ValueError, match=message):
        mlekit.fit("count ~ x", data, **{"family": "poisson"} | options)


# ------------------------------------------------------------------------------------------------ names


def test_unknown_keywords() -> None:
    for name in ("freq_weights", "weight", "familly", "subset"):
        with pytest.raises(TypeError, match=name):
            mlekit.fit("count ~ x", DATA, "poisson", **{name: None})


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"family": "poison"}, FAMILIES),
        ({"method": "newtn"}, METHODS),
        ({"cov_type": "HC7"}, COVARIANCES),
        ({"family": mlekit.Poisson}, ()),
    ],
)
def test_unknown_names_list_the_valid_ones(options: dict[str, Any], names: Any) -> None:
    options = {"family": "poisson"} | options
    if not names:
        assert mlekit.fit("count ~ x", DATA, **options).converged
        return
    with pytest.raises((ValueError, TypeError)) as raised:
        mlekit.fit("count ~ x", DATA, **options)
    assert [name for name in names if name not in str(raised.value)] == []
    assert next(value for value in options.values() if value != "poisson") in str(raised.value)


def test_unknown_links_list_the_valid_ones() -> None:
    with pytest.raises(ValueError, match="logit"):
        mlekit.Poisson(mu="logg")
    with pytest.raises(ValueError, match=r"'logit' does not suit Poisson's mu: use log, identity, sqrt"):
        mlekit.Poisson(mu="logit")
    with pytest.raises(TypeError, match="Poisson has no parameter lam: its parameters are mu"):
        mlekit.Poisson(lam="log")


@pytest.mark.parametrize(
    ("formula", "message"),
    [
        (
            "count ~ heigth",
            r"'heigth' is neither a column of the data nor a variable in scope \(did you mean 'height'\?\)",
        ),
        ("cont ~ x", r"'cont' is neither .*did you mean 'count'.*the columns are x, z, count, time, yes, g, height"),
        ("count ~ ", "cannot read the formula"),
        ("~ x", "needs one response to the left of '~'"),
        ("x", "needs one response"),
        ("", "needs one response"),
        ("1 ~ x", "needs one response"),
        ("count + time ~ x", "needs one response"),
        ("count:time ~ x", "needs one response"),
        ("np.column_stack([x, z]) ~ x", "has 2 columns, and Normal needs one"),
        ({"sigma": "~ x"}, "formulas for sigma: .* parameters are mu, sigma, and 'mu' needs one with the response"),
        ({"mu": "x ~ z", "tau": "~ x"}, "formulas for mu, tau: the family's parameters are mu, sigma"),
        ({"mu": "x ~ z", "sigma": "x ~ z"}, "only the formula of 'mu' has a response: 'x ~ z'"),
        ({"mu": "x ~ sigma_z", "sigma": "~ z"}, "two coefficients would be called sigma_z: rename the column"),
    ],
)
def test_formulas(formula: Any, message: str) -> None:
    data = DATA.assign(height=1.0, sigma_z=DATA.x**2)
    with pytest.raises(FormulaError, match=message):
        mlekit.fit(formula, data)


@pytest.mark.parametrize("formula", [None, 3, ["y ~ x"], b"y ~ x"])
def test_formulas_that_are_no_text(formula: Any) -> None:
    with pytest.raises(TypeError, match="a formula must be text such as 'y ~ x'"):
        mlekit.fit(formula, DATA)


@pytest.mark.parametrize(
    ("response", "family", "error", "message"),
    [
        ("g", "bernoulli", FormulaError, r"the response g is text or categorical with 3 levels \('a', 'b', 'c'\)"),
        ("g", "poisson", FormulaError, "the response g is text or categorical with 3 levels"),
        ("C(count)", "poisson", FormulaError, "the response C.count. is text or categorical with"),
        (
            "two",
            "poisson",
            ValueError,
            r"the response two is text or categorical \('no', 'yes'\): Poisson needs numbers",
        ),
        ("two", "normal", ValueError, "Normal needs numbers; family='bernoulli' takes two levels"),
        ("nothing", "poisson", FormulaError, "no rows left: all 40 have a missing value in nothing"),
    ],
)
def test_responses(response: str, family: str, error: type[Exception], message: str) -> None:
    data = DATA.assign(two=np.where(DATA.yes == 1, "yes", "no"), nothing=np.nan)
    with pytest.raises(error, match=message):
        mlekit.fit(f"{response} ~ x", data, family)


# ------------------------------------------------------------------------------------------------ rows


def test_no_rows_left() -> None:
    with pytest.raises(FormulaError, match="no rows left: all 40 have a missing value in z"):
        mlekit.fit("count ~ x + z", DATA.assign(z=None), "poisson")
    half = DATA.assign(x=DATA.x.where(FLAG), z=DATA.z.where(~FLAG))
    with pytest.raises(FormulaError, match="no rows left: all 40 have a missing value in one variable or another"):
        mlekit.fit("count ~ x + z", half, "poisson")
    for weights in (np.zeros(N), "0 * z", half.x * 0):
        with pytest.raises(ValueError, match="no rows left"):
            mlekit.fit("count ~ z", DATA, "poisson", weights=weights)


@pytest.mark.filterwarnings("ignore:.*NaN where the data are not missing:RuntimeWarning")
@pytest.mark.parametrize("formula", ["count ~ log(center(z))", "count ~ center(x.shift(1))"])
def test_transforms_that_are_nan_again_and_again(formula: str) -> None:
    with pytest.raises(FormulaError, match="NaN again whenever rows that are NaN are left out"):
        mlekit.fit(formula, DATA, "poisson")


def test_new_levels_are_refused_by_name() -> None:
    fit = mlekit.fit("count ~ g + C(n) + h + flag", MORE, "poisson")
    new = MORE.iloc[:3]
    for name, values, message in (
        ("g", ["a", "q", "r"], "g has levels 'q', 'r' that the fit did not see: it knows 'a', 'b', 'c'"),
        ("n", [1, 2, 77], r"C\(n\) has level 77 that the fit did not see: it knows 0, 1, 2"),
        (
            "h",
            pd.Categorical(["p", "unused", "q"]),
            "h has level 'unused' that the fit did not see: it knows 'q', 'p'",
        ),
        ("flag", ["yes", True, False], "flag has level 'yes' that the fit did not see: it knows False, True"),
    ):
        with pytest.raises(FormulaError, match=message):
            fit.predict(new.assign(**{name: values}))
    # In a row that lacks another value, the level does not matter.
    assert fit.predict(new.assign(g=["a", "q", "b"], n=[1, np.nan, 2])).isna().tolist() == [False, True, False]


def test_kinds_of_variables_are_remembered() -> None:
    fit = mlekit.fit("count ~ x + g", DATA, "poisson")
    with pytest.raises(FormulaError, match="x is text or categorical here, and was a number in the fit"):
        fit.predict(DATA.assign(x="3"))
    with pytest.raises(FormulaError, match=r"g has level 3.0 that the fit did not see"):
        fit.predict(DATA.assign(g=3))
    with pytest.raises(FormulaError, match=r"x is inf in row 102: .* change the transformation"):
        fit.predict(DATA.assign(x=DATA.x.where(DATA.index != 102, np.inf)))
    with pytest.raises(
        FormulaError, match=r"'x', 'g' are neither columns.* .did you mean 'xx'..; the columns are xx, z"
    ):
        fit.predict(DATA.rename(columns={"x": "xx", "g": "G"}))
    with pytest.raises(TypeError, match="data must be a pandas or polars DataFrame"):
        fit.predict(DATA[["x"]].to_numpy())


# ------------------------------------------------------------------------------------------------ what can be estimated


def test_more_coefficients_than_rows() -> None:
    with pytest.raises(ValueError, match=r"more coefficients \(4\) than rows \(3\)"):
        mlekit.fit("count ~ x + z + time", DATA.iloc[:3], "poisson")
    with pytest.raises(ValueError, match=r"more coefficients \(3\) than rows \(2\)"):
        mlekit.fit("x ~ z", DATA.iloc[:2])


@pytest.mark.parametrize(
    ("formula", "aliased", "kept"),
    [
        # R drops the later one of each set, and so do we.
        ("count ~ x + z + twice", {"twice": "twice = 3 + 2*x"}, "count ~ x + z"),
        ("count ~ twice + z + x", {"x": "x = -1.5 + 0.5*twice"}, "count ~ twice + z"),
        ("count ~ x + one + z", {"one": "one = Intercept"}, "count ~ x + z"),
        ("count ~ x + nil", {"nil": "nil = 0"}, "count ~ x"),
        ("count ~ g + a", {"a": "a = Intercept - g[T.b] - g[T.c]"}, "count ~ g"),
        ("count ~ x + z + sum + diff", {"sum": "sum = x + z", "diff": "diff = x - z"}, "count ~ x + z"),
        ("count ~ x + tiny", {"tiny": "tiny = 1e-200*x"}, "count ~ x"),
    ],
)
def test_collinear_columns_are_named_and_the_later_one_is_dropped(
    formula: str, aliased: dict[str, str], kept: str
) -> None:
    data = DATA.assign(
        twice=3 + 2 * DATA.x,
        one=1.0,
        nil=0.0,
        a=(DATA.g == "a") * 1.0,
        sum=DATA.x + DATA.z,
        diff=DATA.x - DATA.z,
        tiny=1e-200 * DATA.x,
    )
    with pytest.warns(CollinearityWarning, match="exactly collinear columns were left out") as said:
        fit = mlekit.fit(formula, data, "poisson")
    assert len(said) == 1
    relations = {
        name: text.replace("3*Intercept", "3").replace("1.5*Intercept", "1.5") for name, text in fit.aliased.items()
    }
    assert relations == aliased
    reference = smf.poisson(kept, data).fit(disp=False, tol=1e-14)
    assert list(fit.params.index) == list(reference.params.index)
    assert fit.params.to_numpy() == pytest.approx(reference.params.to_numpy(), rel=1e-7)
    text = re.sub(r"\s+", " ", str(fit.summary()))
    assert all(relation in text for relation in fit.aliased.values())
    assert fit.predict(data).to_numpy() == pytest.approx(fit.fittedvalues.to_numpy(), rel=1e-12)
    assert fit.predict(data.iloc[[3]]).tolist() == pytest.approx(fit.fittedvalues.iloc[[3]].tolist(), rel=1e-12)


def test_collinear_columns_of_a_second_parameter() -> None:
    with pytest.warns(CollinearityWarning, match=r"twice = 2\*x"):
        fit = mlekit.fit({"mu": "z ~ x", "sigma": "~ x + twice"}, DATA.assign(twice=2 * DATA.x))
    assert list(fit.params.index) == ["Intercept", "x", "sigma_Intercept", "sigma_x"]


def test_text_that_looks_like_a_bool_is_text() -> None:
    data = {"y": ["True", "False", "True", "False"], "b": [True, False, True, False], "x": [1.0, 2.0, 2.0, 1.0]}
    with pytest.raises(ValueError, match="Poisson needs numbers"):
        mlekit.fit("y ~ x", data, "poisson")
    assert mlekit.fit("b ~ x", data, "poisson").nobs == 4
    assert mlekit.fit("y ~ 1", data, "bernoulli").model.design.success == "True"
