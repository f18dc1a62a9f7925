"""The random numbers that runs draw while they train, each from its own streams: dropout masks and noise.

Runs of one seed draw the same, whatever else is in the stack, so that their comparison stays paired.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call

from initbench.parts.dropout import attach_source, stochastic_modules
from initbench.randomness import stream

LARGEST = torch.iinfo(torch.int64).min  # where `random_` starts to give all 64 bits


class Streams:
    """A named stream for each of R runs; runs of one seed share it, and what is drawn from it."""

    def __init__(self, name: str, seeds: Sequence[int], device: torch.device):
        self.generators = {seed: stream(seed, name) for seed in seeds}
        row = {seed: i for i, seed in enumerate(self.generators)}
        self.rows, self.device = torch.tensor([row[seed] for seed in seeds], device=device), device

    def each(self, draw: Callable[[torch.Generator], Tensor]) -> Tensor:
        """What `draw` makes with each run's generator, (...), as one row per run: (R, ...)."""
        return torch.stack([draw(generator) for generator in self.generators.values()]).to(self.device)[self.rows]

    def bytes(self, count: int) -> Tensor:
        """Random bytes (R, count)."""
        words = -(-count // 8)
        return self.each(lambda g: torch.empty(words, dtype=torch.int64).random_(LARGEST, None, generator=g)).view(
            torch.uint8
        )[:, :count]

    def normal(self, count: int) -> Tensor:
        """Standard normal numbers (R, count), float32."""
        return self.each(lambda g: torch.randn(count, generator=g))

    def state(self) -> Tensor:
        """The position in each different stream: the states of its generators, uint8 (streams, bytes)."""
        return torch.stack([generator.get_state() for generator in self.generators.values()])

    def load_state(self, state: Tensor) -> None:
        """Go on drawing where `state` was taken."""
        for generator, own in zip(self.generators.values(), state, strict=True):
            generator.set_state(torch.as_tensor(own).clone())  # a row of a file's memory may not be aligned


class Masks:
    """The random bytes that the modules of a model ask for at each forward pass in training, for R runs."""

    def __init__(self, seeds: Sequence[int], device: torch.device):
        self.streams = Streams("masks", seeds, device)
        self.count: int | None = None

    def rows(self, model: nn.Module, x: Tensor) -> Tensor:
        """One row of K bytes per run, (R, K); K is counted once, by passing a batch x through the model."""
        if self.count is None:
            self.count = count_random_bytes(model, x)
        return self.streams.bytes(self.count)


@torch.no_grad()
def count_random_bytes(model: nn.Module, x: Tensor) -> int:
    """How many bytes a forward pass takes on a batch x, of any device. The model's buffers stay what they are.

    The model is on the CPU and has weights of its own: only the state of the runs is on the device.
    """
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    source = attach_source(stochastic_modules(model), None)
    functional_call(model.train(), buffers, (x.cpu(),))
    return source.used
