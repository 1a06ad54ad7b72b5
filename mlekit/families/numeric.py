"""What a family that gives its log-density alone has all the same: distribution functions, quantiles, draws, moments.

Everything is an integral, or a sum over the whole numbers, of the density, found for all rows at once. The density has
a total of 1 if nothing was overlooked: where it has not, or an integral does not converge, the answer is NaN, with a
warning.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mlekit.families import landscape
from mlekit.families.inversion import quantiles_of
from mlekit.families.landscape import Density
from mlekit.families.quadrature import Found, by_group, refine
from mlekit.links import Array
from mlekit.messages import warn

if TYPE_CHECKING:
    from mlekit.families.base import GenericLikelihood

_WHOLE = np.unique(np.append(np.arange(-32.0, 33.0), np.outer([-1, 1], 10.0 ** np.arange(2, 13))))
# Errors up to which a number is given, relative to 1 or to the size of what is added up; and of each panel.
_ACCURACY, _PANEL = 1e-8, 1e-11
#: What is integrated in the place of moments.
Parts = Callable[[Array, Array, Array], list[Array]]
# A sum with a larger share than this at the end of the numbers is not finished there.
_UNFINISHED = 1e-9
_LARGEST_COUNT = 2.0**50
_ROWS = 2048


def is_discrete(family: "GenericLikelihood") -> bool:
    """Whether ``in_support`` takes some whole numbers, and nothing between any two.

    Examples
    --------
    >>> from mlekit.families import Normal, Poisson
    >>> is_discrete(Normal()), is_discrete(Poisson())
    (False, True)
    """
    if family.response_columns:
        return False
    between = np.append(_WHOLE + 0.5, _WHOLE + 0.25)
    return bool(np.any(family.in_support(_WHOLE)) and not np.any(family.in_support(between)))


def draws(family: "GenericLikelihood", theta: tuple[Any, ...], *, rng: np.random.Generator) -> Array:
    """Draw a response for each row of the parameters, by quantiles at random."""
    return family.ppf(rng.random(np.broadcast_shapes(*map(np.shape, theta))), *theta)


def log_tail(family: "GenericLikelihood", defaults: Any, y: Any, theta: tuple[Any, ...], above: bool) -> Array:
    """``log P(Y <= y)``, or above, by the family's own distribution function if it is not that of ``defaults``."""
    if type(family).cdf is defaults.cdf:
        return log_probabilities(family, y, theta)[int(above)]
    with np.errstate(divide="ignore"):
        share = family.cdf(y, *theta)
        return np.log1p(-share) if above else np.log(share)


def mean_of(family: "GenericLikelihood", theta: tuple[Any, ...]) -> Array | None:
    """Mean as the family gives it, by integration if it does not, or None if there is none to be found."""
    own = family.mean(*theta)
    if own is None and family.response_columns and hasattr(family, "inner"):
        return mean_of(family.inner, theta)  # of a response that may be censored, the mean is that of the variable
    if own is not None or family.response_columns:
        return own
    value, lost = _moments(family, theta, 1)
    if np.isnan(value).all():
        return None
    lost.say()
    return value


def log_probabilities(
    family: "GenericLikelihood", y: Any, theta: tuple[Any, ...], quiet: bool = False
) -> tuple[Array, Array]:
    """``log P(Y <= y)`` and ``log P(Y > y)``, each with all its digits; NaN, with a warning, where they are not found.

    Examples
    --------
    >>> import numpy as np
    >>> from mlekit.families import Normal
    >>> below, above = log_probabilities(Normal(), np.array([0.0, 30.0]), (0.0, 1.0))
    >>> below.round(6).tolist(), above.round(6).tolist()
    ([-0.693147, -0.0], [-0.693147, -454.321244])
    """
    shape, (y, *parts) = _rows(family, y, *theta)
    logs = np.full((2, y.size), np.nan)
    lost = Lost(family, "distribution function")
    known = np.flatnonzero(np.isfinite(np.stack(parts)).all(axis=0) & ~np.isnan(y))
    for chunk in _chunks(known):
        density = Density(family, tuple(t[chunk] for t in parts), family.discrete)
        made = integrated(density, y[chunk], np.zeros(chunk.size), 0)
        with np.errstate(all="ignore"):
            found = (made.shift + np.log(made.sums[0])).reshape(-1, 2).T
            # Of the two, the smaller one has the digits.
            found = np.where(found < -np.log(2), found, np.log1p(-np.exp(np.minimum(found[::-1], 0.0))))
        logs[:, chunk] = np.where(lost.add(density, made), np.nan, found)
    if not quiet:
        lost.say()
    return logs[0].reshape(shape), logs[1].reshape(shape)


