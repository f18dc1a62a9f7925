"""Frozen layers: they stay bit for bit, and the others move as PyTorch moves them alone."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from initbench import build
from initbench.config.grid import expand
from initbench.config.registry import choices
from initbench.engine.state import stack
from initbench.engine.train import Training
from initbench.errors import DoesNotFit
from initbench.parts.data import Dataset, Raw, prepare
from initbench.parts.layer_order import layers_in_order

CPU = torch.device("cpu")
EVERYTHING = ["regularize.weight_decay=0.1", "regularize.decoupled=0.1", "regularize.l1=0.01", "gradient.noise=0.1"]
EVERYTHING += ["regularize.weight_noise=0.1", "gradient.centralize=true", "gradient.clip_norm=1", "average=ema"]


@pytest.fixture(scope="module")
def data() -> Dataset:
    generator = torch.Generator().manual_seed(0)
    dataset = prepare(Raw(torch.randn(200, 6, generator=generator), torch.arange(200) % 4, classes=4))
    return replace(dataset, **{name: part.double() for name, part in vars(dataset).items() if name.startswith("x_")})


def training(data: Dataset, frozen: list, *overrides: str, steps: int = 6) -> tuple[Training, list[nn.Module]]:
    """A stack of runs of seed 0, 1, ..., each with its own number of frozen layers; and their models at the start."""
    common = ["depth=3", "width=5", "batch_size=20", f"steps={steps}", "log_every=2", "act=tanh", *overrides]
    runs = [expand([*common, f"init.freeze={n}", f"seed={seed}"]).runs[0] for seed, n in enumerate(frozen)]
    models = [build.initialized(run.config, data, torch.float64) for run in runs]
    state, recipe = stack(models, CPU), build.recipe(runs[0].config)
    return Training(state, models[0], data, recipe, seeds=range(len(runs)), lrs=[0.05] * len(runs)), models


def moved(state: dict[str, Tensor], run: int, model: nn.Module) -> set[str]:
    own = model.state_dict()
    return {name for name, rows in state.items() if not torch.equal(rows[run], own[name])}


QUICK = ("sgd", "adamw", "muon")
EVERY = [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in choices("optim")]


@pytest.mark.parametrize("optim", EVERY)
def test_no_optimizer_moves_a_frozen_layer_and_each_run_has_its_own(data, optim):
    """With decay, noise and an average; running statistics of frozen layers stay too."""
    run, models = training(data, ["null", "2", "-1"], f"optim={optim}", "norm=batch", *EVERYTHING)
    run.run()
    layers = layers_in_order(models[0])
    for n, frozen in enumerate(([], layers[:2], layers[:-1])):
        stays = {name for own in frozen for name in own}
        everything = models[n].state_dict().keys()
        assert moved({**run.state.parameters, **run.state.buffers}, n, models[n]) == everything - stays


def test_the_others_move_as_in_pytorch_where_only_they_are_given_to_the_optimizer(data):
    """SGD with momentum, weight decay, and a gradient clipped by the norm of what is trained."""
    ours, models = training(
        data, ["null", "1", "-1"], "optim.momentum=0.9", "regularize.weight_decay=0.1", "gradient.clip_norm=0.1"
    )
    model, first = models[1], set(layers_in_order(models[1])[0])
    own = [parameter for name, parameter in model.named_parameters() if name not in first]
    theirs = torch.optim.SGD(own, lr=0.05, momentum=0.9, weight_decay=0.1)
    for step in range(6):
        x, y = ours.minibatches.at(step)
        ours.step()
        model.zero_grad()
        nn.functional.cross_entropy(model(x[1]), y[1]).backward()
        nn.utils.clip_grad_norm_(own, 0.1)
        theirs.step()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(ours.state.parameters[name][1], parameter.detach(), rtol=1e-9, atol=1e-12)


def test_a_frozen_layer_has_the_gradient_of_the_loss_and_no_update(data):
    ours, _ = training(data, ["null", "1"], "metrics=[weight_grad_norm,update_ratio]", steps=1)
    snapshots = ours.run().snapshots[0]  # (layers, metrics, runs)
    gradient, update = snapshots[:, 0], snapshots[:, 1]
    assert (gradient > 0).all()
    assert update[0].tolist() == [pytest.approx(update[0][0]), 0] and (update[1:] > 0).all() and update[0][0] > 0


def test_nothing_frozen_costs_nothing(data):
    ours, _ = training(data, ["null", "null"])
    assert ours.updater.frozen is None and ours.updater.raw is ours.state.gradient


def test_an_id_has_it_where_something_is_frozen():
    ids = [expand([f"init.freeze={n}"]).runs[0].id for n in ("null", "1")]
    assert ids[0] == expand([]).runs[0].id != ids[1]


@pytest.mark.parametrize(
    ("count", "says"), [(4, "that is the whole model"), (9, "the model has 4 layers"), (-4, "4 layers")]
)
def test_something_must_be_left_to_train(data, count, says):
    with pytest.raises(DoesNotFit, match=f"init.freeze={count}'?: .*{says}"):
        training(data, [count])
