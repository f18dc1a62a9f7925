"""The call of a part: its function by its dotted path, its parameters by its signature, errors in one line."""

import inspect
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from hydra.utils import get_object

from initbench.config.aliases import same_here
from initbench.config.registry import choices, groups
from initbench.errors import DoesNotFit, InputError, nearest

OTHERS = ("initbench.parts.models.Torchvision",)  # which make networks that know nothing of initbench
Config = Mapping[str, Any]  # a run's resolved configuration, or a section of it: plain dicts and lists

logging.getLogger(get_object.__module__).setLevel(logging.CRITICAL)  # what it logs, `bound` says in its line


def shipped(section: Config) -> bool:
    """Is this choice's function one of initbench's own? Not where it makes another library's network."""
    path = str(section.get("_target_"))
    return path.startswith("initbench.") and path not in OTHERS


def bound(
    group: str, section: Config, *, positional: int = 0, offered: Iterable[str] = ()
) -> tuple[Callable, dict[str, Any]]:
    """A section's target and its parameters, once they fit the target's signature.

    The call will give `positional` arguments first, and by name those `offered` that the signature has. Raises
    InputError naming what is wrong, DoesNotFit for a parameter that the target hasn't: a mitigation may set one that
    suits other choices.
    """
    path = str(section.get("_target_"))
    try:
        target = get_object(path)
    except Exception as error:
        reason = " ".join(str(error).split("\n")[:2]).strip() or type(error).__name__
        hint = same_here(group, path) or _first_word(group, path)
        raise InputError(f"{group}._target_={path} can't be imported: {reason}{hint}") from error
    _refuse_what_runs_later(group, path, target)
    parameters = {key: value for key, value in section.items() if key != "_target_"}
    try:
        signature = dict(list(inspect.signature(target).parameters.items())[positional:])
    except (TypeError, ValueError) as error:
        hint = same_here(group, path) or "; wrap it in a function of your own"
        raise InputError(f"{group}={path} doesn't reveal its parameters{hint}") from error
    if not takes_any(target):
        for key in parameters.keys() - signature.keys():
            raise DoesNotFit(
                f"{group}.{key}: {path} has no such parameter{nearest(key, signature.keys() - set(offered))}"
            )
    for name, parameter in signature.items():
        needed = parameter.default is parameter.empty and parameter.kind not in (
            parameter.VAR_POSITIONAL,
            parameter.VAR_KEYWORD,
        )
        if needed and name not in parameters and name not in offered:
            hint = same_here(group, path) if is_foreign(target) else ""
            raise InputError(f"{group}: {path} needs {group}.{name}{hint}")
    return target, parameters


def _first_word(group: str, path: str) -> str:
    """A hint where a choice's name is followed by a point, such as `he.foo`."""
    word = path.partition(".")[0]
    return f"; did you mean {group}={word}?" if group in groups() and word in choices(group) else ""


def _refuse_what_runs_later(group: str, path: str, target: Any) -> None:
    """InputError for what is no function or class, and for what a call makes but does not run."""
    if not callable(target):
        raise InputError(f"{group}._target_={path} is no function or class")
    if inspect.isgeneratorfunction(target) or inspect.isasyncgenfunction(target):
        raise InputError(f"{group}={path} is a generator, so a call runs nothing; write a function without yield")
    if inspect.iscoroutinefunction(target):
        raise InputError(f"{group}={path} is an async function, so a call runs nothing; write it without async")
    if group == "init" and inspect.isclass(target):
        raise InputError(
            f"init={path} is a class; an initializer is a function f(model, batch, generator) that writes the weights"
        )


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
        reason = " ".join(str(error).split())
        hint = same_here(group, name_of(target)) if is_foreign(target) else ""
        raise InputError(f"{group}: {name_of(target)} failed with {type(error).__name__}: {reason}{hint}") from error


def is_foreign(target: Callable) -> bool:
    """Whether a part is another library's own, which does not know how initbench calls it: `torch.nn.init.ones_`."""
    return str(getattr(target, "__module__", "")).partition(".")[0] in ("torch", "torchvision", "keras", "jax", "flax")


def name_of(target: Callable) -> str:
    """The name of a function or class; of another object, its class's."""
    return getattr(target, "__name__", type(target).__name__)
