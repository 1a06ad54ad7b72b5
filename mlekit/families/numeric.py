"""What a family that gives its log-density alone has all the same, by numerical means."""

from typing import TYPE_CHECKING, Any

import numpy as np

from mlekit.links import Array

if TYPE_CHECKING:
    from mlekit.families.base import GenericLikelihood

_WHOLE = np.unique(np.append(np.arange(-32.0, 33.0), np.outer([-1, 1], 10.0 ** np.arange(2, 13))))


def is_discrete(family: "GenericLikelihood") -> bool:
    """Whether ``in_support`` takes some whole numbers, and nothing between any two.

    Examples
    --------
    >>> from mlekit.families import Normal, Poisson
    >>> is_discrete(Normal()), is_discrete(Poisson())
    (False, True)
    """
    if family.response_columns:
        return False
    between = np.append(_WHOLE + 0.5, _WHOLE + 0.25)
    return bool(np.any(family.in_support(_WHOLE)) and not np.any(family.in_support(between)))


def draws(family: "GenericLikelihood", theta: tuple[Any, ...], *, rng: np.random.Generator) -> Array:
    """Draw a response for each row of the parameters, by quantiles at random."""
    return family.ppf(rng.random(np.broadcast_shapes(*map(np.shape, theta))), *theta)
