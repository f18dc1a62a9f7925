"""What every model is built from, and which examples it takes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from initbench.errors import DoesNotFit, InputError
from initbench.parts.activations import MakeActivation
from initbench.parts.checks import integer
from initbench.parts.dropout import AlphaDropout, Dropout, dropout_layer
from initbench.parts.norms import Norm


@dataclass(frozen=True)
class ModelSpec:
    """The data, the size and the settings that a model is built for; InputError for a size that is out of range.

    `image`, `sequence`, `tokens` and `pair` return the sizes of one example. They raise DoesNotFit for other
    examples; the message names the `model` and, where there is one, a model that fits.
    """

    shape: Sequence[int]  # of one example
    classes: int  # outputs per label; 1 if a number is predicted
    depth: int  # layers or blocks, at least 0
    width: int  # units or channels per layer, at least 1; of `widths` the largest
    act: MakeActivation  # makes a new module for each layer
    vocabulary: int | None = None  # examples are tokens below this number, or (None) float numbers
    positions: int | None = None  # an example has this many labels, one per position, or (None) one label
    norm: Norm | None = None  # how hidden layers are normalized
    dropout: float | None = None  # fraction of the hidden units that training drops
    dropconnect: float | None = None  # fraction of the hidden layers' weights that training drops
    alpha_dropout: float | None = None  # fraction of the hidden units that training sets to SELU's lowest value

    widths: Sequence[int] | None = None  # units or channels of each layer; None: all have `width`

    def __post_init__(self):
        integer("depth", self.depth, "[0, inf)")
        for width in (self.width, *(self.widths or ())):
            integer("width", width, "[1, inf)")
        if self.widths is not None and len(self.widths) != self.depth:
            raise InputError(f"width={list(self.widths)} is for depth={len(self.widths)}, not {self.depth}")

    @property
    def sizes(self) -> list[int]:
        """The width of each layer."""
        return [self.width] * self.depth if self.widths is None else list(self.widths)

    def dropout_layer(self) -> Dropout | None:
        """What follows a hidden layer's activation where units are dropped; DoesNotFit for both kinds of dropout."""
        if self.dropout and self.alpha_dropout:
            raise DoesNotFit("regularize.dropout and regularize.alpha_dropout would each drop units: take one of them")
        return AlphaDropout(self.alpha_dropout) if self.alpha_dropout else dropout_layer(self.dropout)

    def image(self, model: str) -> tuple[int, int, int]:
        """(C, H, W) of an image."""
        if len(self.shape) == 3:
            channels, height, width = self.shape
            return channels, height, width
        sequences = "model=conv1d, rnn, gru, lstm and transformer take sequences"
        fits = sequences if len(self.shape) == 2 else "model=mlp takes any"
        raise DoesNotFit(f"model={model} takes images (channels, height, width), not {self._examples}; {fits}")

    def sequence(self, model: str) -> tuple[int, int]:
        """(C, T) of a sequence of numbers, channels x time."""
        if len(self.shape) == 2:
            channels, steps = self.shape
            return channels, steps
        images = "take data=digits_rows, or model=cnn or resnet, which take images"
        fits = images if len(self.shape) == 3 else "model=mlp takes any"
        raise DoesNotFit(f"model={model} takes sequences (channels, steps), not {self._examples}; {fits}")

    def tokens(self, model: str) -> int:
        """T of a sequence of tokens."""
        if len(self.shape) == 1:
            return self.shape[0]
        hint = "; model=seq2seq takes pairs of sequences" if len(self.shape) == 2 else ""
        raise DoesNotFit(f"model={model} takes one sequence of tokens, not {self._examples}{hint}")

    def pair(self, model: str) -> tuple[int, int]:
        """(T, vocabulary) of a pair of token sequences with a label for each position of the second."""
        if self.vocabulary is None or self.positions is None or len(self.shape) != 2 or self.shape[0] != 2:
            raise DoesNotFit(
                f"model={model} takes pairs of token sequences (2, steps), source and target, as data=reverse has "
                "them; model=transformer takes single sequences"
            )
        return self.shape[1], self.vocabulary

    def recorded(self) -> "tuple[ModelSpec, set[str]]":
        """The same spec, and a set that gets the names of the fields that are read of it."""
        read: set[str] = set()

        class RecordedSpec(ModelSpec):
            def __getattribute__(self, name: str) -> Any:
                read.add(name)
                return super().__getattribute__(name)

        spec = RecordedSpec(**vars(self))
        read.clear()  # it has checked itself
        return spec, read

    @property
    def _examples(self) -> str:
        return f"examples of shape ({', '.join(map(str, self.shape))})"
