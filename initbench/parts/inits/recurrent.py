"""Initializers for gated recurrent cells."""

import torch
from torch import Generator, Tensor

from initbench.errors import DoesNotFit
from initbench.parts.checks import integer
from initbench.parts.inits.drawing import Gain, uniform_like
from initbench.parts.inits.scaling import xavier
from initbench.parts.models.recurrent import Cell, GRUCell, LSTMCell


def chrono(
    model, batch, generator, *, act=None, t_max: int | None = None, gain: Gain = 1, bias: float | None = None
) -> None:
    """b ~ log U(1, T_max - 1) in the gate that keeps a state, an LSTM's forget gate, and -b in its input gate.

    A unit then forgets after 2 to T_max time steps. T_max is `t_max`, or (None) the length of the sequences. A GRU's
    update gate, z in h' = z h + (1 - z) ..., gets b as the gate of the paper's leaky unit does. Other biases are 0, and
    weights those of `xavier`: the paper speaks of biases alone. A given `bias` replaces all. Tallec & Ollivier 2018,
    section 2 and equation 16.
    """
    cells = [module for module in model.modules() if isinstance(module, LSTMCell | GRUCell)]
    if not cells:
        raise DoesNotFit("init=chrono sets the biases of gates that keep a state: model=lstm or gru")
    longest = batch.shape[-1] if t_max is None else t_max
    integer("init.t_max", longest, "[2, inf)")
    xavier(model, batch, generator, act=act, gain=gain, bias=0 if bias is None else bias)
    for cell in cells if bias is None else ():
        set_memory(cell, longest, generator)


@torch.no_grad()
def set_memory(cell: Cell, t_max: int, generator: Generator) -> None:
    """Write the biases of the gates that keep a cell's state and let new input in."""
    bias: Tensor = cell.input.bias
    gates = dict(zip(cell.gates, bias.chunk(len(cell.gates)), strict=True))
    keeping = gates["forget"] if "forget" in gates else gates["update"]
    spread = uniform_like(keeping, generator) / 3**0.5  # U(-1, 1)
    keeping.copy_((t_max / 2 + (t_max / 2 - 1) * spread).log())
    if "input" in gates:
        gates["input"].copy_(-keeping)
