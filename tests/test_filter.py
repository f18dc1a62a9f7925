"""A filter selects what it says, executes nothing, and says what it can't read."""

import itertools
import json
import operator
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from initbench.analysis.filter import filtered, matching
from initbench.errors import InputError
from initbench.results.load import load
from results_on_disk import made_up_sweep

RUNS = pd.DataFrame(
    {
        "run_id": list("abcdef"),
        "init": ["he", "he", "normal", "normal", "zeros", "xavier"],
        "act": ["relu", "tanh", "relu", "sigmoid", "relu", "tanh"],
        "depth": [5, 20, 20, 20, 50, 50],
        "init.std": [np.nan, np.nan, 0.01, 1.0, np.nan, np.nan],
        "init.gain": ["1", "auto", None, None, None, "2.5"],
        "diverged_step": pd.array([None, None, 3, None, None, None], "Int64"),
        "val_acc": pd.Series([None] * 6, dtype="object"),
        "train_acc": [0.9, 0.5, np.nan, 0.1, 0.2, 0.8],
        "test_acc": [0.8, 0.6, np.nan, 0.1, 0.1, 0.7],
        "save_weights": [True, False, True, False, False, False],
        "outcome": ["learned", "learned", "diverged", "stuck", "stuck", "learned"],
        "label": ["he", "he", "normal std=0.01", "normal std=1", "zeros", "xavier"],
    }
)


def chosen(expression: str) -> str:
    return "".join(RUNS["run_id"][matching(RUNS, expression)])


@pytest.mark.parametrize(
    "expression, expected",
    [
        ("depth>=20 and act!='sigmoid'", "bcef"),
        ("depth>=20 and act!='softplus'", "bcdef"),  # nobody has it
        ("init != 'mine' and act not in ['gelu', 'relu']", "bdf"),
        ("depth == 20", "bcd"),
        ("20 > depth", "a"),
        ("5 < depth <= 20", "bcd"),
        ("depth == 20 == depth", "bcd"),
        ("not depth == 20", "aef"),
        ("not (depth == 20 or init == 'he')", "ef"),
        ("depth == 5 or depth == 20 and act == 'tanh'", "ab"),
        ("init in ['he', 'zeros']", "abe"),
        ("init not in ('he', 'zeros')", "cdf"),
        ("init in []", ""),
        ("depth in [5, 50]", "aef"),
        ("init.std > 0.1", "d"),
        ("init.std > -1e3", "cd"),
        ("init.std == 1", "d"),
        ("test_acc < train_acc", "aef"),
        ("train_acc == test_acc", "d"),
        ("label == 'normal std=0.01'", "c"),
        ("save_weights == True", "ac"),
        ("save_weights != True", "bdef"),
        ("  depth == 5\t", "a"),
    ],
)
def test_what_is_selected(expression, expected):
    assert chosen(expression) == expected


@pytest.mark.parametrize(
    "expression, expected",
    [
        ("diverged_step < 10", "c"),
        ("diverged_step >= 0", "c"),
        ("diverged_step != 3", "abdef"),  # as pandas and NumPy have it: NaN != 3
        ("not diverged_step == 3", "abdef"),
        ("diverged_step == None", "abdef"),
        ("diverged_step != None", "c"),
        ("init.std in [None, 0.01]", "abcef"),
        ("val_acc > 0.5", ""),
        ("val_acc == None", "abcdef"),
        ("init.std == init.std", "cd"),
    ],
)
def test_missing_values_compare_false(expression, expected):
    assert chosen(expression) == expected


@pytest.mark.parametrize(
    "expression, expected",
    [
        ("init.gain == 1", "a"),
        ("init.gain > 2", "f"),
        ("init.gain == 'auto'", "b"),
        ("init.gain in ['auto', 2.5]", "bf"),
    ],
)
def test_text_and_numbers_in_one_column(expression, expected):
    assert chosen(expression) == expected


def test_an_outcome_that_no_run_had_is_no_mistake():
    learned = RUNS[RUNS["outcome"] == "learned"]
    assert matching(learned, "outcome != 'diverged'").all()


