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
  normal, exponential, bernoulli, binomial, poisson, negative_binomial, negative_binomial_1,
  geometric, laplace, asymmetric_laplace, huber_normal, student_t, logistic, gumbel, weibull,
  lognormal, gamma, inverse_gaussian, beta, ordered_logit, ordered_probit, multinomial_logit;
  each with the links that suit it

methods:
  auto         closed form where there is one, else newton
  closed_form  normal with identity link; intercept alone or groups alone; quantiles
  newton       Newton's method
  fisher       Fisher scoring
  gd, sgd      gradient descent, on all rows or on batches that grow
  and every method of scipy.optimize.minimize: nelder-mead, powell, cg, bfgs, newton-cg, l-bfgs-b,
  tnc, cobyla, cobyqa, slsqp, trust-constr, dogleg, trust-ncg, trust-krylov, trust-exact
"""

_LOSSES_HELP = """\
losses:
  mse, rmse, mae, huber, pinball, cross_entropy, and nll, the negative log-likelihood of the family;
  huber and pinball take a number: huber:1.5 (where it turns straight), pinball:0.9 (the quantile)
"""

_TRAIN_HELP = f"""\
{_LOSSES_HELP}
optimizers:
  gd           a step per epoch, on all rows
  sgd          a step per batch; with --momentum
  nesterov     the same, with Nesterov's momentum
  adam         steps scaled by the gradients so far

examples:
  mlekit train "height ~ 0 + weight" --data heights --lr 0.0001 --epochs 100
  mlekit train "miltcoup ~ standardize(parties)" --data africa --family poisson --plot path.png
  mlekit train "y ~ x" --data big.csv --loss huber:1.5 --optimizer sgd --batch-size 256 --seed 1

Columns go in as they are: where training diverges, a smaller --lr or standardize(x) helps.
"""

_CV_HELP = f"""\
{_LOSSES_HELP}  and of whole densities: deviance, and log_score, the mean log-density of the rows held out

examples:
  mlekit cv "miltcoup ~ parties" --data africa --family poisson --loss mse,log_score --seed 1
  mlekit cv "y ~ x + C(g)" --data y.csv --family bernoulli --loss cross_entropy --stratify --k 10
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
  3    not converged (compare: by no method; cv: in some fold; train: diverged, or --tol not
       reached); the results are printed all the same
  130  interrupted
  141  the reader of the output went away

Results go to standard output, warnings and errors to standard error.
"""

_FIT_HELP = f"""\
{_MODEL_HELP}
covariances:
  nonrobust           observed information
  eim                 expected information, as R's glm
  opg                 outer product of the gradients
  HC0, HC1, HC2, HC3  sandwich, robust to a variance that differs from row to row
  cluster             sandwich, robust to correlation within --groups, as statsmodels has it
  CR0, CR1, CR2, CR3  the same with no factor, with G / (G - 1), and with leverages as HC2, HC3
  hac                 sandwich, robust to correlation of neighbouring rows (Newey-West)
  bootstrap           of 1000 resamples of the rows, or of --groups
  jackknife           by leaving out each row, or each of --groups

examples:
  mlekit fit "miltcoup ~ parties + C(pollib)" --data africa --family poisson
  mlekit fit "claims ~ age" --data claims.csv --family poisson --exposure holders
  mlekit fit "y ~ x" --data - --link mu=log --json < measured.csv
  mlekit fit "y ~ x" --data y.csv --ci bootstrap --groups school --seed 1

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
    _add_train(commands)
    _add_cv(commands)
    _add_predict(commands)
    _add_selftest(commands)
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
    parser.set_defaults(run=run, parser=parser, methods=None, method="auto", cov_type=None, groups=None)
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
    option("--family", default="normal", metavar="NAME", help="one of those below (default: %(default)s)")
    option(
        "--link",
        action="append",
        default=[],
        metavar="[PARAM=]LINK",
        help="link of a parameter, as in mu=sqrt (without PARAM, of the first), or a constant of the family, as in "
        "q=0.25; may be repeated",
    )
    option(
        "--untrusted",
        action="store_true",
        help="a stranger wrote the formula and other expressions: refuse what is more than columns, numbers, operators "
        "and listed functions",
    )
    return parser


