"""A fit as a column of a table: its coefficients under names that other fits share, and what is to be said of it."""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mlekit.families.multinomial import MultinomialLogit
from mlekit.families.ordered import OrderedLogit
from mlekit.labels import term_rows
from mlekit.naming import full_name

if TYPE_CHECKING:
    from mlekit.design import Design
    from mlekit.results import Results

#: Links under which the exponent of a coefficient is a ratio: of means or parameters, of odds, of hazards.
RATIOS = {"log": "ratios", "neglog": "ratios of means", "logit": "odds ratios", "cloglog": "hazard ratios"}
# The same of statsmodels' links, and of its models that have one link.
_THEIR_LINKS = {"Log": "log", "Logit": "logit", "CLogLog": "cloglog"}
_THEIR_MODELS = {"Logit": "logit", "Poisson": "log", "NegativeBinomial": "log", "NegativeBinomialP": "log"}
# How the notes of a fit begin without which its coefficients have no meaning.
_MEANING = ("Response: ", "Levels of ", "Weights are ", "Offset ", "Exposure ")
_THEIR_DISCRETE = {*_THEIR_MODELS, "Probit", "Binomial", "GeneralizedPoisson", "OrderedModel"}


@dataclass(frozen=True)
class Entry:
    """A coefficient of a fit.

    Attributes
    ----------
    name : str
        As the fit calls it.
    estimate, se, low, high, statistic, pvalue : float
        NaN where there is none.
    remark : str
        Why it has no standard error, or (``"dropped"``) no estimate; else empty.
    link : str
        Of the parameter that it is a coefficient of.
    """

    name: str
    estimate: float
    se: float = np.nan
    low: float = np.nan
    high: float = np.nan
    statistic: float = np.nan
    pvalue: float = np.nan
    remark: str = ""
    link: str = ""

    def exponentiated(self) -> "Entry":
        """The exponent, its delta-method error, and the exponents of the ends; the test stays that of the coefficient.

        Examples
        --------
        >>> entry = Entry("x", 0.0, 0.5, -1.0, 1.0, link="logit").exponentiated()
        >>> entry.estimate, entry.se, round(entry.high, 4)
        (1.0, 0.5, 2.7183)
        """
        if self.link not in RATIOS:
            return self
        with np.errstate(over="ignore", invalid="ignore"):
            estimate, low, high = (float(np.exp(value)) for value in (self.estimate, self.low, self.high))
            beyond = math.isfinite(self.estimate) and not 0 < estimate < math.inf
            remark = self.remark or ("beyond the range of floats" if beyond else "")
            return replace(self, estimate=estimate, se=estimate * self.se, low=low, high=high, remark=remark)


class Rows(NamedTuple):
    """What a fit was fitted to; None of what is not known."""

    labels: Any
    y: Any
    weight: Any


@dataclass(frozen=True, eq=False)
class Column:
    """A fit as a column.

    Attributes
    ----------
    name, response : str
    fit : object
        The fit itself.
    entries : dict
        By group (a parameter, or empty for the one that the formula describes) and label.
    family, cov_type, cov_text : str
    links : tuple of str
    terms : dict
        Names of the coefficients of each term.
    rows : Rows
    discrete : bool or None
        Whether the response is a count or an outcome.
    nobs : float
        NaN if not known.
    mark, failure : str
        What stands above the column of an estimate that is not the maximum, and why it is not; empty if it is.
    remarks : tuple of str
        What else a reader must know.
    """

    name: str
    response: str
    fit: Any
    entries: Mapping[tuple[str, str], Entry]
    family: str
    links: tuple[str, ...]
    cov_type: str
    cov_text: str
    terms: Mapping[str, tuple[str, ...]]
    rows: Rows
    discrete: bool | None = None
    nobs: float = np.nan
    mark: str = ""
    failure: str = ""
    remarks: tuple[str, ...] = ()


