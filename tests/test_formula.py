"""Formulas: the columns that patsy's users expect, names found in the caller's scope, errors that say what to do."""

from __future__ import annotations

import pickle
import subprocess
import sys
from typing import Any

import numpy as np
import pandas as pd
import patsy
import pytest
import statsmodels.formula.api as smf
from patsy import EvalEnvironment

import mlekit
from mlekit.design import Design, Observations, design_table
from mlekit.formula import FUNCTIONS, FormulaError, caller_scope, parse, syntax, unknown_name, variables

RNG = np.random.default_rng(5)
N = 50
DATA = pd.DataFrame(
    {
        "y": RNG.poisson(3, N) + 0.0,
        "x": RNG.uniform(0.5, 3, N),
        "z": RNG.normal(size=N),
        "k": RNG.integers(0, 4, N),
        "g": RNG.choice(["a", "b", "c"], N),
        "flag": RNG.uniform(size=N) < 0.5,
        "date": pd.date_range("2019-03-01", periods=N, freq="37D"),
        "size": pd.Categorical(RNG.choice(["small", "medium", "large"], N), ["small", "medium", "large"], ordered=True),
        "my var": RNG.normal(size=N),
        "class": RNG.normal(size=N),
    },
    index=[f"r{i}" for i in range(N)],
)


def standard(values):
    """The mean and the deviation of a Series, which divides by n - 1, and of an array, which does not."""
    return (values - values.mean()) / values.std()


def clipped(values, low, high=2.0):
    return np.clip(values, low, high)


def read(formula: str | dict[str, str], data: Any = DATA, **options: Any) -> tuple[Design, Observations]:
    params = ("mu", "sigma") if isinstance(formula, dict) else ("mu",)
    return design_table(formula, data, params, options.pop("env", EvalEnvironment.capture(1)), **options)


AS_PATSY = [
    "y ~ x",
    "y ~ x - 1",
    "y ~ 0 + x + g",
    "y ~ g + g:x",
    "y ~ g * x",
    "y ~ g:flag",
    "y ~ (x + z + flag)**2",
    "y ~ x / g",
    "y ~ flag",
    "y ~ x + I(x**2) + I(x > 1)",
    "y ~ np.log(x) + np.exp(z):x",
    "y ~ np.where(z > 0, z, 0)",
    "y ~ np.clip(x, 1, 2) + np.maximum(x, z)",
    "y ~ I((x > 1) & (z < 0)) + I((k == 1) | flag)",
    "y ~ C(k)",
    "y ~ C(k, Treatment(2))",
    "y ~ C(k, Treatment(reference=3)) * x",
    "y ~ C(g, Treatment('b'))",
    "y ~ C(g, levels=['c', 'a', 'b'])",
    "y ~ C(g, Sum) + C(k, Helmert)",
    "y ~ C(size, Poly) + C(k, Diff)",
    "y ~ C(g, [[1, 0], [0, 1], [-1, -1]])",
    "y ~ size",
    "y ~ I(size < 'large')",
    "y ~ size.cat.codes",
    "y ~ C(k > 1)",
    "y ~ center(x)",
    "y ~ standardize(x) + scale(z, ddof=1)",
    "y ~ center(x):g",
    "y ~ I(center(x)**2) + np.exp(standardize(z))",
    "y ~ bs(x, df=5)",
    "y ~ bs(x, knots=[1, 2], degree=2, include_intercept=True) - 1",
    "y ~ bs(center(x), df=4)",
    "y ~ cr(x, df=4) - 1",
    "y ~ cc(x, df=3)",
    "y ~ te(cr(x, df=3), cr(z, df=3)) - 1",
    "y ~ Q('my var') + Q('class') + Q(\"x\")",
    "y ~ center(Q('my var'))",
    "y ~ date.dt.year + C(date.dt.quarter)",
    "y ~ I((date - pd.Timestamp('2019-01-01')).dt.days / 365)",
    "y ~ g.str.upper()",
    "y ~ C(date.dt.floor('365D'))",
    "y ~ x.rank() + I(z - z.mean())",
    "y ~ standard(x) + clipped(z, -1, high=1)",
    "y ~ np.column_stack([x, z])",
    "np.log(y + 1) ~ x",
    "standardize(y) ~ x",
    "y ~ 1",
    "y ~ np.abs(z) + abs(z)",
]


