"""The layers of a model in the order in which it holds them: what `init.layers` and `init.freeze` count.

A layer is what `depth` counts: a hidden layer, a cell of a recurrent net, a block. So is what stands before and after
them: a stem, an embedding, a head. A normalization or a scale by itself is part of the layer before it.
"""

import re

from torch import nn

from initbench.errors import DoesNotFit
from initbench.parts.checks import integer
from initbench.text import plural


def layers_in_order(model: nn.Module) -> list[list[str]]:
    """The names of the parameters and buffers of each layer; what comes before the first weight is the first layer's.

    A weight is a parameter of two or more dimensions. A parameter that modules share is in the first layer that has it.
    """
    parameters = dict(model.named_parameters())
    names = [*parameters, *(name for name, _ in model.named_buffers())]
    places = {module: n for n, (module, _) in enumerate(model.named_modules())}
    by_place: dict[str, list[str]] = {}
    for name in sorted(names, key=lambda name: places[name.rpartition(".")[0]]):
        by_place.setdefault(place(name), []).append(name)
    found: list[list[str]] = []
    begun = False  # whether a layer with a weight was met
    for own in by_place.values():
        has_weight = any(name in parameters and parameters[name].ndim > 1 for name in own)
        if found and not (has_weight and begun):
            found[-1] += own
        else:
            found.append(own)
        begun = begun or has_weight
    return found


def first_layers(model: nn.Module, key: str, count: int) -> list[list[str]]:
    """The first `count` of `layers_in_order`, or all but the last -`count`. key: for messages."""
    found = layers_in_order(model)
    integer(key, count, "(-inf, inf)")
    if count == 0 or not -len(found) < count <= len(found):
        layers = plural(len(found), "layer")
        raise DoesNotFit(f"'{key}={count}': the model has {layers}, the head included; there is no layer {count}")
    return found[:count]


def freeze(model: nn.Module, count: int | None) -> None:
    """Mark the first `count` layers, or all but the last -`count`, to stay as they are; the engine keeps them so."""
    found = first_layers(model, "init.freeze", count) if count else []
    if found and len(found) == len(layers_in_order(model)):
        raise DoesNotFit(f"init.freeze={count}: that is the whole model, and nothing would be trained")
    model.frozen_names = frozenset(name for own in found for name in own)  # type: ignore[assignment]


def frozen(model: nn.Module) -> frozenset[str]:
    """The parameters and buffers that `freeze` has marked."""
    return getattr(model, "frozen_names", frozenset())


def place(name: str) -> str:
    """Where a parameter stands: `blocks.2` for `blocks.2.attention.query.weight`, `head` for `head.bias`."""
    owner = name.partition(".parametrizations.")[0] if ".parametrizations." in name else name.rpartition(".")[0]
    numbered = re.match(r"(?:[^.]*\.)*?\d+(?=\.|$)", owner)
    return numbered[0] if numbered else owner
