"""How losses weigh errors, measured on the losses themselves and not declared; what an outlier does to each."""

import bisect
import math
import operator
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mlekit.links import Array
from mlekit.messages import warn

if TYPE_CHECKING:
    from mlekit.losses.base import Loss

#: Rows of the sample in which one error is ten times the others.
SAMPLE = 20
#: Rows of the sample that outliers are to carry away.
SOUND = 100
# A small and a large error, of which floats can hold the fifth power.
_SMALL, _LARGE = 1e-60, 1e60


@dataclass(frozen=True)
class Sensitivity:
    """How a loss weighs errors.

    The *pull* of a row is the size of the gradient in its prediction, compared with that of a row that misses by 1 in
    the same sample. At the minimum all pulls balance, so it is these that decide where the minimum is.

    Attributes
    ----------
    degree : float or None
        The loss of c y and c yhat is ``c**degree`` times that of y and yhat; None where that has no meaning.
    near, far : float
        Power of its size with which the pull of a small and of a large error grows: 1 in proportion, 0 not at all,
        minus infinity where there is no pull, infinity where it grows faster than any power. Of errors above and below
        the prediction, the larger. ``near`` is None except for losses of the residual.
    tilt : float
        Pull of an error of 1 above the prediction over that of one below; 1 where there are none below.
    share : float
        Share of the pull that one row takes whose error is 10, and that of 19 others 1.
    rise : float or None
        What the loss is multiplied by when one of 20 errors of 1 becomes 10; None where the loss has no natural zero.
    breaks : int or None
        How many of 100 rows it takes, moved far away, to carry the constant minimiser away with them; None where no
        number does, or y cannot be far away.
    """

    degree: float | None
    near: float | None
    far: float
    tilt: float
    share: float
    rise: float | None
    breaks: int | None

    @property
    def robust(self) -> bool:
        """Whether the pull of an error is bounded, however large the error."""
        return self.far <= 0


def measure(loss: "Loss") -> Sensitivity:
    """Measure how a loss weighs errors.

    Raises
    ------
    ValueError
        If the loss is not what its ``kind`` says, or not defined for the errors that are tried.

    Examples
    --------
    >>> from mlekit.losses import MAE, MSE, RMSE
    >>> [measure(loss).robust for loss in (MAE(), MSE(), RMSE())]
    [True, False, False]
    >>> [round(measure(loss).rise, 2) for loss in (MAE(), MSE(), RMSE())]
    [1.45, 5.95, 2.44]
    """
    check_kind(loss)
    sides = [side for side in (1.0, -1.0) if loss.in_support(np.full(1, loss.missed(side * _LARGE)[0])).all()]
    sides = sides[:1] if loss.kind == "probability" else sides or [1.0]
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)  # what overflows here is no one's data
        pulls = np.abs(loss.gradient(*_sample(loss, 10.0)))
        if not pulls[0] > 0:
            raise ValueError(f"the sensitivity of {loss!r} cannot be measured: an error of 1 does not pull")
        return Sensitivity(
            degree=degree(loss),
            near=max(_power(loss, side * _SMALL) for side in sides) if loss.kind == "residual" else None,
            far=max(_power(loss, side * _LARGE) for side in sides),
            tilt=round(_pull(loss, 1.0) / _pull(loss, sides[-1]), 12),
            share=float(pulls[-1] / pulls.sum()),
            rise=None if loss.kind == "density" else _rise(loss),
            breaks=_breaks(loss),
        )


def check_kind(loss: "Loss") -> None:
    """Raise if a loss is said to be one of the residual, and depends on y and yhat beside."""
    if loss.kind != "residual":
        return
    near, far = (_sample(loss, 3.0, base) for base in (0.0, 2.0))
    if not math.isclose(loss.value(*near), loss.value(*far), rel_tol=1e-9):
        raise ValueError(
            f"{loss!r} is no loss of the error y - yhat alone: it is another when 2 is added to both. A loss that "
            "weighs errors by the size of y has no sensitivity to errors as such, and no curve over them"
        )


