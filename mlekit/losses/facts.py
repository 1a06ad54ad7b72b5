"""Losses side by side: the table of what each does with errors, and what an outlier does to each."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from mlekit.losses.base import Loss
from mlekit.losses.sensitivity import SAMPLE, SOUND, Sensitivity


def comparison_table(losses: Sequence[Loss]) -> pd.DataFrame:
    """Compare losses: one row per loss, every cell from its facts."""
    rows = {loss.label: _row(loss) for loss in losses}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("loss")


def _row(loss: Loss) -> dict[str, str]:
    seen = loss.sensitivity
    return {
        "an error pulls": _weighing(loss, seen),
        "outliers": _outliers(loss, seen),
        f"share of a tenfold error in {SAMPLE}": f"{seen.share:.0%}",
        "loss rises": "" if seen.rise is None else f"{seen.rise:.2f} times",
        "outliers that carry it away": "none can" if seen.breaks is None else f"{seen.breaks} of {SOUND} rows",
        "unit": loss.unit,
        "constant minimiser": loss.minimiser,
        "likelihood": "none" if loss.likelihood is None else repr(loss.likelihood),
        "use when": _use(loss, seen),
    }


def _weighing(loss: Loss, seen: Sensitivity) -> str:
    """오차 민감도: how the pull of an error grows with its size."""
    if loss.kind == "probability":
        return "by the odds against what happened"
    text = _growth(seen.far)
    if seen.near is not None and seen.near != seen.far:
        text = f"{_growth(seen.near)} up to a point, then {text}"
    return text if seen.tilt == 1 else f"{text}; {seen.tilt:.3g} times as much above as below"


def _growth(power: float) -> str:
    known = {-math.inf: "not at all", 0.0: "alike, whatever its size", 1.0: "in proportion to its size"}
    return known.get(power, f"as its size to the power {power:g}")


def _outliers(loss: Loss, seen: Sensitivity) -> str:
    """이상치 민감도: whether one far response decides the estimate."""
    if loss.kind == "probability":
        return "none in y; sensitive to sure and wrong predictions"
    return "robust" if seen.robust else "sensitive"


def _use(loss: Loss, seen: Sensitivity) -> str:
    """사용 시점: what the facts recommend the loss for."""
    if loss.kind == "probability":
        return "y is 0 or 1, and its probability is wanted"
    if loss.kind == "density":
        return "that distribution is meant"
    if seen.tilt != 1:
        return "errors above and below do not cost the same: a quantile is wanted"
    if not seen.robust:
        read = ", and the loss is to be read in the unit of y" if seen.degree == 1 else ""
        return f"large errors are to count for more{read}"
    smooth = ", and a gradient everywhere is wanted" if not loss.kink else ""
    return f"there are outliers, and they are not to decide{smooth}"


def markdown(table: pd.DataFrame) -> str:
    """Write a table as Markdown.

    Examples
    --------
    >>> print(markdown(pd.DataFrame({"unit": ["that of y"]}, index=pd.Index(["mae"], name="loss"))))
    | loss | unit |
    |---|---|
    | mae | that of y |
    """
    rows = [[str(table.index.name or ""), *map(str, table.columns)], ["---"] * (table.shape[1] + 1)]
    rows += [[str(name), *map(str, row)] for name, row in zip(table.index, table.to_numpy(), strict=True)]
    cells = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    return "\n".join(f"|{'|'.join(row)}|" if row[0] == "---" else f"| {' | '.join(row)} |" for row in cells)


def outlier_table(losses: Sequence[Loss], y: Any, outlier: float, row: int) -> pd.DataFrame:
    """Compare constant minimisers without and with an outlier."""
    found = {}
    for loss in losses:
        clean = loss.responses(y)
        if not -clean.size <= row < clean.size:
            raise ValueError(f"row {row} is to become the outlier, and y has {clean.size} rows")
        dirty = clean.copy()
        dirty[row] = outlier
        before, after = loss.constant_minimiser(clean), loss.constant_minimiser(dirty)
        pulls = np.abs(loss.gradient(dirty, before))
        found[loss.label] = {
            "minimiser": loss.minimiser,
            "before": before,
            "after": after,
            "moved": after - before,
            "share of the pull": float(pulls[row] / pulls.sum()) if pulls.any() else 0.0,
            "loss before": loss.value(clean, before),
            "loss after": loss.value(dirty, after),
        }
    return pd.DataFrame.from_dict(found, orient="index").rename_axis("loss")
