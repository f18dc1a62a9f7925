"""What is done to a run's gradient, loss and weights beside the optimizer's step: the keys `gradient`, `regularize`.

Every value is null where it is not wanted. Written for one run: a gradient g (..., P) and weights w (..., P) are all
numbers of a run in one vector, and a norm is over that vector.
"""

from dataclasses import dataclass, fields

from initbench.parts.checks import integer, number


@dataclass(frozen=True)
class Regularize:
    """Penalties on the weights, noise while training, and when to stop."""

    weight_decay: float | None = None  # L2: weight_decay * w is added to the gradient that the optimizer sees
    decoupled: float | None = None  # w <- (1 - lr * decoupled) w before each update. Loshchilov & Hutter 2019, alg. 2
    l1: float | None = None  # l1 * |w|_1 is added to the loss. Tibshirani 1996
    dropout: float | None = None  # share of the hidden units' outputs. Srivastava et al. 2014
    dropconnect: float | None = None  # share of the hidden layers' weights. Wan et al. 2013
    label_smoothing: float | None = None  # share of the target spread over all classes. Szegedy et al. 2016 sec. 7
    weight_noise: float | None = None  # gradients at w + N(0, weight_noise^2). Graves et al. 2013
    patience: int | None = None  # evaluations without a lower validation loss. Prechelt 1998

    def __post_init__(self):
        for field in fields(self):
            value = getattr(self, field.name)
            if value is None:
                continue
            if field.name == "patience":
                integer("regularize.patience", value, "[1, inf)")
            elif field.name in ("dropout", "dropconnect", "label_smoothing"):
                number(f"regularize.{field.name}", value, "(0, 1)")
            else:
                number(f"regularize.{field.name}", value, "(0, inf)")
