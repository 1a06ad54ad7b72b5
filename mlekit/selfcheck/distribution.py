"""What a family says of its distribution, compared with integrals, or sums, of its density."""

import inspect
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from mlekit.families.numeric import log_probabilities
from mlekit.links import Array
from mlekit.selfcheck.case import Case, Reference
from mlekit.selfcheck.expectations import Expectations, Functions, expectations
from mlekit.selfcheck.record import Line

_TOLERANCE, _STANDARD_ERRORS = 1e-6, 5.0
_SHARES = np.array([0.001, 0.1, 0.5, 0.9, 0.999])
_DECILES = np.arange(1, 10) / 10
_DRAWS = 10_000
_MOST_SETS = 50
_SIZES = 10.0 ** np.arange(-3, 3.5, 0.5)


def distribution_lines(case: Case, reference: Reference, discrete: bool) -> Iterator[Line]:
    """Compare everything at each distinct set of parameters; on each thing, the line that disagrees most."""
    sets = np.unique(np.stack(case.theta), axis=1).T
    if len(sets) > _MOST_SETS:
        raise ValueError(
            f"check integrates the density at every distinct set of parameters, and {len(sets)} are too many: "
            f"give {_MOST_SETS} or fewer, as in check(y[:5], ...), or one number for each parameter"
        )
    found: dict[str, list[Line]] = {}
    for theta in sets:
        for line in _Distribution(case, reference, discrete, theta).lines():
            found.setdefault(line.what, []).append(line)
    yield from map(_worst, found.values())


def _worst(lines: list[Line]) -> Line:
    """The line that disagrees most; one without a reference comes before those that agree."""
    rank = {False: 2, None: 1, True: 0}
    return max(lines, key=lambda line: (rank[line.agrees], line.deviation / line.tolerance))


