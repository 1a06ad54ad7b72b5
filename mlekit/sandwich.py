"""Sandwiches: sums of squared scores between two inverses of the information, of rows, of clusters and over lags.

Everything is done in coordinates in which the information is the identity (``root @ root.T`` is its inverse): there a
covariance is the sum of squared scores, and the leverage of a cluster is its own information.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mlekit.likelihood import Likelihood, Transformed
from mlekit.links import Array
from mlekit.optimize.base import Curvature

if TYPE_CHECKING:
    from mlekit.likelihood import Evaluation

_SINGULAR = 1e-12
# What a row or a cluster leaves to the others when it is the only one to determine some coefficient, by rounding.
_NOTHING = 1e-10
# Entries of the matrices of rows that are added at once: few enough to stay in cache.
_ENTRIES = 100_000
#: Which information the bread and the leverages are made of.
INFORMATION = ("observed", "expected")


@dataclass(frozen=True)
class Point:
    """Where a covariance is wanted, and what is known there.

    Attributes
    ----------
    working : Likelihood or Transformed, or one with a penalty
    gamma : (k,) array
        The estimate, in coordinates of ``working``.
    here : Evaluation
        Mean log-likelihood there, with derivatives.
    results : Results
        The fit: its rows and degrees of freedom, and what fits it again.
    """

    working: Any
    gamma: Array
    here: "Evaluation"
    results: Any

    @property
    def df_resid(self) -> float:
        """Observations less the coefficients that describe the response."""
        return float(self.results.df_resid)

    @property
    def labels(self) -> pd.Index:
        """Labels of the rows."""
        return self.results.model.observations.labels

    def column(self, values: Any, what: str) -> Any:
        """Values of a column of the data, or of an array, in the rows in use."""
        return self.results.model.observations.column(values, what)

    @property
    def nobs(self) -> float:
        """Number of observations."""
        return float(self.working.nobs)

    @cached_property
    def _coordinates(self) -> tuple[Likelihood, Array]:
        """The likelihood of the rows, and the matrix that makes its coefficients of ``gamma``."""
        working = self.working
        while not isinstance(working, Likelihood | Transformed):
            working = working.inner  # a penalty adds nothing to the rows
        if isinstance(working, Transformed):
            return working.inner, working.matrix
        return working, np.eye(self.gamma.size)

    def information(self, kind: str) -> Array:
        """Information of all rows: minus the Hessian, or its expectation.

        Raises
        ------
        ValueError
            If ``kind`` is neither, or the family does not know the expectation.
        """
        if kind not in INFORMATION:
            raise ValueError(f"information must be 'observed' or 'expected', not {kind!r}")
        if kind == "observed" and self.working.family.quantile_level is None:
            return -self.here.hessian * self.nobs
        found = self.working.expected_information(self.gamma)
        if found is None:
            family = self.working.family
            instead = "" if family.quantile_level is not None else "use the observed information ('nonrobust'), or "
            raise ValueError(
                f"these standard errors need the expected information, which {family!r} does not give: {instead}"
                "define information(self, *eta) in the family"
            )
        return found

    def leverage_root(self) -> tuple[str, Array]:
        """The information that leverages are made of, and its root.

        The expected one, where the family knows it: that of a row then does not depend on its residual.
        """
        known = self.working.expected_information(self.gamma) is not None
        kind = "expected" if known else "observed"
        root = root_of(self.information(kind))
        if root is None:
            raise ValueError(f"the {kind} information is singular, so there are no leverages: use 'HC0' or 'HC1'")
        return kind, root

    def scores(self) -> Array:
        """Gradient of each row's log-density, ``(n, k)``, without its weight."""
        return self.working.score_rows(self.gamma)

    def parts(self, root: Array, kind: str) -> Iterator[tuple[slice, tuple[Array, ...], Array, Array]]:
        """Walk the blocks: its rows, the matrices, and the rows' gradients ``(k, n)`` and information ``(k, k, n)``."""
        likelihood, matrix = self._coordinates
        beta, white = matrix @ self.gamma, matrix @ root
        first = 0
        for block in likelihood.blocks:
            rows = likelihood.densities(beta, block, 2)
            if rows is None:
                raise ValueError("the likelihood is not finite at the estimate, so it has no scores there")
            weights = -rows.hess
            if kind == "expected":
                weights = likelihood.family.information(*likelihood.linear_predictors(beta, block))
                repeats = likelihood.family.repeats(block.y)
                weights = weights if repeats is None else weights * repeats
            columns = tuple(x @ white[where] for x, where in zip(block.X, likelihood.slices, strict=True))
            yield slice(first, first + len(block)), columns, np.asarray(rows.grad), np.asarray(weights)
            first += len(block)


