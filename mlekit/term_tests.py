"""Tests of the terms of a fit: each left out in turn."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import linalg, stats
from statsmodels.tools.sm_exceptions import ConvergenceWarning

from mlekit.links import Array
from mlekit.model_tests import TestTable, adjusted, caveats, chi2_tail, least_squares, likelihood_ratio
from mlekit.nesting import check_usable, described, free, on_bounds, unwrapped
from mlekit.optimize.base import StartError, Status
from mlekit.score import polished, score_statistic, wald_grows
from mlekit.submodels import TermColumns, terms, without

if TYPE_CHECKING:
    from mlekit.results import Results

# A p-value below this is said to be significant, where tests that disagree are named.
_LEVEL = 0.05


@dataclass(frozen=True, eq=False)
class Dropped:
    """A term, and the fit without it."""

    term: TermColumns
    larger: "Results"
    smaller: "Results"

    @property
    def df(self) -> int:
        """How many parameters the term has."""
        return free(self.larger) - free(self.smaller)

    @property
    def ratio(self) -> float:
        """Likelihood-ratio statistic; NaN if the fit without the term is not the maximum."""
        return likelihood_ratio(self.larger, self.smaller) if self.smaller.status.comparable else float("nan")

    @property
    def note(self) -> list[str]:
        """What is to be said of it."""
        if not self.smaller.status.comparable:
            return [f"Without {self.term.name}: {self.smaller.reason}."]
        if not self.df:
            return [f"{self.term.name} has no parameter of its own: other columns make up for it."]
        asked = getattr(self.larger, "restrictions", None)
        return caveats(self.larger, self.smaller, () if asked is None else on_bounds(self.larger, self.smaller.params))


def dropped(results: "Results") -> list[Dropped]:
    """Fit the model without each term that can be left out, on the same rows, from the estimate with it.

    Raises
    ------
    ValueError
        If the fit is not the maximum, or no term can be left out.
    """
    check_usable(results)
    chosen = terms(results.model)
    if not chosen:
        raise ValueError(f"{described(results)} has no term that can be left out")
    return [Dropped(term, results, _without(results, term)) for term in chosen]


def _without(results: "Results", term: TermColumns) -> "Results":
    restrictions = getattr(results, "restrictions", None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the table says it
        if restrictions is None:
            model, start = without(results.model, term), None
            if results.method != "closed_form" and results.model.family.quantile_level is None:
                start = _start(results, term, model.design.names)
            try:
                return unwrapped(model.fit(start=start))
            except StartError:
                return unwrapped(model.fit())
        rows = _rows(results, term)
        names = results.model.design.names
        limits = zip(names, restrictions.low, restrictions.high, strict=True)
        try:
            fit = results.model.fit(
                constraints=(
                    np.vstack([restrictions.matrix, rows]),
                    np.concatenate([restrictions.constants, np.zeros(len(rows))]),
                ),
                bounds={n: (a, b) for n, a, b in limits if np.isfinite(a) or np.isfinite(b)},
                start=results.params,
            )
        except ValueError as error:
            raise ValueError(f"{term.name} cannot be left out: {error}") from error
        return unwrapped(fit)


def _start(results: "Results", term: TermColumns, names: Sequence[str]) -> Array | None:
    """Coefficients where a parabola has its maximum without a term."""
    known = results.model.design.names
    if not set(names) <= set(known) or not np.isfinite(results.params).all():
        return None
    cov, units = results.scaled_cov
    gone = [j for j, name in enumerate(known) if name not in names]
    beta = results.params / units
    with np.errstate(all="ignore"):
        found = (beta - cov[:, gone] @ np.linalg.lstsq(cov[np.ix_(gone, gone)], beta[gone])[0]) * units
    found = found if np.isfinite(found).all() else results.params
    chosen: Array = found[[known.index(name) for name in names]]
    return chosen


def _rows(results: "Results", term: TermColumns) -> Array:
    """Rows of the identity matrix that pick the coefficients of a term."""
    design = results.model.design
    places = [
        where.start + columns.index(name)
        for i, (columns, where) in enumerate(zip(design.columns, design.slices, strict=True))
        for name in term.columns.get(i, ())
        if name in columns
    ]
    return np.eye(len(design.names))[places]


# ------------------------------------------------------------------------------------------------ tables


def drop1(results: "Results", adjust: str | None) -> TestTable:
    """Leave out each term in turn; see :meth:`mlekit.results.Results.drop1`."""
    every = dropped(results)
    ratios = np.array([each.ratio for each in every])
    df = np.array([each.df for each in every])
    fits = [results, *(each.smaller for each in every)]
    table = pd.DataFrame(
        {
            "df": pd.array([None, *df], dtype="Int64"),
            "llf": [fit.llf for fit in fits],
            "aic": [fit.aic for fit in fits],
            "LR": [np.nan, *ratios],
            "p": [np.nan, *map(chi2_tail, ratios, df)],
        },
        index=["<none>", *(each.term.name for each in every)],
    )
    if least_squares(results):
        with np.errstate(invalid="ignore", divide="ignore"):
            # n log(RSS0 / RSS1) is the statistic.
            F = np.expm1(ratios / results.nobs) / np.where(df > 0, df, np.nan) * results.df_resid
        table["F"] = [np.nan, *F]
        table["p F"] = [np.nan, *stats.f.sf(F, df, results.df_resid)]
    notes = dict.fromkeys(note for each in every for note in each.note)
    return adjusted(TestTable(f"Terms left out of {described(results)}", table, tuple(notes)), adjust)


def term_tests(results: "Results", adjust: str | None) -> TestTable:
    """Test each term in three ways; see :meth:`mlekit.results.Results.term_tests`."""
    check_usable(results)
    if results.restrictions is not None:
        raise ValueError(
            "term_tests is for fits without constraints, bounds and penalties: of those, drop1(), wald_test() and "
            "score_test() are separate"
        )
    notes: dict[str, None] = {}
    failed: dict[str, list[str]] = {}
    rows = {each.term.name: _three(each, notes, failed) for each in dropped(results)}
    table = pd.DataFrame.from_dict(rows, orient="index").astype({"df": int})
    for name in table.index[table["Hauck-Donner"] == "yes"]:
        ratio, wald = table.loc[name, "p LR"], table.loc[name, "p Wald"]
        wrong = f", and is not significant (p = {wald:.2g})" if wald > _LEVEL >= ratio else ""
        notes[
            f"Hauck-Donner effect in {name}: Wald's statistic falls as the estimate moves away from 0{wrong}. Take the "
            f"likelihood ratio (p = {ratio:.2g})."
        ] = None
    notes |= {f"No score test of {', '.join(names)}: {why}.": None for why, names in failed.items()}
    if results.use_t:
        notes["Wald: F times its df, with p of F."] = None
    return adjusted(TestTable(f"Terms of {described(results)}", table, tuple(notes)), adjust)


def _three(each: Dropped, notes: dict[str, None], failed: dict[str, list[str]]) -> dict[str, Any]:
    """Wald's, the likelihood-ratio and the score statistic of a term."""
    notes.update(dict.fromkeys(each.note))
    ratio, (wald, p, grows) = each.ratio, _wald(each)
    score = float("nan")
    if each.df and each.smaller.converged:
        try:
            score, information = _score(each)
            notes[f"Score: {information} information without the term."] = None
        except ValueError as error:
            failed.setdefault(str(error), []).append(each.term.name)
    return {
        "df": each.df,
        "Wald": wald,
        "p Wald": p,
        "LR": ratio,
        "p LR": chi2_tail(ratio, each.df),
        "score": score,
        "p score": chi2_tail(score, each.df),
        "Hauck-Donner": "" if np.isnan(grows) else "yes" if grows < 0 else "no",
    }


