"""Layers and activations of somebody's own models: found, named and measured as plain PyTorch computes them."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import somebodys_models as own
from initbench.engine.observation import LayerSnapshot, Units
from initbench.engine.programs.loop import LoopProgram
from initbench.engine.programs.vmap import VmapProgram
from initbench.engine.state import Stacked, stack
from initbench.parts.observe import own_weight

CPU = torch.device("cpu")
PROGRAMS = pytest.mark.parametrize("program", [VmapProgram, LoopProgram], ids=["vmap", "loop"])
RUNS, EXAMPLES, CLASSES = 2, 12, 3


def made(make: Callable[[], nn.Module]) -> list[nn.Module]:
    """One model for each run, float64, drawn from seeds of their own."""
    models = []
    for seed in range(RUNS):
        torch.manual_seed(seed)
        models.append(make().double())
    return models


def random(*shape: int) -> Tensor:
    return torch.randn(RUNS, EXAMPLES, *shape, generator=torch.Generator().manual_seed(5), dtype=torch.float64)


LABELS = torch.arange(RUNS * EXAMPLES).reshape(RUNS, EXAMPLES) % CLASSES


def observed(
    program: Any, make: Callable[[], nn.Module], x: Tensor, models: list[nn.Module] | None = None
) -> tuple[LayerSnapshot, Stacked]:
    """What a log step sees of the runs; it must give the losses and gradients of a step that doesn't look."""
    models = made(make) if models is None else models
    state = stack(models, CPU)
    stepped = program(make().double(), state, F.cross_entropy)
    start, seen = state.copy(), []
    for log in (False, True, True):  # from the second look on, what was learned of the model is used
        state.restore(start)
        losses, snapshot = stepped.step(x, LABELS, log=log)
        seen.append((losses, state.gradient.clone(), *(rows.clone() for rows in state.buffers.values())))
    for once in seen[1:]:
        assert all(torch.equal(one, other) for one, other in zip(seen[0], once, strict=True))
    return snapshot, state


def layers_of(snapshot: LayerSnapshot) -> list[Units]:
    """The units of each layer, (1, R, B, N)."""
    return [
        Units(*(part[i : i + 1] for part in (group.pre_grad, group.activation, group.slope)))
        for group in snapshot.units
        for i in range(len(group.activation))
    ]


def by_hand(x: Tensor, y: Tensor, weights: list[tuple[Tensor, Tensor]], phi: Callable[[Tensor], Tensor]) -> list[dict]:
    """Of each layer of one run of a plain network: dL/ds, phi(s) and |phi'(s)|."""
    h, found = x.flatten(1), []
    for weight, bias in weights:
        s = F.linear(h, weight, bias)
        s.retain_grad()
        h = phi(s) if len(found) < len(weights) - 1 else s
        found.append({"s": s, "a": h})
    F.cross_entropy(h, y).backward()
    for layer in found:
        inner = layer["s"].detach().requires_grad_()
        outer = phi(inner) if layer is not found[-1] else inner * 1
        layer["slope"] = torch.autograd.grad(outer.sum(), inner)[0].abs()
    return found


