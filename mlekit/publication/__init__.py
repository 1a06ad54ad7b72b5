"""Several fits side by side, as papers show them."""

import math
import numbers
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from mlekit.predict import half_width
from mlekit.publication import remarks
from mlekit.publication.columns import Column, Entry, column_of
from mlekit.publication.figures import decimals_of, probability, written
from mlekit.publication.statistics import STATISTICS, figures_of
from mlekit.publication.typeset import Line, Table

# Those of R's printcoefmat; a point for less is left to those who want it.
_LEVELS = (0.05, 0.01, 0.001)
# What stands in the place of an estimate, and not of its error.
_INSTEAD = ("dropped", "not defined")


def _se(entry: Entry, decimals: int) -> str:
    return f"({written(entry.se, decimals)})"


def _interval(entry: Entry, decimals: int) -> str:
    return f"[{written(entry.low, decimals)}, {written(entry.high, decimals)}]"


def _pvalue(entry: Entry, decimals: int) -> str:
    return f"({probability(entry.pvalue)})"


def _statistic(entry: Entry, decimals: int) -> str:
    return f"({written(entry.statistic, 2)})"


#: What can stand under an estimate: its name in the frame, how it is written, and what the note says of it.
BENEATH: dict[str, tuple[str, Callable[[Entry, int], str], str]] = {
    "se": ("std err", _se, "Standard errors in parentheses."),
    "ci": ("interval", _interval, "{level:g} % Wald intervals in brackets."),
    "p": ("p-value", _pvalue, "p-values in parentheses."),
    "t": ("statistic", _statistic, "Estimates over their standard errors in parentheses."),
}


def table(
    fits: Any,
    *,
    beneath: str | None = "se",
    stars: bool | Sequence[float] = False,
    exponentiate: bool = False,
    digits: int = 3,
    alpha: float = 0.05,
    labels: Mapping[str, str] | None = None,
    keep: str | Sequence[str] | None = None,
    drop: str | Sequence[str] = (),
    statistics: Sequence[str] | None = None,
    extra: Mapping[str, Any] | None = None,
    title: str | None = None,
) -> Table:
    """Several fits side by side, for publication: text, HTML, LaTeX, Markdown.

    Parameters
    ----------
    fits : fit, list or dict
        Fits of mlekit, or of statsmodels with one equation; a dict has names for them, else they are (1), (2), ...
        Coefficients of the same name share a row, those of a second parameter under its name.
    beneath : {"se", "ci", "p", "t"} or None
        What stands under an estimate: standard error, interval, p-value, or estimate over standard error.
    stars : bool or sequence of float
        Whether p-values are marked: True is ``(0.05, 0.01, 0.001)``. Not by default: a star says less than the error
        beneath, and is taken for more (Wasserstein and Lazar 2016).
    exponentiate : bool
        Show the exponents of coefficients on a log, logit or cloglog scale: ratios, odds ratios, hazard ratios. Their
        standard errors are by the delta method; the ends of intervals are exponents of ends; tests stay as they are.
    digits : int
        Significant digits of a standard error; the estimate has as many decimals.
    alpha : float
        One minus the level of the intervals.
    labels : dict, optional
        Other names for coefficients and parameters. One may serve several tables: names that do not occur do no harm.
        Coefficients that get the same name share a row.
    keep, drop : str or sequence of str
        Coefficients or terms (all dummies of a factor, say) to show, or to leave out.
    statistics : sequence of str, optional
        Rows below: ``"nobs"``, ``"llf"``, ``"aic"``, ``"bic"``, ``"rsquared"`` (of least squares), ``"prsquared"``
        (McFadden's, of counts and outcomes), ``"family"``, ``"links"``, ``"cov_type"``. Default: those that any of the
        fits has, the covariance if they differ.
    extra : dict, optional
        More rows: a value for each fit, or a function of a fit, by label.
    title : str, optional

    Returns
    -------
    Table
        With ``as_text()``, ``as_html()``, ``as_latex()``, ``as_markdown()``, ``as_great_table()``, ``to_frame()``.

    Raises
    ------
    TypeError
        If one is no fit.
    ValueError
        If there is none, an argument or a name is unknown, two coefficients of a fit would share a row, or
        ``exponentiate`` finds nothing to do.

    Notes
    -----
    What cannot be compared or trusted is said: of a fit that did not converge above its column and in the notes; of
    rows or responses that differ in the notes; of coefficients that were dropped or held, or are on a bound or at a
    limit, in the place of the error.

    Examples
    --------
    >>> import mlekit
    >>> from mlekit.datasets import load_africa
    >>> africa = load_africa()
    >>> small = mlekit.fit("miltcoup ~ parties", africa, "poisson")
    >>> large = mlekit.fit("miltcoup ~ parties + pollib", africa, "poisson")
    >>> print(mlekit.table([small, large], statistics=["nobs", "aic"]))
    ==================================
                        (1)        (2)
                   miltcoup   miltcoup
    ----------------------------------
    Intercept        0.027      0.885
                    (0.230)    (0.318)
    parties        0.02286    0.02989
                  (0.00894)  (0.00937)
    pollib                     -0.647
                               (0.194)
    ----------------------------------
    Observations        36         36
    AIC             129.16     121.26
    ==================================
    Standard errors in parentheses.
    Standard errors: observed information.
    """
    for what, given in (("labels", labels), ("extra", extra)):
        if given is not None and not isinstance(given, Mapping):
            raise TypeError(f"{what} must be a dict, not {given!r}")
    columns = _columns(fits, alpha)
    exponents = remarks.about_exponents(columns) if exponentiate else []
    if exponentiate:
        columns = [
            replace(column, entries={key: entry.exponentiated() for key, entry in column.entries.items()})
            for column in columns
        ]
    levels = _levels(stars)
    said = [*remarks.failures(columns), *_about(beneath, alpha, levels), *remarks.about_errors(columns), *exponents]
    columns, hidden = _chosen([_renamed(column, labels or {}) for column in columns], keep, drop)
    lines = _coefficients(columns, beneath, levels, _checked_digits(digits))
    heads = [tuple(column.name for column in columns), tuple(column.response for column in columns)]
    if any(column.mark for column in columns):
        heads.append(tuple(column.mark for column in columns))
    notes = [*said, *remarks.others(columns), *remarks.comparability(columns), *hidden]
    return Table(
        _one_line(title or ""),
        tuple(tuple(map(_one_line, head)) for head in heads),
        (*lines, *_statistics(columns, statistics), *_extra(columns, extra or {})),
        tuple(map(_one_line, notes)),
    )