def root_of(information: Array) -> Array | None:
    """``R`` with ``R @ R.T`` the inverse of an information matrix; None where it is singular."""
    if not np.isfinite(information).all():
        return None
    curvature = Curvature(information)
    # Cholesky alone may succeed where a matrix is singular but for rounding, as the scores of a group of one row are.
    if curvature.modified or curvature.smallest_eigenvalue() < _SINGULAR:
        return None
    return curvature.root_inverse()


def squared(scores: Array, weight: Array | None) -> Array:
    """Sum of the outer products of scores. A frequency weight stands for repeated rows, each with its own product."""
    return scores.T @ (scores if weight is None else weight[:, None] * scores)


# ------------------------------------------------------------------------------------ rows


def of_rows(point: Point, root: Array, power: float) -> Array:
    """Score of each row times ``(I - H)**-power`` with its leverage ``H``, in the coordinates of ``root``, ``(n, k)``.

    Raises
    ------
    ValueError
        If a row has leverage 1.
    """
    kind, own = point.leverage_root()
    scores = np.empty((len(point.labels), own.shape[1]))
    for here, columns, grad, weights in point.parts(own, kind):
        lifted = _lifted(columns, grad, weights, power, point.labels[here])
        scores[here] = sum(x * g[:, None] for x, g in zip(columns, lifted, strict=True))
    return scores @ np.linalg.solve(own, root)


def leverages(point: Point) -> Array:
    """Leverage of each row: the trace of the matrix that its response and its fitted parameters share, ``(n,)``."""
    kind, own = point.leverage_root()
    found = np.empty(len(point.labels))
    for here, columns, _, weights in point.parts(own, kind):
        pairs = ((i, j) for i in range(len(columns)) for j in range(len(columns)))
        found[here] = sum(weights[i, j] * np.einsum("np,np->n", columns[j], columns[i]) for i, j in pairs)
    return found


def _lifted(columns: tuple[Array, ...], grad: Array, weights: Array, power: float, labels: pd.Index) -> Array:
    """Return ``(I - W M)**-power @ grad`` of each row, with ``M`` the variance of its linear predictors.

    ``W M`` is similar to the symmetric ``root(M) W root(M)``.
    """
    if len(columns) == 1:
        left = 1 - weights[0, 0] * np.einsum("np,np->n", columns[0], columns[0])
        _refuse_alone(left, labels)
        return grad * left**-power
    stacked = np.stack(columns)
    # Each linear predictor in units of its own error: those of a location and of a log scale may be 1e-9 and 1.
    unit = np.abs(stacked).max(axis=2, initial=0.0)
    unit[unit == 0] = 1.0
    stacked, grad = stacked / unit[:, :, None], grad * unit
    weights = weights * unit[:, None] * unit[None]
    variance = np.einsum("inp,jnp->nij", stacked, stacked)
    values, vectors = np.linalg.eigh(variance)
    size = np.sqrt(np.maximum(values, 0.0))
    known = size > 1e-8 * size.max(axis=1, keepdims=True)
    inverse = np.where(known, 1 / np.where(known, size, 1.0), 0.0)
    root = np.einsum("nia,na,nja->nij", vectors, np.where(known, size, 0.0), vectors)
    back = np.einsum("nia,na,nja->nij", vectors, inverse, vectors)
    shares, axes = np.linalg.eigh(np.einsum("nij,jkn,nkl->nil", root, weights, root))
    _refuse_alone((1 - shares).min(axis=1), labels)
    moved = np.einsum("nia,nij,jn->na", axes, root, grad) * (1 - shares) ** -power
    lifted: Array = np.einsum("nij,nja,na->in", back, axes, moved) / unit
    return lifted


