"""Optimizers: each is torch.optim's or its paper's, step by step, alone, in rows of runs and under vmap."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import references
from initbench.config.registry import choices
from initbench.errors import InputError
from initbench.parts import optimizers
from initbench.parts.optimizers import LAMB, SGD, Adagrad, Adam, AdamW, Lookahead, Muon, RAdam, Ranger, RMSprop
from initbench.parts.optimizers.layerwise import orthogonalized
from initbench.parts.optimizers.lookahead import INNER

STEPS = 200
LR = 0.1
Theirs = Callable[[list[nn.Parameter]], Any]

PAIRS: dict[str, tuple[Any, Theirs]] = {
    "sgd": (SGD(), lambda p: torch.optim.SGD(p, LR, momentum=0.9)),
    "sgd plain": (SGD(momentum=0), lambda p: torch.optim.SGD(p, LR)),
    "sgd momentum": (SGD(momentum=0.5), lambda p: torch.optim.SGD(p, LR, momentum=0.5)),
    "sgd nesterov": (SGD(nesterov=True), lambda p: torch.optim.SGD(p, LR, momentum=0.9, nesterov=True)),
    "adam": (Adam(), lambda p: torch.optim.Adam(p, LR)),
    "adam other": (
        Adam(beta1=0, beta2=0.5, eps=1e-3),
        lambda p: torch.optim.Adam(p, LR, betas=(0.0, 0.5), eps=1e-3),
    ),
    "adamw": (AdamW(), lambda p: torch.optim.AdamW(p, LR)),
    "adamw strong": (AdamW(weight_decay=0.5), lambda p: torch.optim.AdamW(p, LR, weight_decay=0.5)),
    "rmsprop": (RMSprop(), lambda p: torch.optim.RMSprop(p, LR)),
    "rmsprop momentum": (RMSprop(momentum=0.9), lambda p: torch.optim.RMSprop(p, LR, momentum=0.9)),
    "rmsprop centered": (RMSprop(centered=True), lambda p: torch.optim.RMSprop(p, LR, centered=True)),
    "rmsprop all": (
        RMSprop(alpha=0.9, eps=1e-4, momentum=0.5, centered=True),
        lambda p: torch.optim.RMSprop(p, LR, alpha=0.9, eps=1e-4, momentum=0.5, centered=True),
    ),
    "adagrad": (Adagrad(), lambda p: torch.optim.Adagrad(p, LR)),
    "adagrad eps": (Adagrad(eps=0.1), lambda p: torch.optim.Adagrad(p, LR, eps=0.1)),
    "radam": (RAdam(), lambda p: torch.optim.RAdam(p, LR)),
    "radam never rectified": (RAdam(beta2=0.6), lambda p: torch.optim.RAdam(p, LR, betas=(0.9, 0.6))),
    "lamb": (LAMB(), lambda p: references.LAMB(p, LR)),
    "lamb other": (LAMB(eps=0.1, weight_decay=0), lambda p: references.LAMB(p, LR, eps=0.1, weight_decay=0)),
    "lookahead": (Lookahead(), lambda p: references.Lookahead(p, torch.optim.SGD(p, LR, momentum=0.9))),
    "lookahead adam": (
        Lookahead(inner="adam", k=3, alpha=0.8),
        lambda p: references.Lookahead(p, torch.optim.Adam(p, LR), k=3, alpha=0.8),
    ),
    "lookahead muon": (
        Lookahead(inner="muon"),
        lambda p: references.Lookahead(p, references.Muon(p, LR)),
    ),
    "ranger": (Ranger(), lambda p: references.ranger(p, LR)),
    "muon": (Muon(), lambda p: references.Muon(p, LR)),
    "muon original": (
        Muon(momentum=0.5, nesterov=False, iterations=3, adjust_lr="original"),
        lambda p: references.Muon(p, LR, momentum=0.5, nesterov=False, ns_steps=3, adjust_lr="original"),
    ),
    "muon spectral": (
        Muon(adjust_lr="spectral_unclamped"),
        lambda p: references.Muon(p, LR, adjust_lr="spectral_unclamped"),
    ),
}
ELEMENTWISE = [name for name, (ours, _) in PAIRS.items() if ours.elementwise]
every = pytest.mark.parametrize("name", PAIRS)
every_elementwise = pytest.mark.parametrize("name", ELEMENTWISE)


def gradients(*shape: int, steps: int = STEPS) -> Tensor:
    """(steps, *shape): large and tiny entries, and steps that are large or tiny as a whole; float64."""
    generator = torch.Generator().manual_seed(1)
    entries = torch.randn(steps, *shape, generator=generator, dtype=torch.float64) ** 5
    return entries * 10 ** (4 * torch.rand(steps, *[1] * len(shape), generator=generator, dtype=torch.float64) - 3)


def start(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


def step_under_vmap(optimizer, parameter, gradient, state, lr, step: int):
    """As the engine calls what isn't elementwise: (R, *shape) in place, lr (R,)."""

    def one(parameter, gradient, state, lr):
        optimizer.update(parameter, gradient, state, lr=lr, step=step)
        return parameter

    torch.func.vmap(one)(parameter, gradient, state, lr)


