"""From formulas to names, slices and rows: what the coefficients are called, and the matrices they multiply.

The names and the number of the coefficients are known before any fit.
"""

import pickle
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from patsy import DesignInfo, EvalEnvironment

from mlekit import formula as formulas
from mlekit.formula import FormulaError
from mlekit.links import Array
from mlekit.sources import Block, as_frame, column_names


@dataclass(frozen=True)
class Offset:
    """A known part of one parameter's linear predictor, remembered by expression.

    ``code`` is None for an offset that was handed over as an array: prediction on new rows then needs a new array.
    """

    param: str
    code: str | None
    exposure: bool = False


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
    success : str or None
        The level of a two-level response that counts as 1.
    offsets : tuple of Offset
    infos : list of patsy.DesignInfo or None
        What patsy learned, None for a design made of arrays.
    """

    formulas: Mapping[str, str]
    params: tuple[str, ...]
    response: str
    columns: tuple[tuple[str, ...], ...]
    success: str | None = None
    failure: str | None = None
    offsets: tuple[Offset, ...] = ()
    infos: list[DesignInfo] | None = field(default=None, repr=False, compare=False)
    all_columns: tuple[tuple[str, ...], ...] = ()

    @property
    def written(self) -> tuple[tuple[str, ...], ...]:
        """Columns as the formulas or the given matrices have them, with those that are not estimated."""
        return self.all_columns or self.columns

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all coefficients: plain for the first parameter, prefixed for the others."""
        first, *others = zip(self.params, self.columns, strict=True)
        return (*first[1], *(f"{param}_{name}" for param, names in others for name in names))

    @property
    def slices(self) -> tuple[slice, ...]:
        """Where each parameter's coefficients stand in the vector of all."""
        ends = np.cumsum([0, *(len(names) for names in self.columns)])
        return tuple(slice(int(a), int(b)) for a, b in zip(ends[:-1], ends[1:], strict=True))

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"infos": None if self.infos is None else formulas.freeze(self.infos)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        infos = state["infos"]
        self.__dict__.update(state | {"infos": None if infos is None else pickle.loads(infos)})

    def keep(self, kept: Sequence[Sequence[int]]) -> "Design":
        """Return the design with only some columns of each matrix."""
        chosen = zip(self.columns, kept, strict=True)
        columns = tuple(tuple(names[j] for j in js) for names, js in chosen)
        return replace(self, columns=columns, all_columns=self.columns)

    def matrices(self, data: Any) -> tuple[tuple[Array, ...], tuple[Array | None, ...], Array | None]:
        """Matrices and offsets of new rows, and the mask of incomplete rows (which are left out).

        Raises
        ------
        FormulaError
            If a column is missing, a factor has a level that the fit did not see, or values are not finite.
        """
        if self.infos is None:
            raise FormulaError("this model was made of arrays: predict takes a matrix, not a table")
        codes = [factor.name() for info in self.infos for factor in info.factor_infos]
        frame = as_frame(data, formulas.variables(codes))
        if frame is None:
            raise TypeError(f"predict needs a table with the columns {', '.join(formulas.variables(codes))}")
        arrays, missing = formulas.build(self.infos, frame, column_names(data))
        labels = frame.index if missing is None else frame.index[~missing]
        k = len(self.params)
        full = zip(arrays[:k], self.infos[:k], self.columns, strict=True)
        X = tuple(x[:, [info.column_names.index(name) for name in names]] for x, info, names in full)
        for x, names in zip(X, self.columns, strict=True):
            refuse_infinite(x, names, labels)
        written = [offset for offset in self.offsets if offset.code is not None]
        return X, sum_offsets(written, [a[:, 0] for a in arrays[k:]], self.params, labels), missing


