"""The mean loss of the rows as a function of the coefficients, whole or batch by batch: what training walks down."""

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
import pandas as pd
from scipy import linalg

from mlekit import jets
from mlekit.design import Design
from mlekit.diagnostics import thetas
from mlekit.differences import central_differences
from mlekit.families import Bernoulli, GenericLikelihood, Normal, as_family
from mlekit.jets import Rows
from mlekit.likelihood import Likelihood
from mlekit.links import REAL, Array, identity
from mlekit.losses import MSE, RMSE, BinaryCrossEntropy, Loss, NegativeLogLikelihood, Terms, as_loss
from mlekit.observations import Observations
from mlekit.optimize.base import Curvature
from mlekit.optimize.descent import Batch
from mlekit.products import row_sum
from mlekit.sources import Block

# Relative rounding error of a prediction, with room for a sum of terms that cancel.
_ROUNDING = 64 * np.finfo(float).eps

#: From linear predictors and an order to predictions and their derivatives up to that order.
Curve = Callable[[Array, int], tuple[Any, ...]]


def straight(eta: Array, order: int) -> tuple[Any, ...]:
    """Return the linear predictor as the prediction."""
    return (eta, 1.0, 0.0)[: order + 1]


@dataclass(frozen=True)
class MeanCurve:
    """The mean of a family as a function of the linear predictor of its first parameter.

    Raises
    ------
    ValueError
        If the family says no mean, or one that depends on another parameter too.

    Examples
    --------
    >>> from mlekit.families import Exponential
    >>> [float(part[0]) for part in MeanCurve(Exponential(rate="identity"))(np.array([4.0]), 2)]
    [0.25, -0.0625, 0.03125]
    """

    family: GenericLikelihood

    def __post_init__(self) -> None:
        family, (_, *others) = self.family, self.family.params
        if self._mean(np.zeros(1), *self._points(np.full(1, 0.5))) is None:
            raise ValueError(
                f"{family!r} says no mean to compare with the response: define mean(self, {', '.join(family.params)}) "
                "in the family, or train with loss='nll'"
            )
        if not self.plain and self._rows(np.full(1, 0.5), 1).grad[1:].any():
            raise ValueError(
                f"the mean of {family!r} depends on {' and '.join(others)} too, of which this loss says nothing: "
                "train with loss='nll'"
            )

    @cached_property
    def plain(self) -> bool:
        """Whether the mean is the first parameter itself."""
        points = self._points(np.full(1, 0.5))
        return self._mean(np.zeros(1), *points) is points[0]

    def __call__(self, eta: Array, order: int) -> tuple[Any, ...]:
        """Return the mean and its derivatives in the linear predictor, up to the order."""
        link = next(iter(self.family.links.values()))
        if self.plain and link == identity:
            return straight(eta, order)
        first, second = link.slopes(eta) if order else (None, None)
        if self.plain:
            return (link.inverse(eta), first, second)[: order + 1]
        found = self._rows(eta, order)
        if order == 0:
            return (found.value,)
        slope = found.grad[0] * first
        if order == 1:
            return found.value, slope
        return found.value, slope, found.hess[0, 0] * first * first + found.grad[0] * second

    def _mean(self, _: Array, *theta: Any) -> Any:
        return self.family.mean(*theta)

    def _points(self, eta: Array) -> tuple[Array, ...]:
        """Parameters: the first at the linear predictor, the others anywhere in their domain, as the mean has none."""
        return thetas(self.family, (eta, *(np.full_like(eta, 0.5) for _ in list(self.family.params)[1:])))

    def _rows(self, eta: Array, order: int) -> Rows:
        """Mean of each row and its derivatives in the parameters."""
        theta, family = self._points(eta), self.family
        if family.derivatives == "numeric":
            return central_differences(self._mean, eta, *theta, order=order, domains=tuple(family.domains().values()))
        return jets.derivatives(self._mean, eta, *theta, order=order)


