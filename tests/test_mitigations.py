"""Mitigations: each works inside a stack as it does alone (invariant 1), and does what its name says."""

import dataclasses
import math
import random
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from initbench import build
from initbench.config.grid import expand
from initbench.config.registry import choices
from initbench.engine.batches import Batches
from initbench.engine.early_stopping import EarlyStopping
from initbench.engine.minibatches import minibatches_of
from initbench.engine.noise import Masks, Streams
from initbench.engine.objective import training_objective
from initbench.engine.precision import LossScale
from initbench.engine.programs.choose import choose_program
from initbench.engine.programs.loop import LoopProgram
from initbench.engine.programs.mlp import MLPProgram
from initbench.engine.programs.output_loss import cross_entropy
from initbench.engine.programs.vmap import VmapProgram
from initbench.engine.recipe import Recipe
from initbench.engine.state import Stacked, stack
from initbench.engine.update import Updater
from initbench.parts.averages import EMA, SWA
from initbench.parts.data import Dataset, Raw, prepare
from initbench.parts.optimizers import SGD, AdamW
from initbench.parts.regularization import Gradient, Regularize, clipped

CPU = torch.device("cpu")
STATES, LRS, SEEDS = 50, [0.01, 0.03, 0.002], [3, 1, 2]
HALVES = {"bfloat16", "float16", "tf32"}  # their rounding differs with the order of sums
COMMON = ["width=8", "depth=3", "batch_size=20", "act=tanh", "steps=60", "data.val_fraction=0.2"]


@pytest.fixture(scope="module")
def data() -> Dataset:
    return small_data(2, 7)


def small_data(*shape: int) -> Dataset:
    generator = torch.Generator().manual_seed(0)
    x = 3 * torch.randn(300, *shape, generator=generator) + 1
    y = torch.randint(0, 5, (300,), generator=generator)
    return in_float64(prepare(Raw(x, y, classes=5), val_fraction=0.2))


def in_float64(data: Dataset) -> Dataset:
    return dataclasses.replace(data, **{name: part.double() for name, part in inputs(data).items()})


def inputs(data: Dataset) -> dict[str, Tensor]:
    return {name: part for name, part in vars(data).items() if name.startswith("x_")}


def steppers(data: Dataset, overrides: list[str], how: str) -> tuple[Updater, Updater]:
    """Run 1 alone, trained by torch's own autograd on an ordinary module, and in the middle of a stack of three.

    how: the stack's program, "chosen" as a training does, "general" or "looped".
    """
    given = {text.partition("=")[0] for text in overrides}
    common = [text for text in COMMON if text.partition("=")[0] not in given]
    runs = [expand([*common, *overrides, f"seed={seed}"]).runs[0] for seed in SEEDS]
    recipe = build.recipe(runs[0].config)
    models = [build.initialized(run.config, data, torch.float64) for run in runs]

    def stepper(chosen: slice, how: str) -> Updater:
        model, state, seeds = models[chosen][0], stack(models[chosen], CPU), SEEDS[chosen]
        objective = training_objective(data, recipe)
        rest = (objective.loss, Masks(seeds, CPU), recipe.precision, objective.recorded)
        match how:
            case "chosen":
                made = choose_program(model, state, data, recipe, seeds)
            case "general":
                made = VmapProgram(model, state, *rest)
            case _:
                made = LoopProgram(model, state, *rest)
        return Updater(made, state, recipe, LRS[chosen], seeds)

    return stepper(slice(1, 2), "looped"), stepper(slice(0, 3), how)


def put(alone: Updater, together: Updater) -> None:
    """The stack's middle row goes where the run alone is, with all that its optimizer and average remember."""
    together.state.weights[1] = alone.state.weights[0]
    pairs = [(together.state.buffers, alone.state.buffers)]
    pairs += [(together.moments[name], moments) for name, moments in alone.moments.items()]
    if alone.average is not None and together.average is not None:
        together.average.weights[1] = alone.average.weights[0]
        pairs.append((together.average.buffers, alone.average.buffers))
    for theirs, own in pairs:
        for name, rows in own.items():
            theirs[name][1] = rows[0]


def relative(a: Tensor, b: Tensor) -> float:
    return float((a - b).norm() / b.norm().clamp(min=1e-300))


