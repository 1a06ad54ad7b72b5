"""A finished training: coefficients, history, and what to make of how it ended."""

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from statsmodels.iolib.table import SimpleTable
from statsmodels.iolib.tableformatting import fmt_params

from mlekit.endings import TrainingStatus, details
from mlekit.links import Array
from mlekit.losses import RMSE, Loss, NegativeLogLikelihood
from mlekit.mean_loss import LossFamily, MeanLoss, straight
from mlekit.messages import counted
from mlekit.model import Model
from mlekit.predict import predicted
from mlekit.results import ResultsWrapper
from mlekit.schedule import Schedule
from mlekit.summary import FitSummary

if TYPE_CHECKING:
    from matplotlib.figure import Figure


# A loss that is this much larger, relative to its size, has grown.
_GROWN = 1e-12


class EpochEnd(NamedTuple):
    """What a callback is told after each epoch: its number, loss, length of the gradient, and the coefficients."""

    epoch: int
    loss: float
    gradient: float
    params: pd.Series


@dataclass(frozen=True, repr=False, eq=False)
class Training:
    """A model that was trained: made by :func:`mlekit.train`.

    Attributes
    ----------
    params, start : pandas.Series
        Coefficients at the end and at the start. After a divergence, the last that are finite.
    history : pandas.DataFrame
        A row per epoch: epoch, from 1; loss, the mean over the rows of their loss before the step that they led to (for
        RMSE, the mean over the batches of theirs, weighted by rows); gradient, the length of the mean gradient,
        likewise; and a column per coefficient, after the epoch (``x (coefficient)`` where a coefficient is called
        epoch, loss or gradient).
    loss : Loss
        The loss that was trained on; ``loss.unit`` says what it is measured in.
    initial_loss, final_loss : float
        Mean loss of all rows at ``start`` and at ``params``.
    status : TrainingStatus
        How it ended; ``reason`` has the figures, and what to do.
    schedule : Schedule
        Optimiser, learning rate, momentum, batches, seed.
    model : Model
        The family, the design and the rows.
    """

    params: pd.Series
    start: pd.Series
    history: pd.DataFrame
    loss: Loss
    initial_loss: float
    final_loss: float
    status: TrainingStatus
    schedule: Schedule
    model: Model
    objective: MeanLoss = field(repr=False)
    ended: str = field(repr=False)

    # ------------------------------------------------------------------------------------ how it went

    @property
    def lr(self) -> float:
        """The learning rate."""
        return self.schedule.lr

    @property
    def seed(self) -> int | None:
        """Seed of the order of the rows, given or drawn; None where they kept their order."""
        return self.schedule.seed

    @cached_property
    def unit(self) -> str:
        """Unit of the loss, in words."""
        y = self.model.design.response
        known = {
            "that of y": f"unit of {y}",
            "that of y squared": f"square of the unit of {y}",
            "none (nats)": "nats per row",
        }
        return known.get(self.loss.unit, self.loss.unit)

    @property
    def nobs(self) -> int:
        """Number of rows trained on."""
        return self.objective.likelihood.rows

    @property
    def path(self) -> Array:
        """Coefficients at the start and after each epoch, a row each."""
        return np.vstack([self.start, self.history.iloc[:, len(EpochEnd._fields) - 1 :]])

    @cached_property
    def lowest(self) -> Array:
        """Coefficients with the lowest loss, of those on the path, as far as the history tells.

        With batches the loss of an epoch is that along its steps.
        """
        points = self.path
        losses = [self.initial_loss, *self.history["loss"][1:], self.final_loss][: len(points)]
        usable = np.isfinite(losses) & np.isfinite(points).all(axis=1)
        return points[np.argmin(np.where(usable, losses, np.inf))]

    @cached_property
    def largest_lr(self) -> float | None:
        """Largest stable learning rate: with a larger one, steps across the steepest valley grow.

        ``2 / c`` with c the largest curvature (eigenvalue of the Hessian) of the mean loss of all rows where it was
        lowest; with a momentum m ``2 (1 + m) / c``, and ``2 (1 + m) / (1 + 2 m) / c`` for Nesterov's. A loss that is
        not a quadratic may bend more elsewhere, and a batch more than all rows. None for adam, whose steps have the
        length lr whatever the curvature, and for a loss without curvature, such as MAE.
        """
        rule = self.schedule.rule
        curvature = None if rule.stability is None else self.objective.largest_curvature(self.lowest)
        if curvature is None or rule.stability is None:
            return None
        return rule.stability(self.schedule.momentum) / curvature

    @property
    def too_fast(self) -> bool:
        """Whether ``lr`` is above ``largest_lr``."""
        return self.largest_lr is not None and self.lr > self.largest_lr

    def grew_from(self, loss: float) -> bool:
        """Whether ``final_loss`` is larger than a loss before, by more than rounding."""
        return self.final_loss - loss > self.objective.negligible(loss, _GROWN)

    @cached_property
    def above_minimum(self) -> float | None:
        """How far ``final_loss`` is above the minimum of the loss, estimated by its slope and curvature at ``params``.

        ``g' H^-1 g / 2``, exact for a quadratic; None where the curvature is not that of a minimum.
        """
        return self.objective.above_minimum(self.params.to_numpy())

    @property
    def reason(self) -> str:
        """The status in a sentence, with its figures and what to do about it."""
        return self.status.value + details(self)

    # ------------------------------------------------------------------------------------ what to do with it

    def predict(
        self, new: Any = None, what: str = "prediction", *, offset: Any = None, exposure: Any = None
    ) -> pd.Series:
        """Predict on the rows of the training, or on new ones.

        Parameters
        ----------
        new : table, optional
            New rows with the columns of the formula. Rows with missing values are kept in place as NaN.
        what : str
            "prediction" (default): what the loss compares with the response, a mean, median or quantile; "linear": the
            linear predictor; with a likelihood for loss also the name of a parameter.
        offset, exposure : optional
            As for :meth:`mlekit.results.Results.predict`.

        Raises
        ------
        ValueError
            If a column or a level is missing, or ``what`` is unknown.
        """
        rows, beta = self.model.rows(new, offset, exposure), self.params.to_numpy()
        held = dict(self.loss.held) if isinstance(self.loss, NegativeLogLikelihood) else {}
        eta = []
        # A loss of predictions has one slice, for the first parameter.
        parts = zip(
            self.model.family.links.items(), rows.X, rows.offset, self.objective.likelihood.slices, strict=False
        )
        for (name, link), x, shift, where in parts:
            if name in held:
                eta.append(np.full(len(x), float(link.forward(np.float64(held[name])))))
            else:
                eta.append(x @ beta[where] + (0.0 if shift is None else shift))
        return rows.place(self._predicted(tuple(eta), what))

    def _predicted(self, eta: tuple[Array, ...], what: str) -> Array:
        family = self.objective.likelihood.family
        if not isinstance(family, LossFamily):
            return predicted(family, eta, "mean" if what == "prediction" else what)
        if what not in ("prediction", "linear"):
            raise ValueError(f"cannot predict {what!r}: what is prediction or linear, as {self.loss!r} knows no more")
        return eta[0] if what == "linear" else family.curve(eta[0], 0)[0]

    def to_fit(self, **options: Any) -> ResultsWrapper:
        """Go on from here by Newton's method on the likelihood, and return the full results of the fit.

        The likelihood is the family's that was trained with, or else the one of which the loss is a part: Normal for
        MSE and RMSE, which have the same minimiser, Laplace for MAE, Bernoulli for the cross-entropy. Parameters that
        the loss says nothing of or holds, such as sigma, start from the residuals and are estimated too: with Huber's
        loss, so that its corner is ``delta`` times the scale, and the minimum is another one. A training that diverged
        goes on from where its loss was lowest.

        Parameters
        ----------
        **options
            As for :meth:`mlekit.model.Model.fit`: ``cov_type``, ``use_t``, ``method`` and the like.

        Raises
        ------
        ValueError
            If there was no family, and the loss is a part of no likelihood.

        Examples
        --------
        >>> import mlekit
        >>> from mlekit.datasets import load_africa
        >>> training = mlekit.train("miltcoup ~ parties", load_africa(), family="poisson", lr=1e-3, epochs=20)
        >>> training.to_fit().params.round(6).to_dict()
        {'Intercept': 0.027402, 'parties': 0.022855}
        """
        family = self.objective.likelihood.family
        alone = isinstance(family, LossFamily) and family.curve is straight
        if alone and self.loss.likelihood is None and not isinstance(self.loss, RMSE):
            raise ValueError(
                f"{self.loss!r} is no negative log-likelihood, so there is none to go on with: use mlekit.fit with a "
                "family that the residuals may have"
            )
        if self.status is TrainingStatus.DIVERGED:
            sound = replace(self, params=pd.Series(self.lowest, self.params.index), status=TrainingStatus.STOPPED)
            return sound.to_fit(**options)
        start = self._other_starts() | self.params.to_dict()
        return self.model.fit(start={name: start[name] for name in self.model.design.names}, **options)

    def _other_starts(self) -> dict[str, float]:
        """Coefficients of the parameters that were not trained: the scale of the residuals, or what the family says."""
        family, y = self.model.family, self.model.endog
        others = [name for name in self.model.design.names if name not in self.params.index]
        if not others:
            return {}
        weight = np.ones_like(y)
        eta = [float(np.mean(part)) for part in family.start(y, weight)[1:]]
        scale = family.scale_mle(y, self.predict().to_numpy(), weight)
        if scale is not None:
            floor = np.finfo(float).eps * float(np.max(np.abs(y), initial=1e-300))
            eta[0] = float(list(family.links.values())[1].forward(np.float64(max(scale, floor))))
        return dict(zip(others, eta, strict=True))

    def plot(self) -> "Figure":
        """Draw the loss by epoch; with one or two coefficients also their path over the surface of the loss.

        Examples
        --------
        >>> import mlekit
        >>> training = mlekit.train("y ~ x", {"y": [1, 3, 2, 5], "x": [0, 1, 2, 3]}, epochs=30)
        >>> [axes.get_xlabel() for axes in training.plot().axes][:2]
        ['epoch', 'Intercept']
        """
        from mlekit.plots.training import plot_training

        return plot_training(self)

    # ------------------------------------------------------------------------------------ what it looks like

    def summary(self) -> FitSummary:
        """Coefficients and loss at the start and at the end, and how it ended, as text, HTML, LaTeX or CSV."""
        rows = [*zip(self.start, self.params, strict=True), (self.initial_loss, self.final_loss)]
        body = [[f"{value:.6g}" for value in row] for row in rows]
        title = f"Training of {self.model.design.response} by {self.loss!r}"
        table = SimpleTable(
            body, ["start", "end"], [*self.params.index, f"loss ({self.unit})"], title=title, txt_fmt=fmt_params
        )
        return FitSummary([table], self.notes)

    @property
    def notes(self) -> list[str]:
        """What a reader must know to read the numbers."""
        said = [f"{self.reason}.", f"{self.schedule}; {counted(self.nobs, 'row')}."]
        design, missing = self.model.design, self.model.observations.missing
        held = self.loss.held if isinstance(self.loss, NegativeLogLikelihood) else ()
        if held:
            values = ", ".join(f"{name} = {value:g}" for name, value in held)
            said.append(f"Held by the loss, and not trained: {values} (family= with loss='nll' trains it).")
        if design.success is not None:
            said.append(f"Response: {design.response} = {design.success} counts as 1, {design.failure} as 0.")
        if missing:
            said.append(f"{counted(missing, 'row')} with missing values left out.")
        return said + [f"Left out as collinear: {text}." for text in self.model.aliased.values()]

    def __str__(self) -> str:
        return str(self.summary())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return self.summary().as_html()