def _refuse_alone(left: Array, labels: pd.Index) -> None:
    alone = ~(left > _NOTHING)
    if alone.any():
        raise ValueError(
            f"row {labels[int(np.argmax(alone))]!r} alone determines some coefficient (its leverage is 1 or more), so "
            "that its residual says nothing of its error, and HC2 and HC3 do not exist: use 'HC0' or 'HC1'"
        )


# ------------------------------------------------------------------------------------ clusters


def of_clusters(point: Point, codes: Array, root: Array, power: float) -> Array:
    """Sum of the scores of each cluster in the coordinates of ``root``, ``(G, k)``.

    With a power, times ``(I - B)**-power`` where ``B`` is the cluster's share of the information: for a linear model
    the leverage adjustment of residuals of Bell and McCaffrey (2002) at 1/2, and the jackknife at 1.

    Raises
    ------
    ValueError
        If a cluster alone determines some coefficient.
    """
    weight = point.working.block.each
    order = np.argsort(codes, kind="stable")
    starts = np.flatnonzero(np.diff(codes[order], prepend=-1))
    totals = np.add.reduceat((point.scores() * weight[:, None])[order], starts)
    if not power:
        return totals @ root
    kind, own = point.leverage_root()
    shares = np.zeros((starts.size, own.shape[1], own.shape[1]))
    for here, columns, _, rows in point.parts(own, kind):
        _add_information(shares, codes[here], columns, rows * weight[here])
    values, vectors = np.linalg.eigh(shares)
    if not (values < 1 - _NOTHING).all():
        why = "a covariate varies in no other" if kind == "expected" else "or has more of the observed information"
        raise ValueError(
            f"a cluster alone determines some coefficient ({why}), so that CR2 and CR3 do not exist: "
            "use 'CR0', 'CR1' or 'cluster'"
        )
    inside = (totals @ own)[:, None, :] @ vectors * ((1 - values) ** -power)[:, None, :]
    lifted = (vectors @ inside.transpose(0, 2, 1))[:, :, 0]
    return lifted @ np.linalg.solve(own, root)


def groupings(groups: Any) -> list[Any]:
    """The ways of clustering that were asked for: one, or a list of one or two."""
    several = isinstance(groups, list | tuple) and 0 < len(groups) < 3
    return list(groups) if several and all(isinstance(way, str) or np.ndim(way) == 1 for way in groups) else [groups]


def codes_of(column: Callable[[Any, str], Any], labels: pd.Index, groups: Any) -> tuple[str, Array]:
    """Name of a grouping, and a code from 0 on for each row.

    Raises
    ------
    ValueError
        If a row has none, or there is one cluster.
    """
    name = groups if isinstance(groups, str) else getattr(groups, "name", None) or "groups"
    codes, levels = pd.factorize(np.asarray(column(groups, "groups"), dtype=object))
    if (codes < 0).any():
        first, *others = labels[codes < 0].tolist()
        more = f" and {len(others)} more" if others else ""
        raise ValueError(
            f"{name} is missing in row {first!r}{more}: each row needs a cluster. Leave such rows out before the fit"
        )
    if len(levels) < 2:
        raise ValueError(f"{name} puts all rows into one cluster: nothing can be compared")
    return str(name), codes.astype(np.int64)


def _add_information(shares: Array, codes: Array, columns: tuple[Array, ...], rows: Array) -> None:
    """Add the information of some rows to that of their clusters."""
    order = np.argsort(codes, kind="stable")
    size = max(1, _ENTRIES // shares[0].size)
    for first in range(0, order.size, size):
        mine = order[first : first + size]
        own = codes[mine]
        starts = np.flatnonzero(np.diff(own, prepend=-1))
        each = np.zeros((mine.size, *shares.shape[1:]))
        for a, information in zip(columns, rows, strict=True):
            right = sum(part[mine, None] * b[mine] for part, b in zip(information, columns, strict=True))
            each += a[mine, :, None] * right[:, None, :]
        shares[own[starts]] += np.add.reduceat(each, starts)


# ------------------------------------------------------------------------------------ lags


def newey_west(scores: Array, lags: int) -> Array:
    """Sum of the outer products of scores up to some lags apart, with Bartlett's weights (Newey and West 1987)."""
    total = scores.T @ scores
    for lag in range(1, lags + 1):
        product = scores[lag:].T @ scores[:-lag]
        total += (1 - lag / (lags + 1)) * (product + product.T)
    return total
