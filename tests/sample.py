"""Data, families and fits that several tests of results use."""

from __future__ import annotations

import numpy as np
import pandas as pd

import mlekit


class Gumbel(mlekit.GenericLikelihood):
    """Six lines: no mean, no deviance."""

    params = {"mu": "identity", "beta": "log"}

    def logpdf(self, y, mu, beta):
        z = (y - mu) / beta
        return -z - np.exp(-z) - np.log(beta)


class NumericGumbel(Gumbel):
    derivatives = "numeric"

    def mean(self, mu, beta):
        return mu + np.euler_gamma * beta


class Rayleigh(mlekit.GenericLikelihood):
    """A density alone: a Weibull of shape 2 and scale sigma sqrt(2)."""

    params = {"sigma": "log"}

    def logpdf(self, y, sigma):
        return np.log(y) - 2 * np.log(sigma) - 0.5 * (y / sigma) ** 2

    def in_support(self, y):
        return y > 0


class RayleighByDifferences(Rayleigh):
    """... that is taken for one that jets cannot follow."""

    params = {"sigma": "log"}
    derivatives = "numeric"

    def logpdf(self, y, sigma):
        return super().logpdf(y, sigma)


RNG = np.random.default_rng(11)
N = 50
DATA = pd.DataFrame({"x": RNG.normal(size=N), "u": RNG.uniform(1, 2, N), "g": RNG.choice(list("abc"), N)})
DATA["k"] = RNG.poisson(np.exp(0.5 + 0.3 * DATA.x))
DATA["y"] = 1 + DATA.x + RNG.normal(size=N)
DATA["b"] = np.where(RNG.uniform(size=N) < 0.5, "no", "yes")
DATA.index = pd.Index([f"r{i}" for i in range(N)], name="row")
