"""A likelihood seen from its maximum, in standard errors along one direction and the others at their best."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from scipy import linalg

from mlekit.links import Array
from mlekit.optimize.base import Curvature, Objective, StartError
from mlekit.optimize.newton import newton

# A maximum is taken as it is if it is this close, in standard errors: its height is then right to half the square.
_AT_TOP = 1e-5
# The others are at their maximum if their score is this small, in the same units.
_SETTLED = 1e-4


class Beaten(Exception):
    """A point with a larger likelihood than the maximum, found on the way."""

    def __init__(self, v: Array, value: float) -> None:
        super().__init__("a better maximum")
        self.v, self.value = v, value


class Unsettled(Exception):
    """No maximum of the others was found at a distance; ``edge`` where nothing there has a likelihood."""

    def __init__(self, why: str, edge: bool) -> None:
        super().__init__(why)
        self.edge = edge


#: As the search for a maximum ends without one.
NO_LIKELIHOOD, NO_MAXIMUM = "there is no likelihood beyond", "no maximum of the other coefficients was found beyond"


class Point(NamedTuple):
    """A likelihood in coordinates whose origin is the maximum.

    Attributes
    ----------
    v : (r,) array
        What is profiled, then the others, in standard errors.
    drop : float
        Twice the height of the maximum above the point.
    gradient, hessian : (r,) and (r, r) arrays
        Of the log-likelihood, in ``v``.
    """

    v: Array
    drop: float
    gradient: Array
    hessian: Any


@dataclass(frozen=True, eq=False)
class Peak:
    """A maximum, and coordinates round it in which the curvature is one: ``gamma + root @ u``.

    Attributes
    ----------
    objective : Objective
    gamma : (r,) array
    root : (r, r) array
    value : float
        Log-likelihood (a sum) at the maximum.
    gradient, hessian : (r,) and (r, r) arrays
        In ``u``.
    """

    objective: Objective
    gamma: Array
    root: Array
    value: float
    gradient: Array
    hessian: Array

    @classmethod
    def of(cls, objective: Objective, gamma: Array, *, polish: bool = True) -> "Peak":
        """Take a fit's point as the maximum, or go on to it where the fit stopped a little short of it."""
        point = objective.evaluate(gamma, 2)
        n = objective.nobs
        curvature = Curvature(-point.hessian * n)
        root = curvature.root_inverse()
        if polish and np.linalg.norm(n * root.T @ point.gradient) > _AT_TOP:
            found = newton(objective, gamma, tol=1e-9, point=point)
            gamma, point = found.gamma, objective.evaluate(found.gamma, 2)
            root = Curvature(-point.hessian * n).root_inverse()
        gradient, hessian = n * root.T @ point.gradient, n * root.T @ point.hessian @ root
        return cls(objective, gamma, root, point.value * n, gradient, hessian)

    def ray(self, direction: Array) -> "Ray":
        """Coordinates in which the first is the function ``direction @ gamma``, in its standard errors."""
        (inside,), (unit,) = self._inside(direction[None])
        length = float(np.linalg.norm(inside))
        turn, _ = linalg.qr((inside / length)[:, None])
        turn[:, 0] = inside / length  # and not its negative
        return Ray(self, turn, unit * length)

    def fan(self, directions: Array, angles: Array) -> tuple[Array, list["Ray"]]:
        """Rays in the plane of two functions, ``directions @ gamma``, all others at their best.

        Returns
        -------
        plane : (2, 2) array
            The functions at a distance of 1 from the maximum, along the angles 0 and a quarter turn.
        rays : one for each angle
        """
        inside, units = self._inside(directions)
        turn, triangle = linalg.qr(inside.T)
        arms = turn[:, :2] @ np.array([np.cos(angles), np.sin(angles)])
        rays = [Ray(self, np.column_stack([arm, turn[:, 2:]]), 1.0) for arm in arms.T]
        return units[:, None] * triangle[:2].T, rays

    def _inside(self, directions: Array) -> tuple[Array, Array]:
        """Functions in ``u``, each in a unit of its own: their squares must not overflow."""
        units = np.abs(directions).max(axis=1)
        return (directions / units[:, None]) @ self.root, units

    @cached_property
    def allowance(self) -> float:
        """What rounding may add to the height of the maximum."""
        return 1e-6 + 1e-12 * abs(self.value)


