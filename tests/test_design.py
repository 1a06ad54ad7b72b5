"""Designs: which rows are used and counted, offsets and weights, the response, and prediction on new rows."""

from __future__ import annotations

import copy
import pickle
import warnings
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import statsmodels.api as sm
import statsmodels.formula.api as smf
from statsmodels.tools.sm_exceptions import CollinearityWarning

import mlekit
from mlekit.design import Offset, aligned
from mlekit.formula import FormulaError, read_formulas

RNG = np.random.default_rng(8)
N = 80
DATA = pd.DataFrame(
    {
        "y": RNG.poisson(4, N),
        "x": RNG.uniform(0.5, 3, N),
        "z": RNG.normal(size=N),
        "g": RNG.choice(["a", "b", "c"], N),
        "n": RNG.integers(1, 9, N),
        "w": RNG.integers(1, 4, N),
        "flag": RNG.uniform(size=N) < 0.5,
        "yes": RNG.choice(["yes", "no"], N),
    },
    index=[f"r{i}" for i in range(N)],
)


def glm(formula: str, data: pd.DataFrame, family: Any = sm.families.Poisson, **options: Any) -> Any:
    return smf.glm(formula, data, family=family(), **options).fit(tol=1e-14, maxiter=100)


def same(fit: Any, reference: Any) -> None:
    """Coefficients, standard errors, log-likelihood, number of observations."""
    assert list(fit.params.index) == list(reference.params.index)
    assert fit.params.to_numpy() == pytest.approx(reference.params.to_numpy(), rel=1e-9, abs=1e-11)
    assert fit.bse.to_numpy() == pytest.approx(reference.bse.to_numpy(), rel=1e-7)
    assert fit.llf == pytest.approx(reference.llf, rel=1e-10)
    assert fit.nobs == reference.model.nobs


def left_out(fit: Any) -> tuple[int, int]:
    return fit.model.observations.missing, fit.model.observations.unweighted


# ------------------------------------------------------------------------------------------------ missing values

FORMULA = "y ~ x + g + center(z) + offset(log(n))"
GAPS = {"y": ["r1", "r7"], "x": ["r2"], "g": ["r3", "r7"], "z": ["r5"], "n": ["r9"], "w": ["r11", "r2"]}


def with_gaps() -> pd.DataFrame:
    data = DATA.astype({"y": float, "n": float, "w": float})
    for name, rows in GAPS.items():
        data.loc[rows, name] = np.nan
    return data


def test_one_mask_cuts_response_covariates_weights_offset_and_exposure() -> None:
    data = with_gaps()
    complete = data.dropna()
    reference = glm("y ~ x + g + center(z)", complete, offset=np.log(complete.n), freq_weights=complete.w)
    by_name = {"weights": "w"}
    by_array = {"weights": data.w.to_numpy(), "exposure": data.n.tolist()}
    by_series = {"weights": data.w, "offset": np.log(data.n)}
    fits = [
        mlekit.fit(FORMULA, data, "poisson", **by_name),
        mlekit.fit("y ~ x + g + center(z)", data, "poisson", exposure="n", **by_name),
        mlekit.fit("y ~ x + g + center(z)", data, "poisson", **by_array),
        mlekit.fit("y ~ x + g + center(z)", data, "poisson", **by_series),
        mlekit.fit("y ~ x + g + center(z)", data, "poisson", weights="w", offset=0 * data.x, exposure=data.n),
        mlekit.fit(FORMULA, pl.from_pandas(data), "poisson", weights=pl.Series(data.w)),
    ]
    for fit in fits:
        assert fit.params.to_numpy() == pytest.approx(reference.params.to_numpy(), rel=1e-9)
        assert fit.bse.to_numpy() == pytest.approx(reference.bse.to_numpy(), rel=1e-7)
        assert left_out(fit) == (7, 0)
        assert "7 rows with missing values" in str(fit.summary())
        assert len(fit.fittedvalues) == len(complete)
    for fit in fits[:5]:
        assert list(fit.resid_response.index) == list(complete.index)


