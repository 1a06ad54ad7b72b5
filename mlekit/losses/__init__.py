"""Losses: what training makes small, with the likelihood behind each."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import pandas as pd

from mlekit.links import REAL
from mlekit.losses import affine, facts
from mlekit.losses.affine import Equivalence
from mlekit.losses.base import Loss, Relation, Terms, number
from mlekit.losses.density import BinaryCrossEntropy, NegativeLogLikelihood
from mlekit.losses.facts import Sensitivity, markdown
from mlekit.losses.residual import MAE, MSE, RMSE, Huber, Pinball

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Every loss by its name.
LOSSES: dict[str, type[Loss]] = {
    "mse": MSE,
    "rmse": RMSE,
    "mae": MAE,
    "cross_entropy": BinaryCrossEntropy,
    "huber": Huber,
    "pinball": Pinball,
    "nll": NegativeLogLikelihood,
}

AnyLoss: TypeAlias = str | type[Loss] | Loss


def as_loss(loss: AnyLoss) -> Loss:
    """Return the loss that a name, a class or an instance stands for.

    Raises
    ------
    ValueError
        If the name is unknown (the message lists the names), or the loss needs a family.
    TypeError
        If it is neither a name nor a loss.

    Examples
    --------
    >>> as_loss("mse"), as_loss(Huber), as_loss(Pinball(q=0.9))
    (MSE(), Huber(delta=1.0), Pinball(q=0.9))
    """
    if isinstance(loss, Loss):
        return loss
    if isinstance(loss, str):
        if loss.lower() not in LOSSES:
            raise ValueError(f"unknown loss {loss!r}: the losses are {', '.join(LOSSES)}, or a Loss of yours")
        loss = LOSSES[loss.lower()]
    if isinstance(loss, type) and issubclass(loss, Loss):
        if issubclass(loss, NegativeLogLikelihood):
            raise ValueError("nll needs a family: NegativeLogLikelihood('poisson'), or ('normal', sigma=10)")
        return loss()
    raise TypeError(f"loss must be a name, a Loss class or an instance, not {loss!r}")


def equivalence(loss: AnyLoss, y: Any, yhat: Any, **held: float) -> Equivalence:
    """Show that a loss is a negative log-likelihood up to a factor and a constant: loss = a * nll + b.

    Parameters
    ----------
    loss : str, Loss class or instance
    y, yhat : array_like, shape (n,)
        Responses and predictions. Both sides are computed at ``yhat``, at the constant minimiser, between and beyond.
    **held : float
        Values of the parameters of the family beside the prediction (``sigma=10``); 1 if nothing is said.

    Raises
    ------
    ValueError
        If the loss is no likelihood (RMSE; the message says why), if y or yhat are impossible, or if the loss is
        infinite, or the same at all these predictions.
    TypeError
        If ``held`` names something that the family does not have.

    Examples
    --------
    >>> found = equivalence("mse", [158.0, 160, 165, 168], [160.0, 160, 164, 163], sigma=10)
    >>> round(found.a, 6), round(found.b, 6)
    (200.0, -644.304725)
    >>> found.relation.a, found.relation.formula[1]
    (200.0, '-sigma^2 log(2 pi sigma^2)')
    """
    return affine.equivalence(as_loss(loss), y, yhat, **held)


def table(
    losses: Sequence[AnyLoss] = ("mae", "mse", "rmse", "huber", Pinball(q=0.9), "cross_entropy"),
) -> pd.DataFrame:
    """Compare losses: what an error weighs, what outliers do, unit, minimiser, likelihood and use.

    The cells are worded from what the losses return for growing errors (:class:`Sensitivity`); only the likelihood and
    the name of the minimiser are the loss's own word. One of 20 errors of 1 becomes 10: how much of the pull on the
    estimate is its own, and how far does the loss rise? And how many rows in 100 have to be far away for the constant
    minimiser to go where they are? :func:`markdown` writes the table as Markdown.

    Parameters
    ----------
    losses : sequence of str, Loss classes or instances

    Returns
    -------
    pandas.DataFrame
        One row per loss; the measured cells are empty for one that cannot be measured, such as a likelihood whose
        response is never far from its prediction, or a loss of the residual that depends on more than ``y - yhat``.

    Raises
    ------
    ValueError
        If there are no losses, or none can be measured.

    Warns
    -----
    UserWarning
        If cells are empty; the message says why.

    Examples
    --------
    >>> table(["mae", "mse", "rmse"])[["outliers", "unit", "loss rises"]]
           outliers               unit  loss rises
    loss
    mae      robust          that of y  1.45 times
    mse   sensitive  that of y squared  5.95 times
    rmse  sensitive          that of y  2.44 times
    """
    return facts.comparison_table(_several(losses))


def outlier_effect(
    y: Any, outlier: float, *, row: int = -1, losses: Sequence[AnyLoss] = ("mse", "rmse", "mae", "huber")
) -> pd.DataFrame:
    """Compare the constant minimisers of losses before and after one response becomes an outlier.

    Parameters
    ----------
    y : array_like, shape (n,)
    outlier : float
        What the response becomes, in the unit of y; finite.
    row : int
        Position of the response: the last if nothing is said.
    losses : sequence of str, Loss classes or instances

    Returns
    -------
    pandas.DataFrame
        One row per loss: ``before``, ``after``, ``moved``; ``share of the pull``, the outlier's part of the summed
        absolute gradient at the minimiser before; the loss at its minimum before and after.

    Raises
    ------
    ValueError
        If y has no such row, or the outlier is impossible.

    Examples
    --------
    >>> outlier_effect([158, 160, 165, 168], 268)[["minimiser", "before", "after"]].round(3)
                    minimiser  before   after
    loss
    mse                  mean  162.75  187.75
    rmse                 mean  162.75  187.75
    mae                median  162.50  162.50
    huber  Huber's M-estimate  162.50  162.50
    """
    return facts.outlier_table(_several(losses), y, number(outlier, "the outlier", REAL), row)


def plot(
    losses: Sequence[AnyLoss] = ("mse", "rmse", "mae", Huber(delta=3.0)),
    y: Any = (158.0, 160.0, 165.0, 168.0),
    *,
    unit: str = "cm",
) -> "Figure":
    """Draw losses above their gradients by the size of one error, and their constant minimisers by an outlier.

    Parameters
    ----------
    losses : sequence of str, Loss classes or instances
        Losses of the error y - yhat.
    y : array_like, shape (n,)
        Responses of which the last becomes an outlier; four heights if nothing is said.
    unit : str
        Unit of y, for the axes.

    Raises
    ------
    ValueError
        If there are no losses, or one is not of the error.
    ImportError
        If matplotlib is not installed.

    Examples
    --------
    >>> [axes.get_ylabel() for axes in plot(["mse", "mae"]).axes]
    ['loss (units below)', 'constant minimiser (cm)', 'gradient (per cm)']
    """
    from mlekit.plots.losses import plot_losses

    chosen = _several(losses)
    for loss in chosen:
        facts.check_kind(loss)
    return plot_losses(chosen, y, unit=unit)


def _several(losses: Sequence[AnyLoss]) -> list[Loss]:
    chosen = [losses] if isinstance(losses, str | Loss | type) else list(losses)
    if not chosen:
        raise ValueError(f"no losses are named: the losses are {', '.join(LOSSES)}")
    return [as_loss(loss) for loss in chosen]


__all__ = [
    "LOSSES",
    "MAE",
    "MSE",
    "RMSE",
    "AnyLoss",
    "BinaryCrossEntropy",
    "Equivalence",
    "Huber",
    "Loss",
    "NegativeLogLikelihood",
    "Pinball",
    "Relation",
    "Sensitivity",
    "Terms",
    "as_loss",
    "equivalence",
    "markdown",
    "outlier_effect",
    "plot",
    "table",
]
