"""Invariant 1 where somebody's own code is: a run in a stack is the run alone, or is refused in one line, untrained."""

from typing import Any

import pytest
import torch
from torch import nn
from typer.testing import CliRunner

import own_parts
from agreement import act, filled, random
from initbench import build
from initbench.cli import app
from initbench.config.grid import expand
from initbench.engine.metrics import dead, saturated
from initbench.engine.programs.loop import LoopProgram
from initbench.engine.programs.mlp import MLPProgram
from initbench.engine.programs.vmap import VmapProgram
from initbench.engine.state import Stacked, stack
from initbench.engine.train import Training
from initbench.errors import InputError
from initbench.parts import averages, optimizers
from initbench.parts.activations import Activation
from initbench.parts.trials import check_average, check_optimizer, is_elementwise
from initbench.planning import isolation
from initbench.planning.sweep import prepare
from small_models import MLP
from test_activations import ALL
from test_engine import in_float64

SMALL = ["depth=2", "width=12", "batch_size=20", "steps=5", "log_every=2", "eval_every=3"]


# What is proven elementwise


@pytest.mark.parametrize("function", ALL)
def test_every_activation_of_ours_passes_the_trial_that_others_must_pass(function):
    assert is_elementwise(function) and Activation(function).elementwise


@pytest.mark.parametrize(
    ("name", "proven"),
    [
        *((name, True) for name in ("sine", "quick_gelu", "straight_through")),
        *((name, False) for name in ("centered", "scaled", "shares", "counted", "faintly_centered", "even_gradient")),
        *((name, False) for name in ("branching", "in_place", "detached", "no_tensor", "noisy", "coin", "fading")),
    ],
)
def test_an_activation_is_elementwise_only_where_no_other_input_matters(name, proven):
    act = Activation(getattr(own_parts, name))
    assert act.elementwise is proven
    model = MLP((9,), 4, depth=2, width=12, act=lambda: act)
    assert MLPProgram.takes(model) is proven


def test_a_trial_leaves_random_numbers_alone():
    before = torch.get_rng_state()
    assert not is_elementwise(own_parts.noisy)
    assert torch.equal(torch.get_rng_state(), before)


EVERY_OPTIMIZER = [cls for cls in vars(optimizers).values() if isinstance(cls, type)]


@pytest.mark.parametrize("optimizer", [*EVERY_OPTIMIZER, own_parts.NormedSteps, own_parts.Lion])
def test_optimizers_that_keep_their_word(optimizer):
    check_optimizer("it", optimizer())


@pytest.mark.parametrize("average", [averages.EMA(), averages.SWA(start=0.1, every=2)])
def test_averages_of_ours_pass_the_trial(average):
    check_average("it", average)


# A run in a stack and the run alone


def alone_and_beside(*overrides: str) -> tuple[tuple[Training, Stacked], ...]:
    """The middle one of three runs trained alone by plain autograd, and in a stack by what `run` chooses; float64."""
    runs = expand([*SMALL, *overrides, "seed=0,1,2"]).runs
    dataset = in_float64(build.data(runs[0].config))
    looped = bool(isolation.check_isolation(runs))
    trained = []
    for some in (runs[1:2], runs):
        models = [build.initialized(run.config, dataset, torch.float64) for run in some]
        state, seeds = stack(models, torch.device("cpu")), [run.config["seed"] for run in some]
        training = Training(
            state,
            models[0],
            dataset,
            build.recipe(some[0].config),
            seeds=seeds,
            lrs=[0.05, 0.02, 0.1][: len(some)] if len(some) > 1 else [0.02],
            looped=looped,
        )
        if len(some) == 1 and not isinstance(training.program, LoopProgram):
            plain = LoopProgram(models[0], state, dataset.objective.loss, training.program.masks)
            training.program = training.updater.program = plain
        trained.append((training, state))
    return tuple(trained)


