"""What a family asks of a call: parameters named right, a response it can have produced, a differentiable density."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mlekit.design import Design, Observations
from mlekit.families import Bernoulli, GenericLikelihood
from mlekit.families.categorical import Categorical
from mlekit.formula import FormulaError
from mlekit.jets import DerivativeError, Rows
from mlekit.links import Array, log
from mlekit.sources import row_name


def offsets_of(offset: Any, family: GenericLikelihood) -> dict[str, Any]:
    """One entry per parameter: a plain offset belongs to the first."""
    if offset is None:
        return {}
    if isinstance(family, Categorical):
        offset = _of_levels(offset, family)
    if isinstance(offset, Mapping):
        unknown = set(offset) - set(family.params)
        if unknown:
            raise ValueError(
                f"offset for {', '.join(map(str, unknown))}: the family's parameters are {', '.join(family.params)}"
            )
        return dict(offset)
    return {next(iter(family.params)): offset}


def _of_levels(offset: Any, family: Categorical) -> Any:
    """Offsets under the names of the parameters: a level may be a number. Of which level a plain one is, is unclear."""
    if isinstance(offset, Mapping):
        return {str(name): value for name, value in offset.items()}
    if not family.is_ordered:
        raise ValueError(
            f"offset= of {family!r} needs a level: give a dict, as in offset={{{next(iter(family.params))!r}: ...}}"
        )
    return offset


def exposure_of(exposure: Any, family: GenericLikelihood) -> Any:
    """Refuse an exposure where the first parameter's link does not turn it into a factor of the mean."""
    name, link = next(iter(family.links.items()))
    if exposure is not None and link != log:
        raise ValueError(
            f"an exposure needs the log link, and {name} has {link.name}: "
            "with another link, give offset= on the scale of the linear predictor"
        )
    return exposure


#: Rows that a density is tried on.
PROBED = 7


def probe(family: GenericLikelihood, y: Array) -> None:
    """Find out on a few rows, before any fit, whether the density can be differentiated and gives what it should.

    Raises
    ------
    DerivativeError
        If it applies a function that has no derivative rule, or turns parameters into plain numbers.
    ValueError
        If it decides by ``if`` over whole arrays, returns anything but one number per row, or what it returns of a row
        depends on the other rows.
    """
    kind = type(family).__name__
    y = np.concatenate([y, np.repeat(y[:1], PROBED - len(y), axis=0)])
    eta = [np.full(len(y), 0.5) for _ in family.params]
    try:
        with np.errstate(all="ignore"):
            if type(family).rows is not GenericLikelihood.rows:
                theta = (link.inverse(e) for link, e in zip(family.links.values(), eta, strict=True))
                _check_shapes("rows", (len(eta), len(y)), family.rows(y, *theta))
            together = family.linear_rows(y, *eta)
            _check_shapes("linear_rows", (len(eta), len(y)), together)
            _check_rows(family, y, eta, together)
    except DerivativeError as error:
        raise DerivativeError(f"{kind}: {error}") from error
    except ValueError as error:
        if "truth value" not in str(error):
            raise ValueError(f"{kind}: {error}") from error
        raise ValueError(
            f"{kind} asks whether a whole array is true: for if and else write np.where(condition, a, b), for max and "
            "min np.maximum and np.minimum, for and, or, not the operators &, |, ~"
        ) from error


def _check_rows(family: GenericLikelihood, y: Array, eta: list[Array], together: Rows) -> None:
    """Refuse a density that gives a row another value among other rows."""
    for part in (slice(0, 1), slice(1, 3), slice(3, None)):
        alone = family.linear_rows(y[part], *(e[part] for e in eta))
        if not np.allclose(alone.value, together.value[part], rtol=1e-8, atol=1e-8, equal_nan=True):
            raise ValueError(
                "the log-density of a row is another number among other rows: it must not use sums, means or extremes "
                "over the rows, nor a single row such as y[0]. Rows that depend on each other are for mlekit.mle"
            )


