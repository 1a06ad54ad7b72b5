"""A family at some responses and parameters, and the derivatives that follow from its log-density."""

from collections.abc import Callable, Iterable, Mapping
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

from mlekit import jets
from mlekit.differences import central_differences
from mlekit.jets import DerivativeError, Rows
from mlekit.links import Array


class Case(NamedTuple):
    """A family at some responses and parameters, and the class that has the defaults."""

    family: Any
    defaults: Any
    y: Array
    theta: tuple[Array, ...]

    def own(self, name: str) -> bool:
        """Whether the family defines a method beyond the default."""
        return getattr(type(self.family), name, None) is not getattr(self.defaults, name, None)

    def at(self, row: int) -> str:
        """Name the values of a row."""
        return self.named([t[row] for t in self.theta], y=self.y[row])

    def named(self, theta: Iterable[Any], **first: Any) -> str:
        """Name some values, and those of the parameters."""
        values = first | dict(zip(self.family.params, theta, strict=True))
        return ", ".join(
            f"{name}={value:.6g}" if np.ndim(value) == 0 else f"{name}={value}" for name, value in values.items()
        )

    def predictors(self, theta: Iterable[Any]) -> list[Array]:
        """Linear predictors of parameters."""
        return [np.asarray(link.forward(t)) for link, t in zip(self.family.links.values(), theta, strict=True)]


class Reference(NamedTuple):
    """Rows that follow from the log-density, exactly or by differences."""

    rows: Callable[..., Rows]
    exact: bool

    @classmethod
    def of(cls, case: Case) -> "Reference":
        """By jets; by differences if the family asks for them, or if it has rows because jets cannot follow it."""
        density, domains = case.family.logpdf, tuple(case.family.domains().values())

        def exact(y: Array, *theta: Array, order: int = 2) -> Rows:
            return jets.derivatives(density, y, *theta, order=order)

        def differences(y: Array, *theta: Array, order: int = 2) -> Rows:
            return central_differences(density, y, *theta, order=order, domains=domains)

        if case.family.derivatives == "numeric":
            return cls(differences, False)
        try:
            exact(case.y, *case.theta)
        except DerivativeError:
            if not case.own("rows") and not case.own("linear_rows"):
                raise
            return cls(differences, False)
        return cls(exact, True)

    def linear(self, case: Case, y: Array, *eta: Array, order: int = 2) -> Rows:
        """Rows in the linear predictors, as the default of every family makes them of rows in the parameters."""
        alone = SimpleNamespace(links=case.family.links, rows=self.rows)
        made: Rows = case.defaults.linear_rows(alone, y, *eta, order=order)
        return made


def case_of(family: Any, y: Any, theta: Mapping[str, Any], defaults: Any) -> Case:
    """Return responses and parameters as arrays of one length, if they are possible."""
    kind = type(family).__name__
    wrong = [f"{name} is missing" for name in family.params if name not in theta]
    wrong += [f"{name} is none of them" for name in theta if name not in family.params]
    if wrong:
        raise TypeError(
            f"{kind}.check takes responses and values of its parameters, {', '.join(family.params)}: {', '.join(wrong)}"
        )
    y = np.atleast_1d(np.asarray(y, dtype=float))
    given = {name: np.atleast_1d(np.asarray(theta[name], dtype=float)) for name in family.params}
    sizes = {"y": len(y)} | {name: value.size for name, value in given.items()}
    n = max(sizes.values())
    if set(sizes.values()) - {1, n} or not y.size:
        raise ValueError(
            f"{kind}.check takes one number or one per row: "
            + ", ".join(f"{size} of {name}" for name, size in sizes.items())
        )
    for name, (low, high) in family.domains().items():
        outside = ~((given[name] > low) & (given[name] < high))
        if outside.any():
            raise ValueError(
                f"{name}={given[name][outside][0]:g}: {kind}'s {name} must be between {low:g} and {high:g}"
            )
    y = np.repeat(y, n, axis=0) if len(y) == 1 else y
    impossible = ~np.asarray(family.in_support(y))
    if impossible.any():
        raise ValueError(f"y={y[impossible][0]}: for {kind} each response must be {family.support_text}")
    return Case(family, defaults, y, tuple(np.broadcast_to(value, n) for value in given.values()))


def is_discrete(case: Case) -> bool:
    """Whether responses are whole numbers: ``in_support`` takes those given, and nothing between whole numbers."""
    if case.y.ndim > 1 or (case.y != np.floor(case.y)).any():
        return False
    near = np.unique(np.append(np.arange(-20.0, 21.0), case.y))
    return not case.family.in_support(np.append(near + 0.5, near + 0.25)).any()
