"""Initializers for transformers, which set apart what their blocks add to the residual stream."""

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Generator, Tensor, nn

from initbench.errors import DoesNotFit
from initbench.parts.checks import number
from initbench.parts.inits.drawing import Gain, gain_factor, initialize, normal_like
from initbench.parts.inits.matrix import Matrix
from initbench.parts.inits.scaling import normal, xavier, xavier_normal
from initbench.parts.models.attention import Attention, Block, Blocks, deepnorm_scales


def gpt2(model, batch, generator, *, act=None, std: float = 0.02, gain: Gain = 1, bias: float = 0) -> None:
    """W ~ N(0, std^2), but over sqrt(N) where a branch ends, N the number of branches that are added up: 2 per block.

    Then the residual stream doesn't grow with depth. Radford et al. 2019, section 2.3 (they say 1/sqrt(N), N residual
    layers). A decoder's block of seq2seq has 3 branches. GPT-2's learned positions, N(0, 0.01^2), are sinusoids here.
    """
    streams = residual_streams("gpt2", model)
    normal(model, batch, generator, act=act, std=std, gain=gain, bias=bias)
    for stream in streams:
        branches = list(branch_ends(stream))
        scale(branches, 1 / math.sqrt(len(branches)))


def small_init(model, batch, generator, *, act=None, gain: Gain = 1, bias: float = 0) -> None:
    """W ~ N(0, 2 / (5 d)), d the model's width; where a branch ends, N(0, (2 / (L sqrt d))^2), L blocks in the stack.

    Nguyen & Salazar 2019, section 2.2: Xavier's variance in a feed-forward layer of 4 d units, for every weight. The
    ends of branches are Wang's, as in GPT-NeoX (Black et al. 2022, section 2.3.1; B. Wang's code).
    """
    streams = residual_streams("small_init", model)
    width = streams[0][0].attention.query.in_features
    ends = {weight.data_ptr(): 2 / len(stream) for stream in streams for weight in branch_ends(stream)}

    def draw(matrix: Matrix) -> Tensor:
        own = ends.get(matrix.weight.data_ptr(), math.sqrt(2 / 5))
        return own / math.sqrt(width) * normal_like(matrix.weight, generator)

    initialize(model, draw, act=act, gain=gain, bias=bias)


def deepnorm(model, batch, generator, *, act=None, gain: Gain = 1, bias: float = 0) -> None:
    """xavier_normal, times beta in feed-forward layers, values and attention's outputs, in norm(alpha x + F(x)).

    With N blocks beta is (8 N)^(-1/4); for encoder and decoder see `deepnorm_scales`. Wang et al. 2022, fig. 2.
    """
    streams = residual_streams("deepnorm", model)
    scales = deepnorm_scales(*map(len, streams))
    for stream, own in zip(streams, scales, strict=True):
        if any(block.norm_first or block.alpha != own.alpha for block in stream):
            raise DoesNotFit("init=deepnorm belongs to norm(alpha x + F(x)): set model.residual=deepnorm")
    xavier_normal(model, batch, generator, act=act, gain=gain, bias=bias)
    for stream, own in zip(streams, scales, strict=True):
        scale(branch_weights(stream), own.beta)


def t_fixup(model, batch, generator, *, act=None, gain: Gain = 1, bias: float = 0) -> None:
    """xavier, times 0.67 N^(-1/4) in an encoder's feed-forward layers, values and attention's outputs, N blocks.

    In a decoder of M blocks times (9 M)^(-1/4). Embeddings are N(0, 1) times (9 N)^(-1/4), N of their own stack as in
    the authors' code; the paper has (9 M)^(-1/4) for both. There they are N(0, 1 / d), and the code
    multiplies what is looked up by sqrt(d), as our tied embeddings do, which are N(0, 1 / d). A linear map of numbers
    is xavier's times the same factor. All this takes the place of layer normalization and warmup. Huang et al. 2020,
    section 3.2. The paper has no encoder alone; here it is treated as that of a pair.
    """
    streams = residual_streams("t_fixup", model)
    if any(block.normalized for stream in streams for block in stream):
        raise DoesNotFit("init=t_fixup takes the place of layer normalization: set model.residual=plain")
    xavier(model, batch, generator, act=act, gain=gain, bias=bias)
    for i, stream in enumerate(streams):
        factor = (9 * len(stream)) ** (-1 / 4) if i else 0.67 * len(stream) ** (-1 / 4)
        scale(branch_weights(stream), factor)
    draw_embeddings(model, streams, gain_factor(gain, act), generator)


