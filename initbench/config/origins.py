"""Where each value of a run comes from: `conf/config.yaml`, a choice's YAML, a mitigation's, or the command line."""

from collections.abc import Iterable
from pathlib import Path

from initbench.config.compose import overlay
from initbench.config.overrides import read_axes
from initbench.config.registry import CONF, OVERLAY, find, groups, is_dotted_path, own_and_root, shared_keys
from initbench.config.run import Run
from initbench.config.tune import is_tuned
from initbench.config.values import dotted

DEFAULTS = "conf/config.yaml"
COMMAND_LINE = "command line: "


def origins(run: Run, overrides: Iterable[str], config_dir: Path | None = None) -> dict[str, str]:
    """By group ("init") and by dotted key ("init.gain"), the file that sets it, or "command line: depth=5,20".

    overrides: those that the run was asked for with. Later files replace earlier ones, in the order of `config.grid`.
    """
    axes = read_axes(overrides, None, config_dir)
    mitigation = _file(OVERLAY, run.choices[OVERLAY], config_dir)
    laid_over = overlay(find(OVERLAY, run.choices[OVERLAY], config_dir), config_dir)
    found = dict.fromkeys([*groups(), *dotted(run.config)], DEFAULTS)
    for group, name in run.choices.items():
        if group != OVERLAY and not is_dotted_path(name):
            found |= dict.fromkeys(_set_by(run, group, find(group, name, config_dir)), _file(group, name, config_dir))
    found |= dict.fromkeys([*laid_over.replaces, *dotted(laid_over.content)], mitigation)
    for axis in axes:
        given = [key for key in found if key == axis.key or (key.startswith(f"{axis.key}.") and not axis.is_group)]
        given += [f"{axis.key}._target_"] if axis.is_group and is_dotted_path(run.choices[axis.key]) else []
        found |= dict.fromkeys(given, f"{COMMAND_LINE}{axis.text.strip(chr(39))}")
    if is_tuned(axes) and found["data.val_fraction"] == DEFAULTS:  # the grid sets it
        tuned = " ".join(axis.text.strip("'") for axis in axes if axis.tuned)
        found["data.val_fraction"] = f"{COMMAND_LINE}{tuned}"
    return {key: origin for key, origin in found.items() if key in groups() or key in dotted(run.config)}


def origin(run: Run, key: str, overrides: Iterable[str], config_dir: Path | None = None) -> str:
    """Where the value of one key comes from, as the beginning of an error line: "'init.std=-1'" or a file."""
    found = origins(run, overrides, config_dir).get(key, "")
    return repr(found.removeprefix(COMMAND_LINE)) if found.startswith(COMMAND_LINE) else found


def _set_by(run: Run, group: str, path: Path) -> list[str]:
    """The keys that the YAML of a choice sets, or a YAML that it builds on."""
    own, root = own_and_root(group, path)
    keys = dotted(run.config.get(group, {}))
    return [*(f"{group}.{key}" for key in keys if key in dotted(own) or key not in shared_keys(group)), *dotted(root)]


def _file(group: str, name: str, config_dir: Path | None) -> str:
    """A choice's YAML: "conf/init/he.yaml", or the path of a user's."""
    path = find(group, name, config_dir)
    return f"conf/{group}/{path.name}" if path.is_relative_to(CONF) else str(path)
