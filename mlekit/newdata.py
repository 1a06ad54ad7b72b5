"""Rows to predict on: those of the fit, or new ones under the same design."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from mlekit.arrays import new_matrices
from mlekit.design import Design, Observations, aligned, sum_offsets
from mlekit.links import Array
from mlekit.predict import Rows


def rows_of(
    design: Design,
    observations: Observations,
    exog: Any,
    offsets: Mapping[str, Any],
    exposure: Any,
    new_levels: str = "raise",
) -> Rows:
    """Rows to predict on.

    Parameters
    ----------
    design, observations
        Those of the fit.
    exog : table, matrix, dict of matrices, or None
        New rows; None for those of the fit.
    offsets, exposure
        Arrays for the new rows, where the fit was given arrays.
    new_levels : {"raise", "nan"}
        What becomes of rows with a level that the fit did not see: refused, or counted as missing.

    Raises
    ------
    ValueError
        If columns do not fit, or an offset that the fit was given as an array is missing.
    """
    if new_levels not in ("raise", "nan"):
        raise ValueError(f"new_levels must be 'raise' or 'nan', not {new_levels!r}")
    if exog is None:
        if offsets or exposure is not None:
            raise ValueError("offset and exposure go with new rows: the rows of the fit have theirs")
        return Rows(observations.block.X, observations.block.offset, observations.labels)
    missing: Array | None = None
    if design.infos is None:
        X, written, labels = new_matrices(exog, design)
    else:
        X, written, missing = design.matrices(exog, new_levels == "nan")
        index = getattr(exog, "index", None)
        rows = len(X[0]) if missing is None else missing.size
        labels = index if isinstance(index, pd.Index) else pd.RangeIndex(rows)
    handed = _handed(design, offsets, exposure, labels, missing)
    total = tuple(b if a is None else a if b is None else a + b for a, b in zip(written, handed, strict=True))
    return _estimable(Rows(X, total, labels, missing))


def _estimable(rows: Rows) -> Rows:
    """Rows, with those that are not estimable, and so have no offsets, among those that are missing."""
    lost = next((np.isnan(offset) for offset in rows.offset if offset is not None and np.isnan(offset).any()), None)
    if lost is None:
        return rows
    missing = np.zeros(len(rows.labels), dtype=bool) if rows.missing is None else rows.missing.copy()
    missing[~missing] = lost
    offsets = tuple(None if offset is None else offset[~lost] for offset in rows.offset)
    return Rows(tuple(x[~lost] for x in rows.X), offsets, rows.labels, missing)


def _handed(
    design: Design, offsets: Mapping[str, Any], exposure: Any, labels: pd.Index, missing: Array | None
) -> tuple[Array | None, ...]:
    """Offsets handed over with new rows, which must be those that the fit was handed."""
    needed = [offset for offset in design.offsets if offset.code is None]
    found = []
    for offset in needed:
        values = exposure if offset.exposure else offsets.get(offset.param)
        if values is None:
            what = "exposure" if offset.exposure else f"offset of {offset.param}"
            raise ValueError(
                f"the fit was given an {what} as an array: predict needs one for the new rows "
                f"({'exposure' if offset.exposure else 'offset'}=...)"
            )
        array = aligned(values, labels, "the offset")
        found.append(array if missing is None else array[~missing])
    surplus = set(offsets) - {offset.param for offset in needed if not offset.exposure}
    if surplus or (exposure is not None and not any(offset.exposure for offset in needed)):
        raise ValueError("predict takes offsets and exposures as arrays only where the fit was given arrays")
    return sum_offsets(needed, found, design.params, labels if missing is None else labels[~missing])
