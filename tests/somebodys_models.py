"""Models as people write them, without initbench's activations: the same network in several ways, and others.

Each takes the shape of an example, the classes, the depth and the width, as `build.model` gives them.
"""

import math
import warnings
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations, spectral_norm, weight_norm
from torch.utils.checkpoint import checkpoint


def linears(shape: Sequence[int], depth: int, width: int) -> list[nn.Linear]:
    """Hidden layers, from the flattened example on."""
    return [nn.Linear(math.prod(shape) if i == 0 else width, width) for i in range(depth)]


# ---------------------------------------------------------------- one network in five ways


class Flat(nn.Module):
    """All layers in one nn.Sequential."""

    act: Callable[[], nn.Module] = nn.Sigmoid

    def __init__(self, shape, classes, depth, width):
        super().__init__()
        hidden = [module for linear in linears(shape, depth, width) for module in (linear, self.act())]
        self.net = nn.Sequential(nn.Flatten(), *hidden, nn.Linear(width, classes))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


class FlatReLU(Flat):
    act = nn.ReLU


class FlatTanh(Flat):
    act = nn.Tanh


class Nested(nn.Module):
    """Sequentials in a Sequential."""

    def __init__(self, shape, classes, depth, width):
        super().__init__()
        hidden = (nn.Sequential(linear, nn.Sigmoid()) for linear in linears(shape, depth, width))
        self.net = nn.Sequential(nn.Flatten(), nn.Sequential(*hidden), nn.Linear(width, classes))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


class Listed(nn.Module):
    """A ModuleList, and one activation module for all."""

    def __init__(self, shape, classes, depth, width):
        super().__init__()
        self.hidden = nn.ModuleList(linears(shape, depth, width))
        self.act = nn.Sigmoid()
        self.out = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1)
        for layer in self.hidden:
            x = self.act(layer(x))
        return self.out(x)


class Named(nn.Module):
    """fc1, fc2, ... and a function, registered in the opposite order of their use."""

    function = staticmethod(torch.sigmoid)

    def __init__(self, shape, classes, depth, width):
        super().__init__()
        self.out = nn.Linear(width, classes)
        self.depth = depth
        for i, layer in reversed(list(enumerate(linears(shape, depth, width), 1))):
            setattr(self, f"fc{i}", layer)

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1)
        for i in range(1, self.depth + 1):
            x = self.function(getattr(self, f"fc{i}")(x))
        return self.out(x)


class NamedReLU(Named):
    function = staticmethod(F.relu)


class NamedTanh(Named):
    function = staticmethod(torch.tanh)


class OwnLayers(nn.Module):
    """A layer as a class of one's own, with its activation as a method."""

    class Layer(nn.Module):
        def __init__(self, linear):
            super().__init__()
            self.linear = linear

        def forward(self, x: Tensor) -> Tensor:
            return self.linear(x).sigmoid()

    def __init__(self, shape, classes, depth, width):
        super().__init__()
        self.layers = nn.ModuleList(self.Layer(linear) for linear in linears(shape, depth, width))
        self.out = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1)
        for layer in self.layers:
            x = layer(x)
        return self.out(x)


class Raw(nn.Module):
    """Parameters without modules, in row-major order of inputs and outputs."""

    def __init__(self, shape, classes, depth, width):
        super().__init__()
        layers = [*linears(shape, depth, width), nn.Linear(width, classes)]
        self.weights = nn.ParameterList(nn.Parameter(layer.weight.detach().mT.clone()) for layer in layers)
        self.biases = nn.ParameterList(layer.bias for layer in layers)

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1)
        *hidden, out = zip(self.weights, self.biases, strict=True)
        for weight, bias in hidden:
            x = torch.sigmoid(x @ weight + bias)
        return x @ out[0] + out[1]


class OwnLinear(nn.Module):
    """A layer of one's own: its product and its activation."""

    def __init__(self, linear, phi):
        super().__init__()
        self.weight, self.bias, self.phi = linear.weight, linear.bias, phi

    def forward(self, x: Tensor) -> Tensor:
        return self.phi(x @ self.weight.T + self.bias)


class OwnWeights(nn.Module):
    """Layers that hold their weights and their activations themselves."""

    def __init__(self, shape, classes, depth, width):
        super().__init__()
        hidden = (OwnLinear(linear, torch.sigmoid) for linear in linears(shape, depth, width))
        self.net = nn.Sequential(nn.Flatten(), *hidden, OwnLinear(nn.Linear(width, classes), nn.Identity()))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


# ---------------------------------------------------------------- others


class Shared(nn.Module):
    """A first layer, and `depth` times the same one."""

    def __init__(self, shape, classes, depth, width):
        super().__init__()
        self.first, self.again = linears(shape, 2, width)
        self.out = nn.Linear(width, classes)
        self.depth = depth

    def forward(self, x: Tensor) -> Tensor:
        x = torch.tanh(self.first(x.flatten(1)))
        for _ in range(self.depth):
            x = torch.tanh(self.again(x))
        return self.out(x)


