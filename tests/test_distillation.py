"""Distillation: the paper's loss, teachers from finished runs, and what cannot teach."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

from initbench import build, load
from initbench.config.grid import expand
from initbench.config.keys import stackable
from initbench.engine.noise import Masks
from initbench.engine.programs.loop import LoopProgram
from initbench.engine.state import stack
from initbench.engine.train import Training
from initbench.engine.update import Updater
from initbench.errors import DoesNotFit, InputError
from initbench.jobs.teachers import check_teachers, outputs_of, teachers_of, with_teacher
from initbench.parts.distillation import Distillation, Taught, log_probabilities
from initbench.parts.losses import CLASSIFICATION, UNSCORED, TrainingObjective
from initbench.planning.sweep import prepare
from test_mitigations import CPU, put, relative

COMMON = ["act=tanh", "depth=1", "width=12", "steps=80", "batch_size=50", "eval_every=80", "metrics=[dead]"]


def teacher_of(seed: int, *shape: int) -> torch.Tensor:
    return 3 * torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """A results folder with two seeds of a teacher and one run without weights."""
    root = tmp_path_factory.mktemp("teachers")
    for overrides, seeds in ((["init=he", "save_weights=true", "lr=0.1"], 2), (["init=xavier"], 1)):
        sweep = prepare([*COMMON, *overrides], seeds=seeds, out=root, workers=1)
        sweep.save()
        assert [status.rows[0]["status"] for status in sweep.train(lambda stack, step: None)] == ["done"]
    return root


@pytest.fixture(scope="module")
def teacher(root) -> str:
    runs = load(root).runs
    return str(runs[(runs["init"] == "he") & (runs["seed"] == 0)]["run_id"].iloc[0])


@pytest.mark.parametrize(("temperature", "weight"), [(1.0, 0.5), (4.0, 0.9), (20.0, 1.0), (2.0, 0.0)])
def test_the_gradient_is_that_of_the_paper(temperature, weight):
    """Equation 2: the soft part's gradient by an output is T^2 (q - p) / T, the hard part's is softmax - label."""
    outputs, y = teacher_of(1, 6, 4).requires_grad_(), torch.tensor([0, 3, 1, 1, 2, 0])
    logits = teacher_of(2, 6, 4)
    distillation = Distillation(log_probabilities([logits], temperature), temperature, weight)
    objective = distillation.objective(TrainingObjective(CLASSIFICATION.loss, CLASSIFICATION.loss, 0.0))
    loss = objective.loss(outputs, distillation.targets(y, torch.float64))
    (ours,) = torch.autograd.grad(loss, outputs)
    q, p = (outputs / temperature).softmax(-1), (logits / temperature).softmax(-1)
    hard = outputs.softmax(-1) - F.one_hot(y, 4)
    torch.testing.assert_close(ours, ((1 - weight) * hard + weight * temperature * (q - p)) / 6)
    paper = (1 - weight) * F.cross_entropy(outputs, y) + weight * temperature**2 * (p * (p / q).log()).sum() / 6
    torch.testing.assert_close(loss, paper)
    assert objective.label_smoothing is None
    torch.testing.assert_close(objective.recorded(outputs, Taught(y, logits)), F.cross_entropy(outputs, y))


def test_an_ensemble_is_the_mean_of_probabilities():
    several = [teacher_of(seed, 5, 3) for seed in range(3)]
    mean = torch.stack([(logits / 2).softmax(-1) for logits in several]).mean(0)
    torch.testing.assert_close(log_probabilities(several, 2).exp(), mean)
    assert log_probabilities([torch.tensor([[900.0, 0.0]])] * 2, 1).isfinite().all()


def test_positions_that_are_not_scored_do_not_count():
    outputs, logits = teacher_of(1, 2, 3, 4), teacher_of(2, 2, 3, 4)
    y = torch.tensor([[0, UNSCORED, 2], [UNSCORED, UNSCORED, 1]])
    distillation = Distillation(log_probabilities([logits], 1), 1)
    scored = y != UNSCORED
    found = distillation.divergence(outputs, Taught(y, distillation.teacher))
    expected = F.kl_div(outputs[scored].log_softmax(-1), logits[scored].softmax(-1), reduction="batchmean")
    torch.testing.assert_close(found, expected)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["mlp", "cnn"])
def test_a_run_in_a_stack_is_the_run_alone(model):
    """Invariant 1, from 50 states; `loop` is torch's own autograd on an ordinary module."""
    overrides = [f"model={model}", "data=digits", "width=4", "depth=2", "batch_size=20", "steps=60"]
    runs = expand([*overrides, "init=he,xavier,normal_small"]).runs
    data = build.data(runs[0].config)
    floats = {name: part.double() for name, part in vars(data).items() if name.startswith("x_")}
    data = replace(data, **floats)
    distill = Distillation(log_probabilities([teacher_of(0, len(data.y_train), 10)], 3.0), 3.0, 0.7)
    recipe, lrs, seeds = replace(build.recipe(runs[0].config), distill=distill), [0.01, 0.03, 0.002], [3, 1, 2]
    models = [build.initialized(run.config, data, torch.float64) for run in runs]
    together = Training(stack(models, CPU), models[0], data, recipe, seeds=seeds, lrs=lrs)
    alone = Training(stack(models[1:2], CPU), models[1], data, recipe, seeds=seeds[1:2], lrs=lrs[1:2])
    objective = alone.objective
    looped = LoopProgram(models[1], alone.state, objective.loss, Masks([1], CPU), "float32", objective.recorded)
    alone.updater = Updater(looped, alone.state, recipe, lrs[1:2], seeds[1:2])
    for step in range(50):
        put(alone.updater, together.updater)
        expected, _ = alone.updater(*alone.minibatches.at(step), log=False)
        losses, _ = together.updater(*together.minibatches.at(step), log=False)
        assert float(losses[1]) == pytest.approx(float(expected[0]), rel=1e-9, abs=1e-9)
        assert relative(together.state.gradient[1], alone.state.gradient[0]) < 1e-7
        assert relative(together.state.weights[1], alone.state.weights[0]) < 1e-7


