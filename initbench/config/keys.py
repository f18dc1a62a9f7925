"""What is known about each configuration key: one list, read by the grid, run ids, the plan and the report.

Defaults stand in `conf/config.yaml`, beside the same sentences. A key that is missing here still works: its value must
be like its default, it is part of a run's id, and runs that differ in it are trained apart.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from initbench.config.values import dotted, is_interpolation, is_number, is_whole, shown
from initbench.errors import InputError

KeyRule = tuple[str, Callable[[Any], bool]]  # what a value must be, in words and as a test

OFF = ("null", "False")


@dataclass(frozen=True)
class Key:
    """One key of the configuration: a group, a root key, or a parameter of choices."""

    name: str  # with dots, as on the command line.
    sentence: str  # what the key means; the comment in `conf/config.yaml`.
    rule: KeyRule | None = None  # what a value must be; None: like the default.
    # whether it changes how a run trains. If not, it is not part of a run's id and cannot be swept.
    trains: bool = True
    trains_with: str | None = None  # another key; where that one is not null, this one changes the training too.
    # whether it (of a group: any of its parameters) may differ between runs trained in one stack.
    stackable: bool = False
    # the values that mean "without", as tables write them; the baseline of the report on mitigations.
    without: tuple[str, ...] = ()
    plain: Any = None  # the value of every run made before the key existed; it is not part of an id, as null never is.
    brought_by: str | None = None  # the group whose choices may have another default for it.
    null_means: Any = None  # of `tune.*`: what tuning takes for null.
    names_run: bool = False  # whether its value is the id of a finished run, of which the beginning may be typed.
    also: str = ""  # its other names, as in other programs; each can be typed in its place.


def _whole_from(least: int) -> KeyRule:
    return f"a whole number of at least {least}", lambda value: is_whole(value) and value >= least


def _or_null(rule: KeyRule) -> KeyRule:
    words, holds = rule
    return f"{words}, or null", lambda value: value is None or holds(value)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


POSITIVE: KeyRule = "a number above 0", lambda value: is_number(value) and value > 0
RATE: KeyRule = "a number above 0, or the word tune", POSITIVE[1]
RATIO: KeyRule = "a number above 0 and at most 1", lambda value: is_number(value) and 0 < value <= 1
WIDTH: KeyRule = (
    "a whole number of at least 1, or a list of them, one per layer",
    lambda value: value != [] and all(is_whole(each) and each >= 1 for each in _listed(value)),
)
FROZEN: KeyRule = (
    "a whole number other than 0, or null, for none",
    lambda value: value is None or (is_whole(value) and value != 0),
)
BOOLEAN: KeyRule = "true or false", lambda value: isinstance(value, bool)
RUN_ID: KeyRule = (
    "the id of a finished run or its beginning, in double quotes inside single ones if it reads as 1e5, or null",
    lambda value: value is None or (isinstance(value, str) and value != "") or is_whole(value),
)
FOLDER: KeyRule = "a folder's name, or null", lambda value: value is None or (isinstance(value, str) and value != "")
TUNERS = ("grid", "random", "tpe")
TUNER: KeyRule = f"{', '.join(TUNERS[:-1])} or {TUNERS[-1]}, or null", lambda value: value is None or value in TUNERS
NAMES: KeyRule = (
    "a list of names, as in metrics=[dead,saturated]",
    lambda value: isinstance(value, list) and value != [] and all(isinstance(name, str) for name in value),
)


OWN_SEED = "own"  # of distill.seeds: the teacher that has the student's seed
SHARE: KeyRule = "a number from 0 to 1", lambda value: is_number(value) and 0 <= value <= 1
TEACHERS: KeyRule = (
    "a whole number of at least 1, the word own, or null",
    lambda value: value is None or value == OWN_SEED or (is_whole(value) and value >= 1),
)


def _is_lr_factor(value: Any) -> bool:
    pattern, _, factor = value.rpartition(":") if isinstance(value, str) else ("", "", "")
    return pattern.strip() != "" and re.fullmatch(r"(\d+\.?\d*|\.\d+)(e-?\d+)?", factor) is not None


LR_FACTORS: KeyRule = (
    "a list of NAME:FACTOR, as in lr_factors=[bias:0.1,head:0.5], or null",
    lambda value: value is None or (isinstance(value, list) and value != [] and all(map(_is_lr_factor, value))),
)

BY_SEED = "seed"  # of data.split_seed: the split is drawn with the run's own seed
SPLIT_SEED: KeyRule = (
    "a whole number, or the word seed",
    lambda value: value is None or is_number(value) or value == BY_SEED,  # the data say which numbers they take
)


KEYS = [
    # Groups: each run has one choice of each.
    Key("data", "dataset", also="dataset datasets"),
    Key("model", "architecture", also="arch architecture network net"),
    Key("init", "initializer", stackable=True,
        also="initializer initialiser initialization weight_init kernel_initializer kernel_init init_fn"),
    Key("act", "activation", also="activation activation_fn activation_function nonlinearity"),
    Key("norm", "normalization of hidden layers", without=("none",), also="normalization normalisation norm_layer"),
    Key("optim", "optimizer", without=("sgd",), also="optimizer optimiser opt"),
    Key("schedule", "how the learning rate changes over the steps", without=("constant",), plain="constant",
        also="scheduler lr_scheduler lr_schedule"),
    Key("average", "which average of the weights is evaluated", without=("none",), also="weight_averaging"),
    Key("rebalance", "what is done about classes of unequal size", without=("none",),
        also="rebalancing balance balancing resample resampling sampler class_weight class_weights"),
    Key("curriculum", "in which order examples are trained on, and when they become available", without=("none",),
        also="curriculum_learning pacing"),
    Key("mitigation", "a preset of other keys", without=("none",), also="mitigations"),
    # What every run has.
    Key("depth", "number of hidden layers", _whole_from(0), brought_by="model",
        also="hidden_layers n_hidden_layers num_hidden_layers"),
    Key("width", "units per hidden layer; a list, as in width=[256,128], gives each layer its own", WIDTH,
        brought_by="model", also="hidden_size hidden_dim hidden_units units n_units num_units"),
    Key("lr", "learning rate; lr=tune tries several", RATE, stackable=True, brought_by="optim",
        also="learning_rate lrate learning_rate_init base_lr eta0"),
    Key("lr_factors", "factors of the learning rate by parameters' names, as in [bias:0.1,head:0.5]; null: 1 for all",
        LR_FACTORS, stackable=True, without=OFF, also="lr_multipliers lr_mult lr_scale"),
    Key("batch_size", "examples per step", _whole_from(1), also="batch bs minibatch_size train_batch_size"),
    Key("steps", "number of weight updates", _whole_from(1),
        also="n_steps num_steps max_steps total_steps iterations num_iterations iters updates train_steps"),
    Key("seed", "seed of the weights, the order of the batches and all other random numbers", _whole_from(0),
        stackable=True, also="random_state random_seed rng_seed manual_seed"),
    Key("log_every", "steps between two rows of layer statistics", _whole_from(1), trains=False,
        also="log_interval log_freq log_every_n_steps"),
    Key("eval_every", "steps between two evaluations", _whole_from(1), trains=False,
        trains_with="regularize.patience", also="eval_interval eval_freq eval_steps"),
    Key("save_weights", "save the trained weights", BOOLEAN, trains=False),
    Key("save_predictions", "save class probabilities on the test part, for ensembles over seeds", BOOLEAN,
        trains=False),
    Key("precision", "number format of matrix products: float32, bfloat16, and on CUDA float16 or tf32",
        without=("float32",), plain="float32"),
    # Every initializer.
    Key("init.recurrent", "name of another initializer, used for recurrent weights"),
    Key("init.forget_bias", "a number: initial bias of an LSTM's forget gates"),
    Key("init.freeze", "number of first layers that stay as they start, or, as -1, all but the last; null: none",
        FROZEN, also="freeze freeze_layers frozen_layers n_frozen num_frozen_layers"),
    Key("init.bias_std", "a number: draw all biases from N(0, this^2)"),
    # Every dataset.
    Key("data.standardize", "global: one mean and deviation for all inputs; feature: one per input entry; none: raw",
        without=("global",)),
    Key("data.val_fraction", "share of the training part that becomes the validation part",
        also="val_fraction val_split validation_split validation_fraction val_frac"),
    Key("data.split_seed", "seed of the split into parts; the word seed: each run's own", SPLIT_SEED,
        also="split_seed"),
    Key("data.train_size", "number of training examples to keep; null: all", also="train_size n_train num_train"),
    Key("data.imbalance",
        "thins classes to a long tail: the last has about this share of the first's examples; the test part stays",
        also="imbalance imbalance_ratio imbalance_factor imb_factor long_tail"),
    Key("data.scale", "factor by which all inputs are multiplied", without=OFF),
    Key("data.spread", "s: each input entry is multiplied by its own factor, between 10^-s and 10^s", without=OFF),
    Key("data.loss", "squared_error: labels are learned by the squared error of 0 and 1; null: by cross-entropy"),
    Key("data.targets", "inputs: each example's target is its input (an autoencoder); null: as the data have them"),
    Key("data.classes", "which classes to keep, as in 0-4 or [0,3,7], relabelled from 0; null: all",
        also="labels subset_classes class_subset"),
    # Augmentation, in this order.
    Key("augment.shift", "images: most pixels by which each is moved, by fractions of a pixel", without=OFF,
        also="random_shift"),
    Key("augment.crop", "images: pixels put around each, from which its own size is cut out at random", without=OFF,
        also="crop_padding"),
    Key("augment.flip", "images: probability of being mirrored left to right", without=OFF,
        also="hflip horizontal_flip random_horizontal_flip random_flip fliplr"),
    Key("augment.rotation", "images: most degrees by which each is turned, to either side", without=OFF,
        also="rotation degrees"),
    Key("augment.cutout", "images: side of the square, in pixels, that is covered with the inputs' mean", without=OFF,
        also="cutout cutout_length"),
    Key("augment.time_shift", "sequences: most time steps by which each is moved", without=OFF, also="time_shift"),
    Key("augment.scale", "sequences: deviation of the factor of each channel, around 1", without=OFF,
        also="augment.scaling"),
    Key("augment.noise", "deviation of the noise on all inputs, where theirs is 1", without=OFF,
        also="jitter augment.jitter gaussian_noise input_noise"),
    Key("augment.mixup", "alpha: each example is mixed with another of its batch, by a share from Beta(alpha, alpha)",
        without=OFF, also="mixup mixup_alpha"),
    # Gradients, each run's own, in this order.
    Key("gradient.centralize", "true: subtract the mean from each row of a weight matrix's gradient", without=OFF),
    Key("gradient.clip_value", "largest absolute value of an entry", without=OFF,
        also="clip_value clip_grad_value"),
    Key("gradient.clip_norm", "largest norm of a run's whole gradient", without=OFF,
        also="clip_grad_norm max_grad_norm grad_clip_norm gradient_clip_norm global_clipnorm max_norm"),
    Key("gradient.noise", "eta: at step t, add noise from N(0, eta / (1 + t)^0.55)", without=OFF,
        also="gradient_noise grad_noise"),
    # Regularization.
    Key("regularize.weight_decay", "L2: add this number times w to the gradient", without=OFF),
    Key("regularize.decoupled", "w <- (1 - lr * this number) w before each update", without=OFF),
    Key("regularize.l1", "add this number times the sum of |w| to the loss", without=OFF, also="l1"),
    Key("regularize.dropout", "share of each hidden layer's outputs that is dropped", without=OFF,
        also="dropout dropout_rate drop_rate p_dropout"),
    Key("regularize.dropconnect", "share of each hidden layer's weights that is dropped", without=OFF,
        also="dropconnect"),
    Key("regularize.alpha_dropout", "share of each hidden layer's outputs set to SELU's lowest value", without=OFF,
        also="alpha_dropout"),
    Key("regularize.label_smoothing", "share of each target that is spread over all classes", without=OFF,
        also="label_smoothing"),
    Key("regularize.weight_noise", "standard deviation of the noise added to the weights at each step", without=OFF,
        also="weight_noise"),
    Key("regularize.patience", "stop after this many evaluations without a lower validation loss", without=OFF,
        also="patience"),
    # A teacher.
    Key("distill.run", "id of a finished run that saved its weights, or its beginning", RUN_ID, names_run=True,
        without=OFF, also="teacher teacher_run"),
    Key("distill.seeds",
        "own: that run with the student's own seed; N: the mean of that run's seeds 0 to N-1; null: that run",
        TEACHERS, trains=False, trains_with="distill.run"),
    Key("distill.temperature", "T, by which outputs are divided before the softmax; null: 2", _or_null(POSITIVE),
        trains=False, trains_with="distill.run", also="temperature distillation_temperature"),
    Key("distill.weight", "share of the teacher in the loss, the rest is the labels'; null: 0.5", _or_null(SHARE),
        trains=False, trains_with="distill.run", also="distillation_weight"),
    # What tuned keys are tried at. `tune.KEY=[low,high,scale]` is the range of a key.
    Key("tune.low", "lowest rate; null: 0.0001", _or_null(POSITIVE), trains=False, null_means=1e-4),
    Key("tune.high", "highest rate; null: 1", _or_null(POSITIVE), trains=False, null_means=1.0),
    Key("tune.rates", "number of rates, evenly spaced on a log scale; null: 9", _or_null(_whole_from(2)),
        trains=False, null_means=9),
    Key("tune.points", "number of values of each other tuned key on the grid; null: 5", _or_null(_whole_from(2)),
        trains=False, null_means=5),
    Key("tune.tuner", "how values are chosen: grid, random or tpe; null: grid", TUNER, trains=False, null_means="grid",
        also="tuner"),
    Key("tune.trials", "settings that random and tpe try in each cell; null: 16", _or_null(_whole_from(2)),
        trains=False, null_means=16),
    Key("tune.seed", "seed of random and tpe; null: 0", _or_null(_whole_from(0)), trains=False, null_means=0),
    # What counts as learned, and what is recorded.
    Key("outcome.learned_ratio", "learned: loss or share of errors at the end at most this part of a constant's",
        RATIO, brought_by="data"),
    Key("outcome.window", "the final training loss is the mean over this many last steps", _whole_from(1)),
    Key("metrics", "statistics recorded for each layer", NAMES, trains=False),
    # Parameters of some choices.
    Key("data.data_dir", "folder of the dataset's files; null: the folder data", FOLDER, trains=False,
        also="data_dir dataset_dir"),
    Key("data.download", "whether missing files may be downloaded", trains=False),
    Key("model.branch_scale", "scale of residual branches; null: no residual connections", without=OFF),
    Key("model.tied", "true: all hidden layers share one weight matrix", without=OFF),
    Key("init.run", "id, or its beginning, of a finished run whose weights are loaded", RUN_ID),
    Key("init.gain", "factor of all weights; auto: the gain that suits the activation"),
    Key("init.bias", "value of all biases at the start; null: as the initializer's paper has it"),
]  # fmt: skip

BY_NAME = {key.name: key for key in KEYS}
WITHOUT_EFFECT = {key.name for key in KEYS if not key.trains}
TRAINS_WITH = {key.name: key.trains_with for key in KEYS if key.trains_with}
STACKABLE = frozenset(key.name for key in KEYS if key.stackable)
PLAIN = {key.name: key.plain for key in KEYS if key.plain is not None}
BROUGHT_BY = {key.name: key.brought_by for key in KEYS if key.brought_by}
NAMES_RUN = {key.name for key in KEYS if key.names_run}
TUNE = {key.name: key.null_means for key in KEYS if key.null_means is not None}
RULES = {key.name: key.rule for key in KEYS if key.rule is not None}


def stackable(config: Mapping[str, Any]) -> frozenset[str]:
    """The keys that may differ inside a stack of runs like this one, which all see one dataset.

    Not the seed where it draws the split or chooses the teacher: another seed is another dataset, or other targets.
    """
    by_seed = config.get("data", {}).get("split_seed") == BY_SEED or _own_teacher(config.get("distill", {}))
    return STACKABLE - {"seed"} if by_seed else STACKABLE


def tunes(key: str) -> bool:
    """Whether a key says what tuned keys are tried at: `tune.low`, or `tune.init.gain`, the range of a key."""
    return key.startswith("tune.")


def _own_teacher(distill: Mapping[str, Any]) -> bool:
    return distill.get("run") is not None and distill.get("seeds") == OWN_SEED


def without_effect(config: Mapping[str, Any]) -> set[str]:
    """The keys of a configuration, `dotted`, that do not change how it trains.

    With early stopping, `eval_every` does: evaluations decide when a run stops and which weights count.
    """
    tuning = {key for key in config if tunes(key)}
    return (WITHOUT_EFFECT | tuning) - {key for key, other in TRAINS_WITH.items() if config.get(other) is not None}


def check_root(config: Mapping[str, Any], where: str, keys: Iterable[str] = RULES) -> None:
    """Raise InputError where a root key breaks its rule, also if a file or an interpolation sets it."""
    flat = dotted(config)
    for key in keys:
        (words, holds), value = RULES[key], flat.get(key)
        if not is_interpolation(value) and not holds(value):
            raise InputError(f"{where}: '{key}' is {shown(value)}; it must be {words}")


def fitted(key: str, value: Any, default: Any, where: str) -> Any:
    """A value in the type of its default (for 0.5, 1 becomes 1.0); InputError if the key does not take such a value."""
    if is_interpolation(value):
        return value  # checked once it is resolved
    words, holds = RULES.get(key) or _like(key, default)
    if not holds(value):
        hint = as_a_sweep(key, value, holds) or f"the default is {shown(default)}"
        raise InputError(f"{where}: '{key}' must be {words}, not {shown(value)}; {hint}")
    return float(value) if isinstance(default, float) and is_whole(value) else value


def typed(key: str, text: Any, default: Any) -> Any:
    """A text as the value that the key takes, where the key does not take text: "5" -> 5."""
    _, holds = RULES.get(key) or _like(key, default)
    if not isinstance(text, str) or (default is not None and holds(text)):
        return text
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if holds(value) and not isinstance(value, list | dict) else text


def as_a_sweep(key: str, value: Any, holds: Callable[[Any], bool]) -> str:
    """How several values are typed, for those who write them `[5,20]` or `5-20`; "" where it is none of these."""
    if isinstance(value, list) and value and all(map(holds, value)):
        return f"did you mean {key}={','.join(map(str, value))}, without the brackets?"
    span = re.fullmatch(r"(\d+)(?:-|:|\.\.\.?)(\d+)", value) if isinstance(value, str) else None
    return f"did you mean '{key}=range({span[1]},{int(span[2]) + 1})'?" if span else ""


def _like(key: str, default: Any) -> KeyRule:
    """The rule of a key without one of its own: a value must be like the default; null allows anything.

    A gain may also be the word "auto": the gain that suits the activation.
    """
    if default is None or is_interpolation(default):
        return "anything", lambda value: True
    if isinstance(default, bool):
        return BOOLEAN
    if is_number(default) or default == "auto":
        if key.endswith(".gain"):
            return "a number or auto", lambda value: is_number(value) or value == "auto"
        return "a number", is_number
    if isinstance(default, str):
        return "a string", lambda value: isinstance(value, str)
    if isinstance(default, list):
        return "a list", lambda value: isinstance(value, list)
    return f"given key by key, as in {key}.{next(iter(default), 'name')}=...", lambda value: False


def value_words(key: str, default: Any) -> str:
    """What a value of a key must be, such as "true or false". default: the key's, or one like the values it takes."""
    return (RULES.get(key) or _like(key, default))[0]
