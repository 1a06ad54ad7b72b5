"""Estimates without iteration of the likelihood: least squares, group means, and quantiles."""

from typing import TYPE_CHECKING

import numpy as np

from mlekit.basis import SAMPLE_ROWS, amplification
from mlekit.doubled import two_sum
from mlekit.links import Array, identity, log
from mlekit.optimize.base import Curvature, Optimum
from mlekit.optimize.kinks import Pinball, first_columns, less_offset
from mlekit.optimize.quantile import regression_quantile, weighted_quantile
from mlekit.optimize.refinement import refined

if TYPE_CHECKING:
    from mlekit.likelihood import Likelihood, Working

# Beyond this many 0/1 columns their pattern no longer fits an exact float.
_MOST_COLUMNS = 50
# Least squares are refined from where the condition costs so many digits; on many rows, where refining takes long, from
# where it costs half of them.
_LOSS = {False: 1e2, True: 1e8}


def closed_form(working: "Working", original: "Likelihood", matrix: Array) -> Optimum | None:
    """The estimate in closed form, or None if the family, its links and the design have none.

    Least squares where the first parameter is a mean with the identity link and normal errors of a known shape,
    regression quantiles where it is a quantile; group means and quantiles where the design says no more than which
    group a row is in.

    Parameters
    ----------
    working : Likelihood or Transformed
        In the coordinates of the fit.
    original : Likelihood
        In the columns of the design, which tell whether there are groups.
    matrix : (r, r) array
        ``beta = matrix @ gamma``.
    """
    if original.block.y.ndim > 1 or len(original.block.X) > 2:
        return None
    working, original = working.equivalent(), original.equivalent()
    shape = _error_shape(original)
    if shape is None:
        return None
    if original.family.quantile_level is not None:
        return _quantiles(working, original, matrix, shape)
    gamma: Array | None = None
    params: Array | None = None
    if original.family.least_squares:
        gamma, params = _least_squares(working, original, matrix, shape)
    elif original.block.offset[0] is None:
        gamma = _group_means(working, original, matrix)
    if gamma is None:
        gamma = _perfect_fit(working, original, matrix, shape)
    if gamma is None or not np.isfinite(gamma).all():
        return None
    return Optimum(gamma, "closed form", 0, 0, params=params)


def _error_shape(original: "Likelihood") -> Array | None:
    """Known factor of each row's scale (precision weights, as an offset of log sigma); None if it is not known."""
    y, block = original.block.y, original.block
    if len(block.X) == 1:
        return np.ones_like(y)
    (x,), (offset,) = block.X[1:], block.offset[1:]
    if x.shape[1] != 1 or not (x == 1).all():
        return None
    if offset is None:
        return np.ones_like(y)
    # A scale with another link is no longer a common factor times a known one.
    return np.exp(offset) if list(original.family.links.values())[1] == log else None


def _least_squares(
    working: "Working", original: "Likelihood", matrix: Array, shape: Array
) -> tuple[Array | None, Array | None]:
    """Weighted least squares in orthogonal coordinates, and refined in the original columns."""
    block = working.block
    weight = block.each / shape**2
    others = [np.zeros_like(block.y) for _ in block.X[1:]]
    with np.errstate(all="ignore"):
        products = working.gram([weight, *others])
    if not np.isfinite(products).all():
        return np.full(working.size, np.nan), None
    gram = Curvature(products + np.diag([*np.zeros(block.X[0].shape[1]), *(1.0 for _ in others)]))
    first_guess = np.zeros(working.size)
    for _ in range(3):
        residual = block.y - original.linear_predictors(matrix @ first_guess)[0]
        first_guess = first_guess + gram.solve(working.project([weight * residual, *others]))
    gamma = _with_scale(working, matrix, first_guess, shape)
    if gamma is None or not np.isfinite(gamma).all():
        return gamma, None
    params, first, X = matrix @ gamma, original.slices[0], original.block.X[0]
    copied = X is not working.block.X[0]  # else it is of many rows, and well conditioned
    if not copied or amplification(X, matrix[first, first]).max(initial=0.0) < _LOSS[len(X) > SAMPLE_ROWS]:
        return gamma, None
    offset = original.block.offset[0]
    response = two_sum(block.y, np.zeros_like(block.y) if offset is None else -offset)
    inverse = (matrix @ gram.root_inverse())[first, first]
    params[first] = refined(X, response, weight, params[first], inverse)
    residual = block.y - working.linear_predictors(gamma)[0]
    gamma[first] += gram.solve(working.project([weight * residual, *others]))[first]
    return gamma, params


