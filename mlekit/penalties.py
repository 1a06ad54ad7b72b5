"""Penalties as likelihood terms: log-priors of the coefficients, added to the log-likelihood."""

import math
import numbers
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mlekit.likelihood import Evaluation
from mlekit.links import Array

if TYPE_CHECKING:
    from mlekit.likelihood import Working
    from mlekit.model import Model

# Steps of the differences that derivatives are compared with, and how far they may differ.
_STEP, _TOLERANCE = 1e-4, 1e-3


class Prior(NamedTuple):
    """A log-prior at a point, with its derivatives: a float, ``(p,)`` and ``(p, p)``."""

    value: float
    gradient: Array
    hessian: Array


class Penalty:
    """A log-prior of the coefficients; subclass it and define :meth:`at`, with exact derivatives."""

    def at(self, beta: Array, names: Sequence[str]) -> Prior:
        """Return the log-prior and its derivatives at the coefficients ``beta``, ``(p,)``, of those ``names``."""
        raise NotImplementedError(f"{type(self).__name__} must define at(self, beta, names)")

    def check(self, names: Sequence[str]) -> None:
        """Raise ValueError if the penalty speaks of coefficients that a model does not have."""

    def of(self, model: "Model") -> "Penalty":
        """Return the penalty of a model's coefficients."""
        self.check(model.design.names)
        return self

    def verify(self, beta: Array, names: Sequence[str], units: Array) -> None:
        """Compare the derivatives at some coefficients with differences: wrong ones would give a wrong estimate.

        Parameters
        ----------
        beta : (p,) array
        names : sequence of str
        units : (p,) array
            Moves of the coefficients that are large.

        Raises
        ------
        TypeError
            If :meth:`at` does not return a :class:`Prior` of arrays of the right shapes.
        ValueError
            If the log-prior is not finite, or its derivatives are not those of its value.
        """
        kind, size = type(self).__name__, beta.size
        here = self.at(beta, names)
        if not isinstance(here, Prior) or [np.shape(part) for part in here] != [(), (size,), (size, size)]:
            raise TypeError(f"{kind}.at must return a Prior of a number, a ({size},) and a ({size}, {size}) array")
        if not all(np.isfinite(part).all() for part in here):
            raise ValueError(f"{kind} is not finite at {', '.join(map('{}={:g}'.format, names, beta))}")
        curvature = np.abs(np.diag(here.hessian))
        units = 1 / np.sqrt(1 / units**2 + curvature)
        scale = np.abs(here.gradient) * units + np.abs(here.value) * 1e-8 / _TOLERANCE
        for j, unit in enumerate(units):
            step = np.zeros(size)
            step[j] = _STEP * unit
            above, below = self.at(beta + step, names), self.at(beta - step, names)
            slope = (above.value - below.value) / (2 * _STEP)
            bend = (above.gradient - below.gradient) * units / (2 * _STEP)
            wanted = here.hessian[j] * unit * units
            size_j = np.maximum(scale + scale[j], np.abs(bend).max() + np.abs(wanted).max())
            if abs(slope - here.gradient[j] * unit) > _TOLERANCE * size_j[j]:
                what, found, got = "gradient", here.gradient[j], slope / unit
            elif (np.abs(bend - wanted) > _TOLERANCE * size_j).any():
                k = int(np.argmax(np.abs(bend - wanted)))
                what, found, got = "hessian", here.hessian[j, k], bend[k] / (unit * units[k])
            else:
                continue
            raise ValueError(
                f"the {what} of {kind} is {found:g} in {names[j]}, and by differences {got:g}: at has to return the "
                "derivatives of its value, which may have no kink there"
            )


@dataclass(frozen=True)
class NormalPrior(Penalty):
    """Independent normal priors of some coefficients.

    Parameters
    ----------
    priors : dict
        Mean and standard deviation by the coefficient's name, ``{"x": (0, 2.5)}``.

    Examples
    --------
    >>> NormalPrior({"x": (0, 2.0)}).at(np.array([1.0, 3.0]), ["Intercept", "x"]).gradient.tolist()
    [0.0, -0.75]
    """

    priors: Mapping[str, tuple[float, float]]

    def __post_init__(self) -> None:
        if not isinstance(self.priors, Mapping):
            raise TypeError(f"a NormalPrior takes a dict of (mean, sd) by name, not {self.priors!r}")
        for name, prior in self.priors.items():
            if not (
                isinstance(prior, Sequence | np.ndarray)
                and len(prior) == 2
                and all(map(_is_number, prior))
                and prior[1] > 0
            ):
                raise ValueError(
                    f"the prior of {name} must be (mean, sd), two finite numbers, the second positive, not {prior!r}"
                )

    def check(self, names: Sequence[str]) -> None:
        """Raise ValueError if a prior is of no coefficient."""
        unknown = [name for name in self.priors if name not in names]
        if unknown:
            raise ValueError(f"a prior of {', '.join(unknown)}: the coefficients are {', '.join(names)}")

    def at(self, beta: Array, names: Sequence[str]) -> Prior:
        """Return the log-density of the priors, with its constants."""
        gradient, curvature, value = np.zeros(len(names)), np.zeros(len(names)), 0.0
        for name, (mean, sd) in self.priors.items():
            j = list(names).index(name)
            z = (beta[j] - mean) / sd
            value -= 0.5 * z * z + np.log(sd) + 0.5 * np.log(2 * np.pi)
            gradient[j], curvature[j] = -z / sd, -1 / sd**2
        return Prior(float(value), gradient, np.diag(curvature))


