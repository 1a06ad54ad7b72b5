"""Whether a maximum-likelihood estimate exists: which coefficients are infinite, and which rows make them so."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from mlekit.families.recession import Recession
from mlekit.links import Array
from mlekit.separation import Cone, Undecided, limits, recession_cone

if TYPE_CHECKING:
    from mlekit.model import Model

# Sums of a row's terms are 0 below this share of their sizes: they are made in extended precision.
_ROUNDING = 1e-16
# Rows that a message names.
_NAMED = 5


class Separation(NamedTuple):
    """Directions to infinity, and what happens there.

    Attributes
    ----------
    recession : Recession
    reached : (m, n) array of bool
        Ends of the rows' densities that are reached in the limit.
    cone : Cone
        The directions, in the coordinates of the fit.
    signs : (p,) array
        Where each coefficient goes: 0 if it stays finite, 1, -1, or NaN where that depends on the direction.
    """

    recession: Recession
    reached: Array
    cone: Cone
    signs: Array


@dataclass(frozen=True, repr=False, eq=False)
class Existence:
    """Whether a model has a maximum-likelihood estimate; made by :func:`mlekit.check_existence`.

    Attributes
    ----------
    exists : bool or None
        None where it is not known: a family does not say what its density does far away, or rounding hides it.
    reason : str
    infinite : pandas.DataFrame
        A row for each coefficient without a finite estimate. ``estimate`` is ``inf`` or ``-inf`` if it goes there along
        every sequence of coefficients along which the likelihood approaches its supremum, and NaN if that depends on
        the sequence; ``rows`` are the labels of the separated rows that the coefficient takes part in, of all of them
        if it takes part in none.
    separated : pandas.Index
        Labels of the rows whose outcome is certain in the limit, wholly or on one side.

    Examples
    --------
    >>> import mlekit
    >>> data = {"y": [0, 0, 0, 1, 0, 1], "x": [1, 2, 3, 3, 4, 5]}
    >>> mlekit.check_existence("y ~ x", data, "bernoulli").exists
    True
    >>> print(mlekit.check_existence("y ~ x", data | {"y": [0, 0, 0, 1, 1, 1]}, "bernoulli"))
    No maximum-likelihood estimate: Intercept = -inf, x = inf, because of rows 0, 1, 4, 5
    """

    exists: bool | None
    reason: str
    infinite: pd.DataFrame = field(default_factory=lambda: pd.DataFrame({"estimate": [], "rows": []}))
    separated: pd.Index = field(default_factory=lambda: pd.Index([]))
    #: The figures behind it, where there is no estimate.
    separation: Separation | None = None

    def __str__(self) -> str:
        if self.exists is None:
            return f"Not known: {self.reason}"
        estimate = "A maximum-likelihood estimate exists" if self.exists else "No maximum-likelihood estimate"
        return f"{estimate}: {self.reason}"

    __repr__ = __str__


def existence(model: "Model") -> Existence:
    """Decide whether a model has a maximum-likelihood estimate.

    It has none if and only if there is a direction in which no row's log-density falls and some row's rises: then
    every point is bettered by another that is further in that direction. Offsets and (positive) weights do not matter.

    Parameters
    ----------
    model : Model
    """
    family, block = model.family, model.observations.block
    if family.quantile_level is not None or not model.matrix.size:
        return Existence(None if model.matrix.size else True, "nothing is estimated that can be infinite")
    recession = family.recession(block.y)
    if recession is None:
        return Existence(None, f"{family!r} does not say what its density does as linear predictors go to infinity")
    try:
        cone, reached = _cone(model, recession, np.zeros((0, len(model.matrix))))
        if not reached.any():
            return Existence(True, "in every direction the likelihood falls at last")
        signs = _signs(model, cone)
    except Undecided as undecided:
        return Existence(None, str(undecided))
    return _described(model, Separation(recession, reached, cone, signs))


def held(model: "Model", function: Array) -> Separation:
    """What is separated where a linear function of the coordinates of the fit is held.

    Raises
    ------
    Undecided
        If rounding hides it.
    """
    recession = model.family.recession(model.observations.block.y)
    assert recession is not None
    cone, reached = _cone(model, recession, function[None])
    return Separation(recession, reached, cone, _signs(model, cone))


def _signs(model: "Model", cone: Cone) -> Array:
    return cone.signs(model.matrix, np.abs(model.matrix).max(axis=1))


def _cone(model: "Model", recession: Recession, known: Array) -> tuple[Cone, Array]:
    """Directions of recession in the coordinates of the fit, and the ends of rows that they reach.

    ``known`` are functions of the coordinates that are held.
    """
    block, slices = model.observations.block, model.design.slices
    moves = moved(block.X, model.matrix, slices)
    ends = [summed(end, *moves)[0] for end in recession.ends]
    still = [
        summed(np.eye(len(block.X))[j][:, None] * np.ones(len(block)), *moves)[0][where]
        for j, where in enumerate(recession.still)
    ]
    rows = np.concatenate(ends)
    asked = np.flatnonzero(rows.any(axis=1))
    cone = recession_cone(rows[asked], np.concatenate([*still, known]))
    reached = np.zeros(len(rows), dtype=bool)
    reached[asked] = cone.strict
    return cone, reached.reshape(len(ends), -1)


def moved(X: Sequence[Array], matrix: Array, slices: Sequence[slice]) -> tuple[list[Any], list[Array]]:
    """How each linear predictor moves with each coordinate, ``(n, p)``, and the sizes of its terms.

    In extended precision: coordinates make up for the origin of a covariate, and rows that are equal would come apart.
    """
    found = [x.astype(np.longdouble) @ matrix[where].astype(np.longdouble) for x, where in zip(X, slices, strict=True)]
    largest = np.abs(matrix).max(axis=1, initial=0.0)
    return found, [np.abs(x) @ largest[where] for x, where in zip(X, slices, strict=True)]


def summed(coefficients: Array, moves: Sequence[Any], sizes: Sequence[Array]) -> tuple[Array, Array]:
    """Linear functions of the moves of the linear predictors, row by row, and the sizes of their terms.

    What is left by rounding is 0.
    """
    total = sum(c[:, None] * move for c, move in zip(coefficients, moves, strict=True))
    size: Array = np.sum([np.abs(c) * size for c, size in zip(coefficients, sizes, strict=True)], axis=0)
    found = np.asarray(total, dtype=float)
    found[np.abs(found).max(axis=1) <= _ROUNDING * size] = 0.0
    return found, size


def _described(model: "Model", found: Separation) -> Existence:
    """Put a finding in words, with names."""
    reached, signs = found.reached, found.signs
    design, block, labels = model.design, model.observations.block, model.observations.labels
    separated: Array = np.asarray(reached.any(axis=0))
    taking = np.concatenate([x[separated].T != 0 for x in block.X])
    taking[~taking.any(axis=1)] = True  # as the coefficient of another group makes up for an intercept
    here = labels[np.flatnonzero(separated)]
    where = np.flatnonzero(signs != 0)
    infinite = pd.DataFrame(
        {
            "estimate": limits(np.zeros_like(signs), signs)[where],
            "rows": pd.Series([list(here[taking[j]]) for j in where], dtype=object),
        }
    ).set_axis([design.names[j] for j in where])
    said = ", ".join(f"{name} = {value:g}" for name, value in infinite["estimate"].items() if not np.isnan(value))
    free = [str(name) for name, value in infinite["estimate"].items() if np.isnan(value)]
    if free:
        said += f"{'; ' if said else ''}{', '.join(free)} without an estimate, as it depends on the way to infinity"
    return Existence(False, f"{said}, because of {_rows(here)}", infinite, here, found)


def _rows(labels: pd.Index) -> str:
    """Name a few rows."""
    named = ", ".join(map(str, labels[:_NAMED]))
    more = f" and {len(labels) - _NAMED} more" if len(labels) > _NAMED else ""
    return f"row{'s' if len(labels) > 1 else ''} {named}{more}"
