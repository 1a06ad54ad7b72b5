"""How a call asks for folds, and the folds of a table that it gets."""

import numbers
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pandas as pd
from patsy import EvalEnvironment

from mlekit.families import Bernoulli
from mlekit.folds import Fold, check_k, check_shuffle, generator, given_folds, group_kfold, kfold, stratified_kfold
from mlekit.links import Array
from mlekit.subsets import Reading, row_labels


@dataclass(frozen=True)
class Split:
    """Folds of the rows of a reading.

    Attributes
    ----------
    folds : tuple of Fold
    numbers : tuple of (int, int)
        Repeat and fold, counted from 1.
    seed : int or None
        What the shuffle was seeded with, if there was one.
    """

    folds: tuple[Fold, ...]
    numbers: tuple[tuple[int, int], ...]
    seed: int | None


@dataclass(frozen=True)
class Plan:
    """How rows are to be split; see :func:`mlekit.cross_validate` for the fields.

    Raises
    ------
    ValueError
        If it contradicts itself.
    """

    k: int = 5
    shuffle: bool = True
    stratify: Any = None
    groups: Any = None
    repeats: int = 1
    seed: int | None = None
    splitter: Any = None

    def __post_init__(self) -> None:
        if isinstance(self.repeats, bool) or not isinstance(self.repeats, numbers.Integral) or self.repeats < 1:
            raise ValueError(f"repeats must be a whole number from 1, not {self.repeats!r}")
        if self.seed is not None and not isinstance(self.seed, numbers.Integral):
            raise ValueError(f"seed must be a whole number from 0, or None for one that is drawn, not {self.seed!r}")
        if self.splitter is not None:
            self._refuse_beside_splitter()
            return
        check_shuffle(self.shuffle, self.seed)
        check_k(self.k)
        if self._stratified and self.groups is not None:
            raise ValueError(
                "stratify and groups cannot both be kept to: leave one out, or pass the folds of "
                "splitter=sklearn.model_selection.StratifiedGroupKFold(...).split(data, strata, groups)"
            )
        if not self.shuffle and self.repeats > 1:
            raise ValueError("without a shuffle repeats would all be the same: leave it out, or leave shuffle=True")

    @property
    def _stratified(self) -> bool:
        return self.stratify is not None and self.stratify is not False

    def _refuse_beside_splitter(self) -> None:
        """Refuse what nobody would look at."""
        defaults = {f.name: f.default for f in fields(self) if f.name in ("k", "shuffle", "repeats", "seed")}
        given = [name for name, default in defaults.items() if getattr(self, name) != default]
        if given:
            raise ValueError(f"a splitter says itself how to split: leave out {', '.join(given)}")
        if self._stratified:
            raise ValueError(
                "a splitter says itself how to split: leave out stratify. One that stratifies is handed the response; "
                "for other strata pass its folds, splitter=StratifiedKFold(...).split(data, strata)"
            )

    def split(self, reading: Reading, data: Any, env: EvalEnvironment) -> Split:
        """Split the rows of a reading.

        Raises
        ------
        ValueError
            If they cannot be split so.
        """
        groups = None if self.groups is None else row_labels(self.groups, "groups", reading, data, env)
        if self.splitter is not None:
            folds = self._given(reading, data, groups)
            return Split(folds, _numbers(folds, len(reading)), None)
        strata = self._strata(reading, data, env)
        seed = self.seed
        if self.shuffle and seed is None:
            seed = int(np.random.default_rng().integers(2**32))
        rng = generator(seed) if self.shuffle else None  # one stream: each repeat goes on in it
        found = []
        for repeat in range(1, self.repeats + 1):
            if groups is not None:
                folds = group_kfold(groups, self.k, shuffle=self.shuffle, seed=rng)
            elif strata is not None:
                folds = stratified_kfold(strata, self.k, shuffle=self.shuffle, seed=rng)
            else:
                folds = kfold(len(reading), self.k, shuffle=self.shuffle, seed=rng)
            found += [((repeat, i), fold) for i, fold in enumerate(folds, 1)]
        return Split(tuple(fold for _, fold in found), tuple(number for number, _ in found), seed)

    def _strata(self, reading: Reading, data: Any, env: EvalEnvironment) -> Array | None:
        if not self._stratified:
            return None
        if self.stratify is True:
            if not isinstance(reading.model.family, Bernoulli):
                raise ValueError(
                    f"stratify=True is by a 0/1 response, and the family is {type(reading.model.family).__name__}: "
                    "name a column, or give an array of classes, such as pd.qcut(y, 5)"
                )
            classes = reading.y.astype(int)
            # By the names that the data have for them.
            design = reading.model.design
            return classes if design.success is None else np.array([design.failure, design.success])[classes]
        return row_labels(self.stratify, "stratify", reading, data, env)

    def _given(self, reading: Reading, data: Any, groups: Array | None) -> tuple[Fold, ...]:
        """Folds of a splitter: an object splits the rows in use, pairs of indices count the rows of the data."""
        if callable(getattr(self.splitter, "split", None)):
            folds = _of_object(self.splitter, reading, data, groups)
        else:
            folds = _of_pairs(self.splitter, reading)
        if groups is not None:
            _refuse_divided(folds, groups)
        return folds


