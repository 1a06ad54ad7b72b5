"""Formulas by patsy: what a formula says, and the columns it makes of a table. The only file that knows patsy."""

import ast
import difflib
import functools
import importlib
import io
import pickle
import types
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import patsy
from patsy import DesignInfo, EvalEnvironment, EvalFactor, ModelDesc, NAAction, PatsyError, Term

from mlekit.links import Array
from mlekit.sources import plain

# Seen by every formula, behind the data and the caller's own names: what R users write without a prefix.
FUNCTIONS: dict[str, Any] = {"np": np}
FUNCTIONS |= {name: getattr(np, name) for name in ("log", "log2", "log10", "log1p", "exp", "expm1", "sqrt")}


class FormulaError(ValueError):
    """A formula that cannot be read, or that does not fit the data."""


@dataclass(frozen=True)
class Parsed:
    """One formula taken apart: the response's terms, the covariates' terms and the offsets' expressions."""

    lhs: tuple[Term, ...]
    rhs: tuple[Term, ...]
    offsets: tuple[str, ...]


def parse(formula: str) -> Parsed:
    """Take a formula apart; ``offset(...)`` terms are moved out of the covariates.

    Raises
    ------
    FormulaError
        If patsy cannot read it.

    Examples
    --------
    >>> parse("y ~ x + offset(log(n))").offsets
    ('log(n)',)
    """
    if not isinstance(formula, str):
        raise TypeError(f"a formula must be text such as 'y ~ x', not {type(formula).__name__}")
    try:
        described = ModelDesc.from_formula(formula)
    except PatsyError as error:
        raise FormulaError(f"cannot read the formula {formula!r}: {error}") from None
    offsets = []
    rhs = []
    for term in described.rhs_termlist:
        inner = [_offset_expression(factor.name()) for factor in term.factors]
        if len(inner) == 1 and inner[0] is not None:
            offsets.append(inner[0])
        elif any(inner):
            raise FormulaError(f"offset() cannot interact with other terms: {term.name()}")
        else:
            rhs.append(term)
    return Parsed(tuple(described.lhs_termlist), tuple(rhs), tuple(offsets))


def _offset_expression(code: str) -> str | None:
    """Return the argument of a factor that is a call of ``offset``."""
    node = ast.parse(code, mode="eval").body
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "offset":
        if len(node.args) != 1 or node.keywords:
            raise FormulaError(f"offset() takes one expression: {code}")
        return ast.unparse(node.args[0])
    return None


def variables(codes: Iterable[str]) -> set[str]:
    """Every name (and every quoted name, for ``Q("...")``) that expressions use."""
    found: set[str] = set()
    for code in codes:
        for node in ast.walk(ast.parse(code, mode="eval")):
            if isinstance(node, ast.Name):
                found.add(node.id)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.add(node.value)
    return found


def codes_of(terms: Iterable[Term]) -> list[str]:
    """Expressions of all factors of the terms."""
    return [factor.name() for term in terms for factor in term.factors]


def expression_term(code: str) -> tuple[Term, ...]:
    """Return the term list of a single expression, so that an offset or a weight is evaluated as a covariate is."""
    return (Term([EvalFactor(code)]),)


class _Recorder(NAAction):
    """Drop incomplete rows, and remember which."""

    def __init__(self) -> None:
        super().__init__(on_NA="drop", NA_types=["None", "NaN"])
        self.missing: Array | None = None

    def _handle_NA_drop(self, values: Any, is_NAs: Any, origins: Any) -> Any:
        # A factor free of rows (a constant) has a mask of length one: broadcast, then drop as patsy does.
        self.missing = functools.reduce(np.logical_or, is_NAs) if is_NAs else None
        return super()._handle_NA_drop(values, is_NAs, origins)


def with_scope(frame: pd.DataFrame | None, names: Iterable[str], env: EvalEnvironment) -> pd.DataFrame:
    """Add to a table the columns it lacks and the caller's scope has, as R's formulas find them.

    Only one-dimensional variables of the table's length become columns; functions and constants stay in the scope.
    """
    added: dict[str, pd.Series] = {}
    rows = None if frame is None else len(frame)
    for name in sorted(set(names) - set(() if frame is None else frame)):
        value = env.namespace.get(name)
        if isinstance(value, str | bytes | Mapping | set) or np.ndim(value) != 1:
            continue
        rows = len(value) if rows is None else rows
        if len(value) == rows:
            added[name] = plain(value if isinstance(value, pd.Series) else pd.Series(value))
    if rows is None:
        raise FormulaError("no data were given, and the formula uses no variable in scope that has rows")
    if frame is None:
        return pd.DataFrame(added, index=next(iter(added.values())).index)
    return frame.assign(**{name: column.to_numpy() for name, column in added.items()}) if added else frame


