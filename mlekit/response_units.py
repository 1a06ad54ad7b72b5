"""Responses of extreme size, in a unit in which the squares of a location and a scale are floats."""

from dataclasses import replace

import numpy as np

from mlekit.families.base import GenericLikelihood
from mlekit.likelihood import Likelihood
from mlekit.links import Array, identity, log
from mlekit.sources import Block

# Within these sizes a response is taken as it is.
_SMALL, _LARGE = 1e-100, 1e100
_TIMES = 8.0


def unit_of(family: GenericLikelihood, y: Array) -> float:
    """Return a power of two near the size of a response of extreme size, or 1.

    Only for families of a location and a scale whose links say no more than these themselves: there the unit moves
    coefficients by known amounts, and the information, whose entries are ``1 / s**2``, is a float in one unit only.

    Examples
    --------
    >>> from mlekit.families import Normal, Poisson
    >>> unit_of(Normal(), np.array([1.0, 2.0])), unit_of(Normal(), np.array([0.0, 2.0**-900])) == 2.0**-900
    (1.0, True)
    """
    if y.ndim > 1 or not y.size:
        return 1.0
    size = float(np.max(np.abs(y)))
    if size == 0 or _SMALL < size < _LARGE or not _has_units(family):
        return 1.0
    return float(2.0 ** np.clip(np.round(np.log2(size)), -1020, 1020))


def _has_units(family: GenericLikelihood) -> bool:
    """Whether ``f(c y | c m, c s) = f(y | m, s) / c``, the links being identity and log."""
    links = list(family.links.values())
    if len(links) < 2 or links[0] != identity or links[1] != log:
        return False
    y, m, s = np.array([0.25, -1.5, 2.0]), np.array([0.5, 0.75, -1.0]), np.array([1.0, 0.5, 2.0])
    others = [link.inverse(np.array([0.25, 0.5, 0.75])) for link in links[2:]]
    try:
        with np.errstate(all="ignore"):
            here = family.logpdf(y, m, s, *others)
            there = family.logpdf(_TIMES * y, _TIMES * m, _TIMES * s, *others) + np.log(_TIMES)
    except (ValueError, TypeError):
        return False
    return bool(np.isfinite(here).all() and np.allclose(here, there, rtol=1e-12, atol=1e-12))


def in_unit(likelihood: Likelihood, unit: float, *, shifted: bool) -> Likelihood:
    """Return a likelihood of the response in a unit, whose first parameter's coefficients are in that unit too.

    ``shifted`` leaves the coefficients of the scale as they are, by an offset, and the value too.
    """
    block = likelihood.block
    location, scale, *others = block.offset
    location = None if location is None else location / unit
    if shifted:
        scale = (0.0 if scale is None else scale) - np.full(len(block), np.log(unit))
    moved = Block(block.y / unit, block.X, (location, scale, *others), block.weight)
    return replace(likelihood, block=moved, shift=-float(np.log(unit)) if shifted else 0.0)
