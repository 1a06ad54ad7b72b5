"""Expressions of formulas, row by row: their values, what is learned from them, and the matrices patsy makes of them.

The only file that knows the insides of patsy's designs.
"""

import ast
import importlib
import io
import pickle
import re
import tokenize
import types
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeGuard

import numpy as np
import pandas as pd
import patsy
from patsy import DesignInfo, EvalEnvironment, EvalFactor, NAAction, PatsyError, Term
from patsy.categorical import _CategoricalBox
from patsy.design_info import FactorInfo

from mlekit.formula import FUNCTIONS, KNOWN_NAMES, FormulaError, admit, functions, nodes, syntax, variables
from mlekit.links import Array
from mlekit.sizes import refuse_large
from mlekit.sources import Table, rows_shape
from mlekit.values import absent, as_floats, checked_value, refuse_others, refuse_unlearnable, take

# Functions that give the same for an array as for a Series, and that want no whole numbers.
_ELEMENTWISE = {"I", "center", "standardize", "scale", "bs", "cr", "cc", "te", *FUNCTIONS} - {"np"}
_ELEMENTWISE |= {
    f"np.{name}"
    for name, function in vars(np).items()
    if isinstance(function, np.ufunc) and any(kind.startswith("d") for kind in function.types)
}
_ARITHMETIC: tuple[type[ast.AST], ...] = (
    ast.BinOp,
    ast.UnaryOp,
    ast.Compare,
    ast.Call,
    ast.Attribute,
    ast.Name,
    ast.Constant,
)
_ARITHMETIC += (ast.operator, ast.unaryop, ast.cmpop, ast.keyword, ast.expr_context, ast.List, ast.Tuple)
_ASK_FOR_MISSING = re.compile(r"\b(isnan|isna|isnull|notna|notnull)\b")


@dataclass(frozen=True)
class Rows:
    """What patsy's factors are evaluated on: a table, and the values that are known already.

    Attributes
    ----------
    table : Table
    values : dict
        Values of factors by their ``key``: a float or int array, a Categorical, or patsy's box with one (``C()``).
    missing : dict
        For each expression that has none in some rows, the mask of those rows.
    """

    table: Table
    values: Mapping[Any, Any] = field(default_factory=dict)
    missing: Mapping[str, Array] = field(default_factory=dict)
    #: Whether a level that levels= leaves out is no value, and not an error.
    others: bool = False

    def used(self, mask: Array | None) -> "Rows":
        """Return the rows of a mask (None: all), without the levels that occur in none of them."""
        table = self.table if mask is None else self.table.rows(mask)
        return Rows(table, {key: take(value, mask) for key, value in self.values.items()})


def _has_comment(code: str) -> bool:
    """Whether code has a comment: a name in quotes may have the sign in it."""
    if "#" not in code:
        return False
    tokens = tokenize.generate_tokens(io.StringIO(code).readline)
    return any(token.type == tokenize.COMMENT for token in tokens)


class Factor(EvalFactor):
    """An expression whose value is checked: one entry per row, in the order of the rows."""

    def __init__(self, code: str, origin: Any = None) -> None:
        code = code.strip()  # patsy takes one line, without a comment
        super().__init__(code if code.isprintable() and not _has_comment(code) else ast.unparse(syntax(code)), origin)

    @property
    def key(self) -> tuple[str, str]:
        """What tells its value from others."""
        return (type(self).__name__, self.code)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Factor) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    def _eval(self, code: str, memorize_state: Mapping[str, Any], data: Rows) -> Any:
        columns = _variables(data.table, self.code, memorize_state["eval_env"])
        return super()._eval(code, memorize_state, columns)

    def eval(self, memorize_state: Mapping[str, Any], data: Rows) -> Any:
        """Return the value on some rows."""
        if self.key in data.values:
            return data.values[self.key]
        return checked_value(self.code, super().eval(memorize_state, data), data.table.labels, others=data.others)

    def started(self, env: EvalEnvironment) -> dict[str, Any]:
        """State that lets it be evaluated where nothing is to be learned."""
        return {"eval_env": env, "transforms": {}, "eval_code": self.code}

    def is_learned(self, env: EvalEnvironment) -> bool:
        """Whether it has stateful transforms, such as ``center`` and ``bs``."""
        return any(_is_stateful(node, env) for node in nodes(self.code))

    def learns_from(self, env: EvalEnvironment) -> "list[Factor]":
        """What its stateful transforms are given."""
        calls = [node for node in nodes(self.code) if _is_stateful(node, env)]
        parts = (part for node in calls for part in (*node.args, *(word.value for word in node.keywords)))
        found = [Factor(ast.unparse(part)) for part in parts]
        return [part for part in found if not part.is_learned(env)]

    def watched(self, env: EvalEnvironment) -> "list[Factor]":
        """What must not be missing though the value does not show it.

        A stateful transform does not learn from NaN, and to compare NaN gives a false that is no answer: R's is NA.
        An expression that asks for missing values knows what to do with them.
        """
        if _ASK_FOR_MISSING.search(self.code):
            return self.learns_from(env)
        compared = [node for node in nodes(self.code) if isinstance(node, ast.Compare)]
        found = [Factor(ast.unparse(part)) for node in compared for part in (node.left, *node.comparators)]
        return [*self.learns_from(env), *(part for part in found if not part.is_learned(env))]