@pytest.mark.parametrize("formula", AS_PATSY)
def test_columns_are_those_of_patsy(formula: str) -> None:
    y, X = patsy.dmatrices(formula, DATA)
    design, observations = read(formula)
    assert list(design.names) == X.design_info.column_names
    assert observations.block.X[0] == pytest.approx(np.asarray(X), rel=1e-13, abs=1e-13)
    assert observations.block.y == pytest.approx(np.asarray(y)[:, 0], rel=1e-13, abs=1e-13)
    assert list(observations.labels) == list(DATA.index)


@pytest.mark.parametrize("formula", [f for f in AS_PATSY if "rank" not in f and "standard(" not in f])
def test_new_rows_get_the_values_that_the_fit_gave_them(formula: str) -> None:
    design, observations = read(formula)
    X = observations.block.X[0]
    some = [7, 3, 30]
    for data in (DATA, DATA.iloc[some], DATA.iloc[some].drop(columns="y"), DATA.iloc[some].astype({"size": str})):
        (found,), offsets, missing = design.matrices(data)
        assert found == pytest.approx(X if len(data) == N else X[some], rel=1e-13, abs=1e-13)
        assert offsets == (None,)
        assert missing is None
    again = pickle.loads(pickle.dumps(design))
    assert again.matrices(DATA)[0][0] == pytest.approx(X, rel=1e-13, abs=1e-13)


@pytest.mark.parametrize("name", sorted(set(FUNCTIONS) - {"np"}))
def test_functions_without_a_prefix(name: str) -> None:
    plain = read(f"y ~ {name}(x) + center({name}(x))")[1].block.X[0]
    assert (plain == read(f"y ~ np.{name}(x) + center(np.{name}(x))")[1].block.X[0]).all()
    assert np.isfinite(plain).all()


def test_a_column_may_be_called_as_a_function_is() -> None:
    data = DATA.assign(log=DATA.z, C=-(DATA.z**2))
    X = read("y ~ log(x) + log + C(k) + C", data)[1].block.X[0]
    assert (X[:, -3:] == np.column_stack([np.log(DATA.x), data.log, data.C])).all()


def test_the_function_of_the_user_comes_first() -> None:
    def log(values):
        assert isinstance(values, pd.Series)
        return values * 10

    X = read("y ~ log(x)", env=EvalEnvironment.capture())[1].block.X[0]
    assert (X[:, 1] == log(DATA.x)).all()


def test_names_of_levels_are_plain() -> None:
    names = [name for formula in ("y ~ C(np.floor(x))", "y ~ C(np.array(k))") for name in read(formula)[0].names]
    assert names[1:3] == ["C(np.floor(x))[T.1.0]", "C(np.floor(x))[T.2.0]"]
    assert names[-1] == "C(np.array(k))[T.3]"


# ------------------------------------------------------------------------------------------------ scope


def test_variables_of_the_scope() -> None:
    y, x, words = DATA.y.to_numpy(), DATA.x.tolist(), DATA.g.tolist()
    expected = smf.ols("y ~ np.log(x) + g", DATA).fit().params.to_numpy()
    for data in (None, {"other": np.zeros(N)}, DATA[["z"]].reset_index(drop=True), DATA[["y"]].reset_index(drop=True)):
        fit = mlekit.fit("y ~ np.log(x) + words", data)
        assert fit.params.to_numpy()[: expected.size] == pytest.approx(expected, rel=1e-9)
    assert len(y) == len(x) == len(words)


