"""Fit and score each fold, one after the other or several at a time."""

import numbers
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from statsmodels.tools.sm_exceptions import CollinearityWarning, ConvergenceWarning

from mlekit.folds import Fold
from mlekit.formula import FormulaError
from mlekit.likelihood import Likelihood
from mlekit.links import Array
from mlekit.messages import warn
from mlekit.model import Model
from mlekit.optimize.base import Status
from mlekit.progress import bar, tqdm_class
from mlekit.results import ResultsWrapper
from mlekit.scoring import Fitted, Score
from mlekit.sources import Block
from mlekit.subsets import Reading

Told = tuple[type[Warning], str]


class Outcome(NamedTuple):
    """What came of one fold; ``told`` are the warnings on the way."""

    values: dict[str, float]
    status: Status
    predicted: Array
    aliased: set[str]
    told: list[Told]
    fit: ResultsWrapper | None


@dataclass(frozen=True)
class Task:
    """What is to be done with every fold.

    Attributes
    ----------
    scores : tuple of Score
    options : dict
        Arguments of :meth:`mlekit.model.Model.fit`.
    keep_fit : bool
    """

    scores: tuple[Score, ...]
    options: Mapping[str, Any]
    keep_fit: bool = False

    def run(self, where: str, model: Model, block: Block, told: list[Told]) -> Outcome:
        """Fit a model to its rows, and score the fit there and on the block of rows held out."""
        with naming(where), _noting(told):
            fit = model.fit(**self.options)
            beta, family = fit._results.stopped, model.family
            inside = Fitted(model.likelihood, beta)
            outside = Fitted(Likelihood(family, block, model.design.slices), beta)
            values = {score.label: score.of(outside) for score in self.scores}
            values |= {f"train_{score.label}": score.of(inside) for score in self.scores}
            predicted = outside.predicted(outside.predictable)
        return Outcome(values, fit.status, predicted, set(model.aliased), told, fit if self.keep_fit else None)


def prepare(where: str, reading: Reading, fold: Fold) -> tuple[Model, Block, list[Told]]:
    """Return the model of the rows trained on, the rows held out as it sees them, and the warnings on the way."""
    train, test = (np.isin(np.arange(len(reading)), rows) for rows in fold)
    told: list[Told] = []
    with naming(where), _noting(told):
        model = reading.on(train)
        return model, reading.block(model, test), told


@contextmanager
def naming(where: str) -> Iterator[None]:
    """Put the name of the fold into what is raised."""
    try:
        yield
    except ValueError as error:
        kind = FormulaError if isinstance(error, FormulaError) else ValueError
        raise kind(f"{where}: {error}") from error
    except Exception as error:
        error.add_note(f"This was raised in {where} of a cross-validation.")
        raise


@contextmanager
def _noting(told: list[Told]) -> Iterator[None]:
    """Note warnings in a list, in place of issuing them."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    told += [(found.category, str(found.message)) for found in caught]


# ------------------------------------------------------------------------------------------------ several at a time


@dataclass(frozen=True)
class Crew:
    """How the folds are worked on: how many at a time, and whether a bar shows how far it is.

    Raises
    ------
    ValueError
        If the number of jobs is none.
    ImportError
        If joblib or tqdm are needed and not installed.
    """

    n_jobs: int = 1
    progress: bool = False

    def __post_init__(self) -> None:
        n_jobs = self.n_jobs
        if isinstance(n_jobs, bool) or not isinstance(n_jobs, numbers.Integral) or n_jobs == 0:
            raise ValueError(f"n_jobs must be a whole number of jobs, or -1 for one per processor, not {n_jobs!r}")
        if n_jobs != 1:
            _joblib()
        if self.progress:
            tqdm_class()

    def outcomes(self, reading: Reading, folds: Mapping[str, Fold], task: Task) -> list[Outcome]:
        """Outcomes of the folds, in order; warnings that folds share are issued once."""
        found = self._several(reading, folds, task) if self.n_jobs != 1 else _in_turn(reading, folds, task)
        outcomes = []
        with bar(self.progress, len(folds), "fold") as step:
            for outcome in found:
                outcomes.append(outcome)
                step("")
        _tell(outcomes)
        _tell_of_columns(folds, outcomes, set(reading.model.aliased))
        return outcomes

    def _several(self, reading: Reading, folds: Mapping[str, Fold], task: Task) -> Iterator[Outcome]:
        """Make the designs here, where the user's functions are, and fit them in other processes."""
        parallel, delayed = _joblib()
        models: list[Model] = []
        failed: list[Exception] = []

        def tasks() -> Iterator[Any]:
            for where, fold in folds.items():
                try:
                    model, block, told = prepare(where, reading, fold)
                except Exception as error:  # raised in joblib's thread, it would be lost
                    failed.append(error)
                    return
                if task.keep_fit:
                    models.append(model)
                plain = replace(model, design=replace(model.design, infos=None))
                yield delayed(task.run)(where, plain, block, told)

        try:
            for i, outcome in enumerate(parallel(self.n_jobs, backend="loky", return_as="generator")(tasks())):
                if outcome.fit is not None:
                    outcome.fit._results.model = models[i]
                yield outcome
        except BrokenProcessPool as error:
            error.add_note(
                "n_jobs sends the folds to other processes: these could not read what they were sent, or were ended, "
                "as for want of memory. A family or a loss of yours can be read if it is in a module that is imported; "
                "n_jobs=1 needs no other process."
            )
            raise
        if failed:
            raise failed[0]


def _in_turn(reading: Reading, folds: Mapping[str, Fold], task: Task) -> Iterator[Outcome]:
    for where, fold in folds.items():
        yield task.run(where, *prepare(where, reading, fold))


def _joblib() -> tuple[Callable[..., Any], Callable[..., Any]]:
    try:
        from joblib import Parallel, delayed
    except ImportError:
        raise ImportError('n_jobs other than 1 needs joblib: pip install "mlekit[parallel]"') from None
    return Parallel, delayed


# ------------------------------------------------------------------------------------------------ warnings


def _tell(outcomes: Sequence[Outcome]) -> None:
    """Issue each warning once; what the table and :func:`_tell_of_columns` say is not repeated."""
    told = Counter(each for outcome in outcomes for each in dict.fromkeys(outcome.told))
    for (category, message), count in told.items():
        if not issubclass(category, ConvergenceWarning | CollinearityWarning):
            warn(f"in {count} of {len(outcomes)} folds: {message}", category)


def _tell_of_columns(folds: Mapping[str, Fold], outcomes: Sequence[Outcome], known: set[str]) -> None:
    aliased = {where: sorted(outcome.aliased - known) for where, outcome in zip(folds, outcomes, strict=True)}
    said = [f"{', '.join(columns)} in {where}" for where, columns in aliased.items() if columns]
    if said:
        warn(
            "columns that are combinations of others among the rows trained on were left out: "
            + "; ".join(said[:5])
            + ("; ..." if len(said) > 5 else ""),
            CollinearityWarning,
        )