def test_missing_values_can_be_refused() -> None:
    with pytest.raises(FormulaError, match=r"7 of 80 rows have missing values, the first labelled 'r1' \(y\)"):
        mlekit.fit(FORMULA, with_gaps(), "poisson", weights="w", missing="raise")
    with pytest.raises(FormulaError, match=r"1 of 80 rows .* labelled 'r4' \(weights\)"):
        mlekit.fit(FORMULA, DATA, "poisson", weights=DATA.w.where(DATA.index != "r4"), missing="raise")
    with pytest.raises(FormulaError, match=r"'r0' \(the exposure\)"):
        mlekit.fit("y ~ x", DATA, "poisson", exposure=[np.nan] + [1] * (N - 1), missing="raise")
    same(mlekit.fit("y ~ x", DATA, "poisson", missing="raise"), glm("y ~ x", DATA))


def test_levels_and_centres_are_those_of_the_rows_in_use() -> None:
    data = DATA.assign(g=pd.Categorical(DATA.g, ["c", "b", "a", "d"]))
    data.loc[data.g == "c", "x"] = np.nan
    reference = glm("y ~ x + g + center(z)", data.dropna().assign(g=lambda d: d.g.cat.remove_unused_categories()))
    assert "g[T.a]" in reference.params
    same(mlekit.fit("y ~ x + g + center(z)", data, "poisson"), reference)
    text = data.assign(g=data.g.astype(str))
    same(mlekit.fit("y ~ x + g + center(z)", text, "poisson"), glm("y ~ x + g + center(z)", text.dropna()))
    # A row of weight zero is no row: the same levels, the same centre.
    unweighted = mlekit.fit("y ~ x + g + center(z)", text.fillna({"x": 9.0}), "poisson", weights=(text.g != "c") * 1.0)
    same(unweighted, glm("y ~ x + g + center(z)", text.dropna()))
    assert left_out(unweighted) == (0, (text.g == "c").sum())


@pytest.mark.parametrize("formula", ["y ~ center(z)", "y ~ standardize(z)", "y ~ bs(z, df=5)", "y ~ cr(z, df=4) - 1"])
def test_transforms_learn_from_complete_rows(formula: str) -> None:
    data = DATA.assign(z=DATA.z.where(DATA.index != "r5"), x=DATA.x.where(DATA.index != "r6"))
    same(mlekit.fit(formula, data, "poisson"), glm(formula, data.drop(index="r5")))
    same(mlekit.fit(f"{formula} + x", data, "poisson"), glm(f"{formula} + x", data.drop(index=["r5", "r6"])))
    product = formula.replace("y ~ ", "y ~ x:")
    same(mlekit.fit(product, data, "poisson"), glm(product, data.drop(index=["r5", "r6"])))


def test_expressions_see_the_rows_that_are_left_out() -> None:
    """A lag is the value of the row before, whether or not that row is used; as in statsmodels."""
    data = DATA.assign(z=DATA.z.where(DATA.index != "r5"))
    lagged = data.assign(before=data.x.shift(1)).dropna()
    with pytest.warns(RuntimeWarning, match=r"x.shift\(1\) is NaN where the data are not missing.* 1 row left out"):
        fit = mlekit.fit("y ~ x.shift(1) + z", data, "poisson")
    assert fit.params.to_numpy() == pytest.approx(glm("y ~ before + z", lagged).params.to_numpy(), rel=1e-9)
    assert left_out(fit) == (2, 0)


