"""Likelihoods with a kink at every response: whether a point is the maximum, from the rows that it fits exactly.

At the minimum of the pinball losses ``weight * r * (level - 1[r < 0])`` of the residuals, each row on the line has a
multiplier between the derivatives of its loss on either side, and these balance the other rows (Koenker 2005, section
2.2). That the point is the minimum, and the only one, is read off the multipliers, whatever method found it.
"""

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy import linalg

from mlekit.links import Array, identity

if TYPE_CHECKING:
    from mlekit.likelihood import Working

#: Tolerances of a linear programme in units of its numbers, as small as HiGHS takes them.
TOLERANCES = {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}
#: What cancels in a sum leaves at most this share of its terms.
CANCELLED = 1e-12
#: A multiplier is inside its bounds from this share of the nearer one on.
INSIDE = 1e-8
# A residual is zero within this many units in the last place of its parts, or this share of a standard error of the
# median (by the median size of the residuals: one far out must not make all others zero).
_ROUNDING, _SHARE = 32 * np.finfo(float).eps, 1e-9
# The score is zero within this share of one row's.
_ONE_ROW = 1e-6


class Pinball(NamedTuple):
    """Pinball losses of ``y - columns @ gamma``, each with a weight, at one level."""

    columns: Array
    y: Array
    weight: Array
    level: float

    def residual(self, gamma: Array) -> Array:
        """Residual of each row, 0 where it is zero to within rounding."""
        with np.errstate(all="ignore"):
            residual = self.y - self.columns @ gamma
            size = np.abs(residual)
            tiny = _ROUNDING * (np.abs(self.y) + np.abs(self.columns) @ np.abs(gamma))
            error = np.median(size) / np.sqrt(size.size)
        return np.where(size <= np.maximum(tiny, _SHARE * error), 0.0, residual)

    @property
    def tail(self) -> float:
        """Share of the rows on the rarer side of the line: the size of most derivatives, in weights."""
        return min(self.level, 1 - self.level)

    @property
    def low(self) -> Array:
        """Derivative of the loss of each row below the line."""
        return -(1 - self.level) * self.weight

    @property
    def high(self) -> Array:
        """Derivative of the loss of each row above the line."""
        return self.level * self.weight

    def rows(self, chosen: Array) -> "Pinball":
        """Return the losses of some of the rows."""
        return Pinball(self.columns[chosen], self.y[chosen], self.weight[chosen], self.level)


class Optimality(NamedTuple):
    """What the multipliers of the rows on the line say about a point.

    Attributes
    ----------
    excess : (r,) array
        The smallest subgradient of the sum of losses, with the sign turned round: zero at the minimum.
    optimal : bool
    multipliers : (n,) array
        Derivative of each row's loss; for a row on the line, the one between its two that balances the others best.
    held : (n,) booleans
        Rows that are on the line at every minimum.
    unique : bool
        Whether the rows that are held determine the coefficients.
    """

    excess: Array
    optimal: bool
    multipliers: Array
    held: Array
    unique: bool


def pinball_at(working: "Working", gamma: Array) -> Pinball:
    """Losses whose slopes are those of the log-density in the first linear predictor, all other parameters given."""
    family, block = working.family, working.block
    columns, where = first_columns(working)
    eta = working.linear_predictors(gamma)
    level = family.quantile_level
    assert level is not None
    link = next(iter(family.links.values()))
    with np.errstate(all="ignore"):
        theta = link.inverse(eta[0])
        far = theta + (float(np.max(np.abs(block.y - theta))) or 1.0)
        above = family.linear_rows(far, *eta, order=1).grad[0]  # the same anywhere above the kink
        y = less_offset(block) if link == identity else columns @ gamma[where] + (block.y - theta)
    return Pinball(columns, y, above / level if block.weight is None else above / level * block.weight, level)


def rows_on_the_line(working: "Working", gamma: Array) -> tuple[Array, slice]:
    """Which rows the first parameter fits exactly, to within rounding, and which coordinates are its own."""
    problem = pinball_at(working, gamma)
    first = slice(0, problem.columns.shape[1])
    return problem.residual(gamma[first]) == 0, first


