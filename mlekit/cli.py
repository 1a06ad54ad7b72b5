"""The command line: ``mlekit fit`` and ``mlekit compare``, the package's functions from a shell.

Everything slow to import is imported after the arguments are read.
"""

import argparse
import contextlib
import json
import math
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from mlekit import __version__

if TYPE_CHECKING:
    import pandas as pd

    from mlekit import Comparison, GenericLikelihood, Model
    from mlekit.results import ResultsWrapper

_FAILED, _USAGE, _NOT_CONVERGED = 1, 2, 3
# What a shell reports for a program that the user interrupts, and for one whose output nobody reads any more.
_INTERRUPTED, _BROKEN_PIPE = 130, 141

_MODEL_HELP = """\
families:
  normal, exponential, bernoulli, poisson; each with the links that suit it

methods:
  auto         closed form where there is one, else newton
  closed_form  normal with identity link; intercept alone or groups alone
  newton       Newton's method
  fisher       Fisher scoring
  and every method of scipy.optimize.minimize: nelder-mead, powell, cg, bfgs, newton-cg, l-bfgs-b,
  tnc, cobyla, cobyqa, slsqp, trust-constr, dogleg, trust-ncg, trust-krylov, trust-exact
"""

_END = """\
A value that begins with a dash is joined to its option: --offset=-log(w).
JSON knows neither NaN nor infinities: they are written as null, "Infinity" and "-Infinity".
"""

_EXIT_STATUS = """\
exit status:
  0    the estimate is the maximum of the likelihood
  1    the data or the model are at fault, or a file cannot be read or written
  2    the command is at fault: an option, or the name of a family, link, method or covariance
  3    not converged (compare: by no method); the results are printed all the same
  130  interrupted
  141  the reader of the output went away

Results go to standard output, warnings and errors to standard error.
"""

_FIT_HELP = f"""\
{_MODEL_HELP}
covariances:
  nonrobust    observed information
  eim          expected information, as R's glm
  opg          outer product of the gradients
  HC0          sandwich

examples:
  mlekit fit "miltcoup ~ parties + C(pollib)" --data africa --family poisson
  mlekit fit "claims ~ age" --data claims.csv --family poisson --exposure holders
  mlekit fit "y ~ x" --data - --link mu=log --json < measured.csv

{_END}
{_EXIT_STATUS}"""

_COMPARE_HELP = f"""\
columns of the table:
  max |score|    largest derivative of the log-likelihood where the method stopped
  distance (se)  largest distance of a coefficient from the best estimate, in standard errors

{_MODEL_HELP}
examples:
  mlekit compare "miltcoup ~ parties" --data africa --family poisson
  mlekit compare "height ~ weight" --data heights --methods closed_form,bfgs --plot traces.png

{_END}
{_EXIT_STATUS}"""


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
        args = _parser().parse_args(argv)
        with _warnings_to_stderr():
            _check_names(args)
            return args.run(args)
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        return _BROKEN_PIPE
    except Exception as error:
        if args.traceback:
            raise
        _say("error", _explained(error))
        return _FAILED


# ---------------------------------------------------------------------------------------- the command line