def test_scope_in_nested_functions_and_comprehensions() -> None:
    response, covariate = DATA.y.to_numpy(), DATA.x.to_numpy()
    expected = smf.ols("y ~ x", DATA).fit().params.to_numpy()

    def model() -> mlekit.Model:
        return mlekit.Model.from_formula("response ~ covariate", env=caller_scope())

    def here() -> mlekit.Model:
        response = -DATA.y.to_numpy()
        model = mlekit.Model.from_formula("response ~ covariate", env=caller_scope())
        assert response.size == N
        return model

    in_list = [mlekit.Model.from_formula("response ~ covariate", env=caller_scope()) for _ in range(2)]
    in_call = list(map(lambda _: mlekit.Model.from_formula("response ~ covariate", env=caller_scope()), "a"))
    for found in (model(), *in_list, *in_call):
        assert found.fit().params.to_numpy()[:2] == pytest.approx(expected, rel=1e-9)
    assert here().fit().params.to_numpy()[:2] == pytest.approx(-expected, rel=1e-9)
    assert covariate.size == response.size


def test_scope_of_a_plain_call_is_that_of_the_caller() -> None:
    assert caller_scope().namespace["__name__"] == __name__
    inside = 3
    assert caller_scope().namespace["inside"] == inside
    assert (lambda: caller_scope(1))().namespace["inside"] == inside
    assert "N" in caller_scope().namespace
    assert "no_such_name" not in caller_scope().namespace


def test_constants_and_functions_of_the_scope_stay_what_they_are() -> None:
    knots, base = [1.0, 2.0], "b"
    cut = {"low": 1.0}
    _, observations = read("y ~ bs(x, knots=knots) + C(g, Treatment(base)) + clipped(x, cut['low'])")
    expected = patsy.dmatrix("bs(x, knots=[1., 2.]) + C(g, Treatment('b')) + np.clip(x, 1, 2)", DATA)
    assert observations.block.X[0] == pytest.approx(np.asarray(expected), rel=1e-13)
    y, x = DATA.y.to_numpy(), DATA.x.to_numpy()
    assert read("y ~ bs(x, knots=knots)", None)[1].block.y.tolist() == y.tolist()
    assert (len(knots), base, len(cut), len(x)) == (2, "b", 1, N)


def test_a_frame_of_the_scope() -> None:
    frame = DATA.copy()
    frame.loc["r3", "x"] = np.nan
    expected = smf.ols("y ~ x + C(k)", frame).fit().params.to_numpy()
    fit = mlekit.fit("frame.y ~ frame['x'] + C(frame.k)")
    assert fit.params.to_numpy()[: expected.size] == pytest.approx(expected, rel=1e-9)
    assert list(fit.fittedvalues.index) == list(DATA.index.drop("r3"))
    assert fit.predict({"frame": DATA.iloc[:2]}).tolist() == pytest.approx(fit.fittedvalues.iloc[:2].tolist())
    with pytest.raises(FormulaError, match="'frame' is neither a column"):
        fit.predict(DATA)


def test_matrices_as_variables() -> None:
    X = DATA[["x", "z"]].to_numpy()
    gap = X.copy()
    gap[3, 1] = np.nan
    expected = smf.ols("y ~ x + z", DATA).fit().params.to_numpy()
    for data in ({"y": DATA.y, "X": X}, {"y": DATA.y, "X": DATA[["x", "z"]]}, DATA):
        fit = mlekit.fit("y ~ X", data)
        assert list(fit.params.index[:3]) == ["Intercept", "X[0]", "X[1]"]
        assert fit.params.to_numpy()[:3] == pytest.approx(expected, rel=1e-9)
        assert fit.predict({"X": X[:4]}).tolist() == pytest.approx(fit.fittedvalues.tolist()[:4])
    fit = mlekit.fit("y ~ gap + gap[:, 0]:z", DATA)
    expected = smf.ols("y ~ x + z + x:z", DATA.drop(index="r3")).fit().params.to_numpy()
    assert fit.params.to_numpy()[: expected.size] == pytest.approx(expected, rel=1e-9)
    assert fit.model.observations.missing == 1


