"""Recurrent models: one product of W with the inputs of all time steps, then a loop over time.

Inside, time comes first, (T, B, n). The gates that read one input are stacked in one weight, so that a time step is one
product; initializers see each gate as a matrix of its own.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from initbench.errors import InputError
from initbench.parts.activations import MakeActivation
from initbench.parts.checks import boolean, choice, integer
from initbench.parts.models.spec import ModelSpec

State = tuple[Tensor, ...]  # the output h (B, N) comes first


class Gates(nn.Linear):
    """Linear maps of one input to `width` units each, their weights stacked: (len(gates) * width, fan_in).

    bias_terms: how many biases PyTorch adds up where this layer has one; init=torch_default draws their sum.
    """

    def __init__(self, fan_in: int, width: int, gates: Sequence[str], *, bias: bool = True, bias_terms: int = 1):
        super().__init__(fan_in, len(gates) * width, bias=bias)
        self.gates, self.bias_terms = tuple(gates), bias_terms


class Cell(nn.Module):
    """A layer in one direction of time, (T, B, n) to its T outputs (B, N); subclasses define a step."""

    gates: tuple[str, ...]
    states = 1  # tensors (B, N) that a step hands on
    recurrent_bias = False  # the bias of W x + b is enough

    def __init__(
        self,
        fan_in: int,
        width: int,
        act: MakeActivation,
        truncate: int | None = None,
        backwards: bool = False,
    ):
        super().__init__()
        self.width, self.truncate, self.backwards = width, truncate, backwards
        self.input = Gates(fan_in, width, self.gates, bias_terms=1 if self.recurrent_bias else 2)
        self.recurrent = Gates(width, width, self.gates, bias=self.recurrent_bias)
        self.act = act()

    def forward(self, x: Tensor) -> list[list[Tensor]]:
        products = self.input(x).unbind(0)
        state = (products[0].new_zeros(products[0].shape[0], self.width),) * self.states
        outputs = []
        for t, product in enumerate(reversed(products) if self.backwards else products):
            if self.truncate and t and t % self.truncate == 0:
                state = tuple(part.detach() for part in state)
            state = self.step(product, state)
            outputs.append(state[0])
        return [outputs[::-1] if self.backwards else outputs]

    def step(self, product: Tensor, state: State) -> State:
        """The state after a time step; `product` (B, gates * N) is W x + b."""
        raise NotImplementedError


class RNNCell(Cell):
    """h' = phi(W x + b + U h). Elman 1990."""

    gates = ("hidden",)

    def step(self, product: Tensor, state: State) -> State:
        return (self.act(product + self.recurrent(state[0])),)


class LSTMCell(Cell):
    """c' = f c + i phi(g), h' = o phi(c'), with i, f, o sigmoids and g of W x + b + U h. Hochreiter &
    Schmidhuber 1997; Gers et al. 2000."""

    gates = ("input", "forget", "output", "candidate")
    states = 2
    fused: "Callable[[LSTMCell, Tensor], list[Tensor]] | None" = None  # a faster forward, which the engine may set

    def __init__(self, fan_in: int, width: int, act: MakeActivation, *args, **kwargs):
        super().__init__(fan_in, width, act, *args, **kwargs)
        self.output_act = act()

    def forward(self, x: Tensor) -> list[list[Tensor]]:
        if self.fused is None or watched(self) or torch.is_autocast_enabled(x.device.type):
            return super().forward(x)
        outputs = self.fused(self, x.flip(0) if self.backwards else x)
        return [outputs[::-1] if self.backwards else outputs]

    def step(self, product: Tensor, state: State) -> State:
        h, c = state
        gates, candidate = (product + self.recurrent(h)).split((3 * self.width, self.width), -1)
        candidate = self.act(candidate)
        i, f, o = torch.sigmoid(gates).chunk(3, -1)
        c = f * c + i * candidate
        return o * self.output_act(c), c


