"""Saved fits as results again, in the state of a fit without its rows."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from patsy import PatsyError
from statsmodels.base.model import LikelihoodModelResults

from mlekit.bias_reduction import BiasReducedResults
from mlekit.checkup import Finding
from mlekit.design import Design
from mlekit.diagnostics import NotGiven
from mlekit.families import GenericLikelihood
from mlekit.formula import FormulaError
from mlekit.likelihood import Evaluation
from mlekit.limits import LimitResults, limits_of
from mlekit.links import Array
from mlekit.model import Model
from mlekit.observations import Observations
from mlekit.optimize import Optimum
from mlekit.optimize.base import Status, Step
from mlekit.optimize.verdict import Verdict
from mlekit.penalties import NormalPrior, Penalty, Prior, Ridge
from mlekit.restricted import Restrictions
from mlekit.restricted_fit import RestrictedResults
from mlekit.results import Results, ResultsWrapper
from mlekit.saving.designs import design_from
from mlekit.saving.families import family_from, family_record
from mlekit.saving.records import FORMAT, VERSION
from mlekit.saving.schema import check_schema
from mlekit.saving.text import LARGEST, SavedFitError, matrix, read, real, refuse, vector
from mlekit.sources import Block

# How far a covariance may be from symmetric, relative to its standard errors.
_ROUNDING = 1e-6


def load(file: Any, family: Any = None) -> ResultsWrapper:
    """Load a fit that ``res.save(file)`` wrote: summary, tests and predictions, without the rows of the fit.

    Nothing in the file is executed. Formulas are evaluated at prediction, and have columns of the data, numbers,
    operators and the functions listed in :mod:`mlekit.language`; anything else is refused here.

    Parameters
    ----------
    file : path or file object
    family : name, class or instance, optional
        Of a fit whose family, or one of whose links, is one's own: that family, with the links and constants of the
        fit. Its code is taken to be what it was.

    Returns
    -------
    ResultsWrapper
        A fit as after ``remove_data()``: whatever needs its rows, such as residuals, says so. Predictions on new rows
        are the same to the last bit. ``provenance`` tells versions, date and shape of the data.

    Raises
    ------
    SavedFitError
        If the file is no saved fit, or one of another version of the format; or if ``family`` is needed, and is not
        that of the fit.
    OSError
        If the file cannot be read.

    Examples
    --------
    >>> import io
    >>> import mlekit
    >>> from mlekit.datasets import load_africa
    >>> file = io.StringIO()
    >>> mlekit.fit("miltcoup ~ parties", load_africa(), "poisson").save(file)
    >>> _ = file.seek(0)
    >>> print(mlekit.load(file).predict({"parties": [0, 62]}).round(3).tolist())
    [1.028, 4.239]
    """
    record = read(_content(file))
    if isinstance(record, dict) and record.get("format") == FORMAT and record.get("version") != VERSION:
        raise SavedFitError(
            f"the file has version {record.get('version')!r} of the format, and this mlekit reads version {VERSION}: "
            "load it with the mlekit that wrote it, or a newer one"
        )
    check_schema(record)
    try:
        with np.errstate(all="ignore"):
            found = _results(record, family_from(record["family"], family))
    except (FormulaError, PatsyError, OverflowError, RecursionError) as error:
        raise SavedFitError(f"the file is no saved fit: {error}") from error
    found.provenance = record["provenance"]
    return found._wrapped()


def _content(file: Any) -> str | bytes:
    if hasattr(file, "read"):
        content: str | bytes = file.read(LARGEST + 1)
        return content
    path = Path(os.fspath(file))
    with path.open("rb") as opened:
        return opened.read(LARGEST + 1)


def _results(record: dict[str, Any], family: GenericLikelihood) -> Results:
    """Make results of a family, a design and estimates."""
    design, fit = design_from(record["design"]), record["fit"]
    if tuple(family.params) != design.params:
        refuse(f"its family has the parameters {', '.join(family.params)}, and its design {', '.join(design.params)}")
    size, params = len(design.names), vector(fit["params"])
    if params.size != size:
        refuse(f"it has {params.size} coefficients for {size} columns")
    kind, fill = KINDS[fit["kind"]]
    found: Results = kind.__new__(kind)
    LikelihoodModelResults.__init__(found, _model(family, design, fit), params, scale=1.0)
    _ending(found, fit)
    _errors(found, fit["covariance"])
    _known(found, fit)
    if (fit["extra"] is None) != (fill is None):
        refuse(f"a fit of kind {fit['kind']} has other parts")
    if fill is not None:
        _fill(found, fill(found, fit["extra"]))
    return found


def _model(family: GenericLikelihood, design: Design, fit: Mapping[str, Any]) -> Model:
    """Make a model without rows."""
    none = tuple(None for _ in design.params)
    block = Block(np.empty(0), tuple(np.empty((0, len(names))) for names in design.columns), none)
    observations = Observations(block, pd.RangeIndex(0), fit["missing"], fit["unweighted"])
    model = Model(family, design, observations, (), dict(fit["aliased"]), trusted=False)
    model.__dict__["k_constant"] = fit["k_constant"]  # cached: it is that of the rows
    return model


def _ending(found: Results, fit: Mapping[str, Any]) -> None:
    """Fill in how the fit ended."""
    ending, nobs = fit["ending"], real(fit["nobs"])
    if ending["status"] not in Status.__members__:
        refuse(f"it has the status {ending['status'][:50]!r}, which is not known")
    llf = real(fit["llf"])
    value = llf / nobs if nobs else llf
    found.method = ending["method"]
    found.verdict = Verdict(
        Status[ending["status"]], ending["detail"], real(ending["decrement"]), Evaluation(value, None, None)
    )
    trace = tuple(Step(_whole(number), *map(real, rest)) for number, *rest in ending["trace"])
    counts = ending["iterations"], ending["evaluations"]
    found.optimum = Optimum(np.empty(0), ending["reason"], *counts, trace, ending["limited"])


def _errors(found: Results, record: Mapping[str, Any]) -> None:
    """Fill in the covariance, if it may be one."""
    size = found.params.size
    scaled, units = matrix(record["scaled"], size, "the covariance"), vector(record["units"])
    if len(scaled) != size or units.size != size or not ((units > 0) & (units < np.inf)).all():
        refuse("the covariance has not one row and one positive unit for each coefficient")
    unknown = np.isnan(np.diag(scaled))
    if not (np.isnan(scaled) <= (unknown | unknown[:, None])).all() or np.isinf(scaled).any():
        refuse("the covariance has numbers that are not finite")
    size_of_errors = np.sqrt(np.abs(np.diag(scaled)))
    gap, room = np.abs(scaled - scaled.T), _ROUNDING * size_of_errors * size_of_errors[:, None]
    if (gap > room).any():
        refuse("the covariance is not symmetric")
    found.cov_type, found.cov_text, found.use_t = record["type"], record["text"], record["use_t"]
    found.df_resid_inference = real(record["df"])
    found._keep(scaled, units)
    if list(found.without_errors) != record["without_errors"]:
        refuse("the covariance leaves other coefficients without errors than it says")


def _known(found: Results, fit: Mapping[str, Any]) -> None:
    """Fill in what is computed from the rows."""
    found.nobs, found.df_model, found.df_resid = (real(fit[name]) for name in ("nobs", "df_model", "df_resid"))
    if set(fit["common"]) - set(found.model.design.params):
        refuse("it has the value of a parameter that is not there")
    numbers = ("llf", "llnull", "deviance", "null_deviance", "pearson_chi2")
    _fill(found, {name: real(fit[name]) for name in numbers if fit[name] is not None})
    kept = {
        "_llr_df": fit["llr_df"],
        "_unbiased": None if fit["unbiased"] is None else real(fit["unbiased"]),
        "_common": {name: (real(eta), real(se)) for name, (eta, se) in fit["common"].items()},
        "_findings": {name: Finding(**check) for name, check in fit["checks"].items()},
        "notes": list(fit["notes"]),
    }
    _fill(found, kept)


def _whole(value: Any) -> int:
    if not isinstance(value, int):
        refuse(f"it has {value!r} where a whole number should be")
    return value


def _fill(found: Results, attributes: Mapping[str, Any]) -> None:
    found.__dict__.update(attributes)


# ------------------------------------------------------------------------------------ what some fits have beside


class UnknownPenalty(Penalty):
    """A penalty of the user's own, of which a file has only the words."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text

    def at(self, beta: Array, names: Any) -> Prior:
        """Refuse: a file has no code."""
        raise NotGiven(f"the fit was loaded from a file, which does not have the code of its penalty {self.text}")


