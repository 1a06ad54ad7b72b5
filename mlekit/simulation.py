"""Responses drawn at random: from a fit, or from parameters that are known."""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mlekit.checks import exposure_of, offsets_of
from mlekit.design import Design, design_table
from mlekit.diagnostics import thetas
from mlekit.families import GenericLikelihood, as_family
from mlekit.families.categorical import Categorical
from mlekit.formula import FormulaError
from mlekit.holding import known
from mlekit.links import Array
from mlekit.messages import warn
from mlekit.observations import add_held
from mlekit.sources import as_table
from mlekit.untrusted import scope_for

if TYPE_CHECKING:
    from mlekit.model import Model
    from mlekit.results import Results


def simulate(
    formula: str | Mapping[str, str],
    params: Mapping[str, float],
    family: str | type[GenericLikelihood] | GenericLikelihood = "normal",
    data: Any = None,
    seed: Any = None,
    *,
    offset: Any = None,
    exposure: Any = None,
    trusted: bool = True,
) -> pd.DataFrame:
    """Draw the response of a formula at known parameters: data from which a fit should recover them.

    Parameters
    ----------
    formula : str or dict
        As for :func:`mlekit.fit`; its response is the name of the column to be made.
    params : dict
        Every coefficient by its name, or a parameter whose formula is an intercept alone, on its own scale.
    family : name, class or instance
    data : table
        The covariates.
    seed : int or numpy.random.Generator, optional
    offset, exposure, trusted : optional
        As for :func:`mlekit.fit`.

    Returns
    -------
    pandas.DataFrame
        The data with the response; NaN where a covariate is missing.

    Raises
    ------
    FormulaError
        If the response is not a name, or the formula does not fit the data.
    ValueError
        If a coefficient is missing or unknown, or the parameters are outside their domain in some row.

    Examples
    --------
    >>> import mlekit
    >>> data = {"x": np.linspace(-1, 1, 2000)}
    >>> made = simulate("y ~ x", {"Intercept": 1.0, "x": 0.5, "sigma": 2.0}, "normal", data, seed=1)
    >>> fit = mlekit.fit("y ~ x", made)
    >>> bool((abs(fit.params - [1.0, 0.5, np.log(2)]) < 3 * fit.bse).all())
    True
    """
    chosen = as_family(family)
    _refuse_columns(chosen)
    if data is None:
        raise TypeError("simulate needs data: a table with the covariates")
    frame = pd.DataFrame(data).copy() if isinstance(data, pd.DataFrame | Mapping) else _frame(data)
    if not len(frame):
        raise ValueError("simulate needs data with at least one row")
    name, texts = _made_column(formula, tuple(chosen.params))
    rows = frame if frame.index.is_unique else frame.reset_index(drop=True)
    design, observations = design_table(
        texts,
        rows.assign(**{name: 0.0}),
        tuple(chosen.params),
        scope_for(0, trusted),
        offsets=offsets_of(offset, chosen),
        exposure=exposure_of(exposure, chosen),
    )
    block = observations.block
    held = known(chosen, design, params, "params")
    _refuse_unknown(design, {(h.param, h.column) for h in held})
    eta = [
        np.zeros(len(block)) if part is None else part for part in add_held(held, design.columns, block.X, block.offset)
    ]
    drawn = draw(chosen, block.y, tuple(eta), np.random.default_rng(seed))
    frame[name] = pd.Series(drawn, index=observations.labels).reindex(rows.index).to_numpy()
    return frame


def _frame(data: Any) -> pd.DataFrame:
    table = as_table(data)
    return pd.DataFrame(dict(table.columns), index=table.labels)


def _refuse_columns(family: GenericLikelihood) -> None:
    """Raise ValueError if one column of numbers is no response of the family."""
    if isinstance(family, Categorical):
        raise ValueError(f"simulate draws numbers, and {family!r} has levels: draw by the simulate of a fit")
    if family.response_columns:
        raise ValueError(
            f"{type(family).__name__} has a response of {len(family.response_columns)} columns, and one name makes "
            "one: draw by the family's rvs, or by the simulate of a fit"
        )