def _add_rows(parser: Parser) -> None:
    """Add what rows are given beside the formula."""
    option = parser.add_argument_group("the rows").add_argument
    option("--weights", metavar="EXPR", help="frequency weights: a column, or an expression in columns")
    option("--offset", metavar="EXPR", help="known part of the linear predictor")
    option("--exposure", metavar="EXPR", help="positive; its log is an offset of a log link")
    option(
        "--hold",
        action="append",
        default=[],
        metavar="NAME=NUMBER",
        help="a coefficient, or a parameter without a formula, that is known and not estimated; may be repeated",
    )
    option(
        "--missing",
        choices=("drop", "raise"),
        default="drop",
        help="rows with missing values: leave them out, or refuse them (default: %(default)s)",
    )


def _add_output(parser: Parser, figure: str | None = None) -> None:
    output = parser.add_argument_group("the output")
    if figure is not None:
        output.add_argument("--plot", metavar="FILE", help=f"draw {figure} to FILE: .png, .pdf, .svg, ...")
    output.add_argument("--json", action="store_true", help="print one JSON object instead of tables")
    output.add_argument("--traceback", action="store_true", help="show where in the code an error arose")


def _add_fit(commands: Any) -> None:
    parser = _add_command(commands, "fit", "fit a model and print its summary", _FIT_HELP, "fit")
    _add_rows(parser)
    option = parser.add_argument_group("the fit").add_argument
    option("--method", metavar="NAME", help="see below (default: %(default)s)")
    option("--cov-type", metavar="NAME", help="see below (default: nonrobust; cluster with --groups)")
    option("--groups", type=_listed("column"), metavar="A[,B]", help="columns of the clusters, one way or two")
    option(
        "--ci",
        choices=("wald", "profile", "bootstrap"),
        default="wald",
        help="95 %% intervals: by standard errors, where the likelihood has fallen enough, or by 1000 resamples of the "
        "rows or of --groups (default: %(default)s)",
    )
    option("--seed", type=_seed, metavar="N", help="of --ci or --cov-type bootstrap (default: one is drawn, and said)")
    option("--use-t", action="store_true", help="Student's t; for the normal family as least squares")
    option("--bias-reduction", action="store_true", help="Firth's estimates, without first-order bias")
    option("--n-starts", type=_positive(int), metavar="N", help="starts to try where there may be several maxima")
    option("--maxiter", type=_positive(int), metavar="N", help="iteration limit")
    option("--tol", type=_positive(float), metavar="X", help="distance to the maximum, in standard errors")
    option("--save", metavar="FILE", help="write the fit to FILE, as JSON without its rows, for predict and load")
    _add_output(parser)


def _add_compare(commands: Any) -> None:
    parser = _add_command(
        commands, "compare", "fit one model by several methods, side by side", _COMPARE_HELP, "compare"
    )
    _add_rows(parser)
    option = parser.add_argument_group("the comparison").add_argument
    option(
        "--methods",
        type=_listed("method"),
        metavar="A,B,...",
        help="see below (default: closed_form where there is one, newton, fisher, bfgs, l-bfgs-b and nelder-mead)",
    )
    _add_output(parser, "the traces")


def _add_train(commands: Any) -> None:
    parser = _add_command(commands, "train", "train a model by gradient descent on a loss", _TRAIN_HELP, "train")
    parser.set_defaults(family=None)
    option = parser.add_argument_group("the training").add_argument
    option("--loss", metavar="NAME", help="see below (default: mse; with --family, its nll)")
    option(
        "--hold",
        action="append",
        default=[],
        metavar="PARAM=VALUE",
        help="hold a parameter of the family fixed in its nll, as in sigma=10; may be repeated",
    )
    option("--optimizer", default="gd", metavar="NAME", help="see below (default: %(default)s)")
    option("--lr", type=_positive(float), default=0.1, metavar="X", help="learning rate (default: %(default)s)")
    option("--epochs", type=_positive(int), default=100, metavar="N", help="passes over the rows (default: 100)")
    option("--batch-size", type=_positive(int), metavar="N", help="rows of a batch (default: all)")
    option("--momentum", type=float, default=0.0, metavar="X", help="from 0 to below 1 (default: 0)")
    option("--tol", type=_positive(float), metavar="X", help="stop where the loss is this close to its minimum")
    _add_shuffle(option)
    _add_output(parser, "the loss by epoch, and the path of one or two coefficients")


