"""Schedules: each is torch.optim.lr_scheduler's at every step, and fits trainings of any length."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.optim import lr_scheduler as theirs

from initbench.errors import InputError
from initbench.parts.schedules import (
    Constant,
    Cosine,
    Cyclic,
    Exponential,
    OneCycle,
    Step,
    WarmRestarts,
    Warmup,
    WarmupCosine,
)

LR = 0.3
STEPS = 210


def warm_cosine(optimizer, warm: int, start: float, last: float):
    parts = [
        theirs.LinearLR(optimizer, start_factor=start, total_iters=warm),
        theirs.CosineAnnealingLR(optimizer, STEPS - warm, eta_min=last * LR),
    ]
    return theirs.SequentialLR(optimizer, parts, [warm])


PAIRS: dict[str, tuple[Any, Callable[[torch.optim.Optimizer], Any]]] = {
    "constant": (Constant(), lambda o: theirs.ConstantLR(o, factor=1)),
    "warmup": (Warmup(), lambda o: theirs.LinearLR(o, start_factor=0.01, total_iters=21)),
    "warmup half": (Warmup(share=0.5, start=0.2), lambda o: theirs.LinearLR(o, start_factor=0.2, total_iters=105)),
    "step": (Step(), lambda o: theirs.StepLR(o, 70, gamma=0.1)),
    "step of 4": (Step(parts=4, gamma=0.5), lambda o: theirs.StepLR(o, 53, gamma=0.5)),
    "exponential": (Exponential(), lambda o: theirs.ExponentialLR(o, gamma=0.01 ** (1 / 209))),
    "cosine": (Cosine(), lambda o: theirs.CosineAnnealingLR(o, 210)),
    "cosine to 0.1": (Cosine(last=0.1), lambda o: theirs.CosineAnnealingLR(o, 210, eta_min=0.1 * LR)),
    "warmup_cosine": (WarmupCosine(), lambda o: warm_cosine(o, 21, 0.01, 0)),
    "warmup_cosine to 0.1": (WarmupCosine(share=0.5, start=0.1, last=0.1), lambda o: warm_cosine(o, 105, 0.1, 0.1)),
    "warm_restarts": (WarmRestarts(), lambda o: theirs.CosineAnnealingWarmRestarts(o, 30, 2)),
    "warm_restarts alike": (
        WarmRestarts(cycles=4, mult=1, last=0.1),
        lambda o: theirs.CosineAnnealingWarmRestarts(o, 53, 1, eta_min=0.1 * LR),
    ),
    "cyclic": (
        Cyclic(),  # half a cycle is 26.25 steps
        lambda o: theirs.CyclicLR(o, LR / 4, LR, step_size_up=210 / 8, cycle_momentum=False),  # type: ignore[arg-type]
    ),
    "cyclic from 0": (
        Cyclic(cycles=3, base=0),
        lambda o: theirs.CyclicLR(o, 0, LR, step_size_up=35, cycle_momentum=False),
    ),
    "one_cycle": (OneCycle(), lambda o: theirs.OneCycleLR(o, LR, 210, cycle_momentum=False)),
    "one_cycle late": (
        OneCycle(share=0.75, div=10.0, final=100.0),
        lambda o: theirs.OneCycleLR(
            o, LR, 210, pct_start=0.75, div_factor=10, final_div_factor=100, cycle_momentum=False
        ),
    ),
}


@pytest.mark.parametrize("name", PAIRS)
def test_equals_torch_at_every_step(name):
    ours, scheduler_of = PAIRS[name]
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=LR)
    scheduler = scheduler_of(optimizer)
    for step in range(STEPS):
        assert LR * ours.factor(step, STEPS) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-12, abs=1e-12)
        optimizer.step()
        scheduler.step()


def test_every_schedule_on_offer_is_compared():
    assert {path.stem for path in (Path(__file__).parent.parent / "conf/schedule").glob("*.yaml")} <= PAIRS.keys()


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 7, 10, 100])
@pytest.mark.parametrize("name", PAIRS)
def test_any_length_will_do(name, steps):
    """Shares from 0 to 1, whatever a tenth or a third of so few steps may be."""
    factors = [PAIRS[name][0].factor(step, steps) for step in range(steps)]
    assert all(isinstance(factor, float) and 0 <= factor <= 1 for factor in factors)


@pytest.mark.parametrize("steps", [2, 3, 10])
def test_one_cycle_of_few_steps_is_torchs_too(steps):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=LR)
    scheduler = theirs.OneCycleLR(optimizer, LR, steps, cycle_momentum=False)
    for step in range(steps):
        assert LR * OneCycle().factor(step, steps) == pytest.approx(optimizer.param_groups[0]["lr"], abs=1e-12)
        optimizer.step()
        scheduler.step()


def test_one_cycle_starts_at_its_peak_where_torch_divides_by_zero():
    assert [OneCycle(share=0.1).factor(step, 10) for step in (0, 9)] == [1, pytest.approx(1 / 25e4)]


def test_the_ends():
    """Where the rate is highest and lowest in 300 steps: what each schedule is chosen for."""

    def factors(schedule) -> list[float]:
        return [schedule.factor(step, 300) for step in range(300)]

    assert factors(Exponential())[-1] == pytest.approx(0.01)
    assert factors(Warmup())[30] == 1 > factors(Warmup())[29]
    assert [factors(Step())[t] for t in (99, 100, 199, 200, 299)] == pytest.approx([1, 0.1, 0.1, 0.01, 0.01])
    assert factors(Step(parts=7))[6 * 43 - 1 :] == pytest.approx([1e-5] + [1e-6] * 42)  # never an eighth part
    restarts = [t for t, factor in enumerate(factors(WarmRestarts())) if factor == 1]
    assert restarts == [0, 43, 43 + 86]  # 300 is 7 x 43 less 1: the last cycle ends with the training
    assert [t for t, factor in enumerate(factors(Cyclic(cycles=3))) if factor == 1] == [50, 150, 250]
    assert factors(OneCycle()).index(1) == 89


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Warmup(share=1.5), r"schedule.share must be a number in \[0, 1\], got 1.5"),
        (lambda: Warmup(start=math.nan), "schedule.start"),
        (lambda: Step(parts=0), r"schedule.parts must be a whole number in \[1, inf\), got 0"),
        (lambda: Step(gamma=0), "schedule.gamma"),
        (lambda: Exponential(last=0), "schedule.last"),
        (lambda: Cosine(last=-0.1), "schedule.last"),
        (lambda: WarmupCosine(share=1), "schedule.share"),
        (lambda: WarmRestarts(mult=1.5), "schedule.mult"),  # type: ignore[arg-type]
        (lambda: WarmRestarts(cycles="3"), "schedule.cycles"),  # type: ignore[arg-type]
        (lambda: Cyclic(base=2), "schedule.base"),
        (lambda: OneCycle(div=0), "schedule.div"),
        (lambda: OneCycle(final=0.5), "schedule.final"),
    ],
)
def test_bad_parameters_say_so(build, message):
    with pytest.raises(InputError, match=message):
        build()
