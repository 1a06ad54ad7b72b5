"""Rows in which a column that was left out as collinear is not the combination of others that it was in the fit.

The likelihood says nothing of what is predicted there: the coefficient of such a column is any number. In the words of
linear models the prediction is not estimable (Searle 1971, section 5.4).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mlekit.basis import Basis, relation
from mlekit.links import Array
from mlekit.messages import counted, warn

# A relation holds in a row to this, relative to the largest of its terms or of the column in the fit.
_TOLERANCE = 1e-9
# Derivatives are differences where formulas have functions of the user's or splines.
_TOLERANCE_OF_SLOPES = 1e-6
# Coefficients that add less than this to a column, relative to its size, are rounding: a tenth of what is tolerated.
_ROUNDING = 1e-10
# How many rows a warning names.
_NAMED = 5


@dataclass(frozen=True)
class LeftOut:
    """A column that is not estimated, as it was a combination of others in the rows of the fit.

    Attributes
    ----------
    param : int
        Position of its parameter.
    column : str
    size : float
        Its largest absolute value in the fit.
    coefficients : dict
        Those on the columns that were kept, by name.
    """

    param: int
    column: str
    size: float
    coefficients: Mapping[str, float]

    @property
    def relation(self) -> str:
        """The relation in words."""
        return relation(self.column, np.array([*self.coefficients.values()]), [*self.coefficients])

    def broken(self, x: Array, names: Sequence[str], slopes: bool = False) -> Array:
        """Whether rows of the whole matrix, or derivatives of it, do not obey the relation, ``(n,)``.

        Examples
        --------
        >>> LeftOut(0, "x2", 4.0, {"x1": 2.0}).broken(np.array([[1.0, 2.0], [1.0, 3.0]]), ["x1", "x2"]).tolist()
        [False, True]
        """
        own = x[:, names.index(self.column)]
        with np.errstate(all="ignore"):
            terms = x[:, [names.index(name) for name in self.coefficients]] * [*self.coefficients.values()]
            largest = np.maximum(np.abs(own), np.abs(terms).sum(axis=1))
            floor = largest.max(initial=0.0) if slopes else self.size
            allowed = (_TOLERANCE_OF_SLOPES if slopes else _TOLERANCE) * np.maximum(largest, floor)
            return ~(np.abs(own - terms.sum(axis=1)) <= allowed)


def left_out(bases: Sequence[Basis], X: Sequence[Array], columns: Sequence[Sequence[str]]) -> tuple[LeftOut, ...]:
    """Columns of the matrices that are not estimated, with their relations.

    Examples
    --------
    >>> from mlekit.basis import basis
    >>> x = np.array([[1.0, 2.0], [3.0, 6.0]])
    >>> left_out([basis(x)], [x], [["a", "b"]])[0].relation
    'b = 2*a'
    """
    found = []
    for i, (each, x, names) in enumerate(zip(bases, X, columns, strict=True)):
        for j, coefficients in each.dropped.items():
            size = np.abs(x[:, j]).max(initial=0.0)
            pairs = zip(each.kept, coefficients, strict=True)
            with np.errstate(over="ignore"):
                real = {
                    names[m]: float(c) for m, c in pairs if abs(c) * np.abs(x[:, m]).max(initial=0.0) > _ROUNDING * size
                }
            found.append(LeftOut(i, names[j], float(size), real))
    return tuple(found)


def astray(
    columns: Sequence[LeftOut],
    full: Sequence[Array],
    names: Sequence[Sequence[str]],
    labels: pd.Index | None = None,
    slopes: bool = False,
) -> Array | None:
    """Rows of whole matrices that do not obey a relation, ``(n,)``, or None.

    Parameters
    ----------
    columns : sequence of LeftOut
    full, names
        The whole matrix of each parameter, and its columns.
    labels : Index, optional
        Of the rows, to be named in a warning; without them there is none.
    slopes : bool
        Whether the matrices are derivatives.

    Warns
    -----
    RuntimeWarning
        With ``labels``, if there are such rows; it names them and the columns.
    """
    broken = [(each, each.broken(full[each.param], names[each.param], slopes)) for each in columns]
    broken = [(each, rows) for each, rows in broken if rows.any()]
    if not broken:
        return None
    lost: Array = np.logical_or.reduce([rows for _, rows in broken])
    if labels is not None:
        where = np.flatnonzero(lost)
        named = ", ".join(map(str, labels[where[:_NAMED]]))
        more = f" and {where.size - _NAMED} more" if where.size > _NAMED else ""
        warn(
            f"{counted(where.size, 'row')} of {lost.size} ({named}{more}) cannot be predicted and "
            f"{'is' if where.size == 1 else 'are'} NaN: the fit left out what was collinear in its rows "
            f"({'; '.join(dict.fromkeys(each.relation for each, _ in broken))}), and this does not hold there: the "
            "data say nothing of them. What to do: predict where it holds, leave the column or the term out of the "
            "formula, or fit data that tell the columns apart, such as some in the cell that is empty",
            RuntimeWarning,
        )
    return lost


def blank(
    lost: Array | None, X: Sequence[Array], offsets: Sequence[Array | None]
) -> tuple[tuple[Array, ...], tuple[Array | None, ...]]:
    """Matrices and offsets with NaN in the rows that are lost."""
    if lost is None:
        return tuple(X), tuple(offsets)
    filled = tuple(np.where(lost, np.nan, 0.0 if offset is None else offset) for offset in offsets)
    return tuple(np.where(lost[:, None], np.nan, x) for x in X), filled
