"""Losses of the error y - yhat: squared, absolute, and between the two."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from mlekit.families import AsymmetricLaplace, HuberNormal, Laplace, Normal
from mlekit.links import UNIT, Array
from mlekit.losses.base import Loss, Relation, Terms, number
from mlekit.losses.minimum import average, binary_scale, huber_centre, quantile


@dataclass(frozen=True)
class MSE(Loss):
    """Mean squared error, ``mean((y - yhat)**2)``.

    The negative log-likelihood of the Normal distribution with a known sigma, up to a factor and a constant.
    scikit-learn: ``mean_squared_error``; PyTorch: ``MSELoss``.

    Examples
    --------
    >>> MSE().value([158, 160, 165, 168], 162.75)
    15.6875
    >>> MSE().gradient([1.0, 2.0], [1.5, 2.0]).tolist()
    [0.5, 0.0]
    >>> MSE().constant_minimiser([158, 160, 165, 168]), MSE().likelihood
    (162.75, Normal())
    """

    name = "mse"
    formula = "r^2"
    minimiser = "mean"

    def terms(self, y: Array, yhat: Array, order: int = 1) -> Terms:
        """Squared errors with their derivatives; unchecked."""
        error = yhat - y
        slope = 2 * error if order else None
        return Terms(error * error, slope, np.full_like(error, 2.0) if order == 2 else None)

    def _gradient(self, y: Array, yhat: Array) -> Array:
        return (yhat - y) / (0.5 * y.size)  # twice the error might overflow

    def constant_minimiser(self, y: Any) -> float:
        """Return the mean of y."""
        return average(self.responses(y))

    @property
    def likelihood(self) -> Normal:
        """The Normal distribution."""
        return Normal()

    def relation(self, sigma: float = 1.0) -> Relation:  # type: ignore[override]
        """``mse = 2 sigma^2 nll - sigma^2 log(2 pi sigma^2)``."""
        sigma = number(sigma, "sigma")
        a, b = 2 * sigma**2, -(sigma**2) * (np.log(2 * np.pi) + 2 * np.log(sigma))
        return Relation(self.likelihood, {"sigma": sigma}, a, float(b), ("2 sigma^2", "-sigma^2 log(2 pi sigma^2)"))


@dataclass(frozen=True)
class RMSE(Loss):
    """Root mean squared error, ``sqrt(mean((y - yhat)**2))``.

    It has the unit of y, and reads as the size of a typical error. As a number it rises less with an outlier than MSE;
    its minimum is where that of MSE is, so an estimate is pulled away as far. No single error pulls with more than
    ``1/sqrt(n)``, but that is a matter of the step length: compared with the pulls of the other rows it grows without
    bound. scikit-learn: ``root_mean_squared_error``.

    Examples
    --------
    >>> round(RMSE().value([158, 160, 165, 168], 162.75), 6)
    3.960745
    >>> RMSE().gradient([3.0, 4.0], [0.0, 0.0]).round(6).tolist()
    [-0.424264, -0.565685]
    >>> RMSE().value([1e200, -1e200], 0.0)
    1e+200
    """

    name = "rmse"
    formula = "sqrt(mean of r^2)"
    minimiser = "mean"
    # PyTorch gives NaN there: the slope of its square root, infinity, times 0.
    kink = "where every error is 0: the subgradient 0 is returned"
    why_none = (
        "the root of a mean is not a sum over rows, so exp(-n rmse) is no product of densities. Its minimiser is that "
        "of mse, and n log(rmse) is, up to a constant, the Normal's negative log-likelihood with sigma at its best for "
        "each mean: use mse"
    )

    def terms(self, y: Array, yhat: Array, order: int = 1) -> Terms:
        """Raise: there is no loss of one row."""
        raise TypeError("rmse is no mean over rows, and has no terms: use those of mse")

    def rows(self, y: Any, yhat: Any) -> None:
        """Return None: the root of a mean is no mean over rows."""
        self.checked(y, yhat)

    def constant_minimiser(self, y: Any) -> float:
        """Return the mean of y, as MSE does: the root keeps the order of values."""
        return average(self.responses(y))

    def _value(self, y: Array, yhat: Array) -> float:
        _, root, scale = self._scaled(y, yhat)
        return root * scale

    def _gradient(self, y: Array, yhat: Array) -> Array:
        error, root, _ = self._scaled(y, yhat)
        return error / (y.size * root) if root else np.zeros_like(error)

    def _parts(self, y: Array, yhat: Array) -> Array:
        return np.abs(yhat - y)

    def _scaled(self, y: Array, yhat: Array) -> tuple[Array, float, float]:
        """Errors and the root of their mean square, both over a scale, so that no square over- or underflows."""
        error, unit = yhat - y, 1.0
        if np.isinf(error).any():
            error, unit = yhat / 4 - y / 4, 4.0
        scale = binary_scale(error)
        error = error / scale * unit
        return error, float(np.sqrt(np.mean(error * error))), scale


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
        return quantile(self.responses(y), 0.5)

    @property
    def likelihood(self) -> Laplace:
        """The Laplace distribution."""
        return Laplace()

    def relation(self, b: float = 1.0) -> Relation:  # type: ignore[override]
        """``mae = b nll - b log(2 b)``."""
        b = number(b, "b")
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
        object.__setattr__(self, "q", number(self.q, "q of the pinball loss, the level of a quantile,", UNIT))

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
        return quantile(self.responses(y), self.q)

    @property
    def likelihood(self) -> AsymmetricLaplace:
        """The asymmetric Laplace distribution with the same q."""
        return AsymmetricLaplace(q=self.q)

    def relation(self, b: float = 1.0) -> Relation:  # type: ignore[override]
        """``pinball = b nll + b log(q (1 - q) / b)``."""
        b, q = number(b, "b"), self.q
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
        object.__setattr__(self, "delta", number(self.delta, "delta of the Huber loss"))

    def terms(self, y: Array, yhat: Array, order: int = 1) -> Terms:
        """Huber losses with their derivatives; unchecked."""
        error = yhat - y
        slope = np.clip(error, -self.delta, self.delta)
        # Where delta is reached, the derivative from within: PyTorch's, too.
        bend = np.where(np.abs(error) <= self.delta, 1.0, 0.0) if order == 2 else None
        return Terms(slope * (error - 0.5 * slope), slope if order else None, bend)

    def constant_minimiser(self, y: Any) -> float:
        """Return the point at which the pulls of all rows balance; of an interval of such points, the median."""
        return huber_centre(self.responses(y), self.delta)

    def rescaled(self, factor: float) -> "Huber":
        """Return the loss with ``delta`` in the new unit."""
        return Huber(self.delta * factor)

    @property
    def likelihood(self) -> HuberNormal:
        """Huber's distribution with the same corner, for sigma = 1."""
        return HuberNormal(k=self.delta)

    def relation(self, sigma: float = 1.0) -> Relation:  # type: ignore[override]
        """``huber = sigma^2 nll - sigma^2 log(sigma C)`` with k = delta / sigma and the constant C of the density."""
        sigma = number(sigma, "sigma")
        family = HuberNormal(k=self.delta / sigma)
        peak = float(family.logpdf(np.zeros(1), np.zeros(1), np.full(1, sigma))[0])
        return Relation(family, {"sigma": sigma}, sigma**2, sigma**2 * peak, ("sigma^2", "-sigma^2 log(sigma C)"))
