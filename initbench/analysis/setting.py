"""What was trained, in a few sentences, and what the name of each initializer means: from the runs' configuration."""

import json
import math
import re
from collections.abc import Mapping
from typing import Any

import pandas as pd

from initbench.analysis.axes import configuration, split_by_seed, tuned_keys, value_text
from initbench.analysis.contests import Contests
from initbench.config.keys import BY_SEED
from initbench.config.registry import OVERLAY, groups, root_defaults, shipped_choice
from initbench.config.values import dotted
from initbench.text import join_words, plural

MANY = 12  # pairs of values that `--zip` took together that are named
FEW = 4  # values that are named; of more, only how many there are
SAID = {"data", "model", "act", "depth", "width", "optim", "optim.momentum", "lr", "steps", "batch_size", "seed"}
MASKS = ("regularize.dropout", "regularize.dropconnect", "regularize.alpha_dropout")
NOISE = ("regularize.weight_noise", "gradient.noise")


def sentences(contests: Contests) -> list[str]:
    """What was trained on what and how, what else is not as by default, and what the seeds vary."""
    runs = contests.runs
    if runs.empty:
        return []
    return [_trained(contests), *_not_default(runs), *_varied(contests), *seeds_vary(runs)]


def _trained(contests: Contests) -> str:
    """ "Trained: mlp with relu, depth 5, width 100, on digits (1,437 training and 360 test examples), by sgd ..." """
    runs = contests.runs
    net = f"{'To be trained' if contests.done.empty else 'Trained'}: {_values(runs, 'model', 'model')}"
    if not (runs["depth"] == 0).all():  # a model of one's own may have no activation, no depth or no width
        known = {key: runs.dropna(subset=key) for key in ("act", "depth", "width") if runs[key].notna().any()}
        parts = [f"{key} {_values(here, key)}" for key, here in known.items() if key != "act"]
        parts = [_values(known["act"], "act", "activation"), *parts] if "act" in known else parts
        net += f" with {', '.join(parts)}" if parts else ""
    if contests.over != "init":
        net += f", init {_values(runs, 'init', 'initializer')}"
    steps, batch = _values(runs, "steps"), _values(runs, "batch_size")
    seeds = sorted(runs["seed"].dropna().unique())
    which = f" ({seeds[0]:.0f})" if len(seeds) == 1 else f" ({_ranges(seeds)})"
    how = f"by {_optimizers(runs)}, {steps} steps of {batch} examples"
    return f"{net}, on {_data(runs)}, {how}; {plural(len(seeds), 'seed')}{which}."


def _optimizers(runs: pd.DataFrame) -> str:
    """ "sgd (learning rate 0.01, momentum 0.9) or adam (learning rate 0.001)" """
    if runs["optim"].nunique() > FEW:
        return f"{_values(runs, 'optim', 'optimizer')}, {_rate(runs)}"
    return _either([f"{optim} ({_steps_of(here)})" for optim, here in runs.groupby("optim", sort=False)])


def _steps_of(runs: pd.DataFrame) -> str:
    """The rate and the momentum of one optimizer."""
    momentum = _only(runs, "optim.momentum")
    return f"{_rate(runs)}, momentum {value_text(momentum)}" if momentum else _rate(runs)


def _rate(runs: pd.DataFrame) -> str:
    tuned = runs["tuned"] if "tuned" in runs else pd.Series(False, index=runs.index)
    if tuned.all():
        return f"each at its best {join_words('learning rate' if key == 'lr' else key for key in tuned_keys(runs))}"
    return f"learning rate {_values(runs[~tuned], 'lr')}{' or each at its best' if tuned.any() else ''}"


def _data(runs: pd.DataFrame) -> str:
    """ "digits (1,437 training and 360 test examples)"; without the numbers where they differ or were not recorded."""
    sizes = {part: _only(runs, f"{part}_examples") for part in ("training", "test")}
    sizes["training"] = _only(runs, "train_examples")
    if None in sizes.values():
        return _values(runs, "data", "dataset")
    counts = join_words(f"{size:,.0f} {part}" for part, size in sizes.items())
    return f"{_values(runs, 'data', 'dataset')} ({counts} examples)"


