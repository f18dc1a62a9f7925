"""Recurrent models, unrolled: the inputs' products for all time steps at once, then a loop over time.

Inside, sequences are time first, (T, B, n). Gates of one input are stacked in one weight, so that a time step
is one product; initializers see the gates as matrices of their own.
"""

import itertools
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch._C._functorch import is_batchedtensor
from torch.autograd.function import once_differentiable

from initbench.errors import InputError
from initbench.parts.activations import Activation, tanh
from initbench.parts.models.shapes import flag, sequence, tokens, word
from initbench.parts.ranges import whole

aten = torch.ops.aten
State = tuple[Tensor, ...]  # the output h (B, N) comes first


class Gates(nn.Linear):
    """Linear maps of one input to `width` units each, their weights stacked: (len(gates) * width, fan_in)."""

    def __init__(self, fan_in: int, width: int, gates: Sequence[str], *, bias: bool = True):
        super().__init__(fan_in, len(gates) * width, bias=bias)
        self.gates = tuple(gates)


class Cell(nn.Module):
    """A layer in one direction of time, (T, B, n) to its T outputs (B, N); subclasses say what a step does."""

    gates: tuple[str, ...]
    states = 1
    recurrent_bias = False  # W x + b has one

    def __init__(
        self,
        fan_in: int,
        width: int,
        act: Callable[[], Activation],
        truncate: int | None = None,
        backwards: bool = False,
    ):
        super().__init__()
        self.width, self.truncate, self.backwards = width, truncate, backwards
        self.input = Gates(fan_in, width, self.gates)
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


class LSTMSteps(torch.autograd.Function):
    """All time steps of R LSTM layers with phi = tanh: what `LSTMCell.step` does one by one, its backward by hand.

    `x` (R, T, B, n) and `weights` (R, 4 N, N + n + 1), which are [U W b], to T outputs h (R, N, B) and what the
    backward pass needs. A step is one product, [U W b] [h; x; 1], and its gradients are two. Units come before
    examples, so that a gate of a run is one block of memory.
    """

    @staticmethod
    def forward(x: Tensor, weights: Tensor, truncate: int | None) -> tuple[Tensor, ...]:
        runs, _, examples, fan_in = x.shape
        width = weights.shape[2] - fan_in - 1
        h = c = x.new_zeros(runs, width, examples)
        one = x.new_ones(runs, 1, examples)
        steps = []
        for x_t in x.mT.contiguous().unbind(1):
            gates = weights @ torch.cat((h, x_t, one), 1)
            sigmoids, candidate = gates.split((3 * width, width), 1)
            i, f, o = sigmoids.sigmoid_().chunk(3, 1)
            c = torch.addcmul(f * c, i, candidate.tanh_())
            tanh_c = torch.tanh(c)
            h = o * tanh_c
            steps.append((h, gates, c, tanh_c))
        return tuple(itertools.chain(*zip(*steps, strict=True)))

    @staticmethod
    def setup_context(ctx, inputs, output):
        x, weights, ctx.truncate = inputs
        ctx.save_for_backward(x, weights, *output)
        ctx.mark_non_differentiable(*output[x.shape[1] :])
        ctx.set_materialize_grads(False)

    @staticmethod
    @once_differentiable
    def backward(ctx, *from_above: Tensor | None):  # pyright: ignore[reportIncompatibleMethodOverride]
        x, weights, *saved = ctx.saved_tensors
        x = x.mT.contiguous().unbind(1)
        h, gates, c, tanh_c = (saved[part * len(x) : (part + 1) * len(x)] for part in range(4))
        zero, one = torch.zeros_like(c[0]), torch.ones_like(c[0][:, :1])
        width = zero.shape[1]
        wanted = weights[..., : -1 if ctx.needs_input_grad[0] else width].mT
        d_weights = torch.zeros_like(weights.mT, memory_format=torch.contiguous_format)
        d_x = []
        dh = dc = zero  # of h and c as far as later steps use them
        for t in reversed(range(len(x))):
            i, f, o, candidate = gates[t].chunk(4, 1)
            h_before, c_before = (h[t - 1], c[t - 1]) if t else (zero, zero)
            if (above := from_above[t]) is not None:
                dh = dh + above
            dc = dc + aten.tanh_backward(dh * o, tanh_c[t])
            d_gates = (
                aten.sigmoid_backward(dc * candidate, i),
                aten.sigmoid_backward(dc * c_before, f),
                aten.sigmoid_backward(dh * tanh_c[t], o),
                aten.tanh_backward(dc * i, candidate),
            )
            d = torch.cat(d_gates, 1)
            # MKL takes a third longer for the transpose of this product.
            d_weights.baddbmm_(torch.cat((h_before, x[t], one), 1), d.mT)
            dh, d_x_t = (wanted @ d).tensor_split((width,), 1)
            d_x.append(d_x_t)
            dc = dc * f
            if ctx.truncate and t % ctx.truncate == 0:
                dh = dc = zero
        return torch.stack(d_x[::-1], 1).mT if ctx.needs_input_grad[0] else None, d_weights.mT, None

    @staticmethod
    def vmap(info, in_dims, *inputs):
        """Runs of runs are runs."""
        *both, truncate = inputs
        x, weights = (
            (part.expand(info.batch_size, *part.shape) if dim is None else part.movedim(dim, 0)).flatten(0, 1)
            for part, dim in zip(both, in_dims, strict=False)
        )
        parts = LSTMSteps.apply(x, weights, truncate)
        return tuple(part.unflatten(0, (info.batch_size, -1)) for part in parts), (0,) * len(parts)