def one_step_agrees(data: Dataset, overrides: list[str], how: str = "chosen") -> Updater:
    alone, together = steppers(data, overrides, how)
    own, batches = (
        minibatches_of(data.x_train, data.y_train, data, updater.state, updater.recipe, seeds)
        for updater, seeds in ((alone, SEEDS[1:2]), (together, SEEDS))
    )
    for t in range(STATES):
        put(alone, together)
        expected, _ = alone(*own.at(t), log=False)
        losses, _ = together(*batches.at(t), log=False)
        assert float(losses[1]) == pytest.approx(float(expected[0]), rel=1e-9, abs=1e-9)
        assert relative(together.state.gradient[1], alone.state.gradient[0]) < 1e-7
        assert relative(together.state.weights[1], alone.state.weights[0]) < 1e-7
        if together.average is not None and alone.average is not None:
            assert relative(together.average.weights[1], alone.average.weights[0]) < 1e-7
        for name, rows in alone.state.buffers.items():
            torch.testing.assert_close(together.state.buffers[name][1], rows[0], rtol=1e-9, atol=1e-12)
    return together


def others(group: str, plain: str) -> list[str]:
    return [f"{group}={name}" for name in choices(group) if name != plain]


IMAGES = ("augment_crop", "augment_flip", "augment_rotation", "augment_shift", "cutout")  # mitigations that need them
KEYS = [
    *others("norm", "none"),
    *others("schedule", "constant"),
    *others("average", "none"),
    *others("rebalance", "none"),
    *others("curriculum", "none"),
    *others("mitigation", "none"),
]


@pytest.mark.slow
@pytest.mark.parametrize("how", ["chosen", "looped"])
@pytest.mark.parametrize("override", [key for key in KEYS if key.partition("=")[2] not in HALVES])
def test_a_step_in_a_stack_is_the_step_alone_for_every_mitigation(data, override, how):
    if override.partition("=")[2] in ("smote", "adasyn"):
        thinned = ["data.imbalance=0.2", "data.train_size=300"]
        data = in_float64(build.data(expand([*COMMON, *thinned, override]).runs[0].config))
        assert data.made is not None and len(data.made[0])
    images = override.removeprefix("mitigation=") in IMAGES
    one_step_agrees(small_data(1, 4, 5) if images else data, [override], how)


BY_HAND = [
    ["regularize.dropout=0.2"],
    ["regularize.dropconnect=0.2"],
    ["regularize.alpha_dropout=0.2"],
    ["model.branch_scale=1"],
    ["model.branch_scale=0.5"],
    ["model.branch_scale=0.3", "model.learn_scale=true"],
]
ALL_OF_THEM = [*BY_HAND[-1], *BY_HAND[0], *BY_HAND[1]]


@pytest.mark.parametrize(
    ("keys", "act"),
    [
        (ALL_OF_THEM, "relu"),
        (["regularize.alpha_dropout=0.2", "model.branch_scale=1"], "selu"),
        *(pytest.param(keys, act, marks=pytest.mark.slow) for keys in BY_HAND for act in ("relu", "gelu")),
    ],
)
def test_what_is_stacked_by_hand_is_the_general_path_and_logs_the_same(data, keys, act):
    """Losses, gradients, outputs, and what is logged of each layer: of the three programs, from the same state."""
    steps = [steppers(data, [*keys, f"act={act}", "init=xavier"], how)[1] for how in ("chosen", "general", "looped")]
    assert isinstance(steps[0].program, MLPProgram)
    index = Batches(SEEDS, len(data.y_train), 20, CPU).at(0)
    losses, snapshots = zip(
        *(step.program.step(data.x_train[index], data.y_train[index], True) for step in steps), strict=True
    )
    for i in (1, 2):
        torch.testing.assert_close(losses[0], losses[i], rtol=1e-12, atol=0)
        torch.testing.assert_close(steps[0].state.gradient, steps[i].state.gradient, rtol=1e-9, atol=1e-14)
        outputs = [step.program.predict(data.x_test) for step in steps]
        torch.testing.assert_close(outputs[0], outputs[i], rtol=1e-9, atol=1e-12)
        assert (snapshots[0].names, snapshots[0].parameters) == (snapshots[i].names, snapshots[i].parameters)
        for a, b in zip(snapshots[0].units, snapshots[i].units, strict=True):
            for what in ("pre_grad", "activation", "slope"):
                torch.testing.assert_close(getattr(a, what), getattr(b, what), rtol=1e-9, atol=1e-12)


