"""Dropout and dropconnect: exact shares from given bytes, and where each model has them."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from initbench import build
from initbench.config.grid import expand
from initbench.errors import DoesNotFit, InputError
from initbench.parts import norms
from initbench.parts.activations import Activation, relu, tanh
from initbench.parts.dropout import AlphaDropout, DropConnect, Dropout, Stochastic
from small_models import CNN, MLP, Conv1D, ResNet, Seq2Seq, Transformer

act = partial(Activation, tanh)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def bytes_of(seed: int) -> Callable[[Sequence[int]], Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return lambda shape: torch.randint(0, 256, tuple(shape), dtype=torch.uint8, generator=generator)


def give(model: nn.Module, source: Callable[[Sequence[int]], Tensor]) -> list[list[int]]:
    """Hand a source of bytes to all that draw; the shapes that they will ask for."""
    asked: list[list[int]] = []

    def counted(shape: Sequence[int]) -> Tensor:
        asked.append(list(shape))
        return source(shape)

    for module in model.modules():
        if isinstance(module, Stochastic):
            module.source = counted
    return asked


@pytest.mark.parametrize(("share", "threshold"), [(0.5, 128), (0.1, 26), (0.25, 64), (0.9, 230)])
def test_shares_are_exact_and_the_mean_stays(share, threshold):
    """Over the 256 values that a byte has, so many are dropped and the mean is what it was."""
    module = Dropout(share)
    give(module, lambda shape: torch.arange(256, dtype=torch.uint8).expand(tuple(shape)))
    x = 3 * torch.ones(2, 256, dtype=torch.float64)
    dropped = module(x)
    assert ((dropped == 0).sum(1) == threshold).all()
    assert dropped[dropped != 0].tolist() == pytest.approx([3 * 256 / (256 - threshold)] * 2 * (256 - threshold))
    torch.testing.assert_close(dropped.mean(1), x.mean(1))


def test_dropout_is_torchs_with_the_mask_at_hand():
    module, x = Dropout(0.25), random(5, 7).requires_grad_()
    give(module, bytes_of(3))
    kept = bytes_of(3)((5, 7)) >= 64
    torch.testing.assert_close(module(x), x * kept / 0.75)
    give(module, bytes_of(3))
    (gradient,) = torch.autograd.grad(module(x).sum(), x)
    torch.testing.assert_close(gradient, kept / torch.full((), 0.75, dtype=torch.float64))


@pytest.mark.parametrize(("share", "threshold"), [(0.05, 13), (0.1, 26), (0.5, 128)])
def test_alpha_dropout_keeps_mean_0_and_variance_1(share, threshold):
    """Over the 256 values that a byte has, and values of mean 0 and variance 1, both moments stay exactly."""
    module, x = AlphaDropout(share), random(1000)
    x = (x - x.mean()) / x.std(correction=0)
    give(module, lambda shape: torch.arange(256, dtype=torch.uint8).expand(tuple(shape)))
    dropped = module(x[:, None].expand(1000, 256))
    assert float(dropped.mean()) == pytest.approx(0, abs=1e-12)
    assert float(dropped.var(correction=0)) == pytest.approx(1, abs=1e-9)
    lowest = module.scale * -1.7580993408473766 + module.shift  # F.selu(-inf) = -lambda alpha
    assert (torch.isclose(dropped, torch.tensor(lowest, dtype=torch.float64)).sum(1) == threshold).all()


def test_alpha_dropout_is_torchs():
    """torch draws its own mask; with the mask that it drew, all its outputs and gradients are ours."""
    x = random(50, 70).requires_grad_()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        theirs = F.alpha_dropout(x, 0.25, training=True)
    (gradient,) = torch.autograd.grad(theirs.square().sum(), x)
    kept, module = gradient != 0, AlphaDropout(0.25)
    give(module, lambda shape: torch.where(kept, 255, 0).to(torch.uint8))
    torch.testing.assert_close(module(x), theirs)
    torch.testing.assert_close(torch.autograd.grad(module(x).square().sum(), x)[0], gradient)
    assert module.eval()(x) is x


def test_dropconnect_drops_weights_one_mask_a_batch():
    module, x = DropConnect(7, 4, 0.5).double(), random(5, 7)
    give(module, bytes_of(3))
    kept = bytes_of(3)((4, 7)) >= 128
    torch.testing.assert_close(module(x), F.linear(x, 2 * module.weight * kept, module.bias))
    torch.testing.assert_close(module.eval()(x), F.linear(x, module.weight, module.bias))


def test_evaluation_asks_for_nothing_and_training_without_a_source_says_so():
    module = Dropout(0.5)
    x = random(3, 4)
    assert module.eval()(x) is x
    with pytest.raises(RuntimeError, match="Dropout has no source of random bytes; initializers call start"):
        module.train()(x)


@pytest.mark.parametrize("share", [0.001, 0.999, 0, 1, -0.1, "a", float("nan")])
def test_shares_that_256ths_do_not_have_are_refused(share):
    with pytest.raises(InputError, match=r"^regularize\.dropout"):
        Dropout(share)
    with pytest.raises(InputError, match=r"^regularize\.dropconnect"):
        DropConnect(2, 3, share)


WORDS: dict[str, Any] = {"shape": (8,), "vocabulary": 9}
DROPPING: dict[
    str, tuple[Any, tuple[int, ...], list[list[int]]]
] = {  # a model, an example, what 4 of them are masked by
    "mlp": (partial(MLP, (2, 3), 5, 3, 8, act), (2, 3), [[4, 8]] * 3),
    "mlp, residual": (partial(MLP, (2, 3), 5, 4, 8, act, branch_scale=1, branch_layers=2), (2, 3), [[4, 8]] * 2),
    "cnn": (partial(CNN, (2, 6, 6), 5, 2, 8, act, downsample="max"), (2, 6, 6), [[4, 8, 6, 6], [4, 8, 3, 3]]),
    "conv1d": (partial(Conv1D, (2, 12), 5, 2, 8, act), (2, 12), [[4, 8, 5], [4, 8, 3]]),
    "resnet": (partial(ResNet, (2, 6, 6), 5, 2, 8, act), (2, 6, 6), [[4, 8, 3, 3]] * 2),
    "transformer": (partial(Transformer, (3, 8), 5, 2, 8, act), (3, 8), [[4, 8, 8]] * 4),
    "seq2seq": (partial(Seq2Seq, (2, 8), 9, 1, 8, act, 9, 8), (2, 8), [[4, 8, 8]] * 5),
}


def inputs(shape: tuple[int, ...], *leading: int) -> Tensor:
    return torch.randint(0, 9, (*leading, *shape)) if shape == (2, 8) else random(*leading, *shape)


@pytest.mark.parametrize("name", DROPPING)
def test_each_model_drops_where_it_says(name):
    make, shape, masks = DROPPING[name]
    model = make(dropout=0.25).double()
    asked, x = give(model, bytes_of(0)), inputs(shape, 4)
    model(x)
    assert asked == masks
    plain = make().double()
    plain.load_state_dict(model.state_dict())  # dropout has no parameters, and none change their names
    torch.testing.assert_close(model.eval()(x), plain(x))


def test_dropout_follows_the_activation():
    model: Any = MLP((6,), 5, 1, 8, act, dropout=0.5).double()
    give(model, bytes_of(1))
    x = random(4, 6)
    h = torch.tanh(F.linear(x, *model.layers[0].linear.parameters())) * 2 * (bytes_of(1)((4, 8)) >= 128)
    torch.testing.assert_close(model(x), F.linear(h, *model.head.parameters()))


def test_an_mlps_hidden_layers_drop_weights_and_its_head_none():
    model: Any = MLP((2, 3), 5, 3, 8, act, dropconnect=0.5)
    asked = give(model, bytes_of(0))
    model(torch.ones(4, 2, 3))
    assert asked == [[8, 6], [8, 8], [8, 8]]
    assert type(model.head) is nn.Linear and list(model.state_dict()) == list(MLP((2, 3), 5, 3, 8, act).state_dict())


@pytest.mark.parametrize("dropconnect", [None, 0.3])
@pytest.mark.parametrize("name", DROPPING)
def test_runs_side_by_side_are_the_runs_alone(name, dropconnect):
    """Three runs under vmap, each with bytes of its own: losses and gradients as each has them alone."""
    make, shape, _ = DROPPING[name]
    if dropconnect and not name.startswith("mlp"):
        return
    models = [make(dropout=0.25, **({"dropconnect": dropconnect} if dropconnect else {})).double() for _ in range(3)]
    parameters, buffers = stack_module_state(models)
    x = inputs(shape, 3, 4)
    each = [[bytes_of(run)((2000,)) for _ in range(10)] for run in range(3)]
    drawn = torch.stack([torch.stack(own) for own in each])

    def handing(model: nn.Module, rows: Tensor) -> None:
        following = iter(rows)
        give(model, lambda shape: next(following)[: torch.Size(shape).numel()].reshape(tuple(shape)))

    def loss(outputs: Tensor) -> Tensor:
        return outputs.logsumexp(-1).mean() + outputs.square().mean()

    def one(parameters, buffers, x, rows):
        handing(models[0], rows)
        return loss(functional_call(models[0], (parameters, buffers), (x,)))

    losses = vmap(one)(parameters, buffers, x, drawn)
    gradients = torch.autograd.grad(losses.sum(), list(parameters.values()))
    for run, model in enumerate(models):
        handing(model, drawn[run])
        alone = loss(model(x[run]))
        torch.testing.assert_close(losses[run], alone, rtol=1e-9, atol=1e-12)
        for stacked, own in zip(gradients, torch.autograd.grad(alone, list(model.parameters())), strict=True):
            assert (stacked[run] - own).norm() <= 1e-9 * own.norm() + 1e-12


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["model=gru", "data=digits_rows", "regularize.dropout=0.1"], "model=gru has no dropout"),
        (["model=gru", "data=digits_rows", "regularize.alpha_dropout=0.1"], "model=gru has no alpha dropout"),
        (["regularize.dropout=0.1", "regularize.alpha_dropout=0.1"], "would each drop units: take one of them"),
        (["model=cnn", "regularize.dropconnect=0.1"], "model=cnn has no dropconnect"),
        (["norm=weight", "regularize.dropconnect=0.1"], "norm=weight and regularize.dropconnect would each make"),
    ],
)
def test_what_does_not_fit_says_so(overrides, message):
    run = expand([*overrides, "width=8", "depth=2"]).runs[0]
    with pytest.raises(DoesNotFit, match=message):
        build.model(run.config, build.data(run.config))


def test_with_normalization_dropout_comes_last():
    for position in ("before", "after"):
        model: Any = MLP((6,), 5, 1, 8, partial(Activation, relu), norms.layer(position=position), 0.5)
        assert [name for name, _ in model.layers[0].named_children()][-1] == "dropout"
