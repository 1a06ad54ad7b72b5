"""Derivatives of the matrices of formulas in one variable, as it stands in the data.

A column of a matrix is a product of factors. Replacing the value of one factor by its derivative, less the same with
zeros in its place, is what that factor adds to the derivative: exactly, as nothing is left to cancel.
"""

import ast
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from patsy import DesignInfo, PatsyError

from mlekit import factors, jets
from mlekit.formula import FormulaError, syntax, variables
from mlekit.links import Array
from mlekit.messages import warn
from mlekit.sources import Table, row_name

# The largest step in units of the variable's range, and how many steps there are, each a quarter of the last.
_LARGEST, _STEPS = 1 / 16, 8
# Errors, in units of the largest slope, at which a row is done, and those that are told.
_SETTLED = 1e-12
_POOR = 1e-5
# Weights of f(x + k h), in units of 1 / h, that are exact for polynomials of degree 4: inside, and at the lower end.
_INSIDE = {-2: 1 / 12, -1: -2 / 3, 1: 2 / 3, 2: -1 / 12}
_AT_END = {0: -25 / 12, 1: 4.0, 2: -3.0, 3: 4 / 3, 4: -1 / 4}
_EPS = np.finfo(float).eps


def matrix_slopes(
    infos: Sequence[DesignInfo], table: Table, used: Array, variable: str, limits: tuple[float, float]
) -> list[Array]:
    """Derivative of each matrix in a variable, row by row.

    Parameters
    ----------
    infos : sequence of patsy.DesignInfo
        What the formulas learned.
    table : Table
        All rows, (N,), as lags need them.
    used : (N,) array of bool
        The rows that are wanted.
    variable : str
        A column of numbers.
    limits : pair of float
        Range of the variable in the data: differences stay inside, where splines are defined.

    Returns
    -------
    list of (n, p) arrays

    Raises
    ------
    FormulaError
        If a factor jumps, or its slope is not finite.

    Notes
    -----
    Factors that are arithmetic are differentiated exactly; others (splines, functions of the user's) by differences of
    fourth order, with the step that suits each row: exact up to rounding for polynomials up to degree 4, to about 1e-9
    within ``1e-5`` of the range from a knot.
    """
    envs = factors.environments(infos)
    known = factors.evaluate(envs, table).used(used)
    total = [np.zeros((int(used.sum()), len(info.column_names))) for info in infos]
    facts = {factor: fact for info in infos for factor, fact in info.factor_infos.items()}
    for factor, fact in facts.items():
        if variable not in variables((factor.code,)):
            continue
        if fact.type == "categorical":
            _refuse_jumps(factor.code, variable)
        slope = _slope(factor, fact.state, table, used, variable, limits)
        if not np.isfinite(slope).all():
            bad = np.asarray(~np.isfinite(slope.reshape(len(slope), -1)).all(axis=1))
            raise FormulaError(
                f"the slope of {factor.code} in {variable} is not finite in row {row_name(known.table.labels, bad)}: "
                f"ask for a difference, as variables={{{variable!r}: (from, to)}}, or for effects at other values"
            )
        for each, with_slope, without in zip(
            total, *(_built(infos, known, factor, value) for value in (slope, np.zeros_like(slope))), strict=True
        ):
            each += with_slope - without
    return total


def _built(infos: Sequence[DesignInfo], rows: factors.Rows, factor: factors.Factor, value: Array) -> list[Array]:
    return factors.build(infos, factors.Rows(rows.table, {**rows.values, factor.key: value}))[0]


def _refuse_jumps(code: str, variable: str) -> None:
    raise FormulaError(
        f"{code} jumps, so it has no slope in {variable}: ask for a difference, as variables={{{variable!r}: "
        "(from, to)}, or name the other variables"
    )


def is_name(code: str, variable: str) -> bool:
    """Whether an expression is a variable as it stands.

    Examples
    --------
    >>> is_name("x", "x"), is_name('Q("my x")', "my x"), is_name("x + 1", "x")
    (True, True, False)
    """
    node = syntax(code)
    return variables((code,)) == (variable,) and (isinstance(node, ast.Name) or _calls(node, "Q"))


def is_levels(code: str, variable: str) -> bool:
    """Whether an expression codes a variable: the variable as it stands, or ``C(variable, ...)``."""
    node = syntax(code)
    if isinstance(node, ast.Call) and _calls(node, "C") and node.args:
        return is_name(ast.unparse(node.args[0]), variable)
    return is_name(code, variable)


def reference_level(infos: Sequence[DesignInfo], chosen: Sequence[factors.Factor]) -> int | None:
    """Position of the level whose row of the coding is all zeros, where one of the factors is coded so."""
    for info in infos:
        for parts in (info.term_codings or {}).values():
            for part in parts:
                for factor in set(part.factors) & set(chosen) & set(part.contrast_matrices):
                    zero = ~part.contrast_matrices[factor].matrix.any(axis=1)
                    if zero.sum() == 1:
                        return int(np.argmax(zero))
    return None


def _calls(node: ast.expr, name: str) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name


