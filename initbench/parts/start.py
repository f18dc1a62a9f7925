"""`Start`, which a data-dependent initializer gets: a batch, its loss, and forward passes that leave no trace."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Generator, Tensor, nn
from torch.func import functional_call

from initbench.errors import InputError
from initbench.parts.dropout import stochastic_modules
from initbench.parts.inits.matrix import Matrix, matrices_by_weight
from initbench.parts.norms import sync_weight_norm
from initbench.parts.observe import LayerHooks


class PreActivation(NamedTuple):
    """W x + b of one weight matrix on the batch."""

    matrix: Matrix
    values: Tensor  # (rows, m): a row per example and place of a map, time step, or use of a shared weight


class Start:
    """A batch of training data, and forward passes of the model on it.

    A pass runs in training mode. Its masks come from a stream of their own and are the same in every pass, so that two
    passes differ only in what was written between them. A pass leaves the mode of the model, its running statistics,
    and the random numbers of its training as they were; after one, weight-normalized layers have the written W.

    model   the whole model, even where the initializer writes only a part of it
    x       the batch's inputs, (B, *shape)
    y       its labels or numbers, (B,) or (B, T)
    loss    (outputs, y) to the mean loss, a scalar
    report  what the initializer did, numbers and words by name: stored with the run
    """

    def __init__(
        self,
        model: nn.Module,
        x: Tensor,
        y: Tensor,
        loss: Callable[[Tensor, Tensor], Tensor],
        generator: Generator,
        part: nn.Module | None = None,
    ):
        """`part`: the module that the initializer writes, whose pre-activations are wanted; by default all."""
        self.model, self.x, self.y, self.loss = model, x, y, loss
        self.report: dict[str, float | int | str] = {}
        self._part = model if part is None else part
        self._masks = generator.get_state()

    def written(self) -> dict[str, nn.Parameter]:
        """The parameters that the initializer writes, by their names in the whole model."""
        own = {id(parameter) for parameter in self._part.parameters()}
        return {name: parameter for name, parameter in self.model.named_parameters() if id(parameter) in own}

    def forward(self, x: Tensor | None = None, parameters: Mapping[str, Tensor] | None = None) -> Tensor:
        """The outputs on the batch, (B, C) or (B, T, C); on other inputs x, or with other parameters by name."""
        buffers = {name: buffer.clone() for name, buffer in self.model.named_buffers()}
        with self._training():
            return functional_call(self.model, {**buffers, **(parameters or {})}, (self.x if x is None else x,))

    def pre_activations(self) -> dict[str, list[PreActivation]]:
        """Of each weight, by its name and in the order of use: those of its matrices (several where gates are stacked).

        A weight is left out where its module doesn't apply it by itself, as in `nn.MultiheadAttention`.
        """
        hooks = LayerHooks(self.model)
        hooks.recording = True
        try:
            with torch.no_grad():
                self.forward()
        finally:
            hooks.recording = False
        values: dict[str, list[Tensor]] = {}
        for use in hooks.uses():
            pre, name = hooks.records[use.output].after, hooks.weights[use.module]  # its own, not a block's sum
            is_map = self.model.get_parameter(name).ndim > 2
            values.setdefault(name, []).append((pre.movedim(1, -1) if is_map else pre).flatten(0, -2))
        written = matrices_by_weight(self._part)
        by_name = {name: written.get(self.model.get_parameter(name), []) for name in values}
        return {name: _of_each(own, torch.cat(values[name])) for name, own in by_name.items() if own}

    def gradients(self) -> dict[str, Tensor]:
        """The gradient of the batch's loss with respect to every parameter, by its name."""
        names, parameters = zip(*self.model.named_parameters(), strict=True)
        with torch.enable_grad():
            loss = self.loss(self.forward(), self.y)
            gradients = torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)
        return dict(zip(names, gradients, strict=True))

    @contextmanager
    def _training(self) -> Iterator[None]:
        """The model in training mode and with masks, and afterwards as it was."""
        modes = {module: module.training for module in self.model.modules()}
        sources = {module: module.source for module in stochastic_modules(self.model)}
        generator = Generator()
        generator.set_state(self._masks)

        def source(shape: Sequence[int]) -> Tensor:
            return torch.randint(256, tuple(shape), dtype=torch.uint8, generator=generator)

        sync_weight_norm(self.model)
        self.model.train()
        for module in sources:
            module.source = source
        try:
            yield
        finally:
            for module, before in sources.items():
                module.source = before
            for module, training in modes.items():
                module.training = training


class DataNeeded(InputError):
    """An initializer has got as far as it can without data: its parameters are good."""


class NoData(Start):
    """What planning gives in place of a `Start`: the first pass ends the initializer."""

    def forward(self, x: Tensor | None = None, parameters: Mapping[str, Tensor] | None = None) -> Tensor:
        raise DataNeeded("the first forward pass")


def _of_each(matrices: Sequence[Matrix], values: Tensor) -> list[PreActivation]:
    """A weight's pre-activations (rows, sum of m) as those of its matrices."""
    return [PreActivation(*pair) for pair in zip(matrices, values.chunk(len(matrices), -1), strict=True)]
