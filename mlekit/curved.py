"""Profile likelihoods of smooth functions of the coefficients that are not linear."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mlekit.links import Array
from mlekit.optimize.profile import End
from mlekit.optimize.ray import Point
from mlekit.surfaces import Line, SmoothLine, Surface
from mlekit.targets import Target, slopes

# A tangent that moves its end this little, in standard errors, is that of the end: what it leaves is the square.
_SETTLED = 1e-8
_TANGENTS = 100


@dataclass(frozen=True, eq=False)
class CurvedLine(Line):
    """The likelihood along a function of the coefficients, all else at its best.

    Where the function is largest or smallest among all coefficients of one likelihood, its gradient is that of the
    likelihood up to a factor, as it is for a linear function. So an end is that of the function's own tangent there:
    it is found by a linear function for each tangent.
    """

    surface: Surface
    function: Callable[[Array], float]
    params: Array

    @classmethod
    def of(cls, surface: Surface, target: Target, function: Callable[[Array], float]) -> "CurvedLine":
        """Look at a surface along a function; ``target`` is its tangent at the estimate.

        Raises
        ------
        ValueError
            If the surface has bounds, or restrictions determine the function.
        """
        params = surface.coefficients(surface.peak.gamma)
        unit = surface.line(target).unit
        return cls(target, function(params), unit, surface.peak.value, surface.notes, surface, function, params)

    @property
    def top(self) -> Point:
        """The maximum."""
        return Point(np.concatenate([[0.0], self.params]), 0.0, np.zeros(0), None)

    def coefficients(self, v: Array) -> Array:
        """Coefficients at a point of the line."""
        return v[1:]

    def reach(self, s: float, width: float) -> float:
        """Points are taken by their height."""
        return width

    def along(self, distances: Array) -> list[Point]:
        """Points where the likelihood has fallen as far as Wald's would at these distances."""
        found = []
        for s in distances:
            reached = self.end(1 if s > 0 else -1, s * s)
            if reached.v is None:
                break
            found.append(Point(reached.v, s * s, np.zeros(0), None))
        return found

    def end(self, side: int, drop: float) -> End:
        """Where the profile has fallen by ``drop``, in twice the log-likelihood."""
        surface, beta, value = self.surface, self.params, self.estimate
        steps = np.linalg.norm(surface.matrix @ surface.peak.root, axis=1)
        at = np.full(surface.peak.gamma.size, np.inf)
        for _ in range(_TANGENTS):
            slope = slopes(self.function, beta, steps)
            tangent = self.target._replace(contrast=slope)
            if not (np.isfinite(slope).all() and surface.moves(tangent)):
                return End(np.nan, None, "the function has no slope on the way")
            line = surface.line(tangent)
            assert isinstance(line, SmoothLine)
            reached = line.end(side, drop)
            if reached.why or reached.v is None:
                return End(np.nan, None, reached.why)
            beta, u, before = line.coefficients(reached.v), line.ray.turn @ reached.v, value
            value = self.function(beta)
            if not side * (value - before) >= -_SETTLED * self.unit:
                return End(
                    np.nan, None, "the function turns round on the way: it has no largest or smallest value there"
                )
            if np.linalg.norm(u - at) <= _SETTLED:
                s = (value - self.estimate) / self.unit
                return End(s, np.concatenate([[s], beta]))
            at = u
        return End(np.nan, None, "the function is too curved at this level: its tangents do not settle")
