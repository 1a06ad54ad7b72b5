"""``res.verify()``: a fit counted anew and fitted again, and how many digits of each coefficient that confirms.

:mod:`mlekit.checkup` judges a fit by its own passes, at next to no cost. Here nothing is believed: the likelihood, its
slopes and its curvatures come from the log-density alone (:mod:`mlekit.recount`), and the estimate has to be found
again from other starts, by other methods and from the same data in another order (:mod:`mlekit.refits`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from mlekit.checkup import Evidence, Finding, table
from mlekit.conditioning import REMEDY
from mlekit.links import Array
from mlekit.messages import counted
from mlekit.optimize.base import CAUSES, REMEDIES, Status
from mlekit.optimize.kinks import optimality, pinball_at
from mlekit.optimize.verdict import CLOSE
from mlekit.recount import Recount
from mlekit.refits import Refit, by_closed_form, by_other_methods, from_other_starts, otherwise_written
from mlekit.verified import MOST_DIGITS, Verification, digits

if TYPE_CHECKING:
    from mlekit.results import Results

# What the errors are multiplied by: they are known to first order, and as standard deviations.
_CAREFUL = 2.0
# With fewer digits than a summary shows, it shows some that mean nothing.
_FEWEST_DIGITS = 6
# How far derivatives may be from those of the density: by jets they are exact, by differences not.
_BY_JETS, _BY_DIFFERENCES = 1e-6, 1e-4
# Rounding that leaves more unknown than this, in standard errors, leaves a check without an answer.
_HIDDEN = 0.1
# So many refits have to lead back: the furthest may start where the likelihood is flat.
_ENOUGH = 3
# Log-likelihoods that differ by less, in all and relative to their size, are those of the same maximum.
_SAME, _SAME_SHARE = 1e-5, 1e-10


@dataclass(frozen=True, eq=False)
class _Case:
    """A fit, and what is done with it once for several checks."""

    results: "Results"

    @cached_property
    def fit(self) -> "Results":
        """The fit whose coefficients are finite."""
        return Evidence(self.results).fit

    @cached_property
    def recount(self) -> Recount | None:
        """The likelihood counted anew; None where the coefficients are not finite, or no row or coefficient is left."""
        fit = self.fit
        finite = fit.params.size and np.isfinite(fit.params).all() and fit.status is not Status.INFINITE
        return Recount(fit) if finite else None

    @cached_property
    def local(self) -> Recount | None:
        """The same where there is a unique way to measure distances: None where the information is singular."""
        return None if self.recount is None or self.recount.directions is None else self.recount

    @cached_property
    def from_starts(self) -> list[Refit]:
        return [] if self.local is None else from_other_starts(self.fit, self.local.strides)

    @cached_property
    def by_methods(self) -> list[Refit]:
        return [] if self.local is None else by_other_methods(self.fit, self.local.strides)

    @cached_property
    def closed(self) -> Refit | None:
        return None if self.local is None else by_closed_form(self.fit)

    @cached_property
    def rewritten(self) -> Refit | None:
        return None if self.local is None else otherwise_written(self.fit)

    def apart(self, found: Refit) -> float:
        """Largest distance of a coefficient of a refit, in standard errors."""
        assert self.local is not None
        return float(np.max(self.distances(found), initial=0.0)) * self.local.few

    def distances(self, found: Refit) -> Array:
        """Distance of each coefficient of a refit, in standard errors; where there is none it cannot move."""
        assert self.local is not None
        gap, errors = np.abs(found.params - self.fit.params), self.local.errors
        return np.divide(gap, errors, out=np.zeros_like(gap), where=errors > 0)

    def above(self, found: Refit) -> float:
        """How much higher a refit is."""
        return found.value - self.fit.verdict.evaluation.value * self.fit.nobs

    def same_height(self, found: Refit) -> bool:
        """Whether a refit is as high as the fit."""
        return abs(self.above(found)) <= _SAME + _SAME_SHARE * abs(found.value)

    @property
    def highest(self) -> bool:
        """Whether no refit is higher, or as high and elsewhere."""
        if self.local is not None and self.fit.model.family.quantile_level is not None:
            return _only_one(self.fit)
        elsewhere = [each for each in self.from_starts if np.isfinite(each.value) and self.apart(each) > 2 * CLOSE]
        if self.fit.adjustment is not None:
            return not any(each.status.ok for each in elsewhere)
        return not any(self.above(each) > 0 or (each.status.ok and self.same_height(each)) for each in elsewhere)

    @property
    def precise(self) -> list[Refit]:
        """The refits that go on to the last digit and found the same maximum."""
        found = [*self.from_starts, *(each for each in (self.closed, self.rewritten) if each is not None)]
        return [each for each in found if each.status.ok and self.apart(each) <= 2 * CLOSE]


_NOTHING = Finding(None, "not applicable: no finite coefficient is left to look at")
_SINGULAR = Finding(None, "not known: the information is singular")
_NOT_MAXIMUM = "the fit stopped short of a maximum of the likelihood", "fit by method='auto', and look at res.diagnosis"
_WRONG_ROWS = (
    "rows or linear_rows of the family are not the derivatives of its logpdf",
    "look at family.check(y, ...), or leave rows and linear_rows out: they are then exact by jets",
)


def _verdict(case: _Case) -> Finding:
    status = case.results.status
    if status.comparable:
        return Finding(True, f"{status.name.lower()}: {case.results.verdict.detail}")
    return Finding(False, f"{status.name.lower()}: {case.results.verdict.detail}", CAUSES[status], REMEDIES[status])


def _value(case: _Case) -> Finding:
    if case.recount is None:
        return _NOTHING
    try:
        value, slack = case.recount.value, case.recount.value_error
    except NotImplementedError:
        return Finding(None, "not applicable: the family has derivatives, and no log-density")
    if not np.isfinite(value):
        return Finding(None, "not known: logpdf is not finite at the estimate, where linear_rows is")
    gap = abs(value - case.fit.llf)
    figure = f"{value:.15g} by logpdf and an exact sum: {gap:.1e} from that of the fit"
    if gap <= slack:
        return Finding(True, figure + f", where rounding may make {slack:.1e}")
    cause = "the family's linear_rows and base_measure do not add up to its logpdf"
    return Finding(False, figure, cause, "look at family.check(y, ...)")


def _derivatives(case: _Case) -> Finding:
    if case.local is None:
        return _NOTHING if case.recount is None else _SINGULAR
    if case.fit.model.family.quantile_level is not None:
        return Finding(None, "not applicable: the density has a kink")
    try:
        found = case.local.by_density
    except NotImplementedError:
        return Finding(None, "not applicable: the family has derivatives, and no log-density")
    if found is None:
        return Finding(None, "not applicable: the family has none by hand (see slope and curvature)")
    by, slack = ("jets", _BY_JETS) if found.exact else ("differences", _BY_DIFFERENCES)
    lacking = f"; the density gives no number in {counted(found.unknown, 'row')}" if found.unknown else ""
    figure = (
        f"by {by} of logpdf the score differs by {found.score:.1e} standard errors, the information by "
        f"{found.information:.1e} of itself{lacking}"
    )
    if found.unknown and case.fit.converged:
        return Finding(None, f"not known: {figure}")
    if max(found.score, found.information) > slack + 10 * found.noise:
        return Finding(False, figure, *_WRONG_ROWS)
    return Finding(True, figure) if found.noise <= _HIDDEN else Finding(None, f"hidden by rounding: {figure}")


def _score(case: _Case) -> Finding:
    if case.local is None:
        return _NOTHING if case.recount is None else _SINGULAR
    if case.fit.model.family.quantile_level is not None:
        return Finding(None, "not applicable: the density has a kink")
    size = float(np.linalg.norm(case.local.score)) * case.local.few
    figure = f"{size:.1e} standard errors from the maximum, at the coefficients as they are rounded to doubles"
    return Finding(True, figure) if size <= CLOSE + _rounded(case.local) else Finding(False, figure, *_NOT_MAXIMUM)


def _rounded(recount: Recount) -> float:
    """How far the rounding of the data and the coefficients may move the estimate, in standard errors."""
    errors = np.where(recount.errors > 0, recount.errors, 1.0)
    return float(np.max(10 * recount.conditioning / errors, initial=0.0)) * recount.few


def _slope(case: _Case) -> Finding:
    return _by_differences(case, "slope")


def _curvature(case: _Case) -> Finding:
    if case.local is not None and case.fit.adjustment is not None:
        return Finding(None, "not applicable: standard errors are of the expected information")
    return _by_differences(case, "curvature")


def _by_differences(case: _Case, what: str) -> Finding:
    if case.local is None:
        return _NOTHING if case.recount is None else _SINGULAR
    if case.fit.model.family.quantile_level is not None:
        return Finding(None, "not applicable: the density has a kink")
    try:
        slopes, curves, noise = case.local.differences
    except NotImplementedError:
        return Finding(None, "not applicable: the family has derivatives, and no log-density")
    if what == "slope":
        worst = float(np.max(np.abs(slopes), initial=0.0)) * case.local.few
        figure = f"{worst:.1e} standard errors from the maximum, by differences of the exact sum"
        cause = "the fit is no maximum of the sum of logpdf: it stopped short, or rows of the family are wrong"
    else:
        worst = float(np.max(np.abs(curves + 1), initial=0.0))
        figure = f"{worst:.1e} from that of which the standard errors are, by differences of the exact sum"
        cause = "the second derivatives of the family are not those of its logpdf, and standard errors are wrong"
    if not np.isfinite(worst):
        return Finding(None, "not known: logpdf is not finite next to the estimate")
    if worst <= 10 * CLOSE + noise + _rounded(case.local):
        return Finding(True, figure) if noise <= _HIDDEN else Finding(None, f"hidden by rounding: {figure}")
    return Finding(False, figure, cause, _WRONG_ROWS[1])


def _starts(case: _Case) -> Finding:
    if case.local is None:
        return _NOTHING if case.recount is None else _SINGULAR
    if case.fit.model.family.quantile_level is not None:
        return _unique(case)
    found = [each for each in case.from_starts if np.isfinite(each.value)]
    figure = "no other start has a likelihood"
    for each in found:
        above, distance = case.above(each), case.apart(each)
        where = f"from {each.words}"
        if case.fit.adjustment is None and above > _SAME + _SAME_SHARE * abs(each.value):
            return Finding(False, f"{where} to a point {above:.3g} higher in log-likelihood", *_HIGHER)
        if each.status.ok and distance > 2 * CLOSE:
            how = "as high" if case.same_height(each) else f"{-above:.3g} lower in log-likelihood"
            return Finding(False, f"{where} to another maximum, {how}, {distance:.2g} standard errors away", *_SEVERAL)
    arrived = [case.apart(each) for each in found if each.status.ok]
    if found:
        figure = f"{len(arrived)} of {counted(len(found), 'start')} led back"
        figure += f", to within {max(arrived):.1e} standard errors" if arrived else ""
    return Finding(True if len(arrived) >= min(_ENOUGH, len(found)) > 0 else None, figure)


_HIGHER = (
    "the fit stopped short of the maximum, or at a lower one of several",
    "fit by method='auto' with n_starts=10, or give that point as start",
)
_SEVERAL = (
    "the likelihood has several maxima, or one that is not unique",
    "fit with n_starts=10 for the highest; if they are as high, two parameters do the same: hold one or leave it out",
)


def _unique(case: _Case) -> Finding:
    if _only_one(case.fit):
        return Finding(True, "by the multipliers of the rows on the line the maximum is unique")
    cause = "as many rows lie on either side of several lines: the median of an even number of responses is an interval"
    remedy = "report the interval, or that the middle of it was taken"
    return Finding(False, "not unique: other estimates have the same likelihood", cause, remedy)


def _only_one(fit: "Results") -> bool:
    """Whether a maximum on corners of the likelihood is the only one."""
    working, gamma = fit._coordinates()[0], fit.optimum.gamma
    return bool(optimality(pinball_at(working, gamma), gamma[fit.model.design.slices[0]]).unique)


def _methods(case: _Case) -> Finding:
    if not case.by_methods:
        return Finding(None, "not applicable: no second method for this kind of fit")
    arrived = [each for each in case.by_methods if each.status.ok]
    figure = "; ".join(
        f"{each.words}: {case.apart(each):.1e} standard errors away"
        + ("" if each.status.ok else f" ({each.status.name.lower()})")
        for each in case.by_methods
    )
    if any(case.apart(each) > 2 * CLOSE for each in arrived):
        return Finding(False, figure, *_SEVERAL)
    return Finding(True if arrived else None, figure)


def _closed(case: _Case) -> Finding:
    if case.local is None:
        return _NOTHING if case.recount is None else _SINGULAR
    if case.fit.method == "closed_form" and case.fit.model.family.quantile_level is None:
        ends = [case.apart(each) for each in case.from_starts if each.status.ok]
        if not ends:
            return Finding(None, "not known: Newton's method did not arrive")
        figure = f"Newton's method ends {max(ends):.1e} standard errors from it"
        return Finding(True, figure) if max(ends) <= 2 * CLOSE else Finding(False, figure, *_SEVERAL)
    if case.closed is None:
        return Finding(None, "not applicable: there is none, or nothing to compare it with")
    distance = case.apart(case.closed)
    figure = f"{distance:.1e} standard errors from it"
    return Finding(True, figure) if distance <= 2 * CLOSE else Finding(False, figure, *_NOT_MAXIMUM)


def _rewritten(case: _Case) -> Finding:
    found = case.rewritten
    if found is None:
        return Finding(
            None, "not applicable" if case.local is None else "not applicable: it cannot be written otherwise"
        )
    assert case.local is not None
    distance = case.apart(found)
    figure = f"{found.words}: {distance:.1e} standard errors away ({found.status.name.lower()})"
    if not found.status.ok:
        return Finding(None, figure)
    if distance <= 2 * CLOSE + _rounded(case.local):
        return Finding(True, figure)
    cause = "rounding decides where the fit ends, or the maximum is not unique"
    return Finding(False, figure, cause, "see conditioning, and fit with n_starts=10")


def _conditioning(case: _Case) -> Finding:
    if case.local is None:
        return _NOTHING if case.recount is None else _singular(case)
    recount = case.local
    errors = np.where(recount.errors > 0, recount.errors, 1.0)
    values = np.linalg.svd(recount.directions / errors[:, None], compute_uv=False)
    condition = float(values[0] / values[-1]) if values.size and values[-1] > 0 else np.inf
    size = np.maximum(np.abs(case.fit.params), recount.errors)
    left = digits(_CAREFUL * recount.conditioning, size)
    worst = int(np.argmin(left))
    name = case.fit.model.design.names[worst]
    figure = f"condition number {condition:.2g}; {name} has {left[worst]:.0f} digits after rounding of the data"
    if left[worst] >= _FEWEST_DIGITS:
        return Finding(True, figure)
    cause = "columns are nearly combinations of others, or far from zero compared with how much they vary"
    return Finding(False, figure, cause, REMEDY)


def _singular(case: _Case) -> Finding:
    return Finding(False, "the information is singular", CAUSES[Status.SINGULAR], REMEDIES[Status.SINGULAR])


#: Every check by its name, in the order of the table.
CHECKS: dict[str, Callable[[_Case], Finding]] = {
    "verdict": _verdict,
    "log-likelihood": _value,
    "derivatives": _derivatives,
    "score": _score,
    "slope": _slope,
    "curvature": _curvature,
    "other starts": _starts,
    "second method": _methods,
    "closed form": _closed,
    "rewritten": _rewritten,
    "conditioning": _conditioning,
}
# Where one of these fails no digit is to be trusted; the others say themselves how many are.
_ALL_OR_NOTHING = ("derivatives", "slope")


def verify(results: "Results") -> Verification:
    """Count a fit anew and fit it again; see :meth:`mlekit.results.Results.verify`."""
    case = _Case(results)
    with np.errstate(all="ignore"):
        findings = {name: check(case) for name, check in CHECKS.items()}
        trusted = case.highest and not any(findings[name].passed is False for name in _ALL_OR_NOTHING)
        return Verification(table(findings), _coefficients(case, trusted))


def _coefficients(case: _Case, trusted: bool) -> pd.DataFrame:
    results, fit = case.results, case.fit
    found = pd.DataFrame({"estimate": results.params, "std err": results.bse}, index=list(results.model.design.names))
    for name in ("apart", "agreeing", "lost", "digits"):
        found[name] = np.nan
    if case.local is None:
        found.loc[np.isfinite(results.params), "digits"] = 0.0
        return found
    recount, size = case.local, np.abs(fit.params)
    gaps = np.array([np.abs(each.params - fit.params) for each in case.precise]).reshape(-1, size.size)
    apart = np.maximum(gaps.max(axis=0, initial=0.0), 0.0 if fit.model.family.quantile_level else recount.step)
    left, agreeing = digits(_CAREFUL * recount.conditioning, size), digits(_CAREFUL * apart, size)
    inner = pd.DataFrame(
        {
            "apart": np.divide(apart, recount.errors, out=np.zeros_like(apart), where=recount.errors > 0),
            "agreeing": agreeing,
            "lost": MOST_DIGITS - left,
            "digits": np.minimum(agreeing, left) if trusted else 0.0,
        },
        index=list(fit.model.design.names),
    )
    for name in inner.index:
        if np.isfinite(found.loc[name, "estimate"]):
            found.loc[name, inner.columns] = inner.loc[name]
    return found
