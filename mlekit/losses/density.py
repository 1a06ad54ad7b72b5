"""Losses that are negative log-likelihoods as they stand."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special

from mlekit.families import Bernoulli, GenericLikelihood, as_family
from mlekit.links import UNIT, Array
from mlekit.losses.base import FALLS, Loss, Relation, Terms, number
from mlekit.losses.minimum import average, places, quantile, search


@dataclass(frozen=True)
class BinaryCrossEntropy(Loss):
    """Binary cross-entropy, ``mean(-y log(p) - (1 - y) log(1 - p))`` of probabilities p.

    The negative log-likelihood of the Bernoulli distribution itself. scikit-learn: ``log_loss``; PyTorch: ``BCELoss``.
    y is 0 or 1, or a share between them (a soft label: the loss is then never 0). A prediction of 0 or 1 that is
    wrong costs infinity. Probabilities that have rounded to 0 or 1 have lost what the loss is about: training
    takes log p and its derivatives from the linear predictor, where nothing is lost.

    Examples
    --------
    >>> round(BinaryCrossEntropy().value([0, 1, 1], [0.2, 0.9, 0.6]), 6)
    0.279777
    >>> BinaryCrossEntropy().value([0, 1], [0.0, 1.0]), BinaryCrossEntropy().value([0, 1], [0.0, 0.0])
    (0.0, inf)
    >>> BinaryCrossEntropy().gradient([0, 1], [0.5, 0.25]).tolist()
    [1.0, -2.0]
    """

    name = "cross_entropy"
    formula = "-y log(p) - (1 - y) log(1 - p)"
    kind = "probability"
    minimiser = "mean"
    kink = "at p = 0 and p = 1, where p ends: the one-sided derivative is returned, infinite where the loss is"
    support_text = "0 or 1, or a share between them,"
    domain = UNIT

    def terms(self, y: Array, yhat: Array, order: int = 1) -> Terms:
        """Cross-entropies with their derivatives; unchecked."""
        # Not clipped: PyTorch's BCELoss holds each logarithm above -100, and the loss of a certain error at 100.
        value = 0.0 - special.xlogy(y, yhat) - special.xlog1py(1 - y, -yhat)
        if not order:
            return Terms(value, None, None)
        one, zero = (np.where(share == 0, 0.0, share / p) for share, p in ((y, yhat), (1 - y, 1 - yhat)))
        bend = np.where(y == 0, 0.0, one / yhat) + np.where(y == 1, 0.0, zero / (1 - yhat)) if order == 2 else None
        return Terms(value, zero - one, bend)

    def constant_minimiser(self, y: Any) -> float:
        """Return the mean of y."""
        return average(self.responses(y))

    @property
    def likelihood(self) -> Bernoulli:
        """The Bernoulli distribution."""
        return Bernoulli()

    def relation(self) -> Relation:  # type: ignore[override]
        """``cross_entropy = nll``."""
        return Relation(self.likelihood, {}, 1.0, 0.0, ("1", "0"))

    def in_support(self, y: Array) -> Array:
        """Whether y is a share."""
        return (y >= 0) & (y <= 1)

    def missed(self, size: float) -> tuple[float, float]:
        """Return a one to which the odds were 1 : size."""
        return 1.0, 1 / (1 + size)


@dataclass(frozen=True, init=False, repr=False)
class NegativeLogLikelihood(Loss):
    """Negative log-likelihood of a family, the mean of ``-log f(y; yhat, ...)``.

    A loss takes one prediction per row, which is the family's first parameter. The others are held at given numbers,
    or at 1: that leaves the best mean of the Normal distribution where it is, but not the value of the loss, nor the
    estimate where the parameters depend on one another. No number here is estimated, nor trained by
    :func:`mlekit.train`; for all parameters, use :func:`mlekit.fit`, or :func:`mlekit.train` with ``family`` and
    ``loss="nll"``.

    Parameters
    ----------
    family : str, GenericLikelihood class or instance
    **held : float
        Values of the parameters after the first; 1 if nothing is said, as the loss shows when it is printed.

    Raises
    ------
    TypeError
        If a parameter is held that the family does not have, or that is the prediction.
    ValueError
        If the family is unknown, or a value, 1 included, is outside the domain of its parameter.

    Examples
    --------
    >>> NegativeLogLikelihood("normal", sigma=10), NegativeLogLikelihood("normal")
    (NegativeLogLikelihood(Normal(), sigma=10.0), NegativeLogLikelihood(Normal(), sigma=1.0))
    >>> round(NegativeLogLikelihood("normal", sigma=10).value([158, 160, 165, 168], 162.75), 6)
    3.299961
    >>> round(NegativeLogLikelihood("poisson").constant_minimiser([5, 7, 0]), 6)
    4.0
    """

    family: GenericLikelihood
    held: tuple[tuple[str, float], ...]

    name = "nll"
    formula = "-log f(y; yhat)"
    minimiser = "maximum-likelihood estimate"

    def __init__(self, family: "str | type[GenericLikelihood] | GenericLikelihood", **held: float) -> None:
        chosen = as_family(family)
        first, *others = chosen.params
        unknown = [name for name in held if name not in others]
        if unknown:
            raise TypeError(
                f"{chosen!r} has no parameter {', '.join(unknown)} to hold: the prediction is its {first}"
                + (f", and the others are {', '.join(others)}" if others else ", and there are no others")
            )
        object.__setattr__(self, "family", chosen)
        object.__setattr__(self, "held", tuple((name, _held(chosen, name, held)) for name in others))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join([repr(self.family), *(f'{n}={v!r}' for n, v in self.held)])})"

    @property
    def label(self) -> str:
        """The loss as it is written."""
        return repr(self)

    @property
    def kind(self) -> str:  # type: ignore[override]
        """What a row misses by."""
        return "probability" if self.domain == UNIT and not self.in_support(np.array([0.5, 2.0])).any() else "density"

    @property
    def domain(self) -> tuple[float, float]:  # type: ignore[override]
        """Closed interval of a prediction: at an end, the density has its limit there."""
        return next(iter(self.family.domains().values()))

    @property
    def support_text(self) -> str:  # type: ignore[override]
        """What y has to be."""
        return self.family.support_text

    @property
    def kink(self) -> str:  # type: ignore[override]
        """Where there is no gradient."""
        return "at yhat = y: the subgradient 0 is returned" if self.family.quantile_level is not None else ""

    def terms(self, y: Array, yhat: Array, order: int = 1) -> Terms:
        """Negative log-densities with their derivatives; unchecked."""
        theta = (yhat, *(np.full_like(yhat, value) for _, value in self.held))
        if not order:
            return Terms(-self.family.logpdf(y, *theta), None, None)
        rows = self.family.rows(y, *theta, order=order)
        return Terms(-rows.value, -rows.grad[0], -rows.hess[0, 0] if order == 2 else None)

    def constant_minimiser(self, y: Any) -> float:
        """Return the maximum-likelihood estimate of the first parameter, the same for all rows, with the others held.

        Raises
        ------
        ValueError
            If the likelihood has no maximum inside the domain.
        """
        y = self.responses(y)
        if self.family.quantile_level is not None:
            return quantile(y, self.family.quantile_level)
        with np.errstate(all="ignore"):
            known = self.family.mean_mle(np.asarray(average(y)))
            found = self._search(y) if known is None else float(known)
        if not np.isfinite(found):
            raise ValueError(f"{self!r} has no constant minimiser: {FALLS}")
        return found

    def _search(self, y: Array) -> float:
        """Point with the smallest loss, searched for along the linear predictor; infinity if that is at an edge."""
        family = self.family
        link, *others = family.links.values()
        held = [np.full_like(y, link.forward(value)) for link, (_, value) in zip(others, self.held, strict=True)]

        def value(eta: float) -> float:
            return -float(np.mean(family.linear_rows(y, np.full_like(y, eta), *held, order=0).value))

        def slope(eta: float) -> float:
            return -float(np.mean(family.linear_rows(y, np.full_like(y, eta), *held, order=1).grad[0]))

        low, high = self.domain
        tried = places(link.forward(y[(y > low) & (y < high)]), family.eta_limits()[0])
        found = search(value, slope, tried)
        return float(link.inverse(np.float64(found))) if tried[0] < found < tried[-1] else np.inf

    @property
    def likelihood(self) -> GenericLikelihood:
        """The family."""
        return self.family

    def relation(self) -> Relation:  # type: ignore[override]
        """``nll = nll``."""
        return Relation(self.family, dict(self.held), 1.0, 0.0, ("1", "0"))

    def in_support(self, y: Array) -> Array:
        """Whether each response can occur at all."""
        return self.family.in_support(y)

    def missed(self, size: float) -> tuple[float, float]:
        """Return a one to which the odds were 1 : size, or a response ``size`` above 1.

        The prediction of that is 1, or the middle of a domain that ends there.
        """
        if self.kind == "probability":
            return 1.0, 1 / (1 + size)
        low, high = self.domain
        return 1.0 + size, 1.0 if low < 1 < high else 0.5 * (max(low, -1.0) + min(high, 1.0))


def _held(family: GenericLikelihood, name: str, given: dict[str, float]) -> float:
    """Return the value to hold a parameter at: the given one, or 1 if its domain has that."""
    low, high = domain = family.domains()[name]
    if name not in given and not low < 1 < high:
        raise ValueError(
            f"{family!r} needs a value of {name}, between {low:g} and {high:g}, to hold it at: "
            f"NegativeLogLikelihood(..., {name}=...)"
        )
    return number(given.get(name, 1.0), f"{name} of {family!r}", domain)
