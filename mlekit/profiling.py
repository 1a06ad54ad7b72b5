"""Profile likelihoods of coefficients, contrasts and parameters; ends of intervals are found, and not interpolated."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from patsy import PatsyError
from statsmodels.tools.sm_exceptions import ConvergenceWarning, ModelWarning

from mlekit.labels import constraints
from mlekit.links import Array
from mlekit.messages import warn
from mlekit.optimize.profile import End, along, end
from mlekit.optimize.ray import Beaten, Peak, Point, Ray
from mlekit.predict import half_width

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from mlekit.design import Design
    from mlekit.results import Results

#: A function of the coefficients that restrictions leave less than this share of is determined by them.
_DETERMINED = 1e-10


class Target(NamedTuple):
    """What is profiled: a linear function ``contrast @ beta``, reported through ``scale``.

    ``scale`` takes the function to a parameter's own scale, if it is the linear predictor of one.
    """

    name: str
    contrast: Array
    scale: Callable[[Any], Any] | None = None


@dataclass(frozen=True, eq=False)
class Surface:
    """The likelihood round an estimate: coefficients are ``origin + matrix @ gamma``."""

    peak: Peak
    origin: Array
    matrix: Array
    notes: tuple[str, ...] = ()

    def line(self, target: Target) -> "Line":
        """Look at it along a function of the coefficients.

        Raises
        ------
        ValueError
            If restrictions determine the function.
        """
        return Line(self, target, *self.seen(target))

    def seen(self, target: Target) -> tuple[float, Ray]:
        """Return the estimate of a function, and the ray along it."""
        direction = target.contrast @ self.matrix
        if not np.abs(direction).max(initial=0.0) > _DETERMINED * (np.abs(target.contrast) @ np.abs(self.matrix)).max():
            raise ValueError(f"{target.name} is determined by the restrictions of the fit: it has no profile")
        return float(target.contrast @ self.coefficients(self.peak.gamma)), self.peak.ray(direction)

    def coefficients(self, gamma: Array) -> Array:
        """Coefficients at some coordinates."""
        return self.origin + self.matrix @ gamma


@dataclass(frozen=True, eq=False)
class Line:
    """The likelihood along one function of the coefficients, all else at its best."""

    surface: Surface
    target: Target
    estimate: float
    ray: Ray

    @property
    def se(self) -> float:
        """Standard error of the function, by the curvature of the likelihood."""
        return self.ray.se

    @property
    def height(self) -> float:
        """Log-likelihood at the estimate."""
        return self.ray.peak.value

    def end(self, side: int, drop: float) -> End:
        """Where the profile has fallen by ``drop``, in twice the log-likelihood."""
        return end(self.ray, side, drop)

    def along(self, distances: Array) -> list[Point]:
        """Largest likelihoods at distances in standard errors, as far as they are found."""
        return along(self.ray, distances)

    def coefficients(self, v: Array) -> Array:
        """Coefficients at a point of the line."""
        return self.surface.coefficients(self.ray.gamma(v))

    @property
    def direction(self) -> int:
        """-1 if the scale that it is reported on falls as the function rises, else 1."""
        low, high = self.value(np.array([-1e-3, 1e-3]))
        return -1 if high < low else 1

    def value(self, s: Any) -> Any:
        """The function at a distance in standard errors, on the scale that it is reported on."""
        with np.errstate(all="ignore"):
            eta = self.estimate + self.se * np.asarray(s, dtype=float)
            return eta if self.target.scale is None else self.target.scale(eta)


@dataclass(frozen=True, eq=False)
class Profile:
    """The profile likelihood of a coefficient, a contrast or a parameter; made by ``res.profile``.

    Attributes
    ----------
    name : str
    estimate, std_err : float
        Of the coefficient, or of the linear predictor of a parameter; ``std_err`` is that of the Wald parabola, by the
        curvature of the likelihood.
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
    >>> print("{:.6f} {:.6f}".format(*profile.wald(0.05)))
    0.005341 0.040370
    """

    name: str
    estimate: float
    std_err: float
    table: pd.DataFrame
    better: pd.Series | None
    notes: tuple[str, ...]
    line: Line = field(repr=False)

    def interval(self, alpha: float = 0.05) -> tuple[float, float]:
        """Ends of the interval at level ``1 - alpha``, each the root of its equation.

        An end is infinite where the likelihood does not fall far enough, a bound or the edge of a domain where that is
        met first, and NaN where it is not known; a warning says which and why.
        """
        found, said, _ = interval(self.line, alpha)
        _tell([said])
        return found

    def wald(self, alpha: float = 0.05) -> tuple[float, float]:
        """Ends of the Wald interval at level ``1 - alpha``, by the parabola that the likelihood has at its maximum."""
        width = half_width(alpha, None)
        low, high = sorted(float(end) for end in self.line.value(np.array([-width, width])))
        return low, high

    def summary(self, alphas: Sequence[float] = (0.01, 0.05, 0.1, 0.5)) -> pd.DataFrame:
        """Intervals by the profile and by Wald, a row for each level."""
        rows = {f"{1 - alpha:.6g}": [*self.interval(alpha), *self.wald(alpha)] for alpha in alphas}
        columns = pd.MultiIndex.from_product([["profile", "Wald"], ["low", "high"]])
        return pd.DataFrame.from_dict(rows, orient="index").set_axis(columns, axis=1).rename_axis("level")

    def plot(self, alpha: float = 0.05) -> "Figure":
        """Draw the log-likelihood with the Wald parabola beside it, and the signed root with Wald's straight line."""
        from mlekit.plots.profile import plot_profile

        return plot_profile(self, alpha)


