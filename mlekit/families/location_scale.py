"""Families of a location and a scale: Student's t, logistic and Gumbel."""

from typing import Any, ClassVar

import numpy as np
from scipy import special

from mlekit.families.base import GenericLikelihood
from mlekit.families.incomplete import TINY, incomplete_beta_fraction
from mlekit.families.natural import POSITIVE_LINKS, information_through_links, log_parameter, through_links
from mlekit.families.stirling import excess, half_step, half_step_bend, half_step_rows
from mlekit.jets import Rows
from mlekit.links import Array, identity, log

_HALF_LOG_2PI = 0.5 * np.log(2 * np.pi)


class _LocationScale(GenericLikelihood):
    """``log f(y) = q(z) - log s`` with ``z = (y - mu) / s``."""

    support_text = "a finite number"
    #: Expected information of (mu / s, log s): its three entries.
    _information: ClassVar[tuple[float, float, float]]

    @staticmethod
    def _log_kernel(z: Array) -> Array:
        """``q(z)``, which jets can follow."""
        raise NotImplementedError

    @staticmethod
    def _slopes(z: Array) -> tuple[Array, Array]:
        """First and second derivative of q."""
        raise NotImplementedError

    def _density(self, y: Array, mu: Array, s: Array) -> Array:
        return self._log_kernel((y - mu) / s) - np.log(s)

    def linear_rows(self, y: Array, *eta: Array, order: int = 2) -> Rows:
        """Rows through log s, and with 1 / s taken into the derivatives in mu one factor at a time."""
        location, scale = self.links.values()
        log_s, precision, relative = log_parameter(scale, eta[1])
        z = (y - location.inverse(eta[0])) * precision
        value = self._log_kernel(z) - log_s
        if order == 0:
            return Rows(value, None, None)
        slopes = None if location == identity else location.slopes(eta[0])
        q1, q2 = self._slopes(z)
        grad = [-q1 * precision, -z * q1 - 1]
        hess = [[q2 * precision * precision], [(z * q2 + q1) * precision, z * (z * q2 + q1)]] if order == 2 else []
        return through_links(value, grad, hess, (slopes, relative), order)

    def information(self, *eta: Array) -> Array:
        location, scale = self.links.values()
        _, precision, relative = log_parameter(scale, eta[1])
        slopes = None if location == identity else location.slopes(eta[0])
        zero = 0 * (eta[0] + eta[1])
        first, cross, second = self._information
        unit = precision + zero
        return information_through_links([[first * unit * unit], [cross * unit, second + zero]], (slopes, relative))

    def scale_mle(self, y: Array, theta: Array, weight: Array) -> float:
        """Solve ``mean(-z q'(z)) = 1``, whose left side rises from 0 as the scale falls, by steps of log s."""
        residual = y - theta
        largest = float(np.max(np.abs(residual), initial=0.0))
        if largest in (0.0, np.inf):
            return largest
        z, t = residual / largest, 0.0
        for _ in range(200):
            scaled = z * np.exp(t)
            q1, q2 = self._slopes(scaled)
            gain = -scaled * q1
            mean = float(np.average(gain, weights=weight))
            slope = float(np.average(gain - scaled * scaled * q2, weights=weight))
            step = float(np.clip(-np.log(mean) * mean / slope, -1, 1))
            t += step
            if abs(step) < 1e-15 * max(1.0, abs(t)):
                break
        return largest * float(np.exp(-t))


