"""Number formats of a training step: float32, or half precision where that is faster."""

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor

from initbench.errors import DoesNotFit, WrongValue, nearest

HALVES = {"bfloat16": torch.bfloat16, "float16": torch.float16}
PRECISIONS = ("float32", *HALVES, "tf32")


def check_precision(precision: str, device: str) -> None:
    """InputError for an unknown precision, DoesNotFit for one that this device, `cpu` or `cuda`, does not have."""
    if precision not in PRECISIONS:
        raise WrongValue(
            "precision", precision, f"precision={precision} is unknown{nearest(str(precision), PRECISIONS)}"
        )
    if precision in ("float16", "tf32") and device == "cpu":
        raise DoesNotFit(f"precision={precision} needs CUDA; a CPU has float32 and bfloat16")


def autocast(precision: str, device: torch.device) -> contextlib.AbstractContextManager:
    """Half precision for the operations that `torch.autocast` chooses; nothing for float32 and tf32."""
    return torch.autocast(device.type, HALVES[precision]) if precision in HALVES else contextlib.nullcontext()


@contextlib.contextmanager
def matmul_precision(precision: str) -> Iterator[None]:
    """CUDA's products and convolutions of float32 with 10 bits of mantissa for tf32, else with all 23.

    Convolutions have a switch of their own, which PyTorch turns on by default, and kernels whose sums depend on chance:
    without `deterministic` the same training of a cnn on an H200 gave other weights each time.
    """
    cudnn = torch.backends.cudnn
    before = torch.get_float32_matmul_precision(), cudnn.allow_tf32, cudnn.deterministic
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    cudnn.allow_tf32, cudnn.deterministic = precision == "tf32", True
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        cudnn.allow_tf32, cudnn.deterministic = before[1:]


class LossScale:
    """Factors (R,) of the runs' losses, so that their gradients fit float16. Micikevicius et al. 2018 sec. 3.2.

    A run whose gradient overflows makes no step and halves its factor; after `growth` clean steps it doubles. The
    numbers are those of `torch.amp.GradScaler`.
    """

    def __init__(self, runs: int, device: torch.device, *, start: float = 2.0**16, growth: int = 2000):
        self.scale = torch.full((runs,), start, device=device)
        self.clean = torch.zeros(runs, dtype=torch.int64, device=device)
        self.growth = growth

    def update(self, overflowed: Tensor) -> None:
        """Adapt the factors after a step at which some runs (R,) overflowed."""
        self.clean = torch.where(overflowed, 0, self.clean + 1)
        grown = self.clean == self.growth
        self.scale = torch.where(overflowed, self.scale / 2, torch.where(grown, self.scale * 2, self.scale))
        self.clean = torch.where(grown, 0, self.clean)

    def tensors(self) -> dict[str, Tensor]:
        return {"scale": self.scale, "clean": self.clean}