# ------------------------------------------------------------------------------------ what is asked for


def as_target(results: "Results", what: Any) -> Target:
    """Read what to profile: a coefficient's name or number, a contrast, or a parameter that is one number.

    Raises
    ------
    ValueError
        If it is none of these; the message has the names.
    """
    design, family = results.model.design, results.model.family
    names = design.names
    if isinstance(what, int | np.integer) and not isinstance(what, bool) and -len(names) <= what < len(names):
        what = names[int(what)]
    if not isinstance(what, str):
        return _of_array(what, names)
    if what in names:
        return Target(what, np.eye(len(names))[names.index(what)])
    if what in design.params:
        where = _common(results, what)
        return Target(what, np.eye(len(names))[where], family.links[what].inverse)
    return _of_text(what, design)


def targets(results: "Results", cols: Any) -> list[Target]:
    """Read what intervals are asked for: all coefficients, one function, or several."""
    if cols is None:
        cols = range(len(results.model.design.names))
    one = isinstance(cols, str | int | np.integer)
    return [as_target(results, what) for what in ([cols] if one else cols)]


def _of_array(what: Any, names: Sequence[str]) -> Target:
    try:
        contrast = np.asarray(what, dtype=float)
    except (TypeError, ValueError):
        contrast = np.zeros(0)
    if contrast.shape != (len(names),) or not np.isfinite(contrast).all() or not contrast.any():
        raise ValueError(
            f"cannot profile {what!r}: give a coefficient or a parameter, a contrast as text, or {len(names)} numbers, "
            f"for {', '.join(names)}"
        )
    parts = (f"{c:+g}*{name}" for c, name in zip(contrast, names, strict=True) if c)
    return Target(" ".join(parts).removeprefix("+"), contrast)


def _common(results: "Results", param: str) -> int:
    """Position of the one coefficient of a parameter that is one number."""
    design = results.model.design
    i = design.params.index(param)
    if not design.columns[i]:
        raise ValueError(f"{param} is held, and not estimated: it has no profile")
    if design.columns[i] != ("Intercept",) or results.model.observations.block.offset[i] is not None:
        raise ValueError(
            f"{param} is not one number: profile its coefficients, {', '.join(design.names[design.slices[i]])}"
        )
    return design.slices[i].start


def _of_text(what: str, design: "Design") -> Target:
    held = [h.text for h in design.held if h.text.startswith(f"{what} = ")]
    if held:
        raise ValueError(f"{held[0]} is held, and not estimated: it has no profile")
    try:
        contrasts, constants = constraints(design.names, what)
    except (PatsyError, ValueError) as error:
        raise ValueError(
            f"cannot profile {what!r}: it is neither a coefficient ({', '.join(design.names)}), nor a parameter "
            f"({', '.join(design.params)}), nor a linear function of coefficients ({str(error).splitlines()[0]})"
        ) from None
    if len(contrasts) != 1 or np.any(constants) or not np.any(contrasts):
        raise ValueError(
            f"{what!r} must be one linear function of coefficients without a constant, such as "
            f"'{design.names[0]} - {design.names[-1]}'"
        )
    return Target(what, np.asarray(contrasts[0], dtype=float))


