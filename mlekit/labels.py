"""Names for arrays and for terms: what statsmodels' result wrapper and tests ask a model for."""

import copy
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from patsy import DesignInfo, PatsyError
from statsmodels.stats.contrast import MultiCompResult, WaldTestResults, t_test_multi
from statsmodels.tools.sm_exceptions import ValueWarning

from mlekit.naming import full_name

if TYPE_CHECKING:
    from mlekit.design import Design
    from mlekit.links import Array
    from mlekit.results import Results


@dataclass(frozen=True)
class Labels:
    """Names of the coefficients, of the response and of the rows.

    It answers to the attributes of :class:`statsmodels.base.data.ModelData` that ``t_test``, ``summary`` and the result
    wrapper use.
    """

    names: tuple[str, ...]
    response: str
    row_labels: pd.Index

    model_spec = None

    @property
    def param_names(self) -> list[str]:
        """Names of the coefficients."""
        return list(self.names)

    xnames = cov_names = param_names

    @property
    def ynames(self) -> str:
        """Name of the response."""
        return self.response

    def wrap_output(self, obj: Any, how: str = "columns", names: Any = None) -> Any:
        """Attach names to an array: ``how`` is "columns" (one entry or row per coefficient) or "rows" (of the data)."""
        array = np.array(obj)  # a copy: what users do to it must not reach the fit
        if array.ndim == 0:
            return obj
        if how == "rows":
            return pd.Series(array, index=self.row_labels)
        if array.ndim == 1:
            return pd.Series(array, index=self.param_names)
        return pd.DataFrame(array, index=self.param_names)


def constraints(names: Sequence[str], hypotheses: Any) -> "tuple[Array, Array]":
    """Coefficients and constants of linear hypotheses: text, a matrix, or a matrix and a vector.

    Examples
    --------
    >>> constraints(["a", "b"], "a = 2*b, b = 1")[0].tolist()
    [[1.0, -2.0], [0.0, 1.0]]
    """
    try:
        found = DesignInfo(list(names)).linear_constraint(hypotheses)
    except RecursionError:
        raise PatsyError("hypotheses are too long, or nested too deeply: pass a matrix") from None
    return found.coefs, found.constants


def in_units(
    results: "Results", hypotheses: Any, cov: "Array | None" = None
) -> "tuple[Results, tuple[Array, Array], Array]":
    """A fit and hypotheses in units of their standard errors, and those standard errors.

    A joint test then does not depend on the units of the covariates, and no variance overflows.
    """
    names = results.model.design.names
    try:
        coefficients, constants = constraints(names, hypotheses)
    except PatsyError as error:
        raise PatsyError(
            f"cannot read {hypotheses!r} ({error.message}): hypotheses are written as 'x1 = 0, x2 = x3', about "
            f"{', '.join(names)}"
        ) from None
    known = np.isfinite(results.params)
    untestable = (coefficients[:, ~known] != 0).any(axis=1)  # an infinite estimate, of a parameter at its limit
    cov, units = results.scaled_cov if cov is None else (np.asarray(cov), np.ones(coefficients.shape[1]))
    with np.errstate(all="ignore"):
        moved = coefficients * units
        size = np.abs(moved).max(axis=1, keepdims=True)
        size = np.where(size > 0, size, 1.0)
        moved = moved / size
        se = np.sqrt(np.diag(moved @ cov @ moved.T))[:, None]
        se = np.where(se > 0, se, 1.0)
        fit = copy.copy(results)
        fit.params, fit.normalized_cov_params = np.where(known, results.params, 0.0) / units, cov
        moved, se = np.where(untestable[:, None], 0.0, moved / se), np.where(untestable[:, None], np.nan, se)
        return fit, (moved, constants / size / se), (size * se)[:, 0]


def _by_param(design: "Design") -> Iterable[tuple[Callable[[str], str], DesignInfo | None, Sequence[str], int]]:
    """How terms are called, what patsy knows, names of the columns and position of the first, for each parameter."""
    infos = design.infos or [None] * len(design.params)
    for i, (param, columns, where) in enumerate(zip(design.params, design.columns, design.slices, strict=True)):
        yield partial(full_name, design.naming, i, param), infos[i], columns, where.start


def term_rows(design: "Design") -> "dict[str, Array]":
    """Rows of the identity matrix that pick each term's coefficients (each column's, for a design made of arrays)."""
    identity = np.eye(len(design.names))
    rows: dict[str, Array] = {}
    for named, info, columns, first in _by_param(design):
        if info is None:
            terms = {name: [name] for name in columns}
        else:
            terms = {name: info.column_names[where] for name, where in info.term_name_slices.items()}
        for name, members in terms.items():
            kept = [first + columns.index(member) for member in members if member in columns]
            if kept:
                rows[named(name)] = identity[kept]
    return rows


