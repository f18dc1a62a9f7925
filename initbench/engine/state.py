"""The state of R runs of equal shape: one row of numbers per run, and views of the rows by parameter name."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from initbench.parts.layer_order import frozen
from initbench.parts.rates import Rates, asked

ALIGNMENT = 16  # every parameter starts at a multiple of 16 numbers: a cache line in float32


class Snapshot(NamedTuple):
    """A copy of the weights (R, P) and buffers of R runs."""

    weights: Tensor
    buffers: dict[str, Tensor]


@dataclass
class Stacked:
    """Parameters, gradients and buffers of R runs.

    `weights` and `gradient` are (R, P): what is elementwise within a run (an optimizer's update, a norm) is one
    operation for all. `parameters` and `gradients` are views of them, name -> (R, *shape).
    """

    weights: Tensor
    gradient: Tensor
    buffers: dict[str, Tensor]  # name -> (R, *shape)
    offsets: dict[str, tuple[int, torch.Size]]  # name -> where the parameter starts in a row, and its shape
    rates: list[dict[str, Rates]] = field(default_factory=list)  # of each run, where its initializer asked for some

    frozen: list[frozenset[str]] = field(default_factory=list)  # of each run, the parameters and buffers that stay

    def __post_init__(self):
        self.rates = self.rates or [{} for _ in range(self.runs)]
        self.frozen = self.frozen or [frozenset()] * self.runs
        self.parameters = self.views(self.weights)
        self.gradients = self.views(self.gradient)
        self.matrices = [name for name, (_, shape) in self.offsets.items() if len(shape) > 1]

    @cached_property
    def mask(self) -> Tensor:
        """(P,): 1 where a row holds a parameter, 0 in the gaps."""
        ones = torch.zeros_like(self.weights[:1])
        for rows in self.views(ones).values():
            rows.fill_(1)
        return ones[0]

    @property
    def runs(self) -> int:
        return self.weights.shape[0]

    def put(self, run: int, model: nn.Module) -> None:
        """Copy an ordinary module of the runs' shape into a row."""
        own = dict(model.named_parameters()) | dict(model.named_buffers())
        for name, rows in (self.parameters | self.buffers).items():
            rows[run].copy_(own[name].detach())
        self.rates[run], self.frozen[run] = asked(model), frozen(model)

    def first(self, runs: int) -> "Stacked":
        """The first rows alone, in the same memory."""
        buffers = {name: rows[:runs] for name, rows in self.buffers.items()}
        own = self.rates[:runs], self.frozen[:runs]
        return Stacked(self.weights[:runs], self.gradient[:runs], buffers, self.offsets, *own)

    def copy(self) -> Snapshot:
        """The weights and buffers as they are now."""
        return Snapshot(self.weights.clone(), {name: rows.clone() for name, rows in self.buffers.items()})

    def restore(self, kept: Snapshot) -> None:
        """Make the weights and buffers what they were."""
        self.weights.copy_(kept.weights)
        for name, rows in self.buffers.items():
            rows.copy_(kept.buffers[name])

    def rate_factors(self, optimizer: Any) -> Tensor | None:
        """What each number's learning rate is multiplied by, (R, P); None where no run asks for anything."""
        if not any(self.rates):
            return None
        factors = torch.ones_like(self.weights)
        views = self.views(factors)
        for run, rates in enumerate(self.rates):
            for name, own in rates.items():
                views[name][run] = own.of(optimizer)
        return factors

    def cast(self, numbers: Tensor) -> Tensor:
        """Data on the state's device; all but tokens and labels in its precision."""
        dtype = self.weights.dtype if numbers.is_floating_point() else numbers.dtype
        return numbers.to(self.weights.device, dtype)

    def views(self, flat: Tensor) -> dict[str, Tensor]:
        """The parameters inside a (R, P) tensor that is laid out as `weights` is."""
        return {
            name: flat[:, start : start + shape.numel()].unflatten(1, shape)
            for name, (start, shape) in self.offsets.items()
        }

    def gather(self, names: Sequence[str], flat: Tensor) -> Tensor:
        """Parameters of one shape inside a (R, P) tensor, (L, R, *shape); a view where they follow in even steps."""
        starts = [self.offsets[name][0] for name in names]
        shape = self.offsets[names[0]][1]
        gaps = {after - before for before, after in pairwise(starts)}
        if len(gaps) > 1 or min(gaps, default=0) < 0:  # a model may use its layers in any order
            return torch.stack([self.views(flat)[name] for name in names])
        rows = flat[:, starts[0] : starts[0] + shape.numel()].unflatten(1, shape)
        return rows.as_strided((len(names), *rows.shape), (*(gaps or {0}), *rows.stride()))


def stack(models: Sequence[nn.Module], device: torch.device) -> Stacked:
    """Copy R ordinary modules of equal shape into one state on `device`."""
    stacked = room_for(models[0], len(models), device)
    for run, model in enumerate(models):
        stacked.put(run, model)
    return stacked


def room_for(model: nn.Module, runs: int, device: torch.device) -> Stacked:
    """A state on `device` for so many runs of the model's shape, each of which `Stacked.put` writes."""
    offsets, size = {}, 0
    for name, parameter in model.named_parameters():
        offsets[name] = (size, parameter.shape)
        size += -(-parameter.numel() // ALIGNMENT) * ALIGNMENT
    weights = torch.zeros(runs, size, dtype=next(model.parameters()).dtype, device=device)
    buffers = {
        name: torch.empty((runs, *buffer.shape), dtype=buffer.dtype, device=device)
        for name, buffer in model.named_buffers()
    }
    return Stacked(weights, torch.zeros_like(weights), buffers, offsets)


def by_run(numbers: Tensor, like: Tensor) -> Tensor:
    """(R,) as (R, 1, ..., 1), to combine with a tensor (R, ...)."""
    return numbers.view(-1, *[1] * (like.ndim - 1))


def unstack(stacked: Stacked, run: int) -> dict[str, Tensor]:
    """The parameters and buffers of one run, as copies on the CPU: what `nn.Module.load_state_dict` takes."""
    state = {**stacked.parameters, **stacked.buffers}
    return {name: rows[run].cpu().clone() for name, rows in state.items()}
