"""The distribution of a new response: quantiles and probabilities at the estimates, and intervals that allow for them.

An interval for a new observation is made of the predictive distribution: the family's distribution function, averaged
over the normal distribution of the estimates.
"""

import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import special

from mlekit.diagnostics import thetas
from mlekit.families.base import GenericLikelihood
from mlekit.families.categorical import Categorical
from mlekit.families.censored import Censored
from mlekit.families.numeric import quantiles
from mlekit.links import Array

# At most so many nodes for a row, and so many for the rows that are done at once.
_MOST_NODES, _CHUNK = 1000, 100_000
# Nodes for each linear predictor, by how much its error moves the distribution in standard deviations of a response,
# and where that is not known.
_NODES = ((0.1, 3), (0.3, 5), (0.6, 9), (1.0, 15), (np.inf, 21))
_NOT_KNOWN = 5
# How fast the distribution function of a Normal changes with log sigma at its 90th percentile, z * phi(z), over the
# root of the information of log sigma, which is 2; with the mean it changes faster, so measured.
_SCALE_SLOPE = 0.159


def variable_of(family: GenericLikelihood) -> GenericLikelihood:
    """Return the family of the variable that is predicted: of a censored one, the variable itself.

    Raises
    ------
    ValueError
        If a response is one of levels, or has other columns: there is no one number to give the distribution of.
    """
    if isinstance(family, Censored):
        return family.inner
    name = type(family).__name__
    if isinstance(family, Categorical):
        raise ValueError(f"{name} is of levels: predict(what='probabilities') has the probability of each")
    if family.response_columns:
        raise ValueError(
            f"a response of {name} has {len(family.response_columns)} columns ({', '.join(family.response_columns)}), "
            "and no distribution as one number"
        )
    return family


def has_one_number(family: GenericLikelihood) -> bool:
    """Whether a new response is one number: only then does it have quantiles.

    Examples
    --------
    >>> from mlekit.families import Binomial, Poisson
    >>> has_one_number(Poisson()), has_one_number(Binomial())
    (True, False)
    """
    return isinstance(family, Censored) or not (isinstance(family, Categorical) or family.response_columns)


# ------------------------------------------------------------------------------------ at the estimates


def _density(family: GenericLikelihood, y: Array, *theta: Array) -> Array:
    return np.where(family.in_support(y), np.exp(family.logpdf(y, *theta)), 0.0)


#: Functions of a number and the parameters, each with what has to be said of the numbers.
FUNCTIONS: dict[str, Callable[..., Array]] = {
    "quantile": lambda family, q, *theta: family.ppf(q, *theta),
    "pmf": _density,
    "pdf": _density,
    "cdf": lambda family, y, *theta: family.cdf(y, *theta),
    "sf": lambda family, y, *theta: np.exp(family.logsf(y, *theta)),
}


def distribution(family: GenericLikelihood, eta: tuple[Array, ...], what: str, q: Any, at: Any) -> Any:
    """Quantiles or probabilities of the response of each row, at the given linear predictors.

    Parameters
    ----------
    family : GenericLikelihood
    eta : tuple of (n,) arrays
    what : {"quantile", "pmf", "pdf", "cdf", "sf"}
    q, at : float or sequence of float
        Shares for quantiles, responses for the others; of a sequence, each has a column.

    Returns
    -------
    (n,) array or DataFrame

    Raises
    ------
    ValueError
        If what is asked for is not there for the family, or numbers are missing, twice there or out of range.

    Examples
    --------
    >>> from mlekit.families import Poisson
    >>> distribution(Poisson(), (np.zeros(1),), "pmf", None, [0, 1]).round(4).to_dict("list")
    {0: [0.3679], 1: [0.3679]}
    """
    variable = variable_of(family)
    if what in ("pmf", "pdf") and (what == "pmf") != variable.discrete:
        kind, right = ("whole numbers", "pmf") if variable.discrete else ("continuous", "pdf")
        raise ValueError(f"responses of {family!r} are {kind}: ask for what={right!r}, not {what!r}")
    name, other = ("q", at) if what == "quantile" else ("at", q)
    if other is not None:
        raise ValueError(f"what={what!r} takes {name}=, and not {'at' if name == 'q' else 'q'}=")
    given = q if what == "quantile" else at
    numbers = _numbers(given, name, what)
    theta = thetas(family, eta)
    with np.errstate(all="ignore"):
        found = [FUNCTIONS[what](variable, np.full(eta[0].shape, number), *theta) for number in numbers]
    if np.ndim(given) == 0:
        return found[0]
    return pd.DataFrame(np.column_stack(found), columns=list(given))


