"""What a command says of a fit or a comparison, as text and as a record for JSON."""

import argparse
from typing import TYPE_CHECKING, Any

from mlekit.cli.output import say
from mlekit.version import __version__

if TYPE_CHECKING:
    import pandas as pd

    from mlekit import Comparison, CrossValidation, Model, Training
    from mlekit.results import ResultsWrapper


def comparison_text(args: argparse.Namespace, found: "Comparison") -> str:
    """Say in tables what the methods found."""
    best = found.fits[found.best]
    links = ", ".join(f"{link.name}({name})" for name, link in best.model.family.links.items())
    params = found.params.to_string(float_format="{:.8g}".format) if len(found.params) else "none"
    return (
        f"{args.formula}\n"
        f"{type(best.model.family).__name__}, links {links}, {best.nobs:g} observations; "
        f"best estimate by {found.best}\n\n"
        f"{found}\n\n"
        f"Coefficients\n{params}"
    )


def _described(args: argparse.Namespace, model: "Model") -> dict[str, Any]:
    """Say in a record which model it is."""
    return {
        "version": __version__,
        "formula": args.formula,
        "family": None if args.family is None else args.family.lower(),
        "links": {name: link.name for name, link in model.family.links.items()},
        "response_level": model.design.success,
        "missing_rows": model.observations.missing,
        "zero_weight_rows": model.observations.unweighted,
        "aliased": dict(model.aliased),
    }


def _verdict(results: "ResultsWrapper") -> dict[str, Any]:
    return {
        "converged": results.converged,
        "status": results.status.name,
        "reason": results.reason,
        "iterations": results.iterations,
    }


def intervals(args: argparse.Namespace, results: "ResultsWrapper") -> "pd.DataFrame | None":
    """Intervals of the coefficients as ``--ci`` asks; None where only a maximum has them, and there is none."""
    if args.ci == "wald":
        return results.conf_int()
    if not results.converged:
        say("warning", f"no intervals by {args.ci}: they need the maximum of the likelihood")
        return None
    if args.ci == "profile":
        return results.conf_int(method="profile")
    groups = None if args.groups is None else args.groups[0]
    return results.conf_int(method="bootstrap", seed=args.seed, groups=groups)


def fit_text(args: argparse.Namespace, results: "ResultsWrapper", ends: "pd.DataFrame | None") -> str:
    """Say in tables what a fit found."""
    text = str(results.summary())
    if args.ci != "wald" and ends is not None:
        by = "profile likelihood" if args.ci == "profile" else "bootstrap (BCa)"
        table = ends.set_axis(["[0.025", "0.975]"], axis=1).to_string(float_format="{:.6g}".format)
        text += f"\n\n95 % intervals by {by}\n{table}"
    return text if args.seed is None else f"{text}\n\nSeed of the resamples: {args.seed}"


def fit_record(args: argparse.Namespace, results: "ResultsWrapper", ends: "pd.DataFrame | None") -> dict[str, Any]:
    """Make a record of a fit."""
    return {
        **_described(args, results.model),
        "method": results.method,
        "cov_type": results.cov_type,
        "use_t": results.use_t,
        **_verdict(results),
        "nobs": results.nobs,
        "df_resid": results.df_resid,
        "llf": results.llf,
        "aic": results.aic,
        "bic": results.bic,
        "deviance": getattr(results, "deviance", None),  # not every family has one
        **{name: getattr(results, name).to_dict() for name in ("params", "bse", "tvalues", "pvalues")},
        "ci": args.ci,
        "seed": args.seed,
        "conf_int": None if ends is None else {name: list(row) for name, *row in ends.itertuples()},
        "distribution": results.distribution.to_dict("index"),
    }


def comparison_record(args: argparse.Namespace, found: "Comparison") -> dict[str, Any]:
    """Make a record of a comparison."""
    table = found.table.rename(columns={"max |score|": "max_score", "distance (se)": "distance"})
    figures = table[["evaluations", "llf", "max_score", "distance", "seconds"]].to_dict("index")
    return {
        **_described(args, found.fits[found.best].model),
        "best": found.best,
        "methods": {
            name: {**_verdict(fit), **figures[name], "params": fit.params.to_dict(), "bse": fit.bse.to_dict()}
            for name, fit in found.fits.items()
        },
    }


def training_record(args: argparse.Namespace, found: "Training") -> dict[str, Any]:
    """Make a record of a training."""
    schedule = found.schedule
    return {
        **_described(args, found.model),
        "loss": repr(found.loss),
        "unit": found.loss.unit,
        **{name: getattr(schedule, name) for name in ("optimizer", "lr", "momentum", "batch_size", "shuffle", "seed")},
        "status": found.status.name,
        "reason": found.reason,
        "nobs": found.nobs,
        "initial_loss": found.initial_loss,
        "final_loss": found.final_loss,
        "largest_lr": found.largest_lr,
        "params": found.params.to_dict(),
        "history": found.history.to_dict("list"),
    }


def cv_record(args: argparse.Namespace, found: "CrossValidation") -> dict[str, Any]:
    """Make a record of a cross-validation."""
    return {
        "version": __version__,
        "formula": args.formula,
        "family": args.family.lower(),
        "links": {name: link.name for name, link in args.model_family.links.items()},
        "seed": found.seed,
        "rows_left_out": found.left_out,
        "better": dict(found.better),
        "mean": found.mean.to_dict(),
        "standard_error": found.standard_error.to_dict(),
        "scores": found.scores.to_dict("records"),
        "troubles": found.troubles,
    }
