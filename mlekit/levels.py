"""A response that is one of several levels: its levels are read from the data, and the family is bound to them."""

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from patsy import EvalEnvironment

from mlekit import factors
from mlekit import formula as formulas
from mlekit.arrays import matrix
from mlekit.basis import has_constant
from mlekit.checks import exposure_of, offsets_of
from mlekit.design import Design, Observations, design_table
from mlekit.families import GenericLikelihood
from mlekit.families.categorical import Categorical
from mlekit.formula import FormulaError
from mlekit.links import Array
from mlekit.naming import refuse_twins
from mlekit.sources import as_column, as_table

Formula = str | Mapping[Any, str]
_LAST_WHOLE = 2.0**53


def read_table(
    formula: Formula,
    data: Any,
    family: GenericLikelihood,
    env: EvalEnvironment,
    *,
    offset: Any,
    exposure: Any,
    weights: Any,
    missing: str,
) -> tuple[GenericLikelihood, Design, Observations]:
    """Read a table under formulas; the family comes back with the levels of the rows in use, if it has levels.

    Raises
    ------
    FormulaError
        If the formulas do not fit the data, or the levels of the response are not known to have an order that the
        family needs.
    """

    def read(family: GenericLikelihood, formula: Any) -> tuple[Design, Observations]:
        return design_table(
            formula,
            data,
            tuple(family.params),
            env,
            offsets=offsets_of(offset, family),
            exposure=exposure_of(exposure, family),
            weights=weights,
            missing=missing,
        )

    if not isinstance(family, Categorical):
        return family, *read(family, formula)
    known = family if family.levels else family.of_levels(_response_levels(family, formula, data, env))
    design, observations, seen = _coded(known, *read(known, _per_parameter(known, formula)))
    if not family.levels and len(seen) < len(known.levels):  # some only occur in rows that are left out
        known = family.of_levels([known.levels[code] for code in seen])
        design, observations, _ = _coded(known, *read(known, _per_parameter(known, formula)))
    if isinstance(formula, str):
        design = replace(design, formulas={design.params[0]: formula})
    return known, design, observations


def read_response(family: GenericLikelihood, y: Any) -> tuple[GenericLikelihood, Any]:
    """Return the family bound to the levels of a response, and its codes; others are returned as they are."""
    if not isinstance(family, Categorical):
        return family, y
    column = as_column(y)
    if not isinstance(column, pd.Series):
        raise ValueError(f"y must have one level per row, not {type(y).__name__}")
    value = _value(column)
    known = family if family.levels else family.of_levels(_levels(family, value, "y"))
    levels, codes = _codes(value)
    index = y.index if isinstance(y, pd.Series) else None
    return known, pd.Series(_recoded(known, levels, codes, "y"), index=index, name=getattr(y, "name", None))


def observed(family: GenericLikelihood, y: Array) -> Array:
    """What is predicted of each response: its level, or a number."""
    return family.written(y) if isinstance(family, Categorical) else family.observed(y)


def described(family: GenericLikelihood, X: Any, names: Sequence[str] | None, y: Any) -> Any:
    """Matrices by parameter: one alone describes each of unordered levels, as a formula does."""
    if not isinstance(family, Categorical):
        return X
    if isinstance(X, Mapping):
        return {str(name): x for name, x in X.items()}
    first, *others = family.params
    if family.is_ordered or not others:
        return X
    found, heads = matrix(X, len(y), names)
    return {first: X} | dict.fromkeys(others, pd.DataFrame(found, y.index, list(heads)))


def described_anew(family: GenericLikelihood, design: Design, X: Any) -> Any:
    """Matrices of new rows, where the model is made of matrices."""
    if not isinstance(family, Categorical) or design.infos is not None or X is None:
        return X
    if isinstance(X, Mapping):
        return {str(name): x for name, x in X.items()}
    columns = design.written
    return {name: X for name, own in zip(design.params, columns, strict=True) if own == columns[0]}


def labelled(family: GenericLikelihood, y: Array) -> Any:
    """Responses as users write them: levels for codes, which :func:`read_response` turns back."""
    if not isinstance(family, Categorical):
        return y
    return pd.Categorical.from_codes(y.astype(int), categories=pd.Index(family.levels), ordered=True)


def named(family: GenericLikelihood, design: Design) -> Design:
    """Give the coefficients the names that they have in a family of levels.

    Raises
    ------
    FormulaError
        If two have the same.
    """
    if not isinstance(family, Categorical):
        return design
    design = replace(design, naming=family.naming, success=None, failure=None)
    refuse_twins(design.names)
    return design