def _numbers(given: Any, name: str, what: str) -> Array:
    """Shares or responses as numbers that can be used."""
    example = "0.9, or q=[0.1, 0.5, 0.9]" if name == "q" else "0, or at=[0, 1, 2]"
    if given is None:
        raise ValueError(f"what={what!r} needs {name}=: {name}={example}")
    try:
        numbers = np.atleast_1d(np.asarray(given, dtype=float))
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be a number or a list of numbers, as {name}={example}, not {given!r}") from None
    if numbers.ndim > 1 or not numbers.size or np.isnan(numbers).any() or len(set(numbers)) < numbers.size:
        raise ValueError(f"{name} must be a number or a list of different numbers, as {name}={example}, not {given!r}")
    if name == "q" and not ((numbers >= 0) & (numbers <= 1)).all():
        raise ValueError(f"q are shares of a distribution, from 0 to 1, not {given!r}: 0.9 is the 90th percentile")
    return numbers


# ------------------------------------------------------------------------------------ with the error of the estimates


class Spread(NamedTuple):
    """Where the linear predictors of some rows are, and how uncertain: ``eta + root @ z`` with standard normal ``z``.

    Attributes
    ----------
    eta : (n, k) array
    root : (n, k, r) array
    """

    eta: Array
    root: Array

    def pick(self, rows: Any) -> "Spread":
        """Return some of the rows."""
        return Spread(self.eta[rows], self.root[rows])


