"""Formulas from strangers: attacks are refused before anything is evaluated, and what is left gives the same fits."""

import pickle
import sys

import numpy as np
import pandas as pd
import pytest

import mlekit
from mlekit import FormulaError, Model, untrusted

from .attacks import CODE, FORMULAS
from .command import fails

ROWS = 40
TRIPPED: list[str] = []


def tripwire(*args, **kwargs):
    TRIPPED.append("called")
    return np.ones(ROWS)


def watch(event, args):
    """Hear from the interpreter of every expression that is evaluated, and of commands that are run."""
    if TRIPPED[:1] == ["armed"] and (event == "os.system" or (event == "exec" and args[0].co_filename == "<string>")):
        TRIPPED.append(f"{event} {args}")


sys.addaudithook(watch)


@pytest.fixture
def data():
    rng = np.random.default_rng(6)
    x, z = rng.normal(size=ROWS), rng.uniform(1, 2, ROWS)
    return pd.DataFrame(
        {
            "x": x,
            "z": z,
            "g": rng.permutation(np.repeat(["a", "b", "c", "d"], ROWS // 4)),
            "w": rng.integers(1, 4, ROWS),
            "y": 1 + x + z + rng.normal(size=ROWS),
            "n": rng.poisson(3, ROWS),
            "an odd name": rng.normal(size=ROWS),
        }
    )


@pytest.fixture
def armed(data):
    """Anything that is evaluated fails the test."""
    with pytest.raises(FormulaError):  # what is imported late is imported now
        mlekit.fit("y ~ C(1)", data)
    TRIPPED[:] = ["armed"]
    yield
    assert TRIPPED == ["armed"]
    TRIPPED.clear()


def refused(call, *args, **kwargs):
    with pytest.raises(FormulaError) as caught:
        call(*args, **kwargs)
    assert len(str(caught.value)) < 2000
    return str(caught.value)


# ------------------------------------------------------------------------------------------------ attacks


@pytest.mark.parametrize("code", CODE, ids=range(len(CODE)))
def test_no_expression_of_an_attack_is_evaluated(code, armed):
    secret, tripped = np.ones(ROWS), TRIPPED  # what a formula that is trusted could see
    assert secret.size > len(tripped)
    data = {"y": np.arange(ROWS), "x": np.ones(ROWS), "z": np.ones(ROWS)}
    refused(untrusted.check_expression, code, ["y", "x", "z"])
    refused(mlekit.fit, "y ~ 1", {"y": np.arange(ROWS)}, offset=code, trusted=False)
    refused(mlekit.fit, f"y ~ I({code})", data, trusted=False)


@pytest.mark.parametrize("formula", FORMULAS, ids=range(len(FORMULAS)))
def test_no_formula_of_an_attack_is_evaluated(formula, armed):
    columns = ["y", "x", "z", *"abcdefghijklmnopqrstuvw", *(f"x{i}" for i in range(12_000))]
    refused(untrusted.check, formula, columns)
    refused(mlekit.fit, formula, {"y": np.arange(ROWS), "x": np.ones(ROWS), "z": np.ones(ROWS)}, trusted=False)


ROUTES = {
    "fit": lambda data, code: mlekit.fit(f"y ~ {code}", data, trusted=False),
    "a dict": lambda data, code: mlekit.fit({"mu": "y ~ x", "sigma": f"~ {code}"}, data, trusted=False),
    "response": lambda data, code: mlekit.fit(f"{code} ~ x", data, trusted=False),
    "levels": lambda data, code: mlekit.fit(f"{code} ~ x", data, "multinomial_logit", trusted=False),
    "ordered": lambda data, code: mlekit.fit(f"{code} ~ x", data, "ordered_logit", trusted=False),
    "offset": lambda data, code: mlekit.fit("y ~ x", data, offset={"sigma": code}, trusted=False),
    "offset()": lambda data, code: mlekit.fit(f"y ~ x + offset({code})", data, trusted=False),
    "exposure": lambda data, code: mlekit.fit("n ~ x", data, "poisson", exposure=code, trusted=False),
    "weights": lambda data, code: mlekit.fit("y ~ x", data, weights=code, trusted=False),
    "model": lambda data, code: Model.from_formula(f"y ~ {code}", data, trusted=False),
    "scope": lambda data, code: Model.from_formula(f"y ~ {code}", data, env=untrusted.scope()),
    "cross_validate": lambda data, code: mlekit.cross_validate(f"y ~ {code}", data, trusted=False),
    "compare": lambda data, code: mlekit.compare(f"y ~ {code}", data, trusted=False),
    "compare_models": lambda data, code: mlekit.compare_models(["y ~ 1", f"y ~ {code}"], data, trusted=False),
    "train": lambda data, code: mlekit.train(f"y ~ {code}", data, trusted=False),
    "simulate": lambda data, code: mlekit.simulate(f"y ~ {code}", {}, "normal", data, trusted=False),
    "added": lambda data, code: mlekit.fit("y ~ 1", data, trusted=False).score_test(f"+ {code}"),
    "added to x": lambda data, code: mlekit.fit("y ~ center(x)", data, trusted=False).score_test(f"+ {code}"),
}


def test_the_watch_hears_what_is_evaluated(data):
    TRIPPED[:] = ["armed"]
    mlekit.fit("y ~ log(z)", data, trusted=False)
    assert len(TRIPPED) > 1
    TRIPPED.clear()


@pytest.mark.parametrize("route", ROUTES)
def test_every_way_in_is_checked(route, data):
    message = refused(ROUTES[route], data, "tripwire(x)")
    assert "tripwire is no listed function" in message
    assert "trusted=True" in message
    refused(ROUTES[route], data, "I(x.__class__)")


def test_the_same_names_work_where_formulas_are_trusted(data):
    secret = data["x"] ** 2
    assert len(secret) == ROWS
    assert mlekit.fit("y ~ secret", data).params.index.tolist() == ["Intercept", "secret", "sigma_Intercept"]
    assert "secret is no column" in refused(mlekit.fit, "y ~ secret", data, trusted=False)
    assert "secret is no column" in refused(mlekit.fit("y ~ 1", data, trusted=False).score_test, "+ secret")


def test_cutting_a_formula_at_a_tilde_within_text_opens_no_way_in(data):
    """The formulas of a family of levels are cut at '~'; what comes of it is checked, and not what was sent."""
    for text in (
        'C(g, levels=["~ tripwire(x) + Q("]) ~ x',
        "C(g, levels=['a~'+tripwire(x)]) ~ x",
        "Q('~ tripwire()') ~ x",
    ):
        refused(mlekit.fit, text, data, "multinomial_logit", trusted=False)


@pytest.mark.parametrize("name", ["np", "log", "C", "Q", "center", "I", "__builtins__", "__import__", "eval", "open"])
def test_columns_may_have_the_names_of_functions(name, data):
    """A column has its values, and a function of the same name is called all the same."""
    data[name] = data["x"] ** 2
    expected = mlekit.fit("y ~ x_2", data.assign(x_2=data[name]))
    code = f"Q('{name}')" if name.startswith("__") else name
    for trusted in (True, False):
        found = mlekit.fit(f"y ~ {code}", data, trusted=trusted)
        np.testing.assert_allclose(found.params, expected.params, rtol=1e-12)
        found = mlekit.fit("y ~ np.log(z) + log(z + 1) + C(g) + center(x) + I(x**2)", data, trusted=trusted)
        assert found.df_model == 7
    for code in (f"{name}('1')", f"{name}.__class__", f"{name}(tripwire)"):
        refused(untrusted.check_expression, code, data.columns)


def test_text_does_not_grow(data):
    data["objects"] = [10**30, "a"] * (ROWS // 2)
    for code in ("g * 1000000000", "I(g * 1000)", "Q('g') * 9", "I(g) * 9", "objects ** 9", "-objects"):
        assert "no column of numbers" in refused(mlekit.fit, f"y ~ I({code})", data, trusted=False)
    for code in ("np.square(objects)", "np.exp(g)", "center(g)", "bs(objects, df=4)", "I(np.where(z > 1, g, g) * 9)"):
        assert "no column of numbers" in refused(mlekit.fit, f"y ~ {code}", data, trusted=False)


# ------------------------------------------------------------------------------------------------ what is left

GOOD = [
    "y ~ x",
    "y ~ 0 + x + z - 1",
    "y ~ x * g + I(x**2) + (z > 1.5)",
    "y ~ log(z) + np.log1p(z) + np.exp(-x) + sqrt(z) + np.maximum(x, z)",
    "np.log(z) ~ C(g, Treatment('b')) + standardize(x, ddof=1)",
    "y ~ C(g, Sum) + C(g, levels=['d', 'c', 'b', 'a']):x",
    "y ~ C(w, Poly(scores=[1, 2, 5])) + C(g, contrast=Treatment(reference='c'))",
    "y ~ C(g, Helmert) + C(w, Diff())",
    "y ~ C(g, [[1, 0, 0], [0, 1, 0], [0, 0, 1], [-1, -1, -1]])",
    "y ~ bs(x, df=5) + cr(z, df=4) - 1",
    "y ~ bs(x, knots=[-0.5, 0.5], degree=2, lower_bound=-5, upper_bound=5)",
    "y ~ 0 + cc(x, df=3, constraints='center') + te(cr(x, df=3), cr(z, df=3))",
    "y ~ center(log(z)) + scale(x) + Q('an odd name') + Q(\"an odd name\"):x",
    "y ~ np.where(g == 'a', x, 0) + I((x > 0) & (z < 1.8) | (g != 'b')) + I(~(x > 1))",
    "y ~ x / z + x % 2 + I(x // 0.5) + I(2**-1 * x**2) + I((1 + 2) * x**3)",
    "y ~ (x + z + g)**2 + np.clip(x, -1, 1) + offset(0.1 * z) + np.where(x > 0, 'up', 'down')",
    "y > 3 ~ x",
    "Surv(z, x > -1, type='right') ~ x",
    "cbind(n, w) ~ x",
]


@pytest.mark.parametrize("formula", GOOD)
def test_a_formula_that_is_not_trusted_gives_the_same_fit(formula, data):
    family = "bernoulli" if ">" in formula.split("~")[0] else "binomial" if "cbind" in formula else "normal"
    family = mlekit.Censored("normal") if "Surv" in formula else family
    one, other = (mlekit.fit(formula, data, family, trusted=trusted) for trusted in (True, False))
    assert one.params.index.tolist() == other.params.index.tolist()
    np.testing.assert_array_equal(one.params, other.params)
    np.testing.assert_array_equal(one.bse, other.bse)
    new = data.iloc[10:20]
    np.testing.assert_array_equal(one.predict(new), other.predict(new))
    again = pickle.loads(pickle.dumps(other))
    np.testing.assert_allclose(again.predict(new), other.predict(new), rtol=1e-14)  # other memory, other sums


def test_prediction_stays_in_the_narrow_scope(data):
    """Even text that is changed behind our back finds no builtins there, nor the names of the caller."""
    fit = pickle.loads(pickle.dumps(mlekit.fit("y ~ center(x) + log(z)", data, trusted=False)))
    for info in fit.model.design.infos:
        for factor, fact in info.factor_infos.items():
            env = fact.state["eval_env"]
            assert set(env._namespaces[0]) <= {"center", "log"}
            for name in ("eval", "open", "__import__", "tripwire", "np", "Q"):
                with pytest.raises(NameError, match=name):
                    env.eval(name)
            assert factor.code in ("center(x)", "log(z)")


def test_expressions_beside_the_formula(data):
    options = {"offset": {"sigma": "0.1 * log(z)"}, "weights": "w"}
    one, other = (mlekit.fit("y ~ x", data, trusted=trusted, **options) for trusted in (True, False))
    np.testing.assert_array_equal(one.params, other.params)
    one, other = (mlekit.fit("n ~ x", data, "poisson", exposure="2 * z", trusted=trusted) for trusted in (True, False))
    np.testing.assert_array_equal(one.predict(data), other.predict(data))


def test_groups_and_folds_of_a_fit_that_is_not_trusted(data):
    one, other = (
        mlekit.cross_validate("y ~ center(x) + C(g)", data, groups="w", stratify=None, k=3, seed=1, trusted=trusted)
        for trusted in (True, False)
    )
    pd.testing.assert_frame_equal(one.scores, other.scores)
    fit = mlekit.fit("y ~ center(x)", data, trusted=False)
    assert np.isfinite(fit.score_test("+ log(z)").pvalue)
    assert np.isfinite(fit.with_cov("cluster", groups="g").bse).all()


def test_what_trusted_may_be(data):
    with pytest.raises(TypeError, match="trusted must be True or False"):
        mlekit.fit("y ~ x", data, trusted="no")
    with pytest.raises(ValueError, match="sees no scope"):
        mlekit.cross_validate("y ~ x", data, env=untrusted.EvalEnvironment([{}]), trusted=False)


@pytest.mark.parametrize(
    "text", ["__import__('os') = 0", "x.real = 0", "x = " + "1+" * 5000 + "1", "x = 1/0", "x = 9**9**9"]
)
@pytest.mark.filterwarnings("ignore:divide by zero", "ignore:invalid value")  # patsy's own, of 1/0
def test_constraints_that_are_none(text, data):
    with pytest.raises(ValueError, match="constraints cannot be read"):
        mlekit.fit("y ~ x", data, constraints=text, trusted=False)


@pytest.mark.parametrize("command", ["fit", "compare", "train", "cv"])
def test_the_command_line(command, run):
    status, out, _ = run(command, "miltcoup ~ standardize(parties)", "--data", "africa", "--untrusted")
    assert status == 0
    assert out
    message = fails(run, "miltcoup ~ parties.map(print)", "--data", "africa", "--untrusted", command=command)
    assert "parties.map is no listed function" in message
