"""The declaration of a distribution: its parameters, their links and its log-density.

One generic path: everything here has a default that follows from ``params`` and ``logpdf`` alone. A method that
a family overrides is an accelerator, and is tested against that default.
"""

import inspect
import math
import numbers
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from mlekit import jets
from mlekit.differences import central_differences
from mlekit.families.recession import Recession
from mlekit.jets import Rows
from mlekit.links import LINKS, Array, Link, as_link

if TYPE_CHECKING:
    from mlekit.selfcheck import FamilyCheck

_NO_PARAMETERS = "{} declares no parameters: set params = {{'mu': 'identity', ...}} in the class"


class GenericLikelihood:
    """Declare a distribution **without data**: parameters with their links, and a log-density.

    statsmodels users: nothing is passed in here but links and constants; data and formula go to :func:`mlekit.fit`.

    A subclass sets ``params``, a dict from each parameter's name to its default link (a name or a
    :class:`~mlekit.links.Link`), and defines ``logpdf(self, y, ...)`` in exactly those parameters, in plain NumPy and
    ``scipy.special``. The first parameter is the one that a plain formula describes. Exact first and second
    derivatives come from :mod:`mlekit.jets`; set ``derivatives = "numeric"`` in the class for a density that jets
    cannot follow (central differences, good to about 1e-8).

    Numbers that the density needs and that are not estimated are ``constants``, a dict from each name to its default;
    ``logpdf`` reads them from ``self``.

    Parameters
    ----------
    **given : str, Link or float
        Another link for a parameter, ``Poisson(mu="sqrt")``, or another value of a constant,
        ``AsymmetricLaplace(q=0.25)``. Instances are immutable.

    Raises
    ------
    TypeError
        If the class declares no parameters, if ``logpdf`` does not take ``y`` and exactly those parameters, if a
        keyword is neither a parameter nor a constant, or if a constant is not a number.
    ValueError
        If a link is unknown or does not suit the parameter, or if a constant is outside its domain.

    Examples
    --------
    >>> import numpy as np
    >>> class Gumbel(GenericLikelihood):
    ...     params = {"mu": "identity", "beta": "log"}
    ...
    ...     def logpdf(self, y, mu, beta):
    ...         z = (y - mu) / beta
    ...         return -z - np.exp(-z) - np.log(beta)
    >>> Gumbel().rows(np.array([1.0]), 0.0, 1.0).grad.round(4).tolist()
    [[0.6321], [-0.3679]]
    >>> class Cauchy(GenericLikelihood):
    ...     params = {"mu": "identity"}
    ...     constants = {"scale": 1.0}
    ...     constant_domains = {"scale": (0.0, np.inf)}
    ...
    ...     def logpdf(self, y, mu):
    ...         return -np.log1p(((y - mu) / self.scale) ** 2) - np.log(np.pi * self.scale)
    >>> Cauchy(scale=2), Cauchy(scale=2).scale
    (Cauchy(scale=2.0), 2.0)
    """

    params: ClassVar[Mapping[str, str | Link]] = {}
    #: ``"exact"`` (jets, or hand-written where the family overrides ``rows`` or ``linear_rows``) or ``"numeric"``.
    derivatives: ClassVar[str] = "exact"
    #: Links that make sense for a parameter; a parameter that is not named here takes any link.
    links_for: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    #: Numbers that the family is declared with and that are not estimated, with their defaults.
    constants: ClassVar[Mapping[str, float]] = {}
    #: Open interval of a constant; one that is not named here may be any finite number.
    constant_domains: ClassVar[Mapping[str, tuple[float, float]]] = {}
    #: What the response has to be, in words, for error messages.
    support_text: ClassVar[str] = "inside the support of the density"
    #: Names of the columns of a response that has several; ``y`` is then an ``(n, m)`` array.
    response_columns: ClassVar[tuple[str, ...]] = ()
    #: How a formula writes such a response, for error messages.
    response_help: ClassVar[str] = ""
    #: Least squares gives the estimate of the first parameter when its link is the identity.
    least_squares: ClassVar[bool] = False
    #: Level q if the first parameter is estimated by the regression quantile at q. The log-density then has a kink at
    #: ``y`` and is straight on either side: its ``information``, which such a family has to give, is the expected outer
    #: product of the score, and not minus an expected Hessian.
    quantile_level: ClassVar[float | None] = None
    #: Which way the whole distribution goes as the first parameter goes to the upper end of its domain; 0: not known.
    shifts: ClassVar[int] = 0
    #: Pairs of linear predictors, by position, of which the first has to be below the second in every row.
    eta_orders: tuple[tuple[int, int], ...] = ()
    links: Mapping[str, Link]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if not cls.params:
            if cls.logpdf is GenericLikelihood.logpdf:
                return  # cloudpickle makes a class first and fills it then; one that stays empty has no instances
            raise TypeError(_NO_PARAMETERS.format(cls.__name__))
        if cls.derivatives not in ("exact", "numeric"):
            raise TypeError(f"{cls.__name__}.derivatives is {cls.derivatives!r}: it must be 'exact' or 'numeric'")
        taken = list(inspect.signature(cls.logpdf).parameters)[1:]
        if taken != ["y", *cls.params]:
            raise TypeError(
                f"{cls.__name__}.logpdf takes ({', '.join(taken)}), but params declares "
                f"({', '.join(cls.params)}): write def logpdf(self, {', '.join(['y', *cls.params])})"
            )
        cls.params = {name: as_link(link) for name, link in cls.params.items()}
        clash = [name for name in cls.constants if name in (*cls.params, "links") or hasattr(GenericLikelihood, name)]
        if clash:
            raise TypeError(
                f"{cls.__name__} has a constant named {', '.join(clash)}: "
                "a parameter or a member of every family has that name, so give it another"
            )
        cls.constants = {name: cls._constant(name, value) for name, value in cls.constants.items()}

    def __init__(self, *unnamed: Any, **given: Any) -> None:
        if not self.params:
            raise TypeError(_NO_PARAMETERS.format(type(self).__name__))
        if unnamed:
            example = next(iter((*self.constants, *self.params)))
            raise TypeError(
                f"{type(self).__name__} takes links and constants by name: {type(self).__name__}({example}=...)"
            )
        unknown = set(given) - set(self.params) - set(self.constants)
        if unknown:
            raise TypeError(
                f"{type(self).__name__} has no parameter {', '.join(sorted(unknown))}: "
                f"its parameters are {', '.join(self.params)}"
                + (f"; its constants are {', '.join(self.constants)}" if self.constants else "")
            )
        for name, default in self.constants.items():
            object.__setattr__(self, name, self._constant(name, given.get(name, default)))
        chosen = {name: as_link(given.get(name, default)) for name, default in self.params.items()}
        for name, link in chosen.items():
            allowed = self.links_for.get(name)
            if allowed and link.name in LINKS and link.name not in allowed:
                raise ValueError(
                    f"the link {link.name!r} does not suit {type(self).__name__}'s {name}: use {', '.join(allowed)}"
                )
        object.__setattr__(self, "links", chosen)

    @classmethod
    def _constant(cls, name: str, value: Any) -> float:
        """Return a constant as a float, if it is one that the family takes."""
        if isinstance(value, bool | np.bool_) or not isinstance(value, numbers.Real):
            raise TypeError(f"{cls.__name__}'s {name} is a constant: it must be a number, not {value!r}")
        low, high = cls.constant_domains.get(name, (-math.inf, math.inf))
        if not low < float(value) < high:
            where = f"between {low:g} and {high:g}" if (low, high) != (-math.inf, math.inf) else "finite"
            raise ValueError(f"{cls.__name__}'s {name} must be {where}, not {value!r}")
        return float(value)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(
            f"{type(self).__name__} is immutable: make a new one, as in {type(self).__name__}({name}=...)"
        )

    def __repr__(self) -> str:
        constants = (f"{name}={getattr(self, name)!r}" for name in self.constants)
        changed = (f"{n}={link.name!r}" for n, link in self.links.items() if link != as_link(self.params[n]))
        return f"{type(self).__name__}({', '.join((*constants, *changed))})"

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self._facts() == other._facts()  # type: ignore[attr-defined]

    def __hash__(self) -> int:
        return hash(self._facts())

    @property
    def title(self) -> str:
        """What the family is called in a summary."""
        return type(self).__name__

    def _facts(self) -> tuple[Any, ...]:
        return type(self), *self.links.items(), *(getattr(self, name) for name in self.constants)

    # ---------------------------------------------------------------- what a family declares
    # `**named` lets a family name its parameters where the base cannot: to mypy any signature then fits.

    def logpdf(self, y: Array, *theta: Any, **named: Any) -> Array:
        """Log-density of each row, ``(n,)``; one name for continuous and discrete distributions."""
        raise NotImplementedError(f"{type(self).__name__} must define logpdf")

    # ---------------------------------------------------------------- derivatives

    def rows(self, y: Array, *theta: Any, order: int = 2, **named: Any) -> Rows:
        """Log-density of each row and its derivatives in the parameters ``theta``.

        Parameters
        ----------
        y : (n,) array
        *theta : (n,) arrays
            One per parameter, in the order of ``params``.
        order : {0, 1, 2}
            Highest derivative wanted; ``Rows.grad`` and ``Rows.hess`` beyond it are None.
        """
        if self.derivatives == "numeric":
            return central_differences(self.logpdf, y, *theta, order=order, domains=tuple(self.domains().values()))
        return jets.derivatives(self.logpdf, y, *theta, order=order)

    def linear_rows(self, y: Array, *eta: Array, order: int = 2) -> Rows:
        """Log-density, up to :meth:`base_measure`, and its derivatives in the linear predictors ``eta``.

        The default applies the chain rule through the links to :meth:`rows`.
        """
        links = tuple(self.links.values())
        rows = self.rows(y, *(link.inverse(e) for link, e in zip(links, eta, strict=True)), order=order)
        if order == 0:
            return rows
        slopes = [link.slopes(e) for link, e in zip(links, eta, strict=True)]
        first = np.stack([s[0] for s in slopes])
        grad = rows.grad * first
        if order == 1:
            return Rows(rows.value, grad, None)
        hess = rows.hess * first[:, None] * first[None, :]
        for j, slope in enumerate(slopes):
            hess[j, j] += rows.grad[j] * slope[1]
        return Rows(rows.value, grad, hess)

    def base_measure(self, y: Array) -> Array | None:
        """Part of the log-density of each row that no parameter touches and ``linear_rows`` leaves out, or None."""
        return None

    def information(self, *eta: Array) -> Any:
        """Expected information of one response in the linear predictors, ``(k, k, n)``; None if not known."""
        return None

    # ---------------------------------------------------------------- facts about the distribution

    def in_support(self, y: Array) -> Array:
        """Whether each response can occur at all, ``(n,)`` booleans."""
        return np.isfinite(y)

    def observed(self, y: Array) -> Array:
        """What ``mean`` is the mean of, ``(n,)``: the response itself, unless it has several columns."""
        return y

    def repeats(self, y: Array) -> Array | None:
        """How many responses of variance ``variance`` each observed value is the mean of, or None for one each."""
        return None

    def domains(self) -> dict[str, tuple[float, float]]:
        """Open interval of each parameter: the domain of its default link."""
        return {name: as_link(link).domain for name, link in self.params.items()}

    def eta_limits(self) -> tuple[tuple[float, float], ...]:
        """Open interval of each linear predictor in which its parameter is valid."""
        return tuple(self.links[name].eta_limits(domain) for name, domain in self.domains().items())

    def limit(self) -> tuple[str, float, "GenericLikelihood"] | None:
        """Parameter, its limit, and the family of the other parameters that this one is there, or None."""
        return None

    def recession(self, y: Array) -> Recession | None:
        """Moves of the linear predictors along which no row's log-density falls, or None if the family does not say."""
        return None

    def mean(self, *theta: Any, **named: Any) -> Array | None:
        """Mean of the response at the given parameters, or None if the family does not say: then it is integrated."""
        return None

    def variance(self, *theta: Any, **named: Any) -> Array | None:
        """Variance of the response at the given parameters, or None if the family does not say."""
        return None

    def linear_deviance(self, y: Array, *eta: Array) -> Array | None:
        """Unit deviance of each row at the given linear predictors, or None if the family has none."""
        return None

    def check(self, y: ArrayLike, /, *, discrete: bool | None = None, **theta: ArrayLike) -> "FamilyCheck":
        """Compare what the family defines with what follows from its log-density alone.

        Hand-written ``rows`` and ``linear_rows`` are compared with jets (or with central differences, if that is what
        the family uses); jets with central differences; moments, distribution functions, ``ppf`` and ``information``
        with integrals of the density, or sums; ``rvs`` with its distribution function; and the density has to have a
        total of 1. What the family leaves to the defaults is not compared, and that is said.

        Parameters
        ----------
        y : array_like, (n,) or a scalar
            A few possible responses, near and far. Where the density has a kink, its derivative is a matter of taste:
            take others.
        discrete : bool, optional
            Whether responses are whole numbers, so that the density is summed. By default they are if ``in_support``
            refuses what lies between.
        **theta : array_like, (n,) or scalars
            Values of every parameter, at most 50 different sets.

        Returns
        -------
        FamilyCheck
            Prints as a table; ``ok``, ``failures``, ``table``. It is true in a condition if nothing disagrees.

        Raises
        ------
        TypeError
            If a parameter is missing or unknown.
        DerivativeError
            If jets cannot follow the density and the family has no derivatives of its own.
        ValueError
            If a response cannot occur, a parameter is outside its domain, or lengths differ.

        Examples
        --------
        >>> import numpy as np
        >>> class Geometric(GenericLikelihood):
        ...     params = {"p": "logit"}
        ...
        ...     def logpdf(self, y, p):
        ...         return np.log(p) + y * np.log1p(-p)
        ...
        ...     def in_support(self, y):
        ...         return (y >= 0) & (y == np.floor(y))
        ...
        ...     def mean(self, p):
        ...         return 1 / p  # the mean of y + 1
        >>> found = Geometric().check([0, 3, 20], p=[0.1, 0.5, 0.5])
        >>> [(line.what, line.at, line.ours, round(line.reference, 8)) for line in found.failures]
        [('mean', 'p=0.5', 2.0, 1.0)]
        """
        from mlekit.selfcheck import check_family

        return check_family(self, y, theta, discrete, GenericLikelihood)

    # ---------------------------------------------------------------- distribution functions; all arrays broadcast

    @property
    def discrete(self) -> bool:
        """Whether responses are whole numbers: ``in_support`` takes some of them, and nothing between any two."""
        from mlekit.families.numeric import is_discrete

        return is_discrete(self)

    def cdf(self, y: Array, *theta: Any, **named: Any) -> Array:
        """Probability of a response up to and with ``y``: 0 below the support, 1 above. By default an integral."""
        return np.exp(self.logcdf(y, *theta))

    def logcdf(self, y: Array, *theta: Any, **named: Any) -> Array:
        """Logarithm of ``cdf``."""
        from mlekit.families.numeric import log_tail

        return log_tail(self, GenericLikelihood, y, theta, above=False)

    def logsf(self, y: Array, *theta: Any, **named: Any) -> Array:
        """Log-probability of a response above ``y``: ``log(1 - cdf)``."""
        from mlekit.families.numeric import log_tail

        return log_tail(self, GenericLikelihood, y, theta, above=True)

    def ppf(self, share: Array, *theta: Any, **named: Any) -> Array:
        """Quantile: the smallest response with ``cdf >= share``. By default from integrals of the density."""
        from mlekit.families.numeric import quantiles

        return quantiles(self, share, theta)

    def rvs(self, *theta: Any, **named: Any) -> Array:
        """Draw a response for each row of the parameters: ``rvs(*theta, rng)``, with a ``numpy.random.Generator``."""
        from mlekit.families.numeric import draws

        return draws(self, theta, **named)

    def redraw(self, y: Array, *theta: Any, rng: np.random.Generator) -> Array:
        """Draw a response in the place of each observed one: that of a binomial has as many trials."""
        return self.rvs(*theta, rng=rng)

    # ---------------------------------------------------------------- estimates without iteration

    def equivalent(self, y: Array) -> tuple["GenericLikelihood", Array]:
        """Another family and its response with the same estimates, where more is known of that: by default, this."""
        return self, y

    def mean_mle(self, ybar: Array) -> Array | None:
        """Estimate of the first parameter from the mean of a homogeneous sample, or None if there is no such form."""
        return None

    def scale_mle(self, y: Array, theta: Array, weight: Array) -> Any:
        """Estimate of a second parameter common to all rows, given the first, or None."""
        return None

    def start(self, y: Array, weight: Array) -> tuple[Array, ...]:
        """Rough linear predictors to start from, one scalar or ``(n,)`` array per parameter.

        The default tries, for each parameter, the values that its domain and the moments of ``y`` suggest, and keeps
        the combination with the largest likelihood: it scales with the units of ``y``.
        """
        from mlekit.families.start import best_constant

        return best_constant(self, y, weight)
