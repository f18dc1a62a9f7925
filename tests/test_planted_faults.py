"""Faults planted one at a time, really trained: each is named, and gone when the first advice is applied."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))
import planted_faults
from planted_faults import CONTROLS, PLANTED, Planted, cured, found, is_cured, is_right, later

pytestmark = pytest.mark.slow


def of(planted: Planted) -> str:
    return planted.name


@pytest.mark.parametrize("planted", PLANTED, ids=of)
def test_a_planted_fault_is_named_and_its_first_advice_cures_it(planted):
    before = found(planted)
    assert is_right(planted, before), before
    after = cured(planted, before)
    assert is_cured(after), after


@pytest.mark.parametrize("control", CONTROLS, ids=of)
def test_a_healthy_network_has_no_fault(control):
    assert found(control) == planted_faults.Found(["learned"] * planted_faults.SEEDS, "", "", "", "")


def test_there_are_many_of_each_kind():
    assert len(PLANTED) >= 30 and sum("planted_parts" in planted.overrides for planted in PLANTED) >= 10


def test_a_later_override_replaces_an_earlier_one():
    assert later("lr=1 depth=4", "lr=2") == ["lr=2", "depth=4"]
    assert later("init._target_=mine.init +init.k=2 lr=1", "init=he") == ["lr=1", "init=he"]
    assert later("+model.phi=relu", "model.phi=tanh") == ["+model.phi=tanh"]
