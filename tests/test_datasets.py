import csv

import pandas as pd
import pytest

from mlekit import datasets
from mlekit.datasets import load_africa, load_heights
from tests.reference import load

# Added up with awk from the figures of the source.
AFRICA_SUMS = {
    "miltcoup": 57,
    "oligarchy": 188,
    "pollib": 59,
    "parties": 615,
    "pctvote": 1156.01,
    "popn": 416.625,
    "size": 17445.5,
    "numelec": 242,
    "numregim": 99,
}


def test_africa_has_the_36_complete_countries():
    africa = load_africa()
    assert africa.shape == (36, 10)
    assert list(africa.columns) == ["country", *AFRICA_SUMS]
    assert not africa.isna().any(axis=None)
    assert africa["country"].is_unique
    assert list(africa["country"].iloc[[0, -1]]) == ["Benin", "Zambia"]


@pytest.mark.parametrize("column", AFRICA_SUMS)
def test_africa_column_sums(column):
    assert load_africa()[column].sum() == pytest.approx(AFRICA_SUMS[column], rel=1e-14)


def test_africa_types():
    kinds = {column: dtype.kind for column, dtype in load_africa().drop(columns="country").dtypes.items()}
    floats = {column for column, kind in kinds.items() if kind == "f"}
    assert floats == {"pctvote", "popn", "size"}
    assert {kind for column, kind in kinds.items() if column not in floats} == {"i"}


def test_africa_is_the_data_of_the_reference_fit():
    expected = load("africa_poisson_parties").frame
    pd.testing.assert_frame_equal(load_africa()[list(expected.columns)], expected)


def test_heights_are_the_data_of_the_reference_fit():
    heights = load_heights()
    assert list(heights["height"]) == [158, 160, 165, 168]
    assert list(heights["weight"]) == [48, 53, 54, 60]
    expected = load("heights_ols").frame
    pd.testing.assert_frame_equal(heights[list(expected.columns)], expected)
    slope = (heights["height"] * heights["weight"]).sum() / (heights["weight"] ** 2).sum()
    assert slope == 35054 / 11629


@pytest.mark.parametrize("name", datasets.names())
def test_every_data_set_is_loaded_whole_and_every_column_described(name):
    with (datasets._folder() / f"{name}.csv").open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    frame = datasets.load(name)
    assert list(frame.columns) == header
    assert len(frame) == len(rows)
    text = datasets.describe(name)
    assert f"{len(rows)} rows" in text
    assert f"{len(header)} columns" in text
    assert "Source:" in text
    for column in header:
        assert f"| `{column}` |" in text
        assert f"{column} : " in getattr(datasets, f"load_{name}").__doc__


@pytest.mark.parametrize("read", [datasets.load, datasets.describe])
def test_unknown_name_lists_the_known_ones(read):
    with pytest.raises(ValueError, match=r"'afrika': did you mean 'africa'\?.*: africa, heights\."):
        read("afrika")
    with pytest.raises(ValueError, match=r"no data set is called 'iris'\. The data sets are: africa, heights\."):
        read("iris")
    with pytest.raises(ValueError, match=r"no data set is called '\.\./africa'"):  # names only, no paths
        read("../africa")


def test_each_call_gives_a_fresh_frame():
    first = load_africa()
    first["parties"] = 0
    assert load_africa()["parties"].sum() == 615


def test_a_wheel_finds_its_own_files_first(tmp_path, monkeypatch):
    inside, beside = tmp_path / "mlekit" / "_datasets", tmp_path / "datasets"
    monkeypatch.setattr(datasets, "_FOLDERS", (inside, beside))
    beside.mkdir()  # somebody else's package of that name
    with pytest.raises(FileNotFoundError, match="reinstall mlekit"):
        datasets.names()
    inside.mkdir(parents=True)
    (inside / "africa.csv").write_text("country,miltcoup\nBenin,5\n")
    assert datasets.names() == ["africa"]
    assert datasets.load("africa").shape == (1, 2)
