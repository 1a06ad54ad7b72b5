"""Fit and score each fold, one after the other or several at a time."""

import numbers
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
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
from mlekit.results import ResultsWrapper
from mlekit.scoring import Fitted, Score
from mlekit.sources import Block
from mlekit.subsets import Reading


class Outcome(NamedTuple):
    """What came of one fold; ``told`` are the warnings on the way."""

    values: dict[str, float]
    status: Status
    predicted: Array
    aliased: set[str]
    told: list[tuple[type[Warning], str]]
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

    def run(self, where: str, model: Model, block: Block) -> Outcome:
        """Fit a model to its rows, and score the fit there and on the block of rows held out."""
        with naming(where), warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            fit = model.fit(**self.options)
            beta, family = np.asarray(fit.params), model.family
            inside = Fitted(model.likelihood, beta)
            outside = Fitted(Likelihood(family, block, model.design.slices), beta)
            values = {score.label: score.of(outside) for score in self.scores}
            values |= {f"train_{score.label}": score.of(inside) for score in self.scores}
            predicted = outside.predicted("mean" if outside.has_mean else next(iter(family.params)))
        told = [(found.category, str(found.message)) for found in caught]
        return Outcome(values, fit.status, predicted, set(model.aliased), told, fit if self.keep_fit else None)


def prepare(where: str, reading: Reading, fold: Fold) -> tuple[Model, Block]:
    """Return the model of the rows that are trained on, and the rows held out as it sees them."""
    train, test = (np.isin(np.arange(len(reading)), rows) for rows in fold)
    with naming(where):
        model = reading.on(train)
        return model, reading.block(model, test)


@contextmanager
def naming(where: str) -> Iterator[None]:
    """Put the name of the fold into what is raised."""
    try:
        yield
    except FormulaError as error:
        raise FormulaError(f"{where}: {error}") from error
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error
    except Exception as error:
        error.add_note(f"This was raised in {where} of a cross-validation.")
        raise


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
            _tqdm()

    def outcomes(self, reading: Reading, folds: Mapping[str, Fold], task: Task) -> list[Outcome]:
        """Outcomes of the folds, in order; warnings that folds share are issued once."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            found = self._several(reading, folds, task) if self.n_jobs != 1 else _in_turn(reading, folds, task)
            outcomes = list(_tqdm()(found, total=len(folds), delay=1, unit="fold") if self.progress else found)
        told = [(each.category, str(each.message)) for each in caught]
        _tell([*told, *(each for outcome in outcomes for each in outcome.told)], len(folds))
        _tell_of_columns(folds, outcomes, set(reading.model.aliased))
        return outcomes

    def _several(self, reading: Reading, folds: Mapping[str, Fold], task: Task) -> Iterator[Outcome]:
        """Make the designs here, where the user's functions are, and fit them in other processes."""
        parallel, delayed = _joblib()
        made: list[Model] = []

        def tasks() -> Iterator[Any]:
            for where, fold in folds.items():
                try:
                    model, block = prepare(where, reading, fold)
                except Exception as error:  # raised in the thread that asks for the next task, it would be lost
                    yield delayed(_fail)(error)
                    return
                made.append(model)
                plain = replace(model, design=replace(model.design, infos=None))
                yield delayed(task.run)(where, plain, block)

        for i, outcome in enumerate(parallel(self.n_jobs, backend="loky", return_as="generator")(tasks())):
            if outcome.fit is not None:
                outcome.fit._results.model = made[i]
            yield outcome


def _in_turn(reading: Reading, folds: Mapping[str, Fold], task: Task) -> Iterator[Outcome]:
    for where, fold in folds.items():
        yield task.run(where, *prepare(where, reading, fold))


def _fail(error: Exception) -> None:
    raise error


def _joblib() -> tuple[Callable[..., Any], Callable[..., Any]]:
    try:
        from joblib import Parallel, delayed
    except ImportError:
        raise ImportError('n_jobs other than 1 needs joblib: pip install "mlekit[parallel]"') from None
    return Parallel, delayed


def _tqdm() -> Callable[..., Iterable[Any]]:
    try:
        from tqdm import tqdm
    except ImportError:
        raise ImportError('progress=True needs tqdm: pip install "mlekit[progress]"') from None
    return tqdm


# ------------------------------------------------------------------------------------------------ warnings


def _tell(told: list[tuple[type[Warning], str]], folds: int) -> None:
    """Issue each warning once; what the table and :func:`_tell_of_columns` say is not repeated."""
    for (category, message), count in Counter(told).items():
        if not issubclass(category, ConvergenceWarning | CollinearityWarning):
            warn(f"in {min(count, folds)} of {folds} folds: {message}", category)


def _tell_of_columns(folds: Mapping[str, Fold], outcomes: list[Outcome], known: set[str]) -> None:
    aliased = {where: sorted(outcome.aliased - known) for where, outcome in zip(folds, outcomes, strict=True)}
    said = [f"{', '.join(columns)} in {where}" for where, columns in aliased.items() if columns]
    if said:
        warn(
            "columns that are combinations of others among the rows trained on were left out: "
            + "; ".join(said[:5])
            + ("; ..." if len(said) > 5 else ""),
            CollinearityWarning,
        )
