"""Analytic against numerical maximum likelihood, side by side, as a table and as a picture."""

from __future__ import annotations

import io
import struct
import warnings
from html.parser import HTMLParser
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from patsy import EvalEnvironment

import mlekit
from mlekit.comparison import DEFAULT_METHODS, Comparison
from mlekit.datasets import load_africa, load_heights
from mlekit.optimize import METHODS

COLUMNS = ["status", "iterations", "evaluations", "llf", "max |score|", "distance (se)", "seconds"]


def models():
    data = load_africa()
    yield "poisson", ("miltcoup ~ parties", data, "poisson")
    yield "probit", ("I(miltcoup > 0) ~ parties", data, mlekit.Bernoulli(p="probit"))


@pytest.fixture(scope="module", params=models(), ids=lambda model: model[0])
def everything(request):
    """One model by every method there is."""
    return mlekit.compare(*request.param[1], methods=[*METHODS])


@pytest.fixture(scope="module")
def heights():
    return mlekit.compare("height ~ weight", load_heights())


# ------------------------------------------------------------------------------------------------ the table


def test_every_method_finds_the_maximum(everything):
    table = everything.table
    assert table.index.tolist() == [*METHODS]
    assert set(table["status"]) == {"converged"}
    assert table["distance (se)"].max() < 1e-4
    assert np.ptp(table["llf"]) < 1e-9


def test_the_columns_are_what_they_are_called(everything):
    table, best = everything.table, everything.fits[everything.best]
    assert table.columns.tolist() == COLUMNS
    for name, fit in everything.fits.items():
        row = table.loc[name]
        assert row["status"] == fit.status.name.lower()
        assert row["iterations"] == fit.iterations
        assert row["evaluations"] == fit.optimum.evaluations >= fit.iterations
        assert row["llf"] == fit.llf
        assert row["max |score|"] == pytest.approx(np.abs(fit.model.score(fit.params)).max(), rel=1e-6, abs=1e-12)
        assert row["distance (se)"] == np.abs((fit.params - best.params) / best.bse).max()
        assert 0 < row["seconds"] < 30
    assert table.loc[everything.best, "distance (se)"] == 0
    assert table.loc[everything.best, "max |score|"] == table["max |score|"].min()
    assert table["llf"].max() - best.llf < 1e-9


def test_the_methods_that_are_compared_unless_others_are_asked_for(heights):
    assert heights.table.index.tolist() == list(DEFAULT_METHODS)
    assert heights.table.loc["closed_form", ["status", "iterations", "evaluations"]].tolist() == ["closed_form", 0, 0]
    assert heights.best in ("closed_form", "newton", "fisher")
    without = mlekit.compare("miltcoup ~ parties", load_africa(), "poisson")
    assert without.table.index.tolist() == [name for name in DEFAULT_METHODS if name != "closed_form"]


def test_a_family_without_expected_information_has_no_fisher_scoring():
    class Gumbel(mlekit.GenericLikelihood):
        params = {"mu": "identity", "beta": "log"}

        def logpdf(self, y, mu, beta):
            z = (y - mu) / beta
            return -z - np.exp(-z) - np.log(beta)

    data = {"y": np.random.default_rng(0).gumbel(size=50)}
    found = mlekit.compare("y ~ 1", data, Gumbel)
    assert found.table.index.tolist() == ["newton", "bfgs", "l-bfgs-b", "nelder-mead"]
    with pytest.raises(ValueError, match="needs the expected information"):
        mlekit.compare("y ~ 1", data, Gumbel, methods=["newton", "fisher"])


def test_a_method_that_cannot_fit_is_refused_where_it_was_asked_for():
    with pytest.raises(ValueError, match="no closed form"):
        mlekit.compare("miltcoup ~ parties", load_africa(), "poisson", methods=["closed_form", "newton"])


