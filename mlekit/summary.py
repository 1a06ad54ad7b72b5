"""The summary of a fit, in statsmodels' own table classes: text, HTML, LaTeX and CSV."""

import csv
import html
import io
import textwrap
import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from statsmodels.iolib.summary import Summary, summary_return
from statsmodels.iolib.table import Cell, SimpleTable
from statsmodels.iolib.tableformatting import fmt_params

from mlekit.diagnostics import NotGiven
from mlekit.families import GenericLikelihood
from mlekit.families.categorical import Categorical
from mlekit.messages import counted
from mlekit.optimize.base import REMEDIES

if TYPE_CHECKING:
    from mlekit.results import Results

_WIDTH = 78
_LATEX = str.maketrans(
    {character: f"\\{character}" for character in "#$%&_{}"}
    | {
        "\\": r"\textbackslash{}",
        "^": r"\textasciicircum{}",
        "~": r"\textasciitilde{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "|": r"\textbar{}",
    }
)


class SafeCell(Cell):
    r"""A table cell that shows every character of a name as it is, in HTML and LaTeX too.

    Examples
    --------
    >>> SafeCell("a_b", datatype="stub").format(0, "latex"), SafeCell("x < 1", datatype="stub").format(0, "html")
    ('\\textbf{a\\_b}', '<th>x &lt; 1</th>')
    """

    def format(self, width: int, output_format: str = "txt", **fmt: Any) -> str:
        """Return the formatted cell, padded to ``width``."""
        if output_format not in ("html", "latex"):
            return str(super().format(width, output_format, **fmt))
        shown = Cell(escaped(self.data, output_format), datatype=self.datatype, row=self.row)
        return str(shown.format(width, output_format, **(fmt | {"replacements": {}})))


def escaped(data: Any, output_format: str) -> Any:
    """Text with the characters that mean something in HTML or LaTeX replaced; anything else as it is."""
    if not isinstance(data, str):
        return data
    if output_format == "html":
        return html.escape(data, quote=False)
    return data.translate(_LATEX) if output_format == "latex" else data


class FitSummary(Summary):
    """statsmodels' ``Summary``, with tables of one width, and notes that are wrapped in text and safe elsewhere.

    Examples
    --------
    >>> import mlekit
    >>> from mlekit.datasets import load_africa
    >>> summary = mlekit.fit("miltcoup ~ parties", load_africa(), "poisson").summary(alpha=0.1)
    >>> print(summary.tables[1])
    ==============================================================================
                     coef    std err          z      P>|z|       [0.05       0.95]
    ------------------------------------------------------------------------------
    Intercept      0.0274      0.230      0.119      0.905      -0.351       0.406
    parties        0.0229      0.009      2.558      0.011       0.008       0.038
    ==============================================================================
    >>> summary.notes[1]
    '[2] Standard errors: observed information; derivatives: hand-written.'
    """

    def __init__(self, tables: Iterable[SimpleTable], notes: Sequence[str]) -> None:
        super().__init__()
        self.tables = list(tables)
        for table in self.tables:
            for row in table:
                row[:] = [SafeCell(cell, row=row) for cell in row]
        self.width = _justify(self.tables)
        self.add_extra_txt([f"[{i}] {note}" for i, note in enumerate(notes, 1)])

    def add_extra_txt(self, etext: Sequence[str]) -> None:
        """Replace the notes below the tables."""
        self.notes = list(etext)
        self.extra_txt = "\n".join(_wrapped(note, self.width) for note in self.notes)

    def as_html(self) -> str:
        """Return tables and notes as HTML."""
        notes = [escaped(note, "html") for note in self.notes]
        return summary_return(self.tables, return_fmt="html") + "<br/><br/>" + "<br/>\n".join(notes)

    def as_latex(self) -> str:
        """Return tables and notes as LaTeX (it needs the package booktabs)."""
        notes = [escaped(note, "latex") for note in self.notes]
        tables = "\n\n".join(table.as_latex_tabular(center=False) for table in self.tables)
        return "\n".join([r"\begin{center}", tables, r"\end{center}", "", " \\newline\n".join(notes)])

    def as_csv(self) -> str:
        """Return tables and notes as comma-separated values, quoted where they contain commas."""
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        for table in self.tables:
            if table.title:
                writer.writerow([table.title])
            writer.writerows([str(cell.data).strip() for cell in row] for row in table)
        writer.writerows([note] for note in self.notes)
        return buffer.getvalue()


