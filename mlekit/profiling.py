"""Profile likelihoods of coefficients, contrasts and parameters; ends of intervals are found, and not interpolated."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from statsmodels.tools.sm_exceptions import ConvergenceWarning, ModelWarning

from mlekit.curved import CurvedLine
from mlekit.kinked_profile import Kinked
from mlekit.links import Array
from mlekit.messages import warn
from mlekit.optimize.profile import End
from mlekit.optimize.ray import Beaten, Point
from mlekit.predict import half_width
from mlekit.surfaces import Line, Surface
from mlekit.targets import Target, as_target

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from mlekit.results import Results


@dataclass(frozen=True, eq=False)
class Profile:
    """The profile likelihood of a coefficient, a contrast or a parameter; made by ``res.profile``.

    Attributes
    ----------
    name : str
    estimate, std_err : float
        Of the coefficient, or of the linear predictor of a parameter; ``std_err`` is that of the Wald parabola, by the
        curvature of the likelihood, and NaN for an estimate on its bound.
    table : pandas.DataFrame
        value, root, llf, and the coefficients at each value, with the others at their best. ``root`` is the signed root
        of the likelihood ratio, the square root of twice the fall of the log-likelihood: a straight line where Wald
        is right.
    better : pandas.Series or None
        Coefficients with a larger likelihood than the estimate, if such turned up: ``start=`` for another fit.
    notes : tuple of str
        What a reader must know to read the numbers.

    Examples
    --------
    >>> import mlekit
    >>> from mlekit.datasets import load_africa
    >>> res = mlekit.fit("miltcoup ~ parties", load_africa(), "poisson")
    >>> profile = res.profile("parties")
    >>> print("{:.6f} {:.6f}".format(*profile.interval(0.05)))
    0.004169 0.039368
    >>> print(profile)
    Profile likelihood of parties: estimate 0.0228555, std err 0.00893605
                 low      high    Wald low  Wald high
    0.99 -0.00222553 0.0441922 -0.00016226  0.0458732
    0.95  0.00416926 0.0393678  0.00534114  0.0403698
    0.9    0.0073402 0.0368379  0.00815699   0.037554
    0.5    0.0166955 0.0287571   0.0168282  0.0288828
    """

    name: str
    estimate: float
    std_err: float
    table: pd.DataFrame = field(repr=False)
    better: pd.Series | None = field(repr=False)
    notes: tuple[str, ...]
    line: Line = field(repr=False)

    def interval(self, alpha: float = 0.05) -> tuple[float, float]:
        """Ends of the interval at level ``1 - alpha``, each the root of its equation.

        An end is infinite where the likelihood does not fall far enough, a bound or the edge of a domain where that is
        met first, and NaN where it is not known; a warning says which and why, where the notes do not say it already.
        """
        found, said, _ = interval(self.line, alpha)
        new = tuple(text for text in said.texts if text not in self.notes)
        tell([Said(new, said.better if self.better is None else None)], self.names)
        return found

    @property
    def names(self) -> list[str]:
        """Names of the coefficients."""
        return [str(name) for name in self.table.columns[3:]]

    def wald(self, alpha: float = 0.05) -> tuple[float, float]:
        """Ends of the Wald interval at level ``1 - alpha``, by the parabola that the likelihood has at its maximum."""
        width = half_width(alpha, None)
        ends = self.line.reported(self.estimate + np.array([-width, width]) * self.std_err)
        low, high = sorted(float(end) for end in ends)
        return low, high

    def summary(self, alphas: Sequence[float] = (0.01, 0.05, 0.1, 0.5)) -> pd.DataFrame:
        """Intervals by the profile and by Wald, a row for each level."""
        rows = {f"{1 - alpha:.6g}": [*self.interval(alpha), *self.wald(alpha)] for alpha in alphas}
        return pd.DataFrame.from_dict(rows, orient="index", columns=["low", "high", "Wald low", "Wald high"])

    def __str__(self) -> str:
        head = f"Profile likelihood of {self.name}: estimate {self.estimate:.6g}, std err {self.std_err:.6g}"
        return "\n".join([head, self.summary().to_string(float_format="{:.6g}".format), *self.notes])

    def plot(self, alpha: float = 0.05) -> "Figure":
        """Draw the log-likelihood with the Wald parabola beside it, and the signed root with Wald's straight line."""
        from mlekit.plots.profile import plot_profile

        return plot_profile(self, alpha)


def surface_of(results: "Results") -> Surface | Kinked:
    """Coordinates of a fit that has a profile.

    Raises
    ------
    ValueError
        If it did not converge, or estimated nothing.
    """
    if not results.status.comparable:
        raise ValueError(
            f"the fit has no profile likelihood, as its estimate is not the maximum: {results.reason}. Get it to "
            "converge first"
        )
    if not results.params.size:
        raise ValueError("nothing was estimated: all coefficients are held")
    with np.errstate(all="ignore"):
        return results.surface()


