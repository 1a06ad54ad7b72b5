"""Estimates without iteration: least squares, and group means."""

from typing import TYPE_CHECKING

import numpy as np

from mlekit.links import Array, log
from mlekit.optimize.base import Curvature, Optimum

if TYPE_CHECKING:
    from mlekit.likelihood import Likelihood, Working

# Beyond this many 0/1 columns their pattern no longer fits an exact float.
_MOST_COLUMNS = 50


def closed_form(working: "Working", original: "Likelihood", matrix: Array) -> Optimum | None:
    """The estimate in closed form, or None if the family, its links and the design have none.

    Least squares where the first parameter is a mean with the identity link and normal errors of a known shape; group
    means where the design says no more than which group a row is in.

    Parameters
    ----------
    working : Likelihood or Transformed
        In the coordinates of the fit.
    original : Likelihood
        In the columns of the design, which tell whether there are groups.
    matrix : (r, r) array
        ``beta = matrix @ gamma``.
    """
    shape = _error_shape(original)
    if shape is None:
        return None
    gamma: Array | None = None
    if original.family.least_squares:
        gamma = _least_squares(working, original, matrix, shape)
    elif original.block.offset[0] is None:
        gamma = _group_means(working, original, matrix)
    if gamma is None or not np.isfinite(gamma).all():
        return None
    return Optimum(gamma, "closed form", 0, 0)


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


def _least_squares(working: "Working", original: "Likelihood", matrix: Array, shape: Array) -> Array:
    """Weighted least squares in orthogonal coordinates, refined twice from the residuals of the original columns."""
    block = working.block
    weight = (np.ones_like(block.y) if block.weight is None else block.weight) / shape**2
    others = [np.zeros_like(block.y) for _ in block.X[1:]]
    with np.errstate(all="ignore"):
        products = working.gram([weight, *others])
    if not np.isfinite(products).all():
        return np.full(working.size, np.nan)
    gram = Curvature(products + np.diag([*np.zeros(block.X[0].shape[1]), *(1.0 for _ in others)]))
    gamma = np.zeros(working.size)
    for _ in range(3):
        residual = block.y - original.linear_predictors(matrix @ gamma)[0]
        gamma = gamma + gram.solve(working.project([weight * residual, *others]))
    return _with_scale(working, matrix, gamma, shape)


def _with_scale(working: "Working", matrix: Array, gamma: Array, shape: Array) -> Array:
    """Add the estimate of the common scale, given the first parameter."""
    family, block = working.family, working.block
    if len(block.X) == 1:
        return gamma
    (mean_link, scale_link) = family.links.values()
    theta = mean_link.inverse(working.linear_predictors(gamma)[0])
    weight = np.ones_like(block.y) if block.weight is None else block.weight
    scale = family.scale_mle(block.y / shape, theta / shape, weight)
    if scale is None:
        return gamma
    # A perfect fit has no scale: the smallest that rounding can tell from none keeps everything finite.
    floor = np.finfo(float).eps * float(np.max(np.abs(block.y), initial=1e-300))
    gamma[-1] = scale_link.forward(np.float64(max(scale, floor))) / matrix[-1, -1]
    return gamma


def _group_means(working: "Working", original: "Likelihood", matrix: Array) -> Array | None:
    """Coefficients whose fitted values are the group means, if the design is one of groups alone."""
    X, block = original.block.X[0], original.block
    if X.shape[1] > _MOST_COLUMNS or not np.isin(X[:1000], (0.0, 1.0)).all() or not np.isin(X, (0.0, 1.0)).all():
        return None
    pattern = X @ np.exp2(np.arange(X.shape[1]))
    _, first, group = np.unique(pattern, return_index=True, return_inverse=True)
    if first.size != X.shape[1]:
        return None
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
    where = original.slices[0]
    gamma = np.zeros(working.size)
    gamma[where] = np.linalg.solve(X[first] @ matrix[where, where], eta)
    return _with_scale(working, matrix, gamma, np.ones_like(block.y))