def test_every_optimizer_on_offer_is_compared():
    assert set(choices("optim")) <= PAIRS.keys()


@every
@pytest.mark.parametrize("shape", [(4, 3), (3, 5, 2, 2), (6,), ()], ids=["matrix", "kernel", "vector", "number"])
@pytest.mark.slow
def test_equals_torch_or_the_paper_at_every_step(name, shape):
    ours, theirs = PAIRS[name]
    parameter = start(*shape)
    parameters = [nn.Parameter(parameter.clone()), nn.Parameter(start(2, 2))]  # torch's Muon wants a matrix
    parameters[1].grad = torch.zeros(2, 2, dtype=torch.float64)
    reference, state = theirs(parameters), ours.init(parameter)
    lr = torch.tensor(LR, dtype=torch.float64)
    for step, gradient in enumerate(gradients(*shape), start=1):
        parameters[0].grad = gradient.clone()
        reference.step()
        ours.update(parameter, gradient, state, lr=lr, step=step)
        torch.testing.assert_close(parameter, parameters[0].detach(), rtol=1e-12, atol=1e-12)


@every_elementwise
def test_stacked_runs_with_their_own_lr_equal_runs_alone(name):
    """(R, P) with lr (R, 1), as the engine calls an elementwise optimizer."""
    optimizer = PAIRS[name][0]
    stacked, lr = start(3, 40), torch.tensor([[0.1], [0.01], [3.0]], dtype=torch.float64)
    alone = [row.clone() for row in stacked]
    state, states = torch.func.vmap(optimizer.init)(stacked), [optimizer.init(row) for row in alone]
    for step, gradient in enumerate(gradients(3, 40), start=1):
        optimizer.update(stacked, gradient, state, lr=lr, step=step)
        for run, row in enumerate(alone):
            optimizer.update(row, gradient[run], states[run], lr=lr[run, 0], step=step)
    torch.testing.assert_close(stacked, torch.stack(alone), rtol=1e-14, atol=0)


@pytest.mark.parametrize("shape", [(4, 5), (3, 5, 2, 2), (6,)], ids=["matrix", "kernel", "vector"])
@pytest.mark.parametrize("name", [name for name in PAIRS if name not in ELEMENTWISE])
def test_under_vmap_runs_with_their_own_lr_equal_runs_alone(name, shape):
    """(R, *shape) with lr (R,), as the engine calls what looks at norms."""
    optimizer = PAIRS[name][0]
    stacked, lr = start(3, *shape), torch.tensor([0.1, 0.01, 3.0], dtype=torch.float64)
    alone = [tensor.clone() for tensor in stacked]
    state, states = torch.func.vmap(optimizer.init)(stacked), [optimizer.init(tensor) for tensor in alone]
    for step, gradient in enumerate(gradients(3, *shape, steps=30), start=1):
        step_under_vmap(optimizer, stacked, gradient, state, lr, step)
        for run, tensor in enumerate(alone):
            optimizer.update(tensor, gradient[run], states[run], lr=lr[run], step=step)
    torch.testing.assert_close(stacked, torch.stack(alone), rtol=1e-10, atol=1e-12)
    assert not torch.equal(stacked, start(3, *shape))


