"""Counts that are Poisson with a mean that is gamma distributed: their density, its slopes and its tails.

Everything is written so that a dispersion that goes to 0 leaves the Poisson, and a large one loses no digits.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from scipy import special

from mlekit.families.incomplete import TINY, incomplete_beta_fraction
from mlekit.families.poisson import Poisson
from mlekit.families.rising import Dispersion, Rising, log1p_gap, stirling_differences
from mlekit.families.stirling import log_gamma_rest
from mlekit.families.tails import log1mexp
from mlekit.jets import DerivativeError
from mlekit.links import Array

# Above this count, sums that cancel are measured from the saturated density, as the Poisson's are.
_LARGE = 1e4
# Where the size is at least this, Stirling's series is all that is left of the log-gamma functions.
_STIRLING = 10.0
_HUGE, _TINY = 1e300, 1e-300
# Relative change of a density below which the dispersion is none.
_NONE = 1e-17
# Terms of a tail to add up before giving up.
_TERMS = 20_000
_TOO_MANY = (
    f"the tail of a negative binomial has more than {_TERMS} terms here, too many to add up with their derivatives: "
    "take central differences, by derivatives='numeric'"
)
# So far out (36 standard deviations) a continued fraction has all digits after so many.
_FRACTIONS = 40
_POISSON = Poisson()


class Mixed(NamedTuple):
    """What a count is mixed of: the mean, the dispersion ``k`` with ``r = 1 / k``, and ``t = k mu``.

    Attributes
    ----------
    log_t, growth, q, p : arrays
        Logarithms of t and of 1 + t, and ``1 / (1 + t)`` with its complement.
    scaled_log, scaled_gap, scaled_p : arrays
        ``r log(1 + t)``, ``r (log(1 + t) - p)`` and ``r p``: for t = 0 they are mu, 0 and mu.
    """

    mu: Any
    dispersion: Dispersion
    t: Any
    growth: Any
    q: Any
    p: Any
    scaled_log: Any
    scaled_gap: Any
    scaled_p: Any

    @classmethod
    def of(cls, mu: Any, dispersion: Dispersion, t: Any, log_t: Callable[[], Any]) -> "Mixed":
        """Work them out; ``log_t`` is asked for only where t is about to overflow."""
        small, huge = t < 1, t > _HUGE
        inner = np.where(small, t, 0.0)
        gap, q = log1p_gap(inner), 1 / (1 + t)
        growth = np.log1p(t)
        if np.any(huge):
            growth = np.where(huge, log_t(), growth)
        p = np.where(small, inner * q, 1 - q)
        scaled = (
            np.where(small, mu * near, dispersion.r * far)
            for near, far in ((1 - gap, growth), (p - gap, growth - p), (q, p))
        )
        return cls(mu, dispersion, t, growth, q, p, *scaled)

    def rows(self, kept: Any, n: int) -> "Mixed":
        """Return those of some rows of n."""
        parts = {name: np.broadcast_to(part, n)[kept] for name, part in self._asdict().items() if name != "dispersion"}
        return Mixed(dispersion=self.dispersion.rows(kept), **parts)


def log_kernel(y: Array, log_mean: Any, mixed: Mixed, value: Any) -> Any:
    """Log-density less the Poisson's base measure, given ``y log(mu)`` and the sum of ``log(1 + k j)``."""
    plain = value + log_mean - y * mixed.growth - mixed.scaled_log
    if not np.max(y, initial=0.0) > _LARGE:
        return plain
    large = np.maximum(y, _LARGE)
    return np.where(y > _LARGE, _saturated(large, mixed.dispersion) - half_deviance(large, mixed), plain)


def slopes_in_dispersion(y: Array, mixed: Mixed, sums: Rising) -> tuple[Array, Array]:
    """First and second derivative in log k, the mean held."""
    q, p = mixed.q, mixed.p
    first = np.where(p < 0.5, sums.up - y * p, y * q - sums.down) + mixed.scaled_gap
    second = sums.bend - y * p * q + (mixed.scaled_p * p - mixed.scaled_gap)
    rows = (y > _LARGE) & (mixed.dispersion.r >= _STIRLING)
    if np.any(rows):
        first[rows], second[rows] = _large_slopes(y[rows], mixed.rows(rows, y.size))
    return first, second


