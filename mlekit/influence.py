"""What each row does to a fit: leverage, Cook's distance, and how the estimates move without it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import linalg

from mlekit.covariance import unbiased_scale
from mlekit.diagnostics import NotGiven
from mlekit.links import Array
from mlekit.sandwich import Point, root_of

if TYPE_CHECKING:
    from mlekit.model import Model

# What a row leaves to the others when it is the only one to determine some coefficient, by rounding.
_NOTHING = 1e-10
_RANK = 1e-12


@dataclass(frozen=True)
class Influence:
    """What each row does to a fit.

    Attributes
    ----------
    leverage : (n,) array
        Diagonal of the hat matrix: share of the row in the fit of its own linear predictor.
    cooks_distance : (n,) array
    change : (n, p) array
        Estimate of each coefficient with the row less that without it, by one Newton step.
    errors : (p,) array
        Standard errors by the same information.
    """

    leverage: Array
    cooks_distance: Array
    change: Array
    errors: Array


def influence(model: "Model", point: Point, matrix: Array) -> Influence:
    """Leverage, Cook's distance and the change of the estimates by leaving out each row.

    Parameters
    ----------
    model : Model
    point : Point
        The estimate, in coordinates of a fit.
    matrix : (p, k) array
        What makes coefficients of those.

    Raises
    ------
    NotGiven
        If the information is singular.

    Notes
    -----
    Without row i the score at the estimate is minus that of the row, ``-X_i' g_i``, and the information is less by
    ``X_i' W_i X_i``: the Newton step is ``V X_i' (1 - W_i X_i V X_i')**-1 g_i`` with the inverse V of the information
    (Pregibon 1981, for one parameter). W_i is the expected information of the row where the family knows it. The
    leverage is that of the linear predictor of the first parameter (of levels, of all parameters), W_i times its
    variance. Cook's distance is the square of the change of its coefficients, in units of their covariance, over their
    number (Cook 1977).
    """
    kind = "observed" if point.working.expected_information(point.gamma) is None else "expected"
    root = root_of(point.information(kind))
    if root is None:
        raise NotGiven(f"the {kind} information is singular, so there are no leverages: leave terms out of the formula")
    d, n = model.describing, len(point.labels)
    weight = model.observations.block.each
    reached = matrix @ root
    first = slice(0, model.design.slices[d - 1].stop)
    axes = _axes(reached[first])
    leverage, cooks, change = np.empty(n), np.empty(n), np.empty((n, len(matrix)))
    for here, columns, grad, information in point.parts(root, kind):
        w, g = information * weight[here], grad * weight[here]
        variance = np.einsum("inp,jnp->nij", *[np.stack(columns)] * 2)
        shares = np.einsum("ijn,njk->nik", w, variance)
        leverage[here] = sum(shares[:, i, i] for i in range(d))
        lifted = _without(shares, g.T)
        moved = np.einsum("inp,ni->np", np.stack(columns), lifted)
        change[here] = moved @ reached.T
        cooks[here] = ((moved @ axes) ** 2).sum(axis=1) / max(axes.shape[1], 1)
    if model.one_scale and unbiased_scale(model.family):
        # As in least squares, sigma squared is over n - p.
        cooks *= (point.nobs - first.stop) / point.nobs
    return Influence(leverage, cooks, change, np.linalg.norm(reached, axis=1))


def _axes(reached: Array) -> Array:
    """Orthonormal axes, as columns, of what moves the given coefficients."""
    size = np.linalg.norm(reached, axis=1, keepdims=True)
    q, r, _ = linalg.qr((reached / np.where(size > 0, size, 1.0)).T, mode="economic", pivoting=True)
    rank = int((np.abs(np.diag(r)) > _RANK * np.abs(r[:1, :1]).max(initial=0.0)).sum())
    return np.asarray(q[:, :rank])


def _without(shares: Array, grad: Array) -> Array:
    """``(1 - shares)**-1 @ grad`` of each row; NaN where the row alone determines some coefficient."""
    left = np.eye(shares.shape[1]) - shares
    alone = ~(np.abs(np.linalg.det(left)) > _NOTHING)
    left[alone] = np.eye(shares.shape[1])
    found = np.linalg.solve(left, grad[:, :, None])[:, :, 0]
    found[alone] = np.nan
    return found


def scale_without(model: "Model", residual: Array, leverage: Array) -> Array | None:
    """Sigma of least squares without each row, relative to the maximum-likelihood one; None for other models."""
    if not (model.one_scale and unbiased_scale(model.family)):
        return None
    block, counted = model.observations.block, model.row_weight
    squares = residual**2 * (1.0 if counted is None else counted)
    freedom = block.each.sum() - model.exog.shape[1] - block.each
    with np.errstate(all="ignore"):
        mean_square = (squares.sum() - squares / (1 - leverage)) / np.where(freedom > 0, freedom, np.nan)
        return np.sqrt(np.maximum(mean_square, 0.0) / (squares.sum() / block.each.sum()))
