"""Designs as records: formulas, columns, offsets, and what patsy learned, which is numbers, levels and contrasts.

Beside :mod:`mlekit.factors` the only file that knows the insides of patsy's designs. What is evaluated at prediction is
made anew from the text of each expression, after it has been checked, and sees the functions that are listed in
:mod:`mlekit.language` and no others.
"""

import ast
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from patsy import ContrastMatrix, DesignInfo, EvalEnvironment, PatsyError, Term
from patsy.design_info import FactorInfo, SubtermInfo

from mlekit.design import Design
from mlekit.estimable import LeftOut
from mlekit.factors import Factor, Number
from mlekit.formula import FormulaError, codes_of, nodes, parse, variables
from mlekit.observations import Held, Offset
from mlekit.saving.levels import level_record, levels
from mlekit.saving.text import SavedFitError, listed, matrix, real, refuse
from mlekit.saving.transforms import TRANSFORMS
from mlekit.untrusted import check, check_expression, scope

#: What is evaluated, by the names that files have for it.
KINDS: dict[str, type[Factor]] = {"variable": Factor, "number": Number}
_REMEDY = "make that column before the fit, or pickle the fit"


# ------------------------------------------------------------------------------------ writing


def design_record(design: Design) -> dict[str, Any]:
    """Write a design.

    Raises
    ------
    SavedFitError
        If a formula has more than columns, numbers, operators and listed functions, or a level is no text or number.
    """
    return {
        "formulas": dict(design.formulas),
        "params": list(design.params),
        "response": design.response,
        "columns": [list(names) for names in design.columns],
        "all_columns": [list(names) for names in design.all_columns],
        "naming": design.naming,
        "success": design.success,
        "failure": design.failure,
        "levels": [level_record(value) for value in design.levels],
        "offsets": [{"param": o.param, "code": o.code, "exposure": o.exposure} for o in design.offsets],
        "held": [
            {"param": held.param, "column": held.column, "value": held.value, "text": held.text} for held in design.held
        ],
        "left_out": [
            {"param": each.param, "column": each.column, "size": each.size, "coefficients": dict(each.coefficients)}
            for each in design.left_out
        ],
        "variables": {name: _categories(dtype) for name, dtype in design.variables.items()},
        "learned": None if design.infos is None else _learned(design.infos),
    }


def _categories(dtype: pd.CategoricalDtype | None) -> Any:
    if dtype is None:
        return None
    return {"levels": [level_record(value) for value in dtype.categories], "ordered": bool(dtype.ordered)}


def _learned(infos: Sequence[DesignInfo]) -> dict[str, Any]:
    facts = {factor: fact for info in infos for factor, fact in info.factor_infos.items()}
    place = {factor: i for i, factor in enumerate(facts)}
    return {
        "factors": [_factor_record(factor, fact) for factor, fact in facts.items()],
        "matrices": [
            {
                "columns": list(info.column_names),
                "terms": [
                    {
                        "factors": [place[factor] for factor in term.factors],
                        "parts": [_part_record(part, place) for part in parts],
                    }
                    for term, parts in info.term_codings.items()
                ],
            }
            for info in infos
        ],
    }


def _factor_record(factor: Factor, fact: FactorInfo) -> dict[str, Any]:
    _refuse_own(factor, fact.state["eval_env"])
    categories = fact.categories
    return {
        "code": factor.code,
        "kind": next(name for name, kind in KINDS.items() if kind is type(factor)),
        "columns": fact.num_columns,
        "levels": None if categories is None else [level_record(value) for value in categories],
        "learned": [
            {"function": _function(name), **TRANSFORMS[_function(name)].written(vars(transform))}
            for name, transform in fact.state["transforms"].items()
        ],
    }


def _function(name: str) -> str:
    """Name of the function whose state patsy keeps under a name."""
    return name.removeprefix("_patsy_stobj").partition("__")[2].removesuffix("__")


