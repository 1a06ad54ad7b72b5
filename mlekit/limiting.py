"""The model that is left where coefficients go to infinity and rows become certain."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy import linalg

from mlekit.basis import basis
from mlekit.existence import Separation
from mlekit.links import Array
from mlekit.observations import Given

if TYPE_CHECKING:
    from mlekit.model import Model

# What a linear predictor moves by to be at its limit, in every digit of a probability.
_FAR = 2e3


class Limiting(NamedTuple):
    """The model that is left as rows become certain.

    Attributes
    ----------
    model : Model or None
        Of the other rows; None if there are none.
    kept : (p,) array of bool
        Its coefficients among all; the others make no difference to it, and are 0.
    rows : (n,) array of bool
        Its rows among all.
    """

    model: "Model | None"
    kept: Array
    rows: Array


def limiting(model: "Model", found: Separation) -> Limiting:
    """Return the model of the rows that do not become certain."""
    cone = found.cone
    rows, offsets = left(model, found)
    # Coefficients that determine all others, where nothing but the latter goes anywhere.
    away = model.matrix @ cone.space
    away /= np.abs(model.matrix).max(axis=1, keepdims=True)
    _, _, order = linalg.qr(away.T, mode="economic", pivoting=True)
    kept = np.ones(len(away), dtype=bool)
    kept[order[: cone.space.shape[1]]] = False
    if not rows.any():
        return Limiting(None, kept, rows)
    design, observations = model.design, model.observations
    chosen = [np.flatnonzero(kept[where]).tolist() for where in design.slices]
    block = observations.block.rows(rows)
    block = replace(
        block,
        X=tuple(np.ascontiguousarray(x[:, js]) for x, js in zip(block.X, chosen, strict=True)),
        offset=tuple(
            o if not push.any() else push if o is None else o + push
            for o, push in zip(block.offset, offsets[:, rows], strict=True)
        ),
    )
    given = observations.given
    if given is not None:
        used = given.used.copy()
        used[used] = rows
        given = Given(given.data, used)
    observations = replace(observations, block=block, labels=observations.labels[rows], given=given)
    made = replace(model, design=design.keep(chosen), observations=observations, bases=tuple(basis(x) for x in block.X))
    return Limiting(made, kept, rows)


def left(model: "Model", found: Separation) -> tuple[Array, Array]:
    """Rows that are not certain in the limit, and offsets that take those to their limits that are so on one side."""
    recession, reached = found.recession, found.reached
    offset = model.observations.block.offset
    pushes, order = recession.pushes, recession.order
    if pushes is None:
        return np.logical_not(reached.any(axis=0)), np.zeros((len(offset), reached.shape[1]))
    far = _FAR + 2 * max((float(np.abs(o).max(initial=0.0)) for o in offset if o is not None), default=0.0)
    moves = np.einsum("akn,an->kn", pushes, reached)
    asked = recession.ends.any(axis=1)
    certain = asked.any(axis=0) & (reached | ~asked).all(axis=0) & ~recession.still.any(axis=0)
    certain |= reached.any(axis=0) & ~moves.any(axis=0)
    return ~certain, far * (moves if order is None else moves + order)


def limit_of(family: Any, y: Array, eta: Sequence[Array], signs: Array) -> Array:
    """Probability of responses where ends of their densities go to infinity.

    Parameters
    ----------
    family : GenericLikelihood
        Of levels.
    y : (n,) array
    eta : (n,) arrays
        Linear predictors at a point that the limiting model does not tell from others.
    signs : (m, n) array
        Where the ends go: see :meth:`~mlekit.separation.Cone.signs`.
    """
    recession = family.recession(y)
    far = _FAR + 2 * max(float(np.abs(e).max(initial=0.0)) for e in eta)
    moves = np.einsum("akn,an->kn", recession.pushes, np.where(signs == 1, 1.0, 0.0))
    if recession.order is not None:
        moves = moves + recession.order
    pushed = [e + far * move for e, move in zip(eta, moves, strict=True)]
    with np.errstate(all="ignore"):
        found = np.exp(family.rows(y, *pushed, order=0).value)
    # An end that goes the other way takes all probability away.
    return np.where((signs == -1).any(axis=0), 0.0, np.where(np.isnan(signs).any(axis=0), np.nan, found))