@pytest.mark.parametrize(
    ("formula", "meaning"),
    [
        ("y ~ I(x > 1)", "y ~ I(x > 1)"),
        ("y ~ np.where(x > 1, 1, 0) + z", "y ~ np.where(x > 1, 1, 0) + z"),
        ("y ~ I((g == 'a') * 1)", "y ~ I((g == 'a') * 1)"),
        ("y ~ C(1 < n - 2)", "y ~ C(1 < n - 2)"),
        ("y ~ I(~flag)", "y ~ I(~flag)"),
        ("y ~ flag:x", "y ~ flag:x"),
        ("y ~ center((x > 1) * 1)", "y ~ center((x > 1) * 1)"),
    ],
)
def test_a_comparison_with_a_missing_value_is_missing(formula: str, meaning: str) -> None:
    """In NumPy and pandas it is false, which would put the row among the wrong ones; in R it is NA."""
    gap = ["r1", "r2", "r3"]
    data = DATA.astype({"flag": "boolean", "n": float})
    data.loc[gap, ["x", "g", "n", "flag"]] = [np.nan, None, np.nan, pd.NA]
    fit = mlekit.fit(formula, data, "poisson")
    same(fit, glm(meaning, DATA.drop(index=gap)))
    assert left_out(fit) == (3, 0)
    assert fit.predict(data).isna().sum() == 3


def test_an_expression_may_say_what_a_missing_value_means() -> None:
    data = DATA.assign(x=DATA.x.where(DATA.index != "r1"))
    for formula, meaning in (
        ("y ~ np.where(np.isnan(x), 0, x)", "y ~ x"),
        ("y ~ np.where(x.isna(), 0, x) + x.isna()", "y ~ x + I(x == 0)"),
        ("y ~ x.fillna(0)", "y ~ x"),
        ("y ~ I(x.fillna(0) > 1)", "y ~ I(x > 1)"),
        ("y ~ I((x > 1) | np.isnan(x))", "y ~ I((x > 1) | (x == 0))"),
    ):
        fit = mlekit.fit(formula, data, "poisson")
        reference = glm(meaning, data.fillna({"x": 0.0}))
        assert fit.params.to_numpy() == pytest.approx(reference.params.to_numpy(), rel=1e-9)
        assert left_out(fit) == (0, 0)


def test_nan_that_the_formula_makes_is_said() -> None:
    data = DATA.assign(x=DATA.x.where(DATA.index != "r4", -1.0), n=DATA.n.where(DATA.index != "r6"))
    reference = glm("y ~ np.log(x) + n", data.drop(index=["r4", "r6"]))
    for formula in ("y ~ np.log(x) + n", "y ~ center(log(x)) + n", "y ~ I(center(n) * log(x))"):
        with pytest.warns(
            RuntimeWarning, match="NaN where the data are not missing.* 1 row left out.* labelled 'r4'"
        ) as said:
            fit = mlekit.fit(formula, data, "poisson")
        assert len(said) == 1
        assert left_out(fit) == (2, 0)
        assert fit.llf == pytest.approx(reference.llf, rel=1e-10) or "center" in formula
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert np.isnan(fit.predict(data)["r4"])
            assert fit.predict(data).drop(["r4", "r6"]).to_numpy() == pytest.approx(fit.fittedvalues.to_numpy())


def test_a_factor_with_one_level_has_no_coefficient_and_says_so() -> None:
    one = DATA[DATA.g == "a"]
    with pytest.warns(CollinearityWarning, match="g has one level in the rows that are used"):
        fit = mlekit.fit("y ~ x + g", one, "poisson")
    same(fit, glm("y ~ x", one))
    assert fit.predict(one).tolist() == pytest.approx(fit.fittedvalues.tolist())
    with pytest.warns(CollinearityWarning, match=r"flag\[T.True\] = Intercept"):
        same(mlekit.fit("y ~ x + flag", DATA.assign(flag=True), "poisson"), glm("y ~ x", DATA))


# ------------------------------------------------------------------------------------------------ weights and offsets


def test_weights_are_repeated_rows() -> None:
    repeated = DATA.loc[DATA.index.repeat(DATA.w)]
    reference = glm("y ~ x", repeated)
    for weights in ("w", "w * 1", DATA.w, DATA.w.tolist(), DATA.w.astype("Int64"), "np.maximum(w, 0)"):
        same(mlekit.fit("y ~ x", DATA, "poisson", weights=weights), reference)
    some = mlekit.fit("y ~ x", DATA, "poisson", weights="flag")
    same(some, glm("y ~ x", DATA[DATA.flag]))
    same(mlekit.fit("y ~ x", DATA, "poisson", weights=DATA.flag), glm("y ~ x", DATA[DATA.flag]))
    assert left_out(some) == (0, (~DATA.flag).sum())
    assert f"{(~DATA.flag).sum()} rows of weight zero" in str(some.summary())
    assert list(some.fittedvalues.index) == list(DATA.index[DATA.flag])


