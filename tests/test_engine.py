"""Invariants 1 and 2: a run inside a stack is the run alone, and a run that turns to NaN leaves the others alone."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache, partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import references
from initbench import build
from initbench.config.grid import expand
from initbench.config.registry import choices
from initbench.engine.batches import Batches
from initbench.engine.observation import measure
from initbench.engine.programs.loop import LoopProgram
from initbench.engine.programs.mlp import MLPProgram
from initbench.engine.programs.output_loss import by_autograd, cross_entropy
from initbench.engine.programs.vmap import VmapProgram
from initbench.engine.recipe import Recipe
from initbench.engine.state import stack, unstack
from initbench.engine.update import Updater
from initbench.parts.data import Dataset, Raw, prepare
from initbench.parts.losses import CLASSIFICATION, TrainingObjective
from initbench.parts.optimizers import SGD
from initialized_layers import LOADS, RECURRENT, RESIDUAL, TRANSFORMER

CPU = torch.device("cpu")
STATES = 50  # of a trajectory, from each of which one step is compared
LRS, SEEDS = [0.01, 0.05, 0.002], [0, 1, 2]
PROGRAMS = {
    "by hand": lambda model, state, loss=F.cross_entropy: MLPProgram(model, state),
    "general": partial(VmapProgram, loss=F.cross_entropy),
    "looped": partial(LoopProgram, loss=F.cross_entropy),
}
WIDTH = 9
FITTING = {  # what a model is tried on, where that is not images
    "logistic": ["depth=0"],
    "conv1d": ["data=mnist1d"],
    "rnn": ["data=digits_rows", "init=xavier"],
    "lstm": ["data=adding", "data.length=12", "data.samples=300", "init.forget_bias=1", "init.recurrent=orthogonal"],
    "gru": ["data=digits_rows", "model.bidirectional=true", "model.readout=flatten"],
    "transformer": ["data=text", "data.length=12", "model.heads=3", "model.tied_embeddings=true"],
    "seq2seq": ["data=reverse", "data.samples=300", "model.heads=3"],
}
ALONE = {  # the same optimizer as torch has it, or by its paper
    "sgd": lambda parameters, lr: torch.optim.SGD(parameters, lr=lr, momentum=0.9),
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "rmsprop": torch.optim.RMSprop,
    "adagrad": torch.optim.Adagrad,
    "radam": torch.optim.RAdam,
    "lamb": references.LAMB,
    "lookahead": references.lookahead,
    "ranger": references.ranger,
    "muon": references.Muon,
}


@pytest.fixture(scope="module")
def data() -> Dataset:
    generator = torch.Generator().manual_seed(0)
    x = 3 * torch.randn(300, 2, 7, generator=generator) + 1
    y = torch.randint(0, 5, (300,), generator=generator)
    return in_float64(prepare(Raw(x, y, classes=5)))


def in_float64(dataset: Dataset) -> Dataset:
    """The same data with as many digits; tokens and labels stay what they are."""
    parts = {
        name: part for name, part in vars(dataset).items() if isinstance(part, Tensor) and part.is_floating_point()
    }
    return replace(dataset, **{name: part.double() for name, part in parts.items()})


def sized(overrides: Sequence[str]) -> list[str]:
    """The overrides, and a width where they have none."""
    return [*overrides] if any(each.startswith("width=") for each in overrides) else [f"width={WIDTH}", *overrides]


def three_runs(data: Dataset, *overrides: str) -> list[tuple[nn.Module, float, int]]:
    """Three models of one shape as they start, float64, with their learning rates and seeds."""
    runs = expand([*sized(overrides), "batch_size=20", "seed=0,1,2"]).runs
    models = [build.initialized(run.config, data, torch.float64) for run in runs]
    return list(zip(models, LRS, [0, 1, 2], strict=True))


def every(*axes: Sequence[Any], fast: Callable[..., bool]) -> list[Any]:
    """All combinations as parameters of a test; those that are not fast are slow."""
    points = itertools.product(*axes)
    return [pytest.param(*point, marks=() if fast(*point) else pytest.mark.slow) for point in points]


def relative(a: Tensor, b: Tensor) -> float:
    """The distance of a from b in units of b's norm."""
    return float((a - b).norm() / b.norm().clamp(min=1e-300))