def less_offset(block: Any) -> Array:
    """Response of each row, less the offset of the first parameter."""
    return block.y if block.offset[0] is None else block.y - block.offset[0]


def first_columns(working: "Working") -> tuple[Array, slice]:
    """Columns of the first parameter in the coordinates of the fit, and which coordinates are its own."""
    x = working.block.X[0]
    where = slice(0, x.shape[1])
    matrix = getattr(working, "matrix", None)
    return (x if matrix is None else x @ matrix[where, where]), where


def optimality(problem: Pinball, gamma: Array) -> Optimality:
    """Judge whether the losses are least at ``gamma``, and there alone."""
    residual = problem.residual(gamma)
    zero = residual == 0
    slope = np.where(zero, 0.0, np.where(residual > 0, problem.high, problem.low))
    columns, low, high = problem.columns[zero], problem.low[zero], problem.high[zero]
    pull = -(slope @ problem.columns)
    cancelled = float(np.max(np.abs(slope) @ np.abs(problem.columns), initial=0.0))
    row = problem.tail * float(np.mean(problem.weight))
    enough = max(_ONE_ROW * row, CANCELLED * cancelled)
    slope[zero] = _balancing(columns, pull, low, high, enough)
    excess = pull - slope[zero] @ columns
    optimal = bool(np.linalg.norm(excess) <= enough)
    held = np.zeros(zero.size, dtype=bool)
    if optimal:
        held[zero] = _held(columns, pull - excess, low, high, slope[zero])
    return Optimality(excess, optimal, slope, held, optimal and _rank(problem.columns[held]) == gamma.size)


def _balancing(columns: Array, pull: Array, low: Array, high: Array, enough: float) -> Array:
    """Multipliers within their bounds with ``multipliers @ columns`` as close to ``pull`` as can be."""
    if not low.size:
        return low
    found = np.clip(linalg.lstsq(columns.T, pull)[0], low, high)
    if np.linalg.norm(pull - found @ columns) <= enough:
        return found
    from scipy.optimize import linprog

    m, r = columns.shape
    unit = np.max(np.minimum(-low, high))
    cost = np.concatenate([np.zeros(m), np.ones(2 * r)])
    bounds = np.column_stack([np.append(low, np.zeros(2 * r)), np.append(high, np.full(2 * r, np.inf))]) / unit
    equations = np.hstack([columns.T, np.eye(r), -np.eye(r)])
    solved = linprog(cost, A_eq=equations, b_eq=pull / unit, bounds=bounds, options=TOLERANCES)
    return found if solved.x is None else np.clip(unit * solved.x[:m], low, high)


def _held(columns: Array, pull: Array, low: Array, high: Array, found: Array) -> Array:
    """Rows with a multiplier strictly inside its bounds at some solution: they are on the line at every minimum."""
    width = np.minimum(-low, high)
    held = np.minimum(found - low, high - found) > INSIDE * width
    if held.all() or _rank(columns) == columns.shape[0]:  # no other multipliers
        return held
    from scipy import sparse
    from scipy.optimize import linprog

    # Multipliers d and distances t to their bounds: the sum of the distances is largest where most are positive.
    m, r = columns.shape
    unit = np.max(width)
    eye = sparse.eye_array(m)
    inside, limits = sparse.block_array([[-eye, eye], [eye, eye]]), np.concatenate([-low, high]) / unit
    equations = sparse.hstack([sparse.csr_array(columns.T), sparse.csr_array((r, m))])
    bounds = np.column_stack([np.append(low, np.zeros(m)), np.append(high, width)]) / unit
    while not held.all():
        cost = np.concatenate([np.zeros(m), -1.0 * ~held])
        solved = linprog(cost, inside, limits, equations, pull / unit, bounds, options=TOLERANCES)
        more = held if solved.x is None else held | (solved.x[m:] > INSIDE * width / unit)
        if (more == held).all():
            break
        held = more
    return held


def _rank(columns: Array) -> int:
    if not columns.size:
        return 0
    return int(np.linalg.matrix_rank(columns, tol=1e-10 * float(np.abs(columns).max())))