def term_hypotheses(
    design: "Design", skip_single: bool = False, combine: Sequence[str] = ()
) -> "list[tuple[str, Array]]":
    """Hypotheses that all coefficients of a term are zero; ``combine`` joins all terms whose name has a text in it."""
    terms = term_rows(design)
    joint = {text: [rows for name, rows in terms.items() if text in name] for text in combine}
    empty = [text for text, rows in joint.items() if not rows]
    if empty:
        raise ValueError(f"no term has {', '.join(map(repr, empty))} in its name: the terms are {', '.join(terms)}")
    single = [(name, rows) for name, rows in terms.items() if not (skip_single and len(rows) == 1)]
    return single + [(text, np.vstack(rows)) for text, rows in joint.items()]


def wald_table(results: "Results", hypotheses: "Iterable[tuple[str, Array]]", scalar: bool = True) -> WaldTestResults:
    """Test each of several named hypotheses."""
    table = {}
    for name, rows in hypotheses:
        with warnings.catch_warnings():
            # Of the rank: what is on a bound or at a limit has no variance, and the table has 0 degrees of freedom.
            warnings.simplefilter("ignore", ValueWarning)
            found = results.wald_test(rows, use_f=results.use_t, scalar=scalar)
        # For a chi-squared test statsmodels keeps the number of constraints that are independent in df_denom.
        freedom = (found.df_num, found.df_denom) if results.use_t else (found.df_denom,)
        table[name] = [found.statistic, float(found.pvalue), int(freedom[0]), *freedom[1:]]
    columns = ["statistic", "pvalue", "df_constraint", *(["df_denom"] if results.use_t else [])]
    frame = pd.DataFrame.from_dict(table, orient="index", columns=columns)
    return WaldTestResults(None, "F" if results.use_t else "chi2", None, table=frame)


def pairwise(
    results: "Results", term_name: str, method: str | list[str], alpha: float, factor_labels: Sequence[str] | None
) -> MultiCompResult:
    """Differences between all pairs of levels of a factor, with corrected p-values.

    Raises
    ------
    ValueError
        If there is no such term, if it is not a single factor, or if some of its coefficients were left out.
    """
    design = results.model.design
    term, info, columns, first = _find(design, term_name)
    levels, coding, names = _coding(info, term)
    left_out = [name for name in names if name not in columns]
    if left_out:
        raise ValueError(
            f"{', '.join(left_out)} was left out of the fit, so not all pairs of {term_name} can be compared"
        )
    levels = levels if factor_labels is None else factor_labels
    if len(levels) != len(coding):
        raise ValueError(f"factor_labels has {len(levels)} entries: {term_name} has {len(coding)} levels")
    pairs = [(i, j) for i in range(len(coding)) for j in range(i + 1, len(coding))]
    contrasts = np.zeros((len(pairs), len(design.names)))
    contrasts[:, [first + columns.index(name) for name in names]] = [coding[j] - coding[i] for i, j in pairs]
    written = [f"{levels[j]}-{levels[i]}" for i, j in pairs]
    frame = t_test_multi(results, contrasts, method=method, alpha=alpha, contrast_names=written)
    return MultiCompResult(
        result_frame=frame, contrasts=contrasts, term=term, contrast_labels=written, term_encoding_matrix=coding
    )


def _find(design: "Design", name: str) -> tuple[Any, DesignInfo, Sequence[str], int]:
    """The term of that name, with what patsy knows, the columns that are estimated and the position of the first."""
    for named, info, columns, first in _by_param(design):
        for term in () if info is None else info.terms:
            if named(term.name()) == name:
                return term, info, columns, first
    known = ", ".join(term_rows(design)) if design.infos else "none, as the model is made of arrays"
    raise ValueError(f"there is no term {name!r} in the formula: the terms are {known}")


def _coding(info: DesignInfo, term: Any) -> "tuple[Sequence[Any], Array, list[str]]":
    """Levels of a factor, the row of its coding for each, and the names of its columns."""
    if len(term.factors) != 1 or info.factor_infos[term.factors[0]].type != "categorical":
        raise ValueError(f"{term.name()} is not a single factor: its levels cannot be compared in pairs")
    factor = term.factors[0]
    coding = info.term_codings[term][0].contrast_matrices[factor].matrix
    return info.factor_infos[factor].categories, np.asarray(coding), info.column_names[info.term_slices[term]]
