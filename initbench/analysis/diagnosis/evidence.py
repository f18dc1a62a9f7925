"""A cell's numbers in words: phrases that several rules share, and the sentences of single rules."""

import math

import pandas as pd

from initbench.analysis.axes import value_text
from initbench.analysis.diagnosis.conditions import (
    DEFAULT_BATCH,
    EQUAL,
    FACTOR,
    LARGE_UPDATE,
    MOST_DEAD,
    NEARLY_ALL_SATURATED,
    NO_DISTANCE,
    Cell,
    climbed,
)
from initbench.analysis.diagnosis.settings import number
from initbench.outcomes import falling
from initbench.text import capitalized, percent, plural, rough, rough_percent


def loss(cell: Cell, name: str) -> str:
    """ "2.30 nats"; a squared error has no unit and may be small: "0.167"."""
    if cell["task"] == "numbers" or cell.get("loss_unit", "nats") != "nats":
        return f"{cell[name]:.3g}" if 1e-3 <= abs(cell[name]) < 999 else rough(cell[name])
    return f"{cell[name]:.2f} nats" if abs(cell[name]) < 99.5 else f"{rough(cell[name])} nats"


def against_constant(cell: Cell, name: str) -> str:
    """ "2.41 nats (best constant prediction: 2.30 nats)" """
    return f"{loss(cell, name)} (best constant prediction: {loss(cell, 'constant_loss')})"


def gradient(norm: float) -> str:
    """The norm of a gradient; float32 has no number for one that is too small or too large."""
    return "below 1e-38" if norm == 0 else "above 3e38" if norm == math.inf else rough(norm)


def gradients(cell: Cell) -> str:
    """ "each layer passes back only 25 % of the gradient: norm 0.03 at layer 20, 1e-12 at layer 1" """
    place, growth = _place(cell), cell["grad_growth"]
    change = (
        f"the gradient grows {rough(growth)}-fold per {place} towards the input"
        if growth > 1
        else f"each {place} passes back only {rough_percent(growth)} of the gradient"
    )
    return (
        f"{change}: norm {rough(cell['grad_last'])} at {cell['last_layer']}, "
        f"{gradient(cell['grad_first'])} at {cell['first_layer']}"
    )


def activations(cell: Cell) -> str:
    """ "Activations grow 2.5-fold per layer" """
    return f"Activations grow {rough(cell['signal_growth'])}-fold per {_place(cell)}"


def _place(cell: Cell) -> str:
    """What the depth is counted in: the "block" of "block 2, feedforward"."""
    noun = str(cell["last_layer"]).split(" (")[0].split(",")[0].rpartition(" ")[0]
    return noun or "layer"


def over_time(cell: Cell) -> str:
    """How gradients change from the last time step of a recurrent layer to its first."""
    steps, where = f"{cell['time_steps']:.0f} time steps", cell["recurrent_layer"]
    truncate = pd.to_numeric(cell.get("model.truncate"), errors="coerce")
    if truncate is not None and truncate < cell["time_steps"]:
        return f"model.truncate={truncate:.0f} stops gradients before they reach the first of {steps} of {where}."
    grows, factor = cell["time_ratio"] > 1, cell["time_growth"]
    change = f"Gradients {'grow' if grows else 'shrink'} on their way back in time"
    if not math.isnan(factor):
        change = (
            f"Gradients grow {rough(factor)}-fold per time step, back in time"
            if grows
            else f"Each time step passes back only {rough_percent(factor)} of the gradient"
        )
    return (
        f"{change}: norm {rough(cell['time_last'])} at the last of {steps}, {gradient(cell['time_first'])} at the "
        f"first, in {where}."
    )


def still_falling(cell: Cell) -> str:
    """A sentence that the loss was falling at the end; empty where it was not."""
    if not falling(cell):
        return ""
    third, last = loss(cell, "third_quarter_loss"), loss(cell, "last_quarter_loss")
    return f" The loss was still falling: mean {third} over the third quarter of the steps, {last} over the last."


