"""Every model: runs side by side, sizes and names, what may be seen, what is refused; the documented one."""

import re
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from agreement import act, filled, random
from initbench import build
from initbench.config.grid import expand
from initbench.errors import InputError
from initbench.planning.sweep import prepare
from initbench.results import load
from small_models import CNN, GRU, LSTM, MLP, RNN, Conv1D, Logistic, ResNet, Seq2Seq, Transformer

NUMBERS, WORDS, PAIRS = (3, 8), {"shape": (8,), "vocabulary": 9}, {"shape": (2, 8), "vocabulary": 9}
EVERY: dict[str, Any] = {
    "logistic": partial(Logistic, (1, 8, 8), 5, depth=0),
    "mlp": partial(MLP, (1, 8, 8), 5, depth=2, width=8, act=act),
    "residual_mlp": partial(MLP, (1, 8, 8), 5, depth=3, width=8, act=act, branch_scale=1, learn_scale=True),
    "cnn": partial(CNN, (2, 8, 8), 5, depth=3, width=8, act=act),
    "cnn, max": partial(CNN, (2, 8, 8), 5, depth=3, width=8, act=act, downsample="max", readout="mean"),
    "cnn, mean": partial(CNN, (2, 8, 8), 5, depth=3, width=8, act=act, downsample="mean"),
    "conv1d": partial(Conv1D, NUMBERS, 5, depth=3, width=8, act=act),
    "resnet": partial(ResNet, (2, 8, 8), 5, depth=2, width=8, act=act, learn_scale=True),
    "rnn": partial(RNN, NUMBERS, 5, depth=2, width=8, act=act, truncate=3),
    "rnn, tokens": partial(RNN, classes=5, depth=1, width=8, act=act, positions=8, **WORDS),
    "lstm": partial(LSTM, NUMBERS, 5, depth=2, width=8, act=act, bidirectional=True),
    "lstm, tokens": partial(LSTM, classes=5, depth=1, width=8, act=act, positions=8, **WORDS),
    "gru": partial(GRU, NUMBERS, 5, depth=2, width=8, act=act, bidirectional=True, readout="flatten"),
    "gru, tokens": partial(GRU, classes=5, depth=1, width=8, act=act, readout="mean", **WORDS),
    "transformer": partial(Transformer, NUMBERS, 5, depth=2, width=8, act=act),
    "transformer, post-norm": partial(Transformer, NUMBERS, 1, depth=2, width=8, act=act, norm_first=False),
    "transformer, tokens": partial(Transformer, classes=5, depth=1, width=8, act=act, readout="last", **WORDS),
    "transformer, tied": partial(
        Transformer, classes=9, depth=2, width=8, act=act, positions=8, tied_embeddings=True, **WORDS
    ),
    "seq2seq": partial(Seq2Seq, classes=9, depth=2, width=8, act=act, positions=8, **PAIRS),
    "seq2seq, tied": partial(
        Seq2Seq, classes=9, depth=1, width=8, act=act, positions=8, norm_first=False, tied_embeddings=True, **PAIRS
    ),
}


def inputs_of(make: Any, *leading: int) -> Tensor:
    shape = make.keywords.get("shape") or make.args[0]
    if "vocabulary" in make.keywords:
        return torch.randint(0, 9, (*leading, *shape), generator=torch.Generator().manual_seed(0))
    return random(*leading, *shape)


