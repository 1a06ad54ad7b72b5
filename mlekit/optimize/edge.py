"""The maximum on the edge of the parameters' domain, where a link does not keep them inside it."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mlekit.links import Array
from mlekit.optimize.base import Optimum, StartError
from mlekit.optimize.newton import newton

if TYPE_CHECKING:
    from mlekit.likelihood import Evaluation, Working

# Weights of the barrier, in units of the mean log-likelihood; the last is about how far the mean stays below its
# supremum.
_WEIGHTS = 10.0 ** -np.arange(1.0, 13.0)
# Where the distance from the edge falls with the weight of the barrier, and where it stays: between the last and this
# one of the weights it falls a million times on an edge, a thousand times where the edge just touches the maximum.
_MIDDLE, _FALLEN = 5, 0.1
# A mean log-likelihood that still rises by more than this between those weights has no supremum.
_RISING = 1e-3


@dataclass(frozen=True)
class Barrier:
    """A mean log-likelihood plus ``weight`` times the mean of the logs of the distances from the edge.

    Its maximum is inside the domain, and goes to that of the likelihood on the closed domain as ``weight`` goes to
    zero (Boyd and Vandenberghe 2004, 11.3).
    """

    working: "Working"
    weight: float

    def __getattr__(self, name: str) -> Any:
        return getattr(self.working, name)

    def evaluate(self, gamma: Array, order: int = 2) -> "Evaluation":
        """Value, gradient and Hessian."""
        here = self.working.evaluate(gamma, order)
        if not np.isfinite(here.value):
            return here
        distances = distances_from_edge(self.working, gamma)
        share = self.weight / self.working.rows
        value = here.value + share * sum(float(np.log(d).sum()) for pair in distances for d in pair)
        gradient, hessian = here.gradient, here.hessian
        if gradient is not None:
            gradient = gradient + share * self.working.project([1 / low - 1 / high for low, high in distances])
        if hessian is not None:
            hessian = hessian - share * self.working.gram([1 / low**2 + 1 / high**2 for low, high in distances])
        return type(here)(value, gradient, hessian)


@dataclass(frozen=True)
class Edge:
    """The largest likelihood on the closed domain, and what is at the edge of it there.

    Attributes
    ----------
    optimum : Optimum
        A point inside, so near to it that the mean log-likelihood is within 1e-12 of its supremum.
    decrement : float
        Distance to the maximum of the barrier's objective, in standard errors.
    reached : tuple of ((n,) array of bool)
        Of each parameter, in which rows it is at the edge.
    """

    optimum: Optimum
    decrement: float
    reached: tuple[Array, ...]


def distances_from_edge(working: "Working", gamma: Array) -> list[tuple[Array, Array]]:
    """Distances of each linear predictor from both limits of its domain; 1 from one that is infinite."""
    found = []
    for eta, (low, high) in zip(working.linear_predictors(gamma), working.family.eta_limits(), strict=True):
        one = np.ones_like(eta)
        found.append((eta - low if np.isfinite(low) else one, high - eta if np.isfinite(high) else one))
    return found


def edge_maximum(working: "Working", start: Array) -> Edge | None:
    """Maximise over the closed domain by a logarithmic barrier; None if there is no maximum, or none on its edge.

    Parameters
    ----------
    working : Likelihood or Transformed
    start : (r,) array
        Inside the domain.
    """
    path: list[Optimum] = []
    for weight in _WEIGHTS:
        try:
            path.append(newton(Barrier(working, float(weight)), path[-1].gamma if path else start))
        except (StartError, ValueError):
            return None
    middle, last = path[_MIDDLE].gamma, path[-1].gamma
    if not working.evaluate(last, 0).value - working.evaluate(middle, 0).value < _RISING:
        return None
    reached = tuple(
        np.logical_or(*(new < _FALLEN * old for new, old in zip(after, before, strict=True)))
        for after, before in zip(distances_from_edge(working, last), distances_from_edge(working, middle), strict=True)
    )
    optimum = replace(path[-1], reason="by a logarithmic barrier", evaluation=None)
    return Edge(optimum, path[-1].trace[-1].decrement, reached) if any(rows.any() for rows in reached) else None
