"""torchvision's classifiers as models, and its weights as initializers."""

import importlib.util
import sys
from dataclasses import replace

import pytest
import torch
from torch import nn

from initbench import build
from initbench.config.grid import expand
from initbench.engine.state import stack
from initbench.engine.train import Training
from initbench.errors import DoesNotFit, InputError
from initbench.parts.data import Raw, prepare
from initbench.parts.inits.matrix import matrices
from initbench.parts.models import Torchvision
from initbench.planning.compatibility import compatible_runs

pytestmark = pytest.mark.skipif(importlib.util.find_spec("torchvision") is None, reason="torchvision is not installed")
SMALL = ["model=torchvision", "model.name=squeezenet1_1", "batch_size=4"]


@pytest.fixture(scope="module")
def images():
    x = torch.randn(40, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    return prepare(Raw(x, torch.arange(40) % 4, classes=4))


def test_it_computes_what_torchvision_computes_of_the_gray_image_as_three_colours():
    from torchvision.models import get_model

    ours, theirs = Torchvision((1, 32, 32), 4, name="resnet18").eval(), get_model("resnet18", num_classes=4).eval()
    theirs.load_state_dict(ours.net.state_dict())
    x = torch.randn(2, 1, 32, 32, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(ours(x), theirs(torch.cat([x, x, x], 1)))
    scaled = Torchvision((3, 20, 20), 4, name="resnet18", size=32).eval()
    scaled.load_state_dict(ours.state_dict())
    torch.testing.assert_close(scaled(torch.ones(1, 3, 20, 20)), theirs(torch.ones(1, 3, 32, 32)))


def test_he_is_he_in_it():
    """Variance 2 / fan_in of a convolution of torchvision's: 64 channels of 3 x 3."""
    (run,) = expand(["model=torchvision", "init=he", "batch_size=4"]).runs
    x = torch.randn(40, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    network = build.initialized(run.config, prepare(Raw(x, torch.arange(40) % 4, classes=4)))
    weight = network.get_parameter("net.layer1.0.conv1.weight")
    assert float(weight.detach().var()) == pytest.approx(2 / (64 * 9), rel=0.03)
    assert len(list(matrices(network))) == 21  # 20 convolutions, three of them projections, and the head


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        (
            {"name": "alexnet", "shape": (1, 28, 28)},
            "alexnet takes no images of 28 x 28 .*model.size=224 scales them up",
        ),
        ({"name": "vit_b_16", "shape": (1, 28, 28)}, "vit_b_16 takes no images of 28 x 28 "),
        ({"name": "resnet18", "shape": (5, 28, 28)}, "takes images of 1 or 3 channels, not examples of 5 x 28 x 28"),
        ({"name": "resnet18", "shape": (64,)}, "not examples of 64"),
    ],
)
def test_images_that_do_not_fit(parameters, says):
    with pytest.raises(DoesNotFit, match=says):
        Torchvision(parameters.pop("shape"), 4, **parameters)


def test_another_name_and_no_torchvision_are_one_line(monkeypatch):
    with pytest.raises(InputError, match="torchvision has no classifier resnet19; did you mean 'resnet18'"):
        Torchvision((1, 32, 32), 4, name="resnet19")
    monkeypatch.setitem(sys.modules, "torchvision", None)
    monkeypatch.setitem(sys.modules, "torchvision.models", None)
    with pytest.raises(InputError, match=r"model=torchvision needs torchvision: pip install"):
        Torchvision((1, 32, 32), 4)


# Its weights


@pytest.fixture
def cache(tmp_path, monkeypatch, images):
    """A cache that has squeezenet's weights: drawn here, with 1000 classes, under the name of torchvision's file."""
    from torchvision.models import get_model, get_model_weights

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    net = get_model("squeezenet1_1")
    file = get_model_weights("squeezenet1_1").IMAGENET1K_V1.url.rpartition("/")[2]
    (tmp_path / "checkpoints").mkdir()
    torch.save(net.state_dict(), tmp_path / "checkpoints" / file)
    return net.state_dict()


def test_its_weights_are_loaded_and_a_head_for_other_classes_is_not(cache, images):
    (run,) = expand([*SMALL, "init=pretrained", "init.rest=xavier"]).runs
    report = {}
    ours = build.initialized(run.config, images, report=report).net.state_dict()
    other = [name for name, value in cache.items() if ours[name].shape != value.shape]
    assert other == ["classifier.1.weight", "classifier.1.bias"]
    assert all(torch.equal(ours[name], value) for name, value in cache.items() if name not in other)
    assert report["rest"] == [f"net.{name}" for name in other]
    assert report["weights"] == "squeezenet1_1 IMAGENET1K_V1"


def test_without_network_or_cache_one_line_says_where_the_file_belongs(tmp_path, monkeypatch, images):
    def fail(*args, **kwargs):
        raise OSError("no route\nto host")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", fail)
    (run,) = expand([*SMALL, "init=pretrained"]).runs
    with pytest.raises(
        InputError, match=r"no weights of squeezenet1_1: .*\.pth to .*checkpoints.*no route to host"
    ) as error:
        build.initialized(run.config, images)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (["depth=1", "width=4", "batch_size=4"], "init=pretrained is for model=torchvision"),
        (
            [*SMALL, "init.weights=V9"],
            "init.weights=V9: torchvision has none of squeezenet1_1; there is DEFAULT",
        ),
    ],
)
def test_what_has_no_weights(images, overrides, says):
    (run,) = expand([*overrides, "init=pretrained"]).runs
    with pytest.raises(InputError, match=says):
        build.initialized(run.config, images)


@pytest.mark.slow
def test_a_resnet_in_a_stack_is_the_resnet_alone(images):
    """Two steps on 32 x 32 in float64, with batch normalization's running statistics."""
    data = replace(images, x_train=images.x_train.double(), x_test=images.x_test.double())
    runs = expand(["model=torchvision", "batch_size=4", "steps=2", "log_every=1", "init=he", "seed=0,1"]).runs
    models = [build.initialized(run.config, data, torch.float64) for run in runs]
    ends = []
    for rows in ([0, 1], [1]):
        state = stack([models[row] for row in rows], torch.device("cpu"))
        training = Training(state, models[0], data, build.recipe(runs[0].config), seeds=rows, lrs=[0.01] * len(rows))
        training.step()
        training.step()
        ends.append({name: values[-1] for name, values in {**state.parameters, **state.buffers}.items()})
    for name, value in ends[0].items():
        torch.testing.assert_close(value, ends[1][name], rtol=1e-6, atol=1e-9)
    assert float(ends[0]["net.bn1.running_mean"].abs().max()) > 0


@pytest.mark.slow
def test_its_activation_is_not_initbenchs():
    (run,) = expand(["model=torchvision", "data=digits", "model.size=32", "batch_size=4"]).runs
    assert "act" in build.unused(run.config, build.data(run.config))
    assert compatible_runs([run], [], "cpu")[0] == [run]


@pytest.mark.network("download.pytorch.org")
def test_the_real_weights_of_resnet18(images):
    (run,) = expand(["model=torchvision", "init=pretrained", "batch_size=4"]).runs
    network = build.initialized(run.config, images)
    assert isinstance(network, nn.Module) and float(network.get_parameter("net.conv1.weight").std()) > 0.01
