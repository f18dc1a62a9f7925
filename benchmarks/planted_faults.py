"""Faults planted one at a time: is each found, named, and cured by the first thing that the diagnosis says to try?

    python benchmarks/planted_faults.py         # five minutes on one core; --write: into README.md

Each training has one fault, in a shipped model or in somebody's own (`planted_parts.py`), and is at its defaults
otherwise. A diagnosis is right if it names the fault and, where a setting brings it about, that setting. Then the
first advice is applied: both runs must learn, and must have no fault any more. The controls must have none at all.
"""

import argparse
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from readme import write

from initbench.analysis.contests import Contests
from initbench.analysis.diagnosis.diagnose import diagnose
from initbench.planning.sweep import prepare
from initbench.results.load import load

BASE = "depth=4 width=32"
SEEDS = 2
FLAT, FUNCTIONAL = "model._target_=planted_parts.flat", "model._target_=planted_parts.Functional"


@dataclass(frozen=True)
class Planted:
    """One fault, or none."""

    name: str
    overrides: str
    fault: str = ""  # what the diagnosis must call it; "" for a control
    cause: str = ""  # the setting that brings it about, where it is one
    by_hand: str = ""  # overrides that do what the advice says in words, where no key can: other data, another model


PLANTED = [
    # the start
    Planted("gradients vanish", "act=sigmoid init=xavier depth=10", "vanishing"),
    Planted("signals vanish", "init=torch_default depth=20", "vanishing"),
    Planted("50 layers", "depth=50", "vanishing"),
    Planted("weights of deviation 1", "init=normal", "exploding"),
    Planted("a gain of 2, linear", "act=linear init=orthogonal depth=20 init.gain=2", "exploding", "init.gain=2"),
    Planted("Xavier in 30 residual layers", "model=residual_mlp init=xavier depth=30", "exploding"),
    Planted("a gain of 3", "init.gain=3", "exploding", "init.gain=3"),
    Planted("biases of -10", "init.bias=-10", "dead units", "init.bias=-10"),
    Planted("biases of 10", "init.bias=10", "biases too large", "init.bias=10"),
    Planted("tanh with large weights", "act=tanh init=normal depth=10 width=100", "saturated"),
    Planted("all weights 0", "init=zeros", "symmetric units"),
    Planted(
        "equal weights inside",
        "data=mnist1d init._target_=planted_parts.symmetric_layers +init.many=2",
        "symmetric units",
    ),
    Planted("a first loss of 58 nats", "init=normal depth=1", "first loss too large"),
    # settings
    Planted("rate 10", "lr=10", "rate too high", "lr=10"),
    Planted("rate 0.3 with Adam", "optim=adam lr=0.3", "rate too high", "lr=0.3"),
    Planted("rate 0.000001", "lr=1e-6", "too slow", "lr=1e-06"),
    Planted("12 steps", "steps=12", "too slow", "steps=12"),
    Planted("weight decay 1", "regularize.weight_decay=1", "penalty too strong", "regularize.weight_decay=1"),
    Planted("L1 penalty 0.1", "regularize.l1=0.1", "penalty too strong", "regularize.l1=0.1"),
    Planted("L1 penalty 0.1 with Adam", "optim=adam regularize.l1=0.1", "penalty too strong", "regularize.l1=0.1"),
    Planted("clipping at 0.0001", "gradient.clip_norm=1e-4", "clipping too tight", "gradient.clip_norm=0.0001"),
    Planted("momentum 0.999", "optim.momentum=0.999", "momentum too high", "optim.momentum=0.999"),
    Planted("dropout 0.95", "regularize.dropout=0.95", "dropout too strong", "regularize.dropout=0.95"),
    Planted("gradient noise", "gradient.noise=100", "rate too high", "gradient.noise=100"),
    Planted("batches of 1", "batch_size=1", "batch too small", "batch_size=1"),
    # data
    Planted("inputs times 100", "data.scale=100", "inputs off scale", "data.scale=100"),
    Planted("inputs times 16", "data.scale=16 depth=20", "inputs off scale", "data.scale=16"),
    Planted("inputs times 0.001", "data.scale=0.001", "inputs off scale", "data.scale=0.001"),
    Planted(
        "inputs around 300",
        "data._target_=planted_parts.raw_offset data.standardize=none",
        "inputs off scale",
        "data.standardize=none",
    ),
    Planted("one feature in another unit", "data._target_=planted_parts.other_unit", "features of unequal scale"),
    Planted("a constant feature", "data._target_=planted_parts.constant_feature", "features of unequal scale"),
    Planted("spread features", "data.spread=3", "features of unequal scale", "data.spread=3"),
    Planted("one picture for all", "data._target_=planted_parts.same_picture", "nothing to learn", by_hand=BASE),
    Planted(
        "shuffled labels", "data._target_=planted_parts.shuffled_labels", "labels unrelated to inputs", by_hand=BASE
    ),
    Planted("inputs of noise", "data._target_=planted_parts.noise", "labels unrelated to inputs", by_hand=BASE),
    Planted("four labels of five by chance", "data._target_=planted_parts.noisy_labels", "noisy labels", by_hand=BASE),
    Planted("one class of twenty", "data._target_=planted_parts.imbalanced", "class imbalance", by_hand=BASE),
    Planted("100 examples", "data=mnist1d data.train_size=100", "memorized", "data.train_size=100"),
    Planted("an inverted test part", "data._target_=planted_parts.inverted_test_part", "memorized", by_hand=BASE),
    Planted(
        "recurrent weights of deviation 1",
        "model=rnn data=digits_rows act=relu depth=1 init.recurrent=normal",
        "exploding over time",
        "init.recurrent=normal",
    ),
    Planted(
        "a convolutional network at rate 1",
        "model=cnn depth=2 width=8 steps=300 optim=adam lr=1",
        "rate too high",
        "lr=1",
    ),
    # models of somebody's own
    Planted("one Sequential of 8 sigmoids", f"{FLAT} depth=8 init=xavier", "vanishing"),
    Planted("nn.ReLU, biases of -10", f"{FLAT} +model.phi=ReLU init.bias=-10", "dead units", "init.bias=-10"),
    Planted("nn.ReLU, weights of deviation 1", f"{FLAT} +model.phi=ReLU init=normal", "exploding"),
    Planted(
        "functional tanh, large weights", f"{FUNCTIONAL} +model.phi=tanh init=normal depth=10 width=100", "saturated"
    ),
    Planted("functional ReLU, rate 10", f"{FUNCTIONAL} lr=10", "rate too high", "lr=10"),
    Planted(
        "softmax before the loss",
        f"{FUNCTIONAL} +model.last=softmax",
        "activation before the loss",
        by_hand=f"{FUNCTIONAL} model.last=null",
    ),
]
CONTROLS = [
    Planted("He and ReLU", "init=he"),
    Planted("Xavier and tanh", "act=tanh init=xavier"),
    Planted("20 layers", "depth=20 width=100"),
    Planted("two layers of sigmoids", "act=sigmoid depth=2 lr=0.1"),
    Planted("Adam", "optim=adam"),
    Planted("batch normalization", "norm=batch"),
    Planted("usual penalties and dropout", "regularize.weight_decay=5e-4 regularize.dropout=0.2 gradient.clip_norm=1"),
    Planted("a convolutional network", "model=cnn depth=2 width=8 steps=300"),
    Planted("an LSTM", "model=lstm data=digits_rows act=tanh depth=1 optim=adam lr=0.01"),
    Planted("labels of a linear model", "data=gaussian"),
    Planted("MNIST-1D", "data=mnist1d optim=adam lr=0.01 width=100"),
    Planted("raw pixels", "data.standardize=none"),
    Planted("one Sequential", f"{FLAT} +model.phi=ReLU"),
    Planted("functional tanh", f"{FUNCTIONAL} +model.phi=tanh init=xavier"),
]


