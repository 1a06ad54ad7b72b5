"""Likelihood-ratio tests of fits, and tables of tests."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.stats.multitest import multipletests

from mlekit.covariance import unbiased_scale
from mlekit.nesting import Nested, described, free, nested, unwrapped

if TYPE_CHECKING:
    from mlekit.results import Results

#: Corrections of p-values for how many they are, by their names in statsmodels.
ADJUSTMENTS = (
    "bonferroni",
    "sidak",
    "holm-sidak",
    "holm",
    "simes-hochberg",
    "hommel",
    "fdr_bh",
    "fdr_by",
    "fdr_tsbh",
    "fdr_tsbky",
)
# A larger model whose log-likelihood is below the smaller one's by more than this, relative to its size, is not at its
# maximum.
_ROUNDING = 1e-9


@dataclass(frozen=True, repr=False)
class ModelTest:
    """A test of a model against a larger one.

    Attributes
    ----------
    name : str
        Which test it is.
    hypothesis, alternative : str
        The smaller model, or what it obeys, and the larger model.
    statistic : float
    df : int
        How many parameters the larger model has more.
    pvalue : float
    distribution : str
        What the statistic follows under the hypothesis.
    notes : tuple of str
        What a reader must know to read the p-value.
    """

    name: str
    hypothesis: str
    alternative: str
    statistic: float
    df: int
    pvalue: float
    distribution: str
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        figures = f"{self.distribution} = {self.statistic:.6g}, p = {self.pvalue:.4g}"
        return "\n".join(
            [f"{self.name}: {figures}", f"  {self.hypothesis}", f"  in {self.alternative}", *_numbered(self.notes)]
        )

    __repr__ = __str__


@dataclass(frozen=True, repr=False, eq=False)
class TestTable:
    """Tests side by side.

    Attributes
    ----------
    title : str
    table : pandas.DataFrame
    notes : tuple of str
        What a reader must know to read it.
    """

    __test__ = False  # pytest takes what is called Test... for tests

    title: str
    table: pd.DataFrame
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "\n".join([self.title, self._shown().to_string(), *_numbered(self.notes)])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        notes = "".join(f"<p>{escape(note)}</p>" for note in self.notes)
        return f"<p>{escape(self.title)}</p>{self._shown().to_html()}{notes}"

    def _shown(self) -> pd.DataFrame:
        """The table as text, empty where there is no number."""
        return self.table.astype(object).map(
            lambda value: "" if pd.isna(value) else f"{value:.6g}" if isinstance(value, float) else str(value)
        )


def _numbered(notes: Sequence[str]) -> list[str]:
    return [f"[{i}] {note}" for i, note in enumerate(notes, start=1)]


# ------------------------------------------------------------------------------------------------ likelihood ratios


def lr_test(one: Any, two: Any) -> ModelTest:
    """Likelihood-ratio test of two fits; see :meth:`mlekit.results.Results.lr_test`."""
    pair = nested(one, two)
    statistic = likelihood_ratio(pair.larger, pair.smaller)
    p, distribution, notes = _tail(pair, statistic)
    return ModelTest(
        "Likelihood-ratio test",
        described(pair.smaller),
        described(pair.larger),
        statistic,
        pair.df,
        p,
        distribution,
        (*notes, *caveats(pair.larger, pair.smaller, pair.on_bound)),
    )


def likelihood_ratio(larger: "Results", smaller: "Results") -> float:
    """Twice the difference of the log-likelihoods of two fits of which one contains the other.

    Raises
    ------
    ValueError
        If the larger model fits worse.
    """
    statistic = 2 * (larger.llf - smaller.llf)
    if statistic < -_ROUNDING * (1 + abs(larger.llf)):
        raise ValueError(
            f"{described(larger)} fits worse (log-likelihood {larger.llf:.8g}) than {described(smaller)} "
            f"({smaller.llf:.8g}), which it contains: it is at a local maximum. Start it from the other's estimate"
        )
    return max(statistic, 0.0)


def _tail(pair: Nested, statistic: float) -> tuple[float, str, list[str]]:
    """The p-value, of what distribution, and what is to be said of that."""
    plain = chi2_tail(statistic, pair.df)
    if not pair.at_limit:
        return plain, f"chi2({pair.df})", []
    small = repr(pair.smaller.model.family)
    if pair.at_limit > 1:
        said = (
            f"{pair.limit} is at its limit in {small} whatever most of its coefficients are: the statistic is not "
            "chi-squared, and p is a rough figure. Draws of the smaller model (simulate) have its distribution."
        )
        return plain, f"chi2({pair.df})", [said]
    # Self and Liang 1987, case 5: with one parameter at its limit, half of the statistics have one degree less.
    fewer = chi2_tail(statistic, pair.df - 1) if pair.df > 1 else float(statistic <= 0)
    said = (
        f"{pair.limit} is at its limit in {small}: the distribution is half chi-squared with {pair.df - 1} degrees of "
        f"freedom and half with {pair.df} (Self and Liang 1987); chi-squared with {pair.df} has p = {plain:.4g}"
    )
    return (plain + fewer) / 2, f"chi2({pair.df - 1}) and chi2({pair.df})", [said]


def chi2_tail(statistic: float, df: int) -> float:
    """Upper tail of chi-squared; NaN with no degrees of freedom."""
    return float(stats.chi2.sf(statistic, df)) if df > 0 else float("nan")


def caveats(larger: "Results", smaller: "Results", on_bound: Sequence[str] = ()) -> list[str]:
    """What is to be said of any test of two fits that takes their models as right."""
    said = []
    robust = {r.cov_type for r in (larger, smaller)} - {"nonrobust", "eim", "opg"}
    if robust:
        said.append(
            f"Takes the model as right, unlike the standard errors ({', '.join(sorted(robust))}): wald_test is as "
            "robust as those."
        )
    weight = larger.model.row_weight
    if weight is not None and (weight != np.floor(weight)).any():
        said.append(
            "Not all weights are whole numbers: the test takes them for counts, and p is right only if they are."
        )
    if larger.model.family.quantile_level is not None:
        said.append(f"Takes the errors to be those of {larger.model.family!r}, as a quantile regression does not.")
    bound = dict.fromkeys([*on_bound, *(name for r in (larger, smaller) for name in getattr(r, "at_bound", ()))])
    if bound:
        said.append(
            f"{', '.join(bound)} on its bound: the statistic is not chi-squared there, and p mostly too large "
            "(twice what it should be, where one coefficient is tested against its bound)."
        )
    limit = dict.fromkeys(r.at_limit for r in (larger, smaller) if hasattr(r, "at_limit"))
    if limit:
        said.append(f"{', '.join(limit)} is at the limit of its parameter, where the other estimates take it as known.")
    return said


def least_squares(results: "Results") -> bool:
    """Whether F is to be reported: of least squares, with Student's t."""
    return bool(results.use_t and results.model.one_scale and unbiased_scale(results.model.family))


