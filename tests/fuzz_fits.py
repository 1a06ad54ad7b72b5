"""Fits of random data sets, easy and hostile, checked by densities of others: what converged has to be the maximum.

``python -m tests.fuzz_fits 10000`` prints what came out, by family: the table of docs/trust.md. Some hundreds are a
test. A result is either the maximum (the log-likelihood of SciPy, or where rounding matters of mpmath, falls on both
sides of it in every direction), or its status fails, or the data are refused with the reason. All else is wrong.
"""

from __future__ import annotations

import signal
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from mpmath import mp, mpf
from scipy import optimize, special, stats

import mlekit
from mlekit import Model
from mlekit.families import FAMILIES, GenericLikelihood
from tests import mp as exact
from tests import mp_continuous as continuous
from tests import mp_counts as counts

Array = np.ndarray
Density = Callable[..., Array]

#: SciPy's log-density of each family, in its own parameters.
DENSITIES: dict[str, Density] = {
    "normal": lambda y, mu, sigma: stats.norm.logpdf(y, mu, sigma),
    "exponential": lambda y, rate: stats.expon.logpdf(y, scale=1 / rate),
    "bernoulli": lambda y, p: special.xlogy(y, p) + special.xlog1py(1 - y, -p),
    "poisson": lambda y, mu: stats.poisson.logpmf(y, mu),
    "geometric": lambda y, p: stats.geom.logpmf(y + 1, p),
    "negative_binomial": lambda y, mu, alpha: stats.nbinom.logpmf(y, 1 / alpha, 1 / (1 + alpha * mu)),
    "gamma": lambda y, mu, shape: stats.gamma.logpdf(y, shape, scale=mu / shape),
    "inverse_gaussian": lambda y, mu, shape: stats.invgauss.logpdf(y, mu / shape, scale=shape),
    "weibull": lambda y, scale, shape: stats.weibull_min.logpdf(y, shape, scale=scale),
    "lognormal": lambda y, mu, sigma: stats.lognorm.logpdf(y, sigma, scale=np.exp(mu)),
    "beta": lambda y, mu, precision: stats.beta.logpdf(y, mu * precision, (1 - mu) * precision),
    "logistic": lambda y, mu, s: stats.logistic.logpdf(y, mu, s),
    "gumbel": lambda y, mu, b: stats.gumbel_r.logpdf(y, mu, b),
    "student_t": lambda y, mu, sigma, df: stats.t.logpdf(y, df, mu, sigma),
}
METHODS = ("auto", "newton", "bfgs", "l-bfgs-b", "nelder-mead", "powell", "cg", "newton-cg", "trust-exact", "gd")
#: Seconds after which a fit hangs, with so many iterations at most.
PATIENCE, ITERATIONS = 30, 300


@dataclass(frozen=True)
class Sample:
    """A data set and how it is fitted."""

    family: GenericLikelihood
    y: Array
    X: Array
    weights: Array | None
    offset: Array | None
    method: str


# ------------------------------------------------------------------------------------ data


def sample(seed: int) -> Sample:
    """Draw a family, links, a design, a response and a method."""
    rng = np.random.default_rng(seed)
    name = str(rng.choice(list(DENSITIES)))
    cls = FAMILIES[name]
    links = {p: str(rng.choice(cls.links_for[p])) for p in cls.params if p in cls.links_for and rng.random() < 0.3}
    family = cls(**links)
    n = int(rng.choice([1, 2, 3, 5, 10, 30, 100, 300]))
    X = design(rng, n)
    y = response(rng, name, X)
    weights = None if rng.random() < 0.7 else _weights(rng, n)
    offset = None
    if rng.random() < 0.15:
        size = float(rng.choice([1.0, 30.0, 1e3]))
        offset = size + rng.uniform(0, min(size, 90), n)
    return Sample(family, y, X, weights, offset, str(rng.choice(METHODS)))


