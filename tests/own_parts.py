"""Parts as a user writes them, right and wrong, named by their dotted paths: `act=own_parts.centered`."""

import random
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import nn

from initbench.parts import norms
from initbench.parts.averages import EMA
from initbench.parts.data import Raw
from initbench.parts.dropout import Dropout
from initbench.parts.inits import he
from initbench.parts.losses import Classification
from initbench.parts.models import MLP
from initbench.parts.models.recurrent import LSTM, LSTMCell
from initbench.parts.optimizers import SGD

# Activations. These look at one input at a time.


def sine(x):
    return torch.sin(x)


def quick_gelu(x, sharpness=1.702):
    return x * torch.sigmoid(sharpness * x)


def straight_through(x):
    return x + (x.round() - x).detach()


# These look at other inputs of the same run.


def centered(x):
    return (x - x.mean(0)).relu()


def scaled(x):
    return torch.tanh(x / x.std())


def shares(x):
    return 3 * x.softmax(-1)


def counted(x):
    return torch.tanh(x * len(x) / 20)


def faintly_centered(x):
    return torch.tanh(x - 1e-9 * x.mean())


class EvenGradient(torch.autograd.Function):
    """ReLU whose gradient has norm 1: forward it is elementwise, backward it is not."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x):
        return x.relu()

    @staticmethod
    def setup_context(ctx, inputs, output):
        pass

    @staticmethod
    def backward(ctx, gradient):
        return gradient / gradient.norm()


def even_gradient(x):
    return EvenGradient.apply(x)


def branching(x):
    """What vmap can't take, and a loop can."""
    return x.relu() if x.mean().item() > -1 else x.tanh()


# Nobody can train with these, or not with several runs.


def in_place(x):
    return x.clamp_(min=0)


def detached(x):
    return x.detach().relu()


def without_autograd(x):
    with torch.no_grad():
        return x.relu()


def no_tensor(x):
    return x, x


def noisy(x):
    return F.rrelu(x, training=True)


def coin(x):
    return x.relu() * random.random()


calls = []


def fading(x):
    """Every call makes it flatter: what one run sees depends on how many others there are."""
    calls.append(1)
    return x.tanh() * (1 + 0.5 * len(calls))


# Models


class Plain(nn.Module):
    """(B, *shape) to (B, classes), by one hidden layer."""

    supports = ()

    def __init__(self, shape, classes, width, act):
        super().__init__()
        self.hidden, self.act = nn.Linear(torch.Size(shape).numel(), width), act()
        self.head = nn.Linear(width, classes)

    def features(self, x):
        return self.act(self.hidden(x.flatten(1)))

    def forward(self, x):
        return self.head(self.features(x))


class OverBatch(Plain):
    """It centres features over the batch, and keeps a running mean in a buffer that it replaces."""

    def __init__(self, shape, classes, width, act):
        super().__init__(shape, classes, width, act)
        self.register_buffer("mean", torch.zeros(width))

    def forward(self, x):
        h = self.features(x)
        if self.training:
            self.mean = 0.9 * self.mean + 0.1 * h.detach().mean(0)
        return self.head(h - (h.mean(0) if self.training else self.mean))


class ByLength(Plain):
    """Its depth depends on chance."""

    def __init__(self, shape, classes, width, act):
        super().__init__(shape, classes, width, act)
        self.more = nn.ModuleList(nn.Linear(width, width) for _ in range(int(torch.randint(1000, ()))))


class OneScaleEach(Plain):
    """Each seed has its own scale, in an attribute that is no buffer."""

    def __init__(self, shape, classes, width, act):
        super().__init__(shape, classes, width, act)
        self.scale = 1 + float(torch.rand(()))

    def forward(self, x):
        return self.scale * super().forward(x)


class Reader(nn.Module):
    """Tokens (B, T) to logits (B, T, classes). Its embedding is the head's matrix, in a module or in a product."""

    def __init__(self, vocabulary, classes, width, positions, *, tie="module"):
        super().__init__()
        self.tie = tie
        self.embedding = nn.Embedding(vocabulary, width)
        self.middle = nn.Linear(width, width)
        self.head = nn.Linear(width, classes) if tie in ("module", "none") else None
        if tie == "module":
            self.head.weight = self.embedding.weight

    def forward(self, x):
        h = self.middle(self.embedding(x)).relu()
        return self.head(h) if self.head is not None else h @ self.embedding.weight.T


class Frozen(Plain):
    def __init__(self, shape, classes, width, act):
        super().__init__(shape, classes, width, act)
        self.hidden.weight.requires_grad_(False)


class NoModule:
    """It can be called, and is no torch.nn.Module."""

    def __init__(self, shape, classes):
        self.weight = torch.zeros(classes, torch.Size(shape).numel())

    def __call__(self, x):
        return x.flatten(1) @ self.weight.T


