"""Responses that were seen only because they lie between two bounds: truncation, for any family."""

from typing import Any

import numpy as np

from mlekit.families.censored import derivatives_text
from mlekit.families.combined import Combinator
from mlekit.families.exponential import Exponential
from mlekit.families.normal import Normal
from mlekit.families.numeric import draws
from mlekit.families.poisson import Poisson
from mlekit.families.ranges import followed, log_range, range_rows
from mlekit.families.tail_rows import Place
from mlekit.families.tails import log1mexp
from mlekit.jets import Rows
from mlekit.links import Array

_PROBES = np.concatenate([-(10.0 ** np.arange(-12, 13)), [0.0], 10.0 ** np.arange(-12, 13)])
# Quantiles by those of the family lose the digits of a range with a smaller share than this of what lies below it.
_ENOUGH = 1e-4
# How often what lies outside is drawn again.
_DRAWS = 8


class Truncated(Combinator):
    """A family given that the response lies between two bounds: ``Truncated("poisson", lower=1)``, without zeros.

    ``f(y) / P(lower <= Y <= upper)``. Both bounds belong to the range: of counts, ``lower=1`` is 1 or more, and
    ``upper=9`` is 9 or fewer; of continuous responses a bound itself has probability 0, and makes no difference. The
    parameters are those of the family before truncation; ``mean``, ``variance``, ``cdf``, ``ppf``, ``rvs`` and
    predictions are those of what is left. Truncation is not censoring: of what lies outside nothing is known, not even
    how often it was; for responses that are known to lie beyond a bound see :class:`~mlekit.families.Censored`.

    R: ``VGAM::pospoisson()``, ``countreg::zerotrunc``, ``truncreg::truncreg`` (Normal). scipy:
    ``scipy.stats.truncnorm((lower - mu) / sigma, (upper - mu) / sigma, mu, sigma)``, ``scipy.stats.truncate``.
    statsmodels: ``TruncatedLFPoisson(truncation=lower - 1)``.

    Parameters
    ----------
    family : name, class or instance
        Built in or one's own. If it has no ``logcdf`` and ``logsf``, or jets cannot follow them, the density and its
        derivatives are integrated: as exact, and slower.
    lower, upper : float
        Numbers, the same for all rows; infinite, by default, where there is no bound.

    Raises
    ------
    TypeError
        If the family is one of levels, of several columns, or has a kinked density; if a bound is not a number.
    ValueError
        If a bound is NaN, or the range holds no response of the family, or a single one.

    Examples
    --------
    >>> family = Truncated(Poisson(), lower=1)
    >>> family, np.exp(family.logpdf(np.array([1.0, 2.0]), 1.0)).round(4).tolist()
    (Truncated(Poisson(), lower=1.0), [0.582, 0.291])
    >>> float(family.mean(1.0).round(4))  # 1 / (1 - exp(-1))
    1.582
    """

    constants = {"lower": -np.inf, "upper": np.inf}

    lower: float
    upper: float

    def __init__(self, family: Any = None, lower: float = -np.inf, upper: float = np.inf) -> None:
        super().__init__(family, lower=lower, upper=upper)
        if not self.lower <= self.upper:
            raise ValueError(f"Truncated to {self.lower:g} and more, {self.upper:g} and less: no number is both")
        inside = self._probes()
        if not inside.any():
            raise ValueError(
                f"no response of {self.inner!r} lies between {self.lower:g} and {self.upper:g}: each is "
                f"{self.inner.support_text}"
            )
        first, last = self._ends
        if last - first <= 1 if self.inner.discrete else self.lower == self.upper:
            raise ValueError(f"a response between {self.lower:g} and {self.upper:g} is always the same: nothing to fit")

    @classmethod
    def _constant(cls, name: str, value: Any) -> float:
        """Return a bound as a float: it may be infinite."""
        return (
            float(value)
            if isinstance(value, float | np.floating) and np.isinf(value)
            else super()._constant(name, value)
        )

    def _probes(self) -> Array:
        """Whether numbers of every size, and those near the bounds, are responses in the range."""
        ends = np.array([end for end in (self.lower, self.upper) if np.isfinite(end)])
        near = [ends, np.ceil(ends), np.floor(ends), np.nextafter(ends, np.inf), np.nextafter(ends, -np.inf)]
        if ends.size == 2:
            near.append(self.lower + (self.upper - self.lower) * np.linspace(0, 1, 65))
        points = np.concatenate([_PROBES, *near])
        return np.asarray(self.in_support(points))

    @property
    def _ends(self) -> tuple[float, float]:
        """Ends of the range as ``first < Y <= last``."""
        if self.inner.discrete:
            return float(np.ceil(self.lower) - 1), float(np.floor(self.upper))
        return self.lower, self.upper

    @property
    def discrete(self) -> bool:
        """Whether responses are whole numbers."""
        return self.inner.discrete

    @property
    def support_text(self) -> str:  # type: ignore[override]
        """What a response is."""
        return f"{self.inner.support_text}, from {self.lower:g} to {self.upper:g}"

    @property
    def derivatives_text(self) -> str | None:
        """How derivatives are computed, where that takes more than jets."""
        return derivatives_text(self.inner)

    def in_support(self, y: Array) -> Array:
        return self.inner.in_support(y) & (y >= self.lower) & (y <= self.upper)

    # ---------------------------------------------------------------- rows

    def logpdf(self, y: Array, *theta: Any, **named: Any) -> Array:
        return self.inner.logpdf(y, *theta) - self._log_total(*theta)

    def _log_total(self, *theta: Any) -> Any:
        """``log P(lower <= Y <= upper)``."""
        return log_range(self.inner, *self._ends, *theta)

    def rows(self, y: Array, *theta: Any, order: int = 2, **named: Any) -> Rows:
        return self._less(self.inner.rows(y, *theta, order=order), Place.of(self.inner, theta, len(y), False), order)

    def linear_rows(self, y: Array, *eta: Array, order: int = 2) -> Rows:
        rows = self.inner.linear_rows(y, *eta, order=order)
        return self._less(rows, Place.of(self.inner, eta, len(y), True), order)

    def _less(self, rows: Rows, place: Place, order: int) -> Rows:
        """Rows less those of the total, found once where all are the same."""
        n = len(rows.value)
        same = n > 1 and all((at == at[0]).all() for at in place.at)
        place = place.pick(np.zeros(1, dtype=int)) if same else place
        total = self._total_rows(place, order)
        grad, hess = (None if a is None else a - b for a, b in zip(rows[1:], total[1:], strict=True))
        return Rows(rows.value - total.value, grad, hess)

    def _total_rows(self, place: Place, order: int) -> Rows:
        first, last = (np.full(place.at[0].size, end) for end in self._ends)
        return range_rows(place, first, last, order)

    def base_measure(self, y: Array) -> Array | None:
        return self.inner.base_measure(y)

    # ---------------------------------------------------------------- facts

    def logcdf(self, y: Array, *theta: Any, **named: Any) -> Array:
        return self._log_tail(y, theta, above=False)

    def logsf(self, y: Array, *theta: Any, **named: Any) -> Array:
        return self._log_tail(y, theta, above=True)

    def _log_tail(self, y: Array, theta: Any, *, above: bool) -> Array:
        """Logarithm of the share on one side, from that of the smaller side."""
        first, last = self._ends
        y = np.asarray(y, dtype=float)
        inside, total = np.clip(y, first, last), self._log_total(*theta)
        sides = (
            log_range(self.inner, first, inside, *theta) - total,
            log_range(self.inner, inside, last, *theta) - total,
        )
        here, there = sides[int(above)], sides[int(not above)]
        small = here < np.log(0.5)
        value = np.where(small, here, log1mexp(np.where(small, -1.0, there)))
        ends = (-np.inf, 0.0) if not above else (0.0, -np.inf)
        out: Array = np.where(y < self.lower, ends[0], np.where(y >= self.upper, ends[1], value))
        return out

    def cdf(self, y: Array, *theta: Any, **named: Any) -> Array:
        return np.exp(self.logcdf(y, *theta))

    def ppf(self, share: Array, *theta: Any, **named: Any) -> Array:
        """By the quantiles of the family, where these keep the digits, and else from integrals of the density."""
        share, *theta = np.broadcast_arrays(*(np.asarray(x, dtype=float) for x in (share, *theta)))  # type: ignore[assignment]
        shape = share.shape
        share, *flat = (x.ravel() for x in (share, *theta))
        below, total = (np.exp(log) for log in (self._log_below(*flat), self._log_total(*flat)))
        good = (total > _ENOUGH * (below + total)) & (total > _ENOUGH) & (share > 0) & (share < 1)
        found = np.full(share.size, np.nan)
        for where, quantile in ((good, self._inner_quantile), (~good, super().ppf)):
            if where.any():
                found[where] = quantile(share[where], *(x[where] for x in flat))
        return found.reshape(shape)

    def rvs(self, *theta: Any, rng: np.random.Generator) -> Array:  # type: ignore[override]
        """Draw, and draw again what lies outside; what stays there is drawn by quantiles."""
        every = np.broadcast_arrays(*(np.asarray(t, dtype=float) for t in theta))
        flat = [t.ravel() for t in every]
        drawn = np.asarray(self.inner.rvs(*flat, rng=rng), dtype=float)
        for _ in range(_DRAWS):
            out = np.flatnonzero(~self.in_support(drawn))
            if not out.size:
                break
            drawn[out] = self.inner.rvs(*(t[out] for t in flat), rng=rng)
        out = np.flatnonzero(~self.in_support(drawn))
        if out.size:
            drawn[out] = draws(self, tuple(t[out] for t in flat), rng=rng)
        return drawn.reshape(every[0].shape)

    def _inner_quantile(self, share: Array, *theta: Array) -> Array:
        first, last = self._ends
        below, total = (np.exp(log) for log in (self._log_below(*theta), self._log_total(*theta)))
        found = self.inner.ppf(below + share * total, *theta)
        if not self.inner.discrete:
            return np.clip(found, first, last)
        # The sum is rounded: the count may be one off.
        found = np.clip(found, first + 1, last)
        found = np.where((found > first + 1) & (self.cdf(found - 1, *theta) >= share), found - 1, found)
        return np.where((found < last) & (self.cdf(found, *theta) < share), found + 1, found)

    def _log_below(self, *theta: Array) -> Array:
        """``log P(Y < lower)``."""
        below: Array = log_range(self.inner, -np.inf, self._ends[0], *theta)
        return below if self._ends[0] > -np.inf else np.full(theta[0].shape, -np.inf)

    def mean(self, *theta: Any, **named: Any) -> Array | None:
        """In closed form for a Poisson, a Normal, and an Exponential without an upper bound."""
        first, last = self._ends
        if type(self.inner) is Poisson:
            log_ratio = log_range(self.inner, first - 1, last - 1, *theta) - self._log_total(*theta)
            return theta[0] * np.exp(log_ratio)
        if type(self.inner) is Exponential and self.upper == np.inf:
            return max(self.lower, 0.0) + 1 / theta[0]
        if type(self.inner) is Normal:
            return theta[0] + theta[1] * theta[1] * followed(self._slope, *theta)
        return None

    def _slope(self, *theta: Array, order: int) -> Rows:
        """Derivative of the log-probability of the range in the first parameter."""
        rows = self._total_rows(Place(self.inner, theta, False), order + 1)
        return Rows(rows.grad[0], None if order == 0 else rows.hess[0], None)

    def start(self, y: Array, weight: Array) -> tuple[Array, ...]:
        """Start from the start of the family, as if nothing had been left out."""
        return self.inner.start(y, weight)