def combinations(count: int) -> list[list[str]]:
    """Random combinations of norms, optimizers, schedules, averages and keys, always the same ones."""
    chance = random.Random(5)
    keys = ["gradient.clip_norm=0.5", "gradient.noise=0.1", "gradient.centralize=true", "regularize.dropout=0.3"]
    keys += ["regularize.l1=0.001", "regularize.weight_decay=0.01", "regularize.weight_noise=0.02"]
    keys += ["regularize.dropconnect=0.2", "regularize.label_smoothing=0.1", "model.branch_scale=0.5"]
    groups = {name: choices(name) for name in ("optim", "schedule", "average")} | {
        "norm": [name for name in choices("norm") if name != "weight"]  # it and dropconnect exclude each other
    }
    return [
        [*(f"{group}={chance.choice(names)}" for group, names in groups.items()), *chance.sample(keys, 3)]
        for _ in range(count)
    ]


@pytest.mark.slow
@pytest.mark.parametrize("overrides", combinations(10), ids=" ".join)
def test_a_step_in_a_stack_is_the_step_alone_for_random_combinations(data, overrides):
    one_step_agrees(data, overrides)


def test_a_step_in_a_stack_is_the_step_alone_with_dropout_noise_and_clipping(data):
    together = one_step_agrees(data, ["regularize.dropout=0.25", "gradient.noise=0.1", "gradient.clip_norm=0.1"])
    assert isinstance(together.program, MLPProgram)


def test_a_step_in_a_stack_is_the_step_alone_with_maps_that_wrap_around():
    overrides = ["model=cnn", "model.kernels=[5,3]", "model.padding_mode=circular"]
    found = build.data(expand([*COMMON, *overrides]).runs[0].config)
    one_step_agrees(in_float64(found), overrides)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["cnn", "resnet", "conv1d", "transformer"])
def test_dropout_and_normalization_in_stacks_of_other_models(model):
    overrides = [f"model={model}", "regularize.dropout=0.25"]
    overrides += ["data=mnist1d"] if model == "conv1d" else ["data=digits_rows"] if model == "transformer" else []
    overrides += ["norm=batch"] if model != "transformer" else []
    found = build.data(expand([*COMMON, *overrides]).runs[0].config)
    one_step_agrees(in_float64(found), overrides)


# What each does, against torch's own tools or by hand.


def stepped(
    gradients: Tensor, recipe: Recipe, *, weights: Tensor | None = None, steps: int = 1, seeds=(0, 1)
) -> Updater:
    """A stepper of two runs of one 3 x 4 matrix and a bias, whose gradients (2, 15) are given."""
    models = [nn.Linear(4, 3).double() for _ in range(2)]
    state = stack(models, CPU)
    if weights is not None:
        write(state, weights)

    class Given:
        def step(self, x, y, log, scale=None):
            write_gradients(state, gradients)
            return torch.zeros(2), None

        predict = None

    stepper = Updater(Given(), state, recipe, [1.0, 1.0], seeds)  # type: ignore[arg-type]
    for _ in range(steps):
        stepper(torch.empty(0), torch.empty(0), log=False)
    return stepper


def write(state: Stacked, rows: Tensor) -> None:
    for name, part in (("weight", rows[:, :12]), ("bias", rows[:, 12:])):
        state.parameters[name].copy_(part.reshape(state.parameters[name].shape))


def write_gradients(state: Stacked, rows: Tensor) -> None:
    for name, part in (("weight", rows[:, :12]), ("bias", rows[:, 12:])):
        state.gradients[name].copy_(part.reshape(state.gradients[name].shape))