def hooked_mlp(spec):
    """initbench's own MLP, whose layers somebody has changed: features are centred over the batch."""
    model = MLP(spec)
    model.layers[0].register_forward_hook(lambda module, inputs, output: output - output.mean(0))
    return model


hooked_mlp.supports = ()


class PeepholeCell(LSTMCell):
    """Gates see the state c too. Gers & Schmidhuber 2000, with weights of 1/2."""

    def step(self, product, state):
        c = state[1]
        return super().step(product + 0.5 * torch.cat([c, c, c, torch.zeros_like(c)], -1), state)


class Peephole(LSTM):
    cell = PeepholeCell


# Normalizations, data and losses, optimizers, schedules, averages


class Centre(nn.Module):
    """Over the batch, with a gain."""

    def __init__(self, units):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(units))

    def reset_parameters(self):
        nn.init.ones_(self.gain)

    def forward(self, x):
        return self.gain * (x - x.mean(0)) / (x.std() + 0.1)


def centre():
    return norms.Norm(lambda units, dimensions: Centre(units), least_batch=2)


def no_norm():
    return nn.LayerNorm(3)


@dataclass(frozen=True)
class HardestFirst(Classification):
    """The examples of a batch are weighted by their own losses."""

    def loss(self, outputs, y):
        losses = F.cross_entropy(outputs, y, reduction="none")
        return (losses.softmax(0).detach() * losses).sum()


class Remembering(Classification):
    """The loss in units of its running mean, which all runs share."""

    kept: ClassVar[list[float]] = []

    def loss(self, outputs, y):
        loss = super().loss(outputs, y)
        self.kept.append(float(loss.detach()))
        return loss / (sum(self.kept[-3:]) / len(self.kept[-3:]))


def examples(seed=0, *sizes):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(300, *(sizes or (9,)), generator=generator), torch.randint(0, 4, (300,), generator=generator)


def easy():
    return Raw(*examples(), classes=4)


def hard(*, wrong: bool = False):
    return Raw(*examples(), classes=4, objective=HardestFirst())


def remembered():
    return Raw(*examples(), classes=4, objective=Remembering())


def other_test_shape():
    return Raw(*examples(), *examples(1, 8), classes=4)


def lost_labels():
    return Raw(*examples(), examples(1)[0], classes=4)


def pair():
    return examples()


def new_each_time():
    x, y = examples()
    return Raw(x + random.random(), y, classes=4)


class NormedSteps:
    """Steps of one length for each tensor."""

    elementwise = False

    def init(self, parameter):
        return {}

    def update(self, parameter, gradient, state, *, lr, step):
        parameter.sub_(lr * gradient / (gradient.norm() + 1e-8))


class NotElementwise(NormedSteps):
    elementwise = True


class SkipsNaN(SGD):
    """A guard that many training loops have; over all runs at once it lets one run stop the others."""

    def update(self, parameter, gradient, state, *, lr, step):
        if gradient.isfinite().all():
            super().update(parameter, gradient, state, lr=lr, step=step)


class Lion:
    """Chen et al. 2023, algorithm 2, without weight decay."""

    elementwise = True

    def init(self, parameter):
        return {"m": parameter.new_zeros(parameter.shape)}

    def update(self, parameter, gradient, state, *, lr, step):
        m = state["m"]
        parameter.sub_(0.01 * lr * (0.9 * m + 0.1 * gradient).sign())
        m.mul_(0.99).add_(0.01 * gradient)


class Nothing:
    pass


class Sawtooth:
    def factor(self, step, steps):
        return 1 - (step % 3) / 3


class OfUnitNorm(EMA):
    def update(self, average, weights, step, steps):
        super().update(average, weights / weights.norm(), step, steps)


# Initializers


def half(model, batch, generator):
    he(model, batch, generator)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(0.5)


def adds(model, batch, generator):
    he(model, batch, generator)
    model.head.extra = nn.Parameter(torch.zeros(2))


def deletes(model, batch, generator):
    he(model, batch, generator)
    model.head.bias = None


def reshapes(model, batch, generator):
    model.head.weight = nn.Parameter(torch.zeros(3, 5))


def in_float64(model, batch, generator):
    he(model.double(), batch, generator)


def freezes(model, batch, generator):
    he(model, batch, generator)
    model.layers[0].linear.weight.requires_grad_(False)


def swaps_a_module(model, batch, generator):
    he(model, batch, generator)
    model.layers[0].act = nn.Tanh()


def another_model(model, batch, generator):
    return nn.Linear(3, 3)


def returns_the_model(model, batch, generator):
    he(model, batch, generator)
    return model


def looks_and_adds(model, batch, generator, *, start):
    start.forward()
    adds(model, batch, generator)


def unseeded(model, batch, generator):
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.uniform_(-0.1, 0.1)


def with_a_scale(model, batch, generator):
    """It gives the dropout layers a constant of their own, which is no parameter."""
    he(model, batch, generator)
    for module in model.modules():
        if isinstance(module, Dropout):
            module.threshold = 200