def _one_line(text: Any) -> str:
    """Text without the line breaks that would end a row."""
    return " ".join(str(text).split())


def _columns(fits: Any, alpha: float) -> list[Column]:
    half_width(alpha, None)  # refuses a level that is none
    if hasattr(fits, "params") or hasattr(fits, "_results"):
        fits = [fits]
    if isinstance(fits, str) or not isinstance(fits, Iterable):
        raise TypeError(f"a table is made of a fit, a list of fits or a dict of them, not of {type(fits).__name__}")
    named = dict(fits) if isinstance(fits, Mapping) else {f"({i})": fit for i, fit in enumerate(fits, 1)}
    if not named:
        raise ValueError("a table needs a fit at least: the list is empty")
    columns = [column_of(_one_line(name), fit, alpha) for name, fit in named.items()]
    names = [column.name for column in columns]
    twins = sorted({name for name in names if names.count(name) > 1})
    if twins:
        raise ValueError(f"two fits have the same name, {', '.join(map(repr, twins))}: give each its own")
    return columns


def _checked_digits(digits: Any) -> int:
    if isinstance(digits, bool) or not isinstance(digits, numbers.Integral) or int(digits) not in range(1, 16):
        raise ValueError(f"digits must be a whole number from 1 to 15, not {digits!r}")
    return int(digits)


def _levels(stars: Any) -> tuple[float, ...]:
    """Levels that take a star each, the largest first."""
    if isinstance(stars, bool):
        return _LEVELS if stars else ()
    if isinstance(stars, str) or not isinstance(stars, Sequence):
        raise ValueError(f"stars must be True, False or levels such as (0.1, 0.05, 0.01), not {stars!r}")
    if (
        not stars
        or not all(isinstance(p, numbers.Real) and 0 < float(p) < 1 for p in stars)
        or len(set(stars)) < len(stars)
    ):
        raise ValueError(f"the levels of stars must be different numbers between 0 and 1, not {stars!r}")
    return tuple(sorted(map(float, stars), reverse=True))


def _about(beneath: str | None, alpha: float, levels: Sequence[float]) -> list[str]:
    if beneath is not None and beneath not in tuple(BENEATH):
        raise ValueError(f"unknown beneath={beneath!r}: under an estimate can be {', '.join(BENEATH)}, or None")
    said = [] if beneath is None else [BENEATH[beneath][2].format(level=100 * (1 - alpha))]
    if levels:
        said.append(", ".join(f"{'*' * i} p < {level:g}" for i, level in enumerate(levels, 1)) + ".")
    return said


# ------------------------------------------------------------------------------------------------ coefficients


def _renamed(column: Column, labels: Mapping[str, str]) -> Column:
    """The same column with other names; each entry keeps that of the fit."""
    entries: dict[tuple[str, str], Entry] = {}
    for (group, label), entry in column.entries.items():
        key = _one_line(labels.get(group, group)), _one_line(labels.get(entry.name, labels.get(label, label)))
        if key in entries:
            raise ValueError(
                f"labels give {entries[key].name} and {entry.name} of {column.name} the same name, {key[1]!r}: they "
                "would share a row"
            )
        entries[key] = entry
    return replace(column, entries=entries)


