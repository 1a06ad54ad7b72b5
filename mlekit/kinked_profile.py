"""Profile likelihoods of densities with a kink: each point is another fit with one coefficient held."""

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from statsmodels.tools.sm_exceptions import ConvergenceWarning

from mlekit.links import Array
from mlekit.optimize.ray import NO_MAXIMUM, Beaten, Point, Unsettled
from mlekit.surfaces import Line, SearchedLine
from mlekit.targets import Target

if TYPE_CHECKING:
    from mlekit.model import Model

# What rounding, and the tolerance of a linear programme, may add to the height of the maximum, relative to its size.
_ALLOWANCE = 1e-7


@dataclass(frozen=True, eq=False)
class Kinked:
    """A likelihood with kinks round an estimate."""

    model: "Model"
    params: Array
    bse: Array
    height: float

    def line(self, target: Target) -> Line:
        """Look at it along a coefficient.

        Raises
        ------
        ValueError
            If it is a function of several coefficients.
        """
        own = np.flatnonzero(target.contrast)
        if own.size > 1:
            raise ValueError(
                f"{target.name} is a function of several coefficients: with {self.model.family!r}, whose density has a "
                "kink, one coefficient is profiled at a time. Write the formula so that the function is one"
            )
        j, factor = int(own[0]), float(target.contrast[own[0]])
        unit = abs(factor) * self.bse[j]
        unit = unit if np.isfinite(unit) and unit > 0 else abs(factor * self.params[j]) or 1.0
        return KinkedLine(target, factor * self.params[j], unit, self.height, (), self.params, self, j)


@dataclass(frozen=True, eq=False)
class KinkedLine(SearchedLine):
    """The profile of one coefficient of a likelihood with kinks."""

    surface: Kinked
    position: int

    @property
    def std_err(self) -> float:
        """Standard error, by the expected information."""
        return float(abs(self.target.contrast[self.position]) * self.surface.bse[self.position])

    def climb(self, s: float, near: Point) -> Point:
        """Return the largest likelihood at a distance; see :meth:`mlekit.optimize.ray.Ray.climb`."""
        model, j = self.surface.model, self.position
        value = (self.estimate + self.unit * s) / self.target.contrast[j]
        held = model._made(model.family, model.design, model.observations, {model.design.names[j]: value})
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            fit = held.fit()
        if not fit.converged:
            raise Unsettled(NO_MAXIMUM, False)
        v = np.concatenate([[s], np.insert(np.asarray(fit.params), j, value)])
        drop = 2 * (self.height - fit.llf)
        if drop < -_ALLOWANCE * (1 + abs(self.height)):
            raise Beaten(v, fit.llf)
        return Point(v, drop, np.zeros(0), None)
