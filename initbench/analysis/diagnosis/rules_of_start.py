"""The rules of diagnosis for what settings and weights do to the start. `rules` has the order of all."""

from initbench.analysis.diagnosis import conditions, cures, evidence
from initbench.analysis.diagnosis.birth import DEAD, EXPLODES, ORDERED, SATURATED
from initbench.analysis.diagnosis.conditions import FACTOR, LARGE_BIAS, MOST_DEAD, MOST_SATURATED, NEARLY_ALL_SATURATED
from initbench.analysis.diagnosis.rule import FaultRule
from initbench.analysis.diagnosis.settings import changed, higher
from initbench.analysis.diagnosis.suspects import LARGE_BIAS_SET, LARGE_WEIGHTS
from initbench.text import percent, rough, rough_percent

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
