"""What must hold on a GPU and can be seen without one; `test_cuda.py` has what needs one."""

from collections.abc import Sequence
from itertools import accumulate

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from agreement import with_data
from initbench import build
from initbench.config.grid import expand
from initbench.config.registry import choices
from initbench.engine.evaluation import Evaluation
from initbench.engine.precision import matmul_precision
from initbench.engine.programs import loop
from initbench.engine.state import stack
from initbench.engine.train import Training
from initbench.executors.local import CUDA_SHARE, LocalExecutor
from initbench.planning.cost import shape_of
from initbench.planning.machine import memory_limit

CPU, META = torch.device("cpu"), torch.device("meta")


def made(overrides: Sequence[str], device: torch.device, runs: int) -> Training:
    """A training of copies of one run on a device."""
    config = expand(overrides).runs[0].config
    dataset = build.data(config)
    model = build.initialized(config, dataset)
    state, recipe = stack([model] * runs, device), build.recipe(config)
    return Training(state, model, dataset, recipe, seeds=range(runs), lrs=[0.01] * runs)


def switches() -> tuple[str, bool]:
    """What PyTorch rounds float32 to in CUDA's products, and whether it may round in convolutions."""
    return torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32


@pytest.mark.parametrize(
    ("precision", "inside"),
    [
        ("float32", ("highest", False)),
        ("tf32", ("high", True)),
        ("bfloat16", ("highest", False)),
        ("float16", ("highest", False)),
    ],
)
def test_tf32_is_for_those_who_ask_for_it_in_products_and_in_convolutions(precision, inside):
    """PyTorch's own default is to round the inputs of a float32 convolution to 10 bits."""
    before = switches()
    with matmul_precision(precision):
        assert switches() == inside
        assert torch.backends.cudnn.deterministic
    assert switches() == before and not torch.backends.cudnn.deterministic


@pytest.mark.parametrize(("precision", "inside"), [("float32", ("highest", False)), ("tf32", ("high", True))])
def test_a_training_computes_all_of_it_in_its_precision(monkeypatch, precision, inside):
    """Steps, evaluations, and the probabilities of saved predictions."""
    before, seen = switches(), {}
    own = {"losses and accuracies": "scores", "probabilities": "probabilities"}
    for name, method in own.items():
        real = getattr(Evaluation, method)

        def noted(self, predict, name=name, real=real):
            seen[name] = switches()
            return real(self, predict)

        monkeypatch.setattr(Evaluation, method, noted)
    training = made(["depth=1", "width=4", "steps=2", "save_predictions=true", f"precision={precision}"], CPU, 2)
    step = training.program.step
    monkeypatch.setattr(training.program, "step", lambda *given: [seen.update(step=switches()), step(*given)][1])
    training.observe()
    assert seen == {"step": inside}
    seen.clear()
    assert training.run().probabilities is not None
    assert seen == dict.fromkeys(["step", *own], inside)
    assert switches() == before


def test_random_numbers_of_the_device_are_watched_too(monkeypatch):
    """Under CUDA `F.dropout` draws from CUDA's generator, not from the CPU's."""
    drawn = torch.tensor([5], dtype=torch.uint8)
    monkeypatch.setattr(torch.cuda, "get_rng_state", lambda device: drawn)
    assert loop.random_states(torch.device("cuda"))[-1] is drawn
    (alone,) = loop.random_states(CPU)
    assert torch.equal(alone, torch.get_rng_state())


STAY = {"float16", "bfloat16", "clip_norm", "dropout", "dropconnect"}  # look at numbers, which meta has none of
SUITING = {
    "logistic": ["depth=0"],
    "conv1d": ["data=mnist1d"],
    "rnn": ["data=digits_rows"],
    "gru": ["data=digits_rows", "model.bidirectional=true"],
    "transformer": ["data=text", "data.length=12", "model.tied_embeddings=true"],
    "seq2seq": ["data=reverse", "data.samples=300"],
}


def step_on_meta(*overrides: str) -> None:
    """Two steps and a prediction of three runs, without numbers: an operation on two devices is an error."""
    given = {text.partition("=")[0] for text in overrides}
    common = ["width=8", "depth=2", "batch_size=20", "act=tanh", "data.val_fraction=0.2", "log_every=100"]
    training = made([*(text for text in common if text.partition("=")[0] not in given), *overrides], META, 3)
    for step in range(2):
        losses, _ = training.updater(*training.minibatches.at(step), log=False)  # a log step looks at numbers
        assert losses.is_meta
    assert training.program.predict(training.evaluation.x_train[:20]).is_meta


@pytest.mark.slow
@pytest.mark.parametrize("model", sorted({*choices("model")} - {"lstm"}))  # which asks for the device's autocast
def test_a_step_of_a_model_leaves_nothing_on_the_cpu(model):
    step_on_meta(f"model={model}", *SUITING.get(model, []))


@pytest.mark.slow
@pytest.mark.parametrize("mitigation", [name for name in choices("mitigation") if name not in STAY])
def test_a_step_with_a_mitigation_leaves_nothing_on_the_cpu(mitigation):
    step_on_meta(*with_data(mitigation))


def test_a_gpus_memory_is_shared_out_with_room_for_a_log_step(monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (100 * 2**30, 141 * 2**30))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    gpu, cpu = LocalExecutor().machine("cuda"), LocalExecutor().machine("cpu")
    assert memory_limit(None, gpu) == pytest.approx(35 * 2**30)
    assert memory_limit("4GiB", gpu) == memory_limit("4GiB", cpu) == memory_limit(None, cpu) == 4 * 2**30


@pytest.mark.slow
@pytest.mark.parametrize(
    ("overrides", "runs"),
    [
        (["depth=20"], 8),
        (["depth=1", "width=10"], 16),
        (["model=logistic", "depth=0"], 16),
        (["model=cnn"], 8),
        (["model=gru", "data=digits_rows", "act=tanh"], 4),
        (["model=transformer", "data=digits_rows", "depth=2", "width=32"], 8),
    ],
)
def test_a_log_step_takes_no_more_than_a_gpu_has(overrides, runs):
    """The most that torch holds, over the plan's estimate: an estimate of 35 % of what is free must fit into it."""
    asked = [*overrides, "steps=12", "eval_every=6", "log_every=5"]
    config = expand(asked).runs[0].config
    cost = shape_of(config, build.data(config), memory=2**40).cost
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        made(asked, CPU, runs).run()
    assert profiler.profiler is not None and profiler.profiler.kineto_results is not None
    events = [event for event in profiler.profiler.kineto_results.events() if event.name() == "[memory]"]
    events.sort(key=lambda event: event.start_ns())
    peak = max(accumulate(event.nbytes() for event in events))  # type: ignore[attr-defined]
    assert CUDA_SHARE * peak < cost.bytes * runs