def test_an_unknown_method_is_refused_before_any_fit():
    with pytest.raises(ValueError, match="unknown method 'bgfs': the methods are auto, closed_form, newton, fisher"):
        mlekit.compare("miltcoup ~ parties", load_africa(), "poisson", methods=["newton", "bgfs"])


def test_methods_by_any_spelling_and_each_once():
    found = mlekit.compare("miltcoup ~ parties", load_africa(), "poisson", methods=["BFGS", "Newton", "bfgs"])
    assert found.table.index.tolist() == ["bfgs", "newton"]


def test_a_start_for_every_iterative_method():
    found = mlekit.compare(
        "height ~ weight", load_heights(), start={"Intercept": 100, "weight": 1, "sigma_Intercept": 1}
    )
    assert found.table.index.tolist() == list(DEFAULT_METHODS)
    first = {name: fit.trace["llf"].iloc[0] for name, fit in found.fits.items() if len(fit.trace)}
    assert first["newton"] == first["fisher"] == pytest.approx(found.fits["newton"].model.loglike([100, 1, 1]))
    with pytest.raises(ValueError, match="start must be 2 finite numbers"):
        mlekit.compare("miltcoup ~ parties", load_africa(), "poisson", start=[0, 0, 0])


def test_options_reach_the_model():
    data = {"y": [1, 3, 2, 6, 5], "x": [0.0, 1, 2, 3, 4], "n": [10.0, 20, 30, 40, 50], "w": [1, 2, 1, 2, 1]}
    found = mlekit.compare("y ~ x", data, "poisson", weights="w", exposure="n", methods=["newton", "bfgs"])
    expected = mlekit.fit("y ~ x", data, "poisson", weights="w", exposure="n")
    assert found.fits["newton"].params.tolist() == expected.params.tolist()
    assert found.fits["bfgs"].nobs == 7
    with pytest.raises(ValueError, match="missing values"):
        mlekit.compare("y ~ x", data | {"x": [0.0, 1, np.nan, 3, 4]}, "poisson", missing="raise")
    with pytest.raises(TypeError, match="wieghts"):
        mlekit.compare("y ~ x", data, "poisson", wieghts="w")


def test_variables_of_the_callers():
    y, x = np.array([1.0, 3, 2, 6, 5]), np.arange(5.0)
    found = mlekit.compare("y ~ x", family="poisson", methods=["newton"])
    assert found.params.index.tolist() == ["Intercept", "x"]

    def half(values):
        return values / 2

    found = mlekit.compare("y ~ half(x)", {"y": y, "x": x}, "poisson", methods=["newton"])
    assert "half(x)" in found.params.index


def helper(formula, **where):
    x = np.array([5.0, 3, 1, 2, 4])
    return mlekit.compare(formula, {"y": [1.0, 3, 2, 6, 5]}, "poisson", methods=["newton"], **where).params, x


def test_the_scope_can_be_chosen():
    x = np.arange(5.0)
    here, theirs = helper("y ~ x", env=1)[0], helper("y ~ x")[0]
    assert here.loc["x", "newton"] == mlekit.fit("y ~ x", {"y": [1.0, 3, 2, 6, 5]}, "poisson").params["x"]
    assert theirs.loc["x", "newton"] != here.loc["x", "newton"]
    assert helper("y ~ x", env=EvalEnvironment.capture())[0].equals(here)
    with pytest.raises(ValueError, match="'x' is neither a column of the data nor a variable in scope"):
        helper("y ~ x", env=EvalEnvironment([{}]))
    assert x.size


def test_a_model_without_a_maximum():
    """No warning from any method: the table says it."""
    found = mlekit.compare("y ~ x", {"y": [0, 0, 0, 1, 1, 1], "x": [1, 2, 3, 4, 5, 6]}, "bernoulli")
    assert "converged" not in set(found.table["status"])
    assert found.fits[found.best].llf >= found.table["llf"].max() - 1e-11
    assert found.plot()


