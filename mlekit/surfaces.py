"""The likelihood round an estimate, and along one function of the coefficients."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from mlekit.links import Array
from mlekit.optimize.profile import End, along, end, searched
from mlekit.optimize.ray import Peak, Point, Ray
from mlekit.targets import Target

#: A function of the coefficients that restrictions leave less than this share of is determined by them.
_DETERMINED = 1e-10


@dataclass(frozen=True, eq=False)
class Line:
    """The likelihood along one function of the coefficients, all else at its best.

    Distances are in units of ``unit``; ``notes`` are what is to be said of all of it.
    """

    target: Target
    estimate: float
    unit: float
    height: float
    notes: tuple[str, ...]

    @property
    def std_err(self) -> float:
        """Standard error of the function, by the curvature of the likelihood."""
        return self.unit

    @property
    def top(self) -> Point:
        """The maximum."""
        raise NotImplementedError

    def end(self, side: int, drop: float) -> End:
        """Where the profile has fallen by ``drop``, in twice the log-likelihood."""
        raise NotImplementedError

    def along(self, distances: Array) -> list[Point]:
        """Largest likelihoods at distances that grow, as far as they are found."""
        raise NotImplementedError

    def reach(self, s: float, width: float) -> float:
        """How far to go along it to an end at a distance ``s``; ``width`` is how far that of Wald would be."""
        return abs(s) if np.isfinite(s) else 2 * width

    def coefficients(self, v: Array) -> Array:
        """Coefficients at a point of the line."""
        raise NotImplementedError

    @property
    def direction(self) -> int:
        """-1 if the scale that it is reported on falls as the function rises, else 1."""
        low, high = self.value(np.array([-1e-3, 1e-3]))
        return -1 if high < low else 1

    def value(self, s: Any) -> Any:
        """The function at a distance, on the scale that it is reported on."""
        return self.reported(self.estimate + self.unit * np.asarray(s, dtype=float))

    def reported(self, eta: Any) -> Any:
        """Values of the function on the scale that it is reported on."""
        with np.errstate(all="ignore"):
            return eta if self.target.scale is None else self.target.scale(eta)


@dataclass(frozen=True, eq=False)
class SearchedLine(Line):
    """A line that is searched by maximising at each distance; its points are a distance, and the coefficients there."""

    params: Array

    @property
    def top(self) -> Point:
        """The maximum."""
        return Point(np.concatenate([[0.0], self.params]), 0.0, np.zeros(0), None)

    def end(self, side: int, drop: float) -> End:
        """Where the profile has fallen by ``drop``, in twice the log-likelihood."""
        return searched(self, side, drop)

    def along(self, distances: Array) -> list[Point]:
        """Largest likelihoods at distances that grow, as far as they are found."""
        return along(self, distances)

    def climb(self, s: float, near: Point) -> Point:
        """Return the largest likelihood at a distance; see :meth:`mlekit.optimize.ray.Ray.climb`."""
        raise NotImplementedError

    def coefficients(self, v: Array) -> Array:
        """Coefficients at a point of the line."""
        return v[1:]


@dataclass(frozen=True, eq=False)
class SmoothLine(Line):
    """A line along which the joint equations are solved."""

    surface: "Surface"
    ray: Ray

    @property
    def top(self) -> Point:
        """The maximum."""
        return self.ray.top

    def end(self, side: int, drop: float) -> End:
        """Where the profile has fallen by ``drop``, in twice the log-likelihood."""
        return end(self.ray, side, drop)

    def along(self, distances: Array) -> list[Point]:
        """Largest likelihoods at distances that grow, as far as they are found."""
        return along(self.ray, distances)

    def coefficients(self, v: Array) -> Array:
        """Coefficients at a point of the line."""
        return self.surface.coefficients(self.ray.gamma(v))


@dataclass(frozen=True, eq=False)
class Surface:
    """A smooth likelihood round an estimate: coefficients are ``origin + matrix @ gamma``."""

    peak: Peak
    origin: Array
    matrix: Array
    notes: tuple[str, ...]
    #: Whether the likelihood is as smooth in every direction.
    open: ClassVar[bool] = True

    def line(self, target: Target) -> Line:
        """Look at it along a function of the coefficients.

        Raises
        ------
        ValueError
            If restrictions determine the function.
        """
        estimate, ray = self.seen(target)
        return SmoothLine(target, estimate, ray.se, self.peak.value, self.notes, self, ray)

    def seen(self, target: Target) -> tuple[float, Ray]:
        """Return the estimate of a function, and the ray along it."""
        if not self.moves(target):
            raise ValueError(f"{target.name} is determined by the restrictions of the fit: it has no profile")
        return float(target.contrast @ self.coefficients(self.peak.gamma)), self.peak.ray(target.contrast @ self.matrix)

    def moves(self, target: Target) -> bool:
        """Whether restrictions let the function vary."""
        terms = np.abs(target.contrast) @ np.abs(self.matrix)
        return bool(np.abs(target.contrast @ self.matrix).max(initial=0.0) > _DETERMINED * terms.max(initial=0.0))

    def coefficients(self, gamma: Array) -> Array:
        """Coefficients at some coordinates."""
        return self.origin + self.matrix @ gamma