MINE = [
    "act=own_parts.sine",
    "act=own_parts.centered",
    "act=own_parts.scaled",
    "act=own_parts.shares",
    "act=own_parts.counted",
    "act=own_parts.even_gradient",
    "act=own_parts.branching",
    "act=own_parts.centered norm=batch",
    "act=own_parts.centered average=ema regularize.dropout=0.2",
    "model=own_parts.Plain act=own_parts.scaled",
    "model=own_parts.OverBatch",
    "model=own_parts.OverBatch average=swa average.start=0.1 average.every=2",
    "model=own_parts.hooked_mlp",
    "model=own_parts.Peephole data=digits_rows act=tanh",
    "norm=own_parts.centre",
    "data=own_parts.hard",
    "data=own_parts.hard act=own_parts.centered",
    "optim=own_parts.NormedSteps",
    "optim=own_parts.Lion",
    "schedule=own_parts.Sawtooth",
    "init=own_parts.half",
    "init=own_parts.returns_the_model",
]


@pytest.mark.slow
@pytest.mark.parametrize("overrides", MINE)
def test_a_run_of_somebodys_own_parts_is_the_same_alone_and_in_a_stack(overrides):
    (alone, own), (beside, stacked) = alone_and_beside(*overrides.split())
    one, record = alone.run(), beside.run()
    torch.testing.assert_close(stacked.weights[1], own.weights[0], rtol=1e-7, atol=1e-9)
    for name, rows in own.buffers.items():
        torch.testing.assert_close(stacked.buffers[name][1], rows[0], rtol=1e-7, atol=1e-9)
    near: dict[str, Any] = {"rtol": 1e-7, "atol": 1e-9, "equal_nan": True}
    torch.testing.assert_close(torch.tensor(record.losses[:, 1]), torch.tensor(one.losses[:, 0]), **near)
    snapshots = [torch.tensor(each.snapshots) for each in (record, one)]
    torch.testing.assert_close(snapshots[0][..., 1], snapshots[1][..., 0], rtol=1e-5, atol=1e-6, equal_nan=True)
    for (*_, beside_others), (*_, apart) in zip(record.evaluations, one.evaluations, strict=True):
        assert beside_others.loss[1] == pytest.approx(apart.loss[0], rel=1e-7)
        assert beside_others.acc[1] == apart.acc[0]


def test_the_stack_of_an_activation_that_looks_at_others_is_not_the_fast_one():
    """What the fast program would do to it: the same weights give other losses beside other runs."""
    (_, _), (beside, stacked) = alone_and_beside("act=own_parts.scaled")
    assert isinstance(beside.program, VmapProgram)
    x, y = beside.minibatches.at(0)
    right, _ = beside.program.step(x, y, log=False)
    wrong, _ = MLPProgram(beside.program.model, stacked).step(x, y, log=False)  # type: ignore[arg-type]
    assert (right - wrong).abs().max() > 0.01


def test_dead_and_saturated_are_unknown_where_an_activation_is_not_elementwise():
    training = alone_and_beside("act=own_parts.centered")[1][0]
    hidden, head = training.observe().units
    for metric in (dead, saturated):
        assert metric(hidden).isnan().all() and (metric(head) == 0).all()


# Programs written by hand take what they were written for


def test_the_fast_program_takes_no_mlp_that_somebody_has_changed():
    def changed(change) -> nn.Module:
        model = MLP((9,), 4, depth=2, width=12)
        change(model)
        return model

    assert MLPProgram.takes(changed(lambda model: None))
    for change in (
        lambda model: model.layers[0].register_forward_hook(lambda *_: None),
        lambda model: model.layers[0].linear.register_forward_pre_hook(lambda *_: None),
        lambda model: model.head.register_full_backward_hook(lambda *_: None),
        lambda model: setattr(model, "forward", lambda x: x),
        lambda model: setattr(model, "head", nn.Sequential(model.head)),
        lambda model: setattr(model, "head", nn.Linear(12, 4, bias=False)),
        lambda model: setattr(model.layers[1], "linear", nn.Linear(12, 12, bias=False)),
        lambda model: setattr(model.layers[1], "act", nn.ReLU()),
        lambda model: nn.utils.parametrizations.weight_norm(model.head),
    ):
        assert not MLPProgram.takes(changed(change))


