"""Fits from the default start to simulated data, all over the parameters of each family: how many do not converge.

``python -m tests.start_values`` prints a table of 200 fits for each family; a smaller one is a test.
"""

from __future__ import annotations

import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from statsmodels.tools.sm_exceptions import ConvergenceWarning

import mlekit
from mlekit.families import FAMILIES
from mlekit.links import Array
from mlekit.optimize import Status

ROWS = (30, 100, 300, 1000)
Eta = tuple[Array, ...]


class Data(NamedTuple):
    """A sample and the coefficients that made it: those of the first parameter, and one for each other."""

    y: Array
    x: Array | None
    beta: Array
    others: tuple[float, ...]


def _units(rng: np.random.Generator) -> float:
    return float(10.0 ** rng.uniform(-6, 6))


def _location(rng: np.random.Generator, *others: float) -> tuple[float, float, tuple[float, ...]]:
    """Intercept, size of the slope, and logs of a scale and other parameters."""
    unit = _units(rng)
    return unit * rng.normal() * 10, unit * 10 ** rng.uniform(-1, 2), (np.log(unit), *others)


#: Family by name: generator -> intercept, largest slope, and the other parameters' coefficients.
SCENES: dict[str, Callable[[np.random.Generator], tuple[float, float, tuple[float, ...]]]] = {
    "student_t": lambda rng: _location(rng, rng.uniform(np.log(0.7), np.log(30))),
    "logistic": _location,
    "gumbel": _location,
    "weibull": lambda rng: (np.log(_units(rng)), 2.0, (rng.uniform(-1.2, 3),)),
    "lognormal": lambda rng: (np.log(_units(rng)), 2.0, (rng.uniform(-3, 1.2),)),
    "gamma": lambda rng: (np.log(_units(rng)), 2.0, (rng.uniform(-2.3, 6),)),
    "inverse_gaussian": lambda rng: _inverse_gaussian(rng),
    "beta": lambda rng: (rng.uniform(-1, 1), 1.0, (rng.uniform(1.6, 7),)),
    "negative_binomial": lambda rng: (rng.uniform(-1, 9), 2.0, (rng.uniform(-6, 2.5),)),
    "negative_binomial_1": lambda rng: (rng.uniform(-1, 9), 2.0, (rng.uniform(-4, 7),)),
    "geometric": lambda rng: (rng.uniform(-9, 1.5), 2.0, ()),
}

#: Those whose maximum has a closed form, or is known where it does not exist.
SIMPLER: dict[str, Callable[[np.random.Generator], tuple[float, float, tuple[float, ...]]]] = {
    "normal": _location,
    "laplace": _location,
    "asymmetric_laplace": _location,
    "huber_normal": _location,
    "exponential": lambda rng: (np.log(_units(rng)), 2.0, ()),
    "poisson": lambda rng: (rng.uniform(-3, 12), 2.0, ()),
    "bernoulli": lambda rng: (rng.uniform(-4, 4), 4.0, ()),
    "binomial": lambda rng: (rng.uniform(-4, 4), 4.0, ()),
}


def _inverse_gaussian(rng: np.random.Generator) -> tuple[float, float, tuple[float, ...]]:
    log_mu = np.log(_units(rng))
    return log_mu, 1.0, (log_mu + rng.uniform(-2.3, 5),)


