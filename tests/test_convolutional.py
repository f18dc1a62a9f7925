"""Convolutional models: PyTorch's layers one after another, residual networks by their formula."""

from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from agreement import act, copy_values, filled, random, same
from initbench.parts.activations import Activation, relu
from initbench.parts.models.residual import Scale
from small_models import CNN, MLP, Conv1D, ResNet


def test_the_convolutional_net_of_mnist1d():
    """Greydanus & Kobak's code: Conv1d of 25 channels, kernels 5, 3, 3, stride 2, padding 1; Linear(125, 10)."""
    model = filled(Conv1D((1, 40), 10, depth=3, width=25, act=partial(Activation, relu)))
    theirs = nn.Sequential(
        *(nn.Conv1d(1, 25, 5, stride=2, padding=1), nn.ReLU(), nn.Conv1d(25, 25, 3, stride=2, padding=1), nn.ReLU()),
        *(nn.Conv1d(25, 25, 3, stride=2, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(125, 10)),
    ).double()
    assert sum(p.numel() for p in model.parameters()) == sum(p.numel() for p in theirs.parameters()) == 5210
    pairs = list(zip(model.parameters(), theirs.parameters(), strict=True))
    copy_values(pairs)
    x = random(6, 1, 40)
    same(model(x), theirs(x), pairs)


@pytest.mark.parametrize("downsample", ["stride", "max", "mean"])
@pytest.mark.parametrize("readout", ["flatten", "mean"])
def test_a_cnn_is_torchs_layers_one_after_another(downsample, readout):
    """12 x 9 pixels, every second layer halves: by a stride to 6 x 5 and 3 x 3, by pooling to 6 x 4."""
    model = filled(CNN((2, 12, 9), 3, depth=5, width=6, act=act, downsample=downsample, every=2, readout=readout))
    strides = [1, 2, 1, 2, 1] if downsample == "stride" else [1] * 5
    pool = {"stride": nn.Identity(), "max": nn.MaxPool2d(2), "mean": nn.AvgPool2d(2)}[downsample]
    layers: list[nn.Module] = []
    for i, stride in enumerate(strides):
        layers += [nn.Conv2d(2 if i == 0 else 6, 6, 3, stride, padding=1), nn.Tanh()]
        layers += [pool] if i == 1 else []
    side = {"stride": (3, 3), "max": (6, 4), "mean": (6, 4)}[downsample]
    layers += [nn.Flatten()] if readout == "flatten" else [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    layers += [nn.Linear(6 * side[0] * side[1] if readout == "flatten" else 6, 3)]
    theirs = nn.Sequential(*layers).double()
    pairs = list(zip(model.parameters(), theirs.parameters(), strict=True))
    copy_values(pairs)
    x = random(4, 2, 12, 9)
    same(model(x), theirs(x), pairs)


@pytest.mark.parametrize(
    ("size", "every", "maps"),
    [(28, 2, [28, 14, 14, 7, 7, 4, 4, 4]), (8, 2, [8, 4, 4, 4]), (32, 3, [32, 32, 16, 16, 16, 8, 8, 8, 4, 4])],
)
def test_maps_shrink_to_four(size, every, maps):
    model = CNN((1, size, size), 10, depth=len(maps), width=2, act=act, every=every)
    seen = outputs_of(model, torch.zeros(1, 1, size, size), nn.Conv2d)
    assert [output.shape[-1] for output in seen] == maps


def outputs_of(model: nn.Module, x: Tensor, kind: type[nn.Module]) -> list[Tensor]:
    """What modules of a kind give, in the order in which they are called."""
    seen: list[Any] = []
    for module in model.modules():
        if isinstance(module, kind):
            module.register_forward_hook(lambda module, inputs, output: seen.append(output))
    model(x)
    return seen


@pytest.mark.parametrize("learn", [False, True])
def test_a_resnet_is_the_formula(learn):
    """A stem, x + alpha conv(act(conv(act(x)))), with stride 2 every other pixel of x; 9 x 9 to 5 x 5 to 3 x 3."""
    model = filled(ResNet((2, 9, 9), 3, depth=3, width=4, act=act, branch_scale=0.3, learn_scale=learn, every=1))
    if learn:
        with torch.no_grad():
            for block in model.blocks:
                block.scale.alpha.fill_(0.3)
    x = random(5, 2, 9, 9)
    h = F.conv2d(x, model.stem.weight, model.stem.bias, padding=1)
    for block, stride in zip(model.blocks, [2, 2, 1], strict=True):
        inner = F.conv2d(torch.tanh(h), block.conv1.weight, block.conv1.bias, stride=stride, padding=1)
        branch = F.conv2d(torch.tanh(inner), block.conv2.weight, block.conv2.bias, padding=1)
        alpha = block.scale.alpha if learn else 0.3
        h = (h if stride == 1 else h[:, :, ::2, ::2]) + alpha * branch
    assert h.shape == (5, 4, 3, 3)
    theirs = torch.tanh(h).mean((2, 3)) @ model.head.weight.T + model.head.bias
    pairs = [(p, p) for p in model.parameters()]
    same(model(x), theirs, pairs)
    assert ("blocks.0.scale.alpha" in dict(model.named_parameters())) == learn


@pytest.mark.parametrize("make", [ResNet, MLP])
def test_a_learned_branch_scale_of_zero_is_skipinit(make):
    """De & Smith 2020: at the start the branches add nothing, and yet their scales have a gradient."""
    model = filled(make((1, 8, 8), 3, depth=3, width=4, act=act, branch_scale=0, learn_scale=True))
    scales = [module for module in model.modules() if isinstance(module, Scale)]
    for scale in scales:
        scale.reset_parameters()
    x = random(5, 1, 8, 8)
    if make is ResNet:
        stem = model.stem(x)[:, :, ::2, ::2]
        torch.testing.assert_close(model(x), model.head(torch.tanh(stem).mean((2, 3))))
    else:
        torch.testing.assert_close(model(x), model.head(model.layers[0](x.flatten(1))))
    gradients = torch.autograd.grad(model(x).sum(), [scale.alpha for scale in scales])  # type: ignore[arg-type]
    assert all(gradient.abs() > 0 for gradient in gradients)
