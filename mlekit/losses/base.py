"""What every loss is: a number for predictions, its gradient, and the facts about it."""

import decimal
import math
import numbers
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pandas as pd

from mlekit.families import GenericLikelihood
from mlekit.links import POSITIVE, REAL, Array
from mlekit.losses.facts import Sensitivity, degree, measure
from mlekit.losses.minimum import average, places, search
from mlekit.messages import warn
from mlekit.sources import as_column, row_name

# A loss is 0 only where errors are, or where they are so small that their squares vanish.
_VANISHING = 1e-100
#: Why a search for the smallest loss comes to nothing.
FALLS = "the loss falls up to the edge of the domain, or is finite nowhere"
_UNITS: dict[float, str] = {0: "none", 1: "that of y", 2: "that of y squared"}


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

    A subclass defines ``terms``, and has everything else: ``constant_minimiser`` by a search, sensitivity and unit by
    measuring. One with options is a frozen dataclass. Training does not go through ``gradient``, but through
    derivatives in the linear predictor, which are accurate where the prediction itself has rounded (a probability to
    1).

    Attributes
    ----------
    name : str
        Key in :data:`mlekit.losses.LOSSES`, and what tables and messages call the loss: the name of the class if
        nothing is said.
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

    Examples
    --------
    >>> @dataclass(frozen=True)
    ... class SmoothL1(Loss):
    ...     beta: float = 1.0
    ...     name = "smooth_l1"
    ...
    ...     def terms(self, y, yhat, order=1):
    ...         size = np.sqrt((yhat - y) ** 2 + self.beta**2)
    ...         return Terms(size - self.beta, (yhat - y) / size, self.beta**2 / size**3)
    >>> SmoothL1(beta=0.5).value([1.0, 2.0, 9.0], 2.0)
    2.378...
    >>> round(SmoothL1(beta=0.5).constant_minimiser([1.0, 2.0, 9.0]), 6)
    2.047682
    >>> SmoothL1().sensitivity.robust
    True
    """

    name: ClassVar[str] = ""
    formula: ClassVar[str] = ""
    kind: ClassVar[str] = "residual"
    kink: ClassVar[str] = ""
    minimiser: ClassVar[str] = "minimiser"
    why_none: ClassVar[str] = ""
    support_text: ClassVar[str] = "a finite number"
    domain: ClassVar[tuple[float, float]] = REAL

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.name = cls.name or cls.__name__

    # ---------------------------------------------------------------- what a loss defines

    def terms(self, y: Array, yhat: Array, order: int = 1) -> Terms:
        """Loss of each row and its derivatives in the prediction, of ``(n,)`` arrays that nobody checks."""
        raise NotImplementedError(f"{type(self).__name__} must define terms(self, y, yhat, order=1)")

    def constant_minimiser(self, y: Any) -> float:
        """Return the constant prediction with the smallest loss, in the unit of y.

        The generic way is a search. Of several minima that are as good it finds one; it may miss a minimum that is
        narrower than the distance between responses.

        Raises
        ------
        ValueError
            If a response is impossible, or the loss falls without end.
        """
        y = self.responses(y)
        with np.errstate(all="ignore"):
            tried = places(y, self.domain)
            found = search(
                lambda c: self._value(y, np.full_like(y, c)),
                lambda c: self._gradient(y, np.full_like(y, c)).sum(),
                tried,
            )
        if tried[0] < found < tried[-1] or found in self.domain:
            return found
        raise ValueError(f"{self!r} has no constant minimiser: {FALLS}")

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
            Responses; any numbers, read as 64-bit floats.
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
            rows = self.checked_terms(y, yhat, 0).value
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

    def checked_terms(self, y: Array, yhat: Array, order: int) -> Terms:
        """Terms, if they are one number per row; a loss may leave out its bend.

        Raises
        ------
        TypeError
            If they are anything else, such as a mean.
        """
        terms = self.terms(y, yhat, order)
        if not isinstance(terms, tuple) or len(terms) != len(Terms._fields):
            raise TypeError(
                f"{type(self).__name__}.terms must return Terms(value, slope, bend), not {type(terms).__name__}"
            )
        for name, part in zip(Terms._fields[: order + 1], terms, strict=False):
            if np.shape(part) != y.shape and not (part is None and name == "bend"):
                raise TypeError(
                    f"{type(self).__name__}.terms gives a {name} of shape {np.shape(part)} for {y.size} rows: it must "
                    "be that of each row, and not a mean"
                )
        return Terms(*terms)

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
        power = degree(self)
        if power is None:
            return "no power of that of y"
        return _UNITS.get(power, f"that of y to the power {power:g}")

    # ---------------------------------------------------------------- the generic path

    def _value(self, y: Array, yhat: Array) -> float:
        return average(self.checked_terms(y, yhat, 0).value)

    def _gradient(self, y: Array, yhat: Array) -> Array:
        return self.checked_terms(y, yhat, 1).slope / y.size

    def _parts(self, y: Array, yhat: Array) -> Array:
        """What :meth:`value` is made of, by row."""
        return self.checked_terms(y, yhat, 0).value

    def _judge(self, found: Array, y: Array, yhat: Array, what: str) -> None:
        """Refuse what is not a number; warn of what floats cannot hold.

        That is infinity where no prediction is at the end of its domain, and 0 where there is an error.
        """
        if np.isnan(found).any():
            row = int(np.argmax(np.isnan(found)))
            raise ValueError(
                f"{what} is not a number in row {row}, where y is {y[row]:g} and yhat is {yhat[row]:g}: "
                f"{self!r} is not defined there"
            )
        low, high = self.domain
        if ((yhat > low) & (yhat < high))[np.isinf(found)].any():
            self._warn_lost(what, "infinity", y, yhat)
        elif self.kind == "residual" and not found.all():
            size = np.abs(y - yhat)
            if ((size > 0) & (size < _VANISHING) & (found == 0)).any():
                self._warn_lost(what, "0", y, yhat)

    def _warn_lost(self, what: str, instead: str, y: Array, yhat: Array) -> None:
        if self.kind == "probability":
            reason = "a probability is too near to 0 or 1"
        else:
            reason = f"y and yhat differ by up to {np.abs(y - yhat).max():.3g}. Measure y in another unit"
        warn(f"{what} is beyond floating point, and {instead} stands for it: {reason}", RuntimeWarning)


def number(value: Any, what: str, domain: tuple[float, float] = POSITIVE) -> float:
    """Return a number as a float if it is one, inside an open interval.

    Raises
    ------
    ValueError
        If it is not.
    """
    try:
        found = math.nan if isinstance(value, bool | np.bool_) or not _is_number(value) else float(value)
    except OverflowError:
        found = math.inf
    low, high = domain
    if not low < found < high:
        known = {POSITIVE: "a positive number", REAL: "a finite number"}
        raise ValueError(f"{what} must be {known.get(domain, f'between {low:g} and {high:g}')}, not {value!r}")
    return found


def _is_number(value: Any) -> bool:
    """Whether a value is one real number; NumPy counts spans of time as whole numbers."""
    return isinstance(value, numbers.Real | decimal.Decimal) and not isinstance(value, np.timedelta64)


def _numbers(values: Any, what: str) -> Array:
    """One number per row as an array of floats, or one number alone as an array without rows."""
    if type(values) is np.ndarray and values.dtype == np.float64 and values.ndim == 1:
        return values
    if isinstance(values, np.ndarray) and values.ndim == 0 and not isinstance(values, np.ma.MaskedArray):
        values = values[()]
    if _is_number(values):
        return np.asarray(float(values))
    column = as_column(values)
    if isinstance(column, pd.Series) and pd.api.types.is_numeric_dtype(column.dtype) and column.dtype.kind != "c":
        return column.to_numpy(dtype=float, na_value=np.nan)
    shape = getattr(column, "shape", ())
    if len(shape) == 2:
        raise ValueError(
            f"{what} has shape {shape}, and must have one dimension: (n, 1) against (n,) would pair every row with "
            "every other. Use one column, or .ravel()"
        )
    found = f"{type(values).__name__} of {column.dtype}" if isinstance(values, pd.Series) else reprlib.repr(values)
    raise ValueError(f"{what} must be numbers, one per row, not {found}")


def _refuse(bad: Array, values: Array, what: str, wanted: str, given: Any) -> None:
    """Raise for the first row of a mask, naming it by its label where there is one."""
    if not bad.any():
        return
    labels = given.index if isinstance(given, pd.Series) else pd.RangeIndex(values.size)
    raise ValueError(f"{what} is {values[bad][0]:g} in row {row_name(labels, bad)}: it must be {wanted}")
