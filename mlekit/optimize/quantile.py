"""Least absolute deviations and regression quantiles: the exact maximum of a likelihood with a kink at every response.

The pinball losses are least where some rows are fitted exactly (Koenker and Bassett 1978). A linear programme tells
which; the coefficients then solve the equations of those rows.
"""

import numpy as np
from scipy import linalg

from mlekit.links import Array
from mlekit.optimize.base import Curvature
from mlekit.optimize.kinks import CANCELLED, INSIDE, TOLERANCES, Pinball, optimality

# Up to this many rows go into one linear programme; of more, those near the line alone.
_MOST = 10_000
_ROUNDS = 30


def weighted_quantile(y: Array, weight: Array, level: float) -> float:
    """Number with the least pinball losses; of an interval of them the middle, as of a median of an even number.

    Examples
    --------
    >>> y, weight = np.array([5.0, 1.0, 2.0, 4.0]), np.ones(4)
    >>> weighted_quantile(y, weight, 0.5), weighted_quantile(y, weight, 0.2)
    (3.0, 1.0)
    """
    order = np.argsort(y)
    reached, wanted = np.cumsum(weight[order]), level * np.sum(weight)
    slack = CANCELLED * wanted
    ends = y[order][np.searchsorted(reached, (wanted - slack, wanted + slack)).clip(max=y.size - 1)]
    return float(ends[0] + 0.5 * (ends[1] - ends[0]))


def regression_quantile(problem: Pinball) -> tuple[Array, int] | None:
    """Coefficients with the least losses, and how many linear programmes they took; None if HiGHS finds none.

    Of several minima it is the middle one: see :func:`_middle`.
    """
    found = _minimum(problem)
    if found is None:
        return None
    gamma, count = found
    return _middle(problem, gamma), count


