"""Ways to split rows into folds, by hand: index arrays and NumPy, no model and no table.

Each fold is a pair of index arrays. scikit-learn takes them as they are: ``cross_val_score(..., cv=kfold(n, 5))``.
"""

import numbers
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from mlekit.links import Array
from mlekit.messages import warn
from mlekit.sources import as_column

_STRATIFIED_BY_NUMBERS = "with numbers that hardly repeat, stratify by classes of them: stratify=pd.qcut(y, 5)"


class Fold(NamedTuple):
    """One fold: the rows that are trained on, and the rows that are held out, both in increasing order."""

    train: Array
    test: Array


def kfold(n: int, k: int = 5, *, shuffle: bool = True, seed: Any = None) -> tuple[Fold, ...]:
    """Shuffle n rows and cut them into k folds whose sizes differ by at most one.

    The first ``n % k`` folds have one row more, as scikit-learn's ``KFold`` has it. (A ``fold_size = n // k`` would
    leave the last ``n % k`` rows out of every fold: they would be trained on always, and never held out.)

    Parameters
    ----------
    n : int
        Number of rows.
    k : int
        Number of folds, from 2 to n; n folds of one row each are leave-one-out.
    shuffle : bool
        Whether to shuffle first. Rows that are sorted by anything should be.
    seed : int or numpy.random.Generator, optional
        Of the shuffle.

    Raises
    ------
    TypeError
        If n is not a whole number.
    ValueError
        If k is not a whole number from 2 to n, or there is a seed and no shuffle.

    Examples
    --------
    >>> [fold.test.tolist() for fold in kfold(5, 2, shuffle=False)]
    [[0, 1, 2], [3, 4]]
    >>> train, test = kfold(5, 2, seed=1)[0]
    >>> sorted([*train.tolist(), *test.tolist()])
    [0, 1, 2, 3, 4]
    """
    if isinstance(n, bool) or not isinstance(n, numbers.Integral):
        raise TypeError(f"n, the number of rows, must be a whole number, not {type(n).__name__}: kfold(len(data), k)")
    check_k(k, n)
    fold_of = np.empty(n, dtype=int)
    for i, part in enumerate(np.array_split(_order(n, shuffle, seed), k)):
        fold_of[part] = i
    return _folds(fold_of, k)


def stratified_kfold(strata: Any, k: int = 5, *, shuffle: bool = True, seed: Any = None) -> tuple[Fold, ...]:
    """Cut rows into k folds that each have the same share of every stratum, to within one row.

    The rows of each stratum are shuffled and dealt to the folds in turn, one stratum after the other, so that the
    sizes of the folds differ by at most one as well.

    Parameters
    ----------
    strata : (n,) array
        A label per row, such as the class that is predicted.
    k, shuffle, seed
        As for :func:`kfold`.

    Raises
    ------
    ValueError
        If k is not a whole number from 2 to n, or no stratum has k rows.

    Warns
    -----
    UserWarning
        If a stratum has fewer than k rows: some folds hold out none of it.

    Examples
    --------
    >>> [fold.test.tolist() for fold in stratified_kfold(list("aaaabb"), 2, shuffle=False)]
    [[0, 2, 4], [1, 3, 5]]
    """
    levels, codes, counts = _levels(strata, "strata")
    check_k(k, codes.size)
    if counts.max() < k:
        raise ValueError(
            f"no stratum has {k} rows, one for each fold: the largest of {counts.size} has {counts.max()}. "
            f"Take fewer folds; {_STRATIFIED_BY_NUMBERS}"
        )
    if counts.min() < k:
        rare = ", ".join(f"{levels[i]!r} ({counts[i]})" for i in np.flatnonzero(counts < k)[:5])
        warn(
            f"strata with fewer rows than the {k} folds: {rare}; some folds hold out none of them. "
            "Take fewer folds, or merge rare classes",
            UserWarning,
        )
    order = _order(codes.size, shuffle, seed)
    dealt = order[np.argsort(codes[order], kind="stable")]
    fold_of = np.empty(codes.size, dtype=int)
    fold_of[dealt] = np.arange(codes.size) % k
    return _folds(fold_of, k)


