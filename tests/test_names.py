"""Names as PyTorch, Keras, JAX, scikit-learn and Hydra have them: each works here, or one line says what does."""

import json
import re
import shlex
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from initbench.cli import app
from initbench.config import registry
from initbench.config.aliases import meaning, other_names, read_key
from initbench.config.completion import completion
from initbench.config.grid import expand
from initbench.config.keys import KEYS
from initbench.config.overrides import read_axes
from initbench.config.registry import CONF, choices, groups, root_keys
from initbench.config.values import dotted
from initbench.errors import InputError, closest, folded
from initbench.parts import inits

# What can be typed as it is, and what it is here.
WORKS = {
    "init=kaiming_normal": "init=he",
    "init=kaiming_normal_": "init=he",
    "init=KaimingNormal": "init=he",
    "init=kaiming": "init=he",
    "init=msra": "init=he",
    "init=kaiming_uniform_": "init=he_uniform",
    "init=HeUniform": "init=he_uniform",
    "init=glorot": "init=xavier",
    "init=glorot_uniform": "init=xavier",
    "init=GlorotUniform": "init=xavier",
    "init=xavier_uniform": "init=xavier",
    "init=xavier_normal_": "init=xavier_normal",
    "init=LecunUniform": "init=lecun_uniform",
    "init=he_normal": "init=he_truncated",
    "init=HeNormal": "init=he_truncated",
    "init=glorot_normal": "init=xavier_truncated",
    "init=LecunNormal": "init=lecun_truncated",
    "init=VarianceScaling": "init=lecun_truncated",
    "init=RandomUniform": "init=uniform",
    "init=Orthogonal": "init=orthogonal",
    "init=dirac_": "init=identity",
    "init=Zeros": "init=zeros",
    "init=pytorch_default": "init=torch_default",
    "act=ReLU": "act=relu",
    "act=swish": "act=silu",
    "act=SiLU": "act=silu",
    "act=LeakyReLU": "act=leaky_relu",
    "act=logistic": "act=sigmoid",
    "act=Identity": "act=linear",
    "activation=tanh": "act=tanh",
    "nonlinearity=relu": "act=relu",
    "dataset=MNIST": "data=mnist",
    "data=FashionMNIST": "data=fashion_mnist",
    "data=cifar-10": "data=cifar10",
    "data=load_digits": "data=digits",
    "model=MLP": "model=mlp",
    "model=ResNet": "model=resnet",
    "model=SimpleRNN": "model=rnn",
    "model=LogisticRegression": "model=logistic",
    "optimizer=Adam": "optim=adam",
    "optimizer.momentum=0.5": "optim.momentum=0.5",
    "optim=AdamW": "optim=adamw",
    "scheduler=CosineAnnealingLR": "schedule=cosine",
    "norm=BatchNorm1d": "norm=batch",
    "norm=layer_norm": "norm=layer",
    "norm=None": "norm=none",
    "mitigation=batch_norm": "mitigation=batchnorm",
    "learning_rate=0.1": "lr=0.1",
    "hidden_layers=3": "depth=3",
    "hidden_size=64": "width=64",
    "units=64": "width=64",
    "batch=64": "batch_size=64",
    "batch-size=64": "batch_size=64",
    "max_steps=50": "steps=50",
    "random_state=3": "seed=3",
    "dropout=0.1": "regularize.dropout=0.1",
    "max_grad_norm=1": "gradient.clip_norm=1",
    "clipvalue=1": "gradient.clip_value=1",
    "validation_split=0.2": "data.val_fraction=0.2",
    "label_smoothing=0.1": "regularize.label_smoothing=0.1",
    "Depth=3": "depth=3",
}

