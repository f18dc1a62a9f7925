"""The scale of a residual branch."""

import torch
from torch import Tensor, nn

from initbench.parts.models.shapes import flag
from initbench.parts.ranges import number


class Scale(nn.Module):
    """alpha F: alpha is a fixed number or, if `learn`, a parameter that starts there.

    alpha 0 and learned is SkipInit (De & Smith 2020) and ReZero (Bachlechner et al. 2020).
    """

    def __init__(self, start: float, learn: bool):
        super().__init__()
        self.start = float(number("model.branch_scale", start))
        self.alpha = nn.Parameter(torch.full((1,), self.start)) if flag("model.learn_scale", learn) else None

    def reset_parameters(self) -> None:
        """What an initializer calls, since it has no weights for this module."""
        if self.alpha is not None:
            nn.init.constant_(self.alpha, self.start)

    def forward(self, branch: Tensor) -> Tensor:
        if self.alpha is not None:
            return self.alpha * branch
        return branch if self.start == 1 else self.start * branch

    def extra_repr(self) -> str:
        return f"start={self.start}, learn={self.alpha is not None}"