def _weights(rng: np.random.Generator, n: int) -> Array:
    scale = float(rng.choice([1.0, 1e9, 1e-9]))
    weights: Array = scale * rng.integers(1, 6, n)
    return weights


def design(rng: np.random.Generator, n: int) -> Array:
    """Draw an intercept (mostly) and up to four columns of every kind and unit."""
    columns = [np.ones(n)] if rng.random() < 0.9 else []
    for _ in range(min(int(rng.integers(0, 5)), n // 2)):
        kind = rng.choice(["normal", "dummy", "skewed", "copy", "rare", "shifted"])
        column = {
            "normal": lambda: rng.normal(size=n),
            "dummy": lambda: rng.integers(0, 2, n).astype(float),
            "skewed": lambda: np.exp(2 * rng.normal(size=n)),
            "copy": lambda: columns[-1] * 2 + 1 if columns else rng.normal(size=n),
            "rare": lambda: (rng.random(n) < 0.1).astype(float),
            "shifted": lambda: rng.normal(size=n) + 10.0 ** rng.uniform(0, 8),
        }[str(kind)]()
        unit = 10.0 ** (rng.uniform(-290, 290) if rng.random() < 0.1 else rng.uniform(-6, 6))
        columns.append(column * (unit if rng.random() < 0.5 else 1.0))
    return np.column_stack(columns) if columns else np.ones((n, 1))


def response(rng: np.random.Generator, name: str, X: Array) -> Array:
    """Draw responses that follow the columns, or that are constant, extreme, or determined by one of them."""
    n = len(X)
    with np.errstate(all="ignore"):
        spread = np.nanmax(np.abs(X - X.mean(axis=0)), axis=0)
        scaled = np.where(spread > 0, (X - X.mean(axis=0)) / np.where(spread > 0, spread, 1), 0)
    signal_ = scaled @ rng.normal(size=X.shape[1]) * rng.choice([0.3, 1.0, 3.0])
    kind = rng.choice(["usual", "usual", "usual", "constant", "threshold", "extreme", "outlier"])
    noise = rng.normal(size=n)
    level = {"usual": signal_ + noise, "constant": np.zeros(n), "threshold": np.sign(signal_)}.get(
        str(kind), signal_ + noise
    )
    size = 10.0 ** rng.uniform(2, 12) if kind == "extreme" else 1.0
    made = _in_support(rng, name, level, size, str(kind))
    if kind == "outlier":
        made[0] = _in_support(rng, name, np.array([20.0]), 1.0, "usual")[0]
    return made


def _in_support(rng: np.random.Generator, name: str, level: Array, size: float, kind: str) -> Array:
    if name == "bernoulli":
        return (level > 0).astype(float)
    if name == "beta":
        return np.clip(special.expit(level), 1e-12, 1 - 1e-12)
    if name in ("poisson", "geometric", "negative_binomial"):
        if kind == "threshold":
            return np.where(level > 0, 3.0, 0.0)
        return np.floor(size * np.exp(level)) if kind == "extreme" else rng.poisson(np.exp(level)).astype(float)
    if name in ("normal", "logistic", "gumbel", "student_t"):
        return np.asarray(size * level, dtype=float)
    return np.asarray(size * np.exp(level), dtype=float)


# ------------------------------------------------------------------------------------ what comes of them


@contextmanager
def _patience() -> Iterator[None]:
    def out_of_patience(*_: Any) -> None:
        raise TimeoutError("it hangs")

    before = signal.signal(signal.SIGALRM, out_of_patience)
    signal.alarm(PATIENCE)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def outcome(seed: int) -> tuple[str, str]:
    """Fit a sample: what came out (a key of the table), and the particulars."""
    given = sample(seed)
    first = next(iter(given.family.params))
    try:
        with warnings.catch_warnings(), _patience():
            warnings.simplefilter("ignore")
            offset = None if given.offset is None else {first: given.offset}
            model = Model.from_arrays(given.y, given.X, given.family, weights=given.weights, offset=offset)
            res = model.fit(given.method, maxiter=ITERATIONS)
            return judged(given, res)
    except (ValueError, mlekit.FormulaError) as error:
        text = str(error)
        return ("refused", text) if len(text) > 20 else ("WRONG: an error without a reason", repr(error))
    except Exception as error:
        return "WRONG: crashed", f"{type(error).__name__}: {error}"


def judged(given: Sample, res: Any) -> tuple[str, str]:
    """Check a result by SciPy's density."""
    inner = res._results
    if res.status is mlekit.Status.INFINITE:
        wrong = above_or_below(Checked(given, inner), inner)
        return ("WRONG: not the supremum", wrong) if wrong else ("infinite, said so", res.reason)
    if not res.converged:
        bad = not str(res.reason)
        return ("WRONG: no reason" if bad else f"said: {res.status.name}"), res.reason
    numbers = [res.params.to_numpy(), res.bse.to_numpy(), [res.llf]]
    limit = res.status is mlekit.Status.LIMIT
    if not all(np.isfinite(x).all() for x in (numbers[2:] if limit else numbers)):
        return "WRONG: converged without finite numbers", f"{numbers}"
    if limit:
        return "at a limit", res.reason
    found = Checked(given, inner)
    wrong = "" if by_scipy(found, inner) else by_mpmath(found, inner)
    return ("WRONG: not the maximum", wrong) if wrong else ("the maximum", "")


class Checked:
    """The log-likelihood of a sample by SciPy, or where rounding matters by mpmath."""

    def __init__(self, given: Sample, res: Any) -> None:
        self.links = [link.name for link in given.family.links.values()]
        self.name = next(name for name, cls in FAMILIES.items() if cls is type(given.family))
        model = res.model
        self.blocks, self.slices = model.observations.block, model.design.slices
        self.weights = self.blocks.each
        self.size = 1.0

    def in_doubles(self, params: Array) -> tuple[float, float]:
        """Log-likelihood by SciPy, and what rounding leaves unknown of it."""
        theta, rounding = [], 0.0
        with np.errstate(all="ignore"):
            for i, link in enumerate(self.links):
                X, offset = self.blocks.X[i], self.blocks.offset[i]
                coefficients = params[self.slices[i]]
                theta.append(_INVERSES[link](X @ coefficients + (0 if offset is None else offset)))
                rounding = max(rounding, float(np.max(np.abs(X) @ np.abs(coefficients), initial=0.0)))
            rows = DENSITIES[self.name](np.asarray(self.blocks.y, dtype=float), *theta) * self.weights
        self.size = float(np.sum(np.abs(rows))) + 1
        return float(np.sum(rows)), 1e-15 * self.size * (1 + rounding)

    def exactly(self, params: Sequence[Any], shift: Any = 0) -> list[Any]:
        """Log-density of each row in mpmath, at the coefficients as they are, with all linear predictors shifted."""
        rows = []
        for n, y in enumerate(self.blocks.y):
            theta = []
            for i, link in enumerate(self.links):
                eta = mp.fdot(map(mpf, self.blocks.X[i][n]), params[self.slices[i]]) + shift
                offset = self.blocks.offset[i]
                theta.append(exact.theta(link, eta if offset is None else eta + mpf(offset[n])))
            rows.append(mpf(self.weights[n]) * _density(self.name, mpf(float(y)), theta))
        return rows

    def value(self, params: Array) -> float:
        """Log-likelihood in mpmath: SciPy's negative binomial loses eight digits where it is all but Poisson."""
        with mp.workdps(60):
            return float(mp.fsum(self.exactly([mpf(float(b)) for b in params])))

    def orthogonal(self) -> Iterator[list[Any]]:
        """Moves of the coefficients that make orthogonal moves of the linear predictors, by Gram and Schmidt."""
        size = self.slices[-1].stop
        for X, where in zip(self.blocks.X, self.slices, strict=True):
            known: list[tuple[list[Any], list[Any]]] = []
            for j, x in enumerate(X.T):
                move = [mpf(k == where.start + j) for k in range(size)]
                column = [mpf(float(v)) for v in x]
                for other, moved in known:
                    part = mp.fdot(column, other)
                    column = [c - part * o for c, o in zip(column, other, strict=True)]
                    move = [m - part * o for m, o in zip(move, moved, strict=True)]
                length = mp.sqrt(mp.fdot(column, column))
                known.append(([c / length for c in column], [m / length for m in move]))
                yield known[-1][1]

    def rounding(self, params: Array) -> float:
        """How far the rounding of the coefficients to doubles may move a linear predictor."""
        moves = [np.abs(X) @ np.abs(params[s]) for X, s in zip(self.blocks.X, self.slices, strict=True)]
        return 2**-52 * float(max(np.max(m, initial=0.0) for m in moves))


def _density(name: str, y: Any, theta: list[exact.Theta]) -> Any:
    if name in exact.FAMILIES:
        return exact.FAMILIES[name](y, *theta)
    values = [t.value for t in theta]
    if name == "beta":  # with 1 - mu as it is: mu may be 1 to eighty digits
        a, b = values[0] * values[1], theta[0].complement * values[1]
        return mp.log(y) * (a - 1) + mp.log1p(-y) * (b - 1) + mp.loggamma(a + b) - mp.loggamma(a) - mp.loggamma(b)
    if name in continuous.FAMILIES:
        return continuous.FAMILIES[name].density(y, *values)
    return counts.log_density(name, y, *map(mp.log, values))


def by_scipy(found: Checked, res: Any) -> bool:
    """Whether SciPy's log-likelihood, in doubles, already shows that an estimate is the maximum."""
    here, noise = found.in_doubles(res.params)
    if not (abs(here - res.llf) <= 1e-9 * found.size + noise and noise < 1e-7):
        return False
    information = -res.verdict.evaluation.hessian * res.nobs
    for unit in _units(len(information)) if information.size else ():
        move = res.model.matrix @ unit * (STEP / float(np.sqrt(unit @ information @ unit)))
        up, down = (found.in_doubles(res.params + s * move)[0] for s in (1, -1))
        if not _peaked((up - down) / 2 / STEP, (up - 2 * here + down) / STEP**2):
            return False
    return True


#: Length of the steps that are tried in doubles, in standard errors of a coordinate with the others held.
STEP = 0.01


def _units(size: int) -> list[Array]:
    """Axes, and two directions between them, so that the correlations are looked at too."""
    return [*np.eye(size), *np.random.default_rng(0).normal(size=(2, size))]


def _peaked(slope: float, curve: float) -> bool:
    """Whether the maximum is within a hundredth of a standard error, and the curvature that of the standard errors."""
    return abs(slope) < 0.01 and abs(curve + 1) < 0.01


def above_or_below(found: Checked, res: Any) -> str:
    """What is wrong with a supremum: SciPy's BFGS gets above it, or no point on the way there comes near."""
    scale = float(found.weights.max())

    def loss(gamma: Array) -> float:
        value = found.in_doubles(res.model.matrix @ gamma)[0]
        return -value / scale if np.isfinite(value) else 1e300

    rng = np.random.default_rng(0)
    starts = [np.zeros(res.params.size), *rng.normal(size=(2, res.params.size))]
    with np.errstate(all="ignore"):
        best = min((optimize.minimize(loss, start, method="BFGS") for start in starts), key=lambda end: end.fun)
    highest, llf = -float(best.fun), res.llf / scale
    if highest > llf + 1e-6 * (1 + abs(llf)):
        highest = found.value(res.model.matrix @ best.x) / scale
        if highest > llf + 1e-6 * (1 + abs(llf)):
            return f"{res.llf!r}, and BFGS finds {highest * scale!r}"
    if highest < llf - 0.05 * (1 + abs(llf)):
        highest = max(highest, found.value(res.model.matrix @ res.model.fit().optimum.gamma) / scale)
    simpler = res.limiting is not None and res.limiting.status is mlekit.Status.LIMIT  # a parameter runs off too
    if highest < llf - 0.05 * (1 + abs(llf)) and not simpler:
        return f"{res.llf!r}, and the highest found is {highest * scale!r}"
    return ""


def by_mpmath(found: Checked, res: Any) -> str:
    """The same with 80 digits, and steps so small that they are derivatives: what is wrong, or nothing."""
    tiny = mpf(10) ** -20
    with mp.workdps(80):
        params = [mpf(float(b)) for b in res.params]
        try:
            rows = found.exactly(params)
            here, rounding = mp.fsum(rows), found.rounding(res.params)
            for j, move in enumerate(found.orthogonal()):
                up, down = (
                    mp.fsum(found.exactly([b + s * tiny * m for b, m in zip(params, move, strict=True)]))
                    for s in (1, -1)
                )
                slope, curve = (up - down) / 2 / tiny, (up - 2 * here + down) / tiny**2
                if not curve < 0:
                    return f"direction {j}: curvature {mp.nstr(curve, 3)}"
                # In standard errors; the coefficients are doubles, and cannot be nearer than their rounding.
                error = mp.sqrt(-curve)
                if not abs(slope) / error < 0.01 + rounding * mp.sqrt(len(rows)) * error:
                    return f"direction {j}: {mp.nstr(slope / error, 3)} standard errors from the maximum"
            moved = found.exactly(params, tiny)
            slack = rounding * mp.fsum(abs(m - r) for m, r in zip(moved, rows, strict=True)) / tiny
            if not abs(here - res.llf) <= 1e-9 * (1e-300 + mp.fsum(map(abs, rows))) + slack:
                return f"log-likelihood {res.llf!r} instead of {mp.nstr(here, 17)}"
        except (ZeroDivisionError, ValueError, TypeError) as error:  # outside the domain
            return f"outside the domain: {error}"
    return ""


_INVERSES: dict[str, Callable[[Array], Array]] = {
    "identity": lambda eta: eta,
    "log": np.exp,
    "neglog": lambda eta: np.exp(-eta),
    "logit": special.expit,
    "probit": special.ndtr,
    "cloglog": lambda eta: -np.expm1(-np.exp(eta)),
    "cauchit": stats.cauchy.cdf,
    "sqrt": np.square,
    "inverse": lambda eta: 1 / eta,
    "softplus": lambda eta: np.logaddexp(0, eta),
}


#: What came out, as the table has it.
COLUMNS = ("the maximum", "at a limit", "infinite, said so", "not converged, said so", "refused", "WRONG")


def column(key: str) -> str:
    """Return the column of the table in which an outcome is counted."""
    if key.startswith("WRONG"):
        return "WRONG"
    return "not converged, said so" if key.startswith("said") else key


def main(count: int = 10_000, first: int = 0) -> None:
    """Print the table, and whatever was wrong."""
    table: dict[str, Counter[str]] = {name: Counter() for name in [*DENSITIES, "all"]}
    for seed in range(first, first + count):
        key, particulars = outcome(seed)
        given = sample(seed)
        name = next(name for name, cls in FAMILIES.items() if cls is type(given.family))
        for row in (name, "all"):
            table[row][column(key)] += 1
        if key.startswith("WRONG"):
            print(seed, key, given.family, given.method, len(given.y), particulars[:300], flush=True)
    print("| family |", " | ".join(COLUMNS), "|\n|", "--- |" * (1 + len(COLUMNS)))
    for name, counts_ in table.items():
        print(f"| {name} |", " | ".join(f"{counts_[key]}" for key in COLUMNS), "|")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