def test_rows_of_weight_zero_may_hold_anything() -> None:
    data = DATA.astype({"y": float, "x": float})
    data.loc["r1", ["y", "x"]] = [-3.5, np.inf]
    fit = mlekit.fit("y ~ x", data.assign(w=(data.index != "r1") * 1), "poisson", weights="w")
    same(fit, glm("y ~ x", data.drop(index="r1")))


def test_offsets_however_they_are_written() -> None:
    reference = glm("y ~ x", DATA, offset=np.log(DATA.n) + DATA.z)
    ways: list[tuple[str, dict[str, Any]]] = [
        ("y ~ x + offset(log(n) + z)", {}),
        ("y ~ offset(np.log(n)) + x + offset(z)", {}),
        ("y ~ x + offset(z)", {"exposure": "n"}),
        ("y ~ x + offset(z)", {"exposure": DATA.n}),
        ("y ~ x + offset(z)", {"offset": "log(n)"}),
        ("y ~ x", {"offset": {"mu": "log(n) + z"}}),
        ("y ~ x", {"offset": (np.log(DATA.n) + DATA.z).tolist()}),
        ("y ~ x", {"offset": DATA.z, "exposure": "1.0 * n"}),
        ("y ~ x + offset(I(z))", {"offset": np.log(DATA.n)}),
    ]
    for formula, options in ways:
        same(mlekit.fit(formula, DATA, "poisson", **options), reference)
    same(mlekit.fit("y ~ x", DATA, "poisson", offset="flag"), glm("y ~ x", DATA, offset=DATA.flag * 1.0))
    same(mlekit.fit("y ~ x + flag + offset(flag)", DATA, "poisson"), glm("y ~ x + flag", DATA, offset=DATA.flag * 1.0))
    same(mlekit.fit("y ~ x", DATA, "poisson", offset=0.5), glm("y ~ x", DATA, offset=np.full(N, 0.5)))


def test_an_offset_in_the_formula_of_another_parameter() -> None:
    """Precision weights are an offset of log sigma: weighted least squares."""
    wls = smf.wls("z ~ x + g", DATA, weights=DATA.n).fit()
    fits = [
        mlekit.fit({"mu": "z ~ x + g", "sigma": "~ offset(-0.5 * log(n))"}, DATA),
        mlekit.fit({"mu": "z ~ x + g", "sigma": "1 + offset(-0.5 * np.log(n))"}, DATA),
        mlekit.fit("z ~ x + g", DATA, offset={"sigma": "-0.5 * log(n)"}),
        mlekit.fit("z ~ x + g", DATA, offset={"sigma": -0.5 * np.log(DATA.n)}),
    ]
    for fit in fits:
        assert fit.params[:4].to_numpy() == pytest.approx(wls.params.to_numpy(), rel=1e-8)
        assert fit.llf == pytest.approx(wls.llf, rel=1e-9)
    both = mlekit.fit({"mu": "z ~ x + offset(n)", "sigma": "~ x + offset(z)"}, DATA)
    assert list(both.params.index) == ["Intercept", "x", "sigma_Intercept", "sigma_x"]
    assert both.predict(DATA).to_numpy() == pytest.approx(both.fittedvalues.to_numpy(), rel=1e-12)