def without_intercept(family: GenericLikelihood, fixed: Mapping[str, float] | Sequence[Any], design: Design) -> Any:
    """What is held: the intercept of an ordered response too, at 0, as its cutpoints are its intercepts."""
    if not isinstance(family, Categorical) or not family.is_ordered or not isinstance(fixed, Mapping):
        return fixed
    if "Intercept" not in (*design.columns[0], *fixed):
        return fixed
    if "Intercept" in fixed:
        raise ValueError(f"{family!r} has no intercept to hold: its cutpoints are {', '.join(list(family.params)[1:])}")
    return {"Intercept": 0.0, **fixed}


def check_location(family: GenericLikelihood, design: Design, observations: Observations) -> None:
    """Refuse columns that add up to a constant beside cutpoints, which have one each, and cutpoints held out of order.

    Raises
    ------
    ValueError
        If they do.
    """
    if not isinstance(family, Categorical) or not family.is_ordered:
        return
    alone = [h for h in design.held if h.param and design.written[h.param] == ("Intercept",)]
    for low, high in itertools.pairwise(sorted(alone, key=lambda h: h.param)):
        if low.value >= high.value and not {o.param for o in design.offsets} & set(design.params[1:]):
            raise ValueError(
                f"fixed has {low.text} and {high.text}: cutpoints increase with the levels, which are "
                f"{', '.join(map(str, family.levels))}"
            )
    if has_constant(observations.block.X[0]):
        raise ValueError(
            f"the columns {', '.join(design.columns[0])} can add up to a constant, and so can the cutpoints: neither "
            "can be told from the other: leave out what is the same in all rows, and write the formula without '0 +' "
            "or '- 1', so that a factor has a reference level; the intercept is left out by itself"
        )


def constants(family: GenericLikelihood, design: Design, X: Sequence[Array]) -> list[int] | None:
    """Column of ones in the matrix of each cutpoint, which a constant of the location can move to, if all have one."""
    if not isinstance(family, Categorical) or not family.is_ordered:
        return None
    found = []
    for x, names in zip(X[1:], design.columns[1:], strict=True):
        if "Intercept" not in names or not (x[:, names.index("Intercept")] == 1).all():
            return None
        found.append(names.index("Intercept"))
    return found


# ------------------------------------------------------------------------------------------------ formulas


def _per_parameter(family: Categorical, formula: Formula) -> dict[str, str] | str:
    """One formula per parameter: a plain one describes the location of ordered levels, or each of unordered ones."""
    if family.is_ordered and isinstance(formula, str):
        return formula
    texts = dict.fromkeys(family.params, formula) if isinstance(formula, str) else _texts(formula)
    unknown = [name for name in texts if name not in family.params]
    if unknown:
        raise FormulaError(
            f"formulas for {', '.join(unknown)}: the parameters of {family!r} are {', '.join(family.params)}"
        )
    if family.is_ordered:
        return texts
    response = _response_text(texts.values())
    first, *others = family.params
    right = {name: text.partition("~")[2] if "~" in text else text for name, text in texts.items()}
    right = {name: right.get(name, "1").strip() for name in family.params}
    return {first: f"{response} ~ {right[first]}"} | {name: f"~ {right[name]}" for name in others}


def _texts(formula: Any) -> dict[str, str]:
    if not isinstance(formula, Mapping) or not all(isinstance(text, str) for text in formula.values()):
        raise TypeError(f"a formula must be text such as 'y ~ x', or a dict of them, not {formula!r}")
    return {str(name): text for name, text in formula.items()}


def _response_text(texts: Any) -> str:
    """The response, in whichever formulas it is."""
    found = {text.partition("~")[0].strip() for text in texts if "~" in text} - {""}
    if len(found) != 1:
        raise FormulaError(
            f"one formula needs the response to the left of '~', and no other may have another: {', '.join(texts)}"
        )
    return found.pop()


def _response_levels(family: Categorical, formula: Formula, data: Any, env: EvalEnvironment) -> list[Any]:
    """Levels of the response among the rows that have one."""
    text = formula if isinstance(formula, str) else _response_text(_texts(formula).values()) + " ~ 1"
    terms = factors.checked_terms(formulas.parse(text).lhs)
    if len(terms) != 1 or len(terms[0].factors) != 1:
        raise FormulaError(f"the formula {text!r} needs one response to the left of '~'")
    factor = terms[0].factors[0]
    names = formulas.variables([factor.code])
    table = formulas.with_scope(None if data is None else as_table(data, names), names, env)
    scope = formulas.scope_of([factor.code], table, env)
    value = factor.eval(factor.started(scope), factors.Rows(table))
    return _levels(family, value, factor.code)


