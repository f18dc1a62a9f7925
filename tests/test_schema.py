"""The schema says what is on disk: the docs' tables are its tables, and what is written is held to it."""

import itertools
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from initbench.config.registry import groups
from initbench.planning.sweep import prepare
from initbench.results import schema
from initbench.results.store import Store
from results_on_disk import finished, row

DOCS = (Path(__file__).parent.parent / "docs/results.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("file", schema.tables())
def test_the_docs_have_the_tables_of_the_schema(file):
    assert schema.tables()[file] in DOCS, "print them with: python -m initbench.results.schema"


def test_the_docs_have_no_other_table():
    assert DOCS.count("\n| --- |") == len(schema.tables())


@pytest.mark.parametrize(
    "field",
    [*itertools.chain(schema.RUNS_CSV, schema.OUTCOMES, schema.SWEEP_JSON, schema.STACK_JSON, *schema.CURVES.values())],
    ids=lambda field: field.name,
)
def test_every_column_has_a_type_and_a_sentence(field):
    assert field.type in schema.TYPE_NAMES or isinstance(field.type, str)
    assert field.meaning and "\n" not in field.meaning


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> tuple[Path, Path]:
    """The folders of a sweep and of its stack, really trained; a recurrent model, so that every table is there."""
    out = tmp_path_factory.mktemp("results")
    overrides = ["model=rnn", "data=digits_rows", "act=tanh", "width=4", "depth=1", "steps=4", "log_every=2"]
    overrides += ["batch_size=20", "gradient.clip_norm=1", "save_predictions=true"]
    overrides += [f"metrics=[{','.join(field.name for field in schema.METRICS)}]"]  # a newcomer's is not in the docs
    sweep = prepare(overrides, out=out, workers=1, timed=False)
    folder = sweep.save(["initbench", "run"])
    list(sweep.train(lambda stack, step: None))
    (stack,) = (out / "stacks").iterdir()
    return folder, stack


@pytest.mark.parametrize("table", schema.CURVES)
def test_a_trained_stack_has_the_columns_of_the_schema(folders, table):
    file = pq.read_schema(folders[1] / f"{table}.parquet")
    assert {name: file.field(name).type for name in file.names} == {
        field.name: field.type for field in schema.CURVES[table]
    }


def test_a_trained_stacks_runs_have_the_columns_of_the_schema_and_their_configuration(folders):
    sweep, stack = (pq.read_schema(folder / "runs.parquet") for folder in folders)
    assert set(stack.names) == set(sweep.names) | schema.OUTCOME_TYPES.keys()
    assert {name: stack.field(name).type for name in schema.OUTCOME_TYPES} == schema.OUTCOME_TYPES
    assert {"run_id", *groups()} <= set(sweep.names)
    assert {field.name: sweep.field(field.name).type for field in schema.SETTINGS} == {
        field.name: field.type for field in schema.SETTINGS
    }


def test_a_run_records_whether_its_activation_rectifies(folders):
    assert pq.read_table(folders[1] / "runs.parquet")["act_rectifies"].to_pylist() == [False]  # tanh


def test_json_files_have_the_keys_of_the_schema(folders):
    sweep, stack = folders
    assert list(json.loads((sweep / "sweep.json").read_text())) == [field.name for field in schema.SWEEP_JSON]
    keys = json.loads((stack / "stack.json").read_text()).keys()
    assert keys == {field.name for field in schema.STACK_JSON}


def test_a_missing_column_is_an_error_at_writing(tmp_path):
    run = finished(row())
    del run["parameters"]
    with pytest.raises(ValueError, match=r"^runs\.parquet lacks parameters"):
        Store(tmp_path).save_stack("ab", runs=[run], info={})
    with pytest.raises(ValueError, match=r"^losses\.parquet lacks train_loss"):
        Store(tmp_path).save_stack("ab", runs=[finished(row())], info={}, losses={"run_id": ["x"], "step": [0]})
    assert not list((tmp_path / "stacks").iterdir())


def test_a_wrong_column_is_an_error_at_writing(tmp_path):
    store, done = Store(tmp_path), finished(row())
    with pytest.raises(ValueError, match=r"^runs\.parquet: parameters is no int64"):
        store.save_stack("ab", runs=[done | {"parameters": "many"}], info={})
    losses = {"run_id": ["x"], "step": [0], "train_loss": [1.0], "test_loss": [1.0]}
    with pytest.raises(ValueError, match=r"^losses\.parquet has test_loss"):
        store.save_stack("ab", runs=[done], info={}, losses=losses)
    with pytest.raises(ValueError, match=r"^stack\.json has colour"):
        store.save_stack("ab", runs=[done], info={"colour": "red"})
    with pytest.raises(ValueError, match=r"^sweep\.json has colour"):
        store.save_sweep("demo", runs=[row()], info={"colour": "red"})
    assert not list((tmp_path / "stacks").iterdir()) and not list((tmp_path / "sweeps").iterdir())


def test_a_metric_of_ones_own_is_stored_beside_the_others(tmp_path):
    layers = {"run_id": ["x"], "step": [0], "layer": [0], "name": ["head"], "my_metric": [0.5]}
    folder = Store(tmp_path).save_stack("ab", runs=[finished(row())], info={}, layers=layers)
    assert pq.read_schema(folder / "layers.parquet").field("my_metric").type == pa.float32()
