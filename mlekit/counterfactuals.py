"""The rows of a fit with other values in some variables: what of them is a number, what has levels."""

import itertools
import math
import numbers
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mlekit import factors
from mlekit.design import Design, aligned
from mlekit.estimable import astray, blank
from mlekit.formula import FormulaError, unknown_name, variables
from mlekit.links import Array
from mlekit.matrix_slopes import is_levels, matrix_slopes, reference_level
from mlekit.observations import add_held
from mlekit.sources import Table, as_table

if TYPE_CHECKING:
    from mlekit.model import Model


@dataclass(frozen=True)
class Matrices:
    """Matrices and offsets of rows, one for each parameter."""

    X: tuple[Array, ...]
    offset: tuple[Array | None, ...]

    def times(self, beta: Array, slices: Sequence[slice]) -> tuple[Array, ...]:
        """Linear predictors, or their derivatives if these are derivatives."""
        parts = zip(self.X, self.offset, slices, strict=True)
        # At the limit of a parameter a coefficient is infinite: zeros of a column are not to make NaN of it.
        sums = ((x @ beta[where] if x.any() else np.zeros(len(x)), offset) for x, offset, where in parts)
        return tuple(total if offset is None else total + offset for total, offset in sums)


@dataclass(frozen=True)
class Scene:
    """Data under the design of a fit, whose variables can be given other values.

    Attributes
    ----------
    design : Design
    table : Table
        All rows, (N,), with the variables of the formulas.
    used : (N,) array of bool
    weight : (n,) array
        Weight of each row in use.
    handed : tuple
        Offsets that were handed over as arrays, for each parameter an (n,) array or None.
    lost : int
        How many rows were left out because values are missing.
    """

    design: Design
    table: Table
    used: Array
    weight: Array
    handed: tuple[Array | None, ...]
    lost: int = 0

    def matrices(self, told: bool = False) -> Matrices:
        """Matrices and offsets of the rows in use; NaN, with a warning if ``told``, where these are not estimable."""
        X, written, missing = self.design.matrices(dict(self.table.columns), others=True, told=told)
        complete = np.ones(len(self.table), dtype=bool) if missing is None else ~missing
        if not complete[self.used].all():
            raise ValueError("a variable has no value, or a level that the fit did not see, in a row that is used")
        among = self.used[complete]
        return Matrices(
            tuple(x[among] for x in X), _added([None if o is None else o[among] for o in written], self.handed)
        )

    def slopes(self, variable: str, limits: tuple[float, float]) -> Matrices:
        """Derivatives of matrices and offsets in a variable; offsets that were handed over do not move."""
        design = self.design
        infos = design.infos
        assert infos is not None
        k = len(design.params)
        full = matrix_slopes(infos, self.table, self.used, variable, limits)
        names = [info.column_names for info in infos[:k]]
        X = tuple(
            x[:, [each.index(name) for name in kept]]
            for x, each, kept in zip(full[:k], names, design.columns, strict=True)
        )
        parts: list[Array | None] = [None] * k
        for offset, slope in zip([o for o in design.offsets if o.code is not None], full[k:], strict=True):
            i = design.params.index(offset.param)
            moved = slope[:, 0]
            if offset.exposure and moved.any():
                moved = moved / self._exposure(offset.code)
            parts[i] = moved if parts[i] is None else parts[i] + moved
        moved_too = add_held(design.held, names, full[:k], parts)
        return Matrices(*blank(astray(design.left_out, full, names, slopes=True), X, moved_too))

    def _exposure(self, code: Any) -> Array:
        envs = factors.environments(self.design.infos or ())
        values = factors.evaluate(envs, self.table).used(self.used).values
        return np.asarray(values[factors.Number(code).key], dtype=float)

    def at(self, values: Mapping[str, Any]) -> "Scene":
        """Return the same rows with one value in each of some variables."""
        columns = dict(self.table.columns)
        for name, value in values.items():
            columns[name] = _constant(columns[name], value)
        return replace(self, table=Table(columns, self.table.labels, self.table.known))

    def moved(self, name: str, by: float) -> "Scene":
        """Return the same rows with a number added to a variable."""
        column = pd.Series(self.numbers(name) + by, self.table.labels)
        return replace(self, table=Table({**self.table.columns, name: column}, self.table.labels, self.table.known))

    def numbers(self, name: str) -> Array:
        """All values of a variable of numbers."""
        refuse_matrix(name, self.table.columns[name])
        self._number(name, self.table.columns[name].iloc[:0])
        return np.asarray(self.table.columns[name].to_numpy(float, na_value=np.nan))

    def limits(self, name: str) -> tuple[float, float]:
        """Range of a variable of numbers, in the rows in use."""
        values = self.numbers(name)[self.used]
        return float(values.min()), float(values.max())

    # ------------------------------------------------------------------------------------ one row that stands for all

    def mean(self) -> "Scene":
        """One row: numbers and dates at their weighted means, other variables at their most frequent level."""
        weight = self.weight / self.weight.sum()
        columns = {}
        for name, column in self.table.columns.items():
            refuse_matrix(name, column)
            values = column[self.used]
            if self.is_discrete(name):
                levels = values.drop_duplicates().tolist()
                counts = [weight[(values == level).to_numpy()].sum() for level in levels]
                best = max(counts)
                known = self.levels(name)
                value = next(v for v in known if v in levels and counts[levels.index(v)] == best)
            elif values.dtype.kind == "M":  # in days, as nanoseconds have more digits than a float
                days = (values - values.iloc[0]) / pd.Timedelta(days=1)
                value = values.iloc[0] + pd.Timedelta(days=float(weight @ days.to_numpy()))
            else:
                value = float(weight @ self._number(name, values))
            columns[name] = _constant(column.iloc[:1], value)
        labels = pd.RangeIndex(1)
        columns = {name: column.set_axis(labels) for name, column in columns.items()}
        handed = tuple(None if o is None else np.array([weight @ o]) for o in self.handed)
        one = np.ones(1)
        return Scene(self.design, Table(columns, labels, self.table.known), one > 0, one, handed)

    @staticmethod
    def _number(name: str, values: pd.Series) -> Array:
        if values.dtype.kind not in "iuf":
            raise ValueError(
                f"{name} is {values.dtype}, and no number: leave it out of variables=, or name its value in at="
            )
        return values.to_numpy(float)

    # ------------------------------------------------------------------------------------ what variables are

    def is_discrete(self, name: str) -> bool:
        """Whether a variable has levels: text, categorical or boolean in the data, or coded in a formula."""
        dtype = self.table.columns[name].dtype
        if isinstance(dtype, pd.CategoricalDtype) or dtype.kind in "Ob":
            return True
        return any(fact.type == "categorical" for _, fact in self._coding(name))

    def _coding(self, name: str) -> Iterator[tuple[Any, Any]]:
        for info in self.design.infos or ():
            for factor, fact in info.factor_infos.items():
                if is_levels(factor.code, name):
                    yield factor, fact

    def levels(self, name: str) -> tuple[Any, ...]:
        """Levels of a variable, the reference level first: that of its coding, or else the first in the data."""
        known = next((f.categories for _, f in self._coding(name) if f.type == "categorical"), None)
        if known is None:
            values = self.table.columns[name][self.used].dropna()
            own = values.dtype
            present = set(values.drop_duplicates().tolist())
            ordered = own.categories.tolist() if isinstance(own, pd.CategoricalDtype) else sorted(present)
            known = [level for level in ordered if level in present]
        reference = reference_level(self.design.infos or (), [f for f, _ in self._coding(name)])
        first = 0 if reference is None else reference
        return (known[first], *known[:first], *known[first + 1 :])

    def variables(self) -> list[str]:
        """What has an effect beside offsets, in the order of the formulas."""
        infos = (self.design.infos or [])[: len(self.design.params)]
        names = variables([factor.code for info in infos for factor in info.factor_infos])
        return [name for name in names if name in self.table.columns]

    def require(self, name: Any) -> None:
        """Refuse what is no variable of the formulas."""
        if name not in self.table.columns:
            raise FormulaError(
                f"{unknown_name(str(name), list(self.table.columns)).partition(';')[0]}: the variables of the "
                f"formulas are {', '.join(self.table.columns)}"
            )

    def checked(self, name: str, value: Any) -> Any:
        """Return a value that a variable can have: one of its levels, or a number."""
        self.require(name)
        value = value.item() if isinstance(value, np.generic) else value
        if self.is_discrete(name):
            levels = self.levels(name)
            if not any(value == level for level in levels):
                raise ValueError(f"{name} has no level {value!r}: it has {', '.join(map(repr, levels))}")
            return next(level for level in levels if value == level)
        refuse_matrix(name, self.table.columns[name])
        if isinstance(value, bool) or not isinstance(value, numbers.Real) or not math.isfinite(value):
            raise ValueError(f"{name} is a number: it cannot be {value!r}")
        return value


