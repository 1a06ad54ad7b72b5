"""Values and gradients of losses against PyTorch itself, where it is installed."""

from __future__ import annotations

import numpy as np
import pytest

from mlekit import losses

torch = pytest.importorskip("torch")

RNG = np.random.default_rng(7)
Y = RNG.normal(3.0, 2.0, 31)
YHAT = Y + RNG.standard_t(2, 31)
YHAT[3] = Y[3]  # the kink of MAE
LABELS = (RNG.random(31) < 0.4).astype(float)
P = RNG.uniform(0.01, 0.99, 31)


@pytest.mark.parametrize(
    ("loss", "function"),
    [
        (losses.MSE(), torch.nn.MSELoss()),
        (losses.MAE(), torch.nn.L1Loss()),
        (losses.Huber(0.3), torch.nn.HuberLoss(delta=0.3)),
        (losses.Huber(2), torch.nn.HuberLoss(delta=2.0)),
        (losses.RMSE(), lambda p, y: torch.sqrt(torch.nn.functional.mse_loss(p, y))),
        (losses.BinaryCrossEntropy(), torch.nn.BCELoss()),
        (
            losses.NegativeLogLikelihood("normal", sigma=10),
            lambda p, y: torch.nn.functional.gaussian_nll_loss(p, y, torch.full_like(y, 100.0), full=True),
        ),
        (
            losses.NegativeLogLikelihood("bernoulli"),
            lambda p, y: -torch.distributions.Bernoulli(probs=p).log_prob(y).mean(),
        ),
    ],
    ids=lambda x: repr(x) if isinstance(x, losses.Loss) else "",
)
def test_values_and_gradients_are_those_of_pytorch(loss, function):
    y, yhat = (LABELS, P) if loss.kind == "probability" else (Y, YHAT)
    prediction = torch.tensor(yhat, requires_grad=True)
    value = function(prediction, torch.tensor(y))
    value.backward()
    assert loss.value(y, yhat) == pytest.approx(value.item(), rel=1e-14)
    np.testing.assert_allclose(loss.gradient(y, yhat), prediction.grad.numpy(), rtol=1e-13, atol=1e-17)
