"""From a run's configuration to objects: the one place where that is done."""

import functools
import inspect
import json
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import torch
from hydra.utils import get_object
from torch import nn

from initbench.engine import metrics as measured
from initbench.engine.footprint import BYTES_PER_WEIGHT, Footprint, footprint
from initbench.engine.train import Metric, Schedule, batches
from initbench.errors import InputError, nearest
from initbench.parts.activations import Activation
from initbench.parts.data import Dataset, prepare
from initbench.streams import stream

Config = Mapping[str, Any]  # a run's resolved configuration: plain dicts and lists


def activation(config: Config) -> Callable[[], Activation]:
    """What makes a new `Activation` for each layer."""
    target, constants = bound("act", config["act"], positional=1)
    return partial(Activation, target, **constants)


def data(config: Config) -> Dataset:
    """The run's dataset, split and standardized; it has examples for a batch."""
    dataset = loaded(json.dumps(config["data"], sort_keys=True))
    if config["batch_size"] > len(dataset.y_train):
        raise InputError(
            f"batch_size={config['batch_size']} is more than the {len(dataset.y_train)} examples of the training part"
        )
    return dataset


@functools.lru_cache(maxsize=2)
def loaded(text: str) -> Dataset:
    """The dataset of a `data` section, given as JSON. The last two stay in memory: the next stack wants them again."""
    section = json.loads(text)
    common = inspect.signature(prepare).parameters.keys() - {"raw"}
    loader, parameters = bound("data", {key: value for key, value in section.items() if key not in common})
    raw = attempt("data", loader, **parameters)
    return attempt("data", prepare, raw, **{key: section[key] for key in common & section.keys()})


def model(config: Config, shape: tuple[int, ...], classes: int) -> nn.Module:
    """The run's model, its weights not yet the initializer's."""
    there = {
        "shape": shape,
        "classes": classes,
        "depth": config["depth"],
        "width": config["width"],
        "act": activation(config),
    }
    target, parameters = bound("model", config["model"], offered=there)
    with torch.random.fork_rng(devices=[]):  # nn.Linear draws values of its own from the global generator
        torch.manual_seed(config["seed"] % 2**63)
        return attempt("model", target, **wanted(target, there), **parameters)


def initialized(config: Config, dataset: Dataset, dtype: torch.dtype = torch.float32) -> nn.Module:
    """The run's model as its training starts, on the CPU."""
    network = model(config, dataset.shape, dataset.classes).to(dtype)
    target, parameters = bound("init", config["init"], positional=3, offered=["act"])
    index = next(batches([config["seed"]], len(dataset.y_train), config["batch_size"], torch.device("cpu")))
    attempt(
        "init",
        target,
        network,
        dataset.x_train[index[0]].to(dtype),
        stream(config["seed"], "weights"),
        **wanted(target, {"act": activation(config)()}),
        **parameters,
    )
    return network


def optimizer(config: Config):
    """The run's optimizer; its learning rate is the stack's business."""
    target, parameters = bound("optim", config["optim"])
    return attempt("optim", target, **parameters)


def schedule(config: Config) -> Schedule:
    return Schedule(**{key: config[key] for key in ("steps", "batch_size", "log_every", "eval_every")})


def metrics(config: Config) -> dict[str, Metric]:
    """The metrics to log, by name."""
    there = {
        name: function
        for name, function in inspect.getmembers(measured, inspect.isfunction)
        if function.__module__ == measured.__name__
    }
    for name in config["metrics"]:
        if name not in there:
            raise InputError(f"metrics: there is no '{name}'{nearest(str(name), there)}")
    return {name: there[name] for name in config["metrics"]}


def rehearse(config: Config, dataset: Dataset) -> None:
    """Build everything once, so that what can't be built is known before anything is trained.

    A shipped model is rehearsed at a small size; somebody's own may need the size that it is asked for.
    """
    small = {"depth": min(config["depth"], 2), "width": min(config["width"], 16)}
    network = initialized({**config, **small} if shipped(config["model"]) else config, dataset)
    attempt("model", network.eval(), dataset.x_train[:1])
    optimizer(config)
    metrics(config)


def shipped(section: Config) -> bool:
    """Is this choice's function one of initbench's own?"""
    return str(section.get("_target_")).startswith("initbench.")


def cost(config: Config, dataset: Dataset, budget: int) -> Footprint:
    """What a run of this shape costs; InputError where its weights alone are more than `budget` bytes."""
    device = "meta" if shipped(config["model"]) else "cpu"  # another's constructor may compute
    with torch.device(device):
        network = model(config, dataset.shape, dataset.classes)
    weights = sum(parameter.numel() for parameter in network.parameters())
    if weights * BYTES_PER_WEIGHT > budget:
        need, have = weights * BYTES_PER_WEIGHT / 2**30, budget / 2**30
        raise InputError(f"--memory: a run of {weights:,} weights needs {need:.2g} GiB, there is {have:.2g} GiB")
    looks = (config["steps"] // config["log_every"] + 1) * len(config["metrics"])
    return attempt("model", footprint, network, dataset.shape, config["batch_size"], config["steps"], looks)


def bound(
    group: str, section: Config, *, positional: int = 0, offered: Iterable[str] = ()
) -> tuple[Callable, dict[str, Any]]:
    """A section's target and its parameters, once they fit the target's signature.

    The call will give `positional` arguments first, and by name those `offered` that the signature has. Raises
    InputError naming the parameter that doesn't fit.
    """
    path = str(section.get("_target_"))
    try:
        target = get_object(path)
    except Exception as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(f"{group}._target_={path} can't be imported: {reason}") from error
    if not callable(target):
        raise InputError(f"{group}._target_={path} is no function or class")
    parameters = {key: value for key, value in section.items() if key != "_target_"}
    try:
        signature = dict(list(inspect.signature(target).parameters.items())[positional:])
    except (TypeError, ValueError) as error:
        raise InputError(f"{group}={path} doesn't tell its parameters; wrap it in a function of your own") from error
    if not takes_any(target):
        for key in parameters.keys() - signature.keys():
            raise InputError(
                f"{group}.{key}: {path} has no such parameter{nearest(key, signature.keys() - set(offered))}"
            )
    for name, parameter in signature.items():
        needed = parameter.default is parameter.empty and parameter.kind not in (
            parameter.VAR_POSITIONAL,
            parameter.VAR_KEYWORD,
        )
        if needed and name not in parameters and name not in offered:
            raise InputError(f"{group}: {path} needs {group}.{name}")
    return target, parameters


def takes_any(target: Callable) -> bool:
    return any(p.kind is p.VAR_KEYWORD for p in inspect.signature(target).parameters.values())


def wanted(target: Callable, there: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the things there that a target's signature names."""
    names = there.keys() if takes_any(target) else inspect.signature(target).parameters.keys() & there.keys()
    return {name: there[name] for name in names}


def attempt(group: str, target: Callable, *args, **kwargs):
    """Call a part; whatever it raises becomes one line about the group it is from."""
    try:
        return target(*args, **kwargs)
    except InputError:
        raise
    except Exception as error:
        name = getattr(target, "__name__", repr(target))
        reason = " ".join(str(error).split())
        raise InputError(f"{group}: {name} failed with {type(error).__name__}: {reason}") from error
