"""The checks of a fit, whichever method made it: each passed or not, with its figure, the likely cause and the remedy.

Each check is a small function of :class:`Evidence`, which computes once what several of them look at; ``CHECKS`` has
them by name. A fit that did not end well fails the checks that its status is about, whatever their figures are.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import linalg

from mlekit.attempts import lower, several_maxima
from mlekit.conditioning import REMEDY
from mlekit.likelihood import Evaluation, Likelihood
from mlekit.links import Array
from mlekit.messages import counted
from mlekit.optimize.base import CAUSES, REMEDIES, Curvature, Status
from mlekit.optimize.verdict import CLOSE, FLAT
from mlekit.summary import derivatives

if TYPE_CHECKING:
    from mlekit.results import Results

_EPS = float(np.finfo(float).eps)


class Finding(NamedTuple):
    """What a check found.

    Attributes
    ----------
    passed : bool or None
        None where it is not known.
    figure : str
    cause, remedy : str
        Empty unless it failed.
    """

    passed: bool | None
    figure: str
    cause: str = ""
    remedy: str = ""


@dataclass(frozen=True, eq=False)
class Evidence:
    """A fit, and what is computed of it for several checks.

    Attributes
    ----------
    results : Results
    """

    results: "Results"

    @cached_property
    def fits(self) -> "list[Results]":
        """The fit, that of the simpler family or of the rows that are left, and that of such a one."""
        found: list[Results] = []
        inner: Results | None = self.results
        while inner is not None:
            found.append(inner)
            inner = getattr(inner, "simpler", getattr(inner, "limiting", None))
        return found

    @property
    def fit(self) -> "Results":
        """The last of them, whose coefficients are finite."""
        return self.fits[-1]

    @cached_property
    def here(self) -> "Evaluation":
        """Value and gradient of the mean log-likelihood at the coefficients that users see.

        They are computed anew, except on many rows: there a pass costs a share of the fit, and the verdict was passed
        on one at these very coefficients.
        """
        fit = self.fit
        model, known = fit.model, fit.verdict.evaluation
        with np.errstate(all="ignore"):
            own = isinstance(model.working, Likelihood) or fit._coordinates()[0] is not model.working
            if own or known.gradient is None:
                found: Evaluation = model.likelihood.evaluate(fit.stopped, 1)
                return found
            units = _units(model.matrix)
            inner = linalg.solve(model.matrix.T / units, known.gradient)
            return Evaluation(known.value, inner / units, None)

    def ended(self, *statuses: Status) -> bool:
        """Whether the fit ended with one of some statuses."""
        return self.results.status in statuses

    def failed(self, figure: str, otherwise: Status) -> Finding:
        """Return a failure: cause and remedy are those of how the fit ended, or, if it ended well, of another end."""
        status = otherwise if self.results.status.ok else self.results.status
        return Finding(False, figure, CAUSES[status], REMEDIES[status])


def _finite(evidence: Evidence) -> Finding:
    results = evidence.results
    declared = [fit.at_limit for fit in evidence.fits if hasattr(fit, "at_limit")]
    declared += [name for fit in evidence.fits if hasattr(fit, "infinite") for name in fit.infinite.index]
    names = results.model.design.names
    wrong = [n for n, value in zip(names, results.params, strict=True) if not np.isfinite(value) and n not in declared]
    if not np.isfinite(results.llf):
        wrong.insert(0, f"log-likelihood {results.llf:g}")
    if wrong or evidence.ended(Status.FAILED):
        return evidence.failed(f"not finite: {', '.join(wrong) or 'the derivatives'}", Status.FAILED)
    return Finding(True, f"log-likelihood {results.llf:#.8g}, {counted(len(names) - len(declared), 'coefficient')}")


def _support(evidence: Evidence) -> Finding:
    fit = evidence.fit
    rows = len(fit.model.observations.block)
    if np.isfinite(evidence.here.value):
        return Finding(True, f"{counted(rows, 'row')}, each with a finite log-density")
    outside = np.flatnonzero(~np.isfinite(fit.model.likelihood.log_density(fit.stopped)))
    if not outside.size:
        return Finding(None, "not known: see domain")
    labels = ", ".join(str(label) for label in fit.model.observations.labels[outside[:3]])
    return Finding(
        False,
        f"{outside.size} of {counted(rows, 'row')} without a finite log-density: {labels}"
        + (", ..." if outside.size > 3 else ""),
        "at the estimate these responses cannot occur, or their density is lost to rounding",
        "look at these rows, give other start values, or choose a link that keeps the parameters in their domain",
    )


def _domain(evidence: Evidence) -> Finding:
    fit = evidence.fit
    reached = tuple(getattr(evidence.results, "at_bound", ()))
    said = f"; {counted(len(reached), 'bound')} reached: {', '.join(reached)}" if reached else ""
    limits = fit.model.likelihood.limits
    if not np.isfinite(limits).any():
        return Finding(True, f"the links keep every parameter in its domain{said}")
    edge = evidence.ended(Status.BOUNDARY)
    outside = 0
    for eta, (low, high) in zip(fit.model.likelihood.linear_predictors(fit.stopped), limits, strict=True):
        outside += int(np.sum(~((eta > low) & (eta < high))))
    if outside or edge:
        where = f"{counted(outside, 'parameter')} of rows outside" if outside else "on the edge"
        return evidence.failed(f"{where}{said}", Status.BOUNDARY)
    return Finding(True, f"every parameter of every row inside its domain{said}")


def _score(evidence: Evidence) -> Finding:
    """Score of each coefficient in its standard deviations: no larger than the distance to the maximum."""
    fit = evidence.fit
    if fit.model.family.quantile_level is not None:
        return Finding(None, "none at the kinks of the density: see distance")
    known = fit.verdict.evaluation.hessian
    if fit.status is Status.INFINITE:
        return Finding(None, "no row is left that is not certain")
    if fit.status is Status.BOUNDARY:
        return Finding(None, "none is asked for on the edge of the domain: see domain")
    if evidence.here.gradient is None or known is None:
        return evidence.failed("not finite", Status.FAILED)
    if not fit.optimum.gamma.size:
        return Finding(True, "there is nothing to estimate")
    with np.errstate(all="ignore"):
        names, score, share, rounding = _in_deviations(fit, evidence.here.gradient, -known)
    worst = int(np.nanargmax(share)) if np.isfinite(share).any() else 0
    most = "at most " if fit.optimum.bounded else ""
    figure = f"{names[worst]}: {most}{score[worst]:.1e}, {share[worst]:.1e} of its standard deviation"
    if not share[worst] <= CLOSE + rounding[worst]:
        return evidence.failed(figure, Status.STOPPED_SHORT)
    return Finding(True, figure)


def _units(matrix: Array) -> Array:
    """Size of each coefficient per unit of the coordinates of the fit."""
    units: Array = np.abs(matrix).max(axis=1, initial=0.0)
    units[units == 0] = 1.0
    return units


def _in_deviations(fit: "Results", gradient: Array, information: Array) -> tuple[Any, Array, Array, Array]:
    """Scores by name, their sizes in standard deviations, and what rounding of the coefficients does to these.

    Under restrictions, the scores along the directions that they leave.
    """
    _, matrix = fit._coordinates()
    units = _units(matrix)
    penalty = None if fit.restrictions is None else fit.restrictions.penalty
    names: Any = fit.model.design.names
    score = gradient * fit.nobs
    if penalty is not None:
        score = score + penalty.at(fit.params, names).gradient
    if fit.adjustment is not None:
        score = score + fit.adjustment
    size = np.abs(fit.params) / units
    if fit.restrictions is None:
        inverse = linalg.inv(matrix / units[:, None])
        information = inverse.T @ information @ inverse
        inner = score * units
    else:
        names = [f"direction {j}" for j in range(1, matrix.shape[1] + 1)]
        inner = score = matrix.T @ score
        size = np.abs(np.linalg.pinv(matrix / units[:, None])) @ size
    deviation = np.sqrt(np.abs(np.diag(information)) * fit.nobs)
    deviation[deviation == 0] = np.finfo(float).tiny  # nothing to be told: see information
    few = np.sqrt(
        fit.model.likelihood.count / fit.nobs
    )  # weights that add up to next to nothing do not bring it nearer
    rounding = 4 * _EPS * fit.nobs * (np.abs(information) @ size) / deviation
    return names, score, few * np.abs(inner) / deviation, few * rounding


def _distance(evidence: Evidence) -> Finding:
    distance = evidence.fit.verdict.decrement
    figure = f"{distance:.1e} standard errors" if np.isfinite(distance) else "not known"
    if evidence.ended(Status.ITERATION_LIMIT, Status.STOPPED_SHORT, Status.KINKED) or distance > CLOSE:
        return evidence.failed(figure, Status.STOPPED_SHORT)
    return Finding(True if np.isfinite(distance) else None, figure)


def _information(evidence: Evidence) -> Finding:
    fit = evidence.fit
    hessian = fit.verdict.evaluation.hessian
    if fit.model.family.quantile_level is not None:
        return Finding(None, "expected information: the density has a kink, and no observed one")
    if hessian is None or not hessian.size:
        return Finding(None if hessian is None else True, "none")
    values = linalg.eigvalsh(Curvature(-hessian).equilibrated)
    condition = values[-1] / values[0] if values[0] > 0 else np.inf
    figure = f"smallest eigenvalue {values[0]:.2g} of the scaled information, condition number {condition:.2g}"
    if evidence.ended(Status.FLAT):
        return evidence.failed(fit.verdict.detail, Status.FLAT)
    if evidence.ended(Status.SINGULAR, Status.NOT_A_MAXIMUM) or not values[0] >= FLAT:
        uphill = values[0] < -np.sqrt(FLAT)
        return evidence.failed(figure, Status.NOT_A_MAXIMUM if uphill else Status.SINGULAR)
    return Finding(True, figure)


def _collinearity(evidence: Evidence) -> Finding:
    model = evidence.fit.model
    if not model.bases:
        return Finding(None, "not known: the rows were removed")
    said = model.nearly_collinear
    if said:
        return Finding(False, said, "columns say nearly the same", REMEDY)
    digits = min((each.digits for each in model.conditioning), default=15.0)
    worst = max((each.condition for each in model.conditioning), default=1.0)
    return Finding(True, f"scaled condition number {worst:.2g}, which leaves {digits:.0f} digits")


def _existence(evidence: Evidence) -> Finding:
    results = evidence.results
    if evidence.ended(Status.DIVERGING, Status.INFINITE, Status.UNBOUNDED):
        known = getattr(results, "existence", None)
        return evidence.failed(results.verdict.detail if known is None else known.reason, results.status)
    if evidence.ended(Status.LIMIT):
        return Finding(True, results.verdict.detail.partition(":")[0])
    return Finding(True, "no estimate runs off to infinity") if results.converged else Finding(None, "not known")


def _errors(evidence: Evidence) -> Finding:
    results = evidence.results
    lacking = results.without_errors
    if evidence.ended(Status.BOUNDARY, Status.UNBOUNDED):
        return Finding(None, results.cov_text)
    if lacking:
        return evidence.failed(f"not finite and positive: {', '.join(lacking)}", Status.NO_ERRORS)
    known = results.bse[np.isfinite(results.bse)]
    none = results.bse.size - known.size
    if not known.size:
        return Finding(True, "no coefficient has one")
    figure = f"from {known.min():.2g} to {known.max():.2g}"
    return Finding(True, figure + (f"; {none} determined, without one" if none else ""))


def _derivatives(evidence: Evidence) -> Finding:
    family = evidence.fit.model.family
    if evidence.ended(Status.DERIVATIVES):
        return evidence.failed(evidence.results.verdict.detail, Status.DERIVATIVES)
    return Finding(True, derivatives(family))


def _method(evidence: Evidence) -> Finding:
    results = evidence.results
    counts = counted(results.iterations, "iteration"), counted(results.optimum.evaluations, "evaluation")
    figure = f"{results.method}: {', '.join(counts)}; {results.optimum.reason}"
    if evidence.ended(Status.ITERATION_LIMIT):
        return evidence.failed(figure, Status.ITERATION_LIMIT)
    return Finding(True, figure)


def _starts(evidence: Evidence) -> Finding:
    found = evidence.results.attempts
    if len(found) < 2:
        return Finding(None, "not looked for: one start")
    others = lower(found)
    if not others:
        return Finding(True, f"none found from {len(found)} starts")
    below = evidence.results.nobs * (found[0].value - max(each.value for each in others))
    cause, _, remedy = several_maxima(found, others).partition(". What to do: ")
    return Finding(False, f"the next is {below:.3g} lower in log-likelihood", cause, remedy)


#: Every check by its name, in the order of the table. One takes the evidence, and returns what it found.
CHECKS: dict[str, Callable[[Evidence], Finding]] = {
    "finite": _finite,
    "support": _support,
    "domain": _domain,
    "score": _score,
    "distance": _distance,
    "information": _information,
    "collinearity": _collinearity,
    "existence": _existence,
    "errors": _errors,
    "derivatives": _derivatives,
    "method": _method,
    "other maxima": _starts,
}


def checkup(results: "Results") -> dict[str, Finding]:
    """What every check finds of a fit, by name."""
    evidence = Evidence(results)
    return {name: check(evidence) for name, check in CHECKS.items()}


def table(findings: Mapping[str, Finding]) -> pd.DataFrame:
    """Findings as a table: ``passed`` is missing where it is not known."""
    values = zip(*findings.values(), strict=True)
    columns: dict[str, Any] = dict(zip(Finding._fields, values, strict=True))
    columns["passed"] = pd.array(list(columns["passed"]), dtype="boolean")
    return pd.DataFrame(columns, index=pd.Index(findings, name="check"))