@every
@pytest.mark.parametrize("poison", [torch.nan, torch.inf])
def test_a_run_of_nan_leaves_its_neighbours_bit_for_bit(name, poison):
    optimizer = PAIRS[name][0]

    def after(factor: float) -> Tensor:
        parameter = start(3, 5, 8).float()
        rows = parameter.flatten(1) if optimizer.elementwise else parameter  # a view
        state = torch.func.vmap(optimizer.init)(rows)
        for step, gradient in enumerate(gradients(3, 5, 8, steps=12).float(), start=1):
            gradient[1] *= factor
            if optimizer.elementwise:
                optimizer.update(rows, gradient.flatten(1), state, lr=torch.full((3, 1), LR), step=step)
            else:
                step_under_vmap(optimizer, rows, gradient, state, torch.full((3,), LR), step)
        return parameter

    assert not after(poison)[1].isfinite().any()
    assert torch.equal(after(poison)[[0, 2]], after(1.0)[[0, 2]])


@every
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
def test_where_there_is_no_gradient_zeros_stay_zeros(name, dtype):
    """What fills a run's row, a dead unit's weights, biases and all weights of `init=zeros`."""
    optimizer = PAIRS[name][0]
    for shape in [(3,), (3, 4)]:
        parameter = torch.zeros(shape, dtype=dtype)
        state = optimizer.init(parameter)
        for step in range(1, 20):
            optimizer.update(parameter, torch.zeros(shape, dtype=dtype), state, lr=torch.tensor(LR), step=step)
        assert parameter.tolist() == torch.zeros(shape).tolist()


@every
def test_a_rate_of_zero_moves_nothing_and_the_gradient_is_left_alone(name):
    """Schedules go down to 0."""
    optimizer = PAIRS[name][0]
    for shape in [(3,), (3, 4)]:
        parameter, gradient = torch.ones(shape), torch.randn(shape)
        before, state = gradient.clone(), optimizer.init(parameter)
        for step in range(1, 8):
            optimizer.update(parameter, gradient, state, lr=torch.tensor(0.0), step=step)
        assert torch.equal(parameter, torch.ones(shape))
        assert torch.equal(gradient, before)


def test_a_constant_gradient_has_no_variance_that_rounding_makes_negative():
    """Centered RMSprop in float32: PyTorch's root is NaN here, after some hundred steps."""
    optimizer, parameter = RMSprop(centered=True, alpha=0.9), torch.zeros(1000)
    gradient, state = torch.linspace(0.1, 10, 1000), optimizer.init(parameter)
    reference = nn.Parameter(torch.zeros(1000))
    theirs = torch.optim.RMSprop([reference], LR, centered=True, alpha=0.9)
    for step in range(1, 400):
        optimizer.update(parameter, gradient, state, lr=torch.tensor(LR), step=step)
        reference.grad = gradient.clone()
        theirs.step()
    assert reference.isnan().any()
    assert parameter.isfinite().all()


def test_radam_rectifies_from_the_sixth_step():
    """beta2 = 0.999: rho_5 = 4.996 is too short still, rho_6 = 5.994; in the end there is nothing to rectify."""
    assert [RAdam().rectification(step) > 0 for step in range(1, 8)] == [False] * 5 + [True] * 2
    rho, longest = 5.9941, 1999  # Liu et al. 2020, eq. 6 worked out by hand
    expected = ((rho - 4) * (rho - 2) * longest / ((longest - 4) * (longest - 2) * rho)) ** 0.5
    assert RAdam().rectification(6) == pytest.approx(expected, rel=1e-4)
    assert RAdam().rectification(100_000) == pytest.approx(1)


