"""A value that a key does not take is refused in one line: the value, where it comes from, what the key takes."""

from pathlib import Path

import pytest

from initbench.config.documentation import DocumentedKey, documented_keys
from initbench.errors import InputError
from initbench.parts.checks import choice, integer, number
from initbench.planning.sweep import prepare

SEQUENCES = "data=digits_rows"
WITH = {  # what else a key needs, where the first choice that has it needs more
    "init.recurrent": f"model=lstm {SEQUENCES}",
    "init.forget_bias": f"model=lstm {SEQUENCES}",
    "init.t_max": f"init=chrono model=lstm {SEQUENCES}",
    "init.std": "init=normal",
    "init.query_key": f"init=mimetic model=transformer {SEQUENCES}",
    "init.value_output": f"init=mimetic model=transformer {SEQUENCES}",
    "model.learn_scale": "model.branch_scale=1",
    "model.branch_layers": "model.branch_scale=1",
    "model.padding": f"model=conv1d {SEQUENCES}",
    "model.stride": f"model=conv1d {SEQUENCES}",
    "model.bidirectional": f"model=gru {SEQUENCES}",
    "model.truncate": f"model=gru {SEQUENCES}",
    "model.causal": f"model=transformer {SEQUENCES}",
}
REVERSE = {"heads", "ratio", "norm_first", "tied_embeddings", "residual", "score_scale"}  # of seq2seq
ANY_NUMBER = "init.forget_bias init.bias init.value act.alpha act.slope model.branch_scale".split()
WRONG = ["no-such-value", "-7"]
# Nothing is said of their values without a checkpoint or pretrained weights: tests/test_pretrained.py.
NEED_WEIGHTS = ("init.results", "init.by", "init.rest", "init.layers", "init.weights")
KEYS = documented_keys()
LONG = ("init", "data", "model")  # many of their keys are checked where a network or a dataset is made
LONG_AND_SHORT = [
    pytest.param(group, marks=pytest.mark.slow if group in LONG else ())
    for group in dict.fromkeys(key.name.partition(".")[0] for key in KEYS)
]


def refusal(overrides: list[str], config_dir: Path | None = None) -> str:
    """What is said of a request, none of which is trained."""
    with pytest.raises(InputError) as refused:
        prepare(overrides, device="cpu", timed=False, out=Path("not-written"), config_dir=config_dir)
    assert not Path("not-written").exists()
    return str(refused.value)


def needs(key: DocumentedKey) -> list[str]:
    group, _, name = key.name.partition(".")
    if key.name in WITH:
        return WITH[key.name].split()
    if group == "tune":
        return ["lr=tune"]
    return [f"{group}={key.choices[0]}", *(["data=reverse"] if name in REVERSE else [])] if key.choices else []


@pytest.mark.parametrize("group", LONG_AND_SHORT)
def test_each_key_refuses_what_it_does_not_take(group: str):
    """In the line: the override as it was typed, the value, and what is there or must be."""
    for key in KEYS:
        if key.name.partition(".")[0] != group or key.name in NEED_WEIGHTS:
            continue
        for value in WRONG[: 1 if key.name in ANY_NUMBER else 2]:
            line = refusal([*needs(key), f"{key.name}={value}"])
            assert line.startswith(f"'{key.name}={value}': "), line
            told = line.removeprefix(f"'{key.name}={value}': ")
            assert value in told, line
            assert any(
                word in told for word in (" must ", "there is ", "did you mean", "no such folder", "can't be")
            ), line
            assert "\n" not in line and len(line) < 300


@pytest.fixture
def own(tmp_path: Path) -> Path:
    (tmp_path / "init").mkdir()
    (tmp_path / "mitigation").mkdir()
    (tmp_path / "init" / "mine.yaml").write_text(
        "# Mine.\n# Source: me\n_target_: initbench.parts.inits.scaling.normal\nstd: -1\n"
    )
    (tmp_path / "mitigation" / "dropped.yaml").write_text("# @package _global_\n# Mine.\nregularize:\n  dropout: 1.5\n")
    return tmp_path


@pytest.mark.parametrize(
    ("overrides", "file", "says"),
    [
        ("init=mine", "init/mine.yaml", "init.std must be a number in [0, inf), got -1; the nearest is 0"),
        (
            "mitigation=none,dropped",
            "mitigation/dropped.yaml",
            "dropout must be a number in (0, 1), got 1.5; take one below 1",
        ),
    ],
)
def test_a_value_of_a_file_is_refused_with_the_file(overrides: str, file: str, says: str, own: Path):
    line = refusal(overrides.split(), own)
    assert line.startswith(f"{own / file}: ") and line.endswith(says)


def test_several_values_in_brackets_are_typed_without_them():
    line = refusal(["regularize.dropout=[0.1,0.2]"])
    assert line.endswith("; did you mean regularize.dropout=0.1,0.2, without the brackets?")


@pytest.mark.parametrize(
    ("check", "value", "takes", "nearest"),
    [
        (integer, 0, "[1, inf)", "; the nearest is 1"),
        (integer, 2.6, "[1, inf)", "; the nearest is 3"),
        (integer, 100, "[1, 100)", "; the nearest is 99"),
        (integer, 2**40, "[0, 4294967295]", "; the nearest is 4294967295"),
        (number, -1, "[0, 1)", "; the nearest is 0"),
        (number, 1, "[0, 1)", "; take one below 1"),
        (number, 0, "(0, inf)", "; take one above 0"),
        (number, True, "(0, inf)", "got true"),
        (choice, "globl", ("global", "feature"), "; did you mean 'global'?"),
        (choice, "x", ("global", "feature"), "one of global, feature, got 'x'"),
    ],
)
def test_the_nearest_value_is_named(check, value, takes, nearest: str):
    with pytest.raises(InputError) as refused:
        check("key", value, takes)
    assert str(refused.value).endswith(nearest)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["init=*"], "'init=*': no init '*'; did you mean \"init=glob(*)\", in quotes?"),
        (["FILE", "FILE"], 'the shell puts file names for a bare *; did you mean "init=glob(*)", in quotes?'),
    ],
)
def test_a_bare_star_is_to_be_quoted(words: list[str], says: str, tmp_path: Path):
    assert says in refusal([word.replace("FILE", str(tmp_path)) for word in words])


def test_a_number_of_the_environment_is_refused_as_a_typed_one(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SHARE", "1.5")
    line = refusal(["regularize.dropout=${oc.env:SHARE}"])
    assert line.startswith("'regularize.dropout=${oc.env:SHARE}': ") and "got 1.5; take one below 1" in line