def _chosen(columns: Sequence[Column], keep: Any, drop: Any) -> tuple[list[Column], list[str]]:
    """The columns with the coefficients that are asked for, and a note that says which are not shown."""
    wanted = None if keep is None else _names(columns, keep, "keep")
    unwanted = _names(columns, drop, "drop")

    def shown(entry: Entry) -> bool:
        return (wanted is None or entry.name in wanted) and entry.name not in unwanted

    left_out = dict.fromkeys(e.name for c in columns for e in c.entries.values() if not shown(e))
    chosen = [replace(c, entries={key: e for key, e in c.entries.items() if shown(e)}) for c in columns]
    return chosen, [f"Not shown: {', '.join(left_out)}."] if left_out else []


def _names(columns: Sequence[Column], given: Any, what: str) -> set[str]:
    """Names of coefficients that a call means by them, or by their terms."""
    known: dict[str, set[str]] = {}
    for column in columns:
        for term, members in column.terms.items():
            known.setdefault(term, set()).update(members)
        for entry in column.entries.values():
            known.setdefault(entry.name, set()).add(entry.name)
    asked = list(given) if isinstance(given, Iterable) and not isinstance(given, str) else [given]
    unknown = [name for name in asked if name not in known]
    if unknown:
        raise ValueError(
            f"{what} names {', '.join(map(repr, unknown))}: the coefficients and terms are {', '.join(known)}"
        )
    return set().union(*(known[name] for name in asked))


def _coefficients(columns: Sequence[Column], beneath: str | None, levels: Sequence[float], digits: int) -> list[Line]:
    """Lines of all coefficients: groups, and rows within them, as they appear first."""
    keys = dict.fromkeys(key for column in columns for key in column.entries)
    groups = dict.fromkeys(group for group, _ in keys)
    lines = []
    for group, label in sorted(keys, key=lambda key: list(groups).index(key[0])):
        entries = [column.entries.get((group, label)) for column in columns]
        where = ("coefficients", group, label)
        lines.append(Line(*where, "estimate", tuple(_estimate(entry, levels, digits) for entry in entries)))
        if beneath is not None:
            cells = tuple(_under(entry, beneath, digits) for entry in entries)
            if any(cells):
                lines.append(Line(*where, BENEATH[beneath][0], cells))
    return lines


def _estimate(entry: Entry | None, levels: Sequence[float], digits: int) -> str:
    if entry is None:
        return ""
    if entry.remark in _INSTEAD:
        return entry.remark
    if entry.remark in ("held", "at bound", "at limit"):
        return f"{entry.estimate:.6g}"  # not estimated: what is known of it has no error
    stars = "" if entry.remark else "*" * sum(entry.pvalue < level for level in levels)
    return written(entry.estimate, _decimals(entry, digits)) + stars


def _decimals(entry: Entry, digits: int) -> int:
    """Decimals of the estimate: those of its standard error."""
    for value in (entry.se, entry.estimate):
        if math.isfinite(value) and value != 0:
            return decimals_of(value, digits)
    return 0


def _under(entry: Entry | None, beneath: str, digits: int) -> str:
    if entry is None or entry.remark in _INSTEAD:
        return ""
    return f"({entry.remark})" if entry.remark else BENEATH[beneath][1](entry, _decimals(entry, digits))


# ------------------------------------------------------------------------------------------------ statistics


def _statistics(columns: Sequence[Column], names: Sequence[str] | None) -> list[Line]:
    asked = [name for name in STATISTICS if name != "cov_type" or len({c.cov_type for c in columns}) > 1]
    if names is not None:
        asked = [names] if isinstance(names, str) else list(names)
    unknown = [name for name in asked if name not in STATISTICS]
    if unknown:
        raise ValueError(f"unknown statistics {', '.join(map(repr, unknown))}: there are {', '.join(STATISTICS)}")
    lines = []
    for name in asked:
        found = [figures_of(name, column) for column in columns]
        for i in range(max(map(len, found))):
            cells = tuple(each[i] if i < len(each) else "" for each in found)
            if names is None and not any(cells):
                continue
            kind = "text" if name in ("family", "links", "cov_type") else "number"
            lines.append(Line("statistics", "", STATISTICS[name][0] if i == 0 else "", kind, cells))
    return lines


def _extra(columns: Sequence[Column], extra: Mapping[str, Any]) -> list[Line]:
    lines = []
    for label, given in extra.items():
        values = [given(column.fit) for column in columns] if callable(given) else given
        if isinstance(values, str) or not isinstance(values, Sequence) or len(values) != len(columns):
            raise ValueError(
                f"extra[{label!r}] must have a value for each of the {len(columns)} fits, or be a function of a fit"
            )
        lines.append(Line("statistics", "", _one_line(label), "text", tuple(map(_value, values))))
    return lines


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.6g}" if isinstance(value, float) else _one_line(value)