def _of_object(splitter: Any, reading: Reading, data: Any, groups: Array | None) -> tuple[Fold, ...]:
    used, left_out = len(reading), reading.total - len(reading)
    table = data if isinstance(data, pd.DataFrame) else None
    if table is not None and left_out:
        table = table.iloc[reading.positions]
    try:
        return given_folds(splitter, used, reading.y, groups, table)
    except ValueError as error:
        if left_out:
            error.add_note(
                f"{left_out} of the {reading.total} rows of the data are left out, and the splitter is handed the "
                f"other {used}. Row numbers of the data go in as pairs: splitter=list(splitter.split(data))."
            )
        raise


def _of_pairs(pairs: Any, reading: Reading) -> tuple[Fold, ...]:
    place = np.full(reading.total, -1)
    place[reading.positions] = np.arange(len(reading))
    found = []
    for i, fold in enumerate(given_folds(pairs, reading.total), 1):
        train, test = (place[rows][place[rows] >= 0] for rows in fold)
        if not train.size or not test.size:
            raise ValueError(
                f"fold {i} of the splitter has no complete rows {'to hold out' if train.size else 'to train on'}"
            )
        found.append(Fold(train, test))
    return tuple(found)


def _refuse_divided(folds: Sequence[Fold], groups: Array) -> None:
    codes, levels = pd.factorize(groups)
    for i, (train, test) in enumerate(folds, 1):
        both = np.intersect1d(codes[train], codes[test])
        if both.size:
            raise ValueError(
                f"fold {i} of the splitter has rows of the group {levels[both[0]]!r} on both sides: leave groups out, "
                "or take a splitter that keeps to them, such as sklearn.model_selection.GroupKFold"
            )


def _numbers(folds: Sequence[Fold], n: int) -> tuple[tuple[int, int], ...]:
    """Repeat and fold of each fold of a splitter: a repeat has held out each of n rows once.

    Where the folds do not add up to repeats, as those of ``ShuffleSplit`` and ``TimeSeriesSplit``, there is one.
    """
    numbered: list[tuple[int, int]] = []
    repeat, held, rows = 1, 0, np.zeros(n, dtype=bool)
    first = 0
    for i, fold in enumerate(folds):
        numbered.append((repeat, i - first + 1))
        held += fold.test.size
        rows[fold.test] = True
        if held == n and rows.all():
            repeat, held, first = repeat + 1, 0, i + 1
            rows[:] = False
    return tuple(numbered) if held == 0 else tuple((1, i) for i in range(1, len(folds) + 1))
