"""Bad input is said in one line that names the value, where it came from and the nearest valid one."""

import os
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from initbench.config.grid import Grid, expand
from initbench.config.registry import choices, describe
from initbench.errors import InputError


def complaint(*overrides: str, seeds: int | None = None, config_dir: Path | None = None) -> str:
    """The message about overrides that can't be used."""
    with pytest.raises(InputError) as caught:
        expand(overrides, seeds=seeds, config_dir=config_dir)
    return str(caught.value)


def is_one_line(message: str) -> bool:
    return bool(message) and len(message.splitlines()) == 1 and message.isprintable()


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        # names
        (["init=hee"], "'init=hee': no init 'hee'; did you mean 'he'?"),
        (["act=glob(zzz*)"], "matches none of the choices"),
        (["depht=3"], "'depht=3': there is no key 'depht'; did you mean 'depth'?"),
        (["outcome.windw=3"], "did you mean 'outcome.window'?"),
        (
            ["init.gian=2"],
            "init=he has no 'gian'; did you mean 'gain'? (there is bias, bias_std, forget_bias, freeze, ga",
        ),
        (
            ["init=he,xavier", "init.std=2"],
            "init=he,xavier has no 'std'; there is bias, bias_std, forget_bias, freeze, gain",
        ),
        (["act=relu", "act.slope=1"], "act=relu has no 'slope'; there is none"),
        (["init._target_=nodots"], "did you mean 'package.function'?"),
        (["mitigation=my.own"], "no mitigation 'my.own'"),
        (["mitigation._target_=my.own"], "there is no key 'mitigation._target_'"),
        (["init.gain.deeper=1"], "has no 'gain.deeper'"),
        (["hydra.run.dir=x"], "'hydra.run.dir' is not a key"),
        (["init@other=he"], "is not a key"),
        (["init/he=1"], "is not a key"),
        # forms
        (["depth"], "'depth': an override must be key=value; did you mean 'depth=...'?"),
        (["--depth 3"], "did you mean 'depth=3'?"),
        (["~lr"], "a key can't be removed"),
        (["init=[he,xavier]"], 'no init ["he", "xavier"]'),
        (["init={he:1}"], 'no init {"he": 1}'),
        (["init="], "no init ''"),
        (["init=null"], "no init null"),
        (["lr='"], "not in Hydra's override grammar"),
        (["lr=[1,2"], "not in Hydra's override grammar"),
        (["lr=nope(1)"], "not in Hydra's override grammar"),
        (["lr=1", "lr=2"], "'lr=2': 'lr' is already given by 'lr=1'"),
        (["init=he", "init._target_=my.own"], "'init' is already given"),
        (["+a.b=1", "+a=2"], "'a' is already given by '+a.b=1'"),
        (["+lr=1"], "'lr' exists already; did you mean it without the +?"),
        (["+init=he"], "did you mean 'init=he'?"),
        (["+depth.x=1"], "'depth' is a value and can't hold 'x'"),
        (["width=[choice(1,2)]"], "is not a plain value"),
        # types and bounds
        (["depth=-1"], "'depth' must be a whole number of at least 0, not -1; the default is 5"),
        (["depth=1,2,x"], "not 'x'"),
        (["depth=2.0"], "not 2.0"),
        (["depth=true"], "not true"),
        (["width=0"], "at least 1"),
        (["lr=0"], "a number above 0"),
        (["lr=-0.1"], "a number above 0"),
        (["lr=fast"], "not 'fast'"),
        (["lr=null"], "not null"),
        (["lr=nan"], "is not a finite number"),
        (["lr=1e999"], "is not a finite number"),
        (["init.gain=inf"], "is not a finite number"),
        (["+note=[1,{x:nan}]"], "is not a finite number"),
        (["batch_size=0"], "at least 1"),
        (["steps=0"], "at least 1"),
        (["seed=-1"], "at least 0"),
        ([f"seed={2**63}"], "64 bits"),
        (["log_every=0"], "at least 1"),
        (["eval_every=0"], "at least 1"),
        (["save_weights=1"], "true or false"),
        (["outcome.learned_ratio=0"], "above 0 and at most 1"),
        (["outcome.learned_ratio=1.5"], "above 0 and at most 1"),
        (["outcome.window=0"], "at least 1"),
        (["outcome={window:3}"], "outcome.learned_ratio=..."),
        (["metrics=dead"], "a list of names"),
        (["metrics=[1]"], "a list of names"),
        (["init.gain=wide"], "'init.gain' must be a number or auto, not 'wide'; the default is 1"),
        (["init.bias=true"], "must be a number, not true"),
        (["data.standardize=1"], "must be a string"),
        (["optim.nesterov=1"], "must be true or false"),
        # sweeps
        (["log_every=10,20"], "'log_every' has no effect on training, so it can't be swept; give one value"),
        (["eval_every=10,20"], "has no effect on training without regularize.patience, so it can't be swept"),
        (["seed=range(0,0)"], "the range is empty"),
        (["depth=range(3,1)"], "the range is empty"),
        (["lr=range(0,1,0)"], "the step of a range can't be 0"),
        ([f"seed=range(0,{10**40})"], "64 bits"),
        (["lr=range(0,inf)"], "is not a finite number"),
        (["lr=interval(0,1)"], "did you mean range(start,stop,step), or lr=tune tune.lr=[low,high]?"),
        (["depth=glob(*)"], "matches none of the choices of a group"),
        # interpolations
        (["lr='${nothing}'"], "'nothing' not found"),
        (["lr='${lr}'"], "can't be resolved"),
        (["depth='${lr}'"], "'depth' is 0.01; it must be a whole number"),
        (["width='${depth'"], "can't be resolved"),
    ],
)
@pytest.mark.slow
def test_each_mistake_gets_its_line(overrides: list[str], says: str):
    message = complaint(*overrides)
    assert says in message
    assert is_one_line(message)


