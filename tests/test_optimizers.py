"""Optimizers: each is torch.optim's, step by step; and the contract has room for one that looks at norms."""

import pytest
import torch
from torch import Tensor

from initbench.errors import InputError
from initbench.parts.optimizers import SGD, Adam

STEPS = 20
LR = 0.1

PAIRS = [
    (SGD(momentum=0), lambda p: torch.optim.SGD(p, LR)),
    (SGD(), lambda p: torch.optim.SGD(p, LR, momentum=0.9)),
    (SGD(momentum=0.5), lambda p: torch.optim.SGD(p, LR, momentum=0.5)),
    (SGD(nesterov=True), lambda p: torch.optim.SGD(p, LR, momentum=0.9, nesterov=True)),
    (Adam(), lambda p: torch.optim.Adam(p, LR)),
    (Adam(beta1=0, beta2=0.5, eps=1e-3), lambda p: torch.optim.Adam(p, LR, betas=(0.0, 0.5), eps=1e-3)),
]
NAMES = ["plain", "momentum", "momentum-0.5", "nesterov", "adam", "adam-other"]


def gradients(*shape: int) -> Tensor:
    """(STEPS, *shape): large and tiny ones."""
    generator = torch.Generator().manual_seed(1)
    return torch.randn(STEPS, *shape, generator=generator, dtype=torch.float64) ** 5


@pytest.mark.parametrize(("ours", "theirs"), PAIRS, ids=NAMES)
def test_equals_torch_at_every_step(ours, theirs):
    parameter = gradients(4, 3)[0].clone()
    reference = torch.nn.Parameter(parameter.clone())
    torch_optimizer = theirs([reference])
    state = ours.init(parameter)
    lr = torch.tensor(LR, dtype=torch.float64)
    for step, gradient in enumerate(gradients(4, 3), start=1):
        reference.grad = gradient.clone()
        torch_optimizer.step()
        ours.update(parameter, gradient, state, lr=lr, step=step)
        torch.testing.assert_close(parameter, reference.detach(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("optimizer", [ours for ours, _ in PAIRS], ids=NAMES)
def test_stacked_runs_with_their_own_lr_equal_runs_alone(optimizer):
    """(R, P) with lr (R, 1), as the engine calls an elementwise optimizer, bit for bit."""
    assert optimizer.elementwise
    stacked, lr = gradients(3, 40)[0].clone(), torch.tensor([[0.1], [0.01], [3.0]], dtype=torch.float64)
    alone = [row.clone() for row in stacked]
    state, states = optimizer.init(stacked), [optimizer.init(row) for row in alone]
    for step, gradient in enumerate(gradients(3, 40), start=1):
        optimizer.update(stacked, gradient, state, lr=lr, step=step)
        for run, row in enumerate(alone):
            optimizer.update(row, gradient[run], states[run], lr=lr[run, 0], step=step)
    torch.testing.assert_close(stacked, torch.stack(alone), rtol=1e-14, atol=0)


@pytest.mark.parametrize("optimizer", [ours for ours, _ in PAIRS], ids=NAMES)
def test_a_run_of_nan_leaves_its_neighbours_bit_for_bit(optimizer):
    def after(poison: float) -> Tensor:
        parameter = gradients(3, 40)[0].clone()
        state = optimizer.init(parameter)
        for step, gradient in enumerate(gradients(3, 40).clone(), start=1):
            gradient[1] *= poison
            optimizer.update(parameter, gradient, state, lr=torch.full((3, 1), LR, dtype=torch.float64), step=step)
        return parameter

    assert after(float("nan"))[1].isnan().all()
    assert torch.equal(after(float("nan"))[[0, 2]], after(1.0)[[0, 2]])


def test_the_gradient_is_left_alone():
    for optimizer, _ in PAIRS:
        parameter, gradient = torch.ones(3), torch.arange(3.0)
        optimizer.update(parameter, gradient, optimizer.init(parameter), lr=torch.tensor(0.1), step=1)
        assert gradient.tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: SGD(momentum=1), r"optim.momentum must be a number in \[0, 1\), got 1"),
        (lambda: SGD(momentum=-0.1), "optim.momentum"),
        (lambda: SGD(momentum="much"), "optim.momentum"),  # type: ignore[arg-type]
        (lambda: SGD(momentum=0, nesterov=True), "optim.nesterov=true needs optim.momentum above 0"),
        (lambda: Adam(beta1=1.0), "optim.beta1"),
        (lambda: Adam(beta2=float("nan")), "optim.beta2"),
        (lambda: Adam(eps=-1e-8), "optim.eps"),
    ],
)
def test_bad_parameters_say_so(build, message):
    with pytest.raises(InputError, match=message):
        build()


class LAMB:
    """Adam's direction, scaled in every tensor to the norm of its weights. You et al. 2020, algorithm 2."""

    elementwise = False

    def init(self, parameter: Tensor) -> dict[str, Tensor]:
        return {"mean": torch.zeros_like(parameter), "square": torch.zeros_like(parameter)}

    def update(self, parameter: Tensor, gradient: Tensor, state: dict[str, Tensor], *, lr: Tensor, step: int) -> None:
        mean = state["mean"].mul_(0.9).add_(gradient * 0.1)
        square = state["square"].mul_(0.999).add_(gradient.square() * 0.001)
        direction = mean / (1 - 0.9**step) / ((square / (1 - 0.999**step)).sqrt() + 1e-6)
        parameter.sub_(lr * parameter.norm() / direction.norm() * direction)


def test_an_optimizer_with_norms_works_under_vmap():
    """The contract holds one: vmap over (R, *shape) tensors equals a loop over the runs."""
    optimizer = LAMB()

    def update(parameter, gradient, state, lr, step):
        optimizer.update(parameter, gradient, state, lr=lr, step=step)
        return parameter, state

    stacked, lr = gradients(3, 4, 5)[0].clone(), torch.tensor([0.1, 0.01, 0.001], dtype=torch.float64)
    alone = [tensor.clone() for tensor in stacked]
    state, states = torch.func.vmap(optimizer.init)(stacked), [optimizer.init(tensor) for tensor in alone]
    for step, gradient in enumerate(gradients(3, 4, 5), start=1):
        torch.func.vmap(update, in_dims=(0, 0, 0, 0, None))(stacked, gradient, state, lr, step)
        for run, tensor in enumerate(alone):
            optimizer.update(tensor, gradient[run], states[run], lr=lr[run], step=step)
    torch.testing.assert_close(stacked, torch.stack(alone), rtol=1e-12, atol=0)
    assert not torch.equal(stacked, gradients(3, 4, 5)[0])
