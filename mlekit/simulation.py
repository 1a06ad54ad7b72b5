"""Responses drawn at random: from a fit, or from parameters that are known."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mlekit.checks import exposure_of, offsets_of
from mlekit.design import Design, design_table
from mlekit.diagnostics import thetas
from mlekit.families import GenericLikelihood, as_family
from mlekit.formula import FormulaError, caller_scope
from mlekit.holding import meaning
from mlekit.links import Array
from mlekit.observations import add_held

if TYPE_CHECKING:
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
    offset, exposure : optional
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
    if data is None:
        raise TypeError("simulate needs data: a table with the covariates")
    frame = pd.DataFrame(data).copy()
    if not len(frame):
        raise ValueError("simulate needs data with at least one row")
    first = next(iter(chosen.params))
    texts = {first: formula} if isinstance(formula, str) else dict(formula)
    name, mark, covariates = texts.get(first, "").rpartition("~")
    name = name.strip()
    if not mark or not name.isidentifier():
        raise FormulaError(
            f"simulate makes the column that a formula names on its left, as in 'y ~ x': {texts.get(first, '')!r} has "
            "none, or more than a name"
        )
    texts[first] = f"{name} ~ {covariates}"
    if chosen.response_columns:
        raise ValueError(
            f"{type(chosen).__name__} has a response of {len(chosen.response_columns)} columns, and one name makes "
            "one: draw by the family's rvs, or by the simulate of a fit"
        )
    design, observations = design_table(
        texts,
        frame.assign(**{name: 0.0}),
        tuple(chosen.params),
        caller_scope(1),
        offsets=offsets_of(offset, chosen),
        exposure=exposure_of(exposure, chosen),
    )
    block = observations.block
    known = [meaning(chosen, design, key, value, "params") for key, value in params.items()]
    _refuse_unknown(design, {(h.param, h.column) for h in known})
    eta = [
        np.zeros(len(block)) if part is None else part
        for part in add_held(known, design.columns, block.X, block.offset)
    ]
    frame[name] = np.nan
    drawn = draw(chosen, block.y, tuple(eta), np.random.default_rng(seed))
    frame[name] = pd.Series(drawn, index=observations.labels).reindex(frame.index) if observations.missing else drawn
    return frame


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


def draw(family: GenericLikelihood, y: Array, eta: tuple[Array, ...], rng: np.random.Generator) -> Array:
    """Draw a response for each row of linear predictors; ``y`` are those observed, for what they say of trials.

    Raises
    ------
    ValueError
        If a parameter is outside its domain.
    """
    limited, limit = (family.limit() or ("", 0.0, family))[:2]
    for (name, link), values, (low, high) in zip(family.links.items(), eta, family.eta_limits(), strict=True):
        outside = ~((values > low) & (values < high))
        if name == limited and outside.any():
            outside &= link.inverse(values) != limit
        if outside.any():
            row = int(np.flatnonzero(outside)[0])
            raise ValueError(
                f"in row number {row} the {link.name} link of {name} has eta = {values[row]:g}, not in "
                f"({low:g}, {high:g}): nothing can be drawn there"
            )
    return np.asarray(family.redraw(y, *thetas(family, eta), rng=rng), dtype=float)


def simulated(results: "Results", n: int, seed: Any) -> pd.DataFrame:
    """Draw ``n`` responses from a fit; see :meth:`mlekit.results.Results.simulate`."""
    if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 1:
        raise ValueError(f"n must be a whole number of draws, at least 1, not {n!r}")
    model, rng = results.model, np.random.default_rng(seed)
    eta = model.likelihood.linear_predictors(results.params)
    draws = [draw(model.family, model.endog, eta, rng) for _ in range(n)]
    names = [f"sim_{i + 1}" for i in range(n)]
    if model.family.response_columns:
        columns = pd.MultiIndex.from_product([names, model.family.response_columns])
        return pd.DataFrame(np.hstack(draws), index=model.observations.labels, columns=columns)
    return pd.DataFrame(np.column_stack(draws), index=model.observations.labels, columns=names)