def interval(family: GenericLikelihood, spread: Spread, alpha: float) -> tuple[Array, Array]:
    """Ends of the interval for a new response of each row, at level ``1 - alpha``.

    They are the quantiles at ``alpha / 2`` and ``1 - alpha / 2`` of the predictive distribution, whose distribution
    function is that of the family averaged over the normal distribution of the linear predictors, as far as their
    domains reach. For whole numbers the interval holds at least the level.

    Parameters
    ----------
    family : GenericLikelihood
    spread : Spread
    alpha : float

    Returns
    -------
    low, high : (n,) arrays
        NaN where a distribution function or a quantile is not found.

    Notes
    -----
    The average is a Gauss-Hermite product rule. Its order is chosen row by row: 3 nodes for a linear predictor whose
    error moves the distribution little, up to 21 for one that matters as much as the scatter of the response; 5 where
    the distribution function is an integral. The level is good to about 1e-6 (1e-5 with 5 nodes); draws at random would
    need 1e10 for that. Draws are not used, so the interval is the same every time.

    Examples
    --------
    With a known unit scale, the predictive distribution of a Normal is Normal with variance 1 + 0.3**2:

    >>> from mlekit.families import Normal
    >>> spread = Spread(np.zeros((1, 2)), np.array([[[0.3], [0.0]]]))
    >>> low, high = interval(Normal(), spread, 0.05)
    >>> bool(np.isclose(high[0], 1.959964 * np.sqrt(1.09), rtol=1e-6))
    True
    """
    variable = variable_of(family)
    low, high = np.full((2, len(spread.eta)), np.nan)
    known = np.isfinite(spread.root).all(axis=(1, 2)) & ~np.isnan(spread.eta).any(axis=1)
    moving = spread.root.any(axis=(0, 1))
    spread = Spread(spread.eta, spread.root[:, :, moving])
    counts = _node_counts(family, variable, spread)
    for count in np.unique(counts[known]):
        z, weight = _rule(int(count), spread.root.shape[2])
        rows = np.flatnonzero(known & (counts == count))
        size = max(1, _CHUNK // weight.size)
        for first in range(0, rows.size, size):
            some = rows[first : first + size]
            low[some], high[some] = _ends(family, variable, spread.pick(some), z, weight, alpha)
    return low, high


def _node_counts(family: GenericLikelihood, variable: GenericLikelihood, spread: Spread) -> Array:
    """How many nodes each row takes for each linear predictor."""
    n, _, r = spread.root.shape
    error = np.sqrt((spread.root**2).sum(axis=2).T)
    counts = np.full(n, _NOT_KNOWN)
    with np.errstate(all="ignore"):
        known = variable.information(*spread.eta.T)
        if known is not None:
            moved = np.max([np.where(e > 0, known[i, i] * e**2, 0.0) ** 0.5 for i, e in enumerate(error)], axis=0)
        elif type(variable).ppf is not GenericLikelihood.ppf:
            moved = _moved(family, variable, spread.eta, error)
        else:
            return counts
    counts = np.select([moved <= limit for limit, _ in _NODES], [m for _, m in _NODES], _NODES[-1][1])
    most = max((m for _, m in _NODES if m**r <= _MOST_NODES), default=_NODES[0][1])
    return np.minimum(counts, most)


def _moved(family: GenericLikelihood, variable: GenericLikelihood, eta: Array, error: Array) -> Array:
    """About how much the error of each linear predictor moves a distribution whose information is not known.

    By the change of the distribution function at three of its quantiles, for an error to either side. For a Normal it
    is never below what the information gives.
    """
    theta = thetas(family, tuple(eta.T))
    largest = np.zeros(len(eta))
    for share in (0.1, 0.5, 0.9):
        y = variable.ppf(np.full(len(eta), share), *theta)
        for i, e in enumerate(error):
            if e.any():
                ends = (eta + sign * np.eye(len(error))[i] * e[:, None] for sign in (-1, 1))
                low, high = (variable.cdf(y, *thetas(family, tuple(end.T))) for end in ends)
                # Beyond a domain there is no distribution function, and that is far.
                largest = np.maximum(largest, np.where(np.isnan(high - low), np.inf, np.abs(high - low)))
    return largest / (2 * _SCALE_SLOPE)


def _rule(count: int, axes: int) -> tuple[Array, Array]:
    """Nodes ``(axes, m)`` and weights of a product rule for the standard normal."""
    points, weights = np.polynomial.hermite_e.hermegauss(count)
    made = (np.array(list(itertools.product(each, repeat=axes))) for each in (points, weights / weights.sum()))
    z, weight = (each.reshape(count**axes, axes) for each in made)
    return z.T, weight.prod(axis=1)


def _ends(
    family: GenericLikelihood, variable: GenericLikelihood, spread: Spread, z: Array, weight: Array, alpha: float
) -> tuple[Array, Array]:
    """Ends of some rows by one rule."""
    n, m = len(spread.eta), weight.size
    centre = spread.eta[:, :, None]
    eta = centre + spread.root @ z
    inside = np.ones((n, m), dtype=bool)
    for i, (low, high) in enumerate(family.eta_limits()):
        # A parameter may be at its limit, but not beyond it: the estimate itself always counts.
        inside &= ((eta[:, i] > low) & (eta[:, i] < high)) | (eta[:, i] == centre[:, i])
    eta = np.where(inside[:, None], eta, centre)
    share = np.where(inside, weight, 0.0)
    share /= share.sum(axis=1, keepdims=True)
    theta = tuple(t.reshape(n, m) for t in thetas(family, tuple(e.ravel() for e in eta.swapaxes(0, 1))))
    if type(variable).ppf is GenericLikelihood.ppf:
        return _integrated_ends(variable, theta, share, alpha)

    def averaged(function: Callable[..., Array], y: Array, rows: Array) -> Array:
        at = np.repeat(y, m), *(t[rows].ravel() for t in theta)
        with np.errstate(all="ignore"):
            return np.asarray((function(*at).reshape(-1, m) * share[rows]).sum(axis=1))

    def below(y: Array, rows: Array) -> Array:
        return averaged(variable.cdf, y, rows) - alpha / 2

    def above(y: Array, rows: Array) -> Array:
        return alpha / 2 - averaged(lambda *at: np.exp(variable.logsf(*at)), y, rows)

    # The quantile of a mixture lies between those of its parts. Those at the ends of the axes are nearly always enough.
    far = ((z == 0) | (np.abs(z) == np.abs(z).max(initial=0.0))).all(axis=0) & ((z != 0).sum(axis=0) <= 1)
    step = float(variable.discrete)
    found = []
    for tail, rising in ((alpha / 2, below), (1 - alpha / 2, above)):
        every = np.arange(n)
        left, right = _extremes(variable, tail, tuple(t[:, far] for t in theta))
        short = np.flatnonzero(~((rising(left - step, every) < 0) & (rising(right, every) >= 0)))
        left[short], right[short] = _extremes(variable, tail, tuple(t[short] for t in theta))
        found.append((_first_whole if variable.discrete else _root)(rising, left, right))
    return found[0], found[1]


def _extremes(variable: GenericLikelihood, tail: float, theta: tuple[Array, ...]) -> tuple[Array, Array]:
    """Smallest and largest quantile of each row of parameters."""
    shape = theta[0].shape
    with np.errstate(all="ignore"):
        found = variable.ppf(np.full(shape, tail).ravel(), *(t.ravel() for t in theta)).reshape(shape)
    return found.min(axis=1, initial=np.inf), found.max(axis=1, initial=-np.inf)


class _Average:
    """The average of densities of a family at several sets of parameters, as a density of rows by their number."""

    def __init__(self, variable: GenericLikelihood, theta: tuple[Array, ...], share: Array) -> None:
        self.variable, self.theta = variable, theta
        self.params = (*variable.params, "row")
        with np.errstate(divide="ignore"):
            self.log_share = np.log(share)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.variable, name)

    def logpdf(self, y: Array, *theta: Array) -> Array:
        row = theta[-1].astype(int)
        m = self.log_share.shape[1]
        with np.errstate(all="ignore"):
            parts = self.variable.logpdf(np.repeat(y, m), *(t[row].ravel() for t in self.theta)).reshape(-1, m)
            found: Array = special.logsumexp(np.where(np.isnan(parts), -np.inf, parts) + self.log_share[row], axis=1)
        return found


