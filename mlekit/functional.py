"""Likelihoods that are not regressions: any function of named parameters that returns a log-density per row."""

import inspect
import math
import numbers
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from mlekit import jets
from mlekit.basis import Basis
from mlekit.design import Design
from mlekit.diagnostics import NotGiven
from mlekit.differences import common_differences
from mlekit.families import GenericLikelihood
from mlekit.holding import hold
from mlekit.jets import DerivativeError, Rows
from mlekit.likelihood import Likelihood, Transformed, Working
from mlekit.links import Array, as_link, identity
from mlekit.model import Model
from mlekit.observations import Observations
from mlekit.optimize import StartError
from mlekit.penalties import Penalty
from mlekit.results import ResultsWrapper
from mlekit.sources import Block, as_table

Function = Callable[..., Any]


class FunctionFamily(GenericLikelihood):
    """A function of parameters that are the same in all rows, in the place of a family; :func:`mle` makes one.

    Its response is the number of the row.
    """

    #: ``rows`` are those of jets, or of differences.
    by_hand = False
    function: Function
    data: Mapping[str, Any]
    size: int

    def __init_subclass__(cls, **kwargs: Any) -> None:
        cls.params = {name: as_link(link) for name, link in cls.params.items()}

    def __reduce__(self) -> Any:
        kind = type(self)
        return _family, (kind.function, kind.data, kind.params, kind.derivatives, kind.size)

    def __eq__(self, other: object) -> bool:
        return self is other

    __hash__ = object.__hash__

    def _call(self, _: Any, *theta: Any) -> Any:
        return type(self).function(**dict(zip(self.params, theta, strict=True)), **self.data)

    def rows(self, y: Array, *theta: Any, order: int = 2, **_: Any) -> Rows:
        """Derivatives in the parameters, of which every row has the same."""
        if order == 0:
            return Rows(self.logpdf(y, *theta), None, None)
        if self.derivatives == "numeric":
            found = common_differences(
                lambda *values: np.broadcast_to(self._call(y, *values), self.size),
                *(float(t[0]) for t in theta),
                order=order,
                domains=tuple(self.domains().values()),
            )
        else:
            found = jets.derivatives(self._call, y, *(t[:1] for t in theta), order=order, rows=self.size)
        if np.array_equal(y, np.arange(self.size)):
            return found
        value, grad, hess = found
        which = y.astype(int)
        return Rows(value[which], grad[:, which], hess[:, :, which] if order > 1 else None)

    def linear_rows(self, y: Array, *eta: Array, order: int = 2) -> Rows:
        """By the chain rule, whose slopes are the same in all rows as well."""
        links = tuple(self.links.values())
        rows = self.rows(y, *(link.inverse(e[:1]) for link, e in zip(links, eta, strict=True)), order=order)
        if order == 0 or all(link == identity for link in links):
            return rows
        slopes = [link.slopes(e[:1]) for link, e in zip(links, eta, strict=True)]
        first = np.stack([s[0] for s in slopes])
        if order == 1:
            return Rows(rows.value, rows.grad * first, None)
        hess = rows.hess * first[:, None] * first[None, :]
        for j, slope in enumerate(slopes):
            hess[j, j] += rows.grad[j] * slope[1]
        return Rows(rows.value, rows.grad * first, hess)

    def in_support(self, y: Array) -> Array:
        """Every row there is."""
        return np.ones(len(y), dtype=bool)

    def mean(self, *theta: Any, **_: Any) -> Array:
        """Refuse to give a mean: nothing says what it would be of."""
        raise NotGiven("a likelihood that is not a regression has no fitted values: see params and distribution")

    def redraw(self, y: Array, *theta: Any, rng: np.random.Generator) -> Array:
        """Refuse to draw: the function may use its data in any way."""
        raise NotGiven("a likelihood that is not a regression does not say how to draw its data")

    def start(self, y: Array, weight: Array) -> tuple[Array, ...]:
        """Refuse to guess: nothing is known of the parameters."""
        raise StartError("a likelihood that is not a regression needs start=")


def _logpdf(self: FunctionFamily, y: Array, *theta: Any) -> Array:
    """Log-density of some rows, by their numbers."""
    found = np.asarray(self._call(y, *(t[0] for t in theta)), dtype=float)
    return np.broadcast_to(found, self.size)[y.astype(int)]


def _family(
    function: Function, data: Mapping[str, Any], params: Mapping[str, Any], derivatives: str, size: int
) -> FunctionFamily:
    members = {"function": staticmethod(function), "data": data, "params": params, "size": size, "logpdf": _logpdf}
    kind = type(getattr(function, "__name__", "Function"), (FunctionFamily,), members | {"derivatives": derivatives})
    made: FunctionFamily = kind()
    return made


