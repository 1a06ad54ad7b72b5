"""A model's rows, read once, and the same model on some of them: nothing is learned from the others.

Expressions that learn nothing are evaluated on all rows, as in a fit: a lag stays a lag. Levels, centres and spline
knots are those of the rows in use.
"""

import reprlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from patsy import DesignInfo, EvalEnvironment

from mlekit import factors
from mlekit.checks import offsets_of
from mlekit.families import GenericLikelihood
from mlekit.formula import FormulaError, scope_of, unknown_name, variables, with_scope
from mlekit.levels import labelled
from mlekit.links import Array
from mlekit.model import Model
from mlekit.observations import add_held, aligned, refuse_infinite, sum_offsets
from mlekit.sources import Block, Table, as_column, as_table, row_name

# What is left of a column that is said to be a combination of others, relative to the sizes of its terms.
_SAME = 1e-8
_MORE = "stratify= by that column, so that each fold has its share; take fewer folds; or merge rare levels"
# What to do where rows held out are unlike those trained on, by what the message says.
_REMEDIES = {
    "that the fit did not see": _MORE,
    "outermost knots": "tell bs() how far it reaches, as in bs(x, df=4, lower_bound=0, upper_bound=10), or use cr(), "
    "which goes on in straight lines",
}


@dataclass(frozen=True, eq=False)
class Reading:
    """A model with the values of its expressions on all complete rows.

    Made by :func:`read`.

    Attributes
    ----------
    model : Model
        The model of all complete rows.
    rows : factors.Rows
        Values of the expressions.
    scope : patsy.EvalEnvironment
        What the expressions use beside the data.
    handed : tuple of array
        The offsets and exposures that were given as arrays.
    positions : (n,) array of int
        Where the rows stand in the data as given, counted from 0.
    given : pandas.Index
        Labels of all rows of the data as given.
    """

    model: Model
    rows: factors.Rows
    scope: EvalEnvironment
    handed: tuple[Array, ...]
    positions: Array
    given: pd.Index

    def __len__(self) -> int:
        return self.positions.size

    @property
    def total(self) -> int:
        """How many rows the data have as given."""
        return len(self.given)

    @property
    def y(self) -> Array:
        """The response as numbers; a two-level one is coded the same on any rows."""
        return self.model.endog

    @property
    def weight(self) -> Array | None:
        """Frequency weights, or None."""
        return self.model.observations.block.weight

    @property
    def labels(self) -> pd.Index:
        """Labels of the rows."""
        return self.model.observations.labels

    def only(self, chosen: Array) -> "Reading":
        """Return the reading of the rows of a mask; what is learned is learned from them."""
        handed = tuple(values[chosen] for values in self.handed)
        return Reading(self.on(chosen), self.rows.used(chosen), self.scope, handed, self.positions[chosen], self.given)

    def on(self, chosen: Array) -> Model:
        """Return the model that knows the rows of a mask, and no others.

        Raises
        ------
        FormulaError
            If no columns can be made of these rows alone.
        ValueError
            If there are more coefficients than rows.
        """
        infos, part = self._infos, None
        if self._everywhere is None:
            self._refuse_neighbours(chosen)
            part = self.rows.used(chosen)
            infos = factors.learn([info.terms for info in infos], part, self.scope)
        X, offsets = self._matrices(infos, chosen, part)
        full, labels = self.model.design, self.labels[chosen]
        named = zip(full.params, X, infos, strict=False)
        made = Model.from_arrays(
            _labelled(labelled(self.model.family, self.y[chosen]), labels, full.response),
            {param: pd.DataFrame(x, labels, info.column_names, copy=False) for param, x, info in named},
            self.model.family,
            weights=None if self.weight is None else self.weight[chosen],
            offset={param: o for param, o in zip(full.params, offsets, strict=True) if o is not None},
            fixed=full.held,
        )
        own = {name: getattr(made.design, name) for name in ("columns", "all_columns", "left_out")}
        return replace(made, design=replace(full, infos=infos, **own))

    def block(self, model: Model, chosen: Array) -> Block:
        """Rows of a mask as a model of other rows sees them, for predictions.

        Raises
        ------
        FormulaError
            If they have a level that the model does not know, or vary where its own rows did not.
        """
        infos = model.design.infos or []
        try:
            X, offsets = self._matrices(infos, chosen)
        except FormulaError as error:
            remedy = next((what for phrase, what in _REMEDIES.items() if phrase in str(error)), None)
            raise FormulaError(f"{error}. What to do: {remedy}" if remedy else str(error)) from error
        labels = self.labels[chosen]
        offsets = add_held(model.design.held, [info.column_names for info in infos[: len(X)]], X, offsets)
        for i, (x, known, info, found) in enumerate(
            zip(X, model.observations.block.X, infos, model.bases, strict=False)
        ):
            held = {h.column for h in model.design.held if h.param == i}
            free = [j for j, name in enumerate(info.column_names) if name not in held]
            for j, coefficients in found.dropped.items():
                kept = x[:, [free[k] for k in found.kept]]
                _refuse_unknown(x[:, free[j]], kept, known, coefficients, info.column_names[free[j]], labels)
        columns = tuple(
            np.ascontiguousarray(x[:, [info.column_names.index(name) for name in names]])
            for x, info, names in zip(X, infos, model.design.columns, strict=False)
        )
        return Block(self.y[chosen], columns, offsets, None if self.weight is None else self.weight[chosen])

    # ------------------------------------------------------------------------------------ matrices

    @property
    def _infos(self) -> list[DesignInfo]:
        return self.model.design.infos or []

    @cached_property
    def _stateful(self) -> dict[factors.Factor, EvalEnvironment]:
        """The expressions that learn from their rows by a transform, such as ``center``."""
        return {f: env for f, env in factors.environments(self._infos).items() if f.is_learned(env)}

    @cached_property
    def _everywhere(self) -> list[Array] | None:
        """Matrices of all rows if nothing is learned from them, else None: their rows then serve for any part."""
        categorical = any(fact.type != "numerical" for info in self._infos for fact in info.factor_infos.values())
        return None if categorical or self._stateful else factors.build(self._infos, self.rows)[0]

    def _matrices(
        self, infos: list[DesignInfo], chosen: Array, part: factors.Rows | None = None
    ) -> tuple[tuple[Array, ...], tuple[Array | None, ...]]:
        """Matrix and total offset of each parameter on some rows; ``part`` are their values, where they are at hand."""
        design, labels = self.model.design, self.labels[chosen]
        if self._everywhere is not None:
            arrays = [array[chosen] for array in self._everywhere]
        else:
            arrays, missing = factors.build(infos, part or self.rows.used(chosen))
            if missing is not None:
                raise FormulaError(
                    f"the formula is NaN in row {row_name(labels, missing)}, where it is not among all rows: a "
                    "transform such as center() depends on which rows it learns from. Make that column before"
                )
        k = len(design.params)
        for x, info in zip(arrays[:k], infos[:k], strict=True):
            refuse_infinite(x, info.column_names, labels)
        written, handed = iter(arrays[k:]), iter(self.handed)
        raw = [next(handed)[chosen] if o.code is None else next(written)[:, 0] for o in design.offsets]
        return tuple(arrays[:k]), sum_offsets(design.offsets, raw, design.params, labels)

    def _refuse_neighbours(self, chosen: Array) -> None:
        """Refuse a lag and the like inside ``center()``: patsy works it out anew on whatever rows it is given."""
        every, part = (factors.Rows(table) for table in (self.rows.table, self.rows.table.rows(chosen)))
        for factor, env in self._stateful.items():
            for inner in factor.watched(env):
                if not set(variables((inner.code,))) & set(every.table.columns):
                    continue  # an option such as df=4
                known, here = (pd.DataFrame(inner.eval(inner.started(env), rows)) for rows in (every, part))
                if not known[chosen].reset_index(drop=True).equals(here):
                    raise FormulaError(
                        f"{inner.code} in {factor.code} depends on other rows, and is not the same once some are held "
                        f"out: make a column of it before, and use that in {factor.code}"
                    )


