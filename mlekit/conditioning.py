"""Columns that are nearly combinations of others: how far that inflates errors, and how many digits it leaves.

Both are of the design alone. What counts for digits is the column as it is stored, far from its origin or not; for
standard errors it is the column less its mean, where the design has a constant.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mlekit.basis import SAMPLE_ROWS, Basis, amplification, has_constant, relation, sample_rows
from mlekit.links import Array
from mlekit.messages import counted

_EPS = float(np.finfo(float).eps)
# A summary shows about six digits.
_FEWEST_DIGITS = 6.0
# Standard errors are warned of from the second on, which raw powers of ordinary covariates do not reach (of 1 to 21, to
# the ninth: 9e5); from the first on if a column is nearly one other, or a combination of two: that is seldom meant.
_INFLATED = 1e5, 1e7
_FEW = 2
# More terms than this are not written out.
_MOST_TERMS = 4
#: What to do about it.
REMEDY = "leave one of these columns out, or take off the mean, or use orthogonal polynomials"


@dataclass(frozen=True)
class Conditioning:
    """What is said of one matrix.

    Attributes
    ----------
    inflation : (r,) array
        Standard error of each coefficient over what it would be if the column were orthogonal to all others: the root
        of the variance inflation factor.
    digits : float
        About how many digits of the worst coefficient survive the rounding of the data to doubles.
    condition : float
        Condition number of the matrix, its columns scaled to one length.
    relation : str
        Empty unless a column is nearly a combination of others; then which, in words.
    """

    inflation: Array
    digits: float
    condition: float
    relation: str

    def __str__(self) -> str:
        said = [self.relation, f"scaled condition number {self.condition:.2g}"]
        if self.inflation.max() > _INFLATED[0]:
            said.append(f"standard errors are up to {self.inflation.max():.2g} times what they would be without that")
        return "; ".join(said) + f"; coefficients have about {max(self.digits, 0):.0f} digits that can be trusted"


def conditioning(X: Array, basis: Basis, names: Sequence[str]) -> Conditioning:
    """Say how well the columns of a matrix are told apart.

    Parameters
    ----------
    X : (n, r) array
        The columns that are estimated.
    basis : Basis
        Their coordinates.
    names : sequence of str

    Examples
    --------
    >>> from mlekit.basis import basis
    >>> x = np.sin(np.arange(20.0))
    >>> X = np.column_stack([np.ones(20), x, 2 * x + 1e-7 * np.cos(np.arange(20.0))])
    >>> found = conditioning(X, basis(X), ["Intercept", "x", "z"])
    >>> found.relation, round(found.digits)
    ('z is 2*x but for 5e-08 of its size', 8)
    """
    # Coordinates from a sample of the rows are taken only if these are well conditioned.
    some = X if basis.columns is not None or len(X) <= SAMPLE_ROWS else X[sample_rows(len(X))]
    amplified = np.maximum(amplification(some, basis.matrix), 1.0)
    digits = -float(np.log10(_EPS * amplified.max(initial=1.0)))
    scale = np.abs(some).max(axis=0, initial=0.0)
    scale[scale == 0] = 1.0
    size = np.sqrt(np.mean((some / scale) ** 2, axis=0))
    inflation = amplified
    if basis.origin is not None or has_constant(X):
        inflation = np.maximum(amplified * np.std(some / scale, axis=0) / size, 1.0)
    shares = basis.matrix * (scale * size)[:, None]  # (r, r): rows of the scaled pseudo-inverse
    values = np.linalg.svd(shares, compute_uv=False) if shares.size else np.ones(1)
    said = ""
    if amplified.size and (digits < _FEWEST_DIGITS or inflation.max() > _INFLATED[0]):
        by = amplified if inflation.max() <= _INFLATED[0] else inflation
        worst = int(np.flatnonzero(by > 0.2 * by.max())[-1])
        parts = _combination(shares, amplified, worst)
        if digits < _FEWEST_DIGITS or np.count_nonzero(parts) <= _FEW or inflation.max() > _INFLATED[1]:
            combined = _in_words(parts * size[worst] * scale[worst] / (size * scale), names)
            said = f"{names[worst]} is {combined} but for {1 / amplified[worst]:.1g} of its size"
    return Conditioning(inflation, digits, float(values[0] / values[-1]), said)


def trusted_digits(X: Array, matrix: Array, params: Array, errors: Array) -> Array:
    """Digits of each coefficient that survive the rounding of its matrix to doubles, at most 15.

    Of the coefficient, or of its standard error where that is larger: a first-order bound, as of Björck (1996, section
    1.4), in the norms of the columns and of the rows of the pseudo-inverse.

    Parameters
    ----------
    X : (n, r) array
    matrix : (r, r) array
        Coordinates of it.
    params, errors : (r,) arrays
        Coefficients and their standard errors.
    """
    scale = np.abs(X).max(axis=0, initial=0.0)
    scale[scale == 0] = 1.0
    size = np.sqrt(np.mean((X / scale) ** 2, axis=0))
    rows = np.linalg.norm(matrix * scale[:, None], axis=1)
    with np.errstate(all="ignore"):
        inner, known = np.abs(params) * scale, np.fmax(np.abs(params), errors) * scale
        change = rows * np.sum(size * inner) / np.where(known > 0, known, np.nan) + np.sum(rows * size)
    return np.clip(-np.log10(_EPS * change), 0.0, 15.0)


def told_apart(X: Array, basis: Basis) -> bool:
    """Whether columns are so far from combinations of others that nothing has to be said of them."""
    return basis.columns is None or bool(amplification(X, basis.matrix).max(initial=1.0) <= _INFLATED[0])


def _combination(shares: Array, amplified: Array, worst: int) -> Array:
    """The worst column as a combination of the others, all of one length: zero for terms that do not matter."""
    inner = shares @ shares[worst]
    parts = -inner / inner[worst]
    parts[worst] = 0.0
    parts[np.abs(parts) <= np.maximum(10 / amplified[worst], 1e-4 * np.abs(parts).max())] = 0.0
    return parts


def _in_words(coefficients: Array, names: Sequence[str]) -> str:
    kept = [int(k) for k in np.flatnonzero(coefficients)]
    others = [names[k] for k in kept]
    if len(kept) > _MOST_TERMS:
        return f"a combination of {', '.join(others[:_MOST_TERMS])} and {counted(len(kept) - _MOST_TERMS, 'other')}"
    rounded = np.array([float(f"{coefficients[k]:.4g}") for k in kept])
    return relation("", rounded, others).removeprefix(" = ")
