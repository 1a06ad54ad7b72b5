"""Profile likelihoods under restrictions: constraints and penalties change the likelihood, bounds end the way."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from scipy import optimize

from mlekit.links import Array
from mlekit.optimize import Optimum
from mlekit.optimize.newton import newton
from mlekit.optimize.profile import End, joint, searched
from mlekit.optimize.ray import NO_LIKELIHOOD, NO_MAXIMUM, Beaten, Peak, Point, Ray, Unsettled
from mlekit.optimize.verdict import judge
from mlekit.restricted import Reduced, Restrictions, maximum, released
from mlekit.surfaces import SearchedLine, Surface
from mlekit.targets import Target

if TYPE_CHECKING:
    from mlekit.model import Model

# The others are at their maximum if they are this close, in standard errors.
_SETTLED = 1e-4
# A bound that is met up to rounding is met.
_EXACT = 1e-14
# How far short of the furthest value a function of several coefficients is held, as a share of the way.
_HAIR = 1e-9


def restricted_surface(model: "Model", asked: Restrictions, params: Array, active: Mapping[int, float]) -> Surface:
    """The likelihood round an estimate under restrictions; ``active`` are the bounds that it is on."""
    notes = () if asked.penalty is None else (f"The profile is that of the penalised likelihood: {asked.penalty!r}.",)
    reduced = Reduced.of(model, asked, active)
    peak = Peak.of(reduced.working, reduced.coordinates(params))
    if np.isinf(asked.low).all() and np.isinf(asked.high).all():
        return Surface(peak, reduced.origin, reduced.matrix, notes)
    beta = reduced.coefficients(peak.gamma)
    for j, value in active.items():
        beta[j] = value  # exactly
    return Walled(peak, reduced.origin, reduced.matrix, notes, model, asked, beta, active)


@dataclass(frozen=True, eq=False)
class Walled(Surface):
    """A likelihood with bounds, some of them reached by the estimate."""

    model: "Model"
    asked: Restrictions
    params: Array
    active: Mapping[int, float]
    open: ClassVar[bool] = False

    def seen(self, target: Target) -> tuple[float, Ray]:
        """Return the estimate of a function, on a bound exactly, and the ray along it."""
        return float(target.contrast @ self.params), super().seen(target)[1]

    def line(self, target: Target) -> "WalledLine":
        """Look at it along a function of the coefficients; see :meth:`Surface.line`."""
        if not self.active or self.moves(target):
            return self._line(target, on_bound=False)
        # Bounds hold it where it is: the only ways lead away from one of them, or from all.
        for loose in [*([j] for j in self.active), list(self.active)]:
            kept = {j: value for j, value in self.active.items() if j not in loose}
            reduced = Reduced.of(self.model, self.asked, kept)
            peak = Peak.of(reduced.working, reduced.coordinates(self.params), polish=False)
            free = replace(self, peak=peak, origin=reduced.origin, matrix=reduced.matrix, active=kept)
            if free.moves(target):
                break
        return free._line(target, on_bound=True)

    def _line(self, target: Target, *, on_bound: bool) -> "WalledLine":
        estimate, ray = self.seen(target)
        return WalledLine(target, estimate, ray.se, self.peak.value, self.notes, self.params, self, ray, on_bound)


@dataclass(frozen=True, eq=False)
class WalledLine(SearchedLine):
    """A profile along which bounds may be met."""

    surface: Walled
    ray: Ray
    on_bound: bool

    @property
    def std_err(self) -> float:
        """Standard error; NaN for an estimate on its bound."""
        return np.nan if self.on_bound else self.unit

    def value(self, s: Any) -> Any:
        """The function at a distance, on the scale that it is reported on; a bound is met exactly."""
        eta = self.estimate + self.unit * np.asarray(s, dtype=float)
        for bound in self._reach:
            if np.isfinite(bound):
                eta = np.where(np.abs(eta - bound) <= _EXACT * (abs(bound) + abs(self.estimate)), bound, eta)
        return self.reported(eta)

    def end(self, side: int, drop: float) -> End:
        """Where the profile has fallen by ``drop``, or its bound.

        The joint equations know of the bounds that the estimate is on, and their root is the end if it obeys the others
        and the likelihood falls away from these. Else the search maximises under all bounds at each distance.
        """
        limit = abs(self._furthest(side) - self.estimate) / self.unit
        if limit <= 1e-9:
            return End(0.0, self.top.v, "the estimate is on its bound")
        try:
            v = joint(self.ray, side, drop)
        except Beaten as beaten:
            beta = self.surface.coefficients(self.ray.gamma(beaten.v))
            if self._inside(beta):
                raise Beaten(np.concatenate([beaten.v[:1], beta]), beaten.value) from None
            v = None
        if v is not None and abs(v[0]) <= limit:
            beta = self.surface.coefficients(self.ray.gamma(v))
            for j, value in self.surface.active.items():
                beta[j] = value
            held = self._held(v[0])
            if self._inside(beta) and released(self.surface.model, held, beta, self.surface.active) is None:
                return End(float(v[0]), np.concatenate([v[:1], beta]))
        return searched(self, side, drop, limit)

    def climb(self, s: float, near: Point) -> Point:
        """Return the largest likelihood at a distance; see :meth:`mlekit.optimize.ray.Ray.climb`."""
        try:
            found = maximum(self.surface.model, self._held(s), near.v[1:], _solve)
        except ValueError:  # nothing obeys all, or there is no likelihood at the start
            raise Unsettled(NO_LIKELIHOOD, True) from None
        verdict = judge(found.model.working, found.optimum)
        if not found.settled or not verdict.decrement < _SETTLED:
            raise Unsettled(NO_MAXIMUM, False)
        beta = found.model.coefficients(found.optimum.gamma)
        for j, value in found.active.items():
            beta[j] = value
        value = verdict.evaluation.value * self.ray.peak.objective.nobs
        v, drop = np.concatenate([[s], beta]), 2 * (self.height - value)
        if drop < -self.ray.peak.allowance:
            raise Beaten(v, value)
        return Point(v, drop, np.zeros(0), None)

    def _held(self, s: float) -> Restrictions:
        """The restrictions, and the function held at a distance.

        Where it is held on its bound, bounds and function say the same, and which of them holds it would never settle:
        a coefficient loses its own bounds; beside constraints, or where there are several, they stop a hair short.
        """
        asked, own = self.surface.asked, np.flatnonzero(self.target.contrast)
        low, high, least, most = asked.low.copy(), asked.high.copy(), *self._reach
        value = self.estimate + self.unit * s
        if own.size == 1 and not len(asked.matrix):
            low[own], high[own] = -np.inf, np.inf
        else:
            least, most = (end + _HAIR * (self.estimate - end) if np.isfinite(end) else end for end in (least, most))
        return replace(
            asked,
            matrix=np.vstack([asked.matrix, self.target.contrast]),
            constants=np.append(asked.constants, min(max(value, least), most)),
            low=low,
            high=high,
        )

    def _inside(self, beta: Array) -> bool:
        asked = self.surface.asked
        return bool((beta >= asked.low).all() and (beta <= asked.high).all())

    def _furthest(self, side: int) -> float:
        """The largest or smallest value that the restrictions leave to the function."""
        return self._reach[(side + 1) // 2]

    @cached_property
    def _reach(self) -> tuple[float, float]:
        asked, contrast = self.surface.asked, self.target.contrast
        if not len(asked.matrix) and np.count_nonzero(contrast) == 1:
            j = int(np.flatnonzero(contrast)[0])
            low, high = sorted([contrast[j] * asked.low[j], contrast[j] * asked.high[j]])
            return float(low), float(high)
        units = np.abs(self.surface.model.matrix).max(axis=1)
        scaled = contrast * units
        size = np.abs(scaled).max()
        rows = asked.matrix * units
        norms = np.abs(rows).max(axis=1, initial=0.0)
        norms[norms == 0] = 1.0
        ends = []
        for side in (-1, 1):
            found = optimize.linprog(
                -side * scaled / size,
                A_eq=rows / norms[:, None] if len(rows) else None,
                b_eq=asked.constants / norms if len(rows) else None,
                bounds=np.column_stack([asked.low / units, asked.high / units]),
            )
            ends.append(side * np.inf if found.x is None else float(scaled @ found.x))
        return ends[0], ends[1]


def _solve(reduced: Reduced, gamma: Array) -> Optimum:
    return newton(reduced.working, gamma) if gamma.size else Optimum(gamma, "no coefficients", 0, 0)
