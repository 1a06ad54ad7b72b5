"""Cross-validation: a model is fitted to some rows and scored on the others, in turn."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from patsy import EvalEnvironment
from statsmodels.iolib.table import SimpleTable
from statsmodels.iolib.tableformatting import fmt_params
from statsmodels.tools.sm_exceptions import ConvergenceWarning

from mlekit.families import GenericLikelihood, as_family
from mlekit.foldfits import Crew, Outcome, Task
from mlekit.folds import Fold
from mlekit.levels import observed
from mlekit.messages import warn
from mlekit.optimize.base import REMEDIES, Status
from mlekit.results import ResultsWrapper
from mlekit.scoring import as_scores
from mlekit.splitting import Plan, Split
from mlekit.subsets import Reading, read
from mlekit.summary import FitSummary
from mlekit.untrusted import scope_for

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SHOWN = 20  # folds that a summary lists one by one
_BESIDE = 2  # losses whose scores on both sides a summary has in one table


@dataclass(frozen=True, repr=False, eq=False)
class CrossValidation:
    """Scores of a model on rows that it was not fitted to.

    Made by :func:`cross_validate`.

    Attributes
    ----------
    scores : pandas.DataFrame
        One row per fold: repeat, fold, rows (held out), each score on the rows held out, each on the rows trained on
        (``train_mse``), and how the fit ended.
    better : dict
        For each score, whether ``"smaller"`` or ``"larger"`` is better.
    units : dict
        For each score, its unit in words.
    folds : tuple of Fold
        The rows of each fold, (train, test), counted from 0 in the data as given: ``splitter=cv.folds`` repeats them,
        and scikit-learn's ``cv=`` takes them.
    predictions : pandas.DataFrame
        One row per row held out, by its label: repeat, fold, row (position in the data), observed, predicted (the
        mean; the most probable level; the first parameter of a family without a mean).
    fits : tuple of ResultsWrapper
        The fit of each fold, if ``keep_fits=True``; else empty.
    seed : int or None
        Of the shuffle: the one that was given, or drawn.
    title : str
        The model in words.
    left_out : int
        How many rows of the data are in no fold, as they have missing values or no weight.
    """

    scores: pd.DataFrame
    better: Mapping[str, str]
    units: Mapping[str, str]
    folds: tuple[Fold, ...] = field(repr=False)
    predictions: pd.DataFrame
    fits: tuple[ResultsWrapper, ...]
    seed: int | None
    title: str
    left_out: int

    @property
    def _columns(self) -> list[str]:
        return [*self.better, *(f"train_{label}" for label in self.better)]

    @property
    def mean(self) -> pd.Series:
        """Plain mean of each score over the folds: each counts the same, however many rows it holds out."""
        return self.scores[self._columns].mean(skipna=False)

    @property
    def standard_error(self) -> pd.Series:
        """Rough standard error of each mean: the standard deviation over the folds over the root of their number.

        It is rough as folds share most of the rows that they are trained on: no unbiased estimator exists (Bengio and
        Grandvalet 2004, Journal of Machine Learning Research 5, 1089-1105). Repeats are averaged, so that more of them
        do not make it smaller; the folds of a splitter are repeats where they hold out every row as often.
        """
        return rough_error(self.scores[self._columns], self.scores["repeat"])

    def summary(self) -> FitSummary:
        """Return the scores of each fold with their mean and standard error, as text, HTML, LaTeX or CSV."""
        # Side by side as long as they fit on a page.
        held_out, trained_on = list(self.better), self._columns[len(self.better) :]
        wide = len(held_out) > _BESIDE
        tables = [self._table(columns) for columns in ([held_out, trained_on] if wide else [self._columns])]
        tables[0].title = "Cross-validation"  # not the model: a title goes into HTML as it is
        return FitSummary(tables, self.notes)

    def _table(self, columns: list[str]) -> SimpleTable:
        """Lay out some scores by fold, with their means and standard errors."""
        values, shown = self.scores[columns], self.scores
        extremes = {}
        if len(shown) > _SHOWN:
            shown, extremes = shown[:0], {"smallest": values.min(), "largest": values.max()}
        rows: dict[str, Any] = dict(zip(_places(shown), shown[columns].to_numpy(), strict=True))
        rows |= extremes | {"mean": self.mean[columns], "std err": self.standard_error[columns]}
        body = [[_figure(value) for value in line] for line in rows.values()]
        heads = columns
        if columns[0] in self.better:  # the number of rows is that of the rows held out
            sizes = [*map(str, shown["rows"]), *[""] * (len(rows) - len(shown))]
            heads = ["rows", *columns]
            body = [[size, *line] for size, line in zip(sizes, body, strict=True)]
        return SimpleTable(body, heads, list(rows), txt_fmt=fmt_params)

    @property
    def notes(self) -> list[str]:
        """What a reader must know to read the numbers."""
        repeats = int(self.scores["repeat"].max())
        plan = f"{len(self.scores) // repeats} folds" + (f", {repeats} times" if repeats > 1 else "")
        plan += f", shuffled with seed {self.seed}" if self.seed is not None else ""
        said = [f"Model: {self.title}."]
        said.append(f"Scores of the rows held out, and train_ of the rows trained on ({plan}).")
        for word in ("smaller", "larger"):
            labels = [label for label, better in self.better.items() if better == word]
            said += [f"{', '.join(labels)}: {word} is better."] if labels else []
        said.append("std err is rough: the folds share rows that they are trained on.")
        if self.left_out:
            rows = f"{self.left_out} row{'s' if self.left_out > 1 else ''}"
            said.append(f"{rows} with missing values or of weight zero left out.")
        return said + [f"WARNING: {text}." for text in self.troubles]

    @property
    def troubles(self) -> list[str]:
        """Folds whose fit is not the maximum, or whose score is not finite, in words; empty if all is well."""
        said = []
        failed = self.scores[[not Status[name.upper()].ok for name in self.scores["status"]]]
        if len(failed):
            by_status = failed.groupby("status", sort=False)
            how = [f"{_listed(_places(rows))}: {Status[str(name).upper()].value}" for name, rows in by_status]
            said.append(f"{len(failed)} of {len(self.scores)} fits are not at the maximum ({'; '.join(how)})")
        for label in self.better:
            infinite = self.scores[~np.isfinite(self.scores[label])]
            if len(infinite):
                said.append(f"{label} is not finite in {_listed(_places(infinite))}")
        return said

    def __str__(self) -> str:
        return str(self.summary())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return self.summary().as_html()

    def plot(self) -> "Figure":
        """Draw the scores of each fold on rows held out and rows trained on, and their means with standard errors.

        Examples
        --------
        >>> from mlekit.datasets import load_africa
        >>> cv = cross_validate("miltcoup ~ parties", load_africa(), "poisson", seed=1)
        >>> cv.plot().axes[0].get_title()
        'smaller is better'
        """
        from mlekit.plots.scores import plot_scores

        return plot_scores(self)


def rough_error(scores: pd.DataFrame, repeat: pd.Series) -> pd.Series:
    """Rough standard error of the mean of each column over the folds; see :attr:`CrossValidation.standard_error`."""
    each = scores.groupby(repeat)
    with np.errstate(invalid="ignore"):
        return (each.var() / each.count()).mean().pow(0.5)


def _figure(value: float) -> str:
    return f"{value:.5g}"


def _places(scores: pd.DataFrame) -> list[str]:
    """Names of folds."""
    return [_place(repeat, fold) for repeat, fold in zip(scores["repeat"], scores["fold"], strict=True)]


def _place(repeat: int, fold: int) -> str:
    return f"fold {fold}" if repeat == 1 else f"fold {fold} of repeat {repeat}"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")


def cross_validate(
    formula: str | Mapping[str, str],
    data: Any = None,
    family: str | type[GenericLikelihood] | GenericLikelihood = "normal",
    *,
    k: int = 5,
    loss: Any = "mse",
    shuffle: bool = True,
    stratify: Any = None,
    groups: Any = None,
    repeats: int = 1,
    seed: int | None = None,
    splitter: Any = None,
    n_jobs: int = 1,
    keep_fits: bool = False,
    progress: bool = False,
    weights: Any = None,
    offset: Any = None,
    exposure: Any = None,
    fixed: Mapping[str, float] | None = None,
    missing: str = "drop",
    method: str = "auto",
    start: Any = None,
    maxiter: int | None = None,
    tol: float | None = None,
    env: int | EvalEnvironment = 0,
    trusted: bool = True,
) -> CrossValidation:
    """Fit a model to all folds but one, score it on that one, and do so for each.

    Parameters
    ----------
    formula, data, family
        As for :func:`mlekit.fit`. What a formula learns from rows (levels, the centre in ``center(x)``, spline knots)
        each fold learns from the rows that it is trained on. What it only computes is computed once, on all rows: a
        lag stays a lag, and ``x - x.mean()`` has the mean of all rows (``center(x)`` has not). The response is the
        same variable in all folds.
    k : int
        Number of folds; their sizes differ by at most one row, unless groups are kept together.
    loss : str, loss, or list of them
        Losses of the predicted mean (:data:`mlekit.losses.LOSSES`: ``"mse"``, ``"mae"``, ``"cross_entropy"``, ...; a
        loss that is the family's own, as ``Pinball(0.9)`` is of ``AsymmetricLaplace(q=0.9)``, is of its first
        parameter),
        ``"deviance"`` (mean unit deviance), and ``"log_score"``: the mean log-density of the rows held out, with all
        the parameters of the family (``"nll"`` is minus that). Larger is better for ``"log_score"``, smaller for all
        others.
    shuffle : bool
        Whether the rows are shuffled before they are cut.
    stratify : True, str or array, optional
        Give each fold the same share of every class: True for those of a 0/1 response, else a column or an array.
    groups : str or array, optional
        A column or an array of labels; rows of one group are never on both sides.
    repeats : int
        How often all is done, with a new shuffle each time.
    seed : int, optional
        Of the shuffle. None draws one, and the result says which.
    splitter : object or iterable, optional
        Any splitter of ``sklearn.model_selection``: it is handed the rows in use, the response and the groups. Or pairs
        of index arrays (train, test) that count the rows of the data as given from 0. In place of k, shuffle, stratify,
        repeats and seed.
    n_jobs : int
        How many folds to fit at a time, each in a process of joblib's; -1 for one per processor. The result is the
        same. It pays where a fit takes much longer than to send its rows; on many rows one fit keeps all cores busy.
    keep_fits : bool
        Whether to keep the fit of each fold, with its rows.
    progress : bool
        Whether to show a bar when it takes more than a second.
    weights, offset, exposure, fixed, missing, method, start, maxiter, tol
        As for :func:`mlekit.fit`. A row with a weight of 3 is three equal rows, all on one side.
    env : int or patsy.EvalEnvironment
        How many calls up the variables are that a formula may use beside the data, or their scope itself.
    trusted : bool
        False for a formula that a stranger wrote; see :func:`mlekit.fit`.

    Returns
    -------
    CrossValidation

    Raises
    ------
    FormulaError
        If the formula cannot be read or does not fit the data, or rows held out have a level that those trained on
        have not; the message names the fold.
    ValueError
        If the rows cannot be split as asked, a splitter divides a group, or a loss is unknown or does not suit the
        family.
    ImportError
        If n_jobs or progress need a package that is not installed.

    Warns
    -----
    statsmodels.tools.sm_exceptions.ConvergenceWarning
        If the fit of a fold is not the maximum: once, with the folds. Its scores are in the table all the same.

    Notes
    -----
    Rows with missing values are left out before anything is split, by one mask over everything, and counted; folds
    number the rows of the data as given.

    Examples
    --------
    >>> from mlekit.datasets import load_africa
    >>> cv = cross_validate("miltcoup ~ parties", load_africa(), "poisson", loss=["mse", "log_score"], seed=1)
    >>> cv.scores["rows"].tolist()
    [8, 7, 7, 7, 7]
    >>> cv.mean.index.tolist()
    ['mse', 'log_score', 'train_mse', 'train_log_score']
    """
    scope = scope_for(env, trusted)
    chosen = as_family(family)
    plan = Plan(k, shuffle, stratify, groups, repeats, seed, splitter)
    crew = Crew(n_jobs, progress)
    options = {"method": method, "start": start, "maxiter": maxiter, "tol": tol}
    given = {"weights": weights, "offset": offset, "exposure": exposure, "fixed": fixed, "missing": missing}
    reading = read(formula, data, chosen, scope, **given)
    task = Task(as_scores(loss, reading.model.family), options, keep_fits)
    found = validate(reading, plan.split(reading, data, scope), task, crew)
    warn_of(found)
    return found


def validate(reading: Reading, split: Split, task: Task, crew: Crew) -> CrossValidation:
    """Cross-validate a model whose rows have been read and split."""
    folds = dict(zip((_place(*number) for number in split.numbers), split.folds, strict=True))
    outcomes = crew.outcomes(reading, folds, task)
    rows = [
        {"repeat": repeat, "fold": i, "rows": fold.test.size, **found.values, "status": found.status.name.lower()}
        for (repeat, i), fold, found in zip(split.numbers, split.folds, outcomes, strict=True)
    ]
    design, response = reading.model.design, reading.model.endog_names
    model = ", ".join(text for text in design.formulas.values() if text != "~ 1")
    success = "" if design.success is None else f" ({response} = {design.success} counts as 1)"
    return CrossValidation(
        scores=pd.DataFrame(rows),
        better={score.label: score.better for score in task.scores},
        units={score.label: score.unit.replace("of y", f"of {response}") for score in task.scores},
        folds=tuple(Fold(reading.positions[train], reading.positions[test]) for train, test in split.folds),
        predictions=_predictions(reading, split, outcomes),
        fits=tuple(each.fit for each in outcomes if each.fit is not None),
        seed=split.seed,
        title=f"{reading.model.family!r}: {model}{success}",
        left_out=reading.total - len(reading),
    )


def warn_of(found: CrossValidation, which: str = "") -> None:
    """Warn of fits that are not the maximum, and of scores that are not finite."""
    if not found.troubles:
        return
    statuses = [Status[name.upper()] for name in found.scores["status"].unique()]
    advice = [REMEDIES[status] for status in statuses if status in REMEDIES]
    if {Status.DIVERGING, Status.INFINITE} & set(statuses):
        advice.append("stratify= by a class that is rare, or fewer folds, leave more of it to train on")
    said = f" What to do: {'; '.join(advice)}." if advice else ""
    warn(f"{which}{'; '.join(found.troubles)}. The scores are in the table all the same.{said}", ConvergenceWarning)


def _predictions(reading: Reading, split: Split, outcomes: Sequence[Outcome]) -> pd.DataFrame:
    rows = np.concatenate([fold.test for fold in split.folds])
    sizes = [fold.test.size for fold in split.folds]
    repeat, fold = np.repeat(np.array(split.numbers), sizes, axis=0).T
    columns = {
        "repeat": repeat,
        "fold": fold,
        "row": reading.positions[rows],
        "observed": observed(reading.model.family, reading.y[rows]),
        "predicted": np.concatenate([found.predicted for found in outcomes]),
    }
    return pd.DataFrame(columns, index=reading.labels[rows]).sort_values(["repeat", "row"], kind="stable")