class Logistic(_LocationScale):
    """Logistic distribution with mean ``mu`` (identity link) and scale ``s`` (log link).

    ``f(y) = exp(-z) / (s (1 + exp(-z))**2)`` with ``z = (y - mu) / s``; variance ``(pi s)**2 / 3``. R:
    ``dlogis(location = mu, scale = s)``, ``survreg(dist = "logistic")``, whose ``Log(scale)`` is the coefficient of
    ``s``; scipy: ``scipy.stats.logistic(loc=mu, scale=s)``.
    Links of ``mu``: identity, log, inverse. Links of ``s``: log, identity, inverse, softplus, sqrt.

    Examples
    --------
    >>> import numpy as np
    >>> Logistic().logpdf(np.array([0.0, 2.0]), 0.0, 1.0).round(4).tolist()
    [-1.3863, -2.2539]
    """

    params = {"mu": identity, "s": log}
    links_for = {"mu": ("identity", "log", "inverse"), "s": POSITIVE_LINKS}
    _information = (1 / 3, 0.0, (3 + np.pi**2) / 9)

    def logpdf(self, y: Array, mu: Array, s: Array) -> Array:
        return self._density(y, mu, s)

    @staticmethod
    def _log_kernel(z: Array) -> Array:
        size = np.abs(z)
        return -size - 2 * np.log1p(np.exp(-size))

    @staticmethod
    def _slopes(z: Array) -> tuple[Array, Array]:
        return -np.tanh(0.5 * z), -2 * special.expit(z) * special.expit(-z)

    def cdf(self, y: Array, mu: Array, s: Array) -> Array:
        return special.expit((y - mu) / s)

    def logcdf(self, y: Array, mu: Array, s: Array) -> Array:
        return special.log_expit((y - mu) / s)

    def logsf(self, y: Array, mu: Array, s: Array) -> Array:
        return special.log_expit((mu - y) / s)

    def ppf(self, share: Array, mu: Array, s: Array) -> Array:
        return mu + s * special.logit(share)

    def rvs(self, mu: Array, s: Array, *, rng: np.random.Generator) -> Array:
        return rng.logistic(mu, s)

    def mean(self, mu: Array, s: Array) -> Array:
        return mu

    def variance(self, mu: Array, s: Array) -> Array:
        return (np.pi * s) ** 2 / 3 + 0 * mu

    def start(self, y: Array, weight: Array) -> tuple[Array, ...]:
        """Start from ``y`` itself where the link allows it, with the spread of ``y``."""
        centre, s = np.average(y, weights=weight), self._spread(y, weight) * np.sqrt(3) / np.pi
        return _location_start(self, y, centre, s), np.asarray(self.links["s"].forward(np.float64(s)))

    @staticmethod
    def _spread(y: Array, weight: Array) -> float:
        return _deviation(y, weight)