def _columns(frame: pd.DataFrame, codes: Iterable[str]) -> dict[str, Any]:
    """Columns for patsy: numbers as arrays, which it evaluates several times faster than pandas Series.

    A Series stays one where an expression uses its methods (``date.dt.year``), or where it becomes a factor: patsy
    names the levels of an array after NumPy's scalars, ``C(x)[T.np.int64(1)]``.
    """
    series: set[str] = set()
    for node in (node for code in codes for node in ast.walk(ast.parse(code, mode="eval"))):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            series.add(node.value.id)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "C":
            series.update(inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name))
    numbers = {n for n, t in zip(frame, frame.dtypes, strict=True) if isinstance(t, np.dtype) and t.kind in "iuf"}
    return {str(n): c.to_numpy() if n in numbers - series else c for n, c in frame.items()}


def learn(
    term_lists: Sequence[tuple[Term, ...]], frame: pd.DataFrame, env: EvalEnvironment, known: Sequence[str]
) -> list[DesignInfo]:
    """Learn levels and the state of transforms (``center``, ``bs``) from all rows of the table.

    ``known`` are the names of all columns of the user's table, for messages.
    """
    columns = _columns(frame, [code for terms in term_lists for code in codes_of(terms)])
    with _explained(columns, known):
        return patsy.build.design_matrix_builders(
            [list(terms) for terms in term_lists],
            lambda: iter([columns]),
            env.with_outer_namespace(FUNCTIONS),
            NAAction(NA_types=["None", "NaN"]),
        )


def build(infos: Sequence[DesignInfo], frame: pd.DataFrame, known: Sequence[str]) -> tuple[list[Array], Array | None]:
    """Make the matrices of a table, without its incomplete rows, and the mask of those rows (None if there is none)."""
    codes = [factor.name() for info in infos for factor in info.factor_infos]
    if not codes:  # patsy cannot tell how many rows an intercept has
        return [np.ones((len(frame), len(info.column_names))) for info in infos], None
    columns = _columns(frame, codes)
    recorder = _Recorder()
    with _explained(columns, known, infos):
        matrices = patsy.build_design_matrices(list(infos), columns, NA_action=recorder)
    missing = recorder.missing
    arrays = [np.ascontiguousarray(m, dtype=float) for m in matrices]
    return arrays, missing if missing is not None and missing.any() else None


class _explained:
    """Turn patsy's errors into ours: the name, what there is, what to do."""

    def __init__(self, columns: Mapping[str, Any], known: Sequence[str], infos: Sequence[DesignInfo] = ()) -> None:
        self.columns, self.known, self.infos = columns, known, infos

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        if not isinstance(error, PatsyError):
            return
        cause = error.__cause__
        if isinstance(cause, NameError):
            raise FormulaError(unknown_name(str(cause.name), self.known)) from None
        for info in self.infos:
            _refuse_new_levels(info, self.columns)
        raise FormulaError(str(error).replace("\n", "\n  ")) from (cause or None)


def unknown_name(name: str, known: Sequence[str]) -> str:
    """Explain a name that is neither a column nor a variable, and list the columns."""
    close = difflib.get_close_matches(name, known, n=1)
    hint = f" (did you mean {close[0]!r}?)" if close else ""
    listed = f"; the columns are {', '.join(map(str, known))}" if known else "; no data were given"
    return f"{name!r} is neither a column of the data nor a variable in scope{hint}{listed}"


def _refuse_new_levels(info: DesignInfo, columns: Mapping[str, Any]) -> None:
    """Raise for a factor whose new values include levels that the fit did not see."""
    for factor, facts in info.factor_infos.items():
        if facts.type != "categorical":
            continue
        values = factor.eval(facts.state, columns)
        seen = pd.unique(pd.Series(np.ravel(getattr(values, "data", values))).dropna())
        new = [value for value in seen if value not in facts.categories]
        if new:
            raise FormulaError(
                f"{factor.name()} has level{'s' if len(new) > 1 else ''} {', '.join(map(repr, new))} that the fit did "
                f"not see: it knows {', '.join(map(repr, facts.categories))}. Drop those rows, or fit with them"
            )


# ------------------------------------------------------------------------------------------------ pickling
# patsy refuses to be pickled. Its objects are plain records all the same, so we write their attributes down.


class _Pickler(pickle.Pickler):
    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, types.ModuleType):
            return importlib.import_module, (obj.__name__,)
        transform = getattr(obj, "__patsy_stateful_transform__", None)
        if transform is not None and isinstance(obj, types.FunctionType):
            return patsy.stateful_transform, (transform,)
        if type(obj).__module__.startswith("patsy") and hasattr(obj, "__dict__"):
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