def _wrapped(note: str, width: int) -> str:
    return textwrap.fill(note, width, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False)


def _justify(tables: Sequence[SimpleTable]) -> int:
    """Make the tables equally wide as text, and return how wide."""
    columns = [_column_widths(table) for table in tables]
    widths = [sum(each) + len(each) - 1 for each in columns]  # one blank between two columns
    for table, each, width in zip(tables, columns, widths, strict=True):
        extra = max(widths) - width
        if len(each) == 4:  # two tables side by side: room for the values of both
            each[1] += extra - extra // 2
            each[3] += extra // 2
        else:
            each[0] += extra
        table.output_formats["txt"]["colwidths"] = each
    return max(_WIDTH, *widths)


def _column_widths(table: SimpleTable) -> list[int]:
    """The widths that statsmodels would find, without formatting every cell for it."""
    least = {4: [18] * 4, 7: [10] * 5 + [11] * 2}.get(len(table[0]), [10] * len(table[0]))
    return [max(width, *(len(str(row[j].data)) for row in table)) for j, width in enumerate(least)]


# ------------------------------------------------------------------------------------ the tables of a fit


def summarize(
    results: "Results",
    *,
    yname: str | None = None,
    xname: Sequence[str] | None = None,
    title: str | None = None,
    alpha: float = 0.05,
) -> FitSummary:
    """Tables of a fit: the model, the coefficients, the parameters common to all rows, and what there is to say."""
    left, right = _facts(results, yname)
    tables = Summary()
    tables.add_table_2cols(results, title=title or _title(results), gleft=left, gright=right)
    tables.add_table_params(results, xname=xname, alpha=alpha, use_t=results.use_t)
    common = _distribution_table(results, alpha)
    return FitSummary([*tables.tables, *([] if common is None else [common])], results.notes)


def _title(results: "Results") -> str:
    title = f"{results.model.family.title} {results.estimator}"
    return title if results.converged else f"{title}: {results.status.value.partition(':')[0].upper()}"


Facts = list[tuple[str, list[str]]]


def _facts(results: "Results", yname: str | None) -> tuple[Facts, Facts]:
    model = results.model
    now = time.localtime()
    has_links = not isinstance(model.family, Categorical)  # those of levels are all the same
    links = [f"{link.name}({name})" for name, link in model.family.links.items()] if has_links else ["none"]
    left: Facts = [
        ("Dep. Variable:", [yname or model.endog_names]),
        ("Family:", [model.family.title]),
        *((f"{name}:", [f"{getattr(model.family, name):g} (constant)"]) for name in model.family.constants),
        *zip(["Links:", *[""] * (len(links) - 1)], ([link] for link in links), strict=True),
        ("Method:", [results.method]),
        ("Date:", [time.strftime("%a, %d %b %Y", now)]),
        ("Time:", [time.strftime("%H:%M:%S", now)]),
        ("No. Iterations:", [f"{results.iterations}"]),
        ("Converged:", ["Yes" if results.converged else "NO: see below"]),
        ("Covariance Type:", [results.cov_type]),
    ]
    right: Facts = [
        ("No. Observations:", [_count(results.nobs)]),
        ("Df Residuals:", [_count(results.df_resid)]),
        ("Df Model:", [_count(results.df_model)]),
        *((f"{label}:", [_figure(results, name)]) for label, name in _FIGURES.items()),
    ]
    return left, right


_FIGURES = {
    "Log-Likelihood": "llf",
    "LL-Null": "llnull",
    "AIC": "aic",
    "BIC": "bic",
    "Deviance": "deviance",
    "Pearson chi2": "pearson_chi2",
}


def _count(value: float) -> str:
    return f"{value:.0f}" if value == round(value) else f"{value:.3f}"


def _figure(results: "Results", name: str) -> str:
    if name == "llnull" and not results.model.has_null:
        return "not defined"
    try:
        return f"{getattr(results, name):#.8g}"
    except NotGiven:
        return "not defined"


def _known(results: "Results") -> set[str]:
    """Parameters that have no coefficient."""
    design = results.model.design
    return {param for param, columns in zip(design.params, design.columns, strict=True) if not columns}