class Gumbel(_LocationScale):
    """Gumbel distribution of maxima with mode ``mu`` (identity link) and scale ``beta`` (log link).

    ``f(y) = exp(-z - exp(-z)) / beta`` with ``z = (y - mu) / beta``; mean ``mu + 0.5772 beta``, variance
    ``(pi beta)**2 / 6``. Minima are maxima of ``-y``. R: ``evd::dgumbel(loc = mu, scale = beta)``,
    ``survreg(dist = "extreme")`` of ``-y``; scipy: ``scipy.stats.gumbel_r(loc=mu, scale=beta)``.
    Links of ``mu``: identity, log, inverse. Links of ``beta``: log, identity, inverse, softplus, sqrt.

    Examples
    --------
    >>> import numpy as np
    >>> Gumbel().logpdf(np.array([0.0, 2.0]), 0.0, 1.0).round(4).tolist()
    [-1.0, -2.1353]
    """

    params = {"mu": identity, "beta": log}
    links_for = {"mu": ("identity", "log", "inverse"), "beta": POSITIVE_LINKS}
    _information = (1.0, np.euler_gamma - 1, np.pi**2 / 6 + (1 - np.euler_gamma) ** 2)

    def logpdf(self, y: Array, mu: Array, beta: Array) -> Array:
        return self._density(y, mu, beta)

    @staticmethod
    def _log_kernel(z: Array) -> Array:
        return -z - np.exp(-z)

    @staticmethod
    def _slopes(z: Array) -> tuple[Array, Array]:
        return np.expm1(-z), -np.exp(-z)

    def cdf(self, y: Array, mu: Array, beta: Array) -> Array:
        return np.exp(-np.exp((mu - y) / beta))

    def logcdf(self, y: Array, mu: Array, beta: Array) -> Array:
        return -np.exp((mu - y) / beta)

    def logsf(self, y: Array, mu: Array, beta: Array) -> Array:
        return log_one_less_exp((mu - y) / beta)

    def ppf(self, share: Array, mu: Array, beta: Array) -> Array:
        return mu - beta * np.log(-np.log(share))

    def rvs(self, mu: Array, beta: Array, *, rng: np.random.Generator) -> Array:
        return rng.gumbel(mu, beta)

    def mean(self, mu: Array, beta: Array) -> Array:
        return mu + np.euler_gamma * beta

    def variance(self, mu: Array, beta: Array) -> Array:
        return (np.pi * beta) ** 2 / 6 + 0 * mu

    def start(self, y: Array, weight: Array) -> tuple[Array, ...]:
        """Start from ``y`` less the distance from mode to mean, with the spread of ``y``."""
        beta = _deviation(y, weight) * np.sqrt(6) / np.pi
        shift = np.euler_gamma * beta
        centre = np.average(y, weights=weight) - shift
        return _location_start(self, y - shift, centre, beta), np.asarray(self.links["beta"].forward(np.float64(beta)))


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
    links_for = {"mu": ("identity", "log", "inverse"), "sigma": POSITIVE_LINKS, "df": POSITIVE_LINKS}
    support_text = "a finite number"

    def logpdf(self, y: Array, mu: Array, sigma: Array, df: Array) -> Array:
        return half_step(0.5 * df) - _HALF_LOG_2PI - np.log(sigma) - 0.5 * (df + 1) * _log1p_ratio((y - mu) / sigma, df)

    def linear_rows(self, y: Array, *eta: Array, order: int = 2) -> Rows:
        """Rows through the logs of sigma and df: with w = z**2 / df, no difference of terms in df is left to cancel."""
        location, scale, shape = self.links.values()
        log_sigma, precision, of_sigma = log_parameter(scale, eta[1])
        _, share, of_df = log_parameter(shape, eta[2])  # share: 1 / df
        df = shape.inverse(eta[2])
        z = (y - location.inverse(eta[0])) * precision
        k0, k1, k2 = half_step_rows(0.5 * df, order)
        value = k0 - _HALF_LOG_2PI - log_sigma - 0.5 * (df + 1) * _log1p_ratio(z, df)
        if order == 0:
            return Rows(value, None, None)
        root = np.sqrt(df)
        u = z / root
        b, c = 1 / (1 + 1 / (u * u)), 1 / (1 + u * u)  # w / (1 + w), 1 / (1 + w)
        drawn = root / (u + 1 / u)  # z / (1 + w)
        # log(1 + w) - w / (1 + w), which for small w is w**2 / 2
        small = np.minimum(u * u, 1.0)
        gap = np.where(np.abs(u) < 1, small * small / (1 + small) - excess(small), _log1p_ratio(z, df) - b)
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
        df = self.links["df"].inverse(eta[2])
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

    def cdf(self, y: Array, mu: Array, sigma: Array, df: Array) -> Array:
        z = (y - mu) / sigma
        far = np.abs(z) > 1e150  # there stdtr squares z to infinity
        if not np.any(far):
            return special.stdtr(df, z)
        tail = np.exp(_log_tail(-np.abs(z), df))
        return np.where(far, np.where(z < 0, tail, 1 - tail), special.stdtr(df, z))

    def logcdf(self, y: Array, mu: Array, sigma: Array, df: Array) -> Array:
        return _log_below((y - mu) / sigma, df)

    def logsf(self, y: Array, mu: Array, sigma: Array, df: Array) -> Array:
        return _log_below((mu - y) / sigma, df)

    def ppf(self, share: Array, mu: Array, sigma: Array, df: Array) -> Array:
        return mu + sigma * _quantile(np.asarray(share, dtype=float), np.asarray(df, dtype=float))

    def rvs(self, mu: Array, sigma: Array, df: Array, *, rng: np.random.Generator) -> Array:
        return mu + sigma * rng.standard_t(df, size=np.broadcast_shapes(*map(np.shape, (mu, sigma, df))))

    def mean(self, mu: Array, sigma: Array, df: Array) -> Array:
        return np.where(df > 1, mu + 0 * sigma, np.nan)

    def variance(self, mu: Array, sigma: Array, df: Array) -> Array:
        with np.errstate(divide="ignore", invalid="ignore"):
            finite = sigma**2 / (1 - 2 / df) + 0 * mu
        return np.where(df > 2, finite, np.where(df > 1, np.inf, np.nan))

    def start(self, y: Array, weight: Array) -> tuple[Array, ...]:
        """Start from ``y`` drawn in towards its median, with the best of a few df and their scales."""
        centre = np.median(y)
        low, high = np.quantile(y, [0.25, 0.75])
        half = 0.5 * float(high - low) or _deviation(y, weight)
        drawn = np.clip(y, centre - 5 * half, centre + 5 * half)
        used = y[:: max(1, y.size // 500)]

        def likelihood(pair: Array) -> float:
            return float(np.sum(self.logpdf(used, centre, pair[0], pair[1])))

        pairs = [np.array([half / special.stdtrit(df, 0.75), df]) for df in (0.5, 1.0, 2.0, 4.0, 8.0, 30.0)]
        sigma, df = max(pairs, key=likelihood)
        scale, shape = (self.links[n].forward(np.float64(v)) for n, v in (("sigma", sigma), ("df", df)))
        return _location_start(self, drawn, centre, half), np.asarray(scale), np.asarray(shape)


def _log1p_ratio(z: Array, df: Array) -> Array:
    """``log(1 + z**2 / df)``, also where the square overflows."""
    u = np.abs(z) / np.sqrt(df)
    return np.where(u < 1e8, np.log1p(np.minimum(u, 1e8) ** 2), 2 * np.log(np.maximum(u, 1.0)))


def _log_below(z: Array, df: Array) -> Array:
    """``log P(Z < z)``."""
    tail = _log_tail(-np.abs(z), df)
    return np.where(z < 0, tail, np.log1p(-np.exp(tail)))


def _log_tail(z: Array, df: Array) -> Array:
    """``log P(Z < z)`` for z < 0; where it is about to underflow by a continued fraction."""
    tail = special.stdtr(df, z)
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


def log_one_less_exp(x: Array) -> Array:
    """``log(1 - exp(-exp(x)))``; jets can follow it.

    Examples
    --------
    >>> log_one_less_exp(np.array([-1000.0, 0.0])).round(4).tolist()
    [-1000.0, -0.4587]
    """
    e = np.exp(np.minimum(x, 700.0))
    near = x < 0
    return np.where(
        near, x + np.log(special.exprel(-np.where(near, e, 1.0))), np.log1p(-np.exp(-np.where(near, 1.0, e)))
    )


def _deviation(y: Array, weight: Array) -> float:
    """Standard deviation, without overflow; 1 where there is none."""
    residual = y - np.average(y, weights=weight)
    largest = float(np.max(np.abs(residual), initial=0.0))
    if largest in (0.0, np.inf):
        return 1.0
    return largest * float(np.sqrt(np.average((residual / largest) ** 2, weights=weight))) or 1.0


def _location_start(family: GenericLikelihood, y: Array, centre: float, spread: float) -> Array:
    """Linear predictor of a location at ``y`` itself where its link allows it."""
    link = family.links["mu"]
    if link.domain[0] == 0:
        y = np.where(y > 0, y, abs(centre) or spread)
    if link.name == "inverse":
        y = np.full_like(y, centre or spread)
    return np.asarray(link.forward(y))
