"""Initializers for transformers, which set apart what their blocks add to the residual stream."""

import math
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from initbench.errors import DoesNotFit
from initbench.parts.inits.drawing import Gain, initialize, normal_like
from initbench.parts.inits.matrix import Matrix
from initbench.parts.inits.scaling import normal
from initbench.parts.models.attention import Attention, Block, Blocks


def gpt2(model, batch, generator, *, act=None, std: float = 0.02, gain: Gain = 1, bias: float = 0) -> None:
    """W ~ N(0, std^2), but over sqrt(N) where a branch ends, N the number of branches that are added up: 2 per block.

    Then the residual stream doesn't grow with depth. Radford et al. 2019, section 2.3 (they say 1/sqrt(N), N residual
    layers). A decoder's block of seq2seq has 3 branches. GPT-2's learned positions, N(0, 0.01^2), are sinusoids here.
    """
    streams = residual_streams("gpt2", model)
    normal(model, batch, generator, act=act, std=std, gain=gain, bias=bias)
    for stream in streams:
        branches = list(branch_ends(stream))
        scale(dict.fromkeys(branches, 1 / math.sqrt(len(branches))))


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


@torch.no_grad()
def scale(factors: Mapping[Tensor, float]) -> None:
    """Multiply weights, each by its own factor."""
    for weight, factor in factors.items():
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


def attentions(block: Block) -> list[Attention]:
    """A block's attention, and in a decoder that to the encoder's output."""
    return [module for module in block.children() if isinstance(module, Attention)]