def test_a_series_of_the_scope_must_have_the_labels_of_the_data() -> None:
    other, short = DATA.z.reset_index(drop=True), DATA.z.iloc[:-1]
    with pytest.raises(ValueError, match="'other' is a Series with another index than the other data"):
        read("y ~ other", env=EvalEnvironment.capture())
    with pytest.raises(FormulaError, match=f"short has {N - 1} rows, and the data have {N} rows"):
        read("y ~ short", env=EvalEnvironment.capture())
    with pytest.raises(FormulaError, match=r"x.iloc.* has other row labels than the data"):
        read("y ~ x.iloc[::-1]")
    assert len(other) == len(short) + 1


def test_prediction_does_not_fall_back_on_the_scope() -> None:
    x = DATA.x.to_numpy()
    for data in (None, DATA):
        y = DATA.y
        fit = mlekit.fit("y ~ x", data)
        with pytest.raises(FormulaError, match=r"'x' is neither a column.*prediction needs all columns"):
            fit.predict(DATA[["z"]])
    assert x.size == y.size


# ------------------------------------------------------------------------------------------------ pickling


def test_only_what_a_formula_uses_is_kept() -> None:
    x, secret, cut = np.zeros(10**5), np.zeros(10**5), 1.25
    design = read("y ~ I(x > cut) + standard(z) + center(k) + C(g, Treatment('b'))", env=EvalEnvironment.capture())[0]
    frozen = pickle.dumps(design)
    assert len(frozen) < 20_000
    assert x.size == secret.size
    assert pickle.loads(frozen).matrices(DATA)[0][0][:, 1].tolist() == (DATA.x > cut).tolist()
    # The data of the caller are no part of it, even where they came from its scope.
    y, x, z, k, g = (DATA[name] for name in "yxzkg")
    large = read("y ~ I(x > cut) + standard(z) + center(k) + g", None, env=EvalEnvironment.capture())[0]
    assert len(pickle.dumps(large)) < 20_000
    assert len(y) == len(x) == len(z) == len(k) == len(g)


def test_a_pickled_fit_is_read_by_another_process(tmp_path) -> None:
    fit = mlekit.fit("y ~ center(x) + bs(z, df=4) + C(g, Treatment('b')) + np.log(x) + offset(log(x))", DATA)
    path = tmp_path / "fit.pickle"
    path.write_bytes(pickle.dumps((fit, DATA)))
    code = "import pickle, sys; fit, data = pickle.load(open(sys.argv[1], 'rb')); print(float(fit.predict(data).sum()))"
    found = subprocess.run([sys.executable, "-c", code, str(path)], check=True, capture_output=True, text=True)
    assert float(found.stdout) == pytest.approx(float(fit.fittedvalues.sum()), rel=1e-12)


def test_what_cannot_be_pickled_is_said() -> None:
    twice = lambda v: 2 * v  # noqa: E731
    design = read("y ~ twice(x)", env=EvalEnvironment.capture())[0]
    with pytest.raises(pickle.PicklingError, match=r"cannot be pickled.*lambda.*at the top level of a module"):
        pickle.dumps(design)
    assert twice(1) == 2


# ------------------------------------------------------------------------------------------------ reading


def test_parts_of_a_formula() -> None:
    parsed = parse("y ~ x + offset(log(n)) + offset(  z ) - 1")
    assert parsed.offsets == ("log(n)", "z")
    assert [term.name() for term in parsed.rhs] == ["x"]
    assert [term.name() for term in parsed.lhs] == ["y"]
    found = variables(["a.b.c", "f(x, key=y)", 'g == "text"', 'Q("a b") + w', "m[:, i]"])
    assert found == ("a", "x", "y", "g", "a b", "w", "m", "i")