class LossFamily(GenericLikelihood):
    """A loss in the place of a distribution: minus the loss of a row in the place of its log-density.

    Parameters
    ----------
    loss : Loss
        One that is a mean over rows.
    curve : callable
        From the linear predictor to the prediction.
    limits : tuple of float
        Open interval of the linear predictor.
    """

    params = {"prediction": identity}
    loss: Loss
    curve: Curve
    limits: tuple[float, float]

    def __init__(self, loss: Loss, curve: Curve = straight, limits: tuple[float, float] = REAL) -> None:
        super().__init__()
        for name, value in (("loss", loss), ("curve", curve), ("limits", limits)):
            object.__setattr__(self, name, value)

    def logpdf(self, y: Array, prediction: Array) -> Array:
        """Minus the loss of each row."""
        return -self.loss.checked_terms(y, prediction, 0).value

    def linear_rows(self, y: Array, *eta: Array, order: int = 2) -> Rows:
        """Minus the loss of each row and its derivatives in the linear predictor, by the chain rule."""
        prediction, *slopes = self.curve(eta[0], order)
        value, slope, bend = self.loss.checked_terms(y, prediction, order)
        if order == 0:
            return Rows(-value, None, None)
        grad = -(slope * slopes[0])[None]
        if order == 1:
            return Rows(-value, grad, None)
        bend = np.nan if bend is None else bend  # a loss of the user's that does not say
        return Rows(-value, grad, -(bend * slopes[0] ** 2 + slope * slopes[1])[None, None])

    def eta_limits(self) -> tuple[tuple[float, float], ...]:
        """Open interval of the linear predictor."""
        return (self.limits,)