# What is refused, and what the line says.
REFUSED = {
    "init=RandomNormal": "did you mean 'normal'? (in Keras the deviation is 0.05: init.std=0.05)",
    "init=TruncatedNormal": "did you mean 'trunc_normal'? (in Keras",
    "init=uniform_": "did you mean 'uniform'? (PyTorch draws from 0 to 1",
    "init=ones": "did you mean 'constant'? (with init.value=1)",
    "init=[he,xavier]": "did you mean 'init=he,xavier', without the brackets?",
    "init=xaviar": "did you mean 'xavier'?",
    "init=nothing_like_it": "more: initbench list init",
    "act=PReLU": "did you mean 'leaky_relu'? (PReLU learns the slope",
    "act=relu6": "did you mean 'relu'?",
    "model=resnet18": "did you mean 'resnet'? (here depth=... sets the blocks",
    "model=vit": "did you mean 'transformer'?",
    "data=cifar100": "did you mean 'cifar10'?",
    "optim=nesterov": "did you mean 'sgd'? (with optim.nesterov=true)",
    "schedule=StepLR": "did you mean 'step'? (here schedule.parts",
    "schedule=OneCycleLR": "did you mean 'one_cycle'? (in PyTorch the momentum changes too)",
    "norm=InstanceNorm": "did you mean 'group'?",
    "mitigation=gradient_clipping": "did you mean 'clip_norm'?",
    "seeds=5": "did you mean --seeds 5?",
    "n_seeds=5": "did you mean --seeds 5?",
    "layers=3": "did you mean depth=3? (it counts hidden layers",
    "n_layers=3": "did you mean depth=3?",
    "hidden_layer_sizes=[100,100]": "did you mean depth=... width=...?",
    "weight_decay=1e-4": "did you mean regularize.weight_decay=1e-4, or optim=adamw optim.weight_decay=1e-4?",
    "alpha=1e-4": "did you mean regularize.weight_decay=1e-4?",
    "momentum=0.9": "did you mean optim.momentum=0.9?",
    "clip=1": "did you mean gradient.clip_norm=1, or gradient.clip_value=1?",
    "slope=0.1": "did you mean act.slope=0.1?",
    "init.stddev=0.1": "did you mean init.std=0.1?",
    "init.mode=fan_out": "did you mean init=he or init=he_fan_out?",
    "optim.lr=0.1": "did you mean lr=0.1?",
    "model.hidden_size=3": "did you mean width=3?",
    "model.dropout=0.1": "did you mean regularize.dropout=0.1?",
    "trainer.max_epochs=10": "training is counted in steps",
    "device=cuda": "did you mean --device cpu, or --device cuda?",
    "n_jobs=4": "did you mean --workers 4?",
    "output_dir=x": "did you mean --out x?",
    "hydra.run.dir=x": "did you mean --out x?",
    "hydra/launcher=joblib": "did you mean --executor joblib?",
    "experiment=x": "did you mean mitigation=x?",
    "criterion=mse": "each dataset has its loss: initbench list data",
    "nothing_like_it=1": "more: initbench list keys",
    "init=he xavier": "did you mean 'init=he,xavier', with a comma?",
    "depth=5 20": "did you mean 'depth=5,20', with a comma?",
    "init=he, xavier": "did you mean 'init=he,xavier'?",
    "depth = 5": "did you mean 'depth=5'?",
    "depth= 5": "did you mean 'depth=5'?",
    "depth =5": "did you mean 'depth=5'?",
    "depth:5": "did you mean 'depth=5'?",
    "depth=[5,20]": "did you mean depth=5,20, without the brackets?",
    "depth=5-20": "did you mean 'depth=range(5,21)'?",
    "lr=auto": "or the word tune",
    "lr=0.1,": "did you mean 'lr=0.1'?",
    "he relu": "did you mean 'init=he'?",
    "'data.path=a (1).txt'": "did you mean \"data.path='a (1).txt'\"?",
    "data.path=a=b": "did you mean \"data.path='a=b'\"?",
}

