"""Where a profile likelihood falls to a given height.

Venzon and Moolgavkar (1988), "A method for computing profile-likelihood-based confidence intervals", Applied Statistics
37, 87-94, with the safeguard of a search that maximises at every step.
"""

from collections.abc import Iterable
from typing import NamedTuple, Protocol

import numpy as np
from scipy import linalg, optimize

from mlekit.links import Array
from mlekit.optimize.ray import Point, Ray, Unsettled

# A joint step this short, in standard errors, is the last one: what it leaves is its square.
_LAST = 1e-7
# On many rows: what a step that an approximate Hessian gives may leave.
_LEFT = 1e-8
_MANY, _WORK = 50_000, 2_000_000
_STEPS, _HALVINGS = 25, 8
# A likelihood that rises this little between distances that double has levelled out.
_LEVEL = 1e-7
_FURTHEST, _STRIDES = 1e15, 400
# Strides this short, relative to the distance, lead nowhere: to the edge of a domain, or for want of a maximum.
_SHORT, _LOST = 1e-10, 1e-4


class End(NamedTuple):
    """Where a profile falls to a given height, in standard errors from the maximum, with the coordinates there.

    ``s`` is infinite where it does not, or the edge of what has a likelihood, and NaN where it is not known: ``why``
    says so.
    """

    s: float
    v: Array | None
    why: str = ""


class Climber(Protocol):
    """What a search needs of a likelihood: a ray is one."""

    @property
    def top(self) -> Point:
        """The maximum."""

    def climb(self, s: float, near: Point) -> Point:
        """Return the largest likelihood at a distance; see :meth:`~mlekit.optimize.ray.Ray.climb`."""


def end(ray: Ray, side: int, drop: float) -> End:
    """Where the profile along a ray has fallen by ``drop`` (in twice the log-likelihood) on one side, -1 or 1.

    Raises
    ------
    Beaten
        If a better maximum turns up on the way.
    """
    v = joint(ray, side, drop)
    return searched(ray, side, drop) if v is None else End(float(v[0]), v)


def along(climber: Climber, distances: Iterable[float]) -> list[Point]:
    """Largest likelihoods at distances that grow in size, each from the one before, as far as they are found."""
    found, near = [], climber.top
    for s in distances:
        try:
            near = climber.climb(s, near)
        except Unsettled:
            break
        found.append(near)
    return found


# ------------------------------------------------------------------------------------ the joint system


def joint(ray: Ray, side: int, drop: float) -> Array | None:
    """Solve for the score of the others to be zero and the height to be what is asked for, at once.

    0. At a point, take the quadratic of the likelihood: its profile is a parabola in the first coordinate.
    1. Step to where the parabola has the height, the others to their maximum there. Stop when the step is short.
    2. Halve the step until height and score are nearer to what they should be, and go to 0.

    On many rows, or of many coefficients, the Hessian is the one at the maximum, kept true to the gradients that are
    found, as long as steps shrink. None where steps lead nowhere.
    """
    objective = ray.peak.objective
    many = objective.rows >= _MANY or objective.rows * objective.size**2 >= _WORK
    last = max(_LAST, 1e-14 * abs(ray.peak.value))
    point, before, exact = ray.top, np.inf, True
    for _ in range(_STEPS):
        step = _step(point, side, drop)
        if step is None:
            return None
        length = float(np.linalg.norm(step))
        share = length / before if np.isfinite(before) else 1.0
        if length <= last or (many and not exact and share * max(abs(step[0]), length**2) <= max(_LEFT, last)):
            return point.v + step
        there = _moved(ray, point, step, drop, 1 if many and (exact or share < 0.2) else 2)
        if there is None:
            return None
        exact = there.hessian is not None
        if not exact:
            there = there._replace(hessian=_updated(point, there, np.isinf(before)))
        point, before = there, length
    return None


def _step(point: Point, side: int, drop: float) -> Array | None:
    """Step to where the quadratic of the likelihood has the height; None where it never has."""
    score, hessian = point.gradient, point.hessian
    try:
        factor = linalg.cho_factor(-hessian[1:, 1:]) if len(score) > 1 else None
    except (linalg.LinAlgError, ValueError):
        return None
    cross = hessian[1:, 0]
    climb, slide = (np.zeros(0),) * 2 if factor is None else linalg.cho_solve(factor, np.array([score[1:], cross]).T).T
    slope, bend = score[0] + cross @ climb, hessian[0, 0] + cross @ slide
    above = (drop - point.drop + score[1:] @ climb) / 2
    inside = slope**2 - 2 * bend * above
    divisor = side * np.sqrt(max(inside, 0.0)) - slope
    if inside < 0 or divisor == 0:
        return None
    s = 2 * above / divisor
    furthest = 2 * max(np.sqrt(drop), abs(point.v[0]))
    s = float(np.clip(s, -furthest, furthest))  # a step of a parabola that is nearly a line
    return np.concatenate([[s], climb + slide * s])


