"""The loop and its record: batches, outcomes, evaluations, and what depends on nothing but the seed."""

import math

import numpy as np
import pytest
import torch

from initbench import build
from initbench.config.grid import expand
from initbench.engine.batches import Batches
from initbench.engine.evaluation import PartScores, scores
from initbench.engine.record import Record
from initbench.engine.state import stack
from initbench.engine.train import Training
from initbench.parts.data import Raw, prepare
from initbench.parts.losses import CLASSIFICATION
from initbench.randomness import stream

CPU = torch.device("cpu")


def record(losses, evaluations=(), snapshots=None) -> Record:
    """A record of runs' loss curves, given a row a run."""
    losses = np.array(losses, dtype=float).T
    snapshots = np.zeros((0, 0, 0, 0)) if snapshots is None else snapshots
    return Record(losses, ["pre_grad_norm"], ["layers.0", "layers.1", "head"], [0], snapshots, list(evaluations))


def of_part(losses, accuracies) -> PartScores:
    return PartScores(np.array(losses), *[np.array(accuracies)] * 3)


def test_outcomes_by_hand():
    constant = math.log(10)  # ten equal classes
    at_the_end = (50, "train", of_part([1.1, 1.2, math.nan, 1.2], [0.5, 0.5, 0.5, 0.56]))
    runs = record([[2.3] * 50, [2.3] * 50, [2.3] * 49 + [math.nan], [2.3] * 50], [at_the_end])
    outcomes = [runs.outcome(run, constant, 0.1, learned_ratio=0.5) for run in range(4)]
    assert outcomes == ["learned", "stuck", "diverged", "learned"]  # 1.1 <= 2.3026 / 2; 0.44 wrong <= 0.9 / 2


def test_a_diverged_run_has_its_step_and_nothing_imputed():
    accuracies = [(3, "test", of_part([0.5, math.nan], [0.9, math.nan]))]
    runs = record([[1, 1, 1], [1, math.inf, math.nan]], accuracies)
    assert (runs.diverged_step(0), runs.diverged_step(1)) == (None, 1)
    assert (runs.train_loss(0, 20), runs.train_loss(1, 20)) == (1, None)
    assert runs.final(0, "test") == {"loss": 0.5, "acc": 0.9, "balanced_acc": 0.9, "f1": 0.9}
    assert set(runs.final(1, "test").values()) == {None}


def test_a_loss_that_is_not_finite_at_the_last_evaluation_is_divergence_too():
    last = (3, "train", of_part([math.nan], [math.nan]))
    assert record([[1, 1, 1]], [last]).diverged_step(0) == 3
    earlier = (2, "train", of_part([math.nan], [math.nan]))  # how often one evaluates decides nothing
    assert record([[1, 1, 1]], [earlier]).diverged_step(0) is None


def test_train_loss_is_the_mean_of_the_last_steps():
    assert record([[5, 1, 2, 3]]).train_loss(0, 3) == 2
    assert record([[1, 3]]).train_loss(0, 20) == 2


def test_grad_ratio_is_first_over_last_hidden_layer_at_step_0():
    snapshots = np.array(
        [[[[2e-8]], [[4e-3]], [[7.0]]]]
    )  # one log step, three layers (the head last), one metric, one run
    assert record([[1, 1]], snapshots=snapshots).first_last_grad_ratio(0) == pytest.approx(5e-6)
    assert record([[1, 1]], snapshots=0 * snapshots).first_last_grad_ratio(0) is None


def test_an_epoch_shows_each_example_once_and_leaves_out_what_fills_no_batch():
    batches = Batches([5], examples=23, batch_size=4, device=CPU)
    epochs = [torch.cat([batches.at(5 * epoch + i)[0] for i in range(5)]) for epoch in range(2)]
    for epoch in epochs:
        assert len(set(epoch.tolist())) == 20
    assert epochs[0].tolist() != epochs[1].tolist()


def test_runs_of_one_seed_see_the_same_batches_whoever_is_beside_them():
    alone, among = Batches([7], 50, 10, CPU), Batches([3, 7, 9, 7], 50, 10, CPU)
    for step in range(12):
        index, rows = alone.at(step), among.at(step)
        assert torch.equal(index[0], rows[1]) and torch.equal(index[0], rows[3])
        assert not torch.equal(rows[0], rows[1])