def quantiles(family: "GenericLikelihood", share: Any, theta: tuple[Any, ...]) -> Array:
    """Quantiles, from the same integrals; NaN, with a warning, where they are not found.

    Examples
    --------
    >>> import numpy as np
    >>> from mlekit.families import Normal, Poisson
    >>> quantiles(Normal(), np.array([0.5, 0.975]), (1.0, 2.0)).round(6).tolist()
    [1.0, 4.919928]
    >>> quantiles(Poisson(), np.array([0.5, 1e-9]), (1e6,)).tolist()
    [1000000.0, 994008.0]
    """
    shape, (share, *parts) = _rows(family, share, *theta)
    value, lost = np.full(share.size, np.nan), Lost(family, "quantile")
    known = np.flatnonzero(np.isfinite(np.stack(parts)).all(axis=0) & (share >= 0) & (share <= 1))
    every, which = np.unique(np.stack(parts)[:, known], axis=1, return_inverse=True)
    which = which.ravel()
    order = np.argsort(which, kind="stable")
    for first in range(0, every.shape[1], _ROWS):
        density = Density(family, tuple(every[:, first : first + _ROWS]), family.discrete)
        mine = order[slice(*np.searchsorted(which[order], [first, first + _ROWS]))]
        row, wanted = which[mine] - first, share[known[mine]]
        least = np.ones(density.rows)
        tail = np.minimum(wanted, 1 - wanted)
        np.minimum.at(least, row, np.where(tail > 0, tail, 1.0))
        made = integrated(density, np.full(density.rows, np.inf), -np.log(least), 0)
        found = quantiles_of(density, made.found, made.shift, wanted, row)
        for extreme, sign in ((0.0, -1), (1.0, 1)):
            at = row[wanted == extreme]
            with np.errstate(all="ignore"):
                found[wanted == extreme] = landscape.end(density.pick(at), made.centre[at], sign)
        # A share is lost by itself if it ends where no numbers are.
        beyond = (wanted > 0) & (wanted < 1) & (np.minimum(wanted, 1 - wanted) * _UNFINISHED < made.rest[row])
        out = np.zeros(density.rows, dtype=bool)
        out[row[beyond]] = True
        value[known[mine]] = np.where(lost.add(density, made)[row] | beyond, np.nan, found)
        lost.add(density, made._replace(open_=out & ~made.lost, total=np.ones(density.rows)))
    lost.say()
    return value.reshape(shape)


def moments(family: "GenericLikelihood", theta: tuple[Any, ...], order: int) -> Array:
    """Mean, or with ``order=2`` variance; NaN, with a warning, where the integral does not converge.

    Examples
    --------
    >>> import numpy as np
    >>> from mlekit.families import Poisson
    >>> moments(Poisson(), (np.array([0.1, 3.0, 1e6]),), 2).round(6).tolist()
    [0.1, 3.0, 1000000.0]
    """
    value, lost = _moments(family, theta, order)
    lost.say()
    return value


def _moments(family: "GenericLikelihood", theta: tuple[Any, ...], order: int) -> tuple[Array, "Lost"]:
    """Moments, and what is to be said of them."""
    shape, parts = _rows(family, *theta)
    every, which = np.unique(np.stack(parts), axis=1, return_inverse=True)
    value, lost = np.full(every.shape[1], np.nan), Lost(family, "mean" if order == 1 else "variance")
    known = np.flatnonzero(np.isfinite(every).all(axis=0))
    for chunk in _chunks(known):
        density = Density(family, tuple(every[:, chunk]), family.discrete)
        made = integrated(density, np.full(chunk.size, np.inf), np.zeros(chunk.size), order)
        with np.errstate(all="ignore"):
            total, *scaled = made.sums[:, ::2]
            first = scaled[0] / total
            found = made.centre + first if order == 1 else scaled[1] / total - first**2
        value[chunk] = np.where(lost.add(density, made), np.nan, found)
    return value[which.ravel()].reshape(shape), lost


def _chunks(rows: Array) -> list[Array]:
    return [rows[i : i + _ROWS] for i in range(0, rows.size, _ROWS)]


