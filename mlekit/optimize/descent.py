"""Gradient descent: update rules as PyTorch's optimisers have them, and the loop that takes their steps."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from scipy import linalg

from mlekit.links import Array

#: Some rows: which share of all they are, and their mean loss with its gradient at any coefficients.
Batch = tuple[float, Callable[[Array], tuple[float, Array]]]

# torch.optim.Adam: how slowly the means of gradients and of their squares forget, and what keeps their ratio finite.
_FORGET, _FORGET_SQUARES, _EPSILON = 0.9, 0.999, 1e-8


@dataclass(frozen=True)
class Rule:
    """How a gradient, and what is remembered of those before it, become a direction to step along.

    Attributes
    ----------
    direction : callable
        ``(gradient, memory, momentum) -> (direction, memory)``; the memory is None before the first step.
    batches : bool
        Whether it takes a step per batch of the rows, and not only one per epoch.
    momentum : {"optional", "needed", "none"}
        Whether it has a momentum.
    stability : callable or None
        From the momentum, the largest learning rate times curvature at which steps shrink; None where the length of a
        step does not depend on the curvature.
    stability_text : str
        That product as a formula.

    Examples
    --------
    >>> RULES["sgd"].direction(np.array([2.0]), np.array([1.0]), 0.5)[0].tolist()
    [2.5]
    >>> RULES["sgd"].stability(0.5)
    3.0
    """

    direction: Callable[[Array, Any, float], tuple[Array, Any]]
    batches: bool = True
    momentum: str = "optional"
    stability: Callable[[float], float] | None = None
    stability_text: str = "2 (1 + m)"


def _heavy_ball(gradient: Array, memory: Any, momentum: float) -> tuple[Array, Any]:
    """``v <- m v + g``, at the first step ``v = g``; the direction is v."""
    if not momentum:
        return gradient, None
    velocity = gradient if memory is None else momentum * memory + gradient
    return velocity, velocity


def _nesterov(gradient: Array, memory: Any, momentum: float) -> tuple[Array, Any]:
    """Return ``g + m v`` with the v of the heavy ball."""
    velocity, memory = _heavy_ball(gradient, memory, momentum)
    return gradient + momentum * velocity, memory


def _adam(gradient: Array, memory: Any, _: float) -> tuple[Array, Any]:
    """``a <- 0.9 a + 0.1 g``, ``b <- 0.999 b + 0.001 g^2``; ``a / (1 - 0.9^t) / (sqrt(b / (1 - 0.999^t)) + 1e-8)``."""
    count, mean, square = memory or (0, 0.0, 0.0)
    count += 1
    mean = mean + (1 - _FORGET) * (gradient - mean)
    square = _FORGET_SQUARES * square + (1 - _FORGET_SQUARES) * gradient * gradient
    # Both means began at zero: each is divided by the share of it that gradients have filled by now.
    root = np.sqrt(square) / np.sqrt(1 - _FORGET_SQUARES**count) + _EPSILON
    return mean / (1 - _FORGET**count) / root, (count, mean, square)


def _heavy_ball_stability(momentum: float) -> float:
    return 2 * (1 + momentum)


def _nesterov_stability(momentum: float) -> float:
    # At the limit -1 is a root of z**2 - (1 + m)(1 - a) z + m (1 - a), with a = rate * curvature.
    return 2 * (1 + momentum) / (1 + 2 * momentum)


#: Every update rule by its name; "gd" and "sgd" differ in the rows that a step reads.
RULES: dict[str, Rule] = {
    "gd": Rule(_heavy_ball, batches=False, stability=_heavy_ball_stability),
    "sgd": Rule(_heavy_ball, stability=_heavy_ball_stability),
    "nesterov": Rule(
        _nesterov, momentum="needed", stability=_nesterov_stability, stability_text="2 (1 + m) / (1 + 2 m)"
    ),
    "adam": Rule(_adam, momentum="none"),
}


class Epoch(NamedTuple):
    """One pass over the rows.

    Attributes
    ----------
    number : int
        From 1.
    loss : float
        Mean over the rows of their loss before the step that they led to.
    gradient : (p,) array
        Mean over the rows of its gradient, likewise.
    beta : (p,) array
        Coefficients after the epoch.
    steps : int
        Number of batches, and so of steps.
    """

    number: int
    loss: float
    gradient: Array
    beta: Array
    steps: int

    @property
    def slope(self) -> float:
        """Length of the gradient; no square of it overflows."""
        return float(linalg.norm(self.gradient, check_finite=False))


def descend(
    epochs: Iterable[Iterable[Batch]], start: Array, rule: Rule, rate: float, momentum: float = 0.0
) -> Iterator[Epoch]:
    """Walk downhill, one step per batch; yield after each epoch.

    0. Evaluate the mean loss of a batch and its gradient.
    1. The rule makes a direction of the gradient and of what it remembers.
    2. Step by ``rate`` against the direction. Go to 0 with the next batch.

    Parameters
    ----------
    epochs : iterable of iterables of batches
        Who stops reading stops the descent.
    start : (p,) array
    rule : Rule
    rate : float
        Learning rate: the length of a step per unit of the direction.
    momentum : float

    Examples
    --------
    Half the square of the distance to 3: each step at rate 1/2 halves the distance.

    >>> batch = (1.0, lambda beta: (0.5 * float((beta - 3) @ (beta - 3)), beta - 3))
    >>> [epoch.beta.tolist() for epoch in descend([[batch]] * 3, np.zeros(1), RULES["gd"], 0.5)]
    [[1.5], [2.25], [2.625]]
    """
    beta, memory = np.array(start, dtype=float), None
    for number, batches in enumerate(epochs, 1):
        loss, gradient, steps = 0.0, np.zeros_like(beta), 0
        with np.errstate(all="ignore"):  # what overflows is in the loss, for the reader to judge
            for share, evaluate in batches:
                value, slope = evaluate(beta)
                direction, memory = rule.direction(slope, memory, momentum)
                beta = beta - rate * direction
                loss += share * value
                gradient += share * slope
                steps += 1
        yield Epoch(number, loss, gradient, beta, steps)
