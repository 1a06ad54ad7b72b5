"""A likelihood turns rows into sums: the mean log-likelihood of a family over blocks of data, and its derivatives."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from mlekit.families.base import GenericLikelihood
from mlekit.families.third import adjustment, moments_of
from mlekit.jets import Rows
from mlekit.links import Array
from mlekit.products import cross_product, linear_predictor, over_blocks, row_sum
from mlekit.sources import Block


class Evaluation(NamedTuple):
    """Mean log-likelihood at a point, with as many derivatives as were asked for.

    Attributes
    ----------
    value : float
        Minus infinity where a parameter leaves its domain or the density is not a number.
    gradient : (p,) array or None
    hessian : (p, p) array or None
    """

    value: float
    gradient: Any  # an array where it was asked for
    hessian: Any


_IMPOSSIBLE = Evaluation(-np.inf, None, None)


@dataclass(frozen=True)
class Likelihood:
    """Mean log-likelihood of a family as a function of the coefficients.

    Parameters
    ----------
    family : GenericLikelihood
    block : Block
        All rows; they are walked in blocks of a size that stays in cache.
    slices : sequence of slice
        Where each distribution parameter's coefficients stand in ``beta``.
    shift : float
        Added to the log-density of each observation, as a change of the response's unit does.

    Examples
    --------
    >>> import numpy as np
    >>> from mlekit.families import Poisson
    >>> y, X = np.array([1.0, 3.0]), np.ones((2, 1))
    >>> likelihood = Likelihood(Poisson(), Block(y, (X,), (None,)), (slice(0, 1),))
    >>> likelihood.evaluate(np.log([2.0]), order=1).gradient.tolist()
    [0.0]
    """

    family: GenericLikelihood
    block: Block
    slices: Sequence[slice]
    shift: float = 0.0

    @property
    def size(self) -> int:
        """Number of coefficients."""
        return self.slices[-1].stop

    @cached_property
    def nobs(self) -> float:
        """Number of observations: the sum of the weights."""
        return float(len(self.block) if self.block.weight is None else self.block.weight.sum())

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self.block)

    @property
    def count(self) -> float:
        """Observations or rows, whichever are more: what distances in standard errors are measured by.

        Weights that add up to next to nothing would make every point close to the maximum.
        """
        return max(self.nobs, float(self.rows))

    @cached_property
    def base_measure(self) -> float:
        """Sum over rows of the part of the log-density that no coefficient touches."""
        part = self.family.base_measure(self.block.y)
        return self.shift * self.nobs + (0.0 if part is None else _total(part, self.block.weight))

    @cached_property
    def blocks(self) -> list[Block]:
        """Views of the rows, in blocks of a size that stays in cache."""
        return list(self.block.cut())

    @cached_property
    def limits(self) -> tuple[tuple[float, float], ...]:
        """Open interval of each linear predictor."""
        return self.family.eta_limits()

    def equivalent(self) -> "Likelihood":
        """Return the likelihood of the equivalent family: it has the same estimates, and another value."""
        family, y = self.family.equivalent(self.block.y)
        return self if family is self.family else replace(self, family=family, block=replace(self.block, y=y))

    def part(self, rows: slice | Array) -> "Likelihood":
        """Return the likelihood of some of the rows."""
        return replace(self, block=self.block.rows(rows))

    def linear_predictors(self, beta: Array, block: Block | None = None) -> tuple[Array, ...]:
        """Linear predictor of each distribution parameter, ``(n,)`` each."""
        block = block or self.block
        eta = []
        with np.errstate(all="ignore"):  # coefficients that run off to infinity are the verdict's business
            for x, offset, where in zip(block.X, block.offset, self.slices, strict=True):
                part = linear_predictor(x, beta[where])
                eta.append(part if offset is None else part + offset)
        return tuple(eta)

    def reach(self, direction: Array) -> float:
        """Furthest that a step moves any linear predictor of any row."""

        def furthest(block: Block) -> float:
            moves = (linear_predictor(x, direction[where]) for x, where in zip(block.X, self.slices, strict=True))
            return max((float(np.abs(move).max(initial=0.0)) for move in moves), default=0.0)

        return max(self._over_blocks(furthest), default=0.0)

    def densities(self, beta: Array, block: Block, order: int) -> Rows | None:
        """Rows of one block, or None where a linear predictor leaves its domain."""
        eta = self.linear_predictors(beta, block)
        for values, (low, high) in zip(eta, self.limits, strict=True):
            if (low > -np.inf and not values.min() > low) or (high < np.inf and not values.max() < high):
                return None
        return self.family.linear_rows(block.y, *eta, order=order)

    def evaluate(self, beta: Array, order: int = 2) -> Evaluation:
        """Mean log-likelihood and its derivatives up to ``order``, in one pass over the data."""
        beta = np.asarray(beta, dtype=float)
        sums = self._over_blocks(lambda block: self._sums(beta, block, order))
        if any(part is None for part in sums):
            return _IMPOSSIBLE
        values, gradients, hessians = zip(*sums, strict=True)
        value = self.base_measure + sum(values)
        gradient = sum(gradients) if order > 0 else None
        hessian = sum(hessians) if order > 1 else None
        parts = [part for part in (gradient, hessian) if part is not None]
        if not np.isfinite(value) or not all(np.isfinite(part).all() for part in parts):
            return _IMPOSSIBLE
        n = self.nobs
        return Evaluation(
            value / n, None if gradient is None else gradient / n, None if hessian is None else hessian / n
        )

    def _over_blocks(self, function: Callable[[Block], Any]) -> list[Any]:
        """Results of a function for each block. What overflows is no news: the sums are looked at."""

        def quietly(block: Block) -> Any:
            with np.errstate(all="ignore"):  # here, as each thread has a state of its own
                return function(block)

        return over_blocks(quietly, self.blocks, max(x.shape[1] for x in self.block.X))

    def _sums(self, beta: Array, block: Block, order: int) -> tuple[float, Array | None, Array | None] | None:
        """Sums over one block, or None where a linear predictor leaves its domain."""
        rows = self.densities(beta, block, order)
        if rows is None:
            return None
        value = _total(rows.value, block.weight)
        gradient = self._gradient(rows, block) if order > 0 else None
        return value, gradient, self._hessian(rows.hess, block) if order > 1 else None

    def _gradient(self, rows: Rows, block: Block) -> Array:
        parts = zip(rows.grad, block.X, strict=True)
        return np.concatenate([row_sum(_weighted(grad, block.weight), x) for grad, x in parts])

    def _hessian(self, hess: Array, block: Block) -> Array:
        """Sum of ``X_i.T @ diag(hess[i, j]) @ X_j`` over the parameters, whatever ``hess`` is of."""
        hessian = np.zeros((self.size, self.size))
        for i, a in enumerate(self.slices):
            for j, b in enumerate(self.slices[: i + 1]):
                product = cross_product(block.X[i], _weighted(hess[i, j], block.weight), block.X[j])
                hessian[a, b] = product
                hessian[b, a] = product.T
        return hessian

    def expected_information(self, beta: Array) -> Array | None:
        """Expected information of all rows (a sum, not a mean), or None if the family does not know it."""

        def information(block: Block) -> Array | None:
            rows = self.family.information(*self.linear_predictors(beta, block))
            repeats = self.family.repeats(block.y)
            rows = rows if rows is None or repeats is None else rows * repeats
            return None if rows is None else self._hessian(rows, block)

        parts = self._over_blocks(information)
        return None if parts[0] is None else sum(parts)

    def fisher_information(self, beta: Array) -> Array:
        """The same, by integrals of the density where the family does not know it.

        Raises
        ------
        NoMoments
            If there are none.
        """
        known = self.expected_information(beta)
        if known is not None:
            return known

        def information(block: Block) -> Array:
            return self._hessian(moments_of(self.family, *self.linear_predictors(beta, block)).information, block)

        total: Array = sum(self._over_blocks(information))
        return total

    def adjustment(self, beta: Array, root: Array) -> Array:
        """Adjustment of the score that takes the first-order bias from its root (Firth 1993), a sum over rows.

        ``A_r = tr(V (P_r + Q_r)) / 2`` with ``V = root @ root.T`` the inverse of the expected information.

        Raises
        ------
        NoMoments
            If the family has no third moments.
        """

        def adjusted(block: Block) -> Array:
            white = [x @ root[where] for x, where in zip(block.X, self.slices, strict=True)]
            spread = np.array([[np.einsum("np,np->n", a, b) for b in white] for a in white])
            found = adjustment(self.family, self.linear_predictors(beta, block), spread)
            repeats = self.family.repeats(block.y)
            return self._gradient(Rows(found, found if repeats is None else found * repeats, None), block)

        total: Array = sum(self._over_blocks(adjusted))
        return total

    def gram(self, weights: Sequence[Array]) -> Array:
        """Cross-products ``X'WX`` of each parameter's matrix, block-diagonal; one array of weights per parameter."""
        total = np.zeros((self.size, self.size))
        for here, block in self._walk():
            for x, where, w in zip(block.X, self.slices, weights, strict=True):
                total[where, where] += cross_product(x, w[here], x)
        return total

    def project(self, rows: Sequence[Array]) -> Array:
        """``X'r`` of each parameter's matrix with an array of rows."""
        total = np.zeros(self.size)
        for here, block in self._walk():
            for x, where, r in zip(block.X, self.slices, rows, strict=True):
                total[where] += row_sum(r[here], x)
        return total

    def _walk(self) -> Iterator[tuple[slice, Block]]:
        """Walk the blocks with the rows each holds."""
        first = 0
        for block in self.blocks:
            yield slice(first, first + len(block)), block
            first += len(block)

    def score_rows(self, beta: Array) -> Array:
        """Gradient of each row's log-density, ``(n, p)``, without its weight."""
        scores = np.empty((len(self.block), self.size))
        with np.errstate(all="ignore"):
            for here, block in self._walk():
                rows = self.densities(beta, block, 1)
                for j, (x, where) in enumerate(zip(block.X, self.slices, strict=True)):
                    scores[here, where] = np.nan if rows is None else x * rows.grad[j][:, None]
        return scores

    def log_density(self, beta: Array) -> Array:
        """Log-density of each row, ``(n,)``, base measure included."""
        eta = self.linear_predictors(beta)
        with np.errstate(all="ignore"):
            value = self.family.linear_rows(self.block.y, *eta, order=0).value
            base = self.family.base_measure(self.block.y)
        return value if base is None else value + base


