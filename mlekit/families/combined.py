"""Families made of another one: what combinators (censored, truncated, zero-inflated ...) have in common."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np

from mlekit.families.base import GenericLikelihood
from mlekit.families.categorical import Categorical
from mlekit.families.registry import as_family
from mlekit.jets import Jet, Rows, as_rows, variables
from mlekit.links import LINKS, Array, Link, as_link


class Combinator(GenericLikelihood):
    """A family that is made of another: ``Censored(Weibull())``.

    The parameters are those of ``inner``, and after them those of its own, ``own_params``. A subclass sets
    ``own_params`` (and ``constants``) and defines ``logpdf(self, y, *theta)`` and whatever else it knows of the made
    distribution: nothing about the response is taken over from ``inner``. :meth:`split` parts arrays of parameters,
    :func:`full_rows`, :func:`mlekit.jets.as_jet` and :meth:`rows_of` make derivatives of those that ``inner`` has.

    Parameters
    ----------
    family : name, class or instance
        A family of one response per row: built in, one's own, or another combinator.
    **given : str, Link or float
        Links of ``own_params`` and values of ``constants``. Links of the inner family are given to it.

    Attributes
    ----------
    inner : GenericLikelihood

    Raises
    ------
    TypeError
        If ``family`` is no family, has levels, a response of several columns or a kinked density, or shares the name of
        a parameter; if a keyword is neither a parameter of the combinator's own nor a constant.
    ValueError
        If a link does not suit, or a constant is outside its domain.

    Examples
    --------
    >>> import numpy as np
    >>> from mlekit.families import Exponential
    >>> class Halved(Combinator):
    ...     "Y with probability 1 - drop, and 0 otherwise."
    ...
    ...     own_params = {"drop": "logit"}
    ...
    ...     def logpdf(self, y, *theta):
    ...         inner, (drop,) = self.split(theta)
    ...         return np.where(y > 0, np.log1p(-drop) + self.inner.logpdf(y, *inner), np.log(drop))
    >>> family = Halved(Exponential(rate="log"), drop="probit")
    >>> family, list(family.params)
    (Halved(Exponential(rate='log'), drop='probit'), ['rate', 'drop'])
    """

    #: Parameters that the combinator adds, with their default links.
    own_params: ClassVar[Mapping[str, str | Link]] = {}
    #: Links that make sense for them.
    own_links_for: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    #: For the summary: rows are made of exact derivatives, though not by hand.
    by_hand: ClassVar[bool] = False

    inner: GenericLikelihood

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Ask for no parameters in the class: an instance has them."""
        super(GenericLikelihood, cls).__init_subclass__(**kwargs)

    def __init__(self, family: Any = None, **given: Any) -> None:
        inner = self._family(family)
        self._check(inner)
        own = {name: as_link(link) for name, link in self.own_params.items()}
        kind = type(self).__name__
        unknown = set(given) - set(own) - set(self.constants)
        if unknown & set(inner.params):
            name = next(iter(unknown & set(inner.params)))
            raise TypeError(
                f"{name} is a parameter of the inner family, which takes its link: "
                f"{kind}({type(inner).__name__}({name}={given[name]!r}))"
            )
        if unknown:
            takes = ", ".join((*self.constants, *own))
            raise TypeError(
                f"{kind} has no {', '.join(sorted(unknown))}: beside a family it takes {takes or 'nothing'}"
            )
        clash = [name for name in (*own, *self.constants) if name in inner.params]
        if clash:
            raise TypeError(f"{kind} and {inner!r} both have a parameter named {clash[0]}: rename that of the family")
        for name, default in self.constants.items():
            object.__setattr__(self, name, self._constant(name, given.get(name, default)))
        chosen = {name: as_link(given.get(name, link)) for name, link in own.items()}
        for name, link in chosen.items():
            allowed = self.own_links_for.get(name)
            if allowed and link.name in LINKS and link.name not in allowed:
                raise ValueError(f"the link {link.name!r} does not suit {kind}'s {name}: use {', '.join(allowed)}")
        for name, value in (
            ("inner", inner),
            ("params", {**inner.params, **own}),
            ("links", {**inner.links, **chosen}),
            ("derivatives", inner.derivatives),
        ):
            object.__setattr__(self, name, value)

    def _family(self, family: Any) -> GenericLikelihood:
        """Return the family that a name, a class or an instance stands for."""
        if isinstance(family, type) and issubclass(family, Combinator):
            raise TypeError(
                f"{family.__name__} is not of any family yet: {type(self).__name__}({family.__name__}(...))"
            )
        if family is None:
            raise TypeError(f"{type(self).__name__} is made of a family: {type(self).__name__}('poisson'), say")
        return as_family(family)

    def _check(self, inner: GenericLikelihood) -> None:
        """Refuse an inner family that nothing can be made of; subclasses add what they cannot take."""
        kind = type(self).__name__
        if isinstance(inner, Categorical):
            raise TypeError(f"{kind} is of numbers, and {inner!r} is of levels")
        if inner.response_columns:
            raise TypeError(
                f"{kind} is of a family with one response per row, and {inner!r} has {len(inner.response_columns)} "
                f"columns: {' and '.join(inner.response_columns)}"
            )
        if inner.quantile_level is not None:
            raise TypeError(
                f"the density of {inner!r} has a kink where estimates lie, and the methods for those do not know "
                f"{kind}: StudentT or HuberNormal have tails like it and no kink"
            )

    def __repr__(self) -> str:
        constants = (
            f"{name}={getattr(self, name)!r}"
            for name, default in self.constants.items()
            if getattr(self, name) != default
        )
        changed = (
            f"{n}={self.links[n].name!r}" for n, link in self.own_params.items() if self.links[n] != as_link(link)
        )
        return f"{type(self).__name__}({', '.join((repr(self.inner), *constants, *changed))})"

    def _facts(self) -> tuple[Any, ...]:
        return type(self), self.inner, *self.links.items(), *(getattr(self, name) for name in self.constants)

    @property
    def title(self) -> str:
        """What the family is called in a summary."""
        return f"{type(self).__name__}({self.inner.title})"

    @property
    def links_for(self) -> Mapping[str, tuple[str, ...]]:  # type: ignore[override]
        """Links that make sense for each parameter."""
        return {**self.inner.links_for, **self.own_links_for}

    def domains(self) -> dict[str, tuple[float, float]]:
        return {**self.inner.domains(), **{name: as_link(link).domain for name, link in self.own_params.items()}}

    def limit(self) -> tuple[str, float, GenericLikelihood] | None:
        """That of the inner family, of which the same is made then."""
        found = self.inner.limit()
        if found is None:
            return None
        own = {name: getattr(self, name) for name in self.constants}
        return found[0], found[1], type(self)(found[2], **{n: self.links[n] for n in self.own_params}, **own)

    def split(self, values: Sequence[Any]) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        """Part what there is one of for each parameter into that of ``inner`` and that of the combinator's own."""
        k = len(self.inner.params)
        return tuple(values[:k]), tuple(values[k:])

    def rows_of(self, function: Callable[..., Any], y: Array, *at: Array, order: int) -> Rows:
        """Rows of what ``function(*jets)`` returns, of quantities ``at`` as jets (at order 0, as arrays)."""
        n = np.shape(y)[:1]
        at = tuple(np.broadcast_to(np.asarray(t, dtype=float), n) for t in at)
        with np.errstate(all="ignore"):
            made = function(*(at if order == 0 else variables(*at, order=order)))
        return as_rows(made, n, len(at), order)


