"""Builds objects from a run's configuration; nothing else does."""

import functools
import inspect
import json
import weakref
from collections.abc import Callable, Collection
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import nn

from initbench.build.binding import Config, attempt, bound, name_of, shipped, wanted
from initbench.config.aliases import check_choice
from initbench.config.keys import BY_SEED
from initbench.config.registry import find, is_dotted_path, read, shared_keys
from initbench.engine import metrics as measured
from initbench.engine.batches import Batches
from initbench.engine.recipe import Metric, Recipe
from initbench.errors import DoesNotFit, InputError, WrongValue, nearest
from initbench.parts import computed_weights, inits, norms, rates
from initbench.parts.activations import Activation
from initbench.parts.data import Dataset, Raw, prepare
from initbench.parts.data.augmentation import Augment
from initbench.parts.layer_order import freeze
from initbench.parts.lazy import materialize
from initbench.parts.models.spec import ModelSpec
from initbench.parts.rebalance import check_rebalance
from initbench.parts.regularization import Gradient, Regularize
from initbench.parts.start import DataNeeded, NoData, Start
from initbench.parts.structure import check_model, check_structure, mark_tied_embeddings, structure
from initbench.parts.trials import check_average, check_optimizer
from initbench.randomness import stream

INIT_GETS = ("act", "start", "report", "write_rest")  # what an initializer may ask for by name
NEEDED = {"optim": ("elementwise", "init", "update"), "schedule": ("factor",), "average": ("update",)}  # of an object
NEEDED |= {"curriculum": ("share", "order", "difficulty")}
SPEC_KEYS = {
    "act": "act",
    "depth": "depth",
    "width": "width",
    "widths": "width",
    "norm": "norm",
}  # what a spec's fields come from
SPEC_KEYS |= {"dropout": "regularize.dropout", "dropconnect": "regularize.dropconnect"}
SPEC_KEYS |= {"alpha_dropout": "regularize.alpha_dropout"}
USED_BY = {"data.split_seed": "data"}  # the group whose choice may not use a key, where it is not the model's
ELEMENTWISE = {"optim": check_optimizer, "average": check_average}


def activation(config: Config) -> Callable[[], Activation]:
    """A function that makes a new `Activation`; each layer has its own."""
    target, constants = bound("act", config["act"], positional=1)
    if not shipped(config["act"]):
        Activation(target, **constants).check()
    return partial(Activation, target, **constants)


def data(config: Config) -> Dataset:
    """The run's dataset, split and standardized.

    DoesNotFit if it has fewer examples than a batch, or if the run's seed should draw a split that there is not.
    """
    text = json.dumps(data_section(config), sort_keys=True)
    dataset = loaded(text)
    if hasattr(part("rebalance", config), "made"):
        dataset = with_made(text, json.dumps(config["rebalance"], sort_keys=True))
    if config["data"].get("split_seed") == BY_SEED and not dataset.drawn:
        raise DoesNotFit(
            "data.split_seed=seed: this data has its own test part, and nothing is drawn; leave it out, or set "
            "data.val_fraction or data.train_size"
        )
    if config["batch_size"] > len(dataset.y_train):
        raise DoesNotFit(
            f"batch_size={config['batch_size']} is more than the {len(dataset.y_train)} examples of the training part"
        )
    return dataset


def data_section(config: Config) -> Config:
    """The `data` section with a number for the seed of its split."""
    by_seed = config["data"].get("split_seed") == BY_SEED
    return {**config["data"], "split_seed": config["seed"] % 2**32} if by_seed else config["data"]


@functools.lru_cache(maxsize=2)
def loaded(text: str) -> Dataset:
    """The dataset of a `data` section, given as JSON. The last two stay in memory: the next stack wants them again."""
    return load(json.loads(text))