def _moved(ray: Ray, point: Point, step: Array, drop: float, order: int) -> Point | None:
    """Halve the step until height and score are nearer to what they should be."""

    def missed(at: Point) -> float:
        return float(np.hypot((at.drop - drop) / (2 * np.sqrt(drop)), np.linalg.norm(at.gradient[1:])))

    share = 1.0
    for _ in range(_HALVINGS):
        there = ray.at(point.v + share * step, order)
        if there is not None and missed(there) <= (1 - 0.1 * share) * missed(point) + ray.peak.allowance:
            return there
        share /= 2
    return None


def _updated(point: Point, there: Point, first: bool) -> Array:
    """Hessian at a point that has a gradient, from that at the point before (Powell's symmetric update).

    From the maximum, where the Hessian is exact, a quadratic through both gradients has its slope at the end; later
    steps are short enough for the slope between them.
    """
    move, change = there.v - point.v, there.gradient - point.gradient
    known = point.hessian @ move
    missing = 2 * (change - known) if first else change - known
    square = move @ move
    outer = np.outer(missing, move) / square
    return np.asarray(point.hessian + outer + outer.T - (move @ missing) / square**2 * np.outer(move, move))


# ------------------------------------------------------------------------------------ the safeguard


def searched(climber: Climber, side: int, drop: float, limit: float = np.inf) -> End:
    """Bracket the end by distances that double, all others at their maximum, and close the bracket.

    Strides are halved where nothing is found, and the way ends where they get short. There is nothing beyond a distance
    of ``limit``.
    """
    inner, far = climber.top, 0.0
    falls: list[float] = []
    stride = float(np.sqrt(drop))
    for _ in range(_STRIDES):
        s = side * min(abs(inner.v[0]) + stride, limit)
        try:
            outer = climber.climb(s, inner)
        except Unsettled as lost:
            stride /= 2
            if stride <= (_SHORT if lost.edge else _LOST) * abs(s):
                return _cut_off(inner, lost)
            continue
        if outer.drop >= drop:
            return _closed(climber, inner, outer, drop)
        fallen = f"the likelihood has fallen by {outer.drop / 2:.3g} alone"
        if abs(s) >= limit:
            return End(s, outer.v, f"{fallen} at its bound")
        if abs(s) >= 2 * far:
            falls, far = [*falls, outer.drop], abs(s)
            if _levelled(falls, drop) or far > _FURTHEST:
                break
        inner, stride = outer, min(2 * stride, abs(s))
    else:
        return End(np.nan, None, f"{fallen} where the search was given up")
    return End(side * np.inf, None, f"the likelihood falls by {max(falls) / 2:.3g} at most")


def _cut_off(inner: Point, lost: Unsettled) -> End:
    """Where there is no way on."""
    fallen = f"the likelihood has fallen by {inner.drop / 2:.3g} alone, and {lost}"
    return End(float(inner.v[0]), inner.v, fallen) if lost.edge else End(np.nan, None, fallen)


def _levelled(falls: list[float], drop: float) -> bool:
    """Whether a likelihood at distances that double will never have fallen as far as asked for."""
    if len(falls) < 3:
        return False
    first, second = np.diff(falls[-3:])
    if max(abs(first), abs(second)) <= _LEVEL:
        return True
    share = second / first if first > 0 else 1.0
    return bool(len(falls) > 6 and 0 <= share < 0.75 and falls[-1] + 2 * second * share / (1 - share) < drop)


def _closed(climber: Climber, inner: Point, outer: Point, drop: float) -> End:
    """Find the end between two distances."""
    known = {inner.v[0]: inner, outer.v[0]: outer}

    def above(s: float) -> float:
        if s not in known:
            known[s] = climber.climb(s, min(known.values(), key=lambda p: abs(p.v[0] - s)))
        return float(np.sqrt(max(known[s].drop, 0.0)) - np.sqrt(drop))

    try:
        s = optimize.brentq(above, inner.v[0], outer.v[0], xtol=1e-11 * abs(outer.v[0]), rtol=1e-14, maxiter=200)
        above(s)
    except Unsettled as lost:
        return End(np.nan, None, str(lost))
    return End(float(s), known[s].v)