class GRUCell(Cell):
    """h' = z h + (1 - z) phi(W x + b + r (U h + b')), with r, z sigmoids of W x + b + U h + b'. Cho et al. 2014,
    with the reset gate after the product as in cuDNN."""

    gates = ("reset", "update", "candidate")
    recurrent_bias = True  # the reset gate multiplies the candidate's

    def step(self, product: Tensor, state: State) -> State:
        (h,) = state
        sizes = (2 * self.width, self.width)
        gates, candidate = product.split(sizes, -1)
        own_gates, own_candidate = self.recurrent(h).split(sizes, -1)
        r, z = torch.sigmoid(gates + own_gates).chunk(2, -1)
        return (torch.lerp(self.act(candidate + r * own_candidate), h, z),)


class BothWays(nn.Module):
    """A layer that reads its input from both ends: (T, B, n) to T outputs per direction."""

    def __init__(self, ahead: Cell, back: Cell):
        super().__init__()
        self.ahead, self.back = ahead, back

    def forward(self, x: Tensor) -> list[list[Tensor]]:
        return [*self.ahead(x), *self.back(x)]


class Unrolled(nn.Module):
    """`depth` recurrent layers of `width` units and a linear head; subclasses name the cell.

    It maps sequences (B, C, T), or tokens (B, T), which are embedded, to logits (B, C'), or to (B, T, C') if each
    position has a label.

    bidirectional  layers read from both ends, with `width` units per direction
    readout        the head reads the `last` state of each direction, the `mean` over time or all states (`flatten`);
                   if each position has a label it reads each state
    truncate       no gradient flows back across every `truncate`-th time step
    """

    supports = ("vocabulary", "positions")
    cell: type[Cell]

    def __init__(
        self, spec: ModelSpec, *, bidirectional: bool = False, readout: str = "last", truncate: int | None = None
    ):
        super().__init__()
        name, width = type(self).__name__.lower(), spec.width
        self.readout = choice("model.readout", readout, ("last", "mean", "flatten"))
        self.positions = spec.positions
        if truncate is not None:
            integer("model.truncate", truncate, "[1, inf)")
        if boolean("model.bidirectional", bidirectional) and spec.positions is not None:
            raise InputError(
                f"model={name}: with model.bidirectional=true each position sees what it should predict; leave it false"
            )
        if spec.vocabulary is None:
            self.embedding = None
            fan_in, steps = spec.sequence(name)
        else:
            fan_in, steps = width, spec.tokens(name)
            self.embedding = nn.Embedding(spec.vocabulary, width)
        ways = 2 if bidirectional else 1
        layers = []
        for _ in range(integer("depth", spec.depth, "[1, inf)")):
            cells = [self.cell(fan_in, width, spec.act, truncate, backwards=way == 1) for way in range(ways)]
            layers.append(BothWays(*cells) if bidirectional else cells[0])
            fan_in = ways * width
        self.layers = nn.ModuleList(layers)
        reads_all = spec.positions is None and readout == "flatten"
        self.head = nn.Linear(fan_in * (steps if reads_all else 1), spec.classes)

    def forward(self, x: Tensor) -> Tensor:
        x = x.permute(2, 0, 1) if self.embedding is None else self.embedding(x.mT)
        *below, top = self.layers
        for layer in below:
            x = joined(layer(x), 0)
        ways = top(x)
        if self.positions is not None:
            return self.head(joined(ways, 1))
        if self.readout == "last":  # a cell that reads backwards ends at time 0
            ends = [outputs[0 if way else -1] for way, outputs in enumerate(ways)]
            return self.head(torch.cat(ends, -1) if len(ends) > 1 else ends[0])
        outputs = joined(ways, 1)
        return self.head(outputs.mean(1) if self.readout == "mean" else outputs.flatten(1))


def watched(module: nn.Module) -> bool:
    """Are there hooks on parts of a module?"""
    return any(part._forward_hooks or part._forward_pre_hooks for part in module.modules())


def joined(ways: list[list[Tensor]], time: int) -> Tensor:
    """The outputs of a layer's directions as one tensor, with time as dimension `time`."""
    stacked = [torch.stack(outputs, time) for outputs in ways]
    return torch.cat(stacked, -1) if len(stacked) > 1 else stacked[0]


class RNN(Unrolled):
    cell = RNNCell


class LSTM(Unrolled):
    cell = LSTMCell


class GRU(Unrolled):
    cell = GRUCell
