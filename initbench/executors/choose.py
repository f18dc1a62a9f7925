"""The executor of a name: `conf/executor/NAME.yaml`, or the user's own `DIR/executor/NAME.yaml`.

Where runs are trained does not change them, so that `executor` is no group of a run and no part of its id.
"""

from importlib import import_module
from pathlib import Path

from initbench.config.registry import CONF, read
from initbench.config.values import one_line
from initbench.errors import InputError, nearest
from initbench.executors.protocol import Executor


def choose_executor(name: str, config_dir: Path | None = None) -> Executor:
    """The executor that a YAML describes: `_target_` is its class, the other keys are its arguments.

    Raises InputError where there is no such YAML or it does not make an executor.
    """
    files = executor_files(config_dir)
    if name not in files:
        raise InputError(f"--executor {one_line(name)}: no such executor{nearest(name, files)}")
    arguments = read(files[name])
    module, _, target = str(arguments.pop("_target_", None)).rpartition(".")
    try:
        return getattr(import_module(module), target)(**arguments)
    except Exception as error:  # whatever importing and calling somebody's own class raises
        raise InputError(f"--executor {name}: {one_line(files[name])}: {one_line(error)}") from error


def executor_files(config_dir: Path | None = None) -> dict[str, Path]:
    """The YAML of each executor by its name; a user's own has a name of its own."""
    folders = [*([Path(config_dir) / "executor"] if config_dir else []), CONF / "executor"]
    return {path.stem: path for folder in folders for path in sorted(folder.glob("*.yaml"))}
