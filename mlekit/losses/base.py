"""What every loss is: a number for predictions, its gradient, and the facts about it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pandas as pd

from mlekit.families import GenericLikelihood
from mlekit.links import REAL, Array
from mlekit.losses.sensitivity import Sensitivity, degree, measure
from mlekit.messages import warn
from mlekit.sources import as_column, row_name


class Terms(NamedTuple):
    """Loss of each row and its first and second derivative in the row's prediction.

    Below order 2 ``bend`` is None, at order 0 ``slope`` too.
    """

    value: Array  # (n,)
    slope: Any  # (n,) or None
    bend: Any  # (n,) or None


@dataclass(frozen=True)
class Relation:
    """The affine relation of a loss to a likelihood: loss = a * nll + b, nll the mean of minus the log-density.

    Attributes
    ----------
    family : GenericLikelihood
    held : dict
        Values of the parameters of the family that are not the prediction.
    a, b : float
    formula : tuple of str
        The formulas of a and b.
    """

    family: GenericLikelihood
    held: Mapping[str, float]
    a: float
    b: float
    formula: tuple[str, str]


@dataclass(frozen=True)
class Loss:
    """A loss: how far predictions are from responses, as a mean over the rows.

    A subclass sets ``name`` and ``formula`` and defines ``terms`` and ``constant_minimiser``. Training does not go
    through ``gradient``, but through derivatives in the linear predictor, which are accurate where the prediction
    itself has rounded (a probability to 1).

    Attributes
    ----------
    name : str
        Key in :data:`mlekit.losses.LOSSES`.
    formula : str
        Loss of one row, r = y - yhat.
    kind : {"residual", "probability", "density"}
        What a row misses by: ``y - yhat``, the odds against what happened, or whatever the density says.
    kink : str
        Where there is no gradient, and what is returned there; empty if there is one everywhere.
    minimiser : str
        Name of the constant prediction with the smallest loss.
    why_none : str
        Why the loss is not a negative log-likelihood; empty if it is one.
    support_text, domain
        What y has to be, and the closed interval of a prediction.
    """

    name: ClassVar[str] = ""
    formula: ClassVar[str] = ""
    kind: ClassVar[str] = "residual"
    kink: ClassVar[str] = ""
    minimiser: ClassVar[str] = ""
    why_none: ClassVar[str] = ""
    support_text: ClassVar[str] = "a finite number"
    domain: ClassVar[tuple[float, float]] = REAL

    # ---------------------------------------------------------------- what a loss defines

    def terms(self, y: Array, yhat: Array, order: int = 1) -> Terms:
        """Loss of each row and its derivatives in the prediction, of ``(n,)`` arrays that nobody checks."""
        raise NotImplementedError(f"{type(self).__name__} must define terms")

    def constant_minimiser(self, y: Any) -> float:
        """Return the constant prediction with the smallest loss, in the unit of y."""
        raise NotImplementedError(f"{type(self).__name__} must define constant_minimiser")

    @property
    def likelihood(self) -> GenericLikelihood | None:
        """The family whose negative log-likelihood this is up to constants, or None (see ``why_none``)."""
        return None

    def relation(self, **held: float) -> Relation:
        """Return the affine relation to the likelihood, at given values of its other parameters (1 each by default).

        Raises
        ------
        ValueError
            If the loss is no likelihood, or a value is not positive.
        """
        reason = self.why_none or "its class defines no relation to a likelihood"
        raise ValueError(f"{self.name} is no negative log-likelihood: {reason}")

    def in_support(self, y: Array) -> Array:
        """Whether the loss is defined for each response, ``(n,)`` booleans."""
        return np.isfinite(y)

    def rescaled(self, factor: float) -> "Loss":
        """Return the loss for y in a unit that is ``factor`` times smaller: its own lengths grow by ``factor``."""
        return self

    def missed(self, size: float) -> tuple[float, float]:
        """Response and prediction of a row that misses by ``size``."""
        return size, 0.0

    # ---------------------------------------------------------------- what is asked of a loss

    def value(self, y: Any, yhat: Any) -> float:
        """Mean loss of the rows.

        Parameters
        ----------
        y : array_like, shape (n,)
            Responses.
        yhat : array_like, shape (n,), or float
            Predictions; a number is the same prediction for every row.

        Raises
        ------
        ValueError
            If shapes or indexes differ, there are no rows, or a number is missing, infinite or impossible; the message
            names the row.
        """
        y, yhat = self.checked(y, yhat)
        with np.errstate(all="ignore"):
            value = self._value(y, yhat)
            self._judge(np.asarray(value) if math.isfinite(value) else self._parts(y, yhat), y, yhat, self.name)
        if value == 0 and self.kind == "residual" and (y != yhat).any():
            self._warn_lost(self.name, "0", y, yhat)
        return value

    def gradient(self, y: Any, yhat: Any) -> Array:
        """Derivative of :meth:`value` in each prediction, ``(n,)``: it includes the 1/n of the mean.

        Parameters and errors are those of :meth:`value`. See ``kink`` for where it is not defined.
        """
        y, yhat = self.checked(y, yhat)
        with np.errstate(all="ignore"):
            gradient = self._gradient(y, yhat)
            self._judge(gradient, y, yhat, f"the gradient of {self.name}")
        return gradient

    def rows(self, y: Any, yhat: Any) -> Array | None:
        """Loss of each row, ``(n,)``, of which :meth:`value` is the mean; None if it is not a mean over rows.

        Parameters and errors are those of :meth:`value`.
        """
        y, yhat = self.checked(y, yhat)
        with np.errstate(all="ignore"):
            rows = self.terms(y, yhat, 0).value
            self._judge(rows, y, yhat, self.name)
        return rows

    def checked(self, y: Any, yhat: Any) -> tuple[Array, Array]:
        """Responses and predictions as two arrays of floats of one length, all of them possible."""
        observed = self.responses(y)
        if isinstance(y, pd.Series) and isinstance(yhat, pd.Series) and not y.index.equals(yhat.index):
            raise ValueError(
                "yhat has another index than y: align it (yhat.loc[y.index]), or pass its values (.to_numpy()) if the "
                "rows are in the same order"
            )
        predicted = _numbers(yhat, "yhat")
        if predicted.ndim == 0:
            predicted = np.full(observed.size, float(predicted))
        if predicted.size != observed.size:
            raise ValueError(
                f"y has {observed.size} rows and yhat has {predicted.size}: a loss needs a prediction for each row"
            )
        _refuse(~np.isfinite(predicted), predicted, "yhat", "a finite number (did the model diverge?)", yhat)
        low, high = self.domain
        if (low, high) != REAL:
            outside = (predicted < low) | (predicted > high)
            _refuse(outside, predicted, "yhat", f"between {low:g} and {high:g} for {self!r}", yhat)
        return observed, predicted

    def responses(self, y: Any) -> Array:
        """Responses as an array of floats, all of them possible; there is at least one."""
        observed = _numbers(y, "y")
        if observed.ndim == 0:
            raise ValueError(f"y is a single number, {y!r}: a loss needs a sequence of responses, [{y!r}]")
        if observed.size == 0:
            raise ValueError("y is empty: the mean loss of no rows is not defined")
        _refuse(~self.in_support(observed), observed, "y", f"{self.support_text} for {self!r}", y)
        return observed

    # ---------------------------------------------------------------- facts

    @property
    def label(self) -> str:
        """The name, or the loss as it is written where its options are not the default ones."""
        plain = all(getattr(self, option.name) == option.default for option in fields(self))
        return self.name if plain else repr(self)

    @property
    def sensitivity(self) -> Sensitivity:
        """How the loss weighs errors, measured on the loss itself."""
        return measure(self)

    @property
    def unit(self) -> str:
        """Unit of the loss, from how it grows when y and yhat do."""
        if self.kind != "residual":
            return "none (nats)"
        return {1: "that of y", 2: "that of y squared"}.get(degree(self) or 0, "no power of that of y")

    # ---------------------------------------------------------------- the generic path

    def _value(self, y: Array, yhat: Array) -> float:
        return average(self.terms(y, yhat, 0).value)

    def _gradient(self, y: Array, yhat: Array) -> Array:
        return self.terms(y, yhat, 1).slope / y.size

    def _parts(self, y: Array, yhat: Array) -> Array:
        """What :meth:`value` is made of, by row."""
        return self.terms(y, yhat, 0).value

    def _judge(self, found: Array, y: Array, yhat: Array, what: str) -> None:
        """Refuse what is not a number; warn of what is infinite though no prediction is at the end of its domain."""
        if np.isfinite(found).all():
            return
        if np.isnan(found).any():
            row = int(np.argmax(np.isnan(found)))
            raise ValueError(
                f"{what} is not a number in row {row}, where y is {y[row]:g} and yhat is {yhat[row]:g}: "
                f"{self!r} is not defined there"
            )
        low, high = self.domain
        if ((yhat > low) & (yhat < high))[np.isinf(found)].any():
            self._warn_lost(what, "infinity", y, yhat)

    def _warn_lost(self, what: str, instead: str, y: Array, yhat: Array) -> None:
        with np.errstate(over="ignore"):
            largest = float(np.abs(y - yhat).max())
        warn(
            f"{what} is beyond floating point, and {instead} stands for it: y and yhat differ by up to {largest:.3g}. "
            "Measure y in another unit",
            RuntimeWarning,
        )


def average(x: Array) -> float:
    """Mean of an array; where the sum alone would overflow, of the array scaled down."""
    with np.errstate(over="ignore", invalid="ignore"):
        mean = float(np.mean(x))
    if math.isfinite(mean) or not np.isfinite(x).all():
        return mean
    scale = binary_scale(x)
    return float(np.mean(x / scale)) * scale


def binary_scale(x: Array) -> float:
    """Return a power of two near the largest entry, by which to divide without rounding; 1 for zeros."""
    largest = float(np.abs(x).max())
    if largest == 0 or not math.isfinite(largest):
        return 1.0
    # Neither the scale nor its reciprocal may overflow.
    return math.ldexp(1.0, min(max(math.frexp(largest)[1], -1021), 1022))


def positive(value: Any, what: str) -> float:
    """Return a number as a float if it is positive and finite.

    Raises
    ------
    ValueError
        If it is not.
    """
    try:
        found = float(value)
    except (TypeError, ValueError):
        found = math.nan
    if isinstance(value, bool) or not 0 < found < math.inf:
        raise ValueError(f"{what} must be a positive number, not {value!r}")
    return found


def _numbers(values: Any, what: str) -> Array:
    """One number per row as an array of floats, or one number alone as an array without rows."""
    if isinstance(values, np.ndarray) and values.dtype == np.float64 and values.ndim == 1:
        return values
    if isinstance(values, int | float | np.number) or (isinstance(values, np.ndarray) and values.ndim == 0):
        return np.asarray(values, dtype=float)
    column = as_column(values)
    if isinstance(column, pd.Series) and pd.api.types.is_numeric_dtype(column.dtype) and column.dtype.kind != "c":
        return column.to_numpy(dtype=float, na_value=np.nan)
    shape = getattr(column, "shape", ())
    if len(shape) == 2:
        raise ValueError(
            f"{what} has shape {shape}, and must have one dimension: (n, 1) against (n,) would pair every row with "
            "every other. Use one column, or .ravel()"
        )
    found = f"{type(values).__name__} of {column.dtype}" if isinstance(column, pd.Series) else repr(values)[:60]
    raise ValueError(f"{what} must be numbers, one per row, not {found}")


def _refuse(bad: Array, values: Array, what: str, wanted: str, given: Any) -> None:
    """Raise for the first row of a mask, naming it by its label where there is one."""
    if not bad.any():
        return
    labels = given.index if isinstance(given, pd.Series) else pd.RangeIndex(values.size)
    raise ValueError(f"{what} is {values[bad][0]:g} in row {row_name(labels, bad)}: it must be {wanted}")
