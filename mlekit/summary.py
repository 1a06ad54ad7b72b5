"""The summary of a fit, in statsmodels' own table classes: text, HTML and LaTeX."""

import time
from typing import TYPE_CHECKING

from statsmodels.iolib.summary import Summary
from statsmodels.iolib.table import SimpleTable
from statsmodels.iolib.tableformatting import fmt_params

from mlekit.covariance import DESCRIPTIONS
from mlekit.diagnostics import NotGiven
from mlekit.families import GenericLikelihood

if TYPE_CHECKING:
    from mlekit.results import Results


def summarize(results: "Results", *, yname: str | None = None, alpha: float = 0.05) -> Summary:
    """Tables of a fit: the model, the coefficients, the parameters common to all rows, and what there is to say."""
    left, right = _facts(results)
    summary = Summary()
    summary.add_table_2cols(
        results, title=f"{type(results.model.family).__name__} maximum likelihood", gleft=left, gright=right, yname=yname
    )
    summary.add_table_params(results, yname=yname, alpha=alpha, use_t=results.use_t)
    table = _distribution_table(results)
    if table is not None:
        summary.tables.append(table)
    summary.add_extra_txt([f"[{i}] {note}" for i, note in enumerate(_notes(results), 1)])
    return summary


Facts = list[tuple[str, list[str]]]


def _facts(results: "Results") -> tuple[Facts, Facts]:
    model = results.model
    now = time.localtime()
    links = ", ".join(f"{link.name}({name})" for name, link in model.family.links.items())
    left: Facts = [
        ("Dep. Variable:", [model.endog_names]),
        ("Family:", [type(model.family).__name__]),
        ("Links:", [links]),
        ("Method:", [results.method]),
        ("Date:", [time.strftime("%a, %d %b %Y", now)]),
        ("Time:", [time.strftime("%H:%M:%S", now)]),
        ("No. Iterations:", [f"{results.iterations}"]),
        ("Converged:", ["Yes" if results.converged else "NO: see below"]),
        ("Covariance Type:", [results.cov_type]),
    ]
    right: Facts = [
        ("No. Observations:", [f"{results.nobs:g}"]),
        ("Df Residuals:", [f"{results.df_resid:g}"]),
        ("Df Model:", [f"{results.df_model:g}"]),
        ("Log-Likelihood:", [f"{results.llf:#.8g}"]),
        ("LL-Null:", [f"{results.llnull:#.8g}"]),
        ("AIC:", [f"{results.aic:#.8g}"]),
        ("BIC:", [f"{results.bic:#.8g}"]),
        ("Deviance:", [_figure(results, "deviance")]),
        ("Pearson chi2:", [_figure(results, "pearson_chi2")]),
    ]
    return left, right


def _figure(results: "Results", name: str) -> str:
    try:
        return f"{getattr(results, name):#.8g}"
    except NotGiven:
        return "not defined"


def _distribution_table(results: "Results") -> SimpleTable | None:
    if not results.common_parameters():
        return None
    frame = results.distribution
    data = [[f"{value:#.6g}" for value in row] for row in frame.to_numpy()]
    return SimpleTable(data, list(frame.columns), list(frame.index), txt_fmt=fmt_params)


def _notes(results: "Results") -> list[str]:
    """Everything that a reader must know to read the numbers, most important first."""
    model, observations = results.model, results.model.observations
    notes = [f"Status: {results.reason}."]
    if model.design.success is not None:
        notes.append(
            f"Response: {model.design.response} = {model.design.success} counts as 1, {model.design.failure} as 0."
        )
    if observations.missing:
        notes.append(f"{observations.missing} rows with missing values were left out.")
    if observations.unweighted:
        notes.append(f"{observations.unweighted} rows of weight zero were left out.")
    if observations.block.weight is not None:
        notes.append("Weights are frequencies: each row stands for as many observations as its weight.")
    notes += [f"Left out, a combination of other columns: {text}." for text in results.aliased.values()]
    if model.design.offsets:
        written = [
            f"{'log of exposure' if o.exposure else 'offset'} {o.code or '(array)'} in {o.param}" for o in model.design.offsets
        ]
        notes.append(f"Offsets: {', '.join(written)}.")
    notes.append(f"Standard errors: {_covariance(results)}; derivatives: {derivatives(model.family)}.")
    return notes


def _covariance(results: "Results") -> str:
    text = DESCRIPTIONS[results.cov_type]
    if type(results.model.family).__name__ != "Normal":
        return text
    if results.use_t and results.cov_type in ("nonrobust", "eim"):
        return f"{text}, with the unbiased sigma as in ordinary least squares"
    return f"{text}, with the maximum-likelihood sigma (use_t=True gives those of ordinary least squares)"


def derivatives(family: GenericLikelihood) -> str:
    """How the derivatives of a family's log-density are computed, in words."""
    kind = type(family)
    if kind.linear_rows is not GenericLikelihood.linear_rows or kind.rows is not GenericLikelihood.rows:
        return "hand-written"
    return "central differences (about 1e-8)" if family.derivatives == "numeric" else "exact (jets)"
