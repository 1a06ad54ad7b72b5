"""Zero-inflated Poisson with a formula for each parameter and standard errors, against statsmodels."""

from __future__ import annotations

import sys
import warnings
from typing import Any

import numpy as np
from peers import medians, report
from statsmodels.discrete.count_model import ZeroInflatedPoisson
from statsmodels.tools.numdiff import approx_fprime

import mlekit

ROWS, COLUMNS, AIM = 100_000, 4, 0.2


def data() -> dict[str, np.ndarray]:
    """Simulate counts, and covariates of their mean and of excess zeros."""
    names = [f"x{j}" for j in range(COLUMNS)]
    table = dict(zip(names, np.random.default_rng(0).normal(size=(COLUMNS, ROWS)), strict=True))
    truth = {"Intercept": 0.7} | dict.fromkeys(names, 0.2) | {"zero_Intercept": -0.8, "zero_x0": 0.5, "zero_x1": -0.5}
    return mlekit.simulate(formulas(), truth, mlekit.ZeroInflated("poisson"), table, seed=1)


def formulas() -> dict[str, str]:
    """The two formulas."""
    return {"mu": f"y ~ {' + '.join(f'x{j}' for j in range(COLUMNS))}", "zero": "~ x0 + x1"}


def speed(rounds: int) -> None:
    """Print the ratio, and how far the answers are apart."""
    table = data()
    y = np.asarray(table["y"])
    ones = [np.ones(ROWS)]
    x = np.column_stack(ones + [np.asarray(table[f"x{j}"]) for j in range(COLUMNS)])
    z = x[:, :3]

    def ours() -> Any:
        return mlekit.fit(formulas(), table, mlekit.ZeroInflated("poisson"))

    def theirs(**how: Any) -> Any:
        return ZeroInflatedPoisson(y, x, exog_infl=z).fit(disp=0, **how)

    methods = {"ZeroInflatedPoisson (bfgs, its default)": {}, "ZeroInflatedPoisson (newton)": {"method": "newton"}}
    functions = {"mlekit": lambda: np.asarray(ours().bse)}
    functions |= {name: lambda how=how: np.asarray(theirs(**how).bse) for name, how in methods.items()}
    found = medians(functions, rounds)
    report(f"zero-inflated Poisson, n = {ROWS:,}, two formulas", "mlekit", found, dict.fromkeys(methods, AIM))
    fit, peer = ours(), theirs(method="newton")
    order = np.r_[3 : 4 + COLUMNS, 0:3]
    gap = np.abs(np.asarray(fit.params) - peer.params[order]) / np.asarray(fit.bse)
    print(f"    coefficients differ by at most {gap.max():.1e} standard errors,")
    print(f"    standard errors by {_apart(fit.bse, peer.bse[order]):.1e} of their size from its own, and by")
    # Its Hessian has zeros for the second derivatives between the two formulas (statsmodels 0.15.0).
    hessian = approx_fprime(peer.params, peer.model.score, centered=True)
    errors = np.sqrt(np.diag(np.linalg.inv(-hessian)))[order]
    print(f"    {_apart(fit.bse, errors):.1e} from those of the differences of its score")


def _apart(ours: Any, theirs: Any) -> float:
    return float(np.max(np.abs(np.asarray(ours) / theirs - 1)))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    speed(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
