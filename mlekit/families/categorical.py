"""Responses that are one of several levels: what ordered and unordered ones have in common."""

from collections.abc import Hashable, Sequence
from typing import Any, ClassVar

import numpy as np

from mlekit.families.base import GenericLikelihood
from mlekit.jets import Rows
from mlekit.links import LINKS, REAL, Array, Link

_identity = LINKS["identity"]
#: The identity on a scale that has no units: that of log odds, or of a standard normal variable.
STANDARD = Link("standard", _identity.forward, _identity.inverse, _identity.slopes, REAL)
# A row has as many second derivatives as there are pairs of levels.
_MOST_LEVELS = 100


class Categorical(GenericLikelihood):
    """A distribution over levels. The parameters depend on the levels, so they are known with the response.

    A family is declared without levels, ``OrderedLogit()``, and bound to those of the response when a model is made;
    :meth:`of_levels` binds it by hand. ``y`` is then the code of each response, ``0, ..., K - 1`` in the order of
    ``levels``.

    Attributes
    ----------
    levels : tuple
        The levels in their order, empty as long as they are not known.

    Raises
    ------
    TypeError
        If it is given links or constants: it has neither.
    """

    #: How coefficients are called; see :mod:`mlekit.naming`.
    naming: ClassVar[str] = "levels"
    #: Whether the order of the levels has a meaning, and the first parameter no intercept.
    is_ordered: ClassVar[bool] = False
    levels: tuple[Any, ...]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Ask for no parameters in the class: an instance has them."""
        super(GenericLikelihood, cls).__init_subclass__(**kwargs)

    def __init__(self, *unnamed: Any, **given: Any) -> None:
        if unnamed or given:
            raise TypeError(
                f"{type(self).__name__} takes no links and no constants: write {type(self).__name__}(); "
                "its levels are learned from the response"
            )
        self._bind(())

    def _bind(self, levels: tuple[Any, ...]) -> None:
        params = dict.fromkeys(self._names(tuple(map(str, levels))), STANDARD)
        for name, value in (("levels", levels), ("params", params), ("links", params)):
            object.__setattr__(self, name, value)

    @staticmethod
    def _names(levels: tuple[str, ...]) -> tuple[str, ...]:
        """Names of the parameters."""
        raise NotImplementedError

    def of_levels(self, levels: Sequence[Hashable]) -> "Categorical":
        """Return the family of a response with these levels, in their order.

        Raises
        ------
        ValueError
            If there are fewer than two or more than 100, or if two of them, or two parameters, have the same name.

        Examples
        --------
        >>> from mlekit.families import OrderedLogit
        >>> family = OrderedLogit().of_levels(["low", "mid", "high"])
        >>> list(family.params)
        ['location', 'low|mid', 'mid|high']
        >>> family.logpdf([0, 1, 2], 0.5, -1.0, 1.0).round(4).tolist()
        [-1.7014, -0.8209, -0.9741]
        """
        levels = tuple(level.item() if isinstance(level, np.generic) else level for level in levels)
        names = self._names(tuple(map(str, levels)))
        kind = type(self).__name__
        if not 2 <= len(levels) <= _MOST_LEVELS:
            raise ValueError(
                f"{kind} needs a response of 2 to {_MOST_LEVELS} levels, and it has {len(levels)} in the rows in use"
                + (": merge levels, as by pandas.cut, or fit a family of counts" if len(levels) > 2 else "")
            )
        if len(set(map(str, levels))) < len(levels) or len(set(names)) < len(names):
            raise ValueError(f"two levels, or two parameters, have the same name: {', '.join(map(str, levels))}")
        made = type(self)()
        made._bind(levels)
        return made

    def __repr__(self) -> str:
        bound = f".of_levels({list(self.levels)!r})" if self.levels else ""
        return f"{type(self).__name__}(){bound}"

    def _facts(self) -> tuple[Any, ...]:
        return type(self), self.levels

    @property
    def support_text(self) -> str:  # type: ignore[override]
        """What a response is."""
        return f"a code from 0 to {len(self.levels) - 1}, of one of {', '.join(map(repr, self.levels))}"

    def describe(self, response: str) -> str:
        """Say in a sentence what the levels are."""
        raise NotImplementedError

    # ---------------------------------------------------------------- derivatives

    def linear_rows(self, y: Array, *eta: Array, order: int = 2) -> Rows:
        return self.rows(y, *eta, order=order)

    def information(self, *eta: Array) -> Array:
        """Sum over the levels of their probability times the outer product of the score."""
        total = np.zeros((len(eta), len(eta), np.size(eta[0])))
        for code in range(len(self.levels)):
            value, grad, _ = self.rows(np.full(np.size(eta[0]), float(code)), *eta, order=1)
            total += np.exp(value) * grad * grad[:, None]
        return total

    # ---------------------------------------------------------------- facts

    def in_support(self, y: Array) -> Array:
        return np.isin(y, np.arange(len(self.levels)))

    def written(self, codes: Array) -> Array:
        """Levels of codes: numbers if they are, else objects; NaN where there is no code.

        Examples
        --------
        >>> from mlekit.families import MultinomialLogit
        >>> MultinomialLogit().of_levels([3, 5]).written(np.array([1.0, 0.0])).tolist()
        [5, 3]
        """
        known = ~np.isnan(codes)
        table, found = np.empty(len(self.levels), dtype=object), np.full(codes.shape, np.nan, dtype=object)
        table[:] = self.levels
        found[known] = table[codes[known].astype(int)]
        return found.astype(int) if known.all() and {*map(type, self.levels)} == {int} else found

    def probabilities(self, *eta: Array) -> Array:
        """Probability of each level, ``(K, n)``; NaN where the parameters give no distribution."""
        size = np.broadcast(*eta).size
        codes = (np.full(size, float(code)) for code in range(len(self.levels)))
        found = np.exp([self.rows(code, *eta, order=0).value for code in codes])
        return np.where(found.any(axis=0), found, np.nan)

    def linear_deviance(self, y: Array, *eta: Array) -> Array:
        """``-2 log f(y)``: the saturated probability of what was observed is 1."""
        return -2 * self.rows(y, *eta, order=0).value

    def ppf(self, share: Array, *theta: Any, **named: Any) -> Array:
        share = np.asarray(share, dtype=float)
        known = (share >= 0) & (share <= 1)
        below = [share > self.cdf(np.asarray(float(code)), *theta) for code in range(len(self.levels) - 1)]
        return np.where(known & ~np.isnan(self.cdf(np.zeros(1), *theta)), np.sum(below, axis=0), np.nan)

    def shares(self, y: Array, weight: Array) -> Array:
        """Share of each level among the responses."""
        counts = np.bincount(np.asarray(y, dtype=int), weights=weight, minlength=len(self.levels))
        return counts / counts.sum()