def column_of(name: str, fit: Any, alpha: float) -> Column:
    """Read a fit of mlekit, or one of statsmodels with one equation.

    Raises
    ------
    TypeError
        If it is neither.
    """
    results = getattr(fit, "_results", fit)
    if hasattr(results, "verdict") and hasattr(results, "model"):
        return _ours(name, fit, results, alpha)
    if all(hasattr(fit, attribute) for attribute in ("params", "bse", "pvalues", "tvalues", "conf_int", "model")):
        return _theirs(name, fit, alpha)
    raise TypeError(
        f"{name} is no fit but {type(fit).__name__}: a table is made of what mlekit.fit or statsmodels return"
    )


# ------------------------------------------------------------------------------------------------ fits of mlekit


def _ours(name: str, fit: Any, results: "Results", alpha: float) -> Column:
    model, design = results.model, results.model.design
    family = model.family
    with np.errstate(all="ignore"):
        intervals = np.asarray(results.conf_int(alpha)).reshape(-1, 2)
        numbers = np.column_stack([results.params, results.bse, intervals, results.tvalues, results.pvalues])
    estimated = dict(zip(design.names, numbers, strict=True))
    held = {(h.param, h.column): h for h in design.held}
    entries = {}
    for position, column, full, key in _written(design):
        link = _ratio_link(family, position, design.params[position])
        if full in estimated:
            entries[key] = _entry(full, estimated[full], _remark(results, full, *estimated[full][:2]), link)
        elif (position, column) in held:
            if (design.naming, position, column) != ("cutpoints", 0, "Intercept"):  # cutpoints take its place
                entries[key] = Entry(full, held[position, column].value, remark="held", link=link)
        elif full in results.aliased:
            entries[key] = Entry(full, np.nan, remark="dropped", link=link)
    known = results.model.observations.labels.size > 0
    block = model.observations.block
    terms = {term: tuple(np.array(design.names)[rows.any(axis=0)]) for term, rows in term_rows(design).items()}
    return Column(
        name,
        str(model.endog_names),
        fit,
        entries,
        repr(family) if family.constants else family.title,
        tuple(f"{link.name}({param})" for param, link in family.links.items() if link.name != "standard"),
        results.cov_type,
        results.cov_text,
        terms,
        Rows(model.observations.labels, block.y, block.weight) if known else Rows(None, None, None),
        None if not model.has_null else bool(design.levels or family.discrete),
        float(results.nobs),
        "" if results.converged else results.status.value.partition(":")[0].upper(),
        "" if results.converged else results.reason,
        tuple(_remarks(results)),
    )


def _entry(name: str, numbers: Iterable[float], remark: str, link: str) -> Entry:
    estimate, se, low, high, statistic, pvalue = map(float, numbers)
    return Entry(name, estimate, se, low, high, statistic, pvalue, remark, link)


def _written(design: "Design") -> Iterator[tuple[int, str, str, tuple[str, str]]]:
    """Position, column, name, and group with label of every coefficient, also of those that are not estimated."""
    plain = getattr(design, "links", None)  # parameters that are coefficients themselves
    for i, (param, columns) in enumerate(zip(design.params, design.written, strict=True)):
        for column in columns:
            if plain is not None:
                name = param if plain[i] == "identity" else f"{plain[i]}({param})"
                yield i, column, name, ("", name)
                continue
            name = full_name(design.naming, i, param, column)
            if design.naming == "cutpoints" and i:
                yield i, column, name, ("cutpoints", name)
            else:
                yield i, column, name, ("" if name == column else param, column)


def _ratio_link(family: Any, position: int, param: str) -> str:
    """The link by which the exponent of a coefficient is to be read."""
    if isinstance(family, MultinomialLogit) or (isinstance(family, OrderedLogit) and position == 0):
        return "logit"
    return str(family.links[param].name)


def _remark(results: "Results", name: str, estimate: float, se: float) -> str:
    """Why a coefficient has no standard error."""
    inner: Any = results
    while hasattr(inner, "at_limit"):  # of one limit after another
        if inner.at_limit == name:
            return "at limit"
        inner = inner.simpler
    if name in getattr(results, "at_bound", ()):
        return "at bound"
    if np.isnan(estimate):
        return "not defined"
    if np.isinf(estimate):
        return "infinite"
    if 0 < se < np.inf:
        return ""
    return "no error" if name in results.without_errors or results.restrictions is None else "by constraint"


