"""The rules of diagnosis for what settings do to the training, and for vanishing. `rules` has the order of all."""

from initbench.analysis.diagnosis import conditions, cures, evidence
from initbench.analysis.diagnosis.birth import VANISHES
from initbench.analysis.diagnosis.conditions import ALIKE, CLIMB, DEFAULT_BATCH, FACTOR, LARGE_UPDATE
from initbench.analysis.diagnosis.measurements import BLOCK
from initbench.analysis.diagnosis.rule import FaultRule
from initbench.analysis.diagnosis.settings import changed, higher, lower
from initbench.analysis.diagnosis.suspects import RESTLESS, SMALL_WEIGHTS
from initbench.text import percent

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
        advice=cures.KEEP_MEMORY,
        choices=("init", "model", "mitigation"),
        suspects=(*changed("model.truncate"), *SMALL_WEIGHTS),
        cures=cures.MEMORY,
        birth=VANISHES,
    ),
]