@dataclass(frozen=True)
class Observations:
    """The complete rows of a table under a design.

    Attributes
    ----------
    block : Block
        All rows at once; ``block.cut()`` walks them.
    labels : pandas.Index
        Label of each row in the table.
    missing : int
        How many incomplete rows were left out.
    unweighted : int
        How many rows of weight zero were left out.
    """

    block: Block
    labels: pd.Index
    missing: int = 0
    unweighted: int = 0


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
        See :func:`mlekit.sources.as_frame`; what it lacks is looked up in ``env``.
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
    frame = formulas.with_scope(as_frame(data, names), names, env)
    labels = frame.index
    handed = {i: aligned(values, labels, request.what(i)) for i, values in request.handed.items()}
    known = () if data is None else column_names(data)
    infos, arrays, incomplete = _read(request, frame, env, known)
    masks = [np.isnan(values) for values in handed.values() if np.isnan(values).any()]
    masks += [] if incomplete is None else [incomplete]
    if masks:
        mask = np.logical_or.reduce(masks)
        _missing(mask, incomplete, frame, missing)
        # Read the complete rows alone, so that levels and centres are those of the rows in use.
        frame, labels = as_frame(frame[~mask]), labels[~mask]
        handed = {i: values[~mask] for i, values in handed.items()}
        infos, arrays, _ = _read(request, frame, env, known)
        masks = [mask]
    block, design = _assemble(request, texts, infos, arrays, handed, labels)
    return design, checked(block, design, labels, masks[0].size if masks else len(labels))


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
    def terms(self) -> list[tuple[Any, ...]]:
        """Term lists in the order of the matrices: one per parameter, the written offsets, the weights, the response."""
        written = [offset.code for offset in self.offsets if offset.code is not None]
        extra = [*written, *([] if self.weights is None else [self.weights])]
        return [*self.rhs, *(formulas.expression_term(code) for code in extra), self.lhs]

    @property
    def codes(self) -> list[str]:
        """Every expression that is evaluated."""
        return [code for terms in self.terms for code in formulas.codes_of(terms)]

    def what(self, i: int) -> str:
        """Name what was handed over, for messages."""
        return "weights" if i == _WEIGHTS else f"the offset of {self.offsets[i].param!r}"


def _request(
    texts: Mapping[str, str], params: Sequence[str], offsets: Mapping[str, Any], exposure: Any, weights: Any
) -> _Request:
    parsed = {param: formulas.parse(text) for param, text in texts.items()}
    lhs = parsed[params[0]].lhs
    if len(lhs) != 1 or not lhs[0].factors:
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
    handed = {i: value for i, (offset, value) in enumerate(entries) if offset.code is None}
    if weights is not None and not isinstance(weights, str):
        handed[_WEIGHTS] = weights
    return _Request(
        tuple(params),
        lhs,
        tuple(parsed[param].rhs for param in params),
        tuple(offset for offset, _ in entries),
        weights if isinstance(weights, str) else None,
        handed,
    )


def _read(
    request: _Request, frame: pd.DataFrame, env: EvalEnvironment, known: Sequence[str]
) -> tuple[list[DesignInfo], list[Array], Array | None]:
    infos = formulas.learn(request.terms, frame, env, known)
    return infos, *formulas.build(infos, frame, known)


def _missing(mask: Array, incomplete: Array | None, frame: pd.DataFrame, missing: str) -> None:
    """Say what there is to say about incomplete rows before they are dropped."""
    rows = frame.index[mask]
    if missing == "raise":
        raise FormulaError(
            f"{rows.size} of {mask.size} rows have missing values, the first labelled {rows[0]!r}: "
            "fill them in, drop them, or fit with missing='drop'"
        )
    if rows.size == mask.size:
        empty = [repr(name) for name, column in frame.items() if column.isna().all()]
        where = ", ".join(empty) or "one column or another"
        raise FormulaError(f"no rows left: all {mask.size} have a missing value in {where}")
    made = np.zeros_like(mask) if incomplete is None else incomplete & ~frame.isna().any(axis=1).to_numpy()
    if made.any():
        warnings.warn(
            f"the formula gives NaN in {int(made.sum())} rows where the data are not missing (the first is labelled "
            f"{frame.index[made][0]!r}), as the log of a negative number does: those rows were dropped",
            RuntimeWarning,
            stacklevel=5,
        )


def _assemble(
    request: _Request,
    texts: Mapping[str, str],
    infos: list[DesignInfo],
    arrays: list[Array],
    handed: Mapping[int, Array],
    labels: pd.Index,
) -> tuple[Block, Design]:
    k = len(request.params)
    y, success, failure = _response(arrays[-1], infos[-1])
    columns = tuple(tuple(info.column_names) for info in infos[:k])
    written = [offset for offset in request.offsets if offset.code is not None]
    # The response and the weights belong to the fit, not to the design: prediction does not ask for them.
    design = Design(
        dict(texts),
        request.params,
        request.lhs[0].name(),
        columns,
        success,
        failure,
        request.offsets,
        infos[: k + len(written)],
    )
    values = iter(arrays[k : k + len(written)])
    raw = [handed[i] if o.code is None else next(values)[:, 0] for i, o in enumerate(request.offsets)]
    weight = handed.get(_WEIGHTS) if request.weights is None else arrays[-2][:, 0]
    return Block(y, tuple(arrays[:k]), sum_offsets(request.offsets, raw, request.params, labels), weight), design


