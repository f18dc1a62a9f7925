"""Models of attention: blocks are PyTorch's encoder and decoder layers, positions the paper's."""

import math
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from agreement import act, copy_values, filled, random, same
from initbench.parts.activations import Activation, gelu, relu
from initbench.parts.models.attention import Block, no_future, sinusoids
from small_models import Seq2Seq, Transformer


def into_torchs(block: Any, theirs: Any) -> list[tuple[Tensor, Tensor]]:
    """Give torch's transformer layer our block's parameters: pairs of them, the projections taken apart."""
    pairs = []
    attentions = {"attention": "self_attn", "cross": "multihead_attn"}
    for ours, name in attentions.items():
        if not hasattr(block, ours):
            continue
        attention, reference = getattr(block, ours), getattr(theirs, name)
        for kind in ("weight", "bias"):
            fused = [getattr(getattr(attention, part), kind) for part in ("query", "key", "value")]
            pairs.append((torch.cat(fused), getattr(reference, f"in_proj_{kind}")))
            pairs.append((getattr(attention.output, kind), getattr(reference.out_proj, kind)))
    norms = ["attention_norm", *(["cross_norm"] if hasattr(block, "cross") else []), "feedforward_norm"]
    for i, name in enumerate(norms, 1):
        pairs += zip(getattr(block, name).parameters(), getattr(theirs, f"norm{i}").parameters(), strict=True)
    pairs += zip(block.feedforward.up.parameters(), theirs.linear1.parameters(), strict=True)
    pairs += zip(block.feedforward.down.parameters(), theirs.linear2.parameters(), strict=True)
    copy_values(pairs)
    return pairs


@pytest.mark.parametrize("norm_first", [True, False])
@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("function", [relu, gelu])
def test_a_block_is_torchs_encoder_layer(norm_first, causal, function):
    block = filled(Block(12, 3, 20, partial(Activation, function), norm_first))
    theirs: Any = nn.TransformerEncoderLayer(
        12, 3, 20, dropout=0, activation=function.__name__, norm_first=norm_first, batch_first=True
    ).double()
    pairs = into_torchs(block, theirs)
    x = random(4, 7, 12).requires_grad_()
    mask = no_future(7).double() if causal else None
    same(block(x, mask), theirs(x, src_mask=mask), [(x, x)])
    gradients_of_projections_agree(block(x, mask), theirs(x, src_mask=mask), pairs, block)


def gradients_of_projections_agree(ours: Tensor, theirs: Tensor, pairs: list, block: Any) -> None:
    toward = random(*ours.shape, seed=5)
    names = [part for part in ("attention", "cross") if hasattr(block, part)]
    own = {name: p for name, p in block.named_parameters()}
    gradients = dict(zip(own, torch.autograd.grad(ours, list(own.values()), toward), strict=True))
    references = torch.autograd.grad(theirs, [b for _, b in pairs], toward)
    by_id = {id(a): gradient for (a, _), gradient in zip(pairs, references, strict=True)}
    for name, parameter in own.items():
        if id(parameter) in by_id:
            torch.testing.assert_close(gradients[name], by_id[id(parameter)], rtol=1e-6, atol=1e-9)
    fused = [gradient for (a, _), gradient in zip(pairs, references, strict=True) if not a.is_leaf]
    expected = [
        torch.cat([gradients[f"{name}.{part}.{kind}"] for part in ("query", "key", "value")])
        for name in names
        for kind in ("weight", "bias")
    ]
    for a, b in zip(expected, fused, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("norm_first", [True, False])
def test_a_block_with_a_memory_is_torchs_decoder_layer(norm_first):
    block = filled(Block(12, 3, 20, partial(Activation, relu), norm_first, cross=True))
    theirs: Any = nn.TransformerDecoderLayer(12, 3, 20, dropout=0, norm_first=norm_first, batch_first=True).double()
    pairs = into_torchs(block, theirs)
    x, memory = random(4, 7, 12).requires_grad_(), random(4, 5, 12, seed=1).requires_grad_()
    mask = no_future(7).double()
    same(block(x, mask, memory), theirs(x, memory, tgt_mask=mask), [(x, x), (memory, memory)])
    gradients_of_projections_agree(block(x, mask, memory), theirs(x, memory, tgt_mask=mask), pairs, block)


def test_sinusoids_are_the_papers():
    """Vaswani et al. 2017 sec. 3.5: PE(pos, 2 i) = sin(pos / 10000^(2 i / d)), PE(pos, 2 i + 1) = cos(the same)."""
    place = sinusoids(20, 6)
    for pos, i in [(0, 0), (7, 1), (19, 2)]:
        assert float(place[pos, 2 * i]) == pytest.approx(math.sin(pos / 10000 ** (2 * i / 6)), abs=1e-6)
        assert float(place[pos, 2 * i + 1]) == pytest.approx(math.cos(pos / 10000 ** (2 * i / 6)), abs=1e-6)


def test_tied_embeddings_are_one_matrix_with_the_head():
    make = partial(Transformer, (7,), 11, depth=1, width=8, act=act, vocabulary=11, positions=7)
    tied, apart = filled(make(tied_embeddings=True)), filled(make())
    weights = [sum(p.numel() for p in model.parameters()) for model in (tied, apart)]
    assert weights[1] - weights[0] == 11 * 8
    own = tied.state_dict() | {"embedding.weight": tied.head.weight * math.sqrt(8)}
    apart.load_state_dict(own)
    x = torch.randint(0, 11, (3, 7), generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(tied(x), apart(x))
    pair = partial(Seq2Seq, (2, 7), 11, depth=1, width=8, act=act, vocabulary=11, positions=7)
    sizes = [sum(p.numel() for p in pair(tied_embeddings=tied).parameters()) for tied in (True, False)]
    assert sizes[1] - sizes[0] == 2 * 11 * 8


def test_scores_over_d_are_those_over_its_root_where_the_scale_is_the_root():
    """Yang et al. 2021, def. 4.1: 1/d in place of 1/sqrt(d), here from heads of 4 channels on."""
    make = partial(Transformer, (3, 7), 5, depth=1, act=act)
    x = torch.randn(2, 3, 7, generator=torch.Generator().manual_seed(0)).double()
    plain, scaled = filled(make(width=16)), filled(make(width=16, score_scale=2))
    torch.testing.assert_close(scaled(x), plain(x))
    assert filled(make(width=64, score_scale=2)).blocks[0].attention.factor == 2 / 16
