"""A negative binomial regression by a density written in plain NumPy, against statsmodels."""

from __future__ import annotations

import sys
import warnings
from typing import Any

import numpy as np
import statsmodels.api as sm
from peers import medians, report
from scipy.special import gammaln
from statsmodels.base.model import GenericLikelihoodModel

from mlekit import GenericLikelihood, Model

ROWS, COLUMNS = 100_000, 10
ALPHA = 0.5


def log_density(y: Any, mu: Any, alpha: Any) -> Any:
    """Log-density of a negative binomial with variance ``mu + alpha mu**2``, as a textbook has it."""
    r = 1 / alpha
    return gammaln(y + r) - gammaln(r) - gammaln(y + 1) + r * np.log(r / (r + mu)) + y * np.log(mu / (r + mu))


class Ours(GenericLikelihood):
    """It for mlekit, with the derivatives that jets find."""

    params = {"mu": "log", "alpha": "log"}

    def logpdf(self, y: Any, mu: Any, alpha: Any) -> Any:
        return log_density(y, mu, alpha)


class Theirs(GenericLikelihoodModel):
    """It for statsmodels, with numerical derivatives."""

    def nloglikeobs(self, params: np.ndarray) -> np.ndarray:
        return -log_density(self.endog, np.exp(self.exog @ params[:-1]), np.exp(params[-1]))


def data(rows: int = ROWS) -> tuple[np.ndarray, np.ndarray]:
    """Simulate counts and a matrix with an intercept."""
    rng = np.random.default_rng(0)
    X = np.column_stack([np.ones(rows), rng.normal(size=(rows, COLUMNS - 1))])
    mu = np.exp(0.5 + X @ (0.2 * rng.normal(size=COLUMNS)))
    return rng.negative_binomial(1 / ALPHA, 1 / (1 + ALPHA * mu)).astype(float), X


def ours(y: np.ndarray, X: np.ndarray, family: Any = Ours) -> Any:
    """Fit by mlekit."""
    return Model.from_arrays(y, X, family=family).fit()


def generic(y: np.ndarray, X: np.ndarray) -> Any:
    """Fit the same density by statsmodels, from the Poisson estimate of an intercept, with all the steps it wants."""
    start = np.r_[np.log(y.mean()), np.zeros(COLUMNS - 1), 0.0]
    model = Theirs(y, X, extra_params_names=["log_alpha"])
    return model.fit(start_params=start, method="bfgs", maxiter=500, disp=0)


def by_hand(y: np.ndarray, X: np.ndarray) -> Any:
    """Fit by statsmodels' own negative binomial, with its defaults."""
    return sm.NegativeBinomial(y, X).fit(disp=0)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    y, X = data()
    found = medians({"mlekit": lambda: ours(y, X), "statsmodels NegativeBinomial": lambda: by_hand(y, X)}, rounds)
    pair = medians({"mlekit": lambda: ours(y, X), "generic": lambda: generic(y, X)}, max(1, rounds // 4))
    found["statsmodels GenericLikelihoodModel, bfgs"] = pair["generic"] * found["mlekit"] / pair["mlekit"]
    aims = {"statsmodels GenericLikelihoodModel, bfgs": 1 / 15, "statsmodels NegativeBinomial": 0.5}
    report(f"negative binomial by a user's density, n = {ROWS:,}, p = {COLUMNS}", "mlekit", found, aims)
    fit, exact = ours(y, X), ours(y, X, "negative_binomial")
    for name, other in (("GenericLikelihoodModel", generic(y, X)), ("NegativeBinomial", by_hand(y, X))):
        print(
            f"  {name}: converged {other.mle_retvals['converged']}, log-likelihood {fit.llf - other.llf:.1e} below "
            f"ours, coefficients {np.abs((fit.params - other.params) / fit.bse)[:-1].max():.1e} standard errors away"
        )
    apart = np.abs((fit.params - exact.params) / fit.bse).max()
    print(f"  mlekit's own negative_binomial: coefficients {apart:.1e} standard errors away")