def surface_of(results: "Results") -> Surface:
    """Coordinates of a fit that has a profile.

    Raises
    ------
    ValueError
        If it did not converge, or its likelihood has kinks.
    """
    if not results.converged:
        raise ValueError(
            f"the fit has no profile likelihood, as its estimate is not the maximum: {results.reason}. Get it to "
            "converge first"
        )
    if results.model.family.quantile_level is not None:
        raise ValueError(
            f"{results.model.family!r} has a density with a kink, so that its likelihood has no smooth profile: use "
            "conf_int(method='wald')"
        )
    if not results.params.size:
        raise ValueError("nothing was estimated: all coefficients are held")
    with np.errstate(all="ignore"):
        return results.surface()


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
    for found, value, name in zip(ends, values, ("lower", "upper"), strict=True):
        if found.why:
            # A link that falls makes of the lower end of the linear predictor the upper end of the parameter.
            other = {"lower": "upper", "upper": "lower"}[name]
            told = name if values[0] <= values[1] or np.isnan(values).any() else other
            texts.append(f"the {told} end of {line.target.name} is {value:.6g}: {found.why}")
    low, high = (values[1], values[0]) if values[0] > values[1] else values
    return (low, high), Said(tuple(texts), better), ends


def profile_intervals(results: "Results", alpha: float, targets: Sequence[Target]) -> Array:
    """Profile intervals of several functions, a row each; warnings tell of ends that are no roots."""
    surface = surface_of(results)
    rows, said = [], []
    for target in targets:
        found, words, _ = interval(surface.line(target), alpha)
        rows.append(found)
        said.append(words)
    _tell(said, results.model.design.names)
    return np.array(rows).reshape(-1, 2)


def profile_of(results: "Results", what: Any, alpha: float, points: int) -> Profile:
    """Profile one function of the coefficients; see ``Results.profile``."""
    target = as_target(results, what)
    if isinstance(points, bool) or not isinstance(points, int) or points < 2:
        raise ValueError(f"points must be a whole number of 2 or more, not {points!r}")
    line = surface_of(results).line(target)
    names = results.model.design.names
    (_, _), said, ends = interval(line, alpha)
    better = said.better
    furthest = 2 * half_width(alpha, None)
    found: list[Point] = []
    for side, reached in zip((-1, 1), ends, strict=True):
        goal = abs(reached.s) if np.isfinite(reached.s) else furthest
        try:
            with np.errstate(all="ignore"):
                half = line.along(side * np.linspace(0, goal, points // 2 + 1)[1:])
        except Beaten as beaten:
            better, half = (line.coefficients(beaten.v), beaten.value), []
        found = [*found, *half] if side > 0 else [*half[::-1], line.ray.top]
    said = Said(said.texts, better)
    _tell([said], names)
    distances = np.array([point.v[0] for point in found])
    drops = np.maximum([point.drop for point in found], 0.0)
    columns = {"value": line.value(distances), "root": line.direction * np.sign(distances) * np.sqrt(drops)}
    coefficients = np.array([line.coefficients(point.v) for point in found])
    table = pd.DataFrame(columns | {"llf": line.height - drops / 2})
    table = pd.concat([table, pd.DataFrame(coefficients, columns=list(names))], axis=1)
    return Profile(
        target.name,
        line.estimate,
        line.se,
        table,
        None if better is None else pd.Series(better[0], index=list(names)),
        (*line.surface.notes, *said.texts),
        line,
    )


def _tell(said: Sequence[Said], names: Sequence[str] = ()) -> None:
    """Warn of better optima, and of ends that are no roots."""
    better = next((words.better for words in said if words.better is not None), None)
    if better is not None:
        at = ", ".join(f"{name}={value:.6g}" for name, value in zip(names, better[0], strict=False))
        warn(
            f"the estimate is not the maximum: profiling found a larger log-likelihood, {better[1]:.8g}"
            + (f", at {at}" if at else "")
            + ". Ends on that side are NaN. Fit again from there, by start=",
            ConvergenceWarning,
        )
    texts = [text for words in said for text in words.texts]
    if texts:
        warn(
            "not every end of a profile interval is where the likelihood ratio says: " + "; ".join(texts), ModelWarning
        )