def _refuse_unknown(column: Array, kept: Array, known: Array, coefficients: Array, name: str, labels: pd.Index) -> None:
    """Refuse rows in which a column that was left out is not the combination of others that it was in the fit.

    ``column`` and ``kept`` are those of the rows held out, ``known`` the kept columns of the rows trained on.
    """
    size = np.abs(coefficients)
    typical = (np.abs(known) @ size).max(initial=0.0)  # a coefficient of 0 has rounded to something of no size at all
    off = np.abs(column - kept @ coefficients)
    broken = off > _SAME * (typical + np.abs(column) + np.abs(kept) @ size)
    if broken.any():
        raise FormulaError(
            f"{name} is a combination of other columns in the rows that are trained on, so it has no coefficient, "
            f"and it is not in {int(broken.sum())} of the rows held out, the first labelled "
            f"{row_name(labels, broken)}: nothing is known of its effect there. What to do: {_MORE}"
        )


# ------------------------------------------------------------------------------------------------ reading


def read(
    formula: str | Mapping[str, str],
    data: Any,
    family: GenericLikelihood,
    env: EvalEnvironment,
    *,
    weights: Any = None,
    offset: Any = None,
    exposure: Any = None,
    fixed: Mapping[str, float] | None = None,
    missing: str = "drop",
) -> Reading:
    """Read a table under formulas; see :func:`mlekit.fit` for the arguments.

    Raises
    ------
    FormulaError, ValueError
        As for a fit: everything that can be wrong with the model of all rows is found here.

    Examples
    --------
    >>> from mlekit.families import Normal
    >>> data = {"y": [1.0, 2.0, 4.0, 4.5, np.nan], "x": [0.0, 1.0, 2.0, 5.0, 9.0]}
    >>> reading = read("y ~ center(x)", data, Normal(), EvalEnvironment([{}]))
    >>> reading.on(np.array([True, True, True, False])).exog[:, 1].tolist()  # centred at 1
    [-1.0, 0.0, 1.0]
    """
    given = {"weights": weights, "offset": offset, "exposure": exposure, "fixed": fixed, "missing": missing}
    model = Model.from_formula(formula, data, family, env=env, **given)
    design, observations = model.design, model.observations
    names = tuple(dict.fromkeys([*variables((design.response,)), *design.variables]))
    table = with_scope(None if data is None else as_table(data, names), names, env)
    positions = _positions(table.labels, observations.labels)
    used = np.zeros(len(table), dtype=bool)
    used[positions] = True
    parts = factors.environments(design.infos or [])
    offsets = offsets_of(offset, model.family)
    handed = tuple(
        aligned(exposure if o.exposure else offsets[o.param], table.labels, "the offset")[used]
        for o in design.offsets
        if o.code is None
    )
    scope = scope_of([factor.code for factor in parts], table, env)
    rows = factors.evaluate(parts, table).used(None if used.all() else used)
    return Reading(model, rows, scope, handed, positions, table.labels)