def test_methods_that_stop_short_are_shown_to():
    found = mlekit.compare("miltcoup ~ parties", load_africa(), "poisson", methods=["newton", "bfgs"], start=[3.0, 0.5])
    assert found.best == "newton"
    assert found.fits["newton"].converged


def test_coefficients_side_by_side(everything):
    params = everything.params
    assert params.columns.tolist() == [*METHODS]
    assert params["bfgs"].equals(everything.fits["bfgs"].params)


# ------------------------------------------------------------------------------------------------ how it looks


def test_as_text(heights):
    lines = str(heights).splitlines()
    assert len(lines) == 2 + len(heights.table)
    assert all(column in lines[0] for column in COLUMNS)
    assert repr(heights) == str(heights)
    assert max(map(len, lines)) <= 110


class Rows(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.open, self.count = [], 0
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        self.count += tag == "tr"

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_as_html(everything):
    text = everything._repr_html_()
    assert Rows(text).count == len(METHODS) + 2
    assert "max |score|" in text


def png(figure, **options):
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", **options)
    data = buffer.getvalue()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    return struct.unpack(">II", data[16:24])


def test_the_picture(everything):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = everything.plot()
        assert png(figure, dpi=100) == (640, 400)
    (axes,) = figure.axes
    assert axes.get_xlabel() == "iteration"
    assert axes.get_ylabel() == "log-likelihood below the maximum"
    assert axes.get_yscale() == "log"
    lines = {line.get_label(): line for line in axes.get_lines() if not line.get_label().startswith("_")}
    assert list(lines) == [*METHODS]
    looks = {(to_hex(line.get_color()), line.get_marker(), line.get_linestyle()) for line in lines.values()}
    assert len(looks) == len(METHODS)  # no two look the same, in colour or, by marker and dashes, in grey
    assert len({look[1:] for look in looks}) == len(METHODS)
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [*METHODS]
    for name, line in lines.items():
        trace = everything.fits[name].trace
        assert line.get_xdata().tolist() == trace["iteration"].tolist()
        left = np.maximum(everything.fits[everything.best].llf - trace["llf"], line.get_ydata().min())
        assert line.get_ydata() == pytest.approx(left.to_numpy())


def test_nothing_in_the_picture_is_cut_off_or_on_top_of_something_else(everything):
    figure = everything.plot()
    figure.draw_without_rendering()
    (axes,), (legend,) = figure.axes, figure.legends
    page, box = figure.bbox, legend.get_window_extent()
    assert box.x1 <= page.x1 + 1
    assert box.y0 >= page.y0
    assert box.x0 >= axes.get_window_extent().x1
    for label in (axes.xaxis.label, axes.yaxis.label, axes.title):
        extent = label.get_window_extent()
        assert page.x0 <= extent.x0 < extent.x1 <= page.x1
        assert page.y0 <= extent.y0 < extent.y1 <= page.y1
    ticks = [tick.label1.get_window_extent() for tick in axes.xaxis.get_major_ticks() if tick.label1.get_text()]
    shown = [tick for tick in ticks if axes.bbox.x0 <= (tick.x0 + tick.x1) / 2 <= axes.bbox.x1]
    assert all(a.x1 < b.x0 for a, b in pairwise(shown))


def test_a_closed_form_is_a_point_at_the_maximum(heights):
    line = heights.plot().axes[0].get_lines()[0]
    assert line.get_label() == "closed_form"
    assert line.get_xdata().tolist() == [0]
    assert line.get_ydata() == pytest.approx(1e-14, rel=1)


def test_a_picture_of_few_iterations_has_an_even_axis():
    found = mlekit.compare("miltcoup ~ parties", load_africa(), "poisson", methods=["newton"])
    assert found.plot().axes[0].get_xscale() == "linear"


def test_a_comparison_is_a_plain_record(heights):
    assert isinstance(heights, Comparison)
    assert isinstance(heights.table, pd.DataFrame)
    with pytest.raises(AttributeError):
        heights.best = "bfgs"