class _Parser(argparse.ArgumentParser):
    """A parser whose errors look like all others."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        _say("error", message)
        raise SystemExit(_USAGE)

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        _emit("", end="")  # after --help and --version: flush here, and not when Python exits
        super().exit(status, message)


def _parser() -> _Parser:
    parser = _Parser(
        prog="mlekit",
        description="Maximum-likelihood estimation from the command line.",
        epilog=f'"mlekit COMMAND --help" explains a command.\n\n{_EXIT_STATUS}',
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"mlekit {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    _add_fit(commands)
    _add_compare(commands)
    return parser


def _add_command(commands: Any, name: str, text: str, epilog: str, run: Callable[..., int]) -> _Parser:
    """Add a command with what all commands take: a model, and where its data are."""
    parser: _Parser = commands.add_parser(
        name,
        usage=f"mlekit {name} FORMULA --data NAME|FILE [--family NAME] [options]",
        help=text,
        description=f"{text[0].upper()}{text[1:]}.",
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(run=run, parser=parser, methods=None, method="auto", cov_type="nonrobust")
    model = parser.add_argument_group("the model")
    option = model.add_argument
    option("formula", metavar="FORMULA", help='as in R: "y ~ x + C(group) + offset(log(n))"')
    option(
        "--data",
        required=True,
        metavar="NAME|FILE",
        help="a data set that comes with mlekit (africa, heights); or a .csv, .tsv (also .gz) or .parquet "
        "file, or one without suffix, read as CSV (./africa is a file of that name); or - for CSV on "
        "standard input",
    )
    option("--family", default="normal", metavar="NAME", help="see below (default: %(default)s)")
    option(
        "--link",
        action="append",
        default=[],
        metavar="[PARAM=]LINK",
        help="link of a parameter, as in mu=sqrt; without PARAM, of the first; may be repeated",
    )
    option("--weights", metavar="EXPR", help="frequency weights: a column, or an expression in columns")
    option("--offset", metavar="EXPR", help="known part of the linear predictor")
    option("--exposure", metavar="EXPR", help="positive; its log is an offset of a log link")
    option(
        "--missing",
        choices=("drop", "raise"),
        default="drop",
        help="rows with missing values: leave them out, or refuse them (default: %(default)s)",
    )
    return parser


def _add_output(parser: _Parser) -> None:
    output = parser.add_argument_group("the output")
    output.add_argument("--json", action="store_true", help="print one JSON object instead of tables")
    output.add_argument("--traceback", action="store_true", help="show where in the code an error arose")


def _add_fit(commands: Any) -> None:
    parser = _add_command(commands, "fit", "fit a model and print its summary", _FIT_HELP, _run_fit)
    option = parser.add_argument_group("the fit").add_argument
    option("--method", metavar="NAME", help="see below (default: %(default)s)")
    option("--cov-type", metavar="NAME", help="see below (default: %(default)s)")
    option("--use-t", action="store_true", help="Student's t; for the normal family as least squares")
    option("--maxiter", type=_positive(int), metavar="N", help="iteration limit")
    option("--tol", type=_positive(float), metavar="X", help="distance to the maximum, in standard errors")
    _add_output(parser)


def _add_compare(commands: Any) -> None:
    parser = _add_command(
        commands, "compare", "fit one model by several methods, side by side", _COMPARE_HELP, _run_compare
    )
    option = parser.add_argument_group("the comparison").add_argument
    option(
        "--methods",
        type=_listed,
        metavar="A,B,...",
        help="see below (default: closed_form where there is one, newton, fisher, bfgs, l-bfgs-b and nelder-mead)",
    )
    option("--plot", metavar="FILE", help="draw the traces to FILE: .png, .pdf, .svg, ...")
    _add_output(parser)


def _positive(kind: type[int] | type[float]) -> Callable[[str], float]:
    def read(text: str) -> float:
        with contextlib.suppress(ValueError):
            if 0 < (value := kind(text)) < math.inf:
                return value
        what = "whole number" if kind is int else "number"
        raise argparse.ArgumentTypeError(f"must be a positive {what}, not {text!r}")

    return read


def _listed(text: str) -> list[str]:
    found = [name.strip() for name in text.split(",") if name.strip()]
    if not found:
        raise argparse.ArgumentTypeError("needs at least one method")
    return found


def _check_names(args: argparse.Namespace) -> None:
    """Turn the names of the command line into what they stand for, before any data are read."""
    from mlekit.covariance import cov_name
    from mlekit.optimize import method_name

    try:
        args.model_family = _family(args.family, args.link)
        args.cov_type, args.method = cov_name(args.cov_type), method_name(args.method)
        args.methods = None if args.methods is None else [method_name(name) for name in args.methods]
    except (TypeError, ValueError) as error:
        args.parser.error(str(error))


def _family(name: str, links: Sequence[str]) -> "GenericLikelihood":
    from mlekit.families import as_family

    family = as_family(name)
    chosen: dict[str, str] = {}
    for text in links:
        param, _, link = text.rpartition("=")
        chosen[param.strip() or next(iter(family.params))] = link.strip()
    return type(family)(**chosen)


# ---------------------------------------------------------------------------------------- the data


def _table(source: str) -> "pd.DataFrame":
    """Read the table that ``--data`` names."""
    from mlekit import datasets

    path, known = Path(source), datasets.names()
    if source in known:
        if path.is_file():
            _say("warning", f"{source} is the data set that comes with mlekit: for the file write ./{source}")
        return datasets.load(source)
    if source == "-":
        table = _read("standard input", "read_csv", getattr(sys.stdin, "buffer", sys.stdin), low_memory=False)
    elif path.exists():
        table = _read_file(path)
    else:
        raise FileNotFoundError(
            f"{source!r} is neither a file nor one of the data sets that come with mlekit: {', '.join(known)}"
        )
    if table.empty:
        columns = ", ".join(map(str, table.columns)) or "none"
        raise ValueError(f"{source}: there are no rows (the columns are {columns})")
    return table


def _read_file(path: Path) -> "pd.DataFrame":
    kind = path.name.lower().removesuffix(".gz")
    if path.name.lower().endswith(".parquet"):
        return _read(str(path), "read_parquet", path)
    if kind.endswith(".tsv"):
        return _read(str(path), "read_csv", path, sep="\t", low_memory=False)
    if kind.endswith(".csv") or not path.suffix:
        return _read(str(path), "read_csv", path, low_memory=False)
    raise ValueError(f"cannot read {path}: mlekit reads .csv, .tsv (both also .gz) and .parquet")


def _read(name: str, function: str, source: Any, **options: Any) -> "pd.DataFrame":
    """Call one of pandas' functions, and say in our words what is wrong with the file."""
    import pandas as pd

    try:
        table: pd.DataFrame = getattr(pd, function)(source, **options)
        return table
    except ImportError as error:
        raise ImportError(f"cannot read {name}: .parquet files need pyarrow: pip install pyarrow") from error
    except pd.errors.EmptyDataError as error:
        raise ValueError(f"cannot read {name}: it is empty") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"cannot read {name}: it is not text in UTF-8 ({error})") from error
    except Exception as error:  # gzip, zlib and pyarrow have their own
        raise ValueError(f"cannot read {name}: {getattr(error, 'strerror', None) or error}") from error