def _only(runs: pd.DataFrame, key: str) -> Any:
    """The value that a key has in all runs that have one; None where there is none, or several."""
    values = runs[key].dropna().unique() if key in runs else []
    return values[0] if len(values) == 1 else None


def _values(runs: pd.DataFrame, key: str, noun: str = "") -> str:
    """ "relu or tanh", "5, 10 or 20"; of more than FEW values "6 activations" or "6 values from 1 to 32"."""
    values = runs[key].drop_duplicates()
    numeric = pd.api.types.is_numeric_dtype(values)
    values = values.sort_values() if numeric else values
    texts = [_thousands(value) for value in values]
    if len(texts) > FEW:
        return f"{len(texts)} values from {texts[0]} to {texts[-1]}" if numeric else plural(len(texts), noun)
    return _either(texts)


def _thousands(value: Any) -> str:
    """A whole number with commas, anything else as a user would type it."""
    whole = isinstance(value, float) and value.is_integer() and abs(value) >= 1000
    return f"{int(value):,}" if whole or (isinstance(value, int) and value >= 1000) else value_text(value)


def _either(texts: list[str]) -> str:
    """ "5, 10 or 20" """
    *first, last = texts
    return f"{', '.join(first)} or {last}" if first else last


def _ranges(seeds: list[Any]) -> str:
    """ "0 to 4", or "0, 2 and 7" """
    seeds = [int(seed) for seed in seeds]
    if seeds == list(range(seeds[0], seeds[-1] + 1)):
        return f"{seeds[0]} to {seeds[-1]}"
    return join_words(map(str, seeds)) if len(seeds) <= 2 * FEW else f"{seeds[0]} to {seeds[-1]}, not all"


# ---------------------------------------------------------------- what is not as by default, and what varies


def _not_default(runs: pd.DataFrame) -> list[str]:
    """The keys that have one value in all runs, which is not their default: "data.standardize=feature"."""
    default, found = defaults(runs), []
    for key in configuration(runs):
        if key in SAID or key == "init" or key.startswith(("init.", "tune.")) or key not in default:
            continue
        values = runs[key].map(value_text).unique()
        if len(values) == 1 and values[0] not in ("null", _default_text(default[key])):
            found.append(f"{key}={values[0]}")
    return [f"Different from the defaults: {', '.join(found)}."] if found else []


def _default_text(value: Any) -> str:
    return json.dumps(value) if isinstance(value, list) else value_text(value)


def defaults(runs: pd.DataFrame) -> dict[str, Any]:
    """The default of each key, as far as one can know it: of the root, then of the choices that all runs have."""
    default: dict[str, Any] = root_defaults() | groups()
    chosen = {group: name for group in groups() if isinstance(name := _only(runs, group), str)}
    for group, name in sorted(chosen.items(), key=lambda pair: pair[0] == OVERLAY):  # the mitigation comes last
        if (choice := shipped_choice(group, name)) is not None:
            default |= dotted(choice.root) | {f"{group}.{key}": value for key, value in choice.parameters.items()}
    return default


def _varied(contests: Contests) -> list[str]:
    """The axes that the first sentence does not name: "Varied: mitigation (none, batchnorm or adam)."."""
    runs = contests.runs
    axes = [axis for axis in contests.axes if axis not in SAID | {"tuned", "init"}]
    named = [f"{axis} ({_values(runs, axis, 'value')})" for axis in axes]
    return ([f"Varied: {'; '.join(named)}."] if named else []) + together(contests)


def together(contests: Contests) -> list[str]:
    """What goes together by `--zip`: ["init.sigma_w goes with act: 1 with tanh, 1.41 with relu."]"""
    told = []
    for key, other in contests.followers.items():
        pairs = contests.results.runs[[other, key]].dropna(subset=key).drop_duplicates()
        values = [f"{value_text(value)} with {value_text(of)}" for of, value in pairs.itertuples(index=False)]
        told.append(f"{key} goes with {other}: {', '.join(values[:MANY])}{', ...' * (len(values) > MANY)}.")
    return told