@dataclass(frozen=True)
class Found:
    """What a training came to."""

    outcomes: list[str]
    fault: str  # "" where there is none
    cause: str
    advice: str
    try_first: str


def later(*overrides: str) -> list[str]:
    """All overrides, of which a later one replaces an earlier one of its key, or somebody's own part as a whole."""
    settings: dict[str, str] = {}
    for override in (override for several in overrides for override in several.split()):
        key, value = override.split("=", 1)
        own = settings.get(f"{key}._target_") is not None
        dropped = {other for other in settings if own and other.removeprefix("+").startswith(f"{key}.")}
        settings = {other: kept for other, kept in settings.items() if other not in dropped}
        settings[f"+{key}" if f"+{key}" in settings else key] = value
    return [f"{key}={value}" for key, value in settings.items()]


def train(overrides: Sequence[str], out: Path) -> Found:
    """Two seeds of one cell in this process, and what the diagnosis says of it."""
    sweep = prepare(overrides, seeds=SEEDS, out=out, workers=1)
    sweep.save()
    for _ in sweep.train(lambda stack, step: None):
        pass
    results = load(out)
    if (results.runs["status"] != "done").any():
        raise RuntimeError(f"{' '.join(overrides)}: {results.runs['error'].iloc[0]}")
    outcomes, rows = results.runs["outcome"].tolist(), diagnose(Contests.of(results))
    if rows.empty:
        return Found(outcomes, "", "", "", "")
    (row,) = rows.to_dict("records")
    return Found(outcomes, row["fault"], row["cause"] or "", row["advice"], row["try_first"] or "")


