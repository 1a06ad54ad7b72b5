"""Ways to maximise a likelihood: one file per kind, one dictionary of all."""

from collections.abc import Callable
from functools import partial
from typing import Any

from mlekit.optimize.base import REMEDIES, Curvature, Objective, Optimum, StartError, Status, Step
from mlekit.optimize.gradient import gradient_descent, stochastic_gradient_descent
from mlekit.optimize.newton import fisher, newton
from mlekit.optimize.scipy_methods import NAMES, scipy_minimize

Method = Callable[..., Optimum]

#: Every iterative method by its name: functions of (objective, start, tol=, maxiter=, callback=).
METHODS: dict[str, Method] = {
    "newton": newton,
    "fisher": fisher,
    "gd": gradient_descent,
    "sgd": stochastic_gradient_descent,
    **{name: partial(scipy_minimize, name) for name in NAMES},
}


def method_name(name: Any) -> str:
    """Return the method's name in lower case.

    Raises
    ------
    ValueError
        If there is no such method; the message lists the names.
    """
    lowered = name.lower() if isinstance(name, str) else name
    if lowered not in ("auto", "closed_form", *METHODS):
        raise ValueError(f"unknown method {name!r}: the methods are auto, closed_form, {', '.join(METHODS)}")
    return lowered


def maximize(objective: Objective, start: Any, method: str, **options: Any) -> Optimum:
    """Maximise an objective from a start by a method of :data:`METHODS`."""
    return METHODS[method](objective, start, **options)


__all__ = [
    "METHODS",
    "REMEDIES",
    "Curvature",
    "Objective",
    "Optimum",
    "StartError",
    "Status",
    "Step",
    "maximize",
    "method_name",
]