@pytest.mark.parametrize("name", EVERY)
def test_runs_side_by_side_are_the_runs_alone(name):
    """Three runs under vmap, each on a batch of its own: losses and gradients as each has them alone."""
    make = EVERY[name]
    models = [filled(make(), seed) for seed in range(3)]
    parameters, buffers = stack_module_state(models)
    x = inputs_of(make, 3, 4)

    def loss(outputs: Tensor) -> Tensor:
        return outputs.logsumexp(-1).mean() + outputs.square().mean()

    def one(parameters, buffers, x):
        return loss(functional_call(models[0], (parameters, buffers), (x,)))

    losses = vmap(one)(parameters, buffers, x)
    gradients = torch.autograd.grad(losses.sum(), list(parameters.values()))
    for run, model in enumerate(models):
        alone = loss(model(x[run]))
        torch.testing.assert_close(losses[run], alone, rtol=1e-9, atol=1e-12)
        for stacked, own in zip(gradients, torch.autograd.grad(alone, list(model.parameters())), strict=True):
            assert (stacked[run] - own).norm() <= 1e-9 * own.norm() + 1e-12


@pytest.mark.parametrize("name", EVERY)
def test_outputs_have_their_shape_for_any_number_of_examples(name):
    make = EVERY[name]
    model = make()
    classes = make.keywords.get("classes") or make.args[1]
    each = (8,) if "positions" in make.keywords else ()
    for examples in (0, 1, 3):
        x = inputs_of(make, examples)
        x = x if "vocabulary" in make.keywords else x.float()
        assert model(x).shape == (examples, *each, classes)


@pytest.mark.parametrize("name", EVERY)
def test_every_model_is_built_on_the_meta_device_and_leaves_its_input_alone(name):
    with torch.device("meta"):
        assert all(p.is_meta for p in EVERY[name]().parameters())
    x = inputs_of(EVERY[name], 2)
    before = x.clone()
    filled(EVERY[name]())(x)
    assert torch.equal(x, before)


WEIGHT_LAYERS = [  # with depth d: how many modules own a weight matrix; with width 8, 3 channels, 5 classes: parameters
    (lambda d: CNN((3, 8, 8), 5, d, 8, act), lambda d: d + 1, {2: 3 * 72 + 8 + 8 * 72 + 8 + 5 * 8 * 16 + 5}),
    (lambda d: Conv1D((3, 8), 5, d, 8, act), lambda d: d + 1, {1: 3 * 40 + 8 + 5 * 8 * 3 + 5}),
    (lambda d: ResNet((3, 8, 8), 5, d, 8, act), lambda d: 2 * d + 2, {1: 3 * 72 + 8 + 2 * (8 * 72 + 8) + 45}),
    (lambda d: RNN((3, 8), 5, d, 8, act), lambda d: 2 * d + 1, {2: 8 * 3 + 8 + 64 + 64 + 8 + 64 + 45}),
    (lambda d: LSTM((3, 8), 5, d, 8, act), lambda d: 2 * d + 1, {1: 32 * 3 + 32 + 32 * 8 + 45}),
    (lambda d: GRU((3, 8), 5, d, 8, act), lambda d: 2 * d + 1, {1: 24 * 3 + 24 + 24 * 8 + 24 + 45}),
    (
        lambda d: Transformer((3, 8), 5, d, 8, act),
        lambda d: 6 * d + 2,
        {1: 3 * 8 + 8 + 4 * 72 + 8 * 32 + 32 + 32 * 8 + 8 + 3 * 16 + 45},
    ),
    (
        lambda d: Seq2Seq((2, 8), 5, d, 8, act, 5, 8),
        lambda d: 16 * d + 3,
        {1: 80 + 3 * 4 * 72 + 2 * (8 * 32 + 32 + 32 * 8 + 8) + 7 * 16 + 45},
    ),
]


@pytest.mark.parametrize(("make", "layers", "parameters"), WEIGHT_LAYERS)
def test_depth_and_width_do_what_they_say(make, layers, parameters):
    for depth in (1, 2, 5):
        weights = [m for m in make(depth).modules() if getattr(m, "weight", None) is not None and m.weight.ndim >= 2]
        assert len(weights) == layers(depth)
    for depth, expected in parameters.items():
        assert sum(p.numel() for p in make(depth).parameters()) == expected


