"""Learning in deep linear networks (Saxe et al. 2014), by the engine that trains everything else."""

import numpy as np
import pytest
import torch

from initbench import build
from initbench.config.grid import expand
from initbench.engine.state import stack
from initbench.engine.train import Training
from initbench.parts.data import Dataset
from initbench.parts.losses import VECTORS

MODES = (3.0, 2.0, 1.0)  # singular values of the map to be learned


def rotation(size: int, seed: int) -> torch.Tensor:
    return torch.linalg.qr(torch.randn(size, size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64))[
        0
    ]


def task(left: torch.Tensor, right: torch.Tensor) -> Dataset:
    """White inputs and their images; each also with the other sign, so that biases have nothing to learn."""
    x = torch.eye(len(MODES), dtype=torch.float64)
    y = x @ right @ torch.diag(torch.tensor(MODES, dtype=torch.float64)) @ left.T
    x, y = torch.cat([x, -x]), torch.cat([y, -y])
    return Dataset(x, y, x[:0], y[:0], x, y, len(MODES), 0.0, 1.0, objective=VECTORS, drawn=False)


def test_each_mode_follows_the_logistic_curve_of_saxe():
    """u(t) = s e^(2 s t / tau) / (e^(2 s t / tau) - 1 + s / u_0), eq. 8: of two layers that start small and balanced.

    Here the mean squared error of the map W is |W - W*|^2 / C^2, and its gradient 2 (W - W*) / C^2. In steps of size lr
    a mode u = a b has u' = 2 u (s - u) 2 lr / C^2, so tau = C^2 / (2 lr) steps.
    """
    size, steps, lr, u_0 = len(MODES), 1200, 0.01, 1e-2
    left, right, between = (rotation(size, seed) for seed in range(3))
    data = task(left, right)
    words = ["model=mlp", "act=linear", "depth=1", f"width={size}", f"batch_size={2 * size}", f"steps={steps}"]
    config = expand([*words, "optim.momentum=0", f"lr={lr}"]).runs[0].config
    model = build.model(config, data).double()
    with torch.no_grad():
        for name, values in model.named_parameters():
            values.zero_()
            if name.endswith("weight"):
                values.copy_(u_0**0.5 * (left @ between.T if name.startswith("head") else between @ right.T))
    training = Training(stack([model], torch.device("cpu")), model, data, build.recipe(config), seeds=[0], lrs=[lr])
    tau = size**2 / (2 * lr)
    for step in range(1, steps + 1):
        training.step()
        if step % 200 == 0:
            own = {name: rows[0] for name, rows in training.state.parameters.items()}
            product = own["head.weight"] @ own["layers.0.linear.weight"]
            found = left.T @ product @ right
            grown = np.exp(2 * np.array(MODES) * step / tau)
            expected = np.array(MODES) * grown / (grown - 1 + np.array(MODES) / u_0)
            assert found.diagonal().numpy() == pytest.approx(expected, rel=0.03)
            assert (found - torch.diag(found.diagonal())).abs().max() < 1e-9
    assert expected[0] > 0.99 * MODES[0] and expected[-1] < 0.8 * MODES[-1]  # large modes are learned first
