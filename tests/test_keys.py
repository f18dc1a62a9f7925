"""The list of keys agrees with conf/: every key is listed, with the sentence and a default that its YAML has."""

import re
from typing import Any

import pytest
from omegaconf import OmegaConf

from initbench.config.grid import expand
from initbench.config.keys import BY_NAME, KEYS, RULES, WITHOUT_EFFECT, without_effect
from initbench.config.registry import CONF, describe, groups, root_keys, shared_keys
from initbench.config.values import dotted

CONTENT: Any = OmegaConf.to_container(OmegaConf.load(CONF / "config.yaml"))
DEFAULTS = groups() | {key: value for key, value in dotted(CONTENT).items() if key != "defaults"}


def comments() -> dict[str, str]:
    """The comment behind each key of conf/config.yaml, by dotted key."""
    found, section = {}, ""
    for line in (CONF / "config.yaml").read_text(encoding="utf-8").splitlines():
        if match := re.fullmatch(r"(?P<indent> *)(?:- )?(?P<key>\w+):(?: +[^#]\S*)?(?: +# (?P<comment>.*))?", line):
            section = "" if not match["indent"] or line.lstrip().startswith("- ") else section
            name = f"{section}{match['key']}"
            section = section if match["indent"] else f"{match['key']}."
            if match["comment"]:
                found[name] = match["comment"]
    return found


def test_every_key_is_listed_once_with_the_sentence_of_its_yaml():
    assert len(BY_NAME) == len(KEYS)
    assert DEFAULTS.keys() == {*groups(), *root_keys(), *(f"{g}.{key}" for g in groups() for key in shared_keys(g))}
    assert comments() == {key: BY_NAME[key].sentence for key in DEFAULTS}


def test_keys_that_are_not_in_config_yaml_are_parameters_of_choices():
    for key in BY_NAME.keys() - DEFAULTS.keys():
        group, _, name = key.partition(".")
        assert any(name in choice.parameters for choice in describe(group)), key


@pytest.mark.parametrize("key", DEFAULTS)
def test_defaults_keep_the_rules(key):
    entry, default = BY_NAME[key], DEFAULTS[key]
    assert key not in RULES or RULES[key][1](default)
    assert not entry.without or str(default).replace("None", "null") in entry.without
    assert entry.plain in (None, default)
    assert (entry.null_means is None) or (default is None and RULES[key][1](entry.null_means))


def test_what_has_an_effect_depends_on_early_stopping():
    assert "eval_every" in without_effect({"regularize.patience": None}) == WITHOUT_EFFECT
    assert WITHOUT_EFFECT - without_effect({"regularize.patience": 3}) == {"eval_every"}


def test_shared_keys_are_those_of_every_shipped_choice_and_of_a_users_yaml(tmp_path):
    for group in ("init", "data"):
        (tmp_path / group).mkdir()
        (tmp_path / group / "mine.yaml").write_text("_target_: mine.part\n")
        for choice in describe(group, tmp_path):
            assert shared_keys(group).keys() <= choice.parameters.keys()
    (run,) = expand(["init=mine", "init.recurrent=orthogonal", "data.val_fraction=0.1"], config_dir=tmp_path).runs
    assert run.config["init"] == {
        "_target_": "mine.part",
        "recurrent": "orthogonal",
        "forget_bias": None,
        "bias_std": None,
        "freeze": None,
    }
    (run,) = expand(["init=my.init", "data=my.data"]).runs
    assert run.config["init"] == {"_target_": "my.init"} and run.config["data"] == {"_target_": "my.data"}