@pytest.mark.parametrize(
    "expression, message",
    [
        ("dept >= 20", r"dept is no column of the runs; did you mean 'depth'\?"),
        ("init.sdt > 1", r"init.sdt is no column of the runs; did you mean 'init.std'\?"),
        ("act != 'sigmoidd'", r"'sigmoidd' is no value of act; did you mean 'sigmoid'\?"),
        ("act in ['relu', 'tan']", r"'tan' is no value of act; did you mean 'tanh'\?"),
        ("init == 'qqqq'", "'qqqq' is no value of init; there is he, normal, xavier, zeros$"),
        ("depth == '20'", "'20' is text, and depth holds numbers"),
        ("act == 3", "act == 3 compares act, which holds text, as a number; there is relu, sigmoid, tanh"),
        ("act > 3", "act > 3 compares act, which holds text, as a number"),
        ("save_weights == 1", "compares save_weights, which holds True and False, as a number"),
        ("depth == True", "True is compared with depth, which holds numbers"),
        ("depth < 'relu'", "'relu' has no order; < and > compare numbers"),
        ("depth = 20", "can't be read .invalid syntax.*; write for example depth==20 and act!='sigmoid'"),
        ("depth >= ", r"can't be read \("),
        ("", r"can't be read \("),
        ("depth>=20 & act=='relu'", "20 & act joins by & or [|]; write `and`, `or`"),
        ("(depth>=20) | (act=='relu')", "joins by & or [|]; write `and`, `or`"),
        ("depth + 1 > 20", "depth [+] 1 calculates, and a filter only compares"),
        ("depth", "depth is no comparison"),
        ("1 < 2", "1 < 2 compares no column"),
        ("'relu' == 'relu'", "compares no column"),
        ("init is None", "compares by `is`; write == or !="),
        ("'he' in init", "init is no list"),
        ("depth > 1" + "0" * 400, "is too large a number"),
        ("depth == 1j", "1j is neither a column, a number, text, True, False nor None"),
        ("depth == -'5'", "is neither"),
        ("init == b'he'", "is neither"),
        ("not " * 3000 + "depth == 5", "can't be read|nested too deeply"),
        ("(" * 3000 + "depth == 5" + ")" * 3000, "can't be read|nested too deeply"),
        ("a." * 3000 + "b == 5", "can't be read|nested too deeply"),
    ],
)
def test_what_cannot_be_read_is_quoted(expression, message):
    with pytest.raises(InputError, match=message):
        matching(RUNS, expression)


ATTACKS = [
    "__import__('os').system('true')",
    "init == __import__('os').getcwd()",
    "().__class__.__bases__ == 1",
    "init.__class__ == 'he'",
    "depth.values > 3",
    "init.str.len() > 3",
    "[run for run in (1, 2)]",
    "(lambda: True)()",
    "f'{__import__(\"os\")}' == init",
    "depth[0] == 5",
    "depth > 9**9**9",
    "init == 'a' * 10**10",
    "(depth := 5) == 5",
    "open('/etc/passwd') == init",
    "{'he': 1}['he'] == depth",
    "init == 'he' if depth else act",
    "await depth",
    "*depth, == 5",
    "\x00",
    "\ud800 == 5",
    "init == '\\d'",
]

events: list[str] | None = None


def listen(event: str, _: tuple) -> None:
    if events is not None and event.split(".")[0] in {"exec", "import", "open", "os", "subprocess", "socket"}:
        events.append(event)


sys.addaudithook(listen)


def executed(expression: str) -> list[str]:
    """What Python did besides comparing while it filtered; any error but InputError passes through."""
    global events
    events = heard = []
    try:
        matching(RUNS, expression)
    except InputError as error:
        assert str(error).startswith("--where")
    finally:
        events = None
    return heard


@pytest.mark.parametrize("expression", ATTACKS)
def test_attacks_are_refused(expression):
    with pytest.raises(InputError):
        matching(RUNS, expression)
    assert executed(expression) == []


