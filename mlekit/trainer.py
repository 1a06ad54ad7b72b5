"""Train a model by gradient descent, with the numbers that PyTorch's loops give, and a history of every epoch."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from patsy import EvalEnvironment
from statsmodels.tools.sm_exceptions import ConvergenceWarning

from mlekit.families import GenericLikelihood
from mlekit.fitting import in_order
from mlekit.links import Array
from mlekit.losses import Loss
from mlekit.mean_loss import Joint, LossFamily, MeanLoss, height, loss_and_family, mean_loss
from mlekit.messages import warn
from mlekit.model import Model
from mlekit.optimize.base import Curvature, StartError
from mlekit.optimize.descent import Epoch, descend
from mlekit.progress import bar, tqdm_class
from mlekit.schedule import Schedule
from mlekit.training import EpochEnd, Training, TrainingStatus
from mlekit.untrusted import scope_for

# What ends a training before the last epoch, unless a person does.
_NEAR, _NOT_FINITE = "near the minimum", "not finite"


def train(
    formula: str | Mapping[str, str],
    data: Any = None,
    loss: Any = None,
    *,
    family: str | type[GenericLikelihood] | GenericLikelihood | None = None,
    optimizer: str = "gd",
    lr: float = 0.1,
    epochs: int = 100,
    batch_size: int | None = None,
    shuffle: bool = True,
    seed: int | None = None,
    start: Any = None,
    momentum: float = 0.0,
    tol: float | None = None,
    callback: Callable[[EpochEnd], Any] | None = None,
    progress: bool = False,
    env: int | EvalEnvironment = 0,
    trusted: bool = True,
) -> Training:
    """Train a model by gradient descent on a loss.

    The steps are PyTorch's: the gradient of ``loss.mean()`` over a batch, the updates of ``torch.optim.SGD`` and
    ``torch.optim.Adam``, the batches of a ``DataLoader`` with the short last one. The columns of the formula go in as
    they are, with no scaling, so that the numbers are those of ``torch.nn.Linear`` in float64.

    Parameters
    ----------
    formula, data
        As for :func:`mlekit.fit`. Rows with missing values are left out, and counted in the summary.
    loss : str, class or instance, optional
        ``"mse"``, ``"rmse"``, ``"mae"``, ``"huber"``, ``"pinball"``, ``"cross_entropy"``, ``"nll"``, or one of
        :mod:`mlekit.losses` with its schedule. By default the family's negative log-likelihood, or ``"mse"`` without a
        family.
    family : str, class or instance, optional
        Its link makes a prediction, the mean, of the linear predictor; without one, the prediction is the linear
        predictor (for the cross-entropy, the logistic function of it). With ``loss="nll"`` all of its parameters are
        trained. A loss that was made, ``NegativeLogLikelihood("normal", sigma=10.0)``, means in a training what it
        means elsewhere: it trains the first parameter and holds the others, at 1 if nothing is said.
    optimizer : str
        ``"gd"`` (one step per epoch, on all rows), ``"sgd"``, ``"nesterov"`` or ``"adam"`` (a step per batch).
    lr : float
        Learning rate.
    epochs : int
        Passes over the rows.
    batch_size : int, optional
        Rows of a batch; None for all.
    shuffle : bool
        Draw a new order of the rows for each epoch, by ``rng.permutation(n)`` with
        ``rng = numpy.random.default_rng(seed)``; the batches are cut from it in turn.
    seed : int, optional
        Of the order of the rows. By default one is drawn, and kept in ``training.seed``; that is None where the rows
        keep their order, as they do without batches, and nothing is drawn.
    start : dict or array, optional
        Coefficients to start from (default zero).
    momentum : float
        Of ``"gd"``, ``"sgd"`` and ``"nesterov"``: from 0 to below 1.
    tol : float, optional
        Stop where the mean loss is no more than this above its minimum, in the unit of the loss, as estimated by slope
        and curvature there (``g' H^-1 g / 2``). By default all epochs are run.
    callback : callable, optional
        Takes each :class:`~mlekit.training.EpochEnd`: (epoch, loss, gradient, params). If it returns True or raises
        StopIteration, training stops there. An error of its own goes on to the caller, with the training so far as its
        attribute ``training``.
    progress : bool
        Show a bar if the training takes longer than a second; needs ``pip install "mlekit[progress]"``.
    env : int or patsy.EvalEnvironment
        How many calls up the variables are that a formula may use beside the data, or their scope itself.
    trusted : bool
        False for a formula that a stranger wrote; see :func:`mlekit.fit`.

    Returns
    -------
    Training
        ``params``, ``history``, ``status``, ``predict()``, ``plot()``, ``to_fit()``. Ctrl-C ends a training early, with
        all that it has learned.

    Raises
    ------
    FormulaError
        If the formula cannot be read or does not fit the data.
    ValueError
        If a setting is impossible, a name is unknown, the response does not suit the loss, or the loss is not finite at
        the start.

    Warns
    -----
    statsmodels.tools.sm_exceptions.ConvergenceWarning
        If the loss ends larger than it began, or ``tol`` is not reached.

    Examples
    --------
    The slope through the origin of the heights of four people on their weights, by three steps from 0.1:

    >>> data = {"height": [158, 160, 165, 168], "weight": [48, 53, 54, 60]}
    >>> training = train("height ~ weight - 1", data, lr=1e-4, epochs=3, start=[0.1])
    >>> training.history.round(4)
       epoch        loss   gradient  weight
    0      1  24779.6225  16945.550  1.7946
    1      2   4412.6728   7092.560  2.5038
    2      3    844.7070   2968.591  2.8007
    >>> training.to_fit().params.round(4).to_dict()
    {'weight': 3.0144, 'sigma_Intercept': 2.2324}
    """
    schedule = Schedule(optimizer, lr, epochs, momentum, batch_size, shuffle, seed, tol)
    if callback is not None and not callable(callback):
        raise TypeError(f"callback must be a function of one argument, not {callback!r}")
    if progress:
        tqdm_class()
    wanted, carrier = loss_and_family(loss, family)
    model = Model.from_formula(formula, data, carrier, env=scope_for(env, trusted))
    if isinstance(wanted, Joint):
        wanted = Joint(model.family)  # which has its levels from the response
    objective, trained = mean_loss(wanted, model.family, model.design, model.observations, own=family is not None)
    if isinstance(formula, Mapping) and not set(formula) <= set(trained):
        raise ValueError(
            f"{wanted!r} trains {', '.join(trained)} alone: leave out the formula of "
            f"{', '.join(name for name in formula if name not in trained)}, or train with loss='nll'"
        )
    schedule = schedule.for_rows(objective.likelihood.rows)
    names = pd.Index(list(itertools.chain.from_iterable(trained.values())))
    if not len(names):
        raise ValueError(f"the formula {formula!r} has no columns, so there is nothing to train")
    begin = np.zeros(len(names)) if start is None else in_order(start, tuple(names))
    initial = _initial_loss(objective, wanted, model, begin, names)

    log: list[_Line] = []

    def result(ended: str) -> Training:
        return _training(log, ended, names, begin, initial, wanted, schedule, model, objective)

    try:
        ended = _run(log, objective, schedule, begin, names, callback, progress)
    except Exception as error:
        error.training = result(f"by {type(error).__name__}")  # type: ignore[attr-defined]
        error.add_note("The training up to here is the attribute `training` of this error.")
        raise
    training = result(ended)
    missed = training.status is TrainingStatus.FINISHED and (tol is not None or _rises(training))
    if missed or training.status is TrainingStatus.DIVERGED:
        warn(training.reason, ConvergenceWarning)
    return training


def _rises(training: Training) -> bool:
    """Whether the loss is above the first, or above an earlier one with a learning rate that explains it."""
    earlier = float(training.history["loss"].min())
    return training.grew_from(training.initial_loss) or (training.grew_from(earlier) and training.too_fast)


def _initial_loss(objective: MeanLoss, loss: Loss, model: Model, begin: Array, names: pd.Index) -> float:
    """Mean loss at the start, which has to be finite, and 0 only where there is no slope."""
    with np.errstate(all="ignore"):
        initial = objective.value(begin)
    where = ", ".join(f"{name} = {value:g}" for name, value in zip(names[:5], begin, strict=False))
    where += ", ..." if len(names) > 5 else ""
    of_predictions = isinstance(objective.likelihood.family, LossFamily)
    if not np.isfinite(initial):
        raise StartError(
            f"the loss is not finite at the start ({where}): "
            + (_TOO_LARGE.format(loss, names[0]) if of_predictions else _OUTSIDE.format(model.family, names[0]))
        )
    if of_predictions and initial == 0 and objective.likelihood.evaluate(begin, 1).gradient.any():
        raise StartError(
            f"the loss at the start ({where}) is too small for floating point, and 0 stands for it: measure the "
            "response in a smaller unit, so that its numbers are larger"
        )
    return initial


_TOO_LARGE = (
    "{0!r} is not defined for its predictions, or the errors are too large for floating point. Give other coefficients "
    "by start={{{1!r}: 1.0, ...}}, or measure the response in a larger unit, so that its numbers are smaller"
)
_OUTSIDE = (
    "{0!r} is not defined there, or the response is too large. Give coefficients inside the domain, as in "
    "start={{{1!r}: 1.0, ...}}, or choose a link such as log or logit, whose parameter cannot leave its domain"
)


# ------------------------------------------------------------------------------------ the loop


class _Line(NamedTuple):
    """What is kept of an epoch: not its gradient, which is as large as all coefficients, but the length of that."""

    number: int
    loss: float
    slope: float
    beta: Array


def _run(
    log: list[_Line],
    objective: MeanLoss,
    schedule: Schedule,
    begin: Array,
    names: pd.Index,
    callback: Callable[[EpochEnd], Any] | None,
    progress: bool,
) -> str:
    """Run the epochs into the log, and say what ended them before the last."""
    near = _Near(objective, schedule.tol)
    plan = schedule.plan(objective)
    try:
        with bar(progress, schedule.epochs, "epoch") as step:
            for epoch in descend(plan, begin, schedule.rule, schedule.lr, schedule.momentum):
                line = _Line(epoch.number, epoch.loss + objective.constant, epoch.slope, epoch.beta)
                log.append(line)
                step(f"loss {line.loss:.6g}")
                stop = callback is not None and _stops(callback, line, names)
                if not (np.isfinite(line.loss) and np.isfinite(line.beta).all()):
                    return _NOT_FINITE
                if stop and epoch.number < schedule.epochs:
                    return "by the callback"
                if near(epoch):
                    return _NEAR
    except KeyboardInterrupt:
        return "from the keyboard"
    return ""


def _stops(callback: Callable[[EpochEnd], Any], line: _Line, names: pd.Index) -> bool:
    """Tell the callback, and return whether it wants to stop."""
    try:
        answer = callback(EpochEnd(line.number, line.loss, line.slope, pd.Series(line.beta, index=names)))
    except StopIteration:
        return True
    return isinstance(answer, bool | np.bool_) and bool(answer)


class _Near:
    """Whether the loss is within ``tol`` of its minimum."""

    def __init__(self, objective: MeanLoss, tol: float | None) -> None:
        self.objective, self.tol = objective, tol
        self.curvature: Curvature | None = None

    def __call__(self, epoch: Epoch) -> bool:
        if self.tol is None:
            return False
        # An old curvature and the gradient of the epoch tell whether it is worth a pass over the rows for new ones;
        # where there is no curvature, only epochs 1, 2, 4, 8 ... are.
        if self.curvature is None:
            if epoch.number & (epoch.number - 1):
                return False
        elif height(epoch.gradient, self.curvature) > self.tol:
            return False
        with np.errstate(all="ignore"):
            self.curvature = self.objective.curvature(epoch.beta)
            return (
                self.curvature is not None and height(self.objective.gradient(epoch.beta), self.curvature) <= self.tol
            )


# ------------------------------------------------------------------------------------ the result


def _training(
    log: Sequence[_Line],
    ended: str,
    names: pd.Index,
    begin: Array,
    initial: float,
    loss: Loss,
    schedule: Schedule,
    model: Model,
    objective: MeanLoss,
) -> Training:
    params, final = begin, initial
    with np.errstate(all="ignore"):
        for line in reversed(log):
            value = objective.value(line.beta) if np.isfinite(line.beta).all() else np.inf
            if np.isfinite(value):
                params, final = line.beta, value
                break
    status = {"": TrainingStatus.FINISHED, _NEAR: TrainingStatus.CONVERGED, _NOT_FINITE: TrainingStatus.DIVERGED}
    training = Training(
        pd.Series(params, index=names),
        pd.Series(begin, index=names),
        _history(log, names),
        loss,
        initial,
        final,
        status.get(ended, TrainingStatus.STOPPED),
        schedule,
        model,
        objective,
        ended,
    )
    if not ended and training.grew_from(initial) and training.too_fast:
        return replace(training, status=TrainingStatus.DIVERGED)
    return training


def _history(log: Sequence[_Line], names: pd.Index) -> pd.DataFrame:
    numbers, losses, slopes, betas = zip(*log, strict=True) if log else ((), (), (), ())
    columns: dict[str, Any] = {"epoch": numbers, "loss": losses, "gradient": slopes}
    for name, values in zip(names, np.reshape(betas, (len(log), len(names))).T, strict=True):
        columns[f"{name} (coefficient)" if name in columns else name] = values
    return pd.DataFrame(columns)
