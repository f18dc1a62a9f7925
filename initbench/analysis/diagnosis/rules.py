"""The rules of diagnosis in their order: a run has the first fault whose rule applies to it.

A cell has the fault that most of its faulty runs have. The order puts a cause before what follows from it:

1. Data that can't be learned from, or that no initializer was made for; units that start equal and so stay equal; a
   model whose outputs are squashed. Whatever else is seen in such a network follows.
2. What settings do to the start: dropout, biases. Dead and saturated units, because they are why gradients vanish; then
   exploding signals, and outputs that a constant dominates. Each spoils training at any rate, so a rate is blamed only
   where the start shows none of these.
3. What settings do to the training: clipping, penalties, momentum. Then a rate too high, where the loss climbed:
   vanishing gradients don't drive a network away from where it started. Then vanishing, from layer to layer and from
   time step to time step.
4. What the end alone shows: training examples known by heart, units that died, a loss that was still falling, outputs
   that became constant.

Runs that learned have a fault only by the rules that say so: data and models at fault, and a first loss off scale.

To add a rule, put it in its place in RULES; its condition goes to `conditions`, its sentence to `evidence`, what to
type to `cures`, unless they are one line.
"""

import math

import numpy as np

from initbench.analysis.diagnosis import conditions, cures, evidence
from initbench.analysis.diagnosis.birth import DEAD, EXPLODES, ORDERED, SATURATED, VANISHES
from initbench.analysis.diagnosis.conditions import (
    ALIKE,
    CARRIED_OVER,
    CLIMB,
    DEFAULT_BATCH,
    DEFAULT_STEPS,
    FACTOR,
    IMBALANCED,
    LARGE_BIAS,
    LARGE_UPDATE,
    LITTLE,
    MOST_DEAD,
    MOST_SATURATED,
    NEARLY_ALL_SATURATED,
    NO_DISTANCE,
    OFF_SCALE,
    Runs,
)
from initbench.analysis.diagnosis.measurements import BLOCK, NUMBERS
from initbench.analysis.diagnosis.rule import FaultRule
from initbench.analysis.diagnosis.rules_of_data import DATA
from initbench.analysis.diagnosis.settings import Suspect, changed, higher, lower
from initbench.outcomes import FALL, FALL_ERRORS
from initbench.text import percent, rough, rough_percent

LARGE_WEIGHTS = higher("init.gain", "init.std", "init.a", "init.value", "init.sigma_w", "init.sigma_b")
SMALL_WEIGHTS = lower("init.gain", "init.std", "init.a", "init.sigma_w", "model.branch_scale")
LARGE_BIAS_SET = (Suspect("init.bias", lambda value, default: abs(value) >= LARGE_BIAS),)
RESTLESS = (
    *higher("lr", "optim.momentum", "optim.beta1"),
    *lower("batch_size", "optim.beta2"),
    *higher("gradient.noise", "regularize.weight_noise"),
    *changed("precision"),
)
MANY_TIMES_SMALLER_BATCH = Suspect("batch_size", lambda value, default: value <= default / OFF_SCALE)
KEEP_MEMORY = "Use norm-preserving recurrent weights, gated cells, or an LSTM whose forget gate starts open."
MEMORY = (cures.isometry, cures.gated_cells, cures.open_forget_gate)

