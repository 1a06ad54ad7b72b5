"""Directions in which no row's likelihood falls: found by linear programming, and checked.

Konis (2007), "Linear programming algorithms for detecting separated data in binary logistic regression models"; Geyer
(2009), "Likelihood inference in exponential families and directions of recession", Electronic Journal of Statistics 3,
259-289; Correia, Guimaraes and Zylkin (2019), "Verifying the existence of maximum likelihood estimates for generalized
linear models", arXiv 1903.01633.
"""

from dataclasses import dataclass

import numpy as np
from scipy import linalg, optimize

from mlekit.links import Array

# Rows are of length 1, and directions too: their product is 0 below the first, and is not below the second.
_ZERO, _CLEAR = 1e-12, 1e-11
# The programme's own tolerance, with directions up to this size: what it takes for 0 is below _ZERO.
_TOLERANCE, _BOX = 1e-10, 1e3
# How often, and how much, rows are looked at more closely that the programme takes for 0.
_CLOSER, _ZOOM, _NEAR = 3, 1e4, 1e-6
# Digits to which functions are told apart: far more than those in which their signs are.
_DIGITS = 12
# More rows than this are looked at in part, and those that disagree are added.
_AT_ONCE = 4000


class Undecided(ValueError):
    """Rounding hides whether there is such a direction."""


@dataclass(frozen=True, eq=False)
class Cone:
    """All directions d with ``ends @ d >= 0`` and ``still @ d = 0``.

    Attributes
    ----------
    strict : (n,) array of bool
        Ends that are above 0 in some direction; there is one in which all of these are.
    space : (p, r) array
        Orthonormal basis of the span of the cone; r is 0 if every direction leaves all ends at 0.
    facets : (n', r) array
        The strict ends in that basis, of length 1: ``space @ v`` is in the cone if ``facets @ v >= 0``.
    """

    strict: Array
    space: Array
    facets: Array

    def signs(self, functions: Array, sizes: Array) -> Array:
        """Where linear functions of the coefficients go along every way to infinity inside of the cone.

        Parameters
        ----------
        functions : (m, p) array
        sizes : (m,) array
            What rounding is relative to.

        Returns
        -------
        (m,) array
            0 where they stay, 1 or -1 where they go to plus or minus infinity, NaN where they may go either way.
        """
        inside = functions @ self.space
        inside = inside / np.where(sizes > 0, sizes, 1.0)[:, None]
        length = np.linalg.norm(inside, axis=1)
        found = np.zeros(len(inside))
        clear = length > _CLEAR
        # Rows that differ by rounding alone, as those of one group, go the same way: a linear program each is enough.
        distinct, which = np.unique(np.round(_unit(inside)[clear], _DIGITS), axis=0, return_inverse=True)
        known: list[Array] = [self._ray] if self._ray is not None else []
        found[clear] = np.array([self._sign(row, known) for row in distinct])[which.ravel()]
        return found

    @property
    def _ray(self) -> Array | None:
        """The one direction, if there is one."""
        return np.sign(self.facets.sum(axis=0)) if self.space.shape[1] == 1 else None

    def _sign(self, function: Array, known: list[Array]) -> float:
        """Sign of one function on the cone; ``known`` are directions in it, to which what is found is added."""
        values = [float(function @ v) for v in known]
        if self._ray is not None:
            return float(np.sign(values[0]))
        least, most = min(values, default=0.0), max(values, default=0.0)
        for side in (1, -1):
            if (least if side > 0 else -most) < -1e-9:
                continue
            v = _furthest(self.facets, -side * function)
            norm = float(np.linalg.norm(v))
            if norm > 0:
                known.append(v / norm)
                least, most = min(least, float(function @ v) / norm), max(most, float(function @ v) / norm)
        if least < -1e-9 and most > 1e-9:
            return float("nan")
        return float(np.sign(most if most > -least else least))


def limits(finite: Array, signs: Array) -> Array:
    """Values in the limit: finite where they stay, else infinite by their sign, NaN where that is not known.

    Examples
    --------
    >>> limits(np.array([2.0, 3.0, 4.0]), np.array([0.0, -1.0, np.nan])).tolist()
    [2.0, -inf, nan]
    """
    away = np.where(np.isnan(signs), np.nan, np.where(signs > 0, np.inf, -np.inf))
    return np.where(signs == 0, finite, away)