def _add_cv(commands: Any) -> None:
    parser = _add_command(commands, "cv", "cross-validate a model", _CV_HELP, "cv")
    _add_rows(parser)
    option = parser.add_argument_group("the cross-validation").add_argument
    option("--k", type=_positive(int), default=5, metavar="N", help="number of folds (default: %(default)s)")
    option("--loss", type=_listed("loss"), default=["mse"], metavar="A,B,...", help="see below (default: mse)")
    option(
        "--stratify",
        nargs="?",
        const=True,
        metavar="COLUMN",
        help="the same share of each class in every fold: of the 0/1 response, or of a column",
    )
    option("--groups", metavar="COLUMN", help="rows of one group are never on both sides")
    option("--repeats", type=_positive(int), default=1, metavar="N", help="times to repeat all (default: 1)")
    option("--n-jobs", type=int, default=1, metavar="N", help="folds to fit at a time; -1: one per processor")
    _add_shuffle(option)
    _add_output(parser, "the scores of each fold")


def _add_predict(commands: Any) -> None:
    text = "predict on new rows by a fit that fit --save wrote"
    parser: Parser = commands.add_parser(
        "predict",
        usage="mlekit predict FIT --data NAME|FILE [options]",
        help=text,
        description=f"{text[0].upper()}{text[1:]}. The result is CSV, with a line for each row.",
        epilog=_EXIT_STATUS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(run="predict", parser=parser)
    option = parser.add_argument
    option("fit", metavar="FIT", help="the file; nothing in it is executed")
    option("--data", required=True, metavar="NAME|FILE", help="the new rows, as for fit")
    option("--what", metavar="NAME", help="mean, linear or a parameter alone (default: means with their intervals)")
    option("--traceback", action="store_true", help="show where in the code an error arose")


def _add_selftest(commands: Any) -> None:
    text = "compare reference fits on this machine with numbers of others"
    parser: Parser = commands.add_parser(
        "selftest",
        usage="mlekit selftest",
        help=text,
        description=f"{text[0].upper()}{text[1:]}: mpmath, R and NIST.",
        epilog="exit status:\n  0    all agree\n  1    some do not",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(run="selftest", parser=parser, traceback=False)


def _add_shuffle(option: Callable[..., Any]) -> None:
    option("--seed", type=int, metavar="N", help="of the shuffle (default: one is drawn, and said)")
    option("--no-shuffle", dest="shuffle", action="store_false", help="keep the order of the rows")
    option("--progress", action="store_true", help="show a bar if it takes longer than a second")


def _positive(kind: type[int] | type[float]) -> Callable[[str], float]:
    def read(text: str) -> float:
        with contextlib.suppress(ValueError):
            if 0 < (value := kind(text)) < math.inf:
                return value
        what = "whole number" if kind is int else "number"
        raise argparse.ArgumentTypeError(f"must be a positive {what}, not {text!r}")

    return read


def _seed(text: str) -> int:
    with contextlib.suppress(ValueError):
        if (value := int(text)) >= 0:
            return value
    raise argparse.ArgumentTypeError(f"must be a whole number, 0 or more, not {text!r}")


def _listed(what: str) -> Callable[[str], list[str]]:
    def read(text: str) -> list[str]:
        found = [name.strip() for name in text.split(",") if name.strip()]
        if not found:
            raise argparse.ArgumentTypeError(f"needs at least one {what}")
        return found

    return read
