"""In which numbers a step is computed: float32, or halves of it where that is faster."""

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor

from initbench.errors import DoesNotFit, InputError, nearest

HALVES = {"bfloat16": torch.bfloat16, "float16": torch.float16}
PRECISIONS = ("float32", *HALVES, "tf32")


def check_precision(precision: str, device: str) -> None:
    """Raises InputError for one that there isn't, DoesNotFit for one that this device, `cpu` or `cuda`, hasn't."""
    if precision not in PRECISIONS:
        raise InputError(f"precision={precision} is unknown{nearest(str(precision), PRECISIONS)}")
    if precision in ("float16", "tf32") and device == "cpu":
        raise DoesNotFit(f"precision={precision} needs CUDA; on a CPU there is float32 and bfloat16")


def halved(precision: str, device: torch.device) -> contextlib.AbstractContextManager:
    """A forward pass with products in half precision, if it is one; `torch.autocast` decides for each operation."""
    return torch.autocast(device.type, HALVES[precision]) if precision in HALVES else contextlib.nullcontext()


@contextlib.contextmanager
def products(precision: str) -> Iterator[None]:
    """With tf32, CUDA's products and convolutions of float32 have 10 bits of mantissa; else all 23.

    Convolutions have a switch of their own, which PyTorch leaves on.
    """
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    torch.backends.cudnn.allow_tf32 = precision == "tf32"
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]


class LossScale:
    """What each run's loss is multiplied by so that its gradient fits float16. Micikevicius et al. 2018 sec. 3.2.

    A run whose gradient overflows makes no step and halves its scale; `growth` steps without double it. The numbers
    are those of `torch.amp.GradScaler`.
    """

    def __init__(self, runs: int, device: torch.device, *, start: float = 2.0**16, growth: int = 2000):
        self.scale = torch.full((runs,), start, device=device)
        self.clean = torch.zeros(runs, dtype=torch.int64, device=device)
        self.growth = growth

    def update(self, overflowed: Tensor) -> None:
        """After a step at which some runs (R,) overflowed."""
        self.clean = torch.where(overflowed, 0, self.clean + 1)
        grown = self.clean == self.growth
        self.scale = torch.where(overflowed, self.scale / 2, torch.where(grown, self.scale * 2, self.scale))
        self.clean = torch.where(grown, 0, self.clean)