def _sample(loss: "Loss", size: float, base: float = 0.0) -> tuple[Array, Array]:
    """Rows that all miss by 1, but for the last."""
    y, yhat = np.array([*[loss.missed(1.0)] * (SAMPLE - 1), loss.missed(size)]).T + base
    if not loss.in_support(y).all():
        raise ValueError(
            f"the sensitivity of {loss!r} cannot be measured: its response must be {loss.support_text}, and so cannot "
            f"miss by {size:g}"
        )
    return y.copy(), yhat.copy()


def _rise(loss: "Loss") -> float:
    return loss.value(*_sample(loss, 10.0)) / loss.value(*_sample(loss, 1.0))


def _pull(loss: "Loss", size: float) -> float:
    gradient = loss.gradient(*_sample(loss, size))
    return abs(float(gradient[-1] / gradient[0]))


def _power(loss: "Loss", size: float) -> float:
    """Power with which the pull grows about a size of the error."""
    pull, next_pull = _pull(loss, size), _pull(loss, 10 * size)
    if not math.isfinite(next_pull):
        return math.inf
    return round(math.log10(next_pull / pull), 6) + 0.0 if pull and next_pull else -math.inf


def degree(loss: "Loss") -> float | None:
    """Power with which the loss grows when everything that is measured in the unit of y does; None if with none.

    Examples
    --------
    >>> from mlekit.losses import MSE, BinaryCrossEntropy, Huber
    >>> [degree(loss) for loss in (MSE(), Huber(delta=3.0), BinaryCrossEntropy())]
    [2, 2, None]
    """
    y, yhat = np.array([1.0, 2.0, 5.0, 3.0]), np.array([0.5, 3.0, 1.0, 3.5])
    if loss.kind != "residual" or not loss.in_support(y).all() or loss.domain[0] > 0 or loss.domain[1] < math.inf:
        return None
    powers = set()
    for factor in (0.25, 2.0, 8.0):
        ratio = loss.rescaled(factor).value(factor * y, factor * yhat) / (loss.value(y, yhat) or math.nan)
        powers.add(round(math.log2(ratio) / math.log2(factor), 9) if 0 < ratio < math.inf else math.nan)
    power = powers.pop()
    if powers or math.isnan(power):
        return None
    return int(power) if power == int(power) else power


def _breaks(loss: "Loss") -> int | None:
    """How many of the rows have to be far away for the constant minimiser to depend on how far."""
    y = np.arange(1.0, SOUND + 1)
    if not loss.in_support(y).all():
        return None
    sides = [side for side in (1.0, -1.0) if loss.in_support(np.full(1, 1e9 * side)).all()]

    def carried(count: int) -> bool:
        for side in sides:
            near, far = (
                loss.constant_minimiser(np.concatenate([np.full(count, side * place), y[count:]]))
                for place in (1e9, 1e12)
            )
            if not abs(near - far) <= 1e-3 * abs(near):  # or infinite
                return True
        return False

    first = bisect.bisect_left(range(1, SOUND + 1), True, key=carried)  # more outliers carry it away all the more
    return None if first == SOUND else first + 1


# -------------------------------------------------------------------------------------------- losses side by side


def comparison_table(losses: "Sequence[Loss]") -> pd.DataFrame:
    """Compare losses: one row per loss, every cell from its facts; where one has none, a warning says why."""
    measured = [_try_to_measure(loss) for loss in losses]
    reasons = [seen for seen in measured if isinstance(seen, str)]
    if len(reasons) == len(losses):
        raise ValueError("; ".join(reasons))
    if reasons:
        warn(f"some cells of the table are empty: {'; '.join(reasons)}", UserWarning)
    rows = [_row(loss, seen) for loss, seen in zip(losses, measured, strict=True)]
    columns = [*max(rows, key=lambda row: len(row))]
    return _by_label(losses, rows)[columns].fillna("")


def _try_to_measure(loss: "Loss") -> Sensitivity | str:
    """Return the sensitivity of a loss, or why it has none."""
    try:
        return loss.sensitivity
    except ValueError as error:
        return str(error)


