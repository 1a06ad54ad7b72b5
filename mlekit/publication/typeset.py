"""A table of fits as text, HTML, LaTeX and Markdown."""

import re
import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from mlekit.publication.figures import in_html, in_latex
from mlekit.summary import escaped

_MARKDOWN = re.compile(r"([\\`*_\[\]<>|~$&#])")
_WIDTH = 78


@dataclass(frozen=True)
class Line:
    """A line of a table.

    Attributes
    ----------
    part : {"coefficients", "statistics"}
    group : str
        The heading that it stands under, or empty.
    label : str
        What it is of.
    figure : str
        Which number of it: ``"estimate"``, ``"std err"``, ...; ``"text"`` where there are words.
    cells : tuple of str
        One for each fit.
    """

    part: str
    group: str
    label: str
    figure: str
    cells: tuple[str, ...]

    @property
    def stub(self) -> str:
        """The label, once for all figures."""
        return "" if self.figure not in ("estimate", "text", "number") else self.label


@dataclass(frozen=True, repr=False)
class Table:
    """Several fits side by side, as they are published; made by :func:`mlekit.table`.

    ``print`` shows it as text, a notebook as HTML.

    Attributes
    ----------
    title : str
    heads : tuple of tuple of str
        Lines above the columns: names, responses, and which fits did not converge.
    lines : tuple of Line
        Coefficients, and then statistics.
    notes : tuple of str
        What a reader must know to read the numbers.
    """

    title: str
    heads: tuple[tuple[str, ...], ...]
    lines: tuple[Line, ...]
    notes: tuple[str, ...]

    def __str__(self) -> str:
        return self.as_text()

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return self.as_html()

    def _parts(self) -> Iterator[list[Line]]:
        """The coefficients and the statistics, as far as there are any."""
        for part in ("coefficients", "statistics"):
            found = [line for line in self.lines if line.part == part]
            if found:
                yield found

    def _rows(self, part: Sequence[Line]) -> Iterator[tuple[str, Line | None]]:
        """Stubs with their lines, and headings without one."""
        group = ""
        for line in part:
            if line.group != group:
                group = line.group
                yield group, None
            yield line.stub, line

    def to_frame(self) -> pd.DataFrame:
        """Return the cells as text: a row for each line, by part, group, label and figure; a column for each fit.

        Examples
        --------
        >>> import mlekit
        >>> from mlekit.datasets import load_africa
        >>> frame = mlekit.table(mlekit.fit("miltcoup ~ parties", load_africa(), "poisson")).to_frame()
        >>> frame.loc[("coefficients", "", "parties", "std err"), "(1)"]
        '(0.00894)'
        """
        keys = [(line.part, line.group, line.label, line.figure) for line in self.lines]
        index = pd.MultiIndex.from_tuples(keys, names=["part", "group", "label", "figure"])
        return pd.DataFrame([line.cells for line in self.lines], index=index, columns=list(self.heads[0]))

    # ------------------------------------------------------------------------------------------------ text

    def as_text(self) -> str:
        """Return the table as text, its digits aligned."""
        count = len(self.heads[0])
        figures = [line for line in self.lines if line.figure != "text"]
        hanging = [max((_behind(line.cells[j]) for line in figures), default=0) for j in range(count)]
        rows: list[tuple[str, Sequence[str]] | None] = [("", head) for head in self.heads]  # None for a rule
        for part in self._parts():
            rows.append(None)
            for stub, line in self._rows(part):
                if line is None:
                    rows.append((stub, [""] * count))
                    continue
                cells = line.cells if line.figure == "text" else _hung(line.cells, hanging)
                rows.append(("  " + stub if line.group else stub, cells))
        return "\n".join([*([self.title] if self.title else []), *_drawn(rows, self.notes)])

    # ------------------------------------------------------------------------------------------------ HTML

    def as_html(self) -> str:
        """Return the table as HTML: one ``<table>``, with title and notes inside."""
        left, middle = ' style="text-align: left"', ' style="text-align: center"'
        out = ['<table class="mlekit-table" style="border-collapse: collapse">']
        if self.title:
            out.append(f"<caption>{escaped(self.title, 'html')}</caption>")
        out.append("<thead>")
        for head in self.heads:
            cells = "".join(f'<th scope="col"{middle}>{escaped(name, "html")}</th>' for name in head)
            out.append(f"<tr><td></td>{cells}</tr>")
        out.append("</thead>")
        span = len(self.heads[0]) + 1
        for part in self._parts():
            out.append('<tbody style="border-top: 1px solid">')
            for stub, line in self._rows(part):
                if line is None:
                    out.append(f'<tr><th scope="rowgroup" colspan="{span}"{left}>{escaped(stub, "html")}</th></tr>')
                    continue
                cells = "".join(f"<td{middle}>{_typeset(cell, line, 'html', in_html)}</td>" for cell in line.cells)
                plain = "text-align: left; font-weight: normal" + ("; padding-left: 1.5em" if line.group else "")
                out.append(f'<tr><th scope="row" style="{plain}">{escaped(stub, "html")}</th>{cells}</tr>')
            out.append("</tbody>")
        notes = "<br/>".join(escaped(note, "html") for note in self.notes)
        out.append(f'<tfoot style="border-top: 1px solid"><tr><td colspan="{span}"{left}>{notes}</td></tr></tfoot>')
        return "\n".join([*out, "</table>"])

    # ------------------------------------------------------------------------------------------------ LaTeX

    def as_latex(self, label: str = "") -> str:
        r"""Return the table as LaTeX, which needs the package booktabs; ``label`` is for ``\ref``."""
        count = len(self.heads[0])
        rows = [_latex_row("", [escaped(cell, "latex") for cell in head]) for head in self.heads]
        for part in self._parts():
            rows.append(r"\midrule")
            for stub, line in self._rows(part):
                if line is None:
                    rows.append(rf"\multicolumn{{{count + 1}}}{{l}}{{\textit{{{escaped(stub, 'latex')}}}}} \\")
                    continue
                shift = r"\quad " if line.group and stub else ""
                cells = [_typeset(cell, line, "latex", in_latex) for cell in line.cells]
                rows.append(_latex_row(shift + escaped(stub, "latex"), cells))
        notes = "\\par\n".join(escaped(note, "latex") for note in self.notes)
        return "\n".join(
            [
                r"\begin{table}[htbp]",
                r"\centering",
                *([rf"\caption{{{escaped(self.title, 'latex')}}}"] if self.title else []),
                *([rf"\label{{{label}}}"] if label else []),
                rf"\begin{{tabular}}{{l{'c' * count}}}",
                r"\toprule",
                *rows,
                r"\bottomrule",
                r"\end{tabular}",
                r"\par\smallskip",
                r"\begin{minipage}{0.95\linewidth}\footnotesize\raggedright",
                notes,
                r"\end{minipage}",
                r"\end{table}",
            ]
        )

    # ------------------------------------------------------------------------------------------------ Markdown

    def as_markdown(self) -> str:
        """Return the table as Markdown, in GitHub's syntax."""
        names, *heads = self.heads
        out = [*([f"**{_in_markdown(self.title)}**", ""] if self.title else []), _markdown_row("", names)]
        out.append("|:--|" + ":-:|" * len(names))
        out += [_markdown_row("", head) for head in heads]
        for i, part in enumerate(self._parts()):
            out += [_markdown_row("", [""] * len(names))] * min(i, 1)  # there is no rule between rows
            for stub, line in self._rows(part):
                if line is None:
                    out.append(f"| **{_in_markdown(stub)}** |" + " |" * len(names))
                else:
                    out.append(_markdown_row(stub, line.cells))
        return "\n".join([*out, "", *(f"- {_in_markdown(note)}" for note in self.notes)])

    # ------------------------------------------------------------------------------------------------ great_tables

    def as_great_table(self) -> Any:
        """Return the table as a ``GT`` of the package great_tables, to be styled and saved there.

        Raises
        ------
        ImportError
            If it is not installed; the message says how to install it.
        """
        try:
            from great_tables import GT
        except ImportError:
            raise ImportError('as_great_table needs great_tables: pip install "mlekit[tables]"') from None
        count = len(self.heads[0])
        columns = {f"column{j}": [line.cells[j] for line in self.lines] for j in range(count)}
        groups = [line.group or ("Statistics" if line.part == "statistics" else "Coefficients") for line in self.lines]
        frame = pd.DataFrame({"stub": [line.stub for line in self.lines], "group": groups} | columns)
        made = GT(frame, rowname_col="stub", groupname_col="group").cols_align("center", columns=list(columns))
        for j, name in enumerate(self.heads[0]):
            below = " ".join(head[j] for head in self.heads[1:])
            made = made.tab_spanner(name, columns=[f"column{j}"]).cols_label({f"column{j}": below})
        if self.title:
            made = made.tab_header(title=self.title)
        for note in self.notes:
            made = made.tab_source_note(note)
        return made