@dataclass(frozen=True)
class Transformed:
    """A likelihood in other coordinates: ``beta = matrix @ gamma``.

    It spares a large matrix the copy that a change of basis would cost.
    """

    inner: Likelihood
    matrix: Array

    @property
    def size(self) -> int:
        """Number of coordinates."""
        return self.matrix.shape[1]

    @property
    def nobs(self) -> float:
        """Number of observations."""
        return self.inner.nobs

    @property
    def rows(self) -> int:
        """Number of rows."""
        return self.inner.rows

    @property
    def count(self) -> float:
        """Observations or rows, whichever are more."""
        return self.inner.count

    def equivalent(self) -> "Transformed":
        """Return the likelihood of the equivalent family."""
        return Transformed(self.inner.equivalent(), self.matrix)

    def part(self, rows: slice | Array) -> "Transformed":
        """Return the likelihood of some of the rows."""
        return Transformed(self.inner.part(rows), self.matrix)

    def reach(self, direction: Array) -> float:
        """Furthest that a step moves any linear predictor of any row."""
        return self.inner.reach(self.matrix @ direction)

    def evaluate(self, gamma: Array, order: int = 2) -> Evaluation:
        """Mean log-likelihood and its derivatives in ``gamma``."""
        value, gradient, hessian = self.inner.evaluate(self.matrix @ gamma, order)
        return Evaluation(
            value,
            None if gradient is None else self.matrix.T @ gradient,
            None if hessian is None else self.matrix.T @ hessian @ self.matrix,
        )

    def linear_predictors(self, gamma: Array, block: Block | None = None) -> tuple[Array, ...]:
        """Linear predictor of each distribution parameter."""
        return self.inner.linear_predictors(self.matrix @ gamma, block)

    def expected_information(self, gamma: Array) -> Array | None:
        """Expected information of all rows in ``gamma``."""
        total = self.inner.expected_information(self.matrix @ gamma)
        return None if total is None else self.matrix.T @ total @ self.matrix

    def fisher_information(self, gamma: Array) -> Array:
        """Expected information of all rows in ``gamma``, by integrals if need be."""
        return self.matrix.T @ self.inner.fisher_information(self.matrix @ gamma) @ self.matrix

    def adjustment(self, gamma: Array, root: Array) -> Array:
        """Adjustment of the score in ``gamma``."""
        return self.matrix.T @ self.inner.adjustment(self.matrix @ gamma, self.matrix @ root)

    @property
    def family(self) -> GenericLikelihood:
        """The family."""
        return self.inner.family

    @property
    def block(self) -> Block:
        """All rows, in the original coordinates."""
        return self.inner.block

    def gram(self, weights: Sequence[Array]) -> Array:
        """Cross-products of each parameter's matrix in ``gamma``."""
        return self.matrix.T @ self.inner.gram(weights) @ self.matrix

    def project(self, rows: Sequence[Array]) -> Array:
        """Product of each parameter's matrix with an array of rows, in ``gamma``."""
        return self.matrix.T @ self.inner.project(rows)

    def score_rows(self, gamma: Array) -> Array:
        """Gradient of each row's log-density in ``gamma``."""
        return self.inner.score_rows(self.matrix @ gamma) @ self.matrix


#: What a fit works on.
Working = Likelihood | Transformed


def _weighted(rows: Array, weight: Array | None) -> Array:
    return rows if weight is None else rows * weight


def _total(rows: Array, weight: Array | None) -> float:
    return float(rows.sum() if weight is None else rows @ weight)
