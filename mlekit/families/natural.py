"""Rows in the linear predictors from rows in natural coordinates, such as the log of a positive parameter."""

from collections.abc import Sequence

import numpy as np

from mlekit.jets import Rows
from mlekit.links import Array, Link

#: First and second derivative of a natural coordinate in its linear predictor; None where they are the same.
Slopes = tuple[Array, Array] | None

#: Links that suit any positive parameter.
POSITIVE_LINKS = ("log", "identity", "inverse", "softplus", "sqrt")


def log_parameter(link: Link, eta: Array) -> tuple[Array, Array, Slopes]:
    """``(log theta, 1 / theta, slopes of log theta)`` of a positive parameter.

    With the log link from eta itself: ``exp(eta)`` may overflow or underflow.

    Examples
    --------
    >>> from mlekit.links import LINKS
    >>> log_parameter(LINKS["log"], np.float64(800.0))[:2]
    (np.float64(800.0), np.float64(0.0))
    """
    if link.name == "log":
        return eta, np.exp(-eta), None
    theta = link.inverse(eta)
    return np.log(theta), 1 / theta, link.log_slopes(eta)


def through_links(
    value: Array,
    grad: Sequence[Array],
    hess: Sequence[Sequence[Array]],
    slopes: Sequence[Slopes],
    order: int,
) -> Rows:
    """Apply the chain rule for one natural coordinate per linear predictor.

    Parameters
    ----------
    value : (n,) array
    grad : sequence of (n,) arrays
        Derivatives in the natural coordinates; empty at order 0.
    hess : sequence of sequences of (n,) arrays
        Second derivatives, of which the lower triangle is read; empty below order 2.
    slopes : sequence of Slopes
    order : {0, 1, 2}
    """
    if order == 0:
        return Rows(value, None, None)
    k, n = len(grad), np.shape(value)
    first = [None if s is None else s[0] for s in slopes]
    out = np.empty((k, *n))
    for j in range(k):
        out[j] = _times(grad[j], first[j])
    if order == 1:
        return Rows(value, out, None)
    bent = np.empty((k, k, *n))
    for j in range(k):
        for i in range(j + 1):
            bent[i, j] = bent[j, i] = _times(_times(hess[j][i], first[j]), first[i])
        pair = slopes[j]
        if pair is not None:
            bent[j, j] += grad[j] * pair[1]
    return Rows(value, out, bent)


def information_through_links(hess: Sequence[Sequence[Array | float]], slopes: Sequence[Slopes]) -> Array:
    """Expected information in the linear predictors from that in natural coordinates, its lower triangle.

    Examples
    --------
    >>> slopes = [None, (np.array([3.0]), np.array([0.0]))]
    >>> information_through_links([[4.0], [1.0, 2.0]], slopes)[..., 0].tolist()
    [[4.0, 3.0], [3.0, 18.0]]
    """
    first = [None if s is None else s[0] for s in slopes]
    k = len(hess)
    rows = {(i, j): _times(_times(hess[j][i], first[j]), first[i]) for j in range(k) for i in range(j + 1)}
    full = np.empty((k, k, *np.broadcast_shapes(*map(np.shape, rows.values()))))
    for (i, j), row in rows.items():
        full[i, j] = full[j, i] = row
    return full


def third_through_links(third: Array, information: Array, slopes: Sequence[Slopes]) -> Array:
    """Third moments (see :mod:`mlekit.families.third`) in the linear predictors from those in natural coordinates.

    Parameters
    ----------
    third : (k, k, k, n) array
    information : (k, k, n) array
        Both in natural coordinates.
    slopes : sequence of Slopes

    Examples
    --------
    >>> third, information = np.array([4.0]).reshape(1, 1, 1, 1), np.array([2.0]).reshape(1, 1, 1)
    >>> third_through_links(third, information, [(np.array([3.0]), np.array([5.0]))]).ravel().tolist()
    [138.0]
    """
    first = [1.0 if s is None else s[0] for s in slopes]
    found = third.copy()
    for axis in range(3):
        for j, factor in enumerate(first):
            found[(slice(None),) * axis + (j,)] *= factor
    for a, slope in enumerate(slopes):
        if slope is not None:
            for c, other in enumerate(first):
                found[a, a, c] += slope[1] * other * information[a, c]
    return found


def scaled_through_links(third: Array, information: Array, unit: Array, slopes: Sequence[Slopes]) -> Array:
    """The same of a family with a location, from those at scale 1 in (location, log scale, ...).

    Parameters
    ----------
    third, information
        Of the natural coordinates at scale 1, for one row or for all.
    unit : (n,) array
        One over the scale.
    slopes : sequence of Slopes
    """
    n = np.broadcast_shapes(np.shape(unit), third.shape[-1:])
    third, information = (np.array(np.broadcast_to(part, (*part.shape[:-1], *n))) for part in (third, information))
    for part in (third, information):
        for axis in range(part.ndim - 1):
            part[(slice(None),) * axis + (0,)] *= unit
    return third_through_links(third, information, slopes)


def _times(x: Array | float, factor: Array | None) -> Array | float:
    return x if factor is None else x * factor
