"""Formulas from strangers: a small language, checked on the syntax tree before anything is evaluated.

patsy evaluates Python, so that a formula from a web form, a file or a saved fit could do whatever its reader may do.
Where formulas are not trusted they are made of the columns of the data, numbers, operators and the functions listed in
:mod:`mlekit.language`, and nothing else: no attributes but ``np.log`` and its like, no subscripts, no lambdas, no
variables of the caller.

- :func:`check` refuses a formula (or one per parameter), :func:`check_expression` one expression such as that of an
  offset. Nothing is evaluated, then or before.
- :func:`scope` is what such formulas see: the listed functions, with no ``__builtins__`` behind them. Handed as ``env``
  to :meth:`mlekit.Model.from_formula` and to all that take an ``env``, it also makes them check each expression
  again in the very text that is evaluated, with the data at hand. What is learned from the data keeps it, and predicts
  in it.

Whoever loads a saved fit checks its formulas against the columns that they need, and restores the state of its factors
with ``scope()`` as their environment:

>>> check({"mu": "y ~ log(x) + C(g, Treatment('a'))", "sigma": "~ 1"}, ["y", "x", "g"])
>>> check("y ~ x.__class__", ["y", "x"])
Traceback (most recent call last):
...
mlekit.formula.FormulaError: the formula is not trusted, and x.__class__ is an attribute: no part of 'x.__class__' ...
"""

import ast
import functools
from collections.abc import Iterable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
from patsy import EvalEnvironment
from patsy.eval import VarLookupDict

from mlekit.formula import KNOWN_NAMES, FormulaError, caller_scope, codes_of, nodes, parse, shortened, syntax
from mlekit.language import LISTED, NUMPY, OF_OBJECTS, Checker, called_name
from mlekit.sources import Table


class UntrustedScope(EvalEnvironment):  # type: ignore[misc]  # patsy has no types
    """The listed functions, and no builtins; see :func:`scope`."""

    def eval(self, expr: str, source_name: str = "<string>", inner_namespace: Any = None) -> Any:
        """Evaluate an expression that has been checked."""
        code = compile(expr, source_name, "eval", self.flags, False)
        names = VarLookupDict([{} if inner_namespace is None else inner_namespace, *self._namespaces])
        return eval(code, {"__builtins__": {}}, names)

    def subset(self, names: Iterable[str]) -> "UntrustedScope":
        """Return a scope with some of the names."""
        return UntrustedScope([{name: self.namespace[name] for name in names}], self.flags)

    def admit(self, codes: Sequence[str], table: Table) -> None:
        """Refuse expressions that may not be evaluated on a table; they are what is evaluated, to the letter."""
        for code in codes:
            check_expression(code, table.columns)
            _refuse_objects(code, table.columns)

    def __getstate__(self) -> dict[str, Any]:
        return {"_namespaces": self._namespaces, "flags": self.flags}


@functools.cache
def _names() -> dict[str, Any]:
    known = {name: KNOWN_NAMES[name] for name in LISTED}
    return known | {"np": SimpleNamespace(**{name: getattr(np, name) for name in NUMPY})}


def scope() -> UntrustedScope:
    """Where formulas that are not trusted find their functions.

    Examples
    --------
    >>> scope().eval("log(1)"), sorted(scope().namespace["np"].__dict__)[:3]
    (np.float64(0.0), ['abs', 'absolute', 'arccos'])
    >>> scope().eval("open('file')")
    Traceback (most recent call last):
    ...
    NameError: name 'open' is not defined
    """
    return UntrustedScope([_names()])


def scope_for(env: int | EvalEnvironment, trusted: bool) -> EvalEnvironment:
    """Where a call finds its names: ``env`` is how many calls up from the caller's, or a scope itself.

    Raises
    ------
    ValueError
        If formulas are not trusted, and a scope is given to them all the same.
    """
    if not isinstance(trusted, bool | np.bool_):
        raise TypeError(f"trusted must be True or False, not {trusted!r}")
    if trusted:
        return env if isinstance(env, EvalEnvironment) else caller_scope(env + 2)
    if isinstance(env, EvalEnvironment) and not isinstance(env, UntrustedScope):
        raise ValueError("a formula that is not trusted sees no scope: leave out env, or trust it")
    return scope()


def check(formula: str | Mapping[Any, str], columns: Iterable[str]) -> None:
    """Refuse a formula that is more than columns, numbers, operators and listed functions.

    Parameters
    ----------
    formula : str or dict
        One formula, or one per parameter.
    columns : iterable of str
        Names of the columns of the data.

    Raises
    ------
    FormulaError
        If it is more, or cannot be read, or stands for too much: the message names the piece.

    Examples
    --------
    >>> check("y ~ standardize(x) + bs(z, df=4) + (g == 'a')", ["y", "x", "z", "g"])
    """
    known = frozenset(columns)
    for text in formula.values() if isinstance(formula, Mapping) else (formula,):
        parsed = parse(text)
        for code in (*codes_of((*parsed.lhs, *parsed.rhs)), *parsed.offsets):
            check_expression(code, known)


def check_expression(code: str, columns: Iterable[str]) -> None:
    """Refuse an expression, such as that of weights or of an offset; see :func:`check`.

    Examples
    --------
    >>> check_expression("-0.5 * log(w)", ["w"])
    >>> check_expression("open('/etc/passwd')", ["w"])
    Traceback (most recent call last):
    ...
    mlekit.formula.FormulaError: the formula is not trusted, and open is no listed function: no part of ...
    """
    Checker(code, frozenset(columns)).value(syntax(code), 0)


def _refuse_objects(code: str, columns: Mapping[str, Any]) -> None:
    """Refuse arithmetic on columns of objects, such as text, whose operators are their own."""
    for node in nodes(code):
        calls = isinstance(node, ast.Call) and called_name(node.func) not in OF_OBJECTS
        for part in _outside_comparisons(node) if calls or isinstance(node, ast.UnaryOp | ast.BinOp) else ():
            name = part.id if isinstance(part, ast.Name) else part.value if isinstance(part, ast.Constant) else None
            if isinstance(name, str) and name in columns and not _is_numeric(columns[name]):
                raise FormulaError(
                    f"{name} is no column of numbers, and the formula, which is not trusted, calculates with it: "
                    f"{shortened(code)}"
                )


def _outside_comparisons(node: ast.AST) -> Iterable[ast.AST]:
    for part in ast.iter_child_nodes(node):
        if not isinstance(part, ast.Compare):
            yield part
            yield from _outside_comparisons(part)


def _is_numeric(column: Any) -> bool:
    dtypes = list(column.dtypes) if isinstance(column, pd.DataFrame) else [column.dtype]
    return all(pd.api.types.is_numeric_dtype(dtype) and not isinstance(dtype, pd.CategoricalDtype) for dtype in dtypes)