# Options and commands that there are not.
COMMAND_LINES = {
    "run --init he": "did you mean init=he?",
    "run --lr=0.1": "did you mean lr=0.1?",
    "run -lr 0.1": "did you mean lr=0.1?",
    "run --learning-rate 0.1": "did you mean lr=0.1?",
    "run --batch-size 64": "did you mean batch_size=64?",
    "run --epochs 10": "did you mean steps=...?",
    "run --seed 3": "did you mean seed=3?",
    "run --gpu": "did you mean --device cpu, or --device cuda?",
    "run --output-dir x": "did you mean --out x?",
    "run --num-workers 4": "did you mean --workers 4?",
    "run --worker 4": "did you mean '--workers'?",
    "run --resume": "the same command trains what is missing",
    "run -m init=he,xavier": "commas sweep",
    "run --multirun init=he,xavier": "commas sweep",
    "run --cfg job": "did you mean initbench plan --config?",
    "run --config-name x": "did you mean initbench plan --config?",
    "run --seeds": "requires an argument",
    "--init he": "did you mean init=he?",
    "train init=he": "did you mean 'initbench run'?",
    "init=he": "did you mean 'initbench run init=he'?",
    "repport": "did you mean 'report'?",
    "report --swep x": "did you mean '--sweep'?",
    "plan epochs=10": "an epoch has 14 of them here (1,437 examples in batches of 100); did you mean steps=140?",
    "plan max_iter=1,2 batch_size=10": "an epoch has 143 of them here",
}


def asked(words: str) -> list[tuple[str, list[Any]]]:
    """What a grid is made from: keys and values."""
    return [(axis.key, axis.values) for axis in read_axes(shlex.split(words), None, None)]


@pytest.mark.parametrize(("guess", "canonical"), WORKS.items())
def test_another_name_of_the_same_thing_is_that(guess, canonical):
    assert asked(guess) == asked(canonical)
    (axis,) = read_axes([guess], None, None)
    assert axis.notes and all(note.endswith(" here") for note in axis.notes)


def test_other_names_give_the_same_ids():
    ours = ["init=he", "act=relu", "lr=0.1", "optim=adam", "optim.beta1=0.8", "depth=3", "regularize.dropout=0.1"]
    theirs = ["init=kaiming_normal_", "activation=ReLU", "learning_rate=0.1", "optimizer=Adam", "optimizer.beta1=0.8"]
    theirs += ["hidden_layers=3", "dropout=0.1"]
    grids = expand(ours), expand(theirs)
    assert grids[0].runs == grids[1].runs and not grids[0].notes
    assert grids[1].notes[:2] == ["kaiming_normal_ is he here", "activation is act here"]


@pytest.mark.parametrize(("guess", "says"), REFUSED.items())
def test_what_is_something_else_here_is_named(guess, says):
    with pytest.raises(InputError) as refused:
        expand(shlex.split(guess))
    message = str(refused.value)
    assert says in message
    assert len(message.splitlines()) == 1 and len(message) < 300


@pytest.mark.parametrize(("words", "says"), COMMAND_LINES.items())
def test_options_and_commands_of_elsewhere(words, says, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, shlex.split(words))
    (line,) = result.stderr.strip().splitlines()
    assert result.exit_code == 2 and line.startswith("error:") and says in line
    assert not list(tmp_path.iterdir())


def test_one_line_says_which_names_were_read_as_others(tmp_path):
    words = ["plan", "init=kaiming_normal,he", "learning_rate=0.1", "--out", str(tmp_path)]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0
    assert result.stderr.strip() == "note: kaiming_normal is he here, learning_rate is lr here"


def test_two_names_of_one_choice_are_one_value():
    assert asked("init=he,kaiming_normal,msra act=ReLU,relu") == [("init", ["he"]), ("act", ["relu"])]


def test_other_names_are_neither_completed_nor_matched_by_glob():
    assert completion("init=kaim") == completion("learn") == []
    assert asked("'init=glob(k*)'") == [("init", ["krahenbuhl", "kumar"])]


def test_ones_own_choices_have_other_names_too_and_come_first(tmp_path: Path):
    (tmp_path / "init").mkdir()
    (tmp_path / "init" / "kaiming.yaml").write_text("# M.\n# Source: me\n# Also: my_kaiming, K2\n_target_: my.init\n")
    names = ["kaiming", "My-Kaiming", "k2", "kaiming_normal"]
    found = [read_axes([f"init={name}"], None, tmp_path)[0].values for name in names]
    assert found == [["kaiming"], ["kaiming"], ["kaiming"], ["he"]]


