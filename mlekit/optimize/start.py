"""Where to start: coefficients that come as close as they can to rough linear predictors, inside every domain."""

from typing import TYPE_CHECKING

import numpy as np
from scipy import linalg

from mlekit.links import Array
from mlekit.optimize.base import Curvature, StartError

if TYPE_CHECKING:
    from mlekit.likelihood import Working


def starting_point(likelihood: "Working") -> Array:
    """Coefficients to start from, the better of two: a first scoring step from the responses, or a constant.

    Raises
    ------
    StartError
        If no coefficients keep every parameter in its domain.
    """
    y, weight = likelihood.block.y, likelihood.block.each
    with np.errstate(all="ignore"):
        guess = [np.broadcast_to(t, len(y)).astype(float) for t in likelihood.family.start(y, weight)]
        constant = [np.full(len(y), np.average(t, weights=weight)) for t in guess]
    best, best_value = None, -np.inf
    for targets in (guess, constant):
        gamma = _project(likelihood, targets)
        value = likelihood.evaluate(gamma, 0).value if np.isfinite(gamma).all() else -np.inf
        if value > best_value:
            best, best_value = gamma, value
    if best is not None and likelihood.block.offset[0] is not None:
        best = _shifted(likelihood, best, best_value)
    if best is None:
        best = _feasible(likelihood, constant)
    if best is None:
        raise StartError(
            f"no coefficients keep every parameter of {likelihood.family!r} in its domain at every row: "
            "choose another link (log or logit never leave theirs), or check the offset, and what is held"
        )
    return best


def _shifted(likelihood: "Working", gamma: Array, value: float) -> Array:
    """Move the first linear predictor as a whole to where the likelihood is highest, to within a half.

    An offset may vary by hundreds. With a log link a few rows then have all of the mean, and the least squares of the
    targets is hundreds away from where their sum is right: Newton's method would come by steps of one.
    """
    ones = [w * (j == 0) for j, w in enumerate([likelihood.block.each] * len(likelihood.block.offset))]
    direction = Curvature(likelihood.gram([likelihood.block.each] * len(ones))).solve(likelihood.project(ones))
    for size in 2.0 ** np.arange(10, -2, -1):
        for step in (size, -size):
            moved = likelihood.evaluate(gamma + step * direction, 0).value
            if moved > value:
                gamma, value = gamma + step * direction, moved
    return gamma


def _project(likelihood: "Working", targets: list[Array]) -> Array:
    """Least-squares coefficients of the targets, each row weighted by its information there."""
    weight = likelihood.block.each
    with np.errstate(all="ignore"):
        information = likelihood.family.information(*targets)
    parts, weights = [], []
    for j, (target, offset) in enumerate(zip(targets, likelihood.block.offset, strict=True)):
        parts.append(target if offset is None else target - offset)
        usable = weight if information is None else weight * information[j, j]
        weights.append(usable if np.isfinite(usable).all() and (usable > 0).all() else weight)
    right = likelihood.project([w * t for w, t in zip(weights, parts, strict=True)])
    return Curvature(likelihood.gram(weights)).solve(right)


def _feasible(likelihood: "Working", targets: list[Array]) -> Array | None:
    """Coefficients in the middle of the domains, by a linear programme: the largest margin that all rows can have."""
    from scipy.optimize import linprog

    units = np.eye(likelihood.size)
    zero = likelihood.linear_predictors(np.zeros(likelihood.size))
    rows, bounds = [], []
    columns = [likelihood.linear_predictors(unit) for unit in units]
    matrices = [np.column_stack([column[j] - zero[j] for column in columns]) for j in range(len(zero))]
    for below, above in likelihood.family.eta_orders:
        step = max(float(np.abs(targets[above] - targets[below]).max()), 1e-300)
        rows.append(np.column_stack([matrices[below] - matrices[above], np.full(len(zero[0]), step)]))
        bounds.append(zero[above] - zero[below])
    for X, (j, (low, high)) in zip(matrices, enumerate(likelihood.family.eta_limits()), strict=True):
        size = max(float(np.abs(targets[j]).max()), 1e-300)
        for sign, limit in ((-1.0, low), (1.0, high)):
            if np.isfinite(limit):
                # sign * (X gamma + offset) + margin * size <= sign * limit
                rows.append(np.column_stack([sign * X, np.full(len(X), size)]))
                bounds.append(sign * (limit - zero[j]))
    if not rows:
        return None
    cost = np.append(np.zeros(likelihood.size), -1.0)
    limits = [(None, None)] * likelihood.size + [(None, 1.0)]
    every = np.unique(np.column_stack([np.vstack(rows), np.concatenate(bounds)]), axis=0)
    found = linprog(cost, every[:, :-1], every[:, -1], bounds=limits)
    if not found.success or found.x[-1] <= 0:
        return None
    gamma = found.x[:-1]
    return gamma if np.isfinite(likelihood.evaluate(gamma, 0).value) else None


def given_start(likelihood: "Working", beta: Array, matrix: Array) -> Array:
    """Turn start values of the user's into the coordinates of the fit.

    Raises
    ------
    StartError
        If the likelihood is not finite there; the message names the parameter and the first row.
    """
    unit = np.abs(matrix).max(axis=1)  # columns of 1e-300 have coefficients of 1e300
    gamma = linalg.solve(matrix / unit[:, None], beta / unit)
    if np.isfinite(likelihood.evaluate(gamma, 0).value):
        return gamma
    where = ""
    for (name, link), values, (low, high) in zip(
        likelihood.family.links.items(),
        likelihood.linear_predictors(gamma),
        likelihood.family.eta_limits(),
        strict=True,
    ):
        outside = ~((values > low) & (values < high))
        if outside.any():
            row = int(np.flatnonzero(outside)[0])
            eta = f"{values[row]:g}, not in ({low:g}, {high:g})"
            where = f": in row number {row} the {link.name} link of {name} has eta = {eta}"
            break
    raise StartError(
        f"the log-likelihood is not finite at the start values{where}. Leave start out: mlekit finds a valid one"
    )
