"""Initializers for transformers: their formulas, and what their papers say they do."""

import math
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from initbench.errors import DoesNotFit
from initbench.parts import inits
from initbench.parts.activations import Activation, gelu
from initialized_layers import TRANSFORMER, generator, has_moments, initialized
from small_models import LSTM, MLP, Seq2Seq, Transformer

act = partial(Activation, gelu)
WIDTH, STEPS, TOKENS = 64, 7, 90


def transformer(depth: int, **keys: Any) -> Any:
    return Transformer((STEPS,), TOKENS, depth, WIDTH, act, TOKENS, STEPS, **keys)


def seq2seq(depth: int, **keys: Any) -> Any:
    return Seq2Seq((2, STEPS), TOKENS, depth, WIDTH, act, TOKENS, STEPS, **keys)


def every(model: nn.Module, *names: str) -> Tensor:
    """The weights whose names end so, in one tensor."""
    found = [own.detach().flatten() for name, own in model.named_parameters() if name.endswith(names)]
    return torch.cat(found).double()


ENDS = ("output.weight", "down.weight")
PROJECTIONS = ("query.weight", "key.weight", "value.weight")


@pytest.mark.parametrize("scheme", sorted(TRANSFORMER))
@pytest.mark.parametrize("model", [MLP((3,), 2, 2, 4, act), LSTM((3, 4), 2, 1, 4, act), transformer(0)])
def test_what_is_no_transformer_is_left_out_with_the_reason(scheme, model):
    with pytest.raises(DoesNotFit, match=rf"^init={scheme} is for the blocks of a transformer: model=transformer or"):
        getattr(inits, scheme)(model, torch.zeros(2, 3), generator())


# gpt2


@pytest.mark.parametrize("depth", [1, 6])
def test_gpt2_is_a_normal_distribution_and_less_where_branches_end(depth):
    """Radford et al. 2019: 0.02, and over sqrt(N), N residual layers, 2 per block."""
    model = initialized(inits.gpt2, transformer(depth))
    assert has_moments(every(model, *ENDS), 0.02**2 / (2 * depth))
    others = every(model, *PROJECTIONS, "up.weight", "head.weight", "embedding.weight")
    assert has_moments(others, 0.02**2)
    assert not every(model, "up.bias", "down.bias", "query.bias", "output.bias", "head.bias").any()


def test_gpt2_counts_the_branches_of_encoder_and_decoder_apart():
    model = initialized(inits.gpt2, seq2seq(3))
    assert has_moments(every(model.encoder, *ENDS), 0.02**2 / 6)
    assert has_moments(every(model.decoder, *ENDS), 0.02**2 / 9)


def stream_growth(scheme, depth: int, **parameters: Any) -> float:
    """Mean square of what all blocks together have added to the residual stream, over five seeds."""
    squares: list[Tensor] = []
    for seed in range(5):
        model = initialized(scheme, transformer(depth), seed=seed, **parameters)
        model.blocks.register_forward_hook(lambda _, inputs, out: squares.append((out - inputs[0]).square().mean()))
        with torch.no_grad():
            model(torch.randint(TOKENS, (8, STEPS), generator=generator(1)))
    return float(torch.stack(squares).mean())


def test_with_gpt2_the_residual_stream_does_not_grow_with_depth():
    """Without its factor, what the blocks add has a variance proportional to their number."""
    few, many = (stream_growth(inits.gpt2, depth) for depth in (4, 32))
    assert 0.7 < many / few < 1.4
    few, many = (stream_growth(inits.normal, depth, std=0.02) for depth in (4, 32))
    assert 6 < many / few < 12


# small_init


@pytest.mark.parametrize("depth", [1, 6])
def test_small_init_has_one_variance_but_for_wangs_ends_of_branches(depth):
    """GPT-NeoX: sqrt(2 / (5 d)) and 2 / (L sqrt(d))."""
    model = initialized(inits.small_init, transformer(depth))
    assert has_moments(every(model, *PROJECTIONS, "up.weight", "head.weight", "embedding.weight"), 2 / (5 * WIDTH))
    assert has_moments(every(model, *ENDS), 4 / (depth**2 * WIDTH))


def test_small_init_is_xaviers_variance_in_a_feed_forward_layer_of_4_d_units():
    """Nguyen & Salazar 2019: 2 / (d + 4 d)."""
    xavier = every(initialized(inits.xavier_normal, transformer(2)), "up.weight")
    small = every(initialized(inits.small_init, transformer(2)), "up.weight")
    torch.testing.assert_close(float(small.std() / xavier.std()), 1.0, rtol=5 / math.sqrt(len(small)), atol=0)
