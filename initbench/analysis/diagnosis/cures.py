"""Overrides to try where no run of the sweep shows what helps: functions from a cell to an override, or None.

Each looks at what was measured; none names what is set already (`advice` sees to that).
"""

import json
import math
from typing import Any

from initbench.analysis.axes import value_text
from initbench.analysis.diagnosis.conditions import DEFAULT_BATCH, NO_DISTANCE, Cell, carried_over
from initbench.analysis.diagnosis.settings import number, shipped
from initbench.config.registry import shipped_facts
from initbench.outcomes import ABOVE_CHANCE, falling

SUGGESTED = "lecun init.gain=auto"  # for an activation whose YAML names no initializer that trains 20 layers of it
ABSOLUTE = ("init.std", "init.a", "init.value")  # sizes of weights that don't follow the number of inputs
MODELS_WITH_NORM = ("mlp", "residual_mlp", "cnn", "conv1d", "resnet")
HEALTHY_UPDATE = 1e-3  # of the weights' norm, by the rule of thumb
MOST_TIMES_LONGER = 10


def is_own(cell: Cell, group: str) -> bool:
    """Whether a choice is somebody's own function or file, of which nothing is known here."""
    config = cell.get("config")
    config = json.loads(config) if isinstance(config, str) else config or {}
    target = (config.get(group) or {}).get("_target_", "initbench.")
    return not str(target).startswith("initbench.") or cell.get(group) not in shipped(group)


def has(cell: Cell, key: str) -> bool:
    """Whether the run has a value for a key; the parameters of other choices are null."""
    value = cell.get(key)
    return value is not None and not (isinstance(value, float) and math.isnan(value)) and str(value) != "<NA>"


def settings_of(override: str) -> dict[str, str]:
    """ "init=lecun init.gain=auto" by key."""
    return dict(setting.split("=", 1) for setting in override.split())


def is_set(cell: Cell, override: str) -> bool:
    """Whether the run has all of these settings already."""
    return all(value_text(cell.get(key)) == value for key, value in settings_of(override).items())


def one_digit(value: float) -> str:
    """ "0.003" """
    return f"{float(f'{value:.0e}'):g}"


# ---------------------------------------------------------------- the start


def suited_init(cell: Cell) -> str | None:
    """The initializer that trains deep networks of this activation; None where the activation is not known."""
    facts = shipped_facts("act").get(activation(cell))
    if facts is None:
        return None
    suggested = facts.get("Initializer", SUGGESTED)
    return f"init={SUGGESTED if suggested == 'none' else suggested}"


def activation(cell: Cell) -> str:
    """The name of the hidden layers' activation, as the model was seen to compute it; else the one that was set."""
    if isinstance(cell.get("activation"), str):
        return cell["activation"]
    return "" if is_own(cell, "model") or is_own(cell, "act") else str(cell["act"])


def random_init(cell: Cell) -> str:
    """The same; He's where the activation is not known."""
    return suited_init(cell) or "init=he"


def scaled_init(cell: Cell) -> str | None:
    """The same, where the size of the weights does not follow their number."""
    return random_init(cell) if any(has(cell, key) for key in ABSOLUTE) or is_own(cell, "init") else None


def _gain(cell: Cell, growth: float) -> str | None:
    """A gain that would undo this growth per layer, if weights of another size did nothing else."""
    gain = number("init.gain", cell.get("init.gain"))
    if not (gain > 0 and growth > 0 and math.isfinite(growth)):
        return None
    return f"init.gain={gain / growth:.2g}"


def smaller_gain(cell: Cell) -> str | None:
    if number("model.branch_scale", cell.get("model.branch_scale")):
        return None  # of layers that add to their input, the growth hardly depends on the weights
    growths = [cell["grad_growth"], cell["signal_growth"], _amplification(cell)]
    return _gain(cell, max((growth for growth in growths if growth > 1), default=math.nan))


def larger_gain(cell: Cell) -> str | None:
    """Not where the weights are already those that suit the activation: then depth itself is too much."""
    suited = suited_init(cell)
    if suited is not None and is_set(cell, suited):
        return None
    return _gain(cell, min((g for g in (cell["grad_growth"], cell["signal_growth"]) if g < 1), default=math.nan))


def _amplification(cell: Cell) -> float:
    """By how much each layer multiplies differences between inputs on their way to the output."""
    return (cell["output_spread"] / cell["input_size"]) ** (1 / (cell["hidden_layers"] + 1))


