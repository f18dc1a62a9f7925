"""Small models on which initializers are tried, and one initializer on one of them."""

import inspect
from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from initbench.parts import norms
from initbench.parts.activations import Activation, MakeActivation, relu
from initbench.parts.inits.matrix import matrices
from initbench.parts.models import CNN, LSTM, MLP, ModelSpec, Transformer
from initbench.parts.start import Start

Initializer = Callable[..., None]
RELU = partial(Activation, relu)


class Subject(NamedTuple):
    """A small model to try initializers on."""

    model: Callable[[ModelSpec], nn.Module]
    shape: tuple[int, ...]
    depth: int
    width: int
    settings: Mapping[str, Any] = {}  # fields of the `ModelSpec`

    def make(self, act: MakeActivation) -> nn.Module:
        return self.model(ModelSpec(self.shape, 3, self.depth, self.width, act, **self.settings))

    def batch(self) -> Tensor:
        generator = Generator().manual_seed(1)
        if vocabulary := self.settings.get("vocabulary"):
            return torch.randint(vocabulary, (8, *self.shape), generator=generator)
        return torch.randn(8, *self.shape, generator=generator)


RESIDUAL_MLP = partial(MLP, branch_scale=1.0, learn_scale=True, branch_layers=2)
DEEPNORM, PLAIN = (partial(Transformer, residual=residual) for residual in ("deepnorm", "plain"))
SUBJECTS = {  # of every kind of layer
    "mlp": Subject(MLP, (6,), 3, 7),
    "residual mlp": Subject(RESIDUAL_MLP, (6,), 5, 7),
    "cnn": Subject(CNN, (2, 8, 8), 2, 6, {"norm": norms.batch(), "dropout": 0.2}),
    "lstm": Subject(LSTM, (2, 5), 2, 6),
    "transformer": Subject(Transformer, (5,), 1, 8, {"vocabulary": 11, "dropout": 0.2}),
    "deepnorm transformer": Subject(DEEPNORM, (5,), 2, 8, {"vocabulary": 11}),
    "plain transformer": Subject(PLAIN, (3, 5), 2, 8),
}
SHAPES = {  # of odd sizes, whose weights are many enough for statistics
    "one unit": Subject(MLP, (1,), 1, 1),
    "wide mlp": Subject(MLP, (2,), 2, 150),
    "residual mlp": Subject(RESIDUAL_MLP, (2,), 3, 30),
    "cnn": Subject(CNN, (3, 8, 8), 2, 12),
    "lstm": Subject(LSTM, (5, 4), 1, 20),
    "transformer": Subject(Transformer, (5,), 1, 16, {"vocabulary": 40}),
    "deepnorm transformer": Subject(DEEPNORM, (5,), 1, 16, {"vocabulary": 40}),
    "plain transformer": Subject(PLAIN, (5,), 1, 16, {"vocabulary": 40}),
}


class Trial:
    """An initializer with its parameters on one subject."""

    def __init__(
        self,
        init: Initializer,
        subject: Subject,
        act: MakeActivation = RELU,
        random: bool | None = None,
        parameters: Mapping[str, Any] | None = None,
    ):
        self.init, self.subject, self.act, self.parameters = init, subject, act, parameters or {}
        self.asked = inspect.signature(init).parameters.keys()
        self.given: Tensor | None = None  # the batch of the last run
        self.returned: object = None
        self.born = cache(lambda seed: self.run(seed))  # for checks that only look
        values = torch.cat([matrix.weight.flatten() for matrix in matrices(self.born(0))])
        # Zeros, constants, the identity and Hadamard's matrix have few distinct values and no use for a seed.
        written = values[values != 0]
        self.is_random = len(written.unique()) > len(written) / 4 if random is None else random

    def model(self, dtype: torch.dtype = torch.float32) -> nn.Module:
        """A new model with NaN for whatever the initializer must write."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model = self.subject.make(self.act).to(dtype)
        for matrix in matrices(model):
            for own in (matrix.weight, *matrix.biases):
                own.fill_(torch.nan)
        return model

    def start(self, model: nn.Module, seed: int = 0) -> Start:
        """A `Start` on the subject's batch, with labels in turn."""
        self.given = self.subject.batch()
        dtype, x = next(model.parameters()).dtype, self.given
        x = x.to(dtype) if x.is_floating_point() else x
        return Start(model, x, torch.arange(len(x)) % 3, F.cross_entropy, Generator().manual_seed(seed))

    def run(self, seed: int = 0, model: nn.Module | None = None) -> nn.Module:
        """The model after the initializer."""
        model = self.model() if model is None else model
        start = self.start(model, seed)
        offered = {"act": self.act(), "start": start}
        given = {name: offered[name] for name in offered if name in self.asked}
        self.returned = self.init(model, start.x, Generator().manual_seed(seed), **given, **self.parameters)
        return model
