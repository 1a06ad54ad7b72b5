"""Derivatives that a user wrote by hand, compared with differences of the log-density on a few rows of the fit."""

from collections.abc import Callable

import numpy as np

from mlekit.differences import central_differences
from mlekit.families.base import GenericLikelihood
from mlekit.likelihood import Working
from mlekit.links import Array

# Rows that are compared, drawn from so many at most.
_ROWS, _AMONG = 50, 2000
# Differences are good to 1e-8; a wrong formula is wrong by far more.
_TOLERANCE = 1e-4
# A row at a kink of the density has no derivative to compare: so many may disagree.
_SHARE = 0.05


def own_derivatives(family: GenericLikelihood) -> bool:
    """Whether a family, or one that it is made of, has derivatives that are written by hand outside this package."""
    found: GenericLikelihood | None = family
    while found is not None:
        for name in ("rows", "linear_rows"):
            written = next(kind for kind in type(found).__mro__ if name in vars(kind))
            if written.__module__.partition(".")[0] != __name__.partition(".")[0]:
                return True
        found = getattr(found, "inner", None)
    return False


def wrong_derivatives(working: Working, gamma: Array) -> str:
    """Say which derivatives at a point are not those of the log-density; nothing if all are.

    Parameters
    ----------
    working : Likelihood or Transformed
    gamma : (r,) array

    Returns
    -------
    str
        The first of value, gradient and Hessian that differs, and in how many rows.
    """
    family, block = working.family, working.block
    if family.quantile_level is not None or not len(block):
        return ""
    some = block.rows(_spread(block.y))
    eta = working.linear_predictors(gamma, some)
    with np.errstate(all="ignore"):
        try:
            value, grad, hess = _differences(family, some.y, eta)
        except NotImplementedError:  # a family of derivatives without a density
            return ""
        ours = family.linear_rows(some.y, *eta, order=2)
        base = family.base_measure(some.y)
        size = np.sqrt(np.abs(np.einsum("iin->in", hess))) + np.abs(grad) + 1e-8 * np.abs(value)
        names = list(family.params)
        pairs = [("value", ours.value if base is None else ours.value + base, value, np.maximum(np.abs(value), 1.0))]
        pairs += [(f"derivative in {n}", ours.grad[i], grad[i], size[i]) for i, n in enumerate(names)]
        pairs += [
            (f"second derivative in {n} and {m}", ours.hess[i, j], hess[i, j], size[i] * size[j])
            for i, n in enumerate(names)
            for j, m in enumerate(names[: i + 1])
        ]
        for what, got, wanted, scale in pairs:
            wrong = np.abs(got - wanted) > _TOLERANCE * np.maximum(scale, np.abs(wanted))
            if wrong.sum() > max(1.0, _SHARE * wrong.size):
                row = int(np.argmax(wrong))
                return (
                    f"the {what} is {got[row]:.6g} where the log-density has {wanted[row]:.6g}, and wrong in "
                    f"{wrong.sum()} of {wrong.size} rows that were looked at"
                )
    return ""


def _spread(y: Array) -> Array:
    """Numbers of rows whose responses are spread over all of them."""
    among = np.unique(np.linspace(0, len(y) - 1, _AMONG).astype(int))
    order = among[np.argsort(y[among] if y.ndim == 1 else y[among, 0], kind="stable")]
    return np.unique(order[np.linspace(0, order.size - 1, _ROWS).astype(int)])


def _differences(family: GenericLikelihood, y: Array, eta: tuple[Array, ...]) -> tuple[Array, Array, Array]:
    """Log-density of rows, its differences in the linear predictors, and those of the family's own gradient."""
    links, limits = tuple(family.links.values()), family.eta_limits()

    def density(y: Array, *eta: Array) -> Array:
        found: Array = family.logpdf(y, *(link.inverse(e) for link, e in zip(links, eta, strict=True)))
        return found

    def gradient(i: int) -> Callable[..., Array]:
        return lambda y, *eta: family.linear_rows(y, *eta, order=1).grad[i]

    first = central_differences(density, y, *eta, order=1, domains=limits)
    bends = [central_differences(gradient(i), y, *eta, order=1, domains=limits).grad for i in range(len(eta))]
    return first.value, first.grad, np.stack(bends)