def _minimum(problem: Pinball) -> tuple[Array, int] | None:
    """Vertex at which the losses are least.

    Rows far from the line count by their side of it alone, which bounds their losses from below: where all are on the
    side that was taken, the minimum is that of all rows (Portnoy and Koenker 1997). Others are put back.
    """
    n, r = problem.columns.shape
    active, count = np.ones(n, dtype=bool), 0
    gamma = linalg.lstsq(problem.columns, problem.y)[0] if n <= _MOST else np.zeros(r)
    if n > _MOST:
        some = max(_MOST // 2, int((n * r) ** (2 / 3)))
        first = _minimum(problem.rows(np.random.default_rng(0).choice(n, some, replace=False)))
        if first is not None:
            gamma, count = first
            size = np.abs(problem.residual(gamma))
            kept = min(n - 1, int(2 * n * np.sqrt(r / some)))
            active = size <= np.partition(size, kept)[kept]
    above = problem.residual(gamma) > 0
    for _ in range(_ROUNDS):
        count += 1
        solved = _programme(problem, gamma, active, above)
        if solved is None:
            if active.all():
                return None
            active[:] = True
            continue
        gamma = _on_the_line(problem, *solved)
        residual = problem.residual(gamma)
        wrong = ~active & (np.where(above, residual, -residual) < 0)
        if wrong.any():
            active |= wrong
        elif optimality(problem, gamma).optimal:
            break
    return gamma, count


def _programme(problem: Pinball, gamma: Array, active: Array, above: Array) -> tuple[Array, Array] | None:
    """Solve the linear programme of the active rows in the change of gamma, by its dual; None if it has no solution.

    The dual has a number between 0 and the weight for each row, its share on the rarer side of the line, and an
    equation for each coefficient: the shares balance. Returned are the coefficients, and which rows have a share
    strictly inside.
    """
    from scipy.optimize import linprog

    columns, y, weight, level = problem.rows(active)
    residual = y - columns @ gamma
    size = _spread(residual)
    side, rarer = (1.0, above) if level >= 0.5 else (-1.0, ~above)
    balance = (problem.tail * problem.weight - problem.weight * (rarer & ~active)) @ problem.columns
    unit, norm = problem.tail * float(np.mean(weight)), np.sqrt(problem.y.size)
    solved = linprog(
        -side * residual / size,
        A_eq=columns.T / norm,
        b_eq=balance / unit / norm,
        bounds=np.column_stack([np.zeros_like(weight), weight / unit]),
        method="highs-ds" if y.size <= _MOST else "highs-ipm",
        options=TOLERANCES,
    )
    if solved.status != 0:
        return None
    shares = np.zeros(active.size)
    shares[active] = np.minimum(solved.x, weight / unit - solved.x) * unit
    return gamma - side * size * solved.eqlin.marginals / norm, shares > INSIDE * problem.tail * problem.weight


def _spread(residual: Array) -> float:
    """Median size of the residuals, which one far out does not change; their mean if most are zero."""
    size = np.abs(residual)
    largest, median = float(np.max(size)), float(np.median(size))
    return median if median > 1e-100 * largest else float(np.mean(size)) or 1.0


def _on_the_line(problem: Pinball, gamma: Array, inside: Array) -> Array:
    """Coefficients that fit exactly the rows that a linear programme fits to within its tolerance."""
    residual = problem.y - problem.columns @ gamma
    size = np.abs(residual)
    near = np.flatnonzero(inside | (size <= 1e-7 * _spread(residual)))
    near = near[np.lexsort((size[near], ~inside[near]))]
    chosen = near[_independent(problem.columns[near])]
    columns, y = problem.columns[chosen], problem.y[chosen]
    if len(chosen) == gamma.size:  # where these rows are all zero, gamma is zero, and not nearly so
        gamma = np.zeros_like(gamma)
    for _ in range(3):
        gamma = gamma + linalg.lstsq(columns, y - columns @ gamma)[0]
    return gamma


def _independent(columns: Array) -> list[int]:
    """Row numbers of the first rows that are independent of those before them, by Gram and Schmidt."""
    r = columns.shape[1]
    basis, chosen = np.zeros((0, r)), []
    for i, row in enumerate(columns):
        size = np.linalg.norm(row)
        for _ in range(2):
            row = row - (basis @ row) @ basis
        left = np.linalg.norm(row)
        if left > 1e-8 * size:
            basis = np.vstack([basis, row / left])
            chosen.append(i)
            if len(chosen) == r:
                break
    return chosen


# ------------------------------------------------------------------------------------ which of several


def _middle(problem: Pinball, gamma: Array) -> Array:
    """Return the middle of all coefficients with the least losses, which no order of the rows or units can change.

    Of an interval it is the middle, as of a median of an even number; of a polytope the analytic centre, where the
    product of the distances of the rows that may leave the line or come to it is largest.
    """
    found = optimality(problem, gamma)
    if not found.optimal or found.unique:
        return gamma
    free = linalg.null_space(problem.columns[found.held]) if found.held.any() else np.eye(gamma.size)
    # Distances left + moves @ u of the rows from the line, to the side that they keep to.
    side = np.where(found.multipliers > 0, 1.0, -1.0)
    left, moves = side * problem.residual(gamma), -side[:, None] * (problem.columns @ free)
    size = np.abs(moves).max(axis=1)
    moving = ~found.held & (size > 1e-9 * size.max())
    left, moves = left[moving], moves[moving]
    if free.shape[1] == 1:
        ends = -left / moves[:, 0]
        low, high = ends[moves[:, 0] > 0].max(), ends[moves[:, 0] < 0].min()
        return gamma + free[:, 0] * (0.5 * (low + high))
    centre = _analytic_centre(left, moves, problem.weight[moving])
    return gamma if centre is None else gamma + free @ centre


def _analytic_centre(left: Array, moves: Array, weight: Array) -> Array | None:
    """Point u where the weighted product of ``left + moves @ u``, all positive, is largest, by Newton's method."""
    from scipy.optimize import linprog

    k = moves.shape[1]
    unit, size = float(np.abs(left).max()), np.linalg.norm(moves, axis=1)
    # Inside first: the largest distance that all rows can have.
    cost = np.append(np.zeros(k), -1.0)
    bounds = [(None, None)] * k + [(None, 1.0)]
    solved = linprog(cost, np.column_stack([-moves, size]), left / unit, bounds=bounds, options=TOLERANCES)
    if solved.x is None or not solved.x[-1] > 0:
        return None
    u = unit * solved.x[:k]
    for _ in range(200):
        distance = left + moves @ u
        ratio = moves / distance[:, None]
        gradient, curvature = weight @ ratio, Curvature(ratio.T @ (weight[:, None] * ratio))
        step = curvature.solve(gradient)
        decrement = float(np.sqrt(gradient @ step / weight.min()))
        # Within one unit of the decrement every distance stays positive.
        u = u + step / (1 + decrement)
        if decrement < 1e-9:
            break
    return u
