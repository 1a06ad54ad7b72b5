"""Several attempts at a maximum: where one leads nowhere another may, and of several maxima the highest counts."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mlekit.links import Array
from mlekit.messages import counted
from mlekit.optimize.base import Optimum, StartError, Status
from mlekit.optimize.edge import edge_maximum
from mlekit.optimize.start import starting_point
from mlekit.optimize.verdict import CLOSE, Verdict, judge

if TYPE_CHECKING:
    from mlekit.model import Model

#: How a method takes the coefficients to start from (None for the default ones), and what it returns.
Attempt = Callable[[str, Any], tuple[Optimum, str]]

# Ends after which other ways to the maximum are tried: of the others it is known what they mean.
_ASTRAY = (Status.STOPPED_SHORT, Status.ITERATION_LIMIT, Status.NOT_A_MAXIMUM, Status.BOUNDARY, Status.FAILED)
# ... and from a start of the user's, which may be so far out that the likelihood is flat there.
_FAR = (*_ASTRAY, Status.DIVERGING, Status.SINGULAR)
# What method="auto" tries if Newton's method leads nowhere: its steps may be too bold where curvature changes fast.
_OTHERS: tuple[str, ...] = ("fisher", "bfgs")
# What an attempt on the edge of the domain starts from, in words.
_EDGE = "the default, along the edge of the domain"
# With more rows than this a failure is told at once, as each of those may take minutes.
_MANY = 50_000
# Log-likelihoods that differ by less are those of the same maximum.
_SAME = 1e-6


@dataclass(frozen=True)
class Found:
    """Where one attempt ended.

    Attributes
    ----------
    start : str
        What it started from, in words.
    optimum : Optimum
    method : str
    verdict : Verdict
    """

    start: str
    optimum: Optimum
    method: str
    verdict: Verdict

    @property
    def value(self) -> float:
        """Mean log-likelihood, minus infinity where it is not finite."""
        value = float(self.verdict.evaluation.value)
        return value if np.isfinite(value) else -np.inf

    def better_than(self, other: "Found") -> bool:
        """Whether this is a maximum and the other is none, or is higher by more than rounding."""
        if self.verdict.status.ok != other.verdict.status.ok:
            return self.verdict.status.ok
        return self.value > other.value + _SAME * (1 + abs(other.value)) or (self.value > other.value == -np.inf)


def search(
    model: "Model", attempt: Attempt, method: str, start: Any, *, patient: bool, n_starts: int = 1
) -> tuple[Found, ...]:
    """Attempts at the maximum, the best first.

    The first is what was asked for. Beside a start of the user's the default one is tried, by ``method="auto"`` in any
    case, so that the start decides nothing, and by a method that was named if that led nowhere. Then, for "auto", other
    methods are tried, each followed by Newton's. ``n_starts`` asks for that many, from the starts of parts of the rows.

    Parameters
    ----------
    model : Model
    attempt : callable
        Takes a method and coefficients (or None).
    method, start
        As for :func:`mlekit.fit`.
    patient : bool
        Whether the iteration limit is the method's own: one that the user gave is not to be got round.
    n_starts : int
    """

    def tried(words: str, by: str, beta: Any) -> Found:
        optimum, used = attempt(by, beta)
        return Found(words, optimum, used, judge(model.working, optimum))

    few = model.working.rows <= _MANY
    found = [tried("the default" if start is None else "as given", method, start)]
    if start is not None and (_astray(found[0], _FAR, patient) or (method == "auto" and few)):
        found += _quietly(tried, "the default, not from the one given", method, None)
    if method == "auto" and few:
        found += _by_others(model, tried, _best(found), patient)
    for number, beta in enumerate(starts_of_parts(model, n_starts - 1), 2):
        found += _quietly(tried, f"number {number}, of a part of the rows", method, beta)
    best = _best(found)
    if method == "auto" and few and best.verdict.status in _ASTRAY and (patient or not best.optimum.limited):
        edge = _at_the_edge(model)
        found += edge
        best = edge[0] if edge else best
    others = tuple(each for each in found if each is not best)
    if best is not found[0]:
        detail = f"{best.verdict.detail}; started from {best.start}"
        best = replace(best, verdict=replace(best.verdict, detail=detail))
    return best, *others


def _by_others(model: "Model", tried: Callable[[str, str, Any], Found], best: Found, patient: bool) -> list[Found]:
    """Attempts by other methods, each gone on with by Newton's, where that led nowhere.

    Scoring also where Newton's method passed where the likelihood curves upwards, so that it may have several maxima.
    """
    if _astray(best, _ASTRAY, patient):
        methods = _OTHERS
    elif best.optimum.indefinite and best.verdict.status.ok:
        methods = _OTHERS[:1]
    else:
        return []
    found: list[Found] = []
    for by in methods:
        for rough in _quietly(tried, f"the default, by {by}", by, None):
            if np.isfinite(rough.value):
                found += _quietly(tried, f"where {by} ended", "newton", model.matrix @ rough.optimum.gamma)
        if any(each.verdict.status.ok for each in found):
            break
    return found


def _at_the_edge(model: "Model") -> list[Found]:
    """Return the maximum on the edge of the parameters' domain, if it is there."""
    working = model.working
    if model.family.quantile_level is not None or not np.isfinite(working.family.eta_limits()).any():
        return []
    try:
        edge = edge_maximum(working, starting_point(working))
    except (StartError, ValueError):
        return []
    if edge is None or not edge.decrement <= CLOSE:
        return []
    here = working.evaluate(edge.optimum.gamma, 2)
    labels = model.observations.labels
    said = [
        f"{param} is at the limit of its domain in {counted(int(rows.sum()), 'row')}, "
        + ", ".join(map(str, labels[rows][:3]))
        + (", ..." if rows.sum() > 3 else "")
        for param, rows in zip(model.family.params, edge.reached, strict=True)
        if rows.any()
    ]
    detail = f"{'; '.join(said)}; of all inside the domain the likelihood comes nearest to its supremum here"
    verdict = Verdict(Status.BOUNDARY, detail, edge.decrement, here)
    return [Found(_EDGE, edge.optimum, "newton", verdict)]