def _made_column(formula: Any, params: tuple[str, ...]) -> tuple[str, dict[str, str]]:
    """Name of the column to be made, and the formulas.

    Raises
    ------
    FormulaError
        If the first formula does not name it, or one has it among the covariates.
    """
    if not isinstance(formula, str | Mapping):
        raise FormulaError(f"a formula is text, or a dict of texts by parameter, not {formula!r}")
    first = params[0]
    texts = {first: formula} if isinstance(formula, str) else dict(formula)
    name, mark, covariates = texts.get(first, "").rpartition("~")
    name = name.strip()
    if not mark or not name.isidentifier():
        raise FormulaError(
            f"simulate makes the column that a formula names on its left, as in 'y ~ x': {texts.get(first, '')!r} has "
            "none, or more than a name"
        )
    texts[first] = f"{name} ~ {covariates}"
    for text in (covariates, *(text for param, text in texts.items() if param != first)):
        if re.search(rf"(?<![\w.]){name}(?!\w)", text):
            raise FormulaError(f"{name} is on both sides of the formula: a response cannot be drawn from itself")
    return name, texts


def _refuse_unknown(design: Design, known: set[tuple[int, str]]) -> None:
    """Raise ValueError if a coefficient has no value."""
    absent = [
        name
        for i, (columns, where) in enumerate(zip(design.columns, design.slices, strict=True))
        for column, name in zip(columns, design.names[where], strict=True)
        if (i, column) not in known
    ]
    if absent:
        raise ValueError(f"params lacks {', '.join(absent)}: the formula has {', '.join(design.names)}")


def _limits(family: GenericLikelihood) -> dict[str, float]:
    """Limits of parameters, of the family and of what it is there."""
    found = family.limit()
    return {} if found is None else {found[0]: found[1]} | _limits(found[2])


def draw(family: GenericLikelihood, y: Array, eta: tuple[Array, ...], rng: np.random.Generator) -> Array:
    """Draw a response for each row of linear predictors; ``y`` are those observed, for what they say of trials.

    Raises
    ------
    ValueError
        If a parameter is outside its domain, or too extreme to draw at.
    """
    limits = _limits(family)
    for (name, link), values, (low, high) in zip(family.links.items(), eta, family.eta_limits(), strict=True):
        outside = ~((values > low) & (values < high))
        if name in limits and outside.any():
            outside &= link.inverse(values) != limits[name]
        if outside.any():
            row = int(np.flatnonzero(outside)[0])
            raise ValueError(
                f"in row number {row} the {link.name} link of {name} has eta = {values[row]:g}, not in "
                f"({low:g}, {high:g}): nothing can be drawn there"
            )
    theta = thetas(family, eta)
    try:
        drawn = np.asarray(family.redraw(y, *theta, rng=rng), dtype=float)
    except ValueError as error:
        ranges = (f"{name} from {t.min():g} to {t.max():g}" for name, t in zip(family.params, theta, strict=True))
        raise ValueError(f"{family!r} cannot be drawn at {', '.join(ranges)}: {error}") from error
    beyond = ~np.asarray(family.in_support(drawn))
    if beyond.any():
        warn(
            f"{beyond.sum()} of {beyond.size} responses of {family!r} are so near the end of their range that a float "
            f"is at it, as {drawn[beyond][0]} in row number {int(np.flatnonzero(beyond)[0])}: no fit takes them",
            RuntimeWarning,
        )
    return drawn


def _named(drawn: Array, model: "Model") -> Array:
    """Levels in the place of their numbers, where the response was one of levels."""
    if isinstance(model.family, Categorical):
        return np.array(model.family.levels, dtype=object)[drawn.astype(int)]
    if isinstance(model.design.success, str):
        return np.array([model.design.failure, model.design.success], dtype=object)[drawn.astype(int)]
    return drawn


def simulated(results: "Results", n: int, seed: Any) -> pd.DataFrame:
    """Draw ``n`` responses from a fit; see :meth:`mlekit.results.Results.simulate`."""
    if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 1:
        raise ValueError(f"n must be a whole number of draws, at least 1, not {n!r}")
    model, rng = results.model, np.random.default_rng(seed)
    eta = model.likelihood.linear_predictors(results.stopped)
    draws = [_named(draw(model.family, model.endog, eta, rng), model) for _ in range(n)]
    names = [f"sim_{i + 1}" for i in range(n)]
    if model.family.response_columns:
        columns = pd.MultiIndex.from_product([names, model.family.response_columns])
        return pd.DataFrame(np.hstack(draws), index=model.observations.labels, columns=columns)
    return pd.DataFrame(np.column_stack(draws), index=model.observations.labels, columns=names)