@pytest.mark.parametrize("scale", [1e-3, 1, 1e6])
def test_lamb_moves_a_tensor_by_lr_of_its_length(scale):
    parameter = start(30, 20)
    before = parameter.clone()
    optimizer = LAMB()
    gradient = scale * gradients(30, 20, steps=1)[0]
    optimizer.update(parameter, gradient, optimizer.init(parameter), lr=torch.tensor(0.01).double(), step=1)
    assert float((parameter - before).norm() / before.norm()) == pytest.approx(0.01)


@pytest.mark.parametrize("shape", [(30, 30), (20, 50), (50, 20)])
def test_newton_schulz_takes_singular_values_to_about_one(shape):
    """Jordan 2024: his coefficients leave them between 0.68 and 1.2; the singular vectors are those of the matrix."""
    u, _, v = torch.linalg.svd(start(*shape), full_matrices=False)
    values = torch.logspace(-2, 0, min(shape), dtype=torch.float64)
    out = u.mT @ orthogonalized(u * values @ v, 5) @ v.mT
    torch.testing.assert_close(out, out.diag().diag())
    assert float(out.diag().min()) >= 0.68 and float(out.diag().max()) <= 1.21


def test_muon_steps_of_adams_size_and_torchs_but_for_its_rounding():
    """A matrix's step has 0.2 lr an entry (Liu et al. 2025, sec. 2.2), and bfloat16 has 3 digits."""
    parameter, gradient = start(20, 30), start(30, 20).T
    reference = nn.Parameter(parameter.clone())
    reference.grad = gradient.clone()
    before, optimizer = parameter.clone(), Muon()
    optimizer.update(parameter, gradient, optimizer.init(parameter), lr=torch.tensor(LR).double(), step=1)
    change = parameter - before
    assert float(change.square().mean().sqrt()) == pytest.approx(0.2 * LR, rel=0.2)
    references.Muon([reference], LR, rounded=True).step()
    assert float((reference.detach() - before - change).norm() / change.norm()) < 0.03


def test_lookahead_takes_every_other_optimizer_and_is_elementwise_where_that_is():
    own = {name.lower() for name, part in vars(optimizers).items() if hasattr(part, "elementwise")}
    assert INNER.keys() == own - {"lookahead", "ranger"}
    assert [name for name in sorted(INNER) if not Lookahead(inner=name).elementwise] == ["lamb", "muon"]
    assert Ranger().elementwise


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: SGD(momentum=1), r"optim.momentum must be a number in \[0, 1\), got 1"),
        (lambda: SGD(momentum=-0.1), "optim.momentum"),
        (lambda: SGD(momentum="much"), "optim.momentum"),  # type: ignore[arg-type]
        (lambda: SGD(momentum=0, nesterov=True), "optim.nesterov=true needs optim.momentum above 0"),
        (lambda: Adam(beta1=1.0), "optim.beta1"),
        (lambda: Adam(beta2=float("nan")), "optim.beta2"),
        (lambda: Adam(eps=0), "optim.eps"),
        (lambda: AdamW(weight_decay=-1), "optim.weight_decay"),
        (lambda: RMSprop(alpha=1), "optim.alpha"),
        (lambda: RMSprop(momentum=2), "optim.momentum"),
        (lambda: Adagrad(eps=-1), "optim.eps"),
        (lambda: LAMB(weight_decay=float("inf")), "optim.weight_decay"),
        (lambda: Lookahead(inner="adan"), "optim.inner must be one of .*, got 'adan'; did you mean 'adam'"),
        (lambda: Lookahead(inner="ranger"), "optim.inner"),
        (lambda: Lookahead(k=0), r"optim.k must be a whole number in \[1, inf\), got 0"),
        (lambda: Lookahead(alpha=0), "optim.alpha"),
        (lambda: Ranger(eps=0), "optim.eps"),
        (lambda: Muon(iterations=0), "optim.iterations"),
        (
            lambda: Muon(adjust_lr="orginal"),
            "optim.adjust_lr must be one of .*, got 'orginal'; did you mean 'original'",
        ),
    ],
)
def test_bad_parameters_say_so(build, message):
    with pytest.raises(InputError, match=message):
        build()