def _best(found: list[Found]) -> Found:
    """Return the best of some attempts: of those that are as good, the first."""
    best = found[0]
    for each in found[1:]:
        if each.better_than(best):
            best = each
    return best


def lower(found: tuple[Found, ...]) -> list[Found]:
    """Return the attempts that ended at another maximum, below the best."""
    return [each for each in found[1:] if each.verdict.status.ok and found[0].better_than(each)]


def several_maxima(found: tuple[Found, ...], others: list[Found]) -> str:
    """Say that the likelihood has other maxima."""
    return (
        f"{len(others)} of {len(found)} starts ended at lower maxima of the likelihood: the estimate is the highest "
        "that was found, and a higher one may exist. What to do: try more starts (n_starts), and look at the profile "
        "of the likelihood; standard errors and tests tell of one maximum alone"
    )


def _astray(found: Found, ends: tuple[Status, ...], patient: bool) -> bool:
    status, near = found.verdict.status, found.verdict.decrement <= CLOSE
    if (status is Status.ITERATION_LIMIT and not patient) or (status is Status.BOUNDARY and near):
        return False  # it was told to stop, or the maximum is on the edge
    return status in ends


def _quietly(tried: Callable[[str, str, Any], Found], words: str, by: str, beta: Any) -> list[Found]:
    """Return one more attempt, or none if the method cannot be used here or has no start."""
    try:
        return [tried(words, by, beta)]
    except (StartError, ValueError):
        return []


def starts_of_parts(model: "Model", count: int) -> list[Array]:
    """Coefficients to start from: the starts of parts of the rows, small ones in turn with large ones."""
    rng = np.random.default_rng(0)
    working, made = model.working, []
    for number in range(count):
        size = working.size + 1 if number % 2 == 0 else max(working.size + 1, working.rows // 4)
        rows = np.sort(rng.choice(working.rows, min(size, working.rows), replace=False))
        try:
            made.append(model.matrix @ starting_point(working.part(rows)))
        except (StartError, ValueError):
            continue
    return made