# ---------------------------------------------------------------------------------------- the commands


def _model_options(args: argparse.Namespace) -> dict[str, Any]:
    return {name: getattr(args, name) for name in ("weights", "offset", "exposure", "missing")}


def _model(args: argparse.Namespace, data: "pd.DataFrame") -> "Model":
    """Make the model; a formula sees the columns of the data and no variable of this program."""
    from patsy import EvalEnvironment

    from mlekit import Model

    model = Model.from_formula(args.formula, data, args.model_family, env=EvalEnvironment([{}]), **_model_options(args))
    left_out = model.observations.missing
    if left_out:
        _say("warning", f"{left_out} of {len(data)} rows have missing values and were left out")
    return model


def _run_fit(args: argparse.Namespace) -> int:
    model = _model(args, _table(args.data))
    results = model.fit(
        args.method, cov_type=args.cov_type, use_t=args.use_t or None, maxiter=args.maxiter, tol=args.tol
    )
    _emit(_as_json(_fit_record(args, results)) if args.json else str(results.summary()))
    return 0 if results.converged else _NOT_CONVERGED


def _run_compare(args: argparse.Namespace) -> int:
    data = _table(args.data)
    # A name that compare() could find in this program and not in the data is refused here.
    _model(args, data)
    found = _compared(args, data)
    best = found.fits[found.best]
    if not best.converged:
        warnings.warn(f"no method converged; {found.best} came closest: {best.reason}", stacklevel=2)
    _emit(_as_json(_comparison_record(args, found)) if args.json else _comparison_text(args, found))
    if args.plot is not None:
        found.plot().savefig(args.plot, dpi=150)
    return 0 if best.converged else _NOT_CONVERGED


def _compared(args: argparse.Namespace, data: "pd.DataFrame") -> "Comparison":
    from mlekit import compare

    return compare(args.formula, data, args.model_family, methods=args.methods, **_model_options(args))


# ---------------------------------------------------------------------------------------- the output


def _comparison_text(args: argparse.Namespace, found: "Comparison") -> str:
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
        "family": args.family.lower(),
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


def _fit_record(args: argparse.Namespace, results: "ResultsWrapper") -> dict[str, Any]:
    interval = results.conf_int()
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
        "conf_int": {name: list(row) for name, row in zip(interval.index, interval.to_numpy(), strict=True)},
        "distribution": results.distribution.to_dict("index"),
    }


def _comparison_record(args: argparse.Namespace, found: "Comparison") -> dict[str, Any]:
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


def _as_json(record: Mapping[str, Any]) -> str:
    return json.dumps(_strict(record), indent=2, allow_nan=False)


def _strict(value: Any) -> Any:
    """Return a value in the types that JSON has: NaN as null, infinities as strings.

    Examples
    --------
    >>> _strict({"x": [float("nan"), float("-inf"), 1.5]})
    {'x': [None, '-Infinity', 1.5]}
    """
    if isinstance(value, Mapping):
        return {str(name): _strict(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(item) for item in value]
    value = value.item() if hasattr(value, "item") else value  # a NumPy number
    if not isinstance(value, float) or math.isfinite(value):
        return value
    return None if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


# ---------------------------------------------------------------------------------------- what goes wrong


def _emit(text: str, end: str = "\n") -> None:
    """Write to standard output at once, so that it is here that we learn if that cannot be done."""
    try:
        print(text, end=end, flush=True)
    except OSError:
        # What is left in the buffer goes nowhere, or Python would complain again when it exits.
        with contextlib.suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, sys.stdout.fileno())
            os.close(nowhere)
        raise


def _say(kind: str, message: str) -> None:
    with contextlib.suppress(OSError):
        print(f"mlekit: {kind}: {message}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def _warnings_to_stderr() -> Iterator[None]:
    """Print each warning once, as one line; those meant for programmers not at all."""
    said: set[str] = set()

    def show(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
        text = " ".join(str(message).split())
        if text not in said:
            said.add(text)
            _say("warning", text)

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        for category in (DeprecationWarning, PendingDeprecationWarning, FutureWarning, ResourceWarning):
            warnings.simplefilter("ignore", category)
        warnings.showwarning = show
        yield


def _explained(error: Exception) -> str:
    """Say what went wrong: in the words of the error if it is one that mlekit expects."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    if isinstance(error, ValueError | TypeError | OSError | ImportError):
        return str(error)
    return f"unexpected {type(error).__name__}: {error} (--traceback shows where it arose; please report it)"
