"""What the log-density of a row does as linear predictors go to infinity: of what estimates that are infinite come."""

from typing import NamedTuple

import numpy as np

from mlekit.links import Array, Link


class Recession(NamedTuple):
    """Moves of the linear predictors along which the log-density of each row does not fall, however far they go.

    They are those where every one of ``ends`` is at least 0 and ``still`` predictors do not move. Where an end is 0 and
    nothing moves that has to be still the density is the same, and where an end is above 0 it rises to a limit. Along
    every other move it goes to minus infinity, or falls below what it was.

    Attributes
    ----------
    ends : (m, k, n) array
        Coefficients of m linear functions of the moves of the k linear predictors; one that is 0 asks for nothing.
    still : (k, n) array of bool
    pushes : (m, k, n) array or None
        Signs of an offset of the linear predictors that takes a row to the limit where an end is above 0. A row without
        one is certain in the limit, its log-density 0.
    order : (k, n) array or None
        Multiples of a large offset that keep predictors in their order that do not concern a row.
    bounded : bool
        Whether the limit of a log-density is a number; otherwise it grows without end.
    """

    ends: Array
    still: Array
    pushes: Array | None = None
    order: Array | None = None
    bounded: bool = True


def towards(link: Link, end: float) -> float | None:
    """Sign of the linear predictor as it takes a parameter to an end of its domain; None if the link ends before.

    It is 0 if the parameter is there at a finite predictor.

    Examples
    --------
    >>> from mlekit.links import LINKS
    >>> towards(LINKS["logit"], 1.0), towards(LINKS["log"], 0.0), towards(LINKS["log"], 1.0)
    (1.0, -1.0, 0.0)
    """
    if not link.domain[0] <= end <= link.domain[1]:
        return None
    with np.errstate(all="ignore"):
        eta = float(link.forward(np.float64(end)))
    return None if np.isnan(eta) else float(np.sign(eta)) if np.isinf(eta) else 0.0


def one_way(signs: Array, free: Array | None = None) -> Recession:
    """Recession of a family of one parameter from the way in which each row may go for ever, 0 if in none.

    ``free`` are rows whose density does not depend on it.

    Examples
    --------
    >>> found = one_way(np.array([1.0, -1.0, 0.0]))
    >>> found.ends.tolist(), found.still.tolist()
    ([[[1.0, -1.0, 0.0]]], [[False, False, True]])
    """
    still = signs == 0
    return Recession(signs[None, None], (still if free is None else still & ~free)[None])
