"""Hand-written derivatives of a family, compared with jets or differences of its log-density."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from mlekit.differences import central_differences
from mlekit.jets import Rows
from mlekit.links import Array
from mlekit.selfcheck.case import Case, Reference
from mlekit.selfcheck.record import Line

# Deviations up to which two ways to the same derivative agree: a wrong formula is wrong by far more.
_JETS, _DIFFERENCES = 1e-7, 1e-5

RowsOf = Callable[..., Rows]


def row_lines(case: Case, reference: Reference) -> Iterator[Line]:
    """Compare ``rows`` and ``linear_rows``; where jets are all there is, compare these with differences."""
    family, names, eta = case.family, list(case.family.params), case.predictors(case.theta)
    links = tuple(family.links.values())

    def density(y: Array, *eta: Array) -> Array:
        value: Array = family.logpdf(y, *(link.inverse(e) for link, e in zip(links, eta, strict=True)))
        return value

    def linear(y: Array, *eta: Array, order: int = 2) -> Rows:
        rows: Rows = family.linear_rows(y, *eta, order=order)
        base = family.base_measure(y)
        return rows if base is None else rows._replace(value=rows.value + base)

    if case.own("rows") and reference.exact:
        wanted = reference.rows(case.y, *case.theta)
        yield from _compare("rows", case, names, family.rows(case.y, *case.theta), wanted, True)
    elif case.own("rows") or reference.exact:
        # Jets are exact for what they are shown: a density may keep a parameter out of their sight.
        rows, domains = family.rows if case.own("rows") else reference.rows, tuple(family.domains().values())
        wanted = _by_differences(family.logpdf, rows, case.y, case.theta, domains)
        yield from _compare("rows", case, names, rows(case.y, *case.theta), wanted, False)
    if case.own("linear_rows"):
        names = [f"eta_{name}" for name in names]
        if reference.exact:
            wanted = reference.linear(case, case.y, *eta)
        else:
            wanted = _by_differences(density, linear, case.y, eta, family.eta_limits())
        yield from _compare("linear_rows", case, names, linear(case.y, *eta), wanted, reference.exact)


def _by_differences(
    density: Callable[..., Array], rows: RowsOf, y: Array, at: Sequence[Array], domains: Sequence[tuple[float, float]]
) -> Rows:
    """Gradients as differences of the density, Hessians as differences of the gradients: a step less of rounding."""

    def gradient(i: int) -> Callable[..., Array]:
        return lambda y, *at: rows(y, *at, order=1).grad[i]

    first = central_differences(density, y, *at, order=1, domains=domains)
    bends = [central_differences(gradient(i), y, *at, order=1, domains=domains).grad for i in range(len(at))]
    return first._replace(hess=np.stack(bends))


def _compare(what: str, case: Case, names: list[str], ours: Rows, wanted: Rows, exact: bool) -> Iterator[Line]:
    """Lines for a log-density and its derivatives, each relative to the sizes of the second derivatives.

    Those of a difference, or of a sum by the chain rule, may cancel: the squares of the first are sizes then as well.
    """
    size = np.sqrt(np.abs(np.einsum("iin->in", wanted.hess)))
    if not (exact and what == "rows"):
        size = np.maximum(size, np.abs(wanted.grad))
    by, tolerance = ("jets", _JETS) if exact else ("differences", _DIFFERENCES)

    def line(name: str, got: Array, want: Array, scale: Any) -> Line:
        gap = np.abs(got - want) / np.maximum(np.maximum(scale, np.abs(want)), 1e-300)
        deviation = np.where(got == want, 0.0, np.where(np.isnan(gap), np.inf, gap))
        known = ~np.isnan(want)
        row = int(np.argmax(np.where(known, deviation, -1.0)))
        source = by if known.all() else f"{by}, not a number in {(~known).sum()} of {known.size} rows"
        numbers = float(got[row]), float(want[row]), float(deviation[row])
        return Line(f"{what}: {name}", case.at(row), *numbers, tolerance, source)

    yield line("value", ours.value, wanted.value, 1.0)
    for i, name in enumerate(names):
        yield line(f"d/d{name}", ours.grad[i], wanted.grad[i], size[i])
    for i, name in enumerate(names):
        for j, other in enumerate(names[i:], i):
            below = f"d{name} d{other}" if i != j else f"d{name}^2"
            yield line(f"d2/{below}", ours.hess[i, j], wanted.hess[i, j], size[i] * size[j])
