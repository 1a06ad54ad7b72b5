"""Mean errors of estimates with and without bias reduction: ``python benchmarks/bias.py`` writes docs/coverage.md."""

from __future__ import annotations

import sys
import warnings

import numpy as np
from pages import write_table

import mlekit
from mlekit import Model

ROWS = (20, 50)
#: Coefficients; the covariate is uniform between -1 and 1.
TRUTH = {
    "bernoulli": {"Intercept": 0.0, "x": 1.5},
    "poisson": {"Intercept": 0.0, "x": 1.0},
    "exponential": {"Intercept": 1.0, "x": 1.0},
    "normal": {"Intercept": 1.0, "x": 1.0, "sigma": 1.0},
    "gamma": {"Intercept": 1.0, "x": 1.0, "shape": 2.0},
    "weibull": {"Intercept": 1.0, "x": 1.0, "shape": 2.0},
    "beta": {"Intercept": 0.0, "x": 1.0, "phi": 5.0},
}


def errors(family: str, rows: int, count: int) -> tuple[list[str], np.ndarray]:
    """Names of the coefficients, and their errors by maximum likelihood and without bias, ``(2, count, p)``.

    NaN where there is no estimate; parameters are on the scale that they are estimated on.
    """
    truth = TRUTH[family]
    known = np.array([np.log(v) if name in ("sigma", "shape", "phi") else v for name, v in truth.items()])
    found = np.full((2, count, known.size), np.nan)
    for number in range(count):
        rng = np.random.default_rng([number, rows])
        x = rng.uniform(-1, 1, rows)
        y = mlekit.simulate("y ~ x", truth, family, {"x": x}, seed=rng)["y"].to_numpy(dtype=float)
        model = Model.from_arrays(y, np.column_stack([np.ones_like(x), x]), family, names=["Intercept", "x"])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for fits, reduced in zip(found, (False, True), strict=True):
                fit = model.fit(bias_reduction=reduced)
                if fit.converged:
                    fits[number] = fit.params - known
    return [f"log {name}" if name in ("sigma", "shape", "phi") else name for name in truth], found


def main(count: int = 400) -> None:
    """Write the table."""
    heads = ["family", "rows", "coefficient", "maximum likelihood", "bias-reduced", "samples with a maximum"]
    lines = []
    for family in TRUTH:
        for rows in ROWS:
            names, found = errors(family, rows, count)
            for j, name in enumerate(names):
                if name == "Intercept":
                    continue
                kept = ~np.isnan(found[:, :, j])
                cells = []
                for values, there in zip(found[:, :, j], kept, strict=True):
                    mean, deviation = values[there].mean(), values[there].std() / np.sqrt(there.sum())
                    cells.append(f"{mean:+.3f} ({deviation:.3f})")
                lines.append([family, f"{rows}", name, *cells, f"{kept[0].sum()}"])
                print(lines[-1], flush=True)
    write_table("coverage.md", "bias.py", heads, lines)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
