"""The training loops that are recorded from PyTorch, and the same trainings by mlekit."""

from __future__ import annotations

import runpy
from typing import Any

import numpy as np
import pandas as pd
from scipy import special

from mlekit.losses import Huber, NegativeLogLikelihood
from mlekit.trainer import train
from mlekit.training import Training
from tests.reference import FOLDER

SCRIPT = runpy.run_path(str(FOLDER / "scripts" / "torch_trajectories.py"))

# What PyTorch's losses of the script are here.
_LOSSES: dict[str, dict[str, Any]] = {
    "huber": {"loss": Huber(delta=0.5)},
    "poisson": {"loss": "nll", "family": "poisson"},
    "normal_sigma_10": {"loss": NegativeLogLikelihood("normal", sigma=10.0)},
}
_OPTIMIZERS: dict[str, dict[str, Any]] = {
    "gd": {"optimizer": "gd"},
    "gd_momentum": {"optimizer": "gd", "momentum": 0.9},
    "sgd": {"optimizer": "sgd"},
    "sgd_momentum": {"optimizer": "sgd", "momentum": 0.9},
    "nesterov": {"optimizer": "nesterov", "momentum": 0.9},
    "adam": {"optimizer": "adam", "lr": 0.05},
}


def ours(columns: Any, loss: str, optimizer: str, batch: int, **how: Any) -> Training:
    """Train as the script does."""
    _, response, lr = SCRIPT["LOSSES"][loss]
    _, shuffled = SCRIPT["OPTIMIZERS"][optimizer]
    options = {"loss": loss, "lr": lr} | _LOSSES.get(loss, {}) | _OPTIMIZERS[optimizer] | how
    return train(f"{response} ~ x1 + x2", columns, batch_size=batch if shuffled else None, **options)


def deviation(training: Training, params: Any, *, each: bool) -> float:
    """Largest difference of any coefficient after any epoch, relative to itself or to the largest of the epoch.

    A coefficient that passes through zero has rounding errors of the size of the others.
    """
    theirs = np.array(params)
    size = np.abs(theirs) if each else np.abs(theirs).max(axis=1, keepdims=True)
    return float((np.abs(training.path[1:] - theirs) / size).max())


def losses(columns: Any, loss: str, run: dict[str, Any]) -> np.ndarray:
    """PyTorch's mean losses, with the constant that its Poisson loss leaves out."""
    left_out = np.mean(special.gammaln(pd.Series(columns["count"]) + 1.0)) if loss == "poisson" else 0.0
    return np.array(run["loss"]) + left_out
