"""Readable names of layers, made from their names in the model.

A layer of somebody's own model has a name that says all, `layer 3 (net.4, Linear)`: its number in the order of use, its
module and what that is; `layer 4 (key, Linear, beside layer 3)` stands at the same place along the depth as layer 3.
"""

import re
from collections.abc import Iterable
from itertools import groupby

_NUMBERED = re.compile(r"(layer (\d+)) \((?:(.*), )?(\w+?)(?:, beside (layer \d+))?\)")  # name, number, module, class


def is_numbered(name: str) -> bool:
    """Whether it is a layer of somebody's own model."""
    return _NUMBERED.fullmatch(name) is not None


def readable(name: str) -> str:
    """ "layer 1" for `layers.0`, "block 3, attention query" for `blocks.2.attention.query`; numbers count from 1.

    A number belongs to the plural noun before it; without one, as in a bare sequence of modules, to "layer".
    """
    if is_numbered(name):
        return name
    groups, words = [], []
    for part in name.replace("_", " ").split("."):
        if not (part.isdigit() or part == "N"):
            words.append(part)
            continue
        noun = re.sub(r"(?<=[^s])s$", "", " ".join(words)) or "layer"
        groups.append(f"{noun} {part if part == 'N' else int(part) + 1}")
        words = []
    return ", ".join([*groups, " ".join(words)] if words else groups)


def stage(name: str) -> str:
    """A layer's place along the depth: its name up to the first number, `blocks.2` for `blocks.2.attention.query`.

    Layers of one stage stand beside or inside each other (the input and the recurrent weights of a cell; the parts of
    a block). The last of them gives the stage's output: the state of a cell, or what a block adds to its input.
    """
    if numbered := _NUMBERED.fullmatch(name):
        return numbered[5] or numbered[1]
    found = re.match(r"(?:[^.]*\.)*?\d+(?=\.|$)", name)
    return found[0] if found else name


def kind(name: str) -> str:
    """The name without its numbers: `blocks.N.attention.query`; of somebody's own model all layers are one kind."""
    if is_numbered(name):
        return "layer N"
    return re.sub(r"(?<![^.])\d+(?![^.])", "N", name)


def spans(names: Iterable[str]) -> list[str]:
    """Layers of somebody's own model in few words: "layers 1 to 8 (net.1 to net.15, Linear)"; each class in a row."""
    found = []
    for kind_, group in groupby(filter(None, map(_NUMBERED.fullmatch, names)), key=lambda layer: layer[4]):
        first, *others = group
        last = others[-1] if others else first
        modules = " to ".join(dict.fromkeys(layer[3] for layer in (first, last) if layer[3]))
        number = f"layers {first[2]} to {last[2]}" if others else first[1]
        found.append(f"{number} ({', '.join(filter(None, (modules, kind_)))})")
    return found
