"""Outcomes of yes or no beside their predicted probabilities: of the rows of a fit, or of others."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from patsy import EvalEnvironment

from mlekit import factors
from mlekit.counterfactuals import new_weights
from mlekit.diagnostics import NotGiven, thetas
from mlekit.families.base import GenericLikelihood
from mlekit.families.bernoulli import Bernoulli
from mlekit.families.binomial import Binomial
from mlekit.formula import FormulaError, scope_of, unknown_name, variables
from mlekit.links import Array
from mlekit.sources import as_table, row_name, rows_shape

if TYPE_CHECKING:
    from mlekit.model import Model
    from mlekit.predictions import Predictions
    from mlekit.sources import Table

IN_SAMPLE = "on the rows of the fit, where a model looks better than on new ones: data= takes others"


@dataclass(frozen=True, eq=False)
class Outcomes:
    """Ones and zeros of each row, with the probability that was predicted of a one.

    Attributes
    ----------
    p : (n,) array
    ones, zeros : (n,) arrays
        How many, by the weights: of a row of weight 3 that is a one, 3 and 0.
    log_odds : (n,) array
        Of ``p``, with all digits where it rounds to 1.
    notes : tuple of str
        What has to be known to read figures of them.
    title : str
    """

    p: Array
    ones: Array
    zeros: Array
    log_odds: Array
    notes: tuple[str, ...] = ()
    title: str = ""

    @classmethod
    def of(cls, y: Any, p: Any, weights: Any = None) -> "Outcomes":
        """Outcomes and probabilities that are at hand, such as those of a cross-validation.

        Raises
        ------
        ValueError
            If they differ in length, outcomes are not 0 or 1, probabilities are not within 0 and 1, or weights are
            negative.

        Examples
        --------
        >>> Outcomes.of([1, 0, 1], [0.9, 0.5, 0.5], weights=[1, 2, 0]).zeros.tolist()
        [0.0, 2.0]
        """
        given = [np.asarray(each, dtype=float) for each in (y, p, 1.0 if weights is None else weights)]
        y, p, weight = given[0], given[1], np.broadcast_to(given[2], given[0].shape) if weights is None else given[2]
        if y.ndim != 1 or p.shape != y.shape or weight.shape != y.shape:
            raise ValueError(f"outcomes, probabilities and weights must be as many: {[g.shape for g in given]}")
        if not np.isin(y, (0.0, 1.0)).all():
            raise ValueError(f"an outcome is 0 or 1, not {y[~np.isin(y, (0.0, 1.0))][0]:g}")
        if not ((p >= 0) & (p <= 1)).all():
            raise ValueError(f"a probability is from 0 to 1, not {p[~((p >= 0) & (p <= 1))][0]:g}")
        if not (np.isfinite(weight) & (weight >= 0)).all():
            raise ValueError("weights must be finite and not negative")
        with np.errstate(divide="ignore"):
            log_odds = np.log(p) - np.log1p(-p)
        return cls._used(p, weight * y, weight * (1 - y), log_odds)

    @classmethod
    def _used(
        cls, p: Array, ones: Array, zeros: Array, log_odds: Array, notes: Any = (), title: str = ""
    ) -> "Outcomes":
        """Leave out rows of no weight, and refuse what has only ones or only zeros."""
        used = ones + zeros > 0
        for count, what in ((ones.sum(), "a one"), (zeros.sum(), "a zero")):
            if not count > 0:
                raise ValueError(f"no outcome is {what}: how well ones and zeros are told apart cannot be said")
        return cls(p[used], ones[used], zeros[used], log_odds[used], tuple(notes), title)


def outcomes_of(
    results: "Predictions", data: Any, weights: Any, offset: Any, exposure: Any, new_levels: str, what: str
) -> Outcomes:
    """Outcomes of the rows of a fit (``data`` is None) or of others, at its estimates.

    Raises
    ------
    NotGiven
        If a response is not of yes and no; ``what`` is what was asked for.
    ValueError
        If data, weights or offsets do not fit, or all outcomes are the same.
    """
    model: Model = results.model
    family = model.family
    if not isinstance(family, Bernoulli | Binomial):
        raise NotGiven(
            f"{what} is of outcomes of yes or no (families 'bernoulli' and 'binomial'), and a response of {family!r} "
            "is none: resid_quantile() and plot_diagnostics() are for any family"
        )
    notes = []
    if data is None:
        if weights is not None:
            raise ValueError("weights go with data=: the rows of the fit have theirs")
        results._need_rows()
        y, weight, rows = model.endog, model.observations.block.each, model.rows(None, offset, exposure)
        notes.append(IN_SAMPLE)
    else:
        y, weight, rows, lost = _new_rows(model, data, weights, offset, exposure, new_levels)
        if lost:
            notes.append(f"{lost} of {lost + len(y)} rows of the data left out, as they lack values")
    if not results.verdict.status.ok:
        notes.append(f"the estimates are not those of maximum likelihood: {results.verdict.status.value}")
    (eta,) = results._linear(rows)
    offset_size = 0.0 if rows.offset[0] is None else np.abs(rows.offset[0])
    eta = _tied(eta, np.abs(rows.X[0]) @ np.abs(results.stopped) + offset_size)
    counts = y if y.ndim == 2 else np.column_stack([y, 1 - y])
    title = f"{family.title}: {one_of(model)}"
    (p,) = thetas(family, (eta,))
    if np.isnan(p).any():
        raise ValueError(
            f"{np.isnan(p).sum()} rows have no predicted probability, only NaN: leave them out of the data"
        )
    outside = (p < 0) | (p > 1)
    if outside.any():
        link = family.links["p"].name
        notes.append(f"{outside.sum()} rows have a predicted probability outside 0 to 1, which the {link} link allows")
    return Outcomes._used(p, weight * counts[:, 0], weight * counts[:, 1], _log_odds(family, eta), notes, title)


def one_of(model: "Model") -> str:
    """What counts as a one: the response, with its level where it has levels."""
    name, level = model.design.response, model.design.success
    return f"{name} = {level}" if isinstance(level, str) else name


def _tied(eta: Array, size: Array) -> Array:
    """Make linear predictors equal that differ by rounding alone: of equal rows a product differs in the last digit.

    ``size`` is the sum of the sizes of their terms.
    """
    order = np.argsort(eta, kind="stable")
    with np.errstate(invalid="ignore"):
        gaps = np.diff(eta[order])  # NaN between infinite ones, which are ties
    apart = np.append(True, gaps > 8 * np.finfo(float).eps * size[order][1:])
    found = np.empty_like(eta)
    found[order] = eta[order][apart][np.cumsum(apart) - 1]
    return found


def _log_odds(family: GenericLikelihood, eta: Array) -> Array:
    """Log odds from the logs of both probabilities as functions of the linear predictor."""
    single = Bernoulli(**family.links)
    with np.errstate(all="ignore"):
        one, zero = (single.linear_rows(np.full(eta.shape, y), eta, order=0).value for y in (1.0, 0.0))
        return np.asarray(one - zero)


def _new_rows(
    model: "Model", data: Any, weights: Any, offset: Any, exposure: Any, new_levels: str
) -> tuple[Array, Array, Any, int]:
    """Responses, weights and rows of other data, as far as they are complete, and how many are not."""
    design = model.design
    if design.infos is None:
        raise ValueError(
            "this model was made of arrays, and data= takes a table: for new rows, take "
            "mlekit.Roc.of(y, p) or mlekit.Calibration.of(y, p) with p = res.predict(X)"
        )
    rows = model.rows(data, offset, exposure, new_levels)
    known = np.ones(len(rows.labels), dtype=bool) if rows.missing is None else ~rows.missing
    table = as_table(data, variables((design.response,)))
    y = new_response(model, table)
    absent = np.isnan(y) if y.ndim == 1 else np.isnan(y).any(axis=1)
    used = known & ~absent
    if not used.any():
        raise ValueError("no rows left: every row of the data lacks a value")
    bad = used & ~model.family.in_support(y)
    if bad.any():
        raise ValueError(
            f"{design.response} is {y[bad][0]} in row {row_name(table.labels, bad)}: for {type(model.family).__name__} "
            f"each response must be {model.family.support_text}"
        )
    among = used[known]
    chosen = type(rows)(
        tuple(x[among] for x in rows.X), tuple(None if o is None else o[among] for o in rows.offset), table.labels[used]
    )
    return y[used], new_weights(model, data, weights, table, used), chosen, int((~used).sum())


def new_response(model: "Model", table: "Table") -> Array:
    """The response of other rows, as the formula writes it, coded as in the fit; NaN where it is missing.

    Raises
    ------
    FormulaError
        If its columns are not there, or it has a level that the fit did not see.
    """
    design = model.design
    env = next(iter(factors.environments(design.infos or ()).values()), EvalEnvironment([{}]))
    names = variables((design.response,))
    lacking = [name for name in names if name not in table.columns and rows_shape(env.namespace.get(name)) != ()]
    if lacking:
        raise FormulaError(f"{unknown_name(lacking, table.known)}; the outcomes of new rows have to be among them")
    factor = factors.Factor(design.response)
    scope = scope_of([factor.code], table, env)
    value = factors.evaluate({factor: scope}, table).values[factor.key]
    if not isinstance(value, pd.Categorical):
        return np.asarray(value, dtype=float)
    others = sorted({repr(v) for v in value.dropna().unique().tolist() if v not in design.levels})
    if others:
        raise FormulaError(
            f"{design.response} has {', '.join(others)} in the new rows, and in the fit "
            f"{', '.join(map(repr, design.levels)) or 'numbers'}"
        )
    codes = pd.Categorical(value, categories=list(design.levels)).codes.astype(float)
    return np.where(codes < 0, np.nan, codes)
