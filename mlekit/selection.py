"""Models side by side: likelihood, information criteria, and the log score of cross-validation."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from patsy import EvalEnvironment
from statsmodels.tools.sm_exceptions import ConvergenceWarning

from mlekit.crossval import CrossValidation, rough_error, validate, warn_of
from mlekit.families import Censored, GenericLikelihood, as_family
from mlekit.foldfits import Crew, Task, naming
from mlekit.links import Array
from mlekit.messages import warn
from mlekit.results import ResultsWrapper
from mlekit.scoring import as_scores
from mlekit.splitting import Plan
from mlekit.subsets import Reading, read
from mlekit.summary import escaped
from mlekit.untrusted import scope_for

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Formula = str | Mapping[str, str]


@dataclass(frozen=True, repr=False, eq=False)
class Selection:
    """Several models of one response, on the same rows and the same folds.

    Made by :func:`compare_models`.

    Attributes
    ----------
    table : pandas.DataFrame
        One row per model: coefficients (how many, sigma's too), llf, AIC and BIC of the fit to all rows; log score
        (mean over the folds of the mean log-density of a row held out) and its rough std err; difference (log score
        minus that of the best, not above 0) and the rough std err of the difference, fold by fold; the means of other
        losses that were asked for; status of the fit to all rows.
    fits : dict
        The fits to all rows, by model.
    cv : dict
        The cross-validations, by model.
    best : str
        The model with the largest log score among those whose fit is the maximum.
    rows, left_out : int
        How many rows all models are fitted to, and how many more the data have.
    """

    table: pd.DataFrame
    fits: Mapping[str, ResultsWrapper] = field(repr=False)
    cv: Mapping[str, CrossValidation] = field(repr=False)
    best: str
    rows: int
    left_out: int

    @property
    def notes(self) -> list[str]:
        """What a reader must know to read the table."""
        found = self.cv[self.best]
        said = [
            f"{self.rows} rows, the same for all models, and the same {len(found.scores)} folds. Best: {self.best}."
        ]
        if self.left_out:
            rows = f"{self.left_out} row{'s' if self.left_out > 1 else ''}"
            said.append(f"{rows} left out: missing values in what one model or another uses, or weight zero.")
        said.append("Log score: mean log-density of a row held out; larger is better, as is llf. AIC, BIC: smaller is.")
        said.append("std err is rough: the folds share rows that they are trained on.")
        return said

    def __str__(self) -> str:
        return "\n".join([self.table.to_string(formatters=_FORMATS, float_format=_figure), *self.notes])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        notes = "".join(f"<p>{escaped(note, 'html')}</p>" for note in self.notes)
        return self.table.to_html(formatters=_FORMATS, float_format=_figure) + notes

    def plot(self) -> "Figure":
        """Draw how far each model is from the best: by log score with its standard error, and by AIC and BIC.

        Examples
        --------
        >>> from mlekit.datasets import load_africa
        >>> found = compare_models(["miltcoup ~ 1", "miltcoup ~ parties"], load_africa(), "poisson")
        >>> [axes.get_title() for axes in found.plot().axes]
        ['cross-validation', 'information criteria']
        """
        from mlekit.plots.scores import plot_selection

        return plot_selection(self)


def _figure(value: float) -> str:
    return f"{value:.4g}"


_FORMATS = {name: "{:.2f}".format for name in ("llf", "AIC", "BIC")}


def compare_models(
    models: Sequence[Any] | Mapping[str, Any],
    data: Any = None,
    family: str | type[GenericLikelihood] | GenericLikelihood = "normal",
    *,
    k: int = 5,
    loss: Any = (),
    shuffle: bool = True,
    stratify: Any = None,
    groups: Any = None,
    repeats: int = 1,
    seed: int | None = 0,
    splitter: Any = None,
    n_jobs: int = 1,
    progress: bool = False,
    weights: Any = None,
    offset: Any = None,
    exposure: Any = None,
    missing: str = "drop",
    method: str = "auto",
    maxiter: int | None = None,
    tol: float | None = None,
    env: int | EvalEnvironment = 0,
    trusted: bool = True,
) -> Selection:
    """Fit several models to the same rows, and compare AIC, BIC and the log score of cross-validation.

    Parameters
    ----------
    models : list or dict
        Formulas, or pairs (formula, family); a dict has labels for them. A formula may be a dict per parameter, as for
        :func:`mlekit.fit`.
    data
        As for :func:`mlekit.fit`. A row that one model lacks a value for is left out for all.
    family
        Of the models that name none.
    loss : str, loss, or list of them
        Scores beside the log score, as for :func:`mlekit.cross_validate`.
    seed : int, optional
        Of the shuffle; 0 unless another is given, so that two tables of the same data have the same folds. None draws
        one.
    k, shuffle, stratify, groups, repeats, splitter, n_jobs, progress
        As for :func:`mlekit.cross_validate`; the folds are the same for all models.
    weights, offset, exposure, missing, method, maxiter, tol
        As for :func:`mlekit.fit`, the same for all models; an offset of one model is written in its formula.
    env : int or patsy.EvalEnvironment
        How many calls up the variables are that a formula may use beside the data, or their scope itself.
    trusted : bool
        False for a formula that a stranger wrote; see :func:`mlekit.fit`.

    Returns
    -------
    Selection

    Raises
    ------
    ValueError
        If the models have different responses: the densities of y and of log(y) are in different units, and neither
        their likelihoods nor their scores can be compared. And as for :func:`mlekit.cross_validate`; the message names
        the model.

    Warns
    -----
    UserWarning
        If a model of probabilities (Poisson) stands beside one of densities (Normal).
    statsmodels.tools.sm_exceptions.ConvergenceWarning
        If a fit is not the maximum.

    Notes
    -----
    AIC (Akaike 1974) estimates -2 times the log-density that new rows would have in all, and BIC (Schwarz 1978) asks
    which model is right: they need not agree, nor with the log score.

    Examples
    --------
    >>> from mlekit.datasets import load_africa
    >>> found = compare_models(["miltcoup ~ 1", "miltcoup ~ parties", "miltcoup ~ oligarchy"], load_africa(), "poisson")
    >>> found.best
    'miltcoup ~ oligarchy'
    >>> found.table["AIC"].round(1).tolist()
    [132.8, 129.2, 111.8]
    """
    scope = scope_for(env, trusted)
    entries = _labelled(models, as_family(family))
    unused = seed == 0 and (splitter is not None or not shuffle)  # the default, which is no contradiction
    plan = Plan(k, shuffle, stratify, groups, repeats, None if unused else seed, splitter)
    crew = Crew(n_jobs, progress)
    asked = [loss] if isinstance(loss, str) or not isinstance(loss, Sequence) else [*loss]
    losses = ["log_score", *(each for each in asked if str(each).lower() != "log_score")]
    given = {"weights": weights, "offset": offset, "exposure": exposure, "missing": missing}
    readings = dict(_read(entries, data, scope, given))
    scores = {label: as_scores(losses, reading.model.family) for label, reading in readings.items()}
    _check_responses(readings)
    first = next(iter(readings.values()))
    split = plan.split(first, data, scope)
    options = {"method": method, "maxiter": maxiter, "tol": tol}
    fits, found = {}, {}
    for label, reading in readings.items():
        with naming(label):
            fits[label] = _fit(reading, options)
            found[label] = validate(reading, split, Task(scores[label], options), crew)
        warn_of(found[label], f"{label}: ")
    _warn_of_fits(fits)
    best = _best(fits, found)
    rows = [_row(fits[label], found[label], found[best]) for label in readings]
    table = pd.DataFrame(rows, index=pd.Index(readings, name="model"))
    return Selection(table, fits, found, best, len(first), first.total - len(first))


# ------------------------------------------------------------------------------------------------ what is compared


def _labelled(models: Any, family: GenericLikelihood) -> dict[str, tuple[Formula, GenericLikelihood]]:
    """Each model's formula and family, by its label."""
    if isinstance(models, str) or not isinstance(models, Mapping | Sequence) or not len(models):
        raise TypeError(
            "models must be a list of formulas or of pairs (formula, family), or a dict of them by label, "
            f"not {models!r}"
        )
    given = models.values() if isinstance(models, Mapping) else models
    pairs = [_pair(model, family) for model in given]
    if isinstance(models, Mapping):
        texts = [str(label) for label in models]
    else:
        texts = [formula if isinstance(formula, str) else ", ".join(formula.values()) for formula, _ in pairs]
        if len({chosen for _, chosen in pairs}) > 1:
            texts = [f"{text}, {chosen!r}" for text, (_, chosen) in zip(texts, pairs, strict=True)]
    twice = sorted({text for text in texts if texts.count(text) > 1})
    if twice:
        raise ValueError(f"models has {'; '.join(twice)} twice: leave it out, or name the models in a dict")
    return dict(zip(texts, pairs, strict=True))


def _pair(model: Any, family: GenericLikelihood) -> tuple[Formula, GenericLikelihood]:
    if isinstance(model, str | Mapping):
        return model, family
    if isinstance(model, Sequence) and len(model) == 2:
        return model[0], as_family(model[1])
    raise TypeError(f"a model must be a formula or a pair (formula, family), not {model!r}")


def _read(
    entries: Mapping[str, tuple[Formula, GenericLikelihood]], data: Any, env: EvalEnvironment, given: Mapping[str, Any]
) -> Iterator[tuple[str, Reading]]:
    """Read each model, and cut all to the rows that they have in common."""
    readings = {}
    for label, (formula, family) in entries.items():
        with naming(label):
            readings[label] = read(formula, data, family, env, **given)
    totals = {label: reading.total for label, reading in readings.items()}
    if len(set(totals.values())) > 1:
        said = ", ".join(f"{label} has {total}" for label, total in totals.items())
        raise ValueError(f"the models have different numbers of rows ({said}): pass them one table")
    common = np.ones(next(iter(totals.values())), dtype=bool)
    for reading in readings.values():
        common &= np.isin(np.arange(reading.total), reading.positions)
    if not common.any():
        raise ValueError("no row has all that the models use: each row has a missing value for one or another")
    for label, reading in readings.items():
        chosen: Array = common[reading.positions]
        with naming(label):
            yield label, reading if chosen.all() else reading.only(chosen)


def _check_responses(readings: Mapping[str, Reading]) -> None:
    """Refuse different responses; warn where probabilities stand beside densities."""
    (label, first), *others = readings.items()
    for other, reading in others:
        if not np.array_equal(reading.y, first.y):
            raise ValueError(
                f"{other} has another response ({reading.model.endog_names}) than {label} ({first.model.endog_names}): "
                "likelihoods are densities per unit of the response, so those of different variables, such as y and "
                "log(y), cannot be compared. Model one response in all of them"
            )
    families = {r.model.family.title: _is_discrete(r.model.family, r.y) for r in readings.values()}
    if len(set(families.values())) > 1:
        counts, measures = ([name for name, kind in families.items() if kind is which] for which in (True, False))
        warn(
            f"{', '.join(counts)} models give probabilities of values, and {', '.join(measures)} models densities per "
            "unit of the response: likelihoods and log scores of the two can be compared only as far as a density over "
            "one unit stands for the probability of one value",
            UserWarning,
        )


def _is_discrete(family: GenericLikelihood, y: Array) -> bool:
    """Whether no response can be a little larger or a little smaller than it is."""
    if isinstance(family, Censored):
        return family.discrete
    step = 1e-6 * (1 + np.abs(y[:10]))
    return not (family.in_support(y[:10] + step) | family.in_support(y[:10] - step)).any()


# ------------------------------------------------------------------------------------------------ the table


def _fit(reading: Reading, options: Mapping[str, Any]) -> ResultsWrapper:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # one warning for all models follows
        return reading.model.fit(**options)


def _warn_of_fits(fits: Mapping[str, ResultsWrapper]) -> None:
    failed = [f"{label}: {fit.status.value}" for label, fit in fits.items() if not fit.converged]
    if failed:
        warn(f"llf, AIC and BIC are not those of the maximum for {'; '.join(failed)}", ConvergenceWarning)


def _best(fits: Mapping[str, ResultsWrapper], found: Mapping[str, CrossValidation]) -> str:
    """The largest log score among the models whose fit is the maximum, or among all if none is."""
    sound = [label for label, fit in fits.items() if fit.converged] or list(fits)
    scores = {label: float(found[label].mean["log_score"]) for label in sound}
    return max(sound, key=lambda label: scores[label] if np.isfinite(scores[label]) else -np.inf)


def _row(fit: ResultsWrapper, found: CrossValidation, best: CrossValidation) -> dict[str, Any]:
    with np.errstate(invalid="ignore"):  # minus infinity minus itself
        difference = found.scores[["log_score"]] - best.scores[["log_score"]]
    others = [label for label in found.better if label != "log_score"]
    return {
        "coefficients": len(fit.params),
        "llf": fit.llf,
        "AIC": fit.aic,
        "BIC": fit.bic,
        "log score": found.mean["log_score"],
        "std err": found.standard_error["log_score"],
        "difference": difference["log_score"].mean(skipna=False),
        "difference std err": rough_error(difference, found.scores["repeat"])["log_score"],
        **{label: found.mean[label] for label in others},
        "status": fit.status.name.lower(),
    }