def test_names_can_be_read():
    names = {name for make in EVERY.values() for name, _ in make().named_modules()}
    assert names >= {
        "layers.0.conv",
        "blocks.1.conv2",
        "layers.1.recurrent",
        "layers.1.back.input",
        "blocks.1.attention.query",
        "blocks.0.feedforward.up",
        "decoder.1.cross.value",
        "encoder.0.attention.output",
        "head",
    }


def test_what_a_causal_model_says_does_not_depend_on_what_comes_later():
    x = torch.randint(0, 11, (3, 7), generator=torch.Generator().manual_seed(0))
    changed = x.clone()
    changed[:, 4] = (x[:, 4] + 1) % 11
    for make in (Transformer, RNN, LSTM, GRU):
        model = filled(make((7,), 11, depth=2, width=8, act=act, vocabulary=11, positions=7))
        differs = (model(x) - model(changed)).abs().amax((0, 2)) > 1e-9
        assert differs.tolist() == [False] * 4 + [True] * 3
    everywhere = filled(Transformer((7,), 11, depth=2, width=8, act=act, vocabulary=11, positions=7, causal=False))
    assert ((everywhere(x) - everywhere(changed)).abs().amax((0, 2)) > 1e-9).all()
    model = filled(Seq2Seq((2, 7), 11, depth=2, width=8, act=act, vocabulary=11, positions=7))
    differs = (model(torch.stack([x, x], 1)) - model(torch.stack([x, changed], 1))).abs().amax((0, 2)) > 1e-9
    assert differs.tolist() == [False] * 4 + [True] * 3
    assert ((model(torch.stack([x, x], 1)) - model(torch.stack([changed, x], 1))).abs().amax((0, 2)) > 1e-9).all()


REFUSED = [
    (
        lambda: CNN((1, 40), 10, 2, 8, act),
        r"model=cnn takes images .* not examples of shape \(1, 40\); model=conv1d, rnn",
    ),
    (lambda: ResNet((64,), 10, 2, 8, act), r"model=resnet takes images .* shape \(64\); model=mlp"),
    (lambda: Conv1D((1, 8, 8), 10, 2, 8, act), r"model=conv1d takes sequences .* take data=digits_rows"),
    (lambda: RNN((1, 8, 8), 10, 2, 8, act), r"model=rnn takes sequences .* take data=digits_rows, or model=cnn"),
    (lambda: LSTM((64,), 10, 2, 8, act), r"model=lstm takes sequences .* model=mlp"),
    (lambda: GRU((2, 8), 10, 2, 8, act, 10, 8), r"model=gru takes one sequence of tokens.* model=seq2seq takes pairs"),
    (lambda: RNN((3, 8), 10, 0, 8, act), r"depth must be a whole number in \[1, inf\)"),
    (lambda: RNN((8,), 9, 1, 8, act, 9, 8, bidirectional=True), "each position sees what it should predict"),
    (lambda: RNN((3, 8), 10, 1, 8, act, truncate=0), "model.truncate must be a whole number"),
    (lambda: RNN((3, 8), 10, 1, 8, act, readout="lst"), r"model.readout must be one of .*; did you mean 'last'\?"),
    (lambda: RNN((3, 8), 10, 1, 8, act, bidirectional=1), "model.bidirectional must be true or false"),  # type: ignore[arg-type]
    (lambda: CNN((1, 8, 8), 10, 1, 8, act, downsample="avg"), "model.downsample must be one of stride, max, mean"),
    (lambda: CNN((1, 8, 8), 10, 1, 8, act, every=0), "model.every must be a whole number"),
    (lambda: Conv1D((1, 40), 10, 9, 8, act, kernels=[9], padding=0), "nothing is left of the 40 steps at layer 3"),
    (lambda: Conv1D((1, 40), 10, 9, 8, act, kernels=[]), "model.kernels must hold one size at least"),
    (lambda: ResNet((1, 8, 8), 10, 1, 8, act, branch_scale="a"), "model.branch_scale must be a number"),  # type: ignore[arg-type]
    (lambda: Transformer((1, 8, 8), 10, 1, 8, act), "model=transformer takes sequences"),
    (lambda: Transformer((3, 8), 10, 1, 9, act), "needs a width that model.heads=4 divides, got width=9"),
    (lambda: Transformer((3, 8), 10, 1, 8, act, tied_embeddings=True), "model.tied_embeddings=true .* needs data"),
    (lambda: Transformer((8,), 5, 1, 8, act, 9, 8, tied_embeddings=True), "model.tied_embeddings=true .* needs data"),
    (lambda: Seq2Seq((2, 8), 5, 1, 8, act, 9, 8, tied_embeddings=True), "model.tied_embeddings=true .* needs data"),
    (lambda: Transformer((3, 8), 10, 1, 8, act, causal="no"), "model.causal must be true or false"),  # type: ignore[arg-type]
    (lambda: Seq2Seq((8,), 9, 1, 8, act, 9, 8), "model=seq2seq takes pairs .* model=transformer takes single"),
    (lambda: Seq2Seq((2, 8), 9, 1, 8, act), "model=seq2seq takes pairs of token sequences"),
]


