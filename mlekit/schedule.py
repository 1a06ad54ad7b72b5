"""How a training goes about it: optimiser, learning rate, batches; checked, and as batches of each epoch."""

import itertools
import numbers
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mlekit.folds import generator
from mlekit.losses.base import number
from mlekit.mean_loss import MeanLoss
from mlekit.messages import counted
from mlekit.optimize.descent import RULES, Batch, Rule


@dataclass(frozen=True)
class Schedule:
    """How a training goes about it.

    Parameters
    ----------
    optimizer : str
    lr, momentum : float
    epochs : int
        As many as were asked for.
    batch_size : int or None
        Rows of a batch; None for all.
    shuffle : bool
    seed : int or None
        Of the order of the rows, given or drawn.
    tol : float or None

    Raises
    ------
    ValueError
        If a setting is impossible, or two do not go together.

    Examples
    --------
    >>> print(Schedule("sgd", lr=0.1, epochs=5, batch_size=32, seed=1))
    sgd, lr = 0.1, 5 epochs, batches of 32 rows, shuffled with seed 1
    """

    optimizer: str
    lr: float
    epochs: int
    momentum: float = 0.0
    batch_size: int | None = None
    shuffle: bool = True
    seed: int | None = None
    tol: float | None = None

    def __post_init__(self) -> None:
        name = self.optimizer.lower() if isinstance(self.optimizer, str) else self.optimizer
        if name not in RULES:
            raise ValueError(f"unknown optimizer {self.optimizer!r}: the optimizers are {', '.join(RULES)}")
        object.__setattr__(self, "optimizer", name)
        object.__setattr__(self, "lr", number(self.lr, "lr"))
        _check("epochs", self.epochs, numbers.Integral, "a whole number from 1", lambda x: x >= 1)
        _check("momentum", self.momentum, numbers.Real, "a number from 0 to below 1", lambda x: 0 <= x < 1)
        object.__setattr__(self, "momentum", float(self.momentum))
        if self.batch_size is not None:
            _check("batch_size", self.batch_size, numbers.Integral, "a whole number from 1, or None", lambda x: x >= 1)
        if self.tol is not None:
            object.__setattr__(self, "tol", number(self.tol, "tol"))
        if not isinstance(self.shuffle, bool | np.bool_):
            raise ValueError(f"shuffle must be True or False, not {self.shuffle!r}")
        if self.seed is not None:
            _check("seed", self.seed, numbers.Integral, "a whole number from 0, or None", lambda x: x >= 0)
        self._together()

    def _together(self) -> None:
        """Refuse settings that the optimiser does not have."""
        if self.rule.momentum == "none" and self.momentum:
            raise ValueError(
                f"{self.optimizer} takes no momentum: its means of the gradients serve as one. Leave momentum out"
            )
        if self.rule.momentum == "needed" and not self.momentum:
            raise ValueError(f"{self.optimizer} needs a momentum, such as momentum=0.9")
        if self.batch_size is not None and not self.rule.batches:
            raise ValueError(
                f"optimizer={self.optimizer!r} takes one step per epoch, on all rows: leave batch_size out, or take "
                "optimizer='sgd'"
            )

    @property
    def rule(self) -> Rule:
        """The update rule."""
        return RULES[self.optimizer]

    def for_rows(self, rows: int) -> "Schedule":
        """Return the schedule for so many rows: no batch larger than all, and a seed where the rows are shuffled.

        Raises
        ------
        ValueError
            If a batch is larger than all rows.
        """
        if self.batch_size is not None and self.batch_size > rows:
            raise ValueError(
                f"batch_size is {self.batch_size}, and there are {rows} rows (without those that have missing values): "
                "take a smaller one, or None for all rows"
            )
        if not self.shuffled:
            return replace(self, seed=None)
        return replace(self, seed=int(generator(None).integers(2**32)) if self.seed is None else self.seed)

    @property
    def shuffled(self) -> bool:
        """Whether the rows are shuffled: without batches their order means nothing."""
        return self.shuffle and self.batch_size is not None

    def plan(self, objective: MeanLoss) -> Iterator[Iterable[Batch]]:
        """Return the batches of each epoch."""
        if not self.shuffled:
            return itertools.repeat(list(objective.batches(self.batch_size)), self.epochs)
        rng, rows = generator(self.seed), objective.likelihood.rows
        return (objective.batches(self.batch_size, rng.permutation(rows)) for _ in range(self.epochs))

    def __str__(self) -> str:
        parts = [self.optimizer, f"lr = {self.lr:g}", counted(self.epochs, "epoch")]
        parts += [f"momentum {self.momentum:g}"] if self.momentum else []
        if self.batch_size is not None:
            parts.append(f"batches of {counted(self.batch_size, 'row')}")
            parts.append(f"shuffled with seed {self.seed}" if self.shuffled else "in their order")
        return ", ".join(parts)


def _check(name: str, value: Any, kind: Any, what: str, possible: Callable[[Any], bool]) -> None:
    if isinstance(value, bool) or not isinstance(value, kind) or not possible(value):
        raise ValueError(f"{name} must be {what}, not {value!r}")
