"""Fits that the command line saves, and its predictions by them."""

import io

import pandas as pd

import mlekit
from mlekit import datasets
from tests.command import AFRICA, POISSON


def test_a_fit_is_saved_and_predicts(run, tmp_path):
    path, new = tmp_path / "fit.json", tmp_path / "new.csv"
    assert run("fit", AFRICA, *POISSON, "--save", str(path))[0] == 0
    rows = pd.DataFrame({"parties": [0.0, 62.0, None]})
    rows.to_csv(new, index=False)
    fit = mlekit.fit(AFRICA, datasets.load_africa(), "poisson")
    assert mlekit.load(path).params.equals(fit.params)
    status, out, err = run("predict", str(path), "--data", str(new))
    assert (status, err) == (0, "")
    found = pd.read_csv(io.StringIO(out), index_col=0)
    pd.testing.assert_frame_equal(found, fit.get_prediction(rows).summary_frame(), check_exact=True)
    status, out, _ = run("predict", str(path), "--data", str(new), "--what", "linear")
    found = pd.read_csv(io.StringIO(out), index_col=0)
    pd.testing.assert_series_equal(found["linear"], fit.predict(rows, "linear"), check_exact=True, check_names=False)


def test_what_is_no_fit_is_said(run, tmp_path):
    path = tmp_path / "fit.json"
    path.write_text("{}")
    status, out, err = run("predict", str(path), "--data", "africa")
    assert (status, out) == (1, "")
    assert err.startswith("mlekit: error: the file is no saved fit: it lacks format, version")
    status, _, err = run("predict", str(tmp_path / "none.json"), "--data", "africa")
    assert (status, err) == (1, f"mlekit: error: {tmp_path / 'none.json'}: No such file or directory\n")
    status, _, err = run("fit", AFRICA, *POISSON, "--save", str(tmp_path / "no" / "fit.json"))
    assert status == 1
    assert "choose another path" in err
