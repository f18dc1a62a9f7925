"""Transformers: attention written out, for tensors (B, T, D) with D the model's width."""

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from initbench.errors import DoesNotFit
from initbench.parts.activations import Activation
from initbench.parts.checks import boolean, choice, integer
from initbench.parts.dropout import dropout_layer
from initbench.parts.models.shapes import pair, sequence, tokens


class Attention(nn.Module):
    """Multi-head attention of x (B, T, D) to a memory (B, S, D). Vaswani et al. 2017, sec. 3.2."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.output = nn.Linear(width, width)

    def forward(self, x: Tensor, memory: Tensor, mask: Tensor | None = None) -> Tensor:
        """`mask` (T, S) is added to the scores."""
        query, key, value = (self.split(part) for part in (self.query(x), self.key(memory), self.value(memory)))
        scores = query * query.shape[-1] ** -0.5 @ key.mT
        if mask is not None:
            scores = scores + mask
        return self.output((scores.softmax(-1) @ value).transpose(1, 2).flatten(2))

    def split(self, x: Tensor) -> Tensor:
        """(B, T, D) to (B, heads, T, D / heads)."""
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class FeedForward(nn.Module):
    """W2 phi(W1 x + b1) + b2 at each position."""

    def __init__(self, width: int, hidden: int, act: Activation):
        super().__init__()
        self.up = nn.Linear(width, hidden)
        self.act = act
        self.down = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(self.act(self.up(x)))


class Block(nn.Module):
    """Attention to itself, to an encoder's output (`cross`) and a feed-forward net, each in a residual branch.

    A branch is x + F(norm(x)) where `norm_first`, else norm(x + F(x)) (Xiong et al. 2020, fig. 1). Dropout is of F's
    outputs (Vaswani et al. 2017, sec. 5.4).
    """

    def __init__(
        self,
        width: int,
        heads: int,
        hidden: int,
        act: Callable[[], Activation],
        norm_first: bool,
        dropout: float | None = None,
        cross: bool = False,
    ):
        super().__init__()
        self.norm_first = norm_first
        self.dropout = dropout_layer(dropout)
        self.attention, self.attention_norm = Attention(width, heads), nn.LayerNorm(width)
        if cross:
            self.cross, self.cross_norm = Attention(width, heads), nn.LayerNorm(width)
        self.feedforward, self.feedforward_norm = FeedForward(width, hidden, act()), nn.LayerNorm(width)

    def forward(self, x: Tensor, mask: Tensor | None = None, memory: Tensor | None = None) -> Tensor:
        x = self.add(x, self.attention_norm, lambda x: self.attention(x, x, mask))
        if memory is not None:
            x = self.add(x, self.cross_norm, lambda x: self.cross(x, memory))
        return self.add(x, self.feedforward_norm, self.feedforward)

    def add(self, x: Tensor, norm: nn.Module, branch: Callable[[Tensor], Tensor]) -> Tensor:
        added = branch(norm(x) if self.norm_first else x)
        if self.dropout is not None:
            added = self.dropout(added)
        return x + added if self.norm_first else norm(x + added)


class Blocks(nn.ModuleList):
    """`depth` blocks, one after the other; a last normalization, which pre-norm needs, is the caller's."""

    def forward(self, x: Tensor, mask: Tensor | None = None, memory: Tensor | None = None) -> Tensor:
        for block in self:
            x = block(x, mask, memory)
        return x


class Transformer(nn.Module):
    """An encoder of `depth` blocks of `width`, `heads` and feed-forward nets of `ratio * width`, and a linear head.

    Sequences (B, C, T), each step through a linear layer, or tokens (B, T) through an embedding, to logits
    (B, classes) or, where each of `positions` has a label, (B, T, classes). Sinusoids tell the position.
    `causal`: a step attends to none after it; null means where positions have labels. `readout`: the head reads the
    `mean` over time, the `last` step or all (`flatten`); with positions each. `tied_embeddings`: embedding and head
    are one matrix, the head's, times sqrt(width) for the embedding (Press & Wolf 2017; Vaswani et al. 2017, sec. 3.4).
    """

    def __init__(
        self,
        shape: Sequence[int],
        classes: int,
        depth: int,
        width: int,
        act: Callable[[], Activation],
        vocabulary: int | None = None,
        positions: int | None = None,
        dropout: float | None = None,
        *,
        heads: int = 4,
        ratio: int = 4,
        norm_first: bool = True,
        causal: bool | None = None,
        readout: str = "mean",
        tied_embeddings: bool = False,
    ):
        super().__init__()
        check_sizes("transformer", width, heads, ratio)
        self.readout = choice("model.readout", readout, ("mean", "last", "flatten"))
        self.positions = positions
        boolean("model.norm_first", norm_first)
        if boolean("model.tied_embeddings", tied_embeddings):
            check_tied_embeddings("transformer", classes, vocabulary, positions)
        if causal is not None:
            boolean("model.causal", causal)
        if vocabulary is None:
            channels, steps = sequence("transformer", shape)
            self.embedding = nn.Linear(channels, width)
        else:
            steps = tokens("transformer", shape)
            self.embedding = None if tied_embeddings else nn.Embedding(vocabulary, width)
        self.is_sequence = vocabulary is None
        self.place: Tensor
        self.register_buffer("place", sinusoids(steps, width))
        is_causal = positions is not None if causal is None else causal
        self.mask: Tensor | None
        self.register_buffer("mask", no_future(steps) if is_causal else None)
        depth = integer("depth", depth, "[0, inf)")
        self.blocks = Blocks(Block(width, heads, ratio * width, act, norm_first, dropout) for _ in range(depth))
        self.norm = nn.LayerNorm(width) if norm_first else None
        every = positions is None and readout == "flatten"
        self.head = nn.Linear(width * (steps if every else 1), classes)

    def forward(self, x: Tensor) -> Tensor:
        x = embedded(self.embedding, self.head, x.mT if self.is_sequence else x) + self.place
        x = self.blocks(x, self.mask)
        if self.positions is None and self.readout == "last":
            x = x[:, -1]
        if self.norm is not None:
            x = self.norm(x)
        if self.positions is None and self.readout != "last":
            x = x.mean(1) if self.readout == "mean" else x.flatten(1)
        return self.head(x)