START = [
    FaultRule(
        fault="dropout too strong",
        statement="Dropout or dropconnect, which keep a share q of each hidden layer's outputs "
        f"or weights and divide them by q, multiply signals {FACTOR:.0f}-fold over the L layers: q^(-L/2).",
        applies=lambda runs: conditions.noise_of_dropout(runs) >= FACTOR,
        evidence=evidence.how_much_is_dropped,
        advice="Drop a smaller share, or use fewer layers.",
        choices=("regularize", "depth", "mitigation"),
        suspects=changed("regularize.dropout", "regularize.dropconnect"),
        birth=EXPLODES,
    ),
    FaultRule(
        fault="dead units",
        statement=f"The activation is a rectifier, and at step 0 at least {percent(MOST_DEAD, 0)} "
        "of some hidden layer's units are off for every example of the batch (|phi'| < 0.001).",
        applies=lambda runs: (runs["dead"] >= MOST_DEAD) & conditions.rectifies(runs),
        evidence=lambda cell: (
            f"At step 0 {rough_percent(cell['dead'])} of one layer's units are off for every example of the batch."
        ),
        advice="Start biases at 0 or above, or use an activation that is not flat where it is off.",
        choices=("init", "mitigation", "act"),
        suspects=LARGE_BIAS_SET,
        cures=(cures.no_bias, cures.suited_init, cures.normalized),
        birth=DEAD,
    ),
    FaultRule(
        fault="saturated",
        statement=f"At step 0 the activation is flat (|phi'| < 0.05) for "
        f"{percent(MOST_SATURATED, 0)} of the (unit, example) pairs, on average over the layers where it is flat for "
        f"any, or for {percent(NEARLY_ALL_SATURATED, 0)} in one hidden layer. Rectifiers are exempt: they are flat for "
        "half of the pairs by design.",
        applies=conditions.saturated,
        evidence=evidence.how_flat,
        advice="Use smaller weights and biases, which keep pre-activations where the activation is steep, or "
        "normalize.",
        choices=("init", "mitigation"),
        suspects=(*LARGE_BIAS_SET, *LARGE_WEIGHTS),
        cures=(cures.no_bias, cures.scaled_init, cures.normalized, cures.suited_init),
        birth=SATURATED,
    ),
    FaultRule(
        fault="biases too large",
        statement=f"Biases start at a distance of at least {LARGE_BIAS:g} from 0: they are as large as the "
        "pre-activations that they are added to, and the same for every example.",
        applies=conditions.large_biases,
        evidence=evidence.what_biases_do,
        advice="Start biases at 0.",
        choices=("init",),
        suspects=LARGE_BIAS_SET,
        cures=(cures.no_bias,),
    ),
    FaultRule(
        fault="exploding",
        statement=f"At step 0 gradients with respect to pre-activations grow {FACTOR:.0f}-fold from the last to the "
        f"first hidden layer, or differences between examples grow {FACTOR:.0f}-fold from the first to the last hidden "
        "layer or from the inputs to the outputs, or they overflow.",
        applies=conditions.exploding,
        evidence=evidence.what_explodes,
        advice="Use smaller weights, or normalize.",
        choices=("init", "model", "mitigation"),
        suspects=(*LARGE_WEIGHTS, *higher("model.branch_scale", "regularize.weight_noise")),
        cures=(cures.scaled_init, cures.smaller_branches, cures.smaller_gain, cures.skip_connections, cures.normalized),
        birth=EXPLODES,
    ),
    FaultRule(
        fault="exploding over time",
        statement="At step 0 a recurrent layer's gradients with respect to pre-activations grow "
        f"{FACTOR:.0f}-fold from its last to its first time step, and by at least the number of time steps (Bengio et "
        "al. 1994; Pascanu et al. 2013).",
        applies=conditions.exploding_over_time,
        evidence=evidence.over_time,
        advice="Use norm-preserving recurrent weights, or clip gradients (Pascanu et al. 2013).",
        choices=("init", "gradient", "mitigation", "model"),
        suspects=(*changed("init.recurrent"), *LARGE_WEIGHTS),
        cures=(cures.isometry, cures.clip),
        birth=EXPLODES,
    ),
    FaultRule(
        fault="constant output",
        statement="At step 0 the outputs have a root mean square of at least 1, but a standard deviation across "
        f"examples of at most 1/{FACTOR:.0f} of that, although nothing vanished in the hidden layers.",
        applies=conditions.dominated,
        evidence=lambda cell: (
            f"At step 0 the outputs have a root mean square of {rough(cell['output_size'])}, but a standard deviation "
            f"across examples of only {rough(cell['output_spread'])}."
        ),
        advice="Start biases at 0, and centre the inputs.",
        choices=("init", "data.", "mitigation"),
        suspects=changed("init.bias", "init.sigma_b", "data.standardize"),
        cures=(cures.no_bias, cures.standardized, cures.suited_init),
        birth=ORDERED,
    ),
]