@pytest.mark.parametrize(
    ("formula", "message"),
    [
        ("y ~ x)", r"cannot read the formula 'y ~ x\)': missing '\('"),
        ("y ~ x +", "expected a noun, but instead the expression ended"),
        ("y ~ x ~ z", "~ can only be used once"),
        ("y ~ a b", r"cannot read 'a b' as an expression: .* written Q\('a b'\)"),
        ("y ~ .", "'.' does not stand for all others"),
        ("y ~ x ; z", "cannot read 'x"),
        ("y ~ 3", "numbers besides '0' and '1'"),
        ("y ~ x^2", r"\^ is 'exclusive or' in Python, not a power: a square is I\(x\*\*2\)"),
        ("y ~ I(k^2)", r"\^ is 'exclusive or'"),
        ("y ~ x!", "cannot read the formula"),
        ("y ~ class", r"cannot read 'class' as an expression: .* Q\('class'\)"),
        ("y ~ offset()", r"offset\(\) takes one expression"),
        ("y ~ offset(x, z)", r"offset\(\) takes one expression"),
        ("y ~ g * offset(x)", r"offset\(\) cannot interact with other terms: g:offset\(x\)"),
        ("y**2 ~ x", r"the response 'y\*\*2' is read as 'y' alone, .* calculate in I\(y\*\*2\)"),
        ("y - 1 ~ x", "'y - 1' is read as 'y' alone"),
        ("y + 0 ~ x", "is read as 'y' alone"),
        ("y - x ~ x", "is read as 'y' alone"),
    ],
)
def test_formulas_that_cannot_be_read(formula: str, message: str) -> None:
    with pytest.raises(FormulaError, match=message):
        mlekit.fit(formula, DATA)


@pytest.mark.parametrize("response", ["( y )", "np.exp( y )", "I(y**2)", "Q('my var')", "I(~(y > 0) + 0)"])
def test_a_response_as_it_is_written(response: str) -> None:
    assert len(parse(f"{response} ~ x").lhs) == 1


@pytest.mark.parametrize(
    ("formula", "message"),
    [
        ("y ~ k | g", "unsupported operand|bitwise_or"),
        ("y ~ k | x", "bitwise_or"),
        ("y ~ np.foo(x)", "has no attribute 'foo'"),
        ("y ~ x.foo", "has no attribute 'foo'"),
        ("y ~ 'x'", f"'x' is a single value, and the data have {N} rows"),
        ("y ~ None", "None is a single value"),
        ("y ~ np.mean(x)", r"np.mean\(x\) is a single value"),
        ("y ~ x[x > 1]", rf"x\[x > 1\] has \d+ rows, and the data have {N} rows"),
        ("y ~ np.log(g)", "Error evaluating factor"),
        ("y ~ C(g, 'Treatment')", "no columns can be made of the formula: 'str' object has no attribute"),
        ("y ~ C(g, Treatment('q'))", "specified level 'q' not found"),
        ("y ~ C(g, levels=['a', 'b'])", r"has level 'c' that levels= leaves out: it knows 'a', 'b'"),
        ("y ~ I(x + 1j)", "is of type complex128: a variable must be of real numbers"),
        ("y ~ bs(x, df=1)", "df=1 is too small"),
        ("y ~ cr(x, df=2, knots=[9])", "no columns can be made of the formula: Needed number of inner knots"),
        ("y ~ date", r"date is a time: write C\(date\) for levels, or a number such as date.dt.year"),
        ("date ~ x", "date is a time"),
        ("y ~ I(date - date.min())", "is a time"),
        ("y ~ Intercept", "two columns have the same name.*Intercept"),
        ("y ~ heigth + x", "'heigth' is neither a column of the data nor a variable in scope .did you mean 'height'"),
        ("y ~ f(x)", "'f' is neither a column"),
        ("y ~ Q('my vra')", "'my vra' is neither a column .* .did you mean 'my var'"),
        ("y ~ center(q) + r", "'q', 'r' are neither columns of the data nor variables in scope"),
    ],
)
def test_formulas_that_do_not_fit_the_data(formula: str, message: str) -> None:
    with pytest.raises(FormulaError, match=message):
        read(formula, DATA.assign(height=1.0, Intercept=DATA.z))


def test_long_lists_of_columns_are_cut() -> None:
    message = unknown_name("x", [f"column{i}" for i in range(1000)])
    assert message.endswith(", column49, ... (1000 in all)")
    assert (
        unknown_name(["x", "y"], [])
        == "'x', 'y' are neither columns of the data nor variables in scope; no data were given"
    )


def test_an_expression_is_read_once() -> None:
    assert syntax("a + b") is syntax("a + b")