@functools.lru_cache(maxsize=2)
def with_made(text: str, section: str) -> Dataset:
    """The dataset of a `data` section with the examples that a `rebalance` section makes of it, both as JSON."""
    dataset, resampler = loaded(text), part("rebalance", {"rebalance": json.loads(section)})
    check_rebalance(resampler, dataset.y_train)
    seed = json.loads(text).get("split_seed", 0)
    made = attempt("rebalance", resampler.made, dataset.x_train, dataset.y_train, seed)
    return replace(dataset, made=made)


def load(keys: Config) -> Dataset:
    """The dataset of a `data` section. A key that the loader itself has, as `gaussian` has `classes`, is for it."""
    loader, _ = bound("data", {"_target_": keys["_target_"]}, offered=keys)
    common = inspect.signature(prepare).parameters.keys() - inspect.signature(loader).parameters.keys() - {"raw"}
    _, parameters = bound("data", {key: value for key, value in keys.items() if key not in common})
    raw = attempt("data", loader, **parameters)
    if not isinstance(raw, Raw):
        raise InputError(f"data: {name_of(loader)} returns {type(raw).__name__}, not an initbench.parts.data.Raw")
    return attempt("data", prepare, raw, **{key: keys[key] for key in common & keys.keys()})


def model(config: Config, dataset: Dataset) -> nn.Module:
    """The run's model, its weights not yet the initializer's; InputError where model and data don't fit."""
    spec = model_spec(config, dataset)
    target, parameters = bound("model", config["model"], offered=[*vars(spec), "spec"])
    given = wanted(target, vars(spec))
    supported = given.keys()
    if "spec" in inspect.signature(target).parameters:
        given, supported = {"spec": spec}, getattr(target, "supports", ())
    for needed, what in (
        ("vocabulary", "reads numbers, and this data has tokens: it doesn't fit"),
        ("positions", "predicts once per example, and here each position has a label: it doesn't fit this data"),
        ("widths", f"has one width for all its layers, not width={config['width']}"),
        ("norm", "has no place for a normalization: set norm=none"),
        ("dropout", "has no dropout: leave out regularize.dropout"),
        ("dropconnect", "has no dropconnect: leave out regularize.dropconnect"),
        ("alpha_dropout", "has no alpha dropout: leave out regularize.alpha_dropout"),
    ):
        if getattr(spec, needed) is not None and needed not in supported:
            raise DoesNotFit(f"model={target.__name__.lower()} {what}")
    with torch.random.fork_rng(devices=[]):  # nn.Linear draws values of its own from the global generator
        torch.default_generator.manual_seed(config["seed"] % 2**63)
        network = attempt("model", target, **given, **parameters)
        check_model(name_of(target), network)
        materialize(network, dataset.x_train[:2])
        if not shipped(config["model"]):
            mark_tied_embeddings(network, partial(attempt, "model", network, dataset.x_train[:2]))
    return network


def model_spec(config: Config, dataset: Dataset) -> ModelSpec:
    """What the run's model is built for."""
    regularize = section("regularize", Regularize, config)
    return ModelSpec(
        shape=dataset.shape,
        classes=dataset.classes,
        depth=config["depth"],
        width=max(config["width"]) if isinstance(config["width"], list) else config["width"],
        widths=config["width"] if isinstance(config["width"], list) else None,
        act=activation(config),
        vocabulary=dataset.vocabulary,
        positions=dataset.positions,
        norm=normalization(config),
        dropout=regularize.dropout,
        dropconnect=regularize.dropconnect,
        alpha_dropout=regularize.alpha_dropout,
    )


def unused(config: Config, dataset: Dataset) -> set[str]:
    """The keys that the run's model and data do not read: runs that differ in nothing else are the same run."""
    read = {SPEC_KEYS.get(name) for name in fields_read(config, dataset)}
    if dataset.drawn:
        read.add("data.split_seed")
    return {*SPEC_KEYS.values(), *USED_BY} - read


