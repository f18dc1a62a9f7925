"""Every table that is written to disk: its columns with type, unit and meaning.

The store checks what it writes against these tables, and the tables of docs/results.md are made from them:
`python -m initbench.results.schema` prints them. To add a column of `runs.parquet`, add its line to OUTCOMES.
"""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

TEXT, INTEGER, FLOAT, BOOLEAN = pa.string(), pa.int64(), pa.float64(), pa.bool_()
NAMES, INT32, FLOAT32 = pa.dictionary(pa.int32(), pa.string()), pa.int32(), pa.float32()
TYPE_NAMES = {TEXT: "text", INTEGER: "integer", NAMES: "text (dictionary)", INT32: "int32", FLOAT32: "float32"}
TYPE_NAMES |= {FLOAT: "float", BOOLEAN: "boolean", pa.list_(FLOAT32): "list of float32"}


@dataclass(frozen=True)
class Field:
    """A column of a table, or a key of a JSON file.

    Args:
        name: of the column or key.
        type: as it is stored; in words for a key of a JSON file.
        unit: empty for a number without a unit. "loss" is the unit of the data's objective.
        meaning: one sentence.
    """

    name: str
    type: pa.DataType | str
    unit: str
    meaning: str


RUN_ID = Field("run_id", TEXT, "", "16 hexadecimal digits: a hash of the choices and every key that affects training")

# What tells runs apart in runs.csv, out of the whole configuration.
SETTINGS = [
    Field("init", TEXT, "", "initializer"),
    Field("act", TEXT, "", "activation; as it was seen in a model of your own that asks for none, null if it has none"),
    Field("depth", INTEGER, "layers", "hidden layers"),
    Field("width", INTEGER, "units", "units of a hidden layer; text, a list in JSON, where layers differ"),
    Field("data", TEXT, "", "dataset"),
    Field("model", TEXT, "", "model"),
    Field("mitigation", TEXT, "", "mitigation, or `none`"),
    Field("optim", TEXT, "", "optimizer"),
    Field("lr", FLOAT, "", "learning rate"),
    Field("seed", INTEGER, "", "seed of the weights and of the order of the data"),
    Field("steps", INTEGER, "steps", "length of the training"),
    Field("batch_size", INTEGER, "examples", "size of a minibatch"),
]

