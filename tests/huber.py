"""Huber's distribution from the truncated normal and the exponential of scipy, joined where they meet."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import stats

LAGUERRE, LEGENDRE = np.polynomial.laguerre.laggauss(9), np.polynomial.legendre.leggauss(40)


class Huber:
    """As a frozen distribution of scipy: what tests ask of one."""

    def __init__(self, k: float, mu: Any, sigma: Any) -> None:
        self.k, self.mu, self.sigma = k, mu, sigma
        self.centre, self.tail = stats.truncnorm(-k, k), stats.expon(loc=k, scale=1 / k)
        edge = self.centre.pdf(k)
        self.share = (k / 2) / (edge + k / 2)

    def logpdf(self, y: Any) -> Any:
        z = np.abs((y - self.mu) / self.sigma)
        inside, outside = self.centre.logpdf(z), self.tail.logpdf(z)
        log_density = np.where(z <= self.k, np.log(self.share) + inside, np.log((1 - self.share) / 2) + outside)
        return log_density - np.log(self.sigma)

    def mean(self) -> Any:
        return self.mu

    def var(self) -> Any:
        return self.sigma**2 * (self.share * self.centre.var() + (1 - self.share) * self.tail.moment(2))

    def ppf(self, p: Any) -> Any:
        tail = (1 - self.share) / 2
        upper = self.tail.isf(np.minimum(np.minimum(p, 1 - p) / tail, 1.0))
        centre = self.centre.ppf(np.clip((p - tail) / self.share, 0, 1))
        return self.mu + self.sigma * np.where(p < tail, -upper, np.where(p > 1 - tail, upper, centre))

    def rvs(self, size: int, rng: np.random.Generator) -> np.ndarray:
        return np.asarray(self.ppf(rng.uniform(size=size)))

    def nodes(self) -> tuple[np.ndarray, np.ndarray]:
        """Responses and weights for expectations of what is a polynomial in each tail."""
        z, far = LEGENDRE[0] * self.k, self.k + LAGUERRE[0] / self.k
        centre = self.share * LEGENDRE[1] * self.k * self.centre.pdf(z)
        tail = (1 - self.share) / 2 * LAGUERRE[1]
        return self.mu + self.sigma * np.concatenate([z, far, -far]), np.concatenate([centre, tail, tail])
