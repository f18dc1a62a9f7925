"""Initializers for transformers: their formulas, and what their papers say they do."""

import math
from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from initbench.errors import DoesNotFit
from initbench.parts import inits, models
from initbench.parts.activations import Activation, gelu, relu
from initbench.parts.data import digits_rows, prepare
from initbench.parts.models import ModelSpec
from initbench.parts.models.attention import Block, deepnorm_scales
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


# deepnorm


def test_deepnorm_adds_a_branch_to_alpha_x_and_then_normalizes():
    block = Block(8, 2, 16, act, norm_first=False, alpha=1.7)
    x = torch.randn(3, 5, 8, generator=generator())
    y = F.layer_norm(1.7 * x + block.attention(x, x), (8,))
    torch.testing.assert_close(block(x), F.layer_norm(1.7 * y + block.feedforward(y), (8,)))


def test_deepnorms_numbers_are_those_of_the_paper():
    """Wang et al. 2022, fig. 2."""
    (alone,) = deepnorm_scales(50)
    assert alone == pytest.approx((100**0.25, 400**-0.25))
    encoder, decoder = deepnorm_scales(18, 6)
    assert encoder == pytest.approx((0.81 * (18**4 * 6) ** (1 / 16), 0.87 * (18**4 * 6) ** (-1 / 16)))
    assert decoder == pytest.approx((18**0.25, 72**-0.25))
    assert [block.alpha for block in transformer(3, residual="deepnorm").blocks] == pytest.approx([6**0.25] * 3)
    model = seq2seq(2, residual="deepnorm")
    assert model.encoder[0].alpha == pytest.approx(0.81 * 2 ** (5 / 16))
    assert model.decoder[0].alpha == pytest.approx(6**0.25)


def test_deepnorm_is_xavier_with_beta_in_all_but_queries_and_keys():
    model = initialized(inits.deepnorm, transformer(4, residual="deepnorm"))
    assert has_moments(every(model, "query.weight", "key.weight"), 1 / WIDTH)
    assert has_moments(every(model, "value.weight", "output.weight"), 32**-0.5 / WIDTH)
    assert has_moments(every(model, "up.weight", "down.weight"), 32**-0.5 * 2 / (5 * WIDTH))
    for other in (transformer(4), transformer(4, norm_first=False), transformer(4, residual="plain")):
        with pytest.raises(DoesNotFit, match=r"set model.residual=deepnorm$"):
            initialized(inits.deepnorm, other)


# t_fixup


def test_t_fixup_is_xavier_with_the_papers_factors():
    model = initialized(inits.t_fixup, transformer(4, residual="plain"))
    factor = 0.67**2 * 4**-0.5
    assert has_moments(every(model, "query.weight", "key.weight"), 1 / WIDTH, 1.8)
    assert has_moments(every(model, "value.weight", "output.weight"), factor / WIDTH, 1.8)
    assert has_moments(every(model, "up.weight", "down.weight"), factor * 2 / (5 * WIDTH), 1.8)
    assert has_moments(every(model, "embedding.weight"), 36**-0.5)
    with pytest.raises(DoesNotFit, match=r"takes the place of layer normalization: set model.residual=plain$"):
        initialized(inits.t_fixup, transformer(4))


def test_t_fixup_scales_a_decoder_and_its_embeddings_by_its_own_depth():
    model = initialized(inits.t_fixup, seq2seq(3, residual="plain"))
    decoders = every(model.decoder, "value.weight", "output.weight")
    assert has_moments(decoders, 27**-0.5 / WIDTH, 1.8) and len(decoders) == 3 * 2 * 2 * WIDTH**2
    assert has_moments(every(model, "source.weight", "target.weight"), 27**-0.5)
    tied = initialized(inits.t_fixup, transformer(3, residual="plain", tied_embeddings=True))
    assert has_moments(tied.head.weight.detach().double(), 27**-0.5 / WIDTH)


def test_a_plain_transformer_has_no_normalization_at_all():
    model = transformer(3, residual="plain")
    assert not any(isinstance(module, nn.LayerNorm) for module in model.modules()) and model.norm is None


# mimetic


def products(attention: Any) -> tuple[Tensor, Tensor]:
    """W_Q W_K^T of each head, (heads, d, d), and W_V W_O, for rows x W."""
    query, key = (part.weight.detach().double().unflatten(0, (4, -1)) for part in (attention.query, attention.key))
    return query.mT @ key, (attention.output.weight.double() @ attention.value.weight.double()).detach().T


def test_mimetic_products_are_nearly_diagonal():
    """Trockman & Kolter 2023: W_V W_O is b (Z - I) to the digit; W_Q W_K^T is its best approximation of low rank."""
    model = initialized(inits.mimetic, transformer(2))
    for block in model.blocks:
        scores, outputs = products(block.attention)
        noise = outputs + 0.4 * torch.eye(WIDTH)
        assert has_moments(noise.flatten(), 0.4**2 / WIDTH)
        ranks = torch.linalg.matrix_rank(scores, rtol=1e-4)
        assert ranks.tolist() == [WIDTH // 4] * 4
        diagonal = scores.diagonal(dim1=1, dim2=2).mean(1)
        other = scores.std(dim=(1, 2))
        assert (diagonal > 2 * other).all()
    first, second = (products(block.attention)[1] for block in model.blocks)
    assert not torch.equal(first, second)


def test_with_mimetic_a_token_looks_at_itself_and_its_like():
    """The paper's figures: attention at the start is on the diagonal, as in trained networks; xavier's is not."""

    def on_the_diagonal(scheme) -> float:
        model, seen = initialized(scheme, transformer(1, causal=False)), []
        model.blocks[0].attention.softmax.register_forward_hook(lambda module, inputs, out: seen.append(out))
        with torch.no_grad():
            model(torch.randint(TOKENS, (50, STEPS), generator=generator(1)))
        return float(seen[0].diagonal(dim1=-2, dim2=-1).mean())

    assert on_the_diagonal(inits.mimetic) > 2 / STEPS
    assert on_the_diagonal(inits.xavier) < 1.3 / STEPS


# What deep post-norm transformers learn.


@pytest.mark.slow
def test_deepnorm_and_t_fixup_train_24_post_norm_blocks_where_xavier_stalls():
    """Wang et al. 2022 and Huang et al. 2020: Adam without warmup; xavier stays at ln 10, a guess among ten digits."""
    data = prepare(digits_rows())

    def loss_after(scheme, steps: int, **keys: Any) -> float:
        spec = ModelSpec((8, 8), 10, 24, 16, partial(Activation, relu))
        model = initialized(scheme, models.Transformer(spec, heads=2, ratio=2, **keys))
        optimizer, losses = torch.optim.Adam(model.parameters(), 0.003), []
        for step in range(steps):
            index = torch.randint(len(data.y_train), (32,), generator=generator(step))
            loss = F.cross_entropy(model(data.x_train[index]), data.y_train[index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        return sum(losses[-20:]) / 20

    assert loss_after(inits.xavier_normal, 80, norm_first=False) > 0.95 * math.log(10)
    assert loss_after(inits.deepnorm, 80, residual="deepnorm") < 0.5 * math.log(10)
    assert loss_after(inits.t_fixup, 80, residual="plain") < 0.5 * math.log(10)
