"""The array door: a response and matrices, as they are, become a design and observations."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from mlekit.design import Design, Observations, Offset, aligned, checked, sum_offsets
from mlekit.estimable import astray, blank
from mlekit.links import Array
from mlekit.observations import Given, add_held
from mlekit.sources import Block, unmasked


def design_arrays(
    y: Any,
    X: Any,
    params: Sequence[str],
    *,
    names: Sequence[str] | None = None,
    weights: Any = None,
    offsets: Mapping[str, Any] | None = None,
    exposure: Any = None,
) -> tuple[Design, Observations]:
    """Read a response and one matrix, or a dict of matrices per parameter; a parameter without one gets an intercept.

    Raises
    ------
    ValueError
        If shapes do not fit.
    TypeError
        If an offset or exposure is an expression: there is no table to evaluate it on.
    """
    response = np.ascontiguousarray(unmasked(y), dtype=float)
    if response.ndim not in (1, 2):
        raise ValueError(f"y must have one dimension, or two for a response of several columns, not {response.ndim}")
    if response.ndim == 2 and response.shape[1] == 1:
        response = response[:, 0]
    rows = len(response)
    labels = y.index if isinstance(y, pd.Series | pd.DataFrame) else pd.RangeIndex(rows)
    matrices, columns = [], []
    given = _per_parameter(X, params)
    for i, param in enumerate(params):
        columns_of = given.get(param)
        if isinstance(columns_of, pd.DataFrame) and hasattr(y, "index") and not columns_of.index.equals(labels):
            raise ValueError(f"y and the matrix of {param} have different indexes: align them first")
        found, heads = matrix(columns_of, rows, names if i == 0 else None)
        matrices.append(found)
        columns.append(heads)
    entries = [(Offset(param, None), values) for param, values in (offsets or {}).items()]
    entries += [] if exposure is None else [(Offset(params[0], None, True), exposure)]
    if any(isinstance(values, str) for values in (*(v for _, v in entries), weights)):
        raise TypeError("a model made of arrays takes offset, exposure and weights as arrays, not as expressions")
    described = tuple(offset for offset, _ in entries)
    name = str(getattr(y, "name", None) or "y")
    design = Design({}, tuple(params), name, tuple(columns), offsets=described)
    totals = sum_offsets(described, [aligned(v, labels, "the offset") for _, v in entries], params, labels)
    weight = None if weights is None else aligned(weights, labels, "weights")
    block = Block(response, tuple(matrices), totals, weight)
    return design, checked(block, design, labels, Given(None, np.ones(rows, dtype=bool)))


def new_matrices(X: Any, design: Design) -> tuple[tuple[Array, ...], tuple[Array | None, ...], pd.Index]:
    """Matrices of new rows for a design made of arrays, what is held of them, and the rows' labels.

    What is not estimable is NaN, with a warning.

    Raises
    ------
    ValueError
        If a parameter's matrix is missing, or has other columns than that of the fit.
    """
    given = _per_parameter(X, design.params)
    first = next(iter(given.values()))
    labels = first.index if isinstance(first, pd.DataFrame) else pd.RangeIndex(len(np.atleast_1d(first)))
    found, full = [], []
    for param, written, kept in zip(design.params, design.written, design.columns, strict=True):
        if param not in given and written != ("Intercept",):
            raise ValueError(f"the fit was given a matrix for {param}: predict needs one too, as X={{{param!r}: ...}}")
        columns = given.get(param)
        if isinstance(columns, pd.DataFrame):
            absent = [name for name in written if name not in columns]
            if absent:
                raise ValueError(f"the new rows lack {', '.join(absent)}: the fit has {', '.join(written)}")
            columns = columns[list(written)]
        x, _ = matrix(columns, len(labels), written)
        full.append(x)
        found.append(np.ascontiguousarray(x[:, [written.index(name) for name in kept]]))
    offsets = add_held(design.held, design.written, full, (None,) * len(full))
    return *blank(astray(design.left_out, full, design.written, labels), found, offsets), labels


def matrix(X: Any, rows: int, names: Sequence[str] | None) -> tuple[Array, tuple[str, ...]]:
    """Return a matrix with names for its columns; an intercept where there is none."""
    if X is None:
        return np.ones((rows, 1)), ("Intercept",)
    heads = tuple(map(str, X.columns)) if isinstance(X, pd.DataFrame) else None
    found = np.ascontiguousarray(unmasked(X), dtype=float)
    if found.ndim == 1:
        found = found[:, None]
    if found.ndim != 2 or found.shape[0] != rows:
        raise ValueError(f"the matrix has shape {found.shape}: it needs two dimensions and {rows} rows")
    chosen = tuple(names) if names is not None else heads or tuple(f"x{j + 1}" for j in range(found.shape[1]))
    if len(chosen) != found.shape[1] or len(set(chosen)) != len(chosen):
        raise ValueError(f"a matrix of {found.shape[1]} columns needs as many different names: {', '.join(chosen)}")
    return found, chosen


def _per_parameter(X: Any, params: Sequence[str]) -> dict[str, Any]:
    if not isinstance(X, Mapping):
        return {params[0]: X}
    unknown = set(X) - set(params)
    if unknown or params[0] not in X:
        raise ValueError(
            f"matrices for {', '.join(map(str, X))}: the family's parameters are {', '.join(params)}, "
            f"and {params[0]!r} needs one"
        )
    return dict(X)