def fields_read(config: Config, dataset: Dataset) -> set[str]:
    """The fields of its spec that the run's model reads; all of them where that can't be known."""
    spec = model_spec(config, dataset)
    target, parameters = bound("model", config["model"], offered=[*vars(spec), "spec"])
    if "spec" not in inspect.signature(target).parameters:
        return set(wanted(target, vars(spec)))
    recorder, read = spec.recorded()
    own = not shipped(config["model"])
    with nullcontext() if own else torch.device("meta"), torch.random.fork_rng(devices=[]):
        network = attempt("model", target, spec=recorder, **parameters)
    alive = weakref.ref(recorder)
    del recorder
    kept = network is not None and alive() is not None  # and may be read when the model is called
    return set(vars(spec)) if own and (kept or "__dict__" in read) else read


def initialized(
    config: Config,
    dataset: Dataset,
    dtype: torch.dtype = torch.float32,
    *,
    look_at_data: bool = True,
    report: dict[str, Any] | None = None,
) -> nn.Module:
    """The run's model as its training starts, on the CPU. What an initializer says of its work goes into `report`.

    Planning sets `look_at_data` to False: initializers that look at data (with a parameter `start`) may take as long as
    many steps of training. Those that are shipped are then run up to their first forward pass, others not at all.
    """
    network = model(config, dataset).to(dtype)
    initialize(network, config, dataset, look_at_data=look_at_data, report=report)
    freeze(network, config["init"].get("freeze"))
    return network


def initialize(
    network: nn.Module,
    config: Config,
    dataset: Dataset,
    *,
    act: Activation | None = None,
    look_at_data: bool = True,
    report: dict[str, Any] | None = None,
) -> None:
    """Write a run's initial weights into a model of its shape, see `initialized`.

    act: what initializers get as the activation; by default the run's.
    """
    seed, dtype = config["seed"], next(network.parameters()).dtype
    index = Batches([seed], len(dataset.y_train), config["batch_size"], torch.device("cpu")).at(0)[0]
    batch, y = dataset.x_train[index], dataset.y_train[index]
    batch = batch.to(dtype) if batch.is_floating_point() else batch
    generator, act = stream(seed, "weights"), act or activation(config)()

    def write(scheme: Config, module: nn.Module) -> None:
        scheme = {key: value for key, value in scheme.items() if key not in shared_keys("init")}
        target, parameters = bound("init", scheme, positional=3, offered=INIT_GETS)
        given = wanted(target, {"act": act, "report": {} if report is None else report, "write_rest": write_rest})
        start = None
        if "start" in inspect.signature(target).parameters:
            if not look_at_data and not shipped(scheme):
                return
            kind = Start if look_at_data else NoData
            start = given["start"] = kind(network, batch, y, dataset.objective.loss, stream(seed, "start"), module)
        before = structure(network)
        try:
            returned = attempt("init", target, module, batch, generator, **given, **parameters)
        except DataNeeded:
            return
        if start is not None and report is not None:
            report.update(start.report)
        check_structure(name_of(target), before, network)
        if isinstance(returned, nn.Module) and returned is not module:
            raise InputError(f"init: {name_of(target)} returns another model; it must write into the one that it gets")

    def write_rest() -> None:
        other = other_initializer(config["init"]["rest"], "init.rest")
        shared = {key: value for key, value in config["init"].items() if key in shared_keys("init")}
        initialize(
            network, {**config, "init": {**shared, **other}}, dataset, act=act, look_at_data=look_at_data, report=report
        )

    rates.forget(network)
    write(config["init"], network)
    if loads_weights(config):  # over all that `write_rest` wrote: trained biases and gains of weights stay as they are
        return
    recurrent, forget_bias = config["init"].get("recurrent"), config["init"].get("forget_bias")
    if recurrent is not None:
        for part in inits.recurrent_parts(network):
            write(other_initializer(recurrent), part)
    if (bias_std := config["init"].get("bias_std")) is not None:
        inits.draw_biases(network, stream(seed, "biases"), bias_std)
    if forget_bias is not None:
        inits.set_forget_bias(network, forget_bias)
    norms.sync_weight_norm(network)
    with torch.random.fork_rng(devices=[]):  # torch fills up an orthogonal basis with random numbers
        torch.default_generator.manual_seed(seed % 2**63)
        computed_weights.settle(network)
    rates.scale(network, lr_factors(config))


