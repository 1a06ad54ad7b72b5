"""What a fit is worth on some rows: losses of its predictions, and scores of its whole density."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np

from mlekit.diagnostics import NotGiven, unit_deviance
from mlekit.families import Censored, GenericLikelihood
from mlekit.families.categorical import Categorical
from mlekit.families.numeric import mean_of
from mlekit.likelihood import Likelihood
from mlekit.links import Array
from mlekit.losses import LOSSES, MSE, RMSE, BinaryCrossEntropy, Loss, NegativeLogLikelihood, as_loss
from mlekit.predict import predicted
from mlekit.sources import Block


@dataclass(frozen=True, eq=False)
class Fitted:
    """Estimates on some rows, those that they were estimated from or others."""

    likelihood: Likelihood
    beta: Array

    @cached_property
    def eta(self) -> tuple[Array, ...]:
        """Linear predictors."""
        return self.likelihood.linear_predictors(self.beta)

    @property
    def block(self) -> Block:
        """The rows."""
        return self.likelihood.block

    @property
    def observed(self) -> Array:
        """What the mean predicts of each row."""
        return self.likelihood.family.observed(self.block.y)

    def predicted(self, what: str) -> Array:
        """Predictions of each row; ``what`` as in :meth:`mlekit.results.Results.predict`."""
        return predicted(self.likelihood.family, self.eta, what)

    @property
    def predictable(self) -> str:
        """What to predict of a row: the mean, the most probable level, or the first parameter if there is neither."""
        family = self.likelihood.family
        if isinstance(family, Categorical):
            return "level"
        return "mean" if gives_mean(family) else next(iter(family.params))

    def average(self, rows: Array) -> float:
        """Mean over the rows, each as often as its weight says."""
        return float(np.average(rows, weights=self.block.weight))


@dataclass(frozen=True)
class Score:
    """One number for a fit on some rows.

    Attributes
    ----------
    label : str
        What the tables call it.
    better : {"smaller", "larger"}
    unit : str
        In words.
    of : callable
        Takes a :class:`Fitted`.
    """

    label: str
    better: str
    unit: str
    of: Callable[[Fitted], float]


def log_score(fitted: Fitted) -> float:
    """Mean log-density of the rows with every parameter of the family, sigma too; minus infinity if one is impossible.

    The logarithmic score, the only local proper one (Gneiting and Raftery 2007, Journal of the American Statistical
    Association 102, 359-378).
    """
    return float(fitted.likelihood.evaluate(fitted.beta, 0).value)


def nll(fitted: Fitted) -> float:
    """Mean negative log-density of the rows: minus :func:`log_score`."""
    return -log_score(fitted)


def deviance(fitted: Fitted) -> float:
    """Mean unit deviance of the rows: twice the distance of the log-density to that of a perfect prediction."""
    return fitted.average(unit_deviance(fitted.likelihood.family, fitted.block.y, fitted.eta))


#: Scores of a density, by name; every loss of :data:`mlekit.losses.LOSSES` is a score of its predictions.
SCORES = {
    "log_score": Score("log_score", "larger", "nats per row", log_score),
    "nll": Score("nll", "smaller", "nats per row", nll),
    "deviance": Score("deviance", "smaller", "per row", deviance),
}


def as_scores(loss: Any, family: GenericLikelihood) -> tuple[Score, ...]:
    """Scores from one loss or several: names, classes or instances.

    Raises
    ------
    ValueError
        If one is unknown, is asked for twice, or does not suit the family.

    Examples
    --------
    >>> from mlekit.families import Bernoulli
    >>> [score.label for score in as_scores(["mse", "log_score"], Bernoulli())]
    ['mse', 'log_score']
    """
    asked = list(loss) if isinstance(loss, Sequence) and not isinstance(loss, str) else [loss]
    if not asked:
        raise ValueError(f"loss is empty: name one or several of {', '.join(score_names())}")
    made = [_made(each) for each in asked]
    labels = [each.label if isinstance(each, Score) else each.name for each in made]
    found = []
    for each, label in zip(made, labels, strict=True):
        if not isinstance(each, Score):
            _check(each, family)
            label = repr(each) if labels.count(label) > 1 else label
            each = Score(label, "smaller", each.unit, partial(_mean_loss, loss=each, what=_target(each, family)))
        found.append(each)
    twice = {score.label for score in found if [s.label for s in found].count(score.label) > 1}
    if twice:
        raise ValueError(f"loss names {', '.join(sorted(twice))} twice")
    if any(score.label == "deviance" for score in found):
        _probe_deviance(family)
    return tuple(found)


def score_names() -> tuple[str, ...]:
    """Names of everything that a fit can be scored by."""
    return tuple(dict.fromkeys([*LOSSES, *SCORES]))


def _made(loss: Any) -> Score | Loss:
    """Return a score of the density, or a loss."""
    if loss is NegativeLogLikelihood:
        loss = "nll"
    if not isinstance(loss, str):
        return as_loss(loss)
    if loss.lower() in SCORES:
        return SCORES[loss.lower()]
    if loss.lower() not in LOSSES:
        known = ", ".join(score_names())
        raise ValueError(f"unknown loss {loss!r}: the losses are {known}, or one of mlekit.losses with its options")
    return as_loss(loss)


def _target(loss: Loss, family: GenericLikelihood) -> str:
    """What a loss is of: the family's own first parameter if it is the family's loss, and otherwise the mean."""
    return next(iter(family.params)) if type(loss.likelihood) is type(family) else "mean"


def _check(loss: Loss, family: GenericLikelihood) -> None:
    """Refuse a loss that cannot be computed from this family's predictions."""
    name = type(family).__name__
    if isinstance(family, Categorical):
        raise ValueError(
            f"{name} is of levels, and {loss!r} is of numbers: score by loss='log_score', the mean log-probability of "
            "what was observed (minus the cross-entropy of levels)"
        )
    if isinstance(loss, BinaryCrossEntropy):
        low, high = next(iter(family.domains().values()))
        if not (low >= 0 and high <= 1):
            raise ValueError(
                f"cross_entropy is a loss of probabilities, and {name} predicts no probability: "
                "fit family='bernoulli', or score by 'mse', 'deviance' or 'log_score'"
            )
    what, own = _target(loss, family), loss.likelihood
    if what != "mean" and own is not None and own.quantile_level != family.quantile_level:
        raise ValueError(
            f"{loss!r} is a loss of the quantile at {own.quantile_level:g}, and {family!r} estimates the one at "
            f"{family.quantile_level:g}: score by Pinball({family.quantile_level:g})"
        )
    if isinstance(loss, NegativeLogLikelihood) and what == "mean":
        raise ValueError(
            f"{loss!r} is the loss of another family than {name}, and says nothing of its predictions: "
            "'log_score' scores the density that was fitted"
        )
    if what == "mean" and isinstance(family, Censored):
        raise ValueError(
            f"{loss.name} compares a prediction with the response, of which a censored row only has a range: "
            "score by 'log_score'"
        )
    if what == "mean" and not gives_mean(family):
        raise ValueError(
            f"{name} has no mean, so {loss.name} has no prediction to look at: "
            f"define mean(self, {', '.join(family.params)}) in the family, or score by 'log_score'"
        )