def test_seeds():
    assert "--seeds 0: must be a whole number of at least 1" in complaint(seeds=0)
    assert "--seeds -3" in complaint(seeds=-3)
    assert "--seeds 2 and 'seed=1' are both given" in complaint("seed=1", seeds=2)


@pytest.mark.parametrize(
    "overrides",
    [
        ["seed=range(0,1000000000000)"],
        [f"seed=range(0,{2**62})"],
        ["lr=range(0.1,1,1e-300)"],
        ["lr=range(1e300,2e300,1e-10)"],
        ["depth=range(1,2000)", "width=range(1,2000)"],
        ["depth=shuffle(range(0,1000000000))"],
    ],
)
def test_an_absurd_grid_is_refused_at_once(overrides: list[str]):
    start = time.perf_counter()
    assert "asks for more than 1,000,000 runs" in complaint(*overrides)
    assert time.perf_counter() - start < 5
    assert "asks for more than 1,000,000 runs" in complaint(seeds=10**12)


# Files


def written(folder: Path, name: str, text: str | bytes) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder


def test_a_folder_that_is_none(tmp_path: Path):
    (tmp_path / "file").write_text("")
    assert "missing: there is no such folder" in complaint(config_dir=tmp_path / "missing")
    assert "file: there is no such folder" in complaint(config_dir=tmp_path / "file")
    assert "has none of the folders data, model, init" in complaint(config_dir=tmp_path)
    assert is_one_line(complaint(config_dir=tmp_path / "a\nb"))


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root reads everything")
def test_a_folder_without_permission(tmp_path: Path):
    (tmp_path / "init").mkdir()
    tmp_path.chmod(0)
    try:
        assert "Permission denied" in complaint(config_dir=tmp_path)
    finally:
        tmp_path.chmod(0o700)


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("init/own.yaml", "a: [", "can't be read"),
        ("init/own.yaml", "a: 1\na: 2", "can't be read"),
        ("init/own.yaml", "- a", "it must be a mapping of names to values"),
        ("init/own.yaml", b"a: \xff\xfe", "can't be read"),
        ("init/own.yaml", "std: .nan", "is not a finite number"),
        ("init/own.yaml", "1: 2", "1 can't be a key"),
        ("init/own.yaml", "# @package _global_\nlrr: 1", "may hold only 'init' and root keys such as width"),
        ("init/own.yaml", "# @package _global_\nlr: 0", "'lr' is 0; it must be a number above 0"),
        ("init/own.yaml", "\n\n# @package act\nx: 1", "did you mean '@package _global_'?"),
        ("init/own.yaml", "defaults: [hee, _self_]", "'hee' can't be a default; did you mean"),
        ("init/own.yaml", "defaults: [{override /act: tanh}]", "can't be a default"),
        ("init/own.yaml", "defaults: he", "'defaults' must be a list"),
        ("init/own.yaml", "defaults: [own]", "can't compose"),
        ("init/own.yaml", "gain: ${nothing}", "'nothing' not found"),
        ("init/he.yaml", "gain: 2", "initbench already has init=he"),
    ],
)
def test_a_users_yaml(name: str, text: str | bytes, says: str, tmp_path: Path):
    message = complaint("init=own", config_dir=written(tmp_path, name, text))
    assert says in message
    assert is_one_line(message)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("lr: 1", "must open with the line '# @package _global_'"),
        ("# @package _global_\ndepth: -1", "'depth' is -1; it must be a whole number of at least 0"),
        ("# @package _global_\noutcome: 3", "'outcome' must hold keys, not 3"),
        ("# @package _global_\ntune: {low: 1}", "a YAML can't set tune.*; give lr=tune on the command line"),
        ("# @package _global_\ninit: 3", "'init' must hold keys, not 3"),
        ("# @package _global_\ndefaults: [{override /optim: adma}]", "did you mean 'adam'?"),
        ("# @package _global_\ndefaults: [{override /nothing: x}]", "did you mean 'override /GROUP: NAME'?"),
        ("# @package _global_\ndefaults: [{override optim: adam}]", "did you mean 'override /GROUP: NAME'?"),
        ("# @package _global_\ndefaults: [{override /mitigation: none}]", "'override /GROUP: NAME'?"),
        ("# @package _global_\ndefaults: [{}, 3]", "'override /GROUP: NAME'?"),
        ("# @package _global_\ndefaults: [none]", "'override /GROUP: NAME'?"),
    ],
)
def test_a_users_mitigation(text: str, says: str, tmp_path: Path):
    message = complaint("mitigation=own", config_dir=written(tmp_path, "mitigation/own.yaml", text))
    assert says in message
    assert is_one_line(message)