def lr_factors(config: Config) -> dict[str, float]:
    """The factors of the learning rate by the pattern of parameters' names: `["bias:0.1"]` is {"bias": 0.1}."""
    pairs = [text.rpartition(":") for text in config.get("lr_factors") or ()]
    return {pattern: float(factor) for pattern, _, factor in pairs}


def looks_at_data(config: Config) -> bool:
    """Whether the run's initializer has a parameter `start`: it computes with the model and its data."""
    init = config["init"]
    if loads_weights(config):
        init = other_initializer(init["rest"], "init.rest")
    return "start" in init_parameters(init)


def loads_weights(config: Config) -> bool:
    """Whether the run's initializer has a parameter `write_rest`: it loads weights, and another writes the rest."""
    return "write_rest" in init_parameters(config["init"])


def init_parameters(section: Config) -> Collection[str]:
    """The names of an initializer's parameters."""
    target, _ = bound("init", {"_target_": section["_target_"]}, positional=3, offered=INIT_GETS)
    return inspect.signature(target).parameters.keys()


def other_initializer(name: str, key: str = "init.recurrent") -> Config:
    """The section of the choice that `key` names, or of somebody's own function by its dotted path."""
    try:
        check_choice("init", name, key)
    except InputError as error:
        raise WrongValue(key, name, str(error)) from error
    return {"_target_": name} if is_dotted_path(name) else read(find("init", name))


def normalization(config: Config) -> norms.Norm | None:
    """How the run's model normalizes its hidden layers; None where it doesn't."""
    norm = part("norm", config)
    if norm is not None and not isinstance(norm, norms.Norm):
        path = config["norm"]["_target_"]
        raise InputError(f"norm: {path} gives {type(norm).__name__}, not an initbench.parts.norms.Norm")
    if norm is not None and config["batch_size"] < norm.least_batch:
        name = str(config["norm"]["_target_"]).rpartition(".")[2]
        raise DoesNotFit(f"norm={name} needs batches of {norm.least_batch} at least, not batch_size=1")
    return norm


def recipe(config: Config) -> Recipe:
    """How the run is trained, except for its learning rate and seed, which may differ inside a stack."""
    return Recipe(
        optimizer=part("optim", config),
        schedule=part("schedule", config),
        gradient=section("gradient", Gradient, config),
        regularize=section("regularize", Regularize, config),
        average=part("average", config),
        augment=section("augment", Augment, config),
        rebalance=part("rebalance", config),
        curriculum=part("curriculum", config),
        precision=config["precision"],
        metrics=metrics(config),
        **{key: config[key] for key in ("steps", "batch_size", "log_every", "eval_every", "save_predictions")},
    )


def part(group: str, config: Config) -> Any:
    """The object of a group's choice, made from its parameters alone; None for `none`."""
    if not config.get(group):
        return None
    target, parameters = bound(group, config[group])
    made = attempt(group, target, **parameters)
    lacks = [name for name in NEEDED.get(group, ()) if not hasattr(made, name)]
    if lacks:
        raise InputError(f"{group}: {name_of(target)} gives {type(made).__name__}, which has no {lacks[0]}")
    if group in ELEMENTWISE and not shipped(config[group]):
        ELEMENTWISE[group](name_of(target), made)
    return made


def section(name: str, target: Callable, config: Config) -> Any:
    """The object that a section of root keys makes."""
    _, parameters = bound(name, {"_target_": f"{target.__module__}.{target.__name__}", **config[name]})
    return target(**parameters)


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
