"""Hidden layers as modules by name, and residual branches: x + alpha F(x)."""

from collections import OrderedDict
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from initbench.errors import DoesNotFit
from initbench.parts.activations import Activation
from initbench.parts.checks import boolean, number
from initbench.parts.models.spec import ModelSpec
from initbench.parts.norms import normalized


class Layer(nn.Sequential):
    """Modules by name, in the order in which they are called; those that are None are left out."""

    def __init__(self, **modules: nn.Module | None):
        super().__init__(OrderedDict((name, module) for name, module in modules.items() if module is not None))


class Scale(nn.Module):
    """alpha F: alpha is the number `start` or, with `learn`, a parameter that starts there.

    A learned alpha that starts at 0 is SkipInit (De & Smith 2020) and ReZero (Bachlechner et al. 2020).
    """

    def __init__(self, start: float, learn: bool):
        super().__init__()
        self.start = float(number("model.branch_scale", start))
        self.alpha = nn.Parameter(torch.full((1,), self.start)) if boolean("model.learn_scale", learn) else None

    def reset_parameters(self) -> None:
        """Initializers call this, since the module has no weight matrix for them to write."""
        if self.alpha is not None:
            nn.init.constant_(self.alpha, self.start)

    def forward(self, branch: Tensor) -> Tensor:
        if self.alpha is not None:
            return self.alpha * branch
        return branch if self.start == 1 else self.start * branch

    def extra_repr(self) -> str:
        return f"start={self.start}, learn={self.alpha is not None}"


class ScalarBias(nn.Module):
    """x + b with one number b for all units, a parameter that starts at 0. Zhang, Dauphin & Ma 2019."""

    def __init__(self):
        super().__init__()
        self.scalar_bias = nn.Parameter(torch.zeros(1))

    def reset_parameters(self) -> None:
        """As in `Scale`."""
        nn.init.zeros_(self.scalar_bias)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.scalar_bias


class Residual(Layer):
    """x + alpha F(x); `branch` holds the modules of F by name, in the order in which they are called.

    With `stride` s the shortcut of a map (B, N, H, W) takes every s-th pixel (option A of He et al. 2016a).
    Initializers of residual networks find a model's branches by this class.
    """

    scale: Scale

    def __init__(self, branch: Mapping[str, nn.Module | None], scale: Scale, stride: int = 1):
        super().__init__(**branch, scale=scale)
        self.stride = stride

    def forward(self, input: Tensor) -> Tensor:
        shortcut = input if self.stride == 1 else input[..., :: self.stride, :: self.stride]
        return shortcut + super().forward(input)

    def weights(self) -> list[nn.Parameter]:
        """The branch's weights, from its input to its output."""
        return [parameter for parameter in self.parameters() if parameter.ndim >= 2]

    def ends_linear(self) -> bool:
        """Does no activation follow the branch's last weight?"""
        activations = [i for i, module in enumerate(self.modules()) if isinstance(module, Activation)]
        weighty = [i for i, module in enumerate(self.modules()) if any(p.ndim >= 2 for p in module.parameters(False))]
        return max(activations, default=-1) < max(weighty)


def preactivated(
    kind: str, first: nn.Module, second: nn.Module, spec: ModelSpec, dimensions: int = 0, scalar_biases: bool = False
) -> dict[str, nn.Module | None]:
    """A branch W2 phi(W1 phi(x)) of two weights named `kind` 1 and 2. He et al. 2016b, fig. 4e.

    Normalization is before or after each phi, dropout before W2 (Zagoruyko & Komodakis 2016). With `scalar_biases` a
    number is added before each phi and each W.
    """

    def added(before: str) -> dict[str, nn.Module]:
        return {f"before_{before}": ScalarBias()} if scalar_biases else {}

    return {
        **added("act1"),
        **normalized(spec.act(), spec.norm, spec.width, dimensions, "1"),
        **added(f"{kind}1"),
        f"{kind}1": first,
        **added("act2"),
        **normalized(spec.act(), spec.norm, spec.width, dimensions, "2"),
        "dropout": spec.dropout_layer(),
        **added(f"{kind}2"),
        f"{kind}2": second,
    }


def last_activation(spec: ModelSpec, dimensions: int = 0, scalar_biases: bool = False) -> Layer:
    """What lies between the last of the branches of `preactivated` and the head."""
    before, after = (ScalarBias(), ScalarBias()) if scalar_biases else (None, None)
    act = normalized(spec.act(), spec.norm, spec.width, dimensions)
    return Layer(before_act=before, **act, before_head=after)


def scalar_biases_wanted(value: bool | None, spec: ModelSpec) -> bool:
    """Whether `model.scalar_biases` is true; DoesNotFit with a normalization, whose place Fixup takes."""
    if value is None or not boolean("model.scalar_biases", value):
        return False
    if spec.norm is not None:
        raise DoesNotFit("model.scalar_biases=true belongs to Fixup, which takes the place of normalization: norm=none")
    return True