def test_an_unknown_group():
    with pytest.raises(InputError, match="there is no group 'inti'; did you mean 'init'"):
        choices("inti")
    with pytest.raises(InputError, match="there is no group"):
        describe("config.yaml")


# Anything at all

VALID = [
    "init=he,normal",
    "init.std=0.01,1",
    "init.gain=auto",
    "act=leaky_relu",
    "act.slope=0.1",
    "act=glob(*,exclude=[relu])",
    "depth=range(1,4)",
    "width=choice(8,16)",
    "lr=sort(0.1,0.01)",
    "optim=adam",
    "optim.beta1=0.8",
    "data.standardize=none",
    "data.train_size=null",
    "metrics=[dead,saturated]",
    "outcome.window=5",
    "+note='a, b'",
    "++init.extra={a:1,b:[2]}",
    "init._target_=my.own.init",
    "mitigation=none",
    "seed=range(0,3)",
    "batch_size='${width}'",
]
SPECIAL = [*"=,.[](){}'\"\\$~+@/:-_ \t\n%\u2028\x00\ud800é1", "${", "e9", "null", "range("]


@st.composite
def mutated(draw: st.DrawFn) -> str:
    """A valid override with a few characters changed, doubled or lost."""
    text = draw(st.sampled_from(VALID))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(text)))
        lost = draw(st.integers(0, 2))
        text = text[:at] + draw(st.sampled_from(["", *SPECIAL])) + text[at + lost :]
    return text


@pytest.mark.slow
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(mutated() | st.text() | st.sampled_from(VALID), min_size=1, max_size=4))
@example([""])
@example([" "])
@example(["="])
@example(["\x00=\x00"])
@example(["lr=" + "[" * 5000])
@example(["depth=" + "9" * 5000])
@example(["depth=range(0," + "9" * 4000 + ")"])
@example(["é=ü"])
@example(["init=" + "he," * 50])
@example(["+" + "a." * 300 + "a=1"])
@example(["+a=1", "+a.b=2"])
@example(["init.gain={a:1}"])
def test_whatever_is_asked_there_is_a_grid_or_one_line(overrides: list[str]):
    try:
        asked = expand(overrides)
    except InputError as error:
        assert is_one_line(str(error))
    else:
        assert isinstance(asked, Grid) and asked.runs