def agree(layer: Units, run: int, expected: dict) -> None:
    torch.testing.assert_close(layer.pre_grad[0, run], expected["s"].grad, rtol=1e-9, atol=1e-15)
    torch.testing.assert_close(layer.activation[0, run], expected["a"].detach(), rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(layer.slope[0, run], expected["slope"], rtol=1e-9, atol=1e-12)


# ---------------------------------------------------------------- one network, however it is written

DEPTH, WIDTH, SHAPE = 8, 6, (2, 5)
WAYS = {
    own.Flat: ["net.1", "net.3", "net.5", "net.7", "net.9", "net.11", "net.13", "net.15", "net.17"],
    own.Nested: [*(f"net.1.{i}.0" for i in range(8)), "net.2"],
    own.Listed: [*(f"hidden.{i}" for i in range(8)), "out"],
    own.Named: [*(f"fc{i}" for i in range(1, 9)), "out"],
    own.OwnLayers: [*(f"layers.{i}.linear" for i in range(8)), "out"],
}


@PROGRAMS
@pytest.mark.parametrize("kind", WAYS, ids=lambda kind: kind.__name__)
def test_eight_sigmoid_layers_are_eight_however_they_are_written(kind, program):
    models = made(lambda: kind(SHAPE, CLASSES, DEPTH, WIDTH))
    x = random(*SHAPE)
    snapshot, _ = observed(program, lambda: kind(SHAPE, CLASSES, DEPTH, WIDTH), x, models)
    assert snapshot.names == [f"layer {i} ({name}, Linear)" for i, name in enumerate(WAYS[kind], 1)]
    assert [facts.name for facts in snapshot.activations] == ["sigmoid"] * 8 + [None]
    assert [facts.rectifies for facts in snapshot.activations] == [False] * 8 + [None]
    for run, model in enumerate(models):
        modules = dict(model.named_modules())
        weights = [tuple(modules[name].parameters()) for name in WAYS[kind]]
        for layer, expected in zip(
            layers_of(snapshot), by_hand(x[run], LABELS[run], weights, torch.sigmoid), strict=True
        ):
            agree(layer, run, expected)


@PROGRAMS
def test_weights_without_modules_and_layers_of_ones_own_are_layers(program):
    """A product with a parameter is a layer, whoever owns it; what a layer of one's own does after it is seen."""
    for kind, names in (
        (own.Raw, [f"weights.{i}, Parameter" for i in range(4)]),
        (own.OwnWeights, [f"net.{i}, OwnLinear" for i in range(1, 5)]),
    ):
        models, x = made(lambda kind=kind: kind(SHAPE, CLASSES, 3, WIDTH)), random(*SHAPE)
        snapshot, _ = observed(program, lambda kind=kind: kind(SHAPE, CLASSES, 3, WIDTH), x, models)
        assert snapshot.names == [f"layer {i} ({name})" for i, name in enumerate(names, 1)]
        facts = [(fact.name, fact.rectifies) for fact in snapshot.activations]
        assert facts == [("sigmoid(add(x, w))", False)] * 3 + [(None, None)]
        for run, model in enumerate(models):
            parameters = dict(model.named_parameters())
            weights = [parameters[name] for name in snapshot.parameters]
            weights = [weight.mT if kind is own.Raw else weight for weight in weights]
            biases = [value for value in parameters.values() if value.ndim == 1]
            pairs = list(zip(weights, biases, strict=True))
            expected = by_hand(x[run], LABELS[run], pairs, torch.sigmoid)
            for layer, one in zip(layers_of(snapshot)[:-1], expected[:-1], strict=True):
                agree(layer, run, one)


@PROGRAMS
def test_an_embedding_that_is_the_head_too_is_two_layers(program):
    words = torch.randint(7, (RUNS, EXAMPLES, 4), generator=torch.Generator().manual_seed(0))
    snapshot, _ = observed(program, lambda: own.TiedWords(7, 5), words)
    assert snapshot.names == [
        "layer 1 (embedding, Embedding)",
        "layer 2 (hidden, Linear)",
        "layer 3 (embedding, Embedding)",
    ]
    assert snapshot.units[-1].activation.shape == (1, RUNS, EXAMPLES, 7)


@PROGRAMS
def test_a_weight_that_is_used_again_and_again_makes_the_network_deep(program):
    """No time steps: each use is a layer."""

    def make():
        return own.Shared(SHAPE, CLASSES, 3, WIDTH)

    models, x = made(make), random(*SHAPE)
    snapshot, _ = observed(program, make, x, models)
    names = ["first", "again", "again", "again", "out"]
    assert snapshot.names == [f"layer {i} ({name}, Linear)" for i, name in enumerate(names, 1)]
    assert not snapshot.times
    assert snapshot.parameters[1:4] == ["again.weight"] * 3
    for run, model in enumerate(models):
        modules = dict(model.named_modules())
        weights = [tuple(modules[name].parameters()) for name in names]
        for layer, expected in zip(layers_of(snapshot), by_hand(x[run], LABELS[run], weights, torch.tanh), strict=True):
            agree(layer, run, expected)


@PROGRAMS
def test_tied_weights_of_separate_modules_are_separate_layers(program):
    def make():
        model = own.Flat(SHAPE, CLASSES, 3, WIDTH)
        model.net[5].weight = model.net[3].weight
        return model

    snapshot, _ = observed(program, make, random(*SHAPE))
    assert [name.split(" (")[1] for name in snapshot.names] == [f"net.{i}, Linear)" for i in (1, 3, 5, 7)]
    assert snapshot.parameters[1] == snapshot.parameters[2]


@PROGRAMS
def test_residual_blocks_in_place_and_without_biases(program):
    """Under vmap a convolution without a bias gives its runs in another dimension: its gradient was lost."""

    def make():
        return own.ResidualNet((2, 6, 6), CLASSES, 2, 4)

    models, x = made(make), random(2, 6, 6)
    snapshot, _ = observed(program, make, x, models)
    assert snapshot.names == [
        "layer 1 (stem, Conv2d)",
        "layer 2 (blocks.0.conv1, Conv2d)",
        "layer 3 (blocks.0.conv2, Conv2d)",
        "layer 4 (blocks.1.conv1, Conv2d)",
        "layer 5 (blocks.1.conv2, Conv2d)",
        "layer 6 (blocks.1.down, Conv2d, beside layer 4)",
        "layer 7 (fc, Linear)",
    ]
    assert [facts.name for facts in snapshot.activations] == [None, "relu", "relu", "relu", None, "relu", None]
    stem, conv1, conv2, *_ = layers_of(snapshot)
    for run, model in enumerate(models):
        block = model.train().blocks[0]
        s0 = model.stem(x[run])
        s1 = block["bn1"](block["conv1"](s0))
        a1 = s1.relu()
        s2 = block["bn2"](block["conv2"](a1)) + s0
        a2 = s2.relu()
        for tensor in (s0, s1, s2):
            tensor.retain_grad()
        block = model.blocks[1]
        out = block["bn2"](block["conv2"](block["bn1"](block["conv1"](a2)).relu())) + block["down"](a2)
        F.cross_entropy(model.fc(out.relu().mean((2, 3))), LABELS[run]).backward()
        for layer, s, a in ((stem, s0, s0), (conv1, s1, a1), (conv2, s2, a2)):
            for seen, expected in ((layer.pre_grad, s.grad), (layer.activation, a.detach())):
                rows = expected.movedim(1, -1).flatten(0, -2)
                torch.testing.assert_close(seen[0, run], rows, rtol=1e-9, atol=1e-12)
        assert torch.equal(conv1.slope[0, run], (conv1.activation[0, run] > 0).double())


@PROGRAMS
def test_layers_beside_each_other_and_gates(program):
    def make():
        return own.Attentive((3, 5), CLASSES, 1, 4)

    snapshot, _ = observed(program, make, random(3, 5))
    assert snapshot.names == [
        "layer 1 (embed, Linear)",
        "layer 2 (q, Linear)",
        "layer 3 (k, Linear, beside layer 2)",
        "layer 4 (v, Linear, beside layer 2)",
        "layer 5 (o, Linear)",
        "layer 6 (gate, Linear)",
        "layer 7 (up, Linear, beside layer 6)",
        "layer 8 (down, Linear)",
        "layer 9 (out, Linear)",
    ]
    # The square in a normalization is no activation; the gate's is its own, though it is called after the other weight.
    assert [facts.name for facts in snapshot.activations] == [None] * 5 + ["silu", None, None, None]


@PROGRAMS
def test_recurrent_layers_read_time_steps(program):
    snapshot, _ = observed(program, lambda: own.Elman((2, 5), CLASSES, 2, 4), random(2, 5))
    assert snapshot.names == [
        "layer 1 (reads.0, Linear)",
        "layer 2 (remembers.0, Linear, beside layer 1)",
        "layer 3 (reads.1, Linear)",
        "layer 4 (remembers.1, Linear, beside layer 3)",
        "layer 5 (out, Linear)",
    ]
    assert {layer: norms.shape for layer, norms in snapshot.times.items()} == {1: (5, RUNS), 3: (5, RUNS)}
    assert [units.activation.shape[2] for units in layers_of(snapshot)] == [5 * EXAMPLES] * 4 + [EXAMPLES]
    cell, _ = observed(program, lambda: own.OneMatrixLSTM((2, 5), CLASSES, 1, 4), random(2, 5))
    assert cell.names == ["layer 1 (gates, Linear)", "layer 2 (out, Linear)"]
    assert {layer: norms.shape for layer, norms in cell.times.items()} == {0: (5, RUNS)}


def test_a_model_that_computes_its_layers_again_in_the_backward_pass():
    def make():
        return own.Checkpointed(SHAPE, CLASSES, 2, 4)

    snapshot, _ = observed(LoopProgram, make, random(*SHAPE))
    plain, _ = observed(LoopProgram, lambda: own.FlatTanh(SHAPE, CLASSES, 2, 4), random(*SHAPE))
    assert (snapshot.names, snapshot.activations) == (plain.names, plain.activations)
    for seen, expected in zip(snapshot.units, plain.units, strict=True):
        torch.testing.assert_close(seen.pre_grad, expected.pre_grad)


# ---------------------------------------------------------------- activations


def hard_by_hand(x: Tensor) -> Tensor:
    return torch.where(x > 0, x, 0.1 * x)


def gelu_by_hand(x: Tensor) -> Tensor:
    return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


MODULES = [nn.ReLU, nn.Tanh, nn.Sigmoid, nn.GELU, nn.ELU, nn.SELU, nn.CELU, nn.SiLU, nn.Mish, nn.Softplus, nn.Softsign]
MODULES += [nn.LeakyReLU, nn.Hardtanh, nn.ReLU6, nn.Hardswish, nn.Hardsigmoid, nn.LogSigmoid, nn.Tanhshrink]
MODULES += [nn.Softshrink, nn.Hardshrink]
RECTIFIERS = {nn.ReLU, nn.GELU, nn.SiLU, nn.Mish, nn.Softplus, nn.LeakyReLU, nn.Hardswish, nn.LogSigmoid}
FUNCTIONS: dict[str, tuple[Callable[[Tensor], Tensor], str, bool]] = {  # what is called, its name, does it rectify
    "F.relu": (F.relu, "relu", True),
    "torch.relu": (torch.relu, "relu", True),
    "x.relu": (lambda x: x.relu(), "relu", True),
    "F.relu in place": (lambda x: F.relu(x, inplace=True), "relu", True),
    "F.relu in place, by position": (lambda x: F.relu(x, True), "relu", True),
    "nn.ReLU in place": (nn.ReLU(inplace=True), "relu", True),
    "x.relu_": (lambda x: x.relu_(), "relu", True),
    "x.tanh_": (lambda x: x.tanh_(), "tanh", False),
    "torch.tanh": (torch.tanh, "tanh", False),
    "torch.sigmoid": (torch.sigmoid, "sigmoid", False),
    "F.leaky_relu": (lambda x: F.leaky_relu(x, 0.2), "leaky_relu", False),
    "x.clamp": (lambda x: x.clamp(min=0), "clamp", True),
    "torch.maximum": (lambda x: torch.maximum(x, torch.zeros_like(x)), "maximum(x, zeros_like(x))", True),
    "masked": (lambda x: x * (x > 0), "mul(x, gt(x, 0))", True),
    "where": (hard_by_hand, "where(gt(x, 0), x, mul(x, 0.1))", False),
    "swish": (lambda x: x * torch.sigmoid(x), "mul(x, sigmoid(x))", True),
    "squared relu": (lambda x: F.relu(x) ** 2, "pow(relu(x), 2)", True),
    "sine": (lambda x: torch.sin(30 * x), "sin(mul(x, 30))", False),
    "gaussian": (lambda x: torch.exp(-(x**2)), "exp(neg(pow(x, 2)))", False),
    "logistic": (lambda x: 1 / (1 + torch.exp(-x)), "rdiv(add(exp(neg(x)), 1), 1)", False),
    "softsign": (lambda x: x / (1 + x.abs()), "div(x, add(abs(x), 1))", False),
}


class One(nn.Module):
    """A hidden layer with any activation."""

    def __init__(self, phi: Callable[[Tensor], Tensor]):
        super().__init__()
        self.fc, self.out, self.phi = nn.Linear(10, 6), nn.Linear(6, CLASSES), phi

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.phi(self.fc(x.flatten(1))))


