"""The first rules of diagnosis: data and models at fault. `rules` has the others, and the order."""

from initbench.analysis.diagnosis import conditions, cures, evidence
from initbench.analysis.diagnosis.birth import SYMMETRIC
from initbench.analysis.diagnosis.conditions import EQUAL, LITTLE, OFF_SCALE, STANDARD_ERRORS
from initbench.analysis.diagnosis.rule import FaultRule
from initbench.analysis.diagnosis.settings import changed
from initbench.text import percent

DATA = [
    FaultRule(
        fault="nothing to learn",
        statement="All training inputs are equal, or all training labels are of one class, or all numbers to predict "
        "are equal.",
        applies=conditions.nothing_to_learn,
        evidence=evidence.what_is_equal,
        advice="Check the data: inputs, labels and splits.",
        choices=("data.", "data"),
        of_learned=True,
    ),
    FaultRule(
        fault="symmetric units",
        statement=f"At step 0 the units of a hidden layer differ by at most {EQUAL:g} of their size, or all weights "
        "are 0.",
        applies=conditions.symmetric,
        evidence=evidence.how_equal,
        advice="Draw the weights at random: this breaks the symmetry.",
        choices=("init",),
        cures=(cures.random_init,),
        birth=SYMMETRIC,
    ),
    FaultRule(
        fault="inputs off scale",
        statement=f"The inputs that the network sees have a root mean square of at least {OFF_SCALE:g} or at most "
        f"{1 / OFF_SCALE:g} (initializers assume 1), and no single entry varies {OFF_SCALE:g} times as much as the "
        "typical one. If the network learned nevertheless, its first loss must be too large as well (below).",
        applies=conditions.inputs_off_scale,
        evidence=evidence.how_inputs_are_scaled,
        advice="Standardize the inputs.",
        choices=("data.", "data"),
        suspects=changed("data.scale", "data.spread", "data.standardize"),
        cures=(cures.standardized, cures.standardized_by_feature),
        of_learned=True,
    ),
    FaultRule(
        fault="features of unequal scale",
        statement="One entry of the inputs that the network sees has a standard deviation, or a distance of its mean "
        f"from 0, of at least {OFF_SCALE:g} times the standard deviation of the typical entry.",
        applies=conditions.features_off_scale,
        evidence=evidence.how_features_are_scaled,
        advice="Scale all entries of the inputs alike, and leave out those that never vary.",
        choices=("data.", "data"),
        suspects=changed("data.spread"),
        cures=(cures.standardized_by_feature,),
    ),
    FaultRule(
        fault="labels unrelated to inputs",
        statement="Nearest neighbours among the training inputs have the same label only as often as by chance (within "
        f"{STANDARD_ERRORS:g} standard errors), and on the test part the network corrects at most "
        f"{percent(LITTLE, 0)} of the errors of always predicting the commonest label.",
        applies=conditions.unrelated,
        evidence=evidence.how_labels_follow,
        advice="Check that each label still belongs to its input, and that the inputs hold what the labels ask for.",
        choices=("data.", "data"),
        of_learned=True,
    ),
    FaultRule(
        fault="activation before the loss",
        statement="Before training, no output is negative: they add up to 1 for each example, or lie between 0 and 1, "
        "or are 0 where they would be negative. Cross-entropy applies a softmax itself and expects logits of any size "
        "and sign.",
        applies=conditions.squashed,
        evidence=evidence.what_outputs_are,
        advice="Let the model end with its last linear layer, without an activation.",
        choices=("model",),
        of_learned=True,
    ),
]
