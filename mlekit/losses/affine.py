"""That a loss is a negative log-likelihood up to a factor and a constant, shown in numbers."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mlekit.links import Array
from mlekit.losses.base import Loss, Relation
from mlekit.losses.density import NegativeLogLikelihood

# Steps from yhat (0) to the constant minimiser (1), and beyond either.
_STEPS = {
    "half as far beyond yhat": -0.5,
    "yhat": 0.0,
    "a quarter of the way": 0.25,
    "half of the way": 0.5,
    "three quarters of the way": 0.75,
    "{} ({:.6g})": 1.0,
    "half as far beyond the {}": 1.5,
}
# Constant predictions: steps from the constant minimiser, in the largest distance of a response from it.
_SHIFTS = (-1.0, -0.5, 0.5, 1.0)


@dataclass(frozen=True, repr=False)
class Equivalence:
    """A loss beside a negative log-likelihood, at several predictions: loss = a * nll + b.

    Attributes
    ----------
    loss : Loss
    relation : Relation
        The family, the values at which its other parameters are held, and a and b as the theory has them.
    a, b : float
        Slope and intercept of the line through the points of ``path``, by least squares.
    path : pandas.DataFrame
        One row per prediction: ``loss``, ``nll`` (mean of minus the log-density), ``line`` (a * nll + b) and
        ``deviation`` of the loss from it.
    """

    loss: Loss
    relation: Relation
    a: float
    b: float
    path: pd.DataFrame

    @property
    def deviation(self) -> float:
        """Largest absolute deviation of the loss from the line."""
        return float(self.path["deviation"].abs().max())

    def __str__(self) -> str:
        held = "".join(f", {name} = {value:g}" for name, value in self.relation.held.items())
        exact = zip(
            ("a", "b"), (self.a, self.b), (self.relation.a, self.relation.b), self.relation.formula, strict=True
        )
        lines = [
            f"{self.loss!r} = a * nll + b, nll: mean of -log f, {self.relation.family!r}{held}",
            f"   {'measured':>14} {'exact':>14}",
            *(f"{name}  {found:>14.8g} {theory:>14.8g}  = {formula}" for name, found, theory, formula in exact),
            f"largest deviation from the line at {len(self.path)} predictions: {self.deviation:.1e}",
        ]
        return "\n".join([*lines, "", self.path.to_string(float_format="{:.6g}".format)])

    __repr__ = __str__


def equivalence(loss: Loss, y: Any, yhat: Any, **held: float) -> Equivalence:
    """Compute a loss and its likelihood on a path of predictions, and the line through the points.

    The path leads from ``yhat`` to the constant minimiser and beyond either, and on to other constants; predictions
    outside the domain of the loss are left out.
    """
    relation = _relation(loss, held)
    y, yhat = loss.checked(y, yhat)
    _check_support(relation, y)
    density = NegativeLogLikelihood(relation.family, **relation.held)
    names, places = zip(*_path(loss, y, yhat), strict=True)
    points = [(loss.value(y, there), density.value(y, there)) for there in places]
    path = pd.DataFrame(points, pd.Index(names, name="prediction"), ["loss", "nll"])
    infinite = path.index[~np.isfinite(path.to_numpy()).all(axis=1)]
    if len(infinite):
        raise ValueError(
            f"{loss!r} or its likelihood is infinite at the prediction {infinite[0]!r}, where no line can be seen: "
            "use predictions that exclude no response, and a unit of y that floats can square"
        )
    a, b = _line(path["nll"].to_numpy(), path["loss"].to_numpy(), loss)
    path["line"] = a * path["nll"] + b
    path["deviation"] = path["loss"] - path["line"]
    return Equivalence(loss, relation, a, b, path)


def _relation(loss: Loss, held: dict[str, float]) -> Relation:
    if loss.likelihood is None:
        return loss.relation()  # raises, and says why
    known = {} if isinstance(loss, NegativeLogLikelihood) else dict(list(loss.likelihood.params.items())[1:])
    unknown = [name for name in held if name not in known]
    if unknown:
        raise TypeError(
            f"{loss!r} has no {', '.join(unknown)} to hold: "
            + (f"{loss.likelihood!r} has {', '.join(known)}" if known else "it leaves nothing open")
        )
    return loss.relation(**held)


def _check_support(relation: Relation, y: Array) -> None:
    outside = ~relation.family.in_support(y)
    if outside.any():
        row = int(np.argmax(outside))
        raise ValueError(
            f"y is {y[row]:g} in row {row}, a soft label: it has a loss, but no likelihood, as "
            f"{relation.family!r} has a density only for {relation.family.support_text}"
        )


def _path(loss: Loss, y: Array, yhat: Array) -> list[tuple[str, Array]]:
    """Predictions, with what to call them."""
    centre = loss.constant_minimiser(y)
    spread = float(np.abs(y - centre).max()) or abs(centre) or 1.0
    path = [(name.format(loss.minimiser, centre), yhat + t * (centre - yhat)) for name, t in _STEPS.items()]
    path += [(f"constant {c:.6g}", np.full_like(yhat, c)) for c in (centre + t * spread for t in _SHIFTS)]
    low, high = loss.domain
    # yhat itself is always there; at the edge of the domain the loss may be infinite, which has an error of its own.
    return [(name, there) for name, there in path if name == "yhat" or ((there > low) & (there < high)).all()]


def _line(x: Array, y: Array, loss: Loss) -> tuple[float, float]:
    """Slope and intercept of the least-squares line."""
    dx, dy = x - x.mean(), y - y.mean()
    largest = np.abs(dx).max()
    if not largest > 1e-12 * np.abs(x).max():
        raise ValueError(
            f"the likelihood of {loss!r} is the same, to rounding, at all predictions that were tried, and there is no "
            "line through one point: hold its scale nearer to the size of the errors"
        )
    a = float((dx / largest) @ dy / ((dx / largest) @ dx))
    return a, float(y.mean() - a * x.mean())
