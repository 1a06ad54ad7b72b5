"""Losses that grow as the absolute error: no row pulls without bound."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from mlekit.families import AsymmetricLaplace, HuberNormal, Laplace
from mlekit.links import Array
from mlekit.losses.base import Loss, Relation, Terms, binary_scale, positive


@dataclass(frozen=True)
class MAE(Loss):
    """Mean absolute error, ``mean(|y - yhat|)``.

    The negative log-likelihood of the Laplace distribution with a known b, up to a factor and a constant. scikit-learn:
    ``mean_absolute_error``; PyTorch: ``L1Loss``.

    Examples
    --------
    >>> MAE().value([158, 160, 165, 168], [160, 160, 164, 163])
    2.0
    >>> MAE().gradient([158, 160, 165, 168], [160, 160, 164, 163]).tolist()
    [0.25, 0.0, -0.25, -0.25]
    >>> MAE().constant_minimiser([158, 160, 165, 1680]), MAE().likelihood
    (162.5, Laplace())
    """

    name = "mae"
    formula = "|r|"
    minimiser = "median"
    kink = "at yhat = y: the subgradient 0 is returned, as PyTorch's"

    def terms(self, y: Array, yhat: Array, order: int = 1) -> Terms:
        """Absolute errors with their derivatives; unchecked."""
        error = yhat - y
        return Terms(np.abs(error), np.sign(error) if order else None, np.zeros_like(error) if order == 2 else None)

    def constant_minimiser(self, y: Any) -> float:
        """Return the median of y; of an even number of rows, half-way between the middle two, which are as good."""
        return _quantile(self.responses(y), 0.5)

    @property
    def likelihood(self) -> Laplace:
        """The Laplace distribution."""
        return Laplace()

    def relation(self, b: float = 1.0) -> Relation:  # type: ignore[override]
        """``mae = b nll - b log(2 b)``."""
        b = positive(b, "b")
        return Relation(self.likelihood, {"b": b}, b, float(-b * np.log(2 * b)), ("b", "-b log(2 b)"))


@dataclass(frozen=True)
class Pinball(Loss):
    """Pinball loss, ``mean(q max(r, 0) + (1 - q) max(-r, 0))`` with ``r = y - yhat``; quantile loss, check loss.

    The negative log-likelihood of the asymmetric Laplace distribution with a known b, up to a factor and a constant
    (Koenker and Machado 1999). With q = 0.5 it is half the MAE. scikit-learn: ``mean_pinball_loss(alpha=q)``.

    Parameters
    ----------
    q : float
        Level of the quantile that is predicted, between 0 and 1; 0.5 if nothing is said.

    Examples
    --------
    >>> Pinball(0.75).value([1.0, 2.0], [0.0, 4.0])
    0.625
    >>> Pinball(0.75).constant_minimiser([1, 2, 3, 4, 5]), Pinball(0.75).likelihood
    (4.0, AsymmetricLaplace(q=0.75))
    """

    q: float = 0.5

    name = "pinball"
    formula = "q max(r, 0) + (1 - q) max(-r, 0)"
    kink = "at yhat = y: the subgradient 0 is returned"

    def __post_init__(self) -> None:
        q = positive(self.q, "q of the pinball loss")
        if q >= 1:
            raise ValueError(f"q of the pinball loss is the level of a quantile: between 0 and 1, not {self.q!r}")
        object.__setattr__(self, "q", q)

    @property
    def minimiser(self) -> str:  # type: ignore[override]
        """Name of the constant with the smallest loss."""
        return "median" if self.q == 0.5 else f"quantile at {self.q:g}"

    def terms(self, y: Array, yhat: Array, order: int = 1) -> Terms:
        """Pinball losses with their derivatives; unchecked."""
        error = yhat - y
        slope = np.where(error < 0, -self.q, np.where(error > 0, 1 - self.q, 0.0))
        return Terms(slope * error, slope if order else None, np.zeros_like(error) if order == 2 else None)

    def constant_minimiser(self, y: Any) -> float:
        """Return the quantile of y at q; where two neighbours and all between are as good, half-way."""
        return _quantile(self.responses(y), self.q)

    @property
    def likelihood(self) -> AsymmetricLaplace:
        """The asymmetric Laplace distribution with the same q."""
        return AsymmetricLaplace(q=self.q)

    def relation(self, b: float = 1.0) -> Relation:  # type: ignore[override]
        """``pinball = b nll + b log(q (1 - q) / b)``."""
        b, q = positive(b, "b"), self.q
        offset = b * (np.log(q) + np.log1p(-q) - np.log(b))
        return Relation(self.likelihood, {"b": b}, b, float(offset), ("b", "b log(q (1 - q) / b)"))


@dataclass(frozen=True)
class Huber(Loss):
    """Huber loss: half the squared error up to ``delta``, ``delta (|r| - delta / 2)`` beyond.

    The negative log-likelihood of Huber's distribution, Normal in the centre with exponential tails, up to a factor
    and a constant (Huber 1964). PyTorch: ``HuberLoss``; ``scipy.special.huber``.

    Parameters
    ----------
    delta : float
        Error from which on a row pulls no harder, in the unit of y; 1 if nothing is said.

    Examples
    --------
    >>> Huber(delta=2.0).value([1.0, 5.0], [0.0, 0.0])
    4.25
    >>> Huber(delta=2.0).gradient([1.0, 5.0], [0.0, 0.0]).tolist()
    [-0.5, -1.0]
    >>> Huber(delta=2.0).constant_minimiser([0, 1, 2, 100]), Huber(delta=2.0).likelihood
    (1.6666666666666667, HuberNormal(k=2.0))
    """

    delta: float = 1.0

    name = "huber"
    formula = "r^2 / 2 for |r| <= delta, delta (|r| - delta / 2) beyond"
    minimiser = "Huber's M-estimate"

    def __post_init__(self) -> None:
        object.__setattr__(self, "delta", positive(self.delta, "delta of the Huber loss"))

    def terms(self, y: Array, yhat: Array, order: int = 1) -> Terms:
        """Huber losses with their derivatives; unchecked."""
        error = yhat - y
        slope = np.clip(error, -self.delta, self.delta)
        # Where delta is reached, the derivative from within: PyTorch's, too.
        bend = np.where(np.abs(error) <= self.delta, 1.0, 0.0) if order == 2 else None
        return Terms(slope * (error - 0.5 * slope), slope if order else None, bend)

    def constant_minimiser(self, y: Any) -> float:
        """Return the point at which the pulls of all rows balance; of an interval of such points, the median."""
        y = self.responses(y)
        scale = binary_scale(y)
        return _balance(np.sort(y / scale), self.delta / scale) * scale

    def rescaled(self, factor: float) -> "Huber":
        """Return the loss with ``delta`` in the new unit."""
        return Huber(self.delta * factor)

    @property
    def likelihood(self) -> HuberNormal:
        """Huber's distribution with the same corner, for sigma = 1."""
        return HuberNormal(k=self.delta)

    def relation(self, sigma: float = 1.0) -> Relation:  # type: ignore[override]
        """``huber = sigma^2 nll - sigma^2 log(sigma C)`` with k = delta / sigma and the constant C of the density."""
        sigma = positive(sigma, "sigma")
        family = HuberNormal(k=self.delta / sigma)
        peak = float(family.logpdf(np.zeros(1), np.zeros(1), np.full(1, sigma))[0])
        return Relation(family, {"sigma": sigma}, sigma**2, sigma**2 * peak, ("sigma^2", "-sigma^2 log(sigma C)"))


def _balance(y: Array, delta: float) -> float:
    """Zero of the sum of ``clip(y - centre, -delta, delta)``, for sorted y: falling, and straight between its knots."""
    half = y.size // 2
    if y.size % 2 == 0 and y[half] - y[half - 1] >= 2 * delta:  # it is zero all the way between two knots
        return _quantile(y, 0.5)
    knots = np.unique(np.concatenate([y - delta, y + delta]))
    low, high = 0, knots.size - 1
    while high - low > 1:
        middle = (low + high) // 2
        if np.clip(y - knots[middle], -delta, delta).sum() > 0:
            low = middle
        else:
            high = middle
    between = 0.5 * (knots[low] + knots[high])
    above, below = y - between >= delta, between - y >= delta
    inside = ~(above | below)
    if not inside.any():  # delta is lost in the rounding of y
        return _quantile(y, 0.5)
    return float((y[inside].sum() + delta * (int(above.sum()) - int(below.sum()))) / inside.sum())


def _quantile(y: Array, q: float) -> float:
    """Middle of the points at which at least q of the rows are not above, and at least 1 - q not below."""
    scale = binary_scale(y)  # the middle of two large numbers would overflow
    return float(np.quantile(y / scale, q, method="averaged_inverted_cdf")) * scale