def test_offsets_of_new_rows() -> None:
    new = DATA.iloc[:5].drop(columns="y")
    for options in ({"exposure": "n"}, {"offset": "log(n)"}):
        fit = mlekit.fit("y ~ x + offset(z)", DATA, "poisson", **options)
        assert fit.predict(new).tolist() == pytest.approx(fit.fittedvalues[:5].tolist(), rel=1e-12)
        assert (fit.predict(new.assign(n=2 * new.n)) / fit.predict(new)).tolist() == pytest.approx([2] * 5, rel=1e-12)
        with pytest.raises(FormulaError, match="'n' is neither a column"):
            fit.predict(new.drop(columns="n"))
        with pytest.raises(FormulaError, match=r"'z', 'n' are neither|'n', 'z' are neither"):
            fit.predict(new[["x"]])
        gap = fit.predict(new.assign(n=new.n.where(new.index != "r2")))
        assert gap.isna().tolist() == [False, False, True, False, False]
    fit = mlekit.fit("y ~ x", DATA, "poisson", exposure="n")
    with pytest.raises(ValueError, match="an exposure must be positive: row 'r1' has 0"):
        fit.predict(new.assign(n=[1, 0, 1, 1, 1]))
    with pytest.raises(FormulaError, match=r"the offset log.n. is -inf in row 'r1'"):
        mlekit.fit("y ~ x + offset(log(n))", DATA, "poisson").predict(new.assign(n=[1, 0, 1, 1, 1]))


def test_offsets_that_were_arrays_must_be_given_again() -> None:
    new = DATA.iloc[:5]
    fit = mlekit.fit("y ~ x", DATA, "poisson", exposure=DATA.n)
    with pytest.raises(ValueError, match="the fit was given an exposure as an array"):
        fit.predict(new)
    assert fit.predict(new, exposure=new.n).tolist() == pytest.approx(fit.fittedvalues[:5].tolist(), rel=1e-12)
    with pytest.raises(ValueError, match="must have one value per row: 3 against 5 rows"):
        fit.predict(new, exposure=[1, 2, 3])
    with pytest.raises(ValueError, match="must be numbers, one per row, not 'n'"):
        fit.predict(new, exposure="n")


# ------------------------------------------------------------------------------------------------ the response


@pytest.mark.parametrize(
    ("response", "success", "failure"),
    [
        (DATA.flag, "True", "False"),
        (DATA.flag.astype("boolean"), "True", "False"),
        (DATA.flag.astype(object), "True", "False"),
        (DATA.yes, "yes", "no"),
        (DATA.yes.astype("category"), "yes", "no"),
        (pd.Series(pd.Categorical(DATA.yes, ["maybe", "yes", "no"]), DATA.index), "no", "yes"),
        (pd.Series(pd.Categorical(DATA.flag.map({True: 7, False: 3})), DATA.index), "7", "3"),
    ],
)
def test_two_levels_are_zero_and_one(response: pd.Series, success: str, failure: str) -> None:
    ones = (response.astype(str) == success).astype(float)
    fit = mlekit.fit("b ~ x", DATA.assign(b=response), "bernoulli")
    same(fit, glm("b ~ x", DATA.assign(b=ones), sm.families.Binomial))
    assert f"b = {success} counts as 1, {failure} as 0" in " ".join(str(fit.summary()).split())
    assert (str(fit.model.design.success), str(fit.model.design.failure)) == (success, failure)


def test_responses_that_are_expressions() -> None:
    binary = glm("b ~ x", DATA.assign(b=(DATA.y > 4) * 1.0), sm.families.Binomial)
    for formula in ("I(y > 4) ~ x", "np.where(y > 4, 1, 0) ~ x", "np.where(y > 4, 'many', 'few') ~ x"):
        same(mlekit.fit(formula, DATA, "bernoulli"), binary)
    other = mlekit.fit("C(yes, levels=['yes', 'no']) ~ x", DATA, "bernoulli")
    assert (other.model.design.success, other.model.design.failure) == ("no", "yes")
    with pytest.raises(FormulaError, match=r"the response yes is text or categorical with 1 levels \('no'\)"):
        mlekit.fit("yes ~ x", DATA[DATA.yes == "no"], "bernoulli")


# ------------------------------------------------------------------------------------------------ prediction

FITS = {
    "text": "y ~ g + x",
    "categories": "y ~ h * x",
    "numbers": "y ~ C(n, Treatment(3))",
    "several": "y ~ flag + g:h + bs(x, df=4) + center(z)",
}
CATEGORIES = DATA.assign(h=pd.Categorical(DATA.yes, ["yes", "no", "unused"]))


