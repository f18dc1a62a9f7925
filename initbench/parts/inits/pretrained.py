"""Weights of a finished training as initial weights: what fits is loaded, the rest follows another initializer."""

import contextlib
import hashlib
import sys
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load
from torch import Tensor, nn

from initbench.errors import DoesNotFit, InputError, nearest
from initbench.parts.layer_order import first_layers, layers_in_order, place
from initbench.parts.models.from_torchvision import Torchvision
from initbench.parts.torchvision_package import torchvision_module
from initbench.text import join_words, plural

Report = dict[str, Any]  # what an initializer did, stored with the run
NAMED = 4  # tensors in one sentence


class Fit(NamedTuple):
    """What of a file goes into a model."""

    loaded: dict[str, str]  # each parameter or buffer of the model that is loaded, and its name in the file
    parameters: list[str]  # of the model that are loaded
    rest: list[str]  # those that are not
    unused: list[str]  # what else is in the file


def checkpoint(
    model: nn.Module,
    batch: Tensor,
    generator: torch.Generator,
    *,
    write_rest: Callable[[], None],
    report: Report,
    path: str | None = None,
    run: str | None = None,
    results: str | None = None,
    by: str | list[str] | None = None,
    rest: str = "he",
    layers: int | None = None,
) -> None:
    """Load a safetensors file: `path`, or that of a finished run, which planning has found and put into `path`.

    Loaded is what has the name and shape of a parameter or buffer of the model, of the first `layers` layers alone
    (`parts.layer_order`; -1: of all but the last), or of all. What is not loaded is as `write_rest`, the initializer
    `rest`, writes it.
    Raises DoesNotFit where no weight fits, or neither `path` nor `run` is given.
    """
    if path is None:
        raise DoesNotFit("init=checkpoint needs init.path=FILE or init.run=ID")
    write_rest()
    content = Path(path).read_bytes()
    source = {"run": Path(path).stem} if run else {"path": path}
    report |= source | {"sha256": hashlib.sha256(content).hexdigest()}
    report |= loaded_into(model, load(content), f"init.path={path}", rest, layers)


@torch.no_grad()
def loaded_into(model: nn.Module, tensors: Mapping[str, Tensor], where: str, rest: str, layers: int | None) -> Report:
    """Copy what fits, and say what was loaded and what was not. DoesNotFit, which opens with `where`, if nothing is."""
    own = state(model)
    fit = fit_of(model, {name: tuple(tensor.shape) for name, tensor in tensors.items()}, where, layers)
    for name, theirs in fit.loaded.items():
        own[name].copy_(tensors[theirs])
    return {"loaded": fit.parameters, "rest": fit.rest, "rest_by": rest, "unused": fit.unused}


def fit_of(model: nn.Module, shapes: Mapping[str, tuple[int, ...]], where: str, layers: int | None) -> Fit:
    """What of a file, whose tensors have these shapes by name, goes into the first layers of a model, or into all.

    A model that wraps another says what the names of that one begin with here: `names_begin`, as `net.`.
    """
    wanted, own = wanted_names(model, layers), state(model)
    prefix = getattr(model, "names_begin", "")
    loaded = {}
    for theirs, shape in shapes.items():
        name = theirs if theirs in own else prefix + theirs
        if name in wanted and tuple(own[name].shape) == shape:
            loaded[name] = theirs
    parameters = [name for name, _ in model.named_parameters()]
    if not any(own[name].ndim > 1 for name in parameters if name in loaded):
        raise DoesNotFit(f"{where}: no weight fits this model by name and shape; {_compared(own, shapes, parameters)}")
    ours = [name for name in parameters if name in loaded]
    rest = [name for name in parameters if name not in loaded]
    return Fit(loaded, ours, rest, [name for name in shapes if name not in loaded.values()])


def told(name: str, fit: Fit, rest: str) -> str:
    """ "checkpoint loads 10 of 12 parameters: layers.0 and layers.1; head follows he" """
    said = f"{name} loads {len(fit.parameters)} of {plural(len(fit.parameters) + len(fit.rest), 'parameter')}"
    if not fit.rest:
        return said
    own, others = places(fit.parameters), places(fit.rest)
    return f"{said}: {_listed(own)}; {_listed(others)} {'follow' if len(others) > 1 else 'follows'} {rest}"


def places(names: Iterable[str]) -> list[str]:
    """Where parameters stand, each once: `layers.0` for its weight and bias."""
    return list(dict.fromkeys(map(place, names)))


def _listed(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    more = [f"{len(names) - NAMED:,} more"] if len(names) > NAMED + 1 else names[NAMED:]
    return join_words([*names[:NAMED], *more])


def wanted_names(model: nn.Module, layers: int | None) -> set[str]:
    """The parameters and buffers of the first `layers` layers; of all where that is None."""
    wanted = layers_in_order(model) if layers is None else first_layers(model, "init.layers", layers)
    return {name for own in wanted for name in own}


def state(model: nn.Module) -> dict[str, Tensor]:
    """All parameters and buffers by name."""
    return dict(model.named_parameters()) | dict(model.named_buffers())


def _compared(own: Mapping[str, Tensor], shapes: Mapping[str, tuple[int, ...]], parameters: list[str]) -> str:
    """Of the first parameter that both have, the two shapes; else the first names of both."""
    for name in parameters:
        if name in shapes:
            return f"{name} is {_shape(shapes[name])} in the file and {_shape(own[name].shape)} here"
    theirs = next(iter(shapes), "nothing")
    return f"the file has {theirs} and more, the model {parameters[0]} and more"


def _shape(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape)) or "a number"


def pretrained(
    model: nn.Module,
    batch: Tensor,
    generator: torch.Generator,
    *,
    write_rest: Callable[[], None],
    report: Report,
    weights: str = "IMAGENET1K_V1",
    rest: str = "he",
    layers: int | None = None,
) -> None:
    """Load torchvision's own weights of a `model=torchvision`, as `checkpoint` loads a file; a head for other classes
    is as `write_rest`, the initializer `rest`, writes it.

    torchvision fetches what is not in its cache, `$TORCH_HOME/hub/checkpoints`. Raises DoesNotFit for other models,
    InputError where there are no such weights or they can't be fetched.
    """
    if not isinstance(model, Torchvision):
        raise DoesNotFit("init=pretrained is for model=torchvision; init=checkpoint loads a file into any model")
    offered = torchvision_module("models", "init=pretrained needs").get_model_weights(model.name).__members__
    if weights not in offered:
        raise InputError(f"init.weights={weights}: torchvision has none of {model.name}{nearest(weights, offered)}")
    write_rest()
    tensors = fetched(model.name, offered[weights])
    report |= {"weights": f"{model.name} {weights}"} | loaded_into(
        model, tensors, f"init.weights={weights}", rest, layers
    )


def fetched(name: str, weights: Any) -> Mapping[str, Tensor]:
    """torchvision's weights from its cache or the network; InputError says where the file would have to be."""
    file = Path(torch.hub.get_dir(), "checkpoints", weights.url.rpartition("/")[2])
    try:
        with contextlib.redirect_stdout(sys.stderr), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return weights.get_state_dict(progress=False, check_hash=True, weights_only=True, map_location="cpu")
    except Exception as error:  # no network, no space, a broken file: whatever it is, there are no weights
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"init=pretrained: no weights of {name}: {weights.url} to {file}: {reason}") from error