# What a run came to: the columns of a stack's runs.parquet that are not configuration.
OUTCOMES = [
    Field("config", TEXT, "", "the resolved configuration as JSON"),
    Field("status", TEXT, "", "`done` or `failed`; in runs.csv also `pending`: asked for and not yet trained"),
    Field("error", TEXT, "", "why the run failed; null if it is done"),
    Field("outcome", TEXT, "", "`learned`, `slow`, `stuck` or `diverged`; null unless done"),
    Field("task", TEXT, "", "what is predicted: `labels` or `numbers`; null in old results: `labels`"),
    Field("loss_unit", TEXT, "", "the unit of the run's losses: `nats`, `squared error`, ..."),
    Field("constant_loss", FLOAT, "loss", "training loss of the best prediction that is the same for every example"),
    Field(
        "train_majority", FLOAT, "fraction", "accuracy on the training part of always predicting its commonest label"
    ),
    Field(
        "majority_acc", FLOAT, "fraction", "accuracy on the test part of always predicting the commonest training label"
    ),
    Field(
        "neighbour_agreement",
        FLOAT,
        "fraction",
        "training examples whose most similar other has the same label; "
        "null for tokens, numbers and several labels per example",
    ),
    Field("neighbour_chance", FLOAT, "fraction", "the same for two examples at random"),
    Field("classes", INTEGER, "", "how many labels there are; 1 for numbers"),
    Field(
        "class_ratio",
        FLOAT,
        "",
        "training examples of the rarest class over those of the commonest; "
        "null for numbers, several labels per example and in old results",
    ),
    Field("train_examples", INTEGER, "examples", "size of the training part"),
    Field("val_examples", INTEGER, "examples", "size of the validation part"),
    Field("test_examples", INTEGER, "examples", "size of the test part"),
    Field("input_mean", FLOAT, "data's own", "mean of the training inputs before standardization; null for tokens"),
    Field("input_std", FLOAT, "data's own", "standard deviation of the same; null for tokens"),
    Field("seen_mean", FLOAT, "", "mean of the training inputs as the network sees them, after all preparation"),
    Field("seen_std", FLOAT, "", "standard deviation of the same; null for tokens, as all `seen_` but `seen_distinct`"),
    Field("seen_mean_max", FLOAT, "", "largest absolute mean of a feature (an entry of x, such as a pixel)"),
    Field("seen_std_min", FLOAT, "", "smallest standard deviation of a feature, of those that vary"),
    Field("seen_std_median", FLOAT, "", "their median"),
    Field("seen_std_max", FLOAT, "", "the largest of them"),
    Field("seen_constant", FLOAT, "fraction", "features that are the same in all training inputs"),
    Field("seen_distinct", INTEGER, "examples", "different training inputs; null in old results, as all `seen_`"),
    Field("train_loss", FLOAT, "loss", "mean of the last `outcome.window` (20) minibatch losses"),
    Field("full_train_loss", FLOAT, "loss", "mean over the training part at the end, of which `outcome` is judged"),
    Field("train_acc", FLOAT, "fraction", "final accuracy on the training part; if it is large, of 5,000 examples"),
    Field(
        "train_balanced_acc",
        FLOAT,
        "fraction",
        "balanced accuracy there: the mean over the classes of the share of each that is predicted right; "
        "null for numbers and in old results, as all `_balanced_acc` and `_f1`",
    ),
    Field("train_f1", FLOAT, "fraction", "macro F1 there: the mean over the classes of 2 right / (there + predicted)"),
    Field("val_loss", FLOAT, "loss", "mean over the validation part at the end; null if there is none"),
    Field("val_acc", FLOAT, "fraction", "accuracy on the validation part at the end; null if there is none"),
    Field("val_balanced_acc", FLOAT, "fraction", "balanced accuracy on the validation part at the end"),
    Field("val_f1", FLOAT, "fraction", "macro F1 on the validation part at the end"),
    Field("test_loss", FLOAT, "loss", "mean over the test part at the end"),
    Field("test_acc", FLOAT, "fraction", "accuracy on the test part at the end"),
    Field("test_balanced_acc", FLOAT, "fraction", "balanced accuracy on the test part at the end"),
    Field("test_f1", FLOAT, "fraction", "macro F1 on the test part at the end"),
    Field("diverged_step", INTEGER, "steps", "the step whose loss was not finite; null unless diverged"),
    Field("stopped_step", INTEGER, "steps", "where early stopping ended the run; null if it was trained to the end"),
    Field("best_step", INTEGER, "steps", "with early stopping, the step of the lowest validation loss, which counts"),
    Field("first_last_grad_ratio", FLOAT, "", "pre-activation gradient norm at step 0: first over last hidden layer"),
    Field("parameters", INTEGER, "", "trainable numbers in the model"),
    Field("init_seconds", FLOAT, "s", "time to build the model and write its first weights; null in old results"),
    Field(
        "init_report", TEXT, "", "what an initializer that looks at data or loads weights did: JSON; null for others"
    ),
    Field(
        "output_kind",
        TEXT,
        "",
        "of the outputs before training: `probabilities` (as of a softmax), `fractions` "
        "(from 0 to 1), `rectified` (none below 0); null for any number, as it should be",
    ),
    Field(
        "act_rectifies",
        BOOLEAN,
        "",
        "whether the activation of a hidden layer is off on one side of 0, as ReLU; null if unknown",
    ),
    Field("unused", TEXT, "", "which of `depth` and `width` a model of your own does not use; null if none"),
]

# Of the stack that a run was trained in: added when results are read.
SWEEP = Field("sweep", TEXT, "", "the first of the sweeps shown, by `created`, that asked for the run")
STACK = [
    Field("stack_id", TEXT, "", "the folder under `stacks/` that the row comes from"),
    Field("stack_size", INTEGER, "runs", "runs in that stack"),
    Field("stack_seconds", FLOAT, "s", "time of the whole stack; it says nothing about one run inside it"),
]
REASON = Field("reason", TEXT, "", "why the run failed, in one line; null unless failed")  # of `error`

_IN_CSV = (
    "status",
    "outcome",
    "train_loss",
    "train_acc",
    "val_acc",
    "test_loss",
    "test_acc",
    "majority_acc",
    "diverged_step",
)
_OUTCOME = {field.name: field for field in OUTCOMES}
RUNS_CSV = [RUN_ID, SWEEP, *SETTINGS, *(_OUTCOME[name] for name in (*_IN_CSV, "first_last_grad_ratio")), *STACK, REASON]
RUNS_CSV += [_OUTCOME[name] for name in ("test_balanced_acc", "test_f1")]  # columns stay where scripts expect them