def _rows(family: "GenericLikelihood", *arrays: Any) -> tuple[tuple[int, ...], list[Array]]:
    """Broadcast arrays, and return their shape and them as rows."""
    if family.response_columns:
        raise NotImplementedError(
            f"a response of {type(family).__name__} has {len(family.response_columns)} columns: "
            "its density is not integrated, so the family has to define this itself"
        )
    whole = np.broadcast_arrays(*(np.asarray(a, dtype=float) for a in arrays))
    return whole[0].shape, [a.ravel() for a in whole]


# ---------------------------------------------------------------- integrals


class Integrated(NamedTuple):
    """Integrals over the panels of some rows: of groups ``2 row`` up to a point and ``2 row + 1`` beyond it.

    Attributes
    ----------
    found : Found
    sums : (1 + order, 2 n) array
        Of the density and its moments about ``centre``, relative to ``exp(shift)``.
    shift : (2 n,) array
    centre : (n,) array
    total : (n,) array
        Integral of the density.
    open_ : (n,) array of bool
        Whether an integral does not converge, or has not.
    rest : (n,) array
        About how much lies where no numbers are: too near to 0, or too far away.
    """

    found: Found
    sums: Array
    shift: Array
    centre: Array
    total: Array
    open_: Array
    rest: Array

    @property
    def lost(self) -> Array:
        """Rows of which nothing is said."""
        return self.open_ | self.wrong

    @property
    def wrong(self) -> Array:
        """Rows whose density has another total than 1."""
        return np.asarray(~(np.abs(self.total - 1) <= _ACCURACY))


def integrated(
    density: Density, at: Array, depth: Array, order: int, parts: Parts | None = None, panel: float = _PANEL
) -> Integrated:
    """Integrate; where the total is not 1, once more with cuts where the parameters are, and with small steps.

    Parameters
    ----------
    density : Density
    at, depth, order
        As for :func:`mlekit.families.landscape.line_panels`.
    parts : callable, optional
        ``((p, m) densities, (p, m) responses, (p,) rows) -> (p, m)`` arrays: what is integrated in the place of the
        moments. The first has to be the density.
    panel : float
        Error allowed of each panel, relative to its group.
    """
    with np.errstate(all="ignore"):
        middle = landscape.centre(density)
        made = _attempt(density, middle, at, depth, order, parts, panel, False)
        again = np.flatnonzero(made.wrong if order else made.lost)
        if not again.size:
            return made

        def picked(value: Array, y: Array, row: Array) -> list[Array]:
            assert parts is not None
            return parts(value, y, again[row])

        some = density.pick(again), middle[again], at[again], depth[again]
        second = _attempt(*some, order, None if parts is None else picked, panel, True)
        return _merged(made, second, again)