def full_rows(family: GenericLikelihood, y: Array, *eta: Array, order: int = 2) -> Rows:
    """Log-density with its ``base_measure``, and its derivatives in the linear predictors.

    Examples
    --------
    >>> import numpy as np
    >>> from mlekit.families import Poisson
    >>> full_rows(Poisson(), np.array([2.0]), np.array([0.0])).value.round(4).tolist()
    [-1.6931]
    """
    rows = family.linear_rows(y, *eta, order=order)
    base = family.base_measure(y)
    return rows if base is None else rows._replace(value=rows.value + base)


def linear_jets(links: Sequence[Link], *eta: Array, order: int, first: int = 0) -> tuple[Any, ...]:
    """Parameters as jets in their linear predictors (at order 0 as arrays), numbered from ``first`` on.

    Examples
    --------
    >>> import numpy as np
    >>> from mlekit.links import log
    >>> linear_jets([log], np.array([0.0]), order=1)[0].grad
    {0: array([1.])}
    """
    theta = tuple(link.inverse(e) for link, e in zip(links, eta, strict=True))
    if order == 0:
        return theta
    slopes = [link.slopes(e) for link, e in zip(links, eta, strict=True)]
    return tuple(
        Jet(t, {i: s[0]}, {(i, i): s[1]} if order == 2 else None)
        for i, (t, s) in enumerate(zip(theta, slopes, strict=True), first)
    )


def chained(links: Iterable[Link], rows: Rows, eta: Sequence[Array], order: int) -> Rows:
    """Rows in linear predictors from rows in the parameters.

    Examples
    --------
    >>> import numpy as np
    >>> from mlekit.links import log
    >>> chained([log], Rows(np.zeros(1), np.ones((1, 1)), None), [np.log([3.0])], 1).grad.round(9).tolist()
    [[3.0]]
    """
    alone = SimpleNamespace(links=dict(enumerate(links)), rows=lambda *_, order: rows)
    made: Rows = GenericLikelihood.linear_rows(alone, rows.value, *eta, order=order)  # type: ignore[arg-type]
    return made