def test_the_listener_hears_what_is_executed():
    global events
    events = heard = []
    try:
        eval("open.__class__")
    finally:
        events = None
    assert heard == ["exec"]


SYMBOLS = "()[]{},.:=<>!&|+-*/%@~\"'\\#\n "
WORDS_OF_PYTHON = "and or not in is if else for lambda == != <= >= 1 -2.5 1e999 True None __class__ __import__ open"
TOKENS = st.sampled_from([*SYMBOLS, *WORDS_OF_PYTHON.split(), *"depth init act init.std label 'he' 'relu'".split()])


@pytest.mark.slow
@given(st.text() | st.lists(TOKENS, max_size=12).map(" ".join) | st.lists(TOKENS, max_size=12).map("".join))
@example("init == 'he'")
def test_arbitrary_text_executes_nothing_and_raises_only_input_errors(expression):
    assert executed(expression) == []


NUMBERS = {"depth": [5, 20, 50, 7.5], "init.std": [0.01, 1, -3], "diverged_step": [3, 0]}
WORDS = {"init": ["he", "normal", "zeros", "xavier"], "act": ["relu", "tanh", "sigmoid"]}
COMPARE = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": lambda a, b: a is not None and a < b,
    "<=": lambda a, b: a is not None and a <= b,
    ">": lambda a, b: a is not None and a > b,
    ">=": lambda a, b: a is not None and a >= b,
}
ATOMS = [
    (f"{name} {op} {value!r}", lambda row, name=name, op=op, value=value: COMPARE[op](row[name], value))
    for names, ops in ((NUMBERS, list(COMPARE)), (WORDS, ["==", "!="]))
    for name, op in itertools.product(names, ops)
    for value in names[name]
]
EXPRESSIONS = st.recursive(
    st.sampled_from(ATOMS),
    lambda inner: st.one_of(
        inner.map(lambda a: (f"not ({a[0]})", lambda row: not a[1](row))),
        st.tuples(inner, inner).map(
            lambda ab: (f"({ab[0][0]}) and ({ab[1][0]})", lambda row: ab[0][1](row) and ab[1][1](row))
        ),
        st.tuples(inner, inner).map(
            lambda ab: (f"({ab[0][0]}) or ({ab[1][0]})", lambda row: ab[0][1](row) or ab[1][1](row))
        ),
    ),
    max_leaves=8,
)


@given(EXPRESSIONS)
def test_a_filter_is_what_python_would_say_of_each_row(case):
    expression, truth = case
    rows = [{key: None if pd.isna(value) else value for key, value in row.items()} for row in RUNS.to_dict("records")]
    assert matching(RUNS, expression).tolist() == [truth(row) for row in rows]


def test_results_are_filtered_with_their_curves(tmp_path):
    made_up_sweep(tmp_path, inits=["he", "zeros"], acts=["relu", "tanh"], depths=[5], seeds=2)
    results = load(tmp_path)
    few = filtered(results, "init == 'he' and act == 'relu'")
    assert len(results.runs) == 8 and few.runs["seed"].tolist() == [0, 1] and few.runs.index.tolist() == [0, 1]
    assert set(few.losses["run_id"]) == set(few.runs["run_id"]) < set(results.losses["run_id"])
    assert few.path == results.path and json.loads(few.runs["config"][0]) == {"depth": 5}


def test_nothing_matching_is_an_error(tmp_path):
    made_up_sweep(tmp_path, inits=["he"], acts=["relu"], depths=[5], seeds=2)
    with pytest.raises(InputError, match=r"--where 'depth > 5': none of the 2 runs matches"):
        filtered(load(tmp_path), "depth > 5")


def test_labels_can_be_filtered(tmp_path):
    made_up_sweep(tmp_path, inits=["he", "zeros"], acts=["relu"], depths=[5], seeds=1)
    assert filtered(load(tmp_path), "label == 'zeros'").runs["init"].tolist() == ["zeros"]