def units_lost(cell: Cell) -> str:
    """A sentence on which units died or saturated after step 0; empty where none did."""
    if cell["dead_at_end"] >= MOST_DEAD > cell["dead"]:
        share, start, what = cell["dead_at_end"], cell["dead"], "units are dead (flat for every example)"
    elif cell["saturated_at_end"] >= NEARLY_ALL_SATURATED > cell["saturated"]:
        share, start, what = cell["saturated_at_end"], cell["saturated"], "(unit, example) pairs are saturated (flat)"
    else:
        return ""
    before = "" if math.isnan(start) else f"; at step 0, {rough_percent(start)} were"
    return f"At the end, {rough_percent(share)} of one layer's {what}{before}."


def _amount(cell: Cell, key: str) -> float:
    return number(key, cell.get(key))


def activation(cell: Cell) -> str:
    """The hidden layers', as the model was seen to compute it; else the one that was set."""
    return cell["activation"] if isinstance(cell.get("activation"), str) else str(cell["act"])


# ---------------------------------------------------------------- data


def what_is_equal(cell: Cell) -> str:
    if cell["input_std"] == 0:
        return f"All inputs are equal ({rough(cell['input_mean'])}): nothing tells one class from another."
    if cell["seen_distinct"] == 1 or cell["seen_std"] == 0:
        return "All training inputs are the same as the network sees them: nothing tells one class from another."
    what = "numbers to predict are equal" if cell["task"] == "numbers" else "training labels are of one class"
    return f"All {what}: a constant prediction has loss 0, and there is nothing to learn."


def how_inputs_are_scaled(cell: Cell) -> str:
    return (
        f"The inputs that the network sees have a root mean square of {rough(cell['input_size'])}; initializers "
        "assume 1."
    )


def how_features_are_scaled(cell: Cell) -> str:
    typical = f"The typical input entry has a standard deviation of {rough(cell['seen_std_median'])}"
    if cell["seen_std_max"] >= cell["seen_mean_max"]:
        return f"{typical}, one has {rough(cell['seen_std_max'])} and drowns the others."
    return f"{typical}, but one has a mean that is {rough(cell['seen_mean_max'])} away from 0."


def how_labels_follow(cell: Cell) -> str:
    agreement, chance = percent(cell["neighbour_agreement"]), percent(cell["neighbour_chance"])
    return (
        f"{agreement} of the training examples have the label of their nearest neighbour; of random pairs, {chance} "
        f"have equal labels. {accuracies(cell)}"
    )


def accuracies(cell: Cell) -> str:
    """Training and test accuracy, beside always predicting the commonest label; empty where the run diverged."""
    if math.isnan(cell["train_acc"]) or math.isnan(cell["majority_acc"]):
        return ""
    return (
        f"Training accuracy is {percent(cell['train_acc'])} and test accuracy {percent(cell['test_acc'])}; always "
        f"predicting the commonest label gives a test accuracy of {percent(cell['majority_acc'])}."
    )


def what_outputs_are(cell: Cell) -> str:
    kinds = {
        "probabilities": "The outputs of each example are at least 0 and add up to 1: the model ends with a softmax, "
        "and cross-entropy applies a second one.",
        "fractions": "All outputs lie between 0 and 1: the model ends with an activation such as a sigmoid, but "
        "cross-entropy expects logits of any size and sign.",
        "rectified": "No output is below 0: the model ends with an activation such as ReLU, but cross-entropy expects "
        "logits of any size and sign.",
    }
    ends = "" if math.isnan(cell["train_loss"]) else f" {_end_of_training(cell)}"
    return f"{kinds[cell['output_kind']]}{ends}"


def _end_of_training(cell: Cell) -> str:
    accuracy = "" if math.isnan(cell["train_acc"]) else f", the training accuracy at {percent(cell['train_acc'])}"
    return f"The loss ended at {loss(cell, 'train_loss')}{accuracy}."