def _by_label(losses: "Sequence[Loss]", rows: list[dict[str, Any]]) -> pd.DataFrame:
    return pd.DataFrame(rows, index=pd.Index([loss.label for loss in losses], name="loss"))


def _row(loss: "Loss", seen: Sensitivity | str) -> dict[str, str]:
    likelihood = "none" if loss.likelihood is None else repr(loss.likelihood)
    own = {"unit": loss.unit, "constant minimiser": loss.minimiser, "likelihood": likelihood}
    if isinstance(seen, str):
        return own
    return {
        "an error pulls": _weighing(loss, seen),
        "outliers": _outliers(loss, seen),
        f"share of a tenfold error in {SAMPLE}": f"{seen.share:.0%}",
        "loss rises": "" if seen.rise is None else f"{seen.rise:.2f} times",
        "outliers that carry it away": "none can" if seen.breaks is None else f"{seen.breaks} of {SOUND} rows",
        **own,
        "use when": _use(loss, seen),
    }


def _weighing(loss: "Loss", seen: Sensitivity) -> str:
    """오차 민감도: how the pull of an error grows with its size."""
    if loss.kind == "probability":
        return "by the odds against what happened"
    text = _growth(seen.far)
    if seen.near is not None and seen.near != seen.far:
        text = f"{_growth(seen.near)} up to a point, then {text}"
    return text if seen.tilt == 1 else f"{text}; {seen.tilt:.3g} times as much above as below"


def _growth(power: float) -> str:
    known = {
        -math.inf: "not at all",
        0.0: "alike, whatever its size",
        1.0: "in proportion to its size",
        math.inf: "faster than any power of its size",
    }
    return known.get(power, f"as its size to the power {power:g}")


def _outliers(loss: "Loss", seen: Sensitivity) -> str:
    """이상치 민감도: whether one far response decides the estimate."""
    if loss.kind == "probability":
        return "none in y; sensitive to sure and wrong predictions"
    return "robust" if seen.robust else "sensitive"


def _use(loss: "Loss", seen: Sensitivity) -> str:
    """사용 시점: what the facts recommend the loss for."""
    if loss.kind == "probability":
        return "y is 0 or 1, and its probability is wanted"
    if loss.kind == "density":
        return "that distribution is meant"
    if seen.tilt != 1:
        wanted = ": a quantile is wanted" if seen.near == seen.far == 0 else ""
        return f"errors above and below do not cost the same{wanted}"
    if not seen.robust:
        read = ", and the loss is to be read in the unit of y" if seen.degree == 1 else ""
        return f"large errors are to count for more{read}"
    smooth = ", and a gradient everywhere is wanted" if seen.near is not None and seen.near > 0 else ""
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


def outlier_table(losses: "Sequence[Loss]", y: Any, outlier: float, row: int) -> pd.DataFrame:
    """Compare constant minimisers without and with an outlier."""
    return _by_label(losses, [_with_outlier(loss, y, outlier, operator.index(row)) for loss in losses])


def _with_outlier(loss: "Loss", y: Any, outlier: float, row: int) -> dict[str, Any]:
    clean = loss.responses(y)
    if not -clean.size <= row < clean.size:
        raise ValueError(f"row {row} is to become the outlier, and y has {clean.size} rows")
    dirty = clean.copy()
    dirty[row] = outlier
    before, after = loss.constant_minimiser(clean), loss.constant_minimiser(dirty)
    pulls = np.abs(loss.gradient(dirty, before))
    others = pulls.sum() - pulls[row] if np.isfinite(pulls[row]) else 0.0  # an infinite pull is all there is
    return {
        "minimiser": loss.minimiser,
        "before": before,
        "after": after,
        "moved": after - before,
        "share of the pull": 1 / (1 + float(others / pulls[row])) if pulls[row] else 0.0,
        "loss before": loss.value(clean, before),
        "loss after": loss.value(dirty, after),
    }
