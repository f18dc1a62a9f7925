"""Keys and options of other programs that initbench lacks, and what to type instead: table `conf/elsewhere.yaml`."""

import re
from collections.abc import Collection, Iterable
from functools import cache
from pathlib import Path
from typing import Any

from initbench.config.aliases import read_key
from initbench.config.keys import BY_NAME
from initbench.config.registry import CONF, OVERLAY, describe, groups, read, root_keys
from initbench.errors import InputError, folded, nearest

KEYS_SHOWN_BY = "initbench list keys"


class CountsEpochs(InputError):
    """Training is asked for in epochs. Planning, which knows the data, says how many steps that is.

    override: as given; epochs: its values.
    """

    def __init__(self, message: str, override: str, epochs: Collection[Any]):
        super().__init__(message)
        self.override, self.epochs = override, epochs


@cache
def _table() -> dict[str, str]:
    """What to type, by the folded name."""
    table = read(CONF / "elsewhere.yaml")
    return {folded(name.strip()): here for names, here in table.items() for name in names.split(",")}


def is_epochs(key: str) -> bool:
    """Whether a key counts epochs, as `trainer.max_epochs` does."""
    return _table().get(folded(key.rpartition(".")[2])) == _table()["epochs"]


def here(name: str, value: str) -> str | None:
    """The end of an error line: what to type instead of a key or option of another program; None if it is unknown.

    A key of ours counts too: instead of `--learning-rate 0.1` it is `lr=0.1`.
    """
    known = _table().get(folded(name))
    if known is None:
        key = read_key(name.replace("-", "_"))
        return f"; did you mean {key}={value or '...'}?" if key in {*BY_NAME, *root_keys()} else None
    typed, _, remark = (part.strip() for part in known.partition("|"))
    typed = typed.replace("{name}", name).replace("{}", value or "...")
    if not typed:
        return f"; {remark}"
    return f"; did you mean {typed}?" + (f" ({remark})" if remark else "")


def instead_of(key: str, value: str, known: Iterable[str], config_dir: str | Path | None = None) -> str:
    """The end of a line about an unknown key: what is meant, or those of the `known` keys that look like it."""
    known = set(known)
    first, *_, last = [*re.split(r"\W", key), re.split(r"\W", key)[-1]]
    of_ours = any(other.startswith(f"{first}.") for other in known)
    for name in [re.sub(r"\W", "_", key), last, *([] if of_ours else [first])]:
        if text := here(name, value):
            return text
    holders = [group for group in groups() if group != OVERLAY and _has(group, last, config_dir)]
    if holders:
        return f"; did you mean {' or '.join(f'{group}.{last}={value}' for group in holders)}?"
    return nearest(key, known, KEYS_SHOWN_BY)


def _has(group: str, parameter: str, config_dir: str | Path | None) -> bool:
    return any(parameter in choice.parameters for choice in describe(group, config_dir))
