"""From formulas to names, slices and rows: what the coefficients are called, and the matrices they multiply.

The names and the number of the coefficients are known before any fit.
"""

import itertools
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from patsy import DesignInfo, EvalEnvironment
from statsmodels.tools.sm_exceptions import CollinearityWarning

from mlekit import factors
from mlekit import formula as formulas
from mlekit.estimable import LeftOut, astray, blank
from mlekit.formula import FormulaError, read_formulas
from mlekit.links import Array
from mlekit.messages import warn
from mlekit.naming import full_name, refuse_twins
from mlekit.observations import (
    Given,
    Held,
    Observations,
    Offset,
    add_held,
    aligned,
    checked,
    coded,
    names_of_two,
    refuse_infinite,
    sum_offsets,
)
from mlekit.sources import Block, Table, as_table, row_name


@dataclass(frozen=True)
class Design:
    """How a table becomes a response and one matrix per distribution parameter.

    Attributes
    ----------
    formulas : dict
        One formula per parameter; the first holds the response.
    params : tuple of str
        Names of the distribution parameters.
    response : str
        The response as the formula writes it.
    columns : tuple of tuple of str
        Names of the columns of each parameter's matrix.
    success : str, True or None
        The level of a two-level response that counts as 1.
    offsets : tuple of Offset
    held : tuple of Held
        Coefficients that are not estimated: their columns are part of the offsets.
    left_out : tuple of LeftOut
        Columns that are not estimated, as they are combinations of others.
    infos : list of patsy.DesignInfo or None
        What patsy learned, None for a design made of arrays.
    levels : tuple
        The levels of a response that is text or categorical.
    naming : str
        How the coefficients are called; see :mod:`mlekit.naming`.
    variables : dict
        The columns that prediction needs, with the dtype of those that are categorical.
    """

    formulas: Mapping[str, str]
    params: tuple[str, ...]
    response: str
    columns: tuple[tuple[str, ...], ...]
    success: str | bool | None = None
    failure: str | bool | None = None
    offsets: tuple[Offset, ...] = ()
    held: tuple[Held, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    infos: list[DesignInfo] | None = field(default=None, repr=False, compare=False)
    all_columns: tuple[tuple[str, ...], ...] = ()
    levels: tuple[Any, ...] = ()
    naming: str = "plain_first"
    variables: Mapping[str, pd.CategoricalDtype | None] = field(default_factory=dict, repr=False, compare=False)

    @property
    def written(self) -> tuple[tuple[str, ...], ...]:
        """Columns as the formulas or the given matrices have them, with those that are not estimated."""
        return self.all_columns or self.columns

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all coefficients: plain for the first parameter, prefixed for the others, if not named otherwise."""
        parts = enumerate(zip(self.params, self.columns, strict=True))
        return tuple(full_name(self.naming, i, param, name) for i, (param, names) in parts for name in names)

    @property
    def slices(self) -> tuple[slice, ...]:
        """Where each parameter's coefficients stand in the vector of all."""
        ends = np.cumsum([0, *(len(names) for names in self.columns)])
        return tuple(slice(int(a), int(b)) for a, b in itertools.pairwise(ends))

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"infos": None if self.infos is None else factors.freeze(self.infos)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        infos = state["infos"]
        self.__dict__.update(state | {"infos": None if infos is None else pickle.loads(infos)})

    def keep(self, kept: Sequence[Sequence[int]]) -> "Design":
        """Return the design with only some columns of each matrix."""
        chosen = zip(self.columns, kept, strict=True)
        columns = tuple(tuple(names[j] for j in js) for names, js in chosen)
        return replace(self, columns=columns, all_columns=self.written)

    def matrices(
        self, data: Any, others: bool = False, told: bool = True
    ) -> tuple[tuple[Array, ...], tuple[Any, ...], Array | None]:
        """Matrices and offsets of new rows, and the mask of incomplete rows (which are left out).

        What is not estimable is NaN, with a warning if ``told``.

        Raises
        ------
        FormulaError
            If a column is missing, a factor has a level that the fit did not see (with ``others`` such rows are
            incomplete), or values are not finite.
        """
        if self.infos is None:
            raise FormulaError("this model was made of arrays: predict takes a matrix, not a table")
        if data is None:
            raise TypeError(f"predict needs a table with the columns {', '.join(self.variables)}")
        table = as_table(data, self.variables).typed(self.variables)
        lacking = [name for name in self.variables if name not in table.columns]
        if lacking:
            raise FormulaError(
                f"{formulas.unknown_name(lacking, table.known)}; prediction needs all columns of the formulas"
            )
        rows = factors.evaluate(factors.environments(self.infos), table, others)
        complete = ~np.logical_or.reduce([np.zeros(len(table), dtype=bool), *rows.missing.values()])
        if not complete.any():
            empty = tuple(np.empty((0, len(names))) for names in self.columns)
            return empty, (None,) * len(empty), ~complete
        arrays, more = factors.build(self.infos, rows.used(complete), others)
        if more is not None:
            complete[complete] = ~more
        labels = table.labels[complete]
        k = len(self.params)
        full = zip(arrays[:k], self.infos[:k], self.columns, strict=True)
        X = tuple(x[:, [info.column_names.index(name) for name in names]] for x, info, names in full)
        for x, names in zip(X, self.columns, strict=True):
            refuse_infinite(x, names, labels)
        written = [offset for offset in self.offsets if offset.code is not None]
        offsets = sum_offsets(written, [a[:, 0] for a in arrays[k:]], self.params, labels)
        heads = [info.column_names for info in self.infos[:k]]
        offsets = add_held(self.held, heads, arrays[:k], offsets)
        X, offsets = blank(astray(self.left_out, arrays, heads, labels if told else None), X, offsets)
        return X, offsets, None if complete.all() else ~complete


def design_table(
    formula: str | Mapping[str, str],
    data: Any,
    params: Sequence[str],
    env: EvalEnvironment,
    *,
    offsets: Mapping[str, Any] | None = None,
    exposure: Any = None,
    weights: Any = None,
    missing: str = "drop",
) -> tuple[Design, Observations]:
    """Read a table under formulas: names, matrices, offsets and weights, cut by one mask.

    Parameters
    ----------
    formula : str or dict
        A formula for the first parameter, or one per parameter.
    data : table or None
        See :func:`mlekit.sources.as_table`; what it lacks is looked up in ``env``.
    params : sequence of str
        Names of the distribution parameters.
    env : patsy.EvalEnvironment
        The caller's scope.
    offsets : dict, optional
        Per parameter, an expression or an array.
    exposure, weights : str or array, optional
    missing : {"drop", "raise"}

    Raises
    ------
    FormulaError
        If the formulas do not fit the data.
    """
    texts = read_formulas(formula, params)
    request = _request(texts, params, offsets or {}, exposure, weights)
    names = formulas.variables(request.codes)
    table = formulas.with_scope(None if data is None else as_table(data, names), names, env)
    if not len(table):
        raise ValueError("no rows left: the data are empty")
    scope = formulas.scope_of(request.codes, table, env)
    rows = factors.evaluate(dict.fromkeys(request.parts, scope), table)
    handed = {i: aligned(values, table.labels, request.what(i)) for i, values in request.handed.items()}
    lacking = {request.what(i): np.isnan(values) for i, values in handed.items()} | dict(rows.missing)
    used = _complete(lacking, table, missing)
    _warn_of_made(rows.missing, table)
    unweighted = used & (request.weight(rows, handed) == 0)
    if not (used & ~unweighted).any():
        raise ValueError("no rows left: every weight is zero")
    infos, arrays, used = _learn(request, rows, scope, used & ~unweighted, missing)
    labels = table.labels[used]
    handed = {i: values[used] for i, values in handed.items()}
    block, design = _assemble(request, texts, infos, arrays, handed, table, labels)
    return design, checked(block, design, labels, Given(data, used), int(unweighted.sum()))


_WEIGHTS = -1


@dataclass(frozen=True)
class _Request:
    """What a call asks of a table: terms that patsy evaluates, and arrays that were handed over beside it.

    ``handed`` maps the position of an offset in ``offsets`` (or ``_WEIGHTS``) to its array.
    """

    params: tuple[str, ...]
    lhs: tuple[Any, ...]
    rhs: tuple[tuple[Any, ...], ...]
    offsets: tuple[Offset, ...]
    weights: str | None
    handed: dict[int, Any]

    @property
    def written(self) -> tuple[str, ...]:
        """Expressions of offsets."""
        return tuple(offset.code for offset in self.offsets if offset.code is not None)

    @property
    def terms(self) -> list[tuple[Any, ...]]:
        """Term lists in the order of the matrices: one per parameter, written offsets, weights, the response."""
        extra = [*self.written, *([] if self.weights is None else [self.weights])]
        return [*self.rhs, *(factors.number_term(code) for code in extra), self.lhs]

    @property
    def parts(self) -> list[factors.Factor]:
        """Everything that is evaluated, the response first."""
        return [factor for terms in (self.lhs, *self.terms) for term in terms for factor in term.factors]

    @property
    def codes(self) -> list[str]:
        """Every expression that is evaluated."""
        return [factor.code for factor in self.parts]

    def weight(self, rows: factors.Rows, handed: Mapping[int, Array]) -> Array | None:
        """Weights, as far as they are known before anything is learned."""
        if self.weights is None:
            return handed.get(_WEIGHTS)
        return rows.values.get(factors.Number(self.weights).key)

    def what(self, i: int) -> str:
        """Name what was handed over, for messages."""
        if i == _WEIGHTS:
            return "weights"
        return "the exposure" if self.offsets[i].exposure else f"the offset of {self.offsets[i].param!r}"


def _request(
    texts: Mapping[str, str], params: Sequence[str], offsets: Mapping[str, Any], exposure: Any, weights: Any
) -> _Request:
    parsed = {param: formulas.parse(text) for param, text in texts.items()}
    lhs = parsed[params[0]].lhs
    if len(lhs) != 1 or len(lhs[0].factors) != 1:
        raise FormulaError(f"the formula {texts[params[0]]!r} needs one response to the left of '~'")
    for param in params[1:]:
        if parsed[param].lhs:
            raise FormulaError(f"only the formula of {params[0]!r} has a response: {texts[param]!r}")
    unknown = set(offsets) - set(params)
    if unknown:
        raise ValueError(f"offset for {', '.join(unknown)}: the family's parameters are {', '.join(params)}")
    entries: list[tuple[Offset, Any]] = []
    for param, part in parsed.items():
        entries += [(Offset(param, code), code) for code in part.offsets]
    given = [(param, value, False) for param, value in offsets.items()]
    given += [] if exposure is None else [(params[0], exposure, True)]
    for param, value, is_exposure in given:
        entries.append((Offset(param, value if isinstance(value, str) else None, is_exposure), value))
    for code in (weights, *(value for _, value in entries)):
        if isinstance(code, str):
            formulas.syntax(code)
    handed = {i: value for i, (offset, value) in enumerate(entries) if offset.code is None}
    if weights is not None and not isinstance(weights, str):
        handed[_WEIGHTS] = weights
    return _Request(
        tuple(params),
        factors.checked_terms(lhs),
        tuple(factors.checked_terms(parsed[param].rhs) for param in params),
        tuple(offset for offset, _ in entries),
        weights if isinstance(weights, str) else None,
        handed,
    )


def _complete(lacking: Mapping[str, Array], table: Table, missing: str) -> Array:
    """Rows that lack nothing; say what there is to say about the others before they are left out.

    ``lacking`` has a mask for each expression, and for each array that was handed over beside the table.
    """
    mask = np.logical_or.reduce([np.zeros(len(table), dtype=bool), *lacking.values()])
    if mask.any() and missing == "raise":
        where = ", ".join(code for code, rows in lacking.items() if rows[np.argmax(mask)])
        raise FormulaError(
            f"{mask.sum()} of {mask.size} rows have missing values, the first labelled {row_name(table.labels, mask)} "
            f"({where}): fill them in, drop them, or fit with missing='drop'"
        )
    if mask.all():
        where = ", ".join(code for code, rows in lacking.items() if rows.all()) or "one variable or another"
        raise FormulaError(f"no rows left: all {mask.size} have a missing value in {where}")
    return ~mask


def _warn_of_made(lacking: Mapping[str, Array], table: Table) -> None:
    """Warn of rows that lack a value only because of what the formula does to them."""
    complete = ~table.missing(table.columns if lacking else ())
    for code, rows in lacking.items():
        made = rows & complete
        if made.any():
            warn(
                f"{code} is NaN where the data are not missing, as the log of a negative number is or a lag before the "
                f"first row: {made.sum()} row{'s' if made.sum() > 1 else ''} left out, the first labelled "
                f"{row_name(table.labels, made)}",
                RuntimeWarning,
            )


def _learn(
    request: _Request, rows: factors.Rows, scope: EvalEnvironment, used: Array, missing: str
) -> tuple[list[DesignInfo], list[Array], Array]:
    """Matrices of the rows in use. Where NaN comes up only now, once more without those rows."""
    for _ in range(2):
        chosen = rows.used(None if used.all() else used)
        infos = factors.learn(request.terms, chosen, scope)
        arrays, more = factors.build(infos, chosen)
        if more is None:
            return infos, arrays, used
        if more.all():
            break
        lacking = {"the formula": more}
        used = used.copy()
        used[used] = _complete(lacking, chosen.table, missing)
        _warn_of_made(lacking, chosen.table)
    raise FormulaError(
        "a transform such as center() is NaN again whenever rows that are NaN are left out, as it works on other rows' "
        "values or is itself in a log(): make that column before the fit"
    )


def _assemble(
    request: _Request,
    texts: Mapping[str, str],
    infos: list[DesignInfo],
    arrays: list[Array],
    handed: Mapping[int, Array],
    table: Table,
    labels: pd.Index,
) -> tuple[Block, Design]:
    k, known = len(request.params), len(request.written)
    y, levels = coded(arrays[-1], infos[-1])
    # The response and the weights belong to the fit, not to the design: prediction does not ask for them.
    needed = formulas.variables([*(f.code for f in factors.environments(infos[: k + known]))])
    dtypes = {name: getattr(table.columns[name], "dtype", None) for name in needed if name in table.columns}
    design = Design(
        dict(texts),
        request.params,
        request.lhs[0].name(),
        tuple(tuple(info.column_names) for info in infos[:k]),
        *names_of_two(levels),
        request.offsets,
        infos=infos[: k + known],
        levels=levels,
        variables={name: t if isinstance(t, pd.CategoricalDtype) else None for name, t in dtypes.items()},
    )
    _refuse_twins(design, infos)
    values = iter(arrays[k : k + known])
    raw = [handed[i] if o.code is None else next(values)[:, 0] for i, o in enumerate(request.offsets)]
    weight = handed.get(_WEIGHTS) if request.weights is None else arrays[-2][:, 0]
    return Block(y, tuple(arrays[:k]), sum_offsets(request.offsets, raw, request.params, labels), weight), design


def _refuse_twins(design: Design, infos: Sequence[DesignInfo]) -> None:
    """Refuse two coefficients of one name; warn of a factor that has no coefficient at all."""
    refuse_twins(design.names)
    for info in infos[: len(design.params)]:
        for name, where in info.term_name_slices.items():
            if where.start == where.stop:
                warn(f"{name} has one level in the rows that are used, so it has no coefficient", CollinearityWarning)