def _remarks(results: "Results") -> Iterator[str]:
    """What a reader must know beside the verdict and the covariance."""
    yield from (note.rstrip(".") for note in results.notes if note.startswith(_MEANING))
    if results.estimator != "maximum likelihood":
        kind = results.estimator[0].upper() + results.estimator[1:]
        yield f"{kind} estimates: log-likelihood, AIC and BIC are at these, and not at the maximum"
    asked = results.restrictions
    if asked is not None and asked.penalty is not None:
        yield "Penalised likelihood: log-likelihood, AIC and BIC are without the penalty, and not at their maximum"
    yield from (f"Dropped, a combination of other columns: {text}" for text in results.aliased.values())
    if hasattr(results, "at_limit"):
        yield results.verdict.detail


# ------------------------------------------------------------------------------------------------ fits of statsmodels


def _theirs(name: str, fit: Any, alpha: float) -> Column:
    model = fit.model
    values = [np.asarray(found, dtype=float) for found in (fit.params, fit.bse, fit.conf_int(alpha))]
    if values[0].ndim != 1:
        raise TypeError(
            f"{name}: {type(model).__name__} of statsmodels has several equations, and names that no other fit has. "
            "Fit it by mlekit, or show it alone by its summary()"
        )
    tests = [np.asarray(found, dtype=float) for found in (fit.tvalues, fit.pvalues)]
    names = [str(n) for n in getattr(fit.params, "index", getattr(model, "param_names", model.exog_names))]
    if len(names) < len(values[0]):  # arrays, and names of the columns alone
        names += [f"parameter {i}" for i in range(len(names), len(values[0]))]
    link = _their_link(model)
    slopes = len(names) - int(getattr(model, "k_extra", 0))
    entries = {}
    for i, (full, *numbers) in enumerate(zip(names, *values[:2], *values[2].T, *tests, strict=True)):
        remark = "" if 0 < numbers[1] < np.inf else "no error"
        entries["", full] = _entry(full, numbers, remark, link if i < slopes else "")
    family, converged = getattr(model, "family", None), _they_converged(fit)
    labels = getattr(model.data, "row_labels", None)
    return Column(
        name,
        str(model.endog_names),
        fit,
        entries,
        _their_family(model, family),
        () if not link or family is None else (f"{link}(mu)",),
        str(getattr(fit, "cov_type", "nonrobust")),
        f"{getattr(fit, 'cov_type', 'nonrobust')}, by statsmodels",
        {},
        Rows(labels, getattr(model, "endog", None), None),
        type(model if family is None else family).__name__ in _THEIR_DISCRETE,
        given_number(fit, "nobs"),
        "" if converged else "NOT CONVERGED",
        "" if converged else "not converged, as statsmodels says",
    )


def given_number(fit: Any, name: str) -> float:
    """A number of a fit of statsmodels, NaN if it has none."""
    try:
        return float(getattr(fit, name))
    except (AttributeError, NotImplementedError, TypeError):  # the last two of data that were removed
        return np.nan


def _their_family(model: Any, family: Any) -> str:
    kind = type(model).__name__
    if family is None:
        return kind
    return type(family).__name__ if kind == "GLM" else f"{kind} ({type(family).__name__})"


def _their_link(model: Any) -> str:
    family = getattr(model, "family", None)
    if family is not None:
        return _THEIR_LINKS.get(type(family.link).__name__, type(family.link).__name__.lower())
    return _THEIR_MODELS.get(type(model).__name__, "")


def _they_converged(fit: Any) -> bool:
    returned = getattr(fit, "mle_retvals", None)
    told = returned.get("converged", True) if isinstance(returned, Mapping) else getattr(fit, "converged", True)
    return bool(told)