def refuse_matrix(name: str, column: Any) -> None:
    """Refuse a variable of several columns."""
    if not isinstance(column, pd.Series):
        raise ValueError(f"{name} is a matrix of several columns: give each a name of its own in the data")


def _constant(column: pd.Series, value: Any) -> pd.Series:
    """Return a column of one value, of the same kind."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        return pd.Series(pd.Categorical([value] * len(column), dtype=column.dtype), column.index)
    return pd.Series([value] * len(column), column.index, dtype=object if column.dtype.kind == "O" else None)


def _added(a: Sequence[Array | None], b: Sequence[Array | None]) -> tuple[Array | None, ...]:
    return tuple(y if x is None else x if y is None else x + y for x, y in zip(a, b, strict=True))


def grid(scene: Scene, at: Any) -> list[dict[str, Any]]:
    """All combinations of the values in ``at``; one empty one for None.

    Raises
    ------
    ValueError
        If a variable is unknown, or a value impossible.
    """
    if at is None:
        return [{}]
    if not isinstance(at, Mapping) or not at:
        raise ValueError(f"at is None, 'mean', or values by variable, as at={{'x': [0, 1]}}, not {at!r}")
    lists = []
    for name, values in at.items():
        several = np.ndim(values) == 1 and not isinstance(values, str)
        lists.append([scene.checked(name, value) for value in (values if several else [values])])
        if not lists[-1]:
            raise ValueError(f"at={{{name!r}: ...}} has no values")
    return [dict(zip(at, values, strict=True)) for values in itertools.product(*lists)]


def scene_of(model: "Model", data: Any, weights: Any, offset: Any, exposure: Any) -> Scene:
    """The data of a fit, or others.

    Raises
    ------
    ValueError
        If the data are not at hand, have changed since the fit, or lack weights or offsets.
    """
    design, observations = model.design, model.observations
    if design.infos is None:
        raise ValueError(
            "this model was made of arrays, and what their columns are made of is not known: fit by a formula and a "
            "table, as in mlekit.fit('y ~ x + I(x**2)', data), to get marginal effects"
        )
    if not design.variables:
        raise ValueError("there is no variable to have an effect: the formulas have none")
    if data is not None:
        return _new_scene(model, data, weights, offset, exposure)
    if weights is not None or offset is not None or exposure is not None:
        raise ValueError("weights, offset and exposure go with data=: the rows of the fit have theirs")
    given = observations.given
    table = None if given is None or given.data is None else as_table(given.data, design.variables)
    lacking = list(design.variables) if table is None else [n for n in design.variables if n not in table.columns]
    if lacking or table is None or given is None:
        raise ValueError(
            f"the fit does not have the data that it was made of ({', '.join(lacking) or 'a table'}: it was unpickled, "
            "or used variables in scope): pass them, as marginal_effects(data=...)"
        )
    block = observations.block
    table = table.typed(design.variables)
    scene = Scene(design, table, given.used, block.each, (None,) * len(design.params))
    made = scene.matrices()
    handed = _handed(design, block.offset, made.offset)
    totals = [o for o in _added(made.offset, handed) if o is not None]
    pairs = [*zip(made.X, block.X, strict=True), *zip(totals, [o for o in block.offset if o is not None], strict=True)]
    if not all(a.shape == b.shape and np.allclose(a, b, rtol=1e-9, atol=0.0) for a, b in pairs):
        raise ValueError(
            "the data have changed since the fit: fit again, or pass those that effects are wanted of, as data=..."
        )
    return replace(scene, handed=handed)


def _handed(design: Design, total: Sequence[Array | None], written: Sequence[Array | None]) -> tuple[Array | None, ...]:
    """Part of the offsets that was handed over as arrays."""
    params = {offset.param for offset in design.offsets if offset.code is None}
    parts = zip(design.params, total, written, strict=True)
    return tuple(None if p not in params or t is None else t if w is None else t - w for p, t, w in parts)


def _new_scene(model: "Model", data: Any, weights: Any, offset: Any, exposure: Any) -> Scene:
    design = model.design
    rows = model.rows(data, offset, exposure)
    table = as_table(data, design.variables).typed(design.variables)
    used = np.ones(len(table), dtype=bool) if rows.missing is None else ~rows.missing
    if not used.any():
        raise ValueError("no rows left: every row of the data lacks a value")
    weight = new_weights(model, data, weights, table, used)
    scene = Scene(design, table, used, weight, (None,) * len(design.params), int((~used).sum()))
    return replace(scene, handed=_handed(design, rows.offset, scene.matrices().offset))


def new_weights(model: "Model", data: Any, weights: Any, table: Table, used: Array) -> Array:
    """Weights of the rows of other data that are used; ones where none are given.

    Raises
    ------
    ValueError
        If the fit is weighted and none are given, or they are no weights.
    """
    if weights is None:
        if model.observations.block.weight is not None:
            raise ValueError("the fit is weighted: pass weights= with data=, a column or an array (weights=1 for none)")
        return np.ones(int(used.sum()))
    column = as_table(data, [weights]).columns.get(weights) if isinstance(weights, str) else weights
    if column is None:
        raise ValueError(unknown_name(weights, table.known))
    weight = aligned(column, table.labels, "weights")[used]
    if not (np.isfinite(weight) & (weight >= 0)).all() or not weight.any():
        raise ValueError("weights must be finite and not negative, and not all zero")
    return weight
