"""Which runs make the largest grid without gaps, where not all cells have the same seeds."""

import itertools

import numpy as np
import pytest

from initbench.analysis.mitigations.interaction import balanced
from initbench.analysis.mitigations.pairs import largest


def test_a_grid_without_gaps_loses_little():
    complete = np.ones((4, 5), bool)
    complete[2] = [True, False, False, False, True]
    complete[0, 3] = False
    assert balanced(complete, keep=0) == ([0, 1, 3], [0, 1, 2, 4])
    assert balanced(np.zeros((2, 2), bool), keep=0)[0] == []


def by_trying_all(there: np.ndarray, least: tuple[int, int]) -> tuple:
    """Of the largest grid without gaps: whether it has as many rows and columns, its size, and how many columns."""
    wide = there.shape[1]
    choices = [list(c) for n in range(1, wide + 1) for c in itertools.combinations(range(wide), n)]
    heights = [int(there[:, columns].all(axis=1).sum()) for columns in choices]
    return max(
        (height >= least[0] and len(columns) >= least[1], height * len(columns), len(columns))
        for columns, height in zip(choices, heights, strict=True)
    )


@pytest.mark.parametrize("least", [(1, 1), (2, 1), (4, 2)])
def test_the_seeds_of_the_largest_grid_are_those_that_trying_all_finds(least):
    generator = np.random.default_rng(5)
    for share in np.repeat([0.3, 0.6, 0.8, 0.95], 25):
        there = generator.random((7, 6)) < share
        there[0, 0] = True
        columns = largest(there, least)
        height = int(there[:, columns].all(axis=1).sum())
        got = height >= least[0] and len(columns) >= least[1], height * len(columns), len(columns)
        assert got == by_trying_all(there, least)


def test_of_equals_more_seeds_and_the_first():
    assert largest(np.array([[1, 1, 1, 1], [1, 1, 0, 0]], bool)) == [0, 1, 2, 3]
    assert largest(np.array([[1, 1, 1, 1], [1, 1, 0, 0]], bool), least=(2, 1)) == [0, 1]
    assert largest(np.eye(3, dtype=bool)) == [0]


def test_gaps_everywhere_take_no_time():
    """1,000 cells by 60 seeds share 2^60 sets of seeds at worst: not all are looked at."""
    there = np.random.default_rng(6).random((1000, 60)) < 0.9
    shared = largest(there)
    assert there[:, shared].all(axis=1).sum() * len(shared) >= there.sum(axis=1).max()  # that of one cell