def given(seed: int = 0) -> Tensor:
    return torch.randn(2, 15, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def treated(stepper: Updater) -> Tensor:
    """The gradients (2, 15) after what the recipe does to them."""
    return torch.cat([stepper.state.gradients[name].flatten(1) for name in ("weight", "bias")], 1)


def now(stepper: Updater) -> Tensor:
    return torch.cat([stepper.state.parameters[name].flatten(1) for name in ("weight", "bias")], 1)


PLAIN = SGD(momentum=0)


@pytest.mark.parametrize("most", [0.5, 3.0, 100.0])
def test_clipping_by_norm_is_torchs_for_each_run_by_itself(most):
    gradients = given() * torch.tensor([[1.0], [10.0]], dtype=torch.float64)
    rows = treated(stepped(gradients, Recipe(PLAIN, gradient=Gradient(clip_norm=most))))
    for row, gradient in zip(rows, gradients, strict=True):
        parameter = nn.Parameter(torch.zeros(15, dtype=torch.float64))
        parameter.grad = gradient.clone()
        torch.nn.utils.clip_grad_norm_([parameter], most)
        torch.testing.assert_close(row, parameter.grad, rtol=1e-12, atol=0)


def test_clipping_by_norm_holds_where_a_float32s_square_overflows():
    """Entries of 1e25, as deep nets of N(0, 1) weights have: the length is 0.5 afterwards, and the direction stays."""
    gradients = given()
    long = torch.tensor([[1e25], [1.0]]) * gradients.float()
    short = clipped(long.clone(), 0.5)
    torch.testing.assert_close(short[0].double().norm(), torch.tensor(0.5, dtype=torch.float64), rtol=1e-5, atol=0)
    torch.testing.assert_close(short[0] / short[0].norm(), (gradients[0] / gradients[0].norm()).float())


def test_norms_before_and_after_clipping_are_recorded_at_a_log_step(data):
    _, together = steppers(data, ["gradient.clip_norm=0.01"], "chosen")
    index = Batches(SEEDS, len(data.y_train), 20, CPU).at(0)
    _, snapshot = together(data.x_train[index], data.y_train[index], log=True)
    assert snapshot is not None and together.norms is not None
    before, after = together.norms
    assert (before > 0.01).all()
    torch.testing.assert_close(after, torch.full_like(after, 0.01), rtol=1e-3, atol=0)
    weights = torch.cat([group.grad.flatten(2).square().sum(2) for group in together.weights(snapshot)]).sum(0)
    assert (weights.sqrt() <= before).all() and (weights.sqrt() > 0.5 * before).all()  # what is logged is dL/dW itself


def test_clipping_by_value_cuts_every_entry():
    cut = treated(stepped(given(), Recipe(PLAIN, gradient=Gradient(clip_value=0.3))))
    assert torch.equal(cut, given().clamp(-0.3, 0.3))


def test_centralized_rows_have_mean_0_and_biases_are_left_alone():
    rows = treated(stepped(given(), Recipe(PLAIN, gradient=Gradient(centralize=True))))
    matrices = given()[:, :12].reshape(2, 3, 4)
    torch.testing.assert_close(rows[:, :12].reshape(2, 3, 4), matrices - matrices.mean(2, keepdim=True))
    assert torch.equal(rows[:, 12:], given()[:, 12:])


def test_gradient_noise_fades_and_is_the_seeds_own():
    """Neelakantan et al. 2015 eq. 1: variance eta / (1 + t)^0.55; at t = 9 a factor of 3.55 below that at 0."""
    assert Gradient(noise=0.3).noise_std(0) == pytest.approx(math.sqrt(0.3))
    assert (Gradient(noise=0.3).noise_std(0) / Gradient(noise=0.3).noise_std(9)) ** 2 == pytest.approx(3.548, abs=1e-3)
    noise = treated(stepped(torch.zeros(2, 15), Recipe(PLAIN, gradient=Gradient(noise=4.0)), seeds=[5, 5]))
    assert torch.equal(noise[0], noise[1])  # one seed, one noise: initializers are compared in pairs
    other = treated(stepped(torch.zeros(2, 15), Recipe(PLAIN, gradient=Gradient(noise=4.0)), seeds=[9, 5]))
    assert torch.equal(other[1], noise[1]) and not torch.equal(other[0], noise[0])


def test_noise_is_standard_normal_and_bytes_are_uniform():
    streams = Streams("test", [0, 1], CPU)
    normal, bytes = streams.normal(100_000), streams.bytes(256_001)
    assert normal.mean().abs() < 0.01 and (normal.std() - 1).abs() < 0.01
    assert bytes.shape == (2, 256_001) and bytes.dtype == torch.uint8
    for row in bytes:
        counts = torch.bincount(row.long(), minlength=256).double()
        chi_square = ((counts - 256_001 / 256) ** 2 / (256_001 / 256)).sum()
        assert 170 < chi_square < 360  # 255 degrees of freedom: mean 255, deviation 22.6
    assert not torch.equal(bytes[0], bytes[1])


@pytest.mark.parametrize("decay", [0.01, 0.3])
def test_weight_decay_is_that_of_torchs_optimizers(decay):
    weights = given(1)
    ours = stepped(
        given(), Recipe(SGD(momentum=0.9), regularize=Regularize(weight_decay=decay)), weights=weights, steps=5
    )
    parameter = nn.Parameter(weights.clone())
    torchs = torch.optim.SGD([parameter], lr=1.0, momentum=0.9, weight_decay=decay)
    for _ in range(5):
        parameter.grad = given().clone()
        torchs.step()
    torch.testing.assert_close(now(ours), parameter.detach(), rtol=1e-12, atol=1e-12)


def test_decoupled_decay_is_adamws():
    weights = given(1)
    ours = stepped(
        given(), Recipe(AdamW(weight_decay=0.0), regularize=Regularize(decoupled=0.1)), weights=weights, steps=5
    )
    parameter = nn.Parameter(weights.clone())
    torchs = torch.optim.AdamW([parameter], lr=1.0, weight_decay=0.1)
    for _ in range(5):
        parameter.grad = given().clone()
        torchs.step()
    torch.testing.assert_close(now(ours), parameter.detach(), rtol=1e-10, atol=1e-12)


def test_l1_adds_the_gradient_of_the_sum_of_sizes():
    weights = given(1).requires_grad_()
    (penalty,) = torch.autograd.grad(0.2 * weights.abs().sum(), weights)
    ours = stepped(given(), Recipe(PLAIN, regularize=Regularize(l1=0.2)), weights=weights.detach())
    torch.testing.assert_close(treated(ours), given() + penalty)


def test_weight_noise_is_there_for_the_gradient_and_gone_for_the_update(data):
    alone, _ = steppers(data, ["regularize.weight_noise=0.5"], "looped")
    plain, _ = steppers(data, [], "looped")
    index = Batches(SEEDS, len(data.y_train), 20, CPU).at(0)
    x, y = data.x_train[index][1:2], data.y_train[index][1:2]
    before = alone.state.weights.clone()
    noisy_loss, _ = alone(x, y, log=False)
    loss, _ = plain(x, y, log=False)
    assert abs(float(noisy_loss - loss)) > 1e-3
    moved = alone.state.weights - before
    torch.testing.assert_close(moved, -LRS[1] * alone.state.gradient)  # from where it was, not from where the noise was


@pytest.mark.parametrize("program", ["by hand", "general"])
def test_label_smoothing_is_torchs(data, program):
    runs = [expand([*COMMON, f"seed={seed}"]).runs[0] for seed in SEEDS]
    models = [build.initialized(run.config, data, torch.float64) for run in runs]
    state = stack(models, CPU)
    objective = data.objective.smoothed(0.2)
    general = partial(VmapProgram, loss=objective.loss, recorded=data.objective.loss)
    by_hand = partial(MLPProgram, output_loss=partial(cross_entropy, smoothing=0.2))
    made = (by_hand if program == "by hand" else general)(models[0], state)  # type: ignore
    x, y = data.x_train[:60].reshape(3, 20, 2, 7), data.y_train[:60].reshape(3, 20)
    losses, _ = made.step(x, y, log=False)
    for i, model in enumerate(models):
        F.cross_entropy(model(x[i]), y[i], label_smoothing=0.2).backward()
        recorded = F.cross_entropy(model(x[i]), y[i])  # so that it is known whether the labels were learned
        assert float(losses[i]) == pytest.approx(recorded.item(), rel=1e-12)
        torch.testing.assert_close(state.gradients["head.weight"][i], model.head.weight.grad)


def test_swa_is_torchs_running_mean_of_the_last_part():
    """AveragedModel over the weights after updates 80, 85, ..., 100 of 100: 75 % of the way, and every 5."""
    generator = torch.Generator().manual_seed(0)
    path = torch.randn(100, 7, generator=generator, dtype=torch.float64)
    average, swa = path[0].clone(), SWA(start=0.75, every=5)
    for step, weights in enumerate(path):
        swa.update(average, weights, step, 100)
        if step < 75:
            assert torch.equal(average, weights)
    model = nn.Linear(7, 1, bias=False).double()
    torchs = torch.optim.swa_utils.AveragedModel(model)
    for step in range(79, 100, 5):
        model.weight.data.copy_(path[step])
        torchs.update_parameters(model)
    torch.testing.assert_close(average, torchs.module.weight.detach()[0])


def test_ema_is_torchs_once_it_is_warm():
    path = torch.randn(3000, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    average, ema = path[0].clone(), EMA(decay=0.9)
    model = nn.Linear(2, 1, bias=False).double()
    model.weight.data.copy_(path[0])
    torchs = torch.optim.swa_utils.AveragedModel(model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.9))
    for step, weights in enumerate(path):
        ema.update(average, weights, step, 3000)
        model.weight.data.copy_(weights)
        torchs.update_parameters(model)
    torch.testing.assert_close(average, torchs.module.weight.detach()[0])


def test_averages_are_evaluated_and_the_training_goes_on_from_the_last_weights(data):
    alone, _ = steppers(data, ["average=ema", "average.decay=0.5"], "looped")
    index = Batches(SEEDS, len(data.y_train), 20, CPU).at(0)
    for _ in range(3):
        alone(data.x_train[index][1:2], data.y_train[index][1:2], log=False)
    last = alone.state.weights.clone()
    assert alone.average is not None and not torch.equal(last, alone.average.weights)
    with alone.averaged():
        assert torch.equal(alone.state.weights, alone.average.weights)
    assert torch.equal(alone.state.weights, last)


def test_early_stopping_by_hand():
    """Patience 2; losses of three runs: improves to the end, best at step 20, never finite."""
    state = stack([nn.Linear(1, 1) for _ in range(3)], CPU)
    stopping = EarlyStopping(2, state)
    losses = {0: [3, 3, math.nan], 10: [2.5, 2, math.nan], 20: [2, 1, math.nan], 30: [1.5, 4, 1], 40: [1, 1.0, 1]}
    for step, now_ in losses.items():
        state.weights.fill_(step)
        stopping.update(step, torch.tensor(now_, dtype=torch.float64).numpy())
    assert stopping.best_step.tolist() == [40, 20, 0]
    assert stopping.stopped_step.tolist() == [-1, 40, 10]
    assert not stopping.all_stopped
    stopping.restore()
    assert state.weights[0].unique().tolist() == [40] and state.weights[1].unique().tolist() == [20]


def test_loss_scales_halve_on_overflow_and_double_after_a_while():
    """The numbers of torch.amp.GradScaler: 2^16, halves, doubles after `growth` clean steps."""
    scaling = LossScale(2, CPU, growth=3)
    for overflowed in ([True, False], [False, False], [False, False], [False, False]):
        scaling.update(torch.tensor(overflowed))
    assert scaling.scale.tolist() == [2.0**16, 2.0**17]
    assert scaling.clean.tolist() == [0, 1]


@pytest.mark.parametrize("most", [None, 5.0])
def test_a_run_whose_gradient_overflows_makes_no_step(most):
    """Cut to a value or not: an infinite entry that is cut is no gradient."""
    gradients = given()
    gradients[1, 3] = math.inf
    recipe = Recipe(SGD(momentum=0.9), precision="float16", gradient=Gradient(clip_value=most))
    stepper = stepped(gradients, recipe, weights=given(1))
    assert torch.equal(now(stepper)[1], given(1)[1])
    torch.testing.assert_close(now(stepper)[0], given(1)[0] - gradients[0])
    assert stepper.moments["weights"]["velocity"][1].abs().max() == 0
    assert stepper.scaling is not None and stepper.scaling.scale.tolist() == [2.0**16, 2.0**15]


def test_bfloat16_is_close_to_float32(data):
    """Two decimal digits of mantissa: losses agree to about one part in a hundred at the first step."""
    floats = dataclasses.replace(data, **{name: part.float() for name, part in inputs(data).items()})
    losses = {}
    for precision in ("float32", "bfloat16"):
        runs = [expand([*COMMON, f"seed={seed}", f"precision={precision}"]).runs[0] for seed in SEEDS]
        models = [build.initialized(run.config, floats) for run in runs]
        state, recipe = stack(models, CPU), build.recipe(runs[0].config)
        stepper = Updater(choose_program(models[0], state, floats, recipe, SEEDS), state, recipe, LRS, SEEDS)
        index = Batches(SEEDS, len(data.y_train), 20, CPU).at(0)
        losses[precision], _ = stepper(floats.x_train[index], data.y_train[index], log=False)
    assert losses["bfloat16"].dtype == torch.float32
    difference = (losses["bfloat16"] / losses["float32"] - 1).abs().max()
    assert 0 < difference < 0.02