# What cannot change a run


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (
            "model=logistic act=relu,tanh",
            "act=relu,tanh': model=logistic with depth=0 does not use 'act'; leave it out",
        ),
        ("model=logistic width=10", "width=10': model=logistic with depth=0 does not use 'width'"),
        ("depth=0 norm=none,batch", "norm=none,batch': model=mlp with depth=0 does not use 'norm'"),
        ("model=narrow.Narrow depth=2,3", "depth=2,3': model=narrow.Narrow does not use 'depth'"),
        ("model=narrow.Narrow act=tanh", "act=tanh': model=narrow.Narrow does not use 'act'"),
        ("model=narrow.of_spec depth=2", "depth=2': model=narrow.of_spec does not use 'depth'"),
        ("data=planted.split data.split_seed=0,1", "data=planted.split does not use 'data.split_seed'; leave it out"),
        ("model=mlp init.forget_bias=1,2", "init.forget_bias needs a model with forget gates: model=lstm"),
        ("model=mlp init.recurrent=identity", "init.recurrent needs a model with recurrent weights: model=rnn"),
    ],
)
def test_what_nothing_uses_is_refused(words, says, own_models):
    result = CliRunner().invoke(app, ["plan", *words.split(), "--out", str(own_models / "results")])
    assert result.exit_code == 2 and says in result.stderr


@pytest.mark.parametrize("model", ["kept", "copied", "of_anything"])
def test_a_key_is_taken_to_be_used_where_that_is_not_known(model, own_models):
    """A spec that the model keeps may be read when it is called, and so may parameters that it takes without names."""
    words = [f"model=narrow.{model}", "depth=2,3", "--json", "--out", str(own_models / "results")]
    assert json.loads(CliRunner().invoke(app, ["plan", *words]).stdout)["runs"] == 2