class Number(Factor):
    """An expression that is one number per row: an offset, or weights."""

    def eval(self, memorize_state: Mapping[str, Any], data: Rows) -> Array:
        """Return the value on some rows; true is 1."""
        value = super().eval(memorize_state, data)
        truth = isinstance(value, pd.Categorical) and value.categories.dtype == bool
        if truth:
            return np.where(value.codes < 0, np.nan, value.codes)
        if not isinstance(value, np.ndarray) or value.ndim > 1:
            what = f"has {value.shape[1]} columns" if isinstance(value, np.ndarray) else "is text or categorical"
            raise FormulaError(f"{self.code} {what}: an offset or a weight is one number per row")
        return value.astype(float, copy=False)


def checked_terms(terms: Iterable[Term]) -> tuple[Term, ...]:
    """Terms whose factors are checked."""
    return tuple(Term([Factor(factor.code, factor.origin) for factor in term.factors]) for term in terms)


def number_term(code: str) -> tuple[Term, ...]:
    """Term list of an expression that is one number per row."""
    return (Term([Number(code)]),)


def _is_stateful(node: ast.AST, env: EvalEnvironment) -> TypeGuard[ast.Call]:
    called = node.func if isinstance(node, ast.Call) else None
    return isinstance(called, ast.Name) and hasattr(env.namespace.get(called.id), "__patsy_stateful_transform__")


def _variables(table: Table, code: str, env: EvalEnvironment) -> dict[str, Any]:
    """Columns for one expression: float arrays where it only calculates with them, so that nothing overflows.

    They stay Series where the expression uses methods (``date.dt.year``), functions of the user's, or levels:
    ``C(x)[T.2]``, not ``[T.2.0]``.
    """
    columns = {name: table.columns[name] for name in variables((code,)) if name in table.columns}
    both = sorted(functions(code) & set(columns))
    if both:
        raise FormulaError(f"{both[0]} is a function and a column in {code}: rename the column")
    if not _is_arithmetic(code, env):
        return columns
    return {name: as_floats(column, name) for name, column in columns.items()}


def arithmetic_columns(table: Table, code: str, env: EvalEnvironment) -> dict[str, Any] | None:
    """Columns of an expression that only calculates with them, as float arrays; None of one that does more."""
    return _variables(table, code, env) if _is_arithmetic(code, env) else None


def _is_arithmetic(code: str, env: EvalEnvironment) -> bool:
    """Whether an expression does no more than arithmetic, with functions that take arrays as they take Series."""
    called = functions(code)
    roots = {text.partition(".")[0] for text in called}
    listed = hasattr(env, "admit")  # the scope of mlekit.untrusted has nothing but known functions, some as its own np
    own = not listed and any(env.namespace.get(name) is not KNOWN_NAMES.get(name) for name in roots)
    attributes = (ast.unparse(node) for node in nodes(code) if isinstance(node, ast.Attribute))
    plain = all(isinstance(node, _ARITHMETIC) for node in nodes(code))
    return plain and not own and called <= _ELEMENTWISE and all(text.startswith("np.") for text in attributes)


def evaluate(factors: Mapping[Factor, EvalEnvironment], table: Table, others: bool = False) -> Rows:
    """Evaluate the factors that need nothing learned from the data, and find the rows where any factor has no value.

    This sees all rows, incomplete ones too, as in R and statsmodels: a lag stays a lag. What a stateful transform
    (``center``, ``bs``) works on is looked at for missing values alone: it learns from the rows in use.
    """
    values: dict[Any, Any] = {}
    missing: dict[str, Array] = {}
    rows = Rows(table, others=others)
    with _explained():
        for factor, env in factors.items():
            admit(env, [factor.code], table)  # new rows may have text where those of the fit had numbers
            masks = []
            learned = factor.learns_from(env)
            for part in factor.watched(env):
                value = part._eval(part.code, part.started(env), rows)
                if rows_shape(value)[:1] == (len(table),):
                    masks.append(absent(value))
                    if part in learned:
                        refuse_unlearnable(factor.code, part.code, value, table.labels)
            if not factor.is_learned(env):
                values[factor.key] = factor.eval(factor.started(env), rows)
                masks.append(absent(values[factor.key]))
            mask = np.logical_or.reduce(masks) if masks else np.zeros(1, dtype=bool)
            if mask.any():
                missing[factor.code] = mask
    return Rows(table, values, missing)


# ------------------------------------------------------------------------------------------------ matrices


