"""Randomised quantile residuals: standard normal where the model is right, for any family (Dunn and Smyth 1996)."""

from typing import Any

import numpy as np
from scipy import special

from mlekit.diagnostics import NotGiven, thetas
from mlekit.families.base import GenericLikelihood
from mlekit.families.bernoulli import Bernoulli
from mlekit.families.binomial import Binomial
from mlekit.families.categorical import Categorical
from mlekit.families.censored import Censored
from mlekit.families.incomplete import TINY, incomplete_beta_fraction
from mlekit.links import Array

_STEPS = 2**53


def quantile_residuals(family: GenericLikelihood, y: Array, eta: tuple[Array, ...], seed: Any) -> Array:
    """Standard normal quantiles of the distribution function at the responses, ``(n,)``.

    Of a continuous response it is ``norm.ppf(F(y))``. Of a whole number the share is drawn uniformly between
    ``F(y - 1)`` and ``F(y)``, and of a censored one between those of the ends of its range. The smaller tail is taken,
    in logarithms, so that a residual of 30 has all its digits.

    Raises
    ------
    NotGiven
        If levels have no order.

    Examples
    --------
    >>> from mlekit.families import Normal
    >>> quantile_residuals(Normal(), np.array([1.0, 31.0]), (np.ones(2), np.zeros(2)), 0).round(9).tolist()
    [0.0, 30.0]
    """
    with np.errstate(all="ignore"):  # linear predictors may be infinite
        log_f, log_s = _tails(family, np.asarray(y, dtype=float), eta)
    n = log_f.shape[1]
    # Never 0 or 1: those have no finite quantile.
    share = (np.random.default_rng(seed).integers(_STEPS, size=n) + 0.5) / _STEPS
    with np.errstate(all="ignore"):
        low = log_f[1] <= log_s[0]
        far, near = np.where(low, log_f, log_s[::-1])
        drawn = near + np.log(share + (1 - share) * np.exp(np.where(far == -np.inf, -np.inf, far - near)))
        # One number, and not a range, has nothing to draw.
        size = special.ndtri_exp(np.where(far == near, near, drawn))
    return np.where(low, size, -size)


def _tails(family: GenericLikelihood, y: Array, eta: tuple[Array, ...]) -> tuple[Array, Array]:
    """``log P(Y <= end)`` and ``log P(Y > end)`` of both ends of what is known of each response, ``(2, n)`` each."""
    name = type(family).__name__
    if isinstance(family, Categorical) and not family.is_ordered:
        raise NotGiven(
            f"the levels of {name} have no order, so a response has no share below it and no quantile residual"
        )
    if isinstance(family, Bernoulli | Binomial):
        counts = y if y.ndim == 2 else np.column_stack([y, 1 - y])
        return _binomial_tails(Bernoulli(**family.links), counts[:, 0], counts.sum(axis=1), eta[0])
    if isinstance(family, Censored):
        exact = y[:, 0] == y[:, 1]
        ends = np.where(exact & family.discrete, y[:, 0] - 1, y[:, 0]), y[:, 1]
        family = family.inner
    elif family.response_columns:
        raise NotGiven(f"a response of {name} has {len(family.response_columns)} columns, and no quantile residual")
    else:
        ends = y - float(family.discrete), y
    theta = thetas(family, eta)
    found = np.array([[_log_tail(family, end, theta, above) for end in ends] for above in (False, True)])
    return found[0], found[1]


def _log_tail(family: GenericLikelihood, end: Array, theta: tuple[Array, ...], above: bool) -> Array:
    """``log P(Y <= end)``, or above, where the end may be infinite."""
    found = np.where((end > 0) == above, -np.inf, 0.0)
    some = np.isfinite(end)
    if some.any():
        with np.errstate(all="ignore"):
            function = family.logsf if above else family.logcdf
            found[some] = function(end[some], *(t[some] for t in theta))
    return found


def _binomial_tails(family: Bernoulli, successes: Array, trials: Array, eta: Array) -> tuple[Array, Array]:
    """Tails at one success less and at those that there were, by the logarithms of p and of 1 - p."""
    log_p, log_q = (family.linear_rows(np.full(eta.shape, outcome), eta, order=0).value for outcome in (1.0, 0.0))
    ends = successes - 1, successes
    # I_p(a, b) = P(Y >= a) and I_q(b, a) = P(Y < a), with b = n + 1 - a.
    below = [_log_beta(trials - end, end + 1, log_q, log_p) for end in ends]
    above = [_log_beta(end + 1, trials - end, log_p, log_q) for end in ends]
    return np.array(below), np.array(above)


def _log_beta(a: Array, b: Array, log_x: Array, log_less: Array) -> Array:
    """``log I_x(a, b)``; the share is 1 where ``a`` is 0, and 0 where ``b`` is."""
    with np.errstate(all="ignore"):
        x, less = np.exp(log_x), np.exp(log_less)
        first, second = np.maximum(a, 1.0), np.maximum(b, 1.0)
        plain = special.betainc(first, second, x)
        fraction = incomplete_beta_fraction(first, second, x, less)
        far = first * log_x + second * log_less - np.log(first) - special.betaln(first, second) - np.log(fraction)
        # A share near 1 has its digits in the other tail.
        near = np.log1p(-special.betainc(second, first, less))
        found = np.where(plain < TINY, far, np.where(plain > 0.5, near, np.log(plain)))
    return np.where(a <= 0, 0.0, np.where(b <= 0, -np.inf, found))