def _drawn(rows: Sequence[tuple[str, Sequence[str]] | None], notes: Sequence[str]) -> list[str]:
    """Lines of text, of one width."""
    filled = [row for row in rows if row is not None]
    first = max(len(stub) for stub, _ in filled)
    widths = [max(map(len, cells)) + 2 for cells in zip(*(cells for _, cells in filled), strict=True)]
    width = first + sum(widths)
    drawn = ["=" * width]
    for row in rows:
        if row is None:
            drawn.append("-" * width)
        else:
            cells = (cell.rjust(w) for cell, w in zip(row[1], widths, strict=True))
            drawn.append((row[0].ljust(first) + "".join(cells)).rstrip())
    said = [textwrap.fill(note, max(width, _WIDTH), break_long_words=False, break_on_hyphens=False) for note in notes]
    return [*drawn, "=" * width, *said]


def _hung(cells: Sequence[str], hanging: Sequence[int]) -> list[str]:
    """Cells with blanks behind, so that their last digits stand under one another."""
    return [cell + " " * (hang - _behind(cell)) for cell, hang in zip(cells, hanging, strict=True)]


def _behind(cell: str) -> int:
    """How many characters stand behind the last digit of a number."""
    found = re.search(r"\d([)\]]?\**)$", cell)
    return len(found[1]) if found else 0


def _typeset(cell: str, line: Line, output: str, numbers: Callable[[str], str]) -> str:
    safe = str(escaped(cell, output))
    return safe if line.figure == "text" else numbers(safe)


def _latex_row(stub: str, cells: Sequence[str]) -> str:
    # After a row TeX takes a bracket or a star for an argument of the line break.
    first = "{}" + stub if stub[:1] in ("[", "*") else stub
    return " & ".join([first, *cells]) + r" \\"


def _in_markdown(text: str) -> str:
    return _MARKDOWN.sub(r"\\\1", text)


def _markdown_row(stub: str, cells: Sequence[str]) -> str:
    return "| " + " | ".join(map(_in_markdown, (stub, *cells))) + " |"