def smaller_branches(cell: Cell) -> str | None:
    """Residual branches scaled so that L of them add up to no more than one: by 1 over the root of L."""
    scale, depth = number("model.branch_scale", cell.get("model.branch_scale")), cell["depth"]
    return f"model.branch_scale={one_digit(depth**-0.5)}" if scale > depth**-0.5 else None


def skip_connections(cell: Cell) -> str | None:
    """Layers that start as the identity (De & Smith 2020; Bachlechner et al. 2020)."""
    plain = cell["model"] == "mlp" and not is_own(cell, "model") and not has(cell, "model.branch_scale")
    return "mitigation=residual_learned" if plain and cell.get("mitigation", "none") == "none" else None


def normalized(cell: Cell) -> str | None:
    takes_it = cell["model"] in MODELS_WITH_NORM and not is_own(cell, "model")
    return "mitigation=layernorm" if takes_it and cell.get("norm", "none") == "none" else None


def no_bias(cell: Cell) -> str | None:
    return "init.bias=0" if number("init.bias", cell.get("init.bias")) else None


def isometry(cell: Cell) -> str | None:
    """Recurrent weights that keep lengths."""
    keeps = ("orthogonal", "identity")
    recurrent = cell["init.recurrent"] if has(cell, "init.recurrent") else cell["init"]
    return None if recurrent in keeps else "init.recurrent=orthogonal"


def gated_cells(cell: Cell) -> str | None:
    return "model=lstm" if cell["model"] == "rnn" else "model=gru" if cell["model"] == "lstm" else None


def open_forget_gate(cell: Cell) -> str | None:
    return "init.forget_bias=1" if cell["model"] == "lstm" else None


def clip(cell: Cell) -> str:
    return "gradient.clip_norm=1"


# ---------------------------------------------------------------- training


def lower_rate(cell: Cell) -> str:
    """A tenth, or so low that the largest update seen would have been a healthy one."""
    share = cell["largest_update"]
    factor = 0.1 if math.isnan(share) or share <= 0 else min(0.1, 10 * HEALTHY_UPDATE / share)
    return f"lr={one_digit(cell['lr'] * factor)}"


def rate_for_batch(cell: Cell) -> str:
    """Smaller by as much as batches are smaller than the default."""
    return f"lr={one_digit(cell['lr'] * cell['batch_size'] / DEFAULT_BATCH)}"


def longer(cell: Cell) -> str | None:
    """As many steps as it would take at the pace of the last quarter; None where the loss was not falling, or where the
    answers on the test part are no better than the commonest label."""
    above_chance = not carried_over(cell["test_acc"], cell["majority_acc"]) <= ABOVE_CHANCE
    if not falling(cell) or not above_chance:
        return None
    fall = cell["third_quarter_loss"] - cell["last_quarter_loss"]  # in a quarter of the steps
    left = cell["last_quarter_loss"] - number("", cell.get("outcome.learned_ratio", 0.5)) * cell["constant_loss"]
    times = min(max(2.0, 2 * (1 + left / fall / 4)), MOST_TIMES_LONGER)
    return f"steps={int(float(one_digit(int(cell['steps']) * times)))}"


def higher_rate(cell: Cell) -> str:
    """Ten times as high; where weights hardly move, so high that they would move as far as they are long."""
    crawls = cell["distance"] < NO_DISTANCE
    return f"lr={one_digit(cell['lr'] / cell['distance'] if crawls else 10 * cell['lr'])}"


def another_optimizer(cell: Cell) -> str | None:
    return "optim=adam" if cell.get("optim") == "sgd" else None


# ---------------------------------------------------------------- data


def standardized(cell: Cell) -> str | None:
    return "data.standardize=global" if _raw(cell) and not _spoiled(cell) else None


def standardized_by_feature(cell: Cell) -> str | None:
    by_feature = cell.get("data.standardize") == "feature"
    return "data.standardize=feature" if not by_feature and not _spoiled(cell) else None


def _spoiled(cell: Cell) -> bool:
    """Whether inputs are scaled after they are standardized."""
    return has(cell, "data.scale") or has(cell, "data.spread")


def all_examples(cell: Cell) -> str | None:
    return "data.train_size=null" if has(cell, "data.train_size") else None


def _raw(cell: Cell) -> Any:
    return cell.get("data.standardize") == "none"


# Of gradients that vanish over time, in training and at its end
KEEP_MEMORY = "Use norm-preserving recurrent weights, gated cells, or an LSTM whose forget gate starts open."
MEMORY = (isometry, gated_cells, open_forget_gate)