def one_step_agrees(data: Dataset, program: str, optimizer: str, overrides: list[str]) -> None:
    """Follow run 1 alone; at each of its states, step once alone and once as the middle row of a stack."""
    runs = three_runs(data, *overrides)
    config = expand([*sized(overrides), f"optim={optimizer}"]).runs[0].config
    model, lr, _ = runs[1]
    alone = ALONE[optimizer](model.parameters(), lr)
    state = stack([m for m, _, _ in runs], CPU)
    make = PROGRAMS[program]
    shape_of = build.model(config, data).double()
    step = Updater(make(shape_of, state, loss=data.objective.loss), state, build.recipe(config), LRS, SEEDS)
    batches = Batches([s for _, _, s in runs], len(data.y_train), 20, CPU)
    for t in range(STATES):
        index = batches.at(t)
        x, y = data.x_train[index], data.y_train[index]
        for name, parameter in model.named_parameters():  # the stack's middle row goes where the run alone is
            state.parameters[name][1] = parameter.detach()
        losses, _ = step(x, y, log=False)
        alone.zero_grad()
        loss = data.objective.loss(model(x[1]), y[1])
        loss.backward()
        assert loss.isfinite()
        gradient = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
        alone.step()
        assert float(losses[1]) == pytest.approx(loss.item(), rel=1e-9, abs=1e-9)
        stacked = torch.cat([g[1].flatten() for g in state.gradients.values()])
        assert relative(stacked, gradient) < 1e-7
        after = torch.cat([p.detach().flatten() for p in model.parameters()])
        assert relative(torch.cat([p[1].flatten() for p in state.parameters.values()]), after) < 1e-7


WHAT_FOR = {  # the models that some schemes are for
    **{
        init: [f"model.{key}" for key in ("branch_scale=1", "branch_layers=2", "learn_scale=true")] for init in RESIDUAL
    },
    "fixup": ["model.branch_scale=1", "model.branch_layers=2", "model.scalar_biases=true"],
    **{init: ["model=transformer", "model.heads=3"] for init in TRANSFORMER},
    "deepnorm": ["model=transformer", "model.heads=3", "model.residual=deepnorm"],
    "t_fixup": ["model=transformer", "model.heads=3", "model.residual=plain"],
    **{init: ["model=lstm"] for init in RECURRENT},
    "mup": [f"init.base_width={WIDTH}"],  # where all its rates are 1; for others: tests/test_mup.py
}


@pytest.mark.slow
@pytest.mark.parametrize("init", [name for name in choices("init") if name not in LOADS])
def test_a_step_in_a_stack_is_the_step_alone_for_every_initializer(data, init):
    depth = 5 if init in RESIDUAL else 4 if init not in WHAT_FOR else 2
    overrides = [f"init={init}", "act=tanh", f"depth={depth}", *WHAT_FOR.get(init, [])]
    one_step_agrees(data, "general" if init in WHAT_FOR else "by hand", "sgd", overrides)


# He's weights are for ReLU: with an activation that grows faster, losses would soon overflow, and NaN agrees with all.
KEEPS_THE_SIGNAL = ["init=lecun", "init.gain=auto"]


@pytest.mark.parametrize(
    "act, program",
    every(choices("act"), PROGRAMS, fast=lambda act, program: program == "by hand" and act in ("relu", "tanh", "gelu")),
)
def test_a_step_in_a_stack_is_the_step_alone_for_every_activation(data, act, program):
    one_step_agrees(data, program, "sgd", [f"act={act}", "depth=3", *KEEPS_THE_SIGNAL])


@pytest.mark.parametrize(
    "depth, optimizer, program",
    every([0, 2, 20], choices("optim"), PROGRAMS, fast=lambda *point: point == (2, "adam", "by hand")),
)
def test_a_step_in_a_stack_is_the_step_alone_for_every_optimizer(data, optimizer, program, depth):
    one_step_agrees(data, program, optimizer, [f"depth={depth}"])


@pytest.mark.slow
@pytest.mark.parametrize("program", ["general", "looped"])
@pytest.mark.parametrize("model", choices("model"))
def test_a_step_in_a_stack_is_the_step_alone_for_every_model(model, program):
    overrides = [f"model={model}", "act=tanh", "depth=2", *FITTING.get(model, [])]
    overrides = [override for override in overrides if model != "logistic" or override != "depth=2"]
    data = in_float64(build.data({**expand(overrides).runs[0].config, "batch_size": 20}))
    one_step_agrees(data, program, "sgd", overrides)


@pytest.mark.parametrize(
    "model", ["mlp", pytest.param("cnn", marks=pytest.mark.slow), pytest.param("conv1d", marks=pytest.mark.slow)]
)
def test_a_step_in_a_stack_is_the_step_alone_for_layers_of_different_widths(model):
    overrides = [f"model={model}", "act=tanh", "width=[8,6,4]", *FITTING.get(model, [])]
    data = in_float64(build.data({**expand(overrides).runs[0].config, "batch_size": 20}))
    one_step_agrees(data, "general", "sgd", overrides)


