"""Maxima under restrictions: linear constraints, bounds, and penalties."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from patsy import PatsyError
from scipy import linalg, optimize

from mlekit.labels import constraints as read_constraints
from mlekit.likelihood import Likelihood, Transformed
from mlekit.links import Array
from mlekit.optimize import Optimum
from mlekit.optimize.start import starting_point
from mlekit.penalties import NormalPrior, Penalized, Penalty, Ridge

if TYPE_CHECKING:
    from mlekit.model import Model

_RANK = 1e-10


@dataclass(frozen=True)
class Restrictions:
    """What a fit is held to.

    Attributes
    ----------
    matrix, constants : (m, p) and (m,) arrays
        Linear constraints, ``matrix @ beta = constants``.
    low, high : (p,) arrays
        Bounds of the coefficients, infinite where there is none.
    penalty : Penalty or None
    texts : tuple of str
        The restrictions in words.
    """

    matrix: Array
    constants: Array
    low: Array
    high: Array
    penalty: Penalty | None
    texts: tuple[str, ...]


def restrictions(
    model: "Model", constraints: Any, bounds: Mapping[str, tuple[Any, Any]] | None, penalty: Penalty | None
) -> Restrictions:
    """Read what a call asks for; see :func:`mlekit.fit`.

    Raises
    ------
    ValueError
        If a name is unknown, a bound is no interval, or constraints cannot be read.
    """
    names = model.design.names
    size, texts = len(names), []
    matrix, constants = np.zeros((0, size)), np.zeros(0)
    if constraints is not None:
        matrix, constants = _constraints(model, constraints)
        texts.append(f"Constraints: {constraints if isinstance(constraints, str) else f'{len(matrix)} linear ones'}.")
    low, high = np.full(size, -np.inf), np.full(size, np.inf)
    if bounds and not hasattr(bounds, "items"):
        raise TypeError(f"bounds must be a dict of (low, high) by name, not {bounds!r}")
    for name, interval in (bounds or {}).items():
        where, ends = _bound(model, name, interval)
        low[where], high[where] = max(low[where], ends[0]), min(high[where], ends[1])
        if not low[where] < high[where]:
            raise ValueError(f"the bounds of {name} leave nothing between them: hold it, by fixed={{{name!r}: ...}}")
        low_text, high_text = ("none" if end is None or math.isinf(end) else f"{end:g}" for end in interval)
        texts.append(f"Bounds of {name}: lower {low_text}, upper {high_text}.")
    if penalty is not None:
        if not isinstance(penalty, Penalty):
            raise TypeError(f"penalty must be a Ridge, a NormalPrior, or a Penalty of yours, not {penalty!r}")
        texts.append(
            f"Penalty: {penalty!r}. The log-likelihood is without it; standard errors are those of the penalised "
            "likelihood, and tests, AIC and BIC do not know of the penalty."
        )
        penalty = penalty.of(model)
    return Restrictions(matrix, constants, low, high, penalty, tuple(texts))


def _constraints(model: "Model", asked: Any) -> tuple[Array, Array]:
    """Read linear constraints."""
    try:
        matrix, constants = read_constraints(model.design.names, asked)
        if not np.isfinite(matrix).all() or not np.isfinite(constants).all():
            raise ValueError("they have numbers that are not finite")
    except (PatsyError, ValueError, IndexError) as error:  # patsy says of an empty text that an index is out of range
        said = "there are none" if isinstance(error, IndexError) else str(error)
        raise ValueError(f"constraints cannot be read: {said}; {_coefficients(model)}") from None
    return matrix, np.ravel(constants)


def _coefficients(model: "Model") -> str:
    """What there is to be restricted."""
    design = model.design
    said = [f"the coefficients are {', '.join(design.names)}"]
    if design.held:
        said.append(f"held are {', '.join(held.text for held in design.held)}")
    if model.aliased:
        said.append(f"left out, as combinations of others, are {', '.join(model.aliased)}")
    return ", ".join(said)


def _bound(model: "Model", name: str, interval: Any) -> tuple[int, tuple[float, float]]:
    """Position of a coefficient, and its bounds; those of a parameter go through its link."""
    try:
        if isinstance(interval, str):
            raise TypeError
        ends = tuple(s * math.inf if end is None else float(end) for end, s in zip(interval, (-1, 1), strict=True))
    except (TypeError, ValueError):
        ends = (math.nan, math.nan)
    if not ends[0] < ends[1]:
        raise ValueError(f"the bounds of {name} must be (low, high), with low < high, or None, not {interval!r}")
    design = model.design
    if name in design.names:
        return design.names.index(name), (ends[0], ends[1])
    if name not in design.params:
        raise ValueError(f"bounds of {name!r}: {_coefficients(model)}, and the parameters {', '.join(design.params)}")
    i = design.params.index(name)
    if not design.columns[i]:
        raise ValueError(f"{name} has no coefficient to be bounded: {_coefficients(model)}")
    if design.columns[i] != ("Intercept",):
        raise ValueError(
            f"{name} is not one number: bound its coefficients, {', '.join(design.names[design.slices[i]])}"
        )
    link, (least, most) = model.family.links[name], model.family.domains()[name]
    if not max(ends[0], least) < min(ends[1], most):
        raise ValueError(f"{name} is between {least:g} and {most:g}: its bounds {interval!r} leave nothing of that")
    with np.errstate(all="ignore"):
        mapped = link.forward(np.clip(np.array(ends), least, most))
    return design.slices[i].start, (float(mapped.min()), float(mapped.max()))


@dataclass(frozen=True, eq=False)
class Reduced:
    """What a fit under linear constraints works on: ``beta = origin + matrix @ gamma`` obeys them.

    Attributes
    ----------
    working : Transformed or Penalized
    origin : (p,) array
    matrix : (p, r) array
    inverse : (r, p) array
        From differences of coefficients to coordinates.
    """

    working: Any
    origin: Array
    matrix: Array
    inverse: Array

    @classmethod
    def of(cls, model: "Model", asked: Restrictions, active: Mapping[int, float]) -> "Reduced":
        """Restrict a model to its constraints, and to the bounds that are reached.

        Raises
        ------
        ValueError
            If the constraints contradict each other.
        """
        rows = np.vstack([asked.matrix, np.eye(asked.low.size)[list(active)]])
        wanted = np.concatenate([asked.constants, list(active.values())])
        # In the coordinates of the fit, and each constraint in its own units.
        inside = rows @ model.matrix
        norm = np.abs(inside).max(axis=1, initial=0.0)  # squares of 1e300 overflow
        norm[norm == 0] = 1.0
        inside, wanted = inside / norm[:, None], wanted / norm
        u, s, vt = linalg.svd(inside, full_matrices=True)
        rank = int((s > _RANK * s.max(initial=1e-300)).sum())
        found = vt[:rank].T @ ((u[:, :rank].T @ wanted) / s[:rank])
        if not np.allclose(inside @ found, wanted, rtol=1e-8, atol=1e-10 * np.abs(wanted).max(initial=0.0)):
            raise ValueError("the constraints contradict each other: no coefficients obey them all")
        origin, reduction = model.matrix @ found, vt[rank:].T
        matrix = model.matrix @ reduction
        # Rounding leaves a trace of coefficients that the constraints determine.
        matrix[np.abs(matrix).max(axis=1, initial=0.0) <= 1e-12 * np.abs(model.matrix).max(axis=1)] = 0.0
        # Where the well-conditioned columns are at hand, sums are made of them: of others they may cancel.
        inner = model.working if isinstance(model.working, Likelihood) else model.likelihood
        columns = inner is model.working
        move = found if columns else origin
        known = (x @ move[where] for x, where in zip(inner.block.X, inner.slices, strict=True))
        offsets = tuple(part if o is None else o + part for o, part in zip(inner.block.offset, known, strict=True))
        shifted = replace(inner, block=replace(inner.block, offset=offsets))
        working: Any = Transformed(shifted, reduction if columns else matrix)
        if asked.penalty is not None:
            working = Penalized(working, asked.penalty, model.design.names, matrix, origin)
        units = np.abs(model.matrix).max(axis=1)  # an inverse that does not depend on those of the covariates
        return cls(working, origin, matrix, reduction.T @ (linalg.inv(model.matrix / units[:, None]) / units))

    def coefficients(self, gamma: Array) -> Array:
        """Coefficients at these coordinates."""
        return self.origin + self.matrix @ gamma

    def coordinates(self, beta: Array) -> Array:
        """Coordinates nearest to some coefficients."""
        return self.inverse @ (beta - self.origin)


@dataclass(frozen=True)
class Solution:
    """The maximum under restrictions, with the bounds that are reached, and whether it settled which they are."""

    model: Reduced
    optimum: Optimum
    active: dict[int, float]
    settled: bool


def maximum(
    model: "Model",
    asked: Restrictions,
    beta: Array | None,
    solve: Callable[[Reduced, Array], Optimum],
    first: Mapping[int, float] | None = None,
) -> Solution:
    """Maximise a likelihood under linear constraints and bounds, by active sets; ``first`` are bounds to start on.

    0. Maximise with the bounds in the active set as constraints.
    1. If that crosses a bound, stop at the first one on the way, put it into the active set, and go to 0.
    2. If the likelihood would rise away from an active bound, take it out of the set, and go to 0.
    """
    beta = _feasible(model, asked, beta)
    if asked.penalty is not None and type(asked.penalty) not in (Ridge, NormalPrior):
        asked.penalty.verify(beta, model.design.names, np.abs(model.matrix).max(axis=1))
    active = dict(first or {})
    beta[list(active)] = list(active.values())
    for _ in range(10 * (beta.size + 1)):
        reduced = Reduced.of(model, asked, active)
        optimum = solve(reduced, reduced.coordinates(beta))
        target = reduced.coefficients(optimum.gamma)
        for j, value in active.items():
            target[j] = value  # exactly
        share, j = _first_met(asked, beta, target, active)
        if share < 1:
            beta = beta + share * (target - beta)
            active[j] = beta[j] = asked.high[j] if target[j] > beta[j] else asked.low[j]
            continue
        beta = target
        loose = released(model, asked, beta, active)
        if loose is None:
            return Solution(reduced, optimum, active, True)
        del active[loose]
    return Solution(reduced, optimum, active, False)


def ends_to_start_on(model: "Model", asked: Restrictions) -> list[dict[int, float]]:
    """Bounds of all parameters but the first, one at a time, that no constraint ties."""
    free = np.flatnonzero(~asked.matrix.any(axis=0)).tolist()
    later = [j for j in free if j >= model.design.slices[0].stop]
    return [{j: float(end[j])} for j in later for end in (asked.low, asked.high) if np.isfinite(end[j])]


def _feasible(model: "Model", asked: Restrictions, beta: Array | None) -> Array:
    """Coefficients that obey all restrictions, near those given or the usual start."""
    start = model.matrix @ starting_point(model.working) if beta is None else beta
    if len(asked.matrix):
        reduced = Reduced.of(model, asked, {})
        start = reduced.coefficients(reduced.coordinates(start))
    inside = np.clip(start, asked.low, asked.high)
    if (inside == start).all() or not len(asked.matrix):
        return inside
    return _nearest(model, asked, start)


def _nearest(model: "Model", asked: Restrictions, start: Array) -> Array:
    """Coefficients that obey all restrictions, nearest to some: a linear programme in the coordinates of the fit.

    Raises
    ------
    ValueError
        If no coefficients obey them all.
    """
    units, size = np.abs(model.matrix).max(axis=1), start.size
    moves = linalg.inv(model.matrix) * units  # of the coordinates, by moves of the coefficients in their units
    furthest = np.ones((size, 1))
    rows = asked.matrix * units
    norm = np.abs(rows).max(axis=1, initial=0.0)
    norm[norm == 0] = 1.0
    ends = zip((asked.low - start) / units, (asked.high - start) / units, strict=True)
    found = optimize.linprog(
        np.append(np.zeros(size), 1.0),
        A_ub=np.block([[moves, -furthest], [-moves, -furthest]]),
        b_ub=np.zeros(2 * size),
        A_eq=np.column_stack([rows / norm[:, None], np.zeros(len(rows))]),
        b_eq=(asked.constants - asked.matrix @ start) / norm,
        bounds=[*ends, (0.0, np.inf)],
    )
    if found.x is None:
        raise ValueError("the constraints and the bounds contradict each other: no coefficients obey them all")
    return np.clip(start + found.x[:-1] * units, asked.low, asked.high)


def _first_met(asked: Restrictions, beta: Array, target: Array, active: Mapping[int, float]) -> tuple[float, int]:
    """Share of the way at which the first bound that is not active is met, and whose it is; 1 if none is."""
    with np.errstate(all="ignore"):
        move = target - beta
        room = np.where(move > 0, asked.high - beta, np.where(move < 0, asked.low - beta, np.inf)) / move
    room[list(active)] = np.inf
    room[move == 0] = np.inf
    outside = (target > asked.high) | (target < asked.low)
    room = np.where(outside, np.clip(room, 0.0, 1.0 - 1e-16), np.inf)
    j = int(np.argmin(room))
    return (float(room[j]), j) if np.isfinite(room[j]) else (1.0, -1)


def released(model: "Model", asked: Restrictions, beta: Array, active: Mapping[int, float]) -> int | None:
    """The active bound that the likelihood rises away from most steeply, or None."""
    if not active:
        return None
    gradient = model.score(beta)
    if asked.penalty is not None:
        gradient = gradient + asked.penalty.at(beta, model.design.names).gradient
    units = np.abs(model.matrix).max(axis=1)
    rows = np.vstack([asked.matrix, np.eye(beta.size)[list(active)]]) * units
    multipliers = linalg.lstsq(rows.T, gradient * units)[0][len(asked.matrix) :]
    side = np.array([1.0 if value == asked.high[j] else -1.0 for j, value in active.items()])
    pull = multipliers * side
    worst = int(np.argmin(pull))
    return list(active)[worst] if pull[worst] < -1e-9 * max(np.abs(gradient * units).max(), 1e-300) else None
