"""Schedules: how the learning rate of a run changes while it trains.

To add one, write a class with keyword parameters and name it in `conf/schedule/NAME.yaml`. It has

    factor(step, steps) -> float    multiplies `lr` at update number `step` = 0, ..., steps - 1 of `steps`

and no state. Parameters are fractions or parts of the training, so that one YAML suits any number of steps. A part
shorter than one step (a tenth of three steps) is left out. `lr` is the highest rate of every schedule but a growing
`Exponential`. Momentum is never changed. All give the same numbers as the scheduler of torch that they name.
"""

import math

from initbench.parts.checks import integer, number


class Constant:
    """1 throughout."""

    def factor(self, step: int, steps: int) -> float:
        return 1.0


class Warmup:
    """A line from `start` to 1 over the first `share` of the steps, then 1. LinearLR. Goyal et al. 2017, sec. 2.2."""

    def __init__(self, *, share: float = 0.1, start: float = 0.01):
        self.share = number("schedule.share", share, "[0, 1]")
        self.start = number("schedule.start", start, "[0, 1]")

    def factor(self, step: int, steps: int) -> float:
        warm = round(self.share * steps)
        return self.start + (1 - self.start) * step / warm if step < warm else 1.0


class Step:
    """`gamma` times the factor before in each further one of `parts` equal parts of the training (the last may be
    shorter). StepLR. He et al. 2016, sec. 3.4."""

    def __init__(self, *, parts: int = 3, gamma: float = 0.1):
        self.parts = integer("schedule.parts", parts, "[1, inf)")
        self.gamma = number("schedule.gamma", gamma, "(0, 1]")

    def factor(self, step: int, steps: int) -> float:
        return self.gamma ** (step // -(-steps // self.parts))


class Exponential:
    """From 1 at the first step to `last` at the last one, by a constant ratio per step. ExponentialLR."""

    def __init__(self, *, last: float = 0.01):
        self.last = number("schedule.last", last, "(0, inf)")

    def factor(self, step: int, steps: int) -> float:
        return self.last ** (step / max(1, steps - 1))


class Cosine:
    """Half a cosine wave from 1 at the first step down to `last` right after the last one. CosineAnnealingLR.
    Loshchilov & Hutter 2017, eq. 5 without restarts."""

    def __init__(self, *, last: float = 0.0):
        self.last = number("schedule.last", last, "[0, 1]")

    def factor(self, step: int, steps: int) -> float:
        return _cosine(1, self.last, step / steps)


class WarmupCosine(Warmup):
    """A `Warmup`, then half a cosine wave down to `last`. SequentialLR of LinearLR and CosineAnnealingLR.
    Goyal et al. 2017, sec. 2.2; Loshchilov & Hutter 2017, eq. 5."""

    def __init__(self, *, share: float = 0.1, start: float = 0.01, last: float = 0.0):
        super().__init__(share=number("schedule.share", share, "[0, 1)"), start=start)
        self.last = number("schedule.last", last, "[0, 1]")

    def factor(self, step: int, steps: int) -> float:
        warm = round(self.share * steps)
        return super().factor(step, steps) if step < warm else _cosine(1, self.last, (step - warm) / (steps - warm))


class WarmRestarts:
    """SGDR: half a cosine wave from 1 down to `last`, `cycles` times, each `mult` times as long as the one before.

    CosineAnnealingWarmRestarts, with T_0 such that the last cycle ends with the training (rounded up). Loshchilov &
    Hutter 2017, eq. 5.
    """

    def __init__(self, *, cycles: int = 3, mult: int = 2, last: float = 0.0):
        self.cycles = integer("schedule.cycles", cycles, "[1, 1000]")
        self.mult = integer("schedule.mult", mult, "[1, 1000]")
        self.last = number("schedule.last", last, "[0, 1]")

    def factor(self, step: int, steps: int) -> float:
        length = -(-steps // sum(self.mult**i for i in range(self.cycles)))
        while step >= length:
            step, length = step - length, length * self.mult
        return _cosine(1, self.last, step / length)


class Cyclic:
    """Triangles: a line from `base` up to 1 and a line down again, `cycles` times. CyclicLR, mode `triangular`.
    Smith 2017, sec. 3.1; the default base is that of sec. 3.3."""

    def __init__(self, *, cycles: int = 4, base: float = 0.25):
        self.cycles = integer("schedule.cycles", cycles, "[1, inf)")
        self.base = number("schedule.base", base, "[0, 1]")

    def factor(self, step: int, steps: int) -> float:
        place = step * self.cycles % steps / steps  # within the cycle, from 0 to 1
        return self.base + (1 - self.base) * (1 - abs(2 * place - 1))


class OneCycle:
    """Half a cosine wave from 1/div up to 1 over `share` of the steps, and one down to 1/(div final).

    OneCycleLR with cycle_momentum=False. Smith & Topin 2018, sec. 3; fastai has cosines in place of lines.
    """

    def __init__(self, *, share: float = 0.3, div: float = 25.0, final: float = 1e4):
        self.share = number("schedule.share", share, "[0, 1]")
        self.div = number("schedule.div", div, "[1, inf)")
        self.final = number("schedule.final", final, "[1, inf)")

    def factor(self, step: int, steps: int) -> float:
        peak = self.share * steps - 1
        if step <= peak:
            return _cosine(1 / self.div, 1, step / peak if peak else 1.0)
        return _cosine(1, 1 / (self.div * self.final), (step - peak) / (steps - 1 - peak))


def _cosine(start: float, end: float, part: float) -> float:
    """From `start` at part 0 to `end` at part 1 along half a wave."""
    return end + (start - end) * (1 + math.cos(math.pi * part)) / 2