@dataclass(frozen=True, eq=False)
class Ray:
    """A peak seen along one direction: ``u = turn @ v``.

    Columns of ``turn`` are orthonormal, and need not span all coordinates; ``se`` is the standard error of what is
    profiled.
    """

    peak: Peak
    turn: Array
    se: float

    @cached_property
    def basis(self) -> Array:
        """From ``v`` to differences of coordinates."""
        return self.peak.root @ self.turn

    @cached_property
    def top(self) -> Point:
        """The maximum."""
        peak, turn = self.peak, self.turn
        return Point(np.zeros(turn.shape[1]), 0.0, turn.T @ peak.gradient, turn.T @ peak.hessian @ turn)

    def gamma(self, v: Array) -> Array:
        """Coordinates of the fit."""
        return self.peak.gamma + self.basis @ v

    def at(self, v: Array, order: int = 2) -> Point | None:
        """Evaluate at a point; None where there is no likelihood.

        Raises
        ------
        Beaten
            If it is larger than at the maximum.
        """
        objective = self.peak.objective
        found = objective.evaluate(self.gamma(v), order)
        if found.gradient is None:
            return None
        n = objective.nobs
        drop = 2 * (self.peak.value - n * found.value)
        if drop < -self.peak.allowance:
            raise Beaten(v, n * found.value)
        hessian = None if found.hessian is None else n * self.basis.T @ found.hessian @ self.basis
        return Point(v, drop, n * self.basis.T @ found.gradient, hessian)

    def climb(self, s: float, near: Point) -> Point:
        """Return the largest likelihood at a distance ``s``, from the maximum of the others at a distance nearby.

        Raises
        ------
        Unsettled
            If none is found.
        Beaten
            If it is larger than at the maximum.
        """
        others = Slice(self, s)
        for start in (near.v[1:] + _slide(near) * (s - near.v[0]), near.v[1:]):
            try:
                found = newton(others, start, tol=1e-9).gamma if start.size else start
            except StartError:
                continue
            point = self.at(np.concatenate([[s], found]))
            if point is None:
                continue
            if np.linalg.norm(point.gradient[1:]) < _SETTLED + 1e-12 * abs(self.peak.value):
                return point
            raise Unsettled(NO_MAXIMUM, False)
        raise Unsettled(NO_LIKELIHOOD, True)


@dataclass(frozen=True, eq=False)
class Slice:
    """The likelihood of the others where what is profiled is held: an objective."""

    ray: Ray
    s: float

    @property
    def size(self) -> int:
        """Number of the others."""
        return self.ray.turn.shape[1] - 1

    @property
    def rows(self) -> int:
        """Number of rows."""
        return self.ray.peak.objective.rows

    @property
    def nobs(self) -> float:
        """Number of observations."""
        return self.ray.peak.objective.nobs

    @property
    def count(self) -> float:
        """Observations, of which distances in standard errors are made here."""
        return self.nobs

    def reach(self, direction: Array) -> float:
        """Furthest that a step moves any linear predictor."""
        return self.ray.peak.objective.reach(self.ray.basis[:, 1:] @ direction)

    def expected_information(self, gamma: Array) -> None:
        """Return None: steps take the Hessian."""

    def evaluate(self, others: Array, order: int = 2) -> Any:
        """Mean log-likelihood and its derivatives in the others."""
        basis = self.ray.basis
        found = self.ray.peak.objective.evaluate(self.ray.gamma(np.concatenate([[self.s], others])), order)
        return found._replace(
            gradient=None if found.gradient is None else basis[:, 1:].T @ found.gradient,
            hessian=None if found.hessian is None else basis[:, 1:].T @ found.hessian @ basis[:, 1:],
        )


def _slide(point: Point) -> Array:
    """How the maximum of the others moves with what is profiled."""
    if len(point.v) == 1:
        return np.zeros(0)
    return Curvature(-point.hessian[1:, 1:]).solve(point.hessian[1:, 0])