def recession_cone(ends: Array, still: Array) -> Cone:
    """Find the ends that can be above 0, and the span of all directions.

    0. Take directions in which nothing moves that has to be still.
    1. Find one in which the sum of the ends is largest and none is below 0, by a linear programme.
    2. Keep the ends that are above 0 in it. The others are all that binds from then on, as a large multiple of that
       direction makes up for what another one takes from the first. Go to 1 until there is no new one.

    Parameters
    ----------
    ends, still : (n, p) and (m, p) arrays
        In coordinates in which columns are about orthogonal.

    Raises
    ------
    Undecided
        If directions that the programme finds are not confirmed by a calculation of their own.

    Examples
    --------
    >>> x = np.array([1.0, 2.0, 3.0, 3.0, 4.0])
    >>> rows = np.array([-1, -1, -1, 1, 1])[:, None] * np.column_stack([np.ones(5), x])
    >>> cone = recession_cone(rows, np.zeros((0, 2)))
    >>> cone.strict.tolist(), (cone.space / cone.space[1]).round(9).ravel().tolist()
    ([True, True, False, False, True], [-3.0, 1.0])
    """
    ends = _unit(ends)
    strict = np.zeros(len(ends), dtype=bool)
    whole = _turned(_null(_unit(still), np.eye(ends.shape[1])))
    inside = ends @ whole
    length = np.linalg.norm(inside, axis=1)
    moving = length > _CLEAR
    if np.any((length > _ZERO) & ~moving):
        raise Undecided("columns are nearly collinear")
    inside[moving] /= length[moving, None]
    inside[~moving] = 0.0
    while True:
        left = np.flatnonzero(moving & ~strict)
        new = _rising(inside[left]) if left.size and whole.shape[1] else np.zeros(left.size, dtype=bool)
        if not new.any():
            break
        strict[left[new]] = True
    bound = inside[moving & ~strict]
    space = _turned(_null(bound, np.eye(whole.shape[1]))) if strict.any() else np.zeros((whole.shape[1], 0))
    return Cone(strict, whole @ space, _unit(inside[strict] @ space))


def _rising(rows: Array) -> Array:
    """Which rows are above 0 in a direction in which none is below."""
    scale = np.ones((len(rows), 1))
    for _ in range(_CLOSER):
        z = _best(rows * scale)
        size = float(np.linalg.norm(z))
        margins = rows @ z / size if size > 0 else np.zeros(len(rows))
        clear = margins > _CLEAR
        if not clear.any():
            return clear
        # Where all of the others are exactly 0.
        others = _null(rows[~clear], np.eye(rows.shape[1]))
        z = others @ (others.T @ z)
        again = rows[clear] @ z
        if (again > 0.1 * size * np.minimum(margins[clear], _CLEAR)).all():
            return clear
        scale[margins < _NEAR] *= _ZOOM  # the programme takes for 0 what is below 0 by its tolerance
    raise Undecided("rows overlap, or are apart, by no more than rounding")


def _best(rows: Array) -> Array:
    """Direction in a box in which the sum of the rows is largest, and none is below 0."""
    goal = rows.sum(axis=0)
    return _furthest(rows, goal / max(float(np.linalg.norm(goal)), 1e-300))


def _furthest(rows: Array, goal: Array) -> Array:
    """Direction in a box that goes furthest towards a goal, with no row below 0."""
    n = len(rows)
    chosen = np.arange(n) if n <= _AT_ONCE else np.arange(0, n, n // (_AT_ONCE // 2))
    while True:
        x = _solved(rows[chosen], goal)
        margins = rows @ x
        margins[chosen] = 0.0
        below = np.flatnonzero(margins < -_BOX * _ZERO)
        if not below.size:
            return np.asarray(x)
        worst = below[np.argsort(margins[below])[: _AT_ONCE // 4]]
        chosen = np.concatenate([chosen, worst])


def _solved(rows: Array, goal: Array) -> Array:
    """Solve the programme, without its presolve where that loses the way."""
    for presolve in (True, False):
        found = optimize.linprog(
            -goal,
            A_ub=-rows,
            b_ub=np.zeros(len(rows)),
            bounds=(-_BOX, _BOX),
            method="highs",
            options={
                "presolve": presolve,
                "primal_feasibility_tolerance": _TOLERANCE,
                "dual_feasibility_tolerance": _TOLERANCE,
            },
        )
        if found.x is not None:
            return np.asarray(found.x)
    raise Undecided(f"the linear programme has no answer: {found.message}")


def _null(rows: Array, space: Array) -> Array:
    """Orthonormal basis of the directions that rows of length 1 do not see."""
    if not len(rows) or not space.shape[1]:
        return space
    triangle = np.linalg.qr(rows, mode="r") if len(rows) > rows.shape[1] else rows
    _, sizes, vt = linalg.svd(triangle, full_matrices=True)
    rank = int((sizes > _ZERO * np.sqrt(len(rows))).sum())
    return np.asarray(vt[rank:].T)


def _turned(space: Array) -> Array:
    """Another orthonormal basis of a space, in which no entry of a row is small: the programme takes 1e-9 for 0."""
    size = space.shape[1]
    return np.asarray(space @ np.linalg.qr(np.random.default_rng(0).normal(size=(size, size)))[0])


def _unit(rows: Array) -> Array:
    """Rows of length 1, or 0."""
    length = np.linalg.norm(rows, axis=1, keepdims=True) if rows.size else np.ones((len(rows), 1))
    return np.asarray(rows / np.where(length > 0, length, 1.0))
