"""A fit's likelihood counted anew, from nothing but the log-density of the family and the coefficients as doubles.

Nothing here is taken from the passes that the fit was made by: linear predictors are computed in twice the working
precision from the columns as they were given, log-densities by ``logpdf``, sums by ``math.fsum`` from the last row to
the first, slopes and curvatures by differences. What rounding does to a log-density is measured, and not assumed.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from mlekit.basis import SAMPLE_ROWS, sample_rows
from mlekit.diagnostics import thetas
from mlekit.doubled import accurate_product
from mlekit.families.base import GenericLikelihood
from mlekit.jets import DerivativeError, Rows
from mlekit.links import Array
from mlekit.optimize.base import Curvature
from mlekit.selfcheck.case import Case, Reference

if TYPE_CHECKING:
    from mlekit.results import Results

_EPS = float(np.finfo(float).eps)
# Share of a linear predictor by which it is moved to see what rounding does: a smooth function stays straight.
_NUDGE = 2.0**-40
# Steps of the differences, in standard errors: the first at which rounding leaves less than so much unknown. Where the
# curvature jumps, as Huber's does, a small one is right and a large one is not.
_STEPS, _NOISE, _NEAR = (1e-3, 1e-2, 0.1), 1e-5, 1e-3


@dataclass(frozen=True, eq=False)
class Recount:
    """The likelihood of a fit whose coefficients are finite.

    Attributes
    ----------
    fit : Results
    """

    fit: "Results"

    @cached_property
    def directions(self) -> Array | None:
        """Moves of the coefficients, ``(p, r)``, each of one standard error and independent of the others.

        ``directions @ directions.T`` is the inverse of the information; None where that is singular.
        """
        fit = self.fit
        working, matrix = fit._coordinates()
        if fit.model.family.quantile_level is not None:
            information = working.expected_information(fit.optimum.gamma)
        else:
            known = fit.verdict.evaluation.hessian
            information = None if known is None else -known * fit.nobs
        if information is None or not np.isfinite(information).all():
            return None
        curvature = Curvature(information)
        return None if curvature.modified else matrix @ curvature.root_inverse()

    @cached_property
    def errors(self) -> Array:
        """Standard error of each coefficient by that information, ``(p,)``."""
        assert self.directions is not None
        largest = np.abs(self.directions).max(axis=1, initial=0.0)
        scale = np.where(largest > 0, largest, 1.0)  # columns of 1e-300 have errors of 1e300
        found: Array = scale * np.linalg.norm(self.directions / scale[:, None], axis=1)
        return found

    @cached_property
    def few(self) -> float:
        """What makes distances in standard errors count where weights add up to next to nothing."""
        return math.sqrt(self.fit.model.likelihood.count / self.fit.nobs)

    @cached_property
    def strides(self) -> Array:
        """The directions, of one standard error as distances are measured, ``(p, r)``."""
        assert self.directions is not None
        return self.directions / self.few

    # ------------------------------------------------------------------------------------ rows

    @cached_property
    def eta(self) -> tuple[Array, ...]:
        """Linear predictors, rounded once."""
        block, found = self.fit.model.observations.block, []
        for x, offset, where in zip(block.X, block.offset, self.fit.model.design.slices, strict=True):
            part = accurate_product(x, self.fit.params[where][:, None])[:, 0]
            found.append(part if offset is None else part + offset)
        return tuple(found)

    @cached_property
    def moves(self) -> tuple[Array, ...]:
        """What the directions move of each linear predictor, ``(n, r)`` each."""
        assert self.directions is not None
        slices = self.fit.model.design.slices
        return tuple(
            accurate_product(x, self.directions[where])
            for x, where in zip(self.fit.model.observations.block.X, slices, strict=True)
        )

    @cached_property
    def sizes(self) -> tuple[Array, ...]:
        """Size of what each linear predictor is a sum of, with columns no smaller than they are in most rows."""
        block, found = self.fit.model.observations.block, []
        for x, offset, where in zip(block.X, block.offset, self.fit.model.design.slices, strict=True):
            scale = np.abs(x).max(axis=0, initial=0.0)
            scale[scale == 0] = 1.0
            typical = scale * np.sqrt(np.mean((x / scale) ** 2, axis=0))
            size = np.maximum(np.abs(x), typical) @ np.abs(self.fit.params[where])
            found.append(size if offset is None else size + np.abs(offset))
        return tuple(found)

    @cached_property
    def rows(self) -> Rows:
        """Log-density of each row and its derivatives as the family gives them; expected ones at kinks."""
        family, y = self.fit.model.family, self.fit.model.endog
        found: Rows = family.linear_rows(y, *self.eta, order=2)
        return found if family.quantile_level is None else found._replace(hess=-family.information(*self.eta))

    def density(self, eta: tuple[Array, ...]) -> Array:
        """Log-density of each row by ``logpdf`` alone."""
        family = self.fit.model.family
        found: Array = np.asarray(family.logpdf(self.fit.model.endog, *thetas(family, eta)), dtype=float)
        return found

    @cached_property
    def densities(self) -> Array:
        """Log-density of each row at the estimate."""
        return self.density(self.eta)

    @cached_property
    def rounding(self) -> float:
        """What rounding may do to the log-likelihood as ``logpdf`` has it."""
        nudges = [_NUDGE * np.maximum(np.abs(e), np.sqrt(np.mean(e**2))) for e in self.eta]
        up, down = (self.density(tuple(e + s * d for e, d in zip(self.eta, nudges, strict=True))) for s in (1, -1))
        parts = [up - 2 * self.densities + down, _EPS * self.densities]
        parts += [grad * shift for grad, shift in zip(self.rows.grad, self.unresolved, strict=True)]
        return float(sum(np.linalg.norm(self._weighted(part)) for part in parts))

    @cached_property
    def unresolved(self) -> tuple[Array, ...]:
        """How far a linear predictor can move while its parameter, as a double, does not: far, for 1 - 1e-16."""
        links = self.fit.model.family.links.values()
        return tuple(
            _EPS * np.abs(theta / link.slopes(e)[0])
            for theta, link, e in zip(thetas(self.fit.model.family, self.eta), links, self.eta, strict=True)
        )

    def _weighted(self, rows: Array) -> Array:
        weight = self.fit.model.observations.block.weight
        return rows if weight is None else rows * weight

    # ------------------------------------------------------------------------------------ sums

    @cached_property
    def value(self) -> float:
        """Log-likelihood, summed exactly from the last row to the first."""
        return _exactly(self._weighted(self.densities))

    @cached_property
    def value_error(self) -> float:
        """How far that may be from any other sum of the same rows: by rounding of rows and of linear predictors."""
        moved = sum(
            float(np.sum(np.abs(self._weighted(g)) * s)) for g, s in zip(self.rows.grad, self.sizes, strict=True)
        )
        return 1e-13 * float(np.sum(np.abs(self._weighted(self.densities)))) + 10 * self.rounding + 4 * _EPS * moved

    @cached_property
    def score(self) -> Array:
        """Score along each direction by the family's derivatives, at the coefficients as they are rounded."""
        assert self.directions is not None
        found: Array = self.directions.T @ self._pull
        for move, grad in zip(self.moves, self.rows.grad, strict=True):
            found = found + move.T @ self._weighted(grad)
        return found

    @property
    def _pull(self) -> Array:
        """What is added to the score of the likelihood: that of a penalty, or what bias reduction adds."""
        fit = self.fit
        found = np.zeros(fit.params.size)
        if fit.restrictions is not None and fit.restrictions.penalty is not None:
            found = found + fit.restrictions.penalty.at(fit.params, fit.model.design.names).gradient
        return found if fit.adjustment is None else found + fit.adjustment

    @cached_property
    def differences(self) -> tuple[Array, Array, float]:
        """Slope and curvature of the log-density along each direction, and what rounding leaves unknown of them.

        By differences of the fourth order. At the maximum they are 0 and -1, with what is added to the score, and the
        curvature of a penalty, taken into account.
        """
        assert self.directions is not None
        noises = [4 * self.rounding * (self.few / step) ** 2 for step in _STEPS]
        chosen = next((j for j, noise in enumerate(noises) if noise <= _NOISE), len(_STEPS) - 1)
        pulled, bent = self.directions.T @ self._pull, self._bent
        slopes, curves = np.full(pulled.size, np.nan), np.full(pulled.size, np.nan)
        # What is wrong is so at every step; what rounding makes of a small one, or a kink of a large one, is not.
        for step in _STEPS[chosen:]:
            found = [self._along(k, step / self.few) for k in range(pulled.size)]
            slope = np.array([each[0] for each in found]) + pulled
            curve = np.array([each[1] for each in found]) + bent
            slopes = np.where(np.abs(slope) < np.abs(slopes), slope, np.where(np.isnan(slopes), slope, slopes))
            curves = np.where(np.abs(curve + 1) < np.abs(curves + 1), curve, np.where(np.isnan(curves), curve, curves))
            if (np.abs(slopes) < _NEAR).all() and (np.abs(curves + 1) < _NEAR).all():
                break
        return slopes, curves, noises[chosen]

    def _along(self, k: int, step: float) -> tuple[float, float]:
        """Slope and curvature along one direction, by steps of one length."""
        ahead2, ahead, behind, behind2 = (self._risen(k, s * step) for s in (2, 1, -1, -2))
        slope = (8 * (ahead - behind) - (ahead2 - behind2)) / (12 * step)
        return slope, (16 * (ahead + behind) - (ahead2 + behind2)) / (12 * step**2)

    def _risen(self, k: int, step: float) -> float:
        """How far the log-likelihood rises with a step along a direction."""
        there = self.density(tuple(e + step * m[:, k] for e, m in zip(self.eta, self.moves, strict=True)))
        return _exactly(self._weighted(there - self.densities))

    @property
    def _bent(self) -> Array:
        """Curvature of a penalty along each direction."""
        assert self.directions is not None
        fit = self.fit
        if fit.restrictions is None or fit.restrictions.penalty is None:
            return np.zeros(self.directions.shape[1])
        hessian = fit.restrictions.penalty.at(fit.params, fit.model.design.names).hessian
        return np.einsum("pr,pq,qr->r", self.directions, hessian, self.directions)

    # ------------------------------------------------------------------------------------ derivatives

    @cached_property
    def by_density(self) -> "Derivatives | None":
        """Derivatives that the family has by hand, against those that follow from ``logpdf``; None if it has none."""
        fit = self.fit
        family, n = fit.model.family, len(fit.model.endog)
        case = Case(family, GenericLikelihood, fit.model.endog, ())
        if not fit.model.has_null or not (case.own("rows") or case.own("linear_rows")):
            return None
        some: Any = slice(None) if n <= SAMPLE_ROWS else np.unique(sample_rows(n))
        y, eta = fit.model.endog[some], tuple(e[some] for e in self.eta)
        case = case._replace(y=y, theta=thetas(family, eta))
        try:
            reference = Reference.of(case)
        except DerivativeError:
            return None
        wanted = reference.linear(case, y, *eta)
        nudged = reference.linear(case, y, *(e + _NUDGE * e for e in eta))
        ours = family.linear_rows(y, *eta, order=2)
        known = np.isfinite(wanted.grad).all(axis=0) & np.isfinite(wanted.hess).all(axis=(0, 1))
        score, information = self._apart(ours, wanted, some, known)
        weight = fit.model.observations.block.each[some]
        noise = self._apart(nudged, wanted, some, known & np.isfinite(nudged.hess).all(axis=(0, 1)))
        hidden = [
            float(np.linalg.norm((weight * ours.hess[j, j] * shift[some])[:, None] * move[some]))
            for j, (shift, move) in enumerate(zip(self.unresolved, self.moves, strict=True))
        ]
        return Derivatives(score, information, max(*noise, *hidden), reference.exact, int((~known).sum()))

    def _apart(self, one: Rows, two: Rows, some: Any, known: Array) -> tuple[float, float]:
        """Distance of two scores in standard errors, and of two informations in units of one of them."""
        weight = self.fit.model.observations.block.each[some] * known
        with np.errstate(all="ignore"):
            grad = np.where(known, one.grad - two.grad, 0.0) * weight
            hess = np.where(known, one.hess - two.hess, 0.0) * weight
        moves = [move[some] for move in self.moves]
        score = sum(m.T @ g for m, g in zip(moves, grad, strict=True))
        bent = np.zeros((moves[0].shape[1],) * 2)
        for i, move in enumerate(moves):
            for j, other in enumerate(moves):
                bent += move.T @ (hess[i, j][:, None] * other)
        return float(np.linalg.norm(score)) * self.few, float(np.abs(bent).max(initial=0.0))

    # ------------------------------------------------------------------------------------ rounding of the data

    @cached_property
    def conditioning(self) -> Array:
        """How far each coefficient moves if the data and the terms of the score are rounded to doubles, ``(p,)``.

        To first order, ``I^-1 sum(x_i h_i e_i)`` with errors ``e_i`` of the linear predictors that are independent and
        as large as a rounding of their terms (Higham 2002, chapter 20, with standard deviations in place of bounds).
        """
        assert self.directions is not None
        k = len(self.eta)
        total = np.zeros((self.directions.shape[1],) * 2)
        for b in range(k):
            bends = sum(self.moves[a] * self._weighted(self.rows.hess[a, b])[:, None] for a in range(k))
            for part in (
                bends * self.sizes[b][:, None],
                4 * self.moves[b] * self._weighted(self.rows.grad[b])[:, None],
            ):
                total += part.T @ part
        share = self.directions / np.where(self.errors > 0, self.errors, 1.0)[:, None]
        return _EPS * self.errors * np.sqrt(np.maximum(np.einsum("jr,rs,js->j", share, total, share), 0.0))

    @property
    def step(self) -> Array:
        """How far Newton's method would still move each coefficient, ``(p,)``: their error, to first order."""
        assert self.directions is not None
        return np.abs(self.directions @ self.score)


@dataclass(frozen=True)
class Derivatives:
    """How far derivatives by hand are from those that follow from the log-density, at the estimate.

    Attributes
    ----------
    score : float
        In standard errors.
    information : float
        In units of the information.
    noise : float
        What rounding does to the latter: the larger of the two.
    exact : bool
        Whether they are by jets, and not by differences.
    unknown : int
        Rows in which the log-density gives no number.
    """

    score: float
    information: float
    noise: float
    exact: bool
    unknown: int


def _exactly(rows: Array) -> float:
    """Sum of rows, exactly, from the last to the first; NaN where one is not finite."""
    return math.fsum(rows[::-1].tolist()) if np.isfinite(rows).all() else math.nan