def anova(*fits: Any, adjust: str | None = None) -> TestTable:
    """Nested fits in a table: each against the one before, as R's ``anova(..., test = "LRT")``.

    Parameters
    ----------
    *fits
        Two or more, of the same family and rows, each with all of the one before and more; sorted by their number of
        parameters.
    adjust : str, optional
        How p-values are corrected for how many they are: ``"holm"``, ``"fdr_bh"``, or another method of statsmodels'
        ``multipletests``.

    Returns
    -------
    TestTable
        ``table`` has the number of parameters, llf, df, LR (twice the difference of llf) and p; for least squares with
        ``use_t=True`` also F and its p, with the scale of the largest model, as R's ``anova`` of ``lm`` fits.

    Raises
    ------
    TypeError
        If there is one fit, or one is not of mlekit.
    ValueError
        As for :meth:`mlekit.results.Results.lr_test`.

    Examples
    --------
    >>> import mlekit
    >>> from mlekit.datasets import load_africa
    >>> africa = load_africa()
    >>> formulas = ["miltcoup ~ 1", "miltcoup ~ parties", "miltcoup ~ parties + oligarchy"]
    >>> print(anova(*(mlekit.fit(formula, africa, "poisson") for formula in formulas)))
    Likelihood-ratio tests of Poisson() models
                                    parameters      llf df      LR           p
    miltcoup ~ 1                             1 -65.3769
    miltcoup ~ parties                       2 -62.5818  1 5.59026   0.0180606
    miltcoup ~ parties + oligarchy           3 -52.4171  1 20.3294 6.51922e-06
    """
    if len(fits) < 2:
        raise TypeError("anova takes two fits or more: of the terms of one, drop1() and term_tests() have tests")
    results = sorted((unwrapped(fit) for fit in fits), key=free)
    tests = [lr_test(small, large) for small, large in itertools.pairwise(results)]
    table = pd.DataFrame(
        {
            "parameters": [free(r) for r in results],
            "llf": [r.llf for r in results],
            "df": pd.array([None, *(t.df for t in tests)], dtype="Int64"),
            "LR": [np.nan, *(t.statistic for t in tests)],
            "p": [np.nan, *(t.pvalue for t in tests)],
        },
        index=_names(results),
    )
    largest = results[-1]
    if all(least_squares(r) for r in results):
        n, freedom = largest.nobs, largest.df_resid
        sizes = np.array([np.expm1(likelihood_ratio(largest, r) / n) for r in results])
        df = np.array([t.df for t in tests])
        table["F"] = [np.nan, *(-np.diff(sizes) / df * freedom)]
        table["p F"] = [np.nan, *stats.f.sf(table["F"][1:], df, freedom)]
    notes = dict.fromkeys(note for test in tests for note in test.notes)
    families = dict.fromkeys(repr(r.model.family) for r in results)
    return adjusted(
        TestTable(f"Likelihood-ratio tests of {' and '.join(families)} models", table, tuple(notes)), adjust
    )


def _names(results: Sequence["Results"]) -> list[str]:
    """What the models are called in a table: by their formulas, numbered where these are the same."""
    texts = [described(r).removesuffix(f" ({r.model.family!r})") for r in results]
    if len(set(texts)) < len(texts):
        texts = [described(r) for r in results]
    return texts if len(set(texts)) == len(texts) else [f"{i}: {text}" for i, text in enumerate(texts, start=1)]


def adjusted(tests: TestTable, adjust: str | None) -> TestTable:
    """Return a table with corrected p-values beside each column of them.

    Raises
    ------
    ValueError
        If there is no such correction.
    """
    if adjust is None:
        return tests
    if adjust not in ADJUSTMENTS:
        raise ValueError(f"unknown adjust {adjust!r}: the corrections are {', '.join(ADJUSTMENTS)}")
    table = tests.table.copy()
    for name in [name for name in map(str, table) if name == "p" or name.startswith("p ")]:
        values = table[name].to_numpy(dtype=float)
        known = ~np.isnan(values)
        corrected = np.full(values.size, np.nan)
        if known.any():
            corrected[known] = multipletests(values[known], method=adjust)[1]
        table.insert(list(table).index(name) + 1, f"{name} ({adjust})", corrected)
    return replace(tests, table=table)
