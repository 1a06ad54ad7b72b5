"""Link functions: the scale ``eta`` on which a distribution parameter ``theta`` is linear in the covariates.

A link is a record of facts. Adding one means adding one record to :data:`LINKS`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

Array = NDArray[Any]
Slopes = Callable[[Array], tuple[Array, Array]]

REAL = (-np.inf, np.inf)
POSITIVE = (0.0, np.inf)
UNIT = (0.0, 1.0)


@dataclass(frozen=True, repr=False)
class Link:
    """A monotone map ``eta = forward(theta)`` with the derivatives of its inverse.

    Parameters
    ----------
    name : str
        The name by which users ask for the link. Two links are equal if their names and domains are.
    forward, inverse : callable
        ``theta -> eta`` and ``eta -> theta``, vectorised.
    slopes : callable
        ``eta -> (dtheta/deta, d2theta/deta2)``, vectorised.
    domain : tuple of float
        The open interval of ``theta`` that the link covers.
    relative : callable, optional
        ``eta -> (d log theta/deta, d2 log theta/deta2)`` for a positive ``theta``, where the quotients of ``slopes`` by
        ``theta`` would overflow or cancel.

    Examples
    --------
    >>> from mlekit.links import log
    >>> log.inverse(0.0)
    np.float64(1.0)
    >>> log.eta_limits((0.0, np.inf))
    (-inf, inf)
    """

    name: str
    forward: Callable[[Any], Any] = field(compare=False)
    inverse: Callable[[Any], Any] = field(compare=False)
    slopes: Slopes = field(compare=False)
    domain: tuple[float, float] = REAL
    relative: Slopes | None = field(default=None, compare=False)

    def __repr__(self) -> str:
        return self.name

    def __reduce__(self) -> tuple[Any, ...]:
        # A built-in link by its name: pickle would search every loaded module for a ufunc, and come back with a copy.
        if LINKS.get(self.name) is self:
            return as_link, (self.name,)
        return Link, tuple(getattr(self, item.name) for item in fields(self))

    def eta_limits(self, domain: tuple[float, float]) -> tuple[float, float]:
        """Open interval of ``eta`` for which ``theta`` lies in ``domain``.

        Examples
        --------
        >>> from mlekit.links import LINKS
        >>> LINKS["log"].eta_limits((0.0, 1.0))
        (-inf, 0.0)
        """
        low, high = max(domain[0], self.domain[0]), min(domain[1], self.domain[1])
        if (low, high) == REAL:
            return REAL
        with np.errstate(all="ignore"):
            ends = (float(self.forward(np.float64(low))), float(self.forward(np.float64(high))))
        return min(ends), max(ends)

    def log_slopes(self, eta: Array) -> tuple[Array, Array]:
        """First and second derivative of ``log theta``, for a positive ``theta``.

        Examples
        --------
        >>> from mlekit.links import LINKS
        >>> [float(slope) for slope in LINKS["sqrt"].log_slopes(4.0)]
        [0.5, -0.125]
        """
        if self.relative is not None:
            return self.relative(eta)
        theta, (first, second) = self.inverse(eta), self.slopes(eta)
        ratio = first / theta
        return ratio, second / theta - ratio * ratio


def _identity(x: Array) -> Array:
    return np.asarray(x, dtype=float)


def _identity_slopes(eta: Array) -> tuple[Array, Array]:
    return np.ones_like(eta), np.zeros_like(eta)


def _identity_relative(eta: Array) -> tuple[Array, Array]:
    first = 1 / eta
    return first, -first * first


def _exp_slopes(eta: Array) -> tuple[Array, Array]:
    e = np.exp(eta)
    return e, e


def _exp_relative(eta: Array) -> tuple[Array, Array]:
    return np.ones_like(eta), np.zeros_like(eta)


def _neglog(theta: Array) -> Array:
    return -np.log(theta)


def _neglog_inverse(eta: Array) -> Array:
    return np.exp(-eta)


def _neglog_slopes(eta: Array) -> tuple[Array, Array]:
    e = np.exp(-eta)
    return -e, e


def _neglog_relative(eta: Array) -> tuple[Array, Array]:
    return -np.ones_like(eta), np.zeros_like(eta)


def _logit_slopes(eta: Array) -> tuple[Array, Array]:
    p, q = special.expit(eta), special.expit(-eta)
    return p * q, -p * q * np.tanh(eta / 2)


def _normal_density(eta: Array) -> Array:
    return np.exp(-0.5 * eta * eta) / np.sqrt(2 * np.pi)


def _probit_slopes(eta: Array) -> tuple[Array, Array]:
    phi = _normal_density(eta)
    return phi, np.where(phi == 0, 0.0, -eta * phi)


def _cloglog(theta: Array) -> Array:
    return np.log(-np.log1p(-theta))


def _cloglog_inverse(eta: Array) -> Array:
    return -np.expm1(-np.exp(eta))


def _cloglog_slopes(eta: Array) -> tuple[Array, Array]:
    e = np.exp(eta)
    first = np.exp(eta - e)
    return first, np.where(first == 0, 0.0, -first * np.expm1(eta))


def _cauchit(theta: Array) -> Array:
    # tan(pi (theta - 1/2)) loses the tails: 1/tan(pi theta) keeps them, and loses the middle.
    theta = np.asarray(theta, dtype=float)
    middle = np.abs(theta - 0.5) < 0.25
    tail = np.where(middle, 0.25, np.minimum(theta, 1 - theta))
    return np.where(middle, np.tan(np.pi * (theta - 0.5)), np.where(theta < 0.5, -1, 1) / np.tan(np.pi * tail))


def _cauchit_inverse(eta: Array) -> Array:
    # arctan2(1, -eta) is the angle that stays accurate as the probability goes to 0.
    return np.arctan2(1.0, -np.asarray(eta, dtype=float)) / np.pi


def _cauchit_slopes(eta: Array) -> tuple[Array, Array]:
    first = 1 / (np.pi * (1 + eta * eta))
    return first, -2 * np.pi * eta * first * first


def _square_slopes(eta: Array) -> tuple[Array, Array]:
    return 2 * eta, np.full_like(eta, 2.0)


def _square_relative(eta: Array) -> tuple[Array, Array]:
    first = 2 / eta
    return first, -0.5 * first * first


def _reciprocal(x: Array) -> Array:
    return 1 / np.asarray(x, dtype=float)


def _reciprocal_slopes(eta: Array) -> tuple[Array, Array]:
    return -1 / eta**2, 2 / eta**3


def _reciprocal_relative(eta: Array) -> tuple[Array, Array]:
    first = -1 / eta
    return first, first * first


def _softplus(theta: Array) -> Array:
    return np.asarray(theta, dtype=float) + np.log(-np.expm1(-np.asarray(theta, dtype=float)))


def _softplus_inverse(eta: Array) -> Array:
    return np.logaddexp(0.0, eta)


def _softplus_slopes(eta: Array) -> tuple[Array, Array]:
    p, q = special.expit(eta), special.expit(-eta)
    return p, p * q


def _softplus_relative(eta: Array) -> tuple[Array, Array]:
    # With t = exp(eta) and theta = log(1 + t) = t (1 - gap): first = 1 / ((1 + t) (1 - gap)), second = -first**2 gap.
    # For small t the gap cancels; there, by its series in x, from log(1 + t) = 2 artanh(x).
    theta, t = np.logaddexp(0.0, eta), np.exp(np.minimum(eta, 700.0))
    small = t < 0.1
    x = np.where(small, t, 0.0) / (2 + t)
    square = x * x
    series = x - (1 - x) * square * (1 / 3 + square * (1 / 5 + square * (1 / 7 + square * (1 / 9 + square / 11))))
    kept = np.where(small, 1.0, theta)  # only to divide by: theta may underflow
    first = np.where(small, special.expit(-eta) / (1 - series), special.expit(eta) / kept)
    return first, -first * first * np.where(small, series, 1 - kept / np.maximum(t, 0.1))


identity = Link("identity", _identity, _identity, _identity_slopes, relative=_identity_relative)
log = Link("log", np.log, np.exp, _exp_slopes, POSITIVE, _exp_relative)
neglog = Link("neglog", _neglog, _neglog_inverse, _neglog_slopes, POSITIVE, _neglog_relative)
logit = Link("logit", special.logit, special.expit, _logit_slopes, UNIT)
probit = Link("probit", special.ndtri, special.ndtr, _probit_slopes, UNIT)
cloglog = Link("cloglog", _cloglog, _cloglog_inverse, _cloglog_slopes, UNIT)
cauchit = Link("cauchit", _cauchit, _cauchit_inverse, _cauchit_slopes, UNIT)
sqrt = Link("sqrt", np.sqrt, np.square, _square_slopes, POSITIVE, _square_relative)
inverse = Link("inverse", _reciprocal, _reciprocal, _reciprocal_slopes, relative=_reciprocal_relative)
softplus = Link("softplus", _softplus, _softplus_inverse, _softplus_slopes, POSITIVE, _softplus_relative)

#: Every link by its name.
LINKS = {link.name: link for link in (identity, log, neglog, logit, probit, cloglog, cauchit, sqrt, inverse, softplus)}


def as_link(link: "str | Link") -> Link:
    """Return the link that a name or a :class:`Link` stands for.

    Raises
    ------
    ValueError
        If the name is unknown (the message lists the names), or if a link of yours bears the name of a built-in one.

    Examples
    --------
    >>> as_link("log") is as_link(log)
    True
    """
    if isinstance(link, Link):
        # Families recognise links by name, and have formulas of their own for those that they know.
        if LINKS.get(link.name, link) is not link:
            raise ValueError(f"{link.name!r} is the name of another, built-in link: give yours a name of its own")
        return link
    if isinstance(link, str) and link in LINKS:
        return LINKS[link]
    raise ValueError(f"unknown link {link!r}: the links are {', '.join(LINKS)}, or a Link object")
