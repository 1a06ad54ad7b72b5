"""Tables of fits as HTML, LaTeX, Markdown, text and in great_tables: their structure, and every character."""

from __future__ import annotations

import re
import sys
import xml.etree.ElementTree as ET

import pytest

import mlekit
from mlekit.datasets import load_africa

AFRICA = load_africa()
NASTY = r"a_b & <i>c</i> | d*e* $f$ 50% #g ~h^ {j} \k `l` [m] n\|o"


@pytest.fixture(scope="module")
def fits():
    return [mlekit.fit(f"miltcoup ~ parties{more}", AFRICA, "poisson") for more in ("", " + pollib")]


@pytest.fixture(scope="module")
def nasty(fits):
    labels = {"parties": NASTY, "sigma": NASTY + "2"}
    fit = mlekit.fit("miltcoup ~ parties", AFRICA)
    return mlekit.table({NASTY: fits[0], "b": fit}, labels=labels, title=NASTY, extra={NASTY: [NASTY, 1]}, stars=True)


def text_of(element):
    return "".join(element.itertext())


def test_html_is_well_formed_and_shows_every_character(nasty):
    root = ET.fromstring(nasty.as_html())
    assert root.tag == "table"
    rows = [[int(cell.get("colspan", 1)) for cell in row] for row in root.iter("tr")]
    assert {sum(row) for row in rows} == {3}
    assert text_of(root.find("caption")) == NASTY
    shown = [text_of(cell) for cell in root.iter("th")]
    assert shown.count(NASTY) == 3  # a name, a coefficient, a row of one's own
    assert NASTY + "2" in shown
    assert len(rows) == len(nasty.heads) + len(nasty.lines) + 2  # a heading and the notes
    assert text_of(root.find("tfoot")).startswith("Standard errors in parentheses.")
    assert nasty._repr_html_() == nasty.as_html()


def test_latex_has_the_structure_of_a_table(nasty):
    text = nasty.as_latex("tab:a_b")
    assert text.count(r"\toprule") == text.count(r"\bottomrule") == 1
    opened, closed = re.findall(r"\\begin{(\w+)}", text), re.findall(r"\\end{(\w+)}", text)
    assert opened == ["table", "tabular", "minipage"]
    assert closed == ["tabular", "minipage", "table"]
    assert r"\begin{tabular}{lcc}" in text
    assert r"\label{tab:a_b}" in text
    plain = re.sub(r"\\[\\{}&%$#_]", "", text)  # without what is escaped
    assert plain.count("{") == plain.count("}")
    assert plain.count("$") % 2 == 0
    rows = re.sub(r"\\\\\n?", "\n", text.partition(r"\toprule")[2].partition(r"\bottomrule")[0]).splitlines()
    cells = [len(re.findall(r"(?<!\\)&", row)) for row in rows if row and not row.startswith((r"\midrule", r"\multi"))]
    assert set(cells) == {2}
    assert not re.search(r"(?<!\\)[#%_]", plain.replace(r"\label{tab:ab}", "").replace("tab:a_b", ""))


def test_latex_does_not_take_a_label_for_an_argument(fits):
    text = mlekit.table(fits, labels={"parties": "[t]", "Intercept": "*"}).as_latex()
    assert not re.search(r"\\(\\|midrule)\s*[\[*]", text)


def test_markdown_is_a_table(nasty):
    text = nasty.as_markdown()
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {4}
    markdown = pytest.importorskip("markdown_it").MarkdownIt("gfm-like", {"linkify": False})
    root = ET.fromstring(f"<div>{markdown.render(text)}</div>")
    assert text_of(root.find("p")) == NASTY
    found = [[text_of(cell) for cell in row] for row in root.iter("tr")]
    assert {len(row) for row in found} == {3}
    assert found[0] == ["", *nasty.heads[0]]
    lines = [tuple(row[1:]) for row in found[len(nasty.heads) :] if row[0] != NASTY + "2"]
    assert [line for line in lines if any(line)] == [line.cells for line in nasty.lines]


def test_text_is_aligned_and_one_line_a_row(fits):
    table = mlekit.table({"a\nb": fits[0], "longer than all of its numbers": fits[1]}, stars=True, title="two\nlines")
    rules = [line for line in str(table).splitlines() if set(line) in ({"="}, {"-"})]
    assert len(rules) == 4
    assert len(set(map(len, rules))) == 1
    assert str(table).startswith("two lines\n")
    at = [re.search(r"\d(?=\D*$)", line).start() for line in str(table).splitlines()[5:11] if re.search(r"\d", line)]
    assert len(set(at)) == 1  # the last digits of a column


def test_great_tables_show_the_same(nasty):
    pytest.importorskip("great_tables")
    made = nasty.as_great_table()
    html = made.as_raw_html()
    body = html[html.index("<table") : html.index("</table>")]
    shown = [re.sub(r"<[^>]+>", "", cell) for cell in re.findall(r"<td[^>]*gt_row[^>]*>(.*?)</td>", body)]
    assert len(shown) == 2 * len(nasty.lines)
    assert "<i>" not in body
    assert body.count("gt_sourcenote") >= len(nasty.notes)


def test_great_tables_that_are_not_there(nasty, monkeypatch):
    monkeypatch.setitem(sys.modules, "great_tables", None)
    with pytest.raises(ImportError, match=r'pip install "mlekit\[tables\]"'):
        nasty.as_great_table()