def how_unequal_classes_are(cell: Cell) -> str:
    return (
        f"{percent(cell['train_majority'])} of the training labels are of one class. Always predicting it gives a test "
        f"accuracy of {percent(cell['majority_acc'])}; the network has {percent(cell['test_acc'])}."
    )


def what_is_known_by_heart(cell: Cell) -> str:
    test = f"on the test part the loss is {against_constant(cell, 'test_loss')}"
    if cell["task"] == "numbers":
        return f"On the training part the loss is {loss(cell, 'full_train_loss')}; {test}."
    return f"{accuracies(cell)} {capitalized(test)}."


# ---------------------------------------------------------------- settings


def how_much_is_dropped(cell: Cell) -> str:
    dropout, dropconnect = (_amount(cell, f"regularize.{key}") for key in ("dropout", "dropconnect"))
    name, what = ("Dropout", "outputs") if dropout else ("Dropconnect", "weights")
    name = "Dropout with dropconnect" if dropout and dropconnect else name
    kept = (1 - dropout) * (1 - dropconnect)
    layers = cell["hidden_layers"] if cell["hidden_layers"] > 0 else cell["depth"]
    return (
        f"{name} keeps {rough_percent(kept)} of each hidden layer's {what} and multiplies them by {rough(1 / kept)}. "
        f"This alone makes signals grow {rough(kept ** (-layers / 2))}-fold over {layers:.0f} layers."
    )


def what_biases_do(cell: Cell) -> str:
    return (
        "Biases are the same for every example, and at least as large as the pre-activations that they are added to. "
        f"At step 0, outputs have a root mean square of {rough(cell['output_size'])}, and the loss is "
        f"{against_constant(cell, 'first_loss')}."
    )


def how_much_was_clipped(cell: Cell) -> str:
    return (
        f"Clipping left {rough_percent(cell['gradient_kept'])} of the gradient's norm at the median log step. "
        f"{_crawl(cell)}"
    )


def how_weights_shrank(cell: Cell) -> str:
    spreads = (
        f"The standard deviation of the outputs across examples was {rough(cell['output_spread'])} at step 0, and "
        f"{rough(cell['output_spread_at_end'])} at the end."
    )
    return f"The penalty pulls weights to 0 faster than the loss makes them grow. {spreads}"


def how_long_momentum_lasts(cell: Cell) -> str:
    steps = 1 / (1 - max(_amount(cell, "optim.momentum"), _amount(cell, "optim.beta1")))
    trained = plural(int(cell["steps"]), "step")
    return f"It averages the gradients of about {steps:,.0f} steps; the training has {trained}. {_the_loss(cell)}"


def how_noisy_batches_are(cell: Cell) -> str:
    lost = units_lost(cell)
    return (
        f"Each step uses {plural(int(cell['batch_size']), 'example')}, at a learning rate that suits batches of "
        f"{DEFAULT_BATCH}. {_the_loss(cell)}{f' {lost}' if lost else ''}"
    )


# ---------------------------------------------------------------- layers


def how_equal(cell: Cell) -> str:
    if math.isnan(cell["update_ratio"]):
        return "All weights start at 0: the units of a layer are equal, get equal updates and stay equal."
    size = cell["inequality"] if cell["inequality"] <= EQUAL else cell["least_inequality"]
    where = "a layer" if cell["inequality"] <= EQUAL else cell["equal_layer"]
    differ = f"by at most {rough(size)} of their size" if size else "not at all"
    return f"At step 0 the units of {where} differ {differ}: they get equal updates and stay equal."


def how_flat(cell: Cell) -> str:
    steep = not 1 / FACTOR < cell["grad_ratio"] < FACTOR and not math.isnan(cell["grad_growth"])
    return (
        f"At step 0 {activation(cell)} is flat (|phi'| < 0.05) for {rough_percent(cell['saturated_mean'])} of the "
        f"(unit, example) pairs, and for {rough_percent(cell['saturated'])} in the worst layer"
        f"{f'; {gradients(cell)}' if steep else ''}."
    )


