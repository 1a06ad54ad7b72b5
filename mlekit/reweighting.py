"""Estimates of one likelihood under many sets of weights at once, as bootstraps and jackknives ask for."""

import itertools
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mlekit.likelihood import Likelihood, Transformed
from mlekit.links import Array
from mlekit.products import linear_predictor, product

# Rows times sets of weights that are evaluated at once: few enough to stay in cache.
_ENTRIES = 200_000
# Entries of the products of columns that are kept: with more, reading them takes longer than making them anew.
_PRODUCTS = 10_000_000
# The error that is left, in standard errors; and Newton steps, which from the estimate of all rows are few.
_CLOSE, _STEPS = 1e-7, 12
_SINGULAR = 1e-12


@dataclass(frozen=True, eq=False)
class Reweighting:
    """A likelihood near its maximum, whose rows can be given other weights.

    Attributes
    ----------
    working : Likelihood or Transformed
    gamma : (k,) array
        Its estimate, where every set of weights starts.
    """

    working: Likelihood | Transformed
    gamma: Array

    @property
    def size(self) -> int:
        """How many sets of weights to ask for at once."""
        return int(max(1, _ENTRIES // max(self.working.rows, 1)))

    @cached_property
    def _likelihood(self) -> Likelihood:
        return self.working.inner if isinstance(self.working, Transformed) else self.working

    @cached_property
    def _columns(self) -> list[tuple[Array, Array]]:
        """For each parameter, the coordinates that it depends on, and its matrix of their columns."""
        matrix = self.working.matrix if isinstance(self.working, Transformed) else np.eye(self.gamma.size)
        found = []
        for x, where in zip(self._likelihood.block.X, self._likelihood.slices, strict=True):
            mine = np.flatnonzero((matrix[where] != 0).any(axis=0))
            found.append((mine, x @ matrix[where][:, mine]))
        return found

    @cached_property
    def _pairs(self) -> dict[tuple[int, int], tuple[Array, Array, Array]]:
        """Products of columns whose weighted sums are the entries of the Hessian, with where they stand."""
        found = {}
        for i, j in self._blocks:
            (a, x), (b, z) = self._columns[i], self._columns[j]
            rows, cols = np.triu_indices(a.size) if i == j else map(np.ravel, np.indices((a.size, b.size)))
            found[i, j] = a[rows], b[cols], np.ascontiguousarray(x[:, rows] * z[:, cols])
        return found

    @property
    def _blocks(self) -> list[tuple[int, int]]:
        return list(itertools.combinations_with_replacement(range(len(self._columns)), 2))

    @cached_property
    def _few(self) -> bool:
        """Whether products of columns are few enough to be kept."""
        return self.working.rows * self.gamma.size * (self.gamma.size + 1) // 2 <= _PRODUCTS

    @cached_property
    def _first(self) -> tuple[Array, Array]:
        """Scores of the rows and their second derivatives where every set starts."""
        block = self._likelihood.block
        eta = self.working.linear_predictors(self.gamma)
        with np.errstate(all="ignore"):
            rows = self._likelihood.family.linear_rows(block.y, *eta)
        scores = np.zeros((len(block), self.gamma.size))
        for (mine, x), grad in zip(self._columns, rows.grad, strict=True):
            scores[:, mine] += x * grad[:, None]
        return scores, np.asarray(rows.hess)[..., None]

    def estimates(self, weights: Array) -> Array:
        """Estimates under each set of weights, ``(m, k)``, by Newton's method; NaN where it does not get there.

        Near the maximum the Hessian of the step before serves.

        Parameters
        ----------
        weights : (n, m) array
            A column for each set.
        """
        gammas = np.tile(self.gamma, (weights.shape[1], 1))
        found = np.full_like(gammas, np.nan)
        active, last = np.arange(len(gammas)), np.full(len(gammas), np.inf)
        with np.errstate(all="ignore"):
            scores, hess = self._first
            newton = _Newton.of(self._hessians(weights, hess))
            move, distance = newton.step(product(scores, weights).T)
            for step in range(1, _STEPS):
                # Distances fall by their squares; a Hessian that is a step old, by what it has changed on that step.
                rate = np.maximum(distance / last**2, distance)
                near = bool((rate * distance**2 * np.minimum(distance, 1.0) < _CLOSE).all()) and step > 1
                gammas[active] += move
                last = distance
                w = weights if active.size == weights.shape[1] else weights[:, active]
                grad, hess = self._sums(gammas[active], w, order=1 if near else 2)
                newton = newton if near else _Newton.of(hess)
                move, distance = newton.step(grad)
                left = np.where(near, last, rate * distance) * distance
                done = left < _CLOSE
                found[active[done]] = (gammas[active] + move)[done]
                going = ~done & np.isfinite(distance) & ((step < 2) | (distance < last))
                active, move, distance, last = active[going], move[going], distance[going], last[going]
                newton = newton.only(going)
                if not active.size:
                    break
        return found

    def _hessians(self, weights: Array, hess: Array) -> Array:
        """Hessian of each set of weights, ``(m, k, k)``, from the second derivatives of the rows, ``(d, d, n, m)``."""
        total = np.zeros((weights.shape[1],) + 2 * (self.gamma.size,))
        for i, j in self._blocks:
            weighted = weights * hess[i, j]
            if self._few:
                a, b, products = self._pairs[i, j]
                part = product(products, weighted).T
                total[:, a, b] += part
                other = slice(None) if i != j else a != b
                total[:, b[other], a[other]] += part[:, other]
                continue
            (a, x), (b, z) = self._columns[i], self._columns[j]
            for one, weight in zip(total, weighted.T, strict=True):
                part = product(x, weight[:, None] * z)
                one[np.ix_(a, b)] += part
                if i != j:
                    one[np.ix_(b, a)] += part.T
        return total

    def _sums(self, gammas: Array, weights: Array, order: int) -> tuple[Array, Array]:
        """Score and Hessian of each set of weights, each at its own coordinates."""
        count, block = len(gammas), self._likelihood.block
        eta = [linear_predictor(x, np.ascontiguousarray(gammas[:, mine].T)) for mine, x in self._columns]
        for part, offset in zip(eta, block.offset, strict=True):
            if offset is not None:
                part += offset[:, None]
        inside = (self._inside(i, part).ravel() for i, part in enumerate(eta))
        rows = self._likelihood.family.linear_rows(self._repeated(count), *inside, order=order)
        score = np.zeros(gammas.shape)
        for (mine, x), grad in zip(self._columns, rows.grad, strict=True):
            score[:, mine] += product(x, weights * grad.reshape(-1, count)).T
        if order < 2:
            return score, np.empty(0)
        return score, self._hessians(weights, np.reshape(rows.hess, (*np.shape(rows.hess)[:2], -1, count)))

    def _repeated(self, count: int) -> Array:
        """The responses, each as often as there are sets of weights: of all of them, made once."""
        if count != self.size:
            return np.repeat(self._likelihood.block.y, count, axis=0)
        return self._whole

    @cached_property
    def _whole(self) -> Array:
        return np.repeat(self._likelihood.block.y, self.size, axis=0)

    def _inside(self, i: int, eta: Array) -> Array:
        """Linear predictors of a parameter, NaN outside its domain."""
        low, high = self._likelihood.limits[i]
        return np.where((eta > low) & (eta < high), eta, np.nan) if np.isfinite([low, high]).any() else eta


@dataclass(frozen=True, eq=False)
class _Newton:
    """Newton steps of several sets of weights: eigenvalues and -vectors of minus their Hessians."""

    values: Array
    vectors: Array

    @classmethod
    def of(cls, hess: Array) -> "_Newton":
        """Factor Hessians; those that are not negative definite give NaN."""
        usable = np.asarray(np.isfinite(hess).all(axis=(1, 2)))
        values, vectors = np.linalg.eigh(np.where(usable[:, None, None], -hess, 0.0))
        curved = values[:, 0] > _SINGULAR * values[:, -1]
        return cls(np.where((usable & curved)[:, None], values, np.nan), vectors)

    def only(self, chosen: Array) -> "_Newton":
        """Return those of some sets."""
        return _Newton(self.values[chosen], self.vectors[chosen])

    def step(self, grad: Array) -> tuple[Array, Array]:
        """Steps, and their lengths in standard errors."""
        inside = np.einsum("mji,mj->mi", self.vectors, grad)
        scaled = inside / self.values
        return np.einsum("mij,mj->mi", self.vectors, scaled), np.sqrt(np.sum(inside * scaled, axis=1))