class ResidualNet(nn.Module):
    """Blocks x + W2 relu(W1 x) with batch normalization as torchvision writes them, in place; one has a projection."""

    def __init__(self, shape, classes, depth, width):
        super().__init__()
        self.stem = nn.Conv2d(shape[0], width, 3, padding=1, bias=False)
        self.blocks = nn.ModuleList(
            nn.ModuleDict(
                {
                    "conv1": nn.Conv2d(width, width, 3, padding=1, bias=False),
                    "bn1": nn.BatchNorm2d(width),
                    "conv2": nn.Conv2d(width, width, 3, padding=1, bias=False),
                    "bn2": nn.BatchNorm2d(width),
                }
                | ({"down": nn.Conv2d(width, width, 1, bias=False)} if i == 1 else {})
            )
            for i in range(depth)
        )
        self.relu = nn.ReLU(inplace=True)
        self.fc = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for block in self.blocks:
            out = self.relu(block["bn1"](block["conv1"](x)))
            out = block["bn2"](block["conv2"](out))
            out += block["down"](x) if "down" in block else x
            x = self.relu(out)
        return self.fc(x.mean((2, 3)))


class Attentive(nn.Module):
    """One block of attention and a gated feed-forward net, with a normalization by hand."""

    def __init__(self, shape, classes, depth, width):
        super().__init__()
        self.embed = nn.Linear(shape[-1], width)
        self.q, self.k, self.v, self.o = (nn.Linear(width, width) for _ in range(4))
        self.gate, self.up, self.down = nn.Linear(width, width), nn.Linear(width, width), nn.Linear(width, width)
        self.out = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x.flatten(1, -2))
        q, k, v = self.q(x), self.k(x), self.v(x)
        x = x + self.o((q @ k.mT * x.shape[-1] ** -0.5).softmax(-1) @ v)
        h = x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6)
        gate, up = self.gate(h), self.up(h)
        x = x + self.down(F.silu(gate) * up)
        return self.out(x.mean(1))


class Checkpointed(FlatTanh):
    """Computes its hidden layers a second time in the backward pass."""

    def forward(self, x: Tensor) -> Tensor:
        return self.net[-1](checkpoint(self.net[:-1], x, use_reentrant=False))


class TiedWords(nn.Module):
    """An embedding whose matrix is the head's too."""

    def __init__(self, words: int, width: int):
        super().__init__()
        self.embedding, self.hidden = nn.Embedding(words, width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.tanh(self.hidden(self.embedding(x).mean(1)))
        return F.linear(h, self.embedding.weight)


class Elman(nn.Module):
    """`depth` recurrent layers h = tanh(W x + U h), written out step by step."""

    def __init__(self, shape, classes, depth, width):
        super().__init__()
        self.reads = nn.ModuleList(nn.Linear(shape[0] if i == 0 else width, width) for i in range(depth))
        self.remembers = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.out = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        states = [x.new_zeros(len(x), self.out.in_features) for _ in self.reads]
        for t in range(x.shape[-1]):
            below = x[..., t]
            for i, (reads, remembers) in enumerate(zip(self.reads, self.remembers, strict=True)):
                below = states[i] = torch.tanh(reads(below) + remembers(states[i]))
        return self.out(states[-1])


class OneMatrixLSTM(nn.Module):
    """An LSTM whose gates read [x; h] through one matrix."""

    def __init__(self, shape, classes, depth, width):
        super().__init__()
        self.gates = nn.Linear(shape[0] + width, 4 * width)
        self.out = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        h = c = x.new_zeros(len(x), self.out.in_features)
        for t in range(x.shape[-1]):
            i, f, g, o = self.gates(torch.cat([x[..., t], h], 1)).chunk(4, 1)
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            h = o.sigmoid() * c.tanh()
        return self.out(h)


class Lazy(nn.Module):
    """Layers that learn their sizes from the first batch."""

    def __init__(self, shape, classes, depth, width):
        super().__init__()
        hidden = (module for _ in range(depth) for module in (nn.LazyLinear(width), nn.LazyBatchNorm1d(), nn.ReLU()))
        self.net = nn.Sequential(nn.Flatten(), *hidden, nn.LazyLinear(classes))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


class LazyUnused(Lazy):
    """One of the lazily built layers is never used."""

    def __init__(self, shape, classes, depth, width):
        super().__init__(shape, classes, depth, width)
        self.spare = nn.LazyLinear(3)


class LazyWrong(Lazy):
    """The first forward pass fails."""

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x[:, None]).no_such_method()


class Computed(FlatTanh):
    """Hidden weights that are computed from others."""

    def wrap(self, linear: nn.Linear) -> nn.Linear:
        raise NotImplementedError

    def __init__(self, shape, classes, depth, width):
        super().__init__(shape, classes, depth, width)
        for module in self.net[:-1]:
            if isinstance(module, nn.Linear):
                self.wrap(module)


class Spectral(Computed):
    def wrap(self, linear):
        return parametrizations.spectral_norm(linear)


class WeightNormed(Computed):
    def wrap(self, linear):
        return parametrizations.weight_norm(linear)


class Orthogonal(Computed):
    def wrap(self, linear):
        return parametrizations.orthogonal(linear)


class SpectralHook(Computed):
    def wrap(self, linear):
        return spectral_norm(linear)


class WeightNormHook(Computed):
    def wrap(self, linear):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            return weight_norm(linear)