TRAINING = [
    FaultRule(
        fault="clipping too tight",
        statement=f"Clipping left at most {percent(1 / FACTOR, 0)} of the gradient's norm at the median log step, and "
        "at the pace of the first update no layer's weights would move as far as their norm in all steps.",
        applies=conditions.clipped,
        evidence=evidence.how_much_was_clipped,
        advice="Clip at about the usual norm of the gradient.",
        choices=("gradient", "mitigation", "lr", "optim"),
        suspects=changed("gradient.clip_norm", "gradient.clip_value"),
    ),
    FaultRule(
        fault="penalty too strong",
        statement="Weight decay alone would divide the weights by e within the training, or a penalty alone would "
        "move a typical weight to 0; and at the end the standard deviation of the outputs across examples is at most "
        f"{ALIKE:g} nats, or {FACTOR:.0f} times smaller than at step 0.",
        applies=conditions.penalized,
        evidence=evidence.how_weights_shrank,
        advice="Use a smaller penalty.",
        choices=("regularize", "mitigation", "optim", "lr"),
        suspects=(
            *changed("regularize.weight_decay", "regularize.l1", "regularize.decoupled"),
            *higher("optim.weight_decay"),
        ),
    ),
    FaultRule(
        fault="momentum too high",
        statement=f"Momentum averages gradients over at least {FACTOR:.0f} steps, and over at least 1/{FACTOR:.0f} of "
        "the training.",
        applies=conditions.slow_to_turn,
        evidence=evidence.how_long_momentum_lasts,
        advice="Use less momentum, or train more steps at a lower rate.",
        choices=("optim", "mitigation", "lr", "steps"),
        suspects=higher("optim.momentum", "optim.beta1"),
    ),
    FaultRule(
        fault="batch too small",
        statement=f"A batch has at most {DEFAULT_BATCH / FACTOR:.0f} examples, "
        f"1/{FACTOR:.0f} of the default, for which learning rates are chosen (the noise of a step grows with the rate "
        "divided by the batch size: Smith et al. 2018), and the loss was not falling at the end.",
        applies=conditions.small_batches,
        evidence=evidence.how_noisy_batches_are,
        advice="Use larger batches, or lower the rate in proportion to the batch size (Goyal et al. 2017).",
        choices=("batch_size", "lr", "optim"),
        suspects=lower("batch_size"),
        cures=(cures.rate_for_batch,),
    ),
    FaultRule(
        fault="rate too high",
        statement=f"The loss overflowed after the first update; or its mean over {BLOCK} steps rose to {CLIMB:g} times "
        "both its first value and the loss of the best constant prediction; or one update changed a layer's weights by "
        f"{percent(LARGE_UPDATE, 0)} of their norm, the loss was not falling at the end, and units died in training "
        "or nothing vanished at step 0.",
        applies=conditions.rate_too_high,
        evidence=evidence.what_the_loss_did,
        advice="Use a lower rate, a warm-up, or clipped gradients.",
        choices=("lr", "optim", "batch_size", "mitigation", "gradient", "schedule"),
        suspects=RESTLESS,
        cures=(cures.lower_rate,),
    ),
    FaultRule(
        fault="vanishing",
        statement=f"At step 0 gradients with respect to pre-activations shrink {FACTOR:.0f}-fold from the last to the "
        f"first hidden layer, or differences between examples shrink {FACTOR:.0f}-fold from the first to the last.",
        applies=conditions.vanishing,
        evidence=evidence.what_vanishes,
        advice="Use weights that keep the size of signals, fewer layers, normalization, or residual connections.",
        choices=("init", "mitigation", "model", "act", "lr"),
        suspects=SMALL_WEIGHTS,
        cures=(cures.suited_init, cures.scaled_init, cures.larger_gain, cures.skip_connections, cures.normalized),
        birth=VANISHES,
    ),
    FaultRule(
        fault="vanishing over time",
        statement="At step 0 a recurrent layer's gradients with respect to pre-activations shrink "
        f"{FACTOR:.0f}-fold from its last to its first time step (Hochreiter 1991; Bengio et al. 1994).",
        applies=conditions.vanishing_over_time,
        evidence=evidence.over_time,
        advice=KEEP_MEMORY,
        choices=("init", "model", "mitigation"),
        suspects=(*changed("model.truncate"), *SMALL_WEIGHTS),
        cures=MEMORY,
        birth=VANISHES,
    ),
]