def _integrated_ends(
    variable: GenericLikelihood, theta: tuple[Array, ...], share: Array, alpha: float
) -> tuple[Array, Array]:
    """Ends of the interval of a family without quantiles of its own: the averaged density is integrated, once."""
    kind = type(type(variable).__name__, (_Average,), {})
    middle = (t[:, t.shape[1] // 2] for t in theta)
    at = tuple(np.tile(t, 2) for t in (*middle, np.arange(float(len(share)))))
    tails = np.repeat([alpha / 2, 1 - alpha / 2], len(share))
    low, high = quantiles(kind(variable, theta, share), tails, at).reshape(2, -1)
    return low, high


def _first_whole(rising: Callable[[Array, Array], Array], low: Array, high: Array) -> Array:
    """Smallest whole number, row by row, where a rising function is not negative; it is not beyond ``high``."""
    known = np.isfinite(low) & np.isfinite(high)
    low, high = np.where(known, low - 1, 0.0), np.where(known, high, 0.0)
    while True:
        middle = np.maximum(np.floor(low / 2 + high / 2), low + 1)
        rows = np.flatnonzero((low < middle) & (middle < high))
        if not rows.size:
            return np.where(known, high, np.nan)
        reached = rising(middle[rows], rows) >= 0
        high[rows] = np.where(reached, middle[rows], high[rows])
        low[rows] = np.where(reached, low[rows], middle[rows])


def _root(rising: Callable[[Array, Array], Array], low: Array, high: Array) -> Array:
    """Zeros of a rising function between two points, row by row, by Chandrupatla's method (1997)."""
    found = np.where(low == high, low, np.nan)
    rows = np.flatnonzero(np.isfinite(low) & np.isfinite(high) & (low < high))
    a, b = high[rows], low[rows]
    fa, fb = rising(a, rows), rising(b, rows)
    c, fc, t = b, fb, np.full(a.size, 0.5)
    for _ in range(200):
        best = np.where(np.abs(fa) < np.abs(fb), a, b)
        # Ends that coincide with the quantile, but for rounding, have no change of sign.
        width = np.abs(b - a)
        done = (width <= 4 * np.finfo(float).eps * np.abs(best)) | (fa == 0) | (fb == 0) | (np.sign(fa) == np.sign(fb))
        found[rows[done]] = best[done]
        rows, a, b, c, fa, fb, fc, t = (part[~done] for part in (rows, a, b, c, fa, fb, fc, t))
        if not rows.size:
            return found
        x = a + t * (b - a)
        fx = rising(x, rows)
        same = np.sign(fx) == np.sign(fa)
        c, fc = np.where(same, a, b), np.where(same, fa, fb)
        b, fb = np.where(same, b, a), np.where(same, fb, fa)
        a, fa = x, fx
        t = _step(a, b, c, fa, fb, fc)
    return found


def _step(a: Array, b: Array, c: Array, fa: Array, fb: Array, fc: Array) -> Array:
    """Where to look next between a and b: by inverse quadratic interpolation where it is safe, else in the middle."""
    with np.errstate(all="ignore"):
        xi, phi = (a - b) / (c - b), (fa - fb) / (fc - fb)
        safe = (phi**2 < xi) & ((1 - phi) ** 2 < 1 - xi)
        t = fa / (fb - fa) * fc / (fb - fc) + (c - a) / (b - a) * fa / (fc - fa) * fb / (fc - fb)
        least = 2 * np.finfo(float).eps * np.abs(a) / np.abs(b - a)
    return np.clip(np.where(safe & np.isfinite(t), t, 0.5), np.minimum(least, 0.5), np.maximum(1 - least, 0.5))