def line_of(surface: Surface | Kinked, target: Target) -> Line:
    """Look at a surface along a function, linear or not."""
    if target.function is None:
        return surface.line(target)
    if not (isinstance(surface, Surface) and surface.open):
        raise ValueError(
            f"{target.name} is not linear: under bounds, and of densities with a kink, only coefficients are profiled"
        )
    return CurvedLine.of(surface, target, target.function)


# ------------------------------------------------------------------------------------ intervals


class Said(NamedTuple):
    """What there is to say of an interval, and a better optimum (coefficients, and their log-likelihood)."""

    texts: tuple[str, ...]
    better: tuple[Array, float] | None


def interval(line: Line, alpha: float) -> tuple[tuple[float, float], Said, list[End]]:
    """Both ends of an interval, what there is to say of them, and the ends in standard errors."""
    drop = half_width(alpha, None) ** 2
    ends: list[End] = []
    texts: list[str] = []
    better = None
    for side in (-1, 1):
        with np.errstate(all="ignore"):
            try:
                found = line.end(side, drop)
            except Beaten as beaten:
                better = line.coefficients(beaten.v), beaten.value
                found = End(np.nan, None)
        ends.append(found)
    values = [float(line.value(found.s)) for found in ends]
    # A link that falls makes of the lower end of the linear predictor the upper end of the parameter.
    for found, value, name in zip(ends, values, ("lower", "upper")[:: line.direction], strict=True):
        if found.why:
            texts.append(f"the {name} end of {line.target.name} is {value:.6g}: {found.why}")
    low, high = values[:: line.direction]
    return (low, high), Said(tuple(texts), better), ends


def profile_intervals(results: "Results", alpha: float, targets: Sequence[Target]) -> Array:
    """Profile intervals of several functions, a row each; warnings tell of ends that are no roots."""
    surface = surface_of(results)
    rows, said = [], []
    for target in targets:
        found, words, _ = interval(line_of(surface, target), alpha)
        rows.append(found)
        said.append(words)
    tell(said, results.model.design.names)
    return np.array(rows).reshape(-1, 2)


def profile_of(results: "Results", what: Any, alpha: float, points: int) -> Profile:
    """Profile one function of the coefficients; see ``Results.profile``."""
    target = as_target(results, what)
    if isinstance(points, bool) or not isinstance(points, int) or points < 2:
        raise ValueError(f"points must be a whole number of 2 or more, not {points!r}")
    line = line_of(surface_of(results), target)
    names = results.model.design.names
    (_, _), said, ends = interval(line, alpha)
    better = said.better
    found: list[Point] = []
    for side, reached in zip((-1, 1), ends, strict=True):
        goal = line.reach(reached.s, half_width(alpha, None))
        try:
            with np.errstate(all="ignore"):
                half = line.along(side * np.linspace(0, goal, points // 2 + 1)[1:]) if goal else []
        except Beaten as beaten:
            better, half = (line.coefficients(beaten.v), beaten.value), []
        found = [*found, *half] if side > 0 else [*half[::-1], line.top]
    said = Said(said.texts, better)
    tell([said], names)
    distances = np.array([point.v[0] for point in found])
    drops = np.maximum([point.drop for point in found], 0.0)
    columns = {"value": line.value(distances), "root": line.direction * np.sign(distances) * np.sqrt(drops)}
    coefficients = np.array([line.coefficients(point.v) for point in found])
    table = pd.DataFrame(columns | {"llf": line.height - drops / 2})
    table = pd.concat([table, pd.DataFrame(coefficients, columns=list(names))], axis=1)
    return Profile(
        target.name,
        float(line.estimate),
        float(line.std_err),
        table,
        None if better is None else pd.Series(better[0], index=list(names)),
        (*line.notes, *said.texts),
        line,
    )


def tell(said: Sequence[Said], names: Sequence[str]) -> None:
    """Warn of better optima, and of ends that are no roots."""
    better = next((words.better for words in said if words.better is not None), None)
    if better is not None:
        at = ", ".join(f"{name}={value:.6g}" for name, value in zip(names, better[0], strict=True))
        warn(
            f"the estimate is not the maximum: profiling found a larger log-likelihood, {better[1]:.8g}, at {at}. The "
            "end on that side is NaN. Fit again from there, by start=",
            ConvergenceWarning,
        )
    texts = [text for words in said for text in words.texts]
    if texts:
        warn(
            "not every end of a profile interval is where the likelihood ratio says: " + "; ".join(texts), ModelWarning
        )
