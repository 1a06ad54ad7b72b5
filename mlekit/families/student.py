"""Student's t, with its degrees of freedom as a parameter."""

from typing import Any

import numpy as np
from scipy import special

from mlekit.families.base import GenericLikelihood
from mlekit.families.incomplete import TINY, incomplete_beta_fraction
from mlekit.families.location_scale import deviation, location_start
from mlekit.families.natural import (
    POSITIVE_LINKS,
    information_through_links,
    log_parameter,
    scaled_through_links,
    through_links,
)
from mlekit.families.normal import Normal
from mlekit.families.stirling import excess, half_step, half_step_bend, half_step_rows
from mlekit.families.third import integrated_moments
from mlekit.jets import Rows
from mlekit.links import Array, identity, log

_HALF_LOG_2PI = 0.5 * np.log(2 * np.pi)
# From here on the distribution is the normal to all digits.
_NORMAL = 1e200


class StudentT(GenericLikelihood):
    """Student's t with location ``mu`` (identity link), scale ``sigma`` (log link) and degrees of freedom ``df`` (log).

    ``f(y) = gamma((df + 1) / 2) / (gamma(df / 2) sqrt(df pi) sigma) (1 + z**2 / df)**(-(df + 1) / 2)`` with
    ``z = (y - mu) / sigma``. ``sigma`` is not the standard deviation, which is ``sigma sqrt(df / (df - 2))``; the mean
    is ``mu``, NaN for df <= 1; the variance is infinite for df <= 2. R: ``MASS::fitdistr(y, "t")`` with
    ``m, s, df``; scipy: ``scipy.stats.t(df, loc=mu, scale=sigma)``.

    On responses with tails no heavier than the Normal's, the likelihood rises as df goes to infinity, where the t is
    the Normal: the status then says that the estimates run off to infinity. The estimate is a local maximum: with df
    next to zero, the likelihood has no bound as sigma goes to zero about as many rows as there are coefficients
    (Fernandez and Steel 1999), and no method looks there.
    Links of ``mu``: identity, log, inverse. Links of ``sigma`` and ``df``: log, identity, inverse, softplus, sqrt.

    Examples
    --------
    >>> import numpy as np
    >>> StudentT().logpdf(np.array([0.0, 2.0]), 0.0, 1.0, 4.0).round(4).tolist()
    [-0.9808, -2.7137]
    """

    params = {"mu": identity, "sigma": log, "df": log}
    shifts = 1
    links_for = {"mu": ("identity", "log", "inverse"), "sigma": POSITIVE_LINKS, "df": POSITIVE_LINKS}
    support_text = "a finite number"

    def limit(self) -> tuple[str, float, GenericLikelihood]:
        return "df", np.inf, Normal(mu=self.links["mu"], sigma=self.links["sigma"])

    def logpdf(self, y: Array, mu: Array, sigma: Array, df: Array) -> Array:
        df = _finite(df)
        return half_step(0.5 * df) - _HALF_LOG_2PI - np.log(sigma) - 0.5 * (df + 1) * _log1p_ratio((y - mu) / sigma, df)

    def linear_rows(self, y: Array, *eta: Array, order: int = 2) -> Rows:
        """Rows through the logs of sigma and df: with w = z**2 / df, no difference of terms in df is left to cancel."""
        location, scale, shape = self.links.values()
        log_sigma, precision, of_sigma = log_parameter(scale, eta[1])
        _, share, of_df = log_parameter(shape, eta[2])  # share: 1 / df
        df = _finite(shape.inverse(eta[2]))
        z = (y - location.inverse(eta[0])) * precision
        k0, k1, k2 = half_step_rows(0.5 * df, order)
        value = k0 - _HALF_LOG_2PI - log_sigma - 0.5 * (df + 1) * _log1p_ratio(z, df)
        if order == 0:
            return Rows(value, None, None)
        root = np.sqrt(df)
        u = z / root
        inner = np.abs(u) < 1
        small, outer = np.where(inner, u * u, 1.0), np.where(inner, 1.0, u)  # neither overflows when it is squared
        reciprocal = 1 / outer
        b = np.where(inner, small / (1 + small), 1 / (1 + reciprocal * reciprocal))  # w / (1 + w)
        c = np.where(inner, 1 / (1 + small), reciprocal / (outer + reciprocal))  # 1 / (1 + w)
        drawn = np.where(inner, z * c, root / (outer + reciprocal))  # z / (1 + w)
        # log(1 + w) - w / (1 + w), which for small w is w**2 / 2
        gap = np.where(inner, small * small / (1 + small) - excess(small), _log1p_ratio(z, df) - b)
        pull = (1 + share) * drawn  # -q'(z)
        grad = [pull * precision, (1 + share) * drawn * z - 1, k1 + 0.5 * (b - df * gap)]
        if order == 1:
            return through_links(value, grad, [], self._outer(eta[0], of_sigma, of_df), 1)
        bend = drawn * (share * c - b)  # d q'(z) / d log df
        hess = [
            [(1 + share) * (b - c) * c * precision * precision],
            [-2 * pull * c * precision, -2 * pull * drawn],
            [-bend * precision, -z * bend, k1 + k2 + 0.5 * (df * (b * b - gap) - b * c)],
        ]
        return through_links(value, grad, hess, self._outer(eta[0], of_sigma, of_df), 2)

    def _outer(self, eta: Array, of_sigma: Any, of_df: Any) -> tuple[Any, Any, Any]:
        location = self.links["mu"]
        return None if location == identity else location.slopes(eta), of_sigma, of_df

    def information(self, *eta: Array) -> Array:
        """Lange, Little and Taylor (1989), in (mu / sigma, log sigma, log df)."""
        _, precision, of_sigma = log_parameter(self.links["sigma"], eta[1])
        _, e, of_df = log_parameter(self.links["df"], eta[2])  # 1 / df
        df = _finite(self.links["df"].inverse(eta[2]))
        e = np.maximum(e, 1 / _NORMAL)
        zero = 0 * (eta[0] + eta[1] + eta[2])
        unit = precision + zero
        three = 1 + 3 * e
        # 1 / (2 df) is taken out of both parts of the last entry, which is of the order of 1 / df**2.
        last = 0.5 * (7 + 3 * e) / ((1 / e + 1) * (1 / e + 3)) - half_step_bend(0.5 * df)
        hess = [
            [(1 + e) / three * unit * unit],
            [zero, 2 / three + zero],
            [zero, -2 / ((1 / e + 1) * three) + zero, last + zero],
        ]
        return information_through_links(hess, self._outer(eta[0], of_sigma, of_df))

    def third_moments(self, *eta: Array) -> Array:
        """By integration, once for each number of degrees of freedom."""
        _, precision, of_sigma = log_parameter(self.links["sigma"], eta[1])
        zero = np.zeros(np.shape(eta[0]))
        log_df, _, of_df = log_parameter(self.links["df"], eta[2])
        information, third = integrated_moments(StudentT(), zero, zero, log_df)
        return scaled_through_links(third, information, precision + zero, self._outer(eta[0], of_sigma, of_df))

    def cdf(self, y: Array, mu: Array, sigma: Array, df: Array) -> Array:
        z = (y - mu) / sigma
        far = np.abs(z) > 1e150  # there stdtr squares z to infinity
        if not np.any(far):
            return _below(z, df)
        tail = np.exp(_log_tail(-np.abs(z), df))
        return np.where(far, np.where(z < 0, tail, 1 - tail), _below(z, df))

    def logcdf(self, y: Array, mu: Array, sigma: Array, df: Array) -> Array:
        return _log_below((y - mu) / sigma, df)

    def logsf(self, y: Array, mu: Array, sigma: Array, df: Array) -> Array:
        return _log_below((mu - y) / sigma, df)

    def ppf(self, share: Array, mu: Array, sigma: Array, df: Array) -> Array:
        return mu + sigma * _quantile(np.asarray(share, dtype=float), np.asarray(df, dtype=float))

    def rvs(self, mu: Array, sigma: Array, df: Array, *, rng: np.random.Generator) -> Array:
        return mu + sigma * rng.standard_t(_finite(df), size=np.broadcast_shapes(*map(np.shape, (mu, sigma, df))))

    def mean(self, mu: Array, sigma: Array, df: Array) -> Array:
        return np.where(df > 1, 1.0, np.nan) * mu + 0 * sigma  # its derivatives are NaN as well

    def variance(self, mu: Array, sigma: Array, df: Array) -> Array:
        with np.errstate(divide="ignore", invalid="ignore"):
            finite = sigma**2 / (1 - 2 / df) + 0 * mu
        return np.where(df > 2, finite, np.where(df > 1, np.inf, np.nan))

    def start(self, y: Array, weight: Array) -> tuple[Array, ...]:
        """Start from ``y`` drawn in towards its median, with the best of a few df and their scales."""
        centre = np.median(y)
        low, high = np.quantile(y, [0.25, 0.75])
        half = 0.5 * float(high - low) or deviation(y, weight)
        drawn = np.clip(y, centre - 5 * half, centre + 5 * half)
        used = y[:: max(1, y.size // 500)]

        def likelihood(pair: Array) -> float:
            return float(np.sum(self.logpdf(used, centre, pair[0], pair[1])))

        pairs = [np.array([half / special.stdtrit(df, 0.75), df]) for df in (0.5, 1.0, 2.0, 4.0, 8.0, 30.0)]
        sigma, df = max(pairs, key=likelihood)
        scale, shape = (self.links[n].forward(np.float64(v)) for n, v in (("sigma", sigma), ("df", df)))
        return location_start(self, drawn, centre, half), np.asarray(scale), np.asarray(shape)


def _finite(df: Array) -> Array:
    """Degrees of freedom that are infinite as a number at which the distribution is the normal to all digits."""
    return np.minimum(df, _NORMAL)


def _log1p_ratio(z: Array, df: Array) -> Array:
    """``log(1 + z**2 / df)``, also where the square overflows."""
    u = z / np.sqrt(df)
    far = np.abs(u) > 1e8
    near = np.where(far, 0.0, u)  # not its size, whose second derivative at 0 jets do not know
    return np.where(far, 2 * np.log(np.where(far, np.abs(u), 1.0)), np.log1p(near * near))


def _below(z: Array, df: Array) -> Array:
    """``P(Z < z)``; near 0, where stdtr loses z, by the Taylor series of the density."""
    df = _finite(df)
    a = 0.5 * (df + 1)
    near = np.abs(z) * np.sqrt(1 + 1 / df) < 0.1
    if not np.any(near):
        return special.stdtr(df, z)
    w = np.where(near, z, 0.0) ** 2 / df
    series = np.zeros_like(w)
    for k in range(8, 0, -1):
        series = (a + k - 1) / k * -w * (1 / (2 * k + 1) + series)
    middle = 0.5 + z * np.exp(half_step(0.5 * df) - _HALF_LOG_2PI) * (1 + series)
    return np.where(near, middle, special.stdtr(df, z))


def _log_below(z: Array, df: Array) -> Array:
    """``log P(Z < z)``."""
    tail = _log_tail(-np.abs(z), df)
    return np.where(z < 0, tail, np.log1p(-np.exp(tail)))


def _log_tail(z: Array, df: Array) -> Array:
    """``log P(Z < z)`` for z < 0; where it is about to underflow by a continued fraction."""
    if np.all(df >= _NORMAL):
        return special.log_ndtr(z)
    tail = _below(z, df)
    tiny = tail < TINY
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        if not np.any(tiny):
            return np.log(tail)
        a, u = 0.5 * df, np.abs(z) / np.sqrt(df)
        x, less = 1 / (1 + u * u), 1 / (1 + (1 / u) ** 2)
        outer = incomplete_beta_fraction(a, 0.5, x, less)
        log_beta = 0.5 * np.log(np.pi * a) - half_step(a)  # of a B(a, 1/2)
        far = 0.5 * np.log(less) - a * _log1p_ratio(z, df) - log_beta - np.log(outer) - np.log(2)
        return np.where(tiny, far, np.log(tail))


def _quantile(share: Array, df: Array) -> Array:
    """Quantile of the standard t; far out, where stdtrit gives up, by the leading term of the tail."""
    tail = np.minimum(share, 1 - share)
    a = 0.5 * df
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        log_x = (np.log(2 * tail) + 0.5 * np.log(np.pi * a) - half_step(a)) / a
        far = np.sign(share - 0.5) * np.exp(0.5 * (np.log(df) - log_x))
        return np.where(log_x < -40, far, special.stdtrit(df, share))
