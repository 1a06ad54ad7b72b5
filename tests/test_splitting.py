"""How a call asks for folds: splitters, repeats, strata and groups of a table."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.model_selection import (
    GroupKFold,
    PredefinedSplit,
    RepeatedKFold,
    ShuffleSplit,
    StratifiedGroupKFold,
    TimeSeriesSplit,
)

from mlekit.crossval import cross_validate


def table(n=40, seed=3):
    rng = np.random.default_rng(seed)
    data = pd.DataFrame({"x": rng.normal(size=n), "t": rng.uniform(1, 5, n), "g": np.arange(n) % 4})
    data["y"] = data["x"] + rng.normal(size=n)
    data["won"] = (rng.random(n) < 0.5).astype(int)
    return data


def test_groups_without_a_table_have_its_index():
    data = table().set_axis(range(40, 0, -1))
    y, x = data["y"], data["x"]
    assert y.index.equals(x.index)
    for given in (None, {"y": y, "x": x}, data):
        assert len(cross_validate("y ~ x", given, groups=data["g"], k=2, seed=0).scores) == 2
        with pytest.raises(ValueError, match="groups given as a Series must have the same index as the data"):
            cross_validate("y ~ x", given, groups=table()["g"], k=2)


def test_groups_of_the_caller_by_name():
    data = table()
    x, y, g, labelled = (
        data["x"].set_axis(range(1, 41)),
        data["y"].set_axis(range(1, 41)),
        data["g"].tolist(),
        data["g"],
    )
    assert x.index.equals(y.index)
    expected = cross_validate("y ~ x", data, groups="g", k=2, seed=0)
    for given in (None, {"x": x, "y": y}):
        cv = cross_validate("y ~ x", given, groups="g", k=2, seed=0)
        assert [fold.test.tolist() for fold in cv.folds] == [fold.test.tolist() for fold in expected.folds]
        with pytest.raises(ValueError, match="'labelled' is a Series with another index"):
            cross_validate("y ~ x", given, groups="labelled", k=2)
    assert len(g) == labelled.size


def test_strata_and_groups_both():
    """A splitter's folds are pairs of indices, with any strata; the groups are looked at all the same."""
    data = table()
    folds = StratifiedGroupKFold(2).split(data, data["won"], data["g"])
    cv = cross_validate("y ~ x", data, splitter=folds, groups="g")
    for ours, (train, test) in zip(cv.folds, StratifiedGroupKFold(2).split(data, data["won"], data["g"]), strict=True):
        assert [side.tolist() for side in ours] == [train.tolist(), test.tolist()]


def test_a_splitter_is_handed_the_rows_in_use():
    class Late:
        def split(self, X, y=None, groups=None):
            assert y.tolist() == X["y"].tolist()
            yield np.flatnonzero(X["t"] < 3), np.flatnonzero(X["t"] >= 3)

    data = table()
    data.loc[[0, 7], "x"] = np.nan
    fold = cross_validate("y ~ x", data, splitter=Late()).folds[0]
    used = data.drop(index=[0, 7])
    assert fold.test.tolist() == used.index[used["t"] >= 3].tolist()
    with pytest.raises(ValueError, match="there are 38 rows") as caught:
        cross_validate("y ~ x", data, splitter=PredefinedSplit(np.arange(40) % 2))
    assert "2 of the 40 rows of the data are left out" in caught.value.__notes__[0]
    cv = cross_validate("y ~ x", data, splitter=list(PredefinedSplit(np.arange(40) % 2).split()))
    assert cv.folds[0].test.tolist() == used.index[used.index % 2 == 0].tolist()


def test_a_class_with_fewer_rows_than_folds_warns():
    data = table().assign(won=[1] * 3 + [0] * 37)
    with pytest.warns(UserWarning, match=r"strata with fewer rows than the 5 folds: 1 \(3\)"):
        cv = cross_validate("won ~ 1", data, "bernoulli", stratify=True, seed=0)
    named = data.assign(won=np.where(data["won"] == 1, "yes", "no"))
    with pytest.warns(UserWarning, match=r"than the 5 folds: 'yes' \(3\)"):
        assert cross_validate("won ~ 1", named, "bernoulli", stratify=True, seed=0).scores.equals(cv.scores)


def test_strata_and_groups_of_an_array_are_cut_with_the_missing_rows():
    data = table()
    data.loc[::7, "x"] = np.nan
    for how in ({"groups": data["g"]}, {"groups": data["g"].astype(str).tolist()}, {"groups": "g"}):
        cv = cross_validate("y ~ x", data, k=2, seed=0, **how)
        for train, test in cv.folds:
            assert not set(data["g"].iloc[train]) & set(data["g"].iloc[test])
    cv = cross_validate("y ~ x", data, k=3, seed=0, stratify="g")
    counts = [data["g"].iloc[fold.test].value_counts().reindex(range(4)) for fold in cv.folds]
    assert np.ptp(np.array(counts), axis=0).max() <= 1


@pytest.mark.parametrize("splitter", [RepeatedKFold(n_splits=4, n_repeats=3, random_state=0), None], ids=str)
def test_folds_that_repeat_are_repeats_whoever_made_them(splitter):
    """More repeats of the same rows are no more rows: the standard error must not shrink with them."""
    first = cross_validate("y ~ x", table(), splitter=splitter or cross_validate("y ~ x", table(), repeats=3).folds)
    assert first.scores["repeat"].unique().tolist() == [1, 2, 3]
    errors = [stats.sem(scores) for _, scores in first.scores.groupby("repeat")["mse"]]
    assert first.standard_error["mse"] == pytest.approx(np.sqrt(np.mean(np.square(errors))))
    again = cross_validate("y ~ x", table(), splitter=first.folds)
    pd.testing.assert_frame_equal(again.scores, first.scores)


def test_folds_that_add_up_to_no_repeats_are_one():
    for splitter in (ShuffleSplit(4, random_state=0), TimeSeriesSplit(4), [(range(20), range(20, 39))] * 3):
        cv = cross_validate("y ~ x", table(), splitter=splitter)
        assert cv.scores["repeat"].unique().tolist() == [1]
        assert cv.scores["fold"].tolist() == [*range(1, len(cv.folds) + 1)]


@pytest.mark.parametrize("splitter", [GroupKFold(4), StratifiedGroupKFold(2)], ids=str)
def test_a_splitter_that_needs_groups(splitter):
    cv = cross_validate("won ~ x", table(), "bernoulli", splitter=splitter, groups="g")
    theirs = splitter.split(table(), table()["won"], table()["g"])
    for ours, (train, test) in zip(cv.folds, theirs, strict=True):
        assert ours.train.tolist() == train.tolist()
        assert ours.test.tolist() == test.tolist()