END = [
    FaultRule(
        fault="noisy labels",
        statement="Nearest neighbours among the training inputs have the same label hardly more often than by chance "
        f"(at most {percent(LITTLE, 0)} of the way from chance to always), and the network memorized its training "
        "examples (below) or the loss was not falling at the end.",
        applies=conditions.noisy,
        evidence=evidence.how_labels_follow,
        advice="Check the labels, and that the inputs hold what the labels ask for; more examples and early stopping "
        "help.",
        choices=("data.", "data"),
        of_learned=True,
    ),
    FaultRule(
        fault="class imbalance",
        statement=f"At least {percent(IMBALANCED, 0)} of the training labels are of one class, and "
        "the network is no better on the test part than always predicting this class.",
        applies=conditions.imbalanced,
        evidence=evidence.how_unequal_classes_are,
        advice="Sample the classes equally often, or collect more examples of the rare ones.",
        choices=("data.", "data"),
        of_learned=True,
    ),
    FaultRule(
        fault="memorized",
        statement="The network does better on the training part than the best constant prediction, but less than "
        f"{percent(CARRIED_OVER, 0)} of this gain in accuracy carries over to the test part, where its loss is worse "
        "than the constant's.",
        applies=conditions.memorized,
        evidence=evidence.what_is_known_by_heart,
        advice="Use more training examples, a smaller model or fewer steps; check the labels, and that the training "
        "and test parts come from the same distribution.",
        choices=("data.", "regularize", "mitigation", "model", "width", "depth", "steps"),
        suspects=lower("data.train_size") + changed("data.train_size"),
        cures=(cures.all_examples,),
        of_learned=True,
    ),
    FaultRule(
        fault="dead units",
        statement=f"The activation is a rectifier, and {percent(MOST_DEAD, 0)} of some hidden "
        "layer's units died after step 0.",
        applies=lambda runs: conditions.died(runs) & conditions.rectifies(runs),
        evidence=evidence.units_lost,
        advice="Use a lower rate, or an activation that is not flat where it is off.",
        choices=("lr", "optim", "batch_size", "act", "init"),
        suspects=RESTLESS,
        cures=(cures.lower_rate,),
    ),
    FaultRule(
        fault="saturated",
        statement="The activation became flat after step 0 for "
        f"{percent(NEARLY_ALL_SATURATED, 0)} of some hidden layer's (unit, example) pairs.",
        applies=lambda runs: conditions.died(runs) & conditions.saturates(runs),
        evidence=evidence.units_lost,
        advice="Use a lower rate, or smaller weights.",
        choices=("lr", "optim", "batch_size", "init", "act"),
        suspects=RESTLESS,
        cures=(cures.lower_rate,),
    ),
    FaultRule(
        fault="too slow",
        statement="From the third to the last quarter of the steps, the mean loss fell by at least "
        f"{percent(FALL, 0)} of the best constant prediction's loss and {FALL_ERRORS:g} standard errors; or at the "
        f"pace of the first update, no layer's weights would change by {percent(NO_DISTANCE, 0)} in all steps; or the "
        f"training had at most {DEFAULT_STEPS / FACTOR:.0f} steps, in which the loss fell.",
        applies=conditions.too_slow,
        evidence=evidence.how_slow,
        advice="Train more steps, or use a higher rate.",
        choices=("lr", "steps", "optim", "schedule", "init"),
        suspects=(*lower("lr", "steps"), MANY_TIMES_SMALLER_BATCH),
        cures=(cures.longer, cures.higher_rate, cures.another_optimizer),
    ),
    FaultRule(
        fault="vanishing over time",
        statement=f"At the last log step a recurrent layer's gradients shrink {FACTOR:.0f}-fold "
        "from its last to its first time step.",
        applies=lambda runs: runs["time_ratio_at_end"] <= 1 / FACTOR,
        evidence=lambda cell: (
            f"At the end, the gradient's norm at the first of {cell['time_steps']:.0f} time steps of "
            f"{cell['recurrent_layer']} is {rough(cell['time_ratio_at_end'])} times that at the last; at step 0 it was "
            f"{rough(cell['time_ratio'])} times that."
        ),
        advice=KEEP_MEMORY,
        choices=("init", "model", "lr"),
        cures=MEMORY,
    ),
    FaultRule(
        fault="constant output",
        statement=f"At the end the standard deviation of the outputs across examples is at most {ALIKE:g} nats or, if "
        f"numbers are predicted, {ALIKE:g} of the standard deviation of these numbers.",
        applies=conditions.became_constant,
        evidence=lambda cell: (
            f"At the end the standard deviation of the outputs across examples is only "
            f"{rough(cell['output_spread_at_end'])}, and the loss is {evidence.against_constant(cell, 'train_loss')}."
        ),
        advice="Look at the layers' statistics over training, and try another rate.",
        choices=("lr", "init", "act"),
    ),
    FaultRule(
        fault="first loss too large",
        statement=f"The first loss is at least {OFF_SCALE:g} times that of guessing among all "
        "classes, ln C. A network that learned nevertheless spent its first steps on making its outputs smaller.",
        applies=conditions.first_loss_off_scale,
        evidence=evidence.how_large_the_first_loss_is,
        advice="Use smaller weights, above all in the last layer.",
        choices=("init", "mitigation"),
        suspects=(*LARGE_WEIGHTS, *LARGE_BIAS_SET),
        cures=(cures.scaled_init, cures.smaller_gain, cures.normalized),
        of_learned=True,
    ),
    FaultRule(
        fault="unexplained",
        statement="The run did not learn, and no rule above applies.",
        applies=lambda runs: np.ones(len(runs), dtype=bool),
        evidence=evidence.without_rule,
        advice="Look at the loss curve and the layers' statistics over training; a larger model may do better.",
        choices=("init", "lr", "optim", "model", "width", "depth"),
        suspects=changed(
            *(
                f"regularize.{key}"
                for key in ("weight_decay", "decoupled", "l1", "dropout", "dropconnect", "alpha_dropout")
            ),
            *("regularize.weight_noise", "regularize.label_smoothing", "gradient.clip_norm", "gradient.clip_value"),
            *("gradient.noise", "gradient.centralize", "optim.momentum", "batch_size", "lr", "steps", "precision"),
            *("data.scale", "data.spread", "data.standardize", "init.gain", "init.bias", "init.std"),
        ),
    ),
]

RULES = [*DATA, *START, *TRAINING, *END]


def first_rule(runs: Runs) -> np.ndarray:
    """Position in RULES of the first that applies to each run; -1 where a run has no fault.

    A column that is missing is a number that was not measured.
    """
    runs = runs.assign(**{name: math.nan for name in NUMBERS if name not in runs})
    learned = conditions.learned(runs).to_numpy()
    found = np.stack([np.asarray(rule.applies(runs), bool) & (rule.of_learned | ~learned) for rule in RULES])
    return np.where(found.any(0), found.argmax(0), -1)


def markdown() -> str:
    """The table of docs/report.md."""
    rows = [("fault", "condition", "what helps"), ("---",) * 3]
    rows += [(rule.fault, rule.statement, rule.advice) for rule in RULES]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows)


if __name__ == "__main__":
    print(markdown())