# ------------------------------------------------------------------------------------------------ levels and codes


def _value(column: pd.Series) -> Any:
    """A column as an expression has it: a Categorical, or numbers."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        return pd.Categorical(column)
    if column.dtype == "Int64" or (isinstance(column.dtype, np.dtype) and column.dtype.kind in "iuf"):
        return column.to_numpy(float, na_value=np.nan)
    return pd.Categorical(column)


def _levels(family: Categorical, value: Any, name: str) -> list[Any]:
    """Levels that occur, in their order.

    Raises
    ------
    FormulaError
        If they have none, and the family needs one, or if numbers are not whole.
    """
    given = hasattr(value, "data") and not isinstance(value, np.ndarray | pd.Categorical)  # patsy's box of C()
    ordered = given and getattr(value, "levels", None) is not None
    value = value.data if given else value
    if not isinstance(value, pd.Categorical):
        return _whole(family, np.asarray(value), name)
    levels = list(value.remove_unused_categories().categories)
    if family.is_ordered and not (ordered or value.ordered or set(map(type, levels)) <= {bool, np.bool_}):
        name = re.sub(r"^C\(([^(),]*)\)$", r"\1", name)
        shown = ", ".join(map(repr, levels[:6])) + (", ..." if len(levels) > 6 else "")
        raise FormulaError(
            f"the levels of the response {name} ({shown}) have no order, and that of the alphabet would mean nothing: "
            f"write C({name}, levels=[...]) with the lowest first, or make it pd.Categorical(..., ordered=True)"
        )
    return levels


def _whole(family: Categorical, values: Array, name: str) -> list[int]:
    if values.ndim != 1:
        raise FormulaError(f"the response {name} has {values.shape[-1]} columns, and {family!r} needs one")
    seen = np.unique(values[~np.isnan(values)])
    if not (np.isfinite(seen).all() and (seen == np.floor(seen)).all()):
        wrong = seen[~(np.isfinite(seen) & (seen == np.floor(seen)))][0]
        raise FormulaError(
            f"the response {name} is {wrong:g} in some row: {type(family).__name__} takes levels, which are whole "
            "numbers, bools, or a categorical; pd.cut makes levels of a number"
        )
    if seen.size and np.abs(seen).max() >= _LAST_WHOLE:
        raise FormulaError(
            f"the response {name} has numbers of 2**53 and more, which floats do not tell apart: make it a categorical"
        )
    return [int(level) for level in seen]


def _codes(value: Any) -> tuple[list[Any], Array]:
    """Levels, and the position of each response among them; NaN where it is missing."""
    if isinstance(value, pd.Categorical):
        codes = value.codes.astype(float)
        return list(value.categories), np.where(codes < 0, np.nan, codes)
    seen = np.unique(value[~np.isnan(value)])
    return seen.tolist(), np.where(np.isnan(value), np.nan, np.searchsorted(seen, value))


def _recoded(family: Categorical, levels: Sequence[Any], codes: Array, name: str) -> Array:
    """Codes among the levels of the family, for codes among others."""
    position = {level: float(code) for code, level in enumerate(family.levels)}
    used = np.unique(codes[~np.isnan(codes)]).astype(int)
    seen = (levels[code] for code in used if levels[code] not in position)
    unknown = [f"{level:g}" if isinstance(level, float) else repr(level) for level in seen]
    if unknown:
        raise FormulaError(f"{name} has the levels {', '.join(unknown)}, which are none of {family!r}")
    table = np.array([position.get(level, np.nan) for level in levels])
    return np.where(np.isnan(codes), np.nan, table[np.where(np.isnan(codes), 0, codes).astype(int)])


def _coded(family: Categorical, design: Design, observations: Observations) -> tuple[Design, Observations, list[int]]:
    """Give the rows codes for levels, the coefficients their names, and say which codes occur."""
    y = observations.block.y
    levels, codes = (list(design.levels), y) if design.levels else _codes(y)
    y = _recoded(family, levels, codes, design.response)
    observations = replace(observations, block=replace(observations.block, y=y))
    return design, observations, np.unique(y).astype(int).tolist()