def _refuse_own(factor: Factor, env: EvalEnvironment) -> None:
    """Refuse functions and constants of the user's that bear the name of a listed one."""
    known = scope().namespace
    names = {node.id for node in nodes(factor.code) if isinstance(node, ast.Name) and node.id in env.namespace}
    for name in sorted(names):
        value = env.namespace[name]
        if value is not known.get(name) and value is not np:
            raise SavedFitError(
                f"the fit cannot be saved: {name} is yours in {factor.code}, and a file has no code: {_REMEDY}"
            )


def _part_record(part: SubtermInfo, place: Mapping[Factor, int]) -> dict[str, Any]:
    return {
        "factors": [place[factor] for factor in part.factors],
        "contrasts": [
            {"factor": place[factor], "matrix": listed(found.matrix), "suffixes": list(found.column_suffixes)}
            for factor, found in part.contrast_matrices.items()
        ],
        "columns": part.num_columns,
    }


def refuse_code(design: Design) -> None:
    """Refuse a design whose formulas have more than columns, numbers, operators and listed functions.

    Raises
    ------
    SavedFitError
        If they have.
    """
    try:
        _check(design.formulas, design.variables, [o.code for o in design.offsets if o.code is not None])
        for info in design.infos or ():
            for factor in info.factor_infos:
                check_expression(factor.code, design.variables)
    except FormulaError as error:
        said = str(error).partition(". Such formulas")[0].replace("the formula is not trusted, and ", "")
        raise SavedFitError(f"the fit cannot be saved, as a file has no code, and {said}: {_REMEDY}") from None


def _check(formulas: Mapping[str, str], names: Iterable[str], offsets: Sequence[str]) -> None:
    """Check formulas; what prediction does not need, such as the response, may have any name."""
    for formula in formulas.values():
        parsed = parse(formula)
        check(formula, variables([*codes_of((*parsed.lhs, *parsed.rhs)), *parsed.offsets]))
    for code in offsets:
        check_expression(code, names)


# ------------------------------------------------------------------------------------ reading


def _dropped(record: Mapping[str, Any]) -> LeftOut:
    coefficients = {name: real(value) for name, value in record["coefficients"].items()}
    return LeftOut(record["param"], record["column"], real(record["size"]), coefficients)


def design_from(record: dict[str, Any]) -> Design:
    """Read a design; see :func:`design_record`.

    Raises
    ------
    SavedFitError
        If its parts do not fit each other.
    FormulaError
        If a formula has more than columns, numbers, operators and listed functions.
    """
    names = record["variables"]
    offsets = tuple(Offset(o["param"], o["code"], o["exposure"]) for o in record["offsets"])
    held = tuple(Held(h["param"], h["column"], real(h["value"]), h["text"]) for h in record["held"])
    _check(record["formulas"], names, [offset.code for offset in offsets if offset.code is not None])
    design = Design(
        formulas=dict(record["formulas"]),
        params=tuple(record["params"]),
        response=record["response"],
        columns=tuple(map(tuple, record["columns"])),
        success=record["success"],
        failure=record["failure"],
        offsets=offsets,
        held=held,
        left_out=tuple(map(_dropped, record["left_out"])),
        infos=None if record["learned"] is None else _infos(record["learned"], names),
        all_columns=tuple(map(tuple, record["all_columns"])),
        levels=tuple(levels(record["levels"], "the response")),
        naming=record["naming"],
        variables={name: _dtype(value, name) for name, value in names.items()},
    )
    _fit_together(design)
    return design


def _dtype(record: Any, name: str) -> pd.CategoricalDtype | None:
    return None if record is None else pd.CategoricalDtype(levels(record["levels"], name), record["ordered"])


