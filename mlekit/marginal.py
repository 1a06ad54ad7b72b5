"""Marginal effects: what a variable does to a prediction, on average or at values that are named."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from mlekit.counterfactuals import Matrices, Scene, grid, scene_of
from mlekit.families.categorical import Categorical
from mlekit.jets import Rows
from mlekit.links import Array
from mlekit.optimize.base import Status
from mlekit.predict import half_width, standard_errors

if TYPE_CHECKING:
    from mlekit.predictions import Predictions

_SLOPE = "dy/dx"


@dataclass(frozen=True, eq=False)
class MarginalEffects:
    """Effects of variables on a prediction, with delta-method standard errors.

    Attributes
    ----------
    labels : DataFrame
        term, contrast, the values of ``at``, and level, for each effect.
    estimates : (m,) array
    jacobian : (m, p) array
        Derivative of each effect in the coefficients.
    scaled_cov : tuple
        Covariance of the coefficients, and the units that it is in.
    title : str
        What these are effects on.
    notes : tuple of str
    df : float or None
        Degrees of freedom of Student's t; None for the normal distribution.
    """

    labels: pd.DataFrame
    estimates: Array
    jacobian: Array = field(repr=False)
    scaled_cov: tuple[Array, Array] = field(repr=False)
    title: str
    notes: tuple[str, ...] = ()
    df: float | None = None

    @property
    def frame(self) -> pd.DataFrame:
        """Table of effects: labels, estimate, std err, z (or t), its p-value, and the 95 % interval."""
        return self.summary_frame()

    @property
    def std_errors(self) -> Array:
        """Standard error of each effect."""
        return standard_errors(self.jacobian, self.scaled_cov)

    def cov_params(self) -> Array:
        """Covariance of the effects, ``(m, m)``, to compare them with one another."""
        cov, units = self.scaled_cov
        moved = self.jacobian * units
        return np.asarray(moved @ cov @ moved.T)

    def summary_frame(self, alpha: float = 0.05) -> pd.DataFrame:
        """Table of effects with intervals at level ``1 - alpha``."""
        se, quantile = self.std_errors, half_width(alpha, self.df)
        with np.errstate(all="ignore"):
            z = self.estimates / se
        p = 2 * (stats.norm.sf(np.abs(z)) if self.df is None else stats.t.sf(np.abs(z), self.df))
        name = "z" if self.df is None else "t"
        columns = {
            "estimate": self.estimates,
            "std err": se,
            name: z,
            f"P>|{name}|": p,
            f"[{alpha / 2:g}": self.estimates - quantile * se,
            f"{1 - alpha / 2:g}]": self.estimates + quantile * se,
        }
        return pd.concat([self.labels, pd.DataFrame(columns)], axis=1)

    def summary(self, alpha: float = 0.05) -> str:
        """Table as text, with what it is a table of."""
        frame = self.summary_frame(alpha)
        formats = {name: "{:.4g}".format for name in ("estimate", "std err", *frame.columns[-2:])}
        formats |= {name: "{:.3f}".format for name in frame.columns if name in ("z", "t", "P>|z|", "P>|t|")}
        return "\n".join([self.title, frame.to_string(index=False, formatters=formats), *self.notes])

    def __str__(self) -> str:
        return self.summary()

    def __repr__(self) -> str:
        return f"<{self.title}: {len(self.estimates)} effects>"


class _Effect(NamedTuple):
    """One effect that is asked for: a slope (``step`` is None), a step, or a change from one value to another."""

    term: str
    contrast: str
    step: float | None = None
    ends: tuple[Any, Any] | None = None


def marginal_effects(
    results: "Predictions", variables: Any, at: Any, what: Any, data: Any, weights: Any, offset: Any, exposure: Any
) -> MarginalEffects:
    """Marginal effects of a fit; see :meth:`mlekit.predictions.Predictions.marginal_effects`."""
    model = results.model
    scene = scene_of(model, data, weights, offset, exposure)
    values = [{}] if isinstance(at, str) else grid(scene, at)
    if isinstance(at, str) and at != "mean":
        raise ValueError(f"at is None, 'mean', or values by variable, as at={{'x': [0, 1]}}, not {at!r}")
    effects = _asked(scene, variables, values[0])
    labels, estimates, gradients = [], [], []
    base = scene.mean() if isinstance(at, str) else scene
    for point in values:
        here = _Place(results, base.at(point), what, {e.term: scene.limits(e.term) for e in effects if e.ends is None})
        for effect in effects:
            for level, estimate, gradient in here.effect(effect):
                named = {} if level is None else {"level": level}
                labels.append({"term": effect.term, "contrast": effect.contrast, **_titles(point), **named})
                estimates.append(estimate)
                gradients.append(gradient)
    notes = [f"Delta-method standard errors; covariance: {results.cov_text}"]
    if not results.verdict.status.ok:
        notes.append(f"The estimates are not those of maximum likelihood: {results.verdict.status.value}")
    if results.model.aliased:
        notes.append(
            f"Collinear columns were left out ({', '.join(results.model.aliased)}): effects that would move these "
            "alone, or to a combination of levels that is not in the data, are NaN: the data say nothing of them"
        )
    if scene.lost:
        notes.append(f"{scene.lost} of {len(scene.table)} rows of the data left out, as they lack values")
    if isinstance(at, str):
        notes.append("At " + ", ".join(f"{n} = {_plain(c.iloc[0])}" for n, c in base.table.columns.items()))
    kind = "Marginal effects at means" if isinstance(at, str) else "Average marginal effects"
    found, jacobian = np.array(estimates), np.array(gradients)
    if results.verdict.status is Status.INFINITE:
        # What is certain in the limit, or infinite, has no standard error.
        jacobian[~(np.isfinite(found) & jacobian.any(axis=1))] = np.nan
        notes.append("Standard errors take for known what becomes certain; NaN: it depends on the way to infinity")
    return MarginalEffects(
        pd.DataFrame(labels),
        found,
        jacobian,
        results.predictive_cov,
        f"{kind} on {_words(what, isinstance(model.family, Categorical))} of {model.design.response}",
        tuple(notes),
        results.df_resid_inference if results.use_t else None,
    )


def _words(what: Any, of_levels: bool) -> str:
    if of_levels and what == "mean":
        return "the probabilities"
    if isinstance(what, tuple) and len(what) == 2:
        return f"the {what[0]} ({what[1]})"
    return f"the {'linear predictor' if what == 'linear' else what}"


def _titles(point: Mapping[str, Any]) -> dict[str, Any]:
    """Names of ``at`` columns that are not taken."""
    taken = ("term", "contrast", "level", "estimate", "std err", "z", "t")
    return {f"at {name}" if name in taken else name: value for name, value in point.items()}


def _plain(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


# ------------------------------------------------------------------------------------ what is asked for


def _asked(scene: Scene, variables: Any, point: Mapping[str, Any]) -> list[_Effect]:
    """Effects of the variables that are named, or of all."""
    if variables is None:
        named = [v for v in scene.variables() if not (v in point and scene.is_discrete(v))]
        if not named:
            raise ValueError("there is no variable to have an effect: the formulas have none, or at= holds them all")
        return [effect for name in named for effect in _effects(scene, name, None)]
    if isinstance(variables, str):
        variables = [variables]
    if not isinstance(variables, Mapping | Sequence) or not variables:
        raise ValueError(f"variables is a name, a list of names, or a dict as {{'x': 1}} for a step, not {variables!r}")
    items = variables.items() if isinstance(variables, Mapping) else [(name, None) for name in variables]
    found = []
    for name, change in items:
        scene.require(name)
        if name in point and (scene.is_discrete(name) or isinstance(change, tuple | list)):
            raise ValueError(f"{name} is held by at=, and its effect is a change from one value to another: drop one")
        found += _effects(scene, name, change)
    return found


def _effects(scene: Scene, name: str, change: Any) -> list[_Effect]:
    """Effects of one variable."""
    if isinstance(change, tuple | list):
        if len(change) != 2:
            raise ValueError(f"a change of {name} is a pair, from and to, not {change!r}")
        ends = scene.checked(name, change[0]), scene.checked(name, change[1])
        return [_Effect(name, f"{ends[1]} - {ends[0]}", ends=ends)]
    if scene.is_discrete(name):
        if change is not None:
            raise ValueError(f"{name} has levels: a change is a pair of them, as {{{name!r}: (from, to)}}")
        reference, *others = scene.levels(name)
        if not others:
            raise ValueError(f"{name} has one level in the rows that are used, so there is no difference")
        return [_Effect(name, f"{level} - {reference}", ends=(reference, level)) for level in others]
    scene.numbers(name)
    if change is None:
        return [_Effect(name, _SLOPE)]
    step = scene.checked(name, change)
    if step == 0:
        raise ValueError(f"a step of {name} cannot be 0")
    return [_Effect(name, f"{step:+g}", step=step)]


# ------------------------------------------------------------------------------------ at one place


class _Place:
    """Rows where effects are taken, with what is predicted of them."""

    def __init__(self, results: "Predictions", scene: Scene, what: Any, limits: Mapping[str, tuple[float, float]]):
        self.results, self.scene, self.what, self.limits = results, scene, what, limits
        self.weight = scene.weight / scene.weight.sum()
        self._known: tuple[Matrices, dict[Any, Rows]] | None = None

    def effect(self, effect: _Effect) -> Iterator[tuple[Any, float, Array]]:
        """Level, estimate and gradient of an effect."""
        if effect.ends is not None:
            first, second = (self._predicted(self.scene.at({effect.term: end})) for end in effect.ends)
        elif effect.step is not None:
            first, second = self._base(), self._predicted(self.scene.moved(effect.term, effect.step))
        else:
            yield from self._slope(effect.term)
            return
        for level in first[1]:
            low, high = (self._mean(m, rows[level].grad) for m, rows in (first, second))
            change = self.weight @ (second[1][level].value - first[1][level].value)
            yield level, float(change), high - low

    def _predicted(self, scene: Scene) -> tuple[Matrices, dict[Any, Rows]]:
        made = scene.matrices()
        return made, self.results.predicted_rows(made, self.what)

    def _base(self) -> tuple[Matrices, dict[Any, Rows]]:
        if self._known is None:
            self._known = self._predicted(self.scene)
        return self._known

    def _mean(self, made: Matrices, grad: Array) -> Array:
        """Derivative of the weighted mean of a prediction in the coefficients."""
        return np.concatenate([x.T @ (self.weight * g) for x, g in zip(made.X, grad, strict=True)])

    def _slope(self, name: str) -> Iterator[tuple[Any, float, Array]]:
        """Mean of ``sum_k g_k D_k``, with g the slopes of the prediction and D those of the linear predictors."""
        made, predicted = self._base()
        moved = self.scene.slopes(name, self.limits[name])
        rates = self.results.rates(moved)
        for level, rows in predicted.items():
            curved = _times(rows.hess, rates).sum(axis=1)
            gradient = self._mean(made, curved) + self._mean(moved, rows.grad)
            yield level, float(self.weight @ _times(rows.grad, rates).sum(axis=0)), gradient


def _times(slopes: Array, rates: Array) -> Array:
    """Product that is 0 where a prediction does not move, how fast ever its linear predictor does."""
    return np.where(slopes == 0, 0.0, slopes * rates)