class LSTMCell(Cell):
    """c' = f c + i phi(g), h' = o phi(c'), with i, f, o sigmoids and g of W x + b + U h. Hochreiter &
    Schmidhuber 1997; Gers et al. 2000."""

    gates = ("input", "forget", "output", "candidate")
    states = 2

    def __init__(self, fan_in: int, width: int, act: Callable[[], Activation], *args, **kwargs):
        super().__init__(fan_in, width, act, *args, **kwargs)
        self.output_act = act()

    def forward(self, x: Tensor) -> list[list[Tensor]]:
        """In a quicker way where phi is tanh, in one precision, and nobody watches the steps."""
        if self.act.function is not tanh or watched(self) or torch.is_autocast_enabled(x.device.type):
            return super().forward(x)
        stacked = is_batchedtensor(x) or is_batchedtensor(self.input.weight)
        ordered = x.flip(0) if self.backwards else x
        outputs = self.by_torch(ordered) if x.is_cpu and not stacked else self.by_hand(ordered)
        return [outputs[::-1] if self.backwards else outputs]

    def by_hand(self, x: Tensor) -> list[Tensor]:
        weights = torch.cat((self.recurrent.weight, self.input.weight, self.input.bias.unsqueeze(1)), 1)
        parts = LSTMSteps.apply(x.unsqueeze(0), weights.unsqueeze(0), self.truncate)
        return [h.squeeze(0).mT for h in parts[: len(x)]]

    def by_torch(self, x: Tensor) -> list[Tensor]:
        """One run alone is quickest in oneDNN's kernel, which has its gates in another order."""
        own = (self.input.weight, self.recurrent.weight, self.input.bias)
        weights = [torch.cat((i, f, candidate, o)) for i, f, o, candidate in (part.chunk(4) for part in own)]
        zero = torch.zeros_like(self.input.bias)
        h = c = x.new_zeros(1, x.shape[1], self.width)
        outputs = []
        for part in x.split(self.truncate or len(x)):
            state = (h.detach(), c.detach())
            train = torch.is_grad_enabled()
            states, h, c = torch.lstm(part, state, (*weights, zero), True, 1, 0.0, train, False, False)
            outputs += states.unbind(0)
        return outputs

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
    """A layer that reads its input from either end: (T, B, n) to T outputs of either."""

    def __init__(self, ahead: Cell, back: Cell):
        super().__init__()
        self.ahead, self.back = ahead, back

    def forward(self, x: Tensor) -> list[list[Tensor]]:
        return [*self.ahead(x), *self.back(x)]