@pytest.mark.parametrize(("make", "message"), REFUSED)
def test_what_does_not_fit_is_refused_with_the_reason(make, message):
    with pytest.raises(InputError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_the_documented_mixer_runs(tmp_path, monkeypatch):
    """Its class and its YAML, as docs/models.md has them, and nothing else: trained in a stack, its loss falls."""
    text = (Path(__file__).parent.parent / "docs" / "models.md").read_text(encoding="utf-8")
    (code,), (yaml,) = (re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL) for language in ("python", "yaml"))
    assert len(code.splitlines()) <= 45
    (tmp_path / "mine" / "model").mkdir(parents=True)
    (tmp_path / "mixer.py").write_text(code)
    (tmp_path / "mine" / "model" / "mixer.yaml").write_text(yaml)
    monkeypatch.syspath_prepend(tmp_path)
    (command,) = re.findall(r"initbench run (model=mixer.*) --config-dir mine", text)
    overrides = [*command.split(), "steps=60", "lr=0.05", "batch_size=20", "outcome.learned_ratio=0.9"]
    overrides += ["data.train_size=200", "log_every=30", "eval_every=60"]
    sweep = prepare(overrides, config_dir=tmp_path / "mine", out=tmp_path / "results", workers=1)
    sweep.save()
    rows = [row for status in sweep.train(lambda stack, step: None) for row in status.rows]
    assert [row["outcome"] for row in rows] == ["learned", "learned"]
    layers = load.load(tmp_path / "results").layers
    assert list(layers["name"].unique())[:3] == [
        "layer 1 (embedding, Linear)",
        "layer 2 (steps.0.up, Linear)",
        "layer 3 (steps.0.down, Linear)",
    ]
    assert list(layers["activation"].dropna().unique()) == ["gelu"]


OWN = """
from torch import nn

from initbench.parts.models import MLP, ModelSpec


class ByName(MLP):
    def __init__(self, shape, classes, depth, width, act, norm):
        super().__init__(ModelSpec(shape, classes, depth, width, act, norm=norm))


class BySpec(MLP):
    supports = ("norm",)
"""


@pytest.mark.parametrize("name", ["ByName", "BySpec"])
def test_your_own_model_takes_what_it_needs_by_name_or_the_whole_spec(name, tmp_path, monkeypatch):
    (tmp_path / "own_ways.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    with_norm, with_dropout = (
        expand([f"model=own_ways.{name}", "width=8", "depth=2", override]).runs[0].config
        for override in ("norm=layer", "regularize.dropout=0.1")
    )
    model = build.model(with_norm, build.data(with_norm))
    assert sum(type(module) is nn.LayerNorm for module in model.modules()) == 2
    with pytest.raises(InputError, match=f"model={name.lower()} has no dropout"):
        build.model(with_dropout, build.data(with_dropout))
