"""Record, from the real PyTorch, the coefficients after each epoch of the lecture's training loops.

``python torch_trajectories.py`` writes ``../torch_trajectories.json``. It needs torch 2.13.0 and NumPy alone; all
numbers are float64. Rows come to the optimiser in the order ``numpy.random.default_rng(seed).permutation(n)``, drawn
anew for each epoch, through a DataLoader that keeps the short last batch.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

SEED, BATCH, EPOCHS = 7, 5, 15
START = [0.25, -0.5, 0.125]  # the bias and two weights: exact in binary

#: Loss: what PyTorch calls it, the column of its response, and the learning rate of gd and sgd.
LOSSES: dict[str, tuple[str, str, float]] = {
    "mse": ("torch.nn.MSELoss()", "y", 0.1),
    "rmse": ("lambda yhat, y: torch.sqrt(torch.mean((yhat - y) ** 2))", "y", 0.1),
    "mae": ("torch.nn.L1Loss()", "y", 0.1),
    "huber": ("torch.nn.HuberLoss(delta=0.5)", "y", 0.2),
    "cross_entropy": ("torch.nn.BCEWithLogitsLoss()", "bit", 0.5),
    "poisson": ("torch.nn.PoissonNLLLoss(log_input=True)", "count", 0.02),
    "normal_sigma_10": (
        "lambda yhat, y: -torch.mean(torch.distributions.Normal(yhat, torch.tensor(10.0).double()).log_prob(y))",
        "y",
        5.0,
    ),
}

#: Optimiser: what PyTorch calls it, and whether it sees mini-batches in random order.
OPTIMIZERS: dict[str, tuple[str, bool]] = {
    "gd": ("torch.optim.SGD(parameters, lr=lr)", False),
    "gd_momentum": ("torch.optim.SGD(parameters, lr=lr, momentum=0.9)", False),
    "sgd": ("torch.optim.SGD(parameters, lr=lr)", True),
    "sgd_momentum": ("torch.optim.SGD(parameters, lr=lr, momentum=0.9)", True),
    "nesterov": ("torch.optim.SGD(parameters, lr=lr, momentum=0.9, nesterov=True)", True),
    "adam": ("torch.optim.Adam(parameters, lr=0.05)", True),
}


def data() -> dict[str, list[float]]:
    """Two covariates and three kinds of response; 23 rows, which batches of 5 do not divide."""
    rng = np.random.default_rng(2023)
    x1, x2 = rng.normal(size=(2, 23)).round(3)
    columns = {
        "x1": x1,
        "x2": x2,
        "y": (2 * x1 - 1 + rng.normal(size=23)).round(3),
        "count": rng.poisson(np.exp(0.5 + 0.4 * x1 - 0.3 * x2)),
        "bit": (rng.random(23) < 1 / (1 + np.exp(-x1 + x2))).astype(int),
    }
    return {name: column.tolist() for name, column in columns.items()}


def trajectory(
    x: Any, y: Any, loss: str, optimizer: str, lr: float, *, start: Any, epochs: int, seed: int, batch: int | None
) -> dict[str, Any]:
    """Train ``torch.nn.Linear`` as the lecture does: bias and weights after each epoch, and its mean loss.

    ``loss`` and ``optimizer`` are the expressions above. Without ``batch`` all rows are one batch, in their own order.
    """
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    x, y = (torch.tensor(np.array(values, dtype=float)) for values in (x, y))
    model = torch.nn.Linear(x.shape[1], 1, bias=True, dtype=torch.float64)
    with torch.no_grad():
        model.bias[:] = torch.tensor(start[:1], dtype=torch.float64)
        model.weight[:] = torch.tensor(start[1:], dtype=torch.float64)
    names = {"torch": torch, "parameters": model.parameters(), "lr": lr}
    loss_function, my_optimizer = eval(loss, names), eval(optimizer, names)
    rng = np.random.default_rng(seed)
    found: dict[str, Any] = {"params": [], "loss": []}
    for _ in range(epochs):
        loss_sum = 0.0
        order = range(len(x)) if batch is None else rng.permutation(len(x)).tolist()
        loader = DataLoader(TensorDataset(x, y), batch_size=batch or len(x), sampler=order)
        for xx, yy in loader:
            value = loss_function(model(xx)[:, 0], yy)
            loss_sum += value.item() * len(xx)
            value.backward()
            my_optimizer.step()
            my_optimizer.zero_grad()
        found["params"].append([model.bias.item(), *model.weight[0].tolist()])
        found["loss"].append(loss_sum / len(x))
    return found


def record() -> dict[str, Any]:
    """All runs, as the reference file has them."""
    import torch

    columns = data()
    x = np.column_stack([columns["x1"], columns["x2"]])
    how = {"start": START, "epochs": EPOCHS, "seed": SEED}
    runs = {
        loss: {
            name: trajectory(x, columns[response], call, optimizer, lr, batch=BATCH if shuffled else None, **how)
            for name, (optimizer, shuffled) in OPTIMIZERS.items()
        }
        for loss, (call, response, lr) in LOSSES.items()
    }
    return {
        "name": "torch_trajectories",
        "kind": "torch",
        "description": "Training loops of PyTorch, float64: intercept, two slopes and mean loss after each epoch",
        "source": {"call": "scripts/torch_trajectories.py", "packages": {"torch": torch.__version__.split("+")[0]}},
        "data": columns,
        "options": {"start": START, "seed": SEED, "batch_size": BATCH, "epochs": EPOCHS},
        "expected": {
            "losses": {loss: {"call": call, "response": y, "lr": lr} for loss, (call, y, lr) in LOSSES.items()},
            "optimizers": {name: {"call": call, "shuffled": cut} for name, (call, cut) in OPTIMIZERS.items()},
            "runs": runs,
        },
    }


def text(value: Any, depth: int = 0) -> str:
    """JSON with one line per list of numbers; floats by repr, which loses nothing."""
    if isinstance(value, dict):
        lines = (f"{' ' * (depth + 1)}{json.dumps(key)}: {text(item, depth + 1)}" for key, item in value.items())
        return "{\n" + ",\n".join(lines) + "\n" + " " * depth + "}"
    if isinstance(value, list) and value and isinstance(value[0], list):
        lines = (" " * (depth + 1) + json.dumps(item) for item in value)
        return "[\n" + ",\n".join(lines) + "\n" + " " * depth + "]"
    return json.dumps(value)


if __name__ == "__main__":
    target = Path(__file__).parents[1] / "torch_trajectories.json"
    target.write_text(text(record()) + "\n", encoding="utf-8")