@pytest.mark.parametrize("name", FITS)
def test_levels_are_remembered(name: str) -> None:
    fit = mlekit.fit(FITS[name], CATEGORIES, "poisson")
    some = CATEGORIES[(CATEGORIES.g == "b") & (CATEGORIES.yes == "no")]
    expected = fit.fittedvalues[some.index].tolist()
    for data in (
        some,
        some.assign(h=some.h.cat.remove_unused_categories()),
        some.assign(h=pd.Categorical(some.yes, ["no", "yes"])),
        some.assign(h=some.yes, g=some.g.astype("category"), n=some.n.astype(float)),
        pl.from_pandas(some.assign(h=some.yes)),
        some.to_dict("list"),
    ):
        assert fit.predict(data).tolist() == pytest.approx(expected, rel=1e-12)


def test_order_of_categories_is_remembered() -> None:
    data = DATA.assign(h=pd.Categorical(DATA.g, ["c", "a", "b"], ordered=True))
    fit = mlekit.fit("y ~ I(h < 'b') + h.cat.codes", data, "poisson")
    for h in (data.h, data.g, data.h.cat.reorder_categories(["a", "b", "c"])):
        assert fit.predict(data.assign(h=h)).tolist() == pytest.approx(fit.fittedvalues.tolist(), rel=1e-12)


def test_rows_without_values_stay_in_place() -> None:
    fit = mlekit.fit("y ~ x + g + bs(z, df=4)", DATA, "poisson")
    new = DATA.assign(
        x=DATA.x.where(DATA.index != "r1"), g=DATA.g.where(DATA.index != "r2"), z=DATA.z.where(DATA.index != "r3")
    )
    found = fit.predict(new)
    assert list(found.index) == list(DATA.index)
    assert list(found.index[found.isna()]) == ["r1", "r2", "r3"]
    assert found.dropna().tolist() == pytest.approx(fit.fittedvalues.drop(["r1", "r2", "r3"]).tolist(), rel=1e-12)
    assert fit.predict(new.loc[["r1", "r2"]]).isna().all()
    assert fit.predict(DATA.assign(x=None)).isna().all()
    assert fit.predict(DATA.iloc[:0]).size == 0


# ------------------------------------------------------------------------------------------------ the record itself


def test_a_design_survives_copies() -> None:
    design = mlekit.fit({"mu": "z ~ center(x) + C(g, Treatment('b'))", "sigma": "~ bs(x, df=4)"}, DATA).model.design
    for again in (pickle.loads(pickle.dumps(design)), copy.copy(design), copy.deepcopy(design)):
        assert again == design
        for found, expected in zip(again.matrices(DATA)[0], design.matrices(DATA)[0], strict=True):
            assert (found == expected).all()


def test_names_and_slices() -> None:
    design = mlekit.fit({"mu": "z ~ x + offset(n)", "sigma": "~ x"}, DATA, weights="w").model.design
    assert design.names == ("Intercept", "x", "sigma_Intercept", "sigma_x")
    assert design.slices == (slice(0, 2), slice(2, 4))
    assert design.offsets == (Offset("mu", "n"),)
    assert design.response == "z"
    assert dict(design.variables) == {"x": None, "n": None}
    assert read_formulas("y ~ x", ("mu", "sigma")) == {"mu": "y ~ x", "sigma": "~ 1"}


@pytest.mark.parametrize("values", [[1, 2, 3], (1, 2, 3), np.array([1, 2, 3], dtype="uint8"), pl.Series([1, 2, 3])])
def test_aligned_values(values: Any) -> None:
    assert aligned(values, pd.RangeIndex(3), "weights").tolist() == [1, 2, 3]
    assert aligned(2, pd.RangeIndex(3), "weights").tolist() == [2, 2, 2]
    assert aligned(pl.Series([True, None, 2.5], strict=False), pd.RangeIndex(3), "weights").size == 3