@pytest.mark.parametrize("program", [VmapProgram, LoopProgram])
def test_somebodys_variant_of_an_lstm_is_computed_as_it_is_written(program):
    """No hook watches: a cell with peepholes was computed by the fused steps of the cell that it extends."""
    spec_of = expand(["model=own_parts.Peephole", "data=digits_rows", "act=tanh", "depth=1", "width=6"]).runs[0].config
    dataset = in_float64(build.data(spec_of))
    model = filled(build.model(spec_of, dataset))
    state = stack([model] * 2, torch.device("cpu"))
    x = dataset.x_test[:5]
    outputs = program(model, state, dataset.objective.loss).predict(x)
    h = c = x.new_zeros(5, 6)
    cell = model.layers[0]
    for x_t in x.permute(2, 0, 1):
        gates = cell.input(x_t) + cell.recurrent(h) + 0.5 * torch.cat([c, c, c, 0 * c], 1)
        i, f, o, candidate = gates.chunk(4, 1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(candidate)
        h = torch.sigmoid(o) * torch.tanh(c)
    for run in range(2):
        torch.testing.assert_close(outputs[run], model.head(h), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("program", [VmapProgram, LoopProgram])
def test_a_buffer_that_is_replaced_is_kept_as_pytorch_keeps_it(program):
    models = [filled(own_parts.OverBatch((9,), 4, 6, act), seed) for seed in range(2)]
    state = stack(models, torch.device("cpu"))
    made = program(models[0], state, torch.nn.functional.cross_entropy)
    for step in range(3):
        x, y = random(2, 8, 9, seed=step), torch.zeros(2, 8, dtype=torch.int64)
        made.step(x, y, log=False)
        for run, model in enumerate(models):
            model.train()(x[run])
            torch.testing.assert_close(state.buffers["mean"][run], model.mean, rtol=1e-9, atol=1e-12)
    outputs = made.predict(random(5, 9, seed=9))
    for run, model in enumerate(models):
        torch.testing.assert_close(outputs[run], model.eval()(random(5, 9, seed=9)), rtol=1e-9, atol=1e-12)


# Refused in one line, before anything is trained

REFUSED = [
    # activations
    ("act=own_parts.in_place", r"act: in_place writes into its input; it must return a new tensor"),
    ("act=own_parts.detached", r"act: detached passes no gradient on"),
    ("act=own_parts.without_autograd", r"act: without_autograd passes no gradient on"),
    ("act=own_parts.no_tensor", r"act: no_tensor returns tuple, not a tensor"),
    ("act=torch.nn.ReLU", r"act: ReLU is a module; it must be a function of a tensor"),
    ("act=own_parts.noisy", r"act=own_parts\.noisy: a step of training fails with RuntimeError: the model draws rand"),
    ("act=own_parts.coin", r"act=own_parts\.coin: it makes the same run come out different a second time"),
    ("act=own_parts.fading", r"act=own_parts\.fading: it makes the same run come out different a second time"),
    # models, norms
    ("model=own_parts.NoModule", r"model: NoModule gives NoModule, not a torch\.nn\.Module"),
    ("model=own_parts.Frozen", r"model: Frozen stops the training of hidden\.weight"),
    ("model=own_parts.ByLength", r"model: own_parts\.ByLength has other parameters or modules under another seed"),
    ("model=own_parts.OneScaleEach", r"model=own_parts\.OneScaleEach: it makes a run come out different beside other"),
    ("norm=own_parts.no_norm", r"norm: own_parts\.no_norm gives LayerNorm, not an initbench\.parts\.norms\.Norm"),
    # data and losses
    ("data=own_parts.pair", r"data: pair returns tuple, not an initbench\.parts\.data\.Raw"),
    (
        "data=own_parts.other_test_shape",
        r"data must have examples of one shape; in x .* \(9,\) and in x_test \(8,\)",
    ),
    ("data=own_parts.lost_labels", r"data has x_test and no y_test"),
    ("data=own_parts.new_each_time", r"data: own_parts\.new_each_time gives other data each time"),
    ("data=own_parts.remembered", r"data=own_parts\.remembered: it makes"),
    # optimizers, schedules, averages, metrics
    ("optim=own_parts.NotElementwise", r"optim: NotElementwise has elementwise=True, but its update looks at other"),
    ("optim=own_parts.SkipsNaN", r"optim: SkipsNaN has elementwise=True, but its update looks at other"),
    ("optim=own_parts.Nothing", r"optim: Nothing gives Nothing, which has no elementwise"),
    ("optim=torch.optim.SGD", r"optim: torch\.optim\.SGD needs optim\.params"),
    ("schedule=own_parts.Nothing", r"schedule: Nothing gives Nothing, which has no factor"),
    ("average=own_parts.OfUnitNorm", r"average: OfUnitNorm looks at other entries"),
    ("metrics=[own_parts.centered]", r"metrics: there is no 'own_parts\.centered'"),
    # initializers
    ("init=own_parts.adds", r"init: adds adds the parameter head\.extra; an initializer writes values"),
    ("init=own_parts.looks_and_adds", r"init: looks_and_adds adds the parameter head\.extra"),
    ("init=own_parts.deletes", r"init: deletes removes the parameter head\.bias"),
    ("init=own_parts.reshapes", r"init: reshapes makes the parameter head\.weight, \(10, 12\) of float32, another"),
    ("init=own_parts.in_float64", r"init: in_float64 makes the parameter layers\.0\.linear\.weight, .* float64"),
    ("init=own_parts.freezes", r"init: freezes stops the training of layers\.0\.linear\.weight"),
    ("init=own_parts.swaps_a_module", r"init: swaps_a_module makes the module layers\.0\.act, Activation, another"),
    ("init=own_parts.another_model", r"init: another_model returns another model; it must write into the one"),
    ("init=own_parts.unseeded", r"init=own_parts\.unseeded: it makes the same run come out different a second time"),
    ("init=own_parts.with_a_scale regularize.dropout=0.3", r"init=own_parts\.with_a_scale: it makes a run come out"),
]


OF_ONE_SIZE = ("model=own_parts.ByLength", "model=own_parts.OneScaleEach")  # they take no depth and no width


@pytest.mark.slow
@pytest.mark.parametrize(("overrides", "says"), REFUSED, ids=[overrides for overrides, _ in REFUSED])
def test_what_cannot_be_trained_is_refused_in_one_line(overrides, says, tmp_path):
    sizes = SMALL[2:] if overrides in OF_ONE_SIZE else SMALL
    with pytest.raises(InputError, match=says) as caught:
        prepare([*sizes, *overrides.split()], out=tmp_path, device="cpu", timed=False)
    assert "\n" not in str(caught.value)


def test_the_command_ends_with_2_and_has_started_nothing(tmp_path):
    out = tmp_path / "results"
    done = CliRunner().invoke(app, ["run", "init=own_parts.deletes,he", *SMALL, "--out", str(out), "--device", "cpu"])
    assert done.exit_code == 2 and not out.exists()
    assert "init: deletes removes the parameter head.bias" in " ".join(done.output.split())


def test_finished_runs_are_not_tried_again(tmp_path, monkeypatch):
    overrides = [*SMALL, "act=own_parts.centered", "init=he,xavier"]
    sweep = prepare(overrides, out=tmp_path, device="cpu", workers=1)
    sweep.save()
    assert {row["status"] for status in sweep.train(lambda *_: None) for row in status.rows} == {"done"}
    monkeypatch.setattr(isolation, "needs_loop", lambda *_: pytest.fail("tried again"))
    assert not prepare(overrides, out=tmp_path, device="cpu").stacks


def test_one_trial_is_enough_for_a_shape_and_one_for_each_own_initializer(monkeypatch):
    tried = []
    monkeypatch.setattr(isolation, "needs_loop", lambda parts, *_: tried.append(parts) or False)
    isolation.check_isolation(expand([*SMALL, "act=own_parts.sine,own_parts.scaled,relu", "init=he,xavier"]).runs)
    assert tried == ["act=own_parts.sine", "act=own_parts.scaled"]
    tried.clear()
    isolation.check_isolation(expand([*SMALL, "init=he,own_parts.half", "seed=0,1", "lr=0.1,0.2"]).runs)
    assert tried == ["init=own_parts.half"]


def test_data_with_a_loss_of_ours_are_loaded_twice_and_not_trained_on(monkeypatch):
    tried = []
    monkeypatch.setattr(isolation, "needs_loop", lambda parts, *_: tried.append(parts) or False)
    isolation.check_isolation(expand([*SMALL, "data=own_parts.easy,own_parts.hard"]).runs)
    assert tried == ["data=own_parts.hard"]


def test_what_vmap_does_not_take_is_trained_one_by_one_wherever(tmp_path):
    """Without a trial of speeds too, as on a GPU: it failed there when its first stack was trained."""
    plan = prepare([*SMALL, "act=own_parts.branching,own_parts.scaled"], out=tmp_path, device="cpu", timed=False)
    looped = {stack.runs[0].choices["act"]: plan.looped(stack) for stack in plan.stacks}
    assert looped == {"own_parts.branching": True, "own_parts.scaled": False}