class Unrolled(nn.Module):
    """`depth` recurrent layers of `width` units and a linear head; subclasses name the cell.

    Sequences (B, C, T), or tokens (B, T) through an embedding of `width`, to logits (B, classes) or, where each of
    `positions` has a label, (B, T, classes). `bidirectional` layers read from either end, with `width` units each.
    `readout`: the head reads the `last` state (of either direction), the `mean` over time or all (`flatten`); with
    positions each state. `truncate`: no gradient flows back across every `truncate`-th time step.
    """

    cell: type[Cell]

    def __init__(
        self,
        shape: Sequence[int],
        classes: int,
        depth: int,
        width: int,
        act: Callable[[], Activation],
        vocabulary: int | None = None,
        positions: int | None = None,
        *,
        bidirectional: bool = False,
        readout: str = "last",
        truncate: int | None = None,
    ):
        super().__init__()
        name = type(self).__name__.lower()
        self.readout = word("model.readout", readout, ("last", "mean", "flatten"))
        self.positions = positions
        whole("width", width, "[1, inf)")
        if truncate is not None:
            whole("model.truncate", truncate, "[1, inf)")
        if flag("model.bidirectional", bidirectional) and positions is not None:
            raise InputError(
                f"model={name}: with model.bidirectional=true each position sees what it should predict; leave it false"
            )
        if vocabulary is None:
            self.embedding = None
            fan_in, steps = sequence(name, shape)
        else:
            steps = tokens(name, shape)
            self.embedding = nn.Embedding(vocabulary, width)
            fan_in = width
        ways = 2 if bidirectional else 1
        layers = []
        for _ in range(whole("depth", depth, "[1, inf)")):
            cells = [self.cell(fan_in, width, act, truncate, backwards=way == 1) for way in range(ways)]
            layers.append(BothWays(*cells) if bidirectional else cells[0])
            fan_in = ways * width
        self.layers = nn.ModuleList(layers)
        every = positions is None and readout == "flatten"
        self.head = nn.Linear(fan_in * (steps if every else 1), classes)

    def forward(self, x: Tensor) -> Tensor:
        x = x.permute(2, 0, 1) if self.embedding is None else self.embedding(x.mT)
        *below, top = self.layers
        for layer in below:
            x = joined(layer(x), 0)
        ways = top(x)
        if self.positions is not None:
            return self.head(joined(ways, 1))
        if self.readout == "last":  # what a cell that reads backwards has in the end is its output at time 0
            ends = [outputs[0 if way else -1] for way, outputs in enumerate(ways)]
            return self.head(torch.cat(ends, -1) if len(ends) > 1 else ends[0])
        outputs = joined(ways, 1)
        return self.head(outputs.mean(1) if self.readout == "mean" else outputs.flatten(1))


def watched(module: nn.Module) -> bool:
    """Does somebody wait for what the parts of a module compute?"""
    return any(part._forward_hooks or part._forward_pre_hooks for part in module.modules())


def joined(ways: list[list[Tensor]], time: int) -> Tensor:
    """The outputs of a layer's directions as one tensor whose dimension `time` is time."""
    stacked = [torch.stack(outputs, time) for outputs in ways]
    return torch.cat(stacked, -1) if len(stacked) > 1 else stacked[0]


class RNN(Unrolled):
    __doc__ = Unrolled.__doc__
    cell = RNNCell


class LSTM(Unrolled):
    __doc__ = Unrolled.__doc__
    cell = LSTMCell


class GRU(Unrolled):
    __doc__ = Unrolled.__doc__
    cell = GRUCell
