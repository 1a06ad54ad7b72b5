"""How a call asks for folds, and the folds of a table that it gets."""

import numbers
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from patsy import EvalEnvironment

from mlekit.families import Bernoulli
from mlekit.folds import Fold, check_k, generator, given_folds, group_kfold, kfold, stratified_kfold
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
        generator(self.seed)
        if not isinstance(self.shuffle, bool | np.bool_):
            raise ValueError(f"shuffle must be True or False, not {self.shuffle!r}")
        if self.splitter is not None:
            defaults = {f.name: f.default for f in fields(self) if f.name in ("k", "shuffle", "repeats", "seed")}
            given = [name for name, default in defaults.items() if getattr(self, name) != default]
            if given:
                raise ValueError(f"a splitter says itself how to split: leave out {', '.join(given)}")
            return
        check_k(self.k)
        if self.stratify is not None and self.stratify is not False and self.groups is not None:
            raise ValueError(
                "stratify and groups cannot both be kept to: leave one out, or pass "
                "splitter=sklearn.model_selection.StratifiedGroupKFold(...) with both"
            )
        if not self.shuffle and (self.repeats > 1 or self.seed is not None):
            what = "repeats would all be the same" if self.repeats > 1 else "the seed would do nothing"
            raise ValueError(f"without a shuffle {what}: leave it out, or leave shuffle=True")

    def split(self, reading: Reading, data: Any, env: EvalEnvironment) -> Split:
        """Split the rows of a reading.

        Raises
        ------
        ValueError
            If they cannot be split so.
        """
        strata = self._strata(reading, data, env)
        groups = None if self.groups is None else row_labels(self.groups, "groups", reading, data, env)
        if self.splitter is not None:
            folds = self._given(reading, strata, groups)
            return Split(folds, tuple((1, i) for i in range(1, len(folds) + 1)), None)
        seed = self.seed
        if self.shuffle and seed is None:
            seed = int(np.random.default_rng().integers(2**32))
        rng = generator(seed)  # one stream: each repeat goes on in it
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
        if self.stratify is None or self.stratify is False:
            return None
        if self.stratify is True:
            if not isinstance(reading.model.family, Bernoulli):
                raise ValueError(
                    f"stratify=True is by a 0/1 response, and the family is {type(reading.model.family).__name__}: "
                    "name a column, or give an array of classes, such as pd.qcut(y, 5)"
                )
            return reading.y
        return row_labels(self.stratify, "stratify", reading, data, env)

    def _given(self, reading: Reading, strata: Array | None, groups: Array | None) -> tuple[Fold, ...]:
        """Folds of a splitter: an object splits the rows in use, pairs of indices count the rows of the data."""
        if callable(getattr(self.splitter, "split", None)):
            return given_folds(self.splitter, len(reading), reading.y if strata is None else strata, groups)
        place = np.full(reading.total, -1)
        place[reading.positions] = np.arange(len(reading))
        found = []
        for i, fold in enumerate(given_folds(self.splitter, reading.total), 1):
            train, test = (place[rows][place[rows] >= 0] for rows in fold)
            if not train.size or not test.size:
                raise ValueError(
                    f"fold {i} of the splitter has no complete rows {'to hold out' if train.size else 'to train on'}"
                )
            found.append(Fold(train, test))
        return tuple(found)