class _Recorder(NAAction):
    """Drop incomplete rows, and remember which."""

    def __init__(self) -> None:
        super().__init__(on_NA="drop", NA_types=["None", "NaN"])
        self.missing: Array | None = None

    def _handle_NA_drop(self, values: Any, is_NAs: Any, origins: Any) -> Any:
        self.missing = np.logical_or.reduce(is_NAs)
        return super()._handle_NA_drop(values, is_NAs, origins)


def learn(terms: Sequence[tuple[Term, ...]], rows: Rows, env: EvalEnvironment) -> list[DesignInfo]:
    """Learn levels and the state of transforms (``center``, ``bs``) from the rows in use."""
    refuse_large(terms, rows.values, len(rows.table))
    with _explained():
        return patsy.build.design_matrix_builders(
            [list(each) for each in terms], lambda: iter([rows]), env, NAAction(NA_types=["None", "NaN"])
        )


def build(infos: Sequence[DesignInfo], rows: Rows, others: bool = False) -> tuple[list[Array], Array | None]:
    """Make the matrices of some rows, and the mask of those that turn out to have no value (None if there is none).

    A level that was not learned is refused, or with ``others`` no value.
    """
    facts = {factor: fact for info in infos for factor, fact in info.factor_infos.items()}
    if not facts:  # patsy cannot tell how many rows an intercept has
        return [np.ones((len(rows.table), len(info.column_names))) for info in infos], None
    recorder = _Recorder()
    with _explained():
        values = {factor.key: _recoded(factor, fact, rows, others) for factor, fact in facts.items()}
        matrices = patsy.build_design_matrices(list(infos), Rows(rows.table, values), NA_action=recorder)
    missing = recorder.missing
    arrays = [np.ascontiguousarray(matrix, dtype=float) for matrix in matrices]
    return arrays, missing if missing is not None and missing.any() else None


def _recoded(factor: Factor, fact: FactorInfo, rows: Rows, others: bool) -> Any:
    """Value of a factor with the levels that it has learned."""
    value = factor.eval(fact.state, rows)
    value = value.data if isinstance(value, _CategoricalBox) else value
    if fact.type == "categorical":
        present = pd.Series(value).dropna().drop_duplicates().tolist()
        if others:
            return pd.Categorical(value).set_categories(list(fact.categories))
        refuse_others(factor.code, present, fact.categories, "that the fit did not see")
        return pd.Categorical(value, categories=list(fact.categories))
    if isinstance(value, pd.Categorical):
        raise FormulaError(f"{factor.code} is text or categorical here, and was a number in the fit")
    return value


def environments(infos: Iterable[DesignInfo]) -> dict[Factor, EvalEnvironment]:
    """Each factor that was learned, with what it uses beside the data."""
    return {f: fact.state["eval_env"] for info in infos for f, fact in info.factor_infos.items()}


@contextmanager
def _explained() -> Iterator[None]:
    """Turn what goes wrong in an expression into a FormulaError; NaN and infinite values are judged later, in words."""
    try:
        with np.errstate(all="ignore"):
            yield
    except FormulaError:
        raise
    except PatsyError as error:
        raise FormulaError(str(error).replace("\n", "\n  ")) from error.__cause__
    except (TypeError, ValueError, ArithmeticError, LookupError, AttributeError, MemoryError, AssertionError) as error:
        hint = ": two columns have the same name (is there a variable called Intercept?)"
        same = isinstance(error, AssertionError) or str(error).startswith("mismatch between column_names")
        raise FormulaError(f"no columns can be made of the formula{hint if same else f': {error}'}") from error


# ------------------------------------------------------------------------------------------------ pickling
# patsy refuses to be pickled. Its objects are plain records all the same, so we write their attributes down.


class _Pickler(pickle.Pickler):
    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, types.ModuleType):
            return importlib.import_module, (obj.__name__,)
        transform = getattr(obj, "__patsy_stateful_transform__", None)
        if transform is not None and isinstance(obj, types.FunctionType):
            return patsy.stateful_transform, (transform,)
        if (type(obj).__module__.startswith("patsy") or isinstance(obj, EvalFactor)) and hasattr(obj, "__dict__"):
            return _blank, (type(obj),), vars(obj), None, None, _restore
        return NotImplemented


def _blank(kind: type) -> Any:
    return object.__new__(kind)


def _restore(obj: Any, state: Mapping[str, Any]) -> None:
    obj.__dict__.update(state)


def freeze(infos: list[DesignInfo]) -> bytes:
    """Write what the formulas learned as bytes that :func:`pickle.loads` reads.

    Raises
    ------
    pickle.PicklingError
        If a formula uses a function that pickle cannot name, such as a lambda of the caller's.
    """
    buffer = io.BytesIO()
    try:
        _Pickler(buffer, protocol=pickle.HIGHEST_PROTOCOL).dump(infos)
    except (AttributeError, TypeError, pickle.PicklingError) as error:
        raise pickle.PicklingError(
            f"the formula uses something of yours that cannot be pickled ({error}): "
            "define functions used in formulas at the top level of a module"
        ) from None
    return buffer.getvalue()
