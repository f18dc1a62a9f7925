"""Datasets of vectors."""

import torch

from initbench.parts.checks import integer
from initbench.parts.data.dataset import Raw


def gaussian(*, features: int = 64, classes: int = 10, samples: int = 2000) -> Raw:
    """x ~ N(0, 1), (features,), labelled by a fixed random linear teacher: a linear model can learn it.

    The teacher is a random direction for each class; the label is the class whose direction x goes furthest.
    """
    integer("data.features", features, "[1, inf)")
    integer("data.classes", classes, "[2, inf)")
    integer("data.samples", samples, "[1, inf)")
    generator = torch.Generator().manual_seed(0)
    teacher = torch.randn(classes, features, generator=generator, dtype=torch.float64)
    x = torch.randn(samples, features, generator=generator)
    y = (x.double() @ (teacher / teacher.norm(dim=1, keepdim=True)).T).argmax(1)
    return Raw(x, y, classes=classes)