def seeds_vary(runs: pd.DataFrame) -> list[str]:
    """Which sources of variance the seeds cover (Bouthillier et al. 2021); nothing where there is one seed."""
    if runs["seed"].nunique() < 2:
        return []
    varied = ["the weights", "the order of the batches"]
    varied += ["the masks"] if _used(runs, MASKS) else []
    varied += ["the noise"] if _used(runs, NOISE) else []
    if split_by_seed(runs):
        return [f"Seeds vary {join_words([*varied, 'the split'])}."]
    drawn = "data.split_seed" in runs and runs["data.split_seed"].astype("str") == BY_SEED
    if isinstance(drawn, pd.Series) and drawn.any():
        return [f"Seeds vary {join_words(varied)}, and the split where data.split_seed=seed."]
    same = "all runs" if "data.split_seed" not in runs or runs["data.split_seed"].nunique() < 2 else "each contest"
    return [f"Seeds vary {join_words(varied)}; the split is the same in {same}."]


def _used(runs: pd.DataFrame, keys: tuple[str, ...]) -> bool:
    return any(key in runs and (runs[key].notna() & (runs[key] != 0)).any() for key in keys)


# ---------------------------------------------------------------- what names mean


def meanings(contests: Contests) -> dict[str, str]:
    """What each of the initializers, or whatever else competes, is, by its label.

    "normal" is "W ~ N(0, 1^2), independent of the layer's size": the first comment line of its YAML, with the values of
    its parameters. A user's own is named by its function. Nothing where numbers compete, as with `--contest lr`.
    """
    group = contests.over
    if group not in groups():
        return {}
    found = {}
    for label, runs in contests.runs.groupby("label", sort=False):
        given = {key.removeprefix(f"{group}."): _only(runs, key) for key in runs if str(key).startswith(f"{group}.")}
        parameters = {name: value for name, value in given.items() if value is not None}
        name = str(runs[group].iloc[0])
        choice = shipped_choice(group, name)
        if choice is None:
            found[str(label)] = _own(runs, group, name, parameters)
        else:
            found[str(label)] = _meaning(choice.sentence.rstrip("."), parameters, choice.parameters)
    return found


def _own(runs: pd.DataFrame, group: str, name: str, parameters: Mapping[str, Any]) -> str:
    """A user's own choice of a group: the dotted path of its function, and its parameters."""
    target = name
    for config in runs["config"].dropna() if "config" in runs else ():
        target = (json.loads(config).get(group) or {}).get("_target_", name)
        break
    given = ", ".join(f"{key} = {value_text(value)}" for key, value in parameters.items())
    return f"the function {target}{f' with {given}' if given else ''}"


def _meaning(sentence: str, parameters: Mapping[str, Any], default: Mapping[str, Any]) -> str:
    """A sentence with numbers in place of parameters; those that it does not name follow, unless at their default."""
    others = []
    for name, value in parameters.items():
        number, changed = _number(value), value_text(value) != value_text(default.get(name))
        if re.search(place := _place(name), sentence):
            sentence = (
                sentence if name == "gain" and not changed else re.sub(place, lambda _, number=number: number, sentence)
            )
        elif changed and re.search(place := _place_of_default(default.get(name)), sentence):
            sentence = re.sub(place, lambda _, number=number: number, sentence)
        elif changed:
            others.append(f"{name.replace('_', ' ')} {value_text(value)}")
    return "; ".join([sentence, *([", ".join(others)] if others else [])])


def _place(name: str) -> str:
    """Where a sentence names a parameter; "a" before a word is English."""
    return rf"\b{re.escape(name)}\b" + (r"(?! [a-z])" if len(name) == 1 else "")


def _place_of_default(value: Any) -> str:
    """Where a sentence has a parameter's default, as "N(0, 0.01^2)" has; whole numbers stand for other things too."""
    telling = isinstance(value, float) and not value.is_integer()
    return rf"(?<![\w.]){re.escape(value_text(value))}(?![\w.])" if telling else r"(?!)"


def _number(value: Any) -> str:
    """A value in a formula; a negative one in parentheses, so that its square is what it should be."""
    if value == "auto":
        return "the activation's gain"
    text = value_text(value)
    return f"({text})" if isinstance(value, int | float) and not math.isnan(value) and value < 0 else text
