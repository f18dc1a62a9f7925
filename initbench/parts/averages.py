"""Averages of a run's weights over its training, which are evaluated in their place.

To add one, write a class with keyword parameters and name it in `conf/average/NAME.yaml`. It has

    update(average, weights, step, steps) -> None

which writes `average` in place after update number `step` = 0, 1, ... of `steps`; it starts as a copy of the first
weights. It is called for the weights of all runs at once, so it must look at each number by itself, and for the running
statistics of normalization layers, as in `torch.optim.swa_utils.AveragedModel(use_buffers=True)`.
"""

from torch import Tensor

from initbench.parts.checks import integer, number


class SWA:
    """The mean of the weights after every `every`-th update, from the fraction `start` of the training on.

    Before that, the weights themselves. Izmailov et al. 2018, algorithm 1.
    """

    def __init__(self, *, start: float = 0.75, every: int = 10):
        self.start = number("average.start", start, "[0, 1)")
        self.every = integer("average.every", every, "[1, inf)")

    def update(self, average: Tensor, weights: Tensor, step: int, steps: int) -> None:
        since = step + 1 - int(self.start * steps)
        if since < self.every:
            average.copy_(weights)
        elif since % self.every == 0:
            average.lerp_(weights, self.every / since)


class EMA:
    """a <- d a + (1 - d) w after each update, with d = min(decay, (1 + t) / (10 + t)) to forget the start.

    Polyak & Juditsky 1992; the warmup is that of TensorFlow's ExponentialMovingAverage.
    """

    def __init__(self, *, decay: float = 0.99):
        self.decay = number("average.decay", decay, "(0, 1)")

    def update(self, average: Tensor, weights: Tensor, step: int, steps: int) -> None:
        average.lerp_(weights, 1 - min(self.decay, (1 + step) / (10 + step)))