def _restricted(found: Results, record: Any) -> dict[str, Any]:
    if "constraints" not in record:
        refuse("a fit of kind restricted has other parts")
    size, names = found.params.size, found.model.design.names
    rows = matrix(record["constraints"], size, "a constraint")
    constants, low, high = (vector(record[name]) for name in ("constants", "low", "high"))
    active = {_whole(place): real(value) for place, value in record["active"]}
    directions = record["directions"]
    if (constants.size, low.size, high.size, len(directions)) != (len(rows), size, size, size):
        refuse("its restrictions are not of its coefficients")
    if not all(0 <= place < size for place in active):
        refuse("it has a bound of a coefficient that is not there")
    asked = Restrictions(rows, constants, low, high, _penalty(record["penalty"]), tuple(record["texts"]))
    return {
        "restrictions": asked,
        "active": active,
        "free": record["free"],
        "fewer": record["fewer"],
        "at_bound": tuple(names[place] for place in sorted(active)),
        "_directions": matrix(directions, len(directions[0]) if directions else 0, "a direction"),
        "log_prior": real(record["log_prior"]),
    }


def _penalty(record: Mapping[str, Any] | None) -> Penalty | None:
    try:
        if record is None:
            return None
        if record["kind"] == "ridge":
            return Ridge(record["strength"], tuple(record["free"]))
        if record["kind"] == "normal":
            return NormalPrior({name: tuple(prior) for name, prior in record["priors"].items()})
    except ValueError as error:
        refuse(f"its penalty is none: {error}")
    return UnknownPenalty(record["text"])


def _bias_reduced(found: Results, record: Any) -> dict[str, Any]:
    if "canonical" not in record:
        refuse("a fit of kind bias_reduced has other parts")
    return {"canonical": record["canonical"], "llf_penalised": real(record["llf_penalised"])}


def _limit(found: Results, record: Any) -> dict[str, Any]:
    if "position" not in record:
        refuse("a fit of kind limit has other parts")
    position, names, simpler = record["position"], found.model.design.names, record["simpler"]
    if position >= len(names):
        refuse("it has a limit of a coefficient that is not there")
    known = [family for _, _, family in limits_of(found.model.family) if family_record(family) == simpler["family"]]
    if not known:
        refuse("its simpler family is no limit of its family")
    return {"simpler": _results(simpler, known[0]), "_position": position, "at_limit": names[position]}


#: The results of each kind of fit, and what fills in what they have beside the estimates.
KINDS: dict[str, tuple[type[Results], Callable[[Results, Any], dict[str, Any]] | None]] = {
    "maximum": (Results, None),
    "restricted": (RestrictedResults, _restricted),
    "bias_reduced": (BiasReducedResults, _bias_reduced),
    "limit": (LimitResults, _limit),
}
