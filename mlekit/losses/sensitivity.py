"""How a loss weighs errors, measured on the loss itself and not declared."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mlekit.links import Array

if TYPE_CHECKING:
    from mlekit.losses.base import Loss

#: Rows of the sample in which one error is ten times the others.
SAMPLE = 20
#: Rows of the sample that outliers are to break.
SOUND = 100


@dataclass(frozen=True)
class Sensitivity:
    """How a loss weighs errors.

    The *pull* of a row is the size of the gradient in its prediction, compared with that of a row that misses by 1 in
    the same sample. At the minimum all pulls balance, so it is these that decide where the minimum is.

    Attributes
    ----------
    degree : int or None
        The loss of c y and c yhat is ``c**degree`` times that of y and yhat; None where that has no meaning.
    near, far : float
        Power of its size with which the pull of a small and of a large error grows: 1 in proportion, 0 not at all,
        minus infinity where there is no pull.
        ``near`` is None except for losses of the residual.
    tilt : float
        Pull of an error above the prediction over that of one below; 1 except for losses of the residual.
    share : float
        Share of the pull that one row takes whose error is ten times that of 19 others.
    rise : float or None
        What the loss is multiplied by when one of 20 equal errors becomes ten times as large; None where the loss has
        no natural zero.
    breaks : int or None
        How many of 100 rows it takes, moved far away, to carry the constant minimiser away with them; None where y
        cannot be far away.
    """

    degree: int | None
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

    Examples
    --------
    >>> from mlekit.losses import MAE, MSE, RMSE
    >>> [measure(loss).robust for loss in (MAE(), MSE(), RMSE())]
    [True, False, False]
    >>> [round(measure(loss).rise, 2) for loss in (MAE(), MSE(), RMSE())]
    [1.45, 5.95, 2.44]
    """
    residual = loss.kind == "residual"
    even, one = _sample(loss, 1.0), _sample(loss, 10.0)
    pulls = np.abs(loss.gradient(*one))
    below = _pull(loss, -1.0) if residual else 1.0
    return Sensitivity(
        degree=degree(loss),
        near=_power(loss, 1e-100) if residual else None,
        far=_power(loss, 1e100),
        tilt=round(_pull(loss, 1.0) / below, 12),
        share=float(pulls[-1] / pulls.sum()),
        rise=None if loss.kind == "density" else loss.value(*one) / loss.value(*even),
        breaks=_breaks(loss),
    )


def _sample(loss: "Loss", size: float) -> tuple[Array, Array]:
    """Rows that all miss by 1, but for the last."""
    y, yhat = np.array([*[loss.missed(1.0)] * (SAMPLE - 1), loss.missed(size)]).T
    if not loss.in_support(y).all():
        raise ValueError(
            f"the sensitivity of {loss!r} cannot be measured: its response must be {loss.support_text}, and so cannot "
            f"miss by {size:g}"
        )
    return y.copy(), yhat.copy()


def _pull(loss: "Loss", size: float) -> float:
    gradient = loss.gradient(*_sample(loss, size))
    return abs(float(gradient[-1] / gradient[0]))


def _power(loss: "Loss", size: float) -> float:
    """Power with which the pull grows about a size of the error; minus infinity if there is none left."""
    if not _pull(loss, size):
        return -math.inf
    return round(math.log10(_pull(loss, 10 * size) / _pull(loss, size)), 6) + 0.0


def degree(loss: "Loss") -> int | None:
    """Power with which the loss grows when everything that is measured in the unit of y does; None if with none.

    Examples
    --------
    >>> from mlekit.losses import MSE, BinaryCrossEntropy, Huber
    >>> [degree(loss) for loss in (MSE(), Huber(delta=3.0), BinaryCrossEntropy())]
    [2, 2, None]
    """
    if loss.kind != "residual":
        return None
    y, yhat = np.array([1.0, 2.0, 5.0, -3.0]), np.array([0.5, 3.0, 1.0, -1.0])
    powers = {
        round(
            math.log2(loss.rescaled(factor).value(factor * y, factor * yhat) / loss.value(y, yhat)) / math.log2(factor),
            9,
        )
        for factor in (0.25, 2.0, 1024.0)
    }
    power = powers.pop()
    return None if powers or power != int(power) else int(power)


def _breaks(loss: "Loss") -> int | None:
    """How many of the rows have to be far away for the constant minimiser to depend on how far."""
    y = np.arange(1.0, SOUND + 1)
    if not loss.in_support(y).all():
        return None
    sides = [side for side in (1.0, -1.0) if loss.in_support(np.full(1, 1e9 * side)).all()]
    for count in range(1, SOUND + 1):
        for side in sides:
            near, far = (
                loss.constant_minimiser(np.concatenate([np.full(count, side * place), y[count:]]))
                for place in (1e9, 1e12)
            )
            if abs(near - far) > 1e-3 * abs(near):
                return count
    return None