@dataclass(frozen=True)
class MeanLoss:
    """The mean loss of all rows, its derivatives in the coefficients, and the batches that it is summed from.

    Attributes
    ----------
    likelihood : Likelihood
        Of minus the loss: a family's own density, or a :class:`LossFamily`.
    root : bool
        Whether the loss is the root of a mean, as RMSE is.
    """

    likelihood: Likelihood
    root: bool = False

    @cached_property
    def constant(self) -> float:
        """The part of the mean loss that no coefficient touches, and that batches leave out."""
        return -self.likelihood.base_measure / self.likelihood.rows

    @cached_property
    def rounding(self) -> float:
        """Mean loss of predictions that differ from the response by rounding alone; 0 for a likelihood."""
        if not isinstance(self.likelihood.family, LossFamily):
            return 0.0
        y = self.likelihood.block.y
        with np.errstate(all="ignore"):
            loss = float(np.mean(self.likelihood.family.loss.checked_terms(y, y * (1 + _ROUNDING), 0).value))
        return abs(float(np.sqrt(loss)) if self.root else loss)

    def negligible(self, value: float, share: float) -> float:
        """Which difference to a value of the loss is a share of it, or rounding.

        A log-likelihood is a number without a unit, and 0 is nothing special on its scale: there it is the share of 1
        at least.
        """
        likelihood = not isinstance(self.likelihood.family, LossFamily)
        return share * (likelihood + abs(value)) + self.rounding

    def value(self, beta: Array) -> float:
        """Mean loss of all rows; infinite where it is not defined."""
        value = 0.0 - self.likelihood.evaluate(beta, 0).value
        return float(np.sqrt(value)) if self.root else value

    def gradient(self, beta: Array) -> Array:
        """Gradient of the mean loss of all rows."""
        with np.errstate(all="ignore"):
            return self._seen(self.likelihood.block, beta)[1]

    def hessian(self, beta: Array) -> Array | None:
        """Hessian of the mean loss of all rows; None where it is not finite."""
        value, gradient, hessian = self.likelihood.evaluate(beta, 2)
        if hessian is None or not self.root:
            return None if hessian is None else -hessian
        # Of r = sqrt(m): m'' / (2 r) - r' r'^T / r
        root = np.sqrt(-value)
        if not root:
            return None
        slope = -gradient / (2 * root)
        return -hessian / (2 * root) - np.outer(slope, slope) / root

    def largest_curvature(self, beta: Array) -> float | None:
        """Largest eigenvalue of the Hessian; None where there is no curvature, or it is not finite."""
        hessian = self.hessian(beta)
        largest = 0.0 if hessian is None else float(linalg.eigvalsh(hessian)[-1])
        return largest if 0 < largest < np.inf else None

    def curvature(self, beta: Array) -> Curvature | None:
        """Return the Hessian, factored; None where it is not that of a minimum."""
        hessian = self.hessian(beta)
        if hessian is None:
            return None
        curvature = Curvature(hessian)
        return None if curvature.modified else curvature

    def above_minimum(self, beta: Array) -> float | None:
        """How far the loss is above its minimum, by the quadratic that has its slope and curvature here.

        None where the curvature is not that of a minimum.
        """
        curvature = self.curvature(beta)
        return None if curvature is None else height(self.gradient(beta), curvature)

    def batches(self, size: int | None = None, order: Array | None = None) -> Iterator[Batch]:
        """Cut the rows into batches of a size, the last of which may be short.

        Parameters
        ----------
        size : int, optional
            Rows of a batch; None for all.
        order : (n,) array of int, optional
            The rows in the order in which the batches take them.
        """
        block, n = self.likelihood.block, self.likelihood.rows
        if size is None:
            yield 1.0, partial(self._seen, block)
            return
        take = block.rows if order is None else _Gather(block, size, order).rows
        for first in range(0, n, size):
            part = take(slice(first, first + size))
            yield len(part) / n, partial(self._seen, part)

    def _seen(self, block: Block, beta: Array) -> tuple[float, Array]:
        """Mean loss of a block and its gradient, as they come: NaN where they are not defined."""
        rows = self.likelihood.densities(beta, block, 1)
        if rows is None:
            return np.nan, np.full_like(beta, np.nan)
        n = len(block)
        value = (0.0 - float(rows.value.sum())) / n
        parts = [row_sum(grad, x) for grad, x in zip(rows.grad, block.X, strict=True)]
        gradient = (parts[0] if len(parts) == 1 else np.concatenate(parts)) / -n
        if not self.root:
            return value, gradient
        root = float(np.sqrt(value))
        # A perfect fit is a kink of the root: its subgradient 0.
        return root, gradient / (2 * root) if root else np.zeros_like(gradient)


class Joint(NegativeLogLikelihood):
    """Negative log-likelihood of a family of which no parameter is held: each has a linear predictor of its own."""

    def __init__(self, family: GenericLikelihood) -> None:
        object.__setattr__(self, "family", family)
        object.__setattr__(self, "held", ())

    def __repr__(self) -> str:
        return f"the negative log-likelihood of {self.family!r}: {', '.join(self.family.params)}"

    def terms(self, y: Array, yhat: Array, order: int = 1) -> Terms:
        """Raise: the loss of a row is not one of its prediction alone."""
        raise TypeError(
            f"the likelihood of {self.family!r} takes {', '.join(self.family.params)}, and not one prediction"
        )


def loss_and_family(loss: Any, family: Any) -> tuple[Loss, GenericLikelihood]:
    """Return a loss, and the family whose parameters and responses training on it has.

    Raises
    ------
    ValueError
        If the loss is unknown, needs a family, or is of another.
    """
    own = None if family is None else as_family(family)
    if loss is None:
        loss = "mse" if own is None else "nll"
    if loss is NegativeLogLikelihood or (isinstance(loss, str) and loss.lower() == "nll"):
        if own is None:
            raise ValueError("loss='nll' needs a family, as in family='poisson'")
        loss = NegativeLogLikelihood(own) if len(own.params) == 1 else Joint(own)
    wanted = as_loss(loss)
    if isinstance(wanted, NegativeLogLikelihood):
        if own is not None and own != wanted.family:
            raise ValueError(f"the loss is of {wanted.family!r}, and family is {own!r}: leave family out")
        return wanted, wanted.family
    if isinstance(wanted, BinaryCrossEntropy) and own is not None and not isinstance(own, Bernoulli):
        raise ValueError(f"the cross-entropy is of probabilities of 0 and 1: family must be 'bernoulli', not {own!r}")
    return wanted, own or wanted.likelihood or Normal()


