"""Responses that are known exactly, or only to lie in a range: right, left and interval censoring, for any family."""

from collections.abc import Callable
from typing import Any

import numpy as np

from mlekit.families.combined import Combinator
from mlekit.families.ranges import followed, range_rows
from mlekit.families.recession import Recession, one_way, towards
from mlekit.families.tail_rows import Place, blank, fill, integrates
from mlekit.jets import Rows
from mlekit.links import Array


class Censored(Combinator):
    """A family whose response may be censored: ``Censored("weibull")`` with ``Surv(time, event) ~ x``.

    A row of the response holds two ends. Where they are equal the response is exact, and the row has the log-density of
    the family; otherwise it is known that ``lower < Y <= upper``, and the row has the log-probability of that: of
    right-censored ones ``log P(Y > lower)``, of left-censored ones ``log P(Y <= upper)``. For counts this means that
    ``Surv(4, 0)`` is 5 or more, and the interval from 4 to 6 is 5 or 6.

    Everything else is that of the variable itself, censored or not: parameters, ``mean``, ``variance``, ``cdf``,
    ``ppf``, predictions, and draws, which are never censored, as nobody knows when an exact response would have been.
    There are no residuals and no deviance: of a censored row there is nothing to subtract a mean from.

    R: ``survival::survreg(Surv(time, event) ~ x, dist =)``, with the family's own map of parameters; ``Censored()`` of
    a Normal is the tobit, ``AER::tobit``. scipy: ``scipy.stats.CensoredData``.

    Parameters
    ----------
    family : name, class or instance
        Built in or one's own. If it has no ``logcdf`` and ``logsf``, or jets cannot follow them, the density and its
        derivatives are integrated: as exact, and slower.

    Raises
    ------
    TypeError
        If the family is one of levels, of several columns, or has a kinked density.

    Examples
    --------
    >>> import mlekit
    >>> lives = {"time": [3.0, 5.0, 8.0, 12.0, 20.0], "event": [1, 1, 0, 1, 0]}
    >>> fit = mlekit.fit("Surv(time, event) ~ 1", lives, Censored("exponential"))
    >>> round(float(fit.distribution.loc["rate", "estimate"]), 10)  # 3 events in 48 units of time
    0.0625
    """

    response_columns = ("lower", "upper")
    response_help = (
        "write Surv(time, event) ~ ..., with event 0 where the time is censored and 1 where it is exact, or "
        "Surv(lower, upper, type='interval') ~ ..."
    )

    @property
    def discrete(self) -> bool:
        """Whether the variable is a whole number."""
        return self.inner.discrete

    @property
    def support_text(self) -> str:  # type: ignore[override]
        """What a response is."""
        return (
            f"two ends, lower <= upper: the same where it is exact, {self.inner.support_text}; otherwise ends of a "
            "range of these, infinite where it is open"
        )

    @property
    def derivatives_text(self) -> str | None:
        """How derivatives are computed, where that takes more than jets."""
        return derivatives_text(self.inner)

    # ---------------------------------------------------------------- rows

    def logpdf(self, y: Array, *theta: Any, **named: Any) -> Array:
        y = np.asarray(y, dtype=float)

        def rows(number: Array, *at: Array, order: int) -> Rows:
            return self.rows(y[number.astype(int)], *at, order=order)

        value: Array = followed(rows, np.arange(float(len(y))), *theta)
        return value

    def rows(self, y: Array, *theta: Any, order: int = 2, **named: Any) -> Rows:
        place = Place.of(self.inner, theta, len(y), False)
        return self._rows(y, place, order, lambda y, *at: self.inner.rows(y, *at, order=order))

    def linear_rows(self, y: Array, *eta: Array, order: int = 2) -> Rows:
        place = Place.of(self.inner, eta, len(y), True)
        return self._rows(y, place, order, lambda y, *at: self.inner.linear_rows(y, *at, order=order))

    @staticmethod
    def _rows(y: Array, place: Place, order: int, density: Callable[..., Rows]) -> Rows:
        """Rows of each kind by the function of that kind."""
        made, exact = blank(place, order), y[:, 0] == y[:, 1]
        fill(made, exact, lambda rows: density(y[rows, 0], *place.pick(rows).at))
        fill(made, ~exact, lambda rows: range_rows(place.pick(rows), y[rows, 0], y[rows, 1], order))
        return made

    def base_measure(self, y: Array) -> Array | None:
        exact = y[:, 0] == y[:, 1]
        part = self.inner.base_measure(y[exact, 0])
        if part is None:
            return None
        base = np.zeros(len(y))
        base[exact] = part
        return base

    # ---------------------------------------------------------------- facts

    def in_support(self, y: Array) -> Array:
        lower, upper = np.asarray(y, dtype=float).T
        inner, step = self.inner, 1.0 if self.inner.discrete else 0.0
        above, below = (_next(end, sign, step) for end, sign in ((lower, 1), (upper, -1)))
        # Each end has to be beside some response on the side where the range is: a time of -5 is no time.
        low = np.isneginf(lower) | inner.in_support(above)
        high = np.isposinf(upper) | inner.in_support(upper) | inner.in_support(below)
        return np.where(lower == upper, inner.in_support(lower), (lower < upper) & low & high)

    def recession(self, y: Array) -> Recession | None:
        """A row that is censored on one side is certain where all of the distribution goes to that side."""
        name, link = next(iter(self.inner.links.items()))
        low, high = self.inner.domains()[name]
        up, down = (towards(link, end) for end in ((high, low) if self.inner.shifts > 0 else (low, high)))
        if not self.inner.shifts or up is None or down is None:
            return None
        lower, upper = y.T
        # Of a time, or a size, nothing is below 0.
        positive = not self.inner.discrete and not self.inner.in_support(np.array([-1.0])).any()
        right = np.isposinf(upper)
        left = np.isneginf(lower) | ((lower <= 0) & (lower < upper) & positive)
        signs = np.where(right, up, np.where(left, down, 0.0))
        unknown = np.logical_and(right, left)
        signs[unknown] = 0.0
        found = one_way(signs, unknown)
        rest = len(self.links) - 1
        ends = np.concatenate([found.ends, np.zeros((1, rest, len(y)))], axis=1)
        return Recession(ends, np.concatenate([found.still, np.ones((rest, len(y)), dtype=bool)]))

    def observed(self, y: Array) -> Array:
        """The response where it is exact, else NaN."""
        return np.where(y[:, 0] == y[:, 1], y[:, 0], np.nan)

    def mean(self, *theta: Any, **named: Any) -> Array | None:
        """Mean of the variable itself, censored or not."""
        return self.inner.mean(*theta)

    def variance(self, *theta: Any, **named: Any) -> Array | None:
        """Variance of the variable itself."""
        return self.inner.variance(*theta)

    def cdf(self, y: Array, *theta: Any, **named: Any) -> Array:
        """``P(Y <= y)`` of the variable itself, for one number per row."""
        return self.inner.cdf(y, *theta)

    def logcdf(self, y: Array, *theta: Any, **named: Any) -> Array:
        return self.inner.logcdf(y, *theta)

    def logsf(self, y: Array, *theta: Any, **named: Any) -> Array:
        """``log P(Y > y)``: the logarithm of survival."""
        return self.inner.logsf(y, *theta)

    def ppf(self, share: Array, *theta: Any, **named: Any) -> Array:
        """Quantile of the variable itself."""
        return self.inner.ppf(share, *theta)

    def rvs(self, *theta: Any, **named: Any) -> Array:
        """Draw the variable itself, one number per row, never censored."""
        return self.inner.rvs(*theta, **named)

    def redraw(self, y: Array, *theta: Any, rng: np.random.Generator) -> Array:
        """Draw exact responses: both ends are the same."""
        drawn = self.inner.rvs(*theta, rng=rng)
        return np.column_stack([drawn, drawn])

    def start(self, y: Array, weight: Array) -> tuple[Array, ...]:
        """Start from the start of the family at a point inside each range."""
        return self.inner.start(self._points(y), weight)

    def _points(self, y: Array) -> Array:
        """Points inside the ranges: the middle, or the one end that there is."""
        lower, upper = y.T
        open_ = np.isinf(lower) | np.isinf(upper)
        with np.errstate(invalid="ignore"):
            points = np.where(open_, np.where(np.isinf(lower), upper, lower), lower / 2 + upper / 2)
        if self.inner.discrete:
            points = np.where(lower < upper, np.where(np.isinf(upper), lower + 1, np.floor(points)), points)
        inside = self.inner.in_support(points) & np.isfinite(points)
        if inside.all():
            return points
        # At the very end of the support, or open on both sides: they say little of where to start.
        typical = np.median(points[inside]) if inside.any() else 1.0
        return np.where(inside, points, np.floor(typical) if self.inner.discrete else typical)


def _next(y: Array, sign: int, step: float) -> Array:
    """Return the next number on one side, or for counts the next count."""
    return y + sign * step if step else np.nextafter(y, sign * np.inf)


def derivatives_text(inner: Any) -> str | None:
    """How derivatives of ranges are computed, where that takes more than jets.

    Examples
    --------
    >>> from mlekit.families import Gamma
    >>> derivatives_text(Gamma())
    'exact (integrals of the derivatives of the density)'
    """
    if not integrates(inner):
        return None
    if inner.derivatives == "numeric":
        return "central differences (about 1e-8), integrated"
    return "exact (integrals of the derivatives of the density)"