@dataclass(frozen=True)
class Parameters(Design):
    """Names of parameters that are coefficients themselves."""

    links: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Each parameter by its name, and its link if that is not the identity."""
        written = (p if link == "identity" else f"{link}({p})" for p, link in zip(self.params, self.links, strict=True))
        return tuple(name for name, columns in zip(written, self.columns, strict=True) if columns)


class Whole(Likelihood):
    """A likelihood whose function takes all rows at once."""

    @cached_property
    def blocks(self) -> list[Block]:
        """All rows, in one block."""
        return [self.block]


class FunctionModel(Model):
    """A function of named parameters in the place of a family and a design."""

    has_null = False

    @cached_property
    def likelihood(self) -> Likelihood:
        """The likelihood in the parameters."""
        return Whole(self.family, self.observations.block, self.design.slices)

    @cached_property
    def working(self) -> Working:
        """The likelihood in the coordinates of the fit."""
        return Transformed(self.likelihood, self.matrix)


def mle(
    loglike_rows: Function,
    start: Mapping[str, float],
    data: Any = None,
    *,
    transforms: Mapping[str, Any] | None = None,
    fixed: Mapping[str, float] | None = None,
    bounds: Mapping[str, tuple[Any, Any]] | None = None,
    constraints: Any = None,
    penalty: Penalty | None = None,
    method: str = "newton",
    cov_type: str = "nonrobust",
    derivatives: str = "exact",
    maxiter: int | None = None,
    tol: float | None = None,
    callback: Callable[[Any], Any] | None = None,
) -> ResultsWrapper:
    """Maximise any likelihood: a function of named parameters that returns one log-density per row.

    As R's ``stats4::mle``, ``bbmle::mle2`` and ``maxLik``, with exact derivatives, and one log-density per row, so that
    robust covariances exist.

    Parameters
    ----------
    loglike_rows : callable
        Takes the parameters by name, each the same in all rows, and columns of the data by name; returns ``(n,)``
        log-densities. In plain NumPy and scipy.special, as the log-density of a family.
    start : dict
        Every parameter with a value to start from, on its own scale.
    data : table or dict of arrays, optional
        Columns that the function takes as arrays. What it does not take by name it may find in its own scope.
    transforms : dict, optional
        A link by parameter, ``{"sigma": "log"}``: it is estimated on that scale, as the coefficient ``log(sigma)``, and
        reported on its own in ``res.distribution``.
    fixed, bounds, constraints, penalty
        As for :func:`mlekit.fit`; ``fixed`` and ``bounds`` are on the parameters' own scale.
    method, cov_type, maxiter, tol, callback
        As for :func:`mlekit.fit`.
    derivatives : {"exact", "numeric"}
        ``"numeric"`` (central differences, good to about 1e-8) for a function that jets cannot follow.

    Returns
    -------
    ResultsWrapper

    Raises
    ------
    TypeError
        If the function takes what is neither a parameter nor a column.
    DerivativeError
        If jets cannot follow the function.
    StartError
        If the log-likelihood is not finite at the start.

    Examples
    --------
    >>> import numpy as np
    >>> flood = np.array([3.1, 2.5, 4.4, 2.2, 5.9, 3.0, 2.8, 3.7])
    >>> def gumbel(mu, beta, y):
    ...     z = (y - mu) / beta
    ...     return -z - np.exp(-z) - np.log(beta)
    >>> res = mle(gumbel, start={"mu": 3.0, "beta": 1.0}, data={"y": flood}, transforms={"beta": "log"})
    >>> res.params.round(4).to_dict()
    {'mu': 2.9558, 'log(beta)': -0.2515}
    >>> print(res.distribution.round(3))
          estimate  std err  [0.025  0.975]
    mu       2.956    0.288   2.392   3.519
    beta     0.778    0.231   0.435   1.391
    """
    values, transforms = _start(start), _by_name(transforms, "transforms")
    if derivatives not in ("exact", "numeric"):
        raise ValueError(f"derivatives must be 'exact' or 'numeric', not {derivatives!r}")
    links = {name: as_link(transforms.get(name, identity)) for name in values}
    columns = _columns(loglike_rows, values, transforms, data)
    size = _rows_of(loglike_rows, values, columns)
    family = _family(loglike_rows, columns, links, derivatives, size)
    one = ("Intercept",)
    names = tuple(link.name for link in links.values())
    design: Design = Parameters({}, tuple(values), _name(loglike_rows), (one,) * len(values), links=names)
    ones = tuple(np.ones((size, 1)) for _ in values)
    block = Block(np.arange(float(size)), ones, (None,) * len(values))
    design, observations = hold(family, design, Observations(block, pd.RangeIndex(size)), fixed or {})
    try:
        eta = [np.full(size, float(links[name].forward(np.float64(value)))) for name, value in values.items()]
        curvature = np.diagonal(family.linear_rows(block.y, *eta).hess).mean(axis=0)
    except DerivativeError as error:
        raise DerivativeError(f"{_name(loglike_rows)}: {error}") from error
    # Each parameter in the unit that its curvature at the start suggests: no method then depends on units.
    units = [1 / np.sqrt(-c) if np.isfinite(c) and c < 0 else 1.0 for c in curvature]
    bases = tuple(
        Basis(tuple(range(x.shape[1])), np.full((x.shape[1], x.shape[1]), unit), None, {})
        for x, unit in zip(observations.block.X, units, strict=True)
    )
    model = FunctionModel(family, design, observations, bases, {})
    with np.errstate(all="ignore"):
        begin = [
            float(links[name].forward(np.float64(value)))
            for name, value, x in zip(values, values.values(), observations.block.X, strict=True)
            if x.shape[1]
        ]
    return model.fit(
        method,
        start=begin,
        cov_type=cov_type,
        maxiter=maxiter,
        tol=tol,
        callback=callback,
        bounds=bounds,
        constraints=constraints,
        penalty=penalty,
    )


def _by_name(given: Any, what: str) -> dict[str, Any]:
    if given is not None and not hasattr(given, "items"):
        raise TypeError(f"{what} must be a dict by the names of the parameters, not {given!r}")
    return dict(given or {})


def _start(start: Any) -> dict[str, float]:
    values = _by_name(start, "start")
    if not values:
        raise TypeError("start must name every parameter, with a value to start from")
    for name, value in values.items():
        if isinstance(value, bool | np.bool_) or not isinstance(value, numbers.Real) or not math.isfinite(value):
            raise ValueError(f"start[{name!r}] must be a finite number, not {value!r}")
    return {name: float(value) for name, value in values.items()}


def _name(function: Function) -> str:
    return getattr(function, "__name__", "the function")


def _columns(
    function: Function, values: Mapping[str, float], transforms: Mapping[str, Any], data: Any
) -> dict[str, Any]:
    """Columns that the function takes, as arrays; refuse parameters that it does not take."""
    unknown = [name for name in transforms if name not in values]
    if unknown:
        raise ValueError(f"transforms of {', '.join(unknown)}: start names the parameters {', '.join(values)}")
    taken = inspect.signature(function).parameters
    surplus = [name for name in values if name not in taken]
    if surplus:
        raise TypeError(f"{_name(function)} takes {', '.join(taken)}, and start has {', '.join(surplus)}")
    needed = [
        name for name, about in taken.items() if name not in values and about.kind is not inspect.Parameter.VAR_KEYWORD
    ]
    table = None if data is None else as_table(data, needed)
    known = {} if table is None else dict(table.columns)
    absent = [name for name in needed if name not in known and taken[name].default is inspect.Parameter.empty]
    if absent:
        where = "data has no column of that name" if table is not None else "no data were given"
        raise TypeError(f"{_name(function)} takes {', '.join(absent)}: neither in start, and {where}")
    return {name: np.asarray(known[name]) for name in needed if name in known}


def _rows_of(function: Function, values: Mapping[str, float], columns: Mapping[str, Any]) -> int:
    """How many rows the function returns, with finite numbers at the start."""
    with np.errstate(all="ignore"):
        found = np.asarray(function(**{name: np.float64(v) for name, v in values.items()}, **columns), dtype=float)
    if found.ndim != 1 or found.size < 2:
        raise ValueError(
            f"{_name(function)} must return one log-density per row, shape (n,) of two rows or more, and returned "
            f"shape {found.shape}: leave out the sum"
        )
    if not np.isfinite(found).all():
        row = int(np.flatnonzero(~np.isfinite(found))[0])
        empty = [name for name, x in columns.items() if pd.isna(x).any()]
        if empty:
            raise StartError(
                f"{_name(function)} is {found[row]:g} in row number {row}, and {', '.join(empty)} has missing values: "
                "leave such rows out"
            )
        raise StartError(
            f"{_name(function)} is {found[row]:g} in row number {row} at the start values "
            f"({', '.join(f'{n}={v:g}' for n, v in values.items())}): start where every row has a density"
        )
    return int(found.size)
