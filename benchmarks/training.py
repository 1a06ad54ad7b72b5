"""An epoch of mini-batches by mlekit.train, against the lecture's loop in PyTorch.

PyTorch's part needs torch, which no other extra has: ``pip install -e ".[torch]"``.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from peers import medians, report

import mlekit
from mlekit.optimize.descent import Epoch, descend

ROWS, COLUMNS, BATCH, RATE = 1_000_000, 20, 1024, 0.01
SHUFFLED, IN_ORDER = "DataLoader, shuffle=True", "tensors cut beforehand, in order"


def data() -> tuple[np.ndarray, np.ndarray]:
    """Simulate a response and a matrix without an intercept."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(ROWS, COLUMNS))
    return X @ rng.normal(size=COLUMNS) + rng.normal(size=ROWS), X


def our_epochs(y: np.ndarray, X: np.ndarray, *, shuffle: bool) -> Iterator[Epoch]:
    """The epochs of mlekit.train, one at a time: the formula is read once, as PyTorch's tensors are made once."""
    names = [f"x{i}" for i in range(COLUMNS)]
    table = dict(zip(names, X.T, strict=True)) | {"y": y}
    how = {"optimizer": "sgd", "lr": RATE, "batch_size": BATCH, "shuffle": shuffle, "seed": 1}
    training = mlekit.train(f"y ~ {' + '.join(names)}", table, "mse", epochs=1, **how)
    plan = replace(training.schedule, epochs=10**6).plan(training.objective)
    return descend(plan, np.zeros(COLUMNS + 1), training.schedule.rule, RATE)


def torch_epochs(y: np.ndarray, X: np.ndarray) -> dict[str, Callable[[], Any]]:
    """The lecture's loop over a DataLoader, and the same loop over tensors that are cut beforehand."""
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    features, responses = torch.from_numpy(X), torch.from_numpy(y)[:, None]
    loader = DataLoader(TensorDataset(features, responses), batch_size=BATCH, shuffle=True)
    cut = [(features[i : i + BATCH], responses[i : i + BATCH]) for i in range(0, ROWS, BATCH)]

    def loop(batches: Any) -> Callable[[], Any]:
        model = torch.nn.Linear(COLUMNS, 1, bias=True, dtype=torch.float64)
        with torch.no_grad():
            model.weight.zero_()
            model.bias.zero_()
        my_optimizer = torch.optim.SGD(model.parameters(), lr=RATE)
        loss_function = torch.nn.MSELoss()

        def epoch() -> np.ndarray:
            loss_sum = 0.0
            for xx, yy in batches:
                loss = loss_function(model(xx), yy)
                loss_sum += loss.item() * len(xx)
                loss.backward()
                my_optimizer.step()
                my_optimizer.zero_grad()
            return np.array([model.bias.item(), *model.weight[0].tolist()])

        return epoch

    return {SHUFFLED: loop(loader), IN_ORDER: loop(cut)}


def main(rounds: int) -> None:
    """Print the ratios, and how far the coefficients are apart after as many epochs in the same order."""
    y, X = data()
    last: dict[str, np.ndarray] = {}

    def kept(name: str, epoch: Callable[[], np.ndarray]) -> Callable[[], None]:
        def run() -> None:
            last[name] = epoch()

        return run

    ours = {shuffle: our_epochs(y, X, shuffle=shuffle) for shuffle in (True, False)}
    functions = {
        "mlekit, shuffled": kept("mlekit, shuffled", lambda: next(ours[True]).beta),
        "mlekit, in order": kept("mlekit, in order", lambda: next(ours[False]).beta),
    }
    try:
        functions |= {name: kept(name, epoch) for name, epoch in torch_epochs(y, X).items()}
    except ImportError:
        print('PyTorch is not installed, so its part is skipped: pip install -e ".[torch]"')
    found = medians(functions, rounds)
    title = f"an epoch of MSE, n = {ROWS:,}, p = {COLUMNS}, batches of {BATCH}"
    report(title, "mlekit, shuffled", found, {SHUFFLED: 0.2} if SHUFFLED in found else {})
    report(title, "mlekit, in order", found, {IN_ORDER: 1.0} if IN_ORDER in found else {})
    if IN_ORDER in found:
        apart = np.abs(last["mlekit, in order"] / last[IN_ORDER] - 1).max()
        print(f"  coefficients after {rounds + 1} epochs in order: {apart:.1e} apart (relative)")


if __name__ == "__main__":
    main(rounds=int(sys.argv[1]) if len(sys.argv) > 1 else 5)