class _Distribution(NamedTuple):
    """A family at one set of parameters."""

    case: Case
    reference: Reference
    discrete: bool
    theta: Array

    def lines(self) -> Iterator[Line]:
        """Compare all that the family defines."""
        family = self.case.family
        y = np.unique(self.case.y[(self.theta == np.stack(self.case.theta).T).all(axis=1)])
        yield self._support_line(y)
        quantiles = self._quantiles()
        draws, deciles = self._draws()
        # In whole numbers, a quantile is the first at which the share is reached.
        points = [y, quantiles, quantiles - 1, deciles]
        found = self._expectations(np.concatenate([y, quantiles, deciles]), np.concatenate(points))
        below = np.split(found.below / found.total, np.cumsum([len(p) for p in points[:-1]]))
        # How much of the distribution the last bit of a response is worth: at a thousandth, nothing can be said.
        slack = 8 * float(np.spacing(abs(found.centre)) / _scale(found))
        if slack > 1e-3:
            found, below = found.unknown(), [part * np.nan for part in below]
        yield from self._moment_lines(found, slack)
        yield from self._information_lines(found, slack)
        if self.case.own("cdf"):
            ours = np.asarray(family.cdf(y, *self._rows(y.size)))
            row = int(np.argmax(np.abs(ours - below[0])))
            yield self._line("cdf", ours[row], below[0][row], 1.0, slack, y=y[row])
        yield from self._log_lines(y, slack)
        if quantiles.size:
            yield self._quantile_line(below[1], below[2] if self.discrete else below[1], slack)
        if draws.size:
            yield from self._draw_lines(draws, deciles, below[3])

    # ------------------------------------------------------------ what the family gives

    def _rows(self, n: int) -> list[Array]:
        return [np.full(n, value) for value in self.theta]

    def _density(self, y: Array) -> Array:
        inside = np.asarray(self.case.family.in_support(y))
        value = np.full(y.shape, -np.inf)
        if inside.any():
            value[inside] = self.case.family.logpdf(y[inside], *self._rows(int(inside.sum())))
        return value

    def _information(self) -> Any:
        return self.case.family.information(*self.case.predictors(self._rows(1)))

    def _scores(self, y: Array) -> Array:
        """Scores in the linear predictors."""
        scores: Array = self.reference.linear(self.case, y, *self.case.predictors(self._rows(y.size)), order=1).grad
        return scores

    def _expectations(self, y: Array, points: Array) -> Expectations:
        # Without an information there is nothing to compare their products with.
        scores = Functions(0 if self._information() is None else len(self.theta), self._scores)
        return expectations(self._density, np.append(y, self.theta), points, scores, self.discrete)

    def _quantiles(self) -> Array:
        if not self.case.own("ppf"):
            return np.zeros(0)
        return np.asarray(self.case.family.ppf(_SHARES, *self._rows(_SHARES.size)), dtype=float)

    def _draws(self) -> tuple[Array, Array]:
        """Draw responses, by whatever names ``rvs`` takes a size and a source of randomness; and their deciles."""
        if not self.case.own("rvs"):
            return np.zeros(0), np.zeros(0)
        method, rows = self.case.family.rvs, dict(zip(self.case.family.params, self._rows(_DRAWS), strict=True))
        names = inspect.signature(method).parameters
        generator = np.random.default_rng(0)
        options = {"size": _DRAWS, "seed": 0, "rng": generator, "random_state": generator}
        given = {name: option for name, option in options.items() if name in names}
        by_name = set(rows) <= set(names)
        draws = np.asarray(method(**rows, **given) if by_name else method(*rows.values(), **given), dtype=float)
        if draws.shape != (_DRAWS,):
            raise ValueError(
                f"{type(self.case.family).__name__}.rvs returned shape {draws.shape} for {_DRAWS} rows of parameters: "
                "it must draw one response per row"
            )
        return draws, np.quantile(draws, _DECILES, method="inverted_cdf")

    # ------------------------------------------------------------ lines

    def _line(self, what: str, ours: Any, wanted: Any, scale: float, slack: float = 0.0, **first: Any) -> Line:
        ours, wanted = float(np.ravel(ours)[0]), float(wanted)
        gap = 0.0 if ours == wanted else abs(ours - wanted) / np.float64(scale)
        deviation = np.inf if np.isnan(gap) else float(gap)
        by = "sum" if self.discrete else "integral"
        return Line(what, self.case.named(self.theta, **first), ours, wanted, deviation, _TOLERANCE + slack, by)

    def _support_line(self, y: Array) -> Line:
        """Where a response is possible, its log-density is a number, or infinite."""
        around = np.concatenate(
            [np.add.outer(np.append(y, self.theta), np.append(-_SIZES, _SIZES)).ravel(), _SIZES, -_SIZES]
        )
        tried = np.unique(np.concatenate([y, around, np.rint(around)]))
        tried = tried[np.asarray(self.case.family.in_support(tried))]
        lost = np.isnan(self._density(tried))
        first = {"y": tried[lost][0]} if lost.any() else {}
        ours, wanted = tried.size, tried.size - lost.sum()
        return self._line("in_support", ours, wanted, 1.0, **first)._replace(by="responses with a log-density")

    def _moment_lines(self, found: Expectations, slack: float) -> Iterator[Line]:
        family, scale = self.case.family, _scale(found)
        one = np.nan if np.isnan(found.total) else 1.0
        yield self._line("total probability", found.total, one, 1.0, slack)
        mean, variance = (getattr(family, name)(*self._rows(1)) for name in ("mean", "variance"))
        if mean is not None:
            yield self._line("mean", mean, found.mean, scale, slack)
        if variance is not None:
            yield self._line("variance", variance, found.variance, scale**2, slack)

    def _information_lines(self, found: Expectations, slack: float) -> Iterator[Line]:
        information, names = self._information(), list(self.case.family.params)
        if information is None:
            return
        expected = found.products / found.total
        size = np.sqrt(np.diag(expected))
        slack += 0.0 if self.reference.exact else 1e-5
        for i, name in enumerate(names):
            for j, other in enumerate(names[i:], i):
                what = f"information: {name}" + (f", {other}" if i != j else "")
                yield self._line(what, information[i, j], expected[i, j], float(size[i] * size[j]), slack)

    def _log_lines(self, y: Array, slack: float) -> Iterator[Line]:
        """Logarithms of probabilities, as the tails are: relative to the probability, or to a logarithm near 0."""
        family = self.case.family
        own = [name for name in ("logcdf", "logsf") if self.case.own(name)]
        if not own or self.discrete != family.discrete:
            return
        wanted = dict(
            zip(("logcdf", "logsf"), log_probabilities(family, y, tuple(self._rows(y.size)), True), strict=True)
        )
        for name in own:
            ours, log = np.asarray(getattr(family, name)(y, *self._rows(y.size))), wanted[name]
            size = np.clip(np.abs(log), 1e-300, np.maximum(1.0, 1e-3 * np.abs(log)))
            gap = np.where(ours == log, 0.0, np.abs(ours - log) / size)
            row = int(np.argmax(np.where(np.isnan(gap), np.where(np.isnan(log), -1.0, np.inf), gap)))
            yield self._line(name, ours[row], log[row], float(size[row]), slack, y=y[row])

    def _quantile_line(self, reached: Array, before: Array, slack: float) -> Line:
        """Shares of the distribution up to the quantiles; of a discrete one, less than the share before them."""
        gap = np.where(np.isnan(reached), np.inf, np.maximum(_SHARES - reached, before - _SHARES))
        row = int(np.argmax(gap))
        wanted = reached[row] if gap[row] > 0 else _SHARES[row]
        line = self._line("ppf: share below", _SHARES[row], wanted, 1.0, slack, share=_SHARES[row])
        return line._replace(deviation=max(float(gap[row]), 0.0))

    def _draw_lines(self, draws: Array, deciles: Array, below: Array) -> Iterator[Line]:
        possible = np.asarray(self.case.family.in_support(draws))
        first = {} if possible.all() else {"y": draws[~possible][0]}
        yield self._line("rvs: share possible", possible.mean(), 1.0, 1.0, **first)._replace(by=f"{_DRAWS} draws")
        shares = (draws[:, None] <= deciles).mean(axis=0)
        errors = np.abs(shares - below) / np.sqrt(np.maximum(below * (1 - below), 1 / _DRAWS) / _DRAWS)
        row = int(np.argmax(errors))
        line = self._line("rvs: share below", shares[row], below[row], 1.0, y=deciles[row])
        by = f"{line.by}, in standard errors of {_DRAWS} draws"
        yield line._replace(deviation=float(errors[row]), tolerance=_STANDARD_ERRORS, by=by)


def _scale(found: Expectations) -> float:
    """Standard deviation, or the size of the centre if there is none."""
    scale = np.sqrt(found.variance)
    return float(scale) if 0 < scale < np.inf else max(abs(found.centre), 1e-300)
