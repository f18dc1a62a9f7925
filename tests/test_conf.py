"""The registry (invariant 8): every YAML says what it is and fits its part, and every public part has one."""

import importlib
import inspect
import pkgutil
from itertools import takewhile
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import get_object
from omegaconf import OmegaConf
from torch import nn

from initbench.analysis.code_lines import FRAMEWORKS
from initbench.config import registry
from initbench.config.grid import expand
from initbench.config.registry import groups
from initbench.config.values import dotted
from initbench.parts import (
    activations,
    averages,
    curricula,
    data,
    inits,
    models,
    norms,
    optimizers,
    rebalance,
    schedules,
)
from initbench.parts.data import prepare
from initialized_layers import LOADS

CONF = Path(__file__).parent.parent / "conf"
YAMLS = sorted(CONF.glob("*/*.yaml"))
MODULES = {
    **{"init": inits, "act": activations, "data": data, "model": models, "norm": norms},
    **{
        "optim": optimizers,
        "schedule": schedules,
        "average": averages,
        "rebalance": rebalance,
        "curriculum": curricula,
    },
}
GIVEN = {  # what the build gives to a part; its other parameters are keys of its YAML
    "init": ["model", "batch", "generator", "act", "start", "report", "write_rest"],
    "act": ["x"],
    "data": [],
    "model": ["spec", "shape", "classes"],
    "norm": [],
    "optim": [],
    "schedule": [],
    "average": [],
    "rebalance": [],
    "curriculum": [],
}
FACTS = {  # besides the names that a choice has elsewhere, Also and Near
    "init": {
        *"Look Rates Cost Symmetric Theory Variance Convolution Gate Projection Embedding".split(),
        *("Bias", "Distribution", "Orthogonal", *FRAMEWORKS),
    },
    "act": {"Initializer", *FRAMEWORKS},
}
PARTS = [path for path in YAMLS if path.parent.name in GIVEN and path.stem != "none"]
DATA_KEYS = {
    name: parameter.default for name, parameter in inspect.signature(prepare).parameters.items() if name != "raw"
}


def name_of(path: Path) -> str:
    return f"{path.parent.name}/{path.stem}"


def content(path: Path) -> dict[str, Any]:
    """A choice's own keys."""
    plain = OmegaConf.to_container(OmegaConf.load(path))
    assert isinstance(plain, dict)
    return plain.get(path.parent.name, plain)  # type: ignore[return-value]  # some have defaults for root keys too


def own_parameters(group: str, target: Any) -> dict[str, Any]:
    """A part's parameters that a user can set, and their defaults."""
    parameters = inspect.signature(target).parameters
    return {name: p.default for name, p in parameters.items() if name not in GIVEN[group]}


def is_part(group: str, thing: Any) -> bool:
    """Does a public thing have the signature by which the build calls the parts of a group?"""
    if group == "optim":
        return inspect.isclass(thing) and hasattr(thing, "elementwise")
    if group == "schedule":
        return inspect.isclass(thing) and hasattr(thing, "factor")
    if group == "average":
        return inspect.isclass(thing) and hasattr(thing, "update")
    if group == "rebalance":
        return inspect.isclass(thing) and any(hasattr(thing, way) for way in rebalance.WAYS)
    if group == "curriculum":
        return inspect.isclass(thing) and hasattr(thing, "share")
    if not callable(thing) or (group == "init" and inspect.isclass(thing)):
        return False
    if group == "model" and not (inspect.isclass(thing) and issubclass(thing, nn.Module)):
        return False
    if group == "model" and any(kind.__module__.startswith("initbench.") for kind in thing.__subclasses__()):
        return False  # what others are made of
    signature = inspect.signature(thing)
    if group == "data":
        return signature.return_annotation is data.Raw and "raw" not in signature.parameters
    if group == "norm":
        return signature.return_annotation is norms.Norm
    if group == "model":
        return hasattr(thing, "supports")
    first = {"init": 3, "act": 1}[group]
    return list(signature.parameters)[:first] == GIVEN[group][:first]


def modules(part: ModuleType) -> list[ModuleType]:
    """A module, or a package with its modules."""
    names = [each.name for each in pkgutil.iter_modules(getattr(part, "__path__", []))]
    return [part, *(importlib.import_module(f"{part.__name__}.{name}") for name in names)]


