"""Curricula: which share of the training examples, ranked by difficulty, batches are drawn from at each step.

To add one, write a class with the keyword parameters of `LinearPacing` and name it in `conf/curriculum/NAME.yaml`. It
has

    share(step, steps) -> share           of the examples, above 0 and at most 1, at update number `step` = 0, 1, ...

and `order` and `difficulty`, which say how they are ranked.
"""

import math

from initbench.parts.checks import choice, number

ORDERS = ("easy_first", "hard_first", "random")
LOGISTIC = "logistic"


class LinearPacing:
    """The share grows from `start` to 1 in equal steps, until the fraction `end` of the training.

    Platanios et al. 2019, sec. 2.2. `order`: `hard_first` and `random` are controls. `difficulty`: `logistic` is the
    loss of a logistic regression; else a file of scores, one per training example, or a function of (x, y) by its path.
    """

    def __init__(self, *, start: float = 0.2, end: float = 0.5, order: str = "easy_first", difficulty: str = LOGISTIC):
        self.start = number("curriculum.start", start, "(0, 1]")
        self.end = number("curriculum.end", end, "(0, 1]")
        self.order = choice("curriculum.order", order, ORDERS)
        self.difficulty = difficulty

    def share(self, step: int, steps: int) -> float:
        """At update number `step` of `steps`."""
        through = step / (self.end * steps)
        return 1.0 if through >= 1 else self.grown(through)

    def grown(self, through: float) -> float:
        """The share when this part of the growth, from 0 to below 1, is over."""
        return self.start + (1 - self.start) * through


class RootPacing(LinearPacing):
    """The square of the share grows in equal steps: new examples come the slower, the more there are.

    Platanios et al. 2019, sec. 2.2.
    """

    def grown(self, through: float) -> float:
        return math.sqrt(self.start**2 + (1 - self.start**2) * through)


class StepPacing(LinearPacing):
    """The share is multiplied by `factor` at times that are equally far apart, the last at `end`.

    Hacohen & Weinshall 2019, "fixed exponential pacing".
    """

    def __init__(
        self,
        *,
        start: float = 0.2,
        end: float = 0.5,
        factor: float = 1.9,
        order: str = "easy_first",
        difficulty: str = LOGISTIC,
    ):
        super().__init__(start=start, end=end, order=order, difficulty=difficulty)
        self.factor = number("curriculum.factor", factor, "(1, inf)")

    def grown(self, through: float) -> float:
        times = max(1, math.ceil(-math.log(self.start, self.factor)))
        return min(1.0, self.start * self.factor ** math.floor(times * through))