@torch.no_grad()
def draw_embeddings(model: nn.Module, streams: Sequence[Sequence[Block]], gain: float, generator: Generator) -> None:
    """T-Fixup's embeddings: one per stack of blocks, or one for all of them, which is the head's matrix too."""
    factors = [gain * (9 * len(stream)) ** (-1 / 4) for stream in streams]
    inputs = [module for name, module in model.named_children() if name in ("embedding", "source", "target")]
    for module, factor in zip(inputs, factors, strict=False):
        if isinstance(module, nn.Embedding):
            module.weight.copy_(factor * normal_like(module.weight, generator))
        elif isinstance(module, nn.Linear):
            module.weight.mul_(factor / gain)
    if not inputs:
        head = model.get_parameter("head.weight")
        head.copy_(factors[0] / math.sqrt(head.shape[1]) * normal_like(head, generator))


def mimetic(
    model,
    batch,
    generator,
    *,
    act=None,
    query_key: float = 0.7,
    value_output: float = 0.4,
    gain: Gain = 1,
    bias: float = 0,
) -> None:
    """Self-attention with W_Q W_K^T ~ a Z + a I in each head and W_V W_O ~ b Z - b I, Z ~ N(0, 1 / d). Else xavier.

    a is `query_key`, b `value_output`, Z drawn anew for each product, which its singular value decomposition splits in
    two; a head keeps the d / heads largest singular values. Trockman & Kolter 2023, section 3; from memory, the text
    could not be read here: that Z differs between heads is an assumption, and so is xavier for all other weights.
    """
    streams = residual_streams("mimetic", model)
    a = number("init.query_key", query_key, "[0, inf)")
    b = number("init.value_output", value_output, "[0, inf)")
    xavier(model, batch, generator, act=act, gain=gain, bias=bias)
    for block in itertools.chain.from_iterable(streams):
        write_mimetic(block.attention, a, b, gain_factor(gain, act), generator)


@torch.no_grad()
def write_mimetic(attention: Attention, a: float, b: float, gain: float, generator: Generator) -> None:
    """The four matrices of one attention; x is a row here, x W_Q, where PyTorch's weights are W^T."""
    query, key = (attention.split(module.weight.T[None])[0] for module in (attention.query, attention.key))
    for of_query, of_key in zip(query, key, strict=True):
        left, right = split_product(a, a, attention, of_query.shape[-1], generator)
        of_query.copy_(gain * left)
        of_key.copy_(gain * right.T)
    left, right = split_product(b, -b, attention, attention.value.in_features, generator)
    attention.value.weight.copy_(gain * left.T)
    attention.output.weight.copy_(gain * right.T)


def split_product(
    noise: float, diagonal: float, attention: Attention, rank: int, generator: Generator
) -> tuple[Tensor, Tensor]:
    """noise Z + diagonal I, (d, d), as a product (d, rank) (rank, d), the nearest of that rank."""
    z = normal_like(attention.value.weight, generator).double() / math.sqrt(attention.value.in_features)
    u, s, vh = torch.linalg.svd(noise * z + diagonal * torch.eye(len(z), dtype=z.dtype))
    root = s[:rank].sqrt()
    return u[:, :rank] * root, root[:, None] * vh[:rank]


@torch.no_grad()
def scale(weights: Iterable[Tensor], factor: float) -> None:
    for weight in weights:
        weight.mul_(factor)


def residual_streams(scheme: str, model: nn.Module) -> list[list[Block]]:
    """A transformer's blocks, or the encoder's and the decoder's; DoesNotFit where there is none."""
    stacks = [module for module in model.modules() if isinstance(module, Blocks)]
    streams = [[block for block in stack if isinstance(block, Block)] for stack in stacks]
    if not any(streams):
        raise DoesNotFit(f"init={scheme} is for the blocks of a transformer: model=transformer or seq2seq")
    return streams


def branch_ends(stream: Sequence[Block]) -> Iterator[Tensor]:
    """The weights whose outputs are added to the residual stream: one per attention and feed-forward net."""
    for block in stream:
        yield from (attention.output.weight for attention in attentions(block))
        yield block.feedforward.down.weight


def branch_weights(stream: Sequence[Block]) -> Iterator[Tensor]:
    """All weights of the branches but those of queries and keys."""
    for block in stream:
        for attention in attentions(block):
            yield from (attention.value.weight, attention.output.weight)
        yield from (block.feedforward.up.weight, block.feedforward.down.weight)


def attentions(block: Block) -> list[Attention]:
    """A block's attention, and in a decoder that to the encoder's output."""
    return [module for module in block.children() if isinstance(module, Attention)]