class Seq2Seq(nn.Module):
    """A transformer of an encoder and a decoder, `depth` blocks each, and a linear head. Vaswani et al. 2017.

    Pairs of token sequences (B, 2, T), the source and what the decoder reads, to logits (B, T, classes): the
    decoder reads none after the one whose label it predicts. `heads`, `ratio`, `norm_first` as in `Transformer`.
    `tied_embeddings`: both embeddings and the head are one matrix, the head's.
    """

    def __init__(
        self,
        shape: Sequence[int],
        classes: int,
        depth: int,
        width: int,
        act: Callable[[], Activation],
        vocabulary: int | None = None,
        positions: int | None = None,
        dropout: float | None = None,
        *,
        heads: int = 4,
        ratio: int = 4,
        norm_first: bool = True,
        tied_embeddings: bool = False,
    ):
        super().__init__()
        steps, vocabulary = pair("seq2seq", shape, vocabulary, positions)
        check_sizes("seq2seq", width, heads, ratio)
        boolean("model.norm_first", norm_first)
        if boolean("model.tied_embeddings", tied_embeddings):
            check_tied_embeddings("seq2seq", classes, vocabulary, positions)
        depth = integer("depth", depth, "[1, inf)")
        self.source = None if tied_embeddings else nn.Embedding(vocabulary, width)
        self.target = None if tied_embeddings else nn.Embedding(vocabulary, width)
        self.place: Tensor
        self.mask: Tensor
        self.register_buffer("place", sinusoids(steps, width))
        self.register_buffer("mask", no_future(steps))
        size = (width, heads, ratio * width, act, norm_first, dropout)
        self.encoder = Blocks(Block(*size) for _ in range(depth))
        self.encoder_norm = nn.LayerNorm(width) if norm_first else None
        self.decoder = Blocks(Block(*size, cross=True) for _ in range(depth))
        self.decoder_norm = nn.LayerNorm(width) if norm_first else None
        self.head = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        source, target = x.unbind(1)
        memory = self.encoder(embedded(self.source, self.head, source) + self.place)
        if self.encoder_norm is not None:
            memory = self.encoder_norm(memory)
        x = self.decoder(embedded(self.target, self.head, target) + self.place, self.mask, memory)
        if self.decoder_norm is not None:
            x = self.decoder_norm(x)
        return self.head(x)


def embedded(embedding: nn.Module | None, head: nn.Linear, x: Tensor) -> Tensor:
    """x through its embedding; without one, tokens through the head's matrix times sqrt(D)."""
    if embedding is not None:
        return embedding(x)
    return F.embedding(x, head.weight) * math.sqrt(head.in_features)


def sinusoids(steps: int, width: int) -> Tensor:
    """(T, D): sin and cos in turns, of wavelengths from 2 pi to 10000 * 2 pi. Vaswani et al. 2017, sec. 3.5."""
    i = torch.arange(width, device="cpu")
    angle = torch.arange(steps, device="cpu")[:, None] / 10000.0 ** (2 * (i // 2) / width)
    return torch.where(i % 2 == 0, angle.sin(), angle.cos())


def no_future(steps: int) -> Tensor:
    """(T, T): -inf where a column comes after the row, else 0."""
    return torch.full((steps, steps), -math.inf, device="cpu").triu(1)


def check_sizes(model: str, width: int, heads: int, ratio: int) -> None:
    integer("model.ratio", ratio, "[1, inf)")
    integer("width", width, "[1, inf)")
    if width % integer("model.heads", heads, "[1, inf)"):
        raise DoesNotFit(f"model={model} needs a width that model.heads={heads} divides, got width={width}")


def check_tied_embeddings(model: str, classes: int, vocabulary: int | None, positions: int | None) -> None:
    if vocabulary is None or positions is None or vocabulary != classes:
        raise DoesNotFit(
            f"model.tied_embeddings=true of model={model} needs data whose labels are tokens of the input's "
            "vocabulary, as in data=text; leave it false"
        )