# ---------------------------------------------------------------- curves and layers

_ID, _STEP = Field("run_id", NAMES, "", "the run"), Field("step", INT32, "steps", "updates done before, from 0")
_LAYER = [
    Field("layer", INT32, "", "number of the layer, from 0, next to the input"),
    Field(
        "name",
        NAMES,
        "",
        "its name in the model, `layers.0`; in a model of your own its number, module and class, "
        "`layer 3 (net.4, Linear)`",
    ),
]
_ACTIVATION = [  # null in old results too
    Field("activation", NAMES, "", "its activation as the model computes it (`relu`); null where it has none"),
    Field("rectifies", BOOLEAN, "", "whether that is off on one side of 0, as ReLU; null if unknown"),
]
_BY_CLASS = [
    Field("balanced_acc", FLOAT32, "fraction", "balanced accuracy on the split; null for numbers, as `f1`"),
    Field("f1", FLOAT32, "fraction", "macro F1 on the split"),
]
_PRE_GRAD = "Frobenius norm of the loss's gradient with respect to the pre-activations"
METRICS = [  # those of initbench; the key `metrics` may name others, which are stored as float32 too
    Field("weight_grad_norm", FLOAT32, "loss", "Frobenius norm of the loss's gradient with respect to the weights"),
    Field("pre_grad_norm", FLOAT32, "loss", f"{_PRE_GRAD}, over the batch and the units"),
    Field("act_mean", FLOAT32, "", "mean of the activation over the batch and the units"),
    Field("act_var", FLOAT32, "", "variance of the activation over the batch and the units"),
    Field("unit_spread", FLOAT32, "", "deviation of the activation across units, mean over the batch; 0: all alike"),
    Field("example_spread", FLOAT32, "", "deviation of the activation across examples, mean over units; 0: all alike"),
    Field("dead", FLOAT32, "fraction", "units with \\|phi'\\| < 0.001 on every example; null if phi isn't elementwise"),
    Field("saturated", FLOAT32, "fraction", "(example, unit) pairs with \\|phi'\\| < 0.05; null likewise"),
    Field("update_ratio", FLOAT32, "", "norm of the weights' change over the norm of the weights; null if those are 0"),
    Field("nonfinite", FLOAT32, "count", "NaN or infinite entries of the activation and the pre-activation gradient"),
]
CURVES = {
    "losses": [_ID, _STEP, Field("train_loss", FLOAT32, "loss", "minibatch loss before the step's update")],
    "evals": [
        _ID,
        _STEP,
        Field("split", NAMES, "", "`train`, `val` or `test`"),
        Field("loss", FLOAT32, "loss", "mean over the split"),
        Field("acc", FLOAT32, "fraction", "accuracy on the split"),
        *_BY_CLASS,
    ],
    "layers": [_ID, _STEP, *_LAYER, *_ACTIVATION, *METRICS],
    "times": [
        _ID,
        _STEP,
        *_LAYER,
        Field("time", INT32, "", "time step in the order in which the layer reads, from 0"),
        Field("pre_grad_norm", FLOAT32, "loss", f"{_PRE_GRAD} of the layer at that time"),
    ],
    "gradients": [
        _ID,
        _STEP,
        Field("norm", FLOAT32, "loss", "Euclidean norm of the loss's gradient with respect to all parameters"),
        Field("treated_norm", FLOAT32, "loss", "the same after what `gradient.*` does to it: what the optimizer gets"),
    ],
    "predictions": [
        _ID,
        Field("example", INT32, "", "number of the prediction in the test part, from 0: of an example or a position"),
        Field("label", INT32, "", "its class, from 0"),
        Field("p", pa.list_(FLOAT32), "fraction", "the model's probability of each class (softmax of its output)"),
    ],
}
ALWAYS = ("losses", "evals", "layers")  # every stack has these tables, the others where there is something to store

# ---------------------------------------------------------------- JSON files