def gives_mean(family: GenericLikelihood) -> bool:
    """Whether the response has a mean: one that the family gives, or that is found by integrating its density."""
    with np.errstate(all="ignore"):
        return mean_of(family, tuple(link.inverse(np.full(1, 0.5)) for link in family.links.values())) is not None


def _probe_deviance(family: GenericLikelihood) -> None:
    try:
        unit_deviance(family, np.ones(1), tuple(np.zeros(1) for _ in family.params))
    except NotGiven as error:
        raise ValueError(f"{error}; score by 'log_score'") from None


def _mean_loss(fitted: Fitted, loss: Loss, what: str) -> float:
    """Value of a loss, each row as often as its weight says; infinite for a prediction outside the loss's domain."""
    y, weight, yhat = fitted.observed, fitted.block.weight, fitted.predicted(what)
    low, high = loss.domain
    if not (np.isfinite(yhat) & (yhat >= low) & (yhat <= high)).all():
        return np.inf
    if weight is None:
        return loss.value(y, yhat)
    if isinstance(loss, RMSE):
        return math.sqrt(fitted.average(MSE().terms(y, yhat, 0).value))
    rows = loss.rows(y, yhat)
    if rows is None:
        raise ValueError(f"{loss!r} is not a mean over rows, and does not know what weights are: use 'mse'")
    return fitted.average(rows)
