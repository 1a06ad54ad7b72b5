"""The command line: its options, its help, and its errors."""

import argparse
import contextlib
import math
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from mlekit.cli.output import emit, say
from mlekit.version import __version__

#: Exit status of a wrong command line.
USAGE = 2

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


class Parser(argparse.ArgumentParser):
    """A parser whose errors look like all others."""

    def error(self, message: str) -> NoReturn:
        """Print the usage and the error, and exit with 2."""
        self.print_usage(sys.stderr)
        say("error", message)
        raise SystemExit(USAGE)

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        """Exit, after what is printed has been written."""
        emit("", end="")  # after --help and --version: flush here, and not when Python exits
        super().exit(status, message)


def parser() -> Parser:
    """Make the parser of the whole command line."""
    found = Parser(
        prog="mlekit",
        description="Maximum-likelihood estimation from the command line.",
        epilog=f'"mlekit COMMAND --help" explains a command.\n\n{_EXIT_STATUS}',
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    found.add_argument("--version", action="version", version=f"mlekit {__version__}")
    commands = found.add_subparsers(dest="command", metavar="COMMAND", required=True)
    _add_fit(commands)
    _add_compare(commands)
    return found


def _add_command(commands: Any, name: str, text: str, epilog: str, run: str) -> Parser:
    """Add a command with what all commands take: a model, and where its data are."""
    parser: Parser = commands.add_parser(
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


def _add_output(parser: Parser) -> None:
    output = parser.add_argument_group("the output")
    output.add_argument("--json", action="store_true", help="print one JSON object instead of tables")
    output.add_argument("--traceback", action="store_true", help="show where in the code an error arose")


def _add_fit(commands: Any) -> None:
    parser = _add_command(commands, "fit", "fit a model and print its summary", _FIT_HELP, "fit")
    option = parser.add_argument_group("the fit").add_argument
    option("--method", metavar="NAME", help="see below (default: %(default)s)")
    option("--cov-type", metavar="NAME", help="see below (default: %(default)s)")
    option("--use-t", action="store_true", help="Student's t; for the normal family as least squares")
    option("--maxiter", type=_positive(int), metavar="N", help="iteration limit")
    option("--tol", type=_positive(float), metavar="X", help="distance to the maximum, in standard errors")
    _add_output(parser)


def _add_compare(commands: Any) -> None:
    parser = _add_command(
        commands, "compare", "fit one model by several methods, side by side", _COMPARE_HELP, "compare"
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