def test_streams_of_one_seed_differ_by_name_and_of_one_name_by_seed():
    drawn = {(s, n): torch.rand(4, generator=stream(s, n)).tolist() for s in (0, 1) for n in ("weights", "order")}
    assert len({tuple(numbers) for numbers in drawn.values()}) == 4
    assert torch.rand(4, generator=stream(0, "weights")).tolist() == drawn[0, "weights"]


def test_scores_by_hand():
    """Two runs, three examples; the second run has an output that is not finite, so it has no score."""
    logits = torch.tensor([[[0.0, 0.0], [math.log(3), 0.0], [0.0, 0.0]]] * 2)
    logits[1, 1, 0] = math.nan
    losses, accuracies, *_ = scores(lambda x: logits, torch.zeros(3, 1), torch.tensor([0, 0, 1]), CLASSIFICATION, 3)
    assert losses[0] == pytest.approx((2 * math.log(2) + math.log(4 / 3)) / 3)
    assert accuracies[0] == pytest.approx(2 / 3)  # a tie goes to the first class
    assert math.isnan(losses[1]) and math.isnan(accuracies[1])


def small():
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(200, 6, generator=generator)
    return prepare(Raw(x, (x[:, 0] > 0).long(), classes=2))


def trained(runs, dataset, **schedule):
    models = [build.initialized(run.config, dataset) for run in runs]
    state = stack(models, CPU)
    lengths = {"steps": 60, "batch_size": 20, "log_every": 10, "eval_every": 25, **schedule}
    return Training(
        state,
        models[0],
        dataset,
        build.recipe({**runs[0].config, **lengths}),
        seeds=[run.config["seed"] for run in runs],
        lrs=[run.config["lr"] for run in runs],
    ).run()


def test_snapshots_and_evaluations_come_at_the_steps_asked_for():
    seen = trained(expand(["width=8", "depth=2", "batch_size=20"]).runs, small())
    assert seen.log_steps == [0, 10, 20, 30, 40, 50]
    assert seen.snapshots.shape == (6, 3, 10, 1)
    assert [(step, split) for step, split, _ in seen.evaluations] == [
        (step, split) for step in (0, 25, 50, 60) for split in ("train", "test")
    ]
    assert seen.losses.shape == (60, 1)


def test_the_curve_starts_where_the_untrained_model_is_and_ends_better():
    dataset = small()
    run = expand(["width=8", "depth=2", "batch_size=20", "lr=0.1"]).runs[0]
    seen = trained([run], dataset)
    model = build.initialized(run.config, dataset)
    index = Batches([0], len(dataset.y_train), 20, CPU).at(0)[0]
    first = torch.nn.functional.cross_entropy(model(dataset.x_train[index]), dataset.y_train[index]).item()
    assert seen.losses[0, 0] == pytest.approx(first, rel=1e-6)
    assert seen.losses[-20:, 0].mean() < 0.5 * dataset.constant_loss


def test_neither_global_random_state_nor_the_order_of_runs_matters():
    dataset = small()
    runs = expand(["width=8", "depth=2", "batch_size=20", "init=he,xavier", "seed=0,1"]).runs
    torch.manual_seed(1)
    forward = trained(runs, dataset)
    before = torch.get_rng_state()
    torch.manual_seed(2)
    backward = trained(runs[::-1], dataset)
    torch.set_rng_state(before)
    np.testing.assert_array_equal(forward.losses, backward.losses[:, ::-1])


def test_training_leaves_the_global_random_state_alone():
    torch.manual_seed(3)
    before = torch.get_rng_state()
    trained(expand(["width=8", "depth=2", "batch_size=20"]).runs, small())
    assert torch.equal(before, torch.get_rng_state())


def test_a_stack_ends_when_all_of_its_runs_have_diverged():
    seen = trained(expand(["width=8", "depth=9", "batch_size=20", "init=normal", "lr=1e9"]).runs, small(), steps=500)
    assert seen.diverged_step(0) is not None and seen.diverged_step(0) < 100
    assert np.isnan(seen.losses[-1, 0])
    assert max(seen.log_steps) < 100
    assert set(seen.final(0, "test").values()) == {None}
