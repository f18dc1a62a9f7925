"""Curricula: pacing against the papers' formulas, order against a hand-made ranking, batches by seed and step."""

import math

import numpy as np
import pytest
import torch

from initbench.engine.batches import Batches
from initbench.engine.recipe import Recipe
from initbench.engine.samplers import choose_sampler
from initbench.errors import DoesNotFit, InputError
from initbench.parts.curricula import LinearPacing, RootPacing, StepPacing
from initbench.parts.data import Dataset, Raw, prepare
from initbench.parts.data.difficulty import check_difficulty, logistic_losses, own_scores, ranking
from initbench.parts.optimizers import SGD
from initbench.parts.rebalance import Oversample

CPU = torch.device("cpu")


def by_first_entry(x, y):
    """Scores of one's own: the first entry of each example."""
    return x[:, 0]


def data() -> Dataset:
    """40 examples, of which example i has the first entry (7 i mod 40): a ranking that is known."""
    x = torch.stack([(7 * torch.arange(40)) % 40, torch.zeros(40)], 1).float()
    return prepare(Raw(x, torch.arange(40) % 2, x[:4], torch.arange(4) % 2, classes=2), standardize="none")


def recipe(curriculum, **parts) -> Recipe:
    return Recipe(optimizer=SGD(), steps=100, batch_size=4, curriculum=curriculum, **parts)


def test_pacing_is_that_of_the_papers():
    """Of 100 steps with c0 = 0.2 and T = 50. Platanios et al. 2019: linear (1 - c0) t / T + c0, root of
    (1 - c0^2) t / T + c0^2. Hacohen & Weinshall 2019: 0.2 * 1.9^floor(t / (T / 3)), at most 1."""
    assert [LinearPacing().share(t, 100) for t in (0, 25, 49, 50, 99)] == pytest.approx([0.2, 0.6, 0.984, 1, 1])
    root = [math.sqrt(0.04), math.sqrt(0.96 * 0.5 + 0.04), 1]
    assert [RootPacing().share(t, 100) for t in (0, 25, 50)] == pytest.approx(root)
    steps = [0.2, 0.2, 0.38, 0.38, 0.722, 0.722, 1]
    assert [StepPacing().share(t, 100) for t in (0, 16, 17, 33, 34, 49, 50)] == pytest.approx(steps)


@pytest.mark.parametrize("pacing", [LinearPacing, RootPacing, StepPacing])
def test_the_share_grows_and_ends_whole(pacing):
    shares = [pacing(start=0.1, end=0.8).share(t, 200) for t in range(200)]
    assert shares == sorted(shares) and shares[0] == pytest.approx(0.1) and shares[159] < 1 == shares[160]


@pytest.mark.parametrize(
    ("order", "first"),
    [("easy_first", {0, 1, 2, 3, 4, 5, 6, 7}), ("hard_first", {32, 33, 34, 35, 36, 37, 38, 39})],
)
def test_batches_are_drawn_from_what_is_available_in_the_order_of_a_known_ranking(order, first):
    """At step 0 a fifth of 40: the 8 lowest, or highest, scores; at step 25 three fifths; at the end all."""
    part = LinearPacing(order=order, difficulty=f"{__name__}.by_first_entry")
    examples, seeds = data(), range(60)
    sampler = choose_sampler(examples, recipe(part), seeds, CPU)
    scores = examples.x_train[:, 0].int()
    assert set(scores[sampler.at(0)].flatten().tolist()) == first
    later = set(scores[sampler.at(25)].flatten().tolist())
    assert len(later) == 24 and first < later
    epoch = torch.cat([sampler.at(step) for step in range(50, 60)], 1)  # 10 batches of 4 are an epoch
    assert all(sorted(run.tolist()) == list(range(40)) for run in epoch)


def test_a_random_order_is_each_seeds_own():
    sampler = choose_sampler(data(), recipe(LinearPacing(order="random")), [1, 2, 1], CPU)
    orders = sampler.rankings
    assert sorted(orders[1].tolist()) == list(range(40)) and not torch.equal(orders[1], orders[2])
    assert torch.equal(sampler.at(3)[0], sampler.at(3)[2])


def test_a_batch_is_a_function_of_seed_and_step_and_of_no_neighbour():
    for part in (LinearPacing(), StepPacing(order="random")):
        alone, beside = (choose_sampler(data(), recipe(part), seeds, CPU) for seeds in ([5], [4, 5, 6]))
        expected = {step: alone.at(step)[0] for step in range(80)}
        for step in (60, 0, 49, 50, 7, 79, 7):
            assert torch.equal(beside.at(step)[1], expected[step])
        assert len(set(expected[7].tolist())) == 4  # no example twice


def test_with_all_from_the_first_step_on_it_is_training_without_a_curriculum():
    sampler, plain = choose_sampler(data(), recipe(LinearPacing(start=1)), [3], CPU), Batches([3], 40, 4, CPU)
    assert all(torch.equal(sampler.at(step), plain.at(step)) for step in range(30))


def test_the_reference_classifier_finds_the_mislabelled_the_most_difficult():
    x = torch.cat([torch.linspace(-3, -1, 20), torch.linspace(1, 3, 20)]).unsqueeze(1)
    y = (x[:, 0] > 0).long()
    y[[4, 30]] = 1 - y[[4, 30]]
    losses = logistic_losses(x, y)
    assert set(ranking(losses, "easy_first")[-2:].tolist()) == {4, 30}
    assert set(ranking(losses, "hard_first")[:2].tolist()) == {4, 30}
    assert ranking(np.array([1.0, 0.0, 1.0, 0.0]), "hard_first").tolist() == [0, 2, 1, 3]


def test_scores_of_a_file(tmp_path):
    x, y = data().x_train, data().y_train
    for name, save in {"scores.npy": np.save, "scores.csv": np.savetxt}.items():
        save(tmp_path / name, np.arange(40))
        assert own_scores(str(tmp_path / name), x, y).tolist() == list(range(40))
    np.save(tmp_path / "objects.npy", np.array([{}], object), allow_pickle=True)
    np.save(tmp_path / "few.npy", np.arange(3))
    for difficulty, message in {
        str(tmp_path / "few.npy"): "it has 3 scores, and the training part 40 examples",
        str(tmp_path / "objects.npy"): "can't be read: Object arrays cannot be loaded",
        str(tmp_path / "missing.csv"): "can't be read: .*missing.csv not found",
        "nomodule.scores": "No module named 'nomodule'; it must be logistic, a path",
        "logistics": "it must be logistic, a path",
        "math.pi": "it is no function",
    }.items():
        with pytest.raises(InputError, match=message):
            check_difficulty(difficulty, x, y)


def test_what_has_no_such_difficulty_or_two_choices_of_examples_is_refused():
    with pytest.raises(DoesNotFit, match="needs inputs that are numbers and one label per example"):
        check_difficulty("logistic", data().x_train, data().x_train[:, 0])
    with pytest.raises(DoesNotFit, match="rebalance=oversample and a curriculum both say which examples are drawn"):
        choose_sampler(data(), recipe(LinearPacing(), rebalance=Oversample()), [0], CPU)
    with pytest.raises(InputError, match="must be one of easy_first, hard_first, random"):
        LinearPacing(order="easy")
