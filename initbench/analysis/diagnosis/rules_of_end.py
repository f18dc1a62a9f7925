"""The last rules of diagnosis: what the end of a training alone shows. `rules` has the order of all."""

import numpy as np

from initbench.analysis.diagnosis import conditions, cures, evidence
from initbench.analysis.diagnosis.conditions import (
    ALIKE,
    CARRIED_OVER,
    DEFAULT_STEPS,
    FACTOR,
    IMBALANCED,
    LITTLE,
    MOST_DEAD,
    NEARLY_ALL_SATURATED,
    NO_DISTANCE,
    OFF_SCALE,
)
from initbench.analysis.diagnosis.rule import FaultRule
from initbench.analysis.diagnosis.settings import changed, lower
from initbench.analysis.diagnosis.suspects import LARGE_BIAS_SET, LARGE_WEIGHTS, MANY_TIMES_SMALLER_BATCH, RESTLESS
from initbench.outcomes import FALL, FALL_ERRORS
from initbench.text import percent, rough

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
        advice=cures.KEEP_MEMORY,
        choices=("init", "model", "lr"),
        cures=cures.MEMORY,
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