@pytest.mark.parametrize(
    "act, init", every(["relu", "sigmoid"], ["he", "xavier", "lecun"], fast=lambda act, init: init == "xavier")
)
def test_free_running_curves_agree(data, init, act):
    runs = three_runs(data, f"init={init}", f"act={act}", "depth=3")
    models = [model for model, _, _ in runs]
    state = stack(models, CPU)
    step = Updater(MLPProgram(models[0], state), state, Recipe(SGD()), LRS, SEEDS)
    batches = Batches([0, 1, 2], len(data.y_train), 20, CPU)
    alone = [ALONE["sgd"](model.parameters(), lr) for model, lr, _ in runs]
    for t in range(50):
        index = batches.at(t)
        losses, _ = step(data.x_train[index], data.y_train[index], log=False)
        for i, (model, optimizer) in enumerate(zip(models, alone, strict=True)):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(data.x_train[index[i]]), data.y_train[index[i]])
            loss.backward()
            optimizer.step()
            assert float(losses[i]) == pytest.approx(loss.item(), rel=1e-9, abs=1e-9)


@pytest.fixture(scope="module")
def neighbours(data) -> Callable[..., list[Tensor]]:
    """All that is seen of the first and the last of three runs; `poison`: what the middle one's weights become."""

    @cache
    def watched(act: str, program: str, poison: float | None = None) -> list[Tensor]:
        models = [model.float() for model, _, _ in three_runs(data, f"act={act}", "depth=3")]
        state = stack(models, CPU)
        step = Updater(PROGRAMS[program](models[0], state), state, Recipe(SGD()), LRS, SEEDS)
        batches = Batches([0, 1, 2], len(data.y_train), 20, CPU)
        metrics = build.metrics(expand([]).runs[0].config).values()
        seen = []
        for t in range(20):
            if poison is not None and t == 5:
                state.weights[1] = poison
            index = batches.at(t)
            losses, snapshot = step(data.x_train[index].float(), data.y_train[index], log=True)
            seen += [losses[[0, 2]].clone(), state.weights[[0, 2]].clone()]
            seen += [measure(snapshot.units, step.weights(snapshot), metrics)[:, :, [0, 2]]]
        assert losses.isfinite().tolist() == [True, poison is None or abs(poison) < 1, True]
        return seen

    return watched


