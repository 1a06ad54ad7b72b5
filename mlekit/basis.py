"""Coordinates in which a design matrix is well conditioned, and the columns that are combinations of others.

A fit runs in ``gamma`` with ``beta = matrix @ gamma``, where ``X @ matrix`` has orthogonal columns of mean square one.
That makes every fit invariant to the units and, with an intercept, to the origin of the covariates, and it finds exact
collinearity before anything is estimated.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np
from scipy import linalg

from mlekit.doubled import accurate_product
from mlekit.links import Array
from mlekit.optimize.base import Curvature

#: Above this many rows the coordinates are learned from as many rows drawn at random, and the matrix is not copied.
SAMPLE_ROWS = 20_000
# A column is a combination of others if what is left of it, relative to its norm, is below this: R's 1e-7 drops good
# columns, and centring first would hide exact collinearity.
_RANK_TOLERANCE = 1e-12
# Coordinates from a sample are used if the condition number is no worse: a Hessian then loses at most six digits.
_SAMPLE_CONDITION = 1e3
# And if the mean squares of the columns are no more than so many times those of the sample.
_FAR_OUT = 1e4
# From this amplification of errors on, the factors of the QR decomposition are those of a matrix that differs visibly.
_COSTLY = 1e6


@dataclass(frozen=True)
class Basis:
    """Well-conditioned coordinates of one design matrix.

    Attributes
    ----------
    kept : tuple of int
        The columns that are estimated.
    matrix : (r, r) array
        ``beta[kept] = matrix @ gamma``.
    columns : (n, r) array or None
        ``X[:, kept] @ matrix``; None if the matrix is large and was not copied.
    dropped : dict
        For each column that is not estimated, its coefficients on the kept ones.
    origin : (r,) array or None
        What is taken off ``X[:, kept] @ matrix``, where the constants of other parameters make up for it.
    """

    kept: tuple[int, ...]
    matrix: Array
    columns: Array | None = field(repr=False)
    dropped: Mapping[int, Array]
    origin: Array | None = None


def basis(X: Array) -> Basis:
    """Return well-conditioned coordinates of the columns of ``X``.

    Parameters
    ----------
    X : (n, p) array of finite numbers

    Raises
    ------
    ValueError
        If a column has no value as large as the smallest normal float.

    Examples
    --------
    >>> X = np.column_stack([np.ones(5), np.arange(5.0), 2 * np.arange(5.0) + 3])
    >>> found = basis(X)
    >>> found.kept, found.dropped[2].round(12).tolist()
    ((0, 1), [3.0, 2.0])
    """
    return sampled_basis(X) or _orthogonal(X)


def centred_basis(X: Array) -> Basis:
    """Return coordinates of columns less their means: they are invariant to the origin of the covariates.

    Examples
    --------
    >>> found = centred_basis(np.array([[1e6], [1e6 + 2], [1e6 + 4]]))
    >>> bool(abs(found.columns.sum()) < 1e-9), np.round(found.origin / found.matrix[0]).tolist()
    (True, [1000002.0])
    """
    with np.errstate(over="ignore"):
        mean = X.mean(axis=0)
    if not X.shape[1] or not np.isfinite(mean).all():
        return basis(X)
    around = X - mean
    if sampled_basis(np.column_stack([np.ones(len(X)), X])) is not None:
        found = sampled_basis(around) or _orthogonal(around)
        return replace(found, columns=None, origin=mean @ found.matrix)
    whole = _orthogonal(X)  # differences from a mean hide what is exactly collinear
    kept = list(whole.kept)
    found = _orthogonal(around[:, kept])
    if found.dropped:
        return whole
    return replace(found, kept=whole.kept, dropped=whole.dropped, origin=mean[kept] @ found.matrix)


def sampled_basis(X: Array) -> Basis | None:
    """Coordinates learned from a sample of the rows, or None where there are few rows or that is not safe.

    Columns that are independent in some of the rows are independent in all of them.
    """
    if X.shape[0] <= SAMPLE_ROWS or not X.shape[1]:
        return None
    some = X[sample_rows(X.shape[0])]
    with np.errstate(all="ignore"):
        inner = some.T @ some / some.shape[0]
        norm = np.sqrt(np.diag(inner))
        values = (
            linalg.eigvalsh(inner / norm[:, None] / norm) if np.isfinite(norm).all() and (norm > 0).all() else [0.0]
        )
        # A row far out that is not in the sample may have made others next to nothing: all rows are in this sum.
        typical = (np.einsum("ij,ij->j", X, X) / X.shape[0] <= _FAR_OUT * norm**2).all()
    if not (typical and values[0] * _SAMPLE_CONDITION**2 > 1):
        return None
    return Basis(tuple(range(X.shape[1])), Curvature(inner).root_inverse(), None, {})


@lru_cache(maxsize=8)
def sample_rows(n: int) -> Array:
    """Row numbers, the same at every call: at random, so that no period in the rows hides a level."""
    return np.sort(np.random.default_rng(0).integers(0, n, SAMPLE_ROWS))


def _orthogonal(X: Array) -> Basis:
    n, p = X.shape
    if not p:
        return Basis((), np.zeros((0, 0)), X, {})
    # By the largest entry first: the norm of a column of 1e-300 underflows, of 1e300 overflows.
    scale = np.abs(X).max(axis=0, initial=0.0)
    small = (scale > 0) & (scale < np.finfo(float).tiny)
    if small.any():
        raise ValueError(
            f"the largest value in column {int(np.argmax(small)) + 1} of a matrix is {scale[small][0]:.3g}: it is too "
            "small for floats to have all their digits, and its coefficient too large: measure it in other units"
        )
    scale[scale == 0] = 1.0
    scaled = X / scale
    norm = np.sqrt(np.mean(scaled**2, axis=0))
    norm[norm == 0] = 1.0
    scaled /= norm
    q, r, order = linalg.qr(scaled, mode="economic", pivoting=True, check_finite=False)
    kept: tuple[int, ...] = tuple(range(p))
    dropped: dict[int, Array] = {}
    if _rank(r) < p:
        kept, dropped = _independent(r[:, np.argsort(order)], scale * norm)
        if not kept:
            return Basis((), np.zeros((0, 0)), np.zeros((n, 0)), dropped)
        q, r, order = linalg.qr(scaled[:, list(kept)], mode="economic", pivoting=True, check_finite=False)
    root = np.sqrt(n)
    inverse, _ = linalg.lapack.dtrtri(r)  # solve_triangular starts threads even for a handful of columns
    matrix = np.empty_like(inverse)
    matrix[order] = inverse * root
    matrix /= (scale * norm)[list(kept), None]
    columns = np.ascontiguousarray(q * root)
    if root * np.linalg.norm(inverse, axis=1).max(initial=0.0) > _COSTLY:
        columns = accurate_product(X[:, list(kept)], matrix)
    return Basis(kept, matrix, columns, dropped)


def _rank(r: Array) -> int:
    diagonal = np.abs(np.diag(r))
    return int(np.sum(diagonal > _RANK_TOLERANCE * diagonal.max(initial=0.0)))


def _independent(r: Array, scale: Array) -> tuple[tuple[int, ...], dict[int, Array]]:
    """Walk the columns in order, as R does, and drop each that is a combination of those before it.

    ``r`` has the same inner products as the scaled matrix and far fewer rows.
    """
    kept: list[int] = []
    dropped: dict[int, Array] = {}
    for j in range(r.shape[1]):
        column = r[:, j]
        size = float(np.linalg.norm(column))
        if kept:
            coefficients, *_ = linalg.lstsq(r[:, kept], column)
            left = float(np.linalg.norm(column - r[:, kept] @ coefficients))
        else:
            coefficients, left = np.zeros(0), size
        # A little looser than the rank that sent us here, so that this walk finds at least as much.
        if left <= 10 * _RANK_TOLERANCE * max(size, 1e-300) * np.sqrt(r.shape[1]) or size == 0:
            with np.errstate(over="ignore"):  # a relation of units that no double can say
                dropped[j] = coefficients * (scale[j] / scale[kept])
        else:
            kept.append(j)
    return tuple(kept), {j: np.pad(c, (0, len(kept) - c.size)) for j, c in dropped.items()}


def amplification(X: Array, matrix: Array) -> Array:
    """How much larger the error of each coefficient can be than that of its column, both relative, ``(r,)``.

    The norm of the column times that of its row of the pseudo-inverse, which is one where the column is orthogonal to
    all others (Stewart 1987).

    Parameters
    ----------
    X : (n, r) array
    matrix : (r, r) array
        Coordinates of it, as of :func:`basis`.

    Examples
    --------
    >>> X = np.array([[1.0, 1000.0], [1.0, 1001.0]])
    >>> amplification(X, basis(X).matrix).round(1).tolist()
    [2001.0, 2001.0]
    """
    scale = np.abs(X).max(axis=0, initial=0.0)
    scale[scale == 0] = 1.0
    return np.sqrt(np.mean((X / scale) ** 2, axis=0)) * np.linalg.norm(matrix * scale[:, None], axis=1)


def has_constant(X: Array) -> bool:
    """Whether the columns can add up to a constant, judged on a sample of the rows where there are many."""
    if not X.shape[1]:
        return False
    rows = np.arange(X.shape[0]) if X.shape[0] <= SAMPLE_ROWS else sample_rows(X.shape[0])
    few = X[rows[:100]]
    for j in np.flatnonzero((few == few[0]).all(axis=0) & (few[0] != 0)):
        if (X[rows, j] == few[0, j]).all():
            return True
    some = X[rows]
    scale = np.abs(some).max(axis=0)
    scaled = some / np.where(scale > 0, scale, 1.0)
    coefficients, *_ = linalg.lstsq(scaled, np.ones(scaled.shape[0]))
    return bool(np.allclose(scaled @ coefficients, 1, rtol=0, atol=1e-10))


def relation(name: str, coefficients: Array, others: Sequence[str]) -> str:
    """Write a dropped column as a combination of the kept ones.

    Examples
    --------
    >>> relation("x3", np.array([1.0, 2.0]), ["Intercept", "x1"])
    'x3 = Intercept + 2*x1'
    """
    largest = np.abs(coefficients).max(initial=0.0)
    parts = [
        f"{'-' if c < 0 else '+'} {'' if np.isclose(abs(c), 1, rtol=1e-9) else f'{abs(c):.6g}*'}{other}"
        for c, other in zip(coefficients, others, strict=True)
        if abs(c) > 1e-9 * largest
    ]
    text = " ".join(parts)
    text = "-" + text[2:] if text.startswith("- ") else text.removeprefix("+ ")
    return f"{name} = {text or '0'}"
