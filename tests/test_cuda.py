"""On CUDA a run is what it is on a CPU: to the last digits in float64, to rounding in float32, and always the same."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import initbench
from agreement import with_data
from initbench import build
from initbench.config.grid import expand
from initbench.config.registry import choices
from initbench.config.run import Run
from initbench.engine.precision import matmul_precision
from initbench.engine.programs import choose
from initbench.engine.programs.loop import LoopProgram
from initbench.engine.state import stack
from initbench.engine.train import Training
from initbench.executors.local import CUDA_SHARE
from initbench.planning.cost import shape_of
from initbench.planning.sweep import prepare
from initbench.results.provenance import device_name

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")]

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
LRS, SEEDS = [0.01, 0.03, 0.002], [3, 1, 2]
COMMON = ["width=8", "depth=2", "batch_size=20", "act=tanh", "steps=60", "data.val_fraction=0.2"]
HALVES = ("bfloat16", "float16", "tf32")  # their rounding is the device's own
FITTING = {  # what a model is tried on, where that is not images
    "logistic": ["depth=0"],
    "conv1d": ["data=mnist1d"],
    "rnn": ["data=digits_rows"],
    "lstm": ["data=adding", "data.length=12", "data.samples=300"],
    "gru": ["data=digits_rows", "model.bidirectional=true", "model.readout=flatten"],
    "transformer": ["data=text", "data.length=12", "model.tied_embeddings=true"],
    "seq2seq": ["data=reverse", "data.samples=300"],
}
MODELS = choices("model")


def small(model: str, *more: str) -> list[str]:
    """Overrides of a small run of this model on data that suits it."""
    asked = [f"model={model}", *FITTING.get(model, []), *more]
    given = {text.partition("=")[0] for text in asked}
    return [*(text for text in COMMON if text.partition("=")[0] not in given), *asked]


@cache
def runs_of(*overrides: str) -> list[Run]:
    return expand([*overrides, f"seed={','.join(map(str, SEEDS))}"]).runs


def made(
    overrides: Sequence[str],
    device: torch.device,
    program: str = "chosen",
    dtype: torch.dtype = torch.float64,
    lrs: Sequence[float] = LRS,
) -> Training:
    """A training of three runs on a device. program: "chosen" as a sweep does, or one that autograd differentiates."""
    runs = runs_of(*overrides)
    dataset = build.data(runs[0].config)
    models = [build.initialized(run.config, dataset).to(dtype) for run in runs]
    fast = choose.has_fast_program if program == "chosen" else lambda *given: False
    with patch.object(choose, "has_fast_program", fast):
        recipe, looped = build.recipe(runs[0].config), program == "looped"
        return Training(stack(models, device), models[0], dataset, recipe, seeds=SEEDS, lrs=lrs, looped=looped)


def followed(
    overrides: Sequence[str],
    device: torch.device,
    program: str = "chosen",
    dtype: torch.dtype = torch.float64,
    *,
    steps: int = 3,
    poison: float | None = None,
) -> list[Tensor]:
    """All that is seen of three runs in a few steps, on the CPU: losses, gradients, weights, metrics, predictions.

    Each tensor's rows are the runs. `poison`: what the middle run's weights become after the first step.
    """
    training = made(overrides, device, program, dtype)
    state = training.state
    seen: list[Tensor] = []
    with matmul_precision(training.recipe.precision):
        for step in range(steps):
            if step == 1 and poison is not None:
                state.weights[1] = poison
            losses, snapshot = training.updater(*training.minibatches.at(step), log=True)
            assert snapshot is not None
            shown = [losses, state.gradient, state.weights, training.measure(snapshot).movedim(2, 0)]
            seen += [part.detach().cpu().clone() for part in shown]
        x_test, _ = training.evaluation.parts["test"]
        shown = [*state.buffers.values(), training.program.predict(x_test[:20])]
    return seen + [part.detach().cpu() for part in shown]


def same(ours: Sequence[Tensor], theirs: Sequence[Tensor], tolerance: float) -> None:
    """The rows of the tensors agree to this part of their length."""
    for a, b in zip(ours, theirs, strict=True):
        a, b = (part.double().reshape(len(part), -1) for part in (a, b))
        assert torch.equal(a.isfinite(), b.isfinite())
        a, b = a.nan_to_num(0, 0, 0), b.nan_to_num(0, 0, 0)
        assert ((a - b).norm(dim=1) <= tolerance * (b.norm(dim=1) + 1e-9)).all(), float((a - b).abs().max())


@pytest.mark.parametrize("program", ["chosen", "general", "looped"])
@pytest.mark.parametrize("model", MODELS)
def test_every_model_trains_on_cuda_as_on_the_cpu(model, program):
    asked = small(model)
    same(followed(asked, CUDA, program), followed(asked, CPU, program), 1e-8)


@pytest.mark.parametrize("act", choices("act"))
def test_every_activation_trains_on_cuda_as_on_the_cpu(act):
    asked = small("mlp", f"act={act}")
    same(followed(asked, CUDA), followed(asked, CPU), 1e-8)


@pytest.mark.parametrize("program", ["chosen", "looped"])
@pytest.mark.parametrize("mitigation", [name for name in choices("mitigation") if name not in HALVES])
def test_every_mitigation_trains_on_cuda_as_on_the_cpu(mitigation, program):
    """Masks and noise too: they are drawn on the CPU."""
    asked = small("mlp", *with_data(mitigation))
    same(followed(asked, CUDA, program), followed(asked, CPU, program), 1e-7)


@pytest.mark.parametrize("model", MODELS)
def test_float32_is_float32_on_cuda(model):
    """No products or convolutions with fewer digits: TF32 would be off by 1e-4 and more."""
    asked = small(model, "precision=float32")
    first = slice(0, 2)  # losses and gradients of the first step, before rounding has grown
    same(followed(asked, CUDA, dtype=torch.float32)[first], followed(asked, CPU)[first], 2e-5)


@pytest.mark.parametrize("model", ["mlp", "cnn"])
def test_tf32_rounds_more(model):
    asked, wide = small(model, "width=64"), "precision=tf32"
    exact = followed(asked, CPU)[1]
    errors = [
        (followed([*asked, *more], CUDA, dtype=torch.float32)[1] - exact).norm() / exact.norm() for more in ([], [wide])
    ]
    assert errors[0] < 1e-5 < 1e-4 < errors[1] < 1e-2


@pytest.mark.parametrize("precision", ["float32", "tf32", "bfloat16", "float16"])
@pytest.mark.parametrize("model", ["mlp", "cnn", "lstm", "transformer"])
def test_every_precision_learns(model, precision):
    fitting = {"lstm": ["data=digits_rows"], "transformer": ["data=digits_rows"]}.get(model, [])
    asked = ["steps=150", "width=32", "depth=2", "log_every=50", "optim=adam", *fitting]
    asked += [f"model={model}", f"precision={precision}"]
    record = made(asked, CUDA, dtype=torch.float32, lrs=[0.003] * len(SEEDS)).run()
    assert (record.losses[-20:].mean(0) < 0.7 * record.losses[0]).all()


PRECISE = [(model, "float32") for model in MODELS]
PRECISE += [(model, precision) for model in ("mlp", "cnn", "resnet", "conv1d") for precision in HALVES]


@pytest.mark.parametrize("poison", [torch.nan, torch.inf, 1e20])
@pytest.mark.parametrize(("model", "precision"), PRECISE)
def test_a_run_that_turns_to_nan_leaves_its_neighbours_exactly_as_they_were_on_cuda(model, precision, poison):
    """In half precisions too, where a run that overflows makes no step."""
    asked = small(model, f"precision={precision}", "width=12")
    healthy = followed(asked, CUDA, dtype=torch.float32)
    beside = followed(asked, CUDA, dtype=torch.float32, poison=poison)
    for a, b in zip(healthy, beside, strict=True):
        torch.testing.assert_close(a[[0, 2]], b[[0, 2]], rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize(("model", "precision"), PRECISE)
def test_a_training_on_cuda_is_the_same_bit_for_bit_again(model, precision):
    asked = small(model, f"precision={precision}", "width=16", "batch_size=64")
    for a, b in zip(*(followed(asked, CUDA, dtype=torch.float32, steps=8) for _ in range(2)), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0, equal_nan=True)


def test_a_run_whose_gradient_overflows_float16_makes_no_step_on_cuda():
    training = made(small("mlp", "precision=float16"), CUDA, dtype=torch.float32)
    weights, scaling = training.state.weights, training.updater.scaling
    weights[1] *= 1e4
    before = weights.clone()
    training.step()
    assert scaling is not None and scaling.scale.tolist() == [2.0**16, 2.0**15, 2.0**16]
    assert (weights != before).any(1).tolist() == [True, False, True]


@pytest.mark.parametrize("model", ["mlp", "cnn", "lstm"])
def test_a_saved_training_goes_on_bit_for_bit_on_cuda(model):
    asked = [*small(model), "regularize.weight_noise=0.01", "optim=adam"]
    first, second = (made(asked, CUDA, dtype=torch.float32) for _ in range(2))
    for _ in range(7):
        first.step()
    second.load_state_dict(first.state_dict())
    np.testing.assert_array_equal(first.run().losses, second.run().losses)
    assert torch.equal(first.state.weights, second.state.weights)


class Dropping(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(nn.functional.dropout(x.flatten(1), 0.5))


def test_a_model_that_draws_from_cudas_global_generator_is_refused():
    state = stack([Dropping(), Dropping()], CUDA)
    alone = LoopProgram(Dropping(), state, nn.functional.cross_entropy)
    with pytest.raises(RuntimeError, match="draws random numbers from torch's global generator"):
        alone.step(torch.rand(2, 5, 64, device=CUDA), torch.zeros(2, 5, dtype=torch.int64, device=CUDA), log=False)


def swept(out: Path, device: str, *overrides: str, **options: Any) -> initbench.Results:
    sweep = prepare(overrides, out=out, device=device, workers=1, **options)
    folder = sweep.save()
    for status in sweep.train(lambda stack, step: None):
        assert all(row["status"] == "done" for row in status.rows), status.rows[0].get("error")
    return initbench.load(folder)


def test_a_sweep_takes_cuda_by_itself_and_gives_what_the_cpu_gives(tmp_path):
    asked = small("mlp", "init=he,normal", "act=relu,tanh", "save_predictions=true", "save_weights=true")
    on = {device: swept(tmp_path / device, device, *asked, seeds=2) for device in ("auto", "cpu")}
    assert set(on["auto"].stacks["device"]) == {device_name("cuda")} == {torch.cuda.get_device_name()}
    runs, theirs = (results.runs.set_index("run_id") for results in on.values())
    theirs = theirs.loc[runs.index]
    assert (runs["outcome"] == theirs["outcome"]).all()
    early, same_early = (
        results.losses[results.losses["step"] < 5].set_index(["run_id", "step"])["train_loss"]
        for results in on.values()
    )
    np.testing.assert_allclose(early, same_early.loc[early.index], rtol=1e-3)


@pytest.mark.parametrize("model", MODELS)
def test_every_model_is_swept_on_cuda(tmp_path, model):
    results = swept(tmp_path, "cuda", *small(model, "steps=20", "batch_size=50"), seeds=3)
    assert set(results.runs["outcome"]) <= {"learned", "stuck", "diverged"}


@pytest.mark.parametrize("overrides", [["depth=10", "width=200"], ["model=cnn"], ["model=gru", "data=digits_rows"]])
def test_a_stack_that_the_plan_takes_fits_cudas_memory(overrides):
    runs = expand([*overrides, "steps=12", "eval_every=6", "log_every=5"], seeds=16).runs
    config = runs[0].config
    dataset, recipe = build.data(config), build.recipe(config)
    cost = shape_of(config, dataset, memory=2**40).cost
    models = [build.initialized(run.config, dataset) for run in runs]
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    Training(stack(models, CUDA), models[0], dataset, recipe, seeds=range(16), lrs=[0.01] * 16).run()
    assert CUDA_SHARE * (torch.cuda.max_memory_allocated() - before) < len(runs) * cost.bytes