def found(planted: Planted) -> Found:
    with tempfile.TemporaryDirectory() as out:
        return train(later(BASE, planted.overrides), Path(out))


def cured(planted: Planted, before: Found) -> Found:
    """The same training with the first advice; where it can't be typed, with what it says in words."""
    with tempfile.TemporaryDirectory() as out:
        if before.try_first:
            return train(later(BASE, planted.overrides, before.try_first), Path(out))
        kept = "" if planted.by_hand == BASE else planted.by_hand
        return train(later(BASE, kept), Path(out))


def is_right(planted: Planted, diagnosis: Found) -> bool:
    return (diagnosis.fault, diagnosis.cause) == (planted.fault, planted.cause)


def is_cured(after: Found) -> bool:
    return set(after.outcomes) == {"learned"} and not after.fault


def named(fault: str, cause: str) -> str:
    return f"{fault or 'none'}{f' (`{cause}`)' if cause else ''}"


def tables() -> str:
    """How many of each fault were found, then each with what the first advice did, and the controls."""
    faults, lines = [], ["| planted | found | tried first | then |", "| --- | --- | --- | --- |"]
    effective = 0
    for planted in PLANTED:
        before = found(planted)
        after = cured(planted, before)
        faults.append((planted, before))
        effective += is_cured(after)
        wrong = "" if is_right(planted, before) else f"; **not** {named(planted.fault, planted.cause)}"
        tried = f"`{before.try_first}`" if before.try_first else "by hand, as the advice says in words"
        then = "both learn" if is_cured(after) else f"{', '.join(after.outcomes)}: {named(after.fault, after.cause)}"
        what = f"{planted.name}: `{planted.overrides}`"
        lines.append(f"| {what} | {named(before.fault, before.cause)}{wrong} | {tried} | {then} |")
        print(lines[-1], flush=True)
    lines += ["", "| control | found |", "| --- | --- |"]
    healthy = 0
    for planted in CONTROLS:
        diagnosis = found(planted)
        healthy += not diagnosis.fault
        lines.append(f"| {planted.name}: `{planted.overrides}` | {named(diagnosis.fault, diagnosis.cause)} |")
        print(lines[-1], flush=True)
    right = sum(is_right(*pair) for pair in faults)
    summary = (
        f"{right} of {len(PLANTED)} planted faults were named rightly, and the first advice cured {effective} of them. "
        f"Of {len(CONTROLS)} controls {healthy} have no fault."
    )
    print(summary)
    return "\n".join([summary, "", *confusion(faults), "", *lines]) + "\n"


def confusion(faults: Sequence[tuple[Planted, Found]]) -> list[str]:
    """How often each planted fault was called what; the setting at fault is not looked at."""
    lines = ["| planted | times | found as |", "| --- | ---: | --- |"]
    for fault in dict.fromkeys(planted.fault for planted, _ in faults):
        called = Counter(diagnosis.fault for planted, diagnosis in faults if planted.fault == fault)
        words = ", ".join(f"{name or 'none'}: {count}" for name, count in called.most_common())
        lines.append(f"| {fault} | {called.total()} | {words} |")
    return lines


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--write", action="store_true", help="put the tables into benchmarks/README.md")
    arguments = parser.parse_args()
    text = tables()
    if arguments.write:
        write("planted", text)