def what_explodes(cell: Cell) -> str:
    if cell["grad_ratio"] >= FACTOR and not cell["signal_ratio"] >= FACTOR:
        return f"{capitalized(gradients(cell))}."
    if cell["nonfinite"] > 0:
        return f"{activations(cell)} and overflow at step 0."
    growth = f"{activations(cell)}: t" if cell["signal_growth"] > 1 else "T"
    return (
        f"{growth}he standard deviation of the outputs across examples is {rough(cell['output_spread'])} at step 0, "
        f"and the first loss is {against_constant(cell, 'first_loss')}."
    )


def what_the_loss_did(cell: Cell) -> str:
    ratio = cell["largest_update"]
    share = f"{rough_percent(ratio)} of" if ratio < 1 else f"{rough(ratio)} times"
    update = f" One update changed one layer's weights by {share} their norm." if ratio >= LARGE_UPDATE else ""
    lost = units_lost(cell)
    return f"{_the_loss(cell)}{update}{f' {lost}' if lost else ''}"


def _the_loss(cell: Cell) -> str:
    where = f"at lr={value_text(cell['lr'])} with {cell['optim']}"
    first, peak, last = (loss(cell, name) for name in ("first_loss", "peak_loss", "train_loss"))
    if not math.isnan(cell["diverged_step"]):
        return f"The loss was {first} at the start and overflowed at step {cell['diverged_step']:.0f}, {where}."
    if climbed(cell):
        return f"The loss rose from {first} to {peak} and ended at {last}, {where}."
    return f"The loss was {first} at the start and ended at {last}, {where}."


def what_vanishes(cell: Cell) -> str:
    parts = []
    if cell["grad_ratio"] <= 1 / FACTOR:
        parts.append(gradients(cell))
    if cell["signal_ratio"] <= 1 / FACTOR:
        first, last = rough(cell["signal_first"]), rough(cell["signal_last"])
        parts.append(
            f"by {cell['last_layer']} all examples look almost alike (standard deviation across examples: {first} at "
            f"{cell['first_layer']}, {last} at {cell['last_layer']})"
        )
    return f"{capitalized('; '.join(parts))}.{still_falling(cell)}"


def how_large_the_first_loss_is(cell: Cell) -> str:
    guess = f"a guess among {cell['classes']:.0f} classes has {math.log(cell['classes']):.2f} nats"
    if math.isnan(cell["classes"]) or cell.get("loss_unit", "nats") != "nats":
        guess = f"best constant prediction: {loss(cell, 'constant_loss')}"
    return f"The first loss is {loss(cell, 'first_loss')} ({guess}). {_end_of_training(cell)}"


def how_slow(cell: Cell) -> str:
    if sentence := still_falling(cell).strip():
        return f"{sentence[:-1]}; it started at {loss(cell, 'first_loss')}."
    if cell["distance"] < NO_DISTANCE:
        return _crawl(cell)
    return f"In {cell['steps']:,.0f} steps the loss went from {loss(cell, 'first_loss')} to {loss(cell, 'train_loss')}."


def _crawl(cell: Cell) -> str:
    return (
        f"At the pace of the first update, {cell['steps']:,.0f} steps change no layer's weights by more than "
        f"{rough_percent(cell['distance'])} of their norm."
    )


def without_rule(cell: Cell) -> str:
    if math.isnan(cell["output_size"]):
        return "No rule applies: layer statistics of step 0 are missing."
    first, last = (f"{rough(cell[f'grad_{end}'])} at {cell[f'{end}_layer']}" for end in ("first", "last"))
    at_start = "" if math.isnan(cell["grad_first"]) else f": gradient norms at step 0 are {first} and {last}"
    ended = f"The loss ended at {against_constant(cell, 'train_loss')}."
    return " ".join(filter(None, [f"No rule applies{at_start}.", ended, accuracies(cell)]))