def _perfect_fit(working: "Working", original: "Likelihood", matrix: Array, shape: Array) -> Array | None:
    """Least squares where it leaves nothing to a family with a scale: the likelihood then has no maximum."""
    family, y = original.family, original.block.y
    if next(iter(family.links.values())) != identity or family.scale_mle(y[:1], y[:1], np.ones(1)) is None:
        return None
    gamma, _ = _least_squares(working, original, matrix, shape)
    if gamma is None:
        return None
    left = np.abs(y - working.linear_predictors(gamma)[0])
    return gamma if np.mean(left) <= 1e-14 * np.max(np.abs(y)) else None


def _with_scale(
    working: "Working", matrix: Array, gamma: Array, shape: Array, exact: Array | None = None
) -> Array | None:
    """Add the estimate of the common scale, given the first parameter; ``exact`` rows are known to have no residual.

    None if there is no closed form of it.
    """
    family, block = working.family, working.block
    if len(block.X) == 1:
        return gamma
    (mean_link, scale_link) = family.links.values()
    theta = mean_link.inverse(working.linear_predictors(gamma)[0])
    if exact is not None:
        theta = np.where(exact, block.y, theta)
    weight = block.each
    scale = family.scale_mle(block.y / shape, theta / shape, weight)
    if scale is None:
        return None
    # A perfect fit has no scale: the smallest that rounding can tell from none keeps everything finite.
    floor = np.finfo(float).eps * float(np.max(np.abs(block.y), initial=1e-300))
    gamma[-1] = scale_link.forward(np.float64(max(scale, floor))) / matrix[-1, -1]
    return gamma


def _group_means(working: "Working", original: "Likelihood", matrix: Array) -> Array | None:
    """Coefficients whose fitted values are the group means, if the design is one of groups alone."""
    block = original.block
    found = _groups(block.X[0])
    if found is None:
        return None
    first, group = found
    size = np.bincount(group, weights=block.weight)
    weighted = block.y if block.weight is None else block.y * block.weight
    theta = original.family.mean_mle(np.bincount(group, weights=weighted) / size)
    if theta is None:
        return None
    with np.errstate(all="ignore"):
        eta = next(iter(original.family.links.values())).forward(theta)
    low, high = original.family.eta_limits()[0]
    if not ((eta > low) & (eta < high)).all():
        return None
    return _with_scale(working, matrix, _from_groups(original, matrix, first, eta), np.ones_like(block.y))


def _groups(X: Array) -> tuple[Array, Array] | None:
    """First row of each group and the group of each row, if the columns say no more than that."""
    if X.shape[1] > _MOST_COLUMNS or not np.isin(X[:1000], (0.0, 1.0)).all() or not np.isin(X, (0.0, 1.0)).all():
        return None
    pattern = X @ np.exp2(np.arange(X.shape[1]))
    _, first, group = np.unique(pattern, return_index=True, return_inverse=True)
    return (first, group) if first.size == X.shape[1] else None


def _from_groups(original: "Likelihood", matrix: Array, first: Array, eta: Array) -> Array:
    """Coordinates of the first parameter at which each group has its linear predictor."""
    where = original.slices[0]
    gamma = np.zeros(original.size)
    gamma[where] = np.linalg.solve(original.block.X[0][first] @ matrix[where, where], eta)
    return gamma


def _quantiles(working: "Working", original: "Likelihood", matrix: Array, shape: Array) -> Optimum | None:
    """Group quantiles, or else the regression quantile by linear programming."""
    gamma: Array | None
    block, family = original.block, original.family
    level = family.quantile_level
    if level is None or next(iter(family.links.values())) != identity:
        return None
    weight = block.each / shape
    groups, count, on_the_line = _groups(block.X[0]), 0, None
    if groups is not None:
        first, group = groups
        y = less_offset(block)
        chosen = (group == each for each in range(first.size))
        theta = np.array([weighted_quantile(y[rows], weight[rows], level) for rows in chosen])
        gamma = _from_groups(original, matrix, first, theta)
    else:
        columns, where = first_columns(working)
        if not np.isfinite(columns).all():
            return None
        problem = Pinball(columns, less_offset(block), weight, level)
        solved = regression_quantile(problem)
        if solved is None:
            return None
        gamma = np.zeros(working.size)
        gamma[where], count = solved
        on_the_line = problem.residual(gamma[where]) == 0
    gamma = _with_scale(working, matrix, gamma, shape, on_the_line)
    if gamma is None or not np.isfinite(gamma).all():
        return None
    return Optimum(gamma, "linear programme" if count else "closed form", count, 0)