@pytest.mark.slow
def test_a_teachers_outputs_are_those_of_its_weights(root, teacher):
    [run] = teachers_of(root, expand([*COMMON, f"distill.run={teacher}"]).runs[0].config)
    data = build.data(run.config)
    weights = load_file(str(run.weights))
    hidden = torch.tanh(data.x_train.flatten(1) @ weights["layers.0.linear.weight"].T + weights["layers.0.linear.bias"])
    by_hand = hidden @ weights["head.weight"].T + weights["head.bias"]
    torch.testing.assert_close(outputs_of(run), by_hand, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_own_seeds_and_ensembles(root, teacher):
    def config(*overrides: str) -> dict:
        return expand([*COMMON, f"distill.run={teacher}", *overrides]).runs[0].config

    one, own = config("seed=1"), config("seed=1", "distill.seeds=own")
    both = config("seed=1", "distill.seeds=2", "distill.temperature=2")
    assert [run.config["seed"] for run in teachers_of(root, one)] == [0]
    assert [run.config["seed"] for run in teachers_of(root, own)] == [1]
    ensemble = teachers_of(root, both)
    assert [run.config["seed"] for run in ensemble] == [0, 1]
    distill = with_teacher(build.recipe(both), root, both).distill
    assert distill is not None and distill.temperature == 2
    mean = torch.stack([(outputs_of(run) / 2).softmax(-1) for run in ensemble]).mean(0)
    torch.testing.assert_close(distill.teacher.exp(), mean)
    assert "seed" in stackable(one) and "seed" in stackable(both) and "seed" not in stackable(own)


@pytest.mark.slow
def test_students_are_trained_and_keep_their_ids(root, teacher):
    """The whole way: students of the teacher learn more of it than of nothing, and their ids are the whole id's."""
    overrides = [*COMMON, "init=zeros,he", f"distill.run=null,{teacher[:5]}", "distill.temperature=2"]
    sweep = prepare(overrides, out=root, workers=1, name="students")
    assert sweep.axes["distill.run"] == [None, teacher]
    assert {run.id for run in sweep.runs} == {
        run.id
        for run in expand([*COMMON, "init=zeros,he", f"distill.run=null,{teacher}", "distill.temperature=2"]).runs
    }
    plain = {run.id for run in expand([*COMMON, "init=zeros,he"]).runs}  # a temperature without a teacher is nothing
    assert plain < {run.id for run in sweep.runs}
    sweep.save()
    assert all(row["status"] == "done" for status in sweep.train(lambda stack, step: None) for row in status.rows)
    runs = load(root / "sweeps" / "students").runs
    taught = runs[(runs["init"] == "he") & runs["distill.run"].notna()].iloc[0]
    assert taught["distill.run"] == teacher and taught["test_acc"] > 0.8
    assert not prepare(overrides, out=root, workers=1).stacks


@pytest.mark.slow
@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (["distill.run=zebra"], "'distill.run=zebra': no finished run in .* has the id"),
        (["distill.run={without}"], "its weights were not saved; train that run again with save_weights=true"),
        (
            ["distill.run={teacher}", "distill.seeds=3"],
            "distill.seeds=3: .* has no finished run of seed 2; there is 0, 1",
        ),
        (["distill.run={teacher}", "distill.seeds=own", "seed=7"], "has no finished run of seed 7; there is 0, 1"),
        (["distill.run={teacher}", "data.train_size=500"], "trained with data.train_size=null, this run has 500"),
        (["distill.run={teacher}", "data=digits_rows"], "trained with data='digits', this run has 'digits_rows'"),
        (["distill.run={teacher}", "data.loss=squared_error"], "this data is learned by squared error"),
        (["distill.run={teacher}", "data=adding", "model=rnn"], "this data is learned by squared error"),
        (["distill.temperature=2"], "distill.temperature=2 has no effect without distill.run"),
        (["distill.run={teacher}", "distill.weight=1.5"], "must be a number from 0 to 1, or null, not 1.5"),
    ],
)
def test_what_cannot_teach_is_one_line(root, teacher, overrides, says):
    runs = load(root).runs
    names = {"teacher": teacher, "without": runs[runs["init"] == "xavier"]["run_id"].iloc[0]}
    asked = [text.format(**names) for text in overrides]
    given = {text.partition("=")[0] for text in asked}
    with pytest.raises((InputError, DoesNotFit), match=says) as raised:
        prepare([*(text for text in COMMON if text.partition("=")[0] not in given), *asked], out=root)
    assert "\n" not in str(raised.value)


@pytest.mark.slow
def test_a_teacher_may_see_its_inputs_otherwise_prepared(root, teacher):
    check_teachers(root, expand([*COMMON, f"distill.run={teacher}", "data.standardize=feature"]).runs[0].config)
