"""Profile likelihoods where coefficients are infinite: they fall on one side alone."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from scipy import linalg, optimize

from mlekit.existence import Separation, held
from mlekit.likelihood import Likelihood, Transformed
from mlekit.limiting import left
from mlekit.links import Array
from mlekit.optimize.newton import newton
from mlekit.optimize.profile import End
from mlekit.optimize.ray import Point
from mlekit.separation import limits
from mlekit.surfaces import Line, Surface
from mlekit.targets import Target

if TYPE_CHECKING:
    from mlekit.model import Model

# Strides that double, and how near to an end a root is closed.
_STRIDES, _CLOSE = 60, 1e-13


@dataclass(frozen=True, eq=False)
class InfiniteSurface:
    """The likelihood round the limit of a fit whose coefficients are infinite.

    Attributes
    ----------
    model : Model
    separation : Separation
    height : float
        Supremum of the log-likelihood.
    stopped : (p,) array
        Finite coefficients on the way to it.
    finite : callable
        The surface of the limiting model, and a contrast in its coefficients.
    """

    model: "Model"
    separation: Separation
    height: float
    stopped: Array
    finite: Callable[[Array], tuple[Surface, Array]]
    #: Functions that are not linear, and pairs, are not profiled.
    open: ClassVar[bool] = False

    def line(self, target: Target) -> Line:
        """Look at it along a function of the coefficients.

        One that stays finite has the profile of the limiting model: whatever value it is held at, the same rows are
        separated.
        """
        matrix = self.model.matrix
        inside = target.contrast @ matrix
        size = float(np.abs(target.contrast) @ np.abs(matrix).max(axis=1))
        (sign,) = self.separation.cone.signs(inside[None], np.array([size]))
        if sign == 0:
            surface, contrast = self.finite(target.contrast)
            return surface.line(target._replace(contrast=contrast))
        return InfiniteLine.of(self, target, inside / size, size, float(sign))


@dataclass(frozen=True, eq=False)
class InfiniteLine(Line):
    """The likelihood along a function that is infinite at its supremum; distances are from where the fit stopped."""

    surface: InfiniteSurface
    #: The function in the coordinates of the fit, in a unit of its own.
    inside: Array
    size: float
    sign: float
    origin: float
    known: dict[float, Point] = field(default_factory=dict)

    @classmethod
    def of(cls, surface: InfiniteSurface, target: Target, inside: Array, size: float, sign: float) -> "InfiniteLine":
        """Make one; its unit is that in which separated rows go to their limits."""
        cone, origin = surface.separation.cone, float(target.contrast @ surface.stopped)
        along = cone.space.T @ inside
        unit = size / float(np.median(np.abs(cone.facets @ (along / (along @ along)))))
        unit = unit if np.isfinite(unit) else size
        return cls(target, sign * np.inf, unit, surface.height, (), surface, inside, size, sign, origin)

    @property
    def std_err(self) -> float:
        """None."""
        return float("nan")

    @property
    def top(self) -> Point:
        """Where the fit stopped, on the way to the supremum."""
        return self._at(0.0)

    def value(self, s: Any) -> Any:
        """The function at a distance, on the scale that it is reported on."""
        return self.reported(self.origin + self.unit * np.asarray(s, dtype=float))

    def end(self, side: int, drop: float) -> End:
        """Where the profile has fallen by ``drop``, in twice the log-likelihood: on one side it does not fall."""
        if side == self.sign or np.isnan(self.sign):
            return End(side * np.inf, None)

        def above(s: float) -> float:
            return float(np.sqrt(self._at(s).drop) - np.sqrt(drop))

        s, stride = 0.0, 1.0
        while above(s) > 0:  # where the fit stopped may be too near
            s, stride = s - side * stride, 2 * stride
        inner, stride = s, 1.0
        for _ in range(_STRIDES):
            s = inner + side * stride
            if above(s) > 0:
                root = optimize.brentq(above, inner, s, xtol=_CLOSE * max(abs(inner), abs(s), 1.0), rtol=1e-14)
                return End(float(root), self._at(float(root)).v)
            inner, stride = s, 2 * stride
        return End(np.nan, None, "the likelihood was not found to fall far enough")

    def along(self, distances: Array) -> list[Point]:
        """Largest likelihoods at distances."""
        return [self._at(float(s)) for s in distances]

    def coefficients(self, v: Array) -> Array:
        """Coefficients at a point of the line: infinite, or NaN, where they are not finite there either."""
        return limits(self.surface.model.matrix @ self._coordinates(v), self._held.signs)

    # ------------------------------------------------------------------------------------ the function held

    @cached_property
    def _held(self) -> Separation:
        """What is separated still where the function is held: the same for every value."""
        return held(self.surface.model, self.inside)

    @cached_property
    def _others(self) -> Array:
        """Coordinates that are free, and that rows are left to tell of."""
        known = np.column_stack([self.inside / np.linalg.norm(self.inside), self._held.cone.space])
        return np.asarray(linalg.null_space(known.T))

    def _coordinates(self, v: Array) -> Array:
        value = self.origin + self.unit * v[0]
        found: Array = value / self.size * self.inside / (self.inside @ self.inside) + self._others @ v[1:]
        return found

    @cached_property
    def _rows(self) -> Any:
        rows, offsets = left(self.surface.model, self._held)
        return self.surface.model.observations.block.rows(np.flatnonzero(rows)), offsets[:, rows]

    def _at(self, s: float) -> Point:
        """Return the largest likelihood at a distance."""
        if s not in self.known:
            model, (block, pushes) = self.surface.model, self._rows
            if self.known:
                start = self.known[min(self.known, key=lambda t: abs(t - s))].v[1:]
            else:
                start = self._others.T @ np.linalg.solve(model.matrix, self.surface.stopped)
            height, others = 0.0, start
            if len(block):
                moved = model.matrix @ self._coordinates(np.concatenate([[s], np.zeros(start.size)]))
                shifts = (x @ moved[where] for x, where in zip(block.X, model.design.slices, strict=True))
                offsets = (
                    shift + push + (0.0 if o is None else o)
                    for shift, push, o in zip(shifts, pushes, block.offset, strict=True)
                )
                likelihood = Likelihood(model.family, replace(block, offset=tuple(offsets)), model.design.slices)
                working = Transformed(likelihood, model.matrix @ self._others)
                others = newton(working, start, tol=1e-9).gamma if start.size else start
                height = working.evaluate(others, 0).value * likelihood.nobs
            drop = max(2 * (self.surface.height - height), 0.0)
            self.known[s] = Point(np.concatenate([[s], others]), drop, np.zeros(0), None)
        return self.known[s]