def _attempt(
    density: Density,
    middle: Array,
    at: Array,
    depth: Array,
    order: int,
    parts: Parts | None,
    panel: float,
    dense: bool,
) -> Integrated:
    hints = [middle, *density.theta] if dense else [middle]
    if density.discrete:
        cuts = np.stack([np.rint(np.clip(h, -_LARGEST_COUNT, _LARGEST_COUNT)) for h in hints], axis=1)
        panels, shift = landscape.count_panels(density, cuts, at, depth, order)
    else:
        ends = [landscape.end(density, middle, sign) for sign in (-1, 1)]
        cuts = np.sort(np.stack([ends[0], *(np.clip(h, *ends) for h in hints), ends[1]], axis=1), axis=1)
        panels, shift = landscape.line_panels(density, cuts, at, depth, order, dense)

    def log_density(y: Array, group: Array) -> Array:
        return density.log(y, group // 2) - shift[group][:, None]

    def powers(value: Array, y: Array, group: Array) -> list[Array]:
        if parts is not None:
            return parts(value, y, group // 2)
        found = [value]
        for _ in range(order):
            # From left to right: a power of y alone may overflow.
            found.append(np.where(value > 0, found[-1] * (y - middle[group // 2][:, None]), 0.0))
        return found

    tolerance = panel * np.exp(-np.repeat(depth, 2))
    found = refine(log_density, powers, panels, 2 * density.rows, tolerance, density.discrete)
    sums = by_group(found.integral, found.panels.group, 2 * density.rows)
    total = (sums[0] * np.exp(shift)).reshape(-1, 2)
    total = np.where(np.isfinite(shift).reshape(-1, 2), total, 0.0).sum(axis=1)
    rest = _rest(found, density.discrete)
    # Of a probability below the smallest double there is the logarithm alone.
    accuracy = _ACCURACY * np.where((shift < -700) & (shift > -np.inf), -shift, 1.0)
    bad = (rest > _UNFINISHED * found.size) | ~(found.error <= accuracy * found.size)
    bad |= np.isfinite(shift) & (found.size[0] == 0)  # there is some, and none was seen
    open_ = np.asarray(bad.any(axis=0).reshape(-1, 2).any(axis=1))
    return Integrated(found, sums, shift, middle, total, open_, (rest[0] * np.exp(shift)).reshape(-1, 2).sum(axis=1))


def _rest(found: Found, discrete: bool) -> Array:
    """How much of each component, by group, lies at the end of the numbers or beyond."""
    panels, groups = found.panels, found.size.shape[1]
    if discrete:
        far = (panels.right > _LARGEST_COUNT) | (panels.left < -_LARGEST_COUNT)
        return by_group(np.abs(found.integral[:, far]), panels.group[far], groups)
    far = np.abs(panels.start + panels.sign * np.exp(panels.right)) > landscape.FAR
    rest = by_group(np.abs(found.integral[:, far]), panels.group[far], groups)
    # What lies nearer to 0 than numbers do, of a density that is a power there.
    first = np.flatnonzero((panels.start == 0) & (panels.left <= landscape.LOWEST + 1e-6))
    ends = found.values[first][:, [0, -1]]
    power = np.log(ends[:, 1] / ends[:, 0]) / (panels.right - panels.left)[first]
    half = (panels.right - panels.left)[first] / 2
    nearer = np.where(ends[:, 0] > 0, ends[:, 0] / half / np.clip(power, 1e-3, None), 0.0)
    rest[0] += by_group(nearer[None], panels.group[first], groups)[0]
    return rest


def _merged(first: Integrated, second: Integrated, rows: Array) -> Integrated:
    """Return the first with some of its rows from the second."""
    groups = np.stack([2 * rows, 2 * rows + 1], axis=1).ravel()
    kept = ~np.isin(first.found.panels.group, groups)
    later = second.found.panels._replace(group=groups[second.found.panels.group])
    panels = type(later)(*(np.append(a[kept], b) for a, b in zip(first.found.panels, later, strict=True)))
    parts = {}
    for name in ("error", "size"):
        whole = getattr(first.found, name).copy()
        whole[:, groups] = getattr(second.found, name)
        parts[name] = whole
    found = Found(
        panels,
        np.concatenate([first.found.integral[:, kept], second.found.integral], axis=1),
        values=np.concatenate([first.found.values[kept], second.found.values]),
        **parts,
    )
    sums, shift = first.sums.copy(), first.shift.copy()
    sums[:, groups], shift[groups] = second.sums, second.shift
    by_row = [np.array(part) for part in first[4:]]
    for whole, part in zip(by_row, second[4:], strict=True):
        whole[rows] = part
    return Integrated(found, sums, shift, first.centre, *by_row)


class Lost:
    """Rows of which something was not found, counted for one warning."""

    def __init__(self, family: "GenericLikelihood", what: str) -> None:
        self.family, self.what = family, what
        self.reasons: dict[str, list[str]] = {}

    def add(self, density: Density, made: Integrated) -> Array:
        """Count the rows that are lost, and return which they are."""
        for row in np.flatnonzero(made.lost):
            values = ", ".join(
                f"{name}={float(t[row]):g}" for name, t in zip(self.family.params, density.theta, strict=True)
            )
            if made.open_[row]:
                reason, more = "the integral does not converge", ""
            else:
                reason, more = "the density has another total than 1", f" ({made.total[row]:.9g})"
            self.reasons.setdefault(reason, []).append(f"{values}{more}")
        return made.lost

    def say(self) -> None:
        """Warn of what was lost."""
        if not self.reasons:
            return
        told = "; ".join(
            f"{reason} at {len(where)} of them, such as {where[0]}" for reason, where in self.reasons.items()
        )
        warn(
            f"the {self.what} of {type(self.family).__name__} was not found by integrating its density at every set of "
            f"parameters, and is NaN there: {told}. See what {type(self.family).__name__}().check(...) says, "
            f"or define it in the family",
            RuntimeWarning,
        )
