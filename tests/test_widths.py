"""Layers of different widths and kernels, and maps that wrap around: against torch's layers and by hand."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from agreement import act, copy_values, filled, random, same
from initbench import build
from initbench.config.grid import expand
from initbench.engine.programs.choose import has_fast_program
from initbench.errors import DoesNotFit, InputError
from initbench.theory.coverage import NotCovered
from initbench.theory.network import wide_network
from small_models import CNN, MLP, Conv1D


def built(*overrides: str) -> Any:
    config = expand(overrides).runs[0].config
    return build.model(config, build.data(config))


def test_an_mlp_is_torchs_layers_one_after_another():
    model = filled(MLP((2, 3), 4, depth=3, width=7, act=act, widths=[7, 5, 2]))
    layers = [nn.Linear(6, 7), nn.Tanh(), nn.Linear(7, 5), nn.Tanh(), nn.Linear(5, 2), nn.Tanh(), nn.Linear(2, 4)]
    theirs = nn.Sequential(nn.Flatten(), *layers).double()
    pairs = list(zip(model.parameters(), theirs.parameters(), strict=True))
    copy_values(pairs)
    x = random(6, 2, 3)
    same(model(x), theirs(x), pairs)


def test_a_cnn_of_lenets_sizes_is_torchs_layers_one_after_another():
    """Kernels 5, 5, 3 of 6, 16 and 8 channels, each followed by a maximum over 2 x 2: 16 x 16 becomes 4 x 4."""
    keys = {"widths": [6, 16, 8], "kernels": [5, 5, 3], "downsample": "max"}
    model = filled(CNN((1, 16, 16), 10, depth=3, width=16, act=act, **keys))
    theirs = nn.Sequential(
        *(nn.Conv2d(1, 6, 5, padding=2), nn.Tanh(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5, padding=2), nn.Tanh()),
        *(nn.MaxPool2d(2), nn.Conv2d(16, 8, 3, padding=1), nn.Tanh(), nn.Flatten(), nn.Linear(8 * 4 * 4, 10)),
    ).double()
    pairs = list(zip(model.parameters(), theirs.parameters(), strict=True))
    copy_values(pairs)
    x = random(4, 1, 16, 16)
    same(model(x), theirs(x), pairs)


def test_a_circular_map_is_a_sum_of_rolled_ones():
    """(W * x)(i, j) = sum of W(a, b) x(i + a - 1, j + b - 1) over the kernel, with indices modulo the map's size."""
    model: Any = filled(CNN((2, 4, 3), 3, depth=1, width=5, act=act, padding_mode="circular"))
    x, conv = random(2, 2, 4, 3), model.layers[0].conv
    by_hand = conv.bias[:, None, None] + sum(
        torch.einsum("oc,nchw->nohw", conv.weight[:, :, a, b], x.roll((1 - a, 1 - b), (2, 3)))
        for a in range(3)
        for b in range(3)
    )
    torch.testing.assert_close(conv(x), by_hand)


def test_a_circular_net_does_not_see_where_a_map_begins():
    """Rolled inputs give rolled maps, so that the mean over places stays; with zeros around the map it changes."""
    x = random(3, 1, 8)
    for mode, stays in (("circular", True), (None, False)):
        keys = {"padding_mode": mode, "stride": 1, "kernels": [3], "readout": "mean"}
        model = filled(Conv1D((1, 8), 3, depth=2, width=4, act=act, **keys))
        assert torch.allclose(model(x), model(x.roll(3, 2))) is stays


def test_a_map_is_wrapped_around_once_at_most():
    with pytest.raises(DoesNotFit, match="can't wrap 2 places by 3"):
        CNN((1, 2, 2), 3, depth=1, width=4, act=act, kernels=[7], padding_mode="circular")


@pytest.mark.parametrize(
    ("kernels", "message"),
    [([4], "must be odd"), ([], "hold one size at least"), (3, "hold one size")],
)
def test_kernels_that_do_not_work_say_so(kernels: Any, message: str):
    with pytest.raises(InputError, match=message):
        CNN((1, 8, 8), 3, depth=2, width=4, act=act, kernels=kernels)


def test_the_list_says_the_depth():
    (run,) = expand(["width=[64,32,16]"]).runs
    assert (run.config["depth"], run.config["width"]) == (3, [64, 32, 16])
    assert expand(["width=[64,32,16]", "depth=3"]).runs[0].id == run.id
    with pytest.raises(InputError, match=r"depth=2,3.*width=\[64, 32, 16\] is for depth=3, not 2; leave depth out"):
        expand(["width=[64,32,16]", "depth=2,3"])


@pytest.mark.parametrize("width", ["[]", "[0,3]", "[1.5]", "[true]", "0"])
def test_a_width_that_is_none_is_refused(width: str):
    with pytest.raises(InputError, match="'width' must be a whole number of at least 1, or a list of them"):
        expand([f"width={width}"])


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["model=lstm", "data=digits_rows"], r"model=lstm has one width for all its layers, not width=\[8, 4\]"),
        (["model.branch_scale=1"], "model.branch_scale=1 needs layers of one width"),
        (["model.tied=true"], "model.tied=true needs layers of one width"),
    ],
)
def test_models_of_one_width_say_so(overrides: list[str], message: str):
    with pytest.raises(DoesNotFit, match=message):
        built("width=[8,4]", *overrides)


def test_a_fixed_point_has_one_width():
    run = expand(["width=[8,4]"]).runs[0]
    with pytest.raises(NotCovered, match="different widths have no common fixed point"):
        wide_network(run.choices, run.config, {"Variance": "1 / n"})


def test_equal_widths_have_the_fast_program():
    config = expand([]).runs[0].config
    for width, fast in (("[8,8]", True), ("[8,4]", False), ("8", True)):
        assert has_fast_program(built(f"width={width}"), build.data(config)) is fast


def test_a_list_of_equal_widths_draws_the_same_weights():
    def weights(width: str) -> Tensor:
        config = expand([f"width={width}", "depth=2"]).runs[0].config
        model = build.initialized(config, build.data(config))
        return nn.utils.parameters_to_vector(model.parameters())

    assert weights("[8,8]").equal(weights("8"))
