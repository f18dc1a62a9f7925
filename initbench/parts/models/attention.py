"""Transformers. Tensors are (B, T, D): batch, time steps, width of the model."""

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from initbench.errors import DoesNotFit
from initbench.parts.activations import Activation, MakeActivation
from initbench.parts.checks import boolean, choice, integer, number
from initbench.parts.dropout import dropout_layer
from initbench.parts.models.spec import ModelSpec


class Attention(nn.Module):
    """Multi-head attention: each step of x (B, T, D) reads a memory (B, S, D). Vaswani et al. 2017, sec. 3.2.

    Scores are q k over sqrt(D / heads), or with a `score_scale` s times s over D / heads (Yang et al. 2021, def. 4.1).
    """

    def __init__(self, width: int, heads: int, score_scale: float | None = None):
        super().__init__()
        self.heads = heads
        self.goes_with_width = score_scale is not None
        self.factor = (width // heads) ** -0.5 if score_scale is None else score_scale / (width // heads)
        self.query, self.key = nn.Linear(width, width), nn.Linear(width, width)
        self.value, self.output = nn.Linear(width, width), nn.Linear(width, width)
        self.softmax = nn.Softmax(-1)  # a module, so that a hook can see the weights

    def forward(self, x: Tensor, memory: Tensor, mask: Tensor | None = None) -> Tensor:
        """`mask` (T, S) is added to the scores."""
        query, key, value = (self.split(part) for part in (self.query(x), self.key(memory), self.value(memory)))
        scores = query * self.factor @ key.mT
        if mask is not None:
            scores = scores + mask
        return self.output((self.softmax(scores) @ value).transpose(1, 2).flatten(2))

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
    """Residual branches of self-attention, with `cross` attention to an encoder's output, and a feed-forward network.

    A branch is x + F(norm(x)) with `norm_first`, else norm(alpha x + F(x)) (Xiong et al. 2020, fig. 1; alpha: Wang et
    al. 2022, eq. 2), and without normalization x + F(x). Dropout acts on the outputs of F (Vaswani et al. 2017,
    sec. 5.4).
    """

    def __init__(
        self,
        width: int,
        heads: int,
        hidden: int,
        act: MakeActivation,
        norm_first: bool,
        dropout: float | None = None,
        cross: bool = False,
        alpha: float = 1.0,
        normalized: bool = True,
        score_scale: float | None = None,
    ):
        super().__init__()
        self.norm_first, self.alpha, self.normalized = norm_first, alpha, normalized
        self.dropout = dropout_layer(dropout)
        norm = nn.LayerNorm if normalized else nn.Identity
        self.attention, self.attention_norm = Attention(width, heads, score_scale), norm(width)
        if cross:
            self.cross, self.cross_norm = Attention(width, heads, score_scale), norm(width)
        self.feedforward, self.feedforward_norm = FeedForward(width, hidden, act()), norm(width)

    def forward(self, x: Tensor, mask: Tensor | None = None, memory: Tensor | None = None) -> Tensor:
        x = self.add(x, self.attention_norm, lambda x: self.attention(x, x, mask))
        if memory is not None:
            x = self.add(x, self.cross_norm, lambda x: self.cross(x, memory))
        return self.add(x, self.feedforward_norm, self.feedforward)

    def add(self, x: Tensor, norm: nn.Module, branch: Callable[[Tensor], Tensor]) -> Tensor:
        added = branch(norm(x) if self.norm_first else x)
        if self.dropout is not None:
            added = self.dropout(added)
        if self.norm_first:
            return x + added
        return norm((x if self.alpha == 1 else self.alpha * x) + added)


class Blocks(nn.ModuleList):
    """Blocks in sequence. Pre-norm needs a last normalization after them, which the caller adds."""

    def forward(self, x: Tensor, mask: Tensor | None = None, memory: Tensor | None = None) -> Tensor:
        for block in self:
            x = block(x, mask, memory)
        return x


class Transformer(nn.Module):
    """An encoder of `depth` blocks of `width` and a linear head.

    It maps sequences (B, C, T), whose steps go through a linear layer, or tokens (B, T), which are embedded, to logits
    (B, C'), or to (B, T, C') if each position has a label. Positions are encoded by sinusoids.

    heads            number of attention heads; must divide `width`
    ratio            width of the feed-forward networks' hidden layer, in multiples of `width`
    norm_first       normalize before each branch, else after it
    residual         in place of what norm_first says: `deepnorm`, norm(alpha x + F(x)) with `deepnorm_scales`, or
                     `plain`, x + F(x) without any normalization
    score_scale      a number s: the scores of attention are s q k / d in heads of d channels; null: q k / sqrt(d)
    causal           each step attends only to itself and earlier steps; null: if each position has a label
    readout          the head reads the `mean` over time, the `last` step or all steps (`flatten`); if each position
                     has a label it reads each step
    tied_embeddings  one matrix W serves as head and, times sqrt(width), as embedding (Press & Wolf 2017; Vaswani et
                     al. 2017, sec. 3.4)
    """

    supports = ("vocabulary", "positions", "dropout")

    def __init__(
        self,
        spec: ModelSpec,
        *,
        heads: int = 4,
        ratio: int = 4,
        norm_first: bool = True,
        causal: bool | None = None,
        readout: str = "mean",
        tied_embeddings: bool = False,
        residual: str | None = None,
        score_scale: float | None = None,
    ):
        super().__init__()
        make_block = blocks_of("transformer", spec, heads, ratio, norm_first, tied_embeddings, residual, score_scale)
        self.readout = choice("model.readout", readout, ("mean", "last", "flatten"))
        self.positions = spec.positions
        if causal is not None:
            boolean("model.causal", causal)
        if spec.vocabulary is None:
            channels, steps = spec.sequence("transformer")
            self.embedding = nn.Linear(channels, spec.width)
        else:
            steps = spec.tokens("transformer")
            self.embedding = None if tied_embeddings else nn.Embedding(spec.vocabulary, spec.width)
        self.is_sequence = spec.vocabulary is None
        self.place: Tensor
        self.register_buffer("place", sinusoids(steps, spec.width))
        is_causal = spec.positions is not None if causal is None else causal
        self.mask: Tensor | None
        self.register_buffer("mask", no_future(steps) if is_causal else None)
        (scales,) = deepnorm_scales(max(spec.depth, 1))
        alpha = scales.alpha if residual == "deepnorm" else 1.0
        self.blocks = Blocks(make_block(alpha=alpha) for _ in range(spec.depth))
        self.norm = nn.LayerNorm(spec.width) if norm_first and residual is None else None
        reads_all = spec.positions is None and readout == "flatten"
        self.head = nn.Linear(spec.width * (steps if reads_all else 1), spec.classes)

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
    """An encoder and a decoder of `depth` blocks each, and a linear head. Vaswani et al. 2017.

    It maps pairs of token sequences (B, 2, T), the source and the decoder's input, to logits (B, T, C). The decoder
    predicts each label from the tokens up to its position. Keywords are those of `Transformer`; with `tied_embeddings`
    both embeddings and the head share one matrix.
    """

    supports = ("vocabulary", "positions", "dropout")

    def __init__(
        self,
        spec: ModelSpec,
        *,
        heads: int = 4,
        ratio: int = 4,
        norm_first: bool = True,
        tied_embeddings: bool = False,
        residual: str | None = None,
        score_scale: float | None = None,
    ):
        super().__init__()
        steps, vocabulary = spec.pair("seq2seq")
        make_block = blocks_of("seq2seq", spec, heads, ratio, norm_first, tied_embeddings, residual, score_scale)
        depth, width = integer("depth", spec.depth, "[1, inf)"), spec.width
        self.source = None if tied_embeddings else nn.Embedding(vocabulary, width)
        self.target = None if tied_embeddings else nn.Embedding(vocabulary, width)
        self.place: Tensor
        self.mask: Tensor
        self.register_buffer("place", sinusoids(steps, width))
        self.register_buffer("mask", no_future(steps))
        alphas = [each.alpha if residual == "deepnorm" else 1.0 for each in deepnorm_scales(depth, depth)]
        has_last_norm = norm_first and residual is None
        self.encoder = Blocks(make_block(alpha=alphas[0]) for _ in range(depth))
        self.encoder_norm = nn.LayerNorm(width) if has_last_norm else None
        self.decoder = Blocks(make_block(cross=True, alpha=alphas[1]) for _ in range(depth))
        self.decoder_norm = nn.LayerNorm(width) if has_last_norm else None
        self.head = nn.Linear(width, spec.classes)

    def forward(self, x: Tensor) -> Tensor:
        source, target = x.unbind(1)
        memory = self.encoder(embedded(self.source, self.head, source) + self.place)
        if self.encoder_norm is not None:
            memory = self.encoder_norm(memory)
        x = self.decoder(embedded(self.target, self.head, target) + self.place, self.mask, memory)
        if self.decoder_norm is not None:
            x = self.decoder_norm(x)
        return self.head(x)


class DeepNormScales(NamedTuple):
    """DeepNorm's numbers for one stack of blocks."""

    alpha: float  # what a branch is added to is multiplied by it
    beta: float  # gain of the branch's weights at the start, but for queries and keys


def deepnorm_scales(*blocks: int) -> list[DeepNormScales]:
    """Of a stack of so many blocks, or of an encoder and a decoder. Wang et al. 2022, fig. 2.

    In the authors' torchscale an encoder's beta beside a decoder has the constant 1.15 = 1 / 0.87; this is the paper's.
    """
    if len(blocks) == 1:
        (n,) = blocks
        return [DeepNormScales((2 * n) ** (1 / 4), (8 * n) ** (-1 / 4))]
    n, m = blocks
    both = (n**4 * m) ** (1 / 16)
    return [DeepNormScales(0.81 * both, 0.87 / both), DeepNormScales((3 * m) ** (1 / 4), (12 * m) ** (-1 / 4))]


def blocks_of(
    model: str,
    spec: ModelSpec,
    heads: int,
    ratio: int,
    norm_first: bool,
    tied_embeddings: bool,
    residual: str | None,
    score_scale: float | None,
) -> Callable[..., Block]:
    """A function that makes a model's blocks, once its keywords are checked."""
    if residual is not None:
        choice("model.residual", residual, ("deepnorm", "plain"))
    if score_scale is not None:
        number("model.score_scale", score_scale, "(0, inf)")
    integer("model.ratio", ratio, "[1, inf)")
    if spec.width % integer("model.heads", heads, "[1, inf)"):
        raise DoesNotFit(f"model={model} needs a width that model.heads={heads} divides, got width={spec.width}")
    boolean("model.norm_first", norm_first)
    of_tokens = spec.positions is not None and spec.vocabulary == spec.classes
    if boolean("model.tied_embeddings", tied_embeddings) and not of_tokens:
        raise DoesNotFit(
            f"model.tied_embeddings=true of model={model} needs data whose labels are tokens of the input's "
            "vocabulary, as in data=text; leave it false"
        )
    first, normalized = norm_first and residual is None, residual != "plain"
    hidden = ratio * spec.width
    make = partial(Block, spec.width, heads, hidden, spec.act, first, spec.dropout)
    return partial(make, normalized=normalized, score_scale=score_scale)


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
    """(T, T), to be added to the scores: -inf where a step would attend to a later one, else 0."""
    return torch.full((steps, steps), -math.inf, device="cpu").triu(1)
