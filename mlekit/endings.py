"""How a training ended, in words: what became of the loss, and what to do about it."""

from enum import Enum
from typing import TYPE_CHECKING

import numpy as np

from mlekit.losses import MAE, Pinball
from mlekit.messages import counted

if TYPE_CHECKING:
    from mlekit.training import Training

# A loss this close to its minimum, relative to its size, is there.
_THERE = 1e-9


class TrainingStatus(Enum):
    """How a training ended, in a sentence."""

    CONVERGED = "converged: the loss is within tol of its minimum"
    FINISHED = "finished: all epochs were run"
    STOPPED = "stopped before the last epoch"
    DIVERGED = "diverged: the loss grew instead of falling"


def details(training: "Training") -> str:
    """Return the figures behind the status, and what to do."""
    return _DETAILS[training.status](training)


def _converged(training: "Training") -> str:
    return f" (about {training.above_minimum:.2g} above it, after {_epochs(training)})"


def _stopped(training: "Training") -> str:
    return f" ({training.ended}, after {_epochs(training)})"


def _finished(training: "Training") -> str:
    loss, above, limit = training.final_loss, training.above_minimum, training.largest_lr
    said = f" ({_epochs(training)}). "
    if training.grew_from(training.initial_loss):
        said += f"The loss grew from {training.initial_loss:.6g} to {loss:.6g}: lower lr"
        return said + ("" if limit is None else f" (the largest stable one is about {limit:.3g})")
    if above is not None and above <= training.objective.negligible(loss, _THERE):
        return f"{said}The loss, {loss:.6g}, is at its minimum to nine digits"
    if training.loss.kind == "residual" and 0 <= loss <= training.objective.rounding:
        return f"{said}The loss, {loss:.6g}, is that of a perfect fit, to rounding"
    if limit is not None and training.too_fast:
        return f"{said}The loss is {loss:.6g}, and will not come to its minimum: {_too_fast(training, limit)}"
    if above is None:
        return f"{said}The loss is {loss:.6g}. {_FLAT if isinstance(training.loss, MAE | Pinball) else _UNKNOWN}"
    said += f"The loss, {loss:.6g}, is about {above:.3g} above its minimum: run more epochs"
    if limit is not None and training.lr < 0.5 * limit:
        said += f", or raise lr, which is stable up to about {limit:.3g}"
    return said


_FLAT = (
    "It has no curvature, so its gradient does not shrink towards the minimum: in the end, steps of the length that lr "
    "gives them circle it, and a smaller lr comes closer"
)
_UNKNOWN = (
    "Its curvature there is unknown, or not that of a minimum, so how far that is cannot be told: run more epochs, or "
    "raise lr; where early steps were too long and ended far out, lower it or give another start"
)


def _too_fast(training: "Training", limit: float) -> str:
    rule = training.schedule.rule
    stability = f"{rule.stability_text if training.schedule.momentum else 2} / the largest curvature"
    return (
        f"lr = {training.lr:g} is above the largest stable learning rate, {limit:.6g} ({stability}): try "
        f"lr = {rounded_down(0.5 * limit):g}"
    )


def _diverged(training: "Training") -> str:
    worst, coefficients = training.history["loss"].iloc[-1], training.path[-1]
    if np.isfinite(worst):
        worst = training.final_loss if np.isfinite(coefficients).all() else np.inf
    said = f" (from {training.initial_loss:.6g} to {worst:.6g} in {_epochs(training)}). "
    limit = training.largest_lr
    if limit is None:
        said += f"Try lr = {rounded_down(0.1 * training.lr):g}"
    elif training.too_fast:
        said += _too_fast(training, limit)
    else:
        said += (
            f"lr = {training.lr:g} is below {limit:.6g}, the largest stable learning rate where the loss was lowest, "
            f"but the loss or a batch bends more elsewhere: try lr = {rounded_down(0.1 * training.lr):g}"
        )
    said += ". Centring and scaling the columns, as in standardize(x), allows a larger one"
    outside = [low > -np.inf or high < np.inf for low, high in training.objective.likelihood.limits]
    if any(outside):
        said += "; or choose a link such as log or logit, whose parameter cannot leave its domain"
    return said


def _epochs(training: "Training") -> str:
    return counted(len(training.history), "epoch")


def rounded_down(value: float) -> float:
    """Round down to two significant digits.

    Examples
    --------
    >>> rounded_down(0.000343967), rounded_down(29.9)
    (0.00034, 29.0)
    """
    unit = 10.0 ** (np.floor(np.log10(value)) - 1)
    return float(f"{np.floor(value / unit) * unit:.2g}")


_DETAILS = {
    TrainingStatus.CONVERGED: _converged,
    TrainingStatus.FINISHED: _finished,
    TrainingStatus.STOPPED: _stopped,
    TrainingStatus.DIVERGED: _diverged,
}
