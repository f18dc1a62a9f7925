"""LSTM layers with all time steps fused, faster than autograd through the unrolled cell.

For phi = tanh, and at steps at which no hook records the layers. Both ways, `batched_runs` and `single_run`, take a
cell and x (T, B, n) to the T outputs (B, N).
"""

import itertools
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from initbench.parts.activations import Activation, tanh
from initbench.parts.models.recurrent import Gates, LSTMCell
from initbench.parts.observe import is_as_written

aten = torch.ops.aten


def use_fused_lstm(model: nn.Module, way: Callable[[LSTMCell, Tensor], list[Tensor]]) -> None:
    """Let a model compute its LSTM layers in one of the two fused ways."""
    for module in model.modules():
        if isinstance(module, LSTMCell) and is_tanh_lstm(module):
            module.fused = way


def is_tanh_lstm(cell: LSTMCell) -> bool:
    """Whether the fused ways compute this cell: one with phi = tanh, and not somebody's variant of `LSTMCell`."""
    if type(cell) is not LSTMCell or not is_as_written(cell):
        return False
    parts, acts = (cell.input, cell.recurrent), (cell.act, cell.output_act)
    biases = [part.bias is not None for part in parts]
    return (
        all(type(part) is Gates for part in parts)
        and biases == [True, False]
        and all(type(act) is Activation and act.function is tanh for act in acts)
    )


def has_fused_lstm(model: nn.Module) -> bool:
    """Whether a model has layers that are fused where no hook looks at them."""
    return any(isinstance(module, LSTMCell) and module.fused is not None for module in model.modules())


def batched_runs(cell: LSTMCell, x: Tensor) -> list[Tensor]:
    """A backward pass written by hand, which `vmap` applies to all runs at once."""
    weights = torch.cat((cell.recurrent.weight, cell.input.weight, cell.input.bias.unsqueeze(1)), 1)
    parts = FusedLSTM.apply(x.unsqueeze(0), weights.unsqueeze(0), cell.truncate)
    return [h.squeeze(0).mT for h in parts[: len(x)]]


def single_run(cell: LSTMCell, x: Tensor) -> list[Tensor]:
    """torch's own kernel, on a CPU that of oneDNN: the fastest for one run. Its gates are in another order."""
    if not x.is_cpu:
        return batched_runs(cell, x)
    own = (cell.input.weight, cell.recurrent.weight, cell.input.bias)
    weights = [torch.cat((i, f, candidate, o)) for i, f, o, candidate in (part.chunk(4) for part in own)]
    weights.append(torch.zeros_like(cell.input.bias))
    h = c = x.new_zeros(1, x.shape[1], cell.width)
    outputs = []
    for part in x.split(cell.truncate or len(x)):
        state, train = (h.detach(), c.detach()), torch.is_grad_enabled()
        states, h, c = torch.lstm(part, state, weights, True, 1, 0.0, train, False, False)
        outputs += states.unbind(0)
    return outputs


class FusedLSTM(torch.autograd.Function):
    """All time steps of R LSTM layers with phi = tanh: what `LSTMCell.step` computes one by one.

    `x` (R, T, B, n) and `weights` (R, 4 N, N + n + 1), which are [U W b], give T outputs h (R, N, B) and what
    the backward pass needs. A step is one product, [U W b] [h; x; 1], and its gradients are two. Units come before
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
        """Join the mapped dimension and R into one: runs of runs are runs."""
        *both, truncate = inputs
        x, weights = (
            (part.expand(info.batch_size, *part.shape) if dim is None else part.movedim(dim, 0)).flatten(0, 1)
            for part, dim in zip(both, in_dims, strict=False)
        )
        parts = FusedLSTM.apply(x, weights, truncate)
        return tuple(part.unflatten(0, (info.batch_size, -1)) for part in parts), (0,) * len(parts)