def _large_slopes(y: Array, mixed: Mixed) -> tuple[Array, Array]:
    """Those of a large count of small dispersion, from the saturated density: there the plain sums cancel."""
    _, first, second = stirling_differences(mixed.dispersion.k, mixed.dispersion.k * y)
    d, u, log_u = _distance(y, mixed)
    near = np.abs(u) < 0.5
    gap = np.where(near, log1p_gap(np.where(near, u, 0.0)), 1 - log_u / np.where(near, 1.0, u))
    return d * gap - first, d * (u / (1 + mixed.dispersion.k * y) - gap) + first - second


def _saturated(y: Array, dispersion: Dispersion) -> Any:
    """``log f(y)`` at the mean y, less the Poisson's."""
    k, r, log_k = dispersion
    small, large = np.minimum(k, 1 / _STIRLING), np.clip(r, _TINY, _STIRLING)
    series = stirling_differences(small, small * y)[0] - 0.5 * np.log1p(small * y)
    rest = np.where(r < _TINY, -np.where(r < _TINY, log_k, 0.0), log_gamma_rest(large))
    return np.where(r < _STIRLING, rest - log_gamma_rest(y + large), series)


def _distance(y: Array, mixed: Mixed) -> tuple[Any, Any, Any]:
    """``r u``, u and ``log(1 + u)``, where ``1 + u = (1 + k y) / (1 + t)``."""
    k, r, log_k = mixed.dispersion
    d = np.where(mixed.t > _HUGE, -r, (y - mixed.mu) * mixed.q)
    u = np.where(mixed.mu > 1, mixed.p * ((y - mixed.mu) / mixed.mu), k * d)
    near = np.abs(u) < 0.5
    saturated = np.where(k * y > _HUGE, np.where(k > 0, log_k, 0.0) + np.log(y), np.log1p(k * y))
    return d, u, np.where(near, np.log1p(np.where(near, u, 0.0)), saturated - mixed.growth)


def half_deviance(y: Array, mixed: Mixed) -> Any:
    """``y log(1 + e) - r log(1 + u)`` for y > 0: the log-density at the mean y, less that at mu.

    Both logarithms are small near mu = y, where their leading terms cancel but for a square. ``1 + e`` is
    ``y (1 + t) / (mu (1 + k y))``.
    """
    k, r, _ = mixed.dispersion
    d, u, log_u = _distance(y, mixed)
    wide = mixed.mu > 1
    e = (y - mixed.mu) / np.where(wide, mixed.mu, mixed.mu + mixed.t * y) / np.where(wide, 1 + k * y, 1.0)
    near_e, near_u = np.abs(e) < 0.5, np.abs(u) < 0.5
    e, u = np.where(near_e, e, 0.0), np.where(near_u, u, 0.0)
    gap_e, gap_u = log1p_gap(e), log1p_gap(u)
    square = (y - mixed.mu) * mixed.q * e
    ratio = np.where(near_e, e * (1 - gap_e), np.log(y) - np.log(mixed.mu) - log_u)
    far = y * ratio - np.where(near_u, d * (1 - gap_u), r * log_u)
    return np.where(near_e & near_u, square - y * e * gap_e + d * gap_u, far)


# ------------------------------------------------------------------------------------ tails

LogDensity = Callable[[Array], Any]


def _shares(count: Array, mixed: Mixed) -> tuple[Any, Any]:
    """``P(N <= count)`` and ``P(N > count)``, from p or from q, whichever is small and has all its digits."""
    r = mixed.dispersion.r
    near = mixed.t < 1
    a, b, x = np.where(near, count + 1, r), np.where(near, r, count + 1), np.where(near, mixed.p, mixed.q)
    one, other = special.betainc(a, b, x), special.betaincc(a, b, x)
    return np.where(near, other, one), np.where(near, one, other)


def below(count: Array, mixed: Mixed, log_density: LogDensity) -> Any:
    """``P(N <= count) = I_q(r, count + 1)``; jets can follow a sum."""
    try:
        found = _shares(count, mixed)[0]
    except DerivativeError:
        return np.exp(_log_sum_below(count, mixed, log_density))
    poisson = _is_poisson(count, mixed)
    return np.where(poisson, _POISSON.cdf(count, mixed.mu), found) if np.any(poisson) else found


