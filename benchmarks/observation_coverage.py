"""How often 95 % intervals hold a new observation: ``python benchmarks/observation_coverage.py`` writes the table."""

from __future__ import annotations

import sys
import warnings
from typing import Any

import numpy as np
from pages import coverage_lines, write_table
from scipy import stats

from mlekit import Model

ROWS, TRIALS = (30, 300), 10
#: Where the new observation is; the covariate of the samples is uniform between -1 and 1.
AT = 0.5
#: Family -> its distribution in scipy at a linear predictor of 1 + 0.5 x (Binomial: x).
TRUTH: dict[str, Any] = {
    "normal": lambda x: stats.norm(1 + 0.5 * x, 1),
    "exponential": lambda x: stats.expon(scale=np.exp(1 + 0.5 * x)),
    "gamma": lambda x: stats.gamma(2, scale=np.exp(1 + 0.5 * x) / 2),
    "poisson": lambda x: stats.poisson(np.exp(1 + 0.5 * x)),
    "negative_binomial": lambda x: stats.nbinom(2, 2 / (2 + np.exp(1 + 0.5 * x))),
    "binomial": lambda x: stats.binom(TRIALS, 1 / (1 + np.exp(-x))),
}
HEADS = ("predictive", "Student's t", "quantiles at the estimates")


def coverage(family: str, rows: int, count: int) -> dict[str, float]:
    """Probability that each interval holds a new observation, in per cent, averaged over samples that have one."""
    truth, sums, samples = TRUTH[family], dict.fromkeys(HEADS, 0.0), 0
    new, trials = np.array([[1.0, AT]]), {"trials": TRIALS} if family == "binomial" else {}
    for number in range(count):
        rng = np.random.default_rng([number, rows])
        x = rng.uniform(-1, 1, rows)
        y = truth(x).rvs(rows, random_state=rng).astype(float)
        response = np.column_stack([y, TRIALS - y]) if family == "binomial" else y
        X = np.column_stack([np.ones_like(x), x])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fit = Model.from_arrays(response, X, family=family).fit()
            if not fit.converged:
                continue
            frame = fit.get_prediction(new, **trials).summary_frame(obs=True)
            found = {
                "predictive": frame[["obs_ci_lower", "obs_ci_upper"]],
                "quantiles at the estimates": fit.predict(new, "quantile", q=[0.025, 0.975], **trials),
            }
            if family == "normal":
                exact = Model.from_arrays(response, X, family=family).fit(use_t=True).get_prediction(new)
                found["Student's t"] = exact.summary_frame()[["obs_ci_lower", "obs_ci_upper"]]
        if found["predictive"].isna().any(axis=None):
            continue
        samples += 1
        for name, ends in found.items():
            low, high = ends.to_numpy()[0]
            before = np.ceil(low) - 1 if family in ("poisson", "negative_binomial", "binomial") else low
            sums[name] += truth(AT).cdf(high) - truth(AT).cdf(before)
    return {name: 100 * total / samples for name, total in sums.items() if total} | {"samples": samples}


def main(count: int = 1000) -> None:
    """Write the table."""
    lines = coverage_lines(lambda family, rows: coverage(family, rows, count), TRUTH, ROWS, HEADS)
    write_table("coverage.md", "observation_coverage.py", ["family", "rows", *HEADS, "samples with an interval"], lines)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
