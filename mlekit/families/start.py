"""Starting values for a family that does not give its own."""

from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from mlekit.links import Array

if TYPE_CHECKING:
    from mlekit.families.base import GenericLikelihood

# Enough rows to see the scale of y; more would only cost time.
_ROWS = 199


def _candidates(domain: tuple[float, float], y: Array) -> list[float]:
    """Values of one parameter that its domain and the moments of ``y`` suggest."""
    centre, median, spread = float(np.mean(y)), float(np.median(y)), float(np.std(y))
    size = float(np.mean(np.abs(y)))
    low, high = domain
    if np.isfinite(low) and np.isfinite(high):
        values = [low + (high - low) * share for share in (0.5, 0.1, 0.9, (centre - low) / (high - low))]
    elif np.isfinite(low):
        scales = [spread, spread * spread, size, 1.0, 0.1, 10.0, *(1 / v for v in (spread, size) if v > 0)]
        values = [low + v for v in scales]
    else:
        values = [centre, median, 0.0, spread, -spread, 1.0, float(np.log(size)) if size > 0 else 0.0]
    inside = [v for v in values if np.isfinite(v) and low < v < high]
    return list(dict.fromkeys(inside))


def best_constant(family: "GenericLikelihood", y: Array, weight: Array) -> tuple[Array, ...]:
    """Linear predictors of the candidate parameters with the largest likelihood on (a part of) the responses.

    Raises
    ------
    ValueError
        If the density is zero or not a number at every candidate.
    """
    used = np.sort(y)[:: max(1, y.size // _ROWS)]
    links, limits = tuple(family.links.values()), family.eta_limits()
    domains = [
        (max(low, link.domain[0]), min(high, link.domain[1]))
        for link, (low, high) in zip(links, family.domains().values(), strict=True)
    ]
    best, best_value = None, -np.inf
    with np.errstate(all="ignore"):
        for values in product(*(_candidates(domain, used) for domain in domains)):
            eta = tuple(np.asarray(link.forward(np.float64(v))) for link, v in zip(links, values, strict=True))
            if not all(low < e < high for e, (low, high) in zip(eta, limits, strict=True)):
                continue
            theta = (link.inverse(np.full(used.size, e)) for link, e in zip(links, eta, strict=True))
            total = float(np.sum(family.logpdf(used, *theta)))
            if np.isfinite(total) and total > best_value:
                best, best_value = eta, total
    if best is None:
        raise ValueError(
            f"{family!r} has density zero (or not a number) at every value tried for "
            f"{', '.join(family.params)}: check that the response is {family.support_text}, or give start="
        )
    return best