def log_below(count: Array, mixed: Mixed, log_density: LogDensity) -> Any:
    """``log P(N <= count)``; so far down that the probability underflows, from its continued fraction."""
    try:
        low, high = _shares(count, mixed)
    except DerivativeError:
        return _log_sum_below(count, mixed, log_density)
    found = np.where(low > 0.5, np.log1p(-high), np.log(low))
    far = low < TINY
    if np.any(far):
        found = np.where(far, log_density(count) + _log_ratio_below(count, mixed), found)
    poisson = _is_poisson(count, mixed)
    return np.where(poisson, _POISSON.logcdf(count, mixed.mu), found) if np.any(poisson) else found


def log_above(count: Array, mixed: Mixed, log_density: LogDensity) -> Any:
    """``log P(N > count)``; so far up that the probability underflows, from its continued fraction."""
    r, p, q = mixed.dispersion.r, mixed.p, mixed.q
    try:
        low, high = _shares(count, mixed)
    except DerivativeError:
        return _log_sum_above(count, mixed, log_density)
    found = np.where(high > 0.5, np.log1p(-low), np.log(high))
    far = high < TINY
    if np.any(far):
        found = np.where(far, log_density(count + 1) - np.log(incomplete_beta_fraction(count + 1, r, p, q)), found)
    poisson = _is_poisson(count, mixed)
    return np.where(poisson, _POISSON.logsf(count, mixed.mu), found) if np.any(poisson) else found


def _log_ratio_below(count: Array, mixed: Mixed) -> Any:
    """``log(P(N <= count) / P(N = count))`` far below the mean.

    The continued fraction of the incomplete beta function (DLMF 8.17.22) with its 1s taken out and multiplied by r: for
    k = 0 it is that of the incomplete gamma function.
    """
    k, mu, q, b = mixed.dispersion.k, mixed.scaled_p, mixed.q, count + 1
    t = 0.0 * count
    for m in range(_FRACTIONS, 0, -1):
        ends = 1 + 2 * m * k
        even = m * (b - m) * q / ((ends - k) * ends)
        odd = 2 * m + 1 - b + m * k * (3 * m + 2 - b) + (1 + m * k) * (1 + (b + m) * k) * mu
        t = even * (1 + k * t) / (t + odd / (ends * (ends + k)))
    rest = (1 - b) * q / (1 + k) + (1 + b * k) / (1 + k) * q * t / (1 + k * t)
    return np.log(mu * (1 + k * count) / (mu + rest))


def _is_poisson(count: Array, mixed: Mixed) -> Any:
    """Whether the dispersion changes no digit of the density at this count."""
    return mixed.dispersion.k * (1 + mixed.mu * mixed.mu + count * count) < _NONE


def _log_sum_below(count: Array, mixed: Mixed, log_density: LogDensity) -> Any:
    """Add the terms up, from that of the count down to that of 0."""
    if np.max(count, initial=0.0) > _TERMS:
        raise DerivativeError(_TOO_MANY)
    term, total = 1.0 + 0.0 * count, 1.0 + 0.0 * count
    for step in range(int(np.max(count, initial=0.0))):
        j = np.maximum(count - step, 1.0)
        ratio = j / (mixed.mu * mixed.q * (1 + mixed.dispersion.k * (j - 1)))
        term = np.where(step < count, term * ratio, 0.0)
        total = total + term
    return log_density(count) + np.log(total)


def _log_sum_above(count: Array, mixed: Mixed, log_density: LogDensity) -> Any:
    """Add the terms up from that after the count, or take from 1 those before where they are fewer than the mean."""
    lower = log1mexp(_log_sum_below(count, mixed, log_density))
    upper = np.asarray(count + 1 > mixed.mu)
    if not upper.any():
        return lower
    term, total = 1.0 + 0.0 * count, 1.0 + 0.0 * count
    for step in range(1, _TERMS):
        j = count + 1 + step
        term = term * np.where(upper, mixed.mu * mixed.q * (1 + mixed.dispersion.k * (j - 1)) / j, 0.0)
        total = total + term
        if not np.any(term > 1e-17 * total):
            break
    else:
        raise DerivativeError(_TOO_MANY)
    return np.where(upper, log_density(count + 1) + np.log(total), lower)