def _positions(labels: pd.Index, used: pd.Index) -> Array:
    """Where the rows in use stand in the table."""
    if len(used) == len(labels):
        return np.arange(len(labels))
    if not labels.is_unique:
        raise ValueError(
            f"{len(labels) - len(used)} rows are left out (they have missing values, or no weight), and the labels of "
            "the rows are not unique, so folds cannot say which: data.reset_index(drop=True) numbers them"
        )
    return labels.get_indexer(used)


def row_labels(value: Any, what: str, reading: Reading, data: Any, env: EvalEnvironment) -> Array:
    """Labels of the rows in use by a column's name or an array, such as groups: as objects, none of them missing.

    Raises
    ------
    ValueError
        If there is no such column, or not one label for each row of the data as given.
    """
    if isinstance(value, str):
        table = with_scope(Table({}, reading.given) if data is None else as_table(data, [value]), [value], env)
        if value not in table.columns:
            raise FormulaError(f"{what}: {unknown_name(value, table.known)}")
        value = table.columns[value]
    column = as_column(value)
    if not isinstance(column, pd.Series):
        raise ValueError(f"{what} must be a column's name, or one label per row, not {reprlib.repr(value)}")
    if len(column) != reading.total:
        raise ValueError(f"{what} must have one label per row of the data: {len(column)} against {reading.total} rows")
    if isinstance(value, pd.Series) and not value.index.equals(reading.given):
        raise ValueError(f"{what} given as a Series must have the same index as the data")
    found = column.to_numpy(dtype=object)[reading.positions]
    absent = pd.isna(found)
    if absent.any():
        raise ValueError(
            f"{what}: {int(absent.sum())} rows have none, the first labelled {row_name(reading.labels, absent)}, and a "
            "row without a label belongs to no fold. Drop these rows, or give them a label"
        )
    return found


def _labelled(y: Array, labels: pd.Index, name: str) -> pd.Series | pd.DataFrame:
    return pd.Series(y, index=labels, name=name) if y.ndim == 1 else pd.DataFrame(y, index=labels)
