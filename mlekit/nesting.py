"""Which of two fits is the other with something left out, and why not where neither is."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import linalg

from mlekit import formula as formulas
from mlekit.links import Array
from mlekit.restricted import Reduced
from mlekit.submodels import held

if TYPE_CHECKING:
    from mlekit.families import GenericLikelihood
    from mlekit.results import Results

# What is left of a column that is a combination of others, relative to the sizes of its terms, is rounding.
_ROUNDING = 1e-11


@dataclass(frozen=True)
class Nested:
    """Two fits of which one is inside the other.

    Attributes
    ----------
    larger, smaller : Results
    df : int
        How many parameters the larger one has more.
    limit : str or None
        The parameter whose limit makes the smaller family of the larger one.
    on_bound : tuple of str
        Coefficients of the larger model that are on their bounds in the smaller one.
    """

    larger: "Results"
    smaller: "Results"
    df: int
    limit: str | None
    on_bound: tuple[str, ...]

    @property
    def at_limit(self) -> int:
        """How many coefficients of the larger model are infinite in the smaller one."""
        if self.limit is None:
            return 0
        design = self.larger.model.design
        return len(design.columns[design.params.index(self.limit)])


def nested(one: Any, two: Any, usable: Callable[["Results"], None] | None = None) -> Nested:
    """Find which of two fits is nested in the other: the order does not matter.

    ``usable`` refuses fits that are not wanted (default: :func:`check_usable`).

    Raises
    ------
    TypeError
        If one is no fit of mlekit.
    ValueError
        If neither is, with the reason.
    """
    first, second = unwrapped(one), unwrapped(two)
    for results in (first, second):
        (usable or check_usable)(results)
    _check_rows(first, second)
    smaller, larger = sorted((first, second), key=free)
    limit = _common_family(larger, smaller)
    df = free(larger) - free(smaller)
    params = [name for name in larger.model.design.params if name != limit]
    if df == 0:
        count = f"{free(larger)} free parameter{'s' if free(larger) != 1 else ''}"
        raise ValueError(
            f"{described(first)} and {described(second)} have {count} each: neither is the other with something "
            "left out. AIC and BIC compare models that are not nested"
        )
    beta = inside(larger, smaller, params)
    return Nested(larger, smaller, df, limit, on_bounds(larger, beta))


def unwrapped(fit: Any) -> "Results":
    """Return the results behind a fit.

    Raises
    ------
    TypeError
        If it is none of mlekit's.
    """
    results = getattr(fit, "_results", fit)
    if not hasattr(results, "verdict") or not hasattr(results, "model"):
        raise TypeError(f"likelihoods are compared of fits by mlekit, not of {type(fit).__name__}")
    found: Results = results
    return found


def free(results: "Results") -> int:
    """How many parameters were estimated: constraints take one each, a bound or a limit none."""
    return int(getattr(results, "free", results.params.size))


def penalised(results: "Results") -> bool:
    """Whether a log-prior was added to the likelihood."""
    restrictions = getattr(results, "restrictions", None)
    return restrictions is not None and restrictions.penalty is not None


def described(results: "Results") -> str:
    """A model in words: its formulas, its family, and what it is held to."""
    design = results.model.design
    first, *others = design.params
    written = design.formulas.get(first) or f"{design.response} ~ {' + '.join(design.columns[0]) or '0'}"
    if not results.model.has_null:
        written = design.response
    said = [written, *(f"{p}: {t}" for p in others if (t := design.formulas.get(p, "~ 1")).split() != ["~", "1"])]
    said += [f"{each.text} held" for each in held(results.model)]
    said += [] if results.adjustment is None else ["bias-reduced"]
    restrictions = getattr(results, "restrictions", None)
    if restrictions is not None:
        texts = [text for text in restrictions.texts if not text.startswith("Penalty")]
        said += [text[0].lower() + text[1:].rstrip(".") for text in texts]
        said += [] if restrictions.penalty is None else [f"penalty: {restrictions.penalty!r}"]
    return f"{', '.join(said)} ({results.model.family!r})"


def check_usable(results: "Results") -> None:
    """Refuse a fit whose likelihood says nothing.

    Raises
    ------
    ValueError
        If it is not the maximum, or there is a penalty.
    """
    results._need_rows()
    if results.adjustment is not None:
        raise ValueError(
            f"{described(results)} is bias-reduced, and not at the maximum of the likelihood: twice a difference of "
            "log-likelihoods is chi-squared between maxima alone. lr_test() compares two bias-reduced fits of a "
            "canonical link by their penalised likelihood; else use Wald's tests, or fit without bias_reduction"
        )
    if penalised(results):
        raise ValueError(
            f"{described(results)} maximises a penalised likelihood: twice a difference of log-likelihoods is "
            "chi-squared between maxima without a penalty alone. Fit without it"
        )
    if not results.status.comparable:
        raise ValueError(f"{described(results)} is not at its maximum: {results.reason}")


# ------------------------------------------------------------------------------------------------ rows and families


def _check_rows(one: "Results", two: "Results") -> None:
    """Refuse fits of different rows, responses or weights."""
    first, second = one.model.observations, two.model.observations
    if len(first.labels) != len(second.labels) or not first.labels.equals(second.labels):
        counts = len(first.labels), len(second.labels)
        said = f"to {counts[0]} rows and to {counts[1]}" if counts[0] != counts[1] else "to different rows"
        names = list(dict.fromkeys(name for results in (one, two) for name in _variables(results)))
        advice = f"data.dropna(subset={names})" if names else "the rows that both have"
        missing = " Rows with a missing value were left out." if first.missing or second.missing else ""
        missing += " Rows of weight zero were left out." if first.unweighted or second.unweighted else ""
        raise ValueError(
            f"{described(one)} and {described(two)} were fitted {said}: their likelihoods are sums over different "
            f"rows, and cannot be compared.{missing} Fit both to {advice}"
        )
    if not np.array_equal(first.block.y, second.block.y):
        raise ValueError(
            f"{described(one)} and {described(two)} have different responses: likelihoods are densities per unit of "
            "the response, so those of different ones, such as y and log(y), cannot be compared"
        )
    if not np.array_equal(first.block.each, second.block.each):
        raise ValueError(f"{described(one)} and {described(two)} have different weights: weigh both the same")


def _variables(results: "Results") -> list[str]:
    """Columns that a model needs, that of the response too."""
    design = results.model.design
    if design.infos is None:
        return []
    return [*formulas.variables((design.response,)), *design.variables]


def _common_family(larger: "Results", smaller: "Results") -> str | None:
    """The parameter whose limit makes one family of the other, or None if it is the same.

    Raises
    ------
    ValueError
        If they are neither.
    """
    big, small = larger.model.family, smaller.model.family
    if big == small or _same_function(big, small):
        return None
    limit = big.limit()
    if limit is not None and limit[2] == small:
        return limit[0]
    said = f"{described(larger)} and {described(smaller)} have "
    if type(big) is type(small):
        raise ValueError(
            f"{said}different links, or constants of the family: neither is the other with something left out"
        )
    raise ValueError(
        f"{said}different families, and {small!r} is no limit of {big!r}: their likelihoods can be compared by AIC and "
        "BIC. Where one is the other at some value of a parameter, hold that by fixed= in the same family"
    )


def _same_function(one: "GenericLikelihood", two: "GenericLikelihood") -> bool:
    """Whether two fits maximise the same function of the same data: what ``mlekit.mle`` was given."""
    functions = [getattr(type(family), "function", None) for family in (one, two)]
    if functions[0] is None or functions[0] is not functions[1] or one.links != two.links:
        return False
    first, second = (getattr(family, "data", {}) for family in (one, two))
    return first.keys() == second.keys() and all(_equal(first[name], second[name]) for name in first)


def _equal(one: Any, two: Any) -> bool:
    try:
        return np.array_equal(one, two, equal_nan=True)
    except TypeError:  # text has no NaN
        return np.array_equal(one, two)


# ------------------------------------------------------------------------------------------------ column spaces


def inside(larger: "Results", smaller: "Results", params: Sequence[str]) -> Array:
    """Coefficients of the larger model that are the smaller one's estimate, NaN of parameters that are not named.

    Raises
    ------
    ValueError
        If what the smaller model's linear predictors can be, the larger model's cannot.
    """
    found: Array = embedding(larger, smaller, params, moves=False)[:, 0]
    return found


def embedding(larger: "Results", smaller: "Results", params: Sequence[str], *, moves: bool = True) -> Array:
    """The same, and in columns beside how they move with each coefficient of a smaller model without restrictions.

    Raises
    ------
    ValueError
        As :func:`inside`.
    """
    big, small = (_Side.of(results, params) for results in (larger, smaller))
    reduced = [_triangle(a, b, o) for a, b, o in zip(big.X, small.X, _differences(big, small), strict=True)]
    parts = [(r, scale, a.shape[1]) for (r, scale), a in zip(reduced, big.X, strict=True)]
    left = _Reduced.of([(r[:, :k], scale[:k]) for r, scale, k in parts], big)
    right = _Reduced.of([(r[:, k:-1], scale[k:-1]) for r, scale, k in parts], small)
    shift = np.concatenate([r[:, -1] * scale[-1] for r, scale, _ in parts])
    shift = shift + right.known(small.origin) - left.known(big.origin)
    for column, name in zip(right.space.T, small.names, strict=True):
        if not _in_span(left.space, column):
            what = f"{name} of the latter is" if name else "the latter, under its constraints, has"
            raise ValueError(
                f"neither of {described(larger)} and {described(smaller)} is the other with something left out: "
                f"{what} no combination of what the former has"
            )
    if not _in_span(left.space, shift):
        raise ValueError(
            f"{described(larger)} and {described(smaller)} have different offsets, or hold coefficients at values, and "
            "what the larger one estimates does not make up for it"
        )
    columns = [right.known(smaller.stopped[small.where] - small.origin) + shift]
    columns += map(right.known, np.eye(small.where.size)) if moves else []
    beta = np.full((larger.params.size, len(columns)), np.nan)
    beta[big.where] = big.directions @ np.column_stack([_solved(left.space, c)[0] / left.size for c in columns])
    beta[big.where, 0] += big.origin
    return beta


@dataclass(frozen=True)
class _Side:
    """What the linear predictors of some parameters can be: offsets, and columns times affine coefficients."""

    X: list[Array]
    offsets: list[Array | None]
    where: Array
    origin: Array
    directions: Array
    names: list[str]

    @classmethod
    def of(cls, results: "Results", params: Sequence[str]) -> "_Side":
        design, block = results.model.design, results.model.observations.block
        chosen = [design.params.index(name) for name in params]
        where = np.concatenate([np.arange(results.params.size)[design.slices[i]] for i in chosen])
        names = [design.names[j] for j in where]
        origin, directions = np.zeros(where.size), np.eye(where.size)
        asked = getattr(results, "restrictions", None)
        if asked is not None and len(asked.matrix):
            found = Reduced.of(results.model, asked, {})
            origin, directions = found.origin[where], found.matrix[where]
            names = [""] * directions.shape[1]
        return cls([block.X[i] for i in chosen], [block.offset[i] for i in chosen], where, origin, directions, names)


def _differences(big: _Side, small: _Side) -> list[Array | None]:
    """Offsets of the smaller model less those of the larger one."""
    return [o if p is None else -p if o is None else o - p for o, p in zip(small.offsets, big.offsets, strict=True)]


@dataclass(frozen=True)
class _Reduced:
    """The columns of a side in few rows, and what its coefficients can make of them, in units without extremes."""

    columns: Array
    scale: Array
    space: Array
    size: Array

    @classmethod
    def of(cls, parts: Sequence[tuple[Array, Array]], side: "_Side") -> "_Reduced":
        columns = linalg.block_diag(*(r for r, _ in parts))
        scale = np.concatenate([scale for _, scale in parts])
        moves = scale[:, None] * side.directions
        size = np.abs(moves).max(axis=0, initial=0.0)
        size[size == 0] = 1.0
        return cls(columns, scale, columns @ (moves / size), size)

    def known(self, beta: Array) -> Array:
        """What some coefficients make."""
        made: Array = self.columns @ (self.scale * beta)
        return made


def _triangle(left: Array, right: Array, offset: Array | None) -> tuple[Array, Array]:
    """Few rows with the inner products of two matrices and a column side by side, each by its scale."""
    last = np.zeros(len(left)) if offset is None else offset
    whole = np.column_stack([left, right, last])
    scale = np.abs(whole).max(axis=0, initial=0.0)
    scale[scale == 0] = 1.0
    return np.asarray(np.linalg.qr(whole / scale, mode="r")), scale


def _solved(space: Array, target: Array) -> tuple[Array, float, float]:
    """Coefficients of a column on others, what is left of it, and the size of the terms."""
    norm = np.linalg.norm(space, axis=0)
    norm[norm == 0] = 1.0
    coefficients = np.linalg.lstsq(space / norm, target)[0]
    left = float(np.linalg.norm(target - space / norm @ coefficients))
    return coefficients / norm, left, float(np.linalg.norm(target) + np.abs(coefficients).sum())


def _in_span(space: Array, target: Array) -> bool:
    _, left, size = _solved(space, target)
    return left <= _ROUNDING * size


def on_bounds(larger: "Results", beta: Array) -> tuple[str, ...]:
    """Coefficients of the larger model that are on their bounds at an estimate of the smaller one.

    Raises
    ------
    ValueError
        If one is beyond.
    """
    asked = getattr(larger, "restrictions", None)
    if asked is None:
        return ()
    names, room = larger.model.design.names, _ROUNDING * (1 + np.abs(beta))
    outside = (beta < asked.low - room) | (beta > asked.high + room)
    if outside.any():
        raise ValueError(
            f"the smaller model is outside the bounds of {names[int(np.argmax(outside))]} in {described(larger)}, and "
            "not nested in it"
        )
    on = (beta <= asked.low + room) | (beta >= asked.high - room)
    return tuple(name for name, there in zip(names, on, strict=True) if there)
