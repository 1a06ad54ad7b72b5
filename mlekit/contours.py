"""Likelihood contours of pairs of coefficients, contrasts or parameters."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from statsmodels.tools.sm_exceptions import ModelWarning

from mlekit.links import Array
from mlekit.messages import warn
from mlekit.optimize.profile import end
from mlekit.optimize.ray import Beaten
from mlekit.profiling import Said, surface_of, tell
from mlekit.surfaces import Surface
from mlekit.targets import Target, as_target

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from mlekit.results import Results

#: Two functions whose directions differ by less than this are one.
_ONE = 1e-8


@dataclass(frozen=True, eq=False)
class Contours:
    """The likelihood as a function of two coefficients, all else at its best; made by ``res.profile`` of a pair.

    Attributes
    ----------
    names : (str, str)
    estimate : pandas.Series
        The two at the maximum.
    notes : tuple of str
        What a reader must know to read the numbers.

    Examples
    --------
    >>> import mlekit
    >>> from mlekit.datasets import load_africa
    >>> res = mlekit.fit("miltcoup ~ parties", load_africa(), "poisson")
    >>> pair = res.profile(["Intercept", "parties"])
    >>> curve = pair.curve(0.05, points=8)
    >>> curve.columns.tolist(), len(curve)
    (['Intercept', 'parties'], 8)
    >>> llf = [res.model.loglike(row) for row in curve.to_numpy()]
    >>> print(np.round(res.llf + np.log(0.05) - llf, 9) + 0.0)
    [0. 0. 0. 0. 0. 0. 0. 0.]
    """

    names: tuple[str, str]
    estimate: pd.Series
    notes: tuple[str, ...]
    surface: Surface = field(repr=False)
    targets: tuple[Target, Target] = field(repr=False)
    coefficients: tuple[str, ...] = field(repr=False)

    def curve(self, alpha: float = 0.05, points: int = 72) -> pd.DataFrame:
        """Points of the contour round the region of level ``1 - alpha`` of the pair, in turn round the maximum.

        Each is the root of its equation, at equal angles in units of standard errors; in twice the log-likelihood the
        contour lies below the maximum by a quantile of chi-squared with two degrees of freedom. Where the likelihood
        does not fall so far the contour is open: NaN, with a warning.
        """
        return self._round(alpha, points, profile=True)

    def wald(self, alpha: float = 0.05, points: int = 72) -> pd.DataFrame:
        """Points of Wald's ellipse, as those of :meth:`curve`."""
        return self._round(alpha, points, profile=False)

    def _round(self, alpha: float, points: int, *, profile: bool) -> pd.DataFrame:
        if not 0 < alpha < 1:
            raise ValueError(f"alpha must be between 0 and 1, not {alpha!r}: 0.05 gives 95 % regions")
        if isinstance(points, bool) or not isinstance(points, int) or points < 3:
            raise ValueError(f"points must be a whole number of 3 or more, not {points!r}")
        drop = -2 * np.log(alpha)
        angles = 2 * np.pi * np.arange(points) / points
        directions = np.array([target.contrast for target in self.targets]) @ self.surface.matrix
        plane, rays = self.surface.peak.fan(directions, angles)
        distances = np.full(points, np.sqrt(drop))
        if profile:
            distances = self._distances(rays, drop)
        at = self._estimate[:, None] + plane @ (distances * np.array([np.cos(angles), np.sin(angles)]))
        return pd.DataFrame({t.name: _reported(t, values) for t, values in zip(self.targets, at, strict=True)})

    @property
    def _estimate(self) -> Array:
        beta = self.surface.coefficients(self.surface.peak.gamma)
        return np.array([target.contrast @ beta for target in self.targets])

    def _distances(self, rays: Sequence[Any], drop: float) -> Array:
        found, why = np.full(len(rays), np.nan), ""
        for i, ray in enumerate(rays):
            try:
                with np.errstate(all="ignore"):
                    reached = end(ray, 1, drop)
            except Beaten as beaten:
                tell([Said((), (self.surface.coefficients(ray.gamma(beaten.v)), beaten.value))], self.coefficients)
                break
            if reached.why or not np.isfinite(reached.s):
                why = reached.why
            else:
                found[i] = reached.s
        if why:
            open_ones = int(np.isnan(found).sum())
            warn(
                f"the contour of {' and '.join(self.names)} is open, NaN at {open_ones} of {len(rays)} points: {why}",
                ModelWarning,
            )
        return found

    def plot(self, alphas: Sequence[float] = (0.5, 0.1, 0.05)) -> "Figure":
        """Draw the contours of some levels, with Wald's ellipses beside."""
        from mlekit.plots.profile import plot_contours

        return plot_contours(self, alphas)


def _reported(target: Target, values: Array) -> Array:
    with np.errstate(all="ignore"):
        return values if target.scale is None else np.asarray(target.scale(values))


def contours_of(results: "Results", pair: Sequence[Any]) -> Contours:
    """Look at the likelihood along two functions of the coefficients; see ``Results.profile``.

    Raises
    ------
    ValueError
        If they are one function, or the fit has bounds, or no profile.
    """
    first, second = (as_target(results, what) for what in pair)
    surface = surface_of(results)
    if not (isinstance(surface, Surface) and surface.open):
        raise ValueError("contours under bounds, or of a density with a kink, are not drawn: profile one coefficient")
    for target in (first, second):
        surface.seen(target)
    directions = np.array([first.contrast, second.contrast]) @ surface.matrix
    plane, _ = surface.peak.fan(directions, np.zeros(1))
    lengths = np.abs(plane).max(axis=1)
    if not abs(np.linalg.det(plane / lengths[:, None])) > _ONE:
        raise ValueError(f"{first.name} and {second.name} are the same up to a factor: they have no contours")
    beta = surface.coefficients(surface.peak.gamma)
    names = (first.name, second.name)
    estimate = [float(_reported(target, target.contrast @ beta)) for target in (first, second)]
    series = pd.Series(estimate, index=list(names))
    return Contours(names, series, surface.notes, surface, (first, second), tuple(results.model.design.names))
