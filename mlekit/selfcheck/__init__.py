"""A family against itself: what it defines, compared with what follows from its log-density alone."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from mlekit.selfcheck.case import Case, Reference, case_of, is_discrete
from mlekit.selfcheck.derivatives import row_lines
from mlekit.selfcheck.distribution import distribution_lines
from mlekit.selfcheck.record import FamilyCheck, Line

if TYPE_CHECKING:
    from mlekit.families.base import GenericLikelihood

__all__ = ["FamilyCheck", "Line", "check_family"]

#: What a family may define beside its log-density, as far as it can be compared with it.
_OPTIONAL = ("rows", "linear_rows", "information", "mean", "variance", "cdf", "logcdf", "logsf", "ppf", "rvs")


def check_family(
    family: "GenericLikelihood", y: Any, theta: Mapping[str, Any], discrete: bool | None, defaults: Any
) -> FamilyCheck:
    """Compare what a family defines with what follows from its log-density.

    Parameters
    ----------
    family, y, theta, discrete
        As for :meth:`mlekit.GenericLikelihood.check`.
    defaults : type
        The class whose methods a family overrides.
    """
    with np.errstate(all="ignore"):
        case = case_of(family, y, theta, defaults)
        discrete = is_discrete(case) if discrete is None else bool(discrete)
        reference = Reference.of(case)
        lines = [*row_lines(case, reference)]
        if case.y.ndim == 1:
            lines += distribution_lines(case, reference, discrete)
    return FamilyCheck(family, discrete, tuple(lines), tuple(_notes(case, lines, discrete)))


def _notes(case: Case, lines: list[Line], discrete: bool) -> Iterator[str]:
    """Say what was not compared, and what a wrong total may come from."""
    if case.y.ndim > 1:
        yield f"The response has {case.y.shape[1]} columns: its density was not integrated."
    compared = {line.what.partition(":")[0] for line in lines}
    absent = [name for name in _OPTIONAL if name not in compared and (case.y.ndim == 1 or name not in _OPTIONAL[2:])]
    if absent:
        yield f"Not compared, as the family leaves them to the defaults: {', '.join(absent)}."
    wrong = any(line.what == "total probability" and line.agrees is False for line in lines)
    if wrong and not discrete and (case.y == np.floor(case.y)).all():
        yield (
            "The density was integrated. If the response is a count, let in_support say so, "
            "return (y >= 0) & (y == np.floor(y)), or ask for check(..., discrete=True)."
        )
    elif wrong and not case.own("in_support"):
        yield "The density was taken over all numbers: if it ends somewhere, let in_support say where."