def group_kfold(groups: Any, k: int = 5, *, shuffle: bool = True, seed: Any = None) -> tuple[Fold, ...]:
    """Cut rows into k folds that never divide a group: its rows are all trained on, or all held out.

    The largest group goes first, and each goes to the fold with the fewest rows so far, as in scikit-learn's
    ``GroupKFold``; a shuffle decides between groups of one size.

    Parameters
    ----------
    groups : (n,) array
        A label per row: the person, the school or the day that it belongs to.
    k, shuffle, seed
        As for :func:`kfold`; at most as many folds as groups.

    Raises
    ------
    ValueError
        If there are fewer groups than folds.

    Examples
    --------
    >>> [fold.test.tolist() for fold in group_kfold(list("aabbbc"), 2, shuffle=False)]
    [[2, 3, 4], [0, 1, 5]]
    """
    _, codes, counts = _levels(groups, "groups")
    check_k(k, codes.size)
    if counts.size < k:
        raise ValueError(
            f"{k} folds of {counts.size} group{'' if counts.size == 1 else 's'}: a group is never divided, so k must "
            "be at most the number of groups"
        )
    order = _order(counts.size, shuffle, seed)
    largest_first = order[np.argsort(-counts[order], kind="stable")]
    sizes = np.zeros(k, dtype=int)
    fold_of_group = np.empty(counts.size, dtype=int)
    for group in largest_first:
        smallest = int(np.argmin(sizes))
        fold_of_group[group] = smallest
        sizes[smallest] += counts[group]
    return _folds(fold_of_group[codes], k)


def given_folds(splitter: Any, n: int, y: Any = None, groups: Any = None, X: Any = None) -> tuple[Fold, ...]:
    """Folds of a scikit-learn splitter, or of pairs of index arrays.

    Parameters
    ----------
    splitter : object with ``split(X, y, groups)``, or iterable of (train, test)
        The indices count rows from 0; masks of n booleans will do as well.
    n : int
        Number of rows.
    y, groups : (n,) arrays, optional
    X : table of n rows, optional
        What a splitter may look at.

    Raises
    ------
    TypeError
        If it is neither.
    ValueError
        If a fold is empty on one side, has a row that there is not, or the same row twice on one side.

    Warns
    -----
    UserWarning
        If a row is on both sides of a fold.

    Examples
    --------
    >>> given_folds([([0, 1], [2]), ([2, 1], [0])], 3)[1].train.tolist()
    [1, 2]
    """
    if callable(getattr(splitter, "split", None)) and not isinstance(splitter, str | bytes):
        # No columns where there is no table: one that a splitter looks at must not be made up.
        pairs: Iterable[Any] = splitter.split(np.empty((n, 0)) if X is None else X, y, groups)
    elif isinstance(splitter, Iterable) and not isinstance(splitter, str | bytes):
        pairs = splitter
    else:
        raise TypeError(
            "splitter must have split(X, y, groups), as those of sklearn.model_selection have, or be pairs of index "
            f"arrays (train, test), not {splitter!r}"
        )
    folds = tuple(_given(i, pair, n) for i, pair in enumerate(pairs, 1))
    if not folds:
        raise ValueError("the splitter gives no fold: an iterator may have been used up already; pass a list")
    return folds


def _given(i: int, pair: Any, n: int) -> Fold:
    """Check one fold of a splitter."""
    try:
        train, test = pair
    except (TypeError, ValueError):
        raise TypeError(f"fold {i} of the splitter must be a pair of index arrays (train, test)") from None
    fold = Fold(_indices(train, n, f"fold {i} trains on"), _indices(test, n, f"fold {i} holds out"))
    both = np.intersect1d(*fold)
    if both.size:
        warn(
            f"fold {i} holds out {both.size} row{'s' if both.size > 1 else ''} that it trains on, the first {both[0]}: "
            "its score is that of known rows, and too good",
            UserWarning,
        )
    return fold