def _fit_together(design: Design) -> None:
    """Refuse a design whose parts do not belong together."""
    k, written = len(design.params), design.written
    if not len(set(design.params)) == k == len(design.columns) == len(written):
        refuse("it has not one list of columns for each parameter")
    if any(len(set(names)) < len(names) for names in (design.names, *written)):
        refuse("two of its columns have one name")
    if any(not set(names) <= set(whole) for names, whole in zip(design.columns, written, strict=True)):
        refuse("it has coefficients of columns that are not there")
    if any(o.param not in design.params for o in design.offsets):
        refuse("it has an offset of a parameter that is not there")
    if any(h.param >= k or h.column not in written[h.param] for h in design.held):
        refuse("it holds a coefficient of a column that is not there")
    _check_left_out(design)
    if design.infos is not None:
        evaluated = [offset for offset in design.offsets if offset.code is not None]
        matrices = [tuple(info.column_names) for info in design.infos]
        if len(matrices) != k + len(evaluated) or tuple(matrices[:k]) != written:
            refuse("its columns are not those of its terms")
        if any(len(names) != 1 for names in matrices[k:]):
            refuse("it has an offset that is not one number per row")


def _check_left_out(design: Design) -> None:
    written = design.written
    for each in design.left_out:
        if each.param >= len(written) or not {each.column, *each.coefficients} <= set(written[each.param]):
            refuse("it left out a column, or a combination of columns, that is not there")
        if not (0 <= each.size < np.inf and np.isfinite([*each.coefficients.values()]).all()):
            refuse(f"the relation of {each.column} to other columns is not in finite numbers")


def _infos(record: dict[str, Any], names: Iterable[str]) -> list[DesignInfo]:
    """What patsy learned."""
    facts = [_fact(each, names) for each in record["factors"]]
    if len({fact.factor for fact in facts}) < len(facts):
        refuse("an expression is there twice")
    try:
        return [_info(each, facts) for each in record["matrices"]]
    except (AssertionError, AttributeError, KeyError, IndexError, TypeError, ValueError, PatsyError) as error:
        refuse(f"its terms do not fit each other ({type(error).__name__}: {error})")


def _fact(record: dict[str, Any], names: Iterable[str]) -> FactorInfo:
    """An expression, with what was learned for it; what patsy evaluates is made of its text."""
    check_expression(record["code"], names)
    factor = KINDS[record["kind"]](record["code"])
    if factor.code != record["code"]:
        refuse(f"the expression {record['code'][:50]!r} is not written as patsy writes it")
    state: dict[str, Any] = {}
    factor.memorize_passes_needed(state, scope())
    transforms = state["transforms"]
    if [_function(name) for name in transforms] != [each["function"] for each in record["learned"]]:
        refuse(f"what {factor.code} learned is of other functions")
    for transform, each in zip(transforms.values(), record["learned"], strict=True):
        vars(transform).pop("_tmp", None)  # of what is still to be learned
        vars(transform).update(TRANSFORMS[each["function"]].attributes(each))
    if (record["levels"] is None) == (record["columns"] is None):
        refuse(f"{factor.code} must have columns or levels")
    if record["levels"] is None:
        return FactorInfo(factor, "numerical", state, num_columns=record["columns"])
    return FactorInfo(factor, "categorical", state, categories=tuple(levels(record["levels"], factor.code)))


def _info(record: dict[str, Any], facts: Sequence[FactorInfo]) -> DesignInfo:
    terms = {}
    for each in record["terms"]:
        terms[Term([facts[i].factor for i in each["factors"]])] = [_part(part, facts) for part in each["parts"]]
    used = {factor for term in terms for factor in term.factors}
    return DesignInfo(
        record["columns"], {fact.factor: fact for fact in facts if fact.factor in used}, OrderedDict(terms)
    )


def _part(record: dict[str, Any], facts: Sequence[FactorInfo]) -> SubtermInfo:
    contrasts = {}
    for each in record["contrasts"]:
        values = matrix(each["matrix"], len(each["suffixes"]), "a contrast")
        contrasts[facts[each["factor"]].factor] = ContrastMatrix(values, list(each["suffixes"]))
    return SubtermInfo([facts[i].factor for i in record["factors"]], contrasts, record["columns"])