def _distribution_table(results: "Results", alpha: float) -> SimpleTable | None:
    """Parameters common to all rows, in the columns of the coefficients."""
    rows = results.common_parameters(alpha)
    if not rows:
        return None
    known = _known(results)
    shown = [
        [f"{estimate:#.5g}", *(["held", "", ""] if name in known else [f"{value:#.5g}" for value in rest])]
        for name, (estimate, *rest) in rows.items()
    ]
    heads = ["estimate", "std err", "", "", f"[{alpha / 2:g}", f"{1 - alpha / 2:g}]"]
    data = [[estimate, se, "", "", low, high] for estimate, se, low, high in shown]
    return SimpleTable(data, heads, list(rows), txt_fmt=fmt_params)


# ------------------------------------------------------------------------------------ what there is to say


def notes(results: "Results") -> list[str]:
    """Everything that a reader must know to read the numbers, most important first."""
    parts = (_verdict, _failed_checks, _about_rows, _about_columns, _about_errors)
    return [note for part in parts for note in part(results)]


def _verdict(results: "Results") -> list[str]:
    said = [f"{'Status' if results.converged else 'WARNING'}: {results.reason}."]
    if not results.model.has_null:
        return said
    if np.isnan(results.llnull):
        said.append("LL-Null is not defined: the null model has a parameter outside its domain.")
    elif results.converged and not results.null.converged:
        said.append(f"LL-Null is not the maximum of the null model: {results.null.status.value}.")
    return said


def _failed_checks(results: "Results") -> list[str]:
    """Every check that failed, by their causes; what to do about how the fit ended is said there."""
    causes: dict[tuple[str, str], list[str]] = {}
    for name, found in results._findings.items():
        if found.passed is False:
            causes.setdefault((found.cause, found.remedy), []).append(f"{name} ({found.figure})")
    said = []
    for (cause, remedy), failed in causes.items():
        todo = "" if remedy == REMEDIES.get(results.status) else f". What to do: {remedy}"
        said.append(f"Failed checks: {'; '.join(failed)}. Likely cause: {cause}{todo}.")
    return said


def _about_rows(results: "Results") -> list[str]:
    design, observations = results.model.design, results.model.observations
    weight = observations.block.weight
    said = []
    if isinstance(results.model.family, Categorical):
        said.append(results.model.family.describe(design.response))
    if design.success is not None:
        said.append(f"Response: {design.response} = {design.success} counts as 1, {design.failure} as 0.")
    if observations.missing:
        said.append(f"{counted(observations.missing, 'row')} with missing values left out.")
    if observations.unweighted:
        said.append(f"{counted(observations.unweighted, 'row')} of weight zero left out.")
    if weight is not None:
        said.append(f"Weights are frequencies: {counted(weight.size, 'row')} for {_count(results.nobs)} observations.")
        if (weight % 1 != 0).any():
            said.append(
                "Not all weights are whole numbers: standard errors, tests, AIC and BIC take their sum for the number "
                "of observations."
            )
    return said


def _about_columns(results: "Results") -> list[str]:
    said = [f"Left out, a combination of other columns: {text}." for text in results.aliased.values()]
    design = results.model.design
    # That cutpoints take the place of an intercept is no choice of the user's.
    unsaid = (0, "Intercept") if design.naming == "cutpoints" else ()
    held = [held.text for held in design.held if (held.param, held.column) != unsaid]
    if held:
        said.append(f"Held, and not estimated: {', '.join(held)}.")
    for offset in design.offsets:
        kind = "Exposure (its log is an offset)" if offset.exposure else "Offset"
        said.append(f"{kind} of {offset.param}: {offset.code or 'given as an array'}.")
    return said


def _about_errors(results: "Results") -> list[str]:
    said = [f"Standard errors: {results.cov_text}; derivatives: {derivatives(results.model.family)}."]
    common = [name for name in results.common_parameters() if name not in _known(results)]
    if common:
        said.append(
            f"{' and '.join(common)} on {'its' if len(common) == 1 else 'their'} own scale, the same in all rows: "
            "standard error by the delta method, interval that of the linear predictor."
        )
    return said


def derivatives(family: GenericLikelihood) -> str:
    """How the derivatives of a family's log-density are computed, in words."""
    kind = type(family)
    own = kind.linear_rows is not GenericLikelihood.linear_rows or kind.rows is not GenericLikelihood.rows
    if own and getattr(kind, "by_hand", True):
        return "hand-written"
    said = getattr(family, "derivatives_text", None)  # of a combinator, that may have to integrate
    if said is not None:
        return str(said)
    return "central differences (about 1e-8)" if family.derivatives == "numeric" else "exact (jets)"