def samples(name: str, count: int, seed: int = 0) -> Iterator[Data]:
    """Samples of every size, homogeneous and with a covariate in turn."""
    family = FAMILIES[name]()
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        n = ROWS[number // 2 % len(ROWS)]
        intercept, slope, others = (SCENES | SIMPLER)[name](rng)
        x = rng.uniform(-1, 1, n) if number % 2 else None
        beta = np.array([intercept] if x is None else [intercept, slope * rng.uniform(-1, 1)])
        eta = [intercept + (0 if x is None else beta[1] * x) + np.zeros(n), *(np.full(n, other) for other in others)]
        theta = [link.inverse(e) for link, e in zip(family.links.values(), eta, strict=True)]
        if family.response_columns:
            trials = np.column_stack([rng.integers(0, 20, n), np.ones(n)])
            yield Data(family.redraw(trials, *theta, rng=rng), x, beta, others)
        else:
            yield Data(np.asarray(family.rvs(*theta, rng=rng)), x, beta, others)


def fit(name: str, data: Data, **options: Any) -> Any:
    """Fit a sample."""
    columns = [np.ones(len(data.y))] + ([] if data.x is None else [data.x])
    model = mlekit.Model.from_arrays(data.y, np.column_stack(columns), family=FAMILIES[name]())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(**options)


def is_normal_limit(result: Any, data: Data) -> bool:
    """Whether a fit of Student's t that runs off is right to: at df = infinity the likelihood falls as df does.

    The derivative there in 1 / df is the sum of ``(z**4 - 2 z**2 - 1) / 4`` with z the standardised residuals of the
    Normal fit, of which z**2 has mean 1.
    """
    normal = fit("normal", data)
    residual = data.y - normal.fittedvalues.to_numpy()
    kurtosis = np.mean(residual**4) / np.mean(residual**2) ** 2
    return kurtosis < 3 and abs(result.llf - normal.llf) < 1e-3


def is_poisson_limit(name: str, result: Any, data: Data) -> bool:
    """Whether a negative binomial that says it is a Poisson is one: at alpha = 0 the likelihood falls in alpha.

    The derivative there is the sum of ``((y - mu)**2 - y) / 2``, of NB1 divided by mu, with mu of the Poisson fit.
    """
    poisson = fit("poisson", data)
    mu = poisson.fittedvalues.to_numpy()
    rise = (data.y - mu) ** 2 - data.y
    return abs(result.llf - poisson.llf) < 1e-9 and np.sum(rise / (mu if name.endswith("1") else 1)) <= 0


def is_parted(name: str, data: Data) -> bool:
    """Whether a covariate parts failures from successes, or zeros from counts, so that there is no maximum."""
    if name == "poisson":
        zeros, others = data.y == 0, data.y > 0
        x = np.zeros(len(data.y)) if data.x is None else data.x
        # Counts that all stand at one value of the covariate, with zeros to one side of it.
        return bool(np.ptp(x[others]) == 0 and zeros.any() and (x[others][0] in (x.min(), x.max())))
    success, failure = data.y.T if data.y.ndim == 2 else (data.y, 1 - data.y)
    if not success.any() or not failure.any():
        return True
    if data.x is None:
        return False
    one, zero = data.x[success > 0], data.x[failure > 0]
    return bool(one.min() >= zero.max() or one.max() <= zero.min())


def verdict(name: str, result: Any, data: Data) -> str:
    """``converged``, ``limit`` for a fit that runs off to a simpler family, says so and is right, or the status."""
    if name == "student_t" and result._results.verdict.status is Status.LIMIT:
        return "limit" if is_normal_limit(result, data) else "WRONG LIMIT"
    if result._results.verdict.status is Status.LIMIT:
        return "limit" if is_poisson_limit(name, result, data) else "WRONG LIMIT"
    if result.converged:
        return "converged"
    if not data.y.any():
        return "zeros"
    if name in ("bernoulli", "binomial", "poisson") and is_parted(name, data):
        return "parted"
    return str(result._results.verdict.status.name)


def main(count: int = 200) -> None:
    """Print how the fits of every family end, and the most iterations that one took."""
    for name in SCENES | SIMPLER:
        ends: Counter[str] = Counter()
        most = 0
        for data in samples(name, count):
            result = fit(name, data)
            ends[verdict(name, result, data)] += 1
            most = max(most, result._results.optimum.iterations)
        print(f"{name:18s} {dict(ends)}, at most {most} iterations")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
