"""What a run draws while it trains, each run from its own streams: masks for its model, noise for its numbers.

Runs of one seed draw the same, whatever else is in the stack, so that their comparison stays paired.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

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
        """What `draw` gives for a run's generator, (...), as a row a run, (R, ...)."""
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


class Masks:
    """The random bytes that the modules of a model ask for at each forward pass in training, for R runs."""

    def __init__(self, seeds: Sequence[int], device: torch.device):
        self.streams = Streams("masks", seeds, device)
        self.count: int | None = None

    def rows(self, model: nn.Module, x: Tensor) -> Tensor:
        """A row (R, K) of bytes a run. The model, one that has weights of its own, tells by a batch x how many."""
        if self.count is None:
            self.count = count_random_bytes(model, x)
        return self.streams.bytes(self.count)


@torch.no_grad()
def count_random_bytes(model: nn.Module, x: Tensor) -> int:
    """How many bytes a forward pass on a batch x, of any device, takes. The model's buffers stay what they are."""
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    source = attach_source(stochastic_modules(model), None)
    model.train()(x.cpu())  # where models are; only their state is on the device
    for name, buffer in before.items():
        model.get_buffer(name).copy_(buffer)
    return source.used
