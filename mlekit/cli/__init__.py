"""The command line: ``mlekit fit``, ``compare``, ``train``, ``cv``, ``predict`` and ``selftest``, from a shell.

Everything slow to import is imported after the arguments are read.
"""

import argparse
import random
import warnings
from collections.abc import Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from mlekit.cli.arguments import parser
from mlekit.cli.output import as_json, emit, explained, say, warnings_to_stderr
from mlekit.cli.records import (
    comparison_record,
    comparison_text,
    cv_record,
    fit_record,
    fit_text,
    intervals,
    training_record,
)
from mlekit.cli.tables import table

if TYPE_CHECKING:
    import pandas as pd

    from mlekit import GenericLikelihood, Model

_FAILED, _NOT_CONVERGED = 1, 3
# What a shell reports for a program that the user interrupts, and for one whose output nobody reads any more.
_INTERRUPTED, _BROKEN_PIPE = 130, 141
# Options of a training that say how it goes about it.
_SCHEDULE = ("optimizer", "lr", "epochs", "batch_size", "shuffle", "seed", "momentum", "tol")


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Parameters
    ----------
    argv : sequence of str, optional
        Its arguments, without the program's name; by default those of the process.

    Returns
    -------
    int
        Exit status: 0 fine; 1 the data or the model are at fault; 3 not converged; 130 interrupted; 141 the
        reader of the output went away.

    Raises
    ------
    SystemExit
        For ``--help`` and ``--version`` (0) and for a wrong command line (2).

    Examples
    --------
    >>> main(["fit", "miltcoup ~ parties", "--data", "nowhere.csv"])
    1
    """
    args = argparse.Namespace(traceback=False)
    try:
        args = parser().parse_args(argv)
        with warnings_to_stderr():
            if args.run not in ("predict", "selftest"):
                _check_names(args)
            return _COMMANDS[args.run](args)
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        return _BROKEN_PIPE
    except Exception as error:
        if args.traceback:
            raise
        say("error", explained(error))
        return _FAILED


def _check_names(args: argparse.Namespace) -> None:
    """Turn the names of the command line into what they stand for, before any data are read."""
    from mlekit.covariance import cov_name
    from mlekit.optimize import method_name

    try:
        args.model_family = None if args.family is None else _family(args.family, args.link)
        args.cov_type = cov_name(args.cov_type or ("cluster" if args.groups else "nonrobust"))
        args.method = method_name(args.method)
        args.methods = None if args.methods is None else [method_name(name) for name in args.methods]
        args.fixed = {} if args.run == "train" else dict(map(_held, args.hold))
        _read_losses(args)
        if args.run == "fit":
            _read_seed(args)
    except (TypeError, ValueError) as error:
        args.parser.error(str(error))


def _read_seed(args: argparse.Namespace) -> None:
    """Draw a seed where there is none and one is needed."""
    needed = "bootstrap" in (args.ci, args.cov_type)
    if args.seed is not None and not needed:
        raise ValueError("--seed goes with --ci bootstrap or --cov-type bootstrap")
    if args.ci == "bootstrap" and args.groups is not None and len(args.groups) > 1:
        raise ValueError("--ci bootstrap draws the clusters of one column: name one in --groups")
    if needed and args.seed is None:
        args.seed = random.SystemRandom().randrange(2**32)


def _family(name: str, links: Sequence[str]) -> "GenericLikelihood":
    from mlekit.families import as_family

    family = as_family(name)
    chosen: dict[str, str | float] = {}
    for text in links:
        param, _, link = text.rpartition("=")
        name = param.strip() or next(iter(family.params))
        chosen[name] = _held(text)[1] if name in family.constants else link.strip()
    return type(family)(**chosen)


def _read_losses(args: argparse.Namespace) -> None:
    """Turn the names after --loss into losses, with their number and the parameters held fixed."""
    if args.run == "cv":
        args.loss = [_score(text) for text in args.loss]
    elif args.run == "train":
        from mlekit.schedule import Schedule

        Schedule(**{name: getattr(args, name) for name in _SCHEDULE})  # says what is impossible
        held = dict(_held(text) for text in args.hold)
        if held and args.loss not in (None, "nll"):
            raise ValueError("--hold goes with the loss nll")
        if held:
            if args.model_family is None:
                raise ValueError("--hold needs the --family whose parameters it holds")
            from mlekit.losses import NegativeLogLikelihood

            args.loss = NegativeLogLikelihood(args.model_family, **held)
        elif args.loss not in (None, "nll"):
            args.loss = _loss(args.loss)


def _held(text: str) -> tuple[str, float]:
    """Read NAME=NUMBER."""
    name, _, value = text.partition("=")
    try:
        return name.strip(), float(value)
    except ValueError:
        raise ValueError(f"{text}: write NAME=NUMBER, as in sigma=10") from None


def _score(text: str) -> Any:
    """Read the name of a score of the density, or a loss."""
    from mlekit.scoring import SCORES, score_names

    if text.lower() in SCORES:
        return text.lower()
    if ":" not in text and text.lower() not in score_names():
        raise ValueError(f"unknown loss {text!r}: the losses are {', '.join(score_names())}")
    return _loss(text)


def _loss(text: str) -> Any:
    """Read NAME or NAME:NUMBER."""
    from mlekit.losses import LOSSES, as_loss

    name, colon, number = text.lower().partition(":")
    loss = as_loss(name)
    if not colon:
        return loss
    if not fields(loss):
        raise ValueError(f"--loss {name} takes no number")
    try:
        return LOSSES[name](float(number))  # type: ignore[call-arg]  # a loss takes its option first
    except ValueError as error:
        unread = str(error).startswith("could not convert")
        raise ValueError(f"--loss {name}: {number!r} is not a number" if unread else str(error)) from None


def _model_options(args: argparse.Namespace) -> dict[str, Any]:
    given = {name: getattr(args, name) for name in ("weights", "offset", "exposure", "missing")}
    return given | ({"fixed": args.fixed} if args.fixed else {})


def _model(args: argparse.Namespace, data: "pd.DataFrame") -> "Model":
    """Make the model, and say how many rows it leaves out."""
    from mlekit import Model

    model = Model.from_formula(args.formula, data, args.model_family, **_scope(args), **_model_options(args))
    left_out = model.observations.missing
    if left_out:
        say("warning", f"{left_out} of {len(data)} rows have missing values and were left out")
    return model


def _scope(args: argparse.Namespace) -> dict[str, Any]:
    """Where formulas find names: they see the columns of the data and no variable of this program."""
    from patsy import EvalEnvironment

    return {"trusted": False} if args.untrusted else {"env": EvalEnvironment([{}])}


def _run_fit(args: argparse.Namespace) -> int:
    model = _model(args, table(args.data))
    how: dict[str, Any] = {"use_t": args.use_t or None, "maxiter": args.maxiter, "tol": args.tol}
    how |= {"bias_reduction": args.bias_reduction, "n_starts": args.n_starts}
    options: dict[str, Any] = {} if args.groups is None else {"groups": args.groups}
    if args.cov_type == "bootstrap":
        options["seed"] = args.seed
    if options:
        results = model.fit(args.method, **how).with_cov(args.cov_type, **options)
    else:
        results = model.fit(args.method, cov_type=args.cov_type, **how)
    if args.save is not None:
        results.save(args.save)
    ends = intervals(args, results)
    emit(as_json(fit_record(args, results, ends)) if args.json else fit_text(args, results, ends))
    return 0 if results.converged else _NOT_CONVERGED


def _run_compare(args: argparse.Namespace) -> int:
    from mlekit import compare

    found = compare(
        args.formula,
        table(args.data),
        args.model_family,
        methods=args.methods,
        **_scope(args),
        **_model_options(args),
    )
    best = found.fits[found.best]
    if not best.converged:
        warnings.warn(f"no method converged; {found.best} came closest: {best.reason}", stacklevel=2)
    emit(as_json(comparison_record(args, found)) if args.json else comparison_text(args, found))
    _draw(args, found)
    return 0 if best.converged else _NOT_CONVERGED


def _run_train(args: argparse.Namespace) -> int:
    from mlekit import TrainingStatus, train

    found = train(
        args.formula,
        table(args.data),
        args.loss,
        family=args.model_family,
        **_scope(args),
        progress=args.progress,
        **{name: getattr(args, name) for name in _SCHEDULE},
    )
    emit(as_json(training_record(args, found)) if args.json else str(found))
    _draw(args, found)
    short = found.status is TrainingStatus.DIVERGED or (args.tol and found.status is TrainingStatus.FINISHED)
    return _NOT_CONVERGED if short else 0


def _run_cv(args: argparse.Namespace) -> int:
    from mlekit import cross_validate

    options = ("k", "loss", "shuffle", "stratify", "groups", "repeats", "seed", "n_jobs", "progress")
    found = cross_validate(
        args.formula,
        table(args.data),
        args.model_family,
        **_scope(args),
        **_model_options(args),
        **{name: getattr(args, name) for name in options},
    )
    emit(as_json(cv_record(args, found)) if args.json else str(found))
    _draw(args, found)
    return _NOT_CONVERGED if found.troubles else 0


def _run_predict(args: argparse.Namespace) -> int:
    from mlekit import load

    fit, rows = load(args.fit), table(args.data)
    if args.what is None:
        found = fit.get_prediction(rows).summary_frame()
    else:
        found = fit.predict(rows, args.what).rename(args.what)
    emit(found.to_csv(), end="")
    return 0


def _run_selftest(args: argparse.Namespace) -> int:
    from mlekit.selftesting import selftest

    found = selftest()
    emit(str(found))
    return 0 if found.passed else _FAILED


def _draw(args: argparse.Namespace, found: Any) -> None:
    if args.plot is not None:
        found.plot().savefig(args.plot, dpi=150)


_COMMANDS = {
    "fit": _run_fit,
    "compare": _run_compare,
    "train": _run_train,
    "cv": _run_cv,
    "predict": _run_predict,
    "selftest": _run_selftest,
}
