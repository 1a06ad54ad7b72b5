"""Third-order expectations of the scores of one response, of which the first-order bias of estimates is made.

With ``u_a`` the derivatives of the log-density in the linear predictors, and ``u_ab`` the second ones, they are
``E[u_a u_b u_c] + E[u_ab u_c]`` (Kosmidis and Firth 2009, Biometrika 96, 793-804, whose P and Q are sums of them over
rows). A family that knows them has a method ``third_moments(*eta)``, as it has ``information``; of the others they are
sums over the levels of the response, or integrals of the density.
"""

from functools import lru_cache
from itertools import combinations_with_replacement
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mlekit.families.categorical import Categorical
from mlekit.families.landscape import Density
from mlekit.families.numeric import integrated
from mlekit.links import Array

if TYPE_CHECKING:
    from mlekit.families.base import GenericLikelihood

# Distributions that are integrated at once.
_ROWS = 256
# Scores may grow as the square of the response, and three are multiplied.
_POWER = 6


class NoMoments(ValueError):
    """A family whose third moments are not known."""


class Moments(NamedTuple):
    """Expectations under the density of one response, by rows.

    Attributes
    ----------
    information : (k, k, n) array
        ``E[u_a u_b]``.
    third : (k, k, k, n) array
        ``E[u_a u_b u_c] + E[u_ab u_c]``.
    """

    information: Array
    third: Array


def moments_of(family: "GenericLikelihood", *eta: Array) -> Moments:
    """Expectations at some linear predictors: the family's own, else those of :func:`integrated_moments`.

    Raises
    ------
    NoMoments
        If there are none, with the reason.

    Examples
    --------
    >>> from mlekit.families import Poisson
    >>> moments_of(Poisson(), np.log([2.0])).third.ravel().round(12).tolist()
    [2.0]
    """
    own = getattr(family, "third_moments", None)
    information = family.information(*eta)
    if own is not None and information is not None:
        return Moments(information, own(*eta))
    return integrated_moments(family, *eta)


def integrated_moments(family: "GenericLikelihood", *eta: Array) -> Moments:
    """The same, from the density alone: sums over levels or counts, or integrals; rows of equal parameters at once.

    Raises
    ------
    NoMoments
        If the response has several columns, the density has kinks, or an integral is not found.

    Examples
    --------
    >>> from mlekit.families import Poisson
    >>> integrated_moments(Poisson(mu="sqrt"), np.array([3.0])).third.ravel().round(8).tolist()
    [1.33333333]
    """
    _check(family)
    every, which = np.unique(np.stack(np.broadcast_arrays(*eta)), axis=1, return_inverse=True)
    chunks = [np.ascontiguousarray(every[:, i : i + _ROWS]) for i in range(0, every.shape[1], _ROWS)]
    found = [_remembered(family, chunk.tobytes(), chunk.shape) for chunk in chunks]
    information, third = (np.concatenate(parts, axis=-1) for parts in zip(*found, strict=True))
    return Moments(information[..., which.ravel()], third[..., which.ravel()])


@lru_cache
def standard_moments(family: "GenericLikelihood") -> Moments:
    """Those where all linear predictors are 0: what a location and a scale leave to be known."""
    return integrated_moments(family, *np.zeros((len(family.params), 1)))


def _check(family: "GenericLikelihood") -> None:
    if family.quantile_level is not None:
        raise NoMoments(f"the density of {family!r} has a kink, and bias reduction needs a smooth one")
    if family.response_columns:
        count = len(family.response_columns)
        raise NoMoments(f"a response of {family!r} has {count} columns: their joint distribution is not known")


@lru_cache(maxsize=64)
def _remembered(family: "GenericLikelihood", eta: bytes, shape: tuple[int, int]) -> Moments:
    """Moments of different distributions; both sums of a fit that are made of them ask for the same."""
    return _chunk(family, np.frombuffer(eta).reshape(shape))


def _chunk(family: "GenericLikelihood", eta: Array) -> Moments:
    """Moments of different distributions, one per column."""
    if isinstance(family, Categorical):
        return _of_levels(family, eta)
    theta = tuple(link.inverse(e) for link, e in zip(family.links.values(), eta, strict=True))
    k, rows = eta.shape
    pairs = list(combinations_with_replacement(range(k), 2))

    def parts(value: Array, y: Array, row: Array) -> list[Array]:
        there = (value > 0).ravel()
        which = np.repeat(row, y.shape[1])[there]
        density = value.ravel()[there]
        _, u, h = family.linear_rows(y.ravel()[there], *eta[:, which])
        found = np.zeros((1 + len(pairs) * (k + 1), value.size))
        squares = [u[a] * u[b] for a, b in pairs]
        bent = [s + h[a, b] for s, (a, b) in zip(squares, pairs, strict=True)]
        found[:, there] = density * np.stack(
            [np.ones_like(density), *squares, *(b * u[c] for b in bent for c in range(k))]
        )
        return list(found.reshape(-1, *value.shape))

    sums, lost = np.full((len(pairs) * (k + 1), rows), np.nan), ~np.isfinite(theta).all(axis=0)
    if not lost.any():
        density = Density(family, theta, family.discrete)
        with np.errstate(all="ignore"):
            made = integrated(density, np.full(rows, np.inf), np.zeros(rows), _POWER, parts)
            sums = made.sums[1:, ::2] / made.sums[0, ::2]
        lost = made.lost | ~np.isfinite(sums).all(axis=0)
    if lost.any():
        at = ", ".join(f"{name}={float(t[lost][0]):g}" for name, t in zip(family.params, theta, strict=True))
        raise NoMoments(
            f"the expectations that the bias of {family!r} is made of were not found by integration at {at}"
        )
    information, third = np.empty((k, k, rows)), np.empty((k, k, k, rows))
    for i, (a, b) in enumerate(pairs):
        information[a, b] = information[b, a] = sums[i]
        third[a, b] = third[b, a] = sums[len(pairs) + i * k : len(pairs) + (i + 1) * k]
    return Moments(information, third)


def _of_levels(family: Categorical, eta: Array) -> Moments:
    k, rows = eta.shape
    information, third = np.zeros((k, k, rows)), np.zeros((k, k, k, rows))
    for code in range(len(family.levels)):
        value, u, h = family.rows(np.full(rows, float(code)), *eta)
        weighted = np.exp(value) * u
        information += weighted * u[:, None]
        third += (u * u[:, None] + h)[:, :, None] * weighted
    return Moments(information, third)


def adjustment(family: "GenericLikelihood", eta: tuple[Array, ...], spread: Array) -> Array:
    """Half the sum over a and b of ``spread[a, b] (E[u_a u_b u_c] + E[u_ab u_c])``, ``(k, n)``.

    Parameters
    ----------
    spread : (k, k, n) array
        Covariances of the estimated linear predictors.
    """
    if not isinstance(family, Categorical):
        return 0.5 * np.einsum("abn,abcn->cn", spread, moments_of(family, *eta).third)
    total = np.zeros((len(eta), eta[0].size))  # a table of three levels each would be large
    for code in range(len(family.levels)):
        value, u, h = family.rows(np.full(eta[0].size, float(code)), *eta)
        total += 0.5 * np.exp(value) * np.einsum("abn,abn->n", spread, u * u[:, None] + h) * u
    return total
