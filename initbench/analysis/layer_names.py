"""Layers as a reader calls them, from the names that they have in the model."""

import re


def readable(name: str) -> str:
    """ "layer 1" of `layers.0`, "block 3, attention query" of `blocks.2.attention.query`; numbers count from 1.

    A number belongs to the plural before it; one that stands alone, as in a bare sequence of modules, is a layer's.
    """
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
    """Where a layer lies along the depth: its name up to the first number, `blocks.2` of `blocks.2.attention.query`.

    Layers of one stage stand beside or inside each other (the input and the recurrent weights of a cell; the parts of
    a block). Its last is where the stage's output is: where a cell has its state, or a block adds to its input.
    """
    found = re.match(r"(?:[^.]*\.)*?\d+(?=\.|$)", name)
    return found[0] if found else name


def kind(name: str) -> str:
    """The name without its numbers: `blocks.N.attention.query`."""
    return re.sub(r"(?<![^.])\d+(?![^.])", "N", name)