def _wald(each: Dropped) -> tuple[float, float, float]:
    """Wald's statistic and its p-value, and its relative slope away from 0."""
    if not each.df:
        return (float("nan"),) * 3
    results = each.larger
    rows = _hypotheses(each)
    if results.status is Status.INFINITE and not np.isfinite(results.params[rows.any(axis=0)]).all():
        return (float("nan"),) * 3
    found = results.wald_test(rows, use_f=results.use_t)
    statistic = float(found.statistic) * (each.df if results.use_t else 1)
    if results.model.family.quantile_level is not None or results.status is Status.INFINITE:
        return statistic, float(found.pvalue), float("nan")
    inner: Any = results
    while hasattr(inner, "simpler"):  # where a parameter is at its limit
        inner = inner.simpler
    finite = np.isfinite(results.params)
    return statistic, float(found.pvalue), wald_grows(inner.model, results.params[finite], rows[:, finite])


def _hypotheses(each: Dropped) -> Array:
    """Linear hypotheses that the smaller model is."""
    model = each.larger.model
    if not each.term.rest and not any(found.dropped for found in model.bases):
        return _rows(each.larger, each.term)
    units = np.abs(model.matrix).max(axis=1)
    inside = linalg.block_diag(*_parts(each)) / units[:, None]
    found: Array = linalg.null_space(inside.T / np.linalg.norm(inside, axis=0)[:, None]).T / units
    return found


def _parts(each: Dropped) -> list[Array]:
    """The columns of the smaller model as combinations of the larger one's, for each parameter."""
    found = []
    blocks = (r.model.observations.block.X for r in (each.larger, each.smaller))
    for big, small in zip(*blocks, strict=True):
        norm = np.linalg.norm(big, axis=0)
        found.append(np.linalg.lstsq(big / norm, small)[0] / norm[:, None])
    return found


def _score(each: Dropped) -> tuple[float, str]:
    """Score statistic of the model with the term, at the estimate without it."""
    larger, smaller = each.larger, each.smaller
    while hasattr(larger, "simpler") and getattr(larger, "at_limit", "") == getattr(smaller, "at_limit", None):
        larger, smaller = larger.simpler, smaller.simpler
    if hasattr(smaller, "at_limit"):
        raise ValueError(f"{smaller.at_limit} is at the limit of its parameter there")
    names, own = larger.model.design.names, smaller.model.design.names
    if set(own) <= set(names) and not each.term.rest and not any(b.dropped for b in larger.model.bases):
        beta = np.zeros(len(names))
        beta[[names.index(name) for name in own]] = polished(smaller)
    else:
        beta = linalg.block_diag(*_parts(each)) @ polished(smaller)
    found = score_statistic(larger.model, beta)
    return found.statistic, found.information