def mean_loss(
    loss: Loss, family: GenericLikelihood, design: Design, observations: Observations, *, own: bool
) -> tuple[MeanLoss, dict[str, tuple[str, ...]]]:
    """Return the mean loss of the rows, and the names of the coefficients of each parameter that it trains.

    Parameters
    ----------
    loss, family : Loss, GenericLikelihood
        As :func:`loss_and_family` returns them.
    design, observations : Design, Observations
        The rows under the formulas of the family.
    own : bool
        Whether the prediction is the mean of the family through its link, or the linear predictor itself.

    Raises
    ------
    TypeError
        If the loss is not one number per row.
    ValueError
        If a response does not suit the loss, or the family says no mean.
    """
    block = observations.block
    held = dict(loss.held) if isinstance(loss, NegativeLogLikelihood) else {}
    names = {
        param: design.names[where]
        for param, where in zip(design.params, design.slices, strict=True)
        if param not in held
    }
    if isinstance(loss, NegativeLogLikelihood | BinaryCrossEntropy):
        block = _holding(block, family, held)
        ends = np.cumsum([0, *(x.shape[1] for x in block.X)])
        slices = tuple(slice(int(a), int(b)) for a, b in itertools.pairwise(ends))
        return MeanLoss(Likelihood(family, block, slices)), names
    curve, limits = (MeanCurve(family), family.eta_limits()[0]) if own else (straight, REAL)
    y = loss.responses(pd.Series(family.observed(block.y), observations.labels))
    root = isinstance(loss, RMSE)
    loss = MSE() if root else loss
    with np.errstate(all="ignore"):
        loss.checked_terms(y[:3], y[:3], 2)  # now, and not in the middle of the training
    likelihood = Likelihood(LossFamily(loss, curve, limits), Block(y, block.X[:1], block.offset[:1]), design.slices[:1])
    first = design.params[0]
    return MeanLoss(likelihood, root), {first: names[first]}


def _holding(block: Block, family: GenericLikelihood, held: Mapping[str, float]) -> Block:
    """The rows with some parameters held: no columns, and their linear predictor for an offset."""
    X, offset = list(block.X), list(block.offset)
    for i, (name, link) in enumerate(family.links.items()):
        if name in held:
            X[i] = np.empty((len(block), 0))
            offset[i] = np.full(len(block), link.forward(np.float64(held[name])))
    return replace(block, X=tuple(X), offset=tuple(offset))


def height(gradient: Array, curvature: Curvature) -> float:
    """``g' H^-1 g / 2``: how far a quadratic of this slope and curvature is above its minimum."""
    return 0.5 * float(gradient @ curvature.solve(gradient))


class _Gather:
    """Copies rows of a block, in an order of their own, into arrays that are made once."""

    def __init__(self, block: Block, size: int, order: Array) -> None:
        self.block, self.order = block, order
        self.X = tuple(np.empty((size, x.shape[1])) for x in block.X)

    def rows(self, chosen: slice) -> Block:
        """Return the rows that stand there in the order; they last until the next call."""
        block, rows = self.block, self.order[chosen]
        # NumPy copies straight into `out` unless it has to check the row numbers.
        X = tuple(
            np.take(x, rows, axis=0, out=out[: rows.size], mode="clip") for x, out in zip(block.X, self.X, strict=True)
        )
        return Block(block.y[rows], X, tuple(None if o is None else o[rows] for o in block.offset))