@pytest.fixture
def own_models(tmp_path: Path, monkeypatch) -> Path:
    """A folder with models in `narrow.py` that take a width only, and in `planted.py` data that are split already."""
    (tmp_path / "narrow.py").write_text(
        "import math\nfrom torch import nn\n"
        "class Narrow(nn.Sequential):\n"
        "    def __init__(self, shape, classes, width):\n"
        "        super().__init__(nn.Flatten(), nn.Linear(math.prod(shape), width), nn.Linear(width, classes))\n"
        "def of_spec(spec):\n    return Narrow(spec.shape, spec.classes, spec.width)\n"
        "def kept(spec):\n    model = of_spec(spec)\n    model.spec = spec\n    return model\n"
        "def copied(spec):\n    return Narrow(*(vars(spec)[name] for name in ('shape', 'classes', 'width')))\n"
        "def of_anything(**given):\n    return Narrow(given['shape'], given['classes'], given['width'])\n"
    )
    (tmp_path / "planted.py").write_text(
        "import torch\nfrom initbench.parts.data import Raw\n"
        "def split():\n"
        "    x, y = torch.arange(400.0).reshape(200, 2) % 7, torch.arange(200) % 2\n"
        "    return Raw(x, y, classes=2, x_test=x[:50], y_test=y[:50])\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_what_one_model_of_several_does_not_take_is_one_run_there(tmp_path):
    result = CliRunner().invoke(app, ["plan", "model=mlp,logistic", "act=relu,tanh", "--json", "--out", str(tmp_path)])
    facts = json.loads(result.stdout)
    assert facts["runs"] == 3
    assert facts["left_out"] == [
        {"runs": 1, "reason": "model=logistic with depth=0 does not use act: other values give the same run"}
    ]


# The names themselves


@pytest.mark.parametrize("group", groups())
def test_a_name_stands_for_one_choice(group):
    names = [folded(name) for name in choices(group)]
    for facts in registry.shipped_facts(group).values():
        names += [folded(name) for name, _ in other_names(facts)]
    assert not {name: count for name, count in Counter(names).items() if count > 1}


@pytest.mark.parametrize("group", groups())
def test_what_a_header_says_of_other_names_can_be_read(group):
    for choice, facts in registry.shipped_facts(group).items():
        for name, difference in other_names(facts):
            assert meaning(group, name) == (choice, difference)
        assert facts.get("Near", "").count("(") == len({text for _, text in other_names(facts) if text})


def test_a_key_has_its_other_names_alone():
    names = Counter(folded(name) for key in KEYS for name in [key.name, *key.also.split()])
    assert not {name: count for name, count in names.items() if count > 1}
    elsewhere = [folded(name.strip()) for names in registry.read(CONF / "elsewhere.yaml") for name in names.split(",")]
    assert not {name: count for name, count in Counter(elsewhere).items() if count > 1}
    assert not set(elsewhere) & set(names)
    for key in KEYS:
        assert {read_key(name) for name in key.also.split()} <= {key.name}


def test_what_the_table_says_to_type_is_there():
    """Every `key=` that it names is a key, and every option exists."""
    options = "".join(CliRunner().invoke(app, [command, "--help"]).stdout for command in ("run", "plan"))
    keys = {*groups(), *root_keys(), *(key.name for key in KEYS)}
    keys |= {f"{group}.{name}" for group in groups() for each in registry.describe(group) for name in each.parameters}
    for here in registry.read(CONF / "elsewhere.yaml").values():
        for word in here.replace(",", " ").replace("{name}", "momentum").split():
            if word.startswith("--"):
                assert word in options, word
            elif "=" in word and word != "average=momentum":
                assert word.partition("=")[0] in keys, word


def test_what_the_docs_say_of_initializers():
    text = (CONF.parent / "docs" / "names.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (.*`.*) \| `(\w+)` \| (.*) \|$", text, re.MULTILINE)
    assert len(rows) >= 12
    for others, name, difference in rows:
        for other in re.findall("`(.*?)`", others):
            meant = meaning("init", other)
            assert meant and meant.name == name and bool(meant.difference) == (not difference.startswith("none"))


PYTORCH = [name for name in vars(nn.init) if name.endswith("_") and not name.startswith("_")]


@pytest.mark.parametrize("name", PYTORCH)
def test_what_pytorch_calls_so_is_what_is_drawn(name):
    """Each function of torch.nn.init that can be typed as it is draws from the same distribution; the others differ."""
    meant = meaning("init", name)
    if meant is None or meant.difference:
        assert name in {"uniform_", "trunc_normal_", "constant_", "ones_"}
        return
    layer, theirs = nn.Linear(300, 500), torch.empty(500, 300, 1)
    with torch.random.fork_rng(devices=[]):
        needed = [0.9] if name == "sparse_" else []  # our default
        getattr(nn.init, name)(theirs if name == "dirac_" else theirs[..., 0], *needed)
    with torch.no_grad():
        getattr(inits, meant.name)(layer, torch.zeros(1, 300), torch.Generator().manual_seed(1))
    levels = torch.linspace(0, 1, 21)
    ours, theirs = layer.weight.detach().flatten().quantile(levels), theirs.flatten().quantile(levels)
    torch.testing.assert_close(ours[1:-1], theirs[1:-1], rtol=0.05, atol=0.02 * float(theirs.std()))
    assert layer.bias.count_nonzero() == 0


def test_what_looks_like_a_slip_is_taken_for_one():
    assert closest("xaviar", choices("init")) == ["xavier"]
    assert closest("BATCH-SIZE", root_keys()) == ["batch_size"]
    assert closest("windw", root_keys()) == ["outcome.window"]
    assert closest("swish", ["softsign", "silu"]) == []


def test_keys_are_read_by_name_before_anything_else():
    keys = [*groups(), *root_keys(), *dotted(expand([]).runs[0].config)]
    assert [read_key(key) for key in keys] == keys