def _slope(
    factor: factors.Factor, state: Mapping[str, Any], table: Table, used: Array, variable: str, limits: Any
) -> Array:
    """Derivative of one factor, on the rows in use."""
    if is_name(factor.code, variable):
        return np.ones(int(used.sum()))
    if not factor.is_learned(state["eval_env"]):
        found = _exact(factor, state, table, variable)
        if found is not None:
            return found[used]
    # What is learned knows the rows in use alone; what is not, as a lag, may look at others.
    part, chosen = (table.rows(used), slice(None)) if factor.is_learned(state["eval_env"]) else (table, used)

    def value(x: Array, rows: Array) -> Array:
        some = part if rows.all() else part.rows(rows)
        columns = {**some.columns, variable: pd.Series(x, some.labels)}
        found = factor.eval(state, factors.Rows(Table(columns, some.labels, some.known)))
        if not isinstance(found, np.ndarray):
            _refuse_jumps(factor.code, variable)
        return found.astype(float)

    x = part.columns[variable].to_numpy(float, na_value=np.nan)
    try:
        # Of what is not learned, rows may depend on one another, as in a lag: all move by the same step.
        slope, error = differences(value, x, limits, anywhere=not factor.is_learned(state["eval_env"]))
    except (PatsyError, ValueError):  # a function that refuses what is outside its range
        slope, error = differences(value, x, limits)
    slope, error = slope[chosen], error[chosen]
    if (np.abs(slope) <= error).all():
        _refuse_jumps(factor.code, variable)
    worst = error.max() / np.abs(slope).max()
    if worst > _POOR:
        warn(
            f"the slope of {factor.code} in {variable} is found to {worst:.0e} of its size only, as it jumps, has a "
            f"kink, or changes too fast: variables={{{variable!r}: (from, to)}} asks for a difference instead",
            RuntimeWarning,
        )
    return slope


def _exact(factor: factors.Factor, state: Mapping[str, Any], table: Table, variable: str) -> Array | None:
    """Derivative of arithmetic, on all rows; None of what jets cannot follow."""
    env = state["eval_env"]
    columns = factors.arithmetic_columns(table, factor.code, env)
    if columns is None or not isinstance(columns[variable], np.ndarray):
        return None
    (x,) = jets.variables(columns[variable], order=1)
    try:
        with np.errstate(all="ignore"):
            found = env.eval(factor.code, inner_namespace=columns | {variable: x})
    except (jets.DerivativeError, TypeError, AttributeError, ValueError):
        return None
    if not isinstance(found, jets.Jet):
        _refuse_jumps(factor.code, variable)
    return np.asarray(found.grad.get(0, np.zeros(len(table)))) if found.shape == (len(table),) else None


def differences(
    function: Callable[[Array, Array], Array], x: Array, limits: tuple[float, float], anywhere: bool = False
) -> tuple[Array, Array]:
    """Derivative of each row of a function in each row of its argument, and its estimated error.

    Parameters
    ----------
    function : callable
        Of (m,) values and the mask of the rows that they stand for: m rows.
    x : (n,) array
    limits : pair of float
        Steps are in units of this range, and none leaves it, if ``x`` is inside.
    anywhere : bool
        Whether steps may leave it: then all rows take the same steps.

    Examples
    --------
    >>> slope, error = differences(lambda x, rows: np.exp(x), np.array([0.0, 1.0]), (0.0, 1.0))
    >>> bool(np.allclose(slope, np.exp([0.0, 1.0]), rtol=1e-11)), bool((error < 1e-9).all())
    (True, True)
    """
    low, high = limits
    scale = high - low if high > low else max(abs(low), np.finfo(float).tiny)
    inside = (x >= low) & (x <= high) & (not anywhere)
    todo = np.ones(x.size, dtype=bool)
    slope: Any = None
    error: Any = None
    previous: Any = None
    for j in range(_STEPS):
        h = 2.0 ** np.floor(np.log2(scale * _LARGEST / 4.0**j))
        at_low, at_high = inside & (x - 2 * h < low), inside & (x + 2 * h > high)
        found, noise = _difference(lambda part: function(part, todo), x[todo], h, at_low[todo], at_high[todo])
        if j == 0:
            previous, slope, error = found, found.copy(), np.full(found.shape, np.nan)
            continue
        off = np.abs(found - previous) + noise
        better = ~(off >= error[todo]) & np.isfinite(found)
        slope[todo], error[todo] = np.where(better, found, slope[todo]), np.where(better, off, error[todo])
        rest = ~(error[todo] <= _SETTLED * np.abs(slope).max()).reshape(len(found), -1).all(axis=1)
        if anywhere and rest.any():
            rest[:] = True
        previous, todo[todo] = found[rest], rest
        if not rest.any():
            break
    return slope, np.where(np.isnan(error), np.inf, error)


def _difference(
    function: Callable[[Array], Array], x: Array, h: float, at_low: Array, at_high: Array
) -> tuple[Array, Array]:
    """Fourth-order difference with one step, and its rounding error."""
    side = np.where(at_high, -1.0, 1.0)
    one_sided = at_low | at_high
    total: Any = 0.0
    size: Any = 0.0
    for k, (inner, outer) in enumerate(zip([*_INSIDE.items(), (0, 0.0)], _AT_END.items(), strict=True)):
        steps = np.where(one_sided, side * outer[0], float(inner[0]))
        weights = np.where(one_sided, side * outer[1], inner[1])
        if k == 4 and not one_sided.any():
            break
        value = function(x + steps * h)
        weights = weights.reshape(-1, *[1] * (value.ndim - 1))
        total, size = total + weights * value, np.maximum(size, np.abs(value))
    slope = total / h
    wobble = (np.abs(x) * _EPS / h).reshape(-1, *[1] * (slope.ndim - 1))
    return slope, 4 * _EPS * size / h + wobble * np.abs(slope)