@dataclass(frozen=True)
class Ridge(Penalty):
    """Ridge penalty, ``-strength / 2`` times the sum of squares of all coefficients but intercepts.

    The estimates depend on the units of the covariates, as those of every ridge do: standardise them. scikit-learn's
    ``PoissonRegressor(alpha)`` is ``strength = n * alpha``, its ``LogisticRegression(C=C)`` is ``strength = 1 / C``;
    for a Normal, its ``Ridge(alpha)`` is ``strength = alpha / sigma**2``. As in every fit, columns that
    are combinations of others are left out before, and there must be as many rows as coefficients.

    Parameters
    ----------
    strength : float
        Not negative.
    free : sequence of str
        Coefficients without a penalty, beside the intercepts of formulas and the cutpoints of ordered levels: a column
        of ones in a matrix, such as statsmodels' ``"const"``, is not known to be an intercept.

    Examples
    --------
    >>> Ridge(2.0).at(np.array([5.0, 3.0]), ["Intercept", "x"]).value
    -9.0
    """

    strength: float = 1.0
    free: Sequence[str] = ()

    def __post_init__(self) -> None:
        if isinstance(self.free, str):
            raise TypeError(f"free must be a sequence of names, not {self.free!r}: write ({self.free!r},)")
        if not _is_number(self.strength) or self.strength < 0:
            raise ValueError(f"the strength of a Ridge must be a number, and not negative, not {self.strength!r}")

    def check(self, names: Sequence[str]) -> None:
        """Raise ValueError if what is free is no coefficient."""
        unknown = [name for name in self.free if name not in names]
        if unknown:
            raise ValueError(f"a Ridge free of {', '.join(unknown)}: the coefficients are {', '.join(names)}")

    def of(self, model: "Model") -> "Ridge":
        """Return the penalty that leaves the intercepts of a model free."""
        self.check(model.design.names)
        if not model.has_null:
            return self
        columns = (column for each in model.design.columns for column in each)
        intercepts = [n for n, c in zip(model.design.names, columns, strict=True) if c == "Intercept"]
        return replace(self, free=(*self.free, *intercepts))

    def at(self, beta: Array, names: Sequence[str]) -> Prior:
        """Return the penalty; an intercept has none."""
        free = np.array([name == "Intercept" or name in self.free for name in names], dtype=bool)
        pull = np.where(free, 0.0, self.strength)
        return Prior(float(-0.5 * (pull * beta) @ beta), -pull * beta, np.diag(-pull))


def _is_number(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value)


@dataclass(frozen=True)
class Penalized:
    """A likelihood with a log-prior, in coordinates with ``beta = origin + matrix @ gamma``; else the likelihood."""

    inner: "Working"
    penalty: Penalty
    names: Sequence[str]
    matrix: Array = field(repr=False)
    origin: Array = field(repr=False)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.inner, name)

    def prior(self, gamma: Array) -> Prior:
        """Return the log-prior, and its derivatives in ``gamma``."""
        found = self.penalty.at(self.origin + self.matrix @ gamma, self.names)
        return Prior(found.value, self.matrix.T @ found.gradient, self.matrix.T @ found.hessian @ self.matrix)

    def evaluate(self, gamma: Array, order: int = 2) -> Evaluation:
        """Log-likelihood plus log-prior, divided by the number of observations."""
        here, prior, n = self.inner.evaluate(gamma, order), self.prior(gamma), self.inner.nobs
        if not np.isfinite(here.value):
            return here
        return Evaluation(
            here.value + prior.value / n,
            None if here.gradient is None else here.gradient + prior.gradient / n,
            None if here.hessian is None else here.hessian + prior.hessian / n,
        )

    def expected_information(self, gamma: Array) -> Array | None:
        """Expected information of the rows, and the curvature of the prior."""
        found = self.inner.expected_information(gamma)
        return None if found is None else found - self.prior(gamma).hessian
