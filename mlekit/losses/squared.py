"""Losses of the squared error: the mean, and its root."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from mlekit.families import Normal
from mlekit.links import Array
from mlekit.losses.base import Loss, Relation, Terms, average, binary_scale, positive


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
        sigma = positive(sigma, "sigma")
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
