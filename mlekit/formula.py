"""What a formula says, and where the names in it are found."""

import ast
import builtins
import difflib
import functools
import sys
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import patsy.builtins
from patsy import EvalEnvironment, PatsyError, Term

from mlekit.expansion import LONGEST, expand
from mlekit.responses import RESPONSES
from mlekit.sources import Table, rows_shape

# Seen by every formula, behind the data and the caller's own names: what R users write without a prefix.
FUNCTIONS: dict[str, Any] = {"np": np}
FUNCTIONS |= {name: getattr(np, name) for name in ("log", "log2", "log10", "log1p", "exp", "expm1", "sqrt")}
#: With patsy's own, such as ``C`` and ``center``.
KNOWN_NAMES = {name: getattr(patsy.builtins, name) for name in patsy.builtins.__all__} | FUNCTIONS | RESPONSES


_LISTED = 50  # columns that a message lists
_SHOWN = 200  # characters of a formula that a message has


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
        If patsy cannot read it, it stands for thousands of terms, or its response is less than what is written.

    Examples
    --------
    >>> parse("y ~ x + offset(log(n))").offsets
    ('log(n)',)
    """
    if not isinstance(formula, str):
        raise TypeError(f"a formula must be text such as 'y ~ x', not {type(formula).__name__}")
    if "'" not in formula and '"' not in formula:  # a letter and its accent are one letter, if no text depends on it
        formula = unicodedata.normalize("NFC", formula)
    try:
        described = expand(formula)
    except PatsyError as error:
        said = error.message if len(formula) > _SHOWN else error  # without the formula once more, and a mark below it
        raise FormulaError(f"cannot read the formula {shortened(formula)!r}: {said}") from None
    for code in codes_of((*described.lhs_termlist, *described.rhs_termlist)):
        syntax(code)
    _as_written(formula, described.lhs_termlist)
    offsets = []
    rhs = []
    for term in described.rhs_termlist:
        inner = [_offset_expression(factor.code) for factor in term.factors]
        if len(inner) == 1 and inner[0] is not None:
            offsets.append(inner[0])
        elif any(inner):
            raise FormulaError(f"offset() cannot interact with other terms: {term.name()}")
        else:
            rhs.append(term)
    return Parsed(tuple(described.lhs_termlist), tuple(rhs), tuple(offsets))


def _as_written(formula: str, terms: Sequence[Term]) -> None:
    """Refuse arithmetic that patsy takes for operators of formulas: ``y**2`` would be ``y``, where R squares it."""
    codes = codes_of(terms)
    text = formula.partition("~")[0].strip()
    try:
        written = syntax(text)
    except FormulaError:
        return  # the expression has a ~ of its own
    if len(codes) == 1 and ast.dump(written) != ast.dump(syntax(codes[0])):
        raise FormulaError(
            f"the response {shortened(text)!r} is read as {shortened(codes[0])!r} alone, as operators outside of a "
            f"function are those of formulas: calculate in I({shortened(text)})"
        )


def shortened(text: str) -> str:
    """Return as much of a text as a message can have."""
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _offset_expression(code: str) -> str | None:
    """Return the argument of a factor that is a call of ``offset``."""
    node = syntax(code)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "offset":
        if len(node.args) != 1 or node.keywords:
            raise FormulaError(f"offset() takes one expression: {code}")
        return ast.unparse(node.args[0])
    return None


@functools.lru_cache(maxsize=1024)
def syntax(code: str) -> ast.expr:
    """Syntax tree of one expression.

    Raises
    ------
    FormulaError
        If it is not Python, or has a ``^`` that R users take for a power.
    """
    try:
        if len(code) > LONGEST:
            raise RecursionError
        tree = ast.parse(code.strip(), mode="eval").body
    except (RecursionError, MemoryError):
        raise FormulaError(f"the expression {shortened(code)!r} is too long, or nested too deeply") from None
    except (SyntaxError, ValueError):
        code = shortened(code)
        hint = f"a column whose name is no Python name is written Q({code.strip()!r})"
        if code.strip() == ".":
            hint = "name the columns, as '.' does not stand for all others"
        raise FormulaError(f"cannot read {code!r} as an expression: {hint}") from None
    if any(isinstance(node, ast.BitXor) for node in ast.walk(tree)):
        raise FormulaError(f"{code}: ^ is 'exclusive or' in Python, not a power: a square is I(x**2)")
    return tree


@functools.lru_cache(maxsize=1024)
def nodes(code: str) -> tuple[ast.AST, ...]:
    """All nodes of the syntax tree of one expression."""
    return tuple(ast.walk(syntax(code)))


def codes_of(terms: Iterable[Term]) -> list[str]:
    """Expressions of all factors of the terms."""
    return [factor.code for term in terms for factor in term.factors]


def variables(codes: Iterable[str]) -> tuple[str, ...]:
    """Names that expressions use as variables, in order: all but functions, and what ``Q("...")`` quotes.

    Examples
    --------
    >>> variables(["log(x)", 'C(g, Treatment("a"))', 'Q("my x")'])
    ('x', 'g', 'my x')
    """
    return tuple(dict.fromkeys(name for code in codes for name in _variables(code)))


@functools.lru_cache(maxsize=1024)
def _variables(code: str) -> tuple[str, ...]:
    called = {id(node.func) for node in nodes(code) if isinstance(node, ast.Call)}
    called |= {id(node.value) for node in nodes(code) if isinstance(node, ast.Attribute) and _is_numpy(node, called)}
    found: list[str] = []
    for node in nodes(code):
        if isinstance(node, ast.Name) and id(node) not in called:
            if node.id.startswith("_patsy_stobj"):
                raise FormulaError(f"{node.id} is a name that patsy uses itself: write Q({node.id!r})")
            found.append(node.id)
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == "Q":
            found += [_quoted(code, inner) for inner in node.args]
    return tuple(found)


def _quoted(code: str, name: ast.expr) -> str:
    if not isinstance(name, ast.Constant) or not isinstance(name.value, str):
        raise FormulaError(f"{code}: Q takes the name of a column as text, as in Q({ast.unparse(name)!r})")
    return name.value


def _is_numpy(node: ast.Attribute, called: set[int]) -> bool:
    """Whether it is a function of NumPy that is called, which it is even where a column has the name ``np``."""
    return id(node) in called and isinstance(node.value, ast.Name) and node.value.id == "np"


@functools.lru_cache(maxsize=1024)
def functions(code: str) -> frozenset[str]:
    """What an expression calls, as it writes it."""
    return frozenset(ast.unparse(node.func) for node in nodes(code) if isinstance(node, ast.Call))


# ------------------------------------------------------------------------------------------------ where names are found


def caller_scope(depth: int = 0) -> EvalEnvironment:
    """Scope of the function ``depth`` calls above the caller, with those of the functions that it is written in.

    Python hands a comprehension, a lambda or a nested function only those outer variables that its code mentions, and a
    formula mentions them in a string. The enclosing functions are found among the callers.
    """
    frame = sys._getframe(depth + 1)
    code, spaces = frame.f_code, [frame.f_locals]
    outer = frame.f_back
    while outer is not None:
        if code in outer.f_code.co_consts:
            code = outer.f_code
            spaces.append(outer.f_locals)
        outer = outer.f_back
    return EvalEnvironment([*spaces, frame.f_globals])


def with_scope(table: Table | None, names: Sequence[str], env: EvalEnvironment) -> Table:
    """Add to a table the columns it lacks and the caller's scope has, as R's formulas find them.

    A variable with as many rows as the table becomes a column; functions and constants stay in the scope. Without a
    table, the first of the names that has rows says how many: the response's come first.
    """
    found = {name: env.namespace.get(name) for name in names if table is None or name not in table.columns}
    shapes = {name: rows_shape(value) for name, value in found.items()}
    sizes = {name: shape[0] for name, shape in shapes.items() if len(shape) in (1, 2)}
    if table is None:
        if not sizes:
            raise FormulaError("no data were given, and the formula uses no variable in scope that has rows")
        rows = next(iter(sizes.values()))
        indexed = [v for n, v in found.items() if sizes.get(n) == rows and isinstance(v, pd.Series | pd.DataFrame)]
        table = Table({}, indexed[0].index if indexed else pd.RangeIndex(rows))
    added = {name: found[name] for name, size in sizes.items() if size == len(table)}
    return table.with_columns(added) if added else table


def admit(env: EvalEnvironment, codes: Sequence[str], table: Table) -> None:
    """Refuse expressions that a scope does not admit, as that of :mod:`mlekit.untrusted`."""
    if hasattr(env, "admit"):
        env.admit(codes, table)


def scope_of(codes: Sequence[str], table: Table, env: EvalEnvironment) -> EvalEnvironment:
    """What expressions use beside the table, and nothing else of the caller's.

    Raises
    ------
    FormulaError
        If a name is nowhere to be found, or the scope is that of formulas that are not trusted, and refuses them.
    """
    admit(env, codes, table)
    names = set(variables(codes)) - set(table.columns)
    called = {name for code in codes for name in functions(code)}
    names |= {"np" if name.startswith("np.") else name for name in called if name.removeprefix("np.").isidentifier()}
    known = env.with_outer_namespace(KNOWN_NAMES)
    found = [name for name in names if name in known.namespace]
    unknown = [name for name in sorted(names - set(found)) if not hasattr(builtins, name)]
    if unknown:
        raise FormulaError(unknown_name(unknown, table.known))
    return known.subset(found)


def unknown_name(names: str | Sequence[str], known: Sequence[str]) -> str:
    """Explain names that are neither columns nor variables, and list the columns.

    Examples
    --------
    >>> unknown_name("agee", ["age", "height"])
    "'agee' is neither a column of the data nor a variable in scope (did you mean 'age'?); the columns are age, height"
    """
    names = [names] if isinstance(names, str) else names
    close = [match for name in names for match in difflib.get_close_matches(name, known, n=1)]
    said = "is neither a column of the data nor a variable in scope"
    if len(names) > 1:
        said = "are neither columns of the data nor variables in scope"
    hint = f" (did you mean {', '.join(map(repr, dict.fromkeys(close)))}?)" if close else ""
    listed = f"the columns are {', '.join(known[:_LISTED])}" if known else "no data were given"
    listed += f", ... ({len(known)} in all)" if len(known) > _LISTED else ""
    return f"{', '.join(map(repr, names))} {said}{hint}; {listed}"


def read_formulas(formula: str | Mapping[str, str], params: Sequence[str]) -> dict[str, str]:
    """One formula per parameter: a plain one describes the first, the others default to an intercept."""
    if isinstance(formula, str):
        return {params[0]: formula} | dict.fromkeys(params[1:], "~ 1")
    if not isinstance(formula, Mapping):
        raise TypeError(f"a formula must be text such as 'y ~ x', not {type(formula).__name__}")
    unknown = set(formula) - set(params)
    if unknown or params[0] not in formula:
        raise FormulaError(
            f"formulas for {', '.join(formula)}: the family's parameters are {', '.join(params)}, "
            f"and {params[0]!r} needs one with the response"
        )
    return {param: formula.get(param, "~ 1") for param in params}