def _indices(rows: Any, n: int, what: str) -> Array:
    """Row numbers in increasing order, from row numbers or a mask."""
    found = np.asarray(rows)
    if found.dtype == bool and found.shape == (n,):
        found = np.flatnonzero(found)
    if found.size == 0:
        raise ValueError(f"{what} no rows: a fold needs rows on both sides")
    if found.ndim != 1 or found.dtype.kind not in "iu":
        raise TypeError(
            f"{what} rows that are not given as whole numbers from 0 to {n - 1}, or as a mask of {n} booleans"
        )
    if found.min() < 0 or found.max() >= n:
        wrong = found[(found < 0) | (found >= n)][0]
        raise ValueError(f"{what} row {wrong}: there are {n} rows, counted from 0")
    found = np.sort(found).astype(int, copy=False)
    if (np.diff(found) == 0).any():
        raise ValueError(f"{what} row {found[:-1][np.diff(found) == 0][0]} more than once: count it by weights instead")
    return found


def check_k(k: Any, n: int | None = None) -> None:
    """Refuse a number of folds that n rows cannot be cut into; without n, one that no rows can."""
    if isinstance(k, bool) or not isinstance(k, numbers.Integral):
        raise ValueError(f"k, the number of folds, must be a whole number, not {k!r}")
    if int(k) < 2:
        raise ValueError(
            f"k, the number of folds, must be at least 2, not {k}: one fold would leave nothing to train on"
        )
    if n is not None and int(k) > n:
        raise ValueError(
            f"{k} folds of {n} row{'' if n == 1 else 's'}: each fold needs a row, so k must be at most {n}; "
            "k = n leaves one row out at a time"
        )


def check_shuffle(shuffle: Any, seed: Any) -> None:
    """Refuse what does not say whether to shuffle, and a seed that would do nothing or is none."""
    if not isinstance(shuffle, bool | np.bool_):
        raise ValueError(f"shuffle must be True or False, not {shuffle!r}")
    if not shuffle and seed is not None:
        raise ValueError("without a shuffle the seed would do nothing: leave it out, or leave shuffle=True")
    generator(seed)


def generator(seed: Any) -> np.random.Generator:
    """Return NumPy's generator of a seed."""
    try:
        return np.random.default_rng(seed)
    except (TypeError, ValueError):
        raise ValueError(f"seed must be a whole number from 0, or None for one that is drawn, not {seed!r}") from None


def _order(n: int, shuffle: bool, seed: Any) -> Array:
    """Numbers from 0 to n - 1, shuffled or as they are."""
    check_shuffle(shuffle, seed)
    return generator(seed).permutation(n) if shuffle else np.arange(n)


def _levels(labels: Any, what: str) -> tuple[list[Any], Array, Array]:
    """Distinct labels, the number of each row's, and how many rows each has; missing ones are refused."""
    column = as_column(labels)
    if not isinstance(column, pd.Series) or column.empty:
        raise ValueError(f"{what} must be one label per row")
    codes, levels = pd.factorize(column)
    if (codes < 0).any():
        raise ValueError(
            f"{what} have {int((codes < 0).sum())} missing values, the first in row {int(np.argmax(codes < 0))}: "
            "a row without a label belongs to no fold. Drop these rows, or give them a label"
        )
    return levels.tolist(), codes, np.bincount(codes)


def _folds(fold_of: Array, k: int) -> tuple[Fold, ...]:
    """Folds from the number of the fold that holds each row out."""
    return tuple(Fold(np.flatnonzero(fold_of != i), np.flatnonzero(fold_of == i)) for i in range(k))