@pytest.mark.parametrize("poison", [torch.nan, torch.inf, 0.0])
@pytest.mark.parametrize(
    "act, program", every(["relu", "gelu"], PROGRAMS, fast=lambda *point: point == ("relu", "by hand"))
)
def test_a_run_that_turns_to_nan_leaves_its_neighbours_exactly_as_they_were(neighbours, act, poison, program):
    """Float32, a width that fills no vector register, bit for bit, statistics included."""
    for healthy, beside_nan in zip(neighbours(act, program), neighbours(act, program, poison), strict=True):
        torch.testing.assert_close(healthy, beside_nan, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("act", every(choices("act"), fast=lambda act: act in ("relu", "tanh", "gelu")))
def test_all_programs_see_the_same(data, act):
    models = [model for model, _, _ in three_runs(data, f"act={act}", "depth=3")]
    index = Batches([0, 1, 2], len(data.y_train), 20, CPU).at(0)
    x, y = data.x_train[index], data.y_train[index]
    states = [stack(models, CPU) for _ in PROGRAMS]
    programs = [make(models[0], state) for make, state in zip(PROGRAMS.values(), states, strict=True)]
    by_hand, *others = (program.step(x, y, log=True)[1] for program in programs)
    assert by_hand.names == ["layers.0", "layers.1", "layers.2", "head"]
    assert [len(units.activation) for units in by_hand.units] == [3, 1]
    for other in others:
        assert (by_hand.names, by_hand.parameters) == (other.names, other.parameters)
        for a, b in zip(by_hand.units, other.units, strict=True):
            for what in ("pre_grad", "activation", "slope"):
                torch.testing.assert_close(getattr(a, what), getattr(b, what), rtol=1e-9, atol=1e-12)
    logits, *others = (program.predict(data.x_test) for program in programs)
    for other in others:
        torch.testing.assert_close(logits, other, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("program", PROGRAMS)
def test_weights_at_a_log_step_are_those_before_the_update_and_what_it_changed(data, program):
    models = [model for model, _, _ in three_runs(data, "depth=3")]
    state = stack(models, CPU)
    step = Updater(PROGRAMS[program](models[0], state), state, Recipe(SGD()), LRS, SEEDS)
    index = Batches([0, 1, 2], len(data.y_train), 20, CPU).at(0)
    _, snapshot = step(data.x_train[index], data.y_train[index], log=True)
    first, hidden, _head = step.weights(snapshot)
    assert hidden.weight.shape == (2, 3, 9, 9)  # two layers of one shape, three runs
    for run, model in enumerate(models):
        assert torch.equal(first.weight[0, run], model.layers[0].linear.weight)
        assert torch.equal(hidden.weight[1, run], model.layers[2].linear.weight)
        moved = -LRS[run] * hidden.grad[1, run]  # the first step of SGD with momentum
        torch.testing.assert_close(hidden.change[1, run], moved, rtol=1e-6, atol=1e-12)


def test_stacking_and_unstacking_lose_nothing(data):
    models = [model for model, _, _ in three_runs(data, "depth=2")]
    state = stack(models, CPU)
    for i, model in enumerate(models):
        for name, tensor in unstack(state, i).items():
            assert torch.equal(tensor, model.state_dict()[name])


class Zoo(nn.Module):
    """A convolution, batch normalization and a recurrent cell that is called again and again: what comes later."""

    def __init__(self):
        super().__init__()
        from initbench.parts.activations import Activation, tanh

        self.stem = nn.Conv1d(2, 4, 3)
        self.norm = nn.BatchNorm1d(4)
        self.act = Activation(tanh)
        self.cell = nn.Linear(4 + 6, 6)
        self.head = nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        h = self.act(self.norm(self.stem(x)))
        memory = h.new_zeros(len(h), 6)
        for t in range(h.shape[2]):
            memory = torch.tanh(self.cell(torch.cat([h[:, :, t], memory], 1)))
        return self.head(memory)


@pytest.mark.parametrize("program", [VmapProgram, LoopProgram])
def test_the_general_programs_take_convolutions_batch_norm_and_recurrent_cells(data, program):
    """Buffers too: after ten steps the running statistics of each run are those of the run alone."""
    torch.manual_seed(0)
    models = [Zoo().double() for _ in range(3)]
    state = stack(models, CPU)
    step = Updater(program(Zoo().double(), state, F.cross_entropy), state, Recipe(SGD()), LRS, SEEDS)
    batches = Batches([0, 1, 2], len(data.y_train), 20, CPU)
    alone = [ALONE["sgd"](model.parameters(), lr) for model, lr in zip(models, LRS, strict=True)]
    for t in range(10):
        index = batches.at(t)
        losses, snapshot = step(data.x_train[index], data.y_train[index], log=True)
        for i, model in enumerate(models):
            loss = F.cross_entropy(model(data.x_train[index[i]]), data.y_train[index[i]])
            alone[i].zero_grad()
            loss.backward()
            alone[i].step()
            assert float(losses[i]) == pytest.approx(loss.item(), rel=1e-9)
    assert snapshot.names == ["layer 1 (stem, Conv1d)", "layer 2 (cell, Linear)", "layer 3 (head, Linear)"]
    assert snapshot.units[0].activation.shape == (1, 3, 20 * 5, 4)
    assert snapshot.units[1].activation.shape == (1, 3, 5 * 20, 6)  # five time steps of one layer
    assert snapshot.times[1].shape == (5, 3)
    over_time = (snapshot.times[1] ** 2).sum(0).sqrt()
    torch.testing.assert_close(over_time, snapshot.units[1].pre_grad_norm[0], rtol=1e-9, atol=0)
    for i, model in enumerate(models):
        for name, buffer in model.named_buffers():
            torch.testing.assert_close(state.buffers[name][i], buffer, rtol=1e-9, atol=0)
        model.eval()
        outputs = step.program.predict(data.x_test)[i]
        torch.testing.assert_close(outputs, model(data.x_test), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_the_gradient_at_the_outputs_is_the_closed_form_also_by_autograd(smoothing):
    """Hand-written backward passes start from it; the losses that are returned are those that are recorded."""
    generator = torch.Generator().manual_seed(0)
    outputs = 3 * torch.randn(4, 6, 5, generator=generator, dtype=torch.float64)
    y = torch.randint(0, 5, (4, 6), generator=generator)
    objective = TrainingObjective(CLASSIFICATION.smoothed(smoothing).loss, CLASSIFICATION.loss, None)
    losses, gradients = by_autograd(objective)(outputs, y)
    closed_losses, closed = cross_entropy(outputs, y, smoothing)
    torch.testing.assert_close(losses, closed_losses)
    torch.testing.assert_close(gradients, closed)