_PROVENANCE = [
    Field("versions", "object", "", "versions of Python and packages"),
    Field("git_commit", "text", "", "commit of the code, with + if files differed from it; null if unknown"),
]
SWEEP_JSON = [
    Field("name", "text", "", "the folder's name"),
    Field("created", "text", "", "ISO time, UTC"),
    Field("command", "list of text", "", "the words of the command line"),
    Field("overrides", "list of text", "", "the overrides as given"),
    Field("axes", "object", "", "swept keys and their values, in the order in which they were given"),
    Field("zipped", "list of lists", "", "the keys of each `--zip`, whose values were taken together"),
    Field("search", "object", "", "of a search (`--tuner`) its `id` and the `trials` of each cell; else null"),
    Field("left_out", "list of objects", "", "`runs` and `reason`: how many runs were skipped, and why"),
    *_PROVENANCE,
]
STACK_JSON = [
    Field("stack_id", "text", "", "the folder's name"),
    Field("stack_size", "integer", "runs", "how many runs"),
    Field("stack_seconds", "float", "s", "time to build, train and evaluate them all"),
    Field("device", "text", "", "name of the processor or GPU that trained them"),
    Field("threads", "integer", "", "threads that the training used"),
    Field("started", "text", "", "ISO time, UTC"),
    *_PROVENANCE,
    Field("run_ids", "list of text", "", "the runs"),
    Field("failed", "list of text", "", "the runs that failed"),
]

# What the types of keys mean, of a value that json.loads gives.
JSON_KINDS: dict[str, Callable[[Any], bool]] = {
    "text": lambda value: isinstance(value, str),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "float": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "object": lambda value: isinstance(value, dict),
    "list of text": lambda value: isinstance(value, list) and all(isinstance(each, str) for each in value),
    "list of objects": lambda value: isinstance(value, list) and all(isinstance(each, dict) for each in value),
    "list of lists": lambda value: isinstance(value, list) and all(isinstance(each, list) for each in value),
}

# ---------------------------------------------------------------- what the store and its readers need of it

RUN_COLUMNS = [field.name for field in RUNS_CSV]  # runs.csv begins with these; every other swept key comes after
OUTCOME_TYPES = {field.name: field.type for field in OUTCOMES}
# Of runs.parquet, as a reader takes them; widths are numbers, or text where layers differ.
RUN_TYPES = (
    {RUN_ID.name: TEXT} | {field.name: field.type for field in SETTINGS if field.name != "width"} | OUTCOME_TYPES
)
ALWAYS_IN_RUNS = {"run_id", *OUTCOME_TYPES} - {"error"}  # columns that every finished run has
MAY_BE_MISSING = {
    field.name for field in [*_ACTIVATION, *_BY_CLASS]
}  # what tables of CURVES need not say; it is null then
CURVE_TYPES = {
    name: {field.name: field.type for field in fields if field not in METRICS} for name, fields in CURVES.items()
}
CURVE_FIELDS = {name: {field.name: field.type for field in fields} for name, fields in CURVES.items()}  # with METRICS
# Columns of a run that are not its configuration.
MEASURED_COLUMNS = {
    "run_id",
    "sweep",
    "scored_by",
    *(field.name for field in STACK),
    "stack_path",
    "reason",
    *OUTCOME_TYPES,
}


def check_columns(file: str, columns: Collection[str], expected: Collection[str], *, others: bool = False) -> None:
    """ValueError where a column is missing, or, unless there may be `others`, where one is unknown."""
    missing = [name for name in expected if name not in columns]
    unknown = [] if others else [name for name in columns if name not in expected]
    if missing or unknown:
        complaints = [f"{what} {', '.join(names)}" for what, names in (("lacks", missing), ("has", unknown)) if names]
        raise ValueError(f"{file} {' and '.join(complaints)}, against initbench/results/schema.py")


# ---------------------------------------------------------------- docs


def markdown(fields: Iterable[Field], first: str = "column") -> str:
    """The table of docs/results.md for these columns, or keys of a JSON file."""
    rows = [(first, "type", "unit", "meaning"), ("---",) * 4]
    rows += [(field.name, TYPE_NAMES.get(field.type, field.type), field.unit, field.meaning) for field in fields]
    return "\n".join(" ".join(f"| {text}" if text else "|" for text in (*row, "")) for row in rows)


def tables() -> dict[str, str]:
    """The tables of docs/results.md by their file."""
    return {
        "runs.csv": markdown(RUNS_CSV),
        "sweep.json": markdown(SWEEP_JSON, "key"),
        "stack.json": markdown(STACK_JSON, "key"),
        "runs.parquet": markdown(OUTCOMES),
        **{f"{name}.parquet": markdown(fields) for name, fields in CURVES.items()},
    }


if __name__ == "__main__":
    for file, table in tables().items():
        print(f"{file}\n\n{table}\n")
