"""Splitting rows into folds: what has to hold for any of them, and scikit-learn's own."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import (
    GroupKFold,
    KFold,
    LeaveOneOut,
    ShuffleSplit,
    StratifiedKFold,
    TimeSeriesSplit,
    cross_val_score,
)

from mlekit.folds import Fold, given_folds, group_kfold, kfold, stratified_kfold

sizes = st.integers(2, 60).flatmap(lambda n: st.tuples(st.just(n), st.integers(2, n)))
seeds = st.integers(0, 2**32)


def check_partition(folds, n, k):
    """Each row is held out once, and trained on in all other folds."""
    assert len(folds) == k
    assert sorted(np.concatenate([fold.test for fold in folds])) == list(range(n))
    for train, test in folds:
        assert train.size
        assert test.size
        assert sorted([*train, *test]) == list(range(n))
        assert (np.diff(train) > 0).all()
        assert (np.diff(test) > 0).all()


# ------------------------------------------------------------------------------------------------ plain


@given(sizes, st.booleans(), seeds)
def test_every_row_is_held_out_once_and_sizes_are_those_of_scikit_learn(size, shuffle, seed):
    n, k = size
    folds = kfold(n, k, shuffle=shuffle, seed=seed if shuffle else None)
    check_partition(folds, n, k)
    theirs = [test.size for _, test in KFold(k).split(np.zeros(n))]
    assert [fold.test.size for fold in folds] == theirs


@given(sizes)
def test_without_a_shuffle_the_folds_are_those_of_scikit_learn(size):
    n, k = size
    for ours, theirs in zip(kfold(n, k, shuffle=False), KFold(k).split(np.zeros(n)), strict=True):
        assert ours.train.tolist() == theirs[0].tolist()
        assert ours.test.tolist() == theirs[1].tolist()


def test_the_shuffle_follows_the_seed():
    def tests(seed):
        return [fold.test.tolist() for fold in kfold(30, 3, seed=seed)]

    assert tests(1) == tests(1)
    assert tests(1) != tests(2)
    assert tests(1) != [fold.test.tolist() for fold in kfold(30, 3, shuffle=False)]
    assert tests(np.random.default_rng(1)) == tests(1)


def test_every_row_is_as_likely_to_be_in_any_fold():
    rng = np.random.default_rng(5)
    counts = np.zeros((5, 2))
    for _ in range(4000):
        for i, fold in enumerate(kfold(5, 2, seed=rng)):
            counts[fold.test, i] += 1
    # fold 1 has 3 of 5 rows: five standard deviations of a binomial share
    assert np.abs(counts[:, 0] / 4000 - 0.6).max() < 5 * np.sqrt(0.6 * 0.4 / 4000)


def test_as_many_folds_as_rows_leave_one_out():
    folds = kfold(6, 6, shuffle=False)
    for ours, theirs in zip(folds, LeaveOneOut().split(np.zeros(6)), strict=True):
        assert ours.test.tolist() == theirs[1].tolist()


def test_scikit_learn_takes_the_folds_as_they_are():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(20, 2)), rng.normal(size=20)
    assert cross_val_score(LinearRegression(), X, y, cv=kfold(20, 4, seed=0)).shape == (4,)


# ------------------------------------------------------------------------------------------------ strata and groups


@st.composite
def labelled(draw, most=6):
    n = draw(st.integers(5, 60))
    return draw(st.lists(st.integers(0, most), min_size=n, max_size=n))


@given(labelled(), st.integers(2, 5), st.booleans(), seeds)
@pytest.mark.filterwarnings("ignore:strata with fewer rows:UserWarning")
def test_strata_are_balanced_to_one_row_and_so_are_sizes(strata, k, shuffle, seed):
    strata = np.array(strata)
    if np.bincount(strata).max() < k:
        with pytest.raises(ValueError, match="no stratum has"):
            stratified_kfold(strata, k, seed=seed)
        return
    folds = stratified_kfold(strata, k, shuffle=shuffle, seed=seed if shuffle else None)
    check_partition(folds, strata.size, k)
    assert np.ptp([fold.test.size for fold in folds]) <= 1
    for level in np.unique(strata):
        assert np.ptp([(strata[fold.test] == level).sum() for fold in folds]) <= 1


@given(labelled(), st.integers(2, 5), st.booleans(), seeds)
def test_groups_are_never_divided(groups, k, shuffle, seed):
    groups = np.array(groups)
    if np.unique(groups).size < k:
        with pytest.raises(ValueError, match="a group is never divided"):
            group_kfold(groups, k, seed=seed)
        return
    folds = group_kfold(groups, k, shuffle=shuffle, seed=seed if shuffle else None)
    check_partition(folds, groups.size, k)
    for train, test in folds:
        assert not set(groups[train]) & set(groups[test])
    # Greedy: no fold is larger than the smallest by more than one group.
    ours = [fold.test.size for fold in folds]
    assert max(ours) - min(ours) <= np.bincount(groups).max()
    theirs = [test.size for _, test in GroupKFold(k).split(groups, groups=groups)]
    assert sorted(ours) == sorted(theirs)


def test_a_shuffle_changes_which_groups_are_together():
    groups = np.repeat(np.arange(20), 2)
    found = {tuple(fold.test) for seed in range(5) for fold in group_kfold(groups, 4, seed=seed)}
    assert len(found) > 4


@pytest.mark.parametrize("kind", [list, np.array, pd.Series, pl.Series, pd.Categorical, tuple])
def test_labels_may_be_any_sequence(kind):
    labels = kind(["b", "a", "b", "a", "b", "a"])
    for fold in stratified_kfold(labels, 3, seed=0):
        assert sorted(np.array(["b", "a"] * 3)[fold.test]) == ["a", "b"]


@pytest.mark.parametrize("split", [stratified_kfold, group_kfold])
@pytest.mark.parametrize("absent", [None, np.nan, pd.NA])
def test_missing_labels_are_refused(split, absent):
    with pytest.raises(ValueError, match="have 1 missing values, the first in row 2"):
        split(["a", "b", absent, "a", "b", "a"], 2)


def test_a_rare_stratum_warns_and_names_it():
    with pytest.warns(UserWarning, match=r"strata with fewer rows than the 3 folds: 'rare' \(1\)"):
        stratified_kfold(["common"] * 8 + ["rare"], 3, seed=0)


# ------------------------------------------------------------------------------------------------ a splitter's


@pytest.mark.parametrize(
    "splitter",
    [KFold(3), TimeSeriesSplit(3), LeaveOneOut(), ShuffleSplit(4, random_state=0), StratifiedKFold(3), GroupKFold(3)],
    ids=lambda splitter: type(splitter).__name__,
)
def test_folds_of_scikit_learn(splitter):
    y = np.tile([0.0, 1.0], 6)
    groups = np.repeat(np.arange(4), 3) if isinstance(splitter, GroupKFold) else None  # the others warn of them
    ours = given_folds(splitter, 12, y, groups)
    for fold, (train, test) in zip(ours, splitter.split(np.zeros((12, 1)), y, groups), strict=True):
        assert fold.train.tolist() == sorted(train)
        assert fold.test.tolist() == sorted(test)


def test_folds_as_pairs_and_masks():
    mask = np.array([True, False, True])
    assert [[side.tolist() for side in fold] for fold in given_folds([(mask, ~mask), (range(2), [2])], 3)] == [
        [[0, 2], [1]],
        [[0, 1], [2]],
    ]
    assert given_folds((Fold(np.array([1]), np.array([0])) for _ in range(2)), 2)[1].train.tolist() == [1]


@pytest.mark.parametrize(
    ("pairs", "error", "message"),
    [
        ([], ValueError, "gives no fold"),
        ([([0, 1], [])], ValueError, "fold 1 holds out no rows"),
        ([([0], [1]), ([], [1])], ValueError, "fold 2 trains on no rows"),
        ([([0, 1], [3])], ValueError, "fold 1 holds out row 3: there are 3 rows"),
        ([([0, -1], [1])], ValueError, "fold 1 trains on row -1"),
        ([([0, 0], [1])], ValueError, "fold 1 trains on row 0 more than once"),
        ([([0.0, 1.0], [2])], TypeError, "fold 1 trains on rows that are not given as whole numbers"),
        ([(["a"], [2])], TypeError, "fold 1 trains on rows that are not given as whole numbers"),
        ([([[0], [1]], [2])], TypeError, "fold 1 trains on rows that are not given as whole numbers"),
        ([([True, False], [2])], TypeError, "mask of 3 booleans"),
        ([[0, 1, 2]], TypeError, "must be a pair of index arrays"),
        ([3], TypeError, "must be a pair of index arrays"),
        ("kfold", TypeError, "splitter must have split"),
        (5, TypeError, "splitter must have split"),
    ],
)
def test_folds_that_cannot_be(pairs, error, message):
    with pytest.raises(error, match=message):
        given_folds(pairs, 3)


class ByItsColumn:
    """A splitter that looks at the table."""

    def split(self, X, y=None, groups=None):
        late = np.asarray(X)[:, 0] > 2
        yield np.flatnonzero(~late), np.flatnonzero(late)


def test_a_splitter_looks_at_the_table_or_at_nothing():
    assert given_folds(ByItsColumn(), 4, X=np.arange(4)[:, None])[0].test.tolist() == [3]
    with pytest.raises(IndexError):
        given_folds(ByItsColumn(), 4)


def test_rows_on_both_sides_warn():
    with pytest.warns(UserWarning, match="fold 1 holds out 2 rows that it trains on, the first 1"):
        given_folds([([0, 1, 2], [1, 2])], 3)


# ------------------------------------------------------------------------------------------------ bad input


@pytest.mark.parametrize(
    ("k", "message"),
    [
        (1, "at least 2"),
        (0, "at least 2"),
        (-3, "at least 2"),
        (7, "7 folds of 6 rows"),
        (2.0, "whole number"),
        ("5", "whole number"),
        (True, "whole number"),
        (None, "whole number"),
    ],
)
def test_impossible_numbers_of_folds(k, message):
    for split, rows in ((kfold, 6), (stratified_kfold, [0] * 6), (group_kfold, range(6))):
        with pytest.raises(ValueError, match=message):
            split(rows, k)


@pytest.mark.parametrize("seed", [-1, "today", 1.5])
def test_impossible_seeds(seed):
    with pytest.raises(ValueError, match="seed must be a whole number"):
        kfold(6, 2, seed=seed)


@pytest.mark.parametrize("split", [kfold, stratified_kfold, group_kfold])
def test_impossible_shuffles(split):
    rows = 6 if split is kfold else [0, 0, 0, 1, 1, 1]
    with pytest.raises(ValueError, match="shuffle must be True or False, not 'no'"):
        split(rows, 2, shuffle="no")
    with pytest.raises(ValueError, match="without a shuffle the seed would do nothing"):
        split(rows, 2, shuffle=False, seed=1)


@pytest.mark.parametrize("rows", [6.0, "6", [1, 2, 3], pd.DataFrame({"x": range(6)}), True])
def test_a_number_of_rows_is_not_the_rows(rows):
    with pytest.raises(TypeError, match=r"must be a whole number, not \w+: kfold\(len\(data\), k\)"):
        kfold(rows, 2)