def _check_shapes(method: str, size: tuple[int, int], rows: Rows) -> None:
    """Refuse hand-written rows of a shape that later sums would stretch or trip over."""
    k, n = size
    for what, found, expected in zip(Rows._fields, rows, ((n,), (k, n), (k, k, n)), strict=True):
        if np.shape(found) != expected:
            raise ValueError(f"the {what} that {method} returns has shape {np.shape(found)}, it must be {expected}")


def _wrong_columns(family: GenericLikelihood, design: Design, y: Array) -> str:
    """Explain a response with too many columns or too few."""
    kind, wanted = type(family).__name__, family.response_columns
    found = "one column" if y.ndim == 1 else f"{y.shape[1]} columns"
    if wanted:
        return (
            f"the response {design.response} has {found}, and {kind} needs {len(wanted)}, {' and '.join(wanted)}: "
            f"{family.response_help}"
        )
    return (
        f"the response {design.response} has {found}, and {kind} needs one: successes and failures are for "
        "family='binomial', censored times for mlekit.Censored(family)"
    )


def check_levels(family: Categorical, response: str, y: Array) -> None:
    """Refuse a response that lacks a level of the family.

    Raises
    ------
    ValueError
        If it does; the message names the levels.
    """
    seen = set(y.tolist())
    lacking = [repr(level) for code, level in enumerate(family.levels) if code not in seen]
    if lacking:
        raise ValueError(
            f"no row has {response} = {' or '.join(lacking)}, so nothing can be estimated of {family!r} there: leave "
            f"such levels out. In a cross-validation, stratify= by {response}, take fewer folds, or merge rare levels"
        )


def _shown(value: Any) -> str:
    return f"{value:g}" if np.ndim(value) == 0 else f"({', '.join(f'{v:g}' for v in value)})"


def check_response(family: GenericLikelihood, design: Design, observations: Observations) -> None:
    """Refuse a response that the family cannot have produced, naming the row and the value."""
    y, labels = observations.block.y, observations.labels
    if isinstance(family, Categorical):
        check_levels(family, design.response, y)
    elif len(design.levels) not in (0, 2):
        shown = ", ".join(map(repr, design.levels[:6])) + (", ..." if len(design.levels) > 6 else "")
        raise FormulaError(
            f"the response {design.response} is text or categorical with {len(design.levels)} levels ({shown}): only "
            "one with two levels can be read as 0/1; family='multinomial_logit' takes any, and 'ordered_logit' levels "
            "that have an order"
        )
    wanted = family.response_columns
    if y.shape[1:] != ((len(wanted),) if wanted else ()):
        raise FormulaError(_wrong_columns(family, design, y))
    bad = ~family.in_support(y)
    if bad.any():
        first = int(np.flatnonzero(bad)[0])
        more = f" and {int(bad.sum()) - 1} more" if bad.sum() > 1 else ""
        raise ValueError(
            f"{design.response} is {_shown(y[first])} in row {row_name(labels, bad)}{more}: "
            f"for {type(family).__name__} each response must be {family.support_text}"
        )
    if isinstance(design.success, str) and not isinstance(family, Bernoulli | Categorical):
        raise ValueError(
            f"the response {design.response} is text or categorical ({design.failure!r}, {design.success!r}): "
            f"{type(family).__name__} needs numbers; family='bernoulli' takes two levels"
        )


def check_count(shapes: Sequence[tuple[int, int]], kept: Sequence[int]) -> None:
    """Refuse more coefficients than rows, unless what is more are combinations of fewer.

    Parameters
    ----------
    shapes : rows and columns of each parameter's matrix
    kept : how many of the columns are independent
    """
    rows = shapes[0][0] if shapes else 0
    # As many independent columns as rows make any other column a combination of them, which says nothing.
    if sum(kept) > rows or any(columns > rows == rank for (_, columns), rank in zip(shapes, kept, strict=True)):
        count = sum(columns for _, columns in shapes)
        raise ValueError(
            f"more coefficients ({count}) than rows ({rows}): leave terms out of the formula, or collect more data"
        )