def sum_offsets(
    offsets: Sequence[Offset], raw: Sequence[Array], params: Sequence[str], labels: pd.Index
) -> tuple[Array | None, ...]:
    """Total offset of each parameter on the linear scale, None where it has none."""
    total: dict[str, Array] = {}
    for offset, values in zip(offsets, raw, strict=True):
        part = _offset_values(values, offset, labels)
        total[offset.param] = total[offset.param] + part if offset.param in total else part
    return tuple(total.get(param) for param in params)


def checked(block: Block, design: Design, labels: pd.Index, rows: int) -> Observations:
    """Refuse infinite values and negative weights, drop rows of weight zero, and count what is left."""
    for x, names in zip(block.X, design.columns, strict=True):
        refuse_infinite(x, names, labels)
    refuse_infinite(block.y[:, None], (design.response,), labels)
    missing = rows - len(labels)
    unweighted = 0
    if block.weight is not None:
        bad = ~(np.isfinite(block.weight) & (block.weight >= 0))
        if bad.any():
            raise ValueError(
                f"weights must be finite and not negative: row {labels[bad][0]!r} has {block.weight[bad][0]:g}"
            )
        used = block.weight > 0
        unweighted = int((~used).sum())
        if unweighted:
            block, labels = block.rows(used), labels[used]
    if block.y.size == 0:
        raise ValueError("no rows left: the data are empty, or every weight is zero")
    return Observations(block, labels, missing, unweighted)


def refuse_infinite(x: Array, names: Sequence[str], labels: pd.Index) -> None:
    """Raise for the first value of a matrix that is not finite, naming its column and row."""
    # One product finds any: a pass over a large matrix is worth saving.
    with np.errstate(all="ignore"):
        if np.isfinite(x.sum()) or np.isfinite(x).all():
            return
    row, column = (int(i[0]) for i in np.nonzero(~np.isfinite(x)))
    raise FormulaError(
        f"{names[column]} is {x[row, column]:g} in row {labels[row]!r}: mlekit fits finite numbers only. Drop the row, "
        "mark it missing (NaN), or change the transformation that made it infinite"
    )


def _response(array: Array, info: DesignInfo) -> tuple[Array, str | None, str | None]:
    """Return the response as numbers; a bool or two-level one as 0/1, with the levels that count as 1 and 0."""
    facts = next(iter(info.factor_infos.values()))
    if facts.type == "numerical":
        if array.shape[1] != 1:
            raise FormulaError(f"the response {info.column_names} has {array.shape[1]} columns: it needs one")
        return array[:, 0], None, None
    levels = facts.categories
    if len(levels) != 2:
        shown = ", ".join(map(repr, levels[:6])) + (", ..." if len(levels) > 6 else "")
        raise FormulaError(
            f"the response {facts.factor.name()} is text or categorical with {len(levels)} levels ({shown}): "
            "only one with two levels can be read as 0/1"
        )
    return np.ascontiguousarray(array[:, 1]), str(levels[1]), str(levels[0])


def aligned(values: Any, labels: pd.Index, what: str) -> Array:
    """Return values that were handed over beside the table, one per row of it, as floats."""
    if isinstance(values, pd.Series) and not values.index.equals(labels):
        raise ValueError(f"{what} given as a Series must have the same index as the data")
    array = np.asarray(values, dtype=float)
    if array.ndim == 0:
        array = np.full(len(labels), array)
    if array.shape != (len(labels),):
        raise ValueError(f"{what} must have one value per row: {array.shape} against {len(labels)} rows")
    return array


def _offset_values(raw: Array, offset: Offset, labels: pd.Index) -> Array:
    """Return an offset on the linear scale: the log of an exposure, anything else as it is."""
    if offset.exposure:
        bad = ~(raw > 0)
        if bad.any():
            raise ValueError(f"an exposure must be positive: row {labels[bad][0]!r} has {raw[bad][0]:g}")
        raw = np.log(raw)
    refuse_infinite(raw[:, None], (f"the offset {offset.code or ''}".strip(),), labels)
    return raw
