"""A fit as a record of numbers, names and formulas, and the file that it is written to."""

import contextlib
import datetime
import importlib.metadata
import os
import platform
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlekit.diagnostics import NotGiven
from mlekit.penalties import NormalPrior, Penalty, Ridge
from mlekit.saving.designs import design_from, design_record, refuse_code
from mlekit.saving.families import family_from, family_record
from mlekit.saving.schema import check_schema
from mlekit.saving.text import LARGEST, SavedFitError, listed, number, read, write
from mlekit.version import __version__

if TYPE_CHECKING:
    from mlekit.results import Results

FORMAT, VERSION = "mlekit fit", 1
_PACKAGES = ("numpy", "pandas", "patsy", "scipy", "statsmodels")


def save(results: "Results", file: Any) -> None:
    """Write a fit to a file; see :meth:`mlekit.results.Results.save`."""
    text = write(fit_record(results))
    if len(text.encode()) > LARGEST:
        raise SavedFitError(f"the fit cannot be saved: a file has {LARGEST // 2**20} MB at most; pickle the fit")
    if hasattr(file, "write"):
        try:
            file.write(text)
        except TypeError:
            file.write(text.encode())  # opened for bytes
        return
    path = Path(os.path.realpath(os.fspath(file)))
    try:
        _replace(path, text)
    except OSError as error:
        why = f"{error.strerror}: the fit cannot be saved there; choose another path"
        raise OSError(error.errno, why, str(file)) from None


def _replace(path: Path, text: str) -> None:
    """Write a file beside, and put it in the place of another in one step."""
    mode = path.stat().st_mode & 0o777 if path.is_file() else None
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with open(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        if mode is None:
            mask = os.umask(0)
            os.umask(mask)
            mode = 0o666 & ~mask
        Path(name).chmod(mode)
        Path(name).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise


def fit_record(results: "Results") -> dict[str, Any]:
    """Write a fit as a record, and make sure that it can be read.

    Raises
    ------
    SavedFitError
        If it has something of the user's own that is no number, name or formula.
    """
    model = results.model
    if not model.has_null:
        raise SavedFitError(
            f"the fit cannot be saved: {model.design.response} is a function of yours in the place of a family, and a "
            "file has no code. What to do: declare it as a family, which load takes beside the file, or pickle the fit"
        )
    if results.fit_kind not in EXTRAS:
        raise SavedFitError(
            "the fit cannot be saved: estimates are infinite, and where predictions go then depends on the rows. "
            "What to do: pickle it, or fit with bias_reduction=True, which makes them finite"
        )
    refuse_code(model.design)
    record = {"format": FORMAT, "version": VERSION, "provenance": provenance(results), **_parts(results)}
    check_schema(record, "the fit cannot be saved")
    read(write(record["design"]))
    family_from(record["family"], model.family)
    design_from(record["design"])
    return record


def provenance(results: "Results") -> dict[str, Any]:
    """Versions, date and shape of the data of a fit; of one that was loaded, those of its file."""
    if results.provenance is not None:
        return dict(results.provenance)
    observations = results.model.observations
    given, rows = observations.given, len(observations.labels) or None
    versions = {name: importlib.metadata.version(name) for name in _PACKAGES}
    return {
        "saved": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "mlekit": __version__,
        "python": platform.python_version(),
        **versions,
        "rows": rows if given is None else int(given.used.size),
        "rows_used": rows,
    }


def _parts(results: "Results") -> dict[str, Any]:
    """Family, design and estimates."""
    return {
        "family": family_record(results.model.family),
        "design": design_record(results.model.design),
        "fit": _estimates(results) | {"extra": EXTRAS[results.fit_kind](results)},
    }


def _estimates(results: "Results") -> dict[str, Any]:
    observations, optimum, cov = results.model.observations, results.optimum, results.scaled_cov
    return {
        "kind": results.fit_kind,
        "params": listed(results.params),
        "covariance": {
            "scaled": listed(cov[0]),
            "units": listed(cov[1]),
            "type": results.cov_type,
            "text": results.cov_text,
            "use_t": results.use_t,
            "df": number(results.df_resid_inference),
            "without_errors": list(results.without_errors),
        },
        "ending": {
            "method": results.method,
            "status": results.verdict.status.name,
            "detail": results.verdict.detail,
            "decrement": number(results.verdict.decrement),
            "reason": optimum.reason,
            "iterations": int(optimum.iterations),
            "evaluations": int(optimum.evaluations),
            "limited": bool(optimum.limited),
            "trace": [[int(step.iteration), *map(number, step[1:])] for step in optimum.trace],
        },
        "nobs": number(results.nobs),
        "df_model": number(results.df_model),
        "df_resid": number(results.df_resid),
        "k_constant": int(results.k_constant),
        "missing": int(observations.missing),
        "unweighted": int(observations.unweighted),
        "llf": number(results.llf),
        "llr_df": int(results._llr_df) if results.model.has_null else 0,
        **{name: _if_given(results, name) for name in ("llnull", "deviance", "null_deviance", "pearson_chi2")},
        "unbiased": None if results._unbiased is None else number(results._unbiased),
        "common": {name: [number(value) for value in pair] for name, pair in results._common.items()},
        "aliased": dict(results.aliased),
        "notes": list(results.notes),
        "checks": {name: found._asdict() for name, found in results._findings.items()},
    }


def _if_given(results: "Results", name: str) -> Any:
    try:
        return number(getattr(results, name))
    except NotGiven:
        return None


# ------------------------------------------------------------------------------------ what some fits have beside


def _restricted(results: Any) -> dict[str, Any]:
    asked = results.restrictions
    return {
        "constraints": listed(asked.matrix),
        "constants": listed(asked.constants),
        "low": listed(asked.low),
        "high": listed(asked.high),
        "penalty": None if asked.penalty is None else _penalty_record(asked.penalty),
        "texts": list(asked.texts),
        "active": [[int(j), number(value)] for j, value in results.active.items()],
        "free": int(results.free),
        "fewer": int(results.fewer),
        "directions": listed(results._directions),
        "log_prior": number(results.log_prior),
    }


def _penalty_record(penalty: Penalty) -> dict[str, Any]:
    if type(penalty) is Ridge:
        return {"kind": "ridge", "strength": number(penalty.strength), "free": list(penalty.free)}
    if type(penalty) is NormalPrior:
        return {"kind": "normal", "priors": {name: listed(prior) for name, prior in penalty.priors.items()}}
    return {"kind": "own", "text": repr(penalty)}


def _bias_reduced(results: Any) -> dict[str, Any]:
    return {"canonical": results.canonical, "llf_penalised": number(results.llf_penalised)}


def _limit(results: Any) -> dict[str, Any]:
    return {"position": int(results._position), "simpler": _parts(results.simpler)}


#: What each kind of fit has beside the estimates.
EXTRAS: Mapping[str, Callable[["Results"], dict[str, Any] | None]] = {
    "maximum": lambda results: None,
    "restricted": _restricted,
    "bias_reduced": _bias_reduced,
    "limit": _limit,
}