@pytest.mark.parametrize("path", YAMLS, ids=name_of)
def test_it_says_what_it_is_and_whose(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    comments = list(takewhile(lambda line: line.startswith("#"), lines))
    if comments[0].startswith("# @package"):
        comments = comments[1:]
    first = next(n for n, line in enumerate(comments) if line.startswith("# Source"))
    sentence, source = comments[:first], comments[first]
    facts = registry.sentence_and_facts(path)[1].keys() - {"Source", "Also", "Near"}
    assert sentence and sentence[-1].endswith(".")
    assert source.startswith("# Source: ") and len(source) > len("# Source: ")
    assert facts <= FACTS.get(path.parent.name, set())


def test_facts_of_activations_and_initializers():
    """What the diagnosis suggests can be asked for; symmetric initializers and their looks."""
    inits = registry.shipped_facts("init")
    for act in registry.describe("act"):
        suggested = act.facts.get("Initializer", "none")
        assert suggested == "none" or expand([f"act={act.name}", *f"init={suggested}".split()]).runs
    assert {name for name, facts in inits.items() if "Symmetric" in facts} == {"zeros", "constant"}
    numbers = sorted(int(facts["Look"]) for facts in inits.values() if "Look" in facts)
    assert numbers == list(range(len(numbers)))


def test_lines_of_a_header_after_its_source(tmp_path):
    (tmp_path / "x.yaml").write_text(
        "# Note: x.\n# More.\n# Source: A\n# and B\n# Word: a: b\n# c\n# lower: d\n# Empty:\na: 1\n"
    )
    facts = {"Source": "A and B", "Word": "a: b c lower: d", "Empty": ""}
    assert registry.sentence_and_facts(tmp_path / "x.yaml") == ("Note: x. More.", facts)


@pytest.mark.parametrize("path", PARTS, ids=name_of)
def test_its_target_is_of_this_package_and_a_part_of_its_group(path):
    target = get_object(content(path)["_target_"])
    assert f"{target.__module__}.".startswith(f"{MODULES[path.parent.name].__name__}.")
    assert is_part(path.parent.name, target)


@pytest.mark.parametrize("path", PARTS, ids=name_of)
def test_its_keys_are_all_parameters_of_its_target_with_their_defaults(path):
    group, keys = path.parent.name, content(path)
    target = get_object(keys.pop("_target_"))
    if group == "data":
        assert keys.pop("standardize", "none") == "none"  # tokens, and what papers train on as it is
    expected = own_parameters(group, target)
    assert list(keys) == list(expected)
    if path.stem not in ("normal_small", "residual_mlp"):  # another part with other defaults
        assert keys == {key: list(value) if isinstance(value, tuple) else value for key, value in expected.items()}
        kinds = {key: list if isinstance(value, tuple) else type(value) for key, value in expected.items()}
        assert {key: type(value) for key, value in keys.items()} == kinds


def test_keys_that_every_dataset_has_are_those_of_its_preparation():
    assert registry.shared_keys("data") == DATA_KEYS


@pytest.mark.parametrize("group", MODULES)
def test_every_public_part_has_a_yaml_of_its_own_name(group):
    parts = {
        name
        for module in modules(MODULES[group])
        for name, thing in vars(module).items()
        if not name.startswith("_") and getattr(thing, "__module__", "") == module.__name__ and is_part(group, thing)
    }
    yamls = {path.stem: content(path)["_target_"].rpartition(".")[2] for path in PARTS if path.parent.name == group}
    assert parts == set(yamls.values())
    own = {
        target: name
        for name, target in yamls.items()
        if name.replace("_", "") == target.lower().replace("_", "").removesuffix("pacing")
    }
    assert own.keys() == parts


@pytest.mark.slow
@pytest.mark.parametrize("path", [path for path in YAMLS if path.parent.name in groups()], ids=name_of)
def test_it_composes_into_a_whole_configuration(path):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("config", [f"{path.parent.name}={path.stem}"])
    if path.parent.name in GIVEN:
        assert config[path.parent.name] == registry.with_shared(path.parent.name, content(path))
    whole: Any = OmegaConf.to_container(OmegaConf.load(path))
    composed: Any = dotted(OmegaConf.to_container(config))  # type: ignore[arg-type]
    if path.parent.name in whole:  # and root keys beside
        assert {key: composed[key] for key in dotted(whole)} == dotted(whole)


WITHOUT_GAIN = {"zeros", "constant", "mean_field", "critical"}  # sigma_w is a gain
WITHOUT_GAIN |= LOADS
WITHOUT_GAIN |= {"lsuv", "krahenbuhl", "autoinit", "metainit", "gradinit", "auto"}  # which find their own scale


def test_every_initializer_takes_a_bias_and_all_random_ones_with_fans_a_gain():
    for path in (CONF / "init").glob("*.yaml"):
        keys = content(path).keys()
        assert "bias" in keys or path.stem in LOADS
        assert ("gain" in keys) == (path.stem not in WITHOUT_GAIN)
