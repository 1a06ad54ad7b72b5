"""A model with a term left out, or with terms added, on the same rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from patsy import DesignInfo, EvalEnvironment, Term

from mlekit import factors, untrusted
from mlekit import formula as formulas
from mlekit.basis import basis, centred_basis
from mlekit.families.categorical import Categorical
from mlekit.formula import FormulaError
from mlekit.levels import constants
from mlekit.links import Array
from mlekit.naming import full_name
from mlekit.observations import Held, refuse_infinite
from mlekit.sources import Table, as_table, row_name, rows_shape

if TYPE_CHECKING:
    from mlekit.model import Model

Matrix = tuple[Array, tuple[str, ...]]


@dataclass(frozen=True)
class TermColumns:
    """A term of the formulas that can be left out.

    Attributes
    ----------
    name : str
    columns : dict
        The names of its columns, by the position of the parameter.
    rest : dict
        The terms that stay, by the position of the parameter, where their own columns change without it.
    """

    name: str
    columns: Mapping[int, tuple[str, ...]]
    rest: Mapping[int, tuple[Term, ...]] = field(default_factory=dict)


def terms(model: "Model") -> list[TermColumns]:
    """Terms that can be left out, as R's ``drop.scope`` has them: none that is part of an interaction, no intercept.

    The columns of a design that is made of arrays are a term each. A term of unordered levels is one for all of them.

    Raises
    ------
    ValueError
        If the model has no formulas and no matrices.
    """
    if not model.has_null:
        raise ValueError("a likelihood that is not a regression has no terms: hold parameters by fixed=, and lr_test")
    design = model.design
    alike = isinstance(model.family, Categorical) and not model.family.is_ordered
    found: dict[str, TermColumns] = {}
    for i, (param, written, x) in enumerate(
        zip(design.params, design.written, model.observations.block.X, strict=True)
    ):
        own = _of_columns(written, design.columns[i], x) if design.infos is None else _of_formula(design.infos[i])
        held = {h.column for h in design.held if h.param == i}
        for term, columns, rest in own:
            estimated = tuple(name for name in columns if name not in held)
            if not estimated:
                continue
            name = term if alike else full_name(design.naming, i, param, term)
            before = found.get(name, TermColumns(name, {}))
            changed = {} if rest is None or held else {i: rest}
            found[name] = TermColumns(name, {**before.columns, i: estimated}, {**before.rest, **changed})
    return list(found.values())


def _of_columns(written: Sequence[str], names: Sequence[str], x: Array) -> list[tuple[str, tuple[str, ...], Any]]:
    constant = {name for name, column in zip(names, x.T, strict=True) if (column == column[0]).all()}
    return [(name, (name,), None) for name in written if name not in constant]


def _of_formula(info: DesignInfo) -> list[tuple[str, tuple[str, ...], Any]]:
    """Name and columns of each term that is no part of another, and what stays, if its coding changes without it."""
    inside = {term: frozenset(term.factors) for term in info.terms}
    found = []
    for term, own in inside.items():
        if not own or any(own < other for other in inside.values()):
            continue
        rest = tuple(other for other in info.terms if other is not term)
        columns = tuple(info.column_names[info.term_name_slices[term.name()]])
        found.append((term.name(), columns, rest if _recoded(info, term, rest) else None))
    return found


def _recoded(info: DesignInfo, term: Term, rest: Sequence[Term]) -> bool:
    """Whether other terms may have other columns without a term: it may have had what theirs lack.

    Without an intercept the first factor has a column for each level, and the second one fewer. Where what two terms
    have in common is a term itself, it was coded before both.
    """
    numbers = {f for f, fact in info.factor_infos.items() if fact.type == "numerical"}
    own, known = frozenset(term.factors), {frozenset(other.factors) for other in rest}
    if own <= numbers:
        return False
    alike = (frozenset(other.factors) for other in rest)
    return any(own & each not in known for each in alike if each & numbers == own & numbers and each - numbers)


# ------------------------------------------------------------------------------------------------ leaving out


def without(model: "Model", term: TermColumns) -> "Model":
    """Return the model without a term: that of the formula that lacks it.

    Raises
    ------
    ValueError
        If other terms are coded otherwise without it, and the data are not at hand.
    """
    changed = {}
    for i, columns in term.columns.items():
        if i in term.rest:
            changed[i] = _learned(model, term.rest[i], f"to leave out {term.name}")
            continue
        x, names = _estimable(model, i)
        kept = [j for j, name in enumerate(names) if name not in columns]
        changed[i] = np.ascontiguousarray(x[:, kept]), tuple(names[j] for j in kept)
    return with_matrices(model, changed)


def _estimable(model: "Model", i: int) -> Matrix:
    """Matrix of a parameter with the columns that were left out as combinations of others."""
    x, found = model.observations.block.X[i], model.bases[i]
    held = {h.column for h in model.design.held if h.param == i}
    names = tuple(name for name in model.design.written[i] if name not in held)
    if not found.dropped:
        return x, model.design.columns[i]
    whole = np.empty((len(x), len(names)))
    whole[:, list(found.kept)] = x
    for j, coefficients in found.dropped.items():
        whole[:, j] = x @ coefficients
    return whole, names


def with_matrices(model: "Model", changed: Mapping[int, Matrix]) -> "Model":
    """Return the model with other matrices of some parameters, without the columns that are combinations of others."""
    X, columns, bases = list(model.observations.block.X), list(model.design.columns), list(model.bases)
    for i, (x, names) in changed.items():
        found = basis(x)
        kept = list(found.kept)
        X[i] = x if len(kept) == x.shape[1] else np.ascontiguousarray(x[:, kept])
        columns[i], bases[i] = tuple(names[j] for j in kept), found
    design = replace(model.design, columns=tuple(columns), infos=None, all_columns=(), left_out=())
    if isinstance(model.family, Categorical) and model.family.is_ordered:
        bases[0] = (basis if constants(model.family, design, X) is None else centred_basis)(X[0])
    observations = replace(model.observations, block=replace(model.observations.block, X=tuple(X)))
    return replace(model, design=design, observations=observations, bases=tuple(bases), aliased={})


# ------------------------------------------------------------------------------------------------ adding


def added(model: "Model", asked: str | Mapping[str, str], env: EvalEnvironment) -> "Model":
    """Return the model with more terms, whose columns come last.

    Parameters
    ----------
    asked : str or dict
        As in a formula, ``"+ x2 + C(g)"``: of the first parameter (of each, where they are unordered levels), or by
        parameter.
    env : patsy.EvalEnvironment
        Where names are looked up that are no columns of the data.

    Raises
    ------
    FormulaError
        If terms cannot be read, are missing in rows of the fit, or add nothing.
    """
    design = model.design
    alike = isinstance(model.family, Categorical) and not model.family.is_ordered
    by_param = {name: asked for name in design.params[: None if alike else 1]} if isinstance(asked, str) else asked
    unknown = [name for name in by_param if name not in design.params]
    if not model.has_null:
        raise ValueError(
            "a likelihood that is not a regression has no terms to add to it: give a function that has them"
        )
    if unknown:
        raise ValueError(f"terms for {', '.join(unknown)}: the parameters are {', '.join(design.params)}")
    changed = {}
    for param, text in by_param.items():
        i = design.params.index(param)
        x, names = _learned(model, _read(text), f"to add {text.strip()}", env)
        if i == 0 and isinstance(model.family, Categorical) and model.family.is_ordered:
            x, names = _beside_cutpoints(model.observations.block.X[0], x, names)
        changed[i] = np.column_stack([model.observations.block.X[i], x]), (*design.columns[i], *names)
    larger = with_matrices(model, changed)
    for i, (old, new) in enumerate(zip(design.columns, larger.design.columns, strict=True)):
        if new[: len(old)] != old:
            raise ValueError(f"the columns of {design.params[i]} are too close to collinear to add terms to them")
    if larger.design.names == design.names:
        raise FormulaError(f"{asked!r} adds nothing: its columns are combinations of those that the model has")
    return larger


def _beside_cutpoints(known: Array, x: Array, names: tuple[str, ...]) -> Matrix:
    """New columns without those that make up a constant with others: the cutpoints have that."""
    whole = basis(np.column_stack([np.ones(len(x)), known, x]))
    kept = [j - 1 - known.shape[1] for j in whole.kept if j > known.shape[1]]
    return x[:, kept], tuple(names[j] for j in kept)


def _read(text: Any) -> tuple[Term, ...]:
    if not isinstance(text, str) or not text.strip().startswith("+"):
        raise FormulaError(f"terms to add are written as in a formula, '+ x2', not {text!r}")
    parsed = formulas.parse(f"~ 0 {text}")
    if parsed.offsets or not parsed.rhs:
        raise FormulaError(f"{text!r} has no term: an offset has no coefficient to be tested")
    return factors.checked_terms(parsed.rhs)


def let_go(model: "Model", params: Array) -> tuple["Model", Array]:
    """Return the model that estimates what this one holds, and its coefficients at an estimate of this one.

    Raises
    ------
    ValueError
        If the columns of what is held are not at hand, or are combinations of others.
    """
    design, changed = model.design, {}
    offsets, X = list(model.observations.block.offset), model.observations.block.X
    values = {(h.param, h.column): h.value for h in held(model)}
    for i in sorted({h.param for h in held(model)}):
        here = [h for h in held(model) if h.param == i]
        columns = tuple(h.column for h in here)
        x = _held_columns(model, i, columns)
        offsets[i] = offsets[i] - x @ np.array([h.value for h in here])
        changed[i] = np.column_stack([X[i], x]), (*design.columns[i], *columns)
    observations = replace(model.observations, block=replace(model.observations.block, offset=tuple(offsets)))
    left = tuple(h for h in design.held if h not in held(model))
    larger = with_matrices(replace(model, design=replace(design, held=left), observations=observations), changed)
    if len(larger.design.names) < params.size + len(held(model)):
        raise ValueError(
            f"{', '.join(h.text for h in held(model))} cannot be tested: the column is a combination of others, so "
            "that any value fits as well"
        )
    pairs = ((i, name) for i, names in enumerate(design.columns) for name in names)
    values |= dict(zip(pairs, params, strict=True))
    return larger, np.array([values[i, name] for i, names in enumerate(larger.design.columns) for name in names])


def held(model: "Model") -> list[Held]:
    """Coefficients that are held because a call asked for it: an ordered response has no intercept in any case."""
    ordered = isinstance(model.family, Categorical) and model.family.is_ordered
    return [h for h in model.design.held if not (ordered and (h.param, h.column) == (0, "Intercept"))]


def _held_columns(model: "Model", i: int, columns: Sequence[str]) -> Array:
    if set(columns) == {"Intercept"}:
        return np.ones((len(model.observations.labels), 1))
    if model.design.infos is None:
        raise ValueError(f"a model made of arrays has no columns of what it holds ({', '.join(columns)}): lr_test has")
    info = model.design.infos[i]
    parts = factors.environments([info])
    names = formulas.variables([factor.code for factor in parts])
    table, _, used = _table(model, names, "to estimate what is held", None)
    (x,), _ = factors.build([info], factors.evaluate(parts, table).used(None if used.all() else used))
    return x[:, [info.column_names.index(name) for name in columns]]


def _learned(model: "Model", chosen: Sequence[Term], purpose: str, env: EvalEnvironment | None = None) -> Matrix:
    """Columns of some terms, learned from the rows in use.

    ``env`` is where names are looked up that are no columns of the data; None, where the fit knows them all.
    """
    observations, parts = model.observations, [factor for term in chosen for factor in term.factors]
    codes, labels = [factor.code for factor in parts], observations.labels
    names = formulas.variables(codes)
    if not names:
        return np.ones((len(labels), 1)), ("Intercept",)
    table, scope, given = _table(model, names, purpose, env)
    scope = formulas.scope_of(codes, table, scope)
    rows = factors.evaluate(dict.fromkeys(parts, scope), table)
    _refuse_missing({code: mask[given] for code, mask in rows.missing.items()}, names, labels)
    used = rows.used(None if given.all() else given)
    (info,) = factors.learn([tuple(chosen)], used, scope)
    (x,), more = factors.build([info], used)
    if more is not None:
        _refuse_missing({" + ".join(codes): more}, names, labels)
    refuse_infinite(x, info.column_names, labels)
    return x, tuple(info.column_names)


def _table(
    model: "Model", names: Sequence[str], purpose: str, env: EvalEnvironment | None
) -> tuple[Table, EvalEnvironment, Array]:
    """The data with some variables, where names are looked up beside them, and which rows are in use."""
    given, rows = model.observations.given, len(model.observations.labels)
    data, used = (None, np.ones(rows, dtype=bool)) if given is None else (given.data, given.used)
    known = next(iter(factors.environments(model.design.infos or []).values()), EvalEnvironment([{}]))
    scope = known if env is None else EvalEnvironment([known.namespace, env.namespace])
    scope = scope if model.trusted else untrusted.scope()
    found = {name: scope.namespace.get(name) for name in names}
    if data is None and not any(rows_shape(value)[:1] == (used.size,) for value in found.values()):
        raise ValueError(
            f"the data are needed {purpose}, and the fit has none (it was made of arrays or of variables, or "
            "unpickled): fit both models, and lr_test"
        )
    table = formulas.with_scope(None if data is None else as_table(data, names), names, scope)
    if len(table) != used.size or not (data is None or table.labels[used].equals(model.observations.labels)):
        raise ValueError(
            f"the data have other rows now, or another order of them, than in the fit, which had {used.size}: fit anew"
        )
    return table, scope, used


def _refuse_missing(lacking: Mapping[str, Array], names: Sequence[str], labels: pd.Index) -> None:
    for code, mask in lacking.items():
        if mask.any():
            raise FormulaError(
                f"{code} is missing in {int(mask.sum())} of the {mask.size} rows of the fit, the first labelled "
                f"{row_name(labels, mask)}, and two models are compared on the same rows: fit again to "
                f"data.dropna(subset={list(names)})"
            )