def check_activation(program: Any, phi: Callable[[Tensor], Tensor]) -> Any:
    """The facts that are recorded of phi, once dL/ds, phi(s) and |phi'(s)| are those of phi."""
    models, x = made(lambda: One(phi)), 3 * random(*SHAPE)
    snapshot, _ = observed(program, lambda: One(phi), x, models)
    assert snapshot.names == ["layer 1 (fc, Linear)", "layer 2 (out, Linear)"]
    for run, model in enumerate(models):
        s = model.fc(x[run].flatten(1)).detach().requires_grad_()
        after = phi(s.clone())
        (slope,) = torch.autograd.grad(after.sum(), s, retain_graph=True)
        (gradient,) = torch.autograd.grad(F.cross_entropy(model.out(after), LABELS[run]), s)
        hidden = snapshot.units[0]
        torch.testing.assert_close(hidden.activation[0, run], after.detach(), rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(hidden.slope[0, run], slope.abs(), rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(hidden.pre_grad[0, run], gradient, rtol=1e-9, atol=1e-15)
    return snapshot.activations[0]


@PROGRAMS
@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_torchs_activation_modules_are_seen(module, program):
    facts = check_activation(program, module())
    assert facts.name and facts.rectifies == (module in RECTIFIERS)


@PROGRAMS
@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_and_methods_are_seen_as_activations(name, program):
    phi, text, rectifies = FUNCTIONS[name]
    assert check_activation(program, phi) == (text, rectifies)


def test_gelu_by_hand_is_gelu():
    assert check_activation(VmapProgram, gelu_by_hand).rectifies
    x = torch.linspace(-3, 3, 7)
    torch.testing.assert_close(gelu_by_hand(x), F.gelu(x, approximate="tanh"))


WITHIN = {  # what stands around an activation, and its name
    "a bias": (lambda self, s: F.relu(s + self.extra), "relu(add(x, w))"),
    "normalization before": (lambda self, s: torch.tanh(F.layer_norm(s, (6,))), "tanh"),
    "normalization after": (lambda self, s: F.layer_norm(torch.tanh(s), (6,)), "tanh"),
    "dropout of 0 after": (lambda self, s: F.dropout(torch.tanh(s), 0.0), "tanh"),
    "a root mean square by hand before": (
        lambda self, s: torch.tanh(s * torch.rsqrt(s.pow(2).mean(-1, keepdim=True) + 1e-6)),
        "tanh",
    ),
    "a root mean square by hand after": (
        lambda self, s: torch.tanh(s) / torch.tanh(s).square().mean(-1, keepdim=True).sqrt(),
        "tanh",
    ),
    "a shortcut": (lambda self, s: s + torch.tanh(s.flip(0)).flip(0), "tanh"),
    "a shortcut in place": (lambda self, s: F.gelu(s.flip(0)).add_(s), "gelu"),
    "a reshape": (lambda self, s: torch.tanh(s.view(-1, 2, 3)).flatten(1), "tanh"),
    "a learned slope": (lambda self, s: F.prelu(s, self.slope), "prelu"),
    "none": (lambda self, s: 2 * s + 1, None),
    "a softmax": (lambda self, s: s.softmax(-1), None),
}


class Within(One):
    def __init__(self, how: str):
        super().__init__(WITHIN[how][0])
        self.extra, self.slope = nn.Parameter(torch.zeros(6)), nn.Parameter(torch.full((1,), 0.25))

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.phi(self, self.fc(x.flatten(1))))


@PROGRAMS
@pytest.mark.parametrize("how", WITHIN)
def test_an_activation_is_seen_whatever_stands_around_it(how, program):
    snapshot, _ = observed(program, lambda: Within(how), random(*SHAPE))
    assert snapshot.activations[0].name == WITHIN[how][1]
    assert snapshot.activations[1].name is None
    if how == "a learned slope":
        slopes = snapshot.units[0].slope.unique().tolist()
        assert slopes == [0.25, 1] and snapshot.activations[0].rectifies is None


def test_what_a_model_computes_beside_its_layers_is_no_activation():
    """The square of the layer's output goes to a mean; positions are encoded by a sine of numbers."""

    class Beside(One):
        def forward(self, x: Tensor) -> Tensor:
            s = self.fc(x.flatten(1))
            place = torch.sin(torch.arange(6, dtype=torch.float64))
            size = s.square().mean()
            return self.out(torch.relu(s + place)) + 0 * size

    snapshot, _ = observed(VmapProgram, lambda: Beside(torch.relu), random(*SHAPE))
    assert [facts.name for facts in snapshot.activations] == ["relu(add(x, c))", None]


# ---------------------------------------------------------------- weights that are computed


COMPUTED = {  # the parameter that stands for the weight
    own.Spectral: "parametrizations.weight.original",
    own.SpectralHook: "weight_orig",
    own.WeightNormed: "parametrizations.weight.original1",
    own.WeightNormHook: "weight_v",
    own.Orthogonal: "parametrizations.weight.original",
}


@pytest.mark.parametrize("kind", COMPUTED, ids=lambda kind: kind.__name__)
def test_computed_weights_are_found_without_being_computed(kind):
    model = kind(SHAPE, CLASSES, 2, 6)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    for module in (model.net[1], model.net[3]):
        assert own_weight(module) is module.get_parameter(COMPUTED[kind])
    assert own_weight(model.net[5]) is model.net[5].weight
    assert own_weight(model.net[2]) is None
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    snapshot, _ = observed(LoopProgram, lambda: kind(SHAPE, CLASSES, 2, 6), random(*SHAPE))
    assert snapshot.names == [f"layer {i} (net.{at}, Linear)" for i, at in ((1, 1), (2, 3), (3, 5))]
    assert snapshot.parameters == [f"net.1.{COMPUTED[kind]}", f"net.3.{COMPUTED[kind]}", "net.5.weight"]
    assert [facts.name for facts in snapshot.activations] == ["tanh", "tanh", None]
